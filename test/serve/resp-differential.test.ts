/**
 * The same bytes to Debian's redis-server and to the store, right and wrong, in whatever pieces: the same replies, and connections that
 * end in the same places. What is done behind a mistake shows that: a `PING` follows everything that is sent.
 *
 * Where the store is not like Redis, on purpose:
 * - A byte 0 in a line: to Redis the line has no end then, and it waits for ever. The store reads on. None is sent here.
 * - `Host:` and `POST`: Redis drops what it had not sent yet. So they come first here.
 * - A line of more than 64 KiB: whether Redis takes one that is not much longer depends on its pieces. The store never does.
 */

import { connect } from "node:net";
import { expect, test } from "vitest";
import { Random } from "../../src/index.ts";
import { fuzzed, seeds } from "../support/soak.ts";
import { lacksRedis, startRedis } from "./redis.ts";
import { startStore } from "./store.ts";

/** So many connections to each at a time. */
const AT_ONCE = 8;
const BULK_BYTES = 1024 * 1024;
/** How a request can come. */
const COUNTS = [
  ...["0", "1", "2", "3", "-1", "-2", "00", "01", "+1", " 1", "1 ", "", "-", "-0", "1x", "x", "4"],
  ...["2147483647", "2147483648", "-9223372036854775808", "-9223372036854775809", "1.5", "1e3"],
  ...["9223372036854775807", "9999999999999999999", "-9999999999999999999", "1048576", "1048577"],
];
const WORDS = ["PING", "ping", "ECHO", "GET", "SET", "NONE", "x", "y", "", "MULTI", "EXEC", "QUIT"];
const QUOTED = [
  ...['"a b"', "'a b'", '"a', "'a", '"a"b', "'a'b", '"\\x41\\n"', '"\\x4"', "'\\''", "'\\n'", "\\"],
  ...['a"b"', "a'b'", '""', "''", '"\\"', "'\\'", '"\\q\\"', "\xff\xfe", "\x07", '"', "'"],
];
const SPACES = [" ", " ", "  ", "\t", "\r", "\v", "\f", ""];
const ENDS = ["\r\n", "\r\n", "\n", "\r\r\n", "\n\n"];
const GARBAGE = [
  "*",
  "$",
  "\r\n",
  "\r",
  "\n",
  "-1",
  "0",
  "1",
  '"',
  "'",
  ":1\r\n",
  "+OK\r\n",
  "PING",
];
/** What browsers send: no page is to make them talk to Redis. */
const FOREIGN = ["POST / HTTP/1.1\r\n", "Host: localhost\r\n", "post\r\n"];

function bulk(random: Random, word: string): string {
  if (random.chance(0.97)) return `$${word.length}\r\n${word}\r\n`;
  const size = random.chance(0.5) ? random.pick(COUNTS) : String(word.length);
  const type = random.pick(["$", "$", "$", "*", ":", "%", "\r", "\n", "\xff", "x", ""]);
  return `${type}${size}${random.pick(["\r\n", "\n", "\r", "\rx", ""])}${word}${random.pick(["\r\n", "xx", ""])}`;
}

function request(random: Random, key: string, before: string): string {
  const word = (): string => {
    if (random.chance(0.02)) return "z".repeat(random.pick([130, 9_000]) as number);
    return random.chance(0.2) ? key : (random.pick(WORDS) as string);
  };
  const kind = random.below(20);
  if (kind < 9) {
    const words = random.pick([
      ["PING"],
      ["ECHO", word()],
      ["ECHO", "a\r\nb\xff"],
      ["SET", key, word()],
      ["GET", key],
      ["MULTI"],
      ["EXEC"],
      [word(), word()],
      [word(), word(), word(), "\r\n"],
    ]) as string[];
    const count = random.chance(0.97) ? String(words.length) : random.pick(COUNTS);
    const end = random.chance(0.99) ? "\r\n" : random.pick(["\n", "\r", "", "\rx"]);
    return `*${count}${end}${words.map((one) => bulk(random, one)).join("")}`;
  }
  if (kind < 17) {
    const words = Array.from({ length: random.between(0, 4) }, () =>
      random.chance(0.15) ? (random.pick(QUOTED) as string) : word(),
    );
    const line = words.map((one) => one + random.pick(SPACES)).join("");
    // In a line, that is what it ends with.
    return random.pick(SPACES) + line + random.pick(ENDS);
  }
  if (kind < 18) return `*${random.pick(COUNTS)}\r\n`;
  if (kind < 19 && random.chance(0.1)) {
    const size = random.pick([500_000, BULK_BYTES, BULK_BYTES + 1]) as number;
    // After a large bulk Redis reads much at once, and takes a long line if its end happens to be there.
    const isBulk = random.chance(0.7) || before.length > 100_000;
    return `${isBulk ? `*2\r\n$4\r\nECHO\r\n$${size}\r\n` : ""}${"x".repeat(size)}\r\n`;
  }
  return Array.from({ length: random.between(1, 6) }, () => random.pick(GARBAGE)).join("");
}

interface Talk {
  heard: string;
  /** The connection was torn down while there was more to send, and with it what was on its way back. */
  isCut: boolean;
}

/** All that is answered until the connection is over. Without `random`, all is sent at once. */
function talk(port: number, text: string, random?: Random): Promise<Talk> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const talked = { heard: "", isCut: false };
    let at = 0;
    const isSlow = text.length < 3_000 && random?.chance(0.3);
    const send = (): void => {
      if (socket.destroyed) return;
      let size = text.length;
      if (random)
        size = isSlow ? random.between(1, 40) : (random.pick([100, 1_000, 100_000]) as number);
      socket.write(Buffer.from(text.slice(at, at + size), "latin1"));
      at += size;
      if (at >= text.length) socket.end();
      else setImmediate(send);
    };
    socket.on("connect", send);
    socket.on("data", (bytes) => {
      talked.heard += bytes.toString("latin1");
    });
    socket.on("error", () => {
      talked.isCut = true;
    });
    socket.on("close", () => resolve(talked));
  });
}

test.skipIf(lacksRedis)(
  "the same replies as Redis, whatever comes",
  { timeout: 36_000_000 },
  async () => {
    const redis = await startRedis("--proto-max-bulk-len", String(BULK_BYTES));
    const [store] = await startStore(1, { "proto-max-bulk-len": String(BULK_BYTES) });
    const compare = async (seed: number): Promise<void> => {
      const random = new Random(`resp ${seed}`);
      // Of those that talk at once each has a database of its own: what one writes another would read, or not yet.
      const own = `SELECT ${seed % AT_ONCE}\r\nFLUSHDB\r\n`;
      let text = random.chance(0.03) ? (random.pick(FOREIGN) as string) : own;
      for (let i = random.between(1, 8); i > 0; i -= 1) text += request(random, `key${seed}`, text);
      if (random.chance(0.1)) text = text.slice(0, -random.between(1, 200));
      text += "\r\nPING\r\n";
      const sent = JSON.stringify(
        text.replace(/(.)\1{99,}/g, (all, one) => `<${all.length} ${one}>`),
      );
      const ports = [redis, store?.server.port ?? 0] as const;
      for (const inPieces of [true, false]) {
        const [expected, heard] = (await Promise.all(
          ports.map((port) =>
            talk(port, text, inPieces ? new Random(`${port} ${seed}`) : undefined),
          ),
        )) as [Talk, Talk];
        const isCut = expected.isCut || heard.isCut;
        const length = isCut ? Math.min(expected.heard.length, heard.heard.length) : undefined;
        expect(heard.heard.slice(0, length), `seed ${seed}: ${sent}`).toBe(
          expected.heard.slice(0, length),
        );
        // Once more, so that there is nothing more to send when the connection ends.
        if (!isCut) break;
      }
    };
    let batch: Promise<void>[] = [];
    let count = 0;
    for (const seed of seeds("resp-differential", 120, 100_000)) {
      batch.push(compare(seed));
      count += 1;
      if (batch.length < AT_ONCE) continue;
      await Promise.all(batch);
      batch = [];
    }
    await Promise.all(batch);
    fuzzed("RESP", count);
  },
);
