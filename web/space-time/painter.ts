/**
 * Draws what is seen of a scene on a canvas, some sixty times a second.
 *
 * Theory of operation. Only what is in the window is looked at. Drawing is what takes time: points and heads of arrows are copied, and
 * lines are one pixel wide and each a path of its own, which is filled in a third of the time that a wider one in a long path takes. When there is
 * more in the window than a reader could tell apart, marks and arrows are drawn as how dense they are in each column of pixels: nothing
 * is left out, and a picture costs as much as it is wide. What is looked for stays there from any distance: records, crashes, messages
 * across the cut, matches, differences.
 */

import type { LaidArrow, Mark, Stub } from "../../src/trace/layout.ts";
import { levelOf } from "./density.ts";
import { marksIn } from "./scene.ts";
import { type Looked, MOVED, type Session } from "./session.ts";
import type { PointKind, Sprites } from "./sprites.ts";
import { rowAt, type Viewport } from "./viewport.ts";

/** What colours are for; each is a property of the style sheet. */
const COLOURS = [
  ...["card", "raised", "line", "text", "dim", "message", "marker", "flight", "orphan", "cut"],
  ...["past", "future", "match", "moved", "main"],
] as const;
export type Colours = Readonly<Record<string, string>>;

/** Asks a hidden element what each is, in the theme that there is. */
export function coloursOf(probe: HTMLElement): Colours {
  return Object.fromEntries(
    COLOURS.map((name) => {
      probe.style.color = `var(--${name})`;
      return [name, getComputedStyle(probe).color];
    }),
  );
}

/** What is drawn, and where. */
export interface Picture {
  readonly session: Session;
  readonly view: Viewport;
  readonly width: number;
  readonly height: number;
  /** How far it is scrolled down, and where rows begin. */
  readonly scroll: number;
  readonly tops: Float64Array;
  readonly colours: Colours;
  readonly sprites: Sprites;
  readonly hovered: number | undefined;
  /** The row whose part of the cut somebody holds. */
  readonly held: number | undefined;
}

/** More than that in the window are drawn as how dense they are. */
const ARROWS_MAX = 1_200;
const MARKS_MAX = 2_400;
const COLUMN = 2;
const LEVELS = 8;
const RADIUS = 4.5;
/** Rows that are lower have no labels, and smaller points. */
const LABEL_ROW = 36;
const LETTER = 6.3;
/** Of messages across the cut no more than that are drawn; all of them are in the table. */
const CROSSING_MAX = 1_500;

export function isFar({ session, view, width }: Pick<Picture, "session" | "view" | "width">) {
  const { layout } = session.looked.scene;
  const share = width / view.scale / layout.width;
  return layout.arrows.length * share > ARROWS_MAX || layout.marks.length * share > MARKS_MAX;
}

export function paint(context: CanvasRenderingContext2D, picture: Picture): void {
  new Painter(context, picture).paint();
}

class Painter {
  readonly #context: CanvasRenderingContext2D;
  readonly #picture: Picture;
  readonly #looked: Looked;
  readonly #from: number;
  readonly #to: number;
  readonly #firstRow: number;
  readonly #lastRow: number;
  readonly #isFar: boolean;

  constructor(context: CanvasRenderingContext2D, picture: Picture) {
    this.#context = context;
    this.#picture = picture;
    this.#looked = picture.session.looked;
    const { view, width, height, tops, scroll } = picture;
    this.#from = view.left - 20 / view.scale;
    this.#to = view.left + (width + 20) / view.scale;
    this.#firstRow = rowAt(tops, scroll);
    this.#lastRow = rowAt(tops, scroll + height);
    this.#isFar = isFar(picture);
  }

  paint(): void {
    const { width, height } = this.#picture;
    const context = this.#context;
    context.fillStyle = this.#colour("card");
    context.fillRect(0, 0, width, height);
    context.font = '11px system-ui, "Segoe UI", "DejaVu Sans", sans-serif';
    context.textBaseline = "alphabetic";
    if (this.#looked.scene.rows.length === 0) return;
    this.#axis();
    this.#inside();
    this.#lines();
    this.#cone();
    if (this.#isFar) this.#densities();
    else this.#arrows();
    this.#crossing();
    this.#frontier();
    if (this.#isFar) this.#special();
    else this.#marks();
    this.#found();
    this.#looks();
    context.globalAlpha = 1;
  }

  #colour(name: string): string {
    return String(this.#picture.colours[name]);
  }

  #x(x: number): number {
    const { left, scale } = this.#picture.view;
    return (x - left) * scale;
  }

  #y(row: number): number {
    const { tops, scroll } = this.#picture;
    return ((tops[row] ?? 0) + (tops[row + 1] ?? 0)) / 2 - scroll;
  }

  #height(row: number): number {
    const { tops } = this.#picture;
    return (tops[row + 1] ?? 0) - (tops[row] ?? 0);
  }

  *#rows(): Generator<number> {
    const last = Math.min(this.#lastRow, this.#looked.scene.rows.length - 1);
    for (let row = this.#firstRow; row <= last; row += 1) yield row;
  }

  #mark(m: number): Mark {
    return this.#looked.scene.layout.marks[m] as Mark;
  }

  /** Whether it has nothing to do with the event that is looked at. */
  #isFaint({ row, first, count }: Mark): boolean {
    const { selected, isConeShown, scene } = this.#looked;
    if (!selected || !isConeShown) return false;
    const process = scene.rows[row]?.process ?? 0;
    const [past, future] = [selected.past[process], selected.beforeFuture[process]];
    return first >= (past as number) && first + count <= (future as number);
  }

  #axis(): void {
    const context = this.#context;
    const { height } = this.#picture;
    context.textAlign = "left";
    let last = Number.NEGATIVE_INFINITY;
    for (const { x, text } of this.#looked.scene.layout.axis) {
      const at = this.#x(x);
      if (x < this.#from || x > this.#to || at - last < 80) continue;
      last = at;
      context.fillStyle = this.#colour("line");
      context.fillRect(Math.round(at), 0, 1, height);
      context.fillStyle = this.#colour("dim");
      context.fillText(text, at + 4, 11);
    }
  }

  #lines(): void {
    const context = this.#context;
    const { layout } = this.#looked.scene;
    context.fillStyle = this.#colour("line");
    for (const row of this.#rows()) {
      const start = Math.max(0, this.#x(0));
      const end = Math.min(
        this.#picture.width,
        this.#x(layout.rows[row]?.crashedAt ?? layout.width),
      );
      if (end > start) context.fillRect(start, Math.round(this.#y(row)), end - start, 1);
    }
  }

  /** Along each line what led to the event that is looked at, and what it led to. */
  #cone(): void {
    const { selected, isConeShown, scene } = this.#looked;
    if (!selected || !isConeShown) return;
    const context = this.#context;
    const { width } = this.#picture;
    const { layout, rows } = scene;
    const atEvent = (process: number, position: number): number | undefined => {
      const e = (layout.trace.timelines[process] as Int32Array)[position];
      const mark = e === undefined ? -1 : (scene.markOf[e] as number);
      return mark < 0 ? undefined : this.#x(this.#mark(mark).x);
    };
    for (const row of this.#rows()) {
      const process = rows[row]?.process ?? 0;
      const y = Math.round(this.#y(row)) - 3;
      const past = atEvent(process, (selected.past[process] as number) - 1);
      const future = atEvent(process, selected.beforeFuture[process] as number);
      context.globalAlpha = 0.28;
      if (past !== undefined && past > 0) {
        context.fillStyle = this.#colour("past");
        context.fillRect(0, y, Math.min(past, width), 7);
      }
      if (future !== undefined && future < width) {
        context.fillStyle = this.#colour("future");
        const end = Math.min(width, this.#x(layout.width));
        context.fillRect(Math.max(0, future), y, end - Math.max(0, future), 7);
      }
    }
    context.globalAlpha = 1;
  }

  /** Runs of columns that are as dense are one rectangle. */
  #densities(): void {
    const context = this.#context;
    const { width, view } = this.#picture;
    const { rows, gaps, layout } = this.#looked.scene;
    const step = COLUMN / view.scale;
    const counts = new Uint32Array(Math.ceil(width / COLUMN));
    const columns = layout.width / step;
    const most = (size: number): number => Math.max(4, (3 * size) / columns);
    const bars = (
      fill: (level: number) => readonly [y: number, height: number, alpha: number],
      full: number,
    ): void => {
      let [start, level] = [0, 0];
      for (let i = 0; i <= counts.length; i += 1) {
        const next = i < counts.length ? levelOf(counts[i] as number, full, LEVELS) : -1;
        if (next === level) continue;
        if (level > 0) {
          const [y, height, alpha] = fill(level);
          context.globalAlpha = alpha;
          context.fillRect(start * COLUMN, y, (i - start) * COLUMN, height);
        }
        [start, level] = [i, next];
      }
    };
    context.fillStyle = this.#colour("message");
    for (const row of this.#rows()) {
      const gap = gaps[row];
      if (row === rows.length - 1 || !gap) continue;
      gap.count(view.left, step, counts);
      const [top, bottom] = [this.#y(row) + 5, this.#y(row + 1) - 5];
      bars((level) => [top, bottom - top, (0.5 * level) / LEVELS], most(gap.size));
    }
    context.fillStyle = this.#colour("message");
    for (const row of this.#rows()) {
      const { density } = rows[row] ?? {};
      if (!density) continue;
      density.count(view.left, step, counts);
      const y = Math.round(this.#y(row));
      bars(
        (level) => [y - 1 - level / 2, 2 + level, 0.45 + (0.55 * level) / LEVELS],
        most(density.size),
      );
    }
    context.globalAlpha = 1;
  }

  #arrows(): void {
    const { scene } = this.#looked;
    const groups: Record<string, LaidArrow[]> = { message: [], marker: [] };
    const pale: Record<string, LaidArrow[]> = { message: [], marker: [] };
    scene.arrows.forEach(this.#from, this.#to, (a) => {
      if (scene.hiddenArrows[a] === 1) return;
      const arrow = scene.layout.arrows[a] as LaidArrow;
      const [source, target] = [this.#mark(arrow.from), this.#mark(arrow.to)];
      if (this.#isOff(source.row, target.row)) return;
      const isFaint = this.#isFaint(source) || this.#isFaint(target);
      (isFaint ? pale : groups)[arrow.isMarker ? "marker" : "message"]?.push(arrow);
    });
    const { scale } = this.#picture.view;
    const hasHeads = scale > 0.25;
    for (const [all, alpha] of [
      [pale, 0.15],
      [groups, hasHeads ? 0.9 : 0.6],
    ] as const)
      for (const [tone, arrows] of Object.entries(all)) {
        this.#context.globalAlpha = alpha;
        this.#context.setLineDash(tone === "marker" && hasHeads ? [5, 3.5] : []);
        this.#strokeArrows(arrows, tone, hasHeads ? 1 : 0.8, hasHeads);
      }
    this.#context.setLineDash([]);
    this.#context.globalAlpha = 1;
  }

  #isOff(row: number, other: number): boolean {
    return Math.max(row, other) < this.#firstRow || Math.min(row, other) > this.#lastRow;
  }

  /** Messages across the cut, from any distance. */
  #crossing(): void {
    const { cut, scene } = this.#looked;
    if (!cut) return;
    const { inFlight, orphans } = cut.verdict;
    for (const [list, tone] of [
      [inFlight, "flight"],
      [orphans, "orphan"],
    ] as const) {
      const seen: LaidArrow[] = [];
      const markers: LaidArrow[] = [];
      for (const { from, to } of list) {
        const [a, b] = [scene.markOf[from] as number, scene.markOf[to] as number];
        if (a < 0 || b < 0) continue;
        const [start, end] = [this.#mark(a).x, this.#mark(b).x];
        if (Math.max(start, end) < this.#from || Math.min(start, end) > this.#to) continue;
        const shape = { isMarker: false, crossing: "none", isBent: false, heldMs: 0 } as const;
        const isMarker = scene.layout.trace.events[from]?.snapshot !== undefined;
        (isMarker ? markers : seen).push({ from: a, to: b, count: 1, heldLength: 0, ...shape });
        if (seen.length + markers.length === CROSSING_MAX) break;
      }
      this.#strokeArrows(seen, tone, 2.2, true);
      this.#context.setLineDash([6, 4]);
      this.#strokeArrows(markers, tone, 1.8, true);
      this.#context.setLineDash([]);
    }
  }

  #strokeArrows(
    arrows: readonly LaidArrow[],
    tone: string,
    lineWidth: number,
    hasHeads: boolean,
  ): void {
    if (arrows.length === 0) return;
    const context = this.#context;
    const { sprites } = this.#picture;
    context.strokeStyle = this.#colour(tone);
    context.lineWidth = lineWidth;
    for (const { from, to, isBent, heldLength } of arrows) {
      const [source, target] = [this.#mark(from), this.#mark(to)];
      const [ax, ay] = [this.#x(source.x), this.#y(source.row)];
      const [bx, by] = [this.#x(target.x - heldLength), this.#y(target.row)];
      const length = Math.hypot(bx - ax, by - ay) || 1;
      const [dx, dy] = [(bx - ax) / length, (by - ay) / length];
      const bend = isBent ? 22 : 0;
      const [mx, my] = [(ax + bx) / 2 + bend * dy, (ay + by) / 2 - bend * dx];
      context.beginPath();
      context.moveTo(ax, ay);
      if (isBent) context.quadraticCurveTo(mx, my, bx, by);
      else context.lineTo(bx, by);
      if (heldLength > 0) context.lineTo(this.#x(target.x), by);
      context.stroke();
      if (!hasHeads) continue;
      const away = Math.hypot(bx - mx, by - my) || 1;
      const direction = isBent ? { dx: (bx - mx) / away, dy: (by - my) / away } : { dx, dy };
      const tipX = bx - direction.dx * RADIUS;
      sprites.head(context, tone, direction, tipX, by - direction.dy * RADIUS);
    }
  }

  #trace(places: Float64Array): void {
    const context = this.#context;
    const last = places.length - 1;
    const from = Math.max(0, this.#firstRow - 1);
    const to = Math.min(last, this.#lastRow + 1);
    context.beginPath();
    context.moveTo(this.#x(places[from] ?? 0), from === 0 ? 0 : this.#y(from));
    context.lineTo(this.#x(places[from] ?? 0), this.#y(from));
    for (let row = from + 1; row <= to; row += 1) {
      const [a, b] = [this.#x(places[row - 1] as number), this.#x(places[row] as number)];
      const middle = (this.#y(row - 1) + this.#y(row)) / 2;
      context.bezierCurveTo(a, middle, b, middle, b, this.#y(row));
    }
    context.lineTo(this.#x(places[to] ?? 0), this.#picture.height);
  }

  #inside(): void {
    const { cut } = this.#looked;
    if (!cut) return;
    const context = this.#context;
    this.#trace(cut.places);
    const left = Math.min(0, ...[...cut.places].map((x) => this.#x(x)));
    context.lineTo(left, this.#picture.height);
    context.lineTo(left, 0);
    context.globalAlpha = 0.08;
    context.fillStyle = this.#colour(cut.verdict.orphans.length > 0 ? "orphan" : "cut");
    context.fill();
    context.globalAlpha = 1;
  }

  #frontier(): void {
    const { cut } = this.#looked;
    if (!cut) return;
    const context = this.#context;
    const tone = this.#colour(cut.verdict.orphans.length > 0 ? "orphan" : "cut");
    this.#trace(cut.places);
    context.strokeStyle = tone;
    context.lineWidth = 2;
    context.stroke();
    for (const row of this.#rows()) {
      const [x, y] = [this.#x(cut.places[row] as number), this.#y(row)];
      const size = row === this.#picture.held ? 6 : 4;
      const height = Math.min(9, this.#height(row) / 2 - 1);
      context.fillStyle = tone;
      context.beginPath();
      context.roundRect(x - size, y - height, 2 * size, 2 * height, size);
      context.fill();
      context.fillStyle = this.#colour("card");
      context.fillRect(x - 1, y - height / 2, 2, height);
    }
  }

  #marks(): void {
    const { scene } = this.#looked;
    const { scale } = this.#picture.view;
    const points: [kind: PointKind, isLong: boolean, x: number, y: number, isLow: boolean][][] = [
      [],
      [],
    ];
    const stubs = new Path2D();
    const labels: [label: string, x: number, y: number, isFaint: boolean][] = [];
    const lost = new Set(
      this.#looked.cut?.verdict.orphans.map(({ to }) => scene.markOf[to] as number),
    );
    for (const row of this.#rows()) {
      const line = scene.rows[row];
      if (!line) continue;
      const [y, height] = [this.#y(row), this.#height(row)];
      const isLow = height < LABEL_ROW;
      const ends = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
      marksIn(line, this.#from, this.#to, (m, at) => {
        if (scene.hiddenMarks[m] === 1) return;
        const mark = this.#mark(m);
        const x = this.#x(at);
        const isFaint = this.#isFaint(mark);
        const kind = lost.has(m) ? "lost" : mark.kind;
        points[isFaint ? 0 : 1]?.push([kind, mark.count > 1, x, y, isLow]);
        for (const stub of scene.stubs.get(m) ?? []) addStub(stubs, stub, x, y);
        if (isLow || scale < 0.55 || mark.label === "") return;
        const side = mark.isBelow ? 1 : 0;
        const half = ([...mark.label].length * LETTER) / 2;
        if (x - half < (ends[side] as number) + 4) return;
        ends[side] = x + half;
        labels.push([mark.label, x, y + (mark.isBelow ? 19 : -10), isFaint]);
      });
    }
    this.#context.lineWidth = 1.2;
    this.#context.strokeStyle = this.#colour("message");
    this.#context.setLineDash([1.5, 2.5]);
    this.#context.stroke(stubs);
    this.#context.setLineDash([]);
    const full = Math.max(0.5, Math.min(1, Math.round(8 * (0.4 + scale)) / 8));
    for (const [i, some] of points.entries()) {
      this.#context.globalAlpha = i === 0 ? 0.3 : 1;
      for (const [kind, isLong, x, y, isLow] of some) {
        const point = { kind, isLong, radius: (isLow ? 3 : RADIUS) * full };
        this.#picture.sprites.point(this.#context, point, x, y);
      }
    }
    this.#labels(labels);
  }

  #labels(labels: readonly (readonly [string, number, number, boolean])[]): void {
    const context = this.#context;
    context.textAlign = "center";
    context.fillStyle = this.#colour("card");
    context.globalAlpha = 0.75;
    for (const [label, x, y] of labels) {
      const half = ([...label].length * LETTER) / 2;
      context.fillRect(x - half, y - 9, 2 * half, 11);
    }
    context.fillStyle = this.#colour("text");
    for (const [label, x, y, isFaint] of labels) {
      context.globalAlpha = isFaint ? 0.4 : 1;
      context.fillText(label, x, y);
    }
    context.globalAlpha = 1;
  }

  /** Records and crashes, which are few. */
  #special(): void {
    const { special, hiddenMarks } = this.#looked.scene;
    for (const m of special) {
      const { x, row, kind, count } = this.#mark(m);
      if (x < this.#from || x > this.#to || hiddenMarks[m] === 1) continue;
      if (row < this.#firstRow || row > this.#lastRow) continue;
      const point = { kind, isLong: count > 1, radius: RADIUS };
      this.#picture.sprites.point(this.#context, point, this.#x(x), this.#y(row));
    }
  }

  /** What was searched for, and what differs. */
  #found(): void {
    const { matches, scene } = this.#looked;
    const { tints, differing } = this.#picture.session;
    const context = this.#context;
    const ring = (events: Iterable<number>, tone: (e: number) => string): void => {
      const last = new Map<string, number>();
      for (const e of events) {
        const m = scene.markOf[e] as number;
        if (m < 0) continue;
        const { x, row } = this.#mark(m);
        if (x < this.#from || x > this.#to || row < this.#firstRow || row > this.#lastRow) continue;
        const colour = tone(e);
        const at = this.#x(x);
        // Where they lie on each other, one is enough.
        if (at - (last.get(`${row} ${colour}`) ?? -10) < 1.5) continue;
        last.set(`${row} ${colour}`, at);
        context.globalAlpha = 0.55;
        context.fillStyle = this.#colour(colour);
        if (this.#isFar) context.fillRect(at - 1, this.#y(row) - 9, 2, 18);
        else {
          context.beginPath();
          context.arc(at, this.#y(row), 9, 0, 7);
          context.fill();
        }
      }
      context.globalAlpha = 1;
    };
    if (matches.length > 0) ring(matches, () => "match");
    ring(differing, (e) => (tints?.[e] === MOVED ? "moved" : "orphan"));
  }

  /** Rings around what is looked at. */
  #looks(): void {
    const context = this.#context;
    const { selected, scene } = this.#looked;
    for (const [e, tone, width] of [
      [this.#picture.hovered, "dim", 1.5],
      [selected?.event, "main", 2.2],
    ] as const) {
      const m = e === undefined ? -1 : (scene.markOf[e] as number);
      if (m < 0) continue;
      const { x, row } = this.#mark(m);
      context.strokeStyle = this.#colour(tone);
      context.lineWidth = width;
      context.beginPath();
      context.arc(this.#x(x), this.#y(row), 9.5, 0, 7);
      context.stroke();
    }
  }
}

/** An arrow whose other end is not shown, or, with a cross, not told. */
function addStub(path: Path2D, { isOutgoing, isDown, end }: Stub, x: number, y: number): void {
  const [ex, ey] = [x + (isOutgoing ? 14 : -14), y + (isDown ? 13 : -13)];
  path.moveTo(x, y);
  path.lineTo(ex, ey);
  if (end === "elsewhere") return;
  path.moveTo(ex - 3, ey - 3);
  path.lineTo(ex + 3, ey + 3);
  path.moveTo(ex + 3, ey - 3);
  path.lineTo(ex - 3, ey + 3);
}
