/**
 * A process whose only channels are streams of JetStream: what the application is, is a function of state and message.
 *
 * Theory of operation. Messages are taken from the inbox in turns; each gives a new state, and may send. After some of them the process
 * writes a *checkpoint* (stream-ledger.ts), on top of its last one, and only then publishes what was sent, one message of a stream
 * after the other. The checkpoint is the acknowledgement: what it has is in the state, and what it has not comes again after a crash. A
 * message whose publication was not answered is published again with the same id; one that is in the stream twice all the same is known
 * by its number.
 *
 * Snapshots. The process looks now and then whether one was begun, and records it at its next checkpoint; it does so
 * at once when a message comes whose sender has. The checkpoint is then its piece, and is copied before anything else happens, also
 * after a crash in between: what is published later says that its sender had recorded.
 */

import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { headers } from "@nats-io/transport-node";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { checkProcessId, type ProcessId } from "../core/id.ts";
import { type NatsOptions, NatsSession } from "./connection.ts";
import { type Control, type Kept, STREAM_NAME, StreamControl } from "./stream-control.ts";
import {
  type Arrival,
  type Checkpoint,
  formatStamp,
  jsonText,
  STAMP_HEADER,
  StreamLedger,
  type Unpublished,
} from "./stream-ledger.ts";
import { placeOf, type StreamPlace, StreamReader } from "./stream-reader.ts";

/** A message that a process has taken from a stream. */
export interface StreamMessage<M> {
  readonly stream: string;
  readonly sequence: number;
  readonly subject: string;
  /** Undefined: it comes from outside, from somebody who is no process of this kind. */
  readonly from: ProcessId | undefined;
  /** Undefined if what came from outside is no JSON. */
  readonly value: M | undefined;
  readonly bytes: Uint8Array;
}

/** What a process can do while it takes a message. */
export interface StreamTurn {
  readonly self: ProcessId;
  /**
   * Sends a value that JSON can hold into a stream, at a subject that the stream has. It is published when the state is stored.
   * @throws TidemarkError `NO_CHANNEL` if `writes` does not name the stream, `BAD_OPTION` if that is no subject, `BAD_MESSAGE`
   */
  publish(stream: string, subject: string, value: unknown): void;
}

export interface NatsProcessOptions<State, M> extends NatsOptions {
  /** Of no other process with this prefix; it does not begin with "stream.". */
  readonly id: ProcessId;
  /**
   * What the names of Tidemark's own streams begin with: 1 to 64 letters, digits, "-" or "_". The same for all processes of a system.
   * @default "tidemark"
   */
  readonly prefix?: string;
  /**
   * On how many servers its state is kept: 1, or 3 of a cluster.
   * @default 1
   */
  readonly replicas?: 1 | 3;
  /** The streams that it reads, each as a whole. They exist, and forget nothing because somebody has had it (`retention: limits`). */
  readonly reads?: readonly string[];
  /** The streams that it publishes to. */
  readonly writes?: readonly string[];
  /** What it begins with when it runs for the first time. JSON can hold it, and the server in one message. */
  readonly initial: State;
  /**
   * Takes a message; gives the state after it, and leaves the one before as it is. Synchronous, and without effects of its own: after a
   * crash it may be done again.
   */
  receive(state: State, message: StreamMessage<M>, turn: StreamTurn): State;
  /** Is told what does not end the process. */
  readonly onProblem?: (problem: TidemarkError) => void;
}

export interface RunningNatsProcess<State> extends AsyncDisposable {
  readonly id: ProcessId;
  /** As of the last message; not to be changed. */
  readonly state: State;
  /** Resolves when it is stopped; rejects when it ends by itself, with the reason. */
  readonly ended: Promise<void>;
  /**
   * A step from outside: gives the state after it, and may publish. Resolves with that state when it is stored.
   * @throws TidemarkError `STOPPED`, and what `work` throws: then nothing is changed
   */
  turn(work: (state: State, turn: StreamTurn) => State): Promise<State>;
  /** Stores what it has, publishes what it sent, and ends. */
  stop(): Promise<void>;
  /** Ends for good: later snapshots are without it, and its state is removed. */
  leave(): Promise<void>;
}

/** Messages between two checkpoints. */
const MESSAGES_PER_CHECKPOINT = 256;
/** Messages of a stream that wait in memory; then no more are asked for. */
const WAITING_MAX = 1_000;
const LOOK_MS = 200;
const START_ATTEMPTS = 5;

const PREFIX = /^[A-Za-z0-9_-]{1,64}$/;
const SUBJECT = /^[^\s.*>]+(?:\.[^\s.*>]+)*$/;

/** The bucket of processes that use streams, with the checks that all its users need. */
export function openControl(
  options: NatsOptions & { readonly prefix?: string; readonly replicas?: 1 | 3 },
): { readonly session: NatsSession; readonly control: StreamControl } {
  const { prefix = "tidemark", replicas = 1 } = options;
  if (typeof prefix !== "string" || !PREFIX.test(prefix))
    throw bad('the prefix has 1 to 64 letters, digits, "-" or "_"');
  if (replicas !== 1 && replicas !== 3) throw bad(`replicas is ${replicas}; use 1 or 3`);
  const session = new NatsSession(options, "STORE_FAILED");
  return { session, control: new StreamControl(session, prefix, replicas) };
}

/**
 * Starts a process, or goes on with it where its last checkpoint is.
 *
 * @throws TidemarkError `BAD_OPTION`, `BAD_ID`, `NOT_FOUND` if a stream is not there, `BAD_MESSAGE` if `initial` has no JSON form,
 * `STORE_FAILED`
 *
 * @example
 * ```ts no-run
 * import { startNatsProcess } from "tidemark/nats";
 * const running = await startNatsProcess<{ balance: number }, { to: string; amount: number }>({
 *   ...{ servers: "nats://127.0.0.1:4222", prefix: "bank", id: "p1", initial: { balance: 100 } },
 *   ...{ reads: ["transfers"], writes: ["transfers"] },
 *   receive: (state, { value }) =>
 *     value?.to === "p1" ? { balance: state.balance + value.amount } : state,
 * });
 * await running.turn((state, turn) => {
 *   turn.publish("transfers", "transfers.p2", { to: "p2", amount: 30 });
 *   return { balance: state.balance - 30 };
 * });
 * await running.stop();
 * ```
 */
export async function startNatsProcess<State, M = unknown>(
  options: NatsProcessOptions<State, M>,
): Promise<RunningNatsProcess<State>> {
  const { id, reads = [], writes = [], initial, receive } = options;
  checkProcessId(id);
  if (id.startsWith("stream."))
    throw new TidemarkError("BAD_ID", `${id} cannot be a process: that is how streams are called`);
  for (const name of [...reads, ...writes])
    if (typeof name !== "string" || !STREAM_NAME.test(name))
      throw bad(
        `${JSON.stringify(name)} cannot be used as a stream: use one whose name has 1 to 57 letters, digits, "-" or "_"`,
      );
  if (typeof receive !== "function") throw bad("receive is a function of state, message and turn");
  jsonText(initial, "initial");
  const { session, control } = openControl(options);
  try {
    const running = new NatsProcess(options, session, control);
    await running.start();
    return running;
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** A step from outside, until it is stored. */
interface Step<State> {
  readonly work: (state: State, turn: StreamTurn) => State;
  readonly resolve: (state: State) => void;
  readonly reject: (error: unknown) => void;
}

class NatsProcess<State, M> implements RunningNatsProcess<State> {
  readonly id: ProcessId;
  readonly ended: Promise<void>;
  readonly #options: NatsProcessOptions<State, M>;
  readonly #session: NatsSession;
  readonly #store: StreamControl;
  readonly #places = new Map<string, StreamPlace>();
  readonly #inbox: Arrival[] = [];
  /** How many of the inbox are of each stream. */
  readonly #waiting = new Map<string, number>();
  #steps: Step<State>[] = [];
  /** Which may publish now. */
  #open: StreamTurn | undefined;
  /** Done, and not stored yet, each with the state after it. */
  #done: (readonly [step: Step<State>, state: State])[] = [];
  #control!: Control;
  #ledger!: StreamLedger;
  #state!: State;
  #revision: number = 0;
  #stopping: boolean = false;
  /** Why it cannot go on. */
  #reason: TidemarkError | undefined;
  #wake: () => void = () => {};
  #haveRoom: (() => void)[] = [];
  #loop: Promise<void> = Promise.resolve();
  #end: (error: TidemarkError | undefined) => void = () => {};

  constructor(options: NatsProcessOptions<State, M>, session: NatsSession, store: StreamControl) {
    this.id = options.id;
    this.#options = options;
    this.#session = session;
    this.#store = store;
    this.ended = new Promise((resolve, reject) => {
      this.#end = (error) => (error ? reject(error) : resolve());
    });
    // Whoever does not ask is not ended by it.
    this.ended.catch(() => {});
  }

  get state(): State {
    return this.#state;
  }

  async start(): Promise<void> {
    const { reads = [], writes = [] } = this.#options;
    await this.#lookAtStreams([...reads, ...writes]);
    for (let attempt = 1; ; attempt += 1) {
      this.#control = await this.#join([...new Set(reads)].sort(), [...new Set(writes)].sort());
      await this.#goOn(reads, writes);
      try {
        // From here on nobody else goes on with it.
        await this.#checkpoint();
        break;
      } catch (error) {
        // The last words of one that was killed may come in between.
        if (!isTidemarkError(error, "DUPLICATE_ID") || attempt === START_ATTEMPTS) throw error;
      }
    }
    this.#loop = this.#run();
  }

  async #goOn(reads: readonly string[], writes: readonly string[]): Promise<void> {
    const { value, revision } = await this.#load();
    this.#revision = revision;
    this.#ledger = new StreamLedger(value, this.#control.lineage);
    this.#state = value.state as State;
    for (const stream of reads)
      this.#ledger.read(stream, (this.#places.get(stream)?.first ?? 1) - 1);
    for (const stream of writes) this.#ledger.write(stream);
    this.#checkPositions(reads);
    // What it had recorded, and sent, when it died.
    const isOpen = (one: number): boolean => this.#control.open.some(({ count }) => count === one);
    await this.#copy(value.recorded.filter(isOpen), JSON.stringify(value));
    await this.#publish();
  }

  async turn(work: (state: State, turn: StreamTurn) => State): Promise<State> {
    if (this.#stopping) throw this.#stopped();
    return await new Promise<State>((resolve, reject) => {
      this.#steps.push({ work, resolve, reject });
      this.#wake();
    });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#wake();
    await this.#loop;
  }

  async leave(): Promise<void> {
    await this.stop();
    if (this.#reason) throw this.#reason;
    await forgetNatsProcess(this.#options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #lookAtStreams(streams: readonly string[]): Promise<void> {
    for (const stream of new Set(streams)) {
      const place = await placeOf(this.#session, stream);
      if (!place)
        throw new TidemarkError(
          "NOT_FOUND",
          `there is no stream ${stream} at ${this.#session.where}: \`nats stream add ${stream}\` makes one`,
        );
      if (!place.keeps)
        throw bad(
          `the stream ${stream} forgets what somebody has had (retention interest or workqueue): ` +
            "each process reads all of it, and needs one with retention limits",
        );
      this.#places.set(stream, place);
    }
  }

  async #join(reads: readonly string[], writes: readonly string[]): Promise<Control> {
    const self = { process: this.id, reads, writes };
    return await this.#store.update((control) => {
      const known = control.processes.find(({ process }) => process === this.id);
      if (known && isDeepStrictEqual({ ...known, ...self }, known)) return undefined;
      const joined = known?.joined ?? control.snapshots;
      const others = control.processes.filter(({ process }) => process !== this.id);
      const processes = [...others, { ...self, joined }];
      return { ...control, processes: processes.sort((a, b) => (a.process < b.process ? -1 : 1)) };
    });
  }

  /** Where it goes on: from its checkpoint, from what it had in the snapshot that the epoch began from, or from the beginning. */
  async #load(): Promise<Kept<Checkpoint>> {
    const { restored, processes } = this.#control;
    const epoch = epochOf(this.#control);
    const kept = await this.#store.checkpoint(this.id);
    if (kept?.value.epoch === epoch) return kept;
    const revision = kept?.revision ?? 0;
    const begun = restored && (await this.#store.restored(restored.name, this.id));
    if (begun) return { value: begun, revision };
    const joined = processes.find(({ process }) => process === this.id)?.joined ?? 0;
    const value: Checkpoint = {
      ...{ process: this.id, epoch, snapshots: Math.max(joined, restored?.snapshots ?? 0) },
      ...{
        recorded: [],
        atMs: Date.now(),
        state: JSON.parse(jsonText(this.#options.initial, "initial")),
      },
      ...{ reads: [], writes: [], unpublished: [] },
    };
    return { value, revision };
  }

  /** @throws TidemarkError `DAMAGED` if a stream has lost what comes next */
  #checkPositions(streams: readonly string[]): void {
    for (const stream of streams) {
      const position = this.#ledger.positionOf(stream);
      const { first = 1, last = 0 } = this.#places.get(stream) ?? {};
      if (last < position)
        throw new TidemarkError(
          "DAMAGED",
          `the stream ${stream} ends at ${last}, but ${this.id} has had it up to ${position}: was it made anew?`,
        );
      if (first > position + 1)
        throw new TidemarkError(
          "DAMAGED",
          `the stream ${stream} begins at ${first}, but ${this.id} has had it up to ${position} only: its limits removed the rest`,
        );
    }
  }

  /** Until it is stopped, or cannot go on. */
  async #run(): Promise<void> {
    const { reads = [] } = this.#options;
    const others = [...new Set(reads)].map((stream) => this.#unlessItFails(this.#read(stream)));
    others.push(this.#unlessItFails(this.#look()));
    try {
      while (!this.#reason) {
        const changed = await this.#work();
        if (changed || this.#isSnapshotDue()) await this.#checkpoint();
        else if (this.#stopping) break;
        else await this.#woken();
      }
    } catch (error) {
      this.#reason ??= asTidemarkError(error);
    }
    this.#stopping = true;
    const reason = this.#reason ?? this.#stopped();
    for (const [{ reject }] of this.#done.splice(0)) reject(reason);
    for (const { reject } of this.#steps.splice(0)) reject(reason);
    this.#makeRoom();
    await this.#session.close();
    await Promise.all(others);
    this.#end(this.#reason);
  }

  /** What runs beside the loop, and ends it when it fails. */
  async #unlessItFails(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (this.#stopping) return;
      this.#reason ??= asTidemarkError(error);
      this.#wake();
    }
  }

  async #read(stream: string): Promise<void> {
    const reader = new StreamReader(this.#session, stream, this.#ledger.positionOf(stream));
    while (!this.#stopping) {
      const room = WAITING_MAX - (this.#waiting.get(stream) ?? 0);
      if (room <= 0) {
        await new Promise<void>((resolve) => this.#haveRoom.push(resolve));
        continue;
      }
      await reader.read(room, (arrival) => {
        this.#inbox.push(arrival);
        this.#waiting.set(stream, (this.#waiting.get(stream) ?? 0) + 1);
        this.#wake();
      });
    }
  }

  /** Looks now and then whether a snapshot, or an epoch, has begun. */
  async #look(): Promise<void> {
    while (!this.#stopping) {
      await pause(LOOK_MS);
      if (this.#stopping) return;
      await this.#learn();
      if (this.#isSnapshotDue()) this.#wake();
    }
  }

  /** @throws TidemarkError `RESTORED` */
  async #learn(): Promise<void> {
    const { value } = await this.#store.read();
    if (epochOf(value) > this.#ledger.epoch)
      throw new TidemarkError(
        "RESTORED",
        `the system was restored to a snapshot: epoch ${epochOf(value)} has begun. Start ${this.id} again`,
      );
    if (value.snapshots >= this.#control.snapshots) this.#control = value;
  }

  #isSnapshotDue(): boolean {
    return this.#control.snapshots > this.#ledger.snapshots;
  }

  async #woken(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      const isDue = this.#stopping || this.#reason !== undefined || this.#isSnapshotDue();
      if (isDue || this.#inbox.length > 0 || this.#steps.length > 0) resolve();
    });
  }

  /** Steps from outside, and then as many messages as go into one checkpoint. True if there was anything. */
  async #work(): Promise<boolean> {
    let changed = false;
    for (const step of this.#steps.splice(0)) {
      try {
        this.#state = this.#turnOf((turn) => step.work(this.#state, turn));
        this.#done.push([step, this.#state]);
        changed = true;
      } catch (error) {
        step.reject(error);
      }
    }
    if (this.#stopping) return changed;
    for (let taken = 0; taken < MESSAGES_PER_CHECKPOINT; taken += 1) {
      const [arrival] = this.#inbox;
      if (!arrival || !(await this.#take(arrival))) break;
      this.#inbox.shift();
      this.#waiting.set(arrival.stream, (this.#waiting.get(arrival.stream) ?? 1) - 1);
      changed = true;
    }
    this.#makeRoom();
    return changed;
  }

  #makeRoom(): void {
    for (const resolve of this.#haveRoom.splice(0)) resolve();
  }

  /** False: a snapshot has to be recorded first. */
  async #take(arrival: Arrival): Promise<boolean> {
    // What is missing in between was deleted one by one, or the stream has lost its beginning.
    if (arrival.sequence > this.#ledger.positionOf(arrival.stream) + 1) {
      await this.#lookAtStreams([arrival.stream]);
      this.#checkPositions([arrival.stream]);
    }
    const taken = this.#ledger.take(arrival);
    switch (taken.kind) {
      case "deliver":
        this.#deliver(arrival);
        return true;
      case "pass":
        if (taken.problem !== undefined) this.#tell("UNREADABLE_MESSAGE", taken.problem);
        return true;
      case "lost":
        throw new TidemarkError("DAMAGED", taken.problem);
      case "record":
      case "later": {
        await this.#learn();
        if (taken.kind === "record" && this.#control.snapshots >= taken.snapshots) return false;
        const { stream, sequence } = arrival;
        this.#tell(
          "UNREADABLE_MESSAGE",
          `message ${sequence} of the stream ${stream} is of a snapshot or an epoch that never began: it is passed over`,
        );
        this.#ledger.pass(arrival);
        return true;
      }
    }
  }

  #deliver({ stream, sequence, subject, stamp, payload, text }: Arrival): void {
    const message: StreamMessage<M> = {
      ...{ stream, sequence, subject, from: stamp?.process, bytes: payload },
      value: text === undefined ? undefined : (JSON.parse(text) as M),
    };
    try {
      this.#state = this.#turnOf((turn) => this.#options.receive(this.#state, message, turn));
    } catch (error) {
      throw new TidemarkError(
        "APPLICATION_THREW",
        `receive of ${this.id} threw at message ${sequence} of the stream ${stream}: ${textOf(error)}`,
        { cause: error },
      );
    }
  }

  /** What it sends counts only if it does not throw. */
  #turnOf(work: (turn: StreamTurn) => State): State {
    const sent: { readonly stream: string; readonly subject: string; readonly text: string }[] = [];
    const turn: StreamTurn = {
      self: this.id,
      publish: (stream, subject, value) => {
        if (this.#open !== turn)
          throw new TidemarkError("STOPPED", "the turn is over: publish before it ends");
        this.#ledger.checkWrites(stream);
        this.#checkSubject(stream, subject);
        sent.push({ stream, subject, text: jsonText(value, "a message") });
      },
    };
    this.#open = turn;
    try {
      const state = work(turn);
      for (const { stream, subject, text } of sent) this.#ledger.send(stream, subject, text);
      return state;
    } finally {
      this.#open = undefined;
    }
  }

  #checkSubject(stream: string, subject: string): void {
    const { subjects = [] } = this.#places.get(stream) ?? {};
    if (typeof subject !== "string" || !SUBJECT.test(subject))
      throw bad(`${JSON.stringify(subject)} is no subject to publish to`);
    if (!subjects.some((pattern) => isWithin(subject, pattern)))
      throw bad(
        `the stream ${stream} does not have the subject ${subject}, but ${subjects.join(", ")}`,
      );
  }

  /** Stores all that was done, and then lets out what was sent. */
  async #checkpoint(): Promise<void> {
    const { open, snapshots } = this.#control;
    const recorded = open
      .filter(
        ({ count, processes }) => count > this.#ledger.snapshots && processes.includes(this.id),
      )
      .map(({ count }) => count);
    this.#ledger.record(snapshots);
    const done = this.#done.splice(0);
    try {
      const checkpoint = this.#ledger.checkpoint(this.#state, recorded, Date.now());
      const text = jsonText(checkpoint, "the state");
      const revision = await this.#store.writeCheckpoint(this.id, text, this.#revision);
      if (revision === undefined) {
        await this.#learn();
        throw new TidemarkError(
          "DUPLICATE_ID",
          `another process called ${this.id} goes on from its last checkpoint: this one ends`,
        );
      }
      this.#revision = revision;
      for (const [step, state] of done) step.resolve(state);
      await this.#copy(recorded, text);
    } catch (error) {
      for (const [step] of done) step.reject(error);
      throw error;
    }
    await this.#publish();
  }

  /** A checkpoint is the process' piece of these snapshots. */
  async #copy(recorded: readonly number[], checkpoint: string): Promise<void> {
    for (const snapshot of recorded) await this.#store.writePiece(snapshot, this.id, checkpoint);
  }

  /** What was sent into a stream comes there in order: each when the one before is there. */
  async #publish(): Promise<void> {
    const all = this.#ledger.unpublished;
    const streams = [...new Set(all.map(({ stream }) => stream))];
    const { prefix } = this.#options;
    await Promise.all(
      streams.map(async (stream) => {
        for (const message of all.filter((one) => one.stream === stream))
          this.#ledger.published(stream, await publishMessage(this.#session, prefix, message));
      }),
    );
  }

  #tell(code: "UNREADABLE_MESSAGE", problem: string): void {
    try {
      this.#options.onProblem?.(new TidemarkError(code, problem));
    } catch {
      // What listens is not what runs.
    }
  }

  #stopped(): TidemarkError {
    return new TidemarkError("STOPPED", `${this.id} is stopped`);
  }
}

/** The present epoch. */
export function epochOf({ lineage }: Control): number {
  return lineage.at(-1)?.epoch ?? 1;
}

/** Gives its sequence number. It may be done again: the message has an id, and a number of its own. */
async function publishMessage(
  session: NatsSession,
  prefix: string = "tidemark",
  { stream, subject, stamp, text }: Unpublished,
): Promise<number> {
  return await session.use(`publish ${subject}`, async ({ jetstream }) => {
    const own = headers();
    own.set(STAMP_HEADER, formatStamp(stream, stamp));
    const { process, epoch, count } = stamp;
    const { seq } = await jetstream.publish(subject, Buffer.from(text), {
      ...{ msgID: `tidemark/${prefix}/${process}/${epoch}/${count}`, headers: own, retries: 0 },
      expect: { streamName: stream },
    });
    return seq;
  });
}

/**
 * Takes a process out of a system, for good: what it had sent is published, and its state is removed. It must not run.
 * @throws TidemarkError `UNKNOWN_PROCESS`, `STORE_FAILED`
 */
export async function forgetNatsProcess(
  options: NatsOptions & Pick<NatsProcessOptions<unknown, unknown>, "id" | "prefix" | "replicas">,
): Promise<void> {
  const { id, prefix } = options;
  const { session, control } = openControl(options);
  try {
    const kept = await control.checkpoint(id);
    const { processes } = (await control.read()).value;
    if (!processes.some(({ process }) => process === id))
      throw new TidemarkError(
        "UNKNOWN_PROCESS",
        `there is no process ${id}, but ${processes.map(({ process }) => process).join(", ") || "none at all"}`,
      );
    for (const message of kept?.value.unpublished ?? [])
      await publishMessage(session, prefix, message);
    await control.update((now) => ({
      ...now,
      processes: now.processes.filter(({ process }) => process !== id),
    }));
    await control.removeCheckpoint(id);
  } finally {
    await session.close();
  }
}

/** Whether a subject is one of those that a pattern means. */
function isWithin(subject: string, pattern: string): boolean {
  const parts = subject.split(".");
  const wanted = pattern.split(".");
  for (const [i, part] of wanted.entries()) {
    if (part === ">") return parts.length > i;
    if (parts[i] === undefined || (part !== "*" && part !== parts[i])) return false;
  }
  return parts.length === wanted.length;
}

function asTidemarkError(error: unknown): TidemarkError {
  if (isTidemarkError(error)) return error;
  return new TidemarkError("STORE_FAILED", textOf(error), { cause: error, definite: false });
}

function bad(what: string): TidemarkError {
  return new TidemarkError("BAD_OPTION", `NATS: ${what}`);
}
