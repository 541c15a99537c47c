/** What stands in requests, read as commands need it. All throw a `Refusal` for what cannot be. */

import { NOT_FLOAT, NOT_INTEGER, Refusal } from "./command.ts";
import { INT64_MAX, INT64_MIN, parseAnyFloat64, parseFloat64, parseInteger } from "./numbers.ts";

/** A whole number of 64 bits. */
export function integerIn(
  text: string | undefined,
  problem: string = NOT_INTEGER,
): number | bigint {
  const value = text === undefined ? undefined : parseInteger(text);
  if (value === undefined) throw new Refusal(problem);
  return value;
}

/** A whole number that counts something or says where: what is beyond exact numbers is as good as infinite. */
export function indexIn(text: string | undefined, problem: string = NOT_INTEGER): number {
  return Number(integerIn(text, problem));
}

/** A whole number between two others. */
export function rangeIn(
  text: string | undefined,
  least: number,
  most: number,
  problem: string = NOT_INTEGER,
): number {
  const value = indexIn(text, problem);
  if (value < least || value > most) throw new Refusal(problem);
  return value;
}

/** A number that is not NaN. */
export function floatIn(text: string | undefined, problem: string = NOT_FLOAT): number {
  const value = text === undefined ? undefined : parseFloat64(text);
  if (value === undefined) throw new Refusal(problem);
  return value;
}

/** The sum, if 64 bits have room for it. */
export function sumOf(one: number | bigint, other: number | bigint): bigint | number {
  const sum = Number(one) + Number(other);
  if (Number.isSafeInteger(sum) && typeof one === "number" && typeof other === "number") return sum;
  const exact = BigInt(one) + BigInt(other);
  if (exact > INT64_MAX || exact < INT64_MIN)
    throw new Refusal("ERR increment or decrement would overflow");
  return exact;
}

/**
 * When something expires that is to expire then, or after that long, in the unit of the command. As Redis checks it.
 * @param atMs what it counts from: 0, or now
 */
export function deadlineIn(
  text: string | undefined,
  unitMs: 1 | 1000,
  atMs: number,
  name: string,
): number {
  const value = BigInt(integerIn(text));
  const problem = `ERR invalid expire time in '${name}' command`;
  if (unitMs === 1000 && (value > INT64_MAX / 1000n || value < INT64_MIN / 1000n))
    throw new Refusal(problem);
  const deadline = value * BigInt(unitMs) + BigInt(atMs);
  if (deadline > INT64_MAX) throw new Refusal(problem);
  return Number(deadline);
}

/** How long a client waits, in milliseconds; the request has seconds. */
export function timeoutIn(text: string | undefined): number {
  // As Redis reads it: a number has a wider range there, and one of milliseconds beyond 64 bits is negative.
  const seconds = text === undefined || text === "" ? undefined : parseAnyFloat64(text);
  if (seconds === undefined) throw new Refusal("ERR timeout is not a float or out of range");
  const ms = Math.ceil(seconds * 1000);
  if (!(ms >= 0 && ms < 2 ** 63)) throw new Refusal("ERR timeout is negative");
  return ms;
}
