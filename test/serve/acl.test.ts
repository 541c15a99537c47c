/** Users of a store: what becomes of connections and files, and that no password is seen anywhere. What Redis does, is compared there. */

import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isTidemarkError } from "../../src/index.ts";
import { keyPlaces } from "../../src/kv/command.ts";
import { everyCommand, useOfKey } from "../../src/kv/commands/introspection.ts";
import { commandTable } from "../../src/kv/commands.ts";
import { Users } from "../../src/kv/users.ts";
import { checkUsersFile } from "../../src/serve/users-file.ts";
import { until } from "../cli/support/command.ts";
import { directoryWith } from "./certified.ts";
import { lacksRedis, startRedis } from "./redis.ts";
import { startStore, TestClient } from "./store.ts";

const NO_COMMAND = (name: string): string =>
  `-NOPERM this user has no permissions to run the '${name}' command`;
const NO_KEY = "-NOPERM this user has no permissions to access one of the keys used as arguments";
const NO_CHANNEL =
  "-NOPERM this user has no permissions to access one of the channels used as arguments";
const WRONG = "-WRONGPASS invalid username-password pair or user is disabled.";

async function portOf(
  settings: Readonly<Record<string, string>> = {},
  users?: string,
): Promise<number> {
  const [member] = await startStore(1, settings, {}, users === undefined ? {} : { users });
  return member?.server.port ?? expect.fail("there is one");
}

async function signedIn(port: number, name: string, password: string): Promise<TestClient> {
  const client = new TestClient(port);
  expect(await client.ask("AUTH", name, password)).toBe("+OK");
  return client;
}

/** The same, said to a store and to Redis. */
const SERVERS: readonly (readonly [name: string, start: () => Promise<number>])[] = [
  ["the store", portOf],
  ...(lacksRedis ? [] : [["Redis", startRedis] as const]),
];

describe.each(SERVERS)("users of %s", (_, start) => {
  test("are who they say, if they know the password", async () => {
    const port = await start();
    const admin = new TestClient(port);
    expect(await admin.ask("ACL", "SETUSER", "ada", "on", ">one", ">two", "+acl|whoami")).toBe(
      "+OK",
    );
    const client = new TestClient(port);
    for (const password of ["three", "", "one "]) {
      expect(await client.ask("AUTH", "ada", password)).toBe(WRONG);
      expect(await client.ask("HELLO", "2", "AUTH", "ada", password)).toBe(WRONG);
    }
    expect(await client.ask("AUTH", "nobody", "one")).toBe(WRONG);
    expect(await client.ask("ACL", "WHOAMI")).toBe("$default");
    expect(await client.ask("AUTH", "ada", "two")).toBe("+OK");
    expect(await client.ask("ACL", "WHOAMI")).toBe("$ada");
    expect(String(await admin.ask("CLIENT", "LIST"))).toContain(" user=ada ");
    expect(await admin.ask("ACL", "SETUSER", "ada", "<two", "off")).toBe("+OK");
    // Who is in, stays.
    expect(await client.ask("ACL", "WHOAMI")).toBe("$ada");
    expect(await client.ask("AUTH", "ada", "one")).toBe(WRONG);
    expect(await admin.ask("ACL", "SETUSER", "ada", "on")).toBe("+OK");
    expect(await client.ask("AUTH", "ada", "two")).toBe(WRONG);
    expect(await client.ask("AUTH", "ada", "one")).toBe("+OK");
  });

  test("need no password once the default user needs none, and one if it does", async () => {
    const port = await start();
    const admin = new TestClient(port);
    expect(await admin.ask("CONFIG", "SET", "requirepass", "secret")).toBe("+OK");
    const client = new TestClient(port);
    expect(await client.ask("PING")).toBe("-NOAUTH Authentication required.");
    expect(await client.ask("AUTH", "default", "secret")).toBe("+OK");
    const waiting = new TestClient(port);
    expect(await waiting.ask("PING")).toBe("-NOAUTH Authentication required.");
    expect(await admin.ask("ACL", "SETUSER", "default", "nopass")).toBe("+OK");
    expect(await waiting.ask("PING")).toBe("+PONG");
    expect(await admin.ask("ACL", "SETUSER", "default", "resetpass", ">other")).toBe("+OK");
    expect(await waiting.ask("PING")).toBe("-NOAUTH Authentication required.");
    expect(await waiting.ask("AUTH", "secret")).toBe(WRONG);
    expect(await waiting.ask("AUTH", "other")).toBe("+OK");
    expect(await waiting.ask("RESET")).toBe("+RESET");
    expect(await waiting.ask("PING")).toBe("-NOAUTH Authentication required.");
  });

  test("may do other things from the next request on, and nothing once they are deleted", async () => {
    const port = await start();
    const admin = new TestClient(port);
    await admin.ask("ACL", "SETUSER", "ada", "on", "nopass", "+get", "+set", "~a*");
    const client = await signedIn(port, "ada", "");
    const waiting = await signedIn(port, "ada", "");
    expect(await client.ask("SET", "a", "1")).toBe("+OK");
    expect(await client.ask("SET", "b", "1")).toBe(NO_KEY);
    await admin.ask("ACL", "SETUSER", "ada", "-set", "~b");
    expect(await client.ask("SET", "b", "1")).toBe(NO_COMMAND("set"));
    expect(await client.ask("GET", "b")).toBe("$-1");
    await admin.ask("ACL", "SETUSER", "ada", "+blpop", "~*");
    waiting.send("BLPOP", "list", "0");
    await until("it waits", async () =>
      String(await admin.ask("INFO", "clients")).includes("blocked_clients:1"),
    );
    expect(await admin.ask("ACL", "DELUSER", "ada", "nobody")).toBe(":1");
    await client.closed;
    await waiting.closed;
    expect(await admin.ask("ACL", "WHOAMI")).toBe("$default");
    expect(await new TestClient(port).ask("AUTH", "ada", "")).toBe(WRONG);
  });

  test("may delete themselves, and have the answer to that", async () => {
    const port = await start();
    await new TestClient(port).ask("ACL", "SETUSER", "ada", "on", "nopass", "+@all", "~*", "&*");
    const client = await signedIn(port, "ada", "");
    client.send("ACL", "DELUSER", "ada");
    client.send("PING");
    expect(await client.next()).toBe(":1");
    expect(await client.next()).toBe("closed");
  });

  test("are closed if they listen to what they may not listen to any more", async () => {
    const port = await start();
    const admin = new TestClient(port);
    const all = ["on", "nopass", "+@all", "resetchannels", "&news", "&other", "&pat.*"];
    await admin.ask("ACL", "SETUSER", "ada", ...all);
    const [first, second, third] = await Promise.all(
      [0, 1, 2].map(() => signedIn(port, "ada", "")),
    );
    expect(await first?.ask("SUBSCRIBE", "secret")).toBe(NO_CHANNEL);
    expect(await first?.ask("PSUBSCRIBE", "new*")).toBe(NO_CHANNEL);
    expect(await first?.ask("PUBLISH", "secret", "x")).toBe(NO_CHANNEL);
    expect(await first?.ask("SUBSCRIBE", "news")).toEqual(["*", "$subscribe", "$news", ":1"]);
    expect(await second?.ask("SUBSCRIBE", "other")).toEqual(["*", "$subscribe", "$other", ":1"]);
    expect(await third?.ask("PSUBSCRIBE", "pat.*")).toEqual(["*", "$psubscribe", "$pat.*", ":1"]);
    await admin.ask("ACL", "SETUSER", "ada", "resetchannels", "&news", "&pat.a");
    await second?.closed;
    await third?.closed;
    expect(await admin.ask("PUBLISH", "news", "hello")).toBe(":1");
    expect(await first?.next()).toEqual(["*", "$message", "$news", "$hello"]);
  });

  test("have their transactions looked at when they are queued, and at their end", async () => {
    const port = await start();
    const admin = new TestClient(port);
    await admin.ask("ACL", "SETUSER", "ada", "on", "nopass", "+@all", "~a*");
    const client = await signedIn(port, "ada", "");
    expect(await client.ask("MULTI")).toBe("+OK");
    expect(await client.ask("SET", "b", "1")).toBe(NO_KEY);
    expect(await client.ask("EXEC")).toBe(
      "-EXECABORT Transaction discarded because of previous errors.",
    );
    expect(await client.ask("MULTI")).toBe("+OK");
    for (const words of [
      ["SET", "a", "1"],
      ["SET", "a2", "2"],
      ["GET", "a"],
    ])
      expect(await client.ask(...words)).toBe("+QUEUED");
    await admin.ask("ACL", "SETUSER", "ada", "resetkeys", "~a");
    expect(await client.ask("EXEC")).toEqual([
      ...["*", "+OK"],
      "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. " +
        "This command is no longer allowed for the following reason: no permission to touch the specified keys",
      "$1",
    ]);
    expect(await admin.ask("EXISTS", "a2")).toBe(":0");
    await client.ask("MULTI");
    await admin.ask("ACL", "SETUSER", "ada", "-exec");
    expect(await client.ask("EXEC")).toBe(
      `-EXECABORT Transaction discarded because of: ${NO_COMMAND("exec").slice(1)}`,
    );
    expect(await client.ask("GET", "a")).toBe("$1");
  });

  test("have what was denied to them noted, the same only once", async () => {
    const port = await start();
    const admin = new TestClient(port);
    await admin.ask("ACL", "SETUSER", "ada", "on", ">p", "+get", "+multi", "~a");
    const client = await signedIn(port, "ada", "p");
    await client.ask("GET", "b");
    await client.ask("GET", "b");
    await client.ask("CONFIG", "GET", "x");
    await client.ask("MULTI");
    await client.ask("GET", "c");
    await client.ask("AUTH", "eve", "x");
    const told = async (...words: readonly string[]): Promise<unknown[]> => {
      const heard = (await admin.ask("ACL", "LOG", ...words)) as readonly (readonly string[])[];
      const names = ["count", "reason", "context", "object", "username"];
      return heard.slice(1).map((entry) => {
        const fact = (name: string): string => String(entry[entry.indexOf(`$${name}`) + 1]);
        expect(fact("client-info")).toMatch(/^\$id=\d+ addr=/);
        expect(Number(fact("age-seconds").slice(1))).toBeLessThan(60);
        return names.map(fact).join(" ");
      });
    };
    const all = await told();
    expect(all.slice(-3)).toEqual([
      ":1 $key $multi $c $ada",
      ":1 $command $toplevel $config|get $ada",
      ":2 $key $toplevel $b $ada",
    ]);
    expect(await told("1")).toEqual(all.slice(0, 1));
    expect(await admin.ask("ACL", "LOG", "RESET")).toBe("+OK");
    expect(await told()).toEqual([]);
    const other = new TestClient(port);
    await other.ask("AUTH", "eve", "x");
    expect(await told()).toEqual([expect.stringMatching(/^:1 \$auth \$toplevel \$auth \$eve$/i)]);
  });
});

describe("a store", () => {
  test("lets its own commands be allowed one by one", async () => {
    const port = await portOf();
    const admin = new TestClient(port);
    const rules = ["on", "nopass", "+tidemark|token", "+tidemark|status"];
    expect(await admin.ask("ACL", "SETUSER", "ada", ...rules)).toBe("+OK");
    expect(await admin.ask("ACL", "SETUSER", "eve", "on", "nopass", "+@all", "-@dangerous")).toBe(
      "+OK",
    );
    const [ada, eve] = [await signedIn(port, "ada", ""), await signedIn(port, "eve", "")];
    expect(await ada.ask("TIDEMARK", "TOKEN")).toMatch(/^\$\d+-\d+$/);
    expect(await ada.ask("TIDEMARK", "SNAPSHOT")).toBe(NO_COMMAND("tidemark|snapshot"));
    expect(await eve.ask("TIDEMARK", "STATUS")).toContain("$process");
    for (const name of ["SNAPSHOT", "SNAPSHOTS", "EXPLAIN"])
      expect(await eve.ask("TIDEMARK", name)).toBe(NO_COMMAND(`tidemark|${name.toLowerCase()}`));
    expect(await eve.ask("TIDEMARK", "RESTORE", "x")).toBe(NO_COMMAND("tidemark|restore"));
    expect(await admin.ask("ACL", "CAT", "dangerous")).toContain("$tidemark|restore");
    expect((await admin.ask("ACL", "LIST"))[1]).toContain("+tidemark|token +tidemark|status");
  });

  test("has all replies in order for a user who may not do everything", async () => {
    const port = await portOf();
    const admin = new TestClient(port);
    await admin.ask("ACL", "SETUSER", "ada", "on", "nopass", "+@all", "~a*");
    const client = await signedIn(port, "ada", "");
    const many = 300;
    for (let i = 0; i < many; i += 1) {
      client.send("SET", `a${i}`, String(i));
      client.send("SET", `b${i}`, String(i));
      client.send("GET", `a${i}`);
      client.send("GET", `b${i}`);
    }
    for (let i = 0; i < many; i += 1)
      expect([
        await client.next(),
        await client.next(),
        await client.next(),
        await client.next(),
      ]).toEqual([...["+OK", NO_KEY, `$${i}`, NO_KEY]]);
    expect(await admin.ask("DBSIZE")).toBe(`:${many}`);
  });

  test("does nothing of what is denied, at no replica, and makes no room for it", async () => {
    const members = await startStore(2, {}, { causal: ["cart:*"] });
    const [one, two] = members.map(({ server }) => new TestClient(server.port));
    const port = members[0]?.server.port ?? 0;
    await one?.ask("SET", "cart:1", "x");
    await one?.ask("SET", "plain", "x");
    await one?.ask("ACL", "SETUSER", "ada", "on", "nopass", "+@all", "-flushall", "~plain");
    const ada = await signedIn(port, "ada", "");
    expect(await ada.ask("FLUSHALL")).toBe(NO_COMMAND("flushall"));
    expect(await ada.ask("SET", "cart:1", "y")).toBe(NO_KEY);
    await ada.ask("MULTI");
    await ada.ask("SET", "plain", "y");
    await ada.ask("INCR", "plain");
    await one?.ask("ACL", "SETUSER", "ada", "-set");
    const heard = await ada.ask("EXEC");
    expect(heard[1]).toContain("no longer allowed");
    expect(heard[2]).toContain("not an integer");
    for (const client of [one, two]) {
      await until("both have it", async () => (await client?.ask("GET", "cart:1")) === "$x");
      expect(await client?.ask("GET", "plain")).toBe("$x");
    }
  });

  test("has users of each process for itself", async () => {
    const members = await startStore(2);
    const [one, two] = members.map(({ server }) => new TestClient(server.port));
    await one?.ask("ACL", "SETUSER", "ada");
    expect(await one?.ask("ACL", "USERS")).toEqual(["*", "$ada", "$default"]);
    expect(await two?.ask("ACL", "USERS")).toEqual(["*", "$default"]);
  });

  test("makes passwords of as many digits as are asked for, and never the same", async () => {
    const client = new TestClient(await portOf());
    expect(await client.ask("ACL", "GENPASS")).toMatch(/^\$[0-9a-f]{64}$/);
    expect(await client.ask("ACL", "GENPASS", "5")).toMatch(/^\$[0-9a-f]{2}$/);
    const made = new Set<unknown>();
    for (let i = 0; i < 20; i += 1) made.add(await client.ask("ACL", "GENPASS", "128"));
    expect(made.size).toBe(20);
  });

  test("shows a password to nobody", async () => {
    const SECRET = "hunter2hunter2";
    const [member] = await startStore(1, { "slowlog-log-slower-than": "0" });
    const { port = 0 } = member?.server ?? {};
    const client = new TestClient(port);
    const monitor = new TestClient(port);
    expect(await monitor.ask("MONITOR")).toBe("+OK");
    let seen = "";
    monitor.socket.on("data", (bytes) => (seen += bytes.toString("latin1")));
    await client.ask("ACL", "SETUSER", "ada", "on", `>${SECRET}`, "+@all", "~*", "&*");
    await client.ask("AUTH", "ada", SECRET);
    await client.ask("AUTH", "ada", `${SECRET}x`);
    await client.ask("HELLO", "2", "AUTH", "ada", SECRET);
    await client.ask("CONFIG", "SET", "requirepass", SECRET);
    // In a transaction they would get into the log of every replica.
    const secrets = [
      ["AUTH", "ada", SECRET],
      ["HELLO", "2", "AUTH", "ada", SECRET],
      ["ACL", "SETUSER", "ada", `>${SECRET}`],
      ["CONFIG", "SET", "requirepass", SECRET],
    ];
    for (const words of secrets) {
      await client.ask("MULTI");
      expect(await client.ask(...words)).toMatch(/^-ERR Command not allowed inside a transaction/);
      await client.ask("DISCARD");
    }
    expect(await client.ask("ACL", "SETUSER", "ada", `<${SECRET}y`)).not.toContain(SECRET);
    await client.ask("ECHO", "last");
    await until("it was seen", () => seen.includes("last"));
    const told = await Promise.all([
      client.ask("SLOWLOG", "GET", "-1"),
      client.ask("ACL", "LOG"),
      client.ask("ACL", "LIST"),
      client.ask("ACL", "GETUSER", "ada"),
      client.ask("CLIENT", "LIST"),
      client.ask("INFO"),
    ]);
    expect(JSON.stringify(told)).toContain("(redacted)");
    expect(JSON.stringify(told)).not.toContain(SECRET);
    expect(seen).not.toContain(SECRET);
    const captured = JSON.stringify(member?.replica.capture().next());
    expect(captured).not.toContain(SECRET);
  });
});

test("of what is denied, not more is kept than somebody can read", () => {
  const users = new Users(commandTable.commands, { changing: () => {}, removed: () => {} });
  const denied = { context: "toplevel", user: "u", client: "", atMs: 0, reason: "key" } as const;
  for (let i = 0; i < 20; i += 1) users.log.add({ ...denied, object: `${i}${"x".repeat(1e6)}` }, 5);
  expect(users.log.requests.map(({ object }) => object.slice(0, 3))).toEqual(
    [19, 18, 17, 16, 15].map((i) => `${i}x`),
  );
  expect(users.log.requests.every(({ object }) => object.length <= 1024)).toBe(true);
});

test("of every command that has keys it is known what becomes of them", () => {
  const every = [...everyCommand(commandTable.commands)].filter(([, , { keys }]) => keys);
  expect(every.length).toBeGreaterThan(100);
  for (const [name, , command] of every) {
    const words = name === "sort" ? ["sort", "k", "STORE", "d"] : [name, ...Array(6).fill("1")];
    const uses = keyPlaces(command, words).map((place) => useOfKey(name, words, place));
    expect(uses.length, name).toBeGreaterThan(0);
    expect(
      uses.some(({ writes }) => writes),
      name,
    ).toBe(command.isWrite);
  }
});

describe("a file of users", () => {
  const at = (text: string): string => join(directoryWith({ "users.acl": text }), "users.acl");

  test("is read at the start and by ACL LOAD, all of it or nothing", async () => {
    const file = at("user ada on >p +get ~a\n\nuser bob on nopass +@all ~* &*\n");
    const port = await portOf({}, file);
    const admin = new TestClient(port);
    expect(await admin.ask("ACL", "USERS")).toEqual(["*", "$ada", "$bob", "$default"]);
    const [ada, bob] = [await signedIn(port, "ada", "p"), await signedIn(port, "bob", "")];
    writeFileSync(
      file,
      "user ada on >p +get ~b\nuser eve +nothing\nperson x\nuser ada\nuser y (+get\n",
    );
    const refused = String(await bob.ask("ACL", "LOAD"));
    for (const part of [
      `${file}:2: Unknown command or category name in ACL ('+nothing')`,
      `${file}:3: should start with user keyword followed by the username`,
      `${file}:4: Duplicate user 'ada'`,
      `${file}:5: Unmatched parenthesis`,
      "no change to the previously active ACL rules was performed",
    ])
      expect(refused).toContain(part);
    expect(await ada.ask("GET", "a")).toBe("$-1");
    writeFileSync(file, "user ada on >p +get ~b\r\n");
    expect(await bob.ask("ACL", "LOAD")).toBe("+OK");
    // As Redis 7.0, all who are not the default user have to sign in again.
    await Promise.all([ada.closed, bob.closed]);
    const again = await signedIn(port, "ada", "p");
    expect(await again.ask("GET", "a")).toBe(NO_KEY);
    expect(await admin.ask("ACL", "USERS")).toEqual(["*", "$ada", "$default"]);
  });

  test("says who the default user is; if not, the setting does", async () => {
    const file = at("user ada on nopass +@all ~*\n");
    const port = await portOf({ requirepass: "secret" }, file);
    const client = new TestClient(port);
    expect(await client.ask("PING")).toBe("-NOAUTH Authentication required.");
    expect(await client.ask("AUTH", "secret")).toBe("+OK");
    expect(await client.ask("ACL", "LOAD")).toBe("+OK");
    expect(await new TestClient(port).ask("PING")).toBe("-NOAUTH Authentication required.");
    writeFileSync(file, "user default off\nuser ada on nopass +@all ~*\n");
    expect(await client.ask("ACL", "LOAD")).toBe("+OK");
    expect(await client.ask("PING")).toBe(NO_COMMAND("ping"));
    expect(await new TestClient(port).ask("AUTH", "secret")).toBe(WRONG);
  });

  test("is written as a whole, for its owner alone, with no password in it", async () => {
    const file = at("user ada on >opensesame +get ~a\n");
    const link = join(directoryWith({}), "link");
    symlinkSync(file, link);
    const client = new TestClient(await portOf({}, link));
    const rules = ["on", ">opensesame", "+@read", "%R~b", "(+set ~c)", "+select|0"];
    expect(await client.ask("ACL", "SETUSER", "bob", ...rules)).toBe("+OK");
    const before = (await client.ask("ACL", "LIST")) as readonly string[];
    expect(await client.ask("ACL", "SAVE")).toBe("+OK");
    const text = readFileSync(file, "utf8");
    expect(text).not.toContain("opensesame");
    expect(text.trimEnd().split("\n")).toEqual(before.slice(1).map((line) => line.slice(1)));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(file, ".."))).toEqual(["users.acl"]);
    expect(await client.ask("ACL", "LOAD")).toBe("+OK");
    expect(await client.ask("ACL", "LIST")).toEqual(before);
    // What could not be read again is not written.
    expect(await client.ask("ACL", "SETUSER", "eve", "(~a) +get)")).toBe("+OK");
    expect(await client.ask("ACL", "SAVE")).toMatch(/^-ERR There was an error trying to save/);
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  test("that cannot be written or read leaves everything as it was", async () => {
    const directory = directoryWith({ "users.acl": "user ada on nopass +@all ~*\n" });
    const file = join(directory, "users.acl");
    const client = new TestClient(await portOf({}, file));
    const { renameSync, mkdirSync } = await import("node:fs");
    renameSync(file, join(directory, "away"));
    expect(await client.ask("ACL", "LOAD")).toMatch(/^-ERR Error loading ACLs, opening file/);
    mkdirSync(join(file, "in-the-way"), { recursive: true });
    expect(await client.ask("ACL", "SAVE")).toMatch(/^-ERR There was an error trying to save/);
    expect(readdirSync(directory).sort()).toEqual(["away", "users.acl"]);
    expect(await client.ask("ACL", "USERS")).toEqual(["*", "$ada", "$default"]);
  });

  test("that is wrong is refused before anything starts, by line, and without what may be a password", async () => {
    const problemOf = (path: string): string => {
      try {
        checkUsersFile(path);
      } catch (thrown) {
        if (isTidemarkError(thrown, "BAD_OPTION")) return thrown.message;
        throw thrown;
      }
      return expect.fail("it was taken");
    };
    const file = at("user ada on\nuser bob +get opensesame\nuser cy <opensesame\n");
    expect(problemOf(file)).toContain(`${file}:2: Syntax error`);
    expect(problemOf(file)).toContain(`${file}:3: The password you are trying to remove`);
    expect(problemOf(file)).not.toContain("opensesame");
    expect(problemOf("/nowhere/at-all")).toContain("ENOENT");
    expect(problemOf(directoryWith({}))).toContain("is no file");
    await expect(startStore(1, {}, {}, { users: file })).rejects.toThrow("Syntax error");
    expect(existsSync(file)).toBe(true);
  });

  test("without one, there is nothing to load or save", async () => {
    const client = new TestClient(await portOf());
    expect(await client.ask("ACL", "LOAD")).toMatch(/^-ERR This store is not configured/);
    expect(await client.ask("ACL", "SAVE")).toMatch(/^-ERR This store is not configured/);
  });
});

test("what a user is described as, makes the same user again", () => {
  const users = new Users(commandTable.commands, { changing: () => {}, removed: () => {} });
  const names = commandTable.commands.map(({ name }) => name);
  for (const [i, name] of names.entries()) {
    const rules = [
      `+${name}`,
      `-${names[(i * 7) % names.length]}`,
      "+@read",
      "-@set",
      `%R~${name}*`,
    ];
    users.set(`u${i}`, i % 2 === 0 ? rules : ["+@all", ...rules]);
  }
  for (const name of ["a", "a\x01", "a1", "A", "\xff"]) users.set(name, ["on"]);
  expect(users.isIn(users.text)).toBe(true);
  expect(users.isIn(users.text.replace("%R~get*", "%W~get*"))).toBe(false);
});
