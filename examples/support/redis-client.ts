// The little of the Redis protocol that the examples need. Any client of Redis does as well.
import { connect, type Socket } from "node:net";

/** What a command gives. An error is a reply like others: in a transaction it stands among them. */
export type Reply = string | number | null | Error | readonly Reply[];

/** The connection broke before the answer came: the command may have been done, or may be done yet, or never. */
export class Lost extends Error {}

type Waiting = { resolve(reply: Reply): void; reject(error: Error): void };

/** A reply that is a list of words. */
export const texts = (reply: Reply | undefined): readonly string[] =>
  Array.isArray(reply) ? reply.map(String) : [];

/** A reply that is a list of pairs, as of members and scores. */
export function pairs(reply: Reply | undefined): readonly (readonly [string, string])[] {
  const words = texts(reply);
  return words.flatMap((word, i) => (i % 2 ? [] : [[word, String(words[i + 1])] as const]));
}

/** One connection. Commands are answered in the order in which they are asked. */
export class RedisClient {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #unread: Buffer = Buffer.alloc(0);
  isOpen: boolean = true;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => this.#take(bytes));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isOpen = false;
      for (const { reject } of this.#waiting.splice(0)) reject(new Lost("the connection is lost"));
    });
  }

  /** @throws Lost nobody serves there */
  static connect(port: number): Promise<RedisClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      const refuse = () => reject(new Lost(`nobody serves port ${port}`));
      socket.once("error", refuse);
      socket.once("connect", () => {
        socket.off("error", refuse);
        resolve(new RedisClient(socket));
      });
    });
  }

  /**
   * Asks, and waits for the answer.
   * @throws Lost the connection broke; Error the store refuses
   */
  async ask(...words: (string | number)[]): Promise<Reply> {
    const [reply = null] = await this.askAll([words]);
    if (reply instanceof Error) throw reply;
    return reply;
  }

  /** Asks several things at once, in one write. Errors are among the replies. @throws Lost */
  askAll(commands: readonly (readonly (string | number)[])[]): Promise<Reply[]> {
    const replies = commands.map(
      () => new Promise<Reply>((resolve, reject) => this.#waiting.push({ resolve, reject })),
    );
    if (this.isOpen) this.#socket.write(commands.map(encode).join(""));
    else for (const { reject } of this.#waiting.splice(0)) reject(new Lost("it is closed"));
    return Promise.all(replies);
  }

  close(): void {
    this.isOpen = false;
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#unread = this.#unread.length === 0 ? bytes : Buffer.concat([this.#unread, bytes]);
    let at = 0;
    for (;;) {
      const read = parse(this.#unread, at);
      if (!read) break;
      at = read.end;
      this.#waiting.shift()?.resolve(read.reply);
    }
    this.#unread = this.#unread.subarray(at);
  }
}

function encode(words: readonly (string | number)[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join("")}`;
}

/** The reply that begins there; undefined if it has not all come. */
function parse(bytes: Buffer, from: number): { reply: Reply; end: number } | undefined {
  const lineEnd = bytes.indexOf("\r\n", from);
  if (lineEnd < 0) return undefined;
  const line = bytes.toString("utf8", from + 1, lineEnd);
  let end = lineEnd + 2;
  switch (String.fromCharCode(bytes[from] ?? 0)) {
    case "+":
      return { reply: line, end };
    case "-":
      return { reply: new Error(line), end };
    case ":":
      return { reply: Number(line), end };
    case "$": {
      if (line === "-1") return { reply: null, end };
      const length = Number(line);
      if (bytes.length < end + length + 2) return undefined;
      return { reply: bytes.toString("utf8", end, end + length), end: end + length + 2 };
    }
    case "*": {
      if (line === "-1") return { reply: null, end };
      const replies: Reply[] = [];
      for (let i = 0; i < Number(line); i += 1) {
        const one = parse(bytes, end);
        if (!one) return undefined;
        replies.push(one.reply);
        end = one.end;
      }
      return { reply: replies, end };
    }
    default:
      throw new Error(`no reply begins with ${line}`);
  }
}
