/** The application of a world: processes that send each other money, at random, and react to what they get. */

import type { ProcessId } from "../../src/core/id.ts";
import { type Application, FrozenState, type Turn } from "../../src/process/application.ts";
import type { Diary } from "./history.ts";

/** Money on its way. `n` is another number each time; what is sent to several at once has the same. */
export interface Transfer {
  readonly n: number;
  readonly amount: number;
  readonly padding?: string;
}

/** What is in each pocket. */
export type Pockets = readonly number[];

export interface PurseOptions {
  readonly diary: Diary<Pockets>;
  readonly number: () => number;
  readonly money: number;
  /** Capture gives a frozen state, two pockets a slice. */
  readonly frozen: boolean;
  /** A mistake, planted on purpose: a frozen state that shows what is there when it is encoded. */
  readonly late: boolean;
  /** How many messages it sends by itself and in answer, at the most. */
  readonly budget: number;
  /** Throws, by its return value, when capture should. */
  readonly captureThrows: () => boolean;
  /** Tells where a capture was made. */
  readonly captured: (cut: ReturnType<Diary<Pockets>["captured"]>) => void;
  /** Tells of a frozen state that was released. */
  readonly released: () => void;
}

interface Freeze {
  at: number;
  /** Old values of pockets that changed before the encoder passed them. */
  readonly old: Map<number, number>;
}

const POCKETS = 5;

/** See the head of the file. */
export class Purse implements Application<Transfer, unknown> {
  /** Nothing is sent any more. */
  closed: boolean = false;
  frozen = 0;
  readonly #options: PurseOptions;
  readonly #pockets: number[];
  readonly #freezes = new Set<Freeze>();
  #budget: number;
  /** A channel was full: nothing goes until it is writable. */
  readonly #full = new Set<ProcessId>();

  constructor(options: PurseOptions) {
    this.#options = options;
    this.#budget = options.budget;
    const share = Math.floor(options.money / POCKETS);
    this.#pockets = Array.from({ length: POCKETS }, () => share);
    this.#pockets[0] = options.money - share * (POCKETS - 1);
  }

  start(turn: Turn<Transfer>): void {
    turn.setTimer("spend", turn.random.below(5));
  }

  timer(_name: string, turn: Turn<Transfer>): void {
    const { random, peers } = turn;
    if (this.closed || this.#budget <= 0 || peers.length === 0) return;
    for (let i = random.between(1, 4); i > 0; i -= 1) {
      if (random.chance(0.1)) this.#send([...peers], turn);
      else this.#send([random.pick(peers) as ProcessId], turn);
    }
    turn.setTimer("spend", random.between(1, 12));
  }

  receive(from: ProcessId, { n, amount }: Transfer, turn: Turn<Transfer>): void {
    this.#options.diary.received(from, n);
    this.#add(turn.random.below(POCKETS), amount);
    const to = turn.random.pick(turn.peers);
    if (to !== undefined && turn.random.chance(0.3)) this.#send([to], turn);
  }

  writable(to: ProcessId): void {
    this.#full.delete(to);
  }

  capture(): unknown {
    const { diary, late, frozen, captureThrows, captured, released } = this.#options;
    if (captureThrows()) throw new Error("no picture, please");
    captured(diary.captured([...this.#pockets]));
    if (!frozen && !late) return [...this.#pockets];
    const freeze: Freeze = { at: 0, old: new Map() };
    this.#freezes.add(freeze);
    this.frozen += 1;
    const next = (): unknown => {
      if (freeze.at >= POCKETS) return undefined;
      const slice: number[] = [];
      for (let i = 0; i < 2 && freeze.at < POCKETS; i += 1, freeze.at += 1) {
        const old = late ? undefined : freeze.old.get(freeze.at);
        slice.push(old ?? (this.#pockets[freeze.at] as number));
      }
      return slice;
    };
    return new FrozenState(next, () => {
      this.#freezes.delete(freeze);
      released();
    });
  }

  restore(): void {
    throw new Error("a purse is not restored");
  }

  #send(wanted: readonly ProcessId[], turn: Turn<Transfer>): void {
    const to = wanted.filter((one) => !this.#full.has(one));
    const pocket = turn.random.below(POCKETS);
    const most = Math.min(
      9,
      Math.floor((this.#pockets[pocket] as number) / Math.max(1, to.length)),
    );
    if (this.closed || this.#budget <= 0 || to.length === 0 || most <= 0) return;
    this.#budget -= 1;
    const amount = turn.random.between(1, most);
    const size = turn.random.pick([0, 0, 1, 2, 3, 7, 100, 700, 5000]) as number;
    this.#add(pocket, -amount * to.length);
    const n = this.#options.number();
    for (const one of to) this.#options.diary.sent(one, n);
    const transfer = { n, amount, ...(size === 0 ? {} : { padding: "x".repeat(size) }) };
    const [only] = to;
    if (to.length > 1) turn.send(to, transfer);
    else if (only !== undefined && !turn.send(only, transfer)) this.#full.add(only);
  }

  #add(pocket: number, amount: number): void {
    const now = this.#pockets[pocket] as number;
    for (const { at, old } of this.#freezes)
      if (pocket >= at && !old.has(pocket)) old.set(pocket, now);
    this.#pockets[pocket] = now + amount;
  }
}
