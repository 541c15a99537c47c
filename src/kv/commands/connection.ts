/** Commands of connections and of transactions. */

import { indexIn, integerIn } from "../arguments.ts";
import type { Client } from "../client.ts";
import { type Call, type Command, Refusal, SYNTAX } from "../command.ts";
import { DEFAULT_USER } from "../users.ts";
import { help } from "./help.ts";
import { databaseNumber } from "./keys.ts";

const AUTH_FAILED = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD =
  "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";
/** What Tidemark says it is to clients that look: the Redis whose commands it has. */
const REDIS_VERSION = "7.0.15";

function ping(call: Call, args: readonly string[]): void {
  const { client, reply } = call;
  if (args.length > 2) throw new Refusal("ERR wrong number of arguments for 'ping' command");
  const [, text] = args;
  if (!reply.resp3 && client.channels.size + client.patterns.size > 0) {
    reply.array(2);
    reply.bulk("pong");
    reply.bulk(text ?? "");
  } else if (text === undefined) reply.simple("PONG");
  else reply.bulk(text);
}

function signIn({ client }: Call, user: string, password: string): void {
  if (!client.signIn(user, password)) throw new Refusal(AUTH_FAILED);
}

function auth(call: Call, args: readonly string[]): void {
  if (args.length > 3) throw new Refusal(SYNTAX);
  if (args.length === 2 && call.server.users.byDefault.needsNoPassword)
    throw new Refusal(NO_PASSWORD);
  const password = args.at(-1) as string;
  signIn(call, args.length === 3 ? (args[1] as string) : DEFAULT_USER, password);
  call.reply.ok();
}

function checkName(name: string): void {
  if (!/^[!-~]*$/.test(name))
    throw new Refusal("ERR Client names cannot contain spaces, newlines or special characters.");
}

function hello(call: Call, args: readonly string[]): void {
  const { client, reply } = call;
  const [, version] = args;
  if (version !== undefined && !/^-?\d+$/.test(version))
    throw new Refusal("ERR Protocol version is not an integer or out of range");
  if (version !== undefined && version !== "2" && version !== "3")
    throw new Refusal("NOPROTO unsupported protocol version");
  let name: string | undefined;
  for (let i = 2; i < args.length; i += 1) {
    const word = (args[i] as string).toUpperCase();
    if (word === "AUTH" && i + 2 < args.length) {
      signIn(call, args[i + 1] as string, args[i + 2] as string);
      i += 2;
    } else if (word === "SETNAME" && i + 1 < args.length) {
      i += 1;
      name = args[i] as string;
      checkName(name);
    } else throw new Refusal(`ERR Syntax error in HELLO option '${args[i]}'`);
  }
  if (!client.isAuthenticated)
    throw new Refusal(
      "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> " +
        "option can be used to authenticate the client and select the RESP protocol version at the same time",
    );
  if (name !== undefined) client.name = name;
  if (version !== undefined) client.resp3 = version === "3";
  reply.resp3 = client.resp3;
  reply.map(7);
  const facts: readonly (readonly [string, string | number])[] = [
    ["server", "redis"],
    ["version", REDIS_VERSION],
    ["proto", client.resp3 ? 3 : 2],
    ["id", client.id],
    ["mode", "standalone"],
    ["role", "master"],
  ];
  for (const [key, value] of facts) {
    reply.bulk(key);
    if (typeof value === "number") reply.integer(value);
    else reply.bulk(value);
  }
  reply.bulk("modules");
  reply.array(0);
}

function select(call: Call, args: readonly string[]): void {
  call.select(databaseNumber(args[1]));
  call.client.db = call.dbNumber;
  call.reply.ok();
}

/** One line of `CLIENT LIST`. */
export function describeClient(client: Client, nowMs: number): string {
  const seconds = (sinceMs: number): number => Math.max(0, Math.floor((nowMs - sinceMs) / 1000));
  const flags = [
    ...(client.isMonitor ? ["O"] : []),
    ...(client.channels.size + client.patterns.size > 0 ? ["P"] : []),
    ...(client.queued !== undefined ? ["x"] : []),
    ...(client.isBlocked ? ["b"] : []),
    ...(client.noEvict ? ["e"] : []),
  ];
  const fields: readonly (readonly [string, string | number])[] = [
    ["id", client.id],
    ["addr", client.address],
    ["laddr", client.localAddress],
    ["fd", 0],
    ["name", client.name],
    ["age", seconds(client.sinceMs)],
    ["idle", seconds(client.activeMs)],
    ["flags", flags.join("") || "N"],
    ["db", client.db],
    ["sub", client.channels.size],
    ["psub", client.patterns.size],
    ["ssub", 0],
    ["multi", client.queued ?? -1],
    ["qbuf", client.queryBytes],
    ["qbuf-free", 0],
    ["argv-mem", 0],
    ["multi-mem", 0],
    ["rbs", 0],
    ["rbp", 0],
    ["obl", 0],
    ["oll", 0],
    ["omem", client.outputBytes],
    ["tot-mem", client.outputBytes + client.queryBytes],
    ["events", "r"],
    ["cmd", client.lastCommand],
    ["user", client.user],
    ["redir", -1],
    ["resp", client.resp3 ? 3 : 2],
  ];
  return fields.map(([key, value]) => `${key}=${value}`).join(" ");
}

const isPubSub = ({ channels, patterns }: Client): boolean => channels.size + patterns.size > 0;
const typeOfClient = (client: Client): string => (isPubSub(client) ? "pubsub" : "normal");

function clientList(call: Call, args: readonly string[]): void {
  let chosen = [...call.server.clients];
  const word = args[2]?.toUpperCase();
  if (word === "TYPE" && args.length === 4) {
    const type = checkType(args[3] as string);
    chosen = chosen.filter((one) => typeOfClient(one) === type);
  } else if (word === "ID" && args.length > 3) {
    const ids = args.slice(3).map((id) => {
      const number = indexIn(id, "ERR Invalid client ID");
      if (number <= 0) throw new Refusal("ERR Invalid client ID");
      return number;
    });
    chosen = chosen.filter(({ id }) => ids.includes(id));
  } else if (args.length > 2) throw new Refusal(SYNTAX);
  const lines = chosen.map((one) => `${describeClient(one, call.nowMs)}\n`);
  call.reply.verbatim(lines.join(""));
}

function checkType(type: string): string {
  const lower = type.toLowerCase();
  if (["normal", "master", "replica", "slave", "pubsub"].includes(lower)) return lower;
  throw new Refusal(`ERR Unknown client type '${type}'`);
}

function clientKill(call: Call, args: readonly string[]): void {
  const { client, server, reply } = call;
  if (args.length === 3) {
    const count = server.kill(({ address }) => address === args[2]);
    if (count === 0) throw new Refusal("ERR No such client");
    reply.ok();
    return;
  }
  const tests: ((one: Client) => boolean)[] = [];
  let skipsMe = true;
  for (let i = 2; i < args.length; i += 2) {
    const word = (args[i] as string).toUpperCase();
    const value = args[i + 1];
    if (value === undefined) throw new Refusal(SYNTAX);
    if (word === "ID") {
      const id = indexIn(value, "ERR client-id should be greater than 0");
      if (id < 1) throw new Refusal("ERR client-id should be greater than 0");
      tests.push((one) => one.id === id);
    } else if (word === "ADDR") tests.push(({ address }) => address === value);
    else if (word === "LADDR") tests.push(({ localAddress }) => localAddress === value);
    else if (word === "USER") tests.push(({ user }) => user === value);
    else if (word === "TYPE") {
      const type = checkType(value);
      tests.push((one) => typeOfClient(one) === type);
    } else if (word === "SKIPME" && /^(yes|no)$/i.test(value))
      skipsMe = value.toLowerCase() === "yes";
    else throw new Refusal(SYNTAX);
  }
  reply.integer(
    server.kill((one) => !(skipsMe && one.id === client.id) && tests.every((fits) => fits(one))),
  );
}

function clientReply(call: Call, args: readonly string[]): void {
  const word = (args[2] as string).toUpperCase();
  if (word === "ON") {
    call.client.silence = "none";
    call.reply.ok();
  } else if (word === "OFF") call.client.silence = "all";
  else if (word === "SKIP") {
    if (call.client.silence === "none") call.client.silence = "next";
  } else throw new Refusal(SYNTAX);
}

function clientUnblock(call: Call, args: readonly string[]): void {
  const mode = args[3]?.toUpperCase() ?? "TIMEOUT";
  if ((mode !== "TIMEOUT" && mode !== "ERROR") || args.length > 4)
    throw new Refusal("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
  const id = Number(integerIn(args[2]));
  call.reply.integer(call.server.unblock(id, mode === "ERROR") ? 1 : 0);
}

function clientSetName(call: Call, args: readonly string[]): void {
  checkName(args[2] as string);
  call.client.name = args[2] as string;
  call.reply.ok();
}

function clientNoEvict(call: Call, args: readonly string[]): void {
  const word = (args[2] as string).toUpperCase();
  if (word !== "ON" && word !== "OFF") throw new Refusal(SYNTAX);
  call.client.noEvict = word === "ON";
  call.reply.ok();
}

function clientPause(call: Call, args: readonly string[]): void {
  const mode = args[3]?.toUpperCase() ?? "ALL";
  if (args.length > 4)
    throw new Refusal(
      `ERR unknown subcommand or wrong number of arguments for '${args[1]}'. Try CLIENT HELP.`,
    );
  if (mode !== "WRITE" && mode !== "ALL")
    throw new Refusal("ERR CLIENT PAUSE mode must be WRITE or ALL");
  const ms = indexIn(args[2], "ERR timeout is not an integer or out of range");
  if (ms < 0) throw new Refusal("ERR timeout is negative");
  call.server.pause(call.nowMs + ms, mode === "WRITE");
  call.reply.ok();
}

function clientTracking(call: Call, args: readonly string[]): void {
  const word = (args[2] as string).toUpperCase();
  if ((word !== "ON" && word !== "OFF") || (word === "OFF" && args.length > 3))
    throw new Refusal(SYNTAX);
  if (word === "ON")
    throw new Refusal(
      "ERR CLIENT TRACKING is not supported by Tidemark: it does not note which client has read what",
    );
  call.reply.ok();
}

function trackingInfo({ reply }: Call): void {
  reply.map(3);
  reply.bulk("flags");
  reply.set(1);
  reply.bulk("off");
  reply.bulk("redirect");
  reply.integer(-1);
  reply.bulk("prefixes");
  reply.array(0);
}

const FAST = ["noscript", "loading", "stale", "fast"] as const;
const ADMIN = ["admin", "noscript", "loading", "stale"] as const;
const PLAIN = ["noscript", "loading", "stale"] as const;

export const connectionCommands: readonly Command[] = [
  {
    ...{ name: "ping", arity: -1, flags: ["fast"], group: "connection", since: "1.0.0" },
    summary: "Ping the server",
    run: ping,
  },
  {
    ...{
      name: "echo",
      arity: 2,
      flags: ["loading", "stale", "fast"],
      group: "connection",
      since: "1.0.0",
    },
    summary: "Echo the given string",
    run: (call, args) => call.reply.bulk(args[1] as string),
  },
  {
    name: "auth",
    ...{ arity: -2, flags: [...FAST, "no_auth", "allow_busy"], group: "connection" },
    since: "1.0.0",
    summary: "Authenticate to the server",
    run: auth,
  },
  {
    name: "hello",
    ...{ arity: -1, flags: [...FAST, "no_auth", "allow_busy"], group: "connection" },
    since: "6.0.0",
    summary: "Handshake with Redis",
    run: hello,
  },
  {
    name: "select",
    ...{ arity: 2, flags: ["loading", "stale", "fast"], group: "connection", since: "1.0.0" },
    runs: "everywhere",
    summary: "Change the selected database for the current connection",
    run: select,
  },
  {
    name: "reset",
    ...{ arity: 1, flags: [...FAST, "no_auth", "allow_busy"], group: "connection" },
    since: "6.2.0",
    summary: "Reset the connection",
    run: (call) => {
      call.client.reset();
      call.reply.resp3 = false;
      call.reply.simple("RESET");
    },
  },
  {
    name: "quit",
    ...{ arity: -1, flags: [...FAST, "no_auth", "allow_busy"], group: "connection" },
    since: "1.0.0",
    summary: "Close the connection",
    run: (call) => {
      call.reply.ok();
      call.client.close();
    },
  },
  {
    name: "multi",
    ...{ arity: 1, flags: [...FAST, "allow_busy"], group: "transactions" },
    since: "1.2.0",
    summary: "Mark the start of a transaction block",
    run: (call) => {
      call.client.multi();
      call.reply.ok();
    },
  },
  {
    name: "exec",
    ...{ arity: 1, flags: [...PLAIN, "skip_slowlog"], group: "transactions" },
    since: "1.2.0",
    summary: "Execute all commands issued after MULTI",
    // Within a transaction the server does it.
    run: () => {
      throw new Refusal("ERR EXEC without MULTI");
    },
  },
  {
    name: "discard",
    ...{ arity: 1, flags: [...FAST, "allow_busy"], group: "transactions", since: "2.0.0" },
    summary: "Discard all commands issued after MULTI",
    run: (call) => {
      if (call.client.queued === undefined) throw new Refusal("ERR DISCARD without MULTI");
      call.client.discard();
      call.reply.ok();
    },
  },
  {
    name: "watch",
    ...{ arity: -2, flags: [...FAST, "allow_busy"], group: "transactions" },
    keys: [1, -1, 1],
    runs: "ordered",
    since: "2.2.0",
    summary: "Watch the given keys to determine execution of the MULTI/EXEC block",
    run: (call, args) => {
      for (let i = 1; i < args.length; i += 1) call.watch(args[i] as string);
      call.reply.ok();
    },
  },
  {
    name: "unwatch",
    ...{ arity: 1, flags: [...FAST, "allow_busy"], group: "transactions", since: "2.2.0" },
    runs: "ordered",
    summary: "Forget about all watched keys",
    run: (call) => {
      call.unwatch();
      call.reply.ok();
    },
  },
  {
    ...{ name: "client", arity: -2, flags: [], group: "connection", since: "2.4.0" },
    summary: "A container for client connection commands",
    run: () => {},
    subcommands: [
      {
        ...{ name: "id", arity: 2, flags: PLAIN, group: "connection", since: "5.0.0" },
        summary: "Returns the client ID for the current connection",
        run: (call) => call.reply.integer(call.client.id),
      },
      {
        ...{ name: "getname", arity: 2, flags: PLAIN, group: "connection", since: "2.6.9" },
        summary: "Get the current connection name",
        run: (call) => call.reply.bulkOrNull(call.client.name || undefined),
      },
      {
        ...{ name: "setname", arity: 3, flags: PLAIN, group: "connection", since: "2.6.9" },
        summary: "Set the current connection name",
        run: clientSetName,
      },
      {
        ...{ name: "info", arity: 2, flags: PLAIN, group: "connection", since: "6.2.0" },
        summary: "Returns information about the current client connection.",
        run: (call) => call.reply.verbatim(`${describeClient(call.client, call.nowMs)}\n`),
      },
      {
        ...{ name: "list", arity: -2, flags: ADMIN, group: "connection", since: "2.4.0" },
        summary: "Get the list of client connections",
        run: clientList,
      },
      {
        ...{ name: "kill", arity: -3, flags: ADMIN, group: "connection", since: "2.4.0" },
        summary: "Kill the connection of a client",
        run: clientKill,
      },
      {
        ...{ name: "reply", arity: 3, flags: PLAIN, group: "connection", since: "3.2.0" },
        summary: "Instruct the server whether to reply to commands",
        run: clientReply,
      },
      {
        ...{ name: "unblock", arity: -3, flags: ADMIN, group: "connection", since: "5.0.0" },
        summary: "Unblock a client blocked in a blocking command from a different connection",
        run: clientUnblock,
      },
      {
        ...{ name: "no-evict", arity: 3, flags: ADMIN, group: "connection", since: "7.0.0" },
        summary: "Set client eviction mode for the current connection",
        run: clientNoEvict,
      },
      {
        ...{ name: "pause", arity: -3, flags: ADMIN, group: "connection", since: "2.9.50" },
        summary: "Stop processing commands from clients for some time",
        run: clientPause,
      },
      {
        ...{ name: "unpause", arity: 2, flags: ADMIN, group: "connection", since: "6.2.0" },
        summary: "Resume processing of clients that were paused",
        run: (call) => {
          call.server.unpause();
          call.reply.ok();
        },
      },
      {
        ...{ name: "tracking", arity: -3, flags: PLAIN, group: "connection", since: "6.0.0" },
        summary: "Enable or disable server assisted client side caching support",
        run: clientTracking,
      },
      {
        ...{ name: "trackinginfo", arity: 2, flags: PLAIN, group: "connection", since: "6.2.0" },
        summary:
          "Return information about server assisted client side caching for the current connection",
        run: trackingInfo,
      },
      {
        ...{ name: "caching", arity: 3, flags: PLAIN, group: "connection", since: "6.0.0" },
        summary: "Instruct the server about tracking or not keys in the next request",
        run: () => {
          throw new Refusal(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
          );
        },
      },
      {
        ...{ name: "getredir", arity: 2, flags: PLAIN, group: "connection", since: "6.0.0" },
        summary: "Get tracking notifications redirection client ID if any",
        run: (call) => call.reply.integer(-1),
      },
      {
        ...{ name: "help", arity: 2, flags: ["loading", "stale"], group: "connection" },
        since: "5.0.0",
        summary: "Show helpful text about the different subcommands",
        run: help("CLIENT", [
          "GETNAME",
          "    Return the name of the current connection.",
          "ID",
          "    Return the ID of the current connection.",
          "INFO",
          "    Return information about the current client connection.",
          "KILL <ip:port>|<option> ...",
          "    Kill connections.",
          "LIST [options ...]",
          "    Return information about client connections.",
          "UNPAUSE",
          "    Stop the current client pause, resuming traffic.",
          "PAUSE <timeout> [WRITE|ALL]",
          "    Suspend all, or just write, clients for <timeout> milliseconds.",
          "REPLY (ON|OFF|SKIP)",
          "    Control the replies sent to the current connection.",
          "SETNAME <name>",
          "    Assign the name <name> to the current connection.",
          "UNBLOCK <clientid> [TIMEOUT|ERROR]",
          "    Unblock the specified blocked client.",
          "NO-EVICT (ON|OFF)",
          "    Protect current client connection from eviction.",
        ]),
      },
    ],
  },
];
