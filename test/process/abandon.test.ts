// How a snapshot ends: complete, or abandoned at everybody with the reason, and in either case with nothing left behind.
import { describe, expect, test } from "vitest";
import type { SnapshotId } from "../../src/core/id.ts";
import { Topology } from "../../src/core/topology.ts";
import { batchOf } from "../../src/link/batch-writer.ts";
import { writeBatchHeader } from "../../src/link/frame.ts";
import { FrozenState } from "../../src/process/application.ts";
import {
  type Control,
  encodeWire,
  KIND_CONTROL,
  KIND_MARKER,
  STREAM_CHANNEL,
  STREAM_CONTROL,
} from "../../src/process/wire.ts";
import { markerOf } from "../support/bare-system.ts";
import { HandDriven, pieceOf } from "../support/hand-driven.ts";

const ALL = ["a", "b", "c"];

/** Everybody who had begun or recorded it has heard once how it ended, and nobody keeps anything of it. */
function expectEnd(system: HandDriven, snapshot: SnapshotId, ending: unknown): void {
  for (const id of system.processes.keys()) {
    const of = (effects: readonly { readonly snapshot: SnapshotId }[]): number =>
      effects.filter((effect) => effect.snapshot === snapshot).length;
    const begun = snapshot.startsWith(`${id}/`) ? 1 : 0;
    const times = Math.max(begun, of(system.all(id, "recorded")));
    expect([id, of(system.all(id, "settled"))]).toEqual([id, times]);
    expect([id, system.ending(id, snapshot)]).toEqual([id, times > 0 ? ending : undefined]);
    expect([id, system.kept(id, snapshot)]).toEqual([id, []]);
  }
}

/** The next one works, so nothing is stuck. */
function expectNext(system: HandDriven, id = "a"): void {
  const snapshot = system.snapshot(id);
  system.run();
  expect(system.ending(id, snapshot)).toBe("complete");
  for (const { channel, control } of system.process(id).state.links)
    expect([channel.queue.length > 1, control.queue.length > 1]).toEqual([false, false]);
}

describe("complete", () => {
  test("everybody records, stores its piece and hears of the end; the initiator alone writes the manifest", () => {
    const system = new HandDriven(ALL);
    const snapshot = system.snapshot("b");
    expect(snapshot).toBe("b/1");
    system.run();
    expectEnd(system, snapshot, "complete");
    for (const id of ALL) {
      expect(system.all(id, "recorded")).toHaveLength(1);
      expect(system.all(id, "piece")).toHaveLength(1);
      expect(system.all(id, "commit")).toHaveLength(id === "b" ? 1 : 0);
      expect(system.all(id, "cut")).toHaveLength(id === "b" ? 1 : 0);
      expect(system.all(id, "settled")).toHaveLength(1);
      expect(system.problems(id)).toEqual([]);
    }
    expect(system.all("b", "commit")[0]?.pieces.map(({ process }) => process)).toEqual(ALL);
  });

  test("in a system of one process, at once", () => {
    const system = new HandDriven(["a"]);
    system.storing = false;
    system.step("a", { type: "snapshot", token: 5, timeoutMs: 1 });
    expect(system.effects.get("a")?.map(({ type }) => type)).toEqual([
      "snapshot-started",
      "recorded",
      "piece",
      "cut",
    ]);
    const [piece] = system.all("a", "piece");
    if (!piece) throw new Error("it is complete");
    system.stored("a", piece);
    expect(system.all("a", "commit")).toMatchObject([{ pieces: [{ process: "a" }] }]);
    system.step("a", { type: "committed", snapshot: "a/1" });
    expectEnd(system, "a/1", "complete");
    for (let i = 0; i < 50; i += 1) {
      system.storing = true;
      expectEnd(system, system.snapshot("a"), "complete");
    }
    expect(system.process("a").state.snapshots.over.get("a")?.ended.size).toBe(1);
  });

  test("many that overlap, by the same and by other initiators, each with its own count", () => {
    const system = new HandDriven(ALL);
    const snapshots = ["a", "a", "b", "c", "a", "b"].map((id) => system.snapshot(id));
    expect(snapshots).toEqual(["a/1", "a/2", "b/1", "c/1", "a/3", "b/2"]);
    expect(system.process("a").state.snapshots.recordings.size).toBe(3);
    system.run();
    for (const snapshot of snapshots) expectEnd(system, snapshot, "complete");
  });

  test("counts go on from where an earlier life of the process was", () => {
    expect(new HandDriven(["a"], { lastCount: 41 }).snapshot("a")).toBe("a/42");
  });
});

test("a topology in which some cannot be reached is refused before it begins, with the unreachable named", () => {
  const topology = new Topology(
    ["a", "b", "c", "d"],
    [
      { from: "a", to: "b" },
      { from: "c", to: "a" },
      { from: "d", to: "a" },
      { from: "a", to: "d" },
    ],
  );
  const system = new HandDriven(topology);
  const effects = system.step("a", { type: "snapshot", token: 9, timeoutMs: 1_000 });
  expect(effects).toEqual([
    {
      type: "snapshot-refused",
      token: 9,
      error: expect.objectContaining({
        code: "UNREACHABLE",
        message: "no path of channels leads from a to c: no snapshot can begin at a",
      }),
    },
  ]);
  const snapshot = system.snapshot("c");
  system.run();
  expectEnd(system, snapshot, "complete");
});

describe("capture throws", () => {
  const throws = (): never => {
    throw new Error("not now");
  };

  test("at the initiator: nobody else ever hears of the snapshot but that it is over", () => {
    const system = new HandDriven(ALL);
    system.probe("a").on.capture = throws;
    const snapshot = system.snapshot("a");
    expect(system.batches("a", "b", KIND_MARKER)).toEqual([]);
    system.run();
    expectEnd(system, snapshot, "capture threw at a: not now");
    expect(system.problems("a")).toEqual(["CAPTURE_THREW: a/1: capture threw at a: not now"]);
    expect(system.process("a").state.failed).toBe(false);
    expect(system.all("b", "recorded")).toEqual([]);
    delete system.probe("a").on.capture;
    expectNext(system);
  });

  test("at a participant", () => {
    const system = new HandDriven(ALL);
    system.probe("c").on.capture = throws;
    const snapshot = system.snapshot("a");
    system.run();
    expectEnd(system, snapshot, "capture threw at c: not now");
    expect(system.problems("c")).toEqual(["CAPTURE_THREW: a/1: capture threw at c: not now"]);
    delete system.probe("c").on.capture;
    expectNext(system);
  });

  test("or gives what the codec cannot encode", () => {
    const system = new HandDriven(ALL);
    system.probe("b").state = 5n;
    const snapshot = system.snapshot("a");
    system.run();
    expectEnd(system, snapshot, expect.stringMatching(/^capture threw at b: .*BigInt/));
  });

  test("a reason as long as a book reaches everybody cut short", () => {
    const system = new HandDriven(ALL);
    const book = "\u0001 ".repeat(50_000);
    system.probe("c").on.capture = () => {
      throw new Error(book);
    };
    const snapshot = system.snapshot("a");
    system.run();
    expect(system.ending("a", snapshot)).toBe(`capture threw at c: ${book}`.slice(0, 1024));
    expect(system.problems("a")).toEqual([]);
  });
});

describe("a process is lost", () => {
  test("each snapshot that waits for it is abandoned when it has been down for so long, and new ones are refused", () => {
    const system = new HandDriven(ALL);
    const snapshot = system.snapshot("a");
    for (const id of ["a", "b"]) system.cut(id, "c");
    system.run();
    system.pass(4_999);
    system.run();
    expect(system.ending("a", snapshot)).toBeUndefined();
    expect(system.process("a").explain().snapshots).toEqual([
      {
        ...{ snapshot, sinceMs: 1_000, unheard: ["c"] },
        waitsFor: ["the marker of c, which is down: the cable was cut"],
        late: { unclosed: ["a", "b", "c"], unstored: [] },
      },
    ]);
    system.pass(1);
    system.run();
    const reason = "process lost: c is down (the cable was cut)";
    for (const id of ["a", "b"]) {
      expect(system.ending(id, snapshot)).toBe(reason);
      expect(system.kept(id, snapshot)).toEqual([]);
    }
    expect(system.step("a", { type: "snapshot", token: 7, timeoutMs: 1 })).toMatchObject([
      { type: "snapshot-refused", token: 7, error: { code: "SNAPSHOT_ABANDONED" } },
    ]);
    // It comes back, hears of it, and all is well.
    for (const id of ["a", "b"]) system.connect(id, "c");
    system.run();
    expectEnd(system, snapshot, reason);
    expectNext(system);
  });

  test("the initiator: what was recorded for it is abandoned, complete or not", () => {
    const system = new HandDriven(ALL);
    system.storing = false;
    let released = 0;
    const frozen = (): FrozenState =>
      new FrozenState(
        () => undefined,
        () => (released += 1),
      );
    for (const id of ["b", "c"]) system.probe(id).on.capture = frozen;
    const snapshot = system.snapshot("a");
    // b has all markers, c lacks that of b.
    system.run(["b c"]);
    expect([system.all("b", "piece").length, system.all("c", "piece").length]).toEqual([1, 0]);
    for (const id of ["b", "c"]) system.cut("a", id);
    system.pass(5_000);
    for (const id of ["b", "c"]) {
      expect(system.ending(id, snapshot)).toBe("process lost: a is down (the cable was cut)");
      expect(system.kept(id, snapshot)).toEqual([]);
    }
    // Whoever stores a piece releases its state; that of c nobody stores.
    expect(released).toBe(1);
  });

  test("for one participant only: it says so, so that nobody waits for the time-out", () => {
    const system = new HandDriven(ALL);
    system.cut("b", "c");
    system.pass(5_000);
    const snapshot = system.snapshot("a");
    system.run();
    expectEnd(
      system,
      snapshot,
      expect.stringMatching(/^process lost: [bc] is down .*, says [bc]$/),
    );
    // What waits for the connection is bounded: no marker is put on it.
    for (let i = 0; i < 20; i += 1) {
      system.snapshot("a");
      system.run();
    }
    const link = system.process("b").state.links.find(({ peer }) => peer === "c");
    expect(link?.channel.queue).toEqual([]);
    system.connect("b", "c");
    system.run();
    expectNext(system);
  });
});

describe("a process starts again without its state", () => {
  test("a participant: everybody abandons what it took part in", () => {
    const system = new HandDriven(ALL);
    const snapshot = system.snapshot("a");
    system.run(["c a", "c b"]);
    system.restart("c", ["b", "a"]);
    system.run();
    for (const id of ["a", "b"]) {
      expect(system.ending(id, snapshot)).toBe("process lost: c came back without its state");
      expect(system.kept(id, snapshot)).toEqual([]);
    }
    expectNext(system);
  });

  test("a participant says that it has abandoned one, when the initiator has not noticed yet", () => {
    const system = new HandDriven(ALL);
    const snapshot = system.snapshot("a");
    system.run(["c a", "c b"]);
    // Only b notices that c is another.
    system.wire("c", "b").length = 0;
    system.cut("b", "c");
    system.start("c");
    system.step("b", { type: "peer-up", peer: "c", incarnation: 102 });
    system.run(["c a", "c b", "a c", "b c"]);
    expect(system.ending("a", snapshot)).toBe("process lost: c came back without its state");
  });

  test("the initiator: everybody forgets its snapshots, and it may use their ids again", () => {
    const system = new HandDriven(ALL);
    const snapshot = system.snapshot("a");
    // b is done with it, c not.
    system.run(["b c"]);
    system.restart("a", ["b", "c"]);
    for (const id of ["b", "c"]) {
      expect(system.ending(id, snapshot)).toBe("process lost: a came back without its state");
      expect(system.kept(id, snapshot)).toEqual([]);
    }
    // A marker of the old life is still on its way; it begins nothing.
    expect(system.batches("b", "c", KIND_MARKER)).toHaveLength(1);
    system.run();
    expect(system.all("c", "recorded")).toHaveLength(1);
    expect(system.snapshot("a")).toBe(snapshot);
    system.run();
    expectEnd(system, snapshot, "complete");
  });

  test("a late marker makes a new life record what is long over: it is told, and forgets it", () => {
    // b hears of snapshots from c only, so its piece is complete with that one marker.
    const topology = new Topology(
      ["a", "b", "c"],
      [
        { from: "a", to: "c" },
        { from: "c", to: "b" },
        { from: "b", to: "a" },
      ],
    );
    const system = new HandDriven(topology);
    system.cut("b", "c");
    const snapshot = system.snapshot("a");
    system.run();
    system.step("a", { type: "abandon", snapshot, reason: "the caller gave up" });
    system.run();
    system.start("b");
    system.cut("a", "b");
    system.connect("a", "b");
    system.connect("b", "c");
    system.run();
    expect(system.problems("c")).toEqual([
      expect.stringContaining(
        "b came back without its state: its channels start afresh; 1 messages",
      ),
    ]);
    // Nothing came of that here, for c knew at once. So by hand:
    const incarnation = 101;
    const marker = markerOf(snapshot, { incarnation, view: topology.fingerprint });
    inject(system, "c", "b", STREAM_CHANNEL, encodeWire(marker));
    expect(system.all("b", "piece")).toHaveLength(1);
    system.run();
    expect(system.ending("b", snapshot)).toBe("it was over before");
    expect(system.kept("b", snapshot)).toEqual([]);
  });
});

/** A frame as `from` would send it next, with this record in it. */
function inject(
  system: HandDriven,
  from: string,
  to: string,
  stream: number,
  content: Uint8Array,
): void {
  const kind = stream === STREAM_CHANNEL ? KIND_MARKER : KIND_CONTROL;
  const { frame } = batchOf(kind, content);
  const links = system.process(to).state.links.find(({ peer }) => peer === from);
  const link = stream === STREAM_CHANNEL ? links?.channel : links?.control;
  const back = system.process(from).state.links.find(({ peer }) => peer === to);
  if (!link || !back) throw new Error("they are peers");
  const header = {
    stream,
    epoch: 1,
    from: link.peerIncarnation,
    to: back.channel.peerIncarnation,
    acknowledged: 0,
    credit: 1_000,
  };
  writeBatchHeader(frame, header, kind, link.expected, 1);
  system.step(to, { type: "frame", from, frame });
}

describe("the view changes", () => {
  test("what is under way is abandoned; whoever joins takes part in the next one", () => {
    const system = new HandDriven(["a", "b"]);
    const snapshot = system.snapshot("a");
    system.run(["b a"]);
    const grown = system.topology.withMeshed("c");
    for (const id of ["a", "b"]) system.step(id, { type: "topology", topology: grown });
    system.start("c", grown);
    for (const id of ["a", "b"]) system.connect(id, "c");
    system.run();
    for (const id of ["a", "b"]) expect(system.ending(id, snapshot)).toBe("view changed");
    expect(system.kept("a", snapshot)).toEqual([]);
    for (const id of ["a", "b", "c"]) expectNext(system, id);
    expect(
      system
        .all("a", "commit")
        .at(-1)
        ?.pieces.map(({ process }) => process),
    ).toEqual(ALL);
  });

  test("for some only, so far: who does not agree with the initiator says so", () => {
    const system = new HandDriven(["a", "b"]);
    const grown = system.topology.withMeshed("c");
    system.step("b", { type: "topology", topology: grown });
    const snapshot = system.snapshot("a");
    system.run();
    expectEnd(system, snapshot, "view changed: the processes do not agree on who takes part");
    system.step("a", { type: "topology", topology: grown });
    system.start("c", grown);
    for (const id of ["a", "b"]) system.connect(id, "c");
    system.run();
    expectNext(system);
  });

  test("a topology that says the same is the same", () => {
    const system = new HandDriven(["a", "b"]);
    const same = new Topology(
      ["b", "a"],
      [
        { from: "b", to: "a" },
        { from: "a", to: "b" },
      ],
    );
    system.step("b", { type: "topology", topology: same });
    const snapshot = system.snapshot("a");
    system.run();
    expectEnd(system, snapshot, "complete");
  });
});

describe("time runs out", () => {
  test("at the initiator, which names who is late", () => {
    const system = new HandDriven(ALL);
    const snapshot = system.snapshot("a", 200);
    system.run(["c a"]);
    system.pass(200);
    system.run();
    expectEnd(system, snapshot, "timeout: channels are not closed at a, c");
    expectNext(system);
  });

  test("at a participant that never hears of its initiator again, though it is not lost", () => {
    const system = new HandDriven(ALL, { lostAfterMs: 1e6 });
    const snapshot = system.snapshot("a", 200);
    system.run(["b c"]);
    for (const id of ["b", "c"]) system.cut("a", id);
    system.pass(400);
    expect(system.ending("c", snapshot)).toBe("timeout: its initiator has not settled it");
    expect(system.kept("c", snapshot)).toEqual([]);
    // b has nothing more to wait for but the word of a, and may not guess it: a may be writing the manifest.
    expect(system.kept("b", snapshot)).toEqual([`state ${snapshot}`]);
    for (const id of ["b", "c"]) system.connect("a", id);
    system.pass(1);
    system.run();
    system.pass(200);
    system.run();
    expect(system.kept("b", snapshot)).toEqual([]);
  });

  test("is as long as the caller says, be it longer than any clock", () => {
    const system = new HandDriven(ALL);
    for (const timeoutMs of [1e300, 0.5]) {
      const snapshot = system.snapshot("a", timeoutMs);
      system.run();
      expectEnd(system, snapshot, "complete");
    }
  });
});

test("the caller gives up: everybody forgets it, and a late marker does not begin it again", () => {
  const system = new HandDriven(ALL);
  const snapshot = system.snapshot("a");
  system.step("a", { type: "abandon", snapshot, reason: "the caller gave up" });
  // The markers on the channels come later than the word that it is over.
  const markers = ["b", "c"].map((to) => system.batches("a", to, KIND_MARKER)[0] as Uint8Array);
  for (const [i, to] of ["b", "c"].entries()) {
    system.deliver("a", to, 1);
    system.deliver("a", to, 0);
    expect(markers[i]).toBeDefined();
  }
  system.run();
  expectEnd(system, snapshot, "the caller gave up");
  for (const id of ["b", "c"]) expect(system.all(id, "recorded")).toEqual([]);
  expectNext(system);
});

describe("the store", () => {
  test("fails at one participant", () => {
    const system = new HandDriven(ALL);
    system.storing = false;
    const snapshot = system.snapshot("a");
    system.run();
    const [piece] = system.all("b", "piece");
    if (!piece) throw new Error("it is complete at b");
    system.stored("b", piece);
    const reason = "c could not store its piece: the disk is full";
    system.step("c", { type: "store-failed", snapshot, reason });
    system.run();
    expectEnd(system, snapshot, reason);
    // The store of a comes later, and then nobody wants it.
    system.step("a", { type: "stored", piece: pieceOf("a", piece) });
    system.run();
    expectEnd(system, snapshot, reason);
    system.storing = true;
    expectNext(system);
  });

  test("fails when the manifest is written", () => {
    const system = new HandDriven(ALL);
    system.storing = false;
    const snapshot = system.snapshot("a");
    system.run();
    for (const id of ALL) {
      const [piece] = system.all(id, "piece");
      if (piece) system.stored(id, piece);
    }
    system.run();
    expect(system.all("a", "commit")).toHaveLength(1);
    // While it is being written, nothing else decides.
    system.step("a", { type: "abandon", snapshot, reason: "the caller gave up" });
    expect(system.ending("a", snapshot)).toBeUndefined();
    system.step("a", { type: "committed", snapshot, failed: "the disk is full" });
    system.run();
    expectEnd(system, snapshot, "the disk is full");
  });

  test("takes a piece in so many parts that no frame can tell of it", () => {
    const system = new HandDriven(ALL, { maxFrameBytes: 16_384 });
    system.storing = false;
    const snapshot = system.snapshot("a");
    system.run();
    const [effect] = system.all("b", "piece");
    if (!effect) throw new Error("it is complete at b");
    const piece = pieceOf("b", effect);
    const [part] = piece.state.parts;
    const parts = Array.from({ length: 1_000 }, () => part ?? { sha256: "", bytes: 0 });
    system.step("b", { type: "stored", piece: { ...piece, state: { ...piece.state, parts } } });
    system.run();
    expectEnd(system, snapshot, "the record of b's piece does not fit a frame of 16384 bytes");
  });
});

test("a peer that takes nothing is told no more than the limit of its channel: memory does not run out", () => {
  const system = new HandDriven(["a", "b"], { limitBytes: 5_000 });
  system.storing = false;
  for (let i = 0; i < 200; i += 1) {
    const snapshot = system.snapshot("a");
    system.step("a", { type: "abandon", snapshot, reason: "the caller gave up" });
    expect(system.kept("a", snapshot)).toEqual([]);
    system.wire("a", "b").length = 0;
  }
  const [link] = system.process("a").state.links;
  for (const { givenBytes, ackedBytes } of [link?.channel, link?.control].filter((one) => !!one)) {
    expect(givenBytes - ackedBytes).toBeGreaterThan(5_000);
    expect(givenBytes - ackedBytes).toBeLessThan(5_300);
  }
});

describe("what others say of a snapshot is believed of whom it concerns only", () => {
  const word = (system: HandDriven, from: string, to: string, control: Control): void =>
    inject(system, from, to, STREAM_CONTROL, encodeWire(control));

  test("only its initiator settles one", () => {
    const system = new HandDriven(ALL);
    const snapshot = system.snapshot("a");
    system.run(["c b"]);
    word(system, "c", "b", { type: "settled", snapshot, reason: "says who?" });
    expect(system.ending("b", snapshot)).toBeUndefined();
    system.run();
    expectEnd(system, snapshot, "complete");
  });

  test("a word for another life of the initiator is not for this one", () => {
    const system = new HandDriven(ALL);
    const snapshot = system.snapshot("a");
    for (const incarnation of [0, 100, 102])
      word(system, "c", "a", { type: "failed", incarnation, snapshot, reason: "long ago" });
    expect(system.ending("a", snapshot)).toBeUndefined();
    word(system, "c", "a", { type: "failed", incarnation: 101, snapshot, reason: "now" });
    expect(system.ending("a", snapshot)).toBe("now");
  });

  test("that one is complete which is still being recorded here: then it cannot be", () => {
    const system = new HandDriven(ALL);
    const snapshot = system.snapshot("a");
    system.run(["c b"]);
    word(system, "a", "b", { type: "settled", snapshot });
    expect(system.ending("b", snapshot)).toBe("its initiator has settled it");
    expect(system.kept("b", snapshot)).toEqual([]);
    system.run();
    expect(system.all("b", "piece")).toEqual([]);
  });

  test("no marker begins a snapshot of the process itself, or of one that is no part of the system", () => {
    const system = new HandDriven(ALL);
    for (const [initiator, incarnation] of [
      ["b", 101],
      ["nobody", 5],
      ["c", 999],
    ] as const) {
      const view = system.topology.fingerprint;
      const marker = markerOf(`${initiator}/1`, { incarnation, view });
      inject(system, "a", "b", STREAM_CHANNEL, encodeWire(marker));
    }
    expect(system.all("b", "recorded")).toEqual([]);
    expect([...system.process("b").state.snapshots.over.keys()]).toEqual([]);
  });
});

test("a frozen state is released once: by the process if nobody stores it, else by who stores it", () => {
  const system = new HandDriven(ALL);
  const released = new Map<string, number>();
  for (const id of ALL)
    system.probe(id).on.capture = () =>
      new FrozenState(
        () => undefined,
        () => released.set(id, (released.get(id) ?? 0) + 1),
      );
  const snapshot = system.snapshot("a");
  system.run();
  expectEnd(system, snapshot, "complete");
  expect(Object.fromEntries(released)).toEqual({ a: 1, b: 1, c: 1 });
  const given = system.snapshot("a");
  system.run(["c b"]);
  system.step("a", { type: "abandon", snapshot: given, reason: "the caller gave up" });
  system.run();
  expectEnd(system, given, "the caller gave up");
  expect(Object.fromEntries(released)).toEqual({ a: 2, b: 2, c: 2 });
});
