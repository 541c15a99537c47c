import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type Files, readFiles } from "./modules.ts";
import { badText } from "./text.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** All files that git keeps or would keep; without git, those that hold the code. */
function trackedFiles(): Files {
  try {
    const names = execFileSync("git", ["ls-files", "-z", "-co", "--exclude-standard"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const files = names.split("\0").filter((name) => name !== "" && existsSync(`${root}/${name}`));
    return new Map(
      files
        .map((name) => [name, readFileSync(`${root}/${name}`, "utf8")] as const)
        .filter(([, text]) => !text.includes("\0")),
    );
  } catch {
    return new Map(["src", "test", "tools"].flatMap((folder) => [...readFiles(root, folder, "")]));
  }
}

test("no text holds what is banned", () => {
  expect(badText(trackedFiles())).toEqual([]);
});

describe("a planted text is reported with its line and what to write instead", () => {
  const cases: readonly [path: string, text: string, instead: RegExp][] = [
    ["src/core/a.ts", `// ${"TO"}DO later`, /do it now/],
    ["test/a.test.ts", `const x = y as ${"any"};`, /use unknown/],
    ["tools/a.mjs", `// @ts-${"ignore"}`, /@ts-expect-error/],
    ["src/core/a.ts", "\tx();", /spaces/],
    ["src/core/a.ts", `// ${"long ".repeat(30)}`, /at most 140/],
    ["README.md", `see ${"/ho"}me/someone/project`, /relative to the project/],
    ["docs/a.md", `from ${"https"}://registry.example.org/x`, /package name is enough/],
    ["package-lock.json", `  "resolved": "${"https"}://example.org/x.tgz",`, /names no registry/],
  ];
  test.each(cases)("%s: %s", (path, text, instead) => {
    const bad = badText(new Map([[path, `fine\n${text}\nfine`]]));
    expect(bad).toHaveLength(1);
    expect(bad[0]).toMatch(instead);
    expect(bad[0]).toMatch(`${path}:2: `);
  });
});

test("ordinary text passes", () => {
  const files = new Map([
    ["README.md", "npm install, ~/backups, /tmp/x, https://www.npmjs.com/package/tidemark"],
    ["src/core/a.ts", 'import "../work/x.ts"; // has anything to do with it'],
  ]);
  expect(badText(files)).toEqual([]);
});
