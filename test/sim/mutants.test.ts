// Mistakes planted in the machines that ship: the simulator finds each.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { EXPLORED, exploreWith, MUTANTS, seedsUntilFound } from "../../tools/mutants.ts";
import { cases } from "../support/soak.ts";

const SAMPLE = [
  ...["a resend is dropped", "captured late", "a channel is forgotten"],
  "store: one replica leaves out a write",
];

test.each(cases("mutants", SAMPLE, Object.keys(MUTANTS)))(
  "%s",
  { timeout: 600_000 },
  async (name) => {
    const mutant = MUTANTS[name];
    if (!mutant) throw new Error("there is no such mutant");
    const { seeds } = await seedsUntilFound(mutant, 3_000);
    expect(seeds).toBeDefined();
  },
);

test.each(Object.entries(EXPLORED))("%s: a shortest schedule that replays", async (_, mutant) => {
  const { broken, steps, breaksAgain } = await exploreWith(mutant);
  expect(broken).toBe("snapshots add up");
  expect(breaksAgain).toBe(true);
  expect(steps).toMatchSnapshot();
});

test("each stands once in the file that it is for", () => {
  const explored = Object.entries(EXPLORED).flatMap(([name, { mutants }]) =>
    mutants.map((mutant) => [name, mutant] as const),
  );
  for (const [name, { file, from, to }] of [...Object.entries(MUTANTS), ...explored]) {
    const text = readFileSync(new URL(`../../src/${file}`, import.meta.url), "utf8");
    expect(text.split(from), name).toHaveLength(2);
    expect(to).not.toBe(from);
  }
});

test("machines without a mistake pass the same", async () => {
  const same = { file: "link/link.ts", from: "const RETRY_MS = 50;", to: "const RETRY_MS = 50; " };
  expect((await seedsUntilFound(same, 50)).seeds).toBeUndefined();
  expect((await exploreWith({ mutants: [same], world: {} })).broken).toBeUndefined();
});
