/**
 * Logs with vector clocks, as GoVector writes them and ShiViz draws them: in, by the rules of ShiViz, and out.
 *
 * Theory of operation. A regular expression finds the events: its groups `host`, `clock` and `event` say whose each is, what its process
 * knew (a JSON object, host to count) and what it says; all other named groups are fields. A second one, with a group `trace`, finds what
 * stands between executions. A log may begin with both, a line each. Where an entry of a clock has grown since the event before, the
 * process has heard of that event of the other host: it is a candidate for an arrow. One that another candidate knew of came with that
 * one, and is no arrow. So arrows are as few as can be, and what happened before what is what the clocks say (Mattern 1989), if they are
 * right.
 *
 * What ShiViz takes for granted in a browser holds here as well: lines end with \n, whatever the file has, and expressions have the flags
 * g and m. Expressions are those of JavaScript; a name may also begin with a digit, as it may there.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import { CausalOrder } from "./causal-order.ts";
import { eventTitle } from "./drawings.ts";
import { NAME_LENGTH_MAX, type Trace, TraceBuilder } from "./trace.ts";

/** What ShiViz takes when it is given no expression. */
export const SHIVIZ_PARSER = "(?<event>.*)\\n(?<host>\\S*) (?<clock>{.*})";
/** What GoVector writes, and we as well. */
const WRITTEN_PARSER = "(?<host>\\S*) (?<clock>{.*})\\n(?<event>.*)";

/**
 * Finds all matches of an expression, one after the other, as `text.matchAll(expression)` does. Whoever is given expressions by others
 * limits here how long that may take: some take for ever on some texts.
 */
export type FindAll = (expression: RegExp, text: string) => Iterable<RegExpExecArray>;

export interface ShivizOptions {
  /** Finds events, with groups `host`, `clock` and `event`. @default that of the first line, if it is one; else that of ShiViz */
  readonly parser?: string;
  /** Finds what separates executions. @default that of the second line, if the first one is an expression; else there is one execution */
  readonly delimiter?: string;
  /** So many lines at the beginning are not of the log. @default 2 if the first one is an expression, else 0 */
  readonly skip?: number;
  /** What errors call the log. @default "log" */
  readonly name?: string;
  /** @default `text.matchAll(expression)`, which has no limit in time */
  readonly findAll?: FindAll;
}

/** One of the executions in a log. */
export interface ShivizExecution {
  readonly trace: Trace;
  /** The line of the log where it begins, from 1: that of the delimiter before it, or the first one that is not empty. */
  readonly line: number;
  /** Lines that are not empty and of no event: how many, and the first of them. */
  readonly passedOver: { readonly lines: number; readonly first?: number };
}

const KNOWN_GROUPS: readonly string[] = ["host", "clock", "event"];
const EXPRESSION_LENGTH_MAX = 65_536;
/** Of all clocks of an execution together: 256 MB. */
const CLOCK_ENTRIES_MAX = 2 ** 25;
const COUNT_MAX = 2 ** 31 - 1;

/**
 * The executions in a log, each as a trace whose label is what the delimiter before it captured as `trace`. Where it has no such group, the
 * label is the number of the delimiter; before the first one it is empty.
 *
 * @throws TidemarkError `BAD_OPTION` as `NAME:LINE: event "TEXT" of HOST: reason`
 *
 * @example
 * ```ts
 * import { parseShiviz } from "tidemark/trace";
 * const log = 'asks\nclient {"client":1}\nis asked\nserver {"server":1, "client":1}\n';
 * const [execution] = parseShiviz(log);
 * if (execution?.trace.arrows.length !== 1) throw new Error("one arrow, from client to server");
 * ```
 */
export function parseShiviz(log: string, options: ShivizOptions = {}): readonly ShivizExecution[] {
  const { name = "log", findAll = (expression, text) => text.matchAll(expression) } = options;
  const text = log.replace(/^\uFEFF/, "").replaceAll(/\r\n?/g, "\n");
  const head = headOf(text, options.skip);
  const parser = compile("parser", options.parser?.trim() || head.parser || SHIVIZ_PARSER);
  const missing = KNOWN_GROUPS.filter((group) => !parser.names.has(group));
  if (missing.length > 0) {
    const groups = missing.map((group) => `(?<${group}>…)`).join(" and ");
    throw new TidemarkError(
      "BAD_OPTION",
      `the parser has no group ${groups}; it names host, clock and event: ${SHIVIZ_PARSER}`,
    );
  }
  const delimiter = options.delimiter?.trim() ?? head.delimiter;
  const executions: ShivizExecution[] = [];
  const begun = new Map<string, number>();
  for (const part of partsOf(text, head, delimiter, { name, findAll })) {
    if (part.text.trim() === "" && delimiter !== "") continue;
    const before = begun.get(part.label);
    if (before !== undefined)
      throw new TidemarkError(
        "BAD_OPTION",
        `${name}:${part.line}: two executions have the label ${quoted(part.label)}; the first begins at line ${before}`,
      );
    begun.set(part.label, part.line);
    executions.push(new ExecutionReader(part, name).read(parser, findAll));
  }
  if (executions.length === 0)
    throw new TidemarkError("BAD_OPTION", `${name}: there is nothing in it`);
  return executions;
}

/** Where the log begins, and what stands before it. */
interface Head {
  readonly start: number;
  readonly line: number;
  readonly parser: string;
  readonly delimiter: string;
}

function headOf(text: string, skip: number | undefined): Head {
  const none = { parser: "", delimiter: "" };
  const [first = "", second = ""] = text.slice(0, 2 * EXPRESSION_LENGTH_MAX).split("\n", 2);
  const isExpression = KNOWN_GROUPS.every((group) => first.includes(`(?<${group}>`));
  if (skip === undefined && isExpression)
    return { ...startOf(text, 2), parser: first.trim(), delimiter: second.trim() };
  return { ...startOf(text, skip ?? 0), ...none };
}

function startOf(text: string, skip: number): Pick<Head, "start" | "line"> {
  let start = 0;
  for (let line = 0; line < skip; line += 1) {
    const end = text.indexOf("\n", start);
    if (end < 0) return { start: text.length, line: skip + 1 };
    start = end + 1;
  }
  return { start, line: skip + 1 };
}

/** An expression; its groups by the names that the user has given them. */
interface Expression {
  readonly regexp: RegExp;
  readonly names: ReadonlyMap<string, string>;
}

/** @throws TidemarkError `BAD_OPTION` */
function compile(what: "parser" | "delimiter", source: string): Expression {
  const refuse = (reason: string): never => {
    const shown = source.length > 200 ? `${source.slice(0, 200)}…` : source;
    throw new TidemarkError("BAD_OPTION", `the ${what} ${shown} cannot be used: ${reason}`);
  };
  if (source.length > EXPRESSION_LENGTH_MAX)
    refuse(`it has more than ${EXPRESSION_LENGTH_MAX} characters`);
  const names = new Map<string, string>();
  // What is escaped, or in a class, is no group.
  const written = source.replaceAll(
    /\\k<(\d\w*)>|\\[\s\S]|\[(?:\\[\s\S]|[^\\\]])*\]?|\(\?<([^>=!][^>]{0,255})>/g,
    (all: string, again: string | undefined, group: string | undefined) => {
      if (again !== undefined) return `\\k<$${again}>`;
      if (group === undefined) return all;
      if (names.has(group)) refuse(`two groups have the name ${group}`);
      names.set(group, /^\d/.test(group) ? `$${group}` : group);
      return `(?<${names.get(group)}>`;
    },
  );
  try {
    return { regexp: new RegExp(written, "gm"), names };
  } catch (error) {
    return refuse(textOf(error));
  }
}

/** The text of an execution. */
interface Part {
  readonly label: string;
  readonly text: string;
  /** The line that the text begins in; and that where, for people, the execution begins. */
  readonly firstLine: number;
  readonly line: number;
}

function* partsOf(
  text: string,
  head: Head,
  delimiter: string,
  { name, findAll }: { readonly name: string; readonly findAll: FindAll },
): Generator<Part> {
  const whole = head.start === 0 ? text : text.slice(head.start);
  const blank = whole.slice(0, Math.max(0, whole.search(/\S/))).split("\n").length - 1;
  let part = { label: "", start: 0, firstLine: head.line, line: head.line + blank };
  if (delimiter !== "") {
    const { regexp, names } = compile("delimiter", delimiter);
    const group = names.get("trace") ?? "trace";
    const lines = new LineCounter(whole, head.line);
    let count = 0;
    for (const match of matchesOf(regexp, whole, findAll, () => `${name}:${part.line}`)) {
      yield { ...part, text: whole.slice(part.start, match.index) };
      const start = match.index + match[0].length;
      count += 1;
      const line = lines.at(start);
      part = { label: match.groups?.[group] ?? String(count), start, firstLine: line, line };
    }
  }
  yield { ...part, text: whole.slice(part.start) };
}

/** All matches; what goes wrong while one is looked for is told with the place. */
function* matchesOf(
  regexp: RegExp,
  text: string,
  findAll: FindAll,
  where: () => string,
): Generator<RegExpExecArray> {
  try {
    yield* findAll(regexp, text);
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `${where()}: ${textOf(error)}`, { cause: error });
  }
}

/** Gives lines of places that come in order, going through the text once. */
class LineCounter {
  readonly #text: string;
  #line: number;
  #next: number;

  constructor(text: string, line: number) {
    this.#text = text;
    this.#line = line;
    this.#next = text.indexOf("\n");
  }

  at(place: number): number {
    for (; this.#next >= 0 && this.#next < place; this.#line += 1)
      this.#next = this.#text.indexOf("\n", this.#next + 1);
    return this.#line;
  }
}

/** An event as it stands in the log, and where its clock is. */
interface Found {
  readonly host: number;
  readonly own: number;
  readonly text: string;
  readonly line: number;
  readonly fields: Readonly<Record<string, string>> | undefined;
  readonly clockStart: number;
  readonly clockEnd: number;
}

class ExecutionReader {
  readonly #part: Part;
  readonly #name: string;
  readonly #events: Found[] = [];
  /** All hosts that events are of or clocks name, in the order in which they are met. */
  readonly #hosts: string[] = [];
  readonly #numbers = new Map<string, number>();
  /** Of each event the entries of its clock, one after the other: host, count. */
  #clocks = new Int32Array(1 << 10);
  #used = 0;
  #passedOver = 0;
  #firstPassedOver: number | undefined;

  constructor(part: Part, name: string) {
    this.#part = part;
    this.#name = name;
  }

  read(parser: Expression, findAll: FindAll): ShivizExecution {
    const { text, firstLine, line } = this.#part;
    const lines = new LineCounter(text, firstLine);
    let end = 0;
    const where = (): string => `${this.#name}:${lines.at(end)}`;
    for (const match of matchesOf(parser.regexp, text, findAll, where)) {
      this.#passOver(text.slice(end, match.index), lines, end);
      end = match.index + match[0].length;
      this.#take(match, parser.names, lines.at(match.index));
    }
    this.#passOver(text.slice(end), lines, end);
    if (this.#events.length === 0)
      throw new TidemarkError(
        "BAD_OPTION",
        `${this.#name}:${line}: the parser finds no event${this.#inExecution()}: ${parser.regexp.source}`,
      );
    const first = this.#firstPassedOver;
    const passedOver = { lines: this.#passedOver, ...(first !== undefined && { first }) };
    return { trace: this.#trace(), line, passedOver };
  }

  #passOver(between: string, lines: LineCounter, start: number): void {
    if (between.trim() === "") return;
    let at = start;
    for (const line of between.split("\n")) {
      if (line.trim() !== "") {
        this.#firstPassedOver ??= lines.at(at);
        this.#passedOver += 1;
      }
      at += line.length + 1;
    }
  }

  #take(match: RegExpExecArray, names: ReadonlyMap<string, string>, line: number): void {
    const groups = match.groups ?? {};
    const text = groups["event"];
    const host = groups["host"];
    const clock = groups["clock"];
    if (text === undefined || host === undefined || clock === undefined)
      throw this.#error(line, text ?? match[0], host, "the parser finds no host, clock or event");
    if (host === "" || host.length > NAME_LENGTH_MAX)
      throw this.#error(
        line,
        text,
        host,
        `a host has a name of 1 to ${NAME_LENGTH_MAX} characters`,
      );
    const others: (readonly [string, string])[] = [];
    for (const [name, group] of names) {
      const value = groups[group];
      if (value !== undefined && !KNOWN_GROUPS.includes(name)) others.push([name, value]);
    }
    const fields = others.length > 0 ? Object.fromEntries(others) : undefined;
    const clockStart = this.#used;
    const own = this.#takeClock(clock, host, (reason) => this.#error(line, text, host, reason));
    const clockEnd = this.#used;
    const number = this.#numberOf(host);
    this.#events.push({ host: number, own, text, line, fields, clockStart, clockEnd });
  }

  /** Gives the own entry. */
  #takeClock(text: string, host: string, error: (reason: string) => TidemarkError): number {
    let clock: unknown;
    try {
      clock = parseJson(text);
    } catch (cause) {
      throw error(`its clock ${quoted(text)} is no JSON: ${textOf(cause)}`);
    }
    if (typeof clock !== "object" || clock === null || Array.isArray(clock))
      throw error(`its clock is a JSON object of counts, not ${quoted(text)}`);
    if (!Object.hasOwn(clock, host))
      throw error(`its clock ${quoted(text)} has no entry for ${quoted(host)} itself`);
    let own = 0;
    for (const [name, count] of Object.entries(clock)) {
      if (!Number.isInteger(count) || count < 0 || count > COUNT_MAX)
        throw error(
          `its clock has ${quoted(JSON.stringify(count))} for ${quoted(name)}; counts are whole numbers from 0`,
        );
      if (name === host) own = count as number;
      if (count !== 0) this.#keep(this.#numberOf(name), count as number, error);
    }
    return own;
  }

  #keep(host: number, count: number, error: (reason: string) => TidemarkError): void {
    if (this.#used === this.#clocks.length) {
      if (this.#used >= 2 * CLOCK_ENTRIES_MAX)
        throw error(`the clocks up to here have more than ${CLOCK_ENTRIES_MAX} entries`);
      const more = new Int32Array(2 * this.#used);
      more.set(this.#clocks);
      this.#clocks = more;
    }
    this.#clocks[this.#used++] = host;
    this.#clocks[this.#used++] = count;
  }

  #numberOf(host: string): number {
    let number = this.#numbers.get(host);
    if (number === undefined) {
      number = this.#hosts.push(host) - 1;
      this.#numbers.set(host, number);
    }
    return number;
  }

  #trace(): Trace {
    const timelines = this.#timelines();
    const builder = new TraceBuilder(this.#part.label);
    const indices = new Map(this.#events.map((event) => [event, 0]));
    const taken = new Map<number, number>();
    // A host whose lines are not in order comes in the places of its lines, in its order.
    for (const { host } of this.#events) {
      const position = taken.get(host) ?? 0;
      taken.set(host, position + 1);
      const event = timelines.get(host)?.[position] as Found;
      const { text, line, fields } = event;
      const details = { type: "internal", text, ...(fields && { fields }), line } as const;
      try {
        indices.set(event, builder.event(this.#hosts[host] as string, details));
      } catch (error) {
        throw this.#errorAt(event, textOf(error));
      }
    }
    for (const [from, to] of this.#arrows(timelines))
      builder.arrow(indices.get(from) as number, indices.get(to) as number);
    return builder.end();
  }

  /** The events of each host, in the order of their own counts. */
  #timelines(): ReadonlyMap<number, readonly Found[]> {
    const timelines = new Map<number, Found[]>();
    for (const event of this.#events) {
      const timeline = timelines.get(event.host);
      if (timeline) timeline.push(event);
      else timelines.set(event.host, [event]);
    }
    for (const timeline of timelines.values()) {
      timeline.sort((a, b) => a.own - b.own);
      for (const [i, event] of timeline.entries()) {
        const before = timeline[i - 1];
        if (event.own === i + 1) continue;
        throw this.#errorAt(
          event,
          before === undefined
            ? `it is the first one there and has the count ${event.own}; counts of a host begin at 1`
            : `its count is ${event.own}, and the one before it (line ${before.line}) has ${before.own}; counts of a host go up by one`,
        );
      }
    }
    return timelines;
  }

  *#arrows(timelines: ReadonlyMap<number, readonly Found[]>): Generator<readonly [Found, Found]> {
    /** By host: of how many events the present one has heard so far; and, of its candidates, which one. */
    const heard = new Int32Array(this.#hosts.length);
    const candidate = new Int32Array(this.#hosts.length);
    for (const [host, timeline] of timelines) {
      heard.fill(0);
      for (const event of timeline) {
        const candidates: Found[] = [];
        for (const [other, count] of this.#clockOf(event)) {
          if (other === host || count <= (heard[other] as number)) continue;
          heard[other] = count;
          candidates.push(this.#heardOf(event, other, timelines.get(other), count));
          candidate[other] = count;
        }
        // What one candidate knew of came with it; others may have known it, too.
        for (const one of candidates)
          for (const [other, count] of this.#clockOf(one))
            if (other !== one.host && Math.abs(candidate[other] as number) === count)
              candidate[other] = -count;
        for (const one of candidates) if ((candidate[one.host] as number) > 0) yield [one, event];
        for (const one of candidates) candidate[one.host] = 0;
      }
    }
  }

  #heardOf(
    event: Found,
    host: number,
    timeline: readonly Found[] | undefined,
    count: number,
  ): Found {
    const name = quoted(this.#hosts[host] as string);
    if (timeline === undefined)
      throw this.#errorAt(event, `its clock names ${name}, of which there is no event`);
    const found = timeline[count - 1];
    if (found === undefined)
      throw this.#errorAt(
        event,
        `its clock has ${count} for ${name}, of which there ${timeline.length === 1 ? "is 1 event" : `are ${timeline.length} events`}`,
      );
    return found;
  }

  *#clockOf({ clockStart, clockEnd }: Found): Generator<readonly [host: number, count: number]> {
    for (let i = clockStart; i < clockEnd; i += 2)
      yield [this.#clocks[i] as number, this.#clocks[i + 1] as number];
  }

  #errorAt({ line, text, host }: Found, reason: string): TidemarkError {
    return this.#error(line, text, this.#hosts[host], reason);
  }

  #error(line: number, text: string, host: string | undefined, reason: string): TidemarkError {
    const of = host === undefined ? "" : ` of ${quoted(host)}`;
    return new TidemarkError(
      "BAD_OPTION",
      `${this.#name}:${line}: event ${quoted(text)}${of}${this.#inExecution()}: ${reason}`,
    );
  }

  #inExecution(): string {
    return this.#part.label === "" ? "" : ` in execution ${quoted(this.#part.label)}`;
  }
}

/** Some logs have the quotes of clocks escaped. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!text.includes('\\"')) throw error;
    return JSON.parse(text.replaceAll('\\"', '"'));
  }
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 119)}…` : text);
}

/**
 * A trace as a log that ShiViz opens, line by line, with the expression that reads it in the first one. What ends a line is written as `\n`
 * in texts; spaces in names of processes, and `%`, as `%20` and `%25`.
 *
 * @throws TidemarkError `BAD_OPTION` if an event of it happened before itself
 */
export function* shivizLines(trace: Trace): Generator<string> {
  yield WRITTEN_PARSER;
  yield "";
  const order = new CausalOrder(trace);
  const hosts = trace.processes.map((name) => name.replaceAll(/[\s%]/g, encodeURIComponent));
  for (const [e, { process }] of trace.events.entries()) {
    const clock: [string, number][] = [];
    for (const [q, host] of hosts.entries()) {
      const known = order.known(e, q);
      if (known > 0) clock.push([host, known]);
    }
    yield `${hosts[process]} ${JSON.stringify(Object.fromEntries(clock))}`;
    yield eventTitle(trace, e).replaceAll(/[\n\r\u2028\u2029]/g, (end) =>
      end === "\n" ? "\\n" : end === "\r" ? "\\r" : `\\u${end.charCodeAt(0).toString(16)}`,
    );
  }
}
