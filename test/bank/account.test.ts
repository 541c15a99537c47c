import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  Account,
  type AccountOptions,
  type AccountReply,
  type Transfer,
} from "../../src/bank/account.ts";
import { Random } from "../../src/core/random.ts";
import type { Turn } from "../../src/process/application.ts";

/** An account with a clock, its timer and peers that only take. */
class Bench implements Turn<Transfer, AccountReply> {
  readonly replays = false;
  readonly self = "p1";
  readonly random: Random = new Random(7);
  readonly peers: readonly string[];
  readonly account: Account;
  nowMs = 1_000_000;
  /** What `send` answers. */
  room: boolean = true;
  readonly sent: { readonly to: string; readonly amount: number; readonly atMs: number }[] = [];
  readonly replies: AccountReply[] = [];
  timerAtMs: number | undefined;

  constructor(options: AccountOptions, peers: readonly string[] = ["p2", "p3"]) {
    this.peers = peers;
    this.account = new Account(options);
    this.account.start(this);
  }

  send(to: string | readonly string[], { amount }: Transfer): boolean {
    this.sent.push({ to: String(to), amount, atMs: this.nowMs });
    return this.room;
  }

  reply(_request: number, reply: AccountReply): void {
    this.replies.push(reply);
  }

  setTimer(_name: string, afterMs: number): void {
    this.timerAtMs = this.nowMs + afterMs;
  }

  /** Lets the timer ring, once. */
  ring(): void {
    if (this.timerAtMs === undefined) throw new Error("no timer is set");
    this.nowMs = Math.max(this.nowMs, this.timerAtMs);
    this.timerAtMs = undefined;
    this.account.timer("transfer", this);
  }

  /** Lets so much time pass. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    while (this.timerAtMs !== undefined && this.timerAtMs <= endMs) this.ring();
    this.nowMs = endMs;
  }

  /** The money here and on its way. */
  get money(): number {
    return this.account.capture().balance + this.sent.reduce((sum, { amount }) => sum + amount, 0);
  }
}

describe("an account", () => {
  test("at full speed sends all that it has in turns of bounded size, and rests until it gets some", () => {
    const bench = new Bench({ money: 100_000, rate: "max" });
    let before = 0;
    while (bench.timerAtMs !== undefined) {
      bench.ring();
      expect(bench.sent.length - before).toBeLessThanOrEqual(256);
      before = bench.sent.length;
      expect(bench.money).toBe(100_000);
    }
    expect(bench.account.capture()).toEqual({ balance: 0, transfers: bench.sent.length });
    expect(new Set(bench.sent.map(({ to }) => to))).toEqual(new Set(["p2", "p3"]));
    for (const { amount } of bench.sent) expect(amount).toBeGreaterThanOrEqual(1);
    // None of it took any time.
    expect(bench.nowMs).toBe(1_000_000);
    bench.account.receive("p2", { amount: 5 }, bench);
    expect(bench.timerAtMs).toBe(bench.nowMs);
    bench.ring();
    expect(bench.account.capture().balance).toBe(0);
  });

  test.for([0.5, 1, 7, 100, 2_000, 50_000])(
    "with a rate of %d transfers a second keeps to it",
    (rate) => {
      const bench = new Bench({ money: 10_000_000, rate });
      bench.pass(10_000);
      expect(bench.sent.length).toBeGreaterThanOrEqual(
        Math.floor(rate * 10) - Math.ceil(rate / 50),
      );
      expect(bench.sent.length).toBeLessThanOrEqual(rate * 10 + 1);
    },
  );

  test("does not make up for what it missed while it had no money", () => {
    const bench = new Bench({ money: 1, rate: 100 });
    bench.pass(1000);
    expect(bench.sent).toHaveLength(1);
    bench.pass(60_000);
    bench.account.receive("p2", { amount: 100_000 }, bench);
    bench.sent.length = 0;
    bench.pass(100);
    expect(bench.sent.length).toBeLessThanOrEqual(11);
  });

  test("makes up for no more than a second after it was held up", () => {
    const bench = new Bench({ money: 10_000_000, rate: 100 });
    bench.pass(1000);
    bench.sent.length = 0;
    // The timer rings a minute late.
    bench.nowMs += 60_000;
    bench.pass(0);
    expect(bench.sent).toHaveLength(100);
  });

  test("stops when there is no room on a channel, until there is", () => {
    const bench = new Bench({ money: 100_000, rate: "max" });
    bench.room = false;
    bench.ring();
    expect(bench.sent).toHaveLength(1);
    expect(bench.timerAtMs).toBeUndefined();
    bench.room = true;
    bench.account.writable("p2", bench);
    bench.ring();
    expect(bench.sent.length).toBeGreaterThan(1);
  });

  test("sends nothing by itself without a rate, or without anybody to send to", () => {
    expect(new Bench({ money: 100 }).timerAtMs).toBeUndefined();
    const alone = new Bench({ money: 100, rate: "max" }, []);
    alone.ring();
    expect([alone.sent, alone.timerAtMs]).toEqual([[], undefined]);
  });

  test("makes a transfer that it is asked for if that is possible, and else nothing", () => {
    const bench = new Bench({ money: 100 });
    const ask = (to: string, amount: number): boolean => {
      bench.account.request(1, { type: "transfer", to, amount }, bench);
      return bench.replies.at(-1)?.ok ?? false;
    };
    expect([ask("p2", 30), ask("p3", 70), ask("p2", 0), ask("p2", 1)]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    bench.account.receive("p2", { amount: 50 }, bench);
    for (const [to, amount] of [
      ["p2", -1],
      ["p2", 0.5],
      ["p2", Number.NaN],
      ["p9", 1],
      ["p1", 1],
    ] as const)
      expect(ask(to, amount)).toBe(false);
    expect(bench.sent.map(({ to, amount }) => [to, amount])).toEqual([
      ["p2", 30],
      ["p3", 70],
      ["p2", 0],
    ]);
    bench.account.request(2, { type: "state" }, bench);
    expect(bench.replies.at(-1)).toEqual({ ok: true, balance: 50, transfers: 3 });
  });

  test("goes on from a state that was captured", () => {
    const bench = new Bench({ money: 0, rate: "max" });
    bench.account.restore({ balance: 40, transfers: 9 });
    expect(bench.account.capture()).toEqual({ balance: 40, transfers: 9 });
    bench.ring();
    expect(bench.money).toBe(40);
    expect(bench.account.capture().transfers).toBe(9 + bench.sent.length);
  });

  test.for<[number | "max", boolean]>([
    [300, true],
    [300, false],
    ["max", true],
    ["max", false],
  ])("captures all that its turns depend on: rate %s, room %s", ([rate, room]) => {
    const bench = new Bench({ money: 10_000, rate });
    if (rate !== "max") bench.pass(1_005);
    bench.room = room;
    bench.ring();
    const twin = new Bench({ money: 0, rate });
    twin.account.restore(JSON.parse(JSON.stringify(bench.account.capture())));
    expect(twin.account.capture()).toEqual(bench.account.capture());
    for (const one of [bench, twin]) {
      const { timerAtMs } = bench;
      const nowMs = bench.nowMs + (one === bench ? 4 : 0);
      // Before, they drew different numbers of times.
      Object.assign(one, { random: new Random(1), nowMs, timerAtMs, room: true });
      one.sent.length = 0;
    }
    for (const one of [bench, twin]) {
      one.account.receive("p2", { amount: 7 }, one);
      one.account.writable("p2", one);
      one.ring();
    }
    expect(bench.sent.length).toBeGreaterThan(0);
    expect(twin.sent).toEqual(bench.sent);
    expect(twin.account.capture()).toEqual(bench.account.capture());
  });

  test("goes on after a restore, also with a rate that it did not have", () => {
    const bench = new Bench({ money: 0, rate: "max" });
    bench.timerAtMs = undefined;
    bench.account.restore(new Bench({ money: 50 }).account.capture());
    bench.account.resume(bench);
    bench.ring();
    expect(bench.sent.length).toBeGreaterThan(0);
  });

  test("neither makes nor loses money, whatever happens in whatever order", () => {
    const step = fc.oneof(
      fc.record({ receive: fc.integer({ min: 1, max: 50 }) }),
      fc.record({ pass: fc.integer({ min: 0, max: 200 }) }),
      fc.record({ room: fc.boolean() }),
      fc.record({ ask: fc.integer({ min: -5, max: 200 }) }),
    );
    const rate = fc.constantFrom<number | "max">(0, 3, 500, "max");
    fc.assert(
      fc.property(rate, fc.nat({ max: 500 }), fc.array(step), (rate, money, steps) => {
        const bench = new Bench({ money, rate });
        let all = money;
        for (const one of steps) {
          if ("receive" in one) {
            all += one.receive;
            bench.account.receive("p2", { amount: one.receive }, bench);
          } else if ("pass" in one) bench.pass(one.pass);
          else if ("room" in one) {
            bench.room = one.room;
            if (one.room) bench.account.writable("p2", bench);
          } else bench.account.request(1, { type: "transfer", to: "p3", amount: one.ask }, bench);
          expect(bench.money).toBe(all);
          expect(bench.account.capture().balance).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });
});
