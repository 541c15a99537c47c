/**
 * A transport on which some peers are far away: what is sent to them leaves late, in order. For showing what late messages do; a
 * network that does worse is made by spoiled-transport.ts.
 *
 * Theory of operation. Each peer has a queue of frames with the times at which they are due, and one timer, for the first of them. A
 * frame is never due before the one in front of it, so order is kept when a delay gets shorter; what waits then leaves earlier. Only
 * what the owner sends as soon as it hears of the peer is not late: by that links find each other, in both directions.
 */

import type { ProcessId } from "../core/id.ts";
import {
  checkFrameSize,
  checkWhole,
  type Frame,
  type Transport,
  type TransportEvents,
  type TransportGuarantees,
  type TransportIdentity,
} from "./transport.ts";

/** A peer, and what is to leave for it. */
interface Target {
  delayMs: number;
  up: boolean;
  /** The owner is being told that it is up. */
  meeting: boolean;
  readonly waiting: { readonly frame: Frame; dueMs: number }[];
  waitingBytes: number;
  timer: NodeJS.Timeout | undefined;
}

/** So much may wait for one peer; when there is more, `send` gives false. */
const MAX_WAITING_BYTES = 67_108_864;
/** When a frame is due while the transport below has no room. */
const RETRY_MS = 10;
const DELAY_MS_MAX = 2 ** 31 - 1;

/** Guarantees what the inner transport does. `close` passes on at once what waits. */
export class DelayedTransport implements Transport {
  readonly #inner: Transport;
  readonly #targets = new Map<ProcessId, Target>();

  constructor(inner: Transport) {
    this.#inner = inner;
  }

  get guarantees(): TransportGuarantees {
    return this.#inner.guarantees;
  }

  get maxFrameBytes(): number {
    return this.#inner.maxFrameBytes;
  }

  get address(): string | undefined {
    return this.#inner.address;
  }

  /** What is delayed, and for how long, in milliseconds. */
  get delays(): Readonly<Record<ProcessId, number>> {
    return Object.fromEntries(
      [...this.#targets].flatMap(([id, { delayMs }]) => (delayMs > 0 ? [[id, delayMs]] : [])),
    );
  }

  /**
   * From now on what is sent to that peer leaves so many milliseconds later, 0 for at once. What waits already leaves no later than that.
   * @throws TidemarkError `BAD_OPTION`
   */
  delay(peer: ProcessId, delayMs: number): void {
    const target = this.#target(peer);
    target.delayMs = checkWhole("delayMs", delayMs, 0, DELAY_MS_MAX);
    const latestMs = performance.now() + delayMs;
    for (const one of target.waiting) one.dueMs = Math.min(one.dueMs, latestMs);
    this.#wake(peer, target);
  }

  open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    return this.#inner.open(identity, {
      peerUp: (peer, incarnation) => {
        const target = this.#target(peer);
        target.up = true;
        target.meeting = true;
        events.peerUp(peer, incarnation);
        target.meeting = false;
      },
      peerDown: (peer, reason) => {
        const target = this.#target(peer);
        target.up = false;
        target.waiting.length = 0;
        target.waitingBytes = 0;
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
      clearTimeout(target.timer);
      target.waiting.length = 0;
      target.waitingBytes = 0;
      target.up = false;
    }
  }

  send(to: ProcessId, frame: Frame): boolean {
    checkFrameSize(to, frame, this.maxFrameBytes);
    const target = this.#targets.get(to);
    if (!target?.up) return false;
    const late = target.delayMs > 0 && !target.meeting;
    if (!late && target.waiting.length === 0) return this.#inner.send(to, frame);
    if (target.waitingBytes + frame.length > MAX_WAITING_BYTES) return false;
    const lastMs = target.waiting.at(-1)?.dueMs ?? 0;
    const dueMs = Math.max(lastMs, performance.now() + target.delayMs);
    target.waiting.push({ frame, dueMs });
    target.waitingBytes += frame.length;
    if (target.waiting.length === 1) this.#wake(to, target);
    return true;
  }

  buffered(to: ProcessId): number {
    return this.#inner.buffered(to) + (this.#targets.get(to)?.waitingBytes ?? 0);
  }

  close(): Promise<void> {
    for (const [id, target] of this.#targets) {
      clearTimeout(target.timer);
      for (const { frame } of target.waiting.splice(0)) this.#inner.send(id, frame);
      target.waitingBytes = 0;
      target.up = false;
    }
    return this.#inner.close();
  }

  #target(id: ProcessId): Target {
    let target = this.#targets.get(id);
    if (!target) {
      target = {
        delayMs: 0,
        up: false,
        meeting: false,
        waiting: [],
        waitingBytes: 0,
        timer: undefined,
      };
      this.#targets.set(id, target);
    }
    return target;
  }

  /** At the time of the first one that waits. */
  #wake(id: ProcessId, target: Target, leastMs = 0): void {
    clearTimeout(target.timer);
    const [first] = target.waiting;
    if (!first) return;
    const ms = Math.max(leastMs, first.dueMs - performance.now());
    target.timer = setTimeout(() => this.#letGo(id, target), ms);
  }

  #letGo(id: ProcessId, target: Target): void {
    const nowMs = performance.now();
    for (let [first] = target.waiting; first && first.dueMs <= nowMs; [first] = target.waiting)
      if (this.#inner.send(id, first.frame)) {
        target.waiting.shift();
        target.waitingBytes -= first.frame.length;
      } else {
        this.#wake(id, target, RETRY_MS);
        return;
      }
    this.#wake(id, target);
  }
}
