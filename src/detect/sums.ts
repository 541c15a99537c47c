/**
 * Goods that are neither made nor lost: at a consistent cut they add up, at the processes and on their way, and tokens are there as
 * often as ever.
 */

import type { GlobalState } from "./global-state.ts";
import {
  type Detection,
  missing,
  named,
  type Place,
  placeOf,
  textOfPlace,
  unknown,
} from "./verdict.ts";

/** How much there is of something, and where. */
export interface Sum {
  readonly sum: number;
  /** Where there is some. */
  readonly places: readonly (Place & { readonly amount: number })[];
}

/** What the verdict on a sum rests on. */
export interface SumEvidence extends Sum {
  /** What it should be. */
  readonly expected: number;
}

/** Adds up what there is of one kind of goods; or says why that is not known. */
export function sumOf(state: GlobalState, goods: string): Sum | { readonly reason: string } {
  const reason = missing(state, "goods");
  if (reason !== undefined) return { reason };
  const places = new Map<string, Place & { amount: number }>();
  let sum = 0;
  let most = 0;
  const add = (place: Place, amount: number): void => {
    sum += amount;
    most += Math.abs(amount);
    if (amount === 0) return;
    const text = textOfPlace(place);
    const there = places.get(text);
    if (there) there.amount += amount;
    else places.set(text, { ...place, amount });
  };
  for (const one of state.processes) add({ process: one.process }, amountOf(one, goods));
  for (const one of state.messages) add(placeOf(one), amountOf(one, goods));
  // Amounts are exact, and so is each sum that was not too large on its way.
  if (most > Number.MAX_SAFE_INTEGER)
    return { reason: `there is more ${goods} than can be added up exactly` };
  return { sum, places: [...places.values()].filter(({ amount }) => amount !== 0) };
}

function amountOf(
  { goods }: GlobalState["processes"][number] | GlobalState["messages"][number],
  name: string,
): number {
  return goods && Object.hasOwn(goods, name) ? (goods[name] as number) : 0;
}

/**
 * Detects that goods do not add up to what they should.
 * @param expected without it the verdict is unknown, and says the sum
 */
export function detectSum(
  state: GlobalState,
  goods: string,
  expected?: number,
): Detection<SumEvidence> {
  const detector = `sum=${goods}`;
  const found = sumOf(state, goods);
  if ("reason" in found) return unknown(detector, found.reason);
  const { sum } = found;
  if (expected === undefined)
    return unknown(detector, `there are ${sum}, and nothing says how many there should be`);
  const difference = sum - expected;
  const evidence = { ...found, expected };
  if (difference === 0)
    return { detector, detected: false, evidence, sentence: `all ${sum} are there` };
  const amount = Math.abs(difference);
  const much = `${amount} ${amount === 1 ? "is" : "are"} ${difference < 0 ? "lost" : "too many"}`;
  const sentence = `there are ${sum} and not ${expected}: ${much}`;
  return { detector, detected: true, evidence, sentence };
}

/**
 * Detects that goods do not add up to what there was before. Of goods that nobody names, then or now, that is unknown: nothing was found
 * of what nobody has ever called so, and 0 would be 0 for ever.
 */
export function detectChange(
  state: GlobalState,
  goods: string,
  before: GlobalState,
): Detection<SumEvidence> {
  const was = sumOf(before, goods);
  const names = new Set([before, state].flatMap((one) => namesOf(one)));
  if (!("sum" in was) || names.has(goods))
    return detectSum(state, goods, "sum" in was ? was.sum : undefined);
  const known = named([...names].sort());
  const others = known === "" ? "" : `, only of ${known}`;
  return unknown(`sum=${goods}`, `nobody declares goods of that name${others}`);
}

function namesOf({ processes, messages }: GlobalState): string[] {
  return [...processes, ...messages].flatMap(({ goods }) => Object.keys(goods ?? {}));
}

/** Detects that a token is lost, or there more often than it should be. */
export function detectToken(
  state: GlobalState,
  token: string,
  expected: number = 1,
): Detection<SumEvidence> {
  const detector = `token=${token}`;
  const found = sumOf(state, token);
  if ("reason" in found) return unknown(detector, found.reason);
  const { sum, places } = found;
  const evidence = { ...found, expected };
  const at = named(places.map((place) => textOfPlace(place)));
  const where =
    places.length === 0
      ? "nobody has it"
      : `${places.length === 1 ? "it is" : "they are"} at ${at}`;
  if (sum === expected) return { detector, detected: false, evidence, sentence: where };
  const what = sum < expected ? "lost" : "doubled";
  const sentence = `${what}: there are ${sum} and not ${expected}; ${where}`;
  return { detector, detected: true, evidence, sentence };
}
