/** The picture under somebody's hands: moving and zooming it, dragging the cut, going from event to event by keys. */

import type { Mark } from "../../src/trace/layout.ts";
import type { TraceEvent } from "../../src/trace/trace.ts";
import { otherEnds, withCount } from "./cuts.ts";
import { levelOf } from "./density.ts";
import { type Colours, coloursOf, isFar, paint } from "./painter.ts";
import { eventsBefore, nearestMark, type Scene, type SceneRow, straightCut } from "./scene.ts";
import type { Session } from "./session.ts";
import { Sprites } from "./sprites.ts";
import { clamp, fitted, reveal, rowAt, rowTops, type Viewport, zoomAt } from "./viewport.ts";

export interface StageElements {
  /** Around the canvas; scrolls when there are more rows than room. */
  readonly frame: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  /** The whole in small. */
  readonly overview: HTMLCanvasElement;
  /** Asked for colours. */
  readonly probe: HTMLElement;
}

interface StageListeners {
  readonly hover: (event: number | undefined) => void;
  /** What is seen has another form: as density, or mark by mark. */
  readonly farness: (isFar: boolean) => void;
  readonly search: () => void;
}

type Gesture =
  | { readonly kind: "pan"; x: number; y: number; moved: number }
  | { readonly kind: "cut"; readonly row: number; isBegun: boolean }
  | { readonly kind: "whole cut"; isBegun: boolean }
  | { readonly kind: "pinch"; distance: number };

const GRIP = 9;
const TOP_GRIP = 16;
const HIT = 16;
const CLICK = 4;
const ZOOM = 1.5;
const PAN = 80;
const [ROW_LEAST, ROW_MOST, COLLAPSED] = [26, 96, 14];
const OVERVIEW_LEVELS = 12;

/** How high rows are when there is so much room for all. */
export function rowHeights(scene: Scene, collapsed: ReadonlySet<number>, room: number): number[] {
  const small = scene.rows.filter(({ process }) => collapsed.has(process)).length;
  const each = (room - small * COLLAPSED) / Math.max(1, scene.rows.length - small);
  const height = Math.max(ROW_LEAST, Math.min(ROW_MOST, each));
  return scene.rows.map(({ process }) => (collapsed.has(process) ? COLLAPSED : height));
}

/** See the head of the file. */
export class Stage {
  #session: Session;
  #unsubscribe: () => void = () => {};
  readonly #elements: StageElements;
  readonly #listeners: StageListeners;
  readonly #end = new AbortController();
  readonly #pointers = new Map<number, PointerEvent>();
  #tops: Float64Array = new Float64Array(1);
  #colours: Colours = {};
  #sprites: Sprites | undefined;
  #hovered: number | undefined;
  #gesture: Gesture | undefined;
  #isWaiting: boolean = false;
  #wasFar: boolean | undefined;
  /** The overview without what moves, of which scene, and how wide. */
  #whole: { readonly scene: Scene; readonly picture: HTMLCanvasElement } | undefined;

  constructor(session: Session, elements: StageElements, listeners: StageListeners) {
    this.#session = session;
    this.#elements = elements;
    this.#listeners = listeners;
    const { signal } = this.#end;
    const { canvas, frame, overview } = elements;
    const size = new ResizeObserver(() => this.#resize());
    size.observe(frame);
    size.observe(canvas);
    const theme = new MutationObserver(() => this.#recolour());
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    signal.addEventListener("abort", () => {
      size.disconnect();
      theme.disconnect();
      this.#unsubscribe();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#recolour(), {
      signal,
    });
    frame.addEventListener("scroll", () => this.draw(), { signal });
    canvas.addEventListener("pointerdown", (event) => this.#down(event), { signal });
    canvas.addEventListener("pointermove", (event) => this.#move(event), { signal });
    for (const type of ["pointerup", "pointercancel"] as const)
      canvas.addEventListener(type, (event) => this.#up(event), { signal });
    canvas.addEventListener("pointerleave", () => this.#hover(undefined), { signal });
    canvas.addEventListener("dblclick", ({ offsetX }) => this.#cutAt(offsetX), { signal });
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { signal, passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event), { signal });
    const jump = (event: PointerEvent): void => {
      if (event.type === "pointerdown") overview.setPointerCapture(event.pointerId);
      if (event.buttons & 1) this.#jump(event.offsetX);
    };
    overview.addEventListener("pointerdown", jump, { signal });
    overview.addEventListener("pointermove", jump, { signal });
    this.#recolour();
    this.#resize();
    this.show(session);
  }

  /** Another trace, in the same place. */
  show(session: Session): void {
    this.#unsubscribe();
    this.#unsubscribe = session.subscribe(() => this.draw());
    this.#session = session;
    this.#gesture = undefined;
    this.#hover(undefined);
    this.draw();
  }

  dispose(): void {
    this.#end.abort();
  }

  /** Rows have other heights. */
  setTops(heights: readonly number[]): void {
    this.#tops = rowTops(heights);
    this.draw();
  }

  draw(): void {
    if (this.#isWaiting || this.#end.signal.aborted) return;
    this.#isWaiting = true;
    requestAnimationFrame(() => {
      this.#isWaiting = false;
      if (!this.#end.signal.aborted) this.#paint();
    });
  }

  zoom(factor: number, pixel: number = this.#width / 2): void {
    this.#look(zoomAt(this.#view, factor, pixel));
  }

  pan(pixels: number): void {
    const { left, scale } = this.#view;
    this.#look({ left: left + pixels / scale, scale });
  }

  showAll(): void {
    this.#look(fitted(this.#scene.layout.width, this.#width));
  }

  /** Moves so that an event is seen. */
  reveal(event: number): void {
    const mark = this.#markOf(event);
    if (!mark) return;
    // From afar nobody would find it.
    const view = isFar({ ...this.#shown, view: this.#view })
      ? { left: mark.x - this.#width / 2, scale: 1 }
      : this.#view;
    this.#look(reveal(view, mark.x, this.#width));
    const { frame } = this.#elements;
    const [top, bottom] = [this.#tops[mark.row] ?? 0, this.#tops[mark.row + 1] ?? 0];
    if (top < frame.scrollTop) frame.scrollTop = top;
    else if (bottom > frame.scrollTop + frame.clientHeight)
      frame.scrollTop = bottom - frame.clientHeight;
  }

  /** A cut straight through what is in the middle. */
  cutInTheMiddle(): void {
    this.#cutAt(this.#width / 2);
  }

  /** The x of the picture at both edges. */
  get edges(): readonly [from: number, to: number] {
    const { left, scale } = this.#view;
    return [left, left + this.#width / scale];
  }

  get #scene(): Scene {
    return this.#session.looked.scene;
  }

  get #width(): number {
    return this.#elements.canvas.clientWidth;
  }

  get #view(): Viewport {
    this.#session.view ??= fitted(this.#scene.layout.width, this.#width);
    return this.#session.view;
  }

  get #shown() {
    return { session: this.#session, width: this.#width };
  }

  #look(view: Viewport): void {
    this.#session.view = clamp(view, this.#scene.layout.width, this.#width);
    this.draw();
  }

  #recolour(): void {
    this.#colours = coloursOf(this.#elements.probe);
    this.#whole = undefined;
    this.#sprites = undefined;
    this.draw();
  }

  #resize(): void {
    const ratio = devicePixelRatio || 1;
    for (const canvas of [this.#elements.canvas, this.#elements.overview]) {
      const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((size) =>
        Math.max(1, Math.round(size * ratio)),
      );
      if (canvas.width !== width) canvas.width = width as number;
      if (canvas.height !== height) canvas.height = height as number;
    }
    this.#whole = undefined;
    // The screen may be another one.
    this.#sprites = undefined;
    this.draw();
  }

  #paint(): void {
    const { canvas, frame } = this.#elements;
    const context = canvas.getContext("2d", { alpha: false });
    if (!context || this.#width === 0) return;
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const view = clamp(this.#view, this.#scene.layout.width, this.#width);
    this.#session.view = view;
    this.#sprites ??= new Sprites((name) => String(this.#colours[name]), ratio);
    const far = isFar({ ...this.#shown, view });
    if (far !== this.#wasFar) this.#listeners.farness(far);
    this.#wasFar = far;
    paint(context, {
      ...{ session: this.#session, view, width: this.#width, height: canvas.clientHeight },
      ...{ scroll: frame.scrollTop, tops: this.#tops, colours: this.#colours },
      sprites: this.#sprites,
      ...{ hovered: this.#hovered },
      held: this.#gesture?.kind === "cut" ? this.#gesture.row : undefined,
    });
    this.#paintOverview();
  }

  #paintOverview(): void {
    const { overview } = this.#elements;
    const context = overview.getContext("2d");
    if (!context) return;
    const [width, height] = [overview.clientWidth, overview.clientHeight];
    const ratio = devicePixelRatio || 1;
    const { layout } = this.#scene;
    const scale = width / layout.width;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, overview.width, overview.height);
    context.drawImage(this.#wholeOf(width, height, ratio), 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { cut, matches, selected } = this.#session.looked;
    const tick = (event: number, tone: string): void => {
      const mark = this.#markOf(event);
      context.fillStyle = String(this.#colours[tone]);
      if (mark) context.fillRect(mark.x * scale - 1, 0, 2, height);
    };
    // More than there are pixels would only cover each other.
    const every = Math.ceil(matches.length / Math.max(1, width));
    for (let i = 0; i < matches.length; i += every) tick(matches[i] as number, "match");
    if (cut) {
      const [least, most] = [Math.min(...cut.places), Math.max(...cut.places)];
      context.fillStyle = String(this.#colours[cut.verdict.orphans.length > 0 ? "orphan" : "cut"]);
      context.fillRect(least * scale - 1, 0, Math.max(2, (most - least) * scale), height);
    }
    if (selected) tick(selected.event, "main");
    const [from, to] = this.edges;
    context.strokeStyle = String(this.#colours["main"]);
    context.lineWidth = 2;
    const left = Math.max(1, from * scale);
    context.strokeRect(left, 1, Math.max(4, Math.min(width - 1, to * scale) - left), height - 2);
  }

  #wholeOf(width: number, height: number, ratio: number): HTMLCanvasElement {
    const scene = this.#scene;
    if (this.#whole?.scene === scene) return this.#whole.picture;
    const picture = document.createElement("canvas");
    [picture.width, picture.height] = [width * ratio, height * ratio];
    const context = picture.getContext("2d");
    const counts = new Uint32Array(Math.max(1, Math.ceil(width / 2)));
    const sums = new Uint32Array(counts.length);
    const step = scene.layout.width / counts.length;
    for (const { density } of scene.rows) {
      density.count(0, step, counts);
      for (const [i, count] of counts.entries()) sums[i] = (sums[i] as number) + count;
    }
    const most = sums.reduce((a, b) => Math.max(a, b), 1);
    if (context) {
      context.scale(ratio, ratio);
      context.fillStyle = String(this.#colours["message"]);
      context.globalAlpha = 0.55;
      for (const [i, sum] of sums.entries()) {
        const level = levelOf(sum, most, OVERVIEW_LEVELS) / OVERVIEW_LEVELS;
        context.fillRect(i * 2, height - level * (height - 4), 1.5, level * (height - 4));
      }
    }
    this.#whole = { scene, picture };
    return picture;
  }

  #markOf(event: number): Mark | undefined {
    const { layout, markOf } = this.#scene;
    return layout.marks[markOf[event] ?? -1];
  }

  #eventOf(m: number | undefined): number | undefined {
    const { layout, rows } = this.#scene;
    const mark = layout.marks[m ?? -1];
    return mark && layout.trace.timelines[rows[mark.row]?.process ?? 0]?.[mark.first];
  }

  #pictureX(pixel: number): number {
    const { left, scale } = this.#view;
    return left + pixel / scale;
  }

  #rowAt(offsetY: number): number {
    return rowAt(this.#tops, offsetY + this.#elements.frame.scrollTop);
  }

  /** The event that somebody points at. */
  #eventAt(x: number, y: number): number | undefined {
    const row = this.#rowAt(y);
    const line = this.#scene.rows[row];
    const m = line && nearestMark(line, this.#pictureX(x));
    const mark = m === undefined ? undefined : this.#scene.layout.marks[m];
    if (!mark || this.#scene.hiddenMarks[m as number] === 1) return undefined;
    const { left, scale } = this.#view;
    const middle = ((this.#tops[row] ?? 0) + (this.#tops[row + 1] ?? 0)) / 2;
    const away = Math.hypot(
      (mark.x - left) * scale - x,
      middle - y - this.#elements.frame.scrollTop,
    );
    return away <= HIT ? this.#eventOf(m) : undefined;
  }

  /** What of the cut somebody points at: its part in a row, or all of it, at its top. */
  #gripAt(x: number, y: number): Gesture | undefined {
    const { cut } = this.#session.looked;
    if (!cut) return undefined;
    const { left, scale } = this.#view;
    const isAt = (row: number): boolean =>
      Math.abs(((cut.places[row] ?? Number.NEGATIVE_INFINITY) - left) * scale - x) <= GRIP;
    if (y < TOP_GRIP && isAt(0) && this.#elements.frame.scrollTop === 0)
      return { kind: "whole cut", isBegun: false };
    const row = this.#rowAt(y);
    return isAt(row) ? { kind: "cut", row, isBegun: false } : undefined;
  }

  #down(event: PointerEvent): void {
    const { canvas } = this.#elements;
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, event);
    const { offsetX: x, offsetY: y } = event;
    if (this.#pointers.size === 2) this.#gesture = { kind: "pinch", distance: this.#spread };
    else this.#gesture = this.#gripAt(x, y) ?? { kind: "pan", x, y, moved: 0 };
    this.draw();
  }

  get #spread(): number {
    const [a, b] = [...this.#pointers.values()];
    return a && b ? Math.max(10, Math.abs(a.offsetX - b.offsetX)) : 10;
  }

  #move(event: PointerEvent): void {
    const { offsetX: x, offsetY: y } = event;
    if (this.#pointers.has(event.pointerId)) this.#pointers.set(event.pointerId, event);
    const gesture = this.#gesture;
    const { canvas, frame } = this.#elements;
    if (!gesture) {
      const grip = this.#gripAt(x, y);
      canvas.style.cursor = grip ? "ew-resize" : "";
      this.#hover(grip ? undefined : this.#eventAt(x, y));
      return;
    }
    const { trace, looked } = this.#session;
    if (gesture.kind === "pan") {
      gesture.moved += Math.abs(x - gesture.x) + Math.abs(y - gesture.y);
      if (gesture.moved > CLICK) {
        this.pan(gesture.x - x);
        if (event.pointerType === "mouse") frame.scrollTop += gesture.y - y;
      }
      [gesture.x, gesture.y] = [x, y];
    } else if (gesture.kind === "pinch") {
      const distance = this.#spread;
      this.zoom(distance / gesture.distance, x);
      gesture.distance = distance;
    } else if (looked.cut) {
      const counts =
        gesture.kind === "whole cut"
          ? this.#straight(x)
          : withCount(
              trace,
              looked.cut.counts,
              this.#scene.rows[gesture.row]?.process ?? 0,
              eventsBefore(this.#scene, gesture.row, this.#pictureX(x)),
            );
      if (counts.some((count, p) => count !== looked.cut?.counts[p])) {
        this.#session.setCut(counts, gesture.isBegun);
        gesture.isBegun = true;
      }
    }
  }

  #up(event: PointerEvent): void {
    const gesture = this.#gesture;
    this.#pointers.delete(event.pointerId);
    this.#gesture = undefined;
    if (gesture?.kind === "pan" && gesture.moved <= CLICK && event.type === "pointerup")
      this.#session.select(this.#eventAt(event.offsetX, event.offsetY));
    this.draw();
  }

  #hover(event: number | undefined): void {
    if (event === this.#hovered) return;
    this.#hovered = event;
    this.#listeners.hover(event);
    this.draw();
  }

  #straight(x: number): Int32Array {
    const counts = straightCut(this.#scene, this.#pictureX(x));
    // What is not shown stays as it is.
    const { cut } = this.#session.looked;
    for (const [process, row] of this.#scene.rowOf.entries())
      if (row === -1 && cut) counts[process] = cut.counts[process] as number;
    return counts;
  }

  #cutAt(pixel: number): void {
    this.#session.setCut(this.#straight(pixel));
  }

  #jump(pixel: number): void {
    const { scale } = this.#view;
    const x = (pixel / this.#elements.overview.clientWidth) * this.#scene.layout.width;
    this.#look({ scale, left: x - this.#width / 2 / scale });
  }

  #wheel(event: WheelEvent): void {
    const { frame } = this.#elements;
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoom(Math.exp(-dy / 300), event.offsetX);
      return;
    }
    const isDown = Math.abs(dy) > Math.abs(dx) && !event.shiftKey;
    // Where rows can be scrolled, that is what the wheel does.
    if (isDown && frame.scrollHeight > frame.clientHeight + 1) return;
    event.preventDefault();
    this.pan(Math.abs(dx) > Math.abs(dy) ? dx : dy);
  }

  #key(event: KeyboardEvent): void {
    if (event.altKey) return;
    const isUndo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
    if ((event.ctrlKey || event.metaKey) && !isUndo) return;
    const act = isUndo ? () => this.#session.undo() : this.#actOf(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  #actOf({ key, shiftKey }: KeyboardEvent): (() => void) | undefined {
    const session = this.#session;
    const { selected } = session.looked;
    const acts: Readonly<Record<string, () => void>> = {
      ArrowLeft: () => (shiftKey ? this.#moveCut(-1) : this.#along(-1)),
      ArrowRight: () => (shiftKey ? this.#moveCut(1) : this.#along(1)),
      ArrowUp: () => this.#across(-1),
      ArrowDown: () => this.#across(1),
      "+": () => this.zoom(ZOOM),
      "=": () => this.zoom(ZOOM),
      "-": () => this.zoom(1 / ZOOM),
      "0": () => this.showAll(),
      PageUp: () => this.pan(PAN - this.#width),
      PageDown: () => this.pan(this.#width - PAN),
      Home: () => this.#look({ ...this.#view, left: 0 }),
      End: () => this.#look({ ...this.#view, left: this.#scene.layout.width }),
      m: () => this.#otherEnd(),
      c: () => selected && session.setCut(selected.past),
      n: () => session.snap("nearest"),
      i: () => session.snap("inside"),
      o: () => session.snap("around"),
      x: () => session.setCut(undefined),
      "[": () => session.step(false),
      "]": () => session.step(true),
      "/": () => this.#listeners.search(),
      Escape: () => session.select(undefined),
    };
    // With Shift or without: the letters stand as capitals in the list of keys.
    const named = key.length === 1 ? key.toLowerCase() : key;
    return Object.hasOwn(acts, named) ? acts[named] : undefined;
  }

  /** To the next event of a process, or from none to the first that is seen. */
  #along(by: 1 | -1): void {
    const { selected } = this.#session.looked;
    const mark = selected && this.#markOf(selected.event);
    if (!mark) {
      const line = this.#scene.rows[0];
      this.#session.select(this.#eventOf(line && nearestMark(line, this.#view.left)));
      return;
    }
    const { marks } = this.#scene.rows[mark.row] as SceneRow;
    let place = marks.indexOf(this.#scene.markOf[selected.event] as number) + by;
    while (this.#scene.hiddenMarks[marks[place] ?? -1] === 1) place += by;
    const event = this.#eventOf(marks[place]);
    if (event !== undefined) this.#session.select(event);
  }

  /** To the nearest event of the next process that has one. */
  #across(by: 1 | -1): void {
    const { selected } = this.#session.looked;
    const mark = selected && this.#markOf(selected.event);
    if (!mark) {
      this.#along(1);
      return;
    }
    for (let row = mark.row + by; this.#scene.rows[row]; row += by) {
      const found = nearestMark(this.#scene.rows[row] as SceneRow, mark.x);
      if (found === undefined) continue;
      this.#session.select(this.#eventOf(found));
      return;
    }
  }

  /** The cut at the process of the event that is looked at; there is one from then on. */
  #moveCut(by: 1 | -1): void {
    const { selected, cut } = this.#session.looked;
    const { trace } = this.#session;
    if (!selected) return;
    const { process } = trace.events[selected.event] as TraceEvent;
    const counts = cut?.counts ?? selected.past;
    this.#session.setCut(withCount(trace, counts, process, (counts[process] as number) + by));
  }

  #otherEnd(): void {
    const { selected } = this.#session.looked;
    if (!selected) return;
    const { causes, effects } = otherEnds(this.#session.order, selected.event);
    const other = causes[0] ?? effects[0];
    if (other !== undefined) this.#session.select(other);
  }
}
