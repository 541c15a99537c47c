/** `tidemark clone`: a second system from a snapshot of a first one. */

import { Command } from "commander";
import { TidemarkError } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import { type CloneOptions, cloneSnapshot, planClone } from "../runtime/clone-snapshot.ts";
import { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import { type Manifest, summarise } from "../snapshot/manifest.ts";
import { directoryName, directoryOption, jsonOption } from "./options.ts";
import { type KeyOptions, keyOption, openStore, SNAPSHOT_NAME, snapshotNamed } from "./store.ts";
import { isLive, printable } from "./terminal.ts";

interface CloneCommandOptions extends KeyOptions {
  readonly dir: string;
  readonly rename?: Readonly<Record<ProcessId, ProcessId>>;
  readonly system?: string;
  readonly dryRun?: true;
  readonly json?: true;
}

/** What takes longer says how far it is. */
const QUIET_MS = 1_000;

const HELP = `
The snapshot is proven first: of one that is damaged nothing is copied. Then it
is copied into the other directory, and the next epoch begins there from it. The
first system may run on, and knows nothing of the second one. With a key, both
directories are encrypted with it. The copy has no label.

--dry-run proves the snapshot, says what would be there, and copies nothing.

Exit status: 0; 1 if there is no such snapshot, it is damaged, or a system has
begun in the other directory already; 2 for a mistake in the command.

Examples:
  tidemark clone latest staging
  tidemark clone latest staging --dry-run
  tidemark clone p2/7 staging --rename p1=a,p2=b --system staging`;

export function cloneCommand(): Command {
  return new Command("clone")
    .description("copy a snapshot for a second system to begin from")
    .argument("<snapshot>", SNAPSHOT_NAME)
    .argument("<directory>", "of the second system; is made", directoryName)
    .addOption(directoryOption())
    .option("--rename <names>", "new names of processes, as in p1=a,p2=b", parseNames)
    .option("--system <name>", "the name of the second system (default: as the first)")
    .option("--dry-run", "only say what would be there")
    .addOption(keyOption())
    .addOption(jsonOption("print what was cloned as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (name: string, directory: string, options: CloneCommandOptions) => {
      const { dir, rename = {}, system, dryRun, json } = options;
      const names = { rename, ...(system === undefined ? {} : { system }) };
      const from = openStore(dir, options);
      const id = await snapshotNamed(from, name, dir);
      const store = openStore(directory, options);
      const progress = progressTeller();
      try {
        const clone = dryRun
          ? await planProven(from, id, store, names)
          : await cloneProven(from, id, store, { ...names, onProgress: progress.tell });
        progress.end();
        const { copy, epoch, processes } = clone;
        if (json) {
          const told = { snapshot: id, copy, directory, system: clone.system, epoch, processes };
          console.log(JSON.stringify(dryRun ? { dryRun, ...told } : told));
        } else {
          const begins = dryRun
            ? `${id} would be in ${printable(directory)} as ${copy}, and epoch ${epoch} would begin there from it: nothing is copied.\n`
            : `${id} is in ${printable(directory)} as ${copy}, and epoch ${epoch} begins there from it.\n`;
          console.log(
            `${begins}To start the second system, start ${processes.join(", ")} of system ${printable(clone.system)}, each with\n` +
              `directoryStore(${JSON.stringify(directory)}) as its store: they go on from there.`,
          );
        }
      } finally {
        progress.end();
        await store.close();
      }
    });
}

/** What a clone is, or would be. */
export interface Clone {
  readonly copy: SnapshotId;
  readonly system: string;
  readonly epoch: number;
  readonly processes: readonly ProcessId[];
  readonly bytes: number;
}

/**
 * Proves a snapshot, and copies it.
 * @throws TidemarkError `NOT_FOUND`, `DAMAGED`; as `cloneSnapshot`
 */
export async function cloneProven(
  from: SnapshotStore,
  id: SnapshotId,
  to: SnapshotStore,
  options: CloneOptions,
): Promise<Clone> {
  await proven(from, id);
  const copy = await cloneSnapshot(from, id, to, options);
  const manifest = (await to.get(copy))?.manifest;
  if (!manifest) throw new TidemarkError("NOT_FOUND", `${copy} was deleted meanwhile`);
  const { system, epoch, processes } = manifest;
  return { copy, system, epoch: epoch + 1, processes, bytes: summarise(manifest).bytes };
}

/**
 * Proves a snapshot, and says what a clone of it would be.
 * @throws TidemarkError as `cloneProven`
 */
export async function planProven(
  from: SnapshotStore,
  id: SnapshotId,
  to: SnapshotStore,
  options: CloneOptions,
): Promise<Clone> {
  const manifest = await proven(from, id);
  const { copy, system, epoch, nameOf } = await planClone(manifest, to, options);
  if (await to.get(copy))
    throw new TidemarkError("STORE_FAILED", `snapshot ${copy} is in the store already`);
  const processes = manifest.processes.map(nameOf).sort();
  return { copy, system, epoch, processes, bytes: summarise(manifest).bytes };
}

async function proven(from: SnapshotStore, id: SnapshotId): Promise<Manifest> {
  const stored = await from.get(id);
  if (!stored)
    throw new TidemarkError(
      "NOT_FOUND",
      `there is no snapshot ${id}: tidemark snapshots lists those that there are`,
    );
  const verdict = await new GlobalSnapshot(stored).verify();
  if (!verdict.consistent)
    throw new TidemarkError("DAMAGED", `${id} cannot be cloned: ${verdict.reason}`);
  return stored.manifest;
}

/** @throws TidemarkError `BAD_OPTION` */
function parseNames(text: string): Readonly<Record<ProcessId, ProcessId>> {
  const names = new Map<ProcessId, ProcessId>();
  for (const pair of text.split(",")) {
    const [was = "", is = "", ...more] = pair.split("=").map((name) => name.trim());
    if (was === "" || is === "" || more.length > 0 || names.has(was))
      throw new TidemarkError(
        "BAD_OPTION",
        `--rename ${printable(text)}: use old=new for each process once, as in p1=a,p2=b`,
      );
    names.set(was, is);
  }
  return Object.fromEntries(names);
}

function progressTeller(): { tell(done: number, of: number): void; end(): void } {
  const live = isLive(process.stderr);
  const fromMs = performance.now() + QUIET_MS;
  let said = false;
  return {
    tell(done, of) {
      if (!live || performance.now() < fromMs) return;
      said = true;
      process.stderr.write(`\r\u001b[K${done} of ${of} processes copied`);
    },
    end() {
      if (said) process.stderr.write("\r\u001b[K");
      said = false;
    },
  };
}
