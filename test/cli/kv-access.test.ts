/** `tidemark kv` with users and with TLS, as operating-system processes, and the commands and the page that talk to it. */

import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { runningStoreBackend, storeBackend } from "../../src/cli/page-store.ts";
import { parseRedisUrl, withTls } from "../../src/cli/redis-url.ts";
import { ownAddressTls } from "../../src/serve/client-tls.ts";
import { type RedisAddress, RedisConnection } from "../../src/serve/redis-connection.ts";
import type { SystemStatus } from "../../src/serve/system-methods.ts";
import {
  directoryOf,
  directoryWith,
  lacksOpenssl,
  newAuthority,
  serverCertificate,
} from "../serve/certified.ts";
import { startStore, TestClient } from "../serve/store.ts";
import { freePorts } from "../support/ports.ts";
import { filesBelow, Started, temporaryDirectory, tidemark, until } from "./support/command.ts";
import { transfer } from "./support/transfer.ts";

const SECRET = "correct-horse-battery";

describe.skipIf(lacksOpenssl)("a store with users and TLS", () => {
  test("serves who may, keeps its users over a death, and no password anywhere", {
    timeout: 120_000,
  }, async () => {
    const authority = newAuthority();
    const certificates = directoryOf(serverCertificate(authority));
    const trust = directoryWith({ "ca.pem": authority.ca });
    const file = join(directoryWith({ users: "user default off\n" }), "users");
    writeFileSync(
      file,
      `user default off\nuser ada on >${SECRET} +@all ~* &*\nuser bob on nopass +get ~a*\n`,
    );
    const directory = temporaryDirectory();
    const port = await freePorts(2);
    const args = ["kv", "--processes", "2", "--port", String(port), "--dir", directory];
    const store = new Started([
      ...args,
      "--users",
      file,
      "--client-tls",
      certificates,
      "--log",
      "always",
    ]);
    const client = async (at: number, user: string, password: string): Promise<TestClient> => {
      let found: TestClient | undefined;
      await until("the store to serve", async () => {
        const trying = new TestClient(at, { ca: authority.ca });
        const heard = await Promise.race([trying.ask("AUTH", user, password), trying.closed]);
        if (heard === "+OK") found = trying;
        return heard === "+OK";
      });
      return found as TestClient;
    };
    const ada = await client(port, "ada", SECRET);
    const bob = await client(port + 1, "bob", "");
    expect(await ada.ask("SET", "a", "1")).toBe("+OK");
    await until("both have it", async () => (await bob.ask("GET", "a")) === "$1");
    expect(await bob.ask("GET", "b")).toMatch(/^-NOPERM/);
    expect(await ada.ask("ACL", "SETUSER", "eve", "on", `>${SECRET}2`, "+@read", "~*")).toBe("+OK");
    expect(await ada.ask("ACL", "SAVE")).toBe("+OK");
    expect(readFileSync(file, "utf8")).not.toContain(SECRET);

    // Of keys that a user may write, from a store into itself.
    const address = `rediss://ada:${SECRET}@localhost:${port}`;
    const out = join(directory, "keys.resp");
    const exported = await transfer(["export", "--from", address, "--tls", trust, out]);
    expect(exported).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(out, "latin1")).toContain("$1\r\na\r\n$1\r\n1\r\n");
    const untrusted = await transfer(["export", "--from", address, join(directory, "other")]);
    expect(untrusted.status).toBe(1);
    expect(untrusted.stderr).toMatch(/certificate/);
    const plain = await transfer(["export", "--from", address.replace("rediss", "redis"), "-"]);
    expect(plain.status).toBe(1);
    for (const { stderr } of [untrusted, plain]) expect(stderr).not.toContain(SECRET);

    const pid = /process_id:(\d+)/.exec(String(await ada.ask("INFO", "server")))?.[1];
    process.kill(Number(pid), "SIGKILL");
    const eve = await client(port, "eve", `${SECRET}2`);
    await until("it knows again what it knew", async () => (await eve.ask("GET", "a")) === "$1");
    expect(await eve.ask("SET", "a", "2")).toMatch(/^-NOPERM/);
    const again = await client(port + 1, "ada", SECRET);
    expect(await again.ask("TIDEMARK", "SNAPSHOT", "full")).toMatch(/^\$/);
    store.child.kill("SIGINT");
    const { status, stdout, stderr } = await store.ended;
    expect(status).toBe(0);
    expect(stdout.split("\n")[0]).toContain(`p2 serves 127.0.0.1:${port + 1}, with TLS)`);
    expect(stdout + stderr).not.toContain(SECRET);
    const found = filesBelow(directory).filter((path) =>
      readFileSync(path, "latin1").includes(SECRET),
    );
    expect(found).toEqual([]);
  });

  test("does not start with files that are wrong, and says which", async () => {
    const users = join(directoryWith({ users: "user ada on\nuser bob +gte\n" }), "users");
    const bad = async (...words: readonly string[]): Promise<string> => {
      const { status, stderr } = await tidemark(["kv", "--dir", temporaryDirectory(), ...words]);
      expect(status).toBe(2);
      return stderr;
    };
    expect(await bad("--users", users)).toContain(
      `${users}:2: Unknown command or category name in ACL ('+gte')`,
    );
    expect(await bad("--users", `${users}-none`)).toContain("ENOENT");
    expect(await bad("--client-tls", "/nowhere")).toContain("cert.pem cannot be read");
  });
});

describe.skipIf(lacksOpenssl)("a connection to a store with TLS", () => {
  const problemOf = (address: RedisAddress): Promise<string> =>
    RedisConnection.open(address).then(
      () => "none",
      (error: Error) => error.message,
    );

  test("takes the certificate of its directory and no other, and shows it", async () => {
    const authority = newAuthority();
    const certificate = authority.sign("store", { names: [] });
    const other = serverCertificate(authority);
    // Clients have to show one that is signed: that of the directory is.
    const directory = directoryOf(certificate, authority.ca);
    const [member] = await startStore(1, {}, {}, { clientTls: directory });
    const address = { host: "127.0.0.1", port: member?.server.port ?? 0 };
    const addresses = new Map([["p1", { ...address, host: "0.0.0.0" }]]);
    const status = async (): Promise<SystemStatus> =>
      ({
        kind: "store",
        processes: [{ process: "p1", serves: `0.0.0.0:${address.port}`, clientTls: directory }],
      }) as unknown as SystemStatus;
    for (const backend of [
      storeBackend({ addresses, clientTls: directory }),
      runningStoreBackend("somewhere", status),
    ]) {
      const reached = (await backend.serves()).get("p1") as RedisAddress;
      const connection = await RedisConnection.open(reached);
      expect(await connection.ask("PING")).toBe("PONG");
      connection.close();
    }
    const wrong = {
      ...ownAddressTls(directory),
      fingerprint: ownAddressTls(directoryOf(other)).fingerprint ?? "",
    };
    expect(await problemOf({ ...address, tls: wrong })).toContain("shows another certificate");
    expect(await problemOf({ ...address, tls: {} })).toMatch(/does not answer: .*certificate/);
    expect(await problemOf(address)).toMatch(/closed the connection|broke/);
  });

  test("fails, and does not wait, if nobody speaks TLS there, or nobody answers", async () => {
    const [member] = await startStore(1);
    const port = member?.server.port ?? 0;
    const directory = directoryOf(serverCertificate(newAuthority()));
    const tls = ownAddressTls(directory);
    expect(await problemOf({ host: "127.0.0.1", port, tls })).not.toBe("none");
    const mute = createServer((socket) => void socket.on("error", () => {}));
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      mute.close();
    });
    const at = mute.address();
    const muted = { host: "127.0.0.1", port: typeof at === "object" && at ? at.port : 0, tls };
    const opening = RedisConnection.openAs(muted, {
      form: { problemOf: () => undefined } as never,
      openMs: 100,
    });
    await expect(opening).rejects.toThrow("does not answer: not within 0.1 s");
  });

  test("has what it is given for it", () => {
    const address = parseRedisUrl("rediss://a:1");
    const directory = directoryWith({ "ca.pem": "A", "key.pem": "K" });
    expect(withTls(address, directory)).toMatchObject({ tls: { ca: "A", key: "K" } });
    expect(withTls(address, undefined)).toEqual(address);
    expect(withTls(parseRedisUrl("redis://a:1"), directory)).toEqual({ host: "a", port: 1 });
    expect(() => withTls(address, directoryWith({}))).toThrow("has no ca.pem");
  });
});
