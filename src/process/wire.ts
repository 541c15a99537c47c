/**
 * What processes tell each other beside the application's messages: on channels markers or, with messages, colours; on a
 * link of their own the words between a snapshot's initiator and its participants, and counts. JSON in one record
 * each; what does not have the right form is not let in.
 */

import { isSnapshotId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import { decodeUtf8, encodeUtf8 } from "../core/utf8.ts";
import { COLOUR_MAX } from "../snapshot/lai-yang.ts";
import type { PieceRecord } from "../snapshot/manifest.ts";
import { checkPiece, isChannelHash } from "../snapshot/manifest-check.ts";
import type { Marker, SentBefore } from "../snapshot/recordings.ts";

/** The links to one peer. */
export const STREAM_CHANNEL = 0;
export const STREAM_CONTROL = 1;

/** The kinds of batch. */
export const KIND_MESSAGES = 1;
export const KIND_MARKER = 2;
export const KIND_CONTROL = 3;
/** Messages behind one record that says their colour. */
export const KIND_COLOURED = 4;

/** A colour of `COLOUR_MAX` snapshots takes less, whatever their ids and numbers are. */
export const COLOUR_BYTES = 8_192;

/** What a participant tells the initiator. */
export type Report =
  | { readonly type: "complete"; readonly snapshot: SnapshotId }
  | { readonly type: "stored"; readonly piece: PieceRecord }
  | { readonly type: "failed"; readonly snapshot: SnapshotId; readonly reason: string };

/** Between the initiator of a snapshot and its participants; a count, to those that there are channels to. */
export type Control =
  /** For that life of the initiator: a later one may use the same id again. */
  | (Report & { readonly incarnation: number })
  | { readonly type: "settled"; readonly snapshot: SnapshotId; readonly reason?: string }
  | { readonly type: "count"; readonly marker: Marker; readonly before: SentBefore };

/** A reason may quote what somebody threw: it is cut to so many characters, that it fits a frame. */
const REASON_MAX = 1024;

/** The bytes of a marker or a word of control. */
export function encodeWire(value: Marker | Control): Uint8Array {
  const { reason } = value as { readonly reason?: string };
  const short = reason === undefined ? value : { ...value, reason: reason.slice(0, REASON_MAX) };
  return encodeUtf8(JSON.stringify(short));
}

/** No snapshot takes no byte. */
export function encodeColour(colour: readonly Marker[]): Uint8Array {
  return encodeUtf8(colour.length === 0 ? "" : JSON.stringify(colour));
}

/** Undefined if the bytes are not a colour. */
export function decodeColour(bytes: Uint8Array): readonly Marker[] | undefined {
  if (bytes.length === 0) return [];
  const value = parse(bytes);
  if (!Array.isArray(value) || value.length > COLOUR_MAX) return undefined;
  const colour = value.map(markerIn);
  return colour.every((marker) => marker !== undefined) ? colour : undefined;
}

/** Undefined if the bytes are not a marker. */
export function decodeMarker(bytes: Uint8Array): Marker | undefined {
  return markerIn(parse(bytes));
}

function markerIn(value: unknown): Marker | undefined {
  if (!isObject(value)) return undefined;
  const { snapshot, incarnation, view, live, timeoutMs } = value;
  if (!isSnapshotId(snapshot) || !isCount(incarnation) || !isCount(view)) return undefined;
  if (!isCount(live) || live > parseSnapshotId(snapshot).count) return undefined;
  if (typeof timeoutMs !== "number" || !Number.isFinite(timeoutMs) || timeoutMs < 0)
    return undefined;
  return { snapshot, incarnation, view, live, timeoutMs };
}

/** Undefined if the bytes are not a word of control. */
export function decodeControl(bytes: Uint8Array): Control | undefined {
  const value = parse(bytes);
  if (!isObject(value)) return undefined;
  const { type, snapshot, reason, piece, incarnation } = value;
  if (type === "count") return countIn(value);
  if (type === "settled") {
    if (!isSnapshotId(snapshot)) return undefined;
    if (reason === undefined) return { type, snapshot };
    return isReason(reason) ? { type, snapshot, reason } : undefined;
  }
  if (!isCount(incarnation)) return undefined;
  if (type === "stored") {
    const checked = checkPiece(piece);
    return "piece" in checked ? { type, incarnation, piece: checked.piece } : undefined;
  }
  if (!isSnapshotId(snapshot)) return undefined;
  if (type === "complete") return { type, incarnation, snapshot };
  return type === "failed" && isReason(reason)
    ? { type, incarnation, snapshot, reason }
    : undefined;
}

function countIn({ marker: said, before }: Record<string, unknown>): Control | undefined {
  const marker = markerIn(said);
  if (!marker || !isObject(before)) return undefined;
  const { sent, hash } = before;
  return isCount(sent) && isChannelHash(hash)
    ? { type: "count", marker, before: { sent, hash } }
    : undefined;
}

function parse(bytes: Uint8Array): unknown {
  const text = decodeUtf8(bytes);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

const isReason = (value: unknown): value is string =>
  typeof value === "string" && value.length <= REASON_MAX;
