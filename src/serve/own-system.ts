/** What a server says of the system that its replica is a part of, and does with it: snapshots, restores, and places of the order. */

import { TidemarkError } from "../core/error.ts";
import { isSnapshotId, type ProcessId } from "../core/id.ts";
import type {
  Client,
  ListedAttempt,
  ListedSnapshot,
  RestoredSystem,
  StoreSystem,
} from "../kv/client.ts";
import type { Replica, ReplicaReply, ReplicaRequest } from "../kv/replica.ts";
import { readAttempts } from "../runtime/read-attempts.ts";
import type { RunningProcess } from "../runtime/running-process.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";

type Running = RunningProcess<unknown, unknown, ReplicaRequest, ReplicaReply>;

/** A client that waits until its replica has come to a place. */
interface Waiter {
  readonly client: Client;
  readonly epoch: number;
  readonly records: number;
  readonly timer: NodeJS.Timeout | undefined;
  readonly tell: (problem: string | undefined) => void;
}

export interface OwnSystemOptions {
  readonly running: Running;
  readonly replica: Replica;
  readonly processes: readonly ProcessId[];
  /** Absent if its snapshots are not to be seen from here. */
  readonly store?: SnapshotStore;
  /** What waits in the group, in sentences. */
  readonly explainGroup: () => readonly string[];
}

/** See the head of the file. */
export class OwnSystem implements StoreSystem {
  readonly #options: OwnSystemOptions;
  #waiters: Waiter[] = [];

  constructor(options: OwnSystemOptions) {
    this.#options = options;
  }

  get process(): ProcessId {
    return this.#options.running.id;
  }

  get epoch(): number {
    return this.#options.running.epoch;
  }

  get records(): number {
    return this.#options.replica.applied;
  }

  get replicas(): readonly ProcessId[] {
    return this.#options.processes;
  }

  get namespaces(): readonly string[] {
    return this.#options.replica.namespaces?.list ?? [];
  }

  get unsettled(): number {
    return this.#options.replica.unsettled;
  }

  get absent(): readonly ProcessId[] {
    const { channels } = this.#options.running.explain();
    const down = new Set(channels.filter(({ up }) => !up).flatMap(({ from, to }) => [from, to]));
    return this.replicas.filter((id) => id !== this.process && down.has(id));
  }

  explain(): readonly string[] {
    const { snapshots, channels } = this.#options.running.explain();
    return [
      ...channels
        .filter(({ up }) => !up)
        .map(({ from, to, reason = "not connected" }) => `${from} → ${to} is down: ${reason}`),
      ...this.#options.explainGroup(),
      ...snapshots.map(
        ({ snapshot, waitsFor }) => `${snapshot} waits at ${this.process}: ${waitsFor.join(", ")}`,
      ),
    ];
  }

  whenDone(
    client: Client,
    { epoch, records }: { readonly epoch: number; readonly records: number },
    timeoutMs: number,
    tell: (problem: string | undefined) => void,
  ): void {
    const late = (): void => {
      this.#waiters = this.#waiters.filter((one) => one !== waiter);
      const here = this.epoch === epoch ? `${this.records} of ${records} records` : "another epoch";
      tell(`TIMEOUT the time is over, and this replica has come to ${here}`);
    };
    const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs).unref() : undefined;
    const waiter: Waiter = { client, epoch, records, timer, tell };
    this.#waiters.push(waiter);
    this.advanced();
  }

  /** The replica has done more, or is in another epoch. */
  advanced(): void {
    if (this.#waiters.length === 0) return;
    const { epoch, records } = this;
    this.#settle(
      (one) => one.epoch < epoch || (one.epoch === epoch && one.records <= records),
      (one) => one.tell(one.epoch < epoch ? undone(one.epoch, epoch) : undefined),
    );
  }

  /** Whether the client waits for a place: perhaps for ever. */
  isAwaitedBy(client: Client): boolean {
    return this.#waiters.some((one) => one.client === client);
  }

  gone(client: Client): void {
    if (this.#waiters.length === 0) return;
    this.#settle(
      (one) => one.client === client,
      () => {},
    );
  }

  #settle(isOver: (waiter: Waiter) => boolean, end: (waiter: Waiter) => void): void {
    const over = this.#waiters.filter(isOver);
    if (over.length === 0) return;
    // Who is told may wait for something else at once.
    this.#waiters = this.#waiters.filter((one) => !isOver(one));
    for (const one of over) {
      clearTimeout(one.timer);
      end(one);
    }
  }

  async snapshots(count: number): Promise<readonly ListedSnapshot[]> {
    const found: ListedSnapshot[] = [];
    for await (const one of this.#store.list()) {
      if (found.push(one) >= count) break;
    }
    return found;
  }

  async restore(snapshot: string): Promise<RestoredSystem> {
    if (!isSnapshotId(snapshot))
      throw new TidemarkError("BAD_ID", "an id of a snapshot is like p1/7: TIDEMARK SNAPSHOTS");
    return await this.#options.running.restore(snapshot);
  }

  async attempt(name: string): Promise<ListedAttempt | undefined> {
    const attempts = await readAttempts(this.#store);
    const isLatest = name.toLowerCase() === "latest";
    return attempts.find(({ snapshot, label }) =>
      isSnapshotId(name) ? snapshot === name : isLatest || label === name,
    );
  }

  get #store(): SnapshotStore {
    const { store } = this.#options;
    if (!store) throw new TidemarkError("BAD_OPTION", "this server was not told of its snapshots");
    return store;
  }
}

/** What is said of a token from before a restore. */
function undone(was: number, is: number): string {
  return `EPOCH_MISMATCH the token is of epoch ${was}, and a restore has begun epoch ${is}: what it stands for may be undone`;
}
