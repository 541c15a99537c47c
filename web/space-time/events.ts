/** Events in words, and which of them somebody looks for. */

import { valuesText } from "../../src/trace/layout.ts";
import { VERBS } from "../../src/trace/text-diagram.ts";
import type { EventType, Trace, TraceEvent } from "../../src/trace/trace.ts";

/** What can be shown or not, in the words of a reader. */
export const KINDS = ["messages", "groups", "markers", "records", "internal", "crashes"] as const;
export type Kind = (typeof KINDS)[number];

/** Which of them an event is. */
export function kindOf({ type, snapshot }: TraceEvent): Kind {
  if ((type === "send" || type === "receive") && snapshot !== undefined) return "markers";
  return KIND_OF[type];
}

const KIND_OF: Readonly<Record<EventType, Kind>> = {
  ...{ send: "messages", receive: "messages", multicast: "groups", deliver: "groups" },
  ...{ record: "records", internal: "internal", crash: "crashes" },
};

/** "sends 17 to p2: thanks" */
export function eventWords({ events }: Trace, e: number): string {
  const event = events[e];
  if (!event) return "";
  const { type, message, peer, snapshot, text, group, count = 1 } = event;
  const values = valuesText(event);
  if (type === "internal") return text ?? (values === "" ? VERBS.internal : values);
  const what =
    type === "record"
      ? snapshot === undefined
        ? ""
        : `for ${snapshot}`
      : snapshot === undefined
        ? `${message ?? ""}`
        : `a marker of ${snapshot}`;
  const more = count > 1 ? ` and ${count - 1} more` : "";
  const whose = peer === undefined ? "" : type === "send" ? ` to ${peer}` : ` from ${peer}`;
  const where = group === undefined ? "" : ` in ${group}`;
  const said = text === undefined ? "" : `: ${text}`;
  return `${VERBS[type]} ${what}${more}${whose}${where}${said}`.trim();
}

/** The events that have all words of a query, of those that are asked about, in their order. */
export function findEvents(trace: Trace, among: Int32Array, query: string): Int32Array {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return new Int32Array(0);
  return among.filter((e) => {
    const event = trace.events[e] as TraceEvent;
    const said = `${trace.processes[event.process]} ${eventWords(trace, e)} ${valuesText(event)}`;
    const text = said.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** The place in a list of ascending ranks of the next one after a rank, or before it; around the end. */
export function nextMatch(
  matches: Int32Array,
  ranks: Int32Array,
  from: number | undefined,
  isForward: boolean,
): number | undefined {
  if (matches.length === 0) return undefined;
  const rank = (e: number): number => ranks[e] as number;
  if (from === undefined) return isForward ? matches[0] : matches.at(-1);
  const found = isForward
    ? matches.find((e) => rank(e) > rank(from))
    : matches.findLast((e) => rank(e) < rank(from));
  return found ?? (isForward ? matches[0] : matches.at(-1));
}
