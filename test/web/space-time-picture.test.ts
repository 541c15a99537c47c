import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { layOut } from "../../src/trace/layout.ts";
import { parseTrace, type Trace } from "../../src/trace/trace.ts";
import {
  beforeFutureOf,
  CutJudge,
  cutText,
  distance,
  nearestConsistent,
  neighbours,
  otherEnds,
  parseCut,
  pastOf,
  ranksOf,
  withCount,
} from "../../web/space-time/cuts.ts";
import { Density, levelOf } from "../../web/space-time/density.ts";
import { findEvents, KINDS, nextMatch } from "../../web/space-time/events.ts";
import { EXAMPLES } from "../../web/space-time/examples.ts";
import { IntervalIndex } from "../../web/space-time/interval-index.ts";
import {
  eventsBefore,
  makeScene,
  marksIn,
  nearestMark,
  placeCut,
  type Scene,
  straightCut,
} from "../../web/space-time/scene.ts";
import { Session } from "../../web/space-time/session.ts";
import {
  clamp,
  reveal,
  rowAt,
  rowTops,
  type Viewport,
  zoomAt,
} from "../../web/space-time/viewport.ts";
import { cases } from "../support/soak.ts";
import { drawableTrace } from "../trace/support/drawable-trace.ts";
import { allCuts, anyTrace } from "../trace/support/random-trace.ts";

const RUNS = cases("page-picture", 150, 20_000);
const property = <T>(arbitrary: fc.Arbitrary<T>, check: (value: T) => void): void => {
  fc.assert(fc.property(arbitrary, check), { numRuns: RUNS });
};

const small = anyTrace({ processes: 3, events: 9 });
const place = fc.integer({ min: -5, max: 60 });
const intervals = fc.array(
  fc.tuple(place, fc.nat(30)).map(([start, length]) => [start, start + length] as const),
  { maxLength: 40 },
);
const columnsOf = (list: readonly (readonly [number, number])[]) =>
  [Float64Array.from(list, ([start]) => start), Float64Array.from(list, ([, end]) => end)] as const;

test("an index of intervals finds those that meet a range, and no other", () => {
  property(fc.tuple(intervals, place, fc.nat(20)), ([list, from, length]) => {
    const to = from + length;
    const index = new IntervalIndex(...columnsOf(list));
    const found: number[] = [];
    index.forEach(from, to, (interval) => found.push(interval));
    const meeting = [...list.keys()].filter((i) => {
      const [start, end] = list[i] as readonly [number, number];
      return start <= to && end >= from;
    });
    expect([...found].sort((a, b) => a - b)).toEqual(meeting);
    expect(index.count(from, to)).toBe(meeting.length);
    const starts = found.map((i) => list[i]?.[0] as number);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
  });
});

test("the density of a column is how many intervals meet it", () => {
  property(fc.tuple(intervals, place, fc.integer({ min: 1, max: 9 })), ([list, from, step]) => {
    const counts = new Uint32Array(12);
    new Density(...columnsOf(list)).count(from, step, counts);
    expect([...counts]).toEqual(
      [...counts.keys()].map((i) => {
        const [left, right] = [from + i * step, from + (i + 1) * step];
        return list.filter(([start, end]) => start < right && end >= left).length;
      }),
    );
  });
});

test("a level grows with what there is, and one is never nothing", () => {
  expect([0, 1, 4, 1000].map((count) => levelOf(count, 1000, 8))).toEqual([0, 1, 2, 8]);
  property(fc.tuple(fc.nat(500), fc.integer({ min: 1, max: 100 })), ([count, most]) => {
    const level = levelOf(count, most, 8);
    expect(level).toBeGreaterThanOrEqual(count === 0 ? 0 : 1);
    expect(level).toBeLessThanOrEqual(levelOf(count + 1, most, 8));
  });
});

/** A scene with its trace. */
const scenes = drawableTrace({ processes: 4, steps: 40 }).map((trace): readonly [Trace, Scene] => {
  const layout = layOut(new CausalOrder(trace));
  return [trace, makeScene(layout, new Set())];
});

describe("a scene", () => {
  test("knows of each window which marks and arrows are in it", () => {
    property(fc.tuple(scenes, fc.nat(900), fc.nat(400)), ([[, scene], from, length]) => {
      const to = from + length;
      const { marks, arrows } = scene.layout;
      const seen: number[] = [];
      for (const row of scene.rows) marksIn(row, from, to, (m) => seen.push(m));
      expect(seen.sort((a, b) => a - b)).toEqual(
        [...marks.keys()].filter((m) => {
          const x = marks[m]?.x as number;
          return x >= from && x <= to;
        }),
      );
      const found = new Set<number>();
      scene.arrows.forEach(from, to, (a) => found.add(a));
      for (const [a, arrow] of arrows.entries()) {
        const [start, end] = [marks[arrow.from]?.x as number, marks[arrow.to]?.x as number];
        // What the index holds reaches from end to end, so nothing that can be seen is left out.
        if (start <= to && end >= from) expect(found).toContain(a);
      }
    });
  });

  test("has each event at the mark that stands for it", () => {
    property(scenes, ([trace, { layout, markOf }]) => {
      for (const [e, { process, position }] of trace.events.entries()) {
        const mark = layout.marks[markOf[e] as number];
        expect(layout.rows[mark?.row as number]?.process).toBe(process);
        expect(position - (mark?.first as number)).toBeLessThan(mark?.count as number);
      }
    });
  });

  test("is as dense as what is in it, and hides what nobody wants to see", () => {
    property(scenes, ([, { layout, rows, gaps }]) => {
      const { marks, arrows } = layout;
      expect(rows.reduce((sum, { density }) => sum + density.size, 0)).toBe(marks.length);
      const passed = arrows.map(({ from, to }) =>
        Math.abs((marks[from]?.row as number) - (marks[to]?.row as number)),
      );
      expect(gaps.reduce((sum, { size }) => sum + size, 0)).toBe(
        passed.reduce((sum, one) => sum + one, 0),
      );
      const none = makeScene(layout, new Set(KINDS));
      expect(none.rows.every(({ density }) => density.size === 0)).toBe(true);
      expect(none.gaps.every(({ size }) => size === 0)).toBe(true);
    });
  });

  test("a straight cut is consistent, and what is dragged to its place is it again", () => {
    property(fc.tuple(scenes, fc.nat(900)), ([[trace, scene], x]) => {
      const order = new CausalOrder(trace);
      const cut = straightCut(scene, x);
      expect(order.isConsistent(cut)).toBe(true);
      const places = placeCut(scene, cut);
      for (const [row, { process }] of scene.rows.entries())
        expect(eventsBefore(scene, row, places[row] as number)).toBe(cut[process]);
    });
  });

  test("the nearest mark is none that another one of its row is nearer than", () => {
    property(fc.tuple(scenes, fc.nat(900)), ([[, { rows, layout }], x]) => {
      for (const row of rows) {
        const found = nearestMark(row, x);
        const away = (m: number): number => Math.abs((layout.marks[m]?.x as number) - x);
        expect(found === undefined).toBe(row.marks.length === 0);
        for (const m of row.marks) expect(away(found as number)).toBeLessThanOrEqual(away(m));
      }
    });
  });
});

const isBefore = (trace: Trace, a: number, b: number): boolean => {
  const reached = new Set([a]);
  const waiting = [a];
  for (let e = waiting.pop(); e !== undefined; e = waiting.pop()) {
    const { process, position } = trace.events[e] as Trace["events"][number];
    const next = [
      trace.timelines[process]?.[position + 1],
      ...trace.arrows.flatMap(({ from, to }) => (from === e ? [to] : [])),
    ];
    for (const one of next)
      if (one !== undefined && !reached.has(one)) {
        reached.add(one);
        waiting.push(one);
      }
  }
  return a !== b && reached.has(b);
};

describe("a cut", () => {
  test("snaps to a consistent one, and to none when it is one", () => {
    property(small, (trace) => {
      const order = new CausalOrder(trace);
      for (const cut of allCuts(trace)) {
        const near = nearestConsistent(order, cut);
        expect(order.isConsistent(near)).toBe(true);
        if (order.isConsistent(cut)) expect(cutText(near)).toBe(cutText(cut));
        // It is the nearest of all that are inside, and of all that are around.
        for (const other of allCuts(trace)) {
          const isInside = other.every((count, p) => count <= (cut[p] as number));
          const isAround = other.every((count, p) => count >= (cut[p] as number));
          if ((isInside || isAround) && order.isConsistent(other))
            expect(distance(cut, near)).toBeLessThanOrEqual(distance(cut, other));
        }
      }
    });
  });

  test("is stepped through all events, and every step is consistent", () => {
    property(small, (trace) => {
      const order = new CausalOrder(trace);
      const ranks = ranksOf(order);
      let cut: Int32Array = new Int32Array(trace.processes.length);
      for (const e of order.linear) {
        const { next } = neighbours(trace, ranks, cut);
        expect(next).toBe(e);
        const { process } = trace.events[e] as Trace["events"][number];
        cut = withCount(trace, cut, process, (cut[process] as number) + 1);
        expect(order.isConsistent(cut)).toBe(true);
        expect(neighbours(trace, ranks, cut).last).toBe(e);
      }
      expect(neighbours(trace, ranks, cut).next).toBe(undefined);
    });
  });

  test("the past and the future of an event are those that happened before it, and that it happened before", () => {
    property(small, (trace) => {
      const order = new CausalOrder(trace);
      for (const e of trace.events.keys()) {
        const [past, future] = [pastOf(order, e), beforeFutureOf(order, e)];
        for (const [other, { process, position }] of trace.events.entries()) {
          expect(position < (past[process] as number)).toBe(
            other === e || isBefore(trace, other, e),
          );
          expect(position >= (future[process] as number)).toBe(
            other === e || isBefore(trace, e, other),
          );
        }
        const { causes, effects } = otherEnds(order, e);
        expect(trace.arrows.filter(({ to }) => to === e).map(({ from }) => from)).toEqual(causes);
        expect(trace.arrows.filter(({ from }) => from === e).map(({ to }) => to)).toEqual(effects);
      }
    });
  });

  test("says what is an orphan, what is in flight, and what nobody receives", () => {
    const trace = parseTrace(`
      {"process":"p","type":"send","to":"q","message":"a"}
      {"process":"p","type":"send","to":"q","message":"lost"}
      {"process":"q","type":"receive","from":"p","message":"a"}
      {"process":"q","type":"send","to":"p","message":"marker","snapshot":"q/1"}
      {"process":"p","type":"receive","from":"q","message":"marker","snapshot":"q/1"}`);
    const judge = new CutJudge(new CausalOrder(trace));
    const said = (...counts: number[]) => {
      const { orphans, inFlight, markers, unreceived } = judge.judge(Int32Array.from(counts));
      return [orphans.length, inFlight.length, markers, unreceived];
    };
    expect(said(0, 0)).toEqual([0, 0, 0, 0]);
    expect(said(1, 0)).toEqual([0, 1, 0, 0]);
    expect(said(0, 1)).toEqual([1, 0, 0, 0]);
    expect(said(2, 2)).toEqual([0, 1, 1, 1]);
    expect(said(3, 2)).toEqual([0, 0, 0, 1]);
    expect(said(3, 1)).toEqual([1, 0, 0, 1]);
  });

  test("stands in an address, and what is none is refused", () => {
    property(small, (trace) => {
      for (const cut of allCuts(trace)) expect(parseCut(trace, cutText(cut))).toEqual(cut);
    });
    const trace = parseTrace('{"process":"p","type":"internal"}');
    for (const text of ["", "1,1", "2", "-1", "1.5", "x", "0x1"])
      expect(() => parseCut(trace, text), text).toThrow(/cut has/);
  });
});

describe("a session", () => {
  const prepared = (text: string): Promise<Session> =>
    Session.prepare("test", parseTrace(text), () => {});
  const paper = EXAMPLES[0]?.text ?? "";

  test("undoes what was done with the cut, a drag as one", async () => {
    const session = await prepared(paper);
    const cut = (...counts: number[]) => Int32Array.from(counts);
    const at = () => session.looked.cut && cutText(session.looked.cut.counts);
    session.setCut(cut(1, 0));
    session.setCut(cut(2, 0));
    session.setCut(cut(3, 0), true);
    session.setCut(cut(4, 0), true);
    session.setCut(undefined);
    const seen = [at()];
    while (session.looked.canUndo) {
      session.undo();
      seen.push(at());
    }
    expect(seen).toEqual([undefined, "4,0", "1,0", undefined]);
  });

  test("steps, snaps and looks for events", async () => {
    const session = await prepared(paper);
    session.step(true);
    session.step(true);
    session.step(false);
    expect(session.looked.cut?.counts.reduce((sum, one) => sum + one)).toBe(1);
    session.setCut(session.order.frontier(new Map([["P", 4]])));
    expect(session.looked.cut?.verdict.orphans.length).toBe(1);
    session.snap("inside");
    expect(session.looked.cut?.verdict.orphans.length).toBe(0);
    session.search("SENDS m'");
    expect(session.looked.matches.length).toBe(1);
    session.findNext(true);
    expect(session.looked.selected?.event).toBe(session.looked.matches[0]);
  });

  test("shows only some processes, and only some kinds", async () => {
    const session = await prepared(paper);
    await session.arrange({ hiddenProcesses: new Set([0]) });
    expect(session.looked.scene.rows.map(({ name }) => name)).toEqual(["Q"]);
    session.hideKinds(new Set(["markers"]));
    const { scene } = session.looked;
    expect(scene.hiddenMarks.reduce((sum, one) => sum + one, 0)).toBeGreaterThan(0);
    await session.arrange({ hiddenProcesses: new Set() });
    expect(session.looked.scene.rows.length).toBe(2);
    expect(session.looked.doing).toBe(undefined);
  });

  test("is shown as one of the same processes was before, also if that is still being arranged", async () => {
    const before = await prepared(paper);
    before.hideKinds(new Set(["markers"]));
    const arranging = before.arrange({ hiddenProcesses: new Set([0]) });
    const session = await prepared(`{"type":"history","processes":["Q","P"]}\n${paper}`);
    session.likeBefore(before);
    const { scene, hiddenProcesses } = session.looked;
    expect(hiddenProcesses).toEqual(new Set([1]));
    expect(scene.rows.map(({ name }) => name)).toEqual(["Q"]);
    expect(scene.hiddenMarks.reduce((sum, one) => sum + one, 0)).toBeGreaterThan(0);
    await arranging;
  });
});

test("a search goes from match to match, and around", () => {
  property(fc.tuple(small, fc.nat()), ([trace, pick]) => {
    const order = new CausalOrder(trace);
    const ranks = ranksOf(order);
    const all = findEvents(trace, order.linear, "P1");
    expect([...all]).toEqual([...order.linear].filter((e) => trace.events[e]?.process === 0));
    expect(findEvents(trace, order.linear, "p1 nobody says that").length).toBe(0);
    const from = pick % trace.events.length;
    if (all.length === 0) return;
    let at: number | undefined = from;
    const visited = new Set<number>();
    for (const _ of all) {
      at = nextMatch(all, ranks, at, true);
      visited.add(at as number);
      expect(nextMatch(all, ranks, nextMatch(all, ranks, at, true), false)).toBe(at);
    }
    expect(visited).toEqual(new Set(all));
  });
});

describe("a viewport", () => {
  const views = fc.record({
    left: fc.integer({ min: -100, max: 5000 }),
    scale: fc.double({ min: 0.001, max: 10, noNaN: true }),
  });
  const at = ({ left, scale }: Viewport, pixel: number): number => left + pixel / scale;

  test("zooms around what is pointed at", () => {
    const factor = fc.double({ min: 0.1, max: 10, noNaN: true });
    property(fc.tuple(views, factor, fc.nat(1000)), ([view, by, pixel]) => {
      const zoomed = zoomAt(view, by, pixel);
      expect(at(zoomed, pixel)).toBeCloseTo(at(view, pixel), 3);
    });
  });

  test("always shows something of the picture, and moving it there again changes nothing", () => {
    property(fc.tuple(views, fc.integer({ min: 10, max: 9000 })), ([view, width]) => {
      const shown = clamp(view, width, 800);
      expect(at(shown, 800)).toBeGreaterThan(0);
      expect(shown.left).toBeGreaterThanOrEqual(0);
      expect(shown.left).toBeLessThan(width);
      expect(clamp(shown, width, 800)).toEqual(shown);
    });
  });

  test("stays where it is when something is seen, and else has it in the middle", () => {
    property(fc.tuple(views, fc.nat(5000)), ([view, x]) => {
      const shown = reveal(view, x, 800);
      const pixel = (x - shown.left) * shown.scale;
      expect(pixel).toBeGreaterThan(79);
      expect(pixel).toBeLessThan(721);
    });
  });

  test("knows which row a height is in", () => {
    const heights = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 });
    property(fc.tuple(heights, fc.integer({ min: -50, max: 2000 })), ([list, y]) => {
      const tops = rowTops(list);
      const row = rowAt(tops, y);
      const inside = list.findIndex((_, i) => (tops[i + 1] as number) > y);
      expect(row).toBe(y < 0 ? 0 : inside === -1 ? list.length - 1 : inside);
    });
  });
});

test("the examples of the page are those of the repository", () => {
  for (const { name, text } of EXAMPLES)
    expect(text).toBe(
      readFileSync(new URL(`../../examples/traces/${name}`, import.meta.url), "utf8"),
    );
});
