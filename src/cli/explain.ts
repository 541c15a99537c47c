/** `tidemark explain`: what came of one attempt at a snapshot, where its time went, and who held it up. */

import { Command } from "commander";
import { isTidemarkError, TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { byteSize, duration } from "../core/quantity.ts";
import { ControlClient } from "../runtime/control-socket.ts";
import { type Attempt, type AttemptShare, doneAtMs } from "../snapshot/attempt.ts";
import { attemptsIn } from "./history.ts";
import { directoryOption, jsonOption } from "./options.ts";
import { type KeyOptions, keyOption, SNAPSHOT_NAME } from "./store.ts";
import type { SystemMethods } from "./system-control.ts";
import { grouped, painter, printable, table } from "./terminal.ts";

interface ExplainOptions extends KeyOptions {
  readonly dir: string;
  readonly json?: true;
}

/** Who waits for what. */
interface Wait {
  readonly process: ProcessId;
  readonly waitsFor: readonly string[];
}

const STATUS_TIMEOUT_MS = 5_000;
const LATEST = "latest";

const paint = painter(process.stdout);

const HELP = `
Of a snapshot that is complete: how long each process took for it. Of one that
was abandoned: why, who waited for what, and how far each process had come.
Of one that is under way: who waits for what now, if the system answers. All
times are by the clocks of those that noted them.

Exit status: 0; 1 if no such attempt is noted.

Examples:
  tidemark explain latest
  tidemark explain p2/7
  tidemark explain p2/7 --json | jq .shares`;

export function explainCommand(): Command {
  return new Command("explain")
    .description("say what came of an attempt at a snapshot, and who held it up")
    .argument("<attempt>", SNAPSHOT_NAME)
    .addOption(directoryOption())
    .addOption(keyOption())
    .addOption(jsonOption("print what is known as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (name: string, options: ExplainOptions) => {
      const { dir, json } = options;
      const attempt = find(await attemptsIn(dir, options), name, dir);
      const now = attempt.outcome === "open" ? await waitsNow(dir, attempt) : undefined;
      if (json) console.log(JSON.stringify(now ? { ...attempt, waits: now } : attempt));
      else console.log(describe(attempt, now).join("\n"));
    });
}

/** The newest that has that name. */
function find(attempts: readonly Attempt[], name: string, directory: string): Attempt {
  const found = attempts.find(
    ({ snapshot, label }) => name === LATEST || snapshot === name || label === name,
  );
  if (found) return found;
  const message = `no attempt ${printable(name)} is noted in ${directory}: tidemark history lists those that are`;
  throw new TidemarkError("NOT_FOUND", message);
}

/** What the processes of the system say that runs there, if one does and answers. */
async function waitsNow(directory: string, { snapshot }: Attempt): Promise<Wait[] | undefined> {
  try {
    const client = await ControlClient.connect<SystemMethods>(directory);
    try {
      const { processes } = await client.call("status", null, { timeoutMs: STATUS_TIMEOUT_MS });
      return processes.flatMap(({ process, explanation }) =>
        (explanation?.snapshots ?? [])
          .filter((one) => one.snapshot === snapshot)
          .map(({ waitsFor }) => ({ process, waitsFor })),
      );
    } finally {
      client.close();
    }
  } catch (error) {
    if (isTidemarkError(error)) return undefined;
    throw error;
  }
}

function describe(attempt: Attempt, now: readonly Wait[] | undefined): string[] {
  const head = [headOf(attempt, now)];
  const { label, timeoutMs, reason, shares } = attempt;
  if (label !== undefined) head.push(`  label    ${printable(label)}`);
  if (reason !== undefined) head.push(`  because  ${printable(reason)}`);
  if (attempt.outcome === "abandoned" && timeoutMs !== undefined)
    head.push(`  timeout  ${duration(timeoutMs)}`);
  if (attempt.outcome === "complete") head.push(...slowest(attempt));
  const lines = [head.join("\n")];
  const held = heldBy(attempt, now);
  if (held.length > 0) lines.push("", "held up by", ...held.map((line) => `  ${printable(line)}`));
  if (shares.length > 0) lines.push("", ...describeShares(attempt));
  return lines;
}

function headOf(attempt: Attempt, now: readonly Wait[] | undefined): string {
  const { snapshot, initiator, startedAtMs, outcome, tookMs, processes } = attempt;
  const name = snapshot ?? "a snapshot";
  const when = new Date(startedAtMs).toISOString();
  const of = processes === undefined ? "" : `, of ${processes} processes`;
  const begun = `begun by ${initiator} at ${when}${of}`;
  const after = tookMs === undefined ? "" : ` after ${duration(Math.max(0, tookMs))}`;
  switch (outcome) {
    case "complete":
      return `${name} ${paint("green", "is complete")}${after}; ${begun}`;
    case "abandoned":
      return `${name} ${paint("red", "was abandoned")}${after}; ${begun}`;
    case "refused":
      return `${initiator} ${paint("red", "refused")} to begin a snapshot at ${when}`;
    case "open": {
      if (now && now.length > 0) return `${name} is under way; ${begun}`;
      const died = now
        ? `, and no process waits for it: ${initiator} died in the middle of it`
        : "";
      return `${name} ${paint("red", "has no end")}${died}; ${begun}`;
    }
  }
}

/** Where the time of a snapshot went that is complete. */
function slowest({ startedAtMs, cutMs = 0, tookMs = 0, shares }: Attempt): string[] {
  const closedMs = (one: AttemptShare): number => one.recordedAtMs + (one.recordingMs ?? 0);
  const last = (by: (one: AttemptShare) => number): AttemptShare | undefined =>
    shares.reduce<AttemptShare | undefined>((a, b) => (a && by(a) >= by(b) ? a : b), undefined);
  const cut = last(closedMs);
  const done = last(doneAtMs);
  if (!cut || !done) return [];
  const afterMs = Math.max(0, closedMs(cut) - startedAtMs);
  return [
    `  the cut  was known after ${duration(cutMs)}: the channels of ${cut.process} were closed last, after ${duration(afterMs)}`,
    `  storing  took ${duration(Math.max(0, tookMs - cutMs))} more: ${done.process} was done last`,
  ];
}

/** Who waited, or waits now, for what; before them of whom nothing is known but that it was late, and last who was not late itself. */
function heldBy({ waits, unclosed, unstored, shares }: Attempt, now?: readonly Wait[]): string[] {
  if (now) return now.map(waitLine);
  const told = new Set(waits.map(({ process }) => process));
  const late: string[] = [];
  const unheard: string[] = [];
  for (const id of unclosed.filter((one) => !told.has(one))) {
    const share = shares.find(({ process }) => process === id);
    if (!share)
      late.push(`${id}, of which nothing is noted: it had not recorded, or was not there any more`);
    else unheard.push(`${id}, whose channels were closed, as the initiator had not heard`);
  }
  for (const id of unstored) {
    const stored = shares.some(({ process, storedMs }) => process === id && storedMs !== undefined);
    if (stored) unheard.push(`${id}, whose piece was stored, as the initiator had not heard`);
    else late.push(`${id}, which had not stored its piece`);
  }
  return [...late, ...waits.map(waitLine), ...unheard];
}

const waitLine = ({ process, waitsFor }: Wait): string =>
  `${process}, which waited for ${waitsFor.join(" and ")}`;

const inFlightCell = (messages: number, bytes: number): string =>
  messages === 0 ? "0" : `${grouped(messages)} (${byteSize(bytes)})`;

function describeShares({ startedAtMs, shares }: Attempt): string[] {
  const time = (ms: number | undefined): string =>
    ms === undefined ? "-" : duration(Math.max(0, ms));
  const rows = shares.map((share) => {
    const { process, recordedAtMs, captureMs, recordingMs, inFlight } = share;
    const { inFlightBytes = 0, storedMs, stateBytes } = share;
    return [
      process,
      time(recordedAtMs - startedAtMs),
      time(captureMs),
      time(recordingMs),
      inFlight === undefined ? "-" : inFlightCell(inFlight, inFlightBytes),
      time(storedMs),
      stateBytes === undefined ? "-" : byteSize(stateBytes),
    ];
  });
  const names = ["process", "recorded after", "paused", "closed after", "in flight"];
  return table([[...names, "stored in", "state"], ...rows], "<>>>>>>");
}
