/**
 * Frames between processes that live inside one Node process: for tests, examples and tools that want a whole
 * system without a network.
 *
 * Theory of operation. A network keeps the members that are open, in the order they were opened, and
 * introduces every two of them to each other with the same checks that the TCP handshake makes. What a
 * member is to be told of a peer (up, frames, down, a problem) waits in one queue per peer, so it is told
 * in order. Queues are emptied from `setImmediate`, never from inside `send`, some from each in turn: a
 * busy pair of processes does not keep the others, or the sockets of this Node process, waiting.
 * Who goes to a later epoch leaves the network and joins it again: it forgets what waited for it and for which it had been
 * introduced, so a frame of its old life finds no way to it. What it had sent lies with the others already, before the
 * news that it has gone, and is theirs for as long as they stay in that epoch.
 * A frame is copied when it is sent, and the copy written over once it was handed over: whoever keeps what is only lent
 * finds out here, and not under load.
 */

import { type ErrorCode, TidemarkError } from "../core/error.ts";
import { checkProcessId, type ProcessId } from "../core/id.ts";
import { copyOf } from "../core/record.ts";
import {
  advancedIdentity,
  behind,
  checkFrameSize,
  checkIdentity,
  checkWhole,
  type Frame,
  LaterEpochs,
  type Transport,
  type TransportEvents,
  type TransportGuarantees,
  type TransportIdentity,
} from "./transport.ts";

const WRITTEN_OVER = 0xee;

/** What `new MemoryNetwork` takes. */
export interface MemoryOptions {
  /**
   * The largest frame that is carried, in bytes, up to 2^30.
   * @default 16_777_216
   */
  readonly maxFrameBytes?: number;
  /**
   * The most that may be waiting for one peer, in bytes, counting 64 more for each frame; beyond it
   * `send` gives false. It must have room for one frame.
   * @default 67_108_864
   */
  readonly maxBufferedBytes?: number;
}

/** What a frame that waits costs beside its bytes, about: so many empty frames are bounded, too. */
const FRAME_OVERHEAD_BYTES = 64;
/** So many are told from one queue before it is the next one's turn. */
const TOLD_AT_ONCE = 256;

/**
 * A network inside this Node process. Every transport made by it reaches every other that is open, without
 * being connected; the address of each is the id of its process.
 *
 * @example
 * ```ts
 * import { MemoryNetwork } from "tidemark";
 * const network = new MemoryNetwork();
 * const [a, b] = [network.transport(), network.transport()];
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
export class MemoryNetwork {
  readonly #hub: Hub;

  /** @throws TidemarkError `BAD_OPTION` */
  constructor(options: MemoryOptions = {}) {
    this.#hub = new Hub(options);
  }

  /** A new transport of this network, for one process. */
  transport(): Transport {
    return new MemoryTransport(this.#hub);
  }
}

/** What a transport is to be told about a peer: a frame, or anything else. */
type News =
  | Frame
  | { readonly up: MemoryTransport; readonly incarnation: number }
  | { readonly down: string }
  | { readonly problem: TidemarkError }
  | { readonly laterEpoch: number };

/** Where the transports of a network meet. */
class Hub {
  readonly maxFrameBytes: number;
  readonly maxBufferedBytes: number;
  readonly #members = new Set<MemoryTransport>();
  /** Queues that have something in them. */
  readonly #busy = new Set<Queue>();
  /** Members that have something to hear before all else. */
  readonly #advanced = new Set<MemoryTransport>();
  #scheduled: boolean = false;

  constructor(options: MemoryOptions) {
    const { maxFrameBytes = 16_777_216, maxBufferedBytes = 67_108_864 } = options;
    this.maxFrameBytes = checkWhole("maxFrameBytes", maxFrameBytes, 1, 2 ** 30);
    this.maxBufferedBytes = checkWhole(
      "maxBufferedBytes",
      maxBufferedBytes,
      maxFrameBytes + FRAME_OVERHEAD_BYTES,
      Number.MAX_SAFE_INTEGER,
    );
  }

  join(member: MemoryTransport): void {
    for (const other of this.#members) this.#introduce(member, other);
    this.#members.add(member);
  }

  advance(member: MemoryTransport, leave: () => void): void {
    this.leave(member, "went to a later epoch");
    leave();
    this.#advanced.add(member);
    this.#schedule();
    this.join(member);
  }

  leave(member: MemoryTransport, how: string): void {
    this.#members.delete(member);
    const { self } = member.identity;
    for (const peer of member.introduced.values()) {
      peer.introduced.delete(self);
      // Behind the frames that it sent.
      this.tell(peer.queue(self), { down: `${self} ${how}` });
      // A second process with that id may have been waiting for this.
      for (const other of this.#members)
        if (other.identity.self === self) this.#introduce(other, peer);
    }
  }

  /** Has two members know each other, or the one that was there first refuse the other. */
  #introduce(newer: MemoryTransport, older: MemoryTransport): void {
    const { system, self, epoch } = newer.identity;
    const there = older.identity;
    if (self === there.self) return;
    if (system !== there.system) {
      const reason = `${self} is of the system "${system}", and ${there.self} of "${there.system}"`;
      this.#refuse(older, newer, "STRANGER", reason);
    } else if (epoch !== there.epoch) {
      const [ahead, late] = epoch > there.epoch ? [newer, older] : [older, newer];
      const { self: name, epoch: lateEpoch } = late.identity;
      const problem = new TidemarkError("EPOCH_MISMATCH", behind(name, lateEpoch, ahead.identity));
      this.tell(ahead.queue(name), { problem });
      this.tell(late.queue(ahead.identity.self), { laterEpoch: ahead.identity.epoch });
    } else if (older.introduced.has(self)) this.#refuseSecond(older, newer);
    else if (newer.introduced.has(there.self)) this.#refuseSecond(newer, older);
    else {
      newer.introduced.set(there.self, older);
      older.introduced.set(self, newer);
      this.tell(newer.queue(there.self), { up: older, incarnation: there.incarnation });
      this.tell(older.queue(self), { up: newer, incarnation: newer.identity.incarnation });
    }
  }

  #refuseSecond(by: MemoryTransport, refused: MemoryTransport): void {
    const { self } = refused.identity;
    const reason = `${self} is connected to ${by.identity.self} already and alive; a second process has that id`;
    this.#refuse(by, refused, "DUPLICATE_ID", reason);
  }

  #refuse(by: MemoryTransport, refused: MemoryTransport, code: ErrorCode, reason: string): void {
    const here = by.identity.self;
    const there = refused.identity.self;
    const problem = new TidemarkError(code, `refused a connection from ${there}: ${reason}`);
    const answer = `${here} refused the connection: ${reason} (${code})`;
    this.tell(by.queue(there), { problem });
    this.tell(refused.queue(here), { problem: new TidemarkError("HANDSHAKE_REFUSED", answer) });
  }

  tell(queue: Queue, news: News): void {
    queue.put(news);
    this.#busy.add(queue);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    for (const member of this.#advanced) {
      this.#advanced.delete(member);
      member.tellLeft();
    }
    for (const queue of [...this.#busy]) if (queue.tell(TOLD_AT_ONCE)) this.#busy.delete(queue);
    if (this.#busy.size > 0) this.#schedule();
  };
}

/** What waits to be told to one transport about one peer. */
class Queue {
  readonly #owner: MemoryTransport;
  readonly #peer: ProcessId;
  /** Told from the first to the last; then what has come meanwhile takes its place. */
  #telling: News[] = [];
  #told = 0;
  #coming: News[] = [];
  bytes = 0;

  constructor(owner: MemoryTransport, peer: ProcessId) {
    this.#owner = owner;
    this.#peer = peer;
  }

  put(news: News): void {
    this.#coming.push(news);
    if (news instanceof Uint8Array) this.bytes += news.length + FRAME_OVERHEAD_BYTES;
  }

  clear(): void {
    this.#telling = [];
    this.#told = 0;
    this.#coming = [];
    this.bytes = 0;
  }

  /** Tells so many, or all that there are; true if nothing is left. */
  tell(most: number): boolean {
    for (let i = 0; i < most && !this.#owner.closed; i += 1) {
      if (this.#told === this.#telling.length) {
        this.#telling = this.#coming;
        this.#told = 0;
        this.#coming = [];
      }
      const news = this.#telling[this.#told];
      if (news === undefined) return true;
      this.#told += 1;
      if (news instanceof Uint8Array) this.bytes -= news.length + FRAME_OVERHEAD_BYTES;
      this.#owner.tell(this.#peer, news);
    }
    return this.#owner.closed;
  }
}

class MemoryTransport implements Transport {
  readonly guarantees: TransportGuarantees = { fifo: true, lossless: true, duplicateFree: true };
  /** The peers that are or will be up. */
  readonly introduced = new Map<ProcessId, MemoryTransport>();
  closed: boolean = false;
  readonly #hub: Hub;
  /** The peers that the owner has been told are up. */
  readonly #up = new Map<ProcessId, MemoryTransport>();
  readonly #queues = new Map<ProcessId, Queue>();
  readonly #laterEpochs = new LaterEpochs();
  /** The peers of the epoch before, whose `peerDown` has not been told. */
  #left: ProcessId[] = [];
  #identity: TransportIdentity | undefined;
  #events: TransportEvents | undefined;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  get maxFrameBytes(): number {
    return this.#hub.maxFrameBytes;
  }

  get address(): string | undefined {
    return this.#identity?.self;
  }

  /** Of a transport that is open. */
  get identity(): TransportIdentity {
    return this.#identity as TransportIdentity;
  }

  async open(identity: TransportIdentity, events: TransportEvents): Promise<void> {
    if (this.#identity || this.closed)
      throw new TidemarkError("STOPPED", "a transport is opened once: make a new one");
    this.#identity = checkIdentity(identity);
    this.#events = events;
    this.#hub.join(this);
  }

  /** Every process that is open on the network is a peer already. */
  connect(peer: ProcessId, _address: string): void {
    checkProcessId(peer);
  }

  advance(later: Pick<TransportIdentity, "incarnation" | "epoch">): void {
    const identity = advancedIdentity(this.#identity, later);
    if (this.closed) return;
    this.#hub.advance(this, () => {
      this.#identity = identity;
      this.#left.push(...this.#up.keys());
      this.#up.clear();
      this.introduced.clear();
      this.#laterEpochs.clear();
      for (const queue of this.#queues.values()) queue.clear();
    });
  }

  send(to: ProcessId, frame: Frame): boolean {
    checkFrameSize(to, frame, this.maxFrameBytes);
    const queue = this.#queueAt(to);
    const waiting = (queue?.bytes ?? 0) + frame.length + FRAME_OVERHEAD_BYTES;
    if (queue === undefined || waiting > this.#hub.maxBufferedBytes) return false;
    this.#hub.tell(queue, copyOf(frame));
    return true;
  }

  buffered(to: ProcessId): number {
    return this.#queueAt(to)?.bytes ?? 0;
  }

  /** What was sent is at the other side already: there is nothing to wait for. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    if (this.#identity) this.#hub.leave(this, "closed its transport");
  }

  /** What waits to be told to this transport about a peer. */
  queue(peer: ProcessId): Queue {
    let queue = this.#queues.get(peer);
    if (queue === undefined) {
      queue = new Queue(this, peer);
      this.#queues.set(peer, queue);
    }
    return queue;
  }

  /** Tells that the peers of the epoch before are down. */
  tellLeft(): void {
    const left = this.#left;
    this.#left = [];
    const reason = `${this.identity.self} went to epoch ${this.identity.epoch}`;
    for (const peer of left) if (!this.closed) this.#events?.peerDown(peer, reason);
  }

  tell(peer: ProcessId, news: News): void {
    if (this.#left.length > 0) {
      const { epoch } = this.identity;
      this.tellLeft();
      // The owner may have gone on, or away: then this is no news any more.
      if (this.closed || this.identity.epoch !== epoch) return;
    }
    if (news instanceof Uint8Array) {
      this.#events?.frame(peer, news);
      news.fill(WRITTEN_OVER);
    } else if ("up" in news) {
      this.#up.set(peer, news.up);
      this.#events?.peerUp(peer, news.incarnation);
    } else if ("down" in news) {
      this.#up.delete(peer);
      this.#events?.peerDown(peer, news.down);
    } else if ("problem" in news) this.#events?.problem(news.problem);
    else if (this.#laterEpochs.first(peer, news.laterEpoch))
      this.#events?.laterEpoch(peer, news.laterEpoch);
  }

  /** Where what this process sends to a peer waits, if the peer is up. */
  #queueAt(to: ProcessId): Queue | undefined {
    const peer = this.#up.get(to);
    if (!peer || peer.closed || this.closed) return undefined;
    const { self } = this.identity;
    // It may have gone to another epoch, and this one has not heard of it.
    return peer.introduced.get(self) === this ? peer.queue(self) : undefined;
  }
}
