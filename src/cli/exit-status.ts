/** The exit status of a command that ends with an error. */

import { isTidemarkError } from "../core/error.ts";

export const USAGE_STATUS = 2;
const USAGE_CODES: readonly string[] = [
  ...["BAD_OPTION", "BAD_ID", "UNKNOWN_PROCESS", "NO_CHANNEL", "CONFIGURATION_DIFFERS"],
];

export function exitStatusOf(error: unknown): number {
  return isTidemarkError(error) && USAGE_CODES.includes(error.code) ? USAGE_STATUS : 1;
}
