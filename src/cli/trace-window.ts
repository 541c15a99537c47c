/**
 * Recording for a while, in the operating-system process of one process of a system: switched on and off from outside, and read page by
 * page. If whoever switched it on does not switch it off, it ends by itself; and what nobody fetches is forgotten.
 */

import { TidemarkError } from "../core/error.ts";
import type { RunningProcess } from "../runtime/running-process.ts";
import type { RecordingHead } from "../serve/system-methods.ts";
import type { RecordedEvent, RecorderOptions, Recording } from "../trace/recorder.ts";

type Traced = Pick<RunningProcess, "id" | "startTrace" | "stopTrace" | "trace">;

/** So much later than was asked for it ends without being told. */
const GRACE_MS = 10_000;
const KEPT_MS = 60_000;
/** A page is full with so many events, or so many characters. */
const PAGE_EVENTS = 20_000;
const PAGE_CHARACTERS = 4_000_000;

/** See the head of the file. */
export class TraceWindow {
  readonly #running: Traced;
  /** It records all the time, whether somebody wants to know or not. */
  readonly #always: boolean;
  #timer: NodeJS.Timeout | undefined;
  #isOpen: boolean = false;
  #taken: Recording | undefined;

  constructor(running: Traced, always: boolean) {
    this.#running = running;
    this.#always = always;
  }

  /** @throws TidemarkError `BUSY`, `BAD_OPTION` */
  open(options: RecorderOptions, forMs: number): void {
    const { id } = this.#running;
    if (this.#isOpen) throw new TidemarkError("BUSY", `somebody is recording ${id} already`);
    if (!this.#always) this.#running.startTrace(options);
    this.#isOpen = true;
    this.#taken = undefined;
    this.#later(forMs + GRACE_MS, () => void this.close());
  }

  /** What was recorded; nothing if it was not open. */
  close(): RecordingHead | undefined {
    if (!this.#isOpen) return undefined;
    this.#isOpen = false;
    this.#taken = this.#running.trace();
    if (!this.#always) this.#running.stopTrace();
    this.#later(KEPT_MS, () => this.#forget());
    if (!this.#taken) return undefined;
    const { events, ...head } = this.#taken;
    return { ...head, count: events.length };
  }

  /** Events from that one on, as many as a page holds; none behind the last, and then they are forgotten. */
  read(from: number): readonly RecordedEvent[] {
    const events = this.#taken?.events ?? [];
    let end = from;
    let characters = 0;
    while (end < events.length && end - from < PAGE_EVENTS && characters < PAGE_CHARACTERS) {
      characters += JSON.stringify(events[end]).length;
      end += 1;
    }
    if (end === events.length) this.#forget();
    return events.slice(from, end);
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#taken = undefined;
  }

  #later(ms: number, act: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(act, ms).unref();
  }
}
