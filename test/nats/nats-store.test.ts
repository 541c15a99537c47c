/** The store on NATS keeps the contract of stores, on one server and on three. */
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, describe, test } from "vitest";
import { natsStore } from "../../src/nats/nats-store.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import {
  type SnapshotStoreFixture,
  snapshotStoreContract,
} from "../../src/runtime/snapshot-store-contract.ts";
import { lacksNats, NatsCluster, NatsServer, withNats } from "./support.ts";

let number = 0;

async function onNats(servers: string[], replicas: 1 | 3): Promise<SnapshotStoreFixture> {
  number += 1;
  const prefix = `contract-${number}`;
  const stores: SnapshotStore[] = [];
  const open = (): SnapshotStore => {
    const store = natsStore({ servers, prefix, replicas, patienceMs: 100_000 });
    stores.push(store);
    return store;
  };
  return {
    store: open(),
    sharesParts: false,
    reopen: async () => open(),
    dispose: async () => {
      for (const store of stores) await store.close();
      await withNats(servers, async (connection) => {
        const manager = await jetstreamManager(connection);
        for await (const name of manager.streams.names())
          if (name.includes(`${prefix}-`)) await manager.streams.delete(name);
      });
    },
  };
}

describe.skipIf(lacksNats)("on one server", { timeout: 60_000 }, () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await NatsServer.start();
  });
  afterAll(async () => {
    await server.stop();
  });
  for (const { name, run } of snapshotStoreContract(() => onNats([server.url], 1))) test(name, run);
});

describe.skipIf(lacksNats)("on a cluster of three", { timeout: 120_000 }, () => {
  let cluster: NatsCluster;
  beforeAll(async () => {
    cluster = await NatsCluster.start();
  }, 60_000);
  afterAll(async () => {
    await cluster.stop();
  });
  for (const { name, run } of snapshotStoreContract(() => onNats(cluster.urls, 3))) test(name, run);
});
