import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
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
import type { SystemStatus, SystemVersions } from "../../src/serve/system-methods.ts";
import {
  freePorts,
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

describe("a NATS server", () => {
  const said = async (what: (socket: Socket) => void): Promise<string> => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      what(socket);
    });
    await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle));
    onTestFinished(() => void server.close());
    return `nats://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };

  test.for([
    ['INFO {"version":"2.9.10","jetstream":true} \r\n', "ok", /2\.9\.10, with JetStream/],
    ['INFO {"version":"2.9.10"} \r\n', "failure", /without JetStream/],
    ["INFO {broken}\r\n", "failure", /JSON/],
    ["HTTP/1.1 400 Bad Request\r\n", "failure", /no NATS server: it says/],
    ["", "failure", /hangs up/],
  ] as const)("that says %j is: %s", async ([text, verdict, found]) => {
    const url = await said((socket) => socket.end(text));
    const finding = await checkNats(url);
    expect(finding.verdict).toBe(verdict);
    expect(finding.found).toMatch(found);
  });

  test("is heard in pieces, and no further than it need be", async () => {
    const pieces = await said((socket) => {
      socket.write('INFO {"version":"3",');
      setImmediate(() => socket.write('"jetstream":true}\r\n'));
    });
    expect((await checkNats(pieces)).verdict).toBe("ok");
    const endless = await said((socket) => void socket.write("x".repeat(1 << 20)));
    expect((await checkNats(endless)).found).toMatch(/no NATS server/);
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
  [["--nats", "nats://"], /use nats:\/\/host/],
  [["--port", "7379"], /Use host:port/],
] as const)("doctor %j is a mistake", async ([args, reason]) => {
  const { status: ended, stderr } = await tidemark(["doctor", ...args]);
  expect(ended).toBe(2);
  expect(stderr).toMatch(reason);
});
