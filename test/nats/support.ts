/** Debian's nats-server, one or three of them, on loopback. Where there is none, tests are left out; .ci/run installs it. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, connect as dial, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { freePorts } from "../support/ports.ts";

/** On CI a test that needs one fails for want of it. */
export const lacksNats: boolean =
  process.env["CI"] === undefined && spawnSync("nats-server", ["--version"]).status !== 0;

if (lacksNats)
  process.stderr.write("tests of NATS are left out: apt-get install nats-server brings it\n");

const PATIENCE_MS = 60_000;
const POLL_MS = 25;

/** Waits until it is so. */
export async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** A server that keeps its streams in a directory of its own, also when it is killed and started again. */
export class NatsServer {
  readonly port: number;
  readonly #directory: string;
  #config: string;
  readonly #jetstream: boolean;
  #child: ChildProcess | undefined;
  #log = "";

  private constructor(port: number, config: string, jetstream: boolean) {
    this.port = port;
    this.#directory = mkdtempSync(join(tmpdir(), "tidemark-nats-"));
    this.#config = config;
    this.#jetstream = jetstream;
  }

  /**
   * Starts one on a free port, and waits until it answers.
   * @param config more for its configuration: of a cluster, of users
   */
  static async start(config = "", jetstream = true): Promise<NatsServer> {
    const port = await freePorts(1);
    const server = new NatsServer(port, config, jetstream);
    await server.restart();
    return server;
  }

  /** The same, without waiting, on a port that was chosen. */
  static begin(port: number, config: string): NatsServer {
    const server = new NatsServer(port, config, true);
    server.#spawn();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get isUp(): boolean {
    return this.#child !== undefined;
  }

  /** Starts it again, with what it had. */
  async restart(config: string = this.#config): Promise<void> {
    this.#config = config;
    this.#spawn();
    await this.answers();
  }

  /** Waits until it lets clients in. */
  async answers(): Promise<void> {
    await until(`nats-server listens:\n${this.#log}`, () => {
      if (!this.isUp) throw new Error(`nats-server has ended:\n${this.#log}`);
      return this.#log.includes("Server is ready");
    });
  }

  /** As a power switch would end it, but for what the system has yet to write. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ends it, and removes what it had. */
  async stop(): Promise<void> {
    await this.#end("SIGKILL");
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #spawn(): void {
    const file = join(this.#directory, "nats.conf");
    const jetstream = this.#jetstream
      ? `jetstream { store_dir: "${join(this.#directory, "streams")}", max_file_store: 4G }\n`
      : "";
    writeFileSync(file, `listen: "127.0.0.1:${this.port}"\n${jetstream}${this.#config}`);
    this.#log = "";
    const child = spawn("nats-server", ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    child.stderr.on("data", (text) => {
      // The end of it is enough to say what went wrong.
      this.#log = (this.#log + text).slice(-100_000);
    });
    const ended = (): void => {
      if (this.#child === child) this.#child = undefined;
    };
    child.on("exit", ended);
    child.on("error", ended);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }
}

/** Three servers that know each other. */
export class NatsCluster {
  readonly servers: readonly NatsServer[];

  private constructor(servers: readonly NatsServer[]) {
    this.servers = servers;
  }

  static async start(): Promise<NatsCluster> {
    const first = await freePorts(6);
    const routes = [3, 4, 5].map((i) => first + i);
    const servers = routes.map((route, i) =>
      NatsServer.begin(
        first + i,
        `server_name: s${i}\ncluster { name: tidemark, listen: "127.0.0.1:${route}", routes: [${routes
          .map((port) => `"nats://127.0.0.1:${port}"`)
          .join(", ")}] }\n`,
      ),
    );
    const cluster = new NatsCluster(servers);
    for (const server of servers) await server.answers();
    await cluster.hasLeader();
    return cluster;
  }

  get urls(): string[] {
    return this.servers.map(({ url }) => url);
  }

  /** Waits until streams can be made. */
  async hasLeader(): Promise<void> {
    const up = this.servers.filter(({ isUp }) => isUp).map(({ url }) => url);
    const connection = await connect({ servers: up });
    try {
      await until("the cluster has a leader", async () => {
        try {
          const manager = await jetstreamManager(connection, { timeout: 1_000 });
          await manager.streams.list().next();
          return true;
        } catch {
          return false;
        }
      });
    } finally {
      await connection.close();
    }
  }

  /** Waits until every server has all that the others have: only then another may be lost. */
  async isWhole(): Promise<void> {
    await withNats(this.urls, async (connection) => {
      const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 1_000 });
      await until("every server has caught up", async () => {
        try {
          for await (const { cluster } of manager.streams.list()) {
            const replicas = cluster?.replicas ?? [];
            const others = this.servers.length - 1;
            if (replicas.filter(({ current }) => current).length < others) return false;
          }
          return true;
        } catch {
          return false;
        }
      });
    });
  }

  /** Which server leads a stream. */
  async leaderOf(stream: string): Promise<NatsServer> {
    const connection = await connect({
      servers: this.servers.filter(({ isUp }) => isUp).map(({ url }) => url),
    });
    try {
      const manager = await jetstreamManager(connection);
      const leader = (await manager.streams.info(stream)).cluster?.leader;
      return this.servers[Number(leader?.slice(1))] as NatsServer;
    } finally {
      await connection.close();
    }
  }

  async stop(): Promise<void> {
    for (const server of this.servers) await server.stop();
  }
}

/** A connection of the test's own, to look at what is there and to meddle with it. */
export async function withNats<T>(
  servers: string | string[],
  work: (connection: NatsConnection) => Promise<T>,
): Promise<T> {
  const connection = await connect({ servers });
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

/** Stands before a server, and loses what it answers when it is told to: the connection breaks instead. */
export class LosingProxy implements AsyncDisposable {
  /** Answers that were lost. */
  lost = 0;
  readonly #server: Server;
  #losing: string | undefined;
  #isCut: boolean = false;
  readonly #open = new Set<() => void>();

  private constructor(port: number) {
    this.#server = createServer((client) => {
      const server = dial(port, "127.0.0.1");
      const end = (): void => {
        this.#open.delete(end);
        client.destroy();
        server.destroy();
      };
      this.#open.add(end);
      if (this.#isCut) end();
      client
        .on("data", (bytes) => server.write(bytes))
        .on("error", end)
        .on("close", end);
      server.on("error", end).on("close", end);
      server.on("data", (bytes) => {
        if (this.#losing === undefined || !bytes.includes(this.#losing)) {
          client.write(bytes);
          return;
        }
        this.#losing = undefined;
        this.lost += 1;
        end();
      });
    });
  }

  static async before(port: number): Promise<LosingProxy> {
    const proxy = new LosingProxy(port);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    const address = this.#server.address();
    return `nats://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  }

  /** Ends all connections, and lets none through until `resume`. */
  cut(): void {
    this.#isCut = true;
    for (const end of this.#open) end();
  }

  resume(): void {
    this.#isCut = false;
  }

  /** Loses the next answer that has this text in it. */
  lose(text: string): void {
    this.#losing = text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
  }
}
