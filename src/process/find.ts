/** Finds values in a snapshot: by where they stand, by what they say, or both. */

import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";
import {
  everyValue,
  type Found,
  formatPath,
  type PathExpression,
  parsePath,
  pathOf,
  type Trail,
} from "../snapshot/value-path.ts";
import { firstInFlight, outermost, selectInState } from "./compare-snapshots.ts";
import type { ReadableSnapshot } from "./readable-snapshot.ts";

/** What is found; as it is printed in JSON. */
export type Finding = (
  | { readonly process: ProcessId }
  /** See `firstInFlight`. */
  | { readonly from: ProcessId; readonly to: ProcessId; readonly message: number }
) & { readonly path: string; readonly value: unknown };

export interface Hit {
  readonly found: Finding;
  /** Where in the text of the value the match begins; absent if nothing was searched for. */
  readonly matchAt?: number;
}

/** Gives for each text where it matches first, or -1. */
export interface Matcher {
  readonly name: string;
  /** Ends too early, at the text that takes too long: longer than this. */
  readonly limitMs?: number;
  match(texts: readonly string[]): readonly number[];
}

const AT_ONCE = 10_000;
const AT_ONCE_CHARACTERS = 1_000_000;
const WHOLE = parsePath("$");

/**
 * Finds what `path` selects, or what `search` matches in that, or anywhere: in the states of those processes, then in the messages on those
 * channels. What matches are texts, names of fields and keys, numbers, bigints, booleans, and dates as in 2026-01-31T12:00:00.000Z.
 *
 * @throws TidemarkError `BAD_OPTION` if an expression takes too long; else as `ReadableSnapshot.state`
 */
export async function* find(
  snapshot: ReadableSnapshot,
  processes: readonly ProcessId[],
  channels: readonly Channel[],
  path: PathExpression | undefined,
  search: Matcher | undefined,
): AsyncGenerator<Hit> {
  for (const process of processes) {
    const roots = path
      ? selectInState(snapshot, process, path)
      : selectInState(snapshot, process, isSliced(snapshot, process) ? ITEMS : WHOLE);
    for await (const { path: at, value, matchAt } of matching(roots, search, process))
      yield { found: { process, path: formatPath(at), value }, ...matchAt };
  }
  for (const { from, to } of channels) {
    const messages = await snapshot.inFlight(from, to);
    const first = firstInFlight(snapshot, { from, to });
    for (const [i, message] of messages.entries()) {
      const roots = (path ?? WHOLE).select(message);
      const number = first + i;
      const place = `message ${number} of ${from} → ${to}`;
      for await (const { path: at, value, matchAt } of matching(roots, search, place))
        yield { found: { from, to, message: number, path: formatPath(at), value }, ...matchAt };
    }
  }
}

/** Slice by slice, so that no more than one is in memory. */
const ITEMS = parsePath("$[*]");

const isSliced = (snapshot: ReadableSnapshot, process: ProcessId): boolean =>
  snapshot.piece(process).state.sliced;

/** A value that was found, and where its text matches, if it is to match. */
type Matching = Found & { readonly matchAt: { readonly matchAt?: number } };

/** All of them; or with a search all values in them that match. */
async function* matching(
  roots: AsyncIterable<Found> | Iterable<Found>,
  search: Matcher | undefined,
  place: string,
): AsyncGenerator<Matching> {
  if (!search) {
    for await (const one of roots) yield { ...one, matchAt: {} };
    return;
  }
  let batch: Candidate[] = [];
  let characters = 0;
  for await (const root of outermost(roots))
    for (const { trail, value } of everyValue(root.value)) {
      batch.push({ root, trail, value });
      characters += textIn(value).length;
      if (batch.length < AT_ONCE && characters < AT_ONCE_CHARACTERS) continue;
      yield* matchesOf(batch, search, place);
      batch = [];
      characters = 0;
    }
  yield* matchesOf(batch, search, place);
}

/** What may match, somewhere in what was found. */
interface Candidate {
  readonly root: Found;
  readonly trail: Trail | undefined;
  readonly value: unknown;
}

const foundAt = ({ root, trail, value }: Candidate): Found => ({
  path: pathOf(trail, root.path),
  value,
});

/** The name of a field, or a key that is a text. */
function nameOf({ root, trail }: Candidate): string | undefined {
  const step = trail ? trail.step : root.path.at(-1);
  return typeof step === "string" ? step : undefined;
}

function* matchesOf(
  batch: readonly Candidate[],
  search: Matcher,
  place: string,
): Generator<Matching> {
  // Two of each: its own text, and its name.
  const texts = batch.flatMap((one) => [textIn(one.value), nameOf(one) ?? ""]);
  const matches = search.match(texts);
  for (const [i, one] of batch.entries()) {
    const [at = -1, nameAt = -1] = matches.slice(2 * i, 2 * i + 2);
    // What has no text matches nothing, not even an expression that matches an empty one.
    if (at >= 0 && hasText(one.value)) yield { ...foundAt(one), matchAt: { matchAt: at } };
    else if (nameAt >= 0 && nameOf(one) !== undefined)
      yield { ...foundAt(one), matchAt: { matchAt: 0 } };
  }
  const stuck = batch[matches.length >> 1];
  if (stuck)
    throw new TidemarkError(
      "BAD_OPTION",
      `${search.name} takes longer than ${search.limitMs} ms at ${formatPath(foundAt(stuck).path)} of ${place}: try a simpler expression`,
    );
}

const hasText = (value: unknown): boolean =>
  isDate(value) || ["string", "number", "bigint", "boolean"].includes(typeof value);

function textIn(value: unknown): string {
  if (typeof value === "string") return value;
  if (isDate(value)) return Number.isNaN(value.getTime()) ? "" : value.toISOString();
  return hasText(value) ? String(value) : "";
}

/** Of whichever realm; a pure room makes no date, and may be given one. */
function isDate(value: unknown): value is { getTime(): number; toISOString(): string } {
  return Object.prototype.toString.call(value) === "[object Date]";
}
