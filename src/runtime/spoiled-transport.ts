/**
 * A bad network, made from a good one: wraps a transport and loses, delays or repeats frames that are
 * sent through it, as its seed decides. For tests of whatever must survive that.
 *
 * Theory of operation. Each peer has its own random numbers, from the seed, the sender and the peer, and
 * each frame takes the same count of them: so what befalls the n-th frame to a peer depends on the seed
 * alone, not on when frames to others were sent. Each delayed frame has a timer, and so frames overtake
 * each other. When a peer goes down, what is on the way to it is lost.
 */

import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { Random } from "../core/random.ts";
import { copyOf } from "../core/record.ts";
import {
  checkFrameSize,
  checkWhole,
  type Frame,
  type Transport,
  type TransportEvents,
  type TransportGuarantees,
  type TransportIdentity,
} from "./transport.ts";

/** What `spoiledTransport` does to frames. */
export interface SpoiledOptions {
  /** Decides what befalls each frame. */
  readonly seed: number | string;
  /**
   * The least and the most that a frame is held up, in whole milliseconds; each its own time, so that
   * later frames overtake earlier ones.
   * @default none: frames are passed on at once, in order
   */
  readonly delayMs?: readonly [least: number, most: number];
  /**
   * The probability that a frame is lost.
   * @default 0
   */
  readonly loss?: number;
  /**
   * The probability that a frame that is not lost comes a second time, `delayMs` (or 1 to 10
   * milliseconds) after the first.
   * @default 0
   */
  readonly repeat?: number;
}

/** So much may be held up for all peers together; when there is more, `send` gives false. */
const MAX_HELD_FRAMES = 10_000;
const MAX_HELD_BYTES = 67_108_864;
/** When a frame comes due while the transport below has no room. */
const RETRY_MS = 10;

/**
 * Wraps a transport so that frames sent through it are lost, delayed and repeated at random. It guarantees
 * what the inner transport does, less what it spoils: order if there is a delay, that nothing is lost
 * if there is loss, that nothing is repeated if there is repetition.
 *
 * No more than 10,000 frames and 64 MiB are held up; beyond that `send` gives false: the frame was
 * dropped. `close` passes on at once what is still held up.
 *
 * @throws TidemarkError `BAD_OPTION`
 * @example
 * ```ts
 * import { MemoryNetwork, spoiledTransport } from "tidemark";
 * const bad = spoiledTransport(new MemoryNetwork().transport(), { seed: 7, delayMs: [0, 20], loss: 0.1 });
 * if (bad.guarantees.fifo || bad.guarantees.lossless) throw new Error("it says what it spoils");
 * ```
 */
export function spoiledTransport(inner: Transport, options: SpoiledOptions): Transport {
  return new SpoiledTransport(inner, options);
}

/** A peer, and what is on the way to it. */
interface Target {
  readonly id: ProcessId;
  readonly random: Random;
  /** The timers of the frames that are held up, in the order they were sent. */
  readonly held: Map<NodeJS.Timeout, Frame>;
  heldBytes: number;
  up: boolean;
}

class SpoiledTransport implements Transport {
  readonly guarantees: TransportGuarantees;
  readonly #inner: Transport;
  readonly #seed: number | string;
  readonly #delayMs: readonly [number, number] | undefined;
  readonly #loss: number;
  readonly #repeat: number;
  readonly #targets = new Map<ProcessId, Target>();
  #self: ProcessId = "";
  #heldFrames = 0;
  #heldBytes = 0;

  constructor(inner: Transport, { seed, delayMs, loss = 0, repeat = 0 }: SpoiledOptions) {
    if (typeof seed !== "string" && !Number.isFinite(seed))
      throw new TidemarkError("BAD_OPTION", `seed must be a number or a text, not ${String(seed)}`);
    const least = checkWhole("delayMs[0]", delayMs?.[0] ?? 0, 0, 2 ** 31 - 1);
    const most = checkWhole("delayMs[1]", delayMs?.[1] ?? 0, least, 2 ** 31 - 1);
    this.#inner = inner;
    this.#seed = seed;
    this.#delayMs = most === 0 ? undefined : [least, most];
    this.#loss = checkProbability("loss", loss);
    this.#repeat = checkProbability("repeat", repeat);
    const { fifo, lossless, duplicateFree } = inner.guarantees;
    this.guarantees = {
      fifo: fifo && this.#delayMs === undefined,
      lossless: lossless && loss === 0,
      duplicateFree: duplicateFree && repeat === 0,
    };
  }

  get maxFrameBytes(): number {
    return this.#inner.maxFrameBytes;
  }

  get address(): string | undefined {
    return this.#inner.address;
  }

  open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    this.#self = identity.self;
    return this.#inner.open(identity, {
      peerUp: (peer, incarnation) => {
        this.#target(peer).up = true;
        events.peerUp(peer, incarnation);
      },
      peerDown: (peer, reason) => {
        const target = this.#target(peer);
        target.up = false;
        for (const timer of target.held.keys()) this.#drop(target, timer);
        events.peerDown(peer, reason);
      },
      frame: (peer, frame) => events.frame(peer, frame),
      problem: (error) => events.problem(error),
      laterEpoch: (peer, epoch) => events.laterEpoch(peer, epoch),
    });
  }

  connect(peer: ProcessId, address: string): void {
    this.#inner.connect(peer, address);
  }

  advance(identity: Pick<TransportIdentity, "incarnation" | "epoch">): void {
    this.#inner.advance(identity);
    for (const target of this.#targets.values()) {
      target.up = false;
      for (const timer of target.held.keys()) this.#drop(target, timer);
    }
  }

  send(to: ProcessId, frame: Frame): boolean {
    checkFrameSize(to, frame, this.maxFrameBytes);
    const target = this.#targets.get(to);
    if (!target?.up) return false;
    const { random } = target;
    const lost = random.chance(this.#loss);
    const repeated = random.chance(this.#repeat);
    const [least, most] = this.#delayMs ?? [0, 0];
    const delayMs = random.between(least, most);
    const againMs = this.#delayMs ? random.between(least, most) : random.between(1, 10);
    if (lost) return true;
    const taken = delayMs === 0 ? this.#inner.send(to, frame) : this.#hold(target, frame, delayMs);
    // A copy, for once the frame has arrived the sender may write over it.
    if (taken && repeated) this.#hold(target, copyOf(frame), delayMs + againMs);
    return taken;
  }

  buffered(to: ProcessId): number {
    return this.#inner.buffered(to) + (this.#targets.get(to)?.heldBytes ?? 0);
  }

  close(): Promise<void> {
    for (const target of this.#targets.values()) {
      for (const [timer, frame] of target.held) {
        this.#drop(target, timer);
        this.#inner.send(target.id, frame);
      }
      target.up = false;
    }
    return this.#inner.close();
  }

  #target(id: ProcessId): Target {
    let target = this.#targets.get(id);
    if (target === undefined) {
      const random = new Random(`${this.#seed} ${this.#self} ${id}`);
      target = { id, random, held: new Map(), heldBytes: 0, up: false };
      this.#targets.set(id, target);
    }
    return target;
  }

  /** False: too much is held up already. */
  #hold(target: Target, frame: Frame, forMs: number): boolean {
    if (this.#heldFrames >= MAX_HELD_FRAMES || this.#heldBytes + frame.length > MAX_HELD_BYTES)
      return false;
    const timer = setTimeout(() => {
      this.#drop(target, timer);
      // What was taken arrives while the peer is up, even if the inner transport has no room just now.
      if (!this.#inner.send(target.id, frame) && target.up) this.#hold(target, frame, RETRY_MS);
    }, forMs);
    target.held.set(timer, frame);
    target.heldBytes += frame.length;
    this.#heldBytes += frame.length;
    this.#heldFrames += 1;
    return true;
  }

  #drop(target: Target, timer: NodeJS.Timeout): void {
    clearTimeout(timer);
    const bytes = target.held.get(timer)?.length ?? 0;
    target.held.delete(timer);
    target.heldBytes -= bytes;
    this.#heldBytes -= bytes;
    this.#heldFrames -= 1;
  }
}

function checkProbability(name: string, value: number): number {
  if (value >= 0 && value <= 1) return value;
  throw new TidemarkError("BAD_OPTION", `${name} must be from 0 to 1, not ${String(value)}`);
}
