/**
 * What a store of keys does that is one machine and does one thing after another: registers, counters, lists, sets, keys that expire, and
 * transactions. Histories of clients are judged by it.
 *
 * It is another one than the store that ships, and shares nothing with it, so a mistake in the one is not in the other. It is written to be
 * read, and to be gone back in: a state is never changed, another one is made of it.
 */

import { TidemarkError } from "../core/error.ts";

/** What came back: of an error its text, of nothing `null`. */
export type Reply = string | number | null | { readonly error: string } | readonly Reply[];

/** A reply, as it is shown. */
export function formatReply(reply: Reply | undefined): string {
  if (reply === undefined) return "?";
  if (reply === null) return "nothing";
  if (typeof reply === "string" || typeof reply === "number") return `${reply}`;
  if ("error" in reply) return `(${reply.error})`;
  return `[${reply.map(formatReply).join(" ")}]`;
}

/** One thing that a client asked, as far as it matters what it does. */
export interface Asked {
  /** One connection: what it asks is done in its order. */
  readonly client: string;
  /** Words, the name in capitals. */
  readonly command: readonly string[];
  /** Of `EXEC`: the commands of the transaction. */
  readonly transaction?: readonly (readonly string[])[];
  /** The time at which it is done, for keys that expire. @default 0 */
  readonly atMs?: number;
}

/** What something that clients share does, one thing after another. */
export interface Model<State> {
  readonly start: State;
  /** What it has to do with: two that share nothing do not matter to each other. */
  keys(asked: Asked): readonly string[];
  /** It changes nothing, whatever the state. */
  reads(asked: Asked): boolean;
  apply(state: State, asked: Asked): { readonly state: State; readonly reply: Reply };
  /** The same of two states that are the same from now on, and of no others. */
  text(state: State): string;
}

interface Entry {
  /** Of a set: sorted. */
  readonly value: string | { readonly type: "list" | "set"; readonly elements: readonly string[] };
  readonly deadline?: number;
}

interface Watch {
  /** With whether the key was there. */
  readonly keys: ReadonlyMap<string, boolean>;
  readonly isVoid: boolean;
}

/** A state of the store. */
export interface StoreState {
  readonly entries: ReadonlyMap<string, Entry>;
  /** By client. */
  readonly watches: ReadonlyMap<string, Watch>;
}

const NOT_INTEGER = "ERR value is not an integer or out of range";
const WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
const OK = "OK";

class Refused extends Error {}

/** One command after another on a state, of which it makes the next one. */
class Step {
  readonly #state: StoreState;
  readonly #client: string;
  readonly #nowMs: number;
  #entries: Map<string, Entry> | undefined;
  #watches: Map<string, Watch> | undefined;

  constructor(state: StoreState, { client, atMs = 0 }: Asked) {
    this.#state = state;
    this.#client = client;
    this.#nowMs = atMs;
  }

  get state(): StoreState {
    return this.#entries || this.#watches
      ? { entries: this.entries, watches: this.watches }
      : this.#state;
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries ?? this.#state.entries;
  }

  get watches(): ReadonlyMap<string, Watch> {
    return this.#watches ?? this.#state.watches;
  }

  run(command: readonly string[]): Reply {
    const [name = "", ...words] = command;
    const known = COMMANDS[name];
    if (!known)
      throw new TidemarkError("BAD_OPTION", `the model of a store has no ${JSON.stringify(name)}`);
    // What changes keys meets none that are over; they are gone then.
    if (!known.reads && !known.looks) for (const key of keysOf(command)) this.drop(key);
    try {
      return known.run(this, words);
    } catch (thrown) {
      if (thrown instanceof Refused) return { error: thrown.message };
      throw thrown;
    }
  }

  /** @returns `null` if somebody has changed what the client watches */
  exec(transaction: readonly (readonly string[])[]): Reply {
    const watch = this.watches.get(this.#client);
    this.unwatch();
    const isVoid =
      watch && (watch.isVoid || [...watch.keys].some(([key, was]) => was && !this.get(key)));
    return isVoid ? null : transaction.map((command) => this.run(command));
  }

  watch(keys: readonly string[]): void {
    const before = this.watches.get(this.#client);
    const watched = new Map(keys.map((key) => [key, this.get(key) !== undefined]));
    for (const [key, was] of before?.keys ?? []) watched.set(key, was);
    this.#watches ??= new Map(this.watches);
    this.#watches.set(this.#client, { keys: watched, isVoid: before?.isVoid ?? false });
  }

  unwatch(): void {
    if (!this.watches.has(this.#client)) return;
    this.#watches ??= new Map(this.watches);
    this.#watches.delete(this.#client);
  }

  get(key: string): Entry | undefined {
    return this.#isPast(key) ? undefined : this.entries.get(key);
  }

  #isPast(key: string): boolean {
    const { deadline } = this.entries.get(key) ?? {};
    return deadline !== undefined && deadline < this.#nowMs;
  }

  /** Removes a key that is past its deadline. Who watches it sees by itself that it is over. */
  drop(key: string): void {
    if (!this.#isPast(key)) return;
    this.#entries ??= new Map(this.entries);
    this.#entries.delete(key);
  }

  text(key: string): string | undefined {
    const value = this.get(key)?.value;
    if (value === undefined || typeof value === "string") return value;
    throw new Refused(WRONG_TYPE);
  }

  elements(key: string, type: "list" | "set"): readonly string[] {
    const value = this.get(key)?.value;
    if (value === undefined) return [];
    if (typeof value === "string" || value.type !== type) throw new Refused(WRONG_TYPE);
    return value.elements;
  }

  /** Another value; it keeps its deadline, if none is given. */
  put(key: string, value: Entry["value"], deadline = this.get(key)?.deadline): void {
    const isGone = typeof value !== "string" && value.elements.length === 0;
    this.#set(key, isGone ? undefined : { value, ...(deadline === undefined ? {} : { deadline }) });
  }

  /** Another value, or none, and no deadline but that. */
  replace(key: string, value?: Entry["value"], deadline?: number): void {
    this.#set(
      key,
      value === undefined ? undefined : { value, ...(deadline === undefined ? {} : { deadline }) },
    );
  }

  #set(key: string, entry: Entry | undefined): void {
    this.#entries ??= new Map(this.entries);
    if (entry) this.#entries.set(key, entry);
    else this.#entries.delete(key);
    for (const [client, watch] of this.watches) {
      if (watch.isVoid || !watch.keys.has(key)) continue;
      this.#watches ??= new Map(this.watches);
      this.#watches.set(client, { ...watch, isVoid: true });
    }
  }

  /** When it would be over if it lasted so long from now. */
  after(ms: string): number {
    return this.#nowMs + Number(ms);
  }
}

interface Command {
  readonly run: (step: Step, words: readonly string[]) => Reply;
  /** Which words are keys: the first, all, each second one, all but the last. */
  readonly keys: "first" | "all" | "pairs" | "but last" | "none";
  readonly reads?: true;
  /** It changes nothing of a key that is not there. */
  readonly looks?: true;
}

function sum(step: Step, key: string, delta: bigint): Reply {
  const text = step.text(key) ?? "0";
  if (!/^(0|-?[1-9][0-9]{0,18})$/.test(text)) throw new Refused(NOT_INTEGER);
  const value = BigInt(text) + delta;
  if (BigInt.asIntN(64, value) !== value)
    throw new Refused("ERR increment or decrement would overflow");
  step.put(key, `${value}`);
  return Number(value);
}

const adding =
  (toEnd: boolean) =>
  (step: Step, [key = "", ...added]: readonly string[]): Reply => {
    const before = step.elements(key, "list");
    const elements = toEnd ? [...before, ...added] : [...added.reverse(), ...before];
    step.put(key, { type: "list", elements });
    return elements.length;
  };

function taken(step: Step, key: string, fromEnd: boolean): string | undefined {
  const elements = step.elements(key, "list");
  const [element] = elements.slice(fromEnd ? -1 : 0);
  if (element === undefined) return undefined;
  step.put(key, { type: "list", elements: fromEnd ? elements.slice(0, -1) : elements.slice(1) });
  return element;
}

/** Of a command that waits: what it replies as soon as there is something; and nothing if it does not wait. */
const waiting =
  (fromEnd: boolean) =>
  (step: Step, words: readonly string[]): Reply => {
    for (const key of words.slice(0, -1)) {
      const element = taken(step, key, fromEnd);
      if (element !== undefined) return [key, element];
    }
    return null;
  };

function changed(step: Step, [key = "", ...words]: readonly string[], adds: boolean): Reply {
  const before = step.elements(key, "set");
  const other = new Set(words);
  const elements = adds
    ? [...new Set([...before, ...other])].sort()
    : before.filter((one) => !other.has(one));
  if (elements.length !== before.length) step.put(key, { type: "set", elements });
  return Math.abs(elements.length - before.length);
}

/** `SET key value [NX|XX] [GET] [PX ms]`, in any order of the options. */
function set(step: Step, [key = "", value = "", ...options]: readonly string[]): Reply {
  const isThere = step.get(key) !== undefined;
  const before = options.includes("GET") ? (step.text(key) ?? null) : undefined;
  if (isThere ? options.includes("NX") : options.includes("XX")) return before ?? null;
  const at = options.indexOf("PX");
  step.replace(key, value, at < 0 ? undefined : step.after(options[at + 1] ?? ""));
  return before === undefined ? OK : before;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  GET: { keys: "first", reads: true, run: (step, [key = ""]) => step.text(key) ?? null },
  MGET: {
    ...{ keys: "all", reads: true },
    run: (step, keys) =>
      keys.map((key) => {
        const value = step.get(key)?.value;
        return typeof value === "string" ? value : null;
      }),
  },
  STRLEN: { keys: "first", reads: true, run: (step, [key = ""]) => (step.text(key) ?? "").length },
  EXISTS: {
    ...{ keys: "all", reads: true },
    run: (step, keys) => keys.filter((key) => step.get(key)).length,
  },
  SET: { keys: "first", run: set },
  MSET: {
    keys: "pairs",
    run: (step, words) => {
      for (let i = 0; i + 1 < words.length; i += 2)
        step.replace(words[i] as string, words[i + 1] as string);
      return OK;
    },
  },
  APPEND: {
    keys: "first",
    run: (step, [key = "", more = ""]) => {
      const text = (step.text(key) ?? "") + more;
      step.put(key, text);
      return text.length;
    },
  },
  INCR: { keys: "first", run: (step, [key = ""]) => sum(step, key, 1n) },
  INCRBY: { keys: "first", run: (step, [key = "", by = ""]) => sum(step, key, BigInt(by)) },
  DECRBY: { keys: "first", run: (step, [key = "", by = ""]) => sum(step, key, -BigInt(by)) },
  DEL: {
    keys: "all",
    run: (step, keys) => {
      const there = [...new Set(keys)].filter((key) => step.get(key));
      for (const key of there) step.replace(key);
      return there.length;
    },
  },
  PEXPIRE: {
    ...{ keys: "first", looks: true },
    run: (step, [key = "", ms = ""]) => {
      const entry = step.get(key);
      if (!entry) return 0;
      step.put(key, entry.value, step.after(ms));
      return 1;
    },
  },
  PERSIST: {
    ...{ keys: "first", looks: true },
    run: (step, [key = ""]) => {
      const entry = step.get(key);
      if (entry?.deadline === undefined) return 0;
      step.replace(key, entry.value);
      return 1;
    },
  },
  RPUSH: { keys: "first", run: adding(true) },
  LPUSH: { keys: "first", run: adding(false) },
  RPOP: { keys: "first", run: (step, [key = ""]) => taken(step, key, true) ?? null },
  LPOP: { keys: "first", run: (step, [key = ""]) => taken(step, key, false) ?? null },
  BRPOP: { keys: "but last", run: waiting(true) },
  BLPOP: { keys: "but last", run: waiting(false) },
  LLEN: {
    keys: "first",
    reads: true,
    run: (step, [key = ""]) => step.elements(key, "list").length,
  },
  /** Whole: from 0 to -1. */
  LRANGE: { keys: "first", reads: true, run: (step, [key = ""]) => step.elements(key, "list") },
  SADD: { keys: "first", run: (step, words) => changed(step, words, true) },
  SREM: { keys: "first", run: (step, words) => changed(step, words, false) },
  SCARD: {
    keys: "first",
    reads: true,
    run: (step, [key = ""]) => step.elements(key, "set").length,
  },
  SMEMBERS: { keys: "first", reads: true, run: (step, [key = ""]) => step.elements(key, "set") },
  SISMEMBER: {
    ...{ keys: "first", reads: true },
    run: (step, [key = "", one = ""]) => (step.elements(key, "set").includes(one) ? 1 : 0),
  },
  WATCH: {
    ...{ keys: "all", looks: true },
    run: (step, keys) => {
      step.watch(keys);
      return OK;
    },
  },
  /** No client asks it: it is done now and then, and removes keys that are past their deadline. */
  SWEEP: {
    ...{ keys: "all", looks: true },
    run: (step, keys) => {
      for (const key of keys) step.drop(key);
      return OK;
    },
  },
  UNWATCH: {
    keys: "none",
    run: (step) => {
      step.unwatch();
      return OK;
    },
  },
};

const WATCHING: ReadonlySet<string> = new Set(["WATCH", "UNWATCH", "EXEC"]);

function keysOf([name = "", ...words]: readonly string[]): readonly string[] {
  switch (COMMANDS[name]?.keys) {
    case "all":
      return words;
    case "pairs":
      return words.filter((_, i) => i % 2 === 0);
    case "but last":
      return words.slice(0, -1);
    case "first":
      return words.slice(0, 1);
    default:
      return [];
  }
}

/** See the head of the file. */
export const storeModel: Model<StoreState> = {
  start: { entries: new Map(), watches: new Map() },
  keys: ({ client, command, transaction = [] }) => [
    ...[command, ...transaction].flatMap(keysOf).map((key) => `key ${key}`),
    ...(WATCHING.has(command[0] ?? "") ? [`client ${client}`] : []),
  ],
  reads: ({ command }) => COMMANDS[command[0] ?? ""]?.reads === true,
  apply(state, asked) {
    const step = new Step(state, asked);
    const { command, transaction } = asked;
    const reply = transaction ? step.exec(transaction) : step.run(command);
    return { state: step.state, reply };
  },
  text: ({ entries, watches }) =>
    JSON.stringify([
      [...entries].sort(([a], [b]) => (a < b ? -1 : 1)),
      [...watches]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([client, { keys, isVoid }]) => [client, [...keys], isVoid]),
    ]),
};
