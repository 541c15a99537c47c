// The store under its supervisor, whose processes are killed one after another while many clients write through all of them.
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import type { SnapshotId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { ControlClient } from "../../src/runtime/control-socket.ts";
import type { SystemMethods } from "../../src/serve/system-methods.ts";
import type { Heard, TestClient } from "../serve/store.ts";
import { cases } from "../support/soak.ts";
import { freePorts, Started, temporaryDirectory, until } from "./support/command.ts";
import { MONEY, moneyIn, openAccounts, transfer } from "./support/purses.ts";
import {
  clientWhenServed,
  elementsOf,
  savedIds,
  savedStore,
  visit,
} from "./support/store-clients.ts";

const PROCESSES = 3;
const CLIENTS = 50;
const KILL_EVERY_MS = 3_000;
const SNAPSHOT_EVERY_MS = 1_000;
/** Of each kind that clients share. */
const KEYS = 4;

/** What was asked of one key: what had an answer, and which; and what had none. */
class Asked<Answer> {
  readonly answered = new Map<string, Answer>();
  readonly open = new Set<string>();

  knows(what: string): boolean {
    return this.answered.has(what) || this.open.has(what);
  }

  /** Every value once, and each is known. */
  expectOnce(there: readonly string[], what: string): void {
    const once = new Set(there);
    expect(once.size, `${what}: done twice`).toBe(there.length);
    expect(
      [...this.answered.keys()].filter((one) => !once.has(one)),
      `${what}: lost`,
    ).toEqual([]);
    expect(
      [...once].filter((one) => !this.knows(one)),
      `${what}: never asked`,
    ).toEqual([]);
  }
}

/** Where a count must be that so many have raised, each of whom had another number for it. */
function expectCount(asked: Asked<number>, count: number, what: string): void {
  const numbers = [...asked.answered.values()];
  expect(new Set(numbers).size, `${what}: the same number twice`).toBe(numbers.length);
  expect(count, what).toBeGreaterThanOrEqual(Math.max(numbers.length, ...numbers));
  expect(count, what).toBeLessThanOrEqual(numbers.length + asked.open.size);
}

const isLost = (heard: Heard): boolean =>
  heard === "closed" || (typeof heard === "string" && heard.startsWith("-TRYAGAIN"));

test("what was answered is there once at every replica, whoever was killed", {
  timeout: 300_000,
}, async () => {
  const seconds = cases("kv-kills", 5, 60);
  const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
  const random = new Random(seed);
  const first = await freePorts(PROCESSES);
  const ports = Array.from({ length: PROCESSES }, (_, i) => first + i);
  const dir = temporaryDirectory();
  const args = ["kv", "--port", String(first), "--dir", dir, "--log", "always", "--json"];
  const rules = ["--restarts", "1000", "--interval", "1h", "--keep", "0"];
  const store = new Started([...args, ...rules], {}, "ignore", 280_000);
  for (const port of ports) (await clientWhenServed(port)).socket.destroy();
  await openAccounts(await clientWhenServed(first));

  let last = 0;
  const token = (): string => {
    last += 1;
    return `t${last}`;
  };
  const over = new AbortController();
  const surprises: Heard[] = [];
  /** Gives whether it was answered as it should be. */
  const isAnswer = (heard: Heard, wanted: boolean): boolean => {
    if (!wanted && !isLost(heard)) surprises.push(heard);
    return wanted;
  };

  const counts = new Asked<number>();
  let highest = 0;
  const count = async (client: TestClient): Promise<void> => {
    const own = token();
    const heard = await client.ask("INCR", "count");
    const isDone = isAnswer(heard, typeof heard === "string" && heard.startsWith(":"));
    if (!isDone) counts.open.add(own);
    else {
      const number = Number(String(heard).slice(1));
      counts.answered.set(own, number);
      highest = Math.max(highest, number);
    }
  };
  /** Whoever asks in order sees all that anybody was answered before. */
  const look = async (client: TestClient): Promise<void> => {
    const seen = highest;
    await client.ask("TIDEMARK", "READ", "LINEARIZABLE");
    const heard = await client.ask("GET", "count");
    if (!isAnswer(heard, typeof heard === "string" && heard.startsWith("$"))) return;
    if (Math.max(0, Number(String(heard).slice(1))) < seen)
      surprises.push([heard, `after ${seen}`]);
  };

  const lists = Array.from({ length: KEYS }, () => new Asked<number>());
  const push = async (client: TestClient): Promise<void> => {
    const own = token();
    const at = random.below(KEYS);
    const heard = await client.ask("RPUSH", `list:${at}`, own);
    const asked = lists[at] as Asked<number>;
    if (isAnswer(heard, /^:\d+$/.test(String(heard))))
      asked.answered.set(own, Number(String(heard).slice(1)));
    else asked.open.add(own);
  };

  /** Each answer is the value that was there before: together they are a chain. */
  const registers = Array.from({ length: KEYS }, () => new Asked<string>());
  const write = async (client: TestClient): Promise<void> => {
    const own = token();
    const at = random.below(KEYS);
    const heard = await client.ask("SET", `register:${at}`, own, "GET");
    const asked = registers[at] as Asked<string>;
    if (isAnswer(heard, /^\$(t\d+|-1)$/.test(String(heard))))
      asked.answered.set(own, String(heard).slice(1));
    else asked.open.add(own);
  };

  const watched = Array.from({ length: KEYS }, () => new Asked<number>());
  let voids = 0;
  const watch = async (client: TestClient): Promise<void> => {
    const own = token();
    const at = random.below(KEYS);
    const key = `watched:${at}`;
    client.send("WATCH", key);
    client.send("GET", key);
    const [ok, was] = [await client.next(), await client.next()];
    if (!isAnswer(ok, ok === "+OK") || !isAnswer(was, String(was).startsWith("$"))) return;
    const next = Math.max(0, Number(String(was).slice(1))) + 1;
    for (const words of [["MULTI"], ["SET", key, String(next)], ["EXEC"]]) client.send(...words);
    await client.next();
    await client.next();
    const heard = await client.next();
    const asked = watched[at] as Asked<number>;
    if (heard === "*-1") voids += 1;
    else if (isAnswer(heard, Array.isArray(heard) && heard[1] === "+OK"))
      asked.answered.set(own, next);
    else asked.open.add(own);
  };

  const transfers = new Asked<Heard>();
  const pay = async (client: TestClient): Promise<void> => {
    const own = token();
    const heard = await transfer(client, random, own);
    if (isAnswer(heard, Array.isArray(heard))) transfers.answered.set(own, heard);
    else transfers.open.add(own);
  };

  const works = [count, push, write, watch, pay, look];
  const visits = Array.from({ length: CLIENTS }, (_, i) =>
    visit(ports, i, over.signal, works[i % works.length] as (typeof works)[number]),
  );
  const saving = visit(ports, 0, over.signal, async (client) => {
    const heard = await client.ask("BGSAVE");
    isAnswer(heard, /^\+Background saving started|in progress/.test(String(heard)));
    await pause(SNAPSHOT_EVERY_MS);
  });

  const control = await ControlClient.connect<SystemMethods>(dir);
  const backs = (): number => store.stderr.split("runs again").length - 1;
  const beganMs = performance.now();
  const hasTime = (): boolean => performance.now() - beganMs < 1_000 * seconds;
  let kills = 0;
  await pause(KILL_EVERY_MS / 3);
  while (hasTime()) {
    const { processes } = await control.call("status", null, { timeoutMs: 10_000 });
    const victim = random.pick(processes.filter(({ up }) => up));
    if (victim) {
      process.kill(victim.pid, "SIGKILL");
      kills += 1;
    }
    await pause(KILL_EVERY_MS);
  }
  await until(`all to run again (SEED=${seed})`, () => backs() >= kills, 30_000);
  over.abort();
  await Promise.all([...visits, saving]);
  expect(surprises, `SEED=${seed}`).toEqual([]);

  const clients = await Promise.all(ports.map((port) => clientWhenServed(port)));
  const places = async (): Promise<Heard[]> =>
    await Promise.all(clients.map((client) => client.ask("TIDEMARK", "TOKEN")));
  await until("all replicas to have done all", async () => {
    const before = await places();
    await pause(100);
    return new Set([...before, ...(await places())]).size === 1;
  });
  const id = String(await clients[0]?.ask("TIDEMARK", "SNAPSHOT", "the end")).slice(
    1,
  ) as SnapshotId;
  const { replicas } = await savedStore(dir, id);
  expect(replicas.length).toBe(PROCESSES);
  for (const { hashes } of replicas) expect(hashes).toEqual(replicas[0]?.hashes);

  const keys = replicas[0]?.keys ?? expect.fail("there is a replica");
  expectCount(counts, Number(keys.get("count")), "count");
  for (const [i, asked] of lists.entries()) {
    const there = elementsOf(keys.get(`list:${i}`));
    asked.expectOnce(there, `list ${i}`);
    // Nothing is taken from it, so the length that was answered says where it is.
    for (const [one, length] of asked.answered) expect(there[length - 1], `list ${i}`).toBe(one);
  }
  for (const [i, asked] of watched.entries())
    expectCount(asked, Number(keys.get(`watched:${i}`) ?? 0), `watched ${i}`);
  for (const [i, asked] of registers.entries()) {
    const overwritten = [...asked.answered.values()];
    expect(new Set(overwritten).size, `register ${i}`).toBe(overwritten.length);
    const seen = new Set([...overwritten, String(keys.get(`register:${i}`) ?? -1)]);
    expect([...seen].filter((one) => one !== "-1" && !asked.knows(one))).toEqual([]);
    // Only somebody without an answer can have overwritten what nobody saw.
    const unseen = [...asked.answered.keys()].filter((one) => !seen.has(one));
    expect(unseen.length, `register ${i}: lost`).toBeLessThanOrEqual(asked.open.size);
  }
  transfers.expectOnce(
    elementsOf(keys.get("transfers")).map((one) => one.split(" ")[0] as string),
    "transfers",
  );

  const ids = await savedIds(dir);
  for (const one of ids) {
    const saved = await savedStore(dir, one);
    for (const [at, replica] of saved.replicas.entries()) {
      // From before it was begun.
      if (replica.keys.size === 0) continue;
      const { sum, balances, replayed } = moneyIn(replica.keys);
      expect({ one, at, sum }).toEqual({ one, at, sum: MONEY });
      expect(balances).toEqual(replayed);
    }
  }

  const { processes } = await control.call("status", null, { timeoutMs: 5_000 });
  expect(processes.reduce((sum, { restarts = 0 }) => sum + restarts, 0)).toBe(kills);
  control.close();
  for (const asked of [counts, transfers, ...lists, ...registers, ...watched])
    expect(asked.answered.size, `SEED=${seed}`).toBeGreaterThan(seconds);
  expect(ids.length).toBeGreaterThan(seconds / 6);
  store.child.kill("SIGINT");
  expect((await store.ended).status).toBe(0);
  const all = [counts, transfers, ...lists, ...registers, ...watched];
  const [done, open] = [
    all.reduce((sum, { answered }) => sum + answered.size, 0),
    all.reduce((sum, one) => sum + one.open.size, 0),
  ];
  if (seconds > 5)
    process.stderr.write(
      `kv-kills: ${kills} kills, ${ids.length} snapshots, ${done} writes answered, ${open} without an answer, ${voids} void; SEED=${seed}\n`,
    );
});
