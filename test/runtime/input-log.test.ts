/** The input log on a real disk, with real processes. What a loss of power leaves is in input-log-power.test.ts. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { isTidemarkError, type TidemarkError } from "../../src/core/error.ts";
import { Random } from "../../src/core/random.ts";
import {
  type InputLog,
  type InputLogOptions,
  type LogPolicy,
  openInputLog,
  salvageLog,
} from "../../src/runtime/input-log.ts";
import { HEADER_BYTES, sealBlock } from "../../src/runtime/log-files.ts";
import { cases, seeds } from "../support/soak.ts";
import { recordOf, type Told } from "./input-log-child.ts";

const POLICIES: readonly LogPolicy[] = ["always", "everysec", "none"];
const CHILD = fileURLToPath(new URL("./input-log-child.ts", import.meta.url));

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-log-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const text = (record: Uint8Array): string => Buffer.from(record).toString();
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);

async function recordsOf(log: InputLog): Promise<string[]> {
  const all: string[] = [];
  for await (const records of log.records()) all.push(...records.map(text));
  return all;
}

/** Opens, reads all and closes. */
async function readAll(
  directory: string,
  options: InputLogOptions = {},
): Promise<{ image: string | undefined; slices: string[]; records: string[]; position: number }> {
  await using log = await openInputLog(directory, options);
  const slices: string[] = [];
  if (log.capture) for await (const slice of log.capture.slices()) slices.push(text(slice));
  const { capture, position } = log;
  return { image: capture && text(capture.image), slices, records: await recordsOf(log), position };
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return isTidemarkError(error) ? error.code : String(error);
}

const logFiles = (directory: string): string[] =>
  readdirSync(directory)
    .filter((name) => name !== "lock")
    .sort();

describe.each(POLICIES)("with policy %s", (policy) => {
  test("what was appended comes back, in order, after what was captured", async () => {
    const directory = join(newDirectory(), "not", "there");
    const settled: number[] = [];
    const log = await openInputLog(directory, { policy, onSettled: (at) => settled.push(at) });
    expect([log.capture, log.position, log.bytesSinceCapture]).toEqual([undefined, 0, 0]);
    expect(await recordsOf(log)).toEqual([]);
    const lent = bytes("one");
    expect(log.append(lent)).toBe(8);
    lent.fill(0);
    expect(log.append(bytes("tw"), bytes("o!!"))).toBe(8 + 12);
    const writer = log.beginCapture(bytes("two so far"));
    expect(log.append(new Uint8Array(0))).toBe(24);
    await writer.add(bytes("slice 1"));
    await writer.add(new Uint8Array(0));
    await writer.commit();
    expect(log.bytesSinceCapture).toBe(4);
    log.append(bytes("four"));
    await log.close();
    expect(settled.at(-1)).toBe(32);
    expect(settled).toEqual([...settled].sort((a, b) => a - b));

    expect(await readAll(directory, { policy })).toEqual({
      image: "two so far",
      slices: ["slice 1", ""],
      records: ["", "four"],
      position: 32,
    });
    expect(logFiles(directory)).toEqual(["0000000000000020.capture", "0000000000000020.log"]);
  });

  test("nothing that is settled is lost when the process is killed", {
    timeout: cases("log-kills", 120_000, 3_600_000),
  }, async () => {
    const directory = newDirectory();
    const random = new Random(`killed ${policy}`);
    let settled = 0;
    for (const _ of seeds("log-kills", 4, 200)) {
      const child = new Child(directory, policy);
      await child.heard(({ back }) => back !== undefined);
      const back = child.told.find((told) => told.back !== undefined)?.back ?? 0;
      expect(back).toBeGreaterThanOrEqual(settled);
      await child.heard((told) => (told.settled ?? 0) > back);
      await pause(random.below(120));
      await child.kill();
      settled = child.settled;
      expect(settled).toBeGreaterThan(back);
    }
    await using log = await openInputLog(directory);
    let index = log.capture ? new DataView(log.capture.image.buffer).getUint32(0) : 0;
    for await (const records of log.records())
      for (const record of records) {
        index += 1;
        if (Buffer.compare(record, recordOf(index, 300)) !== 0)
          expect(record).toEqual(recordOf(index, 300));
      }
    expect(index).toBeGreaterThanOrEqual(settled);
  });
});

/** A child that appends. */
class Child {
  readonly told: Told[] = [];
  readonly process: ChildProcess;
  readonly #ended: Promise<void>;
  #waiting: (() => void)[] = [];

  constructor(directory: string, policy: LogPolicy, shell?: string) {
    const args = ["--conditions=tidemark-source", CHILD, directory, policy];
    const options = {
      stdio: ["ignore", "inherit", "inherit", "ipc"] as ("ignore" | "inherit" | "ipc")[],
    };
    this.process =
      shell === undefined
        ? spawn(process.execPath, args, options)
        : spawn("sh", ["-c", `${shell}; exec "$0" "$@"`, process.execPath, ...args], options);
    this.process.on("message", (told: Told) => {
      this.told.push(told);
      for (const wake of this.#waiting.splice(0)) wake();
    });
    this.#ended = new Promise((resolve) => void this.process.once("close", () => resolve()));
    onTestFinished(() => void this.process.kill("SIGKILL"));
  }

  get settled(): number {
    return this.told.reduce((most, { settled = 0 }) => Math.max(most, settled), 0);
  }

  /** Waits until it has told such a thing, from that place on; gives the place after it. */
  async heard(wanted: (told: Told) => boolean, from = 0): Promise<number> {
    for (;;) {
      const at = this.told.findIndex((told, i) => i >= from && wanted(told));
      if (at >= 0) return at + 1;
      if (this.process.exitCode !== null) throw new Error(`it ended with ${this.process.exitCode}`);
      await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    }
  }

  /** All that it has told comes before its end. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.#ended;
  }
}

test("a process for which the disk has no room goes on once there is some, and nothing is lost", async () => {
  const directory = newDirectory();
  // The limit for the size of a file, in blocks of 512 bytes: writes beyond it fail.
  const child = new Child(directory, "always", "ulimit -S -f 250");
  let at = await child.heard(({ problem }) => problem === "LOG_FAILED");
  const before = child.settled;
  await pause(1_500);
  expect(child.settled).toBe(before);
  execFileSync("prlimit", ["--pid", String(child.process.pid), "--fsize=unlimited:"]);
  at = await child.heard(({ problem }) => problem === "LOG_RESUMED", at);
  await child.heard(({ settled = 0 }) => settled > before + 100, at);
  await child.kill();
  const { settled, told } = child;
  expect(told.filter(({ problem }) => problem === "LOG_FAILED")).toHaveLength(1);
  await using log = await openInputLog(directory);
  let index = log.capture ? new DataView(log.capture.image.buffer).getUint32(0) : 0;
  for await (const records of log.records()) index += records.length;
  expect(index).toBeGreaterThanOrEqual(settled);
});

describe("the lock", () => {
  test("keeps a second one out, of this process or another, until the first is closed", async () => {
    const directory = newDirectory();
    const log = await openInputLog(directory);
    expect(await codeOf(openInputLog(directory))).toBe("LOG_LOCKED");
    expect(await codeOf(salvageLog(directory))).toBe("LOG_LOCKED");
    await log.close();
    await log.close();
    const child = new Child(directory, "none");
    await child.heard(({ back }) => back !== undefined);
    expect(await codeOf(openInputLog(directory))).toBe("LOG_LOCKED");
    await child.kill();
    await (await openInputLog(directory)).close();
  });

  test("of one that could not be opened is free again", async () => {
    const directory = newDirectory();
    writeFileSync(join(directory, "0000000000000004.capture"), "not that");
    expect(await codeOf(openInputLog(directory))).toBe("LOG_DAMAGED");
    expect(await codeOf(openInputLog(directory))).toBe("LOG_DAMAGED");
  });
});

describe("records", () => {
  test("of any size go through, over many segments", async () => {
    const directory = newDirectory();
    const sizes = [0, 1, 2, 3, 4, 5, 65_480, 65_492, 65_536, 1_048_500, 1_048_576, 3_000_000, 7];
    await using log = await openInputLog(directory, { segmentBytes: 100_000 });
    for (const round of [1, 2])
      for (const size of sizes)
        log.append(new Uint8Array([round]), new Uint8Array(size).fill(size));
    await log.close();
    expect(logFiles(directory).length).toBeGreaterThan(5);
    await using again = await openInputLog(directory);
    const found: number[] = [];
    for await (const records of again.records())
      for (const record of records) {
        found.push(record.length - 1);
        expect(record.subarray(1).every((byte) => byte === (record.length - 1) % 256)).toBe(true);
      }
    expect(found).toEqual([...sizes, ...sizes]);
  });

  test("that are appended while others are read are not among them", async () => {
    const directory = newDirectory();
    const first = await openInputLog(directory);
    for (let i = 0; i < 10; i += 1) first.append(bytes(`old ${i}`));
    await first.close();
    await using log = await openInputLog(directory);
    const found: string[] = [];
    for await (const records of log.records()) {
      found.push(...records.map(text));
      log.append(bytes("new"));
    }
    expect(found).toHaveLength(10);
  });

  test("cannot pass for evidence of what is on the disk", async () => {
    const directory = newDirectory();
    const path = join(directory, "0000000000000000.log");
    const first = await openInputLog(directory);
    first.append(bytes("first"));
    await first.close();
    const whole = readFileSync(path);
    /** What somebody sends: it looks like a batch that lies in the first record after `whole`. */
    const forged = (identity: Uint8Array, position: number): Uint8Array => {
      const block = new Uint8Array(HEADER_BYTES);
      sealBlock(
        block,
        new DataView(block.buffer),
        block.length,
        "batch",
        0,
        identity,
        position,
        1e9,
      );
      return block;
    };
    const own = whole.subarray(16, 24);
    // The batch begins at `whole.length`, position 12; the forged one lies 44 bytes after that: 4 beyond one header.
    const results: string[] = [];
    for (const [identity, position] of [
      [new Uint8Array(8), 16],
      [own, 12],
      [own, 20],
      [own, 16],
    ] as const) {
      writeFileSync(path, whole);
      const log = await openInputLog(directory, { policy: "none" });
      log.append(forged(identity, position), new Uint8Array(50));
      await log.close();
      truncateSync(path, readFileSync(path).length - 5);
      results.push(
        await readAll(directory).then(
          ({ records }) => records.join(),
          (error: TidemarkError) => error.code,
        ),
      );
    }
    // Whoever knows the identity and the place could say that something is missing, which is not so; nobody does.
    expect(results).toEqual(["first", "first", "first", "LOG_DAMAGED"]);
  });
});

describe("a capture", () => {
  test("that is aborted, or never committed, leaves what was there", async () => {
    const directory = newDirectory();
    const log = await openInputLog(directory);
    log.append(bytes("a"));
    const first = log.beginCapture(bytes("never"));
    expect(() => log.beginCapture(bytes("second"))).toThrow("not committed yet");
    await first.add(bytes("x"));
    await first.abort();
    await first.abort();
    expect(await codeOf(first.add(bytes("y")))).toBe("STOPPED");
    expect(await codeOf(first.commit())).toBe("STOPPED");
    const second = log.beginCapture(bytes("never, too"));
    log.append(bytes("b"));
    await log.close();
    expect(await codeOf(second.commit())).toBe("STOPPED");
    expect(() => log.append(bytes("c"))).toThrow("closed");
    expect(() => log.beginCapture(bytes("c"))).toThrow("closed");
    expect(await readAll(directory)).toMatchObject({ image: undefined, records: ["a", "b"] });
    expect(logFiles(directory).filter((name) => name.includes("capture"))).toEqual([]);
  });

  test("replaces one at the same place, and is as large as it may be", async () => {
    const directory = newDirectory();
    const log = await openInputLog(directory);
    log.append(bytes("a"));
    for (const image of ["first", "second"]) {
      const writer = log.beginCapture(bytes(image));
      for (let slice = 0; slice < 40; slice += 1)
        await writer.add(new Uint8Array(slice * 30_000).fill(slice));
      await writer.commit();
    }
    await log.close();
    await using again = await openInputLog(directory);
    let slices = 0;
    for await (const slice of again.capture?.slices() ?? []) {
      expect(slice.length).toBe(slices * 30_000);
      expect(slice.every((byte) => byte === slices)).toBe(true);
      slices += 1;
    }
    expect([text(again.capture?.image ?? bytes("")), slices]).toEqual(["second", 40]);
  });

  test("that is damaged is passed over when all before it is there, and said; otherwise it is an error", async () => {
    const directory = newDirectory();
    const log = await openInputLog(directory);
    log.append(bytes("a"));
    await log.close();
    const old = readFileSync(join(directory, "0000000000000000.log"));
    const again = await openInputLog(directory);
    const writer = again.beginCapture(bytes("a is in it"));
    await writer.add(new Uint8Array(10_000).fill(1));
    await writer.commit();
    again.append(bytes("b"));
    await again.close();
    const path = join(directory, "0000000000000008.capture");
    const damaged = readFileSync(path);
    // In a slice, which is not looked at when nothing else could be used.
    damaged[5_000] = 2;
    writeFileSync(path, damaged);
    await using opened = await openInputLog(directory);
    const slices = async () => {
      for await (const _ of opened.capture?.slices() ?? []);
    };
    expect(await codeOf(slices())).toBe("LOG_DAMAGED");
    await opened.close();

    writeFileSync(join(directory, "0000000000000000.log"), old);
    const problems: TidemarkError[] = [];
    const result = await readAll(directory, { onProblem: (problem) => problems.push(problem) });
    expect(result).toMatchObject({ image: undefined, records: ["a", "b"] });
    expect(problems.map(({ code, message }) => [code, message.includes(path)])).toEqual([
      ["LOG_DAMAGED", true],
    ]);
  });
});

describe("an end that is not whole", () => {
  test("is cut with a word, if nobody knew it to be on the disk", async () => {
    const directory = newDirectory();
    const log = await openInputLog(directory, { policy: "none" });
    for (const content of ["a", "b", "c"]) log.append(bytes(content));
    await log.close();
    const path = join(directory, "0000000000000000.log");
    const whole = readFileSync(path);
    writeFileSync(path, Buffer.concat([whole, whole.subarray(0, 30)]));
    const problems: TidemarkError[] = [];
    const onProblem = (problem: TidemarkError) => void problems.push(problem);
    expect((await readAll(directory, { onProblem })).records).toEqual(["a", "b", "c"]);
    expect(problems.map(({ code }) => code)).toEqual(["LOG_CUT"]);
    expect(problems[0]?.message).toContain(`${path} ends at byte ${whole.length}`);
    expect(problems[0]?.message).toContain("cut 30 bytes");
    problems.length = 0;
    expect((await readAll(directory, { onProblem })).records).toEqual(["a", "b", "c"]);
    expect(problems).toEqual([]);
  });

  test("is damage, if somebody did, and can be salvaged", async () => {
    const directory = newDirectory();
    for (const content of ["a", "b", "c"]) {
      const log = await openInputLog(directory, { policy: "always", segmentBytes: 60 });
      log.append(bytes(content));
      await log.close();
    }
    const names = logFiles(directory);
    const path = join(directory, names[1] ?? "");
    truncateSync(path, readFileSync(path).length - 45);
    const before = names.map((name) => readFileSync(join(directory, name)));
    const error: unknown = await openInputLog(directory).catch((reason: unknown) => reason);
    if (!isTidemarkError(error, "LOG_DAMAGED")) throw error;
    expect(error.message).toContain(path);
    expect(error.message).toContain(`tidemark log ${directory} --salvage`);
    // Nothing was changed by looking.
    expect(names.map((name) => readFileSync(join(directory, name)))).toEqual(before);

    const { survey, aside } = await salvageLog(directory);
    expect(survey.records).toBe(1);
    expect(existsSync(aside ?? "")).toBe(true);
    expect((await readAll(directory)).records).toEqual(["a"]);
    expect((await salvageLog(directory)).aside).toBeUndefined();
  });
});

test("options that cannot be used are refused by name", async () => {
  const directory = newDirectory();
  const open = (options: object) => codeOf(openInputLog(directory, options));
  expect(await open({ policy: "sometimes" })).toBe("BAD_OPTION");
  expect(await open({ segmentBytes: 0 })).toBe("BAD_OPTION");
  expect(await codeOf(openInputLog(""))).toBe("BAD_OPTION");
  writeFileSync(join(directory, "file"), "");
  expect(await codeOf(openInputLog(join(directory, "file")))).toBe("LOG_FAILED");
  mkdirSync(join(directory, "0000000000000000.log"));
  expect(await codeOf(openInputLog(directory))).toBe("LOG_FAILED");
});

test("the example in docs/internals/log-format.md is what is written, and can be read", async () => {
  const page = readFileSync(new URL("../../docs/internals/log-format.md", import.meta.url), "utf8");
  const [, block = ""] = /## An example[\s\S]*?```\n([\s\S]*?)```/.exec(page) ?? [];
  const example = Buffer.from(block.replaceAll(/\s/g, ""), "hex");
  const directory = newDirectory();
  const path = join(directory, "0000000000000000.log");
  // The identity is the example's; the rest comes from what is appended.
  writeFileSync(path, example.subarray(0, 40 + 24));
  expect((await readAll(directory, { policy: "always" })).records).toEqual(["hi", "deposit 5"]);
  expect(readFileSync(path).toString("hex")).toBe(example.toString("hex"));
});
