/** What only this store has: reads in the order, tokens, snapshots and restores by commands. */

import { expect, test, vi } from "vitest";
import { type Heard, type StoreMember, startStore, TestClient } from "./store.ts";

const at = (member: StoreMember | undefined): TestClient =>
  new TestClient(member?.server.port ?? 0);

/** A reply of names and values. */
function factsOf(heard: Heard): Readonly<Record<string, Heard>> {
  const words = heard.slice(1) as readonly Heard[];
  return Object.fromEntries(
    words.flatMap((name, i) =>
      i % 2 === 0 ? [[String(name).slice(1), words[i + 1] as Heard]] : [],
    ),
  );
}

const idIn = (heard: Heard): string => String(heard).slice(1);

test("reads are in the order if the client asks for it, and answered there", async () => {
  const [one, two] = await startStore(2);
  const client = at(two);
  const writer = at(one);
  expect(await client.ask("TIDEMARK", "READ")).toBe("$local");
  expect(await client.ask("TIDEMARK", "READ", "LINEARIZABLE")).toBe("+OK");
  expect(await client.ask("TIDEMARK", "READ")).toBe("$linearizable");
  const recordsOf = (): number => two?.replica.applied ?? 0;
  for (let i = 0; i < 50; i += 1) {
    expect(await writer.ask("SET", "k", String(i))).toBe("+OK");
    // It has been acknowledged at another replica before this one is asked.
    const before = recordsOf();
    expect(await client.ask("GET", "k")).toBe(`$${i}`);
    expect(recordsOf()).toBeGreaterThan(before);
  }
  const before = recordsOf();
  expect(await client.ask("TIDEMARK", "READ", "local")).toBe("+OK");
  await client.ask("GET", "k");
  expect(recordsOf()).toBe(before);
  expect(await client.ask("TIDEMARK", "READ", "LINEARIZABLE")).toBe("+OK");
  await client.ask("RESET");
  expect(await client.ask("TIDEMARK", "READ")).toBe("$local");
});

test("what a client has learned at one replica it has at another one by a token", async () => {
  const members = await startStore(3);
  const clients = members.map(at);
  for (let i = 1; i <= 100; i += 1) {
    const here = clients[i % 3] as TestClient;
    const there = clients[(i + 1) % 3] as TestClient;
    await here.ask("INCR", "n");
    const token = idIn(await here.ask("TIDEMARK", "TOKEN"));
    there.send("TIDEMARK", "AFTER", token);
    there.send("GET", "n");
    expect(await there.next()).toBe("+OK");
    expect(await there.next()).toBe(`$${i}`);
  }
});

test("who waits for a token that does not come is told so, and what cannot be one is refused", async () => {
  const [one] = await startStore(1);
  const client = at(one);
  const other = at(one);
  const [epoch, records] = idIn(await client.ask("TIDEMARK", "TOKEN"))
    .split("-")
    .map(Number);
  const later = `${epoch}-${Number(records) + 3}`;
  expect(await client.ask("TIDEMARK", "AFTER", later, "20")).toMatch(/^-TIMEOUT the time is over/);
  expect(await client.ask("TIDEMARK", "AFTER", `${Number(epoch) + 1}-1`, "20")).toMatch(
    /^-TIMEOUT .* another epoch$/,
  );
  client.send("TIDEMARK", "AFTER", later);
  client.send("GET", "k");
  for (const value of ["a", "b", "c"]) await other.ask("SET", "k", value);
  expect(await client.next()).toBe("+OK");
  expect(await client.next()).toBe("$c");
  for (const token of ["", "1", "x-1", "1-", "-1-1", "1-1 ", "1-99999999999999999999"])
    expect(await client.ask("TIDEMARK", "AFTER", token)).toMatch(/^-ERR not a token/);
  expect(await client.ask("TIDEMARK", "AFTER", later, "-1")).toMatch(/^-ERR timeout/);
  expect(await client.ask("TIDEMARK", "AFTER", later, "1", "2")).toBe("-ERR syntax error");
  expect(await client.ask("TIDEMARK", "READ", "never")).toBe("-ERR syntax error");
  expect(await client.ask("TIDEMARK", "NOTHING")).toMatch(/^-ERR unknown subcommand/);
  await client.ask("MULTI");
  expect(await client.ask("TIDEMARK", "TOKEN")).toMatch(/^-ERR Command not allowed inside/);
  // Who goes while it waits leaves nothing behind.
  const gone = at(one);
  gone.send("TIDEMARK", "AFTER", `${epoch}-1000000`);
  await vi.waitFor(() => expect([...(one?.server.clients ?? [])]).toHaveLength(3));
  gone.socket.destroy();
  await vi.waitFor(() => expect([...(one?.server.clients ?? [])]).toHaveLength(2));
});

test("snapshots are taken, listed, explained and gone back to by commands", async () => {
  const members = await startStore(3);
  const [client, second, watcher] = members.map(at) as [TestClient, TestClient, TestClient];
  await client.ask("SET", "k", "before");
  const id = idIn(await second.ask("TIDEMARK", "SNAPSHOT", "good"));
  expect(id).toMatch(/^p2\/\d+$/);
  const token = idIn(await client.ask("TIDEMARK", "TOKEN"));
  await client.ask("SET", "k", "after");
  const [, listed] = (await client.ask("TIDEMARK", "SNAPSHOTS")) as readonly Heard[];
  expect(factsOf(listed as Heard)).toMatchObject({ id: `$${id}`, label: "$good", processes: ":3" });
  const explained = factsOf(await client.ask("TIDEMARK", "EXPLAIN", "good"));
  expect(explained).toMatchObject({ id: `$${id}`, outcome: "$complete", initiator: "$p2" });
  expect(await client.ask("TIDEMARK", "EXPLAIN", "none")).toMatch(/^-NOT_FOUND/);

  await watcher.ask("WATCH", "k");
  watcher.send("BLPOP", "nothing", "0");
  await vi.waitFor(() => expect([...(members[2]?.server.clients ?? [])][0]?.isBlocked).toBe(true));
  const restored = factsOf(await second.ask("TIDEMARK", "RESTORE", id));
  expect(restored).toMatchObject({ snapshot: `$${id}`, epoch: ":2", absent: ["*"], reason: "$" });
  expect(restored["proof"]).toMatch(/^\$p2\/\d+$/);
  for (const one of [client, second]) expect(await one.ask("GET", "k")).toBe("$before");
  // Nobody is lied to.
  expect(await watcher.next()).toMatch(/^-TRYAGAIN RESTORED/);
  await watcher.ask("MULTI");
  await watcher.ask("GET", "k");
  expect(await watcher.ask("EXEC")).toEqual("*-1");
  expect(await client.ask("TIDEMARK", "AFTER", token)).toMatch(/^-EPOCH_MISMATCH the token is of/);
  const status = factsOf(await client.ask("TIDEMARK", "STATUS"));
  expect(status).toMatchObject({ process: "$p1", epoch: ":2", order: "$total", absent: ["*"] });

  expect(await client.ask("TIDEMARK", "RESTORE", "nothing")).toMatch(/^-BAD_ID /);
  expect(await client.ask("TIDEMARK", "RESTORE", "p1/999")).toMatch(/^-NOT_FOUND /);
  expect(await client.ask("TIDEMARK", "SNAPSHOT", "")).toMatch(/^-ERR a label has/);
  expect(await client.ask("GET", "k")).toBe("$before");
});

test("says what waits, and whom for", async () => {
  const members = await startStore(3);
  const [, second, third] = members;
  const client = at(second);
  await vi.waitFor(async () =>
    expect(factsOf(await client.ask("TIDEMARK", "STATUS"))["waits"]).toEqual(["*"]),
  );
  // It gives the order.
  await members[0]?.running.stop();
  at(third).send("SET", "k", "v");
  const watching = at(third);
  await vi.waitFor(
    async () => {
      const waits = ((await watching.ask("TIDEMARK", "EXPLAIN")) as readonly Heard[]).slice(1);
      expect(waits.join("\n")).toMatch(/p1/);
      expect(waits.join("\n")).toMatch(/waits for the word of p1, the sequencer/);
    },
    { timeout: 5000 },
  );
  const status = factsOf(await watching.ask("TIDEMARK", "STATUS"));
  expect(status["absent"]).toEqual(["*", "$p1"]);
});
