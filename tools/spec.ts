// `npm run spec`: checks the formal specs of spec/. Their types, their scenarios, and their invariants and witnesses
// in random runs whose seeds are printed.
//   npm run spec -- --times 20     makes 20 times as many runs
//   npm run spec -- --seed 7       makes other runs
//   npm run spec -- --traces DIR   checks nothing, and writes the runs to DIR in the Informal Trace Format
import { join } from "node:path";
import { parseArgs } from "node:util";
import { quint, quintSeed, type Spec, type SpecRun, specs, writeTraces } from "./quint.ts";

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
  return values.traces === undefined ? check(times, seed) : traces(values.traces, times, seed);
}

async function traces(folder: string, times: number, seed: number): Promise<number> {
  for (const { name, file, runs } of Object.values(specs)) {
    for (const { step, steps, samples } of runs) {
      const into = join(folder, name, step);
      await writeTraces(file, into, { step, steps, count: samples * times, seed });
      console.log(`${samples * times} traces in ${into}`);
    }
  }
  return 0;
}

async function check(times: number, seed: number): Promise<number> {
  let failed = 0;
  const step = async (what: string, act: () => Promise<string | undefined>): Promise<void> => {
    const began = performance.now();
    const problem = await act();
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.log(`${problem === undefined ? "ok" : "FAILED"}  ${seconds.padStart(5)} s  ${what}`);
    if (problem !== undefined) {
      failed += 1;
      console.log(`\n${problem.trim()}\n`);
    }
  };
  for (const spec of Object.values(specs)) {
    const { name } = spec;
    await step(`${name}: types, scenarios (seed ${seed})`, () =>
      checkScenarios(spec, scenarioSamples * times, seed),
    );
    for (const run of spec.runs) {
      const runs = run.samples * times;
      await step(`${name}: ${runs} runs of ${run.steps} × ${run.step} (seed ${seed})`, () =>
        checkRuns(spec, run, runs, seed),
      );
    }
  }
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

/** What is wrong with so many random runs of a spec. */
async function checkRuns(
  { file, invariants }: Spec,
  { step, steps, witnesses }: SpecRun,
  runs: number,
  seed: number,
): Promise<string | undefined> {
  const args = [
    `--step=${step}`,
    `--max-steps=${steps}`,
    `--max-samples=${runs}`,
    `--seed=${quintSeed(seed)}`,
    ...["--invariants", ...invariants],
    ...["--witnesses", ...witnesses],
  ];
  const done = await quint("run", file, args, hourMs);
  if (done.status !== 0) return done.output + hint("run", file, args);
  const missing = witnesses.filter(
    (witness) => !new RegExp(`^${witness} was witnessed in [1-9]`, "m").test(done.output),
  );
  return missing.length === 0 ? undefined : `in no run there was: ${missing.join(", ")}`;
}

function hint(command: "test" | "run", file: string, args: readonly string[]): string {
  return `\nhint: npx quint ${command} ${file} --backend=typescript ${args.join(" ")} shows the states`;
}
