import { Writable } from "node:stream";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { Audit } from "../../src/cli/audit.ts";
import type { Round, Totals } from "../../src/cli/rounds.ts";
import type { Output } from "../../src/cli/terminal.ts";
import { jsonReport, lineReport, type Report } from "../../src/cli/up-report.ts";
import type { ProcessStatus } from "../../src/serve/system-methods.ts";

const audit = {
  manifest: {
    id: "p2/7",
    cutMs: 1.8999,
    startedAtMs: 0,
    processes: ["p1", "p2"],
    channels: [{}, {}],
    pieces: [],
  },
  balances: new Map(),
  channels: [],
  messagesInFlight: 41,
  amountInFlight: 388,
  sum: 2000,
} as unknown as Audit;

const rounds: readonly Round[] = [
  { snapshot: "p2/7", audit, naiveSum: 1871 },
  {
    snapshot: "p2/7",
    audit: { ...audit, problem: "channel p1 → p2 holds 40 messages" },
    naiveSum: 2000,
    problem: "channel p1 → p2 holds 40 messages",
  },
  { snapshot: "p1/3", naiveSum: 5, problem: "p1/3 was abandoned: timeout" },
  { problem: "a process\u001b[2J does not answer" },
];
const totals: Totals = { snapshots: 4, consistent: 1, naiveWrong: 1, transfers: 1234567 };

/** What a report writes of all that, line by line. */
function written(make: (stream: Output) => Report): string[] {
  let text = "";
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      text += chunk;
      done();
    },
  });
  const report = make(stream as Output);
  report.started([{}, {}] as ProcessStatus[], 2000, ".tidemark");
  for (const round of rounds) report.round(round, totals);
  report.end(totals, false);
  return text.trimEnd().split("\n");
}

describe("the report", () => {
  test("for programs has the fields that are documented, in that order", () => {
    expect(written(jsonReport)).toEqual([
      '{"snapshot":"p2/7","processes":2,"messagesInFlight":41,"amountInFlight":388,"sum":2000,"expected":2000,"consistent":true,"naiveSum":1871,"markers":2,"durationMs":1.9}',
      '{"snapshot":"p2/7","processes":2,"messagesInFlight":41,"amountInFlight":388,"sum":2000,"expected":2000,"consistent":false,"naiveSum":2000,"markers":2,"durationMs":1.9,"problem":"channel p1 → p2 holds 40 messages"}',
      '{"snapshot":"p1/3","processes":2,"problem":"p1/3 was abandoned: timeout"}',
      '{"snapshot":null,"processes":2,"problem":"a process\\u001b[2J does not answer"}',
      '{"snapshots":4,"consistent":1,"naiveWrong":1,"transfers":1234567}',
    ]);
  });

  test("for people says the same, a line each", () => {
    expect(written(lineReport)).toEqual([
      "2 processes, 2,000 in all, snapshots in .tidemark; Ctrl-C ends",
      "p2/7  2,000 of 2,000 ✓  1,612 in accounts + 388 in flight  1.9 ms and 2 markers; 41 messages in flight  asked one by one: 1,871 ✗ 129 missing",
      "p2/7  2,000 of 2,000 ✗  1,612 in accounts + 388 in flight  1.9 ms and 2 markers; 41 messages in flight  asked one by one: 2,000 ✓ right this time  ✗ channel p1 → p2 holds 40 messages",
      "p1/3  ✗ p1/3 was abandoned: timeout",
      "no snapshot  ✗ a process?[2J does not answer",
      "✗ 4 snapshots, 1 consistent; asking was wrong once; 1,234,567 transfers",
    ]);
  });

  test("sends notes to standard error, where they cannot be taken for results", () => {
    const error = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    onTestFinished(() => error.mockRestore());
    let out = "";
    const stream = { write: (text: string) => (out += text) } as unknown as Output;
    jsonReport(stream).note("p1:\u0007 a note");
    lineReport(stream).note("another");
    expect(error.mock.calls.map(([text]) => text)).toEqual([
      "tidemark: p1:? a note\n",
      "tidemark: another\n",
    ]);
    expect(out).toBe("");
  });
});
