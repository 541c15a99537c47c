import { readFileSync } from "node:fs";
import { Topology } from "tidemark";
import { describe, expect, test } from "vitest";
import { type Counted, count, families, Network } from "../../tools/scale-network.ts";
import { countedPart, plot } from "../../tools/scale-page.ts";

const read = (name: string): string =>
  readFileSync(new URL(`../../docs/internals/${name}`, import.meta.url), "utf8");

describe("docs/internals/scale.md, which `npm run scale` writes", () => {
  const [page = "", measured] = read("scale.md").split("\n## Measured\n");
  const table = page.split("\n").filter((line) => /^\| \D+ \| \d/.test(line));
  const counted = table.map((line): Counted => {
    const [family = "", ...cells] = line.split("|").slice(1, -1);
    const [processes = 0, channels = 0, markers = 0, hops = 0, messages = 0, inFlight = 0] =
      cells.map((cell) => Number(cell.replaceAll(",", "")));
    return { family: family.trim(), processes, channels, markers, hops, messages, inFlight };
  });

  test("tells of every run", () => {
    expect(counted.map(({ family, processes }) => [family, processes])).toEqual(
      families.flatMap(({ name, sizes }) => sizes.map((size) => [name, size])),
    );
    expect(measured).toBeDefined();
  });

  test.each(families)("tells of a $name what is counted", (family) => {
    const small = (processes: number): boolean => processes <= 100;
    const again = family.sizes.filter(small).map((processes) => count(family, processes));
    expect(counted.filter((one) => one.family === family.name && small(one.processes))).toEqual(
      again,
    );
  });

  test("is, with the plot, what these figures give", () => {
    expect(page).toBe(countedPart(counted));
    expect(read("scale.svg")).toBe(plot(counted));
  });

  test("has as many channels and hops as one can say beforehand", () => {
    for (const { family, processes: n, channels, markers, hops } of counted) {
      expect(markers).toBe(channels);
      if (family === "ring") expect([channels, hops]).toEqual([n, n]);
      else if (family === "full mesh") expect([channels, hops]).toEqual([n * (n - 1), 2]);
      else if (family === "random graph") expect(channels).toBe(8 * n);
      else expect([channels, hops]).toEqual([2 * (n - 1), Math.floor(Math.log2(n)) + 1]);
    }
  });
});

describe("a snapshot is checked before it is counted", () => {
  test("one that does not end", () => {
    // Nothing leads from p1 to p2.
    const network = new Network(new Topology(["p1", "p2"], [{ from: "p2", to: "p1" }]));
    network.initiate(1);
    expect(() => network.run()).toThrow("does not end");
  });

  test("one that is not complete", () => {
    const network = new Network(new Topology(["p1", "p2"]));
    network.initiate(1);
    network.hop();
    expect(() => network.inFlight()).toThrow("the piece of p1 is missing");
    network.hop();
    expect(network.inFlight()).toBe(0);
  });
});
