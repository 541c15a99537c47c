import { describe, expect, onTestFinished, test, vi } from "vitest";
import { audit, type Books, booksAt, place } from "../../examples/support/exchange.ts";
import { type Order, replay, type Trade } from "../../examples/support/matching.ts";
import { RedisClient, type Reply } from "../../examples/support/redis-client.ts";
import { Random } from "../../src/core/random.ts";
import { startStore } from "../serve/store.ts";

const order = (trader: string, turn: number, side: "buy" | "sell", shares: number, price: number) =>
  ({ side, shares, price, trader, turn }) satisfies Order;

const ORDERS: readonly Order[] = [
  order("bob", 1, "sell", 5, 101),
  order("dora", 1, "sell", 4, 100),
  order("flo", 1, "sell", 6, 100),
  order("ann", 1, "buy", 12, 101),
  order("ed", 1, "buy", 3, 99),
  order("cy", 1, "buy", 2, 99),
  order("bob", 2, "sell", 4, 98),
];

const TRADES: readonly Trade[] = [
  { shares: 4, price: 100, bought: "ann/1", sold: "dora/1" },
  { shares: 6, price: 100, bought: "ann/1", sold: "flo/1" },
  { shares: 2, price: 101, bought: "ann/1", sold: "bob/1" },
  { shares: 3, price: 99, bought: "ed/1", sold: "bob/2" },
  { shares: 1, price: 99, bought: "cy/1", sold: "bob/2" },
];

const BOOKS: Books = {
  orders: ORDERS,
  trades: TRADES,
  book: {
    buy: [{ name: "cy/1", price: 99, left: 1 }],
    sell: [{ name: "bob/1", price: 101, left: 3 }],
  },
  shares: new Map(Object.entries({ ann: 12, ed: 3, cy: 1, dora: -4, flo: -6, bob: -6 })),
  cash: new Map(Object.entries({ ann: -1202, ed: -297, cy: -99, dora: 400, flo: 600, bob: 598 })),
  text: "",
};

test("orders meet the best price first, and of the same price who came first", () => {
  const { trades, book } = replay(ORDERS);
  expect(trades).toEqual(TRADES);
  expect(book).toEqual(BOOKS.book);
});

describe("the audit", () => {
  test("finds nothing wrong where nothing is", () => {
    expect(audit(BOOKS)).toEqual([]);
    const nothing = { orders: [], trades: [], book: { buy: [], sell: [] }, text: "" };
    expect(audit({ ...nothing, shares: new Map(), cash: new Map() })).toEqual([]);
  });

  const [first, second, third, ...others] = TRADES as [Trade, Trade, Trade, ...Trade[]];
  const cases: readonly (readonly [what: string, books: Partial<Books>, wrong: RegExp])[] = [
    ["a trade that was made twice", { trades: [...TRADES, ...others] }, /^ed.1 is for 3: 6 were/],
    ["a trade that is lost", { trades: TRADES.slice(1) }, /^dora.1 is for 4: 0 were/],
    [
      "who came first and was not served first",
      { trades: [second, first, third, ...others] },
      /^trade 1 /,
    ],
    ["another price", { trades: [{ ...first, price: 99 }, ...TRADES.slice(1)] }, /^trade 1 is not/],
    [
      "an order that is not in the book",
      { book: { ...BOOKS.book, buy: [] } },
      /^cy.1 is for 2: 1 were/,
    ],
    [
      "a book that has another price",
      { book: { ...BOOKS.book, buy: [{ name: "cy/1", price: 98, left: 1 }] } },
      /^the book is not/,
    ],
    [
      "an order that was placed twice",
      { orders: [...ORDERS, ORDERS[6] as Order] },
      /^order 2 of bob/,
    ],
    [
      "shares out of nothing",
      { shares: new Map([...BOOKS.shares, ["ann", 13]]) },
      /^shares of all .* 1$/,
    ],
    [
      "money that is gone",
      { cash: new Map([...BOOKS.cash, ["bob", 500]]) },
      /^cash of all .* -98$/,
    ],
  ];
  test.each(cases)("finds %s", (_, books, wrong) => {
    expect(audit({ ...BOOKS, ...books }).join("\n")).toMatch(new RegExp(wrong.source, "m"));
  });
});

describe("orders that are placed at two replicas at once", () => {
  async function connected(many: number) {
    const members = await startStore(2);
    const clients: RedisClient[] = [];
    for (let i = 0; i < many; i += 1)
      clients.push(await RedisClient.connect(members[i % 2]?.server.port ?? 0));
    onTestFinished(() => {
      for (const client of clients) client.close();
    });
    const look = (at: number, commands: readonly (readonly (string | number)[])[]) =>
      (clients[at] as RedisClient).askAll(commands);
    return { clients, books: async (at: number) => (await booksAt({ look }, at)) as Books };
  }

  test("are matched as if they came one after another, and are there once", async () => {
    const { clients, books } = await connected(6);
    const random = new Random("orders");
    let voids = 0;
    await Promise.all(
      clients.map(async (client, i) => {
        for (let turn = 1; turn <= 10; turn += 1) {
          const price = 98 + random.below(5);
          const one = order(`t${i}`, turn, i % 2 ? "buy" : "sell", 1 + random.below(9), price);
          let outcome = await place(client, one, true);
          for (; outcome === "void"; outcome = await place(client, one, true)) voids += 1;
          expect(outcome).toBe("done");
          expect(await place(client, one, true)).toBe("was there");
        }
      }),
    );
    const [first, second] = [await books(0), await books(1)];
    expect(first.orders).toHaveLength(60);
    expect(first.trades.length).toBeGreaterThan(10);
    expect(audit(first)).toEqual([]);
    expect(second.text).toBe(first.text);
    expect(voids).toBeGreaterThan(0);
  });

  test("are filled twice if nobody watches", async () => {
    const { clients, books } = await connected(3);
    const [seller, ...buyers] = clients as [RedisClient, ...RedisClient[]];
    let wrong: string[] = [];
    // Two that look at once are a matter of time, too.
    for (let turn = 1; turn <= 50 && wrong.length === 0; turn += 1) {
      await place(seller, order("bob", turn, "sell", 10, 100), true);
      await vi.waitUntil(async () => (await books(0)).text === (await books(1)).text);
      const placed = buyers.map((one, i) => {
        const wanted = order(`t${i}`, turn, "buy", 10, 101);
        return place(one, wanted, false);
      });
      await Promise.all(placed);
      wrong = audit(await books(0));
    }
    expect(wrong[0]).toMatch(/^bob.[0-9]+ is for 10: 20 were traded, and 0 wait$/);
  });
});

test("the client of the examples takes replies however they are cut", async () => {
  const [member] = await startStore(1);
  const client = await RedisClient.connect(member?.server.port ?? 0);
  onTestFinished(() => client.close());
  const long = "ü".repeat(300_000);
  const replies: Reply[] = await client.askAll([
    ["SET", "text", long],
    ...[
      ["GET", "text"],
      ["GET", "none"],
      ["RPUSH", "list", 1, 2],
      ["LRANGE", "list", 0, -1],
    ],
    ...[["HGET", "list", "x"], ["MULTI"], ["LPOP", "list"], ["INCR", "text"], ["EXEC"]],
  ]);
  expect(replies.map((reply) => (reply === long ? "long" : reply))).toEqual([
    ...["OK", "long", null, 2, ["1", "2"], expect.any(Error), "OK", "QUEUED", "QUEUED"],
    ["1", expect.any(Error)],
  ]);
  await expect(client.ask("HGET", "list", "x")).rejects.toThrow("WRONGTYPE");
});
