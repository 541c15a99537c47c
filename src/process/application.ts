/** What a user of Tidemark writes: one deterministic participant. */

import type { ProcessId } from "../core/id.ts";
import type { ProcessObserver } from "../core/observer.ts";
import type { Random } from "../core/random.ts";
import type { GroupExplanation } from "../multicast/explanation.ts";
import type { GroupMeasures } from "../multicast/group.ts";
import type { Declarations } from "./declarations.ts";

/**
 * One participant. Every method is synchronous, so every turn is atomic: it happens whole, between two
 * others, and what it sends leaves when it returns. A method that throws stops the process.
 *
 * To be replayed and simulated an application must be deterministic: time, randomness and timers come from
 * the turn, never from the outside.
 *
 * @typeParam M messages, between processes
 * @typeParam State what `capture` gives; with a frozen state, the list of its slices
 * @typeParam Request asked from outside the computation
 * @typeParam Reply the answers
 */
export interface Application<M, State = unknown, Request = never, Reply = never>
  extends Declarations<M> {
  /** Once, before anything else; not of a process that goes on from a snapshot or from its log. */
  start?(turn: Turn<M, Reply>): void;
  /**
   * The system was restored, and goes on: after `restore`, before anything else. What was in flight is received again after it, and
   * timers that were set are due when they would have been.
   */
  resume?(turn: Turn<M, Reply>): void;
  /** A message was received: the channel gives each one once, in the order sent. */
  receive?(from: ProcessId, message: M, turn: Turn<M, Reply>): void;
  /** Someone outside asks; answer with `turn.reply(id, …)`, in this turn or a later one. */
  request?(id: number, request: Request, turn: Turn<M, Reply>): void;
  /** A timer that was set is due. */
  timer?(name: string, turn: Turn<M, Reply>): void;
  /** `send` gave false for that channel, and now there is room again; after a restore, for every channel. */
  writable?(to: ProcessId, turn: Turn<M, Reply>): void;
  /** What is known of another process has changed. */
  peer?(id: ProcessId, change: PeerChange, turn: Turn<M, Reply>): void;
  /** What waits in groups, by their names; of an application that has groups (`Grouped`), so that it is explained with the rest. */
  explainGroups?(): Readonly<Record<string, GroupExplanation>>;
  /** The logs that stand beside the processes and give groups their order: by name, which epoch's was read, and up to where. */
  orderLogs?(): Readonly<Record<string, { readonly epoch: number; readonly position: number }>>;
  /** Such a log is there, for the first time in this epoch or again: what was written and not read may be lost. */
  orderLogOpen?(log: string, epoch: number, turn: Turn<M, Reply>): void;
  /** A text of such a log: all of them, in their order. */
  orderLogRead?(log: string, position: number, text: string, turn: Turn<M, Reply>): void;
  /** What they have delivered and hold, for those who watch them over time. */
  measureGroups?(): Readonly<Record<string, GroupMeasures>>;
  /**
   * The state as it is now. Must not change the application. A value is encoded at once; a `FrozenState` is
   * fixed now and encoded in slices while the process goes on.
   */
  capture(): State | FrozenState;
  /**
   * Values that people and predicates look at, by name: numbers, texts, booleans, null; up to 64. Asked while a trace is recorded, after
   * turns and where a snapshot is recorded, so it must be cheap; and like `capture` it must not change the application.
   */
  values?(): Readonly<Record<string, unknown>> | undefined;
  /** Back to a captured state, before any input. What was captured must be all that later turns depend on. */
  restore(state: State, renamed?: Renamed): void;
}

/**
 * Of a system that was cloned from another one: new names of processes, by those that they had when the state was captured. Those that
 * are not in it have kept theirs.
 */
export type Renamed = ReadonlyMap<ProcessId, ProcessId>;

/**
 * `lost`: away for so long that nobody waits for it any more (`lostAfterMs`). `back`: there again, with its state. `restarted`: there
 * without its state, and the channels with it have begun afresh.
 */
export type PeerChange = "lost" | "back" | "restarted";

/** What an application can do during one turn. Not to be kept: it is good until the method returns. */
export interface Turn<M, Reply = never> {
  readonly self: ProcessId;
  /** Milliseconds since 1970, never going back. The only clock an application should look at. */
  readonly nowMs: number;
  /** Seeded; the same in a replay. */
  readonly random: Random;
  /**
   * True while an input is taken once more from the log, after a crash. What an application does beside its turn, such as
   * writing to a console, it did the first time.
   */
  readonly replays: boolean;
  /** The processes that this one has a channel to, ascending. */
  readonly peers: readonly ProcessId[];
  /** Who records what is done, if somebody does: for what stands between a process and an application. @internal */
  readonly observer?: ProcessObserver | undefined;
  /** Writes to a log that gives a group its order; comes back to all that read it, or to nobody. @internal */
  readonly writeOrderLog?: ((log: string, text: string) => void) | undefined;
  /**
   * Sends a message on a channel, or the same one on several (encoded once). False: it is sent, but so much
   * waits on a channel that it would be good to stop until `writable`.
   *
   * @throws TidemarkError `NO_CHANNEL`, `CHANNEL_FULL` (see `limitBytes`), `MESSAGE_TOO_LARGE`, `BAD_MESSAGE`
   */
  send(to: ProcessId | readonly ProcessId[], message: M): boolean;
  /**
   * Answers a request. A second answer, or one to nobody, is ignored. With `UNASKED` it is for whoever listens to what nobody asked for
   * (`onUnasked` of the running process), and like any reply it leaves when what led to it is as safe as the log's policy says;
   * in a replay it may say something else, or nothing.
   */
  reply(request: number, reply: Reply): void;
  /**
   * Calls `timer(name)` after that many milliseconds, 0 or more. The same name again moves the timer.
   * @throws TidemarkError `BAD_OPTION`
   */
  setTimer(name: string, afterMs: number): void;
}

/** No request has this id: `turn.reply(UNASKED, …)` says something that nobody asked for. */
export const UNASKED = 0;

/**
 * A state that is fixed in O(1) and encoded later, slice by slice, between turns, so that capturing a large
 * state is not a pause. Whoever makes one keeps the old values (by copy-on-write, say) until `next` has passed
 * them. Restoring gives the application the list of slices.
 */
export class FrozenState {
  readonly #next: () => unknown;
  readonly #release: () => void;
  #released: boolean = false;

  /**
   * @param next gives the next slice, about a millisecond's worth of encoding; `undefined` after the last
   * @param release called once, after the last slice or when the snapshot is abandoned
   */
  constructor(next: () => unknown, release: () => void = () => {}) {
    this.#next = next;
    this.#release = release;
  }

  next(): unknown {
    return this.#next();
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#release();
  }
}
