import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import {
  ERROR_CODES,
  type ErrorCode,
  isTidemarkError,
  TidemarkError,
  textOf,
} from "../../src/core/error.ts";

describe("a Tidemark error", () => {
  test("carries its code, whose fault it is, and whether the outcome is definite", () => {
    for (const [code, [fault]] of Object.entries(ERROR_CODES)) {
      const error = new TidemarkError(code as ErrorCode, "a message");
      expect(error).toMatchObject({ code, fault, definite: true, message: "a message" });
      expect(error.name).toBe("TidemarkError");
      expect(error).toBeInstanceOf(Error);
      expect("cause" in error).toBe(false);
    }
  });

  test("keeps its cause, and may be indefinite", () => {
    const cause = new Error("disk full");
    const error = new TidemarkError("STORE_FAILED", "not written", { definite: false, cause });
    expect(error.cause).toBe(cause);
    expect(error.definite).toBe(false);
    expect(String(error)).toBe("TidemarkError: not written");
  });

  test("every code has a sentence that says what it means", () => {
    for (const [code, [fault, meaning]] of Object.entries(ERROR_CODES)) {
      expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
      expect(["local", "remote"]).toContain(fault);
      expect(meaning).toMatch(/^[A-Z].*\.$/);
    }
  });
});

describe("an error is recognised", () => {
  test("by its code, also when it is of another copy of the package", () => {
    const copy = Object.assign(new Error("from elsewhere"), {
      name: "TidemarkError",
      code: "DAMAGED",
    });
    for (const error of [new TidemarkError("DAMAGED", "x"), copy]) {
      expect(isTidemarkError(error)).toBe(true);
      expect(isTidemarkError(error, "DAMAGED")).toBe(true);
      expect(isTidemarkError(error, "BUSY")).toBe(false);
    }
  });

  test("and nothing else is one", () => {
    const others = [
      new Error("x"),
      { name: "TidemarkError", code: "BUSY" },
      "BUSY",
      null,
      undefined,
    ];
    for (const other of others) expect(isTidemarkError(other)).toBe(false);
  });
});

describe("the text of what was thrown", () => {
  test("is its message, or what it says as text", () => {
    expect(textOf(new TidemarkError("BUSY", "too many"))).toBe("too many");
    expect(textOf("plain")).toBe("plain");
    expect(textOf(undefined)).toBe("undefined");
    expect(textOf(Symbol("s"))).toBe("Symbol(s)");
    expect(textOf({ toString: () => "own words" })).toBe("own words");
    expect(textOf(runInNewContext("new RangeError('elsewhere')"))).toContain("elsewhere");
  });

  test("is always text: an application may throw anything", () => {
    const throwing = {
      toString: () => {
        throw new Error("no");
      },
    };
    const spoiled = Object.assign(new Error("x"), { message: Object.create(null) });
    for (const thrown of [Object.create(null), throwing, { toString: 1, valueOf: 1 }, spoiled])
      expect(textOf(thrown)).toBe("a thrown object");
    expect(textOf(Object.assign(new Error("x"), { message: 7 }))).toBe("7");
  });
});
