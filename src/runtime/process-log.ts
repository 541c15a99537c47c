/**
 * A process' input log on disk, and how the process comes back with it.
 *
 * Theory of operation. In the log there is always one image of the process with the state of its application (a *capture*), and the
 * inputs after it. A process begins with a capture of how it is after its first turn; nothing that it does is seen before that is
 * safe. When the inputs since have grown to `captureBytes`, another capture is begun, while the process runs on, and what came
 * before it goes. A process that is stopped in order ends with one, so the next program need not take the steps of this one.
 * To come back: the application gets its state, the process its image, and every input since is taken once more (process/journal.ts).
 */

import { deserialize, serialize } from "node:v8";
import { TidemarkError, textOf } from "../core/error.ts";
import { copyOf } from "../core/record.ts";
import { type Application, FrozenState } from "../process/application.ts";
import { type Codec, encodeApart } from "../process/codec.ts";
import { replayRecord } from "../process/journal.ts";
import type { Process } from "../process/process.ts";
import type { ProcessImage } from "../process/process-image.ts";
import { type InputLog, type LogPolicy, openInputLog } from "./input-log.ts";
import { rest } from "./rest.ts";

/** How a process logs its inputs. */
export interface LogConfiguration<Request = unknown> {
  /** Of this process alone; made if need be. */
  readonly directory: string;
  /**
   * When what a process does may be seen: once the inputs that led to it are on the disk (`always`), or with the operating system, which is
   * told to write them once a second (`everysec`) or writes them when it likes (`none`). All survive the death of the process; only
   * `always` survives a loss of power without a gap.
   * @default "everysec"
   */
  readonly policy?: LogPolicy;
  /** After so many bytes of inputs the state is captured, and they are not needed any more. @default 64 MiB */
  readonly captureBytes?: number;
  /** How requests are logged. @default MessagePack */
  readonly requestCodec?: Codec<Request>;
}

/** Whose log it is, and how it is written. */
export interface LogOwner<Request> {
  readonly process: string;
  readonly system: string;
  readonly stateCodec: Codec<unknown>;
  readonly messageEncoding: string;
  readonly requestCodec: Codec<Request>;
}

/** What stands in front of a captured state. */
interface Head {
  readonly format: typeof FORMAT;
  readonly image: ProcessImage;
  /** Whose log it is. */
  readonly process: string;
  readonly system: string;
  /** The codec that made the slices, and those of what is in frames and inputs. */
  readonly encoding: string;
  readonly messageEncoding: string;
  readonly requestEncoding: string;
  readonly sliced: boolean;
}

const FORMAT = "tidemark-image/1";
const CAPTURE_BYTES = 64 * 1024 * 1024;

/** See the head of the file. */
export class ProcessLog<M, State, Request, Reply> {
  readonly log: InputLog;
  readonly requestCodec: Codec<Request>;
  readonly #owner: LogOwner<Request>;
  readonly #captureBytes: number;
  readonly #head: Head | undefined;
  #keeping: Promise<void> | undefined;
  /** After a capture that failed: not before there are so many bytes. */
  #notBefore = 0;

  private constructor(
    log: InputLog,
    head: Head | undefined,
    owner: LogOwner<Request>,
    captureBytes: number,
  ) {
    this.log = log;
    this.#head = head;
    this.requestCodec = owner.requestCodec;
    this.#owner = owner;
    this.#captureBytes = captureBytes;
  }

  /**
   * @throws TidemarkError what opening an input log throws; `LOG_DAMAGED` for an image of another version; `BAD_OPTION` for the log of
   * another process; `BAD_MESSAGE` for one that was written with other codecs
   */
  static async open<M, State, Request, Reply>(
    { directory, policy = "everysec", captureBytes = CAPTURE_BYTES }: LogConfiguration<Request>,
    owner: LogOwner<Request>,
    events: {
      readonly onProblem: (problem: TidemarkError) => void;
      readonly onSettled: (position: number) => void;
    },
  ): Promise<ProcessLog<M, State, Request, Reply>> {
    if (!(captureBytes > 0))
      throw new TidemarkError(
        "BAD_OPTION",
        `captureBytes is ${captureBytes}: use a number above 0`,
      );
    const log = await openInputLog(directory, { policy, ...events });
    try {
      const head = log.capture && headIn(log.capture.image, directory);
      if (head) checkOwner(head, owner, directory, log.bytesSinceCapture > 0);
      return new ProcessLog(log, head, owner, captureBytes);
    } catch (error) {
      await log.close().catch(() => {});
      throw error;
    }
  }

  /** What the process knew when it was captured last; undefined if it has never been. */
  get image(): ProcessImage | undefined {
    return this.#head?.image;
  }

  /**
   * The state of its application then.
   * @throws TidemarkError `BAD_MESSAGE` if the codec cannot decode it
   */
  async state(): Promise<State> {
    const { sliced } = this.#head as Head;
    const { stateCodec } = this.#owner;
    const values: unknown[] = [];
    for await (const slice of this.log.capture?.slices() ?? []) {
      try {
        values.push(stateCodec.decode(copyOf(slice)));
      } catch (thrown) {
        const reason = `${stateCodec.name} cannot decode it: ${textOf(thrown)}`;
        throw new TidemarkError(
          "BAD_MESSAGE",
          `the state in the input log cannot be read: ${reason}`,
          {
            cause: thrown,
          },
        );
      }
    }
    return (sliced ? values : values[0]) as State;
  }

  /** Has the process, which is as in the image, take all inputs since. Gives how many they were. */
  async replay(process: Process<M, State, Request, Reply>): Promise<number> {
    let count = 0;
    for await (const records of this.log.records())
      for (const record of records) {
        replayRecord(process, this.requestCodec, record);
        count += 1;
      }
    return count;
  }

  /** True when there is so much since the last capture that there should be another. */
  get isLong(): boolean {
    const { bytesSinceCapture } = this.log;
    return !this.#keeping && bytesSinceCapture >= Math.max(this.#captureBytes, this.#notBefore);
  }

  /**
   * Captures how the process is, between two turns, and keeps that: now, or when the capture that is under way is done.
   * @throws TidemarkError `CAPTURE_THREW`, `LOG_FAILED`, `STOPPED`
   */
  async keep(
    process: Process<M, State, Request, Reply>,
    application: Application<M, State, Request, Reply>,
  ): Promise<void> {
    while (this.#keeping !== undefined) await this.#keeping.catch(() => {});
    const keeping = this.#keep(process, application);
    this.#keeping = keeping;
    try {
      await keeping;
      this.#notBefore = 0;
    } catch (error) {
      this.#notBefore = 2 * this.log.bytesSinceCapture;
      throw error;
    } finally {
      this.#keeping = undefined;
    }
  }

  async #keep(
    process: Process<M, State, Request, Reply>,
    application: Application<M, State, Request, Reply>,
  ): Promise<void> {
    // What an application that threw left behind is the state of no turn, and a process that failed must not come back to it.
    if (process.failed)
      throw new TidemarkError("CAPTURE_THREW", "a process that has failed keeps no state");
    const { stateCodec, messageEncoding, requestCodec } = this.#owner;
    const encode = (value: unknown): Uint8Array => encodeApart(stateCodec, value);
    const state = captured(() => {
      const value = application.capture();
      return value instanceof FrozenState ? value : encode(value);
    });
    const head: Head = {
      format: FORMAT,
      process: this.#owner.process,
      system: this.#owner.system,
      image: process.image,
      encoding: stateCodec.name,
      messageEncoding,
      requestEncoding: requestCodec.name,
      sliced: state instanceof FrozenState,
    };
    try {
      const writer = this.log.beginCapture(serialize(head));
      try {
        if (!(state instanceof FrozenState)) await writer.add(state);
        else
          for (;;) {
            const startMs = performance.now();
            const slice = captured(() => state.next());
            if (slice === undefined) break;
            const bytes = captured(() => encode(slice));
            const workedMs = performance.now() - startMs;
            await writer.add(bytes);
            await rest(workedMs);
          }
        await writer.commit();
      } catch (error) {
        await writer.abort();
        throw error;
      }
    } finally {
      if (state instanceof FrozenState) captured(() => state.release());
    }
  }
}

/** @throws TidemarkError `CAPTURE_THREW` for whatever `act` throws */
function captured<T>(act: () => T): T {
  try {
    return act();
  } catch (thrown) {
    const message = `the state could not be captured for the input log: ${textOf(thrown)}`;
    throw new TidemarkError("CAPTURE_THREW", message, { cause: thrown });
  }
}

/** By the log of another a process would go on as that one, and with other codecs as nobody. */
function checkOwner<Request>(
  head: Head,
  owner: LogOwner<Request>,
  directory: string,
  hasInputs: boolean,
): void {
  if (head.process !== owner.process || head.system !== owner.system)
    throw new TidemarkError(
      "BAD_OPTION",
      `the input log ${directory} is that of ${head.process} of the system ${head.system}, ` +
        `not of ${owner.process} of ${owner.system}: each process needs a directory of its own`,
    );
  const same = (what: string, was: string, is: string): void => {
    if (was === is) return;
    const message = `the ${what} in the input log ${directory} are encoded as ${was}, and their codec is ${is} now`;
    throw new TidemarkError("BAD_MESSAGE", message);
  };
  same("states", head.encoding, owner.stateCodec.name);
  same("messages", head.messageEncoding, owner.messageEncoding);
  if (hasInputs) same("requests", head.requestEncoding, owner.requestCodec.name);
}

function headIn(bytes: Uint8Array, directory: string): Head {
  let head: Partial<Head> | undefined;
  try {
    head = deserialize(bytes) as Partial<Head>;
  } catch {
    // Said below.
  }
  if (head?.format === FORMAT) return head as Head;
  throw new TidemarkError(
    "LOG_DAMAGED",
    `the image in the input log ${directory} is not one that this version reads (${FORMAT})`,
  );
}
