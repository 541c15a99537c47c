/** `tidemark trace export`: a trace as other programs read it. */

import { Command, Option } from "commander";
import { dotLines, itfLines, mermaidLines } from "../trace/drawings.ts";
import { shivizLines } from "../trace/shiviz.ts";
import { jsonLines, type Trace } from "../trace/trace.ts";
import { printable } from "./terminal.ts";
import { orderOf, readTrace } from "./trace-file.ts";
import { bytesOfLines, STANDARD, writeTo } from "./transfer.ts";

const FORMATS: Readonly<Record<string, (trace: Trace) => Iterable<string>>> = {
  jsonl: jsonLines,
  shiviz: shivizLines,
  itf: itfLines,
  mermaid: mermaidLines,
  dot: dotLines,
};

/** Those that are written in an order in which the events can have happened. */
const NEEDS_ORDER: ReadonlySet<string> = new Set(["shiviz", "itf", "mermaid"]);

/** What Mermaid draws, unless it is told that it may draw more. */
const MERMAID_LENGTH_MAX = 50_000;
const MERMAID_DRAWS = `Mermaid draws up to ${MERMAID_LENGTH_MAX} unless its maxTextSize is set higher`;

const HELP = `
  jsonl    Tidemark's own JSON Lines
  shiviz   a log with vector clocks, with the expression that reads it at its head
  itf      the states of one order of the events, for tools of Apalache and Quint
  mermaid  a sequence diagram
  dot      a graph for Graphviz

Exit status: 0; 2 if FILE cannot be read or a line is wrong (FILE:LINE: REASON),
or for a mistake in the command; 1 if the file cannot be written.

Examples:
  tidemark trace export run.jsonl --to shiviz --out run.log
  tidemark trace export run.jsonl --to dot | dot -Tsvg > run.svg`;

export function exportCommand(): Command {
  return new Command("export")
    .description("write a trace as ShiViz, formal tools, Mermaid or Graphviz read it")
    .argument("<file>", "the trace, a line of JSON for each event; -: standard input")
    .addOption(
      new Option("--to <format>", "how it is written")
        .choices(Object.keys(FORMATS))
        .makeOptionMandatory(),
    )
    .option("--out <file>", "write it into that new file (default: to standard output)")
    .addHelpText("after", HELP)
    .action(async (file: string, { to, out }: { readonly to: string; readonly out?: string }) => {
      const trace = await readTrace(file);
      const lines = FORMATS[to] as (trace: Trace) => Iterable<string>;
      let length = 0;
      const counted = function* (): Generator<string> {
        for (const line of lines(trace)) {
          length += line.length + 1;
          yield line;
        }
      };
      if (NEEDS_ORDER.has(to)) orderOf(trace, file);
      await writeTo(out ?? STANDARD, bytesOfLines(counted()));
      if (to === "mermaid" && length > MERMAID_LENGTH_MAX)
        console.error(
          `tidemark: ${printable(file)}: the diagram has ${length} characters; ${MERMAID_DRAWS}`,
        );
    });
}
