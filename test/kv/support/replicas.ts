/** Replicas of a store with namespaces, with nothing between them but what the test delivers, and when. */

import { commandTable } from "../../../src/kv/commands.ts";
import { Namespaces } from "../../../src/kv/namespaces.ts";
import { KIND, RecordWriter } from "../../../src/kv/record.ts";
import {
  Output,
  Replica,
  type ReplicaReply,
  type ReplicaServer,
  type ReplicaState,
} from "../../../src/kv/replica.ts";
import { encodeRequest } from "../../../src/kv/request-reader.ts";
import type { Value } from "../../../src/kv/value.ts";
import type { FrozenState } from "../../../src/process/application.ts";
import type { GroupTurn } from "../../../src/process/grouped.ts";
import { type Heard, readReply } from "../../serve/store.ts";

export type Level = "causal" | "fifo";

/** A message under way: what its sender had heard, and what it is. */
interface Post {
  readonly from: number;
  readonly group: string;
  readonly message: Uint8Array;
  /** By replica: how many messages its sender had been given, or had sent. */
  readonly after: readonly number[];
}

/** What becomes of a message on its way to a replica. */
export type Spoil = (message: Uint8Array, to: number) => readonly Uint8Array[];

const STREAM = 7;

/** See the head of the file. Keys that begin with the level, `causal:` or `fifo:`, are in namespaces. */
export class Replicas {
  readonly ids: readonly string[];
  readonly all: Replica[];
  readonly #level: Level;
  readonly #spoil: Spoil;
  /** By sender. */
  readonly sent: Post[][];
  /** By receiver, and then by sender: how many it has been given. */
  readonly given: number[][];
  nowMs = 1_000_000;
  readonly #news: string[][];
  #heard: Heard[] = [];

  constructor(many: number, level: Level, spoil: Spoil = (message) => [message]) {
    this.#spoil = spoil;
    this.ids = Array.from({ length: many }, (_, i) => `p${i + 1}`);
    this.#level = level;
    this.all = this.ids.map((self) => this.#start(self));
    this.sent = this.ids.map(() => []);
    this.given = this.ids.map(() => this.ids.map(() => 0));
    this.#news = this.ids.map(() => []);
  }

  #start(self: string): Replica {
    const namespaces = new Namespaces({ causal: ["causal:*"], fifo: ["fifo:*"] });
    const replica = new Replica({ self, table: commandTable, namespaces, replicas: this.ids });
    const server = {
      clientOf: (id: number) => ({ id, resp3: false }),
      times: () => false,
      ran() {},
      tellsOf: () => 3,
      subscribers: () => 0,
      advanced() {},
      problem: (reason: string) => {
        throw new Error(reason);
      },
    };
    replica.attach(server as unknown as ReplicaServer, STREAM);
    return replica;
  }

  #turn(of: number): GroupTurn<Uint8Array, ReplicaReply> {
    return {
      nowMs: this.nowMs,
      replays: false,
      multicast: (group: string, message: Uint8Array) => {
        const after = [...(this.given[of] as number[])];
        after[of] = this.sent[of]?.length ?? 0;
        this.sent[of]?.push({ from: of, group, message, after });
        return true;
      },
      reply: (_: number, reply: ReplicaReply) => {
        if (!(reply instanceof Output)) return;
        const text = Buffer.from(reply.bytes.subarray(0, reply.length)).toString("latin1");
        for (let at = 0; at < text.length; ) {
          const [heard, end] = readReply(text, at) as readonly [Heard, number];
          this.#heard.push(heard);
          at = end;
        }
        for (const one of reply.news)
          if (one.type === "message") this.#news[of]?.push(`${one.channel} ${one.message}`);
      },
    } as unknown as GroupTurn<Uint8Array, ReplicaReply>;
  }

  /** What is told of events at a replica, so far. */
  newsOf(of: number): readonly string[] {
    return this.#news[of] as string[];
  }

  /** Has a replica do commands, in one message. */
  ask(of: number, ...requests: readonly (readonly string[])[]): readonly Heard[] {
    return this.#submit(
      of,
      requests.map((words) => [KIND.command, encodeRequest(words)] as const),
    );
  }

  /** All keys go; or these, if they are past their deadline. */
  flush(of: number): void {
    this.#submit(of, [[KIND.flush, new Uint8Array(0)]]);
  }

  sweep(of: number, keys: readonly string[]): void {
    const words = keys.flatMap((key) => ["0", key]);
    this.#submit(of, [[KIND.sweep, encodeRequest(words)]]);
  }

  #submit(of: number, records: readonly (readonly [number, Uint8Array])[]): readonly Heard[] {
    this.#heard = [];
    const writer = new RecordWriter(
      STREAM,
      (message) => this.all[of]?.request(1, message, this.#turn(of)),
      this.#level === "causal" ? 1 : 2,
    );
    for (const [kind, bytes] of records) writer.add(kind, 0, 1, bytes, 0, bytes.length);
    writer.flush();
    return this.#heard;
  }

  /** Whose next message a replica may be given. */
  ready(to: number): readonly number[] {
    const given = this.given[to] as number[];
    return this.ids.flatMap((_, from) => {
      const next = this.sent[from]?.[given[from] as number];
      if (from === to || !next) return [];
      const isReady =
        this.#level === "fifo" ||
        next.after.every(
          (count, other) =>
            other === from || (other === to ? true : count <= (given[other] as number)),
        );
      return isReady ? [from] : [];
    });
  }

  deliver(to: number, from: number): void {
    const given = this.given[to] as number[];
    const { group, message } = (this.sent[from] as Post[])[given[from] as number] as Post;
    given[from] = (given[from] as number) + 1;
    const packet = { number: 1, stamp: [], sinceMs: 0 };
    for (const given of this.#spoil(message, to))
      this.all[to]?.deliver(
        group,
        { from: this.ids[from] as string, message: given, order: this.#level, packet },
        this.#turn(to),
      );
  }

  /** Until nobody has anything to hear. */
  deliverAll(pick: (from: readonly number[]) => number): void {
    for (let isDone = false; !isDone; ) {
      isDone = true;
      for (const to of this.ids.keys()) {
        const from = this.ready(to);
        if (from.length === 0) continue;
        isDone = false;
        this.deliver(to, pick(from));
      }
    }
  }

  /** One is captured, and goes on as another one from that state. */
  revive(of: number): void {
    const state = sliced(this.all[of] as Replica);
    const replica = this.#start(this.ids[of] as string);
    replica.restore(JSON.parse(JSON.stringify(state, endless), unendless) as ReplicaState);
    this.all[of] = replica;
  }
}

const endless = (_: string, value: unknown): unknown =>
  value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY
    ? { endless: value > 0 }
    : value instanceof Uint8Array
      ? { bytes: [...value] }
      : value;
const unendless = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && "endless" in value
    ? value.endless
      ? Number.POSITIVE_INFINITY
      : Number.NEGATIVE_INFINITY
    : typeof value === "object" && value !== null && "bytes" in value
      ? Uint8Array.from(value.bytes as number[])
      : value;

/** All slices of a state, as it is now, whenever they are asked for. */
export function slicesLater(replica: Replica): () => unknown[] {
  const frozen = replica.capture();
  return () => slicesOf(frozen);
}

const sliced = (replica: Replica): unknown[] => slicesLater(replica)();

function slicesOf(frozen: FrozenState): unknown[] {
  const slices: unknown[] = [];
  for (let one = frozen.next(); one !== undefined; one = frozen.next()) slices.push(one);
  frozen.release();
  return slices;
}

function contentOf(value: Value): unknown {
  if (typeof value === "string") return value;
  if (value.type === "hash") return Object.fromEntries([...value.fields.entries()].sort());
  if (value.type === "set") return value.list().sort();
  if (value.type === "zset") return [...value.scores.entries()].sort().map(String);
  return value.type === "list" ? value.range(0, value.length) : value.slice(0);
}

const sorted = (value: unknown): unknown =>
  Array.isArray(value) ? [...value].sort((a, b) => (String(a) < String(b) ? -1 : 1)) : value;

/** What is in keys that begin so, by key, whatever the time is: the type, the content, the deadline. */
export function contents(replica: Replica, prefix: string): Record<string, unknown> {
  replica.keyspace.nowMs = 0;
  const [db] = replica.keyspace.databases;
  const keys = [...(db?.keys() ?? [])].filter((key) => key.startsWith(prefix)).sort();
  return Object.fromEntries(
    keys.map((key) => {
      const value = db?.get(key) as Value;
      const type = typeof value === "string" ? "string" : value.type;
      return [key, [type, contentOf(value), db?.deadline(key) ?? null]];
    }),
  );
}

/** All that a replica has, as bytes: what it has must be the same for all who have been told the same, not how it lies in memory. */
export function bytesOf(replica: Replica): string {
  const slices = sliced(replica) as Record<string, unknown>[];
  const [head] = slices as unknown as [
    { sides: { level: string; head: Record<string, unknown> }[] },
  ];
  // How many effects it has heard since it said something depends on when it did; and each has keys of its own to clear.
  const sides = head.sides.map((side) => ({
    ...side.head,
    heard: 0,
    left: [],
    early: sorted(side.head["early"]),
  }));
  const kept = slices
    .filter((one) => "kept" in one)
    .flatMap((one) => one["kept"] as [string, boolean, unknown[]][])
    .map(([key, isMixed, elements]) => [key, isMixed, sorted(elements)]);
  return JSON.stringify([contents(replica, ""), sides, sorted(kept)], endless);
}
