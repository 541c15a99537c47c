// Applications with groups: what they may do, what is refused, and what others see of their states and messages.
import { describe, expect, test } from "vitest";
import { TidemarkError } from "../../src/core/error.ts";
import { Random } from "../../src/core/random.ts";
import { jsonCodec, MemoryNetwork, memoryStore, startProcess } from "../../src/index.ts";
import { FrozenState, type Turn } from "../../src/process/application.ts";
import {
  type GroupApplication,
  Grouped,
  type GroupedOptions,
  type GroupTurn,
  groupedCodecs,
} from "../../src/process/grouped.ts";
import { GlobalSnapshot } from "../../src/runtime/global-snapshot.ts";
import { defineWorld, Simulation } from "../../src/sim.ts";
import { checkHistory, History } from "../../src/trace.ts";

type Ask = (turn: GroupTurn<string, unknown>) => unknown;

/** Does in a turn what it is asked to, and replies with what came of it. */
class Doing implements GroupApplication<string, string[], Ask, unknown> {
  lines: string[] = [];

  receive(from: string, message: string): void {
    this.lines.push(`${from} to me: ${message}`);
  }

  request(id: number, ask: Ask, turn: GroupTurn<string, unknown>): void {
    let reply: unknown;
    try {
      reply = ask(turn);
    } catch (error) {
      reply = String((error as Error).message);
    }
    turn.reply(id, reply);
  }

  deliver(
    group: string,
    { from, message, order }: { from: string; message: string; order: string },
  ): void {
    this.lines.push(`${from} to ${group}, ${order}: ${message}`);
  }

  peer(id: string, change: string): void {
    this.lines.push(`${id} is ${change}`);
  }

  groupWritable(group: string): void {
    this.lines.push(`room in ${group}`);
  }

  capture(): string[] | FrozenState {
    const slices = [...this.lines];
    return this.lines.length > 2 ? new FrozenState(() => slices.shift()) : this.lines;
  }

  restore(lines: string[]): void {
    this.lines = [...lines];
  }
}

const IDS = ["a", "b", "c"];
const GROUPS = { all: { members: IDS }, few: { members: ["b", "a"], total: "agreed" } } as const;
const codecs = { messageCodec: jsonCodec<string>(), stateCodec: jsonCodec<unknown>() };

const grouped = (
  self: string,
  more: Partial<GroupedOptions<string, string[], Ask, unknown>> = {},
) => {
  const { messageCodec } = codecs;
  const application = new Doing();
  const options = { self, application, groups: GROUPS, messageCodec, ...more };
  return { application, grouped: new Grouped<string, string[], Ask, unknown>(options) };
};

/** Three of them, simulated; a request is a function. */
function start(more: Partial<GroupedOptions<string, string[], Ask, unknown>> = {}) {
  const applications = new Map<string, Doing>();
  const world = defineWorld({
    processes: IDS,
    application: (self) => {
      const one = grouped(self, more);
      applications.set(self, one.application);
      return one.grouped;
    },
    ...groupedCodecs<string, string[]>(codecs),
  });
  const simulation = new Simulation(world, { seed: 1 });
  simulation.runFor(100);
  let asked = 0;
  const ask = (of: string, act: Ask): unknown => {
    const index = asked++;
    simulation.request(of, act, index);
    simulation.runFor(100);
    return simulation.view.replies[index];
  };
  const lines = (id: string) => applications.get(id)?.lines;
  return { simulation, ask, lines };
}

test("what is told of its events is a history that can be checked", () => {
  const history = new History();
  for (const [name, { members }] of Object.entries(GROUPS))
    history.add({ type: "group", group: name, members });
  const { ask } = start({ onEvent: (event) => history.add(event) });
  for (let i = 0; i < 5; i += 1)
    for (const of of IDS)
      ask(of, (turn) => {
        for (const order of ["causal", "causal", "total", "fifo"] as const)
          if (i % 4 === 3) turn.send("b", `${of} ${i}`, { group: "all", order });
          else turn.multicast("all", `${of} ${i}`, { order });
        return null;
      });
  const verdicts = checkHistory(history);
  expect(verdicts.map(({ promise, holds }) => [promise, holds])).toEqual(
    ["validity", "agreement", "integrity", "FIFO order", "causal order", "total order"].map(
      (promise) => [promise, true],
    ),
  );
  expect(history.counts).toMatchObject({ messages: 60 });
  expect(history.addressed).toBe(true);
});

describe("an application in groups", () => {
  test("multicasts to its groups, and sends beside", () => {
    const { ask, lines } = start();
    expect(ask("a", (turn) => turn.multicast("all", "x"))).toBe(true);
    ask("b", (turn) => turn.multicast("few", "y", { order: "causal-total" }));
    ask("c", (turn) => turn.send(turn.peers, "z"));
    expect(lines("a")).toEqual(["a to all, fifo: x", "b to few, causal-total: y", "c to me: z"]);
    expect(lines("b")).toEqual(lines("a"));
    expect(lines("c")).toEqual(["a to all, fifo: x"]);
  });

  test("sends to one member, or some, in order with what is multicast", () => {
    const { ask, lines } = start();
    ask("a", (turn) => turn.multicast("all", "1", { order: "causal" }));
    ask("a", (turn) => {
      turn.send("c", "2", { group: "all" });
      turn.multicast("all", "3", { order: "causal-total" });
      turn.send(["a", "b"], "4", { group: "all", order: "causal-total" });
      turn.send("b", "5", { group: "all", order: "fifo" });
      return turn.multicast("all", "6");
    });
    const [one, three, six] = [
      "a to all, causal: 1",
      "a to all, causal-total: 3",
      "a to all, fifo: 6",
    ];
    expect(lines("a")).toEqual([one, three, "a to me: 4", six]);
    expect(lines("b")).toEqual([one, three, "a to me: 4", "a to me: 5", six]);
    expect(lines("c")).toEqual([one, "a to me: 2", three, six]);
  });

  test.each<[string, Ask, RegExp]>([
    [
      "a member that there is not",
      (turn) => turn.send(["a", "d"], "x", { group: "all" }),
      /nothing was multicast to all: d is none of its members, a, b, c/,
    ],
    [
      "to one, a group of others",
      (turn) => turn.send("a", "x", { group: "few" }),
      /to few: c is in all/,
    ],
    [
      "to one, an order that there is not",
      (turn) => turn.send("a", "x", { group: "all", order: "best" as never }),
      /no order "best"/,
    ],
    [
      "a group that there is not",
      (turn) => turn.multicast("none", "x"),
      /nothing was multicast to none: c is in all/,
    ],
    ["a group of others", (turn) => turn.multicast("few", "x"), /to few: c is in all/],
    [
      "an order that there is not",
      (turn) => turn.multicast("all", "x", { order: "best" as never }),
      /no order "best": use reliable, fifo/,
    ],
    [
      "a message without JSON",
      (turn) => turn.multicast("all", undefined as never),
      /cannot be sent: json cannot encode it/,
    ],
    [
      "a large message",
      (turn) => turn.multicast("all", "x".repeat(9_000)),
      /9002 bytes: 8192 are the most/,
    ],
    [
      "a large message to one",
      (turn) => turn.send("a", "x".repeat(9_000)),
      /9002 bytes: 8192 are the most/,
    ],
  ])("%s is refused", (_name, act, reason) => {
    const { ask, lines } = start();
    expect(ask("c", act)).toMatch(reason);
    expect(IDS.map(lines)).toEqual([[], [], []]);
  });

  test("is told when to stop, and when there is room again", () => {
    const { ask, lines } = start({ windowBytes: 1_000, limitBytes: 3_000 });
    const replies = ask("a", (turn) => {
      const answers: unknown[] = [];
      try {
        for (let i = 0; i < 10; i += 1) answers.push(turn.multicast("all", "x".repeat(390)));
      } catch (error) {
        answers.push((error as Error).message);
      }
      return answers;
    }) as unknown[];
    expect(replies.slice(0, 4)).toEqual([true, true, false, false]);
    expect(replies.at(-1)).toMatch(/not with all members yet; the limit is 3000/);
    expect(lines("a")?.at(-1)).toBe("room in all");
    expect(lines("b")).toHaveLength(replies.length - 1);
  });

  test("goes on while a channel takes no more, and what was not sent comes when it does", () => {
    const full = new Set<string>();
    const ways: { readonly from: string; readonly to: string; readonly bytes: Uint8Array }[] = [];
    let nowMs = 0;
    const members = new Map(["a", "b"].map((id) => [id, grouped(id)]));
    const turnOf = (self: string): Turn<Uint8Array, unknown> => ({
      ...{
        self,
        nowMs,
        random: new Random(self),
        replays: false,
        peers: IDS.filter((id) => id !== self),
      },
      send: (to, bytes) => {
        for (const one of [to].flat()) {
          if (full.has(one)) throw new TidemarkError("CHANNEL_FULL", "no room");
          if (members.has(one)) ways.push({ from: self, to: one, bytes: bytes.slice() });
        }
        return true;
      },
      reply: () => {},
      setTimer: () => {},
    });
    const settle = (): void => {
      for (let rounds = 0; rounds < 50; rounds += 1) {
        nowMs += 100;
        for (let next = ways.shift(); next; next = ways.shift())
          members.get(next.to)?.grouped.receive(next.from, next.bytes, turnOf(next.to));
        for (const [id, one] of members) one.grouped.timer("\u0000groups", turnOf(id));
      }
    };
    for (const [id, one] of members) one.grouped.start(turnOf(id));
    settle();
    const a = members.get("a")?.grouped;
    full.add("b");
    for (const text of ["1", "2"])
      a?.request?.(0, (turn) => turn.multicast("all", text), turnOf("a"));
    settle();
    expect(members.get("b")?.application.lines).toEqual([]);
    full.delete("b");
    a?.writable("b", turnOf("a"));
    settle();
    expect(members.get("b")?.application.lines).toEqual(["a to all, fifo: 1", "a to all, fifo: 2"]);
  });

  test("is told of others: lost, back, and there without their state", () => {
    const { simulation, lines } = start();
    simulation.partition(["a"], ["b", "c"]);
    simulation.runFor(2_000);
    expect(lines("a")).toEqual(["b is lost", "c is lost"]);
    simulation.repair();
    simulation.runFor(1_000);
    expect(lines("a")?.slice(2).sort()).toEqual(["b is back", "c is back"]);
    simulation.crash("b");
    simulation.restart("b");
    simulation.runFor(1_000);
    expect(lines("a")?.slice(4)).toEqual(["b is restarted"]);
  });

  test("hears whom a group waits for, once, and when that is over", () => {
    const heard: string[] = [];
    const { simulation, ask, lines } = start({
      stalledAfterMs: 3_000,
      onStalled: ({ group, members, over, problem }) =>
        heard.push(`${group} ${members} ${over} ${problem.code} ${problem.message}`),
    });
    simulation.partition(["a"], ["b", "c"]);
    ask("c", (turn) => turn.multicast("all", "x", { order: "total" }));
    simulation.runFor(2_000);
    expect(heard).toEqual([]);
    simulation.runFor(60_000);
    const text =
      /^all a false GROUP_STALLED group all does not go on at [bc]: it waits for a. Packet 1 of c \(total, 1 message\) is held at [bc] for 3.0 s: it waits for the word of a, the sequencer; a is lost$/;
    expect(heard).toEqual([expect.stringMatching(text), expect.stringMatching(text)]);
    simulation.repair();
    simulation.runFor(5_000);
    expect(heard.slice(2)).toEqual(heard.slice(0, 2).map((one) => one.replace("false", "true")));
    expect(lines("b")?.at(-1)).toBe("c to all, total: x");
  });

  test("whoever comes back without its state is no member", () => {
    const { simulation, ask, lines } = start();
    simulation.crash("b");
    simulation.restart("b");
    simulation.runFor(1_000);
    ask("b", (turn) => turn.multicast("all", "from another life"));
    ask("a", (turn) => turn.multicast("all", "x"));
    expect(lines("c")?.filter((line) => line.includes("to all"))).toEqual(["a to all, fifo: x"]);
  });

  test.each<[string, object, RegExp]>([
    ["no members", { g: { members: [] } }, /group "g": it has 0 members/],
    ["a member twice", { g: { members: ["a", "a"] } }, /a member is named twice/],
    ["no name", { "": { members: ["a"] } }, /group "": a name/],
    ["none at all", { g: null }, /members must be a list/],
    ["another total order", { g: { members: ["a"], total: "best" } }, /total is "best"/],
  ])("%s is refused when it is made", (_name, groups, reason) => {
    expect(() => grouped("a", { groups: groups as never })).toThrow(reason);
  });

  test.each([
    [{ windowBytes: 0 }, /windowBytes must be a whole number from 1, not 0/],
    [{ maxMessageBytes: Number.NaN }, /maxMessageBytes must be a whole number/],
    [{ stalledAfterMs: 0 }, /stalledAfterMs must be a whole number/],
    [{ limitBytes: 10 }, /limitBytes is 10, less than windowBytes/],
  ])("%j is refused", (more, reason) => {
    expect(() => grouped("a", more)).toThrow(reason);
  });

  test("a member without a channel, or a state of other groups, is refused", () => {
    const one = grouped("a").grouped;
    expect(() =>
      one.start({ self: "a", peers: ["b"], random: new Random(1), nowMs: 0 } as never),
    ).toThrow(/group "all": there is no channel from a to c/);
    const state = one.capture();
    const groups = { ...GROUPS, all: { members: ["a", "b"] } };
    expect(() => grouped("a", { groups }).grouped.restore(state as never)).toThrow(
      /group "all": in the state it has the members a, b, c and total "sequencer"/,
    );
  });

  test("a state of which bytes are damaged is refused by name, wherever they are", () => {
    const { stateCodec } = groupedCodecs<string, string[]>(codecs);
    const one = grouped("a").grouped;
    one.start({
      self: "a",
      peers: IDS.slice(1),
      random: new Random(1),
      nowMs: 0,
      send() {},
      setTimer() {},
    } as never);
    const { groups } = one.capture() as { groups: Uint8Array };
    const random = new Random("damaged");
    const of = (bytes: Uint8Array) => () =>
      grouped("a").grouped.restore({ groups: bytes, state: [] });
    for (let length = 0; length < groups.length - 3; length += 1)
      expect(of(groups.slice(0, length))).toThrow(/cannot be decoded|in the state it has/);
    expect(of(stateCodec.encode({ groups, state: [] }))).toThrow(
      /bytes of the groups in a state cannot/,
    );
    for (let i = 0; i < 2_000; i += 1) {
      const bytes = groups.slice();
      bytes[random.below(bytes.length)] = random.below(256);
      try {
        of(bytes)();
      } catch (error) {
        expect(error).toBeInstanceOf(TidemarkError);
      }
    }
  });

  test("a group of one is told of room later, and its turns end", () => {
    const groups = { all: { members: ["a"] } };
    const { ask, simulation, lines } = start({ groups, windowBytes: 1_000, limitBytes: 100_000 });
    const give = () =>
      ask("a", (turn) => {
        let count = 1;
        while (turn.multicast("all", "x".repeat(300)) && count < 100) count += 1;
        return count;
      });
    expect(give()).toBe(4);
    simulation.runFor(10);
    expect(lines("a")?.at(-1)).toBe("room in all");
  });

  test("takes no requests if it takes none, and what a peer sends cannot stop it", () => {
    const reasons: string[] = [];
    const one = new Grouped<string, null, never, never>({
      ...{ self: "a", groups: GROUPS, messageCodec: codecs.messageCodec },
      application: { capture: () => null, restore: () => {} },
      onIrregular: (reason) => reasons.push(reason),
    });
    expect(one.request).toBeUndefined();
    const { simulation } = start();
    expect(simulation.view.up).toEqual(IDS);
    const other = { self: "a", peers: ["b", "c"], random: simulation.random };
    const turn = { ...other, nowMs: 0, send: () => true, setTimer: () => {} };
    one.start(turn as never);
    for (const bytes of [[], [3], [255, 1], [0, 0, 7, 0, 0, 0, 0, 0], [3, 1, 1, 0, 1, 0, 0, 0, 9]])
      one.receive("b", new Uint8Array(bytes), turn as never);
    expect(reasons).toHaveLength(5);
  });
});

test("a snapshot of applications in groups shows what they hold, frozen or not", async () => {
  const network = new MemoryNetwork();
  const store = memoryStore();
  const running = await Promise.all(
    IDS.map((id) =>
      startProcess({
        ...{ id, processes: IDS, store, transport: network.transport() },
        application: grouped(id).grouped,
        ...groupedCodecs<string, string[]>(codecs),
      }),
    ),
  );
  try {
    const [a] = running;
    for (const text of ["x", "y", "z"])
      await a?.request((turn) => turn.multicast("few", text, { order: "total" }));
    const taken = await a?.snapshot();
    expect((await taken?.verify())?.consistent).toBe(true);
    // Somebody who knows none of the codecs but by name.
    const stored = await store.get(taken?.id as `${string}/${number}`);
    const shown = new GlobalSnapshot(stored as never);
    const state = JSON.stringify(await shown.state("a"));
    expect(state).toContain('"members":["a","b"]');
    expect(JSON.stringify(await shown.state("c"))).toContain('"state":[]');
    for (const from of IDS.slice(1)) await shown.inFlight(from, "a");
  } finally {
    await Promise.all(running.map((one) => one.stop()));
  }
});
