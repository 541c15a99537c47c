/** What the store on NATS says, and does, when something is not as it should be. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { nkeys } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { isTidemarkError, type TidemarkError } from "../../src/core/error.ts";
import { type NatsStoreOptions, natsStore } from "../../src/nats/nats-store.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import {
  bytes,
  commit,
  epochRecord,
  expectWhole,
  type Snapshot,
  writePieces,
} from "../../src/runtime/snapshot-store-contract.ts";
import { LosingProxy, lacksNats, NatsServer, withNats } from "./support.ts";

/** On CI a test that needs it fails for want of it. */
const lacksOpenssl =
  process.env["CI"] === undefined && spawnSync("openssl", ["version"]).status !== 0;

const SECRET = "s3cret-Pa55word";

async function failure(promise: Promise<unknown>): Promise<TidemarkError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(isTidemarkError(error), inspect(error)).toBe(true);
  return error as TidemarkError;
}

/** With a store that is closed at the end. */
function open(options: NatsStoreOptions): SnapshotStore {
  const store = natsStore(options);
  onTestFinished(() => store.close());
  return store;
}

async function ids(store: SnapshotStore): Promise<string[]> {
  const all: string[] = [];
  for await (const { id } of store.list()) all.push(id);
  return all;
}

describe("options", () => {
  test.each<[string, unknown, string]>([
    ["no server", {}, "a value of type undefined is not the address of a server"],
    ["an empty list", { servers: "" }, '"" is not the address'],
    ["another scheme", { servers: "http://a:1" }, '"http://a:1" is not the address'],
    ["a path", { servers: "nats://a:1/b" }, "is not the address"],
    ["a port that is none", { servers: "nats://a:65536" }, "is not the address"],
    ["half a list", { servers: ["nats://a", "nats:b c"] }, '"nats:b c" is not the address'],
    ["a comma in a password", { servers: "nats://u:pa,ss@b:1" }, '"…@b:1" is not the address'],
    ["a server that is none", { servers: [7] }, "a value of type number"],
    ["two schemes", { servers: "nats://a,tls://b" }, "either all servers have tls://"],
    ["two users", { servers: "nats://u:p@a,nats://v:p@b" }, "need the same user and password"],
    ["a wrong escape", { servers: "nats://u:%zz@a" }, "% stands before two hexadecimal digits"],
    ["two ways in", { servers: "nats://u@a", credentials: "f" }, "are one too many"],
    ["half a certificate", { servers: "a", tls: { cert: "f" } }, "each needs the other"],
    ["a bad prefix", { servers: "a", prefix: "a.b" }, "the prefix of what lies on NATS"],
    ["two replicas", { servers: "a", replicas: 2 }, "replicas is 2; use 1 or 3"],
    ["no bytes", { servers: "a", maxBytes: 0 }, "maxBytes is 0"],
    ["a bad grace", { servers: "a", graceMs: Number.NaN }, "graceMs is NaN"],
    ["a bad patience", { servers: "a", patienceMs: -1 }, "patienceMs is -1"],
    ["too much patience", { servers: "a", patienceMs: 100_001 }, "use 0 to 100000 milliseconds"],
  ])("%s is refused", (_, options, words) => {
    expect(() => natsStore(options as NatsStoreOptions)).toThrow(words);
    try {
      natsStore(options as NatsStoreOptions);
    } catch (error) {
      expect(isTidemarkError(error, "BAD_OPTION")).toBe(true);
    }
  });

  test("what is secret in an address is in no error", () => {
    for (const servers of [
      `nats://user:${SECRET}@host:port`,
      `${SECRET}@a b`,
      `nats://a,ws://${SECRET}@b`,
      `nats://u:${SECRET}%@a`,
    ])
      try {
        natsStore({ servers });
        expect.unreachable();
      } catch (error) {
        expect(isTidemarkError(error, "BAD_OPTION")).toBe(true);
        expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(SECRET);
      }
  });

  test("a file that cannot be used is named", async () => {
    const directory = mkdtempSync(join(tmpdir(), "tidemark-creds-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, "not.creds");
    writeFileSync(path, SECRET);
    for (const [options, words] of [
      [{ credentials: join(directory, "none") }, "cannot read the file of credentials"],
      [{ credentials: path }, "holds no credentials of NATS"],
      [{ tls: { ca: join(directory, "none") } }, "cannot read the file of tls"],
      [{ tls: { ca: path } }, "is not in PEM"],
    ] as const) {
      const error = await failure(open({ servers: "127.0.0.1:1", ...options }).lastCount("p1"));
      expect(error.code).toBe("BAD_OPTION");
      expect(error.message).toContain(words);
      expect(inspect(error, { depth: 9 })).not.toContain(SECRET);
    }
  });
});

test("nobody but its door loads the client of NATS", () => {
  const count = (door: string): string => {
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [
        "--conditions=tidemark-source",
        "--input-type=module",
        "--eval",
        `import { createRequire } from "node:module";
         ${door.includes("nats") ? `await import("tidemark/nats");` : `for (const door of ["", "/machines", "/testing", "/sim", "/trace", "/detect", "/kv"]) await import("tidemark" + door);`}
         console.log(Object.keys(createRequire(process.cwd() + "/x.js").cache).filter((file) => file.includes("@nats-io")).length > 0);`,
      ],
      { encoding: "utf8" },
    );
    return stdout.trim() || stderr;
  };
  expect(count("others")).toBe("false");
  // So it would be seen.
  expect(count("nats")).toBe("true");
});

describe.skipIf(lacksNats)("a server", { timeout: 60_000 }, () => {
  test("that is not there is said to be not there, at once", async () => {
    const server = await NatsServer.start();
    await server.stop();
    const servers = server.url.replace("//", `//user:${SECRET}@`);
    const error = await failure(open({ servers }).lastCount("p1"));
    expect(error.code).toBe("STORE_FAILED");
    expect(error.definite).toBe(true);
    expect(error.message).toContain(`cannot connect to NATS at 127.0.0.1:${server.port}`);
    expect(error.message).toContain("Is nats-server running there? `nats-server -js` starts one");
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(SECRET);
  });

  test("without JetStream is said to be without", async () => {
    const server = await NatsServer.start("", false);
    onTestFinished(() => server.stop());
    const error = await failure(open({ servers: server.url }).lastCount("p1"));
    expect(error.code).toBe("STORE_FAILED");
    expect(error.message).toContain("Was nats-server started with -js");
  });

  test("that does not know us says so, and the password is in no error", async () => {
    const server = await NatsServer.start(
      `authorization { users: [ { user: u, password: "${SECRET}" } ] }`,
    );
    onTestFinished(() => server.stop());
    const at = (who: string): string => server.url.replace("//", `//${who}@`);
    for (const servers of [server.url, at(`u:${SECRET}x`), at(`${SECRET}`)]) {
      const error = await failure(open({ servers }).lastCount("p1"));
      expect(error.code).toBe("STORE_FAILED");
      expect(error.message).toContain("does not let us in");
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(SECRET);
    }
    const store = open({ servers: at(`u:${SECRET}`) });
    await expectWhole(store, await commit(store, { id: "p1/1" }));
  });

  test("lets in who has the credentials of a file", async () => {
    const [known, stranger] = [nkeys.createUser(), nkeys.createUser()];
    const server = await NatsServer.start(
      `authorization { users: [ { nkey: ${known.getPublicKey()} } ] }`,
    );
    onTestFinished(() => server.stop());
    const directory = mkdtempSync(join(tmpdir(), "tidemark-creds-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = (name: string, user: typeof known): string => {
      const block = (title: string, text: string) =>
        `-----BEGIN ${title}-----\n${text}\n------END ${title}------\n\n`;
      const seed = Buffer.from(user.getSeed()).toString();
      const file = join(directory, name);
      // A server without accounts of its own looks at the key alone.
      writeFileSync(file, block("NATS USER JWT", "e30.e30.e30") + block("USER NKEY SEED", seed));
      return file;
    };
    const store = open({ servers: server.url, credentials: path("known.creds", known) });
    await expectWhole(store, await commit(store, { id: "p1/1" }));
    const credentials = path("stranger.creds", stranger);
    const error = await failure(open({ servers: server.url, credentials }).lastCount("p1"));
    expect(error.message).toContain("does not let us in");
    const seed = Buffer.from(stranger.getSeed()).toString();
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(seed);
  });

  test.skipIf(lacksOpenssl)(
    "with TLS is trusted if it is known, and nothing is said in clear to one without",
    async () => {
      const directory = mkdtempSync(join(tmpdir(), "tidemark-tls-"));
      onTestFinished(() => rmSync(directory, { recursive: true }));
      const file = (name: string): string => join(directory, name);
      execFileSync(
        "openssl",
        [
          ...[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
          ],
          ...["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
          ...["-keyout", file("key.pem"), "-out", file("cert.pem")],
        ],
        { stdio: "ignore" },
      );
      const [ca, cert, key] = [file("cert.pem"), file("cert.pem"), file("key.pem")];
      const server = await NatsServer.start(
        `tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${ca}", verify: true }`,
      );
      onTestFinished(() => server.stop());
      const store = open({ servers: server.url, tls: { ca, cert, key } });
      await expectWhole(store, await commit(store, { id: "p1/1" }));
      for (const tls of [undefined, {}, { cert, key }, { ca }]) {
        const unknown = open({ servers: server.url, ...(tls ? { tls } : {}), patienceMs: 0 });
        const error = await failure(unknown.lastCount("p1"));
        expect(error.code).toBe("STORE_FAILED");
        expect(error.message).toMatch(/cannot connect|does not answer/);
      }

      const plain = await NatsServer.start();
      onTestFinished(() => plain.stop());
      for (const options of [
        { servers: plain.url, tls: { ca } },
        { servers: plain.url.replace("nats:", "tls:") },
      ])
        expect((await failure(open(options).lastCount("p1"))).message).toContain(
          "server does not support 'tls'",
        );
    },
  );

  test("that forbids something is said to forbid it", async () => {
    const users = (publish: string) =>
      `{ user: reader, password: x, permissions: { publish: [${publish}], subscribe: "_INBOX.>" } }`;
    const server = await NatsServer.start(
      `authorization { users: [ { user: all, password: x }, ${users('"$JS.API.STREAM.INFO.>", "$JS.API.STREAM.MSG.GET.>"')} ] }`,
    );
    onTestFinished(() => server.stop());
    const store = open({ servers: server.url.replace("//", "//all:x@") });
    const snapshot = await commit(store, { id: "p1/1" });
    const reader = open({ servers: server.url.replace("//", "//reader:x@") });
    await expectWhole(reader, snapshot);
    const error = await failure(writePieces(reader, { id: "p1/2" }));
    expect(error.code).toBe("STORE_FAILED");
    expect(error.message).toContain('Permissions Violation for Publish to "$O.tidemark-pieces.M.');
    expect(error.message).toContain("Allow it in the permissions of the user");
    expect(await ids(store)).toEqual(["p1/1"]);
  });

  test("is content with the permissions that the documentation lists", async () => {
    const page = readFileSync(new URL("../../docs/use/nats.md", import.meta.url), "utf8");
    const [config = ""] = /^authorization \{.*?^\}$/ms.exec(page) ?? [];
    const server = await NatsServer.start(config);
    onTestFinished(() => server.stop());
    const servers = server.url.replace("//", "//bank:change%20me@");
    const store = open({ servers, prefix: "bank" });
    const snapshot = await commit(store, { id: "p1/1" });
    await expectWhole(store, snapshot);
    await store.label("p1/1", "first");
    await store.beginEpoch(epochRecord(2, "p1/1"));
    await store.note({ note: "refused", by: "p1", atMs: 1, reason: "busy" });
    for await (const note of store.notes()) expect(note.by).toBe("p1");
    await writePieces(store, { id: "p1/2" });
    await store.abandon("p1/2");
    await commit(store, { id: "p1/3" });
    expect(await store.delete("p1/3")).toBe(true);
    const other = open({ servers, prefix: "other" });
    const error = await failure(commit(other, { id: "p1/1" }));
    expect(error.message).toContain("Permissions Violation");
  });

  test("alone cannot keep three replicas, and says what would", async () => {
    const server = await NatsServer.start();
    onTestFinished(() => server.stop());
    const store = open({ servers: server.url, replicas: 3 });
    const error = await failure(commit(store, { id: "p1/1" }));
    expect(error.code).toBe("STORE_FAILED");
    expect(error.message).toContain("Three replicas need a cluster of three servers");
  });
});

describe.skipIf(lacksNats)("on one server", { timeout: 60_000 }, () => {
  let server: NatsServer;
  let number = 0;
  const own = (): NatsStoreOptions & { readonly prefix: string } => {
    number += 1;
    return { servers: server.url, prefix: `own-${number}` };
  };
  beforeAll(async () => {
    server = await NatsServer.start();
  });
  afterAll(async () => {
    await server.stop();
  });

  const streams = () =>
    withNats(server.url, async (connection) => {
      const names: string[] = [];
      for await (const name of (await jetstreamManager(connection)).streams.names())
        names.push(name);
      return names;
    });

  /** The subjects of a stream. */
  const subjects = (stream: string, filter = ">") =>
    withNats(server.url, async (connection) => {
      const manager = await jetstreamManager(connection);
      const { state } = await manager.streams.info(stream, { subjects_filter: filter });
      return Object.keys(state.subjects ?? {}).sort();
    });

  /** Puts something else in the place of a message, or nothing. */
  const meddle = (stream: string, subject: string, change?: (was: Uint8Array) => Uint8Array) =>
    withNats(server.url, async (connection) => {
      const manager = await jetstreamManager(connection);
      const was = await manager.streams.getMessage(stream, { last_by_subj: subject });
      if (change) await jetstream(connection).publish(subject, change(was?.data as Uint8Array));
      else await manager.streams.purge(stream, { filter: subject });
    });
  const flip = (was: Uint8Array): Uint8Array => was.map((byte, i) => (i === 9 ? byte ^ 1 : byte));

  test("reading makes nothing, and writing what the documentation lists", async () => {
    const options = own();
    const store = open(options);
    expect(await ids(store)).toEqual([]);
    expect(await store.get("p1/1")).toBeUndefined();
    expect(await store.epoch()).toBeUndefined();
    for await (const note of store.notes()) expect.unreachable(inspect(note));
    await store.abandon("p1/1");
    expect((await streams()).filter((name) => name.includes(options.prefix))).toEqual([]);
    await commit(store, { id: "p.1/1" });
    await store.beginEpoch(epochRecord(2, "p.1/1"));
    await store.note({ note: "refused", by: "p.2", atMs: 1, reason: "busy" });
    const names = [`KV_${options.prefix}-register`, `OBJ_${options.prefix}-pieces`];
    expect((await streams()).filter((name) => name.includes(options.prefix)).sort()).toEqual([
      ...names,
      `${options.prefix}-notes`,
    ]);
    expect(await subjects(names[0] as string)).toEqual([
      `$KV.${options.prefix}-register.epoch.2`,
      `$KV.${options.prefix}-register.snapshot.p=1.1`,
    ]);
    expect(await subjects(`${options.prefix}-notes`)).toEqual([`${options.prefix}.notes.p=2`]);
  });

  test("streams with other settings are refused, and the differences told", async () => {
    const options = own();
    const name = `KV_${options.prefix}-register`;
    await withNats(server.url, async (connection) => {
      await (await jetstreamManager(connection)).streams.add({
        name,
        subjects: [`$KV.${options.prefix}-register.>`],
        max_msgs_per_subject: 5,
        storage: StorageType.Memory,
      });
    });
    const error = await failure(open(options).lastCount("p1"));
    expect(error.code).toBe("STORE_FAILED");
    expect(error.message).toContain(`the stream ${name} at 127.0.0.1:${server.port}`);
    expect(error.message).toContain("max_msgs_per_subject is 5, wanted is 1");
    expect(error.message).toContain('storage is "memory", wanted is "file"');
    expect(error.message).toContain('discard is "old", wanted is "new"');
    expect(error.message).not.toContain("num_replicas");
    expect(error.message).not.toContain("subjects is");
    expect(error.message).toContain(`nats stream edit ${name}`);
  });

  test("a limit of its own is told as one, and found when it is another", async () => {
    const options = { ...own(), maxBytes: 1_000_000 };
    const store = open(options);
    await expectWhole(store, await commit(store, { id: "p1/1" }));
    const error = await failure(
      writePieces(store, { id: "p1/2", states: { p1: [bytes(2_000_000)] } }),
    );
    expect(error.code).toBe("STORE_FAILED");
    expect(error.message).toContain("delete snapshots, or give it more");
    await store.abandon("p1/2");
    const other = open({ ...options, maxBytes: 2_000_000 });
    const differs = await failure(other.get("p1/1"));
    expect(differs.message).toContain("max_bytes is 1000000, wanted is 2000000");
  });

  test("other clients of NATS see what is there", async () => {
    const options = own();
    const store = open(options);
    const state = [bytes(300_000), bytes(5), bytes(131_072)];
    const { manifest } = await commit(store, { id: "p1/7", states: { p1: state }, label: "seen" });
    const pack = manifest.pieces[0]?.state.parts[0]?.pack;
    await withNats(server.url, async (connection) => {
      const register = await new Kvm(connection).open(`${options.prefix}-register`);
      const entry = await register.get("snapshot.p1.7");
      expect(entry?.json<{ summary: unknown }>().summary).toMatchObject({ label: "seen" });
      const objects = await new Objm(connection).open(`${options.prefix}-pieces`);
      const listed = await objects.list();
      expect(listed.map(({ name, description }) => [name.slice(0, 5), description])).toEqual([
        ["p1/7/", "the piece of p1 in p1/7"],
        ["p1/7/", "the manifest of p1/7"],
      ]);
      // With its digest, which that client checks.
      const content = await objects.getBlob(`p1/7/${pack}`);
      expect(Buffer.compare(content as Uint8Array, Buffer.concat(state))).toBe(0);
    });
  });

  test("a damaged entry of the register is named, and the others are listed", async () => {
    const options = own();
    const store = open(options);
    await commit(store, { id: "p1/1" });
    const other = await commit(store, { id: "p1/2" });
    const stream = `KV_${options.prefix}-register`;
    await meddle(stream, `$KV.${options.prefix}-register.snapshot.p1.1`, flip);
    const told: string[] = [];
    const listed: string[] = [];
    for await (const { id } of store.list(({ message }) => told.push(message))) listed.push(id);
    expect(listed).toEqual(["p1/2"]);
    expect(told).toEqual([expect.stringContaining(`key snapshot.p1.1 of ${stream} is damaged`)]);
    for (const refused of [store.get("p1/1"), store.label("p1/1", "x"), store.delete("p1/1", true)])
      expect((await failure(refused)).code).toBe("DAMAGED");
    await expectWhole(store, other);
    expect(await store.delete("p1/1")).toBe(true);

    // One that is whole, but stands at another key.
    await withNats(server.url, async (connection) => {
      const manager = await jetstreamManager(connection);
      const subject = `$KV.${options.prefix}-register.snapshot.p1`;
      const two = await manager.streams.getMessage(stream, { last_by_subj: `${subject}.2` });
      await jetstream(connection).publish(`${subject}.3`, two?.data as Uint8Array);
    });
    expect((await failure(store.get("p1/3"))).message).toContain("it is that of p1/2");
  });

  test("a damaged record of the newest epoch is named, and no older one given", async () => {
    const options = own();
    const store = open(options);
    await commit(store, { id: "p1/1" });
    await commit(store, { id: "p1/2" });
    await store.beginEpoch(epochRecord(2, "p1/1"));
    await store.beginEpoch(epochRecord(3, "p1/1"));
    const stream = `KV_${options.prefix}-register`;
    await meddle(stream, `$KV.${options.prefix}-register.epoch.3`, flip);
    for (const refused of [store.epoch(), store.delete("p1/2")]) {
      const error = await failure(refused);
      expect(error.code).toBe("DAMAGED");
      expect(error.message).toContain(`key epoch.3 of ${stream}`);
    }
    expect((await failure(store.beginEpoch(epochRecord(3, "p1/1")))).code).toBe("EPOCH_TAKEN");
    await store.beginEpoch(epochRecord(4, "p1/1"));
    expect(await store.delete("p1/2")).toBe(true);
  });

  const damages: Record<string, ((was: Uint8Array) => Uint8Array) | undefined> = {
    changed: flip,
    "cut off": (was) => was.subarray(0, 9),
    "taken away": undefined,
  };
  test.each(Object.entries(damages))("a chunk that is %s is named", async (_, change) => {
    const options = own();
    const store = open(options);
    const states = { p1: [bytes(400_000)], p2: [bytes(7_000)] };
    const snapshot: Snapshot = await commit(store, { id: "p1/1", states });
    const stored = await store.get("p1/1");
    const [first, second] = snapshot.manifest.pieces.map(({ state }) => state.parts[0]);
    if (!first || !second) throw new Error("there are two pieces");
    const stream = `OBJ_${options.prefix}-pieces`;
    const chunks = `$O.${options.prefix}-pieces.C.p1.1`;
    await meddle(stream, `${chunks}.${first.pack}.2`, change);
    const error = await failure(stored?.part(first) as Promise<unknown>);
    expect(error.code).toBe("DAMAGED");
    expect(error.message).toContain(` of object p1/1/${first.pack} of ${stream}`);
    if (change !== flip) expect(error.message).toContain("chunk 2 of object");
    expect(error.message).toContain(`part ${first.sha256} of p1/1`);
    expect(Buffer.compare((await stored?.part(second)) as Uint8Array, bytes(7_000))).toBe(0);
    const begin = store.beginEpoch(epochRecord(2, "p1/1"));
    if (change) await begin;
    else expect((await failure(begin)).message).toContain("needs it, and it is missing");

    // The manifest's own.
    const file = (await subjects(stream, `${chunks}.>`)).find(
      (subject) =>
        !snapshot.manifest.pieces.some(({ state }) =>
          subject.includes(state.parts[0]?.pack ?? "none"),
        ),
    );
    await meddle(stream, file as string, change);
    const lost = await failure(store.get("p1/1"));
    expect(lost.code).toBe("DAMAGED");
    expect(lost.message).toContain("the manifest of p1/1");
    expect(lost.message).toContain(
      `chunk 0 of object p1/1/${file?.split(".").at(-2)} of ${stream}`,
    );
    expect(await ids(store)).toEqual(["p1/1"]);
  });

  test("a manifest whose piece has lost a chunk is refused", async () => {
    const options = own();
    const store = open(options);
    const { manifest } = await writePieces(store, { id: "p1/1", states: { p1: [bytes(400_000)] } });
    const pack = manifest.pieces[0]?.state.parts[0]?.pack;
    const stream = `OBJ_${options.prefix}-pieces`;
    await meddle(stream, `$O.${options.prefix}-pieces.C.p1.1.${pack}.1`);
    const error = await failure(store.writeManifest(manifest));
    expect(error.code).toBe("DAMAGED");
    expect(error.message).toContain(`chunk 1 of object p1/1/${pack} of ${stream}`);
    expect(await ids(store)).toEqual([]);
  });

  test("a damaged note is told of, and the others are given", async () => {
    const options = own();
    const store = open(options);
    for (const atMs of [1, 2])
      await store.note({ note: "refused", by: "p1", atMs, reason: "busy" });
    await withNats(server.url, async (connection) => {
      await jetstream(connection).publish(`${options.prefix}.notes.p1`, "{ not a note");
    });
    await store.note({ note: "refused", by: "p1", atMs: 3, reason: "busy" });
    const told: string[] = [];
    const times: number[] = [];
    for await (const { atMs } of store.notes(({ message }) => told.push(message))) times.push(atMs);
    expect(times).toEqual([1, 2, 3]);
    expect(told).toEqual([expect.stringContaining(`message 3 of ${options.prefix}-notes`)]);
  });

  test("what nobody finished is swept when its time is over, and not before", async () => {
    const options = own();
    const stream = `OBJ_${options.prefix}-pieces`;
    const patient = open(options);
    const waiting = await writePieces(open(options), { id: "p2/1" });
    await writePieces(open(options), { id: "p3/4" });
    await commit(patient, { id: "p1/1" });
    await patient.close();
    expect((await subjects(stream, "$O.*.C.p3.4.>")).length).toBeGreaterThan(0);
    // Of somebody who had to be quick, with a grace that the others need not keep.
    const quick = natsStore({ ...options, graceMs: 0 });
    await commit(quick, { id: "p1/2" });
    await quick.close();
    for (const id of ["p2.1", "p3.4"]) expect(await subjects(stream, `$O.*.C.${id}.>`)).toEqual([]);
    const reader = open(options);
    expect((await ids(reader)).sort()).toEqual(["p1/1", "p1/2"]);
    expect(await reader.lastCount("p3")).toBe(4);
    // Its writer is refused, and nothing of it is listed.
    const error = await failure(reader.writeManifest(waiting.manifest));
    expect(error.message).toContain("waited for longer than graceMs");

    // The marks of the dead are forgotten, but the one that counts go on from.
    await writePieces(open(options), { id: "p3/5" });
    for (const id of ["p1/3", "p1/4", "p1/5"] as const) {
      const again = natsStore({ ...options, graceMs: 0 });
      await commit(again, { id });
      await again.close();
    }
    const marks = await subjects(`KV_${options.prefix}-register`, "$KV.*.snapshot.p3.*");
    expect(marks).toEqual([`$KV.${options.prefix}-register.snapshot.p3.5`]);
    expect(await open(options).lastCount("p3")).toBe(5);
  });

  test("what is deleted leaves nothing but the mark of its id", async () => {
    const options = own();
    const store = open(options);
    await commit(store, { id: "p1/1" });
    // A piece that its manifest does not know.
    await writePieces(open(options), { id: "p1/1" });
    await store.delete("p1/1");
    expect(await subjects(`OBJ_${options.prefix}-pieces`)).toEqual([]);
    expect((await failure(commit(store, { id: "p1/1" }))).message).toContain("its id is used up");
  });

  test("a write whose answer is lost is done once", async () => {
    const options = own();
    await using proxy = await LosingProxy.before(server.port);
    const store = natsStore({ ...options, servers: proxy.url });
    let lost = 0;
    const losing = async <T>(stream: string, work: () => Promise<T>): Promise<T> => {
      proxy.lose(`"stream":"${stream}`);
      const result = await work();
      lost += 1;
      expect(proxy.lost).toBe(lost);
      return result;
    };
    const register = `KV_${options.prefix}`;
    const states = { p1: [bytes(300_000)] };
    const first = await losing(`OBJ_${options.prefix}`, () =>
      writePieces(store, { id: "p1/1", states }),
    );
    await losing(register, () => store.writeManifest(first.manifest));
    await expectWhole(store, first);
    expect(await losing(register, () => store.label("p1/1", "once"))).toBe(true);
    await losing(register, () => store.beginEpoch(epochRecord(2, "p1/1")));
    expect(await store.epoch()).toEqual(epochRecord(2, "p1/1"));
    await commit(store, { id: "p1/2" });
    expect(await losing(register, () => store.delete("p1/2"))).toBe(true);
    for (const atMs of [1, 2])
      await losing(`${options.prefix}-notes`, () =>
        store.note({ note: "refused", by: "p1", atMs, reason: "busy" }),
      );
    const times: number[] = [];
    for await (const { atMs } of store.notes()) times.push(atMs);
    expect(times).toEqual([1, 2]);
    await store.close();
  });

  test("of two stores that write a manifest, or abandon it, at once one does", async () => {
    const options = own();
    let written = 0;
    for (let count = 1; count <= 20; count += 1) {
      const [one, other] = [open(options), open(options)];
      const id = `p1/${count}` as const;
      const [mine, theirs] = await Promise.all([
        writePieces(one, { id, label: "mine" }),
        writePieces(other, { id, label: "theirs" }),
      ]);
      const second =
        count % 2 ? () => other.writeManifest(theirs.manifest) : () => other.abandon(id);
      const [first, then] = await Promise.allSettled([one.writeManifest(mine.manifest), second()]);
      const isThere = first.status === "fulfilled";
      written += isThere ? 1 : 0;
      for (const outcome of [first, then])
        if (outcome.status === "rejected")
          expect(isTidemarkError(outcome.reason, "STORE_FAILED"), inspect(outcome)).toBe(true);
      if (count % 2) expect(then.status).not.toBe(first.status);
      else expect(then.status).toBe("fulfilled");
      if (isThere) await expectWhole(one, mine);
      else if (count % 2) await expectWhole(one, theirs);
      else expect(await one.get(id)).toBeUndefined();
    }
    expect(written).toBeGreaterThan(0);
  });

  test("a store that is closed says so", async () => {
    const store = natsStore(own());
    await commit(store, { id: "p1/1" });
    await store.close();
    await store.close();
    expect((await failure(store.lastCount("p1"))).message).toContain("it is closed");
  });
});
