// What real processes say of themselves, put together.
import { expect, test, vi } from "vitest";
import {
  explainSystem,
  MemoryNetwork,
  memoryStore,
  type RunningProcess,
  startProcess,
} from "../../src/index.ts";

const quiet = { capture: () => 0, restore: () => {}, receive: () => {} };

test("a snapshot that waits for a process that receives by hand comes down to what that has not taken", async () => {
  const [network, store, processes] = [new MemoryNetwork(), memoryStore(), ["a", "b", "c"]];
  const running: RunningProcess<unknown, unknown>[] = [];
  for (const id of processes)
    running.push(
      await startProcess({
        ...{ id, processes, store, application: quiet, transport: network.transport() },
        receive: id === "b" ? "manual" : "auto",
      }),
    );
  const [a, b] = running as [RunningProcess<unknown, unknown>, RunningProcess<unknown, unknown>];
  const explain = () => {
    const reports = running.map((one) => ({
      process: one.id,
      epoch: one.epoch,
      explanation: one.explain(),
    }));
    return explainSystem(reports, { nowMs: Date.now() + 60_000 });
  };
  await vi.waitFor(() => expect(explain().heldBy).toEqual([]));
  const taking = a.snapshot();
  await vi.waitFor(() => {
    const { late, heldBy } = explain();
    expect(late.map(({ code, at }) => [code, at])).toContainEqual(["SNAPSHOT_OPEN", "a"]);
    expect(heldBy.map(({ code }) => code)).toEqual(["CHANNEL_NOT_TAKEN", "CHANNEL_NOT_TAKEN"]);
    expect(heldBy.map(({ at }) => at)).toContainEqual({ from: "a", to: "b" });
  });
  await b.receive("a");
  await b.receive("c");
  await taking;
  await vi.waitFor(() => expect(explain()).toEqual({ late: [], heldBy: [] }));
  for (const one of running) await one.stop();
});
