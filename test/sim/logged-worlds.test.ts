// Processes that log their inputs: they die between any two things that they do, and nothing is lost, and nothing happens twice.
import { describe, expect, test } from "vitest";
import type { GroupedState } from "../../src/process/grouped.ts";
import { runWorld, type View } from "../../src/sim.ts";
import { checkHistory, drawSpaceTime, History } from "../../src/trace.ts";
import { historyOf, type Seen, talkWorld } from "../multicast/support/world.ts";
import { seeds } from "../support/soak.ts";
import { type Coins, deadly, deposited, keepers, type States } from "./keepers.ts";

describe("who logs its inputs", () => {
  test("loses nothing, and does nothing twice, wherever it dies", { timeout: 7_200_000 }, () => {
    let acknowledged = 0;
    for (const seed of seeds("logged-worlds", 150, 100_000)) {
      const world = keepers(seed);
      let last: View<Coins, States, number> | undefined;
      const eventually = {
        ...world.eventually,
        "what was acknowledged is there, once": (view: View<Coins, States, number>) => {
          last = view;
          return deposited(view);
        },
      };
      runWorld({ ...world, eventually }, { seed, faults: deadly(seed, 0) });
      acknowledged += last?.replies.filter((one) => one !== undefined).length ?? 0;
    }
    expect(acknowledged).toBeGreaterThan(1000);
  });

  test("goes back to a snapshot with all others, in a new epoch", { timeout: 7_200_000 }, () => {
    for (const seed of seeds("restored-worlds", 120, 50_000))
      runWorld(keepers(seed), { seed, faults: deadly(seed, 0.7) });
  });

  test.each([
    ["by their members", undefined, () => seeds("logged-groups", 100, 20_000)],
    ["by a log", "log", () => seeds("logged-groups-log", 100, 100_000)],
  ] as const)(
    "in groups with an order %s: every promise is kept",
    { timeout: 7_200_000 },
    (_, total, all) => {
      for (const seed of all()) {
        const { world, setup } = talkWorld(seed, "goes on", total);
        const { members } = setup;
        const eventually = {
          "every promise is kept": (view: View<Uint8Array, GroupedState<Seen>, never>) => {
            const history = new History();
            history.add({ type: "group", group: "g", members });
            const states = members.map(
              (id) => [id, (view.state(id) as { readonly state: Seen }).state] as const,
            );
            for (const line of historyOf(new Map(states))) history.add(line);
            const [broken] = checkHistory(history).filter(({ holds }) => holds === false);
            if (broken?.holds !== false) return true;
            return `${broken.reason}\n${drawSpaceTime(broken.witness)}`;
          },
        };
        const faults = deadly(seed, seed % 2 === 0 ? 0.5 : 0);
        runWorld({ ...world, logsInputs: true, eventually }, { seed, faults });
      }
    },
  );
});
