// Channels that are cut and healed: nothing gets through meanwhile, in that direction alone, and what is above the transport loses nothing.
import { describe, expect, onTestFinished, test } from "vitest";
import type { Turn } from "../../src/process/application.ts";
import { CutTransport } from "../../src/runtime/cut-transport.ts";
import { memoryStore } from "../../src/runtime/memory-store.ts";
import { MemoryNetwork } from "../../src/runtime/memory-transport.ts";
import { startProcess } from "../../src/runtime/running-process.ts";
import { tcpTransport } from "../../src/runtime/tcp-transport.ts";
import { transportContract } from "../../src/runtime/transport-contract.ts";
import { TransportOwner } from "../support/transport-owner.ts";

describe("a transport whose cuts are healed keeps the contract", () => {
  const healed = (transport: CutTransport): CutTransport => {
    for (const peer of ["a", "b", "c", "nobody"]) {
      transport.cut(peer);
      transport.heal(peer);
    }
    return transport;
  };
  describe("over memory", () => {
    const cases = transportContract(() => {
      const network = new MemoryNetwork();
      return { transport: () => healed(new CutTransport(network.transport())) };
    });
    for (const { name, run } of cases) test(name, run);
  });
  describe("over TCP", () => {
    const cases = transportContract(() => ({
      transport: () => healed(new CutTransport(tcpTransport())),
    }));
    for (const { name, run } of cases) test(name, run);
  });
});

/** Two owners, of which `a` sends through a transport that can be cut. */
async function pair(cuts: readonly string[] = []) {
  const network = new MemoryNetwork();
  const transport = new CutTransport(network.transport(), cuts);
  const a = await TransportOwner.open("a", transport);
  const b = await TransportOwner.open("b", network.transport());
  onTestFinished(async () => {
    await a.transport.close();
    await b.transport.close();
  });
  await Promise.all([a.untilUp("b"), b.untilUp("a")]);
  return { a, b, transport };
}

test("what is sent on a cut channel is taken, and does not arrive; the other direction is whole", async () => {
  const { a, b, transport } = await pair(["b"]);
  expect(a.transport.send("b", Uint8Array.of(1))).toBe(true);
  expect(b.transport.send("a", Uint8Array.of(2))).toBe(true);
  await a.until(({ frames }) => frames.length === 1);
  transport.heal("b");
  expect(a.transport.send("b", Uint8Array.of(3))).toBe(true);
  await b.until(({ frames }) => frames.length > 0);
  expect(b.frames.map(({ frame }) => frame[0])).toEqual([3]);
  transport.cut("b");
  a.transport.send("b", Uint8Array.of(4));
  transport.heal("b");
  a.transport.send("b", Uint8Array.of(5));
  await b.until(({ frames }) => frames.length > 1);
  expect(b.frames.map(({ frame }) => frame[0])).toEqual([3, 5]);
});

test("it says that frames may be lost, and takes none for somebody who is not there", async () => {
  const { a, b, transport } = await pair();
  expect(transport.guarantees).toMatchObject({ fifo: true, lossless: false });
  transport.cut("b");
  transport.cut("nobody");
  expect(a.transport.send("nobody", Uint8Array.of(1))).toBe(false);
  await b.transport.close();
  await a.until(({ log }) => log.includes("down b"));
  expect(a.transport.send("b", Uint8Array.of(1))).toBe(false);
});

test("processes lose nothing by a cut, and repeat nothing", { timeout: 60_000 }, async () => {
  const network = new MemoryNetwork();
  const got: number[] = [];
  const transport = new CutTransport(network.transport());
  const store = memoryStore();
  const a = await startProcess({
    ...{ id: "a", processes: ["a", "b"], store, transport },
    application: {
      request(id: number, value: number, turn: Turn<number, string>) {
        turn.send("b", value);
        turn.reply(id, "sent");
      },
      capture: () => 0,
      restore: () => {},
    },
  });
  const b = await startProcess({
    ...{ id: "b", processes: ["a", "b"], store, transport: network.transport() },
    application: {
      receive: (_: string, value: number) => void got.push(value),
      capture: () => 0,
      restore: () => {},
    },
  });
  onTestFinished(async () => {
    await a.stop();
    await b.stop();
  });
  const all = Array.from({ length: 30 }, (_, i) => i);
  for (const i of all) {
    if (i === 10) transport.cut("b");
    await a.request(i);
    // Nothing of what was sent while it was cut has come.
    if (i === 19) expect(got.every((value) => value < 10)).toBe(true);
    if (i === 19) transport.heal("b");
  }
  await expect.poll(() => got, { timeout: 30_000 }).toEqual(all);
});
