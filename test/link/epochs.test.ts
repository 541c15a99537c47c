// Frames of another epoch never get through a link, whatever the network does with them. Both lives of each end have the same
// incarnation here, so that nothing but the epoch tells them apart.
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { batchOf } from "../../src/link/batch-writer.ts";
import { parseFrame } from "../../src/link/frame.ts";
import { type ChannelOrder, Link, type LinkEffect, type LinkInput } from "../../src/link/link.ts";
import { seeds } from "../support/soak.ts";

const LIVES = [11, 22] as const;

/** One end in one epoch, what it was given to send, and what it got. */
class End {
  readonly link: Link;
  readonly got: string[] = [];
  readonly given: string[] = [];
  readonly sent: Uint8Array[] = [];
  #taken = 0;

  constructor(epoch: number, name: 0 | 1, order: ChannelOrder) {
    this.link = new Link({
      stream: 0,
      epoch,
      incarnation: LIVES[name],
      reliable: false,
      windowBytes: 2_000,
      ackDelayMs: 5,
      order,
    });
  }

  step(input: LinkInput): readonly LinkEffect[] {
    const effects = this.link.step(input);
    for (const effect of effects) {
      if (effect.type === "transmit") this.sent.push(effect.frame.slice());
      else if (effect.type === "batch") {
        const { body } = effect.batch;
        this.got.push(new TextDecoder().decode(body.subarray(4)).replaceAll("\0", ""));
        this.#taken += body.length;
      } else throw new Error(`${effect.type} of a sound network`);
    }
    const bytes = this.#taken;
    this.#taken = 0;
    if (bytes > 0 && "nowMs" in input) this.step({ type: "taken", bytes, nowMs: input.nowMs });
    return effects;
  }
}

/** Two ends of one epoch on a network that loses, repeats and reorders, and that keeps every frame for ever. */
class Life {
  readonly ends: readonly [End, End];
  /** Every frame that was ever sent to each end. */
  readonly sentTo: readonly [Uint8Array[], Uint8Array[]] = [[], []];
  readonly #name: string;
  readonly #random: Random;
  #nowMs = 0;
  #count = 0;

  constructor(epoch: number, order: ChannelOrder, random: Random) {
    this.#name = `epoch ${epoch}`;
    this.#random = random;
    this.ends = [new End(epoch, 0, order), new End(epoch, 1, order)];
    for (const name of [0, 1] as const)
      this.ends[name].step({ type: "up", incarnation: LIVES[1 - name] as number, nowMs: 0 });
  }

  /** Something happens: a batch is given, time passes, or a frame arrives, be it for the first time or not. */
  go(): void {
    const random = this.#random;
    const name = random.below(2) as 0 | 1;
    const end = this.ends[name];
    const what = random.below(10);
    if (what < 3) this.give(name);
    else if (what === 3) {
      this.#nowMs += random.below(200);
      end.step({ type: "tick", nowMs: this.#nowMs });
    } else {
      const frame = random.pick(this.sentTo[name].slice(-20));
      if (frame) this.arrive(name, frame);
    }
    this.#collect();
  }

  give(name: 0 | 1): void {
    this.#count += 1;
    const text = `${this.#name}, batch ${this.#count}`;
    const batch = batchOf(1, new TextEncoder().encode(text));
    this.ends[name].given.push(text);
    this.ends[name].step({ type: "send", batch, nowMs: this.#nowMs });
  }

  arrive(name: 0 | 1, frame: Uint8Array): readonly LinkEffect[] {
    const parsed = parseFrame(frame.slice());
    if (typeof parsed === "string") throw new Error(parsed);
    return this.ends[name].step({ type: "frame", frame: parsed, nowMs: this.#nowMs });
  }

  /** A good network, until both are silent. */
  heal(): void {
    const arrived: [number, number] = [this.sentTo[0].length, this.sentTo[1].length];
    for (let rounds = 0; rounds < 1_000; rounds += 1) {
      this.#nowMs += 50;
      let quiet = true;
      for (const name of [0, 1] as const) {
        const from = this.ends[1 - name] as End;
        from.step({ type: "tick", nowMs: this.#nowMs });
        this.#collect();
        for (const frame of this.sentTo[name].slice(arrived[name])) {
          quiet = false;
          this.arrive(name, frame);
          arrived[name] += 1;
        }
        this.#collect();
        if (from.link.waitingBytes > 0) quiet = false;
      }
      if (quiet) return;
    }
    throw new Error("they do not fall silent");
  }

  check(order: ChannelOrder): void {
    const sorted = (texts: readonly string[]) => (order === "none" ? texts.toSorted() : texts);
    for (const [end, other] of [this.ends, this.ends.toReversed()] as [End, End][])
      expect(sorted(end.got)).toEqual(sorted(other.given));
  }

  #collect(): void {
    for (const name of [0, 1] as const)
      this.sentTo[1 - name]?.push(...this.ends[name].sent.splice(0));
  }
}

describe.each(["fifo", "none"] as const)("in order %s, of two epochs", (order) => {
  test("no frame of one does anything in the other, in whatever order both come", () => {
    let strangers = 0;
    for (const seed of seeds("link-epochs", 30, 5_000)) {
      const random = new Random(`${order} ${seed}`);
      const [old, later] = [new Life(1, order, random), new Life(2, order, random)];
      for (let i = 0; i < 200; i += 1) {
        const [one, other] = random.chance(0.5) ? [old, later] : [later, old];
        one.go();
        const name = random.below(2) as 0 | 1;
        const stranger = random.pick(other.sentTo[name]);
        if (!stranger) continue;
        const { link } = one.ends[name];
        const before = structuredClone(link.state);
        expect(one.arrive(name, stranger)).toEqual([]);
        expect(isDeepStrictEqual(link.state, before)).toBe(true);
        strangers += 1;
      }
      for (const life of [old, later]) {
        life.heal();
        life.check(order);
      }
    }
    expect(strangers).toBeGreaterThan(4_000);
  });
});

test("a batch of an older epoch that has the very number that is expected next is not taken", () => {
  const random = new Random("next");
  const [old, later] = [new Life(1, "fifo", random), new Life(2, "fifo", random)];
  for (const life of [old, later]) life.heal();
  old.give(0);
  old.heal();
  expect(old.ends[1].got).toEqual(["epoch 1, batch 1"]);
  for (const frame of old.sentTo[1]) expect(later.arrive(1, frame)).toEqual([]);
  later.give(0);
  later.heal();
  expect(later.ends[1].got).toEqual(["epoch 2, batch 1"]);
  for (const frame of later.sentTo[1]) expect(old.arrive(1, frame)).toEqual([]);
  expect(old.ends[1].got).toEqual(["epoch 1, batch 1"]);
});
