/** `tidemark snapshots`: what has been recorded, from the files alone. */

import { existsSync } from "node:fs";
import { Command } from "commander";
import { TidemarkError } from "../core/error.ts";
import { byteSize, duration } from "../core/quantity.ts";
import type { SnapshotSummary } from "../snapshot/manifest.ts";
import { addNatsStoreOptions, type NatsCommandOptions, natsPlace } from "./nats-options.ts";
import { directoryOption, jsonOption, limitOption } from "./options.ts";
import { keyOption, type StoreOptions, withStore } from "./store.ts";
import { grouped, printable, table } from "./terminal.ts";

interface SnapshotsOptions extends StoreOptions {
  readonly limit: number;
  readonly json?: true;
}

const HELP = `
Works whether a system is running or not.

Exit status: 0; 1 if there is no such directory, or a manifest in it is damaged.

Examples:
  tidemark snapshots
  tidemark snapshots --limit 1 --json`;

export function snapshotsCommand(): Command {
  const command = new Command("snapshots")
    .description("list the snapshots of a directory, newest first")
    .addOption(directoryOption())
    .addOption(keyOption())
    .addOption(limitOption(Number.POSITIVE_INFINITY))
    .addOption(jsonOption("print a line of JSON for each"))
    .addHelpText("after", HELP)
    .action(async (options: SnapshotsOptions) => {
      const { limit, json } = options;
      checkDirectory(options);
      const listed: SnapshotSummary[] = [];
      const damaged = (error: Error): void => {
        console.error(`tidemark: ${printable(error.message)}`);
        process.exitCode = 1;
      };
      await withStore(options, async (store, where) => {
        for await (const summary of store.list(damaged)) {
          if (listed.length === limit) break;
          listed.push(summary);
          if (json) console.log(JSON.stringify(summary));
        }
        if (json) return;
        if (listed.length === 0) console.error(`tidemark: there are no snapshots in ${where}`);
        else console.log(describe(listed).join("\n"));
      });
    });
  return addNatsStoreOptions(command);
}

/** If snapshots are looked for in a directory. @throws TidemarkError `NOT_FOUND`, `BAD_OPTION` */
export function checkDirectory(options: Pick<StoreOptions, "dir"> & NatsCommandOptions): void {
  const { dir } = options;
  if (!natsPlace(options) && !existsSync(dir))
    throw new TidemarkError("NOT_FOUND", `there is no directory ${dir}`);
}

function describe(listed: readonly SnapshotSummary[]): string[] {
  const rows = listed.map((one) => [
    one.id,
    new Date(one.startedAtMs).toISOString(),
    String(one.processes),
    grouped(one.inFlight),
    byteSize(one.bytes),
    duration(one.cutMs),
    printable(one.label ?? ""),
  ]);
  const names = ["snapshot", "taken", "processes", "in flight", "size", "time", "label"];
  return table([names, ...rows], "<<>>>><");
}
