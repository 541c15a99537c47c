// A second system from a snapshot of a first one, which runs on.
import { describe, expect, test } from "vitest";
import {
  Account,
  type AccountReply,
  type AccountRequest,
  type AccountState,
  type Transfer,
} from "../../src/bank/account.ts";
import {
  cloneSnapshot,
  Grouped,
  type GroupedState,
  groupedCodecs,
  jsonCodec,
  MemoryNetwork,
  memoryStore,
  type Renamed,
  type RunningProcess,
  type SnapshotStore,
  startProcess,
} from "../../src/index.ts";

type Bank = RunningProcess<Transfer, AccountState, AccountRequest, AccountReply>;

const MONEY = 1000;

async function begin(ids: readonly string[], store: SnapshotStore, money: number): Promise<Bank[]> {
  const network = new MemoryNetwork();
  return await Promise.all(
    ids.map((id) =>
      startProcess<Transfer, AccountState, AccountRequest, AccountReply>({
        ...{ id, processes: ids, store, transport: network.transport() },
        application: new Account({ money, rate: "max" }),
      }),
    ),
  );
}

/** All the money in a snapshot that is taken now. */
async function sum(bank: readonly Bank[]): Promise<number> {
  const snapshot = await (bank[0] as Bank).snapshot();
  expect((await snapshot.verify()).consistent).toBe(true);
  let all = 0;
  for (const { id } of bank) all += (await snapshot.state(id)).balance;
  for (const { from, to } of snapshot.manifest.channels)
    for (const { amount } of await snapshot.inFlight(from, to)) all += amount;
  return all;
}

const moved = (bank: readonly Bank[]): number =>
  bank.reduce((all, { counters }) => all + counters.received, 0);

async function untilMoved(bank: readonly Bank[], much: number): Promise<void> {
  const before = moved(bank);
  while (moved(bank) < before + much) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe("a clone", () => {
  test("runs beside its origin, with other names; both add up", async () => {
    const [store, other] = [memoryStore(), memoryStore()];
    const ids = ["p1", "p2", "p3"];
    const first = await begin(ids, store, MONEY);
    await untilMoved(first, 1000);
    const { id, manifest } = await (first[1] as Bank).snapshot();
    await untilMoved(first, 1000);
    const done: number[] = [];
    const copy = await cloneSnapshot(store, id, other, {
      // In another order than before.
      rename: { p1: "z", p2: "m", p3: "a" },
      system: "second",
      onProgress: (some) => void done.push(some),
    });
    expect([copy, done]).toEqual(["m/1", [1, 2, 3]]);
    const copied = (await other.get(copy))?.manifest;
    expect(copied).toMatchObject({ system: "second", initiator: "m", processes: ["a", "m", "z"] });
    expect(copied?.renamed).toEqual([
      { was: "p3", is: "a" },
      { was: "p2", is: "m" },
      { was: "p1", is: "z" },
    ]);
    expect(manifest.pieces.map(({ process }) => process)).toEqual(ids);
    // What it would begin with, if it began anew.
    const second = await begin(["z", "m", "a"], other, 7);
    await Promise.all([untilMoved(first, 1000), untilMoved(second, 1000)]);
    expect(await sum(second)).toBe(3 * MONEY);
    expect(await sum(first)).toBe(3 * MONEY);
    await Promise.all([...first, ...second].map((one) => one.stop()));
  });

  test("is refused before anything is written", async () => {
    const [store, other] = [memoryStore(), memoryStore()];
    const first = await begin(["p1", "p2"], store, MONEY);
    const { id } = await (first[0] as Bank).snapshot();
    const refused = (rename: Record<string, string>, code: string, of = id) =>
      expect(cloneSnapshot(store, of, other, { rename })).rejects.toMatchObject({ code });
    await refused({}, "NOT_FOUND", "p1/99");
    await refused({ p9: "a" }, "UNKNOWN_PROCESS");
    await refused({ p1: "no name" }, "BAD_ID");
    await refused({ p1: "p2" }, "BAD_OPTION");
    for await (const one of other.list()) expect(one).toBe("nothing");
    await cloneSnapshot(store, id, other);
    await refused({}, "EPOCH_TAKEN");
    await Promise.all(first.map((one) => one.stop()));
  });
});

interface Talk {
  readonly heard: readonly string[];
}

class Talker {
  heard: string[] = [];
  renamed: Renamed | undefined;

  restore({ heard }: Talk, renamed?: Renamed): void {
    this.heard = [...heard];
    this.renamed = renamed;
  }
}

describe("groups in a clone", () => {
  const codecs = { messageCodec: jsonCodec<string>(), stateCodec: jsonCodec<unknown>() };

  async function member(
    id: string,
    ids: readonly string[],
    network: MemoryNetwork,
    store: SnapshotStore,
    talker: Talker,
  ): Promise<RunningProcess<Uint8Array, GroupedState<Talk>, string, null>> {
    const application = new Grouped<string, Talk, string, null>({
      ...{ self: id, groups: { g: { members: ids } }, messageCodec: codecs.messageCodec },
      application: {
        deliver: (_group, { from, message }) => void talker.heard.push(`${from}: ${message}`),
        request: (request, word, turn) => {
          turn.multicast("g", word, { order: "total" });
          turn.reply(request, null);
        },
        capture: () => ({ heard: talker.heard }),
        restore: (state, renamed) => talker.restore(state, renamed),
      },
    });
    return await startProcess<Uint8Array, GroupedState<Talk>, string, null>({
      ...{ id, processes: ids, store, transport: network.transport(), application },
      ...groupedCodecs<string, Talk>(codecs),
    });
  }

  test("go on under their new names, if those are in the same order", async () => {
    const store = memoryStore();
    const network = new MemoryNetwork();
    const ids = ["p1", "p2"];
    const talkers = ids.map(() => new Talker());
    const first = await Promise.all(
      ids.map((id, i) => member(id, ids, network, store, talkers[i] as Talker)),
    );
    await first[1]?.request("before");
    while (talkers.some(({ heard }) => heard.length < 1))
      await new Promise((resolve) => setTimeout(resolve, 2));
    const { id } = await (first[0] as (typeof first)[number]).snapshot();

    const other = memoryStore();
    await cloneSnapshot(store, id, other, { rename: { p1: "ann", p2: "bob" } });
    const names = ["ann", "bob"];
    const clones = names.map(() => new Talker());
    const apart = new MemoryNetwork();
    const second = await Promise.all(
      names.map((name, i) => member(name, names, apart, other, clones[i] as Talker)),
    );
    expect(clones[0]?.renamed?.get("p2")).toBe("bob");
    await second[0]?.request("after");
    while (clones.some(({ heard }) => heard.length < 2))
      await new Promise((resolve) => setTimeout(resolve, 2));
    for (const { heard } of clones) expect(heard).toEqual(["p2: before", "ann: after"]);

    const reversed = memoryStore();
    await cloneSnapshot(store, id, reversed, { rename: { p1: "zoe", p2: "bob" } });
    await expect(
      member("bob", ["bob", "zoe"], new MemoryNetwork(), reversed, new Talker()),
    ).rejects.toMatchObject({
      code: "BAD_MESSAGE",
      message: expect.stringContaining("the same order as before"),
    });
    await Promise.all([...first, ...second].map((one) => one.stop()));
  });
});
