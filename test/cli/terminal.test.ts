import { Writable } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  cut,
  fitted,
  grouped,
  LiveRegion,
  type Output,
  padded,
  printable,
  table,
  width,
} from "../../src/cli/terminal.ts";
import { byteSize, duration } from "../../src/core/quantity.ts";

describe("numbers", () => {
  test("are grouped", () => {
    expect([0, 12, 999, 1000, 1234567, 4000].map(grouped)).toEqual([
      "0",
      "12",
      "999",
      "1,000",
      "1,234,567",
      "4,000",
    ]);
  });

  test("are told as exactly as there is room for, and never take more", () => {
    expect(fitted(1_234_567, 9)).toBe("1,234,567");
    expect(fitted(1_234_567, 8)).toBe("1234567");
    expect(fitted(1_234_567, 6)).toBe("1.2M");
    expect(fitted(999_949, 5)).toBe("1000k");
    fc.assert(
      fc.property(fc.nat({ max: 1e15 }), fc.integer({ min: 5, max: 20 }), (value, room) => {
        expect(fitted(value, room).length).toBeLessThanOrEqual(room);
      }),
    );
  });

  test("are followed by a unit that suits them", () => {
    expect([0.349, 9.999, 41.4, 2500, 65_000, 3_600_000].map(duration)).toEqual([
      "0.35 ms",
      "10 ms",
      "41 ms",
      "2.5 s",
      "1 min 5 s",
      "1 h 0 min",
    ]);
    expect([0, 812, 4300, 5 * 2 ** 30].map(byteSize)).toEqual([
      "0 B",
      "812 B",
      "4.2 KiB",
      "5.0 GiB",
    ]);
  });
});

describe("text", () => {
  test("from outside cannot drive the terminal", () => {
    expect(printable("a\u001b[2Jb\u0007c\r\u202ed\u009b1m")).toBe("a?[2Jb?c??d?1m");
    expect(printable("first\n  second")).toBe("first second");
  });

  test("is cut to a width without cutting a style in two", () => {
    expect(cut("abcdef", 6)).toBe("abcdef");
    expect(cut("abcdefg", 6)).toBe("abcde…");
    expect(cut("\u001b[31mabcdefg\u001b[39m", 4)).toBe("\u001b[31mabc…\u001b[0m");
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("a", "→", "\u001b[1m", "\u001b[22m")),
        fc.integer({ min: 1, max: 9 }),
        (parts, columns) => {
          expect(width(cut(parts.join(""), columns))).toBeLessThanOrEqual(columns);
        },
      ),
    );
  });

  test("stands in columns", () => {
    expect(
      table(
        [
          ["a", "b", "c"],
          ["long", "1", ""],
          ["x", "22", "end"],
        ],
        "<><",
      ),
    ).toEqual(["a      b  c", "long   1", "x     22  end"]);
    expect([padded("✓", 3), padded("✓", 3, "right")]).toEqual(["✓  ", "  ✓"]);
  });
});

const ESCAPE = "\u001b";
const ESCAPE_OR_CHARACTER = new RegExp(`${ESCAPE}\\[[?0-9;]*[A-Za-z]|.`, "gsu");

/** What a terminal of that size shows: as much of one as the region needs, which wraps like a real one. */
class Screen extends Writable {
  columns: number;
  rows: number;
  cursorShown = true;
  /** Everything, with what has scrolled away. */
  lines: string[] = [""];
  #row = 0;
  #column = 0;

  constructor(columns: number, rows: number) {
    super({ decodeStrings: false });
    this.columns = columns;
    this.rows = rows;
  }

  override _write(text: string, _encoding: string, done: () => void): void {
    for (const [piece] of text.matchAll(ESCAPE_OR_CHARACTER)) this.#take(piece);
    done();
  }

  get #top(): number {
    return Math.max(0, this.lines.length - this.rows);
  }

  #take(piece: string): void {
    if (piece === "\n") {
      this.#row += 1;
      this.#column = 0;
      if (this.#row === this.lines.length) this.lines.push("");
    } else if (piece === "\r") this.#column = 0;
    else if (piece === "\u001b[K") this.lines[this.#row] = this.#before();
    else if (piece === "\u001b[J") {
      this.lines[this.#row] = this.#before();
      this.lines.length = this.#row + 1;
    } else if (piece === "\u001b[2J") this.lines.length = this.#top;
    else if (piece === "\u001b[H") {
      this.#row = this.lines.length;
      this.#column = 0;
      this.lines.push("");
    } else if (piece.endsWith("A"))
      this.#row = Math.max(this.#top, this.#row - Number(piece.slice(2, -1)));
    else if (piece === "\u001b[?25l") this.cursorShown = false;
    else if (piece === "\u001b[?25h") this.cursorShown = true;
    else if (piece.length > 2)
      throw new Error(`an escape that is not known: ${JSON.stringify(piece)}`);
    else {
      if (this.#column >= this.columns) this.#take("\n");
      const line = this.lines[this.#row] ?? "";
      this.lines[this.#row] = this.#before() + piece + line.slice(this.#column + 1);
      this.#column += 1;
    }
  }

  #before(): string {
    return (this.lines[this.#row] ?? "").slice(0, this.#column).padEnd(this.#column);
  }

  /** The last lines that are there, without the one that the cursor stands in. */
  shown(count: number): string[] {
    return this.lines.slice(0, -1).slice(-count || this.lines.length);
  }
}

const lineList = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "→"), maxLength: 30 }), {
  maxLength: 12,
});
const action = fc.oneof(
  fc.record({ draw: lineList }),
  fc.record({ say: fc.stringMatching(/^[x-z]{1,9}$/) }),
  fc.record({
    resize: fc.tuple(fc.integer({ min: 10, max: 40 }), fc.integer({ min: 3, max: 15 })),
    draw: lineList,
  }),
);

describe("a live region", () => {
  test("shows the last picture, and above it all that was said, whatever came before", () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 20 }), (actions) => {
        const screen = new Screen(20, 10);
        screen.write("$ command\n");
        const region = new LiveRegion(screen as Output);
        let picture: readonly string[] = [];
        const said: string[] = [];
        for (const step of actions) {
          if ("say" in step) {
            region.say(step.say);
            said.push(step.say);
          } else {
            picture = step.draw;
            if ("resize" in step) {
              [screen.columns, screen.rows] = step.resize;
              region.redrawAll(picture);
            } else region.draw(picture);
          }
          const expected = picture
            .slice(0, screen.rows - 1)
            .map((line) => cut(line, screen.columns - 1));
          expect(
            screen.shown(expected.length).slice(-expected.length || Number.POSITIVE_INFINITY),
          ).toEqual(expected);
          expect(screen.cursorShown).toBe(false);
        }
        region.end();
        expect(screen.cursorShown).toBe(true);
        const lines = screen.lines.filter((line) => said.includes(line));
        // What a resize cleared off the screen is gone; otherwise all of it is still there, in order.
        if (!actions.some((step) => "resize" in step)) expect(lines).toEqual(said);
      }),
    );
  });

  test("writes a picture in one go, and overwrites before it clears", () => {
    const writes: string[] = [];
    const stream = new Writable({
      decodeStrings: false,
      write(text: string, _encoding, done) {
        writes.push(text);
        done();
      },
    });
    const region = new LiveRegion(stream as Output);
    region.draw(["one", "two"]);
    writes.length = 0;
    region.draw(["three"]);
    region.end();
    expect(writes).toEqual(["\u001b[2A\rthree\u001b[K\n\u001b[J", "\u001b[?25h"]);
  });
});
