/**
 * Stands between a process and its application, and writes down what passes: every message as bytes, in the order in which
 * it was sent and received, and where in that order the state was captured. It knows nothing of links,
 * markers or counters, so it can judge what the machines say.
 *
 * What goes through a channel between one life of a process and one life of another is a stretch. A process that
 * hears that a peer came back as another begins a new stretch with it.
 */

import type { ProcessId } from "../core/id.ts";
import type { ProcessObserver } from "../core/observer.ts";
import type { Random } from "../core/random.ts";
import { copyOf } from "../core/record.ts";
import type { ChannelOrder } from "../link/link.ts";
import {
  type Application,
  FrozenState,
  type PeerChange,
  type Turn,
} from "../process/application.ts";
import type { Codec } from "../process/codec.ts";
import { checkMethod, lookAt, slicesOf } from "./seen.ts";

/** A broken promise. `check` names which. */
export class Violation extends Error {
  readonly check: string;
  /** How many things had happened in the run, if it was one of `runWorld`. */
  events: number = 0;

  constructor(check: string, message: string) {
    super(`${check}: ${message}`);
    this.check = check;
  }
}

/** What one life of a process saw of its channels with one life of another. */
export interface Stretch {
  /** The incarnation of the peer; 0 until it is known. */
  peerLife: number;
  readonly sent: MessageLog;
  readonly received: MessageLog;
}

/** Messages as bytes, one behind the other: there are many, and an object for each would cost more than all else here. */
export class MessageLog {
  #bytes = new Uint8Array(256);
  readonly #ends: number[] = [];

  get length(): number {
    return this.#ends.length;
  }

  push(message: Uint8Array): void {
    const at = this.#ends.at(-1) ?? 0;
    const end = at + message.length;
    if (end > this.#bytes.length) {
      const more = new Uint8Array(Math.max(2 * this.#bytes.length, end));
      more.set(this.#bytes);
      this.#bytes = more;
    }
    this.#bytes.set(message, at);
    this.#ends.push(end);
  }

  /** As of an array; views, which stay as they are. */
  slice(from: number, to: number = this.length): Uint8Array[] {
    return this.#ends
      .slice(from, to)
      .map((end, i) => this.#bytes.subarray(this.#ends[from + i - 1] ?? 0, end));
  }
}

/** Where a process was when its state was captured. */
export interface Cut {
  readonly process: ProcessId;
  readonly life: number;
  /** The state as bytes, encoded there and then; `undefined` of a frozen one. */
  readonly state: Uint8Array | undefined;
  readonly channels: ReadonlyMap<
    ProcessId,
    { readonly stretch: Stretch; readonly sent: number; readonly received: number }
  >;
}

/** What an application does, as others may want to see it. */
export type Happening<M, Request, Reply> =
  | { readonly type: "send"; readonly to: ProcessId; readonly message: M }
  | { readonly type: "receive"; readonly from: ProcessId; readonly message: M }
  | { readonly type: "request"; readonly id: number; readonly request: Request }
  | { readonly type: "reply"; readonly id: number; readonly reply: Reply }
  | { readonly type: "timer"; readonly name: string };

export interface WitnessOptions<M, State, Request, Reply> {
  readonly process: ProcessId;
  readonly life: number;
  readonly application: Application<M, State, Request, Reply>;
  readonly messageCodec: Codec<M>;
  readonly stateCodec: Codec<unknown>;
  /** Throws when a capture is to fail. */
  readonly beforeCapture: () => void;
  readonly happens: ((happening: Happening<M, Request, Reply>) => void) | undefined;
}

/** See the head of the file. */
export class Witness<M, State, Request, Reply> implements Application<M, State, Request, Reply> {
  readonly stretches: Map<ProcessId, Stretch> = new Map();
  /** To be given to the process, so that what it encodes and decodes passes here. */
  readonly messageCodec: Codec<M>;
  /** Captured in this turn, and not yet known for which snapshots. */
  readonly cuts: Cut[] = [];
  readonly #options: WitnessOptions<M, State, Request, Reply>;
  readonly #turn: WitnessTurn<M, Reply>;
  #encoded: Uint8Array = new Uint8Array(0);
  #decoded: Uint8Array = new Uint8Array(0);

  constructor(options: WitnessOptions<M, State, Request, Reply>) {
    this.#options = options;
    const { messageCodec, happens } = options;
    this.messageCodec = {
      ...messageCodec,
      encode: (message) => {
        this.#encoded = messageCodec.encode(message);
        return this.#encoded;
      },
      decode: (bytes) => {
        this.#decoded = bytes;
        return messageCodec.decode(bytes);
      },
    };
    this.#turn = new WitnessTurn<M, Reply>(
      (to, message) => {
        this.with(to).sent.push(this.#encoded);
        happens?.({ type: "send", to, message });
      },
      (id, reply) => happens?.({ type: "reply", id, reply }),
    );
  }

  start(turn: Turn<M, Reply>): void {
    checkMethod("start", this.#options.application.start?.(this.#turn.of(turn)));
  }

  receive(from: ProcessId, message: M, turn: Turn<M, Reply>): void {
    const { application, happens, process } = this.#options;
    const { received } = this.with(from);
    received.push(this.#decoded);
    happens?.({ type: "receive", from, message });
    if (!application.receive) throw new TypeError(`the application of ${process} has no receive`);
    checkMethod("receive", application.receive(from, message, this.#turn.of(turn)));
  }

  request(id: number, request: Request, turn: Turn<M, Reply>): void {
    const { application, happens, process } = this.#options;
    happens?.({ type: "request", id, request });
    if (!application.request) throw new TypeError(`the application of ${process} has no request`);
    checkMethod("request", application.request(id, request, this.#turn.of(turn)));
  }

  timer(name: string, turn: Turn<M, Reply>): void {
    this.#options.happens?.({ type: "timer", name });
    checkMethod("timer", this.#options.application.timer?.(name, this.#turn.of(turn)));
  }

  writable(to: ProcessId, turn: Turn<M, Reply>): void {
    checkMethod("writable", this.#options.application.writable?.(to, this.#turn.of(turn)));
  }

  peer(id: ProcessId, change: PeerChange, turn: Turn<M, Reply>): void {
    this.#options.application.peer?.(id, change, this.#turn.of(turn));
  }

  orderLogs(): Readonly<Record<string, { readonly epoch: number; readonly position: number }>> {
    return this.#options.application.orderLogs?.() ?? {};
  }

  orderLogOpen(log: string, epoch: number, turn: Turn<M, Reply>): void {
    this.#options.application.orderLogOpen?.(log, epoch, this.#turn.of(turn));
  }

  orderLogRead(log: string, position: number, text: string, turn: Turn<M, Reply>): void {
    this.#options.application.orderLogRead?.(log, position, text, this.#turn.of(turn));
  }

  capture(): State | FrozenState {
    const { application, beforeCapture, stateCodec, process, life } = this.#options;
    beforeCapture();
    const captured = application.capture();
    checkMethod("capture", captured);
    const channels = new Map(
      [...this.stretches].map(([peer, stretch]) => [
        peer,
        { stretch, sent: stretch.sent.length, received: stretch.received.length },
      ]),
    );
    const state = captured instanceof FrozenState ? undefined : copyOf(stateCodec.encode(captured));
    this.cuts.push({ process, life, state, channels });
    return captured;
  }

  values(): Readonly<Record<string, unknown>> | undefined {
    return this.#options.application.values?.();
  }

  resume(turn: Turn<M, Reply>): void {
    checkMethod("resume", this.#options.application.resume?.(this.#turn.of(turn)));
  }

  restore(state: State): void {
    checkMethod("restore", this.#options.application.restore(state));
  }

  /** The stretch with that life of the peer. */
  stretchOf(peer: ProcessId, peerLife: number): Stretch {
    const stretch = this.with(peer);
    return stretch.peerLife === peerLife || peerLife === 0 ? stretch : stretchWith(peerLife);
  }

  /** The state now, as bytes: to go on from. */
  keep(): { readonly slices: readonly Uint8Array[]; readonly sliced: boolean } {
    const { application, stateCodec } = this.#options;
    const captured = application.capture();
    const sliced = captured instanceof FrozenState;
    const values = sliced ? slicesOf(captured) : [captured];
    return { slices: values.map((value) => copyOf(stateCodec.encode(value))), sliced };
  }

  /** The state now, outside any snapshot. */
  look(): State {
    return lookAt<State>(this.#options.application, this.#options.stateCodec);
  }

  /** The peer is there; with another life than before it is another. */
  met(peer: ProcessId, life: number): void {
    const stretch = this.with(peer);
    if (stretch.peerLife === 0) stretch.peerLife = life;
    if (stretch.peerLife !== life) this.stretches.set(peer, stretchWith(life));
  }

  /** What passes on the channels with that peer begins with this; it was sent, or received, before this life. */
  begin(
    peer: ProcessId,
    peerLife: number,
    sent: readonly Uint8Array[],
    received: readonly Uint8Array[],
  ): void {
    const stretch = stretchWith(peerLife);
    for (const message of sent) stretch.sent.push(message);
    for (const message of received) stretch.received.push(message);
    this.stretches.set(peer, stretch);
  }

  with(peer: ProcessId): Stretch {
    let stretch = this.stretches.get(peer);
    if (!stretch) {
      stretch = stretchWith(0);
      this.stretches.set(peer, stretch);
    }
    return stretch;
  }
}

function stretchWith(peerLife: number): Stretch {
  return { peerLife, sent: new MessageLog(), received: new MessageLog() };
}

/** The turn that the application gets: the process' own, and what it sends is written down. */
class WitnessTurn<M, Reply> implements Turn<M, Reply> {
  readonly #sent: (to: ProcessId, message: M) => void;
  readonly #replied: (id: number, reply: Reply) => void;
  #turn!: Turn<M, Reply>;

  constructor(
    sent: (to: ProcessId, message: M) => void,
    replied: (id: number, reply: Reply) => void,
  ) {
    this.#sent = sent;
    this.#replied = replied;
  }

  of(turn: Turn<M, Reply>): this {
    this.#turn = turn;
    return this;
  }

  get self(): ProcessId {
    return this.#turn.self;
  }

  get nowMs(): number {
    return this.#turn.nowMs;
  }

  get random(): Random {
    return this.#turn.random;
  }

  get replays(): boolean {
    return this.#turn.replays;
  }

  get peers(): readonly ProcessId[] {
    return this.#turn.peers;
  }

  get observer(): ProcessObserver | undefined {
    return this.#turn.observer;
  }

  writeOrderLog(log: string, text: string): void {
    this.#turn.writeOrderLog?.(log, text);
  }

  send(to: ProcessId | readonly ProcessId[], message: M): boolean {
    const room = this.#turn.send(to, message);
    if (typeof to === "string") this.#sent(to, message);
    else for (const one of to) this.#sent(one, message);
    return room;
  }

  reply(request: number, reply: Reply): void {
    this.#turn.reply(request, reply);
    this.#replied(request, reply);
  }

  setTimer(name: string, afterMs: number): void {
    this.#turn.setTimer(name, afterMs);
  }
}

/**
 * The messages in flight from `p` to `q` by two cuts: sent before the one, not received before the other.
 * @throws Violation `consistency` if one was received that was not sent
 */
export function inFlightBetween(p: Cut, q: Cut, order: ChannelOrder): readonly Uint8Array[] {
  const out = p.channels.get(q.process);
  const into = q.channels.get(p.process);
  const channel = `${p.process} → ${q.process}`;
  for (const [end, other] of [
    [out, q],
    [into, p],
  ] as const)
    if (end && end.stretch.peerLife !== other.life)
      throw new Violation("lives", `${channel}: a cut of another life of ${other.process}`);
  const sent = out?.stretch.sent.slice(0, out.sent) ?? [];
  const received = into?.stretch.received.slice(0, into.received) ?? [];
  return restOf(sent, received, order, "consistency", `${channel} at the cut`);
}

/**
 * What is left of `sent` without `received`: of a channel that is FIFO, `received` must be its beginning; of another,
 * any part of it, each message as often as it was sent.
 * @throws Violation if something else was received
 */
export function restOf(
  sent: readonly Uint8Array[],
  received: readonly Uint8Array[],
  order: ChannelOrder,
  check: string,
  place: string,
): readonly Uint8Array[] {
  let number = 0;
  while (number < received.length && sameBytes(sent[number], received[number])) number += 1;
  const rest = sent.slice(number);
  for (; number < received.length; number += 1) {
    // What overtakes does not overtake much: it is found near the beginning.
    const at = order === "fifo" ? -1 : rest.findIndex((one) => sameBytes(one, received[number]));
    if (at < 0)
      throw new Violation(
        check,
        `${place}: what was received as number ${number} is not what was sent (${sent.length} were)`,
      );
    rest.splice(at, 1);
  }
  return rest;
}

export function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (!a || a.length !== b?.length) return false;
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false;
  return true;
}
