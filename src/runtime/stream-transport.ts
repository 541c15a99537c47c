/**
 * Frames over streams of bytes: who is at the other end, in which epoch, and where a frame begins and ends. What carries the bytes is
 * a `Carrier`: TCP, TLS and NATS each have one.
 *
 * Assumptions. A stream brings bytes in order, none missing and none twice, until it ends; it tells nothing or a wrong thing about when
 * the other end died. Whoever can reach the carrier may connect, so nothing that comes in is believed before it is
 * checked, and nothing that a stranger does costs more than a bounded amount of memory. Who the other end truly is only some carriers can
 * tell (`doubt`); with the others whoever connects can pose as one of them.
 *
 * Theory of operation. There is one connection for a pair of processes. The process with the smaller id
 * dials, and goes on dialling with growing pauses for as long as the transport is open; the other
 * listens. So two processes never race to connect to each other, and nothing needs a tie-break. Both
 * sides begin with a *greeting*:
 *
 *     8 bytes "TIDEMARK" · 16-bit version · 16-bit length n ≤ 4096 · n bytes of JSON
 *     dialler:   {"system", "process", "to", "incarnation", "epoch"}
 *     listener:  {"welcome": {"process", "incarnation"}} or {"refuse": {"code", "reason", "epoch"}}
 *
 * (numbers little-endian; these twelve bytes and `refuse` stay as they are in every later version, so
 * that a refusal can be read; it has an epoch, the listener's, only if it is for that). A dialler that does not believe who it has
 * reached says `refuse` in place of its hello. After the welcome each
 * side sends frames: a 32-bit length and that many bytes. Two lengths that no frame has are a question, "are you there?", and its answer.
 *
 * A hello that cannot be answered yet waits for half the handshake timeout. One case is a process that
 * this one has not been told of yet: processes may start, and learn of each other, in any order. The
 * other is an id that is connected already, but with another incarnation: the older connection is asked
 * whether it is there. If it answers in time, the newcomer is a second process with the same id, and is
 * refused; if it does not, its host died without a word, and the newcomer takes its place. A hello
 * with the *same* incarnation is the same process, which dials only when it has no connection: the
 * older one is dead and is replaced at once.
 *
 * A connection belongs to one epoch, for both greet with theirs before the first frame, and `advance` cuts all. So a frame needs
 * no epoch of its own here: what was under way on a connection that is cut is never read. Connections that have not said
 * their hello stay: it is judged when it comes. Of two processes of different epochs the older one learns of it whichever of
 * them dials, by the hello or by the refusal.
 *
 * A second process with the id of one that only listens, at another address, is not found out: nobody
 * dials that address. It stays alone.
 *
 * Speed. What is sent during one turn leaves in one write at the end of it. Lengths and small frames
 * are copied one behind the other into a slab, larger frames are written from where they are. What comes in is cut where it
 * lies; only a frame that lies across chunks is copied, once, into a buffer that the next such frame uses again.
 * There is no timer, promise or closure per frame.
 */

import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { type ErrorCode, TidemarkError, textOf } from "../core/error.ts";
import { checkProcessId, isProcessId, type ProcessId } from "../core/id.ts";
import type { SharedReader } from "./shared-read.ts";
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

/**
 * What carries the bytes of a `StreamTransport`.
 *
 * A stream is a `Duplex` that is read as it comes: never paused, and ended by `destroy` from either side. `cork` and `uncork` mark what may
 * leave in one write.
 */
export interface Carrier {
  /** Throws if that is no address of a peer as this carrier reads them. */
  checkAddress(peer: ProcessId, address: string): void;
  /**
   * Begins to take streams, and gives the address at which it does.
   * @throws TidemarkError `ADDRESS_IN_USE`, `BAD_OPTION`
   */
  listen(identity: TransportIdentity, incoming: Incoming): Promise<string>;
  /** Opens a stream to a peer; `ready`, once and later, when something may be said on it. */
  dial(
    peer: ProcessId,
    address: string,
    read: SharedReader,
    ready: (doubt?: Doubt) => void,
  ): Duplex;
  /** Takes no more streams. Those that there are end by themselves. */
  close(): Promise<void>;
}

/** Where a carrier brings what comes from outside. */
export interface Incoming {
  /** Somebody has connected, from what this carrier calls `from`; `open` is called once, now or never. */
  stream(from: string, open: (read: SharedReader) => Duplex, doubt?: Doubt): void;
  /** Somebody did not get as far as a stream, or none can be taken. */
  problem(code: ErrorCode, from: string, text: string): void;
}

/** Why whoever is at the other end is not believed to be that process, or without one, to be anybody; nothing if it is. */
export type Doubt = (process?: ProcessId) => string | undefined;

/** How a transport reaches its peers, whatever carries its bytes. */
export interface StreamOptions {
  /**
   * Where the peers listen; more can be added with `connect`.
   * An entry for the process itself is ignored, so all processes can be given the same table.
   * @default {}
   */
  readonly peers?: Readonly<Record<ProcessId, string>>;
  /**
   * The largest frame that is sent or taken, in bytes, up to 2^30. The same for all processes of a system.
   * @default 16_777_216
   */
  readonly maxFrameBytes?: number;
  /**
   * The most that may be waiting to leave for one peer, in bytes; beyond it `send` gives false. It must
   * have room for one frame. More rides out longer stalls, at the price of memory.
   * @default 67_108_864
   */
  readonly maxBufferedBytes?: number;
  /**
   * How long connecting and shaking hands may take, in milliseconds. Half of it is how long a hello from
   * an unknown process waits to become known, and how long a silent connection has to show that it is alive
   * when a new incarnation of its process wants to take its place.
   * @default 5_000
   */
  readonly handshakeTimeoutMs?: number;
  /**
   * The first pause before dialling again, in milliseconds. Each further pause is twice as long; each is
   * shortened at random by up to a half, so that many processes do not dial in step.
   * @default 10
   */
  readonly reconnectMinMs?: number;
  /**
   * The longest pause before dialling again, in milliseconds.
   * @default 1_000
   */
  readonly reconnectMaxMs?: number;
}

/** The version of greeting and frames; processes of different versions do not talk to each other. */
const PROTOCOL_VERSION = 1;
const MAGIC = Buffer.from("TIDEMARK", "latin1");
const GREETING_HEAD_BYTES = MAGIC.length + 4;
const GREETING_BODY_BYTES = 4096;
const LENGTH_BYTES = 4;
/** Lengths that no frame has. */
const ARE_YOU_THERE = 0xffff_ffff;
const I_AM_HERE = 0xffff_fffe;
/** Accepted connections that have not been welcomed; when there are more, the oldest is cut. */
const MAX_UNFINISHED = 256;
/** The same problem with the same source is told once in this time. */
const PROBLEM_INTERVAL_MS = 10_000;
const MAX_REMEMBERED_PROBLEMS = 256;
/** A peer that has not been reached for this long is a problem worth telling. */
const UNREACHABLE_AFTER_MS = 2_000;
const CLOSE_TIMEOUT_MS = 1_000;
/** Where lengths and small frames are gathered. */
const SLAB_BYTES = 16_384;
/** Up to this size copying a frame is cheaper than one more entry in a `writev`. */
const SMALL_FRAME_BYTES = 1_024;
/** So much goes to the system without waiting for the end of the turn. */
const FLUSH_BYTES = 1_048_576;
/** Room for a frame of up to this size is made at once; for a larger one it grows as bytes arrive. */
const ROOM_AT_ONCE_BYTES = 262_144;
const NO_BYTES = new Uint8Array(0);

/** What this process knows of another. */
interface Peer {
  readonly id: ProcessId;
  /** Where it listens, as it was given. */
  address: string;
  /** The connection over which it is up. */
  connection: Connection | undefined;
  /** The connection on which this process waits to be welcomed. */
  dialling: Connection | undefined;
  redial: NodeJS.Timeout | undefined;
  /** The pause before dialling next time. */
  pauseMs: number;
  /** When dialling first failed since it was last up; `Infinity` once that has been told. */
  failingSinceMs: number | undefined;
}

/** Who wants to connect, as it says. */
interface Hello {
  readonly system: string;
  readonly process: ProcessId;
  readonly to: ProcessId;
  readonly incarnation: number;
  readonly epoch: number;
}

/**
 * A transport over the streams of a carrier. It keeps order, loses nothing and repeats nothing while a peer is up; frames on the way are
 * lost when a stream is.
 */
export class StreamTransport implements Transport {
  readonly guarantees: TransportGuarantees = { fifo: true, lossless: true, duplicateFree: true };
  readonly maxFrameBytes: number;
  readonly maxBufferedBytes: number;
  readonly #carrier: Carrier;
  readonly #handshakeTimeoutMs: number;
  readonly #reconnectMinMs: number;
  readonly #reconnectMaxMs: number;
  readonly #peers = new Map<ProcessId, Peer>();
  /** Every connection whose socket is not closed yet, in any phase. */
  readonly #connections = new Set<Connection>();
  /** Those among them that were accepted and have not been welcomed, oldest first. */
  readonly #unfinished = new Set<Connection>();
  /** When a problem was last told, by code and source, oldest first. */
  readonly #told = new Map<string, number>();
  readonly #laterEpochs = new LaterEpochs();
  #identity: TransportIdentity | undefined;
  #events: TransportEvents | undefined;
  #address: string | undefined;
  #opening: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #closed: boolean = false;

  constructor(carrier: Carrier, options: StreamOptions) {
    const {
      peers = {},
      maxFrameBytes = 16_777_216,
      maxBufferedBytes = 67_108_864,
      handshakeTimeoutMs = 5_000,
      reconnectMinMs = 10,
      reconnectMaxMs = 1_000,
    } = options;
    this.#carrier = carrier;
    this.maxFrameBytes = checkWhole("maxFrameBytes", maxFrameBytes, 1, 2 ** 30);
    this.maxBufferedBytes = checkWhole(
      "maxBufferedBytes",
      maxBufferedBytes,
      maxFrameBytes + LENGTH_BYTES,
      Number.MAX_SAFE_INTEGER,
    );
    this.#handshakeTimeoutMs = checkWhole("handshakeTimeoutMs", handshakeTimeoutMs, 2, 2 ** 31 - 1);
    this.#reconnectMinMs = checkWhole("reconnectMinMs", reconnectMinMs, 1, 2 ** 31 - 1);
    this.#reconnectMaxMs = checkWhole(
      "reconnectMaxMs",
      reconnectMaxMs,
      reconnectMinMs,
      2 ** 31 - 1,
    );
    for (const [peer, address] of Object.entries(peers)) this.connect(peer, address);
  }

  get address(): string | undefined {
    return this.#address;
  }

  open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    if (this.#opening || this.#closed)
      return Promise.reject(
        new TidemarkError("STOPPED", "a transport is opened once: make a new one"),
      );
    this.#opening = this.#open(identity, events);
    return this.#opening;
  }

  async #open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    this.#identity = checkIdentity(identity);
    this.#events = events;
    this.#peers.delete(identity.self);
    const address = await this.#carrier.listen(this.#identity, {
      stream: (from, open, doubt) => this.#accept(from, open, doubt),
      problem: (code, from, text) => this.#problem(code, from, text),
    });
    if (this.#closed)
      throw new TidemarkError("STOPPED", "the transport was closed while it was being opened");
    this.#address = address;
    for (const peer of this.#peers.values()) this.#dial(peer);
  }

  connect(peer: ProcessId, address: string): void {
    checkProcessId(peer);
    this.#carrier.checkAddress(peer, address);
    if (this.#closed || peer === this.#identity?.self) return;
    const known = this.#peers.get(peer);
    if (known?.address === address) return;
    if (known === undefined) {
      const added: Peer = {
        id: peer,
        address,
        connection: undefined,
        dialling: undefined,
        redial: undefined,
        pauseMs: this.#reconnectMinMs,
        failingSinceMs: undefined,
      };
      this.#peers.set(peer, added);
      this.#dial(added);
      // It may have said hello already. No event from inside this method: in a moment.
      process.nextTick(() => this.#reconsider(peer));
      return;
    }
    known.address = address;
    known.pauseMs = this.#reconnectMinMs;
    known.failingSinceMs = undefined;
    if (known.dialling) known.dialling.end("the address has changed");
    else this.#dial(known);
  }

  advance(later: Pick<TransportIdentity, "incarnation" | "epoch">): void {
    this.#identity = advancedIdentity(this.#identity, later);
    if (this.#closed) return;
    this.#laterEpochs.clear();
    const reason = `${this.#identity.self} went to epoch ${later.epoch}`;
    const peers = [...this.#peers.values()];
    const left = peers.filter(({ connection }) => connection);
    for (const connection of this.#connections) {
      const { dialled, phase } = connection;
      if (phase === "ended" || (phase === "greeting" && !dialled)) continue;
      this.#unfinished.delete(connection);
      connection.abort();
    }
    for (const peer of peers) {
      peer.connection = undefined;
      peer.dialling = undefined;
      peer.pauseMs = this.#reconnectMinMs;
      peer.failingSinceMs = undefined;
      this.#dial(peer);
    }
    // Nothing comes before this: whatever tells of the new epoch waits for a socket.
    process.nextTick(() => {
      for (const { id } of left) if (!this.#closed) this.#events?.peerDown(id, reason);
    });
  }

  send(to: ProcessId, frame: Frame): boolean {
    checkFrameSize(to, frame, this.maxFrameBytes);
    const connection = this.#peers.get(to)?.connection;
    return connection?.send(frame) ?? false;
  }

  buffered(to: ProcessId): number {
    return this.#peers.get(to)?.connection?.buffered ?? 0;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed = true;
    for (const peer of this.#peers.values()) clearTimeout(peer.redial);
    for (const connection of this.#connections) connection.finish();
    for (const peer of this.#peers.values()) peer.connection = undefined;
    await this.#opening?.catch(() => undefined);
    const stopped = this.#carrier.close();
    const late = setTimeout(() => {
      for (const connection of this.#connections) connection.socket.destroy();
    }, CLOSE_TIMEOUT_MS);
    await Promise.all([...this.#connections].map((connection) => connection.closed));
    clearTimeout(late);
    await stopped;
  }

  /** Dials a peer, if that is for this process to do, and if there is nothing under way. */
  #dial(peer: Peer): void {
    const identity = this.#identity;
    if (this.#closed || identity === undefined || this.#address === undefined) return;
    if (identity.self > peer.id || peer.connection || peer.dialling) return;
    clearTimeout(peer.redial);
    const connection = this.#add(
      peer,
      (read) =>
        this.#carrier.dial(peer.id, peer.address, read, (doubt) =>
          this.#ready(connection, peer, doubt),
        ),
      peer.id,
    );
    peer.dialling = connection;
  }

  /** A stream that was dialled is there. */
  #ready(connection: Connection, peer: Peer, doubt: Doubt | undefined): void {
    if (connection.phase !== "greeting") return;
    const reason = doubt?.(peer.id);
    if (reason !== undefined) {
      this.#doubted(connection, reason);
      return;
    }
    const { system, self, incarnation, epoch } = this.#identity as TransportIdentity;
    connection.socket.write(greeting({ system, process: self, to: peer.id, incarnation, epoch }));
  }

  #accept(from: string, open: (read: SharedReader) => Duplex, doubt: Doubt | undefined): void {
    const connection = this.#add(undefined, open, from, doubt);
    this.#unfinished.add(connection);
    const reason = doubt?.();
    if (this.#closed) connection.finish();
    else if (reason !== undefined) this.#doubted(connection, reason);
    if (this.#unfinished.size > MAX_UNFINISHED) this.#cutOldest();
  }

  /** Whoever means it is welcomed within a moment: the oldest that is not is the one least missed. */
  #cutOldest(): void {
    const [oldest] = this.#unfinished;
    if (oldest === undefined) return;
    const from = nameOf(oldest);
    this.#unfinished.delete(oldest);
    oldest.finish();
    const text = `cut a connection from ${from}: more than ${MAX_UNFINISHED} have not shaken hands`;
    this.#problem("STRANGER", from, text);
  }

  #add(
    dialled: Peer | undefined,
    open: (read: SharedReader) => Duplex,
    from: string,
    doubt?: Doubt,
  ): Connection {
    const connection = new Connection(open, this, dialled, from, doubt);
    this.#connections.add(connection);
    connection.arm(this.#handshakeTimeoutMs, () => {
      const late = `the handshake was not done after ${this.#handshakeTimeoutMs} ms`;
      if (dialled) connection.end(late);
      else this.#stranger(connection, late);
    });
    return connection;
  }

  // What connections tell.

  /** The other side has said its greeting. */
  greeted(connection: Connection, version: number, body: unknown): void {
    if (connection.dialled) this.#answer(connection, connection.dialled, version, body);
    else this.#hello(connection, version, body);
  }

  /** The other side does not keep to the protocol. */
  nonsense(connection: Connection, what: string): void {
    this.#stranger(connection, `it does not speak the Tidemark protocol: ${what}`);
  }

  frame(connection: Connection, frame: Frame): void {
    const peer = connection.peer;
    if (peer) this.#events?.frame(peer.id, frame);
  }

  tooLarge(connection: Connection, bytes: number): void {
    const text = `announced a frame of ${bytes} bytes, beyond the limit of ${this.maxFrameBytes}`;
    this.#problem("FRAME_TOO_LARGE", nameOf(connection), `${nameOf(connection)} ${text}`);
    connection.end(`it ${text}`);
  }

  /** A connection that was asked whether it is there has said something. */
  answered(connection: Connection): void {
    for (const other of this.#waiting(connection.peer?.id))
      this.#refuse(
        other,
        "DUPLICATE_ID",
        `${other.hello?.process} is connected to ${this.#identity?.self} already and alive; a second process has that id`,
      );
  }

  /** A connection is over, in whatever phase. */
  ended(connection: Connection, reason: string): void {
    this.#unfinished.delete(connection);
    const peer = connection.peer ?? connection.dialled;
    if (this.#closed || peer === undefined) return;
    const wasUp = peer.connection === connection;
    if (wasUp) peer.connection = undefined;
    if (wasUp && connection.heard) peer.pauseMs = this.#reconnectMinMs;
    if (connection.dialled) {
      peer.dialling = undefined;
      const pauseMs = peer.pauseMs * (1 - Math.random() / 2);
      peer.pauseMs = Math.min(peer.pauseMs * 2, this.#reconnectMaxMs);
      peer.redial = setTimeout(() => this.#dial(peer), pauseMs);
    }
    if (wasUp) this.#events?.peerDown(peer.id, reason);
    else this.#failed(peer, reason);
    this.#reconsider(peer.id);
  }

  closed(connection: Connection): void {
    this.#connections.delete(connection);
    this.#unfinished.delete(connection);
  }

  // The dialler's half of the handshake.

  #answer(connection: Connection, peer: Peer, version: number, body: unknown): void {
    const { refuse, welcome } = body as { refuse?: unknown; welcome?: unknown };
    const where = `${peer.id} at ${peer.address}`;
    const identity = this.#identity as TransportIdentity;
    if (isObject(refuse) && isOtherEpoch(refuse, identity)) {
      const { epoch } = refuse;
      peer.failingSinceMs = Number.POSITIVE_INFINITY;
      if (epoch > identity.epoch) this.#laterEpoch(peer, epoch);
      else this.#problem("EPOCH_MISMATCH", peer.id, behind(peer.id, epoch, identity));
      connection.end(`${where} lives in epoch ${epoch}`);
    } else if (isObject(refuse)) {
      const text = `${where} refused the connection: ${tidy(refuse["reason"], 1_000)} (${tidy(refuse["code"])})`;
      peer.failingSinceMs = Number.POSITIVE_INFINITY;
      this.#problem("HANDSHAKE_REFUSED", peer.id, text);
      connection.end(text);
    } else if (version !== PROTOCOL_VERSION) {
      const text = `${where} speaks protocol version ${version}, not ${PROTOCOL_VERSION}`;
      this.#problem("VERSION_MISMATCH", peer.id, text);
      connection.end(text);
    } else if (
      isObject(welcome) &&
      welcome["process"] === peer.id &&
      isWhole(welcome["incarnation"], 1, 2 ** 32 - 1)
    ) {
      this.#up(connection, peer, welcome["incarnation"]);
    } else {
      this.nonsense(connection, "the answer is neither welcome nor refuse");
    }
  }

  /** Dialling did not get through. That a peer has not started yet is no news; that it stays away is. */
  #failed(peer: Peer, reason: string): void {
    const nowMs = performance.now();
    peer.failingSinceMs ??= nowMs;
    if (nowMs - peer.failingSinceMs < UNREACHABLE_AFTER_MS) return;
    peer.failingSinceMs = Number.POSITIVE_INFINITY;
    const text = `${peer.id} at ${peer.address} cannot be reached: ${reason}`;
    this.#problem("PEER_UNREACHABLE", peer.id, text);
  }

  // The listener's half.

  #hello(connection: Connection, version: number, body: unknown): void {
    const { system, self, epoch } = this.#identity as TransportIdentity;
    const { refuse } = body as { refuse?: unknown };
    if (isObject(refuse)) {
      const text = `${connection.from} refused the connection that it made: ${tidy(refuse["reason"], 1_000)} (${tidy(refuse["code"])})`;
      this.#problem("HANDSHAKE_REFUSED", connection.from, text);
      connection.end(text);
      return;
    }
    if (version !== PROTOCOL_VERSION) {
      this.#refuse(
        connection,
        "VERSION_MISMATCH",
        `it speaks protocol version ${version}, and ${self} version ${PROTOCOL_VERSION}`,
      );
      return;
    }
    if (!isHello(body)) {
      this.nonsense(connection, "its hello is incomplete");
      return;
    }
    connection.hello = body;
    const from = body.process;
    const doubt = connection.doubt?.(from);
    if (doubt !== undefined) this.#doubted(connection, doubt);
    else if (body.system !== system)
      this.#refuse(
        connection,
        "STRANGER",
        `${from} is of the system "${tidy(body.system)}", and ${self} of "${tidy(system)}"`,
      );
    else if (body.to !== self)
      this.#refuse(connection, "STRANGER", `${from} looked for ${body.to}, and this is ${self}`);
    else if (from === self)
      this.#refuse(connection, "DUPLICATE_ID", `${self} is the id of the process that it dialled`);
    else if (from > self)
      this.#refuse(connection, "STRANGER", `${from} must wait until ${self} dials it`);
    else if (body.epoch !== epoch) this.#refuseEpoch(connection, body);
    else {
      connection.phase = "waiting";
      this.#consider(connection);
    }
  }

  /** A hello of another epoch. Only a peer is believed that there is a later one. */
  #refuseEpoch(connection: Connection, { process: from, epoch }: Hello): void {
    const identity = this.#identity as TransportIdentity;
    const peer = this.#peers.get(from);
    const { self } = identity;
    if (peer && epoch > identity.epoch) {
      const reason = `${from} lives in epoch ${epoch}, and ${self} is behind, in epoch ${identity.epoch}`;
      this.#answerRefusal(connection, "EPOCH_MISMATCH", reason);
      this.#laterEpoch(peer, epoch);
    } else if (epoch > identity.epoch)
      this.#refuse(
        connection,
        "EPOCH_MISMATCH",
        `${from} is not a peer of ${self} (yet), and lives in epoch ${epoch}, ${self} in epoch ${identity.epoch}`,
      );
    else this.#refuse(connection, "EPOCH_MISMATCH", behind(from, epoch, identity));
  }

  #laterEpoch(peer: Peer, epoch: number): void {
    if (this.#closed || !this.#laterEpochs.first(peer.id, epoch)) return;
    this.#events?.laterEpoch(peer.id, epoch);
  }

  /** Welcomes a hello, or has it wait. */
  #consider(connection: Connection): void {
    const hello = connection.hello as Hello;
    const peer = this.#peers.get(hello.process);
    const older = peer?.connection;
    connection.arm(this.#handshakeTimeoutMs / 2, () => this.#outOfPatience(connection));
    if (peer && !older) {
      const { self, incarnation } = this.#identity as TransportIdentity;
      connection.socket.write(greeting({ welcome: { process: self, incarnation } }));
      this.#up(connection, peer, hello.incarnation);
    } else if (older?.incarnation === hello.incarnation) {
      older.end("the same process has connected anew");
    } else older?.ask();
  }

  #reconsider(process: ProcessId): void {
    for (const connection of this.#waiting(process))
      if (connection.phase === "waiting") this.#consider(connection);
  }

  #outOfPatience(connection: Connection): void {
    const { process, incarnation } = connection.hello as Hello;
    const peer = this.#peers.get(process);
    if (peer === undefined)
      this.#refuse(
        connection,
        "STRANGER",
        `${process} is not a peer of ${this.#identity?.self} (yet)`,
      );
    else
      peer.connection?.end(
        `it did not answer within ${this.#handshakeTimeoutMs / 2} ms, and incarnation ${incarnation} wants its place`,
      );
  }

  #waiting(process: ProcessId | undefined): Connection[] {
    return [...this.#unfinished].filter(
      ({ phase, hello }) => phase === "waiting" && hello?.process === process,
    );
  }

  // Both.

  #up(connection: Connection, peer: Peer, incarnation: number): void {
    connection.begin(peer, incarnation);
    this.#unfinished.delete(connection);
    peer.dialling = undefined;
    peer.connection = connection;
    peer.failingSinceMs = undefined;
    this.#events?.peerUp(peer.id, incarnation);
  }

  #stranger(connection: Connection, reason: string): void {
    if (connection.dialled) {
      const { id, address } = connection.dialled;
      this.#problem("STRANGER", id, `${address}, the address of ${id}: ${reason}`);
      connection.end(reason);
    } else this.#refuse(connection, "STRANGER", reason);
  }

  /** Who is at the other end is not believed. It is told why, for that helps whoever has mixed up two certificates. */
  #doubted(connection: Connection, reason: string): void {
    const { dialled } = connection;
    if (dialled === undefined) {
      this.#refuse(connection, "UNTRUSTED", reason);
      return;
    }
    const text = `${dialled.id} at ${dialled.address} is not believed: ${reason}`;
    this.#answerRefusal(connection, "UNTRUSTED", reason);
    this.#problem("UNTRUSTED", dialled.id, text);
    dialled.failingSinceMs = Number.POSITIVE_INFINITY;
    this.ended(connection, text);
  }

  #refuse(connection: Connection, code: ErrorCode, reason: string): void {
    const from = nameOf(connection);
    const source = this.#peers.get(connection.hello?.process ?? "")?.id ?? from;
    this.#answerRefusal(connection, code, reason);
    this.#problem(code, source, `refused a connection from ${from}: ${reason}`);
  }

  #answerRefusal(connection: Connection, code: ErrorCode, reason: string): void {
    const epoch = code === "EPOCH_MISMATCH" ? { epoch: this.#identity?.epoch } : {};
    connection.refuse(refusalOf(code, reason, epoch));
  }

  /** Tells a problem, unless the same one with the same source was told a moment ago. */
  #problem(code: ErrorCode, source: string, text: string): void {
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

/**
 * One socket: first the greeting that comes in, then frames both ways.
 *
 * `greeting` → `waiting` (only one that was accepted, until its hello can be answered) → `up` → `ended`;
 * from anywhere to `ended`, after which nothing that comes in counts.
 */
class Connection {
  readonly socket: Duplex;
  /** Whom or where it comes from, as far as that is known. */
  readonly from: string;
  readonly doubt: Doubt | undefined;
  /** The peer that this process dialled; none if someone connected to it. */
  readonly dialled: Peer | undefined;
  /** Resolves when the socket is closed. */
  readonly closed: Promise<void>;
  phase: "greeting" | "waiting" | "up" | "ended" = "greeting";
  /** What someone who connected says who it is. */
  hello: Hello | undefined;
  /** Who is at the other end, and in which incarnation: from when it is up. */
  peer: Peer | undefined;
  incarnation = 0;
  /** True once something came in after the handshake. */
  heard = false;
  readonly #transport: StreamTransport;
  #timer: NodeJS.Timeout | undefined;
  #error: string | undefined;
  /** It was asked whether it is there, and has said nothing since. */
  #asked: boolean = false;

  // The greeting as far as it has come in.
  #greeting: Buffer | undefined = Buffer.alloc(GREETING_HEAD_BYTES + GREETING_BODY_BYTES);
  #greetingHave = 0;
  #greetingSize = GREETING_HEAD_BYTES;

  // The frame that is coming in: its length as far as it is known, its bytes as far as there are any.
  #lengthHave = 0;
  #length = 0;
  #body: Uint8Array = NO_BYTES;
  #bodyHave = 0;

  // What is going out at the end of the turn: whole chunks, then the slab from `#from` to `#at`.
  #chunks: Uint8Array[] = [];
  #pendingBytes = 0;
  #slab = new Uint8Array(0);
  #from = 0;
  #at = 0;
  readonly #flush = (): void => this.#write();

  constructor(
    open: (read: SharedReader) => Duplex,
    transport: StreamTransport,
    dialled: Peer | undefined,
    from: string,
    doubt: Doubt | undefined,
  ) {
    const socket = open(({ buffer, byteOffset }, length) =>
      this.#data(Buffer.from(buffer, byteOffset, length)),
    );
    this.socket = socket;
    this.#transport = transport;
    this.dialled = dialled;
    this.from = from;
    this.doubt = doubt;
    const closed = Promise.withResolvers<void>();
    this.closed = closed.promise;
    socket.on("end", () => this.end("the other side ended the connection"));
    socket.on("error", (error) => {
      this.#error = textOf(error);
    });
    socket.on("close", () => {
      this.end(this.#error ?? "the connection was lost");
      clearTimeout(this.#timer);
      transport.closed(this);
      closed.resolve();
    });
  }

  /** Sets the one timer that a handshake has. */
  arm(afterMs: number, expired: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(expired, afterMs);
  }

  /** The handshake is done. */
  begin(peer: Peer, incarnation: number): void {
    clearTimeout(this.#timer);
    this.#greeting = undefined;
    this.peer = peer;
    this.incarnation = incarnation;
    this.phase = "up";
  }

  /** Cuts the connection. */
  end(reason: string): void {
    if (this.phase === "ended") return;
    this.phase = "ended";
    clearTimeout(this.#timer);
    this.socket.destroy();
    this.#transport.ended(this, reason);
  }

  /** Cuts the connection, and tells nobody. What has not left is dropped. */
  abort(): void {
    this.phase = "ended";
    clearTimeout(this.#timer);
    this.socket.destroy();
  }

  /** Says why not, and leaves the other side a moment to read it. */
  refuse(answer: Uint8Array): void {
    if (this.phase === "ended") return;
    this.phase = "ended";
    this.socket.end(answer);
    this.arm(CLOSE_TIMEOUT_MS, () => this.socket.destroy());
  }

  /** Lets what was sent leave, then ends; tells nothing any more. */
  finish(): void {
    if (this.phase === "up") {
      this.#write();
      this.socket.end();
    } else this.socket.destroy();
    this.phase = "ended";
    clearTimeout(this.#timer);
  }

  get buffered(): number {
    return this.#pendingBytes + this.socket.writableLength;
  }

  send(frame: Frame): boolean {
    const size = frame.length;
    if (this.buffered + size + LENGTH_BYTES > this.#transport.maxBufferedBytes) return false;
    if (size > SMALL_FRAME_BYTES) {
      this.#reserve(LENGTH_BYTES);
      this.#putLength(size);
      this.#cutSlab();
      this.#chunks.push(frame);
    } else {
      this.#reserve(LENGTH_BYTES + size);
      this.#putLength(size);
      this.#slab.set(frame, this.#at);
      this.#at += size;
    }
    this.#put(size + LENGTH_BYTES);
    return true;
  }

  /** Asks whether the other side is there; `answered` follows if it is. */
  ask(): void {
    this.#asked = true;
    this.#control(ARE_YOU_THERE);
  }

  #control(word: number): void {
    if (this.buffered + LENGTH_BYTES > this.#transport.maxBufferedBytes) return;
    this.#reserve(LENGTH_BYTES);
    this.#putLength(word);
    this.#put(LENGTH_BYTES);
  }

  /** Makes sure that the slab has room for so much in one piece. */
  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#slab.length) return;
    this.#cutSlab();
    // Not the old one again: what was cut from it may not have left yet.
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#from = 0;
    this.#at = 0;
  }

  #putLength(length: number): void {
    const slab = this.#slab;
    slab[this.#at++] = length;
    slab[this.#at++] = length >>> 8;
    slab[this.#at++] = length >>> 16;
    slab[this.#at++] = length >>> 24;
  }

  #cutSlab(): void {
    if (this.#at === this.#from) return;
    this.#chunks.push(this.#slab.subarray(this.#from, this.#at));
    this.#from = this.#at;
  }

  #put(bytes: number): void {
    // After everything that the current callback does, and before any other.
    if (this.#pendingBytes === 0) process.nextTick(this.#flush);
    this.#pendingBytes += bytes;
    if (this.#pendingBytes >= FLUSH_BYTES) this.#write();
  }

  /** Hands over everything to the system in one `writev`. */
  #write(): void {
    if (this.#pendingBytes === 0 || this.phase !== "up") return;
    this.#cutSlab();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#pendingBytes = 0;
    this.socket.cork();
    for (const chunk of chunks) this.socket.write(chunk);
    this.socket.uncork();
  }

  #data(chunk: Buffer): void {
    switch (this.phase) {
      case "up":
        this.heard = true;
        if (this.#asked) {
          this.#asked = false;
          this.#transport.answered(this);
        }
        this.#read(chunk);
        break;
      case "greeting":
        this.#readGreeting(chunk);
        break;
      case "waiting":
        this.#transport.nonsense(this, "more than a hello");
        break;
      case "ended":
        break;
    }
  }

  #readGreeting(chunk: Buffer): void {
    const bytes = this.#greeting as Buffer;
    let at = 0;
    while (this.#greetingHave < this.#greetingSize) {
      if (at === chunk.length) return;
      const more = chunk.copy(
        bytes,
        this.#greetingHave,
        at,
        at + this.#greetingSize - this.#greetingHave,
      );
      at += more;
      this.#greetingHave += more;
      const known = Math.min(this.#greetingHave, MAGIC.length);
      if (MAGIC.compare(bytes, 0, known, 0, known) !== 0) {
        this.#transport.nonsense(this, beginning(bytes.subarray(0, this.#greetingHave)));
        return;
      }
      if (this.#greetingHave === GREETING_HEAD_BYTES)
        this.#greetingSize += bytes.readUInt16LE(MAGIC.length + 2);
      if (this.#greetingSize > bytes.length) {
        this.#transport.nonsense(this, `a greeting of ${this.#greetingSize} bytes`);
        return;
      }
    }
    const body = parseObject(bytes.toString("utf8", GREETING_HEAD_BYTES, this.#greetingSize));
    if (body === undefined) this.#transport.nonsense(this, "its greeting is not JSON");
    else if (!this.dialled && at < chunk.length)
      this.#transport.nonsense(this, "more than a hello");
    else {
      this.#transport.greeted(this, bytes.readUInt16LE(MAGIC.length), body);
      // Frames may follow the welcome at once.
      if (at < chunk.length) this.#data(chunk.subarray(at));
    }
  }

  /** Cuts frames out of what came in. */
  #read(chunk: Buffer): void {
    const end = chunk.length;
    let at = 0;
    while (this.phase === "up") {
      if (this.#lengthHave < LENGTH_BYTES) {
        if (this.#lengthHave === 0 && end - at >= LENGTH_BYTES) {
          this.#length = chunk.readUInt32LE(at);
          this.#lengthHave = LENGTH_BYTES;
          at += LENGTH_BYTES;
        } else if (at < end) {
          const byte = chunk[at++] as number;
          this.#length = (this.#length | (byte << (8 * this.#lengthHave++))) >>> 0;
          continue;
        } else return;
      }
      const size = this.#length;
      if (size > this.#transport.maxFrameBytes) this.#beyond(size);
      else if (this.#bodyHave === 0 && end - at >= size) {
        this.#next();
        at += size;
        // No part of the Buffer, which would be one too: whoever wants a copy of it asks for a slice.
        this.#transport.frame(
          this,
          new Uint8Array(chunk.buffer, chunk.byteOffset + at - size, size),
        );
      } else if (at < end) {
        const more = Math.min(size - this.#bodyHave, end - at);
        const body = this.#room(this.#bodyHave + more, size);
        body.set(chunk.subarray(at, at + more), this.#bodyHave);
        at += more;
        this.#bodyHave += more;
        if (this.#bodyHave === size) {
          this.#next();
          this.#transport.frame(this, body.subarray(0, size));
          if (body.length > ROOM_AT_ONCE_BYTES) this.#body = NO_BYTES;
        }
      } else return;
    }
  }

  /** Forgets the frame that is complete. */
  #next(): void {
    this.#lengthHave = 0;
    this.#length = 0;
    this.#bodyHave = 0;
  }

  /** A length that no frame may have. */
  #beyond(length: number): void {
    if (length === ARE_YOU_THERE) this.#control(I_AM_HERE);
    else if (length !== I_AM_HERE) {
      this.#transport.tooLarge(this, length);
      return;
    }
    this.#next();
  }

  /** A buffer for the first `needed` bytes of a frame of `size`. */
  #room(needed: number, size: number): Uint8Array {
    const body = this.#body;
    if (body.length >= needed) return body;
    // What is announced is not believed: beyond a first helping, room doubles only as it is filled.
    const room = Math.min(size, Math.max(needed, 2 * body.length, ROOM_AT_ONCE_BYTES));
    const grown = new Uint8Array(room);
    grown.set(body.subarray(0, this.#bodyHave));
    this.#body = grown;
    return grown;
  }
}

/** The bytes of a greeting. */
function greeting(body: object): Buffer {
  const text = Buffer.from(JSON.stringify(body));
  const bytes = Buffer.alloc(GREETING_HEAD_BYTES + text.length);
  MAGIC.copy(bytes);
  bytes.writeUInt16LE(PROTOCOL_VERSION, MAGIC.length);
  bytes.writeUInt16LE(text.length, MAGIC.length + 2);
  text.copy(bytes, GREETING_HEAD_BYTES);
  return bytes;
}

/** The greeting of somebody who refuses. */
export function refusalOf(
  code: ErrorCode,
  reason: string,
  more: { epoch?: number | undefined } = {},
): Uint8Array {
  return greeting({ refuse: { code, reason, ...more } });
}

function isHello(body: unknown): body is Hello {
  const { system, process, to, incarnation, epoch } = body as Partial<Record<keyof Hello, unknown>>;
  return (
    typeof system === "string" &&
    isProcessId(process) &&
    isProcessId(to) &&
    isWhole(incarnation, 1, 2 ** 32 - 1) &&
    isWhole(epoch, 0, Number.MAX_SAFE_INTEGER)
  );
}

/** True for a refusal that says which other epoch the listener lives in. */
function isOtherEpoch(
  refuse: Record<string, unknown>,
  identity: TransportIdentity,
): refuse is { readonly epoch: number } {
  const { code, epoch } = refuse;
  return (
    code === "EPOCH_MISMATCH" &&
    isWhole(epoch, 0, Number.MAX_SAFE_INTEGER) &&
    epoch !== identity.epoch
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** The object that the text holds as JSON, if it does. */
function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** What somebody says who says no greeting. */
function beginning(bytes: Buffer): string {
  const [type, version] = bytes;
  if (version === 3 && type === 22)
    return "it speaks TLS, and this process was given no certificates";
  if (version === 3 && type === 21) return "it answers with an alert of TLS: it wants certificates";
  return `it begins with "${tidy(bytes.toString("latin1", 0, 16))}"`;
}

/** Text that a stranger chose, fit to be shown. */
export function tidy(text: unknown, most = 64): string {
  // Not `String(text)`: an object that came as JSON may have a `toString` of its own.
  const words = typeof text === "string" ? text : typeof text;
  return words.slice(0, most).replaceAll(/\p{C}/gu, "?");
}

/** Who is at the other end, as far as that is known. */
function nameOf({ peer, from }: Connection): string {
  return peer?.id ?? from;
}
