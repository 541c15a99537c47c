/**
 * What the applications of a world did, written down by themselves: every message that they sent or received, and where
 * in that order their state was captured. It knows nothing of links, markers or counters, so it can judge what the
 * machines say about a cut.
 *
 * What goes through a channel between one life of a process and one life of another is a stretch. A process that hears
 * that a peer came back as another begins a new stretch with it.
 */

import type { ProcessId } from "../../src/core/id.ts";

/** A broken promise; `check` names which. */
export class Violation extends Error {
  readonly check: string;

  constructor(check: string, message: string) {
    super(`${check}: ${message}`);
    this.check = check;
  }
}

/** What one process saw of its channels with one peer. Messages are numbers, none twice in a channel. */
export interface Stretch {
  /** Which life of the peer; 0 until it is known. */
  peerLife: number;
  readonly sent: number[];
  readonly received: number[];
}

/** Where one process was when its state was captured. */
export interface Cut<State> {
  readonly number: number;
  readonly process: ProcessId;
  readonly life: number;
  readonly state: State;
  readonly channels: ReadonlyMap<
    ProcessId,
    { readonly stretch: Stretch; readonly sent: number; readonly received: number }
  >;
}

/** One life of one process. */
export class Diary<State> {
  readonly process: ProcessId;
  readonly life: number;
  readonly stretches: Map<ProcessId, Stretch> = new Map();
  readonly #number: () => number;

  /** @param number gives another number each time, world-wide */
  constructor(process: ProcessId, life: number, number: () => number) {
    this.process = process;
    this.life = life;
    this.#number = number;
  }

  sent(to: ProcessId, message: number): void {
    this.with(to).sent.push(message);
  }

  received(from: ProcessId, message: number): void {
    this.with(from).received.push(message);
  }

  captured(state: State): Cut<State> {
    const channels = new Map(
      [...this.stretches].map(([peer, stretch]) => [
        peer,
        { stretch, sent: stretch.sent.length, received: stretch.received.length },
      ]),
    );
    const { process, life } = this;
    return { number: this.#number(), process, life, state, channels };
  }

  /** The peer is there; with another life than before it is another. */
  met(peer: ProcessId, life: number): void {
    const stretch = this.with(peer);
    if (stretch.peerLife === 0) stretch.peerLife = life;
    if (stretch.peerLife !== life)
      this.stretches.set(peer, { peerLife: life, sent: [], received: [] });
  }

  with(peer: ProcessId): Stretch {
    let stretch = this.stretches.get(peer);
    if (!stretch) {
      stretch = { peerLife: 0, sent: [], received: [] };
      this.stretches.set(peer, stretch);
    }
    return stretch;
  }
}

const nothing: Stretch = { peerLife: 0, sent: [], received: [] };

/**
 * The messages in flight from `p` to `q` by the two cuts: sent before the one, not received before the other, in the order of sending.
 * Throws `consistency` if one was received that was not sent or, if channels are FIFO, before one that was sent earlier.
 */
export function inFlight<State>(p: Cut<State>, q: Cut<State>, fifo: boolean): number[] {
  const out = p.channels.get(q.process) ?? { stretch: nothing, sent: 0, received: 0 };
  const into = q.channels.get(p.process) ?? { stretch: nothing, sent: 0, received: 0 };
  const channel = `${p.process} → ${q.process}`;
  for (const [stretch, other] of [
    [out.stretch, q],
    [into.stretch, p],
  ] as const)
    if (stretch !== nothing && stretch.peerLife !== other.life)
      throw new Violation("lives", `${channel}: a cut of another life of ${other.process}`);
  const sent = out.stretch.sent.slice(0, out.sent);
  const received = into.stretch.received.slice(0, into.received);
  if (fifo) mustBegin("consistency", `${channel} at the cut`, received, sent);
  const had = new Set(received);
  const left = sent.filter((message) => !had.has(message));
  if (left.length !== sent.length - received.length)
    throw new Violation("consistency", `${channel} at the cut: ${received} received of ${sent}`);
  return left;
}

/** Throws unless `received` is the beginning of `sent`. */
export function mustBegin(
  check: string,
  place: string,
  received: readonly number[],
  sent: readonly number[],
): void {
  const wrong = received.findIndex((message, index) => message !== sent[index]);
  if (wrong >= 0)
    throw new Violation(
      check,
      `${place}: message ${received[wrong]} was received as number ${wrong}, where ${sent[wrong] ?? "none"} was sent`,
    );
}
