/**
 * One replica of the store: an application in a group, to which servers multicast records and which does what they say.
 *
 * Assumptions. The group gives all replicas the same messages in the same order, those of one server as it sent them (`fifo-total`).
 *
 * Theory of operation (state machine replication: Schneider 1990, "Implementing Fault-Tolerant Services Using the State Machine
 * Approach"). Whatever changes keys comes as a record and is done by every replica, with the same time and the same randomness, which
 * are a part of the state: the time is the latest that any message was submitted at. So are the clients that wait for keys or watch
 * them. Replies are written by the replica whose server asked, and by no other; they leave when the message that brought the record
 * has been taken for good (`turn.reply(UNASKED, …)` waits for the log like any effect). Reads change nothing: a server does them at its own
 * replica, beside all this, with `read`.
 *
 * Keys of namespaces are another matter (convergence.ts): what is asked of them is done here, at once, in the turn of the request; what
 * that does is multicast, in a group of each order, and done by the others when it comes. The time of the replica has no part in
 * it, nor its randomness: both are of the total order alone.
 *
 * A server that starts, or whose system was restored, begins another stream: its clients of before are gone, and so is what replicas know
 * of them.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { Random, type RandomState } from "../core/random.ts";
import { FrozenState, UNASKED } from "../process/application.ts";
import type { Delivery, GroupApplication, GroupTurn } from "../process/grouped.ts";
import type { Client, Server } from "./client.ts";
import {
  type Call,
  type CommandTable,
  chosen,
  type EventClass,
  type KnownCommand,
  keyPlaces,
  Refusal,
} from "./command.ts";
import { Convergence, type ConvergenceHead, type Effect, type KeptImage } from "./convergence.ts";
import { type Deadline, DeadlineHeap } from "./deadline-heap.ts";
import { Before, meaningOf } from "./effects.ts";
import { DATABASES, type Database, type KeysImage, Keyspace } from "./keyspace.ts";
import { CONVERGING, type ConvergingLevel, type Namespaces } from "./namespaces.ts";
import { HEADER_BYTES, KIND, LEVEL_AT, MESSAGE_BYTES, RECORD_HEAD_BYTES } from "./record.ts";
import { Reply } from "./reply.ts";
import { RequestReader } from "./request-reader.ts";

/** The group of the total order. */
export const GROUP = "kv";

/**
 * The name of what stands in a transaction for a request that is refused; the other word of it is the error. No client can name a command
 * so.
 */
export const REFUSED = "";

/** The group of another order. */
export const groupOfLevel = (level: ConvergingLevel): string => `${GROUP}-${level}`;

/** Replies, and what else clients are to hear, in order. */
export class Output extends Reply {
  /** For whom each part is: a session, or 0 for what is in `news` next. */
  readonly sessions: number[] = [];
  /** Where each part ends. */
  readonly ends: number[] = [];
  readonly news: News[] = [];

  get isEmpty(): boolean {
    return this.sessions.length === 0;
  }

  /** Up to where it is marked for whom it is. */
  get marked(): number {
    return this.ends.at(-1) ?? 0;
  }

  /** What was written since the last mark is for that one. */
  mark(session: number): void {
    this.sessions.push(session);
    this.ends.push(this.length);
  }

  tell(news: News): void {
    this.news.push(news);
    this.mark(0);
  }

  clear(): void {
    this.length = 0;
    this.sessions.length = 0;
    this.ends.length = 0;
    this.news.length = 0;
  }
}

/** What is to be said to those who listen to a channel, or that a client waits no more. */
export type News =
  | { readonly type: "message"; readonly channel: string; readonly message: string }
  | { readonly type: "blocked"; readonly session: number; readonly atMs: number };

/** What a replica needs of the server beside it. */
export interface ReplicaServer extends Server {
  /** Who has that session; nobody if it is gone. */
  clientOf(session: number): Client | undefined;
  /** How many of its clients hear of that channel. */
  subscribers(channel: string): number;
  /** Which events of that class its clients may hear of: 1 by key, 2 by event, 3 both. */
  tellsOf(events: EventClass): number;
  /** How long a command takes is to be measured: to ask a clock twice costs about as much as the quickest ones do. */
  times(command: KnownCommand): boolean;
  /** A clock that only measures. */
  readonly clockMs: number;
  /** A request of its client has been done, since then. */
  ran(client: Client, args: readonly string[], beganMs: number): void;
  /** A message has been done. */
  advanced(): void;
  /** A command did what it never should. */
  problem(reason: string): void;
}

/** Where a stream of records has come to. */
interface Origin {
  stream: number;
  /** Of a record that is not whole. */
  rest: Uint8Array[];
  restBytes: number;
}

/** What is done in an order that is not total. */
interface Side {
  readonly level: ConvergingLevel;
  readonly convergence: Convergence;
  /** What the server beside this replica asks. */
  readonly own: Origin;
  /** What others tell, by their numbers. */
  readonly others: readonly Origin[];
  /** So many bytes were multicast since there was no room. */
  crowdedBytes: number;
}

/** A side in a captured state; and what it keeps of some keys. */
interface SideImage {
  readonly level: ConvergingLevel;
  readonly head: ConvergenceHead;
  readonly own: readonly [stream: number, rest: Uint8Array];
  readonly others: readonly Uint8Array[];
  readonly crowdedBytes: number;
}
interface SideSlice {
  readonly level: ConvergingLevel;
  readonly kept: KeptImage;
}

/** A client that waits for a key. */
interface Blocked {
  readonly db: number;
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

/** A client that watches keys. */
interface Watch {
  /** As `placeOf` gives them; with whether the key was there. */
  readonly keys: Map<string, boolean>;
  isDirty: boolean;
}

/** The first slice of a captured state. */
interface Head {
  readonly nowMs: number;
  readonly random: RandomState;
  readonly applied: number;
  readonly origins: readonly (readonly [ProcessId, number, Uint8Array])[];
  readonly blocked: readonly (readonly [string, Blocked])[];
  readonly watches: readonly (readonly [
    string,
    readonly (readonly [string, boolean])[],
    boolean,
  ])[];
  /** Of a store with namespaces: which, and what is done in their orders. */
  readonly namespaces?: readonly string[];
  readonly sides?: readonly SideImage[];
}

/** A captured state: what is known of clients, what is kept of keys of namespaces, and then all slots that have keys. */
export type ReplicaState = readonly [Head, ...(SideSlice | KeysImage)[]];

export interface ReplicaOptions {
  readonly self: ProcessId;
  readonly table: CommandTable;
  /** Keys that are in other orders than the total one. @default none */
  readonly namespaces?: Namespaces;
  /** All replicas; their order is that of their names. Needed for namespaces. @default only itself */
  readonly replicas?: readonly ProcessId[];
}

/** What the server of a replica asks of its process: to multicast a message. */
export type ReplicaRequest = Uint8Array;
/**
 * Whether it was a message. All else is said unasked, in the order in which it came to be: that there is no room for more, and that there
 * is again; what clients are to hear; that the system was restored.
 */
export type ReplicaReply = boolean | Output | "restored";

const UNLIMITED = { bulkBytes: 2 ** 32, queryBytes: 2 ** 40, authenticated: true };
/** A group of a namespace that has no room yet takes so much more; what comes then is refused. */
const CROWDED_BYTES = 8 * 1024 * 1024;
const CROWDED = "TRYAGAIN too much is under way to replicas that do not answer: nothing was done";
/** In front of what is multicast for a namespace: how long it is. */
const LENGTH_BYTES = 4;
/** So many entries may be out of date before they are gathered anew. */
const STALE_DEADLINES = 10_000;

/** A session of any server, as one text. */
const nameOf = (origin: ProcessId, session: number): string => `${origin}/${session}`;
/** A key of any database, as one text. */
const placeOf = (db: number, key: string): string => `${db}:${key}`;

/** See the head of the file. */
export class Replica
  implements GroupApplication<Uint8Array, ReplicaState, ReplicaRequest, ReplicaReply>
{
  readonly keyspace: Keyspace = new Keyspace();
  readonly #self: ProcessId;
  readonly #table: CommandTable;
  readonly #call: RunningCall;
  readonly #reader: RequestReader = new RequestReader({ ...UNLIMITED });
  readonly #origins = new Map<ProcessId, Origin>();
  /** Who waits, by session; and, in the order that they came, for which key. */
  readonly #blocked = new Map<string, Blocked>();
  readonly #waiting = new Map<string, Set<string>>();
  readonly #watches = new Map<string, Watch>();
  readonly #watched = new Map<string, Set<string>>();
  /** Keys that clients wait for and that have been changed, each by its place, in the order in which they had what may serve them. */
  readonly #ready = new Map<string, { readonly db: number; readonly key: string }>();
  #nowMs = 0;
  /** Randomness of commands that change something: the same at all replicas. */
  #random = new Random("tidemark/kv");
  /** Of those that do not. */
  readonly #ownRandom: Random;
  /** What clients are to hear beside replies, after the command that is being done. */
  readonly #news: News[] = [];
  /** The command that is being done does not reply: its client waits. */
  #isBlocked: boolean = false;
  /** Databases have been swapped or emptied. */
  #isMixed: boolean = false;
  /** Records that have been done. */
  #applied = 0;
  /** For what is asked in a namespace: not a part of the state. */
  #asideMs = 0;
  #server: ReplicaServer | undefined;
  /** Of the server beside it. */
  #stream = 0;
  #output = new Output();
  /** Of keys here. Not a part of the state: it follows from it. */
  readonly #deadlines = new DeadlineHeap();
  readonly #spare: Output[] = [];
  readonly #namespaces: Namespaces | undefined;
  readonly #replicas: readonly ProcessId[];
  readonly #sides: readonly Side[];
  /** Events of the command that is being done in a namespace: others are to hear of them, too. */
  #events: (readonly [EventClass, string, string])[] | undefined;

  constructor({ self, table, namespaces, replicas = [self] }: ReplicaOptions) {
    this.#self = self;
    this.#table = table;
    this.#namespaces = namespaces;
    this.#replicas = [...replicas].sort();
    this.#sides = namespaces ? CONVERGING.map((level) => this.#side(level, namespaces)) : [];
    if (namespaces) this.keyspace.isApart = (key) => namespaces.levelOf(key) !== undefined;
    this.#ownRandom = new Random(self);
    this.#call = new RunningCall(this, this.keyspace);
    this.keyspace.deadlineSet = (database, key, atMs) => this.#addDeadline(database, key, atMs);
  }

  #side(level: ConvergingLevel, namespaces: Namespaces): Side {
    const nothing = (): Origin => ({ stream: 0, rest: [], restBytes: 0 });
    const convergence = new Convergence({
      members: this.#replicas.length,
      self: this.#replicas.indexOf(this.#self),
      keyspace: this.keyspace,
      has: (key) => namespaces.levelOf(key) === level,
    });
    const others = this.#replicas.map(nothing);
    return { level, convergence, own: nothing(), others, crowdedBytes: 0 };
  }

  /** The keys that are in other orders than the total one. */
  get namespaces(): Namespaces | undefined {
    return this.#namespaces;
  }

  /** How many effects on keys of namespaces are not known to be known everywhere. */
  get unsettled(): number {
    return this.#sides.reduce((sum, { convergence }) => sum + convergence.kept, 0);
  }

  /** The time of the replica. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Keys that were taken away here because their deadline was over, since this object was made. */
  expiries: number = 0;

  /** How many records have been done here: the same number, the same state. */
  get applied(): number {
    return this.#applied;
  }

  /** The server beside it, which has begun that stream. */
  attach(server: ReplicaServer, stream: number): void {
    this.#server = server;
    this.#stream = stream;
    // Sweeps that were under way may be lost.
    this.#gatherDeadlines();
  }

  /**
   * Keys that are past their deadline and still there, as the words of a sweep.
   * @param limit so many at the most
   */
  expired(nowMs: number, limit: number): string[] {
    const words: string[] = [];
    while (words.length < 2 * limit && this.#deadlines.nextMs < nowMs) {
      const { atMs, db, key } = this.#deadlines.take() as Deadline;
      if (this.keyspace.databases[db]?.deadline(key) === atMs) words.push(String(db), key);
    }
    return words;
  }

  /** Deadlines are those of the keys that there are. */
  #gatherDeadlines(): void {
    this.#deadlines.clear();
    for (const [db, database] of this.keyspace.databases.entries())
      for (const [key, atMs] of database.allDeadlines()) this.#deadlines.add(atMs, db, key);
  }

  #addDeadline(database: Database, key: string, atMs: number): void {
    const { databases } = this.keyspace;
    this.#deadlines.add(atMs, databases.indexOf(database), key);
    const live = databases.reduce((sum, { deadlines }) => sum + deadlines, 0);
    if (this.#deadlines.size > STALE_DEADLINES + 4 * live) this.#gatherDeadlines();
  }

  /** Takes an output back that has been told. */
  recycle(output: Output): void {
    output.clear();
    if (this.#spare.length < 16) this.#spare.push(output);
  }

  /** Does, at once, a command that changes nothing. */
  read(
    client: Client,
    db: number,
    command: KnownCommand,
    args: readonly string[],
    reply: Reply,
    nowMs: number,
  ): void {
    this.keyspace.nowMs = Math.max(this.#nowMs, nowMs);
    const call = this.#call;
    call.begin(reply, this.keyspace.nowMs, this.#ownRandom, client, this.#server as ReplicaServer);
    call.from = "";
    call.session = client.id;
    call.select(db);
    call.canBlock = false;
    this.#run(command, args);
  }

  request(id: number, message: ReplicaRequest, turn: GroupTurn<Uint8Array, ReplicaReply>): void {
    if (message.length < HEADER_BYTES || message.length > MESSAGE_BYTES) {
      turn.reply(id, false);
      return;
    }
    const level = message[LEVEL_AT] as number;
    const side = level > this.#sides.length ? undefined : this.#sides[level - 1];
    if (side && !this.#namespaces?.has(side.level)) {
      // All keys of that order are to go. There are none, nor is there a group.
      turn.reply(id, true);
      return;
    }
    if (side) {
      this.#sayRoom(this.#doAside(side, message, turn), turn);
    } else {
      new DataView(message.buffer, message.byteOffset).setFloat64(0, turn.nowMs, true);
      this.#sayRoom(turn.multicast(GROUP, message, { order: "fifo-total" }), turn);
    }
    turn.reply(id, true);
  }

  #sayRoom(hasRoom: boolean, turn: GroupTurn<Uint8Array, ReplicaReply>): void {
    if (!hasRoom) turn.reply(UNASKED, false);
  }

  /** The system was restored: whoever asked something before has no answer to expect. */
  resume(turn: GroupTurn<Uint8Array, ReplicaReply>): void {
    turn.reply(UNASKED, "restored");
  }

  groupWritable(group: string, turn: GroupTurn<Uint8Array, ReplicaReply>): void {
    const side = this.#sides.find(({ level }) => groupOfLevel(level) === group);
    if (side) side.crowdedBytes = 0;
    turn.reply(UNASKED, true);
  }

  deliver(
    group: string,
    { from, message }: Delivery<Uint8Array>,
    turn: GroupTurn<Uint8Array, ReplicaReply>,
  ): void {
    if (group !== GROUP) {
      this.#hearAside(group, from, message, turn);
      return;
    }
    if (message.length < HEADER_BYTES) return;
    const view = new DataView(message.buffer, message.byteOffset, message.length);
    const atMs = Math.floor(view.getFloat64(0, true));
    const stream = view.getUint32(8, true);
    // A time that is none would be for ever.
    if (atMs > this.#nowMs && atMs < 2 ** 52) this.#nowMs = atMs;
    let origin = this.#origins.get(from);
    if (origin?.stream !== stream) {
      this.#forgetSessions(from);
      origin = { stream, rest: [], restBytes: 0 };
      this.#origins.set(from, origin);
    }
    const isOwn = from === this.#self && stream === this.#stream && !turn.replays;
    this.#take(origin, message.subarray(HEADER_BYTES), from, isOwn, undefined);
    this.#server?.advanced();
    this.#say(turn);
  }

  #say(turn: GroupTurn<Uint8Array, ReplicaReply>): void {
    if (turn.replays) this.#output.clear();
    else if (!this.#output.isEmpty) {
      turn.reply(UNASKED, this.#output);
      this.#output = this.#spare.pop() ?? new Output();
    }
  }

  // Namespaces.

  /** What the server asks in a namespace. Gives whether there is room for more. */
  #doAside(side: Side, message: Uint8Array, turn: GroupTurn<Uint8Array, ReplicaReply>): boolean {
    const { own, convergence } = side;
    const stream = new DataView(message.buffer, message.byteOffset).getUint32(8, true);
    if (own.stream !== stream) {
      own.stream = stream;
      own.rest = [];
      own.restBytes = 0;
    }
    const isOwn = stream === this.#stream && !turn.replays;
    this.#asideMs = Math.max(this.#nowMs, Math.floor(turn.nowMs));
    convergence.begin();
    this.#take(own, message.subarray(HEADER_BYTES), this.#self, isOwn, side);
    const told = convergence.end();
    this.#say(turn);
    return told === undefined || this.#multicast(side, told, turn);
  }

  /** In pieces, for a message has a limit. Others put them together before they do anything. */
  #multicast(side: Side, told: Uint8Array, turn: GroupTurn<Uint8Array, ReplicaReply>): boolean {
    const bytes = new Uint8Array(LENGTH_BYTES + told.length);
    new DataView(bytes.buffer).setUint32(0, told.length, true);
    bytes.set(told, LENGTH_BYTES);
    let hasRoom = true;
    for (let at = 0; at < bytes.length; at += MESSAGE_BYTES) {
      const piece = bytes.slice(at, at + MESSAGE_BYTES);
      hasRoom = turn.multicast(groupOfLevel(side.level), piece, { order: side.level });
    }
    if (!hasRoom || side.crowdedBytes > 0) side.crowdedBytes += bytes.length;
    return hasRoom;
  }

  /** What another replica has done in a namespace. */
  #hearAside(
    group: string,
    from: ProcessId,
    piece: Uint8Array,
    turn: GroupTurn<Uint8Array, ReplicaReply>,
  ): void {
    const side = this.#sides.find(({ level }) => groupOfLevel(level) === group);
    const number = this.#replicas.indexOf(from);
    const origin = side?.others[number];
    if (!side || !origin || from === this.#self) return;
    origin.rest.push(piece.slice());
    origin.restBytes += piece.length;
    const length = lengthAt(origin.rest[0] as Uint8Array, 0);
    if (origin.restBytes < LENGTH_BYTES + length) return;
    const told = joined(origin.rest).subarray(LENGTH_BYTES);
    origin.rest = [];
    origin.restBytes = 0;
    try {
      for (const [events, event, key] of side.convergence.take(number, told))
        this.changed(events as EventClass, event, key, 0);
    } catch (thrown) {
      if (!(thrown instanceof SyntaxError)) throw thrown;
      this.#server?.problem(`${from} told what cannot be read: ${thrown.message}`);
    }
    this.#tellNews();
    this.#say(turn);
    if (side.crowdedBytes > 0) return;
    const own = side.convergence.say();
    if (own) this.#multicast(side, own, turn);
  }

  #doAsideOne(
    { level, convergence, crowdedBytes }: Side,
    kind: number,
    session: number,
    isOwn: boolean,
  ): void {
    const call = this.#call;
    const reader = this.#reader;
    call.begin(
      this.#output,
      this.#asideMs,
      this.#ownRandom,
      call.client,
      this.#server ?? NO_SERVER,
    );
    const isFull = crowdedBytes > CROWDED_BYTES;
    if (kind === KIND.command) {
      const command = this.#table.find(reader.bytes, reader.start(0), reader.end(0));
      if (command && isFull && command.isWrite) call.reply.error(CROWDED);
      else if (command) this.#doCommandAside(level, convergence, command, isOwn);
      if (isOwn) this.#output.mark(session);
    } else if (!isFull && kind === KIND.flush) convergence.do([FLUSH], []);
    else if (!isFull && (kind === KIND.sweep || kind === KIND.evict) && reader.next())
      this.#doSweepAside(convergence, kind === KIND.evict);
    this.#tellNews();
  }

  #doCommandAside(
    level: ConvergingLevel,
    convergence: Convergence,
    command: KnownCommand,
    isOwn: boolean,
  ): void {
    const call = this.#call;
    const args = this.#reader.arguments();
    const { keyspace } = this;
    const db = keyspace.databases[0] as Database;
    if (!command.isWrite) {
      // A read that came behind what its client wrote there.
      keyspace.nowMs = this.#asideMs;
      this.#runTimed(command, args, isOwn);
      return;
    }
    const meaning = meaningOf(command, args);
    if (!meaning || this.#namespaces?.orderOf(command, args, call.dbNumber) !== level) {
      call.reply.error("ERR internal error: not a command of this namespace");
      return;
    }
    const keys = new Set(keyPlaces(command, args).map((place) => args[place] as string));
    // What is past is taken away, for all, before it can be met.
    for (const key of keys) this.#expireAside(convergence, db, key);
    keyspace.nowMs = 0;
    const before = [...keys].map((key) => new Before(db, key, meaning, args));
    this.#events = [];
    keyspace.nowMs = this.#asideMs;
    const isDone = this.#runTimed(command, args, isOwn);
    const events = this.#events;
    this.#events = undefined;
    keyspace.nowMs = 0;
    const effects: Effect[] = [];
    for (const one of before) {
      const own = isDone ? one.effects(db, command, args) : [];
      // Nothing of a key that was there before, such as a deadline, is to come back with a new one.
      const isNew = !one.isThere && own.some(({ deadline }) => deadline === undefined);
      if (isNew) effects.push({ ...CLEAR, key: one.key });
      effects.push(...own);
    }
    for (const one of before) one.takeBack(db);
    convergence.do(effects, events);
  }

  #expireAside(convergence: Convergence, db: Database, key: string): void {
    const deadline = db.deadline(key);
    if (deadline === undefined || deadline >= this.#asideMs) return;
    convergence.do([{ ...CLEAR, key }], [["x", "expired", key]]);
    this.expiries += 1;
    this.changed("x", "expired", key, 0);
  }

  #doSweepAside(convergence: Convergence, isEviction: boolean): void {
    const reader = this.#reader;
    const db = this.keyspace.databases[0] as Database;
    for (let i = 1; i < reader.count; i += 2) {
      const key = reader.argument(i);
      this.#expireAside(convergence, db, key);
      this.keyspace.nowMs = 0;
      if (!isEviction || !db.has(key)) continue;
      convergence.do([{ ...CLEAR, key }], [["e", "evicted", key]]);
      this.changed("e", "evicted", key, 0);
    }
  }

  capture(): FrozenState {
    const frozen = this.#sides.map(({ convergence }) => convergence.freeze());
    const keys = this.keyspace.freeze();
    const head: Head = {
      nowMs: this.#nowMs,
      random: [...this.#random.state],
      applied: this.#applied,
      origins: [...this.#origins].map(([id, { stream, rest }]) => [id, stream, joined(rest)]),
      blocked: [...this.#blocked],
      watches: [...this.#watches].map(([session, { keys, isDirty }]) => [
        session,
        [...keys],
        isDirty,
      ]),
      ...(this.#namespaces && {
        namespaces: this.#namespaces.list,
        sides: this.#sides.map((side, i) => imageOf(side, frozen[i]?.[0] as ConvergenceHead)),
      }),
    };
    let begun = false;
    let side = 0;
    const next = (): unknown => {
      if (begun) {
        for (; side < frozen.length; side += 1) {
          const kept = frozen[side]?.[1]();
          if (kept) return { level: CONVERGING[side], kept };
        }
        return keys.next();
      }
      begun = true;
      return head;
    };
    return new FrozenState(next, keys.release);
  }

  /** @throws TidemarkError `BAD_OPTION` if it is of a store with other namespaces */
  restore([head, ...slices]: ReplicaState): void {
    const [own, theirs] = [this.#namespaces?.list ?? [], head.namespaces ?? []].map((list) =>
      JSON.stringify(list),
    );
    if (own !== theirs)
      throw new TidemarkError(
        "BAD_OPTION",
        `the state is of a store with the namespaces ${theirs}, and this one has ${own}: --causal and --fifo must be what they were`,
      );
    this.#nowMs = head.nowMs;
    this.#random = new Random(head.random);
    this.#applied = head.applied;
    this.#origins.clear();
    for (const [id, stream, rest] of head.origins) {
      const bytes = Uint8Array.from(rest);
      this.#origins.set(id, {
        stream,
        rest: rest.length > 0 ? [bytes] : [],
        restBytes: rest.length,
      });
    }
    this.#blocked.clear();
    this.#waiting.clear();
    for (const [session, blocked] of head.blocked) this.#wait(session, blocked);
    this.#watches.clear();
    this.#watched.clear();
    for (const [session, keys, isDirty] of head.watches)
      for (const [place, wasThere] of keys) this.#watch(session, place, wasThere, isDirty);
    this.keyspace.restore(slices.filter((one) => "db" in one));
    this.#gatherDeadlines();
    this.#restoreSides(
      head.sides ?? [],
      slices.filter((one) => "level" in one),
    );
  }

  #restoreSides(images: readonly SideImage[], slices: readonly SideSlice[]): void {
    for (const [i, image] of images.entries()) {
      const side = this.#sides[i] as Side;
      const { level, own, others, crowdedBytes } = side;
      const kept = slices.filter((one) => one.level === level).map((one) => one.kept);
      side.convergence.restore(image.head, kept);
      own.stream = image.own[0];
      putRest(own, image.own[1]);
      for (const [number, rest] of image.others.entries()) putRest(others[number] as Origin, rest);
      side.crowdedBytes = image.crowdedBytes ?? crowdedBytes;
    }
  }

  // What commands do with it.

  changed(events: EventClass, event: string, key: string, db: number): void {
    this.#events?.push([events, event, key]);
    // That a key is over by now is seen when its watcher wants to know; if it was by then already, nothing has changed.
    if (this.#watched.size > 0 && event !== "expired")
      for (const session of this.#watched.get(placeOf(db, key)) ?? []) this.#touch(session);
    if (this.#waiting.size > 0) this.#wake(db, key);
    const told = this.#server?.tellsOf(events) ?? 0;
    if (told & 1) this.#tell(`__keyspace@${db}__:${key}`, event);
    if (told & 2) this.#tell(`__keyevent@${db}__:${event}`, key);
  }

  /** All keys that a database has, or that another one has, may have been changed. */
  changedAll(db: number, other: number): void {
    this.#isMixed = true;
    const prefix = placeOf(db, "");
    const { databases } = this.keyspace;
    for (const [place, sessions] of this.#watched) {
      if (!place.startsWith(prefix)) continue;
      const key = place.slice(prefix.length);
      if (databases[db]?.has(key) || databases[other]?.has(key))
        for (const session of sessions) this.#touch(session);
    }
    for (const place of this.#waiting.keys())
      if (place.startsWith(prefix)) this.#ready.set(place, { db, key: place.slice(prefix.length) });
  }

  /** Those who wait for a key are looked at after this command: if it has by now what they may wait for. */
  #wake(db: number, key: string): void {
    const place = placeOf(db, key);
    if (!this.#waiting.has(place)) return;
    const value = this.keyspace.databases[db]?.get(key);
    if (value === undefined || typeof value === "string") return;
    if (value.type === "list" || value.type === "zset") this.#ready.set(place, { db, key });
  }

  publish(channel: string, message: string): number {
    const count = this.#server?.subscribers(channel) ?? 0;
    if (count > 0) this.#tell(channel, message);
    return count;
  }

  #tell(channel: string, message: string): void {
    this.#news.push({ type: "message", channel, message });
  }

  /** @param session its number at its server, if that is the one beside this replica */
  block(name: string, session: number, blocked: Blocked, atMs: number): void {
    this.#wait(name, blocked);
    this.#isBlocked = true;
    if (session !== 0) this.#news.push({ type: "blocked", session, atMs });
  }

  watch(session: string, db: number, key: string): void {
    const wasThere = (this.keyspace.databases[db] as Database).has(key);
    this.#watch(session, placeOf(db, key), wasThere, false);
  }

  unwatch(session: string): void {
    const watch = this.#watches.get(session);
    if (!watch) return;
    this.#watches.delete(session);
    for (const place of watch.keys.keys()) {
      const sessions = this.#watched.get(place);
      sessions?.delete(session);
      if (sessions?.size === 0) this.#watched.delete(place);
    }
  }

  // Records.

  /** @param side in whose order they are; `undefined` is total */
  #take(
    origin: Origin,
    bytes: Uint8Array,
    from: ProcessId,
    isOwn: boolean,
    side: Side | undefined,
  ): void {
    if (origin.restBytes === 0) {
      const done = this.#takeRecords(bytes, from, isOwn, side);
      if (done < bytes.length) {
        origin.rest.push(bytes.slice(done));
        origin.restBytes = bytes.length - done;
      }
      return;
    }
    // A long record is put together once, when it is whole.
    const first = origin.rest[0] as Uint8Array;
    const head = first.length >= 4 ? first : joined([...origin.rest, bytes.subarray(0, 4)]);
    const missing = head.length < 4 ? bytes.length + 1 : 4 + lengthAt(head, 0) - origin.restBytes;
    if (bytes.length < missing) {
      origin.rest.push(bytes.slice());
      origin.restBytes += bytes.length;
      return;
    }
    const record = joined([...origin.rest, bytes.subarray(0, missing)]);
    origin.rest = [];
    origin.restBytes = 0;
    this.#takeRecords(record, from, isOwn, side);
    this.#take(origin, bytes.subarray(missing), from, isOwn, side);
  }

  /** Gives where the first record begins that is not whole. */
  #takeRecords(bytes: Uint8Array, from: ProcessId, isOwn: boolean, side: Side | undefined): number {
    let at = 0;
    for (;;) {
      if (at + RECORD_HEAD_BYTES > bytes.length) return at;
      const end = at + 4 + lengthAt(bytes, at);
      if (end > bytes.length) return at;
      const kind = bytes[at + 4] as number;
      const db = (bytes[at + 5] as number) % DATABASES;
      const session = lengthAt(bytes, at + 6);
      this.#do(kind, db, session, bytes, at + RECORD_HEAD_BYTES, end, from, isOwn, side);
      at = end;
    }
  }

  #do(
    kind: number,
    db: number,
    session: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    from: ProcessId,
    isOwn: boolean,
    side: Side | undefined,
  ): void {
    const client = (isOwn ? this.#server?.clientOf(session) : undefined) ?? NOBODY;
    const reader = this.#reader;
    reader.feed(bytes, start, Math.max(start, end));
    if (kind === KIND.command)
      while (reader.next()) this.#doOne(kind, db, session, client, from, isOwn, side);
    else this.#doOne(kind, db, session, client, from, isOwn, side);
    reader.reset();
  }

  /** A request that was read, or a record that is no request. */
  #doOne(
    kind: number,
    db: number,
    session: number,
    client: Client,
    from: ProcessId,
    isOwn: boolean,
    side: Side | undefined,
  ): void {
    this.keyspace.nowMs = this.#nowMs;
    const call = this.#call;
    const output = this.#output;
    output.muted = !isOwn;
    output.resp3 = client.resp3;
    call.begin(output, this.#nowMs, this.#random, client, this.#server ?? NO_SERVER);
    call.from = from;
    call.session = session;
    call.isOwn = isOwn;
    call.canBlock = kind === KIND.command && side === undefined;
    call.select(db);
    if (side !== undefined) {
      this.#doAsideOne(side, kind, session, isOwn);
      return;
    }
    this.#applied += 1;
    this.#isBlocked = false;
    if (kind === KIND.command) this.#doCommand(isOwn);
    else if (kind === KIND.transaction) this.#doTransaction(isOwn);
    else if (kind === KIND.sweep || kind === KIND.evict) this.#doSweep(kind === KIND.evict);
    else if (kind === KIND.forget) this.#forgetSession(call.name);
    else if (kind === KIND.timeout || kind === KIND.unblock)
      this.#doUnblock(call.name, kind === KIND.unblock);
    // Whoever asked something is answered, if with nothing; but not who waits.
    const isAnswer = kind <= KIND.transaction ? !this.#isBlocked : output.length > output.marked;
    if (isOwn && isAnswer) output.mark(session);
    this.#tellNews();
    if (this.#ready.size > 0) this.#serveReady();
    if (this.#isMixed) {
      this.#isMixed = false;
      this.#gatherDeadlines();
    }
  }

  #tellNews(): void {
    if (this.#news.length === 0) return;
    for (const news of this.#news) this.#output.tell(news);
    this.#news.length = 0;
  }

  #doCommand(isOwn: boolean): void {
    const reader = this.#reader;
    const command = this.#table.find(reader.bytes, reader.start(0), reader.end(0));
    if (!command || !(isOwn || command.isEverywhere)) return;
    const args = reader.arguments(command);
    if (this.#namespaces === undefined || this.#isTotal(command, args))
      this.#runTimed(command, args, isOwn);
  }

  /** Gives whether it was done. */
  #runTimed(command: KnownCommand, args: readonly string[], isOwn: boolean): boolean {
    const server = isOwn && this.#server?.times(command) ? this.#server : undefined;
    const beganMs = server?.clockMs ?? 0;
    const isDone = this.#run(command, args);
    server?.ran(this.#call.client, args, beganMs);
    return isDone;
  }

  /** Whether a command is not of a namespace. If it is, that is its reply. */
  #isTotal(command: KnownCommand, args: readonly string[]): boolean {
    try {
      this.#namespaces?.refuseTransaction(command, args, this.#call.dbNumber);
      return true;
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      this.#call.reply.error(thrown.message);
      return false;
    }
  }

  #doTransaction(isOwn: boolean): void {
    const reader = this.#reader;
    const call = this.#call;
    const isDirty = this.#isDirty(call.name);
    this.unwatch(call.name);
    if (isDirty) {
      call.reply.nullArray();
      return;
    }
    // How many there are stands in front of them.
    const requests: (readonly string[])[] = [];
    while (reader.next()) requests.push(reader.arguments());
    call.reply.array(requests.length);
    for (const args of requests) {
      // Databases may have been swapped.
      call.select(call.dbNumber);
      if (args[0] === REFUSED) {
        call.reply.error(args[1] as string);
        continue;
      }
      const command = this.#table.get(args[0] as string);
      if (!command || !(isOwn || command.isEverywhere)) continue;
      if (this.#namespaces === undefined || this.#isTotal(command, args))
        this.#runTimed(command, args, isOwn);
    }
  }

  #doSweep(isEviction: boolean): void {
    const reader = this.#reader;
    if (!reader.next()) return;
    for (let i = 0; i + 1 < reader.count; i += 2) {
      const db = Number(reader.argument(i));
      const key = reader.argument(i + 1);
      const database = this.keyspace.databases[db];
      if (database?.expire(key)) {
        this.expiries += 1;
        this.changed("x", "expired", key, db);
      } else if (isEviction && database?.delete(key)) this.changed("e", "evicted", key, db);
    }
  }

  #doUnblock(session: string, isError: boolean): void {
    const blocked = this.#blocked.get(session);
    if (!blocked) return;
    this.#forgetBlocked(session);
    const { reply } = this.#call;
    if (isError) reply.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
    else this.#table.get(blocked.args[0] as string)?.timedOut?.(reply);
  }

  /** Those who wait for keys that have been changed. Who is served may change others: they come behind. It ends, for fewer wait then. */
  #serveReady(): void {
    const call = this.#call;
    for (const [place, { db, key }] of this.#ready) {
      this.#ready.delete(place);
      for (const session of this.#waiting.get(place) ?? []) {
        if (!this.keyspace.databases[db]?.has(key)) break;
        const blocked = this.#blocked.get(session) as Blocked;
        const [origin = "", number = ""] = session.split("/");
        const isOwn = origin === this.#self && this.#origins.get(origin)?.stream === this.#stream;
        const client = isOwn ? this.#server?.clientOf(Number(number)) : undefined;
        const output = this.#output;
        output.muted = !isOwn;
        output.resp3 = client?.resp3 ?? false;
        call.begin(output, this.#nowMs, this.#random, client ?? NOBODY, this.#server ?? NO_SERVER);
        call.from = origin;
        call.session = Number(number);
        call.isOwn = isOwn;
        call.canBlock = false;
        call.select(db);
        const command = this.#table.get(blocked.args[0] as string);
        if (!this.#serves(command, blocked.args, key)) continue;
        this.#forgetBlocked(session);
        if (isOwn) output.mark(Number(number));
        this.#tellNews();
      }
    }
  }

  #serves(command: KnownCommand | undefined, args: readonly string[], key: string): boolean {
    const call = this.#call;
    const start = call.reply.length;
    try {
      return command?.serve?.(call, args, key) ?? true;
    } catch (thrown) {
      call.reply.length = start;
      if (!(thrown instanceof Refusal)) throw thrown;
      call.reply.error(thrown.message);
      return true;
    }
  }

  #run(command: KnownCommand, args: readonly string[]): boolean {
    const { reply } = this.#call;
    const start = reply.length;
    this.#call.args = args;
    try {
      chosen(command, args).run(this.#call, args);
      return true;
    } catch (thrown) {
      reply.length = start;
      if (thrown instanceof Refusal) reply.error(thrown.message);
      else {
        // All replicas have come as far with it.
        reply.error(`ERR internal error: ${textOf(thrown)}`);
        this.#server?.problem(`${command.name} failed: ${textOf(thrown)}`);
      }
      return false;
    }
  }

  // Clients.

  #wait(session: string, blocked: Blocked): void {
    this.#blocked.set(session, blocked);
    for (const key of blocked.keys) {
      const place = placeOf(blocked.db, key);
      const waiting = this.#waiting.get(place);
      if (waiting) waiting.add(session);
      else this.#waiting.set(place, new Set([session]));
    }
  }

  #forgetBlocked(session: string): void {
    const blocked = this.#blocked.get(session);
    this.#blocked.delete(session);
    for (const key of blocked?.keys ?? []) {
      const place = placeOf(blocked?.db ?? 0, key);
      const waiting = this.#waiting.get(place);
      waiting?.delete(session);
      if (waiting?.size === 0) this.#waiting.delete(place);
    }
  }

  #watch(session: string, place: string, wasThere: boolean, isDirty: boolean): void {
    let watch = this.#watches.get(session);
    if (!watch) {
      watch = { keys: new Map(), isDirty };
      this.#watches.set(session, watch);
    }
    if (watch.keys.has(place)) return;
    watch.keys.set(place, wasThere);
    const sessions = this.#watched.get(place);
    if (sessions) sessions.add(session);
    else this.#watched.set(place, new Set([session]));
  }

  #touch(session: string): void {
    (this.#watches.get(session) as Watch).isDirty = true;
  }

  /** Also if a key is past its deadline by now. */
  #isDirty(session: string): boolean {
    const watch = this.#watches.get(session);
    if (!watch) return false;
    if (watch.isDirty) return true;
    for (const [place, wasThere] of watch.keys) {
      const colon = place.indexOf(":");
      const database = this.keyspace.databases[Number(place.slice(0, colon))];
      if (wasThere && !database?.has(place.slice(colon + 1))) return true;
    }
    return false;
  }

  #forgetSession(session: string): void {
    this.#forgetBlocked(session);
    this.unwatch(session);
  }

  #forgetSessions(origin: ProcessId): void {
    const prefix = nameOf(origin, 0).slice(0, -1);
    for (const session of [...this.#blocked.keys(), ...this.#watches.keys()])
      if (session.startsWith(prefix)) this.#forgetSession(session);
  }
}

const CLEAR = { plane: "s", name: "", kind: "clear" } as const;
const FLUSH: Effect = { key: "", plane: "s", name: "", kind: "flush" };

function imageOf({ level, own, others, crowdedBytes }: Side, head: ConvergenceHead): SideImage {
  return {
    ...{ level, head, crowdedBytes },
    own: [own.stream, joined(own.rest)],
    others: others.map(({ rest }) => joined(rest)),
  };
}

function putRest(origin: Origin, rest: Uint8Array): void {
  origin.rest = rest.length > 0 ? [Uint8Array.from(rest)] : [];
  origin.restBytes = rest.length;
}

/** For what is done for clients of other servers: nothing asks it anything. */
const NOBODY = { id: 0, resp3: false } as Client;
const NO_SERVER = {} as Server;

/** The one call: commands run one at a time. */
class RunningCall implements Call {
  readonly keyspace: Keyspace;
  readonly #replica: Replica;
  db: Database;
  dbNumber = 0;
  reply: Reply = new Reply();
  nowMs = 0;
  random: Random = new Random(0);
  client: Client = NOBODY;
  server: Server = NO_SERVER;
  canBlock: boolean = false;
  /** Whose it is. */
  from: ProcessId = "";
  session = 0;
  /** The server of this replica has that session. */
  isOwn: boolean = false;
  args: readonly string[] = [];

  constructor(replica: Replica, keyspace: Keyspace) {
    this.#replica = replica;
    this.keyspace = keyspace;
    this.db = keyspace.databases[0] as Database;
  }

  get name(): string {
    return nameOf(this.from, this.session);
  }

  begin(reply: Reply, nowMs: number, random: Random, client: Client, server: Server): void {
    this.reply = reply;
    this.nowMs = nowMs;
    this.random = random;
    this.client = client;
    this.server = server;
  }

  changed(events: EventClass, event: string, key: string, db: number = this.dbNumber): void {
    this.#replica.changed(events, event, key, db);
  }

  changedAll(db: number, other: number = db): void {
    this.#replica.changedAll(db, other);
  }

  block(keys: readonly string[], timeoutMs: number): void {
    const blocked = { db: this.dbNumber, keys, args: this.args };
    const atMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : this.nowMs + timeoutMs;
    this.#replica.block(this.name, this.isOwn ? this.session : 0, blocked, atMs);
  }

  select(db: number): void {
    this.dbNumber = db;
    this.db = this.keyspace.databases[db] as Database;
  }

  publish(channel: string, message: string): number {
    return this.#replica.publish(channel, message);
  }

  watch(key: string): void {
    this.#replica.watch(this.name, this.dbNumber, key);
  }

  unwatch(): void {
    this.#replica.unwatch(this.name);
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
