/** What one operating-system process of a system says of itself, for those who watch it over time. */

import { monitorEventLoopDelay } from "node:perf_hooks";
import type { RunningMeasures } from "../runtime/running-process.ts";

/** All of it. */
export interface HostMeasures {
  readonly running: RunningMeasures;
  /** Of a process of a store. */
  readonly store?: StoreMeasures;
  readonly usage: Usage;
}

/** What the operating system and V8 say. */
export interface Usage {
  readonly startedAtMs: number;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapUsedBytes: number;
  readonly externalBytes: number;
  /** How late timers were lately; absent at the first look, from which on it is measured. */
  readonly loopDelay?: {
    readonly medianMs: number;
    readonly p99Ms: number;
    readonly maxMs: number;
  };
}

/** What a server of the store counts and holds, for those who watch it over time. `CONFIG RESETSTAT` has counts begin anew. */
export interface StoreMeasures {
  readonly clients: number;
  /** Of these: who wait for a list or a place to come. */
  readonly blocked: number;
  /** Connections there have been; and those that were refused, for there were too many. */
  readonly connections: number;
  readonly rejected: number;
  readonly commands: number;
  /** Over all databases; and those among them that have a deadline. */
  readonly keys: number;
  readonly deadlines: number;
  /** Keys that were taken away here because their deadline was over; and those that this server gave up for room. */
  readonly expiries: number;
  readonly evicted: number;
  /** Records of writes that the replica has done. */
  readonly records: number;
  readonly memoryBytes: number;
  /** 0: there is none. */
  readonly memoryLimitBytes: number;
}

/** What is measured over less says little, and whoever else looks would have nothing. */
const WINDOW_MS = 10_000;
const RESOLUTION_MS = 10;
const NS_PER_MS = 1e6;

/** Looks at this operating-system process. Nothing is measured until somebody has looked. */
export class UsageWatch {
  #delays: ReturnType<typeof monitorEventLoopDelay> | undefined;
  #sinceMs = 0;
  #last: Usage["loopDelay"];

  get usage(): Usage {
    const { rss, heapUsed, external } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const loopDelay = this.#loopDelay();
    return {
      startedAtMs: performance.timeOrigin,
      cpuSeconds: (user + system) / 1e6,
      residentBytes: rss,
      heapUsedBytes: heapUsed,
      externalBytes: external,
      ...(loopDelay && { loopDelay }),
    };
  }

  /** Of the window before, or of the present one if that is long enough: two who look at once see the same. */
  #loopDelay(): Usage["loopDelay"] {
    const nowMs = performance.now();
    if (!this.#delays) {
      this.#delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
      this.#delays.enable();
      this.#sinceMs = nowMs;
    }
    const isLong = nowMs - this.#sinceMs >= WINDOW_MS;
    if (this.#delays.count > 0 && (isLong || this.#last === undefined)) {
      // What is measured is from one timer to the next.
      const late = (ns: number): number => Math.max(0, ns / NS_PER_MS - RESOLUTION_MS);
      const { max } = this.#delays;
      this.#last = {
        medianMs: late(this.#delays.percentile(50)),
        p99Ms: late(this.#delays.percentile(99)),
        maxMs: late(max),
      };
    }
    if (isLong) {
      this.#delays.reset();
      this.#sinceMs = nowMs;
    }
    return this.#last;
  }
}
