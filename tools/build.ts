// `npm run build`: compiles src into an empty dist, makes the bin runnable, and builds the page beside it.
import { chmod, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { root, run } from "./run.ts";

process.exitCode = await build();

async function build(): Promise<number> {
  await rm(join(root, "dist"), { recursive: true, force: true });
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const compiled = await run(
    process.execPath,
    [compiler, "-p", "tsconfig.build.json", "--pretty", "false"],
    { output: "show", limitMs: 300_000 },
  );
  if (compiled.status !== 0) return compiled.status;

  const bin = join(root, "dist/cli/main.js");
  const text = await readFile(bin, "utf8").catch(() => undefined);
  if (!text?.startsWith("#!/usr/bin/env node\n")) {
    console.error("src/cli/main.ts: must exist and begin with the line `#!/usr/bin/env node`");
    return 1;
  }
  await chmod(bin, 0o755);
  const page = await run(process.execPath, [join(root, "tools/page.ts"), "--force"], {
    output: "show",
    limitMs: 300_000,
  });
  return page.status;
}
