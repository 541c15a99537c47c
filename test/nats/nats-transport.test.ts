import type { NatsConnection } from "@nats-io/transport-node";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type NatsTransportOptions, natsAddress, natsTransport } from "../../src/nats.ts";
import type { TransportIdentity } from "../../src/runtime/transport.ts";
import { transportContract } from "../../src/runtime/transport-contract.ts";
import { cases, fuzzed } from "../support/soak.ts";
import { TransportOwner } from "../support/transport-owner.ts";
import { LosingProxy, lacksNats, NatsCluster, NatsServer, withNats } from "./support.ts";

let server: NatsServer;
let made = 0;
beforeAll(async () => {
  if (!lacksNats) server = await NatsServer.start("", false);
});
afterAll(async () => {
  if (!lacksNats) await server.stop();
});

/** What a test leaves open. */
const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** An address that nobody else has. */
const place = (id: string): string => natsAddress(`test ${made++}`, id);

async function start(
  id: string,
  options: Partial<NatsTransportOptions> = {},
  part: Partial<TransportIdentity> = {},
): Promise<TransportOwner> {
  const transport = natsTransport({ servers: server.url, address: place(id), ...options });
  open.push(() => transport.close());
  return await TransportOwner.open(id, transport, part);
}

function introduce(from: TransportOwner, to: TransportOwner): void {
  to.transport.connect(from.id, from.address);
  from.transport.connect(to.id, to.address);
}

/** A frame goes from one to the other; tried again, for it may be lost with a connection. */
async function reach(from: TransportOwner, to: TransportOwner): Promise<void> {
  const before = to.frames.length;
  await vi.waitUntil(
    () => {
      from.transport.send(to.id, Buffer.from("how are you?"));
      return to.frames.length > before;
    },
    { timeout: 30_000, interval: 50 },
  );
}

const message = (kind: number, number = 0, rest = ""): Buffer => {
  const head = Buffer.alloc(5);
  head[0] = kind;
  head.writeUInt32LE(number, 1);
  return Buffer.concat([head, Buffer.from(rest, "latin1")]);
};

describe.skipIf(lacksNats)("a transport over NATS keeps the contract", () => {
  describe("on one server", () => {
    const all = transportContract(() => ({
      transport: (id) => natsTransport({ servers: server.url, address: place(id) }),
    }));
    for (const { name, run } of all) test(name, run);
  });

  describe("on three, each process at another one", () => {
    let cluster: NatsCluster;
    beforeAll(async () => {
      cluster = await NatsCluster.start();
    }, 60_000);
    afterAll(() => cluster.stop());
    const all = transportContract(() => {
      let i = 0;
      return {
        transport: (id) =>
          natsTransport({ servers: cluster.urls[i++ % 3] as string, address: place(id) }),
      };
    });
    for (const { name, run } of all) test(name, run);
  });
});

describe.skipIf(lacksNats)("processes and servers that end", () => {
  test("a server that is killed and comes back: peers go down, come up again, and nothing is repeated", {
    timeout: 60_000,
  }, async () => {
    const own = await NatsServer.start("", false);
    open.push(() => own.stop());
    const [a, b] = [await start("a", { servers: own.url }), await start("b", { servers: own.url })];
    introduce(a, b);
    for (let round = 1; round <= 3; round += 1) {
      await reach(a, b);
      await own.kill();
      for (const owner of [a, b])
        await owner.until(
          ({ log }) => log.filter((line) => line.startsWith("down")).length === round,
        );
      expect(a.transport.send("b", Buffer.from("x"))).toBe(false);
      await own.restart();
      for (const [owner, peer] of [
        [a, "b"],
        [b, "a"],
      ] as const)
        await owner.until(({ log }) => log.at(-1) === `up ${peer} 1`, 30_000);
    }
    await reach(b, a);
    expect(a.reasons[0]).toMatch(/connection to the server of NATS was lost/);
  });

  test("one of three servers is killed, with the process that it served", {
    timeout: 60_000,
  }, async () => {
    const cluster = await NatsCluster.start();
    open.push(() => cluster.stop());
    const [a, b] = [
      await start("a", { servers: cluster.urls }),
      await start("b", { servers: cluster.urls.toReversed() }),
    ];
    introduce(a, b);
    await reach(a, b);
    for (const one of cluster.servers) {
      await one.kill();
      await reach(a, b);
      await reach(b, a);
      await one.restart();
    }
  });

  test("closing while there is no server does not wait for one", { timeout: 60_000 }, async () => {
    const own = await NatsServer.start("", false);
    open.push(() => own.stop());
    const [a, b] = [await start("a", { servers: own.url }), await start("b", { servers: own.url })];
    introduce(a, b);
    await reach(a, b);
    await own.kill();
    await a.until(({ log }) => log.includes("down b"));
    await Promise.all([a.transport.close(), b.transport.close()]);
  });

  test("no server", async () => {
    const own = await NatsServer.start("", false);
    await own.stop();
    const transport = natsTransport({ servers: own.url, patienceMs: 0 });
    await expect(TransportOwner.open("a", transport)).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
      message: expect.stringMatching(/cannot connect to NATS at .* Is nats-server running there\?/),
    });
    await transport.close();
  });

  test("a peer that is not there is told of", async () => {
    const a = await start("a");
    a.transport.connect("b", place("b"));
    await a.until(({ problems }) => problems.length > 0);
    expect(a.codes).toEqual(["PEER_UNREACHABLE"]);
    expect(a.problems[0]?.message).toMatch(/cannot be reached: nobody listens there/);
  });

  test("of many that begin on one subject at once one does", async () => {
    for (let round = 0; round < 5; round += 1) {
      const address = place("b");
      const begun = await Promise.allSettled(
        Array.from({ length: 3 }, () => start("b", { address })),
      );
      expect(begun.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      for (const one of begun)
        if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "ADDRESS_IN_USE" });
    }
  });

  test("one that began while another had no server is told of", { timeout: 60_000 }, async () => {
    const own = await NatsServer.start("", false);
    open.push(() => own.stop());
    const address = place("b");
    await using proxy = await LosingProxy.before(own.port);
    const first = await start("b", { servers: proxy.url, address });
    proxy.cut();
    const second = await start("b", { servers: own.url, address });
    proxy.resume();
    await first.until(({ codes }) => codes.includes("DUPLICATE_ID"), 30_000);
    expect(first.problems.at(-1)?.message).toMatch(/a second process listens on/);
    expect(second.codes).toEqual([]);
  });

  test("a password that is changed and put back: told, and all is as before", {
    timeout: 60_000,
  }, async () => {
    const own = await NatsServer.start(users("one"), false);
    open.push(() => own.stop());
    const servers = own.url.replace("//", "//u:one@");
    const [a, b] = [await start("a", { servers }), await start("b", { servers })];
    introduce(a, b);
    await reach(a, b);
    await own.kill();
    await own.restart(users("other"));
    await a.until(
      ({ problems }) => problems.some(({ message }) => /uthoriz/.test(message)),
      30_000,
    );
    // Several times, each of which is refused.
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await own.kill();
    await own.restart(users("one"));
    await reach(a, b);
    await reach(b, a);
  });

  test("what may not be done is told when it opens, in the words of the server", async () => {
    for (const [denied, words] of [
      ["subscribe: { deny: ['tidemark.streams.>'] }", /refuses: .*subscription/i],
      [
        "subscribe: { deny: ['tidemark.mine'] }",
        /does not let this process listen on tidemark.mine/,
      ],
    ] as const) {
      const own = await NatsServer.start(
        `authorization { users: [ { user: u, password: p, permissions: { ${denied} } } ] }\n`,
        false,
      );
      open.push(() => own.stop());
      const servers = own.url.replace("//", "//u:p@");
      const transport = natsTransport({ servers, address: "tidemark.mine" });
      await expect(TransportOwner.open("a", transport)).rejects.toMatchObject({
        code: "PEER_UNREACHABLE",
        message: expect.stringMatching(words),
      });
    }
  });

  test("two processes cannot listen on one subject, and the second may when the first has ended", async () => {
    const address = place("b");
    const b = await start("b", { address });
    const second = natsTransport({ servers: server.url, address });
    await expect(TransportOwner.open("b", second)).rejects.toMatchObject({
      code: "ADDRESS_IN_USE",
    });
    await b.transport.close();
    const third = await start("b", { address }, { incarnation: 2 });
    const a = await start("a");
    introduce(a, third);
    await reach(a, third);
  });
});

const users = (password: string): string =>
  `authorization { users: [ { user: u, password: ${password} } ] }\n`;

describe.skipIf(lacksNats)("what NATS loses", () => {
  /** A dialler of the test's own, which has said its hello as `a` and been welcomed. */
  async function pose(connection: NatsConnection, b: TransportOwner) {
    const own = `tidemark.test.${made++}`;
    const told: { data: Uint8Array; reply: string }[] = [];
    connection.subscribe(own, {
      callback: (_, { data, reply = "" }) => {
        told.push({ data: data.slice(), reply });
      },
    });
    connection.publish(b.address, message(4), { reply: own });
    await vi.waitUntil(() => told.some(({ data }) => data[0] === 5));
    const to = told.find(({ data }) => data[0] === 5)?.reply as string;
    const say = (bytes: Uint8Array, reply = own) => connection.publish(to, bytes, { reply });
    const body = JSON.stringify({
      system: "test",
      process: "a",
      to: "b",
      incarnation: 1,
      epoch: 0,
    });
    const head = Buffer.from("TIDEMARK\x01\0\0\0", "latin1");
    head.writeUInt16LE(body.length, 10);
    const hello = head.toString("latin1") + body;
    return { own, told, say, hello, to };
  }
  const frame = (text: string) => `${String.fromCharCode(text.length)}\0\0\0${text}`;
  const waiting = async () => {
    const b = await start("b");
    b.transport.connect("a", place("a"));
    return b;
  };

  test.each([
    ["data between two others", [message(0, 2, frame("three"))], /lost something/],
    ["the last data, which a ping tells", [message(2, 2)], /lost something/],
    ["what came before the end", [message(3, 5)], /lost something/],
    ["nothing, but it says that it took what was never sent", [taken(1e6)], /never sent/],
    ["nothing, but it says what no number is", [taken(Number.NaN)], /never sent/],
    ["nothing, but it says something else", [Buffer.from("x")], /no message of a stream/],
    ["nothing, but half a head", [Buffer.from([0, 1])], /no message of a stream/],
    ["nothing at all of it", [Buffer.alloc(0)], /no message of a stream/],
    ["nothing, and the other side gives up", [message(6, 0, "I\u0001 must go")], /I\? must go/],
  ])("%s: the stream ends", async (_, messages, words) => {
    const b = await waiting();
    await withNats(server.url, async (connection) => {
      const { say, hello } = await pose(connection, b);
      say(message(0, 0, hello));
      await b.untilUp("a");
      for (const one of messages) say(one);
      await b.until(({ log }) => log.includes("down a"));
      expect(b.reasons[0]).toMatch(words);
      expect(b.frames).toEqual([]);
    });
  });

  test("with nothing lost the same arrives", async () => {
    const b = await waiting();
    await withNats(server.url, async (connection) => {
      const { say, hello } = await pose(connection, b);
      say(message(0, 0, hello));
      say(message(2, 1));
      say(message(0, 1, frame("two")));
      say(message(0, 2, frame("three")));
      await b.until(({ frames }) => frames.length === 2);
      say(message(3, 3));
      await b.until(({ log }) => log.includes("down a"));
    });
  });

  test("a peer whose connection ends without a word is missed within moments", async () => {
    const b = await waiting();
    await withNats(server.url, async (connection) => {
      const { say, hello } = await pose(connection, b);
      say(message(0, 0, hello));
      await b.untilUp("a");
    });
    await b.until(({ log }) => log.includes("down a"), 5_000);
    expect(b.reasons[0]).toMatch(/nobody listens there/);
  });

  test("how much was taken is said each second, for one word of it may be lost", async () => {
    const b = await waiting();
    await withNats(server.url, async (connection) => {
      const { say, hello, told } = await pose(connection, b);
      say(message(0, 0, hello));
      await b.untilUp("a");
      say(message(0, 1, frame("x".repeat(50))));
      await b.until(({ frames }) => frames.length === 1);
      const words = () => told.filter(({ data }) => data[0] === 1);
      await vi.waitUntil(() => words().length >= 3, { timeout: 10_000 });
      const last = Buffer.from(words().at(-1)?.data ?? []);
      expect(last.readDoubleLE(1)).toBe(hello.length + 54);
    });
  });

  test("what an owner throws ends no reading", async () => {
    const thrown: unknown[] = [];
    const before = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    const note = (error: unknown) => thrown.push(error);
    process.on("uncaughtException", note);
    try {
      const [a, b] = [await start("a"), await start("b")];
      introduce(a, b);
      await reach(a, b);
      b.onFrame = () => {
        b.onFrame = undefined;
        throw new Error("of the owner");
      };
      await reach(a, b);
      await reach(a, b);
      expect(thrown.map(String)).toEqual(["Error: of the owner"]);
      expect(b.log).toEqual(["up a 1"]);
    } finally {
      process.off("uncaughtException", note);
      for (const one of before) process.on("uncaughtException", one);
    }
  });

  test("what others say on the subject of a stream is not heard", async () => {
    const b = await waiting();
    await withNats(server.url, async (connection) => {
      const { say, hello } = await pose(connection, b);
      say(message(0, 0, hello));
      await b.untilUp("a");
      for (const reply of ["tidemark.someone.else", "x"]) {
        say(message(6, 0, "go"), reply);
        say(message(0, 1, frame("forged")), reply);
      }
      say(message(0, 1, frame("two")));
      await b.until(({ frames }) => frames.length === 1);
      expect(Buffer.from(b.frames[0]?.frame ?? []).toString()).toBe("two");
      expect(b.log).toEqual(["up a 1"]);
    });
  });

  test("a peer that takes nothing is sent a window, and no more", async () => {
    const b = await waiting();
    await withNats(server.url, async (connection) => {
      const { say, hello, told } = await pose(connection, b);
      say(message(0, 0, hello));
      await b.untilUp("a");
      let sent = 0;
      while (sent < 200 && b.transport.send("a", Buffer.alloc(100_000))) sent += 1;
      const bytes = () =>
        told
          .filter(({ data }) => data[0] === 0)
          .reduce((sum, { data }) => sum + data.length - 5, 0);
      await vi.waitUntil(() => bytes() >= 1_048_576, { timeout: 10_000 });
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(bytes()).toBe(1_048_576);
      expect(b.transport.buffered("a")).toBeGreaterThan(100_000);
      // One that is lost is said again: here, only the second time.
      say(taken(1_048_576));
      await vi.waitUntil(() => bytes() === 2 * 1_048_576, { timeout: 10_000 });
    });
  });

  test("whatever messages come, on any subject, nothing throws and good peers are served", async () => {
    const b = await waiting();
    const kinds = fc.oneof(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 255 }));
    const one = fc.tuple(
      kinds,
      fc.integer({ min: 0, max: 3 }),
      fc.string({ maxLength: 40 }),
      fc.boolean(),
    );
    await withNats(server.url, async (connection) => {
      await fc.assert(
        fc.asyncProperty(fc.array(one, { maxLength: 6 }), fc.boolean(), async (all, isIn) => {
          const own = `tidemark.fuzz.${made++}`;
          const subscription = connection.subscribe(own);
          const { say } = isIn ? await pose(connection, b) : { say: undefined };
          for (const [kind, number, text, whole] of all) {
            const bytes = whole ? message(kind, number, text) : Buffer.from(text, "latin1");
            if (say) say(bytes);
            else connection.publish(b.address, bytes, number === 0 ? {} : { reply: own });
          }
          subscription.unsubscribe();
        }),
        { numRuns: cases("nats-fuzz", 200, 20_000) },
      );
      fuzzed("NATS", cases("nats-fuzz", 200, 20_000));
      await connection.flush();
    });
    const a = await start("a");
    introduce(a, b);
    await a.untilUp("b", 1);
    await reach(a, b);
  }, 3_600_000);

  test("a connection that breaks while something is on its way", { timeout: 60_000 }, async () => {
    await using proxy = await LosingProxy.before(server.port);
    const [a, b] = [await start("a"), await start("b", { servers: proxy.url })];
    introduce(a, b);
    await reach(a, b);
    for (let i = 1; i <= 5; i += 1) {
      proxy.lose(`break ${i}`);
      await vi.waitUntil(() => a.transport.send("b", Buffer.from(`break ${i}`)), {
        timeout: 30_000,
      });
      await b.until(({ log }) => log.filter((line) => line === "down a").length >= i, 30_000);
      await reach(a, b);
      await reach(b, a);
    }
    expect(proxy.lost).toBe(5);
  });
});

function taken(bytes: number): Buffer {
  const all = Buffer.alloc(9);
  all[0] = 1;
  all.writeDoubleLE(bytes, 1);
  return all;
}

describe("options", () => {
  test("what is no subject, no address and no server is refused", () => {
    const refuse = (options: object) =>
      expect(() => natsTransport({ servers: "nats://127.0.0.1:4222", ...options }));
    for (const prefix of ["", "a b", "a.", ".a", "a..b", "a.*", ">", "x".repeat(3_000), 7])
      refuse({ prefix }).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
    refuse({ address: "a.>" }).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
    refuse({ peers: { b: "127.0.0.1 7001" } }).toThrow(
      expect.objectContaining({ code: "BAD_OPTION" }),
    );
    refuse({ servers: "http://x" }).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
    refuse({ maxFrameBytes: 0 }).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
  });

  test("addresses differ for all systems and processes", () => {
    const names = fc.string({ minLength: 1, maxLength: 20 });
    const ids = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,10}$/);
    fc.assert(
      fc.property(fc.tuple(names, ids), fc.tuple(names, ids), ([s, a], [t, b]) => {
        const isSame = s === t && a === b;
        expect(natsAddress(s, a) === natsAddress(t, b)).toBe(isSame);
        expect(natsAddress(s, a)).toMatch(/^tidemark(\.[A-Za-z0-9_~-]+){2}$/);
      }),
    );
    expect(() => natsAddress("s", "a b")).toThrow(expect.objectContaining({ code: "BAD_ID" }));
  });
});
