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
import { printable } from "./terminal.ts";

/** What `keyOption` gives. */
export interface KeyOptions {
  readonly keyFile?: string;
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
 * The id of the snapshot that has that name: its id, its label if no other has the same, or `latest`.
 * An id need not be there.
 * @throws TidemarkError `NOT_FOUND`, `BAD_ID` if several have that label
 */
export async function snapshotNamed(
  store: SnapshotStore,
  name: string,
  directory: string,
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
        ? `there are no snapshots in ${directory}`
        : `no snapshot in ${directory} has the id or the label ${printable(name)}: tidemark snapshots lists those that there are`,
    );
  if (more.length === 0) return id;
  const named = found.slice(0, NAMED_MAX).join(", ");
  throw new TidemarkError(
    "BAD_ID",
    `${found.length} snapshots have the label ${printable(name)}: ${named}${found.length > NAMED_MAX ? ", …" : ""}; use an id`,
  );
}

/**
 * The snapshot in a directory that has that name.
 * @param codecs of the system, as for `GlobalSnapshot`
 * @throws TidemarkError `NOT_FOUND`, `BAD_ID`, `BAD_OPTION`, `DAMAGED`, `KEY_REQUIRED`, `WRONG_KEY`, `STORE_FAILED`
 */
export async function openSnapshot(
  name: string,
  directory: string,
  keyOptions: KeyOptions,
  codecs: readonly Codec<unknown>[] = [],
): Promise<GlobalSnapshot> {
  const store = openStore(directory, keyOptions);
  const id = await snapshotNamed(store, name, directory);
  const stored = await store.get(id);
  if (stored) return new GlobalSnapshot(stored, codecs);
  throw new TidemarkError(
    "NOT_FOUND",
    `there is no snapshot ${id} in ${directory}: tidemark snapshots lists those that there are`,
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
