// Processes in workers that log their inputs, terminated at random under full load, and restored: nothing is lost, and nothing happens twice.
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import type { Restoration } from "../../src/runtime/restoration.ts";
import { cases } from "../support/soak.ts";
import { newDirectory } from "./directory-store-support.ts";
import { LoggedBank, type Sum, until } from "./logged-processes.ts";

const IDS = ["p1", "p2", "p3"];
const MONEY = 1000;

const depositsIn = ({ states }: Sum): number[] =>
  Object.values(states).flatMap(({ deposits }) => [...deposits]);

/** All money, at processes and under way. */
function all({ states, inFlight }: Sum): number {
  return Object.values(states).reduce((sum, { money }) => sum + money, inFlight);
}

test("a worker that was terminated goes on from its log, and all go back when restored", {
  timeout: 3_600_000,
}, async () => {
  const rounds = cases("logged-threads", 2, 60);
  const random = new Random(`threads ${rounds}`);
  const task = {
    directory: newDirectory(onTestFinished),
    policy: "everysec" as const,
    captureBytes: 300_000,
  };
  await using bank = await LoggedBank.start(IDS, task, { threads: true });
  /** What the bank must have: deposits that were acknowledged since it was last restored, and before that. */
  let acknowledged: number[] = [];
  let asked = 0;
  const deposit = async (): Promise<void> => {
    asked += 1;
    const one = asked;
    await bank.ask(random.pick(IDS) as string, { what: "deposit", deposit: one }).then(
      () => acknowledged.push(one),
      () => {},
    );
  };
  /** Takes a snapshot when all have met, in which everything must add up. */
  const audit = async (): Promise<Sum> => {
    const by = random.pick(IDS) as string;
    let sum: Sum | undefined;
    await until("all go on", async () => {
      sum = await bank.sum(by).catch(() => undefined);
      return sum !== undefined;
    });
    const found = sum as Sum;
    const deposits = depositsIn(found);
    expect(found.consistent).toBe(true);
    expect(new Set(deposits).size).toBe(deposits.length);
    expect(all(found)).toBe(MONEY * IDS.length + deposits.length);
    return found;
  };
  for (let round = 0; round < rounds; round += 1) {
    // One ends under load and comes back from its log.
    const deposits = Array.from({ length: 20 }, deposit);
    await pause(random.below(100));
    const gone = random.pick(IDS) as string;
    await bank.kill(gone);
    await pause(random.below(100));
    await bank.begin(gone);
    await Promise.all(deposits);
    const chosen = await audit();
    const kept = depositsIn(chosen);
    expect(acknowledged.filter((one) => !kept.includes(one))).toEqual([]);
    // What is deposited from now on is undone.
    await Promise.all(Array.from({ length: 5 }, deposit));
    const away = random.pick(IDS) as string;
    const by = random.pick(IDS.filter((id) => id !== away)) as string;
    await bank.kill(away);
    const restoring = bank.ask(by, { what: "restore", snapshot: chosen.id });
    await pause(random.below(300));
    await bank.begin(away);
    expect(((await restoring) as Restoration).epoch).toBe(round + 2);
    expect(depositsIn(await audit()).toSorted()).toEqual(kept.toSorted());
    acknowledged = kept;
  }
  expect(acknowledged.length).toBeGreaterThan(0);
  // None came back as one without its state: whatever a log had was gone on from.
  const unexpected = bank.problems.filter((problem) => !problem.startsWith("EPOCH_MISMATCH"));
  expect(unexpected).toEqual([]);
});
