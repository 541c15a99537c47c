/**
 * What BGSAVE costs those who use the store meanwhile, beside Debian's redis-server: times and throughput before and during, how long it
 * takes, what it writes, for how long it keeps the event loop, and what a key takes in memory.
 */

import { type ChildProcess, fork } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { LoadCall, LoadResult } from "./kv-load.ts";
import type { LoopTimes } from "./loop-probe.ts";
import { median, quantile, type Result } from "./result.ts";
import { type Served, startRedis, startStore } from "./served.ts";

const LOAD = fileURLToPath(new URL("./kv-load.ts", import.meta.url));
const PROBE = new URL("./loop-probe.ts", import.meta.url).href;
const CLIENTS = 50;
const ROUNDS = 3;
const BEFORE_MS = 3_000;
const WARM_UP_MS = 4_000;
/** Moderate: what both servers can do with most of a processor to spare. */
const PER_SECOND = 5_000;
const POLL_MS = 5;
const MIB = 1_048_576;

/** What was measured of one server, each figure once for each round. */
interface Measured {
  readonly steady: readonly During[];
  readonly full: readonly During[];
  readonly idle: readonly {
    readonly saveMs: number;
    readonly longestMs: number;
    readonly calmMs: number;
  }[];
  readonly loops: readonly LoopTimes[];
  readonly bytes: readonly number[];
  readonly bytesAgain: number;
  readonly keyBytes: { readonly resident: number; readonly used: number };
}

/** A load before and during a snapshot. */
interface During {
  readonly before: LoadResult;
  readonly during: LoadResult;
  readonly saveMs: number;
}

/** The process that puts load on a server. */
class Load {
  readonly #child: ChildProcess = fork(LOAD, { execArgv: [...process.execArgv] });
  #settle: ((message: { readonly result?: unknown; readonly failed?: string }) => void) | undefined;

  constructor() {
    this.#child.on("message", (message) => this.#settle?.(message as object));
    this.#child.on("exit", () =>
      this.#settle?.({ failed: "the process that puts load on it ended" }),
    );
  }

  ask<T>(call: LoadCall): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#settle = ({ result, failed }) =>
        failed === undefined ? resolve(result as T) : reject(new Error(failed));
      this.#child.send(call);
    });
  }

  /** A load for as long as something takes. */
  async during(perSecond: number, work: () => Promise<unknown>): Promise<LoadResult> {
    const result = this.ask<LoadResult>({ call: "load", perSecond });
    await work();
    this.#child.send({ call: "stop" } satisfies LoadCall);
    return await result;
  }

  end(): void {
    this.#child.removeAllListeners("exit");
    this.#child.disconnect();
  }
}

/** A connection that asks one thing after another. */
class Asker {
  readonly #socket: Socket;
  #text = "";
  #isWhole: (text: string) => boolean = () => false;
  #settle: (text: string) => void = () => {};

  constructor(port: number) {
    this.#socket = connect(port, "127.0.0.1").setNoDelay(true);
    this.#socket.on("data", (data) => {
      this.#text += data.toString("latin1");
      if (!this.#isWhole(this.#text)) return;
      const text = this.#text;
      this.#text = "";
      this.#settle(text);
    });
  }

  ask(request: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#settle = (text) => (text.startsWith("-") ? reject(new Error(text)) : resolve(text));
      this.#isWhole = (text) => {
        const [, length] = /^\$(\d+)\r\n/.exec(text) ?? [];
        if (length === undefined) return text.endsWith("\r\n");
        return text.length >= `$${length}\r\n`.length + Number(length) + 2;
      };
      this.#socket.write(`${request}\r\n`);
    });
  }

  async info(name: string): Promise<number> {
    const text = await this.ask("INFO");
    return Number(new RegExp(`^${name}:(\\d+)`, "m").exec(text)?.[1] ?? Number.NaN);
  }

  /** Takes a snapshot, and gives the milliseconds until it was there. */
  async save(): Promise<number> {
    const startMs = performance.now();
    await this.ask("BGSAVE");
    while ((await this.info("rdb_bgsave_in_progress")) !== 0) await pause(POLL_MS);
    if (!(await this.ask("INFO persistence")).includes("rdb_last_bgsave_status:ok"))
      throw new Error("BGSAVE failed");
    return performance.now() - startMs;
  }

  end(): void {
    this.#socket.destroy();
  }
}

function residentBytes(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) * 1024;
}

/** Of all snapshots. */
function storedBytes(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

/** One client that asks back to back, as long as something takes: its longest time is how long the server did nothing for anybody. */
async function longestStop(port: number, work: () => Promise<unknown>): Promise<number> {
  const asker = new Asker(port);
  let isOver = false;
  const over = work().finally(() => {
    isOver = true;
  });
  let longestMs = 0;
  while (!isOver) {
    const startMs = performance.now();
    await asker.ask("PING");
    longestMs = Math.max(longestMs, performance.now() - startMs);
  }
  asker.end();
  await over;
  return longestMs;
}

/** What a probe finds in a process while something is done. */
async function probed(
  { pid, directory }: Served,
  work: () => Promise<unknown>,
): Promise<LoopTimes> {
  const path = join(directory, String(pid));
  rmSync(path, { force: true });
  process.kill(pid, "SIGUSR2");
  await work();
  process.kill(pid, "SIGUSR2");
  while (!existsSync(path)) await pause(20);
  return JSON.parse(readFileSync(path, "utf8")) as LoopTimes;
}

async function measure(served: Served, keys: number, isProbed: boolean): Promise<Measured> {
  const { port, pid, directory } = served;
  const load = new Load();
  const asker = new Asker(port);
  const save = (): Promise<number> => asker.save();
  const steady: During[] = [];
  const full: During[] = [];
  const idle: { saveMs: number; longestMs: number; calmMs: number }[] = [];
  const loops: LoopTimes[] = [];
  const bytes: number[] = [];
  let rounds = 0;
  // Else the next snapshot would have little to write: what it wrote before it does not write again.
  const refill = async (): Promise<void> => {
    rounds += 1;
    await load.ask({ call: "fill", round: rounds });
  };
  const loaded = async (perSecond: number): Promise<During> => {
    await refill();
    const before = await load.during(perSecond, () => pause(BEFORE_MS));
    let saveMs = 0;
    const during = await load.during(perSecond, async () => {
      saveMs = await save();
    });
    return { before, during, saveMs };
  };
  try {
    const [resident, used] = [residentBytes(pid), await asker.info("used_memory")];
    await load.ask({ call: "connect", port, clients: CLIENTS, keys });
    await refill();
    const residentFull = residentBytes(pid);
    let usedFull = await asker.info("used_memory");
    await load.during(0, () => pause(WARM_UP_MS));
    await load.during(PER_SECOND, () => pause(WARM_UP_MS / 2));
    // Until the code of snapshots is compiled, too.
    await save();
    for (let round = 0; round < ROUNDS; round += 1) {
      steady.push(await loaded(PER_SECOND));
      full.push(await loaded(0));
      await refill();
      const calmMs = await longestStop(port, () => pause(BEFORE_MS / 3));
      const before = storedBytes(directory);
      let saveMs = 0;
      const longestMs = await longestStop(port, async () => {
        saveMs = await save();
      });
      idle.push({ saveMs, longestMs, calmMs });
      bytes.push(isProbed ? storedBytes(directory) - before : storedBytes(directory));
      if (!isProbed) continue;
      await refill();
      loops.push(await probed(served, save));
      usedFull = loops.at(-1)?.usedBytes ?? usedFull;
    }
    const before = storedBytes(directory);
    await load.during(PER_SECOND, () => pause(BEFORE_MS / 3));
    await save();
    const after = storedBytes(directory);
    return {
      ...{ steady, full, idle, loops, bytes },
      bytesAgain: isProbed ? after - before : after,
      keyBytes: { resident: (residentFull - resident) / keys, used: (usedFull - used) / keys },
    };
  } finally {
    load.end();
    asker.end();
  }
}

/** With so many keys of 100 B. */
export async function* kvSnapshot({ keys }: { readonly keys: number }): AsyncGenerator<Result> {
  const redis = await startRedis(0);
  let limits: Measured;
  try {
    limits = await measure(redis, keys, false);
  } finally {
    await redis.stop();
  }
  const own = await startStore(1, (directory) => ({
    NODE_OPTIONS: `--import=${PROBE}`,
    PROBE_DIRECTORY: directory,
  }));
  let found: Measured;
  try {
    found = await measure(own, keys, true);
  } finally {
    await own.stop();
  }
  const of = (
    name: string,
    unit: string,
    figure: (measured: Measured) => readonly number[],
  ): Result => {
    const [value, limit] = [median(figure(found)), median(figure(limits))];
    return {
      bench: "kv-snapshot",
      case: `${keys.toLocaleString("en")} keys, ${name}; limit: redis`,
      ...{ value, unit, limit, ratio: value / limit },
    };
  };
  const shares = [
    ["p50", 0.5],
    ["p99", 0.99],
    ["p99.9", 0.999],
  ] as const;
  for (const [load, key] of [
    [`${PER_SECOND.toLocaleString("en")}/s`, "steady"],
    ["full rate", "full"],
  ] as const) {
    for (const [name, share] of shares) {
      for (const when of ["before", "during"] as const)
        yield of(`${load}, ${name} ${when}`, "ms", (one) =>
          one[key].map((round) => quantile(round[when].latencies, share)),
        );
      yield of(`${load}, ${name} during / before`, "times", (one) =>
        one[key].map(
          ({ before, during }) =>
            quantile(during.latencies, share) / quantile(before.latencies, share),
        ),
      );
    }
    const rate = ({ seconds, latencies }: LoadResult): number => latencies.length / seconds;
    yield of(`${load}, throughput before`, "requests/s", (one) =>
      one[key].map(({ before }) => rate(before)),
    );
    yield of(`${load}, throughput during / before`, "times", (one) =>
      one[key].map(({ before, during }) => rate(during) / rate(before)),
    );
    yield of(`${load}, BGSAVE`, "s", (one) => one[key].map(({ saveMs }) => saveMs / 1000));
  }
  yield of("idle, BGSAVE", "s", (one) => one.idle.map(({ saveMs }) => saveMs / 1000));
  yield of("idle, longest PING before", "ms", (one) => one.idle.map(({ calmMs }) => calmMs));
  yield of("idle, longest PING during", "ms", (one) => one.idle.map(({ longestMs }) => longestMs));
  const loop = (name: string, figure: (times: LoopTimes) => number): Result => ({
    bench: "kv-snapshot",
    case: `${keys.toLocaleString("en")} keys, idle, ${name}`,
    value: median(found.loops.map(figure)),
    unit: "ms",
  });
  yield loop("longest turn", ({ longestMs }) => longestMs[0] ?? 0);
  yield loop("10th longest turn", ({ longestMs }) => longestMs[9] ?? 0);
  yield loop("100th longest turn", ({ longestMs }) => longestMs[99] ?? 0);
  yield loop("longest garbage collection", ({ collectionsMs }) => collectionsMs[0] ?? 0);
  yield of("written", "MiB", (one) => one.bytes.map((bytes) => bytes / MIB));
  yield of("written again, after a second of load", "MiB", (one) => [one.bytesAgain / MIB]);
  yield of("memory, resident", "B/key", (one) => [one.keyBytes.resident]);
  yield of("memory, in use", "B/key", (one) => [one.keyBytes.used]);
}
