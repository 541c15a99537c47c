/**
 * The port to the network. A transport carries frames between processes, best effort: the link above it
 * makes the exactly-once FIFO channel out of whatever it is given, as long as the transport says
 * truly what it guarantees.
 */

import { TidemarkError } from "../core/error.ts";
import { checkProcessId, type ProcessId } from "../core/id.ts";

/** A run of bytes that a transport carries whole or not at all. */
export type Frame = Uint8Array;

/** What a transport promises while a peer is up. */
export interface TransportGuarantees {
  /** Frames to one peer arrive in the order they were sent; if one arrives twice, the first time counts. */
  readonly fifo: boolean;
  /** Every frame that `send` took arrives, unless the peer goes down. */
  readonly lossless: boolean;
  /** No frame arrives twice. */
  readonly duplicateFree: boolean;
}

/**
 * What a transport tells its owner. It never calls from inside a method of its own, nor one event from
 * inside another; and never again once `close` has been called.
 */
export interface TransportEvents {
  /**
   * The peer can be sent to. `incarnation` is the number that the peer's transport was opened with.
   * The first event about a peer; again after each `peerDown`.
   */
  peerUp(peer: ProcessId, incarnation: number): void;
  /** The peer cannot be sent to. Frames on the way are lost, all or some. */
  peerDown(peer: ProcessId, reason: string): void;
  /**
   * A frame came in; only while the peer is up. The bytes are lent: the transport may write over them
   * once this has returned. No `Buffer`, whose `slice` would be no copy.
   */
  frame(peer: ProcessId, frame: Frame): void;
  /** Something went wrong that the owner should know: a stranger, a version mismatch, a broken frame … */
  problem(error: TidemarkError): void;
  /**
   * The peer says that it lives in a later epoch than this process: somebody restored the system. Told to the older of the
   * two whichever of them dials, once for each peer and epoch, and again if this process `advance`s and is still behind; the
   * newer one is told a problem, `EPOCH_MISMATCH`. It may come before the `peerDown` that goes with it. What a peer says proves
   * nothing: which epoch has begun stands in the snapshot store. An owner that cannot follow at once must itself try again.
   */
  laterEpoch(peer: ProcessId, epoch: number): void;
}

/** Who this process is, for the handshake. */
export interface TransportIdentity {
  /** The name of the system; only processes of the same system talk to each other. */
  readonly system: string;
  readonly self: ProcessId;
  /** A number from 1 to 2^32 - 1 that differs each time the process starts. */
  readonly incarnation: number;
  /** Raised by every restore, with `advance`; processes of different epochs do not talk to each other. */
  readonly epoch: number;
}

/**
 * Gives the identity back if it is well formed; for transports, when they are opened.
 * @throws TidemarkError `BAD_ID`, `BAD_OPTION`
 */
export function checkIdentity(identity: TransportIdentity): TransportIdentity {
  const { system, self, incarnation, epoch } = identity;
  checkProcessId(self);
  if (typeof system !== "string" || system.length < 1 || system.length > 256)
    throw new TidemarkError("BAD_OPTION", "system must be a name of 1 to 256 characters");
  checkWhole("incarnation", incarnation, 1, 2 ** 32 - 1);
  checkWhole("epoch", epoch, 0, Number.MAX_SAFE_INTEGER);
  return identity;
}

/**
 * The identity of the same process in a later epoch; for transports, in `advance`.
 * @throws TidemarkError `STOPPED` if there is no identity yet, `BAD_OPTION`
 */
export function advancedIdentity(
  identity: TransportIdentity | undefined,
  { incarnation, epoch }: Pick<TransportIdentity, "incarnation" | "epoch">,
): TransportIdentity {
  if (identity === undefined)
    throw new TidemarkError(
      "STOPPED",
      "a transport that was not opened is in no epoch: open it in the one you mean",
    );
  const advanced = checkIdentity({ ...identity, incarnation, epoch });
  if (epoch <= identity.epoch)
    throw new TidemarkError(
      "BAD_OPTION",
      `epoch must be later than ${identity.epoch}, in which ${identity.self} is, and not ${epoch}`,
    );
  if (incarnation === identity.incarnation)
    throw new TidemarkError(
      "BAD_OPTION",
      `incarnation must be another than ${incarnation}, which ${identity.self} was until now`,
    );
  return advanced;
}

/** The later epochs that an owner has been told of; for transports, so that each is told once. */
export class LaterEpochs {
  readonly #told = new Map<ProcessId, Set<number>>();

  /** True if the owner is to be told: the first time, as far back as is remembered. */
  first(peer: ProcessId, epoch: number): boolean {
    const told = this.#told.get(peer) ?? new Set();
    this.#told.set(peer, told);
    if (told.has(epoch)) return false;
    told.add(epoch);
    const [oldest] = told;
    // Whoever claims ever other epochs fills no memory by it.
    if (told.size > REMEMBERED_EPOCHS && oldest !== undefined) told.delete(oldest);
    return true;
  }

  clear(): void {
    this.#told.clear();
  }
}

const REMEMBERED_EPOCHS = 16;

/** Says of a peer of an older epoch what that means. */
export function behind(older: ProcessId, epoch: number, newer: TransportIdentity): string {
  const { self, epoch: later } = newer;
  return `${older} is behind, in epoch ${epoch}, and ${self} is in epoch ${later}: it is told so, and should catch up by itself`;
}

/**
 * For transports, in `send`.
 * @throws TidemarkError `MESSAGE_TOO_LARGE`
 */
export function checkFrameSize(to: ProcessId, frame: Frame, maxFrameBytes: number): void {
  if (frame.length <= maxFrameBytes) return;
  throw new TidemarkError(
    "MESSAGE_TOO_LARGE",
    `a frame of ${frame.length} bytes to ${to} is beyond the limit of ${maxFrameBytes}`,
  );
}

/**
 * Gives the value of a numeric option back if it is a whole number between the two, both included.
 * @throws TidemarkError `BAD_OPTION`
 */
export function checkWhole(name: string, value: unknown, low: number, high: number): number {
  if (isWhole(value, low, high)) return value;
  throw new TidemarkError(
    "BAD_OPTION",
    `${name} must be a whole number from ${low} to ${high}, not ${String(value)}`,
  );
}

/** True for a whole number between the two, both included. */
export function isWhole(value: unknown, low: number, high: number): value is number {
  return Number.isInteger(value) && (value as number) >= low && (value as number) <= high;
}

/** Carries frames between the processes of one system. */
export interface Transport {
  readonly guarantees: TransportGuarantees;
  /** The largest frame it carries, in bytes. */
  readonly maxFrameBytes: number;
  /**
   * Begins to listen and to reach every peer, for as long as it is open. Resolves when it listens.
   * Once only: what was opened, or failed to, is not opened again.
   * @throws TidemarkError `ADDRESS_IN_USE`, `BAD_ID`, `BAD_OPTION`, `STOPPED`
   */
  open(identity: TransportIdentity, events: TransportEvents): Promise<void>;
  /**
   * Adds a peer to reach, before or after `open`. `address` is the transport's own; the same peer and
   * address again is no change, and this process itself is no peer.
   * @throws TidemarkError `BAD_ID`, `BAD_OPTION`
   */
  connect(peer: ProcessId, address: string): void;
  /**
   * This process goes to a later epoch, as a new incarnation, for the system was restored. Every connection ends: frames that
   * `send` took and that have not left are dropped, and none that comes in on an old connection is handed over any more. Peers
   * are then reached anew, at once, with the new identity; those of an older epoch are refused, and learn by that which
   * epoch there is.
   *
   * Told is `peerDown` of each peer that was up, from outside this method and before anything else. From when it
   * returns until the next `peerUp`, `send` gives false. While the transport is being opened it is opened in that epoch; after
   * `close` nothing happens.
   * @throws TidemarkError `BAD_OPTION` if the epoch is not later, or the incarnation is the same; `STOPPED` before `open`
   */
  advance(identity: Pick<TransportIdentity, "incarnation" | "epoch">): void;
  /** Where others reach this process; `undefined` before `open` has resolved. */
  readonly address: string | undefined;
  /**
   * Sends, best effort, in order while the peer is up. False: the frame was dropped, because the peer is
   * unknown or not up, or too much is waiting for it already.
   *
   * The bytes stay as they are until the frame has arrived for the first time, or the peer went down; then the sender may
   * write over them, if the transport is `fifo` and `lossless`. So a transport that can let a frame arrive again, or that
   * would hand over the very bytes that it was given, makes a copy.
   * @throws TidemarkError `MESSAGE_TOO_LARGE` for a frame beyond `maxFrameBytes`: it could never leave
   */
  send(to: ProcessId, frame: Frame): boolean;
  /** Bytes taken by `send` that have not left this process. */
  buffered(to: ProcessId): number;
  /**
   * Stops listening, ends every connection, after what was sent has left or a second has passed.
   * Again is no change.
   */
  close(): Promise<void>;
}
