/**
 * What `tidemark up` and `tidemark kv` say on standard error of what happens: as lines for people, or as lines of JSON for whatever gathers
 * logs.
 *
 * Theory of operation. Everything that is told has a text, the name of its kind, and fields; names and fields stay as they are. Secrets
 * that the command knows, a password, a key, the token of the page, are taken out of all that is written as JSON, wherever they stand:
 * who gathers logs keeps them.
 */

import { type Command, Option } from "commander";
import { isTidemarkError, textOf } from "../core/error.ts";
import type { SystemNote } from "../serve/system-methods.ts";
import { printable } from "./terminal.ts";

export type LogLevel = (typeof LEVELS)[number];

const LEVELS = ["debug", "info", "warn", "error", "silent"] as const;

/** The kinds of what is told. */
export type EventName =
  | ("page_served" | "metrics_served" | "metrics_exposed" | "control_elsewhere" | "failed")
  | ("system_began" | "logs_moved_aside" | "logs_unused")
  | ("process_problem" | "process_ended" | "process_restarted" | "process_given_up")
  | ("requests_unanswered" | "restore_begun" | "restored" | "disturbed")
  | ("something_late" | "retention_failed" | "attempts_failed");

type Level = Exclude<LogLevel, "silent">;

/** How much each matters, and what it says. docs/operate/logs.md has this table. */
export const EVENTS: Readonly<Record<EventName, readonly [level: Level, meaning: string]>> = {
  page_served: ["info", "The page is served at `url`; its token is not told here."],
  metrics_served: ["info", "Metrics, health and readiness are served at `url`."],
  metrics_exposed: ["warn", "They are, at `url`, for others than this machine, too."],
  control_elsewhere: [
    "info",
    "Another system in the directory answers commands; this one does not.",
  ],
  system_began: ["info", "All processes run, in `epoch`; `began` says what each goes on from."],
  logs_moved_aside: ["warn", "Logs were moved out of the way."],
  logs_unused: ["warn", "There are logs that this system does not use."],
  process_problem: ["warn", "A process, `process`, tells of a problem with `code`, and goes on."],
  process_ended: ["warn", "`process` has ended; it is started again in `delayMs`."],
  process_restarted: ["info", "`process` runs again, as `pid`, with what `beganWith` says."],
  process_given_up: ["error", "`process` has ended, and is not started again."],
  requests_unanswered: ["warn", "`process` ends, and has not answered so many `requests`."],
  restore_begun: ["warn", "The system is restored to `snapshot`, because a process was given up."],
  restored: ["info", "The system was restored to `snapshot`, in `epoch`, without those `absent`."],
  disturbed: ["warn", "Somebody has killed, halted, resumed, cut or healed, as `what` says."],
  something_late: ["warn", "Something is late, or held up."],
  retention_failed: ["warn", "Old snapshots could not be removed."],
  attempts_failed: [
    "info",
    "Not every snapshot became complete; the text says how to find out why.",
  ],
  failed: ["error", "The command ends, for the error with `code`."],
};

/** What it is that is told, for programs. */
export type EventFields = { readonly event: EventName } & Readonly<
  Record<string, string | number | boolean | null | readonly string[] | Record<string, string>>
>;

/** Tells something: as a text, and as what it is. */
export type Tell = (text: string, fields: EventFields) => void;

/** So many notes are kept for those who come later. */
const NOTES_MAX = 200;

/** Tells it, and keeps the last texts for those who ask later. */
export function noting(through: Tell): { readonly tell: Tell; readonly notes: SystemNote[] } {
  const notes: SystemNote[] = [];
  let number = 0;
  const tell: Tell = (text, fields) => {
    number += 1;
    notes.push({ number, atMs: Date.now(), text });
    if (notes.length > NOTES_MAX) notes.shift();
    through(text, fields);
  };
  return { tell, notes };
}

/** What `addLogOptions` gives. */
export interface LogOptions {
  readonly logLevel: LogLevel;
  readonly logFormat: "text" | "json";
}

export function addLogOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--log-level <level>", "what of its own doings it tells: that and worse")
        .choices(LEVELS)
        .default("info"),
    )
    .addOption(
      new Option("--log-format <format>", "how: lines for people, or a line of JSON for each")
        .choices(["text", "json"])
        .default("text"),
    );
}

/** Takes what is told. */
export interface EventLog {
  /** Lines of JSON are written; else what passes the level is for the report of the command. */
  readonly isJson: boolean;
  /** @param report tells people @returns tells whoever is to know */
  through(report: (text: string) => void): Tell;
  /** The exit status is to follow. Gives whether it was told here. */
  fail(error: unknown): boolean;
}

/** @param secrets what must not be in lines of JSON */
export async function openEventLog(
  { logLevel, logFormat }: LogOptions,
  secrets: readonly string[],
  write: (line: string) => void = (line) => void process.stderr.write(line),
): Promise<EventLog> {
  if (logFormat === "text") {
    const least = LEVELS.indexOf(logLevel);
    return {
      isJson: false,
      through:
        (report) =>
        (text, { event }) => {
          if (LEVELS.indexOf(EVENTS[event][0]) >= least) report(text);
        },
      fail: () => false,
    };
  }
  const { pino, stdTimeFunctions } = await import("pino");
  const logger = pino(
    {
      level: logLevel,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      messageKey: "text",
      formatters: { level: (label) => ({ level: label }) },
    },
    { write },
  );
  // Before what is in them is escaped: then one could not be told from what stands before it.
  const safe = (text: string): string => printable(without(text, secrets));
  const tell: Tell = (text, { event, ...fields }) =>
    logger[EVENTS[event][0]]({ event, ...(mapped(fields, safe) as object) }, safe(text));
  return {
    isJson: true,
    through: () => tell,
    fail(error) {
      const code = isTidemarkError(error) ? error.code : "INTERNAL";
      tell(textOf(error), { event: "failed", code });
      return true;
    },
  };
}

/** The same with each text in it changed. */
function mapped(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((one) => mapped(one, change));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, mapped(one, change)]),
  );
}

/** A secret that is so long is none by chance. */
const LONG_CHARACTERS = 8;
const INSTEAD = "[secret]";

/** A short secret only where no letter or digit goes on with it, so that it is not taken out of every word. */
function without(text: string, secrets: readonly string[]): string {
  let left = text;
  for (const secret of secrets) {
    if (secret === "") continue;
    const pieces = left.split(secret);
    left = pieces.reduce((before, after) => {
      const isWord =
        secret.length < LONG_CHARACTERS &&
        (/[\p{L}\p{N}]$/u.test(before) || /^[\p{L}\p{N}]/u.test(after));
      return before + (isWord ? secret : INSTEAD) + after;
    });
  }
  return left.replaceAll(/(?<=#token=)[0-9a-f]+/g, INSTEAD);
}
