// The initiator's side: every piece complete is the cut, every piece stored and a written manifest is the snapshot, and
// everything else abandons it, once.
import { describe, expect, test } from "vitest";
import type { SnapshotId } from "../../src/core/id.ts";
import {
  Collector,
  type CollectorEffect,
  neededFor,
  waitsFor,
} from "../../src/snapshot/collector.ts";
import type { PieceRecord } from "../../src/snapshot/manifest.ts";

const S = "p1/1" as const;

const pieceOf = (process: string, snapshot: SnapshotId = S): PieceRecord => ({
  snapshot,
  process,
  epoch: 1,
  state: { encoding: "json", sliced: false, parts: [] },
  messageEncoding: "json",
  incoming: [],
  outgoing: [],
  timing: { recordedAtMs: 0, recordingMs: 0, captureMs: 0 },
});

class Desk extends Collector {
  begin(snapshot: SnapshotId = S, participants = ["p1", "p2", "p3"]): readonly CollectorEffect[] {
    return this.step({ type: "begin", snapshot, participants, timeoutMs: 1_000, nowMs: 100 });
  }

  complete(from: string, nowMs = 150, snapshot: SnapshotId = S): readonly CollectorEffect[] {
    return this.step({ type: "complete", from, snapshot, nowMs });
  }

  stored(from: string, piece = pieceOf(from)): readonly CollectorEffect[] {
    return this.step({ type: "stored", from, piece });
  }

  /** Begun, and every piece complete and stored. */
  static committing(): Desk {
    const desk = new Desk();
    desk.begin();
    for (const id of ["p1", "p2", "p3"]) desk.complete(id);
    for (const id of ["p3", "p1", "p2"]) desk.stored(id);
    return desk;
  }
}

const GAVE_UP = { type: "abandon", snapshot: S, reason: "the caller gave up" } as const;

test("the cut is made when every piece is complete, and the manifest is written when every piece is stored", () => {
  const desk = new Desk();
  expect(desk.begin()).toEqual([]);
  expect(desk.complete("p2")).toEqual([]);
  expect(desk.stored("p2")).toEqual([]);
  expect(desk.complete("p1")).toEqual([]);
  expect(desk.complete("p3", 175)).toEqual([{ type: "cut", snapshot: S, cutMs: 75 }]);
  expect(desk.stored("p3")).toEqual([]);
  expect(desk.stored("p1")).toEqual([
    {
      type: "commit",
      snapshot: S,
      startedAtMs: 100,
      cutMs: 75,
      // Ascending, in whatever order they came.
      pieces: [pieceOf("p1"), pieceOf("p2"), pieceOf("p3")],
    },
  ]);
  expect(desk.step({ type: "committed", snapshot: S })).toEqual([{ type: "settled", snapshot: S }]);
  expect(desk.state.collections.size).toBe(0);
  expect(desk.step({ type: "committed", snapshot: S })).toEqual([]);
});

test("what is said twice, by strangers, out of turn or for others counts for nothing", () => {
  const desk = new Desk();
  desk.begin();
  for (const id of ["p1", "p1", "p2", "p9"]) expect(desk.complete(id)).toEqual([]);
  // Not complete yet.
  expect(desk.stored("p3")).toEqual([]);
  // A piece of a snapshot that nobody collects.
  expect(desk.stored("p1", pieceOf("p1", "p1/2"))).toEqual([]);
  expect(desk.complete("p3")).toMatchObject([{ type: "cut" }]);
  expect(desk.complete("p3")).toEqual([]);
  // A piece of another process.
  expect(desk.stored("p1", pieceOf("p2"))).toEqual([]);
  for (const id of ["p1", "p1", "p2", "p2", "p9"]) expect(desk.stored(id)).toEqual([]);
  expect(desk.stored("p3")).toMatchObject([
    { type: "commit", pieces: [{ process: "p1" }, { process: "p2" }, { process: "p3" }] },
  ]);
  expect(desk.stored("p3")).toEqual([]);
});

test("a manifest that cannot be written abandons it", () => {
  const desk = Desk.committing();
  const reason = "its manifest could not be written";
  expect(desk.step({ type: "commit-failed", snapshot: S, reason })).toEqual([
    { type: "settled", snapshot: S, reason },
  ]);
  expect(desk.state.collections.size).toBe(0);
});

describe("abandoning", () => {
  test("happens once, with the first reason", () => {
    const desk = new Desk();
    desk.begin();
    desk.complete("p1");
    const late = { unclosed: ["p2", "p3"], unstored: ["p1"] };
    expect(desk.step(GAVE_UP)).toEqual([
      { type: "settled", snapshot: S, reason: "the caller gave up", late },
    ]);
    expect(desk.step({ ...GAVE_UP, reason: "another" })).toEqual([]);
    for (const id of ["p1", "p2", "p3"]) expect(desk.complete(id)).toEqual([]);
    expect(desk.deadlineMs).toBe(Number.POSITIVE_INFINITY);
  });

  test("comes too late while the manifest is being written: only that decides then", () => {
    const desk = Desk.committing();
    expect(desk.step(GAVE_UP)).toEqual([]);
    expect(desk.step({ type: "abandon-all", reason: "process lost" })).toEqual([]);
    expect(desk.step({ type: "tick", nowMs: 1e9 })).toEqual([]);
    expect(desk.deadlineMs).toBe(Number.POSITIVE_INFINITY);
    expect(desk.step({ type: "committed", snapshot: S })).toEqual([
      { type: "settled", snapshot: S },
    ]);
  });

  test("concerns all at once when a process is lost, or one when its time runs out", () => {
    const desk = new Desk();
    desk.begin();
    desk.step({ type: "begin", snapshot: "p1/2", participants: ["p1"], timeoutMs: 50, nowMs: 120 });
    expect(desk.deadlineMs).toBe(170);
    expect(desk.step({ type: "tick", nowMs: 169 })).toEqual([]);
    expect(desk.step({ type: "tick", nowMs: 170 })).toMatchObject([
      { type: "settled", snapshot: "p1/2", reason: "timeout: channels are not closed at p1" },
    ]);
    expect(desk.deadlineMs).toBe(1_100);
    desk.begin("p1/3");
    expect(desk.step({ type: "abandon-all", reason: "process lost: p2" })).toMatchObject([
      { type: "settled", snapshot: S, reason: "process lost: p2" },
      { type: "settled", snapshot: "p1/3", reason: "process lost: p2" },
    ]);
  });
});

test("it says whom it waits for", () => {
  const desk = new Desk();
  desk.begin();
  const waits = (): string => [...desk.state.collections.values()].map(waitsFor).join();
  const needs = (): string => [...desk.state.collections.values()].map(neededFor).join();
  expect(waits()).toBe("channels are not closed at p1, p2, p3");
  desk.complete("p2");
  expect(waits()).toBe("channels are not closed at p1, p3");
  expect(needs()).toBe("the channels of p1, p3");
  for (const id of ["p1", "p3"]) desk.complete(id);
  desk.stored("p1");
  expect(waits()).toBe("pieces are not stored at p2, p3");
  expect(needs()).toBe("the pieces of p2, p3");
  for (const id of ["p2", "p3"]) desk.stored(id);
  expect(waits()).toBe("the manifest is not written");
  expect(needs()).toBe("its manifest");
});
