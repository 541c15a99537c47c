import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { GroupExplanation, HeldPacket } from "../../src/multicast/explanation.ts";
import { CAUSES, type Cause, explainSystem, type ProcessReport } from "../../src/process/causes.ts";
import type { Explanation } from "../../src/process/process.ts";

const NOW_MS = 10_000;

function report(process: string, rest: Partial<Explanation> = {}, epoch?: number): ProcessReport {
  const explanation = { process, snapshots: [], channels: [], groups: {}, ...rest };
  return { process, explanation, ...(epoch !== undefined && { epoch }) };
}

const open = (
  unheard: readonly string[],
  late?: { readonly unclosed: readonly string[]; readonly unstored: readonly string[] },
): Explanation["snapshots"][number] => ({
  ...{ snapshot: "p1/7", sinceMs: 1_000, unheard, ...(late && { late }) },
  waitsFor: unheard.length > 0 ? unheard : ["more"],
});

const channel = (
  from: string,
  to: string,
  messages: number,
  rest: Partial<Explanation["channels"][number]> = {},
): Explanation["channels"][number] => ({
  ...{ from, to, waiting: { messages, bytes: 10 * messages }, up: true, ...rest },
});

const group = (
  self: string,
  held: readonly Partial<HeldPacket>[],
  rest: Partial<GroupExplanation> = {},
): Record<string, GroupExplanation> => ({
  g: {
    ...{ self, lost: [], replaced: [], gaps: [], isUntold: false, ...rest },
    held: held.map((one) => ({
      ...{ from: "p1", number: 1, kind: "total", messages: 1, sinceMs: 1_000 },
      ...{ waitsFor: "packets", packets: [], members: [], ...one },
    })),
  },
});

/** The codes of a chain that is one. */
function codes(cause: Cause | undefined): string[] {
  return cause ? [cause.code, ...codes(cause.because[0])] : [];
}

const explain = (...reports: readonly ProcessReport[]) => explainSystem(reports, { nowMs: NOW_MS });

describe("what applications say they wait for", () => {
  const waits = (...all: NonNullable<Explanation["waits"]>): Partial<Explanation> => ({
    waits: all,
  });
  const twice = (...reports: readonly ProcessReport[]) =>
    explainSystem(reports, { nowMs: NOW_MS, earlier: { atMs: 8_000, reports } });

  test("is a circle of processes, whichever of them one begins with", () => {
    const { late, heldBy } = twice(
      report("p1", waits({ for: ["p2"], request: "lock A" })),
      report("p2", waits({ for: ["p3"] })),
      report("p3", waits({ for: ["p2", "p1"], need: 1 })),
    );
    expect(late.map(({ text, sinceMs }) => [text, sinceMs])).toEqual([
      ["p1 waits for p2: lock A", 8_000],
      ["p2 waits for p3", 8_000],
      ["p3 waits for 1 of p2, p1", 8_000],
    ]);
    expect(heldBy.map(({ code, text }) => [code, text])).toEqual([
      ["WAIT_CIRCLE", "p2 → p3 → p2 wait for each other"],
      ["WAIT_CIRCLE", "p1 → p2 → p3 → p1 wait for each other"],
    ]);
  });

  test("is a circle of what waits within them, and who is not in it waits for it", () => {
    const { late, heldBy } = twice(
      report("p1", waits({ who: "t1", for: ["t2"] }, { who: "t9", for: ["t1"] })),
      report("p2", waits({ who: "t2", for: ["t1"] })),
    );
    expect(late.map(({ text }) => text)).toEqual([
      "t1 at p1 waits for t2",
      "t9 at p1 waits for t1",
      "t2 at p2 waits for t1",
    ]);
    expect(heldBy).toEqual([
      {
        ...{ code: "WAIT_CIRCLE", at: "p1", because: [], holds: 3 },
        text: "t1 → t2 → t1 wait for each other",
      },
    ]);
  });

  test("comes down to who is not there, to what was not taken, or to who does not wait", () => {
    expect(twice(report("p1", waits({ for: ["p2"] })), { process: "p2" }).late.map(codes)).toEqual([
      ["PROCESS_WAITS", "PROCESS_SILENT"],
    ]);
    const untaken = twice(
      report("p1", { ...waits({ for: ["p2"] }), channels: [channel("p2", "p1", 3)] }),
      report("p2"),
    );
    expect(untaken.late.map(codes)).toEqual([["PROCESS_WAITS", "CHANNEL_NOT_TAKEN"]]);
    expect(twice(report("p1", waits({ for: ["p2"] })), report("p2")).heldBy).toMatchObject([
      { code: "PROCESS_WAITS", text: "p1 waits for p2" },
    ]);
  });

  test("is late if it was so before, and not else; waits for nobody are none", () => {
    const one = report("p1", waits({ for: ["p2"] }, { who: "t", for: [] }));
    const other = report("p1", waits({ for: ["p3"] }));
    expect(explain(one).late).toEqual([]);
    const earlier = { atMs: 8_000, reports: [other] };
    expect(explainSystem([one], { nowMs: NOW_MS, earlier }).late).toEqual([]);
    expect(twice(one).late).toHaveLength(1);
  });

  test("may not be known", () => {
    const { heldBy } = explain(report("p1", { waitsUnknown: "its method waits threw: no" }));
    expect(heldBy).toMatchObject([
      { code: "WAITS_UNKNOWN", text: "what p1 waits for is not known: its method waits threw: no" },
    ]);
  });
});

describe("what holds up a snapshot", () => {
  test("is who does not answer, for all that wait for it", () => {
    const { late, heldBy } = explain(
      report("p1", { snapshots: [open(["p3"])] }),
      report("p2", { snapshots: [open(["p3"])] }),
      { process: "p3" },
    );
    expect(late.map(codes)).toEqual(
      Array(2).fill(["SNAPSHOT_OPEN", "MARKER_MISSING", "PROCESS_SILENT"]),
    );
    expect(heldBy).toMatchObject([{ code: "PROCESS_SILENT", at: "p3", holds: 2 }]);
  });

  test("is a connection that is down, whichever end says so", () => {
    for (const says of ["p1", "p2"]) {
      const down = channel("p2", "p1", 0, { up: false, reason: "refused", downSinceMs: 500 });
      const channels = (id: string) => (id === says ? [down] : []);
      const { heldBy } = explain(
        report("p1", { snapshots: [open(["p2"])], channels: channels("p1") }),
        report("p2", { channels: channels("p2") }),
      );
      const at = { from: "p1", to: "p2" };
      const text = expect.stringContaining("refused");
      expect(heldBy).toMatchObject([{ code: "CHANNEL_DOWN", at, holds: 1, sinceMs: 500, text }]);
    }
  });

  test("is a channel that a process has not taken, by which it would have heard of the snapshot", () => {
    const { late, heldBy } = explain(
      report("p1", { snapshots: [open(["p2"])] }),
      report("p2", { channels: [channel("p1", "p2", 3)] }),
    );
    const chain = ["SNAPSHOT_OPEN", "MARKER_MISSING", "STATE_NOT_RECORDED", "CHANNEL_NOT_TAKEN"];
    expect(late.map(codes)).toEqual([chain]);
    expect(heldBy).toMatchObject([
      { at: { from: "p1", to: "p2" }, text: "p2 has not taken 3 messages of p1" },
    ]);
  });

  test("is what holds up another process, of whose channels the initiator waits to hear", () => {
    const late = { unclosed: ["p2"], unstored: [] };
    const found = explain(
      report("p1", { snapshots: [open([], late)] }),
      report("p2", { snapshots: [open(["p3"])] }),
      { process: "p3" },
    );
    expect(codes(found.late[0])).toEqual([
      ...["SNAPSHOT_OPEN", "CHANNELS_OPEN", "SNAPSHOT_OPEN", "MARKER_MISSING", "PROCESS_SILENT"],
    ]);
    expect(found.heldBy).toMatchObject([{ at: "p3", holds: 2 }]);
  });

  test("is a store that does not take a piece, or the manifest", () => {
    const unstored = { unclosed: [], unstored: ["p2"] };
    const piece = explain(report("p1", { snapshots: [open([], unstored)] }), report("p2"));
    expect(codes(piece.late[0])).toEqual(["SNAPSHOT_OPEN", "PIECE_NOT_STORED"]);
    const none = { unclosed: [], unstored: [] };
    const manifest = explain(report("p1", { snapshots: [open([], none)] }));
    expect(codes(manifest.late[0])).toEqual(["SNAPSHOT_OPEN", "MANIFEST_NOT_WRITTEN"]);
  });

  test("is nothing as long as it is not late", () => {
    const explanation = report("p1", { snapshots: [{ ...open(["p2"]), sinceMs: NOW_MS - 10 }] });
    expect(explain(explanation)).toEqual({ late: [], heldBy: [] });
  });
});

describe("what holds back a message of a group", () => {
  test("is the sequencer, if it does not answer", () => {
    const held = { waitsFor: "word", members: ["p1"], from: "p2" } as const;
    const { late, heldBy } = explain(report("p2", { groups: group("p2", [held]) }), {
      process: "p1",
    });
    expect(late.map(codes)).toEqual([["PACKET_HELD", "WORD_MISSING", "PROCESS_SILENT"]]);
    expect(heldBy).toMatchObject([{ at: "p1", holds: 1 }]);
  });

  test("is a packet before it that has not come, through others that are held back for it", () => {
    const gap = {
      ...{ from: "p1", first: 4, last: 4, early: 0, sinceMs: 2_000, asked: 1, at: ["p2"] },
    };
    const held = [
      { from: "p2", number: 9, packets: [{ from: "p2", number: 8, here: true }] },
      { from: "p2", number: 8, packets: [{ from: "p1", number: 4, here: false }] },
    ];
    const down = channel("p3", "p1", 0, { up: false, reason: "refused" });
    const { late, heldBy } = explain(
      report("p3", { groups: group("p3", held, { gaps: [gap] }), channels: [down] }),
    );
    expect(late.map(codes)).toEqual([
      ["PACKET_HELD", "PACKET_HELD", "PACKET_MISSING", "CHANNEL_DOWN"],
      ["PACKET_HELD", "PACKET_MISSING", "CHANNEL_DOWN"],
    ]);
    expect(heldBy).toMatchObject([{ code: "CHANNEL_DOWN", holds: 2 }]);
  });

  test("is who has not acknowledged what was sent, if there is no room for more", () => {
    const unstable = {
      ...{ bytes: 9, room: false, sinceMs: 1_000, by: [{ member: "p2", first: 1, bytes: 9 }] },
    };
    const { late } = explain(report("p1", { groups: group("p1", [], { unstable }) }), {
      process: "p2",
    });
    expect(late.map(codes)).toEqual([["NOT_ACKNOWLEDGED", "PROCESS_SILENT"]]);
  });
});

test("a process that has not followed a restore is told of, and who is gone although nothing waits", () => {
  const { late, heldBy } = explain(report("p1", {}, 2), report("p2", {}, 1), { process: "p3" });
  expect(late.map(codes)).toEqual([["EPOCH_BEHIND"]]);
  expect(heldBy.map(({ code, holds }) => [code, holds])).toEqual([
    ["EPOCH_BEHIND", 1],
    ["PROCESS_SILENT", 0],
  ]);
});

test("whatever processes say, each chain has an end, and each end is one of a chain", () => {
  const ids = fc.constantFrom("p1", "p2", "p3", "p4");
  const some = fc.uniqueArray(ids, { maxLength: 3 });
  const packet = fc.record({ from: ids, number: fc.integer({ min: 1, max: 3 }) });
  const held = fc.record({
    ...{ from: ids, number: fc.integer({ min: 1, max: 3 }), members: some },
    waitsFor: fc.constantFrom("word" as const, "majority" as const, "packets" as const),
    packets: fc.array(
      fc.tuple(packet, fc.boolean()).map(([one, here]) => ({ ...one, here })),
      { maxLength: 2 },
    ),
  });
  const any = fc.tuple(
    fc.option(fc.record({ unheard: some, unclosed: some, unstored: some })),
    fc.array(fc.record({ from: ids, to: ids, up: fc.boolean() }), { maxLength: 3 }),
    fc.array(held, { maxLength: 4 }),
    fc.boolean(),
  );
  fc.assert(
    fc.property(fc.tuple(any, any, any, any), (all) => {
      const reports = all.map(([snapshot, channels, packets, isSilent], i): ProcessReport => {
        const process = `p${i + 1}`;
        if (isSilent) return { process };
        return report(process, {
          snapshots: snapshot ? [open(snapshot.unheard, snapshot)] : [],
          channels: channels.map(({ from, to, up }) => channel(from, to, 1, { up })),
          groups: group(process, packets),
        });
      });
      const { late, heldBy } = explain(...reports);
      const leaves = new Set<string>();
      const visit = (cause: Cause): void => {
        expect(CAUSES).toHaveProperty(cause.code);
        if (cause.because.length === 0) leaves.add(cause.text);
        for (const one of cause.because) visit(one);
      };
      for (const one of late) visit(one);
      for (const { text, holds } of heldBy) {
        expect(holds).toBeLessThanOrEqual(late.length);
        if (holds > 0) expect(leaves).toContain(text);
      }
      // Nothing is late for no reason at all.
      if (late.length > 0) expect(heldBy.some(({ holds }) => holds > 0)).toBe(true);
    }),
  );
});
