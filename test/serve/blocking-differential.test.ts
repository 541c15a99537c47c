/** Clients that wait, of Debian's redis-server and of the store: the same ones must be served, in the same order, with the same. */

import { expect, test } from "vitest";
import { Random } from "../../src/index.ts";
import { seeds } from "../support/soak.ts";
import { lacksRedis, startRedis } from "./redis.ts";
import { type Heard, startStore, TestClient } from "./store.ts";

type Words = readonly string[];

const CLIENTS = 4;

/** What clients wait for, each in its turn, and what is done then. */
interface Scene {
  readonly waits: readonly Words[];
  readonly deeds: readonly Words[];
}

function sceneOf(random: Random): Scene {
  const pick = (...words: Words): string => random.pick(words) as string;
  const key = (): string => pick("a", "b", "c");
  const element = (): string => pick("x", "y", "z");
  const end = (): string => pick("LEFT", "RIGHT");
  const some = <T>(make: () => T): T[] => Array.from({ length: random.between(1, 4) }, make);
  const waits: readonly (() => Words)[] = [
    () => [pick("BLPOP", "BRPOP"), ...some(key), "0"],
    () => ["BLMOVE", key(), key(), end(), end(), "0"],
    () => ["BRPOPLPUSH", key(), key(), "0"],
    () => ["BLMPOP", "0", "2", key(), key(), end(), "COUNT", pick("1", "2")],
    () => [pick("BZPOPMIN", "BZPOPMAX"), ...some(key), "0"],
  ];
  const deeds: readonly (() => Words)[] = [
    () => [pick("LPUSH", "RPUSH"), key(), ...some(element)],
    () => [pick("LPUSH", "RPUSH"), pick("a", "b", "c", "other"), ...some(element)],
    () => ["RENAME", "other", key()],
    () => ["COPY", "other", key(), "REPLACE"],
    () => ["SET", key(), "text"],
    () => ["DEL", key()],
    () => ["ZADD", key(), "1", element(), "2", element()],
    () => ["LMOVE", key(), key(), end(), end()],
    () => ["SORT", "other", "ALPHA", "STORE", "other"],
  ];
  const done = Array.from({ length: 6 }, () => (random.pick(deeds) as () => Words)());
  return {
    waits: Array.from({ length: CLIENTS }, () => (random.pick(waits) as () => Words)()),
    deeds: random.chance(0.4) ? [["MULTI"], ...done, ["EXEC"]] : done,
  };
}

/** All that is heard: first by who does something, then by each that waits. */
async function play(port: number, { waits, deeds }: Scene): Promise<Heard[][]> {
  const doer = new TestClient(port);
  await doer.ask("FLUSHALL");
  const clients: TestClient[] = [];
  const ids: string[] = [];
  for (const words of waits) {
    const client = new TestClient(port);
    clients.push(client);
    ids.push(String(await client.ask("CLIENT", "ID")).slice(1));
    client.send(...words);
    const isThere = `blocked_clients:${clients.length}\r\n`;
    while (!String(await doer.ask("INFO", "clients")).includes(isThere));
  }
  const heard: Heard[][] = [[]];
  for (const words of deeds) heard[0]?.push(await doer.ask(...words));
  for (const [i, client] of clients.entries()) {
    // Who waits still is told to go on.
    const all = [await doer.ask("CLIENT", "UNBLOCK", ids[i] as string)];
    all.push(await client.next(), await client.ask("PING"));
    heard.push(all);
    client.socket.destroy();
  }
  for (const key of ["a", "b", "c"])
    heard[0]?.push(await doer.ask("TYPE", key), await doer.ask("LRANGE", key, "0", "-1"));
  while (!String(await doer.ask("INFO", "clients")).includes("blocked_clients:0\r\n"));
  doer.socket.destroy();
  return heard;
}

test.skipIf(lacksRedis)(
  "who waits is served as Redis does it",
  { timeout: 36_000_000 },
  async () => {
    const redisPort = await startRedis();
    const [store] = await startStore(1);
    for (const seed of seeds("kv-blocking", 60, 10_000)) {
      const scene = sceneOf(new Random(`blocking ${seed}`));
      const [expected, heard] = await Promise.all([
        play(redisPort, scene),
        play(store?.server.port ?? 0, scene),
      ]);
      expect(heard, `seed ${seed}: ${JSON.stringify(scene)}`).toEqual(expected);
    }
  },
);
