/** `tidemark nats`: snapshots of applications whose only channels are streams of NATS JetStream. */

import { Command, InvalidArgumentError, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import { duration } from "../core/quantity.ts";
import type { NatsPositions } from "../nats/nats-positions.ts";
import type { NatsSnapshotProgress } from "../nats/nats-snapshot.ts";
import { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import {
  addNatsOptions,
  type NatsCommandOptions,
  type NatsPlace,
  natsName,
  natsPlace,
} from "./nats-options.ts";
import { directoryName, jsonOption, parseTimeout } from "./options.ts";
import {
  checkLabel,
  type KeyOptions,
  keyOption,
  openNatsStore,
  openSnapshot,
  openStore,
} from "./store.ts";
import { grouped, isLive, printable, table } from "./terminal.ts";

interface PlaceOptions extends NatsCommandOptions, KeyOptions {
  readonly dir?: string;
}

interface SnapshotOptions extends PlaceOptions {
  readonly streams: readonly string[];
  readonly label?: string;
  readonly timeout: number;
  readonly readOnly?: true;
  readonly json?: true;
}

const SNAPSHOT_HELP = `
The processes are those of startNatsProcess with the same --nats-prefix. Each
records its state and its positions; the streams go on. The snapshot lies
beside others on NATS, or in --dir, and is read back and proven before it is
told of. Streams are processes in it: stream.orders.

With --read-only nothing is asked of any process: where the streams and their
consumers are is looked at, several times. That is no snapshot, unless
nothing moved, and the output says what is not proven.

Exit status: 0 if it is proven; with --read-only, if all streams were read.
1 if it was abandoned, or NATS fails; 2 if streams are missing or too many.

Examples:
  tidemark nats snapshot --streams orders,payments --nats nats://db1:4222
  tidemark nats snapshot --streams orders --nats nats://db1 --dir backups
  tidemark nats snapshot --streams orders --read-only --json`;

const RESTORE_HELP = `
Processes that run end with RESTORED; whoever is started goes on from the
snapshot. Messages that were sent after it stay in the streams, and are passed
over. What came from outside after it is had again.

Exit status: 0 if it is done; 1 if not, for instance because a stream has
lost what was in flight.

Examples:
  tidemark nats restore latest --nats nats://db1:4222
  tidemark nats restore p1/7 --nats nats://db1:4222 --dir backups`;

const FORGET_HELP = `
Only for a process that will not run again: later snapshots do not wait for
it. What it had sent is published, and its state is removed.

Exit status: 0 if it is done; 1 if NATS fails; 2 if there is no such process.

Examples:
  tidemark nats forget p3 --nats nats://db1:4222`;

export function natsCommand(): Command {
  return new Command("nats")
    .description("snapshots of applications whose only channels are streams of NATS")
    .addCommand(snapshotCommand())
    .addCommand(restoreCommand())
    .addCommand(forgetCommand());
}

function snapshotCommand(): Command {
  const command = new Command("snapshot")
    .description("take one consistent cut over streams, consumers and states")
    .addOption(
      new Option("--streams <names>", "all streams of the application, with commas")
        .argParser(streamNames)
        .makeOptionMandatory(),
    )
    .option("--label <text>", "kept with the snapshot and shown in lists")
    .addOption(
      new Option("--timeout <duration>", "how long processes may take to record")
        .default(30_000, "30s")
        .argParser(parseTimeout),
    )
    .option("--read-only", "record positions alone, and say what they do not prove")
    .addOption(jsonOption("print what came of it as one line of JSON"));
  return withPlace(command)
    .addHelpText("after", SNAPSHOT_HELP)
    .action(async (options: SnapshotOptions) => {
      if (options.readOnly) await readOnly(options);
      else await snapshot(options);
    });
}

function restoreCommand(): Command {
  const command = new Command("restore")
    .description("begin anew from a snapshot of such an application")
    .argument("<snapshot>", "its id, as in p1/7; its label; or latest")
    .addOption(jsonOption("print what came of it as one line of JSON"));
  return withPlace(command)
    .addHelpText("after", RESTORE_HELP)
    .action(async (name: string, options: PlaceOptions & { readonly json?: true }) => {
      const { restoreNatsSnapshot } = await import("../nats/nats-snapshot.ts");
      await withPlaces(options, async (place, store, where) => {
        const found = await openSnapshot(store, name, where);
        const verdict = await found.verify();
        if (!verdict.consistent)
          throw new TidemarkError(
            "DAMAGED",
            `${found.id} is not proven: ${verdict.place}: ${verdict.reason}`,
          );
        const stored = await store.get(found.id);
        if (!stored) throw new TidemarkError("NOT_FOUND", `${found.id} is gone from ${where}`);
        const epoch = await restoreNatsSnapshot({ ...place, snapshot: stored });
        if (options.json) console.log(JSON.stringify({ snapshot: found.id, epoch }));
        else
          console.log(
            `epoch ${epoch} begins from ${found.id}: start the processes, those that run have ended`,
          );
      });
    });
}

function forgetCommand(): Command {
  const command = new Command("forget")
    .description("take out a process that is gone for good")
    .argument("<process>", "its id");
  return addNatsOptions(command, "where it was")
    .addHelpText("after", FORGET_HELP)
    .action(async (id: string, options: NatsCommandOptions) => {
      const { forgetNatsProcess } = await import("../nats/nats-process.ts");
      await forgetNatsProcess({ ...placeOf(options), id });
      console.log(`${id} is no part of ${natsName(placeOf(options))} any more`);
    });
}

function withPlace(command: Command): Command {
  return addNatsOptions(command, "where the streams are")
    .addOption(
      new Option("--dir <directory>", "keep snapshots there, and not on NATS").argParser(
        directoryName,
      ),
    )
    .addOption(keyOption());
}

/** Whoever says nothing means what the environment says. */
function placeOf(options: NatsCommandOptions): NatsPlace {
  return natsPlace({ ...options, nats: options.nats ?? true }) as NatsPlace;
}

async function withPlaces(
  options: PlaceOptions,
  work: (place: NatsPlace, store: SnapshotStore, where: string) => Promise<void>,
): Promise<void> {
  const place = placeOf(options);
  if (options.dir === undefined && options.keyFile !== undefined)
    throw new TidemarkError("BAD_OPTION", "--key-file goes with --dir");
  const { dir } = options;
  const store = dir === undefined ? await openNatsStore(place) : openStore(dir, options);
  try {
    await work(place, store, dir ?? natsName(place));
  } finally {
    await store.close();
  }
}

async function snapshot(options: SnapshotOptions): Promise<void> {
  const { takeNatsSnapshot } = await import("../nats/nats-snapshot.ts");
  const { streams, label, timeout: timeoutMs, json } = options;
  await withPlaces(options, async (place, store, where) => {
    const live = isLive(process.stderr);
    const stop = new AbortController();
    const interrupt = (): void => stop.abort();
    process.once("SIGINT", interrupt);
    try {
      const { id, cutMs } = await takeNatsSnapshot({
        ...{ ...place, streams, store, timeoutMs, signal: stop.signal },
        ...(label !== undefined && { label: checkLabel(label) }),
        ...(live && { onProgress: tellProgress }),
      });
      if (live) process.stderr.write("\r\u001b[K");
      const stored = await store.get(id);
      if (!stored) throw new TidemarkError("NOT_FOUND", `${id} is gone from ${where}`);
      const verdict = await new GlobalSnapshot(stored).verify();
      const { pieces, processes } = stored.manifest;
      const inFlight = pieces
        .flatMap(({ incoming }) => incoming)
        .reduce((n, one) => n + one.inFlight, 0);
      const { consistent } = verdict;
      const count = processes.length - streams.length;
      if (json)
        console.log(
          JSON.stringify({
            ...{ snapshot: id, streams, processes: count, messagesInFlight: inFlight, cutMs },
            ...{
              consistent,
              ...(!verdict.consistent && { problem: `${verdict.place}: ${verdict.reason}` }),
            },
          }),
        );
      else
        console.log(
          `${id} is ${verdict.consistent ? "consistent" : `not consistent: ${verdict.place}: ${verdict.reason}`}: ` +
            `${count} processes, ${streams.length} streams, ${grouped(inFlight)} messages in flight, ${duration(cutMs)}`,
        );
      process.exitCode = consistent ? 0 : 1;
    } finally {
      process.off("SIGINT", interrupt);
      if (live) process.stderr.write("\r\u001b[K");
    }
  });
}

function tellProgress(progress: NatsSnapshotProgress): void {
  const text =
    progress.phase === "reading"
      ? `reading ${progress.stream}`
      : `${progress.recorded} of ${progress.processes} have recorded` +
        (progress.missing.length > 0
          ? `; waiting for ${progress.missing.slice(0, 3).join(", ")}`
          : "");
  process.stderr.write(`\r\u001b[K${printable(text)}`);
}

async function readOnly(options: SnapshotOptions): Promise<void> {
  const given = (["dir", "label"] as const).find((name) => options[name] !== undefined);
  if (given !== undefined)
    throw new TidemarkError(
      "BAD_OPTION",
      `--${given} cannot go with --read-only: it keeps nothing but what it prints`,
    );
  const { recordNatsPositions } = await import("../nats/nats-positions.ts");
  const positions = await recordNatsPositions({ ...placeOf(options), streams: options.streams });
  if (options.json) console.log(JSON.stringify(positions));
  else for (const line of positionLines(positions)) console.log(line);
}

function positionLines({ rounds, atOnce, notProven }: NatsPositions): readonly string[] {
  const [first] = rounds;
  const last = rounds.at(-1);
  const rows = (last?.streams ?? []).flatMap(({ stream, last: end, consumers }, i) => [
    [stream, "", grouped(end), "", `+${grouped(end - (first?.streams[i]?.last ?? end))}`],
    ...consumers.map(({ consumer, acknowledged, delivered }) => [
      ...["", printable(consumer), grouped(acknowledged), grouped(delivered), ""],
    ]),
  ]);
  const head = ["stream", "consumer", "last / acknowledged", "delivered", "while looked at"];
  return [
    ...table([head, ...rows], "<<>>>"),
    "",
    atOnce
      ? `These positions are of one moment: ${rounds.length} rounds, and nothing moved between the last two.`
      : `These positions are not of one moment: in each of ${rounds.length} rounds something had moved.`,
    "Not proven:",
    ...notProven.map((text) => `- ${text}`),
  ];
}

function streamNames(text: string): readonly string[] {
  const names = text.split(",").map((name) => name.trim());
  const bad = names.find((name) => !/^[^\s.*>/\\]{1,255}$/.test(name));
  if (bad !== undefined)
    throw new InvalidArgumentError(
      "Use names of streams, with commas between them: orders,payments.",
    );
  return [...new Set(names)];
}
