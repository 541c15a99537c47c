/** The detectors that need no file of their own; and all of them by the names that they have on a command line. */

import { TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";
import { detectDeadlock } from "./deadlock.ts";
import { detectGarbage } from "./garbage.ts";
import type { Declaration, GlobalState } from "./global-state.ts";
import { detectChange, detectSum, detectToken } from "./sums.ts";
import { counted, type Detection, named, textOfPlace, unknown } from "./verdict.ts";

/** What the verdict on termination rests on. */
export interface TerminationEvidence {
  /** The processes that are not passive. */
  readonly active: readonly ProcessId[];
  /** The channels on which work is in flight, and how many messages of it. */
  readonly work: readonly (Channel & { readonly messages: number })[];
}

const TERMINATION = "termination";

/**
 * Detects that nothing happens any more: everybody is passive, and no work is in flight. (Dijkstra, Feijen and van Gasteren 1983 and
 * many others do so without a snapshot.) It lasts until somebody outside asks for something.
 */
export function detectTermination({
  processes,
  messages,
  problems,
}: GlobalState): Detection<TerminationEvidence> {
  const active = processes.flatMap(({ process, isPassive }) =>
    isPassive === false ? [process] : [],
  );
  const work = new Map<string, Channel & { messages: number }>();
  for (const { from, to, isPassive } of messages) {
    // What nobody has said to be none is work.
    if (isPassive === true) continue;
    const channel = work.get(`${from} ${to}`) ?? { from, to, messages: 0 };
    channel.messages += 1;
    work.set(`${from} ${to}`, channel);
  }
  const evidence = { active, work: [...work.values()] };
  if (active.length > 0 || work.size > 0) {
    const where = named(evidence.work.map((one) => textOfPlace(one)));
    const many = evidence.work.reduce((sum, one) => sum + one.messages, 0);
    const sentence = [
      ...(active.length > 0
        ? [`${named(active)} ${active.length === 1 ? "is" : "are"} active`]
        : []),
      ...(many > 0
        ? [`${counted(many, "message")} of work ${many === 1 ? "is" : "are"} in flight, ${where}`]
        : []),
    ].join("; ");
    return { detector: TERMINATION, detected: false, evidence, sentence };
  }
  const [problem] = problems.filter(({ of }) => of === "isPassive" || of === "messages");
  if (problem) return unknown(TERMINATION, problem.reason);
  const silent = processes.find(({ isPassive }) => isPassive === undefined);
  if (silent)
    return unknown(TERMINATION, `the application of ${silent.process} does not declare isPassive`);
  const sentence = `all of ${counted(processes.length, "process", "processes")} are passive, and no work is in flight`;
  return { detector: TERMINATION, detected: true, evidence, sentence };
}

/**
 * Detects whatever that says is true of a global state. Only what is stable, which once true stays so, holds also after the cut.
 *
 * @param name for the verdict
 * @param predicate gives a boolean; what it throws makes the verdict unknown
 */
export function detectPredicate<State, M>(
  state: GlobalState<State, M>,
  name: string,
  predicate: (state: GlobalState<State, M>) => boolean,
): Detection<null> {
  const [problem] = state.problems.filter(({ of }) => of === "messages");
  if (problem) return unknown(name, problem.reason);
  let detected: unknown;
  try {
    detected = predicate(state);
  } catch (thrown) {
    return unknown(name, `it threw: ${textOf(thrown)}`);
  }
  if (typeof detected !== "boolean") return unknown(name, "it gave neither true nor false");
  const sentence = detected ? "it holds" : "it does not hold";
  return { detector: name, detected, evidence: null, sentence };
}

/** A detector by its name. */
export interface Detector {
  /** As in `Detection.detector`. */
  readonly name: string;
  /** What applications must declare for it. */
  readonly needs: readonly Declaration[];
  /** @param before an earlier state: what a sum should be, if nothing else says so */
  detect(state: GlobalState, before?: GlobalState): Detection;
}

const USAGE =
  "use deadlock, termination, garbage, sum=NAME, sum=NAME:AMOUNT, token=NAME or token=NAME:COUNT";

/**
 * A detector by its name: `deadlock`, `termination`, `garbage`, `sum=NAME` or `sum=NAME:AMOUNT`, `token=NAME` or `token=NAME:COUNT`.
 * @throws TidemarkError `BAD_OPTION`
 *
 * @example
 * ```ts
 * import { parseDetector } from "tidemark/detect";
 * const { detect } = parseDetector("token=lock");
 * const process = { process: "p1", state: null, goods: { lock: 2 } };
 * const { sentence } = detect({ processes: [process], messages: [], problems: [] });
 * if (sentence !== "doubled: there are 2 and not 1; it is at p1") throw new Error(sentence);
 * ```
 */
export function parseDetector(text: string): Detector {
  const [, kind = "", name = "", amount] =
    /^(sum|token)=([^:].*?)(?::(-?[0-9]+))?$/s.exec(text) ?? [];
  const expected = amount === undefined ? undefined : Number(amount);
  if (expected !== undefined && !Number.isSafeInteger(expected))
    throw new TidemarkError("BAD_OPTION", `${text}: ${amount} is too large`);
  if (kind === "token")
    return {
      name: `token=${name}`,
      needs: ["goods"],
      detect: (state) => detectToken(state, name, expected),
    };
  if (kind === "sum")
    return {
      name: `sum=${name}`,
      needs: ["goods"],
      detect: (state, before) =>
        before && expected === undefined
          ? detectChange(state, name, before)
          : detectSum(state, name, expected),
    };
  if (text === TERMINATION)
    return { name: text, needs: ["isPassive"], detect: (state) => detectTermination(state) };
  if (text === "deadlock")
    return { name: text, needs: ["waits", "grants"], detect: (state) => detectDeadlock(state) };
  if (text === "garbage")
    return { name: text, needs: ["references"], detect: (state) => detectGarbage(state) };
  throw new TidemarkError("BAD_OPTION", `there is no detector ${JSON.stringify(text)}: ${USAGE}`);
}
