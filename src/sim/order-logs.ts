/** The logs that give groups their order, in a simulated world: as a log on other machines, which all processes read. */

interface Entry {
  readonly epoch: number;
  readonly text: string;
}

/** By name. A position is one of all epochs, from 1. */
export class OrderLogs {
  readonly #logs = new Map<string, Entry[]>();

  append(log: string, epoch: number, text: string): void {
    const entries = this.#logs.get(log) ?? [];
    entries.push({ epoch, text });
    this.#logs.set(log, entries);
  }

  /** The next text of that epoch behind a position. */
  next(
    log: string,
    epoch: number,
    after: number,
  ): { readonly position: number; readonly text: string } | undefined {
    const entries = this.#logs.get(log) ?? [];
    for (let at = after; at < entries.length; at += 1) {
      const entry = entries[at] as Entry;
      if (entry.epoch === epoch) return { position: at + 1, text: entry.text };
    }
    return undefined;
  }
}
