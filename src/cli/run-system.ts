/** Runs a system of real processes until it is stopped, and records it again and again. */

import { resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Command, Option } from "commander";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { Random } from "../core/random.ts";
import { shellWord } from "../core/shell-word.ts";
import { type ControlHandlers, ControlServer } from "../runtime/control-socket.ts";
import type { LogPolicy } from "../runtime/input-log.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import type { SpoiledOptions } from "../runtime/spoiled-transport.ts";
import type { RestartRule } from "../runtime/system-definition.ts";
import { healthOf, readinessOf } from "../serve/health.ts";
import type { SystemMeasures } from "../serve/metrics.ts";
import type { OperationsServer, OperationsSource } from "../serve/operations.ts";
import type { SystemMethods } from "../serve/system-methods.ts";
import type { SystemCaller } from "../serve/web/backend.ts";
import type { WebServer } from "../serve/web-server.ts";
import { audit, prove } from "./audit.ts";
import {
  addLogOptions,
  type EventLog,
  type LogOptions,
  noting,
  openEventLog,
} from "./event-log.ts";
import { exitStatusOf } from "./exit-status.ts";
import { type Address, directoryOption, PORT_MAX, parseTimeout, wholeNumber } from "./options.ts";
import {
  addPageOptions,
  metricsOption,
  type PageOptions,
  serveMetrics,
  servePage,
} from "./page.ts";
import { PageSnapshotStore } from "./page-snapshots.ts";
import { type StoreService, storeBackend } from "./page-store.ts";
import { watchSource } from "./page-watch.ts";
import { Retention } from "./retention.ts";
import { makeRounds, type Round, type Totals, tally } from "./rounds.ts";
import { stopSignal } from "./stop-signal.ts";
import { compressOption, type KeyOptions, keyOption, openStore, readKey } from "./store.ts";
import { HostedSystem } from "./system.ts";
import {
  checkApplicationRequest,
  checkDisturbance,
  checkRestoreRequest,
  checkSnapshotRequest,
  checkTracePageRequest,
  checkTraceRequest,
  proofResult,
  restoredText,
  snapshotResult,
} from "./system-control.ts";
import { type About, beginIn } from "./system-directory.ts";
import type { SystemSource } from "./system-file.ts";
import { checkTlsFiles, type TlsFileOptions, tlsOption } from "./tls-files.ts";
import type { Report } from "./up-report.ts";
import { jsonLine } from "./values.ts";
import { VERSION } from "./version.ts";

const RESTARTS_MAX = 1_000_000;
/** What is asked of a system that is starting waits so long for it: by then another one of its processes may serve already. */
const STARTING_MS = 5_000;
/** The options of every command that runs a system; what is logged, and what is so if nothing is said, depends on the system. */
export function addRunOptions(
  command: Command,
  about: {
    readonly keep: number;
    readonly logged: string;
    readonly log: readonly [value: string | undefined, text?: string];
    readonly restarts: string;
    readonly timeout: readonly [ms: number, text: string];
  },
): Command {
  return addLogOptions(addPageOptions(command))
    .addOption(metricsOption())
    .addOption(
      new Option("--timeout <time>", "abandon a snapshot that takes longer")
        .default(...about.timeout)
        .argParser(parseTimeout),
    )
    .addOption(directoryOption())
    .addOption(
      new Option(
        "--keep <number>",
        "how many snapshots to keep, but for those with a label; 0: all",
      )
        .default(about.keep)
        .argParser(wholeNumber(0, Number.MAX_SAFE_INTEGER)),
    )
    .option(
      "--no-sync",
      "do not wait for the disk: faster, and the last ones may not survive a power cut",
    )
    .addOption(compressOption())
    .addOption(keyOption())
    .addOption(tlsOption())
    .addOption(
      new Option("--log <policy>", `log ${about.logged}, so that whoever dies comes back with it`)
        .choices(["always", "everysec", "none", "off"])
        .default(...about.log),
    )
    .addOption(
      new Option("--restarts <number>", "how often in a minute a process is started again")
        .default(undefined, about.restarts)
        .argParser(wholeNumber(0, RESTARTS_MAX)),
    )
    .addOption(
      new Option("--then <what>", "follows when a process has ended too often")
        .choices(["stop", "restore"])
        .default(undefined, "stop"),
    )
    .option("--chaos", "let the page kill and halt processes, and cut channels: for demos")
    .option("--trace", "record what happens, all the time: tidemark trace record reads it")
    .option("--spans", "make spans of OpenTelemetry, by the provider that Node is told to import")
    .option("--new", "begin with nothing, whatever there was; logs are moved aside");
}

/** How it is run, as its command was told. */
export interface RunOptions extends KeyOptions, PageOptions, LogOptions, TlsFileOptions {
  readonly count?: number;
  readonly timeout: number;
  /** Of transports: this one and the ones after it; 0: any. */
  readonly port: number;
  readonly sync: boolean;
  readonly compress?: number;
  readonly delay?: readonly [number, number];
  readonly loss: number;
  readonly repeat: number;
  readonly new?: true;
  readonly chaos?: true;
  readonly trace?: true;
  readonly spans?: true;
  readonly metrics?: Address;
}

/** What is to run, whatever it is. */
export interface Plan {
  readonly kind: "bank" | "application" | "store";
  readonly source: SystemSource;
  readonly processes: readonly ProcessId[];
  /** All the money there is, in a bank. */
  readonly expected?: number;
  /** Of a store. */
  readonly serves?: StoreService;
  readonly about: About;
  readonly directory: string;
  readonly log?: LogPolicy | undefined;
  readonly restart: Required<RestartRule>;
  readonly intervalMs: number;
  readonly keep: number;
  readonly seed?: number | undefined;
  readonly report: Report;
}

/** Runs it until it is to stop. Gives the exit status. */
export async function runSystem(plan: Plan, options: RunOptions): Promise<number> {
  const key = readKey(options);
  const { password = "" } = plan.serves ?? {};
  const log = await openEventLog(options, [password, key ? hexOf(key) : ""]);
  try {
    return await run(plan, options, log);
  } catch (error) {
    if (!log.fail(error)) throw error;
    return exitStatusOf(error);
  }
}

async function run(plan: Plan, options: RunOptions, eventLog: EventLog): Promise<number> {
  const { processes, source, log, restart, seed, about, report } = plan;
  const { tell, notes } = noting(eventLog.through((text) => report.note(text)));
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
  let page: WebServer | undefined;
  let metrics: OperationsServer | undefined;
  let watched: SystemMeasures["watch"];
  let pageStore: PageSnapshotStore | undefined;
  let isStarted = (_: HostedSystem): void => {};
  const started = new Promise<HostedSystem>((settle) => {
    isStarted = settle;
  });
  const running = async (): Promise<HostedSystem> => {
    const found =
      system ?? (await Promise.race([started, pause(STARTING_MS, undefined, { ref: false })]));
    if (found) return found;
    throw new TidemarkError("BUSY", "the system is starting: try again in a moment");
  };

  const compressLevel = options.compress ?? 0;
  const key = readKey(options);
  checkTlsFiles(options, processes);
  const store = openStore(dir, options, { sync, compressLevel });
  // Before anything is started: is it the key of what there is?
  for await (const _ of store.list()) break;

  const handlers: ControlHandlers<SystemMethods> = {
    async status() {
      const { snapshots } = totals;
      const known = {
        kind: plan.kind,
        pid: process.pid,
        directory,
        startedAtMs,
        ...(bank && { expected }),
      };
      const { chaos } = system ?? {};
      const statuses = ((await system?.status()) ?? []).map((one) => {
        const serves = plan.serves?.addresses.get(one.process);
        const { clientTls } = plan.serves ?? {};
        return {
          ...one,
          ...(serves && { serves: `${serves.host}:${serves.port}` }),
          ...(clientTls !== undefined && { clientTls }),
        };
      });
      return {
        ...{ ...known, snapshots, ...(chaos && { chaos }), processes: statuses },
        ...(system?.isRestoring && { restoring: true }),
        ...(stop.aborted && { stopping: true }),
      };
    },
    async versions() {
      const own = { version: VERSION, node: process.versions.node };
      return { ...own, processes: (await system?.versions()) ?? [] };
    },
    async disturb(parameter) {
      await (await running()).disturb(checkDisturbance(parameter));
      return null;
    },
    async snapshot(parameter) {
      const request = checkSnapshotRequest(parameter);
      const now = await running();
      const initiator = random.pick(now.initiators) as string;
      const { passing, ...named } = request;
      const taking = await now.snapshot(initiator, { ...named, timeoutMs });
      const { snapshot, problem } = taking;
      if (snapshot === undefined || problem !== undefined)
        throw new TidemarkError("SNAPSHOT_ABANDONED", String(problem));
      if (request.label === undefined && !passing) retention.add(snapshot);
      if (!bank) return proofResult(await prove(store, snapshot));
      return snapshotResult(await audit(store, snapshot), expected);
    },
    async restore(parameter) {
      const request = checkRestoreRequest(parameter);
      const done = await (await running()).restore(request.snapshot, request.timeoutMs);
      const { snapshot, epoch, absent } = done;
      tell(restoredText(done), { event: "restored", snapshot, epoch, absent });
      if (done.proof !== undefined) retention.add(done.proof);
      return done;
    },
    async request(parameter) {
      const { process: of, request, timeoutMs } = checkApplicationRequest(parameter);
      const reply = await (await running()).request(of, request, timeoutMs);
      // What has no form in JSON has one for people.
      return { reply: JSON.parse(jsonLine(reply ?? null)) };
    },
    async startTrace(parameter) {
      const { options: wanted, forMs } = checkTraceRequest(parameter);
      await (await running()).startTrace(wanted, forMs);
      return null;
    },
    async stopTrace() {
      return { recordings: await (await running()).stopTrace() };
    },
    async readTrace(parameter) {
      const { process: of, from } = checkTracePageRequest(parameter);
      return { events: await (await running()).readTrace(of, from) };
    },
    notes: async () => ({ notes }),
  };
  const operations: OperationsSource = {
    async measures() {
      const measured = (await system?.measures()) ?? [];
      const known = { version: VERSION, kind: plan.kind, processes: measured };
      return { ...known, ...(watched && { watch: watched }) };
    },
    health: async () => healthOf(await handlers.status(null)),
    readiness: async () => readinessOf(await handlers.status(null), { nowMs: Date.now() }),
  };
  const control = await ControlServer.listen<SystemMethods>(dir, handlers);
  const retention = new Retention(store, plan.keep, (text) =>
    tell(text, { event: "retention_failed" }),
  );
  const listener = {
    note: tell,
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
    const tls = options.tls === undefined ? undefined : resolve(options.tls);
    const what = { processes, source, epoch, seed, port, ...kept, spoil, log, restart, tls };
    const { trace, spans, chaos } = options;
    // Before anything is started: is there room for it where it is to be? What it asks meanwhile waits, or is told why not.
    const caller: SystemCaller = (method, parameter) =>
      handlers[method](parameter) as Promise<never>;
    pageStore = new PageSnapshotStore(
      dir,
      store,
      (other) => openStore(other, options, { sync, compressLevel }),
      caller,
    );
    page = await servePage(options, {
      about: async () => ({
        ...{ kind: plan.kind, title: dir, version: VERSION, chaos: chaos === true, processes },
      }),
      system: caller,
      snapshots: pageStore,
      operations,
      watch: {
        ...watchSource({ system: caller, store, source }),
        onLooked: (found) => {
          watched = found;
        },
      },
      ...(plan.serves && { store: storeBackend(plan.serves) }),
    });
    metrics = await serveMetrics(options.metrics, operations, listener.note);
    system = await HostedSystem.start({ ...what, trace, spans, chaos }, store, listener, stop);
    isStarted(system);
    void system.lost.then(({ message }) => {
      whole = false;
      tell(message, { event: "process_given_up" });
    });
    const statuses = await system.status();
    report.started(statuses, expected, dir);
    if (page && eventLog.isJson)
      tell("the page is served", { event: "page_served", url: new URL(page.url).origin });
    else if (page) report.page(page.url);
    // A bank that neither logs nor was restored always begins.
    if (!bank || log || restored || options.new)
      tell(`${beginningText(system.began)}, in epoch ${statuses[0]?.epoch ?? epoch}`, {
        ...{ event: "system_began", epoch: statuses[0]?.epoch ?? epoch },
        began: Object.fromEntries(system.began),
      });
    const count = options.count ?? Number.POSITIVE_INFINITY;
    const rounds = { intervalMs: plan.intervalMs, count, timeoutMs, random, bank };
    await makeRounds(system, store, rounds, listener, stop);
    for (const { sent = 0 } of await system.status()) totals.transfers += sent;
  } catch (error) {
    // Whoever stops a system that is starting wants nothing else.
    if (!stop.aborted) throw error;
  } finally {
    await page?.close();
    await pageStore?.close();
    await system?.stop();
    // Who probes sees that it ends.
    await metrics?.close();
    await retention.close();
    await control.close();
    await store.close();
  }
  if (totals.consistent < totals.snapshots)
    tell(`tidemark history --failed --dir ${shellWord(dir)} says what came of attempts`, {
      event: "attempts_failed",
    });
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

function spoilOf({ delay, loss, repeat }: RunOptions, seed: number): SpoiledOptions | undefined {
  if (!delay && loss === 0 && repeat === 0) return undefined;
  return { seed: `${seed} network`, loss, repeat, ...(delay && { delayMs: delay }) };
}

const hexOf = (key: Uint8Array): string => Buffer.from(key).toString("hex");
