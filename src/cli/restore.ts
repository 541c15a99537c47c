/** `tidemark restore`: all processes back at one snapshot, now or at the next start. */

import { Command, Option } from "commander";
import { isTidemarkError, textOf } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import { duration } from "../core/quantity.ts";
import { ControlClient } from "../runtime/control-socket.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import type { SystemMethods } from "../serve/system-methods.ts";
import type { RestorePlan } from "../serve/web/api.ts";
import type { Manifest } from "../snapshot/manifest.ts";
import { addNatsOptions, type NatsCommandOptions, natsName } from "./nats-options.ts";
import { directoryOption, jsonOption, parseTimeout } from "./options.ts";
import { checkRestorable, planFromNow, restoreLater } from "./restore-plan.ts";
import { checkDirectory } from "./snapshots.ts";
import {
  type KeyOptions,
  keyOption,
  natsPlaceOf,
  openNatsStore,
  openStore,
  SNAPSHOT_NAME,
  snapshotNamed,
} from "./store.ts";
import { grouped, painter, printable, table } from "./terminal.ts";
import { mark } from "./up-table.ts";

interface RestoreOptions extends KeyOptions, NatsCommandOptions {
  readonly dir: string;
  readonly dryRun?: true;
  readonly json?: true;
  readonly timeout: number;
}

type Client = ControlClient<SystemMethods>;

/** The system may need so much longer than it was given to say how it ended. */
export const PATIENCE_MS = 10_000;

const paint = painter(process.stdout);

const HELP = `
The snapshot is proven from its files before anything is decided. A running
system then goes back to it in a new epoch; a snapshot that is taken after that
proves that it goes on. Where no system runs, the next start goes on from it.
Requests that wait fail: they may or may not have happened.

Of a system on several machines, --dir is that of any process that runs on this
one, and all go back. With --nats, its snapshots are there.

--dry-run changes nothing, but that a running system takes one more snapshot:
it says what the restore would take back.

Exit status: 0 if all processes are there and go on, or will at the next start;
1 if someone is absent, the proof fails, or the snapshot cannot be restored; 2
for a mistake in the command.

Examples:
  tidemark restore p2/7 --dry-run
  tidemark restore p2/7
  tidemark restore latest --json
  tidemark restore before-upgrade --nats nats://10.0.0.9:4222`;

export function restoreCommand(): Command {
  const command = new Command("restore")
    .description("bring all processes back to a snapshot")
    .argument("<snapshot>", SNAPSHOT_NAME)
    .addOption(directoryOption())
    .addOption(keyOption())
    .option("--dry-run", "only say what would be lost")
    .addOption(
      new Option("--timeout <time>", "wait so long for all processes, and for the proof")
        .default(30_000, "30s")
        .argParser(parseTimeout),
    );
  return addNatsOptions(command, "snapshots are there, and a process of the system in --dir")
    .addOption(jsonOption("print what came of it as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (snapshot: string, options: RestoreOptions) => {
      process.exitCode = await restore(snapshot, options);
    });
}

/** Gives the exit status. */
async function restore(what: string, options: RestoreOptions): Promise<number> {
  const { dir } = options;
  checkDirectory({ dir });
  const nats = natsPlaceOf(options);
  const client = await ControlClient.connect<SystemMethods>(dir).catch((error: unknown) => {
    // On NATS others may run on other machines, and would hear nothing of it.
    if (isTidemarkError(error, "NOT_RUNNING") && !nats) return undefined;
    throw error;
  });
  const store = nats ? await openNatsStore(nats) : openStore(dir, options);
  try {
    const where = nats ? natsName(nats) : dir;
    const manifest = await checkRestorable(store, await snapshotNamed(store, what, where));
    if (options.dryRun) return await tellPlan(store, manifest, client, options);
    if (client) return await restoreNow(client, manifest.id, options);
    const epoch = await restoreLater(store, dir, manifest.id, "tidemark restore");
    if (options.json) console.log(JSON.stringify({ snapshot: manifest.id, epoch, running: false }));
    else
      console.log(
        `no system runs in ${printable(dir)}: the next one that starts goes on from ${manifest.id}, in epoch ${epoch}`,
      );
    return 0;
  } finally {
    client?.close();
    await store.close();
  }
}

async function restoreNow(
  client: Client,
  snapshot: SnapshotId,
  { timeout: timeoutMs, json }: RestoreOptions,
): Promise<number> {
  const patience = { timeoutMs: timeoutMs + PATIENCE_MS };
  const done = await client.call("restore", { snapshot, timeoutMs }, patience);
  const { epoch, absent, proof, reason } = done;
  const right = absent.length === 0 && proof !== undefined;
  if (json) console.log(JSON.stringify(done));
  else {
    console.log(`${mark(right, paint)} restored to ${snapshot}: the system is in epoch ${epoch}`);
    if (absent.length > 0)
      console.log(`  not there in time, and follow when they come back: ${absent.join(", ")}`);
    if (proof !== undefined) console.log(`  all processes go on: ${proof} proves it`);
    else console.log(`  not proven: ${printable(String(reason))}`);
  }
  return right ? 0 : 1;
}

async function tellPlan(
  store: SnapshotStore,
  before: Manifest,
  client: Client | undefined,
  { timeout, json }: RestoreOptions,
): Promise<number> {
  const now = client && (await takeNow(client, timeout));
  const plan = await planFromNow(store, before, now);
  if (json) console.log(JSON.stringify({ dryRun: true, running: client !== undefined, ...plan }));
  else console.log(describe(plan, now !== undefined).join("\n"));
  return 0;
}

/** Undefined if the system cannot take one: then the newest there is has to do. */
async function takeNow(client: Client, timeoutMs: number): Promise<SnapshotId | undefined> {
  try {
    return (await client.call("snapshot", {}, { timeoutMs })).snapshot;
  } catch (error) {
    console.error(`tidemark: no snapshot can be taken now: ${printable(textOf(error))}`);
    return undefined;
  }
}

function describe(plan: RestorePlan, taken: boolean): string[] {
  const { snapshot, now, agoMs, snapshotsSince, processes, inFlight } = plan;
  const other = taken ? `${now}, taken just now` : `${now}, the newest snapshot`;
  const many = snapshotsSince === 1 ? "1 snapshot" : `${grouped(snapshotsSince)} snapshots`;
  const lines = [
    `${snapshot} is proven, and can be restored. Compared with ${other}, a restore would`,
    `  take back what happened in ${duration(Math.max(0, agoMs))}`,
    `  have ${grouped(inFlight)} messages received again that were in flight`,
    `  leave the ${many} taken since where they are`,
  ];
  const known = processes.filter(({ sent }) => sent !== undefined);
  if (known.length < processes.length)
    return [...lines, "How many messages that are is not known: the two are not of one history."];
  const rows = known.map(({ process, sent = 0, received = 0 }) => [
    process,
    grouped(sent),
    grouped(received),
  ]);
  return [
    ...lines,
    "Messages that would be taken back:",
    ...table([["process", "sent", "received"], ...rows], "<>>"),
    "Nothing has been changed.",
  ];
}
