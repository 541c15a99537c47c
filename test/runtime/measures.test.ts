import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import {
  type Application,
  Grouped,
  groupedCodecs,
  jsonCodec,
  MemoryNetwork,
  memoryStore,
  type RunningProcess,
  spoiledTransport,
  startProcess,
} from "../../src/index.ts";

const processes = ["a", "b"];

/** What is said of one of several. */
const named = <T>(all: Readonly<Record<string, T>> | undefined, name: string): T | undefined =>
  new Map(Object.entries(all ?? {})).get(name);
const MESSAGES = 200;

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries += 1) {
    if (tries > 6_000) throw new Error(`waited in vain for ${what}`);
    await pause(5);
  }
}

/** On request, each message in a turn, and so in a frame, of its own. */
class Counter implements Application<number, number, number, number> {
  received = 0;
  request(
    id: number,
    message: number,
    turn: Parameters<Required<Application<number, number, number, number>>["request"]>[2],
  ) {
    turn.send(turn.peers, message);
    turn.reply(id, message);
  }
  receive() {
    this.received += 1;
  }
  capture() {
    return this.received;
  }
  restore(received: number) {
    this.received = received;
  }
}

async function carried(
  isBad: boolean,
): Promise<readonly RunningProcess<number, number, number, number>[]> {
  const network = new MemoryNetwork();
  const store = memoryStore();
  const running = await Promise.all(
    processes.map((id) =>
      startProcess({
        ...{ id, processes, store, application: new Counter() },
        transport: isBad
          ? spoiledTransport(network.transport(), { seed: id, loss: 0.2, repeat: 0.3 })
          : network.transport(),
      }),
    ),
  );
  onTestFinished(async () => {
    await Promise.all(running.map((one) => one.stop()));
  });
  const [a, b] = running as [(typeof running)[0], (typeof running)[0]];
  for (let i = 0; i < MESSAGES; i += 1) await a.request(i);
  await until("all have come", () => b.counters.received === MESSAGES);
  return running;
}

test("a link says what it has carried; on a good network nothing twice", async () => {
  const [a, b] = (await carried(false)).map(({ measures }) => measures);
  const sent = named(a?.peers, "b");
  const received = named(b?.peers, "a");
  expect(sent).toMatchObject({ up: true, sent: MESSAGES, received: 0, untaken: 0 });
  expect(received).toMatchObject({ up: true, sent: 0, received: MESSAGES });
  expect(sent?.links.channel.sentBytes).toBeGreaterThan(MESSAGES);
  expect(received?.links.channel.receivedBytes).toBe(sent?.links.channel.sentBytes);
  for (const one of [sent, received])
    for (const link of Object.values(one?.links ?? {}))
      expect(link).toMatchObject({ resent: 0, repeated: 0 });
});

test("on a bad one it says what was sent again, and what came again", async () => {
  const [a, b] = (await carried(true)).map(({ measures }) => measures);
  const sent = named(a?.peers, "b")?.links.channel;
  const received = named(b?.peers, "a")?.links.channel;
  expect(sent?.resent).toBeGreaterThan(0);
  expect(received?.repeated).toBeGreaterThan(0);
  // Exactly once above, all the same.
  expect(named(b?.peers, "a")?.received).toBe(MESSAGES);
  expect(received?.receivedBytes).toBe(sent?.sentBytes);
});

test("a group says what it has delivered, by level; a log what it has written, and what was replayed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-measures-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const network = new MemoryNetwork();
  const store = memoryStore();
  const start = (id: string) =>
    startProcess<unknown, unknown, string, null>({
      ...{ id, processes, store, transport: network.transport() },
      ...groupedCodecs<string, string[]>({ messageCodec: jsonCodec(), stateCodec: jsonCodec() }),
      log: { directory: join(directory, id), policy: "always" },
      application: new Grouped<string, string[], string, null>({
        self: id,
        groups: { talk: { members: processes } },
        messageCodec: jsonCodec(),
        application: {
          request(request, order, turn) {
            turn.multicast("talk", "hello", { order: order as "causal" | "total" });
            turn.reply(request, null);
          },
          deliver: () => {},
          capture: () => [],
          restore: () => {},
        },
      }),
    });
  const a = await start("a");
  const b = await start("b");
  for (const order of ["causal", "causal", "total"]) await a.request(order);
  const delivered = () => named(b.measures.groups, "talk")?.delivered;
  await until("all are delivered", () => delivered()?.causal === 2 && delivered()?.total === 1);
  expect(named(a.measures.groups, "talk")).toMatchObject({
    delivered: { causal: 2, total: 1 },
    ...{ held: {}, gaps: 0 },
  });
  await until("all are stable", () => named(a.measures.groups, "talk")?.unstableBytes === 0);
  const { log } = b.measures;
  expect(log).toMatchObject({ stalled: false, replayedRecords: 0 });
  expect(log?.appendedBytes).toBeGreaterThan(0);
  expect(log?.flushes).toBeGreaterThan(0);
  await until("all is on the disk", () => b.measures.log?.unsyncedBytes === 0);
  expect(b.measures.log?.unsettledBytes).toBe(0);
  await b.snapshot();
  expect(b.measures.snapshots).toMatchObject({ begun: 1, complete: 1, abandoned: {}, refused: {} });
  expect(a.measures.snapshots).toMatchObject({ begun: 0, complete: 0 });
  // Each has stored its piece, whoever began it.
  for (const one of [a, b])
    expect(one.measures.snapshots.stateBytes.counts.reduce((sum, many) => sum + many, 0)).toBe(1);
  expect(b.measures.snapshotsUnderWay).toBe(0);
  await a.stop();
  await b.stop();
});
