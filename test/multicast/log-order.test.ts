// Total order by a log: what is read decides, whatever is lost, repeated or made up.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LogOrder } from "../../src/multicast/log-order.ts";
import type { Place } from "../../src/multicast/total-order.ts";
import { cases, fuzzed } from "../support/soak.ts";

const MEMBERS = ["a", "b", "c"];
const life = (member: number): number => member + 1;
const member = (self: number): LogOrder => new LogOrder(self, MEMBERS, life(self), undefined);

const textsOf = (from: LogOrder, lost: readonly number[] = []): readonly string[] =>
  from.takeTexts((member) => lost.includes(member));

/** A log that all of these read to its end. */
class Log {
  readonly texts: string[] = [];

  /** @param lost who is taken for lost */
  take(from: LogOrder, lost: readonly number[] = []): void {
    this.texts.push(...textsOf(from, lost));
  }

  /** @returns what is wrong with what was read */
  readAll(by: LogOrder): (string | undefined)[] {
    return this.texts.map((text, i) => by.read(i + 1, text)).filter((one) => one !== undefined);
  }
}

/** All have begun, in that epoch. */
function begun(members: readonly LogOrder[], epoch = 1): Log {
  const log = new Log();
  for (const one of members) {
    one.open(epoch);
    log.take(one);
  }
  for (const one of members) log.readAll(one);
  return log;
}

/** All that it can deliver. */
function deliver(from: LogOrder): string[] {
  const places: string[] = [];
  for (let next = from.next; next; next = from.next) {
    places.push(`${MEMBERS[next.origin]}${next.number}`);
    from.delivered();
  }
  return places;
}

const all = (): readonly [LogOrder, LogOrder, LogOrder] => [member(0), member(1), member(2)];
const of = (origin: number, number: number): Place => ({ origin, number });

describe("a log", () => {
  test("gives nothing a place before all have written what they know, and names who has not", () => {
    const [a, b, c] = all();
    const log = new Log();
    for (const one of [a, b]) {
      one.open(1);
      log.take(one);
    }
    a.accepted(of(0, 1));
    log.take(a);
    log.readAll(a);
    expect(a.next).toBeUndefined();
    expect(a.waitsFor(of(0, 1))).toEqual({ members: [2] });
    c.open(1);
    log.take(c);
    log.readAll(a);
    log.take(a);
    log.readAll(a);
    expect(a.next).toEqual(of(0, 1));
  });

  test("is written to by one text at a time, and anew when it was lost", () => {
    const members = all();
    const [a, b] = members;
    const log = begun(members);
    a.accepted(of(0, 1));
    log.take(a);
    a.accepted(of(0, 4));
    expect(textsOf(a)).toEqual([]);
    log.readAll(a);
    a.accepted(of(0, 5));
    // Lost on its way.
    expect(textsOf(a)).toHaveLength(1);
    a.accepted(of(0, 7));
    expect(textsOf(a)).toEqual([]);
    a.open(1);
    log.take(a);
    for (const one of [a, b]) log.readAll(one);
    for (const one of [a, b]) expect(deliver(one)).toEqual(["a1", "a4", "a5", "a7"]);
  });

  test("has what a packet may depend on before it, whoever sent that, and nothing else of others", () => {
    const members = all();
    const [a, b, c] = members;
    const log = begun(members);
    for (const place of [of(1, 1), of(2, 1), of(0, 1), of(2, 2)]) a.accepted(place);
    log.take(a);
    b.accepted(of(2, 1));
    expect(textsOf(b)).toEqual([]);
    b.accepted(of(1, 1));
    log.take(b);
    for (const one of members) log.readAll(one);
    for (const one of members) expect(deliver(one)).toEqual(["b1", "c1", "a1"]);
    // Of one that is lost everybody writes.
    expect(textsOf(a)).toEqual([]);
    log.take(a, [2]);
    log.readAll(c);
    expect(deliver(c)).toEqual(["c2"]);
  });

  test("may have texts twice and late: of several places the first one counts", () => {
    const members = all();
    const [a, b] = members;
    const log = begun(members);
    for (const number of [1, 2, 3]) {
      a.accepted(of(0, number));
      log.take(a);
      log.readAll(a);
    }
    const texts = log.texts.slice(-3);
    log.texts.push(...texts, texts[0] as string);
    log.readAll(b);
    expect(deliver(b)).toEqual(["a1", "a2", "a3"]);
  });

  test("has places of many packets of others before an own one, in several texts", () => {
    const members = all();
    const [a, b] = members;
    const log = begun(members);
    for (const [one, origin] of [
      [a, 1],
      [b, 0],
    ] as const) {
      for (let number = 1; number <= 4_500; number += 1) one.accepted(of(origin, number));
      for (let number = 1; number <= 4_500; number += 1) one.accepted(of(1 - origin, number));
    }
    for (let texts = -1; texts < log.texts.length; ) {
      texts = log.texts.length;
      for (const one of members) {
        log.take(one);
        log.readAll(one);
      }
    }
    const [first, second, third] = members.map(deliver);
    expect(first).toHaveLength(9_000);
    expect(second).toEqual(first);
    expect(third).toEqual(first);
  });

  test("of which all have delivered something is not remembered so far", () => {
    const members = all();
    const log = begun(members);
    const [a, b, c] = members;
    for (let number = 1; number <= 1_000; number += 1) {
      a.accepted(of(0, number));
      log.take(a);
      const text = log.texts.at(-1) as string;
      for (const one of members) one.read(log.texts.length, text);
      for (const one of members) deliver(one);
      a.heard(1, b.state.count);
      if (number < 990) a.heard(2, c.state.count);
    }
    expect(a.state.past.length).toBe(11);
    expect(a.state.accepted).toEqual([]);
  });

  test("of another epoch: the longest past counts, and what has no packet is no part of it", () => {
    const members = all();
    const [a, b, c] = members;
    const log = begun(members);
    for (const one of members) for (const number of [1, 2, 3]) one.accepted(of(0, number));
    log.take(a);
    b.accepted(of(1, 1));
    log.take(b);
    log.readAll(a);
    log.readAll(b);
    // a delivers all, b one, and c has read nothing. Then all go back to that, and what b sent was sent behind the cut.
    expect(deliver(a)).toEqual(["a1", "a2", "a3", "b1"]);
    b.delivered();
    const cut = a.state.past.length;
    expect(cut).toBe(4);
    a.state.past.pop();
    a.state.count -= 1;
    a.state.delivered[1] = 0;
    a.state.line.push(of(1, 1));
    for (const one of members) one.start(({ origin }) => origin === 0);
    expect(a.state.line).toEqual([]);
    expect(b.state.line).toEqual([of(0, 2), of(0, 3)]);
    const next = new Log();
    for (const one of [c, b, a]) {
      one.open(2);
      next.take(one);
    }
    b.accepted(of(1, 1));
    for (const one of members) next.readAll(one);
    expect([deliver(a), deliver(b), deliver(c)]).toEqual([[], ["a2", "a3"], ["a1", "a2", "a3"]]);
    next.take(b);
    for (const one of members) {
      next.readAll(one);
      expect(deliver(one)).toEqual(["b1"]);
    }
  });

  test("heeds the first life of a member, and no other", () => {
    const [a] = all();
    const log = begun([a, member(1), member(2)]);
    log.texts.push(JSON.stringify({ from: "b", life: 77, text: 1, places: [[1, 1]] }));
    log.texts.push(JSON.stringify({ from: "b", life: 77, first: 0, places: [], more: false }));
    log.readAll(a);
    expect(a.next).toBeUndefined();
    // Of one that comes back without its state the log is another one's.
    const again = new LogOrder(1, MEMBERS, 77, undefined);
    again.open(1);
    log.readAll(again);
    expect([a.state.isForeign, again.state.isForeign]).toEqual([false, true]);
  });

  test("with anything in it stops nobody, and is told", { timeout: 7_200_000 }, () => {
    const numRuns = cases("order-log-fuzz", 1_000, 1_000_000);
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .record(
          {
            from: fc.constantFrom<unknown>("a", "b", "x", 1),
            life: fc.constantFrom<unknown>(1, 2, 0, -1, "1"),
            text: fc.oneof(fc.nat(5), fc.double(), fc.constant(null)),
            first: fc.oneof(fc.nat(5), fc.double()),
            places: fc.array(fc.oneof(fc.tuple(fc.nat(4), fc.nat(9)), fc.anything())),
            more: fc.oneof(fc.boolean(), fc.nat(1)),
          },
          { requiredKeys: [] },
        )
        .map((value) => JSON.stringify(value)),
    );
    fc.assert(
      fc.property(fc.array(text), fc.boolean(), (texts, isBegun) => {
        const members = all();
        if (isBegun) begun(members);
        const [one, other] = [members[0], members[1]];
        texts.forEach((read, i) => {
          expect(one.read(i + 10, read)).toBe(other.read(i + 10, read));
          expect(one.next).toEqual(other.next);
        });
      }),
      { numRuns },
    );
    fuzzed("order log", numRuns);
    const [a] = all();
    expect(a.read(1, "{")).toBe("it is no JSON");
    expect(a.read(2, "{}")).toBe("it is of no member");
    expect(a.read(3, '{"from":"a"}')).toBe("it is of no life");
    expect(a.read(4, '{"from":"a","life":1}')).toBe("its places are none");
    expect(a.read(5, '{"from":"a","life":1,"places":[]}')).toBe(
      "it is neither a past nor has a number",
    );
    expect(a.read(6, '{"from":"a","life":1,"first":0,"places":[[9,1]],"more":false}')).toBe(
      "its places are none",
    );
  });
});
