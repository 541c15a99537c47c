// `npm run spec`: checks the formal specs of spec/. Their types, their scenarios, and their invariants and witnesses
// in random runs whose seeds are printed.
//   npm run spec -- --times 20     makes 20 times as many runs
//   npm run spec -- --seed 7       makes other runs
//   npm run spec -- --traces DIR   writes the runs to DIR, too, in the Informal Trace Format
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { quint, quintSeed, randomRuns, type Spec, type SpecRun, specs } from "./quint.ts";

const hourMs = 3_600_000;
/** Random scenarios are run so often with the same seed. */
const scenarioSamples = 10;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      times: { type: "string", default: "1" },
      seed: { type: "string", default: "1" },
      traces: { type: "string" },
    },
  });
  const [times, seed] = [Number(values.times), Number(values.seed)];
  for (const [name, value] of Object.entries({ times, seed })) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    console.error(`error: --${name} must be a whole number, 1 or more`);
    return 2;
  }
  return check(times, seed, values.traces);
}

/** As many at once as there are processors. */
async function check(times: number, seed: number, traces?: string): Promise<number> {
  const checks = Object.values(specs).flatMap((spec) => [
    {
      what: `${spec.name}: types, scenarios (seed ${seed})`,
      act: () => checkScenarios(spec, scenarioSamples * times, seed),
    },
    ...spec.runs.map((run) => {
      const runs = run.samples * times;
      return {
        what: `${spec.name}: ${runs} runs of ${run.steps} × ${run.step} (seed ${seed})`,
        act: () => checkRuns(spec, run, runs, seed, traces),
      };
    }),
  ]);
  let failed = 0;
  const left = checks.values();
  const work = async (): Promise<void> => {
    for (const { what, act } of left) {
      const began = performance.now();
      const problem = await act();
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      console.log(`${problem === undefined ? "ok" : "FAILED"}  ${seconds.padStart(5)} s  ${what}`);
      if (problem === undefined) continue;
      failed += 1;
      console.log(`\n${problem.trim()}\n`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return failed === 0 ? 0 : 1;
}

/** What is wrong with the types of a spec, or with its scenarios; random ones run so many times. */
async function checkScenarios(
  { file }: Spec,
  samples: number,
  seed: number,
): Promise<string | undefined> {
  const args = [`--max-samples=${samples}`, `--seed=${quintSeed(seed)}`];
  const done = await quint("test", file, args, hourMs);
  return done.status === 0 ? undefined : done.output + hint("test", file, args);
}

/** What is wrong with so many random runs of a spec, which are written to a folder, if there is one. */
async function checkRuns(
  { name, file, invariants }: Spec,
  { step, steps, witnesses }: SpecRun,
  count: number,
  seed: number,
  traces?: string,
): Promise<string | undefined> {
  const folder = traces === undefined ? undefined : join(traces, name, step);
  const runs = { step, steps, count, seed, invariants, witnesses };
  const { status, output, args } = await randomRuns(file, runs, hourMs, folder);
  if (status !== 0) return output + hint("run", file, args);
  const missing = witnesses.filter(
    (witness) => !new RegExp(`^${witness} was witnessed in [1-9]`, "m").test(output),
  );
  return missing.length === 0 ? undefined : `in no run there was: ${missing.join(", ")}`;
}

function hint(command: "test" | "run", file: string, args: readonly string[]): string {
  return `\nhint: npx quint ${command} ${file} --backend=typescript ${args.join(" ")} shows the states`;
}
