// A shop with a warehouse and a till, and the till does not do its part. docs/operate/attempts.md asks why there is no snapshot.
// Run: node examples/held-up-snapshot.ts [DIRECTORY]
import {
  type Application,
  directoryStore,
  isTidemarkError,
  MemoryNetwork,
  startProcess,
  type Turn,
} from "tidemark";

/** Counts what it hears of. */
class Counter implements Application<number, number, number, number> {
  #sum = 0;
  request(id: number, add: number, turn: Turn<number, number>) {
    this.#sum += add;
    turn.send(turn.peers, add);
    turn.reply(id, this.#sum);
  }
  receive(_from: string, add: number) {
    this.#sum += add;
  }
  capture() {
    return this.#sum;
  }
  restore(sum: number) {
    this.#sum = sum;
  }
}

const network = new MemoryNetwork();
const store = directoryStore(process.argv[2] ?? ".tidemark", { sync: false });
const processes = ["shop", "till", "warehouse"];
const lostAfterMs = 1_000;
const start = (id: string) =>
  startProcess({
    ...{ id, processes, store, system: "orchard", receive: "manual", lostAfterMs },
    application: new Counter(),
    transport: network.transport(),
  });
const shop = await start("shop");
const warehouse = await start("warehouse");
const till = await start("till");
const others = { shop: [till, warehouse], till: [shop, warehouse], warehouse: [shop, till] };

/** A snapshot of the shop's. Whoever is `awake` takes so many things off each of its channels. */
async function attempt(
  label: string,
  awake: readonly ("shop" | "till" | "warehouse")[],
  things: number,
) {
  const running = { shop, till, warehouse };
  const giveUp = new AbortController();
  const taken = shop.snapshot({ label, timeoutMs: 1_000 });
  const taking = awake.flatMap((id) =>
    others[id].map(async (other) => {
      for (let i = 0; i < things; i += 1)
        await running[id].receive(other.id, { signal: giveUp.signal }).catch(() => {});
    }),
  );
  try {
    console.log(`${(await taken).id}  ${label}`);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    console.log(`no snapshot  ${label}: ${error.code}`);
  }
  giveUp.abort();
  await Promise.all(taking);
}

await attempt("morning", ["shop", "till", "warehouse"], 1);
await shop.request(3);
// The till takes nothing off its channels any more.
await attempt("noon", ["shop", "warehouse"], 2);
await till.stop();
while (
  !shop
    .explain()
    .channels.some(({ up, downSinceMs = 0 }) => !up && Date.now() - downSinceMs > lostAfterMs + 100)
)
  await new Promise((resolve) => setTimeout(resolve, 10));
await attempt("evening", [], 0);
await Promise.all([shop.stop(), warehouse.stop()]);
await store.close();
