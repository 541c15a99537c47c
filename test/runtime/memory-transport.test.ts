import { describe, expect, test } from "vitest";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import { transportContract } from "../../src/runtime/transport-contract.ts";
import { TransportOwner } from "../support/transport-owner.ts";

describe("a memory transport keeps the contract", () => {
  const cases = transportContract(() => {
    const network = new MemoryNetwork();
    return { transport: () => network.transport() };
  });
  for (const { name, run } of cases) test(name, run);
});

describe("a memory network", () => {
  test("hands over what a frame was when it was sent", async () => {
    const network = new MemoryNetwork();
    const a = await TransportOwner.open("a", network.transport());
    const b = await TransportOwner.open("b", network.transport());
    await a.untilUp("b");
    const frame = Uint8Array.of(1, 2, 3);
    a.transport.send("b", frame);
    frame.fill(9);
    await b.until(({ frames }) => frames.length === 1);
    expect(b.frames[0]?.frame).toEqual(Uint8Array.of(1, 2, 3));
  });

  test("takes no more for one peer than its limit, empty frames included", async () => {
    const network = new MemoryNetwork({ maxFrameBytes: 1_000, maxBufferedBytes: 10_000 });
    const a = await TransportOwner.open("a", network.transport());
    const b = await TransportOwner.open("b", network.transport());
    await a.untilUp("b");
    let taken = 0;
    while (a.transport.send("b", new Uint8Array(0))) taken += 1;
    expect(taken).toBe(Math.floor(10_000 / 64));
    expect(a.transport.buffered("b")).toBeLessThanOrEqual(10_000);
    await b.until(({ frames }) => frames.length === taken);
    expect(a.transport.buffered("b")).toBe(0);
    expect(a.transport.send("b", new Uint8Array(1_000))).toBe(true);
  });

  test("a busy pair does not keep the others waiting, nor the timers", async () => {
    const network = new MemoryNetwork();
    const ids = ["busy", "sink", "quiet", "friend"];
    const [busy, sink, quiet, friend] = (await Promise.all(
      ids.map((id) => TransportOwner.open(id, network.transport())),
    )) as [TransportOwner, TransportOwner, TransportOwner, TransportOwner];
    await quiet.untilUp("friend");
    const frame = Uint8Array.of(1);
    for (let i = 0; i < 100_000; i += 1) busy.transport.send("sink", frame);
    quiet.transport.send("friend", frame);
    let atTimer = -1;
    setTimeout(() => {
      atTimer = sink.frames.length;
    }, 0);
    await friend.until(({ frames }) => frames.length === 1);
    expect(sink.frames.length).toBeLessThan(50_000);
    await sink.until(({ frames }) => frames.length === 100_000);
    expect(atTimer).toBeGreaterThanOrEqual(0);
    expect(atTimer).toBeLessThan(100_000);
  });

  test("a frame for a process that has gone does not reach the one that took its place", async () => {
    const network = new MemoryNetwork();
    const a = await TransportOwner.open("a", network.transport());
    const b = await TransportOwner.open("b", network.transport());
    await a.untilUp("b");
    await b.transport.close();
    const again = await TransportOwner.open("b", network.transport(), { incarnation: 2 });
    // The news has not come round yet: to `a`, the first `b` is still up.
    expect(a.log).toEqual(["up b 1"]);
    expect(a.transport.send("b", Uint8Array.of(1))).toBe(false);
    await a.untilUp("b", 2);
    expect(a.transport.send("b", Uint8Array.of(2))).toBe(true);
    await again.until(({ frames }) => frames.length > 0);
    expect(again.frames.map(({ frame }) => frame[0])).toEqual([2]);
    expect(a.log).toEqual(["up b 1", "down b", "up b 2"]);
  });

  test("a second process with an id takes the place when the first has gone", async () => {
    const network = new MemoryNetwork();
    const a = await TransportOwner.open("a", network.transport());
    const b = await TransportOwner.open("b", network.transport());
    const second = await TransportOwner.open("a", network.transport(), { incarnation: 2 });
    await second.until(({ problems }) => problems.length > 0);
    expect(second.codes).toEqual(["HANDSHAKE_REFUSED"]);
    expect(b.codes).toEqual(["DUPLICATE_ID"]);
    await a.transport.close();
    await Promise.all([b.untilUp("a", 2), second.untilUp("b")]);
    expect(b.log).toEqual(["up a 1", "down a", "up a 2"]);
  });

  test("a newcomer sides with the first of two processes that claim an id", async () => {
    const network = new MemoryNetwork();
    await TransportOwner.open("a", network.transport());
    const second = await TransportOwner.open("a", network.transport(), { incarnation: 2 });
    const c = await TransportOwner.open("c", network.transport());
    await second.until(({ problems }) => problems.length > 0);
    expect(second.codes).toEqual(["HANDSHAKE_REFUSED"]);
    expect(c.log).toEqual(["up a 1"]);
    expect(c.codes).toEqual(["DUPLICATE_ID"]);
  });

  test("who goes to a later epoch before it is heard of was there as what it was then", async () => {
    const network = new MemoryNetwork();
    const a = await TransportOwner.open("a", network.transport());
    const b = await TransportOwner.open("b", network.transport());
    b.transport.advance({ incarnation: 2, epoch: 1 });
    await a.until(({ laterEpochs }) => laterEpochs.length > 0);
    expect(a.log).toEqual(["up b 1", "down b"]);
    expect(b.log).toEqual([]);
  });

  test("who advances again while it hears that peers are down hears no more of the epoch between", async () => {
    const network = new MemoryNetwork();
    const a = await TransportOwner.open("a", network.transport());
    const b = await TransportOwner.open("b", network.transport());
    await a.untilUp("b");
    b.transport.send("a", Uint8Array.of(1));
    const d = await TransportOwner.open("d", network.transport(), { epoch: 1 });
    a.onFrame = () => a.transport.advance({ incarnation: 2, epoch: 1 });
    a.onDown = () => a.transport.advance({ incarnation: 3, epoch: 2 });
    await Promise.all([b, d].map((one) => one.until(({ laterEpochs }) => laterEpochs.length > 0)));
    expect(a.log).toEqual(["up b 1", "down b"]);
    expect(d.log).toEqual(["up a 2", "down a"]);
    expect(d.laterEpochs).toEqual([["a", 2]]);
    await a.until(({ problems }) => problems.length >= 2);
    for (const { message } of a.problems) expect(message).toContain("a is in epoch 2");
  });

  test("a limit without room for one frame is refused", () => {
    expect(() => new MemoryNetwork({ maxFrameBytes: 100, maxBufferedBytes: 100 })).toThrow(
      /maxBufferedBytes must be a whole number from 164/,
    );
  });
});
