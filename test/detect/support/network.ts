/** Channels that are as late as a seed says, without processes and links. */

import type { ProcessId } from "../../../src/core/id.ts";
import { Random } from "../../../src/core/random.ts";
import { Agenda } from "../../../src/sim/agenda.ts";

export interface NetworkOptions {
  readonly seed: number;
  readonly fifo: boolean;
  /** Of each thing one is drawn; it takes up to so long. */
  readonly slowest: readonly number[];
  /** How probable it is that something of the detection arrives once more, at any later time. */
  readonly repeat: number;
}

const STEPS_MAX = 2_000_000;
/** Any, and some of them beside each other. */
export const ADVERSARIAL: readonly number[] = [0, 1, 10, 100, 1000];

/** See the head of the file. */
export class Network {
  /** Of the computation. */
  readonly random: Random;
  /** Of the detection: so the computation is the same, whatever watches it. */
  readonly #own: Random;
  nowMs = 0;
  readonly #options: NetworkOptions;
  readonly #agenda = new Agenda();
  readonly #last = new Map<string, number>();

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.random = new Random(`network ${options.seed}`);
    this.#own = new Random(`detection ${options.seed}`);
  }

  /** After a while that is drawn. */
  later(act: () => void): void {
    this.#agenda.add(this.nowMs + this.#delay(this.random), act);
  }

  /** Something of the detection. */
  laterCheck(act: () => void): void {
    this.#agenda.add(this.nowMs + this.#delay(this.#own), act);
  }

  /** A message of the computation. */
  send(from: ProcessId, to: ProcessId, arrive: () => void): void {
    this.#put(from, to, this.random, arrive);
  }

  /** A message of the detection: perhaps once more, which is after the first time on channels that are FIFO. */
  control(from: ProcessId, to: ProcessId, arrive: () => void): void {
    this.#put(from, to, this.#own, () => {
      arrive();
      while (this.#own.chance(this.#options.repeat)) this.laterCheck(arrive);
    });
  }

  #put(from: ProcessId, to: ProcessId, random: Random, arrive: () => void): void {
    const way = `${from} ${to}`;
    const inOrderMs = this.#options.fifo ? (this.#last.get(way) ?? 0) : 0;
    const atMs = Math.max(this.nowMs + this.#delay(random), inOrderMs);
    this.#last.set(way, atMs);
    this.#agenda.add(atMs, arrive);
  }

  /** Until nothing is left to do, or `until` says so. */
  run(until: () => boolean = () => false): void {
    for (let steps = 0; !until(); steps += 1) {
      const next = this.#agenda.take();
      if (!next) return;
      if (steps > STEPS_MAX) throw new Error(`seed ${this.#options.seed}: it does not end`);
      this.nowMs = next.atMs;
      next.act();
    }
  }

  #delay(random: Random): number {
    return Math.ceil(random.fraction() * (random.pick(this.#options.slowest) ?? 0));
  }
}

/** What a stranger, or a program with a mistake, might send in place of a message of the detection. */
export function garbage(random: Random): unknown {
  const odd = random.pick([-1, 0, 1, 2, 1e9, 2 ** 53, Number.NaN, "1", null, undefined, true]);
  const list = random.pick([[], ["p1"], ["p1", "p1"], ["p9"], [7], "p1", null]) as unknown;
  const fields = {
    ...{ round: odd, sum: 0, black: false, answered: odd, number: odd, request: odd },
    ...{ initiator: random.pick(["p1", "p9", 7]), path: list, blocked: list },
    type: random.pick(["query", "reply", "probe"]),
  };
  // Each field missing now and then.
  const some = Object.fromEntries(Object.entries(fields).filter(() => random.chance(0.8)));
  return random.pick<unknown>([odd, list, some, some, some]);
}
