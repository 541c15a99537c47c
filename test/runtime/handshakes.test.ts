// Which plain socket an encrypted one stands on, whoever comes and goes meanwhile.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createServer as createSecured, connect as secure, type TLSSocket } from "node:tls";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { Handshakes } from "../../src/runtime/handshakes.ts";
import { lacksOpenssl, newAuthority, serverCertificate } from "../serve/certified.ts";

/** A socket as far as it is looked at here. */
class Ends {
  readonly heard: (() => void)[] = [];
  destroyed = false;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined = "127.0.0.1";
  readonly localPort: number | undefined;

  constructor(remotePort?: number, localPort = 1) {
    this.remoteAddress = remotePort === undefined ? undefined : "127.0.0.1";
    this.remotePort = remotePort;
    this.localPort = localPort;
  }

  once(_: "close", hear: () => void): void {
    this.heard.push(hear);
  }

  close(): void {
    for (const hear of this.heard) hear();
  }

  destroy(): void {
    this.destroyed = true;
  }
}

const plain = (ends: Ends): Socket => ends as unknown as Socket;
const encrypted = (ends: Ends): TLSSocket => ends as unknown as TLSSocket;

test("the socket below has the same ends, and no other has", () => {
  const handshakes = new Handshakes();
  const [first, second, third] = [new Ends(7), new Ends(8), new Ends(7, 2)];
  for (const socket of [first, second, third]) handshakes.begin(plain(socket));
  expect(handshakes.size).toBe(3);
  expect(handshakes.under(encrypted(new Ends(7, 2)))).toBe(third);
  expect(handshakes.under(encrypted(new Ends(9)))).toBeUndefined();
  handshakes.done(encrypted(new Ends(7)));
  expect(handshakes.oldest).toBe(second);
  // Done is done: its end is nobody else's.
  first.close();
  expect(handshakes.size).toBe(2);
  second.close();
  expect(handshakes.oldest).toBe(third);
});

test("who takes the place of one that is not closed yet is the youngest, and stays", () => {
  const handshakes = new Handshakes();
  const [first, second, again] = [new Ends(7), new Ends(8), new Ends(7)];
  for (const socket of [first, second, again]) handshakes.begin(plain(socket));
  expect(handshakes.size).toBe(2);
  expect(handshakes.oldest).toBe(second);
  first.close();
  expect(handshakes.under(encrypted(new Ends(7)))).toBe(again);
});

test("those without ends are counted, each for itself, and forgotten", () => {
  const handshakes = new Handshakes();
  const [gone, left] = [new Ends(), new Ends()];
  for (const socket of [gone, left]) handshakes.begin(plain(socket));
  expect(handshakes.size).toBe(2);
  expect(handshakes.under(encrypted(new Ends()))).toBeUndefined();
  handshakes.done(encrypted(new Ends()));
  expect(handshakes.size).toBe(2);
  gone.close();
  handshakes.end();
  expect([gone.destroyed, left.destroyed]).toEqual([false, true]);
});

describe.skipIf(lacksOpenssl)("with sockets of Node", () => {
  test("who is done is not counted any more, and who has only begun is", async () => {
    const authority = newAuthority();
    const { cert, key } = serverCertificate(authority);
    const handshakes = new Handshakes();
    const tls = createSecured({ cert, key });
    tls.on("secureConnection", (socket) => {
      handshakes.done(socket);
      socket.on("error", () => {});
    });
    tls.on("tlsClientError", (_, socket) => socket.destroy());
    const net = createServer((socket) => {
      handshakes.begin(socket);
      socket.on("error", () => {});
      tls.emit("connection", socket);
    });
    net.listen(0, "127.0.0.1");
    onTestFinished(() => void net.close());
    await once(net, "listening");
    const { port } = net.address() as AddressInfo;
    const begun = Array.from({ length: 5 }, () => connect(port, "127.0.0.1"));
    const done = Array.from({ length: 5 }, () =>
      secure({ port, host: "127.0.0.1", ca: authority.ca, servername: "localhost" }),
    );
    onTestFinished(() => {
      for (const socket of [...begun, ...done]) socket.destroy();
    });
    await Promise.all(done.map((socket) => once(socket, "secureConnect")));
    await vi.waitUntil(() => handshakes.size === 5, { timeout: 20_000 });
    for (const socket of done) socket.destroy();
    handshakes.end();
    await vi.waitUntil(() => handshakes.size === 0, { timeout: 20_000 });
  });
});
