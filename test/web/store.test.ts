import { get, type IncomingMessage } from "node:http";
import { Redis } from "ioredis";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { until } from "../cli/support/command.ts";
import { freePorts } from "../support/ports.ts";
import { browserPath, expectAccessible, openPage, startBrowser } from "./support/browser.ts";
import { Served } from "./support/served.ts";

/** A store of three replicas, with one causal namespace. */
async function startStore(...more: readonly string[]): Promise<{ served: Served; port: number }> {
  const port = await freePorts(3);
  const args = ["kv", "--port", String(port), "--causal", "cart:*", "--interval", "10m", ...more];
  return { served: await Served.start(args), port };
}

function clientOf(port: number): Redis {
  const client = new Redis(port, "127.0.0.1");
  client.on("error", () => {});
  onTestFinished(() => client.disconnect());
  return client;
}

/** The stream of a console, read when the test says so. */
class RawConsole {
  readonly #served: Served;
  readonly #stream: IncomingMessage;
  #heard = "";

  private constructor(served: Served, stream: IncomingMessage) {
    this.#served = served;
    this.#stream = stream;
    stream.setEncoding("utf8").on("data", (piece: string) => {
      this.#heard += piece;
    });
    stream.on("error", () => {});
    onTestFinished(() => void stream.destroy());
  }

  static async open(served: Served): Promise<RawConsole> {
    const headers = { authorization: `Bearer ${served.token}` };
    const stream = await new Promise<IncomingMessage>((settle, reject) => {
      get(`${served.origin}/api/store/console?process=p1`, { headers }, settle).on("error", reject);
    });
    const console = new RawConsole(served, stream);
    await until("it is opened", () => console.#session !== undefined);
    return console;
  }

  get #session(): string | undefined {
    return /"session":"([0-9a-f]+)"/.exec(this.#heard)?.[1];
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  async send(...words: readonly string[]): Promise<void> {
    const path = `/api/store/console/${this.#session}`;
    expect(await this.#served.ask("POST", path, { words })).toMatchObject({ status: 200 });
  }

  replies(): readonly Record<string, unknown>[] {
    return [...this.#heard.matchAll(/^event: reply\ndata: (.*)\n\n/gm)].map(
      ([, data = ""]) => (JSON.parse(data) as { reply: Record<string, unknown> }).reply,
    );
  }
}

/** Answers of the replicas to some requests. */
async function asked(
  served: Served,
  requests: readonly (readonly string[])[],
  more: object = {},
): Promise<{ readonly status: number; readonly answer: Record<string, unknown> }> {
  const wanted = { processes: ["p1"], db: 0, requests, ...more };
  const { status, body } = await served.ask("POST", "/api/store/requests", wanted);
  const [answer] = (body["answers"] ?? []) as readonly Record<string, unknown>[];
  return { status, answer: answer ?? body };
}

describe("what a page asks of a store", { timeout: 120_000 }, () => {
  test("carries all bytes, and does nothing if what was seen has changed", async () => {
    const { served } = await startStore();
    await using _ = served;
    const all = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
    const written = await asked(served, [
      ["SET", all, all],
      ["GET", all],
      ["STRLEN", all],
    ]);
    expect(written.answer["replies"]).toEqual([
      { type: "status", text: "OK" },
      { type: "bulk", text: all },
      { type: "integer", text: "256" },
    ]);
    // Databases do not get in each other's way, nor do errors in the way of what follows.
    const other = await asked(served, [["GET", all], ["INCR"], ["NOTHING"]], { db: 7 });
    expect(other.answer["replies"]).toMatchObject([
      { type: "null" },
      { type: "error", text: expect.stringMatching(/wrong number/) },
      { type: "error", text: expect.stringMatching(/unknown command/) },
    ]);

    const once = {
      isTransaction: true,
      seen: [{ request: ["GET", "n"], reply: { type: "null" } }],
    };
    const many = await Promise.all([1, 2, 3, 4].map(() => asked(served, [["INCR", "n"]], once)));
    expect(many.filter(({ answer }) => answer["replies"]).length).toBe(1);
    expect(
      many.filter(({ answer }) => answer["problem"]).map(({ answer }) => answer),
    ).toMatchObject(
      Array.from({ length: 3 }, () => ({
        problem: { code: "BUSY", message: expect.stringMatching(/changed it meanwhile/) },
      })),
    );
    expect((await asked(served, [["GET", "n"]])).answer["replies"]).toEqual([
      { type: "bulk", text: "1" },
    ]);
    // All or nothing.
    const spoiled = await asked(served, [["SET", "n", "2"], ["NOTHING"]], { isTransaction: true });
    expect(spoiled.answer["problem"]).toMatchObject({ code: "SERVER_REFUSED" });
    expect((await asked(served, [["GET", "n"]])).answer["replies"]).toEqual([
      { type: "bulk", text: "1" },
    ]);
  });

  test("is told what is wrong with it", async () => {
    const { served } = await startStore();
    await using _ = served;
    const get = [["GET", "a"]];
    const wrong: readonly (readonly [
      what: string,
      requests: unknown,
      more: object,
      status: number,
    ])[] = [
      ["no replica", get, { processes: [] }, 400],
      ["a replica that there is not", get, { processes: ["p9"] }, 404],
      ["one of which there is not", get, { processes: ["p1", "p9"] }, 404],
      ["a database that there is not", get, { db: 16 }, 400],
      ["half a database", get, { db: 1.5 }, 400],
      ["no words", [[]], {}, 400],
      ["what is no bytes", [["SET", "a", "☀"]], {}, 400],
      ["another field", get, { database: 1 }, 400],
      [
        "what was seen, of nothing",
        get,
        { isTransaction: true, seen: [{ request: ["GET"], reply: 1 }] },
        400,
      ],
      [
        "what was seen, without a transaction",
        get,
        { seen: [{ request: ["GET", "a"], reply: 1 }] },
        400,
      ],
      ...[
        "SELECT 1",
        "AUTH x",
        "CLIENT LIST",
        "MULTI",
        "WATCH a",
        "SUBSCRIBE a",
        "MONITOR",
        "RESET",
      ].map((line) => [line, [line.split(" ")], {}, 400] as const),
      ...[
        "BLPOP a 0",
        "WAIT 1 0",
        "DEBUG SLEEP 1",
        "TIDEMARK RESTORE p1/1",
        "SHUTDOWN NOSAVE",
        "CONFIG GET x",
      ].map(
        (line) => [line, [line.split(" ")], {}, line.startsWith("SHUTDOWN") ? 200 : 400] as const,
      ),
    ];
    for (const [what, requests, more, status] of wrong) {
      const found = await served.ask("POST", "/api/store/requests", {
        ...{ processes: ["p1"], db: 0, requests },
        ...more,
      });
      expect(found.status, what).toBe(status);
      if (status !== 200) expect(found.body["message"], what).toMatch(/./);
    }
    for (const [path, status] of [
      ["/api/store/console?process=p9", 404],
      ["/api/store/commands?processes=p9", 404],
      [`/api/store/commands?filter=${"x".repeat(201)}`, 400],
    ] as const)
      expect((await served.ask("GET", path)).status, path).toBe(status);
    expect((await served.ask("POST", "/api/store/console/none", { words: ["GET"] })).body).toEqual({
      code: "NOT_FOUND",
      message: "this console is closed: open another one",
    });
    expect((await asked(served, get)).status).toBe(200);
  });

  test("is bounded: answers to what is asked at once, and what a console has not taken", async () => {
    const { served, port } = await startStore();
    await using _ = served;
    const client = clientOf(port);
    await client.set("large", "x".repeat(4 << 20));
    const one = ["GETRANGE", "large", "0", String(1 << 20)];
    expect((await asked(served, Array(100).fill(one))).answer["problem"]).toEqual({
      code: "BAD_MESSAGE",
      message: expect.stringMatching(/answers have more than 16.0 MiB: ask for less at a time/),
    });
    expect((await asked(served, [one])).answer["replies"]).toHaveLength(1);

    const console = await RawConsole.open(served);
    console.pause();
    // All of them are on their way when the first one is answered.
    await console.send("BLPOP", "queue", "0");
    for (let i = 0; i < 12; i += 1) await console.send("GET", "large");
    await console.send("ECHO", "the last one");
    await client.rpush("queue", "go");
    await until("the store has answered", async () =>
      /cmd=echo/.test((await client.client("LIST")) as string),
    );
    console.resume();
    await until("all are told", () => console.replies().length === 14);
    const texts = console.replies().map((reply) => String(reply["text"]));
    expect(texts.filter((text) => /^left out: this page has not taken/.test(text))).not.toEqual([]);
    expect(texts.filter((text) => text.length === 4 << 20).length).toBeGreaterThan(0);
    await console.send("ECHO", "again");
    await until("it goes on", () => console.replies().at(-1)?.["text"] === "again");
  });

  test("has its answer, also behind a RESET that is under way", async () => {
    const { served, port } = await startStore();
    await using _ = served;
    const console = await RawConsole.open(served);
    await console.send("BLPOP", "queue", "0");
    const hash = ["HSET", "h", "a", "1"];
    for (const words of [["RESET"], ["ECHO", "one"], hash, ["HGETALL", "h"]])
      await console.send(...words);
    await clientOf(port).rpush("queue", "go");
    await until("all are answered", () => console.replies().length === 5);
    expect(console.replies().slice(1)).toMatchObject([
      { type: "status", text: "RESET" },
      { type: "bulk", text: "one" },
      { type: "integer", text: "1" },
      { type: "map" },
    ]);
  });

  test("is refused beyond what the server keeps, and is let go of with its page", async () => {
    const { served, port } = await startStore();
    await using _ = served;
    const client = clientOf(port);
    const connected = async (): Promise<number> =>
      ((await client.client("LIST")) as string).trim().split("\n").length;
    const before = await connected();
    const pages: AbortController[] = [];
    const open = async (path: string): Promise<number> => {
      const page = new AbortController();
      pages.push(page);
      const headers = { authorization: `Bearer ${served.token}` };
      return (await fetch(`${served.origin}${path}`, { headers, signal: page.signal })).status;
    };
    for (const path of ["/api/store/console?process=p1", "/api/store/commands?processes=p1"]) {
      for (let i = 0; i < 16; i += 1) expect(await open(path)).toBe(200);
      expect(await open(path)).toBe(409);
    }
    await until("all are connected", async () => (await connected()) === before + 32);
    for (const page of pages) page.abort();
    await until("all have gone", async () => (await connected()) === before);
    expect(await open("/api/store/console?process=p1")).toBe(200);
    for (const page of pages) page.abort();
  });
});

describe.skipIf(browserPath === undefined)("the view of the store", { timeout: 180_000 }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser.close();
  });

  /** Goes to a part of the view. */
  async function goTo(page: Page, name: string): Promise<void> {
    await page.getByRole("navigation", { name: "Store" }).getByRole("link", { name }).click();
  }

  async function openStore(url: string): Promise<{ page: Page; problems: readonly string[] }> {
    const opened = await openPage(browser, url);
    await opened.page
      .getByRole("navigation", { name: "Views" })
      .getByRole("link", { name: "Store", exact: true })
      .click();
    return opened;
  }

  test("a console is a connection of its own, to any replica", async () => {
    const { served, port } = await startStore();
    await using _ = served;
    const client = clientOf(port);
    const { page, problems } = await openStore(served.url);
    await goTo(page, "Console");
    const input = page.getByRole("textbox", { name: /^Command/ });
    const log = page.getByRole("log");
    const send = async (line: string): Promise<void> => {
      await input.fill(line);
      await input.press("Enter");
    };
    const says = (text: string | RegExp): Promise<void> => log.getByText(text).last().waitFor();

    await send('SET greeting "gr\\xc3\\xbc\\xc3\\x9fe"');
    await says("OK");
    await send("GET greeting");
    await says('"grüße"');
    await send("INCR greeting");
    await says("(error) ERR value is not an integer or out of range");
    await expect
      .poll(() => log.locator(".bad").last().textContent())
      .toBe("(error) ERR value is not an integer or out of range");
    await send("HSET h a 1 b 2");
    await send("HGETALL h");
    await says('2# "b" => "2"');
    await send("LRANGE none 0 -1");
    await says("(empty array)");
    await send('GET "');
    await page.getByText("a quote is not closed").waitFor();

    // A browser does not remember as much as may be sent.
    for (let i = 1; i <= 7; i += 1) {
      await send(`SET long ${"x".repeat(900_000 + i)}`);
      await expect.poll(() => client.strlen("long"), { timeout: 30_000 }).toBe(900_000 + i);
    }

    // One connection: a database, a transaction, a key that is watched.
    await send("SELECT 3");
    await page.getByRole("textbox", { name: "Command p1[3]>" }).waitFor();
    await send("WATCH w");
    await send("MULTI");
    await page.getByRole("textbox", { name: "Command p1[3](TX)>" }).waitFor();
    await send("SET w mine");
    await says("QUEUED");
    const other = clientOf(port + 1);
    await other.select(3);
    await other.set("w", "theirs");
    await until("p1 has it as well", async () => {
      const here = clientOf(port);
      await here.select(3);
      return (await here.get("w")) === "theirs";
    });
    await send("EXEC");
    await says("(nil)");
    await page.getByRole("textbox", { name: "Command p1[3]>" }).waitFor();

    // What waits, and what is said on channels.
    await send("SELECT 0");
    await send("BLPOP queue 0");
    await page.getByText("1 command not answered yet").waitFor();
    await client.rpush("queue", "job");
    await says('2) "job"');
    await send("SUBSCRIBE news");
    await says('1) "subscribe"');
    await client.publish("news", "something happened");
    await says('3) "something happened"');
    await send("PING");
    await says("PONG");

    // Another replica is another connection.
    await page.getByRole("combobox", { name: "Replica" }).selectOption("p2");
    await page.getByRole("textbox", { name: "Command p2>" }).waitFor();
    await send("TIDEMARK STATUS");
    await says('"process" => "p2"');

    // What takes much away is asked for first.
    await send("FLUSHALL");
    await page
      .getByRole("dialog", { name: "Is that meant?" })
      .getByText("deletes every key")
      .waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    expect(await client.get("greeting")).not.toBe(null);
    await send("FLUSHALL");
    await page.getByRole("button", { name: "Do it" }).click();
    await until("all is gone", async () => (await client.dbsize()) === 0);

    // History, also after the page was loaded anew; passwords are not in it.
    await send("AUTH nobody secret");
    await says("AUTH (redacted)");
    await input.press("ArrowUp");
    expect(await input.inputValue()).toBe("FLUSHALL");
    await page.reload();
    await input.press("ArrowUp");
    await input.press("ArrowUp");
    expect(await input.inputValue()).toBe("TIDEMARK STATUS");
    await input.press("ArrowDown");
    await input.press("ArrowDown");
    expect(await input.inputValue()).toBe("");

    await input.fill("hge");
    await page.getByRole("list", { name: "Completions" }).getByText("HGETALL").waitFor();
    await input.press("Tab");
    expect(await input.inputValue()).toBe("HGET ");
    await input.press("Tab");
    expect(await input.inputValue()).toBe("HGETALL ");
    await input.fill("SET k v ");
    await page.getByText("Set the string value of a key").waitFor();
    await input.pressSequentially("k");
    await input.press("Tab");
    expect(await input.inputValue()).toBe("SET k v KEEPTTL ");
    await expectAccessible(page);
    expect(problems).toEqual([]);
    await page.close();
  });

  test("keys of each type are found, read, changed, and come back", async () => {
    const { served, port } = await startStore();
    await using _ = served;
    const client = clientOf(port);
    const binary = Buffer.from([0xff, 0, 0x61]);
    await client.set(binary, Buffer.from([0, 1, 0xfe]));
    await client.set("text", '{"a":[1,2]}');
    await client.hset("hash", { name: "Ada", [binary.toString("latin1")]: "x" });
    await client.sadd("set", "red", "green");
    await client.zadd("zset", 1.5, "one", 2, "two");
    await client.rpush("list", "a", "b", "c");
    await client.set("cart:1", "3");
    const many = client.pipeline();
    for (let i = 0; i < 400; i += 1) many.set(`item:${i}`, i);
    await many.exec();
    const { page, problems } = await openStore(served.url);
    await page.getByText("407 keys", { exact: true }).waitFor();
    const list = page.getByRole("region", { name: "List of keys" });
    const panel = page.getByRole("region", { name: "Key", exact: true });
    const choose = async (pattern: string, key: string): Promise<void> => {
      // What is written is known to clients before it is to the page, whose dialog would take what is typed.
      await page.getByRole("dialog").waitFor({ state: "detached" });
      await page.getByRole("searchbox", { name: "Pattern" }).fill(pattern);
      await page.getByRole("button", { name: "Look", exact: true }).first().click();
      await list.getByRole("link", { name: key, exact: true }).click();
      await panel.getByRole("heading", { name: key, exact: true }).waitFor();
    };
    const undo = async (what: string): Promise<void> => {
      const notice = page.locator(".notice").filter({ hasText: what });
      await notice.getByRole("button", { name: "Undo" }).click();
    };
    const kept = async (what: () => Promise<unknown>, value: unknown): Promise<void> => {
      await expect.poll(what, { timeout: 20_000 }).toEqual(value);
    };

    // Page by page, and by type.
    for (const more of [/^(1\d\d|2\d\d) keys shown$/, /keys shown/])
      await page.getByRole("status").getByText(more).first().waitFor();
    while (await page.getByRole("button", { name: "More" }).first().isEnabled()) {
      await page.getByRole("button", { name: "More" }).first().click();
      await page
        .getByRole("status")
        .getByText(/keys shown/)
        .first()
        .waitFor();
    }
    await page.getByText("407 keys shown, these are all").waitFor();
    await page.getByRole("combobox", { name: "Type" }).selectOption("zset");
    await page.getByText("1 key shown, these are all").waitFor();
    await page.getByRole("combobox", { name: "Type" }).selectOption("any");

    // A binary key, with a binary value.
    await choose("\\xff*", "\\xff\\x00a");
    const value = panel.getByRole("textbox", { name: "Value" });
    await expect.poll(() => value.inputValue()).toBe("\\x00\\x01\\xfe");
    await value.fill("\\x00ü\\xfd");
    await panel.getByRole("button", { name: "Save" }).click();
    await kept(() => client.getBuffer(binary), Buffer.from([0, 0xc3, 0xbc, 0xfd]));
    await undo("\\xff\\x00a was changed");
    await kept(() => client.getBuffer(binary), Buffer.from([0, 1, 0xfe]));
    await panel.getByRole("button", { name: "Hex" }).click();
    await panel.getByText("000000  00 01 fe").waitFor();
    // The address leads to it.
    await page.reload();
    await panel.getByRole("heading", { name: "\\xff\\x00a" }).waitFor();

    await choose("text", "text");
    await panel.getByRole("button", { name: "JSON" }).click();
    await panel.getByText("[2]").waitFor();

    await choose("hash", "hash");
    await panel.getByRole("cell", { name: "ÿ\\x00a", exact: true }).waitFor();
    await panel.getByRole("button", { name: "Edit name" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: "Value" }).fill("Grace");
    await dialog.getByRole("button", { name: "Save" }).click();
    await kept(() => client.hget("hash", "name"), "Grace");
    await undo("name of hash was changed");
    await kept(() => client.hget("hash", "name"), "Ada");
    await panel.getByRole("button", { name: "Add a field" }).click();
    await dialog.getByRole("textbox", { name: "Field" }).fill("new\\xff");
    await dialog.getByRole("textbox", { name: "Value" }).fill("1");
    await dialog.getByRole("button", { name: "Add" }).click();
    await kept(() => client.hlen("hash"), 3);
    await panel.getByRole("button", { name: "Delete name" }).click();
    await kept(() => client.hexists("hash", "name"), 0);
    await undo("name of hash was deleted");
    await kept(() => client.hget("hash", "name"), "Ada");

    await choose("set", "set");
    await panel.getByRole("button", { name: "Delete red" }).click();
    await kept(() => client.sismember("set", "red"), 0);
    await undo("red of set was deleted");
    await kept(() => client.sismember("set", "red"), 1);

    await choose("zset", "zset");
    await panel.getByRole("button", { name: "Edit one" }).click();
    await dialog.getByRole("textbox", { name: "Score" }).fill("9.25");
    await dialog.getByRole("button", { name: "Save" }).click();
    await kept(() => client.zscore("zset", "one"), "9.25");

    await choose("list", "list");
    await panel.getByRole("button", { name: "Delete 1", exact: true }).click();
    await kept(() => client.lrange("list", 0, -1), ["a", "c"]);
    const third = panel.getByRole("button", { name: "Delete 2", exact: true });
    await third.waitFor({ state: "detached" });
    await undo("element 1 of list was deleted");
    await kept(() => client.lrange("list", 0, -1), ["a", "b", "c"]);
    // What follows is seen by the client alone, not by the panel, which looks once more after an undo.
    await third.waitFor();
    // Somebody else has changed it meanwhile: nothing of theirs is lost.
    await client.lpush("list", "front");
    await panel.getByRole("button", { name: "Delete 1", exact: true }).click();
    await page.getByText(/It was not deleted: somebody has changed it meanwhile/).waitFor();
    expect(await client.lrange("list", 0, -1)).toEqual(["front", "a", "b", "c"]);

    // When it expires, its name, and all of it.
    await panel.getByRole("button", { name: "Expire…" }).click();
    await dialog.getByRole("textbox").fill("1000");
    await dialog.getByRole("button", { name: "Set" }).click();
    await expect.poll(() => client.ttl("list")).toBeGreaterThan(900);
    await panel.getByRole("button", { name: "Rename…" }).click();
    await dialog.getByRole("textbox", { name: "New name" }).fill("hash");
    await dialog.getByRole("button", { name: "Rename" }).click();
    await dialog.getByText("somebody has changed it meanwhile").waitFor();
    await dialog.getByRole("textbox", { name: "New name" }).fill("lines");
    await dialog.getByRole("button", { name: "Rename" }).click();
    await panel.getByRole("heading", { name: "lines" }).waitFor();
    await panel.getByRole("button", { name: "Delete", exact: true }).click();
    await kept(() => client.exists("lines"), 0);
    await undo("lines was deleted");
    await kept(() => client.lrange("lines", 0, -1), ["front", "a", "b", "c"]);
    expect(await client.ttl("lines")).toBeGreaterThan(900);

    // Keys that converge.
    await choose("cart:*", "cart:1");
    await panel.getByText("causal").waitFor();
    await expect.poll(() => value.inputValue()).toBe("3");
    await value.fill("4");
    await panel.getByRole("button", { name: "Save" }).click();
    await kept(() => client.get("cart:1"), "4");
    await panel.getByRole("button", { name: "Delete", exact: true }).click();
    await kept(() => client.exists("cart:1"), 0);
    await undo("cart:1 was deleted");
    await kept(() => client.get("cart:1"), "4");

    await page.getByRole("button", { name: "Add a key" }).click();
    await dialog.getByRole("textbox", { name: "Key" }).fill("added\\x00");
    await dialog.getByRole("combobox", { name: "Type" }).selectOption("zset");
    await dialog.getByRole("textbox", { name: "Member" }).fill("first");
    await dialog.getByRole("textbox", { name: "Score" }).fill("7");
    await dialog.getByRole("button", { name: "Add" }).click();
    await kept(() => client.zscore("added\0", "first"), "7");
    await expectAccessible(page);
    expect(problems).toEqual([]);
    await page.close();
  });

  test("what is answered late, or undone later, leads nobody away from where they have gone", async () => {
    const { served, port } = await startStore();
    await using _ = served;
    const client = clientOf(port);
    await client.sadd("set", "red", "green");
    await client.set("text", "1");
    const { page, problems } = await openStore(served.url);
    const list = page.getByRole("region", { name: "List of keys" });
    const panel = page.getByRole("region", { name: "Key", exact: true });
    const look = async (pattern: string): Promise<void> => {
      await page.getByRole("searchbox", { name: "Pattern" }).fill(pattern);
      await page.getByRole("button", { name: "Look", exact: true }).first().click();
    };
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    await page.route("**/api/store/requests", async (route) => {
      if (route.request().postData()?.includes("SREM")) await released;
      await route.continue();
    });
    await look("s*");
    await list.getByRole("link", { name: "set", exact: true }).click();
    await panel.getByRole("button", { name: "Delete red" }).click();
    await look("t*");
    await list.getByRole("link", { name: "text", exact: true }).click();
    release();
    await page.getByText("red of set was deleted").waitFor();
    await page.getByText("1 key shown, these are all").waitFor();
    await panel.getByRole("heading", { name: "text", exact: true }).waitFor();

    const rename = async (to: string): Promise<void> => {
      await panel.getByRole("button", { name: "Rename…" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByRole("textbox", { name: "New name" }).fill(to);
      await dialog.getByRole("button", { name: "Rename" }).click();
      await panel.getByRole("heading", { name: to, exact: true }).waitFor();
    };
    const undo = async (what: string): Promise<void> => {
      const notice = page.locator(".notice").filter({ hasText: what });
      await notice.getByRole("button", { name: "Undo" }).click();
    };
    await rename("title");
    await undo("text is named title");
    await panel.getByRole("heading", { name: "text", exact: true }).waitFor();
    const undone = page.locator(".notice").filter({ hasText: "text has its name again" });
    await undone.getByRole("button", { name: "Dismiss" }).click();
    await undone.waitFor({ state: "detached" });
    await rename("tale");
    await goTo(page, "Orders");
    const address = page.url();
    await undo("text is named tale");
    await undone.waitFor();
    expect(await client.exists("text")).toBe(1);
    expect(page.url()).toBe(address);
    expect(problems).toEqual([]);
    await page.close();
  });

  test("what is too much to come back is asked for before it is deleted", async () => {
    const { served, port } = await startStore();
    await using _ = served;
    const client = clientOf(port);
    await client.set("large", "x".repeat(300_000));
    const { page, problems } = await openStore(served.url);
    await page.getByRole("link", { name: "large" }).click();
    await page.getByText("the first 64.0 KiB of 293.0 KiB").waitFor();
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "Delete it for good?" });
    await dialog.getByText("cannot be undone").waitFor();
    expect(await client.exists("large")).toBe(1);
    await dialog.getByRole("button", { name: "Delete" }).click();
    await expect.poll(() => client.exists("large")).toBe(0);
    expect(problems).toEqual([]);
    await page.close();
  });

  test("replicas are side by side, also one that is away and comes back", async () => {
    const { served, port } = await startStore();
    await using _ = served;
    const client = clientOf(port);
    await client.hset("user", { name: "Ada", city: "London" });
    await client.hincrby("cart:7", "apples", 3);
    const { page, problems } = await openStore(served.url);
    await goTo(page, "Replicas");
    const row = (process: string) =>
      page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: process }) });
    for (const process of ["p1", "p2", "p3"])
      await row(process).first().getByText("serves").waitFor();

    await page.getByRole("textbox", { name: "Key" }).fill("user");
    await page.getByRole("button", { name: "Compare" }).click();
    await page.getByText(/^Equal at all that answer, all at position 1-\d+\.$/).waitFor();
    expect(await page.getByText("hash: {city: London, name: Ada}").count()).toBe(3);
    await page.getByRole("textbox", { name: "Key" }).fill("cart:7");
    await page.getByRole("button", { name: "Compare" }).click();
    await expect.poll(() => page.getByText("hash: {apples: 3}").count()).toBe(3);
    await page.getByText("causal", { exact: true }).waitFor();

    const pidOf = (process: string): number =>
      Number(
        [...served.started.stdout.matchAll(new RegExp(`^${process} +(\\d+) `, "gm"))].at(-1)?.[1] ??
          Number.NaN,
      );
    const pid = pidOf("p2");
    process.kill(pid, "SIGSTOP");
    await row("p2").first().getByText("away").waitFor();
    await row("p2")
      .first()
      .getByText(/does not answer/)
      .waitFor();
    process.kill(pid, "SIGKILL");
    await row("p2").first().getByText("serves").waitFor({ timeout: 60_000 });
    await expect
      .poll(() => page.getByText("hash: {apples: 3}").count(), { timeout: 30_000 })
      .toBe(3);
    await expectAccessible(page);

    await goTo(page, "Orders");
    await page.getByRole("textbox", { name: "Key" }).fill("cart:9");
    await page.getByText("it is like cart:*").waitFor();
    await page.getByRole("textbox", { name: "Key" }).fill("user");
    await page.getByText("it is like no pattern").waitFor();
    await expectAccessible(page);

    await page.getByRole("button", { name: "Take a snapshot" }).click();
    await page.getByText(/^p\d\/\d+ has the whole store at one cut$/).waitFor();
    expect(problems).toEqual([]);
    await page.close();
  });

  test("what clients ask is shown live, but no password, and what is left out is told", async () => {
    const { served, port } = await startStore();
    await using _ = served;
    const { page, problems } = await openStore(served.url);
    await goTo(page, "Live commands");
    await page.getByText("No client has asked anything since").waitFor();
    const list = page.getByRole("region", { name: "Commands", exact: true });
    const [first, second] = [clientOf(port), clientOf(port + 1)];
    // It is watched once the first is shown.
    await until("commands are shown", async () => {
      await Promise.all([first.get("begin"), second.get("begin")]);
      const shown = async (process: string) =>
        list.getByRole("row").filter({ hasText: process }).filter({ hasText: "begin" }).count();
      return (await shown("p1")) > 0 && (await shown("p2")) > 0;
    });
    await first.set("one key", "v\xff");
    await list.getByText('set "one key" vÿ').waitFor();
    await second.call("AUTH", "nobody", "secret").catch(() => {});
    await list.getByText(/^auth \(redacted\)/i).waitFor();
    expect(await list.getByText("secret").count()).toBe(0);

    await page.getByRole("searchbox", { name: "Only commands with" }).fill("needle");
    await page.getByText("with that in it since").waitFor();
    await until("only these are shown", async () => {
      await Promise.all([first.get("hay"), first.get("Needle")]);
      return (await list.getByText("get Needle").count()) > 0;
    });
    expect(await list.getByText("hay").count()).toBe(0);
    await page.getByRole("button", { name: "Pause" }).click();
    await first.get("needle while paused");
    await page.getByText("not shown while paused").waitFor();
    expect(await list.getByText("while paused").count()).toBe(0);
    await page.getByRole("button", { name: "Go on" }).click();

    await page.getByRole("searchbox", { name: "Only commands with" }).fill("");
    await page.getByText("No client has asked anything since").waitFor();
    await until("more comes than can be shown", async () => {
      const many = first.pipeline();
      for (let i = 0; i < 5_000; i += 1) many.get(`many:${i}`);
      await many.exec();
      return (await page.getByText("left out").count()) > 0;
    });
    expect(await list.getByRole("row").count()).toBeLessThanOrEqual(501);
    await expectAccessible(page);
    expect(problems).toEqual([]);
    await page.close();
  });

  test("a store with a password is asked with the one it was started with, and tidemark ui asks for it", async () => {
    const { served, port } = await startStore("--set", "requirepass=open sesame");
    await using _ = served;
    const { page, problems } = await openStore(served.url);
    await page.getByText("0 keys", { exact: true }).waitFor();
    await page.close();

    await using seen = await Served.start(["ui", served.directory]);
    const other = await openStore(seen.url);
    await other.page.getByRole("textbox", { name: "Password" }).fill("wrong");
    await other.page.getByRole("button", { name: "Connect" }).click();
    await other.page.getByRole("alert").getByText("invalid username-password pair").waitFor();
    await expectAccessible(other.page);
    await other.page.getByRole("textbox", { name: "Password" }).fill("open sesame");
    await other.page.getByRole("button", { name: "Connect" }).click();
    await other.page.getByText("0 keys", { exact: true }).waitFor();
    expect(other.page.url()).not.toContain("sesame");
    expect(seen.started.stdout + seen.started.stderr).not.toContain("sesame");
    const client = new Redis(port, "127.0.0.1", { password: "open sesame" });
    onTestFinished(() => client.disconnect());
    await client.set("a", "1");
    await other.page.getByRole("button", { name: "Look again" }).click();
    await other.page.getByRole("link", { name: "a", exact: true }).waitFor();
    expect(problems).toEqual([]);
    await other.page.close();
  });

  test("it can be used in any colours and widths", async () => {
    const { served, port } = await startStore();
    await using _ = served;
    const client = clientOf(port);
    await client.hset(`user:${"x".repeat(100)}`, { name: "y".repeat(300) });
    for (const scheme of ["light", "dark"] as const) {
      const { page, problems } = await openPage(browser, served.url, { width: 390, scheme });
      await page.locator("main").waitFor();
      for (const path of ["keys", "console", "replicas/0/a", "orders", "commands"]) {
        await page.goto(`${served.origin}/#/store/${path}`);
        await page.getByRole("button", { name: "Take a snapshot" }).waitFor();
        await expectAccessible(page);
        const overflow = await page.evaluate(
          "document.documentElement.scrollWidth - document.documentElement.clientWidth",
        );
        expect(overflow, path).toBeLessThanOrEqual(0);
      }
      await page.goto(`${served.origin}/#/store/keys`);
      await page.getByRole("link", { name: /^user:x/ }).click();
      await page.getByRole("button", { name: "Edit name" }).waitFor();
      await expectAccessible(page);
      // One of list and key at a time; there is a way back.
      await page.getByRole("button", { name: "Close the key" }).click();
      await page.getByRole("link", { name: /^user:x/ }).waitFor();
      expect(problems).toEqual([]);
      await page.close();
    }
  });
});
