import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { readFiles } from "./modules.ts";
import { badImports, rooms } from "./rooms.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const manifest = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));

test("every import in src keeps to the table of rooms", () => {
  expect(badImports(readFiles(root, "src"), Object.keys(manifest.dependencies))).toEqual([]);
});

test("the compiler and the linter hold the same rooms to be pure", () => {
  const pure = Object.keys(rooms).filter((name) => rooms[name]?.pure);
  const compiler = JSON.parse(readFileSync(`${root}/tsconfig.pure.json`, "utf8"));
  const linter = JSON.parse(readFileSync(`${root}/biome.json`, "utf8"));
  const override = linter.overrides.find((entry: { plugins?: unknown }) => entry.plugins);
  expect([...compiler.include].sort()).toEqual(pure.map((name) => `src/${name}`).sort());
  expect([...override.includes].sort()).toEqual(pure.map((name) => `src/${name}/**`).sort());
});

test("every import of the page keeps to what a browser has", () => {
  const files = new Map([...readFiles(root, "web"), ...readFiles(root, "web", ".tsx")]);
  expect(files.size).toBeGreaterThan(10);
  const packages = [
    ...Object.keys(manifest.dependencies),
    ...Object.keys(manifest.devDependencies),
  ];
  expect(badImports(files, packages)).toEqual([]);
});

describe("a planted import is reported with its file, line and rule", () => {
  const cases: readonly [what: string, path: string, text: string, rule: RegExp][] = [
    ["upwards", "src/core/a.ts", 'import { x } from "../link/x.ts";', /core may import no other/],
    ["sideways", "src/link/a.ts", 'import "../snapshot/x.ts";', /link may import only core/],
    ["of a type", "src/core/a.ts", 'import type { X } from "../sim/x.ts";', /core may import no/],
    ["passed on", "src/core/a.ts", 'export * from "../sim/x.ts";', /core may import no other room/],
    [
      "named and passed on",
      "src/kv/a.ts",
      'export { x } from "../sim/x.ts";',
      /kv may import only/,
    ],
    ["dynamic", "src/kv/a.ts", 'await import("../cli/x.ts");', /kv may import only core, process/],
    ["in a type", "src/kv/a.ts", 'type X = import("../cli/x.ts").X;', /kv may import only/],
    ["as a child", "src/kv/a.ts", 'new URL("../cli/x.ts", import.meta.url);', /kv may import only/],
    ["of Node in a pure room", "src/kv/a.ts", 'import "node:fs";', /imports no package/],
    ["of a package in a pure room", "src/kv/a.ts", 'import "msgpackr";', /imports no package/],
    ["of an unlisted package", "src/runtime/a.ts", 'import "left-pad";', /"left-pad" is not among/],
    ["of cli by a door", "src/index.ts", 'import "./cli/main.ts";', /door may not import cli/],
    [
      "of a door by a room",
      "src/core/a.ts",
      'import "../index.ts";',
      /core may import no other room/,
    ],
    ["of itself by name", "src/cli/a.ts", 'import "tidemark/kv";', /by relative path/],
    ["out of src", "src/core/a.ts", 'import "../../test/x.ts";', /only from src/],
    ["of I/O by the page", "web/a.ts", 'import "../src/runtime/x.ts";', /only pure rooms/],
    ["of Node by the page", "web/b/a.ts", 'import "node:fs";', /nothing of Node/],
    ["in an unknown room", "src/misc/a.ts", "", /"misc" is not a room/],
  ];
  test.each(cases)("%s", (_, path, text, rule) => {
    const bad = badImports(new Map([[path, `\n${text}`]]), ["msgpackr"]);
    expect(bad).toHaveLength(1);
    expect(bad[0]).toMatch(rule);
    expect(bad[0]).toMatch(text === "" ? `${path}: ` : `${path}:2: `);
  });
});

test("imports the table allows pass", () => {
  const files = new Map([
    ["src/index.ts", 'export { run } from "./runtime/a.ts";'],
    ["src/core/a.ts", 'import { b } from "./b.ts"; // import "../cli/x.ts"'],
    ["src/link/a.ts", 'import { b } from "../core/b.ts"; const text = "import \'../cli/x.ts\'";'],
    [
      "src/runtime/a.ts",
      'import { pack } from "msgpackr"; import { open } from "node:fs/promises";',
    ],
    ["src/nats/a.ts", 'import type { Transport } from "../runtime/transport.ts";'],
    ["src/cli/a.ts", 'import { run } from "../index.ts";'],
  ]);
  expect(badImports(files, ["msgpackr"])).toEqual([]);
});
