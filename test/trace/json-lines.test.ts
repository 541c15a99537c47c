// Tidemark's own form of a trace: what is written is read again as the same, and what is no trace is refused.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { parseHistory } from "../../src/trace/history.ts";
import { jsonLines, parseTrace, type Trace, TraceBuilder } from "../../src/trace/trace.ts";
import { cases } from "../support/soak.ts";

const again = (trace: Trace): Trace => parseTrace([...jsonLines(trace)].join("\n"));

/** Lines of a run in which messages are sent, received, multicast and delivered, with all that may be told of them. */
const lines: fc.Arbitrary<string[]> = fc
  .tuple(
    fc.record({ complete: fc.boolean(), late: fc.boolean() }, { requiredKeys: [] }),
    fc.array(
      fc.record({
        process: fc.constantFrom("p", "q", "a b", "é\n", "__proto__"),
        peer: fc.constantFrom("p", "q", "a b", "x"),
        type: fc.constantFrom(
          "internal",
          "send",
          "receive",
          "multicast",
          "deliver",
          "record",
          "crash",
        ),
        // Of numbered ones up to four are sent at once.
        message: fc.oneof(
          fc.nat(3).map((n) => 5 * n),
          fc.constantFrom("m", "101", "102"),
        ),
        count: fc.integer({ min: 1, max: 4 }),
        shifted: fc.nat(2),
        more: fc.record(
          {
            text: fc.string({ unit: "binary" }),
            atMs: fc
              .double({ noNaN: true, noDefaultInfinity: true })
              .filter((n) => !Object.is(n, -0)),
            heldMs: fc.nat(),
            values: fc.dictionary(fc.string(), fc.jsonValue()),
            fields: fc.dictionary(fc.string(), fc.string()),
            snapshot: fc.constant("p/1"),
            carries: fc.constant("packets"),
            line: fc.integer({ min: 1, max: 9 }),
          },
          { requiredKeys: [] },
        ),
        after: fc.nat(30),
      }),
      { maxLength: 15 },
    ),
  )
  .map(([about, list]) => {
    const counts = new Map<string, number>();
    const sent = new Set<string>();
    const crashed = new Set<string>();
    const head = { type: "history", format: "tidemark-history/1", ...about };
    const all = [JSON.stringify(head)];
    for (const { process, peer, type, message, count, shifted, more, after } of list) {
      const isMany = typeof message === "number" && count > 1;
      const arriving = typeof message === "number" ? message + shifted : message;
      const key = JSON.stringify([type, type === "send" ? [process, peer] : "", `${message}`]);
      if (crashed.has(process) || ((type === "send" || type === "multicast") && sent.has(key)))
        continue;
      sent.add(key);
      if (type === "crash") crashed.add(process);
      const before = [...counts][after % 7];
      counts.set(process, (counts.get(process) ?? 0) + 1);
      all.push(
        JSON.stringify({
          ...{ process, type },
          ...(type === "send" && { to: peer, message }),
          ...(type === "receive" && { from: peer, message: arriving }),
          ...(type === "multicast" && { group: "g", message }),
          ...(type === "deliver" && { group: "g", message, from: peer }),
          ...(isMany && /send|receive|multicast|deliver/.test(type) && { count }),
          ...more,
          ...(before && { after: [[before[0], 1 + (after % before[1])]] }),
        }),
      );
    }
    if (list.length > 7) all.push('{"type":"process","process":"q.2","was":"q"}');
    return all;
  });

describe("a trace", () => {
  test("that is written and read again is the same", () => {
    let arrows = 0;
    fc.assert(
      fc.property(lines, (all) => {
        const trace = parseTrace(all.join("\n"));
        expect(again(trace)).toEqual(trace);
        const { complete = true, late = false } = JSON.parse(all[0] as string);
        expect([trace.complete, trace.late]).toEqual([complete, late]);
        arrows += trace.arrows.length;
      }),
      { numRuns: cases("trace-lines", 200, 20_000) },
    );
    expect(arrows).toBeGreaterThan(0);
  });

  test("has its label and those processes, too, that do nothing, in their order", () => {
    const builder = new TraceBuilder("run 7");
    for (const name of ["z", "y"]) builder.process(name);
    builder.event("y", { type: "internal" });
    const [head = ""] = jsonLines(builder.end());
    expect(JSON.parse(head)).toEqual({
      ...{ type: "history", format: "tidemark-history/1", label: "run 7", processes: ["z", "y"] },
    });
    expect(again(builder.end())).toMatchObject({ label: "run 7", processes: ["z", "y"] });
    expect(parseHistory(head).processes).toEqual([]);
  });

  test("an arrow that is no message's is told by after, and one that is, is not", () => {
    const text = [
      '{"process":"p","type":"send","to":"q","message":1}',
      '{"process":"q","type":"receive","from":"p","message":"1","after":[["r",1]]}',
      '{"process":"r","type":"internal"}',
    ];
    const written = [...jsonLines(parseTrace(text.join("\n")))].filter((line) =>
      line.includes("after"),
    );
    expect(written.map((line) => JSON.parse(line).after)).toEqual([[["r", 1]]]);
  });

  test("an event that has no line is refused by name", () => {
    const of = (name: string, details: Parameters<TraceBuilder["event"]>[1]): (() => unknown) => {
      const builder = new TraceBuilder();
      builder.event(name, details);
      return () => [...jsonLines(builder.end())];
    };
    expect(of("p", { type: "send" })).toThrow(
      'event 1 of "p" cannot be written: it is of type send',
    );
    expect(of("p", { type: "deliver", message: 1 })).toThrow("it is of type deliver");
    expect(of("", { type: "internal" })).toThrow("a process has a name of 1 to 256 characters");
    expect(of("p", { type: "internal", text: "x".repeat(1 << 20) })).toThrow(
      /a line has up to 1048576/,
    );
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i += 1) deep = [deep];
    expect(of("p", { type: "internal", values: { deep } })).toThrow("an event cannot be written");
  });

  test.for([
    ['{"type":"history","label":7}', "trace:1: label is a text, not 7"],
    ['{"type":"history","processes":{}}', "trace:1: processes is a list of names"],
    ['{"type":"history","processes":[""]}', "trace:1: process is a text of 1 to 256 characters"],
    ['{"process":"p","type":"internal","line":"x"}', "trace:1: line is a JSON number"],
  ])("%s is refused", ([text = "", reason = ""]) => {
    expect(() => parseTrace(text)).toThrow(reason);
  });

  test("whatever it is read from, there is a trace or an error with its line", () => {
    const spoiled = fc.tuple(
      lines,
      fc.nat(),
      fc.constantFrom("", "{", "}", '"', "[]", ",", "null", "\n", "9"),
    );
    let traces = 0;
    fc.assert(
      fc.property(spoiled, ([all, at, piece]) => {
        const text = all.join("\n");
        const place = at % (text.length + 1);
        try {
          parseTrace(text.slice(0, place) + piece + text.slice(place + (at % 3)), "fuzz");
          traces += 1;
        } catch (error) {
          if (!isTidemarkError(error, "BAD_OPTION")) throw error;
          expect(error.message).toMatch(/^fuzz:\d+: /);
        }
      }),
      { numRuns: cases("trace-fuzz", 500, 100_000) },
    );
    expect(traces).toBeGreaterThan(0);
  });
});
