/** What only this store has: reads in the order, tokens that carry what a client knows to another replica, snapshots and restores. */

import { rangeIn } from "../arguments.ts";
import { type Call, type Command, type CommandFlag, Refusal, SYNTAX } from "../command.ts";
import type { Reply } from "../reply.ts";
import { help } from "./help.ts";

/** A place of the order, as clients carry it: the epoch, and how many records have been done in it. */
const TOKEN = /^(\d{1,15})-(\d{1,15})$/;
const BAD_TOKEN = "ERR not a token: TIDEMARK TOKEN gives one";
const SAVING = "ERR Background save already in progress";
const LABEL_CHARACTERS = 256;
const SHOWN = 10;

/** A fact of a reply: its name, and a text, a number, or several texts. */
type Fact = readonly [name: string, value: string | number | readonly string[]];

function writeFacts(reply: Reply, facts: readonly Fact[]): void {
  reply.map(facts.length);
  for (const [name, value] of facts) {
    reply.bulk(name);
    if (typeof value === "string") reply.bulk(value);
    else if (typeof value === "number") reply.integer(value);
    else reply.bulks(value);
  }
}

function read({ client, reply }: Call, args: readonly string[]): void {
  const [, , how] = args.map((word) => word.toLowerCase());
  if (how === undefined) reply.bulk(client.readsInOrder ? "linearizable" : "local");
  else if (how !== "local" && how !== "linearizable") throw new Refusal(SYNTAX);
  else {
    client.readsInOrder = how === "linearizable";
    reply.ok();
  }
}

function token({ server, reply }: Call): void {
  reply.bulk(`${server.system.epoch}-${server.system.records}`);
}

function after({ client, server, reply }: Call, args: readonly string[]): void {
  const [, epoch, records] = TOKEN.exec(args[2] as string) ?? [];
  if (epoch === undefined) throw new Refusal(BAD_TOKEN);
  const most = 2 ** 31 - 1;
  const timeoutMs = args.length > 3 ? rangeIn(args[3], 0, most, "ERR timeout is out of range") : 0;
  const place = { epoch: Number(epoch), records: Number(records) };
  const { system } = server;
  if (system.epoch === place.epoch && system.records >= place.records) {
    reply.ok();
    return;
  }
  const answer = client.answerLater();
  system.whenDone(client, place, timeoutMs, (problem) =>
    answer((late) => {
      if (problem === undefined) late.ok();
      else late.error(problem);
    }),
  );
}

function snapshot(call: Call, args: readonly string[]): void {
  const label = args[2];
  if (label !== undefined && (label === "" || label.length > LABEL_CHARACTERS))
    throw new Refusal(`ERR a label has 1 to ${LABEL_CHARACTERS} characters`);
  if (call.server.isSaving) throw new Refusal(SAVING);
  later(call, call.server.snapshot(label), (reply, id) => reply.bulk(id));
}

/** Has the reply come once something is known. */
function later<T>(
  { client }: Call,
  known: Promise<T>,
  write: (reply: Reply, of: T) => void,
  until?: "answered",
): void {
  const answer = client.answerLater(until);
  known.then(
    (of) => answer((reply) => write(reply, of)),
    (problem: unknown) => answer((reply) => reply.error(failure(problem))),
  );
}

/** As a reply has it: with a code, in one line. */
function failure(problem: unknown): string {
  const { code, message } = problem as { readonly code?: unknown; readonly message?: unknown };
  return `${typeof code === "string" ? code : "ERR"} ${message}`.replace(/[\r\n]+/g, " ");
}

function snapshots(call: Call, args: readonly string[]): void {
  const count = args.length > 2 ? rangeIn(args[2], 1, 2 ** 31 - 1) : SHOWN;
  later(call, call.server.system.snapshots(count), (reply, found) => {
    reply.array(found.length);
    for (const { id, label, epoch, startedAtMs, processes, inFlight, bytes } of found)
      writeFacts(reply, [
        ["id", id],
        ["label", label ?? ""],
        ["epoch", epoch],
        ["time", startedAtMs],
        ["processes", processes],
        ["in-flight", inFlight],
        ["bytes", bytes],
      ]);
  });
}

function restore(call: Call, args: readonly string[]): void {
  later(
    ...([call, call.server.system.restore(args[2] as string)] as const),
    (reply, { snapshot: id, epoch, absent, proof, reason }) =>
      writeFacts(reply, [
        ["snapshot", id],
        ["epoch", epoch],
        ["absent", absent],
        ["proof", proof ?? ""],
        ["reason", reason ?? ""],
      ]),
    "answered",
  );
}

function explain(call: Call, args: readonly string[]): void {
  const name = args[2];
  if (name === undefined) call.reply.bulks(call.server.system.explain());
  else
    later(call, call.server.system.attempt(name), (reply, found) => {
      if (!found) {
        reply.error("NOT_FOUND no such attempt at a snapshot is noted");
        return;
      }
      const { snapshot: id, initiator, label, startedAtMs, outcome, tookMs, reason, waits } = found;
      writeFacts(reply, [
        ["id", id ?? ""],
        ["label", label ?? ""],
        ["initiator", initiator],
        ["time", Math.floor(startedAtMs)],
        ["outcome", outcome],
        ["milliseconds", Math.round(tookMs ?? 0)],
        ["reason", reason ?? ""],
        [
          "waits",
          waits.map(({ process, waitsFor }) => `${process} waits for ${waitsFor.join(" and ")}`),
        ],
      ]);
    });
}

function status({ server: { system }, client, reply }: Call): void {
  writeFacts(reply, [
    ["process", system.process],
    ["epoch", system.epoch],
    ["records", system.records],
    ["order", "total"],
    ["namespaces", system.namespaces],
    ["unsettled", system.unsettled],
    ["reads", client.readsInOrder ? "linearizable" : "local"],
    ["replicas", system.replicas],
    ["absent", system.absent],
    ["waits", system.explain()],
  ]);
}

const FLAGS: readonly CommandFlag[] = ["loading", "stale", "noscript", "no_multi"];

const of = (
  name: string,
  arity: number,
  summary: string,
  run: Command["run"],
  flags: readonly CommandFlag[] = FLAGS,
): Command => ({ name, arity, flags, group: "tidemark", since: "7.0.0", summary, run });

const ADMIN: readonly CommandFlag[] = ["admin", ...FLAGS];

/** Of a command with a word that may be left out, and one more at the most. */
const upTo =
  (words: number, run: Command["run"]): Command["run"] =>
  (call, args) => {
    if (args.length > words) throw new Refusal(SYNTAX);
    run(call, args);
  };

export const tidemarkCommands: readonly Command[] = [
  {
    ...of("tidemark", -2, "A container for what only Tidemark's store has", () => {}),
    subcommands: [
      of("read", -2, "Get or set whether reads of this connection are in the order", upTo(3, read)),
      of("token", 2, "Get what this connection knows, for another replica", token),
      of("after", -3, "Wait until this replica knows what a token stands for", upTo(4, after)),
      of("snapshot", -2, "Take a global snapshot, and wait for it", upTo(3, snapshot), ADMIN),
      of("snapshots", -2, "List global snapshots, the newest first", upTo(3, snapshots), ADMIN),
      of("restore", 3, "Have all replicas go back to a snapshot", restore, ADMIN),
      of("explain", -2, "Say what waits here, or what came of a snapshot", upTo(3, explain), ADMIN),
      of("status", 2, "Get how this replica is", status),
      of(
        ...(["help", 2, "Show helpful text about the different subcommands"] as const),
        help("TIDEMARK", [
          "READ [LOCAL|LINEARIZABLE]",
          "    Return or set how this connection reads: what this replica has, or in the order",
          "    of all writes.",
          "TOKEN",
          "    Return a token of all that this connection may have seen.",
          "AFTER <token> [<milliseconds>]",
          "    Wait until this replica has all that the token stands for, no longer than that",
          "    (default: 0, for ever).",
          "SNAPSHOT [<label>]",
          "    Take a global snapshot of all replicas; return its id once it is complete.",
          "SNAPSHOTS [<count>]",
          `    List snapshots, the newest first (default: ${SHOWN}).`,
          "RESTORE <id>",
          "    Have all replicas go back to a snapshot, in a new epoch.",
          "EXPLAIN [<id>|<label>|LATEST]",
          "    Return what waits at this replica, and for what; or what came of an attempt at",
          "    a snapshot.",
          "STATUS",
          "    Return how this replica is.",
        ]),
      ),
    ],
  },
];
