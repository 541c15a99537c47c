/** The store that a command works on, the key that it may need, and the names that snapshots go by. */

import { readFileSync } from "node:fs";
import { InvalidArgumentError, Option } from "commander";
import { TidemarkError, textOf } from "../core/error.ts";
import { isSnapshotId, type SnapshotId } from "../core/id.ts";
import type { Codec } from "../process/codec.ts";
import {
  type DirectoryStore,
  type DirectoryStoreOptions,
  directoryStore,
} from "../runtime/directory-store.ts";
import { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import type { SnapshotSummary } from "../snapshot/manifest.ts";
import { type NatsCommandOptions, type NatsPlace, natsName, natsPlace } from "./nats-options.ts";
import { printable } from "./terminal.ts";

/** What `keyOption` gives. */
export interface KeyOptions {
  readonly keyFile?: string;
}

/** What a command is told of where snapshots are: in a directory, or on NATS. */
export interface StoreOptions extends KeyOptions, NatsCommandOptions {
  readonly dir: string;
  readonly compress?: number;
  readonly sync?: boolean;
}

/** How help describes an argument that names a snapshot. */
export const SNAPSHOT_NAME = "its id, as in p2/7; its label; or latest";
/** The name that the newest snapshot has. */
const LATEST = "latest";
const KEY_VARIABLE = "TIDEMARK_KEY";
const KEY_BYTES = 32;
const LEVEL_MAX = 19;
const LEVEL_USUAL = 3;
/** How many ids a message names. */
const NAMED_MAX = 5;

export function keyOption(): Option {
  return new Option("--key-file <file>", "holds the key, if snapshots are encrypted").default(
    undefined,
    `the key in ${KEY_VARIABLE}, if it is set`,
  );
}

export function compressOption(): Option {
  return new Option("--compress [level]", `compress snapshots by zstd, 1 to ${LEVEL_MAX}`)
    .preset(String(LEVEL_USUAL))
    .argParser((text) => {
      const level = Number(text);
      if (/^[0-9]+$/.test(text) && level >= 1 && level <= LEVEL_MAX) return level;
      throw new InvalidArgumentError(`Use a level from 1 to ${LEVEL_MAX}.`);
    });
}

/**
 * The key in a file, or else the one in the environment.
 * @throws TidemarkError `BAD_OPTION` if there is something, but no key
 */
export function readKey({ keyFile }: KeyOptions): Uint8Array | undefined {
  if (keyFile === undefined) {
    const text = process.env[KEY_VARIABLE] ?? "";
    return text === "" ? undefined : parseKey(Buffer.from(text), KEY_VARIABLE);
  }
  let content: Uint8Array;
  try {
    content = readFileSync(keyFile);
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `the key cannot be read: ${textOf(error)}`);
  }
  return parseKey(content, keyFile);
}

function parseKey(content: Uint8Array, from: string): Uint8Array {
  if (content.length === KEY_BYTES) return new Uint8Array(content);
  const text = Buffer.from(content.subarray(0, 1_000)).toString("latin1").trim();
  if (/^[0-9a-fA-F]{64}$/.test(text)) return new Uint8Array(Buffer.from(text, "hex"));
  throw new TidemarkError(
    "BAD_OPTION",
    `${from} holds no key: use ${KEY_BYTES} random bytes, or as many as ${2 * KEY_BYTES} hexadecimal digits ` +
      "(openssl rand -hex 32)",
  );
}

/**
 * The store in a directory, with the key if there is one.
 * @throws TidemarkError `BAD_OPTION`
 */
export function openStore(
  directory: string,
  keyOptions: KeyOptions,
  options: Omit<DirectoryStoreOptions, "key"> = {},
): DirectoryStore {
  const key = readKey(keyOptions);
  return directoryStore(directory, { ...options, ...(key && { key }) });
}

/**
 * Where on NATS the snapshots are; undefined if they are in a directory.
 * @throws TidemarkError `BAD_OPTION` for what a store there does not do, too
 */
export function natsPlaceOf(options: Omit<StoreOptions, "dir">): NatsPlace | undefined {
  const place = natsPlace(options);
  if (!place) return undefined;
  const bad = (reason: string): TidemarkError => new TidemarkError("BAD_OPTION", reason);
  if (readKey(options)) {
    const given = options.keyFile === undefined ? KEY_VARIABLE : "--key-file";
    throw bad(
      `${given} cannot go with --nats: Tidemark does not encrypt snapshots on NATS. ` +
        "Have the server encrypt its disk, use --nats-tls on the way, and give no key",
    );
  }
  if (options.compress !== undefined)
    throw bad("--compress cannot go with --nats: snapshots there are not compressed");
  if (options.sync === false)
    throw bad(
      "--no-sync cannot go with --nats: when snapshots are on the disk, the server decides",
    );
  return place;
}

/** A store on NATS; who does not use one loads nothing of it. It holds this OS process until it is closed. */
export async function openNatsStore(place: NatsPlace): Promise<SnapshotStore> {
  const { natsStore } = await import("../nats/nats-store.ts");
  return natsStore(place);
}

/**
 * Works on the store that the options name, and closes it.
 * @param work is also told where that is, for messages: behind "in"
 * @throws TidemarkError `BAD_OPTION`, and what `work` throws
 */
export async function withStore<T>(
  options: StoreOptions,
  work: (store: SnapshotStore, where: string) => Promise<T>,
): Promise<T> {
  const { dir, compress: compressLevel = 0 } = options;
  const place = natsPlaceOf(options);
  const store = place ? await openNatsStore(place) : openStore(dir, options, { compressLevel });
  try {
    return await work(store, place ? natsName(place) : dir);
  } finally {
    await store.close();
  }
}

/** What of a snapshot lies in a store, with its bytes: what two snapshots share has one name. Undefined if it is gone. */
export async function filesOf(
  store: SnapshotStore,
  { id, bytes }: Pick<SnapshotSummary, "id" | "bytes">,
): Promise<ReadonlyMap<string, number> | undefined> {
  // Elsewhere than in a directory each snapshot is whole for itself.
  return "files" in store ? await (store as DirectoryStore).files(id) : new Map([[id, bytes]]);
}

/**
 * The id of the snapshot that has that name: its id, its label if no other has the same, or `latest`.
 * An id need not be there.
 * @throws TidemarkError `NOT_FOUND`, `BAD_ID` if several have that label
 */
export async function snapshotNamed(
  store: SnapshotStore,
  name: string,
  where: string,
): Promise<SnapshotId> {
  if (isSnapshotId(name)) return name;
  const found: SnapshotId[] = [];
  for await (const { id, label } of store.list()) {
    if (name === LATEST) return id;
    if (label === name) found.push(id);
  }
  const [id, ...more] = found;
  if (id === undefined)
    throw new TidemarkError(
      "NOT_FOUND",
      name === LATEST
        ? `there are no snapshots in ${where}`
        : `no snapshot in ${where} has the id or the label ${printable(name)}: tidemark snapshots lists those that there are`,
    );
  if (more.length === 0) return id;
  const named = found.slice(0, NAMED_MAX).join(", ");
  throw new TidemarkError(
    "BAD_ID",
    `${found.length} snapshots have the label ${printable(name)}: ${named}${found.length > NAMED_MAX ? ", …" : ""}; use an id`,
  );
}

/**
 * The snapshot in a store that has that name.
 * @param where the store is, for messages
 * @param codecs of the system, as for `GlobalSnapshot`
 * @throws TidemarkError `NOT_FOUND`, `BAD_ID`, `BAD_OPTION`, `DAMAGED`, `KEY_REQUIRED`, `WRONG_KEY`, `STORE_FAILED`
 */
export async function openSnapshot(
  store: SnapshotStore,
  name: string,
  where: string,
  codecs: readonly Codec<unknown>[] = [],
): Promise<GlobalSnapshot> {
  const id = await snapshotNamed(store, name, where);
  const stored = await store.get(id);
  if (stored) return new GlobalSnapshot(stored, codecs);
  throw new TidemarkError(
    "NOT_FOUND",
    `there is no snapshot ${id} in ${where}: tidemark snapshots lists those that there are`,
  );
}

/**
 * What a user may call a snapshot: not what means another one.
 * @throws TidemarkError `BAD_OPTION`
 */
export function checkLabel(label: string): string {
  if (label !== LATEST && !isSnapshotId(label)) return label;
  throw new TidemarkError("BAD_OPTION", `${label} cannot be a label: it names a snapshot already`);
}
