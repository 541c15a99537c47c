/**
 * Garbage: objects that nobody can reach any more, in whatever circles they refer to each other, through however many processes.
 *
 * Assumptions. An object is reached from a root, or by a reference of one that is; whoever has a reference may give it away, and
 * nobody comes to one in another way. What somebody outside the system knows is declared as a root.
 *
 * Theory of operation. At a consistent cut a reference is held by a state or carried by a message in flight. All that the roots of states
 * and messages lead to is reached; nothing else can ever be, so to be garbage is stable (Chandy and Lamport 1985, §5). Without the
 * messages, an object would be taken for garbage whose only reference is on its way. Cycles make no difference.
 */

import { components } from "./components.ts";
import type { GlobalState } from "./global-state.ts";
import {
  counted,
  type Detection,
  missing,
  named,
  type Place,
  placeOf,
  textOfPlace,
  unknown,
} from "./verdict.ts";

/** An object that nobody can reach. */
export type GarbageObject = Place & {
  readonly object: string;
  readonly refersTo: readonly string[];
};

/** What the verdict rests on. */
export interface GarbageEvidence {
  /** By their names. */
  readonly objects: readonly GarbageObject[];
  /** Those of them that reach each other in a circle; one of two processes or more is not found by counting references. */
  readonly cycles: readonly (readonly string[])[];
  /** Names that are reached and that no object has: whatever had them is outside, or was removed too early. */
  readonly missing: readonly string[];
}

interface Found {
  readonly place: Place;
  readonly refersTo: readonly string[];
}

const DETECTOR = "garbage";

/** Detects objects that cannot be reached from any root. */
export function detectGarbage(state: GlobalState): Detection<GarbageEvidence> {
  const reason = missing(state, "references");
  if (reason !== undefined) return unknown(DETECTOR, reason);
  const all = new Map<string, Found>();
  const reached = new Set<string>();
  for (const one of [...state.processes, ...state.messages]) {
    const { roots = [], objects = {} } = one.references ?? {};
    const place = "process" in one ? { process: one.process } : placeOf(one);
    for (const name of roots) reached.add(name);
    for (const [name, refersTo] of Object.entries(objects)) {
      const other = all.get(name);
      if (other) {
        const both = `${textOfPlace(other.place)} and ${textOfPlace(place)}`;
        return unknown(DETECTOR, `two objects have the name ${name}: at ${both}`);
      }
      all.set(name, { place, refersTo });
    }
  }
  // A set goes on with what is added meanwhile.
  for (const name of reached) for (const to of all.get(name)?.refersTo ?? []) reached.add(to);
  const names = [...all.keys()].filter((name) => !reached.has(name)).sort();
  const objects = names.map((object): GarbageObject => {
    const { place, refersTo } = all.get(object) as Found;
    return { object, ...place, refersTo };
  });
  const next = (name: string): readonly string[] => all.get(name)?.refersTo ?? [];
  const cycles = components(names, next)
    .filter(([first = "", ...more]) => more.length > 0 || next(first).includes(first))
    .map((cycle) => [...cycle].sort());
  const lost = [...reached].filter((name) => !all.has(name)).sort();
  const evidence = { objects, cycles, missing: lost };
  if (objects.length === 0) {
    const sentence = `all of ${counted(all.size, "object")} can be reached`;
    return { detector: DETECTOR, detected: false, evidence, sentence };
  }
  return { detector: DETECTOR, detected: true, evidence, sentence: sentenceOf(evidence, all) };
}

function sentenceOf({ objects, cycles }: GarbageEvidence, all: ReadonlyMap<string, Found>): string {
  const those = objects.map((one) => `${one.object} (${textOfPlace(one)})`);
  const across = cycles.filter(
    (cycle) => new Set(cycle.map((name) => textOfPlace((all.get(name) as Found).place))).size > 1,
  ).length;
  const circles = across === 0 ? "" : `; ${counted(across, "cycle")} through several processes`;
  return `nobody can reach ${counted(objects.length, "object")}: ${named(those)}${circles}`;
}
