/**
 * What processes that use streams, and whoever takes snapshots of them or restores them, know of each other: a key-value bucket.
 *
 *     KV_PREFIX-streams
 *       control                who takes part, how many snapshots were begun, which are open, and the lineage of the epoch
 *       process.p1             the checkpoint of p1
 *       piece.7.p1             the checkpoint that p1 recorded for snapshot 7, while that is open
 *       restored.NAME.p1       what p1 begins with in an epoch that began from a snapshot
 *
 * A process id may have dots, which part subjects: in keys they are written as "=".
 *
 * Theory of operation. All that several depend on is in one key, and is written only if that has not changed since it was read. So it is
 * settled who is part of a snapshot: whoever is in `control` when it is begun, and whoever comes later has it behind him. That an epoch
 * begins is one write, too: what its processes begin with was written before, under a name that nobody knows until then. A checkpoint
 * is written only on top of the one before it, so of two processes with one id, or one of an earlier epoch, one is refused.
 */

import { TidemarkError } from "../core/error.ts";
import {
  checkForm,
  count,
  type Form,
  leaf,
  list,
  ms,
  processId,
  record,
  text,
} from "../core/form.ts";
import type { ProcessId } from "../core/id.ts";
import type { NatsSession } from "./connection.ts";
import { processOf, subjectToken } from "./objects.ts";
import { Register, registerSettings } from "./register.ts";
import type { StreamSettings } from "./stream.ts";
import type {
  Ancestor,
  Checkpoint,
  Mark,
  Reading,
  SenderMark,
  SentCount,
  Stamp,
  Unpublished,
  Writing,
} from "./stream-ledger.ts";

/** A process that takes part. */
export interface Participant {
  readonly process: ProcessId;
  /** How many snapshots had been begun when it joined: those are none of its business. */
  readonly joined: number;
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

/** A snapshot that waits for what its processes record. */
export interface OpenSnapshot {
  readonly count: number;
  readonly processes: readonly ProcessId[];
}

export interface Control {
  /** How many snapshots were begun. */
  readonly snapshots: number;
  readonly open: readonly OpenSnapshot[];
  readonly processes: readonly Participant[];
  /** Ascending; the last one is the present epoch. */
  readonly lineage: readonly Ancestor[];
  /** Where the present epoch began, if it was from a snapshot. */
  readonly restored?: {
    readonly name: string;
    /** How many snapshots had been begun then. */
    readonly snapshots: number;
  };
}

/** What `control` is before anybody wrote it. */
const BEGINNING: Control = {
  snapshots: 0,
  open: [],
  processes: [],
  lineage: [{ epoch: 1, counts: [] }],
};

const PROCESSES_MAX = 10_000;
const STREAMS_MAX = 1_000;
const EPOCHS_MAX = 10_000;
const MESSAGES_MAX = 1_000_000;
/** Of whoever dies the snapshot stays open; the oldest make room. */
export const OPEN_MAX = 16;

/** A stream is called `stream.NAME` among processes. */
export const STREAM_NAME: RegExp = /^[A-Za-z0-9_-]{1,57}$/;

const stream = text("the name of a stream", STREAM_NAME);
const streams = list(STREAMS_MAX, stream);
const hash = text("a channel hash", /^[0-9a-f]{32}[0-3]$/);
const mark = record<Mark>({ count, hash });
const any: Form<unknown> = leaf("a value", (value): value is unknown => value !== undefined);
const string: Form<string> = leaf("a text", (value) => typeof value === "string");

const lineage: Form<readonly Ancestor[]> = list(
  EPOCHS_MAX,
  record<Ancestor>({
    epoch: count,
    counts: list(
      PROCESSES_MAX * STREAMS_MAX,
      record<SentCount>({ stream, process: processId, count }),
    ),
  }),
);

const controlForm = record<Control>({
  snapshots: count,
  open: list(OPEN_MAX, record<OpenSnapshot>({ count, processes: list(PROCESSES_MAX, processId) })),
  processes: list(
    PROCESSES_MAX,
    record<Participant>({ process: processId, joined: count, reads: streams, writes: streams }),
    ({ process }) => process,
  ),
  lineage,
  restored: {
    optional: record<NonNullable<Control["restored"]>>({
      name: text("letters and digits", /^[A-Za-z0-9]{1,64}$/),
      snapshots: count,
    }),
  },
});

const reading = {
  stream,
  begun: count,
  position: count,
  received: mark,
  senders: list(PROCESSES_MAX, record<SenderMark>({ process: processId, count, hash })),
};
const writing = { stream, sent: mark, confirmed: mark, position: count };
const unpublished = list(
  MESSAGES_MAX,
  record<Unpublished>({
    stream,
    subject: string,
    stamp: record<Stamp>({
      epoch: count,
      process: processId,
      count,
      snapshots: count,
      before: hash,
    }),
    text: string,
  }),
);

const checkpointForm = record<Checkpoint>({
  process: processId,
  epoch: count,
  snapshots: count,
  recorded: list(OPEN_MAX, count),
  atMs: ms,
  state: any,
  reads: list(STREAMS_MAX, record<Reading>(reading)),
  writes: list(STREAMS_MAX, record<Writing>(writing)),
  unpublished: unpublished,
});

/** The state of a stream in a snapshot: where the cut goes through it, and what a restore needs beside the states of processes. */
export interface StreamState {
  readonly stream: string;
  /** When it was made: another one of the same name has other messages. */
  readonly created: string;
  /** Its messages up to this one are inside. */
  readonly sequence: number;
  readonly lineage: readonly Ancestor[];
  readonly readers: readonly (Reading & { readonly process: ProcessId })[];
  readonly writers: readonly (Writing & {
    readonly process: ProcessId;
    readonly unpublished: readonly Unpublished[];
  })[];
}

export const streamStateForm: Form<StreamState> = record<StreamState>({
  ...{ stream, created: string, sequence: count, lineage },
  readers: list(
    PROCESSES_MAX,
    record<StreamState["readers"][number]>({ process: processId, ...reading }),
  ),
  writers: list(
    PROCESSES_MAX,
    record<StreamState["writers"][number]>({ process: processId, ...writing, unpublished }),
  ),
});

/** What a server takes that does not say it. */
const PAYLOAD_BYTES = 1_048_576;
/** What a message has beside its content. */
const HEADER_BYTES = 1_024;

/** What a key has, and the revision to write on top of. */
export interface Kept<T> {
  readonly value: T;
  readonly revision: number;
}

const CONTROL = "control";
const REGISTER = "Tidemark: processes whose channels are streams";
const registerOf = (prefix: string): string => `${prefix}-streams`;

/** What the stream below the register should be. */
export function controlSettings(prefix: string, replicas: number): StreamSettings {
  return registerSettings(registerOf(prefix), replicas, REGISTER);
}

export class StreamControl {
  readonly #session: NatsSession;
  readonly #register: Register;

  constructor(session: NatsSession, prefix: string, replicas: number) {
    this.#session = session;
    this.#register = new Register(session, registerOf(prefix), replicas, REGISTER);
  }

  async read(): Promise<Kept<Control>> {
    return (await this.#get(CONTROL, controlForm)) ?? { value: BEGINNING, revision: 0 };
  }

  /**
   * Changes it, on top of whatever others made of it meanwhile. Gives what it is then.
   * @param change gives undefined if there is nothing to change
   */
  async update(change: (control: Control) => Control | undefined): Promise<Control> {
    for (;;) {
      const { value, revision } = await this.read();
      const changed = change(value);
      if (!changed) return value;
      if (await this.write({ value: changed, revision })) return changed;
    }
  }

  /** False if somebody changed it since it was read. */
  async write({ value, revision }: Kept<Control>): Promise<boolean> {
    return (await this.#set(CONTROL, JSON.stringify(value), revision)) !== undefined;
  }

  async checkpoint(process: ProcessId): Promise<Kept<Checkpoint> | undefined> {
    return await this.#get(`process.${subjectToken(process)}`, checkpointForm);
  }

  /**
   * Gives its revision; undefined if it is not written on top of that one.
   * @throws TidemarkError `MESSAGE_TOO_LARGE`
   */
  async writeCheckpoint(
    process: ProcessId,
    checkpoint: string,
    revision: number,
  ): Promise<number | undefined> {
    const bytes = Buffer.byteLength(checkpoint);
    const most = await this.#session.use("connect", async ({ connection }) => {
      return (connection.info?.max_payload ?? PAYLOAD_BYTES) - HEADER_BYTES;
    });
    if (bytes > most)
      throw new TidemarkError(
        "MESSAGE_TOO_LARGE",
        `the checkpoint of ${process} has ${bytes} bytes, with its state and what it sent; the server takes ${most}: ` +
          "raise max_payload there, or keep less in the state",
      );
    return await this.#set(`process.${subjectToken(process)}`, checkpoint, revision);
  }

  async removeCheckpoint(process: ProcessId): Promise<void> {
    await this.#remove(`process.${subjectToken(process)}`);
  }

  async piece(snapshot: number, process: ProcessId): Promise<Checkpoint | undefined> {
    return (await this.#get(pieceKey(snapshot, process), checkpointForm))?.value;
  }

  /** Does nothing if it is there. */
  async writePiece(snapshot: number, process: ProcessId, checkpoint: string): Promise<void> {
    await this.#set(pieceKey(snapshot, process), checkpoint, 0);
  }

  /** Which processes have recorded a snapshot. */
  async recorded(snapshot: number): Promise<ReadonlySet<ProcessId>> {
    const keys = await this.#register.keys(`piece.${snapshot}.*`);
    return new Set(keys.map((key) => processOf(key.slice(`piece.${snapshot}.`.length))));
  }

  /** Removes what was recorded for snapshots that are not open. */
  async sweep(open: readonly OpenSnapshot[]): Promise<void> {
    const counts = new Set(open.map((one) => String(one.count)));
    for (const key of await this.#register.keys("piece.*.*"))
      if (!counts.has(key.split(".")[1] ?? "")) await this.#remove(key);
  }

  async restored(name: string, process: ProcessId): Promise<Checkpoint | undefined> {
    return (await this.#get(`restored.${name}.${subjectToken(process)}`, checkpointForm))?.value;
  }

  async writeRestored(name: string, checkpoint: Checkpoint): Promise<void> {
    const key = `restored.${name}.${subjectToken(checkpoint.process)}`;
    await this.#set(key, JSON.stringify(checkpoint), 0);
  }

  /** Removes what other epochs began with. */
  async sweepRestored(name: string): Promise<void> {
    for (const key of await this.#register.keys("restored.*.*"))
      if (key.split(".")[1] !== name) await this.#remove(key);
  }

  async #set(key: string, json: string, revision: number): Promise<number | undefined> {
    return await this.#register.set(key, Buffer.from(json), { revision });
  }

  /** @throws TidemarkError the session's code if it is not what was written */
  async #get<T>(key: string, form: Form<T>): Promise<Kept<T> | undefined> {
    const entry = await this.#register.get(key);
    if (!entry?.value) return undefined;
    let value: unknown;
    try {
      value = JSON.parse(Buffer.from(entry.value).toString());
    } catch {
      throw this.#session.failed(`${this.#register.nameOf(key)} is no JSON`);
    }
    const checked = checkForm(form, value);
    if ("problem" in checked)
      throw this.#session.failed(`${this.#register.nameOf(key)}: ${checked.problem}`);
    return { value: checked.copy, revision: entry.revision };
  }

  async #remove(key: string): Promise<void> {
    const entry = await this.#register.get(key);
    if (entry) await this.#register.forget(entry.revision);
  }
}

function pieceKey(snapshot: number, process: ProcessId): string {
  return `piece.${snapshot}.${subjectToken(process)}`;
}
