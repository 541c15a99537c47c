/** Pages that show commands and what they print. `TIDEMARK_UPDATE=1` writes what they print now. */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

/** The folder of the project. */
export const root: string = fileURLToPath(new URL("../..", import.meta.url));

export interface PrintedPage {
  /** Where it is, from the folder of the project. */
  readonly page: string;
  /** What is printed, without what differs from run to run. */
  readonly comparable: (text: string) => string;
  /** So many commands it has at the least. */
  readonly least: number;
  /** They do not depend on each other. */
  readonly atOnce?: true;
}

/** As a shell takes it apart. */
const words = (command: string): string[] =>
  [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");

/** Runs the commands of a page, and compares what they print with what the page says. */
export async function expectPrinted(
  { page, comparable, least, atOnce }: PrintedPage,
  run: (program: string, args: readonly string[]) => Promise<string>,
): Promise<void> {
  const file = new URL(page, new URL("../../", import.meta.url));
  const text = readFileSync(file, "utf8");
  const pieces: (string | Promise<string>)[] = [];
  let commands = 0;
  for (const [i, block] of text.split("```\n").entries()) {
    // Between the first and the second fence, the third and the fourth …; a block of TypeScript ends with a fence of its own.
    if (i > 0) pieces.push("```\n");
    if (!block.startsWith("$ ")) {
      pieces.push(block);
      continue;
    }
    for (const line of block.split("\n").filter((one) => one.startsWith("$ "))) {
      const [program = "", ...args] = words(line.slice(2));
      const output = run(program, args);
      // What is written down is to be of a machine that does nothing else.
      if (!atOnce || process.env["TIDEMARK_UPDATE"]) await output;
      pieces.push(`${line}\n`, output);
      commands += 1;
    }
  }
  const printed = (await Promise.all(pieces)).join("");
  expect(commands).toBeGreaterThanOrEqual(least);
  if (process.env["TIDEMARK_UPDATE"]) writeFileSync(file, printed);
  else expect(comparable(printed)).toBe(comparable(text));
}
