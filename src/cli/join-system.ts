/** Runs one process of a system whose other processes are on other machines, until it is stopped. */

import { resolve } from "node:path";
import type { ProcessId } from "../core/id.ts";
import type { LogPolicy } from "../runtime/input-log.ts";
import type { RestartRule } from "../runtime/system-definition.ts";
import { healthOf, readinessOf } from "../serve/health.ts";
import type { OperationsSource } from "../serve/operations.ts";
import type { SystemStatus } from "../serve/system-methods.ts";
import { type LogOptions, openEventLog, type Tell } from "./event-log.ts";
import { exitStatusOf } from "./exit-status.ts";
import { HostedProcess } from "./hosted-process.ts";
import { startAsMember } from "./join-members.ts";
import { type NatsPlace, natsSecrets } from "./nats-options.ts";
import type { Address } from "./options.ts";
import { serveMetrics } from "./page.ts";
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
  /** Of the store. */
  readonly password?: string;
  readonly spans?: true;
}

export interface JoinReport {
  /** It runs, for the first time or again. */
  started(pid: number, address: string, beganWith: string): void;
  note(text: string): void;
  end(): void;
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

async function join(plan: JoinPlan, tell: Tell): Promise<number> {
  const { id, source, processes, listen, peers, sync, compress: compressLevel = 0 } = plan;
  const { log, restart, report, directory, nats } = plan;
  const stop = stopSignal();
  const startedAtMs = Date.now();
  const key = readKey(plan);
  checkTlsFiles(plan, [id]);
  // Before anything is started: is it the key of what there is, and do the servers answer?
  const store = nats
    ? await openNatsStore(nats)
    : openStore(directory, plan, { sync, compressLevel });
  try {
    for await (const _ of store.list()) break;
  } finally {
    await store.close();
  }
  const start = async (): Promise<HostedProcess> => {
    const hosted: HostedProcess = await HostedProcess.start(
      {
        ...{ id, source, processes, ...listen, sync, compressLevel },
        directory: resolve(directory),
        ...(plan.tls !== undefined && { tls: resolve(plan.tls) }),
        ...(plan.spans && { spans: plan.spans }),
        ...(nats && { nats }),
        ...(key && { key: Buffer.from(key).toString("hex") }),
        ...(log && { log: { directory: logOf(resolve(directory), id), policy: log } }),
      },
      ({ code, message }) => tell(message, { event: "process_problem", process: id, code }),
    );
    await hosted.call("connect", peers);
    report.started(hosted.pid, hosted.address, hosted.beganWith);
    return hosted;
  };
  const { promise: lost, resolve: lose } = Promise.withResolvers<string>();
  let supervised: SupervisedProcess | undefined;
  const status = async (): Promise<SystemStatus> => ({
    ...{ kind: "store", pid: process.pid, directory, startedAtMs, snapshots: 0 },
    ...(stop.aborted && { stopping: true }),
    // Which epoch it is in is known once it says so.
    processes: supervised ? [await statusOf(supervised, 1)] : [],
  });
  const operations: OperationsSource = {
    async measures() {
      const measured = supervised ? [await measuresOf(supervised)] : [];
      return { version: VERSION, kind: "store", processes: measured };
    },
    health: async () => healthOf(await status()),
    readiness: async () =>
      readinessOf(await status(), {
        nowMs: Date.now(),
        alone: { processes: processes.length },
      }),
  };
  const metrics = await serveMetrics(plan.metrics, operations, tell);
  const member = await startAsMember(plan, start, tell).catch(async (error) => {
    await metrics?.close();
    throw error;
  });
  supervised = new SupervisedProcess(member.first, start, restart, {
    back: () => {},
    note: tell,
    givenUp: (_, { message }) => lose(message),
  });
  const joined = supervised;
  member.present(joined);
  const kill = (): void => joined.kill();
  process.once("exit", kill);
  const stopped = new Promise<undefined>((settle) => {
    if (stop.aborted) settle(undefined);
    stop.addEventListener("abort", () => settle(undefined));
  });
  const why = await Promise.race([lost, stopped]);
  if (why !== undefined) tell(why, { event: "process_given_up", process: id });
  if (joined.up) await joined.hosted.call("drain", { timeoutMs: DRAIN_MS }).catch(() => {});
  await joined.stop(STOP_MS);
  await member.leave(why === undefined ? "stopped" : "given up");
  await metrics?.close();
  process.off("exit", kill);
  report.end();
  return why === undefined ? 0 : 1;
}
