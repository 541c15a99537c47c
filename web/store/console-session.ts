/**
 * A console of the page: one connection to one replica, which begins with the first command and ends with the page.
 *
 * It lives beside the views, so that what it has selected, watches and listens to is there still when somebody comes back to it. What it
 * shows is bounded: of more entries, the oldest go.
 */

import type { TypedReply } from "../../src/kv/reply-reader.ts";
import type { ConsoleEvents } from "../../src/serve/web/api.ts";
import { eventsIn, type PageServer } from "../server.ts";
import { shownWord } from "./bytes.ts";
import { textIn, type Words } from "./store-client.ts";

/** What a console shows, one below the other. */
export type ConsoleEntry =
  | {
      readonly kind: "command";
      readonly id: number;
      readonly prompt: string;
      readonly line: string;
    }
  | {
      readonly kind: "reply";
      readonly id: number;
      readonly reply: TypedReply;
      /** Undefined: nobody asked for it. */
      readonly tookMs: number | undefined;
    }
  | { readonly kind: "note"; readonly id: number; readonly text: string; readonly isBad: boolean };

export interface ConsoleState {
  readonly process: string;
  readonly entries: readonly ConsoleEntry[];
  readonly prompt: string;
  /** Commands that are not answered yet. */
  readonly waiting: number;
}

type NewEntry = ConsoleEntry extends infer E ? (E extends unknown ? Omit<E, "id"> : never) : never;

const ENTRIES_MAX = 500;

/** What it asked, and what that means if it is answered well. */
interface Asked {
  readonly name: string;
  readonly words: Words;
}

/** See the head of the file. */
class ConsoleSession {
  readonly #server: PageServer;
  readonly #listeners = new Set<() => void>();
  #process = "";
  #entries: readonly ConsoleEntry[] = [];
  #state: ConsoleState;
  #ids = 0;
  /** The session at the server, or that it is being opened. */
  #opening: Promise<string> | undefined;
  #reading: AbortController | undefined;
  /** By the number of the command. */
  readonly #asked = new Map<number, Asked>();
  /** Commands go one after another: they have an order. */
  #turn: Promise<void> = Promise.resolve();
  #db = 0;
  /** Within a transaction: which database it selects, if it does. */
  #transaction: { db: number } | undefined;

  constructor(server: PageServer) {
    this.#server = server;
    this.#state = { process: "", entries: [], prompt: "", waiting: 0 };
  }

  get state(): ConsoleState {
    return this.#state;
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Another replica is another connection. */
  choose(process: string): void {
    if (process === this.#process) return;
    this.#process = process;
    this.close();
  }

  clear(): void {
    this.#entries = [];
    this.#tell();
  }

  send(words: Words): void {
    const line = words.map(shownWord).join(" ");
    this.#add({ kind: "command", prompt: this.#prompt, line: withoutPassword(words, line) });
    this.#turn = this.#turn.then(async () => {
      try {
        this.#opening ??= this.#open();
        const session = await this.#opening;
        const { number } = await this.#server.ask<{ number: number }>(
          ...(["POST", `/api/store/console/${session}`, { words }] as const),
        );
        this.#expect(number, { name: String(words[0]).toLowerCase(), words });
      } catch (error) {
        this.#add({ kind: "note", text: (error as Error).message, isBad: true });
      }
    });
  }

  /** Ends the connection; the next command begins another one. */
  close(): void {
    this.#reading?.abort();
    this.#forget();
    this.#tell();
  }

  async #open(): Promise<string> {
    try {
      const path = `/api/store/console?process=${encodeURIComponent(this.#process)}`;
      const { body } = await this.#server.fetch("GET", path);
      if (!body) throw new Error("the server does not answer");
      const reading = new AbortController();
      this.#reading = reading;
      return await new Promise((settle, reject) => {
        void this.#read(body, reading, settle).finally(() =>
          reject(new Error("the console was closed")),
        );
      });
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  async #read(
    body: ReadableStream<Uint8Array<ArrayBuffer>>,
    reading: AbortController,
    opened: (session: string) => void,
  ): Promise<void> {
    let isTold = false;
    try {
      for await (const some of eventsIn(body, reading.signal))
        for (const { name, data } of some)
          switch (name as keyof ConsoleEvents) {
            case "opened":
              opened((data as ConsoleEvents["opened"]).session);
              break;
            case "reply":
              this.#hear(data as ConsoleEvents["reply"]);
              break;
            case "unasked":
              this.#add({
                kind: "reply",
                reply: (data as ConsoleEvents["unasked"]).reply,
                tookMs: undefined,
              });
              break;
            case "missed":
              this.#add({
                kind: "note",
                text: `${data as number} more were left out: they came faster than they can be shown`,
                isBad: false,
              });
              break;
            case "closed":
              isTold = true;
              this.#ended((data as ConsoleEvents["closed"]).reason);
              break;
          }
    } catch {
      // The server ended, or it was closed here.
    }
    if (this.#reading !== reading) return;
    if (!isTold) this.#ended("the server does not answer: it may have ended");
  }

  #ended(reason: string): void {
    this.#forget();
    this.#add({
      kind: "note",
      text: `${reason}; the next command opens another connection`,
      isBad: false,
    });
  }

  #forget(): void {
    this.#reading = undefined;
    this.#opening = undefined;
    this.#asked.clear();
    this.#early.clear();
    this.#db = 0;
    this.#transaction = undefined;
  }

  /** Replies that came before it was known which command they are of. */
  readonly #early = new Map<number, TypedReply>();

  #expect(number: number, asked: Asked): void {
    const early = this.#early.get(number);
    this.#early.delete(number);
    if (early) this.#follow(asked, early);
    else this.#asked.set(number, asked);
    this.#tell();
  }

  #hear({ number, reply, tookMs }: ConsoleEvents["reply"]): void {
    const asked = this.#asked.get(number);
    this.#asked.delete(number);
    if (asked) this.#follow(asked, reply);
    else this.#early.set(number, reply);
    this.#add({ kind: "reply", reply, tookMs });
  }

  /** What a command has changed of the connection. */
  #follow({ name, words }: Asked, reply: TypedReply): void {
    if (reply.type === "error") {
      if (name === "exec") this.#transaction = undefined;
      return;
    }
    const status = textIn(reply);
    const isQueued = reply.type === "status" && status === "QUEUED";
    if (name === "multi") this.#transaction = { db: this.#db };
    else if (name === "select" && isQueued && this.#transaction)
      this.#transaction.db = Number(words[1]);
    else if (name === "select") this.#db = Number(words[1]);
    else if (name === "exec") {
      if (reply.type !== "null") this.#db = this.#transaction?.db ?? this.#db;
      this.#transaction = undefined;
    } else if (name === "discard") this.#transaction = undefined;
    else if (name === "reset") {
      this.#db = 0;
      this.#transaction = undefined;
    }
  }

  get #prompt(): string {
    const db = this.#db === 0 ? "" : `[${this.#db}]`;
    return `${this.#process}${db}${this.#transaction ? "(TX)" : ""}>`;
  }

  #add(entry: NewEntry): void {
    this.#ids += 1;
    this.#entries = [...this.#entries.slice(1 - ENTRIES_MAX), { ...entry, id: this.#ids }];
    this.#tell();
  }

  #tell(): void {
    this.#state = {
      process: this.#process,
      entries: this.#entries,
      prompt: this.#prompt,
      waiting: this.#asked.size,
    };
    for (const listener of this.#listeners) listener();
  }
}

/** Passwords are neither shown nor kept. */
export function isSecret([name = "", ...rest]: Words): boolean {
  const lower = name.toLowerCase();
  return (
    lower === "auth" ||
    (lower === "hello" && rest.some((word) => /^auth$/i.test(word))) ||
    (lower === "config" && rest.some((word) => /^requirepass$/i.test(word)))
  );
}

const withoutPassword = (words: Words, line: string): string =>
  isSecret(words) ? `${String(words[0])} (redacted)` : line;

let session: ConsoleSession | undefined;

/** The console of this page. */
export function consoleOf(server: PageServer): ConsoleSession {
  session ??= new ConsoleSession(server);
  return session;
}
