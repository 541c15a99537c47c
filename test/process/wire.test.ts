// Words between processes: what is written is read, and nothing else is let in.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeUtf8 } from "../../src/core/utf8.ts";
import {
  COLOUR_BYTES,
  type Control,
  decodeColour,
  decodeControl,
  decodeMarker,
  encodeColour,
  encodeWire,
} from "../../src/process/wire.ts";
import { COLOUR_MAX } from "../../src/snapshot/lai-yang.ts";
import type { Marker } from "../../src/snapshot/recordings.ts";
import { markerOf } from "../support/bare-system.ts";

const bytesOf = (value: unknown): Uint8Array => encodeUtf8(JSON.stringify(value));
const S = "a/7" as const;
const hash = "243f6a8885a308d313198a2e037073440";
const piece = {
  snapshot: S,
  process: "b",
  epoch: 1,
  state: { encoding: "json", sliced: false, parts: [{ sha256: "0".repeat(64), bytes: 3 }] },
  messageEncoding: "json",
  incoming: [{ from: "a", received: 0, hash, inFlight: 0 }],
  outgoing: [{ to: "a", sent: 0, hash }],
  timing: { recordedAtMs: 1.5, recordingMs: 2, captureMs: 0 },
};

describe("a marker", () => {
  const marker = markerOf(S, { live: 7, timeoutMs: 0.5 });

  test("is read as it was written, and what it does not know is left out", () => {
    expect(decodeMarker(encodeWire(marker))).toEqual(marker);
    expect(decodeMarker(bytesOf({ ...marker, colour: "red" }))).toEqual(marker);
    expect(decodeMarker(bytesOf({ ...marker, timeoutMs: 1e300 }))?.timeoutMs).toBe(1e300);
  });

  test.each<[keyof Marker, unknown[]]>([
    ["snapshot", [undefined, null, "", "a", "a/0", "a/7/7", "__proto__", 7, ["a/7"]]],
    ["incarnation", [undefined, -1, 0.5, 2 ** 53, "1", null]],
    ["view", [undefined, -1, 0.5, "5", [5]]],
    ["live", [undefined, -1, 0.5, 8, 2 ** 53, "1"]],
    ["timeoutMs", [undefined, -1, "1", null]],
  ])("with another %s is none", (field, values) => {
    for (const value of values)
      expect([value, decodeMarker(bytesOf({ ...marker, [field]: value }))]).toEqual([
        value,
        undefined,
      ]);
  });
});

describe("a colour", () => {
  const colour = [markerOf(S, { live: 7 }), markerOf("b/1")];

  test("is read as it was written; with no snapshot it takes no byte", () => {
    for (const some of [[], colour.slice(1), colour])
      expect(decodeColour(encodeColour(some))).toEqual(some);
    expect(encodeColour([])).toHaveLength(0);
  });

  test.each([
    [{}],
    [null],
    [1],
    ["[]"],
    [[null]],
    [[[]]],
    [[...colour, { ...colour[0], live: -1 }]],
    [Array.from({ length: COLOUR_MAX + 1 }, () => colour[0])],
  ])("is not %j", (value) => {
    expect(decodeColour(bytesOf(value))).toBeUndefined();
  });

  test("of as many snapshots as may be is within its bound, as long as each is let in", () => {
    const number = 2 ** 53 - 1;
    const longest: Marker = {
      snapshot: `${"i".repeat(64)}/${10 ** 15 - 1}`,
      incarnation: number,
      view: number,
      live: 10 ** 15 - 1,
      timeoutMs: 2.225_073_858_507_201_4e-308,
    };
    const colour = Array.from({ length: COLOUR_MAX }, () => longest);
    const bytes = encodeColour(colour);
    expect(decodeColour(bytes)).toEqual(colour);
    expect(bytes.length + 8).toBeLessThan(COLOUR_BYTES);
  });
});

describe("a word of control", () => {
  const words: readonly Control[] = [
    { type: "complete", incarnation: 5, snapshot: S },
    { type: "stored", incarnation: 5, piece },
    { type: "failed", incarnation: 5, snapshot: S, reason: "because" },
    { type: "settled", snapshot: S },
    { type: "settled", snapshot: S, reason: "because" },
    { type: "count", marker: markerOf(S), before: { sent: 3, hash } },
    { type: "count", marker: markerOf(S), before: { sent: 0, hash: `${"0".repeat(32)}s` } },
  ];

  test.each(words)("is read as it was written: %o", (word) => {
    expect(decodeControl(encodeWire(word))).toEqual(word);
  });

  test("is not let in with a field that has another form", () => {
    for (const word of words)
      for (const field of Object.keys(word))
        for (const value of [null, 0.5, -1, {}, [], "", "x".repeat(1_025)]) {
          // No reason at all is a reason to be complete, and an empty one is a reason.
          if (field === "reason" && value === "") continue;
          const other = { ...word, [field]: value };
          expect([other, decodeControl(bytesOf(other))]).toEqual([other, undefined]);
        }
    for (const field of ["type", "incarnation", "snapshot", "piece", "marker", "before"])
      for (const word of words) {
        if (!(field in word)) continue;
        expect(decodeControl(bytesOf({ ...word, [field]: undefined }))).toBeUndefined();
      }
  });

  test("is no count with another marker, number or hash", () => {
    const count = { type: "count", marker: markerOf(S), before: { sent: 3, hash } };
    for (const other of [
      { ...count, marker: { ...count.marker, live: 8 } },
      { ...count, before: { sent: -1, hash } },
      { ...count, before: { sent: 0.5, hash } },
      { ...count, before: { sent: 3 } },
      { ...count, before: { sent: 3, hash: `${"0".repeat(32)}4` } },
    ])
      expect(decodeControl(bytesOf(other))).toBeUndefined();
  });

  test("with a long reason has it cut, so that it is let in and fits a frame", () => {
    const word: Control = { type: "settled", snapshot: S, reason: "\u0000".repeat(10_000) };
    const bytes = encodeWire(word);
    expect(bytes.length).toBeLessThan(8_192);
    expect(decodeControl(bytes)).toMatchObject({ reason: "\u0000".repeat(1_024) });
  });
});

test("any other JSON, and what is no JSON, is let in as nothing, and changes nothing", () => {
  const given = fc.oneof(
    fc.json().map(encodeUtf8),
    fc.uint8Array({ maxLength: 30 }),
    fc
      .integer({ min: 1, max: 50_000 })
      .map((deep) => encodeUtf8("[".repeat(deep) + "]".repeat(deep))),
    fc.constant(encodeUtf8('{"__proto__":{"snapshot":"a/7","type":"settled"}}')),
  );
  fc.assert(
    fc.property(given, (bytes) => {
      expect(decodeMarker(bytes)).toBeUndefined();
      if (bytes.length > 0) expect(decodeColour(bytes) ?? []).toEqual([]);
      expect(decodeControl(bytes)).toBeUndefined();
    }),
    { numRuns: 300 },
  );
  expect(({} as { type?: unknown }).type).toBeUndefined();
});
