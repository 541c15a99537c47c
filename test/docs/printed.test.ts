/** Some pages show commands and what they print. `TIDEMARK_UPDATE=1` writes what they print now. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { tidemark } from "../cli/support/command.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Times differ from run to run. */
const withoutLater = (text: string): string => text.replaceAll(/[0-9.]+ m?s (?=later)/g, "T ");
const withoutTimes = (text: string): string =>
  text
    .replaceAll(/[0-9.]+ m?s\b/g, "T")
    .replaceAll(/[0-9]{4}-[0-9-]+T[0-9:.]+Z/g, "DATE")
    // How wide a column is depends on them.
    .replaceAll(/ {2,}/g, "  ");
/** Whose part takes longest, too. */
const withoutLast = (text: string): string =>
  withoutTimes(text).replaceAll(/(channels of |more: )(shop|till|warehouse)\b/g, "$1WHO");

const PAGES = [
  { page: "docs/use/inspect.md", comparable: withoutLater, least: 9 },
  { page: "docs/operate/attempts.md", comparable: withoutLast, least: 4 },
];

/** As a shell takes it apart. */
const words = (command: string): string[] =>
  [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");

test.for(PAGES)("what $page says is printed is printed", { timeout: 60_000 }, async (one) => {
  const file = join(root, one.page);
  const page = readFileSync(file, "utf8");
  const directory = mkdtempSync(join(tmpdir(), "tidemark-inspect-"));
  try {
    const run = async (command: string): Promise<string> => {
      const [program, ...args] = words(command);
      if (program === "node") {
        const all = ["--conditions=tidemark-source", ...args, directory];
        return execFileSync(process.execPath, all, { cwd: root, encoding: "utf8" });
      }
      const { stdout, stderr } = await tidemark([...args, "--dir", directory]);
      expect(stderr).toBe("");
      return stdout;
    };
    let printed = "";
    let commands = 0;
    for (const [i, block] of page.split("```\n").entries()) {
      // Between the first and the second fence, the third and the fourth …; a block of TypeScript ends with a fence of its own.
      if (i > 0) printed += "```\n";
      if (!block.startsWith("$ ")) {
        printed += block;
        continue;
      }
      for (const line of block.split("\n").filter((text) => text.startsWith("$ "))) {
        printed += `${line}\n${await run(line.slice(2))}`;
        commands += 1;
      }
    }
    expect(commands).toBeGreaterThanOrEqual(one.least);
    if (process.env["TIDEMARK_UPDATE"]) writeFileSync(file, printed);
    else expect(one.comparable(printed)).toBe(one.comparable(page));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
