/** Shipping groups in the words of spec/causalMulticast.qnt. */

import type { OrderLevel } from "../../../src/core/order-level.ts";
import type { Packet, Word } from "../../../src/multicast/packet.ts";
import { byMember, GroupSystem, type MakeGroup } from "./group-system.ts";
import { type Fields, mapValues, type Step } from "./itf.ts";
import type { Replica } from "./replay.ts";

/** By member. */
interface Stamp {
  readonly [member: string]: number;
}

interface ModelPacket {
  readonly number: number;
  readonly level: OrderLevel;
  readonly changes: Stamp;
}

interface ModelState {
  readonly locals: {
    readonly [member: string]: {
      readonly stamp: Stamp;
      readonly origins: {
        readonly [origin: string]: {
          readonly received: number;
          readonly stamp: Stamp;
          readonly early: { readonly [number: string]: ModelPacket };
          readonly waiting: readonly {
            readonly number: number;
            readonly level: OrderLevel;
            readonly stamp: Stamp;
          }[];
          readonly delivered: number;
        };
      };
      readonly delivered: readonly (readonly [origin: number, number: number])[];
    };
  };
  readonly wire: { readonly [channel: string]: readonly ModelPacket[] };
  readonly sent: {
    readonly [id: string]: { readonly level: OrderLevel; readonly stamp: Stamp };
  };
}

/** How often the interesting cases occurred. */
export interface Seen {
  held: number;
  /** A reply has come, and what it replies to has not. */
  overtaken: number;
  early: number;
  /** After so many steps all that was multicast was delivered by all. */
  whole: number;
}

/** See the head of the file. */
export class CausalReplica implements Replica {
  readonly seen: Seen;
  readonly #system: GroupSystem;

  /** @param make makes the machine of a member */
  constructor(first: Step, seen: Seen, make?: MakeGroup) {
    this.seen = seen;
    const { locals } = first.state as unknown as ModelState;
    this.#system = new GroupSystem(Object.keys(locals), "sequencer", make);
  }

  perform(action: string, { self, level, channel, index }: Fields): void {
    switch (action) {
      case "anyMulticast":
        this.#system.multicast(String(self), level as OrderLevel);
        break;
      case "anyCausal":
        this.#system.multicast(String(self), "causal");
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
    this.#look();
  }

  expected(state: Fields): unknown {
    const { locals, wire, sent } = state as unknown as ModelState;
    return {
      locals: mapValues(locals, ({ stamp, origins, delivered }) => ({
        stamp,
        origins: mapValues(origins, (known, origin) => ({
          ...known,
          // Of those in FIFO or causal order; the model does not count them.
          accepted: delivered
            .filter((id) => `${id[0]}` === origin && sent[id.join("/")]?.level !== "reliable")
            .reduce((_, [, number]) => number, 0),
        })),
        delivered: delivered.map((id) => {
          const { level, stamp: brought } = sent[id.join("/")] ?? {};
          // A delivery tells of the other origins.
          return { id: id.join("/"), level, stamp: { ...brought, [id[0]]: 0 } };
        }),
      })),
      wire,
    };
  }

  project(): unknown {
    const system = this.#system;
    system.checkBounds();
    return {
      locals: system.each((self, at) => {
        const { stamp, origins } = (system.groups[at] as (typeof system.groups)[number]).state;
        return {
          stamp: this.#stamp(stamp),
          origins: system.each((_, index) => {
            const origin = origins[index] as (typeof origins)[number];
            // Without total order what is accepted is delivered at once.
            if (origin.line.length + origin.loose.size > 0)
              throw new Error(`${self} has accepted what it does not deliver`);
            const { received, accepted, delivered } = origin;
            return {
              received,
              stamp: this.#stamp(origin.stamp.with(index, origin.own)),
              early: Object.fromEntries(
                [...origin.early].map(([number, bytes]) => [
                  `${number}`,
                  this.#shown(system.read(bytes)),
                ]),
              ),
              waiting: origin.waiting.map((held) => ({
                number: held.number,
                level: held.kind,
                stamp: this.#stamp(held.stamp.with(index, held.own)),
              })),
              accepted,
              delivered,
            };
          }),
          delivered: system.delivered.get(self)?.map(({ from, number, level, ...brought }) => ({
            id: `${from}/${number}`,
            level,
            stamp: this.#stamp(brought.stamp),
          })),
        };
      }),
      wire: system.shownWire((frame) => this.#shown(frame)),
    };
  }

  #stamp(numbers: readonly number[]): Stamp {
    return byMember(this.#system.members, numbers);
  }

  #shown(frame: Packet | Word): ModelPacket {
    if (!("number" in frame)) throw new Error(`there is a word: ${frame.kind}`);
    const { number, kind, changes } = frame;
    const { members } = this.#system;
    return {
      number,
      level: kind as OrderLevel,
      changes: Object.fromEntries(changes.map(([of, last]) => [members[of], last])),
    };
  }

  #look(): void {
    const { groups, delivered, members } = this.#system;
    let multicasts = 0;
    let whole = true;
    for (const [at, { state }] of groups.entries()) {
      multicasts += state.origins[at]?.received ?? 0;
      for (const { waiting, early } of state.origins) {
        if (early.size > 0) this.seen.early += 1;
        for (const { origin, kind, stamp } of waiting) {
          this.seen.held += 1;
          const lacks = stamp.some(
            (number, of) => of !== origin && number > (state.origins[of]?.received ?? 0),
          );
          if (kind === "causal" && lacks) this.seen.overtaken += 1;
        }
      }
    }
    for (const self of members) whole &&= delivered.get(self)?.length === multicasts;
    if (whole && multicasts > 1) this.seen.whole += 1;
  }
}
