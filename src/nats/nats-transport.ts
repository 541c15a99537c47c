/**
 * Streams over NATS: the transport of processes that can reach the same servers, and not each other.
 *
 * Assumptions. A server passes on what one client publishes in the order in which it came, at most once, and loses some of it without a
 * word when a connection breaks, a server dies, or a reader is too slow. Whoever NATS lets publish on these subjects can connect, and
 * whoever it lets subscribe can read: accounts and permissions of NATS say who that is. Servers may be replaced; no stream is kept by them.
 *
 * Theory of operation. A process listens on the subject that is its address. Who dials makes up a subject for what is to come to it,
 * which nobody can guess, and publishes `open` with it; the listener makes up another one, and answers `opened`. From then on each
 * publishes on the other's subject:
 *
 *     0 data · 32-bit number · bytes      2 ping · 32-bit number of data sent so far
 *     1 taken · 64-bit float, bytes       3 end  · the same
 *     4 open     5 opened                 6 reset · why, as text
 *
 * (little-endian). Numbers count the data of one direction. One that is not the next says that something was lost; then the stream
 * ends, and with it the connection, and the link above sends again what was not acknowledged. A ping each second tells that the last
 * data was lost, or that nobody is there: a server answers what nobody listens to, and a stream on which nothing comes for ten seconds
 * is over. So is each stream of a client that has lost its server, even if it finds another one at once.
 *
 * A sender has at most a window of bytes on the way that the receiver has not said to have taken, so no server ever takes a
 * receiver for too slow; beyond it, what is to be sent waits here, and counts against `maxBufferedBytes`.
 *
 * A listener asks on its own subject whether somebody is there, before it listens and once more when it does, and does not begin where
 * another one answers; of two that begin at once one gives way.
 */

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node";
import { TidemarkError, textOf } from "../core/error.ts";
import { checkProcessId, type ProcessId } from "../core/id.ts";
import type { SharedReader } from "../runtime/shared-read.ts";
import {
  type Carrier,
  type Incoming,
  type StreamOptions,
  StreamTransport,
} from "../runtime/stream-transport.ts";
import type { Transport, TransportIdentity } from "../runtime/transport.ts";
import { type NatsOptions, NatsSession } from "./connection.ts";

/** How `natsTransport` reaches its peers. */
export interface NatsTransportOptions extends StreamOptions, NatsOptions {
  /**
   * All subjects begin with it: parts of letters, digits, `_` and `-`, with dots between them. The same for all processes of a system.
   * @default "tidemark"
   */
  readonly prefix?: string;
  /**
   * The subject at which others reach this process.
   * @default what `natsAddress` gives for its system and id
   */
  readonly address?: string;
}

const PREFIX = "tidemark";
const SUBJECT = /^[A-Za-z0-9_~-]+(?:\.[A-Za-z0-9_~-]+)*$/;
const SUBJECT_CHARACTERS = 2_048;

const DATA = 0;
const TAKEN = 1;
const PING = 2;
const END = 3;
const OPEN = 4;
const OPENED = 5;
const RESET = 6;

/** What begins each message but `taken`: its kind, and a number. */
const HEAD_BYTES = 5;
const TAKEN_BYTES = 9;
/** Less than what servers let through by default, so that one stream does not hold up the others of its client for long. */
const CHUNK_BYTES = 262_144;
/** So much may be on the way. A server gives up on a reader for which 64 MiB are waiting. */
const WINDOW_BYTES = 1_048_576;
const PING_MS = 1_000;
const SILENT_MS = 10_000;
/** So long a listener waits for the answer of another one, at most. */
const ANSWER_MS = 500;
/** And so long after its own answer, for others may be further away. */
const OTHERS_MS = 50;
const TOKEN_BYTES = 8;
const CLOSE_MS = 1_000;
const REASON_BYTES = 500;

/**
 * Makes a transport over core NATS: processes need to reach the servers alone. It keeps order, loses nothing and repeats nothing
 * while a peer is up; frames on the way are lost when a connection to NATS is, and the link sends them again. JetStream is not needed.
 *
 * Problems that it tells are those of `tcpTransport`.
 *
 * @throws TidemarkError `BAD_OPTION`, `BAD_ID`; from `open` also `PEER_UNREACHABLE` if no server answers, and `ADDRESS_IN_USE` if a process
 * listens on its subject already
 * @example
 * ```ts no-run
 * import { natsAddress, natsTransport } from "tidemark/nats";
 * const transport = natsTransport({
 *   servers: "nats://10.0.0.1:4222,nats://10.0.0.2:4222",
 *   peers: { b: natsAddress("shop", "b"), c: natsAddress("shop", "c") },
 * });
 * ```
 */
export function natsTransport(options: NatsTransportOptions): Transport {
  return new StreamTransport(new NatsCarrier(options), options);
}

/**
 * The subject at which a process of that system is reached, unless it was given another `address`.
 * @throws TidemarkError `BAD_ID`
 */
export function natsAddress(system: string, process: ProcessId, prefix: string = PREFIX): string {
  checkProcessId(process);
  // A dot would end a part of the subject, and no id has a tilde.
  const name = Buffer.from(system).toString("base64url");
  return `${prefix}.${name}.${process.replaceAll(".", "~")}`;
}

class NatsCarrier implements Carrier {
  readonly #session: NatsSession;
  readonly #prefix: string;
  readonly #given: string | undefined;
  readonly #streams = new Set<NatsStream>();
  /** By which this listener knows its own answers. */
  readonly #token = randomBytes(TOKEN_BYTES);
  /** Of two that begin on one subject the one with the lower rank goes on; who has begun has none. */
  #rank = randomBytes(4).readUInt32LE() || 1;
  #giveWay: (() => void) | undefined;
  #incoming: Incoming | undefined;
  #connection: NatsConnection | undefined;
  #isConnected: boolean = false;
  #subscription: Subscription | undefined;
  #pinging: NodeJS.Timeout | undefined;

  constructor(options: NatsTransportOptions) {
    const { prefix = PREFIX, address } = options;
    this.#prefix = checkSubject("prefix", prefix);
    this.#given = address === undefined ? undefined : checkSubject("address", address);
    this.#session = new NatsSession(options, "PEER_UNREACHABLE");
  }

  checkAddress(peer: ProcessId, address: string): void {
    checkSubject(`the address of ${peer}`, address);
  }

  async listen({ system, self }: TransportIdentity, incoming: Incoming): Promise<string> {
    const address = checkSubject(
      "the address",
      this.#given ?? natsAddress(system, self, this.#prefix),
    );
    this.#incoming = incoming;
    const use = <T>(work: (connection: NatsConnection) => Promise<T>): Promise<T> =>
      this.#session.use("open a transport", ({ connection }) => work(connection));
    const taken = new TidemarkError(
      "ADDRESS_IN_USE",
      `a process listens on ${address} already: stop it, or choose another address`,
    );
    try {
      if (await use((connection) => this.#isAnother(connection, address))) throw taken;
      let refused: Error | undefined;
      this.#connection = await use(async (connection) => connection);
      this.#subscription = this.#connection.subscribe(address, {
        callback: (error, message) => {
          if (error) refused = error;
          else this.#safely(() => this.#accept(message, incoming));
        },
      });
      if (await use((connection) => this.#isAnother(connection, address))) throw taken;
      if (refused)
        throw new TidemarkError("PEER_UNREACHABLE", notAllowed(address, refused), {
          cause: refused,
        });
      this.#rank = 0;
      this.#isConnected = true;
      void this.#watch(this.#connection, address);
    } catch (thrown) {
      await this.#session.close();
      throw thrown;
    }
    this.#pinging = setInterval(() => {
      for (const stream of this.#streams) stream.tick();
    }, PING_MS);
    return address;
  }

  dial(peer: ProcessId, address: string, read: SharedReader, ready: () => void): Duplex {
    if (!this.#isConnected) {
      const none = new Duplex({ read() {}, write() {} });
      none.destroy(new Error(`${peer} cannot be dialled: there is no server of NATS`));
      return none;
    }
    const stream = this.#add(read);
    stream.once("ready", ready);
    stream.open(address);
    return stream;
  }

  async close(): Promise<void> {
    clearInterval(this.#pinging);
    this.#subscription?.unsubscribe();
    await Promise.all([...this.#streams].map((stream) => stream.over));
    // Without a server it would wait for one.
    const flushed = this.#isConnected && this.#connection?.flush().catch(() => undefined);
    await Promise.race([flushed, pause(CLOSE_MS, undefined, { ref: false })]);
    await this.#session.close();
  }

  #accept(message: Msg, incoming: Incoming): void {
    const { data, reply } = message;
    if (!isSubject(reply)) return;
    if (data[0] === PING) {
      message.respond(this.#asking());
      const other = rankIn(data, this.#token);
      if (other !== undefined && other < this.#rank) this.#giveWay?.();
    }
    if (data[0] !== OPEN) return;
    // It may have to give way yet: who dials tries again in a moment.
    if (this.#rank !== 0) {
      message.respond(Buffer.concat([numbered(RESET, 0), Buffer.from("it is about to begin")]));
      return;
    }
    incoming.stream("a client of NATS", (read) => {
      const stream = this.#add(read);
      stream.accept(reply);
      return stream;
    });
  }

  #add(read: SharedReader): NatsStream {
    const stream = new NatsStream(
      this.#connection as NatsConnection,
      this.#unguessable(),
      read,
      (work) => this.#safely(work),
    );
    this.#streams.add(stream);
    void stream.over.then(() => this.#streams.delete(stream));
    return stream;
  }

  #unguessable(): string {
    return `${this.#prefix}.streams.${randomBytes(18).toString("base64url")}`;
  }

  /** Asks who listens there, and says so. */
  #asking(): Uint8Array {
    return Buffer.concat([numbered(PING, this.#rank), this.#token]);
  }

  /** What an owner throws must not end the client's reading: it ends the process, or whatever its owner wants. */
  #safely(work: () => void): void {
    try {
      work();
    } catch (thrown) {
      process.nextTick(() => {
        throw thrown;
      });
    }
  }

  /**
   * Whether another one listens there that this one has to give way to.
   * @throws Error if NATS does not let it ask
   */
  async #isAnother(connection: NatsConnection, address: string): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const own = this.#unguessable();
    const timers = [setTimeout(() => resolve(false), ANSWER_MS)];
    const subscription = connection.subscribe(own, {
      callback: (error, { data, headers }) => {
        if (error) reject(error);
        else if (headers?.code === 503) resolve(false);
        else if (data[0] === PING) {
          const rank = rankIn(data, this.#token);
          if (rank === undefined) timers.push(setTimeout(() => resolve(false), OTHERS_MS));
          // Of two that have begun, each is told.
          else if (rank <= this.#rank) resolve(true);
        }
      },
    });
    this.#giveWay = () => resolve(true);
    try {
      connection.publish(address, this.#asking(), { reply: own });
      return await promise;
    } finally {
      for (const timer of timers) clearTimeout(timer);
      subscription.unsubscribe();
    }
  }

  /** What was on the way when the connection to a server is lost may be lost, and nothing tells how much. */
  async #watch(connection: NatsConnection, address: string): Promise<void> {
    for await (const status of connection.status()) {
      const { type } = status;
      if (type === "reconnect") {
        this.#isConnected = true;
        void this.#lookAround(connection, address);
      }
      if (type === "error")
        this.#incoming?.problem("PEER_UNREACHABLE", "NATS", `NATS says: ${textOf(status.error)}`);
      if (type !== "disconnect" && type !== "close") continue;
      this.#isConnected = false;
      for (const stream of this.#streams)
        stream.destroy(new Error("the connection to the server of NATS was lost"));
    }
  }

  /** While there was no server another process may have begun on the subject. */
  async #lookAround(connection: NatsConnection, address: string): Promise<void> {
    const isAnother = await this.#isAnother(connection, address).catch(() => false);
    if (!isAnother) return;
    const text = `a second process listens on ${address}: stop one of the two`;
    this.#incoming?.problem("DUPLICATE_ID", address, text);
  }
}

/** One stream, of either side. */
class NatsStream extends Duplex {
  /** Resolves when it is closed. */
  readonly over: Promise<void>;
  readonly #connection: NatsConnection;
  readonly #subject: string;
  readonly #subscription: Subscription;
  readonly #read: SharedReader;
  readonly #chunkBytes: number;
  /** Where the other side listens, once it has said so. */
  #to: string | undefined;
  #ended: boolean = false;
  #heardAtMs: number = performance.now();

  // What goes out: chunks that wait for room in the window, from `#next` on.
  #waiting: readonly Uint8Array[] = [];
  #next = 0;
  #at = 0;
  #written: (() => void) | undefined;
  #sent = 0;
  #sentBytes = 0;
  #takenThere = 0;

  // What comes in.
  #got = 0;
  #gotBytes = 0;
  #toldBytes = 0;

  constructor(
    connection: NatsConnection,
    subject: string,
    read: SharedReader,
    safely: (work: () => void) => void,
  ) {
    super({ allowHalfOpen: false, decodeStrings: true });
    this.#connection = connection;
    this.#subject = subject;
    this.#read = read;
    const most = connection.info?.max_payload ?? CHUNK_BYTES;
    this.#chunkBytes = Math.max(1, Math.min(CHUNK_BYTES, most - HEAD_BYTES));
    this.over = new Promise((resolve) => this.once("close", () => resolve()));
    this.#subscription = connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) this.destroy(new Error(notAllowed(subject, error)));
        else safely(() => this.#take(message));
      },
    });
  }

  /** Asks whoever listens there. */
  open(address: string): void {
    this.#publish(address, numbered(OPEN, 0));
  }

  /** Somebody has asked, and wants to be answered there. */
  accept(reply: string): void {
    this.#to = reply;
    this.#tell(numbered(OPENED, 0));
  }

  /** Once a second. */
  tick(): void {
    if (performance.now() - this.#heardAtMs > SILENT_MS)
      this.destroy(new Error(`nothing was heard for ${SILENT_MS / 1_000} s`));
    else if (!this.#ended) this.#tell(numbered(PING, this.#sent));
    // Again, for nothing else would tell that it was lost.
    this.#tellTaken();
  }

  override _read(): void {
    // What comes is given to the reader as it comes.
  }

  override _write(chunk: Uint8Array, _: unknown, written: () => void): void {
    this.#waiting = [chunk];
    this.#written = written;
    this.#flush();
  }

  override _writev(chunks: readonly { readonly chunk: Uint8Array }[], written: () => void): void {
    this.#waiting = chunks.map(({ chunk }) => chunk);
    this.#written = written;
    this.#flush();
  }

  override _final(done: () => void): void {
    this.#ended = true;
    this.#tell(numbered(END, this.#sent));
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#subscription.unsubscribe();
    if (!this.#ended) {
      const reason = Buffer.from(error?.message ?? "").subarray(0, REASON_BYTES);
      this.#tell(Buffer.concat([numbered(RESET, 0), reason]));
    }
    done(error);
  }

  /** Sends as much of what waits as the window has room for. */
  #flush(): void {
    while (this.#to !== undefined && this.#next < this.#waiting.length) {
      const room = Math.min(this.#chunkBytes, WINDOW_BYTES - (this.#sentBytes - this.#takenThere));
      if (room <= 0) return;
      this.#sendChunk(room);
    }
    if (this.#next < this.#waiting.length) return;
    this.#next = 0;
    this.#waiting = [];
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  /** One message of up to so many bytes, of as many chunks as they are. */
  #sendChunk(room: number): void {
    let bytes = -this.#at;
    let end = this.#next;
    while (end < this.#waiting.length && bytes < room)
      bytes += (this.#waiting[end++] as Uint8Array).length;
    const size = Math.min(room, bytes);
    const message = Buffer.allocUnsafe(HEAD_BYTES + size);
    message[0] = DATA;
    message.writeUInt32LE(this.#sent, 1);
    let to = HEAD_BYTES;
    while (to < message.length) {
      const chunk = this.#waiting[this.#next] as Uint8Array;
      const part = chunk.subarray(this.#at, this.#at + message.length - to);
      message.set(part, to);
      to += part.length;
      this.#at += part.length;
      if (this.#at < chunk.length) continue;
      this.#next += 1;
      this.#at = 0;
    }
    this.#sent = (this.#sent + 1) >>> 0;
    this.#sentBytes += size;
    this.#tell(message);
  }

  #take({ data, reply, headers }: Msg): void {
    this.#heardAtMs = performance.now();
    // A server's word for it that nobody is there.
    if (headers?.code === 503) {
      this.destroy(new Error("nobody listens there"));
      return;
    }
    const kind = data[0];
    if (this.#to === undefined) {
      if (kind === OPENED && isSubject(reply)) {
        this.#to = reply;
        this.emit("ready");
        this.#flush();
      } else if (kind === RESET) this.destroy(new Error("it is about to begin, or to end"));
      return;
    }
    // Two that listen on one subject answer both.
    if (reply !== this.#to) return;
    if (kind === DATA && data.length >= HEAD_BYTES) this.#takeData(data);
    else if (kind === TAKEN && data.length === TAKEN_BYTES)
      this.#takeTaken(viewOf(data).getFloat64(1, true));
    else if (kind === PING && data.length === HEAD_BYTES) this.#isNext(data);
    else if (kind === END && data.length === HEAD_BYTES) {
      if (!this.#isNext(data)) return;
      this.push(null);
      this.resume();
    } else if (kind === RESET && data.length >= HEAD_BYTES) {
      const reason = Buffer.from(data.subarray(HEAD_BYTES))
        .toString("utf8")
        .replaceAll(/\p{C}/gu, "?");
      this.destroy(new Error(reason === "" ? "the other side ended the connection" : reason));
    } else if (kind !== OPENED) this.destroy(new Error("what came is no message of a stream"));
  }

  #takeData(data: Uint8Array): void {
    if (!this.#isNext(data)) return;
    this.#got = (this.#got + 1) >>> 0;
    const bytes = data.subarray(HEAD_BYTES);
    this.#gotBytes += bytes.length;
    this.#read(bytes, bytes.length);
    if (this.destroyed || this.#gotBytes - this.#toldBytes < WINDOW_BYTES / 4) return;
    this.#tellTaken();
  }

  #tellTaken(): void {
    this.#toldBytes = this.#gotBytes;
    const taken = Buffer.alloc(TAKEN_BYTES);
    taken[0] = TAKEN;
    taken.writeDoubleLE(this.#gotBytes, 1);
    this.#tell(taken);
  }

  #takeTaken(bytes: number): void {
    if (!(bytes >= this.#takenThere && bytes <= this.#sentBytes)) {
      this.destroy(new Error("it has taken what was never sent"));
      return;
    }
    this.#takenThere = bytes;
    this.#flush();
  }

  /** True if nothing before this is missing. */
  #isNext(data: Uint8Array): boolean {
    if (viewOf(data).getUint32(1, true) === this.#got) return true;
    this.destroy(new Error("NATS has lost something on the way"));
    return false;
  }

  #tell(message: Uint8Array): void {
    if (this.#to !== undefined) this.#publish(this.#to, message);
  }

  #publish(to: string, message: Uint8Array): void {
    if (this.#connection.isClosed()) return;
    this.#connection.publish(to, message, { reply: this.#subject });
  }
}

/** The rank of a listener that asks or answers, unless it is the one with that token, or says it in another way. */
function rankIn(data: Uint8Array, own: Buffer): number | undefined {
  const isOwn = data.length === HEAD_BYTES + TOKEN_BYTES && own.equals(data.subarray(HEAD_BYTES));
  return data.length < HEAD_BYTES || isOwn ? undefined : viewOf(data).getUint32(1, true);
}

function numbered(kind: number, number: number): Uint8Array {
  return Uint8Array.of(kind, number, number >>> 8, number >>> 16, number >>> 24);
}

const viewOf = (data: Uint8Array): DataView =>
  new DataView(data.buffer, data.byteOffset, data.byteLength);

function isSubject(text: unknown): text is string {
  return typeof text === "string" && text.length <= SUBJECT_CHARACTERS && SUBJECT.test(text);
}

/** @throws TidemarkError `BAD_OPTION` */
function checkSubject(name: string, text: unknown): string {
  if (isSubject(text)) return text;
  const shown = typeof text === "string" ? JSON.stringify(text.slice(0, 80)) : typeof text;
  throw new TidemarkError(
    "BAD_OPTION",
    `${name} is ${shown}: a subject of NATS has letters, digits, _, - and ~ here, in parts with dots between, as in tidemark.c2hvcA.a`,
  );
}

function notAllowed(subject: string, error: Error): string {
  return `NATS does not let this process listen on ${subject}: ${textOf(error)}`;
}
