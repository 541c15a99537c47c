// Groups share slabs among drafts, packets that they keep and messages that applications get: none of these bytes change once others have them.
import { expect, test } from "vitest";
import { copyOf } from "../../src/core/record.ts";
import { decodeUtf8, encodeUtf8 } from "../../src/core/utf8.ts";
import { jsonCodec, lentBytesCodec, Random } from "../../src/index.ts";
import type { Turn } from "../../src/process/application.ts";
import {
  type GroupApplication,
  Grouped,
  type GroupTurn,
  groupedCodecs,
} from "../../src/process/grouped.ts";
import { ORDER_LEVELS, type OrderLevel } from "../../src/trace.ts";
import { seeds } from "../support/soak.ts";

const LEVELS = Object.keys(ORDER_LEVELS) as OrderLevel[];
const SIZES = [0, 1, 2, 3, 50, 3_000, 8_000];
const codecs = groupedCodecs<Uint8Array, string[]>({
  messageCodec: lentBytesCodec,
  stateCodec: jsonCodec<unknown>(),
});
const TIMER = "\u0000groups";
/** 200 ms each. */
const CALM_MOST = 1_000;

interface Member {
  readonly one: Grouped<Uint8Array, string[], null, never>;
  readonly turn: Turn<Uint8Array>;
  /** When its timer rings. */
  at: number;
}

/** Members that send each other whatever they like, and now and then all go on from what they had captured. */
class Members {
  readonly ids: readonly string[];
  /** Sent to each member, and got by it. */
  readonly due: string[][];
  readonly got: string[][];
  readonly #seen: { readonly bytes: Uint8Array; readonly copy: Uint8Array }[] = [];
  readonly #random: Random;
  readonly #ways = new Map<string, Uint8Array[]>();
  readonly #groups: Record<string, { members: string[]; total: "sequencer" | "agreed" }>;
  readonly #most: number;
  #members: Member[];
  #nowMs = 1_000;
  #said = 0;

  constructor(seed: number) {
    const random = new Random(`bytes ${seed}`);
    this.#random = random;
    this.ids = Array.from({ length: random.between(1, 5) }, (_, i) => `p${i + 1}`);
    this.due = this.ids.map(() => []);
    this.got = this.ids.map(() => []);
    this.#most = random.between(10, 100);
    const total = random.pick(["sequencer", "agreed"] as const) as "agreed";
    this.#groups = { all: { members: [...this.ids], total } };
    if (this.ids.length > 2) this.#groups["few"] = { members: this.ids.slice(1), total };
    this.#members = this.ids.map((id, i) => this.#member(id, i));
    for (const { one, turn } of this.#members) one.start(turn);
  }

  run(): void {
    const random = this.#random;
    while (this.#said < this.#most) {
      const what = random.fraction();
      const { one, turn } = random.pick(this.#members) as Member;
      const other = random.pick(this.ids) as string;
      if (what < 0.15) one.request?.(0, null, turn);
      else if (what < 0.2 && other !== turn.self) {
        one.peer(other, "lost", turn);
        one.peer(other, "back", turn);
      } else if (what < 0.27) this.#wait(random.below(300));
      else if (what < 0.3) this.#again();
      else this.#arrive();
    }
    // Until nobody waits for anything: what is missing is asked for with growing pauses.
    const isDone = (): boolean => this.#members.every(({ at }) => at === Number.POSITIVE_INFINITY);
    for (let calm = 0; calm < 20 || !isDone(); calm += 1) {
      if (calm === CALM_MOST) throw new Error("somebody still waits for something");
      while (this.#arrive());
      this.#wait(200);
    }
  }

  /** What was written over. */
  changed(): number {
    return this.#seen.filter(({ bytes, copy }) => String(bytes) !== String(copy)).length;
  }

  #see(bytes: Uint8Array): void {
    this.#seen.push({ bytes, copy: copyOf(bytes) });
  }

  #member(self: string, index: number): Member {
    const hear = (message: Uint8Array, turn: GroupTurn<Uint8Array>): void => {
      this.#see(message);
      this.got[index]?.push(decodeUtf8(message) as string);
      if (this.#random.chance(0.2) && this.#said < this.#most) this.#say(turn);
    };
    const application: GroupApplication<Uint8Array, string[], null> = {
      receive: (_from, message, turn) => hear(message, turn),
      deliver: (_group, { message }, turn) => hear(message, turn),
      request: (_id, _request, turn) => this.#say(turn),
      capture: () => [...(this.got[index] as string[])],
      restore: (got) => void this.got.splice(index, 1, got),
    };
    const member = {
      one: new Grouped({
        ...{ self, application, groups: this.#groups, messageCodec: lentBytesCodec },
        windowBytes: this.#random.pick([4_096, 65_536]) as number,
      }),
      at: Number.POSITIVE_INFINITY,
      turn: {
        ...{ self, nowMs: this.#nowMs, random: this.#random, replays: false },
        peers: this.ids.filter((id) => id !== self),
        send: (to: string | readonly string[], bytes: Uint8Array) => {
          this.#see(bytes);
          for (const id of [to].flat()) {
            const way = `${self} ${id}`;
            this.#ways.set(way, [...(this.#ways.get(way) ?? []), copyOf(bytes)]);
          }
          return true;
        },
        reply: () => {},
        setTimer: (_name: string, afterMs: number) => {
          member.at = this.#nowMs + afterMs;
        },
      },
    };
    return member;
  }

  /** Some messages of all sizes and levels, to all or to some; and writes over them. */
  #say(turn: GroupTurn<Uint8Array>): void {
    const random = this.#random;
    for (let i = random.between(1, 4); i > 0; i -= 1) {
      const names = Object.keys(this.#groups).filter((name) =>
        this.#groups[name]?.members.includes(turn.self),
      );
      const group = random.pick(names) as string;
      const { members } = this.#groups[group] as { members: string[] };
      const order = random.pick(LEVELS) as OrderLevel;
      const text = `${++this.#said}${"#".repeat(random.pick(SIZES) as number)}`;
      const bytes = encodeUtf8(text);
      const some = Array.from({ length: random.below(4) }, () => random.pick(members) as string);
      const isToAll = random.chance(0.6);
      if (isToAll) turn.multicast(group, bytes, { order });
      else turn.send(some, bytes, { group, order });
      for (const id of isToAll ? members : some) this.due[this.ids.indexOf(id)]?.push(text);
      bytes.fill(0x21);
    }
  }

  #arrive(): boolean {
    const [way, queue] =
      this.#random.pick([...this.#ways].filter(([, { length }]) => length > 0)) ?? [];
    const bytes = queue?.shift();
    if (!way || !bytes) return false;
    const [from = "", to = ""] = way.split(" ");
    const { one, turn } = this.#members[this.ids.indexOf(to)] as Member;
    one.receive(from, bytes, turn);
    // What is lent is written over.
    bytes.fill(0xee);
    return true;
  }

  #wait(ms: number): void {
    this.#nowMs += ms;
    for (const member of this.#members) {
      Object.assign(member.turn, { nowMs: this.#nowMs });
      if (member.at > this.#nowMs) continue;
      member.at = Number.POSITIVE_INFINITY;
      member.one.timer(TIMER, member.turn);
    }
  }

  /** All of them from the bytes of their states, with what is on its way: twice restored is as once. */
  #again(): void {
    const states = this.#members.map(({ one }) => codecs.stateCodec.encode(one.capture() as never));
    this.#members = this.ids.map((id, i) => this.#member(id, i));
    for (const [i, { one, turn }] of this.#members.entries()) {
      const state = codecs.stateCodec.decode(states[i] as Uint8Array);
      states[i]?.fill(0xdd);
      if (this.#random.chance(0.3)) one.restore(state);
      one.restore(state);
      one.start(turn);
    }
  }
}

test("what is sent, kept or handed on does not change; all of it comes, once", {
  timeout: 3_600_000,
}, () => {
  for (const seed of seeds("group-bytes", 60, 20_000)) {
    const members = new Members(seed);
    members.run();
    expect(members.changed(), `seed ${seed}`).toBe(0);
    const sorted = (all: readonly string[][]) => all.map((texts) => [...texts].sort());
    expect(sorted(members.got), `seed ${seed}`).toEqual(sorted(members.due));
  }
});
