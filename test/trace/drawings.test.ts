// What is written for other programs: ITF as a reader of others takes it, and Mermaid and Graphviz with texts that mean something there.
import { ofItf } from "@informalsystems/quint/dist/src/itf.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { dotLines, itfLines, mermaidLines } from "../../src/trace/drawings.ts";
import { parseTrace, type Trace, TraceBuilder } from "../../src/trace/trace.ts";
import { cases } from "../support/soak.ts";
import { anyTrace } from "./support/random-trace.ts";

const RUN = parseTrace(
  [
    { process: "p", type: "send", to: "q", message: "M", values: { money: 70, open: true } },
    { process: "q", type: "internal", text: "waits" },
    {
      process: "q",
      type: "receive",
      from: "p",
      message: "M",
      values: { money: 2 ** 60, list: [1, "x", null, 0.5] },
    },
    { process: "q", type: "send", to: "p", message: "N" },
    { process: "q", type: "crash", values: { odd: { "#set": 1 } } },
    { process: "p", type: "receive", from: "q", message: "N", text: "thanks" },
  ]
    .map((line) => JSON.stringify(line))
    .join("\n"),
);

/** A trace of two processes with those texts everywhere. */
function traceOf(names: readonly [string, string], texts: readonly string[]): Trace {
  const builder = new TraceBuilder(texts[0] ?? "");
  for (const name of names) builder.process(name);
  for (const [i, text] of texts.entries()) {
    builder.event(names[i % 2] ?? "", { type: "internal", text });
    if (i % 3 === 1) builder.arrow(i - 1, i);
  }
  return builder.end();
}

const signs = fc.constantFrom(
  ...[
    "end",
    "END",
    "#",
    "#35;",
    ";",
    ":",
    '"',
    "\\",
    "<b>",
    "&lt;",
    "&",
    "%%",
    "%%{init}%%",
    "$$x$$",
  ],
  ...[
    "\n",
    "\r\n",
    "\u2028",
    "\u0000",
    "\u001b[31m",
    "->>",
    "-->",
    "note over",
    "wrap:",
    "{",
    "}",
    "[",
    "]",
  ],
  ...["participant", "\ud800", "é", "漢", "😀", " ", "x", "`", "//", "/*", "\\N", "\\l"],
);
const texts = fc.array(signs, { minLength: 1, maxLength: 5 }).map((all) => all.join(""));
const names = fc.tuple(
  texts,
  texts.map((text) => `${text}2`),
);
const traces = fc
  .tuple(names, fc.array(texts, { minLength: 1, maxLength: 8 }))
  .filter(([[a, b]]) => a !== b)
  .map(([both, all]) => traceOf(both, all));

interface Itf {
  readonly vars: readonly string[];
  readonly states: readonly Readonly<Record<string, unknown>>[];
}

describe("ITF", () => {
  const itfOf = (trace: Trace): Itf => JSON.parse([...itfLines(trace)].join("\n"));

  test("has a state for each event and one before them, with counts and values", () => {
    const { vars, states } = itfOf(RUN);
    expect(vars).toEqual(["event", "counts", "values"]);
    expect(states).toHaveLength(7);
    const number = (value: number): unknown => ({ "#bigint": String(value) });
    expect(states[0]).toEqual({
      "#meta": { index: 0 },
      event: { process: "", number: number(0), type: "start", text: "" },
      counts: {
        "#map": [
          ["p", number(0)],
          ["q", number(0)],
        ],
      },
      values: {
        "#map": [
          ["p", { "#map": [] }],
          ["q", { "#map": [] }],
        ],
      },
    });
    expect(states[6]).toEqual({
      "#meta": { index: 6 },
      event: { process: "p", number: number(2), type: "receive", text: "thanks" },
      counts: {
        "#map": [
          ["p", number(2)],
          ["q", number(4)],
        ],
      },
      values: {
        "#map": [
          [
            "p",
            {
              "#map": [
                ["money", number(70)],
                ["open", true],
              ],
            },
          ],
          [
            "q",
            {
              "#map": [
                ["money", { "#bigint": "1152921504606846976" }],
                [
                  "list",
                  [number(1), "x", { "#unserializable": "null" }, { "#unserializable": "0.5" }],
                ],
                ["odd", { "#map": [["#set", number(1)]] }],
              ],
            },
          ],
        ],
      },
    });
  });

  test("is what Quint reads, whatever values there are", () => {
    const values = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(
      fc.property(fc.array(values, { maxLength: 6 }), (all) => {
        const builder = new TraceBuilder("x");
        for (const one of all) builder.event("p", { type: "internal", values: one });
        const itf = itfOf(builder.end());
        expect(ofItf(itf as unknown as Parameters<typeof ofItf>[0])).toHaveLength(all.length + 1);
      }),
      { numRuns: cases("trace-itf", 200, 10_000) },
    );
  });

  test("its order is one that can have been", () => {
    fc.assert(
      fc.property(anyTrace({ processes: 3, events: 15 }), (trace) => {
        const order = new CausalOrder(trace);
        const cut = new Int32Array(3);
        for (const { counts } of itfOf(trace).states) {
          const pairs = (counts as { "#map": [string, { "#bigint": string }][] })["#map"];
          for (const [p, [, count]] of pairs.entries()) cut[p] = Number(count["#bigint"]);
          expect(order.isConsistent(cut)).toBe(true);
        }
        expect(cut).toEqual(order.end);
      }),
    );
  });

  test("a value that is too deep is refused by name", () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i += 1) deep = [deep];
    const builder = new TraceBuilder();
    builder.event("p", { type: "internal", values: { deep } });
    expect(() => [...itfLines(builder.end())]).toThrow("a value of event 1 of p cannot be written");
  });
});

describe("Mermaid", () => {
  test("a message is one arrow where it arrives, and dashed if its sender went on", () => {
    expect([...mermaidLines(RUN)]).toEqual([
      "sequenceDiagram",
      "  participant p0 as p",
      "  participant p1 as q",
      "  Note over p1: waits",
      "  p0->>p1: M",
      "  Note over p1: sends N to p",
      "  Note over p1: crashes",
      "  p1-->>p0: thanks",
    ]);
  });

  test("texts are texts, whatever they say", () => {
    const odd = traceOf(["end", "a;b"], ["x: #1; <b>%%", "end of\nit", "-->>", ""]);
    expect([...mermaidLines(odd)]).toEqual([
      "sequenceDiagram",
      "  participant p0 as #101;nd",
      "  participant p1 as a#59;b",
      "  p0->>p1: x#58; #35;1#59; #60;b#62;#37;#37;<br/>#101;nd of<br/>it",
      "  Note over p0: --#62;#62;",
      "  Note over p1: #32;",
    ]);
  });

  test("every line is one of four kinds, with nothing in its text that ends it", () => {
    const kinds =
      /^( {2}participant p\d as| {2}Note over p\d:| {2}p\d-?->>p\d:) (?:[\p{L}\p{N} _.,()/='*?!-]|#\d+;|<br\/>)+$/u;
    fc.assert(
      fc.property(traces, (trace) => {
        const [head, ...lines] = mermaidLines(trace);
        expect(head).toBe("sequenceDiagram");
        for (const line of lines) expect(line).toMatch(kinds);
        const arrows = lines.filter((line) => line.includes("->>p"));
        expect(arrows).toHaveLength(trace.arrows.length);
      }),
      { numRuns: cases("trace-mermaid", 300, 30_000) },
    );
  });
});

describe("Graphviz", () => {
  test("has a box for each process, its events in a row, and the arrows", () => {
    const [text, nodes] = [[...dotLines(RUN)], /^ {4}e\d \[label="(.*)"\];$/];
    expect(text.slice(0, 4)).toEqual([
      "digraph trace {",
      "  node [shape=box, style=rounded];",
      "  subgraph cluster_0 {",
      '    label="p";',
    ]);
    expect(text.flatMap((line) => nodes.exec(line)?.[1] ?? [])).toEqual([
      ...["sends M to q", "thanks", "waits", "receives M from p", "sends N to p", "crashes"],
    ]);
    expect(text.slice(-3)).toEqual(["  e0 -> e2;", "  e3 -> e5;", "}"]);
  });

  test("texts come back, but for what cannot be seen", () => {
    fc.assert(
      fc.property(traces, (trace) => {
        const text = [...dotLines(trace)].join("\n");
        const quoted = [...text.matchAll(/e(\d+) \[label="((?:[^"\\\n]|\\[\s\S])*)"\];\n/g)];
        expect(quoted).toHaveLength(trace.events.length);
        for (const [, e, label = ""] of quoted) {
          const said = label
            .replaceAll(/\\([\s\S])/g, (_, sign: string) => (sign === "n" ? "\n" : sign))
            .replaceAll("&amp;", "&");
          const meant = (trace.events[Number(e)]?.text ?? "")
            .replaceAll(/\r\n|\u2028/g, "\n")
            .replaceAll(/[^\n\P{C}]/gu, " ");
          expect(said).toBe(meant);
        }
      }),
      { numRuns: cases("trace-dot", 300, 30_000) },
    );
  });
});
