/**
 * A trace: what happened in a system, event by event, with all that is known of each. A history (history.ts) keeps what promises of
 * multicast are judged by, of millions of events; a trace keeps what people look at and ask about: texts, times, values, snapshots.
 *
 * Theory of operation. An event is one of a process, at a position; what leads from one process to another is an arrow between two events.
 * Where arrows come from does not matter afterwards: messages of channels and groups by their names, or "after" of a trace that was
 * imported. The lines of different processes may come in any order, so arrows are found when all events are there.
 *
 * A send or a receive may be of many messages that are numbered one after the other; what went in at once may come out in parts, and
 * the other way round. So of each channel the sends are put in the order of their numbers, and a receive comes after all those of which
 * it has something. Where numbers ascend in the log, as in recordings, that takes one step for each event and arrow.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import { HISTORY_FORMAT, TYPES } from "./history.ts";
import type { MessageId } from "./permute.ts";

/** What an event does with messages; or `record`: its process records for a snapshot. */
export type EventType =
  | "internal"
  | "send"
  | "receive"
  | "multicast"
  | "deliver"
  | "crash"
  | "record";

/** What is known of an event beside its place and its arrows. */
export interface EventDetails {
  readonly type: EventType;
  /** Of `send`, `receive`, `multicast` and `deliver`. */
  readonly message?: MessageId;
  /** How many messages it is, if not one: numbered from `message` on if that is a number. */
  readonly count?: number;
  /** Of `send`: to whom. Of `receive`: from whom. Of `deliver`: whom the process holds to be the sender. */
  readonly peer?: string;
  readonly group?: string;
  /** Of `record`, and of a `send` or `receive` whose message is a marker: of which snapshot. */
  readonly snapshot?: SnapshotId;
  /** Of `send` and `receive`: packets of groups, of which `multicast` and `deliver` say more. */
  readonly carries?: string;
  /** What it says, for people. */
  readonly text?: string;
  /** When it happened, by the clock of its process: milliseconds since 1970. */
  readonly atMs?: number;
  /** Of `deliver` and `receive`: for how long the message had been here, held back. */
  readonly heldMs?: number;
  /** Values of the process that have changed with it, by name; they hold until they change again. */
  readonly values?: Readonly<Record<string, unknown>>;
  /** Whatever else was in the log from which it comes. */
  readonly fields?: Readonly<Record<string, string>>;
  /** The line of the file that it is from, from 1: of the log, if it was imported. */
  readonly line?: number;
}

/** An event at its place. */
export interface TraceEvent extends EventDetails {
  /** Which process of the trace, and which of its events, both from 0. */
  readonly process: number;
  readonly position: number;
}

/** From an event to one of another process that comes after it because of it; both are indices of events. */
export interface Arrow {
  readonly from: number;
  readonly to: number;
}

/** A whole trace; it does not change. `TraceReader` and `TraceBuilder` make one. */
export interface Trace {
  /** What it is called; empty if there is only one in its file. */
  readonly label: string;
  /** The names of the processes: as they are in the log, which may be any text. */
  readonly processes: readonly string[];
  /** All events, in the order in which they were told. */
  readonly events: readonly TraceEvent[];
  /** For each process its events, in its order, as indices. */
  readonly timelines: readonly Int32Array[];
  /** In the order of the events that they lead to. */
  readonly arrows: readonly Arrow[];
  /** Arrivals of messages of whose sending nothing is told, as indices: nothing is known to be before them. */
  readonly unexplained: readonly number[];
  /** For each process, as an index, the one that it was before it crashed, or was restored; -1 if there is none. */
  readonly was: Int32Array;
  /** False if it was cut off: then what was sent may have been about to come. */
  readonly complete: boolean;
  /** True if it does not go back to the beginning: then what has come may have been sent before it. */
  readonly late: boolean;
}

const EVENTS_MAX = 5_000_000;
const PROCESSES_MAX = 4_096;
const LINE_LENGTH_MAX = 1 << 20;
/** Of a process, a group or a message. */
export const NAME_LENGTH_MAX = 256;
const COUNT_MAX = 2 ** 32;
const SENT_ALREADY =
  "that message has been sent already; each message of a channel or group has its own name";

/** Puts a trace together, event by event and arrow by arrow. */
export class TraceBuilder {
  readonly #label: string;
  readonly #processes: string[] = [];
  readonly #index = new Map<string, number>();
  readonly #events: TraceEvent[] = [];
  readonly #timelines: number[][] = [];
  readonly #arrows: Arrow[] = [];
  readonly #unexplained: number[] = [];
  readonly #was: number[] = [];

  constructor(label = "") {
    this.#label = label;
  }

  /** The index of a process, which is a new one if it was not named before; its events may come later. */
  process(name: string): number {
    let process = this.#index.get(name);
    if (process === undefined) {
      if (this.#processes.length === PROCESSES_MAX)
        throw new TidemarkError("BAD_OPTION", `a trace has up to ${PROCESSES_MAX} processes`);
      process = this.#processes.push(name) - 1;
      this.#index.set(name, process);
      this.#timelines.push([]);
      this.#was.push(-1);
    }
    return process;
  }

  /**
   * Adds the next event of a process; gives its index.
   * @throws TidemarkError `BAD_OPTION` when there are too many
   */
  event(name: string, details: EventDetails): number {
    const process = this.process(name);
    const timeline = this.#timelines[process] as number[];
    if (this.#events.length === EVENTS_MAX)
      throw new TidemarkError(
        "BAD_OPTION",
        `a trace has up to ${EVENTS_MAX} events; look at it in parts`,
      );
    const index = this.#events.push({ ...details, process, position: timeline.length }) - 1;
    timeline.push(index);
    return index;
  }

  /**
   * Says that one event comes after another because of it. Between events of one process that says nothing; said again, it says nothing
   * more.
   */
  arrow(from: number, to: number): void {
    if (this.#events[from]?.process !== this.#events[to]?.process) this.#arrows.push({ from, to });
  }

  /** Says that nobody knows what an arrival comes from. */
  unexplained(event: number): void {
    this.#unexplained.push(event);
  }

  /**
   * Says that a process is what another one was before that crashed, or was restored.
   * @throws TidemarkError `BAD_OPTION` if it would have been itself before, or was told to have been somebody else
   */
  wasBefore(name: string, before: string): void {
    const process = this.process(name);
    const was = this.process(before);
    let first = was;
    while (first !== process && (this.#was[first] as number) >= 0)
      first = this.#was[first] as number;
    const known = this.#was[process] as number;
    if (first === process || (known >= 0 && known !== was))
      throw new TidemarkError("BAD_OPTION", `${name} cannot have been ${before} before`);
    this.#was[process] = was;
  }

  /** The index of the event of a process at a position, if it is there. */
  at(name: string, position: number): number | undefined {
    return this.#timelines[this.#index.get(name) ?? -1]?.[position];
  }

  end(): Trace {
    this.#arrows.sort((a, b) => a.to - b.to || a.from - b.from);
    const isNew = ({ from, to }: Arrow, i: number): boolean =>
      this.#arrows[i - 1]?.to !== to || this.#arrows[i - 1]?.from !== from;
    return {
      label: this.#label,
      processes: this.#processes,
      events: this.#events,
      timelines: this.#timelines.map((events) => Int32Array.from(events)),
      arrows: this.#arrows.filter(isNew),
      unexplained: this.#unexplained,
      was: Int32Array.from(this.#was),
      complete: true,
      late: false,
    };
  }
}

/** Where some messages of a channel were sent, or arrive: `count` of them, numbered from `first` on. */
interface Range {
  readonly first: number;
  readonly count: number;
  readonly event: number;
  readonly line: number;
}

/** The numbered messages of one channel. */
interface Ranges {
  readonly sends: Range[];
  readonly receives: Range[];
}

/** A line that names an event before which another one is; that may come later in the file. */
interface After {
  readonly event: number;
  readonly process: string;
  readonly position: number;
  readonly line: number;
}

/**
 * Reads a trace in Tidemark's own format, line by line: docs/internals/history-format.md.
 *
 * @example
 * ```ts
 * import { TraceReader } from "tidemark/trace";
 * const reader = new TraceReader();
 * reader.addText('{"process":"p","type":"send","to":"q","message":1,"values":{"balance":70}}');
 * reader.addText('{"process":"q","type":"receive","from":"p","message":1,"text":"thanks"}');
 * const trace = reader.end();
 * if (trace.arrows.length !== 1 || trace.events[1]?.text !== "thanks") throw new Error("one arrow");
 * ```
 */
export class TraceReader {
  readonly #name: string;
  readonly #builder: TraceBuilder;
  /** By channel or group and the message: where it was sent, and where it arrives. */
  readonly #sources = new Map<string, number>();
  readonly #arrivals: { readonly key: string; readonly event: number }[] = [];
  readonly #ranges = new Map<string, Ranges>();
  readonly #after: After[] = [];
  readonly #crashed = new Set<string>();
  #line = 0;
  #label = "";
  #complete: boolean = true;
  #late: boolean = false;

  /** @param name what errors call it: the file, if it is one */
  constructor(name = "trace") {
    this.#name = name;
    this.#builder = new TraceBuilder();
  }

  /**
   * Adds a line of JSON; a blank one says nothing.
   * @throws TidemarkError `BAD_OPTION` as `NAME:LINE: reason`
   */
  addText(text: string): void {
    this.#line += 1;
    if (text.length > LINE_LENGTH_MAX)
      this.#refuse(`a line has up to ${LINE_LENGTH_MAX} characters, and this one ${text.length}`);
    // A byte order mark goes with the white space.
    const trimmed = text.trim();
    if (trimmed === "") return;
    let value: unknown;
    try {
      value = JSON.parse(trimmed);
    } catch (error) {
      this.#refuse(`this is no JSON: ${textOf(error)}`);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value))
      this.#refuse("a line is a JSON object, with a type");
    this.#take(value as Readonly<Record<string, unknown>>);
  }

  /**
   * The whole.
   * @throws TidemarkError `BAD_OPTION` for a line that names an event that is not there, or a message that was sent before
   */
  end(): Trace {
    for (const ranges of this.#ranges.values()) this.#join(ranges);
    for (const { key, event } of this.#arrivals) {
      const source = this.#sources.get(key);
      if (source === undefined) this.#builder.unexplained(event);
      else this.#builder.arrow(source, event);
    }
    for (const { event, process, position, line } of this.#after) {
      const source = this.#builder.at(process, position - 1);
      if (source === undefined)
        throw this.#error(line, `it is after event ${position} of ${process}, which is not there`);
      this.#builder.arrow(source, event);
    }
    const about = { label: this.#label, complete: this.#complete, late: this.#late };
    return { ...this.#builder.end(), ...about };
  }

  #take(line: Readonly<Record<string, unknown>>): void {
    const { type } = line;
    switch (type) {
      case "send":
      case "receive": {
        const peer = this.#text(line, type === "send" ? "to" : "from", NAME_LENGTH_MAX);
        const [message, process] = [this.#message(line), this.#process(line)];
        const channel = type === "send" ? [process, peer] : [peer, process];
        const count = this.#count(line);
        const event = this.#event(line, { type, message, peer, ...(count > 1 && { count }) });
        const first = numberOf(message);
        if (first === undefined)
          this.#pass(type === "send", JSON.stringify([...channel, message]), event);
        else {
          if (!Number.isSafeInteger(first + count)) this.#refuse("its numbers are too large");
          const key = JSON.stringify(channel);
          const ranges = this.#ranges.get(key) ?? { sends: [], receives: [] };
          this.#ranges.set(key, ranges);
          const range = { first, count, event, line: this.#line };
          (type === "send" ? ranges.sends : ranges.receives).push(range);
        }
        return;
      }
      case "multicast":
      case "deliver": {
        const group = this.#text(line, "group", NAME_LENGTH_MAX);
        const message = this.#message(line);
        const peer =
          line["from"] === undefined ? {} : { peer: this.#text(line, "from", NAME_LENGTH_MAX) };
        const count = this.#count(line);
        const many = count > 1 ? { count } : {};
        const event = this.#event(line, { type, message, group, ...peer, ...many });
        this.#pass(type === "multicast", JSON.stringify([group, `${message}`]), event);
        return;
      }
      case "internal":
      case "record":
      case "crash":
        this.#event(line, { type });
        if (type === "crash") this.#crashed.add(this.#process(line));
        return;
      case "group":
        return;
      case "process": {
        const was = this.#text(line, "was", NAME_LENGTH_MAX);
        const process = this.#process(line);
        try {
          this.#builder.wasBefore(process, was);
        } catch (error) {
          this.#refuse(textOf(error));
        }
        return;
      }
      case "history":
        this.#head(line);
        return;
      default:
        this.#refuse(`a line has the type ${TYPES}, not ${show(type)}`);
    }
  }

  /** What the first line says of all: who takes part, also those that do nothing, in the order in which they are shown. */
  #head(line: Readonly<Record<string, unknown>>): void {
    const { format = HISTORY_FORMAT, label = "", processes = [], complete, late } = line;
    if (format !== HISTORY_FORMAT)
      this.#refuse(`the format is ${show(format)}; this program reads ${HISTORY_FORMAT}`);
    if (complete === false) this.#complete = false;
    if (late === true) this.#late = true;
    if (typeof label !== "string") this.#refuse(`label is a text, not ${show(label)}`);
    if (!Array.isArray(processes))
      this.#refuse(`processes is a list of names, not ${show(processes)}`);
    this.#label = label;
    for (const process of processes as unknown[]) this.#builder.process(this.#process({ process }));
  }

  #event(
    line: Readonly<Record<string, unknown>>,
    known: Pick<EventDetails, "type" | "message" | "count" | "peer" | "group">,
  ): number {
    const process = this.#process(line);
    if (this.#crashed.has(process))
      this.#refuse(`${process} has crashed; one that comes back takes part under a new name`);
    const event = this.#builder.event(process, {
      ...known,
      ...this.#optional(line, "snapshot", "string"),
      ...this.#optional(line, "carries", "string"),
      ...this.#optional(line, "text", "string"),
      ...this.#optional(line, "atMs", "number"),
      ...this.#optional(line, "heldMs", "number"),
      ...this.#optional(line, "values", "object"),
      ...this.#optional(line, "fields", "object"),
      line: this.#line,
      ...this.#optional(line, "line", "number"),
    });
    const { after } = line;
    if (after !== undefined && !Array.isArray(after))
      this.#refuse("after is a list of [process, number]");
    for (const one of after ?? []) {
      const [other, position] = Array.isArray(one) ? (one as unknown[]) : [];
      if (typeof other !== "string" || !Number.isSafeInteger(position) || (position as number) < 1)
        this.#refuse("after is a list of [process, number], numbers from 1");
      this.#after.push({ event, process: other, position: position as number, line: this.#line });
    }
    return event;
  }

  #pass(isSource: boolean, key: string, event: number): void {
    if (!isSource) this.#arrivals.push({ key, event });
    else if (this.#sources.has(key)) this.#refuse(SENT_ALREADY);
    else this.#sources.set(key, event);
  }

  /** Finds the arrows of a channel. */
  #join({ sends, receives }: Ranges): void {
    const [from, to] = [ascending(sends), ascending(receives)];
    for (const [i, { first, line }] of from.entries()) {
      const before = from[i - 1];
      if (before && before.first + before.count > first)
        throw this.#error(Math.max(line, before.line), SENT_ALREADY);
    }
    let at = 0;
    for (const { first, count, event } of to) {
      // Of two that have the same number the later one may begin before the end of the other.
      while (at > 0 && endOf(from[at - 1]) > first) at -= 1;
      while (at < from.length && endOf(from[at]) <= first) at += 1;
      let known = 0;
      for (let i = at; i < from.length; i += 1) {
        const send = from[i] as Range;
        if (send.first >= first + count) break;
        known += Math.min(endOf(send), first + count) - Math.max(send.first, first);
        this.#builder.arrow(send.event, event);
      }
      if (known < count) this.#builder.unexplained(event);
    }
  }

  #process(line: Readonly<Record<string, unknown>>): string {
    return this.#text(line, "process", NAME_LENGTH_MAX);
  }

  #text(line: Readonly<Record<string, unknown>>, field: string, lengthMax: number): string {
    const value = line[field];
    if (typeof value === "string" && value !== "" && value.length <= lengthMax) return value;
    return this.#refuse(`${field} is a text of 1 to ${lengthMax} characters, not ${show(value)}`);
  }

  #message({ message }: Readonly<Record<string, unknown>>): MessageId {
    if (typeof message === "string" && message !== "" && message.length <= NAME_LENGTH_MAX)
      return message;
    if (Number.isSafeInteger(message)) return message as number;
    return this.#refuse(
      `message is a text of 1 to ${NAME_LENGTH_MAX} characters or a whole number, not ${show(message)}`,
    );
  }

  #count({ count = 1 }: Readonly<Record<string, unknown>>): number {
    if (Number.isSafeInteger(count) && (count as number) >= 1 && (count as number) <= COUNT_MAX)
      return count as number;
    return this.#refuse(`count is a whole number from 1 to ${COUNT_MAX}, not ${show(count)}`);
  }

  #optional(
    line: Readonly<Record<string, unknown>>,
    field: "snapshot" | "carries" | "text" | "atMs" | "heldMs" | "values" | "fields" | "line",
    type: "string" | "number" | "object",
  ): Partial<EventDetails> {
    const value = line[field];
    if (value === undefined) return {};
    const isInfinite = typeof value === "number" && !Number.isFinite(value);
    if (typeof value !== type || value === null || Array.isArray(value) || isInfinite)
      this.#refuse(`${field} is a JSON ${type}, not ${show(value)}`);
    return { [field]: value };
  }

  #refuse(reason: string): never {
    throw this.#error(this.#line, reason);
  }

  #error(line: number, reason: string): TidemarkError {
    return new TidemarkError("BAD_OPTION", `${this.#name}:${line}: ${reason}`);
  }
}

/** How many messages an arrow stands for: those that both of its events have. */
export function messagesOf({ events }: Trace, { from, to }: Arrow): number {
  const [send, receive] = [events[from], events[to]];
  const { message: first, count = 1 } = send ?? {};
  const { message: firstThere, count: countThere = 1 } = receive ?? {};
  const [one, other] = [first, firstThere].map((name) => numberOf(name ?? ""));
  // What has no number has a name for all.
  if (one === undefined || other === undefined) return count;
  return Math.max(1, Math.min(one + count, other + countThere) - Math.max(one, other));
}

/** The number that a message is called by, also if it is written as text. */
function numberOf(message: MessageId): number | undefined {
  if (typeof message === "number") return message;
  const number = Number(message);
  return Number.isSafeInteger(number) && `${number}` === message ? number : undefined;
}

const endOf = (range: Range | undefined): number => (range ? range.first + range.count : 0);

/** By their numbers; that is how they are in the log of one process, as a rule. */
function ascending(ranges: Range[]): readonly Range[] {
  const isSorted = ranges.every(
    (range, i) => i === 0 || (ranges[i - 1] as Range).first <= range.first,
  );
  return isSorted ? ranges : ranges.sort((a, b) => a.first - b.first);
}

/**
 * A trace from a text of JSON lines.
 * @param name what errors call it
 * @throws TidemarkError `BAD_OPTION` as `NAME:LINE: reason`
 */
export function parseTrace(text: string, name = "trace"): Trace {
  const reader = new TraceReader(name);
  for (const line of text.split("\n")) reader.addText(line);
  return reader.end();
}

/**
 * A trace in Tidemark's own format, line by line: `TraceReader` makes the same of it again. An arrow that messages do not tell is told by
 * `after`.
 *
 * @throws TidemarkError `BAD_OPTION` for an event that this format has no line for
 *
 * @example
 * ```ts
 * import { jsonLines, parseTrace, TraceBuilder } from "tidemark/trace";
 * const builder = new TraceBuilder("morning");
 * const asked = builder.event("client", { type: "internal", text: "asks" });
 * builder.arrow(asked, builder.event("server", { type: "internal", text: "is asked" }));
 * const again = parseTrace([...jsonLines(builder.end())].join("\n"));
 * if (again.label !== "morning" || again.arrows.length !== 1) throw new Error("the same trace");
 * ```
 */
export function* jsonLines(trace: Trace): Generator<string> {
  const { label, processes, events, arrows, complete, late } = trace;
  yield JSON.stringify({
    ...{ type: "history", format: HISTORY_FORMAT },
    ...(!complete && { complete }),
    ...(late && { late }),
    ...(label !== "" && { label }),
    processes,
  });
  for (const [p, was] of trace.was.entries())
    if (was >= 0)
      yield JSON.stringify({ type: "process", process: processes[p], was: processes[was] });
  let next = 0;
  for (const [e, { process, position, type, peer, ...details }] of events.entries()) {
    const name = processes[process] ?? "";
    const after: (readonly [string, number])[] = [];
    for (; arrows[next]?.to === e; next += 1) {
      const { from } = arrows[next] as Arrow;
      const source = events[from] as TraceEvent;
      if (!isTold(trace, from, e))
        after.push([processes[source.process] ?? "", source.position + 1]);
    }
    const { message, group } = details;
    const channel = type === "send" || type === "receive";
    const missing =
      (channel && (peer === undefined || message === undefined)) ||
      ((type === "multicast" || type === "deliver") &&
        (group === undefined || message === undefined));
    const text = lineOf({
      ...{ process: name, type },
      ...(peer !== undefined && { [type === "send" ? "to" : "from"]: peer }),
      ...details,
      ...(after.length > 0 && { after }),
    });
    if (missing || name === "" || name.length > NAME_LENGTH_MAX || text.length > LINE_LENGTH_MAX)
      throw new TidemarkError(
        "BAD_OPTION",
        `event ${position + 1} of ${show(name)} cannot be written: ${
          missing
            ? `it is of type ${type} and does not say of which message, or whose`
            : text.length > LINE_LENGTH_MAX
              ? `it takes ${text.length} characters, and a line has up to ${LINE_LENGTH_MAX}`
              : `a process has a name of 1 to ${NAME_LENGTH_MAX} characters`
        }`,
      );
    yield text;
  }
}

/** Too deep for JSON is too long for a line as well. */
function lineOf(line: unknown): string {
  try {
    return JSON.stringify(line);
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `an event cannot be written: ${textOf(error)}`);
  }
}

/** Whether an arrow is that of a message, so that it is found again by its name. */
function isTold({ events, processes }: Trace, from: number, to: number): boolean {
  const [source, arrival] = [events[from] as TraceEvent, events[to] as TraceEvent];
  if (source.message === undefined || arrival.message === undefined) return false;
  const sameName = `${source.message}` === `${arrival.message}`;
  if (source.type === "multicast")
    return arrival.type === "deliver" && source.group === arrival.group && sameName;
  if (source.type !== "send" || arrival.type !== "receive") return false;
  if (source.peer !== processes[arrival.process] || arrival.peer !== processes[source.process])
    return false;
  const [first, other] = [numberOf(source.message), numberOf(arrival.message)];
  if (first === undefined || other === undefined) return sameName;
  return first < other + (arrival.count ?? 1) && other < first + (source.count ?? 1);
}

/** Whatever it is, as short text. */
function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "boolean") return `${value}`;
  return Array.isArray(value) ? "a list" : "an object";
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value !== "string") return typeof value === "number" ? `${value}` : kindOf(value);
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 79)}…` : value);
}
