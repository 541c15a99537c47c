import { describe, expect, test } from "vitest";
import type { Explanation } from "../../src/process/process.ts";
import { healthOf, readinessOf } from "../../src/serve/health.ts";
import type { ProcessStatus, SystemStatus } from "../../src/serve/system-methods.ts";

const NOW_MS = 1_000_000;

type Channel = Explanation["channels"][number];

const channel = (from: string, to: string, up: boolean): Channel => ({
  ...{ from, to, up, waiting: { messages: 0, bytes: 0 } },
  ...(!up && { reason: "it has not been reached yet" }),
});

const one = (
  process: string,
  channels: readonly Channel[] = [],
  more: Partial<ProcessStatus> = {},
): ProcessStatus => ({
  ...{ process, pid: 1, address: "", up: true, epoch: 1 },
  explanation: { process, snapshots: [], channels, groups: {} },
  ...more,
});

const silent = (process: string, up: boolean): ProcessStatus => ({
  ...{ process, pid: 1, address: "", up, epoch: 1 },
});

const system = (
  processes: readonly ProcessStatus[],
  more: Partial<SystemStatus> = {},
): SystemStatus => ({
  ...{ kind: "bank", pid: 1, directory: "", startedAtMs: 0, snapshots: 0, processes },
  ...more,
});

const behind = (sinceMs: number): ProcessStatus =>
  one("p1", [], {
    explanation: {
      ...{ process: "p1", snapshots: [], channels: [] },
      groups: {
        kv: {
          ...{ self: "p1", lost: [], replaced: [], held: [], isUntold: false },
          gaps: [{ from: "p2", first: 1, last: 2, early: 0, sinceMs, asked: 1, at: [] }],
        },
      },
    },
  });

describe("health", () => {
  test.for([
    ["a system that starts", system([]), []],
    ["one that runs", system([one("p1"), one("p2")]), []],
    ["one whose process is started again", system([one("p1"), silent("p2", false)]), []],
    [
      "one whose process hangs",
      system([one("p1"), silent("p2", true)]),
      ["p2 does not answer: its event loop does not turn"],
    ],
    [
      "one whose process was given up",
      system([one("p1"), { ...silent("p2", false), givenUp: "it ended 6 times" }]),
      ["p2 is not started again: it ended 6 times"],
    ],
  ] as const)("%s", ([, status, reasons]) => {
    expect(healthOf(status)).toEqual({ isWell: reasons.length === 0, reasons });
  });
});

describe("readiness", () => {
  test.for([
    ["a system that starts", system([]), ["the system is starting"]],
    ["one that runs", system([one("p1"), one("p2")]), []],
    ["one with messages in flight", system([one("p1", [channel("p1", "p2", true)])]), []],
    ["one whose process is down", system([one("p1"), silent("p2", false)]), ["p2 is down"]],
    ["one whose process hangs", system([one("p1"), silent("p2", true)]), ["p2 does not answer"]],
    [
      "one whose channel is cut",
      system([one("p1", [channel("p1", "p2", false), channel("p2", "p1", false)]), one("p2")]),
      ["p1 does not reach p2: it has not been reached yet"],
    ],
    [
      "one that is stopping",
      system([one("p1"), silent("p2", false)], { stopping: true }),
      ["the system is stopping"],
    ],
    [
      "one that is restored",
      system([one("p1")], { restoring: true }),
      ["the system is being restored"],
    ],
    [
      "one whose process has not followed a restore",
      system([one("p1"), one("p2", [], { epoch: 2 })]),
      ["p1 is in epoch 1, and others in 2"],
    ],
    ["one that lacks a packet for a moment", system([behind(NOW_MS - 100)]), []],
    [
      "one that catches up",
      system([behind(NOW_MS - 2_000)]),
      ["p1 catches up in kv: packets of p2 are missing for 2.0 s"],
    ],
  ] as const)("%s", ([, status, reasons]) => {
    expect(readinessOf(status, { nowMs: NOW_MS })).toEqual({
      isWell: reasons.length === 0,
      reasons,
    });
  });

  test.for([
    [1, 0, true],
    [2, 1, false],
    [3, 1, true],
    [3, 2, false],
    [4, 2, false],
    [5, 2, true],
  ] as const)("one process of %d that does not reach %d", ([processes, absent, isWell]) => {
    const channels = Array.from({ length: absent }, (_, i) => channel("p1", `q${i}`, false));
    const elsewhere = Array.from({ length: processes - 1 }, (_, i) => `q${i}`);
    const verdict = readinessOf({ ...system([one("p1", channels)]), elsewhere }, { nowMs: NOW_MS });
    expect(verdict.isWell).toBe(isWell);
    // Whom it does not reach is told all the same.
    expect(verdict.reasons).toHaveLength(absent);
  });
});
