/**
 * The connections by which the server of the page is a client of a store: one for each replica, which all pages share, and one for each
 * console and for each look at live commands.
 *
 * Theory of operation. A shared connection is asked whole batches, each in the database that it names, so nothing that changes a connection
 * may be in them; `ownConnectionOnly` says what. A replica that does not answer in time loses its connection, for whatever it says later
 * would be taken for something else. Where replicas are is asked again when one could not be reached: a store may end, and another begin.
 */

import { randomBytes } from "node:crypto";
import { isTidemarkError, TidemarkError } from "../../core/error.ts";
import type { ProcessId } from "../../core/id.ts";
import type { KnownCommand } from "../../kv/command.ts";
import { commandTable } from "../../kv/commands.ts";
import { splitWords } from "../../kv/line.ts";
import { Reply } from "../../kv/reply.ts";
import { type TypedReply, typedReplies } from "../../kv/reply-reader.ts";
import { type RedisAddress, RedisConnection, type ReplyOptions } from "../redis-connection.ts";
import type { ConsoleEvents, LiveCommand } from "./api.ts";
import type { PageStoreBackend } from "./backend.ts";
import type { PrivateStream } from "./private-stream.ts";

type Connection = RedisConnection<TypedReply>;

/** A shared connection, and what it has selected. */
interface Shared {
  readonly connection: Connection;
  db: number;
  /** When it was asked last. */
  atMs: number;
  /** Settles when what was asked before is answered: what is watched is so for the whole connection. */
  turn: Promise<unknown>;
}

/** What is asked of a replica. */
export interface StoreRequests {
  readonly db: number;
  readonly requests: readonly (readonly string[])[];
  /** All of it at one place of the order, or nothing. */
  readonly isTransaction?: boolean;
  /** Then only if these requests are still answered so. */
  readonly seen?: readonly { readonly request: readonly string[]; readonly reply: TypedReply }[];
}

const LIMITS = { bytes: 16 * 1024 * 1024, depth: 32 };
const IDLE_MS = 30_000;
const CONSOLES_MAX = 16;
const WATCHERS_MAX = 16;
/** Commands of one console that are not answered yet. */
const UNANSWERED_MAX = 256;
/** A console that is asked nothing for so long is closed. */
const CONSOLE_IDLE_MS = 15 * 60_000;
/** A replica that could not be watched is tried again after so long. */
const AGAIN_MS = 1_000;
const PROTOCOL = ["HELLO", "3"];
const OPEN_MS = 2_000;

/** See the head of the file. */
export class StoreClients {
  readonly #backend: PageStoreBackend;
  #password: string | undefined;
  #addresses: Promise<ReadonlyMap<ProcessId, RedisAddress>> | undefined;
  readonly #shared = new Map<ProcessId, Promise<Shared>>();
  readonly #consoles = new Map<string, StoreConsole>();
  /** Requests on shared connections, by replica. */
  readonly #asked = new Map<ProcessId, number>();
  #watchers = 0;
  /** The ends of all connections that are open here, as servers show them. */
  readonly #own = new Set<string>();
  readonly #idle: NodeJS.Timeout;

  constructor(backend: PageStoreBackend) {
    this.#backend = backend;
    this.#password = backend.password;
    this.#idle = setInterval(() => void this.#closeIdle(), IDLE_MS).unref();
  }

  close(): void {
    clearInterval(this.#idle);
    for (const process of [...this.#shared.keys()]) this.#drop(process);
    for (const console of this.#consoles.values()) console.close("the server of the page ends");
  }

  /** Where each process serves. */
  async addresses(): Promise<ReadonlyMap<ProcessId, RedisAddress>> {
    this.#addresses ??= this.#backend.serves();
    try {
      return await this.#addresses;
    } catch (error) {
      this.#addresses = undefined;
      throw error;
    }
  }

  /** How much it was asked for pages, in all. */
  askedOf(process: ProcessId): number {
    return this.#asked.get(process) ?? 0;
  }

  /** Tries a password, and keeps it if it is right. @throws TidemarkError `HANDSHAKE_REFUSED`, `PEER_UNREACHABLE` */
  async login(password: string): Promise<void> {
    const [process] = (await this.addresses()).keys();
    const before = this.#password;
    this.#password = password;
    try {
      (await this.#open(String(process))).close();
    } catch (error) {
      this.#password = before;
      throw error;
    }
    for (const one of [...this.#shared.keys()]) this.#drop(one);
  }

  /**
   * Asks one replica, on the connection that all share.
   * @throws TidemarkError `BAD_OPTION` for what needs a connection of its own, `BUSY` if what was seen is no more, and as `RedisConnection`
   */
  async ask(
    process: ProcessId,
    { db, requests, isTransaction = false, seen = [] }: StoreRequests,
    timeoutMs: number,
  ): Promise<readonly TypedReply[]> {
    for (const words of [...seen.map(({ request }) => request), ...requests])
      ownConnectionOnly(words);
    const shared = await this.#sharedWith(process);
    let isLate = false;
    const work = async (): Promise<readonly TypedReply[]> => {
      const timer = setTimeout(() => {
        isLate = true;
        this.#drop(process);
      }, timeoutMs);
      try {
        if (seen.length > 0) await checkSeen(shared, db, seen);
        const all = isTransaction ? [["MULTI"], ...requests, ["EXEC"]] : requests;
        this.#asked.set(process, this.askedOf(process) + all.length + seen.length);
        const replies = await sendAll(shared, db, all);
        return isTransaction ? executed(replies) : replies;
      } catch (error) {
        if (!isLate) throw error;
        const message = `${process} does not answer, although it has had ${timeoutMs} ms`;
        throw new TidemarkError("PEER_UNREACHABLE", message, { definite: false });
      } finally {
        clearTimeout(timer);
      }
    };
    const done = shared.turn.then(work);
    shared.turn = done.catch(() => {});
    return await done;
  }

  /** Begins a console: what it hears is told on the stream. @throws TidemarkError `BUSY`, and as `RedisConnection` */
  async openConsole(
    process: ProcessId,
    streamOf: (gone: () => void) => PrivateStream,
  ): Promise<void> {
    if (this.#consoles.size >= CONSOLES_MAX)
      throw new TidemarkError(
        "BUSY",
        `${CONSOLES_MAX} consoles are open: close a page that has one`,
      );
    const session = randomBytes(8).toString("hex");
    const console = new StoreConsole();
    this.#consoles.set(session, console);
    try {
      const connection = await this.#open(process, {
        hear: (reply) => console.hear(reply),
        ended: ({ message }) => console.close(message),
      });
      const stream = streamOf(() => {
        this.#consoles.delete(session);
        connection.close();
      });
      stream.say("opened", { session, process } satisfies ConsoleEvents["opened"]);
      console.begin(connection, stream);
    } catch (error) {
      this.#consoles.delete(session);
      throw error;
    }
  }

  /** @throws TidemarkError `NOT_FOUND` */
  consoleOf(session: string): StoreConsole {
    const console = this.#consoles.get(session);
    if (console) return console;
    throw new TidemarkError("NOT_FOUND", "this console is closed: open another one");
  }

  /**
   * Tells what clients ask the replicas, but for what the server of the page itself asks, until the page goes.
   * @throws TidemarkError `BUSY`, `UNKNOWN_PROCESS`
   */
  async watch(
    chosen: readonly ProcessId[],
    filter: string,
    streamOf: (gone: () => void) => PrivateStream,
  ): Promise<void> {
    if (this.#watchers >= WATCHERS_MAX)
      throw new TidemarkError("BUSY", `${WATCHERS_MAX} pages watch commands: close one`);
    const known = [...(await this.addresses()).keys()];
    const processes = chosen.length > 0 ? chosen : known;
    for (const process of processes) await this.#addressOf(process);
    this.#watchers += 1;
    const open = new Set<Connection>();
    const timers = new Set<NodeJS.Timeout>();
    let isOver = false;
    const stream = streamOf(() => {
      isOver = true;
      this.#watchers -= 1;
      for (const timer of timers) clearTimeout(timer);
      for (const connection of open) this.#close(connection);
    });
    const isWanted = (line: string): boolean =>
      filter === "" || line.toLowerCase().includes(wanted);
    const wanted = filter.toLowerCase();
    const again = (process: ProcessId, problem: string): void => {
      if (isOver) return;
      stream.say("watching", { process, problem });
      const timer = setTimeout(() => {
        timers.delete(timer);
        void begin(process);
      }, AGAIN_MS);
      timers.add(timer);
    };
    const begin = async (process: ProcessId): Promise<void> => {
      let connection: Connection | undefined;
      try {
        connection = await this.#open(process, {
          hear: (reply) => {
            const line = reply.type === "status" ? SHOWN.exec(reply.text) : null;
            if (!line) return false;
            const [text, , , client = ""] = line;
            if (!this.#own.has(client) && isWanted(text))
              stream.mention("command", () => commandOf(process, line));
            return true;
          },
          ended: ({ message }) => {
            if (connection) open.delete(connection);
            again(process, message);
          },
        });
        // Its end is told by `ended` from here on.
        open.add(connection);
        this.#own.add(connection.localAddress);
        if (isOver) this.#close(connection);
        else {
          await connection.ask("MONITOR");
          stream.say("watching", { process });
        }
      } catch (error) {
        if (!connection) again(process, (error as Error).message);
      }
    };
    for (const process of processes) void begin(process);
  }

  async #addressOf(process: ProcessId): Promise<RedisAddress> {
    const addresses = await this.addresses();
    const address = addresses.get(process);
    if (address) return address;
    const names = [...addresses.keys()].join(", ");
    throw new TidemarkError("UNKNOWN_PROCESS", `there is no process ${process}, only ${names}`);
  }

  /** Another connection, in RESP3. */
  async #open(
    process: ProcessId,
    options: Pick<ReplyOptions<TypedReply>, "hear" | "ended"> = {},
  ): Promise<Connection> {
    const address = await this.#addressOf(process);
    let isBegun = false;
    try {
      const connection: Connection = await RedisConnection.openAs(
        { ...address, ...(this.#password && { password: this.#password }) },
        {
          ...{ form: typedReplies, limits: LIMITS, first: PROTOCOL, openMs: OPEN_MS },
          hear: (reply) => isBegun && options.hear?.(reply) === true,
          ended: (problem) => {
            if (!isBegun) return;
            this.#own.delete(connection.localAddress);
            options.ended?.(problem);
          },
        },
      );
      isBegun = true;
      return connection;
    } catch (error) {
      if (isTidemarkError(error, "PEER_UNREACHABLE")) this.#addresses = undefined;
      throw error;
    }
  }

  #close(connection: Connection): void {
    this.#own.delete(connection.localAddress);
    connection.close();
  }

  async #sharedWith(process: ProcessId): Promise<Shared> {
    let found = this.#shared.get(process);
    if (!found) {
      const ended = (): void => this.#drop(process);
      found = this.#open(process, { ended }).then((connection) => {
        this.#own.add(connection.localAddress);
        return { connection, db: 0, atMs: 0, turn: Promise.resolve() };
      });
      this.#shared.set(process, found);
      found.catch(() => {
        if (this.#shared.get(process) === found) this.#shared.delete(process);
      });
    }
    const shared = await found;
    shared.atMs = performance.now();
    return shared;
  }

  #drop(process: ProcessId): void {
    const found = this.#shared.get(process);
    this.#shared.delete(process);
    found?.then(
      ({ connection }) => this.#close(connection),
      () => {},
    );
  }

  async #closeIdle(): Promise<void> {
    const sinceMs = performance.now() - IDLE_MS;
    for (const [process, found] of this.#shared) {
      const shared = await found.catch(() => undefined);
      if (shared && shared.atMs < sinceMs) this.#drop(process);
    }
    for (const console of this.#consoles.values()) console.closeIfIdle();
  }
}

/** A request of a console that is not answered yet. */
interface Unanswered {
  readonly number: number;
  /** In lower case. */
  readonly name: string;
  readonly askedMs: number;
}

/** In the place of a reply for which there is no room. */
const NOT_TAKEN: TypedReply = {
  type: "error",
  text: "left out: this page has not taken yet what came before",
};
const SUBSCRIPTIONS: ReadonlySet<string> = new Set([
  ...["subscribe", "psubscribe", "unsubscribe", "punsubscribe"],
]);
/** A line of `MONITOR`: time, database, client, words. */
const SHOWN = /^(\d+\.\d+) \[(\d+) (\S*)\] (.*)$/s;

/**
 * One connection of one page. Answers come in the order of the commands; what comes between them, and is a push or a line of `MONITOR`,
 * nobody asked for. A subscription is answered by a push that has its name.
 */
class StoreConsole {
  #connection: Connection | undefined;
  #stream: PrivateStream | undefined;
  readonly #unanswered: Unanswered[] = [];
  #commands = 0;
  #isMonitor: boolean = false;
  #activeMs = performance.now();
  /** Why it is over. */
  #closed: string | undefined;

  begin(connection: Connection, stream: PrivateStream): void {
    this.#connection = connection;
    this.#stream = stream;
    if (this.#closed !== undefined) this.close(this.#closed);
  }

  /** Sends a command, and gives its number: 1, 2, … @throws TidemarkError `BUSY`, `BAD_OPTION` */
  send(words: readonly string[]): number {
    const [connection, stream] = [this.#connection, this.#stream];
    if (!connection || !stream) throw new TidemarkError("BUSY", "this console is being opened");
    if (this.#unanswered.length >= UNANSWERED_MAX || stream.isBehind)
      throw new TidemarkError(
        "BUSY",
        `${this.#unanswered.length} commands are not answered yet: wait, or close this console`,
      );
    const [name = "", second = ""] = words.map((word) => word.toLowerCase());
    if (name === "client" && second === "reply")
      throw new TidemarkError(
        "BAD_OPTION",
        "a console waits for every answer: CLIENT REPLY is none",
      );
    if (name === "hello" && words.length > 1 && second !== "3")
      throw new TidemarkError("BAD_OPTION", "a console speaks RESP3: HELLO 3");
    this.#activeMs = performance.now();
    this.#commands += 1;
    this.#ask(connection, this.#commands, words);
    // It speaks the older protocol again; what comes behind it may be on its way before it is answered.
    if (name === "reset") this.#ask(connection, 0, PROTOCOL);
    return this.#commands;
  }

  /** Every reply of the connection. */
  hear(reply: TypedReply): boolean {
    const [first] = this.#unanswered;
    if (reply.type === "push") {
      const [kind] = reply.items;
      const name = kind && kind.type === "bulk" ? kind.text : "";
      if (first?.name === name && SUBSCRIPTIONS.has(name)) this.#answer(reply);
      else this.#stream?.mention("unasked", () => ({ reply }));
    } else if (!first || (this.#isMonitor && reply.type === "status" && SHOWN.test(reply.text)))
      this.#stream?.mention("unasked", () => ({ reply }));
    else this.#answer(reply);
    return true;
  }

  closeIfIdle(): void {
    if (performance.now() - this.#activeMs > CONSOLE_IDLE_MS)
      this.close("nobody has asked anything here for a quarter of an hour");
  }

  close(reason: string): void {
    this.#closed = reason;
    this.#stream?.say("closed", { reason });
    this.#stream?.end();
  }

  #answer(reply: TypedReply): void {
    const { number, name, askedMs } = this.#unanswered.shift() as Unanswered;
    const told = this.#stream?.isFull ? NOT_TAKEN : reply;
    if (number > 0)
      this.#stream?.say("reply", { number, reply: told, tookMs: performance.now() - askedMs });
    if (reply.type === "error") return;
    if (name === "monitor") this.#isMonitor = true;
    if (name === "reset") this.#isMonitor = false;
  }

  /** @param number 0: nobody is told what it is answered */
  #ask(connection: Connection, number: number, words: readonly string[]): void {
    const name = (words[0] ?? "").toLowerCase();
    this.#unanswered.push({ number, name, askedMs: this.#activeMs });
    const request = new Reply();
    request.bulks(words);
    connection.say(request);
  }
}

/** On connections that all share, nobody may change them, wait, or be told what others do. */
const OWN_GROUPS: ReadonlySet<KnownCommand["group"]> = new Set(["connection", "transactions"]);
const OWN_NAMES: ReadonlySet<string> = new Set([...SUBSCRIPTIONS, "monitor", "wait", "debug"]);
const SHARED_OF_TIDEMARK: ReadonlySet<string> = new Set(["token", "status"]);

/** @throws TidemarkError `BAD_OPTION` if it is not for a connection that all share */
function ownConnectionOnly(words: readonly string[]): void {
  const [name = "", second = ""] = words.map((word) => word.toLowerCase());
  const command = commandTable.get(name);
  // What there is not is told by the store.
  if (!command) return;
  const { group, isBlocking } = command;
  const done = command.subcommands?.find((one) => one.name === second) ?? command;
  const isOwn =
    isBlocking ||
    done.flags.includes("admin") ||
    OWN_GROUPS.has(group) ||
    OWN_NAMES.has(name) ||
    (group === "tidemark" && !SHARED_OF_TIDEMARK.has(second));
  if (isOwn)
    throw new TidemarkError(
      "BAD_OPTION",
      `${name.toUpperCase()} is about a connection, or waits: ask it in a console`,
    );
}

async function sendAll(
  shared: Shared,
  db: number,
  requests: readonly (readonly string[])[],
): Promise<readonly TypedReply[]> {
  const bytes = new Reply();
  const selects = shared.db !== db;
  if (selects) bytes.bulks(["SELECT", String(db)]);
  shared.db = db;
  for (const words of requests) bytes.bulks(words);
  const replies = await shared.connection.send(bytes, requests.length + (selects ? 1 : 0));
  return selects ? replies.slice(1) : replies;
}

/** Watches what was seen, and looks whether it is still so. */
async function checkSeen(
  shared: Shared,
  db: number,
  seen: NonNullable<StoreRequests["seen"]>,
): Promise<void> {
  const keys = [...new Set(seen.map(({ request }) => String(request[1])))];
  const [, ...found] = await sendAll(shared, db, [
    ["WATCH", ...keys],
    ...seen.map(({ request }) => request),
  ]);
  if (seen.every(({ reply }, i) => JSON.stringify(reply) === JSON.stringify(found[i]))) return;
  await sendAll(shared, db, [["UNWATCH"]]);
  throw changed();
}

function changed(): TidemarkError {
  return new TidemarkError("BUSY", "somebody has changed it meanwhile: look again, and do it then");
}

/** What the commands of a transaction were answered. */
function executed(replies: readonly TypedReply[]): readonly TypedReply[] {
  const done = replies.at(-1);
  if (done?.type === "array") return done.items;
  if (done?.type === "null") throw changed();
  // Why one could not be a part of it says more than that all was given up.
  const problem = replies.find(({ type }) => type === "error") ?? done;
  throw new TidemarkError(
    "SERVER_REFUSED",
    problem?.type === "error" ? problem.text : "the transaction was not done",
  );
}

function commandOf(process: ProcessId, line: RegExpExecArray): LiveCommand {
  const [, at, db, client = "", words = ""] = line;
  return {
    process,
    atMs: Number(at) * 1000,
    db: Number(db),
    client,
    words: splitWords(words) ?? [words],
  };
}
