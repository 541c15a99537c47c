// Money and a token, on channels and in groups, in simulated worlds with faults: what is lost or doubled is found, and nothing else is.
import { expect, test } from "vitest";
import { detectSum, detectToken, type GlobalState } from "../../src/detect.ts";
import type { GroupedState } from "../../src/process/grouped.ts";
import { Violation } from "../../src/sim.ts";
import { deadly } from "../sim/keepers.ts";
import { seeds } from "../support/soak.ts";
import { firstWrong, runTrial, runTrials, type TrialReport } from "./support/omniscient.ts";
import { burntBy, MONEY, mistaken, type Vault, vaults } from "./support/vaults.ts";

type See = (state: GlobalState) => void;

function run(
  seed: number,
  seen: (state: GlobalState) => GlobalState,
  see: See = () => {},
): TrialReport {
  const world = vaults(seed);
  const expected = MONEY * world.processes.length;
  return runTrial<Uint8Array, GroupedState<Vault>>({
    ...{ world, seed, faults: deadly(seed, 0), facts: mistaken },
    found(whole) {
      const state = seen(whole);
      see(state);
      const money = detectSum(state, "money", expected);
      const lock = detectToken(state, "lock");
      for (const verdict of [money, lock])
        if (verdict.detected === null) throw new Violation("unknown", verdict.reason);
      const found = [...(money.detected ? ["money"] : []), ...(lock.detected ? ["lock"] : [])];
      const burnt = burntBy(state.processes.map((one) => one.state as Vault));
      if (money.detected !== null && money.evidence.sum !== expected - burnt)
        throw new Violation("detected", `${money.sentence}, and ${burnt} were burnt`);
      return found;
    },
  });
}

const asItIs = (state: GlobalState): GlobalState => state;

test("what is lost or doubled is found, and nothing else", { timeout: 86_400_000 }, () => {
  const seen = { right: 0, direct: 0, inGroups: 0, lockInFlight: 0 };
  const { many, snapshots, found, due } = runTrials(seeds("detect-sums", 40, 100_000), (seed) =>
    run(seed, asItIs, ({ messages }) => {
      seen.right += 1;
      for (const { group, goods } of messages) {
        seen[group === undefined ? "direct" : "inGroups"] += 1;
        if (goods?.["lock"] === 1) seen.lockInFlight += 1;
      }
    }),
  );
  expect(snapshots).toBeGreaterThan(3 * many);
  expect(found).toBeGreaterThan(many / 3);
  expect(due).toBeGreaterThan(many);
  for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(many / 4);
});

const blind = {
  "the messages in flight": () => false,
  "what is under way in groups": ({ group }) => group === undefined,
  "what is on channels": ({ group }) => group !== undefined,
} satisfies Record<string, (message: GlobalState["messages"][number]) => boolean>;

test.each(Object.entries(blind))("without %s, something would be taken for lost", (_, counts) => {
  const seen = (state: GlobalState): GlobalState => ({
    ...state,
    messages: state.messages.filter(counts),
  });
  expect(firstWrong(200, (seed) => run(seed, seen))).toBeDefined();
});

test("with a message of a group counted twice, there would be too much", () => {
  const seen = (state: GlobalState): GlobalState => ({
    ...state,
    messages: [...state.messages, ...state.messages.filter(({ group }) => group !== undefined)],
  });
  expect(firstWrong(200, (seed) => run(seed, seen))).toBeDefined();
});
