/**
 * What one process can come to be, for a search through all schedules: its *local states*, each known by a number, and what
 * each input makes of them. A search comes by the same local state and input again and again; the shipping `Process` is asked
 * once, and the answer is kept. So a search is a walk through tables.
 *
 * Assumptions. Applications are deterministic. Time stands still; what the passing of time would bring, timers, may come at any
 * moment, and what only it can bring (a time-out, an acknowledgement by itself) does not. Stores are instantaneous.
 *
 * Theory of operation. A process is rebuilt by replaying its inputs on a new one, for it is deterministic. Two histories that lead to
 * the same application, snapshot machines and counts lead to the same local state. What a link knows of acknowledgements and
 * credit makes no difference to what can happen, over a network that loses nothing and while the window is open: frames are
 * compared, and delivered, without it. So all that a process ever sent counts as waiting: a schedule that has it send
 * more than LIMIT_BYTES on one channel ends with the error for that.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { copyOf, joinBytes, readRecords } from "../core/record.ts";
import { sha256 } from "../core/sha256.ts";
import type { Topology } from "../core/topology.ts";
import { parseFrame } from "../link/frame.ts";
import { type Application, FrozenState, type Turn } from "../process/application.ts";
import type { Codec } from "../process/codec.ts";
import { Process, type ProcessEffect, type ProcessInput } from "../process/process.ts";
import { decodeMarker, KIND_COLOURED, KIND_MESSAGES, STREAM_CHANNEL } from "../process/wire.ts";
import type { PartReference, PieceRecord } from "../snapshot/manifest.ts";
import { isPromise } from "./check.ts";
import { checkMethod, lookAt, type SeenSnapshot, seeSnapshot, slicesOf } from "./seen.ts";
import { copyOfData, keyOf, textOfBytes } from "./values.ts";
import type { World } from "./world.ts";
import { checkApplication } from "./world-check.ts";

/** What a frame is, seen from outside. */
export interface SeenFrame {
  readonly bytes: Uint8Array;
  /** Application messages in it. */
  readonly messages: readonly unknown[];
  /** For people: messages as JSON, `marker of p1/1`, `control`. */
  readonly text: string;
}

/** One thing that may happen to a process. */
export type LocalInput =
  | { readonly type: "receive"; readonly from: ProcessId; readonly frame: number }
  | { readonly type: "request" }
  | { readonly type: "snapshot" }
  | { readonly type: "timer"; readonly name: string };

/** What an input makes of a local state. */
export interface LocalStep {
  readonly to: number;
  readonly sends: readonly { readonly to: ProcessId; readonly frame: number }[];
  /** What went wrong, if something did. */
  readonly wrong: string | undefined;
}

interface Local<State, Reply, M> {
  readonly parent: number;
  readonly input: LocalInput | undefined;
  readonly state: State;
  readonly timers: readonly string[];
  readonly asked: number;
  readonly begun: number;
  readonly replies: ReadonlyMap<number, Reply>;
  readonly snapshots: readonly SeenSnapshot<M, State>[];
  readonly steps: Map<string, LocalStep>;
}

const NOW_MS = 1_767_225_600_000;
const ACKNOWLEDGED_AT = 16;
const CREDIT_AT = 24;
const WINDOW_BYTES = 2 ** 40;
const LIMIT_BYTES = 64 * 1024 * 1024;
/** What a number, its place in a table and the objects around it take, about. */
const ENTRY_BYTES = 300;

/** Frames of a search, each known by a number. */
export class Frames<M> {
  readonly #codec: Codec<M>;
  readonly #numbers = new Map<string, number>();
  readonly #frames: SeenFrame[] = [];
  /** Memory that they take, about. */
  bytes = 0;

  constructor(codec: Codec<M>) {
    this.#codec = codec;
  }

  get(number: number): SeenFrame {
    return this.#frames[number] as SeenFrame;
  }

  /** The number of a frame, without what it says of acknowledgements; `undefined` if it says nothing else. */
  note(frame: Uint8Array): number | undefined {
    const bytes = copyOf(frame);
    const view = new DataView(bytes.buffer);
    const parsed = parseFrame(bytes);
    if (typeof parsed === "string" || !parsed.batch) return undefined;
    view.setFloat64(ACKNOWLEDGED_AT, 0, true);
    view.setFloat64(CREDIT_AT, WINDOW_BYTES, true);
    const key = textOfBytes(bytes);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const { kind, body } = parsed.batch;
    let seen: Omit<SeenFrame, "bytes">;
    if (kind === KIND_MESSAGES || kind === KIND_COLOURED)
      // The first record is then the colour.
      seen = this.#seeMessages(readRecords(body).slice(kind === KIND_COLOURED ? 1 : 0));
    else if (parsed.stream === STREAM_CHANNEL) {
      const markers = readRecords(body).map((record) => decodeMarker(record)?.snapshot);
      const text = markers.map((snapshot) => `marker of ${snapshot ?? "nothing"}`).join(", ");
      seen = { messages: [], text };
    } else seen = { messages: [], text: "control" };
    // As bytes, as their text, as messages and as the text of those.
    this.bytes += ENTRY_BYTES + 4 * bytes.length;
    this.#numbers.set(key, this.#frames.length);
    return this.#frames.push({ bytes, ...seen }) - 1;
  }

  /** What cannot be decoded goes wrong where it is received. */
  #seeMessages(records: readonly Uint8Array[]): Omit<SeenFrame, "bytes"> {
    try {
      const messages = records.map((record) => this.#codec.decode(copyOf(record)));
      return { messages, text: messages.map(textOfMessage).join(", ") };
    } catch (thrown) {
      return { messages: [], text: `what cannot be decoded: ${textOf(thrown)}` };
    }
  }
}

/** As JSON, or as near as it comes to that. */
function textOfMessage(message: unknown): string {
  const bigint = (_: string, one: unknown): unknown => (typeof one === "bigint" ? `${one}n` : one);
  try {
    return (JSON.stringify(message, bigint) as string | undefined) ?? String(message);
  } catch {
    return String(message);
  }
}

/** A process that was rebuilt, and what its driver knows of it. */
interface Live<M, State, Request, Reply> {
  readonly process: Process<M, State, Request, Reply>;
  readonly look: () => State;
  readonly timers: Set<string>;
  asked: number;
  begun: number;
  readonly replies: Map<number, Reply>;
  readonly snapshots: SeenSnapshot<M, State>[];
  sends: { readonly to: ProcessId; readonly frame: Uint8Array }[];
  wrong: string | undefined;
}

/** What processes of one search share. */
export interface SearchSetting<M, State, Request, Reply> {
  readonly world: World<M, State, Request, Reply>;
  readonly topology: Topology;
  readonly messageCodec: Codec<M>;
  readonly stateCodec: Codec<unknown>;
  readonly frames: Frames<M>;
  /** What was stored, by its SHA-256. */
  readonly parts: Map<string, Uint8Array>;
}

/** See the head of the file. */
export class LocalStates<M, State, Request, Reply> {
  readonly id: ProcessId;
  /** Indexes into the world's requests of those to this process. */
  readonly requests: readonly number[];
  /** How many snapshots it is to begin. */
  readonly snapshots: number;
  readonly #setting: SearchSetting<M, State, Request, Reply>;
  /** What was needed until all were connected. */
  readonly #setup: ProcessInput<Request>[] = [];
  readonly #locals: Local<State, Reply, M>[] = [];
  readonly #numbers = new Map<string, number>();
  #first: Live<M, State, Request, Reply> | undefined;
  /** Inputs that the process was asked for. */
  asked = 0;
  /** Memory that it all takes, about. */
  bytes = 0;
  /** Hears what is asked for, once it is answered. */
  onStep: ((from: number, input: LocalInput, step: LocalStep) => void) | undefined;

  constructor(id: ProcessId, setting: SearchSetting<M, State, Request, Reply>) {
    this.id = id;
    this.#setting = setting;
    const { requests = [], snapshots = [] } = setting.world;
    this.requests = [...requests.keys()].filter((index) => requests[index]?.of === id);
    this.snapshots = snapshots.filter((by) => by === id).length;
    this.#first = this.#fresh();
  }

  /** How many there are so far. */
  get count(): number {
    return this.#locals.length;
  }

  /** Before the search: an input as it is; gives the frames that it leads to. */
  prepare(
    input: ProcessInput<Request>,
  ): readonly { readonly to: ProcessId; readonly frame: Uint8Array }[] {
    const live = this.#first as Live<M, State, Request, Reply>;
    this.#setup.push(input.type === "frame" ? { ...input, frame: copyOf(input.frame) } : input);
    live.sends = [];
    this.#take(live, input);
    return live.sends;
  }

  /** The search begins: gives the number of the local state as it is now, and what is wrong already. */
  begin(): { readonly local: number; readonly wrong: string | undefined } {
    const live = this.#first as Live<M, State, Request, Reply>;
    this.#first = undefined;
    return { local: this.#note(live, -1, undefined), wrong: live.wrong };
  }

  /** Do not change what this gives. */
  get(number: number): Local<State, Reply, M> {
    return this.#locals[number] as Local<State, Reply, M>;
  }

  /** What that input makes of that local state. */
  step(number: number, input: LocalInput): LocalStep {
    const local = this.get(number);
    const key =
      input.type === "receive"
        ? `r${input.frame}`
        : input.type === "timer"
          ? `t${input.name}`
          : input.type;
    let step = local.steps.get(key);
    if (!step) {
      const live = this.#rebuild(number);
      live.sends = [];
      this.#apply(live, input);
      step = {
        to: this.#note(live, number, input),
        sends: live.sends.flatMap(({ to, frame }) => {
          const noted = this.#setting.frames.note(frame);
          return noted === undefined ? [] : [{ to, frame: noted }];
        }),
        wrong: live.wrong,
      };
      local.steps.set(key, step);
      this.bytes += ENTRY_BYTES;
      this.asked += 1;
      this.onStep?.(number, input, step);
    }
    return step;
  }

  #rebuild(number: number): Live<M, State, Request, Reply> {
    const inputs: LocalInput[] = [];
    for (let at = this.get(number); at.input; at = this.get(at.parent)) inputs.push(at.input);
    const live = this.#fresh();
    for (const input of this.#setup)
      this.#take(live, input.type === "frame" ? { ...input, frame: copyOf(input.frame) } : input);
    for (const input of inputs.reverse()) this.#apply(live, input);
    return live;
  }

  #fresh(): Live<M, State, Request, Reply> {
    const { world, topology, messageCodec, stateCodec } = this.#setting;
    const application = applicationOf(world, this.id);
    const fixed = new FixedCapture(this.id, application);
    const process = new Process<M, State, Request, Reply>({
      self: this.id,
      topology,
      application: fixed,
      messageCodec,
      stateCodec,
      seed: this.id,
      incarnation: incarnationOf(topology, this.id),
      epoch: 1,
      reliable: true,
      order: world.order,
      algorithm: world.algorithm,
      maxFrameBytes: 2 ** 24,
      receive: "auto",
      windowBytes: WINDOW_BYTES,
      limitBytes: LIMIT_BYTES,
      lostAfterMs: 2 ** 40,
      lastCount: 0,
    });
    return {
      process,
      look: () => lookAt<State>(fixed, stateCodec),
      timers: new Set(),
      asked: 0,
      begun: 0,
      replies: new Map(),
      snapshots: [],
      sends: [],
      wrong: undefined,
    };
  }

  #apply(live: Live<M, State, Request, Reply>, input: LocalInput): void {
    const { world, frames } = this.#setting;
    const nowMs = NOW_MS;
    switch (input.type) {
      case "receive": {
        const frame = copyOf(frames.get(input.frame).bytes);
        this.#take(live, { type: "frame", from: input.from, frame, nowMs });
        break;
      }
      case "request": {
        const index = this.requests[live.asked] as number;
        live.asked += 1;
        const { request } = (world.requests ?? [])[index] as { readonly request: Request };
        // It may change what it is given; the next time that must not be seen.
        this.#take(live, { type: "request", id: index, request: copyOfData(request), nowMs });
        break;
      }
      case "snapshot":
        live.begun += 1;
        this.#take(live, { type: "snapshot", token: live.begun, timeoutMs: 2 ** 40, nowMs });
        break;
      case "timer":
        live.timers.delete(input.name);
        this.#take(live, { type: "timer", name: input.name, nowMs });
        break;
    }
  }

  #take(live: Live<M, State, Request, Reply>, input: ProcessInput<Request>): void {
    const inputs = [input];
    for (let next = inputs.shift(); next && live.wrong === undefined; next = inputs.shift())
      for (const effect of live.process.step(next)) {
        const answer = this.#perform(live, effect);
        if (answer) inputs.push(answer);
      }
  }

  /** Gives the input that the effect leads to at once, if it does. */
  #perform(
    live: Live<M, State, Request, Reply>,
    effect: ProcessEffect<M, Reply>,
  ): ProcessInput<Request> | undefined {
    switch (effect.type) {
      case "frame":
        live.sends.push({ to: effect.to, frame: copyOf(effect.frame) });
        break;
      case "timer":
        live.timers.add(effect.name);
        break;
      case "reply":
        live.replies.set(effect.id, copyOfData(effect.reply));
        break;
      case "piece":
        return this.#coding(live, () => {
          return { type: "stored", piece: this.#store(effect), nowMs: NOW_MS };
        });
      case "commit": {
        const { snapshot, pieces } = effect;
        return this.#coding(live, () => {
          live.snapshots.push(seeSnapshot<M, State>(snapshot, pieces, this.#read, this.#setting));
          return { type: "committed", snapshot, nowMs: NOW_MS };
        });
      }
      case "snapshot-refused":
      case "problem":
      case "failed":
        live.wrong = effect.error.message;
        break;
      case "settled":
        if (effect.reason !== undefined)
          live.wrong = `snapshot ${effect.snapshot} was abandoned: ${effect.reason}`;
        break;
      case "wake":
      case "received":
      case "recorded":
      case "cut":
      case "snapshot-started":
      case "order-log-write":
        break;
    }
    return undefined;
  }

  /** Does what has a codec of the user's work; that may throw. */
  #coding<T>(live: Live<M, State, Request, Reply>, act: () => T): T | undefined {
    try {
      return act();
    } catch (thrown) {
      live.wrong ??= `what ${this.id} captured cannot be encoded and decoded: ${textOf(thrown)}`;
      return undefined;
    }
  }

  readonly #read = (name: string): Uint8Array => this.#setting.parts.get(name) as Uint8Array;

  #store({
    snapshot,
    state,
    recorded,
    recordedAtMs,
  }: Extract<ProcessEffect<M, Reply>, { type: "piece" }>): PieceRecord {
    const { parts, stateCodec, messageCodec } = this.#setting;
    const put = (bytes: Uint8Array): PartReference => {
      const name = sha256(bytes);
      if (!parts.has(name)) parts.set(name, copyOf(bytes));
      return { sha256: name, bytes: bytes.length };
    };
    const sliced = state instanceof FrozenState;
    const slices = sliced ? slicesOf(state).map((slice) => stateCodec.encode(slice)) : [state];
    return {
      snapshot,
      process: this.id,
      epoch: 1,
      state: { encoding: stateCodec.name, sliced, parts: slices.map(put) },
      messageEncoding: messageCodec.name,
      incoming: recorded.incoming.map(({ from, received, hash, inFlight, messages }) => {
        const part = inFlight === 0 ? {} : { part: put(joinBytes(messages)) };
        return { from, received, hash, inFlight, ...part };
      }),
      outgoing: recorded.outgoing,
      timing: { recordedAtMs, recordingMs: 0, captureMs: 0 },
    };
  }

  #note(
    live: Live<M, State, Request, Reply>,
    parent: number,
    input: LocalInput | undefined,
  ): number {
    const { process, timers, asked, begun, replies, snapshots } = live;
    const { random, snapshots: machine, collections, shares, links } = process.state;
    // With none, something went wrong.
    const state = this.#coding(live, live.look) as State;
    const counts = links.map(({ channel, control }) => [
      channel.next,
      channel.expected,
      control.next,
      control.expected,
      ...(this.#setting.world.order === "none"
        ? [inTurn(channel.early), inTurn(control.early)]
        : []),
    ]);
    const names = [...timers].sort();
    const key = keyOf([
      ...[state, names, asked, begun, replies, snapshots, random, counts, live.wrong],
      ...[machine, collections, shares],
    ]);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#locals.length;
    this.#numbers.set(key, number);
    // The key, and what it was made of.
    this.bytes += ENTRY_BYTES + 2 * key.length;
    const steps = new Map<string, LocalStep>();
    this.#locals.push({
      parent,
      input,
      state,
      timers: names,
      asked,
      begun,
      replies,
      snapshots,
      steps,
    });
    return number;
  }
}

/** In whatever order they came. */
const inTurn = <T>(early: ReadonlyMap<number, T>): [number, T][] =>
  [...early].sort(([one], [other]) => one - other);

/** From 1 on: the same in every search. */
export function incarnationOf(topology: Topology, id: ProcessId): number {
  return 1 + topology.processes.indexOf(id);
}

/** A frozen state whose slices are known, so that it can be compared. */
class FixedState extends FrozenState {
  readonly slices: readonly unknown[];

  constructor(slices: readonly unknown[]) {
    let at = 0;
    super(() => slices[at++]);
    this.slices = slices;
  }
}

/** @throws TidemarkError `BAD_OPTION` */
function applicationOf<M, State, Request, Reply>(
  world: World<M, State, Request, Reply>,
  id: ProcessId,
): Application<M, State, Request, Reply> {
  const bad = (why: string, cause?: unknown): TidemarkError =>
    new TidemarkError("BAD_OPTION", `application("${id}") ${why}`, { cause });
  let application: Application<M, State, Request, Reply>;
  try {
    application = world.application(id);
  } catch (thrown) {
    throw bad(`threw: ${textOf(thrown)}`, thrown);
  }
  if (isPromise(application)) throw bad("is async; it must be synchronous");
  checkApplication(id, application);
  return application;
}

/** An application whose frozen states are fixed at once: here nothing goes on meanwhile. */
class FixedCapture<M, State, Request, Reply> implements Application<M, State, Request, Reply> {
  readonly #id: ProcessId;
  readonly #inner: Application<M, State, Request, Reply>;

  constructor(id: ProcessId, inner: Application<M, State, Request, Reply>) {
    this.#id = id;
    this.#inner = inner;
  }

  start(turn: Turn<M, Reply>): void {
    checkMethod("start", this.#inner.start?.(turn));
    if (Object.keys(this.#inner.orderLogs?.() ?? {}).length > 0)
      throw new TypeError('a group with total "log" cannot be explored: there is no log');
  }

  receive(from: ProcessId, message: M, turn: Turn<M, Reply>): void {
    if (!this.#inner.receive) throw new TypeError(`the application of ${this.#id} has no receive`);
    checkMethod("receive", this.#inner.receive(from, message, turn));
  }

  request(id: number, request: Request, turn: Turn<M, Reply>): void {
    if (!this.#inner.request) throw new TypeError(`the application of ${this.#id} has no request`);
    checkMethod("request", this.#inner.request(id, request, turn));
  }

  timer(name: string, turn: Turn<M, Reply>): void {
    checkMethod("timer", this.#inner.timer?.(name, turn));
  }

  capture(): State | FrozenState {
    const captured = this.#inner.capture();
    checkMethod("capture", captured);
    return captured instanceof FrozenState ? new FixedState(slicesOf(captured)) : captured;
  }

  restore(state: State): void {
    this.#inner.restore(state);
  }
}
