/** `tidemark kv`: the replicated store, for clients of the Redis protocol. */

import { Command, InvalidArgumentError, Option } from "commander";
import { TidemarkError, textOf } from "../core/error.ts";
import type { LogPolicy } from "../runtime/input-log.ts";
import { ServerSettings } from "../serve/server-settings.ts";
import { jsonAppReport, lineAppReport } from "./app-report.ts";
import {
  directoryOption,
  jsonOption,
  parseDuration,
  parseTimeout,
  wholeNumber,
} from "./options.ts";
import { type Plan, PORT_MAX, type RunOptions, runSystem } from "./run-system.ts";
import { compressOption, keyOption } from "./store.ts";
import { PROCESSES_MAX, processNames, wholeRule } from "./system-file.ts";

interface KvOptions extends RunOptions {
  readonly processes: number;
  readonly host: string;
  readonly set?: Readonly<Record<string, string>>;
  readonly interval: number;
  readonly keep: number;
  readonly dir: string;
  readonly log: LogPolicy | "off";
  readonly restarts?: number;
  readonly then?: "stop" | "restore";
  readonly json?: true;
}

const HELP = `
Each process serves all clients, on a port of its own: the given one and those
after it. What is written anywhere is in the same order everywhere, and is
answered when the process that was asked has it in that order; what is read is
what that process has.

BGSAVE takes a snapshot of the whole store, with all replicas at one cut.
tidemark snapshots, show, restore and the others work on its directory.

A process that dies is started again and comes back with all it knew, from its
log. Ctrl-C ends all processes.

Examples:
  tidemark kv                              # three processes, from port 7379 on
  redis-cli -p 7379 SET greeting hello
  redis-cli -p 7381 GET greeting
  tidemark kv --processes 1 --log always
  tidemark kv --set requirepass=secret --set maxclients=100`;

export function kvCommand(): Command {
  return new Command("kv")
    .description("run a replicated key-value store that clients of Redis talk to")
    .addOption(
      new Option("--processes <number>", "how many, each an operating-system process")
        .default(3)
        .argParser(wholeNumber(1, PROCESSES_MAX)),
    )
    .addOption(
      new Option("--port <port>", "the first one serves there, the next ones on those after it")
        .default(7379)
        .argParser(wholeNumber(1, PORT_MAX)),
    )
    .option("--host <address>", "serve there; 0.0.0.0: everywhere", "127.0.0.1")
    .addOption(
      new Option("--set <name=value>", "a setting, as CONFIG SET takes it").argParser(parseSetting),
    )
    .addOption(
      new Option("--interval <time>", "from snapshot to snapshot")
        .default(60_000, "1m")
        .argParser(parseDuration),
    )
    .addOption(
      new Option("--timeout <time>", "abandon a snapshot that takes longer")
        .default(30_000, "30s")
        .argParser(parseTimeout),
    )
    .addOption(directoryOption())
    .addOption(
      new Option(
        "--keep <number>",
        "how many snapshots to keep, but for those with a label; 0: all",
      )
        .default(100)
        .argParser(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
    )
    .option(
      "--no-sync",
      "do not wait for the disk: faster, and the last ones may not survive a power cut",
    )
    .addOption(compressOption())
    .addOption(keyOption())
    .addOption(
      new Option("--log <policy>", "log what is written, so that whoever dies comes back with it")
        .choices(["always", "everysec", "none", "off"])
        .default("everysec"),
    )
    .addOption(
      new Option("--restarts <number>", "how often in a minute a process is started again")
        .default(undefined, "5")
        .argParser(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
    )
    .addOption(
      new Option("--then <what>", "follows when a process has ended too often")
        .choices(["stop", "restore"])
        .default(undefined, "stop"),
    )
    .option("--new", "begin with nothing, whatever there was; logs are moved aside")
    .addOption(jsonOption("print a line of JSON for each snapshot, and one for all at the end"))
    .addHelpText("after", HELP)
    .action(async (options: KvOptions) => {
      const transports = { port: 0, loss: 0, repeat: 0 };
      process.exitCode = await runSystem(planOf(options), { ...options, ...transports });
    });
}

/** @throws TidemarkError `BAD_OPTION` */
function planOf(options: KvOptions): Plan {
  const { port, host, log, restarts, then: afterwards = "stop" } = options;
  const processes = processNames(options.processes);
  if (port + processes.length - 1 > PORT_MAX)
    throw new TidemarkError("BAD_OPTION", `there are no ${processes.length} ports from ${port} on`);
  checkSettings(options.set ?? {});
  const rule = wholeRule();
  const where = processes.map((id, i) => `${id} serves ${host}:${port + i}`).join(", ");
  return {
    source: { kv: { processes, port, host, ...(options.set && { settings: options.set }) } },
    processes,
    about: { processes },
    directory: options.dir,
    log: log === "off" ? undefined : log,
    restart: { ...rule, restarts: restarts ?? rule.restarts, afterwards },
    intervalMs: options.interval,
    keep: options.keep,
    report: options.json
      ? jsonAppReport(process.stdout)
      : lineAppReport(process.stdout, `a store (${where})`),
  };
}

/** Before anything is started. @throws TidemarkError `BAD_OPTION` */
function checkSettings(settings: Readonly<Record<string, string>>): void {
  try {
    new ServerSettings(settings);
  } catch (cause) {
    const reason = textOf(cause).replace(/^ERR /, "");
    throw new TidemarkError("BAD_OPTION", `--set: ${reason}`, { cause });
  }
}

function parseSetting(
  text: string,
  earlier: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("Write it as name=value.");
  return { ...earlier, [text.slice(0, equals)]: text.slice(equals + 1) };
}
