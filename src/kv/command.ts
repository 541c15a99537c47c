/** What a command is, and what it can do while it runs. */

import type { Random } from "../core/random.ts";
import type { Client, Server } from "./client.ts";
import type { Database, Keyspace } from "./keyspace.ts";
import type { Reply } from "./reply.ts";
import type { TypeName, Value } from "./value.ts";

/** As `COMMAND INFO` shows them. `write`: it goes through the order; all others are answered where they are asked. */
export type CommandFlag =
  | "write"
  | "readonly"
  | "denyoom"
  | "admin"
  | "pubsub"
  | "noscript"
  | "blocking"
  | "loading"
  | "stale"
  | "fast"
  | "movablekeys"
  | "no_auth"
  | "no_multi"
  | "allow_busy"
  | "skip_slowlog"
  | "no_async_loading";

export type CommandGroup =
  | "string"
  | "generic"
  | "list"
  | "hash"
  | "set"
  | "sorted-set"
  | "bitmap"
  | "transactions"
  | "pubsub"
  | "connection"
  | "server"
  | "tidemark";

/**
 * Where the keys are among the words of a command, the name being word 0: from `first` to `last` (from the end, if negative) each
 * `step`; or, where that depends on the words, a function that gives their places.
 */
export type KeySpec =
  | readonly [first: number, last: number, step: number]
  | ((args: readonly string[]) => readonly number[]);

/** One command. */
export interface Command {
  /** In lower case. */
  readonly name: string;
  /** How many words, the name among them; if negative, so many at least. */
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  /** Absent: it has none. */
  readonly keys?: KeySpec;
  readonly group: CommandGroup;
  /** The version of Redis that brought it. */
  readonly since: string;
  readonly summary: string;
  readonly complexity?: string;
  /** Of a container: they run instead of it. Their words are those of the whole request. */
  readonly subcommands?: readonly Command[];
  /**
   * `ordered`: it goes through the order although it writes no key. `everywhere`: in a transaction, all replicas do it, for what follows
   * depends on it. Commands that write are and do both.
   */
  readonly runs?: "ordered" | "everywhere";
  /**
   * Does it, and replies. Throws a `Refusal` for what the client did wrong; what it had replied until then is taken back. Must not
   * change anything before it is sure of that.
   */
  readonly run: (call: Call, args: readonly string[]) => void;
  /**
   * Of a command that blocks: a key that it waits for may have what it needs. Replies and gives true, or gives false and waits on.
   * `args` are those of the command.
   */
  readonly serve?: (call: Call, args: readonly string[], key: string) => boolean;
  /** What it replies when its time is over. */
  readonly timedOut?: (reply: Reply) => void;
}

/** A command in a table, with what is asked of it for every request. */
export interface KnownCommand extends Command {
  readonly subcommands?: readonly KnownCommand[];
  readonly upperName: string;
  readonly isWrite: boolean;
  /** Whatever it is given, it takes no time to speak of. */
  readonly isQuick: boolean;
  /** It may take memory. */
  readonly isGrowing: boolean;
  /** It goes through the order. */
  readonly isOrdered: boolean;
  /** Every replica does it. */
  readonly isEverywhere: boolean;
  readonly isBlocking: boolean;
}

/** What a command does while it runs. */
export interface Call {
  readonly keyspace: Keyspace;
  /** The database that the client has selected. */
  readonly db: Database;
  /** Its number. */
  readonly dbNumber: number;
  readonly reply: Reply;
  /** The time of the replica: the same at all of them. */
  readonly nowMs: number;
  /** The same at all replicas. */
  readonly random: Random;
  /** Who asks. At other replicas than the one that serves it, nobody. */
  readonly client: Client;
  readonly server: Server;
  /**
   * A key was changed. To be told by every command that changes one, once for each event: those who watch the key, who wait for it and
   * who listen to events learn of it.
   *
   * @param events the class of the event, as `notify-keyspace-events` has it: `g` generic, `$` strings, `l` lists, `s` sets, `h` hashes,
   *   `z` sorted sets, `x` expired, `e` evicted
   * @param event its name, such as `set`
   */
  changed(events: EventClass, event: string, key: string, db?: number): void;
  /** All keys that a database has may have been changed, by a command that has no more to say of each; or also those of another one. */
  changedAll(db: number, other?: number): void;
  /**
   * The client waits until one of these keys has what the command needs, and is replied to by `serve` then; or, when the time is
   * over, by `timedOut`. To be called by a command with the flag `blocking`, if `canBlock`, instead of a reply.
   *
   * @param timeoutMs 0 is for ever
   */
  block(keys: readonly string[], timeoutMs: number): void;
  /** False within a transaction: a command that blocks answers at once that there is nothing. */
  readonly canBlock: boolean;
  /** Has another database from the next command on. */
  select(db: number): void;
  /** Says something to those who have subscribed to a channel. Gives how many of them are at the replica of the client. */
  publish(channel: string, message: string): number;
  /** The client watches a key: its next transaction is void if it is changed before. */
  watch(key: string): void;
  unwatch(): void;
}

export type EventClass = "g" | "$" | "l" | "s" | "h" | "z" | "x" | "e" | "n";

/** What is wrong with a request; its message is the reply, and begins with a code. */
export class Refusal extends Error {}

export const SYNTAX = "ERR syntax error";
export const NOT_INTEGER = "ERR value is not an integer or out of range";
export const NOT_FLOAT = "ERR value is not a valid float";
export const NO_KEY = "ERR no such key";
export const WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";

/** @throws Refusal if there is something else */
export function asType<T extends Exclude<Value, string>>(
  value: Value | undefined,
  type: TypeName,
): T | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string" || value.type !== type) throw new Refusal(WRONG_TYPE);
  return value as T;
}

/** The text of a string, whatever keeps it. @throws Refusal if it is none */
export function asText(value: Value | undefined): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  if (value.type !== "string") throw new Refusal(WRONG_TYPE);
  return value.slice(0);
}

function wrongArity(name: string): string {
  return `ERR wrong number of arguments for '${name}' command`;
}

/** Whether a command may have so many words. */
export function fitsArity({ arity }: Command, words: number): boolean {
  return arity < 0 ? words >= -arity : words === arity;
}

/**
 * The command that does it: of one with subcommands, the one that is named next.
 * @throws Refusal if there is none, or it cannot have so many words
 */
export function chosen(command: KnownCommand, args: readonly string[]): KnownCommand {
  if (!fitsArity(command, args.length)) throw new Refusal(wrongArity(command.name));
  // `COMMAND` alone is one as well.
  if (!command.subcommands || args.length === 1) return command;
  const name = args[1]?.toLowerCase();
  const subcommand = command.subcommands.find((one) => one.name === name);
  if (!subcommand)
    throw new Refusal(
      `ERR unknown subcommand '${args[1]?.slice(0, 128)}'. Try ${command.name.toUpperCase()} HELP.`,
    );
  if (!fitsArity(subcommand, args.length))
    throw new Refusal(wrongArity(`${command.name}|${subcommand.name}`));
  return subcommand;
}

/** Of keys behind their number; in front of it may be the one that is stored to. Of none, if the number cannot be. */
export const numbered =
  (at: number, ...before: readonly number[]): KeySpec =>
  (args) => {
    const many = Number.parseInt(args[at] ?? "", 10);
    if (!(many >= 1 && many < args.length - at)) return [];
    return [...before, ...Array.from({ length: many }, (_, i) => at + 1 + i)];
  };

/** Where its keys are among the words. */
export function keyPlaces({ keys }: Command, args: readonly string[]): readonly number[] {
  if (keys === undefined) return [];
  if (typeof keys === "function") return keys(args);
  const [first, last, step] = keys;
  const end = last < 0 ? args.length + last : last;
  const places: number[] = [];
  for (let at = first; at <= end; at += step) places.push(at);
  return places;
}

const FNV = 0x01000193;
const SEED = 0x811c9dc5;
const [UPPER_A, UPPER_Z, TO_LOWER] = [65, 90, 32];

/** Commands by name, as clients write it. */
export class CommandTable {
  readonly commands: readonly KnownCommand[];
  readonly #byHash = new Map<number, KnownCommand>();
  readonly #byName = new Map<string, KnownCommand>();

  constructor(commands: readonly Command[]) {
    this.commands = commands.map(known);
    for (const command of this.commands) {
      this.#byName.set(command.name, command);
      let hash = SEED;
      for (let i = 0; i < command.name.length; i += 1)
        hash = Math.imul(hash ^ command.name.charCodeAt(i), FNV);
      this.#byHash.set(hash, command);
    }
  }

  get(name: string): KnownCommand | undefined {
    return this.#byName.get(name) ?? this.#byName.get(name.toLowerCase());
  }

  /** By the name that lies there: nothing is made to find it. */
  find(bytes: Uint8Array, start: number, end: number): KnownCommand | undefined {
    let hash = SEED;
    for (let i = start; i < end; i += 1) hash = Math.imul(hash ^ lower(bytes[i] as number), FNV);
    const command = this.#byHash.get(hash);
    if (command?.name.length !== end - start) return undefined;
    for (let i = start; i < end; i += 1)
      if (lower(bytes[i] as number) !== command.name.charCodeAt(i - start)) return undefined;
    return command;
  }
}

function known({ subcommands, ...command }: Command): KnownCommand {
  const isWrite = command.flags.includes("write");
  return {
    ...command,
    ...(subcommands && { subcommands: subcommands.map(known) }),
    upperName: command.name.toUpperCase(),
    isWrite,
    isQuick: command.flags.includes("fast") || command.name === "set",
    isGrowing: command.flags.includes("denyoom"),
    isOrdered: isWrite || command.runs === "ordered",
    isEverywhere: isWrite || command.runs !== undefined,
    isBlocking: command.flags.includes("blocking"),
  };
}

function lower(code: number): number {
  return code >= UPPER_A && code <= UPPER_Z ? code + TO_LOWER : code;
}
