// The rules of an order book: best price first, and of the same price who came first.

export type Side = "buy" | "sell";

export interface Order {
  readonly side: Side;
  readonly shares: number;
  /** The worst that the trader takes. */
  readonly price: number;
  readonly trader: string;
  /** The trader's own number for it: 1, 2, 3 and so on. */
  readonly turn: number;
}

/** The name of an order: of which trader it is, and the how manieth. */
export const nameOf = ({ trader, turn }: Order): string => `${trader}/${turn}`;

/** What of an order waits in the book. */
export interface Resting {
  readonly name: string;
  readonly price: number;
  readonly left: number;
}

export interface Trade {
  readonly shares: number;
  readonly price: number;
  /** The names of both orders. */
  readonly bought: string;
  readonly sold: string;
}

/** What comes of an order: trades, and how many shares of it go into the book. `best` is the other side, the best first. */
export function match(
  order: Order,
  best: readonly Resting[],
): { readonly trades: readonly Trade[]; readonly left: number } {
  const trades: Trade[] = [];
  const own = nameOf(order);
  let left = order.shares;
  for (const { name, price, left: there } of best) {
    if (left === 0 || (order.side === "buy" ? price > order.price : price < order.price)) break;
    const shares = Math.min(left, there);
    const [bought, sold] = order.side === "buy" ? [own, name] : [name, own];
    trades.push({ shares, price, bought, sold });
    left -= shares;
  }
  return { trades, left };
}

/** What all orders lead to, one after another: what one process would do that had the book for itself. */
export function replay(orders: readonly Order[]): {
  readonly trades: readonly Trade[];
  readonly book: Readonly<Record<Side, readonly Resting[]>>;
} {
  const trades: Trade[] = [];
  const book: Record<Side, Resting[]> = { buy: [], sell: [] };
  for (const order of orders) {
    const other = book[order.side === "buy" ? "sell" : "buy"];
    const made = match(order, other);
    for (const trade of made.trades) {
      const [first] = other as [Resting];
      if (trade.shares === first.left) other.shift();
      else other[0] = { ...first, left: first.left - trade.shares };
    }
    trades.push(...made.trades);
    if (made.left === 0) continue;
    const { side, price } = order;
    const worse = (one: Resting): boolean =>
      side === "buy" ? one.price < price : one.price > price;
    const at = book[side].findIndex(worse);
    const resting = { name: nameOf(order), price, left: made.left };
    book[side].splice(at < 0 ? book[side].length : at, 0, resting);
  }
  return { trades, book };
}
