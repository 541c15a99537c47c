/** `tidemark trace possibly` and `definitely`: whether something can have been so in a system, and whether it must have been. */

import { Command, Option } from "commander";
import type { CausalOrder, Frontier } from "../trace/causal-order.ts";
import {
  type DefinitelyVerdict,
  definitely,
  firstObserved,
  type PossiblyVerdict,
  possibly,
} from "../trace/possibly.ts";
import { StateIndex } from "../trace/state-index.ts";
import { jsonOption, wholeNumber } from "./options.ts";
import { grouped, painter, printable } from "./terminal.ts";
import { cutText, eventText, orderOf, readTrace } from "./trace-file.ts";

interface Options {
  readonly budget: number;
  readonly json?: true;
}

const SHOWN_MAX = 20;
const VALUES_LENGTH_MAX = 100;
const UNKNOWN_STATUS = 3;

const paint = painter(process.stdout);

const EXPRESSIONS = `
An EXPRESSION is of values and messages at one cut; write it in 'quotes':

  a.balance + b.balance < 100      process.value; + - * / and numbers
  a.state == "waiting" && !b.up    == != < <= > >=; && || !; true, false, null
  \`node-1\`.\`open files\` > 10       names with other characters in backquotes
  inflight(a, b) == 0              messages in flight from a to b; inflight(): all
  sum(balance) != 400              over all processes that have such a value
  count(role == "leader") > 1      of how many it holds; also all(...), any(...)

A value holds until its process says another one. Before the first there is
none, nor is there one of what is divided by zero: no comparison with it holds,
and a.x == null asks for that. If the expression begins with -, put -- before it.

Which way was gone is said in brackets: conjunctive, linear and sum are straight,
however many events there are; orders are a few that were tried; slice and
lattice are searches among cuts, up to the budget.`;

const EXIT_STATUS = `
Exit status: 0 if yes; 1 if no; 3 if it is unknown, because the budget was used up;
2 if FILE cannot be read, a line is wrong (FILE:LINE: REASON), or for a mistake
in the expression, which is told with its place, or in the command.`;

const POSSIBLY_HELP = `
Possibly: at some consistent cut the expression holds, so that it can have been
so, whether or not it was. The cut is shown, with the values there.
${EXPRESSIONS}
${EXIT_STATUS}

Examples:
  tidemark trace possibly trace.jsonl 'a.balance + b.balance < 100'
  tidemark trace possibly trace.jsonl 'count(leader) > 1' --json`;

const DEFINITELY_HELP = `
Definitely: in whatever order the events happened, as far as the trace allows, the
expression held at some time. If not, an order is shown in which it never does.
${EXPRESSIONS}
${EXIT_STATUS}

Examples:
  tidemark trace definitely trace.jsonl 'a.busy && b.busy'
  tidemark trace definitely trace.jsonl 'inflight() == 0' --budget 100000`;

export function possiblyCommand(): Command {
  return asking("possibly", "say whether something can have been so, and show where")
    .addHelpText("after", POSSIBLY_HELP)
    .action(async (file: string, expression: string, { budget, json }: Options) => {
      const order = orderOf(await readTrace(file), file);
      const verdict = possibly(order, expression, { budget });
      const observed = verdict.holds ? firstObserved(order, expression) : undefined;
      if (json) console.log(JSON.stringify(possiblyJson(order, verdict, observed)));
      else console.log(possiblyLines(order, verdict, observed).join("\n"));
      process.exitCode = statusOf(verdict);
    });
}

export function definitelyCommand(): Command {
  return asking("definitely", "say whether something must have been so at some time")
    .addHelpText("after", DEFINITELY_HELP)
    .action(async (file: string, expression: string, { budget, json }: Options) => {
      const order = orderOf(await readTrace(file), file);
      const verdict = definitely(order, expression, { budget });
      if (json) console.log(JSON.stringify(definitelyJson(order, verdict)));
      else console.log(definitelyLines(order, verdict).join("\n"));
      process.exitCode = statusOf(verdict);
    });
}

function asking(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .argument("<file>", "the trace, a line of JSON for each event; -: standard input")
    .argument("<expression>", "what is asked, as in 'a.balance + b.balance < 100'")
    .addOption(
      new Option("--budget <cuts>", "look at so many cuts at the most, if there is a search")
        .default(1_000_000)
        .argParser(wholeNumber(1, Number.MAX_SAFE_INTEGER)),
    )
    .addOption(jsonOption("print it as one line of JSON"));
}

function statusOf({ holds }: PossiblyVerdict | DefinitelyVerdict): number {
  if (holds === null) return UNKNOWN_STATUS;
  return holds ? 0 : 1;
}

function possiblyJson(
  order: CausalOrder,
  verdict: PossiblyVerdict,
  observed: number | undefined,
): object {
  if (!verdict.holds) return verdict;
  const { trace } = order;
  const { cut, ...decided } = verdict;
  const states = new StateIndex(trace);
  return {
    ...decided,
    cut: Object.fromEntries(trace.processes.map((name, p) => [name, cut[p]])),
    values: Object.fromEntries(states.values(cut)),
    inFlight: states.inFlight(cut),
    observed: observed ?? null,
  };
}

function possiblyLines(
  order: CausalOrder,
  verdict: PossiblyVerdict,
  observed: number | undefined,
): string[] {
  const [answer, how] = answerText(verdict);
  if (!verdict.holds) return [`possibly: ${answer}${how}`];
  const { trace, linear } = order;
  const states = new StateIndex(trace);
  const event = linear[(observed ?? 0) - 1];
  const begun = event === undefined ? "at the beginning" : `after ${eventText(trace, event)}`;
  const when = observed === undefined ? "it holds at no time" : `it first holds ${begun}`;
  return [
    `possibly: ${answer}, at ${trace.processes.length > 0 ? cutText(trace, verdict.cut) : "the beginning"}${how}`,
    ...stateLines(states, verdict.cut),
    `  in the order in which the trace is told ${when}`,
  ];
}

/** The values at a cut, and what is in flight; not of processes that have none. */
function stateLines(states: StateIndex, cut: Frontier): string[] {
  const said = [...states.values(cut)].filter(([, values]) => Object.keys(values).length > 0);
  const values = said.map(([name, all]) => `${printable(name)}: ${valuesText(all)}`);
  const inFlight = states
    .inFlight(cut)
    .map(
      ({ from, to, messages }) =>
        `in flight: ${grouped(messages)} from ${printable(from)} to ${printable(to)}`,
    );
  return [...limited(values), ...limited(inFlight)].map((line) => `  ${line}`);
}

function definitelyJson({ trace }: CausalOrder, verdict: DefinitelyVerdict): object {
  if (verdict.holds !== false) return verdict;
  const place = (e: number): string => {
    const { process = 0, position = 0 } = trace.events[e] ?? {};
    return `${trace.processes[process]}:${position + 1}`;
  };
  return { ...verdict, order: Array.from(verdict.order, place) };
}

function definitelyLines({ trace }: CausalOrder, verdict: DefinitelyVerdict): string[] {
  const [answer, how] = answerText(verdict);
  if (verdict.holds !== false) return [`definitely: ${answer}${how}`];
  const events = Array.from(verdict.order, (e) => {
    const { values } = trace.events[e] ?? {};
    return `${eventText(trace, e)}${values ? `: ${valuesText(values)}` : ""}`;
  });
  return [
    `definitely: ${answer}, in this order of the events it holds at no time${how}`,
    ...limited(events, ", which --json has").map((line) => `  ${line}`),
  ];
}

function answerText(verdict: PossiblyVerdict | DefinitelyVerdict): [answer: string, how: string] {
  const { holds, ways, explored } = verdict;
  const looked =
    explored > 0 ? `; ${grouped(explored)} ${explored === 1 ? "cut" : "cuts"} looked at` : "";
  const how = ways.length + explored > 0 ? `  (${ways.join(", ")}${looked})` : "";
  if (holds === null) return [`unknown: ${verdict.reason}`, `  (${ways.join(", ")})`];
  return [holds ? paint("green", "yes") : paint("red", "no"), how];
}

function valuesText(values: Readonly<Record<string, unknown>>): string {
  const text = Object.entries(values)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(" ");
  return printable(
    text.length > VALUES_LENGTH_MAX ? `${text.slice(0, VALUES_LENGTH_MAX - 1)}…` : text,
  );
}

function limited(lines: readonly string[], where = ""): readonly string[] {
  const left = lines.length - SHOWN_MAX;
  return left <= 1 ? lines : [...lines.slice(0, SHOWN_MAX), `and ${grouped(left)} more${where}`];
}
