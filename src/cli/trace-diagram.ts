/** `tidemark trace diagram`: a space-time diagram of a trace, in the terminal, as SVG, or as a page that needs nothing else. */

import { Command, InvalidArgumentError, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import type { CausalOrder, Frontier } from "../trace/causal-order.ts";
import { cutCaption, type Layout, layOut, notShownText } from "../trace/layout.ts";
import { drawSvg } from "../trace/svg-diagram.ts";
import { drawText, type Tone } from "../trace/text-diagram.ts";
import type { Trace, TraceEvent } from "../trace/trace.ts";
import { drawPage } from "./diagram-page.ts";
import { jsonOption, wholeNumber } from "./options.ts";
import { grouped, type Paint, painter, printable } from "./terminal.ts";
import { writeText } from "./text-file.ts";
import { orderOf, parseCut, readTrace } from "./trace-file.ts";

interface DiagramOptions {
  readonly snapshot?: SnapshotId;
  readonly cut?: string;
  readonly text?: true;
  readonly ascii?: true;
  readonly svg?: string;
  readonly html?: string;
  readonly time?: true;
  readonly window?: readonly [from: number, to: number];
  readonly around?: string;
  readonly processes?: string;
  readonly limit?: number;
  readonly json?: true;
}

/** So many marks are drawn at the most, unless `--limit` says otherwise. */
const TEXT_MAX = 100;
const SVG_MAX = 400;
const PAGE_MAX = 150_000;
const LIMIT_MAX = 1_000_000;
const COLUMNS = 80;

const HELP = `
Processes are lines, messages are arrows. In the terminal time runs down, and
what is inside the cut stands above its line; an arrow that leads up across it
is an orphan. In SVG and on the page time runs to the right.

If there are more events than --limit, runs of events of one process become one
mark, and if that is not enough a part is shown: around the event or the cut, or
the first ones. What is not shown is said.

The page is one file that needs no network: pan, zoom, see the causal past and
future of an event, and drag a cut.

Exit status: 0 if it is drawn; 2 if FILE cannot be read or a line is wrong
(FILE:LINE: REASON), or for a mistake in the command; 1 if a file cannot be
written.

Examples:
  tidemark trace diagram trace.jsonl
  tidemark trace diagram trace.jsonl --snapshot p1/7 --svg snapshot.svg
  tidemark trace diagram trace.jsonl --cut p1=3,p2=12 --html trace.html
  tidemark trace diagram trace.jsonl --around p2:14 --limit 40`;

export function diagramCommand(): Command {
  return new Command("diagram")
    .description("draw a trace: processes as lines, messages as arrows, a cut through them")
    .argument("<file>", "the trace, a line of JSON for each event; -: standard input")
    .option("--snapshot <id>", "draw the cut where processes recorded for that snapshot")
    .option("--cut <counts>", "draw that cut, as in p1=3,p2=12")
    .option("--text", "draw it as text (default, unless a file is written)")
    .option("--ascii", "draw it as text, without other characters than those of ASCII")
    .option("--svg <file>", "write it as SVG; -: to standard output")
    .option("--html <file>", "write it as a page; -: to standard output")
    .option("--time", "place events by the clocks of their processes")
    .addOption(
      new Option("--window <from..to>", "only those events of the whole order").argParser(
        parseWindow,
      ),
    )
    .option("--around <event>", "the part around that event, as in p2:14")
    .option("--processes <names>", "only those processes, in that order, as in p2,p1")
    .addOption(
      new Option(
        "--limit <number>",
        `draw no more marks than that (default: text ${TEXT_MAX}, SVG ${SVG_MAX}, page ${PAGE_MAX})`,
      ).argParser(wholeNumber(1, LIMIT_MAX)),
    )
    .addOption(jsonOption("print where everything stands, as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (file: string, options: DiagramOptions) => {
      const { svg, html, text, ascii, json, limit, window, time } = options;
      const isText = text === true || ascii === true;
      const toOutput = [svg === "-", html === "-", json === true, isText].filter(Boolean);
      if (toOutput.length > 1)
        throw new TidemarkError(
          "BAD_OPTION",
          "one picture goes to standard output: --text, --json, --svg - or --html -; write the others into files",
        );
      const trace = await readTrace(file);
      const order = orderOf(trace, file);
      const common = {
        cut: cutFrom(order, options),
        around: options.around === undefined ? undefined : eventFrom(trace, options.around),
        processes: options.processes === undefined ? undefined : rowsFrom(trace, options.processes),
        ...{ window, time: time ? ("clock" as const) : ("order" as const) },
      };
      if (window && window[0] > trace.events.length)
        throw new TidemarkError(
          "BAD_OPTION",
          `the window begins at event ${window[0]}; the trace has ${trace.events.length}`,
        );
      if (trace.events.length === 0)
        throw new TidemarkError("BAD_OPTION", `${printable(file)} has no event to be drawn`);
      if (time && !trace.events.some(({ atMs }) => atMs !== undefined))
        throw new TidemarkError(
          "BAD_OPTION",
          "no event of the trace has a time (atMs); leave out --time",
        );
      refuseOutside(order, options, common);
      const laidOut = (marksMax: number): Layout =>
        layOut(order, { ...common, marksMax: limit ?? marksMax });
      const processes = many(trace.processes.length, "process", "processes");
      const title = `${printable(file)}: ${processes}, ${many(trace.events.length, "event", "events")}`;
      // What goes to standard output stands there alone.
      const say = toOutput.length > 0 && !isText ? console.error : console.log;
      if (svg !== undefined) {
        const layout = laidOut(SVG_MAX);
        write(svg, drawSvg(layout, title), layout, say);
      }
      if (html !== undefined) {
        const layout = laidOut(PAGE_MAX);
        write(html, drawPage(layout, title), layout, say);
      }
      if (json) console.log(JSON.stringify(asJson(laidOut(SVG_MAX))));
      else if (isText || (svg === undefined && html === undefined))
        console.log(draw(laidOut(TEXT_MAX), ascii === true));
    });
}

function write(file: string, text: string, layout: Layout, say: (line: string) => void): void {
  if (file === "-") {
    process.stdout.write(text);
    return;
  }
  writeText(file, text);
  const said = [...(layout.cut ? [cutCaption(layout)] : []), ...notShownText(layout)];
  say([`${printable(file)} is written`, ...said.map((line) => `  ${line}`)].join("\n"));
}

function draw(layout: Layout, ascii: boolean): string {
  const paint: Paint = painter(process.stdout);
  const styles: Readonly<Record<Tone, Parameters<Paint>[0]>> = {
    ...{ cut: layout.cut && layout.cut.orphans > 0 ? "red" : "green", record: "green" },
    ...{ orphan: "red", "in flight": "yellow", dim: "dim" },
  };
  const columns = process.stdout.columns || COLUMNS;
  return drawText(layout, { columns, ascii, paint: (tone, text) => paint(styles[tone], text) });
}

function asJson({ trace: _, ...layout }: Layout): unknown {
  return layout;
}

function cutFrom(
  order: CausalOrder,
  { snapshot, cut }: Pick<DiagramOptions, "snapshot" | "cut">,
): Frontier | undefined {
  if (snapshot !== undefined && cut !== undefined)
    throw new TidemarkError("BAD_OPTION", "give a --snapshot or a --cut, not both");
  if (snapshot !== undefined) return order.cutOf(snapshot);
  return cut === undefined ? undefined : parseCut(cut.split(/(?<=[0-9]),/), order);
}

/** What is to be in the middle must not be left out by another option. */
function refuseOutside(
  { linear, trace }: CausalOrder,
  { around: named }: DiagramOptions,
  {
    around,
    window,
    processes,
  }: {
    readonly around: number | undefined;
    readonly window: DiagramOptions["window"];
    readonly processes: readonly number[] | undefined;
  },
): void {
  if (around === undefined) return;
  const place = linear.indexOf(around) + 1;
  if (window && (place < window[0] || place > window[1]))
    throw new TidemarkError(
      "BAD_OPTION",
      `${named} is event ${place} of the whole order, which is not in the window ${window.join("..")}`,
    );
  if (processes && !processes.includes((trace.events[around] as TraceEvent).process))
    throw new TidemarkError("BAD_OPTION", `${named} is of none of the --processes`);
}

/** `p2:14` as an index. */
function eventFrom(trace: Trace, text: string): number {
  const [, name = "", number = ""] = /^(.+):([0-9]+)$/.exec(text) ?? [];
  const process = trace.processes.indexOf(name);
  if (process < 0)
    throw new TidemarkError(
      "BAD_OPTION",
      `an event is written as ${trace.processes[0] ?? "p"}:14, its process and its number; ${text} names none of the trace`,
    );
  const event = trace.timelines[process]?.[Number(number) - 1];
  if (event === undefined)
    throw new TidemarkError(
      "BAD_OPTION",
      `${name} has events from 1 to ${trace.timelines[process]?.length ?? 0}, and no ${number}`,
    );
  return event;
}

function rowsFrom(trace: Trace, text: string): readonly number[] {
  const names = text.split(",");
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new TidemarkError("BAD_OPTION", `--processes names ${twice} twice`);
  return names.map((name) => {
    const process = trace.processes.indexOf(name);
    if (process < 0)
      throw new TidemarkError(
        "BAD_OPTION",
        `--processes names ${name}; the trace has only ${trace.processes.join(", ")}`,
      );
    return process;
  });
}

function parseWindow(text: string): readonly [from: number, to: number] {
  const [, from, to] = /^([0-9]+)\.\.([0-9]+)$/.exec(text) ?? [];
  const window = [Number(from), Number(to)] as const;
  if (window[0] >= 1 && window[0] <= window[1]) return window;
  throw new InvalidArgumentError("Use the first and the last event: 1..200.");
}

const many = (count: number, one: string, several: string): string =>
  `${grouped(count)} ${count === 1 ? one : several}`;
