/** `tidemark up`: a system of real processes, of the bank or of what a file defines, and a snapshot of it again and again. */

import { dirname, relative, resolve } from "node:path";
import { Command, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { LogPolicy } from "../runtime/input-log.ts";
import { jsonAppReport, lineAppReport } from "./app-report.ts";
import { addJoinOptions, type JoinOptions, membersOf, refuseJoinOptions } from "./join-options.ts";
import { joinReport } from "./join-report.ts";
import { type JoinPlan, joinSystem } from "./join-system.ts";
import { addNatsOptions, type NatsCommandOptions } from "./nats-options.ts";
import {
  jsonOption,
  PORT_MAX,
  parseDuration,
  parseRange,
  parseRate,
  probability,
  wholeNumber,
} from "./options.ts";
import { addRunOptions, type Plan, type RunOptions, runSystem } from "./run-system.ts";
import { natsPlaceOf } from "./store.ts";
import { loadSystem, PROCESSES_MAX, processNames, wholeRule } from "./system-file.ts";
import { isLive } from "./terminal.ts";
import { jsonReport, lineReport, type Report, tableReport } from "./up-report.ts";

/** The options as commander gives them. */
interface UpOptions extends RunOptions, NatsCommandOptions, JoinOptions {
  readonly processes: number;
  readonly money: number;
  readonly rate: number | "max";
  readonly interval: number;
  readonly dir: string;
  readonly keep: number;
  readonly seed?: number;
  readonly log?: LogPolicy | "off";
  readonly restarts?: number;
  readonly then?: "stop" | "restore";
  readonly json?: true;
}

/** What only the bank has. */
const BANK_OPTIONS = ["processes", "money", "rate"] as const;
const MONEY_MAX = 1e12;

const HELP = `
Without a file it is a bank: every interval each process is asked for its
balance, one after another, and a snapshot is taken. It is read back from the
directory, proven and added up: all balances and all money in flight must be
what there was at the start. What the asking adds up to is shown beside it.

A file of TypeScript or JavaScript exports a system of yours by default, as
defineSystem gives it: tidemark init writes one. Its snapshots are proven.

A process that ends is started again, with its log if there is one, but in a
bank without logs: there, the loss of one ends all. When it has ended too
often, the system ends, or with --then restore goes back, once, to its newest
snapshot. With logs, the system goes on where it was when it is started again.

On several machines each runs one process of such a file: --join says which it
is. With --nats servers of NATS carry what processes say, and keep snapshots;
with --listen, --peer or --config they reach each other by TCP. The first of
the processes begins the snapshots. See docs/operate/several-machines.md.

Ctrl-C ends all processes once they have answered what they were asked, says
what it came to, and is a normal end.

Exit status: 0 if every snapshot was consistent and added up; 1 if one was not
or, without restarts, was abandoned, if a process was lost, or the system could
not start; 2 for a mistake in the options or the file; 128 + its number when a
second signal, a second or more after the first, forced the end.

Examples:
  tidemark up                             # until Ctrl-C
  tidemark up --count 5 --json            # a line of JSON for each snapshot
  tidemark up --processes 8 --rate 2000 --interval 200ms
  tidemark up --delay 0..50ms --loss 0.2 --repeat 0.1    # on a bad network
  tidemark up --log always                # kill -9 what you like
  tidemark up system.ts                   # a system of yours
  tidemark up system.ts --join a --nats nats://10.0.0.9:4222
  tidemark up system.ts --join a --config cluster.json --tls certificates`;

export function upCommand(): Command {
  const command = new Command("up")
    .description(
      "run a bank of processes that send each other money, or a system of yours, and record it again and again",
    )
    .argument("[file]", "exports a system by default")
    .addOption(
      new Option("--processes <number>", "how many accounts, each an operating-system process")
        .default(4)
        .argParser(wholeNumber(1, PROCESSES_MAX)),
    )
    .addOption(
      new Option("--money <amount>", "in each account at the start")
        .default(1000)
        .argParser(wholeNumber(0, MONEY_MAX)),
    )
    .addOption(
      new Option("--rate <rate>", "transfers per second and process, or max: as many as it can")
        .default("max")
        .argParser(parseRate),
    )
    .addOption(
      new Option("--interval <time>", "from snapshot to snapshot; 0: one right after the other")
        .default(1000, "1s; with a file, what that says, or 10s")
        .argParser(parseDuration),
    )
    .addOption(
      new Option("--count <number>", "end after so many snapshots")
        .default(undefined, "until Ctrl-C")
        .argParser(wholeNumber(1, Number.MAX_SAFE_INTEGER)),
    )
    .addOption(
      new Option("--port <port>", "listen on this port and the ones after it; 0: any")
        .default(0)
        .argParser(wholeNumber(0, PORT_MAX)),
    )
    .addOption(
      new Option("--seed <number>", "decides who sends how much to whom, and what goes wrong")
        .default(undefined, "a random one")
        .argParser(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
    )
    .addOption(
      new Option("--delay <range>", "hold up every frame, as in 0..50ms; they overtake each other")
        .default(undefined, "none")
        .argParser(parseRange),
    )
    .addOption(
      new Option("--loss <probability>", "lose frames").default(0).argParser(probability(false)),
    )
    .addOption(
      new Option("--repeat <probability>", "repeat frames").default(0).argParser(probability(true)),
    );
  addRunOptions(command, {
    timeout: [30_000, "30s"],
    keep: 1000,
    logged: "inputs",
    log: [undefined, "off; with a file, what that says, or everysec"],
    restarts: "5, or in a bank without logs 0; with a file, what that says",
  });
  addNatsOptions(command, "with --join, for snapshots");
  return addJoinOptions(command, "a system of yours")
    .addOption(jsonOption("print a line of JSON for each snapshot, and one for all at the end"))
    .addHelpText("after", HELP)
    .action(async (file: string | undefined, options: UpOptions, command: Command) => {
      if (options.join !== undefined) {
        process.exitCode = await joinSystem(await joinPlan(file, options, options.join, command));
        return;
      }
      refuseJoinOptions(options);
      if (natsPlaceOf(options))
        throw bad("--nats is for --join: a system on one machine has --dir");
      const plan = file === undefined ? bankPlan(options) : await filePlan(file, options, command);
      process.exitCode = await runSystem(plan, options);
    });
}

function bankPlan(options: UpOptions): Plan {
  const { money, rate, dir, restarts, then: afterwards = "stop" } = options;
  const processes = processNames(options.processes);
  const log = options.log === "off" ? undefined : options.log;
  return {
    kind: "bank",
    source: { bank: { money, rate } },
    processes,
    expected: processes.length * money,
    about: { processes, money, rate },
    directory: dir,
    log,
    // Whoever comes back without a log would have made the money that it began with once more.
    restart: { ...wholeRule(), restarts: restarts ?? (log ? wholeRule().restarts : 0), afterwards },
    intervalMs: options.interval,
    keep: options.keep,
    seed: options.seed ?? Math.floor(Math.random() * 2 ** 32),
    report: makeReport(options),
  };
}

/** @throws TidemarkError `BAD_OPTION` for what is wrong with the file, or with the options for one */
async function filePlan(file: string, options: UpOptions, command: Command): Promise<Plan> {
  const said = await fileSettings(file, options, command);
  return {
    ...said,
    kind: "application",
    about: { processes: said.processes },
    seed: options.seed,
    report: options.json ? jsonAppReport(process.stdout) : lineAppReport(process.stdout, file),
  };
}

/** What both the file and the options may say: the options come first. */
async function fileSettings(
  file: string,
  options: UpOptions,
  command: Command,
): Promise<
  Pick<Plan, "source" | "processes" | "directory" | "log" | "restart" | "intervalMs" | "keep">
> {
  const given = (name: string): boolean => command.getOptionValueSource(name) === "cli";
  for (const name of BANK_OPTIONS)
    if (given(name)) throw bad(`--${name} is for the bank: what ${file} runs is said there`);
  const definition = await loadSystem({ file });
  const { everyMs = 10_000, keep = options.keep } = definition.snapshots ?? {};
  const rule = wholeRule(definition.restart);
  const { restarts = rule.restarts, then: afterwards = rule.afterwards } = options;
  const said = options.log ?? definition.log ?? "everysec";
  const beside = definition.directory ?? options.dir;
  return {
    source: { file: resolve(file) },
    processes: processNames(definition.processes),
    directory:
      given("dir") || definition.directory === undefined
        ? options.dir
        : relative("", resolve(dirname(file), beside)) || ".",
    log: said === "off" || said === false ? undefined : said,
    restart: { ...rule, restarts, afterwards },
    intervalMs: given("interval") ? options.interval : everyMs,
    keep: given("keep") ? options.keep : keep,
  };
}

/** What one process of several machines cannot decide, or what is of no use to one. */
const OF_WHOLE_SYSTEMS: readonly string[] = [
  ...["ui", "uiPort", "uiHost", "count", "port", "seed", "delay", "loss", "repeat"],
  ...["then", "new", "chaos"],
];

/** @throws TidemarkError `BAD_OPTION` */
async function joinPlan(
  file: string | undefined,
  options: UpOptions,
  id: ProcessId,
  command: Command,
): Promise<JoinPlan> {
  const given = (name: string): boolean => command.getOptionValueSource(name) === "cli";
  const { sync, compress, keyFile, tls, metrics, spans, trace } = options;
  if (file === undefined)
    throw bad(
      "--join is for a system of yours: name its file, as in tidemark up system.ts --join a",
    );
  const whole = command.options.find(
    (option) => OF_WHOLE_SYSTEMS.includes(option.attributeName()) && given(option.attributeName()),
  );
  if (whole) throw bad(`${whole.long} is for a system on one machine, and cannot go with --join`);
  const said = await fileSettings(file, options, command);
  const nats = natsPlaceOf(options);
  const members = membersOf(id, options, {
    ...{ nats, system: { file, processes: said.processes } },
  });
  const { intervalMs: everyMs, keep, source, directory, log, restart } = said;
  // Without NATS it depends on the directory whether there can be snapshots: who knows that there can says so.
  const isRecording = id === members.processes[0] && (nats !== undefined || given("interval"));
  return {
    ...{ kind: "application", id, ...members, source, directory, log, restart, sync },
    ...(nats && { nats }),
    ...(compress !== undefined && { compress }),
    ...(keyFile !== undefined && { keyFile }),
    ...(tls !== undefined && { tls }),
    ...(metrics && { metrics }),
    ...{ ...(spans && { spans }), ...(trace && { trace }) },
    ...(isRecording && { snapshots: { everyMs, keep } }),
    timeoutMs: options.timeout,
    events: { logLevel: options.logLevel, logFormat: options.logFormat },
    report: joinReport(process.stdout, id, options.json === true),
  };
}

function bad(reason: string): TidemarkError {
  return new TidemarkError("BAD_OPTION", reason);
}

function makeReport({ json, logFormat }: UpOptions): Report {
  if (json) return jsonReport(process.stdout);
  // Lines of JSON are no part of a table.
  return isLive(process.stdout) && logFormat === "text"
    ? tableReport(process.stdout)
    : lineReport(process.stdout);
}
