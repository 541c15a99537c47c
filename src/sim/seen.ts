/** What is seen of snapshots from outside: decoded, and nothing of how they were made. */

import type { ProcessId, SnapshotId } from "../core/id.ts";
import { copyOf, readRecords } from "../core/record.ts";
import type { Channel } from "../core/topology.ts";
import { type Application, FrozenState } from "../process/application.ts";
import type { Codec } from "../process/codec.ts";
import type { PieceRecord } from "../snapshot/manifest.ts";
import { checkSynchronous } from "./check.ts";

/** A complete snapshot, decoded. */
export interface SeenSnapshot<M, State> {
  readonly id: SnapshotId;
  readonly states: Readonly<Record<ProcessId, State>>;
  readonly inFlight: readonly (Channel & { readonly messages: readonly M[] })[];
}

/** How messages and states become values again. */
export interface Codecs<M> {
  readonly messageCodec: Codec<M>;
  readonly stateCodec: Codec<unknown>;
}

/** Decodes a snapshot whose parts `read` gives by their SHA-256. */
export function seeSnapshot<M, State>(
  id: SnapshotId,
  pieces: readonly PieceRecord[],
  read: (sha256: string) => Uint8Array,
  { messageCodec, stateCodec }: Codecs<M>,
): SeenSnapshot<M, State> {
  const states: Record<ProcessId, State> = {};
  const inFlight: SeenSnapshot<M, State>["inFlight"][number][] = [];
  for (const { process, state, incoming } of pieces) {
    states[process] = stateOf<State>(state, read, stateCodec);
    for (const { from, part } of incoming) {
      const records = part ? readRecords(copyOf(read(part.sha256))) : [];
      const messages = records.map((record) => messageCodec.decode(copyOf(record)));
      inFlight.push({ from, to: process, messages });
    }
  }
  return { id, states, inFlight };
}

/** The state of one process, decoded afresh: nobody else has it. */
export function stateOf<State>(
  { sliced, parts }: PieceRecord["state"],
  read: (sha256: string) => Uint8Array,
  stateCodec: Codec<unknown>,
): State {
  const values = parts.map(({ sha256 }) => stateCodec.decode(copyOf(read(sha256))));
  return (sliced ? values : values[0]) as State;
}

/** The state of an application now, outside any snapshot, and its own no longer. */
export function lookAt<State>(
  application: Pick<Application<never, State, never, never>, "capture">,
  stateCodec: Codec<unknown>,
): State {
  const own = (value: unknown): unknown => stateCodec.decode(copyOf(stateCodec.encode(value)));
  const captured = application.capture();
  checkMethod("capture", captured);
  return (captured instanceof FrozenState ? slicesOf(captured).map(own) : own(captured)) as State;
}

/** Of what a method of an application gave. @throws TypeError for a promise */
export function checkMethod(method: string, result: unknown): void {
  checkSynchronous(`the application's ${method}`, "its methods", result);
}

/** All slices of a frozen state, which is released. */
export function slicesOf(state: FrozenState): unknown[] {
  const slices: unknown[] = [];
  for (let slice = state.next(); slice !== undefined; slice = state.next()) slices.push(slice);
  state.release();
  return slices;
}
