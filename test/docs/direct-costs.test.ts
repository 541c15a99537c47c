import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  countDeadlock,
  deadlockBound,
  TERMINATION_CASES,
  terminationRow,
  type Waits,
} from "../../bench/detect.ts";

const page = readFileSync(new URL("../../docs/learn/detectors.md", import.meta.url), "utf8");
const rows = page.split("\n").filter((line) => line.startsWith("| "));

test("docs/learn/detectors.md tells of termination what is counted", () => {
  const isSmall = (row: string): boolean => !/^\| \w+ of (64|\d+ \| 10,000) /.test(row);
  const told = rows.filter((row) => /^\| (ring|mesh) of \d/.test(row));
  expect(told).toHaveLength(TERMINATION_CASES.length);
  const small = TERMINATION_CASES.filter((one) => one.processes < 64 && one.messages < 10_000);
  expect(told.filter(isSmall)).toEqual(small.map(terminationRow));
});

test("and of deadlock, which is what the paper allows", () => {
  const told = rows.filter((row) => /^\| (a circle|all for all) /.test(row));
  const counted = (["a circle", "all for all"] satisfies Waits[]).flatMap((waits) =>
    [4, 16, 64].map((n) => {
      const [and, or] = [countDeadlock("and", waits, n), countDeadlock("or", waits, n)];
      expect([and.one, or.one]).toEqual([
        deadlockBound("and", waits, n),
        deadlockBound("or", waits, n),
      ]);
      expect([and.all, or.all]).toEqual([n * and.one, n * or.one]);
      const cells = [n, and.one, or.one, n * (n - 1)].map((cell) => cell.toLocaleString("en"));
      return `| ${waits} | ${cells.join(" | ")} |`;
    }),
  );
  expect(told).toEqual(counted);
});
