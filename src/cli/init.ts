/** `tidemark init`: writes a small system of one's own, that works, to go on from. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { Command } from "commander";
import { TidemarkError, textOf } from "../core/error.ts";
import { printable } from "./terminal.ts";
import { makeDirectory } from "./text-file.ts";

const FILE = "system.ts";

const SYSTEM = `// Run it with: npx tidemark up system.ts
import { type Application, defineSystem, type Turn } from "tidemark";

/** All that a counter depends on: it is captured for snapshots, and restored from them. */
interface State {
  readonly sum: number;
}

/** Adds up what it is asked to add, and tells the others, so that all have the same sum when nothing is in flight. */
class Counter implements Application<number, State, number, State> {
  #sum = 0;

  /** Somebody outside asks: npx tidemark request a 5 */
  request(id: number, add: number, turn: Turn<number, State>): void {
    this.#sum += add;
    turn.send(turn.peers, add);
    turn.reply(id, { sum: this.#sum });
  }

  /** Another process has sent a message. */
  receive(_from: string, add: number): void {
    this.#sum += add;
  }

  capture(): State {
    return { sum: this.#sum };
  }

  restore({ sum }: State): void {
    this.#sum = sum;
  }
}

export default defineSystem({
  processes: ["a", "b", "c"],
  application: () => new Counter(),
  // Whoever dies comes back with all that it knew. "always" survives also a loss of power, without a gap.
  log: "everysec",
  snapshots: { everyMs: 10_000, keep: 1000 },
});
`;

const HELP = `
Writes system.ts, and package.json if there is none. Nothing is overwritten.

Exit status: 0; 1 if a file cannot be written; 2 if there is a system.ts.

Examples:
  tidemark init
  tidemark init counter`;

export function initCommand(): Command {
  return new Command("init")
    .description("write a small system of your own, to go on from")
    .argument("[directory]", "where; made if need be", ".")
    .addHelpText("after", HELP)
    .action((directory: string) => {
      for (const line of init(directory)) console.log(line);
    });
}

/** Gives what is to be done next. */
function init(directory: string): string[] {
  const path = join(directory, FILE);
  if (existsSync(path))
    throw new TidemarkError("BAD_OPTION", `there is a ${path} already, and it is not overwritten`);
  makeDirectory(resolve(directory));
  const manifest = join(directory, "package.json");
  const written = [path];
  create(path, SYSTEM);
  if (!existsSync(manifest)) {
    create(manifest, `${JSON.stringify(packageManifest(), undefined, 2)}\n`);
    written.push(manifest);
  }
  const here = relative("", resolve(directory));
  const own = written.length > 1;
  return [
    ...written.map((file) => `wrote ${printable(file)}`),
    "Next:",
    ...(here === "" ? [] : [`  cd ${printable(here)}`]),
    `  npm install${own ? "" : " tidemark"}`,
    own
      ? "  npm start                    # the same as: npx tidemark up system.ts"
      : "  npx tidemark up system.ts",
    "  npx tidemark request a 5     # in another terminal",
    "  npx tidemark status",
  ];
}

function packageManifest(): unknown {
  const { version } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  ) as { readonly version: string };
  return {
    private: true,
    type: "module",
    scripts: { start: "tidemark up system.ts" },
    dependencies: { tidemark: `^${version}` },
  };
}

/** Fails if the file has come into being meanwhile. */
function create(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: "wx" });
  } catch (error) {
    throw new TidemarkError("STORE_FAILED", `${path} cannot be written: ${textOf(error)}`);
  }
}
