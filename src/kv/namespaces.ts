/**
 * Which keys converge, and by which order; and what a command means there. Keys of database 0 that are like a pattern are of a namespace;
 * all others are in total order.
 */

import { type KnownCommand, keyPlaces, Refusal } from "./command.ts";
import { meaningOf } from "./effects.ts";
import { matches } from "./glob.ts";

/** Patterns of keys; the same at all replicas. */
export interface NamespacePatterns {
  readonly causal?: readonly string[];
  readonly fifo?: readonly string[];
}

/** The orders in which there are namespaces; each has a group of its own. A key that is like patterns of both is causal. */
export const CONVERGING = ["causal", "fifo"] as const;
export type ConvergingLevel = (typeof CONVERGING)[number];

interface Namespace {
  readonly level: ConvergingLevel;
  readonly pattern: string;
}

/** Why a command has no meaning, by its group; of single ones, by their name. */
const REASONS: Readonly<Record<string, string>> = {
  list: "places in a list do not converge",
  bitmap: "bits of one text do not converge",
  setnx: "two replicas could both be the first",
  msetnx: "two replicas could both be the first",
  hsetnx: "two replicas could both be the first",
  append: "parts of one text do not converge",
  setrange: "parts of one text do not converge",
  incrbyfloat: "a text cannot be added to both as a whole and as another number",
  hincrbyfloat: "a text cannot be added to both as a whole and as another number",
  spop: "two replicas could give the same member",
  zpopmin: "two replicas could give the same member",
  zpopmax: "two replicas could give the same member",
  bzpopmin: "two replicas could give the same member",
  bzpopmax: "two replicas could give the same member",
  zmpop: "two replicas could give the same member",
  bzmpop: "two replicas could give the same member",
};
const WHOLE = "it depends on more than the elements that it names";

/** See the head of the file. */
export class Namespaces {
  readonly #all: readonly Namespace[];

  constructor(patterns: NamespacePatterns) {
    this.#all = CONVERGING.flatMap((level) =>
      (patterns[level] ?? []).map((pattern) => ({ level, pattern })),
    );
  }

  /** Whether there is one in that order. */
  has(level: ConvergingLevel): boolean {
    return this.#all.some((one) => one.level === level);
  }

  /** The order of a key of database 0; `undefined`: total. */
  levelOf(key: string): ConvergingLevel | undefined {
    return this.#of(key)?.level;
  }

  #of(key: string): Namespace | undefined {
    return this.#all.find(({ pattern }) => matches(pattern, key));
  }

  /**
   * The order in which a command is done: `undefined` if by none of these.
   * @param db the database that is selected
   * @throws Refusal if it has no meaning with these keys
   */
  orderOf(command: KnownCommand, args: readonly string[], db: number): ConvergingLevel | undefined {
    const { name, isWrite } = command;
    if (!isWrite && name !== "watch") return undefined;
    const name0 = name.toUpperCase();
    if (name === "swapdb") {
      if (args[1] === args[2] || ![args[1], args[2]].some((word) => Number(word) === 0))
        return undefined;
      throw new Refusal(
        `ERR SWAPDB of database 0 is not possible in a store with namespaces (${this.#named()}): their keys stay there`,
      );
    }
    const keys = keyPlaces(command, args).map((place) => args[place] ?? "");
    if (name === "move" || name === "copy") this.#refuseTarget(name, args, db);
    if (db !== 0) return undefined;
    if (name === "sort" && args.slice(2).some((word) => /^(BY|GET)$/i.test(word)))
      throw new Refusal(
        `ERR SORT with BY or GET could read keys of namespaces (${this.#named()}), which replicas may have different: use SORT_RO`,
      );
    const found = keys.map((key) => this.#of(key));
    const space = found.find((one) => one !== undefined);
    if (!space) return undefined;
    const other = found.find((one) => one?.level !== space.level);
    if (found.some((one) => one?.level !== space.level))
      throw new Refusal(
        `ERR ${name0} has keys in the ${shown(space)} and keys ${other ? `in the ${shown(other)}` : "outside of it"}, ` +
          "which are in different orders: use one command for each",
      );
    const reason = reasonAgainst(command, args);
    if (reason === undefined) return space.level;
    throw new Refusal(
      `ERR ${name0} has no meaning that converges in the ${shown(space)}: ${reason}; use a key outside of it`,
    );
  }

  /** A command within a transaction, which is done in total order. @throws Refusal if it has keys of a namespace */
  refuseTransaction(command: KnownCommand, args: readonly string[], db: number): void {
    if (this.orderOf(command, args, db) === undefined) return;
    const key = args[keyPlaces(command, args)[0] ?? 0] ?? "";
    throw new Refusal(
      `ERR ${command.name.toUpperCase()} cannot be in a transaction in the ${shown(this.#of(key) as Namespace)}: ` +
        "replicas have no common order there; use keys outside of it",
    );
  }

  /** Keys cannot come into a namespace from another database. */
  #refuseTarget(name: string, args: readonly string[], db: number): void {
    const at = args.findIndex((word, i) => i > 2 && word.toUpperCase() === "DB");
    const target = name === "move" ? args[2] : at > 0 ? args[at + 1] : String(db);
    const space = this.#of((name === "move" ? args[1] : args[2]) ?? "");
    if (!space || Number(target) !== 0 || db === 0) return;
    throw new Refusal(
      `ERR ${name.toUpperCase()} has no meaning that converges in the ${shown(space)} of database 0: ${WHOLE}; use a key outside of it`,
    );
  }

  /** Each as an order and a pattern. */
  get list(): readonly string[] {
    return this.#all.map(({ level, pattern }) => `${level} ${pattern}`);
  }

  #named(): string {
    return this.#all.map(({ pattern }) => pattern).join(", ");
  }
}

const shown = ({ level, pattern }: Namespace): string => `${level} namespace ${pattern}`;

function reasonAgainst(command: KnownCommand, args: readonly string[]): string | undefined {
  const { name, group, isBlocking } = command;
  const meaning = meaningOf(command, args);
  const word = meaning?.refuses?.(args);
  if (word !== undefined) return `with ${word} it depends on what other replicas do meanwhile`;
  if (meaning) return undefined;
  if (name === "watch") return "replicas have no common order there";
  const reason = REASONS[name] ?? REASONS[group];
  return reason ?? (isBlocking ? "replicas have no common order of those who wait" : WHOLE);
}
