import { once } from "node:events";
import { MessageChannel, MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { TransportIdentity } from "../../src/runtime/transport.ts";
import { transportContract } from "../../src/runtime/transport-contract.ts";
import {
  WorkerNetwork,
  type WorkerNetworkOptions,
  workerTransport,
} from "../../src/runtime/worker-transport.ts";
import { cases } from "../support/soak.ts";
import { TransportOwner } from "../support/transport-owner.ts";
import { networkOn, Stage } from "./worker-theatre.ts";

describe("worker transports in one thread keep the contract", () => {
  const all = transportContract(() => {
    const network = new WorkerNetwork();
    return { transport: () => workerTransport(network.port()) };
  });
  for (const { name, run } of all) test(name, run);
});

describe("worker transports in three threads keep the contract", () => {
  const stages: Stage[] = [];
  beforeAll(() => {
    stages.push(new Stage(), new Stage(), new Stage());
  });
  afterAll(async () => {
    await Promise.all(stages.map((stage) => stage.end()));
  });
  // Every call stops this thread until another one has answered: on a busy machine that takes long.
  const all = transportContract(() => networkOn(stages), { patienceMs: 50_000 });
  for (const { name, run } of all) test(name, { timeout: 120_000 }, run);
});

/** What a test leaves open. */
const open: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((close) => close()));
});

async function start(
  network: WorkerNetwork,
  id: string,
  part: Partial<TransportIdentity> = {},
): Promise<Owner> {
  const transport = workerTransport(network.port());
  open.push(() => transport.close());
  const owner = new Owner(id, transport);
  await transport.open({ system: "test", self: id, incarnation: 1, epoch: 0, ...part }, owner);
  return owner;
}

/** Keeps what it hears of later epochs in order with the rest. */
class Owner extends TransportOwner {
  override laterEpoch(peer: string, epoch: number): void {
    this.log.push(`later ${peer} ${epoch}`);
  }
}

/** Two that are up to each other. */
async function pair(
  options: WorkerNetworkOptions = {},
): Promise<{ network: WorkerNetwork; a: Owner; b: Owner }> {
  const network = new WorkerNetwork(options);
  const a = await start(network, "a");
  const b = await start(network, "b");
  await Promise.all([a.untilUp("b"), b.untilUp("a")]);
  return { network, a, b };
}

/** A frame goes from one to the other. */
async function reach(from: TransportOwner, to: TransportOwner, byte = 7): Promise<void> {
  const before = to.frames.length;
  expect(from.transport.send(to.id, Uint8Array.of(byte))).toBe(true);
  await to.until(({ frames }) => frames.length > before);
  expect(to.frames.at(-1)).toEqual({ peer: from.id, frame: Uint8Array.of(byte) });
}

/** One that speaks for itself on its ports, as well or as badly as a test likes. */
class Raw {
  readonly id: string;
  readonly control: MessagePort;
  /** What the network has said. */
  readonly heard: Record<string, unknown>[] = [];
  /** The port to a peer, and what came on it. */
  readonly ports = new Map<string, MessagePort>();
  readonly came: unknown[] = [];

  constructor(network: WorkerNetwork, id: string, part: object = {}) {
    this.id = id;
    this.control = network.port();
    receiveMessageOnPort(this.control);
    this.control.on("message", (message: Record<string, unknown>) => {
      this.heard.push(message);
      const { port } = message;
      if (!(port instanceof MessagePort)) return;
      this.ports.set(String(message["peer"]), port);
      port.on("message", (came) => this.came.push(came));
    });
    const identity = { system: "test", self: id, incarnation: 1, epoch: 0, ...part };
    this.control.postMessage({ type: "open", identity });
    open.push(() => this.control.close());
  }

  /** Its end of the connection to a peer. */
  async connection(peer: string): Promise<MessagePort> {
    await vi.waitUntil(() => this.ports.has(peer), { timeout: 10_000, interval: 1 });
    return this.ports.get(peer) as MessagePort;
  }
}

/** A buffer as a sender fills it, written from its description; `claims` is what it says of its length. */
function buffered(frames: readonly Uint8Array[], claims?: number): ArrayBuffer {
  const padded = frames.map(({ length }) => 4 + Math.ceil(length / 4) * 4);
  const end = padded.reduce((sum, size) => sum + size, 4);
  const bytes = new Uint8Array(end);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, claims ?? end, true);
  let at = 4;
  for (const [i, frame] of frames.entries()) {
    view.setUint32(at, frame.length, true);
    bytes.set(frame, at + 4);
    at += padded[i] as number;
  }
  return bytes.buffer;
}

describe("a worker transport", () => {
  test("is made from a port of a network, once", () => {
    const { port1, port2 } = new MessageChannel();
    const used = new WorkerNetwork().port();
    open.push(
      () => port1.close(),
      () => used.close(),
    );
    workerTransport(used);
    for (const port of [used, port2, undefined, {}] as MessagePort[])
      expect(() => workerTransport(port)).toThrow(
        expect.objectContaining({
          code: "BAD_OPTION",
          message: expect.stringContaining("network"),
        }),
      );
    port1.postMessage({ settings: "tidemark worker network", version: 2 });
    expect(() => workerTransport(port2)).toThrow(
      expect.objectContaining({ code: "VERSION_MISMATCH" }),
    );
  });

  test("a limit without room for one frame is refused", () => {
    expect(() => new WorkerNetwork({ maxFrameBytes: 100, maxBufferedBytes: 100 })).toThrow(
      /maxBufferedBytes must be a whole number from 164/,
    );
  });

  test.each([0, 100, 3_000, 50_000])(
    "takes no more for one peer than its limit, in frames of %i bytes, and goes on once there is room",
    async (size) => {
      const limit = 200_000;
      const { a, b } = await pair({ maxFrameBytes: 50_000, maxBufferedBytes: limit });
      for (let round = 1; round <= 3; round += 1) {
        let taken = 0;
        while (a.transport.send("b", new Uint8Array(size).fill(round))) taken += 1;
        expect(a.transport.buffered("b")).toBeLessThanOrEqual(limit);
        // Whatever does not fit the sizes of buffers is less than half of it.
        expect(taken * (size + 4)).toBeGreaterThan(limit / 2);
        await b.until(({ frames }) => frames.length === taken);
        expect(b.frames.every(({ frame }) => frame.every((byte) => byte === round))).toBe(true);
        b.frames.length = 0;
        await a.until(({ transport }) => transport.buffered("b") === 0);
      }
    },
  );

  test("a frame of the largest size goes whenever nothing else is under way", async () => {
    const { a, b } = await pair({ maxFrameBytes: 300_000, maxBufferedBytes: 300_064 });
    for (let i = 1; i <= 3; i += 1) {
      a.transport.send("b", Uint8Array.of(1));
      expect(a.transport.send("b", new Uint8Array(300_000))).toBe(false);
      await a.until(({ transport }) => transport.buffered("b") === 0);
      expect(a.transport.send("b", new Uint8Array(300_000))).toBe(true);
      await b.until(({ frames }) => frames.length === 2 * i);
      await a.until(({ transport }) => transport.buffered("b") === 0);
    }
  });

  test("what is sent in one turn goes in one message, and its buffer comes back and is filled again", async () => {
    const network = new WorkerNetwork();
    const raw = new Raw(network, "raw");
    const a = await start(network, "a");
    await a.untilUp("raw");
    const port = await raw.connection("a");
    for (let i = 1; i <= 5; i += 1) {
      for (let byte = 1; byte <= 100; byte += 1)
        a.transport.send("raw", new Uint8Array(50).fill(byte));
      await vi.waitUntil(() => raw.came.length === i, { timeout: 10_000, interval: 1 });
      const buffer = raw.came[i - 1] as ArrayBuffer;
      const frames = Array.from({ length: 100 }, (_, n) => new Uint8Array(50).fill(n + 1));
      const expected = new Uint8Array(buffered(frames));
      expect(new Uint8Array(buffer, 0, expected.length)).toEqual(expected);
      const size = buffer.byteLength;
      expect(a.transport.buffered("raw")).toBe(size);
      // A mark behind what is used shows whether it is the same memory.
      expect(new Uint8Array(buffer).at(-1)).toBe(i === 1 ? 0 : 0xab);
      new Uint8Array(buffer).fill(0xab, expected.length);
      port.postMessage([buffer], [buffer]);
      await a.until(({ transport }) => transport.buffered("raw") === 0);
    }
  });

  test("a frame is lent: its bytes are gone once the event is over", async () => {
    const { a, b } = await pair();
    const kept: Uint8Array[] = [];
    b.frame = (_, frame) => {
      kept.push(frame);
    };
    a.transport.send("b", Uint8Array.of(1, 2, 3));
    await a.until(({ transport }) => transport.buffered("b") === 0 && kept.length === 1);
    expect(kept[0]?.length).toBe(0);
  });

  test("a busy pair does not keep the others waiting", async () => {
    const { network, a: busy } = await pair();
    const [quiet, friend] = [await start(network, "quiet"), await start(network, "friend")];
    await quiet.untilUp("friend");
    let sent = 0;
    const pump = setInterval(() => {
      while (busy.transport.send("b", new Uint8Array(10_000))) sent += 1;
    });
    open.push(() => clearInterval(pump));
    for (let i = 0; i < 10; i += 1) await reach(quiet, friend, i);
    expect(sent).toBeGreaterThan(0);
  });
});

describe("whatever comes in on a port", () => {
  const junk: fc.Arbitrary<unknown> = fc.oneof(
    fc.anything(),
    fc.uint8Array({ maxLength: 64 }).map((bytes) => bytes.slice().buffer),
    fc.constantFrom(
      new ArrayBuffer(0),
      new ArrayBuffer(3),
      buffered([Uint8Array.of(1)], 3),
      buffered([Uint8Array.of(1)], 5),
      buffered([Uint8Array.of(1)], 2 ** 32 - 1),
      new SharedArrayBuffer(8),
      [new ArrayBuffer(8)],
      [null],
      "hello",
      null,
    ),
  );
  /** Not everything can be sent at all. */
  const cloneable = junk.filter((value) => {
    try {
      structuredClone(value);
      return true;
    } catch {
      return false;
    }
  });

  test("from a peer ends the connection at most; it is told, there is a new one, and others go on", async () => {
    const network = new WorkerNetwork({ maxFrameBytes: 1_000, maxBufferedBytes: 10_000 });
    const raw = new Raw(network, "raw");
    const [a, b] = [await start(network, "a"), await start(network, "b")];
    await Promise.all([a.untilUp("b"), b.untilUp("a"), a.untilUp("raw")]);
    let ended = 0;
    const property = fc.asyncProperty(cloneable, async (message) => {
      const port = await raw.connection("a");
      const before = a.log.filter((line) => line === "down raw").length;
      const frames = a.frames.length;
      port.postMessage(message);
      port.postMessage(buffered([Uint8Array.of(42)]));
      const downs = () => a.log.filter((line) => line === "down raw").length;
      // Either it was well formed, and what follows arrives, or the connection is over.
      await a.until(() => downs() > before || a.frames.length > frames);
      await reach(b, a);
      if (downs() === before) return;
      ended += 1;
      raw.ports.delete("a");
      await a.untilUp("raw");
    });
    await fc.assert(property, { numRuns: cases("worker-ports", 25, 500), seed: 20261125 });
    expect(ended).toBeGreaterThan(10);
    expect(new Set(a.codes)).toEqual(new Set(["MALFORMED_FRAME"]));
    expect(b.problems).toEqual([]);
  });

  test("from a peer as a frame beyond the limit is told as that", async () => {
    const network = new WorkerNetwork({ maxFrameBytes: 1_000, maxBufferedBytes: 10_000 });
    const raw = new Raw(network, "raw");
    const a = await start(network, "a");
    const port = await raw.connection("a");
    const [one, tooLarge] = [Uint8Array.of(1), new Uint8Array(1_001)];
    port.postMessage(buffered([one, tooLarge, one]));
    await a.until(({ log }) => log.includes("down raw"));
    expect(a.codes).toEqual(["FRAME_TOO_LARGE"]);
    expect(a.reasons[0]).toMatch(/sent a frame of 1001 bytes, beyond the limit of 1000/);
    // What is in order before it has arrived; nothing behind it does.
    expect(a.frames).toEqual([{ peer: "raw", frame: one }]);
    await a.until(({ log }) => log.filter((line) => line === "up raw 1").length === 2);
  });

  test("from a process at the network is told to that process, and others go on", async () => {
    const { network, a, b } = await pair();
    const raw = new Raw(network, "raw");
    await raw.connection("a");
    const property = fc.asyncProperty(cloneable, async (message) => {
      raw.control.postMessage(message);
    });
    await fc.assert(property, { numRuns: cases("worker-ports", 40, 2_000), seed: 20261125 });
    raw.control.postMessage({ type: "advance", incarnation: 0, epoch: "x" });
    raw.control.postMessage({ type: "lost", peer: "a", number: 999 });
    await vi.waitUntil(() => raw.heard.some(({ code }) => code === "STRANGER"));
    await reach(a, b);
    await reach(b, a);
    expect(a.log).toEqual(["up b 1", "up raw 1"]);
    const late = await start(network, "late");
    await Promise.all([late.untilUp("a"), a.untilUp("late")]);
    // Nor does what is not an identity make a member.
    const nobody = new Raw(network, "not an id");
    await vi.waitUntil(() => nobody.heard.some(({ code }) => code === "STRANGER"));
    expect(late.log.some((line) => line.includes("not an id"))).toBe(false);
  });

  test("from the network is told, and peers go on", async () => {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage({
      ...{ settings: "tidemark worker network", version: 1 },
      ...{ maxFrameBytes: 100, maxBufferedBytes: 1_000 },
    });
    const owner = await TransportOwner.open("a", workerTransport(port2));
    open.push(() => owner.transport.close());
    const property = fc.asyncProperty(cloneable, async (message) => {
      port1.postMessage(message);
    });
    await fc.assert(property, { numRuns: cases("worker-ports", 40, 2_000), seed: 20261125 });
    port1.postMessage({ type: "meet", peer: "not an id", incarnation: 1, to: 1, number: 1 });
    port1.postMessage({ type: "refused", code: "toString", text: "x" });
    // Of what is said of epochs only the one that is later is news, and only once.
    for (const epoch of ["2", 1.5, -1, Number.NaN, 2 ** 53, 0, 3, 3])
      port1.postMessage({ type: "later", peer: "b", epoch });
    port1.postMessage({ type: "later", peer: "not an id", epoch: 4 });
    const channel = new MessageChannel();
    const former = new MessageChannel();
    for (const [to, port] of [
      [77, former.port2],
      [1, channel.port2],
    ] as const) {
      // One is for another life of this process, and is no news to this one.
      const word = { type: "meet", peer: "b", incarnation: 4 + to, to, number: to, port };
      port1.postMessage(word, [port]);
    }
    await once(former.port1, "close");
    await owner.untilUp("b", 5);
    expect(owner.codes).toEqual(["STRANGER"]);
    expect(owner.log).toEqual(["up b 5"]);
    expect(owner.laterEpochs).toEqual([["b", 3]]);
    channel.port1.close();
  });
});

describe("on a worker network", () => {
  test("a second process with an id takes the place when the first has gone", async () => {
    const { network, a, b } = await pair();
    const second = await start(network, "a", { incarnation: 2 });
    await second.until(({ problems }) => problems.length > 0);
    expect(second.codes).toEqual(["HANDSHAKE_REFUSED"]);
    await b.until(({ problems }) => problems.length > 0);
    expect(b.codes).toEqual(["DUPLICATE_ID"]);
    await a.transport.close();
    await Promise.all([b.untilUp("a", 2), second.untilUp("b")]);
    expect(b.log).toEqual(["up a 1", "down a", "up a 2"]);
  });

  test("a newcomer sides with the first of two processes that claim an id", async () => {
    const network = new WorkerNetwork();
    await start(network, "a");
    const second = await start(network, "a", { incarnation: 2 });
    const c = await start(network, "c");
    await second.until(({ problems }) => problems.length > 0);
    await c.untilUp("a");
    expect(second.codes).toEqual(["HANDSHAKE_REFUSED"]);
    expect(c.log).toEqual(["up a 1"]);
    await c.until(({ problems }) => problems.length > 0);
    expect(c.codes).toEqual(["DUPLICATE_ID"]);
  });

  test("a new life of a process comes up after all that the one before had sent", async () => {
    const network = new WorkerNetwork();
    const first = new Raw(network, "raw");
    const a = await start(network, "a");
    await a.untilUp("raw");
    const port = await first.connection("a");
    // The network has forgotten it, and introduces the next one, while the connection is still there.
    first.control.close();
    const second = new Raw(network, "raw", { incarnation: 2 });
    const later = await second.connection("a");
    later.postMessage(buffered([Uint8Array.of(2)]));
    await new Promise((resolve) => setTimeout(resolve, 20));
    port.postMessage(buffered([Uint8Array.of(1)]));
    port.close();
    await a.until(({ frames }) => frames.length === 2);
    expect(a.frames.map(({ frame }) => frame[0])).toEqual([1, 2]);
    expect(a.log).toEqual(["up raw 1", "down raw", "up raw 2"]);
  });

  test("peers go on when the thread of the network has ended, and say that no more will come", async () => {
    const worker = new Worker(
      `const { parentPort, workerData } = require("node:worker_threads");
       import(workerData).then(({ WorkerNetwork }) => {
         const network = new WorkerNetwork();
         const ports = [network.port(), network.port()];
         parentPort.postMessage(ports, ports);
         parentPort.on("message", () => undefined);
       });`,
      {
        eval: true,
        workerData: new URL("../../src/runtime/worker-transport.ts", import.meta.url).href,
        execArgv: ["--conditions=tidemark-source"],
      },
    );
    open.push(() => worker.terminate());
    const [ports] = (await once(worker, "message")) as [MessagePort[]];
    const [a, b] = (await Promise.all(
      ["a", "b"].map((id, i) => TransportOwner.open(id, workerTransport(ports[i] as MessagePort))),
    )) as [TransportOwner, TransportOwner];
    open.push(
      () => a.transport.close(),
      () => b.transport.close(),
    );
    await Promise.all([a.untilUp("b"), b.untilUp("a")]);
    await worker.terminate();
    await a.until(({ problems }) => problems.length > 0);
    expect(a.codes).toEqual(["PEER_UNREACHABLE"]);
    await reach(a, b);
    expect(a.log).toEqual(["up b 1"]);
  });
});

describe("a process that goes to a later epoch", () => {
  test("is down to all, and they to it; those behind hear of it, and meet it when they follow", async () => {
    const { network, a, b } = await pair();
    const c = await start(network, "c");
    await Promise.all([a.untilUp("c"), b.untilUp("c"), c.untilUp("a"), c.untilUp("b")]);
    a.transport.advance({ incarnation: 11, epoch: 1 });
    expect(a.log).toEqual(["up b 1", "up c 1"]);
    expect(a.transport.send("b", Uint8Array.of(1))).toBe(false);
    await Promise.all(
      [b, c].map((one) =>
        one.until(({ log }) => log.includes("down a") && log.includes("later a 1")),
      ),
    );
    expect(a.log).toEqual(["up b 1", "up c 1", "down b", "down c"]);
    await reach(b, c);
    b.transport.advance({ incarnation: 12, epoch: 1 });
    await Promise.all([a.untilUp("b", 12), b.untilUp("a", 11)]);
    await reach(a, b);
    c.transport.advance({ incarnation: 13, epoch: 1 });
    await Promise.all([a.untilUp("c", 13), b.untilUp("c", 13)]);
    await Promise.all([c.untilUp("a", 11), c.untilUp("b", 12)]);
    expect(c.log.filter((line) => line.startsWith("later"))).toEqual(["later a 1", "later b 1"]);
    expect(a.log.filter((line) => line.startsWith("later"))).toEqual([]);
    // Who is ahead says who is behind, once.
    expect([a.codes, b.codes, c.codes]).toEqual([
      ["EPOCH_MISMATCH", "EPOCH_MISMATCH"],
      ["EPOCH_MISMATCH"],
      [],
    ]);
    expect(b.reasons).toContain("a went to a later epoch");
    // Nor is it told again when it comes back in the same epoch.
    const late = await start(network, "late");
    await late.until(({ log }) => log.filter((line) => line.startsWith("later")).length === 3);
    await a.transport.close();
    const again = await start(network, "a", { incarnation: 14, epoch: 1 });
    await again.until(({ codes }) => codes.includes("EPOCH_MISMATCH"));
    await reach(c, b);
    expect(late.log.toSorted()).toEqual(["later a 1", "later b 1", "later c 1"]);
  });

  test("gets no frame that was sent to it before, and sends none that has not left", async () => {
    const { a, b } = await pair();
    for (let i = 0; i < 10; i += 1) {
      const epoch = i + 1;
      const incarnation = i + 2;
      a.transport.send("b", Uint8Array.of(1, epoch));
      b.transport.send("a", Uint8Array.of(2, epoch));
      if (i % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
      b.transport.send("a", Uint8Array.of(3, epoch));
      const before = a.frames.length;
      a.transport.advance({ incarnation, epoch });
      b.transport.advance({ incarnation, epoch });
      await Promise.all([a.untilUp("b", incarnation), b.untilUp("a", incarnation)]);
      expect(a.frames.length).toBe(before);
      await Promise.all([reach(a, b, i), reach(b, a, i)]);
    }
    expect(b.frames.filter(({ frame: [kind], frame }) => frame.length > 1 && kind !== 1)).toEqual(
      [],
    );
  });

  test("drops what was sent in the same turn, and says why it ends", async () => {
    const network = new WorkerNetwork();
    const raw = new Raw(network, "raw");
    const a = await start(network, "a");
    await a.untilUp("raw");
    const port = await raw.connection("a");
    expect(a.transport.send("raw", Uint8Array.of(1))).toBe(true);
    a.transport.advance({ incarnation: 2, epoch: 1 });
    await once(port, "close");
    expect(raw.came).toEqual(["advanced"]);
  });

  test("may go to several in one turn, and from inside an event", async () => {
    const { a, b } = await pair();
    a.onFrame = () => {
      for (const epoch of [1, 2, 7]) a.transport.advance({ incarnation: 10 + epoch, epoch });
    };
    b.transport.send("a", Uint8Array.of(1));
    b.transport.send("a", Uint8Array.of(2));
    // This one in a buffer of its own, which is there already when the first is read.
    process.nextTick(() => b.transport.send("a", Uint8Array.of(3)));
    await b.until(({ log }) => log.includes("later a 7"));
    b.transport.advance({ incarnation: 9, epoch: 7 });
    await Promise.all([b.untilUp("a", 17), a.untilUp("b", 9)]);
    expect(a.frames.length).toBe(1);
    expect(a.log).toEqual(["up b 1", "down b", "up b 9"]);
    expect(b.log.filter((line) => line === "up a 17")).toHaveLength(1);
  });

  test("does not go back, nor before it is open, nor after it is closed", async () => {
    const network = new WorkerNetwork();
    const transport = workerTransport(network.port());
    const code = (wanted: string) => expect.objectContaining({ code: wanted });
    expect(() => transport.advance({ incarnation: 2, epoch: 1 })).toThrow(code("STOPPED"));
    const owner = new Owner("a", transport);
    await transport.open({ system: "test", self: "a", incarnation: 1, epoch: 3 }, owner);
    for (const epoch of [2, 3, -1, 3.5, Number.NaN])
      expect(() => transport.advance({ incarnation: 2, epoch })).toThrow(code("BAD_OPTION"));
    for (const incarnation of [0, 1])
      expect(() => transport.advance({ incarnation, epoch: 4 })).toThrow(code("BAD_OPTION"));
    const b = await start(network, "b", { epoch: 3 });
    await Promise.all([b.untilUp("a"), owner.untilUp("b")]);
    await transport.close();
    await b.until(({ log }) => log.includes("down a"));
    expect(b.reasons).toEqual(["a closed its transport"]);
    transport.advance({ incarnation: 2, epoch: 4 });
    const c = await start(network, "c", { epoch: 3 });
    await Promise.all([b.untilUp("c"), c.untilUp("b")]);
    await reach(b, c);
    expect(b.log).toEqual(["up a 1", "down a", "up c 1"]);
    expect(owner.log).toEqual(["up b 1"]);
  });
});
