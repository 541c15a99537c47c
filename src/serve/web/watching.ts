/**
 * Standing detectors for the page: a system is watched for whoever looks, and what was found is there for who comes later.
 *
 * Theory of operation. At every look each detector is asked as `watchSystem` asks it, and what it says is kept: the newest verdict of each,
 * what has changed, and the sums of the last looks, each up to a limit. A snapshot in which nothing new was found is removed as soon as it
 * has been looked at; those in which something became true stay, the newest few. There is one watch for all pages: who starts another one
 * ends it.
 */

import { isTidemarkError, TidemarkError, textOf } from "../../core/error.ts";
import type { ProcessId, SnapshotId } from "../../core/id.ts";
import { type Detector, parseDetector } from "../../detect/detection.ts";
import type { SumEvidence } from "../../detect/sums.ts";
import type { Detection } from "../../detect/verdict.ts";
import type { GlobalSnapshot } from "../../runtime/global-snapshot.ts";
import type { InspectOptions } from "../../runtime/inspect-snapshot.ts";
import { watchSystem } from "../../runtime/watch-system.ts";
import type { PageWatch, SumPoint, WatchChange, WatchRequest } from "./api.ts";

/** A system that can be watched. */
export interface WatchSource {
  /** Detectors that its applications have something to say to. @throws TidemarkError if it cannot be watched, with the reason */
  offers(): Promise<readonly string[]>;
  /** Takes a snapshot, and proves it. */
  snapshot(): Promise<GlobalSnapshot>;
  /** Removes one of these. */
  discard(id: SnapshotId): Promise<unknown>;
  /** Hears what was found at each look. */
  readonly onLooked?: (found: { atMs: number; detections: readonly Detection[] }) => void;
  /** Makes an application to ask; after the first snapshot. */
  application(id: ProcessId): ReturnType<InspectOptions["application"]>;
}

const CHANGES_MAX = 200;
const POINTS_MAX = 240;
/** So many snapshots in which something was found stay. */
const KEPT_MAX = 20;
/** Of a list in the evidence so many are told. */
const LIST_MAX = 200;
export const DETECTORS_MAX = 16;
export const EVERY_MS_MIN = 100;
export const EVERY_MS_MAX = 3_600_000;

type Found = Omit<PageWatch, "watching">;

const NOTHING: Found = { looks: 0, verdicts: [], changes: [], sums: {} };

/** See the head of the file. */
export class Watching {
  readonly #source: WatchSource;
  #watching: PageWatch["watching"];
  #over = new AbortController();
  #lookingSinceMs: number | undefined;
  #found: Found = NOTHING;
  /** In which something became true, oldest first. */
  readonly #kept: SnapshotId[] = [];
  #changes = 0;

  constructor(source: WatchSource) {
    this.#source = source;
  }

  get offers(): Promise<readonly string[]> {
    return this.#source.offers();
  }

  get now(): PageWatch {
    const lookingSinceMs = this.#lookingSinceMs;
    const looking = lookingSinceMs === undefined ? {} : { lookingSinceMs };
    return {
      ...this.#found,
      ...(this.#watching && { watching: { ...this.#watching, ...looking } }),
    };
  }

  /** @throws TidemarkError `BAD_OPTION`, and why the system cannot be watched */
  async start({ detectors: names, everyMs }: WatchRequest): Promise<void> {
    const detectors = names.map((name) => parseDetector(name.trim()));
    const twice = detectors.find(
      ({ name }, i) => detectors.findIndex((one) => one.name === name) < i,
    );
    if (twice) throw new TidemarkError("BAD_OPTION", `${twice.name} is there twice`);
    await this.#source.offers();
    this.stop();
    const over = new AbortController();
    this.#over = over;
    this.#found = NOTHING;
    this.#lookingSinceMs = undefined;
    this.#watching = { detectors: [...names], everyMs, sinceMs: Date.now() };
    void this.#watch(detectors, everyMs, over.signal);
  }

  /** What was found stays to be looked at. */
  stop(): void {
    this.#over.abort();
    this.#watching = undefined;
  }

  async #watch(
    detectors: readonly Detector[],
    everyMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    let looking: SnapshotId | undefined;
    const settle = async (): Promise<void> => {
      const id = looking;
      looking = undefined;
      // What cannot be removed now is one more snapshot, and no reason to stop.
      if (id !== undefined) await this.#source.discard(id).catch(() => {});
    };
    const running = {
      snapshot: async () => {
        await settle();
        this.#lookingSinceMs = Date.now();
        const snapshot = await this.#snapshot();
        looking = snapshot.id;
        return snapshot;
      },
    };
    const told: Detection[] = [];
    const noting = detectors.map(
      (detector, i): Detector => ({
        ...detector,
        detect: (state, before) => {
          const detection = detector.detect(state, before);
          told[i] = detection;
          if (i === detectors.length - 1 && !signal.aborted && looking !== undefined)
            this.#looked(looking, told);
          return detection;
        },
      }),
    );
    try {
      const application = (id: ProcessId) => this.#source.application(id);
      const events = watchSystem(running, { detectors: noting, everyMs, signal, application });
      for await (const event of events) {
        if (signal.aborted) break;
        if (event.type === "failed") {
          this.#lookingSinceMs = undefined;
          this.#changed({ problem: event.problem.message });
          this.#found = { ...this.#found, problem: event.problem.message };
        } else if (event.detection.detected === true && event.snapshot === looking) {
          looking = undefined;
          await this.#keep(event.snapshot);
        }
      }
    } catch (error) {
      if (!signal.aborted) {
        this.#found = { ...this.#found, problem: `watching has ended: ${textOf(error)}` };
        this.#watching = undefined;
      }
    } finally {
      await settle();
    }
  }

  /** That the initiator ends is no reason to end: the next look has another one. */
  async #snapshot(): Promise<GlobalSnapshot> {
    try {
      return await this.#source.snapshot();
    } catch (cause) {
      if (!isTidemarkError(cause, "STOPPED")) throw cause;
      throw new TidemarkError("SNAPSHOT_ABANDONED", cause.message, { cause });
    }
  }

  #looked(snapshot: SnapshotId, detections: readonly Detection[]): void {
    const atMs = Date.now();
    this.#lookingSinceMs = undefined;
    this.#source.onLooked?.({ atMs, detections });
    const { looks, verdicts: before } = this.#found;
    for (const { detector, detected, sentence } of detections) {
      const last = before.find(({ detection }) => detection.detector === detector)?.detection;
      // How much work is in flight, say, is another number each time.
      const isSame =
        last?.detected === detected && (detected === false || last.sentence === sentence);
      if (!isSame) this.#changed({ snapshot, detector, detected, sentence });
    }
    const sums = { ...this.#found.sums };
    for (const detection of detections) {
      const point = pointOf(detection, atMs);
      if (point)
        sums[detection.detector] = [...(sums[detection.detector] ?? []), point].slice(-POINTS_MAX);
    }
    const verdicts = detections.map((detection) => ({
      ...{ atMs, snapshot, detection: shortened(detection) as Detection },
    }));
    this.#found = { looks: looks + 1, verdicts, changes: this.#found.changes, sums };
  }

  #changed(what: Omit<WatchChange, "number" | "atMs">): void {
    this.#changes += 1;
    const change: WatchChange = { number: this.#changes, atMs: Date.now(), ...what };
    this.#found = { ...this.#found, changes: [...this.#found.changes, change].slice(-CHANGES_MAX) };
  }

  async #keep(id: SnapshotId): Promise<void> {
    this.#kept.push(id);
    if (this.#kept.length <= KEPT_MAX) return;
    await this.#source.discard(this.#kept.shift() as SnapshotId).catch(() => {});
  }
}

/** Of a verdict on a sum, or on a token. */
function pointOf(detection: Detection, atMs: number): SumPoint | undefined {
  if (detection.detected === null) return undefined;
  const { sum, expected, places } = (detection.evidence ?? {}) as Partial<SumEvidence>;
  if (sum === undefined || expected === undefined) return undefined;
  let inFlight = 0;
  for (const place of places ?? []) if (!("process" in place)) inFlight += place.amount;
  return { atMs, sum, expected, inFlight };
}

/** The same with no list longer than so many: the sentence says how many there are. */
function shortened(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, LIST_MAX).map(shortened);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, shortened(one)]));
}
