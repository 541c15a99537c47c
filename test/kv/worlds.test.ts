/**
 * The store in the simulator: three replicas that die, lose each other and are restored, and random clients; judged as in worlds/judge.ts,
 * and with keys that converge as in worlds/judge-converging.ts.
 */

import { expect, test } from "vitest";
import type { TotalOrderEngine } from "../../src/multicast/group.ts";
import { seeds } from "../support/soak.ts";
import { runStoreWorld, type StoreOrder } from "./worlds/store-world.ts";
import type { StoreReport } from "./worlds/story.ts";

/** Of fewer seeds it says nothing how much happens in them. */
const MANY = 10;

test.each([
  ["sequencer", () => seeds("kv-worlds", 10, 100_000), [40, 5]],
  // It takes longer, and begins when all are there.
  ["log", () => seeds("kv-worlds-log", 10, 100_000), [20, 2]],
] as const)(
  "in total order by a %s clients see one store, whatever befalls it",
  { timeout: 86_400_000 },
  (engine, all, [answered, reads]) => {
    const { many, sum } = sumOf(all(), "total", engine);
    if (many < MANY) return;
    expect(sum.answered).toBeGreaterThan(answered * many);
    expect(sum.reads).toBeGreaterThan(reads * many);
    expect(sum.snapshots).toBeGreaterThan(3 * many);
    expect(sum.restores).toBeGreaterThan(0);
    expect(sum.undone).toBeGreaterThan(0);
  },
);

test("in causal order clients see no effect without its causes, whatever befalls the store", {
  timeout: 86_400_000,
}, () => {
  mustConverge(seeds("kv-worlds-causal", 12, 100_000), "causal");
});

test("in FIFO order clients see what each has written in its order, whatever befalls the store", {
  timeout: 86_400_000,
}, () => {
  mustConverge(seeds("kv-worlds-fifo", 12, 100_000), "fifo");
});

function mustConverge(all: Iterable<number>, order: StoreOrder): void {
  const { many, sum } = sumOf(all, order);
  if (many < MANY) return;
  expect(sum.answered).toBeGreaterThan(50 * many);
  expect(sum.reads).toBeGreaterThan(10 * many);
  expect(sum.snapshots).toBeGreaterThan(2 * many);
  // While cut off from all others.
  expect(sum.alone).toBeGreaterThan(many / 2);
  expect(sum.restores).toBeGreaterThan(0);
  expect(sum.undone).toBeGreaterThan(0);
}

/** What has happened in them all: something has. */
function sumOf(
  all: Iterable<number>,
  order: StoreOrder,
  engine?: TotalOrderEngine,
): { readonly many: number; readonly sum: StoreReport } {
  let many = 0;
  const sum: Record<keyof StoreReport, number> = {
    ...{ answered: 0, reads: 0, unsafe: 0, undone: 0, restores: 0, snapshots: 0, alone: 0 },
  };
  for (const seed of all) {
    const report = said(seed, order, engine);
    many += 1;
    for (const key of Object.keys(sum) as (keyof StoreReport)[]) sum[key] += report[key];
  }
  return { many, sum };
}

function said(seed: number, order: StoreOrder, engine?: TotalOrderEngine): StoreReport {
  try {
    return runStoreWorld(seed, order, engine);
  } catch (thrown) {
    throw new Error(`seed ${seed}: ${(thrown as Error).message}`, { cause: thrown });
  }
}
