import { describe, expect, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { CausalOrder } from "../../src/trace/causal-order.ts";
import { definitely, possibly } from "../../src/trace/possibly.ts";
import { parseTrace } from "../../src/trace/trace.ts";

const order = new CausalOrder(
  parseTrace(
    [
      { process: "a", type: "internal", values: { x: 3, name: "ann", up: true, list: [1] } },
      { process: "b", type: "send", to: "a", message: 1, values: { x: 4, deep: { y: -2.5 } } },
      { process: "node-1", type: "internal", values: { "open files": 7, null: 1, sum: 2 } },
    ]
      .map((line) => JSON.stringify(line))
      .join("\n"),
  ),
);
/** Whether it holds when all has happened: nothing changes twice here. */
const isAtEnd = (text: string): boolean | null =>
  possibly(order, `(${text}) && a.x == 3 && b.x == 4 && \`node-1\`.sum == 2`).holds;

describe("an expression", () => {
  test.each([
    "a.x + b.x * 2 - 1 == 10",
    "(a.x + b.x) * 2 == 14",
    "-a.x == 0 - 3",
    "2 - 3 - 4 == -5",
    "12 / 2 / 3 == a.x - 1",
    "!(a.x > 3) && !false",
    "a.x > 5 || b.x > 3 && a.x == 3",
    "true || a.x > 5 && false",
    "b.deep.y < -2.4",
    "1.5e1 == 15",
    "`node-1`.`open files` == 7",
    "`node-1`.`null` == 1",
    "`node-1`.sum == 2",
    "a.name == 'ann'",
    'a.name != "bob" && "a" < a.name && a.name <= "ann"',
    "'it\\'s' == \"it's\"",
    "a.up == true && a.up",
    "b.deep.z == null && a.x != null",
    "inflight(b, a) == 1 && inflight(a, b) == 0 && inflight() == 1",
    "sum(x) == 7",
    "sum(x * 2 + 1) == 16",
    "count(x > 3) == 1",
    "all(x >= 3) && any(x == 4) && !all(x == 4)",
    "any(a.x < x)",
    "all(deep.y < 0)",
    "  a.x==3\n&&\tb.x==4  ",
  ])("%s", (text) => {
    expect(isAtEnd(text)).toBe(true);
    expect(isAtEnd(`!(${text})`)).toBe(false);
  });

  test.each([
    "a.x / 0 > 0",
    "a.x / 0 != 0",
    "b.deep.z != 1",
    "b.deep.z == 1 || b.deep.z < 1 || b.deep.z >= 1",
  ])("%s does not hold, for something is not there", (text) => {
    if (text.includes("z")) expect(() => possibly(order, text)).toThrow(/b\.deep\.z is nothing/);
    else expect(isAtEnd(text)).toBe(false);
  });

  test("what is not there yet makes no comparison hold, and can be asked for", () => {
    for (const comparison of ["<", "<=", "==", "!=", ">=", ">"])
      expect(definitely(order, `!(a.x ${comparison} 0) && a.x == null`).holds).toBe(true);
    expect(possibly(order, "a.x != 3").holds).toBe(false);
    expect(possibly(order, "a.x + b.x != 7").holds).toBe(false);
    expect(possibly(order, "a.x == null && b.x == 4").holds).toBe(true);
  });

  test.each([
    ["a.y == 1", "character 3, y: a has no value y; it has x, name, up, list"],
    ["a.x < 1 && c.x < 2", "character 12, c: there is no process c; the trace has a, b, node-1"],
    ["x < 1", "character 1, x: a value is written as process.name"],
    ["a.x", "character 1, a.x: this is to be true or false, and is a number"],
    ["a.up && b.x", "character 9, b.x: this is to be true or false, and is a number"],
    ["a.up + 1 > 1", "character 1, a.up: this is to be a number, and is true or false"],
    ["a.name < 1", "character 1, a.name < 1: it never holds: a.name is a text, and 1 is a number"],
    ["a.list == 1", "character 1, a.list == 1: it never holds: a.list is a list or an object"],
    ["1 < a.x < 3", "character 9, <: comparisons do not follow each other"],
    ["a.x == 3 b.x == 4", "character 10, b: something is missing before it"],
    ["a.x = 3", "character 5, =: write == to compare"],
    ["a.up & a.up", "character 6, &: write && for and"],
    ["a.name == 'ann", "character 11, ': the quotes are not closed"],
    ["a.x == #", "character 8, #: this is no part of an expression"],
    ["(a.x == 3", "character 10: ) is missing"],
    ["a.x == 3)", "character 9, ): something is missing before it"],
    ["", "character 1: the expression ends too early"],
    ["a.", "character 3: the name of a value is missing"],
    ["a.x > )", "character 7, ): ( is missing"],
    ["inflight(a)", "character 11, ): , is missing"],
    ["inflight(a, z) == 0", "character 13, z: there is no process z"],
    ["max(x) > 1", "character 1, max: there are inflight(p, q), sum(x)"],
    ["sum(sum(x)) > 1", "character 5, sum: one of these does not go into another"],
    ["sum(z) > 1", "character 5, z: no process has a value z"],
    ["sum(x + z) > 1", "character 5, x: no process has a value x and z"],
    [`${"(".repeat(200)}a.up`, "it is nested too deeply"],
    [`${"!".repeat(200)}a.up`, "it is nested too deeply"],
    [`a.up${" ".repeat(70_000)}`, "an expression has up to 65536 characters"],
  ])("%s is refused with its place", (text, reason) => {
    let thrown: unknown;
    try {
      possibly(order, text);
    } catch (error) {
      thrown = error;
    }
    expect(isTidemarkError(thrown, "BAD_OPTION")).toBe(true);
    expect((thrown as Error).message).toContain(reason);
  });

  test("functions that ask for what is not there are told so", () => {
    expect(() => possibly(order, (state) => state.value("z", "x") === 1)).toThrow(
      /there is no process z; the trace has a, b, node-1/,
    );
    expect(() => possibly(order, { every: { z: () => true } })).toThrow(/no process z/);
    expect(() =>
      possibly(order, { sum: { a: () => Number.NaN }, comparison: "<", bound: 1 }),
    ).toThrow(/the sum has NaN of a, and not a number/);
  });
});
