/**
 * Loaded before a program (`--import`), it measures how long the program keeps its event loop: the time between turns, all of them, while
 * nothing else is to be done. SIGUSR2 begins that, and the next one ends it and writes what was found to `PROBE_DIRECTORY`.
 */

import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PerformanceObserver } from "node:perf_hooks";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** What is found. */
export interface LoopTimes {
  /** Milliseconds of the longest turns, the longest first; garbage collections are in them. */
  readonly longestMs: readonly number[];
  /** Milliseconds of the longest garbage collections, the longest first. */
  readonly collectionsMs: readonly number[];
  /** What V8 uses after all garbage was collected. */
  readonly usedBytes: number;
}

const KEPT = 100;
/** Shorter turns are not counted: a loop that does nothing has them, too. */
const LEAST_MS = 0.02;

let measuring = false;
let turns: number[] = [];
let collections: number[] = [];
let lastMs = 0;

const longest = (times: number[]): number[] => times.sort((a, b) => b - a).slice(0, KEPT);

function turn(): void {
  const nowMs = performance.now();
  if (nowMs - lastMs > LEAST_MS) turns.push(nowMs - lastMs);
  lastMs = nowMs;
  if (measuring) setImmediate(turn);
}

function usedBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
}

const directory = process.env["PROBE_DIRECTORY"];
if (directory !== undefined) {
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) collections.push(duration);
  });
  process.on("SIGUSR2", () => {
    if (!measuring) {
      [turns, collections] = [[], []];
      observer.observe({ entryTypes: ["gc"] });
      measuring = true;
      lastMs = performance.now();
      setImmediate(turn);
      return;
    }
    measuring = false;
    observer.disconnect();
    const found: LoopTimes = {
      longestMs: longest(turns),
      collectionsMs: longest(collections),
      usedBytes: usedBytes(),
    };
    const path = join(directory, String(process.pid));
    writeFileSync(`${path}.part`, JSON.stringify(found));
    renameSync(`${path}.part`, path);
  });
}
