/** `tidemark prune`: removes snapshots without a label that a rule lets go. */

import { Command } from "commander";
import { TidemarkError } from "../core/error.ts";
import { byteSize } from "../core/quantity.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import { expired, freedBytes, type Retained, type RetentionRule } from "../snapshot/retention.ts";
import { addNatsStoreOptions } from "./nats-options.ts";
import { directoryOption, jsonOption, parseAge, parseSize, wholeNumber } from "./options.ts";
import { checkDirectory } from "./snapshots.ts";
import { filesOf, keyOption, type StoreOptions, withStore } from "./store.ts";
import { grouped, printable } from "./terminal.ts";

interface PruneOptions extends StoreOptions {
  readonly keep?: number;
  readonly olderThan?: number;
  readonly maxBytes?: number;
  readonly dryRun?: true;
  readonly json?: true;
}

const HELP = `
One with a label is never removed, and the newest of all stays, and that from
which the present epoch began, until the next restore. Several rules
each remove what they do not keep. What is freed are the files that no snapshot
which stays needs; those that were written or relied on in the last minute
go with a later prune, for a snapshot may be being made of them.

Exit status: 0; 1 if something could not be removed, or a manifest is damaged:
until that one is deleted nobody knows which files it needs, and none is freed.

Examples:
  tidemark prune --keep 100 --dry-run
  tidemark prune --older-than 7d --max-bytes 10GiB`;

export function pruneCommand(): Command {
  const command = new Command("prune")
    .description("remove old snapshots that have no label")
    .addOption(directoryOption())
    .addOption(keyOption())
    .option("--keep <number>", "keep so many, the newest", wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option("--older-than <time>", "remove those that are older, as in 12h or 7d", parseAge)
    .option("--max-bytes <size>", "keep as many as take no more, as in 10GiB", parseSize)
    .option("--dry-run", "only tell what would be removed")
    .addOption(jsonOption("print a line of JSON for each, and one for all"))
    .addHelpText("after", HELP)
    .action(async (options: PruneOptions) => {
      const { keep, olderThan: olderThanMs, maxBytes } = options;
      const rule: RetentionRule = {
        ...(keep === undefined ? {} : { keep }),
        ...(olderThanMs === undefined ? {} : { olderThanMs }),
        ...(maxBytes === undefined ? {} : { maxBytes }),
      };
      if (Object.keys(rule).length === 0)
        throw new TidemarkError(
          "BAD_OPTION",
          "say what to keep: --keep, --older-than, --max-bytes",
        );
      checkDirectory(options);
      await withStore(options, (store) => prune(store, rule, options));
    });
  return addNatsStoreOptions(command);
}

async function prune(
  store: SnapshotStore,
  rule: RetentionRule,
  { dryRun: only, json }: Pick<PruneOptions, "dryRun" | "json">,
): Promise<void> {
  const dryRun = only === true;
  let damaged = 0;
  const snapshots: Retained[] = [];
  const complain = ({ message }: Error): void => {
    console.error(`tidemark: ${printable(message)}`);
    process.exitCode = 1;
  };
  const listed = store.list((error) => {
    damaged += 1;
    complain(error);
  });
  for await (const one of listed) {
    const { id, label, startedAtMs } = one;
    const files = await filesOf(store, one);
    if (files)
      snapshots.push({ id, startedAtMs, files, ...(label === undefined ? {} : { label }) });
  }
  const inUse = await store.epoch().catch(complain);
  const gone = new Set<Retained>();
  for (const one of expired(snapshots, rule, Date.now())) {
    const { id, startedAtMs } = one;
    if (inUse?.snapshot === id) {
      // Nothing is wrong: after the next restore it can go.
      console.error(`tidemark: ${id} is kept, for epoch ${inUse.epoch} began from it`);
      continue;
    }
    try {
      // False: somebody was faster, or has given it a label by now.
      if (!dryRun && !(await store.delete(id, true))) continue;
    } catch (error) {
      complain(error as Error);
      continue;
    }
    gone.add(one);
    const time = new Date(startedAtMs).toISOString();
    if (json) console.log(JSON.stringify({ snapshot: id, startedAtMs, removed: !dryRun }));
    else console.log(`${id}  ${time}${dryRun ? "  would be removed" : "  removed"}`);
  }
  const freed = damaged > 0 ? 0 : freedBytes(snapshots, gone);
  const kept = snapshots.length - gone.size;
  if (json) console.log(JSON.stringify({ removed: gone.size, kept, freedBytes: freed, dryRun }));
  else {
    const many = gone.size === 1 ? "1 snapshot" : `${grouped(gone.size)} snapshots`;
    const verb = dryRun ? "would be removed" : "removed";
    console.log(`${many} ${verb}, ${grouped(kept)} kept; frees ${byteSize(freed)}`);
  }
}
