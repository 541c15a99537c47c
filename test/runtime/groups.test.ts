// Groups over TCP at full load, while connections are cut and the system is restored: each message once, in the order asked for, the same everywhere where it is total.
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { ORDER_LEVELS, type OrderLevel } from "../../src/core/order-level.ts";
import { Random } from "../../src/core/random.ts";
import {
  type Delivery,
  type GroupApplication,
  Grouped,
  type GroupTurn,
  groupedCodecs,
  isTidemarkError,
  jsonCodec,
  lentBytesCodec,
  memoryStore,
  type RunningProcess,
  type SnapshotId,
  startProcess,
  tcpTransport,
} from "../../src/index.ts";
import { CuttingProxy } from "../support/cutting-proxy.ts";
import { cases } from "../support/soak.ts";

const PROCESSES = ["p1", "p2", "p3"];
const MESSAGE_BYTES = 100;
const SEED = Number(process.env["SEED"] ?? 20_261_125);
const LEVELS = Object.keys(ORDER_LEVELS) as OrderLevel[];

/** What is undone by a restore. */
interface Told {
  readonly sent: number;
  readonly delivered: number;
  readonly order: number;
  readonly next: readonly (readonly [string, number])[];
}

/** Multicasts so many numbered messages as fast as they go, and looks at what comes. */
class Numbered implements GroupApplication<Uint8Array, Told> {
  sent = 0;
  delivered = 0;
  /** Of each member, how many messages: they come in sequence, whatever the order. */
  readonly next = new Map<string, number>();
  /** Over all that was delivered, in that order. */
  order = 0;
  readonly wrong: string[] = [];
  readonly #level: OrderLevel;
  readonly #most: number;

  constructor(level: OrderLevel, most: number) {
    this.#level = level;
    this.#most = most;
  }

  start(turn: GroupTurn<Uint8Array>): void {
    turn.setTimer("fill", 0);
  }

  timer(_name: string, turn: GroupTurn<Uint8Array>): void {
    this.#fill(turn);
  }

  groupWritable(_group: string, turn: GroupTurn<Uint8Array>): void {
    this.#fill(turn);
  }

  deliver(_group: string, { from, message }: Delivery<Uint8Array>): void {
    const number = new DataView(message.buffer, message.byteOffset).getUint32(0, true);
    const expected = this.next.get(from) ?? 0;
    if (number !== expected) this.wrong.push(`${number} of ${from} where ${expected} was expected`);
    this.next.set(from, number + 1);
    this.delivered += 1;
    this.order = Math.imul(this.order ^ (number * 4 + Number(from.slice(1))), 0x9e3779b1) | 0;
  }

  capture(): Told {
    const { sent, delivered, order } = this;
    return { sent, delivered, order, next: [...this.next] };
  }

  restore({ next, ...told }: Told): void {
    Object.assign(this, told);
    this.next.clear();
    for (const [from, number] of next) this.next.set(from, number);
  }

  #fill(turn: GroupTurn<Uint8Array>): void {
    for (let i = 0; i < 500 && this.sent < this.#most; i += 1) {
      const message = new Uint8Array(MESSAGE_BYTES);
      new DataView(message.buffer).setUint32(0, this.sent, true);
      this.sent += 1;
      if (!turn.multicast("all", message, { order: this.#level })) return;
    }
    if (this.sent < this.#most) turn.setTimer("fill", 0);
  }
}

const contests = LEVELS.flatMap((level) =>
  level.includes("total")
    ? ([
        [level, "sequencer"],
        [level, "agreed"],
      ] as const)
    : ([[level, "sequencer"]] as const),
);

test.each(contests)("%s order, %s", { timeout: 600_000 }, async (level, total) => {
  const most = cases("groups-tcp", 30_000, 1_000_000);
  const random = new Random(`${SEED} ${level} ${total}`);
  const store = memoryStore();
  const talkers = new Map(PROCESSES.map((id) => [id, new Numbered(level, most)]));
  const running = new Map<string, RunningProcess<unknown, unknown>>();
  const proxies: CuttingProxy[] = [];
  const problems: string[] = [];
  try {
    for (const [self, application] of talkers) {
      const messageCodec = lentBytesCodec;
      const onIrregular = (reason: string): void => void problems.push(reason);
      const groups = { all: { members: PROCESSES, total } };
      running.set(
        self,
        await startProcess({
          ...{ id: self, processes: PROCESSES, store, transport: tcpTransport() },
          application: new Grouped({ self, application, groups, messageCodec, onIrregular }),
          ...groupedCodecs<Uint8Array, Told>({ messageCodec, stateCodec: jsonCodec<Told>() }),
          lostAfterMs: 60_000,
          onProblem: ({ code, message }) => {
            // Whoever is in the epoch before is told so.
            if (code !== "PEER_UNREACHABLE" && code !== "EPOCH_MISMATCH")
              problems.push(`${code} ${message}`);
          },
        }),
      );
    }
    for (const [id, one] of running)
      for (const [peer, other] of running) {
        if (id >= peer) {
          one.connect(peer, other.address);
          continue;
        }
        const proxy = await CuttingProxy.open(other.address);
        proxies.push(proxy);
        one.connect(peer, proxy.address);
      }
    let cuts = 0;
    const consistent: SnapshotId[] = [];
    let restores = 0;
    const isDone = (): boolean =>
      [...talkers.values()].every(({ delivered }) => delivered === PROCESSES.length * most);
    for (let stuck = 0, before = 0; (!isDone() || restores === 0) && stuck < 500; ) {
      await pause(random.between(5, 40));
      if (cuts === 0 || random.chance(0.3)) {
        random.pick(proxies)?.cut("both");
        cuts += 1;
      }
      if (consistent.length === 0 || random.chance(0.1))
        consistent.push(...(await consistentOf(running.get("p2"))));
      const [from] = consistent.slice(-1);
      if (from && restores < cases("groups-tcp", 1, 4) && random.chance(0.2)) {
        const { absent } = (await running.get(random.pick(PROCESSES) ?? "p1")?.restore(from)) ?? {};
        expect(absent).toEqual([]);
        restores += 1;
      }
      const all = [...talkers.values()].reduce((sum, { delivered }) => sum + delivered, 0);
      stuck = all === before ? stuck + 1 : 0;
      before = all;
    }
    const what = `SEED=${SEED}, ${cuts} cuts, ${consistent.length} snapshots, ${restores} restores`;
    const counts = [...talkers.values()].map(({ delivered }) => delivered);
    expect(counts, what).toEqual(PROCESSES.map(() => PROCESSES.length * most));
    for (const { wrong } of talkers.values()) expect(wrong.slice(0, 3), what).toEqual([]);
    const orders = new Set([...talkers.values()].map(({ order }) => order));
    if (ORDER_LEVELS[level].includes("total order")) expect(orders.size, what).toBe(1);
    expect(problems, what).toEqual([]);
    expect(cuts, what).toBeGreaterThan(0);
    expect(restores, what).toBeGreaterThan(0);
  } finally {
    await Promise.all([...running.values()].map((one) => one.stop()));
    await Promise.all(proxies.map((proxy) => proxy.close()));
  }
});

/** A snapshot, if it was not abandoned. */
async function consistentOf(
  one: RunningProcess<unknown, unknown> | undefined,
): Promise<SnapshotId[]> {
  try {
    const snapshot = await one?.snapshot({ timeoutMs: 3000 });
    expect((await snapshot?.verify())?.consistent).toBe(true);
    return snapshot ? [snapshot.id] : [];
  } catch (error) {
    if (!isTidemarkError(error, "SNAPSHOT_ABANDONED")) throw error;
    return [];
  }
}
