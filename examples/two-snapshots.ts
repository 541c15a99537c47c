// A shop and its warehouse, and two snapshots while orders are under way. docs/use/inspect.md looks into them.
// Run: node examples/two-snapshots.ts [DIRECTORY]
import { type Application, directoryStore, MemoryNetwork, startProcess, type Turn } from "tidemark";

interface Order {
  readonly id: number;
  readonly customer: string;
  readonly item: string;
  readonly count: number;
}

/** Takes orders, and sends them to the warehouse. */
class Shop implements Application<Order, unknown, Omit<Order, "id">, number> {
  orders: Order[] = [];
  request(id: number, wish: Omit<Order, "id">, turn: Turn<Order, number>) {
    const order = { id: this.orders.length + 1, ...wish };
    this.orders.push(order);
    turn.send("warehouse", order);
    turn.reply(id, order.id);
  }
  capture() {
    return { orders: this.orders, customers: new Set(this.orders.map(({ customer }) => customer)) };
  }
  restore() {}
}

/** Takes out of the stock what is ordered. */
class Warehouse implements Application<Order> {
  stock: Record<string, number> = { apples: 100, pears: 50 };
  last: Order | undefined;
  receive(_from: string, order: Order) {
    this.stock[order.item] = (this.stock[order.item] ?? 0) - order.count;
    this.last = order;
  }
  capture() {
    return { stock: this.stock, last: this.last ?? null };
  }
  restore() {}
}

const network = new MemoryNetwork();
const store = directoryStore(process.argv[2] ?? ".tidemark", { sync: false });
const processes = ["shop", "warehouse"];
// Manual: what is sent stays in its channel until it is taken. So this comes out the same each time.
const common = { processes, store, system: "orchard", receive: "manual" as const };
const shop = await startProcess({
  ...common,
  id: "shop",
  application: new Shop(),
  transport: network.transport(),
});
const warehouse = await startProcess({
  ...common,
  id: "warehouse",
  application: new Warehouse(),
  transport: network.transport(),
});

/** The warehouse records at once, and the shop when it takes the marker. What comes to the warehouse after that is in flight. */
async function record(label: string) {
  const taken = warehouse.snapshot({ label });
  await shop.receive("warehouse");
  return { taken };
}

await shop.request({ customer: "ann", item: "apples", count: 3 });
await shop.request({ customer: "bob", item: "pears", count: 5 });
await shop.request({ customer: "dan", item: "apples", count: 2 });
await warehouse.receive("shop");
const morning = await record("morning");
await warehouse.receive("shop");
await shop.request({ customer: "eve", item: "apples", count: 40 });
const noon = await record("noon");
// Two orders, and two markers.
for (let i = 0; i < 4; i += 1) await warehouse.receive("shop");
for (const { id, manifest } of [await morning.taken, await noon.taken])
  console.log(`${id}  ${manifest.label}`);
await Promise.all([shop.stop(), warehouse.stop()]);
await store.close();
