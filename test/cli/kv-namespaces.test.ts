// A store with namespaces, as operating-system processes: one of them is killed.
import { expect, test } from "vitest";
import { TestClient } from "../serve/store.ts";
import { freePorts } from "../support/ports.ts";
import { Started, temporaryDirectory, tidemark, until } from "./support/command.ts";

test("namespaces are served while the process is dead that gives the order, and when it is back all have the same", async () => {
  const [processes, clients] = [await freePorts(3), await freePorts(3)];
  const directory = temporaryDirectory();
  const ids = ["a", "b", "c"];
  const placeOf = (id: string): string => `127.0.0.1:${processes + ids.indexOf(id)}`;
  const argsOf = (id: string, pattern: string): readonly string[] => [
    ...["kv", "--join", id, "--listen", placeOf(id), "--dir", directory, "--json"],
    ...["--port", String(clients + ids.indexOf(id)), "--log", "always", "--causal", pattern],
    ...ids.flatMap((other) => (other === id ? [] : ["--peer", `${other}=${placeOf(other)}`])),
  ];
  const join = (id: string): Started => new Started([...argsOf(id, "cart:*"), "--restarts", "0"]);
  const members = ids.map(join);
  for (const member of members) await member.lines(1);
  const [a, b, c] = ids.map((_, i) => new TestClient(clients + i)) as [
    TestClient,
    TestClient,
    TestClient,
  ];
  expect(await a.ask("INCR", "cart:n")).toBe(":1");
  expect(await a.ask("HSET", "cart:h", "f", "v")).toBe(":1");
  const [started] = await (members[0] as Started).lines(1);
  process.kill(JSON.parse(started as string).pid, "SIGKILL");
  await a.closed;
  await (members[0] as Started).ended;
  for (let i = 0; i < 20; i += 1) {
    expect(await b.ask("INCR", "cart:n")).toMatch(/^:/);
    expect(await c.ask("HSET", "cart:h", `f${i}`, "v")).toBe(":1");
  }
  // Whoever means another store is none of this one.
  const other = await tidemark([...argsOf("a", "basket:*"), "--restarts", "0"]);
  expect(other.status).not.toBe(0);
  expect(other.stderr).toContain('tidemark/kv causal "cart:*"');

  const again = join("a");
  const [back] = await again.lines(1);
  expect(JSON.parse(back as string)).toMatchObject({ process: "a", beganWith: "log" });
  const first = new TestClient(clients);
  for (const one of [first, b, c])
    await until("all to have the same", async () => {
      const [n, fields] = [await one.ask("GET", "cart:n"), await one.ask("HLEN", "cart:h")];
      return n === "$21" && fields === ":21";
    });
  expect(await first.ask("INCR", "cart:n")).toBe(":22");
  await until("it to be told", async () => (await b.ask("GET", "cart:n")) === "$22");
  for (const member of [again, ...members.slice(1)]) member.child.kill("SIGTERM");
  for (const member of [again, ...members.slice(1)]) expect((await member.ended).status).toBe(0);
});
