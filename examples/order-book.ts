// An order book in a store of three replicas: in total order, so all have the same trades. docs/learn/replicas.md tells its story.
// Run: node examples/order-book.ts --help
import { setTimeout as pause } from "node:timers/promises";
import { type Options, runExample, until } from "./support/example.ts";
import {
  audit,
  type Books,
  booksAt,
  place,
  restingIn,
  SHARES_MOST,
  tradeIn,
  traderOf,
} from "./support/exchange.ts";
import type { Resting, Side } from "./support/matching.ts";
import { Lost, pairs, type Reply, texts } from "./support/redis-client.ts";
import { Guest, type Replica, Replicas } from "./support/replicas.ts";
import { bar, cell, grouped, mark, paint, Screen, secondsText } from "./support/screen.ts";

const HELP = `Usage: node examples/order-book.ts [options]

Three buy and three sell at a store of three replicas, one of both at each. An
order is matched with those in the book by who places it, in one transaction.
Meanwhile snapshots are taken, and a replica is killed and comes back. In the
end the store is restored to each snapshot, and every book is audited: all
orders, done again one after another, must lead to just the trades there are.

  --seconds NUMBER  how long they trade (default: 12)
  --kill REPLICA    who is killed: p1, p2 or p3 (default: p2)
  --without-watch   only trade, and do not watch the book: see what happens
  --port NUMBER     of the first replica; the others follow (default: 7379)
  --dir DIRECTORY   the store's; it is kept (default: one that is removed)
  --json            a line of JSON for each thing that happens
  -h, --help        this

While it runs: redis-cli -p 7381 LRANGE trades -5 -1

Exit status: 0; 1 if an audit fails or replicas differ; 2 for a mistake in the
options; 130 if it was stopped with Ctrl-C.
`;

/** Three who buy and three who sell, in turn. */
const TRADERS = ["ann", "bob", "cy", "dora", "ed", "flo"];
/** Of each trader, on average. */
const BETWEEN_ORDERS_MS = 30;
const AGAIN_AFTER_MS = 10;
const LOOK_EVERY_MS = 50;
const LEVELS = 5;
const TRADES_SHOWN = 4;
const WRONG_SHOWN = 3;

/** What a replica shows. */
interface View {
  readonly bids: readonly Level[];
  readonly asks: readonly Level[];
  readonly orders: number;
}

/** All that waits at one price. */
interface Level {
  readonly price: number;
  readonly shares: number;
}

class Market {
  readonly #replicas: Replicas;
  readonly #watches: boolean;
  readonly views: (View | undefined)[] = [undefined, undefined, undefined];
  /** As each replica has them. */
  readonly trades: readonly string[][] = [[], [], []];
  different = 0;
  /** Orders that were answered; of those, that were there already when they were placed again. */
  placed = 0;
  wereThere = 0;
  /** Transactions that were void, and connections that broke before the answer came. */
  voids = 0;
  unsure = 0;
  #isOn: boolean = false;
  #isClosed: boolean = false;
  #trading: Promise<unknown> = Promise.resolve();

  constructor(replicas: Replicas, watches: boolean) {
    this.#replicas = replicas;
    this.#watches = watches;
  }

  get isThere(): boolean {
    return this.views.every((view) => view !== undefined);
  }

  /** All replicas have as many trades. */
  get isEven(): boolean {
    const [first, ...others] = this.trades.map(({ length }) => length);
    return this.isThere && others.every((length) => length === first);
  }

  async begin(): Promise<void> {
    const [replies] = (await this.#replicas.look(0, [["HGETALL", "turns"]])) ?? [];
    const turns = new Map(pairs(replies));
    this.#isOn = true;
    this.#trading = Promise.all(
      TRADERS.map((trader, i) => {
        const side = i % 2 === 0 ? "buy" : "sell";
        return this.#trade(trader, side, i % 3, Number(turns.get(trader) ?? 0));
      }),
    );
  }

  /** When every order is placed. */
  async pause(): Promise<void> {
    this.#isOn = false;
    await this.#trading;
  }

  /** Trades of another epoch are others. */
  forget(): void {
    for (const trades of this.trades) trades.length = 0;
  }

  async #trade(trader: string, side: Side, home: number, turnBefore: number): Promise<void> {
    const guest = new Guest(this.#replicas, home);
    for (let turn = turnBefore + 1; this.#isOn && !this.#isClosed; turn += 1) {
      const away = Math.floor(Math.random() * 8) - 2;
      const price = 100 + (side === "buy" ? -away : away);
      const shares = 1 + Math.floor(Math.random() * SHARES_MOST);
      const order = { side, shares, price, trader, turn };
      let isPlaced = false;
      while (!isPlaced && !this.#isClosed)
        try {
          const client = await guest.client();
          this.unsure += 1;
          const outcome = await place(client, order, this.#watches);
          this.unsure -= 1;
          isPlaced = outcome !== "void";
          if (isPlaced) this.placed += 1;
          if (outcome === "was there") this.wereThere += 1;
          if (outcome !== "void") continue;
          this.voids += 1;
          // Not all at once again.
          await pause(Math.random() * AGAIN_AFTER_MS);
        } catch (error) {
          if (!(error instanceof Lost)) throw error;
          await pause(LOOK_EVERY_MS);
        }
      await pause(Math.random() * 2 * BETWEEN_ORDERS_MS);
    }
    guest.leave();
  }

  /** Has a look at the book of each replica, and at the trades that it has had since. */
  async look(): Promise<void> {
    await Promise.all(
      this.trades.map(async (mine, i) => {
        const from = mine.length;
        const replies = await this.#replicas.look(i, [
          ["ZRANGE", "bids", 0, -1, "WITHSCORES"],
          ["ZRANGE", "asks", 0, -1, "WITHSCORES"],
          ["HGETALL", "left"],
          ["LLEN", "orders"],
          ["LRANGE", "trades", from, -1],
        ]);
        this.views[i] = replies && viewIn(replies);
        if (!replies) mine.length = 0;
        // Somebody else may have looked meanwhile.
        else if (mine.length === from) this.#compare(mine, texts(replies[4]));
      }),
    );
  }

  #compare(mine: string[], more: readonly string[]): void {
    for (const trade of more) {
      const place = mine.push(trade) - 1;
      if (this.trades.some((others) => (others[place] ?? trade) !== trade)) this.different += 1;
    }
  }

  close(): void {
    this.#isClosed = true;
  }
}

function viewIn([bids, asks, left, orders]: readonly Reply[]): View {
  const leftOf = new Map(pairs(left));
  const levels = (reply: Reply | undefined) => levelsOf(restingIn(pairs(reply), leftOf));
  return { bids: levels(bids), asks: levels(asks), orders: Number(orders) };
}

function levelsOf(resting: readonly Resting[]): readonly Level[] {
  const shares = new Map<number, number>();
  for (const { price, left } of resting) shares.set(price, (shares.get(price) ?? 0) + left);
  return [...shares].map(([price, sum]) => ({ price, shares: sum }));
}

/** Bids to the left and asks to the right, the best in the middle, above the rest; and the latest trades as each replica has them. */
function linesOf({ views, trades }: Market): string[] {
  const view = views.find((one) => one !== undefined) ?? { bids: [], asks: [] };
  const [bids, asks] = [view.bids.slice(0, LEVELS), view.asks.slice(0, LEVELS)];
  const most = Math.max(1, ...[...bids, ...asks].map(({ shares }) => shares));
  const wide = 18;
  const levels = Array.from({ length: LEVELS }, (_, i) => {
    const [bid, ask] = [bids[i], asks[i]];
    const left = "█".repeat(Math.round((Math.max(0, bid?.shares ?? 0) / most) * wide));
    return [
      `   ${" ".repeat(wide - left.length)}${paint("green", left)}`,
      `${cell(bid?.shares ?? "", 7)}${cell(bid?.price ?? "", 8)} │ ${cell(ask?.price ?? "", 3, "left")}`,
      `${cell(ask?.shares ?? "", 12)}  ${paint("red", bar((ask?.shares ?? 0) / most, wide))}`,
    ]
      .join("")
      .trimEnd();
  });
  const count = Math.max(...trades.map(({ length }) => length));
  const latest = Array.from({ length: TRADES_SHOWN }, (_, i) => count - TRADES_SHOWN + i);
  const rows = latest.map((place) => {
    const cells = trades.map((mine, i) => cell(views[i] ? shownTrade(mine[place]) : "·", 21));
    return `${cell(place < 0 ? "" : place + 1, 8)}${cells.join("")}`;
  });
  const heads = views.map((one, i) =>
    one ? paint("dim", cell(`p${i + 1}`, 21)) : paint("red", cell(`p${i + 1} away`, 21)),
  );
  return [
    paint("dim", `${cell("shares", 28)}${cell("bid", 8)} │ ask      shares`),
    ...levels,
    "",
    `${paint("dim", cell("trade", 8))}${heads.join("")}`,
    ...rows,
  ];
}

function shownTrade(text: string | undefined): string {
  if (text === undefined) return "·";
  const { shares, price, bought, sold } = tradeIn(text);
  return `${shares} at ${price} ${traderOf(bought)} ← ${traderOf(sold)}`;
}

function pictureOf(market: Market, screen: Screen): string[] {
  const head = `${paint("bold", "order book")}  bids and asks at three replicas`;
  const count = `${grouped(market.placed)} orders  ${cell(screen.seconds, 7)}`;
  const gap = " ".repeat(Math.max(1, screen.columns - 1 - 43 - count.length));
  return [`${head}${gap}${count}`, "", ...linesOf(market)];
}

/** Audits the books of all replicas, when they have come to the same place. */
async function auditAll(replicas: Replicas, screen: Screen, stop: AbortSignal) {
  let books: (Books | undefined)[] = [];
  await until("all replicas have the same", stop, async () => {
    books = await Promise.all([0, 1, 2].map((place) => booksAt(replicas, place)));
    return books.every((one) => one && one.text === books[0]?.text);
  });
  const [{ orders, trades, book }] = books as [Books];
  const wrong = audit(books[0] as Books);
  const waiting = book.buy.length + book.sell.length;
  const counts = { orders: orders.length, trades: trades.length, waiting };
  const many = (count: number, what: string) =>
    `${grouped(count)} ${what}${count === 1 ? "" : "s"}`;
  const all = `${many(orders.length, "order")}, ${many(trades.length, "trade")}, ${grouped(waiting)} in the book`;
  const text = `${all}: the same at all three`;
  screen.note("audit", `${mark(wrong.length === 0)} ${text}`, { ...counts, wrong });
  for (const line of wrong.slice(0, WRONG_SHOWN)) screen.note("wrong", `  ${line}`, { line });
  return { isRight: wrong.length === 0, orders: orders.length };
}

async function run({ seconds, port, victim, dir, json, flags }: Options, stop: AbortSignal) {
  const watches = !flags.has("without-watch");
  const screen = new Screen({ json });
  screen.draw([paint("dim", "a store of three replicas is starting")]);
  const replicas = await Replicas.start(port, dir, stop);
  const market = new Market(replicas, watches);
  let looking = true;
  const watch = async () => {
    while (looking) {
      await market.look();
      screen.draw(pictureOf(market, screen));
      await pause(LOOK_EVERY_MS);
    }
  };
  const watching = watch();
  const trade = (share: number) => pause(share * seconds * 1000, undefined, { signal: stop });
  const audits: boolean[] = [];
  const auditNow = async () => {
    const { isRight, orders } = await auditAll(replicas, screen, stop);
    audits.push(isRight);
    return orders;
  };
  const snapshots: string[] = [];
  const snapshot = async (place: number) => {
    const asked = replicas.all[place % 3] as Replica;
    const name = await replicas.snapshot(asked);
    snapshots.push(name);
    const text = `BGSAVE at ${asked.id}: ${name} has all three replicas, at one cut`;
    screen.note("snapshot", text, { snapshot: name });
  };
  const killOne = async () => {
    const dead = replicas.all[victim] as Replica;
    const killedMs = performance.now();
    const pid = await replicas.kill(dead);
    const next = replicas.all[(victim + 1) % 3]?.id;
    screen.note("killed", `kill -9 ${pid}, which is ${dead.id}: its traders go on at ${next}`, {
      ...{ replica: dead.id, pid },
    });
    await until(`${dead.id} is away`, stop, () => market.views[victim] === undefined);
    await until(`${dead.id} is back`, stop, () => market.isEven);
    const awayMs = performance.now() - killedMs;
    const back = `${dead.id} is back after ${secondsText(awayMs)}, with the trades that the others have`;
    screen.note("back", back, { replica: dead.id, awayMs: Math.round(awayMs) });
  };

  try {
    await until("all replicas are there", stop, () => market.isThere);
    const ports = replicas.all.map(({ id, port }) => `${id} at port ${port}`).join(", ");
    screen.begin();
    screen.note("started", `three replicas: ${ports}`, { ports: replicas.all });
    const before = (await booksAt(replicas, 0))?.orders.length ?? 0;
    await market.begin();
    screen.note("trade", "three begin to buy and three to sell, one of both at each replica");
    await trade(watches ? 0.25 : 1);
    if (watches) {
      await snapshot(victim + 1);
      await trade(0.1);
      await killOne();
      await trade(0.15);
      await snapshot(victim);
      await trade(0.25);
    }
    await market.pause();
    await market.look();
    await until("all have as many trades", stop, () => market.isEven);
    screen.note("pause", "everybody pauses");
    screen.show(linesOf(market));
    const isOnce = (await auditNow()) === before + market.placed;
    const { placed, unsure, wereThere, voids } = market;

    // The oldest first, and on from the newest.
    for (const name of snapshots) {
      const epoch = await replicas.restore(name);
      market.forget();
      const text = `TIDEMARK RESTORE ${name}: all are back there, in epoch ${epoch}`;
      screen.note("restored", text, { snapshot: name, epoch });
      await auditNow();
    }
    if (watches) {
      await market.begin();
      screen.note("trade", "they trade on from there");
      await trade(0.25);
      await market.pause();
      await auditNow();
    }

    const restored = watches ? ", also in both snapshots" : "";
    const checks: readonly (readonly [boolean, string])[] = [
      [market.different === 0, "all replicas had the same trades, whenever they were looked at"],
      [
        audits.every((isRight) => isRight),
        `every trade is right${restored}: nothing was filled twice`,
      ],
      [
        isOnce,
        `each of ${grouped(placed)} orders is there once; ${unsure} had no answer, and ${wereThere} of these were there`,
      ],
    ];
    const right = checks.every(([holds]) => holds);
    const lines = checks.map(([holds, text]) => `${mark(holds)} ${text}`);
    const came = "for another order was first, and were tried again";
    if (watches) lines.push(`  ${grouped(voids)} transactions were void, ${came}`);
    screen.end(lines, { right, orders: market.placed, voids: market.voids, unsure, wereThere });
    return right;
  } finally {
    looking = false;
    market.close();
    await watching.catch(() => {});
    await replicas.stop();
  }
}

await runExample(HELP, { seconds: 12, flags: ["without-watch"] }, run);
