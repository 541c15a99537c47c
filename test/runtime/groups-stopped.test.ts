/**
 * A member of a group stands still for a while at full load, as a process does whose machine is overloaded or whose disk hangs. The others
 * go on until a window is full, keep no more than windows, and name it; afterwards all is delivered.
 */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { ORDER_LEVELS, type OrderLevel } from "../../src/core/order-level.ts";
import { cases } from "../support/soak.ts";
import { newDirectory } from "./directory-store-support.ts";
import { Members, readLog } from "./group-members.ts";

const IDS = ["p1", "p2", "p3"];
const SEQUENCER = "p1";
/** What `Grouped` takes unless it is told otherwise. */
const WINDOW_BYTES = 2 ** 20;
/** Of a message of 100 bytes. */
const RECORD_BYTES = 104;
const MOST = cases("groups-stopped", 120_000, 400_000);
const STOP_MS = cases("groups-stopped", 2_000, 30_000);
const LOST_AFTER_MS = STOP_MS / 4;
/**
 * How much more memory than before there may be while one stands still: of each origin a window that is kept, and as much again that
 * waits in the channel to whoever is stopped, once as it was sent and once as it is sent on; and what the heap does besides (its
 * young generation grows to 24 MB). Measured: up to 6 MB.
 */
const MORE_BYTES = IDS.length * 3 * WINDOW_BYTES + 32 * 2 ** 20;

interface Contest {
  readonly level: OrderLevel;
  readonly total: "sequencer" | "agreed";
  readonly stopped: string;
  /** Whether its connections are cut meanwhile, so that it is taken for lost. */
  readonly lost: boolean;
}

const all: readonly Contest[] = (
  [
    ["causal", "sequencer"],
    ["total", "sequencer"],
    ["total", "agreed"],
  ] as const
).flatMap(([level, total]) =>
  ["p1", "p2"].flatMap((stopped) => [true, false].map((lost) => ({ level, total, stopped, lost }))),
);
const few = all.filter(
  ({ level, total, stopped, lost }) =>
    (level === "causal" && stopped === "p2") ||
    (level === "total" &&
      (total === "agreed" ? lost && stopped === "p2" : stopped === "p1" && lost)),
);

test.each(cases("groups-stopped", few, all))(
  "$level order, $total, $stopped stands still, lost: $lost",
  {
    timeout: 600_000,
  },
  async ({ level, total, stopped, lost }) => {
    const name = `${level} order, ${total}, ${stopped} stands still${lost ? " and is lost" : ""}`;
    const log = join(newDirectory(onTestFinished), "log");
    await using group = await Members.start(
      IDS.map((self) => ({
        ...{ self, level, most: MOST, lostAfterMs: LOST_AFTER_MS },
        group: { members: IDS, total },
        ...(self === stopped ? { log } : {}),
      })),
    );
    const { members } = group;
    const still = members.find(({ id }) => id === stopped);
    const others = group.others(stopped);
    group.go();
    await group.until("load is full", () =>
      members.every(({ standing }) => Math.min(...standing.delivered) > 1000),
    );
    const usualBytes = Math.max(...others.flatMap(({ resident }) => resident));
    still?.signal("SIGSTOP");
    const untilMs = performance.now() + STOP_MS;
    if (lost) {
      for (const { id } of others) group.proxy(stopped, id).cut();
      await group.until("it is lost", () =>
        others.every(({ standing }) => stopped in standing.lost),
      );
    }
    await group.settled(others);
    await pause(Math.max(0, untilMs - performance.now()));

    const had = IDS.map(() => 0);
    for (const [sender] of readLog(log)) had[sender] = (had[sender] ?? 0) + 1;
    const figures: string[] = [`it had ${had.join(" ")}`];
    for (const { id, standing, resident } of others) {
      // It stopped long before the end: nothing becomes stable without the other.
      expect(standing.sent, `${name}, sent by ${id}`).toBeLessThan(MOST);
      // A window that it has not said it has; and what it has and holds back, of which it keeps four windows and drops more.
      const ahead = standing.sent - (had[IDS.indexOf(id)] ?? 0);
      expect(ahead, `${name}, sent by ${id}`).toBeLessThan((5 * WINDOW_BYTES) / RECORD_BYTES);
      const mostBytes = Math.max(...resident);
      expect(mostBytes, name).toBeLessThan(usualBytes + MORE_BYTES);
      figures.push(
        `${id} sent ${standing.sent}, has ${standing.delivered.join(" ")}, holds ${standing.held} packets for ${standing.waitsFor}`,
        `${(usualBytes / 2 ** 20).toFixed()} -> ${(mostBytes / 2 ** 20).toFixed()} MB`,
      );
      // The process says who it is, and so does the group.
      expect(standing.behind, name).toContain(stopped);
      expect(standing.unacknowledgedBy, name).toContain(stopped);
      expect(standing.hasRoom, name).toBe(false);
      if (total === "agreed" || (level === "total" && stopped === SEQUENCER))
        expect(standing.waitsFor, name).toContain(stopped);
      else {
        // Nothing is held back.
        expect(standing.held, name).toBe(0);
        expect(standing.delivered.reduce((sum, many) => sum + many)).toBeGreaterThan(
          had.reduce((sum, many) => sum + many),
        );
      }
    }
    if (STOP_MS > 10_000) process.stderr.write(`${name}: ${figures.join("; ")}\n`);

    still?.signal("SIGCONT");
    await group.until("everything is delivered", () =>
      members.every(({ standing }) => String(standing.delivered) === String(IDS.map(() => MOST))),
    );
    for (const { standing } of members) {
      expect(standing.wrong, name).toEqual([]);
      expect(standing.problems, name).toEqual([]);
    }
    const orders = new Set(members.map(({ standing }) => standing.order));
    if (ORDER_LEVELS[level].includes("total order")) expect(orders.size, name).toBe(1);
    for (const member of members) expect([await member.end(), member.errors]).toEqual(["0", ""]);
  },
);
