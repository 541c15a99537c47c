/**
 * An input log in a simulated world. What it has said to be settled survives a crash; of what was appended after that, a
 * beginning, as long as chance has it.
 */

import type { ProcessId } from "../core/id.ts";
import type { Random } from "../core/random.ts";
import { joinBytes } from "../core/record.ts";
import type { RecordLog } from "../process/journal.ts";
import type { ProcessImage } from "../process/process-image.ts";
import type { RecorderMark } from "../trace/recorder.ts";

/** How far a channel with a peer had come. */
export interface Mark {
  readonly peerLife: number;
  readonly sent: number;
  readonly received: number;
}

/** What a process goes on from: all that it knew at one moment. */
export interface Kept {
  readonly image: ProcessImage;
  /** The state of its application, one slice after the other. */
  readonly slices: readonly Uint8Array[];
  readonly sliced: boolean;
  readonly marks: ReadonlyMap<ProcessId, Mark>;
  /** How many records came before it. */
  readonly records: number;
  /** Where its recording was, if there is one. */
  readonly recorded: RecorderMark | undefined;
}

/** See the head of the file. */
export class SimulatedLog implements RecordLog {
  readonly #records: Uint8Array[] = [];
  #settled = 0;
  #kept: Kept | undefined;

  append(head: Uint8Array, body: Uint8Array): number {
    this.#records.push(joinBytes([head, body]));
    return this.#records.length;
  }

  /** How many records have been appended. */
  get length(): number {
    return this.#records.length;
  }

  /** So many records survive whatever happens. */
  settle(records: number): void {
    this.#settled = Math.max(this.#settled, records);
  }

  /** Records before it are needed no more. */
  keep(kept: Kept): void {
    this.#kept = kept;
    this.settle(kept.records);
  }

  /** The newest that was kept. */
  get kept(): Kept | undefined {
    return this.#kept;
  }

  /** Its process has died: what survives of the log. Gives how many records are gone. */
  crash(random: Random): number {
    const unsettled = this.#records.length - this.#settled;
    const lost = unsettled === 0 ? 0 : random.below(unsettled + 1);
    this.#records.length -= lost;
    this.#settled = this.#records.length;
    return lost;
  }

  /** The records after what was kept. */
  rest(): readonly Uint8Array[] {
    return this.#records.slice(this.#kept?.records ?? 0);
  }
}
