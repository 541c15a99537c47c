/** The attempts at snapshots that a store knows of. */

import { TidemarkError } from "../core/error.ts";
import { type Attempt, attemptsOf, completeNote } from "../snapshot/attempt.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

/**
 * What came of the attempts at snapshots in a store, newest first: also of those that left none, with who held them up. How many
 * are kept has a bound; with a directory store it is about a thousand for each process, fewer in large systems.
 *
 * @param damaged is told of notes that are not what was written; they are skipped
 * @throws TidemarkError `STORE_FAILED`, `KEY_REQUIRED`, `WRONG_KEY`; `BAD_OPTION` if the store has no `notes`
 *
 * @example
 * ```ts
 * import { memoryStore, readAttempts } from "tidemark";
 * const store = memoryStore();
 * for (const { snapshot, outcome, reason } of await readAttempts(store)) console.log(snapshot, outcome, reason ?? "");
 * ```
 */
export async function readAttempts(
  store: SnapshotStore,
  damaged: (error: Error) => void = () => {},
): Promise<Attempt[]> {
  if (typeof store.notes !== "function")
    throw new TidemarkError("BAD_OPTION", "this store keeps no notes of attempts");
  const notes = [];
  for await (const note of store.notes(damaged)) notes.push(note);
  const attempts = attemptsOf(notes);
  // Whoever died after it had written a manifest noted nothing more.
  const written = [];
  for (const { snapshot, outcome, unclosed, unstored } of attempts) {
    if (outcome === "complete" || snapshot === undefined) continue;
    // While anybody is late no manifest is written.
    if (unclosed.length > 0 || unstored.length > 0) continue;
    const stored = await store.get(snapshot).catch(() => undefined);
    if (stored) written.push(completeNote(stored.manifest));
  }
  return written.length === 0 ? attempts : attemptsOf([...notes, ...written]);
}
