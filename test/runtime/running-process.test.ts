import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import {
  type Application,
  bytesCodec,
  FrozenState,
  isTidemarkError,
  lentBytesCodec,
  MemoryNetwork,
  memoryStore,
  type ProcessConfiguration,
  type RunningProcess,
  spoiledTransport,
  startProcess,
  type TidemarkError,
  type Transport,
  type Turn,
  tcpTransport,
  UNASKED,
} from "../../src/index.ts";

type Request = { readonly add: number; readonly to?: string } | "silence" | "throw" | "later";

/** Adds what it is asked to, and passes it on if told so. */
class Adder implements Application<number, number, Request, number> {
  sum = 0;
  captureThrows = false as boolean;
  #later = 0;

  request(id: number, request: Request, turn: Turn<number, number>): void {
    if (request === "throw") throw new Error("asked to");
    if (request === "silence") return;
    if (request === "later") {
      this.#later = id;
      turn.setTimer("later", 5);
      return;
    }
    this.sum += request.add;
    if (request.to !== undefined) turn.send(request.to, request.add);
    turn.reply(id, this.sum);
  }

  timer(name: string, turn: Turn<number, number>): void {
    if (name === "later") turn.reply(this.#later, this.sum);
  }

  receive(_from: string, add: number): void {
    this.sum += add;
  }

  capture(): number {
    if (this.captureThrows) throw new Error("no capture today");
    return this.sum;
  }

  restore(sum: number): void {
    this.sum = sum;
  }
}

/** Notes what it gets, as it is then, and keeps it. */
class Keeper implements Application<Uint8Array, null, { readonly fill: number }, null> {
  readonly noted: string[] = [];
  readonly kept: Uint8Array[] = [];

  request(id: number, { fill }: { fill: number }, turn: Turn<Uint8Array, null>): void {
    turn.send(turn.peers, new Uint8Array(40_000 + fill).fill(fill));
    turn.reply(id, null);
  }

  receive(_from: string, message: Uint8Array): void {
    this.noted.push(allAlike(message));
    this.kept.push(message);
  }

  capture(): null {
    return null;
  }

  restore(): void {}
}

/** The byte that all are, and how many. */
const allAlike = (bytes: Uint8Array): string =>
  bytes.every((byte) => byte === bytes[0]) ? `${bytes.length} x ${bytes[0]}` : "not alike";

describe("bytes as messages", () => {
  test.each([
    ["kept", bytesCodec],
    ["lent", lentBytesCodec],
  ])("%s: what comes in is right, and what may be kept stays so", async (bytes, messageCodec) => {
    const processes = ["a", "b"];
    const keeper = new Keeper();
    const start = (id: string) =>
      startProcess<Uint8Array, null, { readonly fill: number }, null>({
        id,
        processes,
        application: id === "b" ? keeper : new Keeper(),
        transport: tcpTransport(),
        store: memoryStore(),
        messageCodec,
      });
    await using a = await start("a");
    await using b = await start("b");
    a.connect("b", b.address);
    b.connect("a", a.address);
    const expected = Array.from({ length: 100 }, (_, fill) => `${40_000 + fill} x ${fill}`);
    for (const fill of expected.keys()) await a.request({ fill });
    await vi.waitUntil(() => keeper.kept.length === 100, { timeout: 10_000 });
    expect(keeper.noted).toEqual(expected);
    if (bytes === "kept") expect(keeper.kept.map(allAlike)).toEqual(expected);
    else expect(keeper.kept.map(allAlike), "they were only lent").not.toEqual(expected);
  });
});

type Adding = RunningProcess<number, number, Request, number>;

/** A system of adders in this operating-system process. */
async function system<T>(
  ids: readonly string[],
  use: (running: Record<string, Adding>, problems: TidemarkError[]) => Promise<T>,
  more: Partial<ProcessConfiguration<number, number, Request, number>> = {},
  spoil: (transport: Transport) => Transport = (transport) => transport,
): Promise<T> {
  const network = new MemoryNetwork();
  const store = memoryStore();
  const problems: TidemarkError[] = [];
  const running: Record<string, Adding> = {};
  try {
    for (const id of ids)
      running[id] = await startProcess<number, number, Request, number>({
        id,
        processes: ids,
        application: new Adder(),
        store,
        onProblem: (problem) => problems.push(problem),
        ...more,
        transport: spoil(network.transport()),
      });
    return await use(running, problems);
  } finally {
    await Promise.all(Object.values(running).map((one) => one.stop()));
  }
}

const get = (running: Record<string, Adding>, id: string): Adding => running[id] as Adding;

describe("requests", () => {
  test("are answered, in the same turn or a later one", () =>
    system(["a"], async (running) => {
      expect(await get(running, "a").request({ add: 3 })).toBe(3);
      expect(await get(running, "a").request("later")).toBe(3);
    }));

  test("are not taken after the caller gave up, and may have happened when it gives up later", () =>
    system(["a"], async (running) => {
      const gone = AbortSignal.abort();
      await expect(get(running, "a").request({ add: 1 }, { signal: gone })).rejects.toMatchObject({
        code: "ABORTED",
        definite: true,
      });
      const going = new AbortController();
      const asked = get(running, "a").request("silence", { signal: going.signal });
      going.abort();
      await expect(asked).rejects.toMatchObject({ code: "ABORTED", definite: false });
    }));

  test("asked from inside a turn come after it, and nothing of either is lost", async () => {
    const heard: number[] = [];
    type Act = (turn: Turn<number, number>) => number;
    const application = (): Application<number, null, Act, number> => ({
      request: (id, act, turn) => turn.reply(id, act(turn)),
      receive: (_from, message) => heard.push(message),
      capture: () => null,
      restore: () => {},
    });
    const network = new MemoryNetwork();
    const store = memoryStore();
    const start = (id: string) =>
      startProcess<number, null, Act, number>({
        id,
        processes: ["a", "b"],
        application: application(),
        transport: network.transport(),
        store,
      });
    await using a = await start("a");
    await using _b = await start("b");
    const inner: Promise<unknown>[] = [];
    const outer = await a.request((turn) => {
      turn.send("b", 1);
      inner.push(
        a.request((later) => {
          later.send("b", 3);
          return 7;
        }),
        a.snapshot(),
      );
      turn.send("b", 2);
      return 5;
    });
    expect([outer, await inner[0]]).toEqual([5, 7]);
    await inner[1];
    await vi.waitFor(() => expect(heard).toEqual([1, 2, 3]));
  });

  test("that wait are answered by a process that is drained, and nobody else is let in", async () => {
    const solo = await startProcess({
      id: "solo",
      processes: ["solo"],
      application: new Adder(),
      transport: new MemoryNetwork().transport(),
      store: memoryStore(),
    });
    expect(solo).toMatchObject({ epoch: 1, beganWith: "nothing" });
    const waiting = solo.request("later");
    const drained = solo.drain();
    await expect(solo.request({ add: 1 })).rejects.toMatchObject({ code: "STOPPED" });
    expect([await waiting, await drained]).toEqual([0, 0]);
    await solo.stop();
  });

  test("that are never answered do not keep a process from its end", async () => {
    const solo = await startProcess({
      id: "solo",
      processes: ["solo"],
      application: new Adder(),
      transport: new MemoryNetwork().transport(),
      store: memoryStore(),
    });
    const silent = solo.request("silence");
    expect(await solo.drain({ timeoutMs: 20 })).toBe(1);
    await solo.stop();
    await expect(silent).rejects.toMatchObject({ code: "STOPPED", definite: false });
  });

  test("that wait when the process stops are refused, and may have happened", async () => {
    let asked: Promise<number> | undefined;
    await system(["a"], async (running) => {
      asked = get(running, "a").request("silence");
      asked.catch(() => {});
    });
    await expect(asked).rejects.toMatchObject({ code: "STOPPED", definite: false });
  });

  test("wait while a channel is congested, and are BUSY beyond a bound", () =>
    system(
      ["a", "b"],
      async (running) => {
        await get(running, "b").stop();
        await vi.waitFor(() =>
          expect(
            get(running, "a")
              .explain()
              .channels.some(({ up }) => !up),
          ).toBe(true),
        );
        const asked: Promise<number>[] = [];
        const ask = (): Promise<number> => get(running, "a").request({ add: 1, to: "b" });
        let busy: unknown;
        for (let i = 0; i < 50 && !busy; i += 1) {
          const one = ask();
          one.catch((error: unknown) => {
            if (isTidemarkError(error, "BUSY")) busy = error;
          });
          asked.push(one);
          await pause(0);
        }
        expect(busy).toMatchObject({ code: "BUSY", definite: true });
        await get(running, "a").stop();
        const outcomes = await Promise.allSettled(asked);
        const definite = outcomes.filter(
          (one) => one.status === "rejected" && (one.reason as TidemarkError).definite,
        );
        expect(outcomes.some(({ status }) => status === "fulfilled")).toBe(true);
        expect(definite.length).toBeGreaterThanOrEqual(5);
      },
      { windowBytes: 64, maxWaitingRequests: 4 },
    ));
});

test("what an application says unasked is heard, in order with its replies", async () => {
  const application: Application<never, null, number, number> = {
    request(id, many, turn) {
      for (let i = 1; i <= many; i += 1) turn.reply(UNASKED, i);
      turn.reply(id, many);
    },
    capture: () => null,
    restore: () => {},
  };
  await using process = await startProcess({
    ...{ id: "a", processes: ["a"], application, store: memoryStore() },
    transport: new MemoryNetwork().transport(),
  });
  // Nobody listens yet.
  await process.request(1);
  const heard: number[] = [];
  process.onUnasked((reply) => heard.push(reply));
  expect(await process.request(3)).toBe(3);
  expect(heard).toEqual([1, 2, 3]);
});

test("an application that throws ends its process, with the reason", () =>
  system(["a"], async (running) => {
    const a = get(running, "a");
    await expect(a.request("throw")).rejects.toMatchObject({
      code: "APPLICATION_THREW",
      definite: false,
    });
    expect(await a.stopped).toMatchObject({ code: "APPLICATION_THREW" });
    await expect(a.request({ add: 1 })).rejects.toMatchObject({ code: "APPLICATION_THREW" });
    await expect(a.snapshot()).rejects.toMatchObject({ code: "APPLICATION_THREW" });
  }));

describe("snapshots", () => {
  test("resolve when stored, can be looked into, and prove themselves", () =>
    system(["a", "b", "c"], async (running) => {
      await get(running, "a").request({ add: 5, to: "b" });
      const cuts: number[] = [];
      const snapshot = await get(running, "c").snapshot({
        label: "first",
        onCut: (_id, cutMs) => cuts.push(cutMs),
      });
      expect(snapshot.manifest).toMatchObject({ id: "c/1", label: "first", initiator: "c" });
      expect(cuts).toEqual([snapshot.manifest.cutMs]);
      const inFlight = await snapshot.inFlight("a", "b");
      expect(await snapshot.state("a")).toBe(5);
      expect((await snapshot.state("b")) + inFlight.reduce((sum, add) => sum + add, 0)).toBe(5);
      expect(await snapshot.verify()).toMatchObject({
        consistent: true,
        processes: 3,
        channels: 6,
      });
      await expect(snapshot.state("d")).rejects.toMatchObject({ code: "UNKNOWN_PROCESS" });
      await expect(snapshot.inFlight("a", "d")).rejects.toMatchObject({ code: "UNKNOWN_PROCESS" });
    }));

  test("overlap", () =>
    system(["a", "b", "c"], async (running) => {
      const taken = await Promise.all(
        ["a", "b", "c", "a", "b", "c"].map((id) => get(running, id).snapshot()),
      );
      expect(new Set(taken.map(({ id }) => id)).size).toBe(6);
      for (const one of taken) expect(await one.verify()).toMatchObject({ consistent: true });
    }));

  test("are refused when some process cannot be reached, which is named", () =>
    system(
      ["a", "b", "c"],
      async (running) => {
        await expect(get(running, "b").snapshot()).rejects.toThrow("from b to a, c");
        await expect(get(running, "b").snapshot()).rejects.toMatchObject({ code: "UNREACHABLE" });
        const snapshot = await get(running, "a").snapshot();
        expect(await snapshot.verify()).toMatchObject({ consistent: true, channels: 2 });
      },
      {
        channels: [
          { from: "a", to: "b" },
          { from: "a", to: "c" },
        ],
      },
    ));

  test("are abandoned with the reason when a capture throws, and the next one is taken", () => {
    const application = new Adder();
    return system(
      ["a"],
      async (running, problems) => {
        application.captureThrows = true;
        await expect(get(running, "a").snapshot()).rejects.toThrow("no capture today");
        expect(problems.map(({ code }) => code)).toEqual(["CAPTURE_THREW"]);
        application.captureThrows = false;
        expect((await get(running, "a").snapshot()).id).toBe("a/2");
      },
      { application },
    );
  });

  test("are abandoned when a process is lost, which is named, and the caller can give up", () =>
    system(
      ["a", "b"],
      async (running) => {
        await get(running, "a").snapshot();
        await get(running, "b").stop();
        const giving = new AbortController();
        const given = get(running, "a").snapshot({ signal: giving.signal });
        giving.abort();
        await expect(given).rejects.toMatchObject({ code: "ABORTED" });
        await expect(get(running, "a").snapshot()).rejects.toThrow(/process lost: b/);
        await expect(get(running, "a").snapshot()).rejects.toMatchObject({
          code: "SNAPSHOT_ABANDONED",
        });
        expect(get(running, "a").explain().snapshots).toEqual([]);
      },
      { lostAfterMs: 50 },
    ));

  test("whose caller gives up inside capture are abandoned", () => {
    const giving = new AbortController();
    const application = new Adder();
    const store = memoryStore();
    application.capture = () => {
      giving.abort();
      return 0;
    };
    return system(
      ["a"],
      async (running) => {
        const given = get(running, "a").snapshot({ signal: giving.signal });
        await expect(given).rejects.toMatchObject({ code: "ABORTED" });
        await pause(20);
        expect(await store.get("a/1")).toBeUndefined();
      },
      { application, store },
    );
  });

  test("go on when a callback throws, and what it threw is not swallowed", () =>
    system(["a", "b"], async (running) => {
      const thrown: unknown[] = [];
      const listeners = process.listeners("uncaughtException");
      process.removeAllListeners("uncaughtException");
      process.on("uncaughtException", (error) => thrown.push(error));
      try {
        const snapshot = await get(running, "a").snapshot({
          onRecorded: () => {
            throw new Error("a mistake of the caller");
          },
        });
        expect(await snapshot.verify()).toMatchObject({ consistent: true });
        await vi.waitFor(() => expect(thrown).toEqual([new Error("a mistake of the caller")]));
      } finally {
        process.removeAllListeners("uncaughtException");
        for (const listener of listeners) process.on("uncaughtException", listener);
      }
    }));

  test("are taken when the release of a frozen state throws, which is reported", () => {
    let slices = 1;
    const application = new Adder();
    application.capture = (() =>
      new FrozenState(
        () => (slices-- > 0 ? 1 : undefined),
        () => {
          throw new Error("release!");
        },
      )) as never;
    return system(
      ["a"],
      async (running, problems) => {
        const snapshot = await get(running, "a").snapshot();
        expect(await snapshot.state("a")).toEqual([1]);
        await vi.waitFor(() => expect(problems.map(({ code }) => code)).toEqual(["CAPTURE_THREW"]));
        await get(running, "a").stop();
      },
      { application },
    );
  });

  test("that are late are explained: who is waited for", () =>
    system(["a", "b"], async (running) => {
      await get(running, "a").snapshot();
      await get(running, "b").stop();
      await vi.waitFor(() =>
        expect(
          get(running, "a")
            .explain()
            .channels.some(({ up }) => !up),
        ).toBe(true),
      );
      const late = get(running, "a").snapshot();
      late.catch(() => {});
      const explanation = get(running, "a").explain();
      expect(explanation.snapshots).toMatchObject([{ snapshot: "a/2" }]);
      expect(explanation.snapshots[0]?.waitsFor[0]).toMatch(/^the marker of b, which is down/);
      await get(running, "a").stop();
      await expect(late).rejects.toThrow("a/2 was abandoned: a stops");
    }));

  test("of a store that fails are abandoned with its reason", () => {
    const store = memoryStore();
    return system(
      ["a"],
      async (running) => {
        vi.spyOn(store, "writePiece").mockRejectedValueOnce(new Error("the disk is full"));
        await expect(get(running, "a").snapshot()).rejects.toThrow("the disk is full");
        vi.spyOn(store, "writeManifest").mockRejectedValueOnce(new Error("no room for a manifest"));
        await expect(get(running, "a").snapshot()).rejects.toThrow("no room for a manifest");
        expect((await get(running, "a").snapshot()).id).toBe("a/3");
      },
      { store },
    );
  });

  test("of a frozen state hold what it was, though it changes while it is encoded", async () => {
    /** Counters; a captured one that changes is kept as it was. */
    class Counters implements Application<never, number[], number, number> {
      readonly counts: number[] = [0, 0, 0, 0];
      readonly released: string[] = [];
      #kept: Map<number, number> | undefined;

      request(id: number, index: number, turn: Turn<never, number>): void {
        if (this.#kept && !this.#kept.has(index))
          this.#kept.set(index, this.counts[index] as number);
        this.counts[index] = (this.counts[index] as number) + 1;
        turn.reply(id, this.counts[index] as number);
      }

      capture(): FrozenState {
        const kept = new Map<number, number>();
        this.#kept = kept;
        let next = 0;
        return new FrozenState(
          () => {
            const index = next;
            next += 1;
            return kept.get(index) ?? this.counts[index];
          },
          () => this.released.push("released"),
        );
      }

      restore(): void {}
    }
    const application = new Counters();
    await using counters = await startProcess({
      id: "a",
      processes: ["a"],
      application,
      transport: new MemoryNetwork().transport(),
      store: memoryStore(),
    });
    await counters.request(3);
    const taking = counters.snapshot();
    for (let i = 0; i < 10; i += 1) await counters.request(3);
    const snapshot = await taking;
    expect(await snapshot.state("a")).toEqual([0, 0, 0, 1]);
    expect(snapshot.manifest.pieces[0]?.state).toMatchObject({ sliced: true });
    expect(application.counts[3]).toBe(11);
    expect(application.released).toEqual(["released"]);
  });

  test("of many slices are looked up once, not once for each slice", async () => {
    const application: Application<never, number[]> = {
      capture() {
        let slice = 0;
        return new FrozenState(() => {
          slice += 1;
          return slice > 50 ? undefined : slice;
        });
      },
      restore: () => {},
    };
    const store = memoryStore();
    await using process = await startProcess({
      ...{ id: "a", processes: ["a"], application, store },
      transport: new MemoryNetwork().transport(),
    });
    const snapshot = await process.snapshot();
    const lookedUp = vi.spyOn(store, "get");
    expect(await snapshot.verify()).toMatchObject({ consistent: true });
    expect(await snapshot.state("a")).toHaveLength(50);
    expect(lookedUp.mock.calls.length).toBe(1);
  });
});

describe("manual receiving", () => {
  test("takes one by one, waits for what is to come, and snapshots what waits", () =>
    system(
      ["a", "b"],
      async (running) => {
        const [a, b] = [get(running, "a"), get(running, "b")];
        await a.request({ add: 1, to: "b" });
        await a.request({ add: 2, to: "b" });
        expect(await b.receive("a")).toMatchObject({ kind: "message", message: 1 });
        const taking = b.snapshot();
        expect(await a.receive("b")).toMatchObject({ kind: "marker", snapshot: "b/1" });
        expect(await b.receive("a")).toMatchObject({ kind: "message", message: 2 });
        expect(b.recorded("b/1")).toMatchObject({
          state: 1,
          channels: [{ from: "a", closed: false, messages: [2] }],
        });
        expect(await b.receive("a")).toMatchObject({ kind: "marker" });
        const snapshot = await taking;
        expect([await snapshot.state("a"), await snapshot.state("b")]).toEqual([3, 1]);
        expect(await snapshot.inFlight("a", "b")).toEqual([2]);
        const waiting = b.receive("a");
        await a.request({ add: 4, to: "b" });
        expect(await waiting).toMatchObject({ message: 4 });
        await expect(b.receive("c")).rejects.toMatchObject({ code: "NO_CHANNEL" });
        const giving = new AbortController();
        const given = b.receive("a", { signal: giving.signal });
        giving.abort();
        await expect(given).rejects.toMatchObject({ code: "ABORTED" });
      },
      { receive: "manual" },
    ));

  test("is an error in a process that receives by itself", () =>
    system(["a", "b"], async (running) => {
      await expect(get(running, "a").receive("b")).rejects.toMatchObject({ code: "BAD_OPTION" });
    }));
});

test("a process that joins later, even one that the transport has met before, takes part", async () => {
  const network = new MemoryNetwork();
  const store = memoryStore();
  const start = (id: string, processes: string[]): Promise<Adding> =>
    startProcess<number, number, Request, number>({
      id,
      processes,
      application: new Adder(),
      transport: network.transport(),
      store,
      onProblem: () => {},
    });
  await using a = await start("a", ["a"]);
  await using b = await start("b", ["a", "b"]);
  await pause(50);
  a.join("b", b.address);
  await a.request({ add: 7, to: "b" });
  const snapshot = await b.snapshot();
  expect(await snapshot.verify()).toMatchObject({ consistent: true, processes: 2, channels: 2 });
  expect(await snapshot.state("a")).toBe(7);
});

describe("startProcess", () => {
  const base = (): ProcessConfiguration<number, number, Request, number> => ({
    id: "a",
    processes: ["a"],
    application: new Adder(),
    transport: new MemoryNetwork().transport(),
    store: memoryStore(),
  });

  test.each([
    [{ id: "b" }, "UNKNOWN_PROCESS"],
    [{ id: "no spaces", processes: ["no spaces"] }, "BAD_ID"],
    [{ processes: ["a", "a"] }, "BAD_OPTION"],
    [{ channels: [{ from: "a", to: "x" }] }, "UNKNOWN_PROCESS"],
    [{ windowBytes: 0 }, "BAD_OPTION"],
    [{ maxWaitingRequests: Number.NaN }, "BAD_OPTION"],
    [{ seed: Number.NaN }, "BAD_OPTION"],
    [{ seed: {} as string }, "BAD_OPTION"],
    [{ lostAfterMs: Number.NaN }, "BAD_OPTION"],
    [{ receive: "sometimes" as "auto" }, "BAD_OPTION"],
    [{ application: {} as Adder }, "BAD_OPTION"],
  ] as const)("refuses %j as %s", async (change, code) => {
    const made = startProcess<number, number, Request, number>({ ...base(), ...change });
    await expect(made).rejects.toMatchObject({ code });
  });

  test("numbers snapshots on from what the store has", async () => {
    const configuration = base();
    const first = await startProcess<number, number, Request, number>(configuration);
    expect((await first.snapshot()).id).toBe("a/1");
    await first.stop();
    const again = { ...configuration, transport: new MemoryNetwork().transport() };
    await using second = await startProcess<number, number, Request, number>(again);
    expect((await second.snapshot()).id).toBe("a/2");
  });

  test("can be stopped twice, and nothing is taken afterwards", async () => {
    const running = await startProcess<number, number, Request, number>(base());
    await Promise.all([running.stop(), running.stop()]);
    expect(await running.stopped).toBeUndefined();
    await expect(running.request({ add: 1 })).rejects.toMatchObject({ code: "STOPPED" });
    expect(() => running.connect("a", "a")).toThrow(expect.objectContaining({ code: "STOPPED" }));
  });
});

describe("channels without an order", () => {
  test("over a bad network: every snapshot is proven, with what was in flight", async () => {
    let seed = 0;
    const spoil = (transport: Transport): Transport => {
      seed += 1;
      return spoiledTransport(transport, { seed, delayMs: [0, 20], loss: 0.1, repeat: 0.1 });
    };
    await system(
      ["a", "b", "c"],
      async (running, problems) => {
        const { a, b, c } = running as Record<"a" | "b" | "c", Adding>;
        const requests: Promise<number>[] = [];
        const ask = (from: Adding, to: string) => requests.push(from.request({ add: 1, to }));
        let inFlight = 0;
        for (let round = 0; round < 5; round += 1) {
          const snapshots = [a, b, c].map((one) => one.snapshot());
          for (let i = 0; i < 20; i += 1) {
            ask(a, i % 2 ? "b" : "c");
            ask(b, "c");
            ask(c, "a");
            await pause(1);
          }
          for (const snapshot of await Promise.all(snapshots)) {
            expect(await snapshot.verify()).toMatchObject({ consistent: true });
            const states = await Promise.all(["a", "b", "c"].map((id) => snapshot.state(id)));
            let sum = states.reduce((all, one) => all + one, 0);
            for (const { from, to } of snapshot.manifest.channels) {
              const messages = await snapshot.inFlight(from, to);
              sum += messages.length;
              inFlight += messages.length;
            }
            // Each request adds one here, and one that is sent.
            expect(sum % 2).toBe(0);
          }
        }
        await Promise.all(requests);
        expect(inFlight).toBeGreaterThan(0);
        expect(problems).toEqual([]);
      },
      { order: "none" },
      spoil,
    );
  });

  test("are not for Chandy and Lamport's algorithm", async () => {
    await expect(
      system(["a"], async () => undefined, { order: "none", algorithm: "chandy-lamport" }),
    ).rejects.toThrow(expect.objectContaining({ code: "UNSUITABLE_TRANSPORT" }));
  });
});
