/** A group whose members are processes of their own, for tests: with a proxy between each two, or between each and NATS. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CuttingProxy } from "../support/cutting-proxy.ts";
import type { Order, Standing, Task } from "./group-member-child.ts";

const CHILD = fileURLToPath(new URL("./group-member-child.ts", import.meta.url));
/**
 * V8 lets the young generation grow from 8 to 134 MB within a minute of full load, whatever is alive in it (the old one stays at
 * 10). That would hide what a group keeps, or be taken for it.
 */
const YOUNG_MB = 8;
/** Longer than anything takes on a slow machine. */
const PATIENCE_MS = 60_000;

/** Of one delivery in a log: the index of the sender and the number, as two 32-bit words. */
const LOG_BYTES = 8;

/** What a member has written down of its deliveries: index of the sender and number. */
export function readLog(path: string): readonly (readonly [sender: number, number: number])[] {
  const bytes = readFileSync(path);
  return Array.from({ length: Math.floor(bytes.length / LOG_BYTES) }, (_, i) => [
    bytes.readUInt32LE(i * LOG_BYTES),
    bytes.readUInt32LE(i * LOG_BYTES + 4),
  ]);
}

/** One member, seen by its parent. */
export class Member {
  readonly id: string;
  /** What it has written to its standard error. */
  errors = "";
  /** Every telling's resident memory, in bytes; from when it was told to go. */
  readonly resident: number[] = [];
  /** Hears of each telling. */
  onStanding: ((standing: Standing) => void) | undefined;
  readonly #child: ChildProcess;
  #standing: Standing | undefined;

  constructor(task: Task) {
    this.id = task.self;
    this.#child = fork(CHILD, [JSON.stringify(task)], {
      execArgv: ["--conditions=tidemark-source", `--max-semi-space-size=${YOUNG_MB}`],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.#child.stderr?.on("data", (text) => {
      this.errors += text;
    });
    this.#child.on("message", (standing: Standing) => {
      this.#standing = standing;
      this.onStanding?.(standing);
    });
  }

  get isThere(): boolean {
    return this.#standing !== undefined;
  }

  /** How it stood when it last told. */
  get standing(): Standing {
    if (!this.#standing) throw new Error(`${this.id} has not told anything`);
    return this.#standing;
  }

  /** Undefined while it runs. */
  get ended(): string | undefined {
    const { exitCode, signalCode } = this.#child;
    return exitCode === null ? (signalCode ?? undefined) : String(exitCode);
  }

  say(order: Order): void {
    this.#child.send(order);
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(signal);
  }

  /** Ends it as nothing else does: what it has not written is gone. */
  async kill(): Promise<void> {
    if (this.ended !== undefined) return;
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }

  /** Asks it to end, and says how it did. */
  async end(): Promise<string | undefined> {
    if (this.ended === undefined) {
      const exit = once(this.#child, "exit");
      this.say("end");
      await exit;
    }
    return this.ended;
  }
}

/** Where a group talks that does not talk over TCP. */
export interface GroupOnNats {
  /** As `host:port`. */
  readonly server: string;
  /** Of no other group there. */
  readonly prefix: string;
}

/** Members that have found each other, and the proxies through which they talk. */
export class Members implements AsyncDisposable {
  readonly members: readonly Member[];
  /** By the two that it is between, ascending; over NATS, by the one that it is before. */
  readonly #proxies: Map<string, CuttingProxy>;

  private constructor(members: readonly Member[], proxies: Map<string, CuttingProxy>) {
    this.members = members;
    this.#proxies = proxies;
  }

  static async start(tasks: readonly Omit<Task, "nats">[], nats?: GroupOnNats): Promise<Members> {
    const proxies = new Map<string, CuttingProxy>();
    const members: Member[] = [];
    for (const task of tasks) {
      const proxy = nats && (await CuttingProxy.open(nats.server));
      if (proxy) proxies.set(task.self, proxy);
      const over = proxy && { servers: `nats://${proxy.address}`, prefix: nats.prefix };
      members.push(new Member(over ? { ...task, nats: over } : task));
    }
    const group = new Members(members, proxies);
    try {
      await group.until("all are there", () => members.every(({ isThere }) => isThere));
      for (const one of members) {
        const connect: Record<string, string> = {};
        for (const other of members) {
          if (one.id === other.id) continue;
          let { address } = other.standing;
          if (!nats && one.id < other.id) {
            const proxy = await CuttingProxy.open(address);
            group.#proxies.set(`${one.id} ${other.id}`, proxy);
            address = proxy.address;
          }
          connect[other.id] = address;
        }
        one.say({ connect });
      }
      return group;
    } catch (error) {
      await group[Symbol.asyncDispose]();
      throw error;
    }
  }

  get proxies(): readonly CuttingProxy[] {
    return [...this.#proxies.values()];
  }

  /** By which the second hears of the first; over NATS, of all. */
  proxy(one: string, other: string): CuttingProxy {
    const name = [one, other].sort().join(" ");
    return (this.#proxies.get(other) ?? this.#proxies.get(name)) as CuttingProxy;
  }

  others(id: string): readonly Member[] {
    return this.members.filter((one) => one.id !== id);
  }

  go(): void {
    for (const member of this.members) {
      member.onStanding = ({ residentBytes }) => void member.resident.push(residentBytes);
      member.say("go");
    }
  }

  /**
   * Waits, and does something meanwhile. Gives up once a member has ended that should not, or nothing has changed for very long.
   * @param fallen of whom nobody expects to live
   */
  async until(
    what: string,
    is: () => boolean,
    { act = (): number => 10, fallen = "" }: { act?: () => number; fallen?: string } = {},
  ): Promise<void> {
    let before = "";
    let changedMs = performance.now();
    while (!is()) {
      await pause(act());
      for (const { id, ended, errors } of this.members)
        if (ended !== undefined && id !== fallen)
          throw new Error(`${what}: ${id} ended with ${ended}\n${errors}`);
      const now = JSON.stringify(this.members.map((one) => one.isThere && one.standing.delivered));
      if (now !== before) changedMs = performance.now();
      before = now;
      if (performance.now() - changedMs > PATIENCE_MS)
        throw new Error(`not so after ${PATIENCE_MS} ms: ${what}\n${this.toString()}`);
    }
  }

  /** Waits until nothing more is delivered by those: as often as they tell it, five times running. */
  async settled(some: readonly Member[], fallen = ""): Promise<void> {
    const now = (): string =>
      some.map(({ standing }) => [standing.sent, ...standing.delivered]).join(" ");
    let before = now();
    let since = some.map(({ standing }) => standing.tellings);
    const is = (): boolean => {
      if (now() !== before) {
        before = now();
        since = some.map(({ standing }) => standing.tellings);
      }
      return some.every(({ standing }, i) => standing.tellings >= (since[i] ?? 0) + 5);
    };
    await this.until("nothing more is delivered", is, { fallen });
  }

  /** For messages of tests. */
  toString(): string {
    return this.members
      .map((one) => `${one.id}: ${one.isThere ? JSON.stringify(one.standing) : "nothing told"}`)
      .join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    await Promise.all(this.proxies.map((proxy) => proxy.close()));
  }
}
