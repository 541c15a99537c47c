/** `tidemark diff`: what changed from one snapshot to another. */

import { Command } from "commander";
import type { ProcessId } from "../core/id.ts";
import { duration } from "../core/quantity.ts";
import {
  type ChannelComparison,
  compareSnapshots,
  isDifferent,
  type NumberedMessage,
  type ProcessComparison,
} from "../process/compare-snapshots.ts";
import type { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import type { Difference } from "../snapshot/diff.ts";
import { formatPath, type PathExpression, parsePath } from "../snapshot/value-path.ts";
import { addNatsStoreOptions } from "./nats-options.ts";
import { collect, directoryName, directoryOption, jsonOption, wholeNumber } from "./options.ts";
import {
  keyOption,
  openSnapshot,
  openStore,
  SNAPSHOT_NAME,
  type StoreOptions,
  withStore,
} from "./store.ts";
import { grouped, isLive, painter, printable } from "./terminal.ts";
import { jsonLine, literal, literals, shownPath } from "./values.ts";

interface DiffOptions extends StoreOptions {
  readonly otherDir?: string;
  readonly process?: readonly ProcessId[];
  readonly path?: PathExpression;
  readonly limit?: number;
  readonly json?: true;
}

/** So many differences of a process, and messages of a channel, are listed for people if they do not say. */
const LISTED = 20;
/** What takes longer says how far it is, so often. */
const QUIET_MS = 1_000;
const SAY_EVERY_MS = 100;
/** As diff(1) has it: 1 means that there are differences. */
const FAILED = 2;

const paint = painter(process.stdout);

const HELP = `
For each process: what was added (+), removed (-) and changed (~) in its state,
and where. For each channel: how much was sent and received since, and which
messages in flight are gone, new, or still there. An item that was put into a
list or taken out is one difference, and not one for each that moved.

Exit status: 0 if states and messages are the same; 1 if they differ; 2 if
there is no such snapshot, it is damaged, or for a mistake in the command.

Examples:
  tidemark diff p2/7 latest
  tidemark diff p2/7 p2/7 --other-dir backups/monday
  tidemark diff p2/7 p1/9 --process p1 --path '$.orders'
  tidemark diff p2/7 p1/9 --json
  tidemark diff p2/7 p2/7 --nats nats://10.0.0.9:4222 --other-dir backups`;

export function diffCommand(): Command {
  const command = new Command("diff")
    .description("show what changed from one snapshot to another")
    .argument("<before>", SNAPSHOT_NAME)
    .argument("<after>", "the same")
    .addOption(directoryOption())
    .option("--other-dir <directory>", "where <after> is (default: as --dir)", directoryName)
    .addOption(keyOption())
    .option("--process <id>", "only that process and its channels; once for each", collect)
    .option("--path <path>", "only what it leads to in states, as in show", parsePath)
    .option(
      "--limit <number>",
      "list so many of each process and channel (default: 20, or with --json all)",
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
    )
    .addOption(jsonOption("print a line of JSON for each process and channel, and one at the end"))
    .addHelpText("after", HELP)
    .action(async (before: string, after: string, options: DiffOptions) => {
      process.exitCode = FAILED;
      const { otherDir } = options;
      process.exitCode = await withStore(options, async (store, where) => {
        const [other, otherWhere] =
          otherDir === undefined ? [store, where] : [openStore(otherDir, options), otherDir];
        const snapshots = [
          await openSnapshot(store, before, where),
          await openSnapshot(other, after, otherWhere),
        ] as const;
        return (await tellDifferences(...snapshots, options)) ? 1 : 0;
      });
    });
  return addNatsStoreOptions(command);
}

/** What all comparisons come to. */
interface Totals {
  processes: number;
  processesThatDiffer: number;
  added: number;
  removed: number;
  changed: number;
  channels: number;
  channelsThatDiffer: number;
  gone: number;
  come: number;
  still: number;
}

/** Gives true if there are any. */
async function tellDifferences(
  before: GlobalSnapshot,
  after: GlobalSnapshot,
  { process: processes, path, limit, json }: DiffOptions,
): Promise<boolean> {
  const progress = progressTeller();
  const totals: Totals = {
    ...{ processes: 0, processesThatDiffer: 0, added: 0, removed: 0, changed: 0 },
    ...{ channels: 0, channelsThatDiffer: 0, gone: 0, come: 0, still: 0 },
  };
  const details: string[] = [];
  const same: string[] = [];
  const listed = limit ?? (json ? Number.POSITIVE_INFINITY : LISTED);
  const comparisons = compareSnapshots(before, after, {
    ...(processes ? { processes } : {}),
    ...(path ? { path } : {}),
    limit: listed,
    onProgress: progress.tell,
  });
  const names = [before, after].map(nameOf);
  for await (const one of comparisons) {
    add(totals, one);
    if (json) console.log(jsonLine(asJson(one)));
    else if (isDifferent(one)) details.push("", ...describe(one, names));
    else same.push(one.type === "process" ? one.process : `${one.from} → ${one.to}`);
  }
  progress.end();
  const [old, now] = [before.manifest, after.manifest];
  const isOther = old.system !== now.system || old.epoch !== now.epoch;
  const differ = totals.processesThatDiffer + totals.channelsThatDiffer > 0 || isOther;
  if (json) {
    const heading = ({ id, label, system, epoch, startedAtMs }: typeof old): object => ({
      ...{ id, system, epoch, startedAtMs },
      ...(label === undefined ? {} : { label }),
    });
    const ends = { before: heading(old), after: heading(now) };
    console.log(jsonLine({ type: "summary", differ, ...ends, ...totals }));
    return differ;
  }
  const lines = [heading(before, after), describeTotals(totals, differ), ...details];
  if (differ && same.length > 0) lines.push("", `the same: ${same.join(", ")}`);
  console.log(lines.join("\n"));
  return differ;
}

function add(totals: Totals, one: ProcessComparison | ChannelComparison): void {
  const different = isDifferent(one) ? 1 : 0;
  if (one.type === "process") {
    totals.processes += 1;
    totals.processesThatDiffer += different;
    totals.added += one.added;
    totals.removed += one.removed;
    totals.changed += one.changed;
  } else {
    totals.channels += 1;
    totals.channelsThatDiffer += different;
    totals.gone += one.gone;
    totals.come += one.come;
    totals.still += one.still;
  }
}

const nameOf = ({ manifest: { id, label } }: GlobalSnapshot): string =>
  label === undefined ? id : `${id} (${printable(label)})`;

function heading(before: GlobalSnapshot, after: GlobalSnapshot): string {
  const [old, now] = [before.manifest, after.manifest];
  const change = <T>(name: string, was: T, is: T): string =>
    printable(was === is ? `${name} ${is}` : `${name} ${was} → ${is}`);
  const apartMs = now.startedAtMs - old.startedAtMs;
  const apart =
    apartMs === 0
      ? "taken at the same time"
      : `taken ${duration(Math.abs(apartMs))} ${apartMs > 0 ? "later" : "earlier"}`;
  const names = paint("bold", `${nameOf(before)} → ${nameOf(after)}`);
  return `${names}  ${change("system", old.system, now.system)}, ${change("epoch", old.epoch, now.epoch)}, ${apart}`;
}

function describeTotals(totals: Totals, differ: boolean): string {
  const { processes, processesThatDiffer, channels, channelsThatDiffer } = totals;
  const { added, removed, changed, gone, come, still } = totals;
  const of = (many: number, all: number, what: string): string =>
    `${grouped(many)} of ${grouped(all)} ${what} ${many === 1 ? "differs" : "differ"}`;
  if (!differ) return `no difference${still > 0 ? `; ${messages(still)} still in flight` : ""}`;
  const counts = `${grouped(changed)} changed, ${grouped(added)} added, ${grouped(removed)} removed`;
  const states = `${of(processesThatDiffer, processes, "processes")}: ${counts}`;
  if (channels === 0) return states;
  const flight = `${messages(gone)} gone, ${grouped(come)} new, ${grouped(still)} still in flight`;
  return `${states}\n${of(channelsThatDiffer, channels, "channels")}: ${flight}`;
}

const messages = (many: number): string => (many === 1 ? "1 message" : `${grouped(many)} messages`);

function describe(
  one: ProcessComparison | ChannelComparison,
  [before = "", after = ""]: readonly string[],
): string[] {
  const name = paint("bold", one.type === "process" ? one.process : `${one.from} → ${one.to}`);
  if (one.presence !== "both")
    return [`${name}  only in ${one.presence === "before" ? before : after}`];
  return one.type === "process" ? describeProcess(one, name) : describeChannel(one, name);
}

function describeProcess(one: ProcessComparison, name: string): string[] {
  const { added, removed, changed, differences, apartMs = 0 } = one;
  const counts = [
    `${grouped(changed)} changed`,
    `${grouped(added)} added`,
    `${grouped(removed)} removed`,
  ];
  const told = counts.filter((text) => !text.startsWith("0 ")).join(", ");
  const apart = `recorded ${duration(Math.abs(apartMs))} ${apartMs < 0 ? "earlier" : "later"}`;
  const lines = [`${name}  ${told}; ${apart}`, ...differences.map(describeDifference)];
  const more = added + removed + changed - differences.length;
  if (more > 0) lines.push(moreOf(more));
  return lines;
}

const moreOf = (more: number): string => `  … and ${grouped(more)} more: --limit shows them`;

function describeDifference(one: Difference): string {
  const path = shownPath(formatPath(one.path));
  if (one.kind === "added") return paint("green", `  + ${path}  ${literal(one.after)}`);
  if (one.kind === "removed") return paint("red", `  - ${path}  ${literal(one.before)}`);
  const [before, after] = literals(one.before, one.after);
  const moved = one.beforePath ? `  (was ${shownPath(formatPath(one.beforePath))})` : "";
  return `  ~ ${path}  ${paint("red", before)} → ${paint("green", after)}${risen(one.before, one.after)}${paint("dim", moved)}`;
}

/** By how much a number changed. */
function risen(before: unknown, after: unknown): string {
  let by: number | bigint;
  if (typeof before === "number" && typeof after === "number") by = after - before;
  else if (typeof before === "bigint" && typeof after === "bigint") by = after - before;
  else return "";
  // Of other numbers the difference is rarely what one wants to read.
  if (typeof by === "number" && !Number.isSafeInteger(by)) return "";
  return paint("dim", `  (${by > 0 ? "+" : ""}${by})`);
}

function describeChannel(one: ChannelComparison, name: string): string[] {
  const { before, after, comparable, gone, come, still, goneMessages, comeMessages } = one;
  const since = (was: number, is: number): string =>
    `${is < was ? "-" : "+"}${grouped(Math.abs(is - was))}`;
  const lines = [`${name}  `];
  const fromTo = (was: number, is: number): string => `${grouped(was)} → ${grouped(is)}`;
  if (before && after)
    lines[0] += comparable
      ? `${since(before.sent, after.sent)} sent, ${since(before.received, after.received)} received`
      : `sent ${fromTo(before.sent, after.sent)}, received ${fromTo(before.received, after.received)}, counted anew`;
  const flow = `in flight ${fromTo(before?.inFlight ?? 0, after?.inFlight ?? 0)}`;
  lines[0] += `; ${flow}: ${grouped(gone)} gone, ${grouped(come)} new, ${grouped(still)} still there`;
  for (const message of goneMessages) lines.push(paint("red", `  - ${describeMessage(message)}`));
  if (gone > goneMessages.length) lines.push(moreOf(gone - goneMessages.length));
  for (const message of comeMessages) lines.push(paint("green", `  + ${describeMessage(message)}`));
  if (come > comeMessages.length) lines.push(moreOf(come - comeMessages.length));
  return lines;
}

const describeMessage = ({ number, message }: NumberedMessage): string =>
  number === undefined ? literal(message) : `message ${grouped(number)}  ${literal(message)}`;

/** As a line of JSON: with paths as texts. */
function asJson(one: ProcessComparison | ChannelComparison): object {
  if (one.type === "channel") return one;
  const differences = one.differences.map((difference) => ({
    ...difference,
    path: formatPath(difference.path),
    ...("beforePath" in difference && difference.beforePath
      ? { beforePath: formatPath(difference.beforePath) }
      : {}),
  }));
  return { ...one, differences };
}

/** Says how far it is on standard error, at a terminal, once it has taken a while. */
function progressTeller(): { tell(done: number, of: number): void; end(): void } {
  const live = isLive(process.stderr);
  let nextMs = performance.now() + QUIET_MS;
  let said = false;
  return {
    tell(done, of) {
      if (!live || performance.now() < nextMs) return;
      nextMs = performance.now() + SAY_EVERY_MS;
      said = true;
      process.stderr.write(`\r${grouped(done)} of ${grouped(of)} slices and channels compared`);
    },
    end() {
      if (said) process.stderr.write("\r\u001b[K");
    },
  };
}
