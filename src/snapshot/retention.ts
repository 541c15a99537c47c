/**
 * Which snapshots a rule lets go. One with a label is the user's, and no rule takes it; one without is the
 * system's. The newest snapshot of all stays, whatever the rule says: it is what there is to go back to.
 */

import type { SnapshotId } from "../core/id.ts";

/** A snapshot, as the rule sees it. */
export interface Retained {
  readonly id: SnapshotId;
  readonly label?: string;
  /** Milliseconds since 1970. */
  readonly startedAtMs: number;
  /** The files that it needs, with their size in bytes; several snapshots may need the same. */
  readonly files?: ReadonlyMap<string, number>;
}

/** What stays. Each bound that is given takes snapshots for itself; without any, all stay. */
export interface RetentionRule {
  /** So many without a label, the newest, at least 1. */
  readonly keep?: number;
  /** Those that are no older. */
  readonly olderThanMs?: number;
  /**
   * The newest ones whose files take no more than that together, in bytes. Files that one with a label needs
   * as well do not count: they stay anyhow.
   */
  readonly maxBytes?: number;
}

/**
 * The snapshots that a rule lets go, the oldest first.
 *
 * @param snapshots all that there are, the newest first
 * @param nowMs milliseconds since 1970
 */
export function expired<T extends Retained>(
  snapshots: readonly T[],
  rule: RetentionRule,
  nowMs: number,
): T[] {
  const { keep = Number.POSITIVE_INFINITY, olderThanMs = Number.POSITIVE_INFINITY } = rule;
  const { maxBytes = Number.POSITIVE_INFINITY } = rule;
  const counted = new Set<string>();
  for (const { label, files = new Map() } of snapshots)
    if (label !== undefined) for (const file of files.keys()) counted.add(file);
  const gone: T[] = [];
  let kept = 0;
  let bytes = 0;
  for (const [place, snapshot] of snapshots.entries()) {
    if (snapshot.label !== undefined) continue;
    const more = [...(snapshot.files ?? [])].filter(([file]) => !counted.has(file));
    const size = more.reduce((sum, [, one]) => sum + one, 0);
    const tooOld = nowMs - snapshot.startedAtMs > olderThanMs;
    const tooLarge = bytes + size > maxBytes;
    if (place > 0 && (kept >= keep || tooOld || tooLarge)) {
      gone.unshift(snapshot);
      // A smaller one that is older does not take the place of one that was too large.
      if (tooLarge) bytes = Number.POSITIVE_INFINITY;
      continue;
    }
    kept += 1;
    bytes += size;
    for (const [file] of more) counted.add(file);
  }
  return gone;
}

/** How many bytes the files have that nobody needs any more when those are gone. */
export function freedBytes(snapshots: readonly Retained[], gone: ReadonlySet<Retained>): number {
  const needed = new Set<string>();
  const freed = new Map<string, number>();
  for (const one of snapshots)
    if (!gone.has(one)) for (const file of one.files?.keys() ?? []) needed.add(file);
  for (const { files = new Map<string, number>() } of gone)
    for (const [file, bytes] of files) if (!needed.has(file)) freed.set(file, bytes);
  return [...freed.values()].reduce((sum, bytes) => sum + bytes, 0);
}
