import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  compareStamps,
  LamportClock,
  type Relation,
  VectorClock,
  type VectorStamp,
} from "../../src/core/clock.ts";

/** A computation: each event is local, or receives what an earlier event of another process sent. */
interface Event {
  readonly process: number;
  /** The index of the event that sent what this one receives. */
  readonly source: number | undefined;
}

const IDS = ["p1", "p2", "constructor", "7"];

const computations: fc.Arbitrary<Event[]> = fc
  .array(fc.record({ process: fc.nat(IDS.length - 1), source: fc.option(fc.nat()) }), {
    maxLength: 40,
  })
  .map((events) =>
    events.map(({ process, source }, i) => {
      const from = source === null || i === 0 ? undefined : source % i;
      const local = from === undefined || events[from]?.process === process;
      return { process, source: local ? undefined : from };
    }),
  );

/** happensBefore[i] holds every event that is before event i, straight from the definition. */
function happensBefore(events: readonly Event[]): Set<number>[] {
  const past: Set<number>[] = [];
  const latest = new Map<number, number>();
  events.forEach(({ process, source }, i) => {
    const before = new Set<number>();
    for (const one of [latest.get(process), source]) {
      if (one === undefined) continue;
      before.add(one);
      for (const earlier of past[one] ?? []) before.add(earlier);
    }
    past.push(before);
    latest.set(process, i);
  });
  return past;
}

describe("Lamport's clock", () => {
  test("grows along happens-before (Lamport 1978, the Clock Condition)", () => {
    fc.assert(
      fc.property(computations, (events) => {
        const clocks = IDS.map(() => new LamportClock());
        const stamps: number[] = [];
        for (const { process, source } of events) {
          const clock = clocks[process] as LamportClock;
          stamps.push(source === undefined ? clock.tick() : clock.receive(stamps[source] ?? 0));
        }
        happensBefore(events).forEach((past, i) => {
          for (const earlier of past) expect(stamps[earlier]).toBeLessThan(stamps[i] as number);
        });
      }),
    );
  });

  test("goes on from a time that was kept", () => {
    const clock = new LamportClock(41);
    expect(clock.time).toBe(41);
    expect(clock.tick()).toBe(42);
    expect(clock.receive(10)).toBe(43);
    expect(clock.receive(100)).toBe(101);
    expect(clock.time).toBe(101);
  });
});

describe("a vector clock", () => {
  test("is before, after or concurrent exactly as happens-before says (Mattern 1989, Fidge 1988)", () => {
    fc.assert(
      fc.property(computations, (events) => {
        const clocks = IDS.map((id) => new VectorClock(id));
        const stamps: VectorStamp[] = [];
        for (const { process, source } of events) {
          const clock = clocks[process] as VectorClock;
          stamps.push(source === undefined ? clock.tick() : clock.receive(stamps[source] ?? {}));
        }
        const past = happensBefore(events);
        for (const [i, a] of stamps.entries())
          for (const [j, b] of stamps.entries()) {
            const before = past[j]?.has(i) ? "before" : "concurrent";
            const relation: Relation = i === j ? "equal" : past[i]?.has(j) ? "after" : before;
            expect(compareStamps(a, b)).toBe(relation);
          }
      }),
    );
  });

  test("gives a stamp that later events do not change", () => {
    const clock = new VectorClock("p1");
    const first = clock.tick();
    clock.receive({ p2: 3 });
    expect(first).toEqual({ p1: 1 });
    expect(clock.stamp).toEqual({ p1: 2, p2: 3 });
  });

  test("goes on from a stamp that was kept, and leaves it alone", () => {
    const kept = { p1: 4, p2: 2 };
    const clock = new VectorClock("p1", kept);
    expect(clock.tick()).toEqual({ p1: 5, p2: 2 });
    expect(kept).toEqual({ p1: 4, p2: 2 });
  });

  test("an absent process counts 0, also if its id is the name of something of every object", () => {
    expect(compareStamps({}, { constructor: 0, toString: 0 } as unknown as VectorStamp)).toBe(
      "equal",
    );
    expect(compareStamps({}, JSON.parse('{"constructor": 1}'))).toBe("before");
    expect(compareStamps({ p1: 1 }, { toString: 1 } as unknown as VectorStamp)).toBe("concurrent");
  });
});
