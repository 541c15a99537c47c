/** A world for tests: processes that make objects, which refer to each other, and give references away, move objects, and forget. */

import type { ProcessId } from "../../../src/core/id.ts";
import { Random } from "../../../src/core/random.ts";
import type { References } from "../../../src/detect.ts";
import type { Application, Turn } from "../../../src/process/application.ts";
import { defineWorld, type View, type World } from "../../../src/sim.ts";

export type Passing =
  /** Here is a reference to it. */
  | { readonly type: "give"; readonly name: string }
  /** `object`, which is there, is to refer to `name` as well. */
  | { readonly type: "set"; readonly object: string; readonly name: string }
  /** `object` is to be there from now on. */
  | { readonly type: "move"; readonly object: string; readonly refersTo: readonly string[] }
  /** An object is to be made that refers to `last`, so many times in a row; then `first` refers to the last one: a ring. */
  | { readonly type: "ring"; readonly first: string; readonly last: string; readonly more: number };

export interface Owned {
  readonly made: number;
  readonly budget: number;
  readonly roots: readonly string[];
  readonly objects: Readonly<Record<string, readonly string[]>>;
}

/** So many processes a ring goes through. */
const RING = 3;

class Owner implements Application<Passing, Owned> {
  #state: Owned;

  constructor(budget: number) {
    this.#state = { made: 0, budget, roots: [], objects: {} };
  }

  start(turn: Turn<Passing>): void {
    turn.setTimer("act", turn.random.below(20));
  }

  timer(_name: string, turn: Turn<Passing>): void {
    if (this.#state.budget === 0) {
      // In the end it forgets most.
      this.#set({ roots: this.#state.roots.filter(() => turn.random.chance(0.2)) });
      return;
    }
    this.#set({ budget: this.#state.budget - 1 });
    this.#act(turn);
    turn.setTimer("act", turn.random.below(30));
  }

  #act(turn: Turn<Passing>): void {
    const { random } = turn;
    const { roots, objects } = this.#state;
    const root = random.pick(roots);
    const other = random.pick(roots);
    const to = random.pick(turn.peers);
    const kind = random.below(8);
    if (root === undefined || other === undefined || to === undefined || kind === 0) {
      this.#set({ roots: [...roots, this.#make(turn.self, [])] });
      return;
    }
    const here = objects[root];
    if (kind === 1) turn.send(to, { type: "give", name: root });
    else if (kind === 2) this.#forget(root);
    else if (kind === 3) {
      // Whoever made it has it, unless it has moved.
      const owner = root.slice(0, root.indexOf("."));
      if (owner !== turn.self) turn.send(owner, { type: "set", object: root, name: other });
    } else if (kind === 4) {
      const first = this.#make(turn.self, []);
      turn.send(to, { type: "ring", first, last: first, more: RING - 1 });
    } else if (!here) this.#forget(root);
    else if (kind === 5) this.#put(root, [...here, other]);
    else if (kind === 6) {
      const read = random.pick(here);
      if (read !== undefined) this.#set({ roots: [...roots, read] });
    } else {
      const { [root]: refersTo = [], ...rest } = objects;
      this.#set({ objects: rest });
      turn.send(to, { type: "move", object: root, refersTo });
    }
  }

  receive(_from: ProcessId, message: Passing, turn: Turn<Passing>): void {
    const { roots, objects } = this.#state;
    if (message.type === "give") this.#set({ roots: [...roots, message.name] });
    else if (message.type === "move") this.#put(message.object, message.refersTo);
    else if (message.type === "set") {
      const refersTo = objects[message.object];
      if (refersTo) this.#put(message.object, [...refersTo, message.name]);
    } else {
      const { first, last, more } = message;
      const name = this.#make(turn.self, [last]);
      const owner = first.slice(0, first.indexOf("."));
      const next = turn.peers.filter(
        (id) => id !== owner && id !== last.slice(0, last.indexOf(".")),
      );
      if (more > 1)
        turn.send(turn.random.pick(next) ?? owner, {
          type: "ring",
          first,
          last: name,
          more: more - 1,
        });
      else if (owner === turn.self) this.#put(first, [...(objects[first] ?? []), name]);
      else turn.send(owner, { type: "set", object: first, name });
    }
  }

  #make(self: ProcessId, refersTo: readonly string[]): string {
    const name = `${self}.${this.#state.made}`;
    this.#set({ made: this.#state.made + 1 });
    this.#put(name, refersTo);
    return name;
  }

  #put(name: string, refersTo: readonly string[]): void {
    this.#set({ objects: { ...this.#state.objects, [name]: refersTo } });
  }

  #forget(name: string): void {
    this.#set({ roots: this.#state.roots.filter((one) => one !== name) });
  }

  #set(some: Partial<Owned>): void {
    this.#state = { ...this.#state, ...some };
  }

  capture(): Owned {
    return this.#state;
  }

  restore(state: Owned): void {
    this.#state = state;
  }

  references(message?: Passing): References {
    if (!message) return { roots: this.#state.roots, objects: this.#state.objects };
    switch (message.type) {
      case "give":
        return { roots: [message.name] };
      case "set":
        return { roots: [message.object, message.name] };
      case "move":
        return { objects: { [message.object]: message.refersTo } };
      case "ring":
        return { roots: [message.first, message.last] };
    }
  }
}

/** Three or four owners, by the seed. */
export function owners(seed: number): World<Passing, Owned, never, never> {
  const random = new Random(`owners ${seed}`);
  const processes = Array.from({ length: random.between(3, 4) }, (_, i) => `p${i + 1}`);
  const budget = random.between(5, 20);
  return defineWorld<Passing, Owned, never, never>({
    processes,
    order: random.chance(0.2) ? "none" : "fifo",
    application: () => new Owner(budget),
    logsInputs: true,
    snapshots: Array.from({ length: 8 }, () => random.pick(processes) as ProcessId),
  });
}

/** The objects that no chain of references from a root leads to. */
export function unreachable(view: View<Passing, Owned, never>): readonly string[] {
  const states = view.up.map((id) => view.state(id) as Owned);
  const reached = new Set(states.flatMap(({ roots }) => roots));
  const edges = states.flatMap(({ objects }) => Object.entries(objects));
  for (const message of view.allInFlight()) {
    if (message.type === "move") edges.push([message.object, message.refersTo]);
    if (message.type === "ring") reached.add(message.first).add(message.last);
    if (message.type === "set") reached.add(message.object).add(message.name);
    if (message.type === "give") reached.add(message.name);
  }
  for (let before = -1; before < reached.size; ) {
    before = reached.size;
    for (const [name, refersTo] of edges)
      if (reached.has(name)) for (const to of refersTo) reached.add(to);
  }
  return edges.map(([name]) => name).filter((name) => !reached.has(name));
}
