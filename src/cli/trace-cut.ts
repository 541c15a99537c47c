/** `tidemark trace cut`: whether a cut of a trace is consistent, what is in flight across it, and which consistent ones are next to it. */

import { Command } from "commander";
import { TidemarkError } from "../core/error.ts";
import { isSnapshotId } from "../core/id.ts";
import type { CausalOrder, Frontier } from "../trace/causal-order.ts";
import { type Arrow, messagesOf, type Trace } from "../trace/trace.ts";
import { jsonOption } from "./options.ts";
import { grouped, painter, printable } from "./terminal.ts";
import { cutText, eventText, orderOf, parseCut, readTrace } from "./trace-file.ts";

interface CutOptions {
  readonly snapshot?: string;
  readonly json?: true;
}

const SHOWN_MAX = 10;

const paint = painter(process.stdout);

const HELP = `
A cut is written as how many of its first events each process has inside; of who
is not named it is none. A cut is consistent if all that happened before what is
inside is inside, too: no message is received that was not sent. What is
received and not sent is an orphan; what is sent and not received is in flight.

Exit status: 0 if the cut is consistent; 1 if not; 2 if FILE cannot be read or
a line is wrong (FILE:LINE: REASON), or for a mistake in the command.

Examples:
  tidemark trace cut trace.jsonl p1=3 p2=12
  tidemark trace cut trace.jsonl --snapshot p1/7 --json`;

export function cutCommand(): Command {
  return new Command("cut")
    .description("say whether a cut is consistent, and what crosses it")
    .argument("<file>", "the trace, a line of JSON for each event; -: standard input")
    .argument("[counts...]", "as in p1=3 p2=12")
    .option("--snapshot <id>", "the cut where processes recorded for that snapshot")
    .addOption(jsonOption("print it as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (file: string, counts: readonly string[], { snapshot, json }: CutOptions) => {
      if ((snapshot === undefined) === (counts.length === 0))
        throw new TidemarkError("BAD_OPTION", "name a cut, as in p1=3 p2=12, or a --snapshot");
      const trace = await readTrace(file);
      const order = orderOf(trace, file);
      if (snapshot !== undefined && !isSnapshotId(snapshot))
        throw new TidemarkError("BAD_OPTION", `${snapshot} is no id of a snapshot, as p1/7 is`);
      const cut = snapshot === undefined ? parseCut(counts, order) : order.cutOf(snapshot);
      const orphans = order.orphans(cut);
      if (json) {
        const named = (one: Frontier): unknown =>
          Object.fromEntries(trace.processes.map((name, p) => [name, one[p]]));
        const pairs = (arrows: readonly Arrow[]): unknown =>
          arrows.map(({ from, to }) => [placeOf(trace, from), placeOf(trace, to)]);
        console.log(
          JSON.stringify({
            ...{ cut: named(cut), consistent: orphans.length === 0, orphans: pairs(orphans) },
            ...{ inFlight: pairs(order.crossing(cut)) },
            messagesInFlight: messagesIn(trace, order.crossing(cut)),
            least: named(order.least(cut)),
            greatest: named(order.greatest(cut)),
          }),
        );
      } else console.log(describe(order, cut, orphans).join("\n"));
      process.exitCode = orphans.length === 0 ? 0 : 1;
    });
}

/** As in ShiViz: the process and the number of the event, from 1. */
function placeOf(trace: Trace, event: number): string {
  const { process = 0, position = 0 } = trace.events[event] ?? {};
  return `${trace.processes[process]}:${position + 1}`;
}

function describe(order: CausalOrder, cut: Frontier, orphans: readonly Arrow[]): string[] {
  const { trace } = order;
  const crossing = order.crossing(cut);
  const isRight = orphans.length === 0;
  const lines = [
    isRight
      ? `${paint("green", "✓")} ${cutText(trace, cut)} is consistent`
      : `${paint("red", "✗")} ${cutText(trace, cut)} is not consistent: ${many(messagesIn(trace, orphans), "orphan")}`,
    ...listed(orphans, (arrow) => {
      const [from, to] = [eventText(trace, arrow.from), eventText(trace, arrow.to)];
      return `${messageText(trace, arrow)} is received inside, by ${to}, and sent outside, by ${from}`;
    }),
  ];
  if (!isRight)
    lines.push(
      `  the greatest consistent cut inside it: ${cutText(trace, order.greatest(cut))}`,
      `  the least consistent cut around it: ${cutText(trace, order.least(cut))}`,
    );
  return [
    ...lines,
    `  ${many(messagesIn(trace, crossing), "message")} in flight`,
    ...listed(crossing, (arrow) => {
      const [from, to] = [eventText(trace, arrow.from), eventText(trace, arrow.to)];
      return `${messageText(trace, arrow)}: from ${from} to ${to}`;
    }),
  ];
}

function messageText(trace: Trace, arrow: Arrow): string {
  const { from, to } = arrow;
  const name = trace.events[to]?.message ?? trace.events[from]?.message;
  if (name === undefined) return "what is sent";
  const count = messagesOf(trace, arrow);
  return printable(String(name)) + (count > 1 ? ` and ${grouped(count - 1)} more` : "");
}

const messagesIn = (trace: Trace, arrows: readonly Arrow[]): number =>
  arrows.reduce((sum, arrow) => sum + messagesOf(trace, arrow), 0);

function listed(arrows: readonly Arrow[], text: (arrow: Arrow) => string): string[] {
  const lines = arrows.slice(0, SHOWN_MAX).map((arrow) => `    ${text(arrow)}`);
  const left = arrows.length - lines.length;
  return left > 0 ? [...lines, `    and ${grouped(left)} more`] : lines;
}

const many = (count: number, one: string): string =>
  count === 1 ? `1 ${one}` : `${grouped(count)} ${one}s`;
