/** The words that the picture and the tables share. */

import { counted, duration, grouped } from "../parts/words.ts";
import type { Condition } from "./flow.ts";

export const CONDITIONS: Readonly<Record<Condition, string>> = {
  up: "up",
  down: "down",
  silent: "silent",
  halted: "halted",
};

/** "1,234 a second". */
export const rateText = (rate: number | undefined): string =>
  rate === undefined ? "not known yet" : `${grouped(rate)} a second`;

export const inFlightText = (inFlight: number | undefined): string =>
  inFlight === undefined
    ? "what is in flight is not known"
    : `${counted(inFlight, "message")} in flight`;

/** How long what is in flight takes. */
export function lagText(lagMs: number | undefined): string {
  if (lagMs === undefined) return "–";
  if (lagMs === 0) return "0";
  return Number.isFinite(lagMs) ? duration(lagMs) : "stands still";
}
