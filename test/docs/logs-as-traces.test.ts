import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tidemark } from "../cli/support/command.ts";
import { expectPrinted, root } from "./printed.ts";

test("what docs/use/logs-as-traces.md says is printed is printed", {
  timeout: 60_000,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-traces-"));
  for (const name of ["answered.log", "hurried.log"])
    copyFileSync(join(root, "examples/traces", name), join(directory, name));
  const page = { page: "docs/use/logs-as-traces.md", comparable: (text: string) => text, least: 7 };
  try {
    await expectPrinted(page, async (_, args) => {
      const inDirectory = args.map((one) =>
        /\.(log|jsonl)$/.test(one) ? join(directory, one) : one,
      );
      const { stdout, stderr } = await tidemark(inDirectory);
      expect(stderr).toBe("");
      return stdout.replaceAll(`${directory}/`, "");
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
