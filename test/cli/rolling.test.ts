import { createConnection } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { freePorts } from "../support/ports.ts";
import { Started, temporaryDirectory, until } from "./support/command.ts";

const names = ["a", "b", "c"] as const;
const AFTER = 20;

/** Asks a store one thing; undefined if it gives no answer, for then nothing is known. */
function ask(port: number, ...words: readonly string[]): Promise<string | undefined> {
  return new Promise((settle) => {
    const socket = createConnection(port, "127.0.0.1");
    let heard = "";
    const end = (answer: string | undefined): void => {
      socket.destroy();
      settle(answer);
    };
    socket.setTimeout(30_000, () => end(undefined));
    socket.on("error", () => end(undefined)).on("close", () => end(undefined));
    socket.setEncoding("utf8").on("data", (more) => {
      heard += more;
      const lines = heard.split("\r\n");
      if (lines.length < (/^\$\d/.test(heard) ? 3 : 2)) return;
      end(/^\$\d/.test(heard) ? lines[1] : lines[0]);
    });
    socket.write(`${words.join(" ")}\r\n`);
  });
}

/** Writes one key after another at one process, and keeps those that were answered. */
class Writer {
  readonly answered: string[] = [];
  #over: boolean = false;
  readonly #done: Promise<void>;

  constructor(name: string, port: number) {
    this.#done = this.#write(name, port);
  }

  async #write(name: string, port: number): Promise<void> {
    for (let number = 0; !this.#over; number += 1) {
      const key = `${name}:${number}`;
      if ((await ask(port, "SET", key, String(number))) === "+OK") this.answered.push(key);
      // Who is being started again refuses; and what was not answered is not counted on.
      else await pause(10);
    }
  }

  async end(): Promise<void> {
    this.#over = true;
    await this.#done;
  }
}

test("a store is restarted process by process, and answers meanwhile", {
  timeout: 120_000,
}, async () => {
  const first = await freePorts(9);
  const place = (name: string, kind: 0 | 1 | 2): number =>
    first + 3 * kind + names.indexOf(name as "a");
  const clients = (name: string): number => place(name, 1);
  const directory = temporaryDirectory();
  const start = (name: string): Started =>
    new Started(
      [
        ...["kv", "--join", name, "--listen", `127.0.0.1:${place(name, 0)}`],
        ...names.flatMap((peer) =>
          peer === name ? [] : ["--peer", `${peer}=127.0.0.1:${place(peer, 0)}`],
        ),
        ...["--port", String(clients(name)), "--dir", `${directory}/${name}`, "--json"],
        ...["--metrics", `127.0.0.1:${place(name, 2)}`],
      ],
      {},
      "ignore",
      110_000,
    );
  const running = new Map<string, Started>(names.map((name) => [name, start(name)]));
  const isReady = async (name: string): Promise<boolean> =>
    await fetch(`http://127.0.0.1:${place(name, 2)}/readyz`).then(
      async (answer) =>
        answer.ok && ((await answer.json()) as { reasons: [] }).reasons.length === 0,
      () => false,
    );
  for (const name of names) await until(`${name} is ready`, () => isReady(name));
  const writers = new Map(names.map((name) => [name, new Writer(name, clients(name))] as const));
  onTestFinished(async () => {
    await Promise.all([...writers.values()].map((one) => one.end()));
  });
  const goOn = async (name: (typeof names)[number], why: string): Promise<void> => {
    const writer = writers.get(name) as Writer;
    const before = writer.answered.length;
    await until(`${name} answers writes ${why}`, () => writer.answered.length >= before + AFTER);
  };
  for (const name of names) await goOn(name, "at first");

  // The one that gives the order last.
  for (const name of ["c", "b", "a"] as const) {
    const others = names.filter((one) => one !== name);
    running.get(name)?.child.kill("SIGTERM");
    expect((await running.get(name)?.ended)?.status).toBe(0);
    for (const other of others) {
      expect(await ask(clients(other), "GET", `${other}:0`)).toBe("0");
      // Total order waits for whoever gives it; all else goes on.
      if (name !== "a") await goOn(other, `without ${name}`);
    }
    running.set(name, start(name));
    await until(`${name} is ready again`, () => isReady(name));
    for (const one of names) await goOn(one, `after ${name} is back`);
  }

  for (const writer of writers.values()) await writer.end();
  const answered = [...writers.values()].flatMap((one) => one.answered);
  expect(answered.length).toBeGreaterThan(10 * AFTER);
  for (const name of names)
    for (const key of [...answered.slice(0, 30), ...answered.slice(-30)])
      await until(
        `${name} has ${key}`,
        async () => (await ask(clients(name), "GET", key)) === key.split(":")[1],
      );
  for (const started of running.values()) started.child.kill("SIGTERM");
  for (const started of running.values()) expect((await started.ended).status).toBe(0);
});
