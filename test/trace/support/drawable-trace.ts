/** Traces to draw: messages, markers, crashes, odd names and texts; and what is wrong with a layout, found by looking at it. */

import fc from "fast-check";
import type { Layout } from "../../../src/trace/layout.ts";
import { type Trace, TraceBuilder } from "../../../src/trace/trace.ts";

interface Size {
  readonly processes: number;
  readonly steps: number;
}

/** Names and texts that would be something else where they are drawn, if they were not escaped. */
const word = fc.oneof(
  fc.constantFrom("</script><b>", "]]>&amp;\"'", "<!--", "\u001b[31m", "\u2028", "漢字", "x"),
  fc.string({ unit: "grapheme", maxLength: 24 }),
);

/** Each step is a process that does something: it sends, receives the oldest or any message, records, crashes, or none of it. */
export function drawableTrace({ processes, steps }: Size): fc.Arbitrary<Trace> {
  const step = fc.record({
    process: fc.nat(processes - 1),
    to: fc.nat(processes - 1),
    what: fc.constantFrom("send", "send", "receive", "receive", "receive", "internal", "rare"),
    pick: fc.nat(),
    times: fc.constantFrom(1, 1, 1, 5),
    text: fc.option(word, { nil: undefined, freq: 4 }),
    heldMs: fc.constantFrom(0, 0, 0, 4, 2500),
    atMs: fc.option(fc.integer({ min: 0, max: 5000 }), { nil: undefined }),
  });
  return fc.tuple(fc.array(step, { maxLength: steps }), word).map(([list, odd]) => {
    const builder = new TraceBuilder();
    const name = (p: number): string => (p === 0 ? `p${odd.replaceAll(/\s/g, "_")}` : `p${p + 1}`);
    const channels = Array.from(
      { length: processes },
      (): { event: number; mark: boolean }[] => [],
    );
    const crashed = new Set<number>();
    let sent = 0;
    for (const { process, to, what, pick, times, text, heldMs, atMs } of list) {
      if (crashed.has(process)) continue;
      const details = { ...(text !== undefined && { text }), ...(atMs !== undefined && { atMs }) };
      const [own, peer] = [name(process), name(to)];
      for (let time = 0; time < times; time += 1) {
        if (what === "send") {
          sent += 1;
          const event = builder.event(own, { ...details, type: "send", message: sent, peer });
          if (to !== process) channels[to]?.push({ event, mark: false });
        } else if (what === "receive") {
          const inbox = channels[process] ?? [];
          const [message] = inbox.splice(pick % 3 === 0 ? 0 : pick % (inbox.length + 1), 1);
          if (!message) break;
          const marker = message.mark ? { snapshot: "p/1" as const } : {};
          const event = builder.event(own, { ...details, ...marker, type: "receive", heldMs });
          builder.arrow(message.event, event);
        } else if (what === "internal") {
          builder.event(own, { ...details, type: "internal", values: { x: pick % 7 } });
        } else if (pick % 8 === 0) {
          builder.event(own, { ...details, type: "crash" });
          crashed.add(process);
          break;
        } else if (time === 0) {
          builder.event(own, { ...details, type: "record", snapshot: "p/1" });
          for (const [other, inbox] of channels.entries())
            if (other !== process)
              inbox.push({
                event: builder.event(own, { type: "send", snapshot: "p/1", peer: name(other) }),
                mark: true,
              });
        }
      }
    }
    return builder.end();
  });
}

/** What a reader would take for something else than it is. Time is by order. */
export function misleading({ marks, arrows, rows, width, cut }: Layout): string[] {
  const flaws: string[] = [];
  const lines = rows.map((_, row) => marks.filter((mark) => mark.row === row));
  for (const [row, line] of lines.entries())
    for (const [i, mark] of line.entries()) {
      const next = line[i + 1];
      if (mark.x < 0 || mark.x > width) flaws.push(`row ${row}: a mark at ${mark.x} is outside`);
      if (next && next.x < mark.x + 9) flaws.push(`row ${row}: two marks at ${mark.x}`);
      if (next && next.first !== mark.first + mark.count) flaws.push(`row ${row}: a gap`);
    }
  for (const below of [true, false])
    for (const line of lines) {
      let end = 0;
      for (const { x, label } of line.filter((one) => one.isLabelled && one.isBelow === below)) {
        const half = [...label].length * 3.1;
        if (x - half < end) flaws.push(`the label ${label} is on another, or outside`);
        end = x + half;
        if (end > width) flaws.push(`the label ${label} is outside`);
      }
    }
  for (const [i, { from, to, isBent, heldLength }] of arrows.entries()) {
    const [a, b] = [marks[from], marks[to]];
    if (!a || !b) throw new Error(`arrow ${i} has no ends`);
    const end = b.x - heldLength;
    if (from >= to || a.x >= end) flaws.push(`arrow ${i} leads back`);
    if (isBent) continue;
    for (let row = Math.min(a.row, b.row) + 1; row < Math.max(a.row, b.row); row += 1) {
      const x = a.x + ((end - a.x) * (row - a.row)) / (b.row - a.row);
      if (lines[row]?.some((mark) => Math.abs(mark.x - x) < 8.9))
        flaws.push(`arrow ${i} passes through a point of row ${row}`);
    }
  }
  for (const [row, x] of cut?.xs.entries() ?? [])
    for (const mark of lines[row] ?? []) {
      const isInside = mark.first + mark.count <= (cut?.counts[row] ?? 0);
      if (isInside !== mark.x < x) flaws.push(`row ${row}: a mark is on the wrong side of the cut`);
    }
  return flaws;
}
