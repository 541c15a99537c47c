import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tidemark } from "../cli/support/command.ts";
import { expectPrinted, root } from "./printed.ts";

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
  { page: "docs/operate/attempts.md", comparable: withoutLast, least: 5 },
];

test.for(PAGES)("what $page says is printed is printed", { timeout: 60_000 }, async (one) => {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-inspect-"));
  try {
    await expectPrinted(one, async (program, args) => {
      if (program === "node") {
        const all = ["--conditions=tidemark-source", ...args, directory];
        return execFileSync(process.execPath, all, { cwd: root, encoding: "utf8" });
      }
      const { stdout, stderr } = await tidemark([...args, "--dir", directory]);
      expect(stderr).toBe("");
      return stdout;
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
