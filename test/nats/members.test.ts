/** Members of a system on NATS: one configuration, whoever is first; and who is there, by the server's clock. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { jetstreamManager } from "@nats-io/jetstream";
import { describe, expect, onTestFinished, test } from "vitest";
import type { TidemarkError } from "../../src/core/error.ts";
import {
  type Configuration,
  forgetMembers,
  listMembers,
  type Member,
  Membership,
  type MembersPlace,
  type Whereabouts,
} from "../../src/nats/members.ts";
import { LosingProxy, lacksNats, NatsCluster, NatsServer, until, withNats } from "./support.ts";

const SYSTEM = "shop/main.ä";
const SHOP: Configuration = {
  system: SYSTEM,
  processes: ["a", "b.1"],
  agreed: [
    { what: "engine", value: "sequencer" },
    { what: "causal", value: "none" },
  ],
};
const CHILD = new URL("./member-child.ts", import.meta.url).pathname;
const RENEW_MS = 50;

async function oneServer(config = ""): Promise<{ server: NatsServer; place: MembersPlace }> {
  const server = await NatsServer.start(config);
  onTestFinished(() => server.stop());
  return { server, place: placeAt(server.url) };
}

const placeAt = (servers: string | string[], replicas: 1 | 3 = 1): MembersPlace => ({
  ...{ servers, replicas, prefix: "shop", patienceMs: 60_000 },
});

interface TestMember extends AsyncDisposable {
  readonly membership: Membership;
  readonly problems: TidemarkError[];
  whereabouts: Whereabouts;
}

/** A process that says often that it is there. */
async function member(
  place: MembersPlace,
  id: string,
  configuration: Configuration = SHOP,
): Promise<TestMember> {
  const problems: TidemarkError[] = [];
  const membership = await Membership.open({
    ...{ place, id, configuration, version: "1.2.3", renewMs: RENEW_MS },
    onProblem: (problem) => problems.push(problem),
  });
  onTestFinished(() => membership.leave());
  return {
    ...{ membership, problems, whereabouts: { up: true, address: `at.${id}`, epoch: 2 } },
    [Symbol.asyncDispose]: () => membership.leave(),
  };
}

async function present(
  place: MembersPlace,
  id: string,
  configuration: Configuration = SHOP,
): Promise<TestMember> {
  const one = await member(place, id, configuration);
  one.membership.present(async () => one.whereabouts);
  return one;
}

async function membersAt(place: MembersPlace): Promise<readonly Member[]> {
  return (await listMembers(place)).systems.flatMap(({ members }) => members);
}

async function stateOf(place: MembersPlace, id: string): Promise<string | undefined> {
  return (await membersAt(place)).find(({ process }) => process === id)?.state;
}

/** Writes what nobody of Tidemark would. */
async function meddle(server: NatsServer, key: string, value: string): Promise<void> {
  await withNats(server.url, async (connection) => {
    const manager = await jetstreamManager(connection);
    connection.publish(`$KV.shop-members.${key}`, value);
    await connection.flush();
    await until("it is written", async () => {
      const subject = `$KV.shop-members.${key}`;
      const found = await manager.streams.getMessage("KV_shop-members", { last_by_subj: subject });
      return found?.string() === value;
    });
  });
}

const TOKEN = Buffer.from(SYSTEM).toString("base64url");

describe.skipIf(lacksNats)("the configuration", { timeout: 120_000 }, () => {
  test("is made by whoever starts first, and is told to whoever differs", async () => {
    const { place, server } = await oneServer();
    expect(await listMembers(place)).toMatchObject({ systems: [] });
    // Who only looks has made nothing.
    await withNats(server.url, async (connection) => {
      const manager = await jetstreamManager(connection);
      await expect(manager.streams.info("KV_shop-members")).rejects.toThrow("stream not found");
    });
    await member(place, "b.1", { ...SHOP, processes: ["b.1", "a"] });
    const [found] = (await listMembers(place)).systems;
    expect(found).toMatchObject({
      ...{ system: SYSTEM, configuration: { ...SHOP, by: "b.1", version: "1.2.3" } },
      members: [
        { process: "a", state: "never", configured: true },
        { process: "b.1", state: "never", configured: true },
      ],
    });
    await member(place, "a");
    const other: Configuration = {
      system: SYSTEM,
      processes: ["a", "c"],
      agreed: [
        { what: "engine", value: "agreed" },
        { what: "causal", value: "cart:*" },
      ],
    };
    const error = await member(place, "a", other).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "CONFIGURATION_DIFFERS", definite: true });
    for (const part of [
      "a does not fit shop/main.ä with the prefix shop",
      `which b.1 on ${found?.configuration?.host} has set up`,
      "its processes are a, b.1, and this one does not name b.1, and this one names c",
      "engine: sequencer, and here agreed",
      "causal: none, and here cart:*",
      "tidemark nats members --forget --nats-prefix shop",
    ])
      expect(error.message).toContain(part);
    // Something that only another version knows is no difference.
    await member(place, "a", { ...SHOP, agreed: [{ what: "new", value: "x" }, ...SHOP.agreed] });
    await member(place, "a", { ...SHOP, agreed: [] });
    // Another system is none of its business.
    await member(place, "a", { ...other, system: "another" });
    expect((await listMembers(place)).systems.map(({ system }) => system)).toEqual([
      "another",
      SYSTEM,
    ]);
  });

  test("of many first processes at once is one, and all others compare", async () => {
    const { place } = await oneServer();
    for (let round = 0; round < 5; round += 1) {
      const system = `race-${round}`;
      const configurations = [1, 2, 3, 4, 5, 6].map((i) => ({
        ...{ system, processes: ["a", "b"] },
        agreed: [{ what: "engine", value: String(i % 3) }],
      }));
      const ended = await Promise.allSettled(
        configurations.map((configuration) => member(place, "a", configuration)),
      );
      const [found] = (await listMembers(place)).systems.filter((one) => one.system === system);
      const value = found?.configuration?.agreed[0]?.value;
      for (const [i, one] of ended.entries()) {
        const fits = configurations[i]?.agreed[0]?.value === value;
        expect(one.status).toBe(fits ? "fulfilled" : "rejected");
        if (one.status === "rejected") expect(one.reason.code).toBe("CONFIGURATION_DIFFERS");
      }
      expect(ended.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
    }
  });

  test("is changed when all are stopped and it is forgotten, not before", async () => {
    const { place } = await oneServer();
    const a = await present(place, "a");
    await until("a is there", async () => (await stateOf(place, "a")) === "there");
    const refused = await forgetMembers(place, SYSTEM).catch((thrown) => thrown);
    expect(refused).toMatchObject({ code: "ALREADY_RUNNING" });
    expect(refused.message).toContain(`a (process ${process.pid} on `);
    a.whereabouts = { up: false };
    await until("a is down", async () => (await stateOf(place, "a")) === "down");
    await expect(forgetMembers(place, SYSTEM)).rejects.toMatchObject({ code: "ALREADY_RUNNING" });
    await a.membership.leave("stopped");
    await forgetMembers(place, SYSTEM);
    expect((await listMembers(place)).systems).toEqual([]);
    await expect(forgetMembers(place, SYSTEM)).rejects.toMatchObject({ code: "NOT_FOUND" });
    const changed = { ...SHOP, processes: ["a", "c"] };
    await member(place, "c", changed);
    expect((await listMembers(place)).systems).toMatchObject([
      { configuration: { by: "c", processes: ["a", "c"] } },
    ]);
  });

  test("that was forgotten while somebody runs is made again, or he says that there is another", async () => {
    const { place, server } = await oneServer();
    const a = await present(place, "a");
    await until("a is there", async () => (await stateOf(place, "a")) === "there");
    const forget = async (): Promise<void> =>
      await withNats(server.url, async (connection) => {
        const manager = await jetstreamManager(connection);
        for (const key of [`configuration.${TOKEN}`, `member.${TOKEN}.a`]) {
          const subject = `$KV.shop-members.${key}`;
          const query = { last_by_subj: subject };
          const found = await manager.streams.getMessage("KV_shop-members", query);
          if (found) await manager.streams.deleteMessage("KV_shop-members", found.seq, false);
        }
      });
    await forget();
    await until("it is made again", async () => {
      const [found] = (await listMembers(place)).systems;
      return found?.configuration?.by === "a" && found.members[0]?.state === "there";
    });
    expect(a.problems).toEqual([]);
    await meddle(server, `configuration.${TOKEN}`, "not what anybody wrote");
    await until("a says so", () => a.problems.length > 0);
    expect(await stateOf(place, "a")).toBe("there");
    expect(a.problems.map(({ code }) => code)).toEqual(["DAMAGED"]);
    await forget();
    await until("it is made again", async () => {
      const [found] = (await listMembers(place)).systems;
      return found?.configuration !== undefined;
    });
    expect(a.problems).toHaveLength(1);
  });

  test("that is damaged is told, and can be forgotten", async () => {
    const { place, server } = await oneServer();
    await member(place, "a");
    await meddle(server, `configuration.${TOKEN}`, "{}");
    await expect(member(place, "a")).rejects.toMatchObject({
      code: "DAMAGED",
      message: expect.stringContaining(`key configuration.${TOKEN} of KV_shop-members is damaged`),
    });
    expect((await listMembers(place)).systems).toMatchObject([
      { system: SYSTEM, problem: expect.stringContaining("SHA-256"), members: [] },
    ]);
    await forgetMembers(place, SYSTEM);
    await member(place, "a");
  });

  test("with a value as long as it likes is compared as a whole", async () => {
    const { place } = await oneServer();
    const long = (end: string): Configuration => ({
      ...SHOP,
      agreed: [{ what: "causal", value: "x".repeat(100_000) + end }],
    });
    await member(place, "a", long("1"));
    await member(place, "a", long("1"));
    await expect(member(place, "a", long("2"))).rejects.toMatchObject({
      code: "CONFIGURATION_DIFFERS",
    });
    await expect(member(place, "a", { ...SHOP, system: "x".repeat(257) })).rejects.toMatchObject({
      code: "BAD_OPTION",
    });
  });
});

describe.skipIf(lacksNats)("presence", { timeout: 120_000 }, () => {
  test("says who is there, since when, and who left how", async () => {
    const { place } = await oneServer();
    const a = await present(place, "a");
    await until("a is there", async () => (await stateOf(place, "a")) === "there");
    const [first] = await membersAt(place);
    expect(first).toMatchObject({
      ...{ process: "a", state: "there", configured: true },
      presence: {
        ...{ process: "a", pid: process.pid, version: "1.2.3", up: true },
        ...{ address: "at.a", epoch: 2 },
      },
    });
    await until("a is seen later", async () => {
      const [again] = await membersAt(place);
      return (again?.seenMs ?? 0) > (first?.seenMs ?? 0);
    });
    expect((await membersAt(place))[0]?.presence?.sinceMs).toBe(first?.presence?.sinceMs);
    expect(first?.seenMs).toBeGreaterThanOrEqual(first?.presence?.sinceMs as number);
    // A stranger to the configuration is listed as one.
    const c = { ...SHOP, processes: ["a", "b.1"] };
    await present(place, "c", c);
    await until("c is there", async () => (await stateOf(place, "c")) === "there");
    expect((await membersAt(place)).map(({ process: id, configured }) => [id, configured])).toEqual(
      [
        ["a", true],
        ["b.1", true],
        ["c", false],
      ],
    );
    await a.membership.leave("given up");
    const [left] = await membersAt(place);
    expect(left).toMatchObject({ state: "left", presence: { left: "given up", up: false } });
    // It comes back as another one.
    await present(place, "a");
    await until("a is there", async () => (await stateOf(place, "a")) === "there");
    const [back] = await membersAt(place);
    expect(back?.presence?.start).not.toBe(left?.presence?.start);
  });

  test("of a process that was killed grows old, by the clock of the server", async () => {
    const { place, server } = await oneServer();
    const child = spawn(process.execPath, [CHILD, server.url], { stdio: ["ignore", "pipe", 2] });
    onTestFinished(() => {
      child.kill("SIGKILL");
    });
    await until("it is there", async () => (await stateOf(place, "a")) === "there");
    child.kill("SIGKILL");
    await once(child, "exit");
    const [killed] = await membersAt(place);
    expect(killed).toMatchObject({ state: "there", presence: { pid: child.pid } });
    await until("it is silent", async () => (await stateOf(place, "a")) === "silent");
    const list = await listMembers(place);
    expect(list.clock).toBe("server");
    const [silent] = list.systems[0]?.members ?? [];
    expect(silent?.seenMs).toBe(killed?.seenMs);
    expect(list.nowMs - (silent?.seenMs as number)).toBeGreaterThan(20_000);
    // What is over may be forgotten, and started again.
    const again = await member(place, "a");
    expect(await again.membership.holder()).toBeUndefined();
    await forgetMembers(place, SYSTEM);
  });

  test("two under one id are both told, and one of them is listed", async () => {
    const { place } = await oneServer();
    const one = await present(place, "a");
    await until("a is there", async () => (await stateOf(place, "a")) === "there");
    const two = await member(place, "a");
    expect(await two.membership.holder()).toMatch(
      new RegExp(`^process ${process.pid} on .+, seen [0-9]+ s ago$`),
    );
    two.membership.present(async () => ({ up: true }));
    for (const { problems } of [one, two])
      await until("it is told", () => problems.some(({ code }) => code === "DUPLICATE_ID"));
    let [last] = await membersAt(place);
    let same = 0;
    await until("it is the same one ten times", async () => {
      const [next] = await membersAt(place);
      if (next?.seenMs !== last?.seenMs)
        same = next?.presence?.start === last?.presence?.start ? same + 1 : 0;
      last = next;
      return same === 10;
    });
    for (const { problems } of [one, two]) {
      expect(problems.map(({ code }) => code)).toEqual(["DUPLICATE_ID"]);
      expect(problems[0]?.message).toContain(
        `a second process runs as a: process ${process.pid} on `,
      );
    }
    // Whichever ends, the other one is there.
    const [found] = await membersAt(place);
    const isTwo = found?.presence?.address === undefined;
    await (isTwo ? two : one).membership.leave("stopped");
    await until("the other one is there", async () => {
      const [now] = await membersAt(place);
      return now?.state === "there" && (now.presence?.address === undefined) !== isTwo;
    });
    // It cannot say of the other one that he has left.
    await (isTwo ? one : two).membership.leave("stopped");
    expect(await stateOf(place, "a")).toBe("left");
  });

  test("that is damaged is told by who lists it, and is written anew", async () => {
    const { place, server } = await oneServer();
    const a = await present(place, "a");
    await until("a is there", async () => (await stateOf(place, "a")) === "there");
    await meddle(server, `member.${TOKEN}.a`, "half a va").catch(() => {});
    await until("a has written it anew", async () => (await stateOf(place, "a")) === "there");
    expect(a.problems).toEqual([]);
    await a.membership.leave("stopped");
    await meddle(server, `member.${TOKEN}.a`, "half a va");
    await meddle(server, "configuration", "x");
    await meddle(server, "member.x.y.z", "x");
    expect(await membersAt(place)).toMatchObject([
      { process: "a", state: "damaged", problem: expect.stringContaining("SHA-256") },
      { process: "b.1", state: "never" },
    ]);
    await present(place, "a");
    await until("a is there", async () => (await stateOf(place, "a")) === "there");
  });

  test("is late while there is no server, which is told once, and then goes on", async () => {
    const { place, server } = await oneServer();
    const a = await present({ ...place, patienceMs: 300 }, "a");
    await until("a is there", async () => (await stateOf(place, "a")) === "there");
    for (const times of [1, 2]) {
      await server.kill();
      await until("it is told", () => a.problems.length === times);
      expect(a.problems.at(-1)).toMatchObject({
        code: "STORE_FAILED",
        message: expect.stringContaining("others do not see that a is there: cannot "),
      });
      // Long enough to fail several times.
      const toldMs = performance.now();
      await until("it has failed again", () => performance.now() - toldMs > 1_500);
      await server.restart();
      const [before] = await membersAt(place);
      await until("a is seen again", async () => {
        const [now] = await membersAt(place);
        return (now?.seenMs ?? 0) > (before?.seenMs ?? 0) && now?.state === "there";
      });
      expect(a.problems).toHaveLength(times);
    }
  });

  test("of who is stopped while there is no server stays as it was, and he does not wait", {
    timeout: 60_000,
  }, async () => {
    const { place, server } = await oneServer();
    const a = await present({ ...place, patienceMs: 100_000 }, "a");
    await until("a is there", async () => (await stateOf(place, "a")) === "there");
    await server.kill();
    await a.membership.leave("stopped");
    await server.restart();
    expect(await membersAt(place)).toMatchObject([{ state: "there" }, { state: "never" }]);
  });

  test("goes on when an answer was lost", async () => {
    const { place, server } = await oneServer();
    await using proxy = await LosingProxy.before(server.port);
    const a = await present({ ...placeAt(proxy.url), patienceMs: 5_000 }, "a");
    for (let i = 0; i < 5; i += 1) {
      await until("a is there", async () => (await stateOf(place, "a")) === "there");
      const { lost } = proxy;
      proxy.lose('"seq":');
      await until("an answer was lost", () => proxy.lost > lost);
      const [before] = await membersAt(place);
      await until("a is seen again", async () => {
        const [now] = await membersAt(place);
        return (now?.seenMs ?? 0) > (before?.seenMs ?? 0);
      });
    }
    expect(a.problems).toEqual([]);
    await a.membership.leave("stopped");
    expect(await stateOf(place, "a")).toBe("left");
  });

  test("is kept on three servers, also when one is killed", async () => {
    const cluster = await NatsCluster.start();
    onTestFinished(() => cluster.stop());
    const place = placeAt(cluster.urls, 3);
    const a = await present(place, "a");
    await until("a is there", async () => (await stateOf(place, "a")) === "there");
    await cluster.isWhole();
    await (await cluster.leaderOf("KV_shop-members")).kill();
    const [before] = await membersAt(place);
    await until("a is seen again", async () => {
      const [now] = await membersAt(place);
      return (now?.seenMs ?? 0) > (before?.seenMs ?? 0);
    });
    expect(a.problems).toEqual([]);
  });

  test("leaves no more than a message for each key behind", async () => {
    const { place, server } = await oneServer();
    await present(place, "a");
    const last = async (): Promise<number> =>
      await withNats(server.url, async (connection) => {
        const manager = await jetstreamManager(connection);
        const { state } = await manager.streams.info("KV_shop-members").catch(() => ({
          state: { messages: 0, last_seq: 0 },
        }));
        expect(state.messages).toBeLessThanOrEqual(3);
        return state.last_seq;
      });
    await until("much was written", async () => (await last()) > 30);
  });
});

describe.skipIf(lacksNats)("permissions", { timeout: 60_000 }, () => {
  test("as docs/use/nats.md lists them are enough to be a member, to look, and to forget", async () => {
    const requests = ["INFO.*", "CREATE.*", "MSG.GET.*", "MSG.DELETE.*"];
    const api = requests.map((name) => `$JS.API.STREAM.${name}`);
    const users = (own: readonly string[]): string =>
      [
        ["member", [...api, "$KV.shop-members.>"]],
        ["reader", own],
      ]
        .map(
          ([user, publish]) =>
            `{ user: ${user as string}, password: "p", permissions: { publish: ${JSON.stringify(publish)}, subscribe: "_INBOX.>" } }`,
        )
        .join("\n");
    const reading = ["$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*"];
    const { server } = await oneServer(`authorization { users: [ ${users(reading)} ] }\n`);
    const as = (user: string): MembersPlace => placeAt(`nats://${user}:p@127.0.0.1:${server.port}`);
    const a = await present(as("member"), "a");
    await until("a is there", async () => (await stateOf(as("member"), "a")) === "there");
    expect((await listMembers(as("member"))).clock).toBe("server");
    const read = await listMembers(as("reader"));
    expect([read.clock, read.systems[0]?.members[0]?.process]).toEqual(["own", "a"]);
    await expect(member(as("reader"), "a", { ...SHOP, system: "x" })).rejects.toMatchObject({
      message: expect.stringContaining("Permissions Violation"),
    });
    await a.membership.leave("stopped");
    await forgetMembers(as("member"), SYSTEM);
    expect((await listMembers(as("member"))).systems).toEqual([]);
  });
});
