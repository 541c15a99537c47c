// Systems under seeded faults: what is promised is kept, what is planted is found, and the same seed is the same run.
import { describe, expect, test } from "vitest";
import {
  emptyChannelHash,
  foldChannelHash,
  formatChannelHash,
} from "../../src/core/channel-hash.ts";
import { encodeUtf8 } from "../../src/core/utf8.ts";
import { type Application, type Turn, UNASKED } from "../../src/process/application.ts";
import {
  defineWorld,
  drawFaults,
  formatFaults,
  NO_FAULTS,
  parseFaults,
  runWorld,
  Simulation,
  type SimulationEvent,
  Violation,
} from "../../src/sim.ts";
import { seeds } from "../support/soak.ts";
import { addsUp, purseWorld } from "./purses.ts";

describe("the default mix of faults", () => {
  test("breaks no promise", { timeout: 7_200_000 }, () => {
    const happened = new Map<string, number>();
    let [count, complete, abandoned] = [0, 0, 0];
    for (const seed of seeds("seeds", 200, 100_000)) {
      count = seed;
      const report = runWorld(purseWorld(seed), { seed });
      for (const name of report.happened) happened.set(name, (happened.get(name) ?? 0) + 1);
      complete += report.snapshots.complete;
      abandoned += report.snapshots.abandoned;
    }
    expect(happened.size).toBe(3);
    for (const times of happened.values()) expect(times).toBeGreaterThan(count / 20);
    expect(complete).toBeGreaterThan(count * 3);
    expect(abandoned).toBeGreaterThan(count / 20);
  });

  test("makes no money and loses none, where nobody dies", { timeout: 600_000 }, () => {
    for (const seed of seeds("sums", 100, 10_000)) {
      const faults = { ...drawFaults(seed), crashes: 0 };
      const order = seed % 3 === 0 ? "none" : "fifo";
      const world = { ...purseWorld(seed), order, always: { "sums are right": addsUp } } as const;
      runWorld(world, { seed, faults });
    }
  });

  test("breaks no promise where messages overtake each other", { timeout: 7_200_000 }, () => {
    let [count, overtaken, recorded, complete] = [0, 0, 0, 0];
    for (const seed of seeds("seeds-unordered", 100, 20_000)) {
      count = seed;
      const sent = new Map<string, unknown[]>();
      const watch = ({ process, happening }: SimulationEvent): void => {
        if (happening.type === "send") {
          const way = `${process} ${happening.to}`;
          sent.set(way, [...(sent.get(way) ?? []), happening.message]);
        } else if (happening.type === "receive") {
          const waiting = sent.get(`${happening.from} ${process}`) ?? [];
          const next = JSON.stringify(waiting.shift());
          if (next !== JSON.stringify(happening.message)) overtaken += 1;
        }
      };
      const order = seed % 3 === 0 ? "fifo" : "none";
      const world = { ...purseWorld(seed), order, algorithm: "lai-yang" } as const;
      const { happened, snapshots } = runWorld(world, { seed, watch });
      if (happened.includes("a message in flight is recorded")) recorded += 1;
      complete += snapshots.complete;
    }
    expect(overtaken).toBeGreaterThan(count);
    expect(recorded).toBeGreaterThan(count / 20);
    expect(complete).toBeGreaterThan(count * 3);
  });

  test("is there in every kind, in some worlds and not in others", () => {
    const drawn = Array.from({ length: 500 }, (_, seed) => drawFaults(seed));
    for (const key of Object.keys(NO_FAULTS) as (keyof typeof NO_FAULTS)[]) {
      const values = new Set(drawn.map((faults) => JSON.stringify(faults[key])));
      expect(values.size, key).toBeGreaterThan(1);
    }
    for (const faults of drawn) if (faults.reliable) expect(faults.loss).toBe(0);
  });
});

describe("the same seed", () => {
  const hashOf = (seed: number): string => runWorld(purseWorld(seed), { seed }).traceHash;

  test("is the same run, and another seed another", () => {
    expect(hashOf(3)).toBe(hashOf(3));
    expect(new Set(Array.from({ length: 20 }, (_, seed) => hashOf(seed))).size).toBe(20);
  });

  test("is the same run on every machine and version of Node", { timeout: 600_000 }, () => {
    const all = emptyChannelHash();
    let count = 0;
    for (const seed of seeds("trace-hash", 100, 1_000)) {
      count = seed;
      const bytes = encodeUtf8(`${hashOf(seed)}   `);
      foldChannelHash(all, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, 36);
    }
    const known = new Map([
      [100, "50221fdc33955083ab5e7b978749d98a0"],
      [1_000, "d2c43e65ec4ed60cfc63facb50cd44220"],
    ]);
    expect(formatChannelHash(all)).toBe(known.get(count));
  });

  test("with the faults as they were printed is the same run", () => {
    const faults = drawFaults(12);
    const again = parseFaults(formatFaults(faults));
    expect(again).toEqual(faults);
    expect(parseFaults(JSON.stringify(faults))).toEqual(faults);
    expect(formatFaults(NO_FAULTS)).toBe("{}");
    expect(runWorld(purseWorld(12), { seed: 12, faults: again }).traceHash).toBe(hashOf(12));
  });
});

describe("faults that cannot be", () => {
  test.each([
    ["nonsense", /not JSON/],
    ["[]", /must be an object/],
    ["null", /must be an object/],
    ['{"losses":1}', /there is no "losses"/],
    ['{"loss":"much"}', /loss must be a number/],
    ['{"loss":-1}', /loss must be a number/],
    ['{"reliable":1}', /reliable must be true or false/],
    ['{"delayMs":[5,1]}', /delayMs/],
    ['{"delayMs":5}', /delayMs/],
    ['{"delayMs":[1,2,3]}', /delayMs must be \[least, most\], each a number from 0 to 10000/],
    ['{"loss":1.5}', /loss must be a number from 0 to 1/],
    ['{"drift":1}', /drift must be a number from 0 to 0.5/],
    ['{"cuts":1.5}', /cuts must be a whole number from 0 to 1000/],
    ['{"crashes":1e6}', /crashes must be a whole number/],
    ['{"capacity":0.001}', /capacity must be 0, or a number from 1 to/],
    ['{"troubleMs":90000}', /troubleMs must be a number from 0 to 60000/],
    ['{"toString":1}', /there is no "toString"/],
    ['{"__proto__":1}', /there is no "__proto__"/],
  ])("%s", (text, reason) => {
    expect(() => parseFaults(text)).toThrow(reason);
  });

  test("those that can be, and are large, accuse nobody", { timeout: 600_000 }, () => {
    for (const seed of seeds("large-faults", 6, 300))
      for (const large of [
        { clogs: 2, cuts: 3, holds: 2, troubleMs: 60_000 },
        { partitions: 2, oneWay: 1, troubleMs: 1_500, drift: 0.5, reliable: false },
        { syncMs: 10_000 },
        { delayMs: [2_000, 3_000] as const, reliable: seed % 2 === 0 },
        { capacity: 1, reliable: false, refuse: 0.5, repeat: 0.5 },
      ])
        runWorld(purseWorld(seed), { seed, faults: { ...NO_FAULTS, ...large } });
  });
});

/** Each process counts what it gets, and sends one message to all for each request. */
const counters = (ids: readonly string[]) =>
  defineWorld<string, number, "tell", null>({
    processes: ids,
    application: () => {
      let heard = 0;
      return {
        request: (id, _what, turn) => {
          turn.send(turn.peers, turn.self);
          turn.reply(id, null);
        },
        receive() {
          heard += 1;
        },
        capture: () => heard,
        restore(state) {
          heard = state;
        },
      };
    },
  });

describe("the verbs", () => {
  const start = (ids: readonly string[], events: SimulationEvent[] = []) => {
    const simulation = new Simulation(counters(ids), {
      seed: 1,
      watch: (event) => events.push(event),
    });
    simulation.runFor(100);
    return simulation;
  };
  const heard = (simulation: ReturnType<typeof start>, id: string) => simulation.view.state(id);

  test("hold and release", () => {
    const simulation = start(["a", "b", "c"]);
    simulation.hold("a", "b");
    simulation.request("a", "tell", 0);
    simulation.runFor(1_000);
    expect([heard(simulation, "b"), heard(simulation, "c")]).toEqual([0, 1]);
    expect(simulation.view.inFlight("a", "b")).toEqual(["a"]);
    simulation.release("a", "b");
    simulation.runFor(100);
    expect([heard(simulation, "b"), simulation.view.allInFlight()]).toEqual([1, []]);
    expect(simulation.view.replies).toEqual([null]);
  });

  test("partition, one way and both, and repair", () => {
    for (const oneWay of [false, true]) {
      const simulation = start(["a", "b", "c"]);
      simulation.partition(["a"], ["b", "c"], { oneWay });
      simulation.runFor(100);
      simulation.request("a", "tell", 0);
      simulation.request("b", "tell", 1);
      simulation.runFor(500);
      expect(heard(simulation, "c")).toBe(1);
      expect([heard(simulation, "a"), heard(simulation, "b")]).toEqual([0, 0]);
      simulation.repair();
      simulation.runFor(500);
      expect(["a", "b", "c"].map((id) => heard(simulation, id))).toEqual([1, 1, 2]);
    }
  });

  test("cut: what was sent meanwhile comes when the connection is back", () => {
    const events: SimulationEvent[] = [];
    const simulation = start(["a", "b"], events);
    simulation.cut("a", "b");
    simulation.request("a", "tell", 0);
    simulation.runFor(500);
    expect(heard(simulation, "b")).toBe(1);
    expect(events.filter(({ happening }) => happening.type === "down")).toHaveLength(2);
  });

  test("clog: late, and not lost", () => {
    const simulation = start(["a", "b"]);
    simulation.clog("a", "b", 300);
    simulation.request("a", "tell", 0);
    simulation.runFor(290);
    expect(heard(simulation, "b")).toBe(0);
    simulation.runFor(20);
    expect(heard(simulation, "b")).toBe(1);
  });

  test("crash and restart: without its state, or from the newest snapshot", () => {
    for (const [comesBackWith, then] of [
      ["nothing", 0],
      ["snapshot", 1],
    ] as const) {
      const simulation = start(["a", "b"]);
      simulation.request("a", "tell", 0);
      simulation.runFor(100);
      simulation.snapshot("a");
      simulation.runFor(100);
      expect(simulation.view.snapshots).toHaveLength(1);
      simulation.crash("b");
      expect([simulation.view.up, heard(simulation, "b")]).toEqual([["a"], undefined]);
      simulation.restart("b", comesBackWith);
      simulation.runFor(500);
      expect(heard(simulation, "b")).toBe(then);
      simulation.request("a", "tell", 1);
      simulation.runFor(100);
      expect(heard(simulation, "b")).toBe(then + 1);
      simulation.judge();
    }
  });

  test("channels without an order: all comes, and nothing waits for what is late", () => {
    const world = { ...counters(["a", "b"]), order: "none" } as const;
    const simulation = new Simulation(world, {
      seed: 1,
      faults: { ...NO_FAULTS, delayMs: [1, 50] },
    });
    simulation.runFor(300);
    for (let i = 0; i < 20; i += 1) simulation.request("a", "tell", i);
    simulation.snapshot("b");
    simulation.runFor(20);
    expect(simulation.view.allInFlight().length + (simulation.view.state("b") ?? 0)).toBe(20);
    simulation.runFor(200);
    expect(simulation.view.allInFlight()).toEqual([]);
    expect(simulation.view.snapshots).toHaveLength(1);
    simulation.judge();
    const algorithm = "chandy-lamport";
    const refused = () => new Simulation({ ...world, algorithm }, { seed: 1 });
    expect(refused).toThrow(/needs channels that are FIFO.*use algorithm "lai-yang"/);
  });

  test("a state that is restored is nobody else's", () => {
    const lists = defineWorld<null, string[], string>({
      processes: ["a", "b"],
      application: () => {
        let list: string[] = [];
        return {
          request: (_id, word) => void list.push(word),
          capture: () => list,
          restore: (state) => {
            list = state;
          },
        };
      },
    });
    const simulation = new Simulation(lists, { seed: 1 });
    simulation.runFor(100);
    simulation.request("a", "before", 0);
    simulation.snapshot("b");
    simulation.runFor(200);
    for (const word of ["after", "and again"]) {
      simulation.crash("a");
      simulation.restart("a", "snapshot");
      simulation.runFor(100);
      expect(simulation.view.state("a")).toEqual(["before"]);
      simulation.request("a", word, 0);
      expect(simulation.view.snapshots[0]?.states["a"]).toEqual(["before"]);
    }
  });

  test("a request that the application changes is the same to the next", () => {
    const request = { times: 0, inside: { list: [1] }, names: new Map([["x", new Set([1])]]) };
    const changing = defineWorld<null, number, typeof request, number>({
      processes: ["a"],
      application: () => ({
        request: (id, asked, turn) => {
          asked.times += 1;
          asked.inside.list.push(2);
          asked.names.get("x")?.add(asked.times);
          asked.names.set("y", new Set());
          turn.reply(id, asked.times);
        },
        capture: () => 0,
        restore() {},
      }),
      requests: [{ of: "a", request }],
      always: { once: ({ replies }) => replies.every((times) => times === 1) },
    });
    for (const seed of [1, 2]) runWorld(changing, { seed, faults: NO_FAULTS });
    expect(request).toEqual({
      times: 0,
      inside: { list: [1] },
      names: new Map([["x", new Set([1])]]),
    });
  });

  test("what nobody asked for is heard when it is safe, and not from who has died", () => {
    const heard: string[] = [];
    const talking = defineWorld<null, number, string, string>({
      processes: ["a", "b"],
      application: () => ({
        request: (_id, word, turn) => turn.reply(UNASKED, `${turn.self} ${word}`),
        capture: () => 0,
        restore() {},
      }),
      logsInputs: true,
    });
    runWorld(talking, {
      ...{ seed: 1, faults: { ...NO_FAULTS, syncMs: 10 } },
      onUnasked: (process, word) => heard.push(`${process}: ${word}`),
      prepare: (simulation) => {
        simulation.after(5, () => {
          for (const id of ["a", "b"]) simulation.request(id, "hello", 0);
          expect(heard).toEqual([]);
          simulation.crash("b");
        });
        simulation.after(50, () => simulation.restart("b"));
      },
    });
    expect(heard).toEqual(["a: a hello"]);
  });

  test("it is known which epoch a process is in, and what that began from", () => {
    const simulation = start(["a", "b"]);
    simulation.snapshot("a");
    simulation.runFor(200);
    expect(simulation.restores).toEqual([]);
    simulation.restore("a");
    expect(simulation.epochOf("a")).toBe(2);
    simulation.runFor(500);
    expect(simulation.epochOf("b")).toBe(2);
    expect(simulation.restores).toEqual([{ epoch: 2, snapshot: "a/1", of: 1 }]);
  });

  const bad = <T>(value: unknown): T => value as T;
  test.each<[string, (simulation: ReturnType<typeof start>) => void]>([
    ["runFor NaN", (one) => one.runFor(Number.NaN)],
    ["runFor a negative time", (one) => one.runFor(-50)],
    ["runFor a text", (one) => one.runFor(bad("5"))],
    ["runFor ever", (one) => one.runFor(Number.POSITIVE_INFINITY)],
    ["runUntil NaN", (one) => void one.runUntil(() => false, Number.NaN)],
    ["clog NaN", (one) => one.clog("a", "b", Number.NaN)],
    ["after NaN", (one) => one.after(Number.NaN, () => {})],
    ["request with no index", (one) => one.request("a", "tell", Number.NaN)],
    ["request with a negative index", (one) => one.request("a", "tell", -1)],
    ["request with a huge index", (one) => one.request("a", "tell", 1e7)],
    ["restart with a typing error", (one) => one.restart("a", bad("snapshto"))],
    ["partition from a process that is not there", (one) => one.partition(["a"], ["b", "z"])],
  ])("%s is an error, and nothing happens", (_what, act) => {
    const simulation = start(["a", "b"]);
    expect(() => act(simulation)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^(BAD_OPTION|UNKNOWN_PROCESS)$/) }),
    );
    expect(simulation.nowMs).toBe(100);
    simulation.request("a", "tell", 0);
    simulation.runFor(50);
    expect([heard(simulation, "b"), simulation.view.replies]).toEqual([1, [null]]);
  });

  test.each<[object, RegExp]>([
    [{}, /seed must be a number or a text, not undefined/],
    [{ seed: Number.NaN }, /seed/],
    [{ seed: 1, timeoutMs: Number.NaN }, /timeoutMs/],
    [{ seed: 1, timeoutMs: -5 }, /timeoutMs/],
    [{ seed: 1, lostAfterMs: "x" }, /lostAfterMs must be a number .*, not "x"/],
    [{ seed: 1, windowBytes: Number.NaN }, /windowBytes/],
    [{ seed: 1, windowsBytes: 1 }, /there is no "windowsBytes"; did you mean "windowBytes"\?/],
    [{ seed: 1, faults: {} }, /lastMs is missing; begin with .*NO_FAULTS/],
    [{ seed: 1, faults: { ...NO_FAULTS, loss: 2 } }, /loss must be a number from 0 to 1/],
    [{ seed: 1, faults: { ...NO_FAULTS, losses: 2 } }, /did you mean "loss"/],
  ])("options that cannot be: %o", (options, reason) => {
    expect(() => new Simulation(counters(["a"]), bad(options))).toThrow(reason);
    if (!("timeoutMs" in options || "lostAfterMs" in options || "windowBytes" in options))
      expect(() => runWorld(counters(["a"]), bad(options))).toThrow(/seed|faults|there is no/);
  });

  test("of a process that is not there are errors", () => {
    const simulation = start(["a", "b"]);
    expect(() => simulation.crash("c")).toThrow(/no c/);
    expect(() => simulation.hold("a", "a")).toThrow(/not two processes/);
    expect(() => simulation.request("c", "tell", 0)).toThrow(/no c/);
  });
});

describe("a world that breaks its own promises is reported", () => {
  const failing = (part: object): (() => unknown) => {
    const world = {
      ...counters(["a", "b"]),
      requests: [{ of: "a", request: "tell" as const }],
      ...part,
    };
    return () => runWorld(world, { seed: 1, faults: NO_FAULTS });
  };

  test("always, with the reason that it gives", () => {
    const always = {
      "b hears nothing": (view: { state(id: string): number | undefined }) =>
        view.state("b") === 0 || "it has heard something",
    };
    expect(failing({ always })).toThrow(/always: "b hears nothing" .*it has heard something/);
    expect(failing({ always })).toThrow(Violation);
  });

  test("eventually", () => {
    expect(failing({ eventually: { never: () => false } })).toThrow(/eventually: "never"/);
  });

  test("an application that throws", () => {
    const application = () => ({
      start: () => {
        throw new Error("not today");
      },
      capture: () => 0,
      restore: () => {},
    });
    expect(failing({ application, requests: [] })).toThrow(/application: .*not today/);
  });

  test("a property that throws, or is async", () => {
    const boom = (): boolean => {
      throw new Error("boom");
    };
    const later = async (): Promise<boolean> => {
      throw new Error("later");
    };
    for (const kind of ["always", "sometimes", "eventually"]) {
      expect(failing({ [kind]: { p: boom } })).toThrow(`${kind}: "p" threw: boom`);
      const reason = `${kind}: "p" is async; properties must be synchronous`;
      expect(failing({ [kind]: { p: later } })).toThrow(reason);
    }
    const always = { p: (view: { state(id: string): unknown }) => view.state("zz") === undefined };
    expect(failing({ always })).toThrow('always: "p" threw: there is no zz in this world');
  });

  test.each(["start", "receive", "request", "timer", "capture"])(
    "an application whose %s is async",
    (method) => {
      const application = (): object => ({
        start(turn: Turn<string>) {
          turn.send(turn.peers, "hello");
          turn.setTimer("soon", 1);
        },
        receive() {},
        request() {},
        timer() {},
        capture: () => 0,
        restore() {},
        ...{ [method]: () => Promise.reject(new Error("nobody hears this")) },
      });
      const reason = `the application's ${method} is async; its methods must be synchronous`;
      expect(failing({ application })).toThrow(reason);
    },
  );

  test("an application that is none, is not complete, or cannot be made", () => {
    const boom = (): never => {
      throw new Error("boom");
    };
    expect(failing({ application: boom })).toThrow('application: application("a") threw: boom');
    expect(failing({ application: () => undefined })).toThrow(/gave undefined, and no application/);
    expect(failing({ application: () => ({}) })).toThrow("the application of a has no capture");
    const only = () => ({ capture: () => 0 });
    expect(failing({ application: only })).toThrow("the application of a has no restore");
  });

  test("a codec that throws is named", () => {
    const boom = (): never => {
      throw new Error("boom");
    };
    const one = { name: "mine", encode: () => new Uint8Array(4), decode: () => 0 };
    expect(failing({ messageCodec: { ...one, encode: boom } })).toThrow(
      /mine cannot encode it: boom/,
    );
    expect(failing({ messageCodec: { ...one, decode: boom } })).toThrow(
      /mine cannot decode it: boom/,
    );
    expect(failing({ stateCodec: { ...one, encode: boom } })).toThrow(/capture threw at .: boom/);
    expect(failing({ stateCodec: { ...one, decode: boom } })).toThrow(/cannot be decoded: boom/);
  });

  test.each<[object, RegExp]>([
    [{ allways: {} }, /world: there is no "allways"; did you mean "always"\?/],
    [{ requests: 5 }, /requests must be a list of { of, request }, not 5/],
    [{ requests: [{ of: "zz", request: 1 }] }, /requests: there is no process "zz"/],
    [{ snapshots: ["zz"] }, /snapshots: there is no process "zz"/],
    [{ always: { p: true } }, /always "p" must be a function of the view, not true/],
    [{ sometimes: [] }, /sometimes must be an object of properties/],
    [{ processes: "ab" }, /processes must be a list of names, not "ab"/],
    [{ processes: [1] }, /processes must be a list of names, not of 1/],
    [{ processes: undefined }, /a world needs processes/],
    [{ application: 1 }, /application must be a function/],
    [{ channels: ["a"] }, /channels: each must have from and to/],
    [{ order: "lifo" }, /order must be "fifo" or "none", not "lifo"/],
    [{ algorithm: "mine" }, /algorithm must be "chandy-lamport" or "lai-yang"/],
    [{ stateCodec: { name: "x" } }, /stateCodec must have a name, encode and decode/],
    [{ interchangeable: [["a", "zz"]] }, /interchangeable: there is no process "zz"/],
  ])("a world of another shape: %o", (part, reason) => {
    expect(failing(part)).toThrow(reason);
    const world = { ...counters(["a", "b"]), ...part };
    expect(() => new Simulation(world, { seed: 1 })).toThrow(reason);
  });

  test("a request to an application that takes none, a message to one that receives none", () => {
    const application = () => ({ capture: () => 0, restore: () => {} });
    expect(failing({ application })).toThrow(/has no request/);
    const deaf = (): Application<string> => ({
      start(turn) {
        turn.send(turn.peers, "x");
      },
      capture: () => 0,
      restore: () => {},
    });
    expect(failing({ application: deaf, requests: [] })).toThrow(/has no receive/);
  });
});
