/**
 * Logical clocks. Lamport 1978 ("Time, Clocks, and the Ordering of Events"): a number that grows along
 * happens-before. Mattern 1989 and Fidge 1988: a vector of counts that *is* happens-before.
 */

import type { ProcessId } from "./id.ts";

/**
 * A Lamport clock (Lamport 1978, rules IR1 and IR2).
 *
 * @example
 * ```ts
 * import { LamportClock } from "tidemark";
 * const a = new LamportClock();
 * const b = new LamportClock();
 * const stamp = a.tick();
 * if (b.receive(stamp) <= stamp) throw new Error("a receive is later than its send");
 * ```
 */
export class LamportClock {
  #time: number;

  constructor(time = 0) {
    this.#time = time;
  }

  get time(): number {
    return this.#time;
  }

  /** A local event or a send: gives its stamp. */
  tick(): number {
    return ++this.#time;
  }

  /** A receive of a message with that stamp: gives the stamp of the receive. */
  receive(stamp: number): number {
    this.#time = Math.max(this.#time, stamp) + 1;
    return this.#time;
  }
}

/** A vector stamp: how many events of each process are known. A process that is absent counts 0. */
export type VectorStamp = Readonly<Record<ProcessId, number>>;

/** How two vector stamps stand to each other. */
export type Relation = "equal" | "before" | "after" | "concurrent";

/** An id may be `constructor`: only own entries count. */
const countOf = (stamp: VectorStamp, id: ProcessId): number =>
  Object.hasOwn(stamp, id) ? (stamp[id] ?? 0) : 0;

/** Compares two vector stamps: `before` means the first event happens before the second. */
export function compareStamps(a: VectorStamp, b: VectorStamp): Relation {
  let less = false;
  let more = false;
  for (const id of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const x = countOf(a, id);
    const y = countOf(b, id);
    if (x < y) less = true;
    if (x > y) more = true;
  }
  if (less) return more ? "concurrent" : "before";
  return more ? "after" : "equal";
}

/**
 * The vector clock of one process.
 *
 * @example
 * ```ts
 * import { VectorClock, compareStamps } from "tidemark";
 * const a = new VectorClock("a");
 * const b = new VectorClock("b");
 * const sent = a.tick();
 * const alone = b.tick();
 * if (compareStamps(sent, alone) !== "concurrent") throw new Error("neither knows of the other");
 * if (compareStamps(sent, b.receive(sent)) !== "before") throw new Error("a send is before its receive");
 * ```
 */
export class VectorClock {
  readonly self: ProcessId;
  readonly #counts: Map<ProcessId, number>;

  constructor(self: ProcessId, stamp: VectorStamp = {}) {
    this.self = self;
    this.#counts = new Map(Object.entries(stamp));
  }

  get stamp(): VectorStamp {
    return Object.fromEntries(this.#counts);
  }

  /** A local event or a send: gives its stamp. */
  tick(): VectorStamp {
    this.#counts.set(this.self, (this.#counts.get(this.self) ?? 0) + 1);
    return this.stamp;
  }

  /** A receive of a message with that stamp: gives the stamp of the receive. */
  receive(stamp: VectorStamp): VectorStamp {
    for (const [id, count] of Object.entries(stamp)) {
      if (count > (this.#counts.get(id) ?? 0)) this.#counts.set(id, count);
    }
    return this.tick();
  }
}
