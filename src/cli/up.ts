/** `tidemark up`: a bank of real processes, and a snapshot of it again and again. */

import { resolve } from "node:path";
import { Command, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import { Random } from "../core/random.ts";
import { ControlServer } from "../runtime/control-socket.ts";
import { audit } from "./audit.ts";
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
import { BankSystem, type SystemOptions } from "./system.ts";
import { checkSnapshotRequest, type SystemMethods, snapshotResult } from "./system-control.ts";
import { isLive } from "./terminal.ts";
import { jsonReport, lineReport, type Report, tableReport } from "./up-report.ts";

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
  readonly json?: true;
}

const PROCESSES_MAX = 64;
const MONEY_MAX = 1e12;
const PORT_MAX = 65_535;

const HELP = `
Every interval each process is asked for its balance, one after another, and
a snapshot is taken. It is read back from the directory, proven and added up:
all balances and all money in flight must be what there was at the start. What
the asking adds up to is shown beside it.

Ctrl-C ends all processes, says what it came to, and is a normal end.

Exit status: 0 if every snapshot was consistent and added up; 1 if one was not
or was abandoned, a process was lost, or the system could not start; 2 for a
mistake in the options; 128 + its number when a second signal, a second or more
after the first, forced the end.

Examples:
  tidemark up                             # until Ctrl-C
  tidemark up --count 5 --json            # a line of JSON for each snapshot
  tidemark up --processes 8 --rate 2000 --interval 200ms
  tidemark up --delay 0..50ms --loss 0.2 --repeat 0.1    # on a bad network`;

export function upCommand(): Command {
  return new Command("up")
    .description(
      "run a bank of processes that send each other money, and record it again and again",
    )
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
        .default(1000, "1s")
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
    .addOption(jsonOption("print a line of JSON for each snapshot, and one for all at the end"))
    .addHelpText("after", HELP)
    .action(async (options: UpOptions) => {
      process.exitCode = await up(options);
    });
}

/** Gives the exit status. */
async function up(options: UpOptions): Promise<number> {
  const { processes, money, rate, port, dir, sync, timeout: timeoutMs } = options;
  if (port + processes - 1 > PORT_MAX)
    throw new TidemarkError("BAD_OPTION", `there are no ${processes} ports from ${port} on`);
  const seed = options.seed ?? Math.floor(Math.random() * 2 ** 32);
  const random = new Random(`${seed} initiators`);
  const expected = processes * money;
  const startedAtMs = Date.now();
  const directory = resolve(dir);
  const stop = stopSignal();
  const totals: Totals = { snapshots: 0, consistent: 0, naiveWrong: 0, transfers: 0 };
  /** Everything was as it should be. */
  let whole = true;
  let system: BankSystem | undefined;

  const compressLevel = options.compress ?? 0;
  const key = readKey(options);
  const store = openStore(dir, options, { sync, compressLevel });
  // Before anything is started: is it the key of what there is?
  for await (const _ of store.list()) break;

  const control = await ControlServer.listen<SystemMethods>(dir, {
    async status() {
      const { snapshots } = totals;
      const known = { pid: process.pid, directory, startedAtMs, expected, snapshots };
      return { ...known, processes: (await system?.status()) ?? [] };
    },
    async snapshot(parameter) {
      const request = checkSnapshotRequest(parameter);
      if (!system) throw new TidemarkError("BUSY", "the system is starting: try again in a moment");
      const initiator = random.pick(system.processes) as string;
      const taking = await system.snapshot(initiator, { ...request, timeoutMs });
      const { snapshot, problem } = taking;
      if (snapshot === undefined || problem !== undefined)
        throw new TidemarkError("SNAPSHOT_ABANDONED", String(problem));
      if (request.label === undefined) retention.add(snapshot);
      return snapshotResult(await audit(store, snapshot), expected);
    },
  });
  const report = makeReport(options);
  const retention = new Retention(store, options.keep, (text) => report.note(text));
  const listener = {
    note: (text: string) => report.note(text),
    round(round: Round) {
      if (!tally(totals, round, expected)) whole = false;
      if (round.audit) retention.add(round.audit.manifest.id);
      report.round(round, totals);
    },
  };
  try {
    system = await BankSystem.start(
      {
        ...{ processes, money, rate, seed, port, directory, sync, compressLevel },
        ...(key && { key: Buffer.from(key).toString("hex") }),
        spoil: spoilOf(options),
      },
      ({ message }) => report.note(message),
      stop,
    );
    void system.lost.then(({ message }) => {
      whole = false;
      report.note(message);
    });
    report.started(await system.status(), expected, dir);
    const count = options.count ?? Number.POSITIVE_INFINITY;
    const rounds = { intervalMs: options.interval, count, timeoutMs, random };
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
  report.end(totals, whole);
  return whole ? 0 : 1;
}

function spoilOf({ delay, loss, repeat }: UpOptions): SystemOptions["spoil"] {
  if (!delay && loss === 0 && repeat === 0) return undefined;
  return { loss, repeat, ...(delay && { delayMs: delay }) };
}

function makeReport({ json }: UpOptions): Report {
  if (json) return jsonReport(process.stdout);
  return isLive(process.stdout) ? tableReport(process.stdout) : lineReport(process.stdout);
}
