/** What commands about connections and servers ask of them. The server has both: serve/redis-server.ts. */

import type { KnownCommand } from "./command.ts";
import type { Reply } from "./reply.ts";
import type { SlowLog } from "./slow-log.ts";

/** One connection. */
export interface Client {
  /** Never used twice by a server. */
  readonly id: number;
  resp3: boolean;
  /** As `CLIENT SETNAME` gave it; empty if it did not. */
  name: string;
  user: string;
  isAuthenticated: boolean;
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
  /** As it was when it came. */
  reset(): void;
  /** Begins a transaction, gives it up. */
  multi(): void;
  discard(): void;
  /** The command that runs is answered by what this gives, once, and what the client asks next waits for that. */
  answerLater(): (write: (reply: Reply) => void) => void;
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
  /** Whether the password is the one that is asked for. */
  admits(user: string, password: string): boolean;
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
  /**
   * Takes a global snapshot in the background; to be called if none is under way.
   * @param done is told when it is complete, or why it is not
   */
  snapshot(done?: (problem: string | undefined) => void): void;
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
  /** No requests are done until then, or none that write. */
  pause(untilMs: number, writesOnly: boolean): void;
  unpause(): void;
  resetStatistics(): void;
}
