/** Schedules: what happens in a world, step by step, and how that is written down. */

import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";

/**
 * One step of a schedule. As text: `p1 receives from p2`, or `p1 receives from p2 ahead of 1`; `p1 is asked`; `p1 snapshots`;
 * `p1 timer NAME`, the name as JSON where it would not be seen as it is.
 */
export type ScheduleStep =
  | {
      readonly type: "receive";
      readonly process: ProcessId;
      readonly from: ProcessId;
      /** So many frames that were sent before are still under way: where channels have no order. @default 0 */
      readonly ahead?: number;
    }
  | { readonly type: "request"; readonly process: ProcessId }
  | { readonly type: "snapshot"; readonly process: ProcessId }
  | { readonly type: "timer"; readonly process: ProcessId; readonly name: string };

/** As text, one step a line. */
export function formatStep(step: ScheduleStep): string {
  switch (step.type) {
    case "receive":
      return `${step.process} receives from ${step.from}${step.ahead ? ` ahead of ${step.ahead}` : ""}`;
    case "request":
      return `${step.process} is asked`;
    case "snapshot":
      return `${step.process} snapshots`;
    case "timer":
      return `${step.process} timer ${formatName(step.name)}`;
  }
}

/** Words with one space between them, of characters that show. */
const SHOWN = /^(?!")[^\s\p{C}]+(?: [^\s\p{C}]+)*$/u;

function formatName(name: string): string {
  const escaped = (character: string): string =>
    Array.from({ length: character.length }, (_, at) => {
      const unit = character.charCodeAt(at).toString(16);
      return `\\u${unit.padStart(4, "0")}`;
    }).join("");
  return SHOWN.test(name) ? name : JSON.stringify(name).replaceAll(/(?! )[\s\p{C}]/gu, escaped);
}

/** `undefined` if it begins as JSON and is none. */
function parseName(text: string): string | undefined {
  if (!text.startsWith('"')) return text;
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}

/**
 * Reads what `formatStep` made; empty lines, lines that begin with `#`, and what stands behind a colon are left out.
 * @throws TidemarkError `BAD_OPTION` with the number of the line
 */
export function parseSchedule(text: string): ScheduleStep[] {
  const steps: ScheduleStep[] = [];
  for (const [i, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim().replace(/^(\S+ receives from [^\s:]+( ahead of \d+)?):.*$/, "$1");
    if (line === "" || line.startsWith("#")) continue;
    const [process = "", verb, ...rest] = line.split(/\s+/);
    const [word, from, ...overtaking] = rest;
    const ahead = /^(?:ahead of ([1-9]\d{0,8}))?$/.exec(overtaking.join(" "));
    const name = parseName(line.replace(/^\S+\s+timer\s+/, ""));
    if (verb === "receives" && word === "from" && from !== undefined && ahead)
      steps.push({
        type: "receive",
        process,
        from,
        ...(ahead[1] ? { ahead: Number(ahead[1]) } : {}),
      });
    else if (verb === "is" && word === "asked" && rest.length === 1)
      steps.push({ type: "request", process });
    else if (verb === "snapshots" && rest.length === 0) steps.push({ type: "snapshot", process });
    else if (verb === "timer" && rest.length > 0 && name !== undefined)
      steps.push({ type: "timer", process, name });
    else
      throw new TidemarkError(
        "BAD_OPTION",
        `line ${i + 1}, "${line}": a step looks like "p1 receives from p2", "p1 is asked", "p1 snapshots" or "p1 timer NAME"`,
      );
  }
  return steps;
}
