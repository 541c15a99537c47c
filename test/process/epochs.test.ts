// Frames from before a restore reach no application, no snapshot and no counter after it. The processes of both epochs have the
// same incarnations here, so that nothing but the epoch tells them apart.
import { describe, expect, test } from "vitest";
import type { ProcessId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { HandDriven } from "../support/hand-driven.ts";
import { seeds } from "../support/soak.ts";

const IDS = ["a", "b", "c"];

interface Sent {
  readonly from: ProcessId;
  readonly to: ProcessId;
  readonly frame: Uint8Array;
}

/** A system of one epoch on a network that a seed decides and that keeps every frame for ever. */
class Era {
  readonly system: HandDriven;
  readonly sent: Sent[] = [];
  readonly requested = new Map<string, string[]>();
  readonly snapshots: [ProcessId, `${string}/${number}`][] = [];
  readonly #random: Random;
  readonly #epoch: number;
  #count = 0;

  constructor(epoch: number, order: "fifo" | "none", random: Random) {
    this.#epoch = epoch;
    this.#random = random;
    this.system = new HandDriven(IDS, { epoch, reliable: false, order });
  }

  go(): void {
    const { system } = this;
    const random = this.#random;
    const from = random.pick(IDS) ?? "";
    const to = random.pick(IDS.filter((id) => id !== from)) ?? "";
    const what = random.below(12);
    if (what < 4) {
      this.#count += 1;
      const text = `epoch ${this.#epoch}, message ${this.#count}`;
      const key = `${from} ${to}`;
      this.requested.set(key, [...(this.requested.get(key) ?? []), text]);
      system.step(from, { type: "request", id: 1, request: `${to}: ${text}` });
    } else if (what === 4) system.pass(random.below(100));
    else if (what === 5 && this.snapshots.length < 3)
      this.snapshots.push([from, system.snapshot(from)]);
    this.keep();
    const wire = system.wire(from, to);
    if (what > 5 && wire.length > 0) {
      const index = random.below(wire.length);
      // Lost, or repeated, or it just arrives, out of its turn.
      if (random.chance(0.1)) wire.splice(index, 1);
      else if (random.chance(0.2)) wire.push((wire[index] as Uint8Array).slice());
      else system.deliver(from, to, index);
    }
  }

  /** Every frame that is on its way. */
  keep(): void {
    for (const [key, wire] of this.system.wires) {
      const [from = "", to = ""] = key.split(" ");
      for (const frame of wire.slice(-3)) this.sent.push({ from, to, frame: frame.slice() });
    }
  }

  /** What a process tells and knows when a frame of the other epoch arrives: nothing new. */
  expectDeaf({ from, to, frame }: Sent): void {
    const { system } = this;
    const process = system.process(to);
    const before = JSON.stringify([process.counters, process.state, system.probe(to).log]);
    const effects = system.step(to, { type: "frame", from, frame: frame.slice() });
    expect(effects.filter(({ type }) => type !== "wake")).toEqual([]);
    expect(JSON.stringify([process.counters, process.state, system.probe(to).log])).toBe(before);
  }

  heal(): void {
    const { system } = this;
    system.run();
    for (let i = 0; i < 200; i += 1) {
      system.pass(100);
      system.run();
    }
  }

  check(order: "fifo" | "none"): void {
    const { system } = this;
    const sorted = (texts: readonly string[]) => (order === "none" ? texts.toSorted() : texts);
    for (const from of IDS)
      for (const to of IDS) {
        const got = system.probe(to).log.filter((line) => line.startsWith(`${from}: `));
        const wanted = (this.requested.get(`${from} ${to}`) ?? []).map(
          (text) => `${from}: ${text}`,
        );
        expect(sorted(got)).toEqual(sorted(wanted));
      }
    for (const [id, snapshot] of this.snapshots)
      expect(system.ending(id, snapshot)).toBe("complete");
    for (const id of IDS) expect(system.problems(id)).toEqual([]);
  }
}

describe.each(["fifo", "none"] as const)("with channels in order %s", (order) => {
  test("no frame of one epoch does anything in another, in whatever order both come", () => {
    let strangers = 0;
    let snapshots = 0;
    for (const seed of seeds("process-epochs", 10, 2_000)) {
      const random = new Random(`${order} ${seed}`);
      const [old, later] = [new Era(1, order, random), new Era(2, order, random)];
      for (let i = 0; i < 150; i += 1) {
        const [one, other] = random.chance(0.5) ? [old, later] : [later, old];
        one.go();
        const stranger = random.pick(other.sent);
        if (stranger) one.expectDeaf(stranger);
        strangers += stranger ? 1 : 0;
      }
      for (const era of [old, later]) {
        era.heal();
        era.check(order);
        snapshots += era.snapshots.length;
      }
    }
    expect([strangers > 1_000, snapshots > 10]).toEqual([true, true]);
  });
});
