// Snapshots of a store while clients transfer money between keys of different slots and types, through all replicas.
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import type { SnapshotId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import type { Heard, TestClient } from "../serve/store.ts";
import { freePorts } from "../support/ports.ts";
import { cases } from "../support/soak.ts";
import { Started, temporaryDirectory, until } from "./support/command.ts";
import { MONEY, moneyIn, openAccounts, transfer } from "./support/purses.ts";
import {
  clientWhenServed,
  type SavedReplica,
  savedIds,
  savedStore,
  visit,
} from "./support/store-clients.ts";

const PROCESSES = 3;
const CLIENTS = 12;

test("every snapshot has the exact sum at each replica, and restoring one gives exactly it", {
  timeout: 3_600_000,
}, async () => {
  const [snapshots, restores] = cases("kv-transfers", [6, 2], [200, 20]);
  const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
  const random = new Random(seed);
  const first = await freePorts(PROCESSES);
  const ports = Array.from({ length: PROCESSES }, (_, i) => first + i);
  const dir = temporaryDirectory();
  const args = ["kv", "--port", String(first), "--dir", dir, "--json", "--no-sync"];
  // What every snapshot has of all transfers is compared: that takes its time.
  const limitMs = snapshots > 6 ? 3_500_000 : 280_000;
  const store = new Started([...args, "--interval", "1h", "--keep", "0"], {}, "ignore", limitMs);
  const clients: TestClient[] = [];
  for (const port of ports) clients.push(await clientWhenServed(port));
  const someone = (): TestClient => random.pick(clients) as TestClient;
  await openAccounts(someone());

  let last = 0;
  const surprises: Heard[] = [];
  const load = (): (() => Promise<void>) => {
    const over = new AbortController();
    const visits = Array.from({ length: CLIENTS }, (_, i) =>
      visit(ports, i, over.signal, async (client) => {
        last += 1;
        const heard = await transfer(client, random, `t${last}`);
        if (!Array.isArray(heard)) surprises.push(heard);
      }),
    );
    return async () => {
      over.abort();
      await Promise.all(visits);
    };
  };
  const hasSaved = async (client: TestClient): Promise<boolean> =>
    String(await client.ask("INFO", "persistence")).includes("rdb_bgsave_in_progress:0");
  const settled = async (): Promise<void> => {
    const places = async (): Promise<Heard[]> =>
      await Promise.all(clients.map((client) => client.ask("TIDEMARK", "TOKEN")));
    await until("all replicas to have done all", async () => {
      const before = await places();
      await pause(50);
      return new Set([...before, ...(await places())]).size === 1;
    });
  };
  const expectMoney = ({ keys }: SavedReplica, where: string): readonly string[] => {
    const { sum, balances, replayed, transfers } = moneyIn(keys);
    expect({ where, sum }).toEqual({ where, sum: MONEY });
    expect({ where, balances }).toEqual({ where, balances: replayed });
    return transfers;
  };
  /** What all replicas have, from a snapshot of it at rest. */
  const present = async (): Promise<SavedReplica> => {
    await settled();
    const id = String(await someone().ask("TIDEMARK", "SNAPSHOT")).slice(1) as SnapshotId;
    const { replicas } = await savedStore(dir, id);
    for (const { hashes } of replicas) expect(hashes).toEqual(replicas[0]?.hashes);
    return replicas[0] ?? expect.fail("there is a replica");
  };

  const stop = load();
  for (let i = 0; i < snapshots; i += 1) {
    await pause(random.below(100));
    const client = someone();
    expect(await client.ask("BGSAVE")).toBe("+Background saving started");
    await until("the snapshot to be complete", () => hasSaved(client));
  }
  await stop();
  expect(surprises).toEqual([]);
  const all = expectMoney(await present(), "the end");
  expect(all.length).toBe(last);

  const ids: SnapshotId[] = [];
  let apart = 0;
  const longest = new Map<string, readonly string[]>();
  for (const id of (await savedIds(dir)).slice(0, -1)) {
    const { replicas, manifest } = await savedStore(dir, id);
    // The first one may be from before there were accounts.
    if (replicas.some(({ keys }) => keys.size === 0)) continue;
    ids.push(id);
    const notes = replicas.map((one, i) => expectMoney(one, `${manifest.processes[i]} in ${id}`));
    for (const own of notes) expect(own).toEqual(all.slice(0, own.length));
    const most = Math.max(...notes.map(({ length }) => length));
    longest.set(id, all.slice(0, most));
    if (notes.some(({ length }) => length < most)) apart += 1;
  }

  expect(ids.length).toBeGreaterThanOrEqual(snapshots);

  const restore = async (id: string): Promise<void> => {
    const reply = await someone().ask("TIDEMARK", "RESTORE", id);
    expect(reply, `SEED=${seed}`).toContain("$proof");
  };
  for (let i = 0; i < restores; i += 1) {
    const id = random.pick(ids) ?? expect.fail("there is a snapshot");
    await restore(id);
    const restored = expectMoney(await present(), `${id}, restored`);
    // Behind what had its place comes what was under way, in an order that it has only now. Nothing else is there, and nothing twice.
    const placed = longest.get(id) ?? [];
    const known = new Set(all);
    expect(restored.slice(0, placed.length)).toEqual(placed);
    expect(new Set(restored).size).toBe(restored.length);
    expect(restored.filter((one) => !known.has(one))).toEqual([]);
    expect(restored.length).toBeLessThan(all.length);

    // Another future of it; and back from there while clients transfer. They may be told that nobody knows, and nothing else.
    const stopAgain = load();
    await pause(100);
    expect(surprises).toEqual([]);
    await restore(id);
    await stopAgain();
    for (const heard of surprises.splice(0)) expect(heard).toMatch(/^-TRYAGAIN RESTORED/);
    const again = expectMoney(await present(), `${id}, restored while clients transfer`);
    expect(again.slice(0, placed.length)).toEqual(placed);
    expect(again.filter((one) => known.has(one)).sort()).toEqual([...restored].sort());
  }
  store.child.kill("SIGINT");
  expect((await store.ended).status).toBe(0);
  if (snapshots > 6)
    process.stderr.write(
      `kv-transfers: ${snapshots} snapshots, ${apart} with replicas at different places, ${all.length} transfers; SEED=${seed}\n`,
    );
});
