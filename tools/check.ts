// `npm test`: every check there is, one after the other. A step that fails shows all it printed, the
// later ones still run, and the last line is the sum: `N passed, N failed`, with `, N skipped` if any.
// With CI=true a skipped test counts as failed.
import { existsSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Finished, npm, root, run } from "./run.ts";

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** What to show when something failed. */
  readonly output: string;
}

interface Step {
  readonly name: string;
  readonly check: () => Promise<Outcome>;
}

const minuteMs = 60_000;
const inCI = process.env["CI"] === "true";
const scratch = await mkdtemp(join(tmpdir(), "tidemark-check-"));
const traces = join(scratch, "traces");
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

const steps: readonly Step[] = [
  { name: "types", check: () => tool("typescript/bin/tsc", "--pretty", "false") },
  {
    name: "types of the pure rooms",
    check: () => tool("typescript/bin/tsc", "-p", "tsconfig.pure.json", "--pretty", "false"),
  },
  {
    name: "types of the diagram",
    check: () => tool("typescript/bin/tsc", "-p", "tsconfig.viewer.json", "--pretty", "false"),
  },
  {
    name: "types of the web page",
    check: () => tool("typescript/bin/tsc", "-p", "tsconfig.web.json", "--pretty", "false"),
  },
  {
    name: "biome",
    check: () =>
      tool(
        "@biomejs/biome/bin/biome",
        "ci",
        "--colors=off",
        "--error-on-warnings",
        "--max-diagnostics=100",
      ),
  },
  // Its runs are done again by the tests.
  { name: "spec", check: async () => one(await node(["tools/spec.ts", "--traces", traces])) },
  // Tests look at it in a browser.
  { name: "page", check: async () => one(await node(["tools/page.ts"])) },
  { name: "tests", check: tests },
  { name: "build", check: async () => one(await node(["tools/build.ts"])) },
  { name: "package", check: packed },
  {
    name: "publint",
    check: async () => tool("publint/src/cli.js", "run", await tarball(), "--strict"),
  },
  {
    name: "types of the package",
    check: async () =>
      tool(
        "@arethetypeswrong/cli/dist/index.js",
        await tarball(),
        "--profile=esm-only",
        "--no-definitely-typed",
        "--no-emoji",
        "--no-color",
        "--format=ascii",
      ),
  },
];

process.exitCode = await check();

async function check(): Promise<number> {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  const failures: string[] = [];
  for (const step of steps) {
    process.stdout.write(`${step.name.padEnd(24)} `);
    const began = performance.now();
    const outcome = await step.check().catch(broken);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.log(`${outcome.failed === 0 ? "ok" : "FAILED"}  ${seconds} s`);
    if (outcome.failed > 0) {
      failures.push(step.name);
      console.log(`\n${outcome.output.trim()}\n`);
    }
    passed += outcome.passed;
    failed += outcome.failed;
    skipped += outcome.skipped;
  }
  if (failures.length > 0) console.log(`failed: ${failures.join(", ")}`);
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  return failed === 0 ? 0 : 1;
}

/** A step that is one yes or no. */
function one({ status, output }: Finished): Outcome {
  return status === 0
    ? { passed: 1, failed: 0, skipped: 0, output }
    : { passed: 0, failed: 1, skipped: 0, output: output.trim() || `exit status ${status}` };
}

function broken(error: unknown): Outcome {
  return { passed: 0, failed: 1, skipped: 0, output: String(error) };
}

function node(args: readonly string[], cwd = root, limitMs = 5 * minuteMs): Promise<Finished> {
  // The tests start thousands of processes: what is compiled for one is kept for all.
  const kept = { TIDEMARK_TRACES: traces, NODE_COMPILE_CACHE: join(scratch, "compiled") };
  const env = { ...process.env, ...kept };
  return run(process.execPath, args, { cwd, output: "capture", limitMs, env });
}

async function tool(script: string, ...args: string[]): Promise<Outcome> {
  return one(await node([join(root, "node_modules", script), ...args]));
}

/** What of vitest's JSON report matters here. */
interface Report {
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

async function tests(): Promise<Outcome> {
  const reportFile = join(scratch, "tests.json");
  const { status, output } = await node(
    [
      join(root, "node_modules/vitest/vitest.mjs"),
      "run",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${reportFile}`,
    ],
    root,
    20 * minuteMs,
  );
  const text = await readFile(reportFile, "utf8").catch(() => undefined);
  if (text === undefined) return one({ status: status || 1, output });

  const report: Report = JSON.parse(text);
  const every = report.testResults.flatMap((file) => file.assertionResults);
  const skipped = every.filter((test) => test.status !== "passed" && test.status !== "failed");
  // A file that does not load has no tests that failed, and an error outside every test has no file.
  const files = report.testResults.filter(
    (file) =>
      file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  );
  const failed = every.filter((test) => test.status === "failed").length + files.length;
  return {
    passed: report.numPassedTests,
    failed: Math.max(failed, status === 0 ? 0 : 1) + (inCI ? skipped.length : 0),
    skipped: inCI ? 0 : skipped.length,
    output:
      inCI && skipped.length > 0
        ? `${output.trim()}\n\nskipped:\n${skipped.map((test) => `  ${test.fullName}`).join("\n")}`
        : output,
  };
}

/** Packs what would be published and runs its program as an installed package would. */
async function packed(): Promise<Outcome> {
  const done = await npm(
    ["pack", "--ignore-scripts", "--silent", `--pack-destination=${scratch}`],
    {
      output: "capture",
      limitMs: minuteMs,
    },
  );
  if (done.status !== 0) return one(done);
  const unpacked = await run("tar", ["-xzf", await tarball(), "-C", scratch], {
    output: "capture",
    limitMs: minuteMs,
  });
  if (unpacked.status !== 0) return one(unpacked);
  const folder = join(scratch, "package");
  const manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  await linkDependencies(folder);
  const doors = Object.keys(manifest.exports)
    .filter((door) => !door.endsWith(".json"))
    .map((door) => `await import("tidemark${door.slice(1)}");`);
  const imported = await node(
    ["--input-type=module", "--eval", doors.join("\n")],
    folder,
    minuteMs,
  );
  if (imported.status !== 0) return one(imported);
  const program = join(folder, manifest.bin.tidemark);
  // The page that is written has a file of the package in it.
  const trace = join(root, "examples/traces/lecture.jsonl");
  const page = ["trace", "diagram", trace, "--html", join(scratch, "lecture.html")];
  const drawn = await node([program, ...page], scratch, minuteMs);
  if (drawn.status !== 0) return one(drawn);
  return one(await node([program, "--help"], scratch, minuteMs));
}

/** Gives the unpacked package what it depends on and no more, so that a forgotten dependency shows. */
async function linkDependencies(folder: string): Promise<void> {
  const lock = JSON.parse(await readFile(join(root, "package-lock.json"), "utf8"));
  for (const [path, { dev }] of Object.entries<{ dev?: boolean }>(lock.packages)) {
    const nested = path.includes("/node_modules/");
    if (path === "" || nested || dev === true || !existsSync(join(root, path))) continue;
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await symlink(join(root, path), join(folder, path), "junction");
  }
}

async function tarball(): Promise<string> {
  const name = (await readdir(scratch)).find((file) => file.endsWith(".tgz"));
  if (name === undefined) throw new Error("there is no package to check: packing failed");
  return join(scratch, name);
}
