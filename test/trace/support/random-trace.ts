/** Random traces: events of a few processes, and arrows that go forward in some order of them. */

import fc from "fast-check";
import { type Trace, TraceBuilder } from "../../../src/trace/trace.ts";

/** How large. */
interface Size {
  readonly processes: number;
  readonly events: number;
}

/** Each event is of some process; an arrow leads from an earlier one to a later one; `x` is a small number that changes. */
export function anyTrace({ processes, events }: Size): fc.Arbitrary<Trace> {
  const event = fc.record({
    process: fc.nat(processes - 1),
    x: fc.integer({ min: -2, max: 3 }),
    sources: fc.array(fc.nat(), { maxLength: 2 }),
    receives: fc.boolean(),
  });
  return fc.array(event, { minLength: 1, maxLength: events }).map((list) => {
    const builder = new TraceBuilder();
    for (let p = 0; p < processes; p += 1) builder.process(`p${p + 1}`);
    for (const [i, { process, x, sources, receives }] of list.entries()) {
      builder.event(`p${process + 1}`, { type: "internal", values: { x } });
      if (receives && i > 0) for (const source of sources) builder.arrow(source % i, i);
    }
    return builder.end();
  });
}

/** All cuts of a trace, consistent or not. */
export function* allCuts(trace: Trace): Generator<Int32Array> {
  const sizes = trace.timelines.map(({ length }) => length);
  const cut = new Int32Array(sizes.length);
  for (;;) {
    yield cut.slice();
    let p = 0;
    for (; p < sizes.length; p += 1) {
      if ((cut[p] as number) < (sizes[p] as number)) {
        cut[p] = (cut[p] as number) + 1;
        break;
      }
      cut[p] = 0;
    }
    if (p === sizes.length) return;
  }
}
