/**
 * Traces in the Informal Trace Format, as Quint writes them with `--mbt`: one state a step, with the action that led to it and
 * what that picked. They become plain data: a set is an ascending array, a map an object whose keys are texts; of a pair
 * that is a key, the parts are joined by a slash, as in a snapshot id.
 */

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RandomRuns, writeTraces } from "../../../tools/quint.ts";

export type Value = boolean | number | string | readonly Value[] | Fields;

export interface Fields {
  readonly [name: string]: Value;
}

export interface Step {
  readonly action: string;
  /** By the name of the variable. */
  readonly picks: Fields;
  readonly state: Fields;
}

export interface Trace {
  readonly name: string;
  /** Its last state breaks an invariant. */
  readonly breaks: boolean;
  readonly steps: readonly Step[];
}

/** A value as it stands in the file. */
type Encoded =
  | boolean
  | number
  | string
  | readonly Encoded[]
  | { readonly [name: string]: Encoded };

interface File {
  readonly "#meta": { readonly status: string };
  readonly states: readonly { readonly [name: string]: Encoded }[];
}

/** Quint keeps all traces of a run in memory. */
const PER_RUN = 200;

/** So many random traces of a spec. What is written to disk for it is gone again afterwards. */
export async function* traces(
  file: string,
  { count, seed, ...options }: RandomRuns,
): AsyncGenerator<Trace> {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-spec-"));
  try {
    for (let done = 0; done < count; done += PER_RUN) {
      const part = join(folder, `${done}`);
      const some = { ...options, count: Math.min(PER_RUN, count - done), seed: seed + done };
      await writeTraces(file, part, some);
      yield* tracesIn(part, `seed ${some.seed}`);
      await rm(part, { recursive: true });
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Those that have been written to a folder. */
export async function* tracesIn(folder: string, what: string): AsyncGenerator<Trace> {
  for (const name of await readdir(folder))
    yield parseTrace(`${what}, ${name}`, await readFile(join(folder, name), "utf8"));
}

function parseTrace(name: string, text: string): Trace {
  const { "#meta": about, states }: File = JSON.parse(text);
  return {
    name,
    breaks: about.status === "violation",
    steps: states.map((encoded) => {
      const {
        "#meta": _,
        "mbt::actionTaken": action = "",
        "mbt::nondetPicks": picks = {},
        ...state
      } = encoded;
      const options = Object.entries(decode(picks) as Record<string, Fields>);
      return {
        action: String(action),
        picks: Object.fromEntries(
          options
            .filter(([, { tag }]) => tag === "Some")
            .map(([key, { value = 0 }]) => [key, value]),
        ),
        state: decode(state) as Fields,
      };
    }),
  };
}

function decode(encoded: Encoded): Value {
  if (typeof encoded !== "object") return encoded;
  if (isList(encoded)) return encoded.map(decode);
  const { "#bigint": integer, "#tup": tuple, "#set": set, "#map": map } = encoded;
  if (integer !== undefined) return Number(integer);
  if (tuple !== undefined) return decode(tuple);
  if (set !== undefined) return (decode(set) as Value[]).sort(ascending);
  if (map !== undefined) {
    const entries = decode(map) as readonly [Value, Value][];
    return Object.fromEntries(entries.map(([key, value]) => [textOf(key), value]));
  }
  return Object.fromEntries(Object.entries(encoded).map(([key, value]) => [key, decode(value)]));
}

const isList = (encoded: Encoded): encoded is readonly Encoded[] => Array.isArray(encoded);

const textOf = (key: Value): string => (Array.isArray(key) ? key.join("/") : String(key));

function ascending(a: Value, b: Value): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return textOf(a) < textOf(b) ? -1 : 1;
}

export function mapValues<From, To>(
  object: { readonly [key: string]: From },
  change: (value: From, key: string) => To,
): Record<string, To> {
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [key, change(value, key)]),
  );
}
