/** The simulator and the search, each in one thread: how much of a world passes in a second. */

import { defineWorld, drawFaults, explore, runWorld, Simulation } from "tidemark/sim";
import { purseWorld } from "../test/sim/purses.ts";
import { median, type Result } from "./result.ts";

const ROUNDS = 5;
const PROCESSES = ["p1", "p2", "p3", "p4"];

const VIRTUAL_MS = 60_000;
const SEEDS = 200;

/** Everybody has a message under way to everybody, and answers each. */
const answering = defineWorld<number, number>({
  processes: PROCESSES,
  application: () => {
    let count = 0;
    return {
      start: (turn) => void turn.send(turn.peers, 0),
      receive: (from, message, turn) => {
        count += 1;
        turn.send(from, message + 1);
      },
      capture: () => count,
      restore(state) {
        count = state;
      },
    };
  },
});

/** Three processes that are told twice each to send to both others, and one snapshot. */
const telling = defineWorld<"told", number, "tell">({
  processes: ["p1", "p2", "p3"],
  application: () => {
    let heard = 0;
    return {
      request: (_id, _what, turn) => void turn.send(turn.peers, "told"),
      receive() {
        heard += 1;
      },
      capture: () => heard,
      restore(state) {
        heard = state;
      },
    };
  },
  requests: ["p1", "p2", "p3", "p1", "p2", "p3"].map((of) => ({ of, request: "tell" as const })),
  snapshots: ["p1"],
});

export async function* sim(): AsyncGenerator<Result> {
  const rates = (round: (seed: number) => number): number => {
    const all: number[] = [];
    for (let seed = 0; seed < ROUNDS; seed += 1) {
      const startMs = performance.now();
      all.push((round(seed) / (performance.now() - startMs)) * 1000);
    }
    return median(all);
  };
  yield {
    ...{ bench: "sim", case: "4 processes answer each other, no faults", unit: "events/s" },
    value: rates((seed) => {
      const simulation = new Simulation(answering, { seed });
      simulation.runFor(VIRTUAL_MS);
      return simulation.events;
    }),
  };
  yield {
    ...{ bench: "sim", case: "purses and snapshots, the default faults", unit: "events/s" },
    value: rates((round) => {
      let events = 0;
      for (let seed = round * SEEDS; seed < (round + 1) * SEEDS; seed += 1)
        events += runWorld(purseWorld(seed), { seed, faults: drawFaults(seed) }).events;
      return events;
    }),
  };
  yield {
    ...{ bench: "sim", case: "explore: 3 processes and a snapshot", unit: "states/s" },
    value: rates(() => explore(telling).states),
  };
}
