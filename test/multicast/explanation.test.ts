// Why a group does not go on: what `explain` has, how it is said, and that it is told unasked when it lasts.
import { describe, expect, test } from "vitest";
import type { OrderLevel } from "../../src/core/order-level.ts";
import { describeGroup, describeStall } from "../../src/multicast/explanation.ts";
import { Group, type GroupEffect, type GroupOptions } from "../../src/multicast/group.ts";
import { draftOf } from "./support/drafts.ts";

const IDS = ["p1", "p2", "p3"];

/** Three members; what they send each other goes where the test lets it go. */
class Trio {
  readonly groups: ReadonlyMap<string, Group>;
  nowMs = 0;

  constructor(options: Partial<GroupOptions> = {}) {
    this.groups = new Map(
      IDS.map((self) => {
        const all = { self, members: IDS, total: "sequencer", uniform: false } as const;
        const bounds = { windowBytes: 1000, tellAfterMs: 20, askAfterMs: 200, life: 1, group: 0 };
        return [self, new Group({ ...all, ...bounds, stalledAfterMs: 5000, ...options })];
      }),
    );
  }

  member(id: string): Group {
    return this.groups.get(id) as Group;
  }

  say(id: string, level: OrderLevel, text = "x"): Sent {
    const draft = draftOf(level, this.groups.size, [text]);
    return sent(id, this.member(id).step({ type: "multicast", draft, nowMs: this.nowMs }));
  }

  /** Gives what was sent to some members, of those to whom it was sent; what they send thereupon. */
  give(what: Sent, ...ids: string[]): Sent {
    return what.flatMap(({ from, to, bytes }) =>
      to
        .filter((id) => ids.includes(id))
        .flatMap((id) => sent(id, this.step(id, { type: "packet", from, bytes: bytes.slice() }))),
    );
  }

  step(id: string, input: { type: "packet"; from: string; bytes: Uint8Array } | { type: "tick" }) {
    return this.member(id).step({ ...input, nowMs: this.nowMs });
  }

  /** What it tells at that time, if it wanted to be woken by then. */
  wake(id: string, atMs: number): readonly GroupEffect[] {
    const effects: GroupEffect[] = [];
    while (this.member(id).deadlineMs <= atMs) {
      this.nowMs = Math.max(this.nowMs, this.member(id).deadlineMs);
      effects.push(...this.step(id, { type: "tick" }));
    }
    this.nowMs = atMs;
    return effects;
  }

  lose(id: string, member: string): void {
    this.member(id).step({ type: "lost", member, nowMs: this.nowMs });
  }

  why(id: string): readonly string[] {
    return describeGroup(this.member(id).explain(), this.nowMs);
  }
}

type Sent = readonly {
  readonly from: string;
  readonly to: readonly string[];
  readonly bytes: Uint8Array;
}[];

const sent = (from: string, effects: readonly GroupEffect[]): Sent =>
  effects.flatMap((effect) =>
    effect.type === "send" ? [{ from, to: effect.to, bytes: effect.bytes }] : [],
  );

const stalls = (effects: readonly GroupEffect[], nowMs: number): readonly string[] =>
  effects.flatMap((effect) => {
    if (effect.type === "stalled") return [describeStall(effect.stall, nowMs)];
    return effect.type === "resumed" ? ["resumed"] : [];
  });

describe("in sentences", () => {
  test("a reply waits for its question, by name; the question comes, and nothing waits", () => {
    const trio = new Trio();
    const question = trio.say("p1", "causal");
    trio.give(question, "p2");
    trio.give(trio.say("p2", "causal"), "p3");
    trio.nowMs = 120;
    expect(trio.why("p3")).toEqual([
      "packet 1 of p2 (causal, 1 message) is held at p3 for 120 ms: it waits for packet 1 of p1, which has not come here",
    ]);
    trio.lose("p3", "p1");
    expect(trio.why("p3").join()).toMatch(/which has not come here; p1 is lost$/);
    trio.give(question, "p3");
    expect(trio.why("p3")).toEqual([]);
  });

  test("total order waits for the sequencer", () => {
    const trio = new Trio();
    trio.give(trio.say("p2", "total"), "p3");
    trio.lose("p3", "p1");
    trio.nowMs = 2_000;
    expect(trio.why("p3")).toEqual([
      "packet 1 of p2 (total, 1 message) is held at p3 for 2.0 s: it waits for the word of p1, the sequencer; p1 is lost",
    ]);
  });

  test("agreed order waits for whoever has not proposed, and others for the word of the sender", () => {
    const trio = new Trio({ total: "agreed" });
    const packet = trio.say("p1", "total");
    trio.give(trio.give(packet, "p2"), "p1");
    expect(trio.why("p1")[0]).toMatch(/it waits for the word of p3$/);
    expect(trio.why("p2")[0]).toMatch(/^packet 1 of p1 .* it waits for the word of p1$/);
  });

  test("what stands behind another says which, and that it is here", () => {
    const trio = new Trio();
    trio.say("p2", "fifo-total");
    trio.say("p2", "fifo");
    expect(trio.why("p2").slice(0, 2)).toEqual([
      "packet 1 of p2 (fifo-total, 1 message) is held at p2 for 0 ms: it waits for the word of p1, the sequencer",
      "packet 2 of p2 (fifo, 1 message) is held at p2 for 0 ms: it waits for packet 1 of p2, which is held here too",
    ]);
  });

  test("a uniform group waits for a majority", () => {
    const trio = new Trio({ uniform: true });
    trio.say("p1", "fifo");
    expect(trio.why("p1")[0]).toMatch(
      /it waits until a majority has it; p2 and p3 have not said so$/,
    );
  });

  test("a gap says what is missing, since when, who has it, and how often it was asked for", () => {
    const trio = new Trio();
    const [one, two, three] = ["1", "2", "3"].map((text) => trio.say("p1", "fifo", text));
    for (const packet of [one, two, three]) trio.give(packet as Sent, "p2");
    trio.give(three as Sent, "p3");
    const words = sent("p2", trio.wake("p2", 20));
    trio.give(words, "p3");
    const asked = trio.wake("p3", 1_000).filter((effect) => effect.type === "send");
    expect(asked.length).toBeGreaterThan(1);
    expect(trio.member("p3").explain().gaps).toEqual([
      {
        ...{ from: "p1", first: 1, last: 2, early: 1, sinceMs: 0, asked: 2 },
        at: ["p1", "p2"],
      },
    ]);
    expect(trio.why("p3")).toEqual([
      "packets 1 to 2 of p1 have not come to p3 for 1.0 s: 1 packet behind them came early, p1 and p2 have some, asked for twice",
    ]);
    trio.give(one as Sent, "p3");
    expect(trio.why("p3").join()).toMatch(
      /^packet 2 of p1 has not come to p3 for 0 ms: 1 packet behind it came early, p1 and p2 have it$/,
    );
    trio.give(two as Sent, "p3");
    expect(trio.why("p3")).toEqual([]);
  });

  test("own packets say who has not acknowledged which of them", () => {
    const trio = new Trio();
    const [first, second] = ["1", "2"].map((text) => trio.say("p1", "fifo", text.repeat(600)));
    trio.nowMs = 12_000;
    trio.give(trio.give(first as Sent, "p2", "p3"), "p1");
    trio.give(trio.give(second as Sent, "p2"), "p1");
    expect(trio.why("p1")).toEqual([
      "p3 has not acknowledged 628 B of own packets, from packet 2 on, for 0 ms",
    ]);
    trio.say("p1", "fifo", "3".repeat(600));
    trio.nowMs = 24_000;
    trio.lose("p1", "p3");
    expect(trio.why("p1")).toEqual([
      "no room: p2 has not acknowledged 628 B of own packets, from packet 3 on",
      "no room: p3 has not acknowledged 1.2 KiB of own packets, from packet 2 on, for 12.0 s; p3 is lost",
    ]);
  });

  test("who came back without its state is said to be none of the group", () => {
    const trio = new Trio();
    trio.give(trio.say("p1", "fifo"), "p2");
    trio.say("p2", "fifo");
    const other = new Trio({ life: 2 });
    trio.give(other.say("p1", "fifo"), "p2");
    expect(trio.member("p2").explain()).toMatchObject({ lost: ["p1"], replaced: ["p1"] });
    expect(trio.why("p2")[0]).toMatch(/; p1 began again without its state, and is no member/);
  });

  test("who began again without its state learns it from what others have of its first life", () => {
    const trio = new Trio();
    const first = [trio.say("p1", "fifo"), trio.say("p1", "fifo")].flat();
    trio.give(first, "p2");
    const words = sent("p2", trio.wake("p2", 20));
    const other = new Trio({ life: 2 });
    other.say("p1", "fifo");
    other.give(words, "p1");
    expect(other.why("p1")).toEqual([
      "p2 has not acknowledged 32 B of own packets, from packet 1 on, for 0 ms; p1 began again without its state, and is no member any more",
      "p3 has not acknowledged 32 B of own packets, from packet 1 on, for 0 ms; p1 began again without its state, and is no member any more",
    ]);
    // Nor is anything later taken for what others have, or asked for.
    other.say("p1", "fifo");
    other.say("p1", "fifo");
    other.give(words, "p1");
    expect(other.member("p1").explain()).toMatchObject({ replaced: ["p1"], gaps: [] });
    expect(other.member("p1").explain().unstable?.by).toMatchObject([{ first: 1 }, { first: 1 }]);
  });
});

test("what came and the others have not been told of is untold, until they are", () => {
  const trio = new Trio();
  const isUntold = (): boolean => trio.member("p2").explain().isUntold;
  expect(isUntold()).toBe(false);
  trio.give(trio.say("p1", "fifo"), "p2");
  expect(isUntold()).toBe(true);
  trio.give(sent("p2", trio.wake("p2", 20)), "p1");
  expect(isUntold()).toBe(false);
  expect(trio.member("p1").explain().unstable?.by).toMatchObject([{ member: "p3" }]);
});

describe("what lasts is told unasked", () => {
  test("once, with the members that it comes down to; and once when it is over", () => {
    const trio = new Trio();
    const packet = trio.say("p2", "fifo-total");
    trio.say("p2", "fifo");
    expect(stalls(trio.wake("p2", 4_999), 4_999)).toEqual([]);
    const told = stalls(trio.wake("p2", 5_000), 5_000);
    expect(told).toEqual([
      "it waits for p1. Packet 1 of p2 (fifo-total, 1 message) is held at p2 for 5.0 s: it waits for the word of p1, the sequencer",
    ]);
    expect(stalls(trio.wake("p2", 100_000), 100_000)).toEqual([]);
    const orders = trio.give(packet, "p1").filter(({ to }) => to.includes("p2"));
    const [first] = orders;
    const { from, bytes } = first as Sent[number];
    const effects = trio.step("p2", { type: "packet", from, bytes });
    expect(effects.map(({ type }) => type)).toEqual(["deliver", "deliver", "resumed"]);
  });

  test("whom a packet waits for is found through those that wait themselves", () => {
    const trio = new Trio();
    // And p1's word about its place.
    const [question, ...word] = trio.say("p1", "causal-total");
    trio.give([question as Sent[number], ...word], "p2");
    trio.give(trio.say("p2", "causal"), "p3");
    trio.nowMs = 10;
    trio.give([question as Sent[number]], "p3");
    const [stall] = trio.wake("p3", 6_000).filter(({ type }) => type === "stalled");
    expect(stall).toMatchObject({ stall: { members: ["p1"], sinceMs: 0 } });
  });

  test("no room for so long: who has not acknowledged", () => {
    const trio = new Trio();
    trio.nowMs = 3_000;
    const packet = trio.say("p1", "fifo", "x".repeat(2_000));
    trio.give(trio.give(packet, "p2"), "p1");
    expect(stalls(trio.wake("p1", 7_999), 7_999)).toEqual([]);
    expect(stalls(trio.wake("p1", 8_000), 8_000)).toEqual([
      "it waits for p3. No room: p3 has not acknowledged 2.0 KiB of own packets, from packet 1 on, for 5.0 s",
    ]);
    expect(stalls(trio.step("p1", { type: "tick" }), 8_000)).toEqual([]);
    const words = trio.give(packet, "p3").filter(({ to }) => to.includes("p1"));
    const { from, bytes } = words[0] as Sent[number];
    expect(trio.step("p1", { type: "packet", from, bytes })).toContainEqual({ type: "resumed" });
  });

  test("no room, and only who has not the oldest is waited for", () => {
    const trio = new Trio();
    const packet = trio.say("p1", "fifo", "x".repeat(2_000));
    trio.give(trio.give(packet, "p2"), "p1");
    trio.nowMs = 4_990;
    trio.say("p1", "fifo");
    expect(stalls(trio.wake("p1", 5_000), 5_000)).toEqual([
      "it waits for p3. No room: p3 has not acknowledged 2.0 KiB of own packets, from packet 1 on, for 5.0 s",
    ]);
  });

  test("a gap that nobody fills, and who has it if its origin is lost", () => {
    const trio = new Trio();
    const packets = [trio.say("p1", "fifo"), trio.say("p1", "fifo")];
    for (const packet of packets) trio.give(packet, "p2");
    trio.give(sent("p2", trio.wake("p2", 20)), "p3");
    trio.lose("p3", "p1");
    expect(stalls(trio.wake("p3", 6_000), 6_000)[0]).toMatch(
      /^it waits for p2. Packets 1 to 2 of p1 have not come to p3 for .*, asked for .*; p1 is lost$/,
    );
  });

  test("not if it was this member that stood still: what came meanwhile has its turn first", () => {
    const trio = new Trio();
    const packet = trio.say("p2", "fifo-total");
    const orders = trio.give(packet, "p1").filter(({ to }) => to.includes("p2"));
    trio.nowMs = 9_000;
    expect(stalls(trio.step("p2", { type: "tick" }), 9_000)).toEqual([]);
    for (const { from, bytes } of orders) trio.step("p2", { type: "packet", from, bytes });
    expect(trio.member("p2").explain().held).toEqual([]);
    // If nothing came, it is told a little later.
    const other = new Trio();
    other.say("p2", "fifo-total");
    other.nowMs = 9_000;
    expect(stalls(other.step("p2", { type: "tick" }), 9_000)).toEqual([]);
    expect(stalls(other.wake("p2", 9_200), 9_200)).toHaveLength(1);
  });

  test("not of what is young, nor in another life, nor if nobody wants to know", () => {
    const trio = new Trio();
    trio.say("p2", "total");
    const state = structuredClone(trio.member("p2").state);
    const options = { self: "p2", members: IDS, total: "sequencer", uniform: false } as const;
    const bounds = { windowBytes: 1000, tellAfterMs: 20, askAfterMs: 200, life: 1, group: 0 };
    const again = new Group({ ...options, ...bounds, stalledAfterMs: 5000 }, state);
    again.step({ type: "start", nowMs: 60_000 });
    expect(stalls(again.step({ type: "tick", nowMs: 64_999 }), 0)).toEqual([]);
    expect(stalls(again.step({ type: "tick", nowMs: 65_000 }), 65_000)).toHaveLength(1);
    const silent = new Trio({ stalledAfterMs: Number.POSITIVE_INFINITY });
    silent.say("p2", "total");
    expect(stalls(silent.wake("p2", 100_000), 0)).toEqual([]);
    expect(silent.member("p2").deadlineMs).toBe(Number.POSITIVE_INFINITY);
  });

  test("who goes on is never told of, and looks once for all that came meanwhile", () => {
    const trio = new Trio();
    const told: string[] = [];
    let looks = 0;
    for (let i = 0; i < 3_000; i += 1) {
      const packets = trio.say("p2", "total");
      const orders = trio.give(packets, "p1");
      for (const id of ["p2", "p3"]) {
        const before = trio.member(id).state.watchAtMs;
        trio.give(orders, id);
        if (trio.member(id).state.watchAtMs !== before) looks += 1;
      }
      trio.give(packets, "p3");
      for (const id of IDS) {
        const effects = trio.wake(id, trio.nowMs);
        told.push(...stalls(effects, trio.nowMs));
        trio.give(sent(id, effects), ...IDS);
      }
      trio.nowMs += 10;
    }
    expect(told).toEqual([]);
    // Half a minute, and a look about every five seconds.
    expect(looks).toBeLessThan(40);
  });
});
