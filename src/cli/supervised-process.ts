/**
 * One process of a system, kept running: when its operating-system process ends, and nobody stopped it, it is started again.
 *
 * Theory of operation. The pause before a restart doubles from one to the next, so that what fails at once does not keep the machine
 * busy, and is short again once the process has run for as long as the longest pause. Too many ends within a while, or an
 * end for a reason that another start would only find again, and it is given up; what follows from that is its owner's to decide.
 * A start that fails is an end.
 */

import { type ErrorCode, isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { duration } from "../core/quantity.ts";
import type { RestartRule } from "../runtime/system-definition.ts";
import type { Tell } from "./event-log.ts";
import type { HostedProcess } from "./hosted-process.ts";

/** Who hears what happens to it. */
export interface SupervisedEvents {
  /** It runs again. */
  readonly back: (process: SupervisedProcess) => void;
  readonly note: Tell;
  /** It is not started again. */
  readonly givenUp: (process: SupervisedProcess, why: TidemarkError) => void;
}

/** They say what was found in a log, or in the options: it is found again at every start. */
const HOPELESS: readonly ErrorCode[] = [
  ...(["LOG_BEHIND", "LOG_DAMAGED", "DIVERGED", "BAD_OPTION", "BAD_ID"] as const),
  ...(["UNKNOWN_PROCESS", "UNSUITABLE_TRANSPORT"] as const),
];

/** See the head of the file. */
export class SupervisedProcess {
  readonly id: ProcessId;
  /** The newest one; it may have ended. */
  hosted: HostedProcess;
  /** How often it has been started again, and why it was the last time. */
  restarts = 0;
  lastEnd: string | undefined;
  /** Why it was given up. */
  givenUp: TidemarkError | undefined;
  readonly #start: () => Promise<HostedProcess>;
  readonly #rule: Required<RestartRule>;
  readonly #events: SupervisedEvents;
  /** When it ended, the last times. */
  #endsMs: number[] = [];
  #delayMs: number;
  #startedMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #up: boolean = true;
  #stopping: boolean = false;

  /** @param start starts it as it is to be started again */
  constructor(
    hosted: HostedProcess,
    start: () => Promise<HostedProcess>,
    rule: Required<RestartRule>,
    events: SupervisedEvents,
  ) {
    this.id = hosted.id;
    this.hosted = hosted;
    this.#start = start;
    this.#rule = rule;
    this.#events = events;
    this.#delayMs = rule.firstDelayMs;
    this.#watch();
  }

  get up(): boolean {
    return this.#up && this.hosted.up;
  }

  /** Starts it at once, however often it has ended. */
  revive(): void {
    this.givenUp = undefined;
    this.#endsMs = [];
    this.#delayMs = this.#rule.firstDelayMs;
    clearTimeout(this.#timer);
    void this.#again();
  }

  /** Ends it, and does not start it again. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    await this.hosted.stop(withinMs);
  }

  kill(): void {
    this.#stopping = true;
    this.hosted.kill();
  }

  #watch(): void {
    const { hosted } = this;
    void hosted.ended.then((how) => {
      const { cause, pid } = hosted;
      const why = cause ? `${how}; ${cause.message}` : how;
      this.#ended(
        why,
        `${this.id} (process ${pid}) has ended, and nobody stopped it: ${how}`,
        cause,
      );
    });
  }

  #ended(why: string, what: string, cause: TidemarkError | undefined): void {
    if (this.#stopping) return;
    const nowMs = performance.now();
    this.#up = false;
    this.lastEnd = why;
    const { restarts, withinMs, maxDelayMs, firstDelayMs } = this.#rule;
    if (nowMs - this.#startedMs >= maxDelayMs) this.#delayMs = firstDelayMs;
    this.#endsMs = [...this.#endsMs, nowMs].filter((ms) => nowMs - ms <= withinMs);
    const times = this.#endsMs.length;
    const hopeless = cause && HOPELESS.includes(cause.code);
    if (hopeless || times > restarts) {
      const rule = restarts === 0 ? "" : `; it ended ${times} times in ${duration(withinMs)}`;
      const message = what + (hopeless ? "; another start would not help" : rule);
      this.givenUp = new TidemarkError("STOPPED", message, { cause });
      this.#events.givenUp(this, this.givenUp);
      return;
    }
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(maxDelayMs, 2 * delayMs);
    this.#events.note(
      `${what}; it is started again in ${duration(delayMs)} (${times} of ${restarts})`,
      { event: "process_ended", process: this.id, delayMs, ends: times, restarts },
    );
    this.#timer = setTimeout(() => void this.#again(), delayMs);
  }

  async #again(): Promise<void> {
    this.restarts += 1;
    this.#startedMs = performance.now();
    try {
      this.hosted = await this.#start();
    } catch (thrown) {
      const cause = isTidemarkError(thrown) ? thrown : undefined;
      this.#ended(textOf(thrown), `${this.id} cannot start: ${textOf(thrown)}`, cause);
      return;
    }
    if (this.#stopping) {
      this.hosted.kill();
      return;
    }
    this.#up = true;
    this.#watch();
    this.#events.back(this);
  }
}
