// A shop, and two buyers that read the stock, subtract one and write it back. docs/learn/lost-update.md tells its story.
import { defineWorld, type World } from "tidemark/sim";

type Message = { readonly get: true } | { readonly stock: number };

const shop: World<Message, number, "buy"> = defineWorld({
  processes: ["ann", "bob", "shop"],
  application: (id) => {
    let count = id === "shop" ? 10 : 0;
    return {
      request(_id, _buy, turn) {
        turn.send("shop", { get: true });
      },
      receive(from, message, turn) {
        if ("get" in message) turn.send(from, { stock: count });
        else if (id === "shop") count = message.stock;
        else {
          count += 1;
          turn.send("shop", { stock: message.stock - 1 });
        }
      },
      capture: () => count,
      restore(state) {
        count = state;
      },
    };
  },
  requests: ["ann", "bob"].map((of) => ({ of, request: "buy" })),
  eventually: {
    "what was sold has left the shop": (view) =>
      view.up.reduce((sum, id) => sum + (view.state(id) ?? 0), 0) === 10,
  },
});

export default shop;
