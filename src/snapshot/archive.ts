/**
 * What is in an exported snapshot (runtime/snapshot-file.ts writes them, docs/internals/snapshot-format.md describes them), read
 * without any I/O: so that a page reads one by itself.
 *
 * Theory of operation. The file is a tar archive: before each file in it stands a block that says its name and length. All is at hand, so
 * only where each part lies is noted; a part is compared with its SHA-256 when it is asked for.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import { decodeUtf8 } from "../core/utf8.ts";
import { type Manifest, type PartReference, partsOf } from "./manifest.ts";
import { type CheckedManifest, checkManifest } from "./manifest-check.ts";
import { sha256Of } from "./verify.ts";

/** Of a tar archive. */
export const BLOCK_BYTES = 512;
/** Of a header: [offset, length]. */
export const HEADER_FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  magic: [257, 6],
  version: [263, 2],
  prefix: [345, 155],
} as const;

/** The manifest's, below the folder of its snapshot. */
export const MANIFEST_NAME = "manifest.json";
/** 64 hexadecimal digits between these are the first line of a manifest; the rest of it is on the lines below. */
export const FIRST_LINE = ['{ "sha256": "', '",\n'] as const;
export const FIRST_LINE_BYTES: number = FIRST_LINE[0].length + 64 + FIRST_LINE[1].length;

/** What a header says of the file behind it. */
export interface ArchiveEntry {
  readonly name: string;
  readonly bytes: number;
}

/** Gives what a block says; "end" where the archive ends; or what is wrong with it. */
export function readHeader(block: Uint8Array): ArchiveEntry | "end" | { readonly problem: string } {
  if (block.every((byte) => byte === 0)) return "end";
  const text = (field: keyof typeof HEADER_FIELDS): string => {
    const [at, length] = HEADER_FIELDS[field];
    return latin1(block.subarray(at, at + length));
  };
  const untilZero = (field: keyof typeof HEADER_FIELDS): string =>
    text(field).replace(/\0.*$/s, "");
  const sum = text("checksum");
  const sums = /^ *[0-7]+[ \0]*$/.test(sum) && Number.parseInt(sum, 8) === checksumOf(block);
  if (untilZero("magic") !== "ustar" || !sums)
    return { problem: "it is no tar archive, or a part of it has changed" };
  const size = untilZero("size").trim();
  if (untilZero("type") !== "0" || !/^[0-7]+$/.test(size))
    return { problem: "it holds something that is not a file" };
  const prefix = untilZero("prefix");
  return {
    name: prefix ? `${prefix}/${untilZero("name")}` : untilZero("name"),
    bytes: Number.parseInt(size, 8),
  };
}

/** The sum of all bytes of a header, with spaces in place of the sum itself. */
export function checksumOf(header: Uint8Array): number {
  const [at, length] = HEADER_FIELDS.checksum;
  let sum = 32 * length;
  for (const [i, byte] of header.entries()) if (i < at || i >= at + length) sum += byte;
  return sum;
}

/** The folder of a snapshot in its archive. */
export const folderOf = ({ id }: Pick<Manifest, "id">): string => id.replace("/", "-");

/** Each part once, where the manifest first names it. */
export function* distinctParts(manifest: Manifest): Generator<PartReference> {
  const given = new Set<string>();
  for (const part of partsOf(manifest)) {
    if (given.has(part.sha256)) continue;
    given.add(part.sha256);
    yield part;
  }
}

/** Gives the manifest that JSON with a first line holds, or says what is wrong with it. */
export function readManifest(bytes: Uint8Array): CheckedManifest {
  const read = readManifestValue(bytes);
  return "problem" in read ? read : checkManifest(read.value);
}

/** The same before its form was checked, for who checks it otherwise. */
export function readManifestValue(
  bytes: Uint8Array,
): { readonly value: unknown } | { readonly problem: string } {
  const firstLine = latin1(bytes.subarray(0, FIRST_LINE_BYTES));
  if (firstLine !== FIRST_LINE.join(sha256Of(bytes.subarray(FIRST_LINE_BYTES))))
    return { problem: "it does not have the SHA-256 that its first line says" };
  const text = decodeUtf8(bytes);
  if (text === undefined) return { problem: "it is not UTF-8" };
  try {
    const { sha256: _, ...value } = JSON.parse(text);
    return { value };
  } catch (error) {
    return { problem: textOf(error) };
  }
}

/** An exported snapshot, all of whose bytes are at hand. */
export class SnapshotArchive {
  readonly manifest: Manifest;
  /** As it is in the file. */
  readonly manifestBytes: Uint8Array;
  readonly #name: string;
  readonly #bytes: Uint8Array;
  /** Where each part begins, and its length. */
  readonly #places: ReadonlyMap<string, readonly [at: number, bytes: number]>;

  /**
   * Notes where everything is. That parts are whole is looked at when they are read: so of a damaged file the rest can be shown.
   * @param name what messages call the file
   * @throws TidemarkError `DAMAGED`
   */
  constructor(bytes: Uint8Array, name: string) {
    const damaged = (problem: string): TidemarkError =>
      new TidemarkError("DAMAGED", `${name} cannot be read: ${problem}`);
    const places = new Map<string, readonly [number, number]>();
    let at = 0;
    const next = (): ArchiveEntry | undefined => {
      const block = bytes.subarray(at, at + BLOCK_BYTES);
      if (block.length < BLOCK_BYTES) throw damaged("it ends too early");
      const header = readHeader(block);
      if (header === "end") return undefined;
      if ("problem" in header) throw damaged(`${header.problem}, at byte ${at}`);
      at += BLOCK_BYTES;
      if (at + header.bytes > bytes.length) throw damaged("it ends too early");
      return header;
    };
    const skip = (length: number): void => {
      at += length + (-length & (BLOCK_BYTES - 1));
    };
    const first = next();
    if (!first?.name.endsWith(`/${MANIFEST_NAME}`))
      throw damaged("it does not begin with the manifest of a snapshot");
    this.manifestBytes = bytes.subarray(at, at + first.bytes);
    const read = readManifest(this.manifestBytes);
    if ("problem" in read) throw damaged(`the manifest: ${read.problem}`);
    skip(first.bytes);
    const prefix = `${folderOf(read.manifest)}/parts/`;
    for (let entry = next(); entry; entry = next()) {
      if (!entry.name.startsWith(prefix)) throw damaged(`${entry.name} does not belong in it`);
      places.set(entry.name.slice(prefix.length), [at, entry.bytes]);
      skip(entry.bytes);
    }
    this.manifest = read.manifest;
    this.#name = name;
    this.#bytes = bytes;
    this.#places = places;
  }

  /** The bytes of a part as they lie in the file, unchecked; `undefined` if it is not there. */
  rawPart(sha256: string): Uint8Array | undefined {
    const [at = 0, bytes = 0] = this.#places.get(sha256) ?? [];
    return this.#places.has(sha256) ? this.#bytes.subarray(at, at + bytes) : undefined;
  }

  /** @throws TidemarkError `DAMAGED` */
  async part({ sha256, bytes }: PartReference): Promise<Uint8Array> {
    const content = this.rawPart(sha256);
    const problem = !content
      ? "is missing"
      : content.length !== bytes
        ? `has ${content.length} bytes, not ${bytes}`
        : sha256Of(content) === sha256
          ? undefined
          : "is not what was written";
    if (content && problem === undefined) return content;
    throw new TidemarkError("DAMAGED", `part ${sha256} of ${this.#name} ${problem}`);
  }
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
