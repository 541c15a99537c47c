// `npm run soak -- NAME`: runs the test files that registered a soak of that name, at full length, or with the seeds that are asked for.
// A test registers one by asking `cases(name, sample, whole)` or `seeds(...)` of test/support/soak.ts.
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { nearest, root, run } from "./run.ts";

const dayMs = 86_400_000;

const usage = "usage: npm run soak -- NAME [--seeds FROM..TO | --seeds SEED]";

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const { values, positionals } = parseArgs({
      options: { seeds: { type: "string" } },
      allowPositionals: true,
    });
    return await soak(positionals[0], values.seeds);
  } catch (thrown) {
    console.error(`error: ${(thrown as Error).message}\n${usage}`);
    return 2;
  }
}

async function soak(name: string | undefined, seeds: string | undefined): Promise<number> {
  const range = seeds === undefined ? "" : rangeOf(seeds);
  const soaks = await registered(join(root, "test"));
  const names = [...soaks.keys()].sort();
  if (name === undefined) {
    console.log(
      names.length === 0
        ? "no test registers a soak yet"
        : `${usage}\n\n${["all", ...names].map((known) => `  ${known}`).join("\n")}`,
    );
    return 0;
  }
  const files =
    name === "all" ? [...soaks.values()].flatMap((soaked) => soaked.files) : soaks.get(name)?.files;
  if (files === undefined || files.length === 0) {
    const near = nearest(name, ["all", ...names]);
    console.error(`error: there is no soak named "${name}"`);
    console.error(
      near.length > 0
        ? `hint: did you mean ${near.join(" or ")}?`
        : "hint: `npm run soak` lists the names",
    );
    return 2;
  }
  if (range !== "" && soaks.get(name)?.hasSeeds !== true)
    throw new Error(`"${name}" does not count by seeds: there is none to choose`);
  const { status } = await run(
    process.execPath,
    [join(root, "node_modules/vitest/vitest.mjs"), "run", "--reporter=verbose", ...new Set(files)],
    {
      output: "show",
      limitMs: dayMs,
      env: { ...process.env, TIDEMARK_SOAK: name, TIDEMARK_SEEDS: range },
    },
  );
  return status;
}

/** `7` and `7..9`, as `FROM..TO`. */
function rangeOf(seeds: string): string {
  const [, first, last = first] = /^([1-9]\d{0,8})(?:\.\.([1-9]\d{0,8}))?$/.exec(seeds) ?? [];
  if (first === undefined || Number(last) < Number(first))
    throw new Error(`--seeds ${seeds}: a seed, or the first and the last of several: 1..100`);
  return `${first}..${last}`;
}

interface Soak {
  readonly files: string[];
  /** Whether what it counts are seeds. */
  hasSeeds: boolean;
}

/** The names of all soaks, each with the test files that registered it. */
async function registered(folder: string): Promise<Map<string, Soak>> {
  const soaks = new Map<string, Soak>();
  for (const entry of await readdir(folder, { recursive: true })) {
    if (!entry.endsWith(".test.ts")) continue;
    const file = join(folder, entry);
    for (const [, how = "", name = ""] of (await readFile(file, "utf8")).matchAll(
      /\b(cases|seeds)\(\s*"([^"]+)"/g,
    )) {
      const soaked = soaks.get(name) ?? { files: [], hasSeeds: false };
      soaks.set(name, soaked);
      soaked.files.push(relative(root, file));
      soaked.hasSeeds ||= how === "seeds";
    }
  }
  return soaks;
}
