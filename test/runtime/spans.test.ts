import { AsyncLocalStorage } from "node:async_hooks";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Attributes,
  type Context,
  type ContextManager,
  context,
  ROOT_CONTEXT,
  type Span,
  type SpanStatus,
  SpanStatusCode,
  type TimeInput,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import {
  type Application,
  MemoryNetwork,
  memoryStore,
  type ProcessConfiguration,
  type RunningProcess,
  startProcess,
} from "../../src/index.ts";

/** What a provider hears of a span. */
interface Heard {
  readonly name: string;
  readonly parent: string | undefined;
  readonly attributes: Attributes;
  readonly startMs: number;
  endMs: number | undefined;
  status: SpanStatus;
}

const msOf = (time: TimeInput | undefined): number =>
  Array.isArray(time) ? time[0] * 1000 + time[1] / 1e6 : performance.timeOrigin + performance.now();

/** Keeps all that it hears, in memory. */
class MemoryProvider implements TracerProvider {
  readonly spans: Heard[] = [];
  isBroken: boolean = false;
  readonly #names = new Map<Span, string>();

  getTracer(): ReturnType<TracerProvider["getTracer"]> {
    return {
      startSpan: (name, options = {}, at: Context = context.active()) => {
        if (this.isBroken) throw new Error("the provider is broken");
        const above = trace.getSpan(at);
        const heard: Heard = {
          ...{ name, parent: above && this.#names.get(above), endMs: undefined },
          attributes: { ...options.attributes },
          startMs: msOf(options.startTime),
          status: { code: SpanStatusCode.UNSET },
        };
        this.spans.push(heard);
        const span = this.#spanOf(heard);
        this.#names.set(span, name);
        return span;
      },
      startActiveSpan: () => {
        throw new Error("nobody should");
      },
    };
  }

  #spanOf(heard: Heard): Span {
    const span: Span = {
      spanContext: () => ({ traceId: "1".repeat(32), spanId: "1".repeat(16), traceFlags: 1 }),
      setAttribute: (key, value) => span.setAttributes({ [key]: value }),
      setAttributes: (more) => {
        Object.assign(heard.attributes, more);
        return span;
      },
      addEvent: () => span,
      addLink: () => span,
      addLinks: () => span,
      setStatus: (status) => {
        heard.status = status;
        return span;
      },
      updateName: () => span,
      recordException: () => {},
      isRecording: () => true,
      end: (time) => {
        expect(heard.endMs, "a span ends once").toBeUndefined();
        heard.endMs = msOf(time);
      },
    };
    return span;
  }
}

class AsyncContexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();
  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT;
  }
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    at: Context,
    act: F,
    self?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(at, () => act.apply(self, args)) as ReturnType<F>;
  }
  bind<T>(_: Context, target: T): T {
    return target;
  }
  enable(): this {
    return this;
  }
  disable(): this {
    return this;
  }
}

const provider = new MemoryProvider();
trace.setGlobalTracerProvider(provider);
context.setGlobalContextManager(new AsyncContexts());
afterAll(() => {
  trace.disable();
  context.disable();
});
beforeEach(() => {
  provider.spans.length = 0;
  provider.isBroken = false;
});

const processes = ["a", "b"];
const application = (fails = false): Application<number, number, number, number> => ({
  request: (id, request, turn) => turn.reply(id, request),
  capture: () => {
    if (fails) throw new Error("it cannot be captured");
    return 1;
  },
  restore: () => {},
});

type Options = Partial<ProcessConfiguration<number, number, number, number>>;

async function system(
  options: Options = {},
  ofB: Options = {},
): Promise<readonly RunningProcess<number, number, number, number>[]> {
  const network = new MemoryNetwork();
  const store = memoryStore();
  const running = await Promise.all(
    processes.map((id) =>
      startProcess<number, number, number, number>({
        ...{ id, processes, store, application: application(), transport: network.transport() },
        ...options,
        ...(id === "b" ? ofB : {}),
      }),
    ),
  );
  onTestFinished(async () => {
    await Promise.all(running.map((one) => one.stop()));
  });
  return running;
}

const named = (name: string): readonly Heard[] => provider.spans.filter((one) => one.name === name);

describe("with a provider", () => {
  test("a snapshot is told with its parts, below where it was asked for", async () => {
    const [a] = await system({ spans: true });
    const tracer = trace.getTracer("test");
    const outer = tracer.startSpan("outer");
    const snapshot = await context.with(trace.setSpan(context.active(), outer), () =>
      a?.snapshot({ label: "secret label" }),
    );
    await expect.poll(() => named("tidemark.snapshot")).toHaveLength(1);
    const [root] = named("tidemark.snapshot");
    expect(root).toMatchObject({
      parent: "outer",
      status: { code: SpanStatusCode.UNSET },
      attributes: {
        "tidemark.process": "a",
        "tidemark.snapshot": snapshot?.id,
        "tidemark.snapshot.outcome": "complete",
        "tidemark.snapshot.processes": 2,
      },
    });
    const parts = ["record", "cut", "store", "settle"].map((part) => {
      const found = named(`tidemark.snapshot.${part}`);
      expect(found).toHaveLength(1);
      return found[0] as Heard;
    });
    for (const part of parts) {
      expect(part.parent).toBe("tidemark.snapshot");
      expect(part.endMs).toBeGreaterThanOrEqual(part.startMs);
      expect(part.startMs).toBeGreaterThanOrEqual((root?.startMs ?? 0) - 0.001);
      expect(part.endMs).toBeLessThanOrEqual((root?.endMs ?? 0) + 0.001);
    }
    const [, cut, store, settle] = parts;
    expect([store?.startMs, settle?.startMs]).toEqual([cut?.endMs, store?.endMs]);
    // Only the one that began it tells of it, and nobody tells its label.
    expect(JSON.stringify(provider.spans)).not.toContain("secret");
  });

  test("one that is abandoned is an error with its cause", async () => {
    const [a] = await system({ spans: true }, { application: application(true) });
    await expect(a?.snapshot()).rejects.toThrow("it cannot be captured");
    await expect.poll(() => named("tidemark.snapshot")).toHaveLength(1);
    expect(named("tidemark.snapshot")[0]).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message: expect.stringMatching(/capture threw at b/) },
      attributes: {
        "tidemark.snapshot.outcome": "abandoned",
        "tidemark.snapshot.cause": "capture_failed",
      },
    });
  });

  test("a restore is told where it was asked for, and at each process", async () => {
    const [a] = await system({ spans: true });
    const snapshot = await a?.snapshot();
    const done = await a?.restore(snapshot?.id ?? "a/1");
    expect(done?.proof).toBeDefined();
    expect(named("tidemark.restore")).toEqual([
      expect.objectContaining({
        endMs: expect.any(Number),
        attributes: {
          "tidemark.process": "a",
          "tidemark.snapshot": snapshot?.id,
          "tidemark.epoch": 2,
          "tidemark.restore.absent": [],
        },
      }),
    ]);
    const states = named("tidemark.restore.state").map(({ attributes }) => attributes);
    expect(states.map((one) => one["tidemark.process"]).sort()).toEqual(["a", "b"]);
    await expect(a?.restore("a/99")).rejects.toThrow("no snapshot a/99");
    expect(named("tidemark.restore")[1]).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { "error.type": "NOT_FOUND" },
    });
  });

  test("the replay of a log is told with how much it was", async () => {
    const directory = mkdtempSync(join(tmpdir(), "tidemark-spans-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const store = memoryStore();
    for (let life = 0; life < 2; life += 1) {
      const solo = await startProcess<number, number, number, number>({
        ...{ id: "solo", processes: ["solo"], store, spans: true },
        ...{ application: application(), transport: new MemoryNetwork().transport() },
        log: { directory, policy: "always" },
      });
      await solo.request(7);
      await solo.stop();
    }
    expect(named("tidemark.log.replay")).toEqual([
      expect.objectContaining({
        endMs: expect.any(Number),
        attributes: { "tidemark.process": "solo", "tidemark.log.records": expect.any(Number) },
      }),
    ]);
  });

  test("what it throws changes nothing", async () => {
    const [a] = await system({ spans: true });
    provider.isBroken = true;
    const snapshot = await a?.snapshot();
    expect((await snapshot?.verify())?.consistent).toBe(true);
    const done = await a?.restore(snapshot?.id ?? "a/1");
    expect(done?.epoch).toBe(2);
    expect(provider.spans).toEqual([]);
  });
});

test("nothing is told by a system that was not asked to", async () => {
  const [a] = await system();
  const snapshot = await a?.snapshot();
  await a?.restore(snapshot?.id ?? "a/1");
  expect(provider.spans).toEqual([]);
});
