// `npm run soak -- NAME`: runs the test files that registered a soak of that name, at full length.
// A test registers one by asking `cases(name, sample, whole)` or `seeds(...)` of test/support/soak.ts.
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { nearest, root, run } from "./run.ts";

const dayMs = 86_400_000;

process.exitCode = await soak(process.argv[2]);

async function soak(name: string | undefined): Promise<number> {
  const soaks = await registered(join(root, "test"));
  const names = [...soaks.keys()].sort();
  if (name === undefined) {
    console.log(
      names.length === 0
        ? "no test registers a soak yet"
        : `usage: npm run soak -- NAME\n\n${["all", ...names].map((known) => `  ${known}`).join("\n")}`,
    );
    return 0;
  }
  const files = name === "all" ? [...soaks.values()].flat() : soaks.get(name);
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
  const { status } = await run(
    process.execPath,
    [join(root, "node_modules/vitest/vitest.mjs"), "run", "--reporter=verbose", ...new Set(files)],
    { output: "show", limitMs: dayMs, env: { ...process.env, TIDEMARK_SOAK: name } },
  );
  return status;
}

/** The names of all soaks, each with the test files that registered it. */
async function registered(folder: string): Promise<Map<string, string[]>> {
  const soaks = new Map<string, string[]>();
  for (const entry of await readdir(folder, { recursive: true })) {
    if (!entry.endsWith(".test.ts")) continue;
    const file = join(folder, entry);
    for (const match of (await readFile(file, "utf8")).matchAll(
      /\b(?:cases|seeds)\(\s*"([^"]+)"/g,
    )) {
      const name = match[1] ?? "";
      soaks.set(name, [...(soaks.get(name) ?? []), relative(root, file)]);
    }
  }
  return soaks;
}
