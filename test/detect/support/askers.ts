/** A world for tests: processes that ask several others at a time, and go on when one, some or all of them have granted it. */

import type { ProcessId } from "../../../src/core/id.ts";
import { Random } from "../../../src/core/random.ts";
import type { Wait } from "../../../src/detect.ts";
import type { Application, Turn } from "../../../src/process/application.ts";
import { defineWorld, type View, type World } from "../../../src/sim.ts";

export type Asking = { readonly type: "ask" | "grant"; readonly number: number };

interface Owed {
  readonly to: ProcessId;
  readonly number: number;
}

export interface Asker {
  /** What it has done. */
  readonly steps: number;
  readonly budget: number;
  readonly owed: readonly Owed[];
  /** What it waits for now: so many of those. */
  readonly wait: {
    readonly number: number;
    readonly for: readonly ProcessId[];
    readonly need: number;
  } | null;
}

/** How often they get into each other's way. */
interface Manner {
  readonly budget: number;
  /** How long nothing is asked, at the most. */
  readonly thinkMs: number;
  /** Probability that somebody is asked. */
  readonly asks: number;
  /** Probability that what is asked is granted at once, by who does not wait. */
  readonly grants: number;
}

class AskerApplication implements Application<Asking, Asker> {
  readonly #manner: Manner;
  #state: Asker;

  constructor(manner: Manner) {
    this.#manner = manner;
    this.#state = { steps: 0, budget: manner.budget, owed: [], wait: null };
  }

  start(turn: Turn<Asking>): void {
    turn.setTimer("ask", turn.random.below(this.#manner.thinkMs));
  }

  timer(_name: string, turn: Turn<Asking>): void {
    const { steps, budget, wait } = this.#state;
    const { thinkMs, asks, grants } = this.#manner;
    if (wait) return;
    this.#grant(turn, budget === 0 ? 1 : grants);
    if (budget === 0) return;
    const others = turn.peers.filter(() => turn.random.chance(asks));
    if (others.length === 0) {
      turn.setTimer("ask", turn.random.below(thinkMs));
      return;
    }
    const number = steps + 1;
    const need = turn.random.pick([
      1,
      others.length,
      turn.random.between(1, others.length),
    ]) as number;
    this.#set({ steps: number, budget: budget - 1, wait: { number, for: others, need } });
    turn.send(others, { type: "ask", number });
  }

  receive(from: ProcessId, { type, number }: Asking, turn: Turn<Asking>): void {
    const { wait, owed, steps, budget } = this.#state;
    if (type === "ask") {
      this.#set({ owed: [...owed, { to: from, number }] });
      if (!wait && (budget === 0 || turn.random.chance(this.#manner.grants))) this.#grant(turn, 1);
      return;
    }
    if (wait?.number !== number || !wait.for.includes(from)) return;
    const left = { ...wait, for: wait.for.filter((id) => id !== from), need: wait.need - 1 };
    if (left.need > 0) {
      this.#set({ wait: left });
      return;
    }
    this.#set({ wait: null, steps: steps + 1 });
    turn.setTimer("ask", turn.random.below(this.#manner.thinkMs));
  }

  /** Grants some of what it was asked for. */
  #grant(turn: Turn<Asking>, probability: number): void {
    const rest: Owed[] = [];
    for (const one of this.#state.owed)
      if (turn.random.chance(probability)) turn.send(one.to, { type: "grant", number: one.number });
      else rest.push(one);
    this.#set({ owed: rest });
  }

  #set(some: Partial<Asker>): void {
    this.#state = { ...this.#state, ...some };
  }

  capture(): Asker {
    return this.#state;
  }

  restore(state: Asker): void {
    this.#state = state;
  }

  waits(): readonly Wait[] {
    const { wait } = this.#state;
    if (!wait) return [];
    return [{ for: wait.for, need: wait.need, request: `request ${wait.number}` }];
  }

  grants({ type, number }: Asking): boolean {
    return type === "grant" && number === this.#state.wait?.number;
  }
}

/** Two to five of them, by the seed. */
export function askers(seed: number): World<Asking, Asker, never, never> {
  const random = new Random(`askers ${seed}`);
  const processes = Array.from({ length: random.between(2, 5) }, (_, i) => `p${i + 1}`);
  const manner = {
    budget: random.between(2, 8),
    thinkMs: random.pick([20, 100, 300]) as number,
    asks: random.pick([0.3, 0.6, 1]) as number,
    grants: random.pick([0.5, 0.9, 1]) as number,
  };
  return defineWorld<Asking, Asker, never, never>({
    processes,
    order: random.chance(0.2) ? "none" : "fifo",
    application: () => new AskerApplication(manner),
    logsInputs: true,
    snapshots: Array.from({ length: 8 }, () => random.pick(processes) as ProcessId),
  });
}

/** Everybody who is blocked for ever, with what it had done by then: the largest set of those that none from outside could help. */
export function blocked(view: View<Asking, Asker, never>): readonly string[] {
  const states = view.up.map((id) => {
    const state = view.state(id) as Asker;
    const { wait } = state;
    const granted = wait?.for.filter((other) =>
      view
        .inFlight(other, id)
        .some(({ type, number }) => type === "grant" && number === wait.number),
    );
    return [id, state, granted ?? []] as const;
  });
  const isHelped = (
    [, { wait }, granted]: (typeof states)[number],
    isStuck: (other: ProcessId) => boolean,
  ): boolean =>
    !wait ||
    wait.for.filter((other) => granted.includes(other) || !isStuck(other)).length >= wait.need;
  const all = new Set<string>();
  for (let some = 1; some < 1 << states.length; some += 1) {
    const isIn = (index: number): boolean => (some & (1 << index)) !== 0;
    const isStuck = (other: ProcessId): boolean => isIn(states.findIndex(([id]) => id === other));
    if (states.some((one, i) => isIn(i) && isHelped(one, isStuck))) continue;
    for (const [i, [id, { steps }]] of states.entries()) if (isIn(i)) all.add(`${id}@${steps}`);
  }
  return [...all];
}
