/**
 * A layout as SVG: one file that needs nothing else, light or dark as its reader has it, with text as text and no script. How large it is
 * depends on how many marks are laid out (`marksMax`), not on the trace.
 */

import {
  cutCaption,
  eventsOf,
  type LaidArrow,
  type Layout,
  type Mark,
  notShownText,
  shortened,
  withCommas,
} from "./layout.ts";
import { wordsOf } from "./text-diagram.ts";

/** Colours by what they are for: in the light, and in the dark. */
const COLOURS: Readonly<Record<string, readonly [light: string, dark: string]>> = {
  paper: ["#ffffff", "#0d1117"],
  ink: ["#1f2328", "#e6edf3"],
  faint: ["#656d76", "#8d96a0"],
  line: ["#c3cad2", "#3d444d"],
  grid: ["#eef1f4", "#1b2129"],
  message: ["#3f63a8", "#7ea6f5"],
  marker: ["#8a6d9e", "#a58bbd"],
  flight: ["#bc5a00", "#f2a33c"],
  orphan: ["#cf222e", "#ff6a62"],
  cut: ["#0b7a5c", "#35b98c"],
};

/** The colours as properties of style sheets, for the dark as well if the reader has it dark. */
export function colourStyle(selector: string): string {
  const rule = (of: 0 | 1): string =>
    Object.entries(COLOURS)
      .map(([name, pair]) => `--${name}:${pair[of]}`)
      .join(";");
  return `${selector}{${rule(0)}}@media(prefers-color-scheme:dark){${selector}{${rule(1)}}}`;
}

const STYLE = `${colourStyle(".tidemark")}
.tidemark{color-scheme:light dark;font:11px system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,sans-serif}
.tidemark text{fill:var(--ink)}
.tidemark .name{font-weight:600;font-size:13px}
.tidemark .faint{fill:var(--faint)}
.tidemark .label,.tidemark .count{stroke:var(--paper);stroke-width:3.5px;stroke-linejoin:round;paint-order:stroke}
.tidemark .count{font-size:10px}
.tidemark .verdict{fill:var(--cut);font-weight:600}
.tidemark text.wrong{fill:var(--orphan)}
.tidemark path,.tidemark line{fill:none;stroke:var(--message);stroke-width:1.5}
.tidemark .life{stroke:var(--line);stroke-width:1.5}
.tidemark .more{stroke-dasharray:1.5 4}
.tidemark .grid{stroke:var(--grid);stroke-width:1}
.tidemark .head{fill:var(--message);stroke:none}
.tidemark .marker{stroke:var(--marker);stroke-width:1.2;stroke-dasharray:5 3.5}
.tidemark .marker.head{fill:var(--marker);stroke:none}
.tidemark .flight{stroke:var(--flight);stroke-width:2.5}
.tidemark .flight.head{fill:var(--flight);stroke:none}
.tidemark .orphan{stroke:var(--orphan);stroke-width:2.5}
.tidemark .orphan.head{fill:var(--orphan);stroke:none}
.tidemark .stub{stroke-dasharray:1.5 3}
.tidemark .held{stroke:var(--flight);stroke-width:6;stroke-opacity:.4;stroke-linecap:round}
.tidemark .frontier{stroke:var(--cut);stroke-width:2.2}
.tidemark .inside{fill:var(--cut);fill-opacity:.07;stroke:none}
.tidemark .frontier.wrong{stroke:var(--orphan)}
.tidemark .inside.wrong{fill:var(--orphan)}
.tidemark .event *{stroke:var(--message);stroke-width:1.8;fill:var(--message)}
.tidemark .event.receive *{fill:var(--paper)}
.tidemark .event.internal *{stroke:none;fill:var(--faint)}
.tidemark .event.record *{stroke:var(--paper);fill:var(--cut)}
.tidemark .event.crash *{stroke:var(--orphan);stroke-width:2.6}
.tidemark .event.lost *{stroke:var(--orphan)}`;

const at = (value: number): string => String(Math.round(value * 10) / 10);

/** As text of XML; what XML cannot have is left out. */
export function escapeXml(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

const NAME_MAX = 20;
const RADIUS = 4.5;
const LEGEND_GAP = 17;

/** How far lines are apart: with few of them there is room for labels above and below. */
function rowHeight(rows: number): number {
  if (rows <= 6) return 66;
  return rows <= 20 ? 46 : 40;
}

/**
 * Draws a layout as SVG.
 * @param title what it is a picture of, for those who do not see it
 */
export function drawSvg(layout: Layout, title = "Space-time diagram"): string {
  const { rows, marks, arrows, cut, axis } = layout;
  const names = rows.map(({ name }) => shortened(name, NAME_MAX));
  const left = 24 + names.reduce((most, name) => Math.max(most, [...name].length), 0) * 7.6;
  const step = rowHeight(rows.length);
  const top = cut ? 30 : 10;
  const bottom = top + rows.length * step;
  const x = (of: number): number => left + of;
  const y = (row: number): number => top + (row + 0.5) * step;
  const captions = [
    ...(cut ? [cutCaption(layout)] : []),
    ...notShownText(layout),
    ...legend(layout),
  ];
  const words = captions.reduce((most, text) => Math.max(most, text.length), 0);
  const width = Math.ceil(Math.max(x(layout.width), 24 + words * 6));
  const under = bottom + (axis.length > 0 ? 26 : 8);
  const height = under + captions.length * LEGEND_GAP + 8;

  const parts = [
    '<svg xmlns="http://www.w3.org/2000/svg" class="tidemark" role="img"' +
      ` width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<title>${escapeXml(title)}</title>`,
    `<desc>${escapeXml([`${rows.length} processes, ${marks.length} marks, ${arrows.length} arrows`, ...captions].join(". "))}</desc>`,
    `<style>${STYLE}</style>`,
    `<rect width="${width}" height="${height}" style="fill:var(--paper)"/>`,
  ];
  const path = (className: string, d: string): void => {
    parts.push(`<path class="${className}" d="${d}"/>`);
  };
  const text = (px: number, py: number, className: string, words: string, anchor = ""): void => {
    const where = anchor === "" ? "" : ` text-anchor="${anchor}"`;
    parts.push(
      `<text x="${at(px)}" y="${at(py)}" class="${className}"${where}>${escapeXml(words)}</text>`,
    );
  };

  if (cut) {
    const line = frontier(cut.xs.map(x), y, top, bottom);
    path(
      cut.orphans > 0 ? "inside wrong" : "inside",
      `${line}L${at(left)} ${at(bottom)}L${at(left)} ${at(top - 4)}Z`,
    );
  }
  for (const tick of axis) {
    path("grid", `M${at(x(tick.x))} ${at(top)}V${at(bottom)}`);
    text(x(tick.x), bottom + 15, "faint", tick.text, "middle");
  }
  for (const [row, { before, after, crashedAt }] of rows.entries()) {
    const [start, end] = [left + (before > 0 ? 12 : 0), x(crashedAt ?? layout.width)];
    const last = end - (after > 0 ? 12 : 0);
    path("life", `M${at(start)} ${at(y(row))}H${at(last)}`);
    if (before > 0) path("life more", `M${at(left)} ${at(y(row))}H${at(start)}`);
    if (after > 0) path("life more", `M${at(last)} ${at(y(row))}H${at(end)}`);
    text(left - 10, y(row) + 4.5, "name", names[row] ?? "", "end");
  }

  const point = (m: number): readonly [number, number] => {
    const mark = marks[m] as Mark;
    return [x(mark.x), y(mark.row)];
  };
  for (const { mark, isOutgoing, isDown, end } of layout.stubs) {
    const [px, py] = point(mark);
    const [ex, ey] = [px + (isOutgoing ? 15 : -15), py + (isDown ? 13 : -13)];
    path("stub", `M${at(px)} ${at(py)}L${at(ex)} ${at(ey)}`);
    if (end === "nowhere") path("stub-end", `M${at(ex - 3)} ${at(ey - 3)}l6 6m0 -6l-6 6`);
  }
  // What matters most lies on top.
  const depth = ({ crossing, isMarker }: LaidArrow): number =>
    crossing === "orphan" ? 3 : crossing === "in flight" ? 2 : isMarker ? 0 : 1;
  for (const arrow of [...arrows].sort((a, b) => depth(a) - depth(b))) {
    const { crossing, isMarker, count, heldLength, isBent } = arrow;
    const [[ax, ay], [markX, by]] = [point(arrow.from), point(arrow.to)];
    const bx = markX - heldLength;
    if (heldLength > 0) path("held", `M${at(bx)} ${at(by)}H${at(markX)}`);
    const { line, head } = arrowPath(ax, ay, bx, by, heldLength > 0 ? 0 : RADIUS + 0.5, isBent);
    const tone = crossing === "none" ? (isMarker ? "marker" : "") : crossing.replace("in ", "");
    const thick = count > 1 ? ` style="stroke-width:${at(Math.min(8, 2 + Math.log2(count)))}"` : "";
    parts.push(`<path class="${tone}"${thick} d="${line}"/>`.replace(' class=""', ""));
    path(`${tone} head`.trim(), head);
    const isSaid = marks[arrow.from]?.count === count || marks[arrow.to]?.count === count;
    if (count > 1 && !isSaid)
      text((ax + bx) / 2, (ay + by) / 2 + 3.5, "count", `×${withCommas(count)}`, "middle");
  }
  if (cut) {
    path(cut.orphans > 0 ? "frontier wrong" : "frontier", frontier(cut.xs.map(x), y, top, bottom));
    const tone = cut.orphans > 0 ? "verdict wrong" : "verdict";
    const words = cut.orphans > 0 ? "not a consistent cut" : "consistent cut";
    const middle = Math.min(width - 66, Math.max(66, x(cut.xs[0] ?? 0)));
    text(middle, top - 12, tone, words, "middle");
  }
  const lost = new Set(arrows.filter(({ crossing }) => crossing === "orphan").map(({ to }) => to));
  for (const [m, mark] of marks.entries()) {
    const [px, py] = point(m);
    const kind = lost.has(m) ? `${mark.kind} lost` : mark.kind;
    parts.push(
      `<g class="event ${kind}"><title>${escapeXml(titleOf(layout, mark))}</title>${shape(mark, px, py)}</g>`,
    );
  }
  for (const { isLabelled, label, isBelow, x: of, row } of marks)
    if (isLabelled) text(x(of), y(row) + (isBelow ? 18 : -9.5), "label", label, "middle");
  for (const [i, caption] of captions.entries()) {
    const isVerdict = cut !== undefined && i === 0;
    const className = isVerdict ? (cut.orphans > 0 ? "verdict wrong" : "verdict") : "faint";
    text(12, under + (i + 1) * LEGEND_GAP - 4, className, caption);
  }
  return `${parts.join("\n")}\n</svg>\n`;
}

/** What a mark stands for, in words, and where in the trace it is. */
function titleOf(layout: Layout, mark: Mark): string {
  const { trace, rows } = layout;
  const { first, count, row } = mark;
  const events = eventsOf(layout, mark);
  const lines = [events[0], events.at(-1)].map((e) => trace.events[e ?? 0]?.line);
  const name = rows[row]?.name ?? "";
  if (count === 1) {
    const where = lines[0] === undefined ? "" : `, line ${lines[0]}`;
    return `${name}, event ${first + 1}${where}: ${wordsOf(layout, mark, [])}`;
  }
  return `${name}, events ${first + 1} to ${first + count}: ${wordsOf(layout, mark, [])}`;
}

function shape({ kind, count }: Mark, px: number, py: number): string {
  if (kind === "record") return `<path d="M${at(px - 7)} ${at(py)}l7 -7l7 7l-7 7Z"/>`;
  if (kind === "crash") return `<path d="M${at(px - 5)} ${at(py - 5)}l10 10m0 -10l-10 10"/>`;
  if (count > 1)
    return `<rect x="${at(px - 8)}" y="${at(py - 4.5)}" width="16" height="9" rx="4.5"/>`;
  return `<circle cx="${at(px)}" cy="${at(py)}" r="${kind === "internal" ? 3.5 : RADIUS}"/>`;
}

/** A line from one point to the other, and its head; both keep off the points. */
function arrowPath(
  ax: number,
  ay: number,
  bx: number,
  by: number,
  clear: number,
  isBent: boolean,
): { readonly line: string; readonly head: string } {
  // Bent: by way of a point beside the middle, to the right of the direction.
  const [dx, dy] = [bx - ax, by - ay];
  const length = Math.hypot(dx, dy) || 1;
  const bend = isBent ? 22 : 0;
  const [mx, my] = [(ax + bx) / 2 + (bend * dy) / length, (ay + by) / 2 - (bend * dx) / length];
  const [ux, uy] = isBent ? unit(bx - mx, by - my) : [dx / length, dy / length];
  const [sx, sy] = isBent ? unit(mx - ax, my - ay) : [ux, uy];
  const [tx, ty] = [bx - ux * clear, by - uy * clear];
  const [hx, hy] = [tx - ux * 8, ty - uy * 8];
  const start = `M${at(ax + sx * RADIUS)} ${at(ay + sy * RADIUS)}`;
  const end = `${at(tx - ux * 6)} ${at(ty - uy * 6)}`;
  return {
    line: isBent ? `${start}Q${at(mx)} ${at(my)} ${end}` : `${start}L${end}`,
    head: `M${at(tx)} ${at(ty)}L${at(hx - uy * 3.6)} ${at(hy + ux * 3.6)}L${at(hx + uy * 3.6)} ${at(hy - ux * 3.6)}Z`,
  };
}

function unit(dx: number, dy: number): readonly [number, number] {
  const length = Math.hypot(dx, dy) || 1;
  return [dx / length, dy / length];
}

/** Straight across each line, and bent between them. */
function frontier(
  xs: readonly number[],
  y: (row: number) => number,
  top: number,
  bottom: number,
): string {
  let d = `M${at(xs[0] ?? 0)} ${at(top - 4)}`;
  for (const [row, x] of xs.entries()) {
    if (row === 0) d += `V${at(y(row))}`;
    else {
      const [before, middle] = [xs[row - 1] as number, (y(row - 1) + y(row)) / 2];
      d += `C${at(before)} ${at(middle)} ${at(x)} ${at(middle)} ${at(x)} ${at(y(row))}`;
    }
  }
  return `${d}V${at(bottom)}`;
}

/** What signs mean that not everybody knows, if they are there. */
function legend({ arrows, marks, stubs }: Layout): string[] {
  const signs = [
    arrows.some(({ isMarker }) => isMarker) && "dashed: marker",
    marks.some(({ kind }) => kind === "record") && "diamond: records",
    arrows.some(({ crossing }) => crossing === "in flight") && "orange: in flight across the cut",
    arrows.some(({ crossing }) => crossing === "orphan") && "red: orphan",
    arrows.some(({ heldLength }) => heldLength > 0) && "bar: held back",
    arrows.some(({ count }) => count > 1) && "thick: several messages",
    marks.some(({ count, kind }) => count > 1 && kind !== "record") && "long mark: several events",
    stubs.some(({ end }) => end === "elsewhere") && "dotted: the other end is not shown",
    stubs.some(({ end }) => end === "nowhere") && "dotted to a cross: no other end",
  ].filter((sign) => sign !== false);
  return signs.length > 0 ? [signs.join(" · ")] : [];
}
