// Whole systems of real processes in worlds that a seed decides: whatever happens in them, a snapshot is right or it is
// abandoned. `SEED=n` runs one world again, the one that a failure names.
import { describe, expect, test } from "vitest";
import { Violation } from "../support/history.ts";
import { Meddler, type Mischief } from "../support/meddler.ts";
import { cases } from "../support/soak.ts";
import { type Outcome, World, type WorldOptions } from "../support/world.ts";
import { quietWorld, worldOf } from "../support/worlds.ts";

const MINUTE_MS = 60_000;

function run(options: WorldOptions): Outcome {
  try {
    return new World(options).run();
  } catch (thrown) {
    throw new Error(`SEED=${options.seed}: ${(thrown as Error).message}`, { cause: thrown });
  }
}

/** Runs the world of each seed, or the one of `SEED`, and adds up what came of them. */
function runAll(worldBy: (seed: number) => WorldOptions, count: number) {
  const only = process.env["SEED"];
  const seeds =
    only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)];
  const sum = { complete: 0, abandoned: 0, inFlight: 0 };
  const reasons = new Set<string>();
  for (const seed of seeds) {
    const { complete, abandoned, inFlight } = run(worldBy(seed));
    sum.complete += complete;
    sum.inFlight += inFlight;
    for (const [reason, times] of abandoned) {
      reasons.add(reason.replace(/[:…].*/, "").trim());
      sum.abandoned += times;
    }
  }
  return { ...sum, reasons, seeds: seeds.length };
}

test(
  "a snapshot is exact or abandoned at everybody, nothing stays behind, and all recovers",
  () => {
    const all = runAll(worldOf, cases("snapshots", 250, 20_000));
    if (all.seeds === 1) return;
    // Not for want of trying.
    expect(all.complete / all.seeds).toBeGreaterThan(4);
    expect(all.inFlight / all.complete).toBeGreaterThan(1);
    expect(all.abandoned / all.seeds).toBeGreaterThan(0.5);
    expect([...all.reasons]).toEqual(
      expect.arrayContaining([
        "timeout",
        "the caller gave up",
        "capture threw at",
        "process lost",
        "view changed",
        "its initiator started again",
        "its manifest could not be written",
      ]),
    );
  },
  (cases("snapshots", 1, 20) + 1) * MINUTE_MS,
);

test(
  "where nothing fails every snapshot completes",
  () => {
    const all = runAll(quietWorld, cases("snapshots", 120, 2_000));
    expect(all.abandoned).toBe(0);
    expect(all.complete).toBeGreaterThan(2 * all.seeds);
  },
  MINUTE_MS,
);

describe("a planted mistake is found, by what others wrote down and by the certificate", () => {
  const SEEDS = 40;

  /** How many of the worlds were caught, by each judge; and the first. */
  function caught(mistake: (seed: number) => Partial<WorldOptions>) {
    const judges = new Map<string, number>();
    let first = 0;
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      try {
        new World({ ...quietWorld(seed), deaf: true, ...mistake(seed) }).run();
      } catch (thrown) {
        if (!(thrown instanceof Violation)) throw thrown;
        if (first === 0) first = seed;
        for (const judge of thrown.check.split(" + "))
          judges.set(judge, (judges.get(judge) ?? 0) + 1);
      }
    }
    return { first, judges: Object.fromEntries(judges) as Partial<Record<string, number>> };
  }

  const meddled = (mischief: Mischief) =>
    caught((seed) => ({ meddle: new Meddler(mischief, seed).meddle }));

  test("none, and nobody finds anything", () => {
    expect(caught(() => ({}))).toEqual({ first: 0, judges: {} });
  });

  test("a state that is captured in a later turn: states are others, sums are wrong", () => {
    const { first, judges } = caught(() => ({ late: true }));
    expect(first).toBeLessThanOrEqual(3);
    expect(judges["state"]).toBeGreaterThan(SEEDS / 2);
    expect(judges["sum"]).toBeGreaterThan(SEEDS / 2);
  });

  test("channels that are not FIFO: cuts are not consistent, or channels not complete", () => {
    const { first, judges } = meddled("not FIFO");
    expect(first).toBeLessThanOrEqual(3);
    expect(judges["certificate"]).toBeGreaterThan(SEEDS / 2);
    expect((judges["consistency"] ?? 0) + (judges["channel state"] ?? 0)).toBeGreaterThan(
      SEEDS / 2,
    );
  });

  test("one marker that overtakes one message: that channel is not complete", () => {
    const { first, judges } = meddled("marker overtakes");
    expect(first).toBeLessThanOrEqual(10);
    for (const judge of ["channel state", "certificate", "sum"])
      expect(judges[judge]).toBeGreaterThan(SEEDS / 4);
  });

  test("one marker that is dropped: a snapshot does not complete", () => {
    const { first, judges } = meddled("marker dropped");
    expect(first).toBeLessThanOrEqual(3);
    expect(judges["liveness"]).toBeGreaterThan(SEEDS / 2);
  });

  test("one marker that is repeated: two on one channel", () => {
    const { first, judges } = meddled("marker repeated");
    expect(first).toBeLessThanOrEqual(3);
    expect(judges["markers"]).toBeGreaterThan(SEEDS / 2);
  });

  test.each(["message dropped", "message repeated"] as const)(
    "one %s by the link: a message was received that was not sent there",
    (mischief) => {
      const { first, judges } = meddled(mischief);
      expect(first).toBeLessThanOrEqual(3);
      expect(judges["certificate"]).toBeGreaterThan(SEEDS / 2);
      expect((judges["consistency"] ?? 0) + (judges["channel state"] ?? 0)).toBeGreaterThan(
        SEEDS / 2,
      );
    },
  );
});
