/** A few events as a space-time diagram in text: those that break a promise. */

import type { HistoryEvent } from "./history.ts";
import { naturally, shortened } from "./layout.ts";
import type { Omission } from "./promises.ts";
import { drawRows, GLYPHS, type TextRow, VERBS } from "./text-diagram.ts";

/** What is drawn. A `Witness` is one. */
export interface SpaceTime {
  /** In the order of their rows. If they have the number of a line, it stands at the left. */
  readonly events: readonly (HistoryEvent & { readonly line?: number })[];
  /** Which of them is marked. */
  readonly wrong?: number;
  /** A delivery that there is not. */
  readonly missing?: Omission;
}

/** How it is drawn. */
export interface DrawOptions {
  /** What does not fit becomes briefer, or a list. @default 100 */
  readonly columns?: number;
}

/**
 * Draws events. `●` multicasts or sends, `○` delivers or receives, `✗` is wrong or missing, `†` crashes.
 *
 * @example
 * ```ts
 * import { drawSpaceTime } from "tidemark/trace";
 * const picture = drawSpaceTime({
 *   events: [
 *     { process: "p", type: "send", to: "q", message: "x" },
 *     { process: "q", type: "receive", from: "p", message: "x" },
 *   ],
 * });
 * if (!picture.includes("└─▶○ receives x")) throw new Error(picture);
 * ```
 */
export function drawSpaceTime(diagram: SpaceTime, { columns = 100 }: DrawOptions = {}): string {
  const rows = rowsOf(diagram);
  const processes = [...new Set(rows.map(({ process }) => process))].sort(naturally);
  const sources = new Map<string, number>();
  for (const [index, { key, arrives }] of rows.entries())
    if (!arrives && !sources.has(key)) sources.set(key, index);
  const arrows = rows.flatMap(({ key, arrives }, arrival) => {
    const source = sources.get(key);
    return arrives && source !== undefined ? [{ source, arrival }] : [];
  });
  return drawRows({ processes, rows, arrows }, { columns }).join("\n");
}

/** A row, and what arrows are found by; those that arrive have `arrives`. */
type Row = TextRow & { readonly key: string; readonly arrives: boolean };

const NAME_WIDTH_MAX = 24;

function rowsOf({ events, wrong, missing }: SpaceTime): Row[] {
  const groups = new Set(events.flatMap((event) => ("group" in event ? [event.group] : [])));
  const shown = (message: string | number, group?: string): string => {
    const name = shortened(`${message}`, NAME_WIDTH_MAX);
    return group !== undefined && groups.size > 1
      ? `${name} of ${shortened(group, NAME_WIDTH_MAX)}`
      : name;
  };
  const rows = events.map((event, index): Row => {
    const { process, type } = event;
    const verb = VERBS[type];
    const row = {
      ...{ process, glyph: index === wrong ? "✗" : GLYPHS[type], words: verb, brief: verb },
      ...{ margin: event.line === undefined ? "" : `${event.line}`, isLast: type === "crash" },
    };
    if (type === "internal" || type === "crash") return { ...row, key: `${index}`, arrives: false };
    const isOfGroup = type === "multicast" || type === "deliver";
    const brief = isOfGroup ? shown(event.message, event.group) : shown(event.message);
    const channel = isOfGroup
      ? [event.group]
      : type === "send"
        ? [process, event.to]
        : [event.from, process];
    const key = JSON.stringify([...channel, `${event.message}`]);
    const arrives = type === "deliver" || type === "receive";
    return { ...row, words: `${verb} ${brief}`, brief, key, arrives };
  });
  if (missing) {
    const { process, group } = missing;
    const brief = shown(missing.message, group);
    const key = JSON.stringify([group, `${missing.message}`]);
    const words = `never delivers ${brief}`;
    rows.push({ process, glyph: "✗", words, brief, key, arrives: true });
  }
  return rows;
}
