/** What all models have in common: a sample of their traces, replayed; and traces of models with a planted mistake. */

import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, type TestContext, test } from "vitest";
import type { Spec } from "../../../tools/quint.ts";
import { cases } from "../../support/soak.ts";
import { type Step, type Trace, traces, tracesIn } from "./itf.ts";
import { type Replica, replay } from "./replay.ts";

const MINUTE_MS = 60_000;
const SAMPLE = 40;
/** Traces more than the sample. */
const more = cases("spec", 0, 1_000);
export const timeout: number = cases("spec", 2, 60) * MINUTE_MS;

const pathOf = ({ file }: Spec): string =>
  fileURLToPath(new URL(`../../../${file}`, import.meta.url));

/** The sample of a spec's traces: of those that `npm test` has from its check of the spec, or made for it. */
export function sampleOf(spec: Spec, steps: number): readonly Trace[] {
  const sample: Trace[] = [];
  beforeAll(async () => {
    const checked = process.env["TIDEMARK_TRACES"];
    const written = checked && join(checked, spec.name, "step");
    const options = { step: "step", steps, count: SAMPLE, seed: 1 };
    const made =
      written && existsSync(written) ? tracesIn(written, "seed 1") : traces(pathOf(spec), options);
    for await (const trace of made) if (sample.length < SAMPLE) sample.push(trace);
  }, timeout);
  return sample;
}

/** A mistake in a model: one text, which it has once, is another one. */
export interface Planted {
  readonly what: string;
  readonly before: string;
  readonly after: string;
  /** What it breaks. */
  readonly invariant: string;
}

/** Each is found: it breaks its invariant in some trace, and the replay of the traces ends with that message. */
export function testPlanted(
  planted: readonly Planted[],
  spec: Spec,
  steps: number,
  start: (first: Step) => Replica,
  message: RegExp,
): void {
  test.each(planted)("a model in which $what is found", { timeout }, async (one) => {
    const wrong = await tracesWith(one, spec, steps);
    expect(wrong.some(({ breaks }) => breaks)).toBe(true);
    expect(() => replayAll(wrong, start)).toThrow(message);
  });
}

/** Traces of the model with that mistake, until the invariant is broken. */
async function tracesWith(
  { before, after, invariant }: Planted,
  spec: Spec,
  steps: number,
): Promise<readonly Trace[]> {
  const parts = (await readFile(pathOf(spec), "utf8")).split(before);
  expect(parts).toHaveLength(2);
  const folder = await mkdtemp(join(tmpdir(), "tidemark-planted-"));
  try {
    const file = join(folder, `${spec.name}.qnt`);
    await writeFile(file, parts.join(after));
    const found: Trace[] = [];
    const options = { step: "step", steps, count: SAMPLE, seed: 1, invariants: [invariant] };
    for await (const trace of traces(file, options)) found.push(trace);
    return found;
  } finally {
    await rm(folder, { recursive: true });
  }
}

export function replayAll(some: readonly Trace[], start: (first: Step) => Replica): void {
  for (const trace of some) replay(trace, start);
}

/** The sample, and when it is soaked more; each trace as often as there are ways to start it. */
export async function replayWhole(
  { annotate }: TestContext,
  spec: Spec,
  sample: readonly Trace[],
  seen: Readonly<object>,
  ...starts: readonly ((first: Step) => Replica)[]
): Promise<void> {
  const steps = (sample[0]?.steps.length ?? 0) - 1;
  const [runs, compared] = [SAMPLE + more, { runs: 0, steps: 0 }];
  const one = (trace: Trace): void => {
    for (const start of starts) compared.steps += replay(trace, start);
    compared.runs += 1;
  };
  sample.forEach(one);
  if (more > 0) {
    const options = { step: "step", steps, count: more, seed: 1_001 };
    for await (const trace of traces(pathOf(spec), options)) one(trace);
  }
  await annotate(JSON.stringify({ compared, seen }));
  expect(compared.runs).toBe(runs);
  // A run ends early where nothing can happen any more.
  expect(compared.steps).toBeGreaterThan(0.95 * starts.length * runs * steps);
  for (const often of Object.values(seen)) expect(often).toBeGreaterThan(0);
}
