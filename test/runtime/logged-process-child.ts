/**
 * One process of a bank in an operating-system process or a worker of its own, which logs its inputs, until its parent is gone or kills it.
 * It sends money about as fast as the channels let it, and takes deposits that its parent asks for.
 *
 * usage: node logged-process-child.ts TASK, as JSON; or a worker with `ThreadTask` as its data
 */

import { isMainThread, type MessagePort, parentPort, workerData } from "node:worker_threads";
import {
  type Application,
  type Delivery,
  directoryStore,
  type GroupApplication,
  Grouped,
  type GroupTurn,
  groupedCodecs,
  type LogPolicy,
  msgpackCodec,
  startProcess,
  type Transport,
  type Turn,
  tcpTransport,
  workerTransport,
} from "../../src/index.ts";
import { type NatsStoreOptions, natsStore } from "../../src/nats/nats-store.ts";
import { natsTransport } from "../../src/nats/nats-transport.ts";

/** What a process is to do. */
export interface Task {
  readonly id: string;
  readonly processes: readonly string[];
  readonly port: number;
  readonly peers: Readonly<Record<string, string>>;
  readonly directory: string;
  /** Without one it logs nothing. */
  readonly policy: LogPolicy | undefined;
  readonly captureBytes: number;
  /** It is a talker in a group, and no keeper of money. */
  readonly talks?: boolean;
  /** Where on NATS frames go and snapshots lie. @default over TCP, and in the directory */
  readonly nats?: Pick<NatsStoreOptions, "replicas"> & {
    readonly servers: string;
    readonly prefix: string;
  };
}

/** What a worker is started with. */
export interface ThreadTask {
  readonly task: Task;
  readonly network: MessagePort;
}

/** What the parent asks. */
export type Asked =
  | {
      readonly ask: number;
      readonly what: "connect";
      readonly peers: Readonly<Record<string, string>>;
    }
  | { readonly ask: number; readonly what: "deposit"; readonly deposit: number }
  | { readonly ask: number; readonly what: "rest" | "state" | "snapshot" | "stop" }
  | { readonly ask: number; readonly what: "restore"; readonly snapshot: string };

export type Answer =
  | { readonly address: string }
  | { readonly problem: string }
  | { readonly ask: number; readonly result?: unknown; readonly error?: string };

/** What a talker has said and heard. */
export interface Talk {
  readonly sent: number;
  /** By sender: the number of the last one. */
  readonly heard: Readonly<Record<string, number>>;
  /** Over all that was heard, in that order. */
  readonly order: number;
  readonly rests: boolean;
  /** What did not come in its turn. */
  readonly wrong: readonly string[];
}

/** What a purse is. */
export interface Purse {
  readonly money: number;
  readonly transfers: number;
  readonly rests: boolean;
  readonly idle: boolean;
  readonly deposits: readonly number[];
}

type Request = { readonly deposit: number } | "rest" | "state";

const MONEY = 1000;
const BURST = 64;

class Keeper implements Application<number, Purse, Request, Purse> {
  #money = MONEY;
  #transfers = 0;
  #rests: boolean = false;
  #idle: boolean = false;
  #deposits: number[] = [];

  start(turn: Turn<number, Purse>): void {
    turn.setTimer("give", 0);
  }

  timer(_name: string, turn: Turn<number, Purse>): void {
    let room = true;
    for (let i = 0; i < BURST && room && this.#money > 0 && !this.#rests; i += 1) {
      const amount = turn.random.between(1, Math.min(9, this.#money));
      this.#money -= amount;
      this.#transfers += 1;
      room = turn.send(turn.random.pick(turn.peers) as string, amount);
    }
    this.#idle = !room;
    if (room && !this.#rests) turn.setTimer("give", this.#money > 0 ? 1 : 5);
  }

  receive(_from: string, amount: number): void {
    this.#money += amount;
  }

  writable(_to: string, turn: Turn<number, Purse>): void {
    if (!this.#idle) return;
    this.#idle = false;
    turn.setTimer("give", 0);
  }

  request(id: number, request: Request, turn: Turn<number, Purse>): void {
    if (request === "rest") this.#rests = true;
    else if (request !== "state") {
      this.#deposits.push(request.deposit);
      this.#money += 1;
    }
    turn.reply(id, this.capture());
  }

  capture(): Purse {
    return {
      money: this.#money,
      transfers: this.#transfers,
      rests: this.#rests,
      idle: this.#idle,
      deposits: [...this.#deposits],
    };
  }

  restore({ money, transfers, rests, idle, deposits }: Purse): void {
    this.#money = money;
    this.#transfers = transfers;
    this.#rests = rests;
    this.#idle = idle;
    this.#deposits = [...deposits];
  }
}

/** Multicasts numbers in one group, as many as there is room for, and judges what it hears. */
class Talker implements GroupApplication<number, Talk, Request, Talk> {
  #talk: Talk = { sent: 0, heard: {}, order: 0, rests: false, wrong: [] };

  start(turn: GroupTurn<number, Talk>): void {
    turn.setTimer("talk", 0);
  }

  timer(_name: string, turn: GroupTurn<number, Talk>): void {
    let room = true;
    for (let i = 0; i < BURST && room && !this.#talk.rests; i += 1) {
      const sent = this.#talk.sent + 1;
      this.#talk = { ...this.#talk, sent };
      room = turn.multicast("all", sent, { order: "fifo-total" });
    }
    if (room && !this.#talk.rests) turn.setTimer("talk", 1);
  }

  groupWritable(_group: string, turn: GroupTurn<number, Talk>): void {
    turn.setTimer("talk", 0);
  }

  deliver(_group: string, { from, message }: Delivery<number>): void {
    const { heard, order, wrong } = this.#talk;
    const last = heard[from] ?? 0;
    this.#talk = {
      ...this.#talk,
      heard: { ...heard, [from]: message },
      order: (Math.imul(order, 31) + from.charCodeAt(1) * 1_000_003 + message) | 0,
      wrong: message === last + 1 ? wrong : [...wrong, `${from}: ${message} after ${last}`],
    };
  }

  request(id: number, request: Request, turn: GroupTurn<number, Talk>): void {
    if (request === "rest") this.#talk = { ...this.#talk, rests: true };
    turn.reply(id, this.#talk);
  }

  capture(): Talk {
    return this.#talk;
  }

  restore(talk: Talk): void {
    this.#talk = talk;
  }
}

const thread = isMainThread ? undefined : (workerData as ThreadTask);
const task = thread?.task ?? (JSON.parse(process.argv[2] ?? "") as Task);
const { id, processes, port, peers, directory, policy, captureBytes, talks, nats } = task;
const tell = (answer: Answer): void => {
  if (parentPort) parentPort.postMessage(answer);
  else if (process.connected) process.send?.(answer);
};
process.on("disconnect", () => process.exit(0));

function talker() {
  const codecs = { messageCodec: msgpackCodec<number>(), stateCodec: msgpackCodec<unknown>() };
  const application = new Grouped<number, Talk, Request, Talk>({
    ...{ self: id, application: new Talker(), messageCodec: codecs.messageCodec },
    ...{ groups: { all: { members: processes } }, windowBytes: 65_536 },
  });
  return { application, ...groupedCodecs<number, Talk>(codecs) };
}

const network = (): Transport => {
  if (thread) return workerTransport(thread.network);
  if (!nats) return tcpTransport({ port, peers });
  const { servers, prefix } = nats;
  return natsTransport({ servers, prefix, peers });
};

const running = await startProcess<unknown, unknown, Request, unknown>({
  id,
  processes,
  ...((talks ? talker() : { application: new Keeper() }) as {
    readonly application: Application<unknown, unknown, Request, unknown>;
  }),
  transport: network(),
  store: nats ? natsStore(nats) : directoryStore(`${directory}/store`, { sync: false }),
  ...(policy && { log: { directory: `${directory}/log-${id}`, policy, captureBytes } }),
  windowBytes: 65_536,
  lostAfterMs: 20_000,
  onProblem: ({ code, message }) => tell({ problem: `${code}: ${message}` }),
});
void running.stopped.then((error) => {
  if (!error) return;
  tell({ problem: `stopped: ${error.code}: ${error.message}` });
  process.exitCode = 1;
});

async function perform(asked: Asked): Promise<unknown> {
  switch (asked.what) {
    case "connect":
      for (const [peer, address] of Object.entries(asked.peers)) running.connect(peer, address);
      return undefined;
    case "deposit":
      return await running.request({ deposit: asked.deposit });
    case "rest":
    case "state":
      return await running.request(asked.what);
    case "snapshot": {
      const snapshot = await running.snapshot();
      const verdict = await snapshot.verify();
      const states: Record<string, Purse> = {};
      let inFlight = 0;
      for (const one of processes) states[one] = (await snapshot.state(one)) as Purse;
      for (const from of processes)
        for (const to of processes)
          if (from !== to)
            for (const amount of (await snapshot.inFlight(from, to)) as number[])
              inFlight += amount;
      return { id: snapshot.id, consistent: verdict.consistent, states, inFlight };
    }
    case "restore":
      return await running.restore(asked.snapshot as `${string}/${number}`);
    case "stop":
      await running.stop();
      setImmediate(() => (parentPort ? parentPort.close() : process.disconnect()));
      return undefined;
  }
}

(parentPort ?? process).on("message", (asked: Asked) => {
  perform(asked).then(
    (result) => tell({ ask: asked.ask, result }),
    (error: unknown) => tell({ ask: asked.ask, error: String(error) }),
  );
});
tell({ address: running.address });
