/** A connection to a server that speaks Redis' protocol. */

import { connect, isIP, type Socket } from "node:net";
import { connect as connectSecured, type TLSSocket } from "node:tls";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { byteSize } from "../core/quantity.ts";
import { Reply } from "../kv/reply.ts";
import {
  plainReplies,
  type ReplyForm,
  type ReplyLimits,
  ReplyReader,
  type ServerReply,
} from "../kv/reply-reader.ts";

/** A server, and who asks it. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly user?: string;
  readonly password?: string;
  /** TLS is to be spoken. */
  readonly tls?: AddressTls;
}

/** Whom to trust, and what to show. */
export interface AddressTls {
  /** Certificates of authorities, in PEM. @default those of Node */
  readonly ca?: string;
  /** A certificate and its key, for a server that asks for them. */
  readonly cert?: string;
  readonly key?: string;
  /** The SHA-256 of the one certificate that is taken, whoever signed it and whatever it is for. @default any that is signed */
  readonly fingerprint?: string;
}

/** What is to be done with replies. */
export interface ReplyOptions<T> {
  readonly form: ReplyForm<T>;
  /** For one reply, and for the replies to what is sent together. */
  readonly limits?: ReplyLimits;
  /** Hears each reply before it is taken for an answer. True: it is none. */
  readonly hear?: (reply: T) => boolean;
  /** Nothing more will come, as somebody else has ended it. */
  readonly ended?: (problem: TidemarkError) => void;
  /** What it is asked first: it is open once that is answered. @default PING */
  readonly first?: readonly string[];
  /** How long opening may take, in milliseconds. @default 10,000 */
  readonly openMs?: number;
}

const OPEN_MS = 10_000;

/** Requests that were sent together. */
interface Batch<T> {
  readonly count: number;
  readonly replies: T[];
  /** What has come while it was waited for. */
  bytes: number;
  readonly resolve: (replies: readonly T[]) => void;
  readonly reject: (error: TidemarkError) => void;
}

/** See the head of the file. Errors: `PEER_UNREACHABLE`, `HANDSHAKE_REFUSED`, `SERVER_REFUSED`, `BAD_MESSAGE`. */
export class RedisConnection<T = ServerReply> {
  /** As messages call the server. */
  readonly name: string;
  /** Its own end, as the server shows it. */
  readonly localAddress: string;
  readonly #socket: Socket;
  readonly #options: ReplyOptions<T>;
  readonly #reader: ReplyReader<T>;
  readonly #batches: Batch<T>[] = [];
  /** Why nothing more will come. */
  #problem: TidemarkError | undefined;

  private constructor(name: string, socket: Socket, options: ReplyOptions<T>) {
    this.name = name;
    const { localAddress = "", localPort } = socket;
    this.localAddress = `${localAddress}:${localPort}`;
    this.#options = options;
    this.#reader = new ReplyReader(options.form, options.limits);
    this.#socket = socket;
    socket.on("data", (piece) => this.#take(piece));
    socket.on("error", (error) => this.#fail(`the connection to ${name} broke: ${error.message}`));
    socket.on("close", () => this.#fail(`${name} closed the connection`));
  }

  /** Connects, and says who it is. */
  static open(address: RedisAddress): Promise<RedisConnection> {
    return RedisConnection.openAs(address, { form: plainReplies });
  }

  /** The same, with replies of another form. */
  static async openAs<T>(
    { host, port, user, password, tls }: RedisAddress,
    options: ReplyOptions<T>,
  ): Promise<RedisConnection<T>> {
    const name = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    const { first = ["PING"], openMs = OPEN_MS } = options;
    const socket = await connected(name, host, port, openMs, tls);
    const connection = new RedisConnection(name, socket, options);
    // A process that is halted takes connections, and says nothing.
    const late = setTimeout(() => connection.#fail(lateness(name, openMs)), openMs);
    try {
      if (password !== undefined)
        await connection.ask("AUTH", ...(user === undefined ? [] : [user]), password);
      await connection.ask(...first);
    } catch (error) {
      connection.close();
      if (isTidemarkError(error, "PEER_UNREACHABLE")) throw error;
      throw new TidemarkError("HANDSHAKE_REFUSED", textOf(error), { cause: error });
    } finally {
      clearTimeout(late);
    }
    return connection;
  }

  /** Sends requests whose replies are heard by whoever opened it. */
  say(requests: Reply): void {
    if (!this.#problem) this.#socket.write(requests.bytes.slice(0, requests.length));
  }

  /** Sends one request. @throws TidemarkError also if the reply is an error */
  async ask(...words: readonly string[]): Promise<T> {
    const requests = new Reply();
    requests.bulks(words);
    const [reply] = await this.send(requests, 1);
    return this.checked(reply as T);
  }

  /** Sends requests, and gives their replies once all are there. Wait before you send much more. */
  send(requests: Reply, count: number): Promise<readonly T[]> {
    if (this.#problem) return Promise.reject(this.#problem);
    if (count === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      this.#batches.push({ count, replies: [], bytes: 0, resolve, reject });
      this.#socket.write(requests.bytes.subarray(0, requests.length));
    });
  }

  /** @throws TidemarkError `SERVER_REFUSED` if it is an error */
  checked(reply: T, about: string = ""): T {
    const problem = this.#options.form.problemOf(reply);
    if (problem === undefined) return reply;
    throw new TidemarkError("SERVER_REFUSED", `${this.name} says${about}: ${problem}`);
  }

  close(): void {
    this.#problem ??= new TidemarkError("STOPPED", `the connection to ${this.name} is closed`);
    this.#socket.destroy();
  }

  #take(piece: Uint8Array): void {
    this.#reader.feed(piece);
    const waiting = this.#batches[0];
    if (waiting) waiting.bytes += piece.length;
    try {
      for (let reply = this.#reader.next(); reply !== undefined; reply = this.#reader.next()) {
        if (this.#options.hear?.(reply)) continue;
        const batch = this.#batches[0];
        if (!batch) throw new TidemarkError("BAD_MESSAGE", "it says what nobody asked for");
        batch.replies.push(reply);
        if (batch.replies.length < batch.count) continue;
        this.#batches.shift();
        batch.resolve(batch.replies);
      }
      const most = this.#options.limits?.bytes ?? Number.POSITIVE_INFINITY;
      if ((this.#batches[0]?.bytes ?? 0) > most)
        this.#end(
          new TidemarkError(
            "BAD_MESSAGE",
            `${this.name}: its answers have more than ${byteSize(most)}: ask for less at a time`,
          ),
        );
    } catch (error) {
      const what = `${this.name} does not speak as a server of Redis does: ${textOf(error)}`;
      this.#end(new TidemarkError("BAD_MESSAGE", what, { cause: error }));
    }
  }

  #fail(what: string): void {
    this.#end(
      new TidemarkError("PEER_UNREACHABLE", what, { definite: this.#batches.length === 0 }),
    );
  }

  #end(problem: TidemarkError): void {
    const isNew = this.#problem === undefined;
    this.#problem ??= problem;
    for (const { reject } of this.#batches.splice(0)) reject(this.#problem);
    this.#socket.destroy();
    if (isNew) this.#options.ended?.(this.#problem);
  }
}

const lateness = (name: string, openMs: number): string =>
  `${name} does not answer: not within ${openMs / 1000} s`;

function connected(
  name: string,
  host: string,
  port: number,
  openMs: number,
  tls: AddressTls | undefined,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = tls ? secured(host, port, tls) : connect({ host, port, noDelay: true });
    const late = setTimeout(() => fail(lateness(name, openMs)), openMs);
    const fail = (what: string): void => {
      clearTimeout(late);
      socket.destroy();
      reject(new TidemarkError("PEER_UNREACHABLE", what));
    };
    const failed = (error: Error): void =>
      fail(`${name} does not answer: ${error.message || textOf(error)}`);
    const ended = (): void => fail(`${name} closed the connection before TLS was agreed on`);
    socket.once("error", failed);
    if (tls) socket.once("close", ended);
    socket.once(tls ? "secureConnect" : "connect", () => {
      if (tls?.fingerprint !== undefined && fingerprintOf(socket) !== tls.fingerprint) {
        fail(`${name} shows another certificate than the one of its directory`);
        return;
      }
      clearTimeout(late);
      socket.off("error", failed).off("close", ended);
      resolve(socket);
    });
  });
}

function secured(host: string, port: number, { fingerprint, ...files }: AddressTls): TLSSocket {
  const socket = connectSecured({
    ...{ host, port, ...files, minVersion: "TLSv1.2" },
    // Of an address there is no name to ask for.
    ...(isIP(host) === 0 && { servername: host }),
    // It is compared as a whole.
    ...(fingerprint !== undefined && { rejectUnauthorized: false }),
  });
  return socket.setNoDelay(true);
}

const fingerprintOf = (socket: Socket): string | undefined =>
  (socket as TLSSocket).getPeerX509Certificate()?.fingerprint256;
