/**
 * A store on three hosts that share three servers of NATS: servers and hosts are cut off, one and then more, and come back; the clock of one
 * is wrong. Whoever is cut off is told nothing: what was sent there is gone, and connections stay open.
 *
 * A clock is that of the process alone: nats-server asks the kernel for its own, which nothing here can change.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { temporaryDirectory, until } from "../cli/support/command.ts";
import { lacksNats } from "../nats/support.ts";
import { cases } from "../support/soak.ts";
import { type Host, lacksHosts, Network } from "./hosts.ts";
import { add, agree, NAMES, PORT, type Three, writes } from "./three.ts";

/** A client notices after 15 s that its server is gone, a server later; then a leader is elected. */
const PATIENCE_MS = 180_000;
const SNAPSHOT = /^[abc]\/\d+$/;

interface OnNats {
  readonly three: Three;
  /** Where the servers are: the same hosts, unless they were wanted apart. */
  readonly servers: readonly Host[];
  /** Snapshots that clients were told of. */
  readonly told: string[];
  readonly nats: readonly string[];
}

/** @param clocks how far ahead the clock of a process is, by name */
async function start({
  apart = false,
  clocks = {},
}: {
  readonly apart?: boolean;
  readonly clocks?: Readonly<Record<string, string>>;
} = {}): Promise<OnNats> {
  // They are removed in the opposite order: directories when nobody writes there any more.
  const directories = Array.from({ length: 6 }, () => temporaryDirectory());
  const network = new Network(apart ? 6 : 3);
  onTestFinished(() => network.close());
  const servers = network.hosts.slice(-3);
  for (const [i, host] of servers.entries()) {
    const directory = directories[i] as string;
    const file = join(directory, "nats.conf");
    const routes = servers.map(({ address }) => `"nats://${address}:6222"`).join(", ");
    writeFileSync(
      file,
      [
        `listen: "${host.address}:4222"`,
        `server_name: s${i}`,
        `jetstream { store_dir: "${join(directory, "streams")}", max_file_store: 4G }`,
        `cluster { name: tidemark, listen: "${host.address}:6222", routes: [${routes}] }`,
      ].join("\n"),
    );
    host.start("nats-server", ["-c", file]).stderr?.resume();
  }
  const addresses = servers.map(({ address }) => `nats://${address}:4222`).join();
  const nats = ["--nats", addresses, "--nats-replicas", "3"];
  const three = Object.fromEntries(NAMES.map((name, i) => [name, network.hosts[i]]));
  for (const [i, name] of NAMES.entries()) {
    const host = three[name] as Host;
    // Who begins before a server answers ends.
    await until(
      "the cluster answers",
      async () => (await host.run(["snapshots", ...nats])).status === 0,
      PATIENCE_MS,
    );
    const peers = NAMES.filter((other) => other !== name).flatMap((other) => ["--peer", other]);
    const log = ["--dir", directories[3 + i] as string, "--log", "always"];
    const child = host.tidemark(["kv", "--join", name, ...peers, ...nats, ...log], clocks[name]);
    child.stdout?.resume();
    child.stderr?.resume();
  }
  const on = { three: three as unknown as Three, servers, told: [], nats };
  for (const host of Object.values(on.three) as Host[]) await writes(host, PATIENCE_MS);
  return on;
}

/** Asks for a snapshot until there is one. */
async function save({ told }: OnNats, host: Host): Promise<void> {
  await until(
    `a snapshot at ${host.address}`,
    async () => {
      const answer = await host.redis(PORT, "TIDEMARK", "SNAPSHOT");
      if (SNAPSHOT.test(answer)) told.push(answer);
      return SNAPSHOT.test(answer);
    },
    PATIENCE_MS,
  );
}

/** What was answered is everywhere, and every snapshot that there is is right: also those that nobody was told of. */
async function isRight(on: OnNats, answered: readonly string[]): Promise<void> {
  const { three, told, nats } = on;
  for (const host of Object.values(three) as Host[]) await writes(host, PATIENCE_MS);
  await agree(three, answered);
  await save(on, three.b);
  let stdout = "";
  // A server that was away may lead for a moment yet, as it believes, and answer with what it had.
  await until(
    `${told} to be listed`,
    async () => {
      const verified = await three.a.run(["verify", ...nats, "--json"]);
      stdout = verified.stdout;
      const [last = ""] = stdout.trimEnd().split("\n").slice(-1);
      // No server answered in time.
      if (last === "") return false;
      const { snapshots, proven } = JSON.parse(last);
      expect([verified.status, proven], stdout).toEqual([0, snapshots]);
      return told.every((id) => stdout.includes(`"${id}"`));
    },
    PATIENCE_MS,
  ).catch((error: unknown) => {
    expect({ error: String(error), told, stdout }).toBe("all are listed");
  });
}

const lacks = lacksHosts || lacksNats;
/** Leaders are elected at leisure: these two are for a soak. */
const rounds = cases("nats-hosts", 0, 12);

const long = rounds > 0 ? test.skipIf(lacks) : () => {};

long(
  "servers are cut off one after another: all processes go on with the two others",
  {
    timeout: 3_600_000,
  },
  async () => {
    const on = await start({ apart: true });
    const { three, servers } = on;
    const answered: string[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const server = servers[round % servers.length] as Host;
      server.cut();
      for (const name of NAMES) {
        const host = three[name];
        await writes(host, PATIENCE_MS);
        answered.push(...(await add(host, name, 10 * round, 3)));
      }
      await save(on, three.c);
      server.heal();
      await isRight(on, answered);
    }
    expect(answered.length).toBeGreaterThan(3 * rounds);
  },
);

long(
  "a host is cut off with its server, then two are, and they come back",
  {
    timeout: 3_600_000,
  },
  async () => {
    const on = await start();
    const { a, b, c } = on.three;
    const answered: string[] = [];
    for (const name of NAMES) answered.push(...(await add(on.three[name], name, 0, 3)));
    expect(answered).toHaveLength(9);
    await save(on, a);

    // A minority: the two others go on, and who is alone reads.
    c.cut();
    await writes(b, PATIENCE_MS);
    answered.push(...(await add(b, "b", 100, 3)), ...(await add(a, "a", 100, 3)));
    expect(answered).toHaveLength(15);
    expect(await add(c, "c", 100, 1)).toEqual([]);
    expect(await c.redis(PORT, "GET", "begun")).toBe("yes");
    expect(await a.redis(PORT, "TIDEMARK", "SNAPSHOT")).not.toMatch(SNAPSHOT);
    expect(await c.redis(PORT, "TIDEMARK", "SNAPSHOT")).not.toMatch(SNAPSHOT);
    c.heal();
    await isRight(on, answered);

    // A majority: each is alone, and no server has another one.
    b.cut();
    c.cut();
    expect(await add(b, "b", 200, 1)).toEqual([]);
    expect(await add(c, "c", 200, 1)).toEqual([]);
    for (const host of [a, b, c])
      expect(await host.redis(PORT, "TIDEMARK", "SNAPSHOT")).not.toMatch(SNAPSHOT);
    // It gives the order, and answers as soon as it can reach itself.
    answered.push(...(await add(a, "a", 200, 2)));
    b.heal();
    await writes(b, PATIENCE_MS);
    answered.push(...(await add(b, "b", 300, 2)));
    c.heal();
    await isRight(on, answered);
  },
);

test.skipIf(lacks)(
  "the clock of one process is an hour ahead, and of another an hour behind",
  {
    timeout: 600_000,
  },
  async () => {
    const on = await start({ clocks: { b: "+1h", c: "-1h" } });
    const seconds = Number((await on.three.b.redis(PORT, "TIME")).split("\n")[0]);
    expect(Math.abs(seconds - Date.now() / 1_000 - 3_600)).toBeLessThan(60);
    const answered: string[] = [];
    for (let round = 0; round < 3; round += 1)
      for (const name of NAMES) {
        answered.push(...(await add(on.three[name], name, 10 * round, 2)));
        await save(on, on.three[name]);
      }
    expect(answered).toHaveLength(18);
    await isRight(on, answered);
  },
);
