/** Shipping groups, one a member, with channels between them that are what a model says. A member is called by its number. */

import { copyOf, readRecords } from "../../../src/core/record.ts";
import { decodeUtf8 } from "../../../src/core/utf8.ts";
import {
  Group,
  type GroupEffect,
  type GroupInput,
  type GroupOptions,
} from "../../../src/multicast/group.ts";
import { decodePacket, type Packet, type Word } from "../../../src/multicast/packet.ts";
import { draftOf } from "../../multicast/support/drafts.ts";

export type Deliver = Extract<GroupEffect, { readonly type: "deliver" }>;

export type MakeGroup = (options: GroupOptions) => Group;

/** So much, and so late, that no member ever tells what it has, or asks for anything. */
const BOUNDS = {
  windowBytes: 2 ** 40,
  tellAfterMs: Number.POSITIVE_INFINITY,
  askAfterMs: Number.POSITIVE_INFINITY,
  life: 1,
  group: 0,
};
const NOW_MS = 0;

/** A message is what its origin and its number are. */
const textOf = (origin: string, number: number): string => `message ${number} of ${origin}`;

/** See the head of the file. */
export class GroupSystem {
  readonly members: readonly string[];
  readonly groups: readonly Group[];
  /** By origin and destination, the oldest first. */
  readonly wire: Map<string, Uint8Array[]> = new Map();
  /** By member. */
  readonly delivered: ReadonlyMap<string, Deliver[]>;

  constructor(
    members: readonly string[],
    total: GroupOptions["total"],
    make: MakeGroup = (options) => new Group(options),
  ) {
    this.members = members;
    this.groups = members.map((self) => make({ self, members, total, uniform: false, ...BOUNDS }));
    this.delivered = new Map(members.map((self) => [self, []]));
    for (const from of members)
      for (const to of members) if (from !== to) this.wire.set(`${from}/${to}`, []);
  }

  multicast(self: string, level: Deliver["level"]): void {
    const group = this.#group(self);
    const number = (group.state.origins[this.members.indexOf(self)]?.received ?? 0) + 1;
    const draft = draftOf(level, this.members.length, [textOf(self, number)]);
    this.#step(self, { type: "multicast", draft, nowMs: NOW_MS });
  }

  /** What is there on a channel arrives; if it is kept, it stays there. */
  receive(from: string, to: string, index: number, kept: boolean): void {
    const frames = this.#frames(from, to);
    const bytes = frames[index];
    if (!bytes) throw new Error(`there is no frame ${index} from ${from} to ${to}`);
    if (!kept) frames.splice(index, 1);
    // It is only lent: it is written over afterwards.
    const lent = copyOf(bytes);
    this.#step(to, { type: "packet", from, bytes: lent, nowMs: NOW_MS });
    lent.fill(0xee);
  }

  read(bytes: Uint8Array): Packet | Word {
    const read = decodePacket(bytes, this.members.length);
    if (typeof read === "string") throw new Error(read);
    return read;
  }

  /** By member: an object with a value for each. */
  each<T>(show: (member: string, index: number) => T): { readonly [member: string]: T } {
    return Object.fromEntries(this.members.map((member, index) => [member, show(member, index)]));
  }

  /** What is on each channel. */
  shownWire(show: (frame: Packet | Word) => unknown): unknown {
    return Object.fromEntries(
      [...this.wire].map(([channel, frames]) => [
        channel,
        frames.map((bytes) => {
          const frame = this.read(bytes);
          if ("number" in frame) {
            const [origin] = channel.split("/");
            if (this.members[frame.origin] !== origin)
              throw new Error(`a packet of member ${frame.origin} is on ${channel}`);
          }
          return show(frame);
        }),
      ]),
    );
  }

  /** Each member keeps everything, and is never about to say or ask anything: the model knows nothing of it. */
  checkBounds(): void {
    for (const { state, deadlineMs, room } of this.groups) {
      if (deadlineMs < Number.POSITIVE_INFINITY || !room) throw new Error("a bound was reached");
      for (const { received, kept, keptFrom, unsafe } of state.origins)
        if (kept.length !== received || keptFrom !== 1 || unsafe.length > 0)
          throw new Error(`of ${received} packets ${kept.length} are kept, from ${keptFrom} on`);
    }
  }

  #group(self: string): Group {
    return this.groups[this.members.indexOf(self)] as Group;
  }

  #frames(from: string, to: string): Uint8Array[] {
    const frames = this.wire.get(`${from}/${to}`);
    if (!frames) throw new Error(`there is no channel from ${from} to ${to}`);
    return frames;
  }

  #step(self: string, input: GroupInput): void {
    for (const effect of this.#group(self).step(input))
      if (effect.type === "send")
        for (const to of effect.to) this.#frames(self, to).push(copyOf(effect.bytes));
      else if (effect.type === "irregular") throw new Error(effect.reason);
      else if (effect.type === "deliver") {
        const [text, ...more] = readRecords(effect.body).map(decodeUtf8);
        if (text !== textOf(effect.from, effect.number) || more.length > 0 || effect.count !== 1)
          throw new Error(`${effect.number} of ${effect.from} was delivered as ${text}`);
        this.delivered.get(self)?.push({ ...effect, body: copyOf(effect.body) });
      }
  }
}

/** A value for each member, from a list. */
export function byMember<T>(
  members: readonly string[],
  list: readonly T[],
): { readonly [member: string]: T } {
  return Object.fromEntries(members.map((member, index) => [member, list[index] as T]));
}
