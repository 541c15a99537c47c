/**
 * Lets an application know when the whole computation has terminated: all processes are passive, and no message is under way. It stands
 * between a process and the application, as `Grouped` does, counts what passes, and carries the token of `Safra` (safra.ts)
 * among the application's messages. The token and what it counts are in the captured state, and in those of channels.
 *
 * It is for computations that come to an end: told once, it tells nothing more. Work from outside, such as a request, may come in the
 * middle, but of what comes after the end nobody is told. Standing questions about a system that serves for ever are for snapshots.
 */

import { isTidemarkError, TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import {
  type Application,
  FrozenState,
  type PeerChange,
  type Renamed,
  type Turn,
} from "../process/application.ts";
import type { Goods, Grant, References, Wait } from "../process/declarations.ts";
import { Safra, type SafraInput, type SafraState, type Token } from "./safra.ts";

/** An application of which somebody is to know when it has terminated. */
export interface TerminatingApplication<M, State = unknown, Request = never, Reply = never>
  extends Application<M, State, Request, Reply> {
  /**
   * As every application may declare it. It must be there if the application does anything by timers, or waits for something from
   * outside: asked after each turn. @default true
   */
  isPassive?(message?: M): boolean;
  /** The computation has terminated: once, at every process. */
  terminated?(turn: Turn<M, Reply>): void;
}

/** What is on channels: the application's messages, the token, and word of the end. */
export type TerminatingMessage<M> =
  | { readonly message: M }
  | { readonly token: Token }
  | { readonly terminated: true };

/** The state of an application and of the detection; of one that freezes its state, all slices. */
export type TerminatingState<State> =
  | (TerminationState & { readonly state: State })
  | readonly TerminatingSlice[];

/** The first slice has the detection, the others are the application's. */
export type TerminatingSlice = TerminationState | { readonly slice: unknown };

/** The detection in a captured state. */
export interface TerminationState {
  readonly safra: SafraState;
  readonly isOver: boolean;
  /** There was no room for it. */
  readonly unsent: TerminatingMessage<never> | null;
}

/** What `Terminating` needs to know. */
export interface TerminatingOptions<M, State, Request, Reply> {
  readonly self: ProcessId;
  /** All of the system. Each has a channel to the next one in ascending order, and the last one to the first. */
  readonly processes: readonly ProcessId[];
  readonly application: TerminatingApplication<M, State, Request, Reply>;
  /**
   * How long until the token goes round once more, in milliseconds: each time costs a message for each process, and the end is known at
   * most three such times late. @default 100
   */
  readonly everyMs?: number;
  /** Hears of what a peer sent that cannot be. */
  readonly onIrregular?: (reason: string) => void;
}

type Said<M, T> = (content?: TerminatingMessage<M>) => T;

/** What has no parameter says nothing of messages, and must still have none. */
function declared<M, T>(application: unknown, say: (message?: M) => T, ofDetection: T): Said<M, T> {
  if (say.length === 0) return () => say.call(application);
  return (content) => {
    if (content === undefined) return say.call(application);
    return "message" in content ? say.call(application, content.message) : ofDetection;
  };
}

const TIMER = "\u0000terminating";
const EVERY_MS = 100;

/**
 * An application that is told when all is over, for `startProcess` and for worlds; see the head of the file. Every process of a
 * system has one, with the same `processes`. Its codecs encode `TerminatingMessage` and `TerminatingState`: those of JSON and MessagePack
 * do, if what is inside has their form.
 *
 * No process may lose its state. If one comes back without it, those with a channel to it hear so, and nothing is claimed any more: a token
 * of it has to pass the one after it in the ring. Nor is anything claimed in a clone in which processes have other names.
 *
 * @example
 * ```ts
 * import { Terminating, type TerminatingMessage, type TerminatingState } from "tidemark/detect";
 * import { defineWorld, NO_FAULTS, runWorld } from "tidemark/sim";
 *
 * const processes = ["ann", "bob", "cy"];
 * const told: string[] = [];
 * const world = defineWorld<TerminatingMessage<number>, TerminatingState<null>>({
 *   processes,
 *   application: (self) =>
 *     new Terminating<number, null, never, never>({
 *       ...{ self, processes },
 *       application: {
 *         // A number goes about, and becomes smaller.
 *         start: (turn) => void (self === "ann" && turn.send("bob", 20)),
 *         receive: (_from, left, turn) => void (left > 0 && turn.send(turn.random.pick(turn.peers) ?? "ann", left - 1)),
 *         terminated: () => void told.push(self),
 *         capture: () => null,
 *         restore: () => {},
 *       },
 *     }),
 *   eventually: { "everybody is told, once": () => told.sort().join() === "ann,bob,cy" },
 * });
 * runWorld(world, { seed: 1, faults: NO_FAULTS });
 * ```
 */
export class Terminating<M, State, Request, Reply>
  implements Application<TerminatingMessage<M>, TerminatingState<State>, Request, Reply>
{
  readonly #options: TerminatingOptions<M, State, Request, Reply>;
  readonly #ring: readonly ProcessId[];
  #safra: Safra;
  #isOver: boolean = false;
  #unsent: TerminatingMessage<never> | null = null;
  /** There if the application takes requests. */
  readonly request?: (
    id: number,
    request: Request,
    turn: Turn<TerminatingMessage<M>, Reply>,
  ) => void;
  /** What the application declares; of what belongs to the detection, that there is nothing in it. */
  readonly goods?: Said<M, Goods>;
  readonly isPassive?: Said<M, boolean>;
  readonly references?: Said<M, References>;
  readonly waits?: () => readonly Wait[];
  readonly grants?: (message: TerminatingMessage<M>) => boolean | readonly Grant[];

  /** @throws TidemarkError `BAD_ID`, `BAD_OPTION`, `UNKNOWN_PROCESS` */
  constructor(options: TerminatingOptions<M, State, Request, Reply>) {
    const { self, processes, application, everyMs = EVERY_MS } = options;
    if (!Number.isSafeInteger(everyMs) || everyMs < 1)
      throw new TidemarkError(
        "BAD_OPTION",
        `everyMs must be a whole number from 1, not ${everyMs}`,
      );
    this.#options = options;
    this.#ring = [...processes].sort();
    this.#safra = new Safra(self, processes);
    if (application.request)
      this.request = (id, request, turn) =>
        this.#run(turn, (own) => application.request?.(id, request, own));
    if (application.goods) this.goods = declared(application, application.goods, {});
    if (application.isPassive) this.isPassive = declared(application, application.isPassive, true);
    if (application.references) this.references = declared(application, application.references, {});
    if (application.waits) this.waits = () => application.waits?.() ?? [];
    if (application.grants)
      this.grants = (content) =>
        "message" in content && (application.grants?.(content.message) ?? false);
  }

  start(turn: Turn<TerminatingMessage<M>, Reply>): void {
    this.#wake(turn);
    this.#run(turn, (own) => this.#options.application.start?.(own));
  }

  resume(turn: Turn<TerminatingMessage<M>, Reply>): void {
    this.#wake(turn);
    this.#run(turn, (own) => this.#options.application.resume?.(own));
  }

  receive(
    from: ProcessId,
    content: TerminatingMessage<M>,
    turn: Turn<TerminatingMessage<M>, Reply>,
  ): void {
    const given: unknown = content;
    if (typeof given !== "object" || given === null) this.#irregular(from);
    else if ("message" in content) {
      this.#step({ type: "received" }, turn);
      this.#run(turn, (own) => this.#options.application.receive?.(from, content.message, own));
    } else if ("token" in content)
      this.#step({ type: "control", from, message: content.token }, turn);
    else if ("terminated" in content && from === this.#beside(-1)) this.#end(turn);
    else this.#irregular(from);
  }

  timer(name: string, turn: Turn<TerminatingMessage<M>, Reply>): void {
    if (name !== TIMER) {
      this.#run(turn, (own) => this.#options.application.timer?.(name, own));
      return;
    }
    const unsent = this.#unsent;
    this.#unsent = null;
    if (unsent) this.#send(unsent, turn);
    if (!this.#isOver) this.#step({ type: "probe" }, turn);
  }

  writable(to: ProcessId, turn: Turn<TerminatingMessage<M>, Reply>): void {
    this.#run(turn, (own) => this.#options.application.writable?.(to, own));
  }

  peer(id: ProcessId, change: PeerChange, turn: Turn<TerminatingMessage<M>, Reply>): void {
    if (change === "restarted") this.#step({ type: "lost" }, turn);
    this.#run(turn, (own) => this.#options.application.peer?.(id, change, own));
  }

  capture(): TerminatingState<State> | FrozenState {
    const safra = { ...this.#safra.state };
    const own: TerminationState = { safra, isOver: this.#isOver, unsent: this.#unsent };
    const captured = this.#options.application.capture();
    if (!(captured instanceof FrozenState)) return { ...own, state: captured };
    let begun = false;
    return new FrozenState(
      () => {
        if (!begun) {
          begun = true;
          return own;
        }
        const slice = captured.next();
        return slice === undefined ? undefined : { slice };
      },
      () => captured.release(),
    );
  }

  restore(state: TerminatingState<State>, renamed?: Renamed): void {
    const { self, processes, application } = this.#options;
    const slices = Array.isArray(state) ? (state as readonly TerminatingSlice[]) : undefined;
    const own = (slices ? slices[0] : state) as TerminationState;
    this.#safra = new Safra(self, processes, { ...own.safra });
    this.#isOver = own.isOver;
    this.#unsent = own.unsent;
    // The ring may be another one.
    if (renamed && renamed.size > 0) this.#safra.step({ type: "lost" });
    const rest = slices?.flatMap((one) => ("slice" in one ? [one.slice] : []));
    application.restore((rest ?? (state as { readonly state: State }).state) as State, renamed);
  }

  // Within a turn.

  #run(turn: Turn<TerminatingMessage<M>, Reply>, act: (own: Turn<M, Reply>) => void): void {
    act(this.#turnFor(turn));
    const isPassive = this.#options.application.isPassive?.() ?? true;
    this.#step({ type: isPassive ? "passive" : "active" }, turn);
  }

  /** As the application sees it: what it sends is counted, once it is surely sent. */
  #turnFor(turn: Turn<TerminatingMessage<M>, Reply>): Turn<M, Reply> {
    const { self, nowMs, random, replays, peers } = turn;
    return {
      ...{ self, nowMs, random, replays, peers },
      send: (to, message) => {
        let hasRoom = true;
        // One by one: of several that are sent to at once, one that has no room would leave the others in doubt.
        for (const id of typeof to === "string" ? [to] : to) {
          hasRoom = turn.send(id, { message }) && hasRoom;
          this.#step({ type: "sent" }, turn);
        }
        return hasRoom;
      },
      reply: (request, reply) => turn.reply(request, reply),
      setTimer: (name, afterMs) => turn.setTimer(name, afterMs),
    };
  }

  #step(input: SafraInput, turn: Turn<TerminatingMessage<M>, Reply>): void {
    for (const effect of this.#safra.step(input))
      if (effect.type === "control") this.#send({ token: effect.message }, turn);
      else if (effect.type === "unfinished") this.#wake(turn);
      else if (effect.type === "terminated") this.#end(turn);
      else this.#options.onIrregular?.(effect.reason);
  }

  #end(turn: Turn<TerminatingMessage<M>, Reply>): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#ring.indexOf(turn.self) < this.#ring.length - 1)
      this.#send({ terminated: true }, turn);
    this.#run(turn, (own) => this.#options.application.terminated?.(own));
  }

  /** To the next one in the ring. */
  #send(message: TerminatingMessage<never>, turn: Turn<TerminatingMessage<M>, Reply>): void {
    try {
      turn.send(this.#beside(1), message);
    } catch (thrown) {
      if (!isTidemarkError(thrown, "CHANNEL_FULL")) throw thrown;
      this.#unsent = message;
      turn.setTimer(TIMER, this.#options.everyMs ?? EVERY_MS);
    }
  }

  #wake(turn: Turn<TerminatingMessage<M>, Reply>): void {
    const isWanted = this.#safra.isLeader || this.#unsent !== null;
    if (isWanted) turn.setTimer(TIMER, this.#options.everyMs ?? EVERY_MS);
  }

  #beside(step: 1 | -1): ProcessId {
    const { length } = this.#ring;
    const at = this.#ring.indexOf(this.#options.self);
    return this.#ring[(at + step + length) % length] as ProcessId;
  }

  #irregular(from: ProcessId): void {
    this.#options.onIrregular?.(
      `a message of ${from} is neither the application's nor one of the detection`,
    );
  }
}
