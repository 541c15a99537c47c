/**
 * The raw limit: one member of a mesh that does with plain sockets what a Tidemark process does with channels, and
 * nothing else: length-prefixed messages in 64 KiB batches, written when the sockets have room, parsed and counted.
 * No sequence numbers, acknowledgements, hashes, snapshots or application.
 *
 * With the word `relay` it is the raw limit of a sequencer: everyone sends to p1, which passes all on to everybody, the sender too.
 * With `stamps` a mesh whose batches each begin with a number for every member. With `tls` and a folder of certificates the sockets are of TLS,
 * and each side looks at the other's certificate.
 */

import { readFileSync } from "node:fs";
import { createServer, connect as dial, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer, connect as dialTls } from "node:tls";
import { type MemberOrder, serveMember } from "./member.ts";

const BATCH_BYTES = 64 * 1024;

const relays = process.argv[2] === "relay";
const isTls = process.argv[2] === "tls";
const stampBytes = process.argv[2] === "stamps" ? 3 * 8 : 0;
const sockets: Socket[] = [];
let self = "";
let received = 0;
let onMessage: (body: Buffer) => void = () => {};

/** Cuts messages out of a stream, without copying those that lie in one chunk. */
function readMessages(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    while (at + 4 <= bytes.length) {
      const end = at + 4 + view.getUint32(at, true);
      if (end > bytes.length) break;
      if (!relays || bytes[at + 4] !== numberOf(self)) received += 1;
      if (answering) onMessage(bytes.subarray(at + 4, end));
      at = end;
    }
    if (relays && self === "p1" && at > 0) {
      for (const one of sockets) one.write(bytes.subarray(0, at));
      hold(socket);
    }
    rest = bytes.subarray(at);
  });
}

/** What a member shows, and believes. */
function pemOf(id: string) {
  const pem = (name: string) => readFileSync(join(process.argv[3] ?? "", name));
  return {
    ...{ ca: pem("ca.pem"), cert: pem(`${id}.pem`), key: pem(`${id}.key`) },
    ...({
      requestCert: true,
      minVersion: "TLSv1.3",
      checkServerIdentity: () => undefined,
    } as const),
  };
}

const numberOf = (id: string): number => Number(id.slice(1));

/** Reads no more from a socket until all have taken what was passed on to them. */
function hold(socket: Socket): void {
  const slow = sockets.find((one) => one.writableNeedDrain);
  if (!slow) {
    socket.resume();
    return;
  }
  socket.pause();
  slow.once("drain", () => hold(socket));
}

let answering = false;

function adopt(socket: Socket): void {
  socket.setNoDelay(true);
  sockets.push(socket);
  readMessages(socket);
  socket.on("error", () => {});
}

/** Fills one batch with copies of the message and writes it to every peer, as long as all have room. */
function flood(message: Uint8Array): void {
  const fill = (): void => {
    for (let i = 0; i < 4; i += 1) {
      if (sockets.some((socket) => socket.writableNeedDrain)) return;
      const batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
      const view = new DataView(batch.buffer);
      let at = 0;
      if (relays) message[0] = numberOf(self);
      if (stampBytes > 0) {
        view.setUint32(0, stampBytes, true);
        at += 4 + stampBytes;
      }
      while (at + 4 + message.length <= BATCH_BYTES) {
        view.setUint32(at, message.length, true);
        batch.set(message, at + 4);
        at += 4 + message.length;
      }
      for (const socket of sockets) socket.write(batch.subarray(0, at));
    }
    setImmediate(fill);
  };
  for (const socket of sockets) socket.on("drain", fill);
  fill();
}

serveMember({
  async open(id) {
    self = id;
    const server = isTls ? createTlsServer(pemOf(id), adopt) : createServer(adopt);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    return typeof address === "object" && address ? `127.0.0.1:${address.port}` : "";
  },
  async connect(order: MemberOrder) {
    const wanted = relays && self !== "p1" ? 1 : Object.keys(order.addresses).length - 1;
    for (const [id, address] of Object.entries(order.addresses)) {
      if (id <= order.self || (relays && self !== "p1")) continue;
      const [host, port] = address.split(":");
      const socket = isTls
        ? dialTls({ port: Number(port), host: String(host), ...pemOf(order.self) })
        : dial(Number(port), host);
      await new Promise((resolve) => socket.once(isTls ? "secureConnect" : "connect", resolve));
      adopt(socket);
    }
    while (sockets.length < wanted) await new Promise((resolve) => setTimeout(resolve, 5));
  },
  flood,
  received: () => received,
  send(message) {
    const frame = Buffer.allocUnsafe(4 + message.length);
    frame.writeUInt32LE(message.length, 0);
    frame.set(message, 4);
    for (const socket of sockets) socket.write(frame);
  },
  listen(listener) {
    answering = true;
    onMessage = listener;
  },
  snapshot: () => Promise.reject(new Error("the raw member takes no snapshots")),
});
