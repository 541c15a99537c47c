/** Which key is the next to expire. Entries that have been overtaken by another deadline are found out when they come up. */

export interface Deadline {
  readonly atMs: number;
  readonly db: number;
  readonly key: string;
}

export class DeadlineHeap {
  #entries: Deadline[] = [];

  get size(): number {
    return this.#entries.length;
  }

  /** When the next one is due; infinite if there is none. */
  get nextMs(): number {
    return this.#entries[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  clear(): void {
    this.#entries = [];
  }

  add(atMs: number, db: number, key: string): void {
    const entries = this.#entries;
    const entry = { atMs, db, key };
    let at = entries.length;
    entries.push(entry);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = entries[above] as Deadline;
      if (parent.atMs <= atMs) break;
      entries[at] = parent;
      at = above;
    }
    entries[at] = entry;
  }

  take(): Deadline | undefined {
    const entries = this.#entries;
    const [first] = entries;
    const last = entries.pop();
    if (first === undefined || last === undefined || entries.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= entries.length) break;
      const right = entries[below + 1];
      if (right !== undefined && right.atMs < (entries[below] as Deadline).atMs) below += 1;
      const child = entries[below] as Deadline;
      if (child.atMs >= last.atMs) break;
      entries[at] = child;
      at = below;
    }
    entries[at] = last;
    return first;
  }
}
