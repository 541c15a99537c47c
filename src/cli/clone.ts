/** `tidemark clone`: a second system from a snapshot of a first one. */

import { Command } from "commander";
import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { cloneSnapshot } from "../runtime/clone-snapshot.ts";
import { directoryName, directoryOption, jsonOption } from "./options.ts";
import { type KeyOptions, keyOption, openSnapshot, openStore, SNAPSHOT_NAME } from "./store.ts";
import { isLive, printable } from "./terminal.ts";

interface CloneCommandOptions extends KeyOptions {
  readonly dir: string;
  readonly rename?: Readonly<Record<ProcessId, ProcessId>>;
  readonly system?: string;
  readonly json?: true;
}

/** What takes longer says how far it is. */
const QUIET_MS = 1_000;

const HELP = `
The snapshot is proven first: of one that is damaged nothing is copied. Then it
is copied into the other directory, and the next epoch begins there from it. The
first system may run on, and knows nothing of the second one. With a key, both
directories are encrypted with it. The copy has no label.

Exit status: 0; 1 if there is no such snapshot, it is damaged, or a system has
begun in the other directory already; 2 for a mistake in the command.

Examples:
  tidemark clone latest staging
  tidemark clone p2/7 staging --rename p1=a,p2=b --system staging`;

export function cloneCommand(): Command {
  return new Command("clone")
    .description("copy a snapshot for a second system to begin from")
    .argument("<snapshot>", SNAPSHOT_NAME)
    .argument("<directory>", "of the second system; is made", directoryName)
    .addOption(directoryOption())
    .option("--rename <names>", "new names of processes, as in p1=a,p2=b", parseNames)
    .option("--system <name>", "the name of the second system (default: as the first)")
    .addOption(keyOption())
    .addOption(jsonOption("print what was cloned as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (name: string, directory: string, options: CloneCommandOptions) => {
      const { dir, rename = {}, system, json } = options;
      const original = await openSnapshot(name, dir, options);
      const verdict = await original.verify();
      if (!verdict.consistent)
        throw new TidemarkError("DAMAGED", `${original.id} cannot be cloned: ${verdict.reason}`);
      const store = openStore(directory, options);
      const progress = progressTeller();
      try {
        const copy = await cloneSnapshot(openStore(dir, options), original.id, store, {
          rename,
          ...(system === undefined ? {} : { system }),
          onProgress: progress.tell,
        });
        progress.end();
        const manifest = (await store.get(copy))?.manifest;
        if (!manifest) throw new TidemarkError("NOT_FOUND", `${copy} was deleted meanwhile`);
        const epoch = manifest.epoch + 1;
        const { processes } = manifest;
        if (json) {
          const told = { snapshot: original.id, copy, directory, system: manifest.system };
          console.log(JSON.stringify({ ...told, epoch, processes }));
        } else {
          console.log(
            `${original.id} is in ${printable(directory)} as ${copy}, and epoch ${epoch} begins there from it.\n` +
              `To start the second system, start ${processes.join(", ")} of system ${printable(manifest.system)}, each with\n` +
              `directoryStore(${JSON.stringify(directory)}) as its store: they go on from there.`,
          );
        }
      } finally {
        progress.end();
        await store.close();
      }
    });
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
