/**
 * Deadlock: who waits for ever, for each other.
 *
 * Assumptions. Who waits does nothing and grants nothing before all its waits are fulfilled; a wait needs so many of those that it names
 * (all: AND; one: OR; k of n), and does not end by itself. Who does not wait may grant whatever it is asked.
 *
 * Theory of operation. At a consistent cut a grant is given, or is in flight, or is not given. What is in flight ends the waits that it is
 * for. Then the graph of who waits for whom is *reduced* (Holt 1972, for requests of k of n as Kshemkalyani and Singhal 1994): whoever
 * does not wait is taken to grant everything, and whose waits are fulfilled by that does not wait, until nobody more goes
 * on. Those who are left can never go on, whatever the others do; and they could if one were not, for the reduction is a schedule in which
 * they do. It takes time in proportion to the waits. (Chandy, Misra and Haas 1983 find the same without a snapshot.)
 *
 * Among those who are left, a *knot* is a strongly connected part that is stuck by itself, even if all others granted everything. The
 * rest waits behind knots. Every least set that is stuck by itself is strongly connected, so there is a knot if somebody is left.
 *
 * A name that nobody has is somebody outside. The verdict is true if it holds even if these grant everything; unknown if it holds
 * only if they never grant anything.
 */

import type { ProcessId } from "../core/id.ts";
import { components } from "./components.ts";
import type { GlobalState, MessageInFlight } from "./global-state.ts";
import { counted, type Detection, named, unknown } from "./verdict.ts";

/** What is left of a wait: it needs so many of those. */
export interface OpenWait {
  readonly for: readonly string[];
  readonly need: number;
  readonly request?: string;
}

/** Somebody who waits for ever. */
export interface Blocked {
  readonly who: string;
  /** Where it waits: itself, if it is a process. */
  readonly at: readonly ProcessId[];
  readonly waits: readonly OpenWait[];
}

/** What the verdict rests on. */
export interface DeadlockEvidence {
  /** Stuck by themselves: each a list of those who wait for each other. */
  readonly knots: readonly (readonly Blocked[])[];
  /** Those who wait for somebody in a knot, directly or not. */
  readonly behind: readonly Blocked[];
}

interface Waiter {
  readonly at: Set<ProcessId>;
  waits: readonly OpenWait[];
}

/** Everybody who waits. */
type Waiting = ReadonlyMap<string, Waiter>;

const DETECTOR = "deadlock";

/** Detects that some wait for each other for ever. */
export function detectDeadlock(state: GlobalState): Detection<DeadlockEvidence> {
  const problem = state.problems.find(
    ({ of }) => of === "waits" || of === "grants" || of === "messages",
  );
  if (problem) return unknown(DETECTOR, problem.reason);
  const { waiting, names } = whoWaits(state);
  const undeclared = new Set(
    state.processes.flatMap(({ process, waits }) => (waits ? [] : [process])),
  );
  const isOutside = (name: string): boolean => !names.has(name) || undeclared.has(name);
  const stuck = stuckAmong(waiting, (name) => !waiting.has(name));
  if (stuck.size > 0) {
    const evidence = explain(waiting, stuck);
    return { detector: DETECTOR, detected: true, evidence, sentence: sentenceOf(evidence) };
  }
  const perhaps = stuckAmong(waiting, (name) => !waiting.has(name) && !isOutside(name));
  for (const who of perhaps)
    for (const wait of waiting.get(who)?.waits ?? [])
      for (const name of wait.for) {
        if (waiting.has(name) || !isOutside(name)) continue;
        const what = undeclared.has(name)
          ? `the application of ${name} does not declare waits`
          : "nobody in this system has that name";
        return unknown(DETECTOR, `${textOfWait(who, wait)}, and ${what}`);
      }
  if (undeclared.size > 0 && undeclared.size === state.processes.length)
    return unknown(DETECTOR, "no application declares waits");
  const sentence =
    waiting.size === 0
      ? "nobody waits"
      : `${counted(waiting.size, "waits", "wait")}, and all can go on`;
  return { detector: DETECTOR, detected: false, evidence: { knots: [], behind: [] }, sentence };
}

/** Everybody who waits, without what is granted already; and the names of everybody who is there. */
function whoWaits({ processes, messages }: GlobalState): {
  readonly waiting: Waiting;
  readonly names: ReadonlySet<string>;
} {
  const waiting = new Map<string, Waiter>();
  const names = new Set<string>();
  for (const { process, waits = [] } of processes) {
    names.add(process);
    for (const { who = process, for: given, need, request } of waits) {
      names.add(who);
      const waiter = waiting.get(who) ?? { at: new Set(), waits: [] };
      const unlike = [...new Set(given)];
      const wait = { for: unlike, need: need ?? unlike.length };
      waiter.at.add(process);
      waiter.waits = [...waiter.waits, request === undefined ? wait : { ...wait, request }];
      waiting.set(who, waiter);
    }
  }
  const { by, whatever, perhaps } = grantsIn(messages);
  for (const [who, waiter] of waiting) {
    const granted = by.get(who);
    waiter.waits = waiter.waits.flatMap((wait) => {
      const left = wait.for.filter((name) => !granted?.has(name));
      const need = wait.need - (wait.for.length - left.length);
      return need > 0 ? [{ ...wait, for: left, need }] : [];
    });
    const goesOn = whatever.has(who) || [...waiter.at].some((process) => perhaps.has(process));
    if (waiter.waits.length === 0 || goesOn) waiting.delete(who);
  }
  return { waiting, names };
}

/** What is in flight: who is granted what, who is granted whatever it waits for, and at which processes that may be so. */
function grantsIn(messages: readonly MessageInFlight[]): {
  readonly by: ReadonlyMap<string, ReadonlySet<string>>;
  readonly whatever: ReadonlySet<string>;
  readonly perhaps: ReadonlySet<ProcessId>;
} {
  const by = new Map<string, Set<string>>();
  const whatever = new Set<string>();
  const perhaps = new Set<ProcessId>();
  for (const { from, to, grants } of messages) {
    if (grants === undefined) perhaps.add(to);
    if (typeof grants === "object")
      for (const grant of grants)
        if (grant.by === undefined) whatever.add(grant.to ?? to);
        else note(by, grant.to ?? to, grant.by);
    else if (grants === true) note(by, to, from);
  }
  return { by, whatever, perhaps };
}

function note(by: Map<string, Set<string>>, to: string, from: string): void {
  const some = by.get(to) ?? new Set();
  by.set(to, some.add(from));
}

/** Those who are left when everybody else has granted all it can. */
function stuckAmong(waiting: Waiting, grants: (name: string) => boolean): Set<string> {
  const stuck = new Set(waiting.keys());
  const left = new Map<string, number>();
  const waitsFor = new Map<string, { readonly who: string; need: number }[]>();
  const free: string[] = [];
  const fulfil = (who: string): void => {
    const many = (left.get(who) as number) - 1;
    left.set(who, many);
    if (many === 0 && stuck.delete(who)) free.push(who);
  };
  for (const [who, { waits }] of waiting) left.set(who, waits.length);
  for (const [who, { waits }] of waiting)
    for (const wait of waits) {
      const open = { who, need: wait.need };
      for (const name of wait.for) {
        if (grants(name)) {
          open.need -= 1;
          continue;
        }
        const those = waitsFor.get(name) ?? [];
        those.push(open);
        waitsFor.set(name, those);
      }
      if (open.need <= 0) fulfil(who);
    }
  for (let name = free.pop(); name !== undefined; name = free.pop())
    for (const open of waitsFor.get(name) ?? []) {
      open.need -= 1;
      if (open.need === 0) fulfil(open.who);
    }
  return stuck;
}

function explain(waiting: Waiting, stuck: ReadonlySet<string>): DeadlockEvidence {
  const told = (who: string): Blocked => {
    const { at, waits } = waiting.get(who) as Waiter;
    return { who, at: [...at].sort(), waits };
  };
  const knots: (readonly Blocked[])[] = [];
  const inKnots = new Set<string>();
  const next = (who: string): readonly string[] =>
    (waiting.get(who)?.waits ?? []).flatMap((wait) => wait.for);
  for (const component of components([...stuck].sort(), next)) {
    const inside = new Map(component.map((who) => [who, waiting.get(who) as Waiter]));
    const knot = [...stuckAmong(inside, (name) => !inside.has(name))].sort();
    if (knot.length === 0) continue;
    for (const who of knot) inKnots.add(who);
    knots.push(knot.map(told));
  }
  const behind = [...stuck].filter((who) => !inKnots.has(who)).sort();
  return { knots, behind: behind.map(told) };
}

function textOfWait(who: string, { for: names, need, request }: OpenWait): string {
  const many =
    names.length === 1 || need === names.length ? "" : need === 1 ? "one of " : `${need} of `;
  const what = request === undefined ? "" : ` (${request})`;
  return `${who} waits for ${many}${named(names, many === "" ? " and " : ", ")}${what}`;
}

function sentenceOf({ knots, behind }: DeadlockEvidence): string {
  const sentences = knots.map((knot) =>
    named(
      knot.flatMap(({ who, waits }) => waits.map((wait) => textOfWait(who, wait))),
      "; ",
    ),
  );
  const rest = named(behind.map(({ who }) => who));
  if (behind.length > 0)
    sentences.push(`${rest} ${behind.length === 1 ? "waits" : "wait"} behind them`);
  return named(sentences, ". ");
}
