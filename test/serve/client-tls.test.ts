/** Clients that speak TLS, and those that should and do not. */

import { spawnSync } from "node:child_process";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectSecured, type TLSSocket } from "node:tls";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { describe, expect, onTestFinished, test } from "vitest";
import { isTidemarkError } from "../../src/index.ts";
import { ClientTls, readClientTls } from "../../src/serve/client-tls.ts";
import { until } from "../cli/support/command.ts";
import {
  directoryOf,
  directoryWith,
  lacksOpenssl,
  newAuthority,
  serverCertificate,
} from "./certified.ts";
import { lacksRedis } from "./redis.ts";
import { type StoreMember, startStore, TestClient } from "./store.ts";

async function startSecured(directory: string, settings = {}): Promise<StoreMember> {
  const [member] = await startStore(1, settings, {}, { clientTls: directory });
  return member ?? expect.fail("there is one");
}

/** What becomes of a connection: that it is encrypted and answered, or why not. */
function outcome(port: number, options: ConnectionOptions): Promise<string> {
  const socket = connectSecured({ port, host: "127.0.0.1", ...options });
  onTestFinished(() => {
    socket.destroy();
  });
  return new Promise((resolve) => {
    let problem = "closed";
    socket.on("secureConnect", () => socket.write("PING\r\n"));
    socket.on("data", (bytes) => resolve(bytes.toString("latin1")));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      problem = error.code ?? error.message;
    });
    socket.on("close", () => resolve(problem));
  });
}

const statOf = async (client: TestClient, name: string): Promise<string | undefined> =>
  new RegExp(`${name}:(.*)\r`).exec(String(await client.ask("INFO")))?.[1];

/** Warnings of this process, while the test runs. */
function warnings(): string[] {
  const heard: string[] = [];
  const hear = ({ message }: Error): void => void heard.push(message);
  process.on("warning", hear);
  onTestFinished(() => {
    process.off("warning", hear);
  });
  return heard;
}

describe.skipIf(lacksOpenssl)("a store with a certificate", () => {
  test.skipIf(lacksRedis)("serves redis-cli, ioredis and redis, which show theirs", async () => {
    const authority = newAuthority();
    const own = authority.sign("client", { usage: "clientAuth" });
    const server = serverCertificate(authority);
    const { server: store } = await startSecured(directoryOf(server, authority.ca));
    const files = directoryWith({ cert: own.cert, key: own.key, ca: authority.ca });
    // It waits for its answer: not in this process.
    const cli = async (...words: readonly string[]): Promise<string> => {
      const { spawn } = await import("node:child_process");
      const at = ["-p", String(store.port), "--tls", "--cacert", join(files, "ca")];
      const child = spawn("redis-cli", [...at, ...words], { timeout: 20_000 });
      let said = "";
      child.stdout.on("data", (text) => (said += text));
      child.stderr.on("data", (text) => (said += text));
      await new Promise((resolve) => child.on("close", resolve));
      return said;
    };
    const shown = ["--cert", join(files, "cert"), "--key", join(files, "key")];
    expect(await cli(...shown, "SET", "from", "redis-cli")).toBe("OK\n");
    expect(await cli("GET", "from")).not.toContain("redis-cli\n");

    const tls = { ca: authority.ca, cert: own.cert, key: own.key };
    const ioredis = new Redis(store.port, "127.0.0.1", { tls });
    onTestFinished(() => ioredis.disconnect());
    expect(await ioredis.get("from")).toBe("redis-cli");
    const big = "x".repeat(300_000);
    expect(await ioredis.set("big", big)).toBe("OK");
    expect(await ioredis.get("big")).toBe(big);
    const listener = ioredis.duplicate();
    onTestFinished(() => listener.disconnect());
    const heard = new Promise((resolve) => listener.on("message", (...all) => resolve(all)));
    await listener.subscribe("news");
    await ioredis.publish("news", "hello");
    expect(await heard).toEqual(["news", "hello"]);

    const redis = createClient({
      socket: { host: "127.0.0.1", port: store.port, tls: true, ...tls },
    });
    redis.on("error", () => {});
    onTestFinished(() => redis.destroy());
    await redis.connect();
    expect(await redis.get("from")).toBe("redis-cli");
    expect(await redis.multi().incr("n").incr("n").exec()).toEqual([1, 2]);
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)("takes %s", async (version) => {
    const authority = newAuthority();
    const { server } = await startSecured(directoryOf(serverCertificate(authority)));
    const client = new TestClient(server.port, {
      ...{ ca: authority.ca, minVersion: version, maxVersion: version },
    });
    expect(await client.ask("SET", "a", "1")).toBe("+OK");
    expect((client.socket as TLSSocket).getProtocol()).toBe(version);
    expect(await statOf(client, "tidemark_tls")).toBe("yes");
    expect(await client.ask("QUIT")).toBe("+OK");
    await client.closed;
  });

  test("refuses who does not fit, says why once, and counts the others", async () => {
    const authority = newAuthority();
    const stranger = newAuthority("stranger");
    const heard = warnings();
    const server = serverCertificate(authority);
    const { server: store } = await startSecured(directoryOf(server, authority.ca));
    const { port } = store;
    const good = authority.sign("client", { usage: "clientAuth" });
    const ca = authority.ca;
    expect(await outcome(port, { ca, ...good })).toBe("+PONG\r\n");
    const asked = async (what: string, options: ConnectionOptions, refused: RegExp) =>
      expect(await outcome(port, { ca, ...options }), what).toMatch(refused);
    for (let i = 0; i < 2; i += 1) {
      await asked("none", {}, /CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|ECONNRESET|closed/);
      await asked("of a stranger", stranger.sign("client"), /ECONNRESET|closed/);
      const over = authority.sign("client", { days: [-3, -1] });
      await asked("that is over", over, /ECONNRESET|closed/);
      const early = authority.sign("client", { days: [1, 3] });
      await asked("that is not valid yet", early, /ECONNRESET|closed/);
      const servers = authority.sign("client", { usage: "serverAuth" });
      await asked("for another purpose", servers, /ECONNRESET|closed|UNSUPPORTED_CERTIFICATE/);
      const old = { ...good, minVersion: "TLSv1.1", maxVersion: "TLSv1.1" } as const;
      const ciphers = "DEFAULT:@SECLEVEL=0";
      await asked(
        "an old version",
        { ...old, ciphers },
        /PROTOCOL_VERSION|UNSUPPORTED|VERSION|ECONN/,
      );
      await asked(
        "who trusts others",
        { ...good, ca: stranger.ca },
        /SELF_SIGNED|UNABLE_TO|SIGNATURE/,
      );
      const plain = new TestClient(port);
      plain.send("PING");
      await plain.closed;
    }
    const client = new TestClient(port, { ca, ...good });
    await until("all are counted", async () =>
      /plain=2/.test((await statOf(client, "tidemark_tls_refused")) ?? ""),
    );
    const counts = await statOf(client, "tidemark_tls_refused");
    expect(counts?.split(",").sort()).toEqual(["nameless=2", "old=2", "plain=2", "unknown=8"]);
    expect(heard.filter((one) => one.startsWith("a client was refused"))).toHaveLength(4);
    expect(heard.join("\n")).toContain("not TLS");
    // A client that does not trust the server says so or just goes, depending on the version.
    expect(await outcome(port, { ca, ...good })).toBe("+PONG\r\n");
  });

  test("is left by who vanishes in the handshake, and goes on", async () => {
    const authority = newAuthority();
    const { server } = await startSecured(directoryOf(serverCertificate(authority)));
    const client = new TestClient(server.port, { ca: authority.ca });
    const vanishing = Array.from({ length: 20 }, (_, i) => {
      const socket = connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      // The beginning of a record of a handshake, or nothing at all.
      if (i % 2 === 0) socket.write(Buffer.from([22, 3, 1, 2, 0, 1, 0]));
      return socket;
    });
    await until(
      "they have begun",
      async () => (await statOf(client, "tidemark_tls_handshakes")) === "20",
    );
    for (const [i, socket] of vanishing.entries()) {
      if (i % 3 === 0) socket.resetAndDestroy();
      else socket.destroy();
    }
    await until(
      "they are gone",
      async () => (await statOf(client, "tidemark_tls_handshakes")) === "0",
    );
    expect(await client.ask("PING")).toBe("+PONG");
  });

  test("counts who has only begun as a client", async () => {
    const authority = newAuthority();
    const { server } = await startSecured(directoryOf(serverCertificate(authority)), {
      maxclients: "3",
    });
    const client = new TestClient(server.port, { ca: authority.ca });
    expect(await client.ask("PING")).toBe("+PONG");
    const begun = [0, 1].map(() => connect(server.port, "127.0.0.1"));
    await until(
      "they have begun",
      async () => (await statOf(client, "tidemark_tls_handshakes")) === "2",
    );
    expect(await outcome(server.port, { ca: authority.ca })).toMatch(/ECONNRESET|closed/);
    for (const socket of begun) socket.destroy();
    await until(
      "there is room again",
      async () => (await outcome(server.port, { ca: authority.ca })) === "+PONG\r\n",
    );
  });

  test("sends what it says at once in few records", async () => {
    const authority = newAuthority();
    const { server } = await startSecured(directoryOf(serverCertificate(authority)));
    const raw = connect(server.port, "127.0.0.1");
    onTestFinished(() => {
      raw.destroy();
    });
    const client = new TestClient(0, { socket: raw, ca: authority.ca, servername: "localhost" });
    await client.ask("HELLO", "3");
    await client.ask("SUBSCRIBE", "news");
    const before = raw.bytesRead;
    const many = 500;
    // Each is answered, and told to who asked: parts of two outputs in turn.
    client.write("PUBLISH news x\r\n".repeat(many));
    const heard = new Map<string, number>();
    for (let i = 0; i < 2 * many; i += 1) {
      const one = JSON.stringify(await client.next());
      heard.set(one, (heard.get(one) ?? 0) + 1);
    }
    expect([...heard.values()]).toEqual([many, many]);
    const told = ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n";
    const said = many * (":1\r\n".length + told.length);
    // Each record has at least 22 bytes of its own.
    expect(raw.bytesRead - before - said).toBeLessThan(40 * 22);
  });

  test("does not pile up what a client does not read, and gives it all when it does", async () => {
    const authority = newAuthority();
    const { server } = await startSecured(directoryOf(serverCertificate(authority)));
    const other = new TestClient(server.port, { ca: authority.ca });
    const value = "x".repeat(300_000);
    expect(await other.ask("SET", "big", value)).toBe("+OK");
    const slow = connectSecured({ port: server.port, host: "127.0.0.1", ca: authority.ca });
    slow.on("error", () => {});
    onTestFinished(() => {
      slow.destroy();
    });
    const many = 100;
    slow.write("CLIENT SETNAME slow\r\n".concat("GET big\r\n".repeat(many)));
    slow.pause();
    const waiting = async (): Promise<number> =>
      Number(/name=slow .* omem=(\d+)/.exec(String(await other.ask("CLIENT", "LIST")))?.[1] ?? 0);
    await until("something waits for it", async () => (await waiting()) > value.length);
    expect(await waiting()).toBeLessThan(4_000_000);
    let bytes = 0;
    slow.on("data", (some) => {
      bytes += some.length;
    });
    slow.resume();
    const all = "+OK\r\n".length + many * (value.length + "$300000\r\n\r\n".length);
    await until("it has all of it", () => bytes === all);
    expect(await waiting()).toBe(0);
  });

  test("is not talked to by who speaks TLS to one that does not", async () => {
    const [member] = await startStore(1);
    const { port = 0 } = member?.server ?? {};
    const client = new TestClient(port);
    const said = await outcome(port, { rejectUnauthorized: false });
    expect(said).not.toBe("+PONG\r\n");
    expect(await client.ask("PING")).toBe("+PONG");
  });

  test("ends also while somebody shakes hands", async () => {
    const authority = newAuthority();
    const { server } = await startSecured(directoryOf(serverCertificate(authority)));
    const begun = connect(server.port, "127.0.0.1");
    begun.on("error", () => {});
    await new Promise((resolve) => begun.on("connect", resolve));
    const over = new Promise((resolve) => begun.on("close", resolve));
    await server.close();
    await over;
  });
});

describe.skipIf(lacksOpenssl)("a handshake", () => {
  test.each(["nothing", "half of it"])("is cut off after %s", async (what) => {
    const authority = newAuthority();
    const problems: string[] = [];
    const tls = new ClientTls(directoryOf(serverCertificate(authority)), {
      ...{ secured: () => expect.fail("it was not done"), handshakeMs: 100 },
      problem: (reason) => void problems.push(reason),
    });
    const net = createServer((socket: Socket) => tls.accept(socket));
    await new Promise<void>((resolve) => net.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      net.close();
    });
    const address = net.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const client = connect(port, "127.0.0.1");
    client.on("error", () => {});
    if (what !== "nothing") client.write(Buffer.from([22, 3, 1, 2, 0, 1, 0]));
    await new Promise((resolve) => client.on("close", resolve));
    await until("it is forgotten", () => tls.handshakes === 0);
    expect(tls.refusals).toBe("silent=1");
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain("did not finish its handshake in time");
  });
});

describe.skipIf(lacksOpenssl)("a directory", () => {
  const problemOf = (files: Readonly<Record<string, string>>): string => {
    try {
      readClientTls(directoryWith(files));
    } catch (thrown) {
      if (isTidemarkError(thrown, "BAD_OPTION")) return thrown.message;
      throw thrown;
    }
    return expect.fail("it was taken");
  };

  test("without what is needed is refused, with what is wrong", () => {
    const authority = newAuthority();
    const { cert, key } = serverCertificate(authority);
    const other = authority.sign("other");
    expect(problemOf({})).toContain("cert.pem cannot be read");
    expect(problemOf({ "cert.pem": cert })).toContain("key.pem cannot be read");
    expect(problemOf({ "cert.pem": "x", "key.pem": key })).toContain("cert.pem cannot be used");
    expect(problemOf({ "cert.pem": cert, "key.pem": "x" })).toContain("key.pem cannot be used");
    expect(problemOf({ "cert.pem": cert, "key.pem": other.key })).toContain("is not the key of");
    expect(problemOf({ "cert.pem": cert, "key.pem": key, "ca.pem": "x" })).toContain(
      "ca.pem cannot",
    );
  });
});

test("openssl is there where tests must not be left out", () => {
  expect(lacksOpenssl || spawnSync("openssl", ["version"]).status === 0).toBe(true);
});
