/** A store of three processes, each run by a command of its own as on a machine of its own, that share servers of NATS. */

import type { TestClient } from "../../serve/store.ts";
import { isAlive, parseLines, Started, temporaryDirectory } from "./command.ts";
import { clientWhenServed } from "./store-clients.ts";

export const NAMES: readonly string[] = ["a", "b", "c"];

/** The options that name all of them but one. */
export const namesWithout = (id: string): string[] =>
  NAMES.flatMap((name) => (name === id ? [] : ["--peer", name]));

/** Until `stop` is called: one process, on a port of its own, in a directory of its own. */
export function joined(
  id: string,
  port: number,
  dir: string,
  more: readonly string[],
  env: NodeJS.ProcessEnv = {},
  limitMs = 150_000,
): Started {
  const where = ["--port", String(port + NAMES.indexOf(id)), "--dir", dir];
  return new Started(["kv", "--join", id, ...where, "--json", ...more], env, "ignore", limitMs);
}

/** What it runs, as far as it has said so. */
export function pidBelow(process: Started): number | undefined {
  const said = process.stdout.slice(0, process.stdout.lastIndexOf("\n") + 1);
  if (said === "") return undefined;
  return parseLines(said).findLast(({ event }) => event === "started")?.pid;
}

/** All three, which are killed and started again one by one. */
export class JoinedStore {
  readonly port: number;
  readonly #start: (id: string) => Started;
  readonly #processes: Map<string, Started>;
  readonly #killed = new Set<number>();

  /** @param more options that all have */
  constructor(port: number, more: readonly string[], limitMs: number) {
    this.port = port;
    const dirs = new Map(NAMES.map((id) => [id, temporaryDirectory()]));
    this.#start = (id) => {
      const options = [...namesWithout(id), ...more];
      return joined(id, port, dirs.get(id) as string, options, {}, limitMs);
    };
    this.#processes = new Map(NAMES.map((id) => [id, this.#start(id)]));
  }

  get ports(): number[] {
    return NAMES.map((_, i) => this.port + i);
  }

  /** A client of that process, once it serves. Says what the process said if it has ended instead. */
  async client(id: string): Promise<TestClient> {
    return await served(this.process(id), this.port + NAMES.indexOf(id));
  }

  process(id: string): Started {
    return this.#processes.get(id) as Started;
  }

  /** The process dies, and is started again by the command that runs it. False: it is not there just now. */
  killBelow(id: string): boolean {
    const pid = pidBelow(this.process(id));
    // Nobody else is to be killed who has that number by now.
    if (pid === undefined || this.#killed.has(pid) || !isAlive(pid)) return false;
    this.#killed.add(pid);
    process.kill(pid, "SIGKILL");
    return true;
  }

  /** All that is on its machine dies, and is started again. */
  async killWhole(id: string): Promise<void> {
    this.killBelow(id);
    this.process(id).child.kill("SIGKILL");
    await this.process(id).ended;
    this.#processes.set(id, this.#start(id));
  }

  async stop(): Promise<void> {
    for (const { child } of this.#processes.values()) child.kill("SIGTERM");
    for (const [id, { ended }] of this.#processes) {
      const { status, stderr } = await ended;
      if (status !== 0) throw new Error(`${id} ended with ${status}:\n${stderr}`);
    }
  }
}

/** A client of a process, once it serves. Says what the process said if it has ended instead. */
export async function served(process: Started, port: number): Promise<TestClient> {
  let isOver = false;
  const ended = process.ended.then(({ status, stderr }) => {
    if (!isOver) throw new Error(`who should serve port ${port} ended with ${status}:\n${stderr}`);
    return undefined as never;
  });
  try {
    return await Promise.race([clientWhenServed(port), ended]);
  } finally {
    isOver = true;
  }
}
