/** Checks what users hand to the simulator, before anything happens. */

import { TidemarkError } from "../core/error.ts";

/** Longer than anybody simulates: eleven days. */
const MS_MAX = 1e9;

/** @throws TidemarkError `BAD_OPTION` */
export function refuse(reason: string): never {
  throw new TidemarkError("BAD_OPTION", reason);
}

/** @throws TidemarkError `BAD_OPTION` unless it is a number between the two, both included */
export function checkNumber(name: string, value: unknown, low: number, high: number): void {
  if (typeof value === "number" && value >= low && value <= high) return;
  refuse(`${name} must be a number from ${low} to ${high}, not ${told(value)}`);
}

/** @throws TidemarkError `BAD_OPTION` unless it is so many milliseconds */
export function checkMs(name: string, value: unknown): void {
  checkNumber(name, value, 0, MS_MAX);
}

/** @throws TidemarkError `BAD_OPTION` for what is no object, and for a key that is not known, with the one that may be meant */
export function checkKeys(what: string, given: unknown, known: readonly string[]): void {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    refuse(`${what} must be an object, not ${told(given)}`);
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue;
    const [near] = known.filter((one) => distance(key, one) <= 2);
    refuse(`${what}: there is no "${key}"${near === undefined ? "" : `; did you mean "${near}"?`}`);
  }
}

/** True for what an async function gives; nobody waits for it, nor hears what it throws. */
export function isPromise(given: unknown): boolean {
  if (typeof given !== "object" || given === null || !("then" in given)) return false;
  if (typeof given.then !== "function") return false;
  const ignore = (): void => {};
  given.then(ignore, ignore);
  return true;
}

/**
 * @param rule what must be synchronous
 * @throws TypeError for a promise
 */
export function checkSynchronous(what: string, rule: string, result: unknown): void {
  if (isPromise(result)) throw new TypeError(`${what} is async; ${rule} must be synchronous`);
}

/** A value for a message, in few words. */
export function told(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** How many letters are to be added, left out or replaced (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const [left, above, across] = [next[j - 1], row[j], row[j - 1]] as [number, number, number];
      next.push(Math.min(left + 1, above + 1, across + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] as number;
}
