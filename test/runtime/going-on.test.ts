// Going on from a log or a snapshot when something is not as it was, or not as it should be: said, and never silently wrong.
import { open } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import {
  type Application,
  FrozenState,
  jsonCodec,
  MemoryNetwork,
  memoryStore,
  msgpackCodec,
  type ProcessConfiguration,
  type RunningProcess,
  startProcess,
  type TidemarkError,
  type Turn,
  UNASKED,
} from "../../src/index.ts";
import { newDirectory } from "./directory-store-support.ts";
import { until } from "./logged-processes.ts";

type Request = { readonly add: number; readonly to?: string } | "fail soon";

/** Adds what it is asked to, and passes it on if told so. */
class Adder implements Application<number, number, Request, number> {
  sum = 0;
  throwsIn: "start" | "resume" | "timer" | undefined;

  start(): void {
    this.#maybeThrow("start");
  }

  resume(): void {
    this.#maybeThrow("resume");
  }

  request(id: number, request: Request, turn: Turn<number, number>): void {
    if (request === "fail soon") turn.setTimer("fail", 0);
    else {
      this.sum += request.add;
      if (request.to !== undefined) turn.send(request.to, request.add);
    }
    turn.reply(id, this.sum);
  }

  timer(): void {
    this.#maybeThrow("timer");
  }

  receive(_from: string, add: number): void {
    this.sum += add;
  }

  capture(): number | FrozenState {
    return this.sum;
  }

  restore(sum: number): void {
    this.sum = sum;
  }

  /** In the middle of a turn. */
  #maybeThrow(place: string): void {
    if (this.throwsIn !== place) return;
    this.sum += 1_000_000;
    throw new Error(`no ${place} today`);
  }
}

type Configuration = ProcessConfiguration<number, number, Request, number>;
type Running = RunningProcess<number, number, Request, number>;

let network: MemoryNetwork;
let store: Configuration["store"];
let problems: TidemarkError[];
beforeEach(() => {
  network = new MemoryNetwork();
  store = memoryStore();
  problems = [];
});

async function start(options: Partial<Configuration> = {}): Promise<Running> {
  const running = await startProcess<number, number, Request, number>({
    id: "a",
    processes: ["a"],
    application: new Adder(),
    transport: network.transport(),
    store,
    onProblem: (problem) => problems.push(problem),
    ...options,
  });
  onTestFinished(() => running.stop());
  return running;
}

function connect(...all: Running[]): void {
  for (const one of all)
    for (const other of all) if (one !== other) one.connect(other.id, other.address);
}

const newLog = (): string => newDirectory(onTestFinished);

describe("a disk", () => {
  test("that fails to flush ends the process and what waits, though nothing else comes in", async () => {
    const log = { directory: newLog(), policy: "always" as const };
    const a = await start({ log });
    expect(await a.request({ add: 1 })).toBe(1);
    const handle = await open(fileURLToPath(import.meta.url));
    await handle.close();
    const fails = vi.spyOn(Object.getPrototypeOf(handle), "datasync");
    fails.mockRejectedValue(Object.assign(new Error("EIO: i/o error"), { code: "EIO" }));
    onTestFinished(() => fails.mockRestore());
    await expect(a.request({ add: 2 })).rejects.toMatchObject({
      code: "LOG_FAILED",
      definite: false,
    });
    expect(await a.stopped).toMatchObject({ code: "LOG_FAILED" });
    expect(problems.map(({ code }) => code)).toEqual(["LOG_FAILED"]);
    await expect(a.request({ add: 4 })).rejects.toMatchObject({ code: "LOG_FAILED" });
    fails.mockRestore();
    // It was written, whether it was flushed or not.
    const again = await start({ log });
    expect(await again.request({ add: 0 })).toBe(3);
  });
});

describe("channels that have no order any more", () => {
  test("cannot go on with what had one, from a snapshot or from a log", async () => {
    const processes = ["a", "b"];
    const pair = async (options: Partial<Configuration>): Promise<Running[]> => {
      const all = [];
      for (const id of processes) {
        const application = new Adder();
        all.push(
          await start({ id, processes, application, transport: network.transport(), ...options }),
        );
      }
      return all;
    };
    const [a, b] = await pair({});
    await a?.request({ add: 1, to: "b" });
    const snapshot = await a?.snapshot();
    for (const one of [a, b]) await one?.stop();
    const [c, d] = await pair({ order: "none" });
    await expect(c?.restore(snapshot?.id ?? "a/1")).rejects.toMatchObject({ code: "BAD_OPTION" });
    // Nothing was decided.
    expect(await store.epoch()).toBeUndefined();
    for (const one of [c, d]) await one?.stop();
    const logged = { id: "a", processes, log: { directory: newLog() } };
    await (await start(logged)).stop();
    await expect(start({ ...logged, order: "none" })).rejects.toThrow("of channels with an order");
  });
});

describe("an application that throws", () => {
  test("in its first turn is what the start says, and leaves nothing in the log", async () => {
    const application = new Adder();
    application.throwsIn = "start";
    const log = { directory: newLog() };
    await expect(start({ application })).rejects.toMatchObject({ code: "APPLICATION_THREW" });
    await expect(start({ application, log })).rejects.toMatchObject({ code: "APPLICATION_THREW" });
    const again = await start({ log });
    expect(await again.request({ add: 1 })).toBe(1);
  });

  test("while it is being stopped leaves in the log how it was before that turn", async () => {
    const application = new Adder();
    const log = { directory: newLog(), policy: "always" as const };
    const running = await start({ application, log });
    await running.request({ add: 7 });
    application.throwsIn = "timer";
    const asked = running.request("fail soon").catch((error: TidemarkError) => error.code);
    await running.stop();
    expect((await running.stopped)?.code).toBe("APPLICATION_THREW");
    await asked;
    const again = await start({ log });
    expect(await again.request({ add: 0 })).toBe(7);
  });

  test("while a state is captured for the log is told as a problem of its own", async () => {
    const application = new Adder();
    const running = await start({ application, log: { directory: newLog(), captureBytes: 1 } });
    application.capture = () =>
      new FrozenState(() => {
        throw "no slice today";
      });
    await running.request({ add: 1 });
    await until("it is told", async () => problems.length > 0);
    expect(problems[0]).toMatchObject({ code: "CAPTURE_THREW" });
    expect(await running.request({ add: 1 })).toBe(2);
  });
});

describe("a log that is not what this process would write", () => {
  async function written(options: Partial<Configuration> = {}): Promise<{ directory: string }> {
    const log = { directory: newLog() };
    const running = await start({ ...options, log });
    await running.request({ add: 7 });
    await running.stop();
    return log;
  }

  test("of another process, or of another system, is refused", async () => {
    const log = await written();
    for (const other of [{ id: "b", processes: ["b"] }, { system: "another" }])
      await expect(start({ ...other, log })).rejects.toMatchObject({
        code: "BAD_OPTION",
        message: expect.stringContaining("that of a of the system tidemark"),
      });
    expect(await (await start({ log })).request({ add: 0 })).toBe(7);
  });

  test("with messages or states of another codec is refused", async () => {
    const log = await written();
    for (const other of [
      { messageCodec: jsonCodec<number>() },
      { stateCodec: jsonCodec<number>() },
    ])
      await expect(start({ ...other, log })).rejects.toMatchObject({
        code: "BAD_MESSAGE",
        message: expect.stringContaining("encoded as msgpack, and their codec is json now"),
      });
    // No request waits in the log of a process that was stopped in order.
    const requests = { ...log, requestCodec: jsonCodec<Request>() };
    expect(await (await start({ log: requests })).request({ add: 0 })).toBe(7);
  });

  test("with a state that cannot be decoded is refused with a reason", async () => {
    const log = await written();
    const stateCodec = {
      ...msgpackCodec<number>(),
      decode: (): number => {
        throw new SyntaxError("no state of mine");
      },
    };
    await expect(start({ stateCodec, log })).rejects.toMatchObject({
      code: "BAD_MESSAGE",
      message: expect.stringContaining("no state of mine"),
    });
  });
});

test("an epoch that began in the store alone is followed when that is asked for", async () => {
  const running = await start();
  await running.request({ add: 7 });
  const { id: snapshot } = await running.snapshot();
  await running.request({ add: 5 });
  expect(await running.follow()).toBe(1);
  expect(await running.request({ add: 0 })).toBe(12);
  await store.beginEpoch({ epoch: 2, snapshot, atMs: 0, by: "somebody else" });
  expect(await running.follow()).toBe(2);
  expect(await running.request({ add: 0 })).toBe(7);
  await running.stop();
  await expect(running.follow()).rejects.toMatchObject({ code: "STOPPED" });
});

describe("other options than before", () => {
  test("an epoch beyond that of the log is refused, for it would begin with nothing", async () => {
    const log = { directory: newLog() };
    const running = await start({ log });
    await running.request({ add: 7 });
    await running.stop();
    await expect(start({ log, epoch: 3 })).rejects.toMatchObject({ code: "BAD_OPTION" });
    expect(await (await start({ log })).request({ add: 0 })).toBe(7);
  });

  test("processes that the log does not know are named, and can join", async () => {
    const log = { directory: newLog() };
    await (await start({ log })).stop();
    const a = await start({ log, processes: ["a", "b"] });
    expect(problems.map(({ code }) => code)).toEqual(["UNKNOWN_PROCESS"]);
    const b = await start({ id: "b", processes: ["a", "b"] });
    a.join("b", b.address);
    b.connect("a", a.address);
    expect(await (await b.snapshot()).verify()).toMatchObject({ consistent: true });
  });

  test("a request never has the number of one that waits in the snapshot that it began from", async () => {
    const ids: number[] = [];
    const noting = (): Adder =>
      Object.assign(new Adder(), {
        request: (id: number, _request: Request, turn: Turn<number, number>) => {
          ids.push(id);
          turn.reply(id, 0);
        },
      });
    const first = await start({ application: noting() });
    await first.request({ add: 1 });
    await first.restore((await first.snapshot()).id);
    await first.stop();
    for (let life = 0; life < 2; life += 1) {
      const again = await start({ application: noting() });
      await again.request({ add: 1 });
      await again.stop();
    }
    expect(ids).toHaveLength(3);
    expect(ids).toEqual([...new Set(ids)].toSorted((a, b) => a - b));
  });
});

describe("an application that is not deterministic", () => {
  let chance = 0;
  const sending: Partial<Application<number, number, Request, number>> = {
    request: (id, _request, turn) => {
      chance += 1;
      turn.send("b", chance);
      turn.reply(id, 0);
    },
  };
  const answering: Partial<Application<number, number, Request, number>> = {
    request: (id, _request, turn) => {
      chance += 1;
      turn.reply(id, chance);
    },
  };

  test.each([
    ["sends another message of the same length", sending],
    ["replies something else", answering],
  ])("and %s is told, and does not go on", async (_what, methods) => {
    const processes = ["a", "b"];
    const log = { directory: newLog() };
    const application = Object.assign(new Adder(), methods);
    const a = await start({ application, processes, log });
    connect(a, await start({ processes, id: "b" }));
    await a.snapshot();
    await a.request({ add: 0 });
    // It ends without a capture, as if it had been killed.
    application.capture = () => {
      throw new Error("killed");
    };
    await a.stop();
    const again = start({ application: Object.assign(new Adder(), methods), processes, log });
    await expect(again).rejects.toMatchObject({ code: "DIVERGED" });
  });

  test("but not when it says something else unasked: nobody listens to a replay", async () => {
    const saying: Partial<Application<number, number, Request, number>> = {
      request: (id, _request, turn) => {
        if (!turn.replays) turn.reply(UNASKED, 7);
        turn.reply(id, 0);
      },
    };
    const log = { directory: newLog() };
    const application = Object.assign(new Adder(), saying);
    const process = await start({ application, log });
    await process.request({ add: 0 });
    application.capture = () => {
      throw new Error("killed");
    };
    await process.stop();
    const again = await start({ application: Object.assign(new Adder(), saying), log });
    expect(again.beganWith).toBe("log");
    await again.stop();
  });
});

describe("going to another epoch", () => {
  test("a process that is told of one more meanwhile goes there, too", async () => {
    const slow = new Adder();
    const gate: { shut: boolean } = { shut: false };
    slow.capture = () => {
      let slices = 0;
      // One after the other until it may end.
      return new FrozenState(() => {
        slices += 1;
        return gate.shut || slices === 1 ? 0 : undefined;
      });
    };
    slow.restore = () => {};
    const processes = ["a", "b"];
    const a = await start({ processes });
    const b = await start({ processes, id: "b", application: slow, log: { directory: newLog() } });
    connect(a, b);
    const { id } = await a.snapshot();
    gate.shut = true;
    expect((await a.restore(id, { timeoutMs: 200 })).reason).toBeDefined();
    const again = a.restore(id, { timeoutMs: 10_000 });
    const behind = "b is behind, in epoch 2";
    await until("b was told", async () =>
      problems.some(({ message }) => message.startsWith(behind)),
    );
    // What a was told of b, b is told a moment later.
    await pause(50);
    gate.shut = false;
    expect(await again).toMatchObject({ epoch: 3, absent: [], proof: expect.anything() });
  });

  test("who has no log begins from the snapshot again, and the next snapshots are consistent", async () => {
    const processes = ["a", "b"];
    const log = { directory: newLog() };
    let a = await start({ processes, log });
    const b = await start({ processes, id: "b" });
    connect(a, b);
    await a.request({ add: 1, to: "b" });
    await b.request({ add: 2, to: "a" });
    const { id } = await a.snapshot();
    await a.restore(id);
    await a.request({ add: 4, to: "b" });
    await b.request({ add: 8, to: "a" });
    await a.snapshot();
    await b.stop();
    await a.stop();
    a = await start({ processes, log });
    const again = await start({ processes, id: "b" });
    connect(a, again);
    await until("they have met", async () =>
      problems.some(({ code }) => code === "PEER_RESTARTED"),
    );
    await a.request({ add: 16, to: "b" });
    const snapshot = await again.snapshot();
    expect(await snapshot.verify()).toMatchObject({ consistent: true });
    const states = await Promise.all(processes.map((one) => snapshot.state(one)));
    const [sent] = await snapshot.inFlight("a", "b");
    expect([states[0], Number(states[1]) + Number(sent ?? 0)]).toEqual([
      1 + 2 + 4 + 8 + 16,
      1 + 2 + 16,
    ]);
  });

  test("a process can join a system that was restored, and is not in what it was restored to", async () => {
    const a = await start();
    const { id } = await a.snapshot();
    await a.restore(id);
    const b = await start({ id: "b", processes: ["a", "b"] });
    a.join("b", b.address);
    b.connect("a", a.address);
    expect(await (await b.snapshot()).verify()).toMatchObject({ consistent: true, processes: 2 });
  });
});
