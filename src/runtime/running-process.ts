/**
 * Drives a `Process` with sockets, files and clocks: turns what happens outside into its inputs and performs its
 * effects, in order, before the next input. This is the only place that reads a clock for it.
 */

import { setTimeout as pause } from "node:timers/promises";
import { isSetHash } from "../core/channel-hash.ts";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { checkProcessId, type ProcessId, type SnapshotId } from "../core/id.ts";
import { copyOf, readRecords } from "../core/record.ts";
import { type Channel, Topology } from "../core/topology.ts";
import { type Application, FrozenState, type Renamed, UNASKED } from "../process/application.ts";
import { type Codec, encodeApart } from "../process/codec.ts";
import { Journal } from "../process/journal.ts";
import {
  type CapturedState,
  type Explanation,
  Process,
  type ProcessCounters,
  type ProcessEffect,
  type ProcessInput,
  type ProcessMeasures,
  type Received,
  type RestoredPiece,
} from "../process/process.ts";
import type { ProcessImage, ProcessSettings } from "../process/process-image.ts";
import {
  MANIFEST_FORMAT,
  type Manifest,
  type PartReference,
  type PieceRecord,
} from "../snapshot/manifest.ts";
import { checkManifestInSteps } from "../snapshot/manifest-check.ts";
import { Recorder, type RecorderOptions, type Recording } from "../trace/recorder.ts";
import { AttemptNotes } from "./attempt-notes.ts";
import { GlobalSnapshot } from "./global-snapshot.ts";
import { msgpackCodec } from "./msgpack-codec.ts";
import type { OrderLog, OrderLogReader } from "./order-log.ts";
import { type LogConfiguration, ProcessLog } from "./process-log.ts";
import { inTurns, rest } from "./rest.ts";
import type { Restoration } from "./restoration.ts";
import type { SnapshotMeasures } from "./snapshot-counts.ts";
import type { EpochRecord, SnapshotStore, StoredSnapshot } from "./snapshot-store.ts";
import type { Spans } from "./spans.ts";
import type { Transport } from "./transport.ts";

/** What `startProcess` takes. */
export interface ProcessConfiguration<M, State, Request, Reply> {
  readonly id: ProcessId;
  readonly application: Application<M, State, Request, Reply>;
  /** Every process of the system, this one included. */
  readonly processes: readonly ProcessId[];
  /** Opened and closed by the running process. */
  readonly transport: Transport;
  /** Shared by all processes of the system; not closed by the running process. */
  readonly store: SnapshotStore;
  /** Which channels there are. @default "mesh": one each way between any two */
  readonly channels?: "mesh" | readonly Channel[];
  /**
   * In what order messages are received from a channel, here: as they were sent, or `none`: as they come, so that none
   * waits for one that the network lost or held up. @default "fifo"
   */
  readonly order?: "fifo" | "none";
  /**
   * How snapshots are taken; the same at every process of the system. Chandy and Lamport's algorithm needs channels that are
   * FIFO; Lai and Yang's takes any, for a few bytes more in every frame.
   * @default "chandy-lamport", or "lai-yang" if `order` is "none"
   */
  readonly algorithm?: "chandy-lamport" | "lai-yang";
  /** Only processes of the same system talk to each other. @default "tidemark" */
  readonly system?: string;
  /** The system begins in this epoch, if its store knows of no later one. @default 1 */
  readonly epoch?: number;
  /**
   * Where this process logs its inputs, so that it comes back with all that it knew. Without a log, whoever dies comes back with
   * nothing, or, in a system that was restored, as it was in that snapshot.
   */
  readonly log?: LogConfiguration<Request>;
  /** The log that gives its groups with `total: "log"` their order. @default none, and there is no such group */
  readonly orderLog?: OrderLog;
  /** How messages become bytes; the same at every process. @default MessagePack */
  readonly messageCodec?: Codec<M>;
  /** How states become bytes. @default MessagePack */
  readonly stateCodec?: Codec<State>;
  /** For `turn.random`. @default a random one */
  readonly seed?: number | string;
  /** `manual`: messages wait in their channel until `receive` takes them. @default "auto" */
  readonly receive?: "auto" | "manual";
  /** Bytes on the way on one channel, not taken by the receiver. @default 1 MiB */
  readonly windowBytes?: number;
  /** Bytes that may wait on one channel, beyond which `turn.send` throws. @default 64 MiB */
  readonly limitBytes?: number;
  /** A peer that is down for this long is lost: snapshots no longer wait for it. @default 5000 */
  readonly lostAfterMs?: number;
  /** Requests that may wait while a channel is congested; more are refused as `BUSY`. @default 1024 */
  readonly maxWaitingRequests?: number;
  /** What is recorded for a trace, from the beginning on; `true`: by default options. @default nothing */
  readonly trace?: true | RecorderOptions;
  /**
   * Spans of OpenTelemetry for snapshots that it begins, restores and the replay of its log, by the provider that the program has
   * registered. Not even loaded if not wanted. @default false
   */
  readonly spans?: boolean;
  /** Hears of everything that went wrong without stopping the process. @default a process warning */
  readonly onProblem?: (problem: TidemarkError) => void;
}

/** A process that runs. */
export interface RunningProcess<M = unknown, State = unknown, Request = never, Reply = never>
  extends AsyncDisposable {
  readonly id: ProcessId;
  /** Where the transport can be reached. */
  readonly address: string;
  readonly counters: ProcessCounters;
  /** What it counts and holds, for those who watch it over time. Cheap: what it takes to say so does not depend on its state. */
  readonly measures: RunningMeasures;
  /** Raised by every restore. */
  readonly epoch: number;
  /** What it had when it was started: what its log says, what it had in the snapshot from which the epoch began, or nothing. */
  readonly beganWith: "log" | SnapshotId | "nothing";
  /** Settles when the process has stopped: with nothing, or with why it had to. */
  readonly stopped: Promise<TidemarkError | undefined>;
  /**
   * Asks the application.
   * @throws TidemarkError `STOPPED`, `ABORTED`, `BUSY`, `APPLICATION_THREW`; with `definite` false when it
   * may or may not have taken effect
   */
  request(request: Request, options?: { readonly signal?: AbortSignal }): Promise<Reply>;
  /**
   * Has a listener, in place of the one before, hear what the application says without being asked (`turn.reply(UNASKED, …)`): within
   * the turn, so it must not take long; and not again what was said before a crash.
   */
  onUnasked(listener: (reply: Reply) => void): void;
  /**
   * Takes a global snapshot, with this process as the initiator; the system runs on meanwhile.
   *
   * @param options.label kept in the manifest, at most 256 characters
   * @param options.timeoutMs when to give up. @default 30000
   * @param options.onRecorded called when this process has recorded, with the snapshot's id
   * @param options.onCut called when the cut is made, before everything is stored
   * @throws TidemarkError `UNREACHABLE`, `SNAPSHOT_ABANDONED` with the reason, `STOPPED`, `ABORTED`
   */
  snapshot(options?: SnapshotOptions): Promise<GlobalSnapshot<State, M>>;
  /**
   * What this process has recorded so far of a snapshot that is under way; `undefined` before it records and once
   * the snapshot is settled. A frozen state is not shown.
   */
  recorded(snapshot: SnapshotId): RecordedHere<State, M> | undefined;
  /** What is late or held, and which process or channel holds it. */
  explain(): Explanation;
  /**
   * Records what the process does from now on, in memory, for a trace; what was recorded before is forgotten. See docs/use/traces.md.
   * @throws TidemarkError `BAD_OPTION`
   */
  startTrace(options?: RecorderOptions): void;
  /** Records nothing any more, and costs nothing. `trace` still gives what was recorded. */
  stopTrace(): void;
  /**
   * What has been recorded: `traceLines` of `tidemark/trace` makes a trace of what all processes give. `undefined` if nothing ever was.
   *
   * @example
   * ```ts
   * import { type Application, MemoryNetwork, memoryStore, startProcess } from "tidemark";
   * import { parseTrace, traceLines } from "tidemark/trace";
   *
   * const greet = (): Application<string, null> => ({
   *   start: (turn) => void turn.send(turn.peers, "hello"),
   *   receive: () => {},
   *   capture: () => null,
   *   restore: () => {},
   * });
   * const network = new MemoryNetwork();
   * const processes = ["a", "b"];
   * const common = { processes, store: memoryStore(), trace: { text: true } };
   * const running = await Promise.all(
   *   processes.map((id) =>
   *     startProcess({ ...common, id, application: greet(), transport: network.transport() }),
   *   ),
   * );
   * while (running.some(({ counters }) => counters.received < 1)) await new Promise((done) => setTimeout(done, 5));
   * const trace = parseTrace([...traceLines(running.flatMap((one) => one.trace() ?? []))].join("\n"));
   * if (trace.arrows.length !== 2) throw new Error("each hears of the other");
   * await Promise.all(running.map((one) => one.stop()));
   * ```
   */
  trace(): Recording | undefined;
  /**
   * Manual receive mode: takes the head of a channel, and waits for it if there is none.
   * @throws TidemarkError `NO_CHANNEL`, `ABORTED`, `STOPPED`, and `BAD_OPTION` in automatic mode
   */
  receive(from: ProcessId, options?: { readonly signal?: AbortSignal }): Promise<Received<M>>;
  /**
   * Restores the whole system to a snapshot, in a new epoch: every process goes on from what it had recorded, and gets again what was in
   * flight. What has happened since is undone; what is on its way is never received. Requests that wait anywhere
   * fail with `RESTORED`. A process that cannot be reached follows when it comes back.
   *
   * @param options.timeoutMs how long to wait until all others are there, and a snapshot proves that they go on. @default 30000
   * @throws TidemarkError `NOT_FOUND`, `DAMAGED`, `UNKNOWN_PROCESS`, `BAD_MESSAGE`, `BAD_OPTION` for a snapshot that cannot be restored;
   *   `EPOCH_TAKEN` when somebody else restores; `STORE_FAILED`, `STOPPED`
   */
  restore(
    snapshot: SnapshotId,
    options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  ): Promise<Restoration>;
  /**
   * Goes to the newest epoch that the store knows of, as whoever meets a process of a later one does by itself. For after a restore that
   * was told to the store alone, with `beginEpoch`, while this process ran.
   * @returns the epoch in which it is then
   */
  follow(): Promise<number>;
  /** Says where a process of the system is, for transports that were not told when they were made. */
  connect(process: ProcessId, address: string): void;
  /** The system has one more process, with channels both ways to all. Snapshots under way are abandoned. */
  join(process: ProcessId, address: string): void;
  /**
   * Takes no more requests, and waits until those that it has taken are answered; the process runs on, for others may wait for it.
   * Before `stop`, so that nobody who asked is left without an answer.
   *
   * @param options.timeoutMs how long at most. @default 2000
   * @returns how many are not answered
   */
  drain(options?: { readonly timeoutMs?: number }): Promise<number>;
  /** Ends the process: what was sent leaves, what waits is rejected. */
  stop(): Promise<void>;
}

/** What a running process counts and holds; what is counted begins at 0 when the program starts. */
export interface RunningMeasures extends ProcessMeasures {
  readonly epoch: number;
  /** How often it has gone to a later epoch. */
  readonly restores: number;
  readonly snapshots: SnapshotMeasures;
  /** Requests that wait for an answer; and those among them that are held back, for a channel or the log is congested. */
  readonly requests: { readonly waiting: number; readonly held: number };
  /** Absent if its inputs are not logged. */
  readonly log?: {
    /** Bytes ever appended, with what frames the records. */
    readonly appendedBytes: number;
    /** Of these: not settled, and not known to be on the disk. */
    readonly unsettledBytes: number;
    readonly unsyncedBytes: number;
    readonly flushes: number;
    readonly bytesSinceCapture: number;
    /** It cannot be written at present. */
    readonly stalled: boolean;
    /** What was replayed when the process came back, and how long that took. */
    readonly replayedRecords: number;
    readonly replayMs: number;
  };
}

/** One process' share of a snapshot that is under way. */
export interface RecordedHere<State, M> {
  readonly state: State | undefined;
  /** What has been recorded of each incoming channel; `closed` once nothing will be added. */
  readonly channels: readonly {
    readonly from: ProcessId;
    readonly closed: boolean;
    readonly messages: readonly M[];
  }[];
}

/** How to take a snapshot. */
export interface SnapshotOptions {
  readonly label?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly onRecorded?: (snapshot: SnapshotId) => void;
  readonly onCut?: (snapshot: SnapshotId, cutMs: number) => void;
}

/**
 * Starts one process of a system. Its peers may start before or after it.
 *
 * @throws TidemarkError `BAD_OPTION`, `BAD_ID`, `UNKNOWN_PROCESS`, `UNSUITABLE_TRANSPORT`, `ADDRESS_IN_USE`, `STORE_FAILED`
 *
 * @example
 * ```ts
 * import { type Application, MemoryNetwork, memoryStore, startProcess, type Turn } from "tidemark";
 *
 * class Counter implements Application<never, number, number, number> {
 *   #sum = 0;
 *   request(id: number, add: number, turn: Turn<never, number>) {
 *     this.#sum += add;
 *     turn.reply(id, this.#sum);
 *   }
 *   capture() { return this.#sum; }
 *   restore(sum: number) { this.#sum = sum; }
 * }
 *
 * await using counter = await startProcess({
 *   id: "solo",
 *   processes: ["solo"],
 *   application: new Counter(),
 *   transport: new MemoryNetwork().transport(),
 *   store: memoryStore(),
 * });
 * await counter.request(7);
 * const snapshot = await counter.snapshot();
 * if ((await snapshot.state("solo")) !== 7) throw new Error("the state is 7");
 * ```
 */
export async function startProcess<M, State, Request = never, Reply = never>(
  configuration: ProcessConfiguration<M, State, Request, Reply>,
): Promise<RunningProcess<M, State, Request, Reply>> {
  const { id, store, spans } = configuration;
  const made = spans ? new (await import("./spans.ts")).Spans(id) : undefined;
  const driver = new Driver(configuration, await store.lastCount(id), made);
  await driver.open();
  return driver;
}

interface Waiter<T> {
  resolve(value: T): void;
  reject(error: TidemarkError): void;
}

/** Someone who waits for the next thing on a channel. */
interface Receiver<M> {
  readonly from: ProcessId;
  readonly waiter: Waiter<Received<M>>;
}

interface SnapshotWaiter<State, M> extends Waiter<GlobalSnapshot<State, M>> {
  readonly options: SnapshotOptions;
  /** Where it was asked for, if there are spans. */
  readonly parent: Spans["here"] | undefined;
}

/** When time runs: milliseconds since 1970 that never go back, whatever is done to the computer's clock. */
const nowMs = (): number => performance.timeOrigin + performance.now();

const SNAPSHOT_TIMEOUT_MS = 30_000;
const ABSENT_POLL_MS = 10;
const EPOCH_POLL_MS = 1_000;
/** A process that is stopped waits so long for its log. */
const DRAIN_MS = 2_000;
const DRAIN_POLL_MS = 2;
/** While the log cannot be written no timer is due. */
const STALLED_MS = 1_000;
const LABEL_CHARACTERS = 256;
/** The longest delay that Node's timers take. */
const TIMER_MS_MAX = 2 ** 31 - 1;

class Driver<M, State, Request, Reply> implements RunningProcess<M, State, Request, Reply> {
  readonly id: ProcessId;
  readonly stopped: Promise<TidemarkError | undefined>;
  readonly #configuration: ProcessConfiguration<M, State, Request, Reply>;
  readonly #transport: Transport;
  readonly #store: SnapshotStore;
  readonly #stateCodec: Codec<unknown>;
  readonly #messageCodec: Codec<M>;
  #lastCount: number;
  readonly #problems = (error: TidemarkError): void => this.#problem(error);
  #process: Process<M, State, Request, Reply>;
  #epoch: number;
  #log: ProcessLog<M, State, Request, Reply> | undefined;
  #journal: Journal<M, State, Request, Reply> | undefined;
  /** Nothing is shown yet of what the log says to be settled: how the process began is not kept. */
  #unkept: boolean = false;
  /** Of its groups, by their names. */
  readonly #orderLogs = new Map<string, OrderLogReader>();
  /** It goes to another epoch; and whether it must look again. */
  #advancing: Promise<void> | undefined;
  /** The latest epoch that somebody spoke of. */
  #heard: { readonly peer: ProcessId; readonly epoch: number } = { peer: "", epoch: 0 };
  readonly #timers = new Map<string, NodeJS.Timeout | NodeJS.Immediate>();
  readonly #requests = new Map<number, Waiter<Reply>>();
  /** Requests that are held back while a channel is congested. */
  readonly #held: { readonly id: number; readonly request: Request }[] = [];
  readonly #starting = new Map<number, SnapshotWaiter<State, M>>();
  readonly #snapshots = new Map<SnapshotId, SnapshotWaiter<State, M>>();
  readonly #receivers: Receiver<M>[] = [];
  /** Those for whom something has been taken, which they do not have yet. */
  readonly #receiving: Receiver<M>[] = [];
  readonly #notes: AttemptNotes;
  readonly #spans: Spans | undefined;
  /** Pieces that are being stored; aborted when they are no longer wanted. */
  readonly #storing = new Map<SnapshotId, AbortController>();
  #unasked: ((reply: Reply) => void) | undefined;
  #recorder: Recorder | undefined;
  #isRecording: boolean = false;
  #incarnation = 0;
  readonly #maxWaitingRequests: number;
  /** Peers that the transport reaches, with their incarnations. */
  readonly #up = new Map<ProcessId, number>();
  /** A turn is being taken; what comes meanwhile is done after it. */
  #stepping: boolean = false;
  readonly #later: ProcessInput<Request>[] = [];
  #lastRequest = 0;
  #wake: NodeJS.Timeout | undefined;
  #stepStartedMs = 0;
  #end: TidemarkError | undefined;
  /** Why its process takes no input any more, also if it was being stopped already. */
  #failure: TidemarkError | undefined;
  #stopping: Promise<void> | undefined;
  /** No more requests are taken. */
  #draining: boolean = false;
  #beganWith: "log" | SnapshotId | "nothing" = "nothing";
  #restores = 0;
  #replayed: { readonly records: number; readonly ms: number } = { records: 0, ms: 0 };
  #settleStopped!: (error: TidemarkError | undefined) => void;

  constructor(
    configuration: ProcessConfiguration<M, State, Request, Reply>,
    lastCount: number,
    spans: Spans | undefined,
  ) {
    const { id, processes, channels, transport, application } = configuration;
    if (!isApplication(application))
      throw new TidemarkError("BAD_OPTION", "an application needs the methods capture and restore");
    this.id = checkProcessId(id);
    const topology = new Topology(processes, channels);
    if (!topology.has(id))
      throw new TidemarkError(
        "UNKNOWN_PROCESS",
        `${id} is not among the processes of its system: ${topology.processes.join(", ")}`,
      );
    this.#configuration = configuration;
    this.#transport = transport;
    this.#store = configuration.store;
    this.#spans = spans;
    this.#notes = new AttemptNotes(id, this.#store, nowMs, this.#problems, spans);
    this.#messageCodec = configuration.messageCodec ?? msgpackCodec<M>();
    this.#stateCodec = (configuration.stateCodec ?? msgpackCodec()) as Codec<unknown>;
    this.#lastCount = lastCount;
    this.#epoch = configuration.epoch ?? 1;
    const { trace } = configuration;
    if (trace !== undefined) {
      this.#recorder = new Recorder(id, trace === true ? {} : trace);
      this.#isRecording = true;
    }
    this.#process = this.#newLife(topology);
    this.#maxWaitingRequests = positive(
      "maxWaitingRequests",
      configuration.maxWaitingRequests,
      1024,
    );
    this.stopped = new Promise((resolve) => {
      this.#settleStopped = resolve;
    });
  }

  get address(): string {
    return this.#transport.address ?? "";
  }

  get counters(): ProcessCounters {
    return this.#process.counters;
  }

  get measures(): RunningMeasures {
    const { log } = this.#log ?? {};
    return {
      ...this.#process.measures,
      epoch: this.#epoch,
      restores: this.#restores,
      snapshots: this.#notes.counts.measures,
      requests: { waiting: this.#requests.size, held: this.#held.length },
      ...(log && {
        log: {
          appendedBytes: log.position,
          unsettledBytes: Math.max(0, log.position - log.settled),
          unsyncedBytes: Math.max(0, log.position - log.synced),
          flushes: log.flushes,
          bytesSinceCapture: log.bytesSinceCapture,
          stalled: log.stalled !== undefined,
          replayedRecords: this.#replayed.records,
          replayMs: this.#replayed.ms,
        },
      }),
    };
  }

  get epoch(): number {
    return this.#epoch;
  }

  get beganWith(): "log" | SnapshotId | "nothing" {
    return this.#beganWith;
  }

  /** A process that begins, or goes on from its piece of a snapshot or from an image. */
  #newLife(
    topology: Topology,
    from?: RestoredPiece | ProcessImage,
    settings?: ProcessSettings,
  ): Process<M, State, Request, Reply> {
    const { transport, application, order, algorithm, ...configuration } = this.#configuration;
    const { guarantees, maxFrameBytes } = transport;
    const image = from && "peers" in from ? from : undefined;
    this.#incarnation = image?.incarnation ?? 1 + Math.floor(Math.random() * (2 ** 32 - 1));
    return new Process({
      self: this.id,
      topology,
      application,
      messageCodec: this.#messageCodec,
      stateCodec: this.#stateCodec,
      seed: seedOf(configuration.seed) ?? this.#incarnation,
      incarnation: this.#incarnation,
      epoch: this.#epoch,
      reliable: guarantees.fifo && guarantees.lossless,
      maxFrameBytes,
      receive: receiveMode(configuration.receive),
      windowBytes: positive("windowBytes", configuration.windowBytes, 1024 * 1024),
      limitBytes: positive("limitBytes", configuration.limitBytes, 64 * 1024 * 1024),
      lostAfterMs: positive("lostAfterMs", configuration.lostAfterMs, 5000),
      lastCount: this.#lastCount,
      order,
      algorithm,
      from,
      observer: this.#isRecording ? this.#recorder : undefined,
      ...settings,
    });
  }

  async open(): Promise<void> {
    const { system = "tidemark", log } = this.#configuration;
    const record = await this.#store.epoch();
    const restored = record && record.epoch >= this.#epoch ? record : undefined;
    if (restored) this.#epoch = restored.epoch;
    if (log) await this.#openLog(log);
    try {
      const image = this.#log?.image;
      if (image && !record && image.epoch < this.#epoch)
        throw new TidemarkError(
          "BAD_OPTION",
          `epoch is ${this.#epoch}, and the input log of ${this.id} is of epoch ${image.epoch}: only a restore begins a later one`,
        );
      if (image && image.epoch >= this.#epoch) {
        this.#beganWith = "log";
        await this.#recover(image);
        this.#openOrderLogs();
        await this.#openTransport(system);
        return;
      }
      if (restored && (await this.#isIn(restored))) {
        this.#beganWith = restored.snapshot;
        await this.#during("tidemark.restore.state", spanOf(restored), () =>
          this.#goOnFrom(restored),
        );
      } else if (restored) {
        // In the epoch that there is: nothing was known of it when this process was made.
        this.#process = this.#newLife(this.#process.topology);
      }
      // With a log it begins to be kept before anybody meets it; else its peers are awaited from when they can come.
      if (!this.#log) await this.#openTransport(system);
      await this.#begin();
      this.#openOrderLogs();
      if (this.#log) await this.#openTransport(system);
    } catch (error) {
      this.#end = error as TidemarkError;
      this.#clearTimers();
      await this.#closeOrderLogs();
      await this.#transport.close().catch(() => {});
      await this.#log?.log.close().catch(() => {});
      throw error;
    }
  }

  #clearTimers(): void {
    clearTimeout(this.#wake);
    for (const timer of this.#timers.values()) clear(timer);
    this.#timers.clear();
  }

  async #openLog(configuration: LogConfiguration<Request>): Promise<void> {
    const requestCodec = configuration.requestCodec ?? msgpackCodec<Request>();
    this.#log = await ProcessLog.open(
      configuration,
      {
        process: this.id,
        system: this.#configuration.system ?? "tidemark",
        stateCodec: this.#stateCodec,
        messageEncoding: this.#messageCodec.name,
        requestCodec,
      },
      { onProblem: (problem) => this.#logProblem(problem), onSettled: () => this.#settle() },
    );
  }

  #logProblem(problem: TidemarkError): void {
    this.#problem(problem);
    // What waits for a log that has ended waits for ever; one that cannot be written yet tries again by itself.
    if (!isTidemarkError(problem, "LOG_FAILED") || problem.definite) return;
    this.#failure ??= problem;
    this.#stopping ??= this.#stop(problem);
  }

  /** Begins to log what the process, as it is now, is given from now on. */
  #beginJournal(): void {
    this.#journal = this.#log && new Journal(this.#process, this.#log.requestCodec, this.#log.log);
  }

  /** With its first turn, of which nothing is seen before it is kept. */
  async #begin(): Promise<void> {
    this.#beginJournal();
    this.#unkept = this.#log !== undefined;
    this.#step({ type: "start", nowMs: nowMs() });
    if (this.#failure) throw this.#failure;
    await this.#log?.keep(this.#process, this.#configuration.application);
    this.#unkept = false;
    this.#settle();
  }

  /** With its log: it is as it was, and has been away. */
  async #recover(image: ProcessImage): Promise<void> {
    const log = this.#log as ProcessLog<M, State, Request, Reply>;
    const { application } = this.#configuration;
    this.#epoch = image.epoch;
    restoreApplication(application, await log.state(), "its input log");
    const topology = new Topology(image.processes, image.channels);
    this.#tellOfOthers(topology, "its input log");
    // By the options that it was logged with: on them it depends what the inputs led to.
    this.#process = this.#newLife(topology, image, image.settings);
    const replayedFromMs = performance.now();
    const records = await this.#during("tidemark.log.replay", {}, async (note) => {
      const many = await log.replay(this.#process);
      note({ "tidemark.log.records": many });
      return many;
    });
    this.#replayed = { records, ms: performance.now() - replayedFromMs };
    const now = this.#process.image;
    this.#lastRequest = now.lastRequest;
    const asSet = this.#newLife(topology, now);
    const set = asSet.image.settings;
    this.#checkOrder("its input log", image.settings.order !== "none" && set.order === "none");
    const same = JSON.stringify(set) === JSON.stringify(image.settings);
    if (!same) this.#process = asSet;
    this.#unkept = !same;
    this.#beginJournal();
    this.#step({ type: "recover", nowMs: Math.max(nowMs(), now.nowMs) });
    if (this.#failure) throw this.#failure;
    for (const snapshot of this.#process.committing) {
      const written = await this.#store.get(snapshot).catch(() => undefined);
      // It may have died before it could.
      if (written) this.#notes.complete(written.manifest);
      const failed = written
        ? {}
        : { failed: `${this.id} was away before its manifest was written` };
      this.#step({ type: "committed", snapshot, ...failed, nowMs: nowMs() });
    }
    if (same) return;
    await log.keep(this.#process, application);
    this.#unkept = false;
    this.#settle();
  }

  /** Whoever joins a system that was restored before that begins. */
  async #isIn({ snapshot }: EpochRecord): Promise<boolean> {
    const stored = await this.#store.get(snapshot);
    return stored === undefined || stored.manifest.processes.includes(this.id);
  }

  /** From its piece of the snapshot that an epoch began from. */
  async #goOnFrom({ epoch, snapshot }: EpochRecord): Promise<void> {
    const { topology, piece, state, renamed } = await this.#piece(snapshot);
    this.#epoch = epoch;
    this.#tellOfOthers(topology, snapshot);
    // In the state may be requests that wait for an answer, which no new one must get: by the clock none had a higher number.
    this.#lastRequest = Math.floor(nowMs() * 1000);
    restoreApplication(this.#configuration.application, state, snapshot, renamed);
    this.#process = this.#newLife(topology, piece);
  }

  /** Who takes part stands in what it goes on from, and no longer in its options. */
  #tellOfOthers(topology: Topology, from: string): void {
    const others = this.#configuration.processes.filter((one) => !topology.has(one));
    if (others.length === 0) return;
    const message = `${this.id} goes on from ${from}, which knows nothing of ${others.join(", ")}: let them join`;
    this.#problem(new TidemarkError("UNKNOWN_PROCESS", message));
  }

  /** @throws TidemarkError `NOT_FOUND`, `DAMAGED`, `STORE_FAILED`, `UNKNOWN_PROCESS`, `BAD_MESSAGE` */
  async #piece(snapshot: SnapshotId): Promise<{
    readonly topology: Topology;
    readonly piece: RestoredPiece;
    readonly state: State;
    readonly renamed: Renamed | undefined;
  }> {
    const stored = await this.#store.get(snapshot);
    if (!stored) throw new TidemarkError("NOT_FOUND", `there is no snapshot ${snapshot}`);
    const { manifest } = stored;
    const state = await new GlobalSnapshot<State, M>(stored, this.#codecs()).state(this.id);
    const {
      incoming,
      outgoing,
      timers = [],
      messageEncoding,
    } = manifest.pieces.find((one) => one.process === this.id) as PieceRecord;
    if (messageEncoding !== this.#messageCodec.name)
      throw new TidemarkError(
        "BAD_MESSAGE",
        `the messages in ${snapshot} are encoded as ${messageEncoding}, and ${this.id} reads ${this.#messageCodec.name}`,
      );
    const ordered = [...incoming, ...outgoing].some(({ hash }) => !isSetHash(hash));
    this.#checkOrder(snapshot, ordered && this.#configuration.order === "none");
    const messages = (part: PartReference | undefined): Promise<Uint8Array> =>
      part ? stored.part(part) : Promise.resolve(new Uint8Array(0));
    return {
      topology: new Topology(manifest.processes, manifest.channels),
      piece: {
        incoming: await Promise.all(
          incoming.map(async ({ from, received, hash, part }) => ({
            ...{ from, received, hash, messages: await messages(part) },
          })),
        ),
        outgoing,
        timers,
      },
      state,
      renamed: manifest.renamed && new Map(manifest.renamed.map(({ was, is }) => [was, is])),
    };
  }

  /** Whoever goes on from it goes on with its hashes, and those that depend on an order say nothing where there is none. */
  #checkOrder(from: string, misfit: boolean): void {
    if (!misfit) return;
    const message = `${from} is of channels with an order, and those of ${this.id} have none: use order "fifo", or begin anew`;
    throw new TidemarkError("BAD_OPTION", message);
  }

  async #openTransport(system: string): Promise<void> {
    await this.#transport.open(
      { system, self: this.id, incarnation: this.#incarnation, epoch: this.#epoch },
      {
        peerUp: (peer, incarnation) => {
          this.#up.set(peer, incarnation);
          this.#step({ type: "peer-up", peer, incarnation, nowMs: nowMs() });
        },
        peerDown: (peer, reason) => {
          this.#up.delete(peer);
          this.#step({ type: "peer-down", peer, reason, nowMs: nowMs() });
        },
        frame: (from, frame) => this.#step({ type: "frame", from, frame, nowMs: nowMs() }),
        laterEpoch: (peer, epoch) => {
          this.#heard = { peer, epoch };
          void this.#advance();
        },
        problem: this.#problems,
      },
    );
  }

  // Other epochs.

  /** Goes to the newest epoch that the store knows of. */
  #advance(): Promise<void> {
    this.#advancing ??= this.#goToNewest().finally(() => {
      this.#advancing = undefined;
    });
    return this.#advancing;
  }

  async #goToNewest(): Promise<void> {
    for (let tries = 0; !this.#isEnding; tries += 1) {
      const record = await this.#store.epoch().catch((error: TidemarkError) => {
        if (tries === 0) this.#problem(error);
        return undefined;
      });
      if (record && record.epoch > this.#epoch) {
        await this.#during("tidemark.restore.state", spanOf(record), () => this.#goTo(record));
        // Of a still later one it may have been told while it went there, and is not told again.
        tries = -1;
        continue;
      }
      const { peer, epoch } = this.#heard;
      if (epoch <= this.#epoch) return;
      if (tries === 0) {
        const message = `${peer} lives in epoch ${epoch}, of which the store of ${this.id} knows nothing: they must have the same store`;
        this.#problem(new TidemarkError("EPOCH_MISMATCH", message));
      }
      await pause(EPOCH_POLL_MS, undefined, { ref: false });
    }
  }

  async #goTo(record: EpochRecord): Promise<void> {
    try {
      // Everything is read before anything ends.
      const { topology, piece, state, renamed } = await this.#piece(record.snapshot);
      if (this.#isEnding) return;
      this.#endLife(record);
      this.#lastCount = this.#process.lastCount;
      this.#epoch = record.epoch;
      this.#restores += 1;
      restoreApplication(this.#configuration.application, state, record.snapshot, renamed);
      this.#process = this.#newLife(topology, piece);
      this.#transport.advance({ incarnation: this.#incarnation, epoch: this.#epoch });
      await this.#begin();
      this.#openOrderLogs();
    } catch (thrown) {
      const error = isTidemarkError(thrown)
        ? thrown
        : new TidemarkError("APPLICATION_THREW", `${this.id}: ${textOf(thrown)}`, {
            cause: thrown,
          });
      this.#stopping ??= this.#stop(error);
    }
  }

  /** Does the work, within a span if there are to be any. */
  #during<T>(
    name: string,
    attributes: Readonly<Record<string, string | number>>,
    work: (
      note: (more: Readonly<Record<string, string | number | string[]>>) => void,
    ) => Promise<T>,
  ): Promise<T> {
    return this.#spans ? this.#spans.during(name, attributes, work) : work(() => {});
  }

  /** Whoever waits for something of this life hears that it is over; its timers and writes end. */
  #endLife({ epoch, snapshot }: EpochRecord): void {
    const message = `the system was restored to ${snapshot}, in epoch ${epoch}`;
    const held = new Set(this.#held.map(({ id }) => id));
    for (const [id, waiter] of this.#requests)
      waiter.reject(new TidemarkError("RESTORED", message, { definite: held.has(id) }));
    this.#requests.clear();
    this.#held.length = 0;
    this.#later.length = 0;
    const error = new TidemarkError("RESTORED", message);
    for (const waiter of [...this.#starting.values(), ...this.#snapshots.values()])
      waiter.reject(error);
    this.#starting.clear();
    this.#notes.unsettled(this.#snapshots.keys(), message);
    this.#snapshots.clear();
    for (const { waiter } of [...this.#receiving.splice(0), ...this.#receivers.splice(0)])
      waiter.reject(error);
    for (const storing of this.#storing.values()) storing.abort();
    this.#clearTimers();
    this.#up.clear();
    void this.#closeOrderLogs();
  }

  // Logs that give groups their order.

  /**
   * Of this epoch, from where they have been read.
   * @throws TidemarkError `BAD_OPTION` if a group needs one and there is none
   */
  #openOrderLogs(): void {
    const { orderLog, system = "tidemark" } = this.#configuration;
    const epoch = this.#epoch;
    for (const [group, read] of Object.entries(this.#process.orderLogs)) {
      if (!orderLog)
        throw new TidemarkError(
          "BAD_OPTION",
          `the order of group ${JSON.stringify(group)} is in a log: give ${this.id} an orderLog`,
        );
      const position = read.epoch === epoch ? read.position : 0;
      const input = { log: group, epoch };
      const reader: OrderLogReader = orderLog.open(
        { system, process: this.id, group, epoch, position },
        {
          opened: () => this.#step({ type: "order-log-open", ...input, nowMs: nowMs() }),
          read: (position, text) =>
            this.#step({ type: "order-log-read", log: group, position, text, nowMs: nowMs() }),
          problem: this.#problems,
          lost: (error) => {
            this.#failure ??= error;
            this.#stopping ??= this.#stop(error);
          },
        },
      );
      this.#orderLogs.set(group, reader);
    }
  }

  async #closeOrderLogs(): Promise<void> {
    const readers = [...this.#orderLogs.values()];
    this.#orderLogs.clear();
    await Promise.all(readers.map((reader) => reader.close()));
  }

  async follow(): Promise<number> {
    this.#checkRunning();
    await this.#advance();
    return this.#epoch;
  }

  restore(
    snapshot: SnapshotId,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<Restoration> {
    return this.#during("tidemark.restore", { "tidemark.snapshot": snapshot }, async (note) => {
      const done = await this.#restore(snapshot, options);
      note({ "tidemark.epoch": done.epoch, "tidemark.restore.absent": [...done.absent] });
      return done;
    });
  }

  async #restore(
    snapshot: SnapshotId,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  ): Promise<Restoration> {
    this.#checkRunning();
    const { timeoutMs = SNAPSHOT_TIMEOUT_MS, signal } = options;
    const untilMs = performance.now() + positive("timeoutMs", timeoutMs, timeoutMs);
    // That it can be restored here says little of others, but it finds what is missing before anything is decided.
    await this.#piece(snapshot);
    const record = await this.#store.epoch().catch((error: unknown) => {
      // One that cannot be read ends with a later one.
      if (isTidemarkError(error, "DAMAGED")) return undefined;
      throw error;
    });
    const newest = record?.epoch ?? 0;
    const epoch = Math.max(this.#epoch, newest) + 1;
    await this.#store.beginEpoch({ epoch, snapshot, atMs: Math.round(nowMs()), by: this.id });
    // It may be on its way to an epoch before.
    while (this.#epoch < epoch) {
      await this.#advance();
      this.#checkRunning();
      // The store may not be able to say what it was told, and not for long.
      if (this.#epoch < epoch) await pause(EPOCH_POLL_MS, undefined, { ref: false });
    }
    const absent = (): ProcessId[] =>
      this.#process.topology.processes.filter((id) => id !== this.id && !this.#up.has(id));
    while (absent().length > 0 && performance.now() < untilMs && !signal?.aborted) {
      await pause(ABSENT_POLL_MS);
      this.#checkRunning();
    }
    const done = { snapshot, epoch, absent: absent() };
    if (done.absent.length > 0)
      return { ...done, reason: `${done.absent.join(", ")} cannot be reached` };
    try {
      const left = Math.max(1, untilMs - performance.now());
      const proof = await this.snapshot({ timeoutMs: left, ...(signal && { signal }) });
      const verdict = await proof.verify();
      if (verdict.consistent) return { ...done, proof: proof.id };
      return { ...done, reason: `${proof.id} is not consistent: ${verdict.reason}` };
    } catch (thrown) {
      return { ...done, reason: textOf(thrown) };
    }
  }

  request(request: Request, options: { readonly signal?: AbortSignal } = {}): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#checkRunning();
      if (this.#draining)
        throw new TidemarkError("STOPPED", `${this.id} takes no more requests: it is to stop`);
      const { application } = this.#configuration;
      if (!application.request)
        throw new TidemarkError("BAD_OPTION", `the application of ${this.id} takes no requests`);
      if (this.#held.length >= this.#maxWaitingRequests)
        throw new TidemarkError(
          "BUSY",
          `${this.#held.length} requests wait at ${this.id}, because a channel is congested`,
        );
      this.#lastRequest += 1;
      const id = this.#lastRequest;
      const forget = whenAborted(options.signal, (error) => {
        const held = this.#held.findIndex((one) => one.id === id);
        if (held >= 0) this.#held.splice(held, 1);
        this.#requests.delete(id);
        reject(
          held >= 0 ? error : new TidemarkError("ABORTED", error.message, { definite: false }),
        );
      });
      this.#requests.set(id, {
        resolve: (reply) => {
          forget();
          resolve(reply);
        },
        reject: (error) => {
          forget();
          reject(error);
        },
      });
      this.#held.push({ id, request });
      this.#admit();
    });
  }

  /** Lets requests in, unless they had better wait. */
  #admit(): void {
    while (this.#held.length > 0 && !this.#stepping && !this.#end) {
      // A log that cannot be written holds up requests as a full channel does.
      if (this.#process.congested || this.#log?.log.stalled || this.#unkept) return;
      const { id, request } = this.#held.shift() as { id: number; request: Request };
      try {
        this.#step({ type: "request", id, request, nowMs: nowMs() });
      } catch (thrown) {
        // One that cannot be logged.
        if (!isTidemarkError(thrown, "BAD_MESSAGE")) throw thrown;
        this.#requests.get(id)?.reject(thrown);
        this.#requests.delete(id);
      }
    }
  }

  snapshot(options: SnapshotOptions = {}): Promise<GlobalSnapshot<State, M>> {
    return new Promise((resolve, reject) => {
      this.#checkRunning();
      const { label, signal } = options;
      if (label !== undefined && !isLabel(label))
        throw new TidemarkError(
          "BAD_OPTION",
          `a label is a text of 1 to ${LABEL_CHARACTERS} characters`,
        );
      const timeoutMs = Math.ceil(positive("timeoutMs", options.timeoutMs, SNAPSHOT_TIMEOUT_MS));
      this.#lastRequest += 1;
      const token = this.#lastRequest;
      const forget = whenAborted(signal, (error) => {
        reject(error);
        for (const [snapshot, one] of this.#snapshots) if (one === waiter) this.#giveUp(snapshot);
      });
      const waiter: SnapshotWaiter<State, M> = {
        options,
        parent: this.#spans?.here,
        resolve: (snapshot) => {
          forget();
          resolve(snapshot);
        },
        reject: (error) => {
          forget();
          reject(error);
        },
      };
      this.#starting.set(token, waiter);
      this.#step({ type: "snapshot", token, timeoutMs, nowMs: nowMs() });
    });
  }

  #giveUp(snapshot: SnapshotId): void {
    this.#step({ type: "abandon", snapshot, reason: "the caller gave up", nowMs: nowMs() });
  }

  recorded(snapshot: SnapshotId): RecordedHere<State, M> | undefined {
    const recorded = this.#process.recorded(snapshot);
    if (!recorded) return undefined;
    const { state, incoming } = recorded;
    return {
      state: state instanceof FrozenState ? undefined : (this.#stateCodec.decode(state) as State),
      channels: incoming.map(({ from, closed, messages }) => ({
        from,
        closed,
        messages: messages
          .flatMap((body) => readRecords(body))
          // A copy, for what was recorded is not kept for ever.
          .map((content) => this.#messageCodec.decode(copyOf(content))),
      })),
    };
  }

  explain(): Explanation {
    return this.#process.explain();
  }

  startTrace(options: RecorderOptions = {}): void {
    this.#recorder = new Recorder(this.id, options);
    this.#isRecording = true;
    this.#process.observe(this.#recorder);
  }

  stopTrace(): void {
    this.#isRecording = false;
    this.#process.observe(undefined);
  }

  trace(): Recording | undefined {
    return this.#recorder?.recording();
  }

  receive(from: ProcessId, options: { readonly signal?: AbortSignal } = {}): Promise<Received<M>> {
    return new Promise((resolve, reject) => {
      this.#checkRunning();
      if (this.#configuration.receive !== "manual")
        throw new TidemarkError("BAD_OPTION", `${this.id} receives by itself: start it as manual`);
      if (!this.#process.topology.incoming(this.id).includes(from))
        throw new TidemarkError("NO_CHANNEL", `there is no channel from ${from} to ${this.id}`);
      const forget = whenAborted(options.signal, (error) => {
        const index = this.#receivers.findIndex((one) => one.waiter === waiter);
        if (index >= 0) this.#receivers.splice(index, 1);
        reject(error);
      });
      const waiter: Waiter<Received<M>> = {
        resolve: (received) => {
          forget();
          resolve(received);
        },
        reject: (error) => {
          forget();
          reject(error);
        },
      };
      this.#receivers.push({ from, waiter });
      this.#serveReceivers();
    });
  }

  /** Whoever waits longest for a channel gets what comes in on it first. */
  #serveReceivers(): void {
    if (this.#stepping) return;
    for (let i = 0; i < this.#receivers.length; ) {
      const { from, waiter } = this.#receivers[i] as Receiver<M>;
      if (this.#process.waiting(from) === 0) {
        i += 1;
        continue;
      }
      this.#receivers.splice(i, 1);
      this.#receiving.push({ from, waiter });
      this.#step({ type: "receive", from, nowMs: nowMs() });
    }
  }

  connect(process: ProcessId, address: string): void {
    this.#checkRunning();
    if (process !== this.id) this.#transport.connect(process, address);
  }

  join(process: ProcessId, address: string): void {
    this.#checkRunning();
    const { topology } = this.#process;
    if (!topology.has(process)) {
      const grown = topology.withMeshed(process);
      this.#step({ type: "topology", topology: grown, nowMs: nowMs() });
      // The transport may have met it before the process knew of it.
      const incarnation = this.#up.get(process);
      if (incarnation !== undefined)
        this.#step({ type: "peer-up", peer: process, incarnation, nowMs: nowMs() });
    }
    this.#transport.connect(process, address);
  }

  onUnasked(listener: (reply: Reply) => void): void {
    this.#unasked = listener;
  }

  async drain({ timeoutMs = DRAIN_MS }: { readonly timeoutMs?: number } = {}): Promise<number> {
    this.#draining = true;
    const untilMs = performance.now() + timeoutMs;
    while (this.#requests.size > 0 && performance.now() < untilMs && !this.#isEnding)
      await pause(DRAIN_POLL_MS);
    return this.#requests.size;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop(undefined);
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(because: TidemarkError | undefined): Promise<void> {
    for (const snapshot of this.#snapshots.keys()) {
      const reason = `${this.id} stops`;
      this.#step({ type: "abandon", snapshot, reason, nowMs: nowMs() });
    }
    if (!because) await this.#drain();
    // It may have failed meanwhile.
    const cause = because ?? this.#failure;
    const held = new Set(this.#held.map(({ id }) => id));
    this.#end = cause ?? new TidemarkError("STOPPED", `${this.id} has stopped`);
    const end = this.#end;
    this.#clearTimers();
    for (const [id, waiter] of this.#requests)
      waiter.reject(
        new TidemarkError(end.code, end.message, { definite: held.has(id), cause: end.cause }),
      );
    this.#requests.clear();
    this.#held.length = 0;
    for (const waiter of [...this.#starting.values(), ...this.#snapshots.values()])
      waiter.reject(end);
    // Elsewhere one may still become complete, and then that counts.
    this.#notes.unsettled(this.#snapshots.keys(), cause?.message ?? `${this.id} stops`);
    this.#snapshots.clear();
    for (const { waiter } of [...this.#receiving.splice(0), ...this.#receivers.splice(0)])
      waiter.reject(end);
    for (const storing of this.#storing.values()) storing.abort();
    try {
      await this.#closeOrderLogs();
      await this.#transport.close();
      await this.#closeLog(cause);
      await this.#notes.taken();
    } finally {
      this.#settleStopped(cause);
    }
  }

  /** What it has done is to be seen, as long as the log does not take for ever. */
  async #drain(): Promise<void> {
    const untilMs = performance.now() + DRAIN_MS;
    while (this.#journal?.waits && !this.#failure && performance.now() < untilMs) await pause(1);
  }

  /** With how it is, so that the next program need not take the same steps. */
  async #closeLog(cause: TidemarkError | undefined): Promise<void> {
    const { log } = this.#log ?? {};
    if (!this.#log || !log) return;
    if (!cause && log.bytesSinceCapture > 0) await this.#keep();
    try {
      await log.close();
    } catch (thrown) {
      // Why it ends has been told.
      if (thrown !== cause) this.#problem(thrown as TidemarkError);
    }
  }

  get #isEnding(): boolean {
    return this.#end !== undefined || this.#stopping !== undefined;
  }

  #checkRunning(): void {
    if (this.#end) throw this.#end;
    if (this.#stopping !== undefined) throw new TidemarkError("STOPPED", `${this.id} is stopping`);
  }

  #problem(error: TidemarkError): void {
    const { onProblem } = this.#configuration;
    if (onProblem) this.#callBack(() => onProblem(error));
    else process.emitWarning(error.message, { type: "TidemarkWarning", code: error.code });
  }

  // The loop: one input, its effects.

  /** A call from inside a turn, by the application or a callback, waits until the turn is over. */
  #step(input: ProcessInput<Request>): void {
    if (this.#stepping) {
      this.#later.push(input);
      return;
    }
    this.#stepping = true;
    try {
      for (
        let next: ProcessInput<Request> | undefined = input;
        next !== undefined && !this.#end && !this.#failure;
        next = this.#later.shift()
      ) {
        this.#stepStartedMs = performance.now();
        const effects = this.#journal ? this.#journal.step(next) : this.#process.step(next);
        for (const effect of effects) this.#perform(effect);
      }
    } catch (thrown) {
      // A log that takes nothing any more.
      if (!isTidemarkError(thrown, "LOG_FAILED")) throw thrown;
      this.#stopping ??= this.#stop(thrown);
    } finally {
      this.#stepping = false;
    }
    if (this.#log?.isLong && !this.#unkept && !this.#failure) void this.#keep();
    this.#serve();
  }

  #serve(): void {
    if (this.#held.length > 0) this.#admit();
    if (this.#receivers.length > 0) this.#serveReceivers();
  }

  /** What waited for the log, and need not any more. */
  #settle(): void {
    const journal = this.#journal;
    const log = this.#log?.log;
    if (!journal || !log || this.#unkept) return;
    this.#stepping = true;
    try {
      for (const effect of journal.settled(log.settled)) if (!this.#end) this.#perform(effect);
    } finally {
      this.#stepping = false;
    }
    const next = this.#later.shift();
    if (next) this.#step(next);
    else this.#serve();
  }

  async #keep(): Promise<void> {
    try {
      await this.#log?.keep(this.#process, this.#configuration.application);
    } catch (thrown) {
      if (!this.#end && !isTidemarkError(thrown, "STOPPED")) this.#problem(thrown as TidemarkError);
    }
  }

  /** What a callback throws is its owner's: it must not keep the rest of a turn from being performed. */
  #callBack(callback: () => void): void {
    try {
      callback();
    } catch (thrown) {
      queueMicrotask(() => {
        throw thrown;
      });
    }
  }

  #perform(effect: ProcessEffect<M, Reply>): void {
    switch (effect.type) {
      case "frame":
        if (!this.#transport.send(effect.to, effect.frame)) this.#dropped(effect.to);
        break;
      case "reply":
        if (effect.id === UNASKED) this.#tellUnasked(effect.reply);
        else {
          this.#requests.get(effect.id)?.resolve(effect.reply);
          this.#requests.delete(effect.id);
        }
        break;
      case "timer":
        this.#setTimer(effect.name, effect.afterMs);
        break;
      case "order-log-write":
        this.#orderLogs.get(effect.log)?.write(effect.text);
        break;
      case "wake":
        this.#setWake(effect.atMs);
        break;
      case "received": {
        const { from, waiter } = this.#receiving.shift() as Receiver<M>;
        if (effect.received) waiter.resolve(effect.received);
        else
          waiter.reject(
            new TidemarkError("UNREADABLE_MESSAGE", `a message of ${from} was dropped`),
          );
        break;
      }
      case "snapshot-started": {
        const waiter = this.#starting.get(effect.token);
        this.#starting.delete(effect.token);
        if (waiter) this.#snapshots.set(effect.snapshot, waiter);
        if (waiter?.parent) this.#spans?.begun(effect.snapshot, waiter.parent, nowMs());
        this.#notes.begun(effect.snapshot, {
          epoch: this.#epoch,
          processes: this.#process.topology.processes.length,
          timeoutMs: waiter?.options.timeoutMs ?? SNAPSHOT_TIMEOUT_MS,
          ...(waiter?.options.label !== undefined && { label: waiter.options.label }),
        });
        if (waiter?.options.signal?.aborted) this.#giveUp(effect.snapshot);
        break;
      }
      case "snapshot-refused": {
        const waiter = this.#starting.get(effect.token);
        this.#starting.delete(effect.token);
        this.#notes.refused(effect.error.message, waiter?.options.label);
        waiter?.reject(effect.error);
        break;
      }
      case "recorded":
        this.#notes.recorded(effect.snapshot, performance.now() - this.#stepStartedMs);
        this.#callBack(() =>
          this.#snapshots.get(effect.snapshot)?.options.onRecorded?.(effect.snapshot),
        );
        break;
      case "piece":
        void this.#storePiece(effect);
        break;
      case "cut":
        this.#callBack(() =>
          this.#snapshots.get(effect.snapshot)?.options.onCut?.(effect.snapshot, effect.cutMs),
        );
        break;
      case "commit":
        void this.#commit(effect);
        break;
      case "settled":
        this.#settled(effect);
        break;
      case "problem":
        this.#problem(effect.error);
        break;
      case "failed":
        this.#failure = effect.error;
        this.#stopping ??= this.#stop(effect.error);
        break;
    }
  }

  #tellUnasked(reply: Reply): void {
    this.#callBack(() => this.#unasked?.(reply));
  }

  /** The link must know, but not before this turn's effects are performed. */
  #dropped(peer: ProcessId): void {
    queueMicrotask(() => this.#step({ type: "dropped", peer, nowMs: nowMs() }));
  }

  #setTimer(name: string, afterMs: number): void {
    const old = this.#timers.get(name);
    if (old) clear(old);
    const due = (): void => {
      this.#timers.delete(name);
      // Node's timers have a longest delay: the rest of a longer one comes after it.
      if (this.#log?.log.stalled) this.#setTimer(name, STALLED_MS);
      else if (afterMs > TIMER_MS_MAX) this.#setTimer(name, afterMs - TIMER_MS_MAX);
      else this.#step({ type: "timer", name, nowMs: nowMs() });
    };
    const timer =
      afterMs > 0 ? setTimeout(due, Math.min(afterMs, TIMER_MS_MAX)) : setImmediate(due);
    this.#timers.set(name, timer);
  }

  #setWake(atMs: number): void {
    clearTimeout(this.#wake);
    const afterMs = Math.min(TIMER_MS_MAX, Math.max(0, Math.ceil(atMs - nowMs())));
    this.#wake = setTimeout(() => this.#step({ type: "tick", nowMs: nowMs() }), afterMs);
  }

  // Snapshots.

  async #storePiece(effect: Extract<ProcessEffect<M, Reply>, { type: "piece" }>): Promise<void> {
    const { snapshot, recorded } = effect;
    const storing = new AbortController();
    this.#storing.set(snapshot, storing);
    const { recordedAtMs, recordingMs } = effect;
    const { captureMs } = this.#notes.closed(snapshot, recorded, { recordedAtMs, recordingMs });
    const sinceMs = performance.now();
    try {
      const stored = await this.#store.writePiece({
        snapshot,
        process: this.id,
        state: this.#slices(effect.state, storing.signal),
        channels: new Map(
          recorded.incoming
            .filter(({ inFlight }) => inFlight > 0)
            .map(({ from, messages }) => [from, messages]),
        ),
      });
      if (storing.signal.aborted) return;
      const storedMs = performance.now() - sinceMs;
      const stateBytes = stored.state.reduce((sum, { bytes }) => sum + bytes, 0);
      this.#notes.stored(snapshot, storedMs, stateBytes);
      const piece: PieceRecord = {
        snapshot,
        process: this.id,
        epoch: this.#epoch,
        state: {
          encoding: this.#stateCodec.name,
          sliced: effect.state instanceof FrozenState,
          parts: stored.state,
        },
        messageEncoding: this.#messageCodec.name,
        incoming: recorded.incoming.map(({ from, received, hash, inFlight }) => {
          const part = stored.channels.get(from);
          return { from, received, hash, inFlight, ...(part ? { part } : {}) };
        }),
        outgoing: recorded.outgoing,
        ...(effect.timers.length > 0 && { timers: effect.timers }),
        timing: { recordedAtMs, recordingMs, captureMs, storedMs },
      };
      this.#step({ type: "stored", piece, nowMs: nowMs() });
    } catch (thrown) {
      if (storing.signal.aborted) return;
      const reason = `${this.id} could not store its piece: ${textOf(thrown)}`;
      this.#step({ type: "store-failed", snapshot, reason, nowMs: nowMs() });
    } finally {
      this.#release(snapshot, effect.state);
      this.#storing.delete(snapshot);
      if (storing.signal.aborted) await this.#discard(snapshot);
    }
  }

  #release(snapshot: SnapshotId, state: CapturedState): void {
    try {
      if (state instanceof FrozenState) state.release();
    } catch (thrown) {
      const reason = `${snapshot}: release threw at ${this.id}: ${textOf(thrown)}`;
      this.#problem(new TidemarkError("CAPTURE_THREW", reason, { cause: thrown }));
    }
  }

  /** A frozen state is encoded slice by slice, and others have their turns between: so nothing waits for more than a slice. */
  async *#slices(state: CapturedState, unwanted: AbortSignal): AsyncGenerator<Uint8Array> {
    if (!(state instanceof FrozenState)) {
      yield state;
      return;
    }
    for (;;) {
      const startMs = performance.now();
      const slice = state.next();
      if (slice === undefined) return;
      const bytes = encodeApart(this.#stateCodec, slice);
      const workedMs = performance.now() - startMs;
      yield bytes;
      await rest(workedMs);
      if (unwanted.aborted)
        throw new TidemarkError("SNAPSHOT_ABANDONED", "the snapshot was abandoned");
    }
  }

  async #commit(effect: Extract<ProcessEffect<M, Reply>, { type: "commit" }>): Promise<void> {
    const { snapshot, startedAtMs, cutMs, pieces } = effect;
    const { topology } = this.#process;
    const label = this.#snapshots.get(snapshot)?.options.label;
    const manifest: Manifest = {
      format: MANIFEST_FORMAT,
      id: snapshot,
      ...(label === undefined ? {} : { label }),
      system: this.#configuration.system ?? "tidemark",
      epoch: this.#epoch,
      initiator: this.id,
      startedAtMs,
      cutMs,
      processes: topology.processes,
      channels: topology.channels(),
      pieces,
    };
    let failed: { readonly failed?: string } = {};
    try {
      const checked = await inTurns(checkManifestInSteps(manifest));
      if ("problem" in checked) throw new TidemarkError("DAMAGED", checked.problem);
      await this.#store.writeManifest(manifest);
    } catch (thrown) {
      failed = { failed: `its manifest could not be written: ${textOf(thrown)}` };
    }
    if (failed.failed === undefined) {
      // The manifest is on disk: whatever happens to this process now, the snapshot exists.
      this.#snapshots
        .get(snapshot)
        ?.resolve(new GlobalSnapshot<State, M>(this.#stored(manifest), this.#codecs()));
      this.#snapshots.delete(snapshot);
      this.#notes.complete(manifest, nowMs());
    }
    this.#step({ type: "committed", snapshot, ...failed, nowMs: nowMs() });
  }

  /** Bodies are read when they are asked for, by the way to them that the first one finds. */
  #stored(manifest: Manifest): StoredSnapshot {
    let found: StoredSnapshot | undefined;
    return {
      manifest,
      part: async (reference) => {
        found ??= await this.#store.get(manifest.id);
        if (!found) throw new TidemarkError("NOT_FOUND", `${manifest.id} has been deleted`);
        return found.part(reference);
      },
    };
  }

  #codecs(): Codec<unknown>[] {
    return [this.#stateCodec, this.#messageCodec as Codec<unknown>];
  }

  #settled(settled: Extract<ProcessEffect<M, Reply>, { type: "settled" }>): void {
    const { snapshot, reason, waitsFor = [], late } = settled;
    if (reason === undefined) {
      this.#notes.settled(snapshot);
      return;
    }
    this.#notes.abandoned(snapshot, reason, { waitsFor, ...late });
    const waiter = this.#snapshots.get(snapshot);
    this.#snapshots.delete(snapshot);
    waiter?.reject(new TidemarkError("SNAPSHOT_ABANDONED", `${snapshot} was abandoned: ${reason}`));
    const storing = this.#storing.get(snapshot);
    if (storing) storing.abort();
    else void this.#discard(snapshot);
  }

  async #discard(snapshot: SnapshotId): Promise<void> {
    try {
      await this.#store.abandon(snapshot);
    } catch (thrown) {
      const reason = `what was written for ${snapshot} could not be removed: ${textOf(thrown)}`;
      this.#problem(new TidemarkError("STORE_FAILED", reason, { cause: thrown }));
    }
  }
}

/** What a span says of going on from a record. */
const spanOf = ({ epoch, snapshot }: EpochRecord): Readonly<Record<string, string | number>> => ({
  "tidemark.snapshot": snapshot,
  "tidemark.epoch": epoch,
});

/** @throws TidemarkError `BAD_MESSAGE` */
function restoreApplication<State>(
  application: Pick<Application<never, State, never, never>, "restore">,
  state: State,
  from: string,
  renamed?: Renamed,
): void {
  try {
    application.restore(state, renamed);
  } catch (cause) {
    throw new TidemarkError(
      "BAD_MESSAGE",
      `the application cannot be restored from ${from}: ${textOf(cause)}`,
      { cause },
    );
  }
}

/** Calls `act` if and when the signal aborts, but not any more after the function it gives is called. */
function whenAborted(
  signal: AbortSignal | undefined,
  act: (error: TidemarkError) => void,
): () => void {
  if (!signal) return () => {};
  const listener = (): void =>
    act(new TidemarkError("ABORTED", "the caller gave up", { cause: signal.reason }));
  if (signal.aborted) {
    throw new TidemarkError("ABORTED", "the caller had given up already", { cause: signal.reason });
  }
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

function clear(timer: NodeJS.Timeout | NodeJS.Immediate): void {
  if ("hasRef" in timer && "refresh" in timer) clearTimeout(timer);
  else clearImmediate(timer as NodeJS.Immediate);
}

function isApplication(application: unknown): boolean {
  const { capture, restore } = (application ?? {}) as Record<string, unknown>;
  return typeof capture === "function" && typeof restore === "function";
}

function isLabel(label: unknown): boolean {
  return typeof label === "string" && label.length > 0 && label.length <= LABEL_CHARACTERS;
}

function receiveMode(mode: unknown = "auto"): "auto" | "manual" {
  if (mode === "auto" || mode === "manual") return mode;
  throw new TidemarkError(
    "BAD_OPTION",
    `receive is ${JSON.stringify(mode)}: use "auto" or "manual"`,
  );
}

function seedOf(value: number | string | undefined): number | string | undefined {
  if (value === undefined || typeof value === "string" || Number.isFinite(value)) return value;
  throw new TidemarkError("BAD_OPTION", `seed must be a number or a text, not ${String(value)}`);
}

function positive(name: string, value: number | undefined, byDefault: number): number {
  if (value === undefined) return byDefault;
  if (Number.isFinite(value) && value > 0) return value;
  throw new TidemarkError("BAD_OPTION", `${name} is ${value}: it must be a number above 0`);
}
