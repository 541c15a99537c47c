/** Two shipping links in the words of spec/link.qnt. */

import { copyOf, readRecords } from "../../../src/core/record.ts";
import { BatchWriter } from "../../../src/link/batch-writer.ts";
import { BATCH_HEADER_BYTES, type ParsedFrame, parseFrame } from "../../../src/link/frame.ts";
import { Link, type LinkInput, type LinkOptions } from "../../../src/link/link.ts";
import type { Fields } from "./itf.ts";
import type { Replica } from "./replay.ts";

interface Batch {
  readonly first: number;
  readonly records: readonly number[];
}

interface Word {
  readonly acknowledged: number;
  readonly credit: number;
  readonly asks: boolean;
}

type Frame =
  | { readonly tag: "Data"; readonly value: Batch }
  | { readonly tag: "NoData"; readonly value: Word };

/** What of the model's state the machines have. */
interface Ends {
  readonly sender: {
    readonly up: boolean;
    readonly resuming: boolean;
    readonly next: number;
    readonly queue: readonly Batch[];
    readonly sent: number;
    readonly credit: number;
  };
  readonly receiver: {
    readonly up: boolean;
    readonly resuming: boolean;
    readonly expected: number;
    readonly taken: number;
    readonly early: { readonly [first: string]: Batch };
    readonly owed: number;
    readonly owes: boolean;
  };
  readonly toReceiver: readonly Frame[];
  readonly toSender: readonly Word[];
  readonly handedUp: readonly number[];
}

/** How often the interesting cases occurred. */
export interface Seen {
  repeats: number;
  early: number;
  resumed: number;
  /** After so many steps everything was given, handed up and acknowledged. */
  whole: number;
}

type EndName = "sender" | "receiver";

/** In the model: the window, in records, and how many are given at most. */
const WINDOW = 8;
const RECORDS = 15;
/** A record is its length and its number. */
const RECORD_BYTES = 8;
/** Everything that waits for some time is due after so long. */
const LONG_MS = 10_000;
const EPOCH = 3;

interface End {
  readonly link: Link;
  /** Each has a clock of its own: what is due at one end must not come due because time passed at the other. */
  nowMs: number;
  /** What is under way to this end, in the order it was sent. */
  readonly frames: Uint8Array[];
}

/** See the head of the file. */
export class LinkReplica implements Replica {
  readonly seen: Seen;
  readonly #ends: Readonly<Record<EndName, End>>;
  readonly #writer: BatchWriter;
  readonly #handedUp: number[] = [];
  #given = 0;

  /** @param make makes the machine of an end */
  constructor(seen: Seen, make: (options: LinkOptions) => Link = (options) => new Link(options)) {
    this.seen = seen;
    const end = (incarnation: number): End => ({
      link: make({
        stream: 0,
        epoch: EPOCH,
        incarnation,
        reliable: false,
        windowBytes: WINDOW * RECORD_BYTES,
        ackDelayMs: 5,
      }),
      nowMs: 0,
      frames: [],
    });
    this.#ends = { sender: end(1), receiver: end(2) };
    this.#writer = new BatchWriter(1, 1_000, this.#ends.sender.link);
  }

  perform(action: string, { count, index, kept }: Fields): void {
    const { sender, receiver } = this.#ends;
    switch (action) {
      case "anyGive": {
        for (let i = 0; i < Number(count); i += 1) {
          this.#writer.append(contentOf(this.#given));
          this.#given += 1;
        }
        const batch = this.#writer.take();
        this.#step("sender", { type: "send", batch, nowMs: sender.nowMs });
        break;
      }
      case "anyTake": {
        const bytes = Number(count) * RECORD_BYTES;
        this.#step("receiver", { type: "taken", bytes, nowMs: receiver.nowMs });
        break;
      }
      case "anyDeliverToSender":
        this.#deliver("sender", Number(index), kept === true);
        break;
      case "anyDeliverToReceiver":
        this.#deliver("receiver", Number(index), kept === true);
        break;
      case "anyLoseToSender":
        sender.frames.splice(Number(index), 1);
        break;
      case "anyLoseToReceiver":
        receiver.frames.splice(Number(index), 1);
        break;
      case "tickSender":
        this.#tick("sender");
        break;
      case "tickReceiver":
        this.#tick("receiver");
        break;
      case "upSender":
        this.#step("sender", { type: "up", incarnation: 2, nowMs: sender.nowMs });
        break;
      case "upReceiver":
        this.#step("receiver", { type: "up", incarnation: 1, nowMs: receiver.nowMs });
        break;
      case "downSender":
        this.#step("sender", { type: "down" });
        break;
      case "downReceiver":
        this.#step("receiver", { type: "down" });
        break;
      default:
        throw new Error(`the model has an action that is not known here: ${action}`);
    }
  }

  expected(state: Fields): Ends {
    const { sender, receiver, toReceiver, toSender, handedUp } = state as unknown as Ends;
    return { sender, receiver, toReceiver, toSender, handedUp };
  }

  project(): Ends {
    const { sender, receiver } = this.#ends;
    const { up, resuming, next, queue, sent, creditBytes } = sender.link.state;
    const { expected, takenBytes, early, owedBytes, ackAtMs, ...got } = receiver.link.state;
    if (got.receivedBytes !== expected * RECORD_BYTES)
      throw new Error(`${expected} records were received in ${got.receivedBytes} bytes`);
    return {
      sender: {
        up,
        resuming,
        next,
        queue: queue.map(({ frame, first }) => ({
          first,
          records: numbersOf(frame.subarray(BATCH_HEADER_BYTES)),
        })),
        sent,
        credit: creditBytes / RECORD_BYTES,
      },
      receiver: {
        up: got.up,
        resuming: got.resuming,
        expected,
        taken: takenBytes / RECORD_BYTES,
        early: Object.fromEntries(
          [...early].flatMap(([first, { batch }]) =>
            batch ? [[`${first}`, { first, records: numbersOf(batch.body) }]] : [],
          ),
        ),
        owed: owedBytes / RECORD_BYTES,
        owes: Number.isFinite(ackAtMs),
      },
      toReceiver: receiver.frames.map((frame) => shown(parsed(frame))),
      toSender: sender.frames.map((frame) => shown(parsed(frame)).value as Word),
      handedUp: this.#handedUp,
    };
  }

  #deliver(name: EndName, index: number, kept: boolean): void {
    const end = this.#ends[name];
    const bytes = end.frames[index];
    if (!bytes) throw new Error(`no frame ${index} is under way to the ${name}`);
    if (!kept) end.frames.splice(index, 1);
    // A frame is only lent: it is written over afterwards.
    const lent = copyOf(bytes);
    const frame = parsed(lent);
    const { link } = end;
    const { expected } = link.state;
    if (frame.batch && link.state.up) {
      if (frame.batch.first < expected) this.seen.repeats += 1;
      if (frame.batch.first > expected) this.seen.early += 1;
    }
    this.#step(name, { type: "frame", frame, nowMs: end.nowMs });
    lent.fill(0xee);
  }

  #tick(name: EndName): void {
    const end = this.#ends[name];
    end.nowMs += LONG_MS;
    this.#step(name, { type: "tick", nowMs: end.nowMs });
  }

  #step(name: EndName, input: LinkInput): void {
    const { link } = this.#ends[name];
    const other = this.#ends[name === "sender" ? "receiver" : "sender"];
    const wasResuming = link.state.resuming;
    for (const effect of link.step(input)) {
      if (effect.type === "transmit") other.frames.push(copyOf(effect.frame));
      else if (effect.type === "batch") this.#handedUp.push(...numbersOf(effect.batch.body));
      else throw new Error(`the ${name} yields ${JSON.stringify(effect)}`);
    }
    if (wasResuming && !link.state.resuming && this.#handedUp.length > 0) this.seen.resumed += 1;
    const { next, queue } = this.#ends.sender.link.state;
    if (next === RECORDS && queue.length === 0) this.seen.whole += 1;
  }
}

function contentOf(number: number): Uint8Array {
  const content = new Uint8Array(4);
  new DataView(content.buffer).setUint32(0, number);
  return content;
}

const numbersOf = (body: Uint8Array): number[] =>
  readRecords(body).map((content) => new DataView(content.buffer, content.byteOffset).getUint32(0));

function parsed(bytes: Uint8Array): ParsedFrame {
  const frame = parseFrame(bytes);
  if (typeof frame === "string") throw new Error(frame);
  return frame;
}

function shown({ batch, acknowledged, credit, asks }: ParsedFrame): Frame {
  return batch
    ? { tag: "Data", value: { first: batch.first, records: numbersOf(batch.body) } }
    : { tag: "NoData", value: { acknowledged, credit: credit / RECORD_BYTES, asks } };
}
