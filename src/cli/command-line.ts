/** The command line as a whole: which commands there are, and how everything that goes wrong is told. */

import { Command, CommanderError } from "commander";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { exitStatusOf, USAGE_STATUS } from "./exit-status.ts";
import { printable } from "./terminal.ts";
import { VERSION } from "./version.ts";

/** In the order of the help. A file is loaded when its command is named: to load them all takes longer than most commands. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  up: async () => (await import("./up.ts")).upCommand(),
  kv: async () => (await import("./kv.ts")).kvCommand(),
  ui: async () => (await import("./ui.ts")).uiCommand(),
  init: async () => (await import("./init.ts")).initCommand(),
  status: async () => (await import("./status.ts")).statusCommand(),
  doctor: async () => (await import("./doctor.ts")).doctorCommand(),
  request: async () => (await import("./request.ts")).requestCommand(),
  snapshot: async () => (await import("./snapshot.ts")).snapshotCommand(),
  snapshots: async () => (await import("./snapshots.ts")).snapshotsCommand(),
  history: async () => (await import("./history.ts")).historyCommand(),
  explain: async () => (await import("./explain.ts")).explainCommand(),
  show: async () => (await import("./show.ts")).showCommand(),
  diff: async () => (await import("./diff.ts")).diffCommand(),
  detect: async () => (await import("./detect.ts")).detectCommand(),
  watch: async () => (await import("./watch.ts")).watchCommand(),
  verify: async () => (await import("./verify.ts")).verifyCommand(),
  restore: async () => (await import("./restore.ts")).restoreCommand(),
  log: async () => (await import("./log.ts")).logCommand(),
  label: async () => (await import("./label.ts")).labelCommand(),
  prune: async () => (await import("./prune.ts")).pruneCommand(),
  export: async () => (await import("./export.ts")).exportCommand(),
  import: async () => (await import("./export.ts")).importCommand(),
  clone: async () => (await import("./clone.ts")).cloneCommand(),
  nats: async () => (await import("./nats.ts")).natsCommand(),
  bank: async () => (await import("./bank.ts")).bankCommand(),
  chat: async () => (await import("./chat.ts")).chatCommand(),
  sim: async () => (await import("./sim.ts")).simCommand(),
  explore: async () => (await import("./explore.ts")).exploreCommand(),
  trace: async () => (await import("./trace.ts")).traceCommand(),
};

const HELP = `
Exit status: 0 when all is well; 1 when something failed or is not consistent;
2 for a mistake in the command. TIDEMARK_DEBUG=1 shows where an error comes
from; NO_COLOR=1 turns colours off.

Examples:
  tidemark up            # four processes, and a snapshot every second
  tidemark snapshots     # what has been recorded
  tidemark show p2/7     # every state and every message in flight
  tidemark diff p2/7 p1/9  # what changed in between
  tidemark history       # what came of every attempt, and why
  tidemark verify        # prove it all from the files alone
  tidemark restore p2/7  # all processes back at that snapshot`;

/** Runs one command; sets the exit status of this OS process. Never throws. */
export async function runCommandLine(args: readonly string[]): Promise<void> {
  // Whoever does not read what goes wrong changes nothing of it.
  process.stderr.on("error", () => {});
  let lost: unknown;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // Whoever read it has seen enough; how the command ends does not depend on that.
    if (error.code === "EPIPE" || lost !== undefined) return;
    lost = error;
    const message = `standard output cannot be written: ${textOf(error)}`;
    const status = tellError(new TidemarkError("STORE_FAILED", message, { cause: error }));
    // The command does not know, and may set its own meanwhile.
    process.once("exit", () => {
      process.exitCode = Math.max(status, Number(process.exitCode ?? 0));
    });
  });
  try {
    await (await program(args[0])).parseAsync(args, { from: "user" });
  } catch (error) {
    if (lost !== undefined && (error as Error).cause === lost) return;
    // A command that has used 1 for what it finds out has said so already.
    process.exitCode = Math.max(tellError(error), Number(process.exitCode ?? 0));
  }
}

/** With the command that is named, or, if none is, with all. */
async function program(named: string | undefined): Promise<Command> {
  const tidemark = new Command("tidemark")
    .description(
      "Inspect, back up and check a running distributed Node.js system without stopping it.",
    )
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this")
    .helpCommand("help [command]", "print what a command does")
    .addHelpText("after", HELP)
    .exitOverride()
    // One that has commands below it may have options of the same names as they.
    .enablePositionalOptions()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, "tidemark: ")),
    })
    .showHelpAfterError("(tidemark --help lists the commands)");
  const only = named !== undefined && Object.hasOwn(COMMANDS, named) ? COMMANDS[named] : undefined;
  for (const load of only ? [only] : Object.values(COMMANDS)) {
    const command = await load();
    tidemark.addCommand(command);
    settle(command, tidemark, `tidemark ${command.name()}`);
  }
  return tidemark;
}

/** A command that was made apart behaves as the others do, and so do the commands below it. */
function settle(command: Command, parent: Command, path: string): void {
  const isContainer = command.commands.length > 0 && command.options.length === 0;
  const lists = isContainer ? "commands" : "options";
  command
    .copyInheritedSettings(parent)
    .helpOption("-h, --help", "print this")
    .showHelpAfterError(`(${path} --help lists the ${lists})`);
  for (const below of command.commands) settle(below, command, `${path} ${below.name()}`);
}

/** Gives the exit status. */
function tellError(error: unknown): number {
  // What commander found is told already, and so is help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_STATUS;
  const debug = (process.env["TIDEMARK_DEBUG"] ?? "") !== "";
  if (debug) console.error(error);
  else if (isTidemarkError(error)) console.error(`tidemark: ${printable(error.message)}`);
  else
    console.error(
      `tidemark: ${printable(textOf(error))} (this should not happen; TIDEMARK_DEBUG=1 shows where)`,
    );
  return exitStatusOf(error);
}
