// Standing detectors without a browser: what is told, what is kept, and what is removed again.
import { expect, onTestFinished, test } from "vitest";
import { TidemarkError } from "../../src/core/error.ts";
import type { SnapshotId } from "../../src/core/id.ts";
import type { Turn } from "../../src/process/application.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import { startProcess } from "../../src/runtime/running-process.ts";
import { Watching, type WatchSource } from "../../src/serve/web/watching.ts";

/** Money that somebody may lose, and find again. */
const application = () => {
  let money = 100;
  return {
    request(id: number, more: number, turn: Turn<never, number>) {
      money += more;
      turn.reply(id, money);
    },
    capture: () => money,
    restore(state: number) {
      money = state;
    },
    goods: () => ({ money }),
  };
};

async function start(change: Partial<WatchSource> = {}) {
  const store = memoryStore();
  const running = await startProcess({
    ...{ id: "solo", processes: ["solo"], store, transport: new MemoryNetwork().transport() },
    application: application(),
  });
  const source: WatchSource = {
    offers: async () => ["sum=money"],
    snapshot: () => running.snapshot(),
    discard: (id) => store.delete(id),
    application,
    ...change,
  };
  const watching = new Watching(source);
  onTestFinished(async () => {
    watching.stop();
    await running.stop();
  });
  const stored = async (): Promise<SnapshotId[]> => {
    const ids: SnapshotId[] = [];
    for await (const { id } of store.list()) ids.push(id);
    return ids;
  };
  const looks = (count: number) =>
    expect.poll(() => watching.now.looks, { timeout: 20_000 }).toBeGreaterThanOrEqual(count);
  return { watching, running, stored, looks };
}

test("what has become true is told once, its snapshot stays, and all others go", async () => {
  const { watching, running, stored, looks } = await start();
  await watching.start({ detectors: ["sum=money:100"], everyMs: 5 });
  await looks(3);
  await running.request(-5);
  await expect
    .poll(() => watching.now.verdicts[0]?.detection.detected, { timeout: 20_000 })
    .toBe(true);
  await looks(watching.now.looks + 3);
  watching.stop();
  const { changes, sums, watching: now } = watching.now;
  expect(now).toBeUndefined();
  expect(changes.map(({ detected, sentence }) => [detected, sentence])).toEqual([
    [false, "all 100 are there"],
    [true, "there are 95 and not 100: 5 are lost"],
  ]);
  const points = sums["sum=money"] ?? [];
  expect(new Set(points.map(({ sum }) => sum))).toEqual(new Set([100, 95]));
  expect(points.every(({ expected, inFlight }) => expected === 100 && inFlight === 0)).toBe(true);
  await expect.poll(stored).toEqual([changes[1]?.snapshot]);
});

test("of what is found again and again no more than a few snapshots stay, and no more changes than a limit", {
  timeout: 60_000,
}, async () => {
  const { watching, running, stored } = await start();
  await watching.start({ detectors: ["sum=money:100"], everyMs: 0 });
  for (let i = 0; i < 60; i += 1) {
    await running.request(i % 2 === 0 ? -5 : 5);
    const isLost = i % 2 === 0;
    await expect
      .poll(() => watching.now.verdicts[0]?.detection.detected, { timeout: 20_000, interval: 1 })
      .toBe(isLost);
  }
  watching.stop();
  await expect.poll(async () => (await stored()).length).toBe(20);
  expect(watching.now.changes.length).toBeLessThanOrEqual(200);
});

test("that a look is not possible is told, and that its initiator ends is no reason to end", async () => {
  let failing: TidemarkError | undefined = new TidemarkError("STOPPED", "p3 has ended: SIGKILL");
  const { watching, running, looks } = await start();
  const broken = new Watching({
    offers: async () => [],
    discard: async () => {},
    application,
    async snapshot() {
      if (failing) throw failing;
      return await running.snapshot();
    },
  });
  onTestFinished(() => broken.stop());
  await broken.start({ detectors: ["sum=money"], everyMs: 5 });
  await expect.poll(() => broken.now.problem).toBe("p3 has ended: SIGKILL");
  failing = undefined;
  await expect.poll(() => broken.now.looks, { timeout: 20_000 }).toBeGreaterThan(1);
  expect(broken.now.problem).toBeUndefined();
  expect(broken.now.watching?.detectors).toEqual(["sum=money"]);
  expect(broken.now.changes[0]).toMatchObject({ problem: "p3 has ended: SIGKILL" });
  await watching.start({ detectors: ["sum=money"], everyMs: 5 });
  await looks(1);
});

test("what cannot be watched is refused, and what was watched goes on", async () => {
  const { watching, looks } = await start();
  await watching.start({ detectors: ["sum=money"], everyMs: 5 });
  await expect(watching.start({ detectors: ["x"], everyMs: 5 })).rejects.toThrow("no detector");
  await expect(watching.start({ detectors: ["sum=a", "sum=a:1"], everyMs: 5 })).rejects.toThrow(
    "sum=a is there twice",
  );
  await looks(2);
  expect(watching.now.watching?.detectors).toEqual(["sum=money"]);
  const { watching: none } = await start({
    async offers() {
      throw new TidemarkError("BAD_OPTION", "it is not known");
    },
  });
  await expect(none.start({ detectors: ["deadlock"], everyMs: 5 })).rejects.toThrow("not known");
  expect(none.now.watching).toBeUndefined();
});
