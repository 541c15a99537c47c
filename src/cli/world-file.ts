/** A file of the user's that says what is simulated or explored. */

import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { TidemarkError, textOf } from "../core/error.ts";
import type { World } from "../sim/world.ts";

/** Of whatever the user's types are. */
export type AnyWorld = World<unknown, unknown, unknown, unknown>;

/**
 * Loads the world that a module exports by default. The module is code: it is run.
 * @throws TidemarkError `BAD_OPTION`
 */
export async function loadWorld(file: string): Promise<AnyWorld> {
  const path = resolve(file);
  if (!(await stat(path).catch(() => undefined))?.isFile())
    throw new TidemarkError("BAD_OPTION", `there is no file ${file}`);
  let loaded: { readonly default?: unknown };
  try {
    loaded = await import(pathToFileURL(path).href);
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `${file} cannot be loaded: ${textOf(error)}`, {
      cause: error,
    });
  }
  const world = loaded.default as Partial<AnyWorld> | undefined;
  if (typeof world?.application === "function" && Array.isArray(world.processes))
    return world as AnyWorld;
  throw new TidemarkError(
    "BAD_OPTION",
    `${file} exports no world by default: write export default defineWorld({ processes: […], application: (id) => … })`,
  );
}
