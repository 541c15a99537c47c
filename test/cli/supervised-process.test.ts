import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { HostedProcess } from "../../src/cli/hosted-process.ts";
import { SupervisedProcess } from "../../src/cli/supervised-process.ts";
import { wholeRule } from "../../src/cli/system-file.ts";
import { TidemarkError } from "../../src/core/error.ts";
import type { RestartRule } from "../../src/runtime/system-definition.ts";

/** One life of a process, which ends when it is told to. */
class Life {
  readonly id = "p1";
  readonly pid = 7;
  up: boolean = true;
  cause: TidemarkError | undefined;
  readonly #end = Promise.withResolvers<string>();
  readonly ended: Promise<string> = this.#end.promise;

  async end(cause?: TidemarkError): Promise<void> {
    this.cause = cause;
    this.up = false;
    this.#end.resolve("SIGKILL");
    await vi.advanceTimersByTimeAsync(0);
  }

  stop(): Promise<void> {
    return this.end();
  }

  kill(): void {
    void this.end();
  }
}

/** Supervised, with a clock that stands still unless it is moved. */
class Theatre {
  readonly lives: Life[] = [new Life()];
  readonly notes: string[] = [];
  readonly givenUp: string[] = [];
  failsToStart: TidemarkError | undefined;
  readonly supervised: SupervisedProcess;

  constructor(rule: RestartRule = {}) {
    const start = async (): Promise<HostedProcess> => {
      if (this.failsToStart) throw this.failsToStart;
      this.lives.push(new Life());
      return this.life as unknown as HostedProcess;
    };
    this.supervised = new SupervisedProcess(
      this.life as unknown as HostedProcess,
      start,
      wholeRule(rule),
      {
        back: () => {},
        note: (text) => this.notes.push(text),
        givenUp: (_, { message }) => this.givenUp.push(message),
      },
    );
  }

  get life(): Life {
    return this.lives.at(-1) as Life;
  }

  /** Ends it, and gives after how many milliseconds it runs again. */
  async pause(): Promise<number> {
    const before = this.lives.length;
    await this.life.end();
    for (let ms = 0; ms <= 20_000; ms += 50) {
      if (this.lives.length > before) return ms;
      await vi.advanceTimersByTimeAsync(50);
    }
    throw new Error("it was not started again");
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a supervised process", () => {
  test("is started again after pauses that double up to a longest, and after the first one when it has run for long", async () => {
    const theatre = new Theatre({ restarts: 100 });
    const pauses: number[] = [];
    for (let i = 0; i < 9; i += 1) pauses.push(await theatre.pause());
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    expect(theatre.supervised).toMatchObject({ up: true, restarts: 9, lastEnd: "SIGKILL" });
    await vi.advanceTimersByTimeAsync(10_000);
    expect([await theatre.pause(), await theatre.pause()]).toEqual([100, 200]);
    expect(theatre.notes[0]).toBe(
      "p1 (process 7) has ended, and nobody stopped it: SIGKILL; it is started again in 100 ms (1 of 100)",
    );
  });

  test("is given up when it has ended too often within a while, and not when that took longer", async () => {
    const theatre = new Theatre({ restarts: 2, withinMs: 5_000 });
    await theatre.pause();
    await vi.advanceTimersByTimeAsync(5_000);
    await theatre.pause();
    await theatre.pause();
    expect(theatre.givenUp).toEqual([]);
    await theatre.life.end();
    expect(theatre.givenUp).toEqual([
      "p1 (process 7) has ended, and nobody stopped it: SIGKILL; it ended 3 times in 5.0 s",
    ]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([theatre.lives.length, theatre.supervised.up]).toEqual([4, false]);
    theatre.supervised.revive();
    await vi.advanceTimersByTimeAsync(0);
    expect([theatre.lives.length, theatre.supervised.up]).toEqual([5, true]);
    expect(await theatre.pause()).toBe(100);
  });

  test.each(["LOG_BEHIND", "DIVERGED", "LOG_DAMAGED"] as const)(
    "that ends with %s, at once or at a start, is given up",
    async (code) => {
      const theatre = new Theatre();
      await theatre.life.end(new TidemarkError(code, "it does not get better"));
      expect(theatre.givenUp[0]).toMatch(/another start would not help$/);
      const other = new Theatre();
      other.failsToStart = new TidemarkError(code, "it does not get better");
      await other.life.end(new TidemarkError("APPLICATION_THREW", "once"));
      await vi.advanceTimersByTimeAsync(100);
      expect(other.givenUp).toEqual([
        "p1 cannot start: it does not get better; another start would not help",
      ]);
    },
  );

  test("that fails to start is tried again, which counts", async () => {
    const theatre = new Theatre({ restarts: 3 });
    theatre.failsToStart = new TidemarkError("ADDRESS_IN_USE", "taken");
    await theatre.life.end();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(theatre.givenUp).toEqual(["p1 cannot start: taken; it ended 4 times in 1 min 0 s"]);
    expect(theatre.supervised.restarts).toBe(3);
  });

  test("that is stopped stays so", async () => {
    const theatre = new Theatre();
    await theatre.supervised.stop(1);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([theatre.lives.length, theatre.notes]).toEqual([1, []]);
  });
});
