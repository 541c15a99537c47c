// Jobs that lead to jobs, in simulated worlds with faults: that all is done is found, and not before.
import { expect, test } from "vitest";
import { detectTermination, type GlobalState } from "../../src/detect.ts";
import { Violation } from "../../src/sim.ts";
import { deadly } from "../sim/keepers.ts";
import { seeds } from "../support/soak.ts";
import { firstWrong, runTrial, runTrials, type TrialReport } from "./support/omniscient.ts";
import { doneBy, type Jobs, terminated, type Work, workers } from "./support/workers.ts";

type Verdict = ReturnType<typeof detectTermination>;
type Detect = (state: GlobalState<Jobs, Work>) => Verdict;

function run(
  seed: number,
  detect: Detect,
  see: (verdict: Verdict, state: GlobalState<Jobs, Work>) => void = () => {},
): TrialReport {
  return runTrial<Work, Jobs>({
    ...{ world: workers(seed), seed, faults: deadly(seed, 0), facts: terminated },
    found(state) {
      const verdict = detect(state);
      if (verdict.detected === null) throw new Violation("unknown", verdict.reason);
      see(verdict, state);
      return verdict.detected
        ? [`terminated@${doneBy(state.processes.map((one) => one.state))}`]
        : [];
    },
  });
}

test("that all is done is found, and not before", { timeout: 86_400_000 }, () => {
  const seen = { running: 0, onlyInFlight: 0, beatsInFlight: 0 };
  const { many, snapshots, found, due } = runTrials(
    seeds("detect-termination", 60, 100_000),
    (seed) =>
      run(seed, detectTermination, (verdict, { messages }) => {
        if (verdict.detected === null) return;
        const { active, work } = verdict.evidence;
        if (verdict.detected && messages.length > 0) seen.beatsInFlight += 1;
        if (active.length > 0) seen.running += 1;
        else if (work.length > 0) seen.onlyInFlight += 1;
      }),
  );
  expect(snapshots).toBeGreaterThan(4 * many);
  // Of a few the last snapshot comes before the last job.
  expect(found).toBeGreaterThan(0.9 * many);
  expect(due).toBeGreaterThan(2 * many);
  for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(0);
});

test("without the work in flight, what goes on would be taken for done", () => {
  const blind: Detect = (state) => detectTermination({ ...state, messages: [] });
  expect(firstWrong(200, (seed) => run(seed, blind))).toBeDefined();
});
