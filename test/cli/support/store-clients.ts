/** Clients of a store of operating-system processes, and what its snapshots hold, read from where they lie. */

import { setTimeout as pause } from "node:timers/promises";
import type { Manifest, SnapshotId } from "../../../src/index.ts";
import { type KeysImage, Keyspace } from "../../../src/kv/keyspace.ts";
import type { Value } from "../../../src/kv/value.ts";
import { List } from "../../../src/kv/values/list.ts";
import { directoryStore } from "../../../src/runtime/directory-store.ts";
import { GlobalSnapshot } from "../../../src/runtime/global-snapshot.ts";
import type { SnapshotStore } from "../../../src/runtime/snapshot-store.ts";
import { TestClient } from "../../serve/store.ts";

/** A client of whoever serves that port; `undefined` if nobody does. */
export async function clientAt(port: number): Promise<TestClient | undefined> {
  const client = new TestClient(port);
  return (await client.ask("PING")) === "+PONG" ? client : undefined;
}

/** A client of whoever serves that port, as soon as somebody does. */
export async function clientWhenServed(port: number, limitMs = 60_000): Promise<TestClient> {
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const client = await clientAt(port);
    if (client) return client;
    if (performance.now() > deadlineMs) throw new Error(`nobody serves port ${port}`);
    await pause(20);
  }
}

/** Does some work again and again, as a client of one port; when it loses that one, of the next, until it is to stop. */
export async function visit(
  ports: readonly number[],
  first: number,
  isOver: AbortSignal,
  work: (client: TestClient) => Promise<void>,
): Promise<void> {
  for (let at = first; !isOver.aborted; at += 1) {
    const client = await clientAt(ports[at % ports.length] as number);
    if (!client) {
      await pause(20);
      continue;
    }
    while (!isOver.aborted && !client.isOver) await work(client);
    client.socket.destroy();
  }
}

/** What one replica has in a snapshot. */
export interface SavedReplica {
  readonly keys: Keyspace["databases"][number];
  /** Of all that it has, also of what it knows of clients: the same bytes, the same hashes. */
  readonly hashes: readonly string[];
}

/** A snapshot as it is in a store, proven from what lies there. */
export interface SavedStore {
  readonly manifest: Manifest;
  readonly replicas: readonly SavedReplica[];
}

/** @param where the store of snapshots, or the directory that is one */
export async function savedStore(
  where: string | SnapshotStore,
  id: SnapshotId,
): Promise<SavedStore> {
  const stored = await (typeof where === "string" ? directoryStore(where) : where).get(id);
  if (!stored) throw new Error(`there is no snapshot ${id}`);
  const snapshot = new GlobalSnapshot(stored);
  const verdict = await snapshot.verify();
  if (!verdict.consistent) throw new Error(`${id}: ${verdict.place} ${verdict.reason}`);
  const { manifest } = snapshot;
  const replicas: SavedReplica[] = [];
  for (const { process, state } of manifest.pieces) {
    // In front of the keys there are the group, and what the replica knows of clients.
    const slices = (await snapshot.state(process)) as readonly { readonly slice: KeysImage }[];
    const keyspace = new Keyspace();
    keyspace.restore(slices.slice(2).map(({ slice }) => slice));
    const hashes = state.parts.slice(1).map(({ sha256 }) => sha256);
    replicas.push({ keys: keyspace.databases[0] as SavedReplica["keys"], hashes });
  }
  return { manifest, replicas };
}

/** All snapshots of a store or a directory, the oldest first. A damaged one is an error. */
export async function savedIds(where: string | SnapshotStore): Promise<SnapshotId[]> {
  const ids: SnapshotId[] = [];
  const store = typeof where === "string" ? directoryStore(where) : where;
  const fail = (error: Error): void => {
    throw error;
  };
  for await (const { id } of store.list(fail)) ids.push(id);
  return ids.reverse();
}

/** The elements of a list, or none. */
export function elementsOf(value: Value | undefined): readonly string[] {
  return value instanceof List ? value.range(0, value.length) : [];
}
