import { describe, expect, test } from "vitest";
import type { Audit } from "../../src/cli/audit.ts";
import { makeRounds, type Round, type RoundSystem, tally } from "../../src/cli/rounds.ts";
import type { TidemarkError } from "../../src/core/error.ts";
import { Random } from "../../src/core/random.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";

/** A system of one process, whose rounds take so long. */
class Slow implements RoundSystem {
  readonly processes: readonly string[] = ["p1"];
  readonly #loss = Promise.withResolvers<TidemarkError>();
  readonly lost: Promise<TidemarkError> = this.#loss.promise;
  readonly begunMs: number[] = [];
  active = 0;
  maxActive = 0;
  readonly #roundMs: number;

  constructor(roundMs: number) {
    this.#roundMs = roundMs;
  }

  async poll(): Promise<Map<string, { ok: boolean; balance: number; transfers: number }>> {
    this.begunMs.push(performance.now());
    this.active += 1;
    this.maxActive = Math.max(this.maxActive, this.active);
    return new Map([["p1", { ok: true, balance: 7, transfers: 0 }]]);
  }

  async snapshot(): Promise<{ problem: string }> {
    await new Promise((settle) => setTimeout(settle, this.#roundMs));
    this.active -= 1;
    return { problem: "p1/1 was abandoned: it is only a test" };
  }

  async status(): Promise<never[]> {
    return [];
  }

  lose(error: TidemarkError): void {
    this.#loss.resolve(error);
  }
}

async function rounds(
  system: RoundSystem,
  options: { intervalMs?: number; count?: number; timeoutMs?: number },
  signal: AbortSignal = new AbortController().signal,
): Promise<Round[]> {
  const heard: Round[] = [];
  const all = { intervalMs: 0, count: 3, timeoutMs: 5000, random: new Random(1), ...options };
  const listener = { round: (round: Round) => heard.push(round), note() {} };
  await makeRounds(system, memoryStore(), all, listener, signal);
  return heard;
}

/** Is restored in its first round, which fails for it, and then fails for another reason. */
class Restored extends Slow {
  restores = 0;
  override async snapshot(): Promise<{ problem: string }> {
    const problem = this.begunMs.length === 1 ? "it was restored" : "it is only a test";
    if (this.begunMs.length === 1) this.restores += 1;
    await super.snapshot();
    return { problem };
  }
}

describe("rounds", () => {
  test("that a restore ended are no failures: there is another one", async () => {
    const heard = await rounds(new Restored(1), { count: 2 });
    expect(heard.map(({ problem }) => problem)).toEqual(["it is only a test", "it is only a test"]);
  });

  test("begin at the interval", async () => {
    const system = new Slow(1);
    const startMs = performance.now();
    expect(await rounds(system, { intervalMs: 40, count: 5 })).toHaveLength(5);
    // Timers may ring a little late, never early, and what is late, the first one too, does not add up.
    for (const [i, ms] of system.begunMs.entries())
      expect(ms - startMs).toBeGreaterThan(i * 40 - 5);
  });

  test("that take longer follow each other at once, one at a time", async () => {
    const system = new Slow(20);
    const startedMs = performance.now();
    await rounds(system, { intervalMs: 5, count: 10 });
    expect(system.maxActive).toBe(1);
    expect(performance.now() - startedMs).toBeGreaterThan(195);
  });

  test("tell what was asked even when there is no snapshot", async () => {
    const [round] = await rounds(new Slow(0), { count: 1 });
    expect(round).toMatchObject({ naiveSum: 7, problem: "p1/1 was abandoned: it is only a test" });
  });

  test("whose snapshot is not in the store are told as such", async () => {
    const system = Object.assign(new Slow(0), {
      snapshot: async () => ({ snapshot: "p1/1" as const }),
    });
    const [round] = await rounds(system, { count: 1 });
    expect(round).toMatchObject({ snapshot: "p1/1", problem: "there is no snapshot p1/1" });
    expect(round).not.toHaveProperty("audit");
  });

  test("go on when there is no answer", async () => {
    const poll = (timeoutMs: number): Promise<never> =>
      Promise.reject(new Error(`p1 does not answer within ${timeoutMs} ms`));
    const heard = await rounds(Object.assign(new Slow(0), { poll }), { count: 2, timeoutMs: 20 });
    expect(heard).toEqual(Array(2).fill({ problem: "p1 does not answer within 20 ms" }));
  });

  test("end when it is time, in the midst of waiting", async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 30);
    const heard = await rounds(new Slow(0), { intervalMs: 3_600_000, count: 9 }, stop.signal);
    expect(heard).toHaveLength(1);
  });

  test("end with the one that is under way, if that does not take long", async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 10);
    expect(await rounds(new Slow(100), { count: 9 }, stop.signal)).toHaveLength(1);
    const startedMs = performance.now();
    expect(await rounds(new Slow(60_000), { count: 9 }, AbortSignal.timeout(10))).toEqual([]);
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });

  test("end with the reason when a process is lost", async () => {
    const system = new Slow(60_000);
    const error = { message: "p1 (process 7) has ended" } as TidemarkError;
    setTimeout(() => system.lose(error), 10);
    expect(await rounds(system, { count: 9 })).toEqual([{ problem: "p1 (process 7) has ended" }]);
  });
});

describe("the tally", () => {
  const audit = { sum: 4000 } as Audit;
  const cases: [string, Round, boolean, [number, number, number]][] = [
    ["a snapshot that adds up, beside a wrong sum", { audit, naiveSum: 1 }, true, [1, 1, 1]],
    ["a snapshot that adds up, beside a right sum", { audit, naiveSum: 4000 }, true, [1, 1, 0]],
    [
      "a proven snapshot that does not add up",
      { audit: { sum: 3999 } as Audit, naiveSum: 4000 },
      false,
      [1, 1, 0],
    ],
    [
      "a snapshot that is not proven",
      { audit, naiveSum: 4000, problem: "channel p1 → p2 …" },
      false,
      [1, 0, 0],
    ],
    ["an abandoned snapshot", { naiveSum: 1, problem: "p1/1 was abandoned: …" }, false, [1, 0, 0]],
  ];
  test.for(cases)("of %s", ([, round, right, counts]) => {
    const totals = { snapshots: 0, consistent: 0, naiveWrong: 0, transfers: 0 };
    expect(tally(totals, round, 4000)).toBe(right);
    expect([totals.snapshots, totals.consistent, totals.naiveWrong]).toEqual(counts);
  });
});
