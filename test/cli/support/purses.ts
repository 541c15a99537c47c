/** Money in a store: accounts in different slots and of different types, transfers between them, and how what a replica has adds up. */

import type { Random } from "../../../src/core/random.ts";
import type { Keyspace } from "../../../src/kv/keyspace.ts";
import { slotOf } from "../../../src/kv/slot.ts";
import { Hash } from "../../../src/kv/values/hash.ts";
import { SortedSet } from "../../../src/kv/values/sorted-set.ts";
import type { Heard, TestClient } from "../../serve/store.ts";
import { elementsOf } from "./store-clients.ts";

const ACCOUNTS = 21;
const EACH = 100;
/** All that there is. */
export const MONEY: number = ACCOUNTS * EACH;
/** A third of them are strings, a third have their money in a field of a hash, a third as a score. */
const names: readonly string[] = Array.from({ length: ACCOUNTS }, (_, i) => `account:${i}`);
/** Beside the money, in each that has parts: so a snapshot has parts to share. */
const OTHERS: readonly string[] = Array.from({ length: 300 }, (_, i) => `other ${i}`);

/** Fills all accounts. */
export async function openAccounts(client: TestClient): Promise<void> {
  if (new Set(names.map(slotOf)).size !== ACCOUNTS) throw new Error("no two are in one slot");
  client.send("MULTI");
  for (const [i, name] of names.entries()) {
    client.send(...added(i, EACH));
    if (i % 3 === 1) client.send("HSET", name, ...OTHERS.flatMap((field) => [field, "x"]));
    if (i % 3 === 2) client.send("ZADD", name, ...OTHERS.flatMap((member) => ["0", member]));
  }
  client.send("EXEC");
  for (let heard = await client.next(); !Array.isArray(heard); heard = await client.next())
    if (heard === "closed") throw new Error("the accounts are not opened");
}

/** The request that adds so much to an account. */
function added(account: number, amount: number): readonly string[] {
  const name = names[account] as string;
  if (account % 3 === 0) return ["INCRBY", name, String(amount)];
  if (account % 3 === 1) return ["HINCRBY", name, "money", String(amount)];
  return ["ZINCRBY", name, String(amount), "money"];
}

/** Transfers something between two of them, as one transaction, and notes it by that token. Gives the reply to `EXEC`. */
export async function transfer(client: TestClient, random: Random, token: string): Promise<Heard> {
  const from = random.below(ACCOUNTS);
  const to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
  const amount = 1 + random.below(9);
  const note = `${token} ${from} ${to} ${amount}`;
  const requests = [
    ...[["MULTI"], added(from, -amount), added(to, amount)],
    ...[["RPUSH", "transfers", note], ["EXEC"]],
  ];
  for (const words of requests) client.send(...words);
  let heard: Heard = "";
  for (const _ of requests) heard = await client.next();
  return heard;
}

/** What accounts of a replica have, and what they should have by the transfers that it notes. */
export interface Money {
  readonly sum: number;
  readonly balances: readonly number[];
  readonly replayed: readonly number[];
  /** As they are noted: a token, and who gave whom how much. */
  readonly transfers: readonly string[];
}

export function moneyIn(keys: Keyspace["databases"][number]): Money {
  const balances = names.map((name) => {
    const value = keys.get(name);
    if (value instanceof Hash) return Number(value.fields.get("money"));
    if (value instanceof SortedSet) return value.score("money") ?? Number.NaN;
    return Number(value);
  });
  const replayed = names.map(() => EACH);
  const transfers = elementsOf(keys.get("transfers"));
  for (const one of transfers) {
    const [, from, to, amount] = one.split(" ").map(Number) as [number, number, number, number];
    replayed[from] = (replayed[from] as number) - amount;
    replayed[to] = (replayed[to] as number) + amount;
  }
  return { sum: balances.reduce((sum, one) => sum + one, 0), balances, replayed, transfers };
}
