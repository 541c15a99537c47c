/** A file of the user's that says what is simulated or explored. */

import { TidemarkError, textOf } from "../core/error.ts";
import type { World } from "../sim/world.ts";
import { checkWorld } from "../sim/world-check.ts";
import { endedEarly as ended, loadDefault } from "./user-file.ts";

/** Of whatever the user's types are. */
export type AnyWorld = World<unknown, unknown, unknown, unknown>;

/**
 * Loads the world that a module exports by default. The module is code: it is run.
 * @throws TidemarkError `BAD_OPTION`
 */
export async function loadWorld(file: string): Promise<AnyWorld> {
  const world = await loadDefault(file, "world");
  if (typeof (world as Partial<AnyWorld> | undefined)?.application !== "function")
    throw new TidemarkError(
      "BAD_OPTION",
      `${file} exports no world by default: write export default defineWorld({ processes: […], application: (id) => … })`,
    );
  try {
    checkWorld(world);
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `${file}: ${textOf(error)}`, { cause: error });
  }
  return world as AnyWorld;
}

/** Says what happened if a file ends the program, or waits for ever, before its world is known. */
export function endedEarly(file: string): string {
  return ended(file, "world");
}
