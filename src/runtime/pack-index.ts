/**
 * Where the parts of the piece before are, so that the next piece of the same process refers to them and
 * writes only what has changed.
 *
 * Theory of operation. A pack that is referred to again and again gets holes: parts that only older
 * snapshots need, and nobody once these are gone. A pack is worth referring to while enough of it is used by
 * the latest piece. Once it is not, the index leaves it out, and the next piece writes what it needs of
 * it into a new pack. Packs decay alike when changes are spread, so only some go at a time, the
 * emptiest first, and no snapshot has to write half the state. Few changes make small packs; once there are
 * many of these, the smaller half is put together. What is decided here costs room or time, never a snapshot: the
 * store looks for each file that it refers to.
 */

import type { PartReference } from "../snapshot/manifest.ts";

/** A part that lies in a pack. */
export type PackedPart = PartReference & { readonly pack: string; readonly offset: number };

/** What a piece uses of a pack. */
export interface PackUse {
  /** Of the whole file. */
  readonly bytes: number;
  /** Of the parts that the piece refers to, as they are stored. */
  readonly live: number;
}

/** A pack is written anew at once when less of it is used than this … */
const SPARSE = 1 / 4;
/** … and when less is used than this, it takes its turn: … */
const THIN = 1 / 2;
/** … of all packs one in so many at a time. */
const TURN = 64;
/** With fewer bytes in use a pack is a small one … */
const SMALL_PACK_BYTES = 262_144;
/** … of which there are no more than this. */
const SMALL_PACKS_MAX = 64;

/** The packs that the next piece may refer to, by what the last one uses. */
export function packsToKeep(packs: ReadonlyMap<string, PackUse>): Set<string> {
  const kept = new Set<string>();
  const thin: [name: string, share: number][] = [];
  for (const [name, { bytes, live }] of packs) {
    const share = bytes === 0 ? 1 : live / bytes;
    if (share < SPARSE) continue;
    kept.add(name);
    if (share < THIN) thin.push([name, share]);
  }
  thin.sort(([, a], [, b]) => a - b);
  for (const [name] of thin.slice(0, Math.ceil(packs.size / TURN))) kept.delete(name);
  const liveOf = (name: string): number => packs.get(name)?.live ?? 0;
  const small = [...kept].filter((name) => liveOf(name) < SMALL_PACK_BYTES);
  if (small.length > SMALL_PACKS_MAX) {
    small.sort((a, b) => liveOf(a) - liveOf(b));
    for (const name of small.slice(0, Math.ceil(small.length / 2))) kept.delete(name);
  }
  return kept;
}

/** The parts that a piece may refer to, by SHA-256. */
export type PackIndex = ReadonlyMap<string, PackedPart>;

/** The parts of those references that lie in packs. */
export function indexOf(references: Iterable<PartReference>): PackIndex {
  const index = new Map<string, PackedPart>();
  for (const reference of references)
    if (isPacked(reference)) index.set(reference.sha256, reference);
  return index;
}

function isPacked(reference: PartReference): reference is PackedPart {
  return reference.pack !== undefined && reference.offset !== undefined;
}
