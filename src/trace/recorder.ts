/**
 * Records what a process does: the newest events, in memory, for a trace.
 *
 * Assumptions. Whoever tells it events tells them in order, each life of the process after the one before. Values that an application
 * gives are its own to make cheap.
 *
 * Theory of operation. Columns of numbers, which grow until they have room for as many events as were asked for; then they are a ring,
 * and the oldest events are written over. An event is a batch, not a message: what is paid for each is a few stores. Objects are made of
 * events only when somebody wants to see them. A message is called by its number on the channel between two lives of its ends, which
 * both of them know, so recordings of different processes fit together though none knows of the other.
 *
 * Sampled, one event is kept for so many messages: that of a batch in which a number lies that can be divided by it. Both ends choose
 * the same ones, so a receive that is kept has its send kept. Of packets of groups the numbers decide alike; what else happens inside is
 * counted. What belongs to snapshots is kept always.
 *
 * A process that died may come to a moment again at which it was, and take the steps from there once more. `mark` and `rewind` let its
 * recording follow it.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import type {
  ObservedBodies,
  ObservedLife,
  ObservedPacket,
  ObservedRange,
  ProcessObserver,
  Valued,
} from "../core/observer.ts";
import { ORDER_LEVELS, type OrderLevel } from "../core/order-level.ts";
import { copyOf, recordBytes } from "../core/record.ts";
import type { EventType } from "./trace.ts";

/** What is recorded of a process. */
export interface RecorderOptions {
  /** How many events are kept at most, the newest. @default 65536 */
  readonly events?: number;
  /** One event is kept for so many messages: see the head of src/trace/recorder.ts. @default 1: every batch */
  readonly every?: number;
  /** Whether messages are kept as short text. @default false */
  readonly text?: boolean;
  /** How long at least from one look at the values of the application to the next, in milliseconds; 0: after every turn. @default 0 */
  readonly valuesEveryMs?: number;
}

/** What a process did, as far as it is recorded: plain data. `traceLines` makes a trace of those of all processes. */
export interface Recording {
  readonly process: ProcessId;
  /** The lives that it has seen, one after the other. */
  readonly lives: readonly { readonly incarnation: number; readonly epoch: number }[];
  /** Events that are not here: they have been written over. */
  readonly lost: number;
  /** It begins with a life's beginning. */
  readonly whole: boolean;
  /** One event for so many messages. */
  readonly every: number;
  readonly events: readonly RecordedEvent[];
}

/** One event of a recording. */
export interface RecordedEvent {
  readonly type: EventType;
  /** Which of the lives of the recording. */
  readonly life: number;
  readonly atMs: number;
  /**
   * Of `send`, `receive` and `deliver` the other process; of a `multicast` whom it is for, if that is one alone; of an `internal` event
   * who is there now.
   */
  readonly peer?: ProcessId;
  /** Which life of the peer; 0 if it had not been met. Of groups: which one of the member that multicast it, as groups count. */
  readonly peerLife?: number;
  /** The number of the first message; 0 if it was in flight in the snapshot that the process went on from. Of groups: of the packet. */
  readonly number?: number;
  readonly count?: number;
  /** Of `send` and `receive`: packets of groups, and not messages of the application. */
  readonly carries?: "packets";
  readonly group?: string;
  readonly order?: OrderLevel;
  readonly snapshot?: SnapshotId;
  readonly heldMs?: number;
  readonly text?: string;
  readonly values?: Values;
}

/** Values by name. */
export type Values = Readonly<Record<string, number | string | boolean | null>>;

/** A moment of a recording. */
export interface RecorderMark {
  readonly events: number;
  readonly inside: number;
  readonly values: Values;
  readonly valuesAtMs: number;
}

const BY_DEFAULT: Required<RecorderOptions> = {
  ...{ events: 65_536, every: 1, text: false, valuesEveryMs: 0 },
};
const EVENTS_MAX = 4_194_304;
const FIRST_EVENTS = 1024;
const TEXT_CHARACTERS = 80;
const VALUES_MAX = 64;
const VALUE_CHARACTERS = 256;

const LEVELS = Object.keys(ORDER_LEVELS) as readonly OrderLevel[];
const SEND = 0;
const RECEIVE = 1;
/** The same with packets of groups. */
const SEND_PACKETS = 2;
const RECEIVE_PACKETS = 3;
const RECORD = 4;
const INTERNAL = 5;
const CRASH = 6;
const DELIVER = 7;
/** One kind for each level. */
const MULTICAST = 8;

/** What a row has that is no number. */
interface Extra {
  text?: string;
  values?: Values;
}

/** Columns of rows. */
class Rows {
  readonly kind: Uint8Array;
  readonly life: Uint32Array;
  readonly peerLife: Uint32Array;
  readonly count: Uint32Array;
  readonly number: Float64Array;
  readonly atMs: Float64Array;
  readonly heldMs: Float64Array;
  /** The other process, and what else is named: a snapshot, a group, or what happened. */
  readonly peer: (string | undefined)[];
  readonly name: (string | undefined)[];
  readonly extra: (Extra | undefined)[];

  constructor(size: number, from?: Rows) {
    this.kind = column(new Uint8Array(size), from?.kind);
    this.life = column(new Uint32Array(size), from?.life);
    this.peerLife = column(new Uint32Array(size), from?.peerLife);
    this.count = column(new Uint32Array(size), from?.count);
    this.number = column(new Float64Array(size), from?.number);
    this.atMs = column(new Float64Array(size), from?.atMs);
    this.heldMs = column(new Float64Array(size), from?.heldMs);
    const rest = Array.from<undefined>({ length: size - (from?.peer.length ?? 0) });
    this.peer = [...(from?.peer ?? []), ...rest];
    this.name = [...(from?.name ?? []), ...rest];
    this.extra = [...(from?.extra ?? []), ...rest];
  }

  get size(): number {
    return this.kind.length;
  }
}

function column<C extends Uint8Array | Uint32Array | Float64Array>(made: C, from?: C): C {
  if (from) made.set(from);
  return made;
}

/**
 * See the head of the file. For `startProcess({ trace })` and worlds; who drives a `Process` alone gives it as its observer.
 *
 * @example
 * ```ts
 * import { Recorder, parseTrace, traceLines } from "tidemark/trace";
 * const [p, q] = [new Recorder("p"), new Recorder("q")];
 * const bodies = { body: new Uint8Array(8), codec: { decode: () => "hello" } };
 * p.turnBegins({ process: "p", incarnation: 7, epoch: 1 }, 1000, true);
 * p.sent({ peer: "q", peerLife: 8, first: 1, count: 100 }, bodies);
 * q.turnBegins({ process: "q", incarnation: 8, epoch: 1 }, 1002, true);
 * q.received({ peer: "p", peerLife: 7, first: 1, count: 100 }, bodies);
 * const trace = parseTrace([...traceLines([p.recording(), q.recording()])].join("\n"));
 * if (trace.arrows.length !== 1) throw new Error("a batch is one arrow");
 * ```
 */
export class Recorder implements ProcessObserver {
  readonly process: ProcessId;
  readonly #most: number;
  readonly #every: number;
  readonly #isTextWanted: boolean;
  readonly #valuesEveryMs: number;
  readonly #lives: ObservedLife[] = [];
  #rows: Rows;
  /** Events that were ever recorded, but for those that were taken back; and how many of the newest are here. */
  #total = 0;
  #kept = 0;
  /** What happened inside. */
  #inside = 0;
  #nowMs = 0;
  #life = -1;
  #incarnation = -1;
  /** When the turn began. */
  #turnFrom = 0;
  #whole: boolean = false;
  #hasEnded: boolean = false;
  #values: Values = {};
  #valuesAtMs = Number.NEGATIVE_INFINITY;
  #cannotBeAsked: boolean = false;
  /** What values were before the oldest event that is here, and of which life. */
  #older: Values = {};
  #olderLife = -1;

  /** @throws TidemarkError `BAD_OPTION` */
  constructor(process: ProcessId, options: RecorderOptions = {}) {
    const { events, every, text, valuesEveryMs } = checkRecorderOptions(options);
    this.process = process;
    this.#most = events;
    this.#every = every;
    this.#isTextWanted = text;
    this.#valuesEveryMs = valuesEveryMs;
    this.#rows = new Rows(Math.min(FIRST_EVENTS, events));
  }

  turnBegins(life: ObservedLife, nowMs: number, isFirst: boolean): void {
    if (life.incarnation !== this.#incarnation) this.#begin(life);
    if (isFirst && this.#total === 0) this.#whole = true;
    this.#nowMs = nowMs;
    this.#turnFrom = this.#total;
  }

  turnEnds(application: Valued): void {
    if (this.#total === this.#turnFrom) return;
    if (this.#nowMs - this.#valuesAtMs < this.#valuesEveryMs) return;
    const values = this.#changed(application);
    if (values) this.#extraOf(this.#total - 1).values = values;
  }

  sent(range: ObservedRange, bodies: ObservedBodies): void {
    this.#pass(SEND, range, bodies);
  }

  received(range: ObservedRange, bodies: ObservedBodies): void {
    this.#pass(RECEIVE, range, bodies);
  }

  sentMarker({ peer, peerLife, first }: ObservedRange, snapshot: SnapshotId): void {
    this.#add(SEND, snapshot, peer, peerLife, first, 1);
  }

  receivedMarker({ peer, peerLife, first }: ObservedRange, snapshot: SnapshotId): void {
    this.#add(RECEIVE, snapshot, peer, peerLife, first, 1);
  }

  recorded(snapshot: SnapshotId, application: Valued): void {
    // With what is recorded for the snapshot, values at its cut are what they were there.
    const values = this.#changed(application);
    if (values) {
      if (this.#total === this.#turnFrom) this.#add(INTERNAL, "values");
      this.#extraOf(this.#total - 1).values = values;
    }
    this.#add(RECORD, snapshot);
  }

  multicast(packet: ObservedPacket, order: OrderLevel, to: ProcessId | undefined): void {
    const { group, life, number, count } = packet;
    if (this.#every > 1 && number % this.#every !== 0) return;
    this.#add(MULTICAST + LEVELS.indexOf(order), group, to, life, number, count);
  }

  delivered(packet: ObservedPacket, bodies: ObservedBodies, heldMs: number): void {
    const { group, from, life, number, count } = packet;
    if (this.#every > 1 && number % this.#every !== 0) return;
    const row = this.#add(DELIVER, group, from, life, number, count);
    this.#rows.heldMs[row] = heldMs;
    if (this.#isTextWanted) this.#extraOf(this.#total - 1).text = textOfBodies(bodies, count);
  }

  met(peer: ProcessId, peerLife: number): void {
    this.#add(INTERNAL, "up:", peer, peerLife);
  }

  happened(what: string, about?: string | number): void {
    this.#inside += 1;
    if (this.#every > 1 && this.#inside % this.#every !== 0) return;
    const row = this.#add(INTERNAL, what, typeof about === "string" ? about : undefined);
    if (typeof about === "number") this.#rows.number[row] = about;
  }

  failed(reason: string): void {
    this.ended(reason);
  }

  /** The process has died, or does nothing more for another reason: until another life of it begins. */
  ended(reason: string): void {
    if (this.#hasEnded || this.#life < 0) return;
    this.#add(CRASH, reason);
    this.#hasEnded = true;
  }

  /** This moment. */
  mark(): RecorderMark {
    const [events, inside, values, valuesAtMs] = [
      ...([this.#total, this.#inside, this.#values, this.#valuesAtMs] as const),
    ];
    return { events, inside, values, valuesAtMs };
  }

  /** Forgets what was recorded since then; within one life. */
  rewind({ events, inside, values, valuesAtMs }: RecorderMark): void {
    this.#kept = Math.max(0, this.#kept - (this.#total - events));
    this.#total = events;
    this.#inside = inside;
    this.#values = values;
    this.#valuesAtMs = valuesAtMs;
    this.#hasEnded = false;
    if (this.#kept > 0) return;
    this.#older = values;
    this.#olderLife = this.#life;
  }

  /** What is here. */
  recording(): Recording {
    const events: RecordedEvent[] = [];
    for (let i = this.#total - this.#kept; i < this.#total; i += 1) events.push(this.#event(i));
    const [first] = events;
    if (first && first.life === this.#olderLife)
      events[0] = { ...first, values: { ...this.#older, ...first.values } };
    return {
      process: this.process,
      lives: this.#lives.map(({ incarnation, epoch }) => ({ incarnation, epoch })),
      lost: this.#total - this.#kept,
      whole: this.#whole,
      every: this.#every,
      events,
    };
  }

  #begin(life: ObservedLife): void {
    // Who goes on as another has ended as the one.
    this.ended("it goes on as another");
    this.#hasEnded = false;
    this.#incarnation = life.incarnation;
    this.#life = this.#lives.push({ ...life }) - 1;
    this.#values = {};
    this.#valuesAtMs = Number.NEGATIVE_INFINITY;
  }

  #pass(kind: number, { peer, peerLife, first, count }: ObservedRange, bodies: ObservedBodies) {
    const every = this.#every;
    if (every > 1 && Math.floor((first + count - 1) / every) === Math.floor((first - 1) / every))
      return;
    const one = bodies.codec.carries === undefined ? kind : kind + SEND_PACKETS;
    this.#add(one, undefined, peer, peerLife, first, count);
    if (this.#isTextWanted) this.#extraOf(this.#total - 1).text = textOfBodies(bodies, count);
  }

  /** Gives the row. */
  #add(
    kind: number,
    name: string | undefined,
    peer?: string,
    peerLife = 0,
    number = 0,
    count = 0,
  ): number {
    const at = this.#total;
    if (at >= this.#rows.size && this.#rows.size < this.#most)
      this.#rows = new Rows(Math.min(this.#most, 2 * this.#rows.size), this.#rows);
    const rows = this.#rows;
    const row = at % rows.size;
    if (this.#kept === rows.size) this.#forget(row);
    rows.kind[row] = kind;
    rows.life[row] = this.#life;
    rows.peerLife[row] = peerLife;
    rows.count[row] = count;
    rows.number[row] = number;
    rows.atMs[row] = this.#nowMs;
    rows.peer[row] = peer;
    rows.name[row] = name;
    rows.extra[row] = undefined;
    this.#total = at + 1;
    if (this.#kept < rows.size) this.#kept += 1;
    return row;
  }

  /** The oldest is to be written over; values that it has hold on. */
  #forget(row: number): void {
    const { extra, life } = this.#rows;
    const values = extra[row]?.values;
    if (!values) return;
    this.#older = this.#olderLife === life[row] ? { ...this.#older, ...values } : values;
    this.#olderLife = life[row] as number;
  }

  #extraOf(event: number): Extra {
    const { extra, size } = this.#rows;
    const row = event % size;
    const known = extra[row] ?? {};
    extra[row] = known;
    return known;
  }

  /** The values that are not what they were; `undefined` if there is none. */
  #changed(application: Valued): Values | undefined {
    if (this.#cannotBeAsked || typeof application.values !== "function") return undefined;
    this.#valuesAtMs = this.#nowMs;
    try {
      const now = application.values() ?? {};
      const changed = changedIn(this.#values, now);
      if (!changed) return undefined;
      this.#values = { ...this.#values, ...changed };
      return changed;
    } catch (thrown) {
      // Of what only watches nothing else should stop.
      this.#cannotBeAsked = true;
      this.#add(INTERNAL, `values cannot be had: ${textOf(thrown)}`.slice(0, VALUE_CHARACTERS));
      return undefined;
    }
  }

  #event(event: number): RecordedEvent {
    const rows = this.#rows;
    const row = event % rows.size;
    const kind = rows.kind[row] as number;
    const [name, peer] = [rows.name[row] ?? "", rows.peer[row] ?? ""];
    const [number, count] = [rows.number[row] as number, rows.count[row] as number];
    const common = { life: rows.life[row] as number, atMs: rows.atMs[row] as number };
    const peerLife = rows.peerLife[row] as number;
    const extra = rows.extra[row] ?? {};
    switch (kind) {
      case SEND:
      case SEND_PACKETS:
      case RECEIVE:
      case RECEIVE_PACKETS: {
        const type = kind === SEND || kind === SEND_PACKETS ? "send" : "receive";
        const marker = name === "" ? {} : { snapshot: name as SnapshotId };
        const carries = kind < SEND_PACKETS ? {} : ({ carries: "packets" } as const);
        const range = { peer, peerLife, number, count, ...carries };
        return { type, ...common, ...range, ...marker, ...extra };
      }
      case RECORD:
        return { type: "record", ...common, snapshot: name as SnapshotId, ...extra };
      case CRASH:
        return { type: "crash", ...common, text: name, ...extra };
      case INTERNAL: {
        const about = peer !== "" ? ` ${peer}` : number !== 0 ? ` ${number}` : "";
        const met = peerLife === 0 ? {} : { peer, peerLife };
        return { type: "internal", ...common, ...met, text: name + about, ...extra };
      }
      case DELIVER: {
        const heldMs = rows.heldMs[row] as number;
        const packet = { peer, peerLife, number, count, group: name, heldMs };
        return { type: "deliver", ...common, ...packet, ...extra };
      }
      default: {
        const order = LEVELS[kind - MULTICAST] as OrderLevel;
        const packet = { peerLife, number, count, group: name, order };
        return { type: "multicast", ...common, ...packet, ...(peer && { peer }), ...extra };
      }
    }
  }
}

/** @throws what the values, or one of them, cannot be */
function changedIn(
  before: Readonly<Record<string, unknown>>,
  now: Readonly<Record<string, unknown>>,
): Values | undefined {
  let changed: Record<string, Values[string]> | undefined;
  let many = 0;
  for (const name in now) {
    many += 1;
    if (many > VALUES_MAX) throw new RangeError(`there are more than ${VALUES_MAX}`);
    const value = checked(name, now[name]);
    if (value === before[name]) continue;
    changed ??= {};
    changed[name] = value;
  }
  return changed;
}

function checked(name: string, value: unknown): Values[string] {
  if (typeof value === "string") return value.slice(0, VALUE_CHARACTERS);
  if (typeof value === "boolean" || value === null) return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new TypeError(`${name} is no number, text, boolean or null`);
}

/** The first message, and how many more there are. */
function textOfBodies({ body, codec }: ObservedBodies, count: number): string {
  const more = count > 1 ? ` and ${count - 1} more` : "";
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const length = view.getUint32(0, true);
  let text: string;
  try {
    text = shortText(
      codec.decode(copyOf(body.subarray(4, Math.min(4 + length, recordBytes(length))))),
    );
  } catch (thrown) {
    text = `it cannot be decoded: ${textOf(thrown)}`;
  }
  return (text.length > TEXT_CHARACTERS ? `${text.slice(0, TEXT_CHARACTERS - 1)}…` : text) + more;
}

function shortText(message: unknown): string {
  if (typeof message === "string") return message;
  if (message instanceof Uint8Array) return `${message.length} bytes`;
  const text = JSON.stringify(message, (_key, value: unknown) => {
    if (typeof value === "bigint") return `${value}`;
    if (value instanceof Uint8Array) return `${value.length} bytes`;
    return value instanceof Map || value instanceof Set ? [...value] : value;
  });
  // Of what JSON does not have it makes nothing.
  return String(text);
}

/**
 * Options with nothing left out.
 * @throws TidemarkError `BAD_OPTION`
 */
export function checkRecorderOptions(options: unknown): Required<RecorderOptions> {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    refuse("the options are an object");
  const { events, every, text, valuesEveryMs, ...rest } = { ...BY_DEFAULT, ...options };
  const [other] = Object.keys(rest);
  if (other !== undefined) refuse(`there is no option ${other.slice(0, TEXT_CHARACTERS)}`);
  checkWhole("events", events, EVENTS_MAX);
  checkWhole("every", every, Number.MAX_SAFE_INTEGER);
  if (typeof text !== "boolean") refuse("text is true or false");
  if (typeof valuesEveryMs !== "number" || !(valuesEveryMs >= 0))
    refuse(`valuesEveryMs is a number from 0, not ${String(valuesEveryMs)}`);
  return { events, every, text, valuesEveryMs };
}

function checkWhole(name: string, value: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < 1 || value > most)
    refuse(`${name} is a whole number from 1 to ${most}, not ${String(value)}`);
}

function refuse(reason: string): never {
  throw new TidemarkError("BAD_OPTION", `of a trace, ${reason}`);
}
