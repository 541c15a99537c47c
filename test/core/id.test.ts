import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import {
  checkProcessId,
  isProcessId,
  isSnapshotId,
  parseSnapshotId,
  snapshotId,
} from "../../src/core/id.ts";

const FIRST = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const processIds = fc
  .tuple(
    fc.constantFrom(...FIRST),
    fc.string({ unit: fc.constantFrom(...FIRST, ".", "_", "-"), maxLength: 63 }),
  )
  .map(([first, rest]) => first + rest);

/** What is no id, from a program or a file. */
const NO_PROCESS: readonly unknown[] = [
  "",
  ".hidden",
  "-rf",
  "_p",
  "__proto__",
  "a b",
  "a/b",
  "p1\n",
  "\np1",
  "é",
  "p\u0000",
  "x".repeat(65),
  7,
  7n,
  null,
  undefined,
  true,
  Symbol("p1"),
  {},
  Object.create(null),
  ["p1"],
  () => "p1",
];

/** What `act` throws must be a BAD_ID with a message that can be read. */
function expectBadId(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    expect(isTidemarkError(error, "BAD_ID"), String(error)).toBe(true);
    expect((error as Error).message.length).toBeLessThan(300);
    return;
  }
  expect.unreachable("it did not throw");
}

describe("a process id", () => {
  test("is 1 to 64 letters, digits, dots, underscores and dashes", () => {
    fc.assert(
      fc.property(processIds, (id) => {
        expect(isProcessId(id)).toBe(true);
        expect(checkProcessId(id)).toBe(id);
      }),
    );
  });

  test("is nothing else, and what is not is refused by name", () => {
    for (const value of NO_PROCESS) {
      expect(isProcessId(value), String(typeof value)).toBe(false);
      expectBadId(() => checkProcessId(value));
    }
    expect(() => checkProcessId("a b")).toThrow('"a b" is not a process id');
  });

  test("of a megabyte is not quoted whole", () => {
    expectBadId(() => checkProcessId("x".repeat(1_000_000)));
  });

  test("is no text with any other character", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 70 }), (text) => {
        const wellFormed =
          text.length <= 64 &&
          FIRST.includes(text[0] ?? " ") &&
          [...text].every((character) => `${FIRST}._-`.includes(character));
        expect(isProcessId(text)).toBe(wellFormed);
      }),
    );
  });
});

describe("a snapshot id", () => {
  test("is an initiator and a count, and comes apart into them", () => {
    fc.assert(
      fc.property(processIds, fc.integer({ min: 1, max: 999_999_999_999_999 }), (id, count) => {
        const snapshot = snapshotId(id, count);
        expect(isSnapshotId(snapshot)).toBe(true);
        expect(parseSnapshotId(snapshot)).toEqual({ id: snapshot, initiator: id, count });
      }),
    );
  });

  test("is nothing else", () => {
    const none = [
      "p1",
      "p1/",
      "/1",
      "p1/0",
      "p1/01",
      "p1/-1",
      "p1/1.5",
      "p1/1e3",
      "p1/1 ",
      "p1/1\n",
    ];
    const more = [
      `p1/${10 ** 15}`,
      "p1/1/2",
      "-p/1",
      `${"x".repeat(65)}/1`,
      "p1/1".repeat(100_000),
    ];
    for (const value of [...NO_PROCESS, ...none, ...more]) {
      expect(isSnapshotId(value)).toBe(false);
      expectBadId(() => parseSnapshotId(value));
    }
  });
});
