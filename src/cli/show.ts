/** `tidemark show`: every state and every message in flight of a snapshot, readable. */

import { Buffer } from "node:buffer";
import { inspect } from "node:util";
import { Command, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import { duration } from "../core/quantity.ts";
import type { Channel } from "../core/topology.ts";
import { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import type { Manifest } from "../snapshot/manifest.ts";
import { directoryOption, jsonOption, parseChannel } from "./options.ts";
import { type KeyOptions, keyOption, openStore, snapshotNamed } from "./store.ts";
import { grouped, painter, printable } from "./terminal.ts";

interface ShowOptions extends KeyOptions {
  readonly dir: string;
  readonly channel?: readonly [string, string];
  readonly all?: true;
  readonly json?: true;
}

/** A snapshot, decoded; of one channel only if that is what was asked for. */
interface Decoded {
  readonly manifest: Manifest;
  readonly states: Readonly<Record<string, unknown>>;
  readonly channels: readonly (Channel & { readonly messages: readonly unknown[] })[];
}

/** So much is shown of long values and lists, unless all is wanted. */
const MESSAGES_SHOWN = 5;
const ITEMS_SHOWN = 20;
const CHARACTERS_SHOWN = 500;

const paint = painter(process.stdout);

const HELP = `
Long lists and values are shortened; --all and --json give everything, and
--channel gives all the messages of one channel.

Exit status: 0; 1 if there is no such snapshot, or it is damaged.

Examples:
  tidemark show latest
  tidemark show p2/7 --channel p1,p2
  tidemark show p2/7 --json | jq .states`;

export function showCommand(): Command {
  return new Command("show")
    .description("show the states and the messages in flight of a snapshot")
    .argument("<snapshot>", "its id, as in p2/7; its label; or latest")
    .addOption(directoryOption())
    .addOption(keyOption())
    .addOption(
      new Option(
        "--channel <from,to>",
        "only the messages in flight on that channel, all of them",
      ).argParser(parseChannel),
    )
    .option("--all", "do not shorten anything")
    .addOption(jsonOption("print everything, decoded, as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (text: string, options: ShowOptions) => {
      const { channel, all, json } = options;
      const decoded = await decode(text, options);
      if (json) console.log(JSON.stringify(decoded, toJson));
      else if (channel) console.log(describeChannels(decoded, true).join("\n"));
      else console.log(describe(decoded, all === true).join("\n"));
    });
}

/** @throws TidemarkError `BAD_ID`, `NOT_FOUND`, `NO_CHANNEL`, `DAMAGED`, `KEY_REQUIRED`, `WRONG_KEY`, `STORE_FAILED`, `BAD_MESSAGE` */
async function decode(text: string, options: ShowOptions): Promise<Decoded> {
  const { dir: directory, channel } = options;
  const store = openStore(directory, options);
  const id = await snapshotNamed(store, text, directory);
  const stored = await store.get(id);
  if (!stored)
    throw new TidemarkError(
      "NOT_FOUND",
      `there is no snapshot ${id} in ${directory}: tidemark snapshots lists those that there are`,
    );
  const snapshot = new GlobalSnapshot(stored);
  const { manifest } = snapshot;
  const [from, to] = channel ?? [];
  const wanted: readonly Channel[] =
    from === undefined || to === undefined ? manifest.channels : [{ from, to }];
  const channels: Decoded["channels"][number][] = [];
  for (const one of wanted)
    channels.push({ ...one, messages: await snapshot.inFlight(one.from, one.to) });
  const states: Record<string, unknown> = {};
  if (!channel)
    for (const process of manifest.processes) states[process] = await snapshot.state(process);
  return { manifest, states, channels };
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
    const { recordedAtMs, recordingMs, captureMs } = timing;
    const after = duration(Math.max(0, recordedAtMs - manifest.startedAtMs));
    lines.push(
      "",
      `${paint("bold", process)}  recorded after ${after}, paused for ${duration(captureMs)}, last marker ${duration(recordingMs)} later`,
      indented(readable(states[process], all), "  "),
    );
  }
  return [...lines, "", ...describeChannels(decoded, all)];
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

/** As a literal, so no text in it can drive a terminal. */
function readable(value: unknown, all: boolean): string {
  return inspect(value, {
    depth: all ? Number.POSITIVE_INFINITY : 5,
    maxArrayLength: all ? Number.POSITIVE_INFINITY : ITEMS_SHOWN,
    maxStringLength: all ? Number.POSITIVE_INFINITY : CHARACTERS_SHOWN,
    breakLength: 100,
  });
}

const indented = (text: string, by: string): string => by + text.replaceAll("\n", `\n${by}`);

/** Keeps what JSON has no form for. `this` holds the value as it was before `toJSON`. */
function toJson(this: unknown, key: string, given: unknown): unknown {
  const value = (this as Readonly<Record<string, unknown>>)[key];
  if (typeof value === "bigint") return { $bigint: String(value) };
  if (typeof value === "number" && !Number.isFinite(value)) return { $number: String(value) };
  if (value === undefined) return { $undefined: true };
  if (value instanceof Date) return { $date: String(given) };
  if (value instanceof Set) return { $set: [...value] };
  if (ArrayBuffer.isView(value))
    return {
      $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64"),
    };
  return given;
}
