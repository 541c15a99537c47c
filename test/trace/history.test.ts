import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { ORDER_LEVELS } from "../../src/core/order-level.ts";
import { History, parseHistory } from "../../src/trace/history.ts";
import { checkHistory } from "../../src/trace/promises.ts";

const multicast = '{"process":"p","type":"multicast","group":"g","message":"m"}';
const deliver = '{"process":"p","type":"deliver","group":"g","message":"m"}';

test("fields that are not known, blank lines and internal events say nothing", () => {
  const { counts } = parseHistory(`{"type":"history","format":"tidemark-history/1","made":"by hand"}

    {"process":"p","type":"multicast","group":"g","message":"m","bytes":100}\r
    {"process":"p","type":"internal"}
    ${deliver}
    {"process":"q","type":"send","to":"r","message":1}\n`);
  expect(counts).toEqual({ processes: 3, groups: 1, messages: 1, deliveries: 1 });
});

test('1 and "1" are the same message', () => {
  const lines = [multicast.replace('"m"', "1"), deliver.replace('"m"', '"1"')];
  expect(checkHistory(parseHistory(lines.join("\n"))).every(({ holds }) => holds)).toBe(true);
});

test("messages of two groups, and of two channels, may have the same name", () => {
  const { counts } = parseHistory(
    `${multicast}
    ${multicast.replace('"g"', '"h"')}
    {"process":"p","type":"send","to":"q","message":"m"}
    {"process":"q","type":"send","to":"p","message":"m"}`,
  );
  expect(counts.messages).toBe(2);
});

describe("what is no line of a history is refused, with the line and what to do", () => {
  const refused: readonly [lines: string, reason: string][] = [
    ["{", "this is no JSON: "],
    ["[]", "a line is a JSON object, with a type"],
    ["null", "a line is a JSON object, with a type"],
    [
      "{}",
      "a line has the type multicast, deliver, send, receive, internal, record, crash, process, group or history, not nothing",
    ],
    ['{"type":"deliver"}', "process is a process id, of 1 to 64 letters, digits"],
    ['{"type":"crash","process":"a b"}', 'not "a b"'],
    ['{"type":"crash","process":"__proto__"}', "process is a process id"],
    [deliver.replace('"g"', '""'), "group is a text of 1 to 256 characters"],
    [
      deliver.replace('"m"', "1.5"),
      "message is a text of 1 to 256 characters or a whole number, not 1.5",
    ],
    [deliver.replace('"m"', `"${"m".repeat(257)}"`), "message is a text"],
    [deliver.replace("}", ',"from":7}'), "from is a process id"],
    [
      multicast.replace("}", ',"order":"toString"}'),
      "order is one of reliable, fifo, causal, total, fifo-total, causal-total",
    ],
    [
      `${multicast}\n${multicast}`,
      "p has multicast m to g already; each message of a group has its own name",
    ],
    ['{"type":"send","process":"p","message":"x"}', "to is a process id"],
    [
      '{"type":"send","process":"p","to":"q","message":"x"}\n{"type":"send","process":"p","to":"q","message":"x"}',
      "p has sent x to q already",
    ],
    [
      `{"type":"crash","process":"p"}\n${deliver}`,
      "p has crashed, by line 1; one that comes back takes part under a new name",
    ],
    ['{"type":"group","group":"g","members":[]}', "members is a list of processes, at least one"],
    ['{"type":"group","group":"g","members":[1]}', "member is a process id"],
    [
      '{"type":"group","group":"g","members":["p"]}\n{"type":"group","group":"g","members":["p"]}',
      "the members of g have been told already",
    ],
    [`${deliver}\n{"type":"history"}`, "only the first line is of type history"],
    ['{"type":"history","format":"x/2"}', "this program reads tidemark-history/1"],
    ['{"type":"history","complete":"no"}', "complete is true or false"],
    [" ".repeat(1 << 20).concat("{}"), "a line has up to 1048576 characters"],
  ];
  test.for(refused.map(([lines, reason]) => [reason, lines] as const))("%s", ([reason, lines]) => {
    const last = lines.split("\n").length;
    expect(() => parseHistory(lines, "h.jsonl")).toThrow(`h.jsonl:${last}: `);
    expect(() => parseHistory(lines)).toThrow(reason);
  });

  test("more processes than there may be", () => {
    const history = new History();
    expect(() => {
      for (let i = 0; i < 5_000; i += 1)
        history.add({ type: "deliver", process: `p${i}`, group: "g", message: 1 });
    }).toThrow("history:4097: a history has up to 4096 processes");
  });

  test("nothing else is ever thrown", () => {
    const word = fc.constantFrom(
      ...[
        "process",
        "type",
        "group",
        "message",
        "order",
        "from",
        "to",
        "members",
        "complete",
        "count",
        "was",
        "late",
        "carries",
        "snapshot",
      ],
      ...["p", "q", "multicast", "deliver", "send", "receive", "crash", "history", "causal"],
    );
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        word,
        word,
        fc.jsonValue(),
        fc.dictionary(word, tie("any"), { maxKeys: 6 }),
        fc.array(tie("any"), { maxLength: 3 }),
      ),
    })).any;
    let accepted = 0;
    const line = fc.oneof(
      value.map((one) => JSON.stringify(one)),
      fc.string(),
    );
    const event = fc
      .tuple(fc.constantFrom("multicast", "deliver", "send", "receive"), fc.dictionary(word, word))
      .map(([type, more]) =>
        JSON.stringify({ type, process: "p", to: "q", from: "q", group: "g", message: 1, ...more }),
      );
    fc.assert(
      fc.property(fc.array(fc.oneof(line, event), { maxLength: 6 }), (lines) => {
        const history = new History();
        for (const one of lines) {
          try {
            history.addText(one);
            accepted += 1;
          } catch (error) {
            expect(isTidemarkError(error, "BAD_OPTION")).toBe(true);
          }
        }
        checkHistory(history);
      }),
      { numRuns: 2_000, seed: 1 },
    );
    expect(accepted).toBeGreaterThan(1_000);
  });
});

test("the table of levels in the documentation is that of the code", () => {
  const page = readFileSync(
    new URL("../../docs/internals/history-format.md", import.meta.url),
    "utf8",
  );
  const [, head = "", ...rows] = /(\| `order` \|.*\n)\|[-|]+\n((?:\|.*\n)+)/.exec(page) ?? [];
  const cells = (row: string): string[] =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll("`", ""));
  const [, ...promises] = cells(head);
  const table = rows.join("").trimEnd().split("\n").map(cells);
  expect(
    Object.fromEntries(
      table.map(([level, ...marks]) => [level, promises.filter((_, i) => marks[i] === "✓")]),
    ),
  ).toEqual(ORDER_LEVELS);
});
