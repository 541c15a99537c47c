/** Which process may send to which: the directed graph of channels. */

import { TidemarkError } from "./error.ts";
import { checkProcessId, type ProcessId } from "./id.ts";
import { Random } from "./random.ts";

/** A directed channel. */
export interface Channel {
  readonly from: ProcessId;
  readonly to: ProcessId;
}

/** All processes of a system and all channels between them. */
export class Topology {
  /** In ascending order. */
  readonly processes: readonly ProcessId[];
  /** A number from 0 to 2^32 - 1 that two equal topologies share; two others do by chance once in 2^32. */
  readonly fingerprint: number;
  readonly #out = new Map<ProcessId, readonly ProcessId[]>();
  readonly #in = new Map<ProcessId, readonly ProcessId[]>();

  /**
   * @param processes at least one, all different
   * @param channels `"mesh"` for one each way between any two, or the list
   * @throws TidemarkError `BAD_ID`, `BAD_OPTION`, `UNKNOWN_PROCESS`
   */
  constructor(processes: readonly ProcessId[], channels: "mesh" | readonly Channel[] = "mesh") {
    this.processes = [...processes].map(checkProcessId).sort();
    if (this.processes.length === 0)
      throw new TidemarkError("BAD_OPTION", "a system needs at least one process");
    const out = new Map<ProcessId, Set<ProcessId>>();
    const into = new Map<ProcessId, Set<ProcessId>>();
    for (const id of this.processes) {
      if (out.has(id)) throw new TidemarkError("BAD_OPTION", `process ${id} is listed twice`);
      out.set(id, new Set());
      into.set(id, new Set());
    }
    const add = (from: ProcessId, to: ProcessId): void => {
      const targets = out.get(from);
      const sources = into.get(to);
      if (!targets || !sources)
        throw new TidemarkError(
          "UNKNOWN_PROCESS",
          `channel ${from} → ${to} names ${targets ? to : from}, which is not a process of this system`,
        );
      if (from === to)
        throw new TidemarkError("BAD_OPTION", `${from} cannot have a channel to itself`);
      targets.add(to);
      sources.add(from);
    };
    if (channels === "mesh") {
      for (const from of this.processes)
        for (const to of this.processes) if (from !== to) add(from, to);
    } else {
      for (const { from, to } of channels) add(from, to);
    }
    for (const id of this.processes) {
      this.#out.set(id, [...(out.get(id) ?? [])].sort());
      this.#in.set(id, [...(into.get(id) ?? [])].sort());
    }
    const text = this.processes.map((id) => `${id}>${this.outgoing(id)}`).join(" ");
    this.fingerprint = new Random(text).bits();
  }

  /** True if the process is part of the system. */
  has(id: ProcessId): boolean {
    return this.#out.has(id);
  }

  /** The processes that `from` has a channel to, ascending. */
  outgoing(from: ProcessId): readonly ProcessId[] {
    return this.#out.get(from) ?? [];
  }

  /** The processes that have a channel to `to`, ascending. */
  incoming(to: ProcessId): readonly ProcessId[] {
    return this.#in.get(to) ?? [];
  }

  /** Every channel, by source, then destination. */
  channels(): Channel[] {
    return this.processes.flatMap((from) => this.outgoing(from).map((to) => ({ from, to })));
  }

  /** The processes that no path of channels leads to from `start`, ascending. */
  unreachableFrom(start: ProcessId): ProcessId[] {
    const seen = new Set<ProcessId>([start]);
    const open = [start];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      for (const to of this.outgoing(at)) {
        if (seen.has(to)) continue;
        seen.add(to);
        open.push(to);
      }
    }
    return this.processes.filter((id) => !seen.has(id));
  }

  /** The same system with one more process, with channels both ways to all others. */
  withMeshed(id: ProcessId): Topology {
    const others = this.processes.flatMap((other) => [
      { from: id, to: other },
      { from: other, to: id },
    ]);
    return new Topology([...this.processes, id], [...this.channels(), ...others]);
  }
}
