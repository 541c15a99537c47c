/**
 * The log that gives groups their total order, as a stream of JetStream: replicated by Raft, so it survives every process and, with
 * three replicas, the loss of a server.
 *
 *     PREFIX-order-GROUP            a stream; GROUP in base64url
 *       PREFIX.order.GROUP.7          texts of epoch 7, a line each: multicast/log-order.ts says which
 *
 * Theory of operation. One message is under way from each process, with all that was to be written meanwhile in the next: so texts stay in
 * their order, and the more there is to write, the more goes at once. Each has an id, and one that is not answered is written
 * again. It is read by a consumer without acknowledgements, which is made anew behind the last position when it does not answer, or
 * leaves one out; whoever comes back goes on from where its state is. A position is the sequence number in the stream, which ascends
 * across epochs.
 *
 * The stream has the latest `maxBytes`. Nobody can be far behind: a group has no more room once a window of packets is not with all. A
 * member that lacks something all the same could never go on in order: that is told as lost.
 */

import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import {
  AckPolicy,
  type ConsumerMessages,
  DeliverPolicy,
  DiscardPolicy,
  type JsMsg,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { TidemarkError, textOf } from "../core/error.ts";
import type {
  OpenedOrderLog,
  OrderLog,
  OrderLogEvents,
  OrderLogReader,
} from "../runtime/order-log.ts";
import { type NatsOptions, NatsSession } from "./connection.ts";
import { checkPlace, Stream, type StreamSettings } from "./stream.ts";

/** Where `natsOrderLog` keeps the order. */
export interface NatsOrderLogOptions extends NatsOptions {
  /** What the names of its streams begin with: as of `natsStore`. @default "tidemark" */
  readonly prefix?: string;
  /** On how many servers it is kept: 1, or 3 of a cluster. @default 1 */
  readonly replicas?: 1 | 3;
  /**
   * How many bytes of places a stream keeps on each server, the latest ones; a place takes some ten bytes, and is written by several.
   * @default 268_435_456
   */
  readonly maxBytes?: number;
}

/**
 * The log for groups with `total: "log"`, on NATS JetStream, for `orderLog` of `startProcess`. Every process of a system has one of its
 * own on the same servers. It connects when a process begins, and is closed with it.
 *
 * @throws TidemarkError `BAD_OPTION`
 *
 * @example
 * ```ts
 * import { natsOrderLog } from "tidemark/nats";
 * const orderLog = natsOrderLog({ servers: "nats://127.0.0.1:4222", prefix: "bank", replicas: 1 });
 * ```
 */
export function natsOrderLog(options: NatsOrderLogOptions): OrderLog {
  const { prefix = "tidemark", replicas = 1, maxBytes = MAX_BYTES } = options;
  checkPlace(prefix, replicas);
  if (!Number.isSafeInteger(maxBytes) || maxBytes < MAX_BYTES_LEAST)
    throw new TidemarkError(
      "BAD_OPTION",
      `maxBytes is ${maxBytes}; use a whole number of bytes, ${MAX_BYTES_LEAST} or more`,
    );
  // So that what is wrong with an address is told now.
  const check = new NatsSession(options, "ORDER_LOG_FAILED");
  void check.close();
  return {
    open: (what, events) => new Reader(options, { prefix, replicas, maxBytes }, what, events),
  };
}

const MAX_BYTES = 256 * 1024 * 1024;
/** For what members may lack who are not there. */
const MAX_BYTES_LEAST = 16 * 1024 * 1024;
/** What goes into one message. */
const WRITE_BYTES = 256 * 1024;
const PAUSE_MS = 1_000;
/** A consumer that nobody uses any more goes by itself. */
const UNUSED_MS = 30_000;
/** A pull ends by then. If it does not, its server is gone without a word. */
const PULL_MS = 2_000;
const NO_ANSWER_MS = 10_000;
const PULL_MESSAGES = 1_000;
/** So often it is looked whether something is lost before it is said. */
const LOOKS = 10;

const tokenOf = (group: string): string => Buffer.from(group).toString("base64url");
const subjectsOf = (prefix: string, group: string): string => `${prefix}.order.${tokenOf(group)}.`;

/** What the stream of a group should be. */
export function orderSettings(
  prefix: string,
  group: string,
  replicas: number,
  maxBytes: number = MAX_BYTES,
): StreamSettings {
  return {
    name: `${prefix}-order-${tokenOf(group)}`,
    description: `Tidemark: the total order of the group ${group}`,
    subjects: [`${subjectsOf(prefix, group)}*`],
    num_replicas: replicas,
    max_bytes: maxBytes,
    discard: DiscardPolicy.Old,
  };
}

/** The group whose order a stream has; undefined if that is not what it is for. */
export function orderedGroup(prefix: string, stream: string): string | undefined {
  const before = `${prefix}-order-`;
  if (!stream.startsWith(before)) return undefined;
  return Buffer.from(stream.slice(before.length), "base64url").toString();
}

class Reader implements OrderLogReader {
  readonly #session: NatsSession;
  readonly #stream: Stream;
  readonly #events: OrderLogEvents;
  readonly #subject: string;
  #position: number;
  #queue: string[] = [];
  #writing: Promise<void> | undefined;
  readonly #reading: Promise<void>;
  #messages: ConsumerMessages | undefined;
  readonly #closed = new AbortController();

  constructor(
    options: NatsOrderLogOptions,
    { prefix, replicas, maxBytes }: Required<Omit<NatsOrderLogOptions, keyof NatsOptions>>,
    { group, epoch, position }: OpenedOrderLog,
    events: OrderLogEvents,
  ) {
    this.#subject = `${subjectsOf(prefix, group)}${epoch}`;
    this.#session = new NatsSession(options, "ORDER_LOG_FAILED");
    this.#stream = new Stream(this.#session, orderSettings(prefix, group, replicas, maxBytes));
    this.#events = events;
    this.#position = position;
    this.#reading = this.#read();
  }

  write(text: string): void {
    this.#queue.push(text);
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#messages?.stop();
    await this.#session.close();
    await Promise.all([this.#reading, this.#writing]);
  }

  async #write(): Promise<void> {
    while (this.#queue.length > 0 && !this.#isClosed) {
      let bytes = 0;
      let many = 0;
      for (const text of this.#queue) {
        bytes += text.length + 1;
        if (many > 0 && bytes > WRITE_BYTES) break;
        many += 1;
      }
      const content = Buffer.from(this.#queue.splice(0, many).join("\n"));
      const id = randomUUID();
      await this.#insist("write the order", () =>
        this.#stream.write(this.#subject, content, { id }),
      );
    }
  }

  async #read(): Promise<void> {
    // Not within `open`.
    await Promise.resolve();
    let isLost = false;
    await this.#insist("open the order", async () => {
      await this.#stream.make();
      isLost = await this.#isLost();
    });
    if (this.#isClosed || isLost) return;
    this.#events.opened();
    let failures = 0;
    while (!this.#isClosed)
      try {
        await this.#readOn(() => {
          failures = 0;
        });
      } catch (thrown) {
        failures += 1;
        // A server that goes away is nothing to be told of, if another one has the stream.
        if (failures === 2) this.#tell("read the order", thrown);
        if (failures > 1) await this.#rest();
      }
  }

  /**
   * By a consumer of its own, which acknowledges nothing: as long as that brings all, and answers.
   * @param answered it has
   */
  async #readOn(answered: () => void): Promise<void> {
    if (await this.#isLost()) return;
    const consumer = await this.#session.use(
      `read ${this.#subject}`,
      async ({ manager, jetstream }) => {
        const made = await manager.consumers.add(this.#stream.name, {
          filter_subject: this.#subject,
          deliver_policy: DeliverPolicy.StartSequence,
          opt_start_seq: this.#position + 1,
          ack_policy: AckPolicy.None,
          inactive_threshold: nanos(UNUSED_MS),
          mem_storage: true,
          num_replicas: 1,
        });
        return jetstream.consumers.getConsumerFromInfo(made);
      },
    );
    for (let next = 1; !this.#isClosed; ) {
      const messages = await consumer.fetch({ max_messages: PULL_MESSAGES, expires: PULL_MS });
      this.#messages = messages;
      if (this.#isClosed) messages.stop();
      const late = setTimeout(() => messages.stop(new Error("no answer")), NO_ANSWER_MS);
      try {
        for await (const message of messages) {
          // One is missing: it was on its way when a connection broke.
          if (message.info.deliverySequence !== next) return;
          next += 1;
          // Those between may be of other epochs, or gone.
          if (message.seq > this.#position + 1 && (await this.#isLost())) return;
          this.#take(message);
        }
        answered();
      } finally {
        clearTimeout(late);
      }
      if (await this.#isLost()) return;
    }
  }

  #take({ seq, data }: JsMsg): void {
    if (this.#isClosed || seq <= this.#position) return;
    this.#position = seq;
    this.#events.read(seq, Buffer.from(data).toString());
  }

  /**
   * What stands right behind the position is not there any more, or the stream is another one than was read: nobody can say what this
   * process lacks. Then it is told, and it ends.
   */
  async #isLost(): Promise<boolean> {
    const position = this.#position;
    let bounds: Awaited<ReturnType<Stream["bounds"]>>;
    for (let looks = 0; looks < LOOKS; looks += 1) {
      // A server that was away may believe for a moment that it leads, and know less than there is.
      if (looks > 0) await this.#rest();
      if (this.#isClosed) return true;
      bounds = await this.#stream.bounds();
      if (bounds && (position === 0 || (bounds.first <= position + 1 && bounds.last >= position)))
        return false;
    }
    const { first = 0, last = 0 } = bounds ?? {};
    const there = bounds ? `has ${first} to ${last}` : "is not there any more";
    this.#closed.abort();
    this.#events.lost(
      new TidemarkError(
        "ORDER_LOG_FAILED",
        `the stream ${this.#stream.name} ${there}, and this process has read it to ${position}: ` +
          "what it lacks is not kept, or the stream is another one. Stop all processes and restore a snapshot, which begins a new order",
      ),
    );
    return true;
  }

  get #isClosed(): boolean {
    return this.#closed.signal.aborted;
  }

  /** Until it is done, or closed; what keeps it from being done is told once. */
  async #insist(what: string, act: () => Promise<unknown>): Promise<void> {
    for (let tries = 0; !this.#isClosed; tries += 1)
      try {
        return void (await act());
      } catch (thrown) {
        if (tries === 0) this.#tell(what, thrown);
        await this.#rest();
      }
  }

  #tell(what: string, thrown: unknown): void {
    if (this.#isClosed) return;
    const reason = `cannot ${what}: ${textOf(thrown)}`;
    this.#events.problem(
      thrown instanceof TidemarkError
        ? thrown
        : new TidemarkError("ORDER_LOG_FAILED", reason, { cause: thrown }),
    );
  }

  #rest(): Promise<void> {
    return pause(PAUSE_MS, undefined, { signal: this.#closed.signal }).catch(() => {});
  }
}
