/** What a running system can be asked over its control socket. */

import { TidemarkError } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import type { Audit } from "./audit.ts";
import type { ProcessStatus } from "./system.ts";

/** Parameter and result of each method. */
export type SystemMethods = {
  readonly status: readonly [null, SystemStatus];
  readonly snapshot: readonly [SnapshotRequest, SnapshotResult];
};

/** What there is to know about a running system. */
export interface SystemStatus {
  /** Of the parent of all processes. */
  readonly pid: number;
  readonly directory: string;
  readonly startedAtMs: number;
  /** All the money there is. */
  readonly expected: number;
  /** Snapshots that it has taken by itself. */
  readonly snapshots: number;
  /** Empty while it is starting. */
  readonly processes: readonly ProcessStatus[];
}

/** A snapshot that somebody wants. */
export interface SnapshotRequest {
  readonly label?: string;
}

/** What came of it. */
export interface SnapshotResult {
  readonly snapshot: SnapshotId;
  readonly processes: number;
  readonly messagesInFlight: number;
  readonly amountInFlight: number;
  readonly sum: number;
  readonly expected: number;
  readonly consistent: boolean;
  readonly markers: number;
  readonly durationMs: number;
  /** Why it is not consistent. */
  readonly problem?: string;
}

const LABEL_CHARACTERS = 256;

/** @throws TidemarkError `BAD_OPTION` */
export function checkSnapshotRequest(parameter: unknown): SnapshotRequest {
  const { label } = (parameter ?? {}) as { readonly label?: unknown };
  if (label === undefined) return {};
  if (typeof label === "string" && label.length >= 1 && label.length <= LABEL_CHARACTERS)
    return { label };
  throw new TidemarkError("BAD_OPTION", `a label has 1 to ${LABEL_CHARACTERS} characters`);
}

/** What is told of a snapshot, in this order. */
export function snapshotResult(audit: Audit, expected: number): SnapshotResult {
  const { manifest, problem } = audit;
  return {
    snapshot: manifest.id,
    processes: manifest.processes.length,
    messagesInFlight: audit.messagesInFlight,
    amountInFlight: audit.amountInFlight,
    sum: audit.sum,
    expected,
    consistent: problem === undefined,
    markers: manifest.channels.length,
    durationMs: Math.round(manifest.cutMs * 100) / 100,
    ...(problem === undefined ? {} : { problem }),
  };
}
