/** What is done to a bank of processes that are killed, and what must be so however it was done. */

import { setTimeout as pause } from "node:timers/promises";
import { expect } from "vitest";
import { Random } from "../../src/core/random.ts";
import { LoggedBank, type SharedTask, type Sum, until } from "./logged-processes.ts";

export const IDS: readonly string[] = ["p1", "p2", "p3"];
const MONEY = 1000;

/** The money of a snapshot, less what was deposited. */
function own({ states, inFlight }: Sum): number {
  return Object.values(states).reduce(
    (sum, { money, deposits }) => sum + money - deposits.length,
    inFlight,
  );
}

const depositsIn = ({ states }: Sum): number[] =>
  Object.values(states).flatMap(({ deposits }) => [...deposits]);

/** What is told of who is away for a while, which depends on how fast the machine is. */
const AWAY = /^(PEER_UNREACHABLE|EPOCH_MISMATCH)/;
/** And of one that is killed, perhaps in the middle of a write. */
export const KILLED: RegExp = /^(PEER_UNREACHABLE|EPOCH_MISMATCH|LOG_CUT)/;

/** Does something to what is below the bank, while a process of it dies. */
export type Meddle = () => Promise<void>;

/** A snapshot. With somebody who meddles some may be abandoned before one is complete. */
async function sumOf(bank: LoggedBank, by: string, meddle: Meddle | undefined): Promise<Sum> {
  if (!meddle) return await bank.sum(by);
  let sum: Sum | undefined;
  await until("a snapshot is complete", async () => {
    sum = await bank.sum(by).catch(() => undefined);
    return sum !== undefined;
  });
  return sum as Sum;
}

/** Restores under full load, while one process is killed or stopped: who is cut off follows, and no money is lost or made. */
export async function restoreAgain(
  task: SharedTask,
  times: number,
  meddle?: Meddle,
): Promise<void> {
  const random = new Random(`restores ${times}`);
  await using bank = await LoggedBank.start(IDS, task);
  let absent = 0;
  for (let time = 0; time < times; time += 1) {
    await pause(random.below(100));
    const chosen = await sumOf(bank, random.pick(IDS) as string, meddle);
    expect(own(chosen)).toBe(MONEY * IDS.length);
    const meddling = meddle?.();
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
    await meddling;
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
}

/** Kills under full load: what was acknowledged is there, once, and no money is lost or made. */
export async function killAgain(task: SharedTask, kills: number, meddle?: Meddle): Promise<void> {
  const random = new Random(`${task.policy} ${kills}`);
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
    const meddling = meddle?.();
    await pause(random.below(150));
    const id = random.pick(IDS) as string;
    await bank.kill(id);
    await pause(random.below(100));
    await bank.begin(id);
    await Promise.all([taking, meddling, ...deposits]);
  }
  for (const id of IDS) await bank.ask(id, { what: "rest" });
  const last = await sumOf(bank, "p1", meddle);
  expect(last.consistent).toBe(true);
  expect(own(last)).toBe(MONEY * IDS.length);
  const deposits = depositsIn(last);
  expect(new Set(deposits).size).toBe(deposits.length);
  expect(acknowledged.filter((deposit) => !deposits.includes(deposit))).toEqual([]);
  expect(acknowledged.length).toBeGreaterThan(0);
  if (kills > 50) expect(complete).toBeGreaterThan(0);
  const sent = Object.values(last.states).reduce((sum, { transfers }) => sum + transfers, 0);
  process.stderr.write(
    `${task.policy}: ${kills} kills, ${sent} transfers, ${acknowledged.length} deposits, ${complete} snapshots\n`,
  );
  expect(bank.problems.filter((problem) => !KILLED.test(problem))).toEqual([]);
}
