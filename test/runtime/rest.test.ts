import { expect, test } from "vitest";
import { rest } from "../../src/runtime/rest.ts";

/** Keeps each turn of the event loop for so long, until it is told to stop. */
function busy(turnMs: number): () => void {
  let isOver = false;
  const turn = (): void => {
    const untilMs = performance.now() + turnMs;
    while (performance.now() < untilMs);
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  return () => {
    isOver = true;
  };
}

async function shortestAndLongest(workedMs: number): Promise<readonly [number, number]> {
  const times: number[] = [];
  for (let i = 0; i < 100; i += 1) {
    const startMs = performance.now();
    await rest(workedMs);
    times.push(performance.now() - startMs);
  }
  return [Math.min(...times), Math.max(...times)];
}

test("work that can wait gives others many times as long as it took, while they have something to do", async () => {
  const end = busy(0.2);
  const [shortestMs] = await shortestAndLongest(0.1);
  end();
  expect(shortestMs).toBeGreaterThanOrEqual(1.1);
});

test("but it is not put off for long, even if it took long itself", async () => {
  const end = busy(0.2);
  const [shortestMs] = await shortestAndLongest(1_000);
  end();
  expect(shortestMs).toBeGreaterThanOrEqual(1.9);
  expect(shortestMs).toBeLessThan(20);
});

test("it goes on at once while there is nothing else to do", async () => {
  const [shortestMs] = await shortestAndLongest(0.1);
  expect(shortestMs).toBeLessThan(0.5);
});
