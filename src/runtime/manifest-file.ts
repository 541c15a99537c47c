/**
 * The file of a manifest: JSON, whose first line holds the SHA-256 of all the others, so that
 * `tail -n +2 p2-7.json | sha256sum` checks it. A long one is compressed as a whole (`zstd -dc p2-7.json`
 * gives the JSON), and with a key what there would be is sealed (seal.ts). What a file is shows in its first bytes.
 */

import { hash } from "node:crypto";
import { promisify } from "node:util";
import { zstdCompress, zstdDecompressSync } from "node:zlib";
import { TidemarkError, textOf } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import type { Manifest } from "../snapshot/manifest.ts";
import { checkManifest } from "../snapshot/manifest-check.ts";
import { isSealed, type Seal } from "./seal.ts";

/** The JSON has so many bytes at most; no file of a manifest has more. */
export const MANIFEST_BYTES_MAX: number = 64 * 1_048_576;
/** A manifest is as long as this when its states have hundreds of slices: then it is not for people any more. */
const LONG_BYTES = 65_536;

/** 64 hexadecimal digits between these; the rest of the manifest is on the lines below. */
const FIRST_LINE = ['{ "sha256": "', '",\n'] as const;
const FIRST_LINE_BYTES = FIRST_LINE[0].length + 64 + FIRST_LINE[1].length;
/** What every zstd frame begins with. */
const ZSTD = Buffer.from("28b52ffd", "hex");

/**
 * The JSON of a manifest, with its SHA-256 on the first line.
 * @throws TidemarkError `DAMAGED` if it could not be read back, `STORE_FAILED` if it is too large
 */
export function manifestJson(manifest: Manifest): Uint8Array {
  const checked = checkManifest(manifest);
  if ("problem" in checked)
    throw new TidemarkError("DAMAGED", `the manifest of ${manifest.id}: ${checked.problem}`);
  const lines = `${JSON.stringify(checked.manifest, null, 2).slice("{\n".length)}\n`;
  const bytes = Buffer.from(FIRST_LINE.join(hash("sha256", lines)) + lines);
  if (bytes.length > MANIFEST_BYTES_MAX)
    throw new TidemarkError(
      "STORE_FAILED",
      `the manifest of ${manifest.id} has ${bytes.length} bytes; at most ${MANIFEST_BYTES_MAX} are possible`,
    );
  return bytes;
}

/** Gives the manifest, or says what is wrong with the JSON. */
export function readManifestJson(
  bytes: Uint8Array,
): { readonly manifest: Manifest } | { readonly problem: string } {
  const firstLine = Buffer.from(bytes.subarray(0, FIRST_LINE_BYTES)).toString("latin1");
  const lines = bytes.subarray(FIRST_LINE_BYTES);
  if (firstLine !== FIRST_LINE.join(hash("sha256", lines)))
    return { problem: "it does not have the SHA-256 that its first line says" };
  try {
    const { sha256: _, ...manifest } = JSON.parse(Buffer.from(bytes).toString("utf8"));
    return checkManifest(manifest);
  } catch (error) {
    return { problem: textOf(error) };
  }
}

/**
 * The file of a manifest.
 * @throws TidemarkError as `manifestJson`
 */
export async function encodeManifest(
  manifest: Manifest,
  seal: Seal | undefined,
): Promise<Uint8Array> {
  const json = manifestJson(manifest);
  const content = json.length > LONG_BYTES ? await promisify(zstdCompress)(json) : json;
  return seal ? seal.sealManifest(manifest.id, content) : content;
}

/**
 * Gives the manifest that the file of this snapshot holds, or says what is wrong.
 * @throws TidemarkError `KEY_REQUIRED`, `WRONG_KEY`
 */
export function decodeManifest(
  id: SnapshotId,
  file: Uint8Array,
  seal: Seal | undefined,
): { readonly manifest: Manifest } | { readonly problem: string } {
  let content: Uint8Array | undefined = file;
  if (isSealed(file)) {
    if (!seal)
      throw new TidemarkError(
        "KEY_REQUIRED",
        `${id} is encrypted, and no key was given (--key-file, TIDEMARK_KEY, or the option key)`,
      );
    content = seal.openManifest(id, file);
    if (!content) return { problem: "it is not what was encrypted" };
  } else if (seal && looksPlain(file)) {
    // Else whoever has no key could put a snapshot of their own in the place of one.
    throw new TidemarkError("WRONG_KEY", `${id} is not encrypted, and only read without a key`);
  } else if (seal) return { problem: "it is not encrypted" };
  if (isCompressed(content)) {
    try {
      content = zstdDecompressSync(content, { maxOutputLength: MANIFEST_BYTES_MAX });
    } catch (error) {
      return { problem: textOf(error) };
    }
  }
  const read = readManifestJson(content);
  if ("manifest" in read && read.manifest.id !== id)
    return { problem: `it is the manifest of ${read.manifest.id}` };
  return read;
}

function isCompressed(content: Uint8Array): boolean {
  return Buffer.compare(content.subarray(0, ZSTD.length), ZSTD) === 0;
}

function looksPlain(file: Uint8Array): boolean {
  const start = Buffer.from(file.subarray(0, FIRST_LINE[0].length)).toString("latin1");
  return start === FIRST_LINE[0] || isCompressed(file);
}
