/** Servers of the Redis protocol, started for a bench: Debian's redis-server, and `tidemark kv`. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const READY_MS = 20_000;
const FORCE_MS = 5_000;
const SAID_MAX = 100_000;

/** Something that serves clients of Redis. */
export interface Served {
  readonly port: number;
  /** Of the operating-system process that serves there. */
  readonly pid: number;
  /** Where its snapshots are. */
  readonly directory: string;
  stop(): Promise<void>;
}

/** Ports in a row that are free, below those that the system gives away. */
export async function freePorts(many: number): Promise<number> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const ports = Array.from({ length: many }, (_, i) => first + i);
    const free = await Promise.all(
      ports.map(
        (port) =>
          new Promise<boolean>((resolve) => {
            const server = createServer();
            server.once("error", () => resolve(false));
            server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
          }),
      ),
    );
    if (free.every(Boolean)) return first;
  }
}

/** Waits until somebody answers there. */
async function ready(port: number): Promise<void> {
  const untilMs = performance.now() + READY_MS;
  while (performance.now() < untilMs) {
    const isThere = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("error", () => resolve(false));
      socket.once("connect", () => socket.write("PING\r\n"));
      socket.once("data", (reply) => {
        socket.destroy();
        resolve(String(reply).startsWith("+PONG"));
      });
    });
    if (isThere) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nobody serves port ${port}`);
}

async function end(child: ChildProcess, signal: "SIGINT" | "SIGTERM"): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), FORCE_MS);
  await ended;
  clearTimeout(timer);
}

/** A command that serves a page. */
export interface ServedPage {
  /** With the token. */
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** @param args of the command line */
export async function startPage(args: readonly string[]): Promise<ServedPage> {
  const command = ["--conditions=tidemark-source", MAIN, ...args];
  const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  const hear = (text: unknown): void => {
    // What it says later is not kept.
    if (said.length < SAID_MAX) said += String(text);
  };
  child.stdout?.on("data", hear);
  child.stderr?.on("data", hear);
  const url = (): string | undefined => /the page is at (http:\S+#token=[0-9a-f]+)/.exec(said)?.[1];
  const untilMs = performance.now() + READY_MS;
  while (url() === undefined) {
    if (child.exitCode !== null || performance.now() > untilMs)
      throw new Error(`there is no page: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { url: String(url()), pid: Number(child.pid), stop: () => end(child, "SIGINT") };
}

/** redis-server without persistence, with so many replicas that follow it. */
export async function startRedis(replicas: number): Promise<Served> {
  const first = await freePorts(replicas + 1);
  const directory = mkdtempSync(join(tmpdir(), "tidemark-bench-"));
  const children: ChildProcess[] = [];
  for (let i = 0; i <= replicas; i += 1) {
    const plain = [
      "--port",
      String(first + i),
      "--save",
      "",
      "--appendonly",
      "no",
      "--dir",
      directory,
    ];
    const names = ["--dbfilename", `dump-${i}.rdb`];
    const follows = i === 0 ? [] : ["--replicaof", `127.0.0.1 ${first}`];
    children.push(spawn("redis-server", [...plain, ...names, ...follows], { stdio: "ignore" }));
    await ready(first + i);
  }
  return {
    port: first,
    pid: children[0]?.pid ?? 0,
    directory,
    async stop() {
      for (const child of children) await end(child, "SIGTERM");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/**
 * `tidemark kv` without logs.
 * @param environment what its processes are to have in addition, told where its snapshots will be
 */
export async function startStore(
  processes: number,
  environment: (directory: string) => NodeJS.ProcessEnv = () => ({}),
): Promise<Served> {
  const port = await freePorts(processes);
  const directory = mkdtempSync(join(tmpdir(), "tidemark-bench-"));
  const plain = [
    "kv",
    "--processes",
    String(processes),
    "--port",
    String(port),
    "--dir",
    directory,
  ];
  const child = spawn(
    process.execPath,
    ["--conditions=tidemark-source", MAIN, ...plain, "--log", "off", "--interval", "1h"],
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...environment(directory) } },
  );
  let said = "";
  child.stdout?.on("data", (text) => {
    said += String(text);
  });
  for (let i = 0; i < processes; i += 1) await ready(port + i);
  const pid = (): string | undefined => /^p1 +(\d+)/m.exec(said)?.[1];
  while (pid() === undefined) await new Promise((resolve) => setTimeout(resolve, 50));
  return {
    port,
    pid: Number(pid()),
    directory,
    async stop() {
      await end(child, "SIGINT");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
