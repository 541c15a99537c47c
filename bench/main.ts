/** `npm run bench -- NAME [--json]`: measures one thing, or all. */

import { parseArgs } from "node:util";
import { detect } from "./detect.ts";
import { durability } from "./durability.ts";
import { kv } from "./kv.ts";
import { kvSnapshot } from "./kv-snapshot.ts";
import { latency } from "./latency.ts";
import { machine } from "./machine.ts";
import { multicast } from "./multicast.ts";
import { nats } from "./nats.ts";
import { page } from "./page.ts";
import { pageLive } from "./page-live.ts";
import { printResult, type Result } from "./result.ts";
import { sim } from "./sim.ts";
import { snapshot } from "./snapshot.ts";
import { store } from "./store.ts";
import { tcp, tls, workers } from "./tcp.ts";

/** What benches are told. */
interface Options {
  readonly keys: number;
  readonly minutes: number;
}

const BENCHES: Readonly<Record<string, (options: Options) => AsyncGenerator<Result>>> = {
  machine,
  tcp,
  tls,
  workers,
  latency,
  snapshot,
  durability,
  store,
  sim,
  multicast,
  nats,
  detect,
  kv,
  "kv-snapshot": kvSnapshot,
  page,
  "page-live": pageLive,
};

const USAGE = `Usage: npm run bench -- [NAME ...] [--json] [--keys N] [--minutes N]

  machine   messages through the composite machine, memory transport, one operating-system process
  tcp       3 processes, full mesh, everyone sends to all; beside it plain sockets, and what recording costs
  tls       the same with certificates; beside it sockets of TLS that do the least, and Tidemark without
  workers   the same in 3 threads of one operating-system process; beside it Tidemark over TCP
  latency   one-way times at 2,000 messages a second and process; beside it plain sockets
  snapshot  time of a cut, idle and under full load, and what back-to-back snapshots cost
  durability  what input logs cost, by policy; acknowledgements a second beside flushes; coming back from a million inputs
  store     what is written of a state of a million entries, at first and when 1 % of it has changed
  sim       the simulator: events a second, and of a search through all schedules states a second
  kv        the store beside redis-server, by redis-benchmark: one process, and three replicas
  kv-snapshot  what BGSAVE costs the clients of a store of a million keys (or --keys), beside redis-server
  detect    messages that direct detection of termination and deadlock costs, beside the papers' bounds and snapshots
  page      the page with a trace of 100,000 events, in Chromium: frames a second while it is moved, and its heap
  page-live  the page of a bank and of a store at full load, each for ten minutes (or --minutes): what it holds on to
  nats      total order by a stream of NATS, on 1 and on 3 servers, beside a plain client that publishes and reads
  multicast groups of 3, by each order, beside plain sockets that do the least it needs; of 2 to 16

Without a name: all of them. Figures are medians of at least three rounds; on a busy machine look at ratios only.`;

const { values, positionals } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
    keys: { type: "string", default: "1000000" },
    minutes: { type: "string", default: "10" },
  },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !Object.hasOwn(BENCHES, name));
if (values.help) {
  console.log(USAGE);
} else if (unknown.length > 0) {
  console.error(`bench: there is no ${unknown.join(", ")}\n\n${USAGE}`);
  process.exitCode = 2;
} else if (!/^[1-9]\d{0,8}$/.test(values.keys)) {
  console.error(`bench: --keys ${values.keys} is not a number of keys`);
  process.exitCode = 2;
} else if (!/^[1-9]\d{0,2}$/.test(values.minutes)) {
  console.error(`bench: --minutes ${values.minutes} is not a number of minutes`);
  process.exitCode = 2;
} else {
  const options = { keys: Number(values.keys), minutes: Number(values.minutes) };
  for (const name of positionals.length > 0 ? positionals : Object.keys(BENCHES))
    for await (const result of BENCHES[name]?.(options) ?? []) printResult(result, values.json);
}
