/** Reads the modules of src: what each imports, exports and starts as a child process. */
import { readdirSync, readFileSync } from "node:fs";
import { posix, relative } from "node:path";
import { parseSync } from "vite";

/** The source text of each file by its path in the project, with forward slashes. */
export type Files = ReadonlyMap<string, string>;

export interface Import {
  /** As written, for example `../core/id.ts` or `node:fs`. */
  readonly specifier: string;
  /** The imported names as the other module calls them; `*` when it is taken as a whole. */
  readonly names: readonly string[];
  readonly line: number;
}

export interface Export {
  readonly name: string;
  readonly isType: boolean;
  readonly line: number;
  /** Where it comes from when this module only passes it on; `*` passes on everything. */
  readonly from?: { readonly specifier: string; readonly name: string };
}

export interface Module {
  readonly path: string;
  readonly imports: readonly Import[];
  readonly exports: readonly Export[];
  /** How often each name stands in the module, its declaration included. */
  readonly uses: ReadonlyMap<string, number>;
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

export function readFiles(root: string, folder: string, suffix = ".ts"): Files {
  const files = new Map<string, string>();
  for (const name of list(`${root}/${folder}`)) {
    if (!name.endsWith(suffix)) continue;
    const path = posix.join(folder, name);
    files.set(path, readFileSync(`${root}/${path}`, "utf8"));
  }
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, `${entry.parentPath}/${entry.name}`).replaceAll("\\", "/"));
  } catch {
    return [];
  }
}

export function parseModules(files: Files): ReadonlyMap<string, Module> {
  return new Map([...files].map(([path, text]) => [path, parseModule(path, text)]));
}

/** The file a relative specifier means, or undefined for packages and built-ins. */
export function resolve(from: string, specifier: string): string | undefined {
  return specifier.startsWith(".")
    ? posix.normalize(posix.join(posix.dirname(from), specifier))
    : undefined;
}

function parseModule(path: string, text: string): Module {
  const parsed = parseSync(path, text);
  const problem = parsed.errors[0];
  if (problem !== undefined) throw new Error(`${path}: ${problem.message}`);

  const imports: Import[] = [];
  const exports: Export[] = [];
  const uses = new Map<string, number>();
  const lineOf = (offset: number): number => text.slice(0, offset).split("\n").length;

  for (const found of parsed.module.staticImports) {
    imports.push({
      specifier: found.moduleRequest.value,
      names: found.entries.map((entry) => entry.importName.name ?? wholeOrDefault(entry)),
      line: lineOf(found.start),
    });
  }
  for (const entry of parsed.module.staticExports.flatMap((found) => found.entries)) {
    const name = entry.exportName.name ?? (entry.exportName.kind === "Default" ? "default" : "*");
    const line = lineOf(entry.start);
    if (entry.moduleRequest === null) {
      exports.push({ name, isType: entry.isType, line });
      continue;
    }
    const specifier = entry.moduleRequest.value;
    const imported = entry.importName.name ?? "*";
    imports.push({ specifier, names: [], line });
    exports.push({ name, isType: entry.isType, line, from: { specifier, name: imported } });
  }
  walk(parsed.program as unknown as Node, (node) => {
    if (node.type === "Identifier" || node.type === "JSXIdentifier") {
      const name = String(node["name"]);
      uses.set(name, (uses.get(name) ?? 0) + 1);
    }
    for (const specifier of loaded(node)) {
      imports.push({ specifier, names: ["*"], line: lineOf(node.start) });
    }
  });
  return { path, imports, exports, uses };
}

function wholeOrDefault(entry: { readonly importName: { readonly kind: string } }): string {
  return entry.importName.kind === "Default" ? "default" : "*";
}

/**
 * What a node loads other than by an import declaration: `import("x")`, the type `import("x").T`,
 * and `new URL("./x.ts", import.meta.url)`, which names a file to start as a child.
 */
function loaded(node: Node): readonly string[] {
  if (node.type === "ImportExpression" || node.type === "TSImportType") {
    return strings(node["source"] ?? node["argument"]);
  }
  const callee = node["callee"] as Node | undefined;
  if (node.type === "NewExpression" && callee?.["name"] === "URL") {
    const [file, base] = node["arguments"] as readonly Node[];
    const here =
      base?.type === "MemberExpression" && (base["object"] as Node).type === "MetaProperty";
    return here ? strings(file).filter((text) => /^\.{1,2}\/.*\.ts$/.test(text)) : [];
  }
  return [];
}

function strings(value: unknown): readonly string[] {
  const found: string[] = [];
  walk(value as Node, (node) => {
    if (node.type === "Literal" && typeof node["value"] === "string") found.push(node["value"]);
  });
  return found;
}

function walk(value: unknown, visit: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const element of value) walk(element, visit);
  } else if (typeof value === "object" && value !== null) {
    if ("type" in value && typeof value.type === "string") visit(value as Node);
    for (const child of Object.values(value)) walk(child, visit);
  }
}
