/**
 * The input log on a machine that loses power, or whose process is killed, at any operation: in `log-medium.ts`, where everything that was
 * not flushed survives or not as a seed decides. What comes back must be records 1 to k, in order, as they were appended,
 * and k at least what was promised.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Random } from "../../src/core/random.ts";
import { type InputLog, type LogPolicy, openInputLog } from "../../src/runtime/input-log.ts";
import { seeds } from "../support/soak.ts";
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

  constructor(seed: number, happened: Happened) {
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
        if (problem.code !== "LOG_CUT") throw problem;
        this.#note("cut");
      },
    });
    await this.#check(log);
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
        await Promise.all(capturing);
        capturing.push(this.#capture(log, random.chance(0.8)));
      }
      if (random.chance(0.3)) vi.advanceTimersByTime(1_000);
      if (random.chance(0.5)) await turn();
      if (life !== this.#life) return await new Promise(() => {});
    }
    await Promise.all(capturing);
    await log.close();
    settle(log.position);
    expect(this.#settled).toBe(this.#history.length - 1);
    if (policy !== "none") this.#durable = this.#settled;
    return "closed";
  }

  async #capture(log: InputLog, commit: boolean): Promise<void> {
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
): Promise<void> {
  for (const seed of numbers) {
    const trial = new Trial(seed, happened);
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
    ...["killed", "lost power", "lost power when closed", "cut", "captured"],
    ...["came back from a capture", "lost what was not settled", "kept more than was settled"],
  ];

  test("with always", async () => {
    const happened: Happened = new Map();
    await runSeeds(seeds("log-power", 250, 30_000), ["always"], happened);
    for (const what of interesting) expect(happened.get(what), what).toBeGreaterThan(0);
  });

  test("with policies that change from life to life", async () => {
    const happened: Happened = new Map();
    await runSeeds(seeds("log-power", 250, 30_000), ["always", "everysec", "none"], happened);
    for (const what of interesting) expect(happened.get(what), what).toBeGreaterThan(0);
  });
});
