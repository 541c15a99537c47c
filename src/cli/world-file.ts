/** A file of the user's that says what is simulated or explored. */

import { stat } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isMainThread } from "node:worker_threads";
import { TidemarkError, textOf } from "../core/error.ts";
import type { World } from "../sim/world.ts";
import { checkWorld } from "../sim/world-check.ts";
import { printable } from "./terminal.ts";

/** Of whatever the user's types are. */
export type AnyWorld = World<unknown, unknown, unknown, unknown>;

/**
 * Loads the world that a module exports by default. The module is code: it is run.
 * @throws TidemarkError `BAD_OPTION`
 */
export async function loadWorld(file: string): Promise<AnyWorld> {
  const path = resolve(file);
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile())
    throw new TidemarkError(
      "BAD_OPTION",
      found?.isDirectory()
        ? `${file} is a directory, and not a file with a world`
        : `there is no file ${file}`,
    );
  const { default: world } = await load(file, path);
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
  return `${file} ended before its world was known: it calls process.exit, or awaits what never comes`;
}

async function load(file: string, path: string): Promise<{ readonly default?: unknown }> {
  const unloaded = (): void => {
    console.error(`tidemark: ${printable(endedEarly(file))}`);
    process.exitCode = 2;
  };
  if (isMainThread) process.once("exit", unloaded);
  try {
    return await import(pathToFileURL(path).href);
  } catch (error) {
    const place = placeOf(error);
    const where = place === undefined ? "" : ` (at ${place})`;
    throw new TidemarkError("BAD_OPTION", `${file} cannot be loaded: ${textOf(error)}${where}`, {
      cause: error,
    });
  } finally {
    process.off("exit", unloaded);
  }
}

/** The file and line of the user's that an error comes from, if it says so: in a line of its own, or at the end of a call's. */
function placeOf(error: unknown): string | undefined {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const places = stack.matchAll(
    /(?:^|[ (])(file:\/\/[^\s()]+?|\/[^\n:]+):([0-9]+)(?:$|:[0-9]+\)?$)/gm,
  );
  for (const [, where = "", line] of places) {
    if (where === import.meta.url) continue;
    const path = where.startsWith("file:") ? fileURLToPath(where) : where;
    return `${relative("", path)}:${line}`;
  }
  return undefined;
}
