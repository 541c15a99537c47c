import { once } from "node:events";
import { get } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type TcpOptions, tcpTransport } from "../../src/runtime/tcp-transport.ts";
import type { TransportIdentity } from "../../src/runtime/transport.ts";
import { transportContract } from "../../src/runtime/transport-contract.ts";
import { CuttingProxy } from "../support/cutting-proxy.ts";
import { cases, fuzzed } from "../support/soak.ts";
import { TransportOwner } from "../support/transport-owner.ts";

describe("a TCP transport keeps the contract", () => {
  const all = transportContract(() => ({ transport: () => tcpTransport() }));
  for (const { name, run } of all) test(name, run);
});

/** What a test leaves open. */
const open: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((close) => close()));
});

async function start(
  id: string,
  options: TcpOptions = {},
  part: Partial<TransportIdentity> = {},
): Promise<TransportOwner> {
  const transport = tcpTransport(options);
  open.push(() => transport.close());
  return await TransportOwner.open(id, transport, part);
}

/** `from` dials `to`, which knows of it. */
function introduce(from: TransportOwner, to: TransportOwner, address = to.address): void {
  to.transport.connect(from.id, from.address);
  from.transport.connect(to.id, address);
}

async function proxyTo(owner: TransportOwner): Promise<CuttingProxy> {
  const proxy = await CuttingProxy.open(owner.address);
  open.push(() => proxy.close());
  return proxy;
}

/** A listener of the test's own. */
async function listen(
  accept: (socket: Socket) => void,
): Promise<{ server: Server; address: string }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    accept(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  open.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** A client of the test's own, which keeps what it is told. */
class Raw {
  readonly socket: Socket;
  #told = Buffer.alloc(0);
  ended = false;

  constructor(address: string) {
    this.socket = connect({ port: Number(address.split(":").at(-1)), host: "127.0.0.1" });
    this.socket.setNoDelay(true);
    this.socket.on("data", (chunk) => {
      this.#told = Buffer.concat([this.#told, chunk]);
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      this.ended = true;
    });
    open.push(() => this.socket.destroy());
  }

  get told(): Buffer {
    return this.#told;
  }

  /** The JSON of the answer to a hello. */
  async answer(): Promise<unknown> {
    const end = () => (this.#told.length < 12 ? Infinity : 12 + this.#told.readUInt16LE(10));
    await vi.waitUntil(() => this.#told.length >= end() || this.ended, { timeout: 10_000 });
    expect(this.#told.toString("latin1", 0, 8)).toBe("TIDEMARK");
    return JSON.parse(this.#told.toString("utf8", 12, end()));
  }

  /** What came after the answer. */
  get rest(): Buffer {
    return this.#told.subarray(12 + this.#told.readUInt16LE(10));
  }

  untilEnded(): Promise<unknown> {
    return vi.waitUntil(() => this.ended, { timeout: 10_000, interval: 1 });
  }
}

/** A greeting, written from the description of the protocol. */
function greeting(body: unknown, version = 1): Buffer {
  const text = Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  const head = Buffer.from("TIDEMARK\0\0\0\0", "latin1");
  head.writeUInt16LE(version, 8);
  head.writeUInt16LE(text.length, 10);
  return Buffer.concat([head, text]);
}

const hello = (part: object = {}) => ({
  system: "test",
  process: "a",
  to: "b",
  incarnation: 1,
  epoch: 0,
  ...part,
});

function framed(...frames: Uint8Array[]): Buffer {
  return Buffer.concat(
    frames.flatMap((frame) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(frame.length);
      return [length, frame];
    }),
  );
}

const text = (words: string) => Buffer.from(words);
const textsOf = (owner: TransportOwner) =>
  owner.frames.map(({ frame }) => Buffer.from(frame).toString());

/** A frame goes from one to the other. */
async function reach(from: TransportOwner, to: TransportOwner): Promise<void> {
  const words = text(`${from.id} → ${to.id}, ${Math.random()}`);
  const before = to.frames.length;
  expect(from.transport.send(to.id, words)).toBe(true);
  await to.until(({ frames }) => frames.slice(before).some(({ frame }) => words.equals(frame)));
}

describe("finding each other", () => {
  test("processes with peers given beforehand come up in whatever order they start", async () => {
    const ports = await Promise.all(
      ["a", "b", "c"].map(async () => {
        const { server, address } = await listen(() => undefined);
        server.close();
        await once(server, "close");
        return address;
      }),
    );
    const peers = Object.fromEntries(["a", "b", "c"].map((id, i) => [id, ports[i] ?? ""]));
    const group: TransportOwner[] = [];
    for (const id of ["a", "c", "b"]) {
      group.push(await start(id, { peers, port: Number(peers[id]?.split(":")[1]) }));
      await pause(20);
    }
    for (const one of group)
      for (const other of group) if (one !== other) await one.untilUp(other.id);
    expect(group.flatMap(({ problems }) => problems)).toEqual([]);
  });

  test("a process that is not known yet waits at the door, and is let in when it is", async () => {
    const [a, b] = [await start("a"), await start("b")];
    const proxy = await proxyTo(b);
    a.transport.connect("b", proxy.address);
    await vi.waitUntil(() => proxy.forwardedBytes > 0);
    b.transport.connect("a", a.address);
    await Promise.all([a.untilUp("b"), b.untilUp("a")]);
    expect([proxy.accepted, a.problems, b.problems]).toEqual([1, [], []]);
  });

  test("a process that stays unknown is refused, and let in when it becomes known later", async () => {
    const a = await start("a");
    const b = await start("b", { handshakeTimeoutMs: 100 });
    a.transport.connect("b", b.address);
    await a.until(({ problems }) => problems.length > 0);
    expect(a.codes).toEqual(["HANDSHAKE_REFUSED"]);
    expect(a.problems[0]?.message).toContain("a is not a peer of b (yet)");
    expect(b.codes).toEqual(["STRANGER"]);
    b.transport.connect("a", a.address);
    await Promise.all([a.untilUp("b"), b.untilUp("a")]);
  });

  test("a peer that moves is found at its new address", async () => {
    const [a, b] = [await start("a"), await start("b")];
    a.transport.connect("b", "127.0.0.1:1");
    introduce(a, b);
    await a.untilUp("b");
    await b.transport.close();
    const moved = await start("b", {}, { incarnation: 2 });
    introduce(a, moved);
    await a.untilUp("b", 2);
  });

  test("a peer that is nowhere to be found is a problem, told once", async () => {
    const a = await start("a", { reconnectMaxMs: 50, peers: { b: "127.0.0.1:1" } });
    await a.until(({ problems }) => problems.length > 0);
    await pause(200);
    expect(a.codes).toEqual(["PEER_UNREACHABLE"]);
    expect(a.problems[0]?.message).toMatch(/b at 127\.0\.0\.1:1 .*ECONNREFUSED/);
  });

  test("a port that is in use is an error that says which, and what to do", async () => {
    const { address } = await listen(() => undefined);
    const port = Number(address.split(":")[1]);
    await expect(start("a", { port })).rejects.toMatchObject({
      code: "ADDRESS_IN_USE",
      message: expect.stringMatching(`${address} is in use: .*choose another port`),
    });
  });

  test("an address that is not this machine's is an error", async () => {
    await expect(start("a", { host: "203.0.113.7" })).rejects.toMatchObject({
      code: "BAD_OPTION",
      message: expect.stringContaining("cannot listen on 203.0.113.7:0"),
    });
  });

  test("IPv6 addresses work", async (context) => {
    const probe = createServer();
    probe.listen(0, "::1");
    const [error] = await Promise.race([
      once(probe, "listening").then(() => []),
      once(probe, "error"),
    ]);
    probe.close();
    if (error) context.skip("this machine has no IPv6");
    const [a, b] = [await start("a", { host: "::1" }), await start("b", { host: "::1" })];
    expect(a.address).toMatch(/^\[::1\]:\d+$/);
    introduce(a, b);
    await Promise.all([a.untilUp("b"), b.untilUp("a")]);
  });

  test("options that make no sense are refused", () => {
    const bad: TcpOptions[] = [
      { host: "" },
      { port: 65_536 },
      { port: 1.5 },
      { peers: { b: "nowhere" } },
      { peers: { b: "127.0.0.1:0" } },
      { peers: { b: "::1:7001" } },
      { maxFrameBytes: 0 },
      { maxFrameBytes: 1_000, maxBufferedBytes: 1_000 },
      { handshakeTimeoutMs: 0 },
      { reconnectMinMs: 10, reconnectMaxMs: 5 },
    ];
    for (const options of bad)
      expect(() => tcpTransport(options), JSON.stringify(options)).toThrow(
        expect.objectContaining({ code: "BAD_OPTION" }),
      );
    expect(() => tcpTransport({ peers: { "not an id": "127.0.0.1:1" } })).toThrow(
      expect.objectContaining({ code: "BAD_ID" }),
    );
  });
});

describe("who is let in", () => {
  test("a client that follows the written protocol, a byte at a time", async () => {
    const b = await start("b", { peers: { a: "127.0.0.1:1" } });
    const client = new Raw(b.address);
    const bytes = Buffer.concat([greeting(hello({ incarnation: 7 }))]);
    for (const byte of bytes) client.socket.write(Uint8Array.of(byte));
    expect(await client.answer()).toEqual({ welcome: { process: "b", incarnation: 1 } });
    for (const byte of framed(text("one"), text(""), text("three")))
      client.socket.write(Uint8Array.of(byte));
    await b.until(({ frames }) => frames.length === 3);
    expect(textsOf(b)).toEqual(["one", "", "three"]);
    expect(b.log).toEqual(["up a 7"]);
    b.transport.send("a", text("back"));
    await vi.waitUntil(() => client.rest.length >= 8);
    expect(client.rest).toEqual(framed(text("back")));
  });

  const refusals: readonly [string, Buffer, string, RegExp][] = [
    [
      "another system",
      greeting(hello({ system: "x\u0007" })),
      "STRANGER",
      /system "x\?", and b of "test"/,
    ],
    [
      "another destination",
      greeting(hello({ to: "c" })),
      "STRANGER",
      /looked for c, and this is b/,
    ],
    ["an unknown process", greeting(hello({ process: "aa" })), "STRANGER", /aa is not a peer of b/],
    ["a process that should wait", greeting(hello({ process: "c" })), "STRANGER", /c must wait/],
    ["its own id", greeting(hello({ process: "b" })), "DUPLICATE_ID", /b is the id of the process/],
    ["another version", greeting(hello(), 2), "VERSION_MISMATCH", /version 2, and b version 1/],
    ["a hello that lacks something", greeting({ system: "test" }), "STRANGER", /incomplete/],
    ["a bad incarnation", greeting(hello({ incarnation: "1" })), "STRANGER", /incomplete/],
    ["a hello that is not an object", greeting("7"), "STRANGER", /not JSON/],
    ["a hello that is not JSON", greeting("{"), "STRANGER", /not JSON/],
    ["an empty hello", greeting(""), "STRANGER", /not JSON/],
    ["a hello that is too long", greeting("x".repeat(4_097)), "STRANGER", /greeting of 4109 bytes/],
    ["more than a hello", Buffer.concat([greeting(hello()), text("x")]), "STRANGER", /more than a/],
    [
      "other bytes",
      text("\u0016\u0003\u0001"),
      "STRANGER",
      /speaks TLS, and this process was given no certificates/,
    ],
  ];
  for (const [what, bytes, code, reason] of refusals)
    test(`not ${what}: both sides are told why`, async () => {
      const b = await start("b", { peers: { a: "127.0.0.1:1" }, handshakeTimeoutMs: 200 });
      const client = new Raw(b.address);
      client.socket.write(bytes);
      expect(await client.answer()).toEqual({
        refuse: { code, reason: expect.stringMatching(reason) },
      });
      expect(b.codes).toEqual([code]);
      expect(b.problems[0]?.message).toMatch(reason);
      await client.untilEnded();
      expect(b.log).toEqual([]);
    });

  test("not an HTTP client; the problem shows what it is", async () => {
    const b = await start("b");
    const request = get(`http://${b.address}/`);
    await once(request, "error");
    expect(b.codes).toEqual(["STRANGER"]);
    expect(b.problems[0]?.message).toContain('"GET / HTTP/1');
  });

  test("not a client that takes its time over the handshake", async () => {
    const b = await start("b", { peers: { a: "127.0.0.1:1" }, handshakeTimeoutMs: 100 });
    const client = new Raw(b.address);
    const bytes = greeting(hello());
    let at = 0;
    const slow = setInterval(() => {
      client.socket.write(bytes.subarray(at, at + 1));
      at += 1;
    }, 10);
    expect(await client.answer()).toMatchObject({
      refuse: { code: "STRANGER", reason: "the handshake was not done after 100 ms" },
    });
    clearInterval(slow);
    expect(b.codes).toEqual(["STRANGER"]);
  });

  test("hundreds that never finish the handshake keep nobody else out", async () => {
    const [a, b] = [await start("a"), await start("b")];
    const crowd = Array.from({ length: 300 }, () => new Raw(b.address));
    await vi.waitUntil(() => crowd.filter(({ ended }) => ended).length >= 44, { timeout: 10_000 });
    introduce(a, b);
    await b.untilUp("a");
    expect(crowd.filter(({ ended }) => !ended).length).toBeLessThanOrEqual(256);
    expect(b.codes).toEqual(["STRANGER"]);
    expect(b.problems[0]?.message).toContain("more than 256");
  });

  test("a stranger that tries again and again is told of once, and goes on trying", async () => {
    const a = await start("a", { reconnectMinMs: 1, reconnectMaxMs: 2 }, { system: "another" });
    const b = await start("b");
    const proxy = await proxyTo(b);
    introduce(a, b, proxy.address);
    await vi.waitUntil(() => proxy.accepted >= 30, { timeout: 10_000 });
    expect(a.codes).toEqual(["HANDSHAKE_REFUSED"]);
    expect(b.codes).toEqual(["STRANGER"]);
    expect(a.problems[0]?.message).toContain('a is of the system "another", and b of "test"');
  });

  test("a second process with an id takes the place when the first has gone", async () => {
    const [a, b] = [await start("a"), await start("b")];
    introduce(a, b);
    await b.untilUp("a");
    const second = await start("a", { peers: { b: b.address } }, { incarnation: 2 });
    await second.until(({ codes }) => codes.includes("HANDSHAKE_REFUSED"));
    expect(b.codes).toEqual(["DUPLICATE_ID"]);
    await a.transport.close();
    await Promise.all([b.untilUp("a", 2), second.untilUp("b")]);
  });
});

describe("whom a dialler believes", () => {
  const answers: readonly [string, Buffer, string, RegExp][] = [
    ["an HTTP server", text("HTTP/1.1 400 Bad Request\r\n\r\n"), "STRANGER", /begins with "HTTP/],
    ["another version", greeting({ welcome: {} }, 9), "VERSION_MISMATCH", /version 9, not 1/],
    [
      "a refusal, of whatever version",
      greeting({ refuse: { code: "NEWER_CODE", reason: "you are\u001b[31m too old" } }, 9),
      "HANDSHAKE_REFUSED",
      /b at 127.* refused the connection: you are\?\[31m too old \(NEWER_CODE\)/,
    ],
    ["a refusal without words", greeting({ refuse: {} }), "HANDSHAKE_REFUSED", /undefined/],
    [
      "a refusal that is made to be hard to print",
      greeting({ refuse: { code: { toString: 1, valueOf: 1 }, reason: [{ toString: null }] } }),
      "HANDSHAKE_REFUSED",
      /object \(object\)/,
    ],
    [
      "another process",
      greeting({ welcome: { process: "c", incarnation: 1 } }),
      "STRANGER",
      /neither welcome nor refuse/,
    ],
    [
      "a bad incarnation",
      greeting({ welcome: { process: "b", incarnation: 0 } }),
      "STRANGER",
      /neither welcome nor refuse/,
    ],
    ["an empty answer", greeting({}), "STRANGER", /neither welcome nor refuse/],
  ];
  for (const [what, answer, code, message] of answers)
    test(`it meets ${what}: tells, and dials again`, async () => {
      let dialled = 0;
      const { address } = await listen((socket) => {
        dialled += 1;
        socket.end(answer);
      });
      const a = await start("a", { peers: { b: address } });
      await vi.waitUntil(() => dialled >= 3, { timeout: 10_000 });
      expect(a.codes).toEqual([code]);
      expect(a.problems[0]?.message).toMatch(message);
      expect(a.log).toEqual([]);
    });

  test("it gives up on a listener that says nothing, and dials again", async () => {
    let dialled = 0;
    const { address } = await listen(() => {
      dialled += 1;
    });
    await start("a", { peers: { b: address }, handshakeTimeoutMs: 30 });
    await vi.waitUntil(() => dialled >= 3, { timeout: 10_000 });
  });

  test("it pauses twice as long each time, up to the longest", async () => {
    const times: number[] = [];
    const { address } = await listen((socket) => {
      times.push(performance.now());
      socket.destroy();
    });
    await start("a", { peers: { b: address }, reconnectMinMs: 8, reconnectMaxMs: 64 });
    await vi.waitUntil(() => times.length >= 8, { timeout: 10_000 });
    const pauses = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    // Half of each pause is random; a timer may be a millisecond early.
    for (const [i, paused] of pauses.entries())
      expect(paused).toBeGreaterThanOrEqual(Math.min(64, 8 * 2 ** i) / 2 - 1.5);
  });
});

describe("frames", () => {
  /** A peer `a` of `b` made by hand. */
  async function welcomed(options: TcpOptions = {}): Promise<{ b: TransportOwner; client: Raw }> {
    const b = await start("b", { peers: { a: "127.0.0.1:1" }, ...options });
    const client = new Raw(b.address);
    client.socket.write(greeting(hello()));
    await b.untilUp("a");
    return { b, client };
  }

  test("all that is sent in one turn leaves in one piece, lengths and bytes in order", async () => {
    const chunks: Buffer[] = [];
    const { address } = await listen((socket) => {
      socket.once("data", () => {
        socket.write(greeting({ welcome: { process: "b", incarnation: 1 } }));
        socket.on("data", (chunk) => chunks.push(chunk));
      });
    });
    const a = await start("a", { peers: { b: address } });
    await a.untilUp("b");
    const frames = [5, 0, 1_024, 1_025, 3, 20_000, 17, 2_000].map((size, i) =>
      Buffer.alloc(size, i + 1),
    );
    for (const frame of frames) a.transport.send("b", frame);
    expect(a.transport.buffered("b")).toBe(framed(...frames).length);
    await vi.waitUntil(() => Buffer.concat(chunks).length >= framed(...frames).length);
    expect(Buffer.concat(chunks).equals(framed(...frames))).toBe(true);
    expect(chunks.length).toBe(1);
  });

  test("any frames, cut into any chunks, come out as they went in", async () => {
    const { b, client } = await welcomed();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        async (frames, cuts) => {
          b.frames.length = 0;
          const bytes = framed(...frames);
          for (let at = 0, i = 0; at < bytes.length; i += 1) {
            const size = cuts[i % cuts.length] ?? 1;
            client.socket.write(bytes.subarray(at, at + size));
            at += size;
            // Now and then a packet of its own.
            if (i % 7 === 0) await new Promise(setImmediate);
          }
          await b.until((owner) => owner.frames.length === frames.length);
          expect(b.frames.map(({ frame }) => Buffer.from(frame))).toEqual(
            frames.map((frame) => Buffer.from(frame)),
          );
        },
      ),
      { numRuns: cases("tcp-frames", 50, 2_000) },
    );
  });

  test("a frame beyond the limit is announced: the connection is cut, with a problem", async () => {
    const { b, client } = await welcomed({ maxFrameBytes: 1_000 });
    const length = Buffer.alloc(4);
    length.writeUInt32LE(1_001);
    client.socket.write(Buffer.concat([framed(text("good")), length]));
    await client.untilEnded();
    expect(textsOf(b)).toEqual(["good"]);
    expect(b.codes).toEqual(["FRAME_TOO_LARGE"]);
    expect(b.problems[0]?.message).toBe(
      "a announced a frame of 1001 bytes, beyond the limit of 1000",
    );
    expect(b.log).toEqual(["up a 1", "down a"]);
    expect(b.reasons).toEqual(["it announced a frame of 1001 bytes, beyond the limit of 1000"]);
  });

  test("a frame that is announced and does not come costs next to nothing", async () => {
    const ids = Array.from({ length: 40 }, (_, i) => `a${i}`);
    const peers = Object.fromEntries(ids.map((id) => [id, "127.0.0.1:1"]));
    const b = await start("b", { peers });
    const before = process.memoryUsage().arrayBuffers;
    const length = Buffer.alloc(5);
    length.writeUInt32LE(16_777_216);
    for (const id of ids) {
      const client = new Raw(b.address);
      client.socket.write(greeting(hello({ process: id })));
      await b.untilUp(id);
      client.socket.write(length);
    }
    await pause(20);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * 600_000);
    expect(b.problems).toEqual([]);
  });

  test("a peer that does not read is sent no more than the limit", async () => {
    const { b, client } = await welcomed({ maxFrameBytes: 100_000, maxBufferedBytes: 1_000_000 });
    client.socket.pause();
    const frame = Buffer.alloc(100_000, 1);
    let sent = 0;
    // Until the system's buffers are full, too.
    for (let refused = 0; refused < 20; ) {
      while (b.transport.send("a", frame)) {
        sent += 1;
        refused = 0;
      }
      refused += 1;
      expect(b.transport.buffered("a")).toBeLessThanOrEqual(1_000_000);
      await pause(2);
    }
    client.socket.resume();
    await vi.waitUntil(() => client.told.length > sent * frame.length, { timeout: 10_000 });
    expect(b.transport.buffered("a")).toBe(0);
    expect(b.transport.send("a", frame)).toBe(true);
  });

  test("closing from inside an event ends what comes from the same chunk", async () => {
    const { b, client } = await welcomed();
    b.onFrame = () => b.transport.close();
    client.socket.write(framed(text("first"), text("second")));
    await client.untilEnded();
    expect(textsOf(b)).toEqual(["first"]);
    expect(b.log).toEqual(["up a 1"]);
  });
});

describe("connections that die", () => {
  test("a frame that was cut in the middle does not arrive; later ones do, after up again", async () => {
    const [a, b] = [await start("a"), await start("b")];
    const proxy = await proxyTo(b);
    introduce(a, b, proxy.address);
    await Promise.all([a.untilUp("b"), b.untilUp("a")]);
    await reach(a, b);
    const cut = proxy.cutAfter(4 + 5 + 4 + 50_000);
    a.transport.send("b", text("whole"));
    a.transport.send("b", Buffer.alloc(100_000, "cut"));
    await cut;
    await Promise.all([
      a.until(({ log }) => log.length === 3),
      b.until(({ log }) => log.length === 3),
    ]);
    expect(a.log).toEqual(["up b 1", "down b", "up b 1"]);
    expect(b.log).toEqual(["up a 1", "down a", "up a 1"]);
    await reach(a, b);
    await reach(b, a);
    expect(textsOf(b).filter((words) => words === "whole").length).toBe(1);
    expect(b.frames.every(({ frame }) => frame.length < 100)).toBe(true);
    expect([proxy.cuts, a.problems, b.problems]).toEqual([1, [], []]);
  });

  test("after each of many resets both sides are told, and come up again", async () => {
    const [a, b] = [await start("a"), await start("b")];
    const proxy = await proxyTo(b);
    introduce(a, b, proxy.address);
    const noise = Buffer.alloc(70_000, 1);
    const talk = setInterval(() => {
      a.transport.send("b", noise);
      b.transport.send("a", noise);
    }, 1);
    const rounds = cases("tcp-cuts", 20, 500);
    for (let round = 1; round <= rounds; round += 1) {
      // Wherever in a frame it is by then: each side has had some since it came up.
      const [atA, atB] = [a.frames.length, b.frames.length];
      await a.until(({ log, frames }) => log.length === 2 * round - 1 && frames.length > atA);
      await b.until(({ log, frames }) => log.length >= 2 * round - 1 && frames.length > atB);
      proxy.cut();
      await a.until(({ log }) => log.length >= 2 * round);
    }
    clearInterval(talk);
    await Promise.all([a, b].map((one) => one.until(({ reasons }) => reasons.length >= rounds)));
    await Promise.all([a.untilUp("b"), b.untilUp("a")]);
    for (const { log } of [a, b])
      for (const [i, line] of log.entries())
        expect(line.startsWith(i % 2 === 0 ? "up" : "down")).toBe(true);
    for (const { frames } of [a, b])
      for (const { frame } of frames) expect(noise.equals(frame)).toBe(true);
  });

  test("a connection that is dead on one side is replaced when the same process dials again", async () => {
    const [a, b] = [await start("a"), await start("b")];
    const proxy = await proxyTo(b);
    introduce(a, b, proxy.address);
    await Promise.all([a.untilUp("b"), b.untilUp("a")]);
    proxy.cut("dialler");
    await b.until(({ log }) => log.length === 3);
    expect(b.log).toEqual(["up a 1", "down a", "up a 1"]);
    expect(b.reasons).toEqual(["the same process has connected anew"]);
    await a.untilUp("b");
    await reach(a, b);
    expect([a.problems, b.problems]).toEqual([[], []]);
  });

  test("a restarted process takes over from a connection that died without a word", async () => {
    const b = await start("b", { handshakeTimeoutMs: 300 });
    const proxy = await proxyTo(b);
    const a = await start("a");
    introduce(a, b, proxy.address);
    await b.untilUp("a");
    // The host of `a` loses power: the listener hears nothing, not even the end.
    proxy.cut("dialler");
    proxy.stall();
    await a.transport.close();
    const again = await start("a", { peers: { b: b.address } }, { incarnation: 2 });
    await Promise.all([b.untilUp("a", 2), again.untilUp("b")]);
    expect(b.log).toEqual(["up a 1", "down a", "up a 2"]);
    expect(b.reasons[0]).toContain("did not answer within 150 ms");
    expect([b.problems, again.problems]).toEqual([[], []]);
  });

  test("a peer that only half closes is down", async () => {
    const b = await start("b", { peers: { a: "127.0.0.1:1" } });
    const client = new Raw(b.address);
    client.socket.write(greeting(hello()));
    await b.untilUp("a");
    client.socket.end(framed(text("last words")));
    await b.until(({ log }) => log.includes("down a"));
    expect(textsOf(b)).toEqual(["last words"]);
    expect(b.transport.send("a", text("x"))).toBe(false);
  });

  test("a stalled connection delivers when it goes on; a slow one keeps the order", async () => {
    const [a, b] = [await start("a"), await start("b")];
    const proxy = await proxyTo(b);
    introduce(a, b, proxy.address);
    await Promise.all([a.untilUp("b"), b.untilUp("a")]);
    proxy.stall();
    for (let i = 0; i < 50; i += 1) a.transport.send("b", text(`stalled ${i}`));
    await pause(20);
    expect(b.frames).toEqual([]);
    proxy.resume();
    await b.until(({ frames }) => frames.length === 50);
    for (let i = 0; i < 50; i += 1) {
      proxy.delay(50 - i);
      a.transport.send("b", text(`slow ${i}`));
      await new Promise(setImmediate);
    }
    await b.until(({ frames }) => frames.length === 100);
    expect(textsOf(b).slice(50)).toEqual(Array.from({ length: 50 }, (_, i) => `slow ${i}`));
  });
});

describe("epochs", () => {
  test("a hello of a later epoch is refused with the own one, and the owner is told once", async () => {
    const b = await start("b", { peers: { a: "127.0.0.1:1" } }, { epoch: 3 });
    for (const epoch of [4, 4, 7, 4]) {
      const client = new Raw(b.address);
      client.socket.write(greeting(hello({ epoch })));
      const reason = `a lives in epoch ${epoch}, and b is behind, in epoch 3`;
      expect(await client.answer()).toEqual({
        refuse: { code: "EPOCH_MISMATCH", reason, epoch: 3 },
      });
      await client.untilEnded();
    }
    expect(b.laterEpochs).toEqual([
      ["a", 4],
      ["a", 7],
    ]);
    expect([b.problems, b.log]).toEqual([[], []]);
  });

  test("a hello of an older epoch is refused with the own one, and the owner hears who is behind", async () => {
    const b = await start("b", { peers: { a: "127.0.0.1:1" } }, { epoch: 3 });
    for (const epoch of [2, 0]) {
      const client = new Raw(b.address);
      client.socket.write(greeting(hello({ epoch })));
      expect(await client.answer()).toEqual({
        refuse: {
          code: "EPOCH_MISMATCH",
          reason: `a is behind, in epoch ${epoch}, and b is in epoch 3: it is told so, and should catch up by itself`,
          epoch: 3,
        },
      });
    }
    // The same problem with the same source is told once in ten seconds.
    expect([b.codes, b.laterEpochs]).toEqual([["EPOCH_MISMATCH"], []]);
    expect(b.problems[0]?.message).toContain("a is behind, in epoch 2");
  });

  test("only a peer is believed that there is a later epoch, and only about itself", async () => {
    const b = await start("b", { peers: { a: "127.0.0.1:1" } });
    for (const part of [
      { process: "aa" },
      { to: "c" },
      { system: "another" },
      { process: "c" },
      { process: "b" },
    ]) {
      const client = new Raw(b.address);
      client.socket.write(greeting(hello({ epoch: 9, ...part })));
      expect(await client.answer()).toHaveProperty("refuse");
    }
    expect(b.laterEpochs).toEqual([]);
    expect(b.codes).toContain("EPOCH_MISMATCH");
    expect(b.problems.find(({ code }) => code === "EPOCH_MISMATCH")?.message).toContain(
      "aa is not a peer of b (yet)",
    );
  });

  test("who claims ever other epochs fills no memory, and what was told long ago is told again", async () => {
    const b = await start("b", { peers: { a: "127.0.0.1:1" } });
    const claims = [...Array.from({ length: 17 }, (_, i) => 1 + i), 17, 1];
    for (const epoch of claims) {
      const client = new Raw(b.address);
      client.socket.write(greeting(hello({ epoch })));
      await client.answer();
    }
    expect(b.laterEpochs.map(([, epoch]) => epoch)).toEqual([...claims.slice(0, 17), 1]);
  });

  const claimed: readonly unknown[] = [
    ...[2 ** 53, 1e300, -1, -0.5, 0.5, -(2 ** 60), null, true, "3", "", "1e3", [], [3], {}],
    { toString: 1, valueOf: 1 },
  ];

  test.each(claimed)("a hello that claims the epoch %j is incomplete", async (epoch) => {
    const b = await start("b", { peers: { a: "127.0.0.1:1" } });
    const client = new Raw(b.address);
    client.socket.write(greeting(hello({ epoch })));
    expect(await client.answer()).toMatchObject({ refuse: { code: "STRANGER" } });
    expect([b.laterEpochs, b.codes]).toEqual([[], ["STRANGER"]]);
  });

  test.each([...claimed, undefined, 0])(
    "a refusal with the epoch %j is told as one without",
    async (epoch) => {
      const refuse = { code: "EPOCH_MISMATCH", reason: "no", epoch };
      const { address } = await listen((socket) => socket.end(greeting({ refuse })));
      const a = await start("a", { peers: { b: address } });
      await a.until(({ codes }) => codes.length > 0);
      expect(a.codes).toEqual(["HANDSHAKE_REFUSED"]);
      expect(a.problems[0]?.message).toContain("refused the connection: no (EPOCH_MISMATCH)");
      expect(a.laterEpochs).toEqual([]);
    },
  );

  test("an epoch in a refusal for something else is not looked at", async () => {
    const refuse = { code: "STRANGER", reason: "no", epoch: 7 };
    const { address } = await listen((socket) => socket.end(greeting({ refuse })));
    const a = await start("a", { peers: { b: address } });
    await a.until(({ codes }) => codes.length > 0);
    expect([a.codes, a.laterEpochs]).toEqual([["HANDSHAKE_REFUSED"], []]);
  });

  test("whichever dials, the older one is told once, however often it is refused", async () => {
    for (const [older, newer] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      const quick = { reconnectMinMs: 1, reconnectMaxMs: 2 };
      const late = await start(older, quick, { epoch: 1 });
      const ahead = await start(newer, quick, { epoch: 2 });
      const [dialler, listener] = older === "a" ? [late, ahead] : [ahead, late];
      const proxy = await proxyTo(listener);
      introduce(dialler, listener, proxy.address);
      await vi.waitUntil(() => proxy.accepted >= 30, { timeout: 10_000 });
      expect([late.laterEpochs, late.codes, late.log]).toEqual([[[newer, 2]], [], []]);
      expect([ahead.codes, ahead.laterEpochs, ahead.log]).toEqual([["EPOCH_MISMATCH"], [], []]);
      expect(ahead.problems[0]?.message).toContain(
        `${older} is behind, in epoch 1, and ${newer} is in epoch 2`,
      );
      await Promise.all([late, ahead].map(({ transport }) => transport.close()));
    }
  });

  /** Two that are up, with a proxy between them. */
  async function pair() {
    const [a, b] = [await start("a"), await start("b")];
    const proxy = await proxyTo(b);
    introduce(a, b, proxy.address);
    await Promise.all([a.untilUp("b"), b.untilUp("a")]);
    return { a, b, proxy };
  }
  const later = { incarnation: 2, epoch: 1 };

  test("what is on a slow way when its receiver advances never arrives, nor does half a frame", async () => {
    const { a, b, proxy } = await pair();
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const rise = { incarnation: from.log.length + 5, epoch: from.log.length };
      proxy.delay(0);
      // One and a half frames are there, the rest is on its way.
      from.transport.send(to.id, text("whole"));
      await to.until((one) => textsOf(one).includes("whole"));
      proxy.delay(40);
      from.transport.send(to.id, Buffer.alloc(3_000_000, "old"));
      from.transport.send(to.id, text("old"));
      const before = proxy.forwardedBytes;
      await vi.waitUntil(() => proxy.forwardedBytes > before, { interval: 0, timeout: 10_000 });
      const came = to.frames.length;
      to.transport.advance(rise);
      await to.until(({ log }) => log.at(-1) === `down ${from.id}`);
      proxy.delay(0);
      await from.until(({ log }) => log.at(-1) === `down ${to.id}`);
      expect(from.transport.send(to.id, text("old"))).toBe(false);
      await from.until(({ laterEpochs }) => laterEpochs.length > 0);
      from.transport.advance(rise);
      await Promise.all([a.untilUp("b", rise.incarnation), b.untilUp("a", rise.incarnation)]);
      await reach(from, to);
      await reach(to, from);
      expect(to.frames.slice(came).map(({ frame }) => frame.length < 100)).toEqual([true]);
      expect(textsOf(to)).not.toContain("old");
    }
  });

  test("what its sender had sent before it advanced never arrives in the later epoch", async () => {
    const { a, b, proxy } = await pair();
    proxy.stall();
    for (let i = 0; i < 200; i += 1) a.transport.send("b", Buffer.alloc(100_000, "old"));
    for (let i = 0; i < 200; i += 1) b.transport.send("a", Buffer.alloc(100_000, "old"));
    expect(a.transport.buffered("b")).toBeGreaterThan(0);
    a.transport.advance(later);
    expect([a.transport.buffered("b"), a.transport.send("b", text("x"))]).toEqual([0, false]);
    b.transport.advance(later);
    proxy.resume();
    await Promise.all([a.untilUp("b", 2), b.untilUp("a", 2)]);
    await reach(a, b);
    await reach(b, a);
    expect([a.frames.length, b.frames.length]).toEqual([1, 1]);
    expect(a.log).toEqual(["up b 1", "down b", "up b 2"]);
    expect(b.log).toEqual(["up a 1", "down a", "up a 2"]);
    expect(a.reasons).toEqual(["a went to epoch 1"]);
  });

  test("a hello that is on its way when the listener advances is judged by the later epoch", async () => {
    const b = await start("b", { peers: { a: "127.0.0.1:1" } });
    const [early, late] = [new Raw(b.address), new Raw(b.address)];
    const bytes = [greeting(hello()), greeting(hello(later))] as const;
    early.socket.write(bytes[0].subarray(0, 20));
    late.socket.write(bytes[1].subarray(0, 20));
    await pause(20);
    b.transport.advance({ incarnation: 9, epoch: 1 });
    early.socket.write(bytes[0].subarray(20));
    expect(await early.answer()).toMatchObject({ refuse: { code: "EPOCH_MISMATCH", epoch: 1 } });
    late.socket.write(bytes[1].subarray(20));
    expect(await late.answer()).toEqual({ welcome: { process: "b", incarnation: 9 } });
    expect(b.log).toEqual(["up a 2"]);
  });

  test("a hello that waits at the door when the listener advances is let in no more", async () => {
    const b = await start("b", { handshakeTimeoutMs: 60_000 });
    const client = new Raw(b.address);
    client.socket.write(greeting(hello()));
    await pause(20);
    b.transport.advance(later);
    b.transport.connect("a", "127.0.0.1:1");
    await client.untilEnded();
    expect([b.log, client.told.length]).toEqual([[], 0]);
  });

  test("a welcome that comes after the dialler advanced is none", async () => {
    const sockets: Socket[] = [];
    const hellos: Buffer[] = [];
    const { address } = await listen((socket) => {
      sockets.push(socket);
      socket.on("data", (chunk) => hellos.push(chunk));
    });
    const a = await start("a", { peers: { b: address } });
    await vi.waitUntil(() => hellos.length === 1);
    sockets[0]?.write(greeting({ welcome: { process: "b", incarnation: 1 } }));
    a.transport.advance(later);
    await vi.waitUntil(() => hellos.length === 2);
    expect(JSON.parse(hellos[1]?.toString("utf8", 12) ?? "")).toEqual(hello(later));
    expect(a.log).toEqual([]);
    sockets[1]?.write(greeting({ welcome: { process: "b", incarnation: 4 } }));
    await a.untilUp("b", 4);
  });

  test("peers that could not be reached for long are dialled at once", async () => {
    let dialled = 0;
    const { address } = await listen((socket) => {
      dialled += 1;
      socket.destroy();
    });
    const a = await start("a", {
      peers: { b: address },
      reconnectMinMs: 600_000,
      reconnectMaxMs: 600_000,
    });
    await vi.waitUntil(() => dialled === 1);
    a.transport.advance(later);
    await vi.waitUntil(() => dialled === 2);
  });
});

describe("closing", () => {
  test("what was sent leaves first, even if it is much", async () => {
    const [a, b] = [await start("a"), await start("b")];
    introduce(a, b);
    await Promise.all([a.untilUp("b"), b.untilUp("a")]);
    for (let i = 0; i < 30; i += 1) a.transport.send("b", Buffer.alloc(1_000_000, i));
    await Promise.all([a.transport.close(), b.until(({ log }) => log.includes("down a"))]);
    expect(b.frames.map(({ frame }) => [frame.length, frame[999_999]])).toEqual(
      Array.from({ length: 30 }, (_, i) => [1_000_000, i]),
    );
  });

  test("a peer that reads nothing holds it up for a second, not longer", async () => {
    const b = await start("b", { peers: { a: "127.0.0.1:1" } });
    const client = new Raw(b.address);
    client.socket.write(greeting(hello()));
    await b.untilUp("a");
    client.socket.pause();
    for (let i = 0; i < 30; i += 1) b.transport.send("a", Buffer.alloc(1_000_000));
    const from = performance.now();
    await b.transport.close();
    expect(performance.now() - from).toBeGreaterThan(900);
    expect(performance.now() - from).toBeLessThan(5_000);
  });

  test("while opening: opening fails and nothing listens", async () => {
    const transport = tcpTransport();
    const opened = TransportOwner.open("a", transport);
    const closed = transport.close();
    await expect(opened).rejects.toMatchObject({ code: "STOPPED" });
    await closed;
    expect(transport.address).toBeUndefined();
  });

  test("nothing of it stays behind", async () => {
    const handles = () =>
      process.getActiveResourcesInfo().filter((kind) => /TCP|Timeout/.test(kind)).length;
    await vi.waitUntil(() => process.getActiveResourcesInfo().every((kind) => !/TCP/.test(kind)));
    const before = handles();
    const [a, b, c] = [await start("a"), await start("b"), await start("c")];
    introduce(a, b);
    introduce(a, c);
    b.transport.connect("c", "127.0.0.1:1");
    const stranger = new Raw(b.address);
    await Promise.all([a.untilUp("b"), a.untilUp("c")]);
    await Promise.all([a, b, c].map(({ transport }) => transport.close()));
    await stranger.untilEnded();
    await vi.waitUntil(() => handles() <= before, { timeout: 2_000 });
  });
});

describe("whatever bytes come in", () => {
  /** What a client does with its connection, as a list of chunks. */
  const conversation = fc.oneof(
    fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }),
    // A hello with a few bytes changed, cut short, or with more behind it.
    fc
      .tuple(
        fc.constantFrom(hello({ process: "f" }), hello({ process: "a" }), hello(), {}, [], null),
        fc.constantFrom(0, 1, 1, 1, 2, 65_535),
        fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 3 }),
        fc.nat(200),
        fc.uint8Array({ maxLength: 30 }),
      )
      .map(([body, version, changes, length, more]) => {
        const bytes = greeting(body, version);
        for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
        return [bytes.subarray(0, Math.max(1, length)), more];
      }),
    // A good hello, then anything: often frames with lengths that are good, bad, or the control words.
    fc
      .array(
        fc.tuple(
          fc.oneof(
            fc.nat(64),
            fc.constantFrom(0xffff_ffff, 0xffff_fffe, 0xffff_fffd, 100_000, 100_001, 2 ** 31),
          ),
          fc.uint8Array({ maxLength: 64 }),
        ),
        { maxLength: 8 },
      )
      .map((frames) => [
        greeting(hello({ process: "f" })),
        ...frames.map(([announced, bytes]) => {
          const length = Buffer.alloc(4);
          length.writeUInt32LE(announced);
          return Buffer.concat([length, bytes]);
        }),
      ]),
  );

  test("whatever a listener answers, the dialler goes on dialling", async () => {
    /** What is answered next; then, until it is dialled again, nothing. */
    let answer: Uint8Array[] = [];
    let answered = Promise.withResolvers<void>();
    const { address } = await listen((socket) => {
      socket.resume();
      for (const chunk of answer) socket.write(chunk);
      socket.end();
      answered.resolve();
    });
    const a = await start("a", {
      peers: { b: address },
      reconnectMinMs: 1,
      reconnectMaxMs: 1,
      maxFrameBytes: 1_000,
    });
    const json = fc.oneof(
      fc.json(),
      fc.json().map((value) => `{"refuse":${value}}`),
      fc.json().map((value) => `{"refuse":{"code":${value},"reason":${value}}}`),
      fc
        .oneof(fc.json(), fc.double().map(String), fc.bigInt().map(String))
        .map((value) => `{"refuse":{"code":"EPOCH_MISMATCH","epoch":${value}}}`),
      fc.json().map((value) => `{"welcome":${value}}`),
      fc.json().map((value) => `{"welcome":{"process":"b","incarnation":${value}}}`),
      fc.constant('{"welcome":{"process":"b","incarnation":5}}'),
      fc.constant('{"refuse":{"code":"EPOCH_MISMATCH","reason":"later","epoch":7}}'),
    );
    const ends = () => a.log.filter((line) => line.startsWith("down")).length;
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 3 }),
          fc
            .tuple(json, fc.constantFrom(1, 1, 1, 2), fc.uint8Array({ maxLength: 40 }))
            .map(([body, version, more]) => [greeting(body, version), more]),
        ),
        async (chunks) => {
          answer = chunks;
          answered = Promise.withResolvers();
          await answered.promise;
        },
      ),
      { numRuns: cases("tcp-answers", 300, 20_000) },
    );
    fuzzed("connections", cases("tcp-answers", 300, 20_000));
    // It was welcomed now and then, came up, and went down again; and it still dials.
    expect(ends()).toBeGreaterThan(0);
    expect(a.laterEpochs.length).toBeGreaterThan(0);
    for (const [peer, epoch] of a.laterEpochs)
      expect([peer, Number.isSafeInteger(epoch), epoch > 0]).toEqual(["b", true, true]);
    answer = [greeting({ welcome: { process: "b", incarnation: 6 } }), framed(text("at last"))];
    await a.until((owner) => textsOf(owner).includes("at last"));
    expect(a.log).toContain("up b 6");
  });

  test("nothing throws, nothing hangs, and good peers are served", async () => {
    const from = performance.now();
    const thrown: unknown[] = [];
    const note = (error: unknown) => thrown.push(error);
    process.on("uncaughtExceptionMonitor", note);
    const b = await start("b", {
      peers: { f: "127.0.0.1:1" },
      maxFrameBytes: 100_000,
      maxBufferedBytes: 200_000,
      handshakeTimeoutMs: 200,
    });
    // Nobody is to hit upon its incarnation by chance, and so pass for it.
    const incarnation = 4_123_456_789;
    const a = await start("a", {}, { incarnation });
    introduce(a, b);
    await Promise.all([a.untilUp("b"), b.untilUp("a", incarnation)]);
    await fc.assert(
      fc.asyncProperty(
        conversation,
        fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 5 }),
        fc.constantFrom("end", "reset", "stay"),
        async (chunks, cuts, how) => {
          const client = new Raw(b.address);
          const bytes = Buffer.concat(chunks);
          for (let at = 0, i = 0; at < bytes.length && !client.socket.destroyed; i += 1) {
            const size = cuts[i % cuts.length] ?? 1;
            client.socket.write(bytes.subarray(at, at + size));
            at += size;
            if (i % 3 === 0) await new Promise(setImmediate);
          }
          if (how === "end") client.socket.end();
          if (how === "reset") client.socket.resetAndDestroy();
          await reach(a, b);
          if (how === "stay") client.socket.destroy();
          await client.untilEnded();
        },
      ),
      { numRuns: cases("tcp-fuzz", 400, 20_000) },
    );
    fuzzed("connections", cases("tcp-fuzz", 400, 20_000));
    await reach(b, a);
    expect(a.log).toEqual(["up b 1"]);
    expect(b.log.filter((line) => line.includes("a"))).toEqual([`up a ${incarnation}`]);
    process.off("uncaughtExceptionMonitor", note);
    expect(thrown).toEqual([]);
    // A flood of nonsense is no flood of problems: one of each code and source, each ten seconds.
    const sources = ["a", "f", "127.0.0.1", "gone"].length;
    const intervals = 1 + (performance.now() - from) / 10_000;
    expect(b.codes.length).toBeLessThanOrEqual(new Set(b.codes).size * sources * intervals);
    expect(new Set(b.codes)).toContain("STRANGER");
  });
});
