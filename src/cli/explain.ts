/** `tidemark explain`: what came of one attempt at a snapshot, where its time went, and who held it up. */

import { setTimeout as pause } from "node:timers/promises";
import { Command } from "commander";
import { isTidemarkError, TidemarkError } from "../core/error.ts";
import { isSnapshotId, type ProcessId, type SnapshotId } from "../core/id.ts";
import { byteSize, duration } from "../core/quantity.ts";
import { ControlClient } from "../runtime/control-socket.ts";
import type { SystemMethods } from "../serve/system-methods.ts";
import { type Attempt, type AttemptShare, doneAtMs } from "../snapshot/attempt.ts";
import { attemptsIn, named, ranOut } from "./history.ts";
import { describeCauses, explainProcesses } from "./late.ts";
import { addNatsStoreOptions } from "./nats-options.ts";
import { directoryOption, jsonOption } from "./options.ts";
import { keyOption, SNAPSHOT_NAME, type StoreOptions, withStore } from "./store.ts";
import { grouped, painter, printable, table } from "./terminal.ts";

interface ExplainOptions extends StoreOptions {
  readonly json?: true;
}

/** Who waits for what. */
interface Wait {
  readonly process: ProcessId;
  readonly waitsFor: readonly string[];
}

/** What the system says of an attempt that runs. */
interface Now {
  readonly waits: readonly Wait[];
  /** Those that do not answer. */
  readonly silent: readonly ProcessId[];
}

const STATUS_TIMEOUT_MS = 5_000;
const WAITS_LATE_MS = 1_000;
const LATEST = "latest";

const paint = painter(process.stdout);

const HELP = `
Without an attempt: what is late or held back in the system that runs, each with
what it waits for, down to the process or the channel that holds it up. What
applications say they wait for is late if it is the same a second later. The
words in capitals are stable: docs/operate/causes.md says what to do.

Of a snapshot that is complete: how long each process took for it. Of one that
was abandoned: why, who waited for what, and how far each process had come.
Of one that is under way: who waits for what now, if the system answers. All
times are by the clocks of those that noted them. Of several with the same label
it is the newest; a label is what the attempt was begun with, or what the
snapshot has now.

Exit status: 0; 1 if no such attempt is noted; without an attempt, 0 if nothing
is late or held back, and 1 otherwise.

Examples:
  tidemark explain
  tidemark explain latest
  tidemark explain p2/7
  tidemark explain p2/7 --json | jq .shares`;

export function explainCommand(): Command {
  const command = new Command("explain")
    .description("say who holds up the system, or what came of an attempt at a snapshot")
    .argument("[attempt]", SNAPSHOT_NAME)
    .addOption(directoryOption())
    .addOption(keyOption())
    .addOption(jsonOption("print what is known as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (name: string | undefined, options: ExplainOptions) => {
      const { dir, nats, json } = options;
      if (name === undefined) {
        if (nats !== undefined)
          throw new TidemarkError(
            "BAD_OPTION",
            "--nats goes with an attempt: what is late is asked of the system that runs in --dir",
          );
        process.exitCode = await explainAll(dir, json === true);
        return;
      }
      let attempt = await find(name, options);
      let now =
        attempt.outcome === "open" && nats === undefined
          ? await askSystem(dir, attempt)
          : undefined;
      if (now?.waits.length === 0 && attempt.snapshot !== undefined) {
        // It may have come to its end meanwhile.
        attempt = await find(attempt.snapshot, options);
        if (attempt.outcome !== "open") now = undefined;
      }
      if (json) console.log(JSON.stringify(now ? { ...attempt, waits: now.waits } : attempt));
      else console.log(describe(attempt, now).join("\n"));
    });
  return addNatsStoreOptions(command);
}

/** Gives the exit status. */
async function explainAll(directory: string, isJson: boolean): Promise<number> {
  const client = await ControlClient.connect<SystemMethods>(directory);
  try {
    const ask = async () => {
      const { processes } = await client.call("status", null, { timeoutMs: STATUS_TIMEOUT_MS });
      return { processes, atMs: Date.now() };
    };
    let earlier: Awaited<ReturnType<typeof ask>> | undefined;
    let now = await ask();
    if (now.processes.some(({ explanation }) => (explanation?.waits ?? []).length > 0)) {
      // Who waits for others does not say since when: what is still so in a second is late.
      await pause(WAITS_LATE_MS);
      [earlier, now] = [now, await ask()];
    }
    const nowMs = now.atMs;
    const explanation = explainProcesses(now.processes, nowMs, earlier);
    const isWell = explanation.heldBy.length === 0;
    if (isJson) console.log(JSON.stringify(explanation));
    else if (isWell) console.log("nothing is late or held back");
    else console.log(describeCauses(explanation, nowMs, paint).join("\n"));
    return isWell ? 0 : 1;
  } finally {
    client.close();
  }
}

/**
 * The newest that has that name; what is an id is no label.
 * @throws TidemarkError `NOT_FOUND`, `BAD_OPTION`, `KEY_REQUIRED`, `WRONG_KEY`, `STORE_FAILED`
 */
async function find(name: string, options: StoreOptions): Promise<Attempt> {
  const { attempts, where } = await attemptsIn(options);
  const labelled = new Set<SnapshotId | undefined>();
  if (name !== LATEST && !isSnapshotId(name)) {
    await withStore(options, async (store) => {
      for await (const { id, label } of store.list()) if (label === name) labelled.add(id);
    });
  }
  const found = attempts.find(({ snapshot, label }) =>
    isSnapshotId(name)
      ? snapshot === name
      : name === LATEST || label === name || labelled.has(snapshot),
  );
  if (found) return found;
  const message =
    name === LATEST
      ? `no attempts are noted in ${where}`
      : `no attempt ${printable(name)} is noted in ${where}: tidemark history lists those that are`;
  throw new TidemarkError("NOT_FOUND", message);
}

/** What the processes of the system say that runs there, if one does and answers. */
async function askSystem(directory: string, { snapshot }: Attempt): Promise<Now | undefined> {
  try {
    const client = await ControlClient.connect<SystemMethods>(directory);
    try {
      const { processes } = await client.call("status", null, { timeoutMs: STATUS_TIMEOUT_MS });
      return {
        waits: processes.flatMap(({ process, explanation }) =>
          (explanation?.snapshots ?? [])
            .filter((one) => one.snapshot === snapshot)
            .map(({ waitsFor }) => ({ process, waitsFor })),
        ),
        silent: processes.flatMap(({ process, explanation }) => (explanation ? [] : process)),
      };
    } finally {
      client.close();
    }
  } catch (error) {
    if (isTidemarkError(error)) return undefined;
    throw error;
  }
}

function describe(attempt: Attempt, now: Now | undefined): string[] {
  const head = [headOf(attempt, now)];
  const { label, timeoutMs, reason, shares } = attempt;
  if (label !== undefined) head.push(`  label    ${printable(label)}`);
  if (reason !== undefined) head.push(`  because  ${printable(reason)}`);
  else if (attempt.outcome === "open" && !now?.waits.length)
    head.push(`  because  ${whyOpen(attempt, now)}`);
  if (ranOut(reason) && timeoutMs !== undefined) head.push(`  timeout  ${duration(timeoutMs)}`);
  if (attempt.outcome === "complete") head.push(...slowest(attempt));
  const lines = [head.join("\n")];
  const held = heldBy(attempt, now);
  if (held.length > 0)
    lines.push(
      "",
      now || ranOut(reason) ? "held up by" : "not done then",
      ...held.map((line) => `  ${printable(line)}`),
    );
  if (shares.length > 0) lines.push("", ...describeShares(attempt));
  return lines;
}

function headOf(attempt: Attempt, now: Now | undefined): string {
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
    case "open":
      if (now && now.waits.length > 0) return `${name} is under way; ${begun}`;
      return `${name} ${paint("red", "has no end")}; ${begun}`;
  }
}

/** Of an attempt without an end: whether it can still have one. */
function whyOpen({ initiator }: Attempt, now: Now | undefined): string {
  if (!now)
    return `it is under way, or ${initiator} ended in the middle of it; no system answers that could tell`;
  if (now.silent.includes(initiator)) return `${initiator}, which began it, does not answer`;
  return `${initiator} ended in the middle of it: the system that runs now knows nothing of it`;
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

/**
 * Who waited, or waits now, for what. Before them those of whom nothing is known but that they were late, for they are to blame; last
 * those that were not late, and only not heard.
 */
function heldBy(attempt: Attempt, now?: Now): string[] {
  if (now && now.waits.length === 0) return [];
  const waits = now?.waits ?? attempt.waits;
  const shares = new Map(attempt.shares.map((share) => [share.process, share]));
  const told = new Set(waits.map(({ process }) => process));
  const unclosed = attempt.unclosed.filter((id) => !told.has(id));
  const hasStored = (id: ProcessId): boolean => shares.get(id)?.storedMs !== undefined;
  /** Whoever says the same, or of whom the same is to be said, is in one line. */
  const alike = new Map<string, { readonly processes: ProcessId[]; readonly ofMany: string }>();
  const say = (process: ProcessId, what: string, ofMany: string = what): void => {
    const others = alike.get(what);
    if (others) others.processes.push(process);
    else alike.set(what, { processes: [process], ofMany });
  };
  for (const id of now?.silent ?? []) say(id, "which does not answer", "which do not answer");
  for (const id of unclosed)
    if (!shares.has(id))
      say(id, "of which nothing is noted: no state was recorded there, or it is gone");
  for (const id of attempt.unstored) if (!hasStored(id)) say(id, "where the piece was not stored");
  for (const { process, waitsFor } of waits) {
    const what = waitsFor.join(" and ");
    if (now) say(process, `which waits for ${what}`, `which wait for ${what}`);
    else say(process, `which waited for ${what}`);
  }
  for (const id of unclosed)
    if (shares.has(id))
      say(id, "from where the initiator did not hear that all channels were closed");
  for (const id of attempt.unstored)
    if (hasStored(id)) say(id, "from where the initiator did not hear that the piece was stored");
  return [...alike].map(
    ([what, { processes, ofMany }]) =>
      `${named(processes)}, ${processes.length > 1 ? ofMany : what}`,
  );
}

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
