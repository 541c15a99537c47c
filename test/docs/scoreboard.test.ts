import { expect, test } from "vitest";
import { isFree } from "../support/ports.ts";
import { expectExamples, LIMIT_MS, runExample } from "./store-example.ts";

test.concurrent("what docs/learn/replicas.md says is printed is printed", {
  timeout: LIMIT_MS,
}, async () => {
  await expectExamples("docs/learn/replicas.md", 1);
});

test.concurrent("an example that is stopped ends its store, and says so by its status", {
  timeout: LIMIT_MS,
}, async () => {
  const { status, stdout, ports } = await runExample(
    ["examples/scoreboard.ts", "--json"],
    /"play"/,
  );
  expect(status).toBe(130);
  expect(stdout.split("\n").map((line) => line && JSON.parse(line).event)).toEqual([
    ...["started", "play"],
    "",
  ]);
  expect(await Promise.all(ports.map(isFree))).toEqual([true, true, true]);
});

test.concurrent("an example refuses options that there are not", {
  timeout: LIMIT_MS,
}, async () => {
  for (const args of [["--kill", "p4"], ["--fast"]]) {
    const { status, stderr } = await runExample(["examples/order-book.ts", ...args]);
    expect([status, stderr.split("\n").length]).toEqual([2, 2]);
  }
});
