/**
 * One consistent cut over processes and the streams between them, put together from the checkpoints that the processes recorded and from
 * the messages of the streams. Pure.
 *
 * Theory of operation. Where the cut goes through a process its checkpoint says. Through a stream it goes before the first message
 * whose sender had recorded, or, if there is none, behind the last message of all: any number between what its readers have had and
 * that one would be right, for a stream only hands on, and this one leaves the least on its way into it. No reader has had more:
 * whoever takes such a message records first (stream-ledger.ts). What lies in the stream between a reader's position and the cut is in
 * flight to that reader. What its writers had sent, and is not before the cut, is in flight to the stream: it stands behind the cut,
 * among messages of others that had recorded already, or it has not come yet, and the checkpoint of its sender has it.
 *
 * What is counted where. A stream's own count of what a process sent it goes on from what the reader that is farthest behind has
 * counted, over the messages as they lie in the stream; it is not taken from the sender. So the certificate compares what one process sent
 * with what another one received and what lies between them. Of a stream that nobody reads only its writers have counted.
 */

import type { ProcessId } from "../core/id.ts";
import {
  type Ancestor,
  type Arrival,
  type Checkpoint,
  type Mark,
  markAfter,
  NOTHING,
  type SentCount,
  sentRecord,
  standingOf,
  streamRecord,
} from "./stream-ledger.ts";

/** A channel in the cut: what both ends had counted, and the messages between them, as records. */
export interface CutChannel {
  readonly process: ProcessId;
  readonly sent: Mark;
  readonly received: Mark;
  readonly inFlight: readonly Uint8Array[];
}

export interface StreamCut {
  readonly stream: string;
  /** Its messages up to this one are inside. */
  readonly sequence: number;
  /** From processes into the stream. */
  readonly writers: readonly CutChannel[];
  /** Out of the stream, to processes. */
  readonly readers: readonly CutChannel[];
}

/** What a stream held when all had recorded: its messages from where the window begins, up to `to`, in order. */
export interface Window {
  readonly stream: string;
  readonly to: number;
  readonly messages: readonly Arrival[];
}

/** Behind which message a window must begin. */
export function windowBegin(stream: string, pieces: readonly Checkpoint[]): number {
  const read = pieces.flatMap(({ reads }) => reads.filter((one) => one.stream === stream));
  const written = pieces.flatMap(({ writes }) => writes.filter((one) => one.stream === stream));
  const positions = (read.length > 0 ? read : written).map(({ position }) => position);
  return positions.length > 0 ? Math.min(...positions) : 0;
}

/**
 * @param snapshot its number: whoever had recorded so many, or more, had recorded it
 * @param pieces of all processes
 */
export function cutOf(
  snapshot: number,
  pieces: readonly Checkpoint[],
  { stream, to, messages }: Window,
  lineage: readonly Ancestor[],
): { readonly cut: StreamCut } | { readonly problem: string } {
  const epoch = lineage.at(-1)?.epoch;
  const first = messages.find(
    ({ stamp }) => stamp && stamp.epoch === epoch && stamp.snapshots >= snapshot,
  );
  const sequence = first ? first.sequence - 1 : to;
  const readings = pieces
    .flatMap(({ process, reads }) => reads.map((reading) => ({ process, reading })))
    .filter(({ reading }) => reading.stream === stream)
    .sort((a, b) => a.reading.position - b.reading.position);
  const ahead = readings.find(({ reading }) => reading.position > sequence);
  if (ahead)
    return {
      problem:
        `${ahead.process} has had the stream ${stream} up to ${ahead.reading.position}, ` +
        `but what was sent after the snapshot begins at ${sequence + 1}`,
    };

  // What a reader that has come so far has had of each sender, and what one at the cut would have had.
  const marks = new Map<ProcessId, Mark>();
  const atCut = new Map<ProcessId, Mark>();
  const behind = new Map<ProcessId, Behind[]>();
  // What a reader that has not had it will get; what is there again, or was undone, it passes over.
  const inside: Arrival[] = [];
  const [farthestBehind] = readings;
  for (const { process, count, hash } of farthestBehind?.reading.senders ?? []) {
    marks.set(process, { count, hash });
    atCut.set(process, { count, hash });
  }
  const mayBegin = farthestBehind === undefined || farthestBehind.reading.begun > 0;
  const unmet = [...readings];
  const meet = (upTo: number): string | undefined => {
    for (let next = unmet[0]; next && next.reading.position < upTo; next = unmet[0]) {
      unmet.shift();
      const odd = next.reading.senders.find(({ process, count, hash }) => {
        const mark = marks.get(process);
        return mark && (mark.count !== count || mark.hash !== hash);
      });
      if (odd)
        return `${next.process} has had other messages of ${odd.process} from the stream ${stream} than are in it`;
    }
    return undefined;
  };
  for (const message of messages) {
    const isInside = message.sequence <= sequence;
    const problem = meet(message.sequence);
    if (problem !== undefined) return { problem };
    const { stamp, text } = message;
    if (!stamp || text === undefined) {
      if (isInside) inside.push(message);
      continue;
    }
    const { process, count } = stamp;
    const known = marks.get(process);
    const standing = standingOf({ ...message, stamp, text }, known, mayBegin, lineage);
    // Behind the cut it is found below, if it is of those that were sent before.
    if (standing.kind === "lost" && isInside) return { problem: standing.problem };
    if (standing.kind !== "next") continue;
    marks.set(process, standing.mark);
    if (isInside) {
      atCut.set(process, standing.mark);
      inside.push(message);
    } else {
      if (!known) atCut.set(process, { count: count - 1, hash: stamp.before });
      const record = sentRecord(message.subject, count, text);
      const more = behind.get(process);
      if (more) more.push({ count, record });
      else behind.set(process, [{ count, record }]);
    }
  }
  const problem = meet(Number.POSITIVE_INFINITY);
  if (problem !== undefined) return { problem };

  const readers = readings.map(({ process, reading: { position, received } }): CutChannel => {
    const inFlight = inside.filter((one) => one.sequence > position).map(streamRecord);
    return { process, sent: inFlight.reduce(markAfter, received), received, inFlight };
  });
  const writers: CutChannel[] = [];
  for (const { process, writes, unpublished } of pieces) {
    const writing = writes.find((one) => one.stream === stream);
    if (!writing) continue;
    const { sent, confirmed } = writing;
    const received = atCut.get(process) ?? (mayBegin ? confirmed : NOTHING);
    const there = marks.get(process)?.count ?? received.count;
    const inFlight = [
      ...(behind.get(process) ?? []),
      ...unpublished
        .filter((one) => one.stream === stream && one.stamp.count > there)
        .map(({ subject, stamp, text }): Behind => {
          return { count: stamp.count, record: sentRecord(subject, stamp.count, text) };
        }),
    ].filter(({ count }) => count <= sent.count);
    if (received.count + inFlight.length !== sent.count)
      return {
        problem:
          `${process} had sent ${sent.count} messages into the stream ${stream}, but ` +
          `${received.count + inFlight.length} of them are there or on their way`,
      };
    writers.push({ process, sent, received, inFlight: inFlight.map(({ record }) => record) });
  }
  return { cut: { stream, sequence, writers, readers } };
}

/** A message that its sender had sent, and that is not before the cut. */
interface Behind {
  readonly count: number;
  readonly record: Uint8Array;
}

/** How many messages of each process count, once the system goes on from the cut. */
export function sentCounts(pieces: readonly Checkpoint[]): readonly SentCount[] {
  return pieces.flatMap(({ process, writes }) =>
    writes.map(({ stream, sent }) => ({ stream, process, count: sent.count })),
  );
}
