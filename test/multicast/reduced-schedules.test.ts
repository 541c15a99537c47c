// Not every schedule of a group, and still all that can come of it: compared with every schedule where that can be done.
import { expect, test } from "vitest";
import type { OrderLevel } from "../../src/core/order-level.ts";
import { MUTANTS, schedulesWith } from "../../tools/mutants.ts";
import { cases } from "../support/soak.ts";
import { allSchedules } from "./support/schedules.ts";

type Setting = readonly [OrderLevel, "sequencer" | "agreed", readonly number[]];

const levelsOf = ([level, , messages]: Setting): OrderLevel[][] =>
  messages.map((count) => Array<OrderLevel>(count).fill(level));

/** And how many states are looked at instead of how many. */
const SMALL: readonly (readonly [...Setting, number, number])[] = [
  ["reliable", "sequencer", [2, 1, 1], 2_699, 8_635],
  ["fifo", "sequencer", [2, 1, 1], 2_699, 8_635],
  ["causal", "sequencer", [2, 1, 1], 1_507, 4_811],
  ["total", "sequencer", [2, 1, 1], 3_118, 12_651],
  ["causal-total", "sequencer", [2, 1, 1], 3_118, 12_651],
  ["total", "agreed", [1, 1, 1], 8_369, 40_343],
  ["fifo-total", "agreed", [2, 1, 0], 1_732, 8_748],
  ["causal-total", "agreed", [1, 1, 1], 8_369, 44_225],
];
const LARGE: typeof SMALL = [
  ...SMALL,
  ["reliable", "sequencer", [2, 2, 1], 32_789, 117_471],
  ["causal", "sequencer", [2, 2, 2], 183_867, 725_110],
  ["causal-total", "sequencer", [2, 2, 1], 41_250, 158_986],
  ["total", "agreed", [2, 1, 1], 145_751, 1_090_568],
  ["total", "agreed", [1, 2, 1], 145_443, 1_091_693],
  ["fifo-total", "agreed", [1, 1, 2], 144_510, 1_094_349],
  ["causal-total", "agreed", [2, 1, 1], 147_411, 1_298_144],
];

test.each(cases("group-schedules", SMALL, LARGE))(
  "%s order, %s, %j messages: the same comes of %i states as of all %i",
  { timeout: 600_000 },
  (level, total, messages, enough, every) => {
    const levels = levelsOf([level, total, messages]);
    const reduced = allSchedules(levels, total, { reduced: true });
    const all = allSchedules(levels, total);
    expect([reduced.states, all.states]).toEqual([enough, every]);
    expect(reduced.ends).toEqual(all.ends);
    expect(reduced.clocks).toEqual(all.clocks);
  },
);

const SEQUENCED: Setting = ["total", "sequencer", [1, 1, 1]];
const CAUSAL: Setting = ["causal", "sequencer", [2, 1, 1]];
const TOTAL: Setting = ["total", "agreed", [1, 1, 1]];

type Found = Awaited<ReturnType<typeof schedulesWith>>;
const both = (...promises: string[]): Found => ({ all: promises, reduced: promises });

/** Which promises are broken by a mistake. */
const MISTAKES: readonly (readonly [string, Setting, Found])[] = [
  ["a causal packet waits for nothing", CAUSAL, both("causal order")],
  ["two of the same place, in any order", TOTAL, both("total order")],
  ["a proposal is not later than what was agreed", TOTAL, both("total order")],
  [
    "everybody orders",
    SEQUENCED,
    {
      all: ["total order"],
      reduced: ["p2 says more to p3 than there is"],
    },
  ],
];
const ALL_MISTAKES: typeof MISTAKES = [
  ...MISTAKES,
  ["ordered before it is accepted", TOTAL, both("validity")],
  ["the smallest place is agreed", TOTAL, both("agreement", "validity")],
  ["delivered before it is agreed", TOTAL, both("total order")],
];

test.each(cases("group-schedules", MISTAKES, ALL_MISTAKES))(
  "%s: is found in all schedules, and in those that are enough",
  { timeout: 600_000 },
  async (name, setting, found) => {
    const mutant = MUTANTS[name];
    if (!mutant) throw new Error("there is no such mutant");
    expect(await schedulesWith(mutant, setting)).toEqual(found);
  },
);
