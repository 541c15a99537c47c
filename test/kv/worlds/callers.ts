/** What random clients ask: each of a replica, which may be another one after a while. */

import type { Random } from "../../../src/core/random.ts";
import { type Call, type Connection, type Door, mayBlock, type Token, waits } from "./door.ts";

export const TEXTS: readonly string[] = ["s0", "s1", "s2"];
export const LISTS: readonly string[] = ["l0", "l1"];
export const SETS: readonly string[] = ["u0"];
/** What one has more, others have less. */
export const ACCOUNTS: readonly string[] = ["a0", "a1", "a2"];
/** Keys of which only the replicas know what is to become of them. */
const OTHERS: readonly string[] = ["z0", "h0", "r0"];

export type Words = readonly string[];
/** What is asked one after another by one connection. */
export type Step = Words | { readonly transaction: readonly Words[] };

const words = (text: string): Words => text.split(" ");

/** A command that may be within a transaction. */
function drawCommand(random: Random, value: string): Words {
  const [text, list, set] = [TEXTS, LISTS, SETS].map((keys) => random.pick(keys) as string);
  const ms = random.pick([1, 20, 100, 1_000]) as number;
  return words(
    random.pick([
      `SET ${text} ${value}`,
      `SET ${text} ${value} PX ${ms}`,
      `SET ${text} ${value} NX GET`,
      `GET ${text}`,
      `GET ${text}`,
      `APPEND ${text} ${value}`,
      `INCR ${text}`,
      `DEL ${text} ${list}`,
      `PEXPIRE ${text} ${ms}`,
      `PERSIST ${text}`,
      `EXISTS ${text} ${list}`,
      `MSET s0 ${value} s1 ${value}`,
      "MGET s0 s1",
      `RPUSH ${list} ${value}`,
      `LPUSH ${list} ${value} ${value}+`,
      `LPOP ${list}`,
      `LRANGE ${list} 0 -1`,
      `LLEN ${list}`,
      `PEXPIRE ${list} ${ms}`,
      `SADD ${set} ${random.below(6)} ${random.below(6)}`,
      `SREM ${set} ${random.below(6)}`,
      `SCARD ${set}`,
      `MGET ${ACCOUNTS.join(" ")}`,
    ]) as string,
  );
}

/** One that the model of a store does not have. */
function drawOther(random: Random, value: string): Words {
  return words(
    random.pick([
      `ZADD z0 ${random.below(9)} ${random.below(40)}`,
      `ZADD z0 INCR ${random.below(9)} ${random.below(40)}`,
      "ZPOPMIN z0",
      `HSET h0 ${random.below(40)} ${value}`,
      `HINCRBY h0 n ${random.below(9)}`,
      `HDEL h0 ${random.below(40)}`,
      `SADD r0 ${random.below(40)} ${value}`,
      "SPOP r0",
      "SPOP r0 2",
      `GETEX z0`,
      `RENAME h0 z0`,
    ]) as string,
  );
}

export const isModelled = (command: Words): boolean =>
  !command.slice(1).some((word) => OTHERS.includes(word));

/** What somebody asks of a store in total order. */
export function drawSteps(random: Random, value: string): Step[] {
  const [from, to] = [random.pick(ACCOUNTS) as string, random.pick(ACCOUNTS) as string];
  const amount = random.between(1, 9);
  const transfer = [words(`DECRBY ${from} ${amount}`), words(`INCRBY ${to} ${amount}`)];
  const several = Array.from({ length: random.between(1, 3) }, (_, i) =>
    drawCommand(random, `${value}.${i}`),
  );
  const keys = random.chance(0.5) ? "l0 l1" : (random.pick(LISTS) as string);
  const ms = random.pick(["0", "0.02", "0.1"]) as string;
  switch (random.below(13)) {
    case 0:
    case 1:
      return [{ transaction: transfer }];
    case 2:
      return [words(`WATCH ${from} s0`), words(`GET ${from}`), { transaction: transfer }];
    case 3:
      return [words("WATCH s0 l0"), words("GET s0"), { transaction: several }];
    case 4:
      return [{ transaction: [...several, words("BLPOP l0 0")] }];
    case 5:
    case 8:
      return [words(`${random.pick(["BLPOP", "BRPOP"])} ${keys} ${ms}`)];
    case 6:
      return [drawOther(random, value)];
    case 7:
      return [words("WATCH s1"), words("UNWATCH")];
    default:
      return [drawCommand(random, value)];
  }
}

/** More than a message takes. */
const LARGE = "x".repeat(150_000);

export interface CallerOptions {
  readonly name: string;
  readonly random: Random;
  /** Those that are open. */
  readonly doors: () => readonly Door[];
  readonly called: (call: Call) => void;
  readonly met: (connection: Connection) => void;
  /** What it asks next; of a value that nobody else writes. */
  readonly draw: (value: string) => Step[];
  /** Some values need several messages; those of that key. */
  readonly large: string | undefined;
  /** It takes with it what it knows when it goes to another replica; or it is somebody else there. */
  readonly hasTokens: boolean;
}

/** Somebody who asks now and then, and waits for answers more often than not. */
export class Caller {
  readonly #options: CallerOptions;
  #connection: Connection | undefined;
  /** What it goes on from. */
  #token: Token | undefined;
  #steps: Step[] = [];
  #asked = 0;

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  /** Does what comes next, if anything can be done. */
  act(): void {
    const { name, random, doors, called, met, draw, large, hasTokens } = this.#options;
    let connection = this.#connection;
    if (!connection?.door.isOpen || connection.isClosed) {
      const door = random.pick(doors());
      if (!door) return;
      if (this.#token?.epoch !== door.epoch) this.#token = undefined;
      connection = door.connect(this.#token);
      if (!connection) return;
      this.#token = undefined;
      met(connection);
      this.#connection = connection;
      this.#steps = [];
    }
    const { door } = connection;
    if (mayBlock(connection)) {
      if (random.chance(0.1)) this.#leave(connection);
      return;
    }
    // What is asked behind something else does not wait for it.
    if (waits(connection) && random.chance(0.6)) return;
    if (this.#steps.length === 0) {
      if (random.chance(0.1)) {
        if (random.chance(0.7) && hasTokens && !waits(connection))
          this.#token = door.token(connection);
        this.#leave(connection);
        return;
      }
      this.#asked += 1;
      const value = `${name}${this.#asked}`;
      this.#steps =
        large !== undefined && random.chance(0.1)
          ? [words(`SET ${large} ${value}${LARGE}`)]
          : draw(value);
    }
    const [next] = this.#steps;
    if (!next || ("transaction" in next ? false : !door.takes(connection, next))) return;
    const step = this.#steps.shift() as Step;
    const call =
      "transaction" in step
        ? door.ask(connection, ["EXEC"], step.transaction)
        : door.ask(connection, step);
    called(call);
    if (random.chance(0.7)) door.flush();
  }

  #leave(connection: Connection): void {
    connection.door.close(connection);
    connection.door.flush();
    this.#connection = undefined;
  }
}
