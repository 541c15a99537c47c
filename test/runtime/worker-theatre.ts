/**
 * Worker transports that live in other threads, seen as if they were here: for the contract suite.
 *
 * A method is called there and waited for here, and what a transport tells comes here a little later. So something told before a
 * call can arrive after it. To the owner here it has not happened: what belongs to a connection of an epoch that the
 * owner has left is left out, but for the one `peerDown` of each peer that the owner had been told is up.
 */

import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
} from "node:worker_threads";
import { type ErrorCode, TidemarkError } from "../../src/core/error.ts";
import type {
  Frame,
  Transport,
  TransportEvents,
  TransportGuarantees,
  TransportIdentity,
} from "../../src/runtime/transport.ts";
import { WorkerNetwork } from "../../src/runtime/worker-transport.ts";
import type { Answer, Call, News, Theatre, Thrown } from "./worker-transport-child.ts";

const CHILD = new URL("./worker-transport-child.ts", import.meta.url);

/** Longer than any answer takes on a busy machine. */
const ANSWER_MS = 30_000;

/** Without what belongs to one transport. */
type Question = Call extends infer One ? (One extends unknown ? Omit<One, "of"> : never) : never;

const errorOf = ({ code, message }: Thrown): Error =>
  code === undefined ? new Error(message) : new TidemarkError(code as ErrorCode, message);

/** One thread, with any number of transports in it. */
export class Stage {
  readonly #worker: Worker;
  readonly #calls: MessagePort;
  readonly #turn = new Int32Array(new SharedArrayBuffer(4));
  readonly #actors = new Map<number, (news: News) => void>();
  #made = 0;

  constructor() {
    const calls = new MessageChannel();
    const news = new MessageChannel();
    const workerData: Theatre = { calls: calls.port2, turn: this.#turn, news: news.port2 };
    this.#worker = new Worker(CHILD, {
      workerData,
      transferList: [calls.port2, news.port2],
      execArgv: ["--conditions=tidemark-source"],
    });
    this.#calls = calls.port1;
    news.port1.on("message", (one: News) => this.#actors.get(one.of)?.(one));
  }

  transport(port: MessagePort): Transport {
    this.#made += 1;
    const of = this.#made;
    const remote = new RemoteTransport(
      (question, transfer = []) => this.#ask({ of, ...question } as Call, transfer),
      port,
    );
    this.#actors.set(of, (news) => remote.hear(news));
    return remote;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  /** Stands still until the other thread has answered, as a call does. */
  #ask(call: Call, transfer: readonly MessagePort[]): unknown {
    Atomics.store(this.#turn, 0, 0);
    this.#calls.postMessage(call, transfer);
    // The other thread may say of the call before only now that it is over, and wake this one too early.
    const giveUpMs = performance.now() + ANSWER_MS;
    while (Atomics.load(this.#turn, 0) === 0 && performance.now() < giveUpMs)
      Atomics.wait(this.#turn, 0, 0, ANSWER_MS);
    const answer = receiveMessageOnPort(this.#calls)?.message as Answer | undefined;
    if (answer === undefined) throw new Error("a thread does not answer");
    if ("thrown" in answer) throw errorOf(answer.thrown);
    return answer.result;
  }
}

class RemoteTransport implements Transport {
  readonly guarantees: TransportGuarantees = { fifo: true, lossless: true, duplicateFree: true };
  readonly maxFrameBytes: number;
  readonly #ask: (question: Question, transfer?: readonly MessagePort[]) => unknown;
  readonly #openings: PromiseWithResolvers<void>[] = [];
  readonly #closings: PromiseWithResolvers<void>[] = [];
  #events: TransportEvents | undefined;
  #closed: boolean = false;
  /** How many times it has advanced. */
  #life = 0;
  /** Peers that came up in a life that was over here: the owner has not been told, and is not told that they went down. */
  readonly #unseen = new Set<string>();

  constructor(
    ask: (question: Question, transfer?: readonly MessagePort[]) => unknown,
    port: MessagePort,
  ) {
    this.#ask = ask;
    this.maxFrameBytes = ask({ call: "make", port }, [port]) as number;
  }

  get address(): string | undefined {
    return this.#ask({ call: "address" }) as string | undefined;
  }

  open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    this.#events ??= events;
    const opening = Promise.withResolvers<void>();
    this.#openings.push(opening);
    this.#ask({ call: "open", identity });
    return opening.promise;
  }

  connect(peer: string, address: string): void {
    this.#ask({ call: "connect", peer, address });
  }

  advance({ incarnation, epoch }: Pick<TransportIdentity, "incarnation" | "epoch">): void {
    this.#ask({ call: "advance", incarnation, epoch });
    this.#life += 1;
  }

  send(to: string, frame: Frame): boolean {
    return this.#ask({ call: "send", to, frame }) as boolean;
  }

  buffered(to: string): number {
    return this.#ask({ call: "buffered", to }) as number;
  }

  close(): Promise<void> {
    this.#closed = true;
    const closing = Promise.withResolvers<void>();
    this.#closings.push(closing);
    this.#ask({ call: "close" });
    return closing.promise;
  }

  hear(news: News): void {
    if (news.event === "violation") throw new Error(`a transport told ${news.what}`);
    if (news.event === "opened") {
      const opening = this.#openings.shift();
      if (news.thrown) opening?.reject(errorOf(news.thrown));
      else opening?.resolve();
    } else if (news.event === "closed") this.#closings.shift()?.resolve();
    // It was on its way when the transport was closed; what is told later is a violation.
    else if (this.#closed) return;
    else if (news.event === "peerDown") {
      if (!this.#unseen.delete(news.peer)) this.#events?.peerDown(news.peer, news.reason);
    } else if (news.life < this.#life) {
      if (news.event === "peerUp") this.#unseen.add(news.peer);
    } else if (news.event === "peerUp") this.#events?.peerUp(news.peer, news.incarnation);
    else if (news.event === "frame") this.#events?.frame(news.peer, news.frame);
    else if (news.event === "laterEpoch") this.#events?.laterEpoch(news.peer, news.epoch);
    else this.#events?.problem(errorOf(news.problem) as TidemarkError);
  }
}

/** A network in this thread whose transports live in others: each process in the one that its id begins with. */
export function networkOn(stages: readonly Stage[]): { transport(id: string): Transport } {
  const network = new WorkerNetwork();
  return {
    transport: (id) => {
      const stage = stages[(id.codePointAt(0) ?? 0) % stages.length] as Stage;
      return stage.transport(network.port());
    },
  };
}
