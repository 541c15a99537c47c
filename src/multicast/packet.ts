/**
 * What members of a group send each other, as bytes. Numbers are little-endian. A *packet* is one record on a channel; it stands in
 * the sequence of the member that made it, its *origin*, and carries messages or a part of the total order:
 *
 * ```
 * 0  u8   kind: a level of messages, or `orders` or `finals`
 * 1  u8   origin, as an index into the view
 * 2  u8   the number of the group, among those that these processes have
 * 3  u8   entries of the stamp that changed since the packet before it
 * 4  u32  the life of the origin
 * 8  u32  messages, or entries
 * 12 f64  its number in the sequence, from 1
 * 20 u8   whom its messages are for, as an index into the view; 255 for all
 * 21      three zeros
 * 24      the messages as records, or the entries: f64 and f64 each
 * …       of each changed entry of the stamp: f64 origin, f64 number
 * ```
 *
 * The stamp stands last, so that messages are put together where they will be sent from before it is known (`Draft`).
 *
 * A *word* is between two members, in no sequence, and may be said again: `proposals`, `have`, `want` and `stable`.
 *
 * ```
 * 0  u8   kind
 * 1  u8   who says it, as an index into the view
 * 2  u8   the number of the group, and a zero
 * 4  u32  the life of who says it
 * 8  u32  entries
 * 12      the entries: f64 and f64 each
 * ```
 */

import type { OrderLevel } from "../core/order-level.ts";
import { countRecords, recordBytes } from "../core/record.ts";
import type { Slab } from "../core/slab.ts";

/** What a packet carries: messages of a level; or positions in a total order, by a sequencer or as agreed. */
export type PacketKind = OrderLevel | "orders" | "finals";

/** What a word says: numbers proposed for packets; which packets one has; which ones one wants; which ones all have. */
export type WordKind = "proposals" | "have" | "want" | "stable";

/** Two numbers; what they are depends on the kind. */
export type Entry = readonly [number, number];

/** A packet as it is before it has bytes, or as it was read. */
export interface Packet {
  readonly kind: PacketKind;
  /** An index into the view. */
  readonly origin: number;
  /** Which life of the origin: others than the one that the group began with are strangers. */
  readonly life: number;
  /** Its number in the origin's sequence. */
  readonly number: number;
  /** What changed of the stamp since the packet before: origin and number. */
  readonly changes: readonly Entry[];
  /** Whom its messages are for: an index into the view, or `ALL`. */
  readonly to: number;
  /** So many messages: see `messagesOf`. */
  readonly count: number;
  /** Of `orders`: origin and number. Of `finals`: number of the origin's packet and place in the order. */
  readonly entries: readonly Entry[];
}

/** See the head of the file. */
export interface Word {
  readonly kind: WordKind;
  /** Who says it, and in which life. */
  readonly origin: number;
  readonly life: number;
  readonly entries: readonly Entry[];
}

const KINDS: readonly (PacketKind | WordKind)[] = [
  ...(["reliable", "fifo", "causal", "total", "fifo-total", "causal-total"] as const),
  ...(["orders", "finals", "proposals", "have", "want", "stable"] as const),
];
const PACKET_KINDS = KINDS.indexOf("proposals");
const MESSAGE_KINDS = KINDS.indexOf("orders");
const PACKET_HEADER_BYTES = 24;
const WORD_HEADER_BYTES = 12;
const ENTRY_BYTES = 16;

/** A view is no larger; and no process has more groups. */
export const MEMBERS_MAX = 255;
/** No member's index. */
export const ALL = 255;
export const GROUPS_MAX = 256;

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The number of the group that the bytes are of, packet or word. */
export function groupOf(bytes: Uint8Array): number {
  return bytes[2] ?? 0;
}

/** What the header says beside what a packet carries. */
type Heading = Pick<Packet, "kind" | "origin" | "life" | "number" | "changes" | "to">;

/** So much of one level goes into one packet, unless one message is more; four of them just fit a batch of a channel. */
const PACKET_BYTES = 16_000;

/** Messages of one level, one behind the other, with room for what will stand before and behind them. */
export class Draft {
  readonly level: OrderLevel;
  /** Whom they are for: an index into the view, or `ALL`. */
  readonly to: number;
  count = 0;
  readonly #stampBytes: number;
  readonly #slab: Slab;
  #end = PACKET_HEADER_BYTES;
  #closed: Uint8Array | undefined;

  /** @param slab where its bytes lie; a draft before it in that slab must be closed */
  constructor(level: OrderLevel, to: number, members: number, slab: Slab) {
    this.level = level;
    this.to = to;
    this.#stampBytes = ENTRY_BYTES * members;
    this.#slab = slab;
  }

  /** Of its messages, as records. */
  get bytes(): number {
    return this.#end - PACKET_HEADER_BYTES;
  }

  /** Whether a message of that length should go into it too. */
  fits(length: number): boolean {
    return this.bytes + recordBytes(length) <= PACKET_BYTES;
  }

  append(content: Uint8Array): void {
    const { length } = content;
    const slab = this.#slab;
    const at = this.#end;
    const end = at + recordBytes(length);
    slab.make(end + this.#stampBytes, at);
    // The padding, or what the length or the content is about to cover.
    slab.view.setUint32(slab.start + end - 4, 0, true);
    slab.view.setUint32(slab.start + at, length, true);
    slab.bytes.set(content, slab.start + at + 4);
    this.#end = end;
    this.count += 1;
  }

  /** No more goes into it. */
  close(): void {
    this.#closed ??= this.#slab.take(this.#end + this.#stampBytes);
  }

  /** The packet. */
  seal(heading: Heading, group: number): Uint8Array {
    this.close();
    const { buffer, byteOffset } = this.#closed as Uint8Array;
    const { changes } = heading;
    const bytes = new Uint8Array(buffer, byteOffset, this.#end + ENTRY_BYTES * changes.length);
    const view = viewOf(bytes);
    writeHeading(view, heading, group, this.count);
    writeEntries(view, this.#end, changes);
    return bytes;
  }
}

/** The messages of a well-formed packet, as records, without a copy. */
export function messagesOf(bytes: Uint8Array): Uint8Array {
  const { buffer, byteOffset, length } = bytes;
  const others = PACKET_HEADER_BYTES + ENTRY_BYTES * (bytes[3] as number);
  return new Uint8Array(buffer, byteOffset + PACKET_HEADER_BYTES, length - others);
}

/** A packet with positions. */
export function encodePositions(
  heading: Heading,
  entries: readonly Entry[],
  group: number,
): Uint8Array {
  const { changes } = heading;
  const stampAt = PACKET_HEADER_BYTES + ENTRY_BYTES * entries.length;
  const bytes = new Uint8Array(stampAt + ENTRY_BYTES * changes.length);
  const view = viewOf(bytes);
  writeHeading(view, heading, group, entries.length);
  writeEntries(view, PACKET_HEADER_BYTES, entries);
  writeEntries(view, stampAt, changes);
  return bytes;
}

function writeHeading(
  view: DataView,
  { kind, origin, life, number, changes, to }: Heading,
  group: number,
  count: number,
): void {
  view.setUint8(0, KINDS.indexOf(kind));
  view.setUint8(1, origin);
  view.setUint8(2, group);
  view.setUint8(3, changes.length);
  view.setUint32(4, life, true);
  view.setUint32(8, count, true);
  view.setFloat64(12, number, true);
  view.setUint32(20, to, true);
}

export function encodeWord({ kind, origin, life, entries }: Word, group: number): Uint8Array {
  const bytes = new Uint8Array(WORD_HEADER_BYTES + ENTRY_BYTES * entries.length);
  const view = viewOf(bytes);
  view.setUint8(0, KINDS.indexOf(kind));
  view.setUint8(1, origin);
  view.setUint8(2, group);
  view.setUint32(4, life, true);
  view.setUint32(8, entries.length, true);
  writeEntries(view, WORD_HEADER_BYTES, entries);
  return bytes;
}

/** Takes bytes of a peer apart, without a copy; gives a text that says what is wrong with them if they are not well formed. */
export function decodePacket(bytes: Uint8Array, members: number): Packet | Word | string {
  if (bytes.length < WORD_HEADER_BYTES) return `${bytes.length} bytes are too few`;
  const view = viewOf(bytes);
  const code = view.getUint8(0);
  const kind = KINDS[code];
  const origin = view.getUint8(1);
  const life = view.getUint32(4, true);
  const count = view.getUint32(8, true);
  if (kind === undefined) return `there is no kind ${code}`;
  if (origin >= members) return `there is no member ${origin}`;
  if (code >= PACKET_KINDS) {
    const entries = readEntries(view, WORD_HEADER_BYTES, count);
    if (entries === undefined || bytes.length !== WORD_HEADER_BYTES + ENTRY_BYTES * count)
      return "its entries are not well formed";
    return { kind: kind as WordKind, origin, life, entries };
  }
  if (bytes.length < PACKET_HEADER_BYTES) return `${bytes.length} bytes are too few`;
  const number = view.getFloat64(12, true);
  const to = view.getUint8(20);
  const changed = view.getUint8(3);
  const stampAt = bytes.length - ENTRY_BYTES * changed;
  if (!isNumber(number)) return "its number is none";
  if (to >= members && to !== ALL) return `it is for member ${to}, which there is not`;
  if (stampAt < PACKET_HEADER_BYTES) return "its stamp is not all there";
  const changes = readEntries(view, stampAt, changed);
  if (changes === undefined || changes.some(([of]) => of >= members))
    return "its stamp is not well formed";
  const packet = { kind: kind as PacketKind, origin, life, number, changes, to };
  if (code < MESSAGE_KINDS) {
    if (count === 0 || countRecords(view, PACKET_HEADER_BYTES, stampAt) !== count)
      return "its messages are not what its header says";
    return { ...packet, count, entries: [] };
  }
  const entries = readEntries(view, PACKET_HEADER_BYTES, count);
  if (entries === undefined || stampAt !== PACKET_HEADER_BYTES + ENTRY_BYTES * count || count === 0)
    return "its entries are not well formed";
  if (kind === "orders" && entries.some(([of]) => of >= members))
    return "it orders a packet of no member";
  return { ...packet, count: 0, entries };
}

const isNumber = (value: number): boolean => Number.isSafeInteger(value) && value >= 1;

function writeEntries(view: DataView, start: number, entries: readonly Entry[]): void {
  let at = start;
  for (const [first, second] of entries) {
    view.setFloat64(at, first, true);
    view.setFloat64(at + 8, second, true);
    at += ENTRY_BYTES;
  }
}

/** `undefined` if they are not whole numbers from 0 on, or not all there. */
function readEntries(view: DataView, start: number, count: number): Entry[] | undefined {
  if (start + ENTRY_BYTES * count > view.byteLength) return undefined;
  const entries: Entry[] = [];
  for (let at = start; entries.length < count; at += ENTRY_BYTES) {
    const [first, second] = [view.getFloat64(at, true), view.getFloat64(at + 8, true)];
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(second) || first < 0 || second < 0)
      return undefined;
    entries.push([first, second]);
  }
  return entries;
}
