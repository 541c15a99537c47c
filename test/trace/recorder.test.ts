import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ObservedBodies, Valued } from "../../src/core/observer.ts";
import { writeRecords } from "../../src/core/record.ts";
import { encodeUtf8 } from "../../src/core/utf8.ts";
import { jsonCodec } from "../../src/process/codec.ts";
import { Recorder, type RecorderOptions } from "../../src/trace/recorder.ts";
import { traceLines } from "../../src/trace/recording.ts";
import { parseTrace } from "../../src/trace/trace.ts";

const life = (incarnation: number, epoch = 1) => ({ process: "p", incarnation, epoch });
const bodies = (...messages: readonly unknown[]): ObservedBodies => ({
  body: writeRecords(messages.map((one) => encodeUtf8(JSON.stringify(one)))),
  codec: jsonCodec<unknown>(),
});
const range = (first: number, count = 1) => ({ peer: "q", peerLife: 8, first, count });

/** Turns with one event each. */
function turns(recorder: Recorder, many: number, application: Valued = {}, from = 0): void {
  for (let i = from; i < from + many; i += 1) {
    recorder.turnBegins(life(7), i, i === 0);
    recorder.sent(range(i + 1), bodies(i));
    recorder.turnEnds(application);
  }
}

const numbers = (recorder: Recorder) => recorder.recording().events.map(({ number }) => number);

describe("a recorder", () => {
  test("keeps the newest events, whatever their number and its size", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.nat(5000), (events, many) => {
        const recorder = new Recorder("p", { events });
        turns(recorder, many);
        const kept = Math.min(events, many);
        expect(numbers(recorder)).toEqual(
          Array.from({ length: kept }, (_, i) => many - kept + i + 1),
        );
        expect(recorder.recording().lost).toBe(many - kept);
      }),
      { numRuns: 40 },
    );
  });

  test("goes back to a mark, and on from there", () => {
    fc.assert(
      fc.property(fc.nat(200), fc.nat(200), fc.nat(200), (before, undone, after) => {
        const recorder = new Recorder("p", { events: 64 });
        let value = 0;
        const application = { values: () => ({ value }) };
        value = 1;
        turns(recorder, before, application);
        const mark = recorder.mark();
        value = 2;
        turns(recorder, undone, application, before);
        recorder.rewind(mark);
        turns(recorder, after, application, before);
        const undoneToo = Math.min(64, before + undone);
        const kept = Math.min(64, Math.max(0, undoneToo - undone) + after);
        expect(numbers(recorder)).toEqual(
          Array.from({ length: kept }, (_, i) => before + after - kept + i + 1),
        );
        expect(recorder.recording().lost).toBe(before + after - kept);
        // Also of values that changed in steps that are not here, or were taken back.
        let now: unknown;
        for (const { number = 0, values } of recorder.recording().events) {
          now = values?.["value"] ?? now;
          expect(now).toBe(number <= before ? 1 : 2);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("says what a message is, if it is asked to, and how many there are", () => {
    const recorder = new Recorder("p", { text: true });
    recorder.turnBegins(life(7), 1, true);
    recorder.sent(range(1, 3), bodies({ a: 1 }, 2, 3));
    recorder.received(range(1), bodies("x".repeat(200)));
    recorder.received(range(2), { body: writeRecords([encodeUtf8("{")]), codec: jsonCodec() });
    const texts = recorder.recording().events.map(({ text }) => text);
    expect(texts[0]).toBe('{"a":1} and 2 more');
    expect(texts[1]).toBe(`${"x".repeat(79)}…`);
    expect(texts[2]).toMatch(/^it cannot be decoded: /);
  });

  test("keeps values that have changed, at the last event of the turn; and those at a cut before it", () => {
    const recorder = new Recorder("p");
    let balance = 10;
    const application = { values: () => ({ balance, name: "n" }) };
    recorder.turnBegins(life(7), 1, true);
    recorder.received(range(1), bodies(1));
    recorder.sent(range(1), bodies(1));
    recorder.turnEnds(application);
    turns(recorder, 1, application, 2);
    recorder.turnBegins(life(7), 5, false);
    balance = 20;
    recorder.recorded("p/1", application);
    recorder.turnEnds(application);
    const { events } = recorder.recording();
    expect(events.map(({ type, values }) => [type, values])).toEqual([
      ["receive", undefined],
      ["send", { balance: 10, name: "n" }],
      ["send", undefined],
      ["internal", { balance: 20 }],
      ["record", undefined],
    ]);
  });

  test("asks for values no more often than it is told", () => {
    const recorder = new Recorder("p", { valuesEveryMs: 10 });
    let asked = 0;
    const values = () => {
      asked += 1;
      return { asked };
    };
    turns(recorder, 100, { values });
    expect(asked).toBe(10);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("not now");
      },
      /values cannot be had: not now/,
    ],
    ["are no plain values", () => ({ list: [] }), /list is no number, text, boolean or null/],
    ["are no numbers", () => ({ part: Number.NaN }), /part is no number/],
    [
      "are many",
      () => Object.fromEntries(Array.from({ length: 65 }, (_, i) => [i, i])),
      /more than 64/,
    ],
  ])("an application whose values %s is asked once, and that is recorded", (_, values, reason) => {
    const recorder = new Recorder("p");
    let asked = 0;
    turns(recorder, 3, {
      values: () => {
        asked += 1;
        return values();
      },
    });
    expect(asked).toBe(1);
    const { events } = recorder.recording();
    expect(events.filter(({ type }) => type === "internal").map(({ text }) => text)).toEqual([
      expect.stringMatching(reason),
    ]);
  });

  test("a field of an application that happens to be called values is left alone", () => {
    const recorder = new Recorder("p");
    turns(recorder, 1, { values: [1, 2] as unknown as () => Record<string, unknown> });
    expect(recorder.recording().events).toHaveLength(1);
  });

  test("refuses options that make no sense", () => {
    for (const [options, reason] of [
      [{ events: 0 }, "events is a whole number from 1 to 4194304, not 0"],
      [{ events: 1e9 }, "events is a whole number"],
      [{ every: 1.5 }, "every is a whole number"],
      [{ text: "yes" }, "text is true or false"],
      [{ valuesEveryMs: -1 }, "valuesEveryMs is a number from 0"],
      [{ size: 5 }, "there is no option size"],
      [[], "the options are an object"],
    ] as const)
      expect(() => new Recorder("p", options as RecorderOptions)).toThrow(reason);
  });
});

describe("a trace of recordings", () => {
  test("calls each life by a name of its own, and says what it was before", () => {
    const p = new Recorder("p");
    const other = new Recorder("p.2");
    other.turnBegins({ process: "p.2", incarnation: 1, epoch: 1 }, 0, true);
    other.happened("starts");
    for (const incarnation of [7, 9]) {
      p.turnBegins(life(incarnation), incarnation, true);
      p.sent({ peer: "q", peerLife: 0, first: 1, count: 2 }, bodies(1, 2));
      p.met("q", 8);
    }
    const q = new Recorder("q");
    q.turnBegins({ process: "q", incarnation: 8, epoch: 1 }, 20, true);
    for (const peerLife of [7, 9])
      q.received({ peer: "p", peerLife, first: 1, count: 2 }, bodies(1, 2));
    const lines = [...traceLines([p, other, q].map((one) => one.recording()))];
    const trace = parseTrace(lines.join("\n"));
    expect(trace.processes).toEqual(["p.3", "p", "p.2", "q"]);
    expect([...trace.was]).toEqual([1, -1, -1, -1]);
    expect(trace.unexplained).toEqual([]);
    // Each life's own message, though both have the same number.
    const ends = trace.arrows.map(({ from, to }) => [
      trace.processes[trace.events[from]?.process ?? 0],
      trace.events[to]?.peer,
    ]);
    expect(ends).toEqual([
      ["p", "p"],
      ["p.3", "p.3"],
    ]);
  });

  test("is complete only if it is said to be, and nothing is missing", () => {
    const head = (options: RecorderOptions, complete?: boolean): unknown => {
      const recorder = new Recorder("p", options);
      turns(recorder, 3);
      const [line = ""] = traceLines(
        [recorder.recording()],
        complete === undefined ? {} : { complete },
      );
      const { type: _, format: __, ...rest } = JSON.parse(line);
      return rest;
    };
    expect(head({}, true)).toEqual({ complete: true });
    expect(head({})).toEqual({ complete: false });
    expect(head({ events: 2 }, true)).toEqual({ complete: false, late: true });
    expect(head({ every: 2 }, true)).toEqual({ complete: false, late: true });
  });
});
