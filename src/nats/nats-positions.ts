/**
 * Where streams and their consumers are, by looking alone: for applications whose processes know nothing of Tidemark. It changes nothing
 * on the server.
 *
 * What it is worth. Streams are asked one after the other, so their positions are of different moments: a message may be before
 * the position of B whose cause is behind that of A. They are asked again and again, and all that is recorded only grows.
 * So if a whole round finds what the round before it found, then all of it was so at one moment, between the two: at the end of the
 * first one. Then, and only then, the positions belong together. Even so they say nothing of the states of processes: that a message was
 * delivered or acknowledged is not that its effects are in a state.
 */

import { JetStreamApiCodes } from "@nats-io/jetstream";
import { TidemarkError } from "../core/error.ts";
import { apiCodeOf, type NatsOptions, NatsSession } from "./connection.ts";

export interface ConsumerPosition {
  readonly consumer: string;
  /** Up to here all is acknowledged. */
  readonly acknowledged: number;
  /** The last one that was delivered, at least once. */
  readonly delivered: number;
  readonly unacknowledged: number;
  readonly pending: number;
}

export interface StreamPosition {
  readonly stream: string;
  readonly first: number;
  readonly last: number;
  readonly messages: number;
  /** Of those that the server keeps. */
  readonly consumers: readonly ConsumerPosition[];
}

/** All streams, one after the other. */
export interface PositionRound {
  /** By the clock of whoever looked, in milliseconds since 1970: when the first answer was asked for … */
  readonly fromMs: number;
  /** … and how long it was until the last one had come. */
  readonly tookMs: number;
  readonly streams: readonly StreamPosition[];
}

export interface NatsPositions {
  /** Two rounds in a row found the same: the positions of the last one are of one moment. */
  readonly atOnce: boolean;
  readonly rounds: readonly PositionRound[];
  /** For people: what these positions do not show. */
  readonly notProven: readonly string[];
}

export interface NatsPositionsOptions extends NatsOptions {
  readonly streams: readonly string[];
  /**
   * How often all streams are looked at, at most; at least twice. It ends when two rounds in a row found the same.
   * @default 5
   */
  readonly rounds?: number;
}

/**
 * Records where streams and their consumers are.
 * @throws TidemarkError `NOT_FOUND` if there is no such stream, `BAD_OPTION`, `STORE_FAILED`
 */
export async function recordNatsPositions(options: NatsPositionsOptions): Promise<NatsPositions> {
  const { streams, rounds: most = 5 } = options;
  if (!Number.isSafeInteger(most) || most < 2)
    throw new TidemarkError("BAD_OPTION", `rounds is ${most}; use a whole number, 2 or more`);
  const session = new NatsSession(options, "STORE_FAILED");
  try {
    const rounds: PositionRound[] = [];
    let atOnce = false;
    while (rounds.length < most && !atOnce) {
      const fromMs = Date.now();
      const startMs = performance.now();
      const found: StreamPosition[] = [];
      for (const stream of new Set(streams)) found.push(await positionOf(session, stream));
      const before = rounds.at(-1);
      rounds.push({ fromMs, tookMs: performance.now() - startMs, streams: found });
      atOnce = JSON.stringify(before?.streams) === JSON.stringify(found);
    }
    return { atOnce, rounds, notProven: notProven(rounds, atOnce) };
  } finally {
    await session.close();
  }
}

async function positionOf(session: NatsSession, stream: string): Promise<StreamPosition> {
  return await session.use(`look at ${stream}`, async ({ manager }) => {
    try {
      const consumers: ConsumerPosition[] = [];
      for await (const one of manager.consumers.list(stream))
        consumers.push({
          ...{ consumer: one.name, acknowledged: one.ack_floor.stream_seq },
          ...{ delivered: one.delivered.stream_seq, unacknowledged: one.num_ack_pending },
          pending: one.num_pending,
        });
      const { state } = await manager.streams.info(stream);
      consumers.sort((a, b) => (a.consumer < b.consumer ? -1 : 1));
      const { first_seq: first, last_seq: last, messages } = state;
      return { stream, first, last, messages, consumers };
    } catch (error) {
      if (apiCodeOf(error) !== JetStreamApiCodes.StreamNotFound) throw error;
      throw new TidemarkError("NOT_FOUND", `there is no stream ${stream} at ${session.where}`);
    }
  });
}

function notProven(rounds: readonly PositionRound[], atOnce: boolean): readonly string[] {
  const [{ streams, tookMs } = { streams: [], tookMs: 0 }] = rounds.slice(-1);
  const states =
    "No state of any process is recorded. That a message was delivered or acknowledged does not say that its effects are in a state, " +
    "nor that what came of it was published.";
  if (atOnce) return [states];
  const [a = { stream: "" }] = streams;
  const b = streams.at(-1) ?? a;
  const within = `${tookMs.toFixed(1)} ms`;
  const apart =
    a === b
      ? `The position of ${a.stream} and those of its consumers were read within ${within}, while they moved: ` +
        "they are of different moments."
      : `The positions of ${a.stream} and ${b.stream} were read up to ${within} apart, while they moved: ` +
        `a message may be before the position of ${b.stream} whose cause is behind the position of ${a.stream}.`;
  return [
    apart,
    "So the positions need not be of one moment, and what is restored from them may have effects without causes.",
    states,
  ];
}
