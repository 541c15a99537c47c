// A bank whose frames go over three servers of NATS and whose snapshots lie there. Processes and servers are killed: no money is lost or made.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { natsStore } from "../../src/nats/nats-store.ts";
import { GlobalSnapshot } from "../../src/runtime/global-snapshot.ts";
import { killAgain, restoreAgain } from "../runtime/bank-deaths.ts";
import type { SharedTask } from "../runtime/logged-processes.ts";
import { cases } from "../support/soak.ts";
import { lacksNats, NatsCluster } from "./support.ts";

const AWAY_MS = 500;

describe.skipIf(lacksNats)("a bank on three servers", { timeout: 3_600_000 }, () => {
  let cluster: NatsCluster;
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "tidemark-bank-"));
    cluster = await NatsCluster.start();
  }, 60_000);
  afterAll(async () => {
    await cluster.stop();
    await rm(directory, { recursive: true, force: true });
  });

  let next = 0;
  const killServer = async (): Promise<void> => {
    const server = cluster.servers[next++ % cluster.servers.length];
    await server?.kill();
    await pause(AWAY_MS);
    await server?.restart();
    // Another one may be lost only when this one has all that the others have.
    await cluster.isWhole();
  };

  const task = (prefix: string, policy: SharedTask["policy"]): SharedTask => ({
    ...{ directory: join(directory, prefix), policy, captureBytes: 300_000 },
    nats: { servers: cluster.urls.join(), prefix, replicas: 3 },
  });

  /** Every snapshot that is listed, whoever was told of it. */
  const allAreConsistent = async (prefix: string): Promise<void> => {
    const store = natsStore({ servers: cluster.urls, prefix, replicas: 3, patienceMs: 100_000 });
    let proven = 0;
    const fail = (error: Error): void => {
      throw error;
    };
    for await (const { id } of store.list(fail)) {
      const stored = await store.get(id);
      const verdict = await (stored && new GlobalSnapshot(stored).verify());
      expect({ id, ...verdict }).toMatchObject({ id, consistent: true });
      proven += 1;
    }
    await store.close();
    expect(proven).toBeGreaterThan(0);
  };

  test("that is killed", async () => {
    await killAgain(task("kills", "always"), cases("nats-bank", 1, 60), killServer);
    await allAreConsistent("kills");
  });

  test("that goes back", async () => {
    await restoreAgain(task("restores", "everysec"), cases("nats-bank", 1, 40), killServer);
    await allAreConsistent("restores");
  });
});
