// Groups over NATS at full load: on one server, to which connections are cut, and on three, which are killed one after another.
import { afterAll, beforeAll, describe, test } from "vitest";
import { natsTransport } from "../../src/nats/nats-transport.ts";
import { contest, contests, type GroupNetwork } from "../runtime/group-contest.ts";
import { killMembers } from "../runtime/group-deaths.ts";
import { CuttingProxy } from "../support/cutting-proxy.ts";
import { cases } from "../support/soak.ts";
import { lacksNats, NatsCluster, NatsServer } from "./support.ts";

/** A client waits for a moment before it connects again. */
const CUT_EVERY_MS = 1_500;

let groups = 0;

/** @param servers which a process is to use */
function overNats(
  servers: (id: string) => readonly string[],
  { cut, close }: Pick<GroupNetwork, "cut" | "close">,
): GroupNetwork {
  groups += 1;
  const prefix = `groups-${groups}`;
  let cutAtMs = 0;
  return {
    transport: (id) => natsTransport({ servers: servers(id), prefix }),
    async introduce(running) {
      for (const [id, one] of running)
        for (const [peer, { address }] of running) if (peer !== id) one.connect(peer, address);
    },
    async cut(random) {
      if (performance.now() < cutAtMs + CUT_EVERY_MS) return 0;
      cutAtMs = performance.now();
      return await cut(random);
    },
    close,
  };
}

describe.skipIf(lacksNats)("on one server", () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await NatsServer.start("", false);
  });
  afterAll(() => server.stop());

  test("who lives on agrees on what a member had sent that was killed", {
    timeout: 3_600_000,
  }, async () => {
    const rounds = cases("groups-nats-killed", 2, 100);
    await killMembers("groups-nats-killed", rounds, server.url.replace("nats://", ""));
  });

  test.each(contests)("%s order, %s", { timeout: 3_600_000 }, async (level, total) => {
    const [most, restores] = cases("groups-nats", [20_000, 1], [500_000, 4]);
    // Each reaches the server through one of its own.
    const proxies: Record<string, CuttingProxy> = {};
    for (const id of ["p1", "p2", "p3"])
      proxies[id] = await CuttingProxy.open(server.url.replace("nats://", ""));
    const all = Object.values(proxies);
    const network = overNats((id) => [`nats://${proxies[id]?.address}`], {
      cut: (random) => random.pick(all)?.cut("both") ?? 0,
      async close() {
        await Promise.all(all.map((proxy) => proxy.close()));
      },
    });
    await contest(level, total, { most, restores }, network);
  });
});

describe.skipIf(lacksNats)("on three", () => {
  let cluster: NatsCluster;
  beforeAll(async () => {
    cluster = await NatsCluster.start();
  }, 60_000);
  afterAll(() => cluster.stop());

  test.each(contests)("%s order, %s", { timeout: 3_600_000 }, async (level, total) => {
    const [most, restores] = cases("groups-nats-three", [20_000, 1], [500_000, 4]);
    const network = overNats(() => cluster.urls, {
      async cut(random) {
        const server = random.pick(cluster.servers);
        await server?.kill();
        await server?.restart();
        return 1;
      },
      close: async () => {},
    });
    await contest(level, total, { most, restores }, network);
  });
});
