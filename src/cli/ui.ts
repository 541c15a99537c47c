/** `tidemark ui`: the page of a directory, with the system that runs in it, or of a file. */

import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { Command } from "commander";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { ControlClient } from "../runtime/control-socket.ts";
import type { SystemMethods } from "../serve/system-methods.ts";
import type { PageAbout } from "../serve/web/api.ts";
import type { PageBackend } from "../serve/web/backend.ts";
import { WebServer } from "../serve/web-server.ts";
import { jsonOption } from "./options.ts";
import { addAddressOptions, type PageOptions, versionOf } from "./page.ts";
import { stopSignal } from "./stop-signal.ts";
import { printable } from "./terminal.ts";

const HELP = `
A directory is that of a system, as --dir names it: its snapshots are shown, and
the system as well if one runs there. A file is a trace, as tidemark trace
record writes it, or a snapshot, as tidemark export does.

The URL has a token behind the #, without which nothing is answered. Who has it
may do what the page does: take snapshots, restore them, ask processes.

Ctrl-C ends it; the system goes on.

Exit status: 0; 1 if the page cannot be served; 2 for a mistake in the command.

Examples:
  tidemark ui                     # the system in .tidemark
  tidemark ui backups --ui-port 7300
  tidemark ui run.jsonl`;

export function uiCommand(): Command {
  return addAddressOptions(
    new Command("ui")
      .description("show a system, its snapshots, or a trace in the browser")
      .argument("[what]", "a directory of snapshots, or a file", ".tidemark"),
    "any",
  )
    .addOption(jsonOption("print where it is as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (what: string, options: PageOptions) => {
      const stop = stopSignal();
      const backend = isFile(what) ? fileBackend(what) : directoryBackend(what);
      const { uiHost: host, uiPort: port = 0, json } = options;
      const page = await WebServer.start({ backend, host, port });
      if (json) console.log(JSON.stringify({ url: page.url }));
      else console.log(`the page of ${printable(what)} is at ${page.url}; Ctrl-C ends`);
      await new Promise<void>((settle) => {
        if (stop.aborted) settle();
        else stop.addEventListener("abort", () => settle(), { once: true });
      });
      await page.close();
    });
}

/** @throws TidemarkError `NOT_FOUND` */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch (error) {
    throw new TidemarkError("NOT_FOUND", `${path} cannot be shown: ${textOf(error)}`);
  }
}

function fileBackend(path: string): PageBackend {
  const name = basename(path);
  const about = { kind: "file", title: name, version: versionOf() } as const;
  return {
    about: async () => ({ ...about, chaos: false, processes: [] }),
    file: { name, read: () => readFile(path) },
  };
}

/** A system may be started, and end, while the page is open. */
function directoryBackend(directory: string): PageBackend {
  return {
    async about(): Promise<PageAbout> {
      const known = { title: directory, version: versionOf() };
      try {
        const { kind, processes } = await ask(directory, "status", null);
        return {
          ...known,
          ...{ kind, chaos: false },
          processes: processes.map(({ process }) => process),
        };
      } catch (error) {
        if (!isTidemarkError(error)) throw error;
        return { ...known, kind: "directory", chaos: false, processes: [] };
      }
    },
    system: (method, parameter) => ask(directory, method, parameter),
  };
}

async function ask<K extends keyof SystemMethods>(
  directory: string,
  method: K,
  parameter: SystemMethods[K][0],
): Promise<SystemMethods[K][1]> {
  const client = await ControlClient.connect<SystemMethods>(directory);
  try {
    return await client.call(method, parameter);
  } finally {
    client.close();
  }
}
