// The store as operating-system processes: all on one machine, and one by one as on several.
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Heard, TestClient } from "../serve/store.ts";
import { freePorts } from "../support/ports.ts";
import { Started, temporaryDirectory, tidemark, until } from "./support/command.ts";
import { clientWhenServed } from "./support/store-clients.ts";

test("a store serves, is recorded, ends well, and goes on where it was", async () => {
  const port = await freePorts(2);
  const directory = temporaryDirectory();
  const args = ["kv", "--processes", "2", "--port", String(port), "--dir", directory, "--json"];
  const first = new Started([...args, "--set", "maxclients=50"]);
  const client = async (at: number): Promise<TestClient> => {
    await until("the store to serve", async () => {
      const trying = new TestClient(at);
      return (await Promise.race([trying.ask("PING"), trying.closed])) === "+PONG";
    });
    return new TestClient(at);
  };
  const [one, two] = [await client(port), await client(port + 1)];
  expect(await one.ask("SET", "k", "before")).toBe("+OK");
  expect(await two.ask("CONFIG", "GET", "maxclients")).toEqual(["*", "$maxclients", "$50"]);
  const id = String(await two.ask("TIDEMARK", "SNAPSHOT", "good")).slice(1);
  expect(await one.ask("SET", "k", "after")).toBe("+OK");
  first.child.kill("SIGINT");
  await first.ended.then(({ status, stdout, stderr }) => {
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(JSON.parse(stdout.trim().split("\n").at(-1) as string)).toHaveProperty("snapshots");
  });
  const listed = await tidemark(["snapshots", "--json", "--dir", directory]);
  expect(listed.stdout).toContain('"label":"good"');

  const second = new Started(args);
  const again = await client(port + 1);
  expect(await again.ask("GET", "k")).toBe("$after");
  const restored = await tidemark(["restore", id, "--dir", directory]);
  expect(restored).toMatchObject({ status: 0, stderr: "" });
  await until("the restore to be seen", async () => (await again.ask("GET", "k")) === "$before");
  second.child.kill("SIGTERM");
  expect((await second.ended).status).toBe(0);
});

test("clients that send more than there is room for wait, and have all of it done", {
  timeout: 120_000,
}, async () => {
  const port = await freePorts(2);
  const args = ["kv", "--processes", "2", "--port", String(port), "--no-sync", "--log", "none"];
  const store = new Started([...args, "--dir", temporaryDirectory(), "--json"]);
  const [one, two] = [await clientWhenServed(port), await clientWhenServed(port + 1)];
  const pid = /process_id:(\d+)/.exec(String(await two.ask("INFO", "server")))?.[1];
  // The other one takes nothing for a while: far more is sent than a channel and a process hold.
  process.kill(Number(pid), "SIGSTOP");
  const [many, value] = [420, "x".repeat(100_000)];
  for (let i = 0; i < many; i += 1) one.send("SET", `k${i}`, value);
  await pause(1_500);
  process.kill(Number(pid), "SIGCONT");
  const heard = new Set<Heard>();
  for (let i = 0; i < many; i += 1) heard.add(await one.next());
  expect([...heard]).toEqual(["+OK"]);
  await until("all to be there", async () => (await two.ask("DBSIZE")) === `:${many}`);
  expect(await two.ask("STRLEN", `k${many - 1}`)).toBe(`:${value.length}`);
  store.child.kill("SIGINT");
  expect((await store.ended).status).toBe(0);
});

test("processes of several machines join one by one, and come back by themselves", async () => {
  const [processes, clients] = [await freePorts(3), await freePorts(3)];
  const directory = temporaryDirectory();
  const ids = ["a", "b", "c"];
  const placeOf = (id: string): string => `127.0.0.1:${processes + ids.indexOf(id)}`;
  const join = (id: string): Started =>
    new Started([
      ...["kv", "--join", id, "--listen", placeOf(id), "--dir", directory, "--json"],
      ...["--port", String(clients + ids.indexOf(id)), "--log", "always"],
      ...ids.flatMap((other) => (other === id ? [] : ["--peer", `${other}=${placeOf(other)}`])),
    ]);
  const members = ids.map(join);
  for (const member of members) await member.lines(1);
  const [a, b, c] = ids.map((_, i) => new TestClient(clients + i)) as [
    TestClient,
    TestClient,
    TestClient,
  ];
  expect(await a.ask("SET", "n", "1")).toBe("+OK");
  expect(await b.ask("INCR", "n")).toBe(":2");
  const id = String(await c.ask("TIDEMARK", "SNAPSHOT")).slice(1);
  expect(id).toMatch(/^c\/\d+$/);

  const [started] = await (members[1] as Started).lines(1);
  process.kill(JSON.parse(started as string).pid, "SIGKILL");
  await b.closed;
  expect(await c.ask("INCR", "n")).toBe(":3");
  const [, back] = await (members[1] as Started).lines(2);
  expect(JSON.parse(back as string)).toMatchObject({ process: "b", beganWith: "log" });
  const again = new TestClient(clients + 1);
  expect(await again.ask("INCR", "n")).toBe(":4");

  expect((await again.ask("TIDEMARK", "RESTORE", id)) as readonly string[]).toContain("$proof");
  for (const one of [a, again, c]) expect(await one.ask("GET", "n")).toBe("$2");
  for (const member of members) member.child.kill("SIGTERM");
  for (const member of members) expect((await member.ended).status).toBe(0);
});

test.each([
  [["--causal", ""], "A pattern is like cart:*"],
  [["--join", "a b"], "A name has letters"],
  [["--join", "a"], "say where the others reach it"],
  [["--join", "a", "--listen", "nowhere"], "Use host:port"],
  [["--join", "a", "--listen", "127.0.0.1:1", "--peer", "a=127.0.0.1:2"], "which is this process"],
  [["--join", "a", "--listen", "127.0.0.1:1", "--interval", "1s"], "--interval is for a store on"],
  [["--peer", "a=127.0.0.1:1"], "--listen and --peer are for --join"],
  [["--port", "5", "import", "dump.rdb"], "--port in front of import is for a store that is"],
  [["--prt", "5"], "(tidemark kv --help lists the options)"],
])("%j is refused", async (args, why) => {
  const refused = await tidemark(["kv", ...args, "--dir", temporaryDirectory()]);
  expect(refused).toMatchObject({ status: 2, stdout: "" });
  expect(refused.stderr).toContain(why);
});
