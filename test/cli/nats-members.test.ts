// Members of a store on several machines: who differs is refused, who is there is listed, and the configuration is changed on purpose.
import { writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Membership } from "../../src/nats/members.ts";
import { lacksNats, NatsServer } from "../nats/support.ts";
import { freePorts } from "../support/ports.ts";
import {
  type Ended,
  packageVersion,
  parseLines,
  Started,
  temporaryDirectory,
  tidemark,
  until,
} from "./support/command.ts";
import { joined, NAMES, namesWithout, served } from "./support/joined.ts";

const SECRET = "s3cret-of-members";

describe.skipIf(lacksNats)("tidemark nats members", () => {
  test("of three processes: others that differ, two of one name, deaths, a server that is restarted, and a change", {
    timeout: 240_000,
  }, async () => {
    const server = await NatsServer.start(
      `authorization { users: [ { user: shop, password: "${SECRET}" } ] }\n`,
    );
    onTestFinished(() => server.stop());
    const env = { TIDEMARK_NATS: `nats://shop:${SECRET}@127.0.0.1:${server.port}` };
    const nats = ["--nats", "--nats-prefix", "shop"];
    const where = `shop on NATS at 127.0.0.1:${server.port}`;
    const outputs: Ended[] = [];
    const run = async (...more: string[]): Promise<Ended> => {
      const ended = await tidemark(["nats", "members", ...more, "--nats-prefix", "shop"], env);
      outputs.push(ended);
      return ended;
    };
    const states = async (): Promise<Record<string, string>> => {
      const { stdout } = await run("--json");
      if (stdout === "") return {};
      const [{ members }] = parseLines(stdout);
      return Object.fromEntries(
        members.map((one: { process: string; state: string }) => [one.process, one.state]),
      );
    };
    const port = await freePorts(3);
    const dirs = NAMES.map(() => temporaryDirectory());
    const start = (id: string, dir: string, ...more: string[]): Started => {
      const options = [...namesWithout(id), "--causal", "cart:*", ...nats, ...more];
      return joined(id, port, dir, options, env, 230_000);
    };

    const nobody = await run();
    expect([nobody.status, nobody.stdout]).toEqual([1, ""]);
    expect(nobody.stderr).toContain(`no system is known in ${where}`);
    const a = start("a", dirs[0] as string);
    await served(a, port);
    await until("a to be there", async () => (await states())["a"] === "there");
    const alone = await run();
    expect([alone.status, alone.stderr]).toEqual([1, ""]);
    const [title, by, processes, ...lines] = alone.stdout.trimEnd().split("\n");
    expect([title, processes]).toEqual([`tidemark/kv in ${where}`, "  processes: a, b, c"]);
    expect(by).toBe(`  set up by a on ${hostname()}, Tidemark ${packageVersion}`);
    expect(lines.slice(0, 4)).toEqual([
      "  --order-engine: sequencer",
      '  --causal: "cart:*"',
      "  --fifo: none",
      "  transport: NATS",
    ]);
    expect(lines[6]).toMatch(new RegExp(`^a +there +[0-9.]+ m?s ago .* ${hostname()} +${a.pid} `));
    expect(lines[7]).toMatch(/^b +never$/);

    const b = start("b", dirs[1] as string);
    const c = start("c", dirs[2] as string);
    for (const [i, one] of [b, c].entries()) await served(one, port + 1 + i);
    await until("all to be there", async () => (await run()).status === 0);

    for (const [more, what] of [
      [["--peer", "d"], "its processes are a, b, c, and this one names d"],
      [["--order-engine", "agreed"], "--order-engine: sequencer, and here agreed"],
      [["--causal", "user:*"], '--causal: "cart:*", and here "cart:*" "user:*"'],
      [["--fifo", "log:*"], '--fifo: none, and here "log:*"'],
    ] as const) {
      const refused = await start("c", temporaryDirectory(), ...more).ended;
      outputs.push(refused);
      expect([refused.status, refused.stdout]).toEqual([2, ""]);
      expect(refused.stderr).toContain(what);
      expect(refused.stderr).toContain("tidemark nats members --forget --nats-prefix shop");
    }
    const second = await start("a", temporaryDirectory()).ended;
    outputs.push(second);
    expect(second.status).toBe(1);
    expect(second.stderr).toContain("already: stop it, or choose another address");
    expect(second.stderr).toContain(`a runs already: process ${a.pid} on ${hostname()}, seen `);

    await server.kill();
    await server.restart();
    const [{ nowMs }] = parseLines((await run("--json")).stdout);
    await until("all to be seen again", async () => {
      const [{ members }] = parseLines((await run("--json")).stdout);
      return members.every(({ seenMs }: { seenMs: number }) => seenMs > nowMs);
    });

    b.child.kill("SIGKILL");
    c.child.kill("SIGTERM");
    await b.ended;
    expect((await c.ended).status).toBe(0);
    expect((await states())["c"]).toBe("left");
    const early = await run("--forget");
    expect([early.status, early.stdout]).toEqual([1, ""]);
    expect(early.stderr).toContain(`tidemark/kv is running: a (process ${a.pid} on ${hostname()})`);
    await until("b to be silent", async () => (await states())["b"] === "silent");
    expect((await run()).status).toBe(1);
    a.child.kill("SIGTERM");
    outputs.push(await a.ended, await b.ended, await c.ended);
    const other = await Membership.open({
      place: { servers: env.TIDEMARK_NATS, prefix: "shop", replicas: 1 },
      ...{ id: "x", version: "0", onProblem: () => {} },
      configuration: { system: "another", processes: ["x"], agreed: [] },
    });
    await other.leave();
    const several = await run("--forget");
    expect([several.status, several.stdout]).toEqual([2, ""]);
    expect(several.stderr).toContain("say which one to forget: another, tidemark/kv");
    expect((await run("another", "--forget", "--json")).stdout).toBe('{"forgotten":"another"}\n');
    expect((await run("elsewhere", "--forget")).stderr).toContain(
      `no system elsewhere is known in ${where}`,
    );
    expect(await run("--forget")).toMatchObject({
      ...{ status: 0, stderr: "" },
      stdout: `the configuration of tidemark/kv is forgotten in ${where}: whoever starts next makes another one\n`,
    });
    const changed = start("a", temporaryDirectory(), "--fifo", "log:*");
    await served(changed, port);
    await until("a to be there", async () => (await states())["a"] === "there");
    expect((await run()).stdout).toContain('  --fifo: "log:*"');
    changed.child.kill("SIGTERM");
    expect((await changed.ended).status).toBe(0);
    for (const { stdout, stderr } of outputs) expect(stdout + stderr).not.toContain(SECRET);
  });

  test("of a system of one's own, which goes over TCP", { timeout: 120_000 }, async () => {
    const server = await NatsServer.start();
    onTestFinished(() => server.stop());
    const first = await freePorts(2);
    const start = (id: string, more: string, ...options: string[]): Started => {
      const file = join(temporaryDirectory(), "system.mjs");
      writeFileSync(
        file,
        `export default { processes: ["a", "b"], system: "counters", ${more}
           application: () => ({ capture: () => 0, restore() {} }) };`,
      );
      const at = id === "a" ? [first, first + 1] : [first + 1, first];
      const peer = `${id === "a" ? "b" : "a"}=127.0.0.1:${at[1]}`;
      const where = ["--listen", `127.0.0.1:${at[0]}`, "--peer", peer, "--nats", server.url];
      const dir = ["--dir", temporaryDirectory(), "--json", ...options];
      return new Started(["up", file, "--join", id, ...where, ...dir], {}, "ignore", 110_000);
    };
    const members = ["nats", "members", "--nats", server.url];
    const both = [start("a", ""), start("b", "")] as const;
    await until("both to be there", async () => (await tidemark(members)).status === 0);
    const [found] = parseLines((await tidemark([...members, "--json"])).stdout);
    expect(found).toMatchObject({
      system: "counters",
      configuration: {
        agreed: [
          { what: "algorithm", value: "chandy-lamport" },
          { what: "order of channels", value: "fifo" },
          { what: "transport", value: "TCP" },
        ],
      },
      members: [
        { process: "a", presence: { address: `127.0.0.1:${first}`, epoch: 1 } },
        { process: "b", presence: { address: `127.0.0.1:${first + 1}` } },
      ],
    });
    const refused = await start("b", 'order: "none",').ended;
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain(
      "algorithm: chandy-lamport, and here lai-yang; order of channels: fifo, and here none",
    );
    const second = await start("a", "").ended;
    expect(second.status).toBe(1);
    expect(second.stderr).toContain(`a runs already: process ${both[0].pid} on ${hostname()}`);
    for (const { child } of both) child.kill("SIGTERM");
    for (const { ended } of both) expect((await ended).status).toBe(0);
    const left = parseLines((await tidemark([...members, "--json"])).stdout)[0].members;
    expect(left).toMatchObject([{ state: "left" }, { state: "left" }]);
  });
});
