// Processes that log their inputs: they die between any two things that they do, and nothing is lost, and nothing happens twice.
import { describe, expect, test } from "vitest";
import type { ProcessId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { type Application, FrozenState, type Turn } from "../../src/process/application.ts";
import type { GroupedState } from "../../src/process/grouped.ts";
import { defineWorld, drawFaults, runWorld, type View } from "../../src/sim.ts";
import { checkHistory, drawSpaceTime, History } from "../../src/trace.ts";
import { historyOf, type Seen, talkWorld } from "../multicast/support/world.ts";
import { seeds } from "../support/soak.ts";

interface Purse {
  readonly money: number;
  readonly budget: number;
  /** Deposits, by their number. */
  readonly deposits: readonly number[];
}

const MONEY = 1000;

/** Sends money about, and takes deposits from outside. Its state is all that it knows. */
interface Coins {
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
    const amount = turn.random.between(1, 9);
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

type States = Purse | readonly Purse[];

const purseOf = (state: States | undefined): Purse => [state].flat()[0] as Purse;

/** The money that is there, and in flight, less what was deposited. */
function own(states: readonly (States | undefined)[], inFlight: readonly Coins[]): number {
  const purses = states.map(purseOf);
  const there = purses.reduce((sum, { money, deposits }) => sum + money - deposits.length, 0);
  return there + inFlight.reduce((sum, { amount }) => sum + amount, 0);
}

/** Of the messages: with large ones slabs are used up, and batches cut where they end. */
const largestOf = (seed: number): number => (seed % 8 === 0 ? 60_000 : 3_000);

function keepers(seed: number) {
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
const deadly = (seed: number, restored: number) => {
  const faults = drawFaults(seed);
  const capacity = largestOf(seed) > 10_000 ? 0 : faults.capacity;
  return { ...faults, capacity, crashes: 1 + (seed % 4), fromSnapshot: restored };
};

describe("who logs its inputs", () => {
  test("loses nothing, and does nothing twice, wherever it dies", { timeout: 7_200_000 }, () => {
    let acknowledged = 0;
    for (const seed of seeds("logged-worlds", 300, 100_000)) {
      const world = keepers(seed);
      let last: View<Coins, States, number> | undefined;
      const eventually = {
        ...world.eventually,
        "what was acknowledged is there, once": (view: View<Coins, States, number>) => {
          last = view;
          const deposits = view.up.flatMap((id) => purseOf(view.state(id)).deposits);
          if (new Set(deposits).size < deposits.length) return `twice: ${deposits}`;
          const missing = view.replies.filter(
            (one) => one !== undefined && !deposits.includes(one),
          );
          return missing.length === 0 || `missing: ${missing}`;
        },
      };
      runWorld({ ...world, eventually }, { seed, faults: deadly(seed, 0) });
      acknowledged += last?.replies.filter((one) => one !== undefined).length ?? 0;
    }
    expect(acknowledged).toBeGreaterThan(1000);
  });

  test("goes back to a snapshot with all others, in a new epoch", { timeout: 7_200_000 }, () => {
    for (const seed of seeds("restored-worlds", 200, 50_000))
      runWorld(keepers(seed), { seed, faults: deadly(seed, 0.7) });
  });

  test("in groups: every promise is kept", { timeout: 7_200_000 }, () => {
    for (const seed of seeds("logged-groups", 100, 20_000)) {
      const { world, setup } = talkWorld(seed, "goes on");
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
  });
});
