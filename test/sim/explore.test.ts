// Every schedule of small worlds: the numbers of states are what they are, what holds is proved, what does not has a
// shortest schedule that replays.
import { describe, expect, test } from "vitest";
import { type Application, FrozenState, type Turn } from "../../src/process/application.ts";
import type { Codec } from "../../src/process/codec.ts";
import { StateTable } from "../../src/sim/state-table.ts";
import {
  defineWorld,
  type ExploreOptions,
  explore,
  formatStep,
  parseSchedule,
  replay,
  type ScheduleStep,
  type View,
  type World,
} from "../../src/sim.ts";
import { cases } from "../support/soak.ts";

type Money = World<number, number, "give", null>;

/** Accounts with 10 each; a request sends 1 to the next one. */
function accounts(count: number, requests: number, snapshots: readonly string[]): Money {
  const processes = Array.from({ length: count }, (_, i) => `p${i + 1}`);
  return defineWorld({
    processes,
    application: () => {
      let money = 10;
      return {
        request: (id: number, _what: "give", turn: Turn<number, null>) => {
          money -= 1;
          turn.send(turn.peers[id % turn.peers.length] as string, 1);
          turn.reply(id, null);
        },
        receive: (_from: string, amount: number) => {
          money += amount;
        },
        capture: () => money,
        restore: (state: number) => {
          money = state;
        },
      };
    },
    requests: processes.flatMap((of) =>
      Array.from({ length: requests }, () => ({ of, request: "give" as const })),
    ),
    snapshots,
    always: {
      "snapshots add up": (view) =>
        view.snapshots.every(
          ({ states, inFlight }) =>
            sum(Object.values(states)) + sum(inFlight.flatMap(({ messages }) => messages)) ===
            10 * count,
        ),
      "money is kept": (view) =>
        sum(view.up.map((id) => view.state(id) ?? 0)) + sum(view.allInFlight()) === 10 * count,
    },
    sometimes: {
      "a message in flight is recorded": (view) =>
        view.snapshots.some(({ inFlight }) => inFlight.some(({ messages }) => messages.length > 0)),
    },
    eventually: {
      "every snapshot is complete": (view) => view.snapshots.length === snapshots.length,
      "every request is answered": (view) =>
        view.replies.filter((one) => one === null).length === count * requests,
    },
  });
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

describe("Chandy-Lamport, every schedule", () => {
  test("two processes, a message each, one snapshot", () => {
    const { counterexample, ...found } = explore(accounts(2, 1, ["p1"]));
    expect(counterexample).toBeUndefined();
    expect(found).toMatchObject({ states: 120, transitions: 196, ends: 5, complete: true });
  });

  test("two processes, two overlapping snapshots", () => {
    const { counterexample, ...found } = explore(accounts(2, 1, ["p1", "p2"]));
    expect(counterexample).toBeUndefined();
    expect(found).toMatchObject({ states: 1669, transitions: 3046, ends: 43, complete: true });
  });

  test("three processes, full mesh, one snapshot", { timeout: 600_000 }, () => {
    const requests = cases("explore", 1, 2);
    const { counterexample, ...found } = explore(accounts(3, requests, ["p1"]));
    expect(counterexample).toBeUndefined();
    expect(found).toMatchObject(
      requests === 1
        ? { states: 8_779, transitions: 26_581, complete: true }
        : { states: 310_523, transitions: 1_195_640, complete: true },
    );
  });

  test("two processes, Lai and Yang's algorithm: where frames keep their order, and where they do not", () => {
    const world = { ...accounts(2, 2, ["p1"]), algorithm: "lai-yang" } as const;
    const fifo = explore(world);
    expect(fifo.counterexample).toBeUndefined();
    const { counterexample, ...none } = explore({ ...world, order: "none" });
    expect(counterexample).toBeUndefined();
    expect([fifo.states, none.states]).toEqual([872, 5_091]);
    expect(() => explore({ ...world, order: "none", algorithm: "chandy-lamport" })).toThrow(
      /needs channels that are FIFO/,
    );
  });

  test("depth first finds the same states", () => {
    const { states, transitions, ends } = explore(accounts(2, 1, ["p1", "p2"]), { order: "depth" });
    expect({ states, transitions, ends }).toEqual({ states: 1669, transitions: 3046, ends: 43 });
  });
});

/** One shop, two buyers that read, subtract and write: the last one to write wins. */
const shop = (): World<{ readonly get: true } | { readonly stock: number }, number, "buy", null> =>
  defineWorld({
    processes: ["ann", "bob", "shop"],
    channels: ["ann", "bob"].flatMap((buyer) => [
      { from: buyer, to: "shop" },
      { from: "shop", to: buyer },
    ]),
    application: (id) => {
      let stock = id === "shop" ? 10 : 0;
      return {
        request: (request, _what, turn) => {
          turn.send("shop", { get: true });
          turn.reply(request, null);
        },
        receive: (from, message, turn) => {
          if ("get" in message) turn.send(from, { stock });
          else if (id === "shop") stock = message.stock;
          else {
            stock += 1;
            turn.send("shop", { stock: message.stock - 1 });
          }
        },
        capture: () => stock,
        restore: (state) => {
          stock = state;
        },
      };
    },
    requests: [
      { of: "ann", request: "buy" },
      { of: "bob", request: "buy" },
    ],
    eventually: { "nothing is sold twice": (view) => total(view) === 10 },
  });

const total = (view: View<unknown, number, null>): number =>
  sum(view.up.map((id) => view.state(id) ?? 0));

describe("what does not hold", () => {
  test("in the end: a lost update, with a shortest schedule that replays", () => {
    const { counterexample, complete } = explore(shop());
    expect(complete).toBe(false);
    expect(counterexample).toMatchObject({ kind: "eventually", property: "nothing is sold twice" });
    // Two requests, two reads, two answers and two writes: all there is.
    expect(counterexample?.schedule).toHaveLength(8);
    const states = [...replay(shop(), counterexample?.schedule ?? [])].map(({ view }) =>
      total(view),
    );
    expect(states.at(-1)).toBe(11);
  });

  test("always: the first state, or the fewest steps", () => {
    const never = { ...shop(), eventually: {}, always: { never: () => "not even now" } };
    expect(explore(never).counterexample).toEqual({
      kind: "always",
      property: "never",
      reason: "not even now",
      schedule: [],
    });
    const safety = {
      "nobody has bought": (view: View<unknown, number, null>) => view.state("bob") === 0,
    };
    const found = explore({ ...shop(), eventually: {}, safety }).counterexample;
    expect(found?.kind).toBe("safety");
    expect(found?.schedule.map(formatStep)).toEqual([
      "bob is asked",
      "shop receives from bob",
      "bob receives from shop",
    ]);
  });

  test("sometimes: a search in which it never happens is no success", () => {
    const sometimes = {
      "sold out": (view: View<unknown, number, null>) => view.state("shop") === 0,
    };
    expect(explore({ ...shop(), eventually: {}, sometimes }).counterexample).toEqual({
      kind: "sometimes",
      property: "sold out",
      schedule: [],
    });
  });

  test("liveness: the first state from which it is out of reach", () => {
    const liveness = {
      "two are sold": (view: View<unknown, number, null>) => view.state("shop") === 8,
    };
    const found = explore({ ...shop(), eventually: {}, liveness }).counterexample;
    expect(found).toMatchObject({ kind: "liveness", property: "two are sold" });
    const steps = found?.schedule.length ?? 0;
    expect(steps).toBeGreaterThan(2);
    expect(steps).toBeLessThan(8);
    const kept = {
      "all is in the shop": (view: View<unknown, number, null>) => view.up.length === 3,
    };
    expect(explore({ ...shop(), eventually: {}, liveness: kept }).complete).toBe(true);
  });

  test("an application that throws, and one whose snapshot cannot be taken", () => {
    const application = () => ({
      start: (turn: Turn<number, null>) => turn.setTimer("bang", 0),
      timer: () => {
        throw new Error("bang");
      },
      capture: () => 0,
      restore: () => {},
    });
    const found = explore({ processes: ["a", "b"], application }).counterexample;
    expect(found).toMatchObject({ kind: "problem" });
    expect(found?.property).toMatch(/bang/);
    expect(found?.schedule.map(formatStep)).toEqual(["a timer bang"]);
    const oneWay = {
      ...accounts(2, 0, ["p2"]),
      channels: [{ from: "p1", to: "p2" }],
      sometimes: {},
    };
    expect(explore(oneWay).counterexample?.property).toMatch(/no path of channels/);
  });

  test("eventually, in a world that goes round for ever", () => {
    // A light that two timers switch, on and off.
    const light = (count: number): World<never, number> =>
      defineWorld<never, number>({
        processes: ["a"],
        application: () => {
          let on = 0;
          return {
            start: (turn) => turn.setTimer("switch", 1),
            timer: (_name, turn) => {
              on = (on + 1) % count;
              turn.setTimer("switch", 1);
            },
            capture: () => on,
            restore: (state) => {
              on = state;
            },
          };
        },
        eventually: { "stays on": (view) => view.state("a") === 1 },
      });
    const { counterexample, states } = explore(light(2));
    expect(states).toBe(2);
    expect(counterexample).toMatchObject({ kind: "eventually", schedule: [] });
    expect(counterexample?.reason).toMatch(/again and again/);
    expect(explore(light(2)).ends).toBe(0);
  });
});

/** Two processes; a sends to b in the beginning. */
function sending<M>(
  application: Partial<Application<M, unknown, unknown, unknown>>,
  message?: M,
): World<M, unknown, unknown, unknown> {
  return defineWorld({
    processes: ["a", "b"],
    application: (id) => ({
      start: (turn) => void (id === "a" && message !== undefined && turn.send("b", message)),
      capture: () => 0,
      restore: () => {},
      ...application,
    }),
  });
}

const noop = (): void => {};

describe("mistakes of users", () => {
  const broken = (world: World<never, unknown, unknown, unknown>, text: RegExp | string) => {
    const { counterexample } = explore(world);
    expect(counterexample?.property).toMatch(text);
    expect(counterexample?.kind).toBe("problem");
    const last = [...replay(world, counterexample?.schedule ?? [])].at(-1);
    expect(last?.wrong).toBe(counterexample?.property);
    const lines = counterexample?.schedule.map(formatStep).join("\n") ?? "";
    expect(parseSchedule(lines)).toEqual(counterexample?.schedule);
  };
  const codec = (encode: (value: unknown) => Uint8Array, decode: (bytes: Uint8Array) => unknown) =>
    ({ name: "mine", encode, decode }) as Codec<unknown>;
  const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(String(value));
  const fail = (): never => {
    throw new Error("boom");
  };

  test("an application without what it is asked for", () => {
    broken(sending({}, 1) as never, "the application of b has no receive");
    const asked = { ...sending({}), requests: [{ of: "a", request: 1 }] };
    broken(asked as never, "the application of a has no request");
  });

  test("async methods", () => {
    const requests = [{ of: "a", request: 1 }];
    const later = async (): Promise<never> => fail();
    broken(sending({ receive: later }, 1) as never, "the application's receive is async; its");
    broken({ ...sending({ request: later }), requests } as never, "request is async");
    broken(sending({ start: later }) as never, "start is async");
    broken(sending({ capture: later }) as never, "capture is async");
  });

  test("codecs that throw", () => {
    const received = { receive: noop };
    const world = sending(received, 1);
    broken({ ...world, messageCodec: codec(fail, fail) } as never, /mine cannot encode it: boom/);
    broken({ ...world, messageCodec: codec(bytes, fail) } as never, /mine cannot decode it: boom/);
    const cannot = "what a captured cannot be encoded and decoded: boom";
    broken({ ...world, stateCodec: codec(fail, fail) } as never, cannot);
    broken({ ...world, stateCodec: codec(bytes, fail) } as never, cannot);
    broken(sending({ capture: fail }) as never, cannot);
  });

  test("no application", () => {
    const given = (application: () => unknown) => () =>
      explore({ processes: ["a"], application } as World<never>);
    expect(given(fail)).toThrow(/^application\("a"\) threw: boom$/);
    expect(given(() => undefined)).toThrow(
      /^application\("a"\) gave undefined, and no application$/,
    );
    expect(given(() => ({ restore: noop }))).toThrow("the application of a has no capture");
    expect(given(async () => fail())).toThrow(/^application\("a"\) is async/);
  });

  test("messages that JSON does not know are shown", () => {
    const big = codec(bytes, (one) => [BigInt(new TextDecoder().decode(one)), undefined]);
    const world = { ...sending({ receive: noop }, 5n), messageCodec: big };
    const [, step] = replay(world as never, parseSchedule("b receives from a"));
    expect(step?.text).toBe('b receives from a: ["5n",null]');
  });

  test("sending without end", { timeout: 60_000 }, () => {
    const start = (turn: Turn<unknown, unknown>): void => {
      for (;;) turn.send(turn.peers, "x".repeat(100_000));
    };
    broken(sending({ start }) as never, /bytes wait on the channel to b, .*; its limit is/);
  });

  test.each(["always", "safety", "sometimes", "eventually", "liveness"] as const)(
    "a property of %s that throws, or is async, does not hold",
    (kind) => {
      const world = sending({ receive: noop }, 1);
      const found = (holds: unknown) =>
        explore({ ...world, [kind]: { p: holds } } as World<number>).counterexample;
      const throwing = (view: View<never, never, never>): boolean => {
        if (view.allInFlight().length === 0) fail();
        return kind === "always" || kind === "safety";
      };
      expect(found(throwing)).toEqual({
        kind,
        property: "p",
        reason: "it threw: boom",
        schedule: [{ type: "receive", process: "b", from: "a" }],
      });
      expect(found(async () => fail())).toEqual({
        kind,
        property: "p",
        reason: "it is async; properties must be synchronous",
        schedule: [],
      });
    },
  );

  test("processes that are none", () => {
    const looking = (look: (view: View<number, unknown, unknown>) => unknown) =>
      explore({
        ...sending({ receive: noop }, 1),
        always: { p: (view) => look(view) !== 0 || true },
      }).counterexample?.reason;
    expect(looking((view) => view.inFlight("a", "a"))).toBeUndefined();
    const none = "it threw: there is no c in this world";
    expect(looking((view) => view.state("c"))).toBe(none);
    expect(looking((view) => view.inFlight("c", "a"))).toBe(none);
    expect(looking((view) => view.inFlight("a", "c"))).toBe(none);
  });

  test.each([
    [{ order: "breath" }, /^order must be "breadth" or "depth", not "breath"$/],
    [
      { maxStates: Number.NaN },
      /^maxStates must be a whole number from 1 on, or Infinity, not NaN$/,
    ],
    [{ maxDepth: -1 }, /^maxDepth must be a whole number/],
    [{ maxBytes: 1.5 }, /^maxBytes must be a whole number/],
    [{ maxDepths: 1 }, /^there is no option maxDepths; there are order, maxDepth, /],
  ])("options: %o", (options, message) => {
    expect(() => explore(sending({}), options as ExploreOptions)).toThrow(message);
  });

  test("a claim that is no list of groups", () => {
    for (const interchangeable of [["a", "b"], "a"])
      expect(() => explore({ ...sending({}), interchangeable } as never)).toThrow(
        /^interchangeable is a list of groups, which are lists: \[\["p1", "p2"\]\]$/,
      );
  });
});

describe("bounds", () => {
  test("of states: just so many, and if there are no more all is well", () => {
    const world = accounts(2, 1, ["p1"]);
    for (const maxStates of [1, 2, 119])
      expect(explore(world, { maxStates })).toMatchObject({ bound: "states", states: maxStates });
    expect(explore(world, { maxStates: 120 })).toMatchObject({ complete: true, states: 120 });
  });

  test("of memory: states of single processes, messages and queues count, also beyond a bound of depth", () => {
    const counting = (grown: (count: number) => unknown, twice: boolean) => () => {
      let count = 0;
      return {
        start: (turn: Turn<string>) => turn.setTimer("more", 1),
        timer: (_: string, turn: Turn<string>) => {
          count += 1;
          turn.setTimer("more", 1);
          if (twice) turn.send(turn.peers, "");
        },
        receive: noop,
        capture: () => grown(count),
        restore: noop,
      };
    };
    const large = (count: number) => "x".repeat(200_000) + count;
    const one = { processes: ["a"], application: counting(large, false) } as World<string>;
    const found = explore(one, { maxBytes: 2 ** 20, maxDepth: 1_000 });
    expect(found).toMatchObject({ bound: "memory" });
    expect(found.states).toBeLessThan(10);
    const both = { processes: ["a", "b"], application: counting(() => 0, true) } as World<string>;
    const sent = explore(both, { maxBytes: 2 ** 20, order: "depth" });
    expect(sent).toMatchObject({ bound: "memory" });
    expect(sent.states).toBeLessThan(2_000);
  });

  test.each([
    ["states", { maxStates: 100 }],
    ["depth", { maxDepth: 3 }],
    ["memory", { maxBytes: 100_000 }],
  ] as const)("of %s end the search, which is then not complete", (bound, options) => {
    const found = explore(accounts(3, 2, ["p1"]), options);
    expect(found).toMatchObject({ bound, complete: false });
    expect(found.counterexample).toBeUndefined();
    expect(found.states).toBeLessThan(5_000);
  });

  test("progress is told", () => {
    const told: number[] = [];
    explore(accounts(3, 2, ["p1"]), {
      maxStates: 120_000,
      progress: ({ states }) => told.push(states),
    });
    expect(told.length).toBeGreaterThanOrEqual(2);
  });
});

describe("a schedule as text", () => {
  const steps: ScheduleStep[] = [
    { type: "request", process: "p1" },
    { type: "receive", process: "p2", from: "p1" },
    { type: "snapshot", process: "p2" },
    { type: "timer", process: "p1", name: "a long name" },
    ...["", " ", "two  spaces", " x", "l1\nl2", "x\ty", '"quoted"', 'a "b"', "my: x "].map(
      (name) => ({ type: "timer", process: "p1", name }) as const,
    ),
    ...["\u001b[31m", "\u007f", "\u00a0", "\u2028", "\u{e0001}"].map(
      (name) => ({ type: "timer", process: "p1", name }) as const,
    ),
  ];

  test("comes back", () => {
    const text = `# why\n\n${steps.map(formatStep).join("\r\n")}\n`;
    expect(parseSchedule(text)).toEqual(steps);
    expect(text.replaceAll("\r\n", "")).not.toMatch(/\t|\p{C}(?<!\n)|\u00a0|\u2028/u);
    expect(parseSchedule('  p2 receives from p1: {"a":"b: c"}')).toEqual([steps[1]]);
  });

  test.each([
    "p1",
    "p1 receives",
    "p1 receives from",
    "p1 receives from p2 p3",
    "p1 is",
    "p1 snapshots now",
    "p1 timer",
    'p1 timer "a',
  ])("a line that is no step is named: %s", (line) => {
    expect(() => parseSchedule(`p1 is asked\n${line}`)).toThrow(/line 2, /);
  });

  test("a step that is not possible is named", () => {
    const impossible = parseSchedule("p1 is asked\np1 receives from p2");
    expect(() => [...replay(accounts(2, 1, []), impossible)]).toThrow(
      /step 2 .*p1 receives from p2/,
    );
  });

  test("unknown processes are errors", () => {
    expect(() => explore(accounts(2, 1, ["p9"]))).toThrow(/p9/);
    const world = { ...accounts(2, 1, []), requests: [{ of: "p9", request: "give" as const }] };
    expect(() => explore(world)).toThrow(/p9/);
  });
});

describe("what states are told apart by", () => {
  test("by everything in them, not only by what JSON has", () => {
    // b or c is heard first by a, which is then NaN or Infinity.
    const found = explore({
      processes: ["a", "b", "c"],
      stateCodec: {
        name: "text",
        encode: (value) => new TextEncoder().encode(String(value)),
        decode: (bytes) => Number(new TextDecoder().decode(bytes)),
      },
      application: (id) => {
        let first = 0;
        return {
          start: (turn: Turn<string>) => void (id === "a" || turn.send("a", id)),
          receive: (from: string) => {
            if (first === 0) first = from === "b" ? Number.NaN : Number.POSITIVE_INFINITY;
          },
          capture: () => first,
          restore: () => {},
        };
      },
      always: {
        "b was first": (view) =>
          view.allInFlight().length > 0 || view.state("a") !== Number.POSITIVE_INFINITY,
      },
    } as World<string, number>);
    expect(found.counterexample?.schedule).toHaveLength(2);
  });

  test("an application that changes its request is given an own copy each time", () => {
    const request = { count: 0, left: undefined };
    const found = explore({
      processes: ["a", "b"],
      application: () => {
        let count = 0;
        return {
          request: (id: number, asked: typeof request, turn: Turn<never, number>) => {
            asked.count += "left" in asked ? 1 : 10;
            count = asked.count;
            turn.reply(id, count);
          },
          capture: () => count,
          restore: () => {},
        };
      },
      requests: [
        { of: "a", request },
        { of: "b", request },
      ],
      always: { "one at the most": (view) => view.up.every((id) => (view.state(id) ?? 0) <= 1) },
    } as World<never, number, typeof request, number>);
    expect(found).toMatchObject({ complete: true, states: 4 });
    expect(request.count).toBe(0);
  });

  test("large messages and states", () => {
    const large = "x".repeat(300_000);
    const found = explore({
      processes: ["a", "b"],
      application: (id) => {
        let got = "";
        return {
          start: (turn: Turn<string>) => void (id === "a" && turn.send("b", large)),
          receive: (_from: string, message: string) => {
            got = message;
          },
          capture: () => got,
          restore: () => {},
        };
      },
      snapshots: ["b"],
      eventually: { "all of it is there": (view) => view.state("b") === large },
    } as World<string, string>);
    expect(found.complete).toBe(true);
  });
});

test("frozen states are compared by their slices", () => {
  const frozen = (world: Money): World<number, unknown, "give", null> => ({
    ...(world as unknown as World<number, unknown, "give", null>),
    application: (id) => {
      const inner = world.application(id);
      return {
        ...inner,
        capture: () => {
          const slices = [inner.capture(), "end"];
          return new FrozenState(() => slices.shift());
        },
        restore: () => {},
      };
    },
    always: {},
  });
  const found = explore(frozen(accounts(2, 1, ["p1"])));
  expect(found).toMatchObject({ states: 120, complete: true });
});

test("a table of states knows each row once, while it grows", () => {
  const table = new StateTable(3);
  const row = new Int32Array(3);
  const numbers = new Map<string, number>();
  for (let i = 0; i < 50_000; i += 1) {
    row.set([i % 101, i % 53, i % 7]);
    const key = row.join();
    const known = numbers.get(key);
    const number = table.add(row, numbers.size === 0 ? -1 : 0);
    if (known === undefined) numbers.set(key, number);
    else expect(-number - 1).toBe(known);
  }
  expect(table.size).toBe(numbers.size);
  for (const [key, number] of numbers) {
    table.read(number, row);
    expect(row.join()).toBe(key);
  }
});
