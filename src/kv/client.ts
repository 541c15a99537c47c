/** What commands about connections and servers ask of them. The server has both: serve/redis-server.ts. */

import type { KnownCommand } from "./command.ts";

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
  readonly channels: ReadonlyMap<string, number>;
  readonly patterns: ReadonlyMap<string, number>;

  /**
   * Changes settings, all or none.
   * @throws Refusal
   */
  configure(settings: ReadonlyMap<string, string>): void;
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
  /** Takes a global snapshot in the background. False if one is under way. */
  snapshot(): boolean;
  /** When the latest snapshot of this server was complete, in milliseconds since 1970. */
  readonly snapshotMs: number;
  resetStatistics(): void;
}
