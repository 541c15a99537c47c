/** Runs one process of a system whose other processes are on other machines, until it is stopped. */

import { resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { isTidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { type ControlHandlers, ControlServer } from "../runtime/control-socket.ts";
import type { LogPolicy } from "../runtime/input-log.ts";
import type { RestartRule } from "../runtime/system-definition.ts";
import { healthOf, readinessOf } from "../serve/health.ts";
import type { OperationsServer, OperationsSource } from "../serve/operations.ts";
import type { SystemMethods, SystemStatus } from "../serve/system-methods.ts";
import { type LogOptions, noting, openEventLog, type Tell } from "./event-log.ts";
import { exitStatusOf } from "./exit-status.ts";
import { HostedProcess } from "./hosted-process.ts";
import { type Joined, joinHandlers, takeSnapshot } from "./join-control.ts";
import { startAsMember } from "./join-members.ts";
import type { JoinReport, JoinService } from "./join-report.ts";
import { type NatsPlace, natsSecrets } from "./nats-options.ts";
import type { Address } from "./options.ts";
import { serveMetrics } from "./page.ts";
import { Retention } from "./retention.ts";
import { stopSignal } from "./stop-signal.ts";
import { type KeyOptions, openNatsStore, openStore, readKey } from "./store.ts";
import { SupervisedProcess } from "./supervised-process.ts";
import { measuresOf, statusOf } from "./system.ts";
import { logOf } from "./system-directory.ts";
import type { SystemSource } from "./system-file.ts";
import { checkTlsFiles } from "./tls-files.ts";
import { VERSION } from "./version.ts";

/** Which process, of which system. */
export interface JoinPlan extends KeyOptions {
  readonly kind: "application" | "store";
  readonly id: ProcessId;
  readonly source: SystemSource;
  /** All of the system, this one too. */
  readonly processes: readonly ProcessId[];
  /** Where the others reach it. @default over NATS */
  readonly listen?: Address;
  readonly tls?: string;
  /** Where the others listen; none over NATS, where that follows from their names. */
  readonly peers: Readonly<Record<ProcessId, string>>;
  readonly directory: string;
  readonly sync: boolean;
  readonly compress?: number;
  readonly log: LogPolicy | undefined;
  readonly restart: Required<RestartRule>;
  /** Where metrics are served, and health and readiness. @default nowhere */
  readonly metrics?: Address;
  readonly report: JoinReport;
  readonly events: LogOptions;
  /** Where snapshots are instead of in the directory, and what carries frames if it listens nowhere. */
  readonly nats?: NatsPlace;
  /** After so long a snapshot is abandoned that somebody asks for here. */
  readonly timeoutMs: number;
  /** Snapshots that this process begins by itself. @default none */
  readonly snapshots?: RepeatedSnapshots;
  /** Of the store. */
  readonly password?: string;
  readonly serves?: JoinService;
  readonly spans?: true;
  readonly trace?: true;
}

interface RepeatedSnapshots {
  readonly everyMs: number;
  /** So many stay, but for those with a label; 0: all. */
  readonly keep: number;
}

const DRAIN_MS = 2_000;
const STOP_MS = 20_000;

/** Gives the exit status. */
export async function joinSystem(plan: JoinPlan): Promise<number> {
  const key = readKey(plan);
  const secrets = [
    ...[plan.password ?? "", key ? Buffer.from(key).toString("hex") : ""],
    ...(plan.nats ? natsSecrets(plan.nats) : []),
  ];
  const log = await openEventLog(plan.events, secrets);
  try {
    return await join(
      plan,
      log.through((text) => plan.report.note(text)),
    );
  } catch (error) {
    if (!log.fail(error)) throw error;
    return exitStatusOf(error);
  }
}

async function join(plan: JoinPlan, through: Tell): Promise<number> {
  const { id, source, processes, listen, peers, sync, compress: compressLevel = 0 } = plan;
  const { kind, log, restart, report, nats, serves, timeoutMs, snapshots } = plan;
  const directory = resolve(plan.directory);
  const { tell, notes } = noting(through);
  const stop = stopSignal();
  const startedAtMs = Date.now();
  const key = readKey(plan);
  checkTlsFiles(plan, [id]);
  // Before anything is started: is it the key of what there is, and do the servers answer?
  const store = nats
    ? await openNatsStore(nats)
    : openStore(plan.directory, plan, { sync, compressLevel });
  let supervised: SupervisedProcess | undefined;
  let taken = 0;
  /** Every snapshot was as it should be. */
  let whole = true;
  const status = async (): Promise<SystemStatus> => ({
    ...{ kind, pid: process.pid, directory, startedAtMs, snapshots: taken },
    ...(stop.aborted && { stopping: true }),
    // Which epoch it is in is known once it says so.
    processes: (supervised ? [await statusOf(supervised, 1)] : []).map((one) => ({
      ...one,
      ...(serves && { serves: serves.address }),
      ...(serves?.clientTls !== undefined && { clientTls: serves.clientTls }),
    })),
    elsewhere: processes.filter((other) => other !== id),
  });
  const operations: OperationsSource = {
    async measures() {
      const measured = supervised ? [await measuresOf(supervised)] : [];
      return { version: VERSION, kind, processes: measured };
    },
    health: async () => healthOf(await status()),
    readiness: async () => readinessOf(await status(), { nowMs: Date.now() }),
  };
  const joined: Joined = {
    ...{ id, processes, store, timeoutMs, status, notes, tell },
    supervised: () => supervised,
  };
  const start = async (): Promise<HostedProcess> => {
    const hosted: HostedProcess = await HostedProcess.start(
      {
        ...{ id, source, processes, ...listen, directory, sync, compressLevel },
        ...(plan.tls !== undefined && { tls: resolve(plan.tls) }),
        ...(plan.spans && { spans: plan.spans }),
        ...(plan.trace && { trace: plan.trace }),
        ...(nats && { nats }),
        ...(key && { key: Buffer.from(key).toString("hex") }),
        ...(log && { log: { directory: logOf(directory, id), policy: log } }),
      },
      ({ code, message }) => tell(message, { event: "process_problem", process: id, code }),
    );
    await hosted.call("connect", peers);
    report.started(hosted.pid, hosted.address, hosted.beganWith);
    return hosted;
  };
  /** Until it is to stop: this process begins the snapshots of all. */
  const record = async (
    { everyMs, keep }: RepeatedSnapshots,
    signal: AbortSignal,
  ): Promise<void> => {
    const retention = new Retention(store, keep, (text) =>
      tell(text, { event: "retention_failed" }),
    );
    for (;;) {
      await pause(everyMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) break;
      try {
        const result = await takeSnapshot(joined);
        taken += 1;
        whole &&= result.consistent;
        retention.add(result.snapshot);
        report.snapshot(result);
      } catch (error) {
        if (!signal.aborted) report.snapshot({ snapshot: null, problem: textOf(error) });
      }
    }
    await retention.close();
  };
  let control: ControlServer | undefined;
  let metrics: OperationsServer | undefined;
  try {
    for await (const _ of store.list()) break;
    control = await controlIn(plan.directory, joinHandlers(joined), tell);
    metrics = await serveMetrics(plan.metrics, operations, tell);
    const { promise: lost, resolve: lose } = Promise.withResolvers<string>();
    const member = await startAsMember(plan, start, tell);
    const running = new SupervisedProcess(member.first, start, restart, {
      back: () => {},
      note: tell,
      givenUp: (_, { message }) => lose(message),
    });
    supervised = running;
    member.present(running);
    const kill = (): void => running.kill();
    process.once("exit", kill);
    const stopped = new Promise<undefined>((settle) => {
      if (stop.aborted) settle(undefined);
      stop.addEventListener("abort", () => settle(undefined));
    });
    const over = new AbortController();
    const recorded = snapshots && record(snapshots, AbortSignal.any([stop, over.signal]));
    const why = await Promise.race([lost, stopped]);
    if (why !== undefined) tell(why, { event: "process_given_up", process: id });
    if (running.up) await running.hosted.call("drain", { timeoutMs: DRAIN_MS }).catch(() => {});
    await running.stop(STOP_MS);
    await member.leave(why === undefined ? "stopped" : "given up");
    over.abort();
    await recorded;
    process.off("exit", kill);
    report.end();
    return why === undefined && whole ? 0 : 1;
  } finally {
    await metrics?.close();
    await control?.close();
    await store.close();
  }
}

/** Undefined if another one answers in the directory: processes that share one, on one machine, cannot all do so. */
async function controlIn(
  directory: string,
  handlers: ControlHandlers<SystemMethods>,
  tell: Tell,
): Promise<ControlServer | undefined> {
  try {
    return await ControlServer.listen<SystemMethods>(directory, handlers);
  } catch (error) {
    if (!isTidemarkError(error, "ALREADY_RUNNING")) throw error;
    tell(`tidemark status and the like do not reach this process: ${textOf(error)}`, {
      event: "control_elsewhere",
    });
    return undefined;
  }
}
