// How the tool and the tests start Quint, and what there is to check in each spec. Always with its evaluator in
// TypeScript: it is part of the package, and the one in Rust would be downloaded.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Finished, root, run } from "./run.ts";

export interface Spec {
  readonly name: string;
  readonly file: string;
  readonly invariants: readonly string[];
  readonly runs: readonly SpecRun[];
}

/** Random runs of one spec, all of the same kind. */
export interface SpecRun {
  /** The action that is taken at every step. */
  readonly step: string;
  readonly steps: number;
  /** How many runs a check makes. */
  readonly samples: number;
  /** What must be true in some state of some run: otherwise the invariants say little. */
  readonly witnesses: readonly string[];
}

type SpecName = "chandyLamport" | "link" | "causalMulticast" | "agreedOrder";

export const specs: Readonly<Record<SpecName, Spec>> = {
  chandyLamport: {
    name: "chandyLamport",
    file: "spec/chandyLamport.qnt",
    invariants: [
      "conservation",
      "recordedConservation",
      "consistency",
      "channelStateExact",
      "oneMarker",
      "noSecondClosing",
      "counters",
    ],
    runs: [
      { step: "work", steps: 40, samples: 50, witnesses: ["recordsAMessage", "overlaps"] },
      {
        step: "step",
        steps: 40,
        samples: 50,
        witnesses: ["recordsAMessage", "lateMarker", "settlingMarker"],
      },
    ],
  },
  link: {
    name: "link",
    file: "spec/link.qnt",
    invariants: ["prefix", "window", "credit", "nothingForgotten", "wellFormed"],
    runs: [
      {
        step: "step",
        steps: 150,
        samples: 60,
        witnesses: ["everythingArrives", "usesEarly", "fillsTheWindow", "resumes"],
      },
    ],
  },
  causalMulticast: {
    name: "causalMulticast",
    file: "spec/causalMulticast.qnt",
    invariants: ["causalOrder", "fifoOrder", "integrity", "stampExact"],
    runs: [
      {
        step: "step",
        steps: 36,
        samples: 50,
        witnesses: ["holdsBack", "overtakes", "usesEarly", "everythingDelivered"],
      },
    ],
  },
  agreedOrder: {
    name: "agreedOrder",
    file: "spec/agreedOrder.qnt",
    invariants: ["totalOrder", "fifoOrder", "finalIsMaximum", "agreedOnly", "inPlace", "integrity"],
    runs: [
      {
        step: "step",
        steps: 44,
        samples: 40,
        witnesses: [
          "samePlace",
          "overtakes",
          "waitsForAnother",
          "tellsSeveral",
          "everythingDelivered",
        ],
      },
    ],
  },
};

const program = join(root, "node_modules/@informalsystems/quint/dist/src/cli.js");

/** Runs a command of Quint, which checks the types first. At its usual verbosity it would print every state of an example. */
export function quint(
  command: "test" | "run",
  file: string,
  args: readonly string[],
  limitMs: number,
): Promise<Finished> {
  const chosen = ["--backend=typescript", "--verbosity=1"];
  return run(process.execPath, [program, command, file, ...chosen, ...args], {
    output: "capture",
    limitMs,
  });
}

/** Quint counts its seed up by one with every draw: seeds that are neighbours would give the same draws, a few steps later. */
export function quintSeed(seed: number): string {
  return `0x${(BigInt(seed) << 32n).toString(16)}`;
}

export interface RandomRuns {
  readonly step: string;
  readonly steps: number;
  readonly count: number;
  readonly seed: number;
  /** A run ends where one of them is broken. */
  readonly invariants?: readonly string[];
  /** In how many runs each was true in some state, is printed. */
  readonly witnesses?: readonly string[];
}

/**
 * Makes random runs of a spec.
 * @param folder for them, one file each, with what was done and picked at every step; without it none is written
 */
export async function randomRuns(
  file: string,
  { step, steps, count, seed, invariants = [], witnesses = [] }: RandomRuns,
  limitMs: number,
  folder?: string,
): Promise<Finished & { readonly args: readonly string[] }> {
  if (folder !== undefined) await mkdir(folder, { recursive: true });
  const args = [
    ...[`--step=${step}`, `--max-steps=${steps}`, `--max-samples=${count}`],
    `--seed=${quintSeed(seed)}`,
    ...["--invariants", ...invariants],
    ...["--witnesses", ...witnesses],
  ];
  const written =
    folder === undefined
      ? []
      : ["--mbt", `--out-itf=${join(folder, "{seq}.itf.json")}`, `--n-traces=${count}`];
  return { ...(await quint("run", file, [...written, ...args], limitMs)), args };
}

/**
 * Writes random runs of a spec to a folder.
 * @throws Error if there is nothing to write
 */
export async function writeTraces(file: string, folder: string, runs: RandomRuns): Promise<void> {
  const { status, output } = await randomRuns(file, runs, 600_000, folder);
  if (status === 0 || (runs.invariants && output.includes("[violation]"))) return;
  throw new Error(`quint wrote no traces of ${file}: ${output}`);
}
