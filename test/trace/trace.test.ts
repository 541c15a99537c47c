import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { linearize } from "../../src/trace/happens-before.ts";
import { parseHistory } from "../../src/trace/history.ts";
import { checkHistory } from "../../src/trace/promises.ts";
import { messagesOf, parseTrace } from "../../src/trace/trace.ts";

interface Run {
  readonly first: number;
  readonly count: number;
}

/** Numbers from 1 on, cut into runs; a few of them are left out. */
const runs = fc
  .array(fc.record({ count: fc.integer({ min: 1, max: 5 }), isThere: fc.boolean() }), {
    maxLength: 12,
  })
  .map((parts) => {
    let first = 1;
    return parts.flatMap(({ count, isThere }): Run[] => {
      const run = { first, count };
      first += count;
      return isThere || count > 2 ? [run] : [];
    });
  });

const line = (type: "send" | "receive", { first, count }: Run): string =>
  JSON.stringify({
    ...(type === "send" ? { process: "p", type, to: "q" } : { process: "q", type, from: "p" }),
    message: count === 3 ? `${first}` : first,
    ...(count > 1 && { count }),
  });

const numbersIn = ({ first, count }: Run): number[] =>
  Array.from({ length: count }, (_, i) => first + i);

describe("messages that are counted", () => {
  test("arrows lead from each send to each receive that has something of it, in whatever order the lines are", () => {
    fc.assert(
      fc.property(runs, runs, fc.boolean(), fc.boolean(), (sends, receives, turned, first) => {
        const arriving = turned ? [...receives].reverse() : receives;
        const [p, q] = [
          sends.map((one) => line("send", one)),
          arriving.map((one) => line("receive", one)),
        ];
        const trace = parseTrace((first ? [...p, ...q] : [...q, ...p]).join("\n"));
        const of = (type: string, run: Run): number =>
          trace.events.findIndex(
            (event) => event.type === type && Number(event.message) === run.first,
          );
        const expected: string[] = [];
        const unknown: number[] = [];
        for (const receive of receives) {
          const numbers = new Set(numbersIn(receive));
          for (const send of sends) {
            const common = numbersIn(send).filter((one) => numbers.delete(one));
            if (common.length === 0) continue;
            const arrow = { from: of("send", send), to: of("receive", receive) };
            expected.push(`${arrow.from} ${arrow.to}`);
            expect(messagesOf(trace, arrow)).toBe(common.length);
          }
          if (numbers.size > 0) unknown.push(of("receive", receive));
        }
        const found = trace.arrows.map(({ from, to }) => `${from} ${to}`);
        expect(found.sort()).toEqual(expected.sort());
        expect([...trace.unexplained].sort()).toEqual(unknown.sort());
      }),
      { numRuns: 300 },
    );
  });

  test("a history has the same order, message by message", () => {
    fc.assert(
      fc.property(runs, runs, (sends, receives) => {
        // q multicasts after each receive, and p before each send: what q sends happened after what it has received.
        const lines = [
          ...sends.flatMap((one, i) => [
            JSON.stringify({
              ...{ process: "p", type: "multicast", group: "g", message: `p${i}`, order: "causal" },
            }),
            line("send", one),
          ]),
          ...receives.flatMap((one, i) => [
            line("receive", one),
            JSON.stringify({
              ...{ process: "q", type: "multicast", group: "g", message: `q${i}`, order: "causal" },
            }),
          ]),
        ];
        // r delivers all of q, and nothing of p: wrong exactly if something of q came after something of p.
        const delivered = receives.map((_, i) =>
          JSON.stringify({ process: "r", type: "deliver", group: "g", message: `q${i}` }),
        );
        const history = parseHistory(
          ['{"type":"history","complete":false}', ...lines, ...delivered].join("\n"),
        );
        const verdict = checkHistory(history).find(({ promise }) => promise === "causal order");
        const received = new Set(receives.flatMap(numbersIn));
        const passes = sends.some((one) => numbersIn(one).some((number) => received.has(number)));
        if (receives.length === 0) return;
        expect(verdict?.holds ?? true).toBe(!passes);
        expect(linearize(history).turns?.length).toBe(lines.length + delivered.length);
      }),
      { numRuns: 200 },
    );
  });

  test("one that was sent already is refused, with its line", () => {
    const text = [
      line("send", { first: 1, count: 5 }),
      line("send", { first: 5, count: 2 }),
      line("receive", { first: 1, count: 6 }),
    ].join("\n");
    expect(() => parseTrace(text, "f")).toThrow("f:2: that message has been sent already");
    expect(() => checkHistory(parseHistory(text, "f"))).toThrow("f:2: where messages of a channel");
    const same = [line("send", { first: 1, count: 5 }), line("send", { first: 1, count: 5 })];
    expect(() => parseTrace(same.join("\n"), "f")).toThrow(
      "f:2: that message has been sent already",
    );
  });

  test("a time that is no number, values that are no object and a later format are refused", () => {
    for (const [text, reason] of [
      ['"atMs":1e999', "atMs is a JSON number, not Infinity"],
      ['"values":[1]', "values is a JSON object, not a list"],
      ['"fields":null', "fields is a JSON object, not null"],
      ['"text":{}', "text is a JSON string, not an object"],
    ] as const) {
      const line = `{"process":"p","type":"internal",${text}}`;
      expect(() => parseTrace(line, "f")).toThrow(`f:1: ${reason}`);
    }
    const later = '{"type":"history","format":"tidemark-history/2"}';
    for (const parse of [parseTrace, parseHistory])
      expect(() => parse(later, "f")).toThrow('f:1: the format is "tidemark-history/2"');
  });

  test("what is no count is refused", () => {
    for (const count of [0, -1, 1.5, "2", null, 2 ** 40]) {
      const text = JSON.stringify({ process: "p", type: "send", to: "q", message: 1, count });
      expect(() => parseTrace(text, "f")).toThrow("f:1: count is a whole number from 1 to");
      expect(() => parseHistory(text, "f")).toThrow("f:1: count is a whole number from 1 to");
    }
    const large = JSON.stringify({
      process: "p",
      type: "send",
      to: "q",
      message: 2 ** 53 - 1,
      count: 2,
    });
    expect(() => parseTrace(large)).toThrow("its numbers are too large");
  });
});

describe("processes that come back", () => {
  const came = (...pairs: readonly string[]): string[] =>
    pairs.map((pair) => {
      const [process, was] = pair.split(" ");
      return JSON.stringify({ type: "process", process, was });
    });
  const record = (process: string): string =>
    JSON.stringify({ process, type: "record", snapshot: "a/1" });
  const inside = (process: string): string => JSON.stringify({ process, type: "internal" });

  test("a cut has all of who had crashed by then, and nothing of who came later", () => {
    const trace = parseTrace(
      [
        ...came("p.2 p", "p.3 p.2", "p.4 p.3"),
        ...["a", "p", "p.2", "p.2", "p.3"].map(inside),
        ...[record("a"), record("p"), record("p.3"), inside("p.3"), inside("p.4")],
      ].join("\n"),
    );
    const cut = new CausalOrder(trace).cutOf("a/1");
    const named = trace.processes.map((name, p) => `${name}=${cut[p]}`).sort();
    expect(named).toEqual(["a=1", "p.2=2", "p.3=1", "p.4=0", "p=2"]);
  });

  test("nobody was itself before, nor two others", () => {
    expect(() => parseTrace(came("p p").join("\n"), "f")).toThrow(
      "f:1: p cannot have been p before",
    );
    expect(() => parseTrace(came("p q", "q r", "r p").join("\n"), "f")).toThrow("f:3: r cannot");
    expect(() => parseTrace(came("p q", "p r").join("\n"), "f")).toThrow("f:2: p cannot");
  });
});

test("of a history that does not go back to the beginning nothing is judged by what may have come before", () => {
  const lines = [
    { process: "p", type: "multicast", group: "g", message: 2, order: "causal-total" },
    { process: "q", type: "deliver", group: "g", message: 1, from: "p" },
    { process: "q", type: "deliver", group: "g", message: 2 },
    { process: "p", type: "deliver", group: "g", message: 2 },
    { process: "p", type: "deliver", group: "g", message: 1 },
  ];
  const verdicts = (head: object): unknown =>
    Object.fromEntries(
      checkHistory(
        parseHistory(
          [{ type: "history", ...head }, ...lines].map((one) => JSON.stringify(one)).join("\n"),
        ),
      ).map(({ promise, holds }) => [promise, holds]),
    );
  const common = { validity: null, agreement: null };
  expect(verdicts({ complete: false })).toMatchObject({ ...common, integrity: false });
  expect(verdicts({ complete: false, late: true })).toEqual({
    ...{ ...common, integrity: true, "FIFO order": null, "causal order": null },
    // Who both deliver two messages agree on their order, whatever came before; of 1 nobody knows what it asked for.
    "total order": true,
  });
});
