/**
 * Reads a stream of somebody else's from a position on, each message once and in order.
 *
 * Theory of operation. The server keeps no position for us: that is in the checkpoint of whoever reads, with the state that it belongs
 * to. So what reads is a consumer in the server's memory, without acknowledgement, which is asked for some messages at a time. It
 * numbers what it gives: whatever goes wrong (a number is left out, the connection breaks, the server is another one), it is forgotten,
 * and a new one begins behind the last message that came. An answer of nothing is believed only if the stream has nothing more.
 */

import { setTimeout as pause } from "node:timers/promises";
import {
  AckPolicy,
  type Consumer,
  DeliverPolicy,
  JetStreamApiCodes,
  type StreamConfig,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { apiCodeOf, type NatsSession } from "./connection.ts";
import { type Arrival, arrivalOf, STAMP_HEADER } from "./stream-ledger.ts";

const AT_ONCE = 500;
/** The least that the client asks for. */
const WAIT_MS = 1_000;
/** A consumer that nobody asks is removed by the server. */
const FORGOTTEN_AFTER_MS = 60_000;

/** A consumer may be gone with its server, or its heartbeat be late: another one is made, so often in a row. */
const FAILURES_MAX = 10;
const FAILURE_PAUSE_MS = 50;

/** What a stream is, and where it is. */
export interface StreamPlace {
  /** Of the first message that it still has; one more than `last` if it has none. */
  readonly first: number;
  readonly last: number;
  readonly created: string;
  /** It forgets no message because somebody has had it. */
  readonly keeps: boolean;
  /** Of which messages it takes; none of a mirror. */
  readonly subjects: readonly string[];
}

/** Undefined if there is no such stream. */
export async function placeOf(
  session: NatsSession,
  stream: string,
): Promise<StreamPlace | undefined> {
  return await session.use(`look at ${stream}`, async ({ manager }) => {
    try {
      const { config, state, created } = await manager.streams.info(stream);
      // A mirror has none.
      const { subjects = [] }: Partial<StreamConfig> = config;
      return {
        created,
        first: Math.max(1, state.first_seq),
        last: state.last_seq,
        keeps: config.retention === "limits",
        subjects,
      };
    } catch (error) {
      if (apiCodeOf(error) === JetStreamApiCodes.StreamNotFound) return undefined;
      throw error;
    }
  });
}

export class StreamReader {
  readonly stream: string;
  readonly #session: NatsSession;
  #position: number;
  /** Counts what it asked: of an attempt that was given up nothing is taken any more. */
  #attempt: number = 0;
  /** In a row. */
  #failures: number = 0;
  #consumer: { readonly consumer: Consumer; given: number } | undefined;

  /** @param position begins behind that sequence number */
  constructor(session: NatsSession, stream: string, position: number) {
    this.#session = session;
    this.stream = stream;
    this.#position = position;
  }

  /** All up to this one have come, or are not in the stream any more. */
  get position(): number {
    return this.#position;
  }

  /** Waits for messages, a second at most, and hands on each as it comes; gives how many came. */
  async read(most: number, take: (arrival: Arrival) => void): Promise<number> {
    let came = 0;
    await this.#session.use(`read ${this.stream}`, async ({ jetstream, manager }) => {
      this.#attempt += 1;
      const attempt = this.#attempt;
      const open = this.#consumer ?? {
        given: 0,
        consumer: jetstream.consumers.getConsumerFromInfo(
          await manager.consumers.add(this.stream, {
            ack_policy: AckPolicy.None,
            deliver_policy: DeliverPolicy.StartSequence,
            opt_start_seq: this.#position + 1,
            inactive_threshold: nanos(FORGOTTEN_AFTER_MS),
            mem_storage: true,
            num_replicas: 1,
          }),
        ),
      };
      this.#consumer = undefined;
      try {
        const messages = await open.consumer.fetch({
          max_messages: Math.min(most, AT_ONCE),
          expires: WAIT_MS,
        });
        for await (const message of messages) {
          const { deliverySequence, streamSequence } = message.info;
          if (attempt !== this.#attempt || deliverySequence !== open.given + 1) {
            messages.stop();
            return;
          }
          open.given += 1;
          const header = message.headers?.get(STAMP_HEADER) ?? "";
          this.#position = streamSequence;
          came += 1;
          take(arrivalOf(this.stream, streamSequence, message.subject, header, message.data));
        }
      } catch (error) {
        // Of an attempt that was given up nobody hears.
        if (attempt !== this.#attempt) return;
        this.#failures = came > 0 ? 1 : this.#failures + 1;
        if (this.#failures > FAILURES_MAX) throw error;
        await pause(this.#failures * FAILURE_PAUSE_MS);
        return;
      }
      this.#failures = 0;
      this.#consumer = open;
    });
    if (came === 0) {
      const last = (await placeOf(this.#session, this.stream))?.last ?? 0;
      // A consumer that is gone gives nothing either.
      if (last > this.#position) this.#consumer = undefined;
    }
    return came;
  }
}

/**
 * Its messages behind `from`, up to `to`.
 * @throws TidemarkError if they have more than `bytesMax`
 */
export async function readWindow(
  session: NatsSession,
  stream: string,
  from: number,
  to: number,
  bytesMax: number,
): Promise<Arrival[]> {
  const reader = new StreamReader(session, stream, from);
  const messages: Arrival[] = [];
  let bytes = 0;
  while (reader.position < to) {
    const came = await reader.read(to - reader.position, (arrival) => {
      if (arrival.sequence > to) return;
      bytes += arrival.payload.length;
      messages.push(arrival);
    });
    if (bytes > bytesMax)
      throw session.failed(
        `between the positions of its readers and its end the stream ${stream} has more than ${bytesMax} bytes: ` +
          "let the readers catch up, and try again",
      );
    if (came > 0) continue;
    // The last ones were removed, all of them or one by one.
    const place = await placeOf(session, stream);
    if (!place || place.first > to || place.last <= reader.position) break;
    if (await isGone(session, stream, reader.position, to)) break;
  }
  return messages;
}

/** Whether none of them is there. */
async function isGone(
  session: NatsSession,
  stream: string,
  from: number,
  to: number,
): Promise<boolean> {
  const query: { next_by_subj: string; seq: number } = { next_by_subj: ">", seq: from + 1 };
  const next = await session.use(`read ${stream}`, ({ manager }) =>
    manager.streams.getMessage(stream, query),
  );
  return !next || next.seq > to;
}
