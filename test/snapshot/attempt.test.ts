/** What came of attempts, put together from what processes noted. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AttemptNote,
  attemptsOf,
  checkNote,
  completeNote,
} from "../../src/snapshot/attempt.ts";
import { cases } from "../support/soak.ts";
import { type Origin, origins, validSnapshot } from "./support/snapshots.ts";

const BEGUN: AttemptNote = {
  ...{ note: "begun", snapshot: "p1/7", by: "p1", atMs: 1_000 },
  ...{ epoch: 2, processes: 3, timeoutMs: 5_000, label: "noon" },
};
const share = (process: string) => ({ process, recordedAtMs: 1_010, captureMs: 0.5 });
const OF_INITIATOR: AttemptNote = {
  ...{ note: "abandoned", snapshot: "p1/7", by: "p1", atMs: 6_000 },
  ...{ reason: "timeout: channels are not closed at p2, p3", share: share("p1") },
  ...{ waitsFor: ["the marker of p3"], unclosed: ["p2", "p3"], unstored: [] },
};
const OF_OTHER: AttemptNote = {
  ...{ note: "abandoned", snapshot: "p1/7", by: "p2", atMs: 6_001 },
  ...{ reason: "its initiator has settled it", share: share("p2") },
  waitsFor: ["the marker of p3, which is down: it left"],
};
const COMPLETE: AttemptNote = {
  ...{ note: "complete", snapshot: "p1/7", by: "p1", atMs: 1_030, startedAtMs: 1_000, cutMs: 20 },
  shares: [{ ...share("p2"), recordingMs: 4, storedMs: 3, inFlight: 1, inFlightBytes: 9 }],
};

describe("an attempt", () => {
  test("that was abandoned has what each process knows of it, and the initiator's reason", () => {
    for (const notes of [
      [BEGUN, OF_INITIATOR, OF_OTHER],
      [OF_OTHER, OF_INITIATOR, BEGUN],
    ])
      expect(attemptsOf(notes)).toEqual([
        {
          ...{ snapshot: "p1/7", initiator: "p1", label: "noon", epoch: 2, processes: 3 },
          ...{ timeoutMs: 5_000, startedAtMs: 1_000, outcome: "abandoned", tookMs: 5_000 },
          reason: "timeout: channels are not closed at p2, p3",
          shares: [share("p1"), share("p2")],
          waits: [
            { process: "p1", waitsFor: ["the marker of p3"] },
            { process: "p2", waitsFor: ["the marker of p3, which is down: it left"] },
          ],
          ...{ unclosed: ["p2", "p3"], unstored: [] },
        },
      ]);
  });

  test("has what a process noted last, if it notes the same again", () => {
    const again = { ...OF_OTHER, atMs: 7_000, waitsFor: ["the marker of p1"] };
    const share1 = { ...share("p2"), captureMs: 3 };
    const [attempt] = attemptsOf([BEGUN, OF_INITIATOR, OF_OTHER, { ...again, share: share1 }]);
    expect(attempt?.shares).toEqual([share("p1"), share1]);
    expect(attempt?.waits).toEqual([
      { process: "p1", waitsFor: ["the marker of p3"] },
      { process: "p2", waitsFor: ["the marker of p1"] },
    ]);
  });

  test("whose initiator died has what the others know", () => {
    expect(attemptsOf([OF_OTHER])).toMatchObject([
      { snapshot: "p1/7", initiator: "p1", outcome: "abandoned", reason: OF_OTHER.reason },
    ]);
    expect(attemptsOf([BEGUN])).toMatchObject([{ outcome: "open", shares: [] }]);
  });

  test("is complete if it was for its initiator, whoever thought otherwise", () => {
    const early = { ...OF_OTHER, atMs: 1_020, reason: "p2 stops" };
    for (const notes of [
      [BEGUN, COMPLETE],
      [BEGUN, early, COMPLETE, OF_OTHER],
    ]) {
      const [attempt] = attemptsOf(notes);
      expect(attempt).toMatchObject({ outcome: "complete", tookMs: 30, cutMs: 20, label: "noon" });
      expect(attempt).toMatchObject({ shares: COMPLETE.shares, waits: [] });
      expect(attempt).not.toHaveProperty("reason");
    }
  });

  test("that was refused stands for itself", () => {
    const label = "noon";
    const refused: AttemptNote = {
      note: "refused",
      by: "p1",
      atMs: 5,
      label,
      reason: "p2 is down",
    };
    expect(attemptsOf([refused, { ...refused, atMs: 6 }])).toMatchObject([
      { initiator: "p1", startedAtMs: 6, outcome: "refused", label, reason: "p2 is down" },
      { initiator: "p1", startedAtMs: 5, outcome: "refused" },
    ]);
  });

  test("with an id that was used before is another one", () => {
    const again = { ...BEGUN, atMs: 9_000 };
    const complete = { ...COMPLETE, startedAtMs: 9_000, atMs: 9_030 };
    expect(attemptsOf([BEGUN, OF_INITIATOR, again, complete])).toMatchObject([
      { snapshot: "p1/7", outcome: "complete", startedAtMs: 9_000 },
      { snapshot: "p1/7", outcome: "abandoned", startedAtMs: 1_000 },
    ]);
  });
});

test("a complete snapshot's note says how long each process took, those first that were done last", () => {
  const [origin] = fc.sample(origins, { numRuns: 1, seed: 3 });
  const { manifest } = validSnapshot(origin as Origin).snapshot;
  const note = completeNote(manifest, 5_000);
  expect(note).toMatchObject({ snapshot: manifest.id, by: manifest.initiator, atMs: 5_000 });
  expect(note.shares).toHaveLength(manifest.pieces.length);
  for (const piece of manifest.pieces)
    expect(note.shares.find(({ process }) => process === piece.process)).toMatchObject({
      ...piece.timing,
      inFlight: piece.incoming.reduce((sum, { inFlight }) => sum + inFlight, 0),
      stateBytes: piece.state.parts.reduce((sum, { bytes }) => sum + bytes, 0),
    });
  expect(checkNote(JSON.parse(JSON.stringify(note)))).toEqual({ note });
  const pieces = manifest.pieces.map((piece, i) => ({
    ...piece,
    timing: { ...piece.timing, storedMs: 100 - i },
  }));
  const [last] = completeNote({ ...manifest, pieces }).shares;
  expect(last?.process).toBe(manifest.pieces[0]?.process);
});

test("whatever a note is, it is taken or refused with a reason, and nothing throws", () => {
  const leaf = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom("p1", "p1/7", 3, -1, 0.5, "", null, "begun", "abandoned", "__proto__"),
    fc.array(fc.constantFrom("p1", 3, "the marker of p3"), { maxLength: 300 }),
  );
  const names = [
    "note",
    "snapshot",
    "by",
    "atMs",
    "reason",
    "waitsFor",
    "unclosed",
    "share",
    "label",
  ];
  fc.assert(
    fc.property(
      fc.constantFrom<AttemptNote>(BEGUN, OF_INITIATOR, OF_OTHER, COMPLETE),
      fc.dictionary(fc.constantFrom(...names), leaf, { maxKeys: 3 }),
      (good, changes) => {
        const checked = checkNote({ ...good, ...changes });
        if ("problem" in checked) expect(checked.problem).not.toBe("");
        else {
          // What was taken can be put together, whatever else there is.
          expect(attemptsOf([checked.note, OF_OTHER, COMPLETE, BEGUN]).length).toBeGreaterThan(0);
          expect(checkNote(JSON.parse(JSON.stringify(checked.note)))).toEqual(checked);
        }
      },
    ),
    { numRuns: cases("attempt-notes", 500, 50_000) },
  );
});
