// How an example tells what happens: a picture that is refreshed at a terminal, lines elsewhere, JSON for programs.
import { stripVTControlCharacters, styleText } from "node:util";

const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";
const CLEAR_LINE_END = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";
const CLEAR_SCREEN = "\u001b[2J\u001b[H";
/** The newest things that happened, below the picture. */
const NOTES = 6;

export type Style = "bold" | "dim" | "green" | "red" | "yellow" | "cyan";

export const paint = (style: Style, text: string): string =>
  styleText(style, text, { stream: process.stdout });

/** 1234567 as 1,234,567. */
export const grouped = (value: number): string =>
  String(value).replaceAll(/\B(?=([0-9]{3})+$)/g, ",");

/** Padded to that width; a `side` of right puts the text there. */
export function cell(
  text: string | number,
  width: number,
  side: "left" | "right" = "right",
): string {
  const shown = typeof text === "number" ? grouped(text) : text;
  return side === "right" ? shown.padStart(width) : shown.padEnd(width);
}

/** So much of a row of blocks, at an eighth of a character. */
export function bar(share: number, width: number): string {
  const eighths = Math.round(Math.max(0, Math.min(1, share)) * width * 8);
  const rest = eighths % 8;
  return "█".repeat(Math.floor(eighths / 8)) + (rest === 0 ? "" : (" ▏▎▍▌▋▊▉"[rest] ?? ""));
}

/** How long something took. */
export const secondsText = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** What is too wide is cut off, and has no colours then. */
function cut(text: string, columns: number): string {
  const plain = stripVTControlCharacters(text);
  return plain.length <= columns ? text : `${plain.slice(0, Math.max(0, columns - 1))}…`;
}

export const mark = (right: boolean): string => (right ? paint("green", "✓") : paint("red", "✗"));

export class Screen {
  #beganMs = performance.now();
  readonly #json: boolean;
  /** A terminal whose cursor can be moved. */
  readonly isLive: boolean;
  readonly #notes: string[] = [];
  #height = 0;
  #picture: readonly string[] = [];
  readonly #showCursor = (): void => void process.stdout.write(SHOW_CURSOR);

  constructor({ json }: { readonly json: boolean }) {
    this.#json = json;
    this.isLive = !json && process.stdout.isTTY === true && process.env["TERM"] !== "dumb";
    if (!this.isLive) return;
    process.stdout.write(HIDE_CURSOR);
    process.on("exit", this.#showCursor);
    process.stdout.on("resize", () => {
      process.stdout.write(CLEAR_SCREEN);
      this.#height = 0;
      this.draw(this.#picture);
    });
  }

  get columns(): number {
    return this.isLive ? process.stdout.columns || 80 : 80;
  }

  get rows(): number {
    return process.stdout.rows || 24;
  }

  get seconds(): string {
    return secondsText(performance.now() - this.#beganMs);
  }

  /** From here on time is counted. */
  begin(): void {
    this.#beganMs = performance.now();
  }

  /** Something happened. */
  note(event: string, text: string, facts: Readonly<Record<string, unknown>> = {}): void {
    const line = `${cell(this.seconds, 7)}  ${text}`;
    this.#notes.push(line);
    if (this.#json) {
      const atMs = Math.round(performance.now() - this.#beganMs);
      process.stdout.write(`${JSON.stringify({ event, atMs, ...facts })}\n`);
    } else if (this.isLive) this.draw(this.#picture);
    else process.stdout.write(`${line}\n`);
  }

  /** What there is to see in between, where it is not refreshed. */
  show(lines: readonly string[]): void {
    if (!this.#json && !this.isLive) process.stdout.write(`\n${lines.join("\n")}\n\n`);
  }

  /** What there is to see now, at a terminal. */
  draw(picture: readonly string[]): void {
    if (!this.isLive) return;
    this.#picture = picture;
    const room = Math.max(0, this.rows - 2 - picture.length);
    const notes = this.#notes.slice(-Math.min(NOTES, room));
    const lines = [...picture, "", ...(room > 0 ? notes : [])].slice(0, this.rows - 1);
    const up = this.#height > 0 ? `\u001b[${this.#height}A\r` : "\r";
    const text = lines.map((line) => `${cut(line, this.columns - 1)}${CLEAR_LINE_END}\n`).join("");
    process.stdout.write(up + text + CLEAR_BELOW);
    this.#height = lines.length;
  }

  /** How it ended. The last picture stays where it is. */
  end(lines: readonly string[], facts: Readonly<Record<string, unknown>>): void {
    if (this.#json) process.stdout.write(`${JSON.stringify({ event: "end", ...facts })}\n`);
    else process.stdout.write(`${this.isLive ? "\n" : ""}${lines.join("\n")}\n`);
    process.off("exit", this.#showCursor);
    if (this.isLive) this.#showCursor();
  }
}
