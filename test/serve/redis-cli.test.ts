// redis-cli and redis-benchmark, as they come with Redis: they say of the store what they say of redis-server.
import { spawn } from "node:child_process";
import { expect, test } from "vitest";
import { lacksRedis, startRedis } from "./redis.ts";
import { startStore } from "./store.ts";

interface Said {
  readonly status: number | NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, or until it has said enough. */
function run(
  program: string,
  args: readonly string[],
  stdin: string | Buffer = "",
  isEnough: (stdout: string) => boolean = () => false,
): Promise<Said> {
  const child = spawn(program, args, { stdio: "pipe", timeout: 20_000 });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("latin1").on("data", (text: string) => {
    stdout += text;
    if (isEnough(stdout)) child.kill("SIGTERM");
  });
  child.stderr.setEncoding("latin1").on("data", (text: string) => {
    stderr += text;
  });
  child.stdin.on("error", () => {});
  child.stdin.end(stdin);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status: status ?? signal, stdout, stderr }));
  });
}

/** Runs redis-cli, which has to be content. */
async function cli(port: number, args: readonly string[], stdin?: string): Promise<string> {
  const { status, stdout, stderr } = await run("redis-cli", ["-p", String(port), ...args], stdin);
  expect({ args, status, stderr }).toEqual({ args, status: 0, stderr: "" });
  return stdout;
}

async function portOfStore(): Promise<number> {
  const [, second] = await startStore(2);
  return second?.server.port ?? expect.fail("there are two");
}

/** A little of each type. */
const KEYS = [
  ...["MSET name ada empty '' other 12", String.raw`SET binary "\x00\xff\r\n\"x"`],
  ...[
    "RPUSH list a b c",
    "HSET hash f v g w",
    "SADD set x",
    "ZADD zset 1.5 a 2 b",
    "SET soon x EX 1000",
  ],
].join("\n");

/** Arguments of redis-cli, and what it is sent. */
const DIALOGUES: readonly (readonly [args: readonly string[], stdin?: string])[] = [
  [["PING"]],
  [["-3", "PING"]],
  [["GET", "binary"]],
  [["--no-raw", "GET", "binary"]],
  [["--no-raw", "GET", "nothing"]],
  [["--no-raw", "LRANGE", "list", "0", "-1"]],
  [["--no-raw", "-3", "HGETALL", "hash"]],
  [["--no-raw", "-3", "ZRANGE", "zset", "0", "-1", "WITHSCORES"]],
  [["--no-raw", "-3", "SMEMBERS", "set"]],
  [["--csv", "LRANGE", "list", "0", "-1"]],
  [["--csv", "-3", "HGETALL", "hash"]],
  [["--json", "LRANGE", "list", "0", "-1"]],
  [["-3", "--json", "HGETALL", "hash"]],
  [["-3", "--json", "ZRANGE", "zset", "0", "-1", "WITHSCORES"]],
  [["--json", "GET", "binary"]],
  [["--quoted-json", "GET", "binary"]],
  [["--json", "GET", "nothing"]],
  [["-d", ",", "LRANGE", "list", "0", "-1"]],
  [["-e", "LPUSH", "name", "x"]],
  [["-e", "NOSUCH"]],
  [["-n", "3", "SET", "there", "x"]],
  [["-n", "99", "GET", "there"]],
  [["-r", "3", "INCR", "times"]],
  [["-X", "TAG", "SET", "long", "TAG"], "x".repeat(100_000)],
  [["-x", "APPEND", "long"], "the end"],
  [["--quoted-input", "GET", String.raw`"bin\x61ry"`]],
  [["-a", "wrong", "PING"]],
  [["--user", "default", "--pass", "wrong", "PING"]],
  [["--no-raw"], "MULTI\nINCR other\nGET other\nEXEC\nMULTI\nNOSUCH\nEXEC\nWATCH name\nDISCARD\n"],
  [["--no-raw"], "SELECT 3\nGET there\nSELECT 0\nGET there\nHELLO 3\nHGETALL hash\nBLPOP list 0\n"],
  [
    ["--no-raw"],
    "CONFIG GET maxmemory\nCONFIG SET maxmemory nonsense\nOBJECT ENCODING list\nPERSIST soon\n",
  ],
  [
    ["--no-raw"],
    'CLIENT SETNAME me\nCLIENT GETNAME\nCLIENT NO-EVICT on\nCLIENT REPLY ON\nECHO "a b"\n',
  ],
  [["--no-raw", "COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2"]],
  [["--cluster", "info", "127.0.0.1:PORT"]],
  [["--scan", "--pattern", "[hl]*", "--count", "1000"]],
  [["--scan", "--type", "string"]],
  [["--scan", "--quoted-pattern", String.raw`"\x00*"`]],
  [["--hotkeys"]],
];

/** Without what is of one server only. */
const plain = (text: string, port: number): string =>
  text.replaceAll(String(port), "PORT").replace(/("id.*=> \(integer\)) \d+/g, "$1 N");

test.skipIf(lacksRedis)("redis-cli says of the store what it says of redis", async () => {
  const ports = [await portOfStore(), await startRedis()];
  for (const port of ports) await cli(port, [], KEYS);
  for (const [words, stdin] of DIALOGUES) {
    const said = await Promise.all(
      ports.map(async (port) => {
        const args = words.map((word) => word.replace("PORT", String(port)));
        const { status, stdout, stderr } = await run(
          "redis-cli",
          ["-p", String(port), ...args],
          stdin,
        );
        const isScan = words[0] === "--scan";
        const text = isScan ? stdout.split("\n").sort().join("\n") : plain(stdout, port);
        return { words, status, stdout: text, stderr: plain(stderr, port) };
      }),
    );
    expect(said[0]).toEqual(said[1]);
  }
});

test.skipIf(lacksRedis)("the tools in redis-cli work", async () => {
  const ports = [await portOfStore(), await startRedis()];
  const [port] = ports as [number, number];
  // Requests as they go over the wire, and lines among them; the largest of each type is only one.
  const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
  const requests: string[] = [];
  for (let i = 0; i < 1_000; i += 1)
    requests.push(`*3\r\n${bulk("SET")}${bulk(`key:${i}`)}${bulk(`v${i}`)}`);
  for (let i = 0; i < 10; i += 1) requests.push(`RPUSH list:${i}${" x".repeat(i + 1)}\r\n`);
  requests.push(
    `SET largest ${"x".repeat(1_000)}\r\n`,
    "HSET hash a 1 b 2\r\n",
    "ZADD zset 1 a\r\n",
  );
  for (const one of ports) {
    const said = await cli(one, ["--pipe"], requests.join(""));
    expect(said).toContain(`errors: 0, replies: ${requests.length}`);
    const wrong = await run("redis-cli", ["-p", String(one), "--pipe"], "SET only\r\nPING\r\n");
    expect(wrong.stdout).toContain("errors: 1, replies: 2");
  }
  const summaries: string[] = [];
  for (const one of ports) {
    const [, summary = ""] = (await cli(one, ["--bigkeys"])).split("-------- summary -------");
    summaries.push(summary);
  }
  expect(summaries[0]).toContain("Sampled 1013 keys");
  expect(summaries[0]).toBe(summaries[1]);
  expect(await cli(port, ["--memkeys"])).toMatch(
    /Biggest string found '"largest"' has \d{4} bytes/,
  );
  expect(await cli(port, ["--memkeys", "--memkeys-samples", "0"])).toContain("Sampled 1013 keys");
  expect((await cli(port, ["--scan"])).trim().split("\n").length).toBe(1013);
  expect(await cli(port, ["--latency", "-i", "0.2"])).toMatch(/^\d+ \d+ [\d.]+ \d+\n$/);

  const args = ["-p", String(port), "--stat", "-i", "0.1"];
  const lines = (count: number) => (text: string) => text.split("\n").length > count;
  const { stdout } = await run("stdbuf", ["-oL", "redis-cli", ...args], "", lines(4));
  expect(stdout).toMatch(/\n1013 +[\d.]+M +\d+ +0 +\d+ \(\+\d+\) +\d+/);

  const watching = ["-p", String(port), "MONITOR"];
  const seen = run("redis-cli", watching, "", (text) => text.includes('"the end"'));
  for (let isOver = false; !isOver; ) {
    await cli(port, ["ECHO", "the end"]);
    isOver = await Promise.race([
      seen.then(() => true),
      new Promise<false>((later) => setTimeout(later, 50, false)),
    ]);
  }
  expect((await seen).stdout).toMatch(/OK\n[\d.]+ \[0 127\.0\.0\.1:\d+\] "echo" "the end"\n/i);

  for (const section of ["server", "clients", "memory", "persistence", "stats", "replication"])
    expect((await cli(port, ["INFO", section])).toLowerCase()).toContain(`# ${section}`);
  expect(await cli(port, ["INFO"])).toContain("db0:keys=1013,expires=0");
});

test.skipIf(lacksRedis)("redis-benchmark has its tests done without an error", async () => {
  const port = String(await portOfStore());
  const few = ["-p", port, "-c", "10", "-n", "100", "--csv"];
  const tests = (csv: string): string[] =>
    csv
      .split("\n")
      .slice(1)
      .map((line) => line.split('"')[1] ?? "");
  const plainly = await run("redis-benchmark", few);
  expect(plainly).toMatchObject({ status: 0, stderr: "" });
  expect(tests(plainly.stdout)).toEqual([
    ...[
      "PING_INLINE",
      "PING_MBULK",
      "SET",
      "GET",
      "INCR",
      "LPUSH",
      "RPUSH",
      "LPOP",
      "RPOP",
      "SADD",
      "HSET",
    ],
    ...[
      "SPOP",
      "ZADD",
      "ZPOPMIN",
      "LPUSH (needed to benchmark LRANGE)",
      "LRANGE_100 (first 100 elements)",
    ],
    ...[
      "LRANGE_300 (first 300 elements)",
      "LRANGE_500 (first 500 elements)",
      "LRANGE_600 (first 600 elements)",
    ],
    ...["MSET (10 keys)", ""],
  ]);
  const pipelined = await run("redis-benchmark", [
    ...few,
    "-3",
    "-P",
    "16",
    "-r",
    "100",
    "-d",
    "1000",
    "--threads",
    "2",
  ]);
  expect(pipelined).toMatchObject({ status: 0, stderr: "" });
  expect(tests(pipelined.stdout)).toEqual(tests(plainly.stdout));
});
