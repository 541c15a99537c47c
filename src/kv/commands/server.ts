/** Commands about the server. */

import { textOf } from "../../core/error.ts";
import { replicasAreOfSystem } from "../absent.ts";
import { indexIn, rangeIn } from "../arguments.ts";
import { type Call, type Command, Refusal, SYNTAX } from "../command.ts";
import { matches } from "../glob.ts";
import type { Reply } from "../reply.ts";
import { slotOf } from "../slot.ts";
import { help } from "./help.ts";

// INFO and CONFIG.

function serverInfo(call: Call, args: readonly string[]): void {
  const wanted = new Set(args.slice(1).map((word) => word.toLowerCase()));
  const isAll =
    wanted.size === 0 || ["default", "all", "everything"].some((word) => wanted.has(word));
  const parts: string[] = [];
  for (const [section, lines] of call.server.info()) {
    if (!isAll && !wanted.has(section.toLowerCase())) continue;
    const all = [...lines].map(([key, value]) => `${key}:${value}\r\n`);
    parts.push(`# ${section}\r\n${all.join("")}`);
  }
  call.reply.verbatim(parts.join("\r\n"));
}

function configGet(call: Call, args: readonly string[]): void {
  const patterns = args.slice(2);
  const found = [...call.server.settings].filter(([name]) =>
    patterns.some((pattern) => matches(pattern, name, true)),
  );
  call.reply.map(found.length);
  for (const [name, value] of found) {
    call.reply.bulk(name);
    call.reply.bulk(value);
  }
}

function configSet(call: Call, args: readonly string[]): void {
  if (args.length % 2 !== 0) throw new Refusal(SYNTAX);
  const settings: (readonly [string, string])[] = [];
  for (let i = 2; i < args.length; i += 2)
    settings.push([args[i] as string, args[i + 1] as string]);
  call.server.configure(settings);
  call.reply.ok();
}

// Snapshots.

/** Answers when it is complete, and the client waits so long; others do not. */
function save(call: Call): void {
  const { client, server } = call;
  if (server.isSaving) throw new Refusal(SAVING);
  const answer = client.answerLater();
  server.snapshot().then(
    () => answer((reply) => reply.ok()),
    (problem: unknown) => answer((reply) => reply.error(`ERR ${textOf(problem)}`)),
  );
}

const SAVING = "ERR Background save already in progress";

function backgroundSave(call: Call, args: readonly string[]): void {
  if (args.length > 2 || (args.length === 2 && args[1]?.toUpperCase() !== "SCHEDULE"))
    throw new Refusal(SYNTAX);
  if (call.server.isSaving) throw new Refusal(SAVING);
  // What came of it, INFO says.
  call.server.snapshot().catch(() => {});
  call.reply.simple("Background saving started");
}

// Memory.

/** About what a key takes beside its text and its value. */
const KEY_BYTES = 64;

function memoryUsage(call: Call, args: readonly string[]): void {
  for (let i = 3; i < args.length; i += 2) {
    if (args[i]?.toUpperCase() !== "SAMPLES" || i + 1 >= args.length) throw new Refusal(SYNTAX);
    if (indexIn(args[i + 1]) < 0) throw new Refusal(SYNTAX);
  }
  const key = args[2] as string;
  const value = call.db.get(key);
  if (value === undefined) {
    call.reply.null();
    return;
  }
  const bytes = typeof value === "string" ? value.length : value.memoryBytes;
  call.reply.integer(KEY_BYTES + key.length + bytes);
}

function memoryStats({ keyspace, reply, server }: Call): void {
  const { usedBytes, peakBytes, startBytes } = server.memory;
  const keys = keyspace.databases.reduce((sum, { size }) => sum + size, 0);
  const dataBytes = Math.max(0, usedBytes - startBytes);
  const facts: readonly (readonly [name: string, value: number, isRatio?: true])[] = [
    ["peak.allocated", peakBytes],
    ["total.allocated", usedBytes],
    ["startup.allocated", startBytes],
    ["keys.count", keys],
    ["keys.bytes-per-key", keys === 0 ? 0 : Math.floor(dataBytes / keys)],
    ["dataset.bytes", dataBytes],
    ["dataset.percentage", (100 * dataBytes) / Math.max(1, usedBytes), true],
    ["peak.percentage", (100 * usedBytes) / Math.max(1, peakBytes), true],
  ];
  reply.map(facts.length);
  for (const [name, value, isRatio] of facts) {
    reply.bulk(name);
    if (isRatio) reply.double(value);
    else reply.integer(value);
  }
}

// What is watched: slow requests, latencies, every request.

function slowRequests(call: Call, args: readonly string[]): void {
  if (args.length > 3) throw new Refusal(wrongWords(args, "SLOWLOG"));
  const problem = "ERR count should be greater than or equal to -1";
  const count = args.length === 3 ? rangeIn(args[2], -1, Number.POSITIVE_INFINITY, problem) : 10;
  const { requests } = call.server.slowLog;
  const shown = count < 0 ? requests : requests.slice(0, count);
  call.reply.array(shown.length);
  for (const { id, atMs, microseconds, words, address, clientName } of shown) {
    call.reply.array(6);
    call.reply.integer(id);
    call.reply.integer(Math.floor(atMs / 1000));
    call.reply.integer(microseconds);
    call.reply.bulks(words);
    call.reply.bulk(address);
    call.reply.bulk(clientName);
  }
}

function wrongWords(args: readonly string[], container: string): string {
  const name = args[1]?.slice(0, 128);
  return `ERR unknown subcommand or wrong number of arguments for '${name}'. Try ${container} HELP.`;
}

const LATENCY_ADVICE = "Latencies are not monitored here: SLOWLOG GET tells what took long.";

// Replicas.

function wait(call: Call, args: readonly string[]): void {
  indexIn(args[1]);
  if (indexIn(args[2], "ERR timeout is not an integer or out of range") < 0)
    throw new Refusal("ERR timeout is negative");
  // What was written before has been answered, so all replicas have it, or are to have it whatever happens.
  call.reply.integer(call.server.otherReplicas);
}

function replicaOf(call: Call, args: readonly string[]): void {
  const [name = "", host, port] = args;
  if (host?.toLowerCase() !== "no" || port?.toLowerCase() !== "one")
    throw new Refusal(replicasAreOfSystem(name));
  call.reply.ok();
}

// Others.

function time({ reply, nowMs }: Call): void {
  const seconds = Math.floor(nowMs / 1000);
  reply.bulks([String(seconds), String((nowMs - seconds * 1000) * 1000)]);
}

function debug(call: Call, args: readonly string[]): void {
  if (args[1]?.toUpperCase() !== "SLEEP" || args.length !== 3)
    throw new Refusal("ERR DEBUG has SLEEP and nothing else here");
  const seconds = Number(args[2]);
  if (!(seconds >= 0 && seconds <= 60)) throw new Refusal("ERR DEBUG SLEEP takes 0 to 60 seconds");
  call.server.sleep(seconds * 1000);
  call.reply.ok();
}

// The table.

const PLAIN = ["loading", "stale"] as const;
const ADMIN = ["admin", "noscript", "loading", "stale"] as const;
const WATCHED = ["admin", "loading", "stale"] as const;

const of = (
  name: string,
  arity: number,
  flags: Command["flags"],
  since: string,
  summary: string,
  run: Command["run"],
): Command => ({ name, arity, flags, group: "server", since, summary, run });

const container = (
  name: string,
  since: string,
  summary: string,
  subcommands: readonly Command[],
): Command => ({ ...of(name, -2, [], since, summary, () => {}), subcommands });

const helps = (name: string, since: string, lines: readonly string[]): Command =>
  of(
    ...(["help", 2, PLAIN, since, "Show helpful text about the different subcommands"] as const),
    help(name, lines),
  );

const answers =
  (write: (reply: Reply) => void): Command["run"] =>
  ({ reply }) =>
    write(reply);

const refuses =
  (problem: string): Command["run"] =>
  () => {
    throw new Refusal(problem);
  };

const ofCluster = (name: string, arity: number, since: string, summary: string): Command =>
  of(
    ...([name, arity, ["stale"], since, summary] as const),
    refuses("ERR This instance has cluster support disabled"),
  );

export const serverCommands: readonly Command[] = [
  of("info", -1, PLAIN, "1.0.0", "Get information and statistics about the server", serverInfo),
  container("config", "2.0.0", "A container for server configuration commands", [
    of("get", -3, ADMIN, "2.0.0", "Get the values of configuration parameters", configGet),
    of("set", -4, ADMIN, "2.0.0", "Set configuration parameters to the given values", configSet),
    of("resetstat", 2, ADMIN, "2.0.0", "Reset the stats returned by INFO", (call) => {
      call.server.resetStatistics();
      call.reply.ok();
    }),
    of(
      ...(["rewrite", 2, ADMIN, "2.8.0"] as const),
      "Rewrite the configuration file with the in memory configuration",
      refuses("ERR The server is running without a config file"),
    ),
    helps("CONFIG", "5.0.0", [
      "GET <pattern>",
      "    Return parameters matching the glob-like <pattern> and their values.",
      "SET <directive> <value>",
      "    Set the configuration <directive> to <value>.",
      "RESETSTAT",
      "    Reset statistics reported by the INFO command.",
      "REWRITE",
      "    Rewrite the configuration file.",
    ]),
  ]),
  of("time", 1, [...PLAIN, "fast"], "2.6.0", "Return the current server time", time),
  of(
    ...(["lastsave", 1, [...PLAIN, "fast"], "1.0.0"] as const),
    "Get the UNIX time stamp of the last successful save to disk",
    (call) => call.reply.integer(Math.floor(call.server.snapshotMs / 1000)),
  ),
  of(
    ...(["bgsave", -1, ["admin", "noscript", "no_async_loading"], "1.0.0"] as const),
    "Asynchronously save the dataset to disk",
    backgroundSave,
  ),
  of(
    ...(["save", 1, ["admin", "noscript", "no_async_loading", "no_multi"], "1.0.0"] as const),
    "Synchronously save the dataset to disk",
    save,
  ),
  of("debug", -2, ADMIN, "1.0.0", "A container for debugging commands", debug),
  {
    ...of("wait", 3, ["noscript"], "3.0.0", "", wait),
    summary:
      "Wait for the synchronous replication of all the write commands sent in the context of the current connection",
    group: "generic",
  },
  of(
    ...(["role", 1, ["noscript", ...PLAIN, "fast"], "2.8.12"] as const),
    "Return the role of the instance in the context of replication",
    ({ reply }) => {
      reply.array(3);
      reply.bulk("master");
      reply.integer(0);
      reply.array(0);
    },
  ),
  ...["replicaof", "slaveof"].map((name) =>
    of(
      ...([name, 3, ["admin", "noscript", "stale", "no_async_loading"]] as const),
      name === "slaveof" ? "1.0.0" : "5.0.0",
      "Make the server a replica of another instance, or promote it as master.",
      replicaOf,
    ),
  ),
  of(
    ...(["monitor", 1, ADMIN, "1.0.0"] as const),
    "Listen for all requests received by the server in real time",
    (call) => {
      call.client.isMonitor = true;
      call.reply.ok();
    },
  ),
  container("memory", "4.0.0", "A container for memory diagnostics commands", [
    {
      ...of("usage", -3, ["readonly"], "4.0.0", "Estimate the memory usage of a key", memoryUsage),
      keys: [2, 2, 1],
    },
    of("stats", 2, [], "4.0.0", "Show memory usage details", memoryStats),
    of(
      ...(["doctor", 2, [], "4.0.0", "Outputs memory problems report"] as const),
      answers((reply) => reply.verbatim("Nothing to report.")),
    ),
    of(
      ...(["malloc-stats", 2, [], "4.0.0", "Show allocator internal stats"] as const),
      answers((reply) => reply.verbatim("Stats not supported for the current allocator")),
    ),
    of(
      ...(["purge", 2, [], "4.0.0", "Ask the allocator to release memory"] as const),
      answers((reply) => reply.ok()),
    ),
    helps("MEMORY", "4.0.0", [
      "DOCTOR",
      "    Return memory problems reports.",
      "MALLOC-STATS",
      "    Return internal statistics report from the memory allocator.",
      "PURGE",
      "    Attempt to purge dirty pages for reclamation by the allocator.",
      "STATS",
      "    Return information about the memory usage of the server.",
      "USAGE <key> [SAMPLES <count>]",
      "    Return memory in bytes used by <key> and its value. Nested values are",
      "    sampled up to <count> times (default: 5, 0 means sample all).",
    ]),
  ]),
  container("latency", "2.8.13", "A container for latency diagnostics commands", [
    of(
      ...(["doctor", 2, ADMIN, "2.8.13"] as const),
      "Return a human readable latency analysis report.",
      answers((reply) => reply.verbatim(LATENCY_ADVICE)),
    ),
    of(
      ...(["graph", 3, ADMIN, "2.8.13", "Return a latency graph for the event."] as const),
      (_call, args) => {
        throw new Refusal(`ERR No samples available for event '${args[2]}'`);
      },
    ),
    of(
      ...(["histogram", -2, ADMIN, "7.0.0"] as const),
      "Return the cumulative distribution of latencies of a subset of commands or all.",
      answers((reply) => reply.map(0)),
    ),
    of(
      ...(["history", 3, ADMIN, "2.8.13"] as const),
      "Return timestamp-latency samples for the event.",
      answers((reply) => reply.array(0)),
    ),
    of(
      ...(["latest", 2, ADMIN, "2.8.13"] as const),
      "Return the latest latency samples for all events.",
      answers((reply) => reply.array(0)),
    ),
    of(
      ...(["reset", -2, ADMIN, "2.8.13", "Reset latency data for one or more events."] as const),
      answers((reply) => reply.integer(0)),
    ),
    helps("LATENCY", "2.8.13", [
      "DOCTOR",
      "    Return a human readable latency analysis report.",
      "GRAPH <event>",
      "    Return an ASCII latency graph for the <event> class.",
      "HISTORY <event>",
      "    Return time-latency samples for the <event> class.",
      "LATEST",
      "    Return the latest latency samples for all events.",
      "RESET [<event> ...]",
      "    Reset latency data of one or more <event> classes.",
      "    (default: reset all data for all event classes)",
      "HISTOGRAM [COMMAND ...]",
      "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
      "    If no commands are specified then all histograms are replied.",
    ]),
  ]),
  container("slowlog", "2.2.12", "A container for slow log commands", [
    of("get", -2, WATCHED, "2.2.12", "Get the slow log's entries", slowRequests),
    of("len", 2, WATCHED, "2.2.12", "Get the slow log's length", (call) =>
      call.reply.integer(call.server.slowLog.requests.length),
    ),
    of("reset", 2, WATCHED, "2.2.12", "Clear all entries from the slow log", (call) => {
      call.server.slowLog.clear();
      call.reply.ok();
    }),
    helps("SLOWLOG", "6.2.0", [
      "GET [<count>]",
      "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
      "    Entries are made of:",
      "    id, timestamp, time in microseconds, arguments array, client IP and port,",
      "    client name",
      "LEN",
      "    Return the length of the slowlog.",
      "RESET",
      "    Reset the slowlog.",
    ]),
  ]),
  container("cluster", "3.0.0", "A container for cluster commands", [
    of(
      ...(["keyslot", 3, ["stale"], "3.0.0"] as const),
      "Returns the hash slot of the specified key",
      (call, args) => call.reply.integer(slotOf(args[2] as string)),
    ),
    ofCluster("info", 2, "3.0.0", "Provides info about Redis Cluster node state"),
    ofCluster("myid", 2, "3.0.0", "Return the node id"),
    ofCluster("nodes", 2, "3.0.0", "Get Cluster config for the node"),
    ofCluster("slots", 2, "3.0.0", "Get array of Cluster slot to node mappings"),
    ofCluster("shards", 2, "7.0.0", "Get array of cluster slots to node mappings"),
    ofCluster(
      "countkeysinslot",
      3,
      "3.0.0",
      "Return the number of local keys in the specified hash slot",
    ),
    ofCluster("getkeysinslot", 4, "3.0.0", "Return local key names in the specified hash slot"),
  ]),
  of(
    ...(["lolwut", -1, ["readonly", "fast"], "5.0.0"] as const),
    "Display some computer art and the Redis version",
    answers((reply) => reply.verbatim("~~~ ~~ ~ the tide leaves a mark ~ ~~ ~~~\n")),
  ),
];
