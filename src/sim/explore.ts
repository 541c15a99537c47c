/**
 * Every schedule of a small world: each order in which messages can arrive, requests be asked, timers ring and snapshots
 * begin, driving the shipping `Process`.
 *
 * Assumptions. As in local.ts: time stands still, stores are instantaneous, and the network loses nothing. Each direction
 * between two processes is FIFO, as TCP is, unless the world's channels have no order: then any frame may come next.
 *
 * Theory of operation. A global state is one local state per process and what is under way in each direction, all as
 * numbers: a row of a table. A transition changes the row of one process and those directions that it reads and
 * writes. Breadth first, so the first way found to break a property is a shortest one; each state is looked at once. The
 * states that are left when no new one is found are all there are (Clarke, Grumberg and Peled 1999, *Model Checking*, ch. 2; Holzmann
 * 1997). Of states that differ only in which interchangeable process is which, one stands for all: see symmetry.ts. Then
 * `eventually` is judged by the states in which a run can end, and those on cycles; `liveness` backwards from the states
 * where it holds.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { Topology } from "../core/topology.ts";
import { jsonCodec } from "../process/codec.ts";
import { isPromise } from "./check.ts";
import {
  Frames,
  incarnationOf,
  type LocalInput,
  LocalStates,
  type SearchSetting,
} from "./local.ts";
import { Queues } from "./queues.ts";
import { formatStep, type ScheduleStep } from "./schedule.ts";
import type { SeenSnapshot } from "./seen.ts";
import { StateTable } from "./state-table.ts";
import { Symmetry } from "./symmetry.ts";
import type { Property, View, World } from "./world.ts";

/** How far a search goes. */
export interface ExploreOptions {
  /** `depth` takes less memory for what is still to be done; counterexamples are then not the shortest. @default "breadth" */
  readonly order?: "breadth" | "depth";
  /** Steps from the beginning, at the most: 1 or more, as of all bounds. @default no bound */
  readonly maxDepth?: number;
  /** The search ends when it comes to one more. @default 10_000_000 */
  readonly maxStates?: number;
  /** Bytes that all that is remembered may take, about: global states, those of single processes, messages. @default 1 GiB */
  readonly maxBytes?: number;
  /** Hears how far it is, every 50,000 states. */
  readonly progress?: (progress: { readonly states: number; readonly depth: number }) => void;
}

/** A property that does not hold. */
export interface Counterexample {
  readonly kind: "always" | "sometimes" | "eventually" | "safety" | "liveness" | "problem";
  readonly property: string;
  /** Why it does not, where it says so; that it threw or is async, if it did or is. */
  readonly reason?: string;
  /** From the beginning to where it does not hold; empty for a `sometimes` that never does, of which there is nothing to show. */
  readonly schedule: readonly ScheduleStep[];
}

/** What a search found. */
export interface Exploration {
  /** Different global states; one for all that differ only in which interchangeable process is which. */
  readonly states: number;
  readonly transitions: number;
  /** States in which nothing can happen any more. */
  readonly ends: number;
  readonly depth: number;
  /** Different states of single processes, and how often a process was asked. */
  readonly localStates: number;
  readonly steps: number;
  /** Every state was looked at. If not, which bound ended the search; what was not found may be there. */
  readonly complete: boolean;
  readonly bound?: "depth" | "states" | "memory";
  readonly counterexample?: Counterexample;
}

const PROGRESS_EVERY = 50_000;
/** In transitions. */
const PAUSE_EVERY = 4096;

/**
 * Explores a world.
 * @throws TidemarkError `BAD_OPTION` of the options; `BAD_ID`, `BAD_OPTION`, `UNKNOWN_PROCESS` of the world
 *
 * @example
 * ```ts
 * import { defineWorld, explore } from "tidemark/sim";
 * const world = defineWorld<string, string[]>({
 *   processes: ["a", "b", "c"],
 *   application: (id) => {
 *     let heard: string[] = [];
 *     return {
 *       start: (turn) => void (id === "c" || turn.send("c", id)),
 *       receive: (from) => void heard.push(from),
 *       capture: () => heard,
 *       restore: (state) => void (heard = state),
 *     };
 *   },
 *   eventually: { "c has heard both": (view) => view.state("c")?.length === 2 },
 *   always: { "c hears a first": (view) => view.state("c")?.[0] !== "b" },
 * });
 * const { counterexample } = explore(world);
 * if (counterexample?.schedule.length !== 1) throw new Error("b may be first, in one step");
 * ```
 */
export function explore<M, State, Request, Reply>(
  world: World<M, State, Request, Reply>,
  options: ExploreOptions = {},
): Exploration {
  const search = exploring(world, options);
  for (;;) {
    const { done, value } = search.next();
    if (done) return value;
  }
}

/**
 * As `explore`, and gives what is known so far now and then, to those who have something else to do or may want no more.
 * @throws TidemarkError as `explore` does
 */
export function exploring<M, State, Request, Reply>(
  world: World<M, State, Request, Reply>,
  options: ExploreOptions = {},
): Generator<Exploration, Exploration> {
  checkOptions(options);
  return new Search(world).run(options);
}

/**
 * Goes one way through a world, and shows each state on it.
 * @throws TidemarkError `BAD_OPTION` for a step that is not possible there
 */
export function* replay<M, State, Request, Reply>(
  world: World<M, State, Request, Reply>,
  schedule: readonly ScheduleStep[],
): Generator<{
  readonly step: ScheduleStep | undefined;
  /** What was received or done, for people: `parseSchedule` reads it. */
  readonly text: string;
  /** What went wrong in that step, if something did. */
  readonly wrong: string | undefined;
  readonly view: View<M, State, Reply>;
}> {
  const search = new Search(world);
  const now = () => ({ wrong: search.wrong, view: search.viewNow() });
  yield { step: undefined, text: "the beginning", ...now() };
  for (const [i, step] of schedule.entries()) {
    const text = search.take(step);
    if (text === undefined)
      throw new TidemarkError(
        "BAD_OPTION",
        `step ${i + 1} of the schedule, "${formatStep(step)}", is not possible there`,
      );
    yield { step, text, ...now() };
  }
}

const BOUNDS = ["maxDepth", "maxStates", "maxBytes"] as const;
const OPTIONS: readonly string[] = ["order", ...BOUNDS, "progress"];

/** @throws TidemarkError `BAD_OPTION` */
function checkOptions(options: ExploreOptions): void {
  const bad = (message: string): TidemarkError => new TidemarkError("BAD_OPTION", message);
  for (const name of Object.keys(options))
    if (!OPTIONS.includes(name))
      throw bad(`there is no option ${name}; there are ${OPTIONS.join(", ")}`);
  const { order = "breadth" } = options;
  if (order !== "breadth" && order !== "depth")
    throw bad(`order must be "breadth" or "depth", not ${JSON.stringify(order)}`);
  for (const name of BOUNDS) {
    const bound = options[name] ?? 1;
    if (!(bound >= 1 && (Number.isInteger(bound) || bound === Number.POSITIVE_INFINITY)))
      throw bad(`${name} must be a whole number from 1 on, or Infinity, not ${String(bound)}`);
  }
}

/** What a property says of one moment. */
interface Verdict {
  readonly held: boolean;
  /** It could not say: it threw, or is async. */
  readonly failed: boolean;
  readonly reason: string | undefined;
}

function judgeProperty<M, State, Reply>(
  holds: Property<M, State, Reply>,
  view: View<M, State, Reply>,
): Verdict {
  try {
    const said: unknown = holds(view);
    if (said === true || said === false) return said ? HELD : NOT_HELD;
    if (typeof said === "string") return { held: false, failed: false, reason: said };
    if (!isPromise(said)) return NOT_HELD;
    const reason = "it is async; properties must be synchronous";
    return { held: false, failed: true, reason };
  } catch (thrown) {
    return { held: false, failed: true, reason: `it threw: ${textOf(thrown)}` };
  }
}

const HELD: Verdict = { held: true, failed: false, reason: undefined };
const NOT_HELD: Verdict = { held: false, failed: false, reason: undefined };

/** Where frames go one way. */
interface Way {
  readonly from: number;
  readonly to: number;
}

/** The states of a world, one at hand; it can be led from there step by step, or through all. See the head of the file. */
export class Search<M, State, Request, Reply> {
  readonly #world: World<M, State, Request, Reply>;
  readonly #ids: readonly ProcessId[];
  readonly #locals: readonly LocalStates<M, State, Request, Reply>[];
  readonly #frames: Frames<M>;
  readonly #ways: readonly Way[];
  /** Index of the way between two processes, by both their indexes. */
  readonly #wayOf: readonly (readonly number[])[];
  readonly #queues = new Queues();
  readonly #timers: string[] = [];
  /** The state at hand: local states, then queues. */
  readonly #row: Int32Array;
  readonly #topology: Topology;
  /** In a search of a world that has interchangeable processes. */
  #symmetry: Symmetry | undefined;
  #wrong: string | undefined;

  constructor(world: World<M, State, Request, Reply>) {
    this.#world = world;
    const topology = new Topology(world.processes, world.channels ?? "mesh");
    const messageCodec = world.messageCodec ?? jsonCodec<M>();
    const stateCodec = world.stateCodec ?? jsonCodec<unknown>();
    this.#frames = new Frames(messageCodec);
    const setting: SearchSetting<M, State, Request, Reply> = {
      world,
      topology,
      messageCodec,
      stateCodec,
      frames: this.#frames,
      parts: new Map(),
    };
    this.#topology = topology;
    this.#ids = topology.processes;
    for (const { of } of world.requests ?? []) mustKnow(topology, of);
    for (const by of world.snapshots ?? []) mustKnow(topology, by);
    for (const id of [world.interchangeable ?? []].flat(2)) mustKnow(topology, id);
    this.#locals = this.#ids.map((id) => new LocalStates(id, setting));
    const count = this.#ids.length;
    const ways: Way[] = [];
    this.#wayOf = this.#ids.map((_, from) =>
      this.#ids.map((_, to) => (from === to ? -1 : ways.push({ from, to }) - 1)),
    );
    this.#ways = ways;
    this.#row = new Int32Array(count + ways.length);
    this.#prepare(topology);
  }

  /** All start and are connected; what that has them send is under way. */
  #prepare(topology: Topology): void {
    const nowMs = 1_767_225_600_000;
    const open: { from: number; to: number; frame: Uint8Array }[] = [];
    const at = (
      from: number,
      input: Parameters<LocalStates<M, State, Request, Reply>["prepare"]>[0],
    ): void => {
      for (const { to, frame } of this.#local(from).prepare(input))
        open.push({ from, to: this.#ids.indexOf(to), frame });
    };
    for (const i of this.#ids.keys()) at(i, { type: "start", nowMs });
    for (const [i, id] of this.#ids.entries())
      for (const [j, peer] of this.#ids.entries())
        if (i !== j) {
          const incarnation = incarnationOf(topology, peer);
          if (id !== peer) at(i, { type: "peer-up", peer, incarnation, nowMs });
        }
    for (let one = open.shift(); one; one = open.shift()) {
      const { from, to, frame } = one;
      const number = this.#frames.note(frame);
      if (number !== undefined) this.#append(from, to, number);
      else at(to, { type: "frame", from: this.#ids[from] as ProcessId, frame, nowMs });
    }
    for (const [i, locals] of this.#locals.entries()) {
      const { local, wrong } = locals.begin();
      this.#row[i] = local;
      this.#wrong ??= wrong;
    }
  }

  #local(index: number): LocalStates<M, State, Request, Reply> {
    return this.#locals[index] as LocalStates<M, State, Request, Reply>;
  }

  #append(from: number, to: number, frame: number): void {
    const at = this.#ids.length + (this.#wayOf[from]?.[to] as number);
    this.#row[at] = this.#queues.longer(this.#row[at] as number, frame);
  }

  // Actions: a number each. First the ways, then requests and snapshots by process, then timers; below zero, what overtakes.

  #actions(into: number[]): void {
    into.length = 0;
    const count = this.#ids.length;
    const ways = this.#ways.length;
    for (let way = 0; way < ways; way += 1) {
      const queue = this.#row[count + way] as number;
      if (queue !== 0) into.push(way);
      if (this.#world.order !== "none") continue;
      for (let ahead = this.#queues.frames(queue).length - 1; ahead > 0; ahead -= 1)
        into.push(way - ahead * ways);
    }
    for (let i = 0; i < count; i += 1) {
      const locals = this.#local(i);
      const local = locals.get(this.#row[i] as number);
      if (local.asked < locals.requests.length) into.push(ways + i);
      if (local.begun < locals.snapshots) into.push(ways + count + i);
      for (const name of local.timers) into.push(ways + (2 + this.#timer(name)) * count + i);
    }
  }

  /** On which way, and ahead of how many that were sent before. */
  #receiving(action: number): { readonly way: number; readonly ahead: number } {
    const ways = this.#ways.length;
    const ahead = Math.ceil(Math.max(0, -action) / ways);
    return { way: action + ahead * ways, ahead };
  }

  #timer(name: string): number {
    const known = this.#timers.indexOf(name);
    return known >= 0 ? known : this.#timers.push(name) - 1;
  }

  /** Performs an action on the state at hand. */
  #act(action: number): void {
    const count = this.#ids.length;
    const ways = this.#ways.length;
    let actor: number;
    let input: LocalInput;
    if (action < ways) {
      const { way, ahead } = this.#receiving(action);
      const { from, to } = this.#ways[way] as Way;
      const at = count + way;
      const queue = this.#row[at] as number;
      const frame = this.#queues.frames(queue)[ahead] as number;
      this.#row[at] = this.#queues.without(queue, ahead);
      actor = to;
      input = { type: "receive", from: this.#ids[from] as ProcessId, frame };
    } else {
      actor = (action - ways) % count;
      const kind = Math.floor((action - ways) / count);
      input =
        kind === 0
          ? { type: "request" }
          : kind === 1
            ? { type: "snapshot" }
            : { type: "timer", name: this.#timers[kind - 2] as string };
    }
    const { to, sends, wrong } = this.#local(actor).step(this.#row[actor] as number, input);
    this.#row[actor] = to;
    this.#wrong = wrong;
    for (const send of sends) this.#append(actor, this.#ids.indexOf(send.to), send.frame);
  }

  /** Performs an action, and has the state that it leads to be stood for. */
  #reach(action: number): void {
    this.#act(action);
    this.#symmetry?.least(this.#row);
  }

  #stepOf(action: number): ScheduleStep {
    const count = this.#ids.length;
    const ways = this.#ways.length;
    if (action < ways) {
      const { way, ahead } = this.#receiving(action);
      const { from, to } = this.#ways[way] as Way;
      return {
        type: "receive",
        process: this.#ids[to] as ProcessId,
        from: this.#ids[from] as ProcessId,
        ...(ahead === 0 ? {} : { ahead }),
      };
    }
    const process = this.#ids[(action - ways) % count] as ProcessId;
    const kind = Math.floor((action - ways) / count);
    if (kind === 0) return { type: "request", process };
    if (kind === 1) return { type: "snapshot", process };
    return { type: "timer", process, name: this.#timers[kind - 2] as string };
  }

  /** Takes a step from the state at hand; gives what it was, or `undefined` if it is not possible. */
  take(step: ScheduleStep): string | undefined {
    const actions: number[] = [];
    this.#actions(actions);
    const wanted = formatStep(step);
    const action = actions.find((one) => formatStep(this.#stepOf(one)) === wanted);
    if (action === undefined) return undefined;
    let text = wanted;
    if (action < this.#ways.length) {
      const { way, ahead } = this.#receiving(action);
      const frames = this.#queues.frames(this.#row[this.#ids.length + way] as number);
      text += `: ${this.#frames.get(frames[ahead] as number).text}`;
    }
    this.#act(action);
    return text;
  }

  // Looking.

  /** What went wrong in the last step, if something did. */
  get wrong(): string | undefined {
    return this.#wrong;
  }

  /** What would be received next on each channel, for people: messages as JSON, `marker of p1/1`, or `control`. */
  heads(): { readonly from: ProcessId; readonly to: ProcessId; readonly text: string }[] {
    return this.#ways.flatMap(({ from, to }, way) => {
      const [head] = this.#queues.frames(this.#row[this.#ids.length + way] as number);
      return head === undefined
        ? []
        : [
            {
              from: this.#ids[from] as ProcessId,
              to: this.#ids[to] as ProcessId,
              text: this.#frames.get(head).text,
            },
          ];
    });
  }

  /** @throws TidemarkError `UNKNOWN_PROCESS` */
  #indexOf(id: ProcessId): number {
    const i = this.#ids.indexOf(id);
    if (i >= 0) return i;
    throw new TidemarkError("UNKNOWN_PROCESS", `there is no ${id} in this world`);
  }

  viewNow(at: Int32Array = this.#row): View<M, State, Reply> {
    const count = this.#ids.length;
    const row = at.slice();
    const local = (i: number) => this.#local(i).get(row[i] as number);
    const inFlight = (from: number, to: number): readonly M[] => {
      const way = this.#wayOf[from]?.[to] ?? -1;
      if (way < 0) return [];
      return this.#queues
        .frames(row[count + way] as number)
        .flatMap((frame) => this.#frames.get(frame).messages as readonly M[]);
    };
    const all = <T>(of: (i: number) => readonly T[]): T[] => this.#ids.flatMap((_, i) => of(i));
    return {
      nowMs: 0,
      up: this.#ids,
      state: (id) => local(this.#indexOf(id)).state,
      inFlight: (from, to) => inFlight(this.#indexOf(from), this.#indexOf(to)),
      allInFlight: () => this.#ways.flatMap(({ from, to }) => inFlight(from, to)),
      get replies(): (Reply | undefined)[] {
        const replies: (Reply | undefined)[] = [];
        for (let i = 0; i < count; i += 1)
          for (const [index, reply] of local(i).replies) replies[index] = reply;
        return replies;
      },
      get snapshots(): readonly SeenSnapshot<M, State>[] {
        return all((i) => local(i).snapshots);
      },
    };
  }

  // The search.

  /** Gives what is known so far, now and then. */
  *run(options: ExploreOptions): Generator<Exploration, Exploration> {
    const {
      order = "breadth",
      maxDepth = Number.POSITIVE_INFINITY,
      maxStates = 10_000_000,
      maxBytes = 2 ** 30,
      progress,
    } = options;
    if (this.#world.interchangeable)
      this.#symmetry = new Symmetry(this.#world, {
        topology: this.#topology,
        locals: this.#locals,
        frames: this.#frames,
        queues: this.#queues,
        ways: this.#ways,
        row: this.#row,
      });
    const table = new StateTable(this.#row.length);
    const {
      always = {},
      safety = {},
      sometimes = {},
      eventually = {},
      liveness = {},
    } = this.#world;
    /** Judged in every state. */
    const lawful = [
      ...Object.entries(always).map((one) => ["always", ...one] as const),
      ...Object.entries(safety).map((one) => ["safety", ...one] as const),
    ];
    const missing = new Map(Object.entries(sometimes));
    /** Judged once all states are known. */
    const lasting = [
      ...Object.entries(eventually).map((one) => ["eventually", ...one] as const),
      ...Object.entries(liveness).map((one) => ["liveness", ...one] as const),
    ];
    const marks = lasting.map(() => new Bits());
    const actions: number[] = [];
    let transitions = 0;
    let ends = 0;
    let depth = 0;
    let bound: Exploration["bound"];
    let counterexample: Counterexample | undefined;

    const judge = (state: number): Counterexample | undefined => {
      if (this.#wrong !== undefined) {
        const schedule = this.#schedule(table, state);
        return { kind: "problem", property: this.#wrong, schedule };
      }
      if (lawful.length + missing.size + lasting.length === 0) return undefined;
      const view = this.viewNow();
      let others: readonly View<M, State, Reply>[] | undefined;
      /** What holds of a state holds of all that it stands for: a search looks at no other of them. */
      const ask = (name: string, holds: Property<M, State, Reply>): Verdict => {
        const verdict = judgeProperty(holds, view);
        others ??= this.#symmetry?.images(this.#row).map((row) => this.viewNow(row));
        const { held } = verdict;
        if (others?.every((other) => judgeProperty(holds, other).held === held) ?? true)
          return verdict;
        const why = "it holds in one of two states that are the same but for who is who";
        throw new TidemarkError(
          "BAD_OPTION",
          `"${name}" tells interchangeable processes apart: ${why}; let it ask the same of each of them`,
        );
      };
      /** Judged again where the schedule leads: of what it stands for, that is what is shown. */
      const broken = (
        kind: Counterexample["kind"],
        property: string,
        holds: Property<M, State, Reply>,
      ): Counterexample => {
        const schedule = this.#schedule(table, state);
        const { reason } = judgeProperty(holds, this.viewNow());
        return { kind, property, ...(reason === undefined ? {} : { reason }), schedule };
      };
      for (const [kind, name, holds] of lawful)
        if (!ask(name, holds).held) return broken(kind, name, holds);
      for (const [name, holds] of missing) {
        const { held, failed } = ask(name, holds);
        if (failed) return broken("sometimes", name, holds);
        if (held) missing.delete(name);
      }
      for (const [i, [kind, name, holds]] of lasting.entries()) {
        const { held, failed } = ask(name, holds);
        if (failed) return broken(kind, name, holds);
        if (held) marks[i]?.set(state);
      }
      return undefined;
    };

    const soFar = (): Exploration => ({
      states: table.size,
      transitions,
      ends,
      depth,
      localStates: this.#locals.reduce((sum, { count }) => sum + count, 0),
      steps: this.#locals.reduce((sum, { asked }) => sum + asked, 0),
      complete: false,
      ...(bound === undefined ? {} : { bound }),
      ...(counterexample === undefined ? {} : { counterexample }),
    });

    const open: number[] = [table.add(this.#row, -1)];
    counterexample = judge(0);
    for (let next = 0; counterexample === undefined && next < open.length; ) {
      const state = order === "breadth" ? (open[next++] as number) : (open.pop() as number);
      if (order === "breadth" && next > 1_000_000) {
        open.splice(0, next);
        next = 0;
      }
      const at = table.depth(state);
      if (at > depth) depth = at;
      table.read(state, this.#row);
      this.#actions(actions);
      if (actions.length === 0) ends += 1;
      if (at >= maxDepth) {
        if (actions.length > 0) bound ??= "depth";
        continue;
      }
      for (const [i, action] of actions.entries()) {
        if (i > 0) table.read(state, this.#row);
        this.#reach(action);
        if (table.size >= maxStates && !table.has(this.#row)) {
          bound = "states";
          break;
        }
        transitions += 1;
        if (transitions % PAUSE_EVERY === 0) yield soFar();
        const number = table.add(this.#row, state);
        if (number < 0 && this.#wrong === undefined) continue;
        if (number >= 0) open.push(number);
        counterexample = judge(number < 0 ? -number - 1 : number);
        if (counterexample !== undefined) break;
        if (number % PROGRESS_EVERY === 0) progress?.({ states: table.size, depth });
      }
      if (table.bytes + this.#bytes > maxBytes) bound = "memory";
      if (bound === "states" || bound === "memory") break;
    }

    if (counterexample === undefined && bound === undefined) {
      const [absent] = missing.keys();
      if (absent !== undefined)
        counterexample = { kind: "sometimes", property: absent, schedule: [] };
      if (lasting.length > 0 && counterexample === undefined)
        counterexample = this.#judgeGraph(table, lasting, marks);
    }
    return { ...soFar(), complete: bound === undefined && counterexample === undefined };
  }

  /** Memory that all takes but the table of global states, about. */
  get #bytes(): number {
    let sum = this.#frames.bytes + this.#queues.bytes;
    for (let i = 0; i < this.#locals.length; i += 1) sum += this.#local(i).bytes;
    return sum;
  }

  /** A way to a state, or to one that it stands for; that one is then at hand. */
  #schedule(table: StateTable, state: number): ScheduleStep[] {
    const here = new Int32Array(this.#row.length);
    const wanted = new Int32Array(this.#row.length);
    const actions: number[] = [];
    table.read(0, this.#row);
    return table.path(state).map((next) => {
      here.set(this.#row);
      table.read(next, wanted);
      this.#actions(actions);
      const action = actions.find((one) => {
        this.#row.set(here);
        this.#reach(one);
        return this.#row.every((value, at) => value === wanted[at]);
      });
      this.#row.set(here);
      this.#act(action as number);
      return this.#stepOf(action as number);
    });
  }

  /** What is asked of whole runs, once every state is known. */
  #judgeGraph(
    table: StateTable,
    lasting: readonly (readonly ["eventually" | "liveness", string, unknown])[],
    marks: readonly Bits[],
  ): Counterexample | undefined {
    const { starts, targets } = this.#graph(table);
    const count = table.size;
    for (const [i, [kind, property]] of lasting.entries()) {
      const held = marks[i] as Bits;
      if (kind === "eventually") {
        const found = unsettled(starts, targets, held, count);
        if (found)
          return {
            kind,
            property,
            reason: found.ends
              ? "nothing more can happen there"
              : "a run can come there again and again",
            schedule: this.#schedule(table, found.state),
          };
      } else {
        const possible = reaching(starts, targets, held, count);
        for (let state = 0; state < count; state += 1)
          if (!possible.has(state))
            return {
              kind,
              property,
              reason: "from there it cannot be reached any more",
              schedule: this.#schedule(table, state),
            };
      }
    }
    return undefined;
  }

  /** All transitions, by the state that they lead from. */
  #graph(table: StateTable): { readonly starts: Int32Array; readonly targets: Int32Array } {
    const starts = new Int32Array(table.size + 1);
    let targets = new Int32Array(1024);
    let size = 0;
    const actions: number[] = [];
    for (let state = 0; state < table.size; state += 1) {
      starts[state] = size;
      table.read(state, this.#row);
      this.#actions(actions);
      for (const [i, action] of actions.entries()) {
        if (i > 0) table.read(state, this.#row);
        this.#reach(action);
        if (size === targets.length) {
          const grown = new Int32Array(size * 2);
          grown.set(targets);
          targets = grown;
        }
        const known = table.add(this.#row, -1);
        targets[size++] = -known - 1;
      }
    }
    starts[table.size] = size;
    return { starts, targets };
  }
}

/** A set of small whole numbers. */
class Bits {
  #words: Int32Array = new Int32Array(1024);

  set(at: number): void {
    const word = at >>> 5;
    if (word >= this.#words.length) {
      const grown = new Int32Array(Math.max(word + 1, this.#words.length * 2));
      grown.set(this.#words);
      this.#words = grown;
    }
    this.#words[word] = (this.#words[word] as number) | (1 << (at & 31));
  }

  clear(at: number): void {
    const word = at >>> 5;
    this.#words[word] = (this.#words[word] as number) & ~(1 << (at & 31));
  }

  has(at: number): boolean {
    return (((this.#words[at >>> 5] ?? 0) >>> (at & 31)) & 1) === 1;
  }
}

/**
 * The first state, by its number, that is not in `held` although a run can end there, or pass it again and again: one without
 * transitions, or one on a cycle. Cycles by Tarjan 1972, "Depth-First Search and Linear Graph Algorithms".
 */
function unsettled(
  starts: Int32Array,
  targets: Int32Array,
  held: Bits,
  count: number,
): { readonly state: number; readonly ends: boolean } | undefined {
  for (let state = 0; state < count; state += 1)
    if (starts[state] === starts[state + 1] && !held.has(state)) return { state, ends: true };
  const found = new Int32Array(count);
  const low = new Int32Array(count);
  const component: number[] = [];
  const within = new Bits();
  const path: number[] = [];
  const next = new Int32Array(count);
  let numbers = 0;
  let first: number | undefined;
  const enter = (state: number): void => {
    numbers += 1;
    found[state] = numbers;
    low[state] = numbers;
    next[state] = starts[state] as number;
    component.push(state);
    within.set(state);
    path.push(state);
  };
  // All states are reached from the first one.
  enter(0);
  while (path.length > 0) {
    const state = path.at(-1) as number;
    const at = next[state] as number;
    if (at < (starts[state + 1] as number)) {
      next[state] = at + 1;
      const target = targets[at] as number;
      if (found[target] === 0) enter(target);
      else if (within.has(target))
        low[state] = Math.min(low[state] as number, found[target] as number);
      if (target === state && !held.has(state)) first = Math.min(first ?? state, state);
      continue;
    }
    path.pop();
    const above = path.at(-1);
    if (above !== undefined) low[above] = Math.min(low[above] as number, low[state] as number);
    if (low[state] !== found[state]) continue;
    const members = component.splice(component.lastIndexOf(state));
    for (const member of members) {
      within.clear(member);
      if (members.length > 1 && !held.has(member)) first = Math.min(first ?? member, member);
    }
  }
  return first === undefined ? undefined : { state: first, ends: false };
}

/** The states from which some path leads into `held`. */
function reaching(starts: Int32Array, targets: Int32Array, held: Bits, count: number): Bits {
  const into = new Int32Array(count + 1);
  for (let i = 0; i < (starts[count] as number); i += 1) {
    const target = targets[i] as number;
    into[target + 1] = (into[target + 1] as number) + 1;
  }
  for (let i = 0; i < count; i += 1) into[i + 1] = (into[i + 1] as number) + (into[i] as number);
  const sources = new Int32Array(starts[count] as number);
  const fill = into.slice();
  for (let state = 0; state < count; state += 1)
    for (let i = starts[state] as number; i < (starts[state + 1] as number); i += 1) {
      const target = targets[i] as number;
      const at = fill[target] as number;
      sources[at] = state;
      fill[target] = at + 1;
    }
  const reach = new Bits();
  const open: number[] = [];
  for (let state = 0; state < count; state += 1)
    if (held.has(state)) {
      reach.set(state);
      open.push(state);
    }
  for (let state = open.pop(); state !== undefined; state = open.pop())
    for (let i = into[state] as number; i < (into[state + 1] as number); i += 1) {
      const source = sources[i] as number;
      if (reach.has(source)) continue;
      reach.set(source);
      open.push(source);
    }
  return reach;
}

function mustKnow(topology: Topology, id: ProcessId): void {
  if (!topology.has(id))
    throw new TidemarkError("UNKNOWN_PROCESS", `${id} is not a process of this world`);
}
