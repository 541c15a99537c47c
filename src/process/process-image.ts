/**
 * All that a process knows, but for its application, as plain data that nothing changes any more: what a process goes on from
 * after a crash. With it, and with the inputs that came after it, another process takes the very steps that this one took.
 *
 * The states that snapshots have captured here and not stored are not in it: those snapshots are abandoned.
 */

import type { ChannelHash } from "../core/channel-hash.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { RandomState } from "../core/random.ts";
import { copyOf } from "../core/record.ts";
import type { Channel } from "../core/topology.ts";
import type { SlabPlace } from "../link/batch-writer.ts";
import { BATCH_HEADER_BYTES } from "../link/frame.ts";
import type { ChannelOrder, LinkState } from "../link/link.ts";
import type { CollectorState } from "../snapshot/collector.ts";
import type { TimerRecord } from "../snapshot/manifest.ts";
import type { SavedSnapshots, SnapshotState } from "../snapshot/recordings.ts";
import type { ColouredBatch } from "./inbox.ts";

/** See the head of the file. Numbers may be Infinity. */
export interface ProcessImage {
  readonly incarnation: number;
  readonly epoch: number;
  readonly settings: ProcessSettings;
  readonly processes: readonly ProcessId[];
  readonly channels: readonly Channel[];
  readonly random: RandomState;
  /** Of snapshots begun here, and of requests. */
  readonly lastCount: number;
  readonly lastRequest: number;
  readonly nowMs: number;
  readonly wakeAtMs: number;
  /** When each is due. */
  readonly timers: readonly (readonly [name: string, dueMs: number])[];
  readonly snapshots: SavedSnapshots;
  readonly collections: CollectorState["collections"];
  readonly shares: readonly {
    readonly snapshot: SnapshotId;
    readonly incarnation: number;
    readonly timers: readonly TimerRecord[];
    readonly complete: boolean;
    readonly stored: boolean;
  }[];
  readonly peers: readonly PeerImage[];
}

/** Options on which it depends what a process does: see `ProcessOptions`. */
export interface ProcessSettings {
  readonly reliable: boolean;
  readonly maxFrameBytes: number;
  readonly receive: "auto" | "manual";
  readonly windowBytes: number;
  readonly limitBytes: number;
  readonly lostAfterMs: number;
  readonly order?: ChannelOrder | undefined;
  readonly algorithm?: "chandy-lamport" | "lai-yang" | undefined;
}

/** How many messages had gone over the channels with a peer, and which, where a restored system begins. */
export interface BegunChannels {
  /** With what was in flight, which comes before anything else. */
  readonly incoming?: { readonly count: number; readonly hash: Readonly<ChannelHash> } | undefined;
  readonly outgoing?: { readonly count: number; readonly hash: Readonly<ChannelHash> } | undefined;
}

/** What a process knows of one peer. */
export interface PeerImage {
  readonly id: ProcessId;
  readonly channel: LinkState;
  readonly control: LinkState;
  readonly outbox: SlabPlace;
  readonly inbox: readonly ColouredBatch[];
  readonly restAtMs: number;
  readonly former: readonly number[];
  readonly begun?: BegunChannels | undefined;
  readonly up: boolean;
  readonly downSinceMs: number;
  readonly reason: string;
  readonly lost: boolean;
  readonly congested: boolean;
  readonly sent: number;
  readonly received: number;
}

/** A copy that shares nothing with it: frames are written anew once they are acknowledged. */
export function copyOfLink(state: LinkState): LinkState {
  return {
    ...state,
    queue: state.queue.map((batch) => ({ ...batch, frame: frameOf(batch) })),
    early: new Map(
      [...state.early].map(([first, { batch, ...rest }]) => [
        first,
        batch ? { ...rest, batch: { ...batch, body: copyOf(batch.body) } } : rest,
      ]),
    ),
  };
}

/** What was never sent has no header yet: what lies there is of another frame, which is no part of what a process knows. */
function frameOf({ frame, sendings }: LinkState["queue"][number]): Uint8Array {
  const copy = copyOf(frame);
  return sendings === 0 ? copy.fill(0, 0, BATCH_HEADER_BYTES) : copy;
}

/** The same of the snapshots. */
export function copyOfSnapshots(state: SnapshotState): SavedSnapshots {
  const { incoming, outgoing, recordings, over, colour, view } = state;
  const progress = (channels: typeof incoming): typeof incoming =>
    new Map([...channels].map(([id, { count, hash }]) => [id, { count, hash: { ...hash } }]));
  return {
    view,
    incoming: progress(incoming),
    outgoing: progress(outgoing),
    recordings: new Map(
      [...recordings].map(([id, { tape: _, ...recording }]) => [
        id,
        {
          ...recording,
          incoming: new Map(
            [...recording.incoming].map(([from, channel]) => [
              from,
              { ...channel, hash: { ...channel.hash }, messages: channel.messages.map(copyOf) },
            ]),
          ),
        },
      ]),
    ),
    over: new Map([...over].map(([id, one]) => [id, { ...one, ended: new Set(one.ended) }])),
    colour,
  };
}

/** A copy of what is being collected. */
export function copyOfCollections(
  collections: CollectorState["collections"],
): CollectorState["collections"] {
  return new Map(
    [...collections].map(([id, one]) => [
      id,
      {
        ...one,
        incomplete: new Set(one.incomplete),
        unstored: new Set(one.unstored),
        pieces: new Map(one.pieces),
      },
    ]),
  );
}
