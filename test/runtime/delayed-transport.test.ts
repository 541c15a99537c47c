// Frames to some peers are late, in order: what a delay changes and what it does not.
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { DelayedTransport } from "../../src/runtime/delayed-transport.ts";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import type { Transport, TransportEvents } from "../../src/runtime/transport.ts";
import { transportContract } from "../../src/runtime/transport-contract.ts";

describe("keeps the contract of a transport", () => {
  for (const delayMs of [0, 3]) {
    const cases = transportContract(() => {
      const network = new MemoryNetwork();
      return {
        transport: () => {
          const transport = new DelayedTransport(network.transport());
          for (const peer of ["a", "b", "c"]) transport.delay(peer, delayMs);
          return transport;
        },
      };
    });
    for (const { name, run } of cases) test(`${name}, ${delayMs} ms late`, run);
  }
});

/** An inner transport that the test sees through; `full` refuses. */
class Seen implements Transport {
  readonly guarantees = { fifo: true, lossless: true, duplicateFree: true };
  readonly maxFrameBytes = 1000;
  readonly address = "here";
  readonly sent: string[] = [];
  full: boolean = false;
  events: TransportEvents | undefined;

  async open(_identity: unknown, events: TransportEvents): Promise<void> {
    this.events = events;
  }
  connect(): void {}
  advance(): void {
    this.sent.push("advanced");
  }
  send(to: string, frame: Uint8Array): boolean {
    if (this.full) return false;
    this.sent.push(`${to}${frame[0]}`);
    return true;
  }
  buffered(): number {
    return 0;
  }
  async close(): Promise<void> {
    this.sent.push("closed");
  }
}

async function start() {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const inner = new Seen();
  const transport = new DelayedTransport(inner);
  const nothing = (): void => {};
  const events = {
    peerUp: nothing,
    peerDown: nothing,
    frame: nothing,
    problem: nothing,
    laterEpoch: nothing,
  };
  const identity = { system: "s", self: "a", incarnation: 1, epoch: 1 };
  await transport.open(identity, events);
  for (const peer of ["b", "c"]) inner.events?.peerUp(peer, 1);
  const send = (to: string, number: number): boolean => transport.send(to, Uint8Array.of(number));
  return { inner, transport, send };
}

describe("a delay", () => {
  test("holds up what is sent to that peer, and to no other, in order", async () => {
    const { inner, transport, send } = await start();
    transport.delay("b", 800);
    expect(transport.delays).toEqual({ b: 800 });
    expect([send("b", 1), send("c", 2)]).toEqual([true, true]);
    vi.advanceTimersByTime(400);
    send("b", 3);
    expect([inner.sent, transport.buffered("b")]).toEqual([["c2"], 2]);
    vi.advanceTimersByTime(400);
    expect(inner.sent).toEqual(["c2", "b1"]);
    vi.advanceTimersByTime(400);
    expect([inner.sent, transport.buffered("b")]).toEqual([["c2", "b1", "b3"], 0]);
  });

  test("that gets shorter lets go what waits, and nothing overtakes", async () => {
    const { inner, transport, send } = await start();
    transport.delay("b", 60_000);
    send("b", 1);
    transport.delay("b", 0);
    send("b", 2);
    expect(inner.sent).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(inner.sent).toEqual(["b1", "b2"]);
    send("b", 3);
    expect(inner.sent).toEqual(["b1", "b2", "b3"]);
    transport.delay("b", 100);
    send("b", 4);
    transport.delay("b", 10);
    send("b", 5);
    vi.advanceTimersByTime(10);
    expect(inner.sent.slice(3)).toEqual(["b4", "b5"]);
  });

  test("what finds no room below comes again; what is for a peer that went down does not", async () => {
    const { inner, transport, send } = await start();
    transport.delay("b", 5);
    send("b", 1);
    send("b", 2);
    inner.full = true;
    vi.advanceTimersByTime(50);
    inner.full = false;
    vi.advanceTimersByTime(10);
    expect(inner.sent).toEqual(["b1", "b2"]);
    send("b", 3);
    inner.events?.peerDown("b", "gone");
    expect([send("b", 4), transport.buffered("b")]).toEqual([false, 0]);
    inner.events?.peerUp("b", 1);
    vi.advanceTimersByTime(100);
    expect(inner.sent).toEqual(["b1", "b2"]);
  });

  test("keeps nothing for a later epoch", async () => {
    const { inner, transport, send } = await start();
    transport.delay("b", 60_000);
    send("b", 1);
    transport.advance({ incarnation: 2, epoch: 2 });
    expect([send("b", 2), send("c", 3), transport.buffered("b")]).toEqual([false, false, 0]);
    inner.events?.peerDown("b", "it went to epoch 2");
    inner.events?.peerUp("b", 1);
    send("b", 4);
    vi.advanceTimersByTime(60_000);
    expect(inner.sent).toEqual(["advanced", "b4"]);
  });

  test("is not on what is sent as soon as the peer is there", async () => {
    const inner = new Seen();
    const transport = new DelayedTransport(inner);
    transport.delay("b", 60_000);
    const nothing = (): void => {};
    await transport.open(
      { system: "s", self: "a", incarnation: 1, epoch: 1 },
      {
        ...{ peerDown: nothing, frame: nothing, problem: nothing, laterEpoch: nothing },
        peerUp: (peer) => void transport.send(peer, Uint8Array.of(7)),
      },
    );
    inner.events?.peerUp("b", 1);
    transport.send("b", Uint8Array.of(8));
    expect([inner.sent, transport.buffered("b")]).toEqual([["b7"], 1]);
    await transport.close();
  });

  test("ends when it is closed: what waits leaves first", async () => {
    const { inner, transport, send } = await start();
    transport.delay("b", 60_000);
    send("b", 1);
    await transport.close();
    expect(inner.sent).toEqual(["b1", "closed"]);
    expect(() => transport.delay("b", -1)).toThrow(/delayMs must be a whole number from 0/);
  });
});
