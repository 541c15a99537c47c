/**
 * One process' share in global snapshots over channels that are not FIFO: Lai and Yang 1987, "On Distributed Snapshots",
 * Information Processing Letters 25(3), for any number of snapshots at a time, with message counters as in Mattern 1993,
 * "Efficient Algorithms for Distributed Snapshots and Global Virtual Time Approximation", JPDC 18(4).
 *
 * Assumptions. Channels deliver exactly once, in any order. Every process can be reached from the initiator (the initiator
 * checks). A count arrives while both ends live, whenever it likes. `record` is performed, and the state fixed with it,
 * before any later effect and before the next input. A message leaves with the colour that `state` has when it is told as
 * `sent`: none waits, sent and not told, while something is recorded.
 *
 * Theory of operation. There is no marker. Every message carries its sender's *colour*: the snapshots that the sender had
 * recorded when it sent it, and did not know to be over. For each snapshot by itself, a message is red in the paper's words
 * if its colour names the snapshot, and white if not.
 * - Whoever gets a red message and has not recorded records first, and takes the message then. So no receive is in the cut
 *   without its send, in whatever order messages come.
 * - A white message that comes after recording was sent before its sender's cut: it is in the state of its channel.
 * - Whoever records tells each process that it has a channel to how many messages it had sent there: one *count* a channel, by
 *   any way. The channel is closed when so many white ones have come, before and after recording. (In the paper
 *   processes keep all that they ever sent and received, and somebody compares. Numbers do.)
 * - A count makes record as a red message does: so it reaches those whom no message reaches.
 * So a snapshot costs as many counts as it would cost markers, and some bytes in each message sent while it is under way.
 *
 * A colour is a list and not one number for each initiator: it is empty while there is no snapshot, and it tells a receiver
 * all that it must know to begin. A snapshot leaves it once it is over everywhere. Then nobody records it any more, and
 * whoever hears of it late knows that it is over (recordings.ts). Should it leave too early, for instance because the
 * initiator was taken for lost, a red message would be taken for a white one. Therefore a count brings the set hash over
 * what it counts, and a channel on which anything else came in is not closed: the snapshot is abandoned. So whatever a colour
 * left out, a wrong cut does not complete.
 */

import { emptySetHash, foldChannelHash, formatChannelHash } from "../core/channel-hash.ts";
import type { ProcessId } from "../core/id.ts";
import {
  type Marker,
  type Recording,
  Recordings,
  type SavedSnapshots,
  type SentBefore,
  type SnapshotEffect,
  type SnapshotInput,
  type SnapshotMachine,
  type SnapshotState,
} from "./recordings.ts";

/** So many snapshots are in a colour at the most; it must fit a frame beside a message. */
export const COLOUR_MAX = 32;

/** See the head of the file. */
export class LaiYang implements SnapshotMachine {
  readonly #recordings: Recordings;

  /** @param saved of a machine as it was; it is taken over */
  constructor(
    view: number,
    incoming: readonly ProcessId[],
    outgoing: readonly ProcessId[],
    saved?: SavedSnapshots,
  ) {
    this.#recordings = new Recordings(view, incoming, outgoing, emptySetHash, saved);
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
        this.#received(input, effects);
        break;
      case "initiate": {
        const recording = this.#record(input.marker, input.nowMs, effects);
        if (recording) this.#recordings.completeIfClosed(recording, input.nowMs, effects);
        break;
      }
      case "count":
        this.#count(input.from, input.marker, input.before, input.nowMs, effects);
        break;
      case "marker":
        this.#recordings.disagree(input.marker, effects);
        break;
      default:
        this.#recordings.step(input, effects);
    }
    if (effects.length > 0 || input.type === "settled") this.#fade(input, effects);
    return effects;
  }

  #received(
    { from, count, body, colour = [], nowMs }: Extract<SnapshotInput, { type: "received" }>,
    effects: SnapshotEffect[],
  ): void {
    // Before anything of it is counted: it was sent after those cuts.
    for (const marker of colour)
      if (this.#recordings.meet(marker, effects) === "new") this.#record(marker, nowMs, effects);
    this.#recordings.received(from, count, body);
    const white = [...this.state.recordings.values()].filter(
      (recording) => !colour.some((marker) => isOf(marker, recording.marker)),
    );
    for (const recording of this.#recordings.keep(white, from, count, body, effects))
      this.#closeIfAll(recording, from, nowMs, effects);
  }

  #record(marker: Marker, nowMs: number, effects: SnapshotEffect[]): Recording | undefined {
    const { state } = this;
    if (state.colour.length >= COLOUR_MAX) {
      this.#recordings.refuse(marker, `${COLOUR_MAX} snapshots are under way already`, effects);
      return undefined;
    }
    const recording = this.#recordings.begin(marker, nowMs, effects);
    state.colour = [...state.colour, marker];
    for (const { to, ...before } of recording.outgoing)
      effects.push({ type: "count", to, marker, before });
    return recording;
  }

  #count(
    from: ProcessId,
    marker: Marker,
    before: SentBefore,
    nowMs: number,
    effects: SnapshotEffect[],
  ): void {
    const met = this.#recordings.meet(marker, effects);
    const recording = met === "new" ? this.#record(marker, nowMs, effects) : met;
    if (!recording) return;
    const channel = recording.incoming.get(from);
    if (!channel || channel.before) {
      const what = channel ? "a second count" : "a count without a channel";
      effects.push({
        type: "irregular",
        reason: `${what} of ${marker.snapshot} came from ${from}`,
      });
      return;
    }
    channel.before = before;
    this.#closeIfAll(recording, from, nowMs, effects);
  }

  /** All that was sent before the sender's cut has come in. */
  #closeIfAll(
    recording: Recording,
    from: ProcessId,
    nowMs: number,
    effects: SnapshotEffect[],
  ): void {
    const channel = recording.incoming.get(from);
    if (!channel?.open || !channel.before) return;
    const { sent, hash } = channel.before;
    const came = channel.received + channel.inFlight;
    if (came < sent) return;
    const all = { ...channel.hash };
    for (const { buffer, byteOffset, length } of channel.messages)
      foldChannelHash(all, new DataView(buffer, byteOffset, length), 0, length);
    if (came === sent && formatChannelHash(all) === hash)
      this.#recordings.close(recording, channel, nowMs, effects);
    else
      this.#recordings.abandon(
        recording,
        `what came in on ${from}'s channel is not what was sent before its cut`,
        effects,
      );
  }

  /** What is over, or never will be complete, leaves the colour. */
  #fade(input: SnapshotInput, effects: readonly SnapshotEffect[]): void {
    const { state } = this;
    const left = state.colour.filter(
      (marker) =>
        !(input.type === "settled" && input.snapshot === marker.snapshot) &&
        !effects.some((one) => one.type === "abandoned" && one.snapshot === marker.snapshot) &&
        !this.#recordings.isSettled(marker),
    );
    if (left.length < state.colour.length) state.colour = left;
  }
}

const isOf = (a: Marker, b: Marker): boolean =>
  a.snapshot === b.snapshot && a.incarnation === b.incarnation;
