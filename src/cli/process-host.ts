/**
 * The operating-system process behind a `HostedProcess`: runs one process of a system, of the bank or of what a file of the user's
 * defines, and does what its parent asks over the channel between them. It ends when the parent does, however that ends.
 */

import { rmSync } from "node:fs";
import { type ErrorCode, isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { Explanation, ProcessCounters } from "../process/process.ts";
import { CutTransport } from "../runtime/cut-transport.ts";
import { directoryStore } from "../runtime/directory-store.ts";
import type { LogPolicy } from "../runtime/input-log.ts";
import type { OrderLog } from "../runtime/order-log.ts";
import type { Restoration } from "../runtime/restoration.ts";
import {
  type RecordedHere,
  type RunningProcess,
  startProcess,
} from "../runtime/running-process.ts";
import { type SpoiledOptions, spoiledTransport } from "../runtime/spoiled-transport.ts";
import type { Closing } from "../runtime/system-definition.ts";
import { tcpTransport } from "../runtime/tcp-transport.ts";
import type { Transport } from "../runtime/transport.ts";
import { type HostMeasures, UsageWatch } from "../serve/host-measures.ts";
import type { RedisServer } from "../serve/redis-server.ts";
import type { HostVersions, RecordingHead } from "../serve/system-methods.ts";
import type { RecordedEvent, RecorderOptions } from "../trace/recorder.ts";
import { ManualAccount, type RunningAccount, type Taken } from "./manual-account.ts";
import type { NatsPlace } from "./nats-options.ts";
import { openNatsStore } from "./store.ts";
import { type AnySystem, applicationOf, loadSystem, type SystemSource } from "./system-file.ts";
import { tlsFiles } from "./tls-files.ts";
import { TraceWindow } from "./trace-window.ts";
import { VERSION } from "./version.ts";

/** What a host is started with. */
export interface HostOptions {
  readonly id: ProcessId;
  /** What it is one process of. */
  readonly source: SystemSource;
  /** @default what the source says */
  readonly system?: string;
  /** All processes that the system begins with. */
  readonly processes: readonly ProcessId[];
  /** @default 1 */
  readonly epoch?: number;
  readonly receive?: "auto" | "manual";
  /** @default a random one */
  readonly seed?: number | string;
  /** Where its inputs are logged. @default they are not */
  readonly log?: { readonly directory: string; readonly policy: LogPolicy };
  /** The port to listen on, 0 for any. @default none: NATS carries what processes say */
  readonly port?: number;
  /** Where to listen. @default 127.0.0.1 */
  readonly host?: string;
  /** The folder with the certificates. @default neither shown nor asked for */
  readonly tls?: string;
  /** Of the snapshot store. */
  readonly directory: string;
  /** Where snapshots are instead, and what carries frames if there is no port. */
  readonly nats?: NatsPlace;
  /** False: snapshots need not survive a power cut. */
  readonly sync: boolean;
  /** How much snapshots are compressed. @default 0 */
  readonly compressLevel?: number;
  /** Encrypts snapshots: 64 hexadecimal digits. */
  readonly key?: string;
  /** The directory is removed when the parent has died. */
  readonly temporary?: boolean;
  readonly spoil?: SpoiledOptions;
  /** The peers to which nothing gets through; present if that may change. */
  readonly cuts?: readonly ProcessId[];
  /** Records what it does, all the time. @default what the source says */
  readonly trace?: true | RecorderOptions;
  /** Spans of OpenTelemetry. @default what the source says */
  readonly spans?: true;
}

/** How taking a snapshot ended: `problem` is absent if it is complete, `snapshot` if it was refused at once. */
export interface Taking {
  readonly snapshot?: SnapshotId;
  readonly problem?: string;
}

/** How it began. */
export interface Begun {
  readonly address: string;
  readonly beganWith: RunningProcess["beganWith"];
}

/** What a host can be asked: parameters and result of each method. */
export interface HostMethods<M = unknown, State = unknown, Request = unknown, Reply = unknown> {
  start: [HostOptions, Begun];
  /** Where the other processes of the beginning are. */
  connect: [Readonly<Record<ProcessId, string>>, null];
  join: [{ readonly process: ProcessId; readonly address: string }, null];
  request: [Request, Reply];
  /** Takes a snapshot, and waits until it is settled. */
  snapshot: [{ readonly label?: string; readonly timeoutMs: number }, Taking];
  /** Begins a snapshot, and waits until this process has recorded. */
  begin: [{ readonly timeoutMs: number }, SnapshotId];
  /** Waits until a snapshot that was begun here is settled: null if it is complete, or why it was abandoned. */
  settled: [SnapshotId, string | null];
  /** Takes the head of a channel, and waits for it for so long. */
  receive: [{ readonly from: ProcessId; readonly timeoutMs: number }, Taken];
  recorded: [SnapshotId, RecordedHere<State, M> | null];
  restore: [{ readonly snapshot: SnapshotId; readonly timeoutMs: number }, Restoration];
  follow: [null, number];
  /** Lets nothing through to that peer any more, or everything again; only of a host that was started with `cuts`. */
  cut: [{ readonly to: ProcessId; readonly isCut: boolean }, null];
  status: [
    null,
    {
      readonly epoch: number;
      readonly counters: ProcessCounters;
      readonly explanation: Explanation;
    },
  ];
  versions: [null, Omit<HostVersions, "process">];
  /** For those who watch it over time. */
  measure: [null, HostMeasures];
  /** Records for so long, or until `stopTrace`. */
  startTrace: [{ readonly options: RecorderOptions; readonly forMs: number }, null];
  /** What was recorded, but for the events; null if nothing was. */
  stopTrace: [null, RecordingHead | null];
  /** Events of it, from that one on. */
  readTrace: [{ readonly from: number }, readonly RecordedEvent[]];
  /** Takes no more requests, and waits until those that it has are answered: for how many it waited in vain. */
  drain: [{ readonly timeoutMs: number }, number];
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
  /** Something that the parent should show; `fatal` if it ends for it. */
  | { readonly problem: Told; readonly fatal?: true };

/** An error of Tidemark, as it travels. */
interface Told {
  readonly code: ErrorCode;
  readonly message: string;
}

/** By hand a channel may be filled long before anything is taken off it. */
const MANUAL_WINDOW_BYTES = 64 * 1024 * 1024;

/** After a SIGTERM. */
const ALONE_AFTER_MS = 5000;

let hosted: RunningProcess<unknown, unknown, unknown, unknown> | undefined;
/** Closes what the user's file has opened. */
let closing: Closing | undefined;
let manual: ManualAccount | undefined;
let cuttable: CutTransport | undefined;
let traced: TraceWindow | undefined;
/** Of a store. */
let clientServer: RedisServer | undefined;
const usage = new UsageWatch();
/** What goes when the parent has died. */
let temporary: string | undefined;

const tell = (answer: HostAnswer): void => {
  if (process.connected) process.send?.(answer);
};

function running(): RunningProcess<unknown, unknown, unknown, unknown> {
  if (!hosted) throw new Error("the process has not been started");
  return hosted;
}

function byHand(): ManualAccount {
  manual ??= new ManualAccount(running() as unknown as RunningAccount);
  return manual;
}

const methods: {
  readonly [K in keyof HostMethods]: (parameter: HostMethods[K][0]) => Promise<HostMethods[K][1]>;
} = {
  async start(options) {
    if (options.temporary) temporary = options.directory;
    const { id, source, processes, log } = options;
    const system = await loadSystem(heard(source));
    const { serve, requestCodec, captureBytes, ...same } = system;
    const { directory, sync, compressLevel = 0, key, host, port, tls, nats } = options;
    const carrier =
      nats && port === undefined
        ? await overNats(nats, options.system ?? same.system, processes)
        : tcpTransport({
            ...(port !== undefined && { port }),
            ...(host !== undefined && { host }),
            ...(tls !== undefined && { tls: tlsFiles(tls, id) }),
          });
    const network = options.spoil ? spoiledTransport(carrier, options.spoil) : carrier;
    cuttable = options.cuts && new CutTransport(network, options.cuts);
    const store = nats
      ? await openNatsStore(nats)
      : directoryStore(directory, {
          ...{ sync, compressLevel },
          ...(key === undefined ? {} : { key: new Uint8Array(Buffer.from(key, "hex")) }),
        });
    hosted = await startProcess<unknown, unknown, unknown, unknown>({
      id,
      processes,
      application: applicationOf(source, system, id, processes),
      transport: cuttable ?? network,
      store,
      ...(nats && { orderLog: await orderLogOn(nats) }),
      ...configured(same),
      ...(options.system === undefined ? {} : { system: options.system }),
      epoch: options.epoch ?? 1,
      ...(options.seed === undefined ? {} : { seed: options.seed }),
      ...(log && {
        log: {
          ...log,
          ...(captureBytes && { captureBytes }),
          ...(requestCodec && { requestCodec }),
        },
      }),
      ...(options.trace && { trace: options.trace }),
      ...(options.spans && { spans: true }),
      receive: options.receive ?? "auto",
      ...(options.receive === "manual" ? { windowBytes: MANUAL_WINDOW_BYTES } : {}),
      onProblem: ({ code, message }) => tell({ problem: { code, message } }),
    });
    const started = hosted;
    traced = new TraceWindow(started, options.trace !== undefined || system.trace !== undefined);
    void started.stopped.then(async (error) => {
      if (error) fail(error.code, error.message);
      // What cannot be cleared up now is cleared up by whoever opens the store next.
      await store.close().catch(() => {});
      leave();
    });
    try {
      closing = (await serve?.call(system, started, { processes, store })) || undefined;
    } catch (cause) {
      throw new TidemarkError("APPLICATION_THREW", `serve threw: ${textOf(cause)}`, { cause });
    }
    return { address: started.address, beganWith: started.beganWith };
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
  restore: ({ snapshot, timeoutMs }) => running().restore(snapshot, { timeoutMs }),
  follow: () => running().follow(),
  async cut({ to, isCut }) {
    if (isCut) cuttable?.cut(to);
    else cuttable?.heal(to);
    return null;
  },
  async status() {
    const { epoch, counters } = running();
    return { epoch, counters, explanation: running().explain() };
  },
  async versions() {
    const clockSetMs = Date.now() - (performance.timeOrigin + performance.now());
    return { version: VERSION, node: process.versions.node, clockSetMs };
  },
  async measure() {
    const store = clientServer?.measures;
    return { running: running().measures, usage: usage.usage, ...(store && { store }) };
  },
  async startTrace({ options, forMs }) {
    traced?.open(options, forMs);
    return null;
  },
  async stopTrace() {
    return traced?.close() ?? null;
  },
  async readTrace({ from }) {
    return traced?.read(from) ?? [];
  },
  async drain(options) {
    const close = closing;
    closing = undefined;
    // Whoever cannot close in time is closed with this operating-system process.
    const waited = new Promise<void>((settle) => setTimeout(settle, options.timeoutMs).unref());
    await Promise.race([Promise.resolve(close?.()), waited]);
    return await running().drain(options);
  },
  async stop() {
    await running().stop();
    return null;
  },
};

async function orderLogOn(place: NatsPlace): Promise<OrderLog> {
  const { natsOrderLog } = await import("../nats/nats-order-log.ts");
  return natsOrderLog(place);
}

/** Where the others listen follows from their names. */
async function overNats(
  { servers, credentials, tls, prefix }: NatsPlace,
  system: string | undefined,
  processes: readonly ProcessId[],
): Promise<Transport> {
  const { natsAddress, natsTransport } = await import("../nats/nats-transport.ts");
  return natsTransport({
    ...{ servers, prefix },
    ...(credentials !== undefined && { credentials }),
    ...(tls && { tls }),
    peers: Object.fromEntries(
      processes.map((id) => [id, natsAddress(system ?? "tidemark", id, prefix)]),
    ),
  });
}

/** The same; of a store, the server is known here once it serves. */
function heard(source: SystemSource): SystemSource {
  if (!("kv" in source)) return source;
  const onServing = (_: ProcessId, server: RedisServer): void => {
    clientServer = server;
  };
  return { kv: { ...source.kv, onServing } };
}

/** What a definition says of each process, and says itself. */
function configured(
  system: Partial<AnySystem>,
): Pick<
  AnySystem,
  "channels" | "order" | "algorithm" | "messageCodec" | "stateCodec" | "trace" | "spans"
> {
  const { channels, order, algorithm, messageCodec, stateCodec, ...rest } = system;
  const { windowBytes, limitBytes, lostAfterMs, trace, spans, system: name } = rest;
  const all = { channels, order, algorithm, messageCodec, stateCodec, windowBytes, limitBytes };
  const said = Object.entries({ ...all, lostAfterMs, trace, spans, system: name });
  return Object.fromEntries(said.filter(([, value]) => value !== undefined));
}

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
  tell({ problem: { code, message }, fatal: true });
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
