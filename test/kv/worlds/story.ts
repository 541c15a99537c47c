/** What is written down of a run of the store, and states of replicas as they are compared. */

import type { ProcessId } from "../../../src/core/id.ts";
import { SliceReader } from "../../../src/kv/keyspace.ts";
import { latin1Bytes, readLatin1 } from "../../../src/kv/latin1.ts";
import type { Replica, ReplicaState } from "../../../src/kv/replica.ts";
import type { Value } from "../../../src/kv/value.ts";
import { type Codec, jsonCodec } from "../../../src/process/codec.ts";
import type { Restored } from "../../../src/sim.ts";
import type { Call, Connection, Door, Taken } from "./door.ts";
import type { Tellings } from "./told.ts";

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
  readonly doors: ReadonlyMap<ProcessId, Door>;
  readonly epoch: number;
  // Of keys that converge.
  /** By epoch: what replicas told each other. */
  readonly told: ReadonlyMap<number, Tellings>;
  /** Of each epoch but the first: what the processes had been told when they went on. */
  readonly seenBefore: ReadonlyMap<number, ReadonlyMap<ProcessId, readonly number[]>>;
  /** Whoever does not have to wait for others is answered within that time. */
  readonly promptMs: number;
  /** Anything was asked of anything. */
  readonly isWild: boolean;
  /** Its replica had a connection to no other one from when it was asked until it was answered. */
  readonly isAlone: (call: Call) => boolean;
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
  /** Answered by a replica that was cut off from all others. */
  readonly alone: number;
}

/** JSON, and bytes; all that a store has are characters of one byte. */
export const stateCodec: Codec<unknown> = {
  ...jsonCodec<unknown>(),
  encode: (value) => latin1Bytes(textOf(value)),
  decode(bytes) {
    const text = readLatin1(bytes, 0, bytes.length);
    // Most slices have no bytes, and to look at each value takes long.
    if (!text.includes('{"bytes":')) return JSON.parse(text);
    return JSON.parse(text, (_, one: unknown) =>
      typeof one === "object" && one !== null && "bytes" in one
        ? latin1Bytes(one.bytes as string)
        : one,
    );
  },
};

/** The same of states that are the same, byte for byte. */
export const textOf = (value: unknown): string =>
  typeof value === "object" && value !== null && "db" in value
    ? JSON.stringify(value)
    : JSON.stringify(value, (_, one: unknown) =>
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

/**
 * The state that all replicas have in the end.
 * @throws Error if that is not the same
 */
export function sameOf(
  { replicas }: Story,
  textOfState: (state: ReplicaState) => string,
): { readonly id: ProcessId; readonly state: ReplicaState } {
  const [first, ...others] = [...replicas].map(([id, replica]) => {
    const state = stateOf(replica);
    return { id, state, text: textOfState(state) };
  });
  if (!first) throw new Error("there is no replica");
  for (const { id, text } of others)
    if (first.text !== text)
      throw new Error(`${first.id} and ${id} are not the same: ${first.text}\n${text}`);
  return first;
}

/** What there is of a key. */
export interface Held {
  readonly key: string;
  readonly value: string | readonly string[];
  readonly deadline: number | null;
}

/** All keys of a state that are texts, lists or sets and not past their deadline, by name; sets sorted. */
export function heldIn([{ nowMs }, ...images]: ReplicaState): readonly Held[] {
  const held: Held[] = [];
  const reader = new SliceReader(0, (_, key, value, deadline) => {
    const content = deadline !== null && deadline < nowMs ? undefined : contentOf(value);
    if (content !== undefined) held.push({ key, value: content, deadline });
  });
  for (const image of images) if ("db" in image) reader.read(image);
  reader.end();
  return held.sort((a, b) => (a.key < b.key ? -1 : 1));
}

function contentOf(value: Value): Held["value"] | undefined {
  if (typeof value === "string") return value;
  if (value.type === "string") return value.slice(0);
  if (value.type === "list") return value.range(0, value.length);
  return value.type === "set" ? value.list().sort() : undefined;
}
