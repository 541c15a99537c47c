/** Runs one process of a system whose other processes are on other machines, until it is stopped. */

import { resolve } from "node:path";
import type { ProcessId } from "../core/id.ts";
import type { LogPolicy } from "../runtime/input-log.ts";
import type { RestartRule } from "../runtime/system-definition.ts";
import { HostedProcess } from "./hosted-process.ts";
import type { Address } from "./options.ts";
import { stopSignal } from "./stop-signal.ts";
import { type KeyOptions, openStore, readKey } from "./store.ts";
import { SupervisedProcess } from "./supervised-process.ts";
import { logOf } from "./system-directory.ts";
import type { SystemSource } from "./system-file.ts";
import { checkTlsFiles } from "./tls-files.ts";

/** Which process, of which system. */
export interface JoinPlan extends KeyOptions {
  readonly id: ProcessId;
  readonly source: SystemSource;
  /** All of the system, this one too. */
  readonly processes: readonly ProcessId[];
  readonly listen: Address;
  readonly tls?: string;
  /** Where the others listen. */
  readonly peers: Readonly<Record<ProcessId, string>>;
  readonly directory: string;
  readonly sync: boolean;
  readonly compress?: number;
  readonly log: LogPolicy | undefined;
  readonly restart: Required<RestartRule>;
  readonly report: JoinReport;
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
  const { id, source, processes, listen, peers, sync, compress: compressLevel = 0 } = plan;
  const { log, restart, report, directory } = plan;
  const stop = stopSignal();
  const key = readKey(plan);
  checkTlsFiles(plan, [id]);
  // Before anything is started: is it the key of what there is?
  const store = openStore(directory, plan, { sync, compressLevel });
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
        ...(key && { key: Buffer.from(key).toString("hex") }),
        ...(log && { log: { directory: logOf(resolve(directory), id), policy: log } }),
      },
      ({ message }) => report.note(message),
    );
    await hosted.call("connect", peers);
    report.started(hosted.pid, hosted.address, hosted.beganWith);
    return hosted;
  };
  const { promise: lost, resolve: lose } = Promise.withResolvers<string>();
  const supervised = new SupervisedProcess(await start(), start, restart, {
    back: () => {},
    note: (text) => report.note(text),
    givenUp: (_, { message }) => lose(message),
  });
  const kill = (): void => supervised.kill();
  process.once("exit", kill);
  const stopped = new Promise<undefined>((settle) => {
    if (stop.aborted) settle(undefined);
    stop.addEventListener("abort", () => settle(undefined));
  });
  const why = await Promise.race([lost, stopped]);
  if (why !== undefined) report.note(why);
  if (supervised.up) await supervised.hosted.call("drain", { timeoutMs: DRAIN_MS }).catch(() => {});
  await supervised.stop(STOP_MS);
  process.off("exit", kill);
  report.end();
  return why === undefined ? 0 : 1;
}
