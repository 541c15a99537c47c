// Stored snapshots as global states: with groups, with codecs of the system's own, sliced, and of clones.
import { expect, test } from "vitest";
import { detectSum } from "../../src/detect.ts";
import {
  cloneSnapshot,
  FrozenState,
  GlobalSnapshot,
  type Goods,
  type GroupApplication,
  Grouped,
  type GroupedState,
  groupedCodecs,
  inspectSnapshot,
  jsonCodec,
  MemoryNetwork,
  memoryStore,
  type Renamed,
  startProcess,
} from "../../src/index.ts";

const IDS = ["a", "b", "c"];
const MONEY = 1_000;

interface Purse {
  readonly owner: string;
  readonly money: number;
}

/** Gives everybody something in every order, at each request. */
function purse(owner: string, isSliced: boolean): GroupApplication<number, unknown, number, null> {
  let now: Purse = { owner, money: MONEY };
  const add = (amount: number): void => {
    now = { ...now, money: now.money + amount };
  };
  return {
    request(id, amount, turn) {
      for (const order of ["reliable", "causal", "total"] as const) {
        add(-amount * IDS.length);
        turn.multicast("all", amount, { order });
      }
      for (const peer of turn.peers) {
        add(-amount);
        turn.send(peer, amount);
      }
      turn.reply(id, null);
    },
    receive: (_from, amount) => add(amount),
    deliver: (_group, { message }) => add(message),
    capture() {
      if (!isSliced) return now;
      const slices = [now];
      return new FrozenState(() => slices.shift());
    },
    restore(state, renamed?: Renamed) {
      [now] = [state].flat() as [Purse];
      now = { ...now, owner: renamed?.get(now.owner) ?? now.owner };
      if (now.owner !== owner) throw new Error(`${owner} gets the state of ${now.owner}`);
    },
    goods: (amount?: number): Goods => ({ money: amount ?? now.money }),
  };
}

const codecs = groupedCodecs<number, unknown>({
  messageCodec: { ...jsonCodec<number>(), name: "own" },
  stateCodec: jsonCodec<unknown>(),
});

const application = (self: string, members: readonly string[] = IDS) =>
  new Grouped<number, unknown, number, null>({
    ...{ self, groups: { all: { members, total: "agreed" } } },
    messageCodec: jsonCodec<number>(),
    application: purse(self, self.endsWith("b")),
  });

test("nothing is lost or counted twice, in groups, in slices, and in a clone", async () => {
  const network = new MemoryNetwork();
  const store = memoryStore();
  const running = await Promise.all(
    IDS.map((id) =>
      startProcess<Uint8Array, GroupedState<unknown>, number, null>({
        ...{ id, processes: IDS, application: application(id), ...codecs, store },
        transport: network.transport(),
      }),
    ),
  );
  const [first] = running;
  if (!first) throw new Error("nobody runs");
  let inGroups = 0;
  let direct = 0;
  for (let i = 0; i < 10; i += 1) {
    const asked = running.map((one) => one.request(1 + i));
    const [snapshot] = await Promise.all([first.snapshot(), ...asked]);
    const stored = await store.get(snapshot.id);
    if (!stored) throw new Error("it is not there");
    const own = [codecs.messageCodec, codecs.stateCodec] as never[];
    const state = await inspectSnapshot<Purse, number>(new GlobalSnapshot(stored, own), {
      application: (id) => application(id),
    });
    expect(state.problems).toEqual([]);
    expect(detectSum(state, "money", MONEY * IDS.length).sentence).toBe("all 3000 are there");
    expect(state.processes.map(({ process }) => process)).toEqual(IDS);
    inGroups += state.messages.filter(({ group }) => group === "all").length;
    direct += state.messages.filter(({ group }) => group === undefined).length;

    const other = memoryStore();
    const rename = { a: "x-a", b: "x-b", c: "x-c" };
    const copy = await cloneSnapshot(store, snapshot.id, other, { rename });
    const clone = await other.get(copy);
    if (!clone) throw new Error("it is not there");
    const names = Object.values(rename);
    const cloned = await inspectSnapshot(new GlobalSnapshot(clone, own), {
      application: (id) => application(id, names),
    });
    expect(detectSum(cloned, "money", MONEY * IDS.length).detected).toBe(false);
    expect(cloned.messages.length).toBe(state.messages.length);
  }
  expect(inGroups).toBeGreaterThan(0);
  expect(direct).toBeGreaterThan(0);
  await Promise.all(running.map((one) => one.stop()));
});
