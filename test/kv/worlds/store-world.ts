/**
 * The store in the simulator: the replicas that ship, three of them, which log their inputs, and random clients; and all that is written
 * down of a run, for judge.ts.
 */

import type { ProcessId } from "../../../src/core/id.ts";
import { Random } from "../../../src/core/random.ts";
import { joinBytes } from "../../../src/core/record.ts";
import { commandTable } from "../../../src/kv/commands.ts";
import { readLatin1 } from "../../../src/kv/latin1.ts";
import { type ConvergingLevel, Namespaces } from "../../../src/kv/namespaces.ts";
import { HEADER_BYTES, MESSAGE_BYTES, RECORD_HEAD_BYTES } from "../../../src/kv/record.ts";
import {
  GROUP,
  groupOfLevel,
  Output,
  Replica,
  type ReplicaReply,
  type ReplicaRequest,
  type ReplicaState,
} from "../../../src/kv/replica.ts";
import type { TotalOrderEngine } from "../../../src/multicast/group.ts";
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
import { Caller, drawSteps } from "./callers.ts";
import { Asking, PATTERN } from "./converging.ts";
import { type Call, type Connection, Door, mayBlock, type Taken, waits } from "./door.ts";
import { judgeTotal } from "./judge.ts";
import { judgeConverging } from "./judge-converging.ts";
import { Solitude } from "./solitude.ts";
import { type Places, type StoreReport, type Story, stateCodec, stateOf, textOf } from "./story.ts";
import { Listener, seenIn, type Tellings, type Told } from "./told.ts";

const PROCESSES: readonly ProcessId[] = ["p1", "p2", "p3"];
/** Clients go on for so long when nothing goes wrong any more. */
const CALM_MS = 300;
const NOTHING = new Uint8Array(0);
/** Whoever waits for nobody is answered so soon, and by then its log has been written. */
const PROMPT_MS = 100;

const slicesOf = (state: GroupedState<ReplicaState>): ReplicaState =>
  (state as readonly GroupedSlice[]).flatMap((one) =>
    "slice" in one ? [one.slice] : [],
  ) as unknown as ReplicaState;

interface Watching {
  taken(replica: Watched, place: number, record: Taken): void;
  told(replica: Watched, told: Told): void;
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
  /** Of the namespace, if there is one. */
  readonly #listener: Listener | undefined;
  readonly #group: string | undefined;
  /** What had been told here when something was said to clients. */
  readonly seenBy: WeakMap<Output, readonly number[]> = new WeakMap<Output, readonly number[]>();

  constructor(self: ProcessId, epoch: number, order: StoreOrder, watching: Watching) {
    super({
      ...{ self, table: commandTable, replicas: PROCESSES },
      ...(order !== "total" && { namespaces: new Namespaces({ [order]: [PATTERN] }) }),
    });
    this.self = self;
    this.epoch = epoch;
    this.#watching = watching;
    if (order === "total") return;
    this.#group = groupOfLevel(order);
    this.#listener = new Listener(
      ...([order, PROCESSES.indexOf(self), PROCESSES.length] as const),
      (one) => watching.told(this, one),
    );
  }

  get seen(): readonly number[] | undefined {
    return this.#listener?.seen;
  }

  override request(
    id: number,
    message: ReplicaRequest,
    turn: GroupTurn<Uint8Array, ReplicaReply>,
  ): void {
    this.#heard(turn, (heard) => super.request(id, message, heard));
  }

  /** What it says in this turn is heard. */
  #heard(
    turn: GroupTurn<Uint8Array, ReplicaReply>,
    act: (turn: GroupTurn<Uint8Array, ReplicaReply>) => void,
  ): void {
    const listener = this.#listener;
    if (!listener) {
      act(turn);
      return;
    }
    const outputs: Output[] = [];
    const { nowMs, replays } = turn;
    const heard: Pick<typeof turn, "nowMs" | "replays" | "multicast" | "reply"> = {
      ...{ nowMs, replays },
      multicast: (group, message, options) => {
        if (group === this.#group) listener.piece(PROCESSES.indexOf(this.self), message);
        return turn.multicast(group, message, options);
      },
      reply: (id, reply) => {
        if (reply instanceof Output) outputs.push(reply);
        turn.reply(id, reply);
      },
    };
    act(heard as typeof turn);
    for (const output of outputs) this.seenBy.set(output, listener.seen);
  }

  override resume(turn: GroupTurn<Uint8Array, ReplicaReply>): void {
    super.resume(turn);
    this.#watching.began(this);
  }

  override restore(state: ReplicaState): void {
    super.restore(state);
    this.#listener?.restore(state);
    this.#rests.clear();
    for (const [from, stream, rest] of state[0].origins) this.#rests.set(from, { stream, rest });
  }

  override deliver(
    group: string,
    delivery: Delivery<Uint8Array>,
    turn: GroupTurn<Uint8Array, ReplicaReply>,
  ): void {
    const { from, message } = delivery;
    if (group !== GROUP) {
      this.#heard(turn, (heard) => {
        super.deliver(group, delivery, heard);
        if (from !== this.self) this.#listener?.piece(PROCESSES.indexOf(from), message);
      });
      return;
    }
    const stream = new DataView(message.buffer, message.byteOffset).getUint32(8, true);
    const before = this.#rests.get(from);
    const rest = before?.stream === stream ? before.rest : NOTHING;
    const bytes = joinBytes([rest, message.subarray(HEADER_BYTES)]);
    const { applied } = this;
    this.#heard(turn, (heard) => super.deliver(group, delivery, heard));
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

/** In which order keys are: in a namespace of such an order, or all in total order. */
export type StoreOrder = "total" | ConvergingLevel;

/**
 * Runs a world of a seed, and judges it.
 * @throws Error with what is wrong
 */
export function runStoreWorld(
  seed: number,
  order: StoreOrder = "total",
  engine: TotalOrderEngine = "sequencer",
): StoreReport {
  const random = new Random(`store ${seed}`);
  const faults = faultsOf(seed);
  const doors = new Map<ProcessId, Door>();
  const replicas = new Map<ProcessId, Watched>();
  const taken = new Map<number, Places>();
  const bases = new Map<number, Map<ProcessId, number>>();
  const calls: Call[] = [];
  const connections = new Map<string, Connection>();
  const epochs = new Map<string, number>();
  const told = new Map<number, Tellings>();
  const isWild = order !== "total" && seed % 4 === 0;
  const solitude = new Solitude();
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
    told({ self, epoch }, { from, last, context, text }) {
      const tellings = told.get(epoch) ?? PROCESSES.map(() => new Map());
      told.set(epoch, tellings);
      const own = tellings[from] as Tellings[number];
      const isHeard = PROCESSES[from] !== self;
      const before = own.get(last);
      // What nobody has heard may be lost with who said it, and its time be used again.
      for (const [at, lost] of own) {
        const isGone =
          at > (context[from] ?? 0) && (at < last || (at === last && lost.text !== text));
        if (isGone && (isHeard || lost.isHeard))
          throw new Error(`${self} has ${text} of ${PROCESSES[from]}, and it was ${lost.text}`);
        if (isGone) own.delete(at);
      }
      own.set(last, { text, isHeard: isHeard || (before?.isHeard ?? false) });
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

  const groups = order === "total" ? [GROUP] : [GROUP, groupOfLevel(order)];
  const begin = (self: ProcessId): Watched => {
    const before = replicas.get(self);
    const replica = new Watched(self, before?.epoch ?? 1, order, watching);
    replicas.set(self, replica);
    const old = doors.get(self);
    if (old) old.isOpen = false;
    streams += 1;
    const door = new Door(self, streams, replica, {
      now: () => simulation.events,
      nowMs: () => simulation.nowMs,
      epochOf: () => replica.epoch,
      after: (ms, act) => simulation.after(ms, () => door.isOpen && act()),
      request: (process, message) => simulation.request(process, message, 0),
      last: () => replica.last,
      seen: () => replica.seen,
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
        groups: Object.fromEntries(
          groups.map((name) => [
            name,
            { members: PROCESSES, total: name === GROUP ? engine : "sequencer" },
          ]),
        ),
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
        const story = storyOf(view);
        report = order === "total" ? judgeTotal(story) : judgeConverging(story, order);
        return true;
      },
    },
  });
  const storyOf = (view: View<Uint8Array, GroupedState<ReplicaState>, ReplicaReply>): Story => ({
    ...{ taken, bases, calls, connections, replicas, doors, restores: simulation.restores },
    seenBefore: new Map(
      simulation.restores.map(({ epoch, snapshot }) => {
        const { states = {} } = view.snapshots.find(({ id }) => id === snapshot) ?? {};
        const seen = (id: ProcessId): readonly number[] =>
          order === "total" ? [] : seenIn(slicesOf(states[id] ?? []), order);
        return [epoch, new Map(PROCESSES.map((id) => [id, seen(id)]))];
      }),
    ),
    ...{ told, isWild, promptMs: PROMPT_MS + 4 * faults.syncMs },
    isAlone: ({ process, askedMs, answeredMs = askedMs }) =>
      solitude.has(process, askedMs, answeredMs),
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
    watch: ({ process, happening, nowMs }) => {
      solitude.hear(process, happening, nowMs);
      if (happening.type === "crash") (doors.get(process) as Door).isOpen = false;
      if (happening.type === "complete")
        epochs.set(happening.snapshot, simulation.epochOf(process));
    },
    onUnasked: (process, reply) => {
      if (reply instanceof Output)
        doors.get(process)?.hear(reply, replicas.get(process)?.seenBy.get(reply));
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
      const asking = new Asking(random, isWild);
      const large = order === "total" ? "s2" : "c:s2";
      for (let i = 0, many = random.between(2, 6); i < many; i += 1) {
        const caller = new Caller({
          name: "bcdefg"[i] as string,
          random,
          doors: open,
          called: (call) => calls.push(call),
          met: (one) => connections.set(one.name, one),
          draw: (value) => (order === "total" ? drawSteps(random, value) : asking.draw(value)),
          large: hasLarge(seed) ? large : undefined,
          hasTokens: order === "total",
        });
        often(random.pick([10, 40, 100]) as number, () => caller.act());
      }
      often(20, () => {
        for (const door of open()) door.flush();
      });
      often(60, () => doors.get("p1")?.isOpen && doors.get("p1")?.sweep());
      if (isWild) often(300, () => (random.pick(open()) as Door | undefined)?.empty());
      // Whoever asked last is heard as well.
      simulation.after(endMs + 20, () => {
        for (const door of open()) door.flush();
      });
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
