// Chandy, Misra and Haas 1983: no deadlock is claimed that is none, each is found by somebody in it, and exactly by those in it if they look
// again; with no more messages than the paper says, in whatever order processes act; and what follows if a rule is left out.
import fc from "fast-check";
import { ChandyMisraHaasAnd, ChandyMisraHaasOr } from "tidemark/detect";
import { describe, expect, test } from "vitest";
import type { View, World } from "../../src/sim.ts";
import { deadly } from "../sim/keepers.ts";
import { cases, seeds } from "../support/soak.ts";
import { askingWorld, receivingWorld, runInEpochs } from "./support/direct-worlds.ts";
import { ADVERSARIAL } from "./support/network.ts";
import { runAnd, runOr, type Waited, type WaitingOptions } from "./support/waiting.ts";

type Drawn = Omit<WaitingOptions<never>, "spoil">;

const draw = (seed: number): Drawn => ({
  ...{ seed, fifo: true, slowest: ADVERSARIAL, repeat: [0, 0.2][seed % 2] as number },
  ...{ processes: 2 + (seed % 5), budget: (seed * 7) % 50, width: 1 + (seed % 3) },
  garbage: seed % 6,
});

/** All of them, and that they were of all kinds. */
function runAll(run: (options: Drawn) => Waited): void {
  let [claims, free] = [0, 0];
  for (const seed of seeds("direct-deadlock", 1_000, 100_000)) {
    const options = draw(seed);
    const waited = run(options);
    expect(waited.irregular, `${seed}`).toBe(options.garbage);
    claims += waited.claims;
    if (waited.deadlocked === 0) free += 1;
  }
  expect(claims).toBeGreaterThan(500);
  expect(free).toBeGreaterThan(50);
}

describe("who waits for all of some others", () => {
  test("finds a circle, and nothing else, by a probe on each edge at most", {
    timeout: 7_200_000,
  }, () => {
    runAll(runAnd);
  });
});

describe("who waits for any of some others", () => {
  test("finds that it will never go on, and with whom, by a query and a reply on each edge at most", {
    timeout: 7_200_000,
  }, () => {
    runAll(runOr);
  });
});

/** How many of these runs find the mistake. */
function caught(count: number, run: (seed: number) => unknown): number {
  let found = 0;
  for (let seed = 1; seed <= count; seed += 1)
    try {
      run(seed);
    } catch (thrown) {
      expect(String(thrown)).toMatch(/seed \d+/);
      if (/claims/.test(String(thrown))) found += 1;
    }
  return found;
}

describe("a planted mistake is found", () => {
  test("who is blocked grants something", () => {
    expect(caught(500, (seed) => runAnd({ ...draw(seed), grantsBlocked: true }))).toBeGreaterThan(
      10,
    );
  });

  test("a probe follows a request that was granted", () => {
    const spoil = ({ state }: ChandyMisraHaasAnd) => void state.granted.fill(0);
    expect(caught(500, (seed) => runAnd({ ...draw(seed), spoil }))).toBeGreaterThan(10);
  });

  test("a message overtakes a reply", () => {
    expect(caught(2_000, (seed) => runOr({ ...draw(seed), fifo: false }))).toBeGreaterThan(10);
  });

  test("a process that went on replies as if it had not", () => {
    const waited = new WeakMap<ChandyMisraHaasOr, readonly number[]>();
    const spoil = (machine: ChandyMisraHaasOr): void => {
      const { state } = machine;
      state.waits ??= waited.get(machine) ?? null;
      if (state.waits) waited.set(machine, state.waits);
      for (const one of state.computations) one.open = one.number > 0;
    };
    expect(caught(500, (seed) => runOr({ ...draw(seed), spoil }))).toBeGreaterThan(10);
  });
});

describe("in whole processes that die and come back", () => {
  /** 1 if somebody has found something in the end. */
  function runTold<M, State>(
    world: World<M, State>,
    seed: number,
    isTold: (state: State) => boolean,
  ): number {
    let told = 0;
    const look = (view: View<M, State, never>): true => {
      const isOne = world.processes.some((id) => isTold(view.state(id) as State));
      told = isOne ? 1 : 0;
      return true;
    };
    const faults = deadly(seed, seed % 2 === 0 ? 0.5 : 0);
    runInEpochs({ ...world, eventually: { ...world.eventually, look } }, { seed, faults });
    return told;
  }

  test("a circle of those that wait for all is found", { timeout: 7_200_000 }, () => {
    let deadlocks = 0;
    for (const seed of seeds("direct-worlds", 12, 5_000))
      deadlocks += runTold(askingWorld(seed), seed, ({ circle }) => circle !== null);
    expect(deadlocks).toBeGreaterThan(3);
  });

  test("that none of those that wait for any will go on is found", { timeout: 7_200_000 }, () => {
    let deadlocks = 0;
    for (const seed of seeds("direct-worlds", 12, 5_000))
      deadlocks += runTold(receivingWorld(seed), seed, ({ found }) => found !== null);
    expect(deadlocks).toBeGreaterThan(3);
  });
});

describe("what a peer sends", () => {
  const id = fc.constantFrom("a", "b", "c", "x", "__proto__");
  const few = fc.integer({ min: -1, max: 3 });
  const anything = fc.oneof(
    fc.anything({
      withBigInt: true,
      withMap: true,
      withNullPrototype: true,
      withSparseArray: true,
    }),
    fc.record({ number: few, request: few, path: fc.array(id) }, { requiredKeys: [] }),
    fc.record(
      {
        type: fc.constantFrom("query", "reply", "x"),
        initiator: id,
        number: few,
        blocked: fc.array(id),
      },
      { requiredKeys: [] },
    ),
  );

  test("never makes a machine throw, and nothing of a stranger makes it claim anything", () => {
    const strangers = fc.constantFrom("a", "x", "", "__proto__", "constructor");
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.oneof(id, strangers), anything)), (came) => {
        const ids = ["a", "b", "c"];
        const [and, or] = [new ChandyMisraHaasAnd("a", ids), new ChandyMisraHaasOr("a", ids)];
        for (const of of ["b", "c"]) and.step({ type: "asks", of });
        and.step({ type: "asked", by: "b" });
        or.step({ type: "waits", for: ["b", "c"] });
        for (const machine of [and, or]) {
          machine.step({ type: "check" });
          for (const [from, message] of came) {
            const effects = machine.step({ type: "control", from, message });
            if (["b", "c"].includes(from)) continue;
            expect(effects).toMatchObject([{ type: "irregular" }]);
          }
          expect(JSON.stringify(machine.state).length).toBeLessThan(1_000);
        }
      }),
      { numRuns: cases("direct-deadlock", 500, 100_000) },
    );
  });

  test("what is granted without a request is irregular, and changes nothing", () => {
    const machine = new ChandyMisraHaasAnd("a", ["a", "b"]);
    expect(machine.step({ type: "got", from: "b" })).toMatchObject([{ type: "irregular" }]);
    expect(machine.step({ type: "grants", to: "b" })).toMatchObject([{ type: "irregular" }]);
    expect(machine.step({ type: "asks", of: "a" })).toMatchObject([{ type: "irregular" }]);
    expect(machine.isBlocked).toBe(false);
  });

  test("nothing is claimed of who waits for somebody outside", () => {
    const machine = new ChandyMisraHaasOr("a", ["a", "b"]);
    const waiting = machine.step({ type: "waits", for: ["b", "elsewhere"] });
    expect(waiting).toMatchObject([{ type: "irregular" }]);
    expect(machine.step({ type: "check" })).toEqual([]);
  });

  test("a query that is repeated is no other one: it gets no reply before there is one", () => {
    const machine = new ChandyMisraHaasOr("b", ["a", "b", "c"]);
    machine.step({ type: "waits", for: ["c"] });
    const query = { type: "query", initiator: "a", number: 1, blocked: [] };
    const asked = machine.step({ type: "control", from: "a", message: query });
    expect(asked).toEqual([{ type: "control", to: "c", message: query }]);
    expect(machine.step({ type: "control", from: "a", message: query })).toEqual([]);
    // From another one, along another wait.
    const other = machine.step({ type: "control", from: "c", message: query });
    expect(other).toEqual([{ type: "control", to: "c", message: { ...query, type: "reply" } }]);
  });

  test("who waits for nobody is deadlocked, and who waits for it is, too", () => {
    const [a, b] = [new ChandyMisraHaasOr("a", ["a", "b"]), new ChandyMisraHaasOr("b", ["a", "b"])];
    a.step({ type: "waits", for: [] });
    expect(a.step({ type: "check" })).toEqual([{ type: "deadlocked", with: ["a"] }]);
    b.step({ type: "waits", for: ["a", "a"] });
    const [query] = b.step({ type: "check" });
    const [reply] = query?.type === "control" ? a.step({ ...query, from: "b" }) : [];
    expect(reply?.type === "control" && b.step({ ...reply, from: "a" })).toEqual([
      { type: "deadlocked", with: ["a", "b"] },
    ]);
  });
});
