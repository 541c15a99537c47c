import { describe, expect, test } from "vitest";
import { abandonCause, SnapshotCounts } from "../../src/runtime/snapshot-counts.ts";

describe("every way in which a snapshot ends has its code", () => {
  test.for([
    ["timeout: channels are not closed at shop, till", "timeout"],
    ["timeout: its initiator has not settled it", "timeout"],
    ["process lost: p3 is down (p3 closed its transport)", "process_lost"],
    ["process lost: p3 came back without its state", "process_lost"],
    ["the snapshot was abandoned: process lost: till is down (gone)", "process_lost"],
    ["view changed", "view_changed"],
    ["the caller gave up", "caller_gave_up"],
    ["p1 stops", "stopped"],
    ["the system was restored to p1/3, in epoch 2", "restored"],
    ["capture threw at p1: the caller gave up, and p1 stops", "capture_failed"],
    ["p1 could not store its piece: timeout: view changed", "store_failed"],
    ["its manifest could not be written: no space left", "store_failed"],
    ["p1 was away before its piece was stored", "store_failed"],
    ["p1 was away before its manifest was written", "store_failed"],
    ["too much came in on p2's channel before it closed", "too_large"],
    ["the record of p1's piece does not fit a frame of 100 bytes", "too_large"],
    ["its initiator has settled it", "settled"],
    ["it was over before", "settled"],
    ["whatever somebody may say", "other"],
    ["", "other"],
  ] as const)("%j: %s", ([reason, cause]) => {
    expect(abandonCause(reason)).toBe(cause);
  });
});

test("what was abandoned is counted where it was begun, what was stored everywhere", () => {
  const counts = new SnapshotCounts();
  const head = { by: "p1", atMs: 5_000 };
  counts.noted({ ...head, note: "begun", snapshot: "p1/1", epoch: 1, processes: 2 });
  counts.noted({
    ...{ ...head, note: "complete", snapshot: "p1/1", startedAtMs: 4_000, cutMs: 20, shares: [] },
  });
  for (const snapshot of ["p1/2", "p2/1"] as const)
    counts.noted({
      ...{ ...head, note: "abandoned", snapshot, reason: "view changed", waitsFor: [] },
    });
  counts.noted({ ...head, note: "refused", reason: "something else" });
  counts.recorded(3);
  counts.stored(40, 12_345, 0);
  const { cutSeconds, tookSeconds, stateBytes, inFlightBytes, captureSeconds, ...rest } =
    counts.measures;
  expect(rest).toMatchObject({
    ...{ begun: 1, complete: 1, completeAtMs: 5_000 },
    abandoned: { view_changed: 1 },
    refused: { other: 1 },
  });
  const bucketOf = ({ bounds, counts: many }: typeof cutSeconds) => bounds[many.indexOf(1)];
  expect([cutSeconds.sum, bucketOf(cutSeconds)]).toEqual([0.02, 0.025]);
  expect([tookSeconds.sum, bucketOf(tookSeconds)]).toEqual([1, 1]);
  expect([captureSeconds.sum, bucketOf(captureSeconds)]).toEqual([0.003, 0.005]);
  expect([stateBytes.sum, bucketOf(stateBytes)]).toEqual([12_345, 100_000]);
  expect([inFlightBytes.sum, bucketOf(inFlightBytes)]).toEqual([0, 1_000]);
});
