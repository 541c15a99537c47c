/** Commands of channels. What is published goes through the order, so all who listen hear all channels in one order. */

import type { Client } from "../client.ts";
import { type Call, type Command, Refusal } from "../command.ts";
import { matches } from "../glob.ts";
import { help } from "./help.ts";

type Kind = "channel" | "pattern";

const PREFIX = { channel: "", pattern: "p" } as const;

function subscribe(kind: Kind) {
  return ({ client, reply }: Call, args: readonly string[]): void => {
    for (const name of args.slice(1)) {
      client.subscribe(kind, name);
      reply.push(3);
      reply.bulk(`${PREFIX[kind]}subscribe`);
      reply.bulk(name);
      reply.integer(total(client));
    }
  };
}

function unsubscribe(kind: Kind) {
  return ({ client, reply }: Call, args: readonly string[]): void => {
    const has = kind === "channel" ? client.channels : client.patterns;
    const names: (string | undefined)[] = args.length > 1 ? args.slice(1) : [...has];
    // Whoever has none is told so.
    for (const name of names.length > 0 ? names : [undefined]) {
      if (name !== undefined) client.unsubscribe(kind, name);
      reply.push(3);
      reply.bulk(`${PREFIX[kind]}unsubscribe`);
      reply.bulkOrNull(name);
      reply.integer(total(client));
    }
  };
}

const total = ({ channels, patterns }: Client): number => channels.size + patterns.size;

const FLAGS = ["pubsub", "noscript", "loading", "stale"] as const;

export const pubsubCommands: readonly Command[] = [
  {
    name: "publish",
    ...{ arity: 3, flags: ["pubsub", "loading", "stale", "fast"], group: "pubsub" },
    runs: "ordered",
    since: "2.0.0",
    summary: "Post a message to a channel",
    run: (call, args) => call.reply.integer(call.publish(args[1] as string, args[2] as string)),
  },
  {
    ...{ name: "subscribe", arity: -2, flags: FLAGS, group: "pubsub", since: "2.0.0" },
    summary: "Listen for messages published to the given channels",
    run: subscribe("channel"),
  },
  {
    ...{ name: "unsubscribe", arity: -1, flags: FLAGS, group: "pubsub", since: "2.0.0" },
    summary: "Stop listening for messages posted to the given channels",
    run: unsubscribe("channel"),
  },
  {
    ...{ name: "psubscribe", arity: -2, flags: FLAGS, group: "pubsub", since: "2.0.0" },
    summary: "Listen for messages published to channels matching the given patterns",
    run: subscribe("pattern"),
  },
  {
    ...{ name: "punsubscribe", arity: -1, flags: FLAGS, group: "pubsub", since: "2.0.0" },
    summary: "Stop listening for messages posted to channels matching the given patterns",
    run: unsubscribe("pattern"),
  },
  {
    ...{ name: "pubsub", arity: -2, flags: [], group: "pubsub", since: "2.8.0" },
    summary: "A container for Pub/Sub commands",
    run: () => {},
    subcommands: [
      {
        ...{ name: "channels", arity: -2, flags: ["pubsub", "loading", "stale"], group: "pubsub" },
        since: "2.8.0",
        summary: "List active channels",
        run: ({ server, reply }, args) => {
          if (args.length > 3)
            throw new Refusal(
              `ERR unknown subcommand or wrong number of arguments for '${args[1]}'. Try PUBSUB HELP.`,
            );
          const pattern = args[2] ?? "*";
          reply.bulks([...server.channels.keys()].filter((name) => matches(pattern, name)));
        },
      },
      {
        ...{ name: "numsub", arity: -2, flags: ["pubsub", "loading", "stale"], group: "pubsub" },
        since: "2.8.0",
        summary: "Get the count of subscribers for channels",
        run: ({ server, reply }, args) => {
          reply.array(2 * (args.length - 2));
          for (const name of args.slice(2)) {
            reply.bulk(name);
            reply.integer(server.channels.get(name)?.size ?? 0);
          }
        },
      },
      {
        ...{ name: "numpat", arity: 2, flags: ["pubsub", "loading", "stale"], group: "pubsub" },
        since: "2.8.0",
        summary: "Get the count of unique patterns pattern subscriptions",
        run: ({ server, reply }) => reply.integer(server.patterns.size),
      },
      {
        ...{ name: "help", arity: 2, flags: ["loading", "stale"], group: "pubsub" },
        since: "6.2.0",
        summary: "Show helpful text about the different subcommands",
        run: help("PUBSUB", [
          "CHANNELS [<pattern>]",
          "    Return the currently active channels matching a <pattern> (default: '*').",
          "NUMPAT",
          "    Return number of subscriptions to patterns.",
          "NUMSUB [<channel> ...]",
          "    Return the number of subscribers for the specified channels, excluding",
          "    pattern subscriptions(default: no channels).",
        ]),
      },
    ],
  },
];
