import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { cutCaption, type Layout, layOut, notShownText } from "../../src/trace/layout.ts";
import { drawSvg } from "../../src/trace/svg-diagram.ts";
import { drawText } from "../../src/trace/text-diagram.ts";
import { parseTrace, type Trace, TraceBuilder } from "../../src/trace/trace.ts";
import { cases } from "../support/soak.ts";
import { drawableTrace, misleading } from "./support/drawable-trace.ts";

const RUNS = { numRuns: cases("diagrams", 150, 5000) };

/** A trace, and how it is laid out. */
const laidOut = (time: "order" | "clock"): fc.Arbitrary<{ order: CausalOrder; layout: Layout }> =>
  fc
    .tuple(
      fc.oneof(
        drawableTrace({ processes: 3, steps: 20 }),
        drawableTrace({ processes: 9, steps: 60 }),
        drawableTrace({ processes: 25, steps: 60 }),
      ),
      fc.record({
        cut: fc.option(fc.array(fc.nat(), { minLength: 25, maxLength: 25 }), { nil: undefined }),
        marksMax: fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined }),
        window: fc.option(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.nat(60)), {
          nil: undefined,
        }),
        some: fc.option(fc.subarray([0, 1, 2], { minLength: 1 }), { nil: undefined, freq: 3 }),
        around: fc.option(fc.nat(), { nil: undefined, freq: 3 }),
      }),
    )
    .map(([trace, { cut, marksMax, window, some, around }]) => {
      const order = new CausalOrder(trace);
      const inside = cut?.slice(0, trace.processes.length) ?? [];
      const layout = layOut(order, {
        ...{ time, marksMax },
        ...(cut && {
          cut: Int32Array.from(inside, (n, p) => n % ((trace.timelines[p]?.length ?? 0) + 1)),
        }),
        ...(window && { window: [window[0], window[0] + window[1]] }),
        ...(some && { processes: some.filter((p) => p < trace.processes.length) }),
        ...(around !== undefined &&
          trace.events.length > 0 && { around: around % trace.events.length }),
      });
      return { order, layout };
    });

describe("a layout", () => {
  test("does not mislead: nothing lies on something else, and arrows lead to the right", () => {
    fc.assert(
      fc.property(laidOut("order"), ({ layout }) => {
        expect(misleading(layout)).toEqual([]);
      }),
      RUNS,
    );
  });

  test("what misleads is found", () => {
    const text = [
      { process: "p", type: "send", to: "r", message: "m" },
      { process: "q", type: "internal", text: "a" },
      { process: "q", type: "internal", text: "b" },
      { process: "r", type: "receive", from: "p", message: "m" },
    ];
    const trace = parseTrace(text.map((line) => JSON.stringify(line)).join("\n"));
    const layout = layOut(new CausalOrder(trace), {
      ...{ cut: Int32Array.of(1, 1, 0), processes: [0, 1, 2] },
    });
    expect(misleading(layout)).toEqual([]);
    const moved = (xs: readonly number[]): Layout => ({
      ...layout,
      marks: layout.marks.map((mark, m) => ({ ...mark, x: xs[m] ?? 0 })),
    });
    expect(layout.marks.map(({ row }) => row)).toEqual([0, 1, 1, 2]);
    expect(misleading(moved([20, 60, 140, 100])).join()).toMatch(/passes through a point of row 1/);
    expect(misleading(moved([20, 140, 140, 100])).join()).toMatch(/two marks/);
    expect(misleading(moved([20, 140, 145, 100])).join()).toMatch(/label b is on another/);
    expect(misleading(moved([120, 20, 140, 100])).join()).toMatch(/leads back/);
    expect(misleading(moved([20, 190, 400, 100])).join()).toMatch(/wrong side of the cut/);
    expect(misleading(moved([20, 20, 40, 9000])).join()).toMatch(/outside/);
  });

  test("draws every event and every arrow, or counts it among what is not shown", () => {
    fc.assert(
      fc.property(fc.oneof(laidOut("order"), laidOut("clock")), ({ order, layout }) => {
        const { trace } = order;
        const { marks, arrows, notShown, rows, cut } = layout;
        const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
        const events = sum(rows.map(({ process }) => trace.timelines[process]?.length ?? 0));
        const drawn = sum(marks.map(({ count }) => count));
        expect(drawn + notShown.before + notShown.after).toBe(events);
        const messages = sum(arrows.map(({ count }) => count));
        expect(messages + notShown.cutOff + notShown.messages).toBe(trace.arrows.length);
        expect(notShown.processes + rows.length).toBe(trace.processes.length);
        if (cut && notShown.cutOff + notShown.messages === 0) {
          const crossing = (what: string): number =>
            sum(arrows.filter((one) => one.crossing === what).map(({ count }) => count));
          expect([crossing("in flight"), crossing("orphan")]).toEqual([cut.inFlight, cut.orphans]);
        }
      }),
      RUNS,
    );
  });

  test("draws events together only if there are too many, and then never across a cut", () => {
    const trace = many(3, 60);
    const order = new CausalOrder(trace);
    expect(layOut(order, { marksMax: 60 }).marks.every(({ count }) => count === 1)).toBe(true);
    const layout = layOut(order, { marksMax: 59, cut: Int32Array.of(7, 0, 3) });
    expect(layout.marks.length).toBeLessThan(60);
    for (const { row, first, count } of layout.marks) {
      const at = layout.cut?.counts[row] ?? 0;
      expect(first >= at || first + count <= at).toBe(true);
    }
    expect(notShownText(layout)).toEqual([
      `drawn together: ${layout.notShown.collapsed} events in runs`,
    ]);
  });

  test("shows the part around an event, or around the cut, and says what is left out", () => {
    const order = new CausalOrder(many(3, 600));
    const event = order.trace.timelines[1]?.[120] ?? 0;
    const around = layOut(order, { marksMax: 30, around: event });
    expect(around.marks.length).toBe(30);
    expect(
      around.marks.some(({ row, first }) => around.rows[row]?.name === "p2" && first === 120),
    ).toBe(true);
    expect(notShownText(around)[0]).toMatch(
      /^not shown: \d+ events before these, \d+ events after these/,
    );
    const cut = layOut(order, { marksMax: 30, cut: Int32Array.of(100, 100, 100) });
    for (const { before, after } of cut.rows) {
      expect(before).toBeLessThanOrEqual(100);
      expect(after).toBeLessThanOrEqual(100);
    }
  });

  test("puts processes that talk beside each other, and else keeps the order of their names", () => {
    const names = (pairs: readonly (readonly [string, string])[]): string[] => {
      const builder = new TraceBuilder();
      for (const name of ["p10", "p1", "p2", "p3"]) builder.event(name, { type: "internal" });
      for (const [from, to] of pairs)
        builder.arrow(
          builder.event(from, { type: "send" }),
          builder.event(to, { type: "receive" }),
        );
      return layOut(new CausalOrder(builder.end())).rows.map(({ name }) => name);
    };
    expect(names([])).toEqual(["p1", "p2", "p3", "p10"]);
    expect(
      names([
        ["p1", "p2"],
        ["p3", "p10"],
      ]),
    ).toEqual(["p1", "p2", "p3", "p10"]);
    const [a, b, c, d] = names([
      ["p1", "p10"],
      ["p1", "p10"],
      ["p2", "p10"],
    ]);
    expect([a, b, c, d].filter((name) => name !== "p3")).toEqual(["p1", "p10", "p2"]);
  });

  test("by the clock, says which arrows lead back", () => {
    const text = [
      { process: "p", type: "send", to: "q", message: 1, atMs: 1000 },
      { process: "q", type: "receive", from: "p", message: 1, atMs: 900 },
    ];
    const trace = parseTrace(text.map((line) => JSON.stringify(line)).join("\n"));
    const layout = layOut(new CausalOrder(trace), { time: "clock" });
    expect(notShownText(layout)).toEqual([
      "1 arrow leads back: the clocks of the processes differ",
    ]);
    expect(layout.axis.map(({ text }) => text)).toEqual([
      "0 ms",
      "20 ms",
      "40 ms",
      "60 ms",
      "80 ms",
      "100 ms",
    ]);
  });
});

/** Runs of internal events and of messages; each process sends to the next one. */
function many(processes: number, events: number): Trace {
  const builder = new TraceBuilder();
  let count = 0;
  for (let turn = 0; count < events; turn += 1) {
    const [own, next] = [`p${(turn % processes) + 1}`, `p${((turn + 1) % processes) + 1}`];
    const sent: number[] = [];
    for (let i = 0; i < 4 && count < events; i += 1, count += 1)
      builder.event(own, { type: "internal" });
    for (let i = 0; i < 4 && count < events - 1; i += 1, count += 2)
      sent.push(builder.event(own, { type: "send", message: count, peer: next }));
    for (const event of sent) builder.arrow(event, builder.event(next, { type: "receive" }));
  }
  return builder.end();
}

describe("pictures", () => {
  test("SVG is well formed whatever names and texts are", () => {
    fc.assert(
      fc.property(fc.oneof(laidOut("order"), laidOut("clock")), ({ layout }) => {
        const svg = drawSvg(layout, "<title>");
        expectWellFormed(svg);
        expect(labelsThatTouch(svg)).toEqual([]);
      }),
      RUNS,
    );
    const two = (x: number, y: number): string =>
      `<text x="1" y="1" class="label">abc</text><text x="${x}" y="${y}" class="label">abc</text>`;
    expect(
      [two(1, 11), two(18, 1), two(1, 13), two(20, 1)].map((svg) => labelsThatTouch(svg).length),
    ).toEqual([...[1, 1, 0, 0]]);
    expect(() => expectWellFormed("<svg><text>a & b</text></svg>")).toThrow();
    expect(() => expectWellFormed("<svg><text></svg>")).toThrow();
    expect(() => expectWellFormed("<svg>\u0000</svg>")).toThrow();
  });

  test("text has no line that is wider than the terminal, and one row for each mark", () => {
    fc.assert(
      fc.property(laidOut("order"), fc.constantFrom(40, 80, 120), ({ layout }, columns) => {
        const text = drawText(layout, { columns });
        const lines = text.split("\n");
        for (const line of lines) expect([...line].length).toBeLessThanOrEqual(columns);
        expect(text).not.toMatch(/[^\P{C}\n]/u);
        const glyphs = lines.filter((line) => /[·●○◆†┇]/.test(line));
        expect(glyphs.length).toBeGreaterThanOrEqual(layout.marks.length);
      }),
      RUNS,
    );
  });

  test("text in a narrow terminal: words at the right, then arrows without lanes, then a list", () => {
    const file = new URL("../../examples/traces/paper-1985.jsonl", import.meta.url);
    const order = new CausalOrder(parseTrace(readFileSync(file, "utf8")));
    const layout = layOut(order, { cut: order.cutOf("P/1") });
    const drawn = (columns: number): string => `\n${drawText(layout, { columns })}\n`;
    expect(drawn(50)).toMatchInlineSnapshot(`
      "
      P             Q
      │  ┌──────────●  Q sends M' (state="T_Wait")
      ╪══╪══════════╪
      ◆╌╌┼╌╌╌╌╌╌╌┐  │  P records for P/1
      ●──┼─────┐ ╎  │  P sends M (state="S_Wait")
      │  │ ┌╌╌╌┼╌┼╌╌◆  Q records for P/1
      │  │ ╎   │ └╌▶○  Q receives marker
      ○◀─┘ ╎   │    │  P receives M' (state="S_Send")
      ○◀╌╌╌┘   │    │  P receives marker
      │        └───▶○  Q receives M (state="T_Send")
      │             │

      ══ cut P=0 Q=1: consistent, 1 message in flight
      "
    `);
    expect(drawn(32)).toMatchInlineSnapshot(`
      "
      P  Q
      │  ●  Q sends M' (state="T_Wait…
      ╪══╪
      ◆  │  P records for P/1 to Q
      ●  │  P sends M (state="S_Wait"…
      │  ◆  Q records for P/1 to P
      ├┄▶○  Q receives marker from P
      ○◀┄┤  P receives M' (state="S_S…
      ○◀┄┤  P receives marker from Q
      ├┄▶○  Q receives M (state="T_Se…
      │  │

      ══ cut P=0 Q=1: consistent, 1
         message in flight
      "
    `);
    expect(drawn(24)).toMatchInlineSnapshot(`
      "
      Q  ● sends M' (state="T…
      ════════════════════════
      P  ◆ records for P/1 to…
      P  ● sends M (state="S_…
      Q  ◆ records for P/1 to…
      Q  ○ receives marker fr…
      P  ○ receives M' (state…
      P  ○ receives marker fr…
      Q  ○ receives M (state=…

      ══ cut P=0 Q=1:
         consistent, 1 message
         in flight
      "
    `);
  });

  test("ASCII is ASCII", () => {
    const trace = many(3, 30);
    const layout = layOut(new CausalOrder(trace), { cut: Int32Array.of(1, 0, 0) });
    for (const columns of [30, 40, 60, 120])
      expect(drawText(layout, { columns, ascii: true })).toMatch(/^[\n -~]*$/);
  });

  test("of a large trace take as many steps as it has events, and are not larger than of a small one", () => {
    const reads = (events: number): number => {
      const order = new CausalOrder(many(16, events));
      let count = 0;
      const counted = new Proxy(order.trace.events, {
        get(target, key) {
          count += 1;
          return Reflect.get(target, key);
        },
      });
      Object.assign(order.trace, { events: counted });
      const layout = layOut(order, { marksMax: 400 });
      expect(layout.marks.length).toBe(400);
      expect(drawSvg(layout).length).toBeLessThan(200_000);
      expect(drawText(layout).split("\n").length).toBeLessThan(430);
      layOut(order);
      return count / events;
    };
    const [small, large] = [reads(4000), reads(cases("diagrams", 20_000, 100_000))];
    expect(large).toBeLessThan(small * 1.1);
    expect(large).toBeLessThan(100);
  });

  test("names written downward keep the end by which they differ", () => {
    const builder = new TraceBuilder();
    for (let i = 10; i < 50; i += 1) builder.event(`process-number-${i}`, { type: "internal" });
    const [first = "", ...rest] = drawText(layOut(new CausalOrder(builder.end())), {
      columns: 80,
    }).split("\n");
    expect(first).toBe("…".repeat(40));
    const [tens = "", ones = ""] = rest.slice(5);
    expect([...tens].map((ten, i) => ten + ones[i])).toEqual(
      Array.from({ length: 40 }, (_, i) => `${i + 10}`),
    );
  });

  test("what a process sends to itself is not said to be lost; ends of lines are spaces", () => {
    const trace = parseTrace(`
      {"process":"p","type":"send","to":"p","message":1,"text":"a\\nb"}
      {"process":"p","type":"receive","from":"p","message":1}
      {"process":"p","type":"send","to":"q","message":1}`);
    expect(
      drawText(layOut(new CausalOrder(trace)))
        .split("\n")
        .slice(1, 4),
    ).toEqual(["● sends 1: a b", "○ receives 1", "● sends 1, never received"]);
  });

  test("nothing to draw is no error", () => {
    const layout = layOut(new CausalOrder(new TraceBuilder().end()));
    expect([drawText(layout), cutCaption(layout)]).toEqual(["", ""]);
    expectWellFormed(drawSvg(layout));
  });
});

/** Labels of which the boxes overlap. */
function labelsThatTouch(svg: string): string[] {
  const labels = [
    ...svg.matchAll(/<text x="([0-9.-]+)" y="([0-9.-]+)" class="label"[^>]*>([^<]*)</g),
  ].map(([, x, y, text = ""]) => {
    const letters = [...text.replaceAll(/&[a-z]+;/g, "x")].length;
    return { text, x: Number(x), y: Number(y), half: letters * 3.1 };
  });
  return labels.flatMap((a, i) =>
    labels
      .slice(i + 1)
      .filter((b) => Math.abs(a.y - b.y) < 11 && Math.abs(a.x - b.x) < a.half + b.half)
      .map((b) => `${a.text} and ${b.text}`),
  );
}

/** As far as a picture can go wrong: tags that do not match, and characters that XML does not have or that begin something. */
function expectWellFormed(svg: string): void {
  const open: string[] = [];
  let rest = 0;
  for (const { 0: tag, 1: name = "", index } of svg.matchAll(
    /<\/?([a-z]+)(?: [a-zA-Z-]+="[^"<]*")*\/?>/g,
  )) {
    expect(svg.slice(rest, index)).not.toMatch(/<|&(?!(amp|lt|gt|quot);)/);
    rest = index + tag.length;
    if (tag.startsWith("</")) expect(open.pop()).toBe(name);
    else if (!tag.endsWith("/>")) open.push(name);
  }
  expect(svg.slice(rest)).toBe("\n");
  expect(open).toEqual([]);
  expect(svg).not.toMatch(/[^\t\n\r -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u);
}
