// Groups over TCP at full load, while connections are cut and the system is restored: each message once, in the order asked for, the same everywhere where it is total.
import { test } from "vitest";
import { tcpTransport } from "../../src/index.ts";
import { CuttingProxy } from "../support/cutting-proxy.ts";
import { cases } from "../support/soak.ts";
import { contest, contests, type GroupNetwork } from "./group-contest.ts";

/** Between each two of them there is a proxy. */
function overTcp(): GroupNetwork {
  const proxies: CuttingProxy[] = [];
  return {
    transport: () => tcpTransport(),
    async introduce(running) {
      for (const [id, one] of running)
        for (const [peer, other] of running) {
          if (id >= peer) {
            one.connect(peer, other.address);
            continue;
          }
          const proxy = await CuttingProxy.open(other.address);
          proxies.push(proxy);
          one.connect(peer, proxy.address);
        }
    },
    cut: (random) => random.pick(proxies)?.cut("both") ?? 0,
    async close() {
      await Promise.all(proxies.map((proxy) => proxy.close()));
    },
  };
}

test.each(contests)("%s order, %s", { timeout: 600_000 }, async (level, total) => {
  const [most, restores] = cases("groups-tcp", [30_000, 1], [1_000_000, 4]);
  await contest(level, total, { most, restores }, overTcp());
});
