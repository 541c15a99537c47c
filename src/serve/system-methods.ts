/** What a running system can be asked, over its control socket and by its page. */

import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";
import type { Explanation, ProcessCounters } from "../process/process.ts";
import type { Restoration } from "../runtime/restoration.ts";
import type { RecordedEvent, RecorderOptions, Recording } from "../trace/recorder.ts";

/** Parameter and result of each method. */
export type SystemMethods = {
  readonly status: readonly [null, SystemStatus];
  readonly versions: readonly [null, SystemVersions];
  readonly notes: readonly [null, { readonly notes: readonly SystemNote[] }];
  readonly snapshot: readonly [SnapshotRequest, SnapshotResult];
  readonly restore: readonly [RestoreRequest, Restoration];
  readonly request: readonly [ApplicationRequest, ApplicationReply];
  /** Refused unless the system was started with `--chaos`. */
  readonly disturb: readonly [Disturbance, null];
  readonly startTrace: readonly [TraceRequest, null];
  readonly stopTrace: readonly [null, { readonly recordings: readonly RecordingHead[] }];
  readonly readTrace: readonly [TracePageRequest, { readonly events: readonly RecordedEvent[] }];
};

/** What there is to know about a running system. */
export interface SystemStatus {
  readonly kind: "bank" | "application" | "store";
  /** Of the parent of all processes. */
  readonly pid: number;
  readonly directory: string;
  readonly startedAtMs: number;
  /** All the money there is, in a bank. */
  readonly expected?: number;
  /** Snapshots that it has taken by itself. */
  readonly snapshots: number;
  /** Present if it may be disturbed. */
  readonly chaos?: ChaosStatus;
  /** It is being restored. */
  readonly restoring?: true;
  /** It ends, once it has answered what it was asked. */
  readonly stopping?: true;
  /** Empty while it is starting. */
  readonly processes: readonly ProcessStatus[];
  /** Of one process of a system on several machines: the others. */
  readonly elsewhere?: readonly ProcessId[];
}

/** Of what versions a running system is. */
export interface SystemVersions {
  /** Of Tidemark and of Node, in the parent of all processes. */
  readonly version: string;
  readonly node: string;
  /** Of those that answer. */
  readonly processes: readonly HostVersions[];
}

/** The same of one of its processes. */
export interface HostVersions {
  readonly process: ProcessId;
  readonly version: string;
  readonly node: string;
  /** By how much the clock of the machine has been set since the process was started, whose own time goes on. */
  readonly clockSetMs: number;
}

/** What disturbs a system now, and what follows when a process is killed. */
export interface ChaosStatus {
  /** Channels on which nothing gets through. */
  readonly cuts: readonly Channel[];
  /** Processes that do nothing until they are resumed. */
  readonly halted: readonly ProcessId[];
  /** How inputs are logged; absent: a process that is killed comes back without its state. */
  readonly log?: "always" | "everysec" | "none";
  /** How often in a while a process is started again. */
  readonly restarts: number;
}

/**
 * What somebody does to a system to see what it does then: ends a process at once (SIGKILL), halts it (SIGSTOP) and resumes it (SIGCONT);
 * lets nothing through on a channel, and everything again.
 */
export type Disturbance =
  | { readonly what: "kill" | "halt" | "resume"; readonly process: ProcessId }
  | { readonly what: "cut" | "heal"; readonly from: ProcessId; readonly to: ProcessId };

/** Something that people should know of a system. */
export interface SystemNote {
  /** Ascends by one from the start of the system. */
  readonly number: number;
  readonly atMs: number;
  readonly text: string;
}

/** A snapshot that somebody wants. */
export interface SnapshotRequest {
  readonly label?: string;
  /** Whoever asks for it removes it again: it takes no place among those that are kept. */
  readonly passing?: true;
}

/** What came of it. */
export interface SnapshotResult {
  readonly snapshot: SnapshotId;
  readonly processes: number;
  readonly messagesInFlight: number;
  /** Of a bank. */
  readonly amountInFlight?: number;
  readonly sum?: number;
  readonly expected?: number;
  readonly consistent: boolean;
  readonly markers: number;
  readonly durationMs: number;
  /** Why it is not consistent. */
  readonly problem?: string;
}

/** That somebody wants all processes back at a snapshot. */
export interface RestoreRequest {
  readonly snapshot: SnapshotId;
  readonly timeoutMs: number;
}

/** What somebody asks the application of a process. */
export interface ApplicationRequest {
  readonly process: ProcessId;
  readonly request: unknown;
  readonly timeoutMs: number;
}

export interface ApplicationReply {
  readonly reply: unknown;
}

/** That somebody wants it recorded what all processes do. */
export interface TraceRequest {
  readonly options: RecorderOptions;
  readonly forMs: number;
}

/** A part of what one has recorded. */
export interface TracePageRequest {
  readonly process: ProcessId;
  /** The number of the first event, from 0. */
  readonly from: number;
}

/** What is known of one process. */
export interface ProcessStatus {
  readonly process: ProcessId;
  readonly pid: number;
  readonly address: string;
  /** Of a store: where clients reach it, as `host:port`. */
  readonly serves?: string;
  /** Of one whose clients speak TLS: the directory with its certificate. */
  readonly clientTls?: string;
  readonly up: boolean;
  readonly epoch: number;
  /** Messages since it started; absent when it does not answer. */
  readonly sent?: number;
  readonly received?: number;
  readonly peers?: ProcessCounters["peers"];
  /** What is late or held, as the process itself explains it. */
  readonly explanation?: Explanation;
  /** How often it has been started again, and how it ended before that; absent if it never was. */
  readonly restarts?: number;
  readonly lastEnd?: string;
  /** Why it is not started again any more. */
  readonly givenUp?: string;
}

/** A recording without its events: these are read page by page. */
export interface RecordingHead extends Omit<Recording, "events"> {
  readonly count: number;
}
