/** A Tidemark process as a member of a measured mesh: the public API, default options, bytes as messages. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isMainThread, workerData } from "node:worker_threads";
import {
  type Application,
  directoryStore,
  type LogPolicy,
  lentBytesCodec,
  type RunningProcess,
  startProcess,
  type TlsIdentity,
  type Turn,
  tcpTransport,
  workerTransport,
} from "tidemark";
import { forgetfulStore } from "./forgetful-store.ts";
import { type MemberOrder, serveMember } from "./member.ts";

type Request = "flood" | { readonly send: Uint8Array };

/** Sends one message to everybody, again and again, as long as there is room. */
class Load implements Application<Uint8Array, null, Request, null> {
  received = 0;
  listener: ((message: Uint8Array) => void) | undefined;
  message: Uint8Array = new Uint8Array(0);

  request(id: number, request: Request, turn: Turn<Uint8Array, null>): void {
    if (request === "flood") {
      this.#fill(turn);
    } else {
      turn.send(turn.peers, request.send);
    }
    turn.reply(id, null);
  }

  receive(_from: string, message: Uint8Array): void {
    this.received += 1;
    this.listener?.(message);
  }

  timer(_name: string, turn: Turn<Uint8Array, null>): void {
    this.#fill(turn);
  }

  writable(_to: string, turn: Turn<Uint8Array, null>): void {
    this.#fill(turn);
  }

  capture(): null {
    return null;
  }

  restore(): void {}

  #fill(turn: Turn<Uint8Array, null>): void {
    const { peers } = turn;
    if (this.message.length === 0) return;
    for (let i = 0; i < 1200; i += 1) if (!turn.send(peers, this.message)) return;
    turn.setTimer("fill", 0);
  }
}

/** How inputs are logged, if they are; or that all is recorded; or with which certificates members show who they are. */
const [, , word, folder = ""] = process.argv;
const isTraced = word === "trace";
const isTls = word === "tls";
const policy = isTraced || isTls ? undefined : (word as LogPolicy | undefined);
const tlsOf = (self: string): TlsIdentity => {
  const pem = (name: string) => readFileSync(join(folder, name));
  return { ca: pem("ca.pem"), cert: pem(`${self}.pem`), key: pem(`${self}.key`) };
};
const load = new Load();
let running: RunningProcess<Uint8Array, null, Request, null>;

serveMember({
  async open(self, count, directory) {
    running = await startProcess<Uint8Array, null, Request, null>({
      id: self,
      processes: Array.from({ length: count }, (_, i) => `p${i + 1}`),
      application: load,
      messageCodec: lentBytesCodec,
      transport: isMainThread
        ? tcpTransport(isTls ? { tls: tlsOf(self) } : {})
        : workerTransport(workerData),
      store: directory === "" ? forgetfulStore() : directoryStore(directory),
      ...(isTraced && { trace: true }),
      ...(policy && { log: { directory: `${directory}/log-${self}`, policy } }),
    });
    return running.address;
  },
  async connect({ self, addresses }: MemberOrder) {
    for (const [id, address] of Object.entries(addresses))
      if (id !== self) running.connect(id, address);
    while (running.explain().channels.some(({ up }) => !up))
      await new Promise((resolve) => setTimeout(resolve, 5));
  },
  flood(message) {
    load.message = message;
    void running.request("flood");
  },
  received: () => load.received,
  send(message) {
    void running.request({ send: message });
  },
  listen(listener) {
    load.listener = listener;
  },
  async snapshot() {
    const startMs = performance.now();
    const { manifest } = await running.snapshot();
    return { cutMs: manifest.cutMs, storedMs: performance.now() - startMs };
  },
});
