/**
 * The books of one process whose only channels are streams of JetStream: what it has taken from each stream, what it has sent into each,
 * and which snapshots it has recorded. Pure: no clock, no I/O.
 *
 * Theory of operation. A stream is a log with many writers and many readers, and it has a number for each message: so it is treated as
 * a process of its own, which hands on to all readers, in one order, what writers send it. Publishing is sending on the channel
 * p → stream; taking a message is receiving on the channel stream → q. Both ends of p → stream count and hash, as anywhere in Tidemark:
 * each message says in a header (its *stamp*) who sent it, as which of its messages into that stream, the hash over all that it sent
 * before, and how many snapshots it had recorded then.
 *
 * The last is Lai and Yang's colour (1987): who takes a message whose sender had recorded a snapshot that it has not, records first.
 * So no process has a message in its state whose sender sent it after recording, whatever the order in which several writers come
 * into a log, and nothing is put into the streams but the messages themselves.
 *
 * What is stored of a process is one *checkpoint*: its state, its positions and counts, and what it sent and has not published. It is
 * written before any of that is published, and after a crash all of it is published again: readers know by its number what they have had.
 * So a message counts once, however often JetStream stores or delivers it. A checkpoint may say that snapshots were recorded with it;
 * then it is the process' piece.
 *
 * Epochs. After a restore the streams still hold what came after the snapshot. A restore begins an epoch, and the *lineage* says how far
 * each earlier epoch counts: of which messages of which process nothing was undone. What is beyond that is passed over.
 */

import {
  emptyChannelHash,
  foldChannelHash,
  formatChannelHash,
  parseChannelHash,
} from "../core/channel-hash.ts";
import { TidemarkError, textOf } from "../core/error.ts";
import { isProcessId, type ProcessId } from "../core/id.ts";
import { writeRecords } from "../core/record.ts";
import { decodeUtf8, encodeUtf8 } from "../core/utf8.ts";

/** How far one end of a channel has come: how many messages, and the hash over them. */
export interface Mark {
  readonly count: number;
  readonly hash: string;
}

/** What a reader has had of one writer of a stream. */
export interface SenderMark extends Mark {
  readonly process: ProcessId;
}

/** What a process has taken from a stream. */
export interface Reading {
  readonly stream: string;
  /** It began behind this sequence number. */
  readonly begun: number;
  /** All up to this one are in its state. */
  readonly position: number;
  /** Of those, what the application got. */
  readonly received: Mark;
  readonly senders: readonly SenderMark[];
}

/** What a process has sent into a stream. */
export interface Writing {
  readonly stream: string;
  readonly sent: Mark;
  /** What is surely in the stream … */
  readonly confirmed: Mark;
  /** … at this sequence number or before it. */
  readonly position: number;
}

/** A message that was sent, and may not be in its stream yet. */
export interface Unpublished {
  readonly stream: string;
  readonly subject: string;
  readonly stamp: Stamp;
  /** JSON. */
  readonly text: string;
}

/** What a message says of where it comes from. */
export interface Stamp {
  readonly epoch: number;
  readonly process: ProcessId;
  /** Its sender's messages into that stream are numbered from 1. */
  readonly count: number;
  /** How many snapshots its sender had recorded. */
  readonly snapshots: number;
  /** Over all that its sender had sent into that stream before. */
  readonly before: string;
}

/** All that is kept of a process. Plain data. */
export interface Checkpoint {
  readonly process: ProcessId;
  readonly epoch: number;
  /** Snapshots up to this one are recorded, or none of its business … */
  readonly snapshots: number;
  /** … and these were, with this checkpoint. */
  readonly recorded: readonly number[];
  /** By its own clock. */
  readonly atMs: number;
  /** What JSON can hold. */
  readonly state: unknown;
  readonly reads: readonly Reading[];
  readonly writes: readonly Writing[];
  readonly unpublished: readonly Unpublished[];
}

/** An epoch that the present state comes from. */
export interface Ancestor {
  readonly epoch: number;
  /** How many messages of each process in each stream count of the epoch before; of others none. */
  readonly counts: readonly SentCount[];
}

export interface SentCount {
  readonly stream: string;
  readonly process: ProcessId;
  readonly count: number;
}

/** A message as it came out of a stream. */
export interface Arrival {
  readonly stream: string;
  readonly sequence: number;
  readonly subject: string;
  /** Undefined: from outside. */
  readonly stamp: Stamp | undefined;
  readonly payload: Uint8Array;
  /** The payload, if it is JSON. */
  readonly text: string | undefined;
}

/** The header of a stamp. */
export const STAMP_HEADER = "Tidemark-Stamp";

const STAMP =
  /^([1-9][0-9]{0,9}) ([A-Za-z0-9._-]{1,64}) (\S+) ([1-9][0-9]{0,14}) (0|[1-9][0-9]{0,14}) ([0-9a-f]{32}[0-3])$/;

export function formatStamp(stream: string, stamp: Stamp): string {
  const { epoch, process, count, snapshots, before } = stamp;
  return `${epoch} ${process} ${stream} ${count} ${snapshots} ${before}`;
}

/** Undefined if it is none of that stream: somebody copied the message, or wrote such a header, and it comes from outside. */
export function parseStamp(stream: string, text: string): Stamp | undefined {
  const [, epoch, process, into, count, snapshots, before] = STAMP.exec(text) ?? [];
  if (!isProcessId(process) || before === undefined || into !== stream) return undefined;
  return {
    epoch: Number(epoch),
    process,
    count: Number(count),
    snapshots: Number(snapshots),
    before,
  };
}

/** A message of a stream, from what JetStream gives. */
export function arrivalOf(
  stream: string,
  sequence: number,
  subject: string,
  header: string,
  payload: Uint8Array,
): Arrival {
  const text = jsonIn(payload);
  // What no process can have sent comes from outside, too.
  const stamp = text === undefined ? undefined : parseStamp(stream, header);
  return { stream, sequence, subject, stamp, payload, text };
}

function jsonIn(payload: Uint8Array): string | undefined {
  const text = decodeUtf8(payload);
  if (text === undefined) return undefined;
  try {
    JSON.parse(text);
    return text;
  } catch {
    return undefined;
  }
}

/** The mark of a channel that nothing went through. */
export const NOTHING: Mark = { count: 0, hash: formatChannelHash(emptyChannelHash()) };

/** One message later. */
export function markAfter({ count, hash }: Mark, record: Uint8Array): Mark {
  const lanes = parseChannelHash(hash) ?? emptyChannelHash();
  foldChannelHash(
    lanes,
    new DataView(record.buffer, record.byteOffset, record.length),
    0,
    record.length,
  );
  return { count: count + 1, hash: formatChannelHash(lanes) };
}

/** A message on its way into a stream, as it stands in a snapshot: the same at both ends. */
export function sentRecord(subject: string, count: number, text: string): Uint8Array {
  return recordOf(`{"subject":${JSON.stringify(subject)},"count":${count},"message":${text}}`);
}

/** A message on its way out of a stream. */
export function streamRecord({ sequence, subject, stamp, payload, text }: Arrival): Uint8Array {
  const from = stamp ? `,"from":"${stamp.process}","count":${stamp.count}` : "";
  const content =
    text === undefined
      ? `"base64":"${Buffer.from(payload).toString("base64")}"`
      : `"message":${text}`;
  return recordOf(
    `{"sequence":${sequence},"subject":${JSON.stringify(subject)}${from},${content}}`,
  );
}

function recordOf(content: string): Uint8Array {
  return writeRecords([encodeUtf8(content)]);
}

/** What a stamped message is to whoever has had `known` of its sender. */
export type Standing =
  | { readonly kind: "next"; readonly mark: Mark }
  | { readonly kind: "repeat" | "undone" }
  | { readonly kind: "altered" | "lost"; readonly problem: string };

/** @param mayBegin the sender's first messages may have left the stream before anybody looked */
export function standingOf(
  arrival: Arrival & { readonly stamp: Stamp; readonly text: string },
  known: Mark | undefined,
  mayBegin: boolean,
  lineage: readonly Ancestor[],
): Standing {
  const { stream, sequence, subject, stamp, text } = arrival;
  if (!isOf(lineage, stream, stamp)) return { kind: "undone" };
  const begins = known === undefined && mayBegin;
  const { count, hash } = begins
    ? { count: stamp.count - 1, hash: stamp.before }
    : (known ?? NOTHING);
  if (stamp.count <= count) return { kind: "repeat" };
  const place = `message ${stamp.count} of ${stamp.process}, number ${sequence} of the stream ${stream},`;
  if (stamp.count > count + 1)
    return {
      kind: "lost",
      problem: `${place} came after message ${count}: those between them are not in the stream any more`,
    };
  if (stamp.before !== hash)
    return {
      kind: "altered",
      problem: `${place} does not go on from what ${stamp.process} sent before it`,
    };
  return { kind: "next", mark: markAfter({ count, hash }, sentRecord(subject, stamp.count, text)) };
}

/** Whether nothing has undone it. Lineages ascend. */
function isOf(
  lineage: readonly Ancestor[],
  stream: string,
  { epoch, process, count }: Stamp,
): boolean {
  const at = lineage.findIndex((ancestor) => ancestor.epoch === epoch);
  if (at < 0) return false;
  const next = lineage[at + 1];
  if (!next) return true;
  const kept = next.counts.find((one) => one.stream === stream && one.process === process);
  return count <= (kept?.count ?? 0);
}

/** What is to be done with a message. */
export type Taken =
  /** The application has it now. */
  | { readonly kind: "deliver" }
  /** It has been here, or was undone; `problem`: or somebody altered it. */
  | { readonly kind: "pass"; readonly problem?: string }
  /** Nothing is done yet: record snapshots first, up to this one at least, and take it again. */
  | { readonly kind: "record"; readonly snapshots: number }
  /** Nothing is done: its sender lives in a later epoch. */
  | { readonly kind: "later"; readonly epoch: number }
  /** Nothing is done: what came before it is gone. */
  | { readonly kind: "lost"; readonly problem: string };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface OpenReading {
  readonly begun: number;
  position: number;
  received: Mark;
  readonly senders: Map<ProcessId, Mark>;
}

export class StreamLedger {
  readonly process: ProcessId;
  readonly epoch: number;
  readonly #lineage: readonly Ancestor[];
  readonly #reads = new Map<string, OpenReading>();
  readonly #writes = new Map<string, Mutable<Writing>>();
  #unpublished: Unpublished[];
  #snapshots: number;

  constructor(checkpoint: Checkpoint, lineage: readonly Ancestor[]) {
    this.process = checkpoint.process;
    this.epoch = checkpoint.epoch;
    this.#lineage = lineage;
    this.#snapshots = checkpoint.snapshots;
    for (const { stream, begun, position, received, senders } of checkpoint.reads)
      this.#reads.set(stream, {
        ...{ begun, position, received },
        senders: new Map(senders.map(({ process, count, hash }) => [process, { count, hash }])),
      });
    for (const writing of checkpoint.writes) this.#writes.set(writing.stream, { ...writing });
    this.#unpublished = [...checkpoint.unpublished];
  }

  /** Snapshots up to this one are recorded. */
  get snapshots(): number {
    return this.#snapshots;
  }

  get unpublished(): readonly Unpublished[] {
    return this.#unpublished;
  }

  positionOf(stream: string): number {
    return this.#reads.get(stream)?.position ?? 0;
  }

  /** Begins to read a stream, or to write to it; does nothing if it does that already. */
  read(stream: string, begun: number): void {
    if (this.#reads.has(stream)) return;
    this.#reads.set(stream, { begun, position: begun, received: NOTHING, senders: new Map() });
  }

  write(stream: string): void {
    if (this.#writes.has(stream)) return;
    this.#writes.set(stream, { stream, sent: NOTHING, confirmed: NOTHING, position: 0 });
  }

  take(arrival: Arrival): Taken {
    const reading = this.#reads.get(arrival.stream);
    if (!reading || arrival.sequence <= reading.position) return { kind: "pass" };
    const { stamp, text } = arrival;
    if (!stamp || text === undefined) {
      return deliver(reading, arrival);
    }
    if (stamp.epoch > this.epoch) return { kind: "later", epoch: stamp.epoch };
    if (stamp.epoch === this.epoch && stamp.snapshots > this.#snapshots)
      return { kind: "record", snapshots: stamp.snapshots };
    const known = reading.senders.get(stamp.process);
    const standing = standingOf(
      { ...arrival, stamp, text },
      known,
      reading.begun > 0,
      this.#lineage,
    );
    if (standing.kind === "lost") return { kind: "lost", problem: standing.problem };
    reading.position = arrival.sequence;
    if (standing.kind === "altered") return { kind: "pass", problem: standing.problem };
    if (standing.kind !== "next") return { kind: "pass" };
    reading.senders.set(stamp.process, standing.mark);
    return deliver(reading, arrival);
  }

  /** Passes over a message that says what cannot be. */
  pass(arrival: Arrival): void {
    const reading = this.#reads.get(arrival.stream);
    if (reading && arrival.sequence > reading.position) reading.position = arrival.sequence;
  }

  /** @throws TidemarkError `NO_CHANNEL` */
  checkWrites(stream: string): void {
    if (this.#writes.has(stream)) return;
    throw new TidemarkError(
      "NO_CHANNEL",
      `${this.process} does not write to the stream ${stream}: name it in writes`,
    );
  }

  /** Sends a message into a stream that it writes to. It is published once a checkpoint has it. */
  send(stream: string, subject: string, text: string): void {
    const writing = this.#writes.get(stream);
    if (!writing) return;
    const { count, hash } = writing.sent;
    const stamp: Stamp = {
      ...{ epoch: this.epoch, process: this.process, snapshots: this.#snapshots },
      ...{ count: count + 1, before: hash },
    };
    writing.sent = markAfter(writing.sent, sentRecord(subject, stamp.count, text));
    this.#unpublished.push({ stream, subject, stamp, text });
  }

  /** Records: from now on snapshots up to this one are. Everything sent so far was sent before. */
  record(snapshots: number): void {
    this.#snapshots = Math.max(this.#snapshots, snapshots);
  }

  /** All that must be stored before anything that was sent is published. */
  checkpoint(state: unknown, recorded: readonly number[], atMs: number): Checkpoint {
    const reads = [...this.#reads].map(([stream, { begun, position, received, senders }]) => ({
      ...{ stream, begun, position, received },
      senders: [...senders].map(([process, mark]) => ({ process, ...mark })),
    }));
    return {
      ...{ process: this.process, epoch: this.epoch, snapshots: this.#snapshots, recorded, atMs },
      ...{ state, reads },
      writes: [...this.#writes.values()].map((writing) => ({ ...writing })),
      unpublished: [...this.#unpublished],
    };
  }

  /** The first of what was not published into a stream is there now, at that sequence number. */
  published(stream: string, sequence: number): void {
    const at = this.#unpublished.findIndex((one) => one.stream === stream);
    const [first] = at < 0 ? [] : this.#unpublished.splice(at, 1);
    const writing = this.#writes.get(stream);
    if (!first || !writing) return;
    const { subject, stamp, text } = first;
    writing.confirmed = markAfter(
      { count: stamp.count - 1, hash: stamp.before },
      sentRecord(subject, stamp.count, text),
    );
    // One that was repeated may lie before others.
    writing.position = Math.max(writing.position, sequence);
  }
}

/** What the application gets went through the channel; what is passed over did not. */
function deliver(reading: OpenReading, arrival: Arrival): Taken {
  reading.position = arrival.sequence;
  reading.received = markAfter(reading.received, streamRecord(arrival));
  return { kind: "deliver" };
}

/** @throws TidemarkError `BAD_MESSAGE` */
export function jsonText(value: unknown, what: string): string {
  let problem = "it has no JSON form";
  try {
    const text = JSON.stringify(value) as string | undefined;
    if (text !== undefined) return text;
  } catch (error) {
    problem = textOf(error);
  }
  throw new TidemarkError("BAD_MESSAGE", `${what} cannot be written as JSON: ${problem}`);
}
