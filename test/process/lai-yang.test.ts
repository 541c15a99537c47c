// Whole systems of real processes whose channels are not FIFO, with Lai and Yang's algorithm: in worlds that a seed decides, and by
// hand. `SEED=n` runs one world again, the one that a failure names.
import { describe, expect, test } from "vitest";
import type { SnapshotId } from "../../src/core/id.ts";
import { readRecords, recordBytes } from "../../src/core/record.ts";
import { Topology } from "../../src/core/topology.ts";
import { BATCH_HEADER_BYTES, parseFrame } from "../../src/link/frame.ts";
import {
  COLOUR_BYTES,
  decodeColour,
  KIND_COLOURED,
  KIND_MARKER,
  KIND_MESSAGES,
} from "../../src/process/wire.ts";
import { COLOUR_MAX } from "../../src/snapshot/lai-yang.ts";
import { textsOf } from "../support/bare-system.ts";
import { HandDriven } from "../support/hand-driven.ts";
import { Violation } from "../support/history.ts";
import { cases } from "../support/soak.ts";
import { type Outcome, World, type WorldOptions } from "../support/world.ts";
import { quietWorld, worldOf } from "../support/worlds.ts";

const MINUTE_MS = 60_000;

function run(options: WorldOptions): Outcome {
  try {
    return new World(options).run();
  } catch (thrown) {
    throw new Error(`SEED=${options.seed}: ${(thrown as Error).message}`, { cause: thrown });
  }
}

function runAll(worldBy: (seed: number) => WorldOptions, count: number) {
  const only = process.env["SEED"];
  const seeds =
    only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)];
  const sum = { complete: 0, abandoned: 0, inFlight: 0, overtook: 0, seeds: seeds.length };
  for (const seed of seeds) {
    const { complete, abandoned, inFlight, overtook } = run(worldBy(seed));
    sum.complete += complete;
    sum.overtook += overtook;
    sum.inFlight += inFlight;
    for (const times of abandoned.values()) sum.abandoned += times;
  }
  return sum;
}

test.each([
  ["none", false],
  ["fifo", false],
  ["none", true],
] as const)(
  "a snapshot is exact or abandoned, and all recovers: order %s, all transports reliable: %s",
  (order, reliable) => {
    const all = runAll(
      (seed) => {
        const world = worldOf(seed);
        const options: WorldOptions = { ...world, order, algorithm: "lai-yang" };
        const faults = { ...world.faults, loss: 0 };
        return reliable ? { ...options, reliable, faults } : options;
      },
      cases("lai-yang-worlds", 120, 20_000),
    );
    if (all.seeds === 1) return;
    expect(all.complete / all.seeds).toBeGreaterThan(4);
    expect(all.inFlight / all.complete).toBeGreaterThan(1);
    expect(all.abandoned / all.seeds).toBeGreaterThan(0.3);
    if (order === "fifo") expect(all.overtook).toBe(0);
    else if (!reliable) expect(all.overtook / all.seeds).toBeGreaterThan(5);
  },
  (cases("lai-yang-worlds", 1, 20) + 1) * MINUTE_MS,
);

test("without the colour of messages snapshots do not complete, and no wrong one does", () => {
  let incomplete = 0;
  for (let seed = 1; seed <= 40; seed += 1) {
    /** Someone on the wire who writes over what messages say of their sender's recordings. */
    const meddle = (_from: string, _to: string, sent: Uint8Array): readonly Uint8Array[] => {
      const frame = sent.slice();
      const parsed = parseFrame(frame);
      const batch = typeof parsed === "string" ? undefined : parsed.batch;
      if (batch?.kind !== KIND_COLOURED) return [frame];
      const [colour] = readRecords(batch.body) as [Uint8Array];
      colour.fill(0x20);
      colour.set(new TextEncoder().encode("[]").subarray(0, colour.length));
      return [frame];
    };
    try {
      new World({ ...quietWorld(seed), reliable: false, order: "none", meddle }).run();
    } catch (thrown) {
      if (!(thrown instanceof Violation)) throw thrown;
      // It was abandoned, in a world in which all must complete. No other judge found anything.
      expect(thrown.message).toMatch(/^liveness: .* is not what was sent before its cut/);
      incomplete += 1;
    }
  }
  expect(incomplete).toBeGreaterThan(20);
});

const unordered = { order: "none", reliable: false } as const;

const request = (system: HandDriven, id: string, text: string) =>
  system.step(id, { type: "request", id: 1, request: text });

/** The colours of the batches that wait on a wire. */
const colours = (system: HandDriven, from: string, to: string): SnapshotId[][] =>
  system.batches(from, to, KIND_COLOURED).map((frame) => {
    const parsed = parseFrame(frame);
    const body = typeof parsed === "string" ? undefined : parsed.batch?.body;
    const colour = decodeColour(readRecords(body ?? new Uint8Array())[0] as Uint8Array);
    return colour?.map(({ snapshot }) => snapshot) ?? [];
  });

describe("the options", () => {
  const withOptions = (options: object) => () => new HandDriven(["a"], options);

  test("Chandy and Lamport's algorithm on channels that are not FIFO is refused by an error that names Lai and Yang's", () => {
    expect(withOptions({ order: "none", algorithm: "chandy-lamport" })).toThrow(
      expect.objectContaining({
        code: "UNSUITABLE_TRANSPORT",
        message: expect.stringContaining('use algorithm "lai-yang"'),
      }),
    );
  });

  test.each([{ order: "sorted" }, { order: null }, { algorithm: "snap" }, { algorithm: "" }])(
    "%o is refused",
    (options) => {
      expect(withOptions(options)).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
    },
  );

  test.each([
    [{}, KIND_MESSAGES],
    [{ order: "fifo" }, KIND_MESSAGES],
    [{ order: "none" }, KIND_COLOURED],
    [{ algorithm: "lai-yang" }, KIND_COLOURED],
    [{ order: "none", algorithm: "lai-yang" }, KIND_COLOURED],
  ] as const)("%o decides which algorithm it is", (options, kind) => {
    const system = new HandDriven(["a", "b"], options);
    request(system, "a", "b: hello");
    expect(system.batches("a", "b", kind)).toHaveLength(1);
    const snapshot = system.snapshot("a");
    expect(system.batches("a", "b", KIND_MARKER)).toHaveLength(kind === KIND_MESSAGES ? 1 : 0);
    system.run();
    expect(system.ending("b", snapshot)).toBe("complete");
    expect(system.probe("b").log).toEqual(["a: hello"]);
  });

  test("processes that do not agree on the algorithm get their messages all the same, and no snapshot", () => {
    const system = new HandDriven(["a", "b"], (id) =>
      id === "a" ? { algorithm: "lai-yang" } : {},
    );
    for (const [from, to] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      request(system, from, `${to}: hello`);
      const snapshot = system.snapshot(from);
      request(system, from, `${to}: goodbye`);
      system.run();
      expect(system.probe(to).log).toEqual([`${from}: hello`, `${from}: goodbye`]);
      expect(system.ending(from, snapshot)).toBe("the processes do not agree on the algorithm");
    }
  });
});

describe("by hand", () => {
  test("no message waits for another that is late, and each comes once", () => {
    const system = new HandDriven(["a", "b"], unordered);
    for (const text of ["one", "two", "three"]) request(system, "a", `b: ${text}`);
    const again = system.wire("a", "b").map((frame) => frame.slice());
    system.deliver("a", "b", 2);
    system.deliver("a", "b", 1);
    expect(system.probe("b").log).toEqual(["a: three", "a: two"]);
    system.wire("a", "b").push(...again);
    system.run();
    expect(system.probe("b").log).toEqual(["a: three", "a: two", "a: one"]);
    expect(system.process("a").counters.sent).toBe(3);
    expect(system.process("b").counters.received).toBe(3);
  });

  test("a message says which snapshots its sender has recorded, until they are settled", () => {
    const system = new HandDriven(["a", "b"], unordered);
    request(system, "a", "b: before");
    const snapshot = system.snapshot("a");
    request(system, "a", "b: after");
    expect(colours(system, "a", "b")).toEqual([[], [snapshot]]);
    // The one from after comes first, and before the count.
    system.deliver("a", "b", 2);
    expect(system.all("b", "recorded")).toHaveLength(1);
    system.run();
    const [piece] = system.all("b", "piece");
    expect(piece?.recorded.incoming).toMatchObject([{ from: "a", received: 0, inFlight: 1 }]);
    expect(textsOf(piece?.recorded.incoming[0]?.messages ?? [])).toEqual(['"before"']);
    expect(system.ending("a", snapshot)).toBe("complete");
    request(system, "a", "b: later");
    expect(colours(system, "a", "b")).toEqual([[]]);
    for (const id of ["a", "b"]) {
      expect(system.kept(id, snapshot)).toEqual([]);
      expect(system.problems(id)).toEqual([]);
    }
  });

  test("what is sent in the turn in which a message makes it record was sent after the cut", () => {
    const system = new HandDriven(["a", "b"], unordered);
    system.probe("b").on.receive = (_from, _message, turn) => turn.send("a", "answer");
    request(system, "a", "b: before");
    const snapshot = system.snapshot("a");
    request(system, "a", "b: after");
    system.run();
    expect(system.ending("a", snapshot)).toBe("complete");
    const [atA, atB] = ["a", "b"].map((id) => system.all(id, "piece")[0]?.recorded);
    // One answer was sent before the cut, if "before" came before "after" and the count; then it is in flight.
    const sent = atB?.outgoing[0]?.sent ?? Number.NaN;
    expect(atA?.incoming).toMatchObject([{ received: 0, inFlight: sent }]);
    expect(atB?.incoming).toMatchObject([{ received: sent, inFlight: 1 - sent }]);
  });

  test("received by hand, a message takes its colour with it: the state is recorded when it is taken", () => {
    const system = new HandDriven(["a", "b"], { ...unordered, receive: "manual" });
    for (const text of ["one", "two"]) request(system, "a", `b: ${text}`);
    // The control word with the count is kept back.
    const snapshot = system.snapshot("a");
    request(system, "a", "b: after");
    const control = system.wire("a", "b").splice(2, 1);
    for (const at of [2, 0, 0]) system.deliver("a", "b", at);
    expect(system.process("b").waiting("a")).toBe(3);
    expect(system.all("b", "recorded")).toEqual([]);
    const receive = () => {
      const effects = system.step("b", { type: "receive", from: "a" });
      return effects.map((effect) => (effect.type === "received" ? effect.received : effect.type));
    };
    expect(receive()).toMatchObject(["recorded", "frame", { message: "after" }]);
    expect(receive()).toContainEqual({ kind: "message", from: "a", message: "one" });
    system.wire("a", "b").push(...control);
    system.run();
    expect(system.process("b").explain().snapshots).toMatchObject([
      { snapshot, waitsFor: ["1 message(s) of a"] },
    ]);
    expect(receive()).toContain("piece");
    system.run();
    expect(system.ending("a", snapshot)).toBe("complete");
    const [piece] = system.all("b", "piece");
    expect(textsOf(piece?.recorded.incoming[0]?.messages ?? [])).toEqual(['"one"', '"two"']);
  });

  test("it is said who is waited for: the count, then the messages", () => {
    const system = new HandDriven(["a", "b"], unordered);
    request(system, "b", "a: late");
    const [late] = system.wire("b", "a").splice(0);
    const snapshot = system.snapshot("a");
    const waitsFor = () => system.process("a").explain().snapshots[0]?.waitsFor;
    expect(waitsFor()).toEqual(["the count of b"]);
    system.cut("a", "b");
    expect(waitsFor()).toEqual(["the count of b, which is down: the cable was cut"]);
    system.connect("a", "b");
    system.run(["b a"]);
    expect(system.process("b").explain().channels).toMatchObject([
      { from: "b", to: "a", waiting: { messages: 1 } },
    ]);
    // Everything from b but its message.
    const wire = system.wire("b", "a");
    const data = new Set(system.batches("b", "a", KIND_COLOURED));
    while (wire.some((frame) => !data.has(frame))) {
      system.deliver(
        "b",
        "a",
        wire.findIndex((frame) => !data.has(frame)),
      );
      system.run(["b a"]);
      for (const frame of system.batches("b", "a", KIND_COLOURED)) data.add(frame);
    }
    expect(waitsFor()).toEqual(["1 message(s) of b"]);
    wire.push(late as Uint8Array);
    system.run();
    expect(system.ending("a", snapshot)).toBe("complete");
  });

  test("a message as large as may be fits its frame, whatever the colour", () => {
    const [self, other] = ["s".repeat(64), "o".repeat(64)];
    const maxFrameBytes = 16_384;
    const system = new HandDriven([self, other], {
      ...unordered,
      maxFrameBytes,
      lastCount: 999_999_999_999_000 - 1,
    });
    system.storing = false;
    const most = maxFrameBytes - BATCH_HEADER_BYTES - COLOUR_BYTES - recordBytes(0) - '""'.length;
    for (let i = 0; i < COLOUR_MAX; i += 1) system.snapshot(self, 60_000 + 1 / 3);
    expect(system.process(self).state.snapshots.colour).toHaveLength(COLOUR_MAX);
    request(system, self, `${other}: ${"x".repeat(most)}`);
    const [frame] = system.batches(self, other, KIND_COLOURED);
    expect(frame?.length).toBeLessThanOrEqual(maxFrameBytes);
    system.run();
    expect(system.probe(other).log).toHaveLength(1);
    expect(system.process(other).state.snapshots.colour).toHaveLength(COLOUR_MAX);
    system.probe(self).on.request = (_id, _request, turn) => {
      expect(() => turn.send(other, "x".repeat(most + 1))).toThrow(
        expect.objectContaining({ code: "MESSAGE_TOO_LARGE" }),
      );
    };
    request(system, self, "");
    // One more than a colour holds is abandoned, and harms no other.
    const more = system.snapshot(self);
    system.run();
    expect(system.ending(self, more)).toBe(`${COLOUR_MAX} snapshots are under way already`);
    expect(system.process(self).state.snapshots.colour).toHaveLength(COLOUR_MAX);
  });

  test("a colour that is not well formed is reported, and the messages are taken", () => {
    const system = new HandDriven(["a", "b"], unordered);
    system.storing = false;
    system.snapshot("a");
    request(system, "a", "b: hello");
    const frame = system.batches("a", "b", KIND_COLOURED)[0] as Uint8Array;
    frame[BATCH_HEADER_BYTES + 4] = 0x7b;
    system.run();
    expect(system.problems("b")).toEqual([
      "MALFORMED_FRAME: a batch of a has a colour that is not well formed",
    ]);
    expect(system.probe("b").log).toEqual(["a: hello"]);
  });

  test("a colour without a message is reported, and nothing is received", () => {
    for (const receive of ["auto", "manual"] as const) {
      const system = new HandDriven(["a", "b"], { ...unordered, receive });
      request(system, "a", "b: hello");
      const [frame] = system.batches("a", "b", KIND_COLOURED) as [Uint8Array];
      // Its colour now covers the message.
      new DataView(frame.buffer).setUint32(
        BATCH_HEADER_BYTES,
        frame.length - BATCH_HEADER_BYTES - 4,
        true,
      );
      new DataView(frame.buffer).setUint32(40, 1, true);
      system.run();
      expect(system.problems("b")).toHaveLength(2);
      expect(system.problems("b")[1]).toContain("it has no message");
      expect(system.process("b").waiting("a")).toBe(0);
      expect(system.probe("b").log).toEqual([]);
      const link = system.process("b").state.links[0]?.channel;
      expect(link?.takenBytes).toBe(link?.receivedBytes);
    }
  });

  test("a count, or a message, of an earlier life of the initiator begins nothing", () => {
    const system = new HandDriven(["a", "b", "c"], unordered);
    const snapshot = system.snapshot("c");
    system.deliver("c", "b");
    request(system, "b", "a: hello");
    expect(colours(system, "b", "a")).toEqual([[snapshot]]);
    system.restart("c", ["a", "b"]);
    system.run();
    expect(system.ending("b", snapshot)).toContain("c came back without its state");
    expect(system.all("a", "recorded")).toEqual([]);
    expect(system.probe("a").log).toEqual(["b: hello"]);
    expect(system.kept("a", snapshot)).toEqual([]);
    const again = system.snapshot("c");
    system.run();
    expect(system.ending("c", again)).toBe("complete");
  });

  test("nobody is led by a late message to begin again what is over", () => {
    const system = new HandDriven(new Topology(["a", "b", "c"]), unordered);
    const snapshot = system.snapshot("a");
    request(system, "b", "c: nothing yet");
    system.deliver("a", "b");
    request(system, "b", "c: late");
    const late = system.wire("b", "c").pop() as Uint8Array;
    system.run();
    expect(system.ending("c", snapshot)).toBe("complete");
    system.wire("b", "c").push(late);
    system.run();
    expect(system.probe("c").log).toEqual(["b: nothing yet", "b: late"]);
    expect(system.all("c", "recorded")).toHaveLength(1);
    for (const id of ["a", "b", "c"]) expect(system.kept(id, snapshot)).toEqual([]);
  });
});
