/** `tidemark history`: every attempt at a snapshot, also those that left none. */

import { Command } from "commander";
import type { ProcessId } from "../core/id.ts";
import { byteSize, duration } from "../core/quantity.ts";
import { readAttempts } from "../runtime/read-attempts.ts";
import type { Attempt } from "../snapshot/attempt.ts";
import { addNatsStoreOptions } from "./nats-options.ts";
import { directoryOption, jsonOption, limitOption } from "./options.ts";
import { checkDirectory } from "./snapshots.ts";
import { keyOption, type StoreOptions, withStore } from "./store.ts";
import { grouped, type Paint, painter, printable, table } from "./terminal.ts";

interface HistoryOptions extends StoreOptions {
  readonly limit: number;
  readonly failed?: true;
  readonly json?: true;
}

const LIMIT = 20;

const HELP = `
An attempt leaves a snapshot or a reason why not. What is told here stays when
the snapshot is pruned and when processes end, up to about a thousand attempts
of each process, fewer in large systems. An attempt is open while it is under
way, and for ever if the process that began it died and no other knew of it.
tidemark explain says more of one. Works whether a system is running or not.

Exit status: 0; 1 if there is no such directory.

Examples:
  tidemark history
  tidemark history --failed --limit 5
  tidemark history --json | jq 'select(.outcome == "abandoned") | .reason'`;

export function historyCommand(): Command {
  const command = new Command("history")
    .description("list the attempts at snapshots, newest first, and what came of them")
    .addOption(directoryOption())
    .addOption(keyOption())
    .addOption(limitOption(LIMIT))
    .option("--failed", "only those that left no snapshot")
    .addOption(jsonOption("print a line of JSON for each"))
    .addHelpText("after", HELP)
    .action(async (options: HistoryOptions) => {
      const { limit, failed, json } = options;
      const { attempts: all, where } = await attemptsIn(options);
      const wanted = failed ? all.filter(({ outcome }) => outcome !== "complete") : all;
      if (json) for (const attempt of wanted.slice(0, limit)) console.log(JSON.stringify(attempt));
      else if (wanted.length === 0)
        console.error(`tidemark: no ${failed ? "failed " : ""}attempts are noted in ${where}`);
      else console.log(describe(wanted, limit, painter(process.stdout)).join("\n"));
    });
  return addNatsStoreOptions(command);
}

/**
 * The attempts that are noted in a store, newest first; what is damaged is told. And where that is, for messages.
 * @throws TidemarkError `NOT_FOUND`, `BAD_OPTION`, `KEY_REQUIRED`, `WRONG_KEY`, `STORE_FAILED`
 */
export async function attemptsIn(
  options: StoreOptions,
): Promise<{ readonly attempts: Attempt[]; readonly where: string }> {
  checkDirectory(options);
  return await withStore(options, async (store, where) => {
    const attempts = await readAttempts(store, (error) => {
      console.error(`tidemark: ${printable(error.message)}`);
    });
    return { attempts, where };
  });
}

function describe(attempts: readonly Attempt[], limit: number, paint: Paint): string[] {
  const rows: string[][] = [];
  let shown = 0;
  for (let i = 0; i < attempts.length && rows.length < limit; i += shown) {
    const attempt = attempts[i] as Attempt;
    shown = countAlike(attempts, i);
    rows.push(rowOf(attempt, shown, paint));
  }
  const names = ["attempt", "begun", "outcome", "took", "in flight", "state", "label or reason"];
  return table([names, ...rows], "<<<>>><");
}

/** How many processes a line names. */
const NAMED_MAX = 8;

/** As a sentence has them. */
export function named(ids: readonly ProcessId[]): string {
  const [last, ...rest] = ids.toReversed();
  if (ids.length > NAMED_MAX)
    return `${ids.slice(0, NAMED_MAX).join(", ")} and ${ids.length - NAMED_MAX} more`;
  return rest.length === 0 ? String(last) : `${rest.toReversed().join(", ")} and ${last}`;
}

/** True if it was given up for somebody was late; else the reason says who is to blame, and whoever was not done is not. */
export function ranOut(reason: string | undefined): boolean {
  return reason?.startsWith("timeout") === true;
}

/** Why there is no snapshot: first whom it was waited for, as far as that is known. */
export function whyNot({ reason, waits, unclosed, unstored }: Attempt): string {
  if (reason === undefined) return "no end is noted: tidemark explain says more";
  if (!ranOut(reason)) return reason;
  const waited = new Set(waits.map(({ process }) => process));
  const late = unclosed.filter((id) => !waited.has(id));
  // Before the others have noted anything, or when they wait in a circle, it is nobody.
  const toBlame = late.length < unclosed.length || unclosed.length === 1 ? late : [];
  const all = [...toBlame, ...unstored];
  return all.length === 0 ? reason : `held up by ${named(all)} (${reason})`;
}

/** Whoever asks every second, and is refused, is told once. */
function countAlike(attempts: readonly Attempt[], from: number): number {
  const { outcome, reason, initiator } = attempts[from] as Attempt;
  let to = from + 1;
  if (outcome === "refused")
    for (let next = attempts[to]; next; next = attempts[to]) {
      if (next.outcome !== outcome || next.reason !== reason || next.initiator !== initiator) break;
      to += 1;
    }
  return to - from;
}

function rowOf(attempt: Attempt, alike: number, paint: Paint): string[] {
  const { snapshot, initiator, startedAtMs, outcome, tookMs, shares, label } = attempt;
  const sum = (of: "inFlight" | "stateBytes"): number =>
    shares.reduce((total, share) => total + (share[of] ?? 0), 0);
  const word = alike > 1 ? `${outcome} ${alike} times` : outcome;
  const whole = outcome === "complete";
  return [
    snapshot ?? `by ${initiator}`,
    new Date(startedAtMs).toISOString(),
    whole ? word : paint("red", word),
    tookMs === undefined ? "" : duration(Math.max(0, tookMs)),
    whole ? grouped(sum("inFlight")) : "",
    whole ? byteSize(sum("stateBytes")) : "",
    printable(whole ? (label ?? "") : whyNot(attempt)),
  ];
}
