/**
 * What one running process notes of attempts at snapshots: how far it is with each that is under way, and what came of it.
 *
 * Theory of operation. Notes go to the store one after the other, and nothing waits for them. What makes a store fail makes it fail
 * with every note, so that is told once, until something is noted again. A store that hangs is not waited for: so many notes wait for
 * it, and whoever stops waits so long.
 */

import { setTimeout as pause } from "node:timers/promises";
import { TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import {
  type AbandonedNote,
  type AttemptNote,
  type AttemptShare,
  type BegunNote,
  completeNote,
} from "../snapshot/attempt.ts";
import type { Manifest } from "../snapshot/manifest.ts";
import type { RecordedChannels } from "../snapshot/recordings.ts";
import { SnapshotCounts } from "./snapshot-counts.ts";
import type { SnapshotStore } from "./snapshot-store.ts";
import type { Spans } from "./spans.ts";

/** Whoever stops waits so long for the store to take the last notes. */
const TAKEN_MS = 2_000;
/** A store that takes notes at all is not so far behind. */
const WAITING_MAX = 256;

/** A note without what every note of a process has. */
type Unsigned<N> = N extends AttemptNote ? Omit<N, "by" | "atMs"> : never;

/** See the head of the file. */
export class AttemptNotes {
  readonly counts: SnapshotCounts = new SnapshotCounts();
  readonly #process: ProcessId;
  readonly #store: SnapshotStore;
  readonly #nowMs: () => number;
  readonly #problem: (problem: TidemarkError) => void;
  readonly #spans: Spans | undefined;
  /** Of snapshots that are under way. */
  readonly #shares = new Map<SnapshotId, AttemptShare>();
  /** All notes so far are with the store, or could not be. */
  #taken: Promise<void> = Promise.resolve();
  #waiting = 0;
  #failed: boolean = false;

  constructor(
    process: ProcessId,
    store: SnapshotStore,
    nowMs: () => number,
    problem: (problem: TidemarkError) => void,
    spans: Spans | undefined,
  ) {
    this.#process = process;
    this.#store = store;
    this.#nowMs = nowMs;
    this.#problem = problem;
    this.#spans = spans;
  }

  begun(snapshot: SnapshotId, said: Omit<Unsigned<BegunNote>, "note" | "snapshot">): void {
    this.#add({ note: "begun", snapshot, ...said });
  }

  refused(reason: string, label?: string): void {
    this.#add({ note: "refused", reason, ...(label !== undefined && { label }) });
  }

  /** The state is recorded here. */
  recorded(snapshot: SnapshotId, captureMs: number): void {
    const process = this.#process;
    this.#shares.set(snapshot, { process, recordedAtMs: this.#nowMs(), captureMs });
    this.counts.recorded(captureMs);
  }

  /** All channels are closed. Gives how far it has come. */
  closed(
    snapshot: SnapshotId,
    { incoming }: RecordedChannels,
    when: { readonly recordedAtMs: number; readonly recordingMs: number },
  ): AttemptShare {
    let inFlight = 0;
    let inFlightBytes = 0;
    for (const channel of incoming) {
      inFlight += channel.inFlight;
      for (const { length } of channel.messages) inFlightBytes += length;
    }
    const captureMs = this.#shares.get(snapshot)?.captureMs ?? 0;
    const share = { process: this.#process, captureMs, ...when, inFlight, inFlightBytes };
    this.#shares.set(snapshot, share);
    return share;
  }

  /** The piece is durable. */
  stored(snapshot: SnapshotId, storedMs: number, stateBytes: number): void {
    const share = this.#shares.get(snapshot);
    if (share) this.#shares.set(snapshot, { ...share, storedMs, stateBytes });
    this.counts.stored(storedMs, stateBytes, share?.inFlightBytes ?? 0);
  }

  /** Its manifest is written. By its initiator. @param atMs as for `completeNote` */
  complete(manifest: Manifest, atMs?: number): void {
    this.#add(completeNote(manifest, atMs));
  }

  abandoned(
    snapshot: SnapshotId,
    reason: string,
    held: Pick<AbandonedNote, "waitsFor" | "unclosed" | "unstored">,
  ): void {
    const share = this.#shares.get(snapshot);
    this.#shares.delete(snapshot);
    this.#add({ ...{ note: "abandoned", snapshot, reason, ...held }, ...(share && { share }) });
  }

  /** It is complete, and nothing more is to be noted of it here. */
  settled(snapshot: SnapshotId): void {
    this.#shares.delete(snapshot);
    this.#spans?.settled(snapshot, this.#nowMs());
  }

  /** Of these, and of all that are under way here, nobody will say any more what came of them. */
  unsettled(begunHere: Iterable<SnapshotId>, reason: string): void {
    for (const snapshot of new Set([...begunHere, ...this.#shares.keys()]))
      this.abandoned(snapshot, reason, { waitsFor: [] });
  }

  /** Once the store has what was noted, or has been waited for long enough. */
  async taken(): Promise<void> {
    const enough = new AbortController();
    const late = pause(TAKEN_MS, true, { signal: enough.signal }).catch(() => false);
    if (await Promise.race([this.#taken.then(() => false), late]))
      this.#fail(`the store has not taken ${this.#waiting} note(s)`);
    enough.abort();
  }

  #add(note: Unsigned<AttemptNote>): void {
    const signed = { ...note, by: this.#process, atMs: this.#nowMs() } as AttemptNote;
    this.counts.noted(signed);
    this.#spans?.noted(signed);
    if (this.#waiting === WAITING_MAX) {
      this.#fail(`${WAITING_MAX} notes wait for the store already`);
      return;
    }
    this.#waiting += 1;
    this.#taken = this.#taken.then(async () => {
      try {
        if (typeof this.#store.note !== "function") throw new Error("the store takes no notes");
        await this.#store.note(signed);
        this.#failed = false;
      } catch (cause) {
        this.#fail(cause);
      }
      this.#waiting -= 1;
    });
  }

  #fail(cause: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    const message = `what comes of attempts at snapshots cannot be noted: ${textOf(cause)}`;
    this.#problem(new TidemarkError("STORE_FAILED", message, { cause }));
  }
}
