/** Processes that pass money through streams of a real server at full load, and snapshots of all of it. */
import { jetstreamManager } from "@nats-io/jetstream";
import { describe, expect, onTestFinished, test } from "vitest";
import { type RunningNatsProcess, startNatsProcess } from "../../src/nats/nats-process.ts";
import { takeNatsSnapshot } from "../../src/nats/nats-snapshot.ts";
import { ReadableSnapshot } from "../../src/process/readable-snapshot.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import {
  type Account,
  moneyIn,
  NEW,
  receiveTransfer,
  type Transfer,
  transfer,
} from "./stream-bank.ts";
import { lacksNats, NatsServer, until, withNats } from "./support.ts";

const ACCOUNTS = ["p1", "p2", "p3"];
const STREAMS = ["east", "west"];
const MONEY = ACCOUNTS.length * NEW.balance;

async function serverWithStreams(): Promise<NatsServer> {
  const server = await NatsServer.start();
  onTestFinished(() => server.stop());
  await withNats(server.url, async (connection) => {
    const manager = await jetstreamManager(connection);
    for (const name of STREAMS) await manager.streams.add({ name, subjects: [`${name}.>`] });
  });
  return server;
}

async function startAccount(servers: string, id: string): Promise<RunningNatsProcess<Account>> {
  const running = await startNatsProcess<Account, Transfer>({
    ...{ servers, id, prefix: "bank", reads: STREAMS, writes: STREAMS, initial: NEW },
    receive: receiveTransfer(ACCOUNTS, STREAMS),
  });
  onTestFinished(() => running.stop());
  return running;
}

/** So many transfers are under way from then on. */
async function begin(running: RunningNatsProcess<Account>, transfers: number): Promise<void> {
  await running.turn((state, turn) => {
    let after = state;
    for (let i = 0; i < transfers; i += 1)
      after = { ...transfer({ ...after, received: i }, turn, ACCOUNTS, STREAMS), received: 0 };
    return after;
  });
}

async function take(servers: string, store: SnapshotStore): Promise<ReadableSnapshot> {
  const { id } = await takeNatsSnapshot({ servers, prefix: "bank", streams: STREAMS, store });
  const stored = await store.get(id);
  if (!stored) throw new Error(`${id} is not in the store`);
  return new ReadableSnapshot(stored);
}

async function expectRight(snapshot: ReadableSnapshot): Promise<void> {
  expect(await snapshot.verify()).toMatchObject({ consistent: true });
  expect(await moneyIn(snapshot)).toBe(MONEY);
}

describe.skipIf(lacksNats)("processes whose only channels are streams", () => {
  test("every snapshot at full load is proven, and has all the money", {
    timeout: 120_000,
  }, async () => {
    const server = await serverWithStreams();
    const running = await Promise.all(ACCOUNTS.map((id) => startAccount(server.url, id)));
    for (const one of running) await begin(one, 30);
    const store = memoryStore();
    let inFlight = 0;
    for (let i = 0; i < 12; i += 1) {
      const before = running.map(({ state }) => state.received);
      const snapshot = await take(server.url, store);
      await expectRight(snapshot);
      for (const { incoming } of snapshot.manifest.pieces)
        for (const one of incoming) inFlight += one.inFlight;
      await until("money has moved", () =>
        running.every(({ state }, p) => state.received > Number(before[p])),
      );
    }
    expect(inFlight).toBeGreaterThan(0);
  });
});
