/** What is looked at as one file: the page itself with the trace in it, a picture, or the trace. */

import { layOut, withCommas } from "../../src/trace/layout.ts";
import { drawSvg } from "../../src/trace/svg-diagram.ts";
import { jsonLines } from "../../src/trace/trace.ts";
import { pageWith } from "../shared-file.ts";
import { marksIn } from "./scene.ts";
import type { Session } from "./session.ts";

/** A picture with more marks is of no use, and slow to open. */
const SVG_MARKS_MAX = 1_500;

/** A file that was made here, and what is to be said of it. */
export interface Saved {
  readonly name: string;
  readonly type: string;
  readonly text: string;
  readonly said: string;
}

export function asPage({ name, trace }: Session): Saved {
  const text = [...jsonLines(trace)].join("\n");
  const html = pageWith({ name, text, hash: location.hash }, document);
  const said = "anybody can open it, without a server; it has the whole trace";
  return { name: `${baseOf(name)}.html`, type: "text/html", text: html, said };
}

export function asTrace({ name, trace }: Session): Saved {
  const text = `${[...jsonLines(trace)].join("\n")}\n`;
  const said = "tidemark trace reads it";
  return { name: `${baseOf(name)}.jsonl`, type: "application/jsonl", text, said };
}

/** What is seen now, between two x of the picture; of more than so many marks runs are drawn together, and then only some are. */
export function asSvg(session: Session, [from, to]: readonly [number, number]): Saved {
  const { order, ranks, name } = session;
  const { scene, cut, time } = session.looked;
  let [first, last] = [Number.POSITIVE_INFINITY, -1];
  for (const row of scene.rows) {
    const timeline = order.trace.timelines[row.process] as Int32Array;
    marksIn(row, from, to, (m) => {
      const { first: position, count } = scene.layout.marks[m] ?? { first: 0, count: 0 };
      for (const e of timeline.subarray(position, position + count)) {
        first = Math.min(first, ranks[e] as number);
        last = Math.max(last, ranks[e] as number);
      }
    });
  }
  const layout = layOut(order, {
    ...{ cut: cut?.counts, time, marksMax: SVG_MARKS_MAX },
    processes: scene.rows.map(({ process }) => process),
    window: [first === Number.POSITIVE_INFINITY ? 1 : first + 1, last + 1],
  });
  const { before, after, collapsed } = layout.notShown;
  const said =
    before + after + collapsed === 0
      ? "it shows all events"
      : `it shows the events of this window; ${withCommas(before + after)} others are not shown, and ${withCommas(collapsed)} are drawn together`;
  return {
    name: `${baseOf(name)}.svg`,
    type: "image/svg+xml",
    text: drawSvg(layout, name),
    said,
  };
}

/** The name of a file without what is behind its dot, and without what names of files cannot have. */
function baseOf(name: string): string {
  return name.replace(/\.[a-z]+$/i, "").replaceAll(/[^\p{L}\p{N}._-]+/gu, "-") || "trace";
}

/** Has the browser save it. */
export function save({ name, type, text }: Saved): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // Once the browser has begun to read it.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
