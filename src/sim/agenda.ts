/** What is to happen in virtual time: the earliest first, and what was put down for the same moment in that order. */

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly act: () => void;
}

const before = (a: Entry, b: Entry): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** A heap of things to do. */
export class Agenda {
  readonly #heap: Entry[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** When the next is due; Infinity if nothing is. */
  get nextMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  add(atMs: number, act: () => void): void {
    const heap = this.#heap;
    const entry = { atMs, order: this.#order++, act };
    let at = heap.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!before(entry, heap[above] as Entry)) break;
      heap[at] = heap[above] as Entry;
      at = above;
    }
    heap[at] = entry;
  }

  /** Takes out the next. */
  take(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && before(heap[below + 1] as Entry, heap[below] as Entry))
        below += 1;
      if (before(last, heap[below] as Entry)) break;
      heap[at] = heap[below] as Entry;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}
