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
  if (count >= table.size) return [...table.keys()];
  if (count >= 0) {
    // Each is taken with the chance that is left (Fan, Muller and Rezucha 1962, "selection sampling").
    const chosen: string[] = [];
    let left = table.size;
    for (const key of table.keys()) {
      if (chosen.length === count) break;
      if (random.below(left) < count - chosen.length) chosen.push(key);
      left -= 1;
    }
    return chosen;
  }
  if (-count > PICKS_MAX) throw new Refusal("ERR value is out of range");
  const all = [...table.keys()];
  return Array.from({ length: -count }, () => all[random.below(all.length)] as string);
}
