/**
 * The input log on a machine that loses power, or whose process is killed, at any operation: in `log-medium.ts`, where everything that was
 * not flushed survives or not as a seed decides. What comes back must be records 1 to k, in order, as they were appended,
 * and k at least what was promised.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { isTidemarkError, type TidemarkError } from "../../src/core/error.ts";
import { Random } from "../../src/core/random.ts";
import {
  type InputLog,
  type LogPolicy,
  openInputLog,
  salvageLog,
} from "../../src/runtime/input-log.ts";
import { cases, seeds } from "../support/soak.ts";
import { FOLDER, Medium, type Survival } from "./log-medium.ts";

const current = vi.hoisted(() => ({
  functions: {} as Record<string, (...args: unknown[]) => unknown>,
}));

vi.mock("node:fs/promises", () => {
  const names = ["open", "readdir", "stat", "unlink", "rm", "rename", "mkdir"];
  return Object.fromEntries(
    names.map((name) => [name, (...args: unknown[]) => current.functions[name]?.(...args)]),
  );
});
// An attempt to write comes a second after the one before it; here it comes at once.
vi.mock("node:timers/promises", () => ({
  setTimeout: () => new Promise((resolve) => void setImmediate(resolve)),
  setImmediate: () => new Promise((resolve) => void setImmediate(resolve)),
}));

beforeEach(() => void vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] }));
afterEach(() => void vi.useRealTimers());

const turn = () => new Promise((resolve) => void setImmediate(resolve));

/** What a record holds: nobody else appends the same. */
function contentOf(index: number, life: number): Uint8Array {
  const random = new Random(index * 1_000 + life);
  const length = random.chance(0.02) ? random.below(6_000) : random.below(60);
  const bytes = new Uint8Array(8 + length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, index);
  view.setUint32(4, life);
  for (let i = 8; i < bytes.length; i += 1) bytes[i] = random.below(256);
  return bytes;
}

/** How often something of interest happened, over all seeds. */
type Happened = Map<string, number>;

/** A program that appends, the log that it appends to, and what must come back. */
class Trial {
  readonly medium: Medium;
  readonly #random: Random;
  readonly #happened: Happened;
  /** In which life each record was appended, from number 1 on. */
  #history: number[] = [0];
  #life = 0;
  /** So many records must come back if the process is killed, and if the machine loses power. */
  #settled = 0;
  #durable = 0;

  /** How likely an operation on files goes wrong. */
  readonly #faults: number;

  constructor(seed: number, happened: Happened, faults: number) {
    this.#faults = faults;
    this.#random = new Random(seed);
    this.medium = new Medium(this.#random);
    this.#happened = happened;
    current.functions = this.medium.functions as never;
  }

  #note(what: string): void {
    this.#happened.set(what, (this.#happened.get(what) ?? 0) + 1);
  }

  /** One life: what is there is checked, more is appended, and it ends somehow. */
  async live(policies: readonly LogPolicy[]): Promise<void> {
    const random = this.#random;
    const { medium } = this;
    this.#life += 1;
    const policy = random.pick(policies) as LogPolicy;
    const segmentBytes = random.pick([1, 500, 3_000, 1_000_000]) as number;
    if (random.chance(0.9)) medium.dieAt = random.between(1, random.chance(0.5) ? 40 : 300);
    const died = new Promise<"died">((resolve) => {
      medium.died = () => resolve("died");
    });
    medium.begin();
    const end = await Promise.race([died, this.#work(policy, segmentBytes)]);
    this.#life += 1;
    medium.fault = () => undefined;
    vi.clearAllTimers();
    // Who is dead comes to where it waits for ever.
    for (let turns = 0; turns < 3; turns += 1) await turn();
    if (end === "died" && random.chance(0.3)) {
      this.#note("killed");
      medium.kill();
      return;
    }
    this.#note(end === "died" ? "lost power" : "lost power when closed");
    const survival: Survival = {
      probability: random.pick([0, 0.2, 0.5, 0.8, 0.95, 1]) as number,
      grain: random.pick([0, 16, 512, 4_096]) as number,
    };
    medium.cutPower(survival);
    this.#settled = this.#durable;
  }

  async #work(policy: LogPolicy, segmentBytes: number): Promise<"closed"> {
    const random = this.#random;
    const { medium } = this;
    const life = this.#life;
    const ends: (readonly [position: number, index: number])[] = [];
    const settle = (position: number): void => {
      for (let next = ends[0]; next && next[0] <= position; next = ends[0]) {
        this.#settled = Math.max(this.#settled, next[1]);
        ends.shift();
      }
      if (policy === "always") this.#durable = this.#settled;
    };
    const log = await openInputLog(FOLDER, {
      policy,
      segmentBytes,
      onSettled: settle,
      onProblem: (problem) => {
        const expected = ["LOG_CUT", ...(this.#faults > 0 ? ["LOG_FAILED", "LOG_RESUMED"] : [])];
        if (!expected.includes(problem.code)) throw problem;
        this.#note(problem.code);
      },
    });
    await this.#check(log);
    medium.fault = (name) =>
      name !== "sync" && random.chance(this.#faults)
        ? { code: random.pick(["ENOSPC", "EIO", ""]) as string, done: random.below(200) }
        : undefined;
    if (policy !== "none") this.#durable = this.#settled;
    const capturing: Promise<void>[] = [];
    for (let step = random.between(1, 30); step > 0; step -= 1) {
      for (let many = random.below(8); many > 0; many -= 1) {
        const index = this.#history.length;
        const content = contentOf(index, this.#life);
        this.#history.push(this.#life);
        const split = random.below(content.length);
        const position = log.append(content.subarray(0, split), content.subarray(split));
        ends.push([position, index]);
        // It was only lent.
        content.fill(0xaa);
      }
      if (random.chance(0.15)) {
        await Promise.all(capturing.splice(0));
        capturing.push(this.#capture(log, random.chance(0.8)));
      }
      if (random.chance(0.3)) vi.advanceTimersByTime(1_000);
      if (random.chance(0.5)) await turn();
      if (life !== this.#life) return await new Promise(() => {});
    }
    await Promise.all(capturing);
    medium.fault = () => undefined;
    // What could not be written yet is written by the next attempt.
    if (log.stalled) this.#note("stalled at the end");
    while (log.stalled) await turn();
    await log.close();
    settle(log.position);
    expect(this.#settled).toBe(this.#history.length - 1);
    if (policy !== "none") this.#durable = this.#settled;
    return "closed";
  }

  async #capture(log: InputLog, commit: boolean): Promise<void> {
    try {
      await this.#captureOnce(log, commit);
    } catch (error) {
      if (this.#faults === 0 || !isTidemarkError(error, "LOG_FAILED")) throw error;
      this.#note("a capture failed");
    }
  }

  async #captureOnce(log: InputLog, commit: boolean): Promise<void> {
    const index = this.#history.length - 1;
    const writer = log.beginCapture(new TextEncoder().encode(String(index)));
    const slices = this.#random.below(5);
    for (let slice = 0; slice < slices; slice += 1) await writer.add(contentOf(index + slice, 0));
    if (!commit) {
      await writer.abort();
      return;
    }
    await writer.add(new Uint8Array([slices]));
    await writer.commit();
    this.#note("captured");
    this.#settled = Math.max(this.#settled, index);
    this.#durable = Math.max(this.#durable, index);
  }

  async #check(log: InputLog): Promise<void> {
    let index = 0;
    if (log.capture) {
      this.#note("came back from a capture");
      index = Number(new TextDecoder().decode(log.capture.image));
      const slices: Uint8Array[] = [];
      for await (const slice of log.capture.slices()) slices.push(new Uint8Array(slice));
      expect(slices.pop()).toEqual(new Uint8Array([slices.length]));
      slices.forEach((slice, i) => void expect(slice).toEqual(contentOf(index + i, 0)));
    }
    for await (const records of log.records())
      for (const record of records) {
        index += 1;
        const life = this.#history[index];
        if (life === undefined) throw new Error(`record ${index} was never appended`);
        if (Buffer.compare(record, contentOf(index, life)) !== 0)
          throw new Error(`record ${index} is not what was appended`);
      }
    if (index < this.#settled)
      throw new Error(`only ${index} records came back, and ${this.#settled} were promised`);
    if (index < this.#history.length - 1) this.#note("lost what was not settled");
    if (index > this.#settled) this.#note("kept more than was settled");
    this.#history.length = index + 1;
    this.#settled = index;
  }
}

async function runSeeds(
  numbers: Iterable<number>,
  policies: readonly LogPolicy[],
  happened: Happened,
  faults = 0,
): Promise<void> {
  for (const seed of numbers) {
    const trial = new Trial(seed, happened, faults);
    try {
      for (let life = 0; life < 6; life += 1) await trial.live(policies);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
    vi.clearAllTimers();
  }
}

describe("whatever survives, what comes back is a beginning, and has what was promised", () => {
  const interesting = [
    ...["killed", "lost power", "lost power when closed", "LOG_CUT", "captured"],
    ...["came back from a capture", "lost what was not settled", "kept more than was settled"],
  ];

  test("with always", async () => {
    const happened: Happened = new Map();
    await runSeeds(seeds("log-power", 100, 30_000), ["always"], happened);
    for (const what of interesting) expect(happened.get(what), what).toBeGreaterThan(0);
  });

  test("with policies that change from life to life", async () => {
    const happened: Happened = new Map();
    await runSeeds(seeds("log-power", 100, 30_000), ["always", "everysec", "none"], happened);
    for (const what of interesting) expect(happened.get(what), what).toBeGreaterThan(0);
  });

  test("also when writing fails now and then", async () => {
    const happened: Happened = new Map();
    const policies: LogPolicy[] = ["always", "everysec", "none"];
    // After a write that failed and a kill, what was cut back came again when power was lost.
    await runSeeds([9_132], policies, happened, 0.1);
    await runSeeds(seeds("log-power", 60, 20_000), policies, happened, 0.1);
    const more = ["LOG_FAILED", "LOG_RESUMED", "a capture failed"];
    for (const what of [...interesting, ...more])
      expect(happened.get(what), what).toBeGreaterThan(0);
  });
});

/** A log in the medium, of so many records, each with its number; closed unless `open`. */
async function written(
  records: number,
  options: {
    readonly captureAt?: number;
    readonly segmentBytes?: number;
    readonly turns?: number;
  } = {},
): Promise<Map<string, Uint8Array>> {
  const { captureAt, segmentBytes = 1_000_000, turns = 7 } = options;
  const medium = new Medium(new Random(1));
  medium.begin();
  current.functions = medium.functions as never;
  const log = await openInputLog(FOLDER, { policy: "always", segmentBytes });
  for (let index = 1; index <= records; index += 1) {
    log.append(contentOf(index, 1));
    if (index % turns === 0) await turn();
    if (index !== captureAt) continue;
    const writer = log.beginCapture(new TextEncoder().encode(String(index)));
    for (let slice = 0; slice < 20; slice += 1) await writer.add(contentOf(slice, 2));
    await writer.commit();
  }
  await log.close();
  return medium.files;
}

/** Opens such a log in other files; gives the number of the last record, or the error. Checks all that comes. */
async function comeBack(
  files: ReadonlyMap<string, Uint8Array>,
  problems: TidemarkError[] = [],
): Promise<number | TidemarkError> {
  const medium = new Medium(new Random(1));
  medium.load(files);
  medium.begin();
  current.functions = medium.functions as never;
  let log: InputLog | undefined;
  try {
    const onProblem = (problem: TidemarkError): void => void problems.push(problem);
    log = await openInputLog(FOLDER, { onProblem });
    let index = 0;
    if (log.capture) {
      index = Number(new TextDecoder().decode(log.capture.image));
      let number = 0;
      for await (const slice of log.capture.slices()) {
        expect(slice).toEqual(contentOf(number, 2));
        number += 1;
      }
      expect(number).toBe(20);
    }
    for await (const records of log.records())
      for (const record of records) {
        index += 1;
        if (Buffer.compare(record, contentOf(index, 1)) !== 0)
          throw new Error(`record ${index} is not what was appended`);
      }
    return index;
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    return error;
  } finally {
    await log?.close();
    vi.clearAllTimers();
  }
}

const segmentOf = (position: number) => `${FOLDER}/${String(position).padStart(16, "0")}.log`;

test("a log that is cut at any byte of its last 64 KiB has the records of the batches before", async () => {
  const files = await written(1_500);
  const path = segmentOf(0);
  const whole = files.get(path) as Uint8Array;
  expect(whole.length).toBeGreaterThan(65_536);
  // Where each batch ends, and with how many records: told by the headers, which are what is written.
  const view = new DataView(whole.buffer, whole.byteOffset);
  const ends: (readonly [end: number, records: number])[] = [[0, 0]];
  for (let at = 0, records = 0; at < whole.length; ) {
    records += view.getUint32(at + 12, true);
    at += 40 + view.getUint32(at + 8, true);
    ends.push([at, records]);
  }
  const step = cases("log-cuts", 307, 1);
  for (let cut = whole.length - 65_536; cut <= whole.length; cut += step) {
    const problems: TidemarkError[] = [];
    const records = ends.findLast(([end]) => end <= cut)?.[1];
    const inside = !ends.some(([end]) => end === cut);
    expect(await comeBack(new Map([[path, whole.subarray(0, cut)]]), problems), `${cut}`).toBe(
      records,
    );
    expect(
      problems.map(({ code }) => code),
      `${cut}`,
    ).toEqual(inside ? ["LOG_CUT"] : []);
  }
});

/** Spoils files at random; gives what was done. */
function spoil(files: Map<string, Uint8Array>, random: Random): string {
  const [path, bytes] = random.pick([...files].filter(([name]) => !name.includes("lock"))) as [
    string,
    Uint8Array,
  ];
  const copy = new Uint8Array(bytes);
  const at = random.below(Math.max(1, copy.length));
  const length = random.below(Math.min(200, copy.length - at + 1));
  switch (random.below(7)) {
    case 0:
      files.delete(path);
      return `removed ${path}`;
    case 1:
      files.set(path, copy.subarray(0, at));
      return `cut ${path} at ${at}`;
    case 2:
      copy.fill(0, at);
      break;
    case 3:
      copy.copyWithin(at, random.below(Math.max(1, copy.length)), copy.length);
      break;
    case 4: {
      const other = `${FOLDER}/${String(random.below(3_000)).padStart(16, "0")}.${random.pick(["log", "capture"])}`;
      files.set(other, copy);
      return `copied ${path} to ${other}`;
    }
    case 5:
      files.set(path, Buffer.concat([copy.subarray(0, at), copy.subarray(at + length)]));
      return `took ${length} out of ${path} at ${at}`;
    default:
      for (let i = at; i < at + length; i += 1) copy[i] = random.below(256);
  }
  files.set(path, copy);
  return `spoiled ${path} at ${at}`;
}

describe("a log that was closed and then spoiled", () => {
  test("by one flipped bit is damaged, or has everything", async () => {
    const files = await written(120, { captureAt: 60, segmentBytes: 1_500 });
    const places = [...files].flatMap(([path, { length }]) =>
      Array.from({ length }, (_, at) => [path, at] as const),
    );
    const step = cases("log-flips", 11, 1);
    let damaged = 0;
    for (let i = 0; i < places.length; i += step) {
      const [path, at] = places[i] as readonly [string, number];
      const copy = new Uint8Array(files.get(path) as Uint8Array);
      copy[at] = (copy[at] ?? 0) ^ (1 << (i % 8));
      const result = await comeBack(new Map([...files, [path, copy]]));
      if (isTidemarkError(result)) {
        expect(result.code, `${path} ${at}`).toBe("LOG_DAMAGED");
        expect(result.message).toContain(path);
        damaged += 1;
      } else expect(result, `${path} ${at}`).toBe(120);
    }
    expect(damaged).toBeGreaterThan(0.9 * (places.length / step));
  }, 3_600_000);

  test("in any way gives a clear error or a beginning, and a beginning once it is salvaged", async () => {
    const whole = await written(120, { captureAt: 30, segmentBytes: 1_500 });
    const alike = await written(90, { segmentBytes: 700, turns: 3 });
    const happened = new Map<string, number>();
    const note = (what: string): void => void happened.set(what, (happened.get(what) ?? 0) + 1);
    // In the first one a whole batch of another place lay where the log was passed over when it was opened.
    for (const seed of [142_471, ...seeds("log-fuzz", 500, 200_000)]) {
      const random = new Random(seed);
      const files = new Map(random.chance(0.5) ? whole : alike);
      const done: string[] = [];
      for (let many = random.between(1, 3); many > 0 && files.size > 0; many -= 1)
        done.push(spoil(files, random));
      const result = await comeBack(files);
      if (!isTidemarkError(result)) {
        note("came back");
        continue;
      }
      note(result.code);
      expect(result.code, `seed ${seed}: ${done.join(", ")}`).toBe("LOG_DAMAGED");
      const medium = new Medium(random);
      medium.load(files);
      medium.begin();
      current.functions = medium.functions as never;
      const { aside } = await salvageLog(FOLDER);
      // Of a capture only the slices were damaged, which nobody had looked at.
      if (aside === undefined) continue;
      note("salvaged");
      const moved = [...medium.files].reduce((sum, [, { length }]) => sum + length, 0);
      const before = [...files].reduce((sum, [, { length }]) => sum + length, 0);
      expect(moved, `seed ${seed}`).toBe(before);
      const kept = new Map([...medium.files].filter(([path]) => !path.includes("aside")));
      const again = await comeBack(kept);
      expect(isTidemarkError(again), `seed ${seed}: ${done.join(", ")}: ${String(again)}`).toBe(
        false,
      );
    }
    for (const what of ["came back", "LOG_DAMAGED", "salvaged"])
      expect(happened.get(what), what).toBeGreaterThan(0);
  }, 3_600_000);
});

describe("a disk that fails", () => {
  /** A log in the medium, and what it told. */
  async function opened(policy: LogPolicy) {
    const medium = new Medium(new Random(1));
    medium.begin();
    current.functions = medium.functions as never;
    const told: string[] = [];
    const log = await openInputLog(FOLDER, {
      policy,
      onProblem: ({ code }) => told.push(code),
      onSettled: (position) => told.push(String(position)),
    });
    return { medium, log, told };
  }

  const content = new Uint8Array(20);
  const turns = async (many: number) => {
    for (let i = 0; i < many; i += 1) await turn();
  };

  test.each(["ENOSPC", "EDQUOT", "EIO"])(
    "with %s while writing settles nothing, and loses nothing",
    async (code) => {
      for (const policy of ["always", "everysec", "none"] as const) {
        const { medium, log, told } = await opened(policy);
        log.append(content);
        await turns(3);
        const { length } = medium.files.get(segmentOf(0)) as Uint8Array;
        expect(told.splice(0)).toEqual(["24"]);
        medium.fault = (name) => (name === "write" ? { code, done: 13 } : undefined);
        log.append(content);
        await turns(20);
        log.append(content);
        await turns(20);
        expect(told.splice(0)).toEqual(["LOG_FAILED"]);
        expect(log.stalled).toMatchObject({
          code: "LOG_FAILED",
          message: expect.stringContaining(code),
        });
        expect(log.settled).toBe(24);
        // What was half written is cut off again.
        expect(medium.files.get(segmentOf(0))?.length).toBe(length);
        medium.fault = () => undefined;
        await turns(5);
        expect(told.splice(0)).toEqual(["LOG_RESUMED", "72"]);
        expect(log.stalled).toBeUndefined();
        await log.close();
        vi.clearAllTimers();
      }
    },
  );

  test("that fails to flush ends the log for good, and nothing more is settled", async () => {
    for (const policy of ["always", "everysec"] as const) {
      const { medium, log, told } = await opened(policy);
      medium.fault = (name) => (name === "sync" ? { code: "EIO" } : undefined);
      log.append(content);
      await turns(3);
      vi.advanceTimersByTime(1_000);
      await turns(3);
      // The disk seems to be well again, but what it has not written it will not write.
      medium.fault = () => undefined;
      const capture = () => log.beginCapture(content);
      for (const refused of [() => log.append(content), capture])
        expect(refused).toThrow("nobody knows now what is on the disk");
      await turns(3);
      vi.advanceTimersByTime(5_000);
      await turns(3);
      expect(told).toEqual(policy === "always" ? ["LOG_FAILED"] : ["24", "LOG_FAILED"]);
      expect(log.stalled).toMatchObject({ code: "LOG_FAILED", definite: false });
      await expect(log.close()).rejects.toMatchObject({ code: "LOG_FAILED" });
      await expect(log.close()).rejects.toMatchObject({ code: "LOG_FAILED" });
      vi.clearAllTimers();
    }
  });

  test("keeps a log from being opened that cannot be flushed, and lets the next one in", async () => {
    const files = await written(5);
    const medium = new Medium(new Random(1));
    medium.load(files);
    medium.begin();
    current.functions = medium.functions as never;
    medium.fault = (name) => (name === "sync" ? { code: "EIO" } : undefined);
    await expect(openInputLog(FOLDER)).rejects.toMatchObject({ code: "LOG_FAILED" });
    medium.fault = () => undefined;
    await (await openInputLog(FOLDER)).close();
  });

  test("a log that is closed on a full disk says how much was never written", async () => {
    const { medium, log } = await opened("none");
    medium.fault = (name) => (name === "write" ? { code: "ENOSPC" } : undefined);
    log.append(content);
    await expect(log.close()).rejects.toMatchObject({
      code: "LOG_FAILED",
      message: expect.stringContaining("24 bytes of the input log were never written"),
    });
    medium.fault = () => undefined;
    await (await openInputLog(FOLDER)).close();
  });

  test("a capture makes up for what could not be written before it", async () => {
    const { medium, log, told } = await opened("always");
    medium.fault = (name, path) =>
      name === "write" && path.endsWith("0000.log") ? { code: "ENOSPC", done: 5 } : undefined;
    log.append(content);
    await turns(3);
    await log.beginCapture(content).commit();
    await turns(3);
    log.append(content);
    await turns(3);
    expect(told).toEqual(["LOG_FAILED", "24", "LOG_RESUMED", "48"]);
    await log.close();
    const names = [...medium.files.keys()].map((path) => path.slice(FOLDER.length + 1));
    expect(names.sort()).toEqual(["0000000000000024.capture", "0000000000000024.log"]);
  });
});
