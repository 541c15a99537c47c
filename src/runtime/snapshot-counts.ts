/** What one running process counts of snapshots: how many, what came of them and why, how long they took and how large they are. */

import { parseSnapshotId } from "../core/id.ts";
import type { AttemptNote } from "../snapshot/attempt.ts";

/** How many of some values are up to each bound, and what they add up to. */
export interface HistogramMeasures {
  /** Ascending; one more stands behind them, infinity. */
  readonly bounds: readonly number[];
  /** Of each bound: the values up to it that are above the one before. One more than there are bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** Why a snapshot was abandoned or refused, as one of a few codes. What people are told is the reason itself. */
export type AbandonCause =
  | ("timeout" | "process_lost" | "view_changed" | "caller_gave_up" | "stopped" | "restored")
  | ("capture_failed" | "store_failed" | "too_large" | "settled" | "other");

/** What a process counts of snapshots. */
export interface SnapshotMeasures {
  /** As their initiator. */
  readonly begun: number;
  readonly complete: number;
  readonly abandoned: Readonly<Partial<Record<AbandonCause, number>>>;
  readonly refused: Readonly<Partial<Record<AbandonCause, number>>>;
  /** When the newest one was complete that it began; absent if none was. Milliseconds since 1970. */
  readonly completeAtMs?: number;
  /** Of those that were complete: until the cut was made, and until the manifest was written. */
  readonly cutSeconds: HistogramMeasures;
  readonly tookSeconds: HistogramMeasures;
  /** Of its own part in each, whoever began it: the pause, and how long it took to store. */
  readonly captureSeconds: HistogramMeasures;
  readonly storeSeconds: HistogramMeasures;
  readonly stateBytes: HistogramMeasures;
  readonly inFlightBytes: HistogramMeasures;
}

/** By how their reasons are written; the first that fits. Reasons travel between processes as texts, so this is all that all know. */
const CAUSES: readonly (readonly [AbandonCause, RegExp])[] = [
  ["timeout", /^timeout: /],
  ["view_changed", /^view changed$/],
  ["capture_failed", /^capture threw at /],
  [
    "store_failed",
    /^\S+ could not store its piece|^its manifest could not be |^\S+ was away before /,
  ],
  ["process_lost", /^(the snapshot was abandoned: )?process lost: /],
  ["too_large", /^too much came in on |^the record of .* does not fit a frame/],
  ["caller_gave_up", /^the caller (had given|gave) up/],
  ["restored", /^the system was restored to /],
  ["settled", /^its initiator has settled it$|^it was over before$/],
  ["stopped", /^\S+ (stops|has stopped|is stopping)$/],
];

/** The code of a reason. */
export function abandonCause(reason: string): AbandonCause {
  return CAUSES.find(([, fits]) => fits.test(reason))?.[0] ?? "other";
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const BYTES = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array(bounds.length + 1).fill(0);
  }

  add(value: number): void {
    const found = this.#bounds.findIndex((bound) => value <= bound);
    const at = found < 0 ? this.#bounds.length : found;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sum += value;
  }

  get measures(): HistogramMeasures {
    return { bounds: this.#bounds, counts: [...this.#counts], sum: this.#sum };
  }
}

/** See the head of the file. */
export class SnapshotCounts {
  #begun = 0;
  #complete = 0;
  #completeAtMs: number | undefined;
  readonly #abandoned: Partial<Record<AbandonCause, number>> = {};
  readonly #refused: Partial<Record<AbandonCause, number>> = {};
  readonly #cut = new Histogram(SECONDS);
  readonly #took = new Histogram(SECONDS);
  readonly #capture = new Histogram(SECONDS);
  readonly #store = new Histogram(SECONDS);
  readonly #state = new Histogram(BYTES);
  readonly #inFlight = new Histogram(BYTES);

  /** Every note that the process makes. */
  noted(note: AttemptNote): void {
    switch (note.note) {
      case "begun":
        this.#begun += 1;
        break;
      case "refused":
        count(this.#refused, note.reason);
        break;
      case "complete":
        this.#complete += 1;
        this.#completeAtMs = note.atMs;
        this.#cut.add(note.cutMs / 1000);
        this.#took.add(Math.max(0, note.atMs - note.startedAtMs) / 1000);
        break;
      case "abandoned":
        // Each participant notes it: counted once, where it was begun.
        if (parseSnapshotId(note.snapshot).initiator === note.by)
          count(this.#abandoned, note.reason);
        break;
    }
  }

  /** The state is recorded here. */
  recorded(captureMs: number): void {
    this.#capture.add(captureMs / 1000);
  }

  /** The piece is durable. */
  stored(storedMs: number, stateBytes: number, inFlightBytes: number): void {
    this.#store.add(storedMs / 1000);
    this.#state.add(stateBytes);
    this.#inFlight.add(inFlightBytes);
  }

  get measures(): SnapshotMeasures {
    const completeAtMs = this.#completeAtMs;
    return {
      begun: this.#begun,
      complete: this.#complete,
      abandoned: { ...this.#abandoned },
      refused: { ...this.#refused },
      ...(completeAtMs !== undefined && { completeAtMs }),
      cutSeconds: this.#cut.measures,
      tookSeconds: this.#took.measures,
      captureSeconds: this.#capture.measures,
      storeSeconds: this.#store.measures,
      stateBytes: this.#state.measures,
      inFlightBytes: this.#inFlight.measures,
    };
  }
}

function count(by: Partial<Record<AbandonCause, number>>, reason: string): void {
  const cause = abandonCause(reason);
  by[cause] = (by[cause] ?? 0) + 1;
}
