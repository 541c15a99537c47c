/** What is written down of a run of the store, and states of replicas as they are compared. */

import type { ProcessId } from "../../../src/core/id.ts";
import { decodeUtf8, encodeUtf8 } from "../../../src/core/utf8.ts";
import { Keyspace } from "../../../src/kv/keyspace.ts";
import { latin1Bytes, readLatin1 } from "../../../src/kv/latin1.ts";
import type { Replica, ReplicaState } from "../../../src/kv/replica.ts";
import type { Value } from "../../../src/kv/value.ts";
import { type Codec, jsonCodec } from "../../../src/process/codec.ts";
import type { Restored } from "../../../src/sim.ts";
import type { Call, Connection, Taken } from "./door.ts";

/** By how many had been taken with it: what each process took in that place, at last. */
export type Places = Map<number, Map<ProcessId, Taken>>;

/** What was written down of a run. */
export interface Story {
  /** By epoch. */
  readonly taken: ReadonlyMap<number, Places>;
  /** Of each epoch but the first: after how many records the processes went on. */
  readonly bases: ReadonlyMap<number, ReadonlyMap<ProcessId, number>>;
  readonly restores: readonly Restored[];
  readonly calls: readonly Call[];
  readonly connections: ReadonlyMap<string, Connection>;
  /** With the epoch in which each was taken. */
  readonly snapshots: readonly {
    readonly epoch: number;
    readonly states: Readonly<Record<ProcessId, ReplicaState>>;
  }[];
  /** What they are in the end. */
  readonly replicas: ReadonlyMap<ProcessId, Replica>;
  readonly epoch: number;
}

/** What has come of a run that is right. */
export interface StoreReport {
  readonly answered: number;
  readonly reads: number;
  /** Reads of what was not safe yet, at a replica that died before it was. */
  readonly unsafe: number;
  /** Answered, and undone with a restore. */
  readonly undone: number;
  readonly restores: number;
  readonly snapshots: number;
}

/** JSON, and bytes. */
export const stateCodec: Codec<unknown> = {
  ...jsonCodec<unknown>(),
  encode: (value) => encodeUtf8(textOf(value)),
  decode: (bytes) =>
    JSON.parse(decodeUtf8(bytes) as string, (_, one: unknown) =>
      typeof one === "object" && one !== null && "bytes" in one
        ? latin1Bytes(one.bytes as string)
        : one,
    ),
};

/** The same of states that are the same, byte for byte. */
export const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) =>
    one instanceof Uint8Array ? { bytes: readLatin1(one, 0, one.length) } : one,
  );

/** All slices of the state of a replica. */
export function stateOf(replica: Replica): ReplicaState {
  const captured = replica.capture();
  const slices: unknown[] = [];
  for (let slice = captured.next(); slice !== undefined; slice = captured.next())
    slices.push(slice);
  captured.release();
  return slices as unknown as ReplicaState;
}

/** What there is of a key. */
export interface Held {
  readonly key: string;
  readonly value: string | readonly string[];
  readonly deadline: number | null;
}

/** All keys of a state that are texts, lists or sets and not past their deadline, by name; sets sorted. */
export function heldIn([{ nowMs }, ...images]: ReplicaState): readonly Held[] {
  const keyspace = new Keyspace();
  keyspace.restore(images.filter((one) => "db" in one));
  keyspace.nowMs = nowMs;
  const held: Held[] = [];
  for (const database of keyspace.databases)
    for (const key of database.keys()) {
      const value = contentOf(database.get(key));
      if (value !== undefined) held.push({ key, value, deadline: database.deadline(key) ?? null });
    }
  return held.sort((a, b) => (a.key < b.key ? -1 : 1));
}

function contentOf(value: Value | undefined): Held["value"] | undefined {
  if (value === undefined || typeof value === "string") return value;
  if (value.type === "string") return value.slice(0);
  if (value.type === "list") return value.range(0, value.length);
  return value.type === "set" ? value.list().sort() : undefined;
}
