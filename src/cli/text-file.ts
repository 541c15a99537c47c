/** Text files that the user names. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { TidemarkError, textOf } from "../core/error.ts";

/** @throws TidemarkError `BAD_OPTION` */
export function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `${file} cannot be read: ${textOf(error)}`);
  }
}

/**
 * Makes the directory, too, if there is none.
 * @throws TidemarkError `STORE_FAILED`
 */
export function writeText(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  } catch (error) {
    throw new TidemarkError("STORE_FAILED", `${file} cannot be written: ${textOf(error)}`);
  }
}
