/**
 * Spans of OpenTelemetry for what takes a process long and is seldom: snapshots that it begins, restores, and the replay of its log. Loaded
 * only where they are wanted.
 *
 * Theory of operation. Only the API is used. Whoever wants spans registers a provider in the program; without one the API does nothing. A
 * snapshot's spans are made when it is over, with the times at which everything happened, so that until then there is nothing to
 * keep but where it was asked for; what happens on other processes is told by these.
 */

import {
  type Attributes,
  type Context,
  context,
  type Span,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { isTidemarkError, textOf } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { AttemptNote, CompleteNote } from "../snapshot/attempt.ts";
import { abandonCause } from "./snapshot-counts.ts";

/** Seconds and nanoseconds: the API takes a number for one or the other of two clocks. */
type Time = [number, number];

const timeOf = (ms: number): Time => {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - 1000 * seconds) * 1e6)];
};

/** A snapshot that is under way here. */
interface Begun {
  readonly parent: Context;
  readonly startedAtMs: number;
  /** Once its manifest is written. */
  complete?: CompleteNote;
}

/** See the head of the file. */
export class Spans {
  readonly #tracer: Tracer;
  readonly #process: ProcessId;
  readonly #begun = new Map<SnapshotId, Begun>();
  #isBroken: boolean = false;

  constructor(id: ProcessId) {
    this.#tracer = trace.getTracer("tidemark");
    this.#process = id;
  }

  /** Where the caller is, for what is begun a little later. */
  get here(): Context {
    return context.active();
  }

  /** Does the work within a span; what it throws is told there. */
  async during<T>(
    name: string,
    attributes: Attributes,
    work: (note: (more: Attributes) => void) => Promise<T>,
  ): Promise<T> {
    const signed = this.#signed(attributes);
    const span = this.#safely(() => this.#tracer.startSpan(name, { attributes: signed }));
    if (!span) return await work(() => {});
    try {
      return await context.with(trace.setSpan(context.active(), span), () =>
        work((more) => void this.#safely(() => span.setAttributes(more))),
      );
    } catch (error) {
      this.#safely(() => fail(span, error));
      throw error;
    } finally {
      this.#safely(() => span.end());
    }
  }

  /** A snapshot that was asked for there has begun. */
  begun(snapshot: SnapshotId, parent: Context, startedAtMs: number): void {
    this.#begun.set(snapshot, { parent, startedAtMs });
  }

  /** Every note that the process makes. */
  noted(note: AttemptNote): void {
    if (note.note !== "abandoned" && note.note !== "complete") return;
    const begun = this.#begun.get(note.snapshot);
    if (note.note === "complete") {
      if (begun) begun.complete = note;
      return;
    }
    this.#begun.delete(note.snapshot);
    if (begun) this.#safely(() => this.#abandoned(note.snapshot, begun, note.reason, note.atMs));
  }

  /** All have heard that it is complete. */
  settled(snapshot: SnapshotId, atMs: number): void {
    const begun = this.#begun.get(snapshot);
    this.#begun.delete(snapshot);
    const { complete } = begun ?? {};
    if (begun && complete) this.#safely(() => this.#complete(snapshot, begun, complete, atMs));
  }

  #complete(snapshot: SnapshotId, begun: Begun, complete: CompleteNote, atMs: number): void {
    const { startedAtMs, cutMs, shares, atMs: storedAtMs } = complete;
    // By the clock of its turns, as all that follows.
    const root = this.#root(
      snapshot,
      { ...begun, startedAtMs },
      {
        "tidemark.snapshot.outcome": "complete",
        "tidemark.snapshot.processes": shares.length,
        "tidemark.snapshot.state_bytes": shares.reduce(
          (sum, one) => sum + (one.stateBytes ?? 0),
          0,
        ),
      },
    );
    const own = shares.find((one) => one.process === this.#process);
    const cutAtMs = startedAtMs + cutMs;
    if (own) this.#child(root, "record", own.recordedAtMs, own.recordedAtMs + own.captureMs);
    this.#child(root, "cut", startedAtMs, cutAtMs);
    this.#child(root, "store", cutAtMs, storedAtMs);
    this.#child(root, "settle", storedAtMs, atMs);
    root.end(timeOf(atMs));
  }

  #abandoned(snapshot: SnapshotId, begun: Begun, reason: string, atMs: number): void {
    const root = this.#root(snapshot, begun, {
      "tidemark.snapshot.outcome": "abandoned",
      "tidemark.snapshot.cause": abandonCause(reason),
    });
    root.setStatus({ code: SpanStatusCode.ERROR, message: reason });
    root.end(timeOf(atMs));
  }

  #root(snapshot: SnapshotId, { parent, startedAtMs }: Begun, attributes: Attributes): Span {
    return this.#tracer.startSpan(
      "tidemark.snapshot",
      {
        startTime: timeOf(startedAtMs),
        attributes: this.#signed({ "tidemark.snapshot": snapshot, ...attributes }),
      },
      parent,
    );
  }

  #child(root: Span, name: string, fromMs: number, toMs: number): void {
    const startTime = timeOf(fromMs);
    const within = trace.setSpan(context.active(), root);
    this.#tracer
      .startSpan(`tidemark.snapshot.${name}`, { startTime, attributes: this.#signed({}) }, within)
      .end(timeOf(Math.max(fromMs, toMs)));
  }

  #signed(attributes: Attributes): Attributes {
    return { "tidemark.process": this.#process, ...attributes };
  }

  /** What a provider throws is told, once, and changes nothing. */
  #safely<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch (thrown) {
      if (!this.#isBroken) process.emitWarning(`no spans are made: ${textOf(thrown)}`);
      this.#isBroken = true;
      return undefined;
    }
  }
}

function fail(span: Span, error: unknown): void {
  if (isTidemarkError(error)) span.setAttribute("error.type", error.code);
  span.setStatus({ code: SpanStatusCode.ERROR, message: textOf(error) });
}
