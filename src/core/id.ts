/** Names of processes and of snapshots. Both go into file names, frames and pages, so their alphabet is small. */

import { TidemarkError } from "./error.ts";

/** One participant: 1 to 64 of letters, digits, `.`, `_`, `-`; it begins with a letter or digit. */
export type ProcessId = string;

/** `initiator/count`, as in `p2/7`. */
export type SnapshotId = `${string}/${number}`;

const PROCESS_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const SNAPSHOT_ID = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})\/([1-9][0-9]{0,14})$/;

/** True for a well-formed process id. */
export function isProcessId(text: unknown): text is ProcessId {
  return typeof text === "string" && PROCESS_ID.test(text);
}

/**
 * Gives the id back if it is well formed.
 * @throws TidemarkError `BAD_ID`
 */
export function checkProcessId(text: unknown): ProcessId {
  if (isProcessId(text)) return text;
  throw new TidemarkError(
    "BAD_ID",
    `${show(text)} is not a process id: use 1 to 64 letters, digits, ".", "_" or "-", beginning with a letter or digit`,
  );
}

/** Whatever it is, as short text: what is no id may be a megabyte, or nothing that JSON can hold. */
function show(value: unknown): string {
  if (typeof value !== "string") return `a value of type ${typeof value}`;
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 79)}…` : value);
}

/** True for a well-formed snapshot id. */
export function isSnapshotId(text: unknown): text is SnapshotId {
  return typeof text === "string" && SNAPSHOT_ID.test(text);
}

/** The id of the `count`-th snapshot that `initiator` began. */
export function snapshotId(initiator: ProcessId, count: number): SnapshotId {
  return `${initiator}/${count}`;
}

/**
 * Splits a snapshot id into its initiator and count.
 * @throws TidemarkError `BAD_ID`
 */
export function parseSnapshotId(text: unknown): {
  readonly id: SnapshotId;
  readonly initiator: ProcessId;
  readonly count: number;
} {
  const match = typeof text === "string" ? SNAPSHOT_ID.exec(text) : null;
  if (!match)
    throw new TidemarkError("BAD_ID", `${show(text)} is not a snapshot id: one looks like p2/7`);
  const [, initiator, count] = match as unknown as [string, string, string];
  return { id: `${initiator}/${Number(count)}`, initiator, count: Number(count) };
}
