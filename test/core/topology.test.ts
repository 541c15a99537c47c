import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ErrorCode, isTidemarkError } from "../../src/core/error.ts";
import { type Channel, Topology } from "../../src/core/topology.ts";

const IDS = ["p1", "p2", "p10", "Z", "a", "constructor"];

const graphs: fc.Arbitrary<{ ids: string[]; channels: Channel[] }> = fc
  .shuffledSubarray(IDS, { minLength: 1 })
  .chain((ids) =>
    fc.record({
      ids: fc.constant(ids),
      channels: fc.array(
        fc
          .record({ from: fc.constantFrom(...ids), to: fc.constantFrom(...ids) })
          .filter(({ from, to }) => from !== to || ids.length === 1),
      ),
    }),
  )
  .map(({ ids, channels }) => ({ ids, channels: channels.filter(({ from, to }) => from !== to) }));

const codeOf = (act: () => unknown): ErrorCode | undefined => {
  try {
    act();
  } catch (error) {
    if (isTidemarkError(error)) return error.code;
    throw error;
  }
  return undefined;
};

describe("a topology", () => {
  test("lists processes and channels in ascending order, each once, whatever the order given", () => {
    fc.assert(
      fc.property(graphs, ({ ids, channels }) => {
        const topology = new Topology(ids, channels);
        expect(topology.processes).toEqual([...ids].sort());
        const given = new Set(channels.map(({ from, to }) => `${from} ${to}`));
        const listed = topology.channels().map(({ from, to }) => `${from} ${to}`);
        // A space sorts before what an id may hold: by source, then by destination.
        expect(listed).toEqual([...given].sort());
      }),
    );
  });

  test("says of each end of a channel the same as the list", () => {
    fc.assert(
      fc.property(graphs, ({ ids, channels }) => {
        const topology = new Topology(ids, channels);
        const all = topology.channels();
        for (const id of ids) {
          expect(topology.has(id)).toBe(true);
          expect(topology.outgoing(id)).toEqual(
            all.filter(({ from }) => from === id).map(({ to }) => to),
          );
          expect(topology.incoming(id)).toEqual(
            all
              .filter(({ to }) => to === id)
              .map(({ from }) => from)
              .sort(),
          );
        }
      }),
    );
  });

  test("is a mesh unless channels are given", () => {
    expect(new Topology(["b", "a", "c"]).channels()).toEqual([
      { from: "a", to: "b" },
      { from: "a", to: "c" },
      { from: "b", to: "a" },
      { from: "b", to: "c" },
      { from: "c", to: "a" },
      { from: "c", to: "b" },
    ]);
    expect(new Topology(["alone"]).channels()).toEqual([]);
  });

  test("knows nothing of who is not part of it", () => {
    const topology = new Topology(["p1", "p2"]);
    for (const id of ["p3", "constructor", "__proto__", ""]) {
      expect(topology.has(id)).toBe(false);
      expect(topology.outgoing(id)).toEqual([]);
      expect(topology.incoming(id)).toEqual([]);
    }
  });

  test("finds exactly the processes that no path leads to", () => {
    fc.assert(
      fc.property(graphs, ({ ids, channels }) => {
        const topology = new Topology(ids, channels);
        for (const start of ids) {
          // Every channel once more for each process: longer paths do not exist.
          const reached = new Set([start]);
          for (const _ of ids)
            for (const { from, to } of channels) if (reached.has(from)) reached.add(to);
          const unreached = ids.filter((id) => !reached.has(id)).sort();
          expect(topology.unreachableFrom(start)).toEqual(unreached);
        }
      }),
    );
  });

  test("gets one more process with channels both ways to all, and stays as it was itself", () => {
    fc.assert(
      fc.property(graphs, ({ ids, channels }) => {
        const before = new Topology(ids, channels);
        const after = before.withMeshed("new");
        expect(after.processes).toEqual([...ids, "new"].sort());
        expect(after.outgoing("new")).toEqual([...ids].sort());
        expect(after.incoming("new")).toEqual([...ids].sort());
        expect(after.channels().filter(({ from, to }) => from !== "new" && to !== "new")).toEqual(
          before.channels(),
        );
        expect(before.has("new")).toBe(false);
      }),
    );
  });

  test("has a fingerprint that equal ones share, in whatever order they are given", () => {
    fc.assert(
      fc.property(graphs, graphs, (one, two) => {
        const first = new Topology(one.ids, one.channels);
        const again = new Topology(one.ids.toReversed(), one.channels.toReversed());
        expect(again.fingerprint).toBe(first.fingerprint);
        expect(first.fingerprint >>> 0).toBe(first.fingerprint);
        const other = new Topology(two.ids, two.channels);
        const same =
          first.processes.join() === other.processes.join() &&
          JSON.stringify(first.channels()) === JSON.stringify(other.channels());
        expect(other.fingerprint === first.fingerprint).toBe(same);
      }),
    );
  });
});

describe("what is no topology is refused:", () => {
  for (const [what, code, act] of [
    ["no process", "BAD_OPTION", () => new Topology([])],
    ["a process twice", "BAD_OPTION", () => new Topology(["p1", "p2", "p1"])],
    ["a bad id", "BAD_ID", () => new Topology(["p1", "p 2"])],
    ["a channel to itself", "BAD_OPTION", () => new Topology(["p1"], [{ from: "p1", to: "p1" }])],
    ["an unknown source", "UNKNOWN_PROCESS", () => new Topology(["p1"], [{ from: "x", to: "p1" }])],
    ["an unknown target", "UNKNOWN_PROCESS", () => new Topology(["p1"], [{ from: "p1", to: "x" }])],
    ["a process more that is there", "BAD_OPTION", () => new Topology(["p1"]).withMeshed("p1")],
  ] as const)
    test(what, () => {
      expect(codeOf(act)).toBe(code);
    });
});
