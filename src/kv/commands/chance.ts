/** What commands pick by chance. */

import type { Random } from "../../core/random.ts";
import { integerIn } from "../arguments.ts";
import { Refusal } from "../command.ts";
import { INT64_MAX } from "../numbers.ts";
import type { Table } from "../values/table.ts";

/** A client that asks for more of the same may wait for ever, and so may all others. */
const PICKS_MAX = 1_000_000;

const HALF = INT64_MAX / 2n;

/**
 * How many are to be chosen.
 * @param isPairs two replies come of each, and Redis minds that their number has room
 */
export function chanceCount(text: string | undefined, isPairs: boolean): number {
  const count = BigInt(integerIn(text));
  if (count < -INT64_MAX)
    throw new Refusal(
      `ERR value is out of range, value must between ${-INT64_MAX} and ${INT64_MAX}`,
    );
  if (isPairs && (count > HALF || count < -HALF)) throw new Refusal("ERR value is out of range");
  return Number(count);
}

/** So many different keys of a table; with a negative count as many as that, perhaps some of them again. */
export function chosenByChance(
  table: Table<unknown>,
  count: number,
  random: Random,
): readonly string[] {
  const { size } = table;
  if (count >= size) return table.keyList();
  if (count >= 0) {
    // Each place with the same chance (Bentley and Floyd 1987, "A sample of brilliance").
    const places = new Set<number>();
    for (let last = size - count; last < size; last += 1) {
      const place = random.below(last + 1);
      places.add(places.has(place) ? last : place);
    }
    return table.keysAt(Uint32Array.from(places).sort());
  }
  if (-count > PICKS_MAX) throw new Refusal("ERR value is out of range");
  const places = Uint32Array.from({ length: -count }, () => random.below(size));
  const ascending = places.slice().sort();
  const keys = table.keysAt(ascending);
  const byPlace = new Map(keys.map((key, i) => [ascending[i] as number, key]));
  return Array.from(places, (place) => byPlace.get(place) as string);
}
