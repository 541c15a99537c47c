// Real processes that log their inputs, killed at random under full load: nothing is lost, and nothing happens twice.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import type { LogPolicy } from "../../src/index.ts";
import { cases } from "../support/soak.ts";
import type { Talk } from "./logged-process-child.ts";
import { LoggedBank, type Sum, until } from "./logged-processes.ts";

const IDS = ["p1", "p2", "p3"];
const MONEY = 1000;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "tidemark-logged-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** The money of a snapshot, less what was deposited. */
function own({ states, inFlight }: Sum): number {
  return Object.values(states).reduce(
    (sum, { money, deposits }) => sum + money - deposits.length,
    inFlight,
  );
}

const depositsIn = ({ states }: Sum): number[] =>
  Object.values(states).flatMap(({ deposits }) => [...deposits]);

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
/** What is told of who is away for a while, which depends on how fast the machine is. */
const AWAY = /^(PEER_UNREACHABLE|EPOCH_MISMATCH)/;
/** And of one that is killed, perhaps in the middle of a write. */
const KILLED = /^(PEER_UNREACHABLE|EPOCH_MISMATCH|LOG_CUT)/;

describe("a restore", () => {
  test.each(cases("restores", RESTORES, MANY_RESTORES))(
    "%i times under full load, who is cut off follows; logs: %s",
    { timeout: 3_600_000 },
    async (times, logs) => {
      const random = new Random(`restores ${times}`);
      const task = {
        directory,
        policy: logs ? ("everysec" as const) : undefined,
        captureBytes: 300_000,
      };
      await using bank = await LoggedBank.start(IDS, task);
      let absent = 0;
      for (let time = 0; time < times; time += 1) {
        await pause(random.below(100));
        const chosen = await bank.sum(random.pick(IDS) as string);
        expect(own(chosen)).toBe(MONEY * IDS.length);
        await pause(random.below(100));
        // One is not there while the others go back: killed, or stopped in the middle of everything.
        const gone = random.pick(IDS) as string;
        const killed = random.chance(0.5);
        if (killed) await bank.kill(gone);
        else bank.signal(gone, "SIGSTOP");
        const by = random.pick(IDS.filter((id) => id !== gone)) as string;
        const restoring = bank.ask(by, { what: "restore", snapshot: chosen.id });
        await pause(random.below(300));
        if (killed) await bank.begin(gone);
        else bank.signal(gone, "SIGCONT");
        const restored = (await restoring) as {
          epoch: number;
          absent: string[];
          proof?: string;
          reason?: string;
        };
        expect(restored.epoch).toBe(time + 2);
        absent += restored.absent.length;
        let now: Sum | undefined;
        await until("all go on", async () => {
          now = await bank.sum(by).catch(() => undefined);
          return now !== undefined;
        });
        expect(now?.consistent).toBe(true);
        expect(own(now as Sum)).toBe(MONEY * IDS.length);
      }
      const unexpected = bank.problems.filter(
        (problem) => !AWAY.test(problem) && !problem.startsWith("PEER_RESTARTED"),
      );
      expect(unexpected).toEqual([]);
      process.stderr.write(`${times} restores, ${absent} times one came after it was done\n`);
    },
  );
});

describe("processes that log their inputs", () => {
  test.each(cases("logged-processes", KILLS, MANY_KILLS))(
    "with %s, killed %i times",
    { timeout: 3_600_000 },
    async (policy, kills) => {
      const random = new Random(`${policy} ${kills}`);
      const task = { directory, policy, captureBytes: 300_000 };
      await using bank = await LoggedBank.start(IDS, task);
      const acknowledged: number[] = [];
      let asked = 0;
      let complete = 0;
      for (let kill = 0; kill < kills; kill += 1) {
        const deposits = Array.from({ length: 20 }, () => {
          asked += 1;
          const deposit = asked;
          return bank.ask(random.pick(IDS) as string, { what: "deposit", deposit }).then(
            () => void acknowledged.push(deposit),
            () => {},
          );
        });
        const taking = bank.sum(random.pick(IDS) as string).then(
          (sum) => {
            complete += 1;
            expect(sum.consistent).toBe(true);
            expect(own(sum)).toBe(MONEY * IDS.length);
          },
          () => {},
        );
        await pause(random.below(150));
        const id = random.pick(IDS) as string;
        await bank.kill(id);
        await pause(random.below(100));
        await bank.begin(id);
        await Promise.all([taking, ...deposits]);
      }
      for (const id of IDS) await bank.ask(id, { what: "rest" });
      const last = await bank.sum("p1");
      expect(last.consistent).toBe(true);
      expect(own(last)).toBe(MONEY * IDS.length);
      const deposits = depositsIn(last);
      expect(new Set(deposits).size).toBe(deposits.length);
      expect(acknowledged.filter((deposit) => !deposits.includes(deposit))).toEqual([]);
      expect(acknowledged.length).toBeGreaterThan(0);
      if (kills > 50) expect(complete).toBeGreaterThan(0);
      const sent = Object.values(last.states).reduce((sum, { transfers }) => sum + transfers, 0);
      process.stderr.write(
        `${policy}: ${kills} kills, ${sent} transfers, ${acknowledged.length} deposits, ${complete} snapshots\n`,
      );
      expect(bank.problems.filter((problem) => !KILLED.test(problem))).toEqual([]);
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
