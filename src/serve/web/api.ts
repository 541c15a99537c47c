/**
 * What the page and its server say to each other, in JSON: types alone, which both import. Which routes there are, and which input is
 * right, is said where the routes are, and served as `/api/openapi.json`.
 *
 * Theory of operation. What a page shows is either asked for by a route, or told on the one stream of events, `/api/events`: what a topic
 * tells is looked at again and again while somebody listens, and told when it has changed. A page that does not keep up misses looks, but
 * never what there is at last: each event has the whole of what it tells.
 */

import type { ProcessId, SnapshotId } from "../../core/id.ts";
import type { Detection } from "../../detect/verdict.ts";
import type { TypedReply } from "../../kv/reply-reader.ts";
import type { SystemExplanation } from "../../process/causes.ts";
import type { SystemNote, SystemStatus } from "../system-methods.ts";

/** What the server serves. */
export interface PageAbout {
  /** A bank, an application of one's own, or a store that runs; a directory in which nothing runs; a file. */
  readonly kind: "bank" | "application" | "store" | "directory" | "file";
  /** What people call it: the directory, or the file. */
  readonly title: string;
  /** Of Tidemark. */
  readonly version: string;
  /** Whether processes may be killed and stopped, and channels cut, from the page. */
  readonly chaos: boolean;
  readonly processes: readonly ProcessId[];
}

/** What every request that fails is answered. */
export interface PageProblem {
  /** One of `ERROR_CODES`, or `UNAUTHORIZED`, `FORBIDDEN`. */
  readonly code: string;
  readonly message: string;
}

/** The topics of `/api/events`, and what each tells. */
export interface PageTopics {
  /** Of a system that runs, twice a second. */
  readonly status: PageStatus;
  /** The last that were said, when there is a new one. */
  readonly notes: readonly SystemNote[];
  /** What is watched, and what was found. */
  readonly watch: PageWatch;
  /** Of a store that runs, once a second. */
  readonly store: PageStore;
}

export type PageTopic = keyof PageTopics;

/** What there is to know about a running system, and what holds it up. */
export interface PageStatus extends SystemStatus {
  readonly atMs: number;
  readonly causes: SystemExplanation;
}

/** A snapshot; or an attempt that left none, with the reason. */
export interface PageSnapshot {
  /** Absent if it was refused: then none began. */
  readonly id?: SnapshotId;
  readonly initiator: ProcessId;
  readonly label?: string;
  /** By the initiator's clock, milliseconds since 1970. */
  readonly startedAtMs: number;
  /** Damaged: there is a manifest, and it cannot be read. */
  readonly outcome: "complete" | "abandoned" | "refused" | "open" | "damaged";
  /** Why there is nothing to look at. */
  readonly reason?: string;
  /** Until the cut was made, or the attempt was over. */
  readonly tookMs?: number;
  readonly epoch?: number;
  readonly processes?: number;
  /** Messages. */
  readonly inFlight?: number;
  /** Of all parts together. */
  readonly bytes?: number;
}

/** Some of them, the newest first. */
export interface PageSnapshots {
  readonly entries: readonly PageSnapshot[];
  /** How many there are that were asked for. */
  readonly total: number;
  /** So many snapshots there are, and of so many the manifests have been read: until it is all of them, others are not found by a text. */
  readonly snapshots: number;
  readonly read: number;
  /** From which the present epoch began: the next start needs it, so it cannot be deleted. */
  readonly inUse?: SnapshotId;
  /** What could not be read. */
  readonly problems: readonly string[];
}

/** Which of them. */
export type PageSnapshotsKind = "all" | "snapshots" | "failed";

/** What a restore would take back, as far as two manifests tell. */
export interface RestorePlan {
  readonly snapshot: SnapshotId;
  /** With what it is compared: the newest there is. */
  readonly now: SnapshotId;
  /** From the one to the other, in milliseconds. */
  readonly agoMs: number;
  /** Snapshots that were begun after it. They stay. */
  readonly snapshotsSince: number;
  /** Messages since; absent where the two are not of one history. */
  readonly processes: readonly {
    readonly process: ProcessId;
    readonly sent?: number;
    readonly received?: number;
  }[];
  /** Messages that were in flight at the snapshot: they are received again. */
  readonly inFlight: number;
}

/** The same, as the page is told. */
export interface PageRestorePlan extends RestorePlan {
  readonly running: boolean;
  /** That `now` was taken for the comparison. */
  readonly isTaken: boolean;
  /** Why none was taken, although a system runs. */
  readonly reason?: string;
}

/** What came of a restore. */
export interface PageRestoration {
  readonly snapshot: SnapshotId;
  /** False: the next start goes on from it. */
  readonly running: boolean;
  readonly epoch: number;
  readonly absent: readonly ProcessId[];
  readonly proof?: SnapshotId;
  readonly reason?: string;
}

/** What a clone is to be. */
export interface PageCloneRequest {
  /** Of the second system; below the directory in which the server was started, if it does not begin with a slash. */
  readonly directory: string;
  /** New names of processes, by the old ones. */
  readonly rename?: Readonly<Record<ProcessId, ProcessId>>;
  readonly system?: string;
}

/** What a clone would be, or is. */
export interface PageClone {
  readonly snapshot: SnapshotId;
  readonly copy: SnapshotId;
  /** From the root. */
  readonly directory: string;
  readonly system: string;
  readonly epoch: number;
  readonly processes: readonly ProcessId[];
  readonly bytes: number;
}

/** What is to be watched. */
export interface WatchRequest {
  /** As `tidemark watch` takes them. */
  readonly detectors: readonly string[];
  readonly everyMs: number;
}

/** Standing detectors, and what they have found. */
export interface PageWatch {
  /** Absent: nothing is watched now; what was found before is still told. */
  readonly watching?: WatchRequest & {
    readonly sinceMs: number;
    /** Since when the look that is under way is; absent between looks. */
    readonly lookingSinceMs?: number;
  };
  /** How often it was looked. */
  readonly looks: number;
  /** Why no look is possible, or none any more. */
  readonly problem?: string;
  /** The newest of each detector; lists in the evidence are cut short. */
  readonly verdicts: readonly {
    readonly atMs: number;
    readonly snapshot: SnapshotId;
    readonly detection: Detection;
  }[];
  /** The last ones, oldest first. */
  readonly changes: readonly WatchChange[];
  /** By detector, what the last looks added up to. */
  readonly sums: Readonly<Record<string, readonly SumPoint[]>>;
}

/** A verdict that was another one before, or that no look was possible. */
export interface WatchChange {
  readonly number: number;
  readonly atMs: number;
  readonly snapshot?: SnapshotId;
  readonly detector?: string;
  readonly detected?: boolean | null;
  readonly sentence?: string;
  readonly problem?: string;
}

/** A sum at one look. */
export interface SumPoint {
  readonly atMs: number;
  readonly sum: number;
  readonly expected: number;
  readonly inFlight: number;
}

/** What there is to know of a store. Keys, values and words are texts with a character for each byte: U+0000 to U+00FF. */
export interface PageStore {
  readonly atMs: number;
  readonly replicas: readonly PageReplica[];
  /** Patterns of keys that are not in total order, as the replicas say. */
  readonly namespaces: readonly { readonly order: "causal" | "fifo"; readonly pattern: string }[];
  /** It has a password, and the server of the page was not told it, or another one. */
  readonly wantsPassword: boolean;
}

/** One replica of a store, with the server beside it. */
export interface PageReplica {
  readonly process: ProcessId;
  /** Where clients reach it. */
  readonly address: string;
  /** Why nothing is known of it. */
  readonly problem?: string;
  readonly figures?: ReplicaFigures;
}

export interface ReplicaFigures {
  readonly epoch: number;
  /** How many records it has done: its place in the order. */
  readonly records: number;
  /** Effects on keys that converge that are not known to be known to all. */
  readonly unsettled: number;
  /** Processes that it cannot reach. */
  readonly absent: readonly ProcessId[];
  /** What waits there and for what, in sentences. */
  readonly waits: readonly string[];
  /** By database, those with keys alone. */
  readonly keys: Readonly<Record<string, number>>;
  readonly usedBytes: number;
  readonly clients: number;
  /** Commands that it has been asked since it started. */
  readonly commands: number;
  /** Those of them that the server of the page has asked for pages. */
  readonly ownCommands: number;
  readonly upSeconds: number;
}

/** What one replica answered to several requests; or why it did not. */
export interface StoreAnswer {
  readonly process: ProcessId;
  readonly replies?: readonly TypedReply[];
  readonly problem?: PageProblem;
  readonly tookMs: number;
}

/** What the stream of a console tells. */
export interface ConsoleEvents {
  /** First: the name of the session, under which commands are sent. */
  readonly opened: { readonly session: string; readonly process: ProcessId };
  /** The answer to a command. */
  readonly reply: { readonly number: number; readonly reply: TypedReply; readonly tookMs: number };
  /** Something that no command asked for: messages of channels, requests of others. */
  readonly unasked: { readonly reply: TypedReply };
  /** So much that nobody asked for was left out. */
  readonly missed: number;
  /** Last: why there will be no more. */
  readonly closed: { readonly reason: string };
}

/** What the stream of live commands tells. */
export interface CommandEvents {
  readonly command: LiveCommand;
  readonly missed: number;
  /** A replica is watched from now on, or not any more. */
  readonly watching: { readonly process: ProcessId; readonly problem?: string };
}

/** What a client has asked a replica. */
export interface LiveCommand {
  readonly process: ProcessId;
  readonly atMs: number;
  readonly db: number;
  readonly client: string;
  readonly words: readonly string[];
}
