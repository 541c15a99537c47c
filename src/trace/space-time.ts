/**
 * A few events as a space-time diagram in text (Lamport 1978, Figure 1, turned so that time runs down): a column for each process, a row
 * for each event, and an arrow from each multicast or send to its arrivals.
 *
 * Theory of operation. Each row has one event, so a horizontal line in it can only be of that event. From there an arrow goes to a lane
 * of its own beside the column of its receiver, down (or up) in it, and into the row of its arrival. The lane of what
 * arrives first is the nearest; so two arrows cross only if one message overtakes the other.
 */

import type { HistoryEvent } from "./history.ts";
import type { Omission } from "./promises.ts";

/** What is drawn. A `Witness` is one. */
export interface SpaceTime {
  /** In the order of their rows. If they have the number of a line, it stands at the left. */
  readonly events: readonly (HistoryEvent & { readonly line?: number })[];
  /** Which of them is marked. */
  readonly wrong?: number;
  /** A delivery that there is not. */
  readonly missing?: Omission;
}

/** How it is drawn. */
export interface DrawOptions {
  /** What does not fit becomes briefer, or a list. @default 100 */
  readonly columns?: number;
}

/** What stands in one row. */
interface Row {
  readonly process: string;
  readonly glyph: string;
  readonly verb: string;
  /** The message as it is shown; empty if there is none. */
  readonly message: string;
  readonly line: string;
  /** What arrows are found by; those that arrive have `arrives`. */
  readonly key: string;
  readonly arrives: boolean;
}

/** From the row of a source to that of an arrival. */
interface Arrow {
  readonly source: number;
  readonly arrival: number;
}

/** Where a process has its column. */
interface Place {
  /** The x of its line, of its first lane at the left, which is the nearest, and at the right. */
  readonly x: number;
  readonly left: number;
  readonly right: number;
}

/**
 * Draws events. `●` multicasts or sends, `○` delivers or receives, `✗` is wrong or missing, `†` crashes.
 *
 * @example
 * ```ts
 * import { drawSpaceTime } from "tidemark/trace";
 * const picture = drawSpaceTime({
 *   events: [
 *     { process: "p", type: "send", to: "q", message: "x" },
 *     { process: "q", type: "receive", from: "p", message: "x" },
 *   ],
 * });
 * if (!picture.includes("└─▶○ receives x")) throw new Error(picture);
 * ```
 */
export function drawSpaceTime(diagram: SpaceTime, { columns = 100 }: DrawOptions = {}): string {
  const rows = rowsOf(diagram);
  const wordy = draw(rows, ({ verb, message }) => `${verb} ${message}`.trim(), columns);
  const lines =
    wordy ?? draw(rows, ({ verb, message }) => message || verb, columns) ?? list(rows, columns);
  return lines.map((line) => line.trimEnd()).join("\n");
}

const NAME_WIDTH_MAX = 24;

function rowsOf({ events, wrong, missing }: SpaceTime): Row[] {
  const groups = new Set(events.flatMap((event) => ("group" in event ? [event.group] : [])));
  const shown = (message: string | number, group?: string): string => {
    const name = short(`${message}`);
    return group !== undefined && groups.size > 1 ? `${name} of ${short(group)}` : name;
  };
  const rows = events.map((event, index): Row => {
    const { process, type } = event;
    const line = event.line === undefined ? "" : `${event.line}`;
    const glyph = index === wrong ? "✗" : GLYPHS[type];
    const row = { process, glyph, verb: VERBS[type], message: "", line, key: "", arrives: false };
    if (type === "internal" || type === "crash") return row;
    if (type === "multicast" || type === "deliver") {
      const message = shown(event.message, event.group);
      const key = JSON.stringify([event.group, `${event.message}`]);
      return { ...row, message, key, arrives: type === "deliver" };
    }
    const channel = type === "send" ? [process, event.to] : [event.from, process];
    const key = JSON.stringify([...channel, `${event.message}`]);
    return { ...row, message: shown(event.message), key, arrives: type === "receive" };
  });
  if (missing) {
    const { process, group } = missing;
    const message = shown(missing.message, group);
    const key = JSON.stringify([group, `${missing.message}`]);
    rows.push({
      process,
      glyph: "✗",
      verb: "never delivers",
      message,
      line: "",
      key,
      arrives: true,
    });
  }
  return rows;
}

const GLYPHS: Readonly<Record<HistoryEvent["type"], string>> = {
  multicast: "●",
  send: "●",
  deliver: "○",
  receive: "○",
  internal: "·",
  crash: "†",
};

const VERBS: Readonly<Record<HistoryEvent["type"], string>> = {
  multicast: "multicasts",
  send: "sends",
  deliver: "delivers",
  receive: "receives",
  internal: "does something",
  crash: "crashes",
};

/** Undefined if it does not fit. */
function draw(
  rows: readonly Row[],
  label: (row: Row) => string,
  columns: number,
): string[] | undefined {
  const arrows: Arrow[] = [];
  for (const [arrival, { key, arrives, process }] of rows.entries()) {
    if (!arrives) continue;
    const source = rows.findIndex((row) => !row.arrives && row.key === key);
    if (source >= 0 && rows[source]?.process !== process) arrows.push({ source, arrival });
  }
  const { processes, margin, lanes, places, width } = layOut(rows, arrows, label);
  if (width > columns) return undefined;

  const canvas = new Canvas(width, rows.length + 2);
  for (const [process, { x }] of places) {
    canvas.write(x, 0, short(process));
    const crash = rows.findIndex((row) => row.process === process && row.verb === VERBS.crash);
    canvas.line(x, 1, x, crash < 0 ? rows.length + 1 : crash + 1, "life");
  }
  for (const [side, list] of lanes) {
    for (const [lane, { source, arrival }] of list.entries()) {
      const [from, to] = [rows[source], rows[arrival]];
      const [start, end] = [places.get(from?.process ?? ""), places.get(to?.process ?? "")];
      if (!from || !to || !start || !end) continue;
      const rightward = side.endsWith(">");
      const x = rightward ? end.left - 2 * lane : end.right + 2 * lane;
      const out = rightward ? start.x + label(from).length + 3 : start.x - 1;
      const into = rightward ? end.x - 1 : end.x + label(to).length + 3;
      canvas.line(out, source + 1, x, source + 1);
      canvas.line(x, source + 1, x, arrival + 1);
      canvas.line(x, arrival + 1, into, arrival + 1);
      canvas.write(into, arrival + 1, rightward ? "▶" : "◀");
    }
  }
  for (const [index, row] of rows.entries()) {
    canvas.write(places.get(row.process)?.x ?? 0, index + 1, `${row.glyph} ${label(row)}`);
    canvas.write(margin - row.line.length, index + 1, row.line);
  }
  return processes.length === 0 ? [] : canvas.lines();
}

/** Which arrows go to the same side of the same process, and where all columns stand. */
function layOut(
  rows: readonly Row[],
  arrows: readonly Arrow[],
  label: (row: Row) => string,
): {
  readonly processes: readonly string[];
  readonly margin: number;
  /** By process and direction; the nearest lane first. */
  readonly lanes: ReadonlyMap<string, readonly Arrow[]>;
  readonly places: ReadonlyMap<string, Place>;
  readonly width: number;
} {
  const processes = [...new Set(rows.map(({ process }) => process))].sort(byNumber);
  const lanes = new Map<string, Arrow[]>();
  for (const arrow of arrows) {
    const to = rows[arrow.arrival]?.process ?? "";
    const rightward = processes.indexOf(rows[arrow.source]?.process ?? "") < processes.indexOf(to);
    const side = `${to}${rightward ? ">" : "<"}`;
    lanes.set(side, [...(lanes.get(side) ?? []), arrow]);
  }
  const margin = Math.max(0, ...rows.map(({ line }) => line.length));
  const places = new Map<string, Place>();
  let width = margin === 0 ? 0 : margin + 2;
  for (const [index, process] of processes.entries()) {
    const atLeft = lanes.get(`${process}>`)?.length ?? 0;
    const atRight = lanes.get(`${process}<`)?.length ?? 0;
    const labels = rows.filter((row) => row.process === process).map((row) => label(row).length);
    const gap = index === 0 ? 0 : 3;
    const x = width + gap + (atLeft === 0 ? 0 : 2 * atLeft + 1);
    const right = x + 5 + Math.max(...labels);
    places.set(process, { x, left: x - 3, right });
    const end = atRight === 0 ? x + 2 + Math.max(...labels) : right + 2 * atRight - 1;
    width = Math.max(end, x + short(process).length);
  }
  return { processes, margin, lanes, places, width };
}

/** Without arrows: a row for each event, its process first. */
function list(rows: readonly Row[], columns: number): string[] {
  const margin = Math.max(0, ...rows.map(({ line }) => line.length));
  const name = Math.max(0, ...rows.map(({ process }) => short(process).length));
  return rows.map(({ process, glyph, verb, message, line }) => {
    const number = margin === 0 ? "" : `${line.padStart(margin)}  `;
    const text = `${number}${short(process).padEnd(name)}  ${glyph} ${verb} ${message}`;
    return text.length > columns ? `${text.slice(0, columns - 1)}…` : text;
  });
}

/** p2 before p10. */
function byNumber(a: string, b: string): number {
  const key = (id: string): string =>
    id.replaceAll(/[0-9]+/g, (digits) => digits.padStart(64, "0"));
  return key(a) < key(b) ? -1 : 1;
}

function short(text: string): string {
  const clean = text.replaceAll(/\p{C}|\s/gu, "?");
  return clean.length > NAME_WIDTH_MAX ? `${clean.slice(0, NAME_WIDTH_MAX - 1)}…` : clean;
}

const [UP, RIGHT, DOWN, LEFT] = [1, 2, 4, 8];
/** By the sum of the directions in which a line goes from there. */
const LINES = " │─└││┌├─┘─┴┐┤┬┼";

/** Characters on which lines are drawn; where they meet, they join. */
class Canvas {
  readonly #lines: Uint8Array[];
  readonly #lives: Uint8Array[];
  readonly #texts: string[][];

  constructor(width: number, height: number) {
    const rows = Array.from({ length: height }, (_, y) => y);
    this.#lines = rows.map(() => new Uint8Array(width));
    this.#lives = rows.map(() => new Uint8Array(width));
    this.#texts = rows.map(() => []);
  }

  /** A horizontal or vertical line; that of a process goes behind the others, and joins none. */
  line(x1: number, y1: number, x2: number, y2: number, what: "arrow" | "life" = "arrow"): void {
    const lines = what === "life" ? this.#lives : this.#lines;
    const mark = (x: number, y: number, directions: number): void => {
      const row = lines[y];
      if (row) row[x] = (row[x] ?? 0) | directions;
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

  write(x: number, y: number, text: string): void {
    for (const [i, character] of [...text].entries()) {
      const row = this.#texts[y];
      if (row) row[x + i] = character;
    }
  }

  lines(): string[] {
    return this.#lines.map((row, y) =>
      [...row]
        .map((directions, x) => {
          const text = this.#texts[y]?.[x];
          if (text !== undefined) return text;
          if (directions > 0) return LINES[directions] ?? " ";
          return (this.#lives[y]?.[x] ?? 0) > 0 ? "│" : " ";
        })
        .join(""),
    );
  }
}
