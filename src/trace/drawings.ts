/**
 * A trace as text for other programs: ITF for those that look at runs of formal models, Mermaid and Graphviz to draw it.
 *
 * All three are written line by line, so that a long trace does not have to be in memory twice. Texts come from outside: whatever has a
 * meaning in the target is escaped, also names that are its keywords; what cannot be seen is left out.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import { CausalOrder } from "./causal-order.ts";
import type { Trace, TraceEvent } from "./trace.ts";

/** An event in a few words: what it says, or what it does. */
export function eventTitle(trace: Trace, event: number): string {
  const { type, text, message, peer, group, snapshot } = trace.events[event] as TraceEvent;
  if (text !== undefined) return text;
  const what = message === undefined ? "" : ` ${message}`;
  switch (type) {
    case "send":
      return `sends${what}${peer === undefined ? "" : ` to ${peer}`}`;
    case "receive":
      return `receives${what}${peer === undefined ? "" : ` from ${peer}`}`;
    case "multicast":
      return `multicasts${what}${group === undefined ? "" : ` to ${group}`}`;
    case "deliver":
      return `delivers${what}`;
    case "record":
      return `records${snapshot === undefined ? "" : ` for ${snapshot}`}`;
    case "crash":
      return "crashes";
    case "internal":
      return `event ${(trace.events[event] as TraceEvent).position + 1}`;
  }
}

/**
 * A trace in the Informal Trace Format of Apalache (its ADR-015, revision of 2023): one sequence of states that the run can have gone
 * through, one event after the other. Of each state: `event`, what has just happened; `counts`, of each process how many of its events
 * have; `values`, of each process the values that it has told, as they are then. A whole number is a `#bigint`; what TLA+ has no value
 * for, as 0.5 or null, is `#unserializable`.
 *
 * @throws TidemarkError `BAD_OPTION` if an event of it happened before itself
 */
export function* itfLines(trace: Trace): Generator<string> {
  const order = new CausalOrder(trace);
  const { label, processes, events } = trace;
  const meta = {
    format: "ITF",
    "format-description": "https://apalache.informal.systems/docs/adr/015adr-trace.html",
    description: "one order in which the events of a trace can have happened; written by Tidemark",
    ...(label !== "" && { source: label }),
  };
  yield `{"#meta":${JSON.stringify(meta)},`;
  yield '"vars":["event","counts","values"],';
  yield '"states":[';
  const counts = processes.map(() => 0);
  const values = processes.map(() => new Map<string, string>());
  /** What is written of each process, which changes with its own events only. */
  const told = processes.map(() => '{"#map":[]}');
  const names = processes.map((name) => JSON.stringify(name));
  const state = (index: number, event: string): string => {
    const pairs = (of: (p: number) => string): string =>
      `{"#map":[${names.map((name, p) => `[${name},${of(p)}]`).join(",")}]}`;
    const [done, known] = [pairs((p) => itfOf(counts[p])), pairs((p) => told[p] as string)];
    return `{"#meta":{"index":${index}},"event":${event},"counts":${done},"values":${known}}`;
  };
  const record = (process: string, number: number, type: string, text: string): string =>
    itfOf({ process, number, type, text });
  const { length } = order.linear;
  yield `${state(0, record("", 0, "start", ""))}${length > 0 ? "," : ""}`;
  for (const [i, e] of order.linear.entries()) {
    const { process, position, type, values: changed = {} } = events[e] as TraceEvent;
    counts[process] = position + 1;
    const own = values[process] as Map<string, string>;
    for (const [name, value] of Object.entries(changed))
      own.set(name, `[${JSON.stringify(name)},${itfAt(trace, e, value)}]`);
    if (Object.keys(changed).length > 0)
      told[process] = `{"#map":[${[...own.values()].join(",")}]}`;
    const event = record(processes[process] ?? "", position + 1, type, eventTitle(trace, e));
    yield `${state(i + 1, event)}${i + 1 < length ? "," : ""}`;
  }
  yield "]}";
}

function itfAt(trace: Trace, event: number, value: unknown): string {
  try {
    return itfOf(value);
  } catch (error) {
    const { process, position } = trace.events[event] as TraceEvent;
    throw new TidemarkError(
      "BAD_OPTION",
      `a value of event ${position + 1} of ${trace.processes[process]} cannot be written: ${textOf(error)}`,
    );
  }
}

/** A value of JSON as one of ITF. */
function itfOf(value: unknown): string {
  if (typeof value === "string" || typeof value === "boolean") return JSON.stringify(value);
  if (typeof value === "bigint" || Number.isInteger(value))
    return `{"#bigint":"${BigInt(value as number)}"}`;
  if (Array.isArray(value)) return `[${value.map(itfOf).join(",")}]`;
  if (typeof value !== "object" || value === null)
    return `{"#unserializable":${JSON.stringify(String(value))}}`;
  const fields = Object.entries(value);
  // A name that begins with # would be taken for something else.
  return fields.some(([name]) => name.startsWith("#"))
    ? `{"#map":[${fields.map(([name, of]) => `[${JSON.stringify(name)},${itfOf(of)}]`).join(",")}]}`
    : `{${fields.map(([name, of]) => `${JSON.stringify(name)}:${itfOf(of)}`).join(",")}}`;
}

/**
 * A trace as a sequence diagram of Mermaid. Such a diagram shows one order of all events, and a message at one height: an arrow stands
 * where it arrives. If its sender has done or heard something in between, the sending stands for itself where it was, and the arrow is
 * dashed.
 *
 * @throws TidemarkError `BAD_OPTION` if an event of it happened before itself
 */
export function* mermaidLines(trace: Trace): Generator<string> {
  const order = new CausalOrder(trace);
  const { processes, events } = trace;
  yield "sequenceDiagram";
  for (const [p, name] of processes.entries()) yield `  participant p${p} as ${mermaidText(name)}`;
  const note = (e: number): string =>
    `  Note over p${(events[e] as TraceEvent).process}: ${mermaidText(eventTitle(trace, e))}`;
  /** Of each event the only one that it leads to, so that both can be one arrow; -1 if there are several. */
  const leadsTo = new Map<number, number>();
  for (const { from, to } of trace.arrows) leadsTo.set(from, leadsTo.has(from) ? -1 : to);
  /** Of each process a sending that has not been shown yet: it is, when something else happens there. */
  const waiting = new Map<number, number>();
  for (const e of order.linear) {
    const { process } = events[e] as TraceEvent;
    const arrows = order.arrowsInto(e);
    const shown = waiting.get(process);
    if (shown !== undefined) yield note(shown);
    waiting.delete(process);
    for (const { from } of arrows) {
      const source = (events[from] as TraceEvent).process;
      const isWhole = waiting.get(source) === from;
      if (isWhole) waiting.delete(source);
      const text = isWhole ? bothTitles(trace, from, e) : eventTitle(trace, e);
      yield `  p${source}${isWhole ? "->>" : "-->>"}p${process}: ${mermaidText(text)}`;
    }
    const only = leadsTo.get(e) ?? -1;
    if (arrows.length > 0) continue;
    if (only >= 0) waiting.set(process, e);
    else yield note(e);
  }
}

/** Of a message, its name will do, unless its ends have more to say. */
function bothTitles(trace: Trace, from: number, to: number): string {
  const [source, arrival] = [trace.events[from] as TraceEvent, trace.events[to] as TraceEvent];
  if (source.text === undefined && arrival.text === undefined && source.message !== undefined)
    return String(source.message);
  return `${eventTitle(trace, from)}\n${eventTitle(trace, to)}`;
}

/** Everything that is no letter, digit or harmless sign, by its number; a line break as one. */
function mermaidText(text: string): string {
  const visible = [...text.replaceAll("\r\n", "\n")]
    .map((sign) => {
      if (sign === "\n" || sign === "\u2028" || sign === "\u2029") return "<br/>";
      if (/[\p{L}\p{N} _.,()/='*?!-]/u.test(sign)) return sign;
      return /\p{C}/u.test(sign) ? " " : `#${sign.codePointAt(0)};`;
    })
    .join("")
    // Outside of other words, it ends a block.
    .replaceAll(
      /\b(e)(nd)\b/gi,
      (_, first: string, rest: string) => `#${first.charCodeAt(0)};${rest}`,
    )
    .trim();
  return visible === "" ? "#32;" : visible;
}

/**
 * A trace as a graph of Graphviz: a box for each process, with its events from top to bottom, and the arrows between them.
 */
export function* dotLines(trace: Trace): Generator<string> {
  const { label, processes, timelines, arrows } = trace;
  yield "digraph trace {";
  if (label !== "") yield `  label=${dotText(label)};`;
  yield "  node [shape=box, style=rounded];";
  for (const [p, name] of processes.entries()) {
    yield `  subgraph cluster_${p} {`;
    yield `    label=${dotText(name)};`;
    const timeline = timelines[p] as Int32Array;
    // A box with nothing in it is not drawn.
    if (timeline.length === 0) yield `    p${p} [label="no events", shape=plaintext];`;
    for (const e of timeline) yield `    e${e} [label=${dotText(eventTitle(trace, e))}];`;
    for (let i = 1; i < timeline.length; i += 1)
      yield `    e${timeline[i - 1]} -> e${timeline[i]} [arrowhead=none, weight=8];`;
    yield "  }";
  }
  for (const { from, to } of arrows) yield `  e${from} -> e${to};`;
  yield "}";
}

function dotText(text: string): string {
  const escaped = text
    .replaceAll("&", "&amp;")
    .replaceAll(/[\\"]/g, "\\$&")
    .replaceAll(/\r\n|[\n\r\u2028\u2029]/g, "\\n")
    .replaceAll(/\p{C}/gu, " ");
  return `"${escaped}"`;
}
