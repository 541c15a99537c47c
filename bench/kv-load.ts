/** A process that puts load on a server of the Redis protocol and measures it: forked, and asked by messages. */

import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";

/** What is asked of it: one thing at a time, but for `stop`, which ends a load. */
export type LoadCall =
  | {
      readonly call: "connect";
      readonly port: number;
      readonly clients: number;
      readonly keys: number;
    }
  /** Gives all keys a value that they have not had. */
  | { readonly call: "fill"; readonly round: number }
  /** Requests a second, whatever the server does; 0: each client asks as soon as it was answered. */
  | { readonly call: "load"; readonly perSecond: number }
  | { readonly call: "stop" };

/** What a load came to. */
export interface LoadResult {
  readonly seconds: number;
  /** Milliseconds of each request, ascending. */
  readonly latencies: readonly number[];
}

const VALUE_BYTES = 100;
const SET_REPLY = "+OK\r\n".length;
const GET_REPLY = `$${VALUE_BYTES}\r\n`.length + VALUE_BYTES + 2;
const FILLED_AT_ONCE = 500;
const NOISE = randomBytes(64 * 1024).toString("base64");

const keyOf = (number: number): string => `key:${String(number).padStart(12, "0")}`;

function setOf(key: string, value: string): string {
  return `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n`;
}

/** One connection. Replies are counted by their bytes: what was asked says how many they have. */
class Client {
  readonly #socket: Socket;
  /** When each was asked, and how many bytes are to come. */
  readonly #asked: { readonly atMs: number; readonly bytes: number }[] = [];
  #bytes = 0;
  answered: (atMs: number) => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket.setNoDelay(true);
    socket.on("data", (data) => this.#take(data));
    socket.on("error", (error) => fail(error.message));
  }

  get waiting(): number {
    return this.#asked.length;
  }

  ask(request: string, bytes: number): void {
    this.#asked.push({ atMs: performance.now(), bytes });
    this.#socket.write(request, "latin1");
  }

  #take(data: Buffer): void {
    if (this.#bytes === 0 && data[0] === 0x2d) fail(data.toString("latin1"));
    this.#bytes += data.length;
    let done = 0;
    for (let next = this.#asked[0]; next && this.#bytes >= next.bytes; next = this.#asked[done]) {
      this.#bytes -= next.bytes;
      done += 1;
      this.answered(next.atMs);
    }
    this.#asked.splice(0, done);
  }
}

let clients: Client[] = [];
let keys = 0;
let written = 0;
/** Ends the load that is under way. */
let stop: () => void = () => {};

function fail(reason: string): never {
  process.send?.({ failed: reason });
  process.exit(1);
}

async function open(port: number, count: number): Promise<void> {
  clients = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<Client>((resolve, reject) => {
          const socket = connect(port, "127.0.0.1", () => resolve(new Client(socket)));
          socket.once("error", reject);
        }),
    ),
  );
}

/** No two are the same, and none can be compressed by much. */
function valueFor(number: number): string {
  const from = Math.abs(number * 7_919) % (NOISE.length - VALUE_BYTES);
  return `${number}:${NOISE.slice(from, from + VALUE_BYTES)}`.slice(0, VALUE_BYTES);
}

async function fill(round: number): Promise<void> {
  let next = 0;
  await Promise.all(
    clients.map(
      (client) =>
        new Promise<void>((resolve) => {
          const more = (): void => {
            if (client.waiting > 1) return;
            if (next >= keys) {
              if (client.waiting <= 1) resolve();
              return;
            }
            const many = Math.min(FILLED_AT_ONCE, keys - next);
            let requests = "";
            for (let i = 0; i < many; i += 1)
              requests += setOf(keyOf(next + i), valueFor(round * keys + next + i));
            next += many;
            client.ask(requests, many * SET_REPLY);
          };
          client.answered = () => setImmediate(more);
          more();
        }),
    ),
  );
}

/** Half of the requests are reads. */
function askAny(client: Client): void {
  const key = keyOf(Math.floor(Math.random() * keys));
  if (Math.random() < 0.5) client.ask(`*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`, GET_REPLY);
  else {
    written += 1;
    client.ask(setOf(key, valueFor(-written)), SET_REPLY);
  }
}

function load(perSecond: number): Promise<LoadResult> {
  return new Promise((resolve) => {
    const latencies: number[] = [];
    const startMs = performance.now();
    let stopped = false;
    let timer: NodeJS.Timeout | undefined;
    const end = (): void => {
      if (clients.some(({ waiting }) => waiting > 0)) return void setTimeout(end, 10);
      resolve({ seconds: (endMs - startMs) / 1000, latencies: latencies.sort((a, b) => a - b) });
    };
    let endMs = 0;
    for (const client of clients)
      client.answered = (atMs) => {
        latencies.push(performance.now() - atMs);
        if (perSecond === 0 && !stopped) askAny(client);
      };
    let sent = 0;
    const due = (): void => {
      const wanted = ((performance.now() - startMs) / 1000) * perSecond;
      for (; sent < wanted; sent += 1) askAny(clients[sent % clients.length] as Client);
    };
    if (perSecond > 0) timer = setInterval(due, 1);
    else for (const client of clients) askAny(client);
    stop = () => {
      stopped = true;
      endMs = performance.now();
      clearInterval(timer);
      end();
    };
  });
}

async function answer(call: LoadCall): Promise<unknown> {
  switch (call.call) {
    case "connect":
      keys = call.keys;
      return await open(call.port, call.clients);
    case "fill":
      return await fill(call.round);
    case "load":
      return await load(call.perSecond);
    case "stop":
      return stop();
  }
}

process.on("message", (call: LoadCall) => {
  answer(call).then(
    (result) => {
      if (call.call !== "stop") process.send?.({ result });
    },
    (error) => fail(String(error)),
  );
});
process.on("disconnect", () => process.exit());
