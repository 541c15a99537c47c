import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  type Application,
  MemoryNetwork,
  memoryStore,
  quiescent,
  type RunningProcess,
  startProcess,
  type Turn,
  type WatchEvent,
  watchSystem,
} from "../../src/index.ts";

/** Asks the next one for its resource on request, and gives its own to nobody while it waits. */
class Philosopher implements Application<"give", string | null, number, string> {
  waitsFor: string | null = null;
  request(id: number, _: number, turn: Turn<"give", string>): void {
    const { peers, self } = turn;
    this.waitsFor = peers.find((one) => one > self) ?? (peers[0] as string);
    turn.send(this.waitsFor, "give");
    turn.reply(id, this.waitsFor);
  }
  receive(): void {}
  waits() {
    return this.waitsFor === null ? [] : [{ for: [this.waitsFor], request: "its fork" }];
  }
  capture(): string | null {
    return this.waitsFor;
  }
  restore(state: string | null): void {
    this.waitsFor = state;
  }
}

/** Passes on as many jobs as it is given but one, to somebody by chance. */
class Worker implements Application<number, number, number, number> {
  done = 0;
  request(id: number, jobs: number, turn: Turn<number, number>): void {
    this.#work(jobs, turn);
    turn.reply(id, this.done);
  }
  receive(_from: string, jobs: number, turn: Turn<number, number>): void {
    this.#work(jobs, turn);
  }
  #work(jobs: number, turn: Turn<number, number>): void {
    this.done += 1;
    if (jobs > 1) turn.send(turn.peers[turn.random.below(turn.peers.length)] as string, jobs - 1);
  }
  isPassive(message?: number): boolean {
    return message === undefined;
  }
  capture(): number {
    return this.done;
  }
  restore(state: number): void {
    this.done = state;
  }
}

async function startThree<M, State, Request, Reply>(
  application: () => Application<M, State, Request, Reply>,
): Promise<{
  readonly running: readonly RunningProcess<M, State, Request, Reply>[];
  readonly store: ReturnType<typeof memoryStore>;
}> {
  const [network, store, processes] = [new MemoryNetwork(), memoryStore(), ["a", "b", "c"]];
  const running: RunningProcess<M, State, Request, Reply>[] = [];
  for (const id of processes)
    running.push(
      await startProcess({
        ...{ id, processes, store, application: application(), transport: network.transport() },
      }),
    );
  onTestFinished(async () => {
    for (const one of running) await one.stop();
  });
  return { running, store };
}

async function snapshotsIn(store: ReturnType<typeof memoryStore>): Promise<number> {
  let many = 0;
  for await (const _ of store.list()) many += 1;
  return many;
}

describe("a system that is watched", () => {
  test("a deadlock is found although nobody does anything any more, and only what changes is told", async () => {
    const { running, store } = await startThree(() => new Philosopher());
    const [a] = running as [RunningProcess<"give", string | null, number, string>];
    const stop = new AbortController();
    const events: WatchEvent[] = [];
    const watching = (async () => {
      for await (const event of watchSystem(a, {
        ...{ application: () => new Philosopher(), detectors: ["deadlock"], everyMs: 1, store },
        signal: stop.signal,
      }))
        events.push(event);
    })();
    await vi.waitFor(() => expect(events).toHaveLength(1));
    for (const one of running) await one.request(1);
    await vi.waitFor(() => expect(events).toHaveLength(2));
    const [before, after] = events.map((one) => (one.type === "verdict" ? one.detection : one));
    expect(before).toMatchObject({ detector: "deadlock", detected: false });
    expect(after).toMatchObject({ detector: "deadlock", detected: true });
    // It goes on looking, and has nothing new to say.
    await new Promise((resolve) => setTimeout(resolve, 50));
    stop.abort();
    await watching;
    expect(events).toHaveLength(2);
  });

  test("what shows nothing is not kept, if it is told where that is", async () => {
    const { running, store } = await startThree(() => new Worker());
    let looks = 0;
    const detector = {
      ...{ name: "none", needs: [] },
      detect: () => {
        looks += 1;
        return { detector: "none", detected: looks === 5, evidence: looks, sentence: "look" };
      },
    } as const;
    const options = { application: () => new Worker(), detectors: [detector], everyMs: 0, store };
    for await (const _ of watchSystem(running[0] as RunningProcess, options))
      if (looks === 5) break;
    expect(await snapshotsIn(store)).toBeLessThanOrEqual(1);
  });

  test("that no snapshot can be taken is told once, and again when it is for another reason", async () => {
    const { running } = await startThree(() => new Worker());
    const [a, , c] = running as RunningProcess<number, number, number, number>[];
    const events: WatchEvent[] = [];
    const stop = new AbortController();
    const watching = (async () => {
      const options = { application: () => new Worker(), detectors: ["termination"], everyMs: 1 };
      for await (const event of watchSystem(a as RunningProcess, {
        ...options,
        signal: stop.signal,
      }))
        events.push(event);
    })();
    await vi.waitFor(() => expect(events).toHaveLength(1));
    await c?.stop();
    await vi.waitFor(() => expect(events.some(({ type }) => type === "failed")).toBe(true), 20_000);
    stop.abort();
    await watching;
    const failures = events.flatMap((one) => (one.type === "failed" ? [one.problem.message] : []));
    expect(new Set(failures).size).toBe(failures.length);
  });

  test("a detector that there is not is refused before anything is done", async () => {
    const { running, store } = await startThree(() => new Worker());
    const options = { application: () => new Worker(), detectors: ["deadlok"] };
    await expect(watchSystem(running[0] as RunningProcess, options).next()).rejects.toMatchObject({
      code: "BAD_OPTION",
    });
    expect(await snapshotsIn(store)).toBe(0);
  });
});

describe("a system that comes to rest", () => {
  test("is waited for, however its work goes round", async () => {
    const { running, store } = await startThree(() => new Worker());
    await running[0]?.request(2_000);
    const snapshot = await quiescent(running[1] as RunningProcess, {
      ...{ application: () => new Worker(), store, signal: AbortSignal.timeout(20_000) },
    });
    const done = await Promise.all(["a", "b", "c"].map((id) => snapshot.state(id)));
    expect(done.reduce((sum: number, one) => sum + (one as number), 0)).toBe(2_000);
    expect(await snapshotsIn(store)).toBe(1);
  });

  test("is waited for no longer than the caller wants, and not if nobody can know", async () => {
    const { running } = await startThree(() => new Philosopher());
    const [a] = running as [RunningProcess];
    const never = quiescent(a, { application: () => new Philosopher() as never });
    await expect(never).rejects.toMatchObject({ code: "BAD_OPTION" });
    const busy = (): Application<number, number> =>
      ({ ...new Worker(), isPassive: () => false }) as never;
    const waiting = quiescent(a, {
      ...{ application: () => Object.assign(busy(), { restore: () => {}, capture: () => 0 }) },
      signal: AbortSignal.timeout(100),
    });
    await expect(waiting).rejects.toMatchObject({ code: "ABORTED" });
  });
});
