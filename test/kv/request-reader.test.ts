/** What clients send, in pieces of any size, and what nobody should send. */

import { describe, expect, test } from "vitest";
import { Random } from "../../src/index.ts";
import { encodeRequest, RequestReader } from "../../src/kv/request-reader.ts";
import { cases, fuzzed, seeds } from "../support/soak.ts";

const LIMITS = { bulkBytes: 1_000_000, queryBytes: 10_000_000, authenticated: true };

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"));

function randomText(random: Random): string {
  const length = random.pick([0, 1, 3, 10, 100, 5_000]) as number;
  return String.fromCharCode(...Array.from({ length }, () => random.below(256)));
}

/** Feeds bytes in pieces, and gives all requests that come of them. */
function readAll(reader: RequestReader, bytes: Uint8Array, random: Random): string[][] {
  const requests: string[][] = [];
  const scratch = new Uint8Array(70_000);
  for (let at = 0; at < bytes.length; ) {
    const size = Math.min(bytes.length - at, random.pick([1, 2, 7, 100, 4_096, 65_536]) as number);
    // What was fed is used again, as a socket would.
    scratch.fill(0x2a);
    scratch.set(bytes.subarray(at, at + size));
    reader.feed(scratch.subarray(0, size));
    at += size;
    while (reader.next()) {
      if (random.chance(0.1)) {
        reader.again();
        reader.keep();
        if (!reader.next()) throw new Error("what was there once is there again");
      }
      requests.push(reader.arguments());
    }
    reader.keep();
  }
  return requests;
}

describe("a request reader", () => {
  test("gives the same requests, in whatever pieces they come", () => {
    for (const seed of seeds("resp-pieces", 30, 20_000)) {
      const random = new Random(`pieces ${seed}`);
      const requests: string[][] = [];
      const parts: Uint8Array[] = [];
      for (let i = random.between(1, 30); i > 0; i -= 1) {
        if (random.chance(0.2)) {
          const words = Array.from({ length: random.between(1, 4) }, () => `w${random.below(99)}`);
          requests.push(words);
          parts.push(bytesOf(`${words.join("  ")}${random.chance(0.5) ? "\r" : ""}\n`));
        } else if (random.chance(0.1)) parts.push(bytesOf(random.chance(0.5) ? "\r\n" : "*0\r\n"));
        else {
          const words = Array.from({ length: random.between(1, 40) }, () => randomText(random));
          requests.push(words);
          parts.push(encodeRequest(words));
        }
      }
      const reader = new RequestReader({ ...LIMITS });
      expect(readAll(reader, Buffer.concat(parts), random), `seed ${seed}`).toEqual(requests);
      expect(reader.problem).toBeUndefined();
      expect(reader.keptBytes).toBe(0);
    }
  });

  test.each([
    ['set "a b" \'c\\\'d\' "\\x41\\n\\q"', ["set", "a b", "c'd", "A\nq"]],
    ["  get\t a  ", ["get", "a"]],
    ['""', [""]],
  ])("takes the line %s", (line, words) => {
    const reader = new RequestReader({ ...LIMITS });
    reader.feed(bytesOf(`${line}\r\n`));
    expect(reader.next()).toBe(true);
    expect(reader.arguments()).toEqual(words);
  });

  test("keeps to its limits", () => {
    const problemOf = (text: string, limits: Partial<typeof LIMITS> = {}): string | undefined => {
      const reader = new RequestReader({ ...LIMITS, ...limits });
      reader.feed(bytesOf(text));
      while (reader.next());
      return reader.problem;
    };
    expect(problemOf("*1\r\n$1000001\r\n")).toBe("Protocol error: invalid bulk length");
    expect(problemOf("*2147483648\r\n")).toBe("Protocol error: invalid multibulk length");
    expect(problemOf("*1\r\n$1000000\r\n")).toBeUndefined();
    const stranger = { authenticated: false };
    expect(problemOf("*11\r\n", stranger)).toBe("Protocol error: unauthenticated multibulk length");
    expect(problemOf("*1\r\n$16385\r\n", stranger)).toBe(
      "Protocol error: unauthenticated bulk length",
    );
    expect(problemOf("x".repeat(70_000))).toBe("Protocol error: too big inline request");
    expect(problemOf(`*1${"0".repeat(70_000)}`)).toBe("Protocol error: too big mbulk count string");
  });

  test.each([
    [`${"x".repeat(70_000)}\r\n`, "too big inline request"],
    [`*${"0".repeat(70_000)}\r\n`, "too big mbulk count string"],
    [`*1\r\n$${"1".repeat(70_000)}\r\n`, "too big bulk count string"],
    ["*-9223372036854775809\r\n", "invalid multibulk length"],
    ["*01\r\n", "invalid multibulk length"],
    ["*1\r\n$-0\r\n", "invalid bulk length"],
  ])("refuses the same, in whatever pieces it comes (%#)", (text, problem) => {
    for (const size of [7, 60_000, 100_000]) {
      const reader = new RequestReader({ ...LIMITS });
      const bytes = bytesOf(text);
      for (let at = 0; at < bytes.length; at += size) {
        reader.feed(bytes.subarray(at, at + size));
        expect(reader.next()).toBe(false);
        reader.keep();
      }
      expect(reader.problem).toBe(`Protocol error: ${problem}`);
    }
  });

  test("a long request in small pieces takes no longer than it is long", () => {
    const words = Array.from({ length: 60_000 }, () => "xy");
    const bytes = encodeRequest(words);
    const reader = new RequestReader({ ...LIMITS });
    let found = 0;
    for (let at = 0; at < bytes.length; at += 16) {
      reader.feed(bytes.subarray(at, at + 16));
      while (reader.next()) found = reader.count;
      reader.keep();
    }
    expect(found).toBe(60_000);
  }, 5_000);

  test("never throws, whatever comes, and says what is wrong once", () => {
    const pieces = [
      "*",
      "$",
      "\r\n",
      "\r",
      "\n",
      "-1",
      "0",
      "1",
      "3",
      "99999999999999999999",
      "get",
      '"',
    ];
    for (let i = 0; i < cases("resp-fuzz", 8_000, 1_000_000); i += 1) {
      const random = new Random(i);
      let text = "";
      for (let many = random.between(1, 12); many > 0; many -= 1)
        text += random.chance(0.8) ? random.pick(pieces) : String.fromCharCode(random.below(256));
      const reader = new RequestReader({ ...LIMITS });
      readAll(reader, bytesOf(text), random);
      if (reader.problem === undefined) continue;
      expect(reader.problem).toMatch(/^Protocol error: /);
      reader.feed(bytesOf("PING\r\n"));
      expect(reader.next()).toBe(false);
    }
    fuzzed("RESP", cases("resp-fuzz", 8_000, 1_000_000));
  });
});
