/**
 * A process whose inputs are logged, so that it survives its own death: what it does to the outside waits until the inputs that led to
 * it are as safe as was asked for.
 *
 * Assumptions. The application is deterministic, and its captured state is all that its turns depend on. The log keeps records in
 * order; what it has said to be settled, it gives back after a crash.
 *
 * Theory of operation (output commit: Strom and Yemini 1985, "Optimistic Recovery in Distributed Systems", §2; pessimistic
 * logging: Elnozahy, Alvisi, Wang and Johnson 2002, "A Survey of Rollback-Recovery Protocols", §3.2). Every input is
 * taken, and appended as a record, with the time that it came. Its effects are held
 * until that record is settled; then they are performed, in order. So nobody has seen anything of a process that a crash can take
 * back: after one, the newest image and the records behind it lead another process to the very same state, as the same
 * life, and to its peers it was no more than away. An input on which the process fails is not appended: it
 * has led to nothing.
 *
 * A record, little-endian:
 *
 * | offset | type | field |
 * |---|---|---|
 * | 0 | u8 | 1 a frame, 2 another input, 3 a request |
 * | 4 | u32 | fingerprint of the effects |
 * | 8 | f64 | nowMs |
 * | 16 | u32 | length of the text |
 * | 20 | | text: a frame's sender, then, behind a space, why captures failed, if some did, as JSON; of other inputs all, as JSON |
 * | | | body: the frame, the request |
 *
 * The fingerprint is over the kinds of the effects, the sizes of frames with what stands at both ends of them, and replies that are
 * numbers or texts, but not what is said unasked. If a replay leads to others, the application is not deterministic or has been changed,
 * and the replay ends with that. What differs in the middle of a large message, or in the state alone until it shows in a message, is
 * not seen.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import { isProcessId, isSnapshotId, type ProcessId } from "../core/id.ts";
import { type Channel, Topology } from "../core/topology.ts";
import { decodeUtf8, encodeUtf8 } from "../core/utf8.ts";
import type { PieceRecord } from "../snapshot/manifest.ts";
import { checkPiece } from "../snapshot/manifest-check.ts";
import { UNASKED } from "./application.ts";
import type { Codec } from "./codec.ts";
import type { CaptureFailure, Process, ProcessEffect, ProcessInput } from "./process.ts";

const FRAME = 1;
const OTHER = 2;
const REQUEST = 3;
const HEAD_BYTES = 20;
const NO_BODY = new Uint8Array(0);

/** Where records go. The bytes are lent. */
export interface RecordLog {
  /** Gives how many bytes have ever been appended, with these. */
  append(head: Uint8Array, body: Uint8Array): number;
}

interface Held<M, Reply> {
  readonly position: number;
  readonly effects: readonly ProcessEffect<M, Reply>[];
}

/** See the head of the file. */
export class Journal<M, State, Request, Reply> {
  readonly #process: Process<M, State, Request, Reply>;
  readonly #requestCodec: Codec<Request>;
  readonly #log: RecordLog;
  readonly #names = new Map<string, Uint8Array>();
  /** In order; the first `#done` of them are done. */
  #held: Held<M, Reply>[] = [];
  #done = 0;

  constructor(
    process: Process<M, State, Request, Reply>,
    requestCodec: Codec<Request>,
    log: RecordLog,
  ) {
    this.#process = process;
    this.#requestCodec = requestCodec;
    this.#log = log;
  }

  /** True while effects wait for the log. */
  get waits(): boolean {
    return this.#held.length > this.#done;
  }

  /**
   * Takes an input and logs it. Gives what need not wait, for nobody sees it: when to wake it, timers, and that it has failed.
   * @throws TidemarkError `BAD_MESSAGE` for a request that the codec cannot encode; then nothing has happened
   */
  step(given: ProcessInput<Request>): readonly ProcessEffect<M, Reply>[] {
    // As it will be read: what it leads to may depend on the order of its fields.
    const input = given.type === "stored" ? { ...given, piece: pieceIn(given.piece) } : given;
    // First: a request that cannot be logged must not be taken.
    const body = this.#bodyOf(input);
    const effects = this.#process.step(input);
    const failed = effects.filter(({ type }) => type === "failed");
    if (failed.length > 0) return failed;
    const position = this.#log.append(this.#headOf(input, fingerprintOf(effects)), body);
    const inner = effects.filter(isInner);
    if (inner.length < effects.length || this.waits) this.#held.push({ position, effects });
    return inner;
  }

  /** Everything up to that position is settled: gives what waited for that, in order. */
  settled(position: number): readonly ProcessEffect<M, Reply>[] {
    const free: ProcessEffect<M, Reply>[] = [];
    for (; this.#done < this.#held.length; this.#done += 1) {
      const held = this.#held[this.#done] as Held<M, Reply>;
      if (held.position > position) break;
      for (const effect of held.effects) if (!isInner(effect)) free.push(effect);
    }
    if (this.#done * 2 > this.#held.length) {
      this.#held = this.#held.slice(this.#done);
      this.#done = 0;
    }
    return free;
  }

  #bodyOf(input: ProcessInput<Request>): Uint8Array {
    if (input.type === "frame") return input.frame;
    if (input.type !== "request") return NO_BODY;
    try {
      return this.#requestCodec.encode(input.request);
    } catch (thrown) {
      const reason = `${this.#requestCodec.name} cannot encode it: ${textOf(thrown)}`;
      throw new TidemarkError("BAD_MESSAGE", `a request cannot be logged: ${reason}`, {
        cause: thrown,
      });
    }
  }

  #headOf(input: ProcessInput<Request>, fingerprint: number): Uint8Array {
    const failures = this.#process.captureFailures;
    const kind = input.type === "frame" ? FRAME : input.type === "request" ? REQUEST : OTHER;
    const text =
      kind === FRAME && failures.length === 0 ? this.#name(input) : textOfInput(input, failures);
    const head = new Uint8Array(HEAD_BYTES + text.length);
    const view = new DataView(head.buffer);
    view.setUint8(0, kind);
    view.setUint32(4, fingerprint, true);
    view.setFloat64(8, input.nowMs, true);
    view.setUint32(16, text.length, true);
    head.set(text, HEAD_BYTES);
    return head;
  }

  #name(input: ProcessInput<Request>): Uint8Array {
    const { from } = input as Extract<ProcessInput<Request>, { type: "frame" }>;
    let name = this.#names.get(from);
    if (!name) {
      name = encodeUtf8(from);
      this.#names.set(from, name);
    }
    return name;
  }
}

/**
 * Has a process take a logged input once more.
 * @throws TidemarkError `LOG_DAMAGED` if the record is none; `DIVERGED` if the process does something else than it did
 */
export function replayRecord<M, State, Request, Reply>(
  process: Process<M, State, Request, Reply>,
  requestCodec: Codec<Request>,
  record: Uint8Array,
): void {
  const { input, fingerprint, failures } = decodeRecord(record, requestCodec);
  const effects = process.replay(input, failures);
  if (fingerprintOf(effects) === fingerprint) return;
  const [first] = effects;
  const why =
    first?.type === "failed"
      ? `it throws: ${first.error.message}`
      : "it sends or replies something else, or in other batches";
  throw new TidemarkError(
    "DIVERGED",
    `the replay of the input log does something else than was done before, at an input "${input.type}": ${why}. ` +
      "An application must be deterministic, capture all that its turns depend on, and be the same program as when it wrote the log",
  );
}

interface Decoded<Request> {
  readonly input: ProcessInput<Request>;
  readonly fingerprint: number;
  readonly failures: readonly CaptureFailure[];
}

function decodeRecord<Request>(record: Uint8Array, requestCodec: Codec<Request>): Decoded<Request> {
  const damaged = (what: string, cause?: unknown): TidemarkError =>
    new TidemarkError("LOG_DAMAGED", `a record of the input log ${what}`, { cause });
  if (record.length < HEAD_BYTES) throw damaged(`has ${record.length} bytes only`);
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const kind = view.getUint8(0);
  const fingerprint = view.getUint32(4, true);
  const nowMs = view.getFloat64(8, true);
  const textEnd = HEAD_BYTES + view.getUint32(16, true);
  if (textEnd > record.length || !Number.isFinite(nowMs)) throw damaged("is not well formed");
  const text = decodeUtf8(record.subarray(HEAD_BYTES, textEnd));
  const body = record.subarray(textEnd);
  if (text === undefined) throw damaged("is not UTF-8");
  try {
    if (kind === FRAME) {
      const [from = "", rest] = split(text);
      if (!isProcessId(from)) throw new SyntaxError("it has no sender");
      const failures = rest === "" ? [] : failuresIn(JSON.parse(rest));
      return { input: { type: "frame", from, frame: body, nowMs }, fingerprint, failures };
    }
    const { failures = [], ...rest } = JSON.parse(text) as Said;
    const said = { ...rest, nowMs };
    const input =
      kind === REQUEST
        ? { ...said, request: requestCodec.decode(new Uint8Array(body)) }
        : inputIn(said);
    return { input: input as ProcessInput<Request>, fingerprint, failures: failuresIn(failures) };
  } catch (thrown) {
    throw damaged(`cannot be read: ${textOf(thrown)}`, thrown);
  }
}

function split(text: string): readonly [string, string] {
  const at = text.indexOf(" ");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function failuresIn(value: unknown): readonly CaptureFailure[] {
  if (!Array.isArray(value)) throw new SyntaxError("its failures are no list");
  return value.map((one: Partial<CaptureFailure> | null) => {
    const { snapshot, text } = one ?? {};
    if (!isSnapshotId(snapshot) || typeof text !== "string")
      throw new SyntaxError("a failure has no snapshot or text");
    return { snapshot, text };
  });
}

const INPUTS: ReadonlySet<unknown> = new Set<ProcessInput<never>["type"]>([
  ...(["start", "recover", "peer-up", "peer-down", "dropped", "timer", "tick", "receive"] as const),
  ...(["snapshot", "abandon", "stored", "store-failed", "committed", "topology"] as const),
  ...(["order-log-open", "order-log-read"] as const),
]);

/** What stands in a record as JSON. */
interface Said {
  readonly type?: unknown;
  readonly failures?: unknown;
  readonly piece?: unknown;
  readonly topology?: {
    readonly processes: readonly ProcessId[];
    readonly channels: readonly Channel[];
  };
}

/** The log is this process' own, behind a checksum: the kind is looked at, and what must be made of its parts. */
function inputIn(said: Said): unknown {
  const { type, topology, piece } = said;
  if (!INPUTS.has(type)) throw new SyntaxError(`there is no input ${JSON.stringify(type)}`);
  if (type === "topology") {
    if (!topology) throw new SyntaxError("it has no topology");
    return { ...said, topology: new Topology(topology.processes, topology.channels) };
  }
  return type === "stored" ? { ...said, piece: pieceIn(piece) } : said;
}

function pieceIn(piece: unknown): PieceRecord {
  const checked = checkPiece(piece);
  if ("problem" in checked) throw new SyntaxError(checked.problem);
  return checked.piece;
}

function textOfInput(
  input: ProcessInput<unknown>,
  failures: readonly CaptureFailure[],
): Uint8Array {
  if (input.type === "frame") return encodeUtf8(`${input.from} ${JSON.stringify(failures)}`);
  const { nowMs: _, ...rest } = input;
  const said =
    rest.type === "topology"
      ? {
          type: rest.type,
          topology: { processes: rest.topology.processes, channels: rest.topology.channels() },
        }
      : rest.type === "request"
        ? { type: rest.type, id: rest.id }
        : rest;
  return encodeUtf8(JSON.stringify(failures.length === 0 ? said : { ...said, failures }));
}

/** It leads to nothing but further inputs, whose records come after that of this one. */
const isInner = ({ type }: ProcessEffect<unknown, unknown>): boolean =>
  type === "wake" || type === "timer";

/** Of a frame so many bytes at either end are looked at: all of most, and what costs next to nothing of the largest. */
const LOOKED_AT_BYTES = 128;

/** For whoever listens, which is nobody in a replay. */
const isUnasked = (effect: ProcessEffect<unknown, unknown>): boolean =>
  effect.type === "reply" && effect.id === UNASKED;

/** What went wrong may be told otherwise the second time: it is left out. */
function fingerprintOf(effects: readonly ProcessEffect<unknown, unknown>[]): number {
  let print = 0;
  for (const effect of effects) {
    if (effect.type === "problem" || isUnasked(effect)) continue;
    if (effect.type === "frame") print = mixBytes(print, effect.frame);
    else print = mix(print, effect.type.length << 24);
    if (effect.type === "reply") print = mixReply(print, effect.reply);
  }
  return print >>> 0;
}

function mix(print: number, more: number): number {
  const mixed = Math.imul(print ^ more, 0x9e3779b1) + 1;
  return mixed ^ (mixed >>> 15);
}

function mixBytes(print: number, bytes: Uint8Array): number {
  const { length } = bytes;
  let mixed = mix(print, length);
  const head = Math.min(length, LOOKED_AT_BYTES);
  for (let i = 0; i < head; i += 1) mixed = mix(mixed, bytes[i] as number);
  for (let i = Math.max(head, length - LOOKED_AT_BYTES); i < length; i += 1)
    mixed = mix(mixed, bytes[i] as number);
  return mixed;
}

function mixReply(print: number, reply: unknown): number {
  if (typeof reply !== "number" && typeof reply !== "string") return print;
  const text = String(reply);
  let mixed = mix(print, text.length);
  for (let i = 0; i < Math.min(text.length, LOOKED_AT_BYTES); i += 1)
    mixed = mix(mixed, text.charCodeAt(i));
  return mixed;
}
