/** Transports that live in this thread, for a test in another one that calls their methods and waits for each to return. */

import { type MessagePort, workerData } from "node:worker_threads";
import { isTidemarkError, textOf } from "../../src/core/error.ts";
import { copyOf } from "../../src/core/record.ts";
import type { Transport, TransportIdentity } from "../../src/runtime/transport.ts";
import { workerTransport } from "../../src/runtime/worker-transport.ts";

/** What the thread is started with. */
export interface Theatre {
  /** Questions come here, answers go back; `turn` says when there is one. */
  readonly calls: MessagePort;
  readonly turn: Int32Array;
  /** What transports tell goes here. */
  readonly news: MessagePort;
}

export type Call = { readonly of: number } & (
  | { readonly call: "make"; readonly port: MessagePort }
  | { readonly call: "open"; readonly identity: TransportIdentity }
  | { readonly call: "advance"; readonly incarnation: number; readonly epoch: number }
  | { readonly call: "connect"; readonly peer: string; readonly address: string }
  | { readonly call: "send"; readonly to: string; readonly frame: Uint8Array }
  | { readonly call: "buffered"; readonly to: string }
  | { readonly call: "address" | "close" }
);

export interface Thrown {
  readonly code: string | undefined;
  readonly message: string;
}

export type Answer = { readonly result: unknown } | { readonly thrown: Thrown };

/** An event, or how a promise was settled. `life` is how many times the transport had advanced by then. */
export type News = { readonly of: number; readonly life: number } & What;

type What =
  | { readonly event: "peerUp"; readonly peer: string; readonly incarnation: number }
  | { readonly event: "peerDown"; readonly peer: string; readonly reason: string }
  | { readonly event: "frame"; readonly peer: string; readonly frame: Uint8Array }
  | { readonly event: "problem"; readonly problem: Thrown }
  | { readonly event: "opened"; readonly thrown: Thrown | undefined }
  | { readonly event: "closed" }
  | { readonly event: "laterEpoch"; readonly peer: string; readonly epoch: number }
  | { readonly event: "violation"; readonly what: string };

const { calls, turn, news } = workerData as Theatre;
const transports = new Map<number, Transport>();
const lives = new Map<number, number>();
const closed = new Set<number>();
let inside: string | undefined;

const lifeOf = (of: number): number => lives.get(of) ?? 0;
const tell = (of: number, what: What): void =>
  news.postMessage({ of, life: lifeOf(of), ...what } satisfies News);
const thrown = (error: unknown): Thrown => ({
  code: isTidemarkError(error) ? error.code : undefined,
  message: textOf(error),
});

function told(of: number, what: What): void {
  if (inside) tell(of, { event: "violation", what: `${what.event} from inside ${inside}` });
  if (closed.has(of)) tell(of, { event: "violation", what: `${what.event} after close` });
  else tell(of, what);
}

function perform(call: Call): unknown {
  const { of } = call;
  const transport = transports.get(of) as Transport;
  switch (call.call) {
    case "make":
      transports.set(of, workerTransport(call.port));
      return transports.get(of)?.maxFrameBytes;
    case "open":
      transport
        .open(call.identity, {
          peerUp: (peer, incarnation) => told(of, { event: "peerUp", peer, incarnation }),
          peerDown: (peer, reason) => told(of, { event: "peerDown", peer, reason }),
          frame: (peer, frame) => told(of, { event: "frame", peer, frame: copyOf(frame) }),
          problem: (error) => told(of, { event: "problem", problem: thrown(error) }),
          laterEpoch: (peer, epoch) => told(of, { event: "laterEpoch", peer, epoch }),
        })
        .then(
          () => tell(of, { event: "opened", thrown: undefined }),
          (error: unknown) => tell(of, { event: "opened", thrown: thrown(error) }),
        );
      return null;
    case "advance":
      transport.advance({ incarnation: call.incarnation, epoch: call.epoch });
      lives.set(of, lifeOf(of) + 1);
      return null;
    case "connect":
      return transport.connect(call.peer, call.address);
    case "send":
      return transport.send(call.to, call.frame);
    case "buffered":
      return transport.buffered(call.to);
    case "address":
      return transport.address;
    case "close":
      closed.add(of);
      void transport.close().then(() => tell(of, { event: "closed" }));
      return null;
  }
}

calls.on("message", (call: Call) => {
  let answer: Answer;
  inside = call.call;
  try {
    answer = { result: perform(call) };
  } catch (error) {
    answer = { thrown: thrown(error) };
  }
  inside = undefined;
  calls.postMessage(answer);
  Atomics.store(turn, 0, 1);
  Atomics.notify(turn, 0);
});
