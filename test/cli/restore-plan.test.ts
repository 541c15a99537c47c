import { expect, test } from "vitest";
import { checkRestorable, planRestore } from "../../src/cli/restore-plan.ts";
import {
  type Manifest,
  MemoryNetwork,
  memoryStore,
  type SnapshotStore,
  startProcess,
} from "../../src/index.ts";

/** A store with a snapshot of two processes, and one more after a message. */
async function recorded(): Promise<[SnapshotStore, Manifest, Manifest]> {
  const store = memoryStore();
  const network = new MemoryNetwork();
  const start = (id: string) =>
    startProcess<number, null, number, null>({
      id,
      processes: ["a", "b"],
      application: {
        request: (asked, add, turn) => {
          turn.send(turn.peers, add);
          turn.reply(asked, null);
        },
        capture: () => null,
        restore() {},
      },
      transport: network.transport(),
      store,
    });
  await using a = await start("a");
  await using _b = await start("b");
  const before = await a.snapshot();
  await a.request(1);
  const after = await a.snapshot();
  return [store, before.manifest, after.manifest];
}

test("a snapshot that is not proven, or is of other processes, is refused", async () => {
  const [store, manifest] = await recorded();
  expect(await checkRestorable(store, manifest.id, ["b", "a"])).toEqual(manifest);
  await expect(checkRestorable(store, manifest.id, ["a", "b", "c"])).rejects.toMatchObject({
    code: "UNKNOWN_PROCESS",
  });
  await expect(checkRestorable(store, "a/99")).rejects.toMatchObject({ code: "NOT_FOUND" });
  const forged: Manifest = {
    ...manifest,
    pieces: manifest.pieces.map((piece) => ({
      ...piece,
      incoming: piece.incoming.map((one) => ({ ...one, received: one.received + 1 })),
    })),
  };
  const other: SnapshotStore = Object.assign(Object.create(store), {
    get: async () => ({ manifest: forged, part: (await store.get(manifest.id))?.part }),
  });
  await expect(checkRestorable(other, manifest.id)).rejects.toMatchObject({ code: "DAMAGED" });
});

test("what would be lost is counted, but not across epochs that have nothing to do with each other", async () => {
  const [store, before, after] = await recorded();
  expect(await planRestore(store, before, after, false)).toMatchObject({
    snapshot: before.id,
    now: after.id,
    snapshotsSince: 1,
    inFlight: 0,
    processes: [
      { process: "a", sent: 1, received: 0 },
      { process: "b", sent: 0, received: expect.any(Number) },
    ],
  });
  expect((await planRestore(store, before, after, true)).snapshotsSince).toBe(0);
  const later = { ...after, epoch: 2 };
  expect((await planRestore(store, before, later, false)).processes).toEqual([
    { process: "a" },
    { process: "b" },
  ]);
  await store.beginEpoch({ epoch: 2, snapshot: before.id, atMs: 1, by: "a test" });
  const [a] = (await planRestore(store, before, later, false)).processes;
  expect(a).toEqual({ process: "a", sent: 1, received: 0 });
});
