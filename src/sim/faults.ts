/**
 * How bad a simulated world is. A seed draws one such value, which can be printed, read back, changed, and given
 * instead of a seed's own: the run is decided by the seed and this value alone.
 */

import { Random } from "../core/random.ts";
import { checkKeys, refuse } from "./check.ts";

/**
 * Times are virtual milliseconds, up to 60 s, or 10 s of `delayMs` and `syncMs`; probabilities from 0 to 1; counts, up to 1000, how
 * often it happens while faults last. More is an error.
 */
export interface Faults {
  /** How long faults last; then the world heals, and everything must complete. */
  readonly lastMs: number;
  /** True: frames keep their order and are lost only with a connection, as over TCP. False: as over UDP. */
  readonly reliable: boolean;
  /** The least and the most that a frame is under way. */
  readonly delayMs: readonly [number, number];
  /** What a channel carries, in bytes a millisecond, 1 or more; 0: any amount. */
  readonly capacity: number;
  /** Probability that a frame is lost; only of an unreliable network. */
  readonly loss: number;
  /** Probability that a frame arrives again later. */
  readonly repeat: number;
  /** Probability that the network does not take a frame. */
  readonly refuse: number;
  /** Connections that break, and come back. */
  readonly cuts: number;
  /** Times at which no frame passes between two groups of processes, and how many of them are one-way only. */
  readonly partitions: number;
  readonly oneWay: number;
  /** Times at which frames from one process to another wait, all of them; a hold ends all at once. */
  readonly holds: number;
  /** Times at which what one process sends to another is late by up to `troubleMs`. */
  readonly clogs: number;
  /** How long a cut, a partition, a hold, a clog or a crash lasts at the most. */
  readonly troubleMs: number;
  /**
   * Processes that die; each comes back without its state, or with probability `fromSnapshot` from the newest snapshot. In a world that
   * logs inputs they die between two of the things that they do, and come back with all that they knew; with that probability the
   * whole system is then restored to the newest snapshot.
   */
  readonly crashes: number;
  readonly fromSnapshot: number;
  /** How far a process' clock is off at the most, and how much too fast or too slow it goes (0.01 is one per cent, 0.5 the most). */
  readonly skewMs: number;
  readonly drift: number;
  /** How long a store takes to write and flush, at the most. */
  readonly syncMs: number;
  /** Probability that a store cannot write; that what was not flushed when a process died is torn and not gone. */
  readonly storeFails: number;
  readonly torn: number;
  /** Probability that an application's capture throws; that the caller of a snapshot gives up. */
  readonly captureThrows: number;
  readonly givesUp: number;
}

/** A world in which nothing goes wrong; frames take from 1 to 5 ms. */
export const NO_FAULTS: Faults = {
  lastMs: 200,
  reliable: true,
  delayMs: [1, 5],
  capacity: 0,
  loss: 0,
  repeat: 0,
  refuse: 0,
  cuts: 0,
  partitions: 0,
  oneWay: 0,
  holds: 0,
  clogs: 0,
  troubleMs: 0,
  crashes: 0,
  fromSnapshot: 0,
  skewMs: 0,
  drift: 0,
  syncMs: 5,
  storeFails: 0,
  torn: 0,
  captureThrows: 0,
  givesUp: 0,
};

/** The faults of a seed: each kind is there in some worlds and not in others, for some mistakes hide behind others. */
export function drawFaults(seed: number | string): Faults {
  const random = new Random(`faults ${seed}`);
  const sometimes = (probability: number, most: number): number =>
    random.chance(probability) ? Math.round(random.fraction() * most * 1000) / 1000 : 0;
  const often = (probability: number, most: number): number =>
    random.chance(probability) ? random.between(1, most) : 0;
  const reliable = random.chance(0.5);
  const least = random.pick([0, 1, 5]) as number;
  return {
    lastMs: random.between(50, 500),
    reliable,
    delayMs: [least, least + (random.pick([0, 4, 20, 100]) as number)],
    capacity: random.pick([0, 0, 20, 200]) as number,
    loss: reliable ? 0 : sometimes(0.7, 0.3),
    repeat: sometimes(0.7, 0.3),
    refuse: sometimes(0.3, 0.2),
    cuts: often(0.5, 6),
    partitions: often(0.4, 3),
    oneWay: often(0.3, 2),
    holds: often(0.3, 3),
    clogs: often(0.3, 3),
    troubleMs: random.pick([10, 50, 200]) as number,
    crashes: often(0.4, 3),
    fromSnapshot: random.pick([0, 0.5, 1]) as number,
    skewMs: random.pick([0, 100, 100_000]) as number,
    drift: random.pick([0, 0.001, 0.1]) as number,
    syncMs: random.pick([1, 10, 100]) as number,
    storeFails: sometimes(0.2, 0.3),
    torn: random.pick([0, 0.5]) as number,
    captureThrows: sometimes(0.15, 0.2),
    givesUp: sometimes(0.2, 0.3),
  };
}

/** As JSON, without what is as in `NO_FAULTS`. */
export function formatFaults(faults: Faults): string {
  const usual: Readonly<Record<string, unknown>> = { ...NO_FAULTS };
  const same = (key: string, value: unknown): boolean =>
    JSON.stringify(value) === JSON.stringify(usual[key]);
  return JSON.stringify(
    Object.fromEntries(Object.entries(faults).filter(([key, value]) => !same(key, value))),
  );
}

/** Virtual time that faults and what they make late may take: beyond, healing would take for ever. */
const TIME: Range = { low: 0, high: 60_000 };
const PROBABILITY: Range = { low: 0, high: 1 };
const COUNT: Range = { low: 0, high: 1_000, whole: true };

/** What a number may be; where 0 means something of its own, `zero`. */
interface Range {
  readonly low: number;
  readonly high: number;
  readonly whole?: true;
  readonly zero?: true;
}

/** Within them, what is promised of a world that healed is kept: see run.ts for the times that it is given. */
const RANGES: Readonly<Record<Exclude<keyof Faults, "reliable">, Range>> = {
  lastMs: TIME,
  delayMs: { low: 0, high: 10_000 },
  capacity: { low: 1, high: 1e9, zero: true },
  loss: PROBABILITY,
  repeat: PROBABILITY,
  refuse: PROBABILITY,
  cuts: COUNT,
  partitions: COUNT,
  oneWay: COUNT,
  holds: COUNT,
  clogs: COUNT,
  troubleMs: TIME,
  crashes: COUNT,
  fromSnapshot: PROBABILITY,
  skewMs: { low: 0, high: 1e9 },
  drift: { low: 0, high: 0.5 },
  syncMs: { low: 0, high: 10_000 },
  storeFails: PROBABILITY,
  torn: PROBABILITY,
  captureThrows: PROBABILITY,
  givesUp: PROBABILITY,
};

/**
 * Reads what `formatFaults` or `JSON.stringify` made of faults; what is left out is as in `NO_FAULTS`.
 * @throws TidemarkError `BAD_OPTION` naming what is wrong
 */
export function parseFaults(text: string): Faults {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    refuse("faults: not JSON");
  }
  if (typeof given !== "object" || given === null || Array.isArray(given))
    return refuse('faults: must be an object such as {"loss": 0.1}');
  checkKeys("faults", given, Object.keys(NO_FAULTS));
  return checkFaults({ ...NO_FAULTS, ...given });
}

/**
 * Gives them back if they are whole and each is in its range.
 * @throws TidemarkError `BAD_OPTION` naming what is wrong
 */
export function checkFaults(faults: Faults): Faults {
  checkKeys("faults", faults, Object.keys(NO_FAULTS));
  for (const key of Object.keys(NO_FAULTS) as (keyof Faults)[]) {
    if (!Object.hasOwn(faults, key))
      refuse(
        `faults: ${key} is missing; begin with those that are none: { ...NO_FAULTS, loss: 0.1 }`,
      );
    const value: unknown = faults[key];
    if (key === "reliable") {
      if (typeof value !== "boolean") refuse("faults: reliable must be true or false");
      continue;
    }
    const range = RANGES[key];
    const kind = `${range.zero ? "0, or " : ""}a ${range.whole ? "whole " : ""}number from ${range.low} to ${range.high}`;
    if (key !== "delayMs") {
      if (!isIn(range, value)) refuse(`faults: ${key} must be ${kind}`);
      continue;
    }
    const [least, most] = Array.isArray(value) && value.length === 2 ? value : [];
    if (!isIn(range, least) || !isIn(range, most) || most < least)
      refuse(`faults: delayMs must be [least, most], each ${kind}`);
  }
  return faults;
}

function isIn({ low, high, whole, zero }: Range, value: unknown): value is number {
  if (typeof value !== "number" || (whole && !Number.isInteger(value))) return false;
  return (zero && value === 0) || (value >= low && value <= high);
}
