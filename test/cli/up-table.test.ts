import { expect, test } from "vitest";
import type { Audit } from "../../src/cli/audit.ts";
import { width } from "../../src/cli/terminal.ts";
import { type TableView, tablePicture } from "../../src/cli/up-table.ts";
import { Topology } from "../../src/core/topology.ts";
import type { Manifest } from "../../src/snapshot/manifest.ts";

const plain = (_style: string, text: string): string => text;

/** A view of a system of that many processes, each channel with some money in flight. */
function viewOf(count: number, amount = 345): TableView & { readonly round: { audit: Audit } } {
  const ids = Array.from({ length: count }, (_, i) => `p${i + 1}`);
  const topology = new Topology(ids);
  const manifest: Manifest = {
    format: "tidemark-snapshot/1",
    id: "p2/7",
    system: "bank",
    epoch: 1,
    initiator: "p2",
    startedAtMs: 0,
    cutMs: 1.9,
    processes: topology.processes,
    channels: topology.channels(),
    pieces: ids.map((process) => ({
      snapshot: "p2/7",
      process,
      epoch: 1,
      state: { encoding: "msgpack", sliced: false, parts: [] },
      messageEncoding: "msgpack",
      incoming: topology
        .incoming(process)
        .map((from) => ({ from, received: 40, hash: "", inFlight: 2 })),
      outgoing: topology.outgoing(process).map((to) => ({ to, sent: 42, hash: "" })),
      timing: { recordedAtMs: 0, recordingMs: 1, captureMs: 0.1 },
    })),
  };
  const channels = manifest.channels.map((channel) => ({ ...channel, messages: 35, amount }));
  const amountInFlight = channels.length * amount;
  const balances = new Map(ids.map((id) => [id, 1000]));
  const audit: Audit = {
    manifest,
    balances,
    channels,
    messagesInFlight: channels.length * 35,
    amountInFlight,
    sum: count * 1000 + amountInFlight,
  };
  const reply = { ok: true, balance: 900, transfers: 1 };
  return {
    processes: ids.map((process, i) => ({
      process,
      pid: 4_000_000 + i,
      address: "127.0.0.1:65535",
      up: true,
      epoch: 1,
    })),
    expected: audit.sum,
    directory: ".tidemark",
    runningMs: 65_000,
    speeds: new Map(ids.map((id) => [id, 262_103])),
    round: {
      snapshot: "p2/7",
      audit,
      naive: new Map(ids.map((id) => [id, reply])),
      naiveSum: 900 * count,
    },
    totals: { snapshots: 12, consistent: 12, naiveWrong: 11, transfers: 0 },
  };
}

test("four processes at 80 columns look like this", () => {
  const view = viewOf(4);
  expect(tablePicture(view, { columns: 80, rows: 24 }, plain)).toEqual([
    "tidemark  4 processes, 8,140 in all, snapshots in .tidemark           1 min 5 s",
    "",
    "         pid  address           balance     asked    sent/s      sent  received",
    "p1   4000000  127.0.0.1:65535     1,000       900   262,103       126       120",
    "p2   4000001  127.0.0.1:65535     1,000       900   262,103       126       120",
    "p3   4000002  127.0.0.1:65535     1,000       900   262,103       126       120",
    "p4   4000003  127.0.0.1:65535     1,000       900   262,103       126       120",
    "",
    "in flight      → p1           → p2           → p3           → p4",
    "p1                        345 (35)       345 (35)       345 (35)",
    "p2         345 (35)                      345 (35)       345 (35)",
    "p3         345 (35)       345 (35)                      345 (35)",
    "p4         345 (35)       345 (35)       345 (35)               ",
    "",
    "snapshot p2/7     8,140 of 8,140 ✓  4,000 in accounts + 4,140 in flight",
    "asked one by one  3,600 of 8,140 ✗  4,540 missing",
    "the snapshot took 1.9 ms and 12 markers; 420 messages in flight",
    "12 snapshots, 12 consistent; asking was wrong 11 times",
  ]);
});

test("up to eight processes fit 80 columns and 24 lines, with every channel", () => {
  for (let count = 1; count <= 8; count += 1) {
    const picture = tablePicture(viewOf(count), { columns: 80, rows: 24 }, plain);
    expect(picture.length).toBeLessThanOrEqual(23);
    expect(Math.max(...picture.map(width))).toBeLessThanOrEqual(79);
    const cells = picture.join("\n").match(/345 \(35\)/g) ?? [];
    expect(cells).toHaveLength(count * (count - 1));
    for (let i = 1; i <= count; i += 1)
      expect(picture.filter((line) => line.startsWith(`p${i} `))).toHaveLength(count > 1 ? 2 : 1);
  }
});

test("whatever the size of terminal and system, the height fits and the sums are told", () => {
  for (const count of [1, 2, 4, 8, 9, 16, 64])
    for (const columns of [20, 40, 80, 120, 250])
      for (const rows of [6, 10, 16, 24, 40, 80]) {
        const picture = tablePicture(viewOf(count), { columns, rows }, plain);
        expect(picture.length).toBeLessThanOrEqual(rows - 1);
        expect(picture.at(-4)).toMatch(/^snapshot p2\/7 /);
        expect(picture.at(-3)).toMatch(/^asked one by one /);
      }
});

test("beyond that the busiest channels are told, and how many processes are not shown", () => {
  const picture = tablePicture(viewOf(16), { columns: 80, rows: 18 }, plain);
  expect(picture).toContain(
    "in flight on 240 of 240 channels: p1 → p10 345 (35), p1 → p11 345 (35)",
  );
  expect(picture).toContain("… and 7 more");
  const large = tablePicture(viewOf(16), { columns: 250, rows: 60 }, plain).join("\n");
  expect(large).toContain("→ p16");
  expect(large).not.toContain("more");
});

test("large amounts are told more briefly in the matrix, and in full in the sum", () => {
  const picture = tablePicture(viewOf(8, 123_456_789), { columns: 80, rows: 24 }, plain);
  expect(picture.find((line) => line.startsWith("p1 ") && line.includes("123.5M"))).toBeDefined();
  expect(picture.at(-4)).toContain("6,913,588,184 of 6,913,588,184 ✓");
});

test("what is wrong has a cross: money that is missing, a snapshot that is not proven", () => {
  const view = viewOf(2);
  const lineOf = (audit: Audit, expected = view.expected): string | undefined =>
    tablePicture(
      { ...view, expected, round: { ...view.round, audit } },
      { columns: 80, rows: 24 },
      plain,
    ).at(-4);
  expect(lineOf(view.round.audit)).toContain("✓");
  expect(lineOf(view.round.audit, view.expected + 1)).toMatch(/2,690 of 2,691 ✗/);
  expect(lineOf({ ...view.round.audit, problem: "channel p1 → p2 …" })).toContain("✗");
});

test("before the first snapshot there are only the processes", () => {
  const { round: _, totals: __, ...view } = viewOf(2);
  const picture = tablePicture({ ...view, speeds: new Map() }, { columns: 80, rows: 24 }, plain);
  expect(picture.at(-1)).toBe("the first snapshot is on its way");
  expect(picture.filter((line) => /^p[12] /.test(line))).toHaveLength(2);
});
