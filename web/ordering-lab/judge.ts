/** What a run of a lab keeps of what its messages asked for, what it breaks of what nobody asked for, and what it would break if nothing were held back. */

import { VectorClock, type VectorStamp } from "../../src/core/clock.ts";
import type { ProcessId } from "../../src/core/id.ts";
import type { OrderLevel } from "../../src/core/order-level.ts";
import { History } from "../../src/trace/history.ts";
import { checkHistory, type PromiseName, type Witness } from "../../src/trace/promises.ts";
import type { Lab } from "./lab.ts";
import { historyOf, type Run, type RunEvent, runLab } from "./lab-run.ts";

/** A promise that is not kept, and by which messages. */
export interface Conflict {
  readonly promise: PromiseName;
  readonly reason: string;
  /** Those that show it: the one that is where it must not be comes first. */
  readonly messages: readonly string[];
  /** Where it shows. */
  readonly at: ProcessId | undefined;
}

/** See the head of the file. */
export interface Judgement {
  readonly kept: readonly PromiseName[];
  readonly conflicts: readonly Conflict[];
}

interface JudgeOptions {
  /** Whether messages that went beside the group count as messages of it. */
  readonly beside: boolean;
  /** @default what each message asked for */
  readonly order?: OrderLevel;
}

export function judge(lab: Lab, run: Run, { beside, ...options }: JudgeOptions): Judgement {
  const history = new History("the lab");
  for (const line of historyOf(lab, run, beside)) history.add(line);
  const kept: PromiseName[] = [];
  const conflicts: Conflict[] = [];
  for (const verdict of checkHistory(history, options)) {
    const { promise } = verdict;
    if (verdict.holds === true) kept.push(promise);
    else if (verdict.holds === false)
      conflicts.push({ promise, reason: verdict.reason, ...messagesOf(verdict.witness) });
  }
  return { kept, conflicts };
}

function messagesOf({ events, wrong, missing }: Witness): Pick<Conflict, "messages" | "at"> {
  const first = wrong === undefined ? undefined : events[wrong];
  const named = [first, ...events].flatMap((event) =>
    event && "message" in event ? [String(event.message)] : [],
  );
  return {
    messages: [...new Set(missing ? [String(missing.message), ...named] : named)],
    at: missing?.process ?? first?.process,
  };
}

/** The lab as it would be if nothing were held back: all goes beside the group. */
export function plainOf(lab: Lab): Lab {
  return { ...lab, messages: lab.messages.map((one) => ({ ...one, order: "none" })) };
}

/** Which of the promises that are asked for it breaks if nothing is held back. */
export function plainConflicts(lab: Lab, plainRun: Run): readonly Conflict[] {
  return judge(lab, plainRun, { beside: false }).conflicts;
}

/** What a change breaks that was not broken before it, if nothing is held back. */
export function newConflict(before: Lab, after: Lab): Conflict | undefined {
  const conflictsOf = (lab: Lab) => plainConflicts(lab, runLab(plainOf(lab)));
  const known = new Set(conflictsOf(before).map(({ promise }) => promise));
  return conflictsOf(after).find(({ promise }) => !known.has(promise));
}

/**
 * A plain vector clock for each event, as in a textbook: a multicast is an event, and so is a delivery. No machine has these; what
 * the machine has is in its state.
 */
export function plainClocks(events: readonly RunEvent[]): readonly VectorStamp[] {
  const clocks = new Map<ProcessId, VectorClock>();
  const sent = new Map<string, VectorStamp>();
  return events.map(({ process, type, message }) => {
    const clock = clocks.get(process) ?? new VectorClock(process);
    clocks.set(process, clock);
    if (type === "deliver") return clock.receive(sent.get(message) ?? {});
    const stamp = clock.tick();
    sent.set(message, stamp);
    return stamp;
  });
}
