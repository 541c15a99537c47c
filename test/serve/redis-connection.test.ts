import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { plainReplies } from "../../src/kv/reply-reader.ts";
import { RedisConnection } from "../../src/serve/redis-connection.ts";

/** A server that answers each connection so, and the port. */
async function serverThat(answers: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    answers(socket);
  }).listen(0, "127.0.0.1");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await once(server, "listening");
  return (server.address() as { port: number }).port;
}

const open = (port: number): Promise<unknown> =>
  RedisConnection.openAs(
    { host: "127.0.0.1", port, password: "p" },
    { form: plainReplies, openMs: 100 },
  );

test("opening ends with words, whatever the server does", async () => {
  await expect(open(await serverThat(() => {}))).rejects.toMatchObject({
    code: "PEER_UNREACHABLE",
    message: expect.stringMatching(/does not answer: not within 0.1 s/),
  });
  await expect(open(await serverThat((socket) => socket.end()))).rejects.toMatchObject({
    code: "PEER_UNREACHABLE",
    message: expect.stringMatching(/closed the connection/),
  });
  const refuses = await serverThat((socket) =>
    socket.on("data", () => socket.write("-WRONGPASS no\r\n")),
  );
  await expect(open(refuses)).rejects.toMatchObject({
    code: "HANDSHAKE_REFUSED",
    message: expect.stringMatching(/WRONGPASS no/),
  });
});
