// One process' share in snapshots: what ends one, what must not begin one again, and what bounds it all. The rules themselves are
// tested by the paper, in chandy-lamport-paper.test.ts.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type ChannelHash,
  emptyChannelHash,
  foldChannelHash,
  formatChannelHash,
} from "../../src/core/channel-hash.ts";
import type { SnapshotId } from "../../src/core/id.ts";
import { ChandyLamport } from "../../src/snapshot/chandy-lamport.ts";
import type { Marker, SnapshotEffect, SnapshotInput } from "../../src/snapshot/recordings.ts";
import { bytesOf, LIFE, markerOf, textsOf, VIEW } from "../support/bare-system.ts";

/** One machine, with peers a and b both ways. */
class Alone {
  readonly machine = new ChandyLamport(VIEW, ["a", "b"], ["a", "b"]);

  step(input: SnapshotInput): readonly SnapshotEffect[] {
    return this.machine.step(input);
  }

  marker(from: string, snapshot: SnapshotId, more: Partial<Marker> = {}): string[] {
    const marker = markerOf(snapshot, more);
    return this.step({ type: "marker", from, marker, nowMs: 0 }).map(({ type }) => type);
  }

  abandon(snapshot: SnapshotId, incarnation = LIFE): readonly SnapshotEffect[] {
    return this.step({ type: "abandon", snapshot, incarnation, reason: "the caller gave up" });
  }

  received(from: string, ...messages: string[]): readonly SnapshotEffect[] {
    const body = bytesOf(...messages);
    return this.step({ type: "received", from, count: messages.length, body, nowMs: 0 });
  }

  get recordings(): string[] {
    return [...this.machine.state.recordings.keys()];
  }
}

const begins = ["record", "marker", "marker"];

describe("the certificate", () => {
  const hashOf = (body: Uint8Array, hash: ChannelHash = emptyChannelHash()): string => {
    foldChannelHash(hash, new DataView(body.buffer, body.byteOffset), 0, body.length);
    return formatChannelHash(hash);
  };

  test("counts and hashes what was sent and received on each channel before the state was recorded", () => {
    const alone = new Alone();
    alone.received("a", "one", "two");
    alone.step({ type: "sent", to: "b", count: 3, body: bytesOf("x", "", "yz") });
    alone.marker("a", "a/1");
    alone.received("b", "three");
    alone.step({ type: "sent", to: "b", count: 1, body: bytesOf("later") });
    const [complete] = alone.step({ type: "marker", from: "b", marker: markerOf("a/1"), nowMs: 5 });
    if (complete?.type !== "complete") throw new Error("it completes");
    const untouched = formatChannelHash(emptyChannelHash());
    expect(complete.recorded).toMatchObject({
      incoming: [
        { from: "a", received: 2, hash: hashOf(bytesOf("one", "two")), inFlight: 0, messages: [] },
        { from: "b", received: 0, hash: untouched, inFlight: 1 },
      ],
      outgoing: [
        { to: "a", sent: 0, hash: untouched },
        { to: "b", sent: 3, hash: hashOf(bytesOf("x", "", "yz")) },
      ],
    });
    expect(complete).toMatchObject({ recordedAtMs: 0, recordingMs: 5 });
    expect(textsOf(complete.recorded.incoming[1]?.messages ?? [])).toEqual(["three"]);
  });

  test("does not depend on how the messages were put into batches", () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.string(), { minLength: 1 })), (batches) => {
        const [many, one] = [new Alone(), new Alone()];
        for (const batch of batches) many.received("a", ...batch);
        one.received("a", ...batches.flat());
        const hashes = [many, one].map(({ machine }) => machine.state.incoming.get("a"));
        expect(hashes[0]).toEqual(hashes[1]);
      }),
    );
  });
});

describe("an abandoned snapshot", () => {
  test("leaves nothing, and its late markers do not begin it again", () => {
    const alone = new Alone();
    expect(alone.marker("a", "a/1")).toEqual(begins);
    const [abandoned, ...others] = alone.abandon("a/1");
    expect(abandoned).toMatchObject({
      type: "abandoned",
      snapshot: "a/1",
      reason: "the caller gave up",
    });
    // The effect alone says how far it had come.
    const { recording } = abandoned as Extract<SnapshotEffect, { type: "abandoned" }>;
    const open = [...(recording?.incoming ?? [])].filter((one) => one[1].open);
    expect(open.map(([from]) => from)).toEqual(["b"]);
    expect(others).toEqual([]);
    expect(alone.abandon("a/1")).toMatchObject([{ type: "abandoned", recording: undefined }]);
    expect(alone.recordings).toEqual([]);
    expect(alone.marker("b", "a/1")).toEqual([]);
    expect(alone.recordings).toEqual([]);
  });

  test("does not begin either when its first marker comes after the word that it is over", () => {
    const alone = new Alone();
    alone.abandon("a/1");
    expect(alone.marker("b", "a/1")).toEqual([]);
  });

  test("does not touch others that overlap with it, of the same initiator or another", () => {
    const alone = new Alone();
    for (const id of ["a/1", "a/2", "b/1"] as const) alone.marker("a", id);
    alone.abandon("a/1");
    alone.received("b", "message");
    const completed = (id: SnapshotId) =>
      alone.step({ type: "marker", from: "b", marker: markerOf(id), nowMs: 0 });
    for (const id of ["a/2", "b/1"] as const)
      expect(completed(id)).toMatchObject([
        { type: "complete", snapshot: id, recorded: { incoming: [{}, { inFlight: 1 }] } },
      ]);
  });

  test("is forgotten when its initiator says that all below are over; no marker of it counts then", () => {
    const alone = new Alone();
    for (const count of [1, 2, 3]) {
      alone.marker("a", `a/${count}`);
      alone.abandon(`a/${count}`);
    }
    expect(alone.machine.state.over.get("a")?.ended.size).toBe(3);
    alone.marker("a", "a/4", { live: 4 });
    expect(alone.machine.state.over.get("a")?.ended.size).toBe(0);
    expect(alone.marker("b", "a/2")).toEqual([]);
    expect(alone.recordings).toEqual(["a/4"]);
  });

  test("ends where only a later marker tells of it", () => {
    const alone = new Alone();
    alone.marker("a", "a/1");
    expect(
      alone.step({ type: "marker", from: "b", marker: markerOf("a/2", { live: 2 }), nowMs: 0 }),
    ).toMatchObject([
      { type: "abandoned", snapshot: "a/1", reason: "its initiator has settled it" },
      { type: "record" },
      {},
      {},
    ]);
  });
});

test("a participant gives up by itself after twice the time-out: its initiator's word should come first", () => {
  const alone = new Alone();
  expect(alone.machine.deadlineMs).toBe(Number.POSITIVE_INFINITY);
  alone.step({ type: "marker", from: "a", marker: markerOf("a/1", { timeoutMs: 50 }), nowMs: 10 });
  expect(alone.machine.deadlineMs).toBe(110);
  expect(alone.step({ type: "tick", nowMs: 109 })).toEqual([]);
  expect(alone.step({ type: "tick", nowMs: 110 })).toMatchObject([
    { type: "abandoned", reason: expect.stringContaining("timeout") },
  ]);
  expect(alone.machine.deadlineMs).toBe(Number.POSITIVE_INFINITY);
});

test("a second marker on one channel is reported, and closes nothing", () => {
  const alone = new Alone();
  alone.marker("a", "a/1");
  expect(alone.step({ type: "marker", from: "a", marker: markerOf("a/1"), nowMs: 0 })).toEqual([
    { type: "irregular", reason: "a second marker of a/1 came from a" },
  ]);
  expect(alone.recordings).toEqual(["a/1"]);
  expect(alone.marker("b", "a/1")).toEqual(["complete"]);
  // Then it is over, and one more means nothing.
  expect(alone.marker("b", "a/1")).toEqual([]);
});

describe("the topology", () => {
  test("of the marker must be the own one: the initiator hears if it is not, once", () => {
    const alone = new Alone();
    const marker = markerOf("a/1", { view: VIEW + 1 });
    expect(alone.step({ type: "marker", from: "a", marker, nowMs: 0 })).toEqual([
      { type: "refuse", marker, reason: expect.stringContaining("view changed") },
    ]);
    expect(alone.marker("b", "a/1", { view: VIEW + 1 })).toEqual([]);
  });

  test("changes: what is recorded is abandoned, channels that stay go on counting, new ones begin", () => {
    const alone = new Alone();
    alone.received("a", "one");
    alone.marker("a", "a/1");
    const effects = alone.step({
      type: "view",
      view: VIEW + 1,
      incoming: ["a", "c"],
      outgoing: ["c"],
    });
    expect(effects).toMatchObject([{ type: "abandoned", reason: "view changed" }]);
    const { incoming, outgoing } = alone.machine.state;
    expect([...incoming].map(([id, { count }]) => [id, count])).toEqual([
      ["a", 1],
      ["c", 0],
    ]);
    expect([...outgoing.keys()]).toEqual(["c"]);
    expect(alone.marker("a", "a/2", { view: VIEW + 1 })).toEqual(["record", "marker"]);
  });
});

describe("a peer that came back without its state", () => {
  test("ends every recording, for they all need it, and its channels begin at nothing", () => {
    const alone = new Alone();
    alone.received("a", "one");
    alone.received("b", "two");
    for (const id of ["a/1", "b/1"] as const) alone.marker("b", id);
    const reason = "process lost: a came back without its state";
    expect(alone.step({ type: "reset", peer: "a", reason })).toMatchObject([
      { type: "abandoned", snapshot: "a/1", reason },
      { type: "abandoned", snapshot: "b/1", reason },
    ]);
    const { incoming } = alone.machine.state;
    expect(incoming.get("a")).toEqual({ count: 0, hash: emptyChannelHash() });
    expect(incoming.get("b")?.count).toBe(1);
  });

  test("may use the id of an abandoned snapshot again, and the two are never mixed", () => {
    const alone = new Alone();
    alone.marker("a", "a/1");
    // Of another life: it neither closes a channel of the first one nor begins beside it.
    expect(alone.marker("b", "a/1", { incarnation: LIFE + 1 })).toEqual([]);
    expect(alone.marker("b", "a/1")).toEqual(["complete"]);
    alone.marker("a", "a/2");
    alone.abandon("a/2");
    // What the first life ended says nothing about the second one.
    expect(alone.marker("a", "a/2", { incarnation: LIFE + 1 })).toEqual(begins);
    expect(alone.marker("b", "a/2", { incarnation: LIFE + 1 })).toEqual(["complete"]);
  });

  test("does not end what its new life records by what the old one says is over", () => {
    const alone = new Alone();
    alone.marker("a", "a/1", { incarnation: LIFE + 1 });
    alone.marker("b", "a/9", { live: 9 });
    expect(alone.recordings).toEqual(["a/1", "a/9"]);
  });
});

describe("bounds, for peers that do not keep to the rules", () => {
  test("so many recordings at a time, and the next is refused", () => {
    const alone = new Alone();
    for (let count = 1; count <= 1_024; count += 1)
      expect(alone.marker("a", `a/${count}`)).toEqual(begins);
    expect(alone.marker("a", "b/1")).toEqual(["refuse"]);
    expect(alone.recordings).toHaveLength(1_024);
  });

  test("so many ended ones are remembered; beyond, all below the lowest are over", () => {
    const alone = new Alone();
    alone.marker("a", "a/1");
    for (let count = 2; count <= 6_000; count += 1) alone.abandon(`a/${count}`);
    const over = alone.machine.state.over.get("a");
    expect(over?.ended.size).toBe(4_096);
    expect(over?.live).toBe(1_905);
    // It still does not begin again what has ended, and what was below has ended too.
    for (const count of [1, 2, 1_904, 1_905, 6_000])
      expect(alone.marker("b", `a/${count}`)).toEqual([]);
    expect(alone.recordings).toEqual([]);
    expect(alone.marker("b", "a/6001")).toEqual(begins);
  });

  test("so many bytes of one snapshot, while a marker does not come", () => {
    const alone = new Alone();
    alone.marker("a", "a/1");
    const body = bytesOf("x".repeat(4 * 1024 * 1024));
    const flood = () => alone.step({ type: "received", from: "b", count: 1, body, nowMs: 0 });
    for (let i = 0; i < 63; i += 1) expect(flood()).toEqual([]);
    expect(flood()).toMatchObject([
      { type: "abandoned", snapshot: "a/1", reason: expect.stringContaining("too much came in") },
    ]);
    expect(alone.recordings).toEqual([]);
  });

  test("its own snapshots are forgotten as they end, also where no marker ever comes back", () => {
    const machine = new ChandyLamport(VIEW, [], ["a"]);
    for (let count = 1; count <= 100; count += 1) {
      const marker = markerOf(`me/${count}`, { live: count });
      machine.step({ type: "initiate", marker, nowMs: 0 });
    }
    expect(machine.state.over.get("me")?.ended.size).toBe(1);
  });
});
