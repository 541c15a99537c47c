/** Takes the TypeScript out of the documentation, type-checks it and runs it. */
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

export interface Example {
  /** Where the code stands, for example `README.md:12`. */
  readonly place: string;
  readonly line: number;
  readonly document: string;
  readonly code: string;
  /** False for a fence marked `no-run`, which is only type-checked. */
  readonly run: boolean;
}

/** The examples of README.md, docs and the `@example` blocks of src, under the folder `root`. */
export function findExamples(root: string): readonly Example[] {
  const documents = [
    ...(existsSync(join(root, "README.md")) ? ["README.md"] : []),
    ...list(root, "docs", ".md"),
  ];
  const read = (document: string): string => readFileSync(join(root, document), "utf8");
  return [
    ...documents.flatMap((document) => fences(document, read(document).split("\n"))),
    ...list(root, "src", ".ts").flatMap((document) => tsdocExamples(document, read(document))),
  ];
}

function list(root: string, folder: string, suffix: string): readonly string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(suffix))
    .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
    .sort();
}

/** The ```ts fences in some lines of a document; `above` lines of it come before them. */
function fences(document: string, lines: readonly string[], above = 0): readonly Example[] {
  const found: Example[] = [];
  for (let index = 0; index < lines.length; index++) {
    const open = /^(\s*)(`{3,}|~{3,})\s*(.*)$/.exec(lines[index] ?? "");
    if (open === null) continue;
    const [, indent = "", fence = "", info = ""] = open;
    const body: string[] = [];
    const line = above + index + 2;
    for (index++; index < lines.length && lines[index]?.trim() !== fence; index++) {
      const text = lines[index] ?? "";
      body.push(text.startsWith(indent) ? text.slice(indent.length) : text.trimStart());
    }
    const [language, ...marks] = info.trim().split(/\s+/);
    if (language !== "ts" && language !== "typescript") continue;
    found.push({
      place: `${document}:${line}`,
      line,
      document,
      code: body.join("\n"),
      run: !marks.includes("no-run"),
    });
  }
  return found;
}

/** The code of every `@example`: its fences, or all its text when it has none. */
function tsdocExamples(document: string, text: string): readonly Example[] {
  const found: Example[] = [];
  for (const comment of text.matchAll(/^[ \t]*\/\*\*.*?\*\//gms)) {
    const above = text.slice(0, comment.index).split("\n").length - 1;
    const lines = comment[0]
      .split("\n")
      .map((line) => line.replace(/^\s*(\/\*\*|\*(?!\/))? ?/, ""));
    lines[lines.length - 1] = (lines.at(-1) ?? "").replace(/\s*\*\/$/, "");
    for (let index = 0; index < lines.length; index++) {
      if (!/^\s*@example\b/.test(lines[index] ?? "")) continue;
      const next = lines.findIndex((line, at) => at > index && /^\s*@\w+/.test(line));
      const block = lines.slice(index + 1, next < 0 ? lines.length : next);
      const fenced = block.some((line) => /^\s*(`{3,}|~{3,})/.test(line));
      const line = above + index + 2;
      if (fenced) found.push(...fences(document, block, line - 1));
      else if (block.some((text) => text.trim() !== ""))
        found.push({
          place: `${document}:${line}`,
          line,
          document,
          code: block.join("\n"),
          run: true,
        });
    }
  }
  return found;
}

/**
 * Writes the examples as files into a new folder below `.examples` of the project, where the
 * package's own name leads to its source. Each keeps the line numbers of its document.
 */
export function writeExamples(project: string, examples: readonly Example[]): WrittenExamples {
  mkdirSync(join(project, ".examples"), { recursive: true });
  const folder = mkdtempSync(join(project, ".examples/run-"));
  const files = new Map<string, Example>();
  for (const example of examples) {
    const name = `${example.document.replaceAll(/[^\w.-]+/g, "__")}-${example.line}.ts`;
    writeFileSync(join(folder, name), `${"\n".repeat(example.line - 1)}${example.code}\n`);
    files.set(name, example);
  }
  const options = {
    noUnusedLocals: false,
    noUnusedParameters: false,
    declaration: false,
    isolatedDeclarations: false,
  };
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ extends: "../../tsconfig.json", compilerOptions: options, include: ["*.ts"] }),
  );
  return { project, folder, files };
}

export interface WrittenExamples {
  readonly project: string;
  readonly folder: string;
  /** Which example each file holds. */
  readonly files: ReadonlyMap<string, Example>;
}

export function removeExamples({ folder }: WrittenExamples): void {
  rmSync(folder, { recursive: true, force: true });
}

/** Type-checks all written examples at once; one line for each thing wrong. */
export async function checkTypes({ project, folder, files }: WrittenExamples): Promise<string[]> {
  if (files.size === 0) return [];
  const compiler = join(project, "node_modules/typescript/bin/tsc");
  const done = await runNode([compiler, "-p", folder, "--pretty", "false"], project, 60_000);
  if (done.status === 0) return [];
  return done.output
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const error = /^(?:.*\/)?([^/]+\.ts)\((\d+),\d+\): (.*)$/.exec(line);
      const example = files.get(error?.[1] ?? "");
      return example === undefined ? line : `${example.document}:${error?.[2]}: ${error?.[3]}`;
    });
}

/** Runs one written example with this Node; what went wrong, or undefined when it ended with 0. */
export async function runExample(
  { folder, files }: WrittenExamples,
  example: Example,
  limitMs: number,
): Promise<string | undefined> {
  const name = [...files].find(([, other]) => other === example)?.[0] ?? "";
  const cwd = mkdtempSync(join(tmpdir(), "tidemark-example-"));
  try {
    const args = ["--conditions=tidemark-source", join(folder, name)];
    const { status, output } = await runNode(args, cwd, limitMs);
    if (status === 0) return undefined;
    const file = join(folder, name);
    const shown = output
      .replaceAll(pathToFileURL(file).href, example.document)
      .replaceAll(file, example.document);
    const how =
      status === undefined ? `took longer than ${limitMs / 1000} s` : `ended with ${status}`;
    return `${example.place}: the example ${how}\n${shown.trim()}`;
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

/** Runs this Node without what the test runner put into the environment. */
function runNode(
  args: readonly string[],
  cwd: string,
  limitMs: number,
): Promise<{ status: number | undefined; output: string }> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(VITEST|NODE_ENV$|NODE_OPTIONS$|TEST$|DEV$|PROD$|MODE$|SSR$)/.test(name),
    ),
  );
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let output = "";
    let late = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    const timer = setTimeout(() => {
      late = true;
      // With everything it started: an example may have children that keep its output open.
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, limitMs);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ status: late ? undefined : (code ?? 1), output });
    });
  });
}
