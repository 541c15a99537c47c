/** A world for tests: keepers of money that send each other some at random and take deposits, log their inputs, and die now and then. */
import type { ProcessId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { type Application, FrozenState, type Turn } from "../../src/process/application.ts";
import { defineWorld, drawFaults, type Faults, type View, type World } from "../../src/sim.ts";

interface Purse {
  readonly money: number;
  readonly budget: number;
  /** Deposits, by their number. */
  readonly deposits: readonly number[];
}

const MONEY = 1000;
const AMOUNT_MAX = 9;

/** Sends money about, and takes deposits from outside. Its state is all that it knows. */
export interface Coins {
  readonly amount: number;
  readonly padding?: string;
}

class Keeper implements Application<Coins, Purse | readonly Purse[], number, number> {
  #purse: Purse = { money: MONEY, budget: 25, deposits: [] };
  readonly #frozen: boolean;
  readonly #largest: number;

  constructor(frozen: boolean, largest: number) {
    this.#frozen = frozen;
    this.#largest = largest;
  }

  start(turn: Turn<Coins, number>): void {
    turn.setTimer("spend", turn.random.below(5));
  }

  timer(_name: string, turn: Turn<Coins, number>): void {
    for (let i = turn.random.between(1, 3); i > 0; i -= 1) this.#give(turn);
    if (this.#purse.budget > 0) turn.setTimer("spend", turn.random.between(1, 30));
  }

  receive(_from: ProcessId, { amount }: Coins, turn: Turn<Coins, number>): void {
    this.#add({ money: amount });
    if (turn.random.chance(0.2)) this.#give(turn);
  }

  request(id: number, deposit: number, turn: Turn<Coins, number>): void {
    this.#purse = { ...this.#purse, deposits: [...this.#purse.deposits, deposit] };
    this.#add({ money: 1 });
    this.#give(turn);
    turn.reply(id, deposit);
  }

  #add({ money = 0, budget = 0 }: { readonly money?: number; readonly budget?: number }): void {
    const purse = this.#purse;
    this.#purse = { ...purse, money: purse.money + money, budget: purse.budget + budget };
  }

  #give(turn: Turn<Coins, number>): void {
    const to = turn.random.pick(turn.peers);
    const amount = turn.random.between(1, AMOUNT_MAX);
    if (to === undefined || this.#purse.money < amount || this.#purse.budget <= 0) return;
    this.#add({ money: -amount, budget: -1 });
    const size = turn.random.pick([0, 0, 0, 1, 700, this.#largest]) as number;
    turn.send(to, { amount, ...(size > 0 ? { padding: "x".repeat(size) } : {}) });
  }

  capture(): Purse | FrozenState {
    if (!this.#frozen) return this.#purse;
    const slices = [this.#purse];
    return new FrozenState(() => slices.shift());
  }

  restore(state: Purse | readonly Purse[]): void {
    [this.#purse] = [state].flat() as [Purse];
  }
}

export type States = Purse | readonly Purse[];

const purseOf = (state: States | undefined): Purse => [state].flat()[0] as Purse;

/** The money that is there, and in flight, less what was deposited. */
function own(states: readonly (States | undefined)[], inFlight: readonly Coins[]): number {
  const purses = states.map(purseOf);
  const there = purses.reduce((sum, { money, deposits }) => sum + money - deposits.length, 0);
  return there + inFlight.reduce((sum, { amount }) => sum + amount, 0);
}

/** Of the messages: with large ones slabs are used up, and batches cut where they end. */
const largestOf = (seed: number): number => (seed % 8 === 0 ? 60_000 : 3_000);

/** Two to four keepers, by the seed. */
export function keepers(seed: number): World<Coins, States, number, number> {
  const random = new Random(`keepers ${seed}`);
  const processes = Array.from({ length: random.between(2, 4) }, (_, i) => `p${i + 1}`);
  return defineWorld<Coins, States, number, number>({
    processes,
    order: random.chance(0.2) ? "none" : "fifo",
    application: (id) => new Keeper(id === "p2", largestOf(seed)),
    logsInputs: true,
    requests: Array.from({ length: 12 }, (_, i) => ({
      of: random.pick(processes) as ProcessId,
      request: i,
    })),
    snapshots: processes,
    always: {
      "every snapshot adds up": ({ snapshots }) =>
        snapshots.every(
          (one) =>
            own(
              Object.values(one.states),
              one.inFlight.flatMap(({ messages }) => messages),
            ) ===
            MONEY * processes.length,
        ),
    },
    eventually: {
      "all that could be spent is spent": (view) =>
        processes.every((id) => {
          const { money, budget } = purseOf(view.state(id));
          return budget <= 0 || money < AMOUNT_MAX;
        }),
      "it adds up": (view) =>
        own(
          processes.map((id) => view.state(id)),
          view.allInFlight(),
        ) ===
        MONEY * processes.length,
    },
  });
}

/** Faults in which somebody dies; `restored`: and the system is restored. */
export const deadly = (seed: number, restored: number): Faults => {
  const faults = drawFaults(seed);
  const capacity = largestOf(seed) > 10_000 ? 0 : faults.capacity;
  return { ...faults, capacity, crashes: 1 + (seed % 4), fromSnapshot: restored };
};

/** True if every deposit that was acknowledged is there, and none is there twice; or what is wrong. Not of a system that was restored. */
export function deposited(view: View<Coins, States, number>): true | string {
  const deposits = view.up.flatMap((id) => purseOf(view.state(id)).deposits);
  if (new Set(deposits).size < deposits.length) return `twice: ${deposits}`;
  const missing = view.replies.filter((one) => one !== undefined && !deposits.includes(one));
  return missing.length === 0 || `missing: ${missing}`;
}
