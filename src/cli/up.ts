/** `tidemark up`: a system of real processes, of the bank or of what a file defines, and a snapshot of it again and again. */

import { dirname, relative, resolve } from "node:path";
import { Command, Option } from "commander";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { Random } from "../core/random.ts";
import { ControlServer } from "../runtime/control-socket.ts";
import type { LogPolicy } from "../runtime/input-log.ts";
import type { Restoration } from "../runtime/running-process.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import type { SpoiledOptions } from "../runtime/spoiled-transport.ts";
import type { RestartRule } from "../runtime/system-definition.ts";
import { jsonAppReport, lineAppReport } from "./app-report.ts";
import { audit, prove } from "./audit.ts";
import {
  directoryOption,
  jsonOption,
  parseDuration,
  parseRange,
  parseRate,
  parseTimeout,
  probability,
  wholeNumber,
} from "./options.ts";
import { Retention } from "./retention.ts";
import { makeRounds, type Round, type Totals, tally } from "./rounds.ts";
import { stopSignal } from "./stop-signal.ts";
import { compressOption, type KeyOptions, keyOption, openStore, readKey } from "./store.ts";
import { HostedSystem } from "./system.ts";
import {
  checkApplicationRequest,
  checkRestoreRequest,
  checkSnapshotRequest,
  proofResult,
  type SystemMethods,
  snapshotResult,
} from "./system-control.ts";
import { type About, beginIn } from "./system-directory.ts";
import {
  loadSystem,
  PROCESSES_MAX,
  processNames,
  type SystemSource,
  wholeRule,
} from "./system-file.ts";
import { isLive, shellWord } from "./terminal.ts";
import { jsonReport, lineReport, type Report, tableReport } from "./up-report.ts";
import { jsonLine } from "./values.ts";

/** The options as commander gives them. */
interface UpOptions extends KeyOptions {
  readonly processes: number;
  readonly money: number;
  readonly rate: number | "max";
  readonly interval: number;
  readonly count?: number;
  readonly timeout: number;
  readonly port: number;
  readonly dir: string;
  readonly keep: number;
  readonly sync: boolean;
  readonly compress?: number;
  readonly seed?: number;
  readonly delay?: readonly [number, number];
  readonly loss: number;
  readonly repeat: number;
  readonly log?: LogPolicy | "off";
  readonly restarts?: number;
  readonly then?: "stop" | "restore";
  readonly new?: true;
  readonly json?: true;
}

/** What is to run, whatever it is. */
interface Plan {
  readonly source: SystemSource;
  readonly processes: readonly ProcessId[];
  /** All the money there is, in a bank. */
  readonly expected?: number;
  readonly about: About;
  readonly directory: string;
  readonly log?: LogPolicy | undefined;
  readonly restart: Required<RestartRule>;
  readonly intervalMs: number;
  readonly keep: number;
  readonly seed?: number | undefined;
  readonly report: Report;
}

/** What only the bank has. */
const BANK_OPTIONS = ["processes", "money", "rate"] as const;
const RESTARTS_MAX = 1_000_000;
const MONEY_MAX = 1e12;
const PORT_MAX = 65_535;

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
  tidemark up system.ts                   # a system of yours`;

export function upCommand(): Command {
  return new Command("up")
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
      new Option("--timeout <time>", "abandon a snapshot that takes longer")
        .default(30_000, "30s")
        .argParser(parseTimeout),
    )
    .addOption(
      new Option("--port <port>", "listen on this port and the ones after it; 0: any")
        .default(0)
        .argParser(wholeNumber(0, PORT_MAX)),
    )
    .addOption(directoryOption())
    .addOption(
      new Option(
        "--keep <number>",
        "how many snapshots to keep, but for those with a label; 0: all",
      )
        .default(1000)
        .argParser(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
    )
    .option(
      "--no-sync",
      "do not wait for the disk: faster, and the last ones may not survive a power cut",
    )
    .addOption(compressOption())
    .addOption(keyOption())
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
    )
    .addOption(
      new Option("--log <policy>", "log inputs, so that whoever dies comes back with all it knew")
        .choices(["always", "everysec", "none", "off"])
        .default(undefined, "off; with a file, what that says, or everysec"),
    )
    .addOption(
      new Option("--restarts <number>", "how often in a minute a process is started again")
        .default(undefined, "5, or in a bank without logs 0; with a file, what that says")
        .argParser(wholeNumber(0, RESTARTS_MAX)),
    )
    .addOption(
      new Option("--then <what>", "follows when a process has ended too often")
        .choices(["stop", "restore"])
        .default(undefined, "stop"),
    )
    .option("--new", "begin with nothing, whatever there was; logs are moved aside")
    .addOption(jsonOption("print a line of JSON for each snapshot, and one for all at the end"))
    .addHelpText("after", HELP)
    .action(async (file: string | undefined, options: UpOptions, command: Command) => {
      const plan = file === undefined ? bankPlan(options) : await filePlan(file, options, command);
      process.exitCode = await up(plan, options);
    });
}

function bankPlan(options: UpOptions): Plan {
  const { money, rate, dir, restarts, then: afterwards = "stop" } = options;
  const processes = processNames(options.processes);
  const log = options.log === "off" ? undefined : options.log;
  return {
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
  const given = (name: string): boolean => command.getOptionValueSource(name) === "cli";
  for (const name of BANK_OPTIONS)
    if (given(name))
      throw new TidemarkError(
        "BAD_OPTION",
        `--${name} is for the bank: what ${file} runs is said there`,
      );
  const source = { file: resolve(file) };
  const definition = await loadSystem({ file });
  const processes = processNames(definition.processes);
  const { everyMs = 10_000, keep = options.keep } = definition.snapshots ?? {};
  const rule = wholeRule(definition.restart);
  const { restarts = rule.restarts, then: afterwards = rule.afterwards } = options;
  const said = options.log ?? definition.log ?? "everysec";
  const beside = definition.directory ?? options.dir;
  return {
    source,
    processes,
    about: { processes },
    directory:
      given("dir") || definition.directory === undefined
        ? options.dir
        : relative("", resolve(dirname(file), beside)) || ".",
    log: said === "off" || said === false ? undefined : said,
    restart: { ...rule, restarts, afterwards },
    intervalMs: given("interval") ? options.interval : everyMs,
    keep: given("keep") ? options.keep : keep,
    seed: options.seed,
    report: options.json ? jsonAppReport(process.stdout) : lineAppReport(process.stdout, file),
  };
}

/** Gives the exit status. */
async function up(plan: Plan, options: UpOptions): Promise<number> {
  const { processes, source, log, restart, seed, report, about } = plan;
  const { port, sync, timeout: timeoutMs } = options;
  if (port + processes.length - 1 > PORT_MAX)
    throw new TidemarkError("BAD_OPTION", `there are no ${processes.length} ports from ${port} on`);
  const random = new Random(seed === undefined ? `${Math.random()}` : `${seed} initiators`);
  const startedAtMs = Date.now();
  const dir = plan.directory;
  const directory = resolve(dir);
  const stop = stopSignal();
  const totals: Totals = { snapshots: 0, consistent: 0, naiveWrong: 0, transfers: 0 };
  const bank = plan.expected !== undefined;
  let expected = plan.expected ?? 0;
  /** Everything was as it should be. */
  let whole = true;
  let system: HostedSystem | undefined;
  const running = (): HostedSystem => {
    if (system) return system;
    throw new TidemarkError("BUSY", "the system is starting: try again in a moment");
  };

  const compressLevel = options.compress ?? 0;
  const key = readKey(options);
  const store = openStore(dir, options, { sync, compressLevel });
  // Before anything is started: is it the key of what there is?
  for await (const _ of store.list()) break;

  const control = await ControlServer.listen<SystemMethods>(dir, {
    async status() {
      const { snapshots } = totals;
      const known = { pid: process.pid, directory, startedAtMs, ...(bank && { expected }) };
      return { ...known, snapshots, processes: (await system?.status()) ?? [] };
    },
    async snapshot(parameter) {
      const request = checkSnapshotRequest(parameter);
      const initiator = random.pick(processes) as string;
      const taking = await running().snapshot(initiator, { ...request, timeoutMs });
      const { snapshot, problem } = taking;
      if (snapshot === undefined || problem !== undefined)
        throw new TidemarkError("SNAPSHOT_ABANDONED", String(problem));
      if (request.label === undefined) retention.add(snapshot);
      if (!bank) return proofResult(await prove(store, snapshot));
      return snapshotResult(await audit(store, snapshot), expected);
    },
    async restore(parameter) {
      const request = checkRestoreRequest(parameter);
      const done = await running().restore(request.snapshot, request.timeoutMs);
      report.note(restoredText(done));
      if (done.proof !== undefined) retention.add(done.proof);
      return done;
    },
    async request(parameter) {
      const { process: of, request, timeoutMs } = checkApplicationRequest(parameter);
      const reply = await running().request(of, request, timeoutMs);
      // What has no form in JSON has one for people.
      return { reply: JSON.parse(jsonLine(reply ?? null)) };
    },
  });
  const retention = new Retention(store, plan.keep, (text) => report.note(text));
  const listener = {
    note: (text: string) => report.note(text),
    round(round: Round) {
      // That a snapshot is abandoned is part of a restart.
      const excused = restart.restarts > 0 && !round.audit && !round.proof;
      if (!tally(totals, round, expected) && !excused) whole = false;
      const proof = round.audit ?? round.proof;
      if (proof) retention.add(proof.manifest.id);
      report.round(round, totals);
    },
  };
  try {
    const beginning = { logs: log !== undefined, anew: options.new === true };
    const { epoch, restored } = await beginIn(dir, store, about, beginning, listener.note);
    if (bank && restored) expected = await moneyIn(store, restored.snapshot, expected);
    const spoil = spoilOf(options, seed ?? Math.floor(Math.random() * 2 ** 32));
    const kept = { directory, sync, compressLevel, ...(key && { key: hexOf(key) }) };
    const what = { processes, source, epoch, seed, port, ...kept, spoil, log, restart };
    system = await HostedSystem.start(what, store, listener, stop);
    void system.lost.then(({ message }) => {
      whole = false;
      report.note(message);
    });
    const statuses = await system.status();
    report.started(statuses, expected, dir);
    // A bank that neither logs nor was restored always begins.
    if (!bank || log || restored || options.new)
      report.note(`${beginningText(system.began)}, in epoch ${statuses[0]?.epoch ?? epoch}`);
    const count = options.count ?? Number.POSITIVE_INFINITY;
    const rounds = { intervalMs: plan.intervalMs, count, timeoutMs, random, bank };
    await makeRounds(system, store, rounds, listener, stop);
    for (const { sent = 0 } of await system.status()) totals.transfers += sent;
  } catch (error) {
    // Whoever stops a system that is starting wants nothing else.
    if (!stop.aborted) throw error;
  } finally {
    await system?.stop();
    await retention.close();
    await control.close();
    await store.close();
  }
  if (totals.consistent < totals.snapshots)
    report.note(`tidemark history --failed --dir ${shellWord(dir)} says what came of attempts`);
  report.end(totals, whole);
  return whole ? 0 : 1;
}

/** All the money in the snapshot that the system goes on from. */
async function moneyIn(store: SnapshotStore, snapshot: string, byDefault: number): Promise<number> {
  try {
    return (await audit(store, snapshot as Parameters<typeof audit>[1])).sum;
  } catch (error) {
    if (isTidemarkError(error, "NOT_FOUND")) return byDefault;
    throw new TidemarkError(
      "DAMAGED",
      `the system cannot go on from ${snapshot}: ${textOf(error)}`,
    );
  }
}

/** "the system goes on from its logs", or who goes on from what. */
function beginningText(began: ReadonlyMap<ProcessId, string>): string {
  const groups = new Map<string, ProcessId[]>();
  for (const [id, from] of began) groups.set(from, [...(groups.get(from) ?? []), id]);
  const does = (from: string, one: boolean, whose: string): string => {
    if (from === "nothing") return one ? "begins" : "begin";
    return `${one ? "goes" : "go"} on from ${from === "log" ? whose : from}`;
  };
  const [only] = groups.keys();
  if (groups.size === 1) return `the system ${does(String(only), true, "its logs")}`;
  return [...groups]
    .map(
      ([from, ids]) =>
        `${ids.join(", ")} ${does(from, ids.length === 1, ids.length === 1 ? "its log" : "their logs")}`,
    )
    .join("; ");
}

function restoredText({ snapshot, epoch, absent, reason }: Restoration): string {
  const but = reason === undefined ? "" : `, but ${reason}`;
  const who = absent.length === 0 ? "" : ` without ${absent.join(", ")}`;
  return `the system was restored to ${snapshot}${who}, in epoch ${epoch}${but}`;
}

function spoilOf({ delay, loss, repeat }: UpOptions, seed: number): SpoiledOptions | undefined {
  if (!delay && loss === 0 && repeat === 0) return undefined;
  return { seed: `${seed} network`, loss, repeat, ...(delay && { delayMs: delay }) };
}

function makeReport({ json }: UpOptions): Report {
  if (json) return jsonReport(process.stdout);
  return isLive(process.stdout) ? tableReport(process.stdout) : lineReport(process.stdout);
}

const hexOf = (key: Uint8Array): string => Buffer.from(key).toString("hex");
