/**
 * Frames between processes that live in threads of one operating-system process: in workers of `node:worker_threads`, and in the
 * thread that started them.
 *
 * Assumptions. Threads share their memory and their fate: whoever runs in one could take all of it, or end the others. So there are
 * no secrets here, and no limit on what a hostile thread costs; but what comes in is checked for its form before it is used, as
 * everywhere. A port loses nothing, keeps order, and says when the thread at its other end has gone, however it went.
 *
 * Theory of operation. A `WorkerNetwork` lives in one thread, mostly the main one. It makes a port for each process, and the process
 * makes its transport from that. The first word in each port says what the limits are, so that both ends agree without asking. The
 * network knows who is open, in the order they were opened; it introduces every two of them to each other, with the checks of a TCP
 * handshake, and gives each one end of a connection. From then on it has no part in what they say: frames go straight from thread to
 * thread, also while the thread of the network is busy. Who both are was checked before there was a connection, so there is no greeting
 * on it, and the first message can be a frame.
 *
 *     network → process   limits · meet (a peer, its incarnation, a port) · refused (an error) · later (a peer lives in a later epoch)
 *     process → network   open (its identity) · advance (incarnation, epoch) · lost (a connection that had to be ended)
 *     process → process   a buffer with frames · a list of such buffers that go back · a last word
 *
 * A connection ends when either end is closed; what was sent before is handed over first. News of the network and of a connection come on
 * different ports, and so in any order: a new life of a peer waits until the connection to the one before it has ended. A thread that
 * ends, by itself, by an error or by `terminate`, ends its ports: its peers hear of it at once.
 *
 * Speed. A message between threads costs some microseconds, whatever is in it, and a new buffer for each would keep the garbage
 * collectors of both threads busy. So what is sent to a peer during one turn is copied, once, into one buffer, which is
 * *transferred*: it changes its owner and not its place. The receiver hands out frames where they lie, and transfers the buffer
 * back, to be filled again. What has not come back is what is under way: that is bounded, and is how a slow receiver holds up a fast
 * sender.
 */

import { setTimeout as later } from "node:timers";
import { MessageChannel, MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { ERROR_CODES, type ErrorCode, TidemarkError } from "../core/error.ts";
import { checkProcessId, isProcessId, type ProcessId } from "../core/id.ts";
import { countRecords, recordBytes } from "../core/record.ts";
import {
  advancedIdentity,
  behind,
  checkFrameSize,
  checkIdentity,
  checkWhole,
  type Frame,
  isWhole,
  LaterEpochs,
  type Transport,
  type TransportEvents,
  type TransportGuarantees,
  type TransportIdentity,
} from "./transport.ts";

/** What `new WorkerNetwork` takes: limits for all its processes. */
export interface WorkerNetworkOptions {
  /**
   * The largest frame that is carried, in bytes, up to 2^30.
   * @default 16_777_216
   */
  readonly maxFrameBytes?: number;
  /**
   * The most memory that frames may take that are under way to one peer, in bytes; beyond it `send` gives false. It must have room
   * for one frame. More rides out longer stalls.
   * @default 67_108_864
   */
  readonly maxBufferedBytes?: number;
}

/** The version of what is said on ports; two copies of the package may be loaded in two threads. */
const PROTOCOL_VERSION = 1;
/** How `limits` says that it is one. */
const SETTINGS = "tidemark worker network";
/** The last word on a connection, and what it means. A thread that ends has none. */
const LAST_WORDS: ReadonlyMap<unknown, string> = new Map([
  ["closed", "closed its transport"],
  ["advanced", "went to a later epoch"],
]);
/** A buffer begins with how many of its bytes are used; records follow. */
const HEAD_BYTES = 4;
/** What one frame can need beside its bytes. */
const FRAME_OVERHEAD_BYTES = 64;
/** Buffers have a power of two of bytes, from the first to the last; only that of a larger frame is as large as it needs. */
const FIRST_BUFFER_BYTES = 1_024;
const LAST_BUFFER_BYTES = 262_144;
/** So much in buffers is kept to be filled again. */
const FREE_BYTES = 8_388_608;
/** So long after a connection had to be ended the two are introduced again. */
const AGAIN_AFTER_MS = 100;
/** The same problem with the same source is told once in this time. */
const PROBLEM_INTERVAL_MS = 10_000;
const MAX_REMEMBERED_PROBLEMS = 256;

/** What a transport learns when it is made. */
interface Limits {
  readonly maxFrameBytes: number;
  readonly maxBufferedBytes: number;
}

/** Two processes are introduced: how one of them knows that. */
interface Introduced {
  readonly member: Member;
  readonly number: number;
  /** The connection had to be ended: there will be another one. */
  lost: boolean;
}

/** A process, as the network knows it. */
interface Member {
  readonly port: MessagePort;
  identity: TransportIdentity;
  readonly introduced: Map<ProcessId, Introduced>;
}

/**
 * Where processes in threads of one operating-system process meet. Make it in one thread, mostly the main one, and a port for each
 * process; hand the port to the worker, and make a transport from it there with `workerTransport`. For a process in the thread
 * of the network itself it is the same. A worker that ended is replaced by another one, with a new port.
 *
 * Every process reaches every other that is open, without being connected; the address of each is its id. The network does
 * not keep its thread alive; a transport that is open does.
 *
 * @example
 * ```ts no-run
 * import { Worker } from "node:worker_threads";
 * import { WorkerNetwork } from "tidemark";
 * const network = new WorkerNetwork();
 * for (const id of ["p1", "p2", "p3"]) {
 *   const port = network.port();
 *   new Worker(new URL("./process.ts", import.meta.url), { workerData: { id, port }, transferList: [port] });
 * }
 * // In process.ts: startProcess({ id: workerData.id, transport: workerTransport(workerData.port), … })
 * ```
 */
export class WorkerNetwork {
  readonly #limits: Limits;
  /** Those that are open, in the order they were opened. */
  readonly #members = new Set<Member>();
  #introductions = 0;

  /** @throws TidemarkError `BAD_OPTION` */
  constructor(options: WorkerNetworkOptions = {}) {
    const { maxFrameBytes = 16_777_216, maxBufferedBytes = 67_108_864 } = options;
    this.#limits = {
      maxFrameBytes: checkWhole("maxFrameBytes", maxFrameBytes, 1, 2 ** 30),
      maxBufferedBytes: checkWhole(
        "maxBufferedBytes",
        maxBufferedBytes,
        maxFrameBytes + FRAME_OVERHEAD_BYTES,
        Number.MAX_SAFE_INTEGER,
      ),
    };
  }

  /** A port for one process, once: to be handed to `workerTransport`, here or in a worker to which it is transferred. */
  port(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    let member: Member | undefined;
    port1.postMessage({ settings: SETTINGS, version: PROTOCOL_VERSION, ...this.#limits });
    port1.on("message", (message: unknown) => {
      if (member === undefined) member = this.#join(port1, message);
      else this.#hear(member, message);
    });
    port1.on("messageerror", () => notUnderstood(port1));
    port1.on("close", () => {
      if (member) this.#leave(member);
    });
    port1.unref();
    return port2;
  }

  #join(port: MessagePort, message: unknown): Member | undefined {
    const { type, identity } = fieldsOf(message);
    if (type !== "open" || !isIdentity(identity)) {
      notUnderstood(port);
      return undefined;
    }
    const member: Member = { port, identity, introduced: new Map() };
    for (const other of this.#members) this.#introduce(member, other);
    this.#members.add(member);
    return member;
  }

  #hear(member: Member, message: unknown): void {
    const { type, peer, number, incarnation, epoch } = fieldsOf(message);
    const identity = { ...member.identity, incarnation, epoch };
    if (type === "lost") this.#lost(member, peer as ProcessId, number);
    else if (type === "advance" && isIdentity(identity)) {
      this.#forget(member);
      member.identity = identity;
      for (const other of this.#members) this.#introduce(member, other);
    } else notUnderstood(member.port);
  }

  #leave(member: Member): void {
    this.#members.delete(member);
    this.#forget(member);
    // A second process with that id may have been waiting for this.
    for (const second of this.#members)
      if (second.identity.self === member.identity.self)
        for (const other of this.#members) this.#introduce(second, other);
  }

  /** Nobody is introduced to it any more. Its connections end by themselves. */
  #forget({ identity, introduced }: Member): void {
    for (const { member } of introduced.values()) member.introduced.delete(identity.self);
    introduced.clear();
  }

  /** One of the two had to end a connection. Not at once: it may be so again. */
  #lost(member: Member, peer: ProcessId, number: unknown): void {
    const there = member.introduced.get(peer);
    if (there?.number !== number || there?.lost !== false) return;
    const here = there.member.introduced.get(member.identity.self);
    there.lost = true;
    later(() => {
      if (member.introduced.get(peer) !== there) return;
      if (here?.number === number) there.member.introduced.delete(member.identity.self);
      member.introduced.delete(peer);
      this.#introduce(member, there.member);
    }, AGAIN_AFTER_MS).unref();
  }

  /** Has two members know each other, or the one that was there first refuse the other. */
  #introduce(newer: Member, older: Member): void {
    const { system, self, epoch } = newer.identity;
    const there = older.identity;
    if (self === there.self || newer.introduced.get(there.self)?.member === older) return;
    if (system !== there.system) {
      const reason = `${self} is of the system "${system}", and ${there.self} of "${there.system}"`;
      refuse(older, newer, "STRANGER", reason);
    } else if (epoch !== there.epoch) {
      const [ahead, late] = epoch > there.epoch ? [newer, older] : [older, newer];
      tellLater(late, ahead);
    } else if (older.introduced.has(self)) refuseSecond(older, newer);
    else if (newer.introduced.has(there.self)) refuseSecond(newer, older);
    else {
      this.#introductions += 1;
      const { port1, port2 } = new MessageChannel();
      meet(newer, older, this.#introductions, port1);
      meet(older, newer, this.#introductions, port2);
    }
  }
}

/** Tells one about the other. `to` is which life of it is meant. */
function meet(member: Member, peer: Member, number: number, port: MessagePort): void {
  const { self, incarnation } = peer.identity;
  const to = member.identity.incarnation;
  member.introduced.set(self, { member: peer, number, lost: false });
  member.port.postMessage({ type: "meet", peer: self, incarnation, to, number, port }, [port]);
}

function refuseSecond(by: Member, refused: Member): void {
  const { self } = refused.identity;
  const reason = `${self} is connected to ${by.identity.self} already and alive; a second process has that id`;
  refuse(by, refused, "DUPLICATE_ID", reason);
}

function refuse(by: Member, refused: Member, code: ErrorCode, reason: string): void {
  const here = by.identity.self;
  const there = refused.identity.self;
  tellRefused(by.port, there, code, `refused a connection from ${there}: ${reason}`);
  const answer = `${here} refused the connection: ${reason} (${code})`;
  tellRefused(refused.port, here, "HANDSHAKE_REFUSED", answer);
}

/** One lives in a later epoch than the other. */
function tellLater(late: Member, ahead: Member): void {
  const { self, epoch } = late.identity;
  tellRefused(ahead.port, self, "EPOCH_MISMATCH", behind(self, epoch, ahead.identity));
  late.port.postMessage({ type: "later", peer: ahead.identity.self, epoch: ahead.identity.epoch });
}

function notUnderstood(port: MessagePort): void {
  const text =
    "the network does not understand what came from this process: a port is for one transport, and nothing else";
  tellRefused(port, "the network", "STRANGER", text);
}

function tellRefused(port: MessagePort, source: string, code: ErrorCode, text: string): void {
  port.postMessage({ type: "refused", source, code, text });
}

/**
 * Makes a transport for one process in this thread, from a port of a `WorkerNetwork` that may be in another thread. It keeps order,
 * loses nothing and repeats nothing while a peer is up; a peer whose thread ends, in whatever way, is down at once.
 *
 * Problems that it tells: `STRANGER`, `DUPLICATE_ID` (this side was there first), `HANDSHAKE_REFUSED` (the other one was),
 * `EPOCH_MISMATCH` (the other one is behind), `MALFORMED_FRAME`, `FRAME_TOO_LARGE`, `PEER_UNREACHABLE` (the thread of the network has
 * ended: peers that are up stay up, others will not come); each about one source at most once in ten seconds.
 *
 * @throws TidemarkError `BAD_OPTION` if it is not a port of a network, or one that was used before; `VERSION_MISMATCH`
 * @example
 * ```ts
 * import { WorkerNetwork, workerTransport } from "tidemark";
 * const network = new WorkerNetwork();
 * // Here both are in this thread; a worker makes its own from the port that it was given.
 * const [a, b] = [workerTransport(network.port()), workerTransport(network.port())];
 * const { promise: text, resolve } = Promise.withResolvers<string>();
 * const quiet = { peerUp() {}, peerDown() {}, frame() {}, problem() {}, laterEpoch() {} };
 * await a.open(
 *   { system: "demo", self: "a", incarnation: 1, epoch: 0 },
 *   { ...quiet, peerUp: (peer) => a.send(peer, new TextEncoder().encode("hello")) },
 * );
 * await b.open(
 *   { system: "demo", self: "b", incarnation: 1, epoch: 0 },
 *   { ...quiet, frame: (_, frame) => resolve(new TextDecoder().decode(frame)) },
 * );
 * if ((await text) !== "hello") throw new Error("a frame arrives as it was sent");
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export function workerTransport(port: MessagePort): Transport {
  return new WorkerTransport(port);
}

class WorkerTransport implements Transport {
  readonly guarantees: TransportGuarantees = { fifo: true, lossless: true, duplicateFree: true };
  readonly maxFrameBytes: number;
  readonly maxBufferedBytes: number;
  readonly free: FreeBuffers = new FreeBuffers();
  readonly #port: MessagePort;
  readonly #connections = new Map<ProcessId, Connection>();
  /** Connections to a later life of a peer, which wait until the one before it has ended. */
  readonly #next = new Map<ProcessId, Connection>();
  readonly #laterEpochs = new LaterEpochs();
  /** When a problem was last told, by code and source, oldest first. */
  readonly #told = new Map<string, number>();
  /** Who this is now: the only place. */
  #identity: TransportIdentity | undefined;
  #events: TransportEvents | undefined;
  #opened: boolean = false;
  #closed: boolean = false;

  constructor(port: MessagePort) {
    const { maxFrameBytes, maxBufferedBytes } = readLimits(port);
    this.#port = port;
    this.maxFrameBytes = maxFrameBytes;
    this.maxBufferedBytes = maxBufferedBytes;
  }

  get address(): string | undefined {
    return this.#identity?.self;
  }

  async open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    if (this.#opened || this.#closed)
      throw new TidemarkError("STOPPED", "a transport is opened once: make a new one");
    this.#opened = true;
    const { system, self, incarnation, epoch } = checkIdentity(identity);
    this.#identity = { system, self, incarnation, epoch };
    this.#events = events;
    this.#port.on("message", (message: unknown) => this.#hear(message));
    this.#port.on("messageerror", () => this.#strange());
    this.#port.on("close", () => {
      const text = `the thread of the network has ended: ${self} meets no more peers`;
      this.problem("PEER_UNREACHABLE", "the network", text);
    });
    this.#port.postMessage({ type: "open", identity: this.#identity });
  }

  advance(later: Pick<TransportIdentity, "incarnation" | "epoch">): void {
    const identity = advancedIdentity(this.#identity, later);
    if (this.#closed) return;
    const { self, incarnation, epoch } = identity;
    this.#identity = identity;
    const peers = [...this.#connections.keys()];
    this.#drop("advanced");
    this.#laterEpochs.clear();
    // No event from inside this method; and before any other event.
    process.nextTick(() => {
      for (const peer of peers)
        if (!this.#closed) this.#events?.peerDown(peer, `${self} went to epoch ${epoch}`);
    });
    this.#port.postMessage({ type: "advance", incarnation, epoch });
  }

  /** Every process that is open on the network is a peer already. */
  connect(peer: ProcessId, _address: string): void {
    checkProcessId(peer);
  }

  send(to: ProcessId, frame: Frame): boolean {
    checkFrameSize(to, frame, this.maxFrameBytes);
    return this.#connections.get(to)?.send(frame) ?? false;
  }

  buffered(to: ProcessId): number {
    return this.#connections.get(to)?.buffered ?? 0;
  }

  /** What was sent is at the other side already: there is nothing to wait for. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const connection of this.#connections.values()) connection.flush();
    this.#drop("closed");
    this.#port.close();
  }

  #drop(lastWord: string): void {
    for (const connection of this.#connections.values()) connection.drop(lastWord);
    for (const connection of this.#next.values()) connection.drop(lastWord);
    this.#connections.clear();
    this.#next.clear();
  }

  /** The network has said something. */
  #hear(message: unknown): void {
    const { type, peer, incarnation, to, number, port, epoch, source, code, text } =
      fieldsOf(message);
    if (this.#closed) {
      if (port instanceof MessagePort) port.close();
    } else if (type === "meet" && isProcessId(peer) && port instanceof MessagePort) {
      // It was said to a life before this one.
      if (to !== this.#identity?.incarnation) port.close();
      else if (isWhole(incarnation, 1, 2 ** 32 - 1))
        this.#meet(new Connection(this, peer, incarnation, number as number, port));
      else this.#strange();
    } else if (type === "later" && isProcessId(peer) && isEpoch(epoch)) this.#later(peer, epoch);
    else if (type === "refused" && isCode(code)) this.problem(code, String(source), String(text));
    else this.#strange();
  }

  #later(peer: ProcessId, epoch: number): void {
    // It may have been said to a life before this one, which was further behind.
    const { epoch: own } = this.#identity as TransportIdentity;
    if (epoch > own && this.#laterEpochs.first(peer, epoch)) this.#events?.laterEpoch(peer, epoch);
  }

  #strange(): void {
    const text = "what came from the network is not of the Tidemark protocol";
    this.problem("STRANGER", "the network", text);
  }

  #meet(connection: Connection): void {
    const { peer } = connection;
    if (this.#connections.has(peer)) {
      this.#next.get(peer)?.drop();
      this.#next.set(peer, connection);
      return;
    }
    this.#connections.set(peer, connection);
    connection.begin();
    this.#events?.peerUp(peer, connection.incarnation);
  }

  // What connections tell.

  frame(connection: Connection, frame: Frame): void {
    this.#events?.frame(connection.peer, frame);
  }

  /** A connection is over, and nobody had asked for it here. */
  ended({ peer, number }: Connection, reason: string): void {
    this.#connections.delete(peer);
    // If the peer has gone, the network knows that, too.
    this.#port.postMessage({ type: "lost", peer, number });
    this.#events?.peerDown(peer, reason);
    const next = this.#next.get(peer);
    if (next === undefined || this.#closed) return;
    this.#next.delete(peer);
    this.#meet(next);
  }

  /** Tells a problem, unless the same one with the same source was told a moment ago. */
  problem(code: ErrorCode, source: string, text: string): void {
    if (this.#closed) return;
    const key = `${code} ${source}`;
    const nowMs = performance.now();
    if (nowMs - (this.#told.get(key) ?? Number.NEGATIVE_INFINITY) < PROBLEM_INTERVAL_MS) return;
    this.#told.delete(key);
    this.#told.set(key, nowMs);
    const [oldest] = this.#told.keys();
    if (this.#told.size > MAX_REMEMBERED_PROBLEMS && oldest) this.#told.delete(oldest);
    this.#events?.problem(new TidemarkError(code, text));
  }
}

/** One end of the connection to one life of one peer. */
class Connection {
  readonly peer: ProcessId;
  readonly incarnation: number;
  readonly number: number;
  readonly #transport: WorkerTransport;
  readonly #port: MessagePort;
  #ended: boolean = false;

  // What goes out at the end of the turn: a buffer, filled up to `#at`; none is under construction while there is no view.
  #view: DataView | undefined;
  #bytes: Uint8Array = NO_BYTES;
  #at = HEAD_BYTES;
  /** Has what was sent leave. */
  readonly flush = (): void => this.#post();
  /** Bytes of buffers that the other side has. */
  #awayBytes = 0;

  // What has been read, and goes back.
  #read: ArrayBuffer[] = [];
  readonly #goBack = (): void => this.#postBack();

  constructor(
    transport: WorkerTransport,
    peer: ProcessId,
    incarnation: number,
    number: number,
    port: MessagePort,
  ) {
    this.#transport = transport;
    this.peer = peer;
    this.incarnation = incarnation;
    this.number = number;
    this.#port = port;
  }

  /** From now on it is told what comes in; what came before has waited in the port. */
  begin(): void {
    this.#port.on("message", (message: unknown) => this.#message(message));
    this.#port.on("messageerror", () => this.#malformed("something that cannot be read"));
    this.#port.on("close", () => this.#end(`${this.peer} has ended without a word`));
  }

  /** Ends, for a reason that the other side may hear; what has not left is dropped. */
  drop(lastWord?: string): void {
    this.#ended = true;
    if (lastWord) this.#port.postMessage(lastWord);
    this.#port.close();
  }

  get buffered(): number {
    return this.#awayBytes + this.#bytes.length;
  }

  send(frame: Frame): boolean {
    const needed = recordBytes(frame.length);
    if (this.#at + needed > this.#bytes.length && !this.#makeRoom(needed)) return false;
    const view = this.#view as DataView;
    const end = this.#at + needed;
    // The padding is in the last word, or there is none.
    view.setUint32(end - 4, 0, true);
    view.setUint32(this.#at, frame.length, true);
    this.#bytes.set(frame, this.#at + 4);
    this.#at = end;
    return true;
  }

  /** Has the buffer under construction grow, or begins another one. */
  #makeRoom(needed: number): boolean {
    const grows = this.#view !== undefined && this.#at + needed <= LAST_BUFFER_BYTES;
    const least = needed + (grows ? this.#at : HEAD_BYTES);
    const others = grows ? this.#awayBytes : this.buffered;
    const most = this.#transport.maxBufferedBytes - others;
    if (least > most) return false;
    const buffer = this.#transport.free.take(least, most);
    const bytes = new Uint8Array(buffer);
    if (grows) {
      bytes.set(this.#bytes.subarray(0, this.#at));
      this.#transport.free.keep(this.#bytes.buffer as ArrayBuffer);
    } else {
      // After everything that the current callback does, and before any other.
      if (this.#view === undefined) process.nextTick(this.flush);
      this.#post();
    }
    this.#bytes = bytes;
    this.#view = new DataView(buffer);
    return true;
  }

  #post(): void {
    const view = this.#view;
    if (view === undefined || this.#ended) return;
    const buffer = view.buffer as ArrayBuffer;
    view.setUint32(0, this.#at, true);
    this.#awayBytes += buffer.byteLength;
    this.#view = undefined;
    this.#bytes = NO_BYTES;
    this.#at = HEAD_BYTES;
    this.#port.postMessage(buffer, [buffer]);
  }

  #message(message: unknown): void {
    // A port that was closed is silent at once, as it seems; nobody promises it.
    if (this.#ended) return;
    if (message instanceof ArrayBuffer) this.#frames(message);
    else if (Array.isArray(message)) this.#back(message);
    else if (LAST_WORDS.has(message)) this.#end(`${this.peer} ${LAST_WORDS.get(message)}`);
    else this.#malformed("something that is neither frames nor their buffers");
  }

  #frames(buffer: ArrayBuffer): void {
    const view = new DataView(buffer);
    const end = buffer.byteLength < HEAD_BYTES ? 0 : view.getUint32(0, true);
    if (end < HEAD_BYTES || end > buffer.byteLength || countRecords(view, HEAD_BYTES, end) < 0) {
      this.#malformed(`${buffer.byteLength} bytes that are not a row of frames`);
      return;
    }
    for (let at = HEAD_BYTES; at < end && !this.#ended; ) {
      const length = view.getUint32(at, true);
      if (length > this.#transport.maxFrameBytes) {
        this.#tooLarge(length);
        return;
      }
      this.#transport.frame(this, new Uint8Array(buffer, at + 4, length));
      at += recordBytes(length);
    }
    if (this.#ended) return;
    // Together with others that are read meanwhile.
    if (this.#read.length === 0) setImmediate(this.#goBack);
    this.#read.push(buffer);
  }

  #postBack(): void {
    const read = this.#read;
    this.#read = [];
    if (!this.#ended) this.#port.postMessage(read, read);
  }

  /** Buffers have come back. */
  #back(buffers: readonly unknown[]): void {
    for (const buffer of buffers) {
      if (!(buffer instanceof ArrayBuffer) || buffer.byteLength > this.#awayBytes) {
        this.#malformed("back what it was not sent");
        return;
      }
      this.#awayBytes -= buffer.byteLength;
      this.#transport.free.keep(buffer);
    }
  }

  #malformed(what: string): void {
    this.#transport.problem("MALFORMED_FRAME", this.peer, `${this.peer} sent ${what}`);
    this.#end(`it sent ${what}`);
  }

  #tooLarge(bytes: number): void {
    const text = `sent a frame of ${bytes} bytes, beyond the limit of ${this.#transport.maxFrameBytes}`;
    this.#transport.problem("FRAME_TOO_LARGE", this.peer, `${this.peer} ${text}`);
    this.#end(`it ${text}`);
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.drop();
    this.#transport.ended(this, reason);
  }
}

const NO_BYTES: Uint8Array = new Uint8Array(0);

/** Buffers that are kept to be filled again, by their size. */
class FreeBuffers {
  readonly #bySize = new Map<number, ArrayBuffer[]>();
  #bytes = 0;

  /** A buffer with at least so many bytes, and at most so many. */
  take(least: number, most: number): ArrayBuffer {
    const size = least > LAST_BUFFER_BYTES ? least : roundUp(least);
    const buffer = size > most ? undefined : this.#bySize.get(size)?.pop();
    if (buffer) this.#bytes -= size;
    return buffer ?? new ArrayBuffer(Math.min(size, most));
  }

  keep(buffer: ArrayBuffer): void {
    const size = buffer.byteLength;
    if (size > LAST_BUFFER_BYTES || size !== roundUp(size) || this.#bytes + size > FREE_BYTES)
      return;
    const buffers = this.#bySize.get(size) ?? [];
    buffers.push(buffer);
    this.#bySize.set(size, buffers);
    this.#bytes += size;
  }
}

/** The size of a buffer for so many bytes. */
function roundUp(bytes: number): number {
  return Math.max(FIRST_BUFFER_BYTES, 2 ** (32 - Math.clz32(bytes - 1)));
}

/** The first word in a port, which is there when the port is. */
function readLimits(port: unknown): Limits {
  const first = port instanceof MessagePort ? receiveMessageOnPort(port) : undefined;
  const { settings, version, maxFrameBytes, maxBufferedBytes } = fieldsOf(first?.message);
  if (settings !== SETTINGS)
    throw new TidemarkError(
      "BAD_OPTION",
      "a worker transport is made from a port of a WorkerNetwork, each from one of its own: network.port()",
    );
  if (version !== PROTOCOL_VERSION)
    throw new TidemarkError(
      "VERSION_MISMATCH",
      `the network speaks protocol version ${String(version)}, and this thread version ${PROTOCOL_VERSION}`,
    );
  return {
    maxFrameBytes: checkWhole("maxFrameBytes", maxFrameBytes, 1, 2 ** 30),
    maxBufferedBytes: checkWhole("maxBufferedBytes", maxBufferedBytes, 1, Number.MAX_SAFE_INTEGER),
  };
}

function isIdentity(value: unknown): value is TransportIdentity {
  const { system, self, incarnation, epoch } = fieldsOf(value);
  return (
    typeof system === "string" &&
    isProcessId(self) &&
    isWhole(incarnation, 1, 2 ** 32 - 1) &&
    isEpoch(epoch)
  );
}

function isEpoch(value: unknown): value is number {
  return isWhole(value, 0, Number.MAX_SAFE_INTEGER);
}

function isCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(ERROR_CODES, value);
}

/** Of anything that came in: its fields, if it has any. */
function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
