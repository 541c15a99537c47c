/**
 * A key-value bucket with compare-and-set, as other clients of NATS know one: `nats kv get BUCKET KEY` shows what is in it.
 *
 * Theory of operation. A key is a subject, its value the last message there, its revision the sequence number of that. What is written
 * says what it was decided upon: the revision of its key, or that nothing at all in the bucket has changed since. The second is for what
 * depends on several keys: of two who decide at once one is refused and decides anew, so it is as if there were a lock, and nobody can die
 * with it. A key that was taken away leaves a mark behind, as in any bucket; whoever wants to make it for the first time is refused.
 */

import { DiscardPolicy } from "@nats-io/jetstream";
import { nuid } from "@nats-io/transport-node";
import type { NatsSession } from "./connection.ts";
import { Stream, type StreamSettings } from "./stream.ts";

/** What a key has. */
export interface Entry {
  readonly revision: number;
  /** Undefined: the key was taken away. */
  readonly value: Uint8Array | undefined;
  /** When it was written, by the server's clock. */
  readonly atMs: number;
}

/** What must not have changed: the key since that revision (0: it never was), or anything since that sequence number. */
export type Since = { readonly revision: number } | { readonly sequence: number };

const OPERATION = "KV-Operation";

export function registerSettings(
  bucket: string,
  replicas: number,
  description: string,
): StreamSettings {
  return {
    name: `KV_${bucket}`,
    description,
    subjects: [`${subjectsBefore(bucket)}>`],
    num_replicas: replicas,
    max_msgs_per_subject: 1,
    discard: DiscardPolicy.New,
    allow_rollup_hdrs: true,
  };
}

/** What stands before a key. */
const subjectsBefore = (bucket: string): string => `$KV.${bucket}.`;

export class Register {
  readonly #stream: Stream;
  readonly #before: string;

  constructor(session: NatsSession, bucket: string, replicas: number, description: string) {
    this.#before = subjectsBefore(bucket);
    this.#stream = new Stream(session, registerSettings(bucket, replicas, description));
  }

  /** A key, for people who look for it. */
  nameOf(key: string): string {
    return `key ${key} of ${this.#stream.name}`;
  }

  /** Undefined if the key never was. */
  async get(key: string): Promise<Entry | undefined> {
    const message = await this.#stream.last(this.#before + key);
    if (!message) return undefined;
    const operation = message.header.get(OPERATION);
    return {
      revision: message.seq,
      value: operation === "" ? message.data : undefined,
      atMs: message.time.getTime(),
    };
  }

  /** The keys that are or were there, by a filter as subjects have one. */
  async keys(filter: string): Promise<string[]> {
    const subjects = await this.#stream.subjects(this.#before + filter);
    return subjects.map((subject) => subject.slice(this.#before.length));
  }

  /** Where the bucket is now. What depends on several keys asks for this before it reads them. */
  async sequence(): Promise<number> {
    return await this.#stream.lastSequence();
  }

  /** Gives a key a value, or takes it away. Gives its revision; undefined, and nothing is changed, if something has changed meanwhile. */
  async set(key: string, value: Uint8Array | undefined, since: Since): Promise<number | undefined> {
    return await this.#stream.write(this.#before + key, value ?? new Uint8Array(), {
      id: nuid.next(),
      ...(value ? {} : { headers: { [OPERATION]: "DEL" } }),
      ...("revision" in since
        ? { lastOfSubject: since.revision }
        : { lastOfStream: since.sequence }),
    });
  }

  /** Forgets what was written at that revision, if no other one has replaced it. */
  async forget(revision: number): Promise<void> {
    await this.#stream.remove(revision);
  }
}
