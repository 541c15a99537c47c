/** Worlds whose applications carry the machines of direct detection: over links and transports, with all that can go wrong there. */

import type { ProcessId } from "../../../src/core/id.ts";
import { Random } from "../../../src/core/random.ts";
import {
  type AndDeadlockInput,
  type AndDeadlockState,
  ChandyMisraHaasAnd,
} from "../../../src/detect/chandy-misra-haas-and.ts";
import {
  ChandyMisraHaasOr,
  type OrDeadlockInput,
  type OrDeadlockState,
} from "../../../src/detect/chandy-misra-haas-or.ts";
import {
  Terminating,
  type TerminatingApplication,
  type TerminatingMessage,
  type TerminatingState,
} from "../../../src/detect/terminating.ts";
import { type Application, FrozenState, type Turn } from "../../../src/process/application.ts";
import { defineWorld, type Faults, runWorld, type View, type World } from "../../../src/sim.ts";

const processesOf = (random: Random): ProcessId[] =>
  Array.from({ length: random.between(1, 4) }, (_, i) => `p${i + 1}`);

const strict = (reason: string): never => {
  throw new Error(reason);
};

// Termination.

interface Labour {
  /** Messages that it may yet send. */
  readonly budget: number;
  /** A timer is set. */
  readonly isBusy: boolean;
  readonly told: number;
}

type Labours = Labour | readonly Labour[];

class Labourer implements TerminatingApplication<"work", Labours> {
  #labour: Labour;
  readonly #frozen: boolean;

  constructor(budget: number, frozen: boolean) {
    this.#labour = { budget, isBusy: false, told: 0 };
    this.#frozen = frozen;
  }

  start(turn: Turn<"work">): void {
    if (turn.random.chance(0.7)) this.#begin(turn);
  }

  receive(_from: ProcessId, _message: "work", turn: Turn<"work">): void {
    if (turn.random.chance(0.5)) this.#begin(turn);
    else this.#send(turn);
  }

  timer(_name: string, turn: Turn<"work">): void {
    this.#labour = { ...this.#labour, isBusy: false };
    for (let i = turn.random.below(3); i > 0; i -= 1) this.#send(turn);
    if (turn.random.chance(0.3)) this.#begin(turn);
  }

  isPassive(): boolean {
    return !this.#labour.isBusy;
  }

  terminated(): void {
    this.#labour = { ...this.#labour, told: this.#labour.told + 1 };
  }

  #begin(turn: Turn<"work">): void {
    if (this.#labour.budget === 0) return;
    this.#labour = { ...this.#labour, isBusy: true };
    turn.setTimer("labour", turn.random.below(60));
  }

  #send(turn: Turn<"work">): void {
    const to = turn.random.pick(turn.peers);
    if (to === undefined || this.#labour.budget === 0) return;
    this.#labour = { ...this.#labour, budget: this.#labour.budget - 1 };
    turn.send(turn.random.chance(0.2) ? turn.peers : to, "work");
  }

  capture(): Labours | FrozenState {
    if (!this.#frozen) return this.#labour;
    const slices = [this.#labour];
    return new FrozenState(() => slices.shift());
  }

  restore(state: Labours): void {
    [this.#labour] = [state].flat() as [Labour];
  }
}

type TerminatingWorld = World<TerminatingMessage<"work">, TerminatingState<Labours>>;
type TerminatingView = View<TerminatingMessage<"work">, TerminatingState<Labours>, never>;

function labourOf(state: TerminatingState<Labours> | undefined): Labour | undefined {
  if (state === undefined) return undefined;
  const own = Array.isArray(state)
    ? (state as readonly { readonly slice?: unknown }[]).flatMap(({ slice }) => slice ?? [])
    : (state as { readonly state: Labours }).state;
  return ([own].flat() as Labour[])[0];
}

/**
 * One to four processes that work, and let each other work, until they have nothing left to do.
 * @param forgets as a mistake: nobody says that it has a timer
 */
export function terminatingWorld(
  seed: number,
  logsInputs: boolean,
  forgets = false,
): TerminatingWorld {
  const random = new Random(`terminating ${seed}`);
  const processes = processesOf(random);
  const budgets = new Map(processes.map((id) => [id, random.below(15)]));
  const everyMs = random.pick([1, 20, 200]) as number;
  return defineWorld<TerminatingMessage<"work">, TerminatingState<Labours>>({
    processes,
    order: random.chance(0.3) ? "none" : "fifo",
    application: (self) => {
      const application: TerminatingApplication<"work", Labours> = new Labourer(
        budgets.get(self) ?? 0,
        self === "p2",
      );
      if (forgets) application.isPassive = () => true;
      return new Terminating<"work", Labours, never, never>({
        ...{ self, processes, application, everyMs, onIrregular: strict },
      });
    },
    logsInputs,
    snapshots: processes,
    always: { "it is over if somebody is told so": (view) => isRight(view) },
    eventually: {
      "everybody is told, once": (view) =>
        processes.every((id) => labourOf(view.state(id))?.told === 1) ||
        JSON.stringify(processes.map((id) => view.state(id))),
    },
  });
}

function isRight(view: TerminatingView): true | string {
  const labours = view.up.map((id) => [id, labourOf(view.state(id))] as const);
  if (!labours.some(([, labour]) => (labour?.told ?? 0) > 0)) return true;
  const [busy] = labours.find(([, labour]) => labour?.isBusy === true) ?? [];
  if (busy !== undefined) return `${busy} is busy`;
  return view.allInFlight().every((message) => !("message" in message)) || "work is in flight";
}

// Deadlock.

/** What waits for what, as the applications say it. */
type Waits = ReadonlyMap<ProcessId, readonly ProcessId[]>;

/** Those from which a circle, or `from` itself, can be reached without the others. */
function reaches(
  waits: Waits,
  from: ProcessId,
  to: ProcessId,
  without: ReadonlySet<ProcessId>,
): boolean {
  const seen = new Set<ProcessId>();
  const open = [from];
  for (let id = open.pop(); id !== undefined; id = open.pop())
    for (const next of waits.get(id) ?? []) {
      if (next === to) return true;
      if (without.has(next) || seen.has(next)) continue;
      seen.add(next);
      open.push(next);
    }
  return false;
}

/** What goes between processes that wait, and what belongs to the detection. */
export type WaitingMessage = "ask" | "grant" | "data" | { readonly control: unknown };

const isControl = (message: WaitingMessage): message is { readonly control: unknown } =>
  typeof message === "object";

const CHECK_MS = 40;

interface Asking {
  readonly machine: AndDeadlockState;
  readonly budget: number;
  /** Requests to each that are not granted, as this process knows. */
  readonly missing: readonly ProcessId[];
  /** Who asked, and was not granted it. */
  readonly wanted: readonly ProcessId[];
  /** Grants to each, ever; requests to each, ever. */
  readonly grants: readonly ProcessId[];
  readonly asks: readonly ProcessId[];
  readonly circle: readonly ProcessId[] | null;
}

class Asker implements Application<WaitingMessage, Asking> {
  readonly #self: ProcessId;
  readonly #processes: readonly ProcessId[];
  #machine: ChandyMisraHaasAnd;
  #asking: Omit<Asking, "machine">;

  constructor(self: ProcessId, processes: readonly ProcessId[], budget: number) {
    this.#self = self;
    this.#processes = processes;
    this.#machine = new ChandyMisraHaasAnd(self, processes);
    this.#asking = { budget, missing: [], wanted: [], grants: [], asks: [], circle: null };
  }

  start(turn: Turn<WaitingMessage>): void {
    turn.setTimer("work", turn.random.below(30));
  }

  timer(name: string, turn: Turn<WaitingMessage>): void {
    if (name === "check") {
      this.#step({ type: "check" }, turn);
      return;
    }
    const { missing, wanted, budget } = this.#asking;
    if (missing.length > 0) return;
    const [next, ...rest] = wanted;
    if (next !== undefined && turn.random.chance(0.7)) {
      this.#set({ wanted: rest, grants: [...this.#asking.grants, next] });
      this.#step({ type: "grants", to: next }, turn);
      turn.send(next, "grant");
    } else if (budget > 0 && turn.peers.length > 0) {
      this.#set({ budget: budget - 1 });
      for (const of of turn.peers.filter(() => turn.random.chance(0.6))) this.#ask(of, turn);
      turn.setTimer("check", turn.random.below(CHECK_MS));
    }
    if (this.#asking.missing.length === 0 && (budget > 0 || wanted.length > 0))
      turn.setTimer("work", turn.random.below(30));
  }

  receive(from: ProcessId, message: WaitingMessage, turn: Turn<WaitingMessage>): void {
    if (isControl(message)) {
      this.#step({ type: "control", from, message: message.control }, turn);
      return;
    }
    if (message === "ask") {
      this.#set({ wanted: [...this.#asking.wanted, from] });
      this.#step({ type: "asked", by: from }, turn);
    } else {
      const at = this.#asking.missing.indexOf(from);
      this.#set({ missing: this.#asking.missing.toSpliced(at, 1) });
      this.#step({ type: "got", from }, turn);
    }
    turn.setTimer("work", turn.random.below(30));
  }

  #ask(of: ProcessId, turn: Turn<WaitingMessage>): void {
    const { missing, asks } = this.#asking;
    this.#set({ missing: [...missing, of], asks: [...asks, of] });
    this.#step({ type: "asks", of }, turn);
    turn.send(of, "ask");
  }

  #set(some: Partial<Asking>): void {
    this.#asking = { ...this.#asking, ...some };
  }

  #step(input: AndDeadlockInput, turn: Turn<WaitingMessage>): void {
    for (const effect of this.#machine.step(input))
      if (effect.type === "control") turn.send(effect.to, { control: effect.message });
      else if (effect.type === "deadlocked") this.#set({ circle: effect.circle });
      else strict(effect.reason);
  }

  capture(): Asking {
    return { ...this.#asking, machine: this.#machine.state };
  }

  restore({ machine, ...asking }: Asking): void {
    this.#asking = asking;
    this.#machine = new ChandyMisraHaasAnd(this.#self, this.#processes, machine);
  }
}

/** What those that are up say. */
const statesOf = <State>(view: View<WaitingMessage, State, never>): Map<ProcessId, State> =>
  new Map(view.up.map((id) => [id, view.state(id) as State]));

function waitsOfAskers(states: ReadonlyMap<ProcessId, Asking>): Waits {
  const times = (list: readonly ProcessId[] | undefined, id: ProcessId): number =>
    list?.filter((one) => one === id).length ?? 0;
  const waitsFor = (id: ProcessId, { asks }: Asking): ProcessId[] =>
    [...states].flatMap(([to, { grants }]) => (times(asks, to) > times(grants, id) ? [to] : []));
  return new Map([...states].map(([id, asking]) => [id, waitsFor(id, asking)]));
}

/** Processes that ask each other, and go on when all is granted. */
export function askingWorld(seed: number): World<WaitingMessage, Asking> {
  const random = new Random(`asking ${seed}`);
  const processes = processesOf(random);
  const budgets = new Map(processes.map((id) => [id, random.below(6)]));
  return defineWorld<WaitingMessage, Asking>({
    processes,
    application: (id) => new Asker(id, processes, budgets.get(id) ?? 0),
    logsInputs: true,
    snapshots: processes,
    always: {
      "who says so is in a circle": (view) => {
        const states = statesOf(view);
        const circles = [...states.values()].flatMap(({ circle }) => (circle ? [circle] : []));
        if (circles.length === 0) return true;
        const waits = waitsOfAskers(states);
        for (const circle of circles)
          for (const [i, one] of circle.entries()) {
            const next = circle[(i + 1) % circle.length] as ProcessId;
            const areUp = waits.has(one) && waits.has(next);
            if (areUp && !waits.get(one)?.includes(next)) return `${one} waits not for ${next}`;
          }
        return true;
      },
    },
    eventually: {
      "somebody knows of each circle": (view) => {
        const states = statesOf(view);
        const waits = waitsOfAskers(states);
        const know = new Set(processes.filter((id) => states.get(id)?.circle));
        return processes.every((id) => know.has(id) || !reaches(waits, id, id, know));
      },
    },
  });
}

interface Receiving {
  readonly machine: OrDeadlockState;
  readonly budget: number;
  readonly waits: readonly ProcessId[] | null;
  readonly found: readonly ProcessId[] | null;
}

class Receiver implements Application<WaitingMessage, Receiving> {
  readonly #self: ProcessId;
  readonly #processes: readonly ProcessId[];
  #machine: ChandyMisraHaasOr;
  #receiving: Omit<Receiving, "machine">;

  constructor(self: ProcessId, processes: readonly ProcessId[], budget: number) {
    this.#self = self;
    this.#processes = processes;
    this.#machine = new ChandyMisraHaasOr(self, processes);
    this.#receiving = { budget, waits: null, found: null };
  }

  start(turn: Turn<WaitingMessage>): void {
    turn.setTimer("work", turn.random.below(30));
  }

  timer(name: string, turn: Turn<WaitingMessage>): void {
    if (name === "check") {
      this.#step({ type: "check" }, turn);
      return;
    }
    const { waits, budget } = this.#receiving;
    if (waits) return;
    const to = turn.random.pick(turn.peers);
    if (budget > 0 && to !== undefined && turn.random.chance(0.6)) {
      this.#set({ budget: budget - 1 });
      turn.send(to, "data");
    } else if (turn.random.chance(0.5)) {
      const some = turn.peers.filter(() => turn.random.chance(0.5));
      this.#set({ waits: some });
      this.#step({ type: "waits", for: some }, turn);
      turn.setTimer("check", turn.random.below(CHECK_MS));
      return;
    } else if (budget === 0) return;
    turn.setTimer("work", turn.random.below(30));
  }

  receive(from: ProcessId, message: WaitingMessage, turn: Turn<WaitingMessage>): void {
    if (isControl(message)) {
      this.#step({ type: "control", from, message: message.control }, turn);
      return;
    }
    if (!this.#receiving.waits?.includes(from)) return;
    this.#set({ waits: null });
    this.#step({ type: "active" }, turn);
    turn.setTimer("work", turn.random.below(30));
  }

  #set(some: Partial<Receiving>): void {
    this.#receiving = { ...this.#receiving, ...some };
  }

  #step(input: OrDeadlockInput, turn: Turn<WaitingMessage>): void {
    for (const effect of this.#machine.step(input))
      if (effect.type === "control") turn.send(effect.to, { control: effect.message });
      else if (effect.type === "deadlocked") this.#set({ found: effect.with });
      else strict(effect.reason);
  }

  capture(): Receiving {
    return { ...this.#receiving, machine: this.#machine.state };
  }

  restore({ machine, ...receiving }: Receiving): void {
    this.#receiving = receiving;
    this.#machine = new ChandyMisraHaasOr(this.#self, this.#processes, machine);
  }
}

/** Those that will never go on. */
function neverOf(
  view: View<WaitingMessage, Receiving, never>,
  states: ReadonlyMap<ProcessId, Receiving>,
): Set<ProcessId> {
  const set = new Set([...states].flatMap(([id, { waits }]) => (waits ? [id] : [])));
  for (let size = -1; size !== set.size; ) {
    size = set.size;
    for (const id of set)
      for (const of of states.get(id)?.waits ?? [])
        if (!set.has(of) || view.inFlight(of, id).includes("data")) set.delete(id);
  }
  return set;
}

/** Processes that wait for a message of any of some others. */
export function receivingWorld(seed: number): World<WaitingMessage, Receiving> {
  const random = new Random(`receiving ${seed}`);
  const processes = processesOf(random);
  const budgets = new Map(processes.map((id) => [id, random.below(8)]));
  return defineWorld<WaitingMessage, Receiving>({
    processes,
    application: (id) => new Receiver(id, processes, budgets.get(id) ?? 0),
    logsInputs: true,
    snapshots: processes,
    always: {
      "who says so will never go on": (view) => {
        const states = statesOf(view);
        const found = [...states.values()].flatMap((one) => one.found ?? []);
        // Of those that are down nothing is known.
        if (found.length === 0 || states.size < processes.length) return true;
        const never = neverOf(view, states);
        const free = found.find((one) => !never.has(one));
        return free === undefined || `${free} may go on`;
      },
    },
    eventually: {
      "somebody knows of each": (view) => {
        const states = statesOf(view);
        const waits = new Map([...states].map(([id, one]) => [id, one.waits ?? []]));
        const know = processes.filter((id) => states.get(id)?.found);
        return [...neverOf(view, states)].every((id) =>
          know.some((one) => one === id || reaches(waits, id, one, new Set())),
        );
      },
    },
  });
}

/**
 * Runs a world. While it is being restored, some of its processes are as they were before and some as they have become, and they
 * say nothing of each other: then it is not judged by what is always true.
 */
export function runInEpochs<M, State>(
  world: World<M, State>,
  options: { readonly seed: number; readonly faults: Faults },
): void {
  let epochs = (): number => 1;
  const always = Object.entries(world.always ?? {}).map(
    ([name, holds]) =>
      [name, (view: View<M, State, never>) => epochs() > 1 || holds(view)] as const,
  );
  runWorld(
    { ...world, always: Object.fromEntries(always) },
    {
      ...options,
      prepare: (simulation) => {
        epochs = () => new Set(world.processes.map((id) => simulation.epochOf(id))).size;
      },
    },
  );
}
