/** A connection to a server that speaks Redis' protocol, and how such a server is named. */

import { connect, type Socket } from "node:net";
import { InvalidArgumentError } from "commander";
import { TidemarkError, textOf } from "../core/error.ts";
import { Reply } from "../kv/reply.ts";
import { ErrorReply, ReplyReader, type ServerReply } from "../kv/reply-reader.ts";
import { printable } from "./terminal.ts";

/** A server, as `redis://user:password@host:port/database` has it. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly user?: string;
  readonly password?: string;
  readonly db?: number;
}

const REDIS_PORT = 6379;
const CONNECT_MS = 10_000;

export const isRedisUrl = (text: string): boolean => /^rediss?:\/\//i.test(text);

export function parseRedisUrl(text: string): RedisAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "rediss:")
    throw new InvalidArgumentError("TLS is not spoken here: use a tunnel, and redis://.");
  const [, db] = /^\/(\d{0,9})$/.exec(url?.pathname || "/") ?? [];
  if (url?.protocol !== "redis:" || url.hostname === "" || db === undefined)
    throw new InvalidArgumentError("Use redis://host:port, as in redis://127.0.0.1:7379.");
  const user = decoded(url.username);
  const password = decoded(url.password);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? REDIS_PORT : Number(url.port),
    ...(user !== "" && { user }),
    ...(password !== "" && { password }),
    ...(db !== "" && { db: Number(db) }),
  };
}

function decoded(text: string): string {
  try {
    // The protocol has bytes, and texts here have one character for each.
    return Buffer.from(decodeURIComponent(text)).toString("latin1");
  } catch {
    throw new InvalidArgumentError("After a % there are two hexadecimal digits.");
  }
}

/** Requests that were sent together. */
interface Batch {
  readonly count: number;
  readonly replies: ServerReply[];
  readonly resolve: (replies: readonly ServerReply[]) => void;
  readonly reject: (error: TidemarkError) => void;
}

/** See the head of the file. Errors: `PEER_UNREACHABLE`, `HANDSHAKE_REFUSED`, `SERVER_REFUSED`, `BAD_MESSAGE`. */
export class RedisConnection {
  /** As messages call the server. */
  readonly name: string;
  readonly #socket: Socket;
  readonly #reader: ReplyReader = new ReplyReader();
  readonly #batches: Batch[] = [];
  /** Why nothing more will come. */
  #problem: TidemarkError | undefined;

  private constructor(name: string, socket: Socket) {
    this.name = name;
    this.#socket = socket;
    socket.on("data", (piece) => this.#take(piece));
    socket.on("error", (error) => this.#fail(`the connection to ${name} broke: ${error.message}`));
    socket.on("close", () => this.#fail(`${name} closed the connection`));
  }

  /** Connects, and says who it is. */
  static async open({ host, port, user, password }: RedisAddress): Promise<RedisConnection> {
    const name = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    const connection = new RedisConnection(name, await connected(name, host, port));
    try {
      if (password !== undefined)
        await connection.ask("AUTH", ...(user === undefined ? [] : [user]), password);
      await connection.ask("PING");
    } catch (error) {
      connection.close();
      throw new TidemarkError("HANDSHAKE_REFUSED", textOf(error), { cause: error });
    }
    return connection;
  }

  /** Sends one request. @throws TidemarkError also if the reply is an error */
  async ask(...words: readonly string[]): Promise<ServerReply> {
    const requests = new Reply();
    requests.bulks(words);
    const [reply = null] = await this.send(requests, 1);
    return this.checked(reply);
  }

  /** Sends requests, and gives their replies once all are there. Wait before you send much more. */
  send(requests: Reply, count: number): Promise<readonly ServerReply[]> {
    if (this.#problem) return Promise.reject(this.#problem);
    if (count === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      this.#batches.push({ count, replies: [], resolve, reject });
      this.#socket.write(requests.bytes.subarray(0, requests.length));
    });
  }

  /** @throws TidemarkError `SERVER_REFUSED` if it is an error */
  checked(reply: ServerReply, about: string = ""): ServerReply {
    if (!(reply instanceof ErrorReply)) return reply;
    throw new TidemarkError("SERVER_REFUSED", `${this.name} says${about}: ${reply.message}`);
  }

  close(): void {
    this.#problem ??= new TidemarkError("STOPPED", `the connection to ${this.name} is closed`);
    this.#socket.destroy();
  }

  #take(piece: Uint8Array): void {
    this.#reader.feed(piece);
    try {
      for (let reply = this.#reader.next(); reply !== undefined; reply = this.#reader.next()) {
        const batch = this.#batches[0];
        if (!batch) throw new TidemarkError("BAD_MESSAGE", "it says what nobody asked for");
        batch.replies.push(reply);
        if (batch.replies.length < batch.count) continue;
        this.#batches.shift();
        batch.resolve(batch.replies);
      }
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
    this.#problem ??= problem;
    for (const { reject } of this.#batches.splice(0)) reject(this.#problem);
    this.#socket.destroy();
  }
}

function connected(name: string, host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, timeout: CONNECT_MS });
    const fail = (reason: string): void => {
      socket.destroy();
      reject(new TidemarkError("PEER_UNREACHABLE", `${name} does not answer: ${reason}`));
    };
    const failed = (error: Error): void => fail(printable(error.message || textOf(error)));
    socket.once("error", failed);
    socket.once("timeout", () => fail(`not within ${CONNECT_MS / 1000} s`));
    socket.once("connect", () => {
      socket.off("error", failed).removeAllListeners("timeout").setTimeout(0);
      resolve(socket);
    });
  });
}
