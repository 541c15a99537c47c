// Groups under seeded faults: every promise holds, by checkers that know nothing of the machines.
import { describe, expect, test } from "vitest";
import type { OrderLevel } from "../../src/core/order-level.ts";
import { Random } from "../../src/core/random.ts";
import { readRecords } from "../../src/core/record.ts";
import { decodeUtf8 } from "../../src/core/utf8.ts";
import {
  Group,
  type GroupEffect,
  type GroupInput,
  type GroupOptions,
} from "../../src/multicast/group.ts";
import {
  ALL,
  decodePacket,
  encodePositions,
  encodeWord,
  type Word,
} from "../../src/multicast/packet.ts";
import { Agreement } from "../../src/multicast/total-order.ts";
import { checkHistory, History, type HistoryLine } from "../../src/trace.ts";
import { seeds } from "../support/soak.ts";
import { draftOf } from "./support/drafts.ts";
import { drawGroup, LEVELS, runGroup } from "./support/members.ts";
import { broken, wrongIn } from "./support/verdict.ts";

describe("every promise holds", () => {
  test("of all levels at once", { timeout: 7_200_000 }, () => {
    for (const seed of seeds("groups", 1_500, 100_000))
      expect(wrongIn(drawGroup(seed))).toBeUndefined();
  });

  test.each(LEVELS)("%s", { timeout: 7_200_000 }, (level: OrderLevel) => {
    for (const seed of seeds("group-levels", 300, 100_000))
      expect(wrongIn(drawGroup(seed, { levels: [level] }))).toBeUndefined();
  });

  test("whoever dies, at whatever step of a multicast", () => {
    let died = 0;
    for (const level of LEVELS)
      for (const uniform of [false, true])
        for (let upTo = 0; upTo < 4; upTo += 1)
          for (let reached = 0; reached < 4; reached += 1) {
            const dead = diesSending(level, uniform, upTo, reached);
            const world = drawGroup(0, {
              members: 4,
              levels: [level],
              total: "sequencer",
              uniform,
            });
            expect(broken(world, dead), `${level} ${uniform} ${upTo} ${reached}`).toBeUndefined();
            died += 1;
          }
    expect(died).toBe(192);
  });
});

/** p2 of four sends twice and dies in the second, before that effect, of which so many members get a copy. */
function diesSending(
  level: OrderLevel,
  uniform: boolean,
  upTo: number,
  reached: number,
): readonly HistoryLine[] {
  const ids = ["p1", "p2", "p3", "p4"];
  const groups = new Map(
    ids.map((self) => [
      self,
      new Group({
        ...{ self, members: ids, total: "sequencer", uniform },
        ...{ windowBytes: 4096, tellAfterMs: 20, askAfterMs: 50, life: 1, group: 0 },
      }),
    ]),
  );
  const history: HistoryLine[] = [];
  const underWay: { readonly from: string; readonly to: string; readonly bytes: Uint8Array }[] = [];
  const perform = (process: string, effects: readonly GroupEffect[], last = 4): void => {
    for (const effect of effects)
      if (effect.type === "send")
        for (const to of effect.to.slice(0, last))
          underWay.push({ from: process, to, bytes: effect.bytes });
      else if (effect.type === "deliver")
        for (const record of readRecords(effect.body)) {
          const message = decodeUtf8(record) as string;
          history.push({ type: "deliver", process, group: "g", message, from: effect.from });
        }
  };
  const multicast = (message: string): readonly GroupEffect[] => {
    history.push({ type: "multicast", process: "p2", group: "g", message, order: level });
    const draft = draftOf(level, ids.length, [message]);
    return (groups.get("p2") as Group).step({ type: "multicast", draft, nowMs: 0 });
  };
  const settle = (): void => {
    for (let next = underWay.shift(); next; next = underWay.shift()) {
      if (groups.get(next.to) === undefined) continue;
      const { from, bytes } = next;
      const input = { type: "packet", from, bytes: bytes.slice(), nowMs: 0 } as const;
      perform(next.to, (groups.get(next.to) as Group).step(input));
    }
  };
  perform("p2", multicast("m1"));
  settle();
  const effects = multicast("m2");
  perform("p2", effects.slice(0, upTo));
  perform("p2", effects.slice(upTo, upTo + 1), reached);
  history.push({ type: "crash", process: "p2" });
  groups.delete("p2");
  settle();
  for (const [id, group] of groups)
    perform(id, group.step({ type: "lost", member: "p2", nowMs: 10 }));
  settle();
  return history;
}

describe("controls: what is promised of a weaker order only", () => {
  test.each([
    [["reliable", "fifo-total"], "fifo", "FIFO order"],
    [["fifo"], "causal", "causal order"],
    [["causal"], "total", "total order"],
    [["fifo"], "fifo-total", "total order"],
    [["total", "fifo"], "fifo-total", "FIFO order"],
    [["causal", "fifo-total"], "causal-total", "causal order"],
  ] as const)("%j judged as %s: %s is broken, with few events", (levels, order, promise) => {
    let fewest = Number.POSITIVE_INFINITY;
    for (let seed = 1; seed <= 200; seed += 1) {
      const { history: lines } = runGroup(drawGroup(seed, { levels, members: 3, uniform: false }));
      const history = new History();
      for (const line of lines) history.add(line);
      for (const verdict of checkHistory(history, { order }))
        if (verdict.promise === promise && verdict.holds === false)
          fewest = Math.min(fewest, verdict.witness.events.length);
    }
    expect(fewest).toBeLessThanOrEqual(6);
  });

  test("what a member delivers before a majority has it is not uniform", () => {
    let found = 0;
    for (let seed = 1; seed <= 2_000 && found === 0; seed += 1) {
      const world = drawGroup(seed, { levels: ["causal"], uniform: false, members: 3, crashes: 1 });
      if (broken({ ...world, uniform: true }, runGroup(world).history)) found = seed;
    }
    expect(found).toBeGreaterThan(0);
  });
});

const pair = (more: Partial<GroupOptions> = {}): readonly [Group, Group] => {
  const members = ["a", "b"];
  const options = { members, total: "sequencer", uniform: false, windowBytes: 1000 } as const;
  const waits = { tellAfterMs: 20, askAfterMs: 50, life: 1, group: 0 };
  return [
    new Group({ self: "a", ...options, ...waits, ...more }),
    new Group({ self: "b", ...options, ...waits, ...more }),
  ];
};
const say = (text: string, level: OrderLevel = "fifo"): GroupInput => ({
  ...{ type: "multicast", nowMs: 0 },
  draft: draftOf(level, 2, [text]),
});
const sent = (effects: readonly GroupEffect[]): Uint8Array[] =>
  effects.flatMap((effect) => (effect.type === "send" ? [effect.bytes] : []));
const texts = (effects: readonly GroupEffect[]): (string | undefined)[] =>
  effects.flatMap((effect) =>
    effect.type === "deliver" ? readRecords(effect.body).map(decodeUtf8) : [],
  );
const from = (id: string, bytes: Uint8Array | undefined, nowMs = 0): GroupInput => ({
  ...{ type: "packet", from: id, nowMs },
  bytes: (bytes as Uint8Array).slice(),
});

describe("one member", () => {
  test("delivers to itself at once, alone or not", () => {
    const alone = new Group({
      ...{ self: "a", members: ["a"], total: "agreed", uniform: true },
      ...{ windowBytes: 1000, tellAfterMs: 20, askAfterMs: 50, life: 1, group: 0 },
    });
    for (const level of LEVELS) expect(texts(alone.step(say(level, level)))).toEqual([level]);
    expect([alone.room, alone.deadlineMs]).toEqual([true, Number.POSITIVE_INFINITY]);
    const [a] = pair();
    expect(texts(a.step(say("x")))).toEqual(["x"]);
  });

  test("has no room until the others have what it sent, and forgets it then", () => {
    const [a, b] = pair();
    const packets = [1, 2, 3, 4].flatMap((i) => sent(a.step(say("x".repeat(300) + i))));
    expect([a.room, a.state.origins[0]?.kept.length]).toEqual([false, 4]);
    const words = packets.flatMap((bytes) => sent(b.step(from("a", bytes))));
    // A quarter of a window is told at once, the rest in a while.
    expect(words.length).toBeGreaterThan(0);
    words.push(...sent(b.step({ type: "tick", nowMs: b.deadlineMs })));
    for (const bytes of words) a.step(from("b", bytes));
    expect([a.room, a.state.origins[0]?.kept]).toEqual([true, []]);
  });

  test("a repeated packet changes nothing", () => {
    const [a, b] = pair();
    const [packet] = sent(a.step(say("x")));
    expect(texts(b.step(from("a", packet)))).toEqual(["x"]);
    const before = structuredClone({ ...b.state, tellAtMs: 0 });
    expect(texts(b.step(from("a", packet)))).toEqual([]);
    expect({ ...b.state, tellAtMs: 0 }).toEqual(before);
  });

  test("a gap is asked for when it stays, and what comes is not delivered before", () => {
    const [a, b] = pair();
    const [first, second] = ["one", "two"].flatMap((text) => sent(a.step(say(text))));
    expect(first).toBeDefined();
    expect(texts(b.step(from("a", second)))).toEqual([]);
    expect(b.deadlineMs).toBe(50);
    const [word] = sent(b.step({ type: "tick", nowMs: 50 }));
    const again = sent(a.step(from("b", word)));
    expect(again).toHaveLength(2);
    expect(again.flatMap((bytes) => texts(b.step(from("a", bytes, 60))))).toEqual(["one", "two"]);
  });

  test("says what is held and why", () => {
    const [a, b] = pair();
    const [packet] = sent(b.step(say("x", "total")));
    expect(packet).toBeDefined();
    expect(b.explain().held).toEqual([
      {
        ...{ from: "b", number: 1, kind: "total", messages: 1, sinceMs: 0 },
        ...{ waitsFor: "word", packets: [], members: ["a"] },
      },
    ]);
    for (const bytes of sent(a.step(from("b", packet)))) b.step(from("a", bytes));
    expect(b.explain().held).toEqual([]);
  });

  test("has no room while more than a window waits for its place, though all have it", () => {
    const [a, b] = pair({ tellAfterMs: 20, windowBytes: 4_000 });
    const orders = ["1", "2"].flatMap((text) => {
      const [packet] = sent(b.step(say(text + "x".repeat(2_500), "total")));
      return sent(a.step(from("b", packet)));
    });
    const kinds = orders
      .map((bytes) => decodePacket(bytes, 2))
      .map((one) => (typeof one === "string" ? one : one.kind));
    for (const [i, word] of orders.entries()) if (kinds[i] === "have") b.step(from("a", word));
    for (const word of sent(a.step({ type: "tick", nowMs: 60 }))) b.step(from("a", word, 60));
    expect(b.state.origins[1]?.kept).toEqual([]);
    expect(b.room).toBe(false);
    for (const [i, packet] of orders.entries())
      if (kinds[i] === "orders") b.step(from("a", packet, 60));
    expect(b.room).toBe(true);
  });

  test("what is missing is asked of one at a time that has it, and an answer is a part of a window", () => {
    const members = ["a", "b", "c", "d"];
    const [a, b, c, d] = members.map((self) => {
      const waits = { tellAfterMs: 20, askAfterMs: 50, life: 1, group: 0 };
      const setup = { members, total: "sequencer", uniform: false, windowBytes: 16_000 } as const;
      return new Group({ self, ...setup, ...waits });
    }) as [Group, Group, Group, Group];
    const draft = (): GroupInput => ({
      ...{ type: "multicast", nowMs: 0 },
      draft: draftOf("fifo", 4, ["x".repeat(400)]),
    });
    const packets = Array.from({ length: 9 }, () => sent(a.step(draft()))[0] as Uint8Array);
    for (const one of [b, c]) {
      for (const bytes of packets) one.step(from("a", bytes));
      // All are told, d too, to which nothing came.
      for (const word of sent(one.step({ type: "tick", nowMs: 30 })))
        d.step(from(one === b ? "b" : "c", word, 30));
    }
    const asked: string[] = [];
    for (let nowMs = 100; nowMs < 1_000; nowMs += 20)
      for (const effect of d.step({ type: "tick", nowMs }))
        if (effect.type === "send" && effect.to.length === 1) asked.push(effect.to.join());
    expect(asked.slice(0, 2).sort()).toEqual(["b", "c"]);
    const want = sent(d.step({ type: "tick", nowMs: 60_000 }))[0] as Uint8Array;
    const answer = sent(b.step(from("d", want, 60_000)));
    expect(answer.map((bytes) => [...bytes])).toEqual(packets.slice(0, 3).map((one) => [...one]));
  });

  test("does not wait for the next message of the same origin, though it proposed for that one what is agreed", () => {
    const agreement = new Agreement(1, 3);
    for (const number of [1, 2]) agreement.accepted({ origin: 0, number });
    agreement.learned(0, [[1, 2]]);
    expect(agreement.next).toMatchObject({ origin: 0, number: 1 });
    agreement.delivered();
    expect(agreement.next).toBeUndefined();
  });

  test("agreed packets stand in one order, in whatever order they are agreed", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const random = new Random(`agreed ${seed}`);
      const order = new Agreement(0, 3);
      const places = Array.from({ length: random.between(1, 12) }, (_, i) => ({
        origin: 1 + (i % 2),
        number: 1 + (i >> 1),
        place: 0,
      }));
      for (const one of places) order.accepted(one);
      // As many of one place as may be; of one origin they do not overtake each other.
      let least = [0, 0, 0];
      for (const [i, one] of places.entries()) {
        one.place = Math.max(i + 1, least[one.origin] ?? 0) + random.below(3);
        least = least.with(one.origin, one.place);
      }
      for (const rest = [...places]; rest.length > 0; ) {
        const [one] = rest.splice(random.below(rest.length), 1);
        if (one) order.learned(one.origin, [[one.number, one.place]]);
      }
      const delivered: string[] = [];
      for (let { next } = order; next; next = order.next) {
        delivered.push(`${next.origin}/${next.number}`);
        order.delivered();
      }
      const expected = places.sort(
        (a, b) => a.place - b.place || a.origin - b.origin || a.number - b.number,
      );
      expect(delivered).toEqual(expected.map(({ origin, number }) => `${origin}/${number}`));
    }
  });

  test("what a lost member sent is sent on once, however often it is lost", () => {
    const [p1, p2] = ["p1", "p2"].map((self) => {
      const options = {
        self,
        members: ["p1", "p2", "p3"],
        total: "sequencer",
        uniform: false,
      } as const;
      const bounds = { windowBytes: 1000, tellAfterMs: 20, askAfterMs: 50, life: 1, group: 0 };
      return new Group({ ...options, ...bounds });
    }) as [Group, Group];
    const say = (text: string): void => {
      const draft = draftOf("fifo", 3, [text]);
      for (const effect of p2.step({ type: "multicast", draft, nowMs: 0 }))
        if (effect.type === "send")
          p1.step({ type: "packet", from: "p2", bytes: effect.bytes, nowMs: 0 });
    };
    const lose = (): number => {
      const effects = p1.step({ type: "lost", member: "p2", nowMs: 0 });
      p1.step({ type: "back", member: "p2", nowMs: 0 });
      return effects.filter(({ type }) => type === "send").length;
    };
    say("1");
    say("2");
    expect([lose(), lose(), lose()]).toEqual([2, 0, 0]);
    say("3");
    expect([lose(), lose()]).toEqual([1, 0]);
  });

  test("what goes far beyond the window is dropped, and not for ever", () => {
    // Who gives the order may have the positions of all under way as well.
    const [sequencer, other] = pair();
    const packets = Array.from({ length: 20 }, (_, i) =>
      sent(other.step(say("x".repeat(500) + i))),
    ).flat();
    for (const bytes of packets.slice(1).filter((one) => one.length > 400))
      sequencer.step(from("b", bytes));
    const { early, earlyBytes } = sequencer.state
      .origins[1] as (typeof sequencer.state.origins)[number];
    expect(earlyBytes).toBeLessThan(5_000);
    expect(early.size).toBeLessThan(12);
  });

  test("what was dropped comes when there is room, also what fills a gap", () => {
    for (const late of [0, 1]) {
      const [a, b] = pair();
      const packets = Array.from({ length: 20 }, (_, i) => sent(a.step(say("x".repeat(500) + i))))
        .flat()
        .filter((one) => one.length > 400);
      // All but the first; then, or never, the first.
      for (const bytes of packets.slice(1)) b.step(from("a", bytes));
      if (late === 1) b.step(from("a", packets[0]));
      let delivered = b.state.origins[0]?.received ?? 0;
      for (let nowMs = 0; nowMs < 60_000 && delivered < 20; nowMs += 50) {
        const words = sent(b.step({ type: "tick", nowMs }));
        const answers = words.flatMap((word) => sent(a.step(from("b", word, nowMs))));
        for (const bytes of answers) b.step(from("a", bytes, nowMs));
        delivered = b.state.origins[0]?.received ?? 0;
      }
      expect(delivered).toBe(20);
    }
  });

  test("takes what there is room for at its origin, though it does not know that all have what came before", () => {
    const ids = ["a", "b", "c"];
    const groups = new Map(
      ids.map((self) => {
        const waits = { tellAfterMs: 20, askAfterMs: 50, life: 1, group: 0 };
        const setup = {
          members: ids,
          total: "sequencer",
          uniform: true,
          windowBytes: 1000,
        } as const;
        return [self, new Group({ self, ...setup, ...waits })];
      }),
    );
    const step = (id: string, input: GroupInput): readonly GroupEffect[] =>
      (groups.get(id) as Group).step(input);
    const delivered = new Map(ids.map((id) => [id, 0]));
    const underWay: { readonly from: string; readonly to: string; readonly bytes: Uint8Array }[] =
      [];
    const perform = (id: string, effects: readonly GroupEffect[]): void => {
      delivered.set(id, (delivered.get(id) ?? 0) + texts(effects).length);
      for (const effect of effects)
        if (effect.type === "send")
          for (const to of effect.to) underWay.push({ from: id, to, bytes: effect.bytes.slice() });
    };
    const settle = (nowMs: number): void => {
      for (let next = underWay.shift(); next; next = underWay.shift())
        // Nothing of c reaches b; then c is dead.
        if (!(next.from === "c" && next.to === "b") && groups.has(next.to))
          perform(next.to, step(next.to, from(next.from, next.bytes, nowMs)));
    };
    let said = 0;
    const speak = (nowMs: number): void => {
      while (groups.get("a")?.room) {
        said += 1;
        const draft = draftOf("fifo", 3, [`${said} ${"x".repeat(90)}`]);
        perform("a", step("a", { type: "multicast", draft, nowMs }));
      }
      settle(nowMs);
    };
    for (let round = 0; round < 20; round += 1) speak(round);
    expect(delivered.get("c")).toBe(said);
    groups.delete("c");
    speak(20);
    for (const id of ["a", "b"]) perform(id, step(id, { type: "lost", member: "c", nowMs: 30 }));
    for (let nowMs = 30; nowMs < 60_000; nowMs += 50) {
      for (const id of groups.keys()) perform(id, step(id, { type: "tick", nowMs }));
      settle(nowMs);
    }
    expect([delivered.get("a"), delivered.get("b")]).toEqual([said, said]);
  });

  test.each(["sequencer", "agreed"] as const)(
    "however much is ordered at once, what is told of it fits small frames: %s",
    (total) => {
      const ids = ["a", "b", "c"];
      const groups = new Map(
        ids.map((self) => {
          const waits = { tellAfterMs: 20, askAfterMs: 50, life: 1, group: 0 };
          const setup = { members: ids, total, uniform: false, windowBytes: 1_000_000 };
          return [self, new Group({ self, ...setup, ...waits })];
        }),
      );
      const step = (id: string, input: GroupInput): readonly GroupEffect[] =>
        (groups.get(id) as Group).step(input);
      const speak = (id: string, level: OrderLevel): Uint8Array => {
        const draft = draftOf(level, 3, [id]);
        return sent(step(id, { type: "multicast", draft, nowMs: 0 }))[0] as Uint8Array;
      };
      // What b says depends on what c says, which a does not have.
      const cause = speak("c", "causal");
      step("b", from("c", cause));
      const many = Array.from({ length: 1_200 }, () => speak("b", "causal-total"));
      for (const bytes of many) step("a", from("b", bytes));
      const told = sent(step("a", from("c", cause)));
      expect(Math.max(...told.map(({ length }) => length))).toBeLessThan(8_192);
      const entries = told.reduce((sum, { length }) => sum + Math.floor(length / 16), 0);
      expect(entries).toBeGreaterThanOrEqual(1_200);
    },
  );

  test("what was told to a life of it before this one is not taken for what all have", () => {
    const [, b] = pair();
    const stable: Word = { kind: "stable", origin: 0, life: 1, entries: [[1, 5]] };
    expect(b.step(from("a", encodeWord(stable, 0)))).toEqual([]);
    b.step(say("x"));
    expect(b.state.origins[1]?.kept.length).toBe(1);
  });

  test("of positions that cannot be it says so, or nothing", () => {
    const [a, b] = pair();
    const agreed = pair({ total: "agreed" });
    const packet = {
      origin: 0,
      life: 1,
      number: 1,
      changes: [],
      to: ALL,
    };
    const positions = (kind: "orders" | "finals", entries: [number, number][]) =>
      encodePositions({ ...packet, kind }, entries, 0);
    expect(b.step(from("a", positions("orders", [[9, 1]])))).toMatchObject([{ type: "irregular" }]);
    b.step(from("a", positions("finals", [[3, 10]])));
    agreed[1].step(from("a", positions("finals", [[7, Number.MAX_SAFE_INTEGER]])));
    expect(texts(agreed[0].step(say("x", "reliable")))).toEqual(["x"]);
    const [own] = sent(agreed[1].step(say("y", "total")));
    expect(own).toBeDefined();
    expect(texts(a.step(say("z", "total")))).toEqual(["z"]);
  });

  test("what a peer sends makes it say so, and nothing worse", () => {
    const [a, b] = pair();
    const good = ["one", "two", "three"].flatMap((text) => sent(a.step(say(text, "causal-total"))));
    const random = new Random("garbage");
    let irregular = 0;
    for (let i = 0; i < 20_000; i += 1) {
      const bytes = (random.pick(good) as Uint8Array).slice(0, random.below(80));
      for (let j = random.below(4); j > 0; j -= 1)
        bytes[random.below(Math.max(1, Math.min(40, bytes.length)))] = random.below(256);
      const effects = b.step(from(random.chance(0.9) ? "a" : "stranger", bytes, i));
      if (effects.some(({ type }) => type === "irregular")) irregular += 1;
    }
    expect(irregular).toBeGreaterThan(5_000);
    expect(() => b.explain()).not.toThrow();
  });
});
