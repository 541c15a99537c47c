/**
 * Where a chat is typed and shown. At a terminal the line that is being typed stays whole, below everything else: what is shown is
 * written over it, and it is drawn again. Elsewhere lines come in and go out.
 */

import {
  clearScreenDown,
  createInterface,
  cursorTo,
  type Interface,
  moveCursor,
} from "node:readline";
import type { ReadStream } from "node:tty";
import { isLive, type Output, width } from "./terminal.ts";

/** So many lines wait to be taken before no more are read. */
const WAITING_MAX = 100;

export class ChatScreen {
  /** Whether somebody types. */
  readonly live: boolean;
  readonly #input: Interface;
  readonly #output: Output;
  #prompt = "";
  #ended: boolean = false;
  #stopped: boolean = false;
  /** Not taken yet; the first ones may come before anybody takes any. */
  readonly #lines: string[] = [];
  #wake: () => void = () => {};

  /** @param plain no prompt, even at a terminal */
  constructor(input: NodeJS.ReadableStream, output: Output, plain: boolean) {
    this.live = !plain && (input as ReadStream).isTTY === true && isLive(output);
    this.#output = output;
    this.#input = createInterface({
      input,
      ...(this.live ? { output } : {}),
      terminal: this.live,
    });
    this.#input.once("close", () => {
      this.#ended = true;
      this.#wake();
      // No prompt stays without anybody to read what is typed.
      if (this.live) this.#toStart(this.#input.getCursorPos().rows);
    });
    this.#input.on("line", (line) => {
      if (this.live) this.#typed(line);
      this.#lines.push(line);
      if (this.#lines.length >= WAITING_MAX) this.#input.pause();
      this.#wake();
    });
    // Otherwise the first one would only be shown as ^C.
    this.#input.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  }

  /** What is typed, until the end of the input or of the screen. */
  async *lines(): AsyncGenerator<string> {
    while (!this.#stopped) {
      const line = this.#lines.shift();
      if (line !== undefined) yield line;
      else if (this.#ended) return;
      else {
        this.#input.resume();
        await new Promise<void>((wake) => {
          this.#wake = wake;
        });
      }
    }
  }

  /** What stands before the line that is typed. */
  set prompt(text: string) {
    this.#prompt = text;
    if (!this.live || this.#ended) return;
    this.#input.setPrompt(text);
    this.#input.prompt(true);
  }

  print(lines: readonly string[]): void {
    if (lines.length === 0) return;
    const text = lines.map((line) => `${line}\n`).join("");
    if (!this.live || this.#ended) {
      this.#output.write(text);
      return;
    }
    const { rows } = this.#input.getCursorPos();
    this.#toStart(rows);
    // Drawing goes up by so many rows as it remembers, which are others after something was pasted.
    const { prevRows = rows } = this.#input as { readonly prevRows?: number };
    this.#output.write(text + "\n".repeat(prevRows));
    this.#input.prompt(true);
  }

  end(): void {
    this.#stopped = true;
    if (!this.#ended) this.#input.close();
  }

  /** Takes what was said off the screen: it is shown again, with its time, when it is heard. Commands stay. */
  #typed(line: string): void {
    const columns = this.#output.columns || 80;
    if (!/^\s*\/[^/]/.test(line))
      this.#toStart(1 + Math.floor((width(this.#prompt) + columnsOf(line)) / columns));
    this.#input.prompt();
  }

  #toStart(rows: number): void {
    cursorTo(this.#output, 0);
    moveCursor(this.#output, 0, -rows);
    clearScreenDown(this.#output);
  }
}

const WIDE =
  /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/u;

/** How many columns a terminal needs for it, as far as that is known. */
function columnsOf(line: string): number {
  return [...line].reduce((sum, character) => sum + (WIDE.test(character) ? 2 : 1), 0);
}
