// The table of what holds between messages of two levels: each cell that promises holds in every schedule, and some that do not are broken.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ORDER_LEVELS, type OrderLevel, type OrderPromise } from "../../src/core/order-level.ts";
import { LEVELS } from "./support/members.ts";
import { allSchedules } from "./support/schedules.ts";

type Logs = readonly (readonly string[])[];

/** What a pair of messages must not do, by the promise; of the ends of some schedules. */
const BROKEN: Readonly<Record<OrderPromise, (logs: Logs) => boolean>> = {
  "FIFO order": (logs) => logs.some((log) => log.indexOf("p1.1") > log.indexOf("p1.2")),
  "causal order": (logs) => {
    const [, second = []] = logs;
    const happenedBefore = within(second, "p1.1", "+p2.1");
    return happenedBefore && logs.some((log) => !within(log, "p1.1", "p2.1"));
  },
  "total order": (logs) => new Set(logs.map((log) => within(log, "p1.1", "p2.1"))).size > 1,
};

const within = (log: readonly string[], one: string, other: string): boolean => {
  const [first, second] = [log.indexOf(one), log.indexOf(other)];
  return first >= 0 && second >= 0 && first < second;
};

/** What p1, p2 and p3 multicast, so that a message of the first level comes before one of the second, as the promise means it. */
const SCENES: Readonly<
  Record<OrderPromise, (one: OrderLevel, other: OrderLevel) => OrderLevel[][]>
> = {
  "FIFO order": (one, other) => [[one, other], ["total"], []],
  "causal order": (one, other) => [[one], [other], []],
  "total order": (one, other) => [[one], [other], []],
};

const holdsBetween = (promise: OrderPromise, one: OrderLevel, other: OrderLevel): boolean =>
  [one, other].every((level) => ORDER_LEVELS[level].includes(promise));

describe.each(["FIFO order", "causal order", "total order"] as const)("%s", (promise) => {
  const cells = LEVELS.flatMap((one) => LEVELS.map((other) => [one, other] as const));
  const brokenIn = ([one, other]: readonly [OrderLevel, OrderLevel]): boolean =>
    (["sequencer", "agreed"] as const).some((total) =>
      [...allSchedules(SCENES[promise](one, other), total).ends].some((end) =>
        BROKEN[promise](JSON.parse(end) as Logs),
      ),
    );

  test.each(cells.filter((cell) => holdsBetween(promise, ...cell)))(
    "%s, then %s: holds",
    (...cell) => expect(brokenIn(cell)).toBe(false),
  );

  test("is broken between others", () => {
    const broken = cells.filter((cell) => !holdsBetween(promise, ...cell) && brokenIn(cell));
    expect(broken.map((cell) => cell.join(", then "))).toMatchSnapshot();
  });
});

test("the page has the same table", () => {
  const page = readFileSync(new URL("../../docs/learn/multicast.md", import.meta.url), "utf8");
  const short = { "FIFO order": "FIFO", "causal order": "causal", "total order": "total" } as const;
  for (const one of LEVELS) {
    const cells = LEVELS.map((other) =>
      ORDER_LEVELS[one]
        .filter((promise) => holdsBetween(promise, one, other))
        .map((promise) => short[promise])
        .join(", "),
    );
    expect(page).toContain(`| **${one}** | ${cells.map((cell) => cell || "–").join(" | ")} |`);
  }
});
