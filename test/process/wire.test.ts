// Words between processes: what is written is read, and nothing else is let in.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeUtf8 } from "../../src/core/utf8.ts";
import { type Control, decodeControl, decodeMarker, encodeWire } from "../../src/process/wire.ts";
import type { Marker } from "../../src/snapshot/chandy-lamport.ts";
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

describe("a word of control", () => {
  const words: readonly Control[] = [
    { type: "complete", incarnation: 5, snapshot: S },
    { type: "stored", incarnation: 5, piece },
    { type: "failed", incarnation: 5, snapshot: S, reason: "because" },
    { type: "settled", snapshot: S },
    { type: "settled", snapshot: S, reason: "because" },
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
    for (const field of ["type", "incarnation", "snapshot", "piece"])
      for (const word of words) {
        if (!(field in word)) continue;
        expect(decodeControl(bytesOf({ ...word, [field]: undefined }))).toBeUndefined();
      }
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
      expect(decodeControl(bytes)).toBeUndefined();
    }),
    { numRuns: 300 },
  );
  expect(({} as { type?: unknown }).type).toBeUndefined();
});
