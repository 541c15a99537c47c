/** `tidemark trace import`: a log of another program as a trace. */

import { Command, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import { parseOtlp } from "../trace/otlp.ts";
import { parseShiviz, SHIVIZ_PARSER } from "../trace/shiviz.ts";
import { jsonLines, parseTrace, type Trace } from "../trace/trace.ts";
import { jsonOption, wholeNumber } from "./options.ts";
import { grouped, printable } from "./terminal.ts";
import { readAll } from "./text-file.ts";
import { limitedFindAll } from "./time-limit.ts";
import { orderOf } from "./trace-file.ts";
import { bytesOfLines, STANDARD, writeTo } from "./transfer.ts";

interface ImportOptions {
  readonly from?: "shiviz" | "otlp" | "jsonl";
  readonly parser?: string;
  readonly delimiter?: string;
  readonly skip?: number;
  readonly execution?: string;
  readonly out?: string;
  readonly json?: true;
}

/** One of the executions in a log, and what is to be said of it. */
interface Imported {
  readonly trace: Trace;
  readonly remarks: readonly string[];
}

const MATCH_LIMIT_MS = 5_000;
const LABELS_MAX = 10;

const HELP = `
LOG is of ShiViz or GoVector, or spans of OpenTelemetry (OTLP/JSON); for - it is
read from standard input.

An expression of JavaScript finds events in a log, with flags g and m: its groups
host, clock and event say whose an event is, what its clock was (a JSON object)
and what it says; other named groups are fields. Without --parser it is that of
the first line of the log, if that is one, as GoVector writes it; else
  ${SHIVIZ_PARSER}
--delimiter finds what separates executions; its group trace is their label.

The trace is written as JSON Lines, which the other commands of trace read.

Exit status: 0 if it was read; 2 if not, with FILE:LINE: event TEXT of HOST and
the reason.

Examples:
  tidemark trace import GoVector.log --out run.jsonl
  tidemark trace import log --parser '(?<host>\\S*) (?<clock>{.*})\\n(?<event>.*)' --json
  tidemark trace import log --delimiter '^=== (?<trace>.*) ===$' --execution 'run 2'
  tidemark trace import spans.json | tidemark trace export - --to dot`;

export function importCommand(): Command {
  return new Command("import")
    .description("read a log of ShiViz, GoVector or OpenTelemetry as a trace")
    .argument("<log>", "the log; -: standard input")
    .addOption(
      new Option("--from <format>", "what it is (default: what it looks like)").choices([
        ...["shiviz", "otlp", "jsonl"],
      ]),
    )
    .option("--parser <expression>", "finds events in a log")
    .option("--delimiter <expression>", "finds what separates executions in a log")
    .addOption(
      new Option(
        "--skip <lines>",
        "pass over so many lines at the beginning of a log (default: 2 if it begins with an expression, else 0)",
      ).argParser(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
    )
    .option("--execution <label>", "take only that one")
    .option("--out <file>", "write the trace into that new file (default: to standard output)")
    .addOption(jsonOption("print the graph of events of all executions as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (log: string, options: ImportOptions) => {
      const { execution, out, json } = options;
      const all = imported(await readAll(log), log, options);
      const chosen =
        execution === undefined ? all : all.filter(({ trace }) => trace.label === execution);
      if (chosen.length === 0) throw unknownLabel(log, all, `there is no execution ${execution}`);
      // Whatever reads it will ask in which order things happened.
      for (const { trace } of chosen) orderOf(trace, `${log}${inExecution(trace)}`);
      for (const { trace, remarks } of chosen)
        for (const remark of remarks)
          console.error(`tidemark: ${printable(log)}${inExecution(trace)}: ${printable(remark)}`);
      if (json) {
        console.log(JSON.stringify({ executions: chosen.map(({ trace }) => graphOf(trace)) }));
        return;
      }
      const [one, ...more] = chosen;
      if (one === undefined || more.length > 0)
        throw unknownLabel(log, all, "choose one of its executions with --execution");
      await writeTo(out ?? STANDARD, bytesOfLines(jsonLines(one.trace)));
      if (out !== undefined) console.log(`${summary(one.trace)} → ${printable(out)}`);
    });
}

function imported(text: string, log: string, options: ImportOptions): readonly Imported[] {
  const { parser, delimiter, skip } = options;
  const isLog = parser !== undefined || delimiter !== undefined || skip !== undefined;
  const from = options.from ?? (isLog ? "shiviz" : formatOf(text));
  if (from !== "shiviz" && isLog)
    throw new TidemarkError(
      "BAD_OPTION",
      "--parser, --delimiter and --skip are for logs of ShiViz",
    );
  if (from === "jsonl") return [{ trace: parseTrace(text, log), remarks: [] }];
  if (from === "otlp") {
    const { trace, repeated, late } = parseOtlp(text, log);
    const remarks = [
      ...(repeated > 0 ? [`${many(repeated, "span is", "spans are")} there more than once`] : []),
      ...(late > 0
        ? [`${many(late, "call ends", "calls end")} before the server's span: no arrow leads back`]
        : []),
    ];
    return [{ trace, remarks }];
  }
  const executions = parseShiviz(text, {
    ...(parser !== undefined && { parser }),
    ...(delimiter !== undefined && { delimiter }),
    ...(skip !== undefined && { skip }),
    ...{ name: log, findAll: limitedFindAll(MATCH_LIMIT_MS) },
  });
  return executions.map(({ trace, passedOver: { lines, first } }) => {
    const remark = `${many(lines, "line is", "lines are")} of no event, the first is line ${first}`;
    return { trace, remarks: lines > 0 ? [remark] : [] };
  });
}

/** By how it begins. */
function formatOf(text: string): "shiviz" | "otlp" | "jsonl" {
  const start = text.slice(0, 4_096);
  if (/^\uFEFF?\s*\{\s*"resourceSpans"\s*:/.test(start)) return "otlp";
  return /^\s*\{[^\n]*"(?:type|process)"\s*:\s*"/.test(start) ? "jsonl" : "shiviz";
}

/** The graph of a trace, as ShiViz has it: events are called by their process and number. */
function graphOf(trace: Trace): unknown {
  const { label, processes, events, timelines, arrows } = trace;
  const nameOf = (e: number): string => {
    const { process = 0, position = 0 } = events[e] ?? {};
    return `${processes[process]}:${position + 1}`;
  };
  const edges = arrows.map(({ from, to }) => [nameOf(from), nameOf(to)] as const);
  const perHost = Object.fromEntries(processes.map((name, p) => [name, timelines[p]?.length]));
  return {
    ...{ label, events: events.length, hosts: processes, perHost, edgeCount: edges.length },
    edges: edges.sort(([a, b], [c, d]) => order(a, c) || order(b, d)),
  };
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function summary({ events, processes, arrows }: Trace): string {
  return [
    many(events.length, "event", "events"),
    many(processes.length, "process", "processes"),
    many(arrows.length, "arrow", "arrows"),
  ].join(", ");
}

function unknownLabel(log: string, all: readonly Imported[], reason: string): TidemarkError {
  const labels = all.slice(0, LABELS_MAX).map(({ trace }) => JSON.stringify(trace.label));
  if (all.length > labels.length) labels.push(`${all.length - labels.length} more`);
  return new TidemarkError("BAD_OPTION", `${log}: ${reason}; there are ${labels.join(", ")}`);
}

const inExecution = ({ label }: Trace): string => (label === "" ? "" : ` (${printable(label)})`);

const many = (count: number, one: string, several: string): string =>
  count === 1 ? `1 ${one}` : `${grouped(count)} ${several}`;
