/**
 * The file of a manifest: JSON, whose first line holds the SHA-256 of all the others, so that
 * `tail -n +2 p2-7.json | sha256sum` checks it. A long one is compressed as a whole (`zstd -dc p2-7.json`
 * gives the JSON), and with a key what there would be is sealed (seal.ts). What a file is shows in its first bytes.
 * The record of an epoch is written the same way; when it is sealed its name is `epoch 2`, which no snapshot can have.
 */

import { createHash, hash } from "node:crypto";
import { promisify } from "node:util";
import { zstdCompress, zstdDecompressSync } from "node:zlib";
import { TidemarkError, textOf } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import { FIRST_LINE, FIRST_LINE_BYTES } from "../snapshot/archive.ts";
import type { Manifest, PartReference } from "../snapshot/manifest.ts";
import {
  type CheckedManifest,
  checkManifest,
  checkManifestInSteps,
  PARTS_AT_ONCE,
} from "../snapshot/manifest-check.ts";
import { inTurns } from "./rest.ts";
import { isSealed, type Seal } from "./seal.ts";
import { checkEpochRecord, type EpochRecord } from "./snapshot-store.ts";

/** The JSON has so many bytes at most; no file of a manifest has more. */
export const MANIFEST_BYTES_MAX: number = 64 * 1_048_576;
/** A manifest is as long as this when its states have hundreds of slices: then it is not for people any more. */
const LONG_BYTES = 65_536;

/** As it is written of a state without parts. Within a text it has backslashes before its quotes. */
const NO_PARTS = '"parts": []';
/** Of the parts of a state. */
const INDENT = " ".repeat(8);
/** What every zstd frame begins with. */
const ZSTD = Buffer.from("28b52ffd", "hex");

/**
 * The JSON of a manifest, with its SHA-256 on the first line.
 * @throws TidemarkError `DAMAGED` if it could not be read back, `STORE_FAILED` if it is too large
 */
export function manifestJson(manifest: Manifest): Uint8Array {
  const writing = writeManifest(manifest);
  for (;;) {
    const { done, value } = writing.next();
    if (done) return value;
  }
}

/** In steps, none of which takes long, however many parts there are. */
function* writeManifest(manifest: Manifest): Generator<void, Uint8Array> {
  const checked = yield* checkManifestInSteps(manifest);
  if ("problem" in checked)
    throw new TidemarkError("DAMAGED", `the manifest of ${manifest.id}: ${checked.problem}`);
  const texts: string[] = [];
  let length = FIRST_LINE_BYTES;
  for (const text of textsOf(checked.manifest)) {
    texts.push(text);
    length += Buffer.byteLength(text);
    yield;
  }
  if (length > MANIFEST_BYTES_MAX)
    throw new TidemarkError(
      "STORE_FAILED",
      `the manifest of ${manifest.id} has ${length} bytes; at most ${MANIFEST_BYTES_MAX} are possible`,
    );
  const bytes = Buffer.allocUnsafeSlow(length);
  const sha256 = createHash("sha256");
  let at = FIRST_LINE_BYTES;
  for (const text of texts) {
    const from = at;
    at += bytes.write(text, at);
    sha256.update(bytes.subarray(from, at));
    yield;
  }
  bytes.write(FIRST_LINE.join(sha256.digest("hex")));
  return bytes;
}

/** What stands behind the first line, in pieces: as JSON.stringify writes it, but that would write it all at once. */
function* textsOf(manifest: Manifest): Generator<string> {
  const sliced = manifest.pieces.filter(({ state }) => state.sliced);
  const pieces = manifest.pieces.map((piece) =>
    piece.state.sliced ? { ...piece, state: { ...piece.state, parts: [] } } : piece,
  );
  const texts = linesOf({ ...manifest, pieces }).split(NO_PARTS);
  for (const [i, text] of texts.entries()) {
    yield text;
    const piece = sliced[i];
    if (piece) yield* textsOfParts(piece.state.parts);
  }
}

function* textsOfParts(parts: readonly PartReference[]): Generator<string> {
  if (parts.length === 0) return yield NO_PARTS;
  yield '"parts": [\n';
  for (let at = 0; at < parts.length; at += PARTS_AT_ONCE) {
    const end = at + PARTS_AT_ONCE;
    const json = JSON.stringify(parts.slice(at, end), null, 2).slice("[\n".length, -"\n]".length);
    yield `${INDENT}${json.replaceAll("\n", `\n${INDENT}`)}${end < parts.length ? "," : ""}\n`;
  }
  yield `${INDENT}]`;
}

/** Gives the manifest, or says what is wrong with the JSON. */
export function readManifestJson(bytes: Uint8Array): CheckedManifest {
  const read = decodeJson(bytes);
  return "problem" in read ? read : checkManifest(read.content);
}

const linesOf = (content: object): string =>
  `${JSON.stringify(content, null, 2).slice("{\n".length)}\n`;

/** The JSON of an object, with the SHA-256 of all other lines on the first one. */
export function encodeJson(content: object): Uint8Array {
  const lines = linesOf(content);
  return Buffer.from(FIRST_LINE.join(hash("sha256", lines)) + lines);
}

/** Gives the object that such JSON holds, or says what is wrong. */
export function decodeJson(
  bytes: Uint8Array,
): { readonly content: object } | { readonly problem: string } {
  const firstLine = Buffer.from(bytes.subarray(0, FIRST_LINE_BYTES)).toString("latin1");
  const lines = bytes.subarray(FIRST_LINE_BYTES);
  if (firstLine !== FIRST_LINE.join(hash("sha256", lines)))
    return { problem: "it does not have the SHA-256 that its first line says" };
  try {
    const { sha256: _, ...content } = JSON.parse(Buffer.from(bytes).toString("utf8"));
    return { content };
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
  const json = await inTurns(writeManifest(manifest));
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
): CheckedManifest {
  const opened = open(id, file, seal);
  if ("problem" in opened) return opened;
  let { content } = opened;
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

/** The file of the record of an epoch, which was checked. */
export function encodeEpoch(record: EpochRecord, seal: Seal | undefined): Uint8Array {
  const json = encodeJson(record);
  return seal ? seal.sealManifest(epochName(record.epoch), json) : json;
}

/**
 * Gives the record that the file of this epoch holds, or says what is wrong.
 * @throws TidemarkError `KEY_REQUIRED`, `WRONG_KEY`
 */
export function decodeEpoch(
  epoch: number,
  file: Uint8Array,
  seal: Seal | undefined,
): { readonly record: EpochRecord } | { readonly problem: string } {
  const opened = open(epochName(epoch), file, seal);
  const read = "problem" in opened ? opened : decodeJson(opened.content);
  if ("problem" in read) return read;
  try {
    const record = checkEpochRecord(read.content as EpochRecord);
    return record.epoch === epoch
      ? { record }
      : { problem: `it is the record of epoch ${record.epoch}` };
  } catch (error) {
    return { problem: textOf(error) };
  }
}

const epochName = (epoch: number): string => `epoch ${epoch}`;

/** What was sealed in a file of that name, or the file itself if there is no key. */
function open(
  name: string,
  file: Uint8Array,
  seal: Seal | undefined,
): { readonly content: Uint8Array } | { readonly problem: string } {
  if (isSealed(file)) {
    if (!seal)
      throw new TidemarkError(
        "KEY_REQUIRED",
        `${name} is encrypted, and no key was given (--key-file, TIDEMARK_KEY, or the option key)`,
      );
    const content = seal.openManifest(name, file);
    return content ? { content } : { problem: "it is not what was encrypted" };
  }
  if (!seal) return { content: file };
  // Else whoever has no key could put one of their own in its place.
  if (looksPlain(file))
    throw new TidemarkError("WRONG_KEY", `${name} is not encrypted, and only read without a key`);
  return { problem: "it is not encrypted" };
}

function isCompressed(content: Uint8Array): boolean {
  return Buffer.compare(content.subarray(0, ZSTD.length), ZSTD) === 0;
}

function looksPlain(file: Uint8Array): boolean {
  const start = Buffer.from(file.subarray(0, FIRST_LINE[0].length)).toString("latin1");
  return start === FIRST_LINE[0] || isCompressed(file);
}
