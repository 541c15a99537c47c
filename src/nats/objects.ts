/**
 * An object bucket, as other clients of NATS know one: `nats object ls BUCKET` lists what is in it. Each object is a pack: the bytes
 * of one piece, or of one manifest.
 *
 *     $O.BUCKET.M.NAME                            what an object is; NAME is `p2/7/PACK` in base64
 *     $O.BUCKET.C.INITIATOR.COUNT.PACK.NUMBER     its bytes, in chunks of 128 KiB, numbered from 0
 *
 * A process id may have dots, which part a subject; they are written as "=", which it cannot have.
 *
 * Theory of operation. Chunks have numbers in their subjects, so that a part in the middle is read without what is before it, and all
 * chunks of a snapshot are listed by one request. Other clients are told to read `….PACK.*`, which gives them
 * in the order in which they were written. An object is announced first, as one that is deleted, which other clients pass over; at
 * its end that is written again with its length and digest. So what was not written to its end is found, and belongs to a snapshot
 * that can be known to be dead.
 */

import { createHash, randomBytes } from "node:crypto";
import { DiscardPolicy } from "@nats-io/jetstream";
import { isSnapshotId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import type { NatsSession } from "./connection.ts";
import { Stream, type StreamSettings } from "./stream.ts";

/** All chunks of an object but the last have as many bytes. */
export const CHUNK_BYTES = 131_072;
/** Chunks that are read, or removed, at once. */
const READ_AT_ONCE = 8;

const PACK = /^[0-9a-f]{64}$/;

/** An object, by what its name says. */
export interface PackName {
  readonly snapshot: SnapshotId;
  readonly pack: string;
}

/** Which chunks there are of each pack. */
export type Chunks = ReadonlyMap<string, ReadonlySet<number>>;

/** A snapshot's own part of a subject: of an object, of a key. */
export function subjectOf(id: SnapshotId): string {
  const { initiator, count } = parseSnapshotId(id);
  return `${subjectToken(initiator)}.${count}`;
}

/** A process id as a part of a subject. */
export function subjectToken(process: string): string {
  return process.replaceAll(".", "=");
}

/** The process id that a part of a subject stands for. */
export function processOf(token: string): string {
  return token.replaceAll("=", ".");
}

export function objectsSettings(
  bucket: string,
  replicas: number,
  maxBytes: number,
): StreamSettings {
  return {
    name: `OBJ_${bucket}`,
    description: "Tidemark: the bodies of snapshots",
    subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`],
    num_replicas: replicas,
    max_msgs_per_subject: 1,
    max_bytes: maxBytes,
    discard: DiscardPolicy.New,
    allow_rollup_hdrs: true,
  };
}

export class Objects {
  readonly #stream: Stream;
  readonly #bucket: string;

  constructor(session: NatsSession, bucket: string, replicas: number, maxBytes: number) {
    this.#bucket = bucket;
    this.#stream = new Stream(session, objectsSettings(bucket, replicas, maxBytes));
  }

  /** A chunk, for people who look for it. */
  nameOf({ snapshot, pack }: PackName, chunk: number): string {
    return `chunk ${chunk} of object ${snapshot}/${pack} of ${this.#stream.name}`;
  }

  /** Begins a new object. */
  writer(snapshot: SnapshotId, description: string): ObjectWriter {
    const pack = randomBytes(32).toString("hex");
    return new ObjectWriter(
      { snapshot, pack },
      {
        name: nameOf({ snapshot, pack }),
        description,
        bucket: this.#bucket,
        nuid: `${subjectOf(snapshot)}.${pack}.*`,
        options: { max_chunk_size: CHUNK_BYTES },
      },
      async (chunk, content) => {
        await this.#stream.write(this.#chunkSubject({ snapshot, pack }, chunk), content, {
          id: `${pack}.${chunk}`,
        });
      },
      async (about, id) => {
        const content = Buffer.from(JSON.stringify(about));
        await this.#stream.write(this.#aboutSubject({ snapshot, pack }), content, {
          id: `${pack}.${id}`,
        });
      },
    );
  }

  /** One chunk; undefined if it is not there. */
  async chunk(name: PackName, chunk: number): Promise<Uint8Array | undefined> {
    return (await this.#stream.last(this.#chunkSubject(name, chunk)))?.data;
  }

  /** The bytes of an object from an offset; where a chunk is missing or too short, which one. */
  async read(
    name: PackName,
    offset: number,
    bytes: number,
    chunk: (chunk: number) => Promise<Uint8Array | undefined> = (one) => this.chunk(name, one),
  ): Promise<{ readonly content: Uint8Array } | { readonly missing: number }> {
    const runs: Uint8Array[] = [];
    const end = offset + bytes;
    // No more is held than is there, whatever is asked for.
    for (let at = offset; at < end; ) {
      const first = Math.floor(at / CHUNK_BYTES);
      const last = Math.min(Math.floor((end - 1) / CHUNK_BYTES), first + READ_AT_ONCE - 1);
      const numbers = Array.from({ length: last - first + 1 }, (_, i) => first + i);
      const some = await Promise.all(numbers.map(chunk));
      for (const [i, content] of some.entries()) {
        const start = (first + i) * CHUNK_BYTES;
        const wanted = Math.min(end, start + CHUNK_BYTES) - start;
        if (content === undefined || content.length < wanted) return { missing: first + i };
        runs.push(content.subarray(at - start, wanted));
        at = start + wanted;
      }
    }
    return { content: new Uint8Array(Buffer.concat(runs, bytes)) };
  }

  /** The chunks that are there of a snapshot. */
  async chunks(snapshot: SnapshotId): Promise<Chunks> {
    const chunks = new Map<string, Set<number>>();
    for (const subject of await this.#stream.subjects(this.#chunkFilter(snapshot))) {
      const [pack = "", number = ""] = subject.split(".").slice(-2);
      const own = chunks.get(pack) ?? new Set();
      chunks.set(pack, own);
      own.add(Number(number));
    }
    return chunks;
  }

  /** Every object that was begun and not removed. */
  async all(): Promise<PackName[]> {
    const subjects = await this.#stream.subjects(`$O.${this.#bucket}.M.>`);
    return subjects.flatMap((subject) => {
      const name = Buffer.from(subject.split(".").at(-1) ?? "", "base64url").toString("latin1");
      const slash = name.lastIndexOf("/");
      const [snapshot, pack] = [name.slice(0, slash), name.slice(slash + 1)];
      // Others are somebody else's.
      return isSnapshotId(snapshot) && PACK.test(pack) ? [{ snapshot, pack }] : [];
    });
  }

  /** When one of these objects was last written to, by the server's clock. */
  async writtenAtMs(names: readonly PackName[], chunks: Chunks): Promise<number> {
    let latest = 0;
    for (const name of names) {
      const about = await this.#stream.last(this.#aboutSubject(name));
      const number = Math.max(-1, ...(chunks.get(name.pack) ?? []));
      const chunk =
        number < 0 ? undefined : await this.#stream.last(this.#chunkSubject(name, number));
      for (const message of [about, chunk]) latest = Math.max(latest, message?.time.getTime() ?? 0);
    }
    return latest;
  }

  /** Removes objects of a snapshot: of each its chunks before what tells of them. */
  async remove(snapshot: SnapshotId, packs: Iterable<string>): Promise<void> {
    for (const pack of packs) {
      const name = { snapshot, pack };
      const chunks = await this.#stream.subjects(this.#chunkSubject(name, "*"));
      for (let at = 0; at < chunks.length; at += READ_AT_ONCE) {
        const some = chunks.slice(at, at + READ_AT_ONCE);
        await Promise.all(some.map((subject) => this.#stream.removeLast(subject)));
      }
      await this.#stream.removeLast(this.#aboutSubject(name));
    }
  }

  #aboutSubject(name: PackName): string {
    const base64 = Buffer.from(nameOf(name)).toString("base64url");
    return `$O.${this.#bucket}.M.${base64.padEnd(Math.ceil(base64.length / 4) * 4, "=")}`;
  }

  #chunkSubject({ snapshot, pack }: PackName, chunk: number | "*"): string {
    return `$O.${this.#bucket}.C.${subjectOf(snapshot)}.${pack}.${chunk}`;
  }

  #chunkFilter(snapshot: SnapshotId): string {
    return `$O.${this.#bucket}.C.${subjectOf(snapshot)}.>`;
  }
}

function nameOf({ snapshot, pack }: PackName): string {
  return `${snapshot}/${pack}`;
}

/** Writes one object from beginning to end. One without a byte is not written at all. */
export class ObjectWriter {
  readonly name: PackName;
  /** So many bytes were written. */
  bytes: number = 0;
  readonly #about: object;
  readonly #putChunk: (chunk: number, content: Uint8Array) => Promise<void>;
  readonly #putAbout: (about: object, id: string) => Promise<void>;
  readonly #digest = createHash("sha256");
  #chunk: Buffer | undefined;
  #chunks = 0;

  constructor(
    name: PackName,
    about: object,
    putChunk: (chunk: number, content: Uint8Array) => Promise<void>,
    putAbout: (about: object, id: string) => Promise<void>,
  ) {
    this.name = name;
    this.#about = about;
    this.#putChunk = putChunk;
    this.#putAbout = putAbout;
  }

  /** Copies the bytes; they are in the bucket when the object is ended. */
  async write(content: Uint8Array): Promise<void> {
    this.#digest.update(content);
    for (let at = 0; at < content.length; ) {
      // Each has a buffer of its own: one that was not answered for may still be on its way.
      this.#chunk ??= Buffer.allocUnsafeSlow(CHUNK_BYTES);
      const filled = this.bytes - this.#chunks * CHUNK_BYTES;
      const some = content.subarray(at, at + CHUNK_BYTES - filled);
      this.#chunk.set(some, filled);
      this.bytes += some.length;
      at += some.length;
      if (filled + some.length === CHUNK_BYTES) await this.#flush();
    }
  }

  async end(): Promise<void> {
    if (this.bytes === 0) return;
    if (this.#chunk) await this.#flush();
    const digest = `SHA-256=${this.#digest.digest("base64url")}=`;
    const size = this.bytes;
    await this.#announce({ size, chunks: this.#chunks, digest }, "end");
  }

  async #flush(): Promise<void> {
    const length = this.bytes - this.#chunks * CHUNK_BYTES;
    const content = (this.#chunk as Buffer).subarray(0, length);
    if (this.#chunks === 0)
      await this.#announce({ size: 0, chunks: 0, digest: "", deleted: true }, "begin");
    await this.#putChunk(this.#chunks, content);
    this.#chunk = undefined;
    this.#chunks += 1;
  }

  async #announce(more: object, id: string): Promise<void> {
    await this.#putAbout({ ...this.#about, mtime: new Date().toISOString(), ...more }, id);
  }
}
