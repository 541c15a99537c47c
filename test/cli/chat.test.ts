// A chat of three operating-system processes: in a pipe, where what is late is under the test's control, and in real terminals.
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { shellWord } from "../../src/core/shell-word.ts";
import { freePorts } from "../support/ports.ts";
import { Started, temporaryDirectory, tidemark, until } from "./support/command.ts";

// biome-ignore lint/suspicious/noExplicitAny: what the events hold is what the tests are about
type Event = any;

/** A member behind pipes. */
class Talker {
  readonly started: Started;

  constructor(args: readonly string[]) {
    this.started = new Started(["chat", ...args], {}, "pipe");
  }

  type(...lines: string[]): void {
    this.started.child.stdin?.write(lines.map((line) => `${line}\n`).join(""));
  }

  get events(): readonly Event[] {
    const lines = this.started.stdout.split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line));
  }

  get texts(): readonly string[] {
    return this.events.flatMap(({ event, text }) => (event === "message" ? [text] : []));
  }

  of(kind: string): readonly Event[] {
    return this.events.filter(({ event }) => event === kind);
  }

  async sees(kind: string, count = 1): Promise<Event> {
    await until(`${count} of ${kind}`, () => this.of(kind).length >= count);
    return this.of(kind)[count - 1];
  }

  async hears(...texts: string[]): Promise<void> {
    await until(`to hear ${texts.join()}`, () => texts.every((text) => this.texts.includes(text)));
  }

  async ends(): Promise<number | string> {
    this.started.child.stdin?.end();
    return (await this.started.ended).status;
  }
}

/** All of a chat, who see each other. */
async function gather(
  ids: readonly string[],
  args: Readonly<Record<string, readonly string[]>> = {},
  all: readonly string[] = [],
): Promise<Readonly<Record<string, Talker>>> {
  const port = await freePorts(ids.length);
  const common = ["--json", "--members", ids.join(), "--port", String(port), ...all];
  const chat = ["--dir", temporaryDirectory(), "--ask-after", "1h", ...common];
  const talkers = Object.fromEntries(
    ids.map((id) => [id, new Talker(["--id", id, ...chat, ...(args[id] ?? [])])]),
  );
  for (const one of Object.values(talkers))
    for (const id of ids)
      await until(`${id} to be seen`, () =>
        one.events.some(
          ({ event, member, presence }) =>
            (event === "member" && member === id && presence === "here") ||
            (event === "started" && member === id),
        ),
      );
  return talkers;
}

/** What a says is late at c, and so is whatever b sends after its answer. */
async function overtaking(order: string): Promise<{ a: Talker; b: Talker; c: Talker }> {
  const slow = { a: ["--delay", "c=1h"] };
  const talkers = await gather(["a", "b", "c"], slow, ["--order", order]);
  const { a, b, c } = talkers as { a: Talker; b: Talker; c: Talker };
  a.type("shall we meet?");
  await b.hears("shall we meet?");
  b.type("gladly", "/delay c=1h");
  await a.hears("gladly");
  return { a, b, c };
}

describe("a reply whose question is late", () => {
  test("overtakes it, if only FIFO order is asked for", async () => {
    const { a, c } = await overtaking("fifo");
    await c.hears("gladly");
    expect(c.texts).toEqual(["gladly"]);
    a.type("/delay c=0");
    await c.hears("shall we meet?");
    expect(c.texts).toEqual(["gladly", "shall we meet?"]);
  });

  test("waits for it in causal order, and says so; a snapshot has it in flight", async () => {
    const { a, b, c } = await overtaking("causal");
    const why =
      /^packet 1 of b \(causal, 1 message\) is held at c .*: it waits for packet 1 of a, which has not come here$/;
    let asked = 0;
    await until("the reply to be held", async () => {
      c.type("/why");
      asked += 1;
      const { sentences } = await c.sees("why", asked);
      return sentences.some((sentence: string) => why.test(sentence));
    });
    expect(c.texts).toEqual([]);
    // What c has recorded by the time that it says more has no question.
    c.type("/snapshot", "/order total");
    await c.sees("order");
    for (const one of [a, b]) one.type("/delay c=0");
    await c.hears("gladly");
    expect(c.texts).toEqual(["shall we meet?", "gladly"]);
    const snapshot = await c.sees("snapshot");
    expect(snapshot).toMatchObject({ snapshot: "c/1", consistent: true, processes: 3 });
    expect(snapshot.messagesInFlight).toBe(1);
    const shown = await tidemark(["show", "c/1", "--json", "--dir", snapshot.directory]);
    expect(shown.stdout).toContain('"shall we meet?"');

    c.type("/history");
    const { messages } = await c.sees("history");
    expect(messages).toMatchObject([
      { from: "a", order: "causal", packet: 1, stamp: { a: 1, b: 0, c: 0 } },
      { from: "b", order: "causal", packet: 1, stamp: { a: 1, b: 1, c: 0 } },
    ]);
    expect(messages[1].heldMs).toBeGreaterThan(0);
    c.type("in total order");
    await a.hears("in total order");
    expect(a.of("message").at(-1)).toMatchObject({ order: "total", from: "c" });
    for (const one of [a, b, c]) expect(await one.ends()).toBe(0);
    expect(a.of("ended")).toEqual([{ event: "ended", unacknowledged: [] }]);
  });
});

test("a member that is gone is named, and so is what waits for it", async () => {
  const talkers = await gather(["a", "b", "c"], {}, ["--order", "total"]);
  const { a, b, c } = talkers as { a: Talker; b: Talker; c: Talker };
  a.started.child.kill("SIGKILL");
  await b.sees("member", 3);
  expect(b.of("member")[2]).toMatchObject({ member: "a", presence: "away" });
  b.type("does anybody hear me?");
  expect(await c.sees("stalled")).toMatchObject({ over: false, members: ["a"] });
  expect(c.of("stalled")[0].message).toMatch(/it waits for the word of a, the sequencer/);
  await until("a to be lost", () => b.events.some(({ presence }) => presence === "lost"));
  b.type("/who");
  expect((await b.sees("who")).members.map(({ presence }: Event) => presence)).toEqual([
    ...["lost", "you", "here"],
  ]);
  expect(await b.ends()).toBe(1);
  expect(b.of("ended")).toMatchObject([{ unacknowledged: ["a"] }]);
  expect(c.texts).toEqual([]);
});

test("who begins again under its name is none of the chat, and the others say so", async () => {
  const port = await freePorts(2);
  const args = ["--json", "--members", "a,b", "--port", String(port)];
  const dir = ["--dir", temporaryDirectory()];
  const a = new Talker(["--id", "a", ...args, ...dir]);
  const b = new Talker(["--id", "b", ...args, ...dir]);
  b.type("here I am");
  await a.hears("here I am");
  b.started.child.kill("SIGKILL");
  await b.started.ended;
  const again = new Talker(["--id", "b", ...args, ...dir]);
  await until("a stranger", () => a.events.some(({ presence }) => presence === "stranger"));
  again.type("it is me");
  a.type("/who");
  expect((await a.sees("who")).members[1]).toMatchObject({ member: "b", presence: "stranger" });
  expect(a.texts).toEqual(["here I am"]);
});

test("what is typed wrong is told, and the chat goes on", async () => {
  const talkers = await gather(["a", "b"]);
  const { a, b } = talkers as { a: Talker; b: Talker };
  const wrong: readonly (readonly [string, RegExp])[] = [
    ["/nothing", /no command \/nothing: \/help lists them/],
    ["/", /no command \/:/],
    ["/order best", /no order best: use reliable, fifo, causal/],
    ["/delay b", /use \/delay b=800ms/],
    ["/delay b=soon", /Use a number with its unit/],
    ["/delay z=1s", /nothing is sent to z: the others are b/],
    ["/history all", /use \/history, or/],
    ["x".repeat(10_000), /that line has 10000 bytes, and 4096 are the most: it was not said/],
  ];
  a.type("", "   ", ...wrong.map(([line]) => line), "//path", "  the end  ");
  await b.hears("  the end");
  expect(b.texts).toEqual(["/path", "  the end"]);
  expect(a.of("error")).toHaveLength(wrong.length);
  for (const [i, [, reason]] of wrong.entries()) expect(a.of("error")[i].message).toMatch(reason);
  a.type("/delay b=1.5s", "/delay b=0", "/help", "/quit", "not any more");
  expect((await a.started.ended).status).toBe(0);
  expect(a.of("delays").map(({ delays }) => delays)).toEqual([{ b: 1500 }, {}]);
  expect(a.of("help")[0].text).toContain("/snapshot");
  expect(b.texts).toHaveLength(2);
});

test("for people: lines with their time, and nothing of others that could drive a terminal", async () => {
  const port = await freePorts(2);
  const args = ["--members", "a,b", "--port", String(port), "--dir", temporaryDirectory()];
  const a = new Talker(["--id", "a", ...args]);
  const b = new Talker(["--id", "b", ...args]);
  a.type("\u001b[2Jhello\u0007\u009b1m", "last");
  await until("the last line", () => b.started.stdout.includes("last"));
  b.type("/history", "/why", "/who");
  await until("who is there", () => b.started.stdout.includes("is you"));
  expect(await a.ends()).toBe(0);
  expect(await b.ends()).toBe(0);
  const lines = b.started.stdout.split("\n");
  expect(lines[0]).toBe("b in a chat of a, b");
  expect(lines.filter((line) => /^\d\d:\d\d:\d\d a> \?\[2Jhello\?\?1m$/.test(line))).toHaveLength(
    2,
  );
  expect(lines).toContainEqual(expect.stringMatching(/^ +causal, packet 1, after \[a:1 b:0\]/));
  expect(lines).toContain("* nothing waits");
  expect(b.started.stdout).not.toContain("\u001b");
});

describe("what cannot be is refused", () => {
  test.each<[readonly string[], number, RegExp]>([
    [[], 2, /required option '--id <name>' not specified/],
    [["--id", "z"], 2, /z is not among the members a,b,c: name all with --members z,…/],
    [["--id", "a b"], 2, /"a b" is not a process id/],
    [["--id", "a", "--members", "a,a"], 2, /Use different names/],
    [["--id", "a", "--delay", "z=1s"], 2, /nothing is sent to z: the others are b, c/],
    [["--id", "a", "--delay", "b"], 2, /Use a number with its unit/],
    [["--id", "a", "--delay", "=1s"], 2, /Use name=time, as in b=800ms/],
    [["--id", "a", "--peer", "b=127.0.0.1:1"], 2, /say also where you listen: --listen/],
    [["--id", "a", "--peer", "b=nowhere"], 2, /Use host:port/],
    [
      "--id a --listen 127.0.0.1:0 --peer a=127.0.0.1:1".split(" "),
      2,
      /--peer names a, who is you/,
    ],
    [
      [..."--id a --members a,c --listen 127.0.0.1:0 --peer b=127.0.0.1:1".split(" ")],
      2,
      /--members has a,c, but by --id and --peer they are a,b/,
    ],
    [["--id", "a", "--port", "65534"], 2, /there are no 3 ports from 65534 on/],
    [["--id", "a", "--order", "best"], 2, /Allowed choices are reliable, fifo, causal/],
  ])("%j", async (args, status, reason) => {
    const ended = await tidemark(["chat", "--dir", temporaryDirectory(), ...args]);
    expect([ended.stderr, ended.status]).toEqual([expect.stringMatching(reason), status]);
  });

  test("a place where somebody listens", async () => {
    const { a } = (await gather(["a"])) as { a: Talker };
    const address = a.of("started")[0].address;
    const args = ["--id", "x", "--listen", address, "--peer", "y=127.0.0.1:1"];
    const ended = await tidemark(["chat", "--dir", temporaryDirectory(), ...args]);
    expect(ended.stderr).toMatch(/is in use: stop the process that listens there/);
    expect(ended.status).toBe(1);
  });
});

/** Not where there is no tmux; .ci/run installs it. */
const hasTmux = spawnSync("tmux", ["-V"]).status === 0;

/** Three terminals; the one of c is narrow. */
class Terminals {
  readonly #socket = `tidemark-${process.pid}-${Math.floor(Math.random() * 1e9)}`;

  constructor(port: number, order: string, args: Readonly<Record<string, readonly string[]>>) {
    const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
    const directory = temporaryDirectory();
    const common = ["--port", String(port), "--dir", join(directory, "store"), "--order", order];
    onTestFinished(() => {
      this.#tmux("kill-server");
    });
    for (const id of ["a", "b", "c"]) {
      const node = [process.execPath, "--conditions=tidemark-source", main];
      const chat = ["chat", "--id", id, "--ask-after", "1h", ...common, ...(args[id] ?? [])];
      const command = [...node, ...chat].map(shellWord).join(" ");
      const size = ["-x", id === "c" ? "60" : "100", "-y", "40"];
      const shell = `unset NO_COLOR FORCE_COLOR; ${command}; echo ended with $?; sleep 60`;
      this.#tmux("-f", "/dev/null", "new-session", "-d", "-s", `chat-${id}`, ...size, shell);
    }
  }

  #tmux(...args: string[]): string {
    return execFileSync("tmux", ["-L", this.#socket, ...args], { encoding: "utf8" });
  }

  type(id: string, ...keys: string[]): void {
    this.#tmux("send-keys", "-t", `=chat-${id}:`, ...keys);
  }

  /** What stands there, without the clock. */
  screen(id: string): readonly string[] {
    const text = this.#tmux("capture-pane", "-p", "-J", "-t", `=chat-${id}:`).trimEnd();
    return text.split("\n").map((line) => line.trimEnd().replace(/^\d\d:\d\d:\d\d /, ""));
  }

  async shows(id: string, pattern: RegExp): Promise<void> {
    try {
      await until("the screen", () => this.screen(id).some((line) => pattern.test(line)));
    } catch {
      expect(this.screen(id)).toContainEqual(expect.stringMatching(pattern));
    }
  }
}

describe.skipIf(!hasTmux)("in three terminals", () => {
  const typed = "what I am about to say is so long that it goes on in the next line";

  async function meet(order: string): Promise<Terminals> {
    const terminals = new Terminals(await freePorts(3), order, { a: ["--delay", "c=1h"] });
    for (const [id, others] of [
      ["a", "bc"],
      ["b", "ac"],
      ["c", "ab"],
    ] as const)
      for (const other of others) await terminals.shows(id, new RegExp(`^\\* ${other} is here$`));
    terminals.type("c", typed);
    await terminals.shows("c", new RegExp(`^c ${order}> ${typed}$`));
    terminals.type("a", "shall we meet?", "Enter");
    await terminals.shows("b", /^a> shall we meet\?$/);
    terminals.type("b", "gladly", "Enter");
    await terminals.shows("a", /^b> gladly$/);
    return terminals;
  }
  const talk = (terminals: Terminals): readonly string[] =>
    terminals.screen("c").filter((line) => /^[abc]( [a-z]+)?> /.test(line));

  test("a reply overtakes its question in FIFO order, and the line that is typed stays whole", async () => {
    const terminals = await meet("fifo");
    await terminals.shows("c", /^b> gladly$/);
    expect(talk(terminals)).toEqual(["b> gladly", `c fifo> ${typed}`]);
    terminals.type("a", "/delay c=0", "Enter");
    await terminals.shows("c", /^a> /);
    expect(talk(terminals)).toEqual(["b> gladly", "a> shall we meet?", `c fifo> ${typed}`]);
    terminals.type("c", "Enter");
    await terminals.shows("b", new RegExp(`^c> ${typed}$`));
    await terminals.shows("c", /^c fifo>$/);
    // What was typed is not there twice, and no line is left behind.
    expect(terminals.screen("c").slice(-4)).toEqual([
      ...["b> gladly", "a> shall we meet?", `c> ${typed}`, "c fifo>"],
    ]);
  });

  test("it waits in causal order, and /why says for what", async () => {
    const terminals = await meet("causal");
    // Whatever was typed is taken back, for a command.
    terminals.type("c", "C-u", "/why", "Enter");
    const held =
      /^\* packet 1 of b \(causal, 1 message\) is held at c for .*: it waits for packet 1 of a, which has not come here$/;
    await until("the reply to be held", () => {
      if (terminals.screen("c").some((line) => held.test(line))) return true;
      terminals.type("c", "/why", "Enter");
      return false;
    });
    expect(talk(terminals).filter((line) => !line.startsWith("c causal>"))).toEqual([]);
    terminals.type("a", "/delay c=0", "Enter");
    await terminals.shows("c", /^b> gladly$/);
    expect(talk(terminals).filter((line) => !line.startsWith("c causal>"))).toEqual([
      ...["a> shall we meet?", "b> gladly"],
    ]);
    terminals.type("c", "/history", "Enter");
    await terminals.shows("c", /^ +causal, packet 1, after \[a:1 b:1 c:0\], held for /);
    for (const [id, ...keys] of [
      ["a", "/quit", "Enter"],
      ["b", "C-d"],
      ["c", "C-c"],
    ] as const) {
      terminals.type(id, ...keys);
      await terminals.shows(id, /^ended with 0$/);
    }
  });
});
