import { describe, expect, test } from "vitest";
import type { Application } from "../../src/process/application.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import { type RunningProcess, startProcess } from "../../src/runtime/running-process.ts";
import type { RecorderOptions, Recording } from "../../src/trace/recorder.ts";
import { traceLines } from "../../src/trace/recording.ts";
import { parseTrace } from "../../src/trace/trace.ts";
import { until } from "../cli/support/command.ts";

type Node = RunningProcess<number, number, number, number>;

/** Sends on what it is asked to, and counts what comes. */
function forwarder(): Application<number, number, number, number> {
  let received = 0;
  return {
    request: (id, message, turn) => {
      turn.send(turn.peers, message);
      turn.reply(id, received);
    },
    receive: () => {
      received += 1;
    },
    values: () => ({ received }),
    capture: () => received,
    restore: (state) => {
      received = state;
    },
  };
}

async function start(trace?: true | RecorderOptions): Promise<[Node, Node]> {
  const [network, store] = [new MemoryNetwork(), memoryStore()];
  const processes = ["a", "b"];
  const common = { processes, store, ...(trace && { trace }) };
  // In a restore one learns a little later than the other that there is another epoch.
  const onProblem = (): void => {};
  const one = (id: string): Promise<Node> =>
    startProcess({
      ...{ ...common, id, onProblem },
      ...{ application: forwarder(), transport: network.transport() },
    });
  const both = await Promise.all([one("a"), one("b")]);
  await until("both to meet", () =>
    both.every((running) => running.explain().channels.every(({ up }) => up)),
  );
  return both;
}

const recordingsOf = (both: readonly Node[]): Recording[] =>
  both.flatMap((running) => running.trace() ?? []);

describe("a running process", () => {
  test("records nothing unless it is told to, from then on, and until it is told to stop", async () => {
    const [a, b] = await start();
    const arrive = async (count: number): Promise<void> => {
      await a.request(count);
      await until("the message", () => b.counters.received === count);
    };
    await arrive(1);
    expect(a.trace()).toBeUndefined();
    for (const running of [a, b]) running.startTrace({ text: true });
    await arrive(2);
    for (const running of [a, b]) running.stopTrace();
    await arrive(3);
    const recordings = recordingsOf([a, b]);
    expect(recordings.map(({ whole, lost }) => [whole, lost])).toEqual([
      [false, 0],
      [false, 0],
    ]);
    const trace = parseTrace([...traceLines(recordings)].join("\n"));
    const [send, receive] = ["send", "receive"].map((wanted) =>
      trace.events.filter(({ type }) => type === wanted),
    );
    expect(send).toMatchObject([{ message: 2, text: "2", peer: "b" }]);
    expect(receive).toMatchObject([{ message: 2, text: "2", peer: "a", values: { received: 2 } }]);
    expect(trace.arrows).toHaveLength(1);
    // Anew.
    a.startTrace();
    expect(a.trace()?.events).toEqual([]);
    await Promise.all([a.stop(), b.stop()]);
  });

  test("goes on recording across a restore, as another life", async () => {
    const [a, b] = await start(true);
    await a.request(1);
    await until("the message", () => b.counters.received === 1);
    const { id } = await a.snapshot();
    await a.request(2);
    await a.restore(id);
    await a.request(3);
    await until("the message of the new epoch", () => b.counters.received === 1);
    const trace = parseTrace([...traceLines(recordingsOf([a, b]))].join("\n"));
    expect([...trace.processes].sort()).toEqual(["a", "a.2", "b", "b.2"]);
    const ends = trace.arrows
      .filter(({ from }) => trace.events[from]?.snapshot === undefined)
      .map(({ from, to }) =>
        [from, to].map((event) => trace.processes[trace.events[event]?.process ?? 0]).join(" "),
      );
    expect(ends).toContain("a b");
    expect(ends).toContain("a.2 b.2");
    expect(ends.every((pair) => pair === "a b" || pair === "a.2 b.2")).toBe(true);
    await Promise.all([a.stop(), b.stop()]);
  });

  test("refuses options that make no sense", async () => {
    await expect(start({ events: 0 })).rejects.toThrow("events is a whole number");
    const [a, b] = await start();
    expect(() => a.startTrace({ every: 0 })).toThrow("every is a whole number");
    await Promise.all([a.stop(), b.stop()]);
  });
});
