/** Groups at full load, over a transport that is given, while connections are cut and the system is restored. */
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "vitest";
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
  type Transport,
} from "../../src/index.ts";

/** What carries the frames of a group, and how that fails. */
export interface GroupNetwork {
  transport(id: string): Transport;
  /** All are there: they may need to be told where the others are. */
  introduce(running: ReadonlyMap<string, RunningProcess<unknown, unknown>>): Promise<void>;
  /** Breaks connections; says how many. Not more often than they can come up again. */
  cut(random: Random): number | Promise<number>;
  close(): Promise<void>;
}

/** Longer than anything takes on a slow machine. */
const PATIENCE_MS = 60_000;
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

/** Every order level, and each way to total order. */
export const contests: readonly (readonly [OrderLevel, "sequencer" | "agreed"])[] = LEVELS.flatMap(
  (level) =>
    level.includes("total")
      ? ([
          [level, "sequencer"],
          [level, "agreed"],
        ] as const)
      : ([[level, "sequencer"]] as const),
);

/** Each member multicasts so many messages; all are delivered, each once and in the order asked for, the same everywhere where it is total. */
export async function contest(
  level: OrderLevel,
  total: "sequencer" | "agreed",
  { most, restores: restoresMost }: { readonly most: number; readonly restores: number },
  network: GroupNetwork,
): Promise<void> {
  const random = new Random(`${SEED} ${level} ${total}`);
  const store = memoryStore();
  const talkers = new Map(PROCESSES.map((id) => [id, new Numbered(level, most)]));
  const running = new Map<string, RunningProcess<unknown, unknown>>();
  const problems: string[] = [];
  try {
    for (const [self, application] of talkers) {
      const messageCodec = lentBytesCodec;
      const onIrregular = (reason: string): void => void problems.push(reason);
      const groups = { all: { members: PROCESSES, total } };
      running.set(
        self,
        await startProcess({
          ...{ id: self, processes: PROCESSES, store, transport: network.transport(self) },
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
    await network.introduce(running);
    let cuts = 0;
    const consistent: SnapshotId[] = [];
    let restores = 0;
    const isDone = (): boolean =>
      [...talkers.values()].every(({ delivered }) => delivered === PROCESSES.length * most);
    let [changedMs, before] = [performance.now(), 0];
    while ((!isDone() || restores === 0) && performance.now() - changedMs < PATIENCE_MS) {
      await pause(random.between(5, 40));
      if (cuts === 0 || random.chance(0.3)) cuts += await network.cut(random);
      if (consistent.length === 0 || random.chance(0.1))
        consistent.push(...(await consistentOf(running.get("p2"))));
      const [from] = consistent.slice(-1);
      if (from && restores < restoresMost && random.chance(0.2)) {
        const { absent } = (await running.get(random.pick(PROCESSES) ?? "p1")?.restore(from)) ?? {};
        expect(absent).toEqual([]);
        restores += 1;
      }
      const all = [...talkers.values()].reduce((sum, { delivered }) => sum + delivered, 0);
      if (all !== before) changedMs = performance.now();
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
    await network.close();
  }
}

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
