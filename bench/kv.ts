/** The store beside Debian's redis-server, both asked by redis-benchmark: one process each, and three replicas each. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { median, type Result } from "./result.ts";
import { type Served, startRedis, startStore } from "./served.ts";

const ROUNDS = 5;
const CLIENTS = 50;
const KEYS = 100_000;
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
