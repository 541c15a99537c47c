/** Snapshots as things to keep: labels, pruning, keys, and files to take elsewhere. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type DirectoryStoreOptions, directoryStore } from "../../src/runtime/directory-store.ts";
import { bytes, commit } from "../../src/runtime/snapshot-store-contract.ts";
import { age, filesIn } from "../runtime/directory-store-support.ts";
import { parseLines, Started, temporaryDirectory, tidemark } from "./support/command.ts";

const HOUR_MS = 3_600_000;

/** A directory with p1/1 to p1/5, an hour apart; the third is called "mine". */
async function backups(options: DirectoryStoreOptions = {}): Promise<string> {
  const directory = temporaryDirectory();
  const store = directoryStore(directory, { sync: false, ...options });
  for (let count = 1; count <= 5; count++)
    await commit(store, {
      id: `p1/${count}`,
      startedAtMs: Date.now() - (5 - count) * HOUR_MS,
      states: { p1: [bytes(100_000)], p2: [bytes(100_000 + count)] },
      ...(count === 3 ? { label: "mine" } : {}),
    });
  await store.close();
  age(directory);
  return directory;
}

const idsIn = async (directory: string): Promise<string[]> => {
  const { stdout } = await tidemark(["snapshots", "--json", "--dir", directory]);
  return parseLines(stdout).map(({ id }) => id);
};

describe("a name of a snapshot", () => {
  test("is its id, its label if no other has it, or latest", async () => {
    const directory = await backups();
    const at = ["--dir", directory];
    const shown = async (name: string) => {
      const { stdout, stderr, status } = await tidemark(["show", name, ...at]);
      return status === 0 ? stdout.split(/\s/)[0] : `${status}: ${stderr}`;
    };
    expect(await shown("p1/2")).toBe("p1/2");
    expect(await shown("latest")).toBe("p1/5");
    expect(await shown("mine")).toBe("p1/3");
    expect(await shown("nobody's")).toBe(
      `1: tidemark: no snapshot in ${directory} has the id or the label nobody's: ` +
        "tidemark snapshots lists those that there are\n",
    );
    expect(await tidemark(["label", "latest", "mine", ...at])).toEqual({
      status: 0,
      stdout: "p1/5 is mine\n",
      stderr: "",
    });
    expect(await shown("mine")).toBe(
      "2: tidemark: 2 snapshots have the label mine: p1/5, p1/3; use an id\n",
    );
    const removed = await tidemark(["label", "p1/3", "--remove", "--json", ...at]);
    expect(removed.stdout).toBe('{"snapshot":"p1/3","label":null}\n');
    expect(await shown("mine")).toBe("p1/5");
    const verified = await tidemark(["verify", "mine", ...at]);
    expect(verified.stdout).toMatch(/^✓ p1\/5 is consistent/);
  });

  test("cannot be given to another, and a label needs a snapshot", async () => {
    const directory = await backups();
    const at = ["--dir", directory];
    for (const [args, status, stderr] of [
      [["latest", "latest"], 2, "latest cannot be a label: it names a snapshot already"],
      [["latest", "p1/1"], 2, "p1/1 cannot be a label: it names a snapshot already"],
      [["latest", ""], 2, "a label has 1 to 256 characters"],
      [["latest"], 2, "give a label, or --remove"],
      [["latest", "x", "--remove"], 2, "give a label, or --remove"],
      [["p1/9", "x"], 1, `there is no snapshot p1/9 in ${directory}`],
    ] as const)
      expect(await tidemark(["label", ...args, ...at])).toEqual({
        status,
        stdout: "",
        stderr: `tidemark: ${stderr}\n`,
      });
  });
});

describe("tidemark prune", () => {
  test("says what would go and what that frees, and then does exactly that", async () => {
    const directory = await backups();
    const rule = ["prune", "--keep", "2", "--json", "--dir", directory];
    const size = () =>
      filesIn(directory).reduce((sum, file) => sum + statSync(join(directory, file)).size, 0);
    const before = size();
    const dry = parseLines((await tidemark([...rule, "--dry-run"])).stdout);
    expect(dry).toMatchObject([
      { snapshot: "p1/1", removed: false },
      { snapshot: "p1/2", removed: false },
      { removed: 2, kept: 3, dryRun: true },
    ]);
    expect(size()).toBe(before);
    const done = parseLines((await tidemark(rule)).stdout);
    expect(done.at(-1)).toEqual({ ...dry.at(-1), dryRun: false });
    // The part of 100,000 bytes that all have in common has not gone.
    expect(before - size()).toBe(dry.at(-1).freedBytes);
    expect(dry.at(-1).freedBytes).toBeGreaterThan(200_000);
    expect(dry.at(-1).freedBytes).toBeLessThan(230_000);
    expect(await idsIn(directory)).toEqual(["p1/5", "p1/4", "p1/3"]);
    expect((await tidemark(["verify", "--dir", directory])).status).toBe(0);
  });

  test("goes by age and by size as well, never takes a label or the newest, and wants a rule", async () => {
    const directory = await backups();
    const at = ["--dir", directory];
    const old = await tidemark(["prune", "--older-than", "3.5h", ...at]);
    expect(old.stdout).toMatch(
      /^p1\/1 {2}.*Z {2}removed\n1 snapshot removed, 4 kept; frees [0-9.]+ KiB\n$/,
    );
    // The part in common is needed by the label anyhow.
    const large = await tidemark(["prune", "--max-bytes", "250kB", "--dry-run", ...at]);
    expect(large.stdout).toMatch(
      /^p1\/2 .* would be removed\n1 snapshot would be removed, 3 kept;/,
    );
    await tidemark(["prune", "--max-bytes", "0", "--older-than", "0", "--keep", "1", ...at]);
    expect(await idsIn(directory)).toEqual(["p1/5", "p1/3"]);
    const none = await tidemark(["prune", ...at]);
    expect(none).toMatchObject({ status: 2, stderr: expect.stringContaining("say what to keep") });
    for (const bad of [
      ["--keep", "0"],
      ["--older-than", "7"],
      ["--max-bytes", "10"],
    ])
      expect((await tidemark(["prune", ...bad, ...at])).status).toBe(2);
  });

  test("frees nothing while a manifest is damaged, and says so", async () => {
    const directory = await backups();
    truncateSync(join(directory, "snapshots", "p1-4.json"), 100);
    const pruned = await tidemark(["prune", "--keep", "1", "--json", "--dir", directory]);
    expect(pruned.status).toBe(1);
    expect(pruned.stderr).toMatch(/p1-4\.json is damaged/);
    expect(parseLines(pruned.stdout).at(-1)).toEqual({
      removed: 2,
      kept: 2,
      freedBytes: 0,
      dryRun: false,
    });
  });
});

describe("a key", () => {
  test("from a file or the environment opens what is encrypted; none or another is said", async () => {
    const key = randomBytes(32);
    const directory = await backups({ key: new Uint8Array(key) });
    const [raw, hex, other, bad] = ["raw", "hex", "other", "bad"].map((name) =>
      join(directory, `${name}.key`),
    ) as [string, string, string, string];
    writeFileSync(raw, key);
    writeFileSync(hex, `${key.toString("hex").toUpperCase()}\n`);
    writeFileSync(other, randomBytes(32));
    writeFileSync(bad, "a password");
    const asked = (args: readonly string[], env?: NodeJS.ProcessEnv) =>
      tidemark([...args, "--dir", directory], { TIDEMARK_KEY: undefined, ...env });
    for (const given of [
      ["--key-file", raw],
      ["--key-file", hex],
    ])
      expect(await asked(["snapshots", ...given])).toMatchObject({ status: 0, stderr: "" });
    const environment = { TIDEMARK_KEY: key.toString("hex") };
    for (const command of [["show", "latest"], ["verify"], ["label", "p1/1", "x"]]) {
      const [right, none, wrong] = await Promise.all([
        asked(command, environment),
        asked(command),
        asked([...command, "--key-file", other]),
      ]);
      expect(right).toMatchObject({ status: 0, stderr: "" });
      expect(none).toEqual({
        status: 1,
        stdout: "",
        stderr: expect.stringMatching(/^tidemark: p1\/\d is encrypted, and no key was given .*\n$/),
      });
      expect(wrong).toEqual({
        status: 1,
        stdout: "",
        stderr: expect.stringMatching(
          /^tidemark: p1\/\d is encrypted with another key than the one that was given\n$/,
        ),
      });
    }
    const noKey = await asked(["snapshots", "--key-file", bad]);
    expect(noKey).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("bad.key holds no key"),
    });
    const noFile = await asked(["snapshots", "--key-file", join(directory, "none")]);
    expect(noFile).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/the key cannot be read: ENOENT/),
    });
    const env = await asked(["snapshots"], { TIDEMARK_KEY: "abc" });
    expect(env).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("TIDEMARK_KEY holds no key"),
    });
  });

  test("encrypts all that a running system records, compressed too", async () => {
    const directory = temporaryDirectory();
    const keyFile = join(directory, "key");
    writeFileSync(keyFile, randomBytes(32).toString("hex"));
    const dir = join(directory, "store");
    const key = ["--key-file", keyFile];
    const args = [
      "--processes",
      "2",
      "--interval",
      "20ms",
      "--no-sync",
      "--compress",
      "--dir",
      dir,
    ];
    const up = new Started(["up", "--json", ...args, ...key]);
    await up.lines(2);
    const taken = await tidemark(["snapshot", "--label", "mine", "--dir", dir]);
    expect(taken.stdout).toMatch(/ is consistent: 2 processes/);
    up.child.kill("SIGINT");
    expect(await up.ended).toMatchObject({ status: 0, stderr: "" });
    for (const file of filesIn(join(dir, "snapshots")))
      expect(readFileSync(join(dir, "snapshots", file), "latin1")).not.toContain("bank");
    expect(await tidemark(["verify", "--dir", dir, ...key])).toMatchObject({ status: 0 });
    const shown = await tidemark(["show", "mine", "--json", "--dir", dir, ...key]);
    expect(parseLines(shown.stdout)[0].manifest.label).toBe("mine");
    const locked = await tidemark(["up", "--count", "1", "--dir", dir]);
    expect(locked).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringMatching(/is encrypted, and no key/),
    });
  });
});

describe("a snapshot as one file", () => {
  test("goes to another directory, by a file or a pipe, and is proven there", async () => {
    const directory = await backups();
    const file = join(directory, "it.tar");
    const at = ["--dir", directory];
    const written = await tidemark(["export", "mine", file, ...at, "--json"]);
    expect(parseLines(written.stdout)).toEqual([
      { snapshot: "p1/3", file, bytes: statSync(file).size },
    ]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(execFileSync("tar", ["tf", file], { encoding: "utf8" })).toMatch(
      /^p1-3\/manifest.json\n/,
    );
    const again = await tidemark(["export", "latest", file, ...at]);
    expect(again).toMatchObject({
      status: 1,
      stderr: `tidemark: ${file} is there already, and is not overwritten\n`,
    });
    const other = ["--dir", join(directory, "other")];
    const read = await tidemark(["import", file, ...other]);
    expect(read.stdout).toMatch(/^p1\/3 is in .*other: 2 processes, 1[0-9.]+ KiB, proven\n$/);
    expect(await tidemark(["verify", "mine", ...other])).toMatchObject({ status: 0 });
    expect(await tidemark(["import", file, ...other])).toMatchObject({
      status: 1,
      stderr: "tidemark: p1/3 is in the store already: nothing was imported\n",
    });
    const piped = new Started(
      ["import", "-", "--json", "--dir", join(directory, "third")],
      {},
      "pipe",
    );
    piped.child.stdin?.end(readFileSync(file));
    expect((await piped.ended).stdout).toMatch(/^{"snapshot":"p1\/3","bytes":[0-9]+}\n$/);
    const standard = await tidemark(["export", "p1/3", "-", ...at]);
    expect(standard).toMatchObject({ status: 0, stderr: "" });
    expect(standard.stdout.startsWith("manifest.json\0")).toBe(true);
  });

  test("that is cut, or not there, is refused, and leaves no snapshot", async () => {
    const directory = await backups();
    const file = join(directory, "it.tar");
    await tidemark(["export", "latest", file, "--dir", directory]);
    truncateSync(file, 50_000);
    const other = ["--dir", join(directory, "other")];
    expect(await tidemark(["import", file, ...other])).toMatchObject({
      status: 1,
      stderr: `tidemark: ${file} cannot be imported: it ends too early\n`,
    });
    const none = await tidemark(["import", join(directory, "none"), ...other]);
    expect(none).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^tidemark: cannot read .*none: ENOENT/),
    });
    expect((await tidemark(["snapshots", ...other])).stdout).toBe("");
    const missing = await tidemark(["export", "p1/9", join(directory, "x"), "--dir", directory]);
    expect(missing).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/there is no snapshot p1\/9/),
    });
    const locked = await tidemark(["export", "latest", "-", "--json", "--dir", directory]);
    expect(locked.status).toBe(2);
  });
});

describe("tidemark clone", () => {
  test("copies a snapshot, and an epoch begins there from the copy", async () => {
    const directory = await backups();
    const clone = join(temporaryDirectory(), "second");
    const args = ["clone", "mine", clone, "--dir", directory, "--rename", "p1=b,p2=a"];
    const plan = await tidemark([...args, "--dry-run"]);
    expect(plan.stdout).toContain(
      `p1/3 would be in ${clone} as b/3, and epoch 2 would begin there`,
    );
    const [planned] = parseLines((await tidemark([...args, "--dry-run", "--json"])).stdout);
    expect(planned).toMatchObject({ dryRun: true, copy: "b/3", epoch: 2, processes: ["a", "b"] });
    expect(existsSync(clone)).toBe(false);
    const { status, stdout, stderr } = await tidemark([...args, "--system", "second"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain(`p1/3 is in ${clone} as b/3, and epoch 2 begins there from it.\n`);
    expect(stdout).toContain("start a, b of system second, each with\n");
    const store = directoryStore(clone);
    expect(await store.epoch()).toMatchObject({ epoch: 2, snapshot: "b/3" });
    const { manifest } = (await store.get("b/3")) ?? {};
    expect(manifest).toMatchObject({ system: "second", processes: ["a", "b"], initiator: "b" });
    expect(manifest).not.toHaveProperty("label");
    expect((await tidemark(["verify", "latest", "--dir", clone])).status).toBe(0);

    const again = await tidemark(args);
    expect(again.status).toBe(1);
    expect(again.stderr).toContain("a system has begun there from b/3, in epoch 2");
    expect(await tidemark([...args, "--dry-run"])).toMatchObject({
      status: 1,
      stderr: again.stderr,
    });
    // The second system may need it for as long as it lives.
    const pruned = await tidemark(["prune", "--older-than", "1ms", "--dir", clone]);
    expect(pruned).toMatchObject({ status: 0 });
    await expect(store.delete("b/3")).rejects.toMatchObject({ code: "IN_USE" });
  });

  test("with a key encrypts the copy and its epoch, and prints what a program reads", async () => {
    const keyFile = join(temporaryDirectory(), "key");
    const key = new Uint8Array(32).fill(7);
    writeFileSync(keyFile, key);
    const directory = await backups({ key });
    const clone = join(temporaryDirectory(), "second");
    const at = ["--dir", directory, "--key-file", keyFile];
    const { stdout } = await tidemark(["clone", "latest", clone, "--json", ...at]);
    const [told] = parseLines(stdout);
    expect(told).toMatchObject({ snapshot: "p1/5", copy: "p1/5", directory: clone, epoch: 2 });
    expect(told).toMatchObject({ processes: ["p1", "p2"] });
    const record = readFileSync(join(clone, "epochs", "2.json"));
    expect(record.subarray(0, 17).toString("latin1")).toBe("tidemark-sealed/1");
    await expect(directoryStore(clone).epoch()).rejects.toMatchObject({ code: "KEY_REQUIRED" });
    expect(await directoryStore(clone, { key }).epoch()).toMatchObject({ snapshot: "p1/5" });
  });

  test("copies nothing of what is damaged, and names that are no names are a mistake", async () => {
    const directory = await backups();
    const clone = join(temporaryDirectory(), "second");
    const run = (...args: string[]) => tidemark(["clone", ...args, "--dir", directory]);
    for (const names of ["p1", "p1=", "p1=a=b", "p1=a,p1=b", "p1=p2", "p1=no name"])
      expect(await run("latest", clone, "--rename", names)).toMatchObject({ status: 2 });
    expect((await run("latest", clone, "--rename", "p9=a")).status).not.toBe(0);
    expect((await run("p1/9", clone)).status).toBe(1);
    const [large = ""] = filesIn(join(directory, "parts")).filter(
      (file) => statSync(join(directory, "parts", file)).size === 100_005,
    );
    const damaged = readFileSync(join(directory, "parts", large));
    damaged[99] = (damaged[99] as number) ^ 1;
    writeFileSync(join(directory, "parts", large), damaged);
    const refused = await run("latest", clone);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("damaged");
    expect(filesIn(clone)).toEqual([]);
  });
});

test("prune keeps what the present epoch began from, says so, and goes on", async () => {
  const directory = await backups();
  const store = directoryStore(directory, { sync: false });
  await store.beginEpoch({ epoch: 2, snapshot: "p1/2", atMs: 1, by: "test" });
  await store.close();
  const args = ["prune", "--keep", "1", "--dir", directory];
  for (const more of [["--dry-run"], []])
    expect(await tidemark([...args, ...more])).toMatchObject({
      status: 0,
      stderr: "tidemark: p1/2 is kept, for epoch 2 began from it\n",
    });
  expect(await idsIn(directory)).toEqual(["p1/5", "p1/3", "p1/2"]);
});
