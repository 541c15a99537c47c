// Logs of ShiViz and GoVector: given cases exactly, the rules once more by their letter, and what is wrong with a log.
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { parseShiviz, type ShivizOptions, shivizLines } from "../../src/trace/shiviz.ts";
import { jsonLines, parseTrace, type Trace, TraceBuilder } from "../../src/trace/trace.ts";
import { cases } from "../support/soak.ts";
import { anyTrace } from "./support/random-trace.ts";

const read = (name: string): string =>
  readFileSync(new URL(`../cases/shiviz/${name}`, import.meta.url), "utf8");

const nameOf = ({ processes, events }: Trace, e: number): string =>
  `${processes[events[e]?.process ?? 0]}:${(events[e]?.position ?? 0) + 1}`;

const edgesOf = (trace: Trace): string[][] =>
  trace.arrows.map(({ from, to }) => [nameOf(trace, from), nameOf(trace, to)]).sort(byText);

const byText = (a: readonly string[], b: readonly string[]): number =>
  `${a}` < `${b}` ? -1 : `${a}` > `${b}` ? 1 : 0;

describe("the given cases", () => {
  const expected: Readonly<Record<string, readonly unknown[]>> = JSON.parse(read("expected.json"));
  const logs: readonly { log: string; parser: string; delimiter: string | null; skip?: number }[] =
    JSON.parse(read("parsers.json"));

  /** An event as the case has it: the line counts from where its execution begins, and the host is a field. */
  function shown(trace: Trace, e: number, firstLine: number): unknown {
    const { process = 0, text, fields, line = 0 } = trace.events[e] ?? {};
    const order = new CausalOrder(trace);
    const host = trace.processes[process] ?? "";
    const clock = trace.processes.map((name, q) => [name, order.known(e, q)] as const);
    return {
      ...{ line: line - firstLine + 1, text, host, fields: { ...fields, host } },
      clock: Object.fromEntries(clock.filter(([, count]) => count > 0)),
    };
  }

  test.for(logs)("$log", ({ log, parser, delimiter, skip }) => {
    const found = parseShiviz(read(log), {
      parser,
      ...(delimiter !== null && { delimiter }),
      ...(skip !== undefined && { skip }),
    });
    const all = found.map(({ trace, line }) => ({
      label: trace.label,
      events: trace.events.length,
      hosts: trace.processes,
      perHost: Object.fromEntries(
        trace.processes.map((name, p) => [name, trace.timelines[p]?.length]),
      ),
      edgeCount: trace.arrows.length,
      edges: edgesOf(trace),
      first: shown(trace, 0, line),
      last: shown(trace, trace.events.length - 1, line),
    }));
    expect(all).toEqual(expected[log]);
  });

  test("a log of GoVector has its expression in its first line, with or without being told", () => {
    const log = read("RpcClientServer.log");
    const { parser } = logs.find((one) => one.log === "RpcClientServer.log") ?? {};
    const [own, given] = [parseShiviz(log), parseShiviz(log, { parser: parser ?? "" })];
    expect(own).toEqual(given);
    expect(own[0]?.trace.events[0]).toMatchObject({ line: 4, text: "Initialization Complete" });
    expect(own[0]?.passedOver).toEqual({ lines: 0 });
  });

  test("lines may end as those of Windows do, and begin with a mark of Unicode", () => {
    for (const { log, parser, delimiter } of logs) {
      const options = { parser, ...(delimiter !== null && { delimiter }) };
      const windows = `\uFEFF${read(log).replaceAll("\n", "\r\n")}`;
      expect(parseShiviz(windows, options)).toEqual(parseShiviz(read(log), options));
    }
  });
});

describe("expressions", () => {
  const log = 'a {"a":1}\none\nb {"b":1,"a":1}\ntwo\n';
  const parser = "(?<host>\\S+) (?<clock>{.*})\\n(?<event>.*)";

  test("groups without a name are none, and other names are fields, also those that begin with a digit", () => {
    const [one] = parseShiviz(log, {
      parser: "(?<host>(\\S)+) (?<1st>(?<clock>{(.*)}))\\n(?<event>(?<word>o|t)(?<none>x)?.*)",
    });
    expect(one?.trace.events.map(({ fields, text }) => [text, fields])).toEqual([
      ["one", { "1st": '{"a":1}', word: "o" }],
      ["two", { "1st": '{"b":1,"a":1}', word: "t" }],
    ]);
    // The second group of that name is the first once more.
    const again = "(?<2>\\w) (?<clock>{.*})\\n(?<host>(?<event>\\w))";
    expect(parseShiviz('x {"y":1}\ny', { parser: again })[0]?.trace.events[0]?.fields).toEqual({
      2: "x",
    });
    const reference = "(?<host>(?<1>\\w)\\k<1>) (?<clock>{.*})\\n(?<event>.*)";
    expect(parseShiviz('xx {"xx":1}\ny', { parser: reference })[0]?.trace.processes).toEqual([
      "xx",
    ]);
  });

  test("what is escaped, or in brackets, is no group; what looks around is none either", () => {
    const odd = `(?<=^)(?<host>\\S+)(?! x) (?<clock>{[^(?<x>\\n]*})\\n(?<event>.*)\\(?(?<!y)`;
    expect(parseShiviz(log, { parser: odd })[0]?.trace.events).toHaveLength(2);
    expect(parseShiviz(log, { parser: odd })[0]?.trace.events[0]?.fields).toBeUndefined();
  });

  test("^ and $ are ends of lines; what no match covers is passed over, and counted", () => {
    const noisy = `begin\n\n${log.replace("\nb", "\nnoise\n  \nmore\nb")}`;
    const [one] = parseShiviz(noisy, { parser: `^${parser}$` });
    expect(one?.trace.events.map(({ line }) => line)).toEqual([3, 8]);
    expect(one?.passedOver).toEqual({ lines: 3, first: 1 });
  });

  test("quotes of clocks may be escaped; entries of 0 are none", () => {
    const [one] = parseShiviz('a {\\"a\\":1, \\"b\\": 0, \\"c\\": 0.0}\none', { parser });
    expect(one?.trace.events).toHaveLength(1);
  });

  test("names that objects have of their own are names like others", () => {
    const odd =
      '__proto__ {"__proto__":1}\none\nconstructor {"constructor":1,"__proto__":1}\ntwo\n';
    const [one] = parseShiviz(odd, { parser });
    expect(edgesOf(one?.trace as Trace)).toEqual([["__proto__:1", "constructor:1"]]);
  });

  test.for([
    [
      "(?<host>\\S+) (?<clock>{.*})",
      "the parser has no group (?<event>…); it names host, clock and event",
    ],
    ["(?<host>.)(?<host>.)(?<clock>.)(?<event>.)", "two groups have the name host"],
    ["(?<host>.)(?<clock>.)(?<event>.", "Unterminated group"],
    ["(?<host>.)|(?<clock>.)|(?<event>.)", "the parser finds no host, clock or event"],
    ["(?<host>x*)(?<clock>y*)(?<event>z*)", "a host has a name of 1 to 256 characters"],
    [`${parser}never`, "log:1: the parser finds no event"],
    [`(${"a".repeat(70_000)})`, "it has more than 65536 characters"],
  ])("%s is refused", ([bad = "", reason = ""]) => {
    expect(() => parseShiviz(log, { parser: bad })).toThrow(reason);
  });
});

describe("executions", () => {
  const run = (host: string): string => `one\n${host} {"${host}":1}\n`;

  test("labels are what the delimiter captures, or its number; empty ones are none", () => {
    const log = `${run("a")}=== x ===\n${run("b")}=== y ===\n\n=== z ===\n${run("c")}`;
    const labels = (delimiter: string): unknown =>
      parseShiviz(log, { delimiter }).map(({ trace, line }) => [trace.label, line]);
    expect(labels("^=== (?<trace>.*) ===$")).toEqual([
      ["", 1],
      ["x", 3],
      ["z", 8],
    ]);
    expect(labels("^(=)+ \\w =*$")).toEqual([
      ["", 1],
      ["1", 3],
      ["3", 8],
    ]);
  });

  test("the second line of a log whose first one is an expression is its delimiter", () => {
    const log = `(?<host>\\S*) (?<clock>{.*})\\n(?<event>.*)\n--(?<trace>\\w)\n--p\na {"a":1}\nx\n--q\nb {"b":1}\ny\n`;
    expect(parseShiviz(log).map(({ trace }) => [trace.label, trace.processes])).toEqual([
      ["p", ["a"]],
      ["q", ["b"]],
    ]);
    const texts = (options: ShivizOptions): unknown =>
      parseShiviz(log, options).map(({ trace }) => trace.events.map(({ text }) => text));
    expect(texts({ delimiter: "" })).toEqual([["x", "y"]]);
    // Told that nothing is to be passed over, it is text like any other.
    expect(texts({ skip: 0 })).toEqual([["--p", "--q"]]);
    expect(texts({ skip: 3 })).toEqual([["--q"]]);
  });

  test("two of one label are refused, as ShiViz does", () => {
    const log = `--x\n${run("a")}--x\n${run("b")}`;
    expect(() => parseShiviz(log, { delimiter: "^--(?<trace>.)$" })).toThrow(
      'log:4: two executions have the label "x"; the first begins at line 1',
    );
  });

  test("one without events is refused, and so is nothing at all", () => {
    const delimiter = "^--(?<trace>.)$";
    expect(() => parseShiviz(`--x\n${run("a")}--y\nnoise\n`, { delimiter })).toThrow(
      'log:4: the parser finds no event in execution "y"',
    );
    expect(() => parseShiviz("--x\n\n", { delimiter })).toThrow("log: there is nothing in it");
  });
});

describe("what is wrong with a log is told with the event and the line", () => {
  test.for([
    ['a {"b":1}', 'event "e2" of "a": its clock "{\\"b\\":1}" has no entry for "a" itself'],
    ["a {x}", 'event "e2" of "a": its clock "{x}" is no JSON: '],
    ['a {"a":2,}', "is no JSON"],
    ['a {"a":3}', 'event "e2" of "a": its count is 3, and the one before it (line 1) has 1'],
    ['a {"a":1}', 'event "e2" of "a": its count is 1, and the one before it (line 1) has 1'],
    ['c {"c":2}', 'event "e2" of "c": it is the first one there and has the count 2'],
    ['c {"c":0}', 'event "e2" of "c": it is the first one there and has the count 0'],
    ['c {"c":1,"d":1}', 'event "e2" of "c": its clock names "d", of which there is no event'],
    ['c {"c":1,"a":2}', 'event "e2" of "c": its clock has 2 for "a", of which there is 1 event'],
    ['c {"c":1,"a":-1}', 'its clock has "-1" for "a"; counts are whole numbers from 0'],
    ['c {"c":1,"a":1.5}', 'its clock has "1.5" for "a"'],
    ['c {"c":1,"a":"1"}', 'its clock has "\\"1\\"" for "a"'],
    ['c {"c":1e99}', "counts are whole numbers from 0"],
  ])("%s", ([line = "", reason = ""]) => {
    const log = `e1\na {"a":1}\n\ne2\n${line}\n`;
    let told = "";
    try {
      parseShiviz(log, { name: "x.log" });
    } catch (error) {
      if (isTidemarkError(error, "BAD_OPTION")) told = error.message;
    }
    expect(told.startsWith("x.log:4: "), told).toBe(true);
    expect(told).toContain(reason);
  });

  test("lines of a host need not be in order", () => {
    const [one] = parseShiviz('two\na {"a":2,"b":1}\none\na {"a":1}\nx\nb {"b":1}\n');
    expect(one?.trace.events.map(({ text }) => text)).toEqual(["one", "two", "x"]);
    expect(edgesOf(one?.trace as Trace)).toEqual([["b:1", "a:2"]]);
  });
});

/** The rules of ShiViz by their letter, on clocks that may be anything; and how many candidates are no arrows. */
function graphByLetter(
  events: readonly { readonly host: string; readonly clock: ReadonlyMap<string, number> }[],
): { readonly edges: string[][]; readonly dropped: number } {
  const edges: string[][] = [];
  let dropped = 0;
  const at = (host: string, count: number) =>
    events.find((one) => one.host === host && one.clock.get(host) === count);
  for (const host of new Set(events.map((one) => one.host))) {
    const seen = new Map<string, number>();
    for (let own = 1; ; own += 1) {
      const event = at(host, own);
      if (event === undefined) break;
      seen.set(host, own);
      const candidates = [...event.clock].filter(
        ([other, count]) => other !== host && count > (seen.get(other) ?? 0),
      );
      for (const [other, count] of candidates) seen.set(other, count);
      for (const [other, count] of candidates) {
        const known = candidates.some(
          ([third, time]) => third !== other && at(third, time)?.clock.get(other) === count,
        );
        if (known) dropped += 1;
        else edges.push([`${other}:${count}`, `${host}:${own}`]);
      }
    }
  }
  return { edges: edges.sort(byText), dropped };
}

test("arrows are those of the rules by their letter, also of clocks that no run can have", () => {
  const hosts = ["a", "b", "c", "d"];
  const counts = fc.array(fc.nat(3), { minLength: 4, maxLength: 4 });
  const one = fc.record({ host: fc.nat(3), counts });
  let [drawn, without] = [0, 0];
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 12 }), (list) => {
      const own = new Map<string, number>();
      for (const { host } of list) {
        const name = hosts[host] ?? "";
        own.set(name, (own.get(name) ?? 0) + 1);
      }
      const done = new Map<string, number>();
      const events = list.map(({ host, counts: other }) => {
        const name = hosts[host] ?? "";
        done.set(name, (done.get(name) ?? 0) + 1);
        const clock = hosts.map((to, i): [string, number] => [
          to,
          to === name ? (done.get(to) ?? 0) : Math.min(other[i] ?? 0, own.get(to) ?? 0),
        ]);
        return { host: name, clock: new Map(clock.filter(([, count]) => count > 0)) };
      });
      const log = events.map(
        ({ host, clock }, i) => `e${i}\n${host} ${JSON.stringify(Object.fromEntries(clock))}`,
      );
      const edges = edgesOf(parseShiviz(log.join("\n"))[0]?.trace as Trace);
      const byLetter = graphByLetter(events);
      expect(edges).toEqual(byLetter.edges);
      drawn += edges.length;
      without += byLetter.dropped;
    }),
    { numRuns: cases("shiviz-rules", 300, 50_000) },
  );
  expect(Math.min(drawn, without)).toBeGreaterThan(0);
});

describe("a trace that is written is read again", () => {
  const traces = anyTrace({ processes: 4, events: 25 });

  test("as a log: with the same happens-before, and as few arrows as can be", () => {
    let fewer = 0;
    fc.assert(
      fc.property(traces, (trace) => {
        const [one] = parseShiviz([...shivizLines(trace)].join("\n"));
        const again = one?.trace as Trace;
        const [order, other] = [new CausalOrder(trace), new CausalOrder(again)];
        const place = (e: number): number =>
          again.timelines[
            again.processes.indexOf(trace.processes[trace.events[e]?.process ?? 0] ?? "")
          ]?.[trace.events[e]?.position ?? 0] ?? -1;
        for (const a of trace.events.keys())
          for (const b of trace.events.keys())
            expect(other.happensBefore(place(a), place(b))).toBe(order.happensBefore(a, b));
        expect(again.arrows.length).toBeLessThanOrEqual(trace.arrows.length);
        if (again.arrows.length < trace.arrows.length) fewer += 1;
      }),
      { numRuns: cases("shiviz-round", 100, 5_000) },
    );
    expect(fewer).toBeGreaterThan(0);
  });

  test("whatever texts and names have in them, ShiViz finds each event, and its own form is the same again", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string({
        unit: fc.constantFrom("\n", "\r", "\u2028", "{", "}", " ", '"', "\\", "%", "a", "<", "("),
      }),
    );
    const name = text.filter((one) => one !== "" && one.length <= 100);
    const list = fc.array(fc.record({ process: fc.nat(2), text, from: fc.nat() }), {
      minLength: 1,
      maxLength: 10,
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(name, { minLength: 3, maxLength: 3 }),
        text,
        list,
        (names, label, events) => {
          const builder = new TraceBuilder(label);
          for (const one of names) builder.process(one);
          for (const [i, event] of events.entries()) {
            builder.event(names[event.process] ?? "", { type: "internal", text: event.text });
            if (i > 0) builder.arrow(event.from % i, i);
          }
          const trace = builder.end();
          const [one] = parseShiviz([...shivizLines(trace)].join("\n"));
          expect(one?.trace.events.length).toBe(events.length);
          expect(one?.passedOver.lines).toBe(0);
          const again = parseTrace([...jsonLines(trace)].join("\n"));
          const bare = { ...again, events: again.events.map(({ line: _, ...event }) => event) };
          expect(bare).toEqual(trace);
        },
      ),
      { numRuns: cases("shiviz-texts", 100, 20_000) },
    );
  });
});

test("more processes than a trace has are refused at the event that is one too many", () => {
  const log = Array.from({ length: 4_097 }, (_, i) => `e${i}\nh${i} {"h${i}":1}`).join("\n");
  expect(() => parseShiviz(log)).toThrow(
    'log:8193: event "e4096" of "h4096": a trace has up to 4096 processes',
  );
});

test("whatever is imported, there is a trace or an error that says where", () => {
  const piece = fc.constantFrom(
    ...['e\na {"a":1}\n', 'f\nb {"b":1}\n', 'g\nb {"b":2,"a":1}\n', "\n--x\n", 'a {"a":1}'],
    ...['b {"b":1,"a":1}', "e", "\n", "\r\n", " ", '{"', "}", "--x", '\\"', "a", "{}"],
    ...["(?<host>\\S*) (?<clock>{.*})\\n(?<event>.*)", "[]", "null", '{"a":', "\uFEFF", "0", "é"],
  );
  const expression = fc.constantFrom(
    ...[
      "(?<host>\\S*) (?<clock>{.*})\\n(?<event>.*)",
      "(?<host>.)(?<clock>.*)(?<event>.*)",
      "(",
      "",
    ],
    ...[
      "(?<event>.*)\\n(?<host>.*) (?<clock>.*)",
      "--(?<trace>.)",
      "$",
      "^",
      "(?<clock>(?<host>(?<event>\\w*)))",
    ],
  );
  const options: fc.Arbitrary<ShivizOptions> = fc.record(
    { parser: expression, delimiter: expression, skip: fc.nat(2) },
    { requiredKeys: [] },
  );
  let traces = 0;
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), options, (pieces, chosen) => {
      try {
        traces += parseShiviz(pieces.join(""), { ...chosen, name: "fuzz" }).length;
      } catch (error) {
        if (!isTidemarkError(error, "BAD_OPTION")) throw error;
        expect(error.message).toMatch(/^fuzz(:\d+)?: |^the (parser|delimiter) /);
      }
    }),
    { numRuns: cases("shiviz-fuzz", 2_000, 200_000) },
  );
  expect(traces).toBeGreaterThan(0);
});

test("what goes wrong while an event is looked for is told with the line that was come to", () => {
  const log = 'e1\na {"a":1}\ne2\na {"a":2}\n';
  const findAll = function* (expression: RegExp, text: string): Generator<RegExpExecArray> {
    for (const match of text.matchAll(expression)) {
      yield match;
      throw new Error("it takes too long");
    }
  };
  expect(() => parseShiviz(log, { findAll })).toThrow("log:2: it takes too long");
});
