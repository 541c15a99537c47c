/** What the files of a stored snapshot of a bank say: whether it is proven, and how the money adds up. */

import type { AccountState, Transfer } from "../bank/account.ts";
import { TidemarkError } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import type { SnapshotStore, StoredSnapshot } from "../runtime/snapshot-store.ts";
import { type Manifest, summarise } from "../snapshot/manifest.ts";

/** What is in flight on one channel. */
export interface ChannelAudit {
  readonly from: ProcessId;
  readonly to: ProcessId;
  readonly messages: number;
  readonly amount: number;
}

/** What the files of any stored snapshot say. */
export interface Proof {
  readonly manifest: Manifest;
  /** Why the snapshot is not proven; absent if it is. */
  readonly problem?: string;
  readonly messagesInFlight: number;
}

/** See the head of the file. */
export interface Audit extends Proof {
  readonly balances: ReadonlyMap<ProcessId, number>;
  readonly channels: readonly ChannelAudit[];
  readonly amountInFlight: number;
  /** All balances and everything in flight. */
  readonly sum: number;
}

/**
 * Reads a snapshot from its files and proves it.
 * @throws TidemarkError `NOT_FOUND`, `DAMAGED`, `STORE_FAILED`
 */
export async function prove(store: SnapshotStore, id: SnapshotId): Promise<Proof> {
  const stored = await store.get(id);
  if (!stored) throw new TidemarkError("NOT_FOUND", `there is no snapshot ${id}`);
  const snapshot = new GlobalSnapshot(stored);
  const { manifest } = snapshot;
  const verdict = await snapshot.verify();
  return {
    manifest,
    ...(verdict.consistent ? {} : { problem: `${verdict.place} ${verdict.reason}` }),
    messagesInFlight: summarise(manifest).inFlight,
  };
}

/**
 * Reads a snapshot of a bank from its files, proves it and adds it up.
 * @throws TidemarkError `NOT_FOUND`, `DAMAGED`, `STORE_FAILED`, `BAD_MESSAGE`
 */
export async function audit(store: SnapshotStore, id: SnapshotId): Promise<Audit> {
  const stored = await store.get(id);
  if (!stored) throw new TidemarkError("NOT_FOUND", `there is no snapshot ${id}`);
  const snapshot = new GlobalSnapshot<AccountState, Transfer>(readOnce(stored));
  const { manifest } = snapshot;
  const verdict = await snapshot.verify();
  const balances = new Map<ProcessId, number>();
  for (const process of manifest.processes)
    balances.set(process, (await snapshot.state(process)).balance);
  const channels: ChannelAudit[] = [];
  for (const { from, to } of manifest.channels) {
    const transfers = await snapshot.inFlight(from, to);
    const amount = total(transfers.map((transfer) => transfer.amount));
    channels.push({ from, to, messages: transfers.length, amount });
  }
  const amountInFlight = total(channels.map(({ amount }) => amount));
  return {
    manifest,
    ...(verdict.consistent ? {} : { problem: `${verdict.place} ${verdict.reason}` }),
    balances,
    channels,
    messagesInFlight: total(channels.map(({ messages }) => messages)),
    amountInFlight,
    sum: total([...balances.values()]) + amountInFlight,
  };
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0);

/** Proving and adding up need the same parts: each is read once. */
function readOnce(stored: StoredSnapshot): StoredSnapshot {
  const parts = new Map<string, Promise<Uint8Array>>();
  return {
    manifest: stored.manifest,
    part: (reference) => {
      let part = parts.get(reference.sha256);
      if (!part) {
        part = stored.part(reference);
        parts.set(reference.sha256, part);
      }
      return part;
    },
  };
}
