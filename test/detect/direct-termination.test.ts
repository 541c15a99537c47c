// Safra's ring (EWD 998) and Dijkstra and Scholten's signals: the end of a computation is never claimed too soon, and claimed within what
// the papers say, in whatever order messages come; and what follows if a rule of them is left out.
import fc from "fast-check";
import { DijkstraScholten, detectSum, globalState, Safra, Terminating } from "tidemark/detect";
import { describe, expect, test } from "vitest";
import { drawFaults, NO_FAULTS, runWorld } from "../../src/sim.ts";
import { deadly } from "../sim/keepers.ts";
import { cases, seeds } from "../support/soak.ts";
import { type ComputationOptions, runComputation } from "./support/computation.ts";
import { runInEpochs, terminatingWorld } from "./support/direct-worlds.ts";
import { ADVERSARIAL } from "./support/network.ts";

const draw = (seed: number, more: Partial<ComputationOptions> = {}): ComputationOptions => ({
  ...{ seed, fifo: seed % 3 === 0, slowest: ADVERSARIAL, repeat: [0, 0.2][seed % 2] as number },
  ...{ algorithm: "safra", shape: seed % 2 === 0 ? "ring" : "mesh", processes: 1 + (seed % 7) },
  ...{ messages: (seed * 7) % 40, busy: 0.3 + (seed % 5) / 10, begins: "some", garbage: seed % 6 },
  ...more,
});

describe("Safra's ring", () => {
  test("claims nothing too soon, and the end at the latest two rounds after the one in which it came", {
    timeout: 7_200_000,
  }, () => {
    let [late, irregular] = [0, 0];
    for (const seed of seeds("direct-termination", 500, 100_000)) {
      const options = draw(seed);
      const counts = runComputation(options);
      expect(counts.roundsAfter, `${seed}`).toBeLessThanOrEqual(2);
      // The rest of the round under way, and two more; messages that are repeated are no more messages.
      expect(counts.after, `${seed}`).toBeLessThan(3 * options.processes);
      expect(counts.irregular, `${seed}`).toBe(options.garbage);
      if (counts.roundsAfter === 2) late += 1;
      irregular += counts.irregular;
    }
    expect(late).toBeGreaterThan(100);
    expect(irregular).toBeGreaterThan(1000);
  });

  test("claims, if work comes from outside, that there was a cut at which all was quiet", () => {
    for (const seed of seeds("direct-outside", 500, 20_000))
      runComputation(draw(seed, { outside: seed % 5 }));
  });
});

describe("Dijkstra and Scholten's signals", () => {
  test("are as many as messages, and the last one tells the root that all is over", {
    timeout: 7_200_000,
  }, () => {
    for (const seed of seeds("direct-termination", 500, 100_000)) {
      const options = draw(seed, { algorithm: "dijkstra-scholten", begins: "first" });
      const counts = runComputation(options);
      expect(counts.control, `${seed}`).toBe(counts.messages);
      // One of each that is in the tree.
      expect(counts.after, `${seed}`).toBeLessThan(options.processes);
      expect(counts.irregular, `${seed}`).toBe(options.garbage);
    }
  });
});

describe("global snapshots, one after the other", () => {
  test("find the end at the latest by the next one, with a marker for each channel", () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const plain = { algorithm: "snapshots", fifo: true, repeat: 0, garbage: 0 } as const;
      const { rounds, roundsAfter, control } = runComputation(draw(seed, plain));
      const n = 1 + (seed % 7);
      const channels = seed % 2 === 0 ? Math.min(2 * n, n * (n - 1)) : n * (n - 1);
      expect(roundsAfter, `${seed}`).toBeLessThanOrEqual(1);
      expect(control, `${seed}`).toBe(rounds * channels);
    }
  });
});

/** How many of these runs find the mistake. */
function caught(count: number, options: (seed: number) => ComputationOptions): number {
  let found = 0;
  for (let seed = 1; seed <= count; seed += 1)
    try {
      runComputation(options(seed));
    } catch (thrown) {
      expect(String(thrown)).toMatch(/seed \d+/);
      if (/and yet|was active|was not empty/.test(String(thrown))) found += 1;
    }
  return found;
}

describe("a planted mistake is found", () => {
  const busy = { processes: 5, messages: 30, garbage: 0 } as const;
  const spoilSafra = (spoil: (machine: Safra) => void) => (seed: number) =>
    draw(seed, { ...busy, spoil: (machine) => machine instanceof Safra && spoil(machine) });
  const spoilTree = (spoil: (machine: DijkstraScholten) => void) => (seed: number) =>
    draw(seed, {
      ...{ ...busy, algorithm: "dijkstra-scholten", begins: "first" },
      spoil: (machine) => machine instanceof DijkstraScholten && spoil(machine),
    });

  test("nobody becomes black", () => {
    const mistake = spoilSafra(({ state }) => {
      state.black = false;
    });
    expect(caught(2_000, mistake)).toBeGreaterThan(5);
  });

  test("messages in flight are not counted", () => {
    const mistake = spoilSafra(({ state }) => {
      state.count = 0;
    });
    expect(caught(500, mistake)).toBeGreaterThan(50);
  });

  test("a process does not wait for those that it sent messages to", () => {
    expect(
      caught(
        500,
        spoilTree(({ state }) => state.sent.fill(0)),
      ),
    ).toBeGreaterThan(50);
  });

  test("every signal counts one more", () => {
    const mistake = (seed: number): ComputationOptions => ({
      ...spoilTree(({ state }) => {
        // As if what was answered before were forgotten: a signal that is repeated answers once more.
        for (const [to, answered] of state.answered.entries()) {
          state.sent[to] = (state.sent[to] ?? 0) - answered;
          state.answered[to] = 0;
        }
      })(seed),
      repeat: 0.3,
    });
    expect(caught(500, mistake)).toBeGreaterThan(5);
  });
});

describe("in whole processes", () => {
  test("under faults all are told, once, when all is over", { timeout: 7_200_000 }, () => {
    for (const seed of seeds("direct-worlds", 12, 5_000))
      runWorld(terminatingWorld(seed, false), {
        seed,
        faults: { ...drawFaults(seed), crashes: 0 },
      });
  });

  test("also if they die and come back, and are restored", { timeout: 7_200_000 }, () => {
    for (const seed of seeds("direct-worlds", 12, 5_000))
      runInEpochs(terminatingWorld(seed, true), {
        seed,
        faults: deadly(seed, seed % 2 === 0 ? 0.5 : 0),
      });
  });
});

describe("an application that forgets what it has to do", () => {
  test("is told too soon, which is found", () => {
    let found = 0;
    for (let seed = 1; seed <= 30; seed += 1)
      try {
        runWorld(terminatingWorld(seed, false, true), { seed, faults: NO_FAULTS });
      } catch (thrown) {
        expect(String(thrown)).toMatch(/is busy|work is in flight|everybody is told/);
        found += 1;
      }
    expect(found).toBeGreaterThan(3);
  });
});

describe("what an application declares", () => {
  const application = {
    goods: (message?: number) => ({ coins: message ?? 7 }),
    isPassive: () => true,
    waits: () => [{ for: ["b"] }],
    grants: (message: number) => message > 1,
    capture: () => null,
    restore: () => {},
  };
  const processes = ["a", "b"];
  const wrapped = () =>
    new Terminating<number, null, never, never>({ self: "a", processes, application });

  test("is declared by what is around it, also of messages", () => {
    const messages = [{ message: 3 }, { token: { round: 1, sum: 0, black: false } }];
    const states = { a: wrapped().capture(), b: wrapped().capture() };
    const inFlight = [{ from: "a", to: "b", messages }];
    const state = globalState({ application: wrapped, states, inFlight });
    expect(detectSum(state, "coins", 17)).toMatchObject({ detected: false });
    expect(state.processes[0]).toMatchObject({ isPassive: true, waits: [{ for: ["b"] }] });
    expect(state.messages.map(({ grants }) => grants)).toEqual([true, false]);
    // The application says nothing of messages.
    expect(state.messages.map(({ isPassive }) => isPassive)).toEqual([undefined, undefined]);
    expect(state.problems).toEqual([]);
  });
});

describe("what a peer sends", () => {
  const anything = fc.oneof(
    fc.anything({
      withBigInt: true,
      withMap: true,
      withNullPrototype: true,
      withSparseArray: true,
    }),
    fc.record({ round: fc.integer(), sum: fc.double(), black: fc.boolean() }, { requiredKeys: [] }),
    fc.record({ answered: fc.oneof(fc.integer(), fc.anything()) }),
  );

  test("never makes a machine throw, and never a stranger's or a malformed one a claim", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("a", "b", "c", "x", "", "__proto__"),
        anything,
        (from, message) => {
          const ids = ["a", "b", "c"];
          const safra = new Safra("a", ["a", "b", "c"]);
          safra.step({ type: "sent" });
          safra.step({ type: "probe" });
          const root = new DijkstraScholten("a", ids, "a");
          for (const type of ["active", "passive"] as const)
            if (type === "active") root.step({ type });
          root.step({ type: "sent", to: "b" });
          root.step({ type: "sent", to: "c" });
          root.step({ type: "passive" });
          for (const machine of [safra, root])
            for (const effect of machine.step({ type: "control", from, message }))
              expect(effect.type).not.toBe("terminated");
        },
      ),
      { numRuns: cases("direct-termination", 500, 100_000) },
    );
  });

  test("a process that lost its state is never taken for one that has nothing to do", () => {
    const [a, b] = [new Safra("a", ["a", "b"]), new Safra("b", ["a", "b"])];
    b.step({ type: "lost" });
    for (let round = 1; round < 5; round += 1) {
      const [token] = a.step({ type: "probe" });
      const [back] = token?.type === "control" ? b.step({ ...token, from: "a" }) : [];
      const [told] = back?.type === "control" ? a.step({ ...back, from: "b" }) : [];
      expect(told).toEqual({ type: "unfinished", round });
    }
  });

  test("who is no process of the system cannot take part", () => {
    expect(() => new Safra("x", ["a", "b"])).toThrow("x is not among the processes a, b");
    expect(() => new Safra("a", ["a", "a"])).toThrow("listed twice");
    expect(() => new DijkstraScholten("a", ["a", "b"], "x")).toThrow("x is not among");
  });

  test("work that the root did not begin is irregular", () => {
    const leaf = new DijkstraScholten("b", ["a", "b"], "a");
    const reason = "there is work here that is none of what a began";
    expect(leaf.step({ type: "active" })).toEqual([{ type: "irregular", reason }]);
    expect(leaf.step({ type: "sent", to: "a" })).toMatchObject([{ type: "irregular" }]);
    expect(leaf.step({ type: "received", from: "x" })).toMatchObject([{ type: "irregular" }]);
  });
});
