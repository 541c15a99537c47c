/** A system whose snapshots lie on NATS: taken, read, abandoned and restored. */
import { expect, onTestFinished, test } from "vitest";
import { natsStore } from "../../src/nats/nats-store.ts";
import type { Application } from "../../src/process/application.ts";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import { startProcess } from "../../src/runtime/running-process.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import { lacksNats, NatsServer, until } from "./support.ts";

class Purse implements Application<number, number, number, number> {
  coins = 100;
  request(
    id: number,
    coins: number,
    turn: Parameters<NonNullable<Application<number, number, number, number>["request"]>>[2],
  ) {
    this.coins -= coins * turn.peers.length;
    turn.send(turn.peers, coins);
    turn.reply(id, this.coins);
  }
  receive(_from: string, coins: number) {
    this.coins += coins;
  }
  capture() {
    return this.coins;
  }
  restore(coins: number) {
    this.coins = coins;
  }
}

test.skipIf(lacksNats)(
  "snapshots of a system on NATS are proven, restored and abandoned",
  async () => {
    const server = await NatsServer.start();
    onTestFinished(() => server.stop());
    const processes = ["p1", "p.2", "p-3"];
    const network = new MemoryNetwork();
    const purses = processes.map(() => new Purse());
    const stores = processes.map(() => natsStore({ servers: server.url }));
    onTestFinished(async () => {
      for (const store of stores) await store.close();
    });
    const running = await Promise.all(
      processes.map((id, i) =>
        startProcess({
          ...{ id, processes, application: purses[i] as Purse, store: stores[i] as SnapshotStore },
          // Some are behind in the epoch for a moment, and one store is closed.
          onProblem: () => {},
          transport: network.transport(),
        }),
      ),
    );
    onTestFinished(async () => {
      for (const process of running) await process.stop();
    });
    const [first, second] = running;
    if (!first || !second) throw new Error("there are three");
    const total = (): number => purses.reduce((sum, { coins }) => sum + coins, 0);

    await first.request(7);
    const snapshot = await second.snapshot({ label: "before" });
    expect((await snapshot.verify()).consistent).toBe(true);
    await first.request(20);
    await until("all coins have come", () => total() === 300);

    await first.restore(snapshot.id);
    await until("all went back", () => total() === 300 && purses[0]?.coins === 86);
    expect((await stores[2]?.epoch())?.snapshot).toBe(snapshot.id);
    const again = await first.snapshot();
    expect((await again.verify()).consistent).toBe(true);

    // The last one of them cannot write its piece: nothing is listed, and the count stays used.
    await stores[2]?.close();
    await expect(first.snapshot()).rejects.toThrow("it is closed");
    const ids: string[] = [];
    for await (const { id } of stores[0]?.list() ?? []) ids.push(id);
    // The restore has taken one as well, which proves that all go on.
    expect(ids).toEqual([again.id, "p1/1", snapshot.id]);
    expect(await stores[1]?.lastCount("p1")).toBe(3);
  },
  60_000,
);
