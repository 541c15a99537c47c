/** A bank of processes that log their inputs, each in an operating-system process or a worker of its own, for tests. */
import { type ChildProcess, fork } from "node:child_process";
import { type EventEmitter, once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { WorkerNetwork } from "../../src/index.ts";
import type { Answer, Asked, Purse, Task, ThreadTask } from "./logged-process-child.ts";

const CHILD = new URL("./logged-process-child.ts", import.meta.url);
const execArgv = ["--conditions=tidemark-source"];
/** Longer than anything takes on a slow machine. */
const PATIENCE_MS = 60_000;

/** What a snapshot shows of the bank. */
export interface Sum {
  readonly id: string;
  readonly consistent: boolean;
  readonly states: Readonly<Record<string, Purse>>;
  readonly inFlight: number;
}

/** What all processes of a bank are told. */
export type SharedTask = Omit<Task, "id" | "processes" | "port" | "peers">;

type What = Asked extends infer One ? (One extends Asked ? Omit<One, "ask"> : never) : never;

/** One life of one process. */
class Life {
  address = "";
  readonly problems: string[];
  readonly #child: ChildProcess | Worker;
  readonly #waiting = new Map<
    number,
    { resolve(value: unknown): void; reject(error: Error): void }
  >();
  #asked = 0;

  #ended: boolean = false;

  constructor(task: Task, network: WorkerNetwork | undefined, problems: string[]) {
    this.problems = problems;
    this.#child = network ? inThread(task, network) : inProcess(task);
    const child: EventEmitter = this.#child;
    this.#child.stderr?.on("data", (text) => problems.push(`stderr: ${text}`));
    child.on("error", (error) => problems.push(String(error)));
    child.on("message", (answer: Answer) => {
      if ("address" in answer) this.address = answer.address;
      else if ("problem" in answer) problems.push(answer.problem);
      else {
        const waiting = this.#waiting.get(answer.ask);
        this.#waiting.delete(answer.ask);
        if (answer.error === undefined) waiting?.resolve(answer.result);
        else waiting?.reject(new Error(answer.error));
      }
    });
    child.once("exit", () => {
      this.#ended = true;
      for (const { reject } of this.#waiting.values()) reject(new Error(`${task.id} has ended`));
      this.#waiting.clear();
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  ask(what: What): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.ended) throw new Error("it has ended");
      this.#asked += 1;
      this.#waiting.set(this.#asked, { resolve, reject });
      const asked = { ask: this.#asked, ...what };
      if (this.#child instanceof Worker) this.#child.postMessage(asked);
      else this.#child.send(asked, () => {});
    });
  }

  /** A thread cannot be stopped from outside. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    if (this.#child instanceof Worker) throw new Error(`no ${signal} for a thread`);
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    if (this.ended) return;
    const exit = once(this.#child as EventEmitter, "exit");
    if (this.#child instanceof Worker) void this.#child.terminate();
    else this.#child.kill("SIGKILL");
    await exit;
  }
}

function inProcess(task: Task): ChildProcess {
  const stdio = ["ignore", "ignore", "pipe", "ipc"] as const;
  return fork(fileURLToPath(CHILD), [JSON.stringify(task)], { execArgv, stdio: [...stdio] });
}

function inThread(task: Task, meeting: WorkerNetwork): Worker {
  const network = meeting.port();
  const workerData: ThreadTask = { task, network };
  return new Worker(CHILD, { workerData, transferList: [network], execArgv, stderr: true });
}

/** See the head of the file. */
export class LoggedBank implements AsyncDisposable {
  readonly ids: readonly string[];
  readonly problems: string[] = [];
  readonly #task: SharedTask;
  readonly #lives = new Map<string, Life>();
  readonly #addresses: Record<string, string> = {};
  readonly #network: WorkerNetwork | undefined;

  private constructor(ids: readonly string[], task: SharedTask, threads: boolean) {
    this.ids = ids;
    this.#task = task;
    this.#network = threads ? new WorkerNetwork() : undefined;
  }

  static async start(
    ids: readonly string[],
    task: SharedTask,
    { threads = false }: { readonly threads?: boolean } = {},
  ): Promise<LoggedBank> {
    const bank = new LoggedBank(ids, task, threads);
    for (const id of ids) await bank.begin(id);
    // Of itself a process knows better.
    const itself = task.nats ? "nobody.is.there" : "127.0.0.1:1";
    for (const id of ids)
      await bank.ask(id, { what: "connect", peers: { ...bank.#addresses, [id]: itself } });
    return bank;
  }

  /** A process that is not there begins, or comes back. */
  async begin(id: string): Promise<void> {
    const port = Number(this.#addresses[id]?.split(":")[1] ?? 0);
    const { [id]: _, ...peers } = this.#addresses;
    const task = { ...this.#task, id, processes: this.ids, port, peers };
    const life = new Life(task, this.#network, this.problems);
    this.#lives.set(id, life);
    await until(`${id} is there`, () => {
      if (life.ended) throw new Error(`${id} has ended: ${this.problems.slice(-3).join("; ")}`);
      return life.address !== "";
    });
    this.#addresses[id] = life.address;
  }

  ask(id: string, what: What): Promise<unknown> {
    return (this.#lives.get(id) as Life).ask(what);
  }

  signal(id: string, signal: "SIGSTOP" | "SIGCONT"): void {
    this.#lives.get(id)?.signal(signal);
  }

  async kill(id: string): Promise<void> {
    await this.#lives.get(id)?.kill();
  }

  async sum(by: string): Promise<Sum> {
    return (await this.ask(by, { what: "snapshot" })) as Sum;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const life of this.#lives.values()) await life.kill();
  }
}

/** @throws Error when it takes too long */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`it is not so after ${PATIENCE_MS} ms: ${what}`);
    await pause(10);
  }
}
