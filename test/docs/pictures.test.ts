import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { drawPicture, pictures } from "../../tools/pictures.ts";
import { root } from "./printed.ts";

test.for(pictures)("$file is what `npm run pictures` draws", (picture) => {
  expect(readFileSync(join(root, picture.file), "utf8")).toBe(drawPicture(picture));
});

test("no picture is left that nothing draws, and each is shown", () => {
  const files = readdirSync(join(root, "docs/learn/pictures")).sort();
  expect(files.map((name) => `docs/learn/pictures/${name}`)).toEqual(
    pictures.map(({ file }) => file).sort(),
  );
  const pages = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => readFileSync(join(root, "docs", name), "utf8"))
    .join("\n");
  for (const name of files) expect(pages).toContain(`pictures/${name})`);
});
