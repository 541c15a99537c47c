/**
 * What replicas are told: a stream of records of each server, in pieces, for a message has a limit and a request has none. All replicas
 * put the stream together again and take each record when its last byte is there, so in the same order.
 *
 * A message, little-endian:
 *
 * | offset | type | field |
 * |---|---|---|
 * | 0 | f64 | when it was submitted, milliseconds since 1970; until then 0, or its last byte says which namespace it is for |
 * | 8 | u32 | stream: another one begins whenever a server starts or begins anew |
 * | 12 | | the next bytes of the stream |
 *
 * A record of the stream:
 *
 * | offset | type | field |
 * |---|---|---|
 * | 0 | u32 | length of what follows |
 * | 4 | u8 | kind |
 * | 5 | u8 | database |
 * | 6 | u32 | session: which connection of the server it is of; 0: none |
 * | 10 | | requests, as the client sent them: of `command` and `transaction` any number, of `sweep` and `evict` databases and keys |
 */

export const HEADER_BYTES = 12;
/** Where a message that is not for the total order says so, by a number from 1; that of a time is larger, or 0. */
export const LEVEL_AT = 7;
/** Longest request in a namespace: it is told in one turn. */
export const CONVERGING_BYTES: number = 1024 * 1024;
export const RECORD_HEAD_BYTES = 10;
/** Largest messages: small beside the window of a group, large beside what one costs. */
export const MESSAGE_BYTES: number = 32 * 1024;

/** Requests that are put together to one record have no more. */
const RUN_BYTES = 16 * 1024;

/** What a record is. */
export const KIND = {
  command: 1,
  transaction: 2,
  /** The session waits no longer: its time is over. */
  timeout: 3,
  /** The session waits no longer: it is to have an error. */
  unblock: 4,
  /** What is known of the session, the keys that it waits for and watches, need not be known any more. */
  forget: 5,
  /** The time has come for keys: a request of words, a database and a key in turn. */
  sweep: 6,
  /** Keys are to go, for memory is short: a request as of `sweep`. */
  evict: 7,
  /** Of a namespace: all its keys are to go. */
  flush: 8,
} as const;

interface Run {
  db: number;
  session: number;
  /** Where they lie; there are none if there is nothing. */
  payload: Uint8Array | undefined;
  from: number;
  to: number;
}

/** Puts records together to messages. */
export class RecordWriter {
  readonly #submit: (message: Uint8Array) => void;
  readonly #bytes: Uint8Array = new Uint8Array(MESSAGE_BYTES);
  readonly #view: DataView = new DataView(this.#bytes.buffer);
  #at = HEADER_BYTES;
  /** Requests of one session that are to be one record. */
  readonly #run: Run = { db: 0, session: 0, payload: undefined, from: 0, to: 0 };

  /**
   * @param submit takes each message; its bytes are its own
   * @param level 0: the total order
   */
  constructor(stream: number, submit: (message: Uint8Array) => void, level: number = 0) {
    this.#submit = submit;
    this.#bytes[LEVEL_AT] = level;
    this.#view.setUint32(8, stream, true);
  }

  get isEmpty(): boolean {
    return this.#at === HEADER_BYTES;
  }

  /** Adds a record. */
  add(
    kind: number,
    db: number,
    session: number,
    payload: Uint8Array,
    from: number,
    to: number,
  ): void {
    this.settle();
    const size = RECORD_HEAD_BYTES + to - from;
    // Only what is too large for any message is cut.
    const isWhole = size <= MESSAGE_BYTES - HEADER_BYTES;
    if (this.#at + (isWhole ? size : RECORD_HEAD_BYTES) > MESSAGE_BYTES) this.flush();
    const at = this.#at;
    this.#view.setUint32(at, size - 4, true);
    this.#bytes[at + 4] = kind;
    this.#bytes[at + 5] = db;
    this.#view.setUint32(at + 6, session, true);
    this.#at = at + RECORD_HEAD_BYTES;
    for (let next = from; next < to; ) {
      if (this.#at === MESSAGE_BYTES) this.flush();
      const part = Math.min(to - next, MESSAGE_BYTES - this.#at);
      this.#bytes.set(payload.subarray(next, next + part), this.#at);
      this.#at += part;
      next += part;
    }
  }

  /**
   * Adds a request to the record of those in front of it, if they lie there: copied at once, many short ones cost little. They are to stay
   * as they are until `settle`.
   */
  addRequest(db: number, session: number, payload: Uint8Array, from: number, to: number): void {
    const run = this.#run;
    const isNext =
      run.payload === payload && run.to === from && run.session === session && run.db === db;
    if (isNext && to - run.from <= RUN_BYTES) {
      run.to = to;
      return;
    }
    this.settle();
    run.db = db;
    run.session = session;
    run.payload = payload;
    run.from = from;
    run.to = to;
  }

  /** The requests that were added are needed where they lie no more. */
  settle(): void {
    const { db, session, payload, from, to } = this.#run;
    if (payload === undefined) return;
    this.#run.payload = undefined;
    this.add(KIND.command, db, session, payload, from, to);
  }

  /** Submits what there is. */
  flush(): void {
    this.settle();
    if (this.isEmpty) return;
    const message = this.#bytes.slice(0, this.#at);
    this.#at = HEADER_BYTES;
    this.#submit(message);
  }
}
