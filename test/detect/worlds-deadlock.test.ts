// Who waits for whom, in simulated worlds with faults: who is blocked for ever is found, and nobody else is.
import { expect, test } from "vitest";
import { type DeadlockEvidence, detectDeadlock, type GlobalState } from "../../src/detect.ts";
import { Violation } from "../../src/sim.ts";
import { deadly } from "../sim/keepers.ts";
import { seeds } from "../support/soak.ts";
import { type Asker, type Asking, askers, blocked } from "./support/askers.ts";
import { firstWrong, runTrial, runTrials, type TrialReport } from "./support/omniscient.ts";

type Detect = (state: GlobalState<Asker, Asking>) => ReturnType<typeof detectDeadlock>;

/** Runs one world; `see` sees what each verdict rests on. */
function run(
  seed: number,
  detect: Detect,
  see: (evidence: DeadlockEvidence, processes: number) => void = () => {},
): TrialReport {
  const world = askers(seed);
  const faults = deadly(seed, 0);
  return runTrial<Asking, Asker>({
    ...{ world, seed, faults, facts: blocked },
    found(state) {
      const verdict = detect(state);
      if (verdict.detected === null) throw new Violation("unknown", verdict.reason);
      const { knots, behind } = verdict.evidence;
      see(verdict.evidence, world.processes.length);
      const steps = new Map(state.processes.map((one) => [one.process, one.state.steps]));
      return [...knots.flat(), ...behind].map(({ who }) => `${who}@${steps.get(who)}`);
    },
  });
}

test("who waits for ever is found, and nobody else", { timeout: 86_400_000 }, () => {
  const seen = { nobody: 0, all: 0, part: 0, behind: 0, or: 0, kOfN: 0, and: 0 };
  const { many, snapshots, found, due } = runTrials(seeds("detect-deadlock", 60, 100_000), (seed) =>
    run(seed, detectDeadlock, ({ knots, behind }, processes) => {
      const stuck = knots.flat().length + behind.length;
      seen[stuck === 0 ? "nobody" : stuck === processes ? "all" : "part"] += 1;
      seen.behind += behind.length;
      for (const { for: names, need } of knots.flat().flatMap(({ waits }) => waits))
        if (names.length > 1) seen[need === 1 ? "or" : need < names.length ? "kOfN" : "and"] += 1;
    }),
  );
  expect(snapshots).toBeGreaterThan(4 * many);
  expect(found).toBeGreaterThan(many);
  expect(due).toBeGreaterThan(5 * many);
  for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(0);
});

test("without the messages in flight, somebody would be taken for blocked who is not", () => {
  const blind: Detect = (state) => detectDeadlock({ ...state, messages: [] });
  expect(firstWrong(200, (seed) => run(seed, blind))).toBeDefined();
});

test("with the states of different moments, somebody would be taken for blocked who is not", () => {
  let before: GlobalState<Asker, Asking>["processes"] = [];
  // Half of the processes are as they were in the snapshot before.
  const mixed: Detect = (state) => {
    const processes = state.processes.map((one, i) => (i % 2 === 0 ? one : (before[i] ?? one)));
    before = state.processes;
    return detectDeadlock({ ...state, processes });
  };
  const fresh = (seed: number): TrialReport => {
    before = [];
    return run(seed, mixed);
  };
  expect(firstWrong(200, fresh)).toBeDefined();
});

test("with what was recorded in the snapshot before, who waits for ever would be found too late", () => {
  let before: GlobalState<Asker, Asking> | undefined;
  const late: Detect = (state) => {
    const verdict = detectDeadlock(before ?? { ...state, processes: [] });
    before = state;
    return verdict;
  };
  const fresh = (seed: number): TrialReport => {
    before = undefined;
    return run(seed, late);
  };
  expect(firstWrong(200, fresh, "undetected")).toBeDefined();
});
