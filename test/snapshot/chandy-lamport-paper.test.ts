// Chandy and Lamport 1985, "Distributed Snapshots: Determining Global States of Distributed Systems": the rules of
// §3.2, the termination of §3.3, the run of §4 step by step; and the example of the lecture notes that most copies get wrong.
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { Topology } from "../../src/core/topology.ts";
import { BareSystem, textsOf } from "../support/bare-system.ts";
import { topologyOf } from "../support/worlds.ts";

const S = "P/1" as const;

/** One incoming channel of one process as it is recorded so far. */
function soFar(system: BareSystem, from: string, to: string): [string, readonly string[]] {
  const recorded = system.records.get(S)?.get(to)?.recorded;
  const done = recorded?.incoming.find((channel) => channel.from === from);
  if (done) return ["Done", textsOf(done.messages)];
  const open = system.machine(to).state.recordings.get(S)?.incoming.get(from);
  if (!open) return ["NotStarted", []];
  return [open.open ? "Recording" : "Done", textsOf(open.messages)];
}

describe("§3.2, the marker-sending rule", () => {
  test("records the state, and then, before anything else, sends one marker on each outgoing channel", () => {
    const system = new BareSystem(new Topology(["P", "Q", "R"]));
    const effects = system.initiate("P", S);
    expect(effects.map((effect) => (effect.type === "marker" ? effect.to : effect.type))).toEqual([
      "record",
      "Q",
      "R",
    ]);
  });

  test("only on outgoing channels: channels are directed", () => {
    const system = new BareSystem(new Topology(["P", "Q"], [{ from: "P", to: "Q" }]));
    system.initiate("P", S);
    const effects = system.receive("P", "Q");
    expect(effects).toMatchObject([{ type: "record" }, { type: "complete" }]);
  });
});

describe("§3.2, the marker-receiving rule", () => {
  test("the first marker makes a process record, with the channel it came on as empty", () => {
    const system = new BareSystem(new Topology(["P", "Q"]));
    system.send("P", "Q", "before");
    system.initiate("P", S);
    expect(system.receive("P", "Q")).toBe("before");
    expect(system.receive("P", "Q")).toMatchObject([
      { type: "record" },
      { type: "marker", to: "P" },
      { type: "complete", recorded: { incoming: [{ from: "P", received: 1, inFlight: 0 }] } },
    ]);
  });

  test("a channel's state is what came on it after the state was recorded and before its marker", () => {
    const system = new BareSystem(new Topology(["P", "Q"]));
    system.send("Q", "P", "one");
    expect(system.receive("Q", "P")).toBe("one");
    system.initiate("P", S);
    system.send("Q", "P", "two");
    system.send("Q", "P", "three");
    system.receive("P", "Q");
    system.send("Q", "P", "four");
    for (const expected of ["two", "three"]) expect(system.receive("Q", "P")).toBe(expected);
    system.receive("Q", "P");
    expect(system.receive("Q", "P")).toBe("four");
    expect(soFar(system, "Q", "P")).toEqual(["Done", ["two", "three"]]);
    const p = system.records.get(S)?.get("P")?.recorded;
    expect(p).toMatchObject({ incoming: [{ from: "Q", received: 1, inFlight: 2 }] });
    expect(system.records.get(S)?.get("Q")?.recorded).toMatchObject({
      outgoing: [{ to: "P", sent: 3 }],
    });
  });

  test("a system of one process is complete at once", () => {
    const system = new BareSystem(new Topology(["P"]));
    expect(system.initiate("P", S)).toMatchObject([{ type: "record" }, { type: "complete" }]);
  });
});

/** Receives the head of some channel; the tokens in a message move. */
function receiveAtRandom(system: BareSystem, random: Random): void {
  const [from, to] = random.pick(system.busy()) ?? ["", ""];
  if (from === "") return;
  const message = system.receive(from, to);
  if (typeof message === "string")
    system.states.set(to, Number(system.states.get(to)) + Number(message));
}

/** Some process sends some of its tokens on some channel. */
function sendAtRandom(system: BareSystem, random: Random): void {
  const from = random.pick([...system.machines.keys()]) ?? "";
  const to = random.pick([...system.machine(from).state.outgoing.keys()]);
  const tokens = Number(system.states.get(from));
  if (to === undefined || tokens === 0) return;
  const amount = random.between(1, tokens);
  system.states.set(from, tokens - amount);
  system.send(from, to, `${amount}`);
}

function runAtRandom(system: BareSystem, random: Random, steps: number): void {
  for (let i = 0; i < steps; i += 1)
    (random.chance(0.5) ? receiveAtRandom : sendAtRandom)(system, random);
}

function runToTheEnd(system: BareSystem, random: Random): void {
  while (system.busy().length > 0) receiveAtRandom(system, random);
}

describe("§3.3, termination, and §4, the recorded state is consistent", () => {
  test("in any topology that the initiators reach, however things are delayed, snapshots overlapping", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 8 }), (seed, size) => {
        const random = new Random(seed);
        const topology = topologyOf(random, size);
        const system = new BareSystem(topology);
        for (const id of topology.processes) system.states.set(id, 100);
        const able = topology.processes.filter((id) => topology.unreachableFrom(id).length === 0);
        const snapshots: `${string}/${number}`[] = [];
        for (let i = 1; i <= 4; i += 1) {
          runAtRandom(system, random, random.below(15));
          const initiator = random.pick(able) as string;
          snapshots.push(`${initiator}/${i}`);
          system.initiate(initiator, `${initiator}/${i}`);
        }
        runAtRandom(system, random, 40);
        runToTheEnd(system, random);
        for (const snapshot of snapshots) {
          const records = system.records.get(snapshot);
          let sum = 0;
          for (const id of topology.processes) {
            const { state, recorded } = records?.get(id) ?? { state: 0, recorded: undefined };
            sum += Number(state);
            for (const { messages } of recorded?.incoming ?? [])
              for (const text of textsOf(messages)) sum += Number(text);
            expect(recorded?.incoming.map(({ from }) => from)).toEqual(topology.incoming(id));
          }
          expect(sum).toBe(100 * topology.processes.length);
          for (const { from, to } of topology.channels())
            expect(system.markers.get(`${snapshot} ${from} ${to}`)).toBe(1);
        }
        for (const { state } of system.machines.values()) expect(state.recordings.size).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test("what no path of channels leads to never records: so it is refused before it begins", () => {
    const topology = new Topology(
      ["P", "Q", "R"],
      [
        { from: "P", to: "Q" },
        { from: "Q", to: "P" },
        { from: "R", to: "P" },
      ],
    );
    const system = new BareSystem(topology);
    system.initiate("P", S);
    runToTheEnd(system, new Random(1));
    expect([...(system.records.get(S)?.keys() ?? [])]).toEqual(["P", "Q"]);
    expect(system.records.get(S)?.get("P")?.recorded).toBeUndefined();
    expect(topology.unreachableFrom("P")).toEqual(["R"]);
  });
});

describe("§4, the run of the paper", () => {
  interface Step {
    readonly do: string;
    readonly P: string;
    readonly Q: string;
    readonly ch0: readonly string[];
    readonly ch1: readonly string[];
    readonly recP: string | null;
    readonly recQ: string | null;
    readonly recCh0: readonly [string, readonly string[]];
    readonly recCh1: readonly [string, readonly string[]];
  }
  const run: {
    readonly processes: Readonly<Record<"P" | "Q", string>>;
    readonly steps: readonly Step[];
    readonly recorded: Pick<Step, "P" | "Q" | "ch0" | "ch1">;
  } = JSON.parse(
    readFileSync(new URL("../cases/paper/cl85-section4.json", import.meta.url), "utf8"),
  );

  /** The application rules of the paper. */
  function act(system: BareSystem, what: string): void {
    const take = (from: string, to: string, expected: string, then: string): void => {
      expect(system.receive(from, to)).toBe(expected);
      system.states.set(to, then);
    };
    const give = (from: string, to: string, message: string, then: string): void => {
      system.send(from, to, message);
      system.states.set(from, then);
    };
    switch (what) {
      case "P records spontaneously":
        system.initiate("P", S);
        break;
      case "P sends M on 0":
        give("P", "Q", "M", "S_Wait");
        break;
      case "Q sends M' on 1":
        give("Q", "P", "M'", "T_Wait");
        break;
      case "Q receives marker on 0":
        // Recording and receiving the first marker are one step here, and the order within it is the paper's.
        expect(system.receive("P", "Q")).toMatchObject([
          { type: "record" },
          { type: "marker", to: "P" },
          { type: "complete" },
        ]);
        break;
      case "P receives M' on 1":
        take("Q", "P", "M'", "S_Send");
        break;
      case "P receives marker on 1":
        system.receive("Q", "P");
        break;
      default:
        throw new Error(`the run has an unknown step: ${what}`);
    }
  }

  const begin = (): BareSystem => {
    const system = new BareSystem(new Topology(["P", "Q"]));
    for (const [id, state] of Object.entries(run.processes)) system.states.set(id, state);
    return system;
  };

  const globalState = (system: BareSystem) => ({
    P: system.states.get("P"),
    Q: system.states.get("Q"),
    ch0: system.channel("P", "Q").filter((item) => item !== "Marker"),
    ch1: system.channel("Q", "P").filter((item) => item !== "Marker"),
  });

  test("every step has the states, channels and recordings of the paper", () => {
    const system = begin();
    for (const step of run.steps) {
      // The case splits the first marker's receipt; the first half is checked where it is one step.
      if (step.do.startsWith("Q records")) continue;
      act(system, step.do);
      const record = (id: string): unknown => system.records.get(S)?.get(id)?.state ?? null;
      expect({
        do: step.do,
        P: system.states.get("P"),
        Q: system.states.get("Q"),
        ch0: system.channel("P", "Q"),
        ch1: system.channel("Q", "P"),
        recP: record("P"),
        recQ: record("Q"),
        recCh0: soFar(system, "P", "Q"),
        recCh1: soFar(system, "Q", "P"),
      }).toEqual(step);
    }
    expect({
      P: system.records.get(S)?.get("P")?.state,
      Q: system.records.get(S)?.get("Q")?.state,
      ch0: soFar(system, "P", "Q")[1],
      ch1: soFar(system, "Q", "P")[1],
    }).toEqual(run.recorded);
  });

  test("the recorded state never occurred, is reached by the same events in another order, and leads on", () => {
    const system = begin();
    const occurred = [globalState(system)];
    for (const { do: what } of run.steps.filter((step) => !step.do.startsWith("Q records"))) {
      act(system, what);
      occurred.push(globalState(system));
    }
    expect(occurred).not.toContainEqual(run.recorded);
    // First what happened before its process recorded; then the rest.
    const permuted = begin();
    act(permuted, "Q sends M' on 1");
    expect(globalState(permuted)).toEqual(run.recorded);
    act(permuted, "P sends M on 0");
    act(permuted, "P receives M' on 1");
    expect(globalState(permuted)).toEqual(occurred.at(-1));
  });
});

test("the lecture example: three states, and exactly one message in flight", () => {
  // P1: a b | c d e. P2: f g h |. P3: i | j k. Messages b → f, i → g, h → d and e → k; a, c and j are internal.
  const system = new BareSystem(new Topology(["P1", "P2", "P3"]));
  const snapshot = "P1/1" as const;
  const last = (id: string, event: string): void => {
    system.states.set(id, event);
  };
  const receive = (from: string, to: string, event: string): void => {
    expect(system.receive(from, to)).toBeTypeOf("string");
    last(to, event);
  };
  const send = (from: string, to: string, event: string): void => {
    system.send(from, to, event);
    last(from, event);
  };
  last("P1", "a");
  send("P1", "P2", "b");
  system.initiate("P1", snapshot);
  send("P3", "P2", "i");
  // Between i and j: records, C13 is empty.
  expect(system.receive("P1", "P3")).toMatchObject([{ type: "record" }, {}, {}]);
  last("P1", "c");
  system.receive("P3", "P1");
  receive("P1", "P2", "f");
  receive("P3", "P2", "g");
  send("P2", "P1", "h");
  // After h: records, C32 is empty; then C12.
  expect(system.receive("P3", "P2")).toMatchObject([{ type: "record" }, {}, {}]);
  expect(system.receive("P1", "P2")).toMatchObject([{ type: "complete" }]);
  receive("P2", "P1", "d");
  send("P1", "P3", "e");
  expect(system.receive("P2", "P1")).toMatchObject([{ type: "complete" }]);
  last("P3", "j");
  expect(system.receive("P2", "P3")).toMatchObject([{ type: "complete" }]);
  receive("P1", "P3", "k");

  const records = system.records.get(snapshot);
  const states = ["P1", "P2", "P3"].map((id) => records?.get(id)?.state);
  expect(states).toEqual(["b", "h", "i"]);
  const channels = ["P1", "P2", "P3"].flatMap((to) =>
    (records?.get(to)?.recorded?.incoming ?? []).map(({ from, messages }) => [
      `${from} → ${to}`,
      textsOf(messages),
    ]),
  );
  expect(Object.fromEntries(channels)).toEqual({
    "P1 → P2": [],
    "P1 → P3": [],
    "P2 → P1": ["h"],
    "P2 → P3": [],
    "P3 → P1": [],
    "P3 → P2": [],
  });
  expect([...system.markers.values()]).toEqual([1, 1, 1, 1, 1, 1]);
});
