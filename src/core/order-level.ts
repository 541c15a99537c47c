/**
 * How much order a multicast message asks for. A group may carry messages of several levels at once.
 *
 * The promises have the names that Hadzilacos and Toueg give them: "A Modular Approach to Fault-Tolerant Broadcasts and
 * Related Problems", 1994, TR 94-1425. Total order alone implies neither of the others (§3.4).
 */

/** How much order a message asks for. */
export type OrderLevel = "reliable" | "fifo" | "causal" | "total" | "fifo-total" | "causal-total";

/** A promise about the order of deliveries. */
export type OrderPromise = "FIFO order" | "causal order" | "total order";

/**
 * Which promises each level includes. **Between two messages a promise holds if the levels of both include it**: a `fifo` message
 * and a later `causal-total` one of the same sender are delivered in that order; a `fifo` and a `total` one in any.
 */
export const ORDER_LEVELS: Readonly<Record<OrderLevel, readonly OrderPromise[]>> = {
  reliable: [],
  fifo: ["FIFO order"],
  causal: ["FIFO order", "causal order"],
  total: ["total order"],
  "fifo-total": ["FIFO order", "total order"],
  "causal-total": ["FIFO order", "causal order", "total order"],
};
