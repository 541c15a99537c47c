/**
 * What direct detection costs in messages, beside global snapshots that are taken one after the other. Counts, not times: the same on every
 * machine. docs/learn/detectors.md shows them, and a test compares.
 */

import { ChandyMisraHaasAnd, ChandyMisraHaasOr, type ControlInput } from "tidemark/detect";
import {
  type Algorithm,
  type Counts,
  runComputation,
  type Shape,
} from "../test/detect/support/computation.ts";
import { median, type Result } from "./result.ts";

const SEEDS = [1, 2, 3, 4, 5];
const SHAPES: readonly Shape[] = ["ring", "mesh"];
const SIZES = [4, 16, 64];
const MESSAGES = [100, 1_000, 10_000];
/** A message, and a piece of work, takes up to so long. */
const SLOWEST_MS = 10;

/** A computation in a system, as `runComputation` has it. */
export interface TerminationCase {
  readonly shape: Shape;
  readonly processes: number;
  readonly messages: number;
}

/** All that are measured. */
export const TERMINATION_CASES: readonly TerminationCase[] = SHAPES.flatMap((shape) =>
  SIZES.flatMap((processes) => MESSAGES.map((messages) => ({ shape, processes, messages }))),
);

/** The medians over some seeds. A round begins as soon as the one before it told nothing. */
export function countTermination(
  { shape, processes, messages }: TerminationCase,
  algorithm: Algorithm,
): Pick<Counts, "control" | "after" | "rounds"> {
  const all = SEEDS.map((seed) =>
    runComputation({
      ...{ seed, fifo: true, slowest: [SLOWEST_MS], repeat: 0, algorithm, shape, processes },
      ...{ messages, busy: 0.6, begins: "first" },
    }),
  );
  const middle = (name: "control" | "after" | "rounds"): number =>
    median(all.map((counts) => counts[name]));
  return { control: middle("control"), after: middle("after"), rounds: middle("rounds") };
}

/** A row of the table in docs/learn/detectors.md. */
export function terminationRow(one: TerminationCase): string {
  const { shape, processes, messages } = one;
  const [safra, tree, snapshots] = (["safra", "dijkstra-scholten", "snapshots"] as const).map(
    (algorithm) => countTermination(one, algorithm),
  );
  const channels = shape === "ring" ? 2 * processes : processes * (processes - 1);
  const cells = [
    ...[safra?.control, safra?.after, 3 * processes - 1],
    ...[tree?.control, tree?.after],
    ...[snapshots?.control, snapshots?.after, 2 * channels],
  ].map((cell) => (cell ?? 0).toLocaleString("en"));
  return `| ${shape} of ${processes} | ${messages.toLocaleString("en")} | ${cells.join(" | ")} |`;
}

/** Each waits for the next one, or for all others. */
export type Waits = "a circle" | "all for all";

/** The messages of one that looks whether it is deadlocked, and of all that do. */
export function countDeadlock(
  model: "and" | "or",
  waits: Waits,
  processes: number,
): { readonly one: number; readonly all: number } {
  const ids = Array.from({ length: processes }, (_, i) => `p${i + 1}`);
  const waitsFor = (id: string): string[] =>
    waits === "a circle"
      ? [ids[(ids.indexOf(id) + 1) % ids.length] as string]
      : ids.filter((other) => other !== id);
  const machineOf = (id: string): ChandyMisraHaasAnd | ChandyMisraHaasOr => {
    if (model === "or") {
      const machine = new ChandyMisraHaasOr(id, ids);
      machine.step({ type: "waits", for: waitsFor(id) });
      return machine;
    }
    const machine = new ChandyMisraHaasAnd(id, ids);
    for (const of of waitsFor(id)) machine.step({ type: "asks", of });
    for (const by of ids) if (waitsFor(by).includes(id)) machine.step({ type: "asked", by });
    return machine;
  };
  const machines = new Map(ids.map((id) => [id, machineOf(id)]));
  const check = (id: string): number => {
    const queue: { readonly from: string; readonly to: string; readonly message: unknown }[] = [];
    let isTold = false;
    const step = (self: string, input: ControlInput | { readonly type: "check" }): void => {
      for (const effect of machines.get(self)?.step(input) ?? [])
        if (effect.type === "control")
          queue.push({ from: self, to: effect.to, message: effect.message });
        else if (effect.type === "deadlocked") isTold ||= self === id;
    };
    step(id, { type: "check" });
    for (const { from, to, message } of queue) step(to, { type: "control", from, message });
    if (!isTold) throw new Error(`${id} is not told that it is deadlocked`);
    return queue.length;
  };
  const counts = ids.map(check);
  return { one: counts[0] as number, all: counts.reduce((sum, count) => sum + count, 0) };
}

/** The most that the papers allow, of one that looks: a probe, or a query and a reply, for each wait. */
export const deadlockBound = (model: "and" | "or", waits: Waits, processes: number): number =>
  (model === "and" ? 1 : 2) * (waits === "a circle" ? processes : processes * (processes - 1));

export async function* detect(): AsyncGenerator<Result> {
  const bench = "detect";
  const unit = "messages";
  const result = (name: string, value: number, limit?: number): Result => ({
    ...{ bench, case: name, value, unit },
    ...(limit === undefined ? {} : { limit, ratio: value / limit }),
  });
  for (const one of TERMINATION_CASES) {
    const { shape, processes, messages } = one;
    const of = `${shape} of ${processes}, ${messages} messages`;
    const safra = countTermination(one, "safra");
    yield result(`${of}: Safra`, safra.control);
    // The papers' bounds.
    yield result(`${of}: Safra, after the end`, safra.after, 3 * processes - 1);
    const tree = countTermination(one, "dijkstra-scholten");
    yield result(`${of}: Dijkstra-Scholten`, tree.control, messages);
    const snapshots = countTermination(one, "snapshots");
    const channels = shape === "ring" ? 2 * processes : processes * (processes - 1);
    yield result(`${of}: snapshots`, snapshots.control);
    yield result(`${of}: snapshots, after the end`, snapshots.after, 2 * channels);
  }
  for (const waits of ["a circle", "all for all"] as const)
    for (const processes of SIZES)
      for (const model of ["and", "or"] as const)
        yield result(
          `${waits}, ${processes} processes: one looks, ${model}`,
          countDeadlock(model, waits, processes).one,
          deadlockBound(model, waits, processes),
        );
}
