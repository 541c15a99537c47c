// An order book in a store: its keys, how an order is placed in it, and how it is audited.
import {
  match,
  nameOf,
  type Order,
  type Resting,
  replay,
  type Side,
  type Trade,
} from "./matching.ts";
import { pairs, type RedisClient, type Reply, texts } from "./redis-client.ts";
import type { Replicas } from "./replicas.ts";

/*
 * The keys. `orders`: all orders, as they came. `trades`: all trades. `bids` and `asks`: the orders in the book, each by its place in
 * `orders` and its name, the best first: by price (of bids with a minus), then by place. `left`: of each of those, how many shares. `shares` and
 * `cash`: what traders have got and paid. `turns`: the number of each trader's latest order. They all change in one transaction.
 */

/** Nobody wants more at a time, so no order meets more others. */
export const SHARES_MOST = 20;

type Words = (string | number)[];

const textOfOrder = ({ side, shares, price, trader, turn }: Order): string =>
  `${side} ${shares} at ${price} by ${trader} ${turn}`;

function orderIn(text: string): Order {
  const [side, shares, , price, , trader, turn] = text.split(" ");
  return {
    ...{ side: side as Side, shares: Number(shares), price: Number(price) },
    ...{ trader: String(trader), turn: Number(turn) },
  };
}

const textOfTrade = ({ shares, price, bought, sold }: Trade): string =>
  `${shares} at ${price} ${bought} from ${sold}`;

export function tradeIn(text: string): Trade {
  const [shares, , price, bought, , sold] = text.split(" ");
  return {
    ...{ shares: Number(shares), price: Number(price) },
    ...{ bought: String(bought), sold: String(sold) },
  };
}

export const traderOf = (name: string): string => name.slice(0, name.indexOf("/"));
const bookOf = (side: Side): string => (side === "buy" ? "bids" : "asks");
const scoreOf = (side: Side, price: number): number => (side === "buy" ? -price : price);

/** With zeros, so that texts are in the order of numbers. */
const memberOf = (place: number, name: string): string =>
  `${String(place).padStart(8, "0")}:${name}`;

/** Orders in the book, from members and their scores. */
export const restingIn = (
  found: readonly (readonly [member: string, score: string])[],
  left: ReadonlyMap<string, string | undefined>,
): Resting[] =>
  found.map(([member, score]) => {
    const name = member.slice(member.indexOf(":") + 1);
    return { name, price: Math.abs(Number(score)), left: Number(left.get(member)) || 0 };
  });

/** What came of an attempt to place an order. */
export type Placed = "done" | "was there" | "void";

/**
 * Places an order: looks at the best of the other side, and does in one transaction what comes of it. It is void if any other order has
 * been placed since `WATCH`, at whichever replica: then it is to be tried again, and sees that one.
 * @throws Lost it may have been done
 */
export async function place(client: RedisClient, order: Order, watches: boolean): Promise<Placed> {
  const { side, price, trader, turn } = order;
  const other = side === "buy" ? "sell" : "buy";
  const limit = [scoreOf(other, price), "BYSCORE", "LIMIT", 0, SHARES_MOST, "WITHSCORES"];
  const [, last, count, reply] = rightly(
    await client.askAll([
      watches ? ["WATCH", "orders"] : ["PING"],
      ["HGET", "turns", trader],
      ["LLEN", "orders"],
      ["ZRANGE", bookOf(other), "-inf", ...limit],
    ]),
  );
  // It was placed when a connection broke, and the answer did not come.
  if (Number(last ?? 0) >= turn) {
    await client.ask("UNWATCH");
    return "was there";
  }
  const found = pairs(reply);
  const members = found.map(([member]) => member);
  const shares = members.length === 0 ? [] : texts(await client.ask("HMGET", "left", ...members));
  const left = new Map(members.map((member, i) => [member, shares[i]]));
  // What is gone by now is gone; then this attempt is void.
  const there = found.filter(([member]) => Number(left.get(member)) > 0);
  const best = restingIn(there, left);
  const outcome = match(order, best);

  const changes: Words[] = [
    ["RPUSH", "orders", textOfOrder(order)],
    ["HSET", "turns", trader, turn],
  ];
  for (const [i, trade] of outcome.trades.entries()) {
    const { shares: many, price: paid } = trade;
    const [buyer, seller] = [traderOf(trade.bought), traderOf(trade.sold)];
    changes.push(["RPUSH", "trades", textOfTrade(trade)]);
    changes.push(["HINCRBY", "shares", buyer, many], ["HINCRBY", "shares", seller, -many]);
    changes.push(["HINCRBY", "cash", buyer, -many * paid]);
    changes.push(["HINCRBY", "cash", seller, many * paid]);
    // It met the best ones, one after another.
    const member = String(there[i]?.[0]);
    if (many < (best[i]?.left ?? 0)) changes.push(["HINCRBY", "left", member, -many]);
    else changes.push(["ZREM", bookOf(other), member], ["HDEL", "left", member]);
  }
  if (outcome.left > 0) {
    const member = memberOf(Number(count) + 1, nameOf(order));
    changes.push(["ZADD", bookOf(side), scoreOf(side, price), member]);
    changes.push(["HSET", "left", member, outcome.left]);
  }
  const executed = rightly(await client.askAll([["MULTI"], ...changes, ["EXEC"]])).at(-1);
  if (executed === null) return "void";
  rightly(executed as readonly Reply[]);
  return "done";
}

/** @throws Error one of the replies is an error */
function rightly(replies: readonly Reply[]): readonly Reply[] {
  for (const reply of replies) if (reply instanceof Error) throw reply;
  return replies;
}

/** All that is in the store, as one replica has it. */
export interface Books {
  readonly orders: readonly Order[];
  readonly trades: readonly Trade[];
  readonly book: Readonly<Record<Side, readonly Resting[]>>;
  readonly shares: ReadonlyMap<string, number>;
  readonly cash: ReadonlyMap<string, number>;
  /** All of it, to be compared. */
  readonly text: string;
}

const EVERYTHING: readonly Words[] = [
  ["LRANGE", "orders", 0, -1],
  ["LRANGE", "trades", 0, -1],
  ["ZRANGE", "bids", 0, -1, "WITHSCORES"],
  ["ZRANGE", "asks", 0, -1, "WITHSCORES"],
  ["HGETALL", "left"],
  ["HGETALL", "shares"],
  ["HGETALL", "cash"],
];

/** Undefined while the replica is away. */
export async function booksAt(
  replicas: Pick<Replicas, "look">,
  place: number,
): Promise<Books | undefined> {
  const replies = await replicas.look(place, [["MULTI"], ...EVERYTHING, ["EXEC"]]);
  const all = replies?.at(-1);
  if (!Array.isArray(all)) return undefined;
  const [orders, trades, bids, asks, left, shares, cash] = all as readonly Reply[];
  const leftOf = new Map(pairs(left));
  const numbers = (reply: Reply | undefined) =>
    new Map(pairs(reply).map(([name, value]) => [name, Number(value)]));
  const sorted = (reply: Reply | undefined) => [...pairs(reply)].sort();
  return {
    orders: texts(orders).map(orderIn),
    trades: texts(trades).map(tradeIn),
    book: { buy: restingIn(pairs(bids), leftOf), sell: restingIn(pairs(asks), leftOf) },
    shares: numbers(shares),
    cash: numbers(cash),
    text: JSON.stringify([orders, trades, bids, asks, sorted(left), sorted(shares), sorted(cash)]),
  };
}

/** What is wrong in the books of a replica; nothing, if all is right. */
export function audit({ orders, trades, book, shares, cash }: Books): string[] {
  const wrong: string[] = [];
  // No order is filled with more than it is of, and what was not filled waits in the book.
  const filled = new Map<string, number>();
  for (const { bought, sold, shares: many } of trades)
    for (const name of [bought, sold]) filled.set(name, (filled.get(name) ?? 0) + many);
  const waiting = new Map([...book.buy, ...book.sell].map(({ name, left }) => [name, left]));
  for (const order of orders) {
    const name = nameOf(order);
    const [done, left] = [filled.get(name) ?? 0, waiting.get(name) ?? 0];
    if (done + left !== order.shares)
      wrong.push(`${name} is for ${order.shares}: ${done} were traded, and ${left} wait`);
  }
  // Shares and money only change hands.
  for (const [what, owned] of [
    ["shares", shares],
    ["cash", cash],
  ] as const) {
    const sum = [...owned.values()].reduce((all, one) => all + one, 0);
    if (sum !== 0) wrong.push(`${what} of all traders add up to ${sum}`);
  }
  // Each trader's orders are there once, in the order in which they were placed.
  const turns = new Map<string, number>();
  for (const { trader, turn } of orders) {
    if (turn !== (turns.get(trader) ?? 0) + 1)
      wrong.push(`order ${turn} of ${trader} comes out of turn`);
    turns.set(trader, turn);
  }
  // All at once: it is what one process would have done that had the book for itself.
  const alone = replay(orders);
  const made = trades.map(textOfTrade);
  const expected = alone.trades.map(textOfTrade);
  const first = expected.findIndex((trade, i) => trade !== made[i]);
  if (first >= 0 || made.length !== expected.length)
    wrong.push(`trade ${(first < 0 ? expected.length : first) + 1} is not what the orders lead to`);
  else if (textOfBook(alone.book) !== textOfBook(book))
    wrong.push("the book is not what the orders leave");
  return wrong;
}

const textOfBook = ({ buy, sell }: Books["book"]): string =>
  [...buy, ...sell].map(({ name, left, price }) => `${name} ${left} ${price}`).join();
