/**
 * A Tidemark process with one group, as a member of a measured mesh. Its words: the order of messages, and how total order comes about; if that
 * is by a log, the servers of NATS, the replicas, and what its stream is called.
 */

import {
  type Delivery,
  type GroupApplication,
  Grouped,
  type GroupTurn,
  groupedCodecs,
  lentBytesCodec,
  type OrderLevel,
  type RunningProcess,
  startProcess,
  tcpTransport,
} from "tidemark";
import { natsOrderLog } from "tidemark/nats";
import { forgetfulStore } from "./forgetful-store.ts";
import { type MemberOrder, serveMember } from "./member.ts";

type Request = "flood" | { readonly send: Uint8Array };

const [, , order = "fifo", total = "sequencer", servers = "", replicas = "1", prefix = ""] =
  process.argv as string[];

class Load implements GroupApplication<Uint8Array, null, Request, null> {
  self = "";
  received = 0;
  listener: ((message: Uint8Array) => void) | undefined;
  message: Uint8Array = new Uint8Array(0);

  request(id: number, request: Request, turn: GroupTurn<Uint8Array, null>): void {
    if (request === "flood") this.#fill(turn);
    else turn.multicast("all", request.send, { order: order as OrderLevel });
    turn.reply(id, null);
  }

  deliver(_group: string, { from, message }: Delivery<Uint8Array>): void {
    if (from === this.self) return;
    this.received += 1;
    this.listener?.(message);
  }

  timer(_name: string, turn: GroupTurn<Uint8Array, null>): void {
    this.#fill(turn);
  }

  groupWritable(_group: string, turn: GroupTurn<Uint8Array, null>): void {
    this.#fill(turn);
  }

  capture(): null {
    return null;
  }

  restore(): void {}

  #fill(turn: GroupTurn<Uint8Array, null>): void {
    if (this.message.length === 0) return;
    for (let i = 0; i < 1200; i += 1)
      if (!turn.multicast("all", this.message, { order: order as OrderLevel })) return;
    turn.setTimer("fill", 0);
  }
}

const load = new Load();
let running: RunningProcess<unknown, unknown, Request, null>;

serveMember({
  async open(self, count) {
    load.self = self;
    const processes = Array.from({ length: count }, (_, i) => `p${i + 1}`);
    const codecs = { messageCodec: lentBytesCodec, stateCodec: lentBytesCodec };
    const setup = { members: processes, total: total as "sequencer" | "agreed" | "log" };
    const { messageCodec } = codecs;
    const application = new Grouped<Uint8Array, null, Request, null>({
      ...{ self, application: load, groups: { all: setup }, messageCodec },
    });
    running = await startProcess({
      ...{ id: self, processes, application, ...groupedCodecs<Uint8Array, null>(codecs as never) },
      ...{ transport: tcpTransport(), store: forgetfulStore() },
      ...(total === "log" && {
        orderLog: natsOrderLog({ servers, prefix, replicas: replicas === "3" ? 3 : 1 }),
      }),
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
  snapshot: () => Promise.reject(new Error("its state cannot be encoded")),
});
