/**
 * Someone on the wire who breaks what a link promises, and renumbers frames so that the link does not see it: what comes out
 * of it at the receiver is out of order, twice, or never. For negative controls, on a transport that is FIFO and
 * loses nothing; frames are looked at in the order in which they are sent.
 */

import type { ProcessId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { parseFrame } from "../../src/link/frame.ts";
import { KIND_MARKER, KIND_MESSAGES, STREAM_CHANNEL } from "../../src/process/wire.ts";

export type Mischief =
  /** Neighbours change places, markers too, all the time. */
  | "not FIFO"
  /** One marker goes before the messages that were sent before it. */
  | "marker overtakes"
  | "marker dropped"
  | "marker repeated"
  | "message dropped"
  | "message repeated";

/** What goes from one process to another. */
interface Direction {
  /** Held back until it is known what comes behind it. */
  held: Uint8Array | undefined;
  /** Numbers from here on are moved. */
  from: number;
  by: number;
}

const NUMBER_AT = 32;
const ACKNOWLEDGED_AT = 16;

/** See the head of the file. */
export class Meddler {
  /** How often it did something. */
  count = 0;
  readonly #mischief: Mischief;
  readonly #random: Random;
  readonly #directions = new Map<string, Direction>();
  /** Which of the batches that would do is meant. */
  #chances: number;

  constructor(mischief: Mischief, seed: number) {
    this.#mischief = mischief;
    this.#random = new Random(`meddler ${seed}`);
    this.#chances = this.#random.below(mischief.startsWith("marker") ? 6 : 25);
  }

  /** What becomes of a frame. */
  readonly meddle = (from: ProcessId, to: ProcessId, sent: Uint8Array): readonly Uint8Array[] => {
    const frame = sent.slice();
    const parsed = parseFrame(frame);
    if (typeof parsed === "string" || parsed.stream !== STREAM_CHANNEL) return [frame];
    const back = this.#direction(to, from);
    if (parsed.acknowledged >= back.from + Math.max(0, back.by))
      set(frame, ACKNOWLEDGED_AT, parsed.acknowledged - back.by);
    const way = this.#direction(from, to);
    const { batch } = parsed;
    if (!batch) return [...this.#letGo(way), frame];
    const first = batch.first >= way.from ? batch.first + way.by : batch.first;
    set(frame, NUMBER_AT, first);
    const marker = batch.kind === KIND_MARKER;
    if (way.held) return this.#behind(way, frame, marker);
    const fits = this.#mischief.startsWith("marker") === marker;
    switch (this.#mischief) {
      case "not FIFO":
        if (!this.#random.chance(0.4)) return [frame];
        way.held = frame;
        return [];
      case "marker overtakes":
        if (marker || this.count > 0) return [frame];
        way.held = frame;
        return [];
      case "marker dropped":
      case "message dropped":
        if (!fits || !this.#now(way, batch.first + batch.count, -batch.count)) return [frame];
        return [];
      case "marker repeated":
      case "message repeated": {
        if (!fits || !this.#now(way, batch.first + batch.count, batch.count)) return [frame];
        const again = frame.slice();
        set(again, NUMBER_AT, first + batch.count);
        return [frame, again];
      }
    }
  };

  #direction(from: ProcessId, to: ProcessId): Direction {
    const key = `${from} ${to}`;
    let direction = this.#directions.get(key);
    if (!direction) {
      direction = { held: undefined, from: Number.POSITIVE_INFINITY, by: 0 };
      this.#directions.set(key, direction);
    }
    return direction;
  }

  /** Once per world; numbers from `from` on move. */
  #now(way: Direction, from: number, by: number): boolean {
    this.#chances -= 1;
    if (this.#chances >= 0 || this.count > 0) return false;
    this.count += 1;
    way.from = from;
    way.by = by;
    return true;
  }

  #letGo(way: Direction): Uint8Array[] {
    const { held } = way;
    way.held = undefined;
    return held ? [held] : [];
  }

  /** A batch is held back, and here is the next: they change places, or not. */
  #behind(way: Direction, frame: Uint8Array, marker: boolean): Uint8Array[] {
    const [held] = this.#letGo(way) as [Uint8Array];
    const [a, b] = [held, frame].map((one) => {
      const parsed = parseFrame(one);
      return typeof parsed === "string" ? undefined : parsed.batch;
    });
    const wanted = this.#mischief === "not FIFO" || (marker && a?.kind === KIND_MESSAGES);
    if (!a || !b || !wanted || b.first !== a.first + a.count) return [held, frame];
    if (this.#mischief !== "not FIFO" && --this.#chances >= 0) return [held, frame];
    this.count += 1;
    set(frame, NUMBER_AT, a.first);
    set(held, NUMBER_AT, a.first + b.count);
    return [frame, held];
  }
}

function set(frame: Uint8Array, at: number, value: number): void {
  new DataView(frame.buffer, frame.byteOffset).setFloat64(at, value, true);
}
