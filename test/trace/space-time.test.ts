import { expect, test } from "vitest";
import { History, type HistoryEvent } from "../../src/trace/history.ts";
import { checkHistory, type Verdict, type Witness } from "../../src/trace/promises.ts";
import { drawSpaceTime } from "../../src/trace/space-time.ts";

const multicast = (process: string, message: string, group = "g"): HistoryEvent => ({
  ...{ type: "multicast", process, group, message, order: "causal-total" },
});
const deliver = (process: string, message: string, group = "g"): HistoryEvent => ({
  ...{ type: "deliver", process, group, message },
});

/** The witness of the first promise that does not hold, or of that one. */
function witnessOf(events: readonly HistoryEvent[], promise?: Verdict["promise"]): Witness {
  const history = new History();
  for (const event of events) history.add(event);
  for (const verdict of checkHistory(history, { uniform: true }))
    if (verdict.holds === false && verdict.promise === (promise ?? verdict.promise))
      return verdict.witness;
  throw new Error("all is well");
}

/** With a frame, so that the editor leaves the left side alone. */
const drawn = (...parameters: Parameters<typeof drawSpaceTime>): string =>
  `\n${drawSpaceTime(...parameters)}\n`;

test("an answer that overtakes its question", () => {
  const witness = witnessOf([
    ...[multicast("ann", "question"), deliver("ann", "question"), deliver("bob", "question")],
    ...[multicast("bob", "answer"), deliver("bob", "answer"), deliver("ann", "answer")],
    ...[deliver("eve", "answer"), deliver("eve", "question")],
  ]);
  expect(drawn(witness)).toMatchInlineSnapshot(`
    "
       ann                        bob                        eve
    1  ● multicasts question ──┬────────────────────────┐    │
    3  │                       └─▶○ delivers question   │    │
    4  │                          ● multicasts answer ──┼─┐  │
    7  │                          │                     │ └─▶✗ delivers answer
    8  │                          │                     └───▶○ delivers question
       │                          │                          │
    "
  `);
});

test("to the left and to the right, and through a message of a channel", () => {
  const witness = witnessOf(
    [
      ...[multicast("p3", "m1"), { type: "send", process: "p3", to: "p1", message: "go" } as const],
      ...[{ type: "receive", process: "p1", from: "p3", message: "go" } as const],
      ...[multicast("p1", "m2"), deliver("p2", "m2"), deliver("p2", "m1")],
    ],
    "causal order",
  );
  expect(drawn(witness)).toMatchInlineSnapshot(`
    "
       p1                       p2                  p3
    1  │                        │               ┌───● multicasts m1
    2  │                 ┌──────────────────────┼───● sends go
    3  ○ receives go ◀───┘      │               │   │
    4  ● multicasts m2 ──────┐  │               │   │
    5  │                     └─▶✗ delivers m2   │   │
    6  │                        ○ delivers m1 ◀─┘   │
       │                        │                   │
    "
  `);
});

test("two orders", () => {
  const witness = witnessOf(
    [
      ...[multicast("p1", "a"), multicast("p2", "b"), deliver("p1", "a"), deliver("p1", "b")],
      ...[deliver("p2", "b"), deliver("p2", "a")],
    ],
    "total order",
  );
  expect(drawn(witness)).toMatchInlineSnapshot(`
    "
       p1                      p2
    1  ● multicasts a ──────┐  │
    2  │                ┌───┼──● multicasts b
    3  ○ delivers a     │   │  │
    4  ○ delivers b ◀───┘   │  │
    5  │                    │  ○ delivers b
    6  │                    └─▶✗ delivers a
       │                       │
    "
  `);
});

test("a delivery that there is not, and a process that crashes", () => {
  const crash = { type: "crash", process: "p1" } as const;
  const witness = witnessOf([multicast("p1", "a"), deliver("p1", "a"), crash, deliver("p3", "b")]);
  const events = [...witness.events, deliver("p3", "a")];
  expect(drawn({ ...witness, events })).toMatchInlineSnapshot(`
    "
       p1                    p3
    1  ● multicasts a ──┬─┐  │
    2  ○ delivers a     │ │  │
    3  † crashes        │ │  │
                        │ └─▶○ delivers a
                        └───▶✗ never delivers a
                             │
    "
  `);
});

test("a circle has an arrow that goes up", () => {
  const witness = witnessOf(
    [deliver("p1", "b"), multicast("p1", "a"), deliver("p2", "a"), multicast("p2", "b")],
    "integrity",
  );
  expect(drawn(witness)).toMatchInlineSnapshot(`
    "
       p1                      p2
    3  │                    ┌─▶✗ delivers a
    4  │                ┌───┼──● multicasts b
    1  ○ delivers b ◀───┘   │  │
    2  ● multicasts a ──────┘  │
       │                       │
    "
  `);
});

test("a delivery that is repeated, and one with no multicast", () => {
  expect(
    drawn({ events: [multicast("p1", "a"), deliver("p2", "a"), deliver("p2", "a")], wrong: 2 }),
  ).toMatchInlineSnapshot(`
    "
    p1                    p2
    ● multicasts a ──┬─┐  │
    │                │ └─▶○ delivers a
    │                └───▶✗ delivers a
    │                     │
    "
  `);
  expect(drawn({ events: [deliver("p1", "a")], wrong: 0 })).toMatchInlineSnapshot(`
    "
    p1
    ✗ delivers a
    │
    "
  `);
});

test("messages of several groups say of which they are", () => {
  expect(
    drawn({ events: [multicast("p1", "a"), deliver("p2", "a"), multicast("p2", "a", "h")] }),
  ).toMatchInlineSnapshot(`
    "
    p1                       p2
    ● multicasts a of g ──┐  │
    │                     └─▶○ delivers a of g
    │                        ● multicasts a of h
    │                        │
    "
  `);
});

const chain = (length: number): HistoryEvent[] =>
  Array.from({ length }, (_, i) => [
    ...[multicast(`p${i}`, `message-${i}`), deliver(`p${i + 1}`, `message-${i}`)],
  ]).flat();

test("what is wider than the terminal loses its verbs, and then its columns", () => {
  expect(drawn({ events: chain(2) }, { columns: 60 })).toMatchInlineSnapshot(`
    "
    p0               p1               p2
    ● message-0 ──┐  │                │
    │             └─▶○ message-0      │
    │                ● message-1 ──┐  │
    │                │             └─▶○ message-1
    │                │                │
    "
  `);
  expect(drawn({ events: chain(2) }, { columns: 30 })).toMatchInlineSnapshot(`
    "
    ppp
    012
    ●││  p0 multicasts message-0
    ├○│  p1 delivers message-0
    │●│  p1 multicasts message-1
    │├○  p2 delivers message-1
    │││
    "
  `);
  expect(drawn({ events: chain(2) }, { columns: 20 })).toMatchInlineSnapshot(`
    "
    p0  ● multicasts me…
    p1  ○ delivers mess…
    p1  ● multicasts me…
    p2  ○ delivers mess…
    "
  `);
});

test("nothing is wider than 100 columns, and p2 comes before p10", () => {
  for (const length of [1, 2, 3, 5, 11, 40]) {
    const lines = drawSpaceTime({ events: chain(length) }).split("\n");
    expect(Math.max(...lines.map((line) => [...line].length))).toBeLessThanOrEqual(100);
  }
  const [head] = drawSpaceTime({ events: ["p10", "p2", "p1"].map((p) => deliver(p, "a")) }).split(
    "\n",
  );
  expect(head?.split(/ +/)).toEqual(["p1", "p2", "p10"]);
});

test("what could drive a terminal is not drawn", () => {
  const events = [multicast("p", "a\u001b[31m\nb"), deliver("q", "\u202e".repeat(300))];
  expect(drawn({ events })).toMatchInlineSnapshot(`
    "
    p                       q
    ● multicasts a?[31m b   │
    │                       ○ delivers ???????????????????????…
    │                       │
    "
  `);
});

test("nothing is drawn of nothing", () => {
  expect(drawSpaceTime({ events: [] })).toBe("");
});
