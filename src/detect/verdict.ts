/** What a detector says of a global state. */

import type { ProcessId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";
import type { Declaration, GlobalState, MessageInFlight } from "./global-state.ts";

/**
 * A verdict. True and false come with what they rest on; `null`, unknown, with the reason. What is detected in a global snapshot is
 * stable: it was so when the snapshot ended, and is so for ever. That something is not detected holds for the cut alone.
 */
export type Detection<Evidence = unknown> = {
  /** What was looked for, as on the command line: `deadlock`, `sum=money`. */
  readonly detector: string;
  /** For people. */
  readonly sentence: string;
} & (
  | { readonly detected: boolean; readonly evidence: Evidence }
  | { readonly detected: null; readonly reason: string }
);

/** Where something is at a cut: at a process, or on its way. */
export type Place = { readonly process: ProcessId } | Channel;

export const placeOf = (message: MessageInFlight): Place => ({
  from: message.from,
  to: message.to,
});

export const textOfPlace = (place: Place): string =>
  "process" in place ? place.process : `${place.from} → ${place.to}`;

/** So many of many things are named in a sentence. */
const NAMED_MAX = 5;

/** Things in a sentence: the first few, and how many more there are. */
export function named(things: readonly string[], separator: string = ", "): string {
  const some = things.slice(0, NAMED_MAX).join(separator);
  const more = things.length - NAMED_MAX;
  return more > 0 ? `${some}${separator}and ${more} more` : some;
}

export const counted = (count: number, one: string, several: string = `${one}s`): string =>
  `${count} ${count === 1 ? one : several}`;

export function unknown(detector: string, reason: string): Detection<never> {
  return { detector, sentence: `unknown: ${reason}`, detected: null, reason };
}

/**
 * Why a declaration is not known of a whole state; `undefined` if everybody has made it, of itself and of each message that is on its way
 * to it.
 */
export function missing(
  { processes, messages, problems }: GlobalState,
  declaration: Exclude<Declaration, "waits" | "grants">,
): string | undefined {
  const problem = problems.find(({ of }) => of === declaration || of === "messages");
  if (problem) return problem.reason;
  const process = processes.find((one) => one[declaration] === undefined);
  if (process) return `the application of ${process.process} does not declare ${declaration}`;
  const message = messages.find((one) => one[declaration] === undefined);
  return (
    message &&
    `the ${declaration} of the application of ${message.to} takes no message, and one from ${message.from} is in flight`
  );
}
