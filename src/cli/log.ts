/** `tidemark log`: what an input log has on disk, from the files alone; and what can be kept of one that is damaged. */

import { basename } from "node:path";
import { Command } from "commander";
import { isTidemarkError, TidemarkError } from "../core/error.ts";
import { byteSize } from "../core/quantity.ts";
import { salvageLog } from "../runtime/input-log.ts";
import { type Break, type Survey, surveyLog } from "../runtime/log-files.ts";
import { jsonOption } from "./options.ts";
import { checkDirectory } from "./snapshots.ts";
import { grouped, painter, printable, table } from "./terminal.ts";

interface LogOptions {
  readonly salvage?: true;
  readonly json?: true;
}

/** What is told of a log. */
interface Report {
  readonly directory: string;
  readonly captures: readonly { file: string; position: number; bytes: number; problem?: string }[];
  readonly segments: readonly { file: string; position: number; bytes: number; records: number }[];
  /** Where the log begins: with the capture there, or with nothing. */
  readonly from: number;
  /** Where it ends. */
  readonly position: number;
  /** That lie between. */
  readonly records: number;
  /** Up to there all is known to have been flushed. */
  readonly synced: number;
  readonly broken?: Break;
  /** Where the rest was moved. */
  readonly aside?: string;
}

const ATTEMPTS = 5;

const HELP = `
Works whether a process is writing the log or not, and changes nothing. What is
being written just then, or was when its writer died, is called unfinished;
whoever opens the log cuts it off.

--salvage keeps what is before the damage, and moves the rest to a folder
aside-N in DIR; it removes nothing. No process may have the log then.

Exit status: 0 if all is well; 1 if a file is damaged, also when the log was
salvaged just now, or there is none; 2 for a mistake in the command.

Examples:
  tidemark log state/p1
  tidemark log state/p1 --json
  tidemark log state/p1 --salvage`;

export function logCommand(): Command {
  return new Command("log")
    .description("show what an input log has on disk, and salvage one that is damaged")
    .argument("<directory>", "where the log is")
    .option("--salvage", "keep what is before the damage, and move the rest aside")
    .addOption(jsonOption("print one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (directory: string, { salvage, json }: LogOptions) => {
      checkDirectory({ dir: directory });
      const survey = await surveyed(directory);
      if (survey.captures.length === 0 && survey.segments.length === 0)
        throw new TidemarkError("NOT_FOUND", `there is no input log in ${directory}`);
      const damaged = survey.broken?.kind === "damaged";
      const aside = salvage && damaged ? (await salvageLog(directory)).aside : undefined;
      const report = reportOf(survey, aside);
      if (json) console.log(JSON.stringify(report));
      else console.log(describe(report).join("\n"));
      const wrong = survey.captures.some(({ problem }) => problem !== undefined);
      process.exitCode = damaged || wrong ? 1 : 0;
    });
}

/** A process that commits a capture removes files while they are looked at. */
async function surveyed(directory: string): Promise<Survey> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await surveyLog(directory, true);
    } catch (error) {
      const gone = isTidemarkError(error, "LOG_FAILED") && codeOf(error.cause) === "ENOENT";
      if (!gone || attempt === ATTEMPTS) throw error;
    }
  }
}

const codeOf = (error: unknown): unknown => (error as { code?: unknown } | undefined)?.code;

function reportOf(survey: Survey, aside: string | undefined): Report {
  const { directory, captures, segments, from, position, records, synced, broken } = survey;
  return {
    directory,
    captures: captures.map(({ identity: _, ...capture }) => capture),
    segments: segments.map((segment) => ({
      file: segment.file,
      position: segment.position,
      bytes: segment.bytes,
      records: segment.records,
    })),
    from,
    position,
    records,
    synced,
    ...(broken && { broken }),
    ...(aside !== undefined && { aside }),
  };
}

function describe(report: Report): string[] {
  const { captures, segments, from, position, records, broken, aside } = report;
  const paint = painter(process.stdout);
  const rows = [
    ...captures.map(({ file, bytes, position: at, problem }) => ({
      at,
      cells: [basename(file), "capture", String(at), "", byteSize(bytes), problem ?? ""],
    })),
    ...segments.map(({ file, bytes, position: at, records: many }) => ({
      at,
      cells: [
        basename(file),
        "segment",
        String(at),
        grouped(many),
        byteSize(bytes),
        at < from ? "old" : "",
      ],
    })),
  ].sort((a, b) => a.at - b.at);
  const names = ["file", "kind", "position", "records", "size", ""];
  const lines = table([names, ...rows.map(({ cells }) => cells.map(printable))], "<<>>><");
  const begin = captures.some((capture) => capture.position === from && !capture.problem)
    ? `after a capture at position ${from}`
    : "after no capture";
  const whole = `${counted(records)} ${begin}, up to position ${position}`;
  if (!broken) return [...lines, `${paint("green", "✓")} ${whole}`];
  const { file, offset, problem, bytes } = broken;
  const rest = `${byteSize(bytes)} from there on, with ${counted(broken.records, "whole ")}`;
  if (broken.kind === "torn")
    return [
      ...lines,
      `${paint("green", "✓")} ${whole}`,
      printable(`unfinished: ${file} at byte ${offset}; ${rest}`),
    ];
  return [
    ...lines,
    `${paint("red", "✗")} ${printable(`${file} is damaged at byte ${offset}: ${problem}`)}`,
    aside === undefined
      ? `--salvage keeps ${whole}, and moves aside ${rest}`
      : `kept ${whole}; moved to ${printable(aside)} what was ${rest}`,
  ];
}

const counted = (records: number, kind = ""): string =>
  `${grouped(records)} ${kind}${records === 1 ? "record" : "records"}`;
