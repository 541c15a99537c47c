/**
 * A snapshot as one file, to take elsewhere: a tar archive (POSIX ustar) that `tar tvf` lists.
 *
 *     p2-7/manifest.json     the JSON of the manifest, with its SHA-256 on the first line; of parts it has
 *                            `sha256` and `bytes` alone
 *     p2-7/parts/ab12…       each part once, plain, named by its SHA-256, in the order in which the manifest
 *                            first names it
 *
 * Theory of operation. Because the manifest comes first and the order is known, an import needs to hold one part
 * at a time, can be read from a pipe, and takes nothing that the manifest does not ask for. It checks each part by its
 * SHA-256 as it comes, and at the end the certificate; for that the messages in flight are held, too, while
 * states, which a verifier only compares with their SHA-256, are not needed again. All parts are written as one piece,
 * which a store cannot tell from others; the manifest is last, so whatever goes wrong before, there is no
 * snapshot.
 *
 * An exported snapshot is plain, also if the store that it comes from is encrypted.
 */

import { createHash } from "node:crypto";
import { TidemarkError, textOf } from "../core/error.ts";
import {
  type ArchiveEntry,
  BLOCK_BYTES,
  checksumOf,
  distinctParts,
  folderOf,
  HEADER_FIELDS,
  MANIFEST_NAME,
  readHeader,
} from "../snapshot/archive.ts";
import { type Manifest, type PartReference, partsOf } from "../snapshot/manifest.ts";
import { verifySnapshot } from "../snapshot/verify.ts";
import { MANIFEST_BYTES_MAX, manifestJson, readManifestJson } from "./manifest-file.ts";
import type { SnapshotStore, StoredSnapshot } from "./snapshot-store.ts";

/** What the eleven octal digits of a header can say. */
const ENTRY_BYTES_MAX = 8 ** 11 - 1;
/**
 * A snapshot as the bytes of one file, which `importSnapshot` reads: a tar archive with the manifest and every part,
 * plain. Holds one part at a time.
 *
 * @throws TidemarkError `DAMAGED`, `NOT_FOUND` if it is deleted meanwhile, `STORE_FAILED`
 *
 * @example
 * ```ts
 * import { exportSnapshot, importSnapshot, memoryStore, type StoredSnapshot } from "tidemark";
 * async function copy(snapshot: StoredSnapshot) {
 *   const elsewhere = memoryStore();
 *   await importSnapshot(elsewhere, exportSnapshot(snapshot));
 *   return elsewhere;
 * }
 * ```
 */
export async function* exportSnapshot(snapshot: StoredSnapshot): AsyncGenerator<Uint8Array> {
  const { manifest } = snapshot;
  yield* entry(manifest, MANIFEST_NAME, exportedManifest(manifest));
  for (const reference of distinctParts(manifest))
    yield* entry(manifest, `parts/${reference.sha256}`, await snapshot.part(reference));
  yield new Uint8Array(2 * BLOCK_BYTES);
}

/**
 * The manifest as it is in an exported snapshot: it says nothing of where parts lie.
 * @throws TidemarkError `DAMAGED`, `STORE_FAILED` if it is too large
 */
export function exportedManifest(manifest: Manifest): Uint8Array {
  return manifestJson(withParts(manifest, ({ sha256, bytes }) => ({ sha256, bytes })));
}

/** How `importSnapshot` goes about it. */
export interface ImportOptions {
  /**
   * What messages call the file.
   * @default "the file"
   */
  readonly name?: string;
  /** Hears how many of the bytes of all parts have been stored. */
  readonly onProgress?: (bytes: number, of: number) => void;
}

/**
 * Puts a snapshot that was exported into a store, once every part has the SHA-256 that the manifest says and
 * the certificate is proven; or nothing. Gives its manifest. Holds one part at a time, and the messages in flight.
 *
 * @param content the bytes of the file, however they are cut
 * @throws TidemarkError `DAMAGED` if the file is not as it was written, `STORE_FAILED` if a snapshot of that id is in
 * the store already, or the store fails
 */
export async function importSnapshot(
  store: SnapshotStore,
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  { name = "the file", onProgress }: ImportOptions = {},
): Promise<Manifest> {
  const archive = new Archive(content, name);
  const manifest = await readManifest(archive);
  const { id, initiator: process } = manifest;
  const there = await store.get(id);
  if (there)
    throw new TidemarkError(
      "STORE_FAILED",
      `${id} is in the store already${isSame(there.manifest, manifest) ? "" : ", and it is another snapshot"}: nothing was imported`,
    );
  const parts = [...distinctParts(manifest)];
  const total = parts.reduce((sum, { bytes }) => sum + bytes, 0);
  const inFlight = new Map<string, Uint8Array>();
  for (const { incoming } of manifest.pieces)
    for (const { part } of incoming) if (part) inFlight.set(part.sha256, new Uint8Array());
  try {
    const state = readParts(archive, manifest, parts, inFlight, (bytes) =>
      onProgress?.(bytes, total),
    );
    const stored = await store.writePiece({ snapshot: id, process, state, channels: new Map() });
    await archive.end();
    prove(manifest, inFlight, archive);
    const places = new Map(stored.state.map((reference) => [reference.sha256, reference]));
    const placed = withParts(manifest, (part) => places.get(part.sha256) ?? part);
    await store.writeManifest(placed);
    return placed;
  } catch (error) {
    // What it says of the file matters more than that something is left over, which is swept some time.
    await store.abandon(id).catch(() => {});
    throw error;
  }
}

async function readManifest(archive: Archive): Promise<Manifest> {
  const header = await archive.next();
  if (!header) throw archive.damaged("it is empty");
  const { name, bytes } = header;
  if (!name.endsWith(`/${MANIFEST_NAME}`) || bytes > MANIFEST_BYTES_MAX)
    throw archive.damaged(`it does not begin with the manifest of a snapshot`);
  const read = readManifestJson(await archive.content(bytes));
  if ("problem" in read) throw archive.damaged(`the manifest: ${read.problem}`);
  const { manifest } = read;
  if (name !== nameIn(manifest, MANIFEST_NAME))
    throw archive.damaged(`the manifest is that of ${manifest.id}`);
  const sizes = new Map<string, number>();
  for (const { sha256, bytes } of partsOf(manifest)) {
    if ((sizes.get(sha256) ?? bytes) !== bytes)
      throw archive.damaged(`part ${sha256} has two lengths`);
    sizes.set(sha256, bytes);
  }
  return manifest;
}

/** Gives the parts in their order, and keeps those that are wanted. */
async function* readParts(
  archive: Archive,
  manifest: Manifest,
  parts: readonly PartReference[],
  wanted: Map<string, Uint8Array>,
  told: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let done = 0;
  for (const { sha256, bytes } of parts) {
    const header = await archive.next();
    const expected = nameIn(manifest, `parts/${sha256}`);
    if (header?.name !== expected)
      throw archive.damaged(`${expected} is missing where it should be`);
    if (header.bytes !== bytes)
      throw archive.damaged(`${expected} has ${header.bytes} bytes, not ${bytes}`);
    const content = await archive.content(bytes, sha256);
    if (wanted.has(sha256)) wanted.set(sha256, content);
    yield content;
    done += bytes;
    told(done);
  }
}

/** The states have been compared with their SHA-256, which is all that there is to prove of them. */
function prove(
  manifest: Manifest,
  inFlight: ReadonlyMap<string, Uint8Array>,
  archive: Archive,
): void {
  const pieces = manifest.pieces.map((piece) => ({
    ...piece,
    state: { ...piece.state, sliced: true, parts: [] },
  }));
  const verdict = verifySnapshot({ ...manifest, pieces }, ({ sha256 }) => inFlight.get(sha256));
  if (!verdict.consistent)
    throw archive.damaged(`${manifest.id} is not consistent: ${verdict.place} ${verdict.reason}`);
}

function isSame(one: Manifest, other: Manifest): boolean {
  const text = (manifest: Manifest): string =>
    JSON.stringify(withParts(manifest, ({ sha256 }) => ({ sha256, bytes: 0 })).pieces);
  return text(one) === text(other);
}

function withParts(manifest: Manifest, place: (part: PartReference) => PartReference): Manifest {
  return {
    ...manifest,
    pieces: manifest.pieces.map((piece) => ({
      ...piece,
      state: { ...piece.state, parts: piece.state.parts.map(place) },
      incoming: piece.incoming.map((one) => (one.part ? { ...one, part: place(one.part) } : one)),
    })),
  };
}

const nameIn = (manifest: Manifest, name: string): string => `${folderOf(manifest)}/${name}`;

function* entry(manifest: Manifest, name: string, content: Uint8Array): Generator<Uint8Array> {
  const header = Buffer.alloc(BLOCK_BYTES);
  const put = (field: keyof typeof HEADER_FIELDS, text: string): void => {
    header.write(text, HEADER_FIELDS[field][0], HEADER_FIELDS[field][1], "latin1");
  };
  const octal = (value: number, length: number): string =>
    `${value.toString(8).padStart(length - 1, "0")}\0`;
  if (content.length > ENTRY_BYTES_MAX)
    throw new TidemarkError("STORE_FAILED", `${content.length} bytes are too many for one part`);
  // A clock may have been anywhere.
  const seconds = Math.floor(manifest.startedAtMs / 1000);
  put("name", name);
  put("mode", octal(0o600, 8));
  put("uid", octal(0, 8));
  put("gid", octal(0, 8));
  put("size", octal(content.length, 12));
  put("mtime", octal(seconds >= 0 && seconds <= ENTRY_BYTES_MAX ? seconds : 0, 12));
  put("type", "0");
  put("magic", "ustar\0");
  put("version", "00");
  put("prefix", folderOf(manifest));
  put("checksum", `${checksumOf(header).toString(8).padStart(6, "0")}\0 `);
  yield header;
  if (content.length > 0) yield content;
  const padding = -content.length & (BLOCK_BYTES - 1);
  if (padding > 0) yield new Uint8Array(padding);
}

/** Reads an archive from beginning to end. */
class Archive {
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  readonly #name: string;
  /** What has come and not been taken. */
  #rest: Uint8Array = new Uint8Array();

  constructor(content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, name: string) {
    this.#chunks =
      Symbol.asyncIterator in content
        ? content[Symbol.asyncIterator]()
        : content[Symbol.iterator]();
    this.#name = name;
  }

  damaged(problem: string): TidemarkError {
    return new TidemarkError("DAMAGED", `${this.#name} cannot be imported: ${problem}`);
  }

  /** The header of the next entry; `undefined` at the end of the archive. */
  async next(): Promise<ArchiveEntry | undefined> {
    const block = await this.#take(BLOCK_BYTES);
    const header = readHeader(block);
    if (header === "end") return undefined;
    if ("problem" in header) throw this.damaged(header.problem);
    return header;
  }

  /** The bytes of the entry whose header came last, checked if their SHA-256 is given. */
  async content(bytes: number, sha256?: string): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    const hash = createHash("sha256");
    // No more is held than has come, whatever a header says.
    for (let left = bytes; left > 0; ) {
      const chunk = await this.#some(left);
      hash.update(chunk);
      chunks.push(chunk);
      left -= chunk.length;
    }
    const padding = await this.#take(-bytes & (BLOCK_BYTES - 1));
    if (padding.some(Boolean)) throw this.damaged("there is something between two parts");
    if (sha256 !== undefined && hash.digest("hex") !== sha256)
      throw this.damaged(`part ${sha256} is not what was written`);
    return Buffer.concat(chunks, bytes);
  }

  /** What comes after all that was expected: nothing. */
  async end(): Promise<void> {
    if (await this.next()) throw this.damaged("there is more in it than the manifest says");
    for (;;) {
      const chunk = this.#rest.length > 0 ? this.#rest : await this.#chunk();
      this.#rest = new Uint8Array();
      if (!chunk) return;
      if (chunk.some(Boolean)) throw this.damaged("there is something behind its end");
    }
  }

  async #take(bytes: number): Promise<Uint8Array> {
    const taken = Buffer.alloc(bytes);
    for (let at = 0; at < bytes; ) {
      const chunk = await this.#some(bytes - at);
      taken.set(chunk, at);
      at += chunk.length;
    }
    return taken;
  }

  /** At least one byte, at most so many. */
  async #some(most: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const chunk = await this.#chunk();
      if (!chunk) throw this.damaged("it ends too early");
      this.#rest = chunk;
    }
    const some = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(some.length);
    return some;
  }

  async #chunk(): Promise<Uint8Array | undefined> {
    try {
      const { done, value } = await this.#chunks.next();
      return done ? undefined : value;
    } catch (cause) {
      throw new TidemarkError("STORE_FAILED", `cannot read ${this.#name}: ${textOf(cause)}`, {
        cause,
      });
    }
  }
}
