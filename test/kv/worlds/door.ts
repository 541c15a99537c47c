/**
 * What stands beside a replica in a simulated world instead of a server with sockets: it cuts nothing and sends nothing, but it multicasts
 * records, reads beside the order, and hears what its clients are to have, by the rules of the server that ships.
 */

import type { ProcessId } from "../../../src/core/id.ts";
import { joinBytes } from "../../../src/core/record.ts";
import type { Client } from "../../../src/kv/client.ts";
import { commandTable } from "../../../src/kv/commands.ts";
import { readLatin1 } from "../../../src/kv/latin1.ts";
import { CONVERGING } from "../../../src/kv/namespaces.ts";
import { KIND, RecordWriter } from "../../../src/kv/record.ts";
import type { Output, Replica, ReplicaServer } from "../../../src/kv/replica.ts";
import { Reply as Written } from "../../../src/kv/reply.ts";
import { encodeRequest } from "../../../src/kv/request-reader.ts";
import type { Reply } from "../../../src/trace.ts";

/** A record as a replica has taken it. */
export interface Taken {
  readonly from: ProcessId;
  readonly stream: number;
  readonly kind: number;
  readonly session: number;
  /** The time of the replica. */
  readonly atMs: number;
  readonly requests: string;
}

/** One thing that a client asked, and what came of it. */
export interface Call {
  readonly client: string;
  readonly command: readonly string[];
  readonly transaction?: readonly (readonly string[])[];
  /** Not a record: read where it was asked, after so many records, of which that was the last, at that time. */
  readonly read?: {
    readonly door: Door;
    readonly applied: number;
    readonly last: Taken | undefined;
    readonly atMs: number;
  };
  readonly epoch: number;
  /** In virtual time, which is no order. */
  readonly askedMs: number;
  readonly calledAt: number;
  returnedAt?: number;
  answeredMs?: number;
  reply?: Reply;
  /** Where it was asked; and, in a store with namespaces, what that replica had been told when it was done. */
  readonly process: ProcessId;
  /** In which order: 0 is the total one. */
  readonly level?: number;
  seen?: readonly number[];
}

/** A connection. */
export interface Connection {
  readonly door: Door;
  readonly name: string;
  /** Whose it is: somebody may come from another replica, with a token. */
  readonly client: string;
  readonly session: number;
  /** All that went through the order, and how much of it has been answered. */
  readonly records: Call[];
  answered: number;
  /** In which order that is: 0 is the total one. */
  level: number;
  isClosed: boolean;
}

/** See `TIDEMARK TOKEN`. */
export interface Token {
  readonly client: string;
  readonly epoch: number;
  readonly place: number;
}

/** What a door needs of the world around it. */
export interface Surroundings {
  /** A clock of the world, and of no process. */
  readonly now: () => number;
  readonly nowMs: () => number;
  readonly epochOf: (process: ProcessId) => number;
  readonly after: (ms: number, act: () => void) => void;
  readonly request: (process: ProcessId, message: Uint8Array) => void;
  /** What the replica of a process has taken last. */
  readonly last: () => Taken | undefined;
  /** What it has been told in a namespace. */
  readonly seen: () => readonly number[] | undefined;
}

const BLOCKING: ReadonlySet<string> = new Set(["BLPOP", "BRPOP"]);
const NOTHING = new Uint8Array(0);

/** See the head of the file. One of each life of a process. */
export class Door {
  readonly process: ProcessId;
  readonly stream: number;
  readonly replica: Replica;
  readonly connections: Map<number, Connection> = new Map<number, Connection>();
  readonly #around: Surroundings;
  /** By level. */
  readonly #writers: readonly RecordWriter[];
  readonly #written = new Written();
  #last = 0;
  isOpen: boolean = true;

  constructor(process: ProcessId, stream: number, replica: Replica, around: Surroundings) {
    this.process = process;
    this.stream = stream;
    this.replica = replica;
    this.#around = around;
    const levels = replica.namespaces ? [0, ...CONVERGING.map((_, i) => i + 1)] : [0];
    this.#writers = levels.map(
      (level) => new RecordWriter(stream, (message) => around.request(process, message), level),
    );
    const server: Partial<ReplicaServer> = {
      clientOf: (session) =>
        this.connections.has(session) ? ({ id: session, resp3: false } as Client) : undefined,
      subscribers: () => 0,
      tellsOf: () => 0,
      times: () => false,
      advanced: () => {},
      problem: (reason) => {
        throw new Error(reason);
      },
    };
    replica.attach(server as ReplicaServer, stream);
    this.#add(KIND.forget, 0, NOTHING);
  }

  /** @param token what `token` gave; nobody is let in before this replica has come to that place */
  connect(token?: Token): Connection | undefined {
    if (token && token.place > this.replica.applied) return undefined;
    this.#last += 1;
    const session = this.#last;
    const name = `${this.process}.${this.stream}.${session}`;
    const connection = {
      ...{ door: this, name, client: token?.client ?? name, session },
      ...{ records: [], answered: 0, level: 0, isClosed: false },
    };
    this.connections.set(session, connection);
    return connection;
  }

  /** What a client takes with it, to go on from another replica of the same epoch. */
  token({ client }: Connection): Token {
    return { client, epoch: this.epoch, place: this.replica.applied };
  }

  get epoch(): number {
    return this.#around.epochOf(this.process);
  }

  /** The order of a request: 0 is the total one. */
  #levelOf(words: readonly string[]): number {
    const command = commandTable.get(words[0] as string);
    const level = command && this.replica.namespaces?.orderOf(command, words, 0);
    return level === undefined ? 0 : CONVERGING.indexOf(level) + 1;
  }

  /** What is in another order than what it waits for has to wait. */
  takes(connection: Connection, words: readonly string[]): boolean {
    const isOrdered = commandTable.get(words[0] as string)?.isOrdered ?? true;
    return !(waits(connection) && isOrdered && this.#levelOf(words) !== connection.level);
  }

  /** Asks something; what waits here goes with it, or all goes later. */
  ask(connection: Connection, words: readonly string[], transaction?: Call["transaction"]): Call {
    const command = commandTable.get(words[0] as string);
    if (!command && !transaction) throw new Error(`there is no ${words[0]}`);
    const calledAt = this.#around.now();
    const askedMs = this.#around.nowMs();
    const { client } = connection;
    const { process } = this;
    const common = { client, command: words, epoch: this.epoch, process, calledAt, askedMs };
    if (command && !command.isOrdered && !transaction && !waits(connection)) {
      const { reply, atMs } = this.read(words);
      const read = { door: this, applied: this.replica.applied, last: this.#around.last(), atMs };
      const seen = this.#around.seen();
      return {
        ...{ ...common, read, reply, returnedAt: calledAt, answeredMs: askedMs },
        ...(seen && { seen }),
      };
    }
    // A read goes where the writes are that it is behind.
    if (!waits(connection)) connection.level = this.#levelOf(words);
    const { level } = connection;
    const call: Call = { ...common, level, ...(transaction && { transaction }) };
    connection.records.push(call);
    const bytes = transaction ? joinBytes(transaction.map(encodeRequest)) : encodeRequest(words);
    const kind = transaction ? KIND.transaction : KIND.command;
    this.#add(kind, connection.session, bytes, level);
    return call;
  }

  /** What is here, beside the order. */
  read(words: readonly string[]): { readonly reply: Reply; readonly atMs: number } {
    const written = this.#written;
    written.length = 0;
    const command = commandTable.get(words[0] as string);
    if (!command) throw new Error(`there is no ${words[0]}`);
    const atMs = this.replica.nowMs;
    this.replica.read({ id: 0 } as Client, 0, command, words, written, atMs);
    return { reply: repliesIn(written.bytes.subarray(0, written.length))[0] as Reply, atMs };
  }

  close(connection: Connection): void {
    if (connection.isClosed) return;
    connection.isClosed = true;
    this.connections.delete(connection.session);
    this.#add(KIND.forget, connection.session, NOTHING);
  }

  /** Has keys expire that are past their deadline, each in its order. */
  sweep(): void {
    const words = this.replica.expired(this.replica.nowMs, 100);
    const byLevel = this.#writers.map((): string[] => []);
    for (let i = 0; i < words.length; i += 2) {
      const [db = "", key = ""] = words.slice(i, i + 2);
      const level = db === "0" ? this.replica.namespaces?.levelOf(key) : undefined;
      byLevel[level === undefined ? 0 : CONVERGING.indexOf(level) + 1]?.push(db, key);
    }
    for (const [level, some] of byLevel.entries())
      if (some.length > 0) this.#add(KIND.sweep, 0, encodeRequest(some), level);
  }

  /** All keys of namespaces go. */
  empty(): void {
    for (const i of CONVERGING.keys()) this.#add(KIND.flush, 0, NOTHING, i + 1);
  }

  flush(): void {
    if (this.isOpen) for (const writer of this.#writers) writer.flush();
  }

  #add(kind: number, session: number, bytes: Uint8Array, level = 0): void {
    this.#writers[level]?.add(kind, 0, session, bytes, 0, bytes.length);
  }

  /** What came out of the replica, when it is safe. */
  hear({ sessions, ends, bytes, news }: Output, seen: Call["seen"]): void {
    let start = 0;
    let told = 0;
    for (const [i, session] of sessions.entries()) {
      const end = ends[i] as number;
      if (session !== 0) {
        const [reply] = repliesIn(bytes.subarray(start, end));
        this.#answer(this.connections.get(session), reply, seen);
        start = end;
        continue;
      }
      const one = news[told];
      told += 1;
      if (one?.type !== "blocked") continue;
      const connection = this.connections.get(one.session);
      if (connection && Number.isFinite(one.atMs)) this.#waitUntil(connection, one.atMs);
    }
  }

  #answer(connection: Connection | undefined, reply: Reply | undefined, seen: Call["seen"]): void {
    if (!connection) return;
    const call = connection.records[connection.answered];
    if (!call || reply === undefined)
      throw new Error(`${connection.name} is answered what it did not ask`);
    connection.answered += 1;
    call.reply = reply;
    call.returnedAt = this.#around.now();
    call.answeredMs = this.#around.nowMs();
    if (seen) call.seen = seen;
  }

  #waitUntil(connection: Connection, atMs: number): void {
    const call = connection.records[connection.answered];
    const leftMs = Math.max(1, atMs - this.replica.nowMs);
    this.#around.after(Math.min(leftMs, 1_000), () => {
      if (connection.isClosed || connection.records[connection.answered] !== call) return;
      this.#add(KIND.timeout, connection.session, NOTHING);
      this.flush();
    });
  }
}

/** It has asked something that is not answered. */
export const waits = ({ records, answered }: Connection): boolean => answered < records.length;

/** It waits for a key, or may. */
export const mayBlock = (connection: Connection): boolean =>
  waits(connection) && BLOCKING.has(connection.records.at(-1)?.command[0] ?? "");

/** Replies of RESP2, one behind the other. */
function repliesIn(bytes: Uint8Array): Reply[] {
  const text = readLatin1(bytes, 0, bytes.length);
  let at = 0;
  const line = (): string => {
    const end = text.indexOf("\r\n", at);
    const found = text.slice(at, end);
    at = end + 2;
    return found;
  };
  const next = (): Reply => {
    const head = line();
    const rest = head.slice(1);
    if (head.startsWith("+")) return rest;
    if (head.startsWith("-")) return { error: rest };
    if (head.startsWith(":")) return Number(rest);
    const count = Number(rest);
    if (count < 0) return null;
    if (head.startsWith("*")) return Array.from({ length: count }, next);
    const bulk = text.slice(at, at + count);
    at += count + 2;
    return bulk;
  };
  const replies: Reply[] = [];
  while (at < text.length) replies.push(next());
  return replies;
}
