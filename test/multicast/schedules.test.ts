// Every schedule of three members: the numbers of states are what they are, and whatever comes of them keeps every promise. In an agreed
// order, two messages of each are too many for that: of what commutes, one order is gone through.
import { describe, expect, test } from "vitest";
import type { OrderLevel } from "../../src/core/order-level.ts";
import { cases, telling } from "../support/soak.ts";
import { allSchedules } from "./support/schedules.ts";
import { brokenBy } from "./support/verdict.ts";

/** All schedules, or those that are enough to find what can come of them; states, and ends. */
type Row = readonly [
  ...[OrderLevel, "sequencer" | "agreed", readonly number[]],
  ...["all" | "enough", number, number],
];

const SMALL: readonly Row[] = [
  ["reliable", "sequencer", [2, 1, 1], "all", 8_635, 638],
  ["fifo", "sequencer", [2, 1, 1], "all", 8_635, 638],
  ["causal", "sequencer", [2, 1, 1], "all", 4_811, 186],
  ["total", "sequencer", [2, 1, 1], "all", 12_651, 70],
  ["fifo-total", "sequencer", [2, 1, 1], "all", 12_651, 70],
  ["causal-total", "sequencer", [2, 1, 1], "all", 12_651, 70],
  ["total", "agreed", [1, 1, 1], "all", 40_343, 36],
  ["fifo-total", "agreed", [2, 1, 0], "all", 8_748, 17],
  ["causal-total", "agreed", [1, 1, 1], "all", 44_225, 36],
  ["total", "agreed", [2, 1, 1], "enough", 145_751, 256],
];
const LARGE: readonly Row[] = [
  ["reliable", "sequencer", [2, 2, 2], "all", 2_496_938, 153_898],
  ["fifo", "sequencer", [2, 2, 2], "all", 2_496_938, 153_898],
  ["causal", "sequencer", [2, 2, 2], "all", 725_110, 21_014],
  ["total", "sequencer", [2, 2, 2], "all", 2_519_639, 6_640],
  ["fifo-total", "sequencer", [2, 2, 2], "all", 2_519_639, 6_640],
  ["causal-total", "sequencer", [2, 2, 2], "all", 2_519_639, 6_640],
  ["total", "agreed", [2, 1, 1], "all", 1_090_568, 256],
  ["fifo-total", "agreed", [2, 1, 1], "all", 1_090_568, 256],
  ["causal-total", "agreed", [2, 1, 1], "all", 1_298_144, 256],
  ["total", "agreed", [2, 2, 2], "enough", 171_002_432, 38_120],
  ["causal-total", "agreed", [2, 2, 1], "enough", 4_419_271, 2_636],
  ["causal-total", "agreed", [2, 2, 2], "enough", 195_685_380, 38_120],
];

describe("every schedule", () => {
  test.each(cases("group-schedules", SMALL, LARGE))(
    "%s order, %s, %j messages, %s: %i states, %i ends",
    { timeout: 3_600_000 },
    (level, total, messages, which, states, ends) => {
      const levels = messages.map((count) => Array<OrderLevel>(count).fill(level));
      const reduced = which === "enough";
      const tell = telling("group-schedules");
      const progress = (some: number) => tell(`${some} states of ${states}`);
      const found = allSchedules(levels, total, { reduced, progress });
      expect([found.states, found.ends.size]).toEqual([states, ends]);
      expect(brokenBy(found.ends, level)).toEqual([]);
    },
  );

  test("the weaker order breaks the promise of the stronger one somewhere", () => {
    const ends = (...levels: OrderLevel[][]) => allSchedules(levels, "sequencer").ends;
    expect(brokenBy(ends(["fifo-total", "reliable"], ["total"], []), "fifo")).toEqual([
      "FIFO order",
    ]);
    expect(brokenBy(ends(["fifo"], ["fifo"], []), "causal")).toEqual(["causal order"]);
    expect(brokenBy(ends(["causal"], ["causal"], []), "total")).toEqual(["total order"]);
    expect(brokenBy(ends(["total", "fifo"], ["total"], []), "fifo-total")).toEqual([
      "FIFO order",
      "total order",
    ]);
    expect(brokenBy(ends(["causal"], ["fifo-total"], []), "causal-total")).toEqual([
      "causal order",
      "total order",
    ]);
  });
});
