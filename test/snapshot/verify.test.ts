import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  emptyChannelHash,
  foldChannelHash,
  formatChannelHash,
} from "../../src/core/channel-hash.ts";
import { Random } from "../../src/core/random.ts";
import { readRecords } from "../../src/core/record.ts";
import { partsOf } from "../../src/snapshot/manifest.ts";
import { checkManifest } from "../../src/snapshot/manifest-check.ts";
import { type Verdict, verifySnapshot } from "../../src/snapshot/verify.ts";
import { cases } from "../support/soak.ts";
import { mutate } from "./support/mutations.ts";
import {
  anyCut,
  type Files,
  messages,
  type Order,
  origins,
  orphanChannels,
  putFile,
  readerOf,
  sha256,
  simulate,
  takeSnapshot,
  validSnapshot,
} from "./support/snapshots.ts";
import { TAMPERINGS } from "./support/tamperings.ts";

const documentFile = fileURLToPath(
  new URL("../../docs/internals/snapshot-format.md", import.meta.url),
);
const sourceFile = fileURLToPath(new URL("../../src/snapshot/verify.ts", import.meta.url));

const verify = ({ manifest, files }: Files): Verdict => verifySnapshot(manifest, readerOf(files));

/** Valid snapshots of busy runs, the same on every run. */
const sampleOf = (seed: number, order: Order = "fifo"): ReturnType<typeof validSnapshot> =>
  validSnapshot({ seed, processes: 2 + (seed % 5), deeds: 30 + (seed % 90), order });

/** With running hashes, and with set hashes. */
const ORDERS: readonly Order[] = ["fifo", "none"];
/** What a set hash does not tell: nothing has an order there. */
const REORDERINGS = [
  "two messages in flight change places",
  "the messages in flight are in reverse",
];

describe("valid snapshots", () => {
  test("every random one is accepted, with its channels and messages counted", () => {
    let inFlight = 0;
    fc.assert(
      fc.property(origins, (origin) => {
        const { snapshot, run, cut } = validSnapshot(origin);
        const held = run.topology
          .channels()
          .map(
            (channel) =>
              messages(run, cut, channel, "sent").length -
              messages(run, cut, channel, "received").length,
          );
        const verdict = verify(snapshot);
        expect(verdict).toEqual({
          consistent: true,
          processes: origin.processes,
          channels: held.length,
          inFlight: held.reduce((sum, one) => sum + one, 0),
        });
        if (verdict.consistent) inFlight += verdict.inFlight;
      }),
      { numRuns: cases("valid-snapshots", 1_000, 100_000) },
    );
    expect(inFlight).toBeGreaterThan(2_000);
  });

  test("one process alone is a system", () => {
    const alone = validSnapshot({ seed: 1, processes: 1, deeds: 10 });
    expect(verify(alone.snapshot)).toEqual({
      consistent: true,
      processes: 1,
      channels: 0,
      inFlight: 0,
    });
  });

  test("fields that are not known do not matter, be it __proto__", () => {
    const { snapshot } = sampleOf(3);
    const text = JSON.stringify(snapshot.manifest);
    const more = text.replace(
      "{",
      '{"__proto__":{"format":1,"pieces":[]},"sha256":"0","later":[],',
    );
    expect(verifySnapshot(JSON.parse(more), readerOf(snapshot.files)).consistent).toBe(true);
  });

  test("each part is asked for once, by what the manifest says of it and nothing else", () => {
    const { snapshot } = sampleOf(4);
    const asked: object[] = [];
    const reader = readerOf(snapshot.files);
    verifySnapshot(snapshot.manifest, (reference) => {
      asked.push(reference);
      return reader(reference);
    });
    const named = snapshot.manifest.pieces.flatMap(({ state, incoming }) => [
      ...state.parts,
      ...incoming.flatMap(({ part }) => part ?? []),
    ]);
    const byText = (references: object[]) => references.map((one) => JSON.stringify(one)).sort();
    expect(byText(asked)).toEqual(byText(named));
    expect(asked.length).toBeGreaterThan(3);
  });
});

describe("the example in the description of the format", () => {
  const text = readFileSync(documentFile, "utf8");
  const json = /^```json\n(.*?)^```$/ms.exec(text)?.[1] ?? "";
  const rows = text.matchAll(/^\| `[0-9a-f]{2}\/([0-9a-f]{64})` \| `([0-9a-f]+)` \|$/gm);
  const files = new Map(
    [...rows].map(([, name = "", hex = ""]) => [name, Buffer.from(hex, "hex")]),
  );

  test("is proven, and its files have the names that they should", () => {
    expect(verify({ manifest: JSON.parse(json), files: new Map(files) })).toEqual({
      consistent: true,
      processes: 2,
      channels: 2,
      inFlight: 2,
    });
    expect(files.size).toBe(2);
    const parts = [...partsOf(JSON.parse(json))];
    const packed = parts.filter(({ pack }) => pack !== undefined);
    const pack = sha256(Buffer.from(packed.map((part) => part.sha256).join("")));
    expect(new Set(packed.map((part) => part.pack))).toEqual(new Set([pack]));
    for (const [name, bytes] of files) if (name !== pack) expect(sha256(bytes)).toBe(name);
  });

  test("holds every field of a manifest", () => {
    expect(checkManifest(JSON.parse(json))).toEqual({ manifest: JSON.parse(json) });
    const names = [...json.matchAll(/"(\w+)":/g)].map(([, name = ""]) => name);
    const described = text.slice(0, text.indexOf("## In a directory"));
    for (const name of names) expect(described).toMatch(new RegExp(`[\`."]${name}[\`".]`));
  });
});

describe.each(ORDERS)("a verifier finds, where the order is %s, that", (order) => {
  for (const [name, tamper] of Object.entries(TAMPERINGS)) {
    if (order === "none" && REORDERINGS.includes(name)) continue;
    test(name, () => {
      let applied = 0;
      for (let seed = 0; applied < 40; seed += 1) {
        expect(seed, "snapshots that can be tampered with in this way are rare").toBeLessThan(800);
        const origin = sampleOf(seed, order);
        const { snapshot, random } = origin;
        const before = structuredClone(snapshot);
        const place = tamper(snapshot, random, origin);
        if (place === undefined) continue;
        applied += 1;
        const verdict = verify(snapshot);
        expect(verdict, `seed ${seed}`).toMatchObject({
          consistent: false,
          place: typeof place === "string" ? place : expect.toBeOneOf([...place]),
        });
        // The negative control: without the change there is nothing to find.
        expect(verify(before).consistent).toBe(true);
      }
    });
  }
});

describe("even if both hashes agree", () => {
  /** A snapshot with those bytes in flight on one channel, sent by a process that hashed them so. */
  function carrying(...words: number[]): { readonly snapshot: Files; readonly channel: string } {
    const bytes = new Uint8Array(Uint32Array.from(words).buffer);
    const { snapshot } = validSnapshot({ seed: 2, processes: 2, deeds: 0 });
    const receiver = snapshot.manifest.pieces.find(({ incoming }) => incoming.length > 0);
    const sender = snapshot.manifest.pieces.find(({ process }) => process !== receiver?.process);
    const [incoming] = receiver?.incoming ?? [];
    const [outgoing] = sender?.outgoing ?? [];
    if (!incoming || !outgoing) throw new Error("the sample has no channel");
    const hash = emptyChannelHash();
    foldChannelHash(hash, new DataView(bytes.buffer), 0, bytes.length);
    Object.assign(incoming, { inFlight: 1, part: putFile(snapshot.files, bytes) });
    Object.assign(outgoing, { sent: 1, hash: formatChannelHash(hash) });
    return { snapshot, channel: `channel ${sender?.process} → ${receiver?.process}` };
  }

  test("messages that are whole, with zero padding, are accepted", () => {
    expect(verify(carrying(5, 1, 1).snapshot).consistent).toBe(true);
    expect(verify(carrying(0).snapshot).consistent).toBe(true);
  });

  for (const [name, words] of Object.entries({
    "padding that is not zero": [5, 1, 0x0100],
    "a message that ends beyond the part": [9, 1, 1],
    "a message that ends beyond all parts": [2 ** 32 - 1, 1],
    "one message too many": [0, 0],
  }))
    test(`${name} is found`, () => {
      const { snapshot, channel } = carrying(...words);
      expect(verify(snapshot)).toEqual({
        consistent: false,
        place: channel,
        reason: "does not hold 1 whole message(s)",
      });
    });
});

describe("inconsistent cuts", () => {
  const many = cases("inconsistent-cuts", 600, 100_000);

  test.each(ORDERS)(
    "a receive whose send is not in the cut is found on its channel, order: %s",
    (order) => {
      let found = 0;
      for (let seed = 0; found < many; seed += 1) {
        const random = new Random(seed);
        const run = simulate(random, random.between(2, 6), random.between(10, 120), order);
        const cut = anyCut(run, random);
        const orphans = orphanChannels(run, cut);
        if (orphans.length === 0) continue;
        found += 1;
        const verdict = verify(takeSnapshot(run, cut, random));
        expect(verdict, `seed ${seed}`).toMatchObject({
          consistent: false,
          place: expect.toBeOneOf(
            orphans.flatMap(({ from, to }) => [
              `channel ${from} → ${to}`,
              // Without an order as many may be missing as are too many.
              ...(order === "none" ? [`pieces[${to}].incoming[${from}].inFlight`] : []),
            ]),
          ),
        });
      }
    },
  );

  test("a consistent cut with other messages in flight than those on the way is found on its channel", () => {
    const faults: ((random: Random, inside: Uint8Array[], next: Uint8Array[]) => Uint8Array[])[] = [
      // The recording ended too early, or began too late.
      (_, inside) => inside.slice(0, -1),
      (_, inside) => inside.slice(1),
      (random, inside) => inside.toSpliced(random.below(inside.length), 1),
      // It ended too late: the marker was overtaken, or the state was captured after it.
      (_, inside, next) => [...inside, ...next],
      (_, inside, next) => [...inside.slice(1), ...next],
    ];
    const found = faults.map(() => 0);
    for (let seed = 0; Math.min(...found) < many / faults.length; seed += 1) {
      const { random, run, cut, snapshot } = sampleOf(seed);
      const fault = found.indexOf(Math.min(...found));
      const channel = random.pick(
        run.topology.channels().filter((one) => messages(run, cut, one, "sent").length > 0),
      );
      if (!channel) continue;
      const end = new Map([...run.deeds].map(([id, deeds]) => [id, deeds.length]));
      const after = messages(run, end, channel, "sent");
      const sent = messages(run, cut, channel, "sent");
      const wrong = takeSnapshot(run, cut, random, {
        inFlight: ({ from, to }, inside) => {
          if (from !== channel.from || to !== channel.to || inside.length === 0) return inside;
          return faults[fault]?.(random, inside, after.slice(sent.length, sent.length + 1)) ?? [];
        },
      });
      const piece = ({ manifest }: Files) =>
        manifest.pieces.find(({ process }) => process === channel.to);
      const held = ({ files, manifest }: Files) =>
        JSON.stringify(
          piece({ files, manifest })?.incoming.map(({ part }) =>
            part ? readRecords(readerOf(files)(part) as Uint8Array).map((one) => [...one]) : [],
          ),
        );
      if (held(wrong) === held(snapshot)) continue;
      found[fault] = (found[fault] ?? 0) + 1;
      const { from, to } = channel;
      expect(verify(wrong), `seed ${seed}`).toMatchObject({
        consistent: false,
        place: expect.toBeOneOf([
          `channel ${from} → ${to}`,
          `pieces[${to}].incoming[${from}].inFlight`,
        ]),
      });
    }
  });
});

describe("what the certificate does not prove, as its head says", () => {
  test("a state that is changed under a new SHA-256 is accepted", () => {
    const { snapshot } = sampleOf(5);
    const piece = snapshot.manifest.pieces.find(({ state }) => state.parts.length > 0);
    piece?.state.parts.splice(0, 1, putFile(snapshot.files, Uint8Array.of(1, 2, 3)));
    expect(verify(snapshot).consistent).toBe(true);
  });

  test("a channel whose messages are numbered higher at both ends is accepted", () => {
    const { snapshot } = sampleOf(6);
    const receiver = snapshot.manifest.pieces.find(({ incoming }) =>
      incoming.some(({ received }) => received > 0),
    );
    const incoming = receiver?.incoming.find(({ received }) => received > 0);
    const outgoing = snapshot.manifest.pieces
      .find(({ process }) => process === incoming?.from)
      ?.outgoing.find(({ to }) => to === receiver?.process);
    if (!incoming || !outgoing) throw new Error("the sample has no channel in use");
    incoming.received += 1;
    outgoing.sent += 1;
    expect(verify(snapshot).consistent).toBe(true);
  });
});

test.each(REORDERINGS)("without an order a snapshot is proven although %s", (name) => {
  let applied = 0;
  for (let seed = 0; applied < 40; seed += 1) {
    const { snapshot, random, ...origin } = sampleOf(seed, "none");
    if (TAMPERINGS[name]?.(snapshot, random, { ...origin, snapshot, random }) === undefined)
      continue;
    applied += 1;
    expect(verify(snapshot).consistent, `seed ${seed}`).toBe(true);
  }
});

test("a channel whose ends do not hash alike is no proof, be it that nothing went through it", () => {
  const { snapshot } = validSnapshot({ seed: 2, processes: 2, deeds: 0 });
  const [end] = snapshot.manifest.pieces.flatMap(({ outgoing }) => outgoing);
  if (!end) throw new Error("the sample has a channel");
  end.hash = `${"0".repeat(32)}s`;
  expect(verify(snapshot)).toMatchObject({
    consistent: false,
    place: expect.stringMatching(/^channel /),
  });
});

/** Whatever JSON may hold where something else belongs. */
const STRANGE: readonly unknown[] = [
  null,
  true,
  -1,
  0.5,
  1e300,
  -0.5,
  2 ** 53,
  "",
  "\u0000",
  "x".repeat(100_000),
  "__proto__",
  "p1\n",
  [],
  [[]],
  [null],
  {},
  { length: 1e9 },
  { toString: 1, valueOf: 1 },
  JSON.parse('{"__proto__": {"from": "p1"}}'),
  JSON.parse("[".repeat(5_000) + "]".repeat(5_000)),
];

/** What a manifest says that nothing else in the files can prove. */
const UNPROVEN =
  /^(label|system|startedAtMs|cutMs|pieces\.\d+\.(timing(\..*)?|messageEncoding|state\.encoding))$/;

/** The path of every value in a document, as `pieces.0.epoch`. */
function pathsOf(value: unknown, path = ""): string[] {
  if (typeof value !== "object" || value === null) return [path];
  const inside = Object.entries(value).flatMap(([name, one]) =>
    pathsOf(one, path === "" ? name : `${path}.${name}`),
  );
  return path === "" ? inside : [path, ...inside];
}

function setPath(document: unknown, path: string, value: unknown): void {
  const names = path.split(".");
  const last = names.pop() as string;
  let at = document as Record<string, unknown>;
  for (const name of names) at = at[name] as Record<string, unknown>;
  if (value === undefined) delete at[last];
  else at[last] = value;
}

/** True if only the list of slices differs, which only the manifest itself can tell. */
function isOtherState({ pieces }: Files["manifest"], path: string): boolean {
  const [, index, field] = /^pieces\.(\d+)\.state\.(parts|sliced)$/.exec(path) ?? [];
  if (field === undefined) return false;
  const { sliced, parts } = (pieces[Number(index)] as (typeof pieces)[number]).state;
  return field === "sliced"
    ? Boolean(sliced) || parts.length === 1
    : sliced && Array.isArray(parts) && parts.length === 0;
}

describe("whatever it is given", () => {
  test("no value but a manifest is accepted, and none makes it throw", () => {
    const asParsed = [undefined, Number.NaN, 1n, Symbol("s"), () => 1, new Map(), ...STRANGE];
    for (const value of asParsed)
      expect(verifySnapshot(value, () => undefined).consistent).toBe(false);
  });

  test("a strange value in any field is found, unless the field is one that is not proved", () => {
    const { snapshot } = sampleOf(11);
    const text = JSON.stringify(snapshot.manifest);
    const paths = pathsOf(snapshot.manifest);
    expect(paths.length).toBeGreaterThan(100);
    for (const path of paths) {
      for (const value of [undefined, ...STRANGE]) {
        const manifest: Files["manifest"] = JSON.parse(text);
        setPath(manifest, path, value);
        const shown = typeof value === "string" ? value.slice(0, 20) : typeof value;
        expect(
          verifySnapshot(manifest, readerOf(snapshot.files)).consistent,
          `${path} is ${shown}`,
        ).toBe(UNPROVEN.test(path) || isOtherState(manifest, path));
      }
    }
  });

  test("what has the wrong type is named by its path", () => {
    const { snapshot } = sampleOf(11);
    const { manifest } = snapshot;
    const index = manifest.pieces.findIndex(({ incoming }) => incoming[0]?.part);
    const process = manifest.processes[index];
    const from = manifest.pieces[index]?.incoming[0]?.from;
    const places: readonly (readonly [path: string, value: unknown, place: string])[] = [
      ["format", 1, "format"],
      ["id", "p1", "id"],
      ["epoch", "1", "epoch"],
      ["initiator", null, "initiator"],
      ["processes", {}, "processes"],
      ["processes.1", "__proto__", "processes[#1]"],
      ["channels", {}, "channels"],
      ["channels.1", [], "channels[#1]"],
      ["pieces", {}, "pieces"],
      ["pieces.1", [], "pieces[#1]"],
      ["pieces.1.process", 7, "pieces[#1].process"],
      [`pieces.${index}.state`, [], `pieces[${process}].state`],
      [`pieces.${index}.state.parts`, {}, `pieces[${process}].state.parts`],
      [`pieces.${index}.outgoing`, null, `pieces[${process}].outgoing`],
      [`pieces.${index}.incoming`, "", `pieces[${process}].incoming`],
      [`pieces.${index}.incoming.0`, 1, `pieces[${process}].incoming[#0]`],
      [`pieces.${index}.incoming.0.from`, 1, `pieces[${process}].incoming[#0].from`],
      [`pieces.${index}.incoming.0.part`, [], `pieces[${process}].incoming[${from}].part`],
      ...Object.entries({
        received: -1,
        inFlight: 2 ** 53,
        hash: "0".repeat(32),
        "part.sha256": "A".repeat(64),
        "part.bytes": 0.5,
      }).map(
        ([field, value]) =>
          [
            `pieces.${index}.incoming.0.${field}`,
            value,
            `pieces[${process}].incoming[${from}].${field}`,
          ] as const,
      ),
    ];
    for (const [path, value, place] of places) {
      const changed = structuredClone(manifest);
      setPath(changed, path, value);
      expect(verifySnapshot(changed, readerOf(snapshot.files))).toMatchObject({
        consistent: false,
        place,
      });
    }
  });

  test("a channel hash that says it took in more words than a round has is not one", () => {
    const { snapshot } = validSnapshot({ seed: 2, processes: 2, deeds: 0 });
    const hash = `${"0".repeat(32)}4`;
    for (const { incoming, outgoing } of snapshot.manifest.pieces) {
      for (const end of incoming) Object.assign(end, { received: 1, hash });
      for (const end of outgoing) Object.assign(end, { sent: 1, hash });
    }
    expect(verify(snapshot)).toMatchObject({
      consistent: false,
      place: expect.stringMatching(/\.hash$/),
    });
  });

  test("an accessor that throws, or a proxy, is not accepted", () => {
    const { snapshot } = sampleOf(12);
    const throwing = { ...snapshot.manifest };
    Object.defineProperty(throwing, "pieces", {
      get: () => {
        throw new Error("no");
      },
    });
    const proxy = new Proxy(snapshot.manifest, {
      get: () => {
        throw null;
      },
    });
    for (const manifest of [throwing, proxy])
      expect(verifySnapshot(manifest, readerOf(snapshot.files))).toEqual({
        consistent: false,
        place: "manifest",
        reason: "cannot be read",
      });
  });

  test("a reader may throw or give anything", () => {
    const { snapshot } = sampleOf(12);
    const readers = [
      () => {
        throw null;
      },
      () => undefined,
      () => null,
      () => "text",
      () => [1, 2, 3],
      () => ({ length: 3, buffer: 1 }),
      () => new ArrayBuffer(8),
    ] as unknown as Parameters<typeof verifySnapshot>[1][];
    for (const reader of readers)
      expect(verifySnapshot(snapshot.manifest, reader)).toMatchObject({
        consistent: false,
        place: expect.stringMatching(/^part [0-9a-f]{64}$/),
      });
  });

  test("a reader may give any view of the bytes, of any realm", () => {
    const { snapshot } = sampleOf(13);
    const reader = readerOf(snapshot.files);
    const views: ((bytes: Uint8Array) => unknown)[] = [
      (bytes) => Buffer.from(bytes),
      (bytes) => new DataView(bytes.slice().buffer),
      (bytes) => runInNewContext("Uint8Array.from(bytes)", { bytes: [...bytes] }),
      (bytes) => Uint8Array.of(9, 9, 9, ...bytes, 9).subarray(3, 3 + bytes.length),
    ];
    for (const view of views) {
      const verdict = verifySnapshot(
        snapshot.manifest,
        (reference) => view(reader(reference) as Uint8Array) as Uint8Array,
      );
      expect(verdict.consistent).toBe(true);
    }
  });

  test("mutations never make it throw; after one, what it accepts still means the same", () => {
    const pool = Array.from({ length: 60 }, (_, seed) => {
      const { snapshot } = sampleOf(seed, ORDERS[seed % 2]);
      return { text: JSON.stringify(snapshot.manifest), files: snapshot.files };
    });
    const random = new Random("manifests");
    const tally = { accepted: 0, rejected: 0, checked: 0, refused: 0 };
    const many = cases("fuzz-manifest", 10_000, 1_000_000);
    for (let i = 0; i < many; i += 1) {
      const { text, files } = pool[i % pool.length] as (typeof pool)[number];
      const manifest: unknown = JSON.parse(text);
      const state = [...random.state];
      const mutations = random.between(1, 4);
      for (let n = 0; n < mutations; n += 1) mutate(manifest, random);
      const verdict = verifySnapshot(manifest, readerOf(files));
      const checked = checkManifest(manifest);
      tally[verdict.consistent ? "accepted" : "rejected"] += 1;
      tally["manifest" in checked ? "checked" : "refused"] += 1;
      if (!verdict.consistent || mutations > 1) continue;
      const note = `sample ${i % pool.length}, random state ${state.join()}`;
      expect(meaningOf(manifest), note).toEqual(meaningOf(JSON.parse(text)));
    }
    for (const count of Object.values(tally)) expect(count).toBeGreaterThan(many / 100);
  });
});

/** Everything in a manifest that the certificate proves. */
function meaningOf(manifest: unknown): unknown {
  const { format, id, epoch, initiator, processes, channels, pieces } =
    manifest as Files["manifest"];
  const partOf = (part: { sha256: string; bytes: number } | undefined) =>
    part && [part.sha256, part.bytes];
  return {
    ...{ format, id, epoch, initiator, processes },
    channels: channels.map(({ from, to }) => [from, to]),
    pieces: pieces.map(({ snapshot, process, epoch, incoming, outgoing }) => ({
      ...{ snapshot, process, epoch },
      incoming: incoming.map(({ from, received, hash, inFlight, part }) => [
        ...[from, received, hash, inFlight],
        partOf(part),
      ]),
      outgoing: outgoing.map(({ to, sent, hash }) => [to, sent, hash]),
    })),
  };
}

describe("SHA-256", () => {
  /** A snapshot of one process whose slices are these. */
  const holding = (slices: Uint8Array[]): Files => {
    const { snapshot } = validSnapshot({ seed: 1, processes: 1, deeds: 0 });
    const state = snapshot.manifest.pieces[0]?.state;
    if (!state) throw new Error("the sample has a piece");
    state.sliced = true;
    state.parts = slices.map((slice) => putFile(snapshot.files, slice));
    return snapshot;
  };

  test("is right for every length around its blocks", () => {
    const random = new Random(256);
    const slices = Array.from({ length: 300 }, (_, length) =>
      Uint8Array.from({ length }, () => random.below(256)),
    );
    const snapshot = holding(slices);
    expect(verify(snapshot).consistent).toBe(true);
    for (const slice of slices.slice(1)) {
      const name = sha256(slice);
      const changed = slice.slice();
      changed[random.below(slice.length)] = random.below(256);
      const spoiled = { ...snapshot, files: new Map(snapshot.files).set(name, changed) };
      if (sha256(changed) === name) continue;
      expect(verify(spoiled)).toMatchObject({ consistent: false, place: `part ${name}` });
    }
  });

  test("is right for the example of FIPS 180-2 with a million letters a", () => {
    const snapshot = holding([new Uint8Array(1_000_000).fill(0x61)]);
    expect(snapshot.manifest.pieces[0]?.state.parts[0]?.sha256).toBe(
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
    );
    expect(verify(snapshot).consistent).toBe(true);
  });
});

describe("the file", () => {
  const source = readFileSync(sourceFile, "utf8");

  test("imports nothing", () => {
    const imports = /^\s*import\b|\bimport\s*\(|\brequire\s*\(|^\s*export\b.*\bfrom\b/m;
    expect(source.replaceAll(/\/\*\*.*?\*\//gs, "")).not.toMatch(imports);
    expect('import type { A } from "./a.ts";').toMatch(imports);
  });

  test("can be read in one sitting", () => {
    expect(source.trimEnd().split("\n").length).toBeLessThanOrEqual(300);
  });

  test("needs nothing but the language", () => {
    const script = stripTypeScriptTypes(source).replaceAll(/^export /gm, "");
    const elsewhere: typeof verifySnapshot = runInNewContext(`${script}\nverifySnapshot;`, {});
    const { snapshot } = sampleOf(14);
    const reader = readerOf(snapshot.files);
    expect({ ...elsewhere(snapshot.manifest, reader) }).toEqual(
      verifySnapshot(snapshot.manifest, reader),
    );
    snapshot.manifest.pieces.pop();
    expect(elsewhere(snapshot.manifest, reader).consistent).toBe(false);
  });
});
