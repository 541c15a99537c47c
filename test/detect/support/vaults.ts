/**
 * A world for tests: processes that send each other money and pass a token on, by channels and in groups, in whatever order; in some
 * worlds one of them makes a mistake once.
 */

import type { ProcessId } from "../../../src/core/id.ts";
import { ORDER_LEVELS, type OrderLevel } from "../../../src/core/order-level.ts";
import { Random } from "../../../src/core/random.ts";
import type { Goods } from "../../../src/detect.ts";
import { jsonCodec } from "../../../src/process/codec.ts";
import {
  type Delivery,
  type GroupApplication,
  Grouped,
  type GroupedState,
  type GroupSetup,
  type GroupTurn,
  groupedCodecs,
} from "../../../src/process/grouped.ts";
import { defineWorld, type View, type World } from "../../../src/sim.ts";

export interface Vault {
  readonly money: number;
  readonly lock: number;
  readonly budget: number;
  /** By mistake. */
  readonly burnt: number;
  readonly doubled: number;
}

type Mistake = "none" | "burns" | "doubles";

export const MONEY = 1000;
const LEVELS = Object.keys(ORDER_LEVELS) as OrderLevel[];

class VaultApplication implements GroupApplication<Goods, Vault> {
  readonly #groups: Readonly<Record<string, GroupSetup>>;
  readonly #mistake: Mistake;
  #state: Vault;

  constructor(
    groups: Readonly<Record<string, GroupSetup>>,
    lock: number,
    budget: number,
    mistake: Mistake,
  ) {
    this.#groups = groups;
    this.#mistake = mistake;
    this.#state = { money: MONEY, lock, budget, burnt: 0, doubled: 0 };
  }

  start(turn: GroupTurn<Goods>): void {
    turn.setTimer("act", turn.random.below(20));
  }

  timer(_name: string, turn: GroupTurn<Goods>): void {
    const { budget, money, lock } = this.#state;
    if (budget === 0) return;
    this.#set({ budget: budget - 1 });
    if (budget === 4 && this.#mistake === "burns") this.#set({ money: money - 7, burnt: 7 });
    else if (budget === 4 && this.#mistake === "doubles") this.#set({ lock: lock + 1, doubled: 1 });
    else for (let i = turn.random.between(1, 3); i > 0; i -= 1) this.#act(turn);
    turn.setTimer("act", turn.random.between(1, 30));
  }

  #act(turn: GroupTurn<Goods>): void {
    const { random, self, peers } = turn;
    const { money, lock } = this.#state;
    const amount = random.between(1, 9);
    const mine = Object.keys(this.#groups).filter((name) =>
      this.#groups[name]?.members.includes(self),
    );
    const group = random.pick(mine) as string;
    const members = this.#groups[group]?.members ?? [];
    const order = random.pick(LEVELS) as OrderLevel;
    const to = random.pick(peers) as ProcessId;
    if (money < amount * members.length) return;
    switch (random.below(4)) {
      case 0:
        this.#set({ money: money - amount });
        turn.send(to, { money: amount });
        break;
      case 1:
        this.#set({ money: money - amount * members.length });
        turn.multicast(group, { money: amount }, { order });
        break;
      case 2:
        this.#set({ money: money - amount });
        turn.send(random.pick(members) as ProcessId, { money: amount }, { group, order });
        break;
      default:
        if (lock === 0) return;
        this.#set({ lock: lock - 1 });
        if (random.chance(0.5)) turn.send(to, { lock: 1 });
        else turn.send(random.pick(members) as ProcessId, { lock: 1 }, { group, order });
    }
  }

  receive(_from: ProcessId, { money = 0, lock = 0 }: Goods): void {
    this.#set({ money: this.#state.money + money, lock: this.#state.lock + lock });
  }

  deliver(_group: string, { from, message }: Delivery<Goods>): void {
    this.receive(from, message);
  }

  #set(some: Partial<Vault>): void {
    this.#state = { ...this.#state, ...some };
  }

  capture(): Vault {
    return this.#state;
  }

  restore(state: Vault): void {
    this.#state = state;
  }

  goods(message?: Goods): Goods {
    const { money, lock } = this.#state;
    return message ?? { money, lock };
  }
}

/** Two to four of them, by the seed. */
export function vaults(seed: number): World<Uint8Array, GroupedState<Vault>, never, never> {
  const random = new Random(`vaults ${seed}`);
  const processes = Array.from({ length: random.between(2, 4) }, (_, i) => `p${i + 1}`);
  const total = (): "sequencer" | "agreed" => (random.chance(0.5) ? "sequencer" : "agreed");
  const groups = {
    all: { members: processes, total: total(), uniform: random.chance(0.3) },
    some: { members: processes.slice(0, 2), total: total() },
  };
  const mistake = random.pick(["none", "burns", "doubles"]) as Mistake;
  const budget = random.between(5, 12);
  const messageCodec = jsonCodec<Goods>();
  return defineWorld<Uint8Array, GroupedState<Vault>, never, never>({
    processes,
    order: random.chance(0.2) ? "none" : "fifo",
    application: (self) =>
      new Grouped<Goods, Vault, never, never>({
        ...{ self, groups, messageCodec },
        application: new VaultApplication(
          groups,
          self === "p1" ? 1 : 0,
          budget,
          self === "p2" ? mistake : "none",
        ),
      }),
    ...groupedCodecs<Goods, Vault>({ messageCodec, stateCodec: jsonCodec<unknown>() }),
    logsInputs: true,
    snapshots: Array.from({ length: 6 }, () => random.pick(processes) as ProcessId),
  });
}

/** What does not add up, by the mistakes that were made. */
export function mistaken(view: View<Uint8Array, GroupedState<Vault>, never>): readonly string[] {
  const states = view.up.map((id) => (view.state(id) as { readonly state: Vault }).state);
  return [
    ...(burntBy(states) > 0 ? ["money"] : []),
    ...(states.some(({ doubled }) => doubled > 0) ? ["lock"] : []),
  ];
}

export const burntBy = (states: readonly Vault[]): number =>
  states.reduce((sum, { burnt }) => sum + burnt, 0);
