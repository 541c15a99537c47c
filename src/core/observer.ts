/**
 * What a process tells whoever watches it. Watching changes nothing: what is told is lent, what is heard must not throw, and nothing
 * that a process does depends on it.
 */

import type { ProcessId, SnapshotId } from "./id.ts";
import type { OrderLevel } from "./order-level.ts";

/** A life of a process: from a start with nothing, or a restore, to the next one. */
export interface ObservedLife {
  readonly process: ProcessId;
  /** Tells lives apart, at their peers, too. */
  readonly incarnation: number;
  readonly epoch: number;
}

/** The bodies of messages, lent. */
export interface ObservedBodies {
  /** As records. */
  readonly body: Uint8Array;
  readonly codec: {
    decode(bytes: Uint8Array): unknown;
    /** They are packets of groups, and what is in them is told of when it is delivered. */
    readonly carries?: "packets";
  };
}

/** Where on a channel some records lie that went into it, or came out of it, as one. */
export interface ObservedRange {
  /** The other end. */
  readonly peer: ProcessId;
  /** Which life of it the channel is with; 0 as long as it has not been met. */
  readonly peerLife: number;
  /** The number of the first one on the channel between these two lives, from 1. */
  readonly first: number;
  readonly count: number;
}

/** Some messages of a group that are delivered or multicast as one. */
export interface ObservedPacket {
  readonly group: string;
  readonly from: ProcessId;
  /** Which life of the member that multicast it, as groups count lives. */
  readonly life: number;
  /** Among the packets of that life, from 1. */
  readonly number: number;
  readonly count: number;
}

/** Who may be asked for values that people and predicates look at. */
export interface Valued {
  values?(): Readonly<Record<string, unknown>> | undefined;
}

/** Hears what a process does, in order. */
export interface ProcessObserver {
  /** A turn begins, of another life than before, maybe; and whether it is the first of that. */
  turnBegins(life: ObservedLife, nowMs: number, isFirst: boolean): void;
  /** It is over, and the application is at rest. */
  turnEnds(application: Valued): void;
  sent(range: ObservedRange, bodies: ObservedBodies): void;
  /** Right before the application gets them. Numbered from 0: what was in flight in the snapshot that the process goes on from. */
  received(range: ObservedRange, bodies: ObservedBodies): void;
  sentMarker(range: ObservedRange, snapshot: SnapshotId): void;
  receivedMarker(range: ObservedRange, snapshot: SnapshotId): void;
  /** The state is fixed for that snapshot; the application is at rest. */
  recorded(snapshot: SnapshotId, application: Valued): void;
  /** `to`: the one member that they are for, if there is one. */
  multicast(packet: ObservedPacket, order: OrderLevel, to: ProcessId | undefined): void;
  delivered(packet: ObservedPacket, bodies: ObservedBodies, heldMs: number): void;
  /** The peer is there, as that life; what has been sent to one that had not been met was for it. */
  met(peer: ProcessId, peerLife: number): void;
  /** Something else: what kind of thing, and about whom or what. */
  happened(what: string, about?: string | number): void;
  /** It has failed, and does nothing more. */
  failed(reason: string): void;
}
