// Real processes that log their inputs, killed at random under full load: nothing is lost, and nothing happens twice.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import type { LogPolicy } from "../../src/index.ts";
import { cases } from "../support/soak.ts";
import { IDS, KILLED, killAgain, restoreAgain } from "./bank-deaths.ts";
import type { Talk } from "./logged-process-child.ts";
import { LoggedBank, until } from "./logged-processes.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "tidemark-logged-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

type Restores = readonly (readonly [times: number, logs: boolean])[];
const RESTORES: Restores = [
  [3, false],
  [2, true],
];
const MANY_RESTORES: Restores = [
  [100, false],
  [40, true],
];
type Kills = readonly (readonly [policy: LogPolicy, times: number])[];
const KILLS: Kills = [
  ["everysec", 6],
  ["always", 3],
];
const MANY_KILLS: Kills = [
  ["everysec", 200],
  ["always", 100],
  ["none", 100],
];

describe("a restore", () => {
  test.each(cases("restores", RESTORES, MANY_RESTORES))(
    "%i times under full load, who is cut off follows; logs: %s",
    { timeout: 3_600_000 },
    async (times, logs) => {
      const policy = logs ? "everysec" : undefined;
      await restoreAgain({ directory, policy, captureBytes: 300_000 }, times);
    },
  );
});

describe("processes that log their inputs", () => {
  test.each(cases("logged-processes", KILLS, MANY_KILLS))(
    "with %s, killed %i times",
    { timeout: 3_600_000 },
    async (policy, kills) => {
      await killAgain({ directory, policy, captureBytes: 300_000 }, kills);
    },
  );

  test("in a group, killed again and again: all hear the same, each message once", {
    timeout: 3_600_000,
  }, async () => {
    const kills = cases("logged-members", 4, 200);
    const random = new Random(`members ${kills}`);
    const task = { directory, policy: "everysec", captureBytes: 300_000, talks: true } as const;
    await using bank = await LoggedBank.start(IDS, task);
    const all = async (what: "rest" | "state"): Promise<Talk[]> =>
      Promise.all(IDS.map(async (id) => (await bank.ask(id, { what })) as Talk));
    for (let kill = 0; kill < kills; kill += 1) {
      const taking = bank.ask(random.pick(IDS) as string, { what: "snapshot" }).catch(() => {});
      await pause(random.below(150));
      const id = random.pick(IDS) as string;
      await bank.kill(id);
      await pause(random.below(100));
      await bank.begin(id);
      await taking;
    }
    await all("rest");
    let talks: Talk[] = [];
    await until("all have heard all", async () => {
      talks = await all("state");
      return talks.every(({ heard }) =>
        IDS.every((id, i) => (heard[id] ?? 0) === (talks[i] as Talk).sent),
      );
    });
    expect(talks.flatMap(({ wrong }) => [...wrong])).toEqual([]);
    expect(new Set(talks.map(({ order }) => order)).size).toBe(1);
    expect(bank.problems.filter((problem) => !KILLED.test(problem))).toEqual([]);
    process.stderr.write(`group: ${kills} kills, ${talks.map(({ sent }) => sent)} messages\n`);
  });
});
