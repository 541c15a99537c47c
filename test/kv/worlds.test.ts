/** The store in the simulator: three replicas that die, lose each other and are restored, and random clients; judged as in worlds/judge.ts. */

import { expect, test } from "vitest";
import { seeds } from "../support/soak.ts";
import { runStoreWorld } from "./worlds/store-world.ts";
import type { StoreReport } from "./worlds/story.ts";

test("in total order clients see one store, whatever befalls it", { timeout: 86_400_000 }, () => {
  let many = 0;
  const sum: Record<keyof StoreReport, number> = {
    ...{ answered: 0, reads: 0, unsafe: 0, undone: 0, restores: 0, snapshots: 0 },
  };
  for (const seed of seeds("kv-worlds", 10, 100_000)) {
    const report = said(seed);
    many += 1;
    for (const key of Object.keys(sum) as (keyof StoreReport)[]) sum[key] += report[key];
  }
  // Something has happened.
  expect(sum.answered).toBeGreaterThan(40 * many);
  expect(sum.reads).toBeGreaterThan(5 * many);
  expect(sum.snapshots).toBeGreaterThan(3 * many);
  expect(sum.restores).toBeGreaterThan(0);
  expect(sum.undone).toBeGreaterThan(0);
});

function said(seed: number): StoreReport {
  try {
    return runStoreWorld(seed);
  } catch (thrown) {
    throw new Error(`seed ${seed}: ${(thrown as Error).message}`, { cause: thrown });
  }
}
