/** How numbers, sizes and times are written. */

import { byteSize, duration } from "../../src/core/quantity.ts";

export { byteSize, duration };

/** 1234567 as 1,234,567. */
export const grouped = (value: number): string =>
  String(Math.round(value)).replaceAll(/\B(?=([0-9]{3})+$)/g, ",");

/** "1 message", "2 messages". */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${grouped(count)} ${count === 1 ? one : many}`;

/** A time of today by the clock, or with its date. */
export function clockTime(atMs: number, nowMs: number = Date.now()): string {
  const at = new Date(atMs);
  const time = at.toTimeString().slice(0, 8);
  return at.toDateString() === new Date(nowMs).toDateString()
    ? time
    : `${at.toLocaleDateString()} ${time}`;
}
