/** What commands pick by chance. */

import type { Random } from "../../core/random.ts";
import { Refusal } from "../command.ts";
import type { Table } from "../values/table.ts";

/** A client that asks for more of the same may wait for ever, and so may all others. */
const PICKS_MAX = 1_000_000;

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
