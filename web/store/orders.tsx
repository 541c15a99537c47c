/** Which keys are in which order, and what that promises. */

import { useState } from "react";
import { Namespaces } from "../../src/kv/namespaces.ts";
import type { PageStore } from "../../src/serve/web/api.ts";
import { CommandLine } from "../parts/empty.tsx";
import { bytesIn, shown } from "./bytes.ts";
import type { StorePartProps } from "./place.tsx";
import { ScrollRegion } from "./scroll-region.tsx";

type Order = "total" | "causal" | "fifo";

const PROMISES: Readonly<Record<Order, readonly string[]>> = {
  total: [
    "Every replica does all writes, at the same place of one order: equal at equal positions, byte for byte.",
    "A write is answered when the replica that was asked has it in that order; a transaction is at one place of it, whole.",
    "A read is what the replica that was asked has; with TIDEMARK READ LINEARIZABLE it is never older than what anybody was answered.",
    "While the first process is away, which gives the order, writes wait and reads go on.",
  ],
  causal: [
    "A write is answered at once by the replica that was asked, also while it is cut off from the others.",
    "All come to have it, behind everything that its replica had been told in the order before: what an effect depends on is there first.",
    "Replicas that have been told the same have the same, whatever order it came in: of concurrent writes the last one wins, counters add, sets keep what was added.",
    "Replicas may differ for a moment. Lists, transactions and what two replicas could both be the first to do are refused.",
  ],
  fifo: [
    "As causal, but in the order of each replica alone: what one replica wrote comes in its order, and nothing is promised between writes of two.",
  ],
};

/** The order of a key. */
export function orderOf(
  { namespaces }: PageStore,
  db: number,
  key: string,
): { readonly order: Order; readonly pattern: string | undefined } {
  if (db !== 0) return { order: "total", pattern: undefined };
  const found = namespaces.find(({ order, pattern }) =>
    new Namespaces({ [order]: [pattern] }).levelOf(key),
  );
  return found ?? { order: "total", pattern: undefined };
}

export function Orders({ store }: StorePartProps) {
  const [text, setText] = useState("");
  const { namespaces } = store;
  const orders: readonly Order[] = ["total", "causal", "fifo"];
  const used = orders.filter(
    (order) => order === "total" || namespaces.some((one) => one.order === order),
  );
  return (
    <>
      <section className="card">
        <h2>Which keys are in which order</h2>
        <ScrollRegion label="Table of orders">
          <table>
            <thead>
              <tr>
                <th>Keys</th>
                <th>Order</th>
                <th>What is promised</th>
              </tr>
            </thead>
            <tbody>
              {used.map((order) => (
                <tr key={order}>
                  <td className="mono order-keys">
                    {order === "total"
                      ? namespaces.length === 0
                        ? "all keys"
                        : "all others, and databases 1 to 15"
                      : namespaces
                          .filter((one) => one.order === order)
                          .map(({ pattern }) => <div key={pattern}>{shown(pattern)}</div>)}
                  </td>
                  <td>
                    <OrderBadge order={order} />
                  </td>
                  <td>
                    <ul className="promises">
                      {PROMISES[order].map((promise) => (
                        <li key={promise}>{promise}</li>
                      ))}
                    </ul>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollRegion>
        {namespaces.length === 0 && (
          <p className="dim">
            Keys like a pattern can be written at once wherever they are asked for, and converge.
            The patterns are said when the store is started:{" "}
            <CommandLine>tidemark kv --causal 'cart:*' --fifo 'log:*'</CommandLine>
          </p>
        )}
      </section>
      <section className="card">
        <h2>The order of a key</h2>
        <div className="bar">
          <input
            className="grow mono"
            aria-label="Key"
            placeholder="cart:7"
            value={text}
            onChange={({ target }) => setText(target.value)}
          />
          <span className="order-answer" role="status">
            {text !== "" && <KeyOrder store={store} text={text} />}
          </span>
        </div>
      </section>
    </>
  );
}

function KeyOrder({ store, text }: { readonly store: PageStore; readonly text: string }) {
  try {
    const { order, pattern } = orderOf(store, 0, bytesIn(text));
    return (
      <>
        <OrderBadge order={order} />{" "}
        <span className="dim">
          {pattern === undefined ? "it is like no pattern" : `it is like ${shown(pattern)}`}
        </span>
      </>
    );
  } catch (error) {
    return <span className="bad">{(error as Error).message}</span>;
  }
}

export function OrderBadge({ order }: { readonly order: Order }) {
  return <span className={`badge order-${order}`}>{order}</span>;
}
