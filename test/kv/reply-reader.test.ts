import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { latin1Bytes } from "../../src/kv/latin1.ts";
import {
  plainReplies,
  type ReplyLimits,
  ReplyReader,
  type TypedReply,
  typedReplies,
} from "../../src/kv/reply-reader.ts";

/** All replies in a text, in the form that tells what they were. */
function typedIn(text: string, limits?: ReplyLimits): readonly TypedReply[] {
  const reader = new ReplyReader(typedReplies, limits);
  reader.feed(latin1Bytes(text));
  const found: TypedReply[] = [];
  for (let one = reader.next(); one !== undefined; one = reader.next()) found.push(one);
  return found;
}

/** As a server of RESP3 sends it. */
function written(reply: TypedReply): string {
  switch (reply.type) {
    case "null":
      return "_\r\n";
    case "status":
      return `+${reply.text}\r\n`;
    case "error":
      return `-${reply.text}\r\n`;
    case "integer":
      return `:${reply.text}\r\n`;
    case "double":
      return `,${reply.text}\r\n`;
    case "big":
      return `(${reply.text}\r\n`;
    case "boolean":
      return reply.text === "true" ? "#t\r\n" : "#f\r\n";
    case "bulk":
      return `$${reply.text.length}\r\n${reply.text}\r\n`;
    case "verbatim":
      return `=${reply.text.length + 4}\r\ntxt:${reply.text}\r\n`;
    default: {
      const sign = { array: "*", set: "~", push: ">", map: "%" }[reply.type];
      const { items } = reply;
      const count = reply.type === "map" ? items.length / 2 : items.length;
      return `${sign}${count}\r\n${items.map(written).join("")}`;
    }
  }
}

const bytes = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((n) => String.fromCharCode(n)),
});
const line = bytes.map((text) => text.replace(/[\r\n]/g, ""));
const { reply: anyReply } = fc.letrec<{ reply: TypedReply }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 5, depthSize: "small" },
    fc.constant<TypedReply>({ type: "null" }),
    fc.record({ type: fc.constantFrom("status" as const, "error" as const), text: line }),
    fc.record({ type: fc.constantFrom("bulk" as const, "verbatim" as const), text: bytes }),
    fc.record({
      type: fc.constant("integer" as const),
      text: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
    }),
    fc.record({ type: fc.constant("boolean" as const), text: fc.constantFrom("true", "false") }),
    fc.record({ type: fc.constant("double" as const), text: fc.constantFrom("1.5", "inf", "-0") }),
    fc.record({
      type: fc.constantFrom("array" as const, "set" as const, "push" as const),
      items: fc.array(tie("reply"), { maxLength: 4 }),
    }),
    fc
      .array(fc.tuple(tie("reply"), tie("reply")), { maxLength: 3 })
      .map((pairs): TypedReply => ({ type: "map", items: pairs.flat() })),
  ),
}));

describe("replies of RESP3", () => {
  test("are what was sent, in whatever pieces it comes", () => {
    fc.assert(
      fc.property(fc.array(anyReply, { maxLength: 4 }), fc.array(fc.nat(40)), (replies, cuts) => {
        const all = latin1Bytes(replies.map(written).join(""));
        const reader = new ReplyReader(typedReplies, { depth: 32 });
        const found: TypedReply[] = [];
        let at = 0;
        const feed = (size: number): void => {
          reader.feed(all.slice(at, at + size));
          at += size;
          for (let one = reader.next(); one !== undefined; one = reader.next()) found.push(one);
        };
        for (const size of cuts) feed(size);
        feed(all.length);
        expect(found).toEqual(replies);
      }),
    );
  });

  test("are plain values for who does not ask for more", () => {
    const reader = new ReplyReader(plainReplies);
    reader.feed(
      latin1Bytes("%1\r\n+a\r\n:-7\r\n~1\r\n#t\r\n,1.5\r\n_\r\n=5\r\ntxt:x\r\n-ERR no\r\n"),
    );
    const found = Array.from({ length: 6 }, () => reader.next());
    expect(found.slice(0, 5)).toEqual([["a", -7], [1], "1.5", null, "x"]);
    expect(found[5]).toMatchObject({ message: "ERR no" });
  });

  test("beyond a limit are refused as soon as that is known", () => {
    const limits = { bytes: 100 };
    expect(typedIn(`$90\r\n${"x".repeat(90)}\r\n`.repeat(3), limits).length).toBe(3);
    // Before any of it has come.
    expect(() => typedIn("$101\r\n", limits)).toThrow("a reply has more than 100 B");
    expect(() => typedIn(`*1000\r\n${":1\r\n".repeat(60)}`, limits)).toThrow("ask for less");
    expect(() => typedIn("*1\r\n".repeat(9))).toThrow("too deep");
    expect(typedIn(`${"*1\r\n".repeat(9)}:1\r\n`, { depth: 9 }).length).toBe(1);
    for (const bad of ["?\r\n", ":1.5\r\n", "$x\r\n", "%\r\n"])
      expect(() => typedIn(bad)).toThrow();
  });
});
