import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { drawPage } from "../../src/cli/diagram-page.ts";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { layOut } from "../../src/trace/layout.ts";
import { TraceBuilder } from "../../src/trace/trace.ts";
import { root } from "../docs/printed.ts";
import { cases } from "../support/soak.ts";
import { drawableTrace } from "../trace/support/drawable-trace.ts";
import { parseLines, temporaryDirectory, tidemark } from "./support/command.ts";

const LECTURE = join(root, "examples/traces/lecture.jsonl");
const PAPER = join(root, "examples/traces/paper-1985.jsonl");

const diagram = (...args: string[]) => tidemark(["trace", "diagram", ...args]);
/** With a frame, so that the editor leaves the left side alone. */
const drawn = async (...args: string[]): Promise<string> => `\n${(await diagram(...args)).stdout}`;

describe("tidemark trace diagram", () => {
  test("the lecture example: three states and one message in flight", async () => {
    expect(await drawn(LECTURE, "--snapshot", "P1/1")).toMatchInlineSnapshot(`
      "
      P1                              P2                          P3
      · a                             │                           │
      ● sends m1: b ───────────────┐  │                           │
      │                            │  │                    ┌──────● sends m2: i
      │                            └─▶○ receives m1: f     │      │
      │                               ○ receives m2: g ◀───┘      │
      │                      ┌────────● sends m3: h               │
      ╪══════════════════════╪════════╪═══════════════════════════╪═════════════════
      ◆ records for P1/1 ╌╌╌╌┼╌╌╌╌╌┬╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┐  │
      │                    ┌╌┼╌╌╌╌╌┼╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┬╌╌╌┴╌▶◆ records for P1/1
      · c                  ╎ │     ╎  │                    ╎      │
      ○ receives marker ◀╌╌┘ │     ╎  │                    ╎      │
      │                      │ ┌╌╌╌┼╌╌◆ records for P1/1 ◀╌┴╌╌╌┐  │
      │                      │ ╎   └╌▶○ receives marker        ╎  │
      │                      │ ╎      │                        ╎  · j
      ○ receives m3: d ◀─────┘ ╎      │                        ╎  │
      ○ receives marker ◀╌╌╌╌╌╌┘      │                        ╎  │
      │                               │                        └╌▶○ receives marker
      ● sends m4: e ───────────────────────────────────────────┐  │
      │                               │                        └─▶○ receives m4: k
      │                               │                           │

      ══ cut P1=2 P2=3 P3=1: consistent, 1 message in flight
      "
    `);
  });

  test("the run of the 1985 paper", async () => {
    expect(await drawn(PAPER, "--snapshot", "P/1")).toMatchInlineSnapshot(`
      "
      P                                           Q
      │                                ┌──────────● sends M' (state="T_Wait")
      ╪════════════════════════════════╪══════════╪════════════════════════════
      ◆ records for P/1 ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌╌┐  │
      ● sends M (state="S_Wait") ──────┼─────┐ ╎  │
      │                                │ ┌╌╌╌┼╌┼╌╌◆ records for P/1
      │                                │ ╎   │ └╌▶○ receives marker
      ○ receives M' (state="S_Send") ◀─┘ ╎   │    │
      ○ receives marker ◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┘   │    │
      │                                      └───▶○ receives M (state="T_Send")
      │                                           │

      ══ cut P=0 Q=1: consistent, 1 message in flight
      "
    `);
  });

  test("a cut that is not consistent has an arrow that leads up across it", async () => {
    expect(await drawn(PAPER, "--cut", "P=4,Q=0", "--ascii")).toMatchInlineSnapshot(`
      "
      P                                         Q
      # records for P/1 ---------------------+  |
      * sends M (state="S_Wait") ----------+ :  |
      o receives M' (state="S_Send") <-+   | :  |
      +================================+===+=+==+============================
      |                                +---+-+--* sends M' (state="T_Wait")
      |                                +---+-+--# records for P/1
      |                                :   | +->o receives marker
      o receives marker <--------------+   |    |
      |                                    +--->o receives M (state="T_Send")
      |                                         |

      == cut P=4 Q=0: not consistent: 1 orphan; 2 messages in flight
      "
    `);
  });

  test("a part of it, and what is left out", async () => {
    expect(
      await drawn(LECTURE, "--processes", "P2,P1", "--around", "P2:3", "--limit", "4"),
    ).toMatchInlineSnapshot(`
      "
      P2                     P1
      ○ receives m1: f ← …   │
      ○ receives m2: g ← …   │
      ● sends m3: h → …      │
      │                      · c
      │                      │

      not shown: 5 events before these, 9 events after these, 1 process without a
         line, 3 messages of which only one end is shown, 7 messages between events
         that are not shown
      "
    `);
    expect(await drawn(LECTURE, "--window", "1..3")).toMatchInlineSnapshot(`
      "
      P1                  P3
      · a                 │
      ● sends m1: b → …   │
      │                   ● sends m2: i → …
      │                   │

      not shown: 15 events after these, 1 process without a line, 2 messages of which
         only one end is shown, 8 messages between events that are not shown
      "
    `);
  });

  test("--svg and --html write files, and say of what", async () => {
    const directory = temporaryDirectory();
    const [svg, html] = [join(directory, "a.svg"), join(directory, "a.html")];
    const args = ["--snapshot", "P1/1", "--svg", svg, "--html", html];
    const { stdout, status } = await diagram(LECTURE, ...args);
    expect(status).toBe(0);
    expect(stdout.replaceAll(directory, "")).toMatchInlineSnapshot(`
      "/a.svg is written
        cut P1=2 P2=3 P3=1: consistent, 1 message in flight
      /a.html is written
        cut P1=2 P2=3 P3=1: consistent, 1 message in flight
      "
    `);
    expect(readFileSync(svg, "utf8")).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    expect(readFileSync(html, "utf8")).toMatch(/^<!doctype html>[\s\S]*<\/html>\n$/);
    const { stdout: out } = await diagram(LECTURE, "--svg", "-");
    expect(out).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
  });

  test("--json", async () => {
    const [layout] = parseLines((await diagram(PAPER, "--snapshot", "P/1", "--json")).stdout);
    expect(layout.rows.map(({ name }: { name: string }) => name)).toEqual(["P", "Q"]);
    expect([layout.cut.inFlight, layout.cut.orphans]).toEqual([1, 0]);
  });

  test("what goes to standard output stands there alone", async () => {
    const file = join(temporaryDirectory(), "one.svg");
    const { stdout, stderr } = await diagram(PAPER, "--svg", file, "--json");
    expect(parseLines(stdout)).toHaveLength(1);
    expect(stderr).toBe(`${file} is written\n`);
  });

  test("refuses what it cannot draw", async () => {
    const bad = join(temporaryDirectory(), "bad.jsonl");
    writeFileSync(bad, '{"process":"p","type":"internal"}\n{"type":"what"}\n');
    for (const [args, reason] of [
      [[bad], `${bad}:2: a line has the type`],
      [[PAPER, "--cut", "P=1", "--snapshot", "P/1"], "not both"],
      [[PAPER, "--cut", "P"], "a cut is written as"],
      [[PAPER, "--snapshot", "P/2"], "does not say where P, Q recorded for P/2"],
      [[PAPER, "--around", "P"], "an event is written as P:14"],
      [[PAPER, "--around", "P:99"], "P has events from 1 to 5, and no 99"],
      [[PAPER, "--processes", "P,R"], "--processes names R; the trace has only P, Q"],
      [[PAPER, "--processes", "P,P"], "--processes names P twice"],
      [[PAPER, "--window", "3..2"], "Use the first and the last event"],
      [[PAPER, "--window", "99..200"], "the window begins at event 99"],
      [[PAPER, "--time"], "no event of the trace has a time"],
      [[PAPER, "--limit", "0"], "Use a whole number"],
      [[PAPER, "--around", "P:1", "--window", "9..10"], "is not in the window 9..10"],
      [[PAPER, "--around", "P:1", "--processes", "Q"], "P:1 is of none of the --processes"],
      [[PAPER, "--svg", "-", "--json"], "one picture goes to standard output"],
      [[PAPER, "--svg", "-", "--html", "-"], "one picture goes to standard output"],
      [[PAPER, "--svg", join(bad, "x.svg")], "cannot be"],
    ] as const) {
      const { status, stderr } = await diagram(...args);
      expect([status === 0, stderr.includes(reason)], stderr).toEqual([false, true]);
    }
  });
});

/** What diagram-viewer.js exports. */
interface Viewer {
  readonly Order: new (
    data: unknown,
  ) => {
    around(cut: readonly number[]): number[];
    inside(cut: readonly number[]): number[];
    past(mark: number): number[];
    notAfter(mark: number): number[];
    verdict(cut: readonly number[]): { readonly orphans: number[]; readonly inFlight: number[] };
  };
}

describe("the page", () => {
  test("says of cuts, of the past and of the future what the library says", async () => {
    const file = new URL("../../src/cli/diagram-viewer.js", import.meta.url).href;
    const { Order } = (await import(file)) as Viewer;
    const trace = drawableTrace({ processes: 4, steps: 30 });
    const counts = fc.array(fc.nat(), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(trace, counts, fc.nat(), (one, some, pick) => {
        const order = new CausalOrder(one);
        // Markers that go with a record would be one mark with it: here a mark is an event.
        const layout = layOut(order, { processes: [...one.processes.keys()] });
        fc.pre(layout.marks.every(({ count }) => count === 1));
        const columns = <T extends object>(list: readonly T[], field: keyof T): unknown =>
          list.map((item) => item[field]);
        const viewer = new Order({
          rows: layout.rows,
          marks: { row: columns(layout.marks, "row") },
          arrows: { from: columns(layout.arrows, "from"), to: columns(layout.arrows, "to") },
        });
        const cut = Int32Array.from(
          one.timelines,
          ({ length }, p) => (some[p] ?? 0) % (length + 1),
        );
        expect(viewer.around([...cut])).toEqual([...order.least(cut)]);
        expect(viewer.inside([...cut])).toEqual([...order.greatest(cut)]);
        const { orphans, inFlight } = viewer.verdict([...cut]);
        expect(orphans.length).toBe(order.orphans(cut).length);
        expect(inFlight.length).toBe(order.crossing(cut).length);
        if (layout.marks.length === 0) return;
        const mark = pick % layout.marks.length;
        const { row = 0, first = 0 } = layout.marks[mark] ?? {};
        const event = one.timelines[row]?.[first] ?? 0;
        const ahead = one.processes.map((_, p) => order.known(event, p));
        expect(viewer.past(mark)).toEqual(ahead);
        const rest = one.timelines.map(
          (events) =>
            [...events].filter((e) => e !== event && !order.happensBefore(event, e)).length,
        );
        expect(viewer.notAfter(mark)).toEqual(rest);
      }),
      { numRuns: cases("diagrams", 200, 5000) },
    );
  });

  test("has nothing in it that a name or a text of the trace could begin or end", () => {
    const builder = new TraceBuilder();
    const text = "</script><script>alert(1)</script><!--";
    builder.event("<b>&", { type: "internal", text, values: { "</style>": text } });
    const page = drawPage(layOut(new CausalOrder(builder.end())), `<i>${text}`);
    expect(page.match(/<script/g)?.length).toBe(2);
    expect(page).not.toContain("alert(1)</script>");
    expect(page).not.toMatch(/<b>|<i>|<!--/);
    expect(page).toContain("default-src 'none'");
    expect(page).not.toMatch(/https?:(?!\/\/www\.w3\.org)/);
  });

  test("of a large trace is not larger than so many bytes for each event", () => {
    const events = cases("diagrams", 5000, 100_000);
    const builder = new TraceBuilder();
    for (let i = 0; i < events; i += 2) {
      const from = builder.event(`p${i % 62}`, { type: "send", message: i, peer: "q" });
      builder.arrow(from, builder.event(`p${(i % 62) + 1}`, { type: "receive", message: i }));
    }
    const page = drawPage(layOut(new CausalOrder(builder.end())), "large");
    expect(page.length).toBeLessThan(60_000 + 80 * events);
  });
});
