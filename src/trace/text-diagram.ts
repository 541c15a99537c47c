/**
 * Space-time diagrams in text (Lamport 1978, Figure 1, turned so that time runs down): a column for each process, a row for each event,
 * and an arrow from where a message is sent to where it arrives.
 *
 * Theory of operation. Each row has one event, so a horizontal line in it can only be of that event. From there an arrow goes to a lane
 * beside the column of its receiver, down (or up) in it, and into the row of its arrival. Of arrows that are under way at the same time,
 * the lane of what arrives first is the nearer one; so two arrows cross only if one message overtakes the other.
 *
 * A cut is a straight line: what is inside stands above it, what is outside below. That order is as possible as that of the trace if the
 * cut is consistent (Chandy and Lamport 1985, Theorem 1). If it is not, an arrow leads up across the line: an orphan.
 *
 * What does not fit becomes briefer step by step: words beside each event; only names of messages; words at the right of all columns; a
 * letter for each process, and arrows without lanes; a list.
 */

import {
  cutCaption,
  eventsOf,
  type Layout,
  type Mark,
  notShownText,
  type Stub,
  shortened,
  valuesText,
  withCommas,
} from "./layout.ts";
import type { EventType } from "./trace.ts";

/** What a piece of a diagram is, for those who have colours. */
export type Tone = "cut" | "orphan" | "in flight" | "dim" | "record";

/** What stands in one row. */
export interface TextRow {
  readonly process: string;
  readonly glyph: string;
  readonly words: string;
  /** Instead of words where there is little room. */
  readonly brief: string;
  /** What is added where arrows are not drawn to the full: where from, where to. */
  readonly peers?: string;
  /** At the left, before everything. */
  readonly margin?: string;
  /** The process does nothing after that. */
  readonly isLast?: boolean;
  readonly tone?: Tone | undefined;
}

/** From the row of a source to that of an arrival. */
export interface TextArrow {
  readonly source: number;
  readonly arrival: number;
  readonly isDashed?: boolean;
  readonly tone?: Tone | undefined;
}

/** What is drawn. */
export interface TextDiagram {
  /** From left to right. */
  readonly processes: readonly string[];
  readonly rows: readonly TextRow[];
  readonly arrows: readonly TextArrow[];
  /** Before which row the line of a cut is. */
  readonly cutBefore?: number | undefined;
}

/** How it is drawn. */
export interface TextOptions {
  /** What does not fit becomes briefer, or a list. @default 100 */
  readonly columns?: number | undefined;
  /** Only characters of ASCII, as far as it is up to the diagram. @default false */
  readonly ascii?: boolean | undefined;
  /** Gives pieces a colour. @default none */
  readonly paint?: ((tone: Tone, text: string) => string) | undefined;
}

/**
 * Draws a layout as text, time running down, with what has to be said below it.
 *
 * @example
 * ```ts
 * import { CausalOrder, drawText, layOut, parseTrace } from "tidemark/trace";
 * const trace = parseTrace(
 *   '{"process":"p","type":"send","to":"q","message":"M"}\n{"process":"q","type":"receive","from":"p","message":"M"}',
 * );
 * const text = drawText(layOut(new CausalOrder(trace)), { columns: 80 });
 * if (!text.includes("└─▶○ receives M")) throw new Error(text);
 * ```
 */
export function drawText(layout: Layout, options: TextOptions = {}): string {
  const { marks, cut, rows } = layout;
  const inside = marks.map(({ row, first }) => first < (cut?.counts[row] ?? 0));
  // Stable: each side of the cut stays in its order.
  const order = [...marks.keys()].sort((a, b) => Number(inside[b]) - Number(inside[a]) || a - b);
  const place = new Int32Array(marks.length);
  for (const [y, m] of order.entries()) place[m] = y;
  const peers = peersOf(layout);
  const stubs = new Map<number, Stub[]>();
  for (const stub of layout.stubs) stubs.set(stub.mark, [...(stubs.get(stub.mark) ?? []), stub]);
  const tones = new Map<number, Tone>();
  for (const { from, to, crossing } of layout.arrows)
    if (crossing === "orphan") for (const m of [from, to]) tones.set(m, "orphan");
  const lines = drawRows(
    {
      processes: rows.map(({ name }) => name),
      rows: order.map((m) => {
        const mark = marks[m] as Mark;
        const words = wordsOf(layout, mark, stubs.get(m) ?? []);
        return {
          ...{ process: rows[mark.row]?.name ?? "", glyph: glyphOf(layout, mark), words },
          ...{ brief: mark.label || words, peers: peers[m] ?? "", isLast: mark.kind === "crash" },
          tone: tones.get(m) ?? (mark.kind === "record" ? "record" : undefined),
        };
      }),
      arrows: layout.arrows.map(({ from, to, isMarker, crossing }) => ({
        ...{ source: place[from] as number, arrival: place[to] as number, isDashed: isMarker },
        tone: crossing === "none" ? (isMarker ? "dim" : undefined) : crossing,
      })),
      cutBefore: cut && inside.filter(Boolean).length,
    },
    options,
  );
  const { paint = (_, text) => text, columns = COLUMNS } = options;
  const below = notShownText(layout).flatMap((line) =>
    wrapped(line, columns).map((piece) => paint("dim", piece)),
  );
  if (cut) {
    const line = options.ascii ? "==" : "══";
    const [first = "", ...rest] = wrapped(`${line} ${cutCaption(layout)}`, columns);
    below.unshift(`${paint("cut", line)}${first.slice(2)}`, ...rest);
  }
  return [...lines, ...(below.length > 0 && lines.length > 0 ? [""] : []), ...below].join("\n");
}

/** Lines of whole words, as far as they fit; the later ones are indented. */
function wrapped(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= columns)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(last === undefined ? word : `   ${word}`);
  }
  return lines;
}

/** For each mark whom its arrows come from and lead to. */
function peersOf({ marks, arrows, rows }: Layout): string[] {
  const [from, to] = [marks.map(() => new Set<number>()), marks.map(() => new Set<number>())];
  for (const arrow of arrows) {
    from[arrow.to]?.add((marks[arrow.from] as Mark).row);
    to[arrow.from]?.add((marks[arrow.to] as Mark).row);
  }
  const named = (word: string, set: ReadonlySet<number> = new Set()): string => {
    const names = [...set].slice(0, 3).map((row) => shortened(rows[row]?.name ?? "", NAME_MAX));
    if (set.size > 3) names.push(`${set.size - 3} more`);
    return set.size === 0 ? "" : ` ${word} ${names.join(", ")}`;
  };
  return marks.map((_, m) => named("from", from[m]) + named("to", to[m]));
}

const COLUMNS = 100;
const NAME_MAX = 24;
/** Where each column has one character, and names are written downward. */
const NARROW_NAME_MAX = 8;
const VALUES_MAX = 48;

export const GLYPHS: Readonly<Record<EventType, string>> = {
  multicast: "●",
  send: "●",
  deliver: "○",
  receive: "○",
  internal: "·",
  crash: "†",
  record: "◆",
};

export const VERBS: Readonly<Record<EventType, string>> = {
  multicast: "multicasts",
  send: "sends",
  deliver: "delivers",
  receive: "receives",
  internal: "does something",
  crash: "crashes",
  record: "records",
};

function glyphOf(layout: Layout, mark: Mark): string {
  if (mark.kind === "internal" && mark.count > 1) return "┇";
  const type = layout.trace.events[eventsOf(layout, mark)[0] as number]?.type;
  return type === "internal" ? GLYPHS[mark.kind] : GLYPHS[type ?? "internal"];
}

export function wordsOf(layout: Layout, mark: Mark, stubs: readonly Stub[]): string {
  const event = layout.trace.events[eventsOf(layout, mark)[0] as number];
  if (!event) return "";
  const verb = VERBS[event.type];
  const { kind, count } = mark;
  const ends = stubs.map(({ isOutgoing, end }) => {
    if (end === "nowhere") return isOutgoing ? ", never received" : ", sent where it is not told";
    return isOutgoing ? " → …" : " ← …";
  });
  const end = [...new Set(ends)].join("");
  if (kind === "record") return `records${event.snapshot ? ` for ${event.snapshot}` : ""}${end}`;
  if (count > 1) {
    if (kind === "internal") return `${withCommas(count)} events`;
    return `${event.type === "internal" ? VERBS[kind] : verb} ${withCommas(count)} messages${end}`;
  }
  const values = valuesText(event);
  const what = event.snapshot === undefined ? (event.message ?? "") : "marker";
  const said = event.text ?? (event.type === "internal" ? values : "");
  let words = `${verb} ${what}`.trim();
  if (event.type === "internal") words = said || verb;
  else if (said !== "") words += `: ${said}`;
  if (values !== "" && values !== said) words += ` (${values})`;
  if ((event.heldMs ?? 0) > 0) words += `, held ${event.heldMs} ms`;
  return `${shortened(words, VALUES_MAX)}${end}`;
}

/** Draws rows and arrows, as lines. */
export function drawRows(diagram: TextDiagram, options: TextOptions = {}): string[] {
  const { columns = COLUMNS, ascii = false, paint = (_, text) => text } = options;
  if (diagram.rows.length === 0) return [];
  const pictures = [
    () => draw(diagram, ({ words }) => words, columns),
    () => draw(diagram, ({ brief }) => brief, columns),
    () => draw(diagram, undefined, columns),
    ...[3, 2, 1].map((step) => () => drawNarrow(diagram, step, columns)),
  ];
  for (const picture of pictures) {
    const canvas = picture();
    if (canvas) return canvas.lines(paint, ascii);
  }
  return list(diagram, columns).map((line) => (ascii ? plain(line) : line).trimEnd());
}

/** Where a process has its column. */
interface Place {
  /** The x of its line, of its first lane at the left, which is the nearest, and at the right. */
  readonly x: number;
  readonly left: number;
  readonly right: number;
}

/** So many columns words at the right have at least. */
const WORDS_MIN = 24;
/** A diagram that has lanes for more arrows than that at a process would be wider than anything. */
const LANES_MAX = 40;

/**
 * With lanes. Undefined if it does not fit.
 * @param label what stands beside each event; undefined: words stand at the right of all columns
 */
function draw(
  diagram: TextDiagram,
  label: ((row: TextRow) => string) | undefined,
  columns: number,
): Canvas | undefined {
  const { rows, processes, cutBefore } = diagram;
  const inline = label ?? (() => "");
  const { margin, lanes, places, width } = layOutText(diagram, inline);
  if (width + (label ? 0 : 2 + WORDS_MIN) > columns) return undefined;

  const names = processes.map((name) => shortened(name, NAME_MAX));
  const xs = processes.map((name) => places.get(name)?.x ?? 0);
  const canvas = new Canvas(label ? width : columns, rows.length, names, xs, cutBefore, width);
  for (const [i, process] of processes.entries())
    canvas.life(xs[i] as number, endOf(rows, process));
  for (const [side, list] of lanes) {
    for (const { source, arrival, lane, isDashed = false, tone } of list) {
      const [from, to] = [rows[source], rows[arrival]];
      const [start, end] = [places.get(from?.process ?? ""), places.get(to?.process ?? "")];
      if (!from || !to || !start || !end) continue;
      const rightward = side.endsWith(">");
      const [a, b] = [canvas.yOf(source), canvas.yOf(arrival)];
      const space = (row: TextRow): number => (inline(row) === "" ? 1 : inline(row).length + 3);
      const x = rightward ? end.left - 2 * lane : end.right + 2 * lane;
      const out = rightward ? start.x + space(from) : start.x - 1;
      const into = rightward ? end.x - 1 : end.x + space(to);
      const style = { isDashed, tone };
      canvas.line(out, a, x, a, style);
      canvas.line(x, a, x, b, style);
      canvas.line(x, b, into, b, style);
      canvas.write(into, b, rightward ? "▶" : "◀", tone);
    }
  }
  for (const [index, row] of rows.entries()) {
    const { process, glyph, margin: number = "", tone } = row;
    const y = canvas.yOf(index);
    canvas.write(places.get(process)?.x ?? 0, y, `${glyph} ${inline(row)}`.trimEnd(), tone);
    canvas.write(margin - number.length, y, number);
    if (!label) canvas.write(width + 2, y, beside(row, columns - width - 2), tone);
  }
  return canvas;
}

/** Words that stand apart from their event. */
function beside({ process, words, peers = "" }: TextRow, columns: number, isFull = false): string {
  return shortened(`${shortened(process, NAME_MAX)} ${words}${isFull ? peers : ""}`, columns);
}

/** The last row of a process, if it does nothing after that. */
function endOf(rows: readonly TextRow[], process: string): number | undefined {
  const end = rows.findIndex((row) => row.process === process && row.isLast);
  return end < 0 ? undefined : end;
}

/** An arrow in its lane. */
type Laned = TextArrow & { readonly lane: number };

/** Which arrows go to the same side of the same process, and where all columns stand. */
function layOutText(
  { rows, arrows, processes }: TextDiagram,
  label: (row: TextRow) => string,
): {
  readonly margin: number;
  /** By process and direction. */
  readonly lanes: ReadonlyMap<string, readonly Laned[]>;
  readonly places: ReadonlyMap<string, Place>;
  readonly width: number;
} {
  const index = new Map(processes.map((name, i) => [name, i]));
  const lanes = new Map<string, Laned[]>();
  /** For each lane of a side the last row that it is taken in. */
  const endsOf = new Map<string, number[]>();
  for (const arrow of [...arrows].sort((a, b) => a.arrival - b.arrival)) {
    const [from, to] = [rows[arrow.source]?.process ?? "", rows[arrow.arrival]?.process ?? ""];
    if (from === to) continue;
    const side = `${to}${(index.get(from) ?? 0) < (index.get(to) ?? 0) ? ">" : "<"}`;
    const others = lanes.get(side) ?? [];
    const ends = endsOf.get(side) ?? [];
    const top = Math.min(arrow.source, arrow.arrival);
    // Beyond the farthest lane that is still taken there.
    const lane = ends.findLastIndex((end) => end > top) + 1;
    ends[lane] = Math.max(ends[lane] ?? 0, arrow.source, arrow.arrival);
    endsOf.set(side, ends);
    others.push({ ...arrow, lane });
    lanes.set(side, others);
    if (lane > LANES_MAX)
      return { margin: 0, lanes, places: new Map(), width: Number.POSITIVE_INFINITY };
  }
  const laneCount = (side: string): number =>
    (lanes.get(side) ?? []).reduce((most, { lane }) => Math.max(most, lane + 1), 0);
  const longest = new Map(processes.map((name) => [name, 0]));
  for (const row of rows)
    longest.set(row.process, Math.max(longest.get(row.process) ?? 0, label(row).length));
  const margin = rows.reduce((most, { margin: text = "" }) => Math.max(most, text.length), 0);
  const places = new Map<string, Place>();
  let width = margin === 0 ? 0 : margin + 2;
  for (const [i, process] of processes.entries()) {
    const [atLeft, atRight] = [laneCount(`${process}>`), laneCount(`${process}<`)];
    const text = longest.get(process) ?? 0;
    const gap = i === 0 ? 0 : 3;
    const x = width + gap + (atLeft === 0 ? 0 : 2 * atLeft + 1);
    const right = x + (text === 0 ? 3 : 5 + text);
    places.set(process, { x, left: x - 3, right });
    const end = atRight === 0 ? x + (text === 0 ? 1 : 2 + text) : right + 2 * atRight - 1;
    width = Math.max(end, x + shortened(process, NAME_MAX).length);
  }
  return { margin, lanes, places, width };
}

/** A column of that width for each process, names written downward if need be, and arrows in the row of their arrival only. */
function drawNarrow(
  { rows, arrows, processes, cutBefore }: TextDiagram,
  step: number,
  columns: number,
): Canvas | undefined {
  const margin = rows.reduce((most, { margin: text = "" }) => Math.max(most, text.length), 0);
  const left = margin === 0 ? 0 : margin + 2;
  const width = left + (processes.length - 1) * step + 1;
  if (width + 2 + WORDS_MIN > columns) return undefined;
  const xs = processes.map((_, i) => left + i * step);
  const at = new Map(processes.map((name, i) => [name, xs[i] as number]));
  const names = step === 1 ? narrowed(processes) : processes.map((one) => shortened(one, NAME_MAX));
  const canvas = new Canvas(columns, rows.length, names, xs, cutBefore, width);
  for (const [i, process] of processes.entries())
    canvas.life(xs[i] as number, endOf(rows, process));
  for (const { source, arrival, tone } of arrows) {
    const start = at.get(rows[source]?.process ?? "") ?? 0;
    const end = at.get(rows[arrival]?.process ?? "") ?? 0;
    const [low, high] = [Math.min(start, end), Math.max(start, end)];
    const y = canvas.yOf(arrival);
    for (let x = low + 1; x < high; x += 1)
      canvas.write(x, y, (x - left) % step === 0 ? "┼" : "┄", tone);
    if (step > 1) canvas.write(start < end ? end - 1 : end + 1, y, start < end ? "▶" : "◀", tone);
    if (start !== end) canvas.write(start, y, start < end ? "├" : "┤", tone);
  }
  for (const [index, row] of rows.entries()) {
    const y = canvas.yOf(index);
    canvas.write(at.get(row.process) ?? 0, y, row.glyph, row.tone);
    canvas.write(margin - (row.margin ?? "").length, y, row.margin ?? "");
    canvas.write(width + 2, y, beside(row, columns - width - 2, true), row.tone);
  }
  return canvas;
}

/** Names in so few letters that they tell the processes apart, if either end of them does. */
function narrowed(processes: readonly string[]): readonly string[] {
  const starts = processes.map((name) => shortened(name, NARROW_NAME_MAX));
  const ends = processes.map((name) => {
    const letters = [...name];
    return letters.length <= NARROW_NAME_MAX
      ? name
      : `…${letters.slice(1 - NARROW_NAME_MAX).join("")}`;
  });
  return new Set(ends).size > new Set(starts).size ? ends : starts;
}

/** Without arrows: a row for each event, its process first. */
function list({ rows, cutBefore }: TextDiagram, columns: number): string[] {
  const margin = rows.reduce((most, { margin: text = "" }) => Math.max(most, text.length), 0);
  const name = rows.reduce(
    (most, { process }) => Math.max(most, shortened(process, NAME_MAX).length),
    0,
  );
  const lines = rows.map(({ process, glyph, words, peers = "", margin: number = "" }) => {
    const start = margin === 0 ? "" : `${number.padStart(margin)}  `;
    const text = `${start}${shortened(process, NAME_MAX).padEnd(name)}  ${glyph} ${words}${peers}`;
    return text.length > columns ? `${text.slice(0, columns - 1)}…` : text;
  });
  if (cutBefore !== undefined) lines.splice(cutBefore, 0, "═".repeat(columns));
  return lines;
}

const [UP, RIGHT, DOWN, LEFT, SOLID] = [1, 2, 4, 8, 16];
/** By the sum of the directions in which a line goes from there. */
const LINES = " │─└││┌├─┘─┴┐┤┬┼";

const ASCII: Readonly<Record<string, string>> = {
  ...{ "│": "|", "╎": ":", "┇": ":", "─": "-", "╌": "-", "┄": ".", "═": "=", "╪": "+" },
  ...{ "└": "+", "┌": "+", "├": "+", "┘": "+", "┴": "+", "┐": "+", "┤": "+", "┬": "+", "┼": "+" },
  ...{ "●": "*", "○": "o", "◆": "#", "·": ".", "†": "x", "✗": "X", "▶": ">", "◀": "<" },
  ...{ "…": "~", "→": "->", "←": "<-" },
};

const plain = (text: string): string =>
  text.replaceAll(/[^ -~]/gu, (character) => ASCII[character] ?? character);

interface LineStyle {
  readonly isDashed: boolean;
  readonly tone: Tone | undefined;
}

/** Characters on which lines are drawn; where they meet, they join. */
class Canvas {
  readonly #top: number;
  readonly #cutBefore: number | undefined;
  readonly #cutWidth: number;
  readonly #lines: Uint8Array[];
  readonly #lives: Uint8Array[];
  readonly #texts: string[][];
  readonly #tones: (Tone | undefined)[][];

  /** @param names of the processes, above their lines; downward, if they are too long to stand beside each other */
  constructor(
    width: number,
    rows: number,
    names: readonly string[],
    xs: readonly number[],
    cutBefore: number | undefined,
    cutWidth: number = width,
  ) {
    const fits = names.every((name, i) => {
      const next = xs[i + 1];
      return next === undefined || (xs[i] as number) + name.length < next;
    });
    this.#top = fits ? 1 : names.reduce((most, name) => Math.max(most, [...name].length), 1);
    this.#cutBefore = cutBefore;
    this.#cutWidth = cutWidth;
    const height = this.#top + rows + 1 + (cutBefore === undefined ? 0 : 1);
    const ys = Array.from({ length: height }, (_, y) => y);
    this.#lines = ys.map(() => new Uint8Array(width));
    this.#lives = ys.map(() => new Uint8Array(width));
    this.#texts = ys.map(() => []);
    this.#tones = ys.map(() => []);
    for (const [i, name] of names.entries()) {
      const letters = [...name];
      if (fits) this.write(xs[i] as number, 0, name);
      else
        for (const [j, letter] of letters.entries())
          this.write(xs[i] as number, this.#top - letters.length + j, letter);
    }
  }

  yOf(row: number): number {
    return this.#top + row + (row >= (this.#cutBefore ?? Number.POSITIVE_INFINITY) ? 1 : 0);
  }

  /** The line of a process, to the end or to its last row. It goes behind the others, and joins none. */
  life(x: number, last: number | undefined): void {
    const end = last === undefined ? this.#lives.length - 1 : this.yOf(last);
    for (let y = this.#top; y <= end; y += 1) (this.#lives[y] as Uint8Array)[x] = 1;
  }

  /** A horizontal or vertical line. */
  line(x1: number, y1: number, x2: number, y2: number, { isDashed, tone }: LineStyle): void {
    const mark = (x: number, y: number, directions: number): void => {
      const row = this.#lines[y];
      if (!row) return;
      row[x] = (row[x] ?? 0) | directions | (isDashed ? 0 : SOLID);
      this.#tone(x, y, tone);
    };
    for (let x = Math.min(x1, x2); x < Math.max(x1, x2); x += 1) {
      mark(x, y1, RIGHT);
      mark(x + 1, y1, LEFT);
    }
    for (let y = Math.min(y1, y2); y < Math.max(y1, y2); y += 1) {
      mark(x1, y, DOWN);
      mark(x1, y + 1, UP);
    }
  }

  write(x: number, y: number, text: string, tone?: Tone): void {
    for (const [i, character] of [...text].entries()) {
      const row = this.#texts[y];
      if (row) row[x + i] = character;
      this.#tone(x + i, y, tone);
    }
  }

  /** What says more stays where two things meet. */
  #tone(x: number, y: number, tone: Tone | undefined): void {
    const row = this.#tones[y];
    if (row && tone && (row[x] === undefined || row[x] === "dim" || tone === "orphan"))
      row[x] = tone;
  }

  lines(paint: (tone: Tone, text: string) => string, ascii: boolean): string[] {
    const cutY = this.#cutBefore === undefined ? -1 : this.#top + this.#cutBefore;
    return this.#lines.map((row, y) => {
      let [line, piece] = ["", ""];
      let tone: Tone | undefined;
      const texts = this.#texts[y] ?? [];
      const width = y === cutY ? this.#cutWidth : Math.max(row.length, texts.length);
      const end = (): void => {
        line += tone && piece.trim() !== "" ? paint(tone, piece) : piece;
        piece = "";
      };
      const cells: string[] = [];
      for (let x = 0; x < width; x += 1) {
        const directions = row[x] ?? 0;
        const isLife = (this.#lives[y]?.[x] ?? 0) > 0;
        if (y === cutY) cells.push(directions > 0 || isLife ? "╪" : "═");
        else cells.push(texts[x] ?? (directions > 0 ? lineAt(directions) : isLife ? "│" : " "));
      }
      while (cells.at(-1) === " ") cells.pop();
      for (const [x, cell] of cells.entries()) {
        const own = this.#tones[y]?.[x];
        const next = y === cutY && (own === undefined || own === "dim") ? "cut" : own;
        if (next !== tone) end();
        tone = next;
        piece += ascii ? plain(cell) : cell;
      }
      end();
      return line;
    });
  }
}

function lineAt(directions: number): string {
  if ((directions & ~(UP | DOWN)) === 0) return "╎";
  if ((directions & ~(LEFT | RIGHT)) === 0) return "╌";
  return LINES[directions & ~SOLID] ?? " ";
}
