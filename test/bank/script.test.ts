import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatSnapshot, parseLine, splitLines } from "../../src/bank/script.ts";

describe("a line that is right", () => {
  test.each([
    ["StartMaster", { name: "StartMaster" }],
    ["KillAll", { name: "KillAll" }],
    ["CreateNode 1 1000", { name: "CreateNode", node: 1, money: 1000 }],
    ["CreateNode 0 0", { name: "CreateNode", node: 0, money: 0 }],
    ["Send 1 12 300", { name: "Send", from: 1, to: 12, amount: 300 }],
    ["Receive 2", { name: "Receive", to: 2 }],
    ["Receive 2 1", { name: "Receive", to: 2, from: 1 }],
    ["ReceiveAll", { name: "ReceiveAll" }],
    ["BeginSnapshot 7", { name: "BeginSnapshot", node: 7 }],
    ["CollectState", { name: "CollectState" }],
    ["PrintSnapshot", { name: "PrintSnapshot" }],
  ])("%s", (line, command) => {
    expect(parseLine(line)).toEqual(command);
  });

  test("may have tabs, more spaces, a carriage return, a byte order mark and leading zeros", () => {
    expect(parseLine("\ufeff \tSend\t1   02  3 \r")).toEqual(parseLine("Send 1 2 3"));
  });

  test("may be blank, and then says nothing", () => {
    for (const blank of ["", " ", "\t \r"]) expect(parseLine(blank)).toBeUndefined();
  });

  test("may send more than any number can be, which is more than anybody has", () => {
    const most = 2 ** 53 - 1;
    expect(parseLine(`Send 1 2 ${most}`)).toMatchObject({ amount: most });
    expect(parseLine("Send 1 2 9007199254740993")).toMatchObject({ amount: most + 1 });
    expect(parseLine(`Send 1 2 ${"9".repeat(400)}`)).toMatchObject({ amount: most + 1 });
  });
});

describe("a line that is wrong says why", () => {
  test.each([
    ["Sned 1 2 3", /^unknown command "Sned": the commands are StartMaster, .*PrintSnapshot$/],
    ["sendALL", /^unknown command "sendALL"/],
    ["receiveall", /did you mean ReceiveAll\?$/],
    ["toString", /^unknown command "toString"/],
    ["# a comment", /^unknown command "#"/],
    ["Send 1 2", /^Send takes 3 arguments, not 2: Send from to amount$/],
    ["Send 1 2 3 4", /^Send takes 3 arguments, not 4/],
    ["Receive", /^Receive takes 1 or 2 arguments, not 0: Receive to \[from\]$/],
    ["BeginSnapshot", /^BeginSnapshot takes 1 argument, not 0/],
    ["KillAll 1", /^KillAll takes no argument, not 1/],
    [
      "CreateNode 1 -5",
      /^"-5" cannot be "money" of CreateNode: use a whole number from 0 to 9007199254740991$/,
    ],
    ["CreateNode 1 1.5", /^"1.5" cannot be "money"/],
    ["CreateNode 1 1e3", /^"1e3" cannot be "money"/],
    ["CreateNode 1 0x10", /^"0x10" cannot be "money"/],
    ["CreateNode 1 9007199254740992", /^"9007199254740992" cannot be "money"/],
    ["CreateNode one 1", /^"one" cannot be "node"/],
    ["Send 1 2 -3", /^"-3" cannot be "amount"/],
    ["Send 1 2 NaN", /^"NaN" cannot be "amount"/],
    ["Receive 2 9007199254740992", /^"9007199254740992" cannot be "from"/],
    [`${"x".repeat(900)}`, /^unknown command "x{40}…"/],
    [`Send 1 2 ${"1".repeat(1000)}`, /^the line has more than 1000 characters$/],
  ])("%s", (line, problem) => {
    expect(parseLine(line)).toEqual({ problem: expect.stringMatching(problem) });
  });

  test("and no text at all makes it throw", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.string()), (text) => {
        const parsed = parseLine(`Send ${text}`);
        return parsed === undefined || "problem" in parsed || parsed.name === "Send";
      }),
      { numRuns: 1000 },
    );
  });
});

describe("a text that comes in pieces", () => {
  const lines = async (pieces: Iterable<string>): Promise<string[]> => {
    async function* coming(): AsyncGenerator<string> {
      yield* pieces;
    }
    const found: string[] = [];
    for await (const line of splitLines(coming())) found.push(line);
    return found;
  };

  test("has the same lines wherever it is cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: fc.constantFrom("a", " ", "\n") })),
        async (pieces) => {
          const whole = pieces.join("").split("\n");
          if (whole.at(-1) === "") whole.pop();
          expect(await lines(pieces)).toEqual(whole);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("gives a line as soon as it is whole", async () => {
    async function* coming(): AsyncGenerator<string> {
      yield "StartMaster\nKill";
      throw new Error("read too far");
    }
    expect((await splitLines(coming()).next()).value).toBe("StartMaster");
  });

  test("is not kept when it has no lines, and what comes after is read again", async () => {
    function* pieces(): Generator<string> {
      for (let i = 0; i < 1000; i += 1) yield "x".repeat(10_000);
      yield "\nKillAll\n";
    }
    const [first = "", second] = await lines(pieces());
    expect(first.length).toBeLessThan(3000);
    expect(parseLine(first)).toEqual({ problem: expect.stringMatching(/more than 1000/) });
    expect(second).toBe("KillAll");
  });
});

test("a snapshot is printed as nodes, then channels", () => {
  const nodes = [
    { node: 2, money: 300 },
    { node: 10, money: 1100 },
  ];
  const channels = [
    { from: 2, to: 10, money: 0 },
    { from: 10, to: 2, money: 100 },
  ];
  expect(formatSnapshot({ nodes, channels })).toBe(
    "---Node states\nnode 2 = 300\nnode 10 = 1100\n" +
      "---Channel states\nchannel (2 -> 10) = 0\nchannel (10 -> 2) = 100\n",
  );
  expect(formatSnapshot({ nodes: [{ node: 1, money: 5 }], channels: [] })).toBe(
    "---Node states\nnode 1 = 5\n---Channel states\n",
  );
});
