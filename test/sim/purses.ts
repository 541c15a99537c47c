/** A world for tests: purses that send each other money at random, answer what they get, and keep a log of sums. */

import type { ProcessId } from "../../src/core/id.ts";
import { type Application, FrozenState, type Turn } from "../../src/process/application.ts";
import { defineWorld, type SeenSnapshot, type View, type World } from "../../src/sim.ts";

interface Coins {
  readonly amount: number;
  readonly padding?: string;
}

const MONEY = 1000;

class Purse implements Application<Coins, number | number[], "give", number> {
  #money = MONEY;
  #budget = 25;
  readonly #frozen: boolean;

  constructor(frozen: boolean) {
    this.#frozen = frozen;
  }

  start(turn: Turn<Coins, number>): void {
    turn.setTimer("spend", turn.random.below(5));
  }

  timer(_name: string, turn: Turn<Coins, number>): void {
    if (this.#budget <= 0) return;
    for (let i = turn.random.between(1, 3); i > 0; i -= 1) this.#give(turn);
    turn.setTimer("spend", turn.random.between(1, 30));
  }

  receive(_from: ProcessId, { amount }: Coins, turn: Turn<Coins, number>): void {
    this.#money += amount;
    if (turn.random.chance(0.2)) this.#give(turn);
  }

  request(id: number, _what: "give", turn: Turn<Coins, number>): void {
    this.#give(turn);
    turn.reply(id, this.#money);
  }

  capture(): number | FrozenState {
    if (!this.#frozen) return this.#money;
    const slices = [this.#money - 1, 1];
    return new FrozenState(() => slices.shift());
  }

  restore(state: number | number[]): void {
    this.#money = sum([state].flat());
    this.#budget = 0;
  }

  #give(turn: Turn<Coins, number>): void {
    const to = turn.random.pick(turn.peers);
    const amount = turn.random.between(1, 9);
    if (to === undefined || this.#money < amount || this.#budget <= 0) return;
    this.#budget -= 1;
    this.#money -= amount;
    const size = turn.random.pick([0, 0, 0, 1, 3, 700, 6000]) as number;
    turn.send(to, { amount, ...(size > 0 ? { padding: "x".repeat(size) } : {}) });
  }
}

type PurseWorld = World<Coins, number | number[], "give", number>;

/** Three to five purses, by the seed: a mesh, or a ring with some channels across. */
export function purseWorld(seed: number): PurseWorld {
  const size = 3 + (seed % 3);
  const processes = Array.from({ length: size }, (_, i) => `p${i + 1}`);
  const ring = processes.map((from, i) => ({ from, to: processes[(i + 1) % size] as ProcessId }));
  const across = processes.slice(2).map((from, i) => ({ from, to: processes[i] as ProcessId }));
  const channels = [
    ...new Map([...ring, ...across].map((one) => [`${one.from} ${one.to}`, one])).values(),
  ];
  return defineWorld({
    processes,
    channels: seed % 2 === 0 ? "mesh" : channels,
    application: (id) => new Purse(id === "p2"),
    requests: processes.map((of) => ({ of, request: "give" })),
    snapshots: processes.slice(0, 3),
    sometimes: {
      "a message in flight is recorded": ({ snapshots }) =>
        snapshots.some((one) => inFlight(one) > 0),
      "two snapshots are complete": ({ snapshots }) => snapshots.length > 1,
      "a request is answered": ({ replies }) => replies.some((one) => one !== undefined),
    },
  });
}

/** True if the money of each snapshot adds up; of a world in which nobody dies. */
export function addsUp({ snapshots, up }: View<Coins, number | number[], number>): boolean {
  return snapshots.every(
    (one) => sum(Object.values(one.states).flat()) + inFlight(one) === MONEY * up.length,
  );
}

const inFlight = ({ inFlight: channels }: SeenSnapshot<Coins, number | number[]>): number =>
  sum(channels.flatMap(({ messages }) => messages.map(({ amount }) => amount)));

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
