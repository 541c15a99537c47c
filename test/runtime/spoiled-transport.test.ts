import { describe, expect, test } from "vitest";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import { type SpoiledOptions, spoiledTransport } from "../../src/runtime/spoiled-transport.ts";
import { tcpTransport } from "../../src/runtime/tcp-transport.ts";
import { transportContract } from "../../src/runtime/transport-contract.ts";
import { TransportOwner } from "../support/transport-owner.ts";

const SPOILS: Readonly<Record<string, Omit<SpoiledOptions, "seed">>> = {
  nothing: {},
  delay: { delayMs: [0, 20] },
  loss: { loss: 0.2 },
  repetition: { repeat: 0.3 },
  everything: { delayMs: [1, 10], loss: 0.1, repeat: 0.2 },
};

for (const [what, options] of Object.entries(SPOILS)) {
  describe(`a memory transport spoiled by ${what} keeps the contract of what is left`, () => {
    const cases = transportContract(() => {
      const network = new MemoryNetwork();
      return { transport: () => spoiledTransport(network.transport(), { seed: 1, ...options }) };
    });
    for (const { name, run } of cases) test(name, run);
  });
}

describe("a TCP transport spoiled by everything keeps the contract of what is left", () => {
  const cases = transportContract(() => ({
    transport: () => spoiledTransport(tcpTransport(), { seed: 2, ...SPOILS["everything"] }),
  }));
  for (const { name, run } of cases) test(name, run);
});

/** Two processes, of which `a` sends through a spoiled transport. */
async function spoiledPair(options: SpoiledOptions): Promise<[TransportOwner, TransportOwner]> {
  const network = new MemoryNetwork({ maxFrameBytes: 1_000_000 });
  const a = await TransportOwner.open("a", spoiledTransport(network.transport(), options));
  const b = await TransportOwner.open("b", network.transport());
  await a.untilUp("b");
  return [a, b];
}

/** Sends so many frames, each telling its index; gives the indices in the order they arrived, once `enough` have. */
async function arrivals(
  options: SpoiledOptions,
  count: number,
  enough: (arrived: number) => boolean,
): Promise<number[]> {
  const [a, b] = await spoiledPair(options);
  for (let i = 0; i < count; i += 1)
    expect(a.transport.send("b", new Uint8Array(Uint32Array.of(i).buffer))).toBe(true);
  await a.transport.close();
  await b.until(({ log, frames }) => log.includes("down a") && enough(frames.length));
  return b.frames.map(({ frame }) => new DataView(frame.buffer).getUint32(0, true));
}

describe("spoiling", () => {
  test("it says what it does not guarantee", () => {
    const inner = new MemoryNetwork().transport();
    const guarantees = (options: Omit<SpoiledOptions, "seed">) =>
      spoiledTransport(inner, { seed: 1, ...options }).guarantees;
    expect(guarantees({})).toEqual({ fifo: true, lossless: true, duplicateFree: true });
    expect(guarantees({ delayMs: [0, 1] })).toMatchObject({ fifo: false, lossless: true });
    expect(guarantees({ loss: 0.01 })).toMatchObject({ fifo: true, lossless: false });
    expect(guarantees({ repeat: 0.01 })).toMatchObject({ lossless: true, duplicateFree: false });
    const bad = spoiledTransport(inner, { seed: 1, loss: 0.5 });
    expect(spoiledTransport(bad, { seed: 1 }).guarantees.lossless).toBe(false);
  });

  test("as many are lost and repeated as the probabilities say", async () => {
    const count = 10_000;
    const arrived = await arrivals({ seed: 5, loss: 0.2, repeat: 0.1 }, count, () => true);
    const different = new Set(arrived).size;
    expect(different / count).toBeGreaterThan(0.78);
    expect(different / count).toBeLessThan(0.82);
    expect((arrived.length - different) / different).toBeGreaterThan(0.08);
    expect((arrived.length - different) / different).toBeLessThan(0.12);
  });

  test("delayed frames overtake each other, and all arrive", async () => {
    const [a, b] = await spoiledPair({ seed: 5, delayMs: [0, 30] });
    for (let i = 0; i < 200; i += 1) a.transport.send("b", Uint8Array.of(i));
    await b.until(({ frames }) => frames.length === 200);
    const order = b.frames.map(({ frame }) => frame[0] ?? -1);
    const overtakings = order.filter((index, i) => i > 0 && index < (order[i - 1] ?? 0)).length;
    expect(overtakings).toBeGreaterThan(20);
    expect(order.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  test("a seed decides what befalls the n-th frame to a peer, whatever is sent to others", async () => {
    const lost = async (seed: number | string, chatter: boolean): Promise<number[]> => {
      const network = new MemoryNetwork();
      const a = await TransportOwner.open(
        "a",
        spoiledTransport(network.transport(), { seed, loss: 0.5, repeat: 0.5 }),
      );
      const b = await TransportOwner.open("b", network.transport());
      await TransportOwner.open("c", network.transport());
      await Promise.all([a.untilUp("b"), a.untilUp("c")]);
      for (let i = 0; i < 100; i += 1) {
        if (chatter) a.transport.send("c", Uint8Array.of(i));
        a.transport.send("b", Uint8Array.of(i));
      }
      await a.transport.close();
      await b.until(({ log }) => log.includes("down a"));
      return b.frames.map(({ frame }) => frame[0] ?? -1);
    };
    expect(await lost("s", true)).toEqual(await lost("s", false));
    expect(await lost("s", true)).not.toEqual(await lost("t", true));
  });

  test("what is held up is bounded in number; beyond it frames are dropped, and said to be", async () => {
    const [a, b] = await spoiledPair({ seed: 1, delayMs: [60_000, 60_000] });
    let taken = 0;
    while (taken < 20_000 && a.transport.send("b", Uint8Array.of(1))) taken += 1;
    expect(taken).toBe(10_000);
    expect(a.transport.buffered("b")).toBe(10_000);
    await b.transport.close();
    await a.until(({ log }) => log.includes("down b"));
    expect(a.transport.buffered("b")).toBe(0);
  });

  test("what is held up is bounded in bytes", async () => {
    const [a] = await spoiledPair({ seed: 1, delayMs: [60_000, 60_000] });
    const frame = new Uint8Array(1_000_000);
    let taken = 0;
    while (taken < 1_000 && a.transport.send("b", frame)) taken += 1;
    expect(taken).toBe(67);
    await a.transport.close();
  });

  test("a delayed frame waits when the transport below has no room, so that none is lost", async () => {
    const network = new MemoryNetwork({ maxFrameBytes: 1_000, maxBufferedBytes: 2_000 });
    const inner = network.transport();
    const a = await TransportOwner.open("a", spoiledTransport(inner, { seed: 1, delayMs: [1, 1] }));
    const b = await TransportOwner.open("b", network.transport());
    await a.untilUp("b");
    for (let i = 0; i < 100; i += 1) expect(a.transport.send("b", new Uint8Array(900))).toBe(true);
    await b.until(({ frames }) => frames.length === 100);
  });

  test("options that make no sense are refused", () => {
    const inner = new MemoryNetwork().transport();
    const bad: SpoiledOptions[] = [
      { seed: Number.NaN },
      { seed: 1, loss: 1.5 },
      { seed: 1, repeat: -1 },
      { seed: 1, loss: Number.NaN },
      { seed: 1, delayMs: [5, 1] },
      { seed: 1, delayMs: [0, 0.5] },
    ];
    for (const options of bad)
      expect(() => spoiledTransport(inner, options), JSON.stringify(options)).toThrow(
        expect.objectContaining({ code: "BAD_OPTION" }),
      );
  });
});
