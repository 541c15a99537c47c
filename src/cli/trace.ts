/** `tidemark trace`: what can be said of a system from what was recorded of it. */

import { Command, Option } from "commander";
import { ORDER_LEVELS, type OrderLevel } from "../core/order-level.ts";
import { History, type HistoryCounts } from "../trace/history.ts";
import { checkHistory, type Verdict } from "../trace/promises.ts";
import { drawSpaceTime } from "../trace/space-time.ts";
import { jsonOption } from "./options.ts";
import { grouped, painter, printable } from "./terminal.ts";
import { eachLine } from "./text-file.ts";
import { cutCommand } from "./trace-cut.ts";
import { diagramCommand } from "./trace-diagram.ts";
import { diffCommand } from "./trace-diff.ts";
import { exportCommand } from "./trace-export.ts";
import { importCommand } from "./trace-import.ts";
import { definitelyCommand, possiblyCommand } from "./trace-possibly.ts";
import { recordCommand } from "./trace-record.ts";

interface CheckCommandOptions {
  readonly order?: OrderLevel;
  readonly uniform?: true;
  readonly json?: true;
}

const HELP = `
Examples:
  tidemark trace check history.jsonl
  tidemark trace cut trace.jsonl p1=3 p2=12
  tidemark trace diagram trace.jsonl --snapshot p1/7
  tidemark trace import GoVector.log --out trace.jsonl
  tidemark trace export trace.jsonl --to shiviz
  tidemark trace diff good.jsonl bad.jsonl
  tidemark trace record --for 2s --out run.jsonl
  tidemark trace possibly trace.jsonl 'a.balance + b.balance < 100'
  tidemark trace check --help`;

const CHECK_HELP = `
FILE has a line of JSON for each event of a process, in the order of that
process; for - it is read from standard input:

  {"process":"p","type":"multicast","group":"g","message":"m","order":"causal"}
  {"process":"q","type":"deliver","group":"g","message":"m"}
  {"process":"p","type":"send","to":"q","message":"x"}
  {"process":"q","type":"receive","from":"p","message":"x"}
  {"process":"r","type":"crash"}
  {"type":"group","group":"g","members":["p","q","r"]}

Promises are those of Hadzilacos and Toueg: validity, agreement, integrity, and
FIFO, causal and total order for messages that ask for it. A promise that does
not hold is shown with the fewest events that break it, as a space-time diagram
with the numbers of their lines.

Exit status: 0 if all promises hold; 1 if one does not; 2 if FILE cannot be read
or a line is wrong (FILE:LINE: REASON), or for a mistake in the command.

Examples:
  tidemark trace check history.jsonl
  tidemark trace check history.jsonl --order causal --uniform
  cat p.jsonl q.jsonl r.jsonl | tidemark trace check - --json`;

const paint = painter(process.stdout);

export function traceCommand(): Command {
  return new Command("trace")
    .description("look at what was recorded of a system")
    .addHelpText("after", HELP)
    .addCommand(checkCommand())
    .addCommand(cutCommand())
    .addCommand(diagramCommand())
    .addCommand(importCommand())
    .addCommand(exportCommand())
    .addCommand(diffCommand())
    .addCommand(recordCommand())
    .addCommand(possiblyCommand())
    .addCommand(definitelyCommand());
}

function checkCommand(): Command {
  return new Command("check")
    .description("decide which promises of ordered multicast a history keeps")
    .argument("<file>", "the history, a line of JSON for each event; -: standard input")
    .addOption(
      new Option(
        "--order <level>",
        "judge all messages by that level (default: what each asks for)",
      ).choices(Object.keys(ORDER_LEVELS)),
    )
    .option("--uniform", "hold also those processes to it that crash later")
    .addOption(jsonOption("print a line of JSON for each promise, and one at the end"))
    .addHelpText("after", CHECK_HELP)
    .action(async (file: string, { order, uniform, json }: CheckCommandOptions) => {
      const history = new History(file);
      await eachLine(file, (line) => history.addText(line));
      const verdicts = checkHistory(history, {
        ...(order && { order }),
        uniform: uniform === true,
      });
      const broken = verdicts.some(({ holds }) => holds === false);
      if (json) {
        for (const verdict of verdicts) console.log(JSON.stringify(verdict));
        console.log(
          JSON.stringify({ ...history.counts, complete: history.complete, holds: !broken }),
        );
      } else tell(history.counts, verdicts);
      process.exitCode = broken ? 1 : 0;
    });
}

function tell(counts: HistoryCounts, verdicts: readonly Verdict[]): void {
  const { processes, groups, messages, deliveries } = counts;
  console.log(
    [
      ...[many(processes, "process", "processes"), many(groups, "group", "groups")],
      ...[many(messages, "message", "messages"), many(deliveries, "delivery", "deliveries")],
    ].join(", "),
  );
  const names = verdicts.map(({ promise, uniform }) => (uniform ? `uniform ${promise}` : promise));
  const width = Math.max(...names.map((name) => name.length));
  for (const [i, verdict] of verdicts.entries()) {
    const name = (names[i] ?? "").padEnd(width);
    if (verdict.holds === true) console.log(`${paint("green", "✓")} ${name}  ${judged(verdict)}`);
    else if (verdict.holds === null)
      console.log(`${paint("dim", "?")} ${name}  not judged: ${verdict.reason}`);
    else {
      console.log(`${paint("red", "✗")} ${name}  ${printable(verdict.reason)}`);
      const columns = Math.min(100, process.stdout.columns || 100);
      console.log(
        `\n${drawSpaceTime(verdict.witness, { columns: columns - 2 })}\n`.replaceAll(
          /^(?=.)/gm,
          "  ",
        ),
      );
    }
  }
}

function judged({ promise, judged: count }: Extract<Verdict, { holds: true }>): string {
  return promise === "validity" || promise === "agreement"
    ? many(count, "message", "messages")
    : many(count, "delivery", "deliveries");
}

const many = (count: number, one: string, several: string): string =>
  count === 1 ? `1 ${one}` : `${grouped(count)} ${several}`;
