/** docs/use/inspect.md shows commands and what they print. `TIDEMARK_UPDATE=1` writes what they print now. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { tidemark } from "../cli/support/command.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const file = join(root, "docs/use/inspect.md");
const page = readFileSync(file, "utf8");

/** Times differ from run to run. */
const withoutTimes = (text: string): string => text.replaceAll(/[0-9.]+ m?s (?=later)/g, "T ");

/** As a shell takes it apart. */
const words = (command: string): string[] =>
  [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");

test("what docs/use/inspect.md says is printed is printed", { timeout: 60_000 }, async () => {
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
    expect(commands).toBeGreaterThan(8);
    if (process.env["TIDEMARK_UPDATE"]) writeFileSync(file, printed);
    else expect(withoutTimes(printed)).toBe(withoutTimes(page));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
