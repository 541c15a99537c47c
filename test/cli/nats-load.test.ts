/**
 * A store of three processes on one server of NATS, or three, at full load. Servers are killed one after another and started again, a process of
 * the store now and then, and snapshots are asked for all the time.
 */
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import type { SnapshotId } from "../../src/core/id.ts";
import { natsStore } from "../../src/nats/nats-store.ts";
import { readAttempts } from "../../src/runtime/read-attempts.ts";
import { lacksNats, NatsCluster, NatsServer } from "../nats/support.ts";
import type { TestClient } from "../serve/store.ts";
import { freePorts } from "../support/ports.ts";
import { cases } from "../support/soak.ts";
import { until } from "./support/command.ts";
import { JoinedStore, NAMES } from "./support/joined.ts";
import { expectMoney, Load } from "./support/load.ts";
import { type SavedReplica, savedIds, savedStore } from "./support/store-clients.ts";

const SERVER_KILL_EVERY_MS = 5_000;
const SERVER_AWAY_MS = 1_000;
const SHORT = { seconds: 8, processKillEveryMs: 5_000 };
const LONG = { seconds: 120, processKillEveryMs: 13_000 };
const SNAPSHOT_EVERY_MS = 100;
/** After many kills nats-server 2.9 has now and then no leader for minutes. */
const RECOVERY_MS = 300_000;

/** How many servers, and who gives the order; most only when it is soaked. */
const LOADS = (
  [
    [1, "sequencer", cases("nats-load-one", undefined, { ...LONG, seconds: 30 })],
    [3, "sequencer", cases("nats-load", undefined, LONG)],
    [3, "jetstream", cases("nats-load-order", SHORT, LONG)],
  ] as const
).flatMap(([count, engine, load]) => (load ? [[count, engine, load] as const] : []));

test.skipIf(lacksNats).each(LOADS)(
  "of %d: servers and processes of a store that are killed at full load lose nothing that was acknowledged, ordered by a %s",
  { timeout: 1_200_000 },
  async (count, engine, { seconds, processKillEveryMs }) => {
    const there = count === 3 ? await NatsCluster.start() : await NatsServer.start();
    onTestFinished(() => there.stop());
    const servers = there instanceof NatsCluster ? there.servers : [there];
    const urls = servers.map(({ url }) => url);
    const nats = ["--nats", urls.join(), "--nats-replicas", String(count)];
    const ordered = ["--order-engine", engine];
    const options = [...nats, ...ordered, "--log", "always", "--restarts", "1000"];
    const store = new JoinedStore(await freePorts(NAMES.length), options, 1_100_000);
    for (const id of NAMES) (await store.client(id)).socket.destroy();
    const load = new Load(store.ports);
    const told = `SEED=${load.seed}`;
    await load.begin();

    const saved: SnapshotId[] = [];
    const refusals = new Map<string, number>();
    for (const i of NAMES.keys())
      load.visit(i, async (client) => {
        const heard = String(await client.ask("TIDEMARK", "SNAPSHOT"));
        if (heard.startsWith("$")) saved.push(heard.slice(1) as SnapshotId);
        else if (heard !== "closed") {
          const reason = heard
            .replaceAll(/\b[abc]\/\d+|the snapshot/g, "ID")
            .replaceAll(/\b[abc]\b/g, "P");
          refusals.set(reason, 1 + (refusals.get(reason) ?? 0));
        }
        await pause(SNAPSHOT_EVERY_MS);
      });

    const endMs = performance.now() + 1_000 * seconds;
    const hasTime = (): boolean => performance.now() < endMs;
    let serverKills = 0;
    let processKills = 0;
    let lastKillMs = 0;
    const killServers = async (): Promise<void> => {
      while (hasTime()) {
        const server = load.random.pick(servers) ?? expect.fail("there is one");
        await server.kill();
        lastKillMs = performance.now();
        serverKills += 1;
        await pause(SERVER_AWAY_MS);
        await server.restart();
        await pause(Math.max(0, lastKillMs + SERVER_KILL_EVERY_MS - performance.now()));
      }
    };
    const killProcesses = async (): Promise<void> => {
      await pause(processKillEveryMs / 2);
      while (hasTime()) {
        const id = load.random.pick(NAMES) ?? expect.fail("there are three");
        // With all that is on its machine, or what its command runs alone. Who begins there needs a server at once.
        if (count === 3 && load.random.chance(0.5)) {
          await store.killWhole(id);
          processKills += 1;
        } else if (store.killBelow(id)) processKills += 1;
        await pause(processKillEveryMs);
      }
    };
    await Promise.all([killServers(), killProcesses()]);

    /** Until all that can be asked is answered again, by whoever is asked. */
    const sinceLastKill = async (what: string, ask: (client: TestClient) => Promise<boolean>) => {
      for (const id of NAMES)
        await until(
          `${what} at ${id} (${told})`,
          async () => await ask(await store.client(id)),
          RECOVERY_MS,
        );
      return ((performance.now() - lastKillMs) / 1_000).toFixed(1);
    };
    const [written, snapshots] = await Promise.all([
      sinceLastKill("a write", async (client) => (await client.ask("SET", "again", "x")) === "+OK"),
      sinceLastKill("a snapshot", async (client) => {
        const heard = String(await client.ask("TIDEMARK", "SNAPSHOT"));
        if (heard.startsWith("$")) saved.push(heard.slice(1) as SnapshotId);
        return heard.startsWith("$");
      }),
    ]);
    const [client] = await load.end();
    const heard = String(await client?.ask("TIDEMARK", "SNAPSHOT", "the end"));
    await store.stop();

    const snapshotsThere = natsStore({ servers: urls, replicas: count, patienceMs: 100_000 });
    onTestFinished(() => snapshotsThere.close());
    const last = await savedStore(snapshotsThere, heard.slice(1) as SnapshotId);
    load.expectIn(last.replicas);
    const ids = await savedIds(snapshotsThere);
    expect(saved.filter((id) => !ids.includes(id))).toEqual([]);
    let early: SavedReplica | undefined;
    for (const id of ids) {
      const { replicas } = await savedStore(snapshotsThere, id);
      expectMoney(replicas, `${id}, ${told}`);
      early ??= replicas.find(({ keys }) => keys.size > 0);
    }
    // It would be seen: what came after the first one is not in that.
    const before = early ?? expect.fail("there is a snapshot");
    expect(() => load.expectIn(NAMES.map(() => before))).toThrow();

    const attempts = await readAttempts(snapshotsThere);
    for (const { outcome, reason, snapshot } of attempts) {
      if (outcome === "complete") expect(ids).toContain(snapshot);
      if (outcome === "abandoned" || outcome === "refused") expect(reason).toMatch(/\w/);
    }
    for (const reason of refusals.keys()) expect(reason, told).toMatch(/^-[A-Z_]+ \w/);
    for (const { answered } of load.counts) expect(answered, told).toBeGreaterThan(seconds);
    expect(serverKills).toBeGreaterThan(seconds / 10);
    expect(processKills).toBeGreaterThan(0);
    expect(saved.length).toBeGreaterThan(0);
    if (seconds < 30) return;
    process.stderr.write(
      [
        `order by ${engine}, servers ${count}: ${serverKills} kills of servers, ${processKills} of processes; ${load}`,
        `nobody was answered for ${(load.longestPauseMs / 1_000).toFixed(1)} s at the most`,
        `${ids.length} snapshots proven, ${saved.length} of them told to clients`,
        ...[...refusals].map(([reason, many]) => `${many} times: ${reason}`),
        `after the last kill all took writes in ${written} s, and snapshots in ${snapshots} s`,
        "",
      ].join("\n"),
    );
  },
);
