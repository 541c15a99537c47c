// The rules of an order book: best price first, and of the same price who came first.

export type Side = "buy" | "sell";

export interface Order {
  readonly side: Side;
  readonly shares: number;
  /** The worst that the trader takes. */
  readonly price: number;
  readonly trader: string;
  /** The trader's own number for it: 1, 2, 3 … */
  readonly turn: number;
}

/** What of an order waits in the book. */
export interface Resting {
  /** Its number in the list of all orders, from 1 on. */
  readonly id: number;
  readonly price: number;
  readonly trader: string;
  readonly left: number;
}

export interface Trade {
  /** The order that came, and the one that it met in the book. */
  readonly taker: number;
  readonly maker: number;
  readonly shares: number;
  readonly price: number;
  readonly buyer: string;
  readonly seller: string;
}

/** What comes of an order: trades, and how many shares of it go into the book. `best` is the other side, the best first. */
export function match(
  id: number,
  order: Order,
  best: readonly Resting[],
): { readonly trades: readonly Trade[]; readonly left: number } {
  const trades: Trade[] = [];
  let left = order.shares;
  for (const { id: maker, price, trader, left: there } of best) {
    if (left === 0 || (order.side === "buy" ? price > order.price : price < order.price)) break;
    const shares = Math.min(left, there);
    const [buyer, seller] = order.side === "buy" ? [order.trader, trader] : [trader, order.trader];
    trades.push({ taker: id, maker, shares, price, buyer, seller });
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
  for (const [i, order] of orders.entries()) {
    const other = order.side === "buy" ? "sell" : "buy";
    const { trades: made, left } = match(i + 1, order, book[other]);
    for (const trade of made) {
      trades.push(trade);
      const [first] = book[other] as [Resting];
      if (trade.shares === first.left) book[other].shift();
      else book[other][0] = { ...first, left: first.left - trade.shares };
    }
    if (left === 0) continue;
    const { side, price, trader } = order;
    const better = (one: Resting): boolean =>
      side === "buy" ? one.price < price : one.price > price;
    const at = book[side].findIndex(better);
    book[side].splice(at < 0 ? book[side].length : at, 0, { id: i + 1, price, trader, left });
  }
  return { trades, book };
}
