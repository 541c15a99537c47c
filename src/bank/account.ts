/**
 * The bank: every process is an account, every message a transfer. Money is neither made nor lost, so the
 * balances and the transfers in flight of a consistent snapshot always add up to what there was at the start,
 * and any other way of asking shows its mistakes.
 */

import type { ProcessId } from "../core/id.ts";
import type { Application, Turn } from "../process/application.ts";

/** Money on its way. */
export interface Transfer {
  readonly amount: number;
}

/** What an account is at one moment. */
export interface AccountState {
  readonly balance: number;
  /** Transfers sent so far. */
  readonly transfers: number;
}

/** What can be asked of an account. */
export type AccountRequest =
  | { readonly type: "state" }
  | { readonly type: "transfer"; readonly to: ProcessId; readonly amount: number };

/** `ok` is false when the balance was too small, and nothing happened. */
export interface AccountReply extends AccountState {
  readonly ok: boolean;
}

/** How an account behaves. */
export interface AccountOptions {
  readonly money: number;
  /** Random transfers that it makes by itself, per second. @default 0: none */
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
  /** Where the rate counts from. */
  #sinceMs = 0;
  #sinceTransfers = 0;
  /** No timer is set: nothing to send, or no room. */
  #idle = true;

  constructor({ money, rate = 0 }: AccountOptions) {
    this.#balance = money;
    this.#rate = rate;
  }

  start(turn: Turn<Transfer, AccountReply>): void {
    this.#sinceMs = turn.nowMs;
    this.#resume(turn);
  }

  receive(_from: ProcessId, { amount }: Transfer, turn: Turn<Transfer, AccountReply>): void {
    this.#balance += amount;
    if (this.#idle) this.#resume(turn);
  }

  request(id: number, request: AccountRequest, turn: Turn<Transfer, AccountReply>): void {
    let ok = true;
    if (request.type === "transfer") {
      ok = request.amount <= this.#balance;
      if (ok) this.#transfer(request.to, request.amount, turn);
    }
    turn.reply(id, { ok, ...this.capture() });
  }

  timer(_name: string, turn: Turn<Transfer, AccountReply>): void {
    this.#idle = true;
    const due =
      this.#rate === "max"
        ? BURST
        : this.#sinceTransfers +
          Math.floor(((turn.nowMs - this.#sinceMs) * this.#rate) / 1000) -
          this.#transfers;
    let room = true;
    for (let i = 0; i < Math.min(due, BURST) && room && this.#balance > 0; i += 1) {
      const to = turn.random.pick(turn.peers);
      if (to === undefined) return;
      const amount = turn.random.between(1, Math.min(AMOUNT_MAX, this.#balance));
      room = this.#transfer(to, amount, turn);
    }
    if (room && this.#balance > 0) this.#resume(turn);
  }

  writable(_to: ProcessId, turn: Turn<Transfer, AccountReply>): void {
    if (this.#idle) this.#resume(turn);
  }

  capture(): AccountState {
    return { balance: this.#balance, transfers: this.#transfers };
  }

  restore({ balance, transfers }: AccountState): void {
    this.#balance = balance;
    this.#transfers = transfers;
    this.#sinceTransfers = transfers;
  }

  #transfer(to: ProcessId, amount: number, turn: Turn<Transfer, AccountReply>): boolean {
    this.#balance -= amount;
    this.#transfers += 1;
    return turn.send(to, { amount });
  }

  #resume(turn: Turn<Transfer, AccountReply>): void {
    if (this.#rate === 0) return;
    this.#idle = false;
    turn.setTimer("transfer", this.#rate === "max" ? 0 : PERIOD_MS);
  }
}
