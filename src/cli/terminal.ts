/** What is shown to people: numbers, tables, colours, and a region of the terminal that is refreshed in place. */

import { WriteStream } from "node:tty";
import { stripVTControlCharacters, styleText } from "node:util";

/** A stream that text for people goes to. */
export type Output = NodeJS.WritableStream & { readonly columns?: number; readonly rows?: number };

/** Gives text a style. */
export type Paint = (style: "bold" | "dim" | "green" | "red" | "yellow", text: string) => string;

/** Paints for that stream, if it shows colours: not with NO_COLOR, at a dumb terminal or in a file. */
export function painter(stream: Output): Paint {
  return (style, text) => styleText(style, text, { stream });
}

/** True if the terminal can move its cursor. */
export function isLive(stream: Output): boolean {
  return stream instanceof WriteStream && process.env["TERM"] !== "dumb";
}

/** Text that came from outside, without what could drive a terminal. */
export function printable(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ").replaceAll(/\p{C}/gu, "?");
}

/** 1234567 as 1,234,567. */
export function grouped(value: number): string {
  return String(Math.round(value)).replaceAll(/\B(?=([0-9]{3})+$)/g, ",");
}

const SIZES: readonly (readonly [factor: number, letter: string])[] = [
  [1e15, "P"],
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

/** As exact as fits that many characters: 1,234,567 or 1234567 or 1.2M. */
export function fitted(value: number, characters: number): string {
  for (const text of [grouped(value), String(Math.round(value))])
    if (text.length <= characters) return text;
  const [factor, letter] = SIZES.find(([size]) => Math.abs(value) >= size) ?? [1, ""];
  const exact = `${(value / factor).toFixed(1)}${letter}`;
  return exact.length <= characters ? exact : `${Math.round(value / factor)}${letter}`;
}

/** How many characters a text takes on the terminal; all of ours take one each. */
export function width(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

/** Padded to that width, at the side away from the text. */
export function padded(text: string, to: number, side: "left" | "right" = "left"): string {
  const space = " ".repeat(Math.max(0, to - width(text)));
  return side === "left" ? text + space : space + text;
}

const ESCAPE = "\u001b";
const STYLE_OR_CHARACTER = new RegExp(`${ESCAPE}\\[[0-9;]*m|.`, "gsu");

/** No wider than that; what is cut off is replaced by an ellipsis. Styles end with the text. */
export function cut(text: string, columns: number): string {
  if (width(text) <= columns) return text;
  let kept = "";
  let room = columns - 1;
  let styledAny = false;
  for (const [piece] of text.matchAll(STYLE_OR_CHARACTER)) {
    const style = piece.length > 2;
    if (style) styledAny = true;
    else room -= 1;
    if (room < 0) break;
    kept += piece;
  }
  return `${kept}…${styledAny ? "\u001b[0m" : ""}`;
}

/** Lines with columns under each other: the first row is the heading; `<` aligns left, `>` right. */
export function table(rows: readonly (readonly string[])[], align: string): string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, width(cell));
  return rows.map((row) =>
    row
      .map((cell, i) => padded(cell, widths[i] ?? 0, align[i] === ">" ? "right" : "left"))
      .join("  ")
      .trimEnd(),
  );
}

const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";
const CLEAR_LINE_END = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";
const CLEAR_SCREEN = "\u001b[2J\u001b[H";

/**
 * The last lines of a terminal, drawn again and again at the same place. One write per picture, and each line is
 * overwritten before the rest of it is cleared, so nothing flickers.
 */
export class LiveRegion {
  readonly #stream: Output;
  /** Lines between the top of the region and the cursor. */
  #height = 0;
  #picture: readonly string[] = [];
  readonly #restore = (): void => {
    this.#stream.write(SHOW_CURSOR);
  };

  constructor(stream: Output) {
    this.#stream = stream;
    stream.write(HIDE_CURSOR);
    process.on("exit", this.#restore);
  }

  /** A terminal that does not know its size says 0. */
  get columns(): number {
    return this.#stream.columns || 80;
  }

  get rows(): number {
    return this.#stream.rows || 24;
  }

  draw(picture: readonly string[]): void {
    // The cursor stands below the last line. One column stays free: some terminals wrap when it is written.
    const lines = picture.slice(0, this.rows - 1).map((line) => cut(line, this.columns - 1));
    const up = this.#height > 0 ? `\u001b[${this.#height}A\r` : "\r";
    const text = lines.map((line) => `${line}${CLEAR_LINE_END}\n`).join("");
    this.#stream.write(up + text + CLEAR_BELOW);
    this.#height = lines.length;
    this.#picture = picture;
  }

  /** A line above the region, which stays. */
  say(line: string): void {
    const up = this.#height > 0 ? `\u001b[${this.#height}A\r` : "\r";
    this.#stream.write(`${up}${CLEAR_BELOW}${line}\n`);
    this.#height = 0;
    this.draw(this.#picture);
  }

  /** The size of the terminal changed, and it may have wrapped what was there: all is drawn anew. */
  redrawAll(picture: readonly string[]): void {
    this.#stream.write(CLEAR_SCREEN);
    this.#height = 0;
    this.draw(picture);
  }

  /** Somebody else has written since, such as a shell: the region begins where the cursor is. */
  beginHere(): void {
    this.#height = 0;
    this.#stream.write(HIDE_CURSOR);
  }

  /** Leaves the last picture where it is. */
  end(): void {
    process.off("exit", this.#restore);
    this.#restore();
  }
}
