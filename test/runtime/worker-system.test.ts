/** A whole system in threads: three processes at full load, snapshots of them, and one that is ended in every way and replaced. */

import { Worker } from "node:worker_threads";
import { afterEach, expect, onTestFinished, test, vi } from "vitest";
import type { SnapshotId } from "../../src/core/id.ts";
import { directoryStore } from "../../src/runtime/directory-store.ts";
import { GlobalSnapshot } from "../../src/runtime/global-snapshot.ts";
import { WorkerNetwork } from "../../src/runtime/worker-transport.ts";
import { cases } from "../support/soak.ts";
import { newDirectory } from "./directory-store-support.ts";
import type { AccountNews, AccountOrder, AccountTask } from "./worker-account-child.ts";

const CHILD = new URL("./worker-account-child.ts", import.meta.url);
const IDS = ["p1", "p2", "p3"];
const MONEY = 1_000;

const open: Account[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((account) => account.worker.terminate()));
});

/** One process, seen from the thread that started it. */
class Account {
  readonly id: string;
  readonly worker: Worker;
  readonly news: AccountNews[] = [];
  readonly errors: unknown[] = [];
  /** Its exit code, once it has ended. */
  readonly exit: Promise<number>;

  constructor(network: WorkerNetwork, id: string, directory: string, balance = MONEY) {
    this.id = id;
    const port = network.port();
    const workerData: AccountTask = { id, port, processes: IDS, directory, balance };
    this.worker = new Worker(CHILD, {
      workerData,
      transferList: [port],
      execArgv: ["--conditions=tidemark-source"],
      stderr: true,
    });
    this.exit = new Promise((resolve) => this.worker.on("exit", resolve));
    this.worker.on("message", (news: AccountNews) => this.news.push(news));
    this.worker.on("error", (error) => this.errors.push(error));
    open.push(this);
  }

  say(order: AccountOrder): void {
    this.worker.postMessage(order);
  }

  /** Waits for something that it has not told before. */
  async next<T extends AccountNews["type"]>(
    type: T,
    holds: (news: Extract<AccountNews, { type: T }>) => boolean = () => true,
  ): Promise<Extract<AccountNews, { type: T }>> {
    const seen = this.news.length;
    return await this.find(type, holds, seen);
  }

  /** Waits for something that it has told or will tell. */
  async find<T extends AccountNews["type"]>(
    type: T,
    holds: (news: Extract<AccountNews, { type: T }>) => boolean = () => true,
    from = 0,
  ): Promise<Extract<AccountNews, { type: T }>> {
    type One = Extract<AccountNews, { type: T }>;
    const fits = (news: AccountNews): news is One => news.type === type && holds(news as One);
    return (await vi.waitUntil(() => this.news.slice(from).find(fits), {
      timeout: 15_000,
      interval: 1,
    })) as One;
  }

  /** Waits until it has received more from a peer. */
  async receivesFrom(peer: string): Promise<void> {
    const standing = async (): Promise<number> => {
      const told = this.next("standing");
      this.say("standing");
      return (await told).received[peer] ?? 0;
    };
    const before = await standing();
    while ((await standing()) <= before) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async snapshot(): Promise<SnapshotId> {
    const told = this.next("snapshot");
    this.say("snapshot");
    const { id, problem } = await told;
    expect(problem).toBe("");
    return id as SnapshotId;
  }
}

/** Waits until each hears each other one: before that, a snapshot is refused or abandoned by whom it does not reach. */
async function connected(accounts: readonly Account[]): Promise<void> {
  for (const account of accounts)
    for (const other of accounts) if (other !== account) await account.receivesFrom(other.id);
}

/** What a snapshot has, in accounts and under way; and that it is consistent. */
async function verified(directory: string, id: SnapshotId): Promise<number> {
  const store = directoryStore(directory);
  try {
    const stored = await store.get(id);
    if (!stored) throw new Error(`${id} is not there`);
    const snapshot = new GlobalSnapshot<number, number>(stored);
    expect(await snapshot.verify()).toMatchObject({ consistent: true, processes: 3, channels: 6 });
    let sum = 0;
    for (const process of IDS) {
      sum += await snapshot.state(process);
      for (const peer of IDS)
        if (peer !== process)
          for (const amount of await snapshot.inFlight(peer, process)) sum += amount;
    }
    return sum;
  } finally {
    await store.close();
  }
}

test("messages flow between three threads, and every snapshot adds up", async () => {
  const directory = newDirectory(onTestFinished);
  const network = new WorkerNetwork();
  const accounts = IDS.map((id) => new Account(network, id, directory));
  await connected(accounts);
  for (let i = 0; i < cases("worker-system", 6, 500); i += 1) {
    const id = await (accounts[i % 3] as Account).snapshot();
    expect(await verified(directory, id)).toBe(3 * MONEY);
  }
  for (const account of accounts) {
    account.say("stop");
    // Nothing keeps a thread alive any more once its process has stopped.
    expect(await account.exit).toBe(0);
    expect(account.errors).toEqual([]);
    expect(account.news.filter(({ type }) => type === "problem")).toEqual([]);
  }
});

test("a process whose thread ends under load, however it does, is lost at once, and its place is taken by a new one", async () => {
  const directory = newDirectory(onTestFinished);
  const network = new WorkerNetwork();
  const [p1, p2] = [new Account(network, "p1", directory), new Account(network, "p2", directory)];
  let p3 = new Account(network, "p3", directory);
  const ways = cases("worker-system", 1, 10);
  const orders = Array.from({ length: ways }, () => ["spin", "exit", "throw", undefined] as const);
  for (const order of orders.flat()) {
    await connected([p1, p2, p3]);
    const id = await p3.snapshot();
    await verified(directory, id);
    const lost = [p1, p2].map((one) => one.next("peer", (news) => news.change === "lost"));
    if (order) p3.say(order);
    if (order === "spin") await new Promise((resolve) => setTimeout(resolve, 20));
    if (order === "spin" || order === undefined) await p3.worker.terminate();
    await p3.exit;
    expect(p3.errors).toHaveLength(order === "throw" ? 1 : 0);
    await Promise.all(lost);
    // The others go on with each other.
    await p1.receivesFrom("p2");
    const restarted = [p1, p2].map((one) =>
      one.next("peer", ({ peer, change }) => peer === "p3" && change === "restarted"),
    );
    p3 = new Account(network, "p3", directory, MONEY);
    await Promise.all(restarted);
  }
  await connected([p1, p2, p3]);
  await verified(directory, await p1.snapshot());
  const codes = new Set(
    [p1, p2].flatMap(({ news }) => news.map((one) => "code" in one && one.code)),
  );
  codes.delete(false);
  expect(codes).toEqual(new Set(["PEER_RESTARTED"]));
});
