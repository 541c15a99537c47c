import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import {
  type ConnectionOptions,
  createServer as createTlsServer,
  type TLSSocket,
  connect as tlsConnect,
} from "node:tls";
import fc from "fast-check";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import { type TcpOptions, tcpTransport } from "../../src/runtime/tcp-transport.ts";
import type { TlsIdentity } from "../../src/runtime/tls.ts";
import { transportContract } from "../../src/runtime/transport-contract.ts";
import { Authority, type Certificate, type CertificateOptions } from "../support/certificates.ts";
import { CuttingProxy } from "../support/cutting-proxy.ts";
import { cases, fuzzed } from "../support/soak.ts";
import { TransportOwner } from "../support/transport-owner.ts";

const ours = new Authority("ours");
const theirs = new Authority("theirs");
afterAll(() => {
  ours.close();
  theirs.close();
});

const made = new Map<string, TlsIdentity>();
/** What a process of this system shows. */
function identityOf(id: string): TlsIdentity {
  const known = made.get(id) ?? identity(ours.sign(id));
  made.set(id, known);
  return known;
}
const identity = ({ cert, key }: Certificate): TlsIdentity => ({ ca: ours.ca, cert, key });

/** What a test leaves open. */
const open: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((close) => close()));
});

async function start(id: string, options: TcpOptions = {}): Promise<TransportOwner> {
  const transport = tcpTransport({ tls: identityOf(id), ...options });
  open.push(() => transport.close());
  return await TransportOwner.open(id, transport);
}

/** `from` dials `to`, which knows of it. */
function introduce(from: TransportOwner, to: TransportOwner, address = to.address): void {
  to.transport.connect(from.id, from.address);
  from.transport.connect(to.id, address);
}

async function reach(from: TransportOwner, to: TransportOwner): Promise<void> {
  await from.untilUp(to.id);
  await to.untilUp(from.id);
  const before = to.frames.length;
  from.transport.send(to.id, Buffer.from("how are you?"));
  await to.until(({ frames }) => frames.length > before);
}

/** Bytes that come in, and the JSON of the greeting at their beginning. */
class Told {
  #bytes = Buffer.alloc(0);
  isOver = false;

  constructor(socket: Socket) {
    open.push(() => socket.destroy());
    socket.on("data", (bytes) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.isOver = true;
    });
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  async greeting(): Promise<unknown> {
    const end = () => (this.#bytes.length < 12 ? Infinity : 12 + this.#bytes.readUInt16LE(10));
    await vi.waitUntil(() => this.#bytes.length >= end() || this.isOver, { timeout: 10_000 });
    expect(this.#bytes.toString("latin1", 0, 8)).toBe("TIDEMARK");
    return JSON.parse(this.#bytes.toString("utf8", 12, end()));
  }
}

function greeting(body: object): Buffer {
  const text = Buffer.from(JSON.stringify(body));
  const head = Buffer.from("TIDEMARK\0\0\0\0", "latin1");
  head.writeUInt16LE(1, 8);
  head.writeUInt16LE(text.length, 10);
  return Buffer.concat([head, text]);
}

const hello = { system: "test", process: "a", to: "b", incarnation: 1, epoch: 0 };
const portOf = (address: string) => Number(address.split(":").at(-1));
const refused = (words: RegExp) => ({
  refuse: { code: "UNTRUSTED", reason: expect.stringMatching(words) },
});

/** Connects to `b` as whoever that certificate says, and says to be `a`. */
function pose(b: TransportOwner, options: ConnectionOptions): { told: Told; socket: TLSSocket } {
  const socket = tlsConnect({
    port: portOf(b.address),
    host: "127.0.0.1",
    ca: ours.ca,
    checkServerIdentity: () => undefined,
    ...options,
  });
  const told = new Told(socket);
  socket.write(greeting(hello));
  return { told, socket };
}

/** A listener of the test's own, with what the first who connects has told. */
async function listen(shown: { cert: string; key: string }, more: object = {}) {
  const server = createTlsServer({ ...shown, minVersion: "TLSv1.3", ca: ours.ca, ...more });
  const told: Told[] = [];
  const errors: string[] = [];
  server.on("secureConnection", (socket) => told.push(new Told(socket)));
  server.on("tlsClientError", (error) => errors.push(error.message));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  open.push(() => server.close());
  return { told, errors, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe("a TCP transport with certificates keeps the contract", () => {
  const all = transportContract(() => ({
    transport: (id) => tcpTransport({ tls: identityOf(id) }),
  }));
  for (const { name, run } of all) test(name, run);
});

/** Certificates that do not make anybody process `a` or `b` of this system. */
const BAD: Readonly<Record<string, [(id: string) => Certificate, RegExp]>> = {
  "of another authority": [(id) => theirs.sign(id), /not signed by an authority of this system/],
  "signed by itself": [(id) => new Authority(id).own, /not signed by an authority of this system/],
  "that has expired": [(id) => ours.sign(id, { days: [-9, -1] }), /held until .* must be renewed/],
  "that does not hold yet": [(id) => ours.sign(id, { days: [1, 9] }), /holds only from/],
  "of another process": [() => ours.sign("c"), /is that of c, and not of [ab]/],
  "of several others": [
    () => ours.sign("c", { names: ["DNS:c", "DNS:d", "IP:127.0.0.1"] }),
    /is that of c, d, and not of [ab]/,
  ],
  "of any process, it says": [
    () => ours.sign("*", { names: ["DNS:*"] }),
    /is that of no process, and not of [ab]/,
  ],
  "whose common name is right and whose names are not": [
    (id) => ours.sign(id, { names: ["DNS:c"] }),
    /is that of c, and not of [ab]/,
  ],
  "in other letters": [(id) => ours.sign(id.toUpperCase()), /is that of [AB], and not of [ab]/],
  "signed by a process": [
    (id) => {
      const process = ours.sign("c");
      const signed = ours.sign(id, { by: process });
      return { ...signed, cert: signed.cert + process.cert };
    },
    /authorities CA:TRUE/,
  ],
  "meant for mail": [
    (id) => ours.sign(id, { usage: "emailProtection" }),
    /need clientAuth and serverAuth/,
  ],
};
const close: CertificateOptions = { usage: "serverAuth" };

describe("who is not believed is told why, and nothing else", () => {
  for (const [what, [make, words]] of Object.entries(BAD)) {
    test(`a dialler with a certificate ${what}`, async () => {
      const b = await start("b");
      b.transport.connect("a", "127.0.0.1:1");
      const { cert, key } = make("a");
      const { told } = pose(b, { cert, key });
      expect(await told.greeting()).toEqual(refused(words));
      await b.until(({ problems }) => problems.length > 0);
      expect(b.codes).toEqual(["UNTRUSTED"]);
      expect(b.problems[0]?.message).toMatch(words);
      expect(b.log).toEqual([]);
    });

    test(`a listener with a certificate ${what}`, async () => {
      const a = await start("a");
      const { told, address } = await listen(make("b"));
      a.transport.connect("b", address);
      await a.until(({ problems }) => problems.length > 0);
      expect(a.codes).toEqual(["UNTRUSTED"]);
      expect(a.problems[0]?.message).toMatch(words);
      await vi.waitUntil(() => told.length > 0);
      // In place of the hello: of the system it learns nothing.
      expect(await told[0]?.greeting()).toEqual(refused(words));
      expect(a.log).toEqual([]);
    });
  }

  test("a dialler that shows none", async () => {
    const b = await start("b");
    const { told } = pose(b, {});
    expect(await told.greeting()).toEqual(refused(/it shows no certificate/));
    await b.until(({ problems }) => problems.length > 0);
    expect(b.problems[0]?.message).toMatch(/shows no certificate/);
  });

  test("a dialler with a certificate for listeners, and the other way round", async () => {
    const b = await start("b");
    const words = /need clientAuth and serverAuth/;
    const { told } = pose(b, ours.sign("a", close));
    expect(await told.greeting()).toEqual(refused(words));
    const a = await start("a");
    const { address } = await listen(ours.sign("b", { usage: "clientAuth" }));
    a.transport.connect("b", address);
    await a.until(({ problems }) => problems.length > 0);
    expect(a.problems[0]?.message).toMatch(words);
  });

  test("with a good one it would have been welcomed", async () => {
    const b = await start("b");
    b.transport.connect("a", "127.0.0.1:1");
    const { told } = pose(b, ours.sign("a"));
    expect(await told.greeting()).toEqual({ welcome: { process: "b", incarnation: 1 } });
    expect(b.log).toEqual(["up a 1"]);
  });

  test("between two transports each side tells its owner", async () => {
    const [a, b] = [
      await start("a", { tls: { ...identityOf("a"), ca: ours.ca + theirs.ca } }),
      await start("b", { tls: { ca: theirs.ca, ...theirs.sign("b") } }),
    ];
    introduce(a, b);
    for (const owner of [a, b]) await owner.until(({ problems }) => problems.length > 0);
    expect(b.codes).toEqual(["UNTRUSTED"]);
    expect(a.codes).toEqual(["HANDSHAKE_REFUSED"]);
    expect(a.problems[0]?.message).toMatch(
      /not signed by an authority of this system \(UNTRUSTED\)/,
    );
    const [c, d] = [
      await start("c", { tls: { ca: theirs.ca, ...theirs.sign("c") } }),
      await start("d", { tls: { ...identityOf("d"), ca: ours.ca + theirs.ca } }),
    ];
    introduce(c, d);
    for (const owner of [c, d]) await owner.until(({ problems }) => problems.length > 0);
    expect(c.codes).toEqual(["UNTRUSTED"]);
    expect(d.codes).toEqual(["HANDSHAKE_REFUSED"]);
  });
});

describe("nothing less than TLS 1.3 will do", () => {
  test("a dialler without TLS, and a listener with", async () => {
    const [b, plain] = [await start("b"), tcpTransport()];
    open.push(() => plain.close());
    const a = await TransportOwner.open("a", plain);
    introduce(a, b);
    for (const owner of [a, b]) await owner.until(({ problems }) => problems.length > 0);
    expect(b.codes).toEqual(["UNTRUSTED"]);
    expect(a.codes).toEqual(["HANDSHAKE_REFUSED"]);
    for (const { problems } of [a, b])
      expect(problems[0]?.message).toMatch(/it does not speak TLS: was it given certificates\?/);
  });

  test("a dialler with TLS, and a listener without", async () => {
    const [a, plain] = [await start("a"), tcpTransport()];
    open.push(() => plain.close());
    const b = await TransportOwner.open("b", plain);
    introduce(a, b);
    for (const owner of [a, b]) await owner.until(({ problems }) => problems.length > 0);
    expect(b.codes).toEqual(["STRANGER"]);
    expect(b.problems[0]?.message).toMatch(
      /speaks TLS, and this process was given no certificates/,
    );
    expect(a.codes).toEqual(["PEER_UNREACHABLE"]);
    expect(a.problems[0]?.message).toMatch(/it does not speak TLS: was it given certificates\?/);
  });

  test("a dialler with TLS 1.2", async () => {
    const b = await start("b");
    const { socket } = pose(b, { ...ours.sign("a"), maxVersion: "TLSv1.2" });
    const [error] = await once(socket, "error");
    expect(String(error)).toMatch(/alert protocol version/i);
    await b.until(({ problems }) => problems.length > 0);
    expect(b.problems[0]?.message).toMatch(/it speaks an older TLS than 1\.3/);
  });

  test("a listener with TLS 1.2", async () => {
    const a = await start("a");
    const { errors, address } = await listen(ours.sign("b"), {
      minVersion: "TLSv1.2",
      maxVersion: "TLSv1.2",
    });
    a.transport.connect("b", address);
    await a.until(({ problems }) => problems.length > 0);
    expect(a.codes).toEqual(["PEER_UNREACHABLE"]);
    expect(a.problems[0]?.message).toMatch(/it speaks an older TLS than 1\.3/);
    await vi.waitUntil(() => errors.length > 0);
    expect(errors[0]).toMatch(/unsupported protocol/i);
  });
});

test.each([
  ["with certificates nobody between two processes can read what they say", true],
  ["without, anybody can", false],
])("%s", async (_, encrypted) => {
  const make = async (id: string) => {
    const transport = tcpTransport(encrypted ? { tls: identityOf(id) } : {});
    open.push(() => transport.close());
    return await TransportOwner.open(id, transport);
  };
  const [a, b] = [await make("a"), await make("b")];
  const proxy = await CuttingProxy.open(b.address);
  open.push(() => proxy.close());
  let seen = "";
  proxy.overhear = (bytes) => {
    seen += Buffer.from(bytes).toString("latin1");
  };
  introduce(a, b, proxy.address);
  await reach(a, b);
  expect(seen.length).toBeGreaterThan(100);
  for (const words of ["TIDEMARK", "incarnation", "how are you?"])
    expect(seen.includes(words)).toBe(!encrypted);
});

describe("names", () => {
  test("one certificate may name several processes", async () => {
    const tls = identity(ours.sign("host1", { names: ["DNS:a", "DNS:b"] }));
    const [a, b] = [await start("a", { tls }), await start("b", { tls })];
    introduce(a, b);
    await reach(a, b);
  });

  test("without names the common name counts", async () => {
    const tls = identity(ours.sign("a", { names: [] }));
    const [a, b] = [await start("a", { tls }), await start("b")];
    introduce(a, b);
    await reach(a, b);
  });

  test("names with a comma or a quote name nobody", async () => {
    const b = await start("b");
    const { told } = pose(b, ours.sign("x", { names: ["DNS:x, DNS:a", "email:a@b.c, DNS:a"] }));
    expect(await told.greeting()).toEqual(refused(/is that of .*and not of a/));
  });

  test("a certificate may be signed through an authority between", async () => {
    const between = new Authority("between");
    open.push(() => between.close());
    // Its own certificate is not signed by ours, so what it signs is trusted by whoever has it in `ca` alone.
    const signed = between.sign("a");
    const [a, b] = [
      await start("a", { tls: { ca: ours.ca + between.ca, ...signed } }),
      await start("b", { tls: { ...identityOf("b"), ca: ours.ca + between.ca } }),
    ];
    introduce(a, b);
    await reach(a, b);
  });
});

describe("one's own mistakes", () => {
  const refuse = (tls: unknown) => {
    try {
      tcpTransport({ tls } as TcpOptions);
    } catch (thrown) {
      if (isTidemarkError(thrown)) return `${thrown.code}: ${thrown.message}`;
      throw thrown;
    }
    return "taken";
  };

  test("what is no certificate or key is refused when the transport is made, and not shown", () => {
    const { ca, cert, key } = identityOf("a");
    const other = identityOf("b").key;
    const broken = key.toString().replace(/[A-Za-z]{8}/g, "secretss");
    expect(refuse({ ca, cert, key })).toBe("taken");
    expect(refuse({ ca, cert: "x", key })).toMatch(/BAD_OPTION: tls.cert is not a certificate/);
    expect(refuse({ ca: "x", cert, key })).toMatch(/BAD_OPTION: tls.ca is not certificates/);
    for (const wrong of [broken, other, cert, "secretss"]) {
      const text = refuse({ ca, cert, key: wrong });
      expect(text).toMatch(/BAD_OPTION: tls.key is not the key of that certificate/);
      expect(text).not.toMatch(/secretss/);
    }
    for (const wrong of [
      {},
      { ca, cert },
      { ca, key },
      { ca, cert, key: 3 },
      { ca: null, cert, key },
    ])
      expect(refuse(wrong)).toMatch(/BAD_OPTION: tls\.(ca|cert|key) must be text in PEM/);
    for (const wrong of ["x", null, false, 0, "", () => undefined])
      expect(refuse(wrong)).toMatch(/BAD_OPTION/);
  });

  test("what every peer would refuse is refused here", () => {
    const { ca, cert, key } = identityOf("a");
    expect(refuse({ ca: theirs.ca, cert, key })).toMatch(/not signed by an authority in tls\.ca/);
    const half = `${ca}${theirs.ca.slice(0, 300)}`;
    expect(refuse({ ca: half, cert, key })).toMatch(
      /tls\.ca is not certificates .* ends within one/,
    );
    expect(refuse({ ca: `${ca}${theirs.ca}`, cert, key })).toBe("taken");
    const process = ours.sign("p");
    const signed = ours.sign("a", { by: process });
    expect(refuse({ ca, cert: signed.cert, key: signed.key })).toMatch(
      /not signed by an authority/,
    );
  });

  test("bytes are taken as well as text", async () => {
    const { ca, cert, key } = identityOf("a");
    const bytes = (pem: string | Uint8Array) => new Uint8Array(Buffer.from(pem));
    const [a, b] = [
      await start("a", { tls: { ca: bytes(ca), cert: bytes(cert), key: bytes(key) } }),
      await start("b"),
    ];
    introduce(a, b);
    await reach(a, b);
  });

  test.each([
    ["of another process", () => ours.sign("c"), /a cannot show who it is: .* that of c/],
    ["expired", () => ours.sign("a", { days: [-9, -1] }), /a cannot show .* held until/],
    ["not valid yet", () => ours.sign("a", { days: [1, 9] }), /a cannot show .* holds only from/],
    ["for listeners", () => ours.sign("a", close), /a cannot show .* need clientAuth/],
    ["for mail", () => ours.sign("a", { usage: "emailProtection" }), /a cannot .* need clientAuth/],
  ])("a certificate %s is refused when it opens", async (_, make, words) => {
    const transport = tcpTransport({ tls: identity(make()) });
    await expect(TransportOwner.open("a", transport)).rejects.toThrow(words);
    await transport.close();
  });
});

describe("certificates are renewed in a running system", () => {
  test("new connections have the new one, on either side", async () => {
    let [forA, forB] = [identityOf("a"), identityOf("b")];
    const a = await start("a", { tls: () => forA });
    const b = await start("b", { tls: () => forB });
    introduce(a, b);
    await reach(a, b);
    const renewed = new Authority("renewed");
    open.push(() => renewed.close());
    forA = { ca: ours.ca + renewed.ca, ...renewed.sign("a") };
    forB = { ca: ours.ca + renewed.ca, ...renewed.sign("b") };
    // Whoever knows the new authority alone is a peer of both now.
    const c = await start("c", { tls: { ca: renewed.ca, ...renewed.sign("c") } });
    introduce(a, c);
    introduce(b, c);
    await reach(a, c);
    await reach(b, c);
    expect([...a.codes, ...b.codes, ...c.codes]).toEqual([]);
  });

  test("while they cannot be read those of before hold, and it is told", async () => {
    const before = identityOf("b");
    let read: () => TlsIdentity = () => before;
    const b = await start("b", { tls: () => read() });
    read = () => {
      throw new Error("EACCES: permission denied, open 'b.key'");
    };
    const a = await start("a");
    introduce(a, b);
    await reach(a, b);
    expect(b.codes).toEqual(["UNTRUSTED"]);
    expect(b.problems[0]?.message).toMatch(/cannot be read anew, .* before hold: EACCES/);
    // Whoever dials alone is told as well, and what is good but somebody else's is not taken.
    let [own, times] = [before, 0];
    const d = await start("a2", {
      tls: () => {
        times += 1;
        return times === 1 ? identityOf("a2") : own;
      },
    });
    own = identity(ours.sign("b", { days: [-9, -1] }));
    introduce(d, b);
    await reach(d, b);
    expect(d.codes).toEqual(["UNTRUSTED"]);
    expect(d.problems[0]?.message).toMatch(/cannot be read anew, .* before hold: a2 cannot show/);
    read = () => ({ ...before, key: identityOf("a").key });
    const c = await start("c");
    introduce(b, c);
    introduce(c, b);
    await reach(c, b);
  });
});

describe("what strangers do costs little", () => {
  test("who does not finish the handshake is cut off", async () => {
    const b = await start("b", { handshakeTimeoutMs: 100 });
    const silent = connect(portOf(b.address), "127.0.0.1");
    const told = new Told(silent);
    await vi.waitUntil(() => told.isOver, { timeout: 10_000 });
    await b.until(({ problems }) => problems.length > 0);
    const { socket } = pose(b, ours.sign("a"));
    await once(socket, "close");
  });

  test("of many who have not finished the oldest is cut", async () => {
    const b = await start("b", { handshakeTimeoutMs: 60_000 });
    const first = new Told(connect(portOf(b.address), "127.0.0.1"));
    const sockets = Array.from({ length: 300 }, () => connect(portOf(b.address), "127.0.0.1"));
    for (const socket of sockets) new Told(socket);
    await vi.waitUntil(() => first.isOver, { timeout: 10_000 });
    expect(b.codes).toContain("STRANGER");
    expect(b.problems.find(({ code }) => code === "STRANGER")?.message).toMatch(
      /more than 256 have not shown a certificate/,
    );
    const a = await start("a");
    introduce(a, b);
    await reach(a, b);
    for (const socket of sockets) socket.destroy();
  });

  test("whatever bytes come in, before the handshake or after, good peers are served", async () => {
    const b = await start("b", { handshakeTimeoutMs: 5_000 });
    const certificate = ours.sign("a");
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 3_000 }), { maxLength: 4 }),
        fc.constantFrom("", "\x16\x03\x01", "TIDEMARK\x01\0"),
        async (isIn, pieces, start) => {
          const socket = isIn
            ? tlsConnect({
                port: portOf(b.address),
                host: "127.0.0.1",
                ca: ours.ca,
                ...certificate,
                checkServerIdentity: () => undefined,
              })
            : connect(portOf(b.address), "127.0.0.1");
          socket.on("error", () => undefined);
          socket.resume();
          const over = once(socket, "close");
          socket.write(Buffer.from(start, "latin1"));
          for (const piece of pieces) socket.write(piece);
          socket.end();
          await over;
        },
      ),
      { numRuns: cases("tls-fuzz", 200, 20_000) },
    );
    fuzzed("TLS", cases("tls-fuzz", 200, 20_000));
    const a = await start("a");
    introduce(a, b);
    await reach(a, b);
    expect(b.log).toEqual(["up a 1"]);
  }, 3_600_000);
});
