/** The store beside Debian's redis-server, both asked by redis-benchmark: one process each, and three replicas each. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { median, type Result } from "./result.ts";

const MAIN = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const ROUNDS = 5;
const CLIENTS = 50;
const KEYS = 100_000;
const READY_MS = 20_000;
const FORCE_MS = 5_000;

/** Something that serves clients of Redis. */
interface Served {
  readonly port: number;
  /** Of the operating-system process that serves there. */
  readonly pid: number;
  stop(): Promise<void>;
}

/** Ports in a row that are free. */
async function freePorts(many: number): Promise<number> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 20_000);
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

/** redis-server without persistence, with so many replicas that follow it. */
async function startRedis(replicas: number): Promise<Served> {
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
    async stop() {
      for (const child of children) await end(child, "SIGTERM");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** `tidemark kv` without logs. */
async function startStore(processes: number): Promise<Served> {
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
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let said = "";
  child.stdout?.on("data", (text) => {
    said += String(text);
  });
  for (let i = 0; i < processes; i += 1) await ready(port + i);
  return {
    port,
    pid: Number(/^p1 +(\d+)/m.exec(said)?.[1] ?? 0),
    async stop() {
      await end(child, "SIGINT");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Requests a second. */
async function rate(port: number, command: "set" | "get", pipeline: number): Promise<number> {
  const requests = pipeline === 1 ? 100_000 : 600_000;
  const { stdout } = await promisify(execFile)("redis-benchmark", [
    ...["-p", String(port), "-c", String(CLIENTS), "-n", String(requests), "-P", String(pipeline)],
    ...["-d", "100", "-r", String(KEYS), "-t", command, "--csv"],
  ]);
  const [, measured] = /^"(?:SET|GET)","([\d.]+)"/m.exec(stdout) ?? [];
  if (measured === undefined) throw new Error(`redis-benchmark said ${stdout}`);
  return Number(measured);
}

/** Both in turn, so that a machine that changes its speed changes both. */
async function* compare(
  own: Served,
  redis: Served,
  what: string,
  cases: readonly (readonly ["set" | "get", number])[],
): AsyncGenerator<Result> {
  // Until its code is compiled, and all keys are there.
  for (const { port } of [own, redis]) await rate(port, "set", 16);
  for (const [command, pipeline] of cases) {
    const rates: (readonly [own: number, redis: number])[] = [];
    for (let round = 0; round < ROUNDS; round += 1)
      rates.push([
        await rate(own.port, command, pipeline),
        await rate(redis.port, command, pipeline),
      ]);
    yield {
      bench: "kv",
      case: `${what}, ${command.toUpperCase()}, P=${pipeline}; limit: redis`,
      value: median(rates.map(([value]) => value)),
      unit: "requests/s",
      limit: median(rates.map(([, limit]) => limit)),
      ratio: median(rates.map(([value, limit]) => value / limit)),
    };
  }
}

export async function* kv(): AsyncGenerator<Result> {
  for (const processes of [1, 3]) {
    const redis = await startRedis(processes - 1);
    const own = await startStore(processes);
    try {
      yield* compare(own, redis, processes === 1 ? "1 process" : `${processes} replicas`, [
        ["set", 1],
        ["get", 1],
        ["set", 16],
        ["get", 16],
      ]);
    } finally {
      await own.stop();
      await redis.stop();
    }
  }
}
