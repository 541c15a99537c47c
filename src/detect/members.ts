/** Who takes part in a detection, by number: so states are lists of numbers, which are plain and bounded. */

import { TidemarkError } from "../core/error.ts";
import { checkProcessId, type ProcessId } from "../core/id.ts";

/** A message of a detection, or something that cannot be; the same for all algorithms. */
export type DirectEffect<Control> =
  /** Send this to that process. */
  | { readonly type: "control"; readonly to: ProcessId; readonly message: Control }
  /** Something that cannot happen in a system as the algorithm assumes it; it was left out. */
  | { readonly type: "irregular"; readonly reason: string };

/** A message of a detection came, and nobody has looked at it. */
export interface ControlInput {
  readonly type: "control";
  readonly from: ProcessId;
  readonly message: unknown;
}

/** The processes of a system in ascending order, and which of them this one is. */
export class Members {
  readonly ids: readonly ProcessId[];
  readonly self: number;
  readonly #numbers: ReadonlyMap<unknown, number>;

  /** @throws TidemarkError `BAD_ID`, `BAD_OPTION`, `UNKNOWN_PROCESS` */
  constructor(self: ProcessId, processes: readonly ProcessId[]) {
    this.ids = processes.map(checkProcessId).sort();
    this.#numbers = new Map(this.ids.map((id, number) => [id, number]));
    if (this.#numbers.size < this.ids.length)
      throw new TidemarkError("BAD_OPTION", `a process is listed twice: ${this.ids.join(", ")}`);
    this.self = this.expect(self);
  }

  get size(): number {
    return this.ids.length;
  }

  id(number: number): ProcessId {
    return this.ids[number] as ProcessId;
  }

  /** `undefined` of whatever is no process of the system. */
  numberOf(id: unknown): number | undefined {
    return this.#numbers.get(id);
  }

  /** The number of another process; `undefined` of a stranger, and of this one. */
  other(id: unknown): number | undefined {
    const number = this.numberOf(id);
    return number === this.self ? undefined : number;
  }

  /** @throws TidemarkError `UNKNOWN_PROCESS` */
  expect(id: ProcessId): number {
    const number = this.numberOf(id);
    if (number !== undefined) return number;
    const among = `is not among the processes ${this.ids.join(", ")}`;
    throw new TidemarkError("UNKNOWN_PROCESS", `${checkProcessId(id)} ${among}`);
  }

  /** A zero for each process. */
  zeros(): number[] {
    return this.ids.map(() => 0);
  }
}
