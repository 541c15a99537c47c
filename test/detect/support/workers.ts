/** A world for tests: processes that do jobs, which lead to other jobs, and send each other signs of life meanwhile. */

import type { ProcessId } from "../../../src/core/id.ts";
import { Random } from "../../../src/core/random.ts";
import type { Application, Turn } from "../../../src/process/application.ts";
import { defineWorld, type View, type World } from "../../../src/sim.ts";

/** A job leads to others, so many times in a row. */
export type Work = { readonly type: "job"; readonly depth: number } | { readonly type: "beat" };

export interface Jobs {
  readonly done: number;
  readonly jobs: readonly number[];
  readonly beats: number;
}

class Worker implements Application<Work, Jobs> {
  readonly #spread: number;
  #state: Jobs;

  constructor(first: number, spread: number) {
    this.#spread = spread;
    this.#state = { done: 0, jobs: first > 0 ? [first] : [], beats: 0 };
  }

  start(turn: Turn<Work>): void {
    turn.setTimer("beat", turn.random.below(10));
    if (this.#state.jobs.length > 0) turn.setTimer("work", turn.random.below(10));
  }

  timer(name: string, turn: Turn<Work>): void {
    const { done, jobs, beats } = this.#state;
    if (name === "beat") {
      this.#state = { ...this.#state, beats: beats + 1 };
      turn.send(turn.peers, { type: "beat" });
      if (beats < 15) turn.setTimer("beat", turn.random.between(5, 60));
      return;
    }
    const [depth = 0, ...rest] = jobs;
    this.#state = { done: done + 1, jobs: rest, beats };
    if (depth > 1)
      for (const peer of turn.peers)
        if (turn.random.chance(this.#spread)) turn.send(peer, { type: "job", depth: depth - 1 });
    if (rest.length > 0) turn.setTimer("work", turn.random.below(20));
  }

  receive(_from: ProcessId, message: Work, turn: Turn<Work>): void {
    if (message.type === "beat") return;
    const { jobs } = this.#state;
    this.#state = { ...this.#state, jobs: [...jobs, message.depth] };
    if (jobs.length === 0) turn.setTimer("work", turn.random.below(20));
  }

  capture(): Jobs {
    return this.#state;
  }

  restore(state: Jobs): void {
    this.#state = state;
  }

  isPassive(message?: Work): boolean {
    return message ? message.type === "beat" : this.#state.jobs.length === 0;
  }
}

/** Two to five of them, by the seed; the first begins. */
export function workers(seed: number): World<Work, Jobs, never, never> {
  const random = new Random(`workers ${seed}`);
  const processes = Array.from({ length: random.between(2, 5) }, (_, i) => `p${i + 1}`);
  const depth = random.between(1, 12);
  const spread = Math.min(1, (random.fraction() + 0.4) / (processes.length - 1));
  return defineWorld<Work, Jobs, never, never>({
    processes,
    order: random.chance(0.2) ? "none" : "fifo",
    application: (id) => new Worker(id === "p1" ? depth : 0, spread),
    logsInputs: true,
    snapshots: Array.from({ length: 8 }, () => random.pick(processes) as ProcessId),
  });
}

/** That all is done, if it is, and how much that was. */
export function terminated(view: View<Work, Jobs, never>): readonly string[] {
  const states = view.up.map((id) => view.state(id) as Jobs);
  const busy = states.some(({ jobs }) => jobs.length > 0);
  if (busy || view.allInFlight().some(({ type }) => type === "job")) return [];
  return [`terminated@${doneBy(states)}`];
}

export const doneBy = (states: readonly Jobs[]): number =>
  states.reduce((sum, { done }) => sum + done, 0);
