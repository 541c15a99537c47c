/**
 * What every transport must do, as cases that any test runner can run. They cover what `transport.ts`
 * documents; a transport that guarantees less is held to less, never to nothing.
 *
 * Theory of operation. Each case has a network of its own. Every transport is used through a *witness*,
 * which is its owner: it notes what it is told, and notes as a violation whatever a transport must never do
 * (tell from inside a method or another event, tell anything after `close`, a frame of a peer that is not up …),
 * so all cases watch for that. Nothing waits for a fixed time: a case waits until something holds,
 * and fails when it has waited too long.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { setTimeout as pause } from "node:timers/promises";
import { type ErrorCode, isTidemarkError, type TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { Random } from "../core/random.ts";
import { copyOf } from "../core/record.ts";
import type { ContractCase } from "./contract-case.ts";
import type { Frame, Transport, TransportEvents, TransportIdentity } from "./transport.ts";

/** Where the transports under test reach each other. Each case makes one. */
export interface ContractNetwork {
  /**
   * A new transport, not opened yet, for a process with that id. Asked again for the same id, it is for
   * the process after a restart, or for a second one that claims the id. The case connects them:
   * it gives each the address of the other once both are open.
   */
  transport(id: ProcessId): Transport;
  /** Ends what is there beside the transports; they are closed by then. */
  dispose?(): Promise<void>;
}

/** How patient `transportContract` is. */
export interface TransportContractOptions {
  /**
   * How long a case waits for what must come about, in milliseconds.
   * @default 10_000
   */
  readonly patienceMs?: number;
}

/**
 * The cases that a transport must pass.
 *
 * @example
 * ```ts
 * import { MemoryNetwork } from "tidemark";
 * import { transportContract } from "tidemark/testing";
 * // In a test file, with any runner: for (const { name, run } of cases) test(name, run);
 * const cases = transportContract(() => {
 *   const network = new MemoryNetwork();
 *   return { transport: () => network.transport() };
 * });
 * for (const { run } of cases) await run();
 * ```
 */
export function transportContract(
  make: () => ContractNetwork | Promise<ContractNetwork>,
  options: TransportContractOptions = {},
): readonly ContractCase[] {
  const { patienceMs = 10_000 } = options;
  return Object.entries(CASES).map(([name, body]) => ({
    name,
    async run(): Promise<void> {
      const scene = new Scene(await make(), patienceMs);
      try {
        await body(scene);
      } finally {
        await scene.end();
      }
      scene.check();
    },
  }));
}

const WRITTEN_OVER = 0xee;

const text = (words: string): Frame => new TextEncoder().encode(words);
const same = (a: Frame, b: Frame): boolean => Buffer.compare(a, b) === 0;

const CASES: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  async "processes come up to each other in whatever order they open"(scene) {
    const ids = ["a", "b", "c"];
    for (const order of [ids, ids.toReversed()]) {
      const group = order.map((id, i) => scene.add(id, { incarnation: i + 1 }));
      for (const witness of group) {
        assert.equal(witness.transport.address, undefined, "the address before open");
        await witness.open();
        assert.ok(witness.transport.address, "the address after open");
        scene.connect(group.filter(({ transport }) => transport.address !== undefined));
      }
      await scene.allUp(group);
      for (const witness of group)
        for (const { id, identity } of group)
          if (id !== witness.id) assert.equal(witness.up.get(id), identity.incarnation);
      for (const witness of group) await witness.close();
    }
  },

  async "frames of every size arrive as they were sent"(scene) {
    const [a, b] = await scene.pair();
    const most = a.transport.maxFrameBytes;
    const random = new Random("sizes");
    for (const size of [0, 1, 3, 4, 5, 1_000, 65_535, 65_536, 1_000_000, most]) {
      const frame = new Uint8Array(Math.min(size, most));
      for (let i = 0; i < frame.length; i += 1 + (i >> 4)) frame[i] = random.below(256);
      await scene.reach(a, b, frame);
      await scene.reach(b, a, frame);
    }
  },

  async "what a sender writes over a frame once it has arrived changes nothing"(scene) {
    const [a, b] = await scene.pair();
    const { fifo, lossless } = a.transport.guarantees;
    if (!fifo || !lossless) return;
    const random = new Random("written over");
    for (let value = 0; value < 100; value += 1) {
      const size = random.pick([1, 900, 5_000, 100_000]) ?? 1;
      const frame = new Uint8Array(Math.min(size, a.transport.maxFrameBytes)).fill(value);
      const arrived = b.received(a).length;
      await scene.send(a, b, frame);
      await scene.until(() => b.received(a).length > arrived, "it arrived");
      frame.fill(WRITTEN_OVER);
      if (value % 10 === 9) await pause(20);
    }
    for (const frame of b.received(a))
      assert.ok(
        frame[0] !== WRITTEN_OVER && frame.every((byte) => byte === frame[0]),
        "bytes of a frame were used after it had arrived",
      );
  },

  async "a frame beyond the limit is refused at once"(scene) {
    const [a, b] = await scene.pair();
    const tooLarge = new Uint8Array(a.transport.maxFrameBytes + 1);
    for (const to of ["b", "nobody"])
      assert.throws(() => a.send(to, tooLarge), withCode("MESSAGE_TOO_LARGE"));
    await scene.reach(a, b, text("the connection has not suffered"));
  },

  async "order, completeness and uniqueness are as guaranteed"(scene) {
    const count = 400;
    const group = await scene.start(["a", "b", "c"]);
    const frames = someFrames(count, Math.min(100_000, group[0]?.transport.maxFrameBytes ?? 0));
    const pairs = group.flatMap((from) =>
      group.filter((to) => to !== from).map((to) => ({ from, to })),
    );
    for (const [i, frame] of frames.entries()) {
      for (const { from, to } of pairs) await scene.send(from, to, frame);
      if (i % 20 === 19) await pause(0);
    }
    for (const { from, to } of pairs) {
      const { fifo, lossless, duplicateFree } = from.transport.guarantees;
      const most = lossless ? count : count / 10;
      const seen = (): Set<number> => new Set(to.received(from).map(indexOf));
      await scene.until(() => seen().size >= most, `${from.id} → ${to.id}: ${most} frames arrived`);
      await scene.reach(from, to, text("last"));
      const all = to.received(from).filter((frame) => !same(frame, text("last")));
      for (const frame of all)
        assert.ok(same(frame, frames[indexOf(frame)] ?? text("")), "a frame that was never sent");
      if (duplicateFree) assert.equal(all.length, seen().size - 1, "a frame arrived twice");
      const first = [...new Set(all.map(indexOf))];
      if (fifo)
        assert.deepEqual(
          first,
          first.toSorted((x, y) => x - y),
          "out of order",
        );
    }
  },

  async "an answer can be sent from inside an event"(scene) {
    const [a, b] = await scene.pair();
    if (!a.transport.guarantees.lossless) return;
    const rounds = 200;
    const back = (witness: Witness) => (peer: ProcessId, frame: Frame) => {
      const round = (frame[0] ?? 0) + 1;
      if (round < rounds) witness.send(peer, Uint8Array.of(round));
    };
    a.onFrame = back(a);
    b.onFrame = back(b);
    await scene.send(a, b, Uint8Array.of(0));
    await scene.until(() => b.received(a).length + a.received(b).length >= rounds, "all answers");
  },

  async "what is sent from inside peerUp arrives"(scene) {
    const a = scene.add("a");
    const b = scene.add("b");
    if (!a.transport.guarantees.lossless) return;
    a.onUp = (peer) => a.send(peer, text("first"));
    b.onUp = (peer) => b.send(peer, text("first"));
    await Promise.all([a.open(), b.open()]);
    scene.connect([a, b]);
    await scene.until(() => a.received(b).length + b.received(a).length === 2, "both first frames");
  },

  async "sending to a peer that is unknown, or not up, gives false"(scene) {
    const [a, b] = await scene.pair();
    assert.equal(a.send("nobody", text("x")), false);
    assert.equal(a.transport.buffered("nobody"), 0);
    assert.equal(scene.add("c").send("a", text("x")), false, "before open");
    await b.close();
    await scene.until(() => a.downs.includes("b"), "a was told that b is down");
    assert.equal(a.send("b", text("x")), false, "after peerDown");
    assert.equal(a.transport.buffered("b"), 0);
  },

  async "buffered goes back to nothing when what was sent has left"(scene) {
    const [a, b] = await scene.pair();
    for (let i = 0; i < 20; i += 1) await scene.send(a, b, new Uint8Array(10_000));
    await scene.until(() => a.transport.buffered("b") === 0, "nothing is left to send");
  },

  async "connecting again changes nothing"(scene) {
    const [a, b] = await scene.pair();
    for (let i = 0; i < 3; i += 1) scene.connect([a, b]);
    a.transport.connect("a", a.transport.address ?? "");
    assert.throws(() => a.transport.connect("not an id", "x"), withCode("BAD_ID"));
    await scene.reach(a, b, text("x"));
    await scene.reach(b, a, text("x"));
    assert.deepEqual([a.downs, b.downs], [[], []]);
    assert.equal(a.up.has("a"), false, "a process is no peer of its own");
  },

  async "close lets what was sent leave, then peers are told"(scene) {
    const [a, b] = await scene.pair();
    const frames = someFrames(100, Math.min(20_000, a.transport.maxFrameBytes));
    for (const frame of frames) await scene.send(a, b, frame);
    const closed = a.close();
    await scene.until(() => b.downs.includes("a"), "b was told that a is down");
    await closed;
    const arrived = new Set(b.received(a).map(indexOf));
    if (a.transport.guarantees.lossless) assert.equal(arrived.size, frames.length);
  },

  async "nothing comes after close, and closing again is no change"(scene) {
    const [a, b] = await scene.pair();
    const c = scene.add("c");
    await c.open();
    scene.connect([b, c]);
    await scene.allUp([b, c]);
    await Promise.all([a.close(), a.close()]);
    await a.close();
    // Frames to it and a going peer would be told; that others go on shows that time has passed.
    b.send("a", text("too late"));
    await scene.reach(b, c, text("x"));
    await b.close();
    await scene.until(() => c.downs.includes("b"), "c was told that b is down");
    assert.equal(a.send("b", text("x")), false);
    await scene.add("d").close();
  },

  async "a process that comes back is up again, with its new incarnation"(scene) {
    const [a, b] = await scene.pair();
    let last: Witness = b;
    for (const incarnation of [2, 3]) {
      await last.close();
      last = scene.add("b", { incarnation });
      await last.open();
      scene.connect([a, last]);
      await scene.until(() => a.up.get("b") === incarnation, `incarnation ${incarnation} is up`);
      await scene.until(() => last.up.get("a") === 1, "and a is up to it");
      await scene.reach(a, last, text(`to ${incarnation}`));
      await scene.reach(last, a, text(`from ${incarnation}`));
    }
    assert.deepEqual(a.downs, ["b", "b"]);
  },

  async "a second process with the same id is refused, with the reason on both sides"(scene) {
    const [a, b] = await scene.pair();
    const second = scene.add("a", { incarnation: 2 });
    await second.open();
    second.transport.connect("b", b.transport.address ?? "");
    await scene.refused(b, second, "DUPLICATE_ID");
    assert.equal(b.up.get("a"), a.identity.incarnation);
    assert.deepEqual(b.downs, []);
    await scene.reach(a, b, text("the first one goes on"));
    await scene.reach(b, a, text("the first one goes on"));
    assert.equal(second.received(b).length, 0);
  },

  async "a process of another system is refused, with the reason on both sides"(scene) {
    await scene.apart({ system: "another" }, "STRANGER");
  },

  async "of two processes of different epochs the older one learns the later one, whichever dials"(
    scene,
  ) {
    for (const [olderId, newerId] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      const older = scene.add(olderId, { epoch: 3 });
      const newer = scene.add(newerId, { epoch: 5 });
      await Promise.all([older.open(), newer.open()]);
      scene.connect([older, newer]);
      await scene.until(() => older.isTold(newer), `${olderId} is told of epoch 5`);
      await scene.until(() => newer.complainsOf(older), `${newerId} is told who is behind`);
      assert.deepEqual([older.up.size, newer.up.size, newer.laterEpochs], [0, 0, []]);
      await Promise.all([older.close(), newer.close()]);
    }
  },

  async "whoever advances is down for its peers, and up again in that epoch as a new incarnation"(
    scene,
  ) {
    const group = await scene.start(["a", "b", "c"]);
    for (const one of group) {
      const others = group.filter((other) => other !== one);
      one.advance();
      for (const { id } of others) {
        assert.equal(one.send(id, text("too early")), false, "send after advance");
        assert.equal(one.transport.buffered(id), 0);
      }
      for (const other of others) {
        if (other.identity.epoch === 1) continue;
        await scene.until(() => other.isTold(one), `${other.id} is told by ${one.id}`);
        // What it is told of a later epoch may come before it is told that the peer is down.
        await scene.until(() => !other.up.has(one.id), `${one.id} is down for ${other.id}`);
        await scene.until(() => one.complainsOf(other), `${one.id} is told of ${other.id}`);
      }
    }
    await scene.met(group);
    for (const from of group)
      for (const to of group) if (from !== to) await scene.reach(from, to, text("again"));
  },

  async "who advances and is still behind is told again"(scene) {
    const [a, b] = [scene.add("a"), scene.add("b", { epoch: 3 })];
    await Promise.all([a.open(), b.open()]);
    scene.connect([a, b]);
    for (let epoch = 0; epoch < 3; epoch += 1) {
      await scene.until(() => a.laterEpochs.length > epoch, `a is told in epoch ${epoch}`);
      a.advance();
    }
    await scene.met([a, b]);
    assert.deepEqual(a.laterEpochs, Array(3).fill(["b", 3]));
  },

  async "two that advance again and again, at the same moment, meet in the last epoch"(scene) {
    const [a, b] = await scene.pair();
    for (let round = 0; round < 20; round += 1) {
      const [first, second] = round % 2 === 0 ? [a, b] : [b, a];
      for (let more = round % 3; more >= 0; more -= 1) first.advance();
      second.advance({ epoch: first.identity.epoch });
      await scene.met([a, b]);
      await scene.reach(a, b, text(`${round} →`));
      await scene.reach(b, a, text(`${round} ←`));
    }
  },

  async "no frame of an old life arrives in a later epoch"(scene) {
    const [a, b] = await scene.pair();
    const random = new Random("lives");
    const most = Math.min(50_000, a.transport.maxFrameBytes);
    const stamped = (from: Witness): Frame => {
      const frame = new Uint8Array(random.between(4, random.pick([100, most]) ?? 4));
      new DataView(frame.buffer).setUint32(0, from.identity.epoch);
      return frame;
    };
    const epochOf = ({ buffer, byteOffset }: Frame) =>
      new DataView(buffer, byteOffset).getUint32(0);
    let came = 0;
    for (const one of [a, b])
      one.onFrame = (_, frame) => {
        came += 1;
        const { epoch } = one.identity;
        if (epochOf(frame) !== epoch)
          one.violations.push(`${one.id} got a frame of epoch ${epochOf(frame)} in epoch ${epoch}`);
      };
    const flood = (count: number): void => {
      for (let i = 0; i < count; i += 1) {
        a.send(b.id, stamped(a));
        b.send(a.id, stamped(b));
      }
    };
    for (let round = 0; round < 30; round += 1) {
      const both = random.chance(0.5) ? [a, b] : [b, a];
      flood(30);
      for (const one of both) {
        if (random.chance(0.7)) await pause(random.pick([0, 1, 10]) ?? 0);
        one.advance();
        flood(10);
      }
      await scene.met([a, b]);
      await scene.reach(a, b, stamped(a));
      await scene.reach(b, a, stamped(b));
    }
    assert.ok(came > 100, "hardly any frame came at all");
  },

  async "a process can advance from inside an event, and what comes after is of the later epoch"(
    scene,
  ) {
    const group = await scene.start(["a", "b", "c"]);
    const [a, b, c] = group as readonly [Witness, Witness, Witness];
    for (const one of group)
      one.onLaterEpoch = (_, epoch) => {
        if (epoch > one.identity.epoch) one.advance({ epoch });
      };
    b.onFrame = () => {
      if (b.identity.epoch === 0) b.advance();
    };
    for (let i = 0; i < 100; i += 1) a.send("b", text("go on"));
    await scene.until(() => group.every(({ identity }) => identity.epoch === 1), "all follow b");
    await scene.met(group);
    assert.equal(b.received(a).length, 1, "a frame came after that in which b advanced");
    c.onDown = () => {
      if (c.identity.epoch === 1) c.advance();
    };
    a.advance();
    await scene.until(() => group.every(({ identity }) => identity.epoch === 2), "all follow c");
    await scene.met(group);
    await scene.reach(b, c, text("x"));
  },

  async "a process that was away while others advanced is told when it comes back"(scene) {
    const [a, b, c] = (await scene.start(["a", "b", "c"])) as [Witness, Witness, Witness];
    await b.close();
    await scene.until(() => [a, c].every(({ downs }) => downs.includes("b")), "b is down");
    for (const one of [a, c]) one.advance();
    await scene.met([a, c]);
    const again = scene.add("b", { incarnation: 2 });
    await again.open();
    scene.connect([a, again, c]);
    for (const one of [a, c]) {
      await scene.until(() => again.isTold(one), `b is told by ${one.id}`);
      await scene.until(() => one.complainsOf(again), `${one.id} is told of b`);
    }
    assert.equal(again.up.size, 0);
    again.advance();
    await scene.met([a, again, c]);
    await scene.reach(a, again, text("x"));
    await scene.reach(again, c, text("x"));
  },

  async "an epoch that is not later, or an incarnation that is not new, changes nothing"(scene) {
    const group = [scene.add("a", { epoch: 3 }), scene.add("b", { epoch: 3 })] as const;
    const [a, b] = group;
    await Promise.all(group.map((one) => one.open()));
    scene.connect(group);
    await scene.met(group);
    for (const part of [
      ...[3, 2, 0, -1, 3.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53].map((epoch) => ({
        epoch,
      })),
      ...[1, 0, -1, 1.5, 2 ** 32].map((incarnation) => ({ incarnation })),
    ])
      assert.throws(() => a.advance(part), withCode("BAD_OPTION"), JSON.stringify(part));
    await scene.reach(a, b, text("it goes on"));
    await scene.reach(b, a, text("it goes on"));
    assert.deepEqual([a.downs, b.downs], [[], []]);
  },

  async "advance is refused before open, taken during it, and no change after close"(scene) {
    const a = scene.add("a");
    assert.throws(() => a.advance(), withCode("STOPPED"));
    const opened = a.open();
    a.advance();
    await opened;
    const b = scene.add("b", { epoch: 1 });
    await b.open();
    scene.connect([a, b]);
    await scene.met([a, b]);
    const closed = b.close();
    b.advance();
    await closed;
    b.advance();
    await scene.until(() => a.downs.includes("b"), "a was told that b is down");
    assert.equal(b.send("a", text("x")), false);
    // What is told late is told by then.
    const c = scene.add("c", { epoch: 1 });
    await c.open();
    scene.connect([a, c]);
    await scene.met([a, c]);
  },

  async "closing right after advance tells nothing any more"(scene) {
    const [a, b] = await scene.pair();
    a.advance();
    await a.close();
    await scene.until(() => b.downs.includes("a"), "b was told that a is down");
  },

  async "an identity that is not well formed cannot be opened"(scene) {
    const cases: readonly [Partial<TransportIdentity>, ErrorCode][] = [
      [{ self: "not an id" }, "BAD_ID"],
      [{ system: "" }, "BAD_OPTION"],
      [{ incarnation: 0 }, "BAD_OPTION"],
      [{ incarnation: 2 ** 32 }, "BAD_OPTION"],
      [{ epoch: -1 }, "BAD_OPTION"],
      [{ epoch: 0.5 }, "BAD_OPTION"],
    ];
    for (const [part, code] of cases)
      await assert.rejects(scene.add("a", part).open(), withCode(code), JSON.stringify(part));
  },

  async "a transport is opened once"(scene) {
    const a = scene.add("a");
    await a.open();
    await assert.rejects(a.open(), withCode("STOPPED"));
    await a.close();
    await assert.rejects(a.open(), withCode("STOPPED"));
  },
};

const withCode =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isTidemarkError(error, code);

/**
 * Frames that tell their index, of many sizes up to `most` (at least 4 bytes). They lie in one buffer, at
 * odd places, as a sender's frames may.
 */
function someFrames(count: number, most: number): Frame[] {
  const random = new Random("frames");
  const sizes = Array.from({ length: count }, () => {
    const limit = random.pick([10, 200, 2_000, most]) ?? most;
    return Math.min(most, random.between(4, Math.max(4, limit)));
  });
  const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size + 1, 0));
  let at = 0;
  return sizes.map((size, index) => {
    const frame = bytes.subarray(at + 1, at + 1 + size);
    at += size + 1;
    frame.fill(index);
    new DataView(frame.buffer, frame.byteOffset, 4).setUint32(0, index, true);
    return frame;
  });
}

/** The index that one of `someFrames` tells; -1 for a frame that is too short. */
function indexOf(frame: Frame): number {
  if (frame.length < 4) return -1;
  return new DataView(frame.buffer, frame.byteOffset, 4).getUint32(0, true);
}

/** The owner of one transport: it notes everything, above all what must not happen. */
class Witness implements TransportEvents {
  readonly id: ProcessId;
  identity: TransportIdentity;
  readonly transport: Transport;
  /** The peers that are up, with their incarnations. */
  readonly up = new Map<ProcessId, number>();
  readonly downs: ProcessId[] = [];
  readonly problems: TidemarkError[] = [];
  readonly laterEpochs: (readonly [peer: ProcessId, epoch: number])[] = [];
  readonly violations: string[] = [];
  onDown: ((peer: ProcessId) => void) | undefined;
  onLaterEpoch: ((peer: ProcessId, epoch: number) => void) | undefined;
  onUp: ((peer: ProcessId) => void) | undefined;
  onFrame: ((peer: ProcessId, frame: Frame) => void) | undefined;
  readonly #frames = new Map<ProcessId, Frame[]>();
  /** The method or event that is under way. */
  #inside: string | undefined;
  #closed: boolean = false;
  /** Peers that were up in the epoch before and have not been told to be down. */
  readonly #left = new Set<ProcessId>();
  /** Which later epochs it has been told of in this one. */
  readonly #later = new Set<string>();

  constructor(identity: TransportIdentity, transport: Transport) {
    this.id = identity.self;
    this.identity = identity;
    this.transport = transport;
  }

  open(): Promise<void> {
    return this.#within("open", () => this.transport.open(this.identity, this));
  }

  connect(to: Witness): void {
    this.#within("connect", () => this.transport.connect(to.id, to.transport.address ?? ""));
  }

  send(to: ProcessId, frame: Frame): boolean {
    return this.#within("send", () => this.transport.send(to, frame));
  }

  /** Goes to the next epoch, or the one given. */
  advance(part: Partial<TransportIdentity> = {}): void {
    const { incarnation, epoch } = this.identity;
    const later = { incarnation: incarnation + 1, epoch: epoch + 1, ...part };
    this.#within("advance", () => this.transport.advance(later));
    this.identity = { ...this.identity, ...later };
    for (const peer of this.up.keys()) this.#left.add(peer);
    this.#later.clear();
  }

  /** It has heard from the other that there is a later epoch, namely the other's. */
  isTold(newer: Witness): boolean {
    const { epoch } = newer.identity;
    return this.laterEpochs.some(([peer, later]) => peer === newer.id && later === epoch);
  }

  /** It has heard that the other is behind. */
  complainsOf(older: Witness): boolean {
    const name = new RegExp(`\\b${older.id}\\b`);
    return this.problems.some(
      ({ code, message }) => code === "EPOCH_MISMATCH" && name.test(message),
    );
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#within("close", () => this.transport.close());
  }

  /** What came from a peer, in order. */
  received(from: Witness): readonly Frame[] {
    return this.#frames.get(from.id) ?? [];
  }

  peerUp(peer: ProcessId, incarnation: number): void {
    this.#event("peerUp", () => {
      if (this.up.has(peer)) this.#violation(`was told twice that ${peer} is up`);
      this.up.set(peer, incarnation);
      this.onUp?.(peer);
    });
  }

  peerDown(peer: ProcessId, reason: string): void {
    this.#event("peerDown", () => {
      if (!this.up.delete(peer)) this.#violation(`was told that ${peer} is down, which was not up`);
      if (reason === "") this.#violation(`was not told why ${peer} is down`);
      this.downs.push(peer);
      this.#left.delete(peer);
      this.onDown?.(peer);
    });
  }

  frame(peer: ProcessId, frame: Frame): void {
    this.#event("frame", () => {
      if (!this.up.has(peer)) this.#violation(`was given a frame of ${peer}, which is not up`);
      if (Buffer.isBuffer(frame)) this.#violation("was given a Buffer, whose slice is no copy");
      const frames = this.#frames.get(peer) ?? [];
      frames.push(copyOf(frame));
      this.#frames.set(peer, frames);
      this.onFrame?.(peer, frame);
    });
  }

  problem(error: TidemarkError): void {
    this.#event("problem", () => this.problems.push(error));
  }

  laterEpoch(peer: ProcessId, epoch: number): void {
    this.#event("laterEpoch", () => {
      const what = `that ${peer} lives in epoch ${epoch}`;
      if (epoch <= this.identity.epoch) this.#violation(`was told ${what}, which is not later`);
      if (this.#later.has(what)) this.#violation(`was told twice ${what}`);
      this.#later.add(what);
      this.laterEpochs.push([peer, epoch]);
      this.onLaterEpoch?.(peer, epoch);
    });
  }

  #event(name: string, body: () => void): void {
    if (this.#left.size > 0 && name !== "peerDown")
      this.#violation(`was told ${name} before ${[...this.#left]} of the epoch before was down`);
    if (this.#inside) this.#violation(`was told ${name} from inside ${this.#inside}`);
    if (this.#closed) this.#violation(`was told ${name} after close`);
    this.#within(name, body);
  }

  #within<T>(name: string, body: () => T): T {
    const outer = this.#inside;
    this.#inside = name;
    try {
      return body();
    } finally {
      this.#inside = outer;
    }
  }

  #violation(what: string): void {
    this.violations.push(`${this.id} ${what}`);
  }
}

/** What one case plays with. */
class Scene {
  readonly #network: ContractNetwork;
  readonly #patienceMs: number;
  readonly #witnesses: Witness[] = [];

  constructor(network: ContractNetwork, patienceMs: number) {
    this.#network = network;
    this.#patienceMs = patienceMs;
  }

  add(id: ProcessId, part: Partial<TransportIdentity> = {}): Witness {
    const identity = { system: "contract", self: id, incarnation: 1, epoch: 0, ...part };
    const witness = new Witness(identity, this.#network.transport(id));
    this.#witnesses.push(witness);
    return witness;
  }

  /** Open, connected and up to each other. */
  async start(ids: readonly ProcessId[]): Promise<readonly Witness[]> {
    const group = ids.map((id) => this.add(id));
    await Promise.all(group.map((witness) => witness.open()));
    this.connect(group);
    await this.allUp(group);
    return group;
  }

  async pair(): Promise<readonly [Witness, Witness]> {
    return (await this.start(["a", "b"])) as readonly [Witness, Witness];
  }

  connect(group: readonly Witness[]): void {
    for (const from of group) for (const to of group) if (from !== to) from.connect(to);
  }

  allUp(group: readonly Witness[]): Promise<void> {
    const others = (witness: Witness) => group.filter((other) => other !== witness);
    return this.until(
      () => group.every((from) => others(from).every((to) => from.up.has(to.id))),
      `${group.map(({ id }) => id).join(", ")} are up to each other`,
    );
  }

  /** Sends as soon as there is room. */
  async send(from: Witness, to: Witness, frame: Frame): Promise<void> {
    if (!from.send(to.id, frame))
      await this.until(() => from.send(to.id, frame), `${from.id} can send to ${to.id}`);
  }

  /** Has a frame arrive, if need be by sending it again. */
  async reach(from: Witness, to: Witness, frame: Frame): Promise<void> {
    const before = to.received(from).length;
    const arrived = (): boolean =>
      to.received(from).some((other, i) => i >= before && same(other, frame));
    await this.send(from, to, frame);
    const again = from.transport.guarantees.lossless
      ? undefined
      : setInterval(() => from.send(to.id, frame), 50);
    try {
      await this.until(arrived, `${frame.length} bytes of ${from.id} arrived at ${to.id}`);
    } finally {
      clearInterval(again);
    }
  }

  /** Waits until one has refused the other and both know. */
  async refused(by: Witness, refused: Witness, code: ErrorCode): Promise<void> {
    const told = ({ problems }: Witness, wanted: ErrorCode, about: Witness): boolean =>
      problems.some((error) => error.code === wanted && error.message.includes(about.id));
    await this.until(() => told(by, code, refused), `${by.id} tells ${code}`);
    await this.until(() => told(refused, "HANDSHAKE_REFUSED", by), `${refused.id} is told why not`);
    assert.equal(refused.up.has(by.id), false);
  }

  /** Two processes that do not belong together: whichever of them refuses, none is up. */
  async apart(part: Partial<TransportIdentity>, code: ErrorCode): Promise<void> {
    const a = this.add("a");
    const b = this.add("b", part);
    await Promise.all([a.open(), b.open()]);
    this.connect([a, b]);
    await this.until(() => [...a.problems, ...b.problems].some((e) => e.code === code), code);
    if (a.problems.some((error) => error.code === code)) await this.refused(a, b, code);
    else await this.refused(b, a, code);
    assert.deepEqual([a.up.size, b.up.size], [0, 0]);
  }

  /** Waits until each is up to each other, as what it is now. */
  met(group: readonly Witness[]): Promise<void> {
    const others = (one: Witness) => group.filter((other) => other !== one);
    return this.until(
      () =>
        group.every((from) =>
          others(from).every(({ id, identity }) => from.up.get(id) === identity.incarnation),
        ),
      `${group.map(({ id, identity }) => `${id} of epoch ${identity.epoch}`).join(", ")} have met`,
    );
  }

  async until(holds: () => boolean, what: string): Promise<void> {
    const giveUpMs = performance.now() + this.#patienceMs;
    while (!holds()) {
      if (performance.now() > giveUpMs)
        assert.fail(`waited ${this.#patienceMs} ms in vain until ${what}`);
      await pause(1);
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.#witnesses.map((witness) => witness.close()));
    await this.#network.dispose?.();
  }

  check(): void {
    assert.deepEqual(
      this.#witnesses.flatMap(({ violations }) => violations),
      [],
    );
  }
}
