// `--join`: one process of a system on several machines, which are directories and ports of this one.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { membersOf, readMembers } from "../../src/cli/join-options.ts";
import { lacksNats, NatsServer } from "../nats/support.ts";
import { directoryWith, lacksOpenssl, newAuthority } from "../serve/certified.ts";
import { freePorts } from "../support/ports.ts";
import {
  type Ended,
  parseLines,
  Started,
  temporaryDirectory,
  tidemark,
  until,
} from "./support/command.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const NAMES = ["a", "b", "c"];

/** Whose processes add up what any of them was asked to add. */
const COUNTER = `
import { type Application, defineSystem, type Turn } from "tidemark";
type State = { id: string; sum: number };
class Counter implements Application<number, State, number, number> {
  #sum = 0;
  readonly #id: string;
  constructor(id: string) { this.#id = id; }
  request(id: number, add: number, turn: Turn<number, number>) {
    this.#sum += add;
    if (add !== 0) turn.send(turn.peers, add);
    turn.reply(id, this.#sum);
  }
  receive(_from: string, add: number) { this.#sum += add; }
  capture() { return { id: this.#id, sum: this.#sum }; }
  restore({ sum }: State) { this.#sum = sum; }
}
export default defineSystem({
  processes: ["a", "b", "c"],
  application: (id) => new Counter(id),
  log: "always",
  snapshots: { everyMs: 300, keep: 3 },
});
`;

/** A machine: a directory of its own, with the file that all have alike. */
function machine(): { readonly file: string; readonly dir: string } {
  const home = temporaryDirectory();
  mkdirSync(join(home, "node_modules"));
  symlinkSync(ROOT, join(home, "node_modules/tidemark"));
  const file = join(home, "system.ts");
  writeFileSync(file, COUNTER);
  return { file, dir: join(home, "data") };
}

const LIMIT_MS = 150_000;

interface Machine {
  readonly dir: string;
  readonly start: () => Started;
  started: Started;
}

/** All processes of the system, each on a machine of its own. */
function machines(args: (id: string) => readonly string[]): Machine[] {
  return NAMES.map((id) => {
    const { file, dir } = machine();
    const all = ["up", file, "--join", id, "--dir", dir, "--json", ...args(id)];
    const start = (): Started => new Started(all, {}, "ignore", LIMIT_MS);
    return { dir, start, started: start() };
  });
}

const json = async (...args: string[]): Promise<Ended & { readonly said: unknown }> => {
  const ended = await tidemark([...args, "--json"]);
  return { ...ended, said: JSON.parse(ended.stdout || "null") };
};

const ask = async (dir: string, of: string, add: number): Promise<unknown> =>
  (await json("request", of, String(add), "--dir", dir)).said;

async function allHave(all: readonly Machine[], sum: number): Promise<void> {
  for (const [i, { dir }] of all.entries())
    await until(`${NAMES[i]} to have ${sum}`, async () => {
      const said = await ask(dir, NAMES[i] as string, 0);
      return said === sum || (said as { reply?: unknown } | null)?.reply === sum;
    });
}

async function stop(all: readonly Machine[]): Promise<void> {
  for (const { started } of all) started.child.kill("SIGTERM");
  for (const { started } of all) {
    const { status, stderr } = await started.ended;
    expect([status, stderr]).toEqual([0, expect.any(String)]);
  }
}

const eventsOf = ({ stdout }: Started, event: string): Record<string, unknown>[] =>
  (stdout === "" ? [] : parseLines(stdout.slice(0, stdout.lastIndexOf("\n") + 1))).filter(
    (one) => one.event === event,
  );

describe("a system of one's own on several machines", { timeout: 180_000 }, () => {
  test.skipIf(lacksOpenssl)("over TCP with TLS, as one file says", async () => {
    const authority = newAuthority();
    const certificates = directoryWith({
      "ca.pem": authority.ca,
      ...Object.fromEntries(
        NAMES.flatMap((id) => {
          const { cert, key } = authority.sign(id);
          return [
            [`${id}.pem`, cert],
            [`${id}.key`, key],
          ];
        }),
      ),
    });
    const port = await freePorts(3);
    const places = NAMES.map((id, i) => [id, `127.0.0.1:${port + i}`]);
    const config = join(directoryWith({ "cluster.json": "" }), "cluster.json");
    writeFileSync(config, JSON.stringify({ processes: Object.fromEntries(places) }));
    const all = machines(() => ["--config", config, "--tls", certificates]);
    const [a, b, c] = all as [Machine, Machine, Machine];
    for (const { started } of all) await started.lines(1);
    expect(eventsOf(b.started, "started")).toEqual([
      {
        ...{ event: "started", process: "b", address: `127.0.0.1:${port + 1}` },
        ...{ pid: expect.any(Number), beganWith: "nothing" },
      },
    ]);
    await ask(a.dir, "a", 5);
    await ask(c.dir, "c", 7);
    await allHave(all, 12);
    await until("all to be ready", async () => {
      const ready = all.map(({ dir }) => tidemark(["status", "--ready", "--dir", dir]));
      return (await Promise.all(ready)).every(({ status }) => status === 0);
    });

    // Who is elsewhere is asked there.
    const { status, stderr } = await json("request", "b", "0", "--dir", a.dir);
    expect(status).not.toBe(0);
    expect(stderr).toContain("b runs on another machine, and here runs a");
    // Each has a part of what would be a snapshot: there is none, and it is said why.
    const abandoned = await tidemark(["snapshot", "--dir", a.dir]);
    expect(abandoned.status).toBe(1);
    expect(abandoned.stderr).toMatch(/was abandoned: .*it is missing/);

    // A process dies, and then a machine with all that it runs.
    process.kill(eventsOf(b.started, "started")[0]?.["pid"] as number, "SIGKILL");
    await until("b to be started again", () => eventsOf(b.started, "started").length === 2);
    expect(eventsOf(b.started, "started")[1]).toMatchObject({ beganWith: "log" });
    c.started.child.kill("SIGKILL");
    await c.started.ended;
    await ask(a.dir, "a", 1);
    c.started = c.start();
    await c.started.lines(1);
    await allHave(all, 13);
    const told = await tidemark(["status", "--dir", b.dir]);
    expect(told.stdout).toMatch(/^process \d+ runs b, one of 3 processes of a system, in /);
    await stop(all);
  });

  test.skipIf(lacksNats)(
    "over NATS: snapshots, and a restore of all from one machine",
    async () => {
      const server = await NatsServer.start();
      onTestFinished(() => server.stop());
      const nats = ["--nats", server.url, "--nats-prefix", "counter"];
      const all = machines(() => nats);
      const [a, b, c] = all as [Machine, Machine, Machine];
      for (const { started } of all) await started.lines(1);
      await ask(b.dir, "b", 5);
      await allHave(all, 5);
      const taken = await json("snapshot", "--label", "five", "--dir", c.dir);
      expect(taken.said).toMatchObject({ processes: 3, consistent: true });
      await ask(a.dir, "a", 1);
      await allHave(all, 6);

      // The first one begins some by itself, nobody else does, and of its own so many stay.
      await until("a to have taken six", () => {
        const good = eventsOf(a.started, "snapshot").filter(
          ({ consistent }) => consistent === true,
        );
        return good.length >= 6;
      });
      expect(eventsOf(b.started, "snapshot")).toEqual([]);

      const absent = temporaryDirectory();
      const nowhere = await tidemark(["restore", "five", "--dir", absent, ...nats]);
      expect(nowhere.status).toBe(1);
      expect(nowhere.stderr).toContain("no system runs in");
      const dry = await json("restore", "five", "--dry-run", "--dir", b.dir, ...nats);
      expect(dry.said).toMatchObject({ dryRun: true, running: true });
      const restored = await json("restore", "five", "--dir", b.dir, ...nats);
      expect(restored.said).toMatchObject({ absent: [], proof: expect.any(String) });
      await allHave(all, 5);

      await stop(all);
      const listed = parseLines((await tidemark(["snapshots", "--json", ...nats])).stdout);
      expect(listed.some(({ label }) => label === "five")).toBe(true);
      const byItself = listed.filter(({ id, label }) => id.startsWith("a/") && label === undefined);
      // Three, one that the present epoch may rest on, and what `restore` took.
      expect(byItself.length).toBeLessThanOrEqual(5);
      const verified = await tidemark(["verify", ...nats]);
      expect(verified).toMatchObject({ status: 0, stdout: expect.stringContaining("proven") });
    },
  );

  test("of one directory, on one machine, snapshots are taken when somebody asks for them", async () => {
    const { file, dir } = machine();
    const port = await freePorts(3);
    const peers = (id: string): string[] =>
      NAMES.flatMap((other, i) =>
        other === id ? [] : ["--peer", `${other}=127.0.0.1:${port + i}`],
      );
    const all = NAMES.map((id, i) => {
      const listen = ["--listen", `127.0.0.1:${port + i}`, "--dir", dir, "--interval", "200ms"];
      return new Started(["up", file, "--join", id, "--json", ...listen, ...peers(id)]);
    });
    for (const one of all) await one.lines(1);
    await until("a to have taken two", () => {
      const good = eventsOf(all[0] as Started, "snapshot");
      return good.filter(({ consistent }) => consistent === true).length >= 2;
    });
    for (const one of all) one.child.kill("SIGTERM");
    const ended = await Promise.all(all.map((one) => one.ended));
    expect(ended.map(({ status }) => status)).toEqual([0, 0, 0]);
    // One answers for the directory; the others say that they do not.
    expect(ended.filter(({ stderr }) => stderr.includes("do not reach this process"))).toHaveLength(
      2,
    );
    expect((await tidemark(["verify", "--dir", dir])).status).toBe(0);
  });
});

describe("a file that says who there is", () => {
  const fileOf = (text: string): string =>
    join(directoryWith({ "cluster.json": text }), "cluster.json");
  const problemOf = (value: unknown): string => {
    try {
      readMembers(fileOf(typeof value === "string" ? value : JSON.stringify(value)));
    } catch (error) {
      return (error as Error).message;
    }
    return expect.fail("it was taken");
  };

  test("is read as it was written", () => {
    const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,9}$/);
    const host = fc.constantFrom("127.0.0.1", "db.example", "[::1]");
    const ports = fc.uniqueArray(fc.integer({ min: 1, max: 65_535 }), { minLength: 8 });
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 8 }), host, ports, (...made) => {
        const [names, at, numbers] = made;
        const processes = Object.fromEntries(names.map((id, i) => [id, `${at}:${numbers[i]}`]));
        expect(readMembers(fileOf(JSON.stringify({ processes })))).toEqual(processes);
        expect(Object.keys(readMembers(fileOf(JSON.stringify({ processes: names }))))).toEqual(
          Object.keys(processes),
        );
      }),
      { seed: 1, numRuns: 20 },
    );
  });

  test.for([
    ["not JSON", "{", /cluster\.json: .*JSON/],
    ["no object", [], /the file must be an object, not a list/],
    ["another field", { processes: ["a"], proces: 1 }, /there is no "proces"/],
    ["none", {}, /processes must be an object, as in .*, not undefined/],
    ["an empty list", { processes: [] }, /processes must be 1 to 64, not 0/],
    ["too many", { processes: Array.from({ length: 65 }, (_, i) => `p${i}`) }, /not 65/],
    ["a bad name", { processes: ["a", "b c"] }, /processes\[1\]: "b c" is no name/],
    ["no name", { processes: [1] }, /processes\[0\]: 1 is no name/],
    ["a name twice", { processes: ["a", "a"] }, /processes\[1\]: a is there already/],
    ["no address", { processes: { a: 7 } }, /processes\.a must be a host and a port, .*, not 7/],
    ["no port", { processes: { a: "h" } }, /processes\.a must be a host and a port/],
    ["port 0", { processes: { a: "h:0" } }, /processes\.a must be a host and a port/],
    ["one place twice", { processes: { a: "h:1", b: "h:01" } }, /processes\.b is "h:01", and so/],
    ["one place", { processes: { a: "h:1", b: "h:1" } }, /processes\.b is "h:1", and so is .*\.a/],
  ] as const)("is refused: %s", ([, value, reason]) => {
    const problem = problemOf(value);
    expect(problem).toMatch(reason);
    expect(problem).toContain("cluster.json");
  });

  const nats = { servers: "nats://h", prefix: "p", replicas: 1 } as const;
  test("may say where a process listens otherwise than where others reach it", () => {
    const config = fileOf(JSON.stringify({ processes: { a: "out.example:1", b: "h:2" } }));
    expect(membersOf("a", { config, peer: {} }, { nats: undefined })).toEqual({
      ...{ processes: ["a", "b"], listen: { host: "out.example", port: 1 }, peers: { b: "h:2" } },
    });
    const listen = { host: "0.0.0.0", port: 1 };
    expect(membersOf("a", { config, listen, peer: {} }, { nats: undefined }).listen).toBe(listen);
  });

  test("has names alone where they are found over NATS", () => {
    const config = fileOf(JSON.stringify({ processes: ["b", "a"] }));
    const members = membersOf("a", { config, peer: {} }, { nats });
    expect(members).toEqual({ processes: ["a", "b"], peers: {} });
    expect(() => membersOf("a", { config, peer: {} }, { nats: undefined })).toThrow(
      /say where the others reach it/,
    );
    const listen = { host: "127.0.0.1", port: 1 };
    expect(() => membersOf("a", { config, listen, peer: {} }, { nats })).toThrow(
      /with --listen, .*cluster\.json has to say where b listens/,
    );
  });
});

describe("mistakes", () => {
  const at = ["--listen", "127.0.0.1:1"];
  test.for([
    ["no file", ["--join", "a", ...at], "--join is for a system of yours"],
    ["a stranger", ["FILE", "--join", "x", ...at], "system.ts has no process x, only a, b, c"],
    ["a strange peer", ["FILE", "--join", "a", ...at, "--peer", "x=h:1"], "has no process x"],
    ["one too few", ["FILE", "--join", "a", ...at, "--peer", "b=h:1"], "has c as well"],
    ["no addresses", ["FILE", "--join", "a", ...at], "say where b listens"],
    ["no way", ["FILE", "--join", "a"], "say where the others reach it"],
    ["for one machine", ["FILE", "--join", "a", ...at, "--new"], "--new is for a system on one"],
    ["no page", ["FILE", "--join", "a", ...at, "--no-ui"], "is for a system on one machine"],
    ["of the bank", ["FILE", "--join", "a", ...at, "--money", "5"], "--money is for the bank"],
    ["no join", ["FILE", ...at], "--listen and --peer are for --join"],
    ["no join, a file", ["FILE", "--config", "x"], "--config is for --join"],
    ["no join, NATS", ["FILE", "--nats", "nats://h"], "--nats is for --join"],
    ["both", ["FILE", "--join", "a", "--config", "CONFIG", "--peer", "b"], "leave --peer out"],
    ["not there", ["FILE", "--join", "c", "--config", "CONFIG"], "has no process c, only a, b"],
    ["incomplete", ["FILE", "--join", "a", "--config", "CONFIG"], "has c as well, and"],
    ["no such file", ["FILE", "--join", "a", "--config", "none.json"], "none.json"],
  ] as const)("up: %s", async ([, args, reason]) => {
    const { file, dir } = machine();
    const config = join(dir, "..", "cluster.json");
    writeFileSync(config, '{"processes": {"a": "h:1", "b": "h:2"}}');
    const files = new Map([
      ["FILE", file],
      ["CONFIG", config],
    ]);
    const given = args.map((one) => files.get(one) ?? one);
    const refused = await tidemark(["up", ...given, "--dir", dir]);
    expect(refused).toMatchObject({ status: 2, stdout: "" });
    expect(refused.stderr).toContain(reason);
  });
});
