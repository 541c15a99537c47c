/**
 * A stream of JetStream, as this room uses streams: made with settings that are checked ever after, written with an id, and
 * read message by message.
 *
 * Theory of operation. What is written has an id of its own. The server keeps ids for two minutes and stores nothing twice, so a
 * write that was not answered is simply written again. What must come after something that was read says the sequence number that it
 * was read at: the server refuses it when something else has come meanwhile. Ids are looked at first, so a repeat is not taken for
 * something else.
 *
 * Everything is read by requests, each of which is answered or not. A consumer that waits for a message which somebody removes
 * would wait for ever. Requests are answered by the leader of the stream, so what was written is seen.
 *
 * Messages are removed one by one, each by its sequence number. To purge a subject would be one request for many; but where a stream is
 * on three servers, one of nats-server 2.9 that is started again after a purge comes back without all that was before it in the stream,
 * and the others take that over when it leads.
 */

import { isDeepStrictEqual } from "node:util";
import {
  DiscardPolicy,
  JetStreamApiCodes,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StoredMsg,
  type StreamConfig,
  type StreamInfo,
} from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { TidemarkError } from "../core/error.ts";
import { apiCodeOf, type NatsSession } from "./connection.ts";

/** What is said of a stream when it is made. The rest is as the server has it by default, and is not looked at. */
export type StreamSettings = Pick<StreamConfig, "name" | "subjects" | "num_replicas"> &
  Partial<
    Pick<
      StreamConfig,
      | "max_msgs_per_subject"
      | "max_bytes"
      | "discard"
      | "allow_rollup_hdrs"
      | "deny_delete"
      | "description"
    >
  >;

/** How something is written. */
export interface Writing {
  /** Of no other message that this stream ever has. */
  readonly id: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Only if this is the last sequence number of the subject, 0 if it has no message … */
  readonly lastOfSubject?: number;
  /** … or of the whole stream. */
  readonly lastOfStream?: number;
}

const SECOND_NS = 1_000_000_000;
/** For how long the server knows ids: longer than anybody is patient. */
const IDS_KEPT_NS = 120 * SECOND_NS;

export class Stream {
  readonly #session: NatsSession;
  readonly #settings: StreamSettings;
  /** With the right settings. */
  #wasThere: boolean = false;

  constructor(session: NatsSession, settings: StreamSettings) {
    this.#session = session;
    this.#settings = settings;
  }

  get name(): string {
    return this.#settings.name;
  }

  /** Makes the stream if it is not there, and sees whether it is as it should be. */
  async make(): Promise<void> {
    await this.#isThere(true);
  }

  /** Writes a message, and makes the stream if need be. Gives its sequence number; undefined if something else came before it. */
  async write(subject: string, content: Uint8Array, writing: Writing): Promise<number | undefined> {
    await this.#isThere(true);
    const { id, lastOfSubject, lastOfStream } = writing;
    return await this.#session.use(`write ${subject}`, async ({ jetstream }) => {
      const own = headers();
      for (const [name, value] of Object.entries(writing.headers ?? {})) own.set(name, value);
      try {
        const { seq } = await jetstream.publish(subject, content, {
          msgID: id,
          headers: own,
          retries: 0,
          expect: {
            streamName: this.name,
            ...(lastOfSubject === undefined ? {} : { lastSubjectSequence: lastOfSubject }),
            ...(lastOfStream === undefined ? {} : { lastSequence: lastOfStream }),
          },
        });
        return seq;
      } catch (error) {
        const code = apiCodeOf(error);
        if (
          code === JetStreamApiCodes.StreamWrongLastSequence ||
          code === JetStreamApiCodes.StreamWrongLastSequenceUnknown
        )
          return undefined;
        throw error;
      }
    });
  }

  /** The last message of a subject. */
  async last(subject: string): Promise<StoredMsg | undefined> {
    return await this.#message(subject, { last_by_subj: subject });
  }

  /** The first message of a subject that has this sequence number or a higher one. */
  async next(subject: string, sequence: number): Promise<StoredMsg | undefined> {
    return await this.#message(subject, { next_by_subj: subject, seq: sequence });
  }

  /** The sequence number of the last message that was written. */
  async lastSequence(): Promise<number> {
    if (!(await this.#isThere(false))) return 0;
    return await this.#session.use(`look at ${this.name}`, async ({ manager }) => {
      const { state } = await manager.streams.info(this.name);
      return state.last_seq;
    });
  }

  /**
   * The sequence numbers of the first message that is still there, or if there is none of the next one, and of the last that was written;
   * undefined if the stream is not there, now.
   */
  async bounds(): Promise<{ readonly first: number; readonly last: number } | undefined> {
    return await this.#session.use(`look at ${this.name}`, async ({ manager }) => {
      try {
        const { state } = await manager.streams.info(this.name);
        const { messages, first_seq, last_seq: last } = state;
        return { first: messages > 0 ? first_seq : last + 1, last };
      } catch (error) {
        if (apiCodeOf(error) === JetStreamApiCodes.StreamNotFound) return undefined;
        throw error;
      }
    });
  }

  /** The subjects that have messages. */
  async subjects(filter: string): Promise<string[]> {
    if (!(await this.#isThere(false))) return [];
    return await this.#session.use(`list ${filter}`, async ({ manager }) => {
      const { state } = await manager.streams.info(this.name, { subjects_filter: filter });
      return Object.keys(state.subjects ?? {});
    });
  }

  /** Removes the last message of a subject. */
  async removeLast(subject: string): Promise<void> {
    const message = await this.last(subject);
    if (message) await this.remove(message.seq);
  }

  /** Removes the message with that sequence number, if it is still there. */
  async remove(sequence: number): Promise<void> {
    await this.#session.use(`remove from ${this.name}`, async ({ manager }) => {
      try {
        await manager.streams.deleteMessage(this.name, sequence, false);
      } catch (error) {
        const code = apiCodeOf(error);
        if (code !== NO_SUCH_SEQUENCE && code !== DELETE_FAILED) throw error;
        // A server on its own says only that it failed.
        const query = { seq: sequence };
        if (await manager.streams.getMessage(this.name, query)) throw error;
      }
    });
  }

  async #message(
    subject: string,
    query: { last_by_subj: string } | { next_by_subj: string; seq: number },
  ): Promise<StoredMsg | undefined> {
    if (!(await this.#isThere(false))) return undefined;
    const message = await this.#session.use(`read ${subject}`, ({ manager }) =>
      manager.streams.getMessage(this.name, query),
    );
    return message ?? undefined;
  }

  /** Whether the stream is there, as it should be. What is seen once is not looked at again. */
  async #isThere(make: boolean): Promise<boolean> {
    this.#wasThere ||= await this.#check(make);
    return this.#wasThere;
  }

  async #check(make: boolean): Promise<boolean> {
    const there = await this.#session.use(`open ${this.name}`, async ({ manager }) => {
      const found = await streamInfo(manager, this.name);
      if (found || !make) return found;
      try {
        return await manager.streams.add(wholeSettings(this.#settings));
      } catch (error) {
        // Somebody else made it meanwhile, with other settings: these are compared.
        if (apiCodeOf(error) !== NAME_IN_USE) throw error;
        return await manager.streams.info(this.name);
      }
    });
    if (!there) return false;
    const differences = differencesFrom(this.#settings, there.config);
    if (differences.length === 0) return true;
    throw this.#session.failed(
      `the stream ${this.name} at ${this.#session.where} has other settings: ${differences.join("; ")}. ` +
        `Change it (nats stream edit ${this.name}), ask for what is there, or use another prefix`,
    );
  }
}

const NAME_IN_USE = 10_058;
const NO_SUCH_SEQUENCE = 10_043;
const DELETE_FAILED = 10_057;

/** Undefined if there is no such stream. */
export async function streamInfo(
  manager: JetStreamManager,
  name: string,
): Promise<StreamInfo | undefined> {
  try {
    return await manager.streams.info(name);
  } catch (error) {
    if (apiCodeOf(error) !== JetStreamApiCodes.StreamNotFound) throw error;
    return undefined;
  }
}

/** In what a stream that is there is not as it should be: for each setting a text with what it is, and what is wanted. */
export function differencesFrom(settings: StreamSettings, there: StreamConfig): string[] {
  const wanted = wholeSettings(settings);
  return Object.entries(wanted).flatMap(([setting, value]) => {
    const found = there[setting as keyof typeof wanted];
    if (setting === "description" || isDeepStrictEqual(found, value)) return [];
    return [`${setting} is ${JSON.stringify(found)}, wanted is ${JSON.stringify(value)}`];
  });
}

/** With what all streams of this room have. */
function wholeSettings(settings: StreamSettings) {
  return {
    ...{ max_bytes: -1, discard: DiscardPolicy.Old, deny_delete: false },
    ...settings,
    ...{ storage: StorageType.File, retention: RetentionPolicy.Limits, max_age: 0 },
    duplicate_window: IDS_KEPT_NS,
  };
}

const PREFIX = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * How streams are called, and on how many servers they are.
 * @throws TidemarkError `BAD_OPTION`
 */
export function checkPlace(prefix: unknown, replicas: unknown): void {
  if (typeof prefix !== "string" || !PREFIX.test(prefix))
    throw new TidemarkError(
      "BAD_OPTION",
      'the prefix of what lies on NATS has 1 to 64 letters, digits, "-" or "_"',
    );
  if (replicas !== 1 && replicas !== 3)
    throw new TidemarkError("BAD_OPTION", `replicas is ${String(replicas)}; use 1 or 3`);
}
