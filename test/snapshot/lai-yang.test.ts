// Lai and Yang 1987, "On Distributed Snapshots": channels may deliver in any order. The rules one by one, then random systems
// against what each process wrote down; what the algorithm is for is shown by leaving it out.
import { describe, expect, test } from "vitest";
import { emptySetHash, foldChannelHash, formatChannelHash } from "../../src/core/channel-hash.ts";
import type { ProcessId, SnapshotId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { Topology } from "../../src/core/topology.ts";
import { ChandyLamport } from "../../src/snapshot/chandy-lamport.ts";
import { COLOUR_MAX, LaiYang } from "../../src/snapshot/lai-yang.ts";
import type { Marker, SnapshotEffect, SnapshotInput } from "../../src/snapshot/recordings.ts";
import { BareSystem, bytesOf, LIFE, markerOf, textsOf, VIEW } from "../support/bare-system.ts";
import { cases } from "../support/soak.ts";
import { topologyOf } from "../support/worlds.ts";

const S = "P/1" as const;
const two = (): BareSystem => new BareSystem(new Topology(["P", "Q"]), LaiYang);
const types = (effects: readonly SnapshotEffect[] | string): string[] =>
  typeof effects === "string" ? [effects] : effects.map(({ type }) => type);

describe("the rules", () => {
  test("a process that records sends no marker, but says to each how much it had sent there", () => {
    const system = new BareSystem(new Topology(["P", "Q", "R"]), LaiYang);
    for (const message of ["one", "two"]) system.send("P", "Q", message);
    expect(system.initiate("P", S)).toMatchObject([
      { type: "record" },
      { type: "count", to: "Q", before: { sent: 2 } },
      { type: "count", to: "R", before: { sent: 0, hash: formatChannelHash(emptySetHash()) } },
    ]);
  });

  test("a message from after a recording makes its receiver record before it takes it", () => {
    const system = two();
    system.states.set("Q", "nothing");
    system.initiate("P", S);
    system.send("P", "Q", "after");
    expect(system.channel("P", "Q")).toEqual(["Count", "after"]);
    expect(system.receive("P", "Q", 1)).toBe("after");
    const record = system.records.get(S)?.get("Q");
    expect(record?.received.get("P")).toEqual([]);
    // All that was sent before has come when the count says that it was nothing.
    expect(record?.recorded).toBeUndefined();
    expect(types(system.receive("P", "Q"))).toEqual(["complete"]);
    expect(record?.recorded).toMatchObject({ incoming: [{ from: "P", received: 0, inFlight: 0 }] });
  });

  test("whom no message reaches, the count does", () => {
    const system = two();
    system.initiate("P", S);
    expect(types(system.receive("P", "Q"))).toEqual(["record", "count", "complete"]);
  });

  test.each([
    ["last", [1, 1, 2, 1, 0]],
    ["first", [0, 0, 0, 0, 0]],
    ["in between", [3, 3, 0, 1, 0]],
  ])("the state of a channel is what was sent before the cut, the count coming %s", (_, order) => {
    const system = two();
    system.initiate("Q", "Q/1");
    for (const message of ["one", "two", "three"]) system.send("P", "Q", message);
    // P records when it gets the count of Q.
    system.receive("Q", "P");
    system.send("P", "Q", "after");
    const [count] = system.channel("P", "Q").splice(3, 1);
    expect(count).toBe("Count");
    const before = new Set(["one", "two", "three"]);
    const came: string[] = [];
    for (const at of order) {
      const got = system.receive("P", "Q", at);
      if (typeof got === "string" && before.has(got)) came.push(got);
    }
    const recorded = system.records.get("Q/1")?.get("Q")?.recorded;
    expect(recorded).toMatchObject({ incoming: [{ from: "P", received: 0, inFlight: 3 }] });
    expect(textsOf(recorded?.incoming[0]?.messages ?? [])).toEqual(came);
    expect([...came].sort()).toEqual([...before].sort());
  });

  test("a system of one process is complete at once; so is a process with outgoing channels only", () => {
    const alone = new BareSystem(new Topology(["P"]), LaiYang);
    expect(types(alone.initiate("P", S))).toEqual(["record", "complete"]);
    const source = new BareSystem(new Topology(["P", "Q"], [{ from: "P", to: "Q" }]), LaiYang);
    expect(types(source.initiate("P", S))).toEqual(["record", "count", "complete"]);
    expect(types(source.receive("P", "Q"))).toEqual(["record", "complete"]);
  });
});

/** A random run, with all that happened in it. */
interface Story {
  readonly system: BareSystem;
  readonly topology: Topology;
  readonly begun: readonly SnapshotId[];
  /** Begun, and given up by their initiators. */
  readonly givenUp: ReadonlySet<SnapshotId>;
}

const MONEY = 100;

/**
 * Processes that send each other money at random, over channels that deliver in any order, while up to five snapshots
 * overlap. Now and then one is given up; who hears how a snapshot ended hears it sooner or later.
 */
function tell(seed: number, Algorithm: typeof ChandyLamport | typeof LaiYang, colourless = false) {
  const random = new Random(`lai-yang ${seed}`);
  const topology = topologyOf(random, random.between(2, 8));
  const system = new BareSystem(topology, Algorithm);
  system.colourless = colourless;
  for (const id of topology.processes) system.states.set(id, MONEY);
  const able = topology.processes.filter((id) => topology.unreachableFrom(id).length === 0);
  const begun: SnapshotId[] = [];
  const givenUp = new Set<SnapshotId>();
  /** Words of how a snapshot ended, each on its way to one process. */
  const words: (() => void)[] = [];
  const settled = new Set<SnapshotId>();
  let messages = 0;

  const end = (snapshot: SnapshotId, input: SnapshotInput): void => {
    settled.add(snapshot);
    for (const id of topology.processes) words.push(() => system.step(id, input));
  };
  const isComplete = (snapshot: SnapshotId): boolean =>
    topology.processes.every((id) => system.records.get(snapshot)?.get(id)?.recorded);
  const receive = (): void => {
    const [from, to] = random.pick(system.busy()) ?? ["", ""];
    if (from === "") return;
    const got = system.receive(from, to, random.below(system.channel(from, to).length));
    if (typeof got !== "string") return;
    system.states.set(to, Number(system.states.get(to)) + Number(got.split(" ")[1]));
  };
  const send = (): void => {
    const from = random.pick(topology.processes) as ProcessId;
    const to = random.pick(topology.outgoing(from));
    const money = Number(system.states.get(from));
    if (to === undefined || money === 0) return;
    const amount = random.between(1, money);
    system.states.set(from, money - amount);
    messages += 1;
    system.send(from, to, `${messages} ${amount}`);
  };
  const hear = (): void => {
    for (const snapshot of begun)
      if (!settled.has(snapshot) && isComplete(snapshot))
        end(snapshot, { type: "settled", snapshot });
    const [word] = words.splice(random.below(words.length), 1);
    word?.();
  };
  const pass = (steps: number): void => {
    for (let i = 0; i < steps; i += 1) (random.pick([receive, send, hear]) ?? hear)();
  };
  for (let i = 1; i <= 5; i += 1) {
    pass(random.below(40));
    const initiator = random.pick(able) as ProcessId;
    const snapshot: SnapshotId = `${initiator}/${i}`;
    begun.push(snapshot);
    const open = begun.filter((one) => one.startsWith(`${initiator}/`) && !settled.has(one));
    const live = Math.min(...open.map((one) => Number(one.split("/")[1])));
    system.initiate(initiator, snapshot, { live });
    if (!random.chance(0.15) || isComplete(snapshot)) continue;
    givenUp.add(snapshot);
    const reason = "the caller gave up";
    end(snapshot, { type: "abandon", snapshot, incarnation: LIFE, reason });
  }
  pass(60);
  while (system.busy().length > 0 || words.length > 0) (random.pick([receive, hear]) ?? hear)();
  hear();
  while (words.length > 0) hear();
  return { system, topology, begun, givenUp } satisfies Story;
}

/** Of those messages, in whatever order. */
function hashOf(messages: readonly string[]): string {
  const hash = emptySetHash();
  const bytes = bytesOf(...[...messages].sort());
  foldChannelHash(hash, new DataView(bytes.buffer), 0, bytes.length);
  return formatChannelHash(hash);
}

/** What is wrong with a snapshot; by what every process had sent and received when it recorded. */
function wrongWith({ system, topology }: Story, snapshot: SnapshotId): string | undefined {
  let sum = 0;
  for (const to of topology.processes) {
    const record = system.records.get(snapshot)?.get(to);
    if (!record?.recorded) return "not complete";
    sum += Number(record.state);
    for (const { from, received, hash, inFlight, messages } of record.recorded.incoming) {
      const kept = textsOf(messages);
      for (const text of kept) sum += Number(text.split(" ")[1]);
      const sent = system.records.get(snapshot)?.get(from)?.sent.get(to) ?? [];
      const had = record.received.get(from) ?? [];
      if (had.some((one) => !sent.includes(one))) return "not consistent";
      const expected = sent.filter((one) => !had.includes(one));
      if (String(expected.sort()) !== String([...kept].sort())) return "channel state";
      if (received !== had.length || inFlight !== kept.length) return "counters";
      if (hash.endsWith("s") && hash !== hashOf(had)) return "hash";
    }
    const { incoming, outgoing } = record.recorded;
    if (String(incoming.map(({ from }) => from)) !== String(topology.incoming(to)))
      return "channels";
    for (const { to: target, sent, hash } of outgoing) {
      const before = record.sent.get(target) ?? [];
      if (sent !== before.length) return "counters";
      if (hash.endsWith("s") && hash !== hashOf(before)) return "hash";
    }
  }
  return sum === MONEY * topology.processes.length ? undefined : "sum";
}

describe("random systems whose channels deliver in any order, snapshots overlapping", () => {
  const SEEDS = cases("lai-yang", 1_500, 100_000);

  test("every snapshot that is not given up is complete and exact, and nothing stays behind", () => {
    const seen = { complete: 0, inFlight: 0, givenUp: 0 };
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const story = tell(seed, LaiYang);
      const { system, begun, givenUp } = story;
      for (const snapshot of begun) {
        if (givenUp.has(snapshot)) {
          seen.givenUp += 1;
          continue;
        }
        expect(wrongWith(story, snapshot), `seed ${seed}, ${snapshot}`).toBeUndefined();
        seen.complete += 1;
        for (const { recorded } of system.records.get(snapshot)?.values() ?? [])
          for (const { inFlight } of recorded?.incoming ?? []) seen.inFlight += inFlight;
      }
      for (const { state } of system.machines.values()) {
        expect(state.recordings.size).toBe(0);
        expect(state.colour).toEqual([]);
      }
    }
    // Not for want of trying.
    expect(seen.inFlight).toBeGreaterThan(seen.complete);
    expect(seen.givenUp).toBeGreaterThan(SEEDS / 4);
  });

  test("costs one count a channel and no marker; Chandy and Lamport's costs one marker a channel", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      for (const Algorithm of [ChandyLamport, LaiYang]) {
        const random = new Random(seed);
        const topology =
          seed % 4 === 0 ? new Topology([..."ABCDE"]) : topologyOf(random, 2 + (seed % 7));
        const system = new BareSystem(topology, Algorithm);
        const able = topology.processes.filter((id) => topology.unreachableFrom(id).length === 0);
        const snapshot: SnapshotId = `${random.pick(able)}/1`;
        const [from, to] = Object.values(random.pick(topology.channels()) ?? {}) as ProcessId[];
        system.initiate(snapshot.split("/")[0] as ProcessId, snapshot);
        if (from !== undefined && to !== undefined) system.send(from, to, "1 1");
        for (let busy = system.busy(); busy.length > 0; busy = system.busy())
          system.receive(...(busy[0] as [ProcessId, ProcessId]));
        const channels = topology.channels().map((one) => `${snapshot} ${one.from} ${one.to}`);
        const [words, none] =
          Algorithm === LaiYang ? [system.counts, system.markers] : [system.markers, system.counts];
        expect([...words].sort()).toEqual(channels.map((channel) => [channel, 1]).sort());
        expect(none.size).toBe(0);
        // In a mesh n(n - 1).
        if (seed % 4 === 0) expect(words.size).toBe(20);
      }
    }
  });
});

describe("negative controls, on the same channels", () => {
  const SEEDS = 300;

  /** How many stories had a snapshot with each fault. */
  function faults(Algorithm: typeof ChandyLamport | typeof LaiYang, colourless: boolean) {
    const found = new Map<string, number>();
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const story = tell(seed, Algorithm, colourless);
      const wrong = story.begun
        .filter((snapshot) => !story.givenUp.has(snapshot))
        .map((snapshot) => wrongWith(story, snapshot) ?? "exact");
      for (const fault of new Set(wrong)) found.set(fault, (found.get(fault) ?? 0) + 1);
    }
    return found;
  }

  test("Chandy and Lamport's algorithm takes wrong snapshots for right ones", () => {
    const found = faults(ChandyLamport, false);
    for (const fault of ["not consistent", "channel state"])
      expect(found.get(fault), fault).toBeGreaterThan(SEEDS / 4);
    expect(found.get("not complete")).toBeUndefined();
  });

  test("without colours Lai and Yang's does not complete; what would be wrong is noticed", () => {
    const found = faults(LaiYang, true);
    expect(found.get("not complete")).toBeGreaterThan(SEEDS / 2);
    expect([...found.keys()].sort()).toEqual(["exact", "not complete"]);
  });
});

/** One machine, with peers a and b both ways. */
class Alone {
  readonly machine = new LaiYang(VIEW, ["a", "b"], ["a", "b"]);

  step(input: SnapshotInput): readonly SnapshotEffect[] {
    return this.machine.step(input);
  }

  /** A count of as much as had been received by then, if nothing else is said. */
  count(from: string, snapshot: SnapshotId, more: Partial<Marker> = {}, before?: string[]) {
    const marker = markerOf(snapshot, more);
    const other = new LaiYang(VIEW, [], ["me"]);
    if (before)
      other.step({ type: "sent", to: "me", count: before.length, body: bytesOf(...before) });
    const [, count] = other.step({ type: "initiate", marker: markerOf("x/1"), nowMs: 0 });
    if (count?.type !== "count") throw new Error("it counts");
    return types(this.step({ type: "count", from, marker, before: count.before, nowMs: 0 }));
  }

  received(from: string, message: string, ...colour: readonly Marker[]): string[] {
    const body = bytesOf(message);
    return types(this.step({ type: "received", from, count: 1, body, colour, nowMs: 0 }));
  }

  get colour(): string[] {
    return this.machine.state.colour.map(({ snapshot }) => snapshot);
  }
}

const begins = ["record", "count", "count"];

describe("the colour of messages", () => {
  test("names the snapshots that are recorded here, from recording until they are over everywhere", () => {
    const alone = new Alone();
    expect(alone.colour).toEqual([]);
    expect(alone.count("a", "a/1")).toEqual(begins);
    expect(alone.received("b", "x", markerOf("b/1"))).toEqual(begins);
    expect(alone.colour).toEqual(["a/1", "b/1"]);
    // Complete here, but others may still be recording.
    expect(alone.count("b", "a/1", {}, ["x", "y"])).toEqual([]);
    expect(alone.received("b", "y", markerOf("b/1"))).toEqual(["complete"]);
    expect(alone.colour).toEqual(["a/1", "b/1"]);
    alone.step({ type: "settled", snapshot: "a/1" });
    expect(alone.colour).toEqual(["b/1"]);
    alone.step({ type: "abandon", snapshot: "b/1", incarnation: LIFE, reason: "no" });
    expect(alone.colour).toEqual([]);
  });

  test("loses what a later snapshot of the same initiator says is over", () => {
    const alone = new Alone();
    alone.count("a", "a/1");
    alone.count("b", "a/1");
    expect(alone.colour).toEqual(["a/1"]);
    expect(alone.count("a", "a/2", { live: 2 })).toEqual(begins);
    expect(alone.colour).toEqual(["a/2"]);
  });

  test("of what is over begins nothing again, however late it comes", () => {
    const alone = new Alone();
    alone.count("a", "a/1");
    alone.step({ type: "abandon", snapshot: "a/1", incarnation: LIFE, reason: "no" });
    expect(alone.received("b", "late", markerOf("a/1"))).toEqual([]);
    expect(alone.count("b", "a/1")).toEqual([]);
    alone.count("a", "a/3", { live: 3 });
    expect(alone.received("b", "later", markerOf("a/2"))).toEqual([]);
    expect(alone.colour).toEqual(["a/3"]);
  });

  test("tells apart the lives of an initiator: of another one it is as of none", () => {
    const alone = new Alone();
    alone.count("a", "a/1");
    alone.count("b", "a/1", {}, ["x", "y"]);
    expect(alone.received("b", "x", markerOf("a/1", { incarnation: LIFE + 1 }))).toEqual([]);
    expect(alone.received("b", "y")).toEqual(["complete"]);
  });

  test("holds so many snapshots at the most; the next is refused, and one's own is too", () => {
    const alone = new Alone();
    for (let count = 1; count <= COLOUR_MAX; count += 1)
      expect(alone.count("a", `a/${count}`)).toEqual(begins);
    expect(alone.count("a", "b/1")).toEqual(["refuse"]);
    expect(alone.received("a", "x", markerOf("b/2"))).toEqual(["refuse"]);
    expect(types(alone.step({ type: "initiate", marker: markerOf("me/1"), nowMs: 0 }))).toEqual([
      "refuse",
    ]);
    expect(alone.colour).toHaveLength(COLOUR_MAX);
    alone.step({ type: "settled", snapshot: "a/1" });
    expect(alone.count("b", "b/3")).toEqual(begins);
  });
});

describe("what cannot be", () => {
  test("another message than was sent before the cut: the snapshot is abandoned, not completed wrong", () => {
    const alone = new Alone();
    alone.count("a", "a/1");
    alone.count("b", "a/1", {}, ["one"]);
    expect(
      alone.step({ type: "received", from: "b", count: 1, body: bytesOf("two"), nowMs: 0 }),
    ).toMatchObject([
      { type: "abandoned", snapshot: "a/1", reason: expect.stringContaining("b's channel") },
    ]);
    expect(alone.machine.state.recordings.size).toBe(0);
    expect(alone.colour).toEqual([]);
  });

  test("more than was sent before the cut", () => {
    const alone = new Alone();
    alone.received("b", "one");
    alone.received("b", "two");
    expect(alone.count("b", "a/1", {}, ["one"])).toEqual([...begins, "abandoned"]);
  });

  test("a second count of one channel, or one of no channel, is reported and closes nothing", () => {
    const alone = new Alone();
    alone.count("a", "a/1", {}, ["x"]);
    expect(alone.count("a", "a/1")).toEqual(["irregular"]);
    expect(alone.count("c", "a/1")).toEqual(["irregular"]);
    expect(alone.count("b", "a/1")).toEqual([]);
    expect(alone.received("a", "x")).toEqual(["complete"]);
  });

  test("processes with different algorithms: each refuses what the other says, and the initiator hears", () => {
    const marker = markerOf("a/1");
    const reason = "the processes do not agree on the algorithm";
    const refuses = [{ type: "refuse", marker, reason }];
    const chandyLamport = new ChandyLamport(VIEW, ["a"], ["a"]);
    const before = { sent: 0, hash: formatChannelHash(emptySetHash()) };
    const count: SnapshotInput = { type: "count", from: "a", marker, before, nowMs: 0 };
    expect(chandyLamport.step(count)).toEqual(refuses);
    // Once.
    expect(chandyLamport.step(count)).toEqual([]);
    const alone = new Alone();
    expect(alone.step({ type: "marker", from: "a", marker, nowMs: 0 })).toEqual(refuses);
  });
});

test("messages that come while nobody's cut is open are kept for nobody", () => {
  const alone = new Alone();
  alone.count("a", "a/1", {}, ["one"]);
  alone.received("a", "one");
  // Channel a is closed: what comes on it now was sent before some other cut, or after this one.
  alone.received("a", "two", markerOf("a/1"));
  alone.received("a", "three");
  const [complete] = alone.step({
    type: "count",
    from: "b",
    marker: markerOf("a/1"),
    before: { sent: 0, hash: formatChannelHash(emptySetHash()) },
    nowMs: 7,
  });
  expect(complete).toMatchObject({
    type: "complete",
    recordingMs: 7,
    recorded: {
      incoming: [
        { from: "a", inFlight: 1 },
        { from: "b", inFlight: 0 },
      ],
    },
  });
});

test("another topology, or a peer that came back without its state, ends what is being recorded", () => {
  const alone = new Alone();
  alone.count("a", "a/1");
  expect(types(alone.step({ type: "reset", peer: "b", reason: "process lost" }))).toEqual([
    "abandoned",
  ]);
  alone.count("a", "a/2");
  const view: SnapshotInput = { type: "view", view: VIEW + 1, incoming: ["a"], outgoing: ["a"] };
  expect(types(alone.step(view))).toEqual(["abandoned"]);
  expect(alone.count("a", "a/3")).toEqual(["refuse"]);
  expect(alone.colour).toEqual([]);
  expect(alone.machine.deadlineMs).toBe(Number.POSITIVE_INFINITY);
  expect(alone.count("a", "a/4", { view: VIEW + 1 })).toEqual(["record", "count", "complete"]);
});
