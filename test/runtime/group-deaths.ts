/**
 * A member of a group is killed in the middle of multicasting at full load. Those who live on agree on what it had sent; in a uniform
 * group also on all that it had delivered. Where total order waits for the word of the dead, on the order of what was delivered.
 */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import { ORDER_LEVELS, type OrderLevel } from "../../src/core/order-level.ts";
import { Random } from "../../src/core/random.ts";
import { newDirectory } from "./directory-store-support.ts";
import { type GroupOnNats, Members, readLog } from "./group-members.ts";

const IDS = ["p1", "p2", "p3"];
const SEQUENCER = "p1";
const SEED = process.env["SEED"] ?? "20261125";
/** More than there is time for. */
const MOST = 10_000_000;
const CONTESTS: readonly { level: OrderLevel; total: "sequencer" | "agreed"; uniform: boolean }[] =
  [
    { level: "reliable", total: "sequencer", uniform: false },
    { level: "fifo", total: "sequencer", uniform: true },
    { level: "causal", total: "sequencer", uniform: false },
    { level: "causal-total", total: "sequencer", uniform: false },
    { level: "causal", total: "sequencer", uniform: true },
    { level: "total", total: "sequencer", uniform: true },
    { level: "total", total: "agreed", uniform: true },
    { level: "fifo", total: "sequencer", uniform: false },
  ];

/**
 * One group after the other, of all kinds; one member of each dies.
 * @param server of NATS, over which they talk; if not over TCP
 */
export async function killMembers(name: string, rounds: number, server?: string): Promise<void> {
  const random = new Random(`${SEED} killed`);
  let relayed = 0;
  for (let round = 1; round <= rounds; round += 1) {
    relayed += await kill(
      round,
      random,
      server === undefined ? undefined : { server, prefix: `killed-${round}` },
    );
    if (round % 10 === 0) process.stderr.write(`${name}: ${round} of ${rounds} rounds\n`);
  }
  // It is so in about a third; in a few rounds it may be in none.
  if (rounds < 100) return;
  process.stderr.write(
    `${name}, SEED=${SEED}: in ${relayed} of ${rounds} rounds one had more than the other\n`,
  );
  expect(relayed, `SEED=${SEED}`).toBeGreaterThan(0);
}

/** 1 if at first one had something that the other did not. */
async function kill(round: number, random: Random, nats?: GroupOnNats): Promise<number> {
  const contest = CONTESTS[(round - 1) % CONTESTS.length] as (typeof CONTESTS)[number];
  const { level, total, uniform } = contest;
  const dead = random.pick(IDS) as string;
  // Those who live on learn what is missing from who hears of the loss, or ask for it before.
  const lostAfterMs = random.chance(0.5) ? 50 : 1000;
  const name = `SEED=${SEED}, round ${round}: ${JSON.stringify(contest)}, ${dead} dies`;
  const directory = newDirectory(onTestFinished);
  const log = (id: string): string => join(directory, id);
  await using group = await Members.start(
    IDS.map((self) => ({
      ...{ self, level, most: MOST, lostAfterMs, log: log(self) },
      group: { members: IDS, total, uniform },
    })),
    nats,
  );
  const { members } = group;
  const victim = members.find(({ id }) => id === dead);
  const living = group.others(dead);
  group.go();
  await group.until("load is full", () =>
    members.every(({ standing }) => standing.delivered.every((many) => many > 500)),
  );
  await pause(random.below(100));
  // What it says last reaches one only; or, now and then, whom it reaches.
  const [cut] = random.chance(0.5) ? living : [...living].reverse();
  if (random.chance(0.8)) {
    group.proxy(dead, cut?.id ?? "").stall();
    await pause(random.below(30));
  }
  await victim?.kill();
  for (const { id } of living) {
    const proxy = group.proxy(dead, id);
    proxy.cut();
    // Over NATS by it all others are heard.
    proxy.resume();
  }
  await pause(20);
  const ofDead = (id: string): number =>
    readLog(log(id)).filter(([sender]) => IDS[sender] === dead).length;
  const first = living.map(({ id }) => ofDead(id));
  await group.until("it is lost", () => living.every(({ standing }) => dead in standing.lost), {
    fallen: dead,
  });
  // Whose word total order does not need.
  const isFree =
    !ORDER_LEVELS[level].includes("total order") || (total === "sequencer" && dead !== SEQUENCER);
  // What is missing is asked for with growing pauses: that nothing comes for a while need not be the end.
  if (isFree)
    await group.until(
      "they have delivered all of their own",
      () =>
        living.every(({ id, standing }) => standing.delivered[IDS.indexOf(id)] === standing.sent),
      { fallen: dead },
    );
  await group.settled(living, dead);

  for (const { standing } of living)
    expect([standing.wrong, standing.problems], name).toEqual([[], []]);
  const had = deliveries(log(dead));
  const [one, other] = living.map(({ id }) => deliveries(log(id))) as [string[], string[]];
  const isTotal = ORDER_LEVELS[level].includes("total order");
  // Agreed places need the word of who is gone: one may wait for that where the other had not heard of what it waits for.
  if (!isTotal || total === "sequencer") {
    expect(without(one, other).slice(0, 5), name).toEqual([]);
    expect(without(other, one).slice(0, 5), name).toEqual([]);
  }
  if (isTotal)
    for (const [a, b] of [
      [one, other],
      [one, had],
      [other, had],
    ] as const)
      expect(within(a, b).join() === within(b, a).join(), `${name}: the order`).toBe(true);
  if (isFree) {
    if (uniform) expect(without(had, one).slice(0, 5), name).toEqual([]);
    for (const { id, standing } of living)
      expect(standing.delivered[IDS.indexOf(id)], `${name}, of ${id} itself`).toBe(standing.sent);
  }
  for (const member of living) expect([await member.end(), member.errors]).toEqual(["0", ""]);
  return !isTotal && living.some(({ id }, i) => ofDead(id) > (first[i] ?? 0)) ? 1 : 0;
}

const deliveries = (path: string): string[] =>
  readLog(path).map(([sender, number]) => `${IDS[sender]}/${number}`);

function within(some: readonly string[], others: readonly string[]): string[] {
  const set = new Set(others);
  return some.filter((one) => set.has(one));
}

function without(some: readonly string[], others: readonly string[]): string[] {
  const set = new Set(others);
  return some.filter((one) => !set.has(one));
}
