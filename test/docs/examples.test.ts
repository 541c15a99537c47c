import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import {
  checkTypes,
  findExamples,
  removeExamples,
  runExample,
  type WrittenExamples,
  writeExamples,
} from "./examples.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));
const limitMs = 20_000;

describe("in the documentation and in src", () => {
  const examples = findExamples(project);
  const written = writeExamples(project, examples);
  afterAll(() => removeExamples(written));

  test("the types of all examples are right", { timeout: 60_000 }, async () => {
    expect(await checkTypes(written)).toEqual([]);
  });

  for (const example of examples.filter(({ run }) => run)) {
    test.concurrent(`${example.place} runs`, { timeout: 2 * limitMs }, async () => {
      expect(await runExample(written, example, limitMs)).toBeUndefined();
    });
  }
});

describe("planted examples", () => {
  /** Examples of a made-up project, written where the real ones go. */
  function plant(documents: Record<string, string>): WrittenExamples {
    const folder = mkdtempSync(join(tmpdir(), "tidemark-docs-"));
    for (const [name, text] of Object.entries(documents)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    const written = writeExamples(project, findExamples(folder));
    onTestFinished(() => {
      removeExamples(written);
      rmSync(folder, { recursive: true, force: true });
    });
    return written;
  }
  const fence = "```";

  test("are found in README.md, docs and @example, other fences are not", () => {
    const { files } = plant({
      "README.md": `# A\n\n${fence}sh\nls\n${fence}\n\n${fence}ts\nlet a = 1;\n${fence}\n`,
      "docs/learn/b.md": `1. B\n\n   ${fence}ts no-run\n   let b = 1;\n     b++;\n   ${fence}\n`,
      "src/core/c.ts": [
        "/**",
        " * Does c.",
        " *",
        " * @example Doing it",
        ` * ${fence}ts`,
        " * c();",
        ` * ${fence}`,
        " * @returns nothing",
        " */",
        "export const c = 1;",
        "  /**",
        "   * @example",
        "   * d();",
        "   */",
      ].join("\n"),
    });
    expect([...files.values()].map(({ place, code, run }) => [place, code.trim(), run])).toEqual([
      ["README.md:8", "let a = 1;", true],
      ["docs/learn/b.md:4", "let b = 1;\n  b++;", false],
      ["src/core/c.ts:6", "c();", true],
      ["src/core/c.ts:13", "d();", true],
    ]);
  });

  test("with a wrong type are reported with document and line", async () => {
    const text = `# A\n\n${fence}ts\nconst a = 1;\nconst b: string = a;\n${fence}\n`;
    const errors = await checkTypes(plant({ "README.md": text }));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/^README\.md:5: error TS2322/);
  });

  test("that throw are reported with document and line", async () => {
    const text = `\n${fence}ts\nthrow new Error("planted");\n${fence}\n`;
    const written = plant({ "docs/a.md": text });
    for (const example of written.files.values()) {
      const problem = await runExample(written, example, limitMs);
      expect(problem).toMatch(/^docs\/a\.md:3: the example ended with 1\n/);
      expect(problem).toMatch(/docs\/a\.md:3\n.*planted/);
    }
    expect.assertions(2);
  });

  test("that do not end are stopped and reported", async () => {
    const text = `${fence}ts\nsetInterval(() => {}, 1000);\n${fence}\n`;
    const written = plant({ "README.md": text });
    for (const example of written.files.values()) {
      expect(await runExample(written, example, 500)).toMatch(/README\.md:2.*longer than 0\.5 s/);
    }
    expect.assertions(1);
  });
});
