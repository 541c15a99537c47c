import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { TidemarkError } from "../../src/core/error.ts";
import {
  ControlClient,
  type ControlHandlers,
  ControlServer,
} from "../../src/runtime/control-socket.ts";
import { cases, fuzzed } from "../support/soak.ts";

type Methods = {
  readonly echo: readonly [unknown, unknown];
  readonly fail: readonly [null, never];
  readonly wait: readonly [null, never];
};

const handlers: ControlHandlers<Methods> = {
  echo: async (parameter) => parameter,
  async fail() {
    throw new TidemarkError("SNAPSHOT_ABANDONED", "p1/1 was abandoned");
  },
  wait: () => new Promise(() => {}),
};

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-control-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, "system");
}

async function serve(directory: string = newDirectory()): Promise<[string, ControlServer]> {
  const server = await ControlServer.listen<Methods>(directory, handlers);
  onTestFinished(() => server.close());
  return [directory, server];
}

async function ask(directory: string): Promise<ControlClient<Methods>> {
  const client = await ControlClient.connect<Methods>(directory);
  onTestFinished(() => client.close());
  return client;
}

/** A caller that is not ours, line by line. */
class Stranger {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  readonly #lines: AsyncIterator<string>;

  constructor(directory: string) {
    this.socket = connect(join(directory, "control.sock")).on("error", () => {});
    this.closed = new Promise((settle) => this.socket.on("close", () => settle()));
    this.#lines = createInterface(this.socket)[Symbol.asyncIterator]();
    onTestFinished(() => {
      this.socket.destroy();
    });
  }

  async answer(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    return done ? undefined : JSON.parse(value);
  }
}

const request = (
  id: number,
  method: string,
  parameter: unknown = null,
  tidemark: unknown = 1,
): string => `${JSON.stringify({ tidemark, id, method, parameter })}\n`;

describe("a control socket", () => {
  test("is its owner's only, as is a directory that is made for it, and goes with the system", async () => {
    const [directory, server] = await serve();
    const path = join(directory, "control.sock");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    await server.close();
    expect(existsSync(path)).toBe(false);
    await expect(ControlClient.connect(directory)).rejects.toMatchObject({ code: "NOT_RUNNING" });
  });

  test("carries parameters and results of many callers at a time", async () => {
    const [directory] = await serve();
    const clients = await Promise.all(Array.from({ length: 8 }, () => ask(directory)));
    const values = [null, 7, "→ ✓\n", [1, { a: [] }], "x".repeat(60_000)];
    for (const value of values)
      expect(await Promise.all(clients.map((client) => client.call("echo", value)))).toEqual(
        clients.map(() => value),
      );
  });

  test("carries errors with their code", async () => {
    const [directory] = await serve();
    const client = await ask(directory);
    await expect(client.call("fail", null)).rejects.toMatchObject({
      name: "TidemarkError",
      code: "SNAPSHOT_ABANDONED",
      message: "p1/1 was abandoned",
    });
  });

  test("tells who waits that the system has ended, or does not answer in time", async () => {
    const [directory, server] = await serve();
    const client = await ask(directory);
    await expect(client.call("wait", null, { timeoutMs: 20 })).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
      definite: false,
    });
    const waiting = client.call("wait", null);
    const ended = expect(waiting).rejects.toMatchObject({ code: "NOT_RUNNING", definite: false });
    await server.close();
    await ended;
    await expect(client.call("echo", 1)).rejects.toMatchObject({ code: "NOT_RUNNING" });
  });

  test("is refused while a system has the directory, whose process is named", async () => {
    const [directory] = await serve();
    await expect(ControlServer.listen(directory, {})).rejects.toMatchObject({
      code: "ALREADY_RUNNING",
      message: `a system runs in ${directory} already (process ${process.pid}): end it first, or choose another directory`,
    });
    expect(await (await ask(directory)).call("echo", "still there")).toBe("still there");
  });

  test("of a process that was killed is taken over, by one of those who want it", async () => {
    const directory = newDirectory();
    mkdirSync(directory);
    const program = `require("node:net").createServer().listen("control.sock", () => process.send("up"))`;
    const child = spawn(process.execPath, ["-e", program], {
      cwd: directory,
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    await new Promise((settle) => child.once("message", settle));
    const gone = new Promise((settle) => child.once("exit", settle));
    child.kill("SIGKILL");
    await gone;
    expect(statSync(join(directory, "control.sock")).isSocket()).toBe(true);
    const tries = await Promise.allSettled(
      Array.from({ length: 5 }, () => ControlServer.listen<Methods>(directory, handlers)),
    );
    const [server, ...more] = tries.flatMap((one) =>
      one.status === "fulfilled" ? [one.value] : [],
    );
    expect(more).toEqual([]);
    for (const one of tries)
      if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "ALREADY_RUNNING" });
    expect(await (await ask(directory)).call("echo", 1)).toBe(1);
    await server?.close();
  });

  test("does not replace what is no socket", async () => {
    const directory = newDirectory();
    mkdirSync(directory);
    writeFileSync(join(directory, "control.sock"), "mine");
    await expect(ControlServer.listen(directory, {})).rejects.toMatchObject({
      code: "STORE_FAILED",
      message: expect.stringContaining("is in the way: it is not a socket"),
    });
  });

  test("is refused when its path is too long, before anything is made", async () => {
    const directory = join(newDirectory(), "d".repeat(100));
    for (const attempt of [ControlServer.listen(directory, {}), ControlClient.connect(directory)])
      await expect(attempt).rejects.toMatchObject({
        code: "BAD_OPTION",
        message: expect.stringMatching(/has [0-9]+ bytes, and a socket's path at most 10[37]/),
      });
    expect(existsSync(directory)).toBe(false);
  });

  test("does not wait for ever for a system that accepts and says nothing", async () => {
    const directory = newDirectory();
    mkdirSync(directory);
    const mute = createServer(() => {}).listen(join(directory, "control.sock"));
    onTestFinished(() => {
      mute.close();
    });
    await new Promise((settle) => mute.once("listening", settle));
    await expect(ControlServer.listen(directory, {})).rejects.toMatchObject({
      code: "ALREADY_RUNNING",
      message: expect.stringContaining("which does not say who it is"),
    });
  });
});

describe("bad input", () => {
  test("is answered with an error, and does no harm", async () => {
    const [directory] = await serve();
    const stranger = new Stranger(directory);
    for (const [line, code, id] of [
      ["hello?\n", "BAD_MESSAGE", null],
      ["\n", "BAD_MESSAGE", null],
      ["[1]\n", "BAD_MESSAGE", null],
      ['{"id":"7"}\n', "BAD_MESSAGE", null],
      [request(1, "echo", 1, 2), "VERSION_MISMATCH", 1],
      [request(2, "echo", 1, null), "VERSION_MISMATCH", 2],
      [request(3, "no-such-method"), "BAD_OPTION", 3],
      [request(4, "constructor"), "BAD_OPTION", 4],
      [request(5, "__proto__"), "BAD_OPTION", 5],
    ] as const) {
      stranger.socket.write(line);
      expect(await stranger.answer()).toMatchObject({ id, error: { code } });
    }
    stranger.socket.write(request(6, "echo", "fine"));
    expect(await stranger.answer()).toEqual({ id: 6, result: "fine" });
  });

  test("that comes byte by byte, or many requests at a time, is taken apart rightly", async () => {
    const [directory] = await serve();
    const stranger = new Stranger(directory);
    for (const byte of Buffer.from(request(1, "echo", "→"))) {
      stranger.socket.write(Uint8Array.of(byte));
      await new Promise((settle) => setImmediate(settle));
    }
    expect(await stranger.answer()).toEqual({ id: 1, result: "→" });
    stranger.socket.write(Array.from({ length: 50 }, (_, i) => request(i, "echo", i)).join(""));
    for (let i = 0; i < 50; i += 1) expect(await stranger.answer()).toEqual({ id: i, result: i });
  });

  test("without an end costs a bounded amount of memory, and the connection", async () => {
    const [directory] = await serve();
    const stranger = new Stranger(directory);
    stranger.socket.write("x".repeat(70_000));
    expect(await stranger.answer()).toMatchObject({ id: null, error: { code: "BAD_MESSAGE" } });
    await stranger.closed;
    expect(await (await ask(directory)).call("echo", 1)).toBe(1);
  });

  test("of requests beyond number ends the connection", async () => {
    const [directory] = await serve();
    const stranger = new Stranger(directory);
    stranger.socket.write(Array.from({ length: 65 }, (_, i) => request(i, "wait")).join(""));
    expect(await stranger.answer()).toMatchObject({ id: null, error: { code: "BUSY" } });
    await stranger.closed;
  });

  test("of connections beyond number is refused, until one has gone", async () => {
    const [directory] = await serve();
    const strangers = Array.from({ length: 64 }, () => new Stranger(directory));
    for (const one of strangers) {
      one.socket.write(request(1, "echo"));
      await one.answer();
    }
    const late = new Stranger(directory);
    expect(await late.answer()).toMatchObject({ id: null, error: { code: "BUSY" } });
    await late.closed;
    const client = await ask(directory);
    await expect(client.call("echo", 1)).rejects.toMatchObject({ code: "BUSY" });
    strangers[0]?.socket.destroy();
    await expect.poll(async () => (await ask(directory)).call("echo", 1).catch(() => 0)).toBe(1);
  });

  test("of any kind never stops a server from answering others", async () => {
    const [directory] = await serve();
    const line = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json().map((text) => Buffer.from(`${text}\n`)),
      fc
        .record(
          {
            tidemark: fc.constantFrom(1, 2),
            id: fc.oneof(fc.nat(), fc.string()),
            method: fc.constantFrom("echo", "fail", "x"),
            parameter: fc.jsonValue(),
          },
          { requiredKeys: [] },
        )
        .map((value) => Buffer.from(`${JSON.stringify(value)}\n`)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line, { minLength: 1, maxLength: 10 }), async (lines) => {
        const stranger = new Stranger(directory);
        for (const bytes of lines) stranger.socket.write(bytes);
        stranger.socket.end();
        await stranger.closed;
      }),
      { numRuns: cases("control-fuzz", 200, 50_000) },
    );
    fuzzed("control socket", cases("control-fuzz", 200, 50_000));
    expect(await (await ask(directory)).call("echo", "unharmed")).toBe("unharmed");
  }, 3_600_000);
});

describe("a client", () => {
  /** Something that answers every request with that. */
  async function answering(text: string): Promise<ControlClient<Methods>> {
    const directory = newDirectory();
    mkdirSync(directory);
    const server = createServer((socket) => {
      socket.on("error", () => {}).on("data", () => socket.write(text));
    });
    server.listen(join(directory, "control.sock"));
    await new Promise((settle) => server.once("listening", settle));
    onTestFinished(() => {
      server.close();
    });
    return ask(directory);
  }

  test("takes a code that it does not know for a later version's", async () => {
    const client = await answering('{"id":1,"error":{"code":"LATER","message":"new"}}\n');
    await expect(client.call("echo", 1)).rejects.toMatchObject({
      code: "VERSION_MISMATCH",
      message: "new",
    });
  });

  test("is not confused by answers to nobody", async () => {
    const client = await answering('nonsense\n{"id":99,"result":1}\n{"id":1,"result":2}\n');
    expect(await client.call("echo", 1)).toBe(2);
  });

  test("gives up when an error is nobody's in particular", async () => {
    const client = await answering(
      '{"id":null,"error":null}\n{"id":null,"error":{"code":"BUSY","message":"full"}}\n',
    );
    await expect(client.call("echo", 1)).rejects.toMatchObject({ code: "VERSION_MISMATCH" });
  });
});
