/** Where things stand in the diagram of a lab: time goes to the right, a line for each process. */

import type { ProcessId } from "../../src/core/id.ts";
import type { Lab } from "./lab.ts";
import type { Run, RunDelivery } from "./lab-run.ts";

/** A delivery, where it is drawn: what comes at one moment stands side by side. */
export interface Dot {
  readonly delivery: RunDelivery;
  /** Which one it is of its process, from 1. */
  readonly place: number;
  readonly x: number;
  /** It is delivered by its sender as it is sent: it stands where that does. */
  readonly isOwn: boolean;
  /** Those that are held back at one time lie above each other: from 0, at the line. */
  readonly lane: number;
}

/** A name, and in which line above or below it stands. */
export interface Label {
  readonly text: string;
  readonly x: number;
  readonly line: number;
}

/** How wide a letter of a label is, about; and as many lines are there for them. */
const LETTER = 6.6;
const LINES = 2;
export const DOT = 8;
/** How much is left free behind the end. */
const BEHIND = 1.1;
const SPAN_MIN = 300;

/** Up to which time it goes: it does not change with each millisecond. */
export function spanOf({ endMs }: Run): number {
  return Math.max(SPAN_MIN, Math.ceil((endMs * BEHIND) / 50) * 50);
}

/** Marks on the axis, 5 to 10 of them. */
export function ticksOf(span: number, most: number): readonly number[] {
  const steps = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
  const step = steps.find((one) => span / one <= most) ?? 10_000;
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, i) => i * step);
}

/** See `Dot`. */
export function dotsOf(
  lab: Lab,
  run: Run,
  at: ProcessId,
  xOf: (ms: number) => number,
): readonly Dot[] {
  let before = Number.NEGATIVE_INFINITY;
  const senders = new Map(lab.messages.map(({ name, from }) => [name, from]));
  const here = run.deliveries.filter((one) => one.at === at);
  const lanes = lanesOf(here);
  return here.map((delivery, i) => {
    const { message, deliveredMs } = delivery;
    const isOwn = senders.get(message) === at && run.sends.get(message)?.atMs === deliveredMs;
    const x = isOwn ? xOf(deliveredMs) : Math.max(xOf(deliveredMs), before + 2 * DOT + 2);
    before = x;
    return { delivery, place: i + 1, x, isOwn, lane: lanes.get(message) ?? 0 };
  });
}

function lanesOf(deliveries: readonly RunDelivery[]): ReadonlyMap<string, number> {
  const ends: number[] = [];
  const lanes = new Map<string, number>();
  const held = deliveries.filter(({ receivedMs, deliveredMs }) => deliveredMs > receivedMs);
  for (const { message, receivedMs, deliveredMs } of held.sort(
    (one, other) => one.receivedMs - other.receivedMs,
  )) {
    const free = ends.findIndex((end) => end <= receivedMs);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = deliveredMs;
    lanes.set(message, lane);
  }
  return lanes;
}

/** Each in the first line in which it has room; what has none is left out. */
export function labelsOf(
  wanted: readonly { readonly text: string; readonly x: number }[],
): readonly Label[] {
  const ends: number[] = Array.from({ length: LINES }, () => Number.NEGATIVE_INFINITY);
  return [...wanted]
    .sort((one, other) => one.x - other.x)
    .flatMap(({ text, x }) => {
      const half = (text.length * LETTER) / 2;
      const line = ends.findIndex((end) => end <= x - half);
      if (line < 0) return [];
      ends[line] = x + half + LETTER;
      return [{ text, x, line }];
    });
}

/** The number of the colour of a message. */
export function hueOf(lab: Lab, message: string): number {
  return (
    Math.max(
      0,
      lab.messages.findIndex(({ name }) => name === message),
    ) % 8
  );
}

/** When anything happens, in ascending order: where a step forward or back leads. */
export function momentsOf(run: Run): readonly number[] {
  const times = [
    0,
    ...run.frames
      .filter(({ kind }) => kind !== "word" && kind !== "control")
      .flatMap(({ sentMs, arrivesMs }) => [sentMs, arrivesMs]),
    ...run.events.map(({ atMs }) => atMs),
    ...run.snapshots.flatMap(({ recorded }) => [...recorded.values()]),
  ];
  return [...new Set(times)].sort((one, other) => one - other);
}
