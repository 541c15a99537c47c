import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CAUSES } from "../../src/process/causes.ts";

test("docs/operate/causes.md has every code, and says what it means as the code does", () => {
  const text = readFileSync(new URL("../../docs/operate/causes.md", import.meta.url), "utf8");
  const rows = [...text.matchAll(/^\| `([A-Z_]+)` \| (.+?) \| .+ \|$/gm)].map(
    ([, code, meaning]) => [code, meaning],
  );
  expect(rows).toEqual(Object.entries(CAUSES));
});
