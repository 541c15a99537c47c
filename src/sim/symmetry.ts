/**
 * Processes that could exchange their places: of all states that are the same but for who is who, a search looks at one.
 *
 * Assumptions. None: that processes are interchangeable is what the world claims, and all that the search does is held against it.
 *
 * Theory of operation. A *permutation* puts processes in the places of others. What it makes of a local state is not computed from
 * what is in it: a process is deterministic, so the *image* of a local state is where the other process comes to by the same
 * history with the others' frames. In the beginning images are known. From then on, each step that a process is asked for the
 * first time is taken by its image as well, and what the one leads to and sends to each process has for image what
 * the other leads to and sends. That step may be new, too, and has its own images taken. As long as nothing gets
 * two images, and a step and its image allow the same to happen, permutations are automorphisms of the graph of states, also
 * where the search has not been; then the least row of an orbit can stand for the others (Ip and Dill 1996; Clarke, Enders,
 * Filkorn and Jha 1996). Otherwise the claim is false, and refused.
 */

import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { Topology } from "../core/topology.ts";
import type { Frames, LocalInput, LocalStates, LocalStep } from "./local.ts";
import type { Queues } from "./queues.ts";
import { formatStep } from "./schedule.ts";
import { keyOf } from "./values.ts";
import type { World } from "./world.ts";

const PERMUTATIONS_MAX = 120;

type Claim = Pick<World<never, never, unknown>, "interchangeable" | "requests" | "snapshots">;
type Locals = Pick<LocalStates<unknown, unknown, never, unknown>, "step" | "get" | "onStep">;

/** What a search has, in the beginning. */
interface Searched {
  readonly topology: Topology;
  readonly locals: readonly Locals[];
  readonly frames: Pick<Frames<unknown>, "get">;
  readonly queues: Queues;
  /** Their queues stand in a row behind the local states. */
  readonly ways: readonly { readonly from: number; readonly to: number }[];
  readonly row: Int32Array;
}

/** One way to put processes in the places of others, and what is known of its images. */
interface Permutation {
  /** By place in a row, the place that it is put in. The first places are the processes'. */
  readonly places: readonly number[];
  /** Images, by number: of local states, by process; of frames; of queues, once asked for. */
  readonly locals: readonly number[][];
  readonly frames: number[];
  readonly queues: number[];
  /** The image of a row, written over again and again. */
  readonly row: Int32Array;
}

/** See the head of the file. */
export class Symmetry {
  readonly #searched: Searched;
  readonly #ids: readonly ProcessId[];
  /** All but the one that leaves everything in its place. */
  readonly #permutations: readonly Permutation[];

  /** @throws TidemarkError `BAD_OPTION` */
  constructor(claim: Claim, searched: Searched) {
    const { topology, locals, ways, row, queues } = searched;
    this.#searched = searched;
    this.#ids = topology.processes;
    this.#permutations = permutations(claim, topology).map((places) => {
      const wayOf = (from: number, to: number): number =>
        ways.findIndex((way) => way.from === places[from] && way.to === places[to]);
      return {
        places: [...places, ...ways.map(({ from, to }) => places.length + wayOf(from, to))],
        locals: locals.map(() => []),
        frames: [],
        queues: [],
        row: new Int32Array(row.length),
      };
    });
    const underWay = (way: number): readonly number[] =>
      queues.frames(row[locals.length + way] as number);
    /** As if one step had led there. */
    const begun = (at: number): LocalStep => ({
      to: row[at] as number,
      sends: ways.flatMap(({ from, to }, way) =>
        from === at ? underWay(way).map((frame) => ({ to: this.#id(to), frame })) : [],
      ),
      wrong: undefined,
    });
    for (const [at, states] of locals.entries()) {
      for (const permutation of this.#permutations) {
        const image = permutation.places[at] as number;
        const both = `${this.#id(at)} and ${this.#id(image)}, in the beginning,`;
        this.#match(permutation, at, begun(at), begun(image), both);
      }
      states.onStep = (from, input, step) => this.#follow(at, from, input, step);
    }
  }

  #id(at: number): ProcessId {
    return this.#ids[at] as ProcessId;
  }

  /** Takes the images of a new step. */
  #follow(at: number, from: number, input: LocalInput, step: LocalStep): void {
    for (const permutation of this.#permutations) {
      const { places, locals, frames } = permutation;
      const image = places[at] as number;
      const other: LocalInput =
        input.type !== "receive"
          ? input
          : {
              type: "receive",
              from: this.#id(places[this.#ids.indexOf(input.from)] as number),
              frame: frames[input.frame] as number,
            };
      const start = locals[at]?.[from] as number;
      const taken = (this.#searched.locals[image] as Locals).step(start, other);
      const one = formatStep({ ...input, process: this.#id(at) });
      const both = `"${one}" and "${formatStep({ ...other, process: this.#id(image) })}"`;
      this.#match(permutation, at, step, taken, both);
    }
  }

  /** What a step of that process came to has for image what its image came to; `both` are they, for people. */
  #match(
    { places, locals, frames }: Permutation,
    at: number,
    step: LocalStep,
    other: LocalStep,
    both: string,
  ): void {
    const image = places[at] as number;
    const must = (alike: boolean, what: string): void => {
      if (alike) return;
      const exchanged = this.#ids.filter((_, place) => places[place] !== place);
      throw refusal(exchanged, `${both} differ in ${what}; ${ADVICE}`);
    };
    const timers = (process: number, local: number): string =>
      JSON.stringify(this.#searched.locals[process]?.get(local).timers);
    must((step.wrong === undefined) === (other.wrong === undefined), "what goes wrong");
    must(timers(at, step.to) === timers(image, other.to), "the timers that are set then");
    for (const [to, id] of this.#ids.entries()) {
      const counterpart = this.#id(places[to] as number);
      const sent = framesTo(step, id);
      const others = framesTo(other, counterpart);
      const counts = `${sent.length} to ${id}, ${others.length} to ${counterpart}`;
      must(sent.length === others.length, `how much they send: ${counts}`);
      for (const [i, frame] of sent.entries()) {
        const text = (number: number): string => this.#searched.frames.get(number).text;
        const answer = others[i] as number;
        const known = enter(frames, frame, answer);
        must(
          known === answer,
          `what they send: ${text(frame)} went with ${text(known)} before, now with ${text(answer)}`,
        );
      }
    }
    const known = enter(locals[at] as number[], step.to, other.to);
    must(known === other.to, "where they lead: other steps led to one of these states only");
  }

  /** What permutations make of a row. Good until the next call. */
  images(row: Int32Array): readonly Int32Array[] {
    const count = this.#ids.length;
    return this.#permutations.map((permutation) => {
      const { places, locals, queues, row: image } = permutation;
      for (let at = 0; at < row.length; at += 1) {
        const number = row[at] as number;
        const known = at < count ? locals[at]?.[number] : queues[number];
        image[places[at] as number] = known ?? this.#queueImage(permutation, number);
      }
      return image;
    });
  }

  /** Makes a row the least of its images and itself: the one that stands for all of them. */
  least(row: Int32Array): void {
    let least = row;
    for (const image of this.images(row)) if (isLess(image, least)) least = image;
    row.set(least);
  }

  #queueImage({ frames, queues: known }: Permutation, number: number): number {
    const { queues } = this.#searched;
    known[number] ??= queues.of(queues.frames(number).map((frame) => frames[frame] as number));
    return known[number];
  }
}

const ADVICE =
  "they may depend neither on their names nor on turn.random, and others may not tell them apart";

/** Gives the image that is known, which is now the one given if there was none. */
function enter(images: number[], number: number, image: number): number {
  images[number] ??= image;
  return images[number];
}

const framesTo = ({ sends }: LocalStep, id: ProcessId): number[] =>
  sends.flatMap(({ to, frame }) => (to === id ? [frame] : []));

function isLess(row: Int32Array, other: Int32Array): boolean {
  for (let at = 0; at < row.length; at += 1)
    if (row[at] !== other[at]) return (row[at] as number) < (other[at] as number);
  return false;
}

function refusal(exchanged: readonly ProcessId[], why: string): TidemarkError {
  return new TidemarkError(
    "BAD_OPTION",
    `${exchanged.join(" and ")} are not interchangeable: ${why}`,
  );
}

/** By permutation: who comes in whose place. What can be seen of the claim without a search is checked. */
function permutations(claim: Claim, topology: Topology): number[][] {
  const { interchangeable = [] } = claim;
  const bad = (message: string) => new TidemarkError("BAD_OPTION", message);
  if (!Array.isArray(interchangeable) || !interchangeable.every((group) => Array.isArray(group)))
    throw bad('interchangeable is a list of groups, which are lists: [["p1", "p2"]]');
  const grouped = interchangeable.flat();
  const twice = grouped.find((id, i) => grouped.indexOf(id) !== i);
  if (twice !== undefined) throw bad(`interchangeable names ${twice} twice: once is enough`);
  const count = interchangeable.reduce(
    (product, group) => group.reduce((factorial, _, i) => factorial * (i + 1), product),
    1,
  );
  if (count > PERMUTATIONS_MAX)
    throw bad(
      `${count} orders of interchangeable processes are more than ${PERMUTATIONS_MAX}: leave some out`,
    );
  let all = [[...topology.processes.keys()]];
  for (const group of interchangeable) {
    const [first, ...rest] = group;
    if (first === undefined || rest.length === 0)
      throw bad(`a group of interchangeable processes has two or more, not [${group}]`);
    for (const other of rest) mayExchange(first, other, claim, topology);
    const places = group.map((id) => topology.processes.indexOf(id));
    all = all.flatMap((one) =>
      orders(places).map((order) => one.map((to, at) => order[places.indexOf(at)] ?? to)),
    );
  }
  return all.slice(1);
}

/** @throws TidemarkError `BAD_OPTION` if it can be seen at once that they may not */
function mayExchange(
  one: ProcessId,
  other: ProcessId,
  { requests = [], snapshots = [] }: Claim,
  topology: Topology,
): void {
  const exchanged = (id: ProcessId): ProcessId => (id === one ? other : id === other ? one : id);
  for (const { from, to } of topology.channels())
    if (!topology.outgoing(exchanged(from)).includes(exchanged(to))) {
      const none = `${exchanged(from)} → ${exchanged(to)}`;
      throw refusal([one, other], `there is a channel ${from} → ${to} and none ${none}`);
    }
  const asked = (id: ProcessId): string => {
    const own = requests.filter(({ of }) => of === id).map(({ request }) => request);
    return keyOf([own, snapshots.filter((by) => by === id).length]);
  };
  if (asked(one) !== asked(other))
    throw refusal([one, other], "requests or snapshots of theirs are not the same");
}

/** All orders of a list; the first is its own. */
function orders<T>(list: readonly T[]): T[][] {
  if (list.length < 2) return [[...list]];
  return list.flatMap((first, i) => orders(list.toSpliced(i, 1)).map((rest) => [first, ...rest]));
}
