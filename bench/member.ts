/** One member of a measured mesh, in an operating-system process or a thread of its own, and its parent's side. */

import { type ChildProcess, fork } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parentPort, Worker } from "node:worker_threads";
import type { WorkerNetwork } from "tidemark";

/** What a member needs to find the others. */
export interface MemberOrder {
  readonly self: string;
  readonly addresses: Readonly<Record<string, string>>;
}

/** What a member can do. */
export interface Member {
  /** Begins to listen; gives the address. The directory is for snapshots; without one, none is kept. */
  open(self: string, count: number, directory: string): Promise<string>;
  /** Resolves when every peer is connected. */
  connect(order: MemberOrder): Promise<void>;
  /** Sends the message to every peer as fast as they take it, until the process ends. */
  flood(message: Uint8Array): void;
  /** How many messages have been received. */
  received(): number;
  /** Sends one message to every peer. */
  send(message: Uint8Array): void;
  /** From now on hands over what is received. */
  listen(listener: (message: Uint8Array) => void): void;
  /** Takes a snapshot. */
  snapshot(): Promise<SnapshotTimes>;
}

/** How long one snapshot took, in milliseconds. */
export interface SnapshotTimes {
  /** Until the initiator knew the cut to be made. */
  readonly cutMs: number;
  /** Until the snapshot was stored. */
  readonly storedMs: number;
}

type Call =
  | {
      readonly call: "open";
      readonly self: string;
      readonly count: number;
      readonly directory: string;
    }
  | { readonly call: "connect"; readonly order: MemberOrder }
  | { readonly call: "flood"; readonly bytes: number }
  | { readonly call: "received" }
  | {
      readonly call: "latency";
      readonly perSecond: number;
      readonly seconds: number;
      readonly bytes: number;
    }
  | { readonly call: "snapshot" };

interface Question {
  readonly id: number;
  readonly call: Call;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** Lets the parent of this operating-system process, or thread, drive a member. */
export function serveMember(member: Member): void {
  const perform = async (call: Call): Promise<unknown> => {
    switch (call.call) {
      case "open":
        return member.open(call.self, call.count, call.directory);
      case "connect":
        return member.connect(call.order);
      case "flood":
        return member.flood(new Uint8Array(call.bytes).fill(7));
      case "received":
        return { received: member.received(), atMs: performance.timeOrigin + performance.now() };
      case "latency":
        return measureLatency(member, call);
      case "snapshot":
        return member.snapshot();
    }
  };
  process.on("disconnect", () => process.exit(0));
  const answer = (answered: Answer): void => {
    if (parentPort) parentPort.postMessage(answered);
    else if (process.connected) process.send?.(answered);
  };
  (parentPort ?? process).on("message", ({ id, call }: Question) => {
    perform(call).then(
      (result) => answer({ id, result: result ?? null }),
      (error: unknown) => answer({ id, error: String(error) }),
    );
  });
}

/** The clock is the same for all processes of one computer, so one-way times are measured directly. */
async function measureLatency(
  member: Member,
  { perSecond, seconds, bytes }: { perSecond: number; seconds: number; bytes: number },
): Promise<number[]> {
  const samples: number[] = [];
  const now = (): number => performance.timeOrigin + performance.now();
  member.listen((message) => {
    const sentAt = new DataView(message.buffer, message.byteOffset).getFloat64(0, true);
    samples.push(now() - sentAt);
  });
  const message = new Uint8Array(bytes);
  const view = new DataView(message.buffer);
  const startMs = now();
  let sent = 0;
  await new Promise<void>((resolve) => {
    const turn = (): void => {
      const due = Math.min(perSecond * seconds, ((now() - startMs) * perSecond) / 1000);
      for (; sent < due; sent += 1) {
        view.setFloat64(0, now(), true);
        member.send(message);
      }
      if (sent >= perSecond * seconds) setTimeout(resolve, 200);
      else setTimeout(turn, 1);
    };
    turn();
  });
  return samples;
}

/** A member seen from its parent. */
export class RemoteMember {
  readonly id: string;
  readonly #child: ChildProcess | Worker;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #asked = 0;

  /** @param network makes it a thread, with a port of that */
  constructor(id: string, module: URL, words: readonly string[], network?: WorkerNetwork) {
    this.id = id;
    if (network) {
      const port = network.port();
      this.#child = new Worker(module, { workerData: port, transferList: [port] });
    } else this.#child = fork(module, words, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#child.on("message", (answer: Answer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#child.once("exit", (status) => {
      for (const [waiting, hear] of this.#waiting)
        hear({ id: waiting, error: `member ${id} ended with status ${status}` });
    });
  }

  ask<T>(call: Call): Promise<T> {
    this.#asked += 1;
    const id = this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        if (error === undefined) resolve(result as T);
        else reject(new Error(error));
      });
      const question: Question = { id, call };
      if (this.#child instanceof Worker) this.#child.postMessage(question);
      else this.#child.send(question);
    });
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    if (this.#child instanceof Worker) void this.#child.terminate();
    else this.#child.kill("SIGKILL");
    await ended;
  }
}

/** Starts a mesh of members, which may keep their snapshots and are told some words, does something with it, and ends it. */
export async function withMesh<T>(
  module: URL,
  count: number,
  use: (members: readonly RemoteMember[]) => Promise<T>,
  keep = true,
  words: readonly string[] = [],
  network?: WorkerNetwork,
): Promise<T> {
  const made = await mkdtemp(join(tmpdir(), "tidemark-bench-"));
  const directory = keep ? made : "";
  const members = Array.from(
    { length: count },
    (_, i) => new RemoteMember(`p${i + 1}`, module, words, network),
  );
  try {
    const addresses: Record<string, string> = {};
    for (const member of members)
      addresses[member.id] = await member.ask<string>({
        call: "open",
        self: member.id,
        count,
        directory,
      });
    await Promise.all(
      members.map((member) =>
        member.ask({ call: "connect", order: { self: member.id, addresses } }),
      ),
    );
    return await use(members);
  } finally {
    await Promise.all(members.map((member) => member.end()));
    await rm(made, { recursive: true, force: true });
  }
}

/** Messages received per second and member, over that many seconds, while everything floods. */
export async function throughput(
  members: readonly RemoteMember[],
  seconds: number,
): Promise<number> {
  const count = async (): Promise<{ received: number; atMs: number }[]> =>
    Promise.all(
      members.map((member) => member.ask<{ received: number; atMs: number }>({ call: "received" })),
    );
  const before = await count();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const after = await count();
  const rates = after.map(({ received, atMs }, i) => {
    const start = before[i] as { received: number; atMs: number };
    return ((received - start.received) * 1000) / (atMs - start.atMs);
  });
  return rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
}
