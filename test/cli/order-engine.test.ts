// `--order-engine` of a store on several machines: whoever dies, the others go on, if a stream of NATS gives the order.
import { describe, expect, onTestFinished, test } from "vitest";
import { lacksNats, NatsServer } from "../nats/support.ts";
import type { TestClient } from "../serve/store.ts";
import { freePorts } from "../support/ports.ts";
import { parseLines, Started, temporaryDirectory, tidemark, until } from "./support/command.ts";
import { clientWhenServed } from "./support/store-clients.ts";

const NAMES = ["a", "b", "c"];
const PEERS = (id: string): string[] =>
  NAMES.flatMap((name) => (name === id ? [] : ["--peer", name]));

async function asked(client: TestClient, ...request: string[]): Promise<string> {
  return String(await client.ask(...request));
}

describe("who gives the order", () => {
  test.skipIf(lacksNats)(
    "a stream: the first process dies, the others write on; it comes back with all, and a restore takes all back",
    { timeout: 120_000 },
    async () => {
      const server = await NatsServer.start();
      onTestFinished(() => server.stop());
      const port = await freePorts(3);
      const start = (id: string): Started => {
        const where = ["--port", String(port + NAMES.indexOf(id)), "--dir", dirs.get(id) as string];
        const nats = ["--nats", server.url, "--order-engine", "jetstream", "--log", "always"];
        const words = ["kv", "--join", id, ...PEERS(id), ...where, ...nats, "--json"];
        return new Started(words, {}, "ignore", 100_000);
      };
      const dirs = new Map(NAMES.map((id) => [id, temporaryDirectory()]));
      const processes = new Map(NAMES.map((id) => [id, start(id)]));
      const [a, b, c] = (await Promise.all(NAMES.map((_, i) => clientWhenServed(port + i)))) as [
        TestClient,
        TestClient,
        TestClient,
      ];
      for (const client of [a, b, c]) expect(await asked(client, "INCR", "n")).toMatch(/^:/);
      expect(await asked(b, "GET", "n")).toMatch(/^\$[23]$/);
      const id = (await asked(c, "TIDEMARK", "SNAPSHOT")).slice(1);

      // With what started it, so that nobody starts it again.
      const first = processes.get("a") as Started;
      const [{ pid }] = parseLines((await first.lines(1)).join("\n"));
      first.child.kill("SIGKILL");
      process.kill(pid, "SIGKILL");
      await first.ended;
      for (let i = 4; i <= 50; i += 1)
        expect(await asked(i % 2 === 0 ? b : c, "INCR", "n")).toBe(`:${i}`);

      processes.set("a", start("a"));
      const again = await clientWhenServed(port);
      await until(
        "a to have what it missed",
        async () => (await asked(again, "GET", "n")) === "$50",
      );
      expect(await asked(again, "INCR", "n")).toBe(":51");

      await asked(again, "TIDEMARK", "RESTORE", id);
      for (const i of NAMES.keys()) {
        const client = await clientWhenServed(port + i);
        await until("all to be back", async () => (await asked(client, "GET", "n")) === "$3");
      }
      expect(await asked(await clientWhenServed(port + 1), "INCR", "n")).toBe(":4");
      for (const one of processes.values()) one.child.kill("SIGTERM");
      for (const one of processes.values()) expect((await one.ended).status).toBe(0);
    },
  );

  test("what does not fit is refused before anything is started", async () => {
    for (const [words, reason] of [
      [["--order-engine", "jetstream"], "is for --join with --nats"],
      [
        [
          "--join",
          "a",
          "--listen",
          "127.0.0.1:1",
          "--peer",
          "b=127.0.0.1:2",
          "--order-engine",
          "jetstream",
        ],
        "needs --nats",
      ],
      [["--order-engine", "paxos"], "Allowed choices are sequencer, agreed, jetstream"],
    ] as const) {
      const { status, stderr } = await tidemark(["kv", ...words]);
      expect([status, stderr]).toEqual([2, expect.stringContaining(reason)]);
    }
  });
});
