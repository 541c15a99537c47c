/**
 * What an application may say of its state and of messages, so that what is true of the whole system can be detected in a global
 * snapshot (door `tidemark/detect`): that goods were lost, that all is done, that some wait for each other for ever, that nobody
 * can reach an object any more.
 *
 * Nothing of it is in a snapshot. An application is made anew and restored from what was recorded; then it is asked, without a
 * message of its own state, and with one of that message, which is in flight to it. The methods must change nothing.
 *
 * A method that has no parameter says nothing of messages, whatever it is given: it would tell of the state once more. So what
 * is in flight is then not known, and neither is the verdict where that matters.
 */

/** See the head of the file. Each is optional; a detector that needs one says so. */
export interface Declarations<M> {
  /** What is held here, or carried by a message, of things that are neither made nor lost: money, tokens, seats. */
  goods?(message?: M): Goods;
  /** True if nothing happens here until a message comes; of a message, if it makes nobody do anything. Else the message is work. */
  isPassive?(message?: M): boolean;
  /**
   * What is waited for here: all of these, and nothing is done or granted before. A wait that may end by itself, as by a timer, is
   * none. None: the process is not blocked.
   */
  waits?(): readonly Wait[];
  /**
   * What a message in flight brings to those that wait. True: its sender's grant for its receiver. Without this method, a message may be
   * whatever those at its receiver wait for.
   */
  grants?(message: M): boolean | readonly Grant[];
  /** The objects here, and to which objects they refer; of a message, to which it does. No two objects anywhere have one name. */
  references?(message?: M): References;
}

/** So much of each, in the smallest unit, as whole numbers. */
export type Goods = Readonly<Record<string, number>>;

/** One request that is not fulfilled. */
export interface Wait {
  /**
   * Who waits, if it is something within the process, such as a transaction. Of one that waits at several processes all waits count.
   * @default the process
   */
  readonly who?: string;
  /** For whom: processes, or what waits within them. Nobody: `who` is there, and does not wait. */
  readonly for: readonly string[];
  /** How many of them are enough: 1 is the OR model, all the AND model. @default all */
  readonly need?: number;
  /** What is asked of them, for people. */
  readonly request?: string;
}

/** That somebody is given what it waits for. */
export interface Grant {
  /** @default the receiver of the message */
  readonly to?: string;
  /** Who grants it. @default whoever it is: `to` waits no more */
  readonly by?: string;
}

/** Objects, by name, and what they refer to. */
export interface References {
  /** What is in use by itself. Of a message: all that it refers to. @default none */
  readonly roots?: readonly string[];
  /** The objects that are here, each with the names that it refers to. @default none */
  readonly objects?: Readonly<Record<string, readonly string[]>>;
}

/** Whether it is a list of names. */
export const isNames = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

/** Whether it is a name, or left out. */
export const isNameOrNone = (value: unknown): boolean =>
  value === undefined || typeof value === "string";

/** What is wrong with what an application gave as `waits`, if something is. */
export function checkWaits(said: unknown): string | undefined {
  if (!Array.isArray(said)) return "no list of waits";
  for (const wait of said as readonly unknown[]) {
    const { for: names, need, who, request } = (wait ?? {}) as Readonly<Record<string, unknown>>;
    if (!isNames(names)) return "a wait without for, a list of names";
    const many = new Set(names).size;
    if (!isNameOrNone(who) || !isNameOrNone(request))
      return "a wait whose who or request is no text";
    if (need !== undefined && !isBetween(Math.min(1, many), need, many))
      return `a wait that needs ${String(need)} of ${many}`;
  }
  return undefined;
}

const isBetween = (low: number, value: unknown, high: number): boolean =>
  Number.isInteger(value) && (value as number) >= low && (value as number) <= high;
