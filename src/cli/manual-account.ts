/** An account that is driven by hand: it receives when it is told to, and so records when it is told to. */

import type { AccountReply, AccountRequest, AccountState, Transfer } from "../bank/account.ts";
import { TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { Received } from "../process/process.ts";
import type { RunningProcess } from "../runtime/running-process.ts";

export type RunningAccount = RunningProcess<Transfer, AccountState, AccountRequest, AccountReply>;

/** What was taken off a channel. */
export type Taken = Received<Transfer> & {
  /** It was the first marker of its snapshot here: the process has recorded, and sent markers to all. */
  readonly recorded: boolean;
};

/** See the head of the file. */
export class ManualAccount {
  readonly #account: RunningAccount;
  /** The snapshots for which this process has recorded. */
  readonly #recorded = new Set<SnapshotId>();
  /** How the snapshots that began here ended. */
  readonly #settled = new Map<SnapshotId, Promise<string | null>>();

  constructor(account: RunningAccount) {
    this.#account = account;
  }

  /**
   * Begins a snapshot; resolves when this process has recorded.
   * @throws TidemarkError as `RunningProcess.snapshot`, if it ends before that
   */
  begin(timeoutMs: number): Promise<SnapshotId> {
    return new Promise((resolve, reject) => {
      const settled = Promise.withResolvers<string | null>();
      const onRecorded = (snapshot: SnapshotId): void => {
        this.#recorded.add(snapshot);
        this.#settled.set(snapshot, settled.promise);
        resolve(snapshot);
      };
      this.#account.snapshot({ timeoutMs, onRecorded }).then(
        () => settled.resolve(null),
        (thrown) => {
          settled.resolve(textOf(thrown));
          reject(thrown);
        },
      );
    });
  }

  /**
   * Resolves when a snapshot that began here is settled: null if it is complete, or why it was abandoned.
   * @throws TidemarkError `NOT_FOUND`
   */
  async settled(snapshot: SnapshotId): Promise<string | null> {
    const settled = this.#settled.get(snapshot);
    if (!settled) throw new TidemarkError("NOT_FOUND", `${snapshot} did not begin here`);
    return settled;
  }

  /**
   * Takes the head of a channel, and waits for it for so long.
   * @throws TidemarkError `ABORTED` when nothing came; then nothing is taken later, either
   */
  async receive(from: ProcessId, timeoutMs: number): Promise<Taken> {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), timeoutMs);
    try {
      const received = await this.#account.receive(from, { signal: patience.signal });
      return { ...received, recorded: received.kind === "marker" && this.#recordedNow(received) };
    } catch (error) {
      if (!patience.signal.aborted) throw error;
      throw new TidemarkError("ABORTED", `nothing came from ${from} within ${timeoutMs} ms`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Asked right after a marker was taken, when nothing can have settled its snapshot yet. */
  #recordedNow({ snapshot }: { readonly snapshot: SnapshotId }): boolean {
    if (this.#recorded.has(snapshot) || !this.#account.recorded(snapshot)) return false;
    this.#recorded.add(snapshot);
    return true;
  }
}
