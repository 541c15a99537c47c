/** Shipping groups in the words of spec/agreedOrder.qnt; all messages are of the same level, which has total order. */

import type { Group } from "../../../src/multicast/group.ts";
import type { Entry, Packet, Word } from "../../../src/multicast/packet.ts";
import type { AgreementState } from "../../../src/multicast/total-order.ts";
import { GroupSystem, type MakeGroup } from "./group-system.ts";
import { type Fields, mapValues, type Step } from "./itf.ts";
import type { Replica } from "./replay.ts";

type Id = readonly [origin: number, number: number];

interface ModelEntry {
  readonly number: number;
  readonly place: number;
}

type ModelFrame =
  | {
      readonly tag: "Packet";
      readonly value: { readonly number: number; readonly finals: readonly ModelEntry[] };
    }
  | { readonly tag: "Proposals"; readonly value: readonly ModelEntry[] };

interface ModelState {
  readonly locals: {
    readonly [member: string]: {
      readonly received: { readonly [origin: string]: number };
      readonly early: {
        readonly [origin: string]: { readonly [number: string]: readonly ModelEntry[] };
      };
      readonly clock: number;
      readonly line: readonly {
        readonly id: Id;
        readonly place: number;
        readonly agreed: boolean;
      }[];
      readonly open: {
        readonly [number: string]: { readonly place: number; readonly missing: readonly number[] };
      };
      readonly delivered: readonly Id[];
    };
  };
  readonly wire: { readonly [channel: string]: readonly ModelFrame[] };
}

/** How often the interesting cases occurred. */
export interface Seen {
  /** Two messages of the same place stood in a line. */
  ties: number;
  /** A message was put behind another one, because of what was agreed for it. */
  overtaken: number;
  /** What is agreed waits for what is not. */
  waits: number;
  early: number;
  /** After so many steps all that was multicast was delivered by all. */
  whole: number;
}

/** See the head of the file. */
export class AgreedReplica implements Replica {
  readonly seen: Seen;
  readonly #level: "total" | "fifo-total";
  readonly #system: GroupSystem;
  #multicasts = 0;

  /** @param make makes the machine of a member */
  constructor(first: Step, seen: Seen, level: "total" | "fifo-total", make?: MakeGroup) {
    this.seen = seen;
    this.#level = level;
    const { locals } = first.state as unknown as ModelState;
    this.#system = new GroupSystem(Object.keys(locals), "agreed", make);
  }

  perform(action: string, { self, channel, index }: Fields): void {
    const before = this.#system.groups.map((group) => [...orderOf(group).line]);
    switch (action) {
      case "anyMulticast":
        this.#multicasts += 1;
        this.#system.multicast(String(self), this.#level);
        break;
      case "anyReceive":
      case "anyRepeat": {
        const [from, to] = channel as readonly [number, number];
        this.#system.receive(`${from}`, `${to}`, Number(index), action === "anyRepeat");
        break;
      }
      default:
        throw new Error(`the model has an action that is not known here: ${action}`);
    }
    this.#look(before);
  }

  expected(state: Fields): unknown {
    const { locals, wire } = state as unknown as ModelState;
    return {
      locals: mapValues(locals, ({ received, early, line, delivered, ...local }) => {
        const waiting = line.map(({ id }) => id);
        return {
          ...local,
          origins: mapValues(received, (count, origin) => ({
            received: count,
            early: early[origin],
            // A message gets a place when it is accepted. It waits, in sequence, until it is delivered.
            accepted: Math.max(0, ...numbersOf([...delivered, ...waiting], origin)),
            waiting: numbersOf(waiting, origin),
          })),
          line,
          delivered,
        };
      }),
      wire,
    };
  }

  project(): unknown {
    const system = this.#system;
    system.checkBounds();
    return {
      locals: system.each((self, at) => {
        const group = system.groups[at] as Group;
        const { origins, stamp } = group.state;
        const { clock, line, open, toPropose, toAgree } = orderOf(group);
        if (toPropose.size + toAgree.length > 0) throw new Error(`${self} has not said all`);
        if (stamp.some((number) => number > 0)) throw new Error(`${self} has a stamp`);
        return {
          clock,
          origins: system.each((_, index) => {
            const origin = origins[index] as (typeof origins)[number];
            const { received, accepted, waiting, loose } = origin;
            if (waiting.length > 0) throw new Error(`${self} has not accepted what has come`);
            const inLine = origin.line.map(({ number }) => number);
            const [held, others] =
              this.#level === "total" ? [[...loose.keys()], inLine] : [inLine, [...loose.keys()]];
            if (others.length > 0) throw new Error(`${self} holds what has another order`);
            return {
              received,
              early: Object.fromEntries(
                [...origin.early].map(([number, bytes]) => [
                  `${number}`,
                  entriesOf(system.read(bytes).entries),
                ]),
              ),
              accepted,
              waiting: held,
            };
          }),
          line: line.map(({ origin, number, place, agreed }) => ({
            id: [origin + 1, number],
            place,
            agreed,
          })),
          open: mapValues(Object.fromEntries(open), ({ place, missing }) => ({
            place,
            missing: missing.map((member) => member + 1),
          })),
          delivered: system.delivered.get(self)?.map(({ from, number, level, stamp: brought }) => {
            if (level !== this.#level || brought.some((last) => last > 0))
              throw new Error(`${number} of ${from} is delivered as ${level}, with ${brought}`);
            return [Number(from), number];
          }),
        };
      }),
      wire: system.shownWire((frame) => this.#shown(frame)),
    };
  }

  #shown(frame: Packet | Word): ModelFrame {
    const entries = entriesOf(frame.entries);
    if (!("number" in frame)) {
      if (frame.kind !== "proposals") throw new Error(`there is a word: ${frame.kind}`);
      return { tag: "Proposals", value: entries };
    }
    const { kind, changes } = frame;
    if (changes.length > 0 || kind !== (entries.length > 0 ? "finals" : this.#level))
      throw new Error(`there is a packet of kind ${kind}, with ${changes.length} changes`);
    return { tag: "Packet", value: { number: frame.number, finals: entries } };
  }

  #look(before: readonly AgreementState["line"][]): void {
    const { groups, delivered, members } = this.#system;
    for (const [at, group] of groups.entries()) {
      const { line } = orderOf(group);
      const [first] = line;
      if (group.state.origins.some(({ early }) => early.size > 0)) this.seen.early += 1;
      if (first?.agreed === false && line.some(({ agreed }) => agreed)) this.seen.waits += 1;
      if (line.some(({ place }, i) => line[i + 1]?.place === place)) this.seen.ties += 1;
      // In the line as it was: is anything that stands in it still, in another order?
      const stayed = (before[at] ?? []).filter((one) => line.includes(one));
      const now = line.filter((one) => stayed.includes(one));
      if (stayed.some((one, i) => now[i] !== one)) this.seen.overtaken += 1;
    }
    const whole = members.every((self) => delivered.get(self)?.length === this.#multicasts);
    if (whole && this.#multicasts > 1) this.seen.whole += 1;
  }
}

const orderOf = ({ state }: Group): AgreementState => state.order as AgreementState;

const entriesOf = (entries: readonly Entry[]): ModelEntry[] =>
  entries.map(([number, place]) => ({ number, place }));

/** Those of one origin, in ascending order. */
const numbersOf = (ids: readonly Id[], origin: string): number[] =>
  ids.flatMap(([of, number]) => (`${of}` === origin ? [number] : [])).sort((a, b) => a - b);
