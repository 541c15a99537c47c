import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { checkManifest, checkPiece } from "../../src/snapshot/manifest-check.ts";
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
