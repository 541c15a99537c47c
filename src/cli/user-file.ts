/** A module of the user's that exports something by default. The module is code: it is run. */

import { stat } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isMainThread } from "node:worker_threads";
import { TidemarkError, textOf } from "../core/error.ts";
import { printable } from "./terminal.ts";

/**
 * Gives what the module exports by default.
 *
 * @param what should be in it: "world"
 * @throws TidemarkError `BAD_OPTION`
 */
export async function loadDefault(file: string, what: string): Promise<unknown> {
  const path = resolve(file);
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile())
    throw new TidemarkError(
      "BAD_OPTION",
      found?.isDirectory()
        ? `${file} is a directory, and not a file with a ${what}`
        : `there is no file ${file}`,
    );
  return (await load(file, path, what)).default;
}

/** Says what happened if a file ends the program, or waits for ever, before what it exports is known. */
export function endedEarly(file: string, what: string): string {
  return `${file} ended before its ${what} was known: it calls process.exit, or awaits what never comes`;
}

async function load(
  file: string,
  path: string,
  what: string,
): Promise<{ readonly default?: unknown }> {
  const unloaded = (): void => {
    console.error(`tidemark: ${printable(endedEarly(file, what))}`);
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
