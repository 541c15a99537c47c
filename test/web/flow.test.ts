// Rates and lags, worked out of what processes tell: also over restarts, gaps and cuts.
import fc from "fast-check";
import { expect, test } from "vitest";
import type { ProcessStatus } from "../../src/serve/system-methods.ts";
import type { PageStatus } from "../../src/serve/web/api.ts";
import { flowOf, type Looks, withLook } from "../../web/system/flow.ts";

/** Of two processes, of which p1 has sent so much to p2; undefined: it does not answer. */
function statusAt(
  atMs: number,
  sent: number | undefined,
  more: Partial<PageStatus> & { readonly waiting?: number } = {},
): PageStatus {
  const { waiting = 0, ...rest } = more;
  const one = (process: string, peer: string, count: number | undefined, from: boolean) =>
    ({
      ...{ process, pid: 1, address: "x", up: true, epoch: 1 },
      ...(count !== undefined && {
        ...(from ? { sent: count, received: 0 } : { sent: 0, received: count }),
        peers: { [peer]: from ? { sent: count, received: 0 } : { sent: 0, received: count } },
        explanation: {
          ...{ process, snapshots: [], groups: {} },
          channels:
            from && waiting > 0
              ? [{ from: "p1", to: "p2", waiting: { messages: waiting, bytes: 1 }, up: true }]
              : [],
        },
      }),
    }) as ProcessStatus;
  return {
    ...{ kind: "bank", pid: 1, directory: "d", startedAtMs: 0, snapshots: 0, atMs },
    causes: { late: [], heldBy: [] },
    processes: [one("p1", "p2", sent, true), one("p2", "p1", sent, false)],
    ...rest,
  };
}

const looksAt = (...all: readonly PageStatus[]): Looks => all.reduce<Looks>(withLook, []);
const channel = (status: PageStatus, looks: Looks) =>
  flowOf(status, looks).channels.find(({ from }) => from === "p1");

test("a rate is what was counted over the last few seconds", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1e6 }),
      fc.integer({ min: 0, max: 1e4 }),
      (start, rate) => {
        const all = [0, 500, 1_000, 1_500, 2_000].map((ms) =>
          statusAt(ms, start + (rate * ms) / 1_000),
        );
        const looks = looksAt(...all);
        const flow = flowOf(all.at(-1) as PageStatus, looks);
        expect(flow.processes[0]?.sentRate).toBeCloseTo(rate);
        expect(flow.processes[1]?.receivedRate).toBeCloseTo(rate);
        expect(channel(all.at(-1) as PageStatus, looks)?.rate).toBeCloseTo(rate);
      },
    ),
  );
});

test("a count of another life, and one of long ago, makes no rate", () => {
  const restarted = statusAt(1_000, 5);
  expect(channel(restarted, looksAt(statusAt(0, 900), restarted))?.rate).toBeUndefined();
  const late = statusAt(60_000, 950);
  expect(channel(late, looksAt(statusAt(0, 900), late))?.rate).toBeUndefined();
  const silent = statusAt(1_000, undefined);
  const looks = looksAt(statusAt(0, 900), silent);
  expect(flowOf(silent, looks).processes[0]).toMatchObject({
    ...{ condition: "silent", sentRate: undefined, held: undefined },
  });
  // A look that has been taken already, and the looks of another system, are no looks.
  expect(withLook(looks, silent)).toBe(looks);
  expect(withLook(looks, statusAt(2_000, 3, { startedAtMs: 1_500 }))).toHaveLength(1);
});

test("what is in flight takes as long as the rate says, and for ever where nothing is taken", () => {
  const flows = statusAt(1_000, 100, { waiting: 50 });
  expect(channel(flows, looksAt(statusAt(0, 0), flows))).toMatchObject({
    ...{ inFlight: 50, rate: 100, lagMs: 500, isUp: true, isCut: false },
  });
  const stands = statusAt(1_000, 100, {
    ...{ waiting: 50, chaos: { cuts: [{ from: "p1", to: "p2" }], halted: ["p2"], restarts: 1 } },
  });
  const looks = looksAt(statusAt(0, 100), stands);
  expect(channel(stands, looks)).toMatchObject({ isCut: true, lagMs: Number.POSITIVE_INFINITY });
  expect(flowOf(stands, looks).processes[1]?.condition).toBe("halted");
});

test("no more looks are kept than a picture has room for", () => {
  const all = Array.from({ length: 500 }, (_, i) => statusAt(i * 500, i));
  expect(looksAt(...all).length).toBeLessThanOrEqual(60);
});
