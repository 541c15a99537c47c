// Objects that refer to each other through processes, in simulated worlds with faults: what nobody can reach is found, and nothing else.
import { expect, test } from "vitest";
import { detectGarbage, type GlobalState } from "../../src/detect.ts";
import { Violation } from "../../src/sim.ts";
import { deadly } from "../sim/keepers.ts";
import { seeds } from "../support/soak.ts";
import { firstWrong, runTrial, runTrials, type TrialReport } from "./support/omniscient.ts";
import { type Owned, owners, type Passing, unreachable } from "./support/owners.ts";

type Detect = (state: GlobalState<Owned, Passing>) => ReturnType<typeof detectGarbage>;

function run(
  seed: number,
  detect: Detect,
  see: (
    verdict: ReturnType<typeof detectGarbage>,
    state: GlobalState<Owned, Passing>,
  ) => void = () => {},
): TrialReport {
  return runTrial<Passing, Owned>({
    ...{ world: owners(seed), seed, faults: deadly(seed, 0), facts: unreachable },
    found(state) {
      const verdict = detect(state);
      if (verdict.detected === null) throw new Violation("unknown", verdict.reason);
      see(verdict, state);
      return verdict.evidence.objects.map(({ object }) => object);
    },
  });
}

test("what nobody can reach is found, and nothing else", { timeout: 86_400_000 }, () => {
  const seen = { cycles: 0, through3: 0, onTheWay: 0, keptInFlight: 0 };
  const { many, snapshots, found, due } = runTrials(seeds("detect-garbage", 60, 100_000), (seed) =>
    run(seed, detectGarbage, (verdict, state) => {
      if (verdict.detected === null) return;
      const { objects, cycles } = verdict.evidence;
      const at = new Map(objects.map((one) => [one.object, "process" in one ? one.process : "-"]));
      seen.cycles += cycles.length;
      seen.onTheWay += [...at.values()].filter((place) => place === "-").length;
      for (const cycle of cycles)
        if (new Set(cycle.map((name) => at.get(name))).size >= 3) seen.through3 += 1;
      const blind = detectGarbage({ ...state, messages: [] });
      const inFlight = blind.detected === null ? 0 : blind.evidence.objects.length;
      if (inFlight > objects.length) seen.keptInFlight += 1;
    }),
  );
  expect(snapshots).toBeGreaterThan(4 * many);
  expect(found).toBeGreaterThan(3 * many);
  expect(due).toBeGreaterThan(10 * many);
  for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(0);
});

test("without the references in flight, objects would be taken for garbage that somebody has", () => {
  const blind: Detect = (state) => detectGarbage({ ...state, messages: [] });
  expect(firstWrong(200, (seed) => run(seed, blind))).toBeDefined();
});
