import { describe, expect, test } from "vitest";
import { audit, type Books } from "../../examples/support/exchange.ts";
import { type Order, replay, type Trade } from "../../examples/support/matching.ts";

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
