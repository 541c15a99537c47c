/** `tidemark show`: every state and every message in flight of a snapshot, readable. */

import { Command, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { duration } from "../core/quantity.ts";
import type { Channel } from "../core/topology.ts";
import { find, type Hit, type Matcher } from "../process/find.ts";
import type { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import type { Manifest } from "../snapshot/manifest.ts";
import { type PathExpression, parsePath } from "../snapshot/value-path.ts";
import { addNatsStoreOptions } from "./nats-options.ts";
import { collect, directoryOption, jsonOption, parseChannel, wholeNumber } from "./options.ts";
import { parseSearch } from "./search.ts";
import { keyOption, openSnapshot, SNAPSHOT_NAME, type StoreOptions, withStore } from "./store.ts";
import { grouped, painter, printable } from "./terminal.ts";
import { indented, jsonLine, literal, readable, shortened, shownPath } from "./values.ts";

interface ShowOptions extends StoreOptions {
  readonly process?: readonly ProcessId[];
  readonly channel?: readonly [string, string];
  readonly path?: PathExpression;
  readonly search?: Matcher;
  readonly limit?: number;
  readonly all?: true;
  readonly json?: true;
}

/** What of a snapshot is looked at. */
interface Scope {
  readonly processes: readonly ProcessId[];
  readonly channels: readonly Channel[];
}

/** A snapshot, decoded; without what was not asked for. */
interface Decoded {
  readonly manifest: Manifest;
  readonly states: Readonly<Record<string, unknown>>;
  readonly channels: readonly (Channel & { readonly messages: readonly unknown[] })[];
}

/** So much is shown of long lists, unless all is wanted; and of what is found, unless a limit is given or it is for a program. */
const MESSAGES_SHOWN = 5;
const HITS_SHOWN = 100;

const paint = painter(process.stdout);

const HELP = `
Long lists and values are shortened; --all and --json give everything, and
--channel gives all the messages of one channel.

With --path or --search a line is printed for each value found, in states and
in messages; --process and --channel say where to look. A path begins with $,
for the whole state or message, and goes on with .name, ['name'], [3], [-1],
[*], .* or, at any depth, ..name. A text is searched for in texts, names,
numbers and dates; between slashes, as in /ann|bob/i, it is an expression.

Exit status: 0; 1 if there is no such snapshot, it is damaged, or nothing is
found.

Examples:
  tidemark show latest
  tidemark show p2/7 --channel p1,p2
  tidemark show p2/7 --path '$.balance'
  tidemark show p2/7 --search alice --process p1
  tidemark show p2/7 --json | jq .states`;

export function showCommand(): Command {
  const command = new Command("show")
    .description("show the states and the messages in flight of a snapshot")
    .argument("<snapshot>", SNAPSHOT_NAME)
    .addOption(directoryOption())
    .addOption(keyOption())
    .option("--process <id>", "only the state of that process; once for each", collect)
    .addOption(
      new Option(
        "--channel <from,to>",
        "only the messages in flight on that channel, all of them",
      ).argParser(parseChannel),
    )
    .option("--path <path>", "only what it leads to in each state and message", parsePath)
    .option("--search <text>", "only values with that text, or that /expression/", parseSearch)
    .option(
      "--limit <number>",
      "stop when so much is found (default: 100, or with --json all)",
      wholeNumber(1, Number.MAX_SAFE_INTEGER),
    )
    .option("--all", "do not shorten anything")
    .addOption(jsonOption("print everything, decoded, as one line of JSON; or one for each find"))
    .addHelpText("after", HELP)
    .action(async (text: string, options: ShowOptions) => {
      const { channel, path, search, limit, all, json } = options;
      if (limit !== undefined && !path && !search)
        throw new TidemarkError("BAD_OPTION", "--limit goes with --path or --search");
      await withStore(options, async (store, where) => {
        const snapshot = await openSnapshot(store, text, where);
        const scope = scopeOf(snapshot, options);
        if (path || search) {
          await tellHits(snapshot, scope, options);
          return;
        }
        const decoded = await decode(snapshot, scope);
        if (json) console.log(jsonLine(decoded));
        else if (channel && !options.process)
          console.log(describeChannels(decoded, true).join("\n"));
        else console.log(describe(decoded, all === true).join("\n"));
      });
    });
  return addNatsStoreOptions(command);
}

/** @throws TidemarkError `UNKNOWN_PROCESS`, `NO_CHANNEL` */
function scopeOf(snapshot: GlobalSnapshot, { process: ids, channel }: ShowOptions): Scope {
  const { manifest } = snapshot;
  for (const id of [...(ids ?? []), ...(channel ?? [])]) snapshot.piece(id);
  const [from, to] = channel ?? [];
  if (from === undefined || to === undefined)
    return ids
      ? { processes: ids, channels: [] }
      : { processes: manifest.processes, channels: manifest.channels };
  if (!manifest.channels.some((one) => one.from === from && one.to === to))
    throw new TidemarkError("NO_CHANNEL", `${snapshot.id} has no channel ${from} → ${to}`);
  return { processes: ids ?? [], channels: [{ from, to }] };
}

/** @throws TidemarkError `DAMAGED`, `STORE_FAILED`, `BAD_MESSAGE` */
async function decode(snapshot: GlobalSnapshot, scope: Scope): Promise<Decoded> {
  const channels: Decoded["channels"][number][] = [];
  for (const { from, to } of scope.channels)
    channels.push({ from, to, messages: await snapshot.inFlight(from, to) });
  const states: Record<string, unknown> = {};
  for (const process of scope.processes) states[process] = await snapshot.state(process);
  return { manifest: snapshot.manifest, states, channels };
}

/** Prints each as it is found. */
async function tellHits(
  snapshot: GlobalSnapshot,
  { processes, channels }: Scope,
  { path, search, limit, all, json }: ShowOptions,
): Promise<void> {
  const most = limit ?? (json ? Number.POSITIVE_INFINITY : HITS_SHOWN);
  let found = 0;
  for await (const hit of find(snapshot, processes, channels, path, search)) {
    if (found === most) {
      const more = `--limit ${2 * most} shows more`;
      console.error(`tidemark: there is more than ${grouped(most)}: ${more}`);
      return;
    }
    found += 1;
    console.log(json ? jsonLine(hit.found) : describeHit(hit, all === true));
    // Whoever read it has seen enough.
    if (process.stdout.destroyed) return;
  }
  if (found > 0) return;
  console.error(`tidemark: nothing is found in ${snapshot.id}`);
  process.exitCode = 1;
}

function describeHit({ found, matchAt }: Hit, all: boolean): string {
  const { path, value } = found;
  const place =
    "process" in found
      ? paint("bold", found.process)
      : `${paint("bold", `${found.from} → ${found.to}`)}  message ${grouped(found.message)}`;
  const heading = `${place}  ${all ? printable(path) : shownPath(path)}  `;
  if (matchAt === undefined || all) {
    const text = readable(value, all);
    return text.includes("\n") ? `${heading}\n${indented(text, "  ")}` : heading + text;
  }
  return heading + (typeof value === "string" ? shortened(value, matchAt) : literal(value));
}

function describe(decoded: Decoded, all: boolean): string[] {
  const { manifest, states } = decoded;
  const { id, label, system, epoch, initiator, processes } = manifest;
  const lines = [
    paint("bold", id) + (label === undefined ? "" : `  ${printable(label)}`),
    `  system ${printable(system)}, epoch ${epoch}, ${processes.length} processes, ${manifest.channels.length} channels`,
    `  began at ${initiator} at ${new Date(manifest.startedAtMs).toISOString()}, made in ${duration(manifest.cutMs)}`,
  ];
  for (const { process, timing } of manifest.pieces) {
    if (!Object.hasOwn(states, process)) continue;
    const { recordedAtMs, recordingMs, captureMs } = timing;
    const after = duration(Math.max(0, recordedAtMs - manifest.startedAtMs));
    lines.push(
      "",
      `${paint("bold", process)}  recorded after ${after}, paused for ${duration(captureMs)}, last marker ${duration(recordingMs)} later`,
      indented(readable(states[process], all), "  "),
    );
  }
  const channels = describeChannels(decoded, all);
  return channels.length > 0 ? [...lines, "", ...channels] : lines;
}

function describeChannels({ channels }: Decoded, all: boolean): string[] {
  const lines: string[] = [];
  const empty: string[] = [];
  for (const { from, to, messages } of channels) {
    if (messages.length === 0) {
      empty.push(`${from} → ${to}`);
      continue;
    }
    const many = messages.length === 1 ? "1 message" : `${grouped(messages.length)} messages`;
    lines.push(`${paint("bold", `${from} → ${to}`)}  ${many} in flight`);
    const shown = all ? messages : messages.slice(0, MESSAGES_SHOWN);
    for (const message of shown) lines.push(indented(readable(message, all), "  "));
    const more = messages.length - shown.length;
    if (more > 0) lines.push(`  … and ${grouped(more)} more: --channel ${from},${to} or --all`);
  }
  if (empty.length > 0) lines.push(`nothing in flight on ${empty.join(", ")}`);
  return lines;
}
