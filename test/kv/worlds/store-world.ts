/**
 * The store in the simulator: the replicas that ship, three of them, which log their inputs, and random clients; and all that is written
 * down of a run, for judge.ts.
 */

import type { ProcessId } from "../../../src/core/id.ts";
import { Random } from "../../../src/core/random.ts";
import { joinBytes } from "../../../src/core/record.ts";
import { commandTable } from "../../../src/kv/commands.ts";
import { readLatin1 } from "../../../src/kv/latin1.ts";
import { HEADER_BYTES, MESSAGE_BYTES, RECORD_HEAD_BYTES } from "../../../src/kv/record.ts";
import {
  GROUP,
  Output,
  Replica,
  type ReplicaReply,
  type ReplicaRequest,
  type ReplicaState,
} from "../../../src/kv/replica.ts";
import { bytesCodec, lentBytesCodec } from "../../../src/process/codec.ts";
import {
  type Delivery,
  Grouped,
  type GroupedSlice,
  type GroupedState,
  type GroupTurn,
  groupedCodecs,
} from "../../../src/process/grouped.ts";
import {
  defineWorld,
  drawFaults,
  type Faults,
  runWorld,
  type Simulation,
  type View,
} from "../../../src/sim.ts";
import { Caller } from "./callers.ts";
import { type Call, type Connection, Door, mayBlock, type Taken, waits } from "./door.ts";
import { judgeTotal } from "./judge.ts";
import { type Places, type StoreReport, type Story, stateCodec, stateOf, textOf } from "./story.ts";

const PROCESSES: readonly ProcessId[] = ["p1", "p2", "p3"];
/** Clients go on for so long when nothing goes wrong any more. */
const CALM_MS = 300;
const NOTHING = new Uint8Array(0);

const slicesOf = (state: GroupedState<ReplicaState>): ReplicaState =>
  (state as readonly GroupedSlice[]).flatMap((one) =>
    "slice" in one ? [one.slice] : [],
  ) as unknown as ReplicaState;

interface Watching {
  taken(replica: Watched, place: number, record: Taken): void;
  began(replica: Watched): void;
}

/** The replica that ships; what it takes is written down beside it. */
class Watched extends Replica {
  readonly self: ProcessId;
  epoch: number;
  last: Taken | undefined;
  /** Of records that are not whole. */
  readonly #rests = new Map<ProcessId, { readonly stream: number; readonly rest: Uint8Array }>();
  readonly #watching: Watching;

  constructor(self: ProcessId, epoch: number, watching: Watching) {
    super({ self, table: commandTable });
    this.self = self;
    this.epoch = epoch;
    this.#watching = watching;
  }

  override resume(turn: GroupTurn<Uint8Array, ReplicaReply>): void {
    super.resume(turn);
    this.#watching.began(this);
  }

  override restore(state: ReplicaState): void {
    super.restore(state);
    this.#rests.clear();
    for (const [from, stream, rest] of state[0].origins) this.#rests.set(from, { stream, rest });
  }

  override deliver(
    group: string,
    delivery: Delivery<Uint8Array>,
    turn: GroupTurn<Uint8Array, ReplicaReply>,
  ): void {
    const { from, message } = delivery;
    const stream = new DataView(message.buffer, message.byteOffset).getUint32(8, true);
    const before = this.#rests.get(from);
    const rest = before?.stream === stream ? before.rest : NOTHING;
    const bytes = joinBytes([rest, message.subarray(HEADER_BYTES)]);
    const { applied } = this;
    super.deliver(group, delivery, turn);
    const view = new DataView(bytes.buffer);
    let place = applied;
    let at = 0;
    while (at + RECORD_HEAD_BYTES <= bytes.length) {
      const end = at + 4 + view.getUint32(at, true);
      if (end > bytes.length) break;
      place += 1;
      this.last = {
        ...{ from, stream, atMs: this.nowMs },
        kind: bytes[at + 4] as number,
        session: view.getUint32(at + 6, true),
        requests: readLatin1(bytes, at + RECORD_HEAD_BYTES, end),
      };
      this.#watching.taken(this, place, this.last);
      at = end;
    }
    this.#rests.set(from, { stream, rest: bytes.slice(at) });
    if (place !== this.applied)
      throw new Error(
        `${this.self} has taken ${this.applied - applied} records of ${place - applied}`,
      );
  }
}

/** Some values need several messages. */
const hasLarge = (seed: number): boolean => seed % 23 === 0;

/** Faults in which processes die and the system may be restored; in some seeds neither. */
function faultsOf(seed: number): Faults {
  const faults = drawFaults(seed);
  return {
    ...faults,
    capacity: hasLarge(seed) ? 0 : faults.capacity,
    crashes: seed % 4,
    fromSnapshot: seed % 3 === 0 ? 0.6 : 0,
  };
}

/** By the order that the group gives: what must be true of a run. */
const JUDGES: { readonly total: (story: Story) => StoreReport } = { total: judgeTotal };

/**
 * Runs a world of a seed, and judges it.
 * @throws Error with what is wrong
 */
export function runStoreWorld(seed: number, order: keyof typeof JUDGES = "total"): StoreReport {
  const random = new Random(`store ${seed}`);
  const faults = faultsOf(seed);
  const doors = new Map<ProcessId, Door>();
  const replicas = new Map<ProcessId, Watched>();
  const taken = new Map<number, Places>();
  const bases = new Map<number, Map<ProcessId, number>>();
  const calls: Call[] = [];
  const connections = new Map<string, Connection>();
  const epochs = new Map<string, number>();
  let streams = 0;
  let simulation: Simulation<Uint8Array, GroupedState<ReplicaState>, ReplicaRequest, ReplicaReply>;
  let report: StoreReport | undefined;

  const watching: Watching = {
    taken({ self, epoch }, place, record) {
      const places: Places = taken.get(epoch) ?? new Map();
      taken.set(epoch, places);
      const by = places.get(place) ?? new Map<ProcessId, Taken>();
      places.set(place, by.set(self, record));
    },
    began(replica) {
      replica.epoch = simulation.epochOf(replica.self);
      const restored = simulation.restores.find(({ epoch }) => epoch === replica.epoch);
      const snapshot = simulation.view.snapshots.find(({ id }) => id === restored?.snapshot);
      const state = snapshot?.states[replica.self];
      if (!state || textOf(slicesOf(state)) !== textOf(stateOf(replica)))
        throw new Error(
          `${replica.self} was restored to something else than ${restored?.snapshot}`,
        );
      const base = bases.get(replica.epoch) ?? new Map<ProcessId, number>();
      bases.set(replica.epoch, base);
      if (!base.has(replica.self)) base.set(replica.self, replica.applied);
    },
  };

  const begin = (self: ProcessId): Watched => {
    const before = replicas.get(self);
    const replica = new Watched(self, before?.epoch ?? 1, watching);
    replicas.set(self, replica);
    const old = doors.get(self);
    if (old) old.isOpen = false;
    streams += 1;
    const door = new Door(self, streams, replica, {
      now: () => simulation.events,
      epochOf: () => replica.epoch,
      after: (ms, act) => simulation.after(ms, () => door.isOpen && act()),
      request: (process, message) => simulation.request(process, message, 0),
      last: () => replica.last,
    });
    doors.set(self, door);
    return replica;
  };

  const world = defineWorld<Uint8Array, GroupedState<ReplicaState>, ReplicaRequest, ReplicaReply>({
    processes: PROCESSES,
    order: random.chance(0.2) ? "none" : "fifo",
    application: (self) =>
      new Grouped<Uint8Array, ReplicaState, ReplicaRequest, ReplicaReply>({
        self,
        application: begin(self),
        groups: { [GROUP]: { members: PROCESSES } },
        messageCodec: lentBytesCodec,
        maxMessageBytes: MESSAGE_BYTES,
        onIrregular: (reason) => {
          throw new Error(reason);
        },
      }),
    ...groupedCodecs<Uint8Array, ReplicaState>({ messageCodec: lentBytesCodec, stateCodec }),
    requestCodec: bytesCodec,
    logsInputs: true,
    snapshots: PROCESSES,
    eventually: {
      "clients have seen one store": (view) => {
        const late = [...connections.values()].find(
          (one) => one.door.isOpen && !one.isClosed && waits(one) && !mayBlock(one),
        );
        if (late) return `${late.name} is never answered: ${late.records[late.answered]?.command}`;
        report = JUDGES[order](storyOf(view));
        return true;
      },
    },
  });
  const storyOf = (view: View<Uint8Array, GroupedState<ReplicaState>, ReplicaReply>): Story => ({
    ...{ taken, bases, calls, connections, replicas, restores: simulation.restores },
    epoch: Math.max(...PROCESSES.map((id) => simulation.epochOf(id))),
    snapshots: view.snapshots.map(({ id, states }) => ({
      epoch: epochs.get(id) ?? 1,
      states: Object.fromEntries(
        Object.entries(states).map(([process, state]) => [process, slicesOf(state)]),
      ),
    })),
  });

  runWorld(world, {
    ...{ seed, faults },
    watch: ({ process, happening }) => {
      if (happening.type === "crash") (doors.get(process) as Door).isOpen = false;
      if (happening.type === "complete")
        epochs.set(happening.snapshot, simulation.epochOf(process));
    },
    onUnasked: (process, reply) => {
      if (reply instanceof Output) doors.get(process)?.hear(reply);
    },
    prepare: (prepared) => {
      simulation = prepared;
      const open = (): Door[] => [...doors.values()].filter(({ isOpen }) => isOpen);
      const endMs = faults.lastMs + CALM_MS;
      const often = (most: number, act: () => void): void => {
        const again = (): void => {
          if (simulation.nowMs > endMs) return;
          act();
          simulation.after(random.fraction() * most, again);
        };
        simulation.after(random.fraction() * most, again);
      };
      for (let i = 0, many = random.between(2, 6); i < many; i += 1) {
        const caller = new Caller({
          name: "bcdefg"[i] as string,
          random,
          doors: open,
          called: (call) => calls.push(call),
          met: (one) => connections.set(one.name, one),
          hasLarge: hasLarge(seed),
        });
        often(random.pick([10, 40, 100]) as number, () => caller.act());
      }
      often(20, () => {
        for (const door of open()) door.flush();
      });
      often(60, () => doors.get("p1")?.isOpen && doors.get("p1")?.sweep());
      // Nobody is there in the end.
      simulation.after(endMs + 500, () => {
        for (const door of open()) {
          for (const connection of door.connections.values())
            if (mayBlock(connection)) door.close(connection);
          door.flush();
        }
      });
    },
  });
  if (!report) throw new Error("it was not judged");
  return report;
}
