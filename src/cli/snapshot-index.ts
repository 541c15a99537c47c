/**
 * The snapshots of a directory, and the attempts that left none, in one list for those who look at it again and again.
 *
 * Theory of operation. A directory may have 100,000 snapshots, and each look reads no manifest twice: what the directory says of when each
 * was written tells which are new, and which have another label. The first look reads those that it shows, which are about those that
 * were written last, and the others are read while nobody waits. Looking at the directory itself takes time, too; so it is done at most
 * a tenth of the time, and who asks in between is told what was there.
 */

import { isTidemarkError, type TidemarkError, textOf } from "../core/error.ts";
import { parseSnapshotId, type SnapshotId } from "../core/id.ts";
import type { DirectoryStore } from "../runtime/directory-store.ts";
import { readAttempts } from "../runtime/read-attempts.ts";
import type { PageSnapshot, PageSnapshots } from "../serve/web/api.ts";
import type { SnapshotsQuery } from "../serve/web/backend.ts";
import type { Attempt } from "../snapshot/attempt.ts";
import { type SnapshotSummary, summarise } from "../snapshot/manifest.ts";
import { whyNot } from "./history.ts";

/** So many manifests are read at once. */
const AT_ONCE = 32;
/** Those that were written last are not quite those that began last. */
const MARGIN = 64;
const LOOK_MS_MIN = 300;
const LOOK_SHARE = 10;
/** So much of what went wrong is told. */
const PROBLEMS_MAX = 5;

/** A snapshot that is in the directory; `entry` once its manifest was read. */
interface Known {
  readonly id: SnapshotId;
  readonly writtenMs: number;
  entry?: PageSnapshot;
}

/** See the head of the file. */
export class SnapshotIndex {
  readonly #store: DirectoryStore;
  readonly #known = new Map<SnapshotId, Known>();
  /** Those of the attempts that left none. */
  #attempts: readonly Attempt[] = [];
  #problems: readonly string[] = [];
  #inUse: SnapshotId | undefined;
  /** All in order; undefined: something is new. */
  #ordered: readonly PageSnapshot[] | undefined;
  #looking: Promise<void> | undefined;
  #lookAfterMs = 0;
  #reading: Promise<void> | undefined;
  /** Why something could not be read: it is encrypted. */
  #locked: TidemarkError | undefined;
  #isClosed: boolean = false;

  constructor(store: DirectoryStore) {
    this.#store = store;
  }

  /** @throws TidemarkError `KEY_REQUIRED`, `WRONG_KEY`, `STORE_FAILED` */
  async list({ from, limit, kind, text }: SnapshotsQuery): Promise<PageSnapshots> {
    if (performance.now() >= this.#lookAfterMs) this.#looking ??= this.#look();
    await this.#looking;
    await this.#readFirst(from + limit + MARGIN);
    this.#reading ??= this.#readRest();
    // Who can read nothing for want of the key has no empty directory.
    if (
      this.#locked &&
      ![...this.#known.values()].some(({ entry }) => entry?.outcome === "complete")
    )
      throw this.#locked;
    const wanted = text.toLowerCase();
    const found = this.#all().filter(
      (one) =>
        (kind === "all" || (kind === "snapshots") === (one.outcome === "complete")) &&
        (wanted === "" || textsOf(one).some((part) => part.toLowerCase().includes(wanted))),
    );
    return {
      entries: found.slice(from, from + limit),
      total: found.length,
      snapshots: this.#known.size,
      read: [...this.#known.values()].filter(({ entry }) => entry).length,
      ...(this.#inUse !== undefined && { inUse: this.#inUse }),
      problems: this.#problems,
    };
  }

  /** Something was changed here, so the next look is not put off. */
  changed(): void {
    this.#lookAfterMs = 0;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#looking?.catch(() => {});
    await this.#reading?.catch(() => {});
  }

  async #look(): Promise<void> {
    const startMs = performance.now();
    try {
      const written = await this.#store.written();
      for (const id of this.#known.keys()) if (!written.has(id)) this.#known.delete(id);
      for (const [id, writtenMs] of written)
        if (this.#known.get(id)?.writtenMs !== writtenMs) this.#known.set(id, { id, writtenMs });
      const problems: string[] = [];
      const attempts = await readAttempts(this.#store, (error) => problems.push(error.message));
      this.#attempts = attempts.filter(
        ({ outcome, snapshot }) =>
          outcome !== "complete" && (snapshot === undefined || !this.#known.has(snapshot)),
      );
      this.#inUse = (
        await this.#store.epoch().catch((error: unknown) => void problems.push(textOf(error)))
      )?.snapshot;
      this.#problems = problems.slice(0, PROBLEMS_MAX);
      this.#ordered = undefined;
    } finally {
      const tookMs = performance.now() - startMs;
      this.#lookAfterMs = performance.now() + Math.max(LOOK_MS_MIN, LOOK_SHARE * tookMs);
      this.#looking = undefined;
    }
  }

  /** Reads of those that were written last, until it has so many. */
  async #readFirst(count: number): Promise<void> {
    const unread = this.#unread().slice(0, count);
    for (let at = 0; at < unread.length; at += AT_ONCE)
      await this.#read(unread.slice(at, at + AT_ONCE));
  }

  async #readRest(): Promise<void> {
    try {
      const unread = this.#unread();
      for (let at = 0; at < unread.length && !this.#isClosed; at += AT_ONCE)
        await this.#read(unread.slice(at, at + AT_ONCE));
    } finally {
      this.#reading = undefined;
    }
  }

  #unread(): Known[] {
    const unread = [...this.#known.values()].filter(({ entry }) => !entry);
    return unread.sort((a, b) => b.writtenMs - a.writtenMs);
  }

  async #read(some: readonly Known[]): Promise<void> {
    await Promise.all(
      some.map(async (one) => {
        const { id, writtenMs: startedAtMs } = one;
        try {
          const stored = await this.#store.get(id);
          if (stored) one.entry = entryOf(summarise(stored.manifest));
          // Somebody has deleted it since.
          else if (this.#known.get(id) === one) this.#known.delete(id);
        } catch (error) {
          if (isTidemarkError(error, "KEY_REQUIRED") || isTidemarkError(error, "WRONG_KEY"))
            this.#locked = error;
          const { initiator } = parseSnapshotId(id);
          const reason = textOf(error);
          one.entry = { id, initiator, startedAtMs, outcome: "damaged", reason };
        }
      }),
    );
    this.#ordered = undefined;
  }

  #all(): readonly PageSnapshot[] {
    this.#ordered ??= [
      ...[...this.#known.values()].map(
        ({ id, writtenMs: startedAtMs, entry }): PageSnapshot =>
          entry ?? {
            ...{ id, initiator: parseSnapshotId(id).initiator, startedAtMs, outcome: "complete" },
          },
      ),
      ...this.#attempts.map(entryOfAttempt),
    ].sort((a, b) => b.startedAtMs - a.startedAtMs);
    return this.#ordered;
  }
}

function entryOf({ cutMs, processes, system: _, ...summary }: SnapshotSummary): PageSnapshot {
  const { initiator } = parseSnapshotId(summary.id);
  return { ...summary, initiator, outcome: "complete", tookMs: cutMs, processes };
}

function entryOfAttempt(attempt: Attempt): PageSnapshot {
  const {
    snapshot: id,
    initiator,
    label,
    epoch,
    processes,
    startedAtMs,
    outcome,
    tookMs,
  } = attempt;
  const known = { id, label, epoch, processes, tookMs };
  const said = Object.entries(known).filter(([, value]) => value !== undefined);
  return {
    ...{ initiator, startedAtMs, outcome, reason: whyNot(attempt) },
    ...Object.fromEntries(said),
  };
}

function textsOf({ id, label, reason, initiator, outcome }: PageSnapshot): string[] {
  return [id ?? "", label ?? "", reason ?? "", initiator, outcome];
}
