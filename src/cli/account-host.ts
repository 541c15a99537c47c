/**
 * The operating-system process behind a `HostedAccount`: runs one account of a bank and does what its parent asks over
 * the channel between them. It ends when the parent does, however that ends.
 */

import { rmSync } from "node:fs";
import {
  Account,
  type AccountReply,
  type AccountRequest,
  type AccountState,
  type Transfer,
} from "../bank/account.ts";
import { type ErrorCode, isTidemarkError, textOf } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { Explanation, ProcessCounters } from "../process/process.ts";
import { directoryStore } from "../runtime/directory-store.ts";
import { type RecordedHere, startProcess } from "../runtime/running-process.ts";
import { type SpoiledOptions, spoiledTransport } from "../runtime/spoiled-transport.ts";
import { tcpTransport } from "../runtime/tcp-transport.ts";
import { ManualAccount, type RunningAccount, type Taken } from "./manual-account.ts";

/** What a host is started with. */
export interface HostOptions {
  readonly id: ProcessId;
  readonly system: string;
  /** All processes that the system begins with. */
  readonly processes: readonly ProcessId[];
  readonly money: number;
  readonly rate: number | "max";
  /** @default 1 */
  readonly epoch?: number;
  readonly receive: "auto" | "manual";
  readonly seed: number | string;
  /** The port to listen on, 0 for any. */
  readonly port: number;
  /** Of the snapshot store. */
  readonly directory: string;
  /** False: snapshots need not survive a power cut. */
  readonly sync: boolean;
  /** How much snapshots are compressed. @default 0 */
  readonly compressLevel?: number;
  /** Encrypts snapshots: 64 hexadecimal digits. */
  readonly key?: string;
  /** The directory is removed when the parent has died. */
  readonly temporary?: boolean;
  readonly spoil?: SpoiledOptions;
}

/** How taking a snapshot ended: `problem` is absent if it is complete, `snapshot` if it was refused at once. */
export interface Taking {
  readonly snapshot?: SnapshotId;
  readonly problem?: string;
}

/** What a host can be asked: parameters and result of each method. */
export interface HostMethods {
  start: [HostOptions, { readonly address: string }];
  /** Where the other processes of the beginning are. */
  connect: [Readonly<Record<ProcessId, string>>, null];
  join: [{ readonly process: ProcessId; readonly address: string }, null];
  request: [AccountRequest, AccountReply];
  /** Takes a snapshot, and waits until it is settled. */
  snapshot: [{ readonly label?: string; readonly timeoutMs: number }, Taking];
  /** Begins a snapshot, and waits until this process has recorded. */
  begin: [{ readonly timeoutMs: number }, SnapshotId];
  /** Waits until a snapshot that was begun here is settled: null if it is complete, or why it was abandoned. */
  settled: [SnapshotId, string | null];
  /** Takes the head of a channel, and waits for it for so long. */
  receive: [{ readonly from: ProcessId; readonly timeoutMs: number }, Taken];
  recorded: [SnapshotId, RecordedHere<AccountState, Transfer> | null];
  status: [null, { readonly counters: ProcessCounters; readonly explanation: Explanation }];
  stop: [null, null];
}

/** From the parent. */
export interface HostCall {
  readonly call: number;
  readonly method: keyof HostMethods;
  readonly parameter: unknown;
}

/** To the parent. */
export type HostAnswer =
  | { readonly call: number; readonly result: unknown }
  | { readonly call: number; readonly error: Told }
  /** Something that the parent should show. */
  | { readonly problem: Told };

/** An error of Tidemark, as it travels. */
interface Told {
  readonly code: ErrorCode;
  readonly message: string;
}

/** By hand a channel may be filled long before anything is taken off it. */
const MANUAL_WINDOW_BYTES = 64 * 1024 * 1024;

/** After a SIGTERM. */
const ALONE_AFTER_MS = 5000;

let account: RunningAccount | undefined;
let manual: ManualAccount | undefined;
/** What goes when the parent has died. */
let temporary: string | undefined;

const tell = (answer: HostAnswer): void => {
  if (process.connected) process.send?.(answer);
};

function running(): RunningAccount {
  if (!account) throw new Error("the account has not been started");
  return account;
}

function byHand(): ManualAccount {
  manual ??= new ManualAccount(running());
  return manual;
}

const methods: {
  readonly [K in keyof HostMethods]: (parameter: HostMethods[K][0]) => Promise<HostMethods[K][1]>;
} = {
  async start(options) {
    if (options.temporary) temporary = options.directory;
    const tcp = tcpTransport({ port: options.port });
    const { directory, sync, compressLevel = 0, key } = options;
    const store = directoryStore(directory, {
      ...{ sync, compressLevel },
      ...(key === undefined ? {} : { key: new Uint8Array(Buffer.from(key, "hex")) }),
    });
    account = await startProcess({
      id: options.id,
      system: options.system,
      epoch: options.epoch ?? 1,
      processes: options.processes,
      application: new Account({ money: options.money, rate: options.rate }),
      transport: options.spoil ? spoiledTransport(tcp, options.spoil) : tcp,
      store,
      seed: options.seed,
      receive: options.receive,
      ...(options.receive === "manual" ? { windowBytes: MANUAL_WINDOW_BYTES } : {}),
      onProblem: ({ code, message }) => tell({ problem: { code, message } }),
    });
    void account.stopped.then(async (error) => {
      if (error) fail(error.code, error.message);
      // What cannot be cleared up now is cleared up by whoever opens the store next.
      await store.close().catch(() => {});
      leave();
    });
    return { address: account.address };
  },
  async connect(addresses) {
    for (const [id, address] of Object.entries(addresses)) running().connect(id, address);
    return null;
  },
  async join({ process: id, address }) {
    running().join(id, address);
    return null;
  },
  request: (request) => running().request(request),
  async snapshot(options) {
    let taking: Taking = {};
    try {
      await running().snapshot({ ...options, onRecorded: (snapshot) => (taking = { snapshot }) });
      return taking;
    } catch (thrown) {
      return { ...taking, problem: textOf(thrown) };
    }
  },
  begin: ({ timeoutMs }) => byHand().begin(timeoutMs),
  settled: (snapshot) => byHand().settled(snapshot),
  receive: ({ from, timeoutMs }) => byHand().receive(from, timeoutMs),
  async recorded(snapshot) {
    return running().recorded(snapshot) ?? null;
  },
  async status() {
    return { counters: running().counters, explanation: running().explain() };
  },
  async stop() {
    await running().stop();
    return null;
  },
};

async function answer({ call, method, parameter }: HostCall): Promise<void> {
  try {
    tell({ call, result: await methods[method](parameter as never) });
  } catch (thrown) {
    const code = isTidemarkError(thrown) ? thrown.code : "APPLICATION_THREW";
    tell({ call, error: { code, message: textOf(thrown) } });
  }
}

/** Says what is wrong, so that this process will not have ended well. */
function fail(code: ErrorCode, message: string): void {
  tell({ problem: { code, message } });
  process.exitCode = 1;
}

// These reach the whole group, from a terminal or a service manager: the parent decides how it ends.
process.on("SIGINT", () => {});
process.on("SIGHUP", () => {});
// This one may also be meant for this process alone; then the parent has not ended it a little later.
process.once("SIGTERM", () => {
  setTimeout(() => process.kill(process.pid, "SIGTERM"), ALONE_AFTER_MS);
});
process.on("uncaughtException", (error) => {
  fail("APPLICATION_THREW", (process.env["TIDEMARK_DEBUG"] && error.stack) || error.message);
  leave();
});
process.on("disconnect", end);
process.on("message", (message) => void answer(message as HostCall));
// The parent may have died while this file was being loaded.
if (!process.connected) end();

/** What was told leaves first. */
function leave(): void {
  if (process.connected) process.disconnect();
  else end();
}

function end(): void {
  try {
    if (temporary) rmSync(temporary, { recursive: true, force: true, maxRetries: 3 });
  } finally {
    process.exit();
  }
}
