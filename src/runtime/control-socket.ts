/**
 * How other OS processes of the same user ask a running system: a Unix socket in its directory.
 *
 *     → {"tidemark": 1, "id": 7, "method": "status", "parameter": null}
 *     ← {"id": 7, "result": …}   or   {"id": 7, "error": {"code": "…", "message": "…"}}
 *
 * One JSON value a line, UTF-8. Requests of one connection are answered as they are done, not in order; `id` is
 * the caller's, and null in the answer to what was not a request. `tidemark` is the version of all this. Every system
 * knows the method `hello`, which answers `{"pid": …}`.
 *
 * Assumptions. Who may open the socket may do everything: it is readable and writable by its owner only. There is no
 * other protection against a caller than that nothing it sends is fatal, and that it takes a bounded amount of memory.
 *
 * Theory of operation. The socket is also the lock of its directory, since two servers cannot bind one name. A
 * socket that a killed system left refuses connections. It is moved aside before it is removed, and looked at again:
 * if two systems find it at the same time, the slower one must not remove the socket of the faster one.
 */

import { randomBytes } from "node:crypto";
import { link, lstat, mkdir, rename, stat, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname, join, relative, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  ERROR_CODES,
  type ErrorCode,
  isTidemarkError,
  TidemarkError,
  textOf,
} from "../core/error.ts";

/** What can be asked: parameter and result of each method. Both must have a JSON form. */
export type ControlMethods = Readonly<
  Record<string, readonly [parameter: unknown, result: unknown]>
>;

/** Does what is asked. A parameter comes from outside: it is the handler's to check. */
export type ControlHandlers<M extends ControlMethods> = {
  readonly [K in keyof M]: (parameter: unknown) => Promise<M[K][1]>;
};

const VERSION = 1;
const NAME = "control.sock";
/** Unix has room for so many bytes in the path of a socket, and some systems for four less. */
const PATH_BYTES_MAX = process.platform === "linux" ? 107 : 103;
const REQUEST_BYTES_MAX = 65_536;
const ANSWER_BYTES_MAX = 67_108_864;
/** Answers that a caller does not take. */
const UNREAD_BYTES_MAX = 67_108_864;
/** How long somebody who is sent off may take to read why. */
const SENT_OFF_MS = 1000;
const CONNECTIONS_MAX = 64;
/** Requests of one connection that are not answered yet. */
const PENDING_MAX = 64;
const HELLO_TIMEOUT_MS = 2_000;
const CLOSE_TIMEOUT_MS = 500;
const REFUSED_TWICE_MS = 50;

/** Answers on the control socket of a directory, which belongs to this system as long as it does. */
export class ControlServer {
  readonly #server: Server;
  readonly #handlers: Readonly<Record<string, (parameter: unknown) => Promise<unknown>>>;
  readonly #sockets = new Set<Socket>();

  private constructor(
    handlers: Readonly<Record<string, (parameter: unknown) => Promise<unknown>>>,
  ) {
    this.#handlers = { hello: async () => ({ pid: process.pid }), ...handlers };
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /**
   * Takes the directory, which is made if need be, and listens.
   * @throws TidemarkError `ALREADY_RUNNING`, `BAD_OPTION` when the path is too long, `STORE_FAILED`
   */
  static async listen<M extends ControlMethods>(
    directory: string,
    handlers: ControlHandlers<M>,
  ): Promise<ControlServer> {
    const path = socketPath(directory);
    const control = new ControlServer(handlers);
    try {
      await makeDirectory(resolve(directory));
      while (!(await control.#bind(path))) await clearStale(directory, path);
    } catch (error) {
      if (isTidemarkError(error)) throw error;
      throw new TidemarkError("STORE_FAILED", `cannot listen on ${path}: ${textOf(error)}`, {
        cause: error,
      });
    }
    // Once it listens, an error is one of accepting; that caller sees it.
    control.#server.on("error", () => {});
    return control;
  }

  /** False if there is a socket already. */
  #bind(path: string): Promise<boolean> {
    return new Promise((settle, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => {
        if (error.code === "EADDRINUSE") settle(false);
        else reject(error);
      };
      this.#server.once("error", failed);
      this.#server.once("listening", () => {
        this.#server.off("error", failed);
        settle(true);
      });
      // The socket is made in this call, so at no time can anybody else open it.
      const mask = process.umask(0o177);
      try {
        this.#server.listen(path);
      } finally {
        process.umask(mask);
      }
    });
  }

  /** Ends every connection, after what was answered has left or half a second has passed, and removes the socket. */
  async close(): Promise<void> {
    const closed = new Promise<void>((settle) => this.#server.close(() => settle()));
    for (const socket of this.#sockets) socket.end();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, CLOSE_TIMEOUT_MS);
    await closed;
    clearTimeout(timer);
  }

  #accept(socket: Socket): void {
    // A caller that goes away is no problem of ours.
    socket.on("error", () => {});
    if (this.#sockets.size >= CONNECTIONS_MAX) {
      sendOff(socket, "BUSY", `there are ${CONNECTIONS_MAX} connections already`);
      return;
    }
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    let pending = 0;
    const answer = (line: string): void => {
      if (!socket.writable) return;
      socket.write(line);
      if (socket.writableLength > UNREAD_BYTES_MAX) socket.destroy();
    };
    const take = (line: string): void => {
      // It has been sent off.
      if (!socket.writable) return;
      if (pending >= PENDING_MAX) {
        sendOff(socket, "BUSY", `${PENDING_MAX} requests wait already`);
        return;
      }
      pending += 1;
      void this.#answer(line).then((text) => {
        pending -= 1;
        answer(text);
      });
    };
    onLines(socket, REQUEST_BYTES_MAX, take, () =>
      sendOff(socket, "BAD_MESSAGE", `a request has more than ${REQUEST_BYTES_MAX} bytes`),
    );
  }

  async #answer(line: string): Promise<string> {
    const request = parseObject(line);
    const id = request?.["id"];
    if (!request || typeof id !== "number")
      return refusal(
        null,
        "BAD_MESSAGE",
        "that is not a request: a JSON object with a number as id",
      );
    const { tidemark: version, method, parameter } = request;
    if (version !== VERSION)
      return refusal(
        id,
        "VERSION_MISMATCH",
        `the system speaks version ${VERSION} of the control protocol, and not ${JSON.stringify(version)}`,
      );
    const handler =
      typeof method === "string" && Object.hasOwn(this.#handlers, method)
        ? this.#handlers[method]
        : undefined;
    if (!handler)
      return refusal(
        id,
        "BAD_OPTION",
        `the system has no method ${JSON.stringify(method)}, only ${Object.keys(this.#handlers).join(", ")}`,
      );
    try {
      return `${JSON.stringify({ id, result: (await handler(parameter)) ?? null })}\n`;
    } catch (error) {
      return refusal(id, isTidemarkError(error) ? error.code : "APPLICATION_THREW", textOf(error));
    }
  }
}

function refusal(id: number | null, code: string, message: string): string {
  return `${JSON.stringify({ id, error: { code, message } })}\n`;
}

/** The last that this caller hears. */
function sendOff(socket: Socket, code: string, message: string): void {
  // What it still sends is read and thrown away: ended at once, it might fail to write before it has read why.
  socket.removeAllListeners("data").resume();
  socket.end(refusal(null, code, message));
  setTimeout(() => socket.destroy(), SENT_OFF_MS).unref();
}

/** Asks a running system. */
export class ControlClient<M extends ControlMethods> {
  readonly #socket: Socket;
  readonly #pending = new Map<
    number,
    { resolve(result: unknown): void; reject(error: TidemarkError): void }
  >();
  #requests = 0;
  #end = new TidemarkError("NOT_RUNNING", "the system has ended", { definite: false });

  private constructor(socket: Socket) {
    this.#socket = socket;
    onLines(
      socket,
      ANSWER_BYTES_MAX,
      (line) => this.#hear(line),
      () => this.#fail("BAD_MESSAGE", `an answer has more than ${ANSWER_BYTES_MAX} bytes`),
    );
    socket.on("close", () => {
      for (const { reject } of this.#pending.values()) reject(this.#end);
      this.#pending.clear();
    });
  }

  /**
   * Connects to the system that runs in a directory.
   * @throws TidemarkError `NOT_RUNNING`, `BAD_OPTION` when the path is too long, `STORE_FAILED`
   */
  static async connect<M extends ControlMethods>(directory: string): Promise<ControlClient<M>> {
    const path = socketPath(directory);
    const socket = await open(path);
    if (socket) return new ControlClient<M>(socket);
    throw new TidemarkError(
      "NOT_RUNNING",
      `no system runs in ${directory}: tidemark up starts one`,
    );
  }

  /**
   * @param options.timeoutMs how long to wait for the answer. @default for ever
   * @throws TidemarkError what the method throws there; `NOT_RUNNING` when the system ended before it
   *   answered, `PEER_UNREACHABLE` when it did not answer in time
   */
  call<K extends keyof M & string>(
    method: K,
    parameter: M[K][0],
    options: { readonly timeoutMs?: number } = {},
  ): Promise<M[K][1]> {
    return new Promise((resolve, reject) => {
      if (!this.#socket.writable) throw this.#end;
      this.#requests += 1;
      const id = this.#requests;
      const { timeoutMs } = options;
      const timer =
        timeoutMs === undefined
          ? undefined
          : setTimeout(() => {
              this.#pending.delete(id);
              const message = `the system does not answer, although it has had ${timeoutMs} ms`;
              reject(new TidemarkError("PEER_UNREACHABLE", message, { definite: false }));
            }, timeoutMs);
      this.#pending.set(id, {
        resolve: (result) => {
          clearTimeout(timer);
          resolve(result);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#socket.write(`${JSON.stringify({ tidemark: VERSION, id, method, parameter })}\n`);
    });
  }

  /** Whoever waits for an answer is told that the system has ended. */
  close(): void {
    this.#socket.destroy();
  }

  #hear(line: string): void {
    // It has failed at an earlier line.
    if (this.#socket.destroyed) return;
    const { id, result, error } = parseObject(line) ?? {};
    if (error === undefined) {
      this.#take(id)?.resolve(result);
      return;
    }
    const { code, message } = (error ?? {}) as Readonly<Record<string, unknown>>;
    // A later version may have more codes.
    const known: ErrorCode = isCode(code) ? code : "VERSION_MISMATCH";
    if (id === null) this.#fail(known, String(message));
    else this.#take(id)?.reject(new TidemarkError(known, String(message)));
  }

  /** The connection is of no use any more. */
  #fail(code: ErrorCode, message: string): void {
    this.#end = new TidemarkError(code, message, { definite: false });
    this.#socket.destroy();
  }

  #take(
    id: unknown,
  ): { resolve(result: unknown): void; reject(error: TidemarkError): void } | undefined {
    const pending = this.#pending.get(Number(id));
    this.#pending.delete(Number(id));
    return pending;
  }
}

/** The shorter of the two ways to write it. */
function socketPath(directory: string): string {
  const absolute = resolve(directory, NAME);
  const fromHere = relative(process.cwd(), absolute);
  const path = fromHere.length < absolute.length ? fromHere : absolute;
  const bytes = Buffer.byteLength(path);
  if (bytes <= PATH_BYTES_MAX) return path;
  throw new TidemarkError(
    "BAD_OPTION",
    `the path ${path} has ${bytes} bytes, and a socket's path at most ${PATH_BYTES_MAX}: choose a shorter one, or start from nearer to it`,
  );
}

/** Undefined if nobody listens. */
function open(path: string): Promise<Socket | undefined> {
  return new Promise((settle, reject) => {
    const socket = connect(path);
    const failed = (error: NodeJS.ErrnoException): void => {
      if (error.code === "ENOENT" || error.code === "ECONNREFUSED" || error.code === "ENOTDIR")
        settle(undefined);
      else
        reject(
          new TidemarkError("STORE_FAILED", `cannot connect to ${path}: ${error.message}`, {
            cause: error,
          }),
        );
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.off("error", failed);
      // "close" follows, and says all that there is to say.
      socket.on("error", () => {});
      settle(socket);
    });
  });
}

/** Removes the socket of a system that does not run any more. */
async function clearStale(directory: string, path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isSocket())
    throw new TidemarkError("STORE_FAILED", `${path} is in the way: it is not a socket`);
  // Once may be just before its owner listens.
  const socket = (await open(path)) ?? (await pause(REFUSED_TWICE_MS).then(() => open(path)));
  if (socket) {
    socket.destroy();
    throw await alreadyRunning(directory);
  }
  const aside = join(directory, `${NAME}.${randomBytes(4).toString("hex")}`);
  await rename(path, aside).catch(() => {});
  const moved = await lstat(aside).catch(() => undefined);
  if (moved && moved.ino !== found.ino) await link(aside, path).catch(() => {});
  await unlink(aside).catch(() => {});
}

async function alreadyRunning(directory: string): Promise<TidemarkError> {
  let who = "which does not say who it is";
  try {
    const client = await ControlClient.connect<{ hello: [null, { pid: number }] }>(directory);
    try {
      const { pid } = await client.call("hello", null, { timeoutMs: HELLO_TIMEOUT_MS });
      who = `process ${pid}`;
    } finally {
      client.close();
    }
  } catch {
    // It hangs, or it is about to end.
  }
  return new TidemarkError(
    "ALREADY_RUNNING",
    `a system runs in ${directory} already (${who}): end it first, or choose another directory`,
  );
}

/** Hands over each line that comes in, until one is too long. */
function onLines(
  socket: Socket,
  maxBytes: number,
  take: (line: string) => void,
  tooLong: () => void,
): void {
  let begun: Buffer[] = [];
  let bytes = 0;
  socket.on("data", (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; ) {
      const newline = chunk.indexOf(10, at);
      const end = newline < 0 ? chunk.length : newline;
      begun.push(chunk.subarray(at, end));
      bytes += end - at;
      at = end + 1;
      if (bytes > maxBytes) {
        tooLong();
        return;
      }
      if (newline < 0) return;
      const line = Buffer.concat(begun).toString();
      begun = [];
      bytes = 0;
      take(line);
    }
  });
}

/** The object that a line holds as JSON, if it does. */
function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function isCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(ERROR_CODES, code);
}

/** As `mkdir -p`; Node's own goes on for ever where a parent is there but takes nothing, as /proc. */
async function makeDirectory(directory: string): Promise<void> {
  const make = (): Promise<void> => mkdir(directory, { mode: 0o700 });
  try {
    await make();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const parent = dirname(directory);
    if (code === "EEXIST" && (await stat(directory)).isDirectory()) return;
    if (code !== "ENOENT" || parent === directory || (await lstat(parent).catch(() => undefined)))
      throw error;
    await makeDirectory(parent);
    await make();
  }
}
