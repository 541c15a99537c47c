// What the page of `tidemark trace diagram --html` does: it draws a layout on a canvas, tells the causal past and future of an event, and
// says of a cut that is dragged whether it is consistent. It is put into the page as it is, so it imports nothing.
//
// Theory of operation. A cut is, for each row, how many of its marks are inside. The marks that happened before something are found by
// going back: a mark brings those before it on its row, and where its arrows come from. Each mark is looked at once.

/**
 * @typedef {object} Marks In columns.
 * @property {number[]} row
 * @property {number[]} x
 * @property {number[]} kind
 * @property {number[]} first
 * @property {number[]} count
 * @property {string[]} label
 * @property {number[]} below
 * @property {string[]} words
 */

/**
 * @typedef {object} Data What diagram-page.ts puts into the page.
 * @property {number} width
 * @property {{x: number, text: string}[]} axis
 * @property {{name: string, before: number, after: number, crashedAt?: number}[]} rows
 * @property {number[] | null} counts of the cut, in events
 * @property {boolean} isWhole whether all messages are here
 * @property {Marks} marks
 * @property {{from: number[], to: number[], count: number[], flags: number[], held: number[]}} arrows
 * @property {[mark: number, flags: number][]} stubs
 */

const [INTERNAL, SEND, RECEIVE, RECORD, CRASH] = [0, 1, 2, 3, 4];
const [IS_MARKER, IS_BENT] = [1, 2];

/** What is before what, and what that says of cuts. */
export class Order {
  /** @param {Data} data */
  constructor({ rows, marks, arrows }) {
    this.arrows = arrows;
    this.row = marks.row;
    /** For each row its marks, and for each mark its place in its row. @type {number[][]} */
    this.lines = rows.map(() => []);
    this.place = marks.row.map((row) => this.lines[row].length);
    this.lines = rows.map(() => []);
    for (const [m, row] of marks.row.entries()) this.place[m] = this.lines[row].push(m) - 1;
    /** For each mark the arrows that come to it, and those that leave it. @type {number[][]} */
    this.into = marks.row.map(() => []);
    /** @type {number[][]} */
    this.out = marks.row.map(() => []);
    for (const [a, to] of arrows.to.entries()) {
      this.into[to].push(a);
      this.out[arrows.from[a]].push(a);
    }
  }

  /** @param {number} mark @param {number[]} cut */
  isInside(mark, cut) {
    return this.place[mark] < cut[this.row[mark]];
  }

  /** The least consistent cut that has all of that cut inside. @param {number[]} cut */
  around(cut) {
    const result = cut.map(() => 0);
    const waiting = cut.map((count, row) => [row, count]);
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const [row, count] = next;
      for (; result[row] < count; result[row] += 1)
        for (const a of this.into[this.lines[row][result[row]]]) {
          const from = this.arrows.from[a];
          waiting.push([this.row[from], this.place[from] + 1]);
        }
    }
    return result;
  }

  /** The greatest consistent cut within that cut. @param {number[]} cut */
  inside(cut) {
    const result = this.lines.map(({ length }) => length);
    const waiting = cut.map((count, row) => [row, count]);
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const [row, count] = next;
      while (result[row] > count) {
        result[row] -= 1;
        for (const a of this.out[this.lines[row][result[row]]]) {
          const to = this.arrows.to[a];
          waiting.push([this.row[to], this.place[to]]);
        }
      }
    }
    return result;
  }

  /** All that happened before a mark, and itself, as a cut. @param {number} mark */
  past(mark) {
    return this.around(
      this.lines.map((_, row) => (row === this.row[mark] ? this.place[mark] + 1 : 0)),
    );
  }

  /** All but the mark and what happened after it, as a cut. @param {number} mark */
  notAfter(mark) {
    return this.inside(
      this.lines.map(({ length }, row) => (row === this.row[mark] ? this.place[mark] : length)),
    );
  }

  /** Arrows from outside to inside, and from inside to outside. @param {number[]} cut */
  verdict(cut) {
    /** @type {number[][]} */
    const [orphans, inFlight] = [[], []];
    for (const [a, from] of this.arrows.from.entries()) {
      const [sent, received] = [this.isInside(from, cut), this.isInside(this.arrows.to[a], cut)];
      if (sent !== received) (sent ? inFlight : orphans).push(a);
    }
    return { orphans, inFlight };
  }
}

/** 1234567 as 1,234,567. @param {number} value */
const grouped = (value) => String(value).replaceAll(/\B(?=([0-9]{3})+$)/g, ",");
/** @param {number} count @param {string} one */
const many = (count, one) => `${grouped(count)} ${one}${count === 1 ? "" : "s"}`;
const LISTED_MAX = 4;
/** Of more arrows that are seen at once some are drawn, and the picture says so. */
const ARROWS_DRAWN_MAX = 2500;
const ARROWS_TOGETHER = 100;

/** @param {Data} data */
function show(data) {
  const { rows, marks, arrows, stubs, axis } = data;
  const order = new Order(data);
  const names = rows.map(({ name }) => (name.length > 20 ? `${name.slice(0, 19)}…` : name));
  const element = (/** @type {string} */ id) =>
    /** @type {HTMLElement} */ (document.getElementById(id));
  const canvas = /** @type {HTMLCanvasElement} */ (element("picture"));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const left = 30 + Math.max(...names.map(({ length }) => length), 1) * 7.6;
  const top = 26;

  // What is seen: x and y of the layout at the upper left, and how large.
  let [scale, lineHeight, offset, scroll] = [1, 50, 0, 0];
  /** @type {number | undefined} */
  let hovered;
  /** @type {number | undefined} */
  let selected;
  /** The cut in marks of each row. @type {number[] | undefined} */
  let cut = data.counts?.map((count, row) =>
    order.lines[row].reduce((sum, m) => sum + (marks.first[m] < count ? 1 : 0), 0),
  );
  let verdict = cut && order.verdict(cut);
  /** Of the mark that is looked at. @type {{mark: number, past: number[], rest: number[]} | undefined} */
  let cone;

  const height = () => canvas.clientHeight;
  const width = () => canvas.clientWidth;
  const xOf = (/** @type {number} */ x) => left + x * scale - offset;
  const yOf = (/** @type {number} */ row) => top + (row + 0.5) * lineHeight - scroll;
  const rowAt = (/** @type {number} */ y) =>
    Math.max(0, Math.min(rows.length - 1, Math.floor((y - top + scroll) / lineHeight)));

  /** The first mark of a row that is not left of x. @param {number} row @param {number} x */
  function firstAt(row, x) {
    const line = order.lines[row];
    let [low, high] = [0, line.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (marks.x[line[middle]] < x) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function showAll() {
    const space = height() - top - (axis.length > 0 ? 24 : 8);
    lineHeight = Math.max(18, Math.min(110, space / rows.length));
    scale = Math.min(2, Math.max(0.001, (width() - left - 10) / data.width));
    [offset, scroll] = [0, 0];
    draw();
  }

  function keepInside() {
    offset = Math.max(Math.min(offset, data.width * scale - (width() - left) + 40), 0);
    scroll = Math.max(Math.min(scroll, rows.length * lineHeight - height() + top + 30), 0);
  }

  /** Where the cut passes each row, as x of the layout: as straight as there is room for. @type {number[]} */
  let cutXs = [];
  function placeCut() {
    if (!cut) return;
    const counts = cut;
    const within = (/** @type {number} */ row, /** @type {number} */ x) => {
      const line = order.lines[row];
      const low = counts[row] > 0 ? marks.x[line[counts[row] - 1]] : 0;
      const high = counts[row] < line.length ? marks.x[line[counts[row]]] : data.width;
      const space = Math.min(10, (high - low) / 2);
      return Math.min(high - space, Math.max(low + space, x));
    };
    cutXs = rows.map((_, row) => within(row, within(0, data.width / 2)));
    for (let pass = 0; pass < 24; pass += 1)
      for (const row of rows.keys()) {
        const [above, below] = [cutXs[row - 1] ?? cutXs[row + 1], cutXs[row + 1] ?? cutXs[row - 1]];
        if (above !== undefined) cutXs[row] = within(row, (above + below) / 2);
      }
  }
  const cutX = (/** @type {number} */ row) => cutXs[row];

  /** Every how many-th of the arrows was drawn. */
  let sampled = 1;
  let isWaiting = false;
  function draw() {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      paint();
    });
  }

  function paint() {
    const ratio = devicePixelRatio || 1;
    if (
      canvas.width !== Math.round(width() * ratio) ||
      canvas.height !== Math.round(height() * ratio)
    ) {
      canvas.width = Math.round(width() * ratio);
      canvas.height = Math.round(height() * ratio);
    }
    keepInside();
    const style = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = colour("paper");
    context.fillRect(0, 0, width(), height());
    context.font = "11px system-ui, sans-serif";
    const [from, to] = [offset / scale - 60, (offset + width() - left) / scale + 60];
    const isFaint = (/** @type {number} */ m) =>
      cone !== undefined && !order.isInside(m, cone.past) && order.isInside(m, cone.rest);

    context.save();
    context.beginPath();
    context.rect(left - 8, 0, width(), height());
    context.clip();
    drawGrid(colour);
    if (cut) drawInside(colour);
    drawLines(colour);
    drawArrows(colour, from, to, isFaint);
    if (cut) drawFrontier(colour);
    drawMarks(colour, from, to, isFaint);
    context.restore();

    context.textAlign = "right";
    context.fillStyle = colour("faint");
    if (sampled > 1)
      context.fillText(`1 of ${sampled} messages is drawn; zoom in to see all`, width() - 10, 14);
    context.fillStyle = colour("ink");
    context.font = `600 ${lineHeight < 24 ? 11 : 13}px system-ui, sans-serif`;
    for (const [row, name] of names.entries()) context.fillText(name, left - 14, yOf(row) + 4);
  }

  /** @param {(name: string) => string} colour */
  function drawGrid(colour) {
    context.textAlign = "center";
    let last = -100;
    for (const { x, text } of axis) {
      if (xOf(x) - last < 70) continue;
      last = xOf(x);
      context.fillStyle = colour("grid");
      context.fillRect(last, 0, 1, height());
      context.fillStyle = colour("faint");
      context.fillText(text, last, height() - 6);
    }
  }

  /** The cut from top to bottom. */
  function frontier() {
    context.beginPath();
    context.moveTo(xOf(cutX(0)), 0);
    context.lineTo(xOf(cutX(0)), yOf(0));
    for (let row = 1; row < rows.length; row += 1) {
      const [a, b, y] = [xOf(cutX(row - 1)), xOf(cutX(row)), (yOf(row - 1) + yOf(row)) / 2];
      context.bezierCurveTo(a, y, b, y, b, yOf(row));
    }
    context.lineTo(xOf(cutX(rows.length - 1)), yOf(rows.length));
  }

  /** @param {(name: string) => string} colour */
  function drawInside(colour) {
    frontier();
    context.lineTo(left - 8, yOf(rows.length));
    context.lineTo(left - 8, 0);
    context.globalAlpha = 0.08;
    context.fillStyle = colour(verdict?.orphans.length ? "orphan" : "cut");
    context.fill();
    context.globalAlpha = 1;
  }

  /** @param {(name: string) => string} colour */
  function drawFrontier(colour) {
    frontier();
    context.strokeStyle = colour(verdict?.orphans.length ? "orphan" : "cut");
    context.lineWidth = 2.2;
    context.stroke();
    context.fillStyle = context.strokeStyle;
    for (const row of rows.keys()) {
      context.beginPath();
      context.roundRect(xOf(cutX(row)) - 3, yOf(row) - 7, 6, 14, 3);
      context.fill();
    }
  }

  /** @param {(name: string) => string} colour */
  function drawLines(colour) {
    context.strokeStyle = colour("line");
    context.lineWidth = 1.5;
    for (const [row, { crashedAt }] of rows.entries()) {
      context.beginPath();
      context.moveTo(left - 8, yOf(row));
      context.lineTo(xOf(crashedAt ?? data.width), yOf(row));
      context.stroke();
    }
  }

  /** @param {(name: string) => string} colour @param {number} from @param {number} to @param {(m: number) => boolean} isFaint */
  function drawArrows(colour, from, to, isFaint) {
    const isFar = scale < 0.3;
    const special = new Map();
    for (const a of verdict?.inFlight ?? []) special.set(a, "flight");
    for (const a of verdict?.orphans ?? []) special.set(a, "orphan");
    /** By how they look. @type {Map<string, number[]>} */
    const looks = new Map();
    /** @type {number[]} */
    const seen = [];
    for (let a = 0; a < arrows.from.length; a += 1) {
      const [fx, tx] = [marks.x[arrows.from[a]], marks.x[arrows.to[a]]];
      if (Math.min(fx, tx) <= to && Math.max(fx, tx) >= from) seen.push(a);
    }
    const every = Math.ceil(seen.length / ARROWS_DRAWN_MAX);
    for (const [i, a] of seen.entries()) {
      const isPale = isFaint(arrows.from[a]) || isFaint(arrows.to[a]);
      const tone = special.get(a) ?? (arrows.flags[a] & IS_MARKER ? "marker" : "message");
      if (i % every !== 0 && (isPale || cone === undefined) && tone !== "orphan") continue;
      const look = `${tone} ${isPale ? "pale" : ""}`;
      const list = looks.get(look);
      if (list) list.push(a);
      else looks.set(look, [a]);
    }
    for (const tone of ["marker", "message", "flight", "orphan"])
      for (const shade of ["pale", ""]) {
        const isSpecial = tone === "flight" || tone === "orphan";
        context.globalAlpha = shade === "pale" ? (isSpecial ? 0.35 : 0.13) : isFar ? 0.6 : 1;
        context.lineWidth = isSpecial ? 2.4 : isFar ? 0.8 : 1.4;
        context.strokeStyle = context.fillStyle = colour(tone);
        context.setLineDash(tone === "marker" && !isFar ? [5, 3.5] : []);
        drawAlike(looks.get(`${tone} ${shade}`) ?? [], !isFar || isSpecial);
      }
    context.setLineDash([]);
    if (!isFar) {
      context.fillStyle = colour("flight");
      for (const a of seen)
        if (arrows.held[a] > 0) {
          const [m, length] = [arrows.to[a], arrows.held[a] * scale];
          context.globalAlpha = isFaint(m) ? 0.1 : 0.4;
          context.fillRect(xOf(marks.x[m]) - length, yOf(marks.row[m]) - 3, length, 6);
        }
    }
    context.globalAlpha = 1;
    sampled = every;
    context.lineWidth = 1.2;
    context.strokeStyle = colour("message");
    if (!isFar)
      for (const [m, flags] of stubs) {
        if (marks.x[m] < from || marks.x[m] > to) continue;
        context.globalAlpha = isFaint(m) ? 0.13 : 1;
        const [x, y] = [xOf(marks.x[m]), yOf(marks.row[m])];
        const [ex, ey] = [x + (flags & 1 ? 15 : -15), y + (flags & 2 ? 13 : -13)];
        context.setLineDash([1.5, 3]);
        context.beginPath();
        context.moveTo(x, y);
        context.lineTo(ex, ey);
        context.stroke();
        context.setLineDash([]);
        if (flags & 4) cross(ex, ey, 3);
      }
    context.globalAlpha = 1;
  }

  /** @param {number} x @param {number} y @param {number} size */
  function cross(x, y, size) {
    context.beginPath();
    context.moveTo(x - size, y - size);
    context.lineTo(x + size, y + size);
    context.moveTo(x + size, y - size);
    context.lineTo(x - size, y + size);
    context.stroke();
  }

  /** Arrows of one colour: many in one path, which is what takes time. @param {number[]} list @param {boolean} hasHeads */
  function drawAlike(list, hasHeads) {
    for (let start = 0; start < list.length; start += ARROWS_TOGETHER) {
      const part = list.slice(start, start + ARROWS_TOGETHER);
      const heads = new Path2D();
      context.beginPath();
      for (const a of part) {
        const [f, t, count] = [arrows.from[a], arrows.to[a], arrows.count[a]];
        const [ax, ay, by] = [xOf(marks.x[f]), yOf(marks.row[f]), yOf(marks.row[t])];
        const bx = xOf(marks.x[t]) - arrows.held[a] * scale;
        const length = Math.hypot(bx - ax, by - ay) || 1;
        const [dx, dy] = [(bx - ax) / length, (by - ay) / length];
        const bend = arrows.flags[a] & IS_BENT ? 22 : 0;
        const [mx, my] = [(ax + bx) / 2 + bend * dy, (ay + by) / 2 - bend * dx];
        if (count > 1) {
          // A thick one is a path of its own.
          const thick = new Path2D();
          thick.moveTo(ax, ay);
          thick.quadraticCurveTo(mx, my, bx, by);
          const lineWidth = context.lineWidth;
          context.lineWidth = Math.min(8, 2 + Math.log2(count));
          context.stroke(thick);
          context.lineWidth = lineWidth;
        } else {
          context.moveTo(ax, ay);
          if (bend > 0) context.quadraticCurveTo(mx, my, bx, by);
          else context.lineTo(bx, by);
        }
        if (!hasHeads) continue;
        const [ux, uy] = bend > 0 ? unit(bx - mx, by - my) : [dx, dy];
        const [tx, ty] = [bx - ux * 5, by - uy * 5];
        heads.moveTo(tx, ty);
        heads.lineTo(tx - ux * 8 - uy * 3.6, ty - uy * 8 + ux * 3.6);
        heads.lineTo(tx - ux * 8 + uy * 3.6, ty - uy * 8 - ux * 3.6);
        heads.closePath();
      }
      context.stroke();
      context.fill(heads);
    }
  }

  /** @param {number} dx @param {number} dy */
  function unit(dx, dy) {
    const length = Math.hypot(dx, dy) || 1;
    return [dx / length, dy / length];
  }

  /** @param {(name: string) => string} colour @param {number} from @param {number} to @param {(m: number) => boolean} isFaint */
  function drawMarks(colour, from, to, isFaint) {
    const lost = new Set((verdict?.orphans ?? []).map((a) => arrows.to[a]));
    const [above, below] = [rows.map(() => -1e9), rows.map(() => -1e9)];
    context.textAlign = "center";
    context.lineJoin = "round";
    for (const row of rows.keys()) {
      if (yOf(row) < -20 || yOf(row) > height() + 20) continue;
      const [line, y] = [order.lines[row], yOf(row)];
      if (scale < 0.2) {
        drawDense(line, y, firstAt(row, from), to, colour("message"));
        continue;
      }
      let last = -1e9;
      for (let i = firstAt(row, from); i < line.length && marks.x[line[i]] <= to; i += 1) {
        const m = line[i];
        const x = xOf(marks.x[m]);
        // Points that lie on each other are one.
        if (x - last < 0.7 && m !== hovered && m !== selected && !lost.has(m)) continue;
        last = x;
        context.globalAlpha = isFaint(m) ? 0.2 : 1;
        drawMark(m, x, y, lost.has(m), colour);
        const label = marks.label[m];
        if (label === "" || lineHeight < (marks.below[m] ? 38 : 26)) continue;
        const side = marks.below[m] ? below : above;
        const half = label.length * 3.1;
        if (x - half < side[row] + 3) continue;
        side[row] = x + half;
        context.strokeStyle = colour("paper");
        context.lineWidth = 3.5;
        const ly = y + (marks.below[m] ? 18 : -9.5);
        context.strokeText(label, x, ly);
        context.fillStyle = colour("ink");
        context.fillText(label, x, ly);
      }
    }
    context.globalAlpha = 1;
    const looked = selected ?? hovered;
    if (looked !== undefined) {
      context.strokeStyle = colour("ink");
      context.lineWidth = 1.5;
      context.beginPath();
      context.arc(xOf(marks.x[looked]), yOf(marks.row[looked]), 10, 0, 7);
      context.stroke();
    }
  }

  /**
   * From far away, points that touch each other are one bar.
   * @param {number[]} line @param {number} y @param {number} first @param {number} to @param {string} tone
   */
  function drawDense(line, y, first, to, tone) {
    context.fillStyle = tone;
    let [start, end] = [-1e9, -1e9];
    for (let i = first; i <= line.length; i += 1) {
      const x = i < line.length && marks.x[line[i]] <= to ? xOf(marks.x[line[i]]) : 1e9;
      if (x > end + 3) {
        if (end > -1e9) context.fillRect(start - 1.5, y - 2.5, end - start + 3, 5);
        start = x;
      }
      if (x === 1e9) break;
      end = x;
    }
  }

  /** @param {number} m @param {number} x @param {number} y @param {boolean} isLost @param {(name: string) => string} colour */
  function drawMark(m, x, y, isLost, colour) {
    const kind = marks.kind[m];
    const size = scale < 0.2 ? 2.5 : 4.5;
    context.fillStyle = colour(kind === INTERNAL ? "faint" : kind === RECORD ? "cut" : "message");
    context.strokeStyle = colour(isLost || kind === CRASH ? "orphan" : "message");
    context.lineWidth = 1.8;
    context.beginPath();
    if (kind === CRASH) {
      cross(x, y, 5);
      return;
    }
    if (kind === RECORD) {
      context.moveTo(x - 7, y);
      context.lineTo(x, y - 7);
      context.lineTo(x + 7, y);
      context.lineTo(x, y + 7);
    } else if (marks.count[m] > 1) context.roundRect(x - 8, y - size, 16, 2 * size, size);
    else context.arc(x, y, kind === INTERNAL ? size * 0.8 : size, 0, 7);
    context.closePath();
    if (kind === RECEIVE) context.fillStyle = colour("paper");
    context.fill();
    if (kind === RECEIVE || kind === SEND) context.stroke();
  }

  /** @param {number} m */
  function nameOf(m) {
    const [first, count] = [marks.first[m] + 1, marks.count[m]];
    const numbers = count === 1 ? `event ${first}` : `events ${first} to ${first + count - 1}`;
    return `${rows[marks.row[m]].name}, ${numbers}: ${marks.words[m]}`;
  }

  /** How many events are before a place of a row. @param {number} row @param {number} place */
  function eventsAt(row, place) {
    const line = order.lines[row];
    if (place < line.length) return marks.first[line[place]];
    const last = line[line.length - 1];
    return last === undefined ? rows[row].before : marks.first[last] + marks.count[last];
  }

  function tell() {
    const looked = selected ?? hovered;
    if (looked === undefined) cone = undefined;
    else if (cone?.mark !== looked)
      cone = { mark: looked, past: order.past(looked), rest: order.notAfter(looked) };
    let said = "";
    if (cone) {
      const { past, rest } = cone;
      let [before, after] = [-marks.count[cone.mark], -marks.count[cone.mark]];
      for (const [row, { length }] of order.lines.entries()) {
        before += eventsAt(row, past[row]) - eventsAt(row, 0);
        after += eventsAt(row, length) - eventsAt(row, rest[row]);
      }
      said = `${nameOf(cone.mark)} — ${grouped(before)} before it, ${grouped(after)} after it because of it`;
    }
    element("event").textContent = said;
    const output = element("verdict");
    output.className = verdict?.orphans.length ? "wrong" : "";
    output.textContent =
      cut && verdict ? verdictText(cut, verdict) : "no cut: choose an event and press C";
    element("here").toggleAttribute("disabled", looked === undefined);
    for (const id of ["inside", "around", "none"])
      element(id).toggleAttribute("disabled", cut === undefined);
    draw();
  }

  /** @param {number[]} counts @param {{orphans: number[], inFlight: number[]}} verdict */
  function verdictText(counts, { orphans, inFlight }) {
    const named =
      rows.length <= 12
        ? ` ${rows.map(({ name }, row) => `${name}=${eventsAt(row, counts[row])}`).join(" ")}`
        : "";
    const sum = (/** @type {number[]} */ list) =>
      list.reduce((count, a) => count + arrows.count[a], 0);
    const flight = `${many(sum(inFlight), "message")} in flight`;
    const scope = data.isWhole ? "" : " among the messages that are shown";
    if (orphans.length === 0) return `cut${named}: consistent, ${flight}${scope}`;
    const list = orphans.slice(0, LISTED_MAX).map((a) => {
      const [from, to] = [arrows.from[a], arrows.to[a]];
      const placed = (/** @type {number} */ m) =>
        `${rows[marks.row[m]].name}:${marks.first[m] + 1}`;
      return `${placed(to)} ${marks.words[to]}, and ${placed(from)} is outside`;
    });
    if (orphans.length > LISTED_MAX) list.push(`and ${grouped(orphans.length - LISTED_MAX)} more`);
    return `cut${named}: not consistent, ${many(sum(orphans), "orphan")} (${list.join("; ")}); ${flight}${scope}`;
  }

  /** @param {number[] | undefined} next */
  function setCut(next) {
    cut = next;
    verdict = cut && order.verdict(cut);
    placeCut();
    tell();
  }

  /** @param {number | undefined} mark @param {boolean} [isFollowed] */
  function select(mark, isFollowed = false) {
    selected = mark;
    if (mark !== undefined && isFollowed) {
      const [x, y] = [xOf(marks.x[mark]), yOf(marks.row[mark])];
      if (x < left + 40 || x > width() - 40) offset += x - (left + width()) / 2;
      if (y < top || y > height() - 30) scroll += y - height() / 2;
    }
    tell();
  }

  /** @param {number} factor @param {number} [x] */
  function zoom(factor, x = (left + width()) / 2) {
    const place = (x - left + offset) / scale;
    const least = Math.min(1, (width() - left - 10) / data.width) * 0.9;
    scale = Math.min(6, Math.max(least, scale * factor));
    offset = place * scale - (x - left);
    draw();
  }

  /** The mark that the pointer is at. @param {number} x @param {number} y */
  function markAt(x, y) {
    const row = rowAt(y);
    if (Math.abs(y - yOf(row)) > Math.min(14, lineHeight / 2)) return undefined;
    const [line, at] = [order.lines[row], (x - left + offset) / scale];
    const next = firstAt(row, at);
    let best;
    for (const m of [line[next - 1], line[next]])
      if (m !== undefined && Math.abs(xOf(marks.x[m]) - x) < 11)
        if (best === undefined || Math.abs(marks.x[m] - at) < Math.abs(marks.x[best] - at))
          best = m;
    return best;
  }

  /** The row whose piece of the cut the pointer is at. @param {number} x @param {number} y */
  function cutRowAt(x, y) {
    if (!cut) return undefined;
    const row = rowAt(y);
    return Math.abs(xOf(cutX(row)) - x) <= 8 ? row : undefined;
  }

  /** @type {Map<number, {x: number, y: number}>} */
  const pointers = new Map();
  /** @type {number | undefined} */
  let draggedRow;
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const { offsetX: x, offsetY: y } = event;
    pointers.set(event.pointerId, { x, y });
    moved = 0;
    if (pointers.size === 1) draggedRow = cutRowAt(x, y);
  });
  canvas.addEventListener("pointermove", (event) => {
    const { offsetX: x, offsetY: y } = event;
    const before = pointers.get(event.pointerId);
    if (!before) {
      const row = cutRowAt(x, y);
      const mark = markAt(x, y);
      canvas.style.cursor = row !== undefined ? "ew-resize" : mark !== undefined ? "pointer" : "";
      if (mark !== hovered) {
        hovered = mark;
        tell();
      }
      return;
    }
    moved += Math.abs(x - before.x) + Math.abs(y - before.y);
    if (pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const [then, now] = [Math.abs(before.x - other.x), Math.abs(x - other.x)];
      if (then > 5 && now > 5) zoom(now / then, (x + other.x) / 2);
    } else if (draggedRow !== undefined && cut) {
      const place = firstAt(draggedRow, (x - left + offset) / scale);
      if (place !== cut[draggedRow]) setCut(cut.with(draggedRow, place));
    } else {
      offset -= x - before.x;
      scroll -= y - before.y;
      draw();
    }
    pointers.set(event.pointerId, { x, y });
  });
  canvas.addEventListener("pointerup", (event) => {
    pointers.delete(event.pointerId);
    if (moved < 4 && draggedRow === undefined) select(markAt(event.offsetX, event.offsetY));
    draggedRow = undefined;
  });
  canvas.addEventListener("pointercancel", ({ pointerId }) => pointers.delete(pointerId));
  canvas.addEventListener("pointerleave", () => {
    hovered = undefined;
    tell();
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) zoom(Math.exp(-event.deltaY / 300), event.offsetX);
      else if (event.shiftKey && event.deltaX === 0) {
        const row = (event.offsetY - top + scroll) / lineHeight;
        lineHeight = Math.max(8, Math.min(120, lineHeight * Math.exp(-event.deltaY / 300)));
        scroll = row * lineHeight - (event.offsetY - top);
        draw();
      } else {
        const isTall = rows.length * lineHeight > height() - top;
        offset += event.deltaX + (isTall ? 0 : event.deltaY);
        scroll += isTall ? event.deltaY : 0;
        draw();
      }
    },
    { passive: false },
  );

  const commands = {
    here: () => {
      const looked = selected ?? hovered;
      if (looked !== undefined) setCut(order.past(looked));
    },
    inside: () => cut && setCut(order.inside(cut)),
    around: () => cut && setCut(order.around(cut)),
    none: () => setCut(undefined),
    in: () => zoom(1.4),
    out: () => zoom(1 / 1.4),
    all: showAll,
  };
  for (const [id, act] of Object.entries(commands)) element(id).addEventListener("click", act);

  /** To the next event of the row, or to the nearest one of the next row that has any. @param {number} along @param {number} across */
  function step(along, across) {
    if (selected === undefined) {
      const row = rowAt(height() / 2);
      select(order.lines[row][firstAt(row, offset / scale)] ?? order.lines.flat()[0], true);
      return;
    }
    let row = marks.row[selected];
    let place = order.place[selected] + along;
    if (across !== 0) {
      do row += across;
      while (order.lines[row]?.length === 0);
      if (order.lines[row] === undefined) return;
      place = Math.min(firstAt(row, marks.x[selected]), order.lines[row].length - 1);
    }
    const mark = order.lines[row][place];
    if (mark !== undefined) select(mark, true);
  }

  /** @param {number} by */
  function moveCut(by) {
    const row = selected === undefined ? 0 : marks.row[selected];
    if (!cut) return;
    const place = Math.max(0, Math.min(order.lines[row].length, cut[row] + by));
    setCut(cut.with(row, place));
  }

  canvas.addEventListener("keydown", (event) => {
    const { key, shiftKey } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => unknown>} */
    const keys = {
      ArrowLeft: () => (shiftKey ? moveCut(-1) : step(-1, 0)),
      ArrowRight: () => (shiftKey ? moveCut(1) : step(1, 0)),
      ArrowUp: () => step(0, -1),
      ArrowDown: () => step(0, 1),
      ...{ c: commands.here, i: commands.inside, o: commands.around, x: commands.none },
      ...{ "+": commands.in, "=": commands.in, "-": commands.out, 0: showAll },
      Escape: () => select(undefined),
    };
    const act = keys[key.length === 1 ? key.toLowerCase() : key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  placeCut();
  showAll();
  // A small part of a large picture says more than all of it at once.
  if (scale < 0.25) {
    scale = 0.8;
    offset = cut ? Math.max(0, cutX(0) * scale - width() / 2) : 0;
  }
  tell();
}

if (globalThis.document)
  show(JSON.parse(/** @type {HTMLElement} */ (document.getElementById("data")).textContent));
