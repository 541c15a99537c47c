import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { readShared } from "../../src/runtime/shared-read.ts";

test("what many send at once comes to each apart, whole and in order, and they can be answered", async () => {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (accepted) => {
    const parts: string[] = [];
    const socket = readShared(accepted, (bytes, length) =>
      parts.push(Buffer.from(bytes.subarray(0, length)).toString("latin1")),
    );
    socket.on("end", () => socket.end(parts.join("")));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const heard = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      let text = "";
      client.setEncoding("latin1").on("data", (part) => {
        text += part;
      });
      for (let at = 0; at < 200; at += 1) {
        client.write(`${i}:${at}${String(i).repeat(at)};`);
        if (at % 10 === 0) await nextTurn();
      }
      client.end();
      await once(client, "end");
      return text;
    }),
  );
  const wanted = heard.map((_, i) =>
    Array.from({ length: 200 }, (_, at) => `${i}:${at}${String(i).repeat(at)};`).join(""),
  );
  expect(heard).toEqual(wanted);
});

test("a socket that pauses is not read from until it goes on", async () => {
  const sockets: Socket[] = [];
  let read = 0;
  const server = createServer({ pauseOnConnect: true }, (accepted) => {
    const socket = readShared(accepted, (_, length) => {
      read += length;
    });
    sockets.push(socket.pause());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  onTestFinished(() => void client.destroy());
  await once(client, "connect");
  while (sockets.length === 0) await nextTurn();
  client.write("1234");
  for (let i = 0; i < 50; i += 1) await nextTurn();
  expect(read).toBe(0);
  sockets[0]?.resume();
  while (read < 4) await nextTurn();
  sockets[0]?.destroy();
});

test("a socket without a handle of Node's own is read from like all others", async () => {
  const plain = new PassThrough();
  const parts: string[] = [];
  const socket = readShared(plain as unknown as Socket, (bytes, length) =>
    parts.push(Buffer.from(bytes.subarray(0, length)).toString()),
  );
  expect(socket).toBe(plain);
  plain.write("some");
  plain.end("thing");
  await once(plain, "end");
  expect(parts.join("")).toBe("something");
});
