/** What commands about connections and servers ask of them. The server has both: serve/redis-server.ts. */

import type { KnownCommand } from "./command.ts";
import type { Reply } from "./reply.ts";
import type { SlowLog } from "./slow-log.ts";
import type { Users } from "./users.ts";

/** One connection. */
export interface Client {
  /** Never used twice by a server. */
  readonly id: number;
  resp3: boolean;
  /** As `CLIENT SETNAME` gave it; empty if it did not. */
  name: string;
  /** Its name. */
  readonly user: string;
  readonly isAuthenticated: boolean;
  /** `host:port` of both ends. */
  readonly address: string;
  readonly localAddress: string;
  readonly sinceMs: number;
  /** When it asked something the last time. */
  readonly activeMs: number;
  lastCommand: string;
  db: number;
  /** Replies that it does not want: all, or the next. */
  silence: "none" | "all" | "next";
  noEvict: boolean;
  /** It is shown every request of this server. */
  isMonitor: boolean;
  /** What it reads goes through the order as well: so it is linearizable. */
  readsInOrder: boolean;
  readonly channels: ReadonlySet<string>;
  readonly patterns: ReadonlySet<string>;
  /** Commands that wait for `EXEC`; `undefined` outside of a transaction. */
  readonly queued: number | undefined;
  readonly isBlocked: boolean;
  readonly queryBytes: number;
  readonly outputBytes: number;

  /** Is told of what is said on that channel, or on those like a pattern. Gives how many it listens to now. */
  subscribe(kind: "channel" | "pattern", name: string): number;
  unsubscribe(kind: "channel" | "pattern", name: string): number;
  /** It is that user, if the password is right; if not, that is noted. */
  signIn(user: string, password: string): boolean;
  /** As it was when it came. */
  reset(): void;
  /** Begins a transaction, gives it up. */
  multi(): void;
  discard(): void;
  /**
   * The command that runs is answered by what this gives, once, and what the client asks next waits for that.
   * @param until what the client waits for is lost when the system is restored, or is the restore itself. @default "restored"
   */
  answerLater(until?: "restored" | "answered"): (write: (reply: Reply) => void) => void;
  /** Closes the connection once it has what it is owed. */
  close(): void;
}

/** One server. */
export interface Server {
  readonly runId: string;
  readonly port: number;
  readonly startedMs: number;
  /** Everything that `CONFIG GET` shows, by name. */
  readonly settings: ReadonlyMap<string, string>;
  readonly commands: readonly KnownCommand[];
  readonly clients: Iterable<Client>;
  /** Of each channel, how many of its clients listen. */
  readonly channels: ReadonlyMap<string, { readonly size: number }>;
  readonly patterns: ReadonlyMap<string, { readonly size: number }>;

  /**
   * Changes settings, all or none.
   * @throws Refusal
   */
  configure(settings: readonly (readonly [name: string, value: string])[]): void;
  readonly users: Users;
  /** Where users are kept, if they are. @throws Refusal also if it cannot be read or written */
  readonly usersFile: { load(): void; save(): void } | undefined;
  /** So many hexadecimal digits that nobody can guess. */
  secret(digits: number): string;
  /** The sections of `INFO`, by name: lines of `name:value`. */
  info(): ReadonlyMap<string, ReadonlyMap<string, string | number>>;
  command(name: string): KnownCommand | undefined;
  /** Ends connections that fit. Gives how many. */
  kill(fits: (client: Client) => boolean): number;
  /** Has a client that waits for a key wait no longer. True if it did. */
  unblock(id: number, isError: boolean): boolean;
  /** For debugging: it does nothing for so long. */
  sleep(ms: number): void;
  /** A global snapshot is being taken. */
  readonly isSaving: boolean;
  /** Takes a global snapshot; to be called if none is under way. Gives its id when it is complete. */
  snapshot(label?: string): Promise<string>;
  /** When the latest snapshot of this server was complete, in milliseconds since 1970. */
  readonly snapshotMs: number;
  /** What is used of the memory of the process. */
  readonly memory: {
    readonly usedBytes: number;
    readonly peakBytes: number;
    readonly startBytes: number;
  };
  readonly slowLog: SlowLog;
  /** How many replicas there are beside the one of this server. */
  readonly otherReplicas: number;
  readonly system: StoreSystem;
  /** No requests are done until then, or none that write. */
  pause(untilMs: number, writesOnly: boolean): void;
  unpause(): void;
  resetStatistics(): void;
}

/** The system that the replica of a server is a part of. Promises are rejected with what has a `code` and a `message`. */
export interface StoreSystem {
  readonly process: string;
  readonly epoch: number;
  /** How many records the replica has done: in one epoch, the same number is the same state. */
  readonly records: number;
  readonly replicas: readonly string[];
  /** Keys that are not in the total order, each as an order and a pattern. */
  readonly namespaces: readonly string[];
  /** How many effects on those are not known to be known to all. */
  readonly unsettled: number;
  /** Those that cannot be reached. */
  readonly absent: readonly string[];
  /** What waits at this replica, and for what, in sentences. */
  explain(): readonly string[];
  /** Tells once so many records are done in that epoch; or with a problem, when the time is over (0: never) or an epoch has gone by. */
  whenDone(
    client: Client,
    place: { readonly epoch: number; readonly records: number },
    timeoutMs: number,
    tell: (problem: string | undefined) => void,
  ): void;
  /** The newest first. */
  snapshots(count: number): Promise<readonly ListedSnapshot[]>;
  restore(snapshot: string): Promise<RestoredSystem>;
  /** What came of an attempt at a snapshot: the newest with that id or label, or `latest`. */
  attempt(name: string): Promise<ListedAttempt | undefined>;
}

export interface ListedSnapshot {
  readonly id: string;
  readonly label?: string;
  readonly epoch: number;
  readonly startedAtMs: number;
  readonly processes: number;
  readonly inFlight: number;
  readonly bytes: number;
}

export interface RestoredSystem {
  readonly snapshot: string;
  readonly epoch: number;
  /** They follow when they come back. */
  readonly absent: readonly string[];
  /** The snapshot that shows that all go on; or why there is none. */
  readonly proof?: string;
  readonly reason?: string;
}

export interface ListedAttempt {
  readonly snapshot?: string;
  readonly initiator: string;
  readonly label?: string;
  readonly startedAtMs: number;
  readonly outcome: string;
  readonly tookMs?: number;
  readonly reason?: string;
  readonly waits: readonly { readonly process: string; readonly waitsFor: readonly string[] }[];
}
