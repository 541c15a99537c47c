/**
 * Messages and markers that have come off a link and wait to be received one by one, when a process is in
 * manual receive mode. The inbox lies *below* the snapshot machine: what waits here is still in its channel,
 * so a snapshot records it as channel state, and a waiting marker closes nothing yet.
 */

import { copyOf, countRecords, recordBytes } from "../core/record.ts";
import type { Batch } from "../link/frame.ts";
import type { Marker } from "../snapshot/recordings.ts";

/** A batch without the record that said its colour. */
export interface ColouredBatch extends Batch {
  readonly colour?: readonly Marker[] | undefined;
  /** It was in flight when the system was recorded, and no link has brought it. */
  readonly restored?: boolean | undefined;
}

interface Waiting {
  readonly batch: ColouredBatch;
  /** Where in the body the next record begins, and its number. */
  at: number;
  next: number;
}

/** What waits in one channel, in order. */
export class Inbox {
  readonly #waiting: Waiting[] = [];
  #count = 0;

  /** How many records wait. */
  get count(): number {
    return this.#count;
  }

  /** A copy of it, for what comes in is only lent. */
  add(batch: ColouredBatch): void {
    this.#waiting.push({ batch: { ...batch, body: copyOf(batch.body) }, at: 0, next: batch.first });
    this.#count += batch.count;
  }

  /** Takes the first record as a batch of its own. */
  take(): ColouredBatch | undefined {
    const first = this.#waiting[0];
    if (!first) return undefined;
    const { kind, body, colour, restored } = first.batch;
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const end = first.at + recordBytes(view.getUint32(first.at, true));
    const taken = { kind, first: first.next, count: 1, body: body.subarray(first.at, end) };
    first.at = end;
    first.next += 1;
    if (end === body.length) this.#waiting.shift();
    this.#count -= 1;
    return { ...taken, colour, restored };
  }

  /** All that waits, in order. */
  get batches(): readonly ColouredBatch[] {
    return this.#waiting.map(({ batch, at, next }) => {
      const body = batch.body.subarray(at);
      const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
      return { ...batch, first: next, count: countRecords(view, 0, body.length), body };
    });
  }

  clear(): void {
    this.#waiting.length = 0;
    this.#count = 0;
  }
}
