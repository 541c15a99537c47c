// Every schedule of three members: the numbers of states are what they are, and whatever comes of them keeps every promise.
import { describe, expect, test } from "vitest";
import type { OrderLevel } from "../../src/core/order-level.ts";
import { checkHistory, History } from "../../src/trace.ts";
import { cases } from "../support/soak.ts";
import { allSchedules } from "./support/schedules.ts";

const MEMBERS = ["p1", "p2", "p3"];

/** The promises that some end does not keep, judged by that level. */
function brokenBy(ends: ReadonlySet<string>, level: OrderLevel): readonly string[] {
  const broken = new Set<string>();
  for (const end of ends) {
    const history = new History();
    history.add({ type: "group", group: "g", members: MEMBERS });
    for (const [at, log] of (JSON.parse(end) as string[][]).entries())
      for (const word of log) {
        const common = { process: MEMBERS[at] as string, group: "g" } as const;
        if (word.startsWith("+"))
          history.add({ ...common, type: "multicast", message: word.slice(1) });
        else history.add({ ...common, type: "deliver", message: word });
      }
    for (const verdict of checkHistory(history, { order: level }))
      if (verdict.holds === false) broken.add(verdict.promise);
  }
  return [...broken].sort();
}

type Row = readonly [OrderLevel, "sequencer" | "agreed", readonly number[], number, number];

const SMALL: readonly Row[] = [
  ["reliable", "sequencer", [2, 1, 1], 8_635, 638],
  ["fifo", "sequencer", [2, 1, 1], 8_635, 638],
  ["causal", "sequencer", [2, 1, 1], 4_811, 186],
  ["total", "sequencer", [2, 1, 1], 12_651, 70],
  ["fifo-total", "sequencer", [2, 1, 1], 12_651, 70],
  ["causal-total", "sequencer", [2, 1, 1], 12_651, 70],
  ["total", "agreed", [1, 1, 1], 40_343, 36],
  ["fifo-total", "agreed", [2, 1, 0], 8_748, 17],
  ["causal-total", "agreed", [1, 1, 1], 52_284, 36],
];
const LARGE: readonly Row[] = [
  ["reliable", "sequencer", [2, 2, 2], 2_496_938, 153_898],
  ["fifo", "sequencer", [2, 2, 2], 2_496_938, 153_898],
  ["causal", "sequencer", [2, 2, 2], 725_110, 21_014],
  ["total", "sequencer", [2, 2, 2], 2_519_639, 6_640],
  ["fifo-total", "sequencer", [2, 2, 2], 2_519_639, 6_640],
  ["causal-total", "sequencer", [2, 2, 2], 2_519_639, 6_640],
  ["total", "agreed", [2, 1, 1], 1_090_568, 256],
  ["fifo-total", "agreed", [2, 1, 1], 1_090_568, 256],
  ["causal-total", "agreed", [2, 1, 1], 1_614_800, 256],
];

describe("every schedule", () => {
  test.each(cases("group-schedules", SMALL, LARGE))(
    "%s order, %s, %j messages",
    { timeout: 600_000 },
    (level, total, messages, states, ends) => {
      const found = allSchedules(
        messages.map((count) => Array<OrderLevel>(count).fill(level)),
        total,
      );
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
