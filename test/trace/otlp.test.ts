// Spans of OpenTelemetry: what becomes of them, and what is wrong with a file of them.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { parseOtlp } from "../../src/trace/otlp.ts";
import type { Trace } from "../../src/trace/trace.ts";
import { cases } from "../support/soak.ts";

type Json = Readonly<Record<string, unknown>>;

const attribute = (key: string, stringValue: string): Json => ({ key, value: { stringValue } });

const resource = (attributes: Json, ...spans: Json[]): Json => ({
  resource: {
    attributes: Object.entries(attributes).map(([key, value]) => attribute(key, String(value))),
  },
  scopeSpans: [{ scope: { name: "test" }, spans }],
});

const span = (spanId: string, [from, to]: readonly [number, number], more: Json = {}): Json => ({
  ...{ traceId: "ab", spanId, name: spanId },
  startTimeUnixNano: String(BigInt(from) * 1_000_000n),
  endTimeUnixNano: String(BigInt(to) * 1_000_000n),
  ...more,
});

const file = (...resourceSpans: Json[]): string => JSON.stringify({ resourceSpans });

const shown = (trace: Trace): unknown => ({
  timelines: Object.fromEntries(
    trace.processes.map((name, p) => [
      name,
      [...(trace.timelines[p] ?? [])].map((e) => trace.events[e]?.text),
    ]),
  ),
  arrows: trace.arrows.map(
    ({ from, to }) => `${trace.events[from]?.text} → ${trace.events[to]?.text}`,
  ),
});

/** A call of a server, which asks another one and notes it. */
const CALL = [
  resource({ "service.name": "shop" }, span("call", [1, 9], { kind: 3 })),
  resource(
    { "service.name": "till" },
    span("serve", [2, 8], {
      ...{ kind: 2, parentSpanId: "CALL" },
      events: [{ timeUnixNano: "3000000", name: "looks", attributes: [attribute("key", "42")] }],
    }),
    span("inside", [4, 5], { parentSpanId: "serve" }),
  ),
];

describe("spans", () => {
  test("start and end in their services; a call goes there and comes back", () => {
    const { trace, late, repeated } = parseOtlp(file(...CALL));
    expect(shown(trace)).toEqual({
      timelines: {
        shop: ["call starts", "call ends"],
        till: ["serve starts", "looks", "inside starts", "inside ends", "serve ends"],
      },
      arrows: ["serve ends → call ends", "call starts → serve starts"],
    });
    expect([late, repeated, trace.unexplained]).toEqual([0, 0, []]);
    expect(trace.events[trace.timelines[1]?.[1] ?? -1]).toMatchObject({
      atMs: 3,
      fields: { key: "42" },
    });
    expect(trace.events[trace.timelines[1]?.[0] ?? -1]?.fields).toEqual({
      ...{ traceId: "ab", spanId: "serve", kind: "server" },
    });
  });

  test("may be one object over several lines, one a line, or repeated", () => {
    const whole = parseOtlp(file(...CALL)).trace;
    const bare = (trace: Trace) => shown(trace);
    expect(
      bare(parseOtlp(`\uFEFF${JSON.stringify({ resourceSpans: CALL }, null, 2)}\r\n`).trace),
    ).toEqual(bare(whole));
    const lines = CALL.map((one) => file(one)).join("\n\n");
    expect(bare(parseOtlp(lines).trace)).toEqual(bare(whole));
    expect(parseOtlp(lines).trace.events.map(({ line }) => line)).toEqual([1, 1, 3, 3, 3, 3, 3]);
    expect(parseOtlp(`${lines}\n${lines}`)).toMatchObject({ repeated: 3 });
  });

  test("a call that has not waited for its answer gets none", () => {
    const spans = [
      resource({ "service.name": "shop" }, span("call", [1, 4], { kind: "SPAN_KIND_CLIENT" })),
      resource(
        { "service.name": "till" },
        span("serve", [2, 8], { kind: "SPAN_KIND_SERVER", parentSpanId: "call" }),
      ),
    ];
    const { trace, late } = parseOtlp(file(...spans));
    expect([late, shown(trace)]).toMatchObject([1, { arrows: ["call starts → serve starts"] }]);
  });

  test("who consumes what was produced comes after it, by parent or link, and nothing leads back", () => {
    const links = [
      { traceId: "AB", spanId: "make" },
      { traceId: "ab", spanId: "lost" },
    ];
    const { trace } = parseOtlp(
      file(
        resource({ "service.name": "maker" }, span("make", [1, 2], { kind: 4 })),
        resource({ "service.name": "user" }, span("use", [3, 4], { kind: 5, links })),
        resource(
          { "service.name": "other" },
          span("see", [3, 4], { kind: 5, parentSpanId: "make" }),
        ),
      ),
    );
    expect(shown(trace)).toMatchObject({
      arrows: ["make starts → use starts", "make starts → see starts"],
    });
    expect(trace.unexplained.map((e) => trace.events[e]?.text)).toEqual(["use starts"]);
  });

  test("several instances of a service are several processes", () => {
    const of = (id: string, name: string) =>
      resource(
        { "service.name": "till", ...(id && { "service.instance.id": id }) },
        span(name, [1, 2]),
      );
    const names = (...all: Json[]) => parseOtlp(file(...all)).trace.processes;
    expect(names(of("1", "a"), of("2", "b"))).toEqual(["till/1", "till/2"]);
    expect(names(of("1", "a"), of("1", "b"))).toEqual(["till"]);
    expect(names({ scopeSpans: [{ spans: [span("a", [1, 2])] }] })).toEqual(["unknown_service"]);
    const pid = (value: number) => ({ key: "process.pid", value: { intValue: value } });
    const worker = (value: number, name: string): Json => ({
      ...{ resource: { attributes: [pid(value)] }, scopeSpans: [{ spans: [span(name, [1, 2])] }] },
    });
    expect(names(worker(7, "a"), worker(8, "b"))).toEqual([
      "unknown_service/:7",
      "unknown_service/:8",
    ]);
  });

  test("at one moment what was before ends, then outer spans start first and inner ones end first", () => {
    const till = resource(
      { "service.name": "till" },
      span("inner", [5, 5], { parentSpanId: "outer" }),
      span("outer", [5, 5]),
      span("before", [1, 5]),
      span("after", [5, 9]),
      { ...span("open", [5, 0]), endTimeUnixNano: 0 },
    );
    expect(shown(parseOtlp(file(till)).trace)).toMatchObject({
      timelines: {
        till: [
          ...["before starts", "before ends", "outer starts", "after starts", "open starts"],
          ...["inner starts", "inner ends", "outer ends", "after ends"],
        ],
      },
    });
  });

  test("one that is inside of itself is no harm", () => {
    const till = resource(
      { "service.name": "till" },
      span("a", [1, 2], { parentSpanId: "b" }),
      span("b", [1, 2], { parentSpanId: "a" }),
    );
    expect(parseOtlp(file(till)).trace.events).toHaveLength(4);
  });
});

test("calls of calls, at any depth and with any clocks that go on, make a trace that can have happened", () => {
  // Each call waits for what it calls; every service has a clock of its own, which is off by some time.
  const tree = fc.array(fc.tuple(fc.nat(3), fc.nat(2), fc.integer({ min: 1, max: 3 })), {
    minLength: 1,
    maxLength: 15,
  });
  const off = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(tree, off, (calls, offs) => {
      const spans: Json[][] = [[], [], [], []];
      let now = 100;
      let next = 0;
      const at = (service: number): number => now + (offs[service] ?? 0);
      const call = (from: number, depth: number, parent: string | undefined): void => {
        const [to, below, takes] = calls[next % calls.length] ?? [0, 0, 1];
        const id = `s${next}`;
        next += 1;
        const [begun, heard] = [at(from), at(to)];
        now += takes;
        for (let i = 0; i < below && depth < 4 && next < 30; i += 1) call(to, depth + 1, `${id}s`);
        const of = parent === undefined ? {} : { parentSpanId: parent };
        spans[to]?.push(span(`${id}s`, [heard, at(to)], { kind: 2, parentSpanId: `${id}c` }));
        spans[from]?.push(span(`${id}c`, [begun, at(from)], { kind: 3, ...of }));
        now += 1;
      };
      call(0, 0, undefined);
      const all = spans.map((list, i) => resource({ "service.name": `service${i}` }, ...list));
      const { trace } = parseOtlp(file(...all));
      expect(new CausalOrder(trace).linear).toHaveLength(2 * 2 * next);
    }),
    { numRuns: cases("otlp-calls", 200, 20_000) },
  );
});

test("two clocks that nothing tells apart may make a circle: where it is, is told", () => {
  const till = resource({ "service.name": "till" }, span("first", [50, 60], { kind: 3 }));
  const shop = resource(
    { "service.name": "shop" },
    span("served", [51, 59], { kind: 2, parentSpanId: "first" }),
    span("asks", [53, 58], { kind: 3, parentSpanId: "served" }),
  );
  const other = resource(
    { "service.name": "till" },
    span("again", [4, 8], { kind: 2, parentSpanId: "asks" }),
  );
  expect(() => new CausalOrder(parseOtlp(file(till, shop, other)).trace)).toThrow(
    "no order of the events is possible",
  );
});

describe("what is wrong is told with the line and the place", () => {
  const bad = (more: Json): string => file(resource({}, { ...span("a", [1, 2]), ...more }));
  const at = "x.json:1: resourceSpans[0].scopeSpans[0].spans[0]";
  test.for([
    ["", "x.json: there are no spans in it"],
    ["{}", "x.json: there are no spans in it"],
    ["{\n", "x.json:1: this is no JSON: "],
    ["{}\n[]", "x.json:2: what is there: it is a JSON object"],
    ['{"resourceSpans":{}}', "x.json:1: resourceSpans: it is a list"],
    ['{"resourceSpans":[7]}', "x.json:1: resourceSpans[0]: it is a JSON object"],
    [bad({ spanId: "" }), `${at}.spanId: an id is a text of 1 to 64 characters`],
    [bad({ traceId: 7 }), `${at}.traceId: an id is a text`],
    [bad({ startTimeUnixNano: "0" }), `${at}: it has no startTimeUnixNano`],
    [
      bad({ startTimeUnixNano: "x" }),
      `${at}.startTimeUnixNano: a time is a whole number of nanoseconds`,
    ],
    [bad({ endTimeUnixNano: -1 }), `${at}.endTimeUnixNano: a time is a whole number`],
    [bad({ links: [{ traceId: "a" }] }), `${at}.links[0].spanId: an id is a text`],
    [bad({ events: [{ name: "x" }] }), `${at}.events[0]: it has no time`],
    [bad({ events: [7] }), `${at}.events[0]: it is a JSON object`],
    [bad({ name: 7 }), `${at}.name: a name is a text`],
    [bad({ attributes: [{ value: {} }] }), `${at}.attributes[0].key: a key is a text`],
  ])("%s", ([text = "", reason = ""]) => {
    expect(() => parseOtlp(text, "x.json")).toThrow(reason);
  });

  test("whatever it is, there is a trace or an error that says where", () => {
    const leaf = fc.oneof(fc.constantFrom("", "ab", "1000000", 0, 3, -1, null, true), fc.string());
    const key = fc.constantFrom(
      ...[
        "resourceSpans",
        "scopeSpans",
        "spans",
        "resource",
        "attributes",
        "key",
        "value",
        "traceId",
      ],
      ...[
        "spanId",
        "parentSpanId",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "links",
        "events",
        "name",
        "kind",
      ],
    );
    const { any } = fc.letrec((tie) => ({
      any: fc.oneof(
        { depthSize: "small" },
        leaf,
        fc.array(tie("any"), { maxLength: 3 }),
        fc.dictionary(key, tie("any"), { maxKeys: 6 }),
      ),
    }));
    const spoiled = fc.record({ at: fc.nat(), with: any });
    let traces = 0;
    fc.assert(
      fc.property(fc.array(spoiled, { maxLength: 2 }), fc.nat(), (list, end) => {
        // A good file, in which some values are replaced, and whose end may be cut off.
        let count = 0;
        const text = JSON.stringify({ resourceSpans: CALL }, (_, value) => {
          count += 1;
          return list.find(({ at: place }) => place % 60 === count)?.with ?? value;
        });
        try {
          parseOtlp(end % 5 === 0 ? text.slice(0, end % (text.length + 1)) : text, "fuzz");
          traces += 1;
        } catch (error) {
          if (!isTidemarkError(error, "BAD_OPTION")) throw error;
          expect(error.message).toMatch(/^fuzz(:\d+)?: /);
        }
      }),
      { numRuns: cases("otlp-fuzz", 2_000, 200_000) },
    );
    expect(traces).toBeGreaterThan(0);
  });
});
