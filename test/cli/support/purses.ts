/** Money in a store: accounts in different slots, between which clients transfer, and how what a replica has adds up. */

import type { Random } from "../../../src/core/random.ts";
import type { Keyspace } from "../../../src/kv/keyspace.ts";
import { slotOf } from "../../../src/kv/slot.ts";
import type { Heard, TestClient } from "../../serve/store.ts";
import { elementsOf } from "./store-clients.ts";

const ACCOUNTS = 20;
const EACH = 100;
/** All that there is. */
export const MONEY: number = ACCOUNTS * EACH;
const names: readonly string[] = Array.from({ length: ACCOUNTS }, (_, i) => `account:${i}`);

/** Fills all accounts. */
export async function openAccounts(client: TestClient): Promise<void> {
  if (new Set(names.map(slotOf)).size !== ACCOUNTS) throw new Error("no two are in one slot");
  await client.ask("MSET", ...names.flatMap((name) => [name, String(EACH)]));
}

/** Transfers something between two of them, as one transaction, and notes it by that token. Gives the reply to `EXEC`. */
export async function transfer(client: TestClient, random: Random, token: string): Promise<Heard> {
  const from = random.below(ACCOUNTS);
  const to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
  const amount = String(1 + random.below(9));
  const requests = [
    ["MULTI"],
    ["DECRBY", names[from] as string, amount],
    ["INCRBY", names[to] as string, amount],
    ["RPUSH", "transfers", `${token} ${from} ${to} ${amount}`],
    ["EXEC"],
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
  readonly transfers: readonly string[];
}

export function moneyIn(keys: Keyspace["databases"][number]): Money {
  const balances = names.map((name) => Number(keys.get(name)));
  const replayed = names.map(() => EACH);
  const transfers = elementsOf(keys.get("transfers"));
  for (const one of transfers) {
    const [, from, to, amount] = one.split(" ").map(Number) as [number, number, number, number];
    replayed[from] = (replayed[from] as number) - amount;
    replayed[to] = (replayed[to] as number) + amount;
  }
  return { sum: balances.reduce((sum, one) => sum + one, 0), balances, replayed, transfers };
}
