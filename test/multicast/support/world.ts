/** Applications in one group, as a world: each multicasts a while, answers some of what it gets, and writes down all that it sees. */

import type { ProcessId } from "../../../src/core/id.ts";
import type { OrderLevel } from "../../../src/core/order-level.ts";
import { Random } from "../../../src/core/random.ts";
import type { TotalOrderEngine } from "../../../src/multicast/group.ts";
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
import { defineWorld, type World } from "../../../src/sim.ts";
import type { HistoryLine } from "../../../src/trace.ts";
import { LEVELS } from "./members.ts";

/** `+level message`: multicast; `+level message to`: to one; `message from`: delivered. */
export type Seen = readonly string[];

/** What whoever is restored does: nothing by itself, or what it would have done. */
type Restored = "is quiet" | "goes on";

const BUDGET = 12;

class Talker implements GroupApplication<string, Seen> {
  #seen: string[] = [];
  #budget: number;
  readonly #levels: readonly OrderLevel[];
  readonly #restored: Restored;

  constructor(levels: readonly OrderLevel[], restored: Restored) {
    this.#budget = BUDGET;
    this.#levels = levels;
    this.#restored = restored;
  }

  start(turn: GroupTurn<string>): void {
    turn.setTimer("talk", turn.random.below(20));
  }

  timer(_name: string, turn: GroupTurn<string>): void {
    for (let i = turn.random.between(1, 3); i > 0; i -= 1) this.#talk(turn);
    if (this.#budget > 0) turn.setTimer("talk", turn.random.between(1, 30));
  }

  deliver(_group: string, { from, message }: Delivery<string>, turn: GroupTurn<string>): void {
    this.#saw(from, message, turn);
  }

  #saw(from: ProcessId, message: string, turn: GroupTurn<string>): void {
    this.#seen.push(`${message} ${from}`);
    if (turn.random.chance(0.2)) this.#talk(turn);
  }

  receive(from: ProcessId, message: string, turn: GroupTurn<string>): void {
    this.#saw(from, message, turn);
  }

  #talk(turn: GroupTurn<string>): void {
    if (this.#budget === 0) return;
    this.#budget -= 1;
    const order = turn.random.pick(this.#levels) as OrderLevel;
    const message = `${turn.self}.${this.#seen.length}`;
    const to = turn.random.chance(0.25) ? turn.random.pick([turn.self, ...turn.peers]) : undefined;
    this.#seen.push(`+${order} ${message}${to === undefined ? "" : ` ${to}`}`);
    if (to === undefined) turn.multicast("g", message, { order });
    else turn.send(to, message, { group: "g", order });
  }

  capture(): Seen {
    return [...this.#seen];
  }

  restore(seen: Seen): void {
    this.#seen = [...seen];
    const said = seen.filter((word) => word.startsWith("+")).length;
    this.#budget = this.#restored === "goes on" ? BUDGET - said : 0;
  }
}

export interface TalkWorld {
  readonly world: World<Uint8Array, GroupedState<Seen>>;
  readonly setup: GroupSetup;
  readonly levels: readonly OrderLevel[];
}

/**
 * Two to four members, by the seed.
 * @param given how total order comes about, if not by the seed
 */
export function talkWorld(
  seed: number,
  restored: Restored = "is quiet",
  given?: TotalOrderEngine,
): TalkWorld {
  const random = new Random(`talk ${seed}`);
  const processes = Array.from({ length: random.between(2, 4) }, (_, i) => `p${i + 1}`);
  const levels = random.chance(0.5) ? LEVELS : [random.pick(LEVELS) as OrderLevel];
  const drawn = random.pick(["sequencer", "agreed"] as const) as "sequencer" | "agreed";
  const total = given ?? drawn;
  const setup = { members: processes, total, uniform: random.chance(0.3) };
  const messageCodec = jsonCodec<string>();
  const world = defineWorld<Uint8Array, GroupedState<Seen>>({
    processes,
    order: random.chance(0.3) ? "none" : "fifo",
    application: (self) => talker(self, setup, levels, restored),
    ...groupedCodecs<string, Seen>({ messageCodec, stateCodec: jsonCodec<unknown>() }),
    snapshots: processes,
  });
  return { world, setup, levels };
}

export function talker(
  self: ProcessId,
  setup: GroupSetup,
  levels: readonly OrderLevel[],
  restored: Restored = "is quiet",
): Grouped<string, Seen, never, never> {
  const application = new Talker(levels, restored);
  const messageCodec = jsonCodec<string>();
  const onIrregular = (reason: string): never => {
    throw new Error(reason);
  };
  return new Grouped({ self, application, groups: { g: setup }, messageCodec, onIrregular });
}

/** What each saw, as a history. */
export function historyOf(seen: ReadonlyMap<ProcessId, Seen>): readonly HistoryLine[] {
  return [...seen].flatMap(([process, words]) =>
    words.map((word): HistoryLine => {
      const [first = "", second = "", to] = word.split(" ");
      return first.startsWith("+")
        ? {
            ...{ type: "multicast", process, group: "g", message: second },
            order: first.slice(1) as OrderLevel,
            ...(to === undefined ? {} : { to }),
          }
        : { type: "deliver", process, group: "g", message: first, from: second };
    }),
  );
}
