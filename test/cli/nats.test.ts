// `--nats` of commands: a store whose processes share servers of NATS and nothing else, and commands that read what it left there.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { lacksNats, NatsServer } from "../nats/support.ts";
import type { TestClient } from "../serve/store.ts";
import { freePorts } from "../support/ports.ts";
import {
  type Ended,
  parseLines,
  type Started,
  temporaryDirectory,
  tidemark,
  until,
} from "./support/command.ts";
import { joined, NAMES, namesWithout, pidBelow, served } from "./support/joined.ts";
import { clientWhenServed } from "./support/store-clients.ts";

/** On CI a test that needs it fails for want of it. */
const lacksOpenssl =
  process.env["CI"] === undefined && spawnSync("openssl", ["version"]).status !== 0;

const SECRET = "s3cret-Ünd-20";
const JSON_LOG = ["--log-format", "json"];
const USERS = `authorization { users: [ { user: shop, password: "${SECRET}" } ] }\n`;

async function serverWith(config = "", jetstream = true): Promise<NatsServer> {
  const server = await NatsServer.start(config, jetstream);
  onTestFinished(() => server.stop());
  return server;
}

/** What was answered, once it is no error of one that has not come up yet. */
async function asked(client: TestClient, ...request: string[]): Promise<string> {
  let answer = "";
  await until(`${request.join(" ")} to be done`, async () => {
    answer = String(await client.ask(...request));
    return !answer.startsWith("-");
  }).catch((cause) => {
    throw new Error(`${request.join(" ")}: ${answer}`, { cause });
  });
  return answer;
}

async function stopped(processes: readonly Started[]): Promise<Ended[]> {
  for (const one of processes) one.child.kill("SIGTERM");
  const ended = await Promise.all(processes.map((one) => one.ended));
  for (const { status, stderr } of ended) expect([status, stderr]).toEqual([0, expect.any(String)]);
  return ended;
}

describe.skipIf(lacksNats)("a store on NATS", () => {
  test("three processes that reach the server alone: snapshots, a death, a restore, and what commands read", {
    timeout: 180_000,
  }, async () => {
    const server = await serverWith(USERS);
    const servers = `nats://shop:${encodeURIComponent(SECRET)}@127.0.0.1:${server.port}`;
    const env = { TIDEMARK_NATS: servers };
    const nats = ["--nats", "--nats-prefix", "shop"];
    const port = await freePorts(3);
    const dirs = NAMES.map(() => temporaryDirectory());
    const start = (id: string): Started =>
      joined(
        id,
        port,
        dirs[NAMES.indexOf(id)] as string,
        [...namesWithout(id), ...nats, "--log", "always", ...(id === "c" ? JSON_LOG : [])],
        env,
      );
    const processes = NAMES.map(start);
    const clients: TestClient[] = [];
    for (const [i, process] of processes.entries()) clients.push(await served(process, port + i));
    const [one, two, three] = clients as [TestClient, TestClient, TestClient];
    expect(await asked(one, "SET", "k", "before")).toBe("+OK");
    const id = (await asked(two, "TIDEMARK", "SNAPSHOT", "good")).slice(1);
    expect(id).toMatch(/^b\/[0-9]+$/);
    expect(await asked(three, "BGSAVE")).toContain("aving");
    await until("c to have saved", async () =>
      String(await three.ask("TIDEMARK", "SNAPSHOTS")).includes("c/"),
    );

    // The one process of that machine dies with all that it runs, and is started again there.
    process.kill(pidBelow(processes[1] as Started) as number, "SIGKILL");
    processes[1]?.child.kill("SIGKILL");
    await processes[1]?.ended;
    expect(await asked(one, "SET", "k", "after")).toBe("+OK");
    processes[1] = start("b");
    const again = await served(processes[1], port + 1);
    await until("b to have what it missed", async () => (await again.ask("GET", "k")) === "$after");
    const [{ beganWith }] = parseLines((await processes[1].lines(1)).join("\n"));
    expect(beganWith).toBe("log");

    // Of another one only what it runs dies, and that is started again by it.
    const c = processes[2] as Started;
    process.kill(pidBelow(c) as number, "SIGKILL");
    const [, { event }] = parseLines((await c.lines(2)).join("\n"));
    expect(event).toBe("started");
    await served(c, port + 2);

    await asked(again, "TIDEMARK", "RESTORE", id);
    for (const i of NAMES.keys()) {
      const client = await clientWhenServed(port + i);
      await until("all to be back", async () => (await client.ask("GET", "k")) === "$before");
    }
    const outputs = await stopped(processes);

    const run = (...args: string[]): Promise<Ended> => tidemark([...args, ...nats], env);
    const listed = await run("snapshots", "--json");
    const ids = parseLines(listed.stdout).map((summary) => summary.id);
    expect(ids).toContain(id);
    expect(ids.some((other) => other.startsWith("c/"))).toBe(true);
    const verified = await run("verify", "--json");
    const proven = { snapshots: ids.length, proven: ids.length };
    expect(parseLines(verified.stdout).at(-1)).toEqual(proven);
    expect((await run("verify", "good")).stdout).toContain(`${id} is consistent`);
    const shown = await run("show", "good", "--json");
    expect(JSON.parse(shown.stdout)).toMatchObject({ manifest: { id, label: "good" } });
    expect((await run("label", "good", "better")).stdout).toBe(`${id} is better\n`);
    expect((await run("diff", "better", id)).status).toBe(0);
    const other = await run("snapshots", "--nats-replicas", "3");
    expect(other.stderr).toContain("num_replicas is 1, wanted is 3");
    expect(other.status).toBe(1);
    expect((await run("history", "--json")).stdout).toContain(`"snapshot":"${id}"`);
    expect((await run("explain", "better")).stdout).toContain("good");
    const copies = temporaryDirectory();
    const exported = join(copies, "keys.resp");
    expect(await run("kv", "export", "--snapshot", "better", exported)).toMatchObject({
      status: 0,
    });
    expect(readFileSync(exported, "latin1")).toContain("before");
    const file = join(copies, "snapshot.tar");
    expect(await run("export", id, file)).toMatchObject({ status: 0, stderr: "" });
    const elsewhere = ["import", file, "--nats", "--nats-prefix", "copy"];
    const imported = await tidemark(elsewhere, env);
    expect(imported.stdout).toContain(`${id} is in copy on NATS at 127.0.0.1:${server.port}`);
    await tidemark(["import", file, "--dir", join(copies, "store")]);
    const same = await run("diff", id, id, "--other-dir", join(copies, "store"));
    expect(same).toMatchObject({ status: 0, stderr: "" });
    const pruned = await run("prune", "--keep", "1", "--json");
    const sum = parseLines(pruned.stdout).at(-1);
    expect(sum.removed + sum.kept).toBe(ids.length);
    expect(sum.removed === 0 || sum.freedBytes > 0).toBe(true);
    expect((await run("verify", "better")).status).toBe(0);
    const missing = await run("show", "nowhere");
    expect(missing.stderr).toContain(`no snapshot in shop on NATS at 127.0.0.1:${server.port} has`);
    expect(missing.status).toBe(1);

    for (const { stdout, stderr } of [...outputs, listed, verified, shown, imported, missing])
      for (const secret of [SECRET, encodeURIComponent(SECRET)])
        expect(stdout + stderr).not.toContain(secret);
  });

  test("frames over TCP, snapshots on NATS", { timeout: 120_000 }, async () => {
    const server = await serverWith();
    const [port, at] = [await freePorts(3), await freePorts(3)];
    const address = (name: string): string => `127.0.0.1:${at + NAMES.indexOf(name)}`;
    const processes = NAMES.map((id) => {
      const peers = NAMES.flatMap((name) =>
        name === id ? [] : ["--peer", `${name}=${address(name)}`],
      );
      const more = ["--listen", address(id), ...peers, "--nats", server.url];
      return joined(id, port, temporaryDirectory(), more);
    });
    const client = await served(processes[0] as Started, port);
    expect(await asked(client, "SET", "k", "v")).toBe("+OK");
    // Who begins while there is no server ends.
    for (const [i, one] of processes.entries()) await served(one, port + i);
    await server.kill();
    expect(await client.ask("SET", "k", "w")).toBe("+OK");
    await server.restart();
    const id = (await asked(client, "TIDEMARK", "SNAPSHOT")).slice(1);
    await stopped(processes);
    expect(await tidemark(["verify", id, "--nats", server.url])).toMatchObject({ status: 0 });
  });

  test("while no server is there writes wait, and reads do not", { timeout: 120_000 }, async () => {
    const server = await serverWith();
    const port = await freePorts(3);
    const processes = NAMES.map((id) =>
      joined(id, port, temporaryDirectory(), [...namesWithout(id), "--nats", server.url]),
    );
    const client = await served(processes[1] as Started, port + 1);
    expect(await asked(client, "SET", "k", "v")).toBe("+OK");
    for (const [i, one] of processes.entries()) await served(one, port + i);
    await server.kill();
    const other = await served(processes[1] as Started, port + 1);
    let written: unknown;
    void client.ask("SET", "k", "w").then((answer) => {
      written = answer;
    });
    expect(await other.ask("GET", "k")).toBe("$v");
    expect(written).toBeUndefined();
    await server.restart();
    await until("it to be written", () => written !== undefined);
    expect(written).toBe("+OK");
    expect(await other.ask("GET", "k")).toBe("$w");
    expect(await asked(client, "TIDEMARK", "SNAPSHOT")).toMatch(/^\Wb\//);
    await stopped(processes);
  });

  test("three replicas of one server are refused when it starts", {
    timeout: 120_000,
  }, async () => {
    const server = await serverWith();
    const replicas = ["--nats", server.url, "--nats-replicas", "3"];
    const done = await joined("a", await freePorts(1), temporaryDirectory(), replicas).ended;
    expect(done.stderr).toContain("Three replicas need a cluster");
    expect(done).toMatchObject({ status: 1, stdout: "" });
  });

  test.skipIf(lacksOpenssl)(
    "TLS to the servers, with a certificate to show",
    {
      timeout: 120_000,
    },
    async () => {
      const folder = temporaryDirectory();
      const file = (name: string): string => join(folder, name);
      const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
      const name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
      const made = ["-keyout", file("key.pem"), "-out", file("cert.pem")];
      const args = ["req", "-x509", ...curve, "-days", "2", ...name, ...made];
      execFileSync("openssl", args, { stdio: "ignore" });
      copyFileSync(file("cert.pem"), file("ca.pem"));
      const server = await serverWith(
        `tls { cert_file: "${file("cert.pem")}", key_file: "${file("key.pem")}", ca_file: "${file("ca.pem")}", verify: true }`,
      );
      const nats = ["--nats", server.url, "--nats-tls", folder];
      const port = await freePorts(3);
      const processes = NAMES.map((id) =>
        joined(id, port, temporaryDirectory(), [...namesWithout(id), ...nats]),
      );
      const client = await served(processes[0] as Started, port);
      const id = (await asked(client, "TIDEMARK", "SNAPSHOT")).slice(1);
      await stopped(processes);
      expect((await tidemark(["verify", ...nats])).stdout).toContain("1 snapshot proven");
      rmSync(file("key.pem"));
      const half = await tidemark(["verify", id, ...nats]);
      expect(half.stderr).toContain("of cert.pem and key.pem");
      expect(half.status).toBe(2);
      rmSync(file("cert.pem"));
      const unshown = await tidemark(["verify", id, ...nats]);
      expect(unshown.stderr).toContain(`NATS at 127.0.0.1:${server.port}`);
      expect(unshown.status).toBe(1);
    },
  );

  test("a server without JetStream, and one that does not let us in", {
    timeout: 60_000,
  }, async () => {
    const plain = await serverWith("", false);
    const kv = ["kv", "--join", "a", "--dir", temporaryDirectory()];
    for (const command of [["snapshots"], kv]) {
      const done = await tidemark([...command, "--nats", plain.url]);
      expect(done.stderr).toContain(`JetStream does not answer at 127.0.0.1:${plain.port}`);
      expect(done).toMatchObject({ status: 1, stdout: "" });
    }
    const locked = await serverWith(USERS);
    const wrong = `nats://shop:wrong-word@127.0.0.1:${locked.port}`;
    for (const command of [["snapshots"], kv]) {
      const done = await tidemark([...command, "--nats", wrong]);
      expect(done.stderr).toContain("does not let us in");
      expect(done.stderr).not.toContain("wrong-word");
      expect(done).toMatchObject({ status: 1, stdout: "" });
    }
  });
});

describe("what is wrong with the options is told before anything starts", () => {
  const kv = ["kv", "--join", "a"];
  const there = ["--nats", "nats://u:s3cret@127.0.0.1:1"];
  const wrong: readonly (readonly [string, string[], RegExp])[] = [
    ["no address", ["snapshots", "--nats"], /TIDEMARK_NATS/],
    ["no scheme", ["show", "--nats", "latest", "x"], /no server: use nats:\/\/host:4222/],
    ["no host", ["snapshots", "--nats", "nats://u:s3cret@h:0"], /"…@h:0" is not the address/],
    [
      "a comma in a password",
      ["snapshots", "--nats", "nats://u:s3cret,x@h:1"],
      /is not the address of a server/,
    ],
    ["replicas", ["snapshots", ...there, "--nats-replicas", "2"], /Use 1, or 3 of a cluster/],
    ["prefix", ["snapshots", ...there, "--nats-prefix", "a.b"], /the prefix of what lies on NATS/],
    ["alone", ["snapshots", "--nats-tls", "x"], /--nats-tls goes with --nats/],
    ["no ca.pem", ["snapshots", ...there, "--nats-tls", "x"], /there is no .*ca\.pem/],
    ["both places", ["snapshots", ...there, "--dir", "x"], /cannot be used with option '--dir/],
    ["two who", ["snapshots", ...there, "--nats-creds", "x"], /one too many/],
    ["a key", ["verify", ...there, "--key-file", "KEY"], /--key-file cannot go.*does not encrypt/],
    ["compressed", ["import", "x", ...there, "--compress"], /are not compressed/],
    ["late", ["explain", ...there], /--nats goes with an attempt/],
    ["one machine", ["kv", ...there], /--nats is for --join/],
    ["export", ["kv", "export", "x", ...there], /--nats goes with --snapshot/],
    ["neither way", kv, /--listen 10\.0\.0\.1:7400; or --nats/],
    ["half TCP", [...kv, ...there, "--peer", "b=h:1"], /--peer says where b listens, and --listen/],
    ["half NATS", [...kv, ...there, "--listen", "h:1", "--peer", "b"], /say where b listens/],
    ["named alone", [...kv, "--listen", "h:1", "--peer", "b"], /say where b listens/],
    ["itself", [...kv, ...there, "--peer", "a"], /--peer names a, which is this process/],
    ["TLS of TCP", [...kv, ...there, "--peer", "b", "--tls", "x"], /--nats-tls is/],
    ["a key of kv", [...kv, ...there, "--key-file", "KEY"], /--key-file cannot go with --nats/],
    ["no sync", [...kv, ...there, "--no-sync"], /--no-sync cannot go with --nats/],
  ];
  test.each(wrong)("%s", async (_, args, words) => {
    const home = temporaryDirectory();
    mkdirSync(join(home, "x"));
    const key = join(home, "key");
    writeFileSync(key, "ab".repeat(32));
    const done = await tidemark(args.map((one) => (one === "KEY" ? key : one)));
    expect(done.stderr).toMatch(words);
    expect(done.stderr + done.stdout).not.toContain("s3cret");
    expect(done).toMatchObject({ status: 2, stdout: "" });
  });

  test("the key of the environment", async () => {
    const env = { TIDEMARK_KEY: "ab".repeat(32) };
    const done = await tidemark(["snapshots", ...there], env);
    expect(done.stderr).toContain("TIDEMARK_KEY cannot go with --nats");
    expect(done.status).toBe(2);
  });

  test("nobody is there", async () => {
    const done = await tidemark(["snapshots", ...there]);
    expect(done.stderr).toContain("cannot connect to NATS at 127.0.0.1:1");
    expect(done.stderr).not.toContain("s3cret");
    expect(done).toMatchObject({ status: 1, stdout: "" });
  });
});

test("a command that uses no NATS loads nothing of it", async () => {
  // A module of that name would be looked for, and told.
  const env = { NODE_DEBUG: "module,esm" };
  const loads = async (...args: string[]): Promise<boolean> =>
    (await tidemark(args, env)).stderr.includes("@nats-io");
  const dir = temporaryDirectory();
  expect(await loads("snapshots", "--dir", dir)).toBe(false);
  expect(await loads("snapshots", "--nats", "nats://127.0.0.1:1")).toBe(true);
});
