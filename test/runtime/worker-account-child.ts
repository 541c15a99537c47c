/** One process in a worker: an account that sends money to the others as fast as they take it, or a bare transport. */

import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import {
  type Application,
  directoryStore,
  type PeerChange,
  startProcess,
  type Turn,
  workerTransport,
} from "tidemark";

/** What the worker is started with. */
export interface AccountTask {
  readonly id: string;
  readonly port: MessagePort;
  readonly processes: readonly string[];
  readonly directory: string;
  readonly balance: number;
}

export type AccountOrder = "snapshot" | "standing" | "spin" | "exit" | "throw" | "stop";

export type AccountNews =
  | { readonly type: "there" }
  | { readonly type: "snapshot"; readonly id: string | undefined; readonly problem: string }
  | { readonly type: "standing"; readonly received: Readonly<Record<string, number>> }
  | { readonly type: "peer"; readonly peer: string; readonly change: PeerChange }
  | { readonly type: "problem"; readonly code: string; readonly message: string };

const { id, port, processes, directory, balance } = workerData as AccountTask;
const tell = (news: AccountNews): void => parentPort?.postMessage(news);

class Account implements Application<number, number> {
  balance = balance;
  readonly received: Record<string, number> = {};

  start(turn: Turn<number>): void {
    turn.setTimer("spend", 0);
  }

  timer(_name: string, turn: Turn<number>): void {
    for (let i = 0; i < 100; i += 1)
      for (const peer of turn.peers) {
        if (this.balance === 0) break;
        this.balance -= 1;
        // What does not go at once is on its way all the same.
        if (!turn.send(peer, 1)) break;
      }
    turn.setTimer("spend", 0);
  }

  receive(from: string, amount: number): void {
    this.received[from] = (this.received[from] ?? 0) + 1;
    this.balance += amount;
  }

  peer(peer: string, change: PeerChange): void {
    tell({ type: "peer", peer, change });
  }

  capture(): number {
    return this.balance;
  }

  restore(saved: number): void {
    this.balance = saved;
  }
}

const account = new Account();
const store = directoryStore(directory);
const running = await startProcess<number, number>({
  id,
  processes,
  application: account,
  transport: workerTransport(port),
  store,
  lostAfterMs: 100,
  onProblem: ({ code, message }) => tell({ type: "problem", code, message }),
});

parentPort?.on("message", (order: AccountOrder) => {
  switch (order) {
    case "snapshot":
      running.snapshot({ timeoutMs: 20_000 }).then(
        (snapshot) => tell({ type: "snapshot", id: snapshot.id, problem: "" }),
        (error: unknown) => tell({ type: "snapshot", id: undefined, problem: String(error) }),
      );
      break;
    case "standing":
      tell({ type: "standing", received: { ...account.received } });
      break;
    case "spin":
      while (performance.now() > 0);
      break;
    case "throw":
      throw new Error("as it was told to");
    case "stop":
      void running.stop().then(async () => {
        await store.close();
        parentPort?.close();
      });
      break;
    case "exit":
      process.exit(0);
  }
});
tell({ type: "there" });
