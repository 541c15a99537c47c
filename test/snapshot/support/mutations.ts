/** Small random changes to any JSON document, for fuzzing. */
import type { Random } from "../../../src/core/random.ts";

type Container = Record<string, unknown> | unknown[];

const isContainer = (value: unknown): value is Container =>
  typeof value === "object" && value !== null;

/** A random container, met on a random way down. */
function descend(document: unknown, random: Random): Container | undefined {
  let at: Container | undefined = isContainer(document) ? document : undefined;
  while (at) {
    const below: Container[] = Object.values(at).filter(isContainer);
    if (below.length === 0 || random.chance(0.15)) break;
    at = random.pick(below);
  }
  return at;
}

/** Changes one thing in a document. Now and then it changes nothing. */
export function mutate(document: unknown, random: Random): void {
  const container = descend(document, random);
  const key = container && random.pick(Object.keys(container));
  if (container === undefined || key === undefined) return;
  const at = container as Record<string, unknown>;
  const kind = random.below(8);
  if (kind < 4) {
    at[key] = changed(at[key], random);
  } else if (kind === 4) {
    if (Array.isArray(container)) container.splice(Number(key), 1);
    else delete at[key];
  } else if (kind === 5) {
    // What stands elsewhere.
    const other = descend(document, random) as Record<string, unknown>;
    at[key] = structuredClone(other[random.pick(Object.keys(other)) ?? ""]);
  } else if (Array.isArray(container)) {
    const other = random.below(container.length);
    if (kind === 6) container.splice(other, 0, structuredClone(container[Number(key)]));
    else [at[key], at[other]] = [at[other], at[key]];
  } else {
    at[key] = random.pick([null, true, 0, -1, 1.5, 2 ** 53, "", "p1", [], {}, [[]], { a: 1 }]);
  }
}

function changed(value: unknown, random: Random): unknown {
  if (typeof value === "number") return value + (random.pick([1, -1, 4, -4, 0.5, 2 ** 32]) ?? 0);
  if (typeof value === "boolean") return !value;
  if (typeof value !== "string" || value === "") return random.pick([null, 1, "x", [], {}]);
  const at = random.below(value.length);
  const digit = random.below(16).toString(16);
  return random.chance(0.8)
    ? value.slice(0, at) + digit + value.slice(at + 1)
    : value.slice(0, at) + value.slice(at + 1);
}
