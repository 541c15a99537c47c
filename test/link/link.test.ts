// A link makes an exactly-once channel, FIFO if it is wanted, out of whatever is below it (Stenning 1976; Cachin, Guerraoui and Rodrigues
// 2011, §2.4): as a whole against a model, over networks that a seed decides, and rule by rule.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batchOf, type OutgoingBatch } from "../../src/link/batch-writer.ts";
import { BATCH_HEADER_BYTES, type ParsedFrame, parseFrame } from "../../src/link/frame.ts";
import {
  type ChannelOrder,
  Link,
  type LinkEffect,
  type LinkInput,
  type LinkOptions,
} from "../../src/link/link.ts";
import { BUSY_MS, LinkPair, type PairOptions } from "../support/link-pair.ts";
import { cases } from "../support/soak.ts";

const calm: PairOptions = {
  seed: 1,
  reliable: true,
  loss: 0,
  repeat: 0,
  refuse: 0,
  delayMs: 10,
  windowBytes: 100_000,
  batches: 100,
  cuts: 0,
  restarts: 0,
  size: 100,
  takeMs: 0,
};

const anyProbability = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 0.5, noNaN: true }));

const anyPair: fc.Arbitrary<PairOptions> = fc
  .record({
    seed: fc.nat(),
    reliable: fc.boolean(),
    order: fc.constantFrom<ChannelOrder>("fifo", "fifo", "none"),
    loss: anyProbability,
    repeat: anyProbability,
    refuse: anyProbability,
    delayMs: fc.constantFrom(0, 1, 10, 100),
    windowBytes: fc.constantFrom(1, 100, 2_000, 100_000),
    otherWindowBytes: fc.constantFrom(1, 100, 2_000, 100_000),
    batches: fc.integer({ min: 1, max: 150 }),
    cuts: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 10 })),
    restarts: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 4 })),
    size: fc.constantFrom(1, 50, 3_000),
    takeMs: fc.constantFrom(0, 5, 300),
  })
  .map((options) => ({ ...options, loss: options.reliable ? 0 : options.loss }));

describe("over any network", () => {
  test("everything arrives exactly once, in order unless none is wanted, with bounded memory, and then it is quiet", () => {
    let overtook = 0;
    fc.assert(
      fc.property(anyPair, (options) => {
        overtook += new LinkPair(options).run().overtook;
      }),
      { numRuns: cases("links", 2_000, 100_000) },
    );
    expect(overtook).toBeGreaterThan(1_000);
  });

  test("a reliable one carries every batch once", () => {
    fc.assert(
      fc.property(anyPair, (options) => {
        const { cuts, restarts, refuse } = calm;
        const outcome = new LinkPair({
          ...options,
          reliable: true,
          loss: 0,
          cuts,
          restarts,
          refuse,
        });
        const { batches, sendings } = outcome.run();
        expect(sendings).toBe(batches);
      }),
      { numRuns: 100 },
    );
  });

  test.each([0, 20, 60, 300, 1_000])(
    "one that takes %i ms each way carries every batch once, though it promises nothing",
    (steadyMs) => {
      const pair = new LinkPair({ ...calm, reliable: false, steadyMs, batches: 0 });
      pair.at(0, () => pair.connect());
      for (let i = 0; i < 300; i += 1) pair.at(5_000 + i * 10, () => pair.give((i % 2) as 0 | 1));
      pair.pass(60_000);
      pair.check();
      expect(pair.outcome).toMatchObject({ batches: 300, sendings: 300 });
    },
  );

  test("one that loses three frames in ten carries each batch a few times", () => {
    const { batches, sendings, acknowledgements } = new LinkPair({
      ...calm,
      reliable: false,
      loss: 0.3,
      batches: 2_000,
    }).run();
    expect(sendings).toBeLessThan(4 * batches);
    expect(acknowledgements).toBeLessThan(4 * batches);
  });

  test("a channel that carries one way only is acknowledged now and then, not for each batch", () => {
    const pair = new LinkPair({ ...calm, batches: 0 });
    pair.at(0, () => pair.connect());
    for (let i = 0; i < 1_000; i += 1) pair.at(BUSY_MS / 2 + i / 10, () => pair.give(0));
    pair.pass(10 * BUSY_MS);
    pair.check();
    // Of 1,000 batches in 100 ms with an acknowledgement after 5 ms.
    expect(pair.ends[1].link.state.expected).toBe(1_000);
    expect(pair.outcome.acknowledgements).toBeLessThan(60);
  });
});

const options: LinkOptions = {
  stream: 0,
  epoch: 7,
  incarnation: 11,
  reliable: true,
  windowBytes: 1_000,
  ackDelayMs: 5,
};
const A = 11;
const B = 22;

const batch = (text: string): OutgoingBatch => batchOf(1, new TextEncoder().encode(text));
const never = Number.POSITIVE_INFINITY;

/** Two ends that are carried between by hand. */
function twoEnds(more: Partial<LinkOptions> = {}): { a: Link; b: Link } {
  return {
    a: new Link({ ...options, ...more }),
    b: new Link({ ...options, ...more, incarnation: B }),
  };
}

const framesOf = (effects: readonly LinkEffect[]): ParsedFrame[] =>
  effects
    .filter((effect) => effect.type === "transmit")
    .map(({ frame }) => {
      const parsed = parseFrame(frame);
      if (typeof parsed === "string") throw new Error(parsed);
      return parsed;
    });

const textsOf = (effects: readonly LinkEffect[]): string[] =>
  effects
    .filter((effect) => effect.type === "batch")
    .map((effect) => new TextDecoder().decode(effect.batch.body.subarray(4)).replaceAll("\0", ""));

/** Carries what one end sent to the other; gives what that one did, and what it sent. */
function carry(frames: readonly ParsedFrame[], to: Link, nowMs: number) {
  const effects = frames.flatMap((frame) => to.step({ type: "frame", frame, nowMs }));
  return { effects, texts: textsOf(effects), frames: framesOf(effects) };
}

/** What both have to say at that time, until they fall silent. */
function talk(a: Link, b: Link, nowMs: number): void {
  const tick = (link: Link): ParsedFrame[] =>
    link.deadlineMs <= nowMs ? framesOf(link.step({ type: "tick", nowMs })) : [];
  let fromA = tick(a);
  let fromB = tick(b);
  while (fromA.length + fromB.length > 0) {
    const toA = fromB;
    fromB = carry(fromA, b, nowMs).frames;
    fromA = carry(toA, a, nowMs).frames;
  }
}

const send = (link: Link, text: string, nowMs: number): ParsedFrame[] =>
  framesOf(link.step({ type: "send", batch: batch(text), nowMs }));

/** Both have come up, and each knows what the other expects. */
function connected(more: Partial<LinkOptions> = {}): { a: Link; b: Link } {
  const { a, b } = twoEnds(more);
  const question = framesOf(a.step({ type: "up", incarnation: B, nowMs: 0 }));
  carry(framesOf(b.step({ type: "up", incarnation: A, nowMs: 0 })), a, 0);
  carry(carry(question, b, 0).frames, a, 0);
  return { a, b };
}

describe("after a connection", () => {
  test("nothing is sent until the peer has said what it expects", () => {
    const { a, b } = twoEnds();
    expect(send(a, "early", 0)).toEqual([]);
    const question = framesOf(a.step({ type: "up", incarnation: B, nowMs: 0 }));
    expect(question).toMatchObject([{ asks: true }]);
    expect(send(a, "later", 0)).toEqual([]);
    b.step({ type: "up", incarnation: A, nowMs: 0 });
    const answer = carry(question, b, 1).frames;
    expect(answer).toMatchObject([{ asks: false, acknowledged: 0, credit: 1_000 }]);
    const sent = carry(answer, a, 2).frames;
    expect(carry(sent, b, 3).texts).toEqual(["early", "later"]);
  });

  test("a question that is lost is asked again, until it is answered", () => {
    const { a, b } = twoEnds();
    a.step({ type: "up", incarnation: B, nowMs: 0 });
    b.step({ type: "up", incarnation: A, nowMs: 0 });
    expect(a.deadlineMs).toBe(100);
    expect(framesOf(a.step({ type: "tick", nowMs: 99 }))).toEqual([]);
    const again = framesOf(a.step({ type: "tick", nowMs: 100 }));
    expect(again).toMatchObject([{ asks: true }]);
    carry(carry(again, b, 101).frames, a, 102);
    expect(a.deadlineMs).toBe(never);
  });

  test("it goes on where the peer is, and not before", () => {
    const { a, b } = connected();
    carry(send(a, "one", 1), b, 1);
    const lost = send(a, "two", 2);
    expect(lost).toHaveLength(1);
    for (const end of [a, b]) end.step({ type: "down" });
    expect(send(a, "three", 3)).toEqual([]);
    const question = framesOf(a.step({ type: "up", incarnation: B, nowMs: 10 }));
    b.step({ type: "up", incarnation: A, nowMs: 10 });
    const sent = carry(carry(question, b, 11).frames, a, 12).frames;
    expect(sent.map((frame) => frame.batch?.first)).toEqual([1, 2]);
    expect(carry(sent, b, 13).texts).toEqual(["two", "three"]);
  });

  test("what comes in while the peer is down here is dropped", () => {
    const { a, b } = connected();
    const sent = send(a, "one", 1);
    b.step({ type: "down" });
    expect(carry(sent, b, 2).effects).toEqual([]);
    expect(b.state.expected).toBe(0);
  });
});

describe("flow control", () => {
  test("a batch goes if it begins within the credit, however large it is", () => {
    const { a, b } = connected();
    expect(send(a, "x".repeat(996), 1)).toHaveLength(1);
    expect(send(a, "y".repeat(5_000), 1)).toEqual([]);
    const { a: other } = connected();
    expect(send(other, "x".repeat(995), 1)).toHaveLength(1);
    expect(other.state.givenBytes).toBe(1_000);
    expect(send(other, "", 1)).toEqual([]);
    const { a: third } = connected();
    expect(send(third, "x".repeat(900), 1)).toHaveLength(1);
    expect(send(third, "y".repeat(5_000), 1)).toHaveLength(1);
    expect(send(third, "", 1)).toEqual([]);
    expect(b.state.expected).toBe(0);
  });

  test("what the taker takes is credit for more, said at once when it is a quarter", () => {
    const { a, b } = connected();
    const first = send(a, "x".repeat(996), 1);
    expect(send(a, "more", 1)).toEqual([]);
    // A quarter of the window came in: that is said at once, but it gives no credit.
    expect(carry(carry(first, b, 2).frames, a, 3).frames).toEqual([]);
    expect(b.step({ type: "taken", bytes: 100, nowMs: 4 })).toEqual([]);
    expect(b.deadlineMs).toBe(9);
    const news = framesOf(b.step({ type: "taken", bytes: 900, nowMs: 5 }));
    expect(news).toMatchObject([{ credit: 2_000 }]);
    expect(carry(carry(news, a, 6).frames, b, 7).texts).toEqual(["more"]);
  });

  test("when the news of credit is lost, the sender asks", () => {
    const { a, b } = connected();
    const first = send(a, "x".repeat(996), 1);
    send(a, "more", 1);
    carry(carry(first, b, 2).frames, a, 3);
    b.step({ type: "taken", bytes: 1_000, nowMs: 4 });
    b.step({ type: "tick", nowMs: 9 });
    const asked: ParsedFrame[] = [];
    for (let nowMs = 10; asked.length === 0; nowMs += 10) {
      expect(nowMs).toBeLessThan(300);
      if (a.deadlineMs <= nowMs) asked.push(...framesOf(a.step({ type: "tick", nowMs })));
    }
    expect(asked).toMatchObject([{ asks: true }]);
    expect(carry(carry(carry(asked, b, 300).frames, a, 301).frames, b, 302).texts).toEqual([
      "more",
    ]);
  });

  test("who sends beyond the credit is not listened to", () => {
    const { a, b } = connected();
    const generous = { acknowledged: 0, credit: 1_000_000, asks: false, answers: false, oldest: 0 };
    carry([{ stream: 0, epoch: 7, from: B, to: A, ...generous }], a, 0);
    const frames = Array.from({ length: 20 }, () => send(a, "x".repeat(96), 1)).flat();
    expect(frames).toHaveLength(20);
    const { effects, texts } = carry(frames, b, 2);
    expect(texts).toHaveLength(10);
    expect(effects.filter(({ type }) => type === "malformed")).toHaveLength(10);
    expect(effects).toContainEqual({ type: "malformed", reason: "it goes beyond the credit" });
  });
});

describe("acknowledgements", () => {
  test("go with a batch if one goes in time, and else by themselves", () => {
    const { a, b } = connected();
    carry(send(a, "ping", 1), b, 1);
    expect(b.deadlineMs).toBe(6);
    expect(send(b, "pong", 3)).toMatchObject([{ acknowledged: 1 }]);
    expect(b.deadlineMs).toBe(never);
    carry(send(a, "ping", 4), b, 4);
    expect(framesOf(b.step({ type: "tick", nowMs: 9 }))).toMatchObject([{ acknowledged: 2 }]);
  });

  test("one that the transport dropped is said again, also where no frame is lost otherwise", () => {
    const { a, b } = connected();
    carry(send(a, "one", 1), b, 1);
    expect(framesOf(b.step({ type: "tick", nowMs: 6 }))).toHaveLength(1);
    b.step({ type: "dropped", nowMs: 6 });
    expect(b.deadlineMs).toBe(56);
    const again = framesOf(b.step({ type: "tick", nowMs: 56 }));
    carry(again, a, 57);
    expect(a.state.queue).toEqual([]);
    expect(a.waitingBytes).toBe(0);
  });

  test("frames may be written over once they have arrived, but for what was sent twice", () => {
    const { a, b } = connected();
    for (const text of ["one", "two"]) a.step({ type: "send", batch: batch(text), nowMs: 1 });
    expect(a.reusableFromBytes).toBe(0);
    a.step({ type: "dropped", nowMs: 1 });
    a.step({ type: "tick", nowMs: 60 });
    const sent = a.givenBytes;
    expect(a.reusableFromBytes).toBe(sent);
    const [frame] = framesOf(a.step({ type: "send", batch: batch("three"), nowMs: 61 }));
    carry(frame ? [frame] : [], b, 62);
    expect(a.reusableFromBytes).toBe(sent);
    expect(connected({ reliable: false }).a.reusableFromBytes).toBe(never);
  });

  test("what the transport dropped is sent again after a while", () => {
    const { a, b } = connected();
    expect(send(a, "one", 1)).toHaveLength(1);
    a.step({ type: "dropped", nowMs: 1 });
    a.step({ type: "dropped", nowMs: 40 });
    expect(a.deadlineMs).toBe(51);
    const again = framesOf(a.step({ type: "tick", nowMs: 51 }));
    expect(carry(again, b, 52).texts).toEqual(["one"]);
    expect(a.deadlineMs).toBe(never);
  });

  test("of what was never sent, or that nothing older will come, are reported, and change nothing", () => {
    const { a } = connected();
    send(a, "one", 1);
    const before = structuredClone(a.state);
    const header = { stream: 0, epoch: 7, from: B, to: A, credit: 9, asks: true, answers: false };
    for (const said of [
      { acknowledged: 2, oldest: 0 },
      { acknowledged: 1, oldest: 1 },
    ])
      expect(a.step({ type: "frame", frame: { ...header, ...said }, nowMs: 2 })).toEqual([
        { type: "behind", records: 1 },
      ]);
    expect(a.state).toEqual(before);
  });
});

describe("an unreliable transport", () => {
  const unreliable = { reliable: false };

  test("what comes before its turn waits, and what comes again is dropped", () => {
    const { a, b } = connected(unreliable);
    const [one, two, three] = ["one", "two", "three"].flatMap((text) => send(a, text, 1));
    if (!one || !two || !three) throw new Error("three batches are sent");
    expect(carry([three, two, three], b, 2).texts).toEqual([]);
    expect(b.state.early.size).toBe(2);
    expect(carry([one, one, two, three], b, 3).texts).toEqual(["one", "two", "three"]);
    expect(b.state.early.size).toBe(0);
    expect(b.state.earlyBytes).toBe(0);
  });

  test("what comes again is acknowledged again: the first time that may have been lost", () => {
    const { a, b } = connected(unreliable);
    const sent = send(a, "one", 1);
    carry(sent, b, 1);
    b.step({ type: "tick", nowMs: 6 });
    expect(b.deadlineMs).toBe(never);
    carry(sent, b, 120);
    expect(framesOf(b.step({ type: "tick", nowMs: 125 }))).toMatchObject([{ acknowledged: 1 }]);
  });

  test("early batches are bounded in number and in bytes", () => {
    const { a, b } = connected({ ...unreliable, windowBytes: 1_000_000 });
    const frames = Array.from({ length: 3_000 }, (_, i) => send(a, `${i}`, 1)).flat();
    carry(frames.slice(1), b, 2);
    expect(b.state.early.size).toBe(1_024);
    const small = connected(unreliable);
    const first = send(small.a, "first", 1);
    const later = Array.from({ length: 30 }, () => ({
      ...(send(small.a, "x".repeat(96), 1)[0] ?? first[0]),
    })) as ParsedFrame[];
    carry(later, small.b, 2);
    expect(small.b.state.earlyBytes).toBeLessThanOrEqual(2_000);
  });

  describe("without an order", () => {
    const unordered: Partial<LinkOptions> = { ...unreliable, order: "none" };

    test("nothing waits for what was lost before it; each comes once, and is acknowledged in order", () => {
      const { a, b } = connected(unordered);
      const [one, two, three] = ["one", "two", "three"].flatMap((text) => send(a, text, 1));
      if (!one || !two || !three) throw new Error("three batches are sent");
      expect(carry([three, two, three], b, 2).texts).toEqual(["three", "two"]);
      expect(framesOf(b.step({ type: "tick", nowMs: 8 }))).toMatchObject([{ acknowledged: 0 }]);
      expect(carry([two, one, one, three], b, 9).texts).toEqual(["one"]);
      expect(framesOf(b.step({ type: "tick", nowMs: 20 }))).toMatchObject([{ acknowledged: 3 }]);
      expect([b.state.early.size, b.state.earlyBytes]).toEqual([0, 0]);
    });

    test("what is handed up early is bounded as what would be kept is; the missing one always fits", () => {
      const { a, b } = connected({ ...unordered, windowBytes: 1_000_000 });
      const frames = Array.from({ length: 3_000 }, (_, i) => send(a, `${i}`, 1)).flat();
      expect(carry(frames.slice(1), b, 2).texts).toHaveLength(1_024);
      expect(carry(frames.slice(0, 1), b, 3).texts).toEqual(["0"]);
      expect(b.state.expected).toBe(1_025);
      const small = connected(unordered);
      const [first, ...rest] = ["first", "x".repeat(900), "y".repeat(5_000)].flatMap((text) =>
        send(small.a, text, 1),
      );
      if (!first) throw new Error("it is sent");
      // Nothing is taken, and it is more than the window: the one that they overtook is let in all the same.
      expect(carry(rest, small.b, 2).texts).toHaveLength(1);
      expect(carry([first, ...rest], small.b, 3).texts.map((text) => text[0])).toEqual(["f", "y"]);
    });
  });

  test("waits twice as long before it sends again, and again, but not longer than that", () => {
    const { a } = connected(unreliable);
    send(a, "one", 0);
    const sentAtMs: number[] = [];
    while (sentAtMs.length < 12) {
      const nowMs = a.deadlineMs;
      if (framesOf(a.step({ type: "tick", nowMs })).some((frame) => frame.batch))
        sentAtMs.push(nowMs);
    }
    const waits = sentAtMs.slice(1).map((at, i) => at - (sentAtMs[i] ?? 0));
    expect(waits.slice(0, 2)).toEqual([50, 100]);
    expect(new Set(waits.slice(2))).toEqual(new Set([100]));
  });

  test("measures the round trip (Jacobson 1988), but not of what was sent twice (Karn and Partridge 1987)", () => {
    const { a, b } = connected(unreliable);
    a.state.roundTripMs = 40;
    carry(carry(send(a, "x".repeat(500), 0), b, 20).frames, a, 40);
    expect(a.state.roundTripMs).toBe(40);
    const sent = send(a, "x".repeat(500), 1_000);
    a.step({ type: "tick", nowMs: a.deadlineMs });
    carry(carry(sent, b, 5_000).frames, a, 5_020);
    expect(a.state.queue).toEqual([]);
    expect(a.state.roundTripMs).toBe(40);
  });

  test("nor of what waited behind that", () => {
    const { a, b } = connected(unreliable);
    send(a, "lost", 0);
    carry(send(a, "behind", 50), b, 60);
    const nowMs = a.deadlineMs;
    const again = framesOf(a.step({ type: "tick", nowMs })).filter((frame) => frame.batch);
    expect(again.length).toBe(1);
    for (const frame of again) b.step({ type: "frame", frame, nowMs });
    const acknowledged = framesOf(b.step({ type: "tick", nowMs: nowMs + 100 }));
    for (const frame of acknowledged) a.step({ type: "frame", frame, nowMs: nowMs + 100 });
    expect(a.state.queue).toEqual([]);
    expect(a.state.roundTripMs).toBe(0.01);
  });

  test("takes the first sample from the answer to its question, before any batch is sent", () => {
    const { a, b } = twoEnds(unreliable);
    const question = framesOf(a.step({ type: "up", incarnation: B, nowMs: 100 }));
    // What the peer asks by itself crosses, and is no answer.
    carry(framesOf(b.step({ type: "up", incarnation: A, nowMs: 0 })), a, 110);
    expect(a.state.roundTripMs).toBe(0);
    carry(carry(question, b, 400).frames, a, 700);
    expect(a.state.roundTripMs).toBe(600);
    send(a, "one", 1_000);
    expect(a.deadlineMs).toBe(1_000 + 600 + 4 * 300 + 5);
  });
});

describe("a peer that comes back without its state", () => {
  test("finds both directions at their beginning, whoever of the two notices first", () => {
    for (const first of ["a", "b"] as const) {
      const { a, b } = connected();
      carry(send(a, "one", 1), b, 1);
      carry(send(b, "two", 1), a, 1);
      send(a, "lost on the way", 2);
      // B starts again, as another.
      const again = new Link({ ...options, incarnation: 33 });
      const down = a.step({ type: "down" });
      expect(down).toEqual([]);
      const up = (): ParsedFrame[] => {
        const effects = a.step({ type: "up", incarnation: 33, nowMs: 5 });
        expect(effects).toContainEqual({ type: "reset", unsent: 1 });
        return framesOf(effects);
      };
      const upAgain = (): ParsedFrame[] =>
        framesOf(again.step({ type: "up", incarnation: A, nowMs: 5 }));
      // A frame of somebody who is not known yet is dropped, and then asked for again.
      let question: ParsedFrame[];
      if (first === "a") {
        question = up();
        expect(carry(question, again, 5).effects).toEqual([]);
        carry(upAgain(), a, 5);
      } else {
        question = upAgain();
        expect(carry(question, a, 5).effects).toEqual([]);
        carry(up(), again, 5);
      }
      for (let nowMs = 10; nowMs < 300; nowMs += 10) talk(a, again, nowMs);
      expect(carry(send(a, "three", 300), again, 300).texts).toEqual(["three"]);
      expect(carry(send(again, "four", 300), a, 300).texts).toEqual(["four"]);
      expect([a.state.expected, again.state.expected]).toEqual([1, 1]);
      // What the old one sent is nobody's any more.
      expect(carry(send(b, "five", 301), a, 301).effects).toEqual([]);
    }
  });

  test("only tells once, and not at the first connection", () => {
    const { a } = twoEnds();
    const resets = (input: LinkInput): number =>
      a.step(input).filter(({ type }) => type === "reset").length;
    expect(resets({ type: "up", incarnation: B, nowMs: 0 })).toBe(0);
    a.step({ type: "down" });
    expect(resets({ type: "up", incarnation: B, nowMs: 0 })).toBe(0);
    expect(resets({ type: "up", incarnation: 33, nowMs: 0 })).toBe(1);
    expect(resets({ type: "up", incarnation: 33, nowMs: 0 })).toBe(0);
  });
});

test("a frame of another epoch or of another life of either end changes nothing", () => {
  const { a, b } = connected();
  const [frame] = send(a, "one", 1);
  if (!frame) throw new Error("it is sent");
  const before = structuredClone(b.state);
  for (const stranger of [{ epoch: 6 }, { epoch: 8 }, { from: 12 }, { to: 23 }])
    expect(b.step({ type: "frame", frame: { ...frame, ...stranger }, nowMs: 2 })).toEqual([]);
  expect(b.state).toEqual(before);
  expect(carry([frame], b, 2).texts).toEqual(["one"]);
});

test("a batch that is not what its header says, or is cut elsewhere than before, is reported and dropped", () => {
  const { a, b } = connected();
  const [one] = send(a, "one", 1);
  const [two] = send(a, "two", 1);
  if (!one?.batch || !two?.batch) throw new Error("they are sent");
  const { body } = one.batch;
  const malformed = (frame: ParsedFrame) => {
    const effects = b.step({ type: "frame", frame, nowMs: 2 });
    return effects.map((effect) => (effect.type === "malformed" ? effect.reason : effect.type));
  };
  const notWhole = ["its records are not what its header says"];
  expect(malformed({ ...one, batch: { ...one.batch, count: 2 } })).toEqual(notWhole);
  expect(malformed({ ...one, batch: { ...one.batch, body: body.subarray(1) } })).toEqual(notWhole);
  expect(malformed({ ...two, batch: { ...two.batch, count: 0, body: new Uint8Array() } })).toEqual(
    notWhole,
  );
  expect(carry([one, two], b, 3).texts).toEqual(["one", "two"]);
  const both = new Uint8Array(body.length * 2);
  both.set(body);
  both.set(body, body.length);
  expect(malformed({ ...two, batch: { ...two.batch, count: 2, body: both } })).toEqual([
    "it cuts the stream elsewhere than before",
  ]);
});

test("an empty message is a message", () => {
  const { a, b } = connected();
  const sent = [...send(a, "", 1), ...send(a, "", 1)];
  expect(sent.map((frame) => frame.batch?.body.length)).toEqual([4, 4]);
  expect(carry(sent, b, 1).texts).toEqual(["", ""]);
});

test("a message of sixteen megabytes goes through in one piece", () => {
  const { a, b } = connected();
  const content = new Uint8Array(16 * 1024 * 1024).fill(7);
  const sent = framesOf(a.step({ type: "send", batch: batchOf(1, content), nowMs: 1 }));
  const [effect] = carry(sent, b, 2).effects;
  if (effect?.type !== "batch") throw new Error("it arrives");
  expect(Buffer.compare(effect.batch.body.subarray(4), content)).toBe(0);
  expect(a.state.givenBytes).toBe(content.length + 4);
  expect(sent[0]?.batch?.body.byteOffset).toBe(BATCH_HEADER_BYTES);
});
