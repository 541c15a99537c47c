// What is drawn in the ordering lab is carried by the machines that ship: whatever is drawn, they keep what was asked for.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ORDER_LEVELS } from "../../src/core/order-level.ts";
import {
  judge,
  newConflict,
  plainClocks,
  plainConflicts,
  plainOf,
} from "../../web/ordering-lab/judge.ts";
import {
  destinationsOf,
  EMPTY_LAB,
  LAB_ORDERS,
  type Lab,
  labOfLink,
  linkOf,
  readLab,
  withDelay,
  withMessage,
  withMessageChanged,
  withoutProcess,
  withProcess,
  withProcessMoved,
  withProcessRenamed,
  withSnapshot,
  writeLab,
} from "../../web/ordering-lab/lab.ts";
import { lookAt, type Run, runLab } from "../../web/ordering-lab/lab-run.ts";
import { PRESETS } from "../../web/ordering-lab/presets.ts";
import { cases } from "../support/soak.ts";

const IDS = ["ann", "bob", "eve", "fay", "gus"];

/** Labs as somebody may draw them, with orders among these. */
function labs(orders: Lab["messages"][number]["order"][] = [...LAB_ORDERS]): fc.Arbitrary<Lab> {
  return fc.integer({ min: 2, max: 5 }).chain((size) => {
    const processes = IDS.slice(0, size);
    const id = fc.constantFrom(...processes);
    const delays = fc.uniqueArray(fc.record({ to: id, ms: fc.integer({ min: 1, max: 400 }) }), {
      selector: ({ to }) => to,
    });
    const message = fc.record({
      from: id,
      to: fc.option(id, { nil: undefined, freq: 4 }),
      atMs: fc.integer({ min: 0, max: 500 }),
      order: fc.constantFrom(...orders),
      delays,
    });
    return fc
      .record({
        channels: fc.constantFrom("fifo" as const, "none" as const),
        total: fc.constantFrom("sequencer" as const, "agreed" as const),
        delayMs: fc.integer({ min: 1, max: 200 }),
        messages: fc.array(message, { maxLength: 8 }),
        snapshots: fc.array(
          fc.record({ at: id, atMs: fc.integer({ min: 0, max: 600 }), delays: fc.constant([]) }),
          { maxLength: 2 },
        ),
      })
      .map(
        ({ messages, ...rest }): Lab => ({
          ...{ ...EMPTY_LAB, processes, ...rest },
          messages: messages.map(({ to, ...one }, i) => ({
            ...{ ...one, name: `m${i + 1}` },
            ...(to === undefined || to === one.from ? {} : { to }),
          })),
        }),
      );
  });
}

/** What each process delivers, in its order. */
const deliveredIn = (lab: Lab, run: Run): Record<string, string> =>
  Object.fromEntries(
    lab.processes.map((id) => [
      id,
      run.deliveries
        .filter(({ at }) => at === id)
        .map(({ message }) => message)
        .join(" "),
    ]),
  );

const presetOf = (id: string): Lab => PRESETS.find((one) => one.id === id)?.lab as Lab;

describe("whatever is drawn", () => {
  test("is delivered wherever it is to, once, not before it has come, and in the order that was asked for", () => {
    fc.assert(
      fc.property(labs(), (lab) => {
        const run = runLab(lab);
        expect(run.problems).toEqual([]);
        expect(judge(lab, run, { beside: false }).conflicts).toEqual([]);
        const expected = lab.messages.flatMap((message) => [
          ...(message.to === undefined ? [`${message.name} ${message.from}`] : []),
          ...destinationsOf(lab, message).map((id) => `${message.name} ${id}`),
        ]);
        expect(run.deliveries.map(({ message, at }) => `${message} ${at}`).sort()).toEqual(
          expected.sort(),
        );
        for (const { message, at, receivedMs, deliveredMs } of run.deliveries) {
          const sent = run.sends.get(message)?.atMs as number;
          expect(deliveredMs).toBeGreaterThanOrEqual(receivedMs);
          expect(receivedMs).toBeGreaterThanOrEqual(sent);
          const frame = run.frames.find((one) => one.message === message && one.to === at);
          expect(receivedMs).toBe(frame?.arrivesMs ?? sent);
        }
      }),
      { numRuns: cases("ordering-lab", 60, 60_000) },
    );
  });

  test("takes the time that was drawn, but for what waits behind another one on a channel in FIFO order", () => {
    fc.assert(
      fc.property(labs(), (lab) => {
        for (const { wantedMs, arrivesMs, sentMs, message, to } of runLab(lab).frames) {
          if (lab.channels === "none") expect(arrivesMs).toBe(wantedMs);
          else expect(arrivesMs).toBeGreaterThanOrEqual(wantedMs);
          const one = lab.messages.find(({ name }) => name === message);
          if (one)
            expect(wantedMs - sentMs).toBe(
              one.delays.find((delay) => delay.to === to)?.ms ?? lab.delayMs,
            );
        }
      }),
      { numRuns: cases("ordering-lab", 40, 40_000) },
    );
  });

  test("comes out the same each time, and a look at the end is what the run says", () => {
    fc.assert(
      fc.property(labs(), (lab) => {
        const run = runLab(lab);
        expect(runLab(lab)).toEqual(run);
        const looks = lookAt(lab, run.endMs);
        expect(
          Object.fromEntries(looks.map(({ process, delivered }) => [process, delivered.join(" ")])),
        ).toEqual(deliveredIn(lab, run));
        expect(looks.flatMap(({ held }) => held)).toEqual([]);
      }),
      { numRuns: cases("ordering-lab", 40, 40_000) },
    );
  });

  test("is held back, by the looks, exactly while the run says so, and each time for a reason", () => {
    let held = 0;
    fc.assert(
      fc.property(labs(), fc.integer({ min: 0, max: 900 }), (lab, atMs) => {
        const { deliveries } = runLab(lab);
        for (const look of lookAt(lab, atMs)) {
          const expected = deliveries.filter(
            ({ at, receivedMs, deliveredMs }) =>
              at === look.process && receivedMs <= atMs && deliveredMs > atMs,
          );
          // What is for one member has its place in the queues of all.
          const own = look.held.filter(({ message }) => {
            const one = lab.messages.find(({ name }) => name === message);
            return one?.to === undefined || one.to === look.process;
          });
          expect(own.map(({ message }) => message).sort()).toEqual(
            expected.map(({ message }) => message).sort(),
          );
          for (const { why } of look.held) expect(why).toMatch(/it waits for|ha(s|ve) not come/);
          held += look.held.length;
        }
      }),
      { numRuns: cases("ordering-lab", 120, 120_000), seed: 8 },
    );
    expect(held).toBeGreaterThan(10);
  });

  test("gives consistent cuts: what is received in one was sent in it, and what was sent is received, held or in flight", () => {
    let inFlight = 0;
    fc.assert(
      fc.property(labs(), (lab) => {
        for (const { pieces, problem, cutMs } of runLab(lab).snapshots) {
          expect(problem).toBeUndefined();
          expect(cutMs).toBeGreaterThanOrEqual(0);
          expect([...pieces.keys()].sort()).toEqual([...lab.processes].sort());
          for (const message of lab.messages) {
            const isSent = pieces.get(message.from)?.sent.includes(message.name) ?? false;
            for (const id of destinationsOf(lab, message)) {
              const piece = pieces.get(id);
              const flying = piece?.channels.some(({ messages }) =>
                messages.includes(message.name),
              );
              const isThere = [...(piece?.delivered ?? []), ...(piece?.held ?? [])].includes(
                message.name,
              );
              if (flying) inFlight += 1;
              // What is for one member is with all others, too, and in nobody's queue once that one has had it.
              expect(Number(isThere) + Number(flying), `${message.name} at ${id}`).toBe(
                Number(isSent),
              );
            }
          }
        }
      }),
      { numRuns: cases("ordering-lab", 60, 60_000) },
    );
    expect(inFlight).toBeGreaterThan(10);
  });

  test("breaks each order in some lab if nothing asks for it: the judge can tell", () => {
    const broken = new Set<string>();
    fc.assert(
      fc.property(labs(["none"]), (lab) => {
        const order = "causal-total";
        for (const { promise, messages } of judge(lab, runLab(lab), { beside: true, order })
          .conflicts) {
          broken.add(promise);
          expect(messages.length).toBeGreaterThan(1);
        }
      }),
      { numRuns: 200, seed: 1 },
    );
    expect([...broken].sort()).toEqual(["FIFO order", "causal order", "total order"]);
  });

  test("survives a link and a file", () => {
    fc.assert(
      fc.property(labs(), (lab) => {
        expect(readLab(writeLab(lab))).toEqual(lab);
        const link = linkOf(lab);
        if (link !== undefined) expect(labOfLink(link)).toEqual(lab);
      }),
    );
  });

  test("stays in right form through every change", () => {
    const changes: fc.Arbitrary<(lab: Lab) => Lab>[] = [
      fc.constantFrom(...IDS).map((id) => (lab) => withoutProcess(lab, id)),
      fc.constant(withProcess),
      fc.tuple(fc.constantFrom(...IDS), fc.constantFrom(1, -1)).map(
        ([id, by]) =>
          (lab) =>
            lab.processes.includes(id) ? withProcessMoved(lab, id, by as 1 | -1) : lab,
      ),
      fc.nat({ max: 4 }).map((i) => (lab) => {
        const id = lab.processes[i % lab.processes.length] as string;
        return lab.processes.includes("zoe") ? lab : withProcessRenamed(lab, id, "zoe");
      }),
      fc.tuple(fc.nat({ max: 8 }), fc.constantFrom(...IDS), fc.integer()).map(
        ([i, to, ms]) =>
          (lab) =>
            lab.processes.includes(to) ? withDelay(lab, `m${i}`, to, ms) : lab,
      ),
      fc.tuple(fc.nat({ max: 8 }), fc.constantFrom(...IDS), fc.integer()).map(
        ([i, from, atMs]) =>
          (lab) =>
            lab.processes.includes(from)
              ? withMessageChanged(lab, `m${i}`, { from, atMs, name: `m${i + 1}` })
              : lab,
      ),
      fc.integer().map((atMs) => (lab) => withSnapshot(lab, lab.processes[0] as string, atMs)),
    ];
    fc.assert(
      fc.property(labs(), fc.array(fc.oneof(...changes), { maxLength: 12 }), (lab, steps) => {
        const last = steps.reduce((now, step) => step(now), lab);
        expect(readLab(writeLab(last))).toEqual(last);
      }),
    );
  });
});

describe("the examples", () => {
  test("give the deliveries that they are there for", () => {
    const seen = Object.fromEntries(
      PRESETS.map(({ id, lab }) => [id, deliveredIn(lab, runLab(lab))]),
    );
    expect(seen).toEqual({
      "reply-overtakes": {
        ann: "question answer",
        bob: "question answer",
        eve: "answer question",
      },
      "reply-waits": { ann: "question answer", bob: "question answer", eve: "question answer" },
      "fifo-is-not-enough": {
        ann: "question answer",
        bob: "question answer",
        eve: "answer question",
      },
      "fifo-violation": { ann: "open close", bob: "open close", eve: "close open" },
      "fifo-order": { ann: "open close", bob: "open close", eve: "open close" },
      "two-writes": { ann: "write-1 write-2", bob: "write-2 write-1", eve: "write-2 write-1" },
      sequencer: { ann: "write-1 write-2", bob: "write-1 write-2", eve: "write-1 write-2" },
      agreed: { ann: "write-1 write-2", bob: "write-1 write-2", eve: "write-1 write-2" },
      "third-process": { ann: "a b c", bob: "a b c", eve: "a b c", fay: "a b c" },
      "fifo-total-is-not-causal": {
        ann: "price remark",
        bob: "price remark",
        eve: "remark price",
      },
      "beside-the-group": {
        ann: "news reply",
        bob: "news reply",
        eve: "whisper reply news",
        fay: "reply news",
      },
      "in-flight": { ann: "thanks", bob: "money" },
      lecture: { P1: "h→d", P2: "b→f i→g", P3: "e→k" },
      "held-in-snapshot": {
        ann: "question answer",
        bob: "question answer",
        eve: "question answer",
      },
    });
  });

  test("say what they show, and are in right form", () => {
    for (const { lab } of PRESETS) {
      expect(readLab(writeLab(lab))).toEqual(lab);
      expect(lab.see).toMatch(/^[A-Z].*\.$/);
      expect(linkOf(lab)).toBeDefined();
    }
    expect(new Set(PRESETS.map(({ id }) => id)).size).toBe(PRESETS.length);
  });

  test("break what they say", () => {
    const brokenIn = (id: string): readonly string[] => {
      const lab = presetOf(id);
      return judge(lab, runLab(lab), { beside: true, order: "causal-total" }).conflicts.map(
        ({ promise }) => promise,
      );
    };
    expect(brokenIn("reply-overtakes")).toEqual(["causal order", "total order"]);
    expect(brokenIn("fifo-violation")).toEqual(["FIFO order", "causal order", "total order"]);
    expect(brokenIn("two-writes")).toEqual(["total order"]);
    expect(brokenIn("beside-the-group")).toContain("causal order");
    expect(brokenIn("fifo-total-is-not-causal")).toContain("causal order");
    expect(brokenIn("third-process")).toEqual([]);
  });

  test("of the lecture notes: three states, and h→d in flight", () => {
    const [snapshot] = runLab(presetOf("lecture")).snapshots;
    expect(
      [...(snapshot?.pieces ?? [])]
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([id, { sent, delivered, channels }]) => [
          id,
          sent.join(),
          delivered.join(),
          channels
            .flatMap(({ from, messages }) => messages.map((name) => `${from}: ${name}`))
            .join(),
        ]),
    ).toEqual([
      ["P1", "b→f", "", "P2: h→d"],
      ["P2", "h→d", "b→f,i→g", ""],
      ["P3", "i→g", "", ""],
    ]);
  });

  test("why the answer is held back, from the machine itself", () => {
    const eve = lookAt(presetOf("reply-waits"), 250).find(({ process }) => process === "eve");
    expect(eve?.held).toEqual([
      {
        message: "answer",
        why: "packet 1 of bob (causal, 1 message) is held at eve for 40 ms: it waits for packet 1 of ann, which has not come here",
      },
    ]);
    expect(eve?.group.stamp).toEqual([0, 0, 0]);
    const later = lookAt(presetOf("reply-waits"), 340).find(({ process }) => process === "eve");
    expect(later?.group.stamp).toEqual([1, 1, 0]);
  });

  test("what is told of a total order, by either engine", () => {
    const marks = (id: string) =>
      runLab(presetOf(id)).frames.flatMap(({ from, to, kind, mark }) =>
        mark === undefined ? [] : [`${kind} ${from} ${to} ${mark}`],
      );
    // The sequencer's place for its own message travels with it.
    expect(marks("sequencer")).toEqual([
      "message ann bob #1",
      "message ann eve #1",
      "order ann bob #2",
      "order ann eve #2",
    ]);
    expect(marks("agreed").map((mark) => mark.split(" ")[0])).toEqual(
      expect.arrayContaining(["proposal", "order"]),
    );
  });
});

describe("what would break an order", () => {
  test("is named with the messages that show it", () => {
    const lab = presetOf("reply-waits");
    const [conflict] = plainConflicts(lab, runLab(plainOf(lab)));
    expect(conflict).toMatchObject({
      promise: "causal order",
      messages: ["answer", "question"],
      at: "eve",
    });
  });

  test("is refused when a change brings it about, and not if it was there before", () => {
    const lab = presetOf("reply-waits");
    const right = withDelay(lab, "question", "eve", 60);
    expect(newConflict(right, lab)?.promise).toBe("causal order");
    expect(newConflict(lab, right)).toBeUndefined();
    expect(newConflict(lab, withDelay(lab, "question", "eve", 310))).toBeUndefined();
  });
});

test("plain vector clocks are happens-before: of a reply, after its question", () => {
  const run = runLab(presetOf("reply-overtakes"));
  const clocks = plainClocks(run.events);
  const of = (process: string, message: string) =>
    clocks[run.events.findIndex((one) => one.process === process && one.message === message)];
  expect(of("ann", "question")).toEqual({ ann: 1 });
  expect(of("bob", "answer")).toEqual({ ann: 1, bob: 2 });
});

describe("what is no lab", () => {
  const lab = presetOf("reply-waits");
  const [message] = lab.messages;
  test.each([
    ["no JSON", "{", "it is no JSON"],
    ["a list", "[]", "it must be an object"],
    ["a trace", '{"format":"tidemark-trace/1"}', "format must be tidemark-lab/1"],
    ["one process", { processes: ["ann"] }, "processes must name 2 to 8 processes"],
    ["a process twice", { processes: ["ann", "ann", "eve"] }, "no two alike"],
    [
      "an unknown order",
      { messages: [{ ...message, order: "best" }] },
      "messages[#0].order must be",
    ],
    ["a time before 0", { messages: [{ ...message, atMs: -1 }] }, "messages[#0].atMs must be"],
    ["an unknown receiver", { messages: [{ ...message, to: "joe" }] }, "speak only of its own"],
    [
      "a message to oneself",
      { messages: [{ ...message, to: "ann" }] },
      "no message from one to itself",
    ],
    ["two of one name", { messages: [message, message] }, "no two messages of one name"],
    ["a delay of 0", { messages: [{ ...message, delays: [{ to: "bob", ms: 0 }] }] }, "from 1 to"],
    ["an endless name", { messages: [{ ...message, name: "x".repeat(25) }] }, "1 to 24 characters"],
  ])("%s is refused in words", (_what, change, words) => {
    const text = typeof change === "string" ? change : writeLab({ ...lab, ...(change as object) });
    expect(() => readLab(text)).toThrow(words);
  });

  test("a link that was cut off", () => {
    const link = linkOf(lab) as string;
    expect(() => labOfLink(link.slice(0, 101))).toThrow(/cut off|no JSON/);
    expect(() => labOfLink("what is this?")).toThrow("none of a lab");
    expect(() => labOfLink("_w")).toThrow("none of a lab");
  });

  test("a lab that is too large for a link has none", () => {
    let large = EMPTY_LAB;
    for (let i = 0; i < 70; i += 1)
      large = withMessage(large, {
        ...{ name: `m${i}`, from: "ann", atMs: i, order: "fifo" as const },
        delays: [
          { to: "bob", ms: 10 },
          { to: "eve", ms: 10 },
        ],
      });
    expect(large.messages).toHaveLength(60);
    expect(linkOf(large)).toBeUndefined();
  });
});

test("every order of the lab is one of the group, but for none", () => {
  expect(LAB_ORDERS.slice(1)).toEqual(Object.keys(ORDER_LEVELS));
});
