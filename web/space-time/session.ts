/** A trace that somebody looks at: what is shown of it, the cut, the event, and how all that changes. It stays while the page is open. */

import { CausalOrder, type Frontier } from "../../src/trace/causal-order.ts";
import { layOut } from "../../src/trace/layout.ts";
import { StateIndex } from "../../src/trace/state-index.ts";
import type { Trace, TraceEvent } from "../../src/trace/trace.ts";
import {
  beforeFutureOf,
  CutJudge,
  type CutVerdict,
  nearestConsistent,
  neighbours,
  pastOf,
  ranksOf,
} from "./cuts.ts";
import { findEvents, type Kind, nextMatch } from "./events.ts";
import { makeScene, placeCut, type Scene } from "./scene.ts";
import type { Viewport } from "./viewport.ts";

/** A cut, what there is to say of it, and where it passes each row. */
export interface LookedCut {
  readonly counts: Frontier;
  readonly verdict: CutVerdict;
  readonly places: Float64Array;
}

/** An event, and what led to it and what it led to. */
export interface LookedEvent {
  readonly event: number;
  readonly past: Frontier;
  readonly beforeFuture: Frontier;
}

/** All that may change. */
export interface Looked {
  readonly scene: Scene;
  readonly time: "order" | "clock";
  readonly hiddenProcesses: ReadonlySet<number>;
  readonly collapsed: ReadonlySet<number>;
  readonly hiddenKinds: ReadonlySet<Kind>;
  readonly cut: LookedCut | undefined;
  readonly selected: LookedEvent | undefined;
  /** Whether what an event has to do with others is shown. */
  readonly isConeShown: boolean;
  readonly query: string;
  /** In the order of `CausalOrder.linear`. */
  readonly matches: Int32Array;
  /** What it does that takes its time. */
  readonly doing: string | undefined;
  readonly canUndo: boolean;
}

/** What differs from another trace: of each event 0, or one of these. */
export const ONLY_HERE = 1;
export const MOVED = 2;

const UNDOS_MAX = 200;
const NOBODY: ReadonlySet<never> = new Set();

/** Lets the page show what it does. */
const breathe = (): Promise<void> => new Promise((settle) => setTimeout(settle, 20));

/** See the head of the file. */
export class Session {
  readonly name: string;
  readonly trace: Trace;
  readonly order: CausalOrder;
  readonly ranks: Int32Array;
  readonly states: StateIndex;
  /** Where it is looked at; the picture changes that many times a second. */
  view: Viewport | undefined;
  /** While it is compared: of each event whether it differs. */
  tints: Uint8Array | undefined;
  /** Those that do. */
  differing: readonly number[] = [];
  #looked: Looked;
  readonly #judge: CutJudge;
  readonly #listeners = new Set<() => void>();
  readonly #undos: (Frontier | undefined)[] = [];

  private constructor(name: string, order: CausalOrder, scene: Scene) {
    this.name = name;
    this.order = order;
    this.trace = order.trace;
    this.ranks = ranksOf(order);
    this.states = new StateIndex(order.trace);
    this.#judge = new CutJudge(order);
    this.#looked = {
      ...{ scene, time: "order", hiddenProcesses: NOBODY, collapsed: NOBODY, hiddenKinds: NOBODY },
      ...{ cut: undefined, selected: undefined, isConeShown: true, query: "" },
      ...{ matches: new Int32Array(0), doing: undefined, canUndo: false },
    };
  }

  /**
   * Orders a trace and lays it out, and says meanwhile what it does.
   * @throws TidemarkError `BAD_OPTION` if an event happened before itself
   */
  static async prepare(
    name: string,
    trace: Trace,
    tell: (doing: string) => void,
  ): Promise<Session> {
    tell("finding out what happened before what");
    await breathe();
    const order = new CausalOrder(trace);
    tell("finding a place for each event");
    await breathe();
    return new Session(name, order, makeScene(layOut(order), NOBODY));
  }

  get looked(): Looked {
    return this.#looked;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Sets what needs nothing else. */
  set(changes: Partial<Pick<Looked, "collapsed" | "isConeShown">>): void {
    this.#change(changes);
  }

  hideKinds(hiddenKinds: ReadonlySet<Kind>): void {
    this.#change({ hiddenKinds, scene: makeScene(this.#looked.scene.layout, hiddenKinds) });
  }

  /** Shows as much of it as of one of the same processes that was looked at before. */
  likeBefore(before: Session): void {
    const [there, here] = [before.trace.processes, this.trace.processes];
    // The order is that of the first events, and differs from window to window of one system.
    if (there.length !== here.length || !there.every((name) => here.includes(name))) return;
    const alike = (processes: ReadonlySet<number>): ReadonlySet<number> =>
      new Set([...processes].map((process) => here.indexOf(there[process] as string)));
    const { hiddenKinds, isConeShown, time } = before.looked;
    const collapsed = alike(before.looked.collapsed);
    const hiddenProcesses = alike(before.looked.hiddenProcesses);
    const shown = { hiddenKinds, hiddenProcesses, time: this.hasClocks ? time : "order" } as const;
    const scene =
      hiddenKinds.size + hiddenProcesses.size === 0 && shown.time === "order"
        ? this.#looked.scene
        : this.#sceneOf(shown);
    this.#change({ ...shown, collapsed, isConeShown, scene });
  }

  /** Whether an event says when it happened. */
  get hasClocks(): boolean {
    return this.trace.events.some(({ atMs }) => atMs !== undefined);
  }

  setTints(tints: Uint8Array | undefined): void {
    this.tints = tints;
    this.differing = [...(tints ?? []).entries()].flatMap(([e, tint]) => (tint === 0 ? [] : [e]));
    this.#change({});
  }

  select(event: number | undefined): void {
    if (event === this.#looked.selected?.event) return;
    this.#change({
      selected:
        event === undefined
          ? undefined
          : {
              event,
              past: pastOf(this.order, event),
              beforeFuture: beforeFutureOf(this.order, event),
            },
    });
  }

  /** @param isBegun a change that goes on, which is undone as one */
  setCut(counts: Frontier | undefined, isBegun: boolean = false): void {
    const before = this.#looked.cut?.counts;
    if (counts === before) return;
    if (!isBegun) this.#undos.push(before);
    if (this.#undos.length > UNDOS_MAX) this.#undos.shift();
    this.#change({ cut: this.#cutOf(counts, this.#looked.scene), canUndo: true });
  }

  undo(): void {
    if (this.#undos.length === 0) return;
    const cut = this.#cutOf(this.#undos.pop(), this.#looked.scene);
    this.#change({ cut, canUndo: this.#undos.length > 0 });
  }

  /** To the consistent cut inside, around, or whichever is nearer. */
  snap(to: "inside" | "around" | "nearest"): void {
    const cut = this.#looked.cut?.counts;
    if (!cut) return;
    const { order } = this;
    if (to === "nearest") this.setCut(nearestConsistent(order, cut));
    else this.setCut(to === "inside" ? order.greatest(cut) : order.least(cut));
  }

  /** Takes the next event into the cut, or the last one out of it, and looks at it; begins with nothing inside. */
  step(isForward: boolean): void {
    const cut = this.#looked.cut?.counts ?? new Int32Array(this.trace.processes.length);
    const { next, last } = neighbours(this.trace, this.ranks, cut);
    const event = isForward ? next : last;
    if (event === undefined) return;
    const { process } = this.trace.events[event] as TraceEvent;
    const moved = cut.slice();
    moved[process] = (moved[process] as number) + (isForward ? 1 : -1);
    this.setCut(moved);
    this.select(event);
  }

  search(query: string): void {
    this.#change({ query, matches: findEvents(this.trace, this.order.linear, query) });
  }

  findNext(isForward: boolean): void {
    const { matches, selected } = this.#looked;
    const found = nextMatch(matches, this.ranks, selected?.event, isForward);
    if (found !== undefined) this.select(found);
  }

  /** Lays it out in another way. */
  async arrange(changes: Partial<Pick<Looked, "hiddenProcesses" | "time">>): Promise<void> {
    const wanted = { ...this.#looked, ...changes };
    this.#change({ ...changes, doing: "finding a place for each event" });
    await breathe();
    const { time, hiddenProcesses } = wanted;
    const scene = this.#sceneOf({ time, hiddenProcesses, hiddenKinds: this.#looked.hiddenKinds });
    this.view = undefined;
    const cut = this.#cutOf(this.#looked.cut?.counts, scene);
    this.#change({ scene, cut, doing: undefined });
  }

  #sceneOf({
    time,
    hiddenProcesses,
    hiddenKinds,
  }: Pick<Looked, "time" | "hiddenProcesses" | "hiddenKinds">): Scene {
    // Who is shown stands as all would.
    const all = layOut(this.order, { time });
    const processes = all.rows.flatMap(({ process }) =>
      hiddenProcesses.has(process) ? [] : [process],
    );
    const layout = hiddenProcesses.size === 0 ? all : layOut(this.order, { time, processes });
    return makeScene(layout, hiddenKinds);
  }

  #cutOf(counts: Frontier | undefined, scene: Scene): LookedCut | undefined {
    if (!counts) return undefined;
    return { counts, verdict: this.#judge.judge(counts), places: placeCut(scene, counts) };
  }

  #change(changes: Partial<Looked>): void {
    this.#looked = { ...this.#looked, ...changes };
    for (const listener of this.#listeners) listener();
  }
}
