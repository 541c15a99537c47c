import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { deadExports, deadFiles } from "./dead-code.ts";
import { readFiles } from "./modules.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const manifest = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));

const doors: readonly string[] = Object.values<Record<string, string> | string>(manifest.exports)
  .map((door) => (typeof door === "string" ? door : (door["tidemark-source"] ?? "")))
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.replace("./", ""));

const bins = Object.values<string>(manifest.bin).map((file) =>
  file.replace("dist/", "src/").replace(".js", ".ts"),
);

/** Child processes whose file is not written as `new URL("./file.ts", import.meta.url)`. */
const children: readonly string[] = [];

describe("in src and in the page", () => {
  const files = readFiles(root, "src");
  const web = new Map([...readFiles(root, "web"), ...readFiles(root, "web", ".tsx")]);
  const page = ["web/main.tsx"];
  // Half a source tree has files that wait for their door.
  const whole = [...doors, ...bins].every((path) => files.has(path));

  test.runIf(whole)(
    "a public door, the bin, a child process or the page leads to every file",
    () => {
      const dead = deadFiles(new Map([...files, ...web]), [
        ...doors,
        ...bins,
        ...children,
        ...page,
      ]);
      expect(dead).toEqual([]);
    },
  );

  test.runIf(whole)("somebody uses every export", () => {
    const users = new Map(
      ["test", "bench", "examples", "tools"].flatMap((folder) => [...readFiles(root, folder)]),
    );
    expect(deadExports(new Map([...files, ...web]), [...doors, ...page], users)).toEqual([]);
  });

  test("the files at the top are the doors of package.json", () => {
    const top = [...files.keys()].filter((path) => path.split("/").length === 2);
    expect(top.filter((path) => !doors.includes(path))).toEqual([]);
  });
});

describe("a planted dead file is reported", () => {
  const files = new Map([
    ["src/index.ts", 'export { used } from "./core/used.ts";'],
    ["src/core/used.ts", 'new URL("./child.ts", import.meta.url); export const used = 1;'],
    ["src/core/child.ts", 'import type { Deep } from "./deep.ts"; await import("./later.ts");'],
    ["src/core/deep.ts", "export type Deep = 1;"],
    ["src/core/later.ts", ""],
    ["src/core/lost.ts", 'import "./also-lost.ts";'],
    ["src/core/also-lost.ts", 'import "./lost.ts";'],
  ]);
  test("and only that", () => {
    const dead = deadFiles(files, ["src/index.ts"]);
    expect(dead.map((line) => line.split(":")[0])).toEqual([
      "src/core/lost.ts",
      "src/core/also-lost.ts",
    ]);
  });
});

describe("a planted dead export is reported", () => {
  const dead = (files: Record<string, string>, users: Record<string, string> = {}) =>
    deadExports(
      new Map(Object.entries({ "src/index.ts": "", ...files })),
      ["src/index.ts"],
      new Map(Object.entries(users)),
    );

  test("when nobody imports it", () => {
    expect(dead({ "src/core/a.ts": "\nexport const lost = 1;" })).toEqual([
      'src/core/a.ts:2: nothing uses the export "lost"; delete it',
    ]);
  });

  test("when only its own module uses it", () => {
    const text = "export const near = 1; near;";
    expect(dead({ "src/core/a.ts": text })[0]).toMatch(/"near"; drop the word export/);
  });

  test("when only a test uses it", () => {
    const files = { "src/core/a.ts": "export const tested = 1;" };
    const users = { "test/a.test.ts": 'import { tested } from "../src/core/a.ts";' };
    expect(dead(files, users)).toHaveLength(1);
  });

  test("when it is only passed on by a room", () => {
    const files = {
      "src/core/a.ts": "export const x = 1;",
      "src/core/b.ts": 'export { x as y } from "./a.ts";',
    };
    expect(dead(files)).toHaveLength(2);
  });

  test("but not when a door passes it on, by name or as a whole", () => {
    const a = { "src/core/a.ts": "export const x = 1; export const z = 2;" };
    expect(dead({ ...a, "src/index.ts": 'export { x as y, z } from "./core/a.ts";' })).toEqual([]);
    expect(dead({ ...a, "src/index.ts": 'export * from "./core/a.ts";' })).toEqual([]);
    const b = { "src/core/b.ts": 'export * from "./a.ts";' };
    expect(dead({ ...a, ...b, "src/index.ts": 'export { x, z } from "./core/b.ts";' })).toEqual([]);
  });

  test("but not when it is imported, also as a type, in a type or as a namespace", () => {
    const a = { "src/core/a.ts": "export type X = 1;" };
    for (const user of [
      'import type { X } from "./a.ts"; type Y = X;',
      'type Y = import("./a.ts").X;',
      'import * as a from "./a.ts";',
    ]) {
      expect(dead({ ...a, "src/core/b.ts": user })).toEqual([]);
    }
  });

  test("but not when it is a type that belongs to another export", () => {
    const text = "export interface Options {} export function f(options: Options): void {}";
    expect(
      dead({ "src/core/a.ts": text, "src/index.ts": 'export { f } from "./core/a.ts";' }),
    ).toEqual([]);
  });
});
