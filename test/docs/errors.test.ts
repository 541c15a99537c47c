import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ERROR_CODES } from "../../src/core/error.ts";

test("docs/operate/errors.md lists exactly the codes there are, with their fault and meaning", () => {
  const page = readFileSync(new URL("../../docs/operate/errors.md", import.meta.url), "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("| `"));
  const expected = Object.entries(ERROR_CODES).map(
    ([code, [fault, meaning]]) => `| \`${code}\` | ${fault} | ${meaning} |`,
  );
  expect(rows).toEqual(expected);
});
