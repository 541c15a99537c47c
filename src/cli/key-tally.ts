/** What came of keys that were taken from one store to another. */

import type { KeyPart, LeftOut } from "../kv/key-part.ts";
import type { RdbEvent } from "../kv/rdb.ts";
import type { TypeName } from "../kv/value.ts";
import { grouped, printable } from "./terminal.ts";

/** So many of what is left out are named. */
const NAMED_MAX = 20;
const NAME_SHOWN = 60;

/** See the head of the file. */
export class KeyTally {
  readonly #types: Record<TypeName, number> = { string: 0, list: 0, set: 0, hash: 0, zset: 0 };
  /** Past their time. */
  #expired = 0;
  /** There already. */
  refused = 0;
  readonly #leftOut = new Map<string, number>();
  #named = 0;
  #isExpired: boolean = false;

  /** Gives what is to be taken on: not what is past its time, nor what has no form here. */
  sift(event: RdbEvent): KeyPart | undefined {
    if ("leftOut" in event) {
      this.#leaveOut(event);
      return undefined;
    }
    if (event.isFirst) {
      this.#isExpired = event.deadline !== undefined && event.deadline <= Date.now();
      if (this.#isExpired) this.#expired += 1;
    }
    return this.#isExpired ? undefined : event;
  }

  /** That key is where it should be. */
  add(type: TypeName): void {
    this.#types[type] += 1;
  }

  get keys(): number {
    return Object.values(this.#types).reduce((sum, count) => sum + count, 0);
  }

  get isWhole(): boolean {
    return this.refused === 0 && this.#leftOut.size === 0;
  }

  /** For programs. */
  get plain(): object {
    const { keys, refused } = this;
    const leftOut = Object.fromEntries(this.#leftOut);
    return { keys, types: { ...this.#types }, expired: this.#expired, refused, leftOut };
  }

  /** How many of which type. */
  get summary(): string {
    const types = Object.entries(this.#types).filter(([, count]) => count > 0);
    const parts = types.map(([type, count]) => `${grouped(count)} ${type}`);
    const many = this.keys === 1 ? "1 key" : `${grouped(this.keys)} keys`;
    return parts.length > 0 ? `${many} (${parts.join(", ")})` : many;
  }

  /** What did not come along, a line for each reason. */
  get losses(): readonly string[] {
    const lines: string[] = [];
    if (this.#expired > 0) lines.push(`${grouped(this.#expired)} past their time`);
    if (this.refused > 0)
      lines.push(`${grouped(this.refused)} there already: --replace replaces them`);
    for (const [kind, count] of this.#leftOut)
      lines.push(`${grouped(count)} left out: ${printable(kind)}`);
    return lines;
  }

  #leaveOut({ leftOut, name, db }: LeftOut): void {
    this.#leftOut.set(leftOut, (this.#leftOut.get(leftOut) ?? 0) + 1);
    this.#named += 1;
    if (this.#named > NAMED_MAX) return;
    const called = name === undefined ? "" : ` ${printable(name.slice(0, NAME_SHOWN))}`;
    const where = db === undefined ? "" : ` in database ${db}`;
    console.error(`tidemark: left out: ${printable(leftOut)}${called}${where}`);
    if (this.#named === NAMED_MAX) console.error("tidemark: what else is left out is only counted");
  }
}
