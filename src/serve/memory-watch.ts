/**
 * Whether the memory that this process uses is above a limit, and which keys to give up then.
 *
 * Theory of operation. What V8 uses is asked for now and then. Garbage is a part of it until it is collected; so when the limit seems to be
 * passed, it is collected first, but never for more than a small share of the time. Keys that go are chosen as Redis does: of some
 * that are picked by chance, the one that was used longest ago. When keys were used is noted by slot, and only here: for keys of one slot
 * it is the same.
 */

import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Keyspace } from "../kv/keyspace.ts";
import { SLOTS, slotOf } from "../kv/slot.ts";

const ASKED_EVERY_MS = 100;
/** Of the time that passes, garbage is collected for one part in so many. */
const COLLECTED_SHARE = 20;
/** So many keys are compared to find one. */
const SAMPLES = 5;
/** Of one write. */
const VICTIMS_MAX = 32;
/** About what a key takes beside its text and its value. */
const KEY_BYTES = 64;

function usedBytes(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
}

let collect: (() => void) | undefined;

/** Gives how long it took. */
function collectGarbage(): number {
  if (!collect) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
  }
  const beganMs = performance.now();
  collect();
  return performance.now() - beganMs;
}

/** See the head of the file. */
export class MemoryWatch {
  readonly #startBytes: number = usedBytes();
  #peakBytes = this.#startBytes;
  #limitBytes = 0;
  isFull: boolean = false;
  #asking: NodeJS.Timeout | undefined;
  #collectAtMs = 0;
  /** When a key of each slot was used. */
  readonly #usedAt = new Float64Array(SLOTS);

  get isLimited(): boolean {
    return this.#limitBytes > 0;
  }

  get memory(): { usedBytes: number; peakBytes: number; startBytes: number } {
    const used = usedBytes();
    this.#peakBytes = Math.max(this.#peakBytes, used);
    return { usedBytes: used, peakBytes: this.#peakBytes, startBytes: this.#startBytes };
  }

  /** @param bytes 0: there is no limit */
  limit(bytes: number): void {
    this.stop();
    this.#limitBytes = bytes;
    this.#ask();
    if (bytes > 0) this.#asking = setInterval(() => this.#ask(), ASKED_EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.#asking);
  }

  used(key: string): void {
    this.#usedAt[slotOf(key)] = performance.now();
  }

  /** Databases and keys in turn, which take about so many bytes and a little more: so what is used comes below the limit in time. */
  victims({ databases }: Keyspace, bytes: number): string[] {
    const total = databases.reduce((sum, { size }) => sum + size, 0);
    const words: string[] = [];
    const chosen = new Set<string>();
    for (let freed = 0; freed < 2 * bytes && words.length < 2 * VICTIMS_MAX; ) {
      const victim = total > chosen.size ? this.#victim(databases, total, chosen) : undefined;
      if (!victim) break;
      const [db, key, keyBytes] = victim;
      chosen.add(`${db}:${key}`);
      words.push(String(db), key);
      freed += keyBytes;
    }
    return words;
  }

  /** The one of some that was used longest ago. */
  #victim(
    databases: Keyspace["databases"],
    total: number,
    chosen: ReadonlySet<string>,
  ): readonly [db: number, key: string, bytes: number] | undefined {
    let found: readonly [number, string] | undefined;
    let foundAt = Number.POSITIVE_INFINITY;
    for (let i = 0; i < SAMPLES; i += 1) {
      let at = Math.floor(Math.random() * total);
      const db = databases.findIndex(({ size }) => {
        at -= size;
        return at < 0;
      });
      const picked = pickKey(databases[db] as Keyspace["databases"][number]);
      if (picked === undefined || chosen.has(`${db}:${picked}`)) continue;
      const usedAt = this.#usedAt[slotOf(picked)] ?? 0;
      if (usedAt >= foundAt) continue;
      foundAt = usedAt;
      found = [db, picked];
    }
    if (!found) return undefined;
    const [db, key] = found;
    const value = databases[db]?.get(key) ?? "";
    const bytes = typeof value === "string" ? value.length : value.memoryBytes;
    return [db, key, KEY_BYTES + key.length + bytes];
  }

  #ask(): void {
    this.isFull = this.isLimited && this.memory.usedBytes > this.#limitBytes;
    const now = performance.now();
    if (!this.isFull || now < this.#collectAtMs) return;
    const tookMs = collectGarbage();
    this.#collectAtMs = now + COLLECTED_SHARE * tookMs;
    this.isFull = this.memory.usedBytes > this.#limitBytes;
  }
}

/** By chance, of a slot that is found by chance. */
function pickKey(database: Keyspace["databases"][number]): string | undefined {
  const from = Math.floor(Math.random() * SLOTS);
  for (let i = 0; i < SLOTS; i += 1) {
    const keys = database.slotKeys((from + i) % SLOTS);
    if (keys.length > 0) return keys[Math.floor(Math.random() * keys.length)];
  }
  return undefined;
}
