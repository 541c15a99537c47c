/** Commands about the server. */

import { indexIn } from "../arguments.ts";
import {
  type Call,
  type Command,
  fitsArity,
  type KnownCommand,
  keyPlaces,
  Refusal,
  SYNTAX,
} from "../command.ts";
import { matches } from "../glob.ts";
import type { Reply } from "../reply.ts";
import { slotOf } from "../slot.ts";
import { help } from "./connection.ts";

// COMMAND.

/** The first, the last and the step of its keys, as `COMMAND INFO` has them; of keys that depend on the words, zeros. */
function keyNumbers({ keys }: Command): readonly [number, number, number] {
  if (keys === undefined || typeof keys === "function") return [0, 0, 0];
  return keys;
}

function categories({ flags, group }: Command): readonly string[] {
  const has = (flag: Command["flags"][number]): boolean => flags.includes(flag);
  const ofGroup: Readonly<Record<Command["group"], readonly string[]>> = {
    ...{ string: ["string"], bitmap: ["bitmap"], list: ["list"], hash: ["hash"], set: ["set"] },
    ...{ "sorted-set": ["sortedset"], generic: ["keyspace"], transactions: ["transaction"] },
    ...{ pubsub: ["pubsub"], connection: ["connection"], server: [], tidemark: [] },
  };
  return [
    ...(has("write") ? ["write"] : []),
    ...(has("readonly") ? ["read"] : []),
    ...ofGroup[group],
    ...(has("admin") ? ["admin", "dangerous"] : []),
    has("fast") ? "fast" : "slow",
    ...(has("blocking") ? ["blocking"] : []),
  ];
}

function info(reply: Reply, command: KnownCommand, container: string | undefined): void {
  const { name, arity, flags, subcommands = [] } = command;
  reply.array(10);
  reply.bulk(container === undefined ? name : `${container}|${name}`);
  reply.integer(arity);
  const all = [...flags, ...(typeof command.keys === "function" ? ["movablekeys"] : [])];
  reply.set(all.length);
  for (const flag of all) reply.simple(flag);
  for (const number of keyNumbers(command)) reply.integer(number);
  const acl = categories(command);
  reply.set(acl.length);
  for (const category of acl) reply.simple(`@${category}`);
  reply.array(0);
  reply.array(0);
  reply.array(subcommands.length);
  for (const subcommand of subcommands) info(reply, subcommand, name);
}

function docs(reply: Reply, command: KnownCommand, container: string | undefined): void {
  const { name, summary, since, group, complexity, subcommands = [] } = command;
  reply.bulk(container === undefined ? name : `${container}|${name}`);
  const facts: readonly (readonly [string, string])[] = [
    ["summary", summary],
    ["since", since],
    ["group", group],
    ...(complexity === undefined ? [] : [["complexity", complexity] as const]),
  ];
  reply.map(facts.length + (subcommands.length > 0 ? 1 : 0));
  for (const [key, value] of facts) {
    reply.bulk(key);
    reply.bulk(value);
  }
  if (subcommands.length === 0) return;
  reply.bulk("subcommands");
  reply.map(subcommands.length);
  for (const subcommand of subcommands) docs(reply, subcommand, name);
}

/** Of a name such as `config|get`. */
function named(call: Call, name: string): KnownCommand | undefined {
  const [container = "", subname] = name.split("|");
  const command = call.server.command(container);
  if (subname === undefined) return command;
  return command?.subcommands?.find((one) => one.name === subname.toLowerCase());
}

const containerOf = (name: string): string | undefined =>
  name.includes("|") ? name.split("|")[0]?.toLowerCase() : undefined;

function commandInfo(call: Call, names: readonly string[]): void {
  call.reply.array(names.length);
  for (const name of names) {
    const command = named(call, name);
    if (command) info(call.reply, command, containerOf(name));
    else call.reply.nullArray();
  }
}

const namesOf = (call: Call): string[] => call.server.commands.map(({ name }) => name);

function commandDocs(call: Call, args: readonly string[]): void {
  const names = args.length > 2 ? args.slice(2) : namesOf(call);
  const known = names.filter((name) => named(call, name));
  call.reply.map(known.length);
  for (const name of known) docs(call.reply, named(call, name) as KnownCommand, containerOf(name));
}

function commandList(call: Call, args: readonly string[]): void {
  let chosen = [...call.server.commands];
  if (args.length > 2) {
    const [, , filter, by, value = ""] = args;
    const kind = by?.toUpperCase();
    if (filter?.toUpperCase() !== "FILTERBY" || args.length !== 5) throw new Refusal(SYNTAX);
    if (kind === "PATTERN") chosen = chosen.filter(({ name }) => matches(value, name, true));
    else if (kind === "ACLCAT")
      chosen = chosen.filter((one) => categories(one).includes(value.toLowerCase()));
    else if (kind === "MODULE") chosen = [];
    else throw new Refusal(SYNTAX);
  }
  call.reply.bulks(chosen.map(({ name }) => name));
}

function getKeys(call: Call, args: readonly string[]): void {
  const words = args.slice(2);
  const command = call.server.command(words[0] as string);
  if (!command) throw new Refusal("ERR Invalid command specified");
  if (command.keys === undefined) throw new Refusal("ERR The command has no key arguments");
  if (!fitsArity(command, words.length))
    throw new Refusal("ERR Invalid number of arguments specified for command");
  const places = keyPlaces(command, words);
  if (places.length === 0 || places.some((place) => place >= words.length))
    throw new Refusal("ERR Invalid arguments specified for command");
  call.reply.bulks(places.map((place) => words[place] as string));
}

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
  if (args.length % 2 !== 0)
    throw new Refusal("ERR wrong number of arguments for 'config|set' command");
  const settings = new Map<string, string>();
  for (let i = 2; i < args.length; i += 2) {
    const name = args[i] as string;
    if (settings.has(name))
      throw new Refusal(
        `ERR CONFIG SET failed (possibly related to argument '${name}') - duplicate parameter`,
      );
    settings.set(name, args[i + 1] as string);
  }
  call.server.configure(settings);
  call.reply.ok();
}

// Others.

function time({ reply, nowMs }: Call): void {
  const seconds = Math.floor(nowMs / 1000);
  reply.bulks([String(seconds), String((nowMs - seconds * 1000) * 1000)]);
}

function save(call: Call): void {
  if (!call.server.snapshot()) throw new Refusal("ERR Background save already in progress");
  call.reply.simple("Background saving started");
}

function debug(call: Call, args: readonly string[]): void {
  if (args[1]?.toUpperCase() !== "SLEEP" || args.length !== 3)
    throw new Refusal("ERR DEBUG has SLEEP and nothing else here");
  const seconds = Number(args[2]);
  if (!(seconds >= 0 && seconds <= 60)) throw new Refusal("ERR DEBUG SLEEP takes 0 to 60 seconds");
  call.server.sleep(seconds * 1000);
  call.reply.ok();
}

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

/** About what a key takes beside its text and its value. */
const KEY_BYTES = 64;

/** What Redis has and the store has not, with why. */
const ABSENT: readonly (readonly [reason: string, names: readonly string[]])[] = [
  [
    "scripts and functions are not supported",
    ["eval", "evalsha", "eval_ro", "evalsha_ro", "script", "fcall", "fcall_ro", "function"],
  ],
  [
    "streams are not supported",
    [
      ...["xadd", "xack", "xautoclaim", "xclaim", "xdel", "xgroup", "xinfo", "xlen", "xpending"],
      ...["xrange", "xread", "xreadgroup", "xrevrange", "xsetid", "xtrim"],
    ],
  ],
  [
    "geographic indexes are not supported",
    [
      ...[
        "geoadd",
        "geodist",
        "geohash",
        "geopos",
        "georadius",
        "georadius_ro",
        "georadiusbymember",
      ],
      ...["georadiusbymember_ro", "geosearch", "geosearchstore"],
    ],
  ],
  ["HyperLogLog is not supported", ["pfadd", "pfcount", "pfdebug", "pfmerge", "pfselftest"]],
  ["modules are not supported", ["module"]],
  [
    "values of Redis' own format are not supported",
    ["dump", "restore", "restore-asking", "migrate"],
  ],
  [
    "replicas are processes of the system, and it is run by tidemark",
    ["replicaof", "slaveof", "failover", "psync", "sync", "replconf", "shutdown", "bgrewriteaof"],
  ],
];

const absent = ABSENT.flatMap(([reason, names]) =>
  names.map(
    (name): Command => ({
      ...{ name, arity: -1, flags: ["noscript"], group: "server", since: "1.0.0" },
      summary: `Not supported: ${reason}`,
      run: () => {
        throw new Refusal(`ERR ${name.toUpperCase()} is not supported by Tidemark: ${reason}`);
      },
    }),
  ),
);

const PLAIN = ["loading", "stale"] as const;
const ADMIN = ["admin", "noscript", "loading", "stale"] as const;

const of = (
  name: string,
  arity: number,
  flags: Command["flags"],
  since: string,
  summary: string,
  run: Command["run"],
  subcommands?: readonly Command[],
): Command => ({
  ...{ name, arity, flags, group: "server", since, summary, run },
  ...(subcommands && { subcommands }),
});

const nothing = (): void => {};
const answers =
  (write: (reply: Reply) => void): Command["run"] =>
  ({ reply }) =>
    write(reply);

export const serverCommands: readonly Command[] = [
  {
    // Alone, it is a command of its own.
    ...of("command", -1, PLAIN, "2.8.13", "Get array of Redis command details", nothing),
    run(call, args) {
      if (args.length === 1) {
        commandInfo(call, namesOf(call));
        return;
      }
      const subcommand = COMMAND.find(({ name }) => name === args[1]?.toLowerCase());
      if (!subcommand)
        throw new Refusal(`ERR unknown subcommand '${args[1]?.slice(0, 128)}'. Try COMMAND HELP.`);
      if (!fitsArity(subcommand, args.length))
        throw new Refusal(`ERR wrong number of arguments for 'command|${subcommand.name}' command`);
      subcommand.run(call, args);
    },
  },
  of("info", -1, PLAIN, "1.0.0", "Get information and statistics about the server", serverInfo),
  of("config", -2, [], "2.0.0", "A container for server configuration commands", nothing, [
    of("get", -3, ADMIN, "2.0.0", "Get the values of configuration parameters", configGet),
    of("set", -4, ADMIN, "2.0.0", "Set configuration parameters to the given values", configSet),
    of("resetstat", 2, ADMIN, "2.0.0", "Reset the stats returned by INFO", (call) => {
      call.server.resetStatistics();
      call.reply.ok();
    }),
    of(
      "rewrite",
      2,
      ADMIN,
      "2.8.0",
      "Rewrite the configuration file with the in memory configuration",
      () => {
        throw new Refusal("ERR The server is running without a config file");
      },
    ),
    of(
      ...([
        "help",
        2,
        PLAIN,
        "5.0.0",
        "Show helpful text about the different subcommands",
      ] as const),
      help("CONFIG", [
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
      ]),
    ),
  ]),
  of("time", 1, [...PLAIN, "fast"], "2.6.0", "Return the current server time", time),
  of(
    "lastsave",
    1,
    [...PLAIN, "fast"],
    "1.0.0",
    "Get the UNIX time stamp of the last successful save to disk",
    (call) => call.reply.integer(Math.floor(call.server.snapshotMs / 1000)),
  ),
  of("bgsave", -1, ["admin", "noscript"], "1.0.0", "Asynchronously save the dataset to disk", save),
  of("save", 1, ["admin", "noscript"], "1.0.0", "Synchronously save the dataset to disk", () => {
    throw new Refusal(
      "ERR SAVE would stop everything until it is done: use BGSAVE, and LASTSAVE to see that it is",
    );
  }),
  of("debug", -2, ADMIN, "1.0.0", "A container for debugging commands", debug),
  of(
    "wait",
    3,
    ["noscript"],
    "3.0.0",
    "Wait for the synchronous replication of all the write commands sent in the context of the current connection",
    (call, args) => {
      if (indexIn(args[2], "ERR timeout is not an integer or out of range") < 0)
        throw new Refusal("ERR timeout is negative");
      indexIn(args[1]);
      call.reply.integer(0);
    },
  ),
  of(
    "role",
    1,
    [...PLAIN, "fast", "noscript"],
    "2.8.12",
    "Return the role of the instance in the context of replication",
    ({ reply }) => {
      reply.array(3);
      reply.bulk("master");
      reply.integer(0);
      reply.array(0);
    },
  ),
  of("memory", -2, [], "4.0.0", "A container for memory diagnostics commands", nothing, [
    {
      ...of("usage", -3, ["readonly"], "4.0.0", "Estimate the memory usage of a key", memoryUsage),
      keys: [2, 2, 1],
    },
    of(
      "doctor",
      2,
      [],
      "4.0.0",
      "Outputs memory problems report",
      answers((reply) => reply.verbatim("Nothing to report.")),
    ),
    of(
      "purge",
      2,
      [],
      "4.0.0",
      "Ask the allocator to release memory",
      answers((reply) => reply.ok()),
    ),
  ]),
  of("latency", -2, [], "2.8.13", "A container for latency diagnostics commands", nothing, [
    of(
      "latest",
      2,
      ADMIN,
      "2.8.13",
      "Return the latest latency samples for all events.",
      answers((reply) => reply.array(0)),
    ),
    of(
      "history",
      3,
      ADMIN,
      "2.8.13",
      "Return timestamp-latency samples for the event.",
      answers((reply) => reply.array(0)),
    ),
    of(
      "reset",
      -2,
      ADMIN,
      "2.8.13",
      "Reset latency data for one or more events.",
      answers((reply) => reply.integer(0)),
    ),
  ]),
  of("slowlog", -2, [], "2.2.12", "A container for slow log commands", nothing, [
    of(
      "get",
      -2,
      ADMIN,
      "2.2.12",
      "Get the slow log's entries",
      answers((reply) => reply.array(0)),
    ),
    of(
      "len",
      2,
      ADMIN,
      "2.2.12",
      "Get the slow log's length",
      answers((reply) => reply.integer(0)),
    ),
    of(
      "reset",
      2,
      ADMIN,
      "2.2.12",
      "Clear all entries from the slow log",
      answers((reply) => reply.ok()),
    ),
  ]),
  of("cluster", -2, [], "3.0.0", "A container for cluster commands", nothing, [
    of(
      "keyslot",
      3,
      ["stale"],
      "3.0.0",
      "Returns the hash slot of the specified key",
      (call, args) => call.reply.integer(slotOf(args[2] as string)),
    ),
    of("info", 2, ["stale"], "3.0.0", "Provides info about Redis Cluster node state", () => {
      throw new Refusal("ERR This instance has cluster support disabled");
    }),
  ]),
  of(
    "lolwut",
    -1,
    ["readonly", "fast"],
    "5.0.0",
    "Display some computer art and the Redis version",
    answers((reply) => reply.verbatim("~~~ ~~ ~ the tide leaves a mark ~ ~~ ~~~\n")),
  ),
  ...absent,
];

const COMMAND: readonly Command[] = [
  of("count", 2, PLAIN, "2.8.13", "Get total number of Redis commands", (call) =>
    call.reply.integer(call.server.commands.length),
  ),
  of("info", -2, PLAIN, "2.8.13", "Get array of specific Redis command details", (call, args) =>
    commandInfo(call, args.length > 2 ? args.slice(2) : namesOf(call)),
  ),
  of("docs", -2, PLAIN, "7.0.0", "Get array of specific Redis command documentation", commandDocs),
  of("list", -2, PLAIN, "7.0.0", "Get an array of Redis command names", commandList),
  of("getkeys", -4, PLAIN, "2.8.13", "Extract keys given a full Redis command", getKeys),
];
