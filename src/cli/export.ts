/** `tidemark export` and `tidemark import`: a snapshot as one file. */

import { createReadStream } from "node:fs";
import { Command } from "commander";
import { TidemarkError } from "../core/error.ts";
import { byteSize } from "../core/quantity.ts";
import { exportSnapshot, importSnapshot } from "../runtime/snapshot-file.ts";
import { summarise } from "../snapshot/manifest.ts";
import { addNatsStoreOptions } from "./nats-options.ts";
import { directoryOption, jsonOption } from "./options.ts";
import { compressOption, keyOption, type StoreOptions, snapshotNamed, withStore } from "./store.ts";
import { Progress, STANDARD, writeTo } from "./transfer.ts";

interface ExportOptions extends StoreOptions {
  readonly json?: true;
}

const EXPORT_HELP = `
The file is a tar archive with the manifest and every part, each named by its
SHA-256. It is plain, also if the directory is encrypted.

Exit status: 0; 1 if there is no such snapshot, it is damaged, or the file is
there already or cannot be written.

Examples:
  tidemark export p2/7 p2-7.tar
  tidemark export latest - | ssh backup 'cat > bank.tar'`;

const IMPORT_HELP = `
Every part is compared with its SHA-256, and the certificate is proven, before
the snapshot is there: all of it or nothing. It keeps its id and its label.

Exit status: 0; 1 if the file is damaged, or its id is in the directory already.

Examples:
  tidemark import p2-7.tar --dir elsewhere
  ssh backup 'cat bank.tar' | tidemark import -`;

export function exportCommand(): Command {
  const command = new Command("export")
    .description("write a snapshot, with all that it needs, into one file")
    .argument("<snapshot>", "its id, as in p2/7; its label; or latest")
    .argument("<file>", "is made, and not overwritten; -: standard output")
    .addOption(directoryOption())
    .addOption(keyOption())
    .addOption(jsonOption("print what was written as one line of JSON; not with -"))
    .addHelpText("after", EXPORT_HELP)
    .action(async (name: string, file: string, options: ExportOptions) => {
      const { json } = options;
      if (file === STANDARD && (json || process.stdout.isTTY))
        throw new TidemarkError("BAD_OPTION", "a snapshot is not for a terminal, nor among JSON");
      await withStore(options, async (store, where) => {
        const id = await snapshotNamed(store, name, where);
        const stored = await store.get(id);
        if (!stored) throw new TidemarkError("NOT_FOUND", `there is no snapshot ${id} in ${where}`);
        const progress = new Progress();
        const all = summarise(stored.manifest).bytes;
        let bytes = 0;
        const counted = async function* (): AsyncGenerator<Uint8Array> {
          for await (const chunk of exportSnapshot(stored)) {
            bytes += chunk.length;
            progress.tell(() => `${byteSize(bytes)} of ${byteSize(all)}`);
            yield chunk;
          }
        };
        await writeTo(file, counted());
        progress.end();
        if (json) console.log(JSON.stringify({ snapshot: id, file, bytes }));
        else if (file !== STANDARD) console.log(`${id} is in ${file}, ${byteSize(bytes)}`);
      });
    });
  return addNatsStoreOptions(command);
}

export function importCommand(): Command {
  const command = new Command("import")
    .description("put a snapshot that was exported into a directory")
    .argument("<file>", "what tidemark export wrote; -: standard input")
    .addOption(directoryOption())
    .addOption(keyOption())
    .addOption(compressOption())
    .addOption(jsonOption("print what was read as one line of JSON"))
    .addHelpText("after", IMPORT_HELP)
    .action(async (file: string, options: ExportOptions) => {
      const { json } = options;
      await withStore(options, async (store, where) => {
        const progress = new Progress();
        try {
          const input = file === STANDARD ? process.stdin : createReadStream(file);
          const manifest = await importSnapshot(store, input, {
            name: file === STANDARD ? "standard input" : file,
            onProgress: (bytes, of) => progress.tell(() => `${byteSize(bytes)} of ${byteSize(of)}`),
          });
          progress.end();
          const { id, bytes, processes } = summarise(manifest);
          if (json) console.log(JSON.stringify({ snapshot: id, bytes }));
          else
            console.log(`${id} is in ${where}: ${processes} processes, ${byteSize(bytes)}, proven`);
        } finally {
          progress.end();
        }
      });
    });
  return addNatsStoreOptions(command);
}
