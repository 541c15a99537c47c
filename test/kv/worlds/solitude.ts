/** When processes of a simulated world had a connection to no other one. */

import type { ProcessId } from "../../../src/core/id.ts";
import type { SimulationEvent } from "../../../src/sim.ts";

/** See the head of the file. */
export class Solitude {
  readonly #peers = new Map<ProcessId, Set<ProcessId>>();
  /** By process: from when to when. */
  readonly #spans = new Map<ProcessId, [from: number, to: number][]>();

  hear(process: ProcessId, happening: SimulationEvent["happening"], nowMs: number): void {
    const { type } = happening;
    if (type !== "up" && type !== "down" && type !== "crash") return;
    const peers = this.#peers.get(process) ?? new Set();
    this.#peers.set(process, peers);
    const spans = this.#spans.get(process) ?? [];
    this.#spans.set(process, spans);
    const wasAlone = peers.size === 0;
    if (type === "crash") peers.clear();
    else if (happening.peer !== undefined) {
      if (type === "up") peers.add(happening.peer);
      else peers.delete(happening.peer);
    }
    const last = spans.at(-1);
    if (!wasAlone && peers.size === 0) spans.push([nowMs, Number.POSITIVE_INFINITY]);
    else if (last && wasAlone && peers.size > 0) last[1] = nowMs;
  }

  has(process: ProcessId, fromMs: number, toMs: number): boolean {
    return (this.#spans.get(process) ?? []).some(([from, to]) => from < fromMs && toMs < to);
  }
}
