/** `tidemark kv import`: keys of Redis, from a file or a running server, into a running store. */

import { createReadStream, statSync } from "node:fs";
import { Command, Option } from "commander";
import { isTidemarkError, TidemarkError } from "../core/error.ts";
import { byteSize } from "../core/quantity.ts";
import { type KeyPart, writePart } from "../kv/key-part.ts";
import { type RdbEvent, RdbReader } from "../kv/rdb.ts";
import { Reply } from "../kv/reply.ts";
import { RedisConnection } from "../serve/redis-connection.ts";
import { KeyTally } from "./key-tally.ts";
import { databasesOf, liveKeys } from "./live-keys.ts";
import { jsonOption } from "./options.ts";
import { isRedisUrl, parseRedisUrl, type RedisUrl, tlsOption, withTls } from "./redis-url.ts";
import { grouped, printable } from "./terminal.ts";
import { unreadable } from "./text-file.ts";
import { Progress } from "./transfer.ts";

interface ImportOptions {
  readonly to: RedisUrl;
  readonly replace?: true;
  readonly json?: true;
  readonly tls?: string;
}

/** So much is sent before its replies are waited for. */
const [BATCH_BYTES, BATCH_PARTS] = [512 * 1024, 1_000];
const PIECE_BYTES = 256 * 1024;

const HELP = `
A file is what SAVE or BGSAVE of Redis writes, up to Redis 7.2. It is read
twice: nothing is sent of one that is damaged. A running server is asked for all
its keys, by SCAN and DUMP, one at this moment and one at another.
Of a server of Redis' protocol with a password, the address has it:
redis://user:password@host:port, redis://:password@host:port. One that speaks
TLS is rediss://host:port.

Keys keep their database and the time at which they expire; those that are past
it are left out. Keys that the store has are left as they are, and counted,
unless --replace is given. Nobody else should write the same keys meanwhile: a
large one comes in parts. When it ends with an error, what was sent before is
there; with --replace it can be done again.

What has no form in the store is named, counted and left out: streams, values
of modules, functions.

Exit status: 0; 1 if a file is damaged, a server refuses or cannot be reached,
or a key was there already or left out.

Examples:
  tidemark kv import /var/lib/redis/dump.rdb
  tidemark kv import redis://:secret@10.0.0.5 --to redis://127.0.0.1:7380
  tidemark kv import redis://127.0.0.1:6379/2 --replace   # one database`;

export function kvImportCommand(): Command {
  return new Command("import")
    .description("take keys of Redis, from a file or a server, into a running store")
    .argument("<source>", "dump.rdb, or redis://host:port[/database]")
    .addOption(
      new Option("--to <address>", "any process of the store")
        .default({ host: "127.0.0.1", port: 7379 }, "redis://127.0.0.1:7379")
        .argParser(parseRedisUrl),
    )
    .option("--replace", "replace keys that are there")
    .addOption(tlsOption())
    .addOption(jsonOption("print what came of it as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (source: string, { to, replace, json, tls }: ImportOptions) => {
      if (to.db !== undefined)
        throw new TidemarkError("BAD_OPTION", "--to has no database: keys keep the one they have");
      const progress = new Progress();
      const tally = new KeyTally();
      try {
        const from = isRedisUrl(source) ? withTls(addressOf(source), tls) : source;
        await importKeys(from, withTls(to, tls), new KeySender(tally, replace === true), progress);
      } finally {
        progress.end();
      }
      if (json) console.log(JSON.stringify({ source: shown(source), ...tally.plain }));
      else console.log([`${tally.summary} from ${shown(source)}`, ...tally.losses].join("\n  "));
      if (!tally.isWhole) process.exitCode = 1;
    });
}

/** Without a password. */
function shown(source: string): string {
  return printable(isRedisUrl(source) ? source.replace(/\/\/[^@/]*@/, "//") : source);
}

async function importKeys(
  source: string | RedisUrl,
  to: RedisUrl,
  sender: KeySender,
  progress: Progress,
): Promise<void> {
  const from = typeof source === "string" ? undefined : await RedisConnection.open(source);
  const file = typeof source === "string" ? await provenFile(source, progress) : undefined;
  try {
    const target = await RedisConnection.open(to);
    try {
      const db = typeof source === "string" ? undefined : source.db;
      const events = from ? keysOfServer(from, db) : file?.events();
      for await (const event of events ?? []) {
        await sender.take(event, target);
        if (from) progress.tell(() => `${grouped(sender.tally.keys)} keys`);
      }
      await sender.end(target);
    } catch (error) {
      throw afterwards(error, sender.tally);
    } finally {
      target.close();
    }
  } finally {
    from?.close();
  }
}

/** @throws TidemarkError `BAD_OPTION` */
function addressOf(text: string): RedisUrl {
  try {
    return parseRedisUrl(text);
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `${shown(text)}: ${(error as Error).message}`);
  }
}

/** Says how far it came. */
function afterwards(error: unknown, tally: KeyTally): unknown {
  if (!isTidemarkError(error) || tally.keys === 0) return error;
  const { code, message, cause } = error;
  const far = `${tally.summary} came in before`;
  return new TidemarkError(code, `${message} (${far})`, { definite: false, cause });
}

async function* keysOfServer(from: RedisConnection, db: number | undefined) {
  yield* liveKeys(from, db === undefined ? (await databasesOf(from)).keys() : [db]);
}

/** A file that has been read to its end, without a mistake in it. */
async function provenFile(file: string, progress: Progress) {
  let size = 0;
  try {
    const status = statSync(file);
    if (!status.isFile()) throw new Error("it is read twice, so it must be a file");
    size = status.size;
  } catch (error) {
    throw unreadable(file, error);
  }
  const read = (what: string) =>
    eventsOf(file, (bytes) =>
      progress.tell(() => `${what} ${byteSize(bytes)} of ${byteSize(size)}`),
    );
  for await (const _ of read("checked")) {
    // What it has is looked at the next time.
  }
  return { events: () => read("sent") };
}

async function* eventsOf(
  file: string,
  tell: (bytes: number) => void,
): AsyncGenerator<RdbEvent, void> {
  const reader = new RdbReader(file);
  let bytes = 0;
  const pieces = createReadStream(file, { highWaterMark: PIECE_BYTES });
  const next = pieces[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  try {
    for (;;) {
      const { done, value } = await next.next().catch((error) => {
        throw unreadable(file, error);
      });
      if (done) break;
      bytes += value.length;
      reader.feed(value);
      for (const event of reader.events()) yield event;
      tell(bytes);
    }
  } finally {
    pieces.destroy();
  }
  reader.end();
}

/** Sends keys in batches: the next one is put together while the store does one. */
class KeySender {
  readonly tally: KeyTally;
  readonly #replaces: boolean;
  #batch: KeyPart[] = [];
  #bytes = 0;
  /** That the batch begins to make: none twice, for whether it is there is asked for all at once. */
  readonly #keys = new Set<string>();
  /** What the batch goes to, and what the connection has selected. */
  #db = 0;
  #selected = 0;
  /** The key that comes was there already. */
  #isRefused: boolean = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(tally: KeyTally, replaces: boolean) {
    this.tally = tally;
    this.#replaces = replaces;
  }

  async take(event: RdbEvent, target: RedisConnection): Promise<void> {
    const part = this.tally.sift(event);
    if (!part) return;
    const isFull = this.#bytes >= BATCH_BYTES || this.#batch.length >= BATCH_PARTS;
    const isAgain = part.isFirst && this.#keys.has(part.key);
    if (isFull || isAgain || part.db !== this.#db) await this.#flush(target);
    this.#db = part.db;
    this.#batch.push(part);
    this.#bytes += part.elements.reduce((sum, { length }) => sum + length, part.key.length);
    if (part.isFirst) this.#keys.add(part.key);
  }

  async end(target: RedisConnection): Promise<void> {
    await this.#flush(target);
    await this.#writing;
  }

  async #flush(target: RedisConnection): Promise<void> {
    const batch = this.#batch;
    if (batch.length === 0) return;
    this.#batch = [];
    this.#bytes = 0;
    this.#keys.clear();
    if (this.#db !== this.#selected) await target.ask("SELECT", String(this.#db));
    this.#selected = this.#db;
    const parts = this.#replaces ? batch : await this.#absent(batch, target);
    await this.#writing;
    this.#writing = this.#write(parts, target);
    // Whoever waits for it next hears of it.
    this.#writing.catch(() => {});
  }

  /** Without the parts of keys that are there. */
  async #absent(batch: readonly KeyPart[], target: RedisConnection): Promise<readonly KeyPart[]> {
    const requests = new Reply();
    const firsts = batch.filter(({ isFirst }) => isFirst);
    for (const { key } of firsts) requests.bulks(["EXISTS", key]);
    const replies = (await target.send(requests, firsts.length)).values();
    return batch.filter(({ isFirst }) => {
      if (isFirst) {
        this.#isRefused = target.checked(replies.next().value ?? null) !== 0;
        if (this.#isRefused) this.tally.refused += 1;
      }
      return !this.#isRefused;
    });
  }

  async #write(parts: readonly KeyPart[], target: RedisConnection): Promise<void> {
    const requests = new Reply();
    const counts = parts.map((part) => writePart(part, requests, this.#replaces));
    const total = counts.reduce((sum, count) => sum + count, 0);
    const replies = (await target.send(requests, total)).values();
    for (const [i, { key, type, db, isLast }] of parts.entries()) {
      for (let left = counts[i] as number; left > 0; left -= 1)
        target.checked(
          replies.next().value ?? null,
          ` of the key ${key.slice(0, 60)} in database ${db}`,
        );
      if (isLast) this.tally.add(type);
    }
  }
}
