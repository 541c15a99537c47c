/** Clients of a store of operating-system processes that write through all of them at once, and what must have become of it. */

import { setTimeout as pause } from "node:timers/promises";
import { expect } from "vitest";
import { Random } from "../../../src/core/random.ts";
import type { Heard, TestClient } from "../../serve/store.ts";
import { until } from "./command.ts";
import { MONEY, moneyIn, openAccounts, transfer } from "./purses.ts";
import { clientWhenServed, elementsOf, type SavedReplica, visit } from "./store-clients.ts";

const CLIENTS = 50;
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
  expect(count, what).toBeGreaterThanOrEqual(
    numbers.reduce((most, one) => Math.max(most, one), numbers.length),
  );
  expect(count, what).toBeLessThanOrEqual(numbers.length + asked.open.size);
}

const isLost = (heard: Heard): boolean =>
  heard === "closed" || (typeof heard === "string" && heard.startsWith("-TRYAGAIN"));

/**
 * Full load: each client asks, waits for the answer, and asks again; when its process is gone, it goes to another one. All of it is
 * noted, with and without an answer.
 */
export class Load {
  readonly seed: number;
  readonly random: Random;
  /** Transactions that were void, for somebody else was faster. */
  voids = 0;
  /** For how long nobody had an answer to a write, at the most. */
  longestPauseMs = 0;
  /** What nobody should be told. */
  readonly surprises: Heard[] = [];
  readonly #ports: readonly number[];
  readonly #over: AbortController = new AbortController();
  readonly #visits: Promise<void>[] = [];
  readonly #counts = new Asked<number>();
  readonly #lists = Array.from({ length: KEYS }, () => new Asked<number>());
  /** Each answer is the value that was there before: together they are a chain. */
  readonly #registers = Array.from({ length: KEYS }, () => new Asked<string>());
  readonly #watched = Array.from({ length: KEYS }, () => new Asked<number>());
  readonly #transfers = new Asked<Heard>();
  #last = 0;
  #highest = 0;
  #answeredAtMs = 0;

  /** @param seed `SEED` of the environment is taken instead, if there is one */
  constructor(ports: readonly number[], seed: number = Date.now() % 1_000_000) {
    this.seed = Number(process.env["SEED"] ?? seed);
    this.random = new Random(this.seed);
    this.#ports = ports;
  }

  async begin(): Promise<void> {
    await openAccounts(await clientWhenServed(this.#ports[0] as number));
    this.#answeredAtMs = performance.now();
    const works = [
      this.#count.bind(this),
      ...[this.#push.bind(this), this.#write.bind(this), this.#watch.bind(this)],
      ...[this.#pay.bind(this), this.#look.bind(this)],
    ];
    for (let i = 0; i < CLIENTS; i += 1)
      this.visit(i, works[i % works.length] as (typeof works)[number]);
  }

  /** One more client, which does something again and again until all end. */
  visit(first: number, work: (client: TestClient) => Promise<void>): void {
    this.#visits.push(visit(this.#ports, first, this.#over.signal, work));
  }

  /** Notes what was answered, if it is neither what was wanted nor that it is lost. Gives whether it was wanted. */
  isAnswer(heard: Heard, wanted: boolean): boolean {
    if (!wanted && !isLost(heard)) this.surprises.push(heard);
    return wanted;
  }

  /** When all have had their last answers, and every replica has done all. */
  async end(): Promise<TestClient[]> {
    this.#over.abort();
    await Promise.all(this.#visits);
    expect(this.surprises, `SEED=${this.seed}`).toEqual([]);
    const clients = await Promise.all(this.#ports.map((port) => clientWhenServed(port)));
    const places = async (): Promise<Heard[]> =>
      await Promise.all(clients.map((client) => client.ask("TIDEMARK", "TOKEN")));
    await until("all replicas to have done all", async () => {
      const before = await places();
      await pause(100);
      return new Set([...before, ...(await places())]).size === 1;
    });
    return clients;
  }

  /** What was answered, and what had no answer, of each kind. */
  get counts(): readonly { readonly answered: number; readonly open: number }[] {
    const all = [this.#counts, this.#transfers, ...this.#lists, ...this.#registers];
    return [...all, ...this.#watched].map(({ answered, open }) => ({
      answered: answered.size,
      open: open.size,
    }));
  }

  /** For people. */
  toString(): string {
    const [done, open] = (["answered", "open"] as const).map((of) =>
      this.counts.reduce((sum, one) => sum + one[of], 0),
    );
    return `${done} writes answered, ${open} without an answer, ${this.voids} void; SEED=${this.seed}`;
  }

  /** All replicas have the same, to the byte; and in it is all that was answered, once, in its order, and nothing that nobody asked for. */
  expectIn(replicas: readonly SavedReplica[]): void {
    expect(replicas.length).toBe(this.#ports.length);
    for (const { hashes } of replicas) expect(hashes).toEqual(replicas[0]?.hashes);
    const keys = replicas[0]?.keys ?? expect.fail("there is a replica");
    expectCount(this.#counts, Number(keys.get("count")), "count");
    for (const [i, asked] of this.#lists.entries()) {
      const there = elementsOf(keys.get(`list:${i}`));
      asked.expectOnce(there, `list ${i}`);
      // Nothing is taken from it, so the length that was answered says where it is.
      for (const [one, length] of asked.answered) expect(there[length - 1], `list ${i}`).toBe(one);
    }
    for (const [i, asked] of this.#watched.entries())
      expectCount(asked, Number(keys.get(`watched:${i}`) ?? 0), `watched ${i}`);
    for (const [i, asked] of this.#registers.entries()) {
      const overwritten = [...asked.answered.values()];
      expect(new Set(overwritten).size, `register ${i}`).toBe(overwritten.length);
      const seen = new Set([...overwritten, String(keys.get(`register:${i}`) ?? -1)]);
      expect([...seen].filter((one) => one !== "-1" && !asked.knows(one))).toEqual([]);
      // Only somebody without an answer can have overwritten what nobody saw.
      const unseen = [...asked.answered.keys()].filter((one) => !seen.has(one));
      expect(unseen.length, `register ${i}: lost`).toBeLessThanOrEqual(asked.open.size);
    }
    this.#transfers.expectOnce(
      elementsOf(keys.get("transfers")).map((one) => one.split(" ")[0] as string),
      "transfers",
    );
  }

  #token(): string {
    this.#last += 1;
    return `t${this.#last}`;
  }

  /** Notes the answer to a write. */
  #note<Answer>(
    { answered, open }: Asked<Answer>,
    own: string,
    answer: Answer | undefined,
    heard: Heard,
  ): void {
    if (!this.isAnswer(heard, answer !== undefined) || answer === undefined) {
      open.add(own);
      return;
    }
    answered.set(own, answer);
    const nowMs = performance.now();
    this.longestPauseMs = Math.max(this.longestPauseMs, nowMs - this.#answeredAtMs);
    this.#answeredAtMs = nowMs;
  }

  async #count(client: TestClient): Promise<void> {
    const own = this.#token();
    const heard = await client.ask("INCR", "count");
    const number = numberIn(heard);
    this.#note(this.#counts, own, number, heard);
    this.#highest = Math.max(this.#highest, number ?? 0);
  }

  /** Whoever asks in order sees all that anybody was answered before. */
  async #look(client: TestClient): Promise<void> {
    const seen = this.#highest;
    await client.ask("TIDEMARK", "READ", "LINEARIZABLE");
    const heard = await client.ask("GET", "count");
    if (!this.isAnswer(heard, typeof heard === "string" && heard.startsWith("$"))) return;
    if (Math.max(0, Number(String(heard).slice(1))) < seen)
      this.surprises.push([heard, `after ${seen}`]);
  }

  async #push(client: TestClient): Promise<void> {
    const own = this.#token();
    const at = this.random.below(KEYS);
    const heard = await client.ask("RPUSH", `list:${at}`, own);
    this.#note(this.#lists[at] as Asked<number>, own, numberIn(heard), heard);
  }

  async #write(client: TestClient): Promise<void> {
    const own = this.#token();
    const at = this.random.below(KEYS);
    const heard = await client.ask("SET", `register:${at}`, own, "GET");
    const before = /^\$(t\d+|-1)$/.exec(String(heard))?.[1];
    this.#note(this.#registers[at] as Asked<string>, own, before, heard);
  }

  async #watch(client: TestClient): Promise<void> {
    const own = this.#token();
    const at = this.random.below(KEYS);
    const key = `watched:${at}`;
    client.send("WATCH", key);
    client.send("GET", key);
    const [ok, was] = [await client.next(), await client.next()];
    if (!this.isAnswer(ok, ok === "+OK")) return;
    if (!this.isAnswer(was, String(was).startsWith("$"))) return;
    const next = Math.max(0, Number(String(was).slice(1))) + 1;
    for (const words of [["MULTI"], ["SET", key, String(next)], ["EXEC"]]) client.send(...words);
    await client.next();
    await client.next();
    const heard = await client.next();
    if (heard === "*-1") this.voids += 1;
    else {
      const isDone = Array.isArray(heard) && heard[1] === "+OK";
      this.#note(this.#watched[at] as Asked<number>, own, isDone ? next : undefined, heard);
    }
  }

  async #pay(client: TestClient): Promise<void> {
    const own = this.#token();
    const heard = await transfer(client, this.random, own);
    this.#note(this.#transfers, own, Array.isArray(heard) ? heard : undefined, heard);
  }
}

/** In a snapshot that was taken meanwhile each replica has all the money, as its transfers say. */
export function expectMoney(replicas: readonly SavedReplica[], where: string): void {
  for (const [at, { keys }] of replicas.entries()) {
    // From before it was begun.
    if (keys.size === 0) continue;
    const { sum, balances, replayed } = moneyIn(keys);
    expect({ where, at, sum }).toEqual({ where, at, sum: MONEY });
    expect(balances).toEqual(replayed);
  }
}

function numberIn(heard: Heard): number | undefined {
  return /^:\d+$/.test(String(heard)) ? Number(String(heard).slice(1)) : undefined;
}
