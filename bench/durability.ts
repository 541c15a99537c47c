/** What input logs cost, and how fast a process comes back. */

import { cp, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Application,
  type LogPolicy,
  MemoryNetwork,
  memoryStore,
  type RunningProcess,
  startProcess,
  type Turn,
} from "tidemark";
import { throughput, withMesh } from "./member.ts";
import { median, type Result } from "./result.ts";
import { flood, TIDEMARK_MEMBER } from "./tcp.ts";

const ROUNDS = 5;
const SECONDS = 2;
/** Requests that are under way at a time: one flush is for all of them. */
const ASKED_AT_ONCE = 256;
const INPUTS = 1_000_000;
const FLUSHED_BYTES = 4_096;

export async function* durability(): AsyncGenerator<Result> {
  yield* policies();
  yield* acknowledgements();
  yield* recovery();
}

/** Full load, three processes, by policy; beside it that with `none`. */
async function* policies(): AsyncGenerator<Result> {
  for (const bytes of [100, 1024]) {
    const rates = new Map<LogPolicy | "no log", number[]>();
    for (let round = 0; round < ROUNDS; round += 1)
      for (const policy of ["no log", "none", "everysec", "always"] as const) {
        const words = policy === "no log" ? [] : [policy];
        const rate = await withMesh(
          TIDEMARK_MEMBER,
          3,
          async (members) => {
            await flood(members, bytes);
            return throughput(members, SECONDS);
          },
          true,
          words,
        );
        rates.set(policy, [...(rates.get(policy) ?? []), rate]);
      }
    const none = rates.get("none") ?? [];
    for (const [policy, own] of rates)
      yield {
        bench: "durability",
        case: `${policy}, ${bytes} B; limit: none`,
        value: median(own),
        unit: "deliveries/s/member",
        limit: median(none),
        ratio: median(own.map((value, i) => value / (none[i] as number))),
      };
  }
}

/** Adds. */
class Adder implements Application<never, number, number, number> {
  #sum = 0;

  request(id: number, amount: number, turn: Turn<never, number>): void {
    this.#sum += amount;
    turn.reply(id, this.#sum);
  }

  capture(): number {
    return this.#sum;
  }

  restore(sum: number): void {
    this.#sum = sum;
  }
}

const begin = (
  directory: string,
  policy: LogPolicy,
): Promise<RunningProcess<never, number, number, number>> =>
  startProcess<never, number, number, number>({
    id: "p1",
    processes: ["p1"],
    application: new Adder(),
    transport: new MemoryNetwork().transport(),
    store: memoryStore(),
    // No capture: all inputs are to be taken again.
    log: { directory, policy, captureBytes: Number.MAX_SAFE_INTEGER },
  });

async function inDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "tidemark-bench-"));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Answers a second that are on the disk, beside flushes a second of a file to which a little is appended each time. */
async function* acknowledgements(): AsyncGenerator<Result> {
  const own: number[] = [];
  const flushes: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    flushes.push(await inDirectory(flushesPerSecond));
    own.push(await inDirectory(answersPerSecond));
  }
  yield {
    bench: "durability",
    case: `always: answers, ${ASKED_AT_ONCE} asked at a time; limit: flushes`,
    value: median(own),
    unit: "1/s",
    limit: median(flushes),
    ratio: median(own.map((value, i) => value / (flushes[i] as number))),
  };
}

async function flushesPerSecond(directory: string): Promise<number> {
  const file = await open(join(directory, "raw"), "a");
  const bytes = new Uint8Array(FLUSHED_BYTES).fill(7);
  const startMs = performance.now();
  let flushed = 0;
  for (; performance.now() < startMs + SECONDS * 1000; flushed += 1) {
    await file.write(bytes);
    await file.datasync();
  }
  const seconds = (performance.now() - startMs) / 1000;
  await file.close();
  return flushed / seconds;
}

async function answersPerSecond(directory: string): Promise<number> {
  const running = await begin(directory, "always");
  const startMs = performance.now();
  let answered = 0;
  const ask = async (): Promise<void> => {
    for (; performance.now() < startMs + SECONDS * 1000; answered += 1) await running.request(1);
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, ask));
  const seconds = (performance.now() - startMs) / 1000;
  await running.stop();
  return answered / seconds;
}

/** From its beginning until it is as it was, with so many inputs in its log. */
async function* recovery(): AsyncGenerator<Result> {
  const seconds = await inDirectory(async (directory) => {
    const log = join(directory, "log");
    const running = await begin(log, "none");
    for (let asked = 0; asked < INPUTS; asked += 1_000)
      await Promise.all(Array.from({ length: 1_000 }, () => running.request(1)));
    // As if it had been killed: a process that stops in order keeps its state.
    const taken: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const copy = join(directory, `copy-${round}`);
      await cp(log, copy, { recursive: true, filter: (path) => !/lock/.test(path) });
      const startMs = performance.now();
      const again = await begin(copy, "none");
      taken.push((performance.now() - startMs) / 1000);
      if ((await again.request(0)) !== INPUTS) throw new Error("inputs are missing");
      await again.stop();
      await rm(copy, { recursive: true });
    }
    await running.stop();
    return taken;
  });
  const value = median(seconds);
  yield { bench: "durability", case: `back from ${INPUTS} inputs`, value, unit: "s" };
  yield { bench: "durability", case: "replay", value: INPUTS / value, unit: "inputs/s" };
}
