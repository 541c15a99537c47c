import { afterEach, expect, test, vi } from "vitest";
import { inTurns, rest } from "../../src/runtime/rest.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

/** Turns of the event loop, each of which takes others so long by a clock that nothing else moves. */
class Turns {
  count = 0;
  #nowMs = 1_000;
  #next: NodeJS.Immediate;

  constructor(turnMs: number) {
    vi.spyOn(performance, "now").mockImplementation(() => this.#nowMs);
    const turn = (): void => {
      this.count += 1;
      this.#nowMs += turnMs;
      this.#next = setImmediate(turn);
    };
    this.#next = setImmediate(turn);
  }

  async during(work: () => unknown): Promise<number> {
    this.count = 0;
    await work();
    clearImmediate(this.#next);
    return this.count;
  }
}

test("work that can wait gives others twelve times as long as it took, while they have something to do", async () => {
  // 1.2 ms are six turns.
  expect(await new Turns(0.2).during(() => rest(0.0999))).toBe(6);
  expect(await new Turns(0.2).during(() => rest(0.0499))).toBe(3);
});

test("but it is not put off for long, even if it took long itself", async () => {
  expect(await new Turns(0.25).during(() => rest(1_000))).toBe(8);
  expect(await new Turns(50).during(() => rest(1_000))).toBe(1);
});

test("it goes on at once while there is nothing else to do", async () => {
  for (const workedMs of [0, 0.1, 1, 1_000])
    expect(await new Turns(0.002).during(() => rest(workedMs))).toBe(1);
});

test("and as soon as there is nothing any more", async () => {
  let nowMs = 0;
  const times = [0.2, 0.2, 0.2, 0.002, 0.2];
  vi.spyOn(performance, "now").mockImplementation(() => nowMs);
  let next: NodeJS.Immediate;
  const turn = (): void => {
    nowMs += times.shift() ?? 0;
    next = setImmediate(turn);
  };
  next = setImmediate(turn);
  await rest(1_000);
  clearImmediate(next);
  expect(times).toEqual([0.2]);
});

test("work that somebody waits for gives others a turn after each step", async () => {
  function* steps(): Generator<void, string> {
    for (let i = 0; i < 10; i += 1) yield;
    return "done";
  }
  const turns = new Turns(1_000);
  expect(await turns.during(async () => expect(await inTurns(steps())).toBe("done"))).toBe(10);
});

test("what a step throws is thrown on", async () => {
  function* steps(): Generator<void, never> {
    yield;
    throw new Error("no more");
  }
  await expect(inTurns(steps())).rejects.toThrow("no more");
});
