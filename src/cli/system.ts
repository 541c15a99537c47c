/**
 * The system that `tidemark up` runs: its processes, each an operating-system process, seen from their parent, which starts again who
 * dies, and restores all.
 */

import { setTimeout as pause } from "node:timers/promises";
import type { AccountReply } from "../bank/account.ts";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { LogPolicy } from "../runtime/input-log.ts";
import type { Restoration } from "../runtime/restoration.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import type { SpoiledOptions } from "../runtime/spoiled-transport.ts";
import type { RestartRule } from "../runtime/system-definition.ts";
import type { SystemMeasures } from "../serve/metrics.ts";
import type {
  ChaosStatus,
  Disturbance,
  HostVersions,
  ProcessStatus,
  RecordingHead,
} from "../serve/system-methods.ts";
import type { RecordedEvent, RecorderOptions } from "../trace/recorder.ts";
import type { Tell } from "./event-log.ts";
import { HostedProcess } from "./hosted-process.ts";
import type { Begun, Taking } from "./process-host.ts";
import { checkRestorable, newestSnapshot } from "./restore-plan.ts";
import { SupervisedProcess } from "./supervised-process.ts";
import { logOf, moveLogAside } from "./system-directory.ts";
import type { SystemSource } from "./system-file.ts";

/** What a system is started with. */
export interface SystemOptions {
  readonly processes: readonly ProcessId[];
  /** What they are. */
  readonly source: SystemSource;
  /** The system begins in this epoch, if its store knows of no later one. */
  readonly epoch: number;
  /** Decides what each draws from `turn.random`. @default a random one */
  readonly seed?: number | undefined;
  /** The processes listen on this port and the ones after it; 0: on any. */
  readonly port: number;
  /** The folder with their certificates. */
  readonly tls?: string | undefined;
  /** Of the snapshot store, and of the logs. */
  readonly directory: string;
  readonly sync: boolean;
  readonly compressLevel: number;
  /** In hexadecimal digits. */
  readonly key?: string;
  /** What the network does to frames, below the link. */
  readonly spoil?: SpoiledOptions | undefined;
  /** How inputs are logged. @default they are not */
  readonly log?: LogPolicy | undefined;
  readonly restart: Required<RestartRule>;
  /** All record what they do, all the time. */
  readonly trace?: true | undefined;
  /** They make spans of OpenTelemetry. */
  readonly spans?: true | undefined;
  /** It may be disturbed. */
  readonly chaos?: true | undefined;
}

type Cuts = ReadonlyMap<ProcessId, ReadonlySet<ProcessId>>;

/** Who hears what happens. */
export interface SystemEvents {
  /** What people should know: a problem of a process, an end, a restart. */
  readonly note: Tell;
}

/** How long processes may take to reach each other before the first snapshot is tried all the same. */
const MEET_TIMEOUT_MS = 5_000;
const MEET_POLL_MS = 5;
/** How long a status waits for a process that does not answer. */
export const STATUS_TIMEOUT_MS = 1_000;
export const READ_TIMEOUT_MS = 10_000;
/** So much later than an initiator should have given up it is taken to hang. */
export const PATIENCE_MS = 1_000;
/** A process may take so long to answer what it was asked, and then so long to end, with a log or without. */
const DRAIN_MS = 2_000;
const STOP_MS = 3_000;
const STOP_LOGGED_MS = 20_000;
const EPOCH_POLL_MS = 20;
const DONE = { kill: "killed", halt: "halted", resume: "resumed" } as const;
/** How long the restore may take that follows when a process was given up. */
const RESTORE_TIMEOUT_MS = 30_000;
/** So much later than it should have, a process may say how a restore ended: it reads and writes files meanwhile. */
export const RESTORE_PATIENCE_MS = 5_000;

/** See the head of the file. */
export class HostedSystem {
  readonly processes: readonly ProcessId[];
  /** Settles when a process has ended that nobody stopped, and is not started again. */
  readonly lost: Promise<TidemarkError>;
  /** How often the system has been restored since it was started. */
  restores = 0;
  readonly #options: SystemOptions;
  readonly #store: SnapshotStore;
  readonly #events: SystemEvents;
  readonly #members: readonly SupervisedProcess[];
  readonly #lose: (error: TidemarkError) => void;
  /** By the sender: to whom nothing gets through. */
  readonly #cuts: Map<ProcessId, Set<ProcessId>>;
  #restoring: Promise<Restoration> | undefined;
  /** The one restore that may follow when a process was given up has been tried. */
  #rolledBack: boolean = false;
  #stopping: boolean = false;
  /** If this process has to end at once, so do the others, even one that hangs. */
  readonly #kill = (): void => {
    for (const member of this.#members) member.kill();
  };

  private constructor(
    started: readonly HostedProcess[],
    options: SystemOptions,
    store: SnapshotStore,
    events: SystemEvents,
  ) {
    this.#options = options;
    this.#store = store;
    this.#events = events;
    this.processes = options.processes;
    this.#cuts = new Map(options.processes.map((id) => [id, new Set()]));
    const { promise, resolve } = Promise.withResolvers<TidemarkError>();
    this.lost = promise;
    this.#lose = resolve;
    process.once("exit", this.#kill);
    this.#members = started.map(
      (hosted) =>
        new SupervisedProcess(hosted, () => this.#startAgain(hosted.id), options.restart, {
          note: events.note,
          back: (member) => void this.#isBack(member),
          givenUp: (member, why) => void this.#givenUp(member, why),
        }),
    );
  }

  /**
   * Starts all processes, and waits until they have reached each other. If one cannot start, or the caller gives up,
   * nothing is left running.
   *
   * @throws TidemarkError `ADDRESS_IN_USE`, `STORE_FAILED`, `STOPPED`, and what starting a process throws
   */
  static async start(
    options: SystemOptions,
    store: SnapshotStore,
    events: SystemEvents,
    signal: AbortSignal,
  ): Promise<HostedSystem> {
    const giveUp = new AbortController();
    const either = AbortSignal.any([signal, giveUp.signal]);
    const starting = options.processes.map((id) =>
      startOne(options, id, events, either).catch((error: unknown) => {
        if (!isTidemarkError(error)) throw error;
        throw new TidemarkError(error.code, `${id} cannot start: ${error.message}`);
      }),
    );
    try {
      const system = new HostedSystem(await Promise.all(starting), options, store, events);
      await system.#meet(signal);
      return system;
    } catch (error) {
      giveUp.abort();
      for (const started of await Promise.allSettled(starting))
        if (started.status === "fulfilled") started.value.kill();
      throw error;
    }
  }

  async #meet(signal: AbortSignal): Promise<void> {
    const hosted = this.#members.map((member) => member.hosted);
    const addresses = Object.fromEntries(hosted.map(({ id, address }) => [id, address]));
    await Promise.all(hosted.map((one) => one.call("connect", addresses)));
    const deadlineMs = performance.now() + MEET_TIMEOUT_MS;
    while (performance.now() < deadlineMs) {
      signal.throwIfAborted();
      const all = await Promise.all(hosted.map((one) => one.call("status", null)));
      if (all.every(({ explanation }) => explanation.channels.every(({ up }) => up))) return;
      await new Promise((settle) => setTimeout(settle, MEET_POLL_MS));
    }
  }

  /** What each process began with. */
  get began(): ReadonlyMap<ProcessId, Begun["beganWith"]> {
    return new Map(this.#members.map(({ id, hosted }) => [id, hosted.beganWith]));
  }

  #startAgain(id: ProcessId): Promise<HostedProcess> {
    return startOne(this.#options, id, this.#events, undefined, this.#cuts);
  }

  /** It listens on another port now, unless it was given one: an old one may be anybody's. */
  async #isBack({ id, hosted, restarts }: SupervisedProcess): Promise<void> {
    const { beganWith } = hosted;
    const from = beganWith === "log" ? "goes on from its log" : `goes on from ${beganWith}`;
    const how = beganWith === "nothing" ? "begins without its state" : from;
    this.#events.note(
      `${id} runs again (process ${hosted.pid}) and ${how}; restarts: ${restarts}`,
      { event: "process_restarted", process: id, pid: hosted.pid, beganWith, restarts },
    );
    const others = this.#members.filter((member) => member.id !== id);
    const addresses = Object.fromEntries(others.map((one) => [one.id, one.hosted.address]));
    const told = others.map((one) => one.hosted.call("connect", { [id]: hosted.address }));
    // Who ends meanwhile hears of it when it is back.
    await Promise.allSettled([hosted.call("connect", addresses), ...told]);
  }

  async #givenUp(member: SupervisedProcess, why: TidemarkError): Promise<void> {
    if (this.#stopping) return;
    const { restart, directory } = this.#options;
    // The restore that is under way says that it is absent.
    if (restart.afterwards !== "restore" || this.#rolledBack) {
      this.#lose(why);
      return;
    }
    this.#rolledBack = true;
    this.#events.note(why.message, { event: "process_given_up", process: member.id });
    try {
      const snapshot = (await newestSnapshot(this.#store))?.id;
      if (snapshot === undefined)
        throw new TidemarkError("NOT_FOUND", `there is no snapshot in ${directory}`);
      this.#events.note(`the system is restored to its newest snapshot, ${snapshot}`, {
        ...{ event: "restore_begun", snapshot },
      });
      const done = await this.restore(snapshot, RESTORE_TIMEOUT_MS);
      if (!done.proof) throw new TidemarkError("UNREACHABLE", String(done.reason));
      this.#events.note(`the system was restored to ${snapshot}, in epoch ${done.epoch}`, {
        ...{ event: "restored", snapshot, epoch: done.epoch, absent: [] },
      });
    } catch (error) {
      this.#lose(
        new TidemarkError(
          "STOPPED",
          `${member.id} is lost, and the restore failed: ${textOf(error)}`,
        ),
      );
    }
  }

  /** Waits until every process is up and no restore is under way, or the signal comes. */
  async whole(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && (this.#restoring || !this.#members.every(({ up }) => up)))
      await pause(EPOCH_POLL_MS, undefined, { signal }).catch(() => {});
  }

  /**
   * Restores all processes to a snapshot, which is proven first. Those that were given up are started again; the log of one
   * that was given up for its log is moved aside.
   *
   * @throws TidemarkError `BUSY` while another restore is under way, `NOT_FOUND`, `DAMAGED`, `UNKNOWN_PROCESS`, `EPOCH_TAKEN`,
   *   `STORE_FAILED`
   */
  async restore(snapshot: SnapshotId, timeoutMs: number): Promise<Restoration> {
    if (await this.#restoring)
      throw new TidemarkError("BUSY", "the system is being restored already");
    this.#restoring = this.#restore(snapshot, timeoutMs);
    try {
      return await this.#restoring;
    } finally {
      this.restores += 1;
      this.#restoring = undefined;
    }
  }

  async #restore(snapshot: SnapshotId, timeoutMs: number): Promise<Restoration> {
    await checkRestorable(this.#store, snapshot, this.processes);
    const before = (await this.#store.epoch())?.epoch ?? 0;
    const answering = (await this.status()).find(({ explanation }) => explanation);
    const by = this.#members.find(({ id }) => id === answering?.process);
    if (!by) {
      const newest = Math.max(before, this.#options.epoch);
      return await this.#restoreAlone(snapshot, newest, timeoutMs);
    }
    const asked = by.hosted.call("restore", { snapshot, timeoutMs });
    const restoring = within(timeoutMs + RESTORE_PATIENCE_MS, by.id, asked);
    let over = false;
    restoring.then(
      () => (over = true),
      () => (over = true),
    );
    // Before the epoch has begun, whoever is started again would find what it ended for.
    while (!over && ((await this.#store.epoch().catch(() => undefined))?.epoch ?? 0) <= before)
      await pause(EPOCH_POLL_MS);
    await this.#revive();
    try {
      return await restoring;
    } catch (error) {
      const record = await this.#store.epoch();
      if (record?.snapshot !== snapshot || record.epoch <= before) throw error;
      // It was lost on the way, or is late; but what is recorded holds, and all follow it.
      return { snapshot, epoch: record.epoch, absent: [by.id], reason: textOf(error) };
    }
  }

  /** Nobody answers who could do it: whoever starts goes on from it, and whoever is there is told, if it only hangs. */
  async #restoreAlone(
    snapshot: SnapshotId,
    before: number,
    timeoutMs: number,
  ): Promise<Restoration> {
    const untilMs = performance.now() + timeoutMs;
    const epoch = before + 1;
    await this.#store.beginEpoch({ epoch, snapshot, atMs: Date.now(), by: "tidemark up" });
    const hanging = new Set(this.#members.filter(({ up }) => up));
    for (const member of hanging)
      member.hosted
        .call("follow", null)
        .catch(() => undefined)
        .then(() => hanging.delete(member));
    await this.#revive();
    const isThere = (one: SupervisedProcess): boolean => one.up && !hanging.has(one);
    while (performance.now() < untilMs && !this.#members.every(isThere)) await pause(EPOCH_POLL_MS);
    const absent = this.#members.filter((one) => !isThere(one)).map(({ id }) => id);
    const done = { snapshot, epoch, absent };
    if (absent.length > 0) return { ...done, reason: `${absent.join(", ")} cannot be reached` };
    try {
      const taking = await this.snapshot(this.processes[0] as ProcessId, {
        timeoutMs: Math.max(1, untilMs - performance.now()),
      });
      if (taking.snapshot === undefined || taking.problem !== undefined)
        return { ...done, reason: String(taking.problem) };
      await checkRestorable(this.#store, taking.snapshot, this.processes);
      return { ...done, proof: taking.snapshot };
    } catch (error) {
      return { ...done, reason: textOf(error) };
    }
  }

  async #revive(): Promise<void> {
    for (const member of this.#members) {
      if (!member.givenUp) continue;
      if (isTidemarkError(member.givenUp.cause, "LOG_DAMAGED"))
        this.#events.note(await moveLogAside(this.#options.directory, member.id), {
          ...{ event: "logs_moved_aside", process: member.id },
        });
      member.revive();
    }
  }

  /**
   * Asks one process after another, which is not consistent.
   * @throws TidemarkError `STOPPED`, `PEER_UNREACHABLE` when one does not answer
   */
  async poll(timeoutMs: number): Promise<ReadonlyMap<ProcessId, AccountReply>> {
    const replies = new Map<ProcessId, AccountReply>();
    for (const { id } of this.#members) {
      const reply = this.request(id, { type: "state" }, timeoutMs);
      replies.set(id, (await reply) as AccountReply);
    }
    return replies;
  }

  /**
   * Asks the application of one process.
   * @throws TidemarkError `UNKNOWN_PROCESS`, `PEER_UNREACHABLE` when it does not answer in time, and what a request throws
   */
  async request(id: ProcessId, request: unknown, timeoutMs: number): Promise<unknown> {
    return within(timeoutMs, id, this.#member(id).hosted.call("request", request));
  }

  #member(process: ProcessId): SupervisedProcess {
    const member = this.#members.find(({ id }) => id === process);
    if (member) return member;
    const names = this.processes.join(", ");
    throw new TidemarkError("UNKNOWN_PROCESS", `there is no process ${process}, only ${names}`);
  }

  /**
   * Takes a snapshot.
   * @throws TidemarkError `UNKNOWN_PROCESS`, `STOPPED`, `PEER_UNREACHABLE` when the initiator does not answer
   */
  async snapshot(
    initiator: ProcessId,
    options: { readonly label?: string; readonly timeoutMs: number },
  ): Promise<Taking> {
    const { id, hosted } = this.#member(initiator);
    // The initiator keeps to the time-out by itself, unless it hangs.
    const patienceMs = options.timeoutMs + PATIENCE_MS;
    return within(patienceMs, id, hosted.call("snapshot", options));
  }

  /**
   * Records what all processes do that answer, for so long or until `stopTrace`.
   * @throws TidemarkError `BUSY` if somebody does so already, `BAD_OPTION`, `PEER_UNREACHABLE` if nobody answers; then nothing is recorded
   */
  async startTrace(options: RecorderOptions, forMs: number): Promise<void> {
    const up = this.#members.filter((member) => member.up);
    const started = await Promise.allSettled(
      up.map(({ id, hosted }) =>
        within(STATUS_TIMEOUT_MS, id, hosted.call("startTrace", { options, forMs })),
      ),
    );
    const refusals = started.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    const isSilent = (reason: unknown): boolean => isTidemarkError(reason, "PEER_UNREACHABLE");
    const refusal = refusals.find((reason) => !isSilent(reason)) ?? refusals[0];
    // Of one that hangs there is nothing; the others are worth recording all the same, and so is why it hangs.
    if (refusals.length === 0 || (isSilent(refusal) && refusals.length < up.length)) return;
    // Of those that somebody else records nothing is ended.
    await Promise.allSettled(
      up
        .filter((_, i) => started[i]?.status === "fulfilled")
        .map(({ hosted }) => hosted.call("stopTrace", null)),
    );
    throw refusal;
  }

  /** What has been recorded, but for the events; of those that do not answer, or were started again meanwhile, nothing. */
  async stopTrace(): Promise<readonly RecordingHead[]> {
    const heads = await Promise.allSettled(
      this.#members.map(({ id, hosted }) =>
        within(STATUS_TIMEOUT_MS, id, hosted.call("stopTrace", null)),
      ),
    );
    return heads.flatMap((one) => (one.status === "fulfilled" && one.value ? [one.value] : []));
  }

  /** Events of what a process has recorded, from that one on; none behind the last. */
  readTrace(id: ProcessId, from: number): Promise<readonly RecordedEvent[]> {
    const { hosted } = this.#member(id);
    return within(READ_TIMEOUT_MS, id, hosted.call("readTrace", { from }));
  }

  /**
   * Kills, halts or resumes a process, or cuts or heals a channel.
   * @throws TidemarkError `BAD_OPTION` if it was not started for that, `UNKNOWN_PROCESS`, `NO_CHANNEL`, `NOT_RUNNING`
   */
  async disturb(disturbance: Disturbance): Promise<void> {
    if (!this.#options.chaos)
      throw new TidemarkError(
        "BAD_OPTION",
        "the system may not be disturbed: start it with --chaos, and processes can be killed and halted, and channels cut",
      );
    const { note } = this.#events;
    if ("from" in disturbance) {
      const { what, from, to } = disturbance;
      const sender = this.#member(from);
      if (this.#member(to) === sender)
        throw new TidemarkError("NO_CHANNEL", `${from} has no channel to itself`);
      if (what === "cut") this.#cuts.get(from)?.add(to);
      else this.#cuts.get(from)?.delete(to);
      // One that does not answer is told when it does, and one that is started again knows.
      void sender.hosted.call("cut", { to, isCut: what === "cut" }).catch(() => {});
      note(
        what === "cut"
          ? `${from} → ${to} is cut: nothing gets through`
          : `${from} → ${to} is healed`,
        { event: "disturbed", what, from, to },
      );
      return;
    }
    const { what, process } = disturbance;
    const { hosted, up } = this.#member(process);
    if (!up) throw new TidemarkError("NOT_RUNNING", `${process} does not run`);
    if (what === "kill") hosted.kill();
    else if (what === "halt") hosted.halt();
    else hosted.resume();
    note(`${process} (process ${hosted.pid}) is ${DONE[what]}, as somebody wanted`, {
      ...{ event: "disturbed", what, process },
    });
  }

  /** Who can begin a snapshot: not who is down or halted, if anybody else is there. */
  get initiators(): readonly ProcessId[] {
    const able = this.#members.filter(({ up, hosted }) => up && !hosted.isHalted);
    return able.length > 0 ? able.map(({ id }) => id) : this.processes;
  }

  /** What disturbs it; nothing if it may not be disturbed. */
  get chaos(): ChaosStatus | undefined {
    const { chaos, log, restart } = this.#options;
    if (!chaos) return undefined;
    return {
      cuts: [...this.#cuts].flatMap(([from, all]) => [...all].map((to) => ({ from, to }))),
      halted: this.#members.flatMap(({ id, up, hosted }) => (up && hosted.isHalted ? [id] : [])),
      ...(log && { log }),
      restarts: restart.restarts,
    };
  }

  status(): Promise<ProcessStatus[]> {
    return Promise.all(this.#members.map((member) => statusOf(member, this.#options.epoch)));
  }

  /** Whether a restore is under way. */
  get isRestoring(): boolean {
    return this.#restoring !== undefined;
  }

  /** What all say of themselves who answer in time. */
  measures(): Promise<SystemMeasures["processes"]> {
    return Promise.all(this.#members.map(measuresOf));
  }

  /** Of those that answer in time. */
  async versions(): Promise<readonly HostVersions[]> {
    const asked = this.#members.map(async ({ id: process, hosted }) => ({
      process,
      ...(await within(STATUS_TIMEOUT_MS, process, hosted.call("versions", null))),
    }));
    const told = await Promise.allSettled(asked);
    return told.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  }

  /** Ends all processes: first all answer what they were asked, for one may need another for that. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const up = this.#members.filter((member) => member.up);
    // They are to answer, and to end in good order.
    for (const { hosted } of up) if (hosted.isHalted) hosted.resume();
    for (const { from, to } of this.chaos?.cuts ?? [])
      void this.#member(from)
        .hosted.call("cut", { to, isCut: false })
        .catch(() => {});
    const drained = up.map(async ({ id, hosted }) => {
      const asked = hosted.call("drain", { timeoutMs: DRAIN_MS });
      const left = await within(DRAIN_MS + PATIENCE_MS, id, asked).catch(() => 0);
      if (left > 0)
        this.#events.note(`${id} ends with ${left} requests that it has not answered`, {
          ...{ event: "requests_unanswered", process: id, requests: left },
        });
    });
    await Promise.all(drained);
    const withinMs = this.#options.log ? STOP_LOGGED_MS : STOP_MS;
    await Promise.all(this.#members.map((member) => member.stop(withinMs)));
    process.off("exit", this.#kill);
  }
}

function startOne(
  options: SystemOptions,
  id: ProcessId,
  { note }: SystemEvents,
  signal?: AbortSignal,
  cuts?: Cuts,
): Promise<HostedProcess> {
  const { processes, source, epoch, seed, port, directory, sync, spoil, log } = options;
  const { compressLevel, key, trace, spans, chaos, tls } = options;
  return HostedProcess.start(
    {
      id,
      source,
      epoch,
      processes,
      ...(seed === undefined ? {} : { seed: `${seed} ${id}` }),
      port: port === 0 ? 0 : port + processes.indexOf(id),
      ...(tls !== undefined && { tls }),
      directory,
      sync,
      compressLevel,
      ...(key === undefined ? {} : { key }),
      ...(spoil && { spoil }),
      ...(log && { log: { directory: logOf(directory, id), policy: log } }),
      ...(trace && { trace }),
      ...(spans && { spans }),
      ...(chaos && { cuts: [...(cuts?.get(id) ?? [])] }),
    },
    ({ code, message }) => note(message, { event: "process_problem", process: id, code }),
    signal,
  );
}

/** @param byDefault its epoch, as long as it does not say in which it is */
export async function statusOf(
  { id: process, hosted, up, restarts, lastEnd, givenUp }: SupervisedProcess,
  byDefault: number,
): Promise<ProcessStatus> {
  const { pid, address } = hosted;
  const again = {
    ...(restarts > 0 || lastEnd !== undefined ? { restarts, lastEnd } : {}),
    ...(givenUp && { givenUp: givenUp.message }),
  };
  const known = { process, pid, address, up, epoch: byDefault };
  try {
    const asked = hosted.call("status", null);
    const { epoch, counters, explanation } = await within(STATUS_TIMEOUT_MS, process, asked);
    return { ...known, epoch, ...counters, explanation, ...again } as ProcessStatus;
  } catch {
    // That it does not answer is what there is to know.
    return { ...known, ...again } as ProcessStatus;
  }
}

/** What one says of itself; one that does not answer within a second says nothing. */
export async function measuresOf({
  id: process,
  up,
  restarts,
  hosted,
}: SupervisedProcess): Promise<SystemMeasures["processes"][number]> {
  const asked = up ? within(STATUS_TIMEOUT_MS, process, hosted.call("measure", null)) : undefined;
  const host = await asked?.catch(() => undefined);
  return { process, up, restarts, ...(host && { host }) };
}

/** @throws TidemarkError `PEER_UNREACHABLE` when it takes longer */
export async function within<T>(timeoutMs: number, id: ProcessId, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const message = `${id} does not answer, although it has had ${timeoutMs} ms`;
      reject(new TidemarkError("PEER_UNREACHABLE", message, { definite: false }));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
