/** What the tests of the directory store share. */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import { partsOf } from "../../src/snapshot/manifest.ts";

/** Of no process: beyond the largest number that the system gives. */
export const DEAD = 4_194_305;

/** A directory that is removed when the test has finished. */
export function newDirectory(finished: (remove: () => void) => void): string {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-store-"));
  finished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The files in a folder and below it, by their path from there, in order. */
export function filesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** Makes all that was written look as if it was written an hour ago. */
export function age(directory: string): void {
  const then = new Date(Date.now() - 3_600_000);
  for (const folder of ["parts", "open", "tmp"])
    for (const file of filesIn(join(directory, folder)))
      utimesSync(join(directory, folder, file), then, then);
}

/** Makes all that this process left look as if another had left it, which has died. */
export function bury(directory: string): void {
  const own = `${process.pid}.`;
  for (const folder of ["open", "lock", "tmp"])
    for (const file of filesIn(join(directory, folder)))
      if (file.startsWith(own))
        renameSync(
          join(directory, folder, file),
          join(directory, folder, `${DEAD}.${file.slice(own.length)}`),
        );
}

/** The part files that the listed manifests refer to, and there must be no damaged one. */
export async function neededParts(store: SnapshotStore): Promise<string[]> {
  const files = new Set<string>();
  const fail = (error: Error): void => {
    throw error;
  };
  for await (const { id } of store.list(fail)) {
    const stored = await store.get(id);
    if (!stored) continue;
    for (const { sha256, pack = sha256 } of partsOf(stored.manifest))
      files.add(join(pack.slice(0, 2), pack));
  }
  return [...files].sort();
}

/** Nothing is in the directory but the listed snapshots with their parts, and the store that has it open. */
export async function expectNoLitter(directory: string, store: SnapshotStore): Promise<void> {
  expect(filesIn(join(directory, "parts"))).toEqual(await neededParts(store));
  expect(filesIn(join(directory, "tmp"))).toEqual([]);
  expect(filesIn(join(directory, "lock"))).toEqual([]);
  expect(filesIn(join(directory, "open")).length).toBeLessThanOrEqual(1);
}

/** The promise rejects, with `DAMAGED`, and names the file. */
export async function expectDamaged(promise: Promise<unknown>, path: string): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isTidemarkError(error, "DAMAGED") || !error.message.startsWith(`${path} `))
    throw new Error(`not said to be damaged: ${path}`, { cause: error });
}

/** What the system says about when this process started. */
export function startOfThisProcess(): string {
  const stat = readFileSync("/proc/self/stat", "latin1");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] as string;
}
