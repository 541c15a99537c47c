/**
 * What processes tell each other beside the application's messages: markers, on channels, and the words
 * between a snapshot's initiator and its participants, on a link of their own. JSON in one record each;
 * what does not have the right form is not let in.
 */

import { isSnapshotId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import { decodeUtf8, encodeUtf8 } from "../core/utf8.ts";
import type { Marker } from "../snapshot/chandy-lamport.ts";
import type { PieceRecord } from "../snapshot/manifest.ts";
import { checkPiece } from "../snapshot/manifest-check.ts";

/** The links to one peer. */
export const STREAM_CHANNEL = 0;
export const STREAM_CONTROL = 1;

/** The kinds of batch. */
export const KIND_MESSAGES = 1;
export const KIND_MARKER = 2;
export const KIND_CONTROL = 3;

/** What a participant tells the initiator. */
export type Report =
  | { readonly type: "complete"; readonly snapshot: SnapshotId }
  | { readonly type: "stored"; readonly piece: PieceRecord }
  | { readonly type: "failed"; readonly snapshot: SnapshotId; readonly reason: string };

/** Between the initiator of a snapshot and its participants. */
export type Control =
  /** For that life of the initiator: a later one may use the same id again. */
  | (Report & { readonly incarnation: number })
  | { readonly type: "settled"; readonly snapshot: SnapshotId; readonly reason?: string };

/** A reason may quote what somebody threw: it is cut to so many characters, that it fits a frame. */
const REASON_MAX = 1024;

/** The bytes of a marker or a word of control. */
export function encodeWire(value: Marker | Control): Uint8Array {
  const { reason } = value as { readonly reason?: string };
  const short = reason === undefined ? value : { ...value, reason: reason.slice(0, REASON_MAX) };
  return encodeUtf8(JSON.stringify(short));
}

/** Undefined if the bytes are not a marker. */
export function decodeMarker(bytes: Uint8Array): Marker | undefined {
  const value = parseObject(bytes);
  if (!value) return undefined;
  const { snapshot, incarnation, view, live, timeoutMs } = value;
  if (!isSnapshotId(snapshot) || !isCount(incarnation) || !isCount(view)) return undefined;
  if (!isCount(live) || live > parseSnapshotId(snapshot).count) return undefined;
  if (typeof timeoutMs !== "number" || !Number.isFinite(timeoutMs) || timeoutMs < 0)
    return undefined;
  return { snapshot, incarnation, view, live, timeoutMs };
}

/** Undefined if the bytes are not a word of control. */
export function decodeControl(bytes: Uint8Array): Control | undefined {
  const value = parseObject(bytes);
  if (!value) return undefined;
  const { type, snapshot, reason, piece, incarnation } = value;
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

function parseObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  const text = decodeUtf8(bytes);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

const isReason = (value: unknown): value is string =>
  typeof value === "string" && value.length <= REASON_MAX;
