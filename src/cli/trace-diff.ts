/** `tidemark trace diff`: what two runs have in common, and where they part. */

import { Command } from "commander";
import type { CausalOrder } from "../trace/causal-order.ts";
import { compareTraces, type TraceDifference } from "../trace/difference.ts";
import { eventTitle } from "../trace/drawings.ts";
import type { Trace, TraceEvent } from "../trace/trace.ts";
import { collect, jsonOption } from "./options.ts";
import { grouped, painter, printable, cut as shortened } from "./terminal.ts";
import { cutText, eventText, orderOf, readTrace } from "./trace-file.ts";

interface DiffOptions {
  readonly field?: readonly string[];
  readonly json?: true;
}

const SHOWN_MAX = 10;
const TITLE_COLUMNS = 80;

const paint = painter(process.stdout);

const HELP = `
Processes are matched by name, and their events aligned by what they are: type,
text, message, peer, group, snapshot and values; not by when they were. An event
that is in both, but comes right after other events, is moved.

Exit status: 0 if nothing differs; 1 if something does; 2 if a file cannot be read
or a line is wrong (FILE:LINE: REASON), or for a mistake in the command.

Examples:
  tidemark trace diff good.jsonl bad.jsonl
  tidemark trace diff good.jsonl bad.jsonl --field action --json`;

export function diffCommand(): Command {
  return new Command("diff")
    .description("show what only one of two traces has, and where they part")
    .argument("<before>", "a trace, a line of JSON for each event; -: standard input")
    .argument("<after>", "another one")
    .option(
      "--field <name>",
      "events that differ in that field are not the same (repeatable)",
      collect,
    )
    .addOption(jsonOption("print it as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (beforeFile: string, afterFile: string, { field = [], json }: DiffOptions) => {
      const [before, after] = [await readTrace(beforeFile), await readTrace(afterFile)];
      const orders = [orderOf(before, beforeFile), orderOf(after, afterFile)] as const;
      const difference = compareTraces(before, after, { fields: field });
      if (json) console.log(JSON.stringify(inJson(orders, difference)));
      else {
        const names = [printable(beforeFile), printable(afterFile)] as const;
        for (const line of told(orders, difference, names)) console.log(line);
      }
      process.exitCode = difference.isSame ? 0 : 1;
    });
}

/** As in ShiViz: the process and the number of the event, from 1. */
function placeOf(trace: Trace, event: number): string {
  const { process, position } = trace.events[event] as TraceEvent;
  return `${trace.processes[process]}:${position + 1}`;
}

type Orders = readonly [before: CausalOrder, after: CausalOrder];

function inJson([before, after]: Orders, difference: TraceDifference): unknown {
  const { isSame, processes, partners, onlyBefore, onlyAfter, moved, first, minimal } = difference;
  const places = (trace: Trace, events: readonly number[]): readonly string[] =>
    events.map((e) => placeOf(trace, e));
  const firstOf = (order: CausalOrder, event: number | undefined): unknown => {
    if (event === undefined) return null;
    const { trace } = order;
    const past = pastOf(order, event);
    return {
      event: placeOf(trace, event),
      text: eventTitle(trace, event),
      past: Object.fromEntries(trace.processes.map((name, p) => [name, past[p]])),
    };
  };
  return {
    same: isSame,
    processes,
    onlyBefore: places(before.trace, onlyBefore),
    onlyAfter: places(after.trace, onlyAfter),
    moved: moved.map((e) => [
      placeOf(before.trace, e),
      placeOf(after.trace, partners[e] as number),
    ]),
    first: isSame
      ? null
      : { before: firstOf(before, first.before), after: firstOf(after, first.after) },
    minimal,
  };
}

/** Of each process how many of its events happened before that one. */
function pastOf(order: CausalOrder, event: number): Int32Array {
  const { process, position } = order.trace.events[event] as TraceEvent;
  const past = Int32Array.from(order.trace.processes.keys(), (q) => order.known(event, q));
  past[process] = position;
  return past;
}

function* told(
  orders: Orders,
  { isSame, processes, partners, onlyBefore, onlyAfter, moved, first, minimal }: TraceDifference,
  [beforeName, afterName]: readonly [string, string],
): Generator<string> {
  const [before, after] = [orders[0].trace, orders[1].trace];
  const same = processes.reduce((sum, one) => sum + one.same, 0);
  if (isSame) {
    yield `${paint("green", "✓")} nothing differs: ${many(same)}`;
    return;
  }
  const only = [
    `${many(onlyBefore.length)} only in ${beforeName}`,
    `${many(onlyAfter.length)} only in ${afterName}`,
  ];
  yield `${paint("red", "✗")} ${many(same)} in both; ${only.join(", ")}; ${grouped(moved.length)} moved`;
  if (!minimal) yield "  they differ so much that they were aligned roughly: more may be the same";
  for (const { process, onlyBefore: gone, onlyAfter: come } of processes.filter(
    (one) => one.onlyBefore + one.onlyAfter > 0,
  ))
    yield `    ${printable(process)}: -${grouped(gone)} +${grouped(come)}`;
  yield "";
  yield "where they part:";
  if (first.before !== undefined) yield* parting(orders[0], first.before, "-", beforeName);
  if (first.after !== undefined) yield* parting(orders[1], first.after, "+", afterName);
  yield* listed(`only in ${beforeName}:`, onlyBefore, (e) => `- ${described(before, e)}`);
  yield* listed(`only in ${afterName}:`, onlyAfter, (e) => `+ ${described(after, e)}`);
  yield* listed("moved, as they come right after other events:", moved, (e) => {
    const partner = partners[e] as number;
    return `~ ${described(before, e)} (${causes(before, e)}; in ${afterName}, ${causes(after, partner)})`;
  });
}

/** A first difference, what comes right before it, and how much happened before it in all. */
function* parting(
  order: CausalOrder,
  event: number,
  sign: string,
  name: string,
): Generator<string> {
  const { trace } = order;
  yield `  ${paint(sign === "-" ? "red" : "green", `${sign} ${described(trace, event)}`)}`;
  yield `      it comes right ${causes(trace, event)}`;
  yield `      before it, in ${name}: ${cutText(trace, pastOf(order, event))}`;
}

function causes(trace: Trace, event: number): string {
  const { process, position } = trace.events[event] as TraceEvent;
  const previous = trace.timelines[process]?.[position - 1];
  const sources = trace.arrows.filter(({ to }) => to === event).map(({ from }) => from);
  const before = previous === undefined ? sources : [previous, ...sources];
  if (before.length === 0) return "after nothing";
  const shown = before.slice(0, SHOWN_MAX).map((e) => `${printable(placeOf(trace, e))}`);
  if (before.length > shown.length) shown.push(`${before.length - shown.length} more`);
  return `after ${shown.join(", ")}`;
}

const described = (trace: Trace, event: number): string =>
  `${eventText(trace, event)}: ${shortened(printable(eventTitle(trace, event)), TITLE_COLUMNS)}`;

function* listed(
  heading: string,
  events: readonly number[],
  text: (event: number) => string,
): Generator<string> {
  if (events.length === 0) return;
  yield "";
  yield heading;
  for (const event of events.slice(0, SHOWN_MAX)) yield `  ${text(event)}`;
  if (events.length > SHOWN_MAX) yield `  and ${grouped(events.length - SHOWN_MAX)} more`;
}

const many = (count: number): string => (count === 1 ? "1 event" : `${grouped(count)} events`);
