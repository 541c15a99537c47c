import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import {
  type CheckedManifest,
  checkManifest,
  checkManifestInSteps,
  checkPiece,
  PARTS_AT_ONCE,
} from "../../src/snapshot/manifest-check.ts";
import { cases } from "../support/soak.ts";
import { mutate } from "./support/mutations.ts";
import { type Files, origins, validSnapshot } from "./support/snapshots.ts";

type LooseManifest = Files["manifest"];

/** One with channels in use both ways, packs, slices and a label. */
const sample = (): LooseManifest => {
  const { manifest } = validSnapshot({ seed: 13, processes: 4, deeds: 100 }).snapshot;
  return { ...manifest, label: "before the upgrade" };
};

const problemOf = (value: unknown): string | undefined => {
  const checked = checkManifest(value);
  return "problem" in checked ? checked.problem : undefined;
};

/** Every value inside a document: its path as a problem names it, and a way to put another there. */
function placesOf(
  document: unknown,
  path = "",
): { readonly path: string; put(value: unknown): void; readonly value: unknown }[] {
  if (typeof document !== "object" || document === null) return [];
  const at = document as Record<string, unknown>;
  return Object.entries(at).flatMap(([name, value]) => {
    const inside = Array.isArray(document)
      ? `${path}[#${name}]`
      : path === ""
        ? name
        : `${path}.${name}`;
    const put = (other: unknown): void => {
      if (other === undefined && !Array.isArray(document)) delete at[name];
      else at[name] = other;
    };
    return [{ path: inside, put, value }, ...placesOf(value, inside)];
  });
}

describe("a manifest that is well formed", () => {
  test("is accepted, and its copy says the same", () => {
    fc.assert(
      fc.property(origins, (origin) => {
        const { manifest } = validSnapshot(origin).snapshot;
        const before = structuredClone(manifest);
        const checked = checkManifest(manifest);
        expect(checked).toEqual({ manifest: before });
        expect(manifest).toEqual(before);
      }),
      { numRuns: 200 },
    );
  });

  test("is copied whole: no change of the copy is one of the original", () => {
    const manifest = sample();
    const checked = checkManifest(manifest);
    if ("problem" in checked) throw new Error(checked.problem);
    for (const { put, value } of placesOf(checked.manifest))
      if (typeof value !== "object") put("changed");
    expect(manifest).toEqual(sample());
  });

  test("may hold fields of a later version anywhere: they are not copied", () => {
    const later = JSON.stringify(sample()).replaceAll(
      /\{(?=")/g,
      '{"__proto__":{"system":"other"},"later":[1],"constructor":null,',
    );
    expect(checkManifest(JSON.parse(later))).toEqual({ manifest: sample() });
  });

  test("needs no label, and no part where nothing is in flight", () => {
    const { label: _, ...manifest } = sample();
    const checked = checkManifest(manifest);
    if ("problem" in checked) throw new Error(checked.problem);
    expect("label" in checked.manifest).toBe(false);
    const quiet = checked.manifest.pieces
      .flatMap(({ incoming }) => incoming)
      .find(({ inFlight }) => inFlight === 0);
    expect(quiet && "part" in quiet).toBe(false);
  });

  test("may have a label of any characters", () => {
    const label = `two\nlines, ${"é".repeat(240)}`;
    expect(checkManifest({ ...sample(), label })).toEqual({ manifest: { ...sample(), label } });
  });

  test("may hold times of clocks that were set back", () => {
    expect(problemOf({ ...sample(), startedAtMs: -1.5, cutMs: -20 })).toBeUndefined();
  });
});

describe("a problem names the place", () => {
  test("of every field that is missing, unless it may be", () => {
    const optional = /^label$|\.(pack|offset|part)$/;
    const names = placesOf(sample()).filter(({ path }) => !path.endsWith("]"));
    expect(names.length).toBeGreaterThan(100);
    for (const [index, { path }] of names.entries()) {
      const manifest = sample();
      placesOf(manifest)
        .filter((place) => !place.path.endsWith("]"))
        [index]?.put(undefined);
      if (optional.test(path)) continue;
      expect(problemOf(manifest), path).toMatch(
        new RegExp(`^${path.replaceAll(/[.[\]]/g, "\\$&")} must be `),
      );
    }
  });

  test("of every value of a type that belongs nowhere", () => {
    for (const [index, { path, value }] of placesOf(sample()).entries()) {
      for (const strange of [null, Number.NaN, "\u0000", {}, [[]], 1n, () => 1]) {
        // A text may be the name of a system or codec, and an object without fields says which is missing.
        if (typeof strange === "string" && typeof value === "string") continue;
        const manifest = sample();
        placesOf(manifest)[index]?.put(strange);
        const problem = problemOf(manifest);
        expect(problem?.startsWith(path), `${path} is ${typeof strange}: ${problem}`).toBe(true);
      }
    }
  });

  for (const [place, change] of Object.entries<(manifest: LooseManifest) => void>({
    "it must be an object": () => {},
    'format must be "tidemark-snapshot/1"': (m) =>
      Object.assign(m, { format: "tidemark-snapshot/2" }),
    "id must be a snapshot id": (m) => Object.assign(m, { id: "p1/0" }),
    "label must be a text of 1 to 256 characters": (m) =>
      Object.assign(m, { label: "x".repeat(257) }),
    "system must be": (m) => Object.assign(m, { system: "" }),
    "epoch must be a whole number": (m) => Object.assign(m, { epoch: -1 }),
    "initiator must be a process id": (m) => Object.assign(m, { initiator: "-p" }),
    "cutMs must be a number": (m) => Object.assign(m, { cutMs: Number.POSITIVE_INFINITY }),
    "processes[#1] must come after": (m) => m.processes.splice(1, 0, m.processes[0] as string),
    "processes[#4] must be a process id": (m) => m.processes.push("__proto__"),
    "channels[#1] must come after": (m) => m.channels.reverse(),
    "channels[#0].to must be a process id": (m) =>
      Object.assign(m.channels[0] ?? {}, { to: "a b" }),
    "pieces[#1] must be an object": (m) => Object.assign(m.pieces, { 1: [] }),
    "pieces[#1] must come after": (m) => m.pieces.reverse(),
    "pieces[#0].epoch must be": (m) => Object.assign(m.pieces[0] ?? {}, { epoch: 0.5 }),
    "pieces[#0].incoming[#1] must come after": (m) => m.pieces[0]?.incoming.reverse(),
    "pieces[#0].outgoing[#1] must come after": (m) => m.pieces[0]?.outgoing.reverse(),
    "pieces[#0].outgoing[#0].hash must be 33": (m) =>
      Object.assign(m.pieces[0]?.outgoing[0] ?? {}, { hash: `${"0".repeat(32)}4` }),
    "pieces[#0].outgoing[#0].sent must be a whole number": (m) =>
      Object.assign(m.pieces[0]?.outgoing[0] ?? {}, { sent: 2 ** 53 }),
    "pieces[#0].state must have exactly one part, unless it is sliced": (m) =>
      Object.assign(m.pieces[0]?.state ?? {}, { sliced: false, parts: [] }),
    "pieces[#0].state.parts[#0].sha256 must be 64 hexadecimal digits in lower case": (m) =>
      Object.assign(m.pieces[0]?.state.parts[0] ?? {}, { sha256: "A".repeat(64) }),
    "pieces[#0].state.parts[#0] must have both pack and offset, or neither": (m) =>
      Object.assign(m.pieces[0]?.state ?? {}, {
        parts: [{ sha256: "a".repeat(64), bytes: 1, offset: 1 }],
      }),
    "pieces[#0].incoming[#0] must have a part if messages are in flight, and only then": (m) =>
      Object.assign(m.pieces[0]?.incoming[0] ?? {}, {
        inFlight: 0,
        part: { sha256: "a".repeat(64), bytes: 0 },
      }),
  }))
    test(place, () => {
      const manifest = sample();
      change(manifest);
      const value = place.startsWith("it ") ? "text" : manifest;
      expect(problemOf(value)?.slice(0, place.length)).toBe(place);
    });

  test("where a limit is passed", () => {
    const many = Array.from({ length: 100_001 }, (_, i) => `p${String(i).padStart(6, "0")}`);
    expect(problemOf({ ...sample(), processes: many })).toBe(
      "processes must be a list of at most 100000",
    );
    // One fewer is as many as there may be.
    expect(problemOf({ ...sample(), processes: many.slice(1) })).toBeUndefined();
  });
});

describe("a piece", () => {
  test("is checked by itself", () => {
    const [piece] = sample().pieces;
    expect(checkPiece(piece)).toEqual({ piece });
    expect(checkPiece({ ...piece, process: "" })).toEqual({
      problem: "process must be a process id",
    });
    expect(checkPiece(undefined)).toEqual({ problem: "it must be an object" });
  });
});

/** To its end, and how many steps that took. */
function checkedInSteps(value: unknown): {
  readonly checked: CheckedManifest;
  readonly steps: number;
} {
  const checking = checkManifestInSteps(value);
  for (let steps = 1; ; steps += 1) {
    const { done, value: checked } = checking.next();
    if (done) return { checked, steps };
  }
}

/** What `checkManifestInSteps` might be if it were wrong. */
const wrongChecks: Readonly<Record<string, (value: unknown) => CheckedManifest>> = {
  "that looks at the first parts only": (value) => {
    const start = structuredClone(value) as LooseManifest;
    if (Array.isArray(start.pieces))
      for (const piece of start.pieces)
        if (Array.isArray(piece?.state?.parts)) piece.state.parts.splice(PARTS_AT_ONCE);
    const checked = checkManifest(start);
    return "problem" in checked ? checked : { manifest: value as LooseManifest };
  },
  "for which parts that are no list are none": (value) => {
    const { checked } = checkedInSteps(value);
    if (!("problem" in checked && checked.problem.endsWith("be a list of at most 10000000")))
      return checked;
    const emptied = structuredClone(value) as LooseManifest;
    for (const { state } of emptied.pieces) if (!Array.isArray(state.parts)) state.parts = [];
    return checkManifest(emptied);
  },
  "that names places within the step": (value) => {
    const { checked } = checkedInSteps(value);
    if (!("problem" in checked)) return checked;
    return {
      problem: checked.problem.replace(
        /parts\[#(\d+)\]/,
        (_, index) => `parts[#${Number(index) % PARTS_AT_ONCE}]`,
      ),
    };
  },
};

describe("in steps", () => {
  /** One whose first two states have so many parts. */
  function large(counts: readonly number[]): LooseManifest {
    const manifest = sample();
    for (const [i, length] of counts.entries()) {
      const { state } = manifest.pieces[i] as LooseManifest["pieces"][number];
      state.sliced = true;
      state.parts = Array.from({ length }, (_, bytes) => ({ sha256: "ab".repeat(32), bytes }));
    }
    return manifest;
  }
  const sizes = fc.constantFrom(0, 1, 99, 100, 101, 199, 200, 201, 1_000);
  const strange = fc.constantFrom<unknown>(undefined, null, "", "text", -1, {}, [], [[]], true);
  const never = fc.constant(undefined);

  /** Parts are wrong, or whole lists of them, or something else, or all that at once. */
  const spoiled = fc
    .record({
      counts: fc.tuple(sizes, sizes),
      parts: fc.array(
        fc.record({ piece: fc.nat(1), at: fc.nat(), value: strange, whole: fc.boolean() }),
        {
          maxLength: 3,
        },
      ),
      other: fc.oneof(never, fc.record({ at: fc.nat(), value: strange })),
      list: fc.oneof(never, fc.record({ piece: fc.nat(1), value: strange })),
    })
    .map(({ counts, parts, other, list }) => {
      const manifest = large(counts);
      const states = manifest.pieces.map(({ state }) => state);
      const elsewhere = placesOf(manifest).filter(({ path }) => !path.includes(".parts["));
      for (const { piece, at, value, whole } of parts) {
        const length = counts[piece] as number;
        if (length === 0) continue;
        if (whole) Object.assign(states[piece]?.parts ?? [], { [at % length]: value });
        else Object.assign(states[piece]?.parts[at % length] ?? {}, { bytes: value });
      }
      if (list) Object.assign(states[list.piece] ?? {}, { parts: list.value });
      if (other) elsewhere[other.at % elsewhere.length]?.put(other.value);
      return manifest;
    });
  const parameters = { seed: 20_261_126, numRuns: cases("manifest-steps", 300, 20_000) };
  const sameAs = (check: (value: unknown) => CheckedManifest) =>
    fc.property(spoiled, (manifest) => {
      expect(check(manifest)).toEqual(checkManifest(manifest));
    });

  test("it finds what it finds at once, in the same place, whatever is wrong", () => {
    let sound = 0;
    const found = new Set<string>();
    fc.assert(
      sameAs((value) => {
        const { checked } = checkedInSteps(value);
        if ("problem" in checked) found.add(checked.problem.replaceAll(/\d+/g, "0"));
        else sound += 1;
        return checked;
      }),
      parameters,
    );
    // Each kind is there.
    expect(sound).toBeGreaterThan(parameters.numRuns / 20);
    expect(found.size).toBeGreaterThan(20);
    for (const problem of [
      "pieces[#0].state.parts[#0] must be an object",
      "pieces[#0].state.parts[#0].bytes must be a whole number, 0 or more",
      "pieces[#0].state.parts must be a list of at most 0",
    ])
      expect(found).toContain(problem);
  });

  for (const [what, check] of Object.entries(wrongChecks))
    test(`a check ${what} would be noticed`, () => {
      const { errorInstance } = fc.check(sameAs(check), parameters);
      expect(errorInstance).toMatchObject({ name: "AssertionError" });
    });

  test("it never looks at many parts at once, and takes no step that is not needed", () => {
    for (const counts of [
      [0, 0],
      [1, 1],
      [99, 1],
      [5_000, 0],
      [150, 4_321],
      [2_000, 2_000],
    ]) {
      const manifest = large(counts);
      const usual = manifest.pieces
        .slice(2)
        .reduce((sum, { state }) => sum + state.parts.length, 0);
      const all = counts.reduce((sum, count) => sum + count, usual);
      let looked = 0;
      for (const { state } of manifest.pieces)
        for (const part of state.parts) {
          const { bytes } = part;
          Object.defineProperty(part, "bytes", {
            enumerable: true,
            get: () => {
              looked += 1;
              return bytes;
            },
          });
        }
      const checking = checkManifestInSteps(manifest);
      const steps: number[] = [];
      for (let done = false; !done; ) {
        looked = 0;
        done = checking.next().done === true;
        steps.push(looked);
      }
      expect(steps.reduce((sum, step) => sum + step)).toBe(all);
      expect(Math.max(...steps)).toBeLessThan(2 * PARTS_AT_ONCE);
      expect(steps.length).toBeLessThanOrEqual(1 + all / PARTS_AT_ONCE);
      // Without steps all are looked at in one.
      looked = 0;
      checkManifest(manifest);
      expect(looked).toBe(all);
    }
  });

  test("its copy is one of what it saw: what changes between two steps changes nothing", () => {
    const manifest = large([1_000, 1_000]);
    const before = structuredClone(manifest);
    const checking = checkManifestInSteps(manifest);
    checking.next();
    manifest.label = "another";
    manifest.pieces[0]?.state.parts.splice(0, PARTS_AT_ONCE - 1, ...[]);
    manifest.pieces[0]?.state.parts.unshift(
      ...Array.from({ length: PARTS_AT_ONCE - 1 }, () => ({ sha256: "cd".repeat(32), bytes: 7 })),
    );
    for (;;) {
      const { done, value } = checking.next();
      if (!done) continue;
      expect(value).toEqual({ manifest: before });
      return;
    }
  });
});

describe("whatever it is given", () => {
  test("it does not throw", () => {
    const throwing = (thrown: unknown) =>
      new Proxy(
        {},
        {
          get: () => {
            throw thrown;
          },
        },
      );
    const deep: unknown = JSON.parse("[".repeat(5_000) + "]".repeat(5_000));
    const values = [
      undefined,
      null,
      1n,
      Symbol("s"),
      deep,
      { pieces: deep },
      throwing(null),
      throwing(Object.create(null)),
    ];
    for (const value of values) {
      expect(problemOf(value)).toBeTypeOf("string");
      expect(checkedInSteps(value).checked).toEqual(checkManifest(value));
      expect(checkPiece(value)).toHaveProperty("problem");
    }
  });

  test("what it accepts of a mutated manifest is well formed and holds nothing else", () => {
    const random = new Random("forms");
    const text = JSON.stringify(sample());
    let accepted = 0;
    const many = cases("fuzz-form", 5_000, 1_000_000);
    for (let i = 0; i < many; i += 1) {
      const manifest: unknown = JSON.parse(text);
      const state = random.state.join();
      mutate(manifest, random);
      mutate(manifest, random);
      const checked = checkManifest(manifest);
      if ("problem" in checked) {
        expect(checked.problem).toMatch(/^[a-zA-Z0-9.#[\]]+ must (be|come|have) /);
        continue;
      }
      accepted += 1;
      expect(checkManifest(checked.manifest), state).toEqual(checked);
      expect(manifest, state).toMatchObject(checked.manifest);
    }
    expect(accepted).toBeGreaterThan(many / 100);
    expect(accepted).toBeLessThan(many);
  });
});
