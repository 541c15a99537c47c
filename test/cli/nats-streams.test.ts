// `tidemark nats`: an application whose only channels are streams is recorded, looked at, restored, and recorded in positions alone.
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { describe, expect, onTestFinished, test } from "vitest";
import { type RunningNatsProcess, startNatsProcess } from "../../src/nats/nats-process.ts";
import {
  type Account,
  beginTransfers,
  NEW,
  receiveTransfer,
  type Transfer,
} from "../nats/stream-bank.ts";
import { lacksNats, NatsServer } from "../nats/support.ts";
import { type Ended, temporaryDirectory, tidemark } from "./support/command.ts";

const SECRET = "s3cret-of-streams";
const ACCOUNTS = ["p1", "p2"];
const STREAMS = ["east", "west"];

describe.skipIf(lacksNats)("tidemark nats", () => {
  test("a snapshot, what commands make of it, a restore, and positions", {
    timeout: 120_000,
  }, async () => {
    const server = await NatsServer.start(
      `authorization { users: [ { user: shop, password: "${SECRET}" } ] }\n`,
    );
    onTestFinished(() => server.stop());
    const servers = `nats://shop:${SECRET}@127.0.0.1:${server.port}`;
    const running: RunningNatsProcess<Account>[] = [];
    const start = async (id: string): Promise<void> => {
      const one = await startNatsProcess<Account, Transfer>({
        ...{ servers, id, prefix: "shop", reads: STREAMS, writes: STREAMS, initial: NEW },
        receive: receiveTransfer(ACCOUNTS, STREAMS),
      });
      onTestFinished(() => one.stop());
      await one.turn((state, turn) => beginTransfers(state, turn, ACCOUNTS, STREAMS, 10));
      running.push(one);
    };
    const outputs: Ended[] = [];
    const run = async (...args: string[]): Promise<Ended> => {
      const ended = await tidemark([...args, "--nats-prefix", "shop"], { TIDEMARK_NATS: servers });
      outputs.push(ended);
      return ended;
    };
    const streams = ["--streams", STREAMS.join(",")];

    const connection = await connect({ servers: server.url, user: "shop", pass: SECRET });
    const manager = await jetstreamManager(connection);
    for (const name of STREAMS) await manager.streams.add({ name, subjects: [`${name}.>`] });
    await manager.consumers.add("east", { durable_name: "others" });
    await connection.close();

    const nobody = await run("nats", "snapshot", ...streams);
    expect([nobody.status, nobody.stderr]).toEqual([
      1,
      expect.stringContaining("no process with the prefix shop uses streams here"),
    ]);
    for (const id of ACCOUNTS) await start(id);
    const taken = await run("nats", "snapshot", ...streams, "--label", "good", "--json");
    expect([taken.status, taken.stderr]).toEqual([0, ""]);
    const { snapshot, ...told } = JSON.parse(taken.stdout);
    expect(told).toEqual({
      ...{ streams: STREAMS, processes: 2, consistent: true },
      ...{ messagesInFlight: expect.any(Number), cutMs: expect.any(Number) },
    });
    const second = await run("nats", "snapshot", ...streams);
    expect(second.stdout).toMatch(
      /^p1\/2 is consistent: 2 processes, 2 streams, [0-9,]+ messages in flight, [0-9.]+ m?s\n$/,
    );
    expect((await run("verify", "--nats")).stdout).toContain("2 snapshots proven");
    expect((await run("show", "good", "--nats")).stdout).toContain("stream.east");
    expect((await run("snapshots", "--nats", "--json")).stdout).toContain('"label":"good"');
    const directory = temporaryDirectory();
    const beside = await run("nats", "snapshot", ...streams, "--dir", directory);
    expect(beside.status).toBe(0);
    expect((await tidemark(["verify", directory])).stdout).toContain("1 snapshot proven");

    const restored = await run("nats", "restore", "good", "--json");
    expect(JSON.parse(restored.stdout)).toEqual({ snapshot, epoch: 2 });
    for (const one of running.splice(0))
      await expect(one.ended).rejects.toMatchObject({ code: "RESTORED" });
    const unfit = await run("nats", "restore", "good", "--dir", directory);
    expect([unfit.status, unfit.stderr]).toEqual([1, expect.stringContaining("no snapshot in")]);

    const late = await run("nats", "snapshot", ...streams, "--timeout", "500ms");
    expect([late.status, late.stderr]).toEqual([
      1,
      expect.stringContaining("p1, p2 did not record within 500 ms"),
    ]);
    const looked = await run("nats", "snapshot", ...streams, "--read-only");
    expect(looked.status).toBe(0);
    expect(looked.stdout).toContain("These positions are of one moment: 2 rounds");
    expect(looked.stdout).toContain("others");
    expect(looked.stdout).toContain("No state of any process is recorded");
    const lines = JSON.parse(
      (await run("nats", "snapshot", ...streams, "--read-only", "--json")).stdout,
    );
    expect(lines).toMatchObject({
      atOnce: true,
      rounds: [{}, {}],
      notProven: [expect.any(String)],
    });

    await start("p1");
    await start("p2");
    expect((await run("nats", "snapshot", ...streams)).status).toBe(0);
    for (const one of running) await one.stop();
    expect((await run("nats", "forget", "p2")).stdout).toContain("p2 is no part of shop on NATS");
    expect((await run("nats", "forget", "p2")).status).toBe(2);

    for (const [args, what] of [
      [["nats", "snapshot"], "--streams"],
      [["nats", "snapshot", "--streams", "a b"], "Use names of streams"],
      [["nats", "snapshot", "--streams", "east"], "p1 uses the stream west as well"],
      [["nats", "snapshot", ...streams, "--read-only", "--label", "x"], "--label cannot go with"],
      [["nats", "snapshot", ...streams, "--key-file", "x"], "--key-file goes with --dir"],
    ] as const) {
      const wrong = await run(...args);
      expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringContaining(what)]);
    }
    const none = await run("nats", "snapshot", "--streams", "north", "--read-only");
    expect([none.status, none.stderr]).toEqual([1, expect.stringContaining("no stream north")]);
    for (const { stdout, stderr } of outputs) expect(stdout + stderr).not.toContain(SECRET);
  });
});
