/** `tidemark ui`: the page of a directory, with the system that runs in it, or of a file. */

import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { Command } from "commander";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { ControlClient } from "../runtime/control-socket.ts";
import type { DirectoryStore } from "../runtime/directory-store.ts";
import type { SystemMethods } from "../serve/system-methods.ts";
import type { PageAbout } from "../serve/web/api.ts";
import type { PageBackend, SystemCaller } from "../serve/web/backend.ts";
import { WebServer } from "../serve/web-server.ts";
import { jsonOption } from "./options.ts";
import { addAddressOptions, type PageOptions } from "./page.ts";
import { PageSnapshotStore } from "./page-snapshots.ts";
import { runningStoreBackend } from "./page-store.ts";
import { watchSource } from "./page-watch.ts";
import { PATIENCE_MS } from "./restore.ts";
import { stopSignal } from "./stop-signal.ts";
import { type KeyOptions, keyOption, openStore } from "./store.ts";
import { printable } from "./terminal.ts";
import { VERSION } from "./version.ts";

interface UiOptions extends PageOptions, KeyOptions {
  readonly module?: string;
}

const HELP = `
A directory is that of a system, as --dir names it: its snapshots are shown, and
the system as well if one runs there. A file is a trace, as tidemark trace
record writes it, or a snapshot, as tidemark export does.

With a key, or the one in TIDEMARK_KEY, snapshots that are encrypted are shown
as others are.

What the states of a system mean, for detectors, is declared by the file that
tidemark up runs, named by --module; that of the bank is known.

The URL has a token behind the #, without which nothing is answered. Who has it
may do what the page does: take snapshots, restore them, ask processes.

Ctrl-C ends it; the system goes on.

Exit status: 0; 1 if the page cannot be served; 2 for a mistake in the command.

Examples:
  tidemark ui                     # the system in .tidemark
  tidemark ui backups --ui-port 7300
  tidemark ui --module system.ts
  tidemark ui run.jsonl`;

export function uiCommand(): Command {
  return addAddressOptions(
    new Command("ui")
      .description("show a system, its snapshots, or a trace in the browser")
      .argument("[what]", "a directory of snapshots, or a file", ".tidemark"),
    "any",
  )
    .option("--module <file>", "defines the system (default: it is a bank)")
    .addOption(keyOption())
    .addOption(jsonOption("print where it is as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (what: string, options: UiOptions) => {
      const stop = stopSignal();
      const { backend, close } = isFile(what)
        ? { backend: fileBackend(what), close: async () => {} }
        : directoryBackend(what, options);
      const { uiHost: host, uiPort: port = 0, json } = options;
      const page = await WebServer.start({ backend, host, port });
      if (json) console.log(JSON.stringify({ url: page.url }));
      else console.log(`the page of ${printable(what)} is at ${page.url}; Ctrl-C ends`);
      await new Promise<void>((settle) => {
        if (stop.aborted) settle();
        else stop.addEventListener("abort", () => settle(), { once: true });
      });
      await page.close();
      await close();
    });
}

/** @throws TidemarkError `NOT_FOUND` */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === "ENOENT";
    const why = isAbsent
      ? "there is no such directory or file; tidemark up makes .tidemark, or another one by --dir"
      : textOf(error);
    throw new TidemarkError("NOT_FOUND", `${path} cannot be shown: ${why}`);
  }
}

function fileBackend(path: string): PageBackend {
  const name = basename(path);
  const about = { kind: "file", title: name, version: VERSION } as const;
  return {
    about: async () => ({ ...about, chaos: false, processes: [] }),
    file: { name, read: () => readFile(path) },
  };
}

/** A system may be started, and end, while the page is open. */
function directoryBackend(
  directory: string,
  { module, ...keyOptions }: UiOptions,
): { readonly backend: PageBackend; close(): Promise<void> } {
  const system: SystemCaller = (...what) => ask(directory, ...what);
  const open = (other: string): DirectoryStore => openStore(other, keyOptions);
  const store = open(directory);
  const snapshots = new PageSnapshotStore(directory, store, open, system);
  const source = module === undefined ? undefined : { file: module };
  const backend: PageBackend = {
    async about(): Promise<PageAbout> {
      const known = { title: directory, version: VERSION };
      try {
        const { kind, processes, chaos } = await system("status", null);
        return {
          ...known,
          ...{ kind, chaos: chaos !== undefined },
          processes: processes.map(({ process }) => process),
        };
      } catch (error) {
        if (!isTidemarkError(error)) throw error;
        return { ...known, kind: "directory", chaos: false, processes: [] };
      }
    },
    system,
    snapshots,
    watch: watchSource({ system, store, source }),
    store: runningStoreBackend(directory, () => system("status", null)),
  };
  return {
    backend,
    async close() {
      await snapshots.close();
      await store.close();
    },
  };
}

async function ask<K extends keyof SystemMethods>(
  directory: string,
  method: K,
  parameter: SystemMethods[K][0],
  { timeoutMs }: { readonly timeoutMs?: number } = {},
): Promise<SystemMethods[K][1]> {
  const client = await ControlClient.connect<SystemMethods>(directory);
  try {
    const patience = timeoutMs === undefined ? {} : { timeoutMs: timeoutMs + PATIENCE_MS };
    return await client.call(method, parameter, patience);
  } finally {
    client.close();
  }
}
