/** What is late or held back in a system that runs, and what it comes down to, in lines. */

import { duration } from "../core/quantity.ts";
import {
  type Cause,
  explainSystem,
  type ProcessReport,
  type SystemExplanation,
} from "../process/causes.ts";
import type { ProcessStatus } from "../serve/system-methods.ts";
import { grouped, type Paint, printable } from "./terminal.ts";

/** So many are told one by one. */
const SHOWN_MAX = 20;

export function explainProcesses(
  processes: readonly ProcessStatus[],
  nowMs: number,
  earlier?: { readonly processes: readonly ProcessStatus[]; readonly atMs: number },
): SystemExplanation {
  const before = earlier && { atMs: earlier.atMs, reports: reportsOf(earlier.processes) };
  return explainSystem(reportsOf(processes), { nowMs, ...(before && { earlier: before }) });
}

const reportsOf = (processes: readonly ProcessStatus[]): readonly ProcessReport[] =>
  processes.map(({ process, epoch, explanation }) => ({
    process,
    // Of one that does not answer it is not known.
    ...(explanation && { epoch, explanation }),
  }));

/** A line for each end of a chain: who or what it is, and what it holds up. */
export function whatIsLate(processes: readonly ProcessStatus[], nowMs: number): string[] {
  const { late, heldBy } = explainProcesses(processes, nowMs);
  return heldBy.map(({ text, holds }) => {
    const [first] = late;
    if (holds === 0 || first?.text === text) return text;
    return holds === 1 && late.length === 1
      ? `${text}, which holds up that ${first?.text}`
      : `${text}, which holds up ${holds} of ${late.length}: tidemark explain says what`;
  });
}

/** Every chain, and what they come down to. */
export function describeCauses(
  { late, heldBy }: SystemExplanation,
  nowMs: number,
  paint: Paint,
): string[] {
  const lines: string[] = [];
  const told = new Set<Cause>();
  const tell = (cause: Cause, before: string, mark: string): void => {
    const { code, text, sinceMs, because } = cause;
    const since = sinceMs === undefined ? "" : `, for ${duration(Math.max(0, nowMs - sinceMs))}`;
    const again = told.has(cause) && because.length > 0;
    const end = again ? `  ${paint("dim", "as above")}` : "";
    lines.push(`${before}${mark}${printable(text)}${since}  ${paint("dim", code)}${end}`);
    told.add(cause);
    if (!again) for (const one of because) tell(one, `${before}  `, "because ");
  };
  for (const cause of late.slice(0, SHOWN_MAX)) tell(cause, "", "");
  if (late.length > SHOWN_MAX) lines.push(`and ${grouped(late.length - SHOWN_MAX)} more`);
  const ends = heldBy.slice(0, SHOWN_MAX).map(({ code, text, holds }) => {
    const what =
      holds === 0
        ? "holds up nothing yet"
        : `holds up ${grouped(holds)} of ${grouped(late.length)}`;
    return `  ${printable(text)}, which ${what}  ${paint("dim", code)}`;
  });
  return [...lines, ...(lines.length > 0 ? [""] : []), "it comes down to", ...ends];
}
