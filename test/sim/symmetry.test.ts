// Interchangeable processes: one state of each orbit is explored, the verdicts are those of the whole search, and a claim that is
// false is refused.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import shop from "../../examples/lost-update.ts";
import type { ProcessId } from "../../src/core/id.ts";
import type { Application, Turn } from "../../src/process/application.ts";
import { explore, formatStep, replay, type View, type World } from "../../src/sim.ts";
import { cases } from "../support/soak.ts";

type Any<State = unknown> = World<number, State, "go", null>;

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

/** The same world, of which nothing is claimed. */
const whole = <W extends object>(world: W): W => ({ ...world, interchangeable: [] });

describe("Chandy-Lamport", () => {
  /** Accounts with 10 each; whoever is asked sends 1 to each other. */
  const bank = (
    count: number,
    requests: number,
    interchangeable: readonly (readonly ProcessId[])[],
  ): Any<number> => {
    const processes = ["p1", "p2", "p3", "p4"].slice(0, count);
    return {
      processes,
      interchangeable,
      application: () => {
        let money = 10;
        return {
          request: (id, _what, turn) => {
            money -= turn.peers.length;
            turn.send(turn.peers, 1);
            turn.reply(id, null);
          },
          receive: (_from, amount) => {
            money += amount;
          },
          capture: () => money,
          restore: () => {},
        };
      },
      requests: processes.slice(0, requests).map((of) => ({ of, request: "go" })),
      snapshots: ["p1"],
      always: {
        "snapshots add up": ({ snapshots }) =>
          snapshots.every(
            ({ states, inFlight }) =>
              sum(Object.values(states)) + sum(inFlight.flatMap(({ messages }) => messages)) ===
              10 * count,
          ),
      },
      sometimes: {
        "a message in flight is recorded": ({ snapshots }) =>
          snapshots.some(({ inFlight }) => inFlight.some(({ messages }) => messages.length > 0)),
      },
      eventually: { "the snapshot is complete": ({ snapshots }) => snapshots.length === 1 },
      liveness: { "nothing is under way": (view) => view.allInFlight().length === 0 },
    };
  };

  test.each([
    ["two of three accounts", bank(3, 3, [["p2", "p3"]]), 42_390, 21_358],
    ["three of four", bank(4, 1, [["p2", "p3", "p4"]]), 53_746, 9_358],
  ])("%s: the same holds, of fewer states", (_, world, states, orbits) => {
    const all = explore(whole(world));
    const some = explore(world);
    expect(all).toMatchObject({ complete: true, states });
    expect(some).toMatchObject({ complete: true, states: orbits, depth: all.depth });
    // Single processes come to be the same, and no other step was asked for.
    expect([some.localStates, some.steps]).toEqual([all.localStates, all.steps]);
  });

  test("what does not hold is found in as few steps", () => {
    const never = {
      "no snapshot has a message of each": ({ snapshots }: View<number, number, null>) =>
        snapshots.every(({ inFlight }) => inFlight.every(({ messages }) => messages.length === 0)),
    };
    const world = { ...bank(3, 3, [["p2", "p3"]]), always: never };
    const expected = explore(whole(world)).counterexample?.schedule.length;
    expect(expected).toBeGreaterThan(5);
    expect(broken(world)).toHaveLength(expected ?? 0);
  });
});

/** The schedule of a counterexample, as text; without the claim it leads to where the property does not hold. */
function broken<State>(world: Any<State>): string[] {
  const { counterexample } = explore(world);
  if (!counterexample) throw new Error("every property holds");
  const { kind, property, schedule } = counterexample;
  if (kind === "problem" || kind === "sometimes") return [];
  const last = [...replay(whole(world), schedule)].at(-1);
  expect(last && world[kind]?.[property]?.(last.view)).not.toBe(true);
  return schedule.map(formatStep);
}

test("a lost update, whoever loses it", () => {
  const claimed = { ...shop, interchangeable: [["ann", "bob"]] };
  const { states, counterexample } = explore(claimed);
  expect(explore(shop).states).toBe(31);
  expect(states).toBe(18);
  const { schedule = [] } = counterexample ?? {};
  expect(schedule).toHaveLength(8);
  const last = [...replay(shop, schedule)].at(-1)?.view;
  expect(sum(["ann", "bob", "shop"].map((id) => Number(last?.state(id))))).toBe(11);
});

test("depth first, as many", () => {
  const world = { ...shop, interchangeable: [["ann", "bob"]], eventually: {} };
  expect(explore(world, { order: "depth" })).toMatchObject({ complete: true, states: 18 });
});

test("what goes wrong is told of the process to which it does in that schedule", () => {
  const world: Any<number> = {
    processes: ["p1", "p2", "p3"],
    interchangeable: [["p1", "p2", "p3"]],
    application: (id) => {
      let asked = 0;
      return {
        request: () => {
          asked += 1;
          if (asked === 2) throw new Error(`too much for ${id}`);
        },
        capture: () => asked,
        restore: () => {},
      };
    },
    requests: ["p1", "p2", "p3", "p1", "p2", "p3"].map((of) => ({ of, request: "go" })),
  };
  const { kind, property, schedule = [] } = explore(world).counterexample ?? {};
  expect(kind).toBe("problem");
  expect(schedule).toHaveLength(2);
  expect(property).toContain(`too much for ${schedule.at(-1)?.process}`);
  expect([...replay(world, schedule)].at(-1)?.wrong).toBe(property);
});

test("an empty claim is none", () => {
  expect(explore({ ...shop, interchangeable: [] })).toEqual(explore(shop));
});

// Worlds of small machines drawn at random, which do not know who they are, and whose states can be seen whole.

/** To whom a machine sends what it has got, plus one, if that has come less far than `hops`. */
type Sends = "nobody" | "its sender" | "everybody" | "all but its sender";

interface Rule {
  readonly value: number;
  readonly sends: Sends;
  readonly timer: boolean;
}

interface Toy {
  readonly groups: readonly (readonly ProcessId[])[];
  readonly processes: readonly ProcessId[];
  readonly star: boolean;
  /** For those outside all groups, and for those of each group: by value, what becomes of a message. */
  readonly rules: readonly (readonly Rule[])[];
  /** Who, in the same way, sends from the start on, and who is asked to. */
  readonly starts: readonly boolean[];
  readonly asked: readonly boolean[];
  readonly hops: number;
  readonly wanted: number;
}

interface ToyState {
  value: number;
  asked: number;
  waits: boolean;
  /** What was sent to whom, and got from whom: a process remembers the channel hashes of that, too. */
  readonly sent: Record<ProcessId, string>;
  readonly got: Record<ProcessId, string>;
}

const GROUPINGS: readonly Pick<Toy, "processes" | "groups">[] = [
  { processes: ["p1", "p2", "p3"], groups: [["p2", "p3"]] },
  { processes: ["p1", "p2", "p3"], groups: [["p3", "p1", "p2"]] },
  { processes: ["p1", "p2", "p3", "p4"], groups: [["p2", "p3", "p4"]] },
  {
    processes: ["p1", "p2", "p3", "p4"],
    groups: [
      ["p4", "p1"],
      ["p2", "p3"],
    ],
  },
];

const rule: fc.Arbitrary<Rule> = fc.record({
  value: fc.integer({ min: 0, max: 2 }),
  sends: fc.constantFrom<Sends>("nobody", "its sender", "everybody", "all but its sender"),
  timer: fc.integer({ min: 0, max: 3 }).map((one) => one === 0),
});

const toy: fc.Arbitrary<Toy> = fc.constantFrom(...GROUPINGS).chain(({ processes, groups }) =>
  fc.record({
    processes: fc.constant(processes),
    groups: fc.constant(groups),
    star: groups.flat().includes("p1") ? fc.constant(false) : fc.boolean(),
    rules: fc.array(fc.array(rule, { minLength: 3, maxLength: 3 }), { minLength: 3, maxLength: 3 }),
    starts: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
    asked: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
    hops: fc.integer({ min: 1, max: 2 }),
    wanted: fc.integer({ min: 0, max: 8 }),
  }),
);

function worldOf({ processes, groups, star, rules, starts, asked, hops }: Toy): Any<ToyState> {
  const role = (id: ProcessId): number => groups.findIndex((group) => group.includes(id)) + 1;
  return {
    processes,
    interchangeable: groups,
    channels: star
      ? processes.slice(1).flatMap((id) => [
          { from: "p1", to: id },
          { from: id, to: "p1" },
        ])
      : "mesh",
    application: (id) => {
      const none = () => Object.fromEntries(processes.map((one) => [one, ""]));
      const state: ToyState = { value: 0, asked: 0, waits: false, sent: none(), got: none() };
      const go = (sender: ProcessId | undefined, hop: number, turn: Turn<number, null>): void => {
        const { value, sends, timer } = (rules[role(id)] as Rule[])[state.value] as Rule;
        const to = turn.peers.filter(
          (peer) =>
            hop < hops &&
            (sends === "everybody" ||
              (sends === "its sender" && peer === sender) ||
              (sends === "all but its sender" && peer !== sender)),
        );
        for (const peer of to) state.sent[peer] += String(hop + 1);
        turn.send(to, hop + 1);
        if (timer && hop < hops) {
          state.waits = true;
          turn.setTimer("go", 1);
        }
        state.value = value;
      };
      return {
        start: (turn) => {
          if (starts[role(id)]) go(undefined, 0, turn);
        },
        request: (_id, _what, turn) => {
          state.asked += 1;
          go(undefined, 0, turn);
        },
        receive: (from, hop, turn) => {
          state.got[from] += String(hop);
          go(from, hop, turn);
        },
        timer: (_name, turn) => {
          state.waits = false;
          go(undefined, hops, turn);
        },
        capture: () => state,
        restore: () => {},
      };
    },
    requests: processes.flatMap((of) => (asked[role(of)] ? [{ of, request: "go" }] : [])),
  };
}

/** All that can be seen, with processes called what `name` calls them, in the order of those names. */
function seen(
  view: View<number, ToyState, null>,
  ids: readonly ProcessId[],
  name: (id: ProcessId) => ProcessId,
): string {
  const each = (of: Record<ProcessId, string>): unknown =>
    Object.entries(of)
      .map(([id, what]) => `${name(id)} ${what}`)
      .sort();
  const parts = ids.flatMap((id) => {
    const { value, asked, waits, sent, got } = view.state(id) as ToyState;
    const flying = ids.map((to) => [name(id), name(to), view.inFlight(id, to)]);
    return [[name(id), value, asked, waits, each(sent), each(got)], ...flying];
  });
  return parts
    .map((part) => JSON.stringify(part))
    .sort()
    .join();
}

/** States and orbits, counted one by one and with nothing of the search's but the states. */
function count(world: Any<ToyState>): { readonly states: number; readonly orbits: number } {
  const { processes, interchangeable = [] } = world;
  let names: ReadonlyMap<ProcessId, ProcessId>[] = [new Map()];
  for (const group of interchangeable)
    names = names.flatMap((known) =>
      orders(group).map((order) => new Map([...known, ...group.map(pairedWith(order))])),
    );
  const states = new Set<string>();
  const orbits = new Set<string>();
  const look = (view: View<number, ToyState, null>): boolean => {
    states.add(seen(view, processes, (id) => id));
    const all = names.map((map) => seen(view, processes, (id) => map.get(id) ?? id));
    orbits.add(all.sort()[0] as string);
    return true;
  };
  explore({ ...whole(world), always: { look } });
  return { states: states.size, orbits: orbits.size };
}

const pairedWith =
  <T>(others: readonly T[]) =>
  (one: T, i: number): [T, T] => [one, others[i] as T];

function orders<T>(list: readonly T[]): T[][] {
  if (list.length === 0) return [[]];
  return list.flatMap((first, i) => orders(list.toSpliced(i, 1)).map((rest) => [first, ...rest]));
}

test("drawn worlds: each orbit once, and the verdicts of the whole search", {
  timeout: 600_000,
}, () => {
  const met = { worlds: 0, states: 0, orbits: 0, otherWays: 0 };
  const verdicts: Record<string, number> = {};
  fc.assert(
    fc.property(toy, (drawn) => {
      const world = worldOf(drawn);
      const all = explore(whole(world), { maxStates: 5_000 });
      fc.pre(all.complete && all.states > 1);
      const counted = count(world);
      expect(counted.states).toBe(all.states);
      expect(explore(world).states).toBe(counted.orbits);
      met.worlds += 1;
      met.states += counted.states;
      met.orbits += counted.orbits;
      const { processes, wanted } = drawn;
      const total = (view: View<number, ToyState, null>): number =>
        sum(processes.map((id) => view.state(id)?.value ?? 0));
      for (const [kind, holds] of [
        ["always", (view) => total(view) !== wanted || `it is ${wanted}`],
        ["sometimes", (view) => total(view) === wanted],
        ["eventually", (view) => total(view) % 2 === wanted % 2],
        ["liveness", (view) => total(view) === wanted],
      ] as const satisfies [string, (view: View<number, ToyState, null>) => boolean | string][]) {
        const judged = { ...world, [kind]: { it: holds } };
        const expected = explore(whole(judged)).counterexample;
        const found = explore(judged).counterexample;
        const { schedule = [], ...verdict } = found ?? {};
        const { schedule: shortest = [], ...right } = expected ?? {};
        expect(verdict).toEqual(right);
        expect(schedule).toHaveLength(shortest.length);
        if (found) broken(judged);
        if (schedule.map(formatStep).join() !== shortest.map(formatStep).join()) met.otherWays += 1;
        const key = `${kind}: ${found ? "broken" : "holds"}`;
        verdicts[key] = (verdicts[key] ?? 0) + 1;
      }
    }),
    { numRuns: cases("symmetry", 40, 1_000), seed: 1 },
  );
  // Nothing of this was so because there was nothing to it.
  expect(met.orbits).toBeLessThan(met.states * 0.6);
  expect(met.otherWays).toBeGreaterThan(0);
  expect(Object.values(verdicts).filter((times) => times > 0)).toHaveLength(8);
});

describe("a claim that is false is refused, and the step named", () => {
  type Act = Application<string, string, "go", null>;

  /** p2 and p3, asked twice each, say their name to p1, which is as `changed` has it; and so is who is called that. */
  const told = (changed: (id: ProcessId) => Partial<Act>): World<string, string, "go", null> => ({
    processes: ["p1", "p2", "p3"],
    interchangeable: [["p2", "p3"]],
    application: (id) => ({
      request: (_id, _what, turn) => void turn.send("p1", id),
      receive: () => {},
      capture: () => "",
      restore: () => {},
      ...changed(id),
    }),
    requests: ["p2", "p3", "p2", "p3"].map((of) => ({ of, request: "go" })),
  });

  /** At p1, which keeps what `next` makes of what it has kept and heard, and may tell the others. */
  const kept =
    (next: (kept: string, name: string) => string, tells: boolean) =>
    (id: ProcessId): Partial<Act> => {
      let state = "";
      return id !== "p1"
        ? {}
        : {
            receive: (from, _name, turn) => {
              state = next(state, from);
              if (tells) turn.send(turn.peers, state);
            },
            capture: () => state,
          };
    };

  const at = (wanted: ProcessId, act: Partial<Act>) => (id: ProcessId) =>
    id === wanted ? act : {};

  test("one that is true is not", () => {
    const all = explore(whole(told(() => ({}))));
    const some = explore(told(() => ({})));
    expect(some).toMatchObject({ complete: true });
    expect(some.states).toBeLessThan(all.states * 0.6);
    expect(explore(told(kept((before, name) => `${before} ${name}`, true)))).toMatchObject({
      complete: true,
    });
  });

  const asked =
    /^p2 and p3 are not interchangeable: "p[23] is asked" and "p[32] is asked" differ in /;
  test.each<[string, (id: ProcessId) => Partial<Act>, RegExp, RegExp]>([
    [
      "an application that throws at one of them",
      at("p3", {
        request: () => {
          throw new Error("not here");
        },
      }),
      asked,
      /what goes wrong; they may depend neither on their names/,
    ],
    [
      "a timer",
      at("p2", { request: (_id, _what, turn) => void turn.setTimer("late", 1) }),
      asked,
      /the timers/,
    ],
    [
      "nothing sent",
      at("p3", { request: () => {} }),
      asked,
      /how much they send: [01] to p1, [10] to p1/,
    ],
    [
      "sent to others",
      at("p3", { request: (_id, _what, turn) => void turn.send("p2", "p3") }),
      asked,
      /how much they send/,
    ],
    [
      "a third that answers one of them",
      at("p1", {
        receive: (from, _name, turn) => void (from === "p2" && turn.send(from, "well")),
      }),
      /"p1 receives from p[23]" and "p1 receives from p[32]"/,
      /how much they send/,
    ],
    [
      "a third that tells the least name, and so one message stands for two",
      kept((before, name) => (before !== "" && before < name ? before : name), true),
      /"p1 receives from p[23]" and "p1 receives from p[32]"/,
      /what they send: "p[23]" went with "p[23]" before, now with "p[23]"/,
    ],
    [
      "a third that comes to one state where it should to two",
      kept((before, name) => {
        if (before === "") return name;
        if (before.length === 2) return before === name ? `${name} twice` : "both";
        return before === "p3 twice" && name === "p2" ? "p3 has it" : "over";
      }, false),
      /"p1 receives from p[23]" and "p1 receives from p[32]"/,
      /where they lead/,
    ],
    [
      "a message from the beginning on",
      at("p3", { start: (turn) => void turn.send("p1", "hello") }),
      /: p2 and p3, in the beginning, differ in/,
      /how much they send/,
    ],
  ])("%s", (_, changed, step, what) => {
    expect(() => explore(told(changed))).toThrow(step);
    expect(() => explore(told(changed))).toThrow(what);
    expect(() => explore(told(changed))).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
    expect(() => explore(whole(told(changed)))).not.toThrow();
  });

  const groups = (...interchangeable: ProcessId[][]) => ({ ...told(() => ({})), interchangeable });
  const many = ["a", "b", "c", "d", "e", "f"];
  const mesh = { processes: many, channels: "mesh", requests: [] } as const;
  test.each<[string, World<string, string, "go", null>, string, RegExp]>([
    ["a group of one", groups(["p2"]), "BAD_OPTION", /two or more, not \[p2\]/],
    ["a group of none", groups([]), "BAD_OPTION", /two or more, not \[\]/],
    ["one process twice", groups(["p2", "p2"]), "BAD_OPTION", /names p2 twice/],
    ["groups that overlap", groups(["p2", "p3"], ["p1", "p3"]), "BAD_OPTION", /names p3 twice/],
    ["an unknown process", groups(["p2", "p9"]), "UNKNOWN_PROCESS", /p9 is not a process/],
    ["different requests", groups(["p1", "p2"]), "BAD_OPTION", /p1 and p2 .* requests/],
    [
      "a different number of snapshots",
      { ...groups(["p2", "p3"]), snapshots: ["p2"] },
      "BAD_OPTION",
      /p2 and p3 .* snapshots/,
    ],
    [
      "other channels",
      {
        ...groups(["p2", "p3"]),
        channels: [
          { from: "p2", to: "p1" },
          { from: "p3", to: "p1" },
          { from: "p1", to: "p2" },
        ],
      },
      "BAD_OPTION",
      /p2 and p3 are not interchangeable: there is a channel p1 → p2 and none p1 → p3/,
    ],
    ["too many at once", { ...groups(many), ...mesh }, "BAD_OPTION", /720 .* more than 120/],
    [
      "too many together",
      {
        ...groups(["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"]),
        ...mesh,
        processes: [..."abcdefghi"],
      },
      "BAD_OPTION",
      /216 .* more than 120/,
    ],
  ])("%s", (_, world, code, message) => {
    expect(() => explore(world)).toThrow(message);
    expect(() => explore(world)).toThrow(expect.objectContaining({ code }));
    expect(() => explore(whole(world))).not.toThrow();
  });

  const heard = kept((before, name) => `${before}${name}`, false);
  test.each(["always", "safety", "sometimes", "eventually", "liveness"] as const)(
    "%s, of a property that tells them apart",
    (kind) => {
      type Seen = View<string, string, null>;
      const judged = (holds: (view: Seen) => boolean) => ({
        ...told(heard),
        [kind]: { "first or not": holds },
      });
      const safe = kind === "always" || kind === "safety";
      const first = (id: string) => (view: Seen) => view.state("p1")?.startsWith(id) !== safe;
      expect(() => explore(judged(first("p3")))).toThrow(/"first or not" tells .* apart/);
      expect(() => explore(judged(first("p3")))).toThrow(
        expect.objectContaining({ code: "BAD_OPTION" }),
      );
      expect(() => explore(judged(first("p")))).not.toThrow();
      expect(() => explore(whole(judged(first("p3"))))).not.toThrow();
    },
  );

  test("a property that is broken in one state of an orbit of six alone", () => {
    const three = ["p1", "p2", "p3"];
    const world: World<never, number, "go", null> = {
      processes: three,
      interchangeable: [three],
      application: () => {
        let asked = 0;
        return {
          request: () => {
            asked += 1;
          },
          capture: () => asked,
          restore: () => {},
        };
      },
      requests: [...three, ...three].map((of) => ({ of, request: "go" })),
    };
    const counts = (view: View<never, number, null>): string =>
      three.map((id) => view.state(id)).join("");
    expect(explore(world).states).toBe(10);
    for (const order of orders([0, 1, 2]))
      expect(() =>
        explore({ ...world, always: { one: (view) => counts(view) !== order.join("") } }),
      ).toThrow(/"one" tells/);
  });
});
