/**
 * Serves clients of the Redis protocol beside one replica of the store.
 *
 * Theory of operation. What a client sends is cut into requests. Those that change something go through the order of the group as records;
 * all that come in one round of the event loop, from all clients, are one message. Their replies come back, in order, as the replica
 * does the records, and leave when that is safe (kv/replica.ts). Everything else is done here and now: reads at the replica beside this
 * server, and what is about the connection or the server. Replies of a client are in the order of its requests, so a read behind
 * a write that is not answered yet goes through the order as well; and what is about the connection waits for it, as does all that
 * comes behind a command that blocks.
 *
 * What a client may cost is limited: the length of a request, what waits to be sent to it, how many there are. A client that does not
 * read is not read from either, and is closed when what it was sent unasked becomes too much.
 */

import { randomBytes } from "node:crypto";
import { createServer, type Server as NetServer, type Socket } from "node:net";
import { totalmem } from "node:os";
import { TLSSocket } from "node:tls";
import { isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import { absence } from "../kv/absent.ts";
import type { Client, Server } from "../kv/client.ts";
import {
  chosen,
  type EventClass,
  fitsArity,
  type KnownCommand,
  keyPlaces,
  Refusal,
} from "../kv/command.ts";
import { describeClient } from "../kv/commands/connection.ts";
import { commandTable } from "../kv/commands.ts";
import { matches } from "../kv/glob.ts";
import { quoted } from "../kv/line.ts";
import { CONVERGING } from "../kv/namespaces.ts";
import type { Denial } from "../kv/permissions.ts";
import { CONVERGING_BYTES, KIND, RecordWriter } from "../kv/record.ts";
import {
  type News,
  Output,
  REFUSED,
  type Replica,
  type ReplicaReply,
  type ReplicaRequest,
  type ReplicaServer,
} from "../kv/replica.ts";
import type { Reply } from "../kv/reply.ts";
import { encodeRequest, type RequestLimits, RequestReader } from "../kv/request-reader.ts";
import { SlowLog } from "../kv/slow-log.ts";
import { type DeniedRequest, type User, Users } from "../kv/users.ts";
import type { RunningProcess } from "../runtime/running-process.ts";
import { readShared } from "../runtime/shared-read.ts";
import { ClientTls } from "./client-tls.ts";
import type { StoreMeasures } from "./host-measures.ts";
import { MemoryWatch } from "./memory-watch.ts";
import type { OwnSystem } from "./own-system.ts";
import { ServerSettings } from "./server-settings.ts";
import { UsersFile } from "./users-file.ts";

/** How a server is set up. */
export interface RedisServerOptions {
  /** 0: any that is free. */
  readonly port: number;
  /** @default "127.0.0.1" */
  readonly host?: string;
  /** As `CONFIG SET` takes them. */
  readonly settings?: Readonly<Record<string, string>>;
  /** A file of users; `ACL LOAD` and `ACL SAVE` read and write it. @default none: there is the default user alone */
  readonly users?: string;
  /** A directory with a certificate: clients speak TLS, and nothing else. @default none */
  readonly clientTls?: string;
  /** This server has keys expire that are past their deadline and that nobody asks for; one of a group is to. */
  readonly sweeps: boolean;
  /** How many replicas there are beside the one of this server. @default 0 */
  readonly otherReplicas?: number;
  readonly system: OwnSystem;
}

type Running = RunningProcess<unknown, unknown, ReplicaRequest, ReplicaReply>;

/** A client that has so much to read is not read from. */
const UNREAD_BYTES = 1024 * 1024;
/** Replies are sent when they have so many bytes. */
const FLUSHED_BYTES = 256 * 1024;
/** Commands that are quick in any case take less. */
const QUICK_MS = 1;
/** So many messages the process may have to take. */
const ASKED_MAX = 256;
/** So long a client has to take what it is sent at the end. */
const LINGER_MS = 1_000;
/** Behind so many commands that are not answered yet, a read goes through the order; behind more, it waits. */
const READS_BEHIND = 64;
const SWEEP_MS = 100;
/** How often clients are looked for that have been silent for too long. */
const IDLE_WATCH_MS = 1_000;
/** In one sweep. */
const SWEEP_KEYS = 1_000;
const SUBSCRIBER_COMMANDS: ReadonlySet<string> = new Set([
  ...["subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ping", "quit", "reset"],
]);
/** Done at once within a transaction, not kept for its end. */
const NOT_QUEUED: ReadonlySet<string> = new Set([
  ...["exec", "discard", "multi", "watch", "quit", "reset"],
]);
/** What `FLUSHALL` and `FLUSHDB` may be given. */
const FLUSH_MODES: ReadonlySet<string> = new Set(["", "sync", "async"]);
/** Words of a web browser: no page is to make it send commands here. Its connection is closed. */
const FOREIGN: ReadonlySet<string> = new Set(["post", "host:"]);
const ABORTED = "EXECABORT Transaction discarded";
const SHOWN_CHARACTERS = 128;
/** A snapshot that takes longer is abandoned. Of many million keys, while clients have nearly all of the time, it takes minutes. */
export const SAVE_TIMEOUT_MS = 600_000;
const OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'.";

const ORIGIN_MS = performance.timeOrigin;
const nowMs = (): number => Math.floor(ORIGIN_MS + performance.now());

/** See the head of the file. */
export class RedisServer implements ReplicaServer {
  readonly runId: string = randomBytes(20).toString("hex");
  readonly startedMs: number = nowMs();
  readonly settingsOf: ServerSettings;
  readonly #options: RedisServerOptions;
  readonly #running: Running;
  readonly #replica: Replica;
  readonly #net: NetServer;
  readonly #tls: ClientTls | undefined;
  readonly users: Users;
  readonly usersFile: UsersFile | undefined;
  readonly #connections = new Map<number, Connection>();
  /** They end when this round is over. */
  readonly #leaving = new Set<Connection>();
  /** The last of them is gone. */
  #emptied: () => void = () => {};
  /** By channel, and by pattern, who listens. */
  readonly channels: Map<string, Set<Connection>> = new Map();
  readonly patterns: Map<string, Set<Connection>> = new Map();
  /** Replies that are made here, one after another, and for whom they are. All of one round of the event loop are sent when it is over. */
  reply: Output = new Output();
  /** By level: 0 is the total order, the others are those of namespaces. */
  #writers: readonly RecordWriter[];
  #stream = 0;
  /** Something is to be done when this round of the event loop is over. */
  #isEnding: boolean = false;
  /** The group has no room. */
  #isCongested: boolean = false;
  /** Messages that the process has not taken yet; and, in order, those that it has not been asked to take. */
  #asked = 0;
  readonly #unasked: Uint8Array[] = [];
  /** Nothing is read from clients: there is no room for what they send. */
  isHolding: boolean = false;
  #lastClient = 0;
  #sweeper: NodeJS.Timeout | undefined;
  #idleWatch: NodeJS.Timeout | undefined;
  isSaving: boolean = false;
  snapshotMs: number;
  #snapshotFailed: boolean = false;
  /** Records that the latest snapshot has. */
  #savedRecords = 0;
  readonly counts = { commands: 0, connections: 0, rejected: 0, evicted: 0 };
  readonly slowLog: SlowLog = new SlowLog();
  readonly #memoryWatch = new MemoryWatch();
  #paused: { readonly untilMs: number; readonly writesOnly: boolean } | undefined;
  #resuming: NodeJS.Timeout | undefined;
  /** Requests need more than to be done: clients are paused, or shown all of them, or memory is short. */
  isWatchful: boolean = false;
  /** Each request is to be noted. */
  notes: boolean = false;
  #hasMonitors: boolean = false;
  #evicts: boolean = false;

  private constructor(running: Running, replica: Replica, options: RedisServerOptions) {
    this.#running = running;
    this.#replica = replica;
    this.#options = options;
    this.snapshotMs = this.startedMs;
    this.settingsOf = new ServerSettings(options.settings ?? {});
    this.#memoryWatch.limit(Number(this.settings.get("maxmemory")));
    this.watch();
    this.users = new Users(commandTable.commands, {
      changing: (user, next) => this.#endListening(user, next),
      removed: (user) => this.#endAll(user),
    });
    const password = (): string => this.settings.get("requirepass") ?? "";
    this.users.setDefaultPassword(password());
    this.usersFile =
      options.users === undefined ? undefined : new UsersFile(options.users, this.users, password);
    this.usersFile?.begin();
    this.#tls =
      options.clientTls === undefined
        ? undefined
        : new ClientTls(options.clientTls, {
            secured: (socket) => this.#begun(socket),
            problem: (reason) => this.problem(reason),
          });
    this.#writers = this.#begin();
    this.#net = createServer(
      // Whoever is to speak TLS begins to at once, and has to be there for it.
      { noDelay: true, allowHalfOpen: !this.#tls, pauseOnConnect: !this.#tls },
      (socket) => this.#accept(socket),
    );
    running.onUnasked((reply) => this.#hear(reply));
  }

  /**
   * Starts to serve.
   * @throws TidemarkError `ADDRESS_IN_USE`, `BAD_OPTION`
   */
  static async start(
    running: Running,
    replica: Replica,
    options: RedisServerOptions,
  ): Promise<RedisServer> {
    const server = new RedisServer(running, replica, options);
    await server.#listen();
    return server;
  }

  get port(): number {
    const address = this.#net.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  /** Takes no more clients, and closes those that there are once they have what they are owed. */
  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    clearInterval(this.#idleWatch);
    clearTimeout(this.#resuming);
    this.#memoryWatch.stop();
    const closed = new Promise<void>((resolve) => this.#net.close(() => resolve()));
    const left = new Promise<void>((resolve) => {
      this.#emptied = resolve;
    });
    this.#tls?.close();
    for (const connection of this.#connections.values()) connection.kill();
    if (this.#connections.size > 0) await left;
    await closed;
  }

  async #listen(): Promise<void> {
    const { port, host = "127.0.0.1", sweeps } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#net.once("error", (cause: NodeJS.ErrnoException) =>
        reject(
          cause.code === "EADDRINUSE"
            ? new TidemarkError("ADDRESS_IN_USE", `port ${port} of ${host} is taken`, { cause })
            : new TidemarkError(
                "BAD_OPTION",
                `cannot listen on ${host}:${port}: ${cause.message}`,
                {
                  cause,
                },
              ),
        ),
      );
      this.#net.listen({ port, host, backlog: 511 }, resolve);
    });
    this.#net.on("error", (error) => this.problem(error.message));
    if (sweeps) this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    this.#idleWatch = setInterval(() => this.#closeIdle(), IDLE_WATCH_MS).unref();
    // Others forget at once whoever asked a server of this process before.
    this.submit(KIND.forget, 0, 0, new Uint8Array(0), 0, 0);
  }

  #begin(): readonly RecordWriter[] {
    this.#stream = randomBytes(4).readUInt32LE();
    this.#replica.attach(this, this.#stream);
    const levels = this.namespaces ? [0, ...CONVERGING.map((_, i) => i + 1)] : [0];
    return levels.map(
      (level) =>
        new RecordWriter(this.#stream, (message) => void this.#unasked.push(message), level),
    );
  }

  get namespaces(): Replica["namespaces"] {
    return this.#replica.namespaces;
  }

  #accept(socket: Socket): void {
    const many = this.#connections.size + (this.#tls?.handshakes ?? 0);
    if (many >= Number(this.settings.get("maxclients"))) {
      this.counts.rejected += 1;
      socket.on("error", () => {});
      if (this.#tls) {
        // It could not read why.
        socket.destroy();
        return;
      }
      socket.resume();
      socket.end("-ERR max number of clients reached\r\n");
      setTimeout(() => socket.destroy(), LINGER_MS).unref();
      return;
    }
    if (this.#tls) this.#tls.accept(socket);
    else this.#begun(socket);
  }

  #begun(socket: Socket): void {
    this.counts.connections += 1;
    this.#lastClient += 1;
    const connection = new Connection(this, this.#lastClient, socket);
    this.#connections.set(connection.id, connection);
    connection.readOn();
  }

  // What connections do with it.

  /**
   * Adds a record to the message of this round.
   * @param level 0: of the total order
   */
  submit(
    kind: number,
    db: number,
    session: number,
    bytes: Uint8Array,
    from: number,
    to: number,
    level: number = 0,
  ): void {
    const writer = this.#writers[level];
    if (kind === KIND.command) writer?.addRequest(db, session, bytes, from, to);
    else writer?.add(kind, db, session, bytes, from, to);
    this.#endRound();
  }

  /** What was submitted is needed where it lies no more. */
  settle(): void {
    for (const writer of this.#writers) writer.settle();
  }

  /** When this round of the event loop is over, what was said in it is sent: each write costs, and each wakes somebody. */
  #endRound(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    setImmediate(() => {
      this.#isEnding = false;
      this.sendReplies();
      for (const connection of this.#leaving) connection.leave();
      this.#leaving.clear();
      for (const writer of this.#writers) writer.flush();
      this.#ask();
    });
  }

  /** Keys that are to go, each in its order: a database and a key in turn. */
  #submitKeys(kind: number, words: readonly string[]): void {
    const byLevel = this.#writers.map((): string[] => []);
    for (let i = 0; i < words.length; i += 2) {
      const [db = "", key = ""] = words.slice(i, i + 2);
      const level = db === "0" ? this.namespaces?.levelOf(key) : undefined;
      byLevel[level === undefined ? 0 : CONVERGING.indexOf(level) + 1]?.push(db, key);
    }
    for (const [level, some] of byLevel.entries()) {
      if (some.length === 0) continue;
      const request = encodeRequest(some);
      this.submit(kind, 0, 0, request, 0, request.length, level);
    }
  }

  /** Does a command here and now, into `reply`. */
  run(connection: Connection, command: KnownCommand, args: readonly string[]): void {
    const isTimed = this.times(command);
    const beganMs = isTimed ? performance.now() : 0;
    this.#replica.read(connection, connection.db, command, args, this.reply, nowMs());
    if (isTimed) this.ran(connection, args, beganMs);
  }

  /** Shows a request to those who watch them all, and notes that its keys were used: they should not be the first to go. */
  note(connection: Connection, command: KnownCommand, args: readonly string[]): void {
    if (this.#evicts)
      for (const place of keyPlaces(command, args)) this.#memoryWatch.used(args[place] ?? "");
    if (!this.#hasMonitors) return;
    const second = args[1]?.toLowerCase();
    const done = command.subcommands?.find(({ name }) => name === second) ?? command;
    if (done.flags.includes("admin")) return;
    // What is in the buffer is of the one who asks.
    this.mark(connection);
    const at = (performance.timeOrigin + performance.now()) / 1000;
    const words = withoutSecrets(args).map(quoted).join(" ");
    const shown = `${at.toFixed(6)} [${connection.db} ${connection.address}] ${words}`;
    for (const one of this.#connections.values()) if (one.isMonitor) one.see(shown);
  }

  /** Whether a request has to wait until clients are no longer paused. */
  holds(writes: boolean): boolean {
    return this.#paused !== undefined && (writes || !this.#paused.writesOnly);
  }

  /**
   * Makes room for a request of so many bytes, ahead of it.
   * @returns false if there is none to be made
   */
  makesRoom(bytes: number): boolean {
    if (!this.#memoryWatch.isFull) return true;
    if (!this.#evicts) return false;
    const words = this.#memoryWatch.victims(this.#replica.keyspace, bytes);
    if (words.length === 0) return false;
    this.counts.evicted += words.length / 2;
    this.#submitKeys(KIND.evict, words);
    return true;
  }

  /** Something of what a watchful server looks for has changed. */
  watch(): void {
    this.#hasMonitors = [...this.#connections.values()].some(({ isMonitor }) => isMonitor);
    const { isLimited } = this.#memoryWatch;
    this.#evicts = isLimited && this.settings.get("maxmemory-policy") !== "noeviction";
    this.notes = this.#hasMonitors || this.#evicts;
    this.isWatchful = this.notes || isLimited || this.#paused !== undefined;
  }

  /** It is to have what was said to it in this round, and then it ends. */
  leaves(connection: Connection): void {
    this.#leaving.add(connection);
    this.#endRound();
  }

  gone(connection: Connection): void {
    this.#connections.delete(connection.id);
    if (this.#connections.size === 0) this.#emptied();
    this.system.gone(connection);
    if (connection.isMonitor) this.watch();
  }

  /**
   * Messages wait here, and not at the process, which refuses what is too much: then clients are not read from. Nothing is asked while
   * requests of a client are being done: without a log the process answers at once, and these answers would come before replies
   * that are not marked yet.
   */
  #ask(): void {
    while (this.#unasked.length > 0 && !this.#isCongested && this.#asked < ASKED_MAX) {
      this.#asked += 1;
      const stream = this.#stream;
      this.#running.request(this.#unasked.shift() as Uint8Array).then(
        () => {
          if (stream !== this.#stream) return;
          this.#asked -= 1;
          this.#ask();
        },
        // Of a stream that is over, all have been told.
        (thrown: unknown) => {
          if (stream === this.#stream) this.#failed(thrown);
        },
      );
    }
    const isHolding = this.#unasked.length > 0 || this.#isCongested;
    if (this.isHolding === isHolding) return;
    this.isHolding = isHolding;
    for (const connection of this.#connections.values()) connection.readOn();
  }

  #hear(reply: ReplicaReply): void {
    if (reply instanceof Output) this.#send(reply);
    else if (reply === "restored")
      this.#failed(new TidemarkError("RESTORED", "the system was restored to a snapshot"));
    else {
      this.#isCongested = !reply;
      this.#ask();
    }
  }

  /** Whoever waits for an answer has an error: nobody knows what became of what was asked. */
  #failed(thrown: unknown): void {
    const code = isTidemarkError(thrown) ? thrown.code : "ERR";
    this.#asked = 0;
    this.#unasked.length = 0;
    this.#isCongested = false;
    this.#writers = this.#begin();
    for (const connection of this.#connections.values())
      connection.lost(`TRYAGAIN ${code}: ${textOf(thrown)}; it may or may not have been done`);
    if (code === "STOPPED") return;
    this.system.advanced();
    this.submit(KIND.forget, 0, 0, new Uint8Array(0), 0, 0);
    this.#tell(`__tidemark__:epoch`, String(this.#running.epoch));
  }

  /** Writes what clients are to have. Whose bytes are not all taken by the system at once still needs the output. */
  #send(output: Output): void {
    const { sessions, ends, bytes, news } = output;
    let start = 0;
    let told = 0;
    let isFree = true;
    for (let i = 0; i < sessions.length; i += 1) {
      const session = sessions[i] as number;
      if (session === 0) {
        this.#hearNews(news[told] as News);
        told += 1;
        continue;
      }
      let answers = 1;
      while (sessions[i + 1] === session) {
        i += 1;
        answers += 1;
      }
      const end = ends[i] as number;
      const connection = this.#connections.get(session);
      if (connection && !connection.answer(bytes, start, end, answers)) isFree = false;
      start = end;
    }
    if (isFree) this.#replica.recycle(output);
  }

  #hearNews(news: News): void {
    if (news.type === "message") this.#tell(news.channel, news.message);
    else this.#connections.get(news.session)?.blockedUntil(news.atMs);
  }

  #tell(channel: string, message: string): void {
    for (const connection of this.channels.get(channel) ?? []) connection.tell(channel, message);
    for (const [pattern, listeners] of this.patterns) {
      if (!matches(pattern, channel)) continue;
      for (const connection of listeners) connection.tell(channel, message, pattern);
    }
  }

  /** What was made in `reply` since the last mark is for that client. */
  mark(connection: Connection): void {
    const { reply } = this;
    if (reply.length === reply.marked) return;
    reply.mark(connection.id);
    if (reply.length > FLUSHED_BYTES) this.sendReplies();
    else this.#endRound();
  }

  /** Sends what was made in `reply`, to those who are there to have it. */
  sendReplies(): void {
    const { reply } = this;
    if (reply.isEmpty) return;
    const { sessions, ends, bytes } = reply;
    let start = 0;
    let isFree = true;
    for (let i = 0; i < sessions.length; i += 1) {
      const session = sessions[i] as number;
      while (sessions[i + 1] === session) i += 1;
      const end = ends[i] as number;
      if (this.#connections.get(session)?.write(bytes, start, end) === false) isFree = false;
      start = end;
    }
    if (isFree) reply.clear();
    else this.reply = new Output();
  }

  #sweep(): void {
    const words = this.#replica.expired(nowMs(), SWEEP_KEYS);
    if (words.length > 0) this.#submitKeys(KIND.sweep, words);
  }

  #closeIdle(): void {
    const idleMs = Number(this.settings.get("timeout")) * 1000;
    if (idleMs === 0) return;
    const sinceMs = nowMs() - idleMs;
    for (const connection of this.#connections.values())
      if (connection.activeMs < sinceMs && !connection.isWaiting) connection.kill();
  }

  // ReplicaServer.

  clientOf(session: number): Client | undefined {
    return this.#connections.get(session);
  }

  subscribers(channel: string): number {
    let count = this.channels.get(channel)?.size ?? 0;
    for (const [pattern, listeners] of this.patterns)
      if (matches(pattern, channel)) count += listeners.size;
    return count;
  }

  tellsOf(events: EventClass): number {
    return this.channels.size + this.patterns.size === 0 ? 0 : this.settingsOf.tellsOf(events);
  }

  problem(reason: string): void {
    process.emitWarning(reason, { type: "TidemarkWarning" });
  }

  times({ isQuick }: KnownCommand): boolean {
    return !isQuick || this.settingsOf.slowMs < QUICK_MS;
  }

  get clockMs(): number {
    return performance.now();
  }

  ran(client: Client, args: readonly string[], beganMs: number): void {
    const tookMs = performance.now() - beganMs;
    const { slowMs, slowRequests } = this.settingsOf;
    if (tookMs < slowMs) return;
    const { address, name: clientName } = client;
    const microseconds = Math.round(1000 * tookMs);
    const words = withoutSecrets(args);
    this.slowLog.add({ atMs: nowMs(), microseconds, words, address, clientName }, slowRequests);
  }

  // Server.

  get settings(): ReadonlyMap<string, string> {
    return this.settingsOf.values;
  }

  get commands(): readonly KnownCommand[] {
    return commandTable.commands;
  }

  get clients(): Iterable<Client> {
    return this.#connections.values();
  }

  configure(settings: readonly (readonly [string, string])[]): void {
    this.settingsOf.change(settings);
    for (const [name, value] of settings)
      if (name.toLowerCase() === "requirepass") this.users.setDefaultPassword(value);
    this.#memoryWatch.limit(Number(this.settings.get("maxmemory")));
    this.watch();
    for (const connection of this.#connections.values()) connection.limit(this.settingsOf);
  }

  secret(digits: number): string {
    return randomBytes(Math.ceil(digits / 2))
      .toString("hex")
      .slice(0, digits);
  }

  /** Who listens to what that user may not listen to any more is closed. */
  #endListening(user: User, next: User): void {
    const allows = ({ channels, patterns }: Connection): boolean =>
      [...channels].every((one) => next.allowsChannel(one, false)) &&
      [...patterns].every((one) => next.allowsChannel(one, true));
    for (const connection of this.#connections.values())
      if (connection.isOf(user) && !allows(connection)) connection.kill();
  }

  #endAll(user: User): void {
    for (const connection of this.#connections.values())
      if (connection.isOf(user)) connection.kill();
  }

  /** Something was denied to a client, or its password was wrong. */
  denied(client: Client, denied: Pick<DeniedRequest, "reason" | "object" | "user">): void {
    const atMs = nowMs();
    const context = client.queued === undefined ? "toplevel" : "multi";
    const description = describeClient(client, atMs);
    const limit = this.settingsOf.deniedRequests;
    this.users.log.add({ ...denied, context, atMs, client: description }, limit);
  }

  get memory(): Server["memory"] {
    return this.#memoryWatch.memory;
  }

  get system(): OwnSystem {
    return this.#options.system;
  }

  advanced(): void {
    this.system.advanced();
  }

  get otherReplicas(): number {
    return this.#options.otherReplicas ?? 0;
  }

  info(): ReadonlyMap<string, ReadonlyMap<string, string | number>> {
    const uptime = Math.floor((nowMs() - this.startedMs) / 1000);
    const { rss, heapTotal } = process.memoryUsage();
    const { usedBytes, peakBytes, startBytes } = this.memory;
    const maxBytes = Number(this.settings.get("maxmemory"));
    const { user, system } = process.cpuUsage();
    const { databases } = this.#replica.keyspace;
    const blocked = [...this.#connections.values()].filter(({ isBlocked }) => isBlocked).length;
    const sections: Record<string, Record<string, string | number>> = {
      Server: {
        redis_version: "7.0.15",
        redis_git_sha1: "00000000",
        redis_git_dirty: 0,
        redis_build_id: 0,
        redis_mode: "standalone",
        os: `${process.platform} ${process.arch}`,
        arch_bits: 64,
        process_id: process.pid,
        process_supervised: "no",
        run_id: this.runId,
        tcp_port: this.port,
        tidemark_tls: this.#tls ? "yes" : "no",
        server_time_usec: nowMs() * 1000,
        uptime_in_seconds: uptime,
        uptime_in_days: Math.floor(uptime / 86_400),
        executable: process.execPath,
        config_file: "",
        tidemark_process: this.#running.id,
        tidemark_epoch: this.#running.epoch,
      },
      Clients: {
        connected_clients: this.#connections.size,
        cluster_connections: 0,
        maxclients: this.settings.get("maxclients") ?? "",
        blocked_clients: blocked,
        tracking_clients: 0,
        ...(this.#tls && {
          tidemark_tls_handshakes: this.#tls.handshakes,
          tidemark_tls_client_certificates: this.#tls.asksForCertificates ? "required" : "no",
        }),
      },
      Memory: {
        used_memory: usedBytes,
        used_memory_human: humanBytes(usedBytes),
        used_memory_rss: rss,
        used_memory_rss_human: humanBytes(rss),
        used_memory_peak: peakBytes,
        used_memory_peak_human: humanBytes(peakBytes),
        used_memory_peak_perc: `${((100 * usedBytes) / peakBytes).toFixed(2)}%`,
        used_memory_startup: startBytes,
        used_memory_dataset: Math.max(0, usedBytes - startBytes),
        total_system_memory: totalmem(),
        total_system_memory_human: humanBytes(totalmem()),
        maxmemory: maxBytes,
        maxmemory_human: humanBytes(maxBytes),
        maxmemory_policy: this.settings.get("maxmemory-policy") ?? "noeviction",
        mem_fragmentation_ratio: (rss / usedBytes).toFixed(2),
        allocator_resident: heapTotal,
        mem_allocator: "v8",
      },
      Persistence: {
        loading: 0,
        async_loading: 0,
        rdb_changes_since_last_save: this.#replica.applied - this.#savedRecords,
        rdb_bgsave_in_progress: this.isSaving ? 1 : 0,
        rdb_last_save_time: Math.floor(this.snapshotMs / 1000),
        rdb_last_bgsave_status: this.#snapshotFailed ? "err" : "ok",
        aof_enabled: 0,
        aof_rewrite_in_progress: 0,
        aof_last_bgrewrite_status: "ok",
        aof_last_write_status: "ok",
      },
      Stats: {
        total_connections_received: this.counts.connections,
        total_commands_processed: this.counts.commands,
        rejected_connections: this.counts.rejected,
        evicted_keys: this.counts.evicted,
        ...(this.#tls && { tidemark_tls_refused: this.#tls.refusals }),
        pubsub_channels: this.channels.size,
        pubsub_patterns: this.patterns.size,
        tidemark_records: this.#replica.applied,
      },
      Replication: {
        role: "master",
        connected_slaves: 0,
        master_failover_state: "no-failover",
        master_replid: this.runId,
        tidemark_replicas: this.otherReplicas + 1,
      },
      CPU: {
        used_cpu_sys: (system / 1e6).toFixed(6),
        used_cpu_user: (user / 1e6).toFixed(6),
      },
      Modules: {},
      Errorstats: {},
      Cluster: { cluster_enabled: 0 },
      Keyspace: Object.fromEntries(
        databases.flatMap(({ size, deadlines }, db) =>
          size === 0 ? [] : [[`db${db}`, `keys=${size},expires=${deadlines},avg_ttl=0`]],
        ),
      ),
    };
    return new Map(
      Object.entries(sections).map(([name, lines]) => [name, new Map(Object.entries(lines))]),
    );
  }

  /** What of it is watched over time; of no key anything. */
  get measures(): StoreMeasures {
    const { keyspace, applied, expiries } = this.#replica;
    let keys = 0;
    let deadlines = 0;
    for (const database of keyspace.databases) {
      keys += database.size;
      deadlines += database.deadlines;
    }
    let blocked = 0;
    for (const { isBlocked } of this.#connections.values()) if (isBlocked) blocked += 1;
    return {
      ...{ clients: this.#connections.size, blocked, keys, deadlines, records: applied, expiries },
      ...this.counts,
      memoryBytes: this.memory.usedBytes,
      memoryLimitBytes: Number(this.settings.get("maxmemory")),
    };
  }

  command(name: string): KnownCommand | undefined {
    return commandTable.get(name);
  }

  kill(fits: (client: Client) => boolean): number {
    const chosenOnes = [...this.#connections.values()].filter(fits);
    for (const connection of chosenOnes) connection.kill();
    return chosenOnes.length;
  }

  unblock(id: number, isError: boolean): boolean {
    const connection = this.#connections.get(id);
    if (!connection?.isBlocked) return false;
    this.submit(isError ? KIND.unblock : KIND.timeout, connection.db, id, new Uint8Array(0), 0, 0);
    return true;
  }

  sleep(ms: number): void {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  }

  async snapshot(label?: string): Promise<string> {
    this.isSaving = true;
    const records = this.#replica.applied;
    try {
      // As `#ask`, not while requests are being done: what waits at the process is let in when it has taken an input.
      await Promise.resolve();
      const options = { timeoutMs: SAVE_TIMEOUT_MS, ...(label !== undefined && { label }) };
      const { id } = await this.#running.snapshot(options);
      this.#snapshotFailed = false;
      this.snapshotMs = nowMs();
      this.#savedRecords = records;
      return id;
    } catch (thrown) {
      this.#snapshotFailed = true;
      this.problem(textOf(thrown));
      throw thrown;
    } finally {
      this.isSaving = false;
    }
  }

  pause(untilMs: number, writesOnly: boolean): void {
    const before = this.#paused;
    // Of two pauses the one that is longer and holds more.
    this.#paused = {
      untilMs: Math.max(untilMs, before?.untilMs ?? 0),
      writesOnly: writesOnly && before?.writesOnly !== false,
    };
    this.watch();
    const wait = (): void => {
      const leftMs = (this.#paused?.untilMs ?? 0) - nowMs();
      if (leftMs <= 0) this.unpause();
      else this.#resuming = setTimeout(wait, Math.min(leftMs, 2 ** 31 - 1)).unref();
    };
    clearTimeout(this.#resuming);
    this.#resuming = setTimeout(wait, 0).unref();
  }

  unpause(): void {
    this.#paused = undefined;
    clearTimeout(this.#resuming);
    this.watch();
    // Not in the middle of what the one that said it has asked.
    setImmediate(() => {
      for (const connection of this.#connections.values()) connection.goOn();
    });
  }

  resetStatistics(): void {
    this.counts.commands = 0;
    this.counts.connections = 0;
    this.counts.rejected = 0;
    this.counts.evicted = 0;
  }
}

/** One client. */
class Connection implements Client {
  readonly id: number;
  readonly sinceMs: number = nowMs();
  readonly address: string;
  readonly localAddress: string;
  resp3: boolean = false;
  name = "";
  /** Who it is, if it is signed in; a store that is open takes everybody for the default user. */
  #user: User;
  #isSignedIn: boolean = false;
  lastCommand = "";
  db = 0;
  silence: "none" | "all" | "next" = "none";
  noEvict: boolean = false;
  readsInOrder: boolean = false;
  #isMonitor: boolean = false;
  activeMs: number = this.sinceMs;
  readonly channels: Set<string> = new Set();
  readonly patterns: Set<string> = new Set();
  readonly #server: RedisServer;
  readonly #socket: Socket;
  readonly #limits: RequestLimits;
  readonly #reader: RequestReader;
  /** What it asked through an order and has no answer to yet. */
  #pending = 0;
  /** In which: 0 is the total one. One after the other, for answers come in the order of questions within one only. */
  #level = 0;
  /** Nothing more of it is read before what is pending is answered. */
  #waits: boolean = false;
  /** A command that is answered later is not answered yet; counted, for it may be given up meanwhile. */
  #laterAnswers = 0;
  /** It waits for a restore of the system, so that its answer is not lost by it. */
  #isRestoring: boolean = false;
  /** Of the transaction that is begun: it has commands that write, that take memory. */
  #queueWrites: boolean = false;
  #queueGrows: boolean = false;
  /** The request that was read last is yet to be done. */
  #isHeld: boolean = false;
  /** And nothing is against it. */
  #isLooked: boolean = false;
  /** Its command waits for a key; and until when. */
  #unblocking: NodeJS.Timeout | undefined;
  #isBlocked: boolean = false;
  /** The commands of its transaction, as it sent them. */
  #queue: Uint8Array[] | undefined;
  /** Something is wrong with its transaction. */
  #isSpoiled: boolean = false;
  /** It has so much to read that nothing more is done for it. */
  #isFull: boolean = false;
  /** It watches keys; and what became of them is not known any more. */
  #isWatching: boolean = false;
  #isVoid: boolean = false;
  /** Replicas know something of it. */
  #isKnown: boolean = false;
  /** It sends nothing more, and may still be owed something. */
  #isEnded: boolean = false;
  /** A command of it is being done; its reply comes yet. */
  #isDoing: boolean = false;
  #isClosing: boolean = false;
  #isGone: boolean = false;

  constructor(server: RedisServer, id: number, accepted: Socket) {
    this.#server = server;
    this.id = id;
    this.#user = server.users.byDefault;
    this.#isSignedIn = this.#user.isOpen;
    const take = (bytes: Uint8Array, length: number): void => this.#read(bytes, length);
    const isSecured = accepted instanceof TLSSocket;
    const socket = isSecured ? accepted : readShared(accepted, take);
    if (isSecured) socket.pause().on("data", (bytes) => take(bytes, bytes.length));
    this.#socket = socket;
    this.address = `${socket.remoteAddress}:${socket.remotePort}`;
    this.localAddress = `${socket.localAddress}:${socket.localPort}`;
    this.#limits = { bulkBytes: 0, queryBytes: 0, authenticated: true };
    this.#reader = new RequestReader(this.#limits);
    this.limit(server.settingsOf);
    socket.on("end", () => {
      this.#isEnded = true;
      if (this.#isBlocked || server.system.isAwaitedBy(this)) socket.destroy();
      else this.#closeIfEnded();
    });
    socket.on("drain", () => this.#drained());
    socket.on("error", () => {});
    socket.on("close", () => this.#end());
  }

  get user(): string {
    return this.#user.name;
  }

  isOf(user: User): boolean {
    return this.#user === user;
  }

  get isAuthenticated(): boolean {
    return this.#isSignedIn || this.#server.users.byDefault.isOpen;
  }

  signIn(name: string, password: string): boolean {
    const user = this.#server.users.identify(name, password);
    if (user) {
      this.#user = user;
      this.#isSignedIn = true;
      return true;
    }
    this.#server.denied(this, { reason: "auth", object: this.lastCommand, user: name });
    return false;
  }

  get queued(): number | undefined {
    return this.#queue?.length;
  }

  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  /** For something that another one does, not for its own next request. */
  get isWaiting(): boolean {
    return this.#pending > 0 || this.#waits || this.#hearsUnasked;
  }

  /** It is sent what it has not asked for. */
  get #hearsUnasked(): boolean {
    return this.#isMonitor || this.channels.size + this.patterns.size > 0;
  }

  get queryBytes(): number {
    return this.#reader.keptBytes;
  }

  get outputBytes(): number {
    return this.#socket.writableLength;
  }

  limit(settings: ServerSettings): void {
    this.#limits.bulkBytes = settings.bulkBytes;
    this.#limits.queryBytes = settings.queryBytes;
    this.#limits.authenticated = this.isAuthenticated;
  }

  // Requests.

  #read(bytes: Uint8Array, length: number): void {
    if (this.#isClosing) return;
    this.activeMs = nowMs();
    this.#reader.feed(bytes, 0, length);
    if (!this.#waits && !this.#isFull) this.#goOn();
    this.#reader.keep();
    if (this.#waits && this.#reader.keptBytes > UNREAD_BYTES) this.#socket.pause();
  }

  /** Does what it has asked, as far as that is possible now. */
  #goOn(): void {
    const reader = this.#reader;
    if (this.#isHeld) {
      reader.again();
      this.#isHeld = false;
    }
    while (!this.#waits && !this.#isFull && !this.#isClosing && reader.next()) {
      this.#isDoing = true;
      this.#do();
      this.#isDoing = false;
      if (this.#server.reply.length > FLUSHED_BYTES) this.#server.mark(this);
    }
    if (reader.problem !== undefined && !this.#isClosing && !this.#waits) {
      if (this.#pending > 0) this.#waits = true;
      else {
        this.#server.reply.error(`ERR ${reader.problem}`);
        this.#server.mark(this);
        this.close();
      }
    }
    this.#server.settle();
    this.#server.mark(this);
    if (this.#isClosing) this.#finish();
  }

  /** Waits until what is pending is answered, and does the request that was read last then. */
  #hold(): void {
    this.#waits = true;
    this.#isHeld = true;
  }

  #do(): void {
    const reader = this.#reader;
    const server = this.#server;
    const command = commandTable.find(reader.bytes, reader.start(0), reader.end(0));
    const isDenied = !this.#user.isFree && command !== undefined && this.#isDenied(command);
    if (!isDenied) {
      if (server.isWatchful && command && this.#isStopped(command)) return;
      if (server.namespaces && command && this.#isElsewhere(command)) return;
    }
    this.#isLooked = false;
    const isSure = command !== undefined && !isDenied && this.#accepts(command, reader.count);
    // What is in order needs no more than this.
    if (isSure && command.isOrdered && !command.isBlocking) {
      server.counts.commands += 1;
      this.lastCommand = command.name;
      this.#submit(KIND.command, command);
      return;
    }
    // What is refused here and now would be answered too early. And what reads can say has no end.
    const isRead = isSure && command.flags.includes("readonly");
    if (this.#pending > (isRead ? READS_BEHIND : 0)) {
      this.#holdLooked();
      return;
    }
    server.counts.commands += 1;
    try {
      this.#doChecked(command, reader.arguments(command));
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      const { message } = thrown;
      // With a word too many, or if it is denied, it ends a transaction, also one that is not there.
      const isEnd = command?.name === "exec" && /^(NOPERM|ERR wrong number)/.test(message);
      if (isEnd) this.discard();
      else if (this.#queue) this.#isSpoiled = true;
      const problem = isEnd ? `${ABORTED} because of: ${message.replace(/^ERR /, "")}` : message;
      this.#reply((reply) => reply.error(problem));
    }
  }

  /** Whether its user, who may not do everything, may not do this; only then why not is looked for. */
  #isDenied(given: KnownCommand): boolean {
    const { count } = this.#reader;
    if (!this.isAuthenticated || !fitsArity(given, count)) return false;
    const args = this.#reader.arguments(given);
    const name = args[1]?.toLowerCase();
    const command = given.subcommands?.find((one) => one.name === name) ?? given;
    if (!fitsArity(command, count)) return false;
    return (
      this.#user.denial(command, args) !== undefined ||
      this.#user.sortRefusal(command, args) !== undefined
    );
  }

  /** @throws Refusal if its user may not do that */
  #checkAllowed(command: KnownCommand, args: readonly string[]): void {
    const denial = this.#user.denial(command, args);
    if (!denial) return;
    this.#noteDenial(denial, args);
    throw new Refusal(
      denial.reason === "command"
        ? `NOPERM this user has no permissions to run the '${this.lastCommand}' command`
        : `NOPERM this user has no permissions to access one of the ${denial.reason}s used as arguments`,
    );
  }

  #noteDenial({ reason, at }: Denial, args: readonly string[]): void {
    const object = reason === "command" ? this.lastCommand : (args[at] ?? "");
    this.#server.denied(this, { reason, object, user: this.#user.name });
  }

  /**
   * In a store with namespaces: finds the order that a request is for. True if it is not to be done now: it waits for what is pending in
   * another one, or it has an error.
   */
  #isElsewhere(command: KnownCommand): boolean {
    const server = this.#server;
    const reader = this.#reader;
    if (!this.isAuthenticated || !fitsArity(command, reader.count)) return false;
    let level: number;
    try {
      level = this.#levelOf(command, reader.arguments());
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      const { message } = thrown;
      if (this.#pending > 0) this.#holdLooked();
      else {
        server.counts.commands += 1;
        if (this.#queue) this.#isSpoiled = true;
        this.#reply((reply) => reply.error(message));
      }
      return true;
    }
    // A read goes where the writes are that it is behind.
    const isBound = command.isOrdered || this.#isInOrder(command) || this.#queue !== undefined;
    if (this.#pending > 0 && level !== this.#level && isBound) {
      this.#holdLooked();
      return true;
    }
    if (this.#pending === 0) this.#level = level;
    if (
      this.#flushes(command) &&
      FLUSH_MODES.has(reader.arguments().slice(1).join(" ").toLowerCase())
    )
      for (const i of CONVERGING.keys())
        server.submit(KIND.flush, 0, 0, reader.bytes, reader.to, reader.to, i + 1);
    return false;
  }

  /** Whether a command empties database 0. */
  #flushes({ name }: KnownCommand): boolean {
    return name === "flushall" || (name === "flushdb" && this.db === 0);
  }

  /** @throws Refusal */
  #levelOf(command: KnownCommand, args: readonly string[]): number {
    const { namespaces } = this.#server;
    if (this.#queue) {
      if (this.#flushes(command))
        throw new Refusal(
          `ERR ${command.name.toUpperCase()} cannot be in a transaction in a store with namespaces: they are in other orders`,
        );
      if (!NOT_QUEUED.has(command.name)) namespaces?.refuseTransaction(command, args, this.db);
      return 0;
    }
    const level = namespaces?.orderOf(command, args, this.db);
    if (level === undefined) return 0;
    if (this.#reader.to - this.#reader.from > CONVERGING_BYTES)
      throw new Refusal(
        `ERR a request in a ${level} namespace has at most ${CONVERGING_BYTES} bytes; use a key outside of it`,
      );
    return CONVERGING.indexOf(level) + 1;
  }

  #holdLooked(): void {
    this.#isLooked = this.#server.isWatchful;
    this.#hold();
  }

  /** Looks at a request as a watchful server has to. True if it is not to be done now: it waits, or has an error. */
  #isStopped(command: KnownCommand): boolean {
    const server = this.#server;
    const reader = this.#reader;
    if (this.#isLooked || !this.isAuthenticated || !fitsArity(command, reader.count)) return false;
    const isExec = command.name === "exec";
    const writes = isExec
      ? this.#queueWrites
      : this.#queue === undefined && (command.isWrite || command.name === "publish");
    if (server.holds(writes)) {
      this.#hold();
      return true;
    }
    if (isExec ? this.#queueGrows : command.isGrowing) {
      if (!server.makesRoom(reader.to - reader.from)) {
        if (this.#pending > 0) {
          this.#hold();
          return true;
        }
        server.counts.commands += 1;
        if (isExec) this.discard();
        else if (this.#queue) this.#isSpoiled = true;
        this.#reply((reply) =>
          reply.error(isExec ? `${ABORTED} because of: ${OUT_OF_MEMORY}` : OUT_OF_MEMORY),
        );
        return true;
      }
    }
    if (server.notes) server.note(this, command, reader.arguments());
    return false;
  }

  /** Clients are paused no longer. */
  goOn(): void {
    if (this.#isHeld && this.#pending === 0) this.#settled();
  }

  /** Nothing is special about the client, and the command is not refused before it runs. */
  #accepts(command: KnownCommand, words: number): boolean {
    const isPlain = this.#queue === undefined && this.isAuthenticated && this.silence === "none";
    const listens = this.channels.size + this.patterns.size > 0;
    return isPlain && (this.resp3 || !listens) && !command.subcommands && fitsArity(command, words);
  }

  /** @throws Refusal */
  #doChecked(given: KnownCommand | undefined, args: readonly string[]): void {
    const name = args[0] as string;
    if (!given && FOREIGN.has(name.toLowerCase())) {
      this.close();
      return;
    }
    if (!given) throw new Refusal(absence(name) ?? unknownCommand(name, args));
    const command = chosen(given, args);
    this.lastCommand = given === command ? given.name : `${given.name}|${command.name}`;
    if (!this.isAuthenticated && !command.flags.includes("no_auth"))
      throw new Refusal("NOAUTH Authentication required.");
    if (!this.#user.isFree) this.#checkAllowed(command, args);
    if (this.#queue && hasSecrets(args))
      throw new Refusal(
        "ERR Command not allowed inside a transaction: what is in one goes to all replicas and into logs, and no password is to",
      );
    if (this.#queue && command.flags.includes("no_multi") && !NOT_QUEUED.has(given.name))
      throw new Refusal("ERR Command not allowed inside a transaction");
    const isListening = this.channels.size + this.patterns.size > 0;
    if (isListening && !this.resp3 && !SUBSCRIBER_COMMANDS.has(given.name))
      throw new Refusal(
        `ERR Can't execute '${name.toLowerCase()}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET ` +
          "are allowed in this context",
      );
    if (this.#queue && !NOT_QUEUED.has(given.name)) {
      const { bytes, from, to } = this.#reader;
      this.#queue.push(bytes.slice(from, to));
      this.#queueWrites ||= command.isWrite || given.name === "publish";
      this.#queueGrows ||= command.isGrowing;
      this.#reply((reply) => reply.simple("QUEUED"));
    } else if (given.name === "exec") this.#exec();
    else if (this.#queue && given.name === "multi")
      this.#reply((reply) => reply.error("ERR MULTI calls can not be nested"));
    else if (this.#queue && given.name === "watch")
      this.#reply((reply) => reply.error("ERR WATCH inside MULTI is not allowed"));
    else if (this.#isRefusedSort(command, args)) return;
    else if (command.isOrdered || this.#pending > 0 || this.#isInOrder(command))
      this.#submit(KIND.command, command);
    else {
      this.#reply(() => this.#server.run(this, given, args));
      this.#limits.authenticated = this.isAuthenticated;
    }
  }

  /** Of patterns, `SORT` finds out for itself which keys it reads: that is looked at here, where it is known who asks. */
  #isRefusedSort(command: KnownCommand, args: readonly string[]): boolean {
    const refusal = this.#user.isFree ? undefined : this.#user.sortRefusal(command, args);
    if (refusal === undefined) return false;
    this.#reply((reply) => reply.error(refusal));
    return true;
  }

  #isInOrder({ flags }: KnownCommand): boolean {
    return this.readsInOrder && flags.includes("readonly");
  }

  #submit(kind: number, command: KnownCommand): void {
    const { bytes, from, to } = this.#reader;
    this.#pending += 1;
    this.#isWatching = command.name === "watch" || (this.#isWatching && command.name !== "unwatch");
    this.#isVoid &&= this.#isWatching;
    this.#isKnown ||= command.isBlocking || this.#isWatching;
    if (command.isBlocking) this.#waits = true;
    this.#server.submit(kind, this.db, this.id, bytes, from, to, this.#level);
  }

  #exec(): void {
    const queue = this.#queue;
    if (!queue) throw new Refusal("ERR EXEC without MULTI");
    this.#queue = undefined;
    if (this.#isSpoiled) {
      this.#isSpoiled = false;
      this.#forgetWatches();
      throw new Refusal(`${ABORTED} because of previous errors.`);
    }
    const isVoid = this.#isVoid;
    this.#isWatching = false;
    this.#isVoid = false;
    if (isVoid) {
      this.#reply((reply) => reply.nullArray());
      return;
    }
    const bytes = Buffer.concat(this.#user.isFree ? queue : queue.map((one) => this.#allowed(one)));
    this.#pending += 1;
    // Which database it selects is known afterwards.
    this.#waits = true;
    this.#server.submit(KIND.transaction, this.db, this.id, bytes, 0, bytes.length);
  }

  /** A request of a transaction as it is to be done: the user may have been changed since it was queued. */
  #allowed(request: Uint8Array): Uint8Array {
    const reader = new RequestReader(this.#limits);
    reader.feed(request, 0, request.length);
    reader.next();
    const args = reader.arguments();
    const given = commandTable.get(args[0] as string) as KnownCommand;
    const command = chosen(given, args);
    const denial = this.#user.denial(command, args);
    if (!denial) {
      const refusal = this.#user.sortRefusal(command, args);
      return refusal === undefined ? request : encodeRequest([REFUSED, refusal]);
    }
    this.lastCommand = given === command ? given.name : `${given.name}|${command.name}`;
    this.#noteDenial(denial, args);
    return encodeRequest([
      REFUSED,
      "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. " +
        `This command is no longer allowed for the following reason: ${NO_LONGER[denial.reason]}`,
    ]);
  }

  #forgetWatches(): void {
    this.#isWatching = false;
    this.#isVoid = false;
    if (!this.#isKnown) return;
    this.#server.submit(KIND.forget, 0, this.id, new Uint8Array(0), 0, 0);
  }

  /** Writes a reply, if the client wants one. */
  #reply(write: (reply: Reply) => void): void {
    const { reply } = this.#server;
    const { length } = reply;
    reply.resp3 = this.resp3;
    const { silence } = this;
    write(reply);
    if (silence === "all" && this.silence === "all") reply.length = length;
    else if (silence === "next") {
      reply.length = length;
      this.silence = "none";
    }
  }

  // What comes back.

  /** So many answers. Gives whether the bytes are needed no more. */
  answer(bytes: Uint8Array, start: number, end: number, answers: number): boolean {
    this.#pending = Math.max(0, this.#pending - answers);
    // Behind what it is told already.
    this.#server.sendReplies();
    const isFree = this.silence !== "none" || this.write(bytes, start, end);
    if (this.silence === "next") this.silence = "none";
    if (this.#pending === 0) this.#settled();
    return isFree;
  }

  #settled(): void {
    clearTimeout(this.#unblocking);
    this.#isBlocked = false;
    if (this.#isClosing) this.#finish();
    else if (this.#waits) {
      this.#waits = false;
      this.#goOn();
      this.#reader.keep();
      this.readOn();
    }
    this.#closeIfEnded();
  }

  #closeIfEnded(): void {
    if (this.#isEnded && this.#pending === 0 && !this.#waits && !this.#isFull) this.close();
  }

  /** Its command waits for a key. */
  blockedUntil(atMs: number): void {
    this.#isBlocked = true;
    if (this.#isEnded) this.#socket.destroy();
    const wait = (): void => {
      const leftMs = atMs - nowMs();
      if (leftMs <= 0) this.#server.unblock(this.id, false);
      else this.#unblocking = setTimeout(wait, Math.min(leftMs, 2 ** 31 - 1));
    };
    if (Number.isFinite(atMs)) wait();
  }

  /** What it asked will not be answered, and nobody knows of the keys that it watches. */
  lost(problem: string): void {
    this.#isVoid = this.#isWatching;
    if (this.#isRestoring) return;
    this.#laterAnswers += 1;
    if (this.#pending === 0) return;
    const { reply } = this.#server;
    for (; this.#pending > 0; this.#pending -= 1) reply.error(problem);
    this.#server.mark(this);
    this.#settled();
  }

  get isMonitor(): boolean {
    return this.#isMonitor;
  }

  set isMonitor(isMonitor: boolean) {
    if (this.#isMonitor === isMonitor) return;
    this.#isMonitor = isMonitor;
    this.#server.watch();
  }

  /** It is shown a request. */
  see(request: string): void {
    const { reply } = this.#server;
    reply.resp3 = this.resp3;
    reply.simple(request);
    this.#server.mark(this);
  }

  answerLater(
    until: "restored" | "answered" = "restored",
  ): (write: (reply: Reply) => void) => void {
    this.#isRestoring = until === "answered";
    this.#laterAnswers += 1;
    const number = this.#laterAnswers;
    this.#pending += 1;
    this.#waits = true;
    return (write) => {
      if (this.#isGone || number !== this.#laterAnswers || this.#pending === 0) return;
      this.#pending = 0;
      this.#isRestoring = false;
      this.#reply(write);
      this.#server.mark(this);
      this.#settled();
    };
  }

  /** Somebody says something on a channel; it listens to that, or to a pattern that fits. */
  tell(channel: string, message: string, pattern?: string): void {
    const { reply } = this.#server;
    reply.resp3 = this.resp3;
    reply.push(pattern === undefined ? 3 : 4);
    reply.bulk(pattern === undefined ? "message" : "pmessage");
    if (pattern !== undefined) reply.bulk(pattern);
    reply.bulk(channel);
    reply.bulk(message);
    this.#server.mark(this);
  }

  /** Gives whether the system has taken all: then the bytes are needed no more. */
  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#isGone || start === end) return true;
    // One that is encrypted takes a while for the first part of a turn: the others wait, and become one.
    this.#socket.write(Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start));
    const { writableLength } = this.#socket;
    if (writableLength === 0) return true;
    if (writableLength > UNREAD_BYTES) {
      this.#isFull = true;
      this.#socket.pause();
    }
    const limit = this.#server.settingsOf.subscriberBytes;
    if (limit > 0 && writableLength > limit && this.#hearsUnasked) this.#socket.destroy();
    return false;
  }

  /** It has read what it was sent. */
  #drained(): void {
    this.#isFull = false;
    if (!this.#waits) this.#goOn();
    this.#reader.keep();
    this.readOn();
    this.#closeIfEnded();
  }

  /** Reads on, unless nothing is to be read from it now. */
  readOn(): void {
    const isBehind = this.#isFull || (this.#waits && this.#reader.keptBytes > UNREAD_BYTES);
    if (isBehind || this.#server.isHolding) this.#socket.pause();
    else this.#socket.resume();
  }

  // What commands do with it.

  subscribe(kind: "channel" | "pattern", name: string): number {
    const [own, all] = this.#listening(kind);
    const listeners = all.get(name) ?? new Set();
    all.set(name, listeners.add(this));
    return own.add(name).size;
  }

  unsubscribe(kind: "channel" | "pattern", name: string): number {
    const [own, all] = this.#listening(kind);
    const listeners = all.get(name);
    if (listeners?.delete(this) && listeners.size === 0) all.delete(name);
    own.delete(name);
    return own.size;
  }

  #listening(kind: "channel" | "pattern"): [own: Set<string>, all: Map<string, Set<Connection>>] {
    return kind === "channel"
      ? [this.channels, this.#server.channels]
      : [this.patterns, this.#server.patterns];
  }

  reset(): void {
    this.discard();
    for (const name of [...this.channels]) this.unsubscribe("channel", name);
    for (const name of [...this.patterns]) this.unsubscribe("pattern", name);
    this.resp3 = false;
    this.name = "";
    this.db = 0;
    this.silence = "none";
    this.readsInOrder = false;
    this.isMonitor = false;
    this.#user = this.#server.users.byDefault;
    this.#isSignedIn = this.#user.isOpen;
  }

  multi(): void {
    this.#queue = [];
    this.#queueWrites = false;
    this.#queueGrows = false;
  }

  discard(): void {
    this.#queue = undefined;
    this.#isSpoiled = false;
    this.#forgetWatches();
  }

  close(): void {
    this.#isClosing = true;
    if (!this.#isDoing && (this.#pending === 0 || this.#isBlocked)) this.#finish();
  }

  /** As `close`, and does not wait for ever. */
  kill(): void {
    this.close();
    setTimeout(() => this.#socket.destroy(), LINGER_MS).unref();
  }

  #finish(): void {
    this.#server.leaves(this);
  }

  /** It has what it was to have. */
  leave(): void {
    if (this.#isGone || this.#socket.writableEnded) return;
    // What it still sends is not for anybody; and then it is to go.
    this.#socket.resume();
    this.#socket.end(() => setTimeout(() => this.#socket.destroy(), LINGER_MS).unref());
  }

  #end(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    clearTimeout(this.#unblocking);
    for (const name of [...this.channels]) this.unsubscribe("channel", name);
    for (const name of [...this.patterns]) this.unsubscribe("pattern", name);
    if (this.#isKnown) this.#server.submit(KIND.forget, 0, this.id, new Uint8Array(0), 0, 0);
    this.#server.gone(this);
  }
}

/** As Redis shows sizes to people. */
function humanBytes(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return power === 0 ? `${bytes}B` : `${(bytes / 1024 ** power).toFixed(2)}${"KMGT"[power - 1]}`;
}

/** Passwords are shown to nobody. */
function withoutSecrets(args: readonly string[]): readonly string[] {
  const name = args[0]?.toLowerCase();
  if (name === "auth") return args.map((word, i) => (i === 0 ? word : REDACTED));
  if (name === "acl" && args[1]?.toLowerCase() === "setuser")
    return args.map((word, i) => (i > 1 ? REDACTED : word));
  const from = name === "hello" ? args.findIndex((word) => word.toLowerCase() === "auth") : -1;
  const isSetting =
    name === "config" &&
    args[1]?.toLowerCase() === "set" &&
    args.some((word) => /^requirepass$/i.test(word));
  if (isSetting) return args.map((word, i) => (i > 2 ? REDACTED : word));
  return from < 0 ? args : args.map((word, i) => (i > from && i <= from + 2 ? REDACTED : word));
}

const REDACTED = "(redacted)";

const hasSecrets = (args: readonly string[]): boolean => withoutSecrets(args) !== args;

/** What `EXEC` says of a request that was allowed when it was queued. */
const NO_LONGER: Readonly<Record<Denial["reason"], string>> = {
  command: "no permission to execute the command or subcommand",
  key: "no permission to touch the specified keys",
  channel: "no permission to access one of the channels used as arguments",
};

function unknownCommand(name: string, args: readonly string[]): string {
  let shown = "";
  for (const arg of args.slice(1)) {
    if (shown.length >= SHOWN_CHARACTERS) break;
    shown += `'${printed(arg, SHOWN_CHARACTERS - shown.length)}' `;
  }
  return `ERR unknown command '${printed(name, SHOWN_CHARACTERS)}', with args beginning with: ${shown}`;
}

/** A word in a message, as Redis shows it: up to a byte 0. */
function printed(word: string, length: number): string {
  const [text = ""] = word.slice(0, length).split("\0", 1);
  return text;
}
