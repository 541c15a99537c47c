// A store of three replicas, `tidemark kv`, as an example has it: started, hurt, restored, and ended with it.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Problem, until } from "./example.ts";
import { Lost, pairs, RedisClient, type Reply } from "./redis-client.ts";

/** The command line beside the library that this example imports. */
const LIBRARY = import.meta.resolve("tidemark");
const MAIN = fileURLToPath(new URL(`cli/main${/\.[jt]s$/.exec(LIBRARY)?.[0]}`, LIBRARY));
const NODE = [...process.execArgv, MAIN];

export interface Replica {
  readonly id: string;
  readonly port: number;
}

export class Replicas {
  readonly all: readonly Replica[];
  readonly #directory: string;
  readonly #ownDirectory: boolean;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #stop: AbortSignal;
  #said = "";
  #isEnded: boolean = false;
  /** Of those who only look. */
  readonly #lookers: (RedisClient | undefined)[] = [];
  /** Whether each was there when it was last looked at. */
  readonly up: boolean[] = [false, false, false];

  private constructor(port: number, directory: string | undefined, stop: AbortSignal) {
    this.#stop = stop;
    this.#ownDirectory = directory === undefined;
    this.#directory = directory ?? mkdtempSync(join(tmpdir(), "tidemark-example-"));
    this.all = [0, 1, 2].map((i) => ({ id: `p${i + 1}`, port: port + i }));
    const options = ["--port", String(port), "--dir", this.#directory, "--interval", "1h"];
    // In a process group of its own: Ctrl-C is for the example, which ends the store when it has done its part.
    this.#child = spawn(process.execPath, [...NODE, "kv", ...options], {
      ...{ detached: true, stdio: ["ignore", "ignore", "pipe"] },
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-2_000);
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once("close", () => {
        this.#isEnded = true;
        resolve();
      });
    });
    process.once("exit", () => this.#child.kill());
  }

  /** Starts three replicas on that port and the two after it. @throws Problem it cannot be */
  static async start(
    port: number,
    directory: string | undefined,
    stop: AbortSignal,
  ): Promise<Replicas> {
    // Whoever serves there is not to be taken for one of these, and killed for it.
    for (const one of [port, port + 1, port + 2]) {
      const client = await RedisClient.connect(one).catch(() => undefined);
      client?.close();
      if (client) throw new Problem(`port ${one} is taken: say another with --port`);
    }
    const replicas = new Replicas(port, directory, stop);
    try {
      for (const replica of replicas.all)
        await until(`${replica.id} serves ${replica.port}`, stop, () => {
          if (replicas.#isEnded) throw new Problem(replicas.#said.trim() || "the store ended");
          return replicas.isBack(replica);
        });
    } catch (error) {
      await replicas.stop();
      throw error;
    }
    return replicas;
  }

  /** It serves, and goes by the name that it should. */
  async isBack({ id, port }: Replica): Promise<boolean> {
    const client = await RedisClient.connect(port).catch(() => undefined);
    const facts = await client?.ask("INFO", "server").catch(() => undefined);
    client?.close();
    return factsIn(facts).get("tidemark_process") === id;
  }

  /** Ends the process as a crash does: it is told nothing and saves nothing. Gives its number. */
  async kill({ id, port }: Replica): Promise<number> {
    const client = await RedisClient.connect(port);
    const facts = factsIn(await client.ask("INFO", "server"));
    client.close();
    const pid = Number(facts.get("process_id"));
    if (facts.get("tidemark_process") !== id || !(pid > 1))
      throw new Problem(`${id} does not serve port ${port}`);
    process.kill(pid, "SIGKILL");
    return pid;
  }

  /** Takes a snapshot of the whole store, asked of that replica. Gives its name. @throws Problem it was abandoned */
  async snapshot({ port }: Replica): Promise<string> {
    const client = await RedisClient.connect(port);
    const newest = async () => {
      const [listed] = (await client.ask("TIDEMARK", "SNAPSHOTS", 1)) as readonly Reply[];
      return new Map(pairs(listed)).get("id");
    };
    try {
      const earlier = await newest();
      await client.ask("BGSAVE");
      let facts = factsIn("");
      await until("the snapshot is complete", this.#stop, async () => {
        facts = factsIn(await client.ask("INFO", "persistence"));
        return facts.get("rdb_bgsave_in_progress") === "0";
      });
      const name = await newest();
      if (facts.get("rdb_last_bgsave_status") === "ok" && name !== earlier && name) return name;
      throw new Problem("BGSAVE left no snapshot");
    } finally {
      client.close();
    }
  }

  /** Brings all replicas back to a snapshot, and gives the new epoch. @throws Problem somebody is absent */
  async restore(snapshot: string): Promise<number> {
    const client = await RedisClient.connect((this.all[0] as Replica).port);
    const reply = (await client.ask("TIDEMARK", "RESTORE", snapshot)) as readonly Reply[];
    client.close();
    const facts = new Map(pairs(reply));
    if (facts.get("proof")) return Number(facts.get("epoch"));
    throw new Problem(`${snapshot} was restored, but ${facts.get("reason")}`);
  }

  /** What a replica answers; undefined while it is away. */
  async look(
    place: number,
    commands: readonly (readonly (string | number)[])[],
  ): Promise<readonly Reply[] | undefined> {
    try {
      const { port } = this.all[place] as Replica;
      if (!this.#lookers[place]?.isOpen) this.#lookers[place] = await RedisClient.connect(port);
      const replies = await this.#lookers[place]?.askAll(commands);
      this.up[place] = true;
      return replies;
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      this.up[place] = false;
      return undefined;
    }
  }

  async stop(): Promise<void> {
    for (const client of this.#lookers) client?.close();
    if (!this.#isEnded) this.#child.kill("SIGINT");
    await this.#ended;
    if (this.#ownDirectory) rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Somebody who is at home at one replica, goes to another while that is away, and comes home again. */
export class Guest {
  readonly #replicas: Replicas;
  readonly #home: number;
  #at: number;
  #client: RedisClient | undefined;

  constructor(replicas: Replicas, home: number) {
    this.#replicas = replicas;
    this.#home = home;
    this.#at = home;
  }

  /** A connection, to whichever replica there is. @throws Lost this one is away: ask again for another */
  async client(): Promise<RedisClient> {
    if (this.#at !== this.#home && this.#replicas.up[this.#home]) {
      this.leave();
      this.#at = this.#home;
    }
    if (this.#client?.isOpen) return this.#client;
    try {
      this.#client = await RedisClient.connect((this.#replicas.all[this.#at] as Replica).port);
      return this.#client;
    } catch (error) {
      this.#at = (this.#at + 1) % 3;
      throw error;
    }
  }

  leave(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}

function factsIn(info: unknown): ReadonlyMap<string, string> {
  const lines = typeof info === "string" ? info.split("\r\n") : [];
  return new Map(lines.map((line) => line.split(":", 2) as [string, string]));
}
