/**
 * Snapshots to look into: on the server, or in a file that was opened. Both are read here, by the same code.
 *
 * Theory of operation. A snapshot is its manifest, and parts. Of one on the server the manifest is loaded, and parts when somebody looks at
 * them. Who reads one after the other, as a search does, gets ever more of them at once, so that 16,384 slices are not as many questions;
 * what was read ahead has a bound.
 */

import { ReadableSnapshot } from "../../src/process/readable-snapshot.ts";
import {
  distinctParts,
  readManifest,
  readManifestValue,
  SnapshotArchive,
} from "../../src/snapshot/archive.ts";
import type { Manifest, PartReference } from "../../src/snapshot/manifest.ts";
import type { OpenedSnapshot } from "../open-file.ts";
import type { PageServer } from "../server.ts";
import { msgpackReader } from "./msgpack.ts";

/** Two parts of the address that name a snapshot: those of its id, or "~" and a file. */
export type SnapshotName = readonly [string, string];

/** In the place of a process, which has no such name. */
const FILE = "~";
const FILES_MAX = 4;
/** So many parts are asked for at once, and about so many bytes. */
const PARTS_AT_ONCE = 1_024;
const BYTES_AT_ONCE = 4 << 20;
/** Who asks for one gets so many, as a view shows about as many; who asks for one not far behind the last one gets twice as many. */
const AHEAD = 32;
const AHEAD_BYTES = 256 << 10;
const NEAR = 64;
const HELD_BYTES_MAX = 16 << 20;
const PROBLEM_BIT = 0x8000_0000;

/** The bytes of a part as they came, unchecked; or why there are none. */
export interface RawPart {
  readonly reference: PartReference;
  readonly bytes: Uint8Array | undefined;
  readonly problem: string | undefined;
}

/** See the head of the file. */
export interface Source {
  readonly name: SnapshotName;
  /** What people call it. */
  readonly title: string;
  readonly manifest: Manifest;
  /** As `JSON.parse` gave it, for the proof. */
  readonly manifestValue: unknown;
  readonly snapshot: ReadableSnapshot;
  /** All of those, in their order. */
  rawParts(references: readonly PartReference[]): AsyncGenerator<RawPart>;
}

export const isFileName = ([first]: SnapshotName): boolean => first === FILE;

const opened = new Map<string, Source>();

/** Keeps what was opened, and says what it is called. @throws TidemarkError `DAMAGED` */
export function keepOpened({ name, bytes }: OpenedSnapshot): SnapshotName {
  const archive = new SnapshotArchive(bytes, name);
  const read = readManifestValue(archive.manifestBytes);
  if ("problem" in read) throw new Error(read.problem);
  const known: SnapshotName = [FILE, name];
  opened.delete(name);
  opened.set(name, {
    name: known,
    title: name,
    manifest: archive.manifest,
    manifestValue: read.value,
    snapshot: new ReadableSnapshot(archive, [msgpackReader]),
    async *rawParts(references) {
      for (const reference of references) {
        const content = archive.rawPart(reference.sha256);
        const problem = content ? undefined : `it is not in ${name}`;
        yield { reference, bytes: content, problem };
      }
    },
  });
  for (const oldest of opened.keys()) {
    if (opened.size <= FILES_MAX) break;
    opened.delete(oldest);
  }
  return known;
}

/** Those that were opened, the last one first. */
export const openedSources = (): readonly Source[] => [...opened.values()].reverse();

/** @throws Error that says in words why there is none */
export async function openSource(
  [first, second]: SnapshotName,
  server: PageServer | undefined,
): Promise<Source> {
  if (first === FILE) {
    const source = opened.get(second);
    if (source) return source;
    throw new Error(`${second} is not open any more: open it again, or drop it here`);
  }
  if (!server) throw new Error("this page has no server: open a file that tidemark export wrote");
  const path = `/api/snapshots/${encodeURIComponent(first)}/${encodeURIComponent(second)}`;
  const bytes = new Uint8Array(await server.bytes("GET", `${path}/manifest`));
  const [read, checked] = [readManifestValue(bytes), readManifest(bytes)];
  if ("problem" in read) throw new Error(`the manifest: ${read.problem}`);
  if ("problem" in checked) throw new Error(`the manifest: ${checked.problem}`);
  const { manifest } = checked;
  const parts = new ServerParts(server, `${path}/parts`, manifest);
  return {
    name: [first, second],
    title: manifest.id,
    manifest,
    manifestValue: read.value,
    snapshot: new ReadableSnapshot({ manifest, part: (one) => parts.part(one) }, [msgpackReader]),
    rawParts: (references) => parts.load(references),
  };
}

/** The parts of a snapshot on the server. */
class ServerParts {
  readonly #server: PageServer;
  readonly #path: string;
  readonly #order: readonly PartReference[];
  readonly #places: ReadonlyMap<string, number>;
  readonly #held = new Map<string, RawPart>();
  #heldBytes = 0;
  #last = Number.NEGATIVE_INFINITY;
  #ahead = AHEAD;
  #loading: Promise<unknown> = Promise.resolve();

  constructor(server: PageServer, path: string, manifest: Manifest) {
    this.#server = server;
    this.#path = path;
    this.#order = [...distinctParts(manifest)];
    this.#places = new Map(this.#order.map(({ sha256 }, i) => [sha256, i]));
  }

  /** The server has compared it with its SHA-256. */
  async part(reference: PartReference): Promise<Uint8Array> {
    // One after the other: what the first one reads ahead is what the next one wants.
    const loading = this.#loading.then(() => this.#get(reference));
    this.#loading = loading.catch(() => {});
    const { bytes, problem } = await loading;
    if (bytes) return bytes;
    throw new Error(problem);
  }

  async #get({ sha256 }: PartReference): Promise<RawPart> {
    const at = this.#places.get(sha256) ?? 0;
    const isNext = at >= this.#last && at - this.#last <= NEAR;
    this.#last = at;
    const held = this.#held.get(sha256);
    if (held) return held;
    this.#ahead = isNext ? Math.min(PARTS_AT_ONCE, 2 * this.#ahead) : AHEAD;
    const bytes = Math.min(BYTES_AT_ONCE, (AHEAD_BYTES / AHEAD) * this.#ahead);
    const wanted = atOnce(this.#order, at, this.#ahead, bytes);
    for await (const part of this.load(wanted)) this.#hold(part);
    return this.#held.get(sha256) as RawPart;
  }

  #hold(part: RawPart): void {
    const { sha256 } = part.reference;
    if (this.#held.has(sha256)) return;
    this.#held.set(sha256, part);
    this.#heldBytes += part.bytes?.length ?? 0;
    for (const [oldest, { bytes }] of this.#held) {
      // What was asked for is there when this returns, however large it is.
      if (this.#heldBytes <= HELD_BYTES_MAX || this.#held.size <= this.#ahead) return;
      this.#held.delete(oldest);
      this.#heldBytes -= bytes?.length ?? 0;
    }
  }

  async *load(references: readonly PartReference[]): AsyncGenerator<RawPart> {
    for (let at = 0; at < references.length; ) {
      const some = atOnce(references, at, PARTS_AT_ONCE, BYTES_AT_ONCE);
      at += some.length;
      const body = { parts: some.map(({ sha256 }) => sha256) };
      const answer = await this.#server.bytes("POST", this.#path, body);
      yield* framesOf(new Uint8Array(answer), some);
    }
  }
}

/** From there on at least one, and no more than so many of so many bytes. */
function atOnce(
  all: readonly PartReference[],
  from: number,
  most: number,
  bytesMax: number,
): readonly PartReference[] {
  let bytes = 0;
  let to = from;
  do {
    bytes += all[to]?.bytes ?? 0;
    to += 1;
  } while (to < all.length && to - from < most && bytes + (all[to]?.bytes ?? 0) <= bytesMax);
  return all.slice(from, to);
}

/** As snapshot-routes.ts writes them. */
function* framesOf(answer: Uint8Array, references: readonly PartReference[]): Generator<RawPart> {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  let at = 0;
  for (const reference of references) {
    if (at + 4 > answer.length) throw new Error("the server ended its answer too early");
    const length = view.getUint32(at, true);
    const isProblem = length >= PROBLEM_BIT;
    const end = at + 4 + (isProblem ? length - PROBLEM_BIT : length);
    if (end > answer.length) throw new Error("the server ended its answer too early");
    const content = answer.slice(at + 4, end);
    at = end;
    yield {
      reference,
      bytes: isProblem ? undefined : content,
      problem: isProblem ? new TextDecoder().decode(content) : undefined,
    };
  }
}
