/** Replays what a model did on a shipping machine, and compares the two after every step. */

import type { Fields, Step, Trace } from "./itf.ts";

/** Shipping machines, driven in the words of a model. */
export interface Replica {
  /** Does what the model did. */
  perform(action: string, picks: Fields): void;
  /** How things stand, in the terms of `expected`. */
  project(): unknown;
  /** What of the model's state the machines must show. */
  expected(state: Fields): unknown;
}

/**
 * Gives the number of steps that were compared.
 * @throws Error that says where the machine first differs from the model
 */
export function replay(trace: Trace, start: (first: Step) => Replica): number {
  const [first, ...steps] = trace.steps;
  if (!first) throw new Error(`${trace.name} has no state`);
  const replica = start(first);
  compare(first, replica);
  for (const [index, step] of steps.entries()) {
    try {
      replica.perform(step.action, step.picks);
      compare(step, replica);
    } catch (error) {
      const where = `${trace.name}, step ${index + 1}, ${step.action} ${JSON.stringify(step.picks)}`;
      throw new Error(`${where}: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
  }
  return steps.length;
}

function compare({ state }: Step, replica: Replica): void {
  const found = difference("", replica.expected(state), replica.project());
  if (found !== undefined) throw new Error(`at ${found}`);
}

/** The first place where two plain values differ. */
function difference(path: string, model: unknown, machine: unknown): string | undefined {
  if (Object.is(model, machine)) return undefined;
  if (isObject(model) && isObject(machine) && Array.isArray(model) === Array.isArray(machine)) {
    for (const key of new Set([...Object.keys(model), ...Object.keys(machine)])) {
      const found = difference(`${path}/${key}`, model[key], machine[key]);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  return `${path} the model has ${JSON.stringify(model)}, the machine ${JSON.stringify(machine)}`;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;
