/** `tidemark kv export`: keys of a snapshot or of a running server, as requests that make them again. */

import { Command, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import { byteSize } from "../core/quantity.ts";
import { elementsOf, partsOf, writePart } from "../kv/key-part.ts";
import { type KeysImage, SliceReader } from "../kv/keyspace.ts";
import type { RdbEvent } from "../kv/rdb.ts";
import { Reply } from "../kv/reply.ts";
import { typeOf, type Value } from "../kv/value.ts";
import type { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import { RedisConnection } from "../serve/redis-connection.ts";
import { KeyTally } from "./key-tally.ts";
import { databasesOf, liveKeys } from "./live-keys.ts";
import { addNatsStoreOptions } from "./nats-options.ts";
import { directoryOption, jsonOption } from "./options.ts";
import { parseRedisUrl, type RedisUrl, tlsOption, withTls } from "./redis-url.ts";
import { keyOption, openSnapshot, SNAPSHOT_NAME, type StoreOptions, withStore } from "./store.ts";
import { grouped } from "./terminal.ts";
import { Progress, STANDARD, writeTo } from "./transfer.ts";

interface ExportOptions extends StoreOptions {
  readonly from?: RedisUrl;
  readonly snapshot?: string;
  readonly json?: true;
  readonly tls?: string;
}

const STORE: RedisUrl = { host: "127.0.0.1", port: 7379 };
const CHUNK_BYTES = 64 * 1024;

const HELP = `
What is written are requests of Redis' protocol, for redis-cli --pipe: SELECT,
then for each key SET, or DEL and RPUSH, SADD, HSET or ZADD, and PEXPIREAT. A
key that is there already is replaced.

A snapshot is one cut: all keys as they were at one moment, with every write
that was answered before it. A running server is asked by SCAN, key by key, and
goes on meanwhile: so keys that belong together may be of different moments.
Take a snapshot, and export that.

Exit status: 0; 1 if there is no such snapshot, the server cannot be reached,
the file is there already, or a key has a type that is left out.

Examples:
  tidemark kv export --snapshot latest keys.resp
  tidemark kv export --snapshot latest | redis-cli -p 6379 --pipe
  tidemark kv export --from redis://127.0.0.1:7380/2 keys.resp   # one database`;

export function kvExportCommand(): Command {
  const command = new Command("export")
    .description("write keys of a snapshot or of a running store for redis-cli --pipe")
    .argument("[file]", "is made, and not overwritten; -: standard output", STANDARD)
    .option("--snapshot <snapshot>", SNAPSHOT_NAME)
    .addOption(
      new Option("--from <address>", "without --snapshot: a process of a store, or a Redis")
        .default(undefined, "redis://127.0.0.1:7379")
        .argParser(parseRedisUrl),
    )
    .addOption(tlsOption())
    .addOption(directoryOption())
    .addOption(keyOption())
    .addOption(jsonOption("print what was written as one line of JSON; not with -"))
    .addHelpText("after", HELP)
    .action(async (file: string, options: ExportOptions) => {
      const { snapshot: name, from, nats, json, tls } = options;
      if (name !== undefined && from)
        throw new TidemarkError("BAD_OPTION", "--from and --snapshot are two ways: choose one");
      if (name === undefined && nats !== undefined)
        throw new TidemarkError("BAD_OPTION", "--nats goes with --snapshot");
      if (file === STANDARD && (json || process.stdout.isTTY))
        throw new TidemarkError("BAD_OPTION", "keys are not for a terminal, nor among JSON");
      const progress = new Progress();
      const tally = new KeyTally();
      const counter = { bytes: 0 };
      const write = (events: AsyncIterable<RdbEvent>): Promise<void> =>
        writeTo(file, requestsOf(events, tally, counter, progress));
      const connection =
        name === undefined ? await RedisConnection.open(withTls(from ?? STORE, tls)) : undefined;
      try {
        if (connection)
          await write(
            liveKeys(
              connection,
              from?.db === undefined ? (await databasesOf(connection)).keys() : [from.db],
            ),
          );
        else
          await withStore(options, async (store, where) =>
            write(snapshotKeys(await openSnapshot(store, name as string, where))),
          );
      } finally {
        progress.end();
        connection?.close();
      }
      const { bytes } = counter;
      if (json) console.log(JSON.stringify({ file, bytes, ...tally.plain }));
      else if (file !== STANDARD)
        console.log(
          [`${tally.summary} are in ${file}, ${byteSize(bytes)}`, ...tally.losses].join("\n  "),
        );
      if (!tally.isWhole) process.exitCode = 1;
    });
  return addNatsStoreOptions(command);
}

async function* requestsOf(
  events: AsyncIterable<RdbEvent>,
  tally: KeyTally,
  counter: { bytes: number },
  progress: Progress,
): AsyncGenerator<Uint8Array, void> {
  let requests = new Reply();
  let db: number | undefined;
  const taken = (): Uint8Array => {
    const bytes = requests.bytes.subarray(0, requests.length);
    counter.bytes += bytes.length;
    requests = new Reply();
    return bytes;
  };
  for await (const event of events) {
    const part = tally.sift(event);
    if (!part) continue;
    if (part.db !== db) requests.bulks(["SELECT", String(part.db)]);
    db = part.db;
    writePart(part, requests, true);
    if (part.isLast) tally.add(part.type);
    if (requests.length < CHUNK_BYTES) continue;
    yield taken();
    progress.tell(() => `${grouped(tally.keys)} keys, ${byteSize(counter.bytes)}`);
  }
  if (requests.length > 0) yield taken();
}

/** A slice of the state of a replica, as `Grouped` has it around. */
interface GroupedSlice {
  readonly slice?: { readonly applied?: unknown };
}

/** The keys of the replica that had come furthest: it has whatever any of them had. */
async function* snapshotKeys(snapshot: GlobalSnapshot): AsyncGenerator<RdbEvent, void> {
  const { id, manifest } = snapshot;
  let [furthest, most] = ["", -1];
  for (const { process, state } of manifest.pieces) {
    const head = state.parts.length > 1 ? await snapshot.slice(process, 1) : undefined;
    const applied = (head as GroupedSlice | undefined)?.slice?.applied;
    if (typeof applied !== "number")
      throw new TidemarkError("BAD_OPTION", `${id} is no snapshot of a store of keys`);
    if (applied > most) [furthest, most] = [process, applied];
  }
  const slices = snapshot.piece(furthest).state.parts.length;
  let whole: (readonly [db: number, key: string, value: Value, deadline: number | null])[] = [];
  const reader = new SliceReader(1, (...key) => whole.push(key));
  for (let i = 2; i <= slices; i += 1) {
    if (i === slices) reader.end();
    else {
      const { slice } = (await snapshot.slice(furthest, i)) as { readonly slice: KeysImage };
      // What is kept of keys that converge is none of them.
      if ("db" in slice) reader.read(slice);
    }
    for (const [db, key, value, deadline] of whole) {
      const about = { db, key, type: typeOf(value), deadline: deadline ?? undefined };
      yield* partsOf(about, elementsOf(value));
    }
    whole = [];
  }
}
