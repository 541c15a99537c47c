import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { parseLine } from "../../src/bank/script.ts";
import { type BankOptions, runBank } from "../../src/cli/bank.ts";
import { type BankAccount, BankMaster } from "../../src/cli/bank-master.ts";
import { Random } from "../../src/core/random.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import { cases } from "../support/soak.ts";
import { type Pick, runModel } from "./bank-model.ts";
import { memoryHome } from "./memory-home.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
/** As the program does it: children that are compiled already start several times as fast. */
process.env["NODE_COMPILE_CACHE"] ??= fileURLToPath(
  new URL("../../node_modules/.cache/tidemark", import.meta.url),
);

const CASES = fileURLToPath(new URL("../cases/cs380d/", import.meta.url));
const read = (file: string): string => readFileSync(join(CASES, file), "utf8");

interface Run {
  readonly printed: string;
  /** What was told, line by line, as `line N: text`. */
  readonly told: readonly string[];
  readonly status: number;
}

async function run(script: readonly string[], options: BankOptions): Promise<Run> {
  let printed = "";
  const told: string[] = [];
  async function* lines(): AsyncGenerator<string> {
    yield* script;
  }
  const status = await runBank(lines(), options, {
    print: (text) => {
      printed += text;
    },
    tell: (text) => told.push(text),
  });
  return { printed, told, status };
}

/** Real accounts, each in an operating-system process, over TCP. */
const real = (script: readonly string[], seed?: number): Promise<Run> => run(script, { seed });
/** The same master over accounts in memory. */
const quick = (script: readonly string[], seed?: number): Promise<Run> =>
  run(script, { seed, openHome: memoryHome });

/** The numbers of the lines that were told to be wrong. */
const wrongLines = ({ told }: Run): number[] =>
  told
    .filter((text) => !/^line \d+: note: /.test(text))
    .map((text) => Number(/^line (\d+): /.exec(text)?.[1]));

/** What each printed snapshot adds up to. */
const sums = (printed: string): number[] =>
  printed
    .split("---Node states\n")
    .slice(1)
    .map((block) =>
      [...block.matchAll(/^(?:node|channel) .* = (\d+)$/gm)].reduce(
        (sum, [, n]) => sum + Number(n),
        0,
      ),
    );

const byTheRules = (script: readonly string[], seed?: number): ReturnType<typeof runModel> => {
  const random = seed === undefined ? undefined : new Random(seed);
  const pick: Pick | undefined = random && ((channels) => random.pick(channels));
  return runModel(script, pick);
};

function expectByTheRules(script: readonly string[], seed: number | undefined, outcome: Run): void {
  const { printed, wrong } = byTheRules(script, seed);
  expect(outcome.printed).toBe(printed);
  expect(wrongLines(outcome)).toEqual(wrong);
  expect(outcome.status).toBe(wrong.length > 0 ? 1 : 0);
}

/** A bank program of its own, as somebody would start it. */
class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<number | string | null>;
  printed = "";
  told = "";

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(process.execPath, [MAIN, "bank", ...args], {
      env: { ...process.env, ...env },
    });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.printed += text;
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.told += text;
    });
    // Whoever has ended does not read on.
    this.child.stdin?.on("error", () => {});
    this.ended = new Promise((resolve) => {
      this.child.once("close", (status, signal) => resolve(signal ?? status));
    });
  }

  type(...lines: readonly string[]): void {
    this.child.stdin?.write(lines.map((line) => `${line}\n`).join(""));
  }

  /** Waits until it has printed that. */
  async says(text: string | RegExp): Promise<void> {
    await vi.waitFor(() => expect(this.printed).toMatch(text), { timeout: 15_000, interval: 10 });
  }

  get nodes(): number[] {
    return childrenOf(this.child.pid ?? 0);
  }
}

/** The operating-system processes that are children of one. */
function childrenOf(parent: number): number[] {
  if (!existsSync("/proc/self/stat"))
    return execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" })
      .trim()
      .split("\n")
      .map((line) => line.trim().split(/\s+/).map(Number))
      .flatMap(([pid = 0, ppid]) => (ppid === parent ? [pid] : []));
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent;
      } catch {
        return false;
      }
    });
}

function lives(pid: number): boolean {
  try {
    // One that has ended, and that nobody has asked for its status yet, answers all the same.
    if (existsSync("/proc/self/stat"))
      return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("every case of the course, as a program with a process for each node", () => {
  const exact = readdirSync(CASES).filter((name) => name.endsWith(".out"));

  test.each(exact)("%s, byte for byte", async (name) => {
    const program = new Program([join(CASES, name.replace(".out", ".test"))]);
    expect(await program.ended).toBe(0);
    expect(program.printed).toBe(read(name));
    expect(program.told).not.toMatch(/^line \d+: (?!note: )/m);
  });

  test("JustinAWei-3, whose order is left open: all the money is there, twice", async () => {
    const program = new Program([join(CASES, "JustinAWei-3.test")]);
    expect(await program.ended).toBe(0);
    expect(sums(program.printed)).toEqual([3000, 3000]);
    expect(program.printed).toMatch(
      /^1 Transfer 100\n2 Transfer 100\n1 Transfer 200\n3 Transfer 300\nStarted by Node 1\n/,
    );
  });

  test.each([...exact.map((name) => name.replace(".out", ".test")), "JustinAWei-3.test"])(
    "%s with ten seeds: all the money is there, and the rules are kept",
    async (name) => {
      const script = read(name).split("\n");
      const total = name === "JustinAWei-3.test" ? 3000 : 1500;
      for (let seed = 0; seed < 10; seed += 1) {
        const outcome = await quick(script, seed);
        for (const sum of sums(outcome.printed)) expect(sum).toBe(total);
        expectByTheRules(script, seed, outcome);
      }
      const outcome = await real(script, 7);
      for (const sum of sums(outcome.printed)) expect(sum).toBe(total);
      expectByTheRules(script, 7, outcome);
    },
  );
});

interface Script {
  /** 2 to 5 nodes with some money each. */
  readonly start: readonly string[];
  readonly body: readonly string[];
}

/** Scripts with everything in them: perhaps more nodes later, mistakes, and odd white space. */
function scripts(length: number): fc.Arbitrary<Script> {
  const ids = [0, 1, 2, 7, 10];
  const id = fc.oneof(
    { weight: 30, arbitrary: fc.constantFrom(...ids) },
    { weight: 1, arbitrary: fc.constantFrom(23, 99) },
  );
  const amount = fc.oneof(
    { weight: 30, arbitrary: fc.nat(60) },
    { weight: 1, arbitrary: fc.constantFrom("-1", "2.5", "9007199254740993") },
  );
  const line = fc.oneof(
    { weight: 40, arbitrary: fc.tuple(id, id, amount).map(([a, b, n]) => `Send ${a} ${b} ${n}`) },
    { weight: 25, arbitrary: id.map((r) => `Receive ${r}`) },
    { weight: 15, arbitrary: fc.tuple(id, id).map(([r, s]) => `Receive ${r} ${s}`) },
    { weight: 4, arbitrary: fc.constant("ReceiveAll") },
    { weight: 10, arbitrary: id.map((i) => `BeginSnapshot ${i}`) },
    { weight: 12, arbitrary: fc.constant("CollectState") },
    { weight: 10, arbitrary: fc.constant("PrintSnapshot") },
    { weight: 2, arbitrary: id.map((i) => `CreateNode ${i} 50`) },
    { weight: 1, arbitrary: fc.constantFrom("KillAll", "StartMaster", "", "Send", "Nonsense 1") },
  );
  const white = fc.constantFrom(" ", " ", " ", "\t", "  ", " \t ");
  const end = fc.constantFrom("", "", "\r", " ");
  return fc.record({
    start: fc
      .tuple(
        fc.subarray(ids, { minLength: 2 }),
        fc.array(fc.integer({ min: 50, max: 200 }), { minLength: 5, maxLength: 5 }),
      )
      .map(([nodes, money]) => nodes.map((node, i) => `CreateNode ${node} ${money[i]}`)),
    body: fc.array(
      fc.tuple(line, white, end).map(([text, space, rest]) => text.replaceAll(" ", space) + rest),
      { minLength: length / 2, maxLength: length },
    ),
  });
}

const END = ["ReceiveAll", "CollectState", "PrintSnapshot"];

const seeds = fc.option(fc.nat(1_000_000), { nil: undefined });

describe("any script prints what the rules say, with and without a seed", () => {
  test("in memory", { timeout: cases("bank-scripts", 120_000, 7_200_000) }, async () => {
    await fc.assert(
      fc.asyncProperty(scripts(80), seeds, async ({ start, body }, seed) => {
        const script = [...start, ...body, ...END];
        expectByTheRules(script, seed, await quick(script, seed));
      }),
      { numRuns: cases("bank-scripts", 200, 20_000) },
    );
  });

  test("with a process for each node", {
    timeout: cases("bank-scripts", 120_000, 7_200_000),
  }, async () => {
    await fc.assert(
      fc.asyncProperty(scripts(60), seeds, async ({ start, body }, seed) => {
        const script = [...start, ...body, ...END];
        expectByTheRules(script, seed, await real(script, seed));
      }),
      { numRuns: cases("bank-scripts", 8, 1_000), endOnFailure: true },
    );
  });

  test("and the money of every complete snapshot is all there is", async () => {
    let snapshots = 0;
    await fc.assert(
      fc.asyncProperty(scripts(80), seeds, async ({ start, body }, seed) => {
        const finishing = body
          .filter((line) => !/CreateNode|KillAll/.test(line))
          .flatMap((line) => (/CollectState/.test(line) ? END.slice(0, 2) : [line]));
        const { printed } = await quick([...start, ...finishing, ...END], seed);
        const total = start.reduce((sum, line) => sum + Number(line.split(" ")[2]), 0);
        for (const sum of sums(printed)) expect(sum).toBe(total);
        snapshots += sums(printed).length;
      }),
      { numRuns: cases("bank-scripts", 100, 5_000) },
    );
    expect(snapshots).toBeGreaterThan(100);
  });

  test("which is noticed when a master misses the tokens of those who record", async () => {
    const forgetful: BankOptions["openHome"] = async (problem) => {
      const home = await memoryHome(problem);
      return {
        ...home,
        async start(id, money, others) {
          const account = await home.start(id, money, others);
          const call = async (...[method, parameter]: Parameters<BankAccount["call"]>) => {
            const result = await account.call(method, parameter);
            return method === "receive" ? { ...(result as object), recorded: false } : result;
          };
          return { address: account.address, call: call as BankAccount["call"] };
        },
      };
    };
    const script = read("JustinAWei-0.test").split("\n");
    const outcome = await run(script, { openHome: forgetful });
    expect(() => expectByTheRules(script, undefined, outcome)).toThrow();
  });
});

test("the page about the script shows what really happens", async () => {
  const page = readFileSync(new URL("../../docs/use/bank-script.md", import.meta.url), "utf8");
  const [, script, printed] =
    /^\$ cat example\n(.*)^\$ tidemark bank example\n(.*?)^```$/ms.exec(page) ?? [];
  expect(await quick((script ?? "").split("\n"))).toEqual({ printed, told: [], status: 0 });
});

/** The texts told about a line, in order. */
const toldOf = ({ told }: Run, line: number): string[] =>
  told.flatMap((text) =>
    text.startsWith(`line ${line}: `) ? [text.replace(/^line \d+: /, "")] : [],
  );

describe("what the rules leave open", () => {
  const BANK = ["CreateNode 1 100", "CreateNode 2 50", "CreateNode 3 0"];

  test("a wrong line is told with its number and changes nothing, and the run goes on", async () => {
    const outcome = await quick([
      "CreateNode 1 100",
      "",
      "CreateNode 1 7",
      "Send 1 2 5",
      "Send 1 1 5",
      "CreateNode 2 50",
      "Send 1 2 -5",
      "Receive 3",
      "Receive 2 2",
      "BeginSnapshot 9",
      "Teleport 1 2",
      "BeginSnapshot 2",
      ...END,
    ]);
    expect(outcome.told).toEqual([
      "line 3: node 1 exists already",
      "line 4: node 2 does not exist",
      "line 5: there is no channel from node 1 to itself",
      expect.stringMatching(/^line 7: "-5" cannot be "amount" of Send/),
      "line 8: node 3 does not exist",
      "line 9: there is no channel from node 2 to itself",
      "line 10: node 9 does not exist",
      expect.stringMatching(/^line 11: unknown command "Teleport"/),
    ]);
    expect(outcome.status).toBe(1);
    expect(outcome.printed).toMatch(
      /^Started by Node 2\n---Node states\nnode 1 = 100\nnode 2 = 50\n/,
    );
  });

  test("receiving from an empty channel prints nothing and is no mistake", async () => {
    const outcome = await quick([...BANK, "Receive 2", "Receive 2 1"]);
    expect(outcome).toMatchObject({ printed: "", status: 0 });
    expect(outcome.told).toEqual([
      "line 4: note: nothing to receive: every channel to 2 is empty",
      "line 5: note: nothing to receive: the channel from 1 to 2 is empty",
    ]);
  });

  test("a transfer of nothing and of everything is made, one of more is not", async () => {
    const script = ["Send 1 2 0", "Send 1 2 100", "Send 1 2 1", "Send 1 2 99999999999999999999"];
    const outcome = await quick([...BANK, ...script, "Receive 2", "Receive 2"]);
    expect(outcome.printed).toBe("ERR_SEND\nERR_SEND\n1 Transfer 0\n1 Transfer 100\n");
    expect(outcome.status).toBe(0);
  });

  test("a snapshot can be collected before it is complete, and again later", async () => {
    const outcome = await quick([
      ...BANK,
      "Send 2 1 20",
      "BeginSnapshot 1",
      "Receive 2",
      "CollectState",
      "PrintSnapshot",
      ...END,
    ]);
    const [, first = "", second = ""] = outcome.printed.split("---Node states\n");
    expect(first).toMatch(/^node 1 = 100\nnode 2 = 30\nnode 3 = 0\n/);
    expect(first).toMatch("channel (2 -> 1) = 0\n");
    expect(toldOf(outcome, 7)).toEqual([
      "note: the snapshot is not complete, and 0 stands for what is missing: node 3, channel (1 -> 3), " +
        "channel (2 -> 1), channel (2 -> 3), channel (3 -> 1), channel (3 -> 2)",
    ]);
    expect(second).toMatch("channel (2 -> 1) = 20\n");
    expect(sums(outcome.printed)).toEqual([130, 150]);
    expect(outcome.status).toBe(0);
  });

  test("what is missing is not listed without end", async () => {
    const nodes = Array.from({ length: 6 }, (_, i) => `CreateNode ${i} 1`);
    const outcome = await quick([...nodes, "BeginSnapshot 0", "CollectState"]);
    expect(toldOf(outcome, 8)[0]).toMatch(/channel \(0 -> 5\) and 25 more$/);
  });

  test("nothing is collected without a snapshot, and nothing is printed without collecting", async () => {
    const outcome = await quick([
      ...BANK,
      "PrintSnapshot",
      "CollectState",
      "BeginSnapshot 1",
      "PrintSnapshot",
    ]);
    expect(outcome.told).toEqual([
      "line 4: there is no snapshot to print: CollectState comes first",
      "line 5: there is no snapshot to collect: BeginSnapshot comes first",
      "line 7: there is no snapshot to print: CollectState comes first",
    ]);
    expect(outcome).toMatchObject({ printed: "Started by Node 1\n", status: 1 });
  });

  test("what was collected stays until the next collecting", async () => {
    const outcome = await quick([
      ...BANK,
      "BeginSnapshot 1",
      ...END,
      "Send 1 2 100",
      "BeginSnapshot 2",
      "PrintSnapshot",
      ...END,
    ]);
    const [, first, second, third] = outcome.printed
      .replaceAll(/^Started.*\n/gm, "")
      .split("---Node states\n");
    expect(second).toBe(first);
    expect(third).toMatch(/^node 1 = 0\nnode 2 = 50\n/);
  });

  test("of two snapshots at once the newer one is collected, and tokens of both are received", async () => {
    const outcome = await quick([
      "CreateNode 1 10",
      "CreateNode 2 10",
      "BeginSnapshot 1",
      "Send 1 2 4",
      "BeginSnapshot 2",
      "Receive 2",
      "Receive 2",
      ...END,
    ]);
    expect(outcome.printed).toBe(
      "Started by Node 1\nStarted by Node 2\n1 SnapshotToken -1\n1 Transfer 4\n" +
        "---Node states\nnode 1 = 6\nnode 2 = 10\n---Channel states\n" +
        "channel (1 -> 2) = 4\nchannel (2 -> 1) = 0\n",
    );
  });

  test("a node that is created during a snapshot abandons it; its tokens mean nothing any more", async () => {
    const script = [
      "BeginSnapshot 1",
      "CreateNode 4 5",
      "CollectState",
      "Receive 2",
      "Receive 3",
      "Receive 1",
    ];
    const outcome = await quick([...BANK, ...script, "BeginSnapshot 4", ...END]);
    expect(toldOf(outcome, 5)).toEqual([
      "note: the snapshot that node 1 began is abandoned: node 4 is not part of it",
    ]);
    expect(toldOf(outcome, 6)).toEqual([
      "there is no snapshot to collect: BeginSnapshot comes first",
    ]);
    expect(outcome.printed).toMatch(
      /^Started by Node 1\n1 SnapshotToken -1\n1 SnapshotToken -1\nStarted by Node 4\n---/,
    );
    expect(sums(outcome.printed)).toEqual([155]);
  });

  test("a snapshot that is complete outlives the creation of a node", async () => {
    for (let round = 0; round < 5; round += 1) {
      const outcome = await real([
        ...BANK.slice(0, 2),
        "BeginSnapshot 1",
        "ReceiveAll",
        "CreateNode 3 5",
        ...END,
      ]);
      expect(outcome.told).toEqual([]);
      expect(sums(outcome.printed)).toEqual([150]);
      expect(outcome.printed).not.toMatch("node 3");
    }
  });

  test("KillAll begins anew, and StartMaster need not be said", async () => {
    const outcome = await quick([
      ...BANK,
      "BeginSnapshot 1",
      ...END,
      "KillAll",
      "PrintSnapshot",
      "CreateNode 1 3",
      "StartMaster",
      "BeginSnapshot 1",
      ...END,
    ]);
    expect(outcome.told).toEqual([
      "line 9: there is no snapshot to print: CollectState comes first",
      "line 11: note: the master has started already",
    ]);
    expect(outcome.printed).toMatch(/---Node states\nnode 1 = 3\n---Channel states\n$/);
  });

  test("amounts are exact up to the largest safe number, and all the money stays below it", async () => {
    const most = Number.MAX_SAFE_INTEGER;
    const outcome = await quick([
      `CreateNode 1 ${most - 1}`,
      "CreateNode 2 2",
      "CreateNode 2 1",
      `Send 1 2 ${most - 2}`,
      "BeginSnapshot 2",
      ...END,
    ]);
    expect(outcome.told).toEqual([`line 2: all the money together would be more than ${most}`]);
    expect(outcome.printed).toMatch(`node 1 = 1\nnode 2 = 1\n`);
    expect(outcome.printed).toMatch(`channel (1 -> 2) = ${most - 2}\n`);
  });

  test("a script that fills channels without end, or creates nodes without end, is told so", async () => {
    const account: BankAccount = {
      address: "",
      call: (async () => ({ ok: true })) as unknown as BankAccount["call"],
    };
    const master = new BankMaster({
      openHome: async () => ({
        store: memoryStore(),
        start: async () => account,
        close: async () => {},
      }),
      note: () => {},
    });
    const perform = (line: string): Promise<string> =>
      master.perform(parseLine(line) as Parameters<BankMaster["perform"]>[0]);
    for (let node = 0; node < 100; node += 1) await perform(`CreateNode ${node} 1`);
    await expect(perform("CreateNode 100 1")).rejects.toThrow("there are 100 nodes already");
    for (let i = 0; i < 500_000; i += 1) await perform("Send 1 2 0");
    for (const line of ["Send 1 2 0", "Send 3 4 0", "BeginSnapshot 1"])
      await expect(perform(line)).rejects.toThrow(
        "500000 transfers and tokens wait in the channels",
      );
  });
});

test("an account that waited in vain says so, and takes nothing later", async () => {
  const home = await memoryHome(() => {});
  const [one, two] = await Promise.all([home.start("1", 5, ["2"]), home.start("2", 5, ["1"])]);
  const receive = (timeoutMs: number) => two.call("receive", { from: "1", timeoutMs });
  await expect(receive(20)).rejects.toThrow("nothing came from 1 within 20 ms");
  await one.call("request", { type: "transfer", to: "2", amount: 3 });
  expect(await receive(10_000)).toMatchObject({ kind: "message", message: { amount: 3 } });
  await expect(two.call("settled", "1/1")).rejects.toThrow("1/1 did not begin here");
  await home.close();
});

describe("as a program", () => {
  let temporary: string;
  const programs: Program[] = [];
  const start = (...args: string[]): Program => {
    const program = new Program(args, { TMPDIR: temporary });
    programs.push(program);
    return program;
  };

  beforeEach(() => {
    temporary = mkdtempSync(join(tmpdir(), "bank-test-"));
  });
  afterEach(async () => {
    for (const { child } of programs) child.kill("SIGKILL");
    await Promise.all(programs.splice(0).map(({ ended }) => ended));
    rmSync(temporary, { recursive: true, force: true, maxRetries: 5 });
  });

  test("it answers each line as it is typed, with a process for each node", async () => {
    const program = start();
    program.type("CreateNode 1 100", "CreateNode 2 50", "Send 1 2 500");
    await program.says(/^ERR_SEND\n$/);
    expect(program.nodes).toHaveLength(2);
    program.type("Send 1 2 30", "Receive 2");
    await program.says(/^ERR_SEND\n1 Transfer 30\n$/);
    program.type("BeginSnapshot 2");
    await program.says(/Started by Node 2\n$/);
    program.type("KillAll", "CreateNode 5 1", "BeginSnapshot 5");
    await program.says(/Started by Node 5\n$/);
    expect(program.nodes).toHaveLength(1);
    expect(readdirSync(temporary)).toHaveLength(1);
    program.child.stdin?.end("CollectState\nPrintSnapshot");
    expect(await program.ended).toBe(0);
    expect(program.printed).toMatch(/---Node states\nnode 5 = 1\n---Channel states\n$/);
    expect(program.told).toBe("");
    expect(readdirSync(temporary)).toEqual([]);
  });

  test("it says what is wrong on standard error and with its exit status", async () => {
    const script = join(temporary, "script");
    writeFileSync(script, "CreateNode 1 5\r\nSend 1 2 3\r\n\u001b[31mSend\r\n");
    const program = start(script);
    expect(await program.ended).toBe(1);
    expect(program.printed).toBe("");
    expect(program.told).toMatch(
      /^line 2: node 2 does not exist\nline 3: unknown command "\?\[31mSend"/,
    );
    for (const args of [["missing"], [temporary], ["--seed", "-1"], ["--seed", "x"], ["a", "b"]]) {
      const mistaken = start(...args);
      expect(await mistaken.ended, args.join(" ")).toBe(2);
      expect(mistaken.told).toMatch(/^tidemark: /);
    }
  });

  /** All in the middle of a snapshot; gives the processes of the nodes. */
  const busy = async (program: Program): Promise<number[]> => {
    program.type(
      "CreateNode 1 100",
      "CreateNode 2 50",
      "CreateNode 3 9",
      "Send 1 2 30",
      "BeginSnapshot 1",
    );
    program.type("Receive 2", "Receive 2");
    await program.says(/SnapshotToken/);
    const { nodes } = program;
    expect(nodes.filter(lives)).toHaveLength(3);
    return nodes;
  };

  const nothingIsLeft = (nodes: readonly number[]): Promise<void> =>
    vi.waitFor(
      () => {
        expect(nodes.filter(lives)).toEqual([]);
        expect(readdirSync(temporary)).toEqual([]);
      },
      { timeout: 10_000, interval: 10 },
    );

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("after %s no process and no file is left", async (signal, status) => {
    const program = start();
    const nodes = await busy(program);
    program.child.kill(signal);
    expect(await program.ended).toBe(status);
    await nothingIsLeft(nodes);
  });

  test("after a kill -9 the processes end by themselves, and remove what is left", async () => {
    const program = start();
    const nodes = await busy(program);
    program.child.kill("SIGKILL");
    expect(await program.ended).toBe("SIGKILL");
    await nothingIsLeft(nodes);
  });

  test("also when it is killed while it starts them", async () => {
    for (const afterMs of [150, 250, 350, 450]) {
      const program = start();
      program.type("CreateNode 1 100", "CreateNode 2 50", "CreateNode 3 9");
      await pause(afterMs);
      const { nodes } = program;
      program.child.kill("SIGKILL");
      await program.ended;
      await vi.waitFor(() => expect(nodes.filter(lives)).toEqual([]), { timeout: 10_000 });
    }
  });

  test("a reader that goes away ends it", async () => {
    const program = start();
    const nodes = await busy(program);
    program.child.stdout?.destroy();
    program.type(...Array.from({ length: 100 }, () => "Send 3 1 10"));
    expect(await program.ended).toBe(1);
    await nothingIsLeft(nodes);
  });

  test("a node that is killed is told, lines that need it are wrong, and KillAll begins anew", async () => {
    const program = start();
    const [first = 0] = await busy(program);
    process.kill(first, "SIGKILL");
    await vi.waitFor(() => expect(program.told).toMatch(/node \d has ended: SIGKILL/), {
      timeout: 10_000,
    });
    program.type(
      "Send 1 2 1",
      "Send 2 3 1",
      "Send 3 1 1",
      "BeginSnapshot 1",
      "BeginSnapshot 2",
      "BeginSnapshot 3",
    );
    program.type(
      "ReceiveAll",
      "KillAll",
      "CreateNode 1 8",
      "BeginSnapshot 1",
      "CollectState",
      "PrintSnapshot",
    );
    await program.says(/---Node states\nnode 1 = 8\n---Channel states\n$/);
    program.child.stdin?.end();
    expect(await program.ended).toBe(1);
    expect(program.told).toMatch(/^line \d+: \d has ended/m);
    expect(readdirSync(temporary)).toEqual([]);
  });
});
