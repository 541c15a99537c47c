/**
 * Points and heads of arrows, each drawn once and copied from then on: a thousand small copies take a tenth of the time of a thousand
 * small shapes.
 */

import type { MarkKind } from "../../src/trace/layout.ts";

/** Half of what a sprite is wide and high. */
const HALF = 13;
/** Heads point into so many directions. */
const DIRECTIONS = 64;
const HEAD = 8;

export type PointKind = MarkKind | "lost";

/** Sprites of one theme, for screens with so many pixels to one of the page. */
export class Sprites {
  readonly #colour: (name: string) => string;
  readonly #ratio: number;
  readonly #known = new Map<string, HTMLCanvasElement>();

  constructor(colour: (name: string) => string, ratio: number) {
    this.#colour = colour;
    this.#ratio = ratio;
  }

  /** A point of that kind, or a long one for several events. */
  point(
    context: CanvasRenderingContext2D,
    { kind, radius, isLong }: { kind: PointKind; radius: number; isLong: boolean },
    x: number,
    y: number,
  ): void {
    const sprite = this.#sprite(`${kind} ${radius} ${isLong}`, (own) => {
      const tone = this.#colour(TONES[kind]);
      const path = shapeOf(kind, radius, isLong);
      own.lineWidth = 1.7;
      own.strokeStyle = tone;
      own.fillStyle = kind === "receive" || kind === "lost" ? this.#colour("card") : tone;
      if (kind !== "crash") own.fill(path);
      if (kind !== "internal" && kind !== "record") own.stroke(path);
    });
    this.#copy(context, sprite, x, y);
  }

  /** The head of an arrow that comes from a direction, with its tip there. */
  head(
    context: CanvasRenderingContext2D,
    tone: string,
    { dx, dy }: { readonly dx: number; readonly dy: number },
    x: number,
    y: number,
  ): void {
    const turn = Math.round((Math.atan2(dy, dx) / (2 * Math.PI)) * DIRECTIONS);
    const sprite = this.#sprite(`head ${tone} ${turn}`, (own) => {
      own.rotate((turn / DIRECTIONS) * 2 * Math.PI);
      own.fillStyle = this.#colour(tone);
      own.beginPath();
      own.moveTo(0, 0);
      own.lineTo(-HEAD, -3.5);
      own.lineTo(-HEAD, 3.5);
      own.fill();
    });
    this.#copy(context, sprite, x, y);
  }

  #copy(context: CanvasRenderingContext2D, sprite: HTMLCanvasElement, x: number, y: number): void {
    // Between two pixels it would be blurred.
    const ratio = this.#ratio;
    const [left, top] = [x - HALF, y - HALF].map((at) => Math.round(at * ratio) / ratio);
    context.drawImage(sprite, left as number, top as number, 2 * HALF, 2 * HALF);
  }

  #sprite(name: string, draw: (context: CanvasRenderingContext2D) => void): HTMLCanvasElement {
    const known = this.#known.get(name);
    if (known) return known;
    const made = document.createElement("canvas");
    made.width = made.height = Math.round(2 * HALF * this.#ratio);
    const context = made.getContext("2d");
    if (context) {
      context.scale(made.width / (2 * HALF), made.width / (2 * HALF));
      context.translate(HALF, HALF);
      draw(context);
    }
    this.#known.set(name, made);
    return made;
  }
}

const TONES: Readonly<Record<PointKind, string>> = {
  ...{ internal: "dim", send: "message", receive: "message" },
  ...{ record: "cut", crash: "orphan", lost: "orphan" },
};

function shapeOf(kind: PointKind, radius: number, isLong: boolean): Path2D {
  const path = new Path2D();
  if (kind === "crash") {
    path.moveTo(-5, -5);
    path.lineTo(5, 5);
    path.moveTo(5, -5);
    path.lineTo(-5, 5);
  } else if (kind === "record") {
    const size = radius + 2.5;
    path.moveTo(-size, 0);
    path.lineTo(0, -size);
    path.lineTo(size, 0);
    path.lineTo(0, size);
    path.closePath();
  } else {
    const size = kind === "internal" ? radius * 0.75 : radius;
    if (isLong) path.roundRect(-2 * size, -size, 4 * size, 2 * size, size);
    else path.arc(0, 0, size, 0, 2 * Math.PI);
  }
  return path;
}
