/**
 * One process' share in global snapshots: Chandy and Lamport 1985, "Distributed Snapshots: Determining
 * Global States of Distributed Systems", §3.2, for any number of snapshots at a time.
 *
 * Assumptions. Channels are exactly-once FIFO (the link sees to that); on others Lai and Yang's algorithm is right. Every
 * process can be reached from the initiator (the initiator checks). `record` is performed, and the state fixed with it,
 * before any later effect and before the next input.
 *
 * Theory of operation. Marker-sending rule: a process records its state, and then, before anything else,
 * sends one marker on every outgoing channel. Marker-receiving rule: the first marker of a snapshot makes
 * the process record, with the channel it came on as empty; a later one closes its channel, whose state is
 * what came in on it since recording. With the last marker the piece is complete. So a snapshot costs one marker a channel.
 * What all algorithms share, overlapping snapshots and their ends among it, is in recordings.ts.
 */

import { emptyChannelHash } from "../core/channel-hash.ts";
import type { ProcessId } from "../core/id.ts";
import {
  type Marker,
  type Recording,
  Recordings,
  type SavedSnapshots,
  type SnapshotEffect,
  type SnapshotInput,
  type SnapshotMachine,
  type SnapshotState,
} from "./recordings.ts";

/** See the head of the file. */
export class ChandyLamport implements SnapshotMachine {
  readonly #recordings: Recordings;

  /** @param saved of a machine as it was; it is taken over */
  constructor(
    view: number,
    incoming: readonly ProcessId[],
    outgoing: readonly ProcessId[],
    saved?: SavedSnapshots,
  ) {
    this.#recordings = new Recordings(view, incoming, outgoing, emptyChannelHash, saved);
  }

  get state(): SnapshotState {
    return this.#recordings.state;
  }

  /** When `tick` is wanted; Infinity if not at all. */
  get deadlineMs(): number {
    return this.#recordings.deadlineMs;
  }

  step(input: SnapshotInput): readonly SnapshotEffect[] {
    const effects: SnapshotEffect[] = [];
    switch (input.type) {
      case "received":
        this.#received(input.from, input.count, input.body, effects);
        break;
      case "initiate": {
        const recording = this.#record(input.marker, input.nowMs, effects);
        this.#recordings.completeIfClosed(recording, input.nowMs, effects);
        break;
      }
      case "marker":
        this.#marker(input.from, input.marker, input.nowMs, effects);
        break;
      case "count":
        this.#recordings.disagree(input.marker, effects);
        break;
      default:
        this.#recordings.step(input, effects);
    }
    return effects;
  }

  #received(from: ProcessId, count: number, body: Uint8Array, effects: SnapshotEffect[]): void {
    this.#recordings.received(from, count, body);
    this.#recordings.keep(this.state.recordings.values(), from, count, body, effects);
  }

  /** The marker-sending rule. */
  #record(marker: Marker, nowMs: number, effects: SnapshotEffect[]): Recording {
    const recording = this.#recordings.begin(marker, nowMs, effects);
    for (const { to } of recording.outgoing) effects.push({ type: "marker", to, marker });
    return recording;
  }

  /** The marker-receiving rule. */
  #marker(from: ProcessId, marker: Marker, nowMs: number, effects: SnapshotEffect[]): void {
    const met = this.#recordings.meet(marker, effects);
    if (!met) return;
    const recording = met === "new" ? this.#record(marker, nowMs, effects) : met;
    const channel = recording.incoming.get(from);
    if (channel?.open) {
      this.#recordings.close(recording, channel, nowMs, effects);
      return;
    }
    const reason = `a second marker of ${marker.snapshot} came from ${from}`;
    effects.push({ type: "irregular", reason });
  }
}
