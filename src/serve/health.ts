/** Whether a running system is well, and whether it is ready, as probes ask: each with the reasons why not. */

import { duration } from "../core/quantity.ts";
import type { ProcessStatus, SystemStatus } from "./system-methods.ts";

/** What a probe is told. */
export interface Verdict {
  readonly isWell: boolean;
  /** Why it is not; and, if it is, what is not as it should be all the same. */
  readonly reasons: readonly string[];
}

/** Packets that are missing for so long are behind, not on their way. */
const BEHIND_MS = 1_000;

/**
 * Whether the event loops of all processes turn that are there. One that is being started again is no reason to end the others: the system
 * sees to it. One that is not started again any more is.
 */
export function healthOf({ processes }: SystemStatus): Verdict {
  const reasons = processes.flatMap(({ process, up, explanation, givenUp }) => {
    if (givenUp !== undefined) return [`${process} is not started again: ${givenUp}`];
    return up && !explanation ? [`${process} does not answer: its event loop does not turn`] : [];
  });
  return { isWell: reasons.length === 0, reasons };
}

/**
 * Whether the system does all that it is there for: every process is up, reaches its peers, and has what they have. If others are on
 * other machines it is enough that a majority is reached, for none is to be taken out of service because another one is.
 */
export function readinessOf(status: SystemStatus, { nowMs }: { readonly nowMs: number }): Verdict {
  const { processes, restoring, stopping, elsewhere } = status;
  if (stopping) return { isWell: false, reasons: ["the system is stopping"] };
  if (processes.length === 0) return { isWell: false, reasons: ["the system is starting"] };
  const absences = processes.flatMap(absencesOf);
  const reasons = [
    ...(restoring ? ["the system is being restored"] : []),
    ...processes.flatMap((one) => {
      if (!one.up) return [`${one.process} is down`];
      return one.explanation ? [] : [`${one.process} does not answer`];
    }),
    ...epochsOf(processes),
    ...processes.flatMap((one) => behindOf(one, nowMs)),
  ];
  const all = processes.length + (elsewhere?.length ?? 0);
  const isAbsenceBad = !elsewhere || 2 * (all - absences.length) <= all;
  return {
    isWell: reasons.length === 0 && (absences.length === 0 || !isAbsenceBad),
    reasons: [...reasons, ...absences],
  };
}

/** Whom it does not reach. */
function absencesOf({ process, explanation }: ProcessStatus): readonly string[] {
  const down = new Map<string, string>();
  for (const { from, to, up, reason = "not connected" } of explanation?.channels ?? [])
    if (!up) down.set(from === process ? to : from, reason);
  return [...down].map(([peer, reason]) => `${process} does not reach ${peer}: ${reason}`);
}

function epochsOf(processes: readonly ProcessStatus[]): readonly string[] {
  const answering = processes.filter(({ explanation }) => explanation);
  const newest = Math.max(...answering.map(({ epoch }) => epoch));
  return answering
    .filter(({ epoch }) => epoch < newest)
    .map(({ process, epoch }) => `${process} is in epoch ${epoch}, and others in ${newest}`);
}

function behindOf({ process, explanation }: ProcessStatus, nowMs: number): readonly string[] {
  return Object.entries(explanation?.groups ?? {}).flatMap(([group, { gaps }]) =>
    gaps
      .filter(({ sinceMs }) => nowMs - sinceMs >= BEHIND_MS)
      .map(({ from, sinceMs }) => {
        const forMs = duration(nowMs - sinceMs);
        return `${process} catches up in ${group}: packets of ${from} are missing for ${forMs}`;
      }),
  );
}
