import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { DiscardPolicy, jetstreamManager } from "@nats-io/jetstream";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  checkClock,
  checkControlSocket,
  checkDirectory,
  checkFlush,
  checkNats,
  checkNode,
  checkOpenFiles,
  checkPort,
  checkTls,
  checkVersions,
  judgeDisk,
} from "../../src/cli/doctor-checks.ts";
import type { NatsPlace } from "../../src/cli/nats-options.ts";
import { Membership } from "../../src/nats/members.ts";
import { natsOrderLog } from "../../src/nats/nats-order-log.ts";
import { natsStore } from "../../src/nats/nats-store.ts";
import { commit } from "../../src/runtime/snapshot-store-contract.ts";
import type { SystemStatus, SystemVersions } from "../../src/serve/system-methods.ts";
import { lacksNats, NatsCluster, NatsServer, withNats } from "../nats/support.ts";
import { directoryOf, lacksOpenssl, newAuthority } from "../serve/certified.ts";
import { freePorts } from "../support/ports.ts";
import {
  packageVersion,
  parseLines,
  Started,
  temporaryDirectory,
  tidemark,
  until,
} from "./support/command.ts";

/** Valid from 2026-11-28 until 2027-11-28, made for these tests; and its key. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBhTCCASugAwIBAgIUHMawZLV81KslhI8EG+j8q6juwo8wCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNc3RvcmUuZXhhbXBsZTAeFw0yNjExMjgwNTE0MTFaFw0yNzEx
MjgwNTE0MTFaMBgxFjAUBgNVBAMMDXN0b3JlLmV4YW1wbGUwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAQ+IwKkKenquuOLaA93EVwA67xQoha4VkmrG2nKfsJFqVA+
pN2keAXdoM5XXcGS6gXH5g8eZgM7jncXnKxX74Cxo1MwUTAdBgNVHQ4EFgQUj0I5
fk2NscXfs/ASUxOVgGSfzxMwHwYDVR0jBBgwFoAUj0I5fk2NscXfs/ASUxOVgGSf
zxMwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAoGuHNSordSEW
9ZBHt5OsVQzfOg/paeventO1UGMV1oUCICujNMSTjNTeJGPgHZWiIpRwr3tRmwvg
kDerhlVfKYGr
-----END CERTIFICATE-----
`;
const KEY = `-----BEGIN EC ${"PRIVATE"} KEY-----
MHcCAQEEIDQ/7JRsczedtnPu535fvtodqqsE90T27O3+UujHvA7GoAoGCCqGSM49
AwEHoUQDQgAEPiMCpCnp6rrji2gPdxFcAOu8UKIWuFZJqxtpyn7CRalQPqTdpHgF
3aDOV13BkuoFx+YPHmYDO453F5ysV++AsQ==
-----END EC ${"PRIVATE"} KEY-----
`;
const DURING_MS = Date.parse("2027-01-01");

test("a Node that is too old is a failure, whichever part is less", () => {
  const version = fc.tuple(fc.nat(40), fc.nat(40), fc.nat(40));
  fc.assert(
    fc.property(version, version, (have, need) => {
      const isEnough =
        have[0] !== need[0]
          ? have[0] > need[0]
          : have[1] !== need[1]
            ? have[1] > need[1]
            : have[2] >= need[2];
      const { verdict } = checkNode(have.join("."), `>=${need.join(".")}`);
      expect(verdict).toBe(isEnough ? "ok" : "failure");
    }),
    { seed: 1 },
  );
  expect(checkNode("22.18.0", ">=22.18").verdict).toBe("ok");
  expect(checkNode("22.17.9", ">=22.18").verdict).toBe("failure");
});

test.for([
  [undefined, "ok"],
  ["unlimited", "ok"],
  [65_536, "ok"],
  [1_024, "warning"],
  [64, "failure"],
] as const)("of %s open files is said: %s", ([soft, verdict]) => {
  expect(checkOpenFiles(soft).verdict).toBe(verdict);
});

test.for([
  [2 ** 36, "ok"],
  [2 ** 29, "warning"],
  [2 ** 20, "failure"],
  [0, "failure"],
] as const)("of %d free bytes is said: %s", ([free, verdict]) => {
  expect(judgeDisk(free, 2 ** 40).verdict).toBe(verdict);
});

describe("a directory", () => {
  test.for([
    [0o700, "ok"],
    [0o750, "warning"],
    [0o755, "warning"],
    [0o770, "failure"],
    [0o777, "failure"],
  ] as const)("with mode %o", async ([mode, verdict]) => {
    const directory = join(temporaryDirectory(), "store");
    mkdirSync(directory);
    chmodSync(directory, mode);
    const finding = await checkDirectory(directory);
    expect(finding.verdict).toBe(verdict);
    expect(finding.advice === undefined).toBe(verdict === "ok");
  });

  test("that is not there yet, or is a file", async () => {
    const directory = temporaryDirectory();
    expect((await checkDirectory(join(directory, "a", "b"))).verdict).toBe("ok");
    writeFileSync(join(directory, "file"), "");
    expect((await checkDirectory(join(directory, "file"))).verdict).toBe("failure");
  });

  test("is as it was when what is written there has been flushed", async () => {
    const directory = temporaryDirectory();
    expect((await checkFlush(directory)).verdict).not.toBe("failure");
    expect(readdirSync(directory)).toEqual([]);
    // It says of one that is not there what it says of the one above it, and makes neither.
    expect((await checkFlush(join(directory, "a", "b"))).verdict).not.toBe("failure");
    expect(readdirSync(directory)).toEqual([]);
    writeFileSync(join(directory, "file"), "");
    expect(await checkFlush(join(directory, "file"))).toMatchObject({
      verdict: "failure",
      advice: expect.stringMatching(/--no-sync/),
    });
  });

  test("whose control socket is none, or is for others, too", async () => {
    const directory = temporaryDirectory();
    expect((await checkControlSocket(directory, false)).verdict).toBe("ok");
    writeFileSync(join(directory, "control.sock"), "");
    expect((await checkControlSocket(directory, false)).verdict).toBe("failure");
    const other = temporaryDirectory();
    const server = createServer();
    onTestFinished(() => void server.close());
    await new Promise<void>((settle) => server.listen(join(other, "control.sock"), settle));
    chmodSync(join(other, "control.sock"), 0o666);
    expect((await checkControlSocket(other, true)).verdict).toBe("failure");
    chmodSync(join(other, "control.sock"), 0o600);
    expect((await checkControlSocket(other, true)).verdict).toBe("ok");
  });
});

const own = { version: "1.0.0", node: "24.0.0" };
const running = (...clocks: readonly number[]): SystemVersions => ({
  ...own,
  processes: clocks.map((clockSetMs, i) => ({ process: `p${i + 1}`, ...own, clockSetMs })),
});
const status = (...ids: readonly string[]): SystemStatus => ({
  ...{ kind: "store", pid: 1, directory: "", startedAtMs: 0, snapshots: 0 },
  processes: ids.map((process) => ({
    ...{ process, pid: 2, address: "127.0.0.1:7001", serves: "127.0.0.1:7379" },
    ...{ up: true, epoch: 1 },
  })),
});

test("processes of another version are told, and those that do not answer", () => {
  const verdictOf = (...args: Parameters<typeof checkVersions>) => checkVersions(...args).verdict;
  expect(verdictOf(own, undefined, undefined)).toBe("ok");
  expect(verdictOf(own, undefined, status("p1"))).toBe("warning");
  expect(verdictOf(own, running(0, 0), status("p1", "p2"))).toBe("ok");
  expect(verdictOf(own, running(0), status("p1", "p2"))).toBe("failure");
  expect(checkVersions({ ...own, version: "1.1.0" }, running(0), status("p1"))).toMatchObject({
    verdict: "warning",
    found: expect.stringMatching(/1\.1\.0.*its parent of 1\.0\.0.*p1 of 1\.0\.0/),
  });
});

test("a clock that was set while processes ran is told", () => {
  expect(checkClock(undefined).verdict).toBe("ok");
  expect(checkClock(running(0.5, -3)).verdict).toBe("ok");
  expect(checkClock(running(0, 5_000))).toMatchObject({
    verdict: "warning",
    found: expect.stringMatching(/5\.0 s apart/),
  });
  expect(checkClock(running(-7_200_000, -7_200_000))).toMatchObject({
    verdict: "warning",
    found: expect.stringMatching(/since p1 was started/),
  });
});

test("a port is free, or somebody has it", async () => {
  const server = createServer();
  await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const taken = await checkPort({ host: "127.0.0.1", port }, status("p1"));
  expect(taken.verdict).toBe("failure");
  if (process.platform === "linux") expect(taken.found).toContain(`process ${process.pid} (`);
  const free = await freePorts(1);
  expect(await checkPort({ host: "127.0.0.1", port: free }, undefined)).toMatchObject({
    verdict: "ok",
  });
});

describe("certificates and keys", () => {
  const directoryOf = (files: Readonly<Record<string, string>>): string => {
    const directory = temporaryDirectory();
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(directory, name), text);
      chmodSync(join(directory, name), 0o600);
    }
    return directory;
  };
  const verdictsOf = async (directory: string, nowMs = DURING_MS) =>
    (await checkTls(directory, nowMs)).map(({ verdict }) => verdict);

  test.for([
    ["2026-01-01", "failure"],
    ["2027-01-01", "ok"],
    ["2027-11-20", "warning"],
    ["2028-01-01", "failure"],
  ] as const)("on %s a certificate is: %s", async ([day, verdict]) => {
    const directory = directoryOf({ "cert.pem": CERTIFICATE, "key.pem": KEY, "notes.txt": "x" });
    expect(await verdictsOf(directory, Date.parse(day))).toEqual([verdict, "ok"]);
  });

  test("a key that others may read, or that no certificate is for, is a failure", async () => {
    const directory = directoryOf({ "cert.pem": CERTIFICATE, "key.pem": KEY });
    chmodSync(join(directory, "key.pem"), 0o640);
    expect(await verdictsOf(directory)).toEqual(["ok", "failure"]);
    const { privateKey } = generateKeyPairSync("ed25519");
    const other = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    expect(
      await checkTls(directoryOf({ "c.crt": CERTIFICATE, "k.key": other }), DURING_MS),
    ).toEqual([
      expect.objectContaining({ verdict: "ok" }),
      expect.objectContaining({ verdict: "ok" }),
      expect.objectContaining({
        verdict: "failure",
        found: expect.stringMatching(/no certificate there/),
      }),
    ]);
  });

  test("what is none is told, and no key is ever printed", async () => {
    expect(await verdictsOf(directoryOf({}))).toEqual(["failure"]);
    expect(await verdictsOf(join(temporaryDirectory(), "none"))).toEqual(["failure"]);
    const broken = {
      "a.pem": "x",
      "b.pem": CERTIFICATE.replaceAll("A", "B"),
      "c.key": KEY.slice(0, 90),
    };
    const findings = await checkTls(directoryOf(broken), DURING_MS);
    expect(findings.every(({ verdict }) => verdict === "failure")).toBe(true);
    expect(JSON.stringify(findings)).not.toContain("MHcCAQEE");
  });
});

const place = (servers: string, more: Partial<NatsPlace> = {}): NatsPlace => ({
  ...{ servers, replicas: 1, prefix: "tidemark" },
  ...more,
});

describe("a server of NATS", () => {
  const said = async (what: (socket: Socket) => void): Promise<string> => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      onTestFinished(() => void socket.destroy());
      what(socket);
    });
    await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle));
    onTestFinished(() => void server.close());
    return `nats://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };

  test.for([["INFO {broken}\r\n"], ["HTTP/1.1 400 Bad Request\r\n"], [""]] as const)(
    "that says %j is none",
    async ([text]) => {
      const url = await said((socket) => socket.end(text));
      const [finding, ...more] = await checkNats(place(url));
      expect(finding).toMatchObject({
        check: url.replace("nats://", "nats "),
        verdict: "failure",
        found: expect.stringMatching(/cannot connect to NATS/),
        advice: expect.stringMatching(/nats-server -js/),
      });
      expect(more).toEqual([]);
    },
  );
});

describe.skipIf(lacksNats)("servers of NATS", () => {
  const started = async (config?: string, jetstream?: boolean): Promise<NatsServer> => {
    const server = await NatsServer.start(config, jetstream);
    onTestFinished(() => server.stop());
    return server;
  };
  const verdictsOf = async (of: NatsPlace) =>
    Object.fromEntries((await checkNats(of)).map(({ check, verdict }) => [check, verdict]));
  /** Has a store and an order make their streams. */
  const fill = async (options: NatsPlace): Promise<void> => {
    const store = natsStore(options);
    await commit(store, { id: "p1/1" });
    await store.note({ note: "refused", by: "p1", atMs: 1, reason: "nobody is there" });
    await store.close();
    const log = natsOrderLog(options);
    const { promise: there, resolve: opened } = Promise.withResolvers<void>();
    const reader = log.open(
      { system: "bank", process: "p1", group: "talk", epoch: 1, position: 0 },
      { opened, read() {}, problem() {}, lost() {} },
    );
    await there;
    await reader.close();
  };

  test("with JetStream is well, without it is not", async () => {
    const server = await started();
    const check = `nats 127.0.0.1:${server.port}`;
    const [first, ...rest] = await checkNats(place(server.url));
    expect(first).toMatchObject({
      ...{
        check,
        verdict: "ok",
        found: expect.stringMatching(/^version [0-9.]+, with JetStream$/),
      },
    });
    expect(rest).toMatchObject([
      { check: "nats replicas", verdict: "ok" },
      { check: "nats streams", verdict: "ok", found: expect.stringMatching(/has none yet/) },
    ]);
    const without = await started("", false);
    expect(await verdictsOf(place(without.url))).toEqual({
      [`nats 127.0.0.1:${without.port}`]: "failure",
      "nats replicas": "ok",
      "nats streams": "failure",
    });
  });

  test("are each looked at, and cannot keep three copies if they are no cluster", async () => {
    const server = await started();
    const gone = await freePorts(1);
    const servers = `${server.url},127.0.0.1:${gone}`;
    expect(await verdictsOf(place(servers, { replicas: 3 }))).toEqual({
      [`nats 127.0.0.1:${server.port}`]: "ok",
      [`nats 127.0.0.1:${gone}`]: "failure",
      "nats replicas": "failure",
      "nats streams": "ok",
    });
    const other = await started();
    expect((await checkNats(place(`${server.url},${other.url}`)))[2]).toMatchObject({
      ...{ check: "nats replicas", verdict: "failure" },
      found: expect.stringMatching(/not of one cluster/),
    });
  });

  test.skipIf(lacksOpenssl)("with TLS and users are asked as a process would ask", async () => {
    const authority = newAuthority();
    const signed = authority.sign("nats", { names: ["IP:127.0.0.1"] });
    const folder = directoryOf(signed, authority.ca);
    const file = (name: string): string => join(folder, name);
    const [ca, cert, key] = [file("ca.pem"), file("cert.pem"), file("key.pem")];
    const server = await started(
      `tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${ca}", verify: true }
      authorization { users: [ { user: bank, password: "s3cret" } ] }`,
    );
    const at = `127.0.0.1:${server.port}`;
    const good = place(`tls://bank:s3cret@${at}`, { prefix: "bank", tls: { ca, cert, key } });
    await fill(good);
    const member = await Membership.open({
      ...{ place: good, id: "a", version: "1", onProblem: () => {} },
      configuration: { system: "bank", processes: ["a"], agreed: [] },
    });
    await member.leave();
    const findings = await checkNats(good);
    expect(findings.map(({ check, verdict }) => [check, verdict])).toEqual([
      [`nats ${at}`, "ok"],
      ["nats replicas", "ok"],
      ["nats KV_bank-register", "ok"],
      ["nats OBJ_bank-pieces", "ok"],
      ["nats bank-notes", "ok"],
      ["nats KV_bank-members", "ok"],
      ["nats bank-order-dGFsaw", "ok"],
    ]);
    expect(findings[0]?.found).toMatch(/^version .*, with JetStream, by TLS$/);

    // Whoever is not known, or does not know the server, hears nothing of streams.
    for (const wrong of [
      { ...good, servers: `tls://bank:wr0ng@${at}` },
      { ...good, servers: `tls://${at}` },
      { servers: good.servers, replicas: 1, prefix: "bank" } as const,
    ]) {
      const refused = await checkNats(wrong);
      expect(refused).toMatchObject([{ check: `nats ${at}`, verdict: "failure" }]);
      expect(JSON.stringify(refused)).not.toMatch(/s3cret|wr0ng/);
    }

    // The certificate of another server is none of this one, whoever has signed it.
    const foreign = authority.sign("nats", { names: ["IP:127.0.0.2", "DNS:localhost"] });
    const other = await started(
      `tls { cert_file: "${foreign.certPath}", key_file: "${foreign.keyPath}" }`,
    );
    const [mistaken] = await checkNats(place(other.url, { tls: { ca } }));
    expect(mistaken?.found).toMatch(/does not match certificate/);
    const [known] = await checkNats(
      place(other.url.replace("127.0.0.1", "localhost"), { tls: { ca } }),
    );
    expect(known?.verdict).toBe("ok");

    // By the command line it is the same.
    const nats = ["--nats", good.servers, "--nats-tls", folder, "--nats-prefix", "bank"];
    const home = temporaryDirectory();
    const { stdout, stderr } = await tidemark(["doctor", "--json", "--dir", home, ...nats]);
    expect(stderr).toBe("");
    expect(parseLines(stdout).filter(({ check }) => check.startsWith("nats "))).toEqual(findings);
  });

  test("whose streams have other settings: each setting is told", async () => {
    const server = await started();
    await fill(place(server.url));
    const told = await checkNats(place(server.url, { replicas: 3 }));
    for (const name of ["KV_tidemark-register", "OBJ_tidemark-pieces", "tidemark-notes"])
      expect(told).toContainEqual(
        expect.objectContaining({
          ...{ check: `nats ${name}`, verdict: "failure" },
          found: expect.stringMatching(/num_replicas is 1, wanted is 3$/),
          advice: expect.stringContaining(`nats stream edit ${name}`),
        }),
      );
    await withNats(server.url, async (connection) => {
      const manager = await jetstreamManager(connection);
      await manager.streams.update("tidemark-notes", {
        max_msgs_per_subject: 7,
        discard: DiscardPolicy.New,
      });
      await manager.streams.update("OBJ_tidemark-pieces", { max_bytes: 10 ** 9 });
    });
    const found = Object.fromEntries(
      (await checkNats(place(server.url))).map((one) => [one.check, one]),
    );
    expect(found["nats KV_tidemark-register"]?.verdict).toBe("ok");
    expect(found["nats OBJ_tidemark-pieces"]).toMatchObject({
      ...{ verdict: "warning", found: expect.stringMatching(/max_bytes is 1000000000/) },
    });
    expect(found["nats tidemark-notes"]).toMatchObject({
      verdict: "failure",
      found: expect.stringMatching(/discard is "new", wanted is "old"; max_msgs_per_subject is 7/),
    });
    expect(await verdictsOf(place(server.url, { prefix: "another" }))).toMatchObject({
      "nats streams": "ok",
    });
  });

  test("who may not list streams is told that orders were not looked at", async () => {
    const server = await started(
      `authorization { users: [ { user: bank, password: p, permissions: {
        publish: [ "$JS.API.STREAM.INFO.*" ], subscribe: "_INBOX.>" } } ] }`,
    );
    const findings = await checkNats(place(`nats://bank:p@127.0.0.1:${server.port}`));
    expect(findings.every(({ verdict }) => verdict === "ok")).toBe(true);
    expect(findings.at(-1)).toMatchObject({
      ...{
        check: "nats orders",
        found: expect.stringMatching(/may not list streams: .*ermission/),
      },
    });
  });

  test("of one cluster keep three copies, also while one is behind", async () => {
    const cluster = await NatsCluster.start();
    onTestFinished(() => cluster.stop());
    const all = place(cluster.urls.join(","), { replicas: 3 });
    await fill(all);
    await cluster.isWhole();
    const well = await checkNats(all);
    expect(well.filter(({ verdict }) => verdict !== "ok")).toEqual([]);
    expect(well[3]).toMatchObject({ check: "nats replicas", found: "3 servers can keep 3 copies" });
    const one = await checkNats({ ...all, servers: cluster.urls[0] ?? "" });
    expect(one[1]).toMatchObject({ check: "nats replicas", verdict: "warning" });
    await cluster.servers[2]?.kill();
    await until("its copy is missed", async () =>
      (await checkNats(all)).some(
        ({ check, verdict, found }) =>
          check === "nats KV_tidemark-register" && verdict === "warning" && found.includes("s2"),
      ),
    );
  });
});

test("a store that runs is looked at as a whole", async () => {
  const directory = temporaryDirectory();
  const port = await freePorts(2);
  const at = ["--dir", directory];
  const store = new Started(["kv", ...at, "--processes", "2", "--port", String(port), "--no-ui"]);
  await until("it runs", async () => (await tidemark(["status", "--ready", ...at])).status === 0);
  const taken = createServer();
  await new Promise<void>((settle) => taken.listen(0, "127.0.0.1", settle));
  onTestFinished(() => void taken.close());
  const other = (taken.address() as AddressInfo).port;
  const ports = ["--port", `127.0.0.1:${port + 1}`, "--port", `127.0.0.1:${other}`];
  const { status: ended, stdout, stderr } = await tidemark(["doctor", "--json", ...at, ...ports]);
  expect(stderr).toBe("");
  const findings = Object.fromEntries(parseLines(stdout).map((one) => [one.check, one]));
  expect(findings).toMatchObject({
    node: { verdict: "ok", found: process.versions.node },
    directory: { verdict: "ok" },
    "control socket": { verdict: "ok", found: expect.stringMatching(/a system answers/) },
    versions: {
      verdict: "ok",
      found: `all 3 of Tidemark ${packageVersion} on Node ${process.versions.node}`,
    },
    clock: { verdict: "ok" },
    [`port ${port + 1}`]: { verdict: "ok", found: expect.stringMatching(/^p2 of the system/) },
    [`port ${other}`]: { verdict: "failure" },
  });
  expect(ended).toBe(1);
  const text = await tidemark(["doctor", ...at]);
  expect(text.status).toBe(0);
  expect(text.stdout).toMatch(/^ok +node +[0-9.]+$/m);
  store.child.kill("SIGINT");
  expect((await store.ended).status).toBe(0);
});

test.for([
  [["--nats", "http://user:secret@x"], /^(?!.*secret).*use nats:\/\/host/s],
  [["--nats", "nats://user:secret@"], /^(?!.*secret).*not the address of a server/s],
  [["--nats", "nats://a,tls://b"], /either all servers have tls/],
  [["--nats", "tls://a", "--nats-tls", "none"], /there is no .*ca\.pem/],
  [["--nats-replicas", "3"], /goes with --nats/],
  [["--port", "7379"], /Use host:port/],
] as const)("doctor %j is a mistake", async ([args, reason]) => {
  const { status: ended, stderr } = await tidemark(["doctor", ...args]);
  expect(ended).toBe(2);
  expect(stderr).toMatch(reason);
});
