import { test } from "vitest";
import { expectExamples, LIMIT_MS } from "./store-example.ts";

test("what docs/learn/order-book.md says is printed is printed", {
  timeout: LIMIT_MS,
}, async () => {
  await expectExamples("docs/learn/order-book.md", 2);
});
