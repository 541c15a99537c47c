import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import {
  type Application,
  bytesCodec,
  isTidemarkError,
  memoryStore,
  type RunningProcess,
  startProcess,
  type Turn,
  tcpTransport,
} from "../../src/index.ts";
import { CuttingProxy } from "../support/cutting-proxy.ts";

const PROCESSES = ["p1", "p2", "p3"];
const CUTS = 200;
const MESSAGE_BYTES = 100;
/** What a link that is only cut must never give rise to. */
const HARMFUL = ["MALFORMED_FRAME", "FRAME_TOO_LARGE", "UNREADABLE_MESSAGE", "PEER_RESTARTED"];
const SEED = Number(process.env["SEED"] ?? 20_251_121);

/** Sends numbered messages to everybody as fast as they go, and looks at the numbers that come. */
class Numbered implements Application<Uint8Array, null> {
  flooding: boolean = true;
  sent = 0;
  readonly received = new Map<string, number>();
  readonly wrong: string[] = [];

  start(turn: Turn<Uint8Array>): void {
    turn.setTimer("fill", 0);
  }

  timer(_name: string, turn: Turn<Uint8Array>): void {
    this.#fill(turn);
  }

  writable(_to: string, turn: Turn<Uint8Array>): void {
    this.#fill(turn);
  }

  receive(from: string, message: Uint8Array): void {
    const expected = this.received.get(from) ?? 0;
    const number = new DataView(message.buffer, message.byteOffset).getFloat64(0, true);
    if (number !== expected && this.wrong.length < 10)
      this.wrong.push(`from ${from}: ${number} where ${expected} was expected`);
    this.received.set(from, expected + 1);
  }

  capture(): null {
    return null;
  }

  restore(): void {}

  #fill(turn: Turn<Uint8Array>): void {
    for (let i = 0; i < 500 && this.flooding; i += 1) {
      const message = new Uint8Array(MESSAGE_BYTES);
      new DataView(message.buffer).setFloat64(0, this.sent, true);
      this.sent += 1;
      if (!turn.send(turn.peers, message)) return;
    }
    if (this.flooding) turn.setTimer("fill", 0);
  }
}

test(`connections cut, delayed and stalled ${CUTS} times at full load: nothing is lost, repeated or out of order`, async () => {
  const random = new Random(SEED);
  const applications = new Map(PROCESSES.map((id) => [id, new Numbered()]));
  const store = memoryStore();
  const running = new Map<string, RunningProcess<Uint8Array, null>>();
  const proxies: CuttingProxy[] = [];
  try {
    for (const [id, application] of applications)
      running.set(
        id,
        await startProcess({
          id,
          processes: PROCESSES,
          application,
          messageCodec: bytesCodec,
          transport: tcpTransport(),
          store,
          lostAfterMs: 60_000,
          onProblem: ({ code, message }) => {
            if (HARMFUL.includes(code)) application.wrong.push(`${id}: ${message}`);
          },
        }),
      );
    for (const [id, one] of running)
      for (const [peer, other] of running) {
        // The smaller id dials: its way leads through a proxy.
        if (id >= peer) {
          one.connect(peer, other.address);
          continue;
        }
        const proxy = await CuttingProxy.open(other.address);
        proxies.push(proxy);
        one.connect(peer, proxy.address);
      }

    let abandoned = 0;
    const consistent: boolean[] = [];
    const cutting = new AbortController();
    const snapshots = (async () => {
      for (let i = 0; !cutting.signal.aborted; i += 1) {
        const initiator = running.get(PROCESSES[i % PROCESSES.length] as string);
        try {
          const snapshot = await initiator?.snapshot({ timeoutMs: 3000 });
          consistent.push((await snapshot?.verify())?.consistent === true);
          if (snapshot) await store.delete(snapshot.id);
        } catch (error) {
          if (!isTidemarkError(error, "SNAPSHOT_ABANDONED")) throw error;
          abandoned += 1;
        }
        await pause(50);
      }
    })();

    await pause(300);
    for (let i = 0; i < CUTS; i += 1) {
      const proxy = random.pick(proxies) as CuttingProxy;
      switch (random.below(4)) {
        case 0:
          proxy.cut("both");
          break;
        case 1:
          proxy.cut("dialler");
          break;
        case 2:
          void proxy.cutAfter(random.below(200_000));
          break;
        default:
          proxy.stall();
          await pause(random.below(20));
          proxy.resume();
          proxy.cut("both");
      }
      proxy.delay(random.chance(0.5) ? 0 : random.below(10));
      await pause(random.between(5, 60));
    }
    for (const proxy of proxies) proxy.delay(0);
    cutting.abort();
    await snapshots;

    for (const application of applications.values()) application.flooding = false;
    const missing = (): string[] =>
      [...applications].flatMap(([to, { received }]) =>
        [...applications]
          .filter(([from, { sent }]) => from !== to && received.get(from) !== sent)
          .map(([from, { sent }]) => `${from} → ${to}: ${received.get(from)} of ${sent}`),
      );
    for (let waited = 0; missing().length > 0 && waited < 20_000; waited += 20) await pause(20);

    const cuts = proxies.reduce((sum, proxy) => sum + proxy.cuts, 0);
    const sent = [...applications.values()].reduce((sum, one) => sum + one.sent, 0);
    const what = `SEED=${SEED}, ${cuts} connections cut, ${sent} messages to two peers each, ${consistent.length} snapshots, ${abandoned} abandoned`;
    expect(missing(), what).toEqual([]);
    expect(
      [...applications.values()].flatMap(({ wrong }) => wrong),
      what,
    ).toEqual([]);
    expect(cuts, what).toBeGreaterThanOrEqual(CUTS / 2);
    expect(sent, what).toBeGreaterThan(100_000);
    expect(consistent.length, what).toBeGreaterThan(0);
    expect(new Set(consistent), what).toEqual(new Set([true]));
  } finally {
    await Promise.all([...running.values()].map((one) => one.stop()));
    await Promise.all(proxies.map((proxy) => proxy.close()));
  }
}, 90_000);
