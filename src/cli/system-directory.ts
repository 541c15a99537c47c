/**
 * What a directory says of the system that ran in it, and whether another one may go on from it.
 *
 *     DIR/system.json       which processes the system had when it began, and in which epoch; only of one with logs, or that was begun anew
 *     DIR/logs/ID/          the input log of each process
 *     DIR/logs-aside-1/     logs that another beginning, or a restore, has moved out of the way
 *
 * The epoch of a system is that of the newest record in its store, or that in which it began, whichever is later; so what
 * began anew is not taken for what had been restored before.
 */

import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { EpochRecord, SnapshotStore } from "../runtime/snapshot-store.ts";
import type { Tell } from "./event-log.ts";
import { makeDirectory } from "./text-file.ts";

/** On what it depends whether a system can go on from the logs of an earlier one: on its processes, and whatever else shapes its turns. */
export interface About {
  readonly processes: readonly ProcessId[];
  readonly money?: number;
  readonly rate?: number | "max";
}

/** How a system begins in a directory. */
export interface Beginning {
  /** For processes that begin with nothing. */
  readonly epoch: number;
  /** The newest restore, if processes without a log go on from it. */
  readonly restored?: EpochRecord | undefined;
}

interface Begun {
  readonly format: typeof FORMAT;
  readonly epoch: number;
  readonly about: About;
}

const FORMAT = "tidemark-system/1";
const FILE = "system.json";

/** Where a process of the system has its input log. */
export function logOf(directory: string, id: ProcessId): string {
  return join(directory, "logs", id);
}

/**
 * Gives how a system begins in a directory, which is there already.
 *
 * @param options.logs the processes log their inputs
 * @param options.anew begin with nothing, in a later epoch; logs are moved aside
 * @param note hears of what people should know
 * @throws TidemarkError `BAD_OPTION` if what is there is of another system; `DAMAGED`, `STORE_FAILED`
 */
export async function beginIn(
  directory: string,
  store: SnapshotStore,
  about: About,
  options: { readonly logs: boolean; readonly anew: boolean },
  note: Tell,
): Promise<Beginning> {
  const record = await store.epoch();
  const begun = readBegun(directory);
  const logs = hasLogs(directory);
  const newest = Math.max(record?.epoch ?? 0, begun?.epoch ?? 0);
  if (options.anew) {
    const used = newest > 0 || logs || (await hasSnapshots(store));
    const epoch = used ? Math.max(1, newest) + 1 : 1;
    // The file first: who dies in between finds logs of an earlier epoch, which it may still move aside.
    writeBegun(directory, { format: FORMAT, epoch, about });
    if (logs) note(await moveLogAside(directory), { event: "logs_moved_aside" });
    return { epoch };
  }
  const epoch = begun?.epoch ?? 1;
  const restored = record && record.epoch >= epoch ? record : undefined;
  const how = "start it so, or with --new";
  if (options.logs && logs && begun && !isDeepStrictEqual(begun.about, { ...about }))
    throw new TidemarkError(
      "BAD_OPTION",
      `the system in ${directory} began with ${told(begun.about)}, and not with ${told(about)}: ${how}`,
    );
  if (restored) {
    const manifest = (await store.get(restored.snapshot))?.manifest;
    const there = [...about.processes].sort();
    if (manifest && !isDeepStrictEqual(manifest.processes, there))
      throw new TidemarkError(
        "BAD_OPTION",
        `the system in ${directory} was restored to ${restored.snapshot}, which has ${manifest.processes.join(", ")}: ${how}`,
      );
  }
  if (!options.logs && logs)
    note(`the logs in ${join(directory, "logs")} are not used`, { event: "logs_unused" });
  if (options.logs && !(logs && begun)) writeBegun(directory, { format: FORMAT, epoch, about });
  return { epoch, restored };
}

/** The epoch in which the system of a directory began, or was restored last; 0 if neither is known. */
export async function newestEpoch(directory: string, store: SnapshotStore): Promise<number> {
  return Math.max((await store.epoch())?.epoch ?? 0, readBegun(directory)?.epoch ?? 0);
}

/**
 * Moves all logs aside, or that of one process; says where.
 * @throws TidemarkError `STORE_FAILED`
 */
export async function moveLogAside(directory: string, id?: ProcessId): Promise<string> {
  const from = id === undefined ? join(directory, "logs") : logOf(directory, id);
  try {
    for (let number = 1; ; number += 1) {
      const aside = join(directory, `logs-aside-${number}`);
      if (existsSync(aside)) continue;
      if (id !== undefined) makeDirectory(aside);
      renameSync(from, id === undefined ? aside : join(aside, id));
      return `${id === undefined ? "the logs were" : `the log of ${id} was`} moved to ${aside}`;
    }
  } catch (error) {
    if (isTidemarkError(error)) throw error;
    throw new TidemarkError("STORE_FAILED", `${from} cannot be moved aside: ${textOf(error)}`);
  }
}

function hasLogs(directory: string): boolean {
  try {
    return readdirSync(join(directory, "logs")).length > 0;
  } catch {
    return false;
  }
}

async function hasSnapshots(store: SnapshotStore): Promise<boolean> {
  for await (const _ of store.list()) return true;
  return false;
}

function readBegun(directory: string): Begun | undefined {
  const path = join(directory, FILE);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new TidemarkError("STORE_FAILED", `${path} cannot be read: ${textOf(error)}`);
  }
  try {
    const begun = JSON.parse(text) as Begun;
    const epoch = begun.epoch;
    const right = begun.format === FORMAT && Number.isInteger(epoch) && epoch >= 1;
    if (right && Array.isArray(begun.about.processes)) return begun;
  } catch {
    // Said below.
  }
  throw new TidemarkError(
    "DAMAGED",
    `${path} does not say how the system began: move it away, and --new begins another one`,
  );
}

/** All or nothing: a file that is half written would keep the next start away. */
function writeBegun(directory: string, begun: Begun): void {
  const path = join(directory, FILE);
  try {
    writeFileSync(`${path}.tmp`, `${JSON.stringify(begun)}\n`, { flush: true });
    renameSync(`${path}.tmp`, path);
  } catch (error) {
    throw new TidemarkError("STORE_FAILED", `${path} cannot be written: ${textOf(error)}`);
  }
}

function told({ processes, money, rate }: About): string {
  const bank = money === undefined ? "" : `, --money ${money} and --rate ${rate}`;
  return `${processes.join(", ")}${bank}`;
}
