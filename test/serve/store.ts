/** A store in this operating-system process, and clients of it that say what they hear. */

import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectSecured } from "node:tls";
import { onTestFinished } from "vitest";
import { MemoryNetwork, memoryStore, type RunningProcess, startProcess } from "../../src/index.ts";
import type { NamespacePatterns } from "../../src/kv/namespaces.ts";
import type { Replica, ReplicaReply, ReplicaRequest } from "../../src/kv/replica.ts";
import { DelayedTransport } from "../../src/runtime/delayed-transport.ts";
import { type KvSystemOptions, kvSystem } from "../../src/serve/kv-system.ts";
import type { RedisServer } from "../../src/serve/redis-server.ts";

type Running = RunningProcess<Uint8Array, unknown, ReplicaRequest, ReplicaReply>;

export interface StoreMember {
  readonly id: string;
  readonly running: Running;
  readonly server: RedisServer;
  readonly replica: Replica;
  /** What it sends may be held up, for as long as it is cut off. */
  readonly transport: DelayedTransport;
}

/** A store of so many replicas; stopped when the test is over. */
export async function startStore(
  many: number,
  settings: Readonly<Record<string, string>> = {},
  namespaces: NamespacePatterns = {},
  access: Pick<KvSystemOptions, "users" | "clientTls"> = {},
): Promise<readonly StoreMember[]> {
  const processes = Array.from({ length: many }, (_, i) => `p${i + 1}`);
  const served = new Map<string, readonly [RedisServer, Replica]>();
  const system = kvSystem({
    ...{ processes, port: 0, settings, namespaces, ...access },
    onServing: (id, server, replica) => served.set(id, [server, replica]),
  });
  const { messageCodec, stateCodec, windowBytes } = system;
  if (!messageCodec || !stateCodec) throw new Error("the store has codecs");
  const network = new MemoryNetwork();
  const store = memoryStore();
  const members: StoreMember[] = [];
  for (const id of processes) {
    const transport = new DelayedTransport(network.transport());
    const running = await startProcess({
      ...{ id, processes, store, messageCodec, stateCodec },
      ...(windowBytes !== undefined && { windowBytes }),
      application: system.application(id, { processes }),
      transport,
    });
    const close = await system.serve?.(running, { processes, store });
    const [server, replica] = served.get(id) as readonly [RedisServer, Replica];
    members.push({ id, running, server, replica, transport });
    onTestFinished(async () => {
      await close?.();
      await running.stop();
    });
  }
  return members;
}

/** A reply, as plain data: errors as `-ERR …`, statuses as `+OK`, numbers as `:1`; lists begin with their type. */
export type Heard = string | readonly Heard[];

/** A client that sends words or bytes, and takes replies one by one. */
export class TestClient {
  readonly socket: Socket;
  /** Settles when the connection is over. */
  readonly closed: Promise<void>;
  isOver: boolean = false;
  #text = "";
  readonly #heard: Heard[] = [];
  readonly #waiting: ((heard: Heard) => void)[] = [];

  /** @param secured how it speaks TLS; if it does */
  constructor(port: number, secured?: ConnectionOptions) {
    this.socket = secured
      ? connectSecured({ port, host: "127.0.0.1", ...secured })
      : connect(port, "127.0.0.1");
    this.socket.on("data", (bytes) => {
      this.#text += bytes.toString("latin1");
      this.#cut();
    });
    this.socket.on("error", () => {});
    this.closed = new Promise((resolve) => {
      this.socket.on("close", () => {
        this.isOver = true;
        for (const hear of this.#waiting.splice(0)) hear("closed");
        resolve();
      });
    });
    onTestFinished(() => {
      this.socket.destroy();
    });
  }

  /** Sends a request, and gives its reply. */
  ask(...words: readonly string[]): Promise<Heard> {
    this.send(...words);
    return this.next();
  }

  send(...words: readonly string[]): void {
    const bulks = words.map((word) => `$${word.length}\r\n${word}\r\n`);
    this.write(`*${words.length}\r\n${bulks.join("")}`);
  }

  write(text: string): void {
    this.socket.write(Buffer.from(text, "latin1"));
  }

  /** The next reply, or `closed`. */
  next(): Promise<Heard> {
    const heard = this.#heard.shift();
    if (heard !== undefined) return Promise.resolve(heard);
    if (this.isOver) return Promise.resolve("closed");
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #cut(): void {
    for (let reply = readReply(this.#text, 0); reply; reply = readReply(this.#text, 0)) {
      const [heard, end] = reply;
      this.#text = this.#text.slice(end);
      const hear = this.#waiting.shift();
      if (hear) hear(heard);
      else this.#heard.push(heard);
    }
  }
}

/** The reply that begins there, and where it ends; `undefined` if it is not whole. */
export function readReply(text: string, from: number): readonly [Heard, number] | undefined {
  const lineEnd = text.indexOf("\r\n", from);
  if (lineEnd < 0) return undefined;
  const type = text.charAt(from);
  const line = text.slice(from + 1, lineEnd);
  const at = lineEnd + 2;
  if ("+-:,#(_".includes(type)) return [type + line, at];
  const count = Number(line);
  if ("$=".includes(type)) {
    if (count < 0) return ["$-1", at];
    if (text.length < at + count + 2) return undefined;
    return [type + text.slice(at, at + count), at + count + 2];
  }
  if (!"*~%>".includes(type))
    throw new Error(`no reply: ${JSON.stringify(text.slice(from, from + 40))}`);
  if (count < 0) return ["*-1", at];
  const parts: Heard[] = [type];
  let next = at;
  for (let i = 0; i < (type === "%" ? 2 * count : count); i += 1) {
    const part = readReply(text, next);
    if (!part) return undefined;
    parts.push(part[0]);
    next = part[1];
  }
  return [parts, next];
}
