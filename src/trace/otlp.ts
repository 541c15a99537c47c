/**
 * Spans of OpenTelemetry, as OTLP/JSON has them: what a collector's file exporter writes, and what is sent to one over HTTP.
 *
 * Theory of operation. A process is a service, or an instance of it if there are several. That a span starts, that something is noted in
 * it and that it ends are events of its process, in the order of its clock. Between processes only three things are known. Whoever starts
 * a span that has a parent has heard of its start; so has whoever links to a span; and a client whose call ends has heard that the
 * server's span for it has ended, unless it ended first, as it does when it has waited long enough. Clocks of different processes are not
 * compared for anything else: no order comes from them.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import { type EventDetails, NAME_LENGTH_MAX, type Trace, TraceBuilder } from "./trace.ts";

/** What was read, and what was left out of it. */
export interface OtlpImport {
  readonly trace: Trace;
  /** Spans that were there once more: senders may repeat what was not confirmed. */
  readonly repeated: number;
  /** Spans of servers that end, by the clocks, after the call that they are for: no arrow leads back. */
  readonly late: number;
}

type Fields = Readonly<Record<string, unknown>>;

interface Span {
  /** Its trace's id and its own. */
  readonly id: string;
  readonly instance: string;
  readonly service: string;
  readonly name: string;
  readonly kind: number;
  readonly parent: string | undefined;
  readonly links: readonly string[];
  readonly startNs: bigint;
  readonly endNs: bigint | undefined;
  readonly notes: readonly {
    readonly name: string;
    readonly atNs: bigint;
    readonly fields: Texts;
  }[];
  readonly fields: Texts;
  readonly line: number;
}

type Texts = Readonly<Record<string, string>>;

const SERVER = 2;
const CLIENT = 3;
const KINDS: readonly string[] = ["", "internal", "server", "client", "producer", "consumer"];
/** Of attributes that tell instances of a service apart: the first that a resource has. */
const INSTANCE_KEYS: readonly string[] = ["service.instance.id", "k8s.pod.name", "container.id"];
const ID_LENGTH_MAX = 64;

/**
 * A trace of all spans in a text of OTLP/JSON: one object, or one a line.
 *
 * @param name what errors call it
 * @throws TidemarkError `BAD_OPTION` as `NAME:LINE: where in it: reason`
 *
 * @example
 * ```ts
 * import { parseOtlp } from "tidemark/trace";
 * const of = (service: string, span: object) => ({
 *   resource: { attributes: [{ key: "service.name", value: { stringValue: service } }] },
 *   scopeSpans: [{ spans: [span] }],
 * });
 * const times = { startTimeUnixNano: "1000000", endTimeUnixNano: "2000000" };
 * const call = { traceId: "a1", spanId: "b1", name: "GET /", kind: 3, ...times };
 * const served = { traceId: "a1", spanId: "b2", parentSpanId: "b1", name: "/", kind: 2, ...times };
 * const { trace } = parseOtlp(JSON.stringify({ resourceSpans: [of("shop", call), of("till", served)] }));
 * if (trace.arrows.length !== 2) throw new Error("there and back");
 * ```
 */
export function parseOtlp(text: string, name = "spans"): OtlpImport {
  const spans = new Map<string, Span>();
  let repeated = 0;
  for (const [value, line] of objectsOf(text.replace(/^\uFEFF/, ""), name)) {
    const reader = new SpanReader(name, line);
    for (const span of reader.spansOf(value)) {
      if (spans.has(span.id)) repeated += 1;
      else spans.set(span.id, span);
    }
  }
  if (spans.size === 0) throw new TidemarkError("BAD_OPTION", `${name}: there are no spans in it`);
  try {
    return { ...traceOf(spans), repeated };
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `${name}: ${textOf(error)}`);
  }
}

function* objectsOf(text: string, name: string): Generator<readonly [unknown, number]> {
  const parse = (json: string, line: number): unknown => {
    try {
      return JSON.parse(json);
    } catch (error) {
      throw new TidemarkError("BAD_OPTION", `${name}:${line}: this is no JSON: ${textOf(error)}`);
    }
  };
  const [first = ""] = /^.*\S.*$/m.exec(text) ?? [];
  // An object over several lines does not end in its first one.
  if (first !== "" && !isJson(first)) {
    yield [parse(text, 1), 1];
    return;
  }
  let line = 0;
  for (const one of text.split("\n")) {
    line += 1;
    if (one.trim() !== "") yield [parse(one, line), line];
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Reads what one object has, and says where in it something is wrong. */
class SpanReader {
  readonly #name: string;
  readonly #line: number;

  constructor(name: string, line: number) {
    [this.#name, this.#line] = [name, line];
  }

  *spansOf(value: unknown): Generator<Span> {
    const whole = this.#object(value, "what is there");
    for (const [i, one] of this.#list(whole, "resourceSpans", "").entries()) {
      const at = `resourceSpans[${i}]`;
      const ofResource = this.#object(one, at);
      const resource = this.#texts(this.#optional(ofResource, "resource", at), `${at}.resource`);
      const service = resource["service.name"] || "unknown_service";
      const key = INSTANCE_KEYS.find((name) => resource[name] !== undefined);
      const instance = key === undefined ? processOf(resource) : (resource[key] ?? "");
      for (const [j, two] of this.#list(ofResource, "scopeSpans", at).entries()) {
        const inScope = `${at}.scopeSpans[${j}]`;
        const ofScope = this.#object(two, inScope);
        for (const [k, span] of this.#list(ofScope, "spans", inScope).entries())
          yield this.#span(span, `${inScope}.spans[${k}]`, service, instance);
      }
    }
  }

  #span(value: unknown, at: string, service: string, instance: string): Span {
    const span = this.#object(value, at);
    const { name = "", kind = 0 } = span;
    const parent = span["parentSpanId"] ?? "";
    if (typeof name !== "string") this.#refuse(`${at}.name`, "a name is a text");
    const links = this.#list(span, "links", at).map((link, i) =>
      this.#id(this.#object(link, `${at}.links[${i}]`), `${at}.links[${i}]`, "spanId"),
    );
    const notes = this.#list(span, "events", at).map((event, i) => {
      const place = `${at}.events[${i}]`;
      const note = this.#object(event, place);
      const said = note["name"] ?? "";
      if (typeof said !== "string") this.#refuse(`${place}.name`, "a name is a text");
      return {
        name: said,
        atNs: this.#time(note, "timeUnixNano", place) ?? this.#refuse(place, "it has no time"),
        fields: this.#texts(note, place),
      };
    });
    return {
      ...{ id: this.#id(span, at, "spanId"), instance, service, name },
      kind: typeof kind === "number" ? kind : KINDS.indexOf(kindName(kind)),
      parent: parent === "" ? undefined : this.#id(span, at, "parentSpanId"),
      ...{ links, notes, fields: this.#texts(span, at), line: this.#line },
      startNs:
        this.#time(span, "startTimeUnixNano", at) ??
        this.#refuse(at, "it has no startTimeUnixNano"),
      endNs: this.#time(span, "endTimeUnixNano", at),
    };
  }

  /** Trace and span together: a span is known by both. */
  #id(of: Fields, at: string, field: "spanId" | "parentSpanId"): string {
    const ids = [of["traceId"], of[field]].map((id, i) => {
      if (typeof id === "string" && id !== "" && id.length <= ID_LENGTH_MAX)
        return id.toLowerCase();
      const name = i === 0 ? "traceId" : field;
      return this.#refuse(`${at}.${name}`, `an id is a text of 1 to ${ID_LENGTH_MAX} characters`);
    });
    return ids.join("/");
  }

  /** Nanoseconds, as JSON of protobuf has them: a text, or a number; nothing if it is 0. */
  #time(of: Fields, field: string, at: string): bigint | undefined {
    const value = of[field];
    if (value === undefined || value === 0 || value === "0") return undefined;
    if (typeof value === "string" && /^[0-9]{1,20}$/.test(value)) return BigInt(value);
    if (Number.isInteger(value) && (value as number) > 0) return BigInt(value as number);
    return this.#refuse(`${at}.${field}`, "a time is a whole number of nanoseconds since 1970");
  }

  #texts(of: Fields, at: string): Texts {
    const texts: (readonly [string, string])[] = [];
    for (const [i, attribute] of this.#list(of, "attributes", at).entries()) {
      const { key, value } = this.#object(attribute, `${at}.attributes[${i}]`);
      if (typeof key !== "string") this.#refuse(`${at}.attributes[${i}].key`, "a key is a text");
      texts.push([key, textOfValue(value)]);
    }
    return Object.fromEntries(texts);
  }

  #optional(of: Fields, field: string, at: string): Fields {
    const value = of[field];
    return value === undefined || value === null ? {} : this.#object(value, `${at}.${field}`);
  }

  #object(value: unknown, at: string): Fields {
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Fields;
    return this.#refuse(at, "it is a JSON object");
  }

  #list(of: Fields, field: string, at: string): readonly unknown[] {
    const value = of[field];
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value;
    return this.#refuse(at === "" ? field : `${at}.${field}`, "it is a list");
  }

  #refuse(at: string, reason: string): never {
    throw new TidemarkError("BAD_OPTION", `${this.#name}:${this.#line}: ${at}: ${reason}`);
  }
}

/** Where no attribute names an instance: which process of which host it is, if that is told. */
function processOf(resource: Texts): string {
  return ["host.name", "process.pid"].map((key) => resource[key] ?? "").join(":");
}

/** Some write the names of the protocol and not its numbers. */
function kindName(kind: unknown): string {
  return typeof kind === "string" ? kind.replace(/^SPAN_KIND_/, "").toLowerCase() : "";
}

/** Of `{"stringValue":"x"}` the x; anything else as it stands. */
function textOfValue(value: unknown): string {
  const [inside] = typeof value === "object" && value !== null ? Object.values(value) : [];
  if (typeof inside === "string") return inside;
  try {
    return JSON.stringify(inside ?? null);
  } catch {
    return "…";
  }
}

/** What happens at a process, when, and in which span. */
interface Happening {
  readonly atNs: bigint;
  readonly span: Span;
  /** 0 for the start, 1 for what is noted, 2 for the end. */
  readonly phase: 0 | 1 | 2;
  /** How many spans it is inside of: what is inside starts later and ends earlier, if the clock does not say. */
  readonly depth: number;
  /** Which span it is of, in the order of the text. */
  readonly index: number;
  readonly details: EventDetails;
}

function traceOf(spans: ReadonlyMap<string, Span>): Pick<OtlpImport, "trace" | "late"> {
  const nameOf = processNames(spans);
  const happenings = new Map<string, Happening[]>();
  const depths = depthsOf(spans);
  for (const [index, span] of [...spans.values()].entries()) {
    const process = nameOf(span);
    const list = happenings.get(process) ?? [];
    happenings.set(process, list);
    for (const one of happeningsOf(span, depths.get(span.id) ?? 0, index)) list.push(one);
  }
  const builder = new TraceBuilder();
  const starts = new Map<string, number>();
  const ends = new Map<string, number>();
  for (const [process, list] of happenings) {
    list.sort(inTime);
    for (const { span, phase, details } of list) {
      const event = builder.event(process, details);
      if (phase === 0) starts.set(span.id, event);
      if (phase === 2) ends.set(span.id, event);
    }
  }
  let late = 0;
  for (const span of spans.values()) {
    const start = starts.get(span.id) as number;
    for (const source of new Set([span.parent, ...span.links])) {
      if (source === undefined) continue;
      const from = starts.get(source);
      if (from === undefined) builder.unexplained(start);
      else builder.arrow(from, start);
    }
    const parent = spans.get(span.parent ?? "");
    const [end, parentEnd] = [ends.get(span.id), ends.get(parent?.id ?? "")];
    if (span.kind !== SERVER || parent?.kind !== CLIENT) continue;
    if (end === undefined || parentEnd === undefined || nameOf(span) === nameOf(parent)) continue;
    if ((span.endNs as bigint) <= (parent.endNs as bigint)) builder.arrow(end, parentEnd);
    else late += 1;
  }
  return { trace: builder.end(), late };
}

/** The service; or with the instance, if there is more than one. */
function processNames(spans: ReadonlyMap<string, Span>): (span: Span) => string {
  const instances = new Map<string, Set<string>>();
  for (const { service, instance } of spans.values())
    instances.set(service, (instances.get(service) ?? new Set()).add(instance));
  return ({ service, instance }) => {
    const isOne = instances.get(service)?.size === 1;
    return (isOne ? service : `${service}/${instance}`).slice(0, NAME_LENGTH_MAX);
  };
}

/** How many spans each is inside of; one that is inside of itself, by a mistake, is inside of none. */
function depthsOf(spans: ReadonlyMap<string, Span>): ReadonlyMap<string, number> {
  const depths = new Map<string, number>();
  for (const span of spans.values()) {
    const way: string[] = [];
    const met = new Set<string>();
    let at: Span | undefined = span;
    for (; at && !depths.has(at.id) && !met.has(at.id); at = spans.get(at.parent ?? "")) {
      way.push(at.id);
      met.add(at.id);
    }
    const outside = at === undefined ? 0 : (depths.get(at.id) ?? -1) + 1;
    for (const [i, id] of way.reverse().entries()) depths.set(id, outside + i);
  }
  return depths;
}

function* happeningsOf(span: Span, depth: number, index: number): Generator<Happening> {
  const { name, startNs, endNs, notes, fields, line, kind, id } = span;
  const [traceId = "", spanId = ""] = id.split("/");
  const common = { type: "internal", line } as const;
  const shown = KINDS[kind] ?? "";
  yield {
    ...{ atNs: startNs, span, phase: 0, depth, index },
    details: {
      ...common,
      text: `${name} starts`,
      atMs: msOf(startNs),
      fields: { ...fields, traceId, spanId, ...(shown !== "" && { kind: shown }) },
    },
  };
  for (const note of notes) {
    const details = { ...common, text: note.name, atMs: msOf(note.atNs), fields: note.fields };
    yield { atNs: note.atNs, span, phase: 1, depth, index, details };
  }
  if (endNs === undefined) return;
  const details = { ...common, text: `${name} ends`, atMs: msOf(endNs), fields: { spanId } };
  yield { atNs: endNs, span, phase: 2, depth, index, details };
}

const msOf = (ns: bigint): number => Number(ns) / 1e6;

/**
 * By the clock. At one moment what began earlier is over before something begins, for many clocks only count milliseconds; outer spans
 * start first, and inner ones end first.
 */
function inTime(a: Happening, b: Happening): number {
  if (a.atNs !== b.atNs) return a.atNs < b.atNs ? -1 : 1;
  const [rank, otherRank] = [rankOf(a), rankOf(b)];
  if (rank !== otherRank) return rank - otherRank;
  if (a.depth !== b.depth) return a.phase === 2 ? b.depth - a.depth : a.depth - b.depth;
  return a.index - b.index || a.phase - b.phase;
}

function rankOf({ atNs, span, phase }: Happening): number {
  if (span.startNs < atNs) return phase === 2 ? 1 : 0;
  return phase === 2 ? 3 : 2;
}
