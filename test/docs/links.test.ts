import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "./printed.ts";

/** Its text without what is between fences. */
const proseOf = (text: string): string => text.replaceAll(/^(```|~~~).*?^\1/gms, "");

const headingsOf = (text: string): readonly string[] =>
  [...proseOf(text).matchAll(/^#{1,6} (.*)$/gm)].map(([, heading]) => String(heading));

/** What a heading is called behind the `#` of a link. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

/** What is wrong with headings and links. @param pages by path @param isFile whether there is one of that path */
function wrongLinks(
  pages: ReadonlyMap<string, string>,
  isFile: (path: string) => boolean,
): readonly string[] {
  const wrong: string[] = [];
  for (const [path, text] of pages) {
    const headings = headingsOf(text).map(anchorOf);
    for (const twice of headings.filter((one, i) => headings.indexOf(one) < i))
      wrong.push(`${path}: has the heading ${twice} twice`);
    for (const [, link = ""] of proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)) {
      const [file = "", anchor] = link.split("#");
      if (/^[a-z]+:/.test(link)) continue;
      const target = file === "" ? path : join(dirname(path), file);
      const page = pages.get(target);
      if (!isFile(target)) wrong.push(`${path}: ${link} leads to no file`);
      else if (anchor !== undefined && page && !headingsOf(page).map(anchorOf).includes(anchor))
        wrong.push(`${path}: ${link} leads to no heading`);
    }
  }
  return wrong;
}

test("links in the documentation lead somewhere, and no page has a heading twice", () => {
  const inDocs = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" });
  const paths = [...readdirSync(root), ...inDocs.map((name) => join("docs", name))];
  const pages = new Map(
    paths
      .filter((path) => path.endsWith(".md"))
      .map((path) => [path, readFileSync(join(root, path), "utf8")]),
  );
  expect(pages.size).toBeGreaterThan(10);
  expect(wrongLinks(pages, (path) => existsSync(join(root, path)))).toEqual([]);
});

describe("a planted fault is told", () => {
  test.each([
    ["# One\n## Two\n## Two", "has the heading two twice"],
    ["# One\n[there](none.md)", "none.md leads to no file"],
    ["# One\n[there](a.md#three)", "a.md#three leads to no heading"],
    ["# One\n[there](#two)", "#two leads to no heading"],
  ])("%j", (text, fault) => {
    const pages = new Map([["a.md", text]]);
    expect(wrongLinks(pages, (path) => pages.has(path))).toEqual([`a.md: ${fault}`]);
  });
});
