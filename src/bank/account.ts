/**
 * The bank: every process is an account, every message a transfer. Money is neither made nor lost, so the
 * balances and the transfers in flight of a consistent snapshot always add up to what there was at the start,
 * and any other way of asking shows its mistakes.
 */

import type { ProcessId } from "../core/id.ts";
import type { Application, Turn } from "../process/application.ts";
import type { Goods } from "../process/declarations.ts";

/** Money on its way. */
export interface Transfer {
  readonly amount: number;
}

/** What an account has at one moment. */
export interface AccountBalance {
  readonly balance: number;
  /** Transfers sent so far. */
  readonly transfers: number;
}

/** All that the later turns of an account depend on, but for its options. */
export interface AccountState extends AccountBalance {
  /** When the next random transfers are due. Absent where that follows from the balance. */
  readonly pace?: Pace;
}

interface Pace {
  /** With a rate that is a number: transfers that it allows now, and when that was reckoned. */
  readonly due?: number;
  readonly dueAtMs?: number;
  /** No timer is set. */
  readonly idle: boolean;
}

/** What can be asked of an account. */
export type AccountRequest =
  | { readonly type: "state" }
  | { readonly type: "transfer"; readonly to: ProcessId; readonly amount: number };

/** `ok` is false when a transfer was not possible, and nothing happened. */
export interface AccountReply extends AccountBalance {
  readonly ok: boolean;
}

/** How an account behaves. */
export interface AccountOptions {
  /** The balance it begins with, a whole number. */
  readonly money: number;
  /** Random transfers that it makes by itself, per second, while it has money and room. @default 0: none */
  readonly rate?: number | "max";
}

/** The largest random transfer: small enough that many are in flight at once. */
const AMOUNT_MAX = 20;
/** Transfers in one turn at the most, so that a turn stays well under a millisecond. */
const BURST = 256;
/** How often an account with a rate looks at what is due. */
const PERIOD_MS = 10;

/** One account. */
export class Account implements Application<Transfer, AccountState, AccountRequest, AccountReply> {
  readonly #rate: number | "max";
  #balance: number;
  #transfers = 0;
  /** Random transfers that the rate allows now, and when that was reckoned. */
  #due: number;
  #dueAtMs = 0;
  /** No timer is set: nothing to send, or no room. */
  #idle: boolean = true;

  constructor({ money, rate = 0 }: AccountOptions) {
    this.#balance = money;
    this.#rate = rate;
    this.#due = rate === "max" ? Number.POSITIVE_INFINITY : 0;
  }

  start(turn: Turn<Transfer, AccountReply>): void {
    this.#resume(turn);
  }

  resume(turn: Turn<Transfer, AccountReply>): void {
    this.#resume(turn);
  }

  receive(_from: ProcessId, { amount }: Transfer, turn: Turn<Transfer, AccountReply>): void {
    this.#balance += amount;
    if (this.#idle) this.#resume(turn);
  }

  request(id: number, request: AccountRequest, turn: Turn<Transfer, AccountReply>): void {
    let ok = true;
    if (request.type === "transfer") {
      const { to, amount } = request;
      const whole = Number.isSafeInteger(amount) && amount >= 0;
      ok = whole && amount <= this.#balance && turn.peers.includes(to);
      if (ok) this.#transfer(to, amount, turn);
    }
    turn.reply(id, { ok, balance: this.#balance, transfers: this.#transfers });
  }

  timer(_name: string, turn: Turn<Transfer, AccountReply>): void {
    this.#reckon(turn.nowMs);
    let room = true;
    for (let i = 0; i < BURST && this.#due >= 1 && room && this.#balance > 0; i += 1) {
      const to = turn.random.pick(turn.peers);
      if (to === undefined) return;
      room = this.#transfer(to, turn.random.between(1, Math.min(AMOUNT_MAX, this.#balance)), turn);
      this.#due -= 1;
    }
    this.#idle = !room || this.#balance === 0;
    if (!this.#idle) this.#wait(turn);
  }

  writable(_to: ProcessId, turn: Turn<Transfer, AccountReply>): void {
    if (this.#idle) this.#resume(turn);
  }

  values(): Readonly<Record<string, unknown>> {
    return { balance: this.#balance };
  }

  capture(): AccountState {
    const pace = this.#pace();
    return { balance: this.#balance, transfers: this.#transfers, ...(pace && { pace }) };
  }

  restore({ balance, transfers, pace }: AccountState): void {
    this.#balance = balance;
    this.#transfers = transfers;
    this.#idle = pace?.idle ?? this.#isIdleBy(balance);
    if (this.#rate === "max") return;
    this.#due = pace?.due ?? 0;
    this.#dueAtMs = pace?.dueAtMs ?? 0;
  }

  /** Money is neither made nor lost. */
  goods(transfer?: Transfer): Goods {
    return { money: transfer ? transfer.amount : this.#balance };
  }

  #pace(): Pace | undefined {
    const idle = this.#idle;
    if (this.#rate === "max" || this.#rate === 0)
      return idle === this.#isIdleBy(this.#balance) ? undefined : { idle };
    return { due: this.#due, dueAtMs: this.#dueAtMs, idle };
  }

  /** So it is, but for an account that waits for room. */
  #isIdleBy(balance: number): boolean {
    return this.#rate === 0 || balance === 0;
  }

  #transfer(to: ProcessId, amount: number, turn: Turn<Transfer, AccountReply>): boolean {
    this.#balance -= amount;
    this.#transfers += 1;
    return turn.send(to, { amount });
  }

  /** What was missed while there was no money is not made up for. */
  #resume(turn: Turn<Transfer, AccountReply>): void {
    if (this.#rate === 0) return;
    this.#idle = false;
    this.#dueAtMs = turn.nowMs;
    this.#wait(turn);
  }

  #wait(turn: Turn<Transfer, AccountReply>): void {
    turn.setTimer("transfer", this.#due >= 1 ? 0 : PERIOD_MS);
  }

  #reckon(nowMs: number): void {
    if (this.#rate === "max") return;
    const due = this.#due + ((nowMs - this.#dueAtMs) * this.#rate) / 1000;
    // Nor is more than a second's worth after the process was held up.
    this.#due = Math.min(due, Math.max(1, this.#rate));
    this.#dueAtMs = nowMs;
  }
}
