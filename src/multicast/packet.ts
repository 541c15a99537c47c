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
 * 20      of each changed entry: f64 origin, f64 number
 * …       the messages as records, or the entries: f64 and f64 each
 * ```
 *
 * A *word* is between two members, in no sequence, and may be said again: `proposals`, `have` and `want`.
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
import { countRecords } from "../core/record.ts";

/** What a packet carries: messages of a level; or positions in a total order, by a sequencer or as agreed. */
export type PacketKind = OrderLevel | "orders" | "finals";

/** What a word says: numbers proposed for packets; which packets one has; which ones one wants. */
export type WordKind = "proposals" | "have" | "want";

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
  /** Messages, as records; empty of the other kinds. */
  readonly count: number;
  readonly body: Uint8Array;
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
  ...(["orders", "finals", "proposals", "have", "want"] as const),
];
const PACKET_KINDS = KINDS.indexOf("proposals");
const MESSAGE_KINDS = KINDS.indexOf("orders");
const PACKET_HEADER_BYTES = 20;
const WORD_HEADER_BYTES = 12;
const ENTRY_BYTES = 16;

/** A view is no larger; and no process has more groups. */
export const MEMBERS_MAX = 255;
export const GROUPS_MAX = 256;

const NO_BYTES = new Uint8Array(0);
const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The number of the group that the bytes are of, packet or word. */
export function groupOf(bytes: Uint8Array): number {
  return bytes[2] ?? 0;
}

export function encodePacket(packet: Packet, group: number): Uint8Array {
  const { kind, origin, life, number, changes, count, body, entries } = packet;
  const bodyAt = PACKET_HEADER_BYTES + ENTRY_BYTES * changes.length;
  const bytes = new Uint8Array(bodyAt + body.length + ENTRY_BYTES * entries.length);
  const view = viewOf(bytes);
  view.setUint8(0, KINDS.indexOf(kind));
  view.setUint8(1, origin);
  view.setUint8(2, group);
  view.setUint8(3, changes.length);
  view.setUint32(4, life, true);
  view.setUint32(8, entries.length > 0 ? entries.length : count, true);
  view.setFloat64(12, number, true);
  writeEntries(view, PACKET_HEADER_BYTES, changes);
  bytes.set(body, bodyAt);
  writeEntries(view, bodyAt, entries);
  return bytes;
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
  const changed = view.getUint8(3);
  const changes = readEntries(view, PACKET_HEADER_BYTES, changed);
  if (!isNumber(number)) return "its number is none";
  if (changes === undefined || changes.some(([of]) => of >= members))
    return "its stamp is not well formed";
  const bodyAt = PACKET_HEADER_BYTES + ENTRY_BYTES * changed;
  const packet = { kind: kind as PacketKind, origin, life, number, changes };
  if (code < MESSAGE_KINDS) {
    if (count === 0 || countRecords(view, bodyAt, bytes.length) !== count)
      return "its messages are not what its header says";
    return { ...packet, count, body: bytes.subarray(bodyAt), entries: [] };
  }
  const entries = readEntries(view, bodyAt, count);
  if (entries === undefined || bytes.length !== bodyAt + ENTRY_BYTES * count || count === 0)
    return "its entries are not well formed";
  if (kind === "orders" && entries.some(([of]) => of >= members))
    return "it orders a packet of no member";
  return { ...packet, count: 0, body: NO_BYTES, entries };
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
