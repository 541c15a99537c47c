/** `tidemark chat`: people in a group, each at a process of their own, with the order of messages for everybody to see. */

import { resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import { checkProcessId, isProcessId, type ProcessId } from "../core/id.ts";
import { ORDER_LEVELS, type OrderLevel } from "../core/order-level.ts";
import { tcpTransport } from "../runtime/tcp-transport.ts";
import { type ChatEvent, chatLines } from "./chat-event.ts";
import { ChatScreen } from "./chat-screen.ts";
import { ChatSession } from "./chat-session.ts";
import {
  type Address,
  directoryOption,
  jsonOption,
  PORT_MAX,
  pair,
  parseAddress,
  parseDuration,
  parsePeer,
  parseTimeout,
  wholeNumber,
} from "./options.ts";
import { stopSignal } from "./stop-signal.ts";
import { type KeyOptions, keyOption, openStore } from "./store.ts";
import { painter } from "./terminal.ts";
import { checkTlsFiles, type TlsFileOptions, tlsFiles, tlsOption } from "./tls-files.ts";

/** The options as commander gives them. */
interface ChatOptions extends KeyOptions, TlsFileOptions {
  readonly id: string;
  readonly members?: readonly ProcessId[];
  readonly host: string;
  readonly port: number;
  readonly listen?: Address;
  readonly peer: Readonly<Record<ProcessId, string>>;
  readonly order: OrderLevel;
  readonly total: "sequencer" | "agreed";
  readonly delay: Readonly<Record<ProcessId, number>>;
  readonly askAfter: number;
  readonly dir: string;
  readonly json?: true;
}

/** Who talks, if nothing else is said. */
const MEMBERS = ["a", "b", "c"];
const LEVELS = Object.keys(ORDER_LEVELS) as OrderLevel[];

const HELP = `
Without --members they are a, b and c: one short command in each of three
terminals. What is typed is said to all; /help lists what else there is. From
a file or a pipe lines are taken as they come. Ctrl-C, Ctrl-D and /quit are a
normal end; the last two wait a while until the others have what was said.

A reply overtakes its question, if no more than FIFO order is asked for and the
way from a to c is slow; with causal order (the default) it waits, and /why at c
says for what. Try it with --delay c=8s at a, and answer as b.

Exit status: 0; 1 if the chat could not start or go on, or ended before all
had what was said here; 2 for a mistake in the options.

Examples:
  tidemark chat --id a                    # and b, and c, in other terminals
  tidemark chat --id a --order fifo --delay c=8s
  tidemark chat --id ann --members ann,bob,eve --port 7100
  tidemark chat --id ann --listen 10.0.0.1:7000 --peer bob=10.0.0.2:7000`;

export function chatCommand(): Command {
  return new Command("chat")
    .description("talk to others in a group, with the order that you choose for each message")
    .addOption(new Option("--id <name>", "who you are").makeOptionMandatory())
    .addOption(
      new Option("--members <names>", "everybody in the chat, you too; a,b,c if not said")
        .default(undefined, MEMBERS.join())
        .argParser(parseMembers),
    )
    .addOption(
      new Option("--port <port>", "the first member listens here, the next one on the next port")
        .default(7000)
        .argParser(wholeNumber(1, PORT_MAX)),
    )
    .addOption(new Option("--host <host>", "where they listen").default("127.0.0.1"))
    .addOption(
      new Option("--listen <host:port>", "listen here instead; then --peer says where others are")
        .default(undefined, "by --port")
        .argParser(parseAddress),
    )
    .addOption(
      new Option("--peer <name=host:port>", "another member, and where it listens; once for each")
        .default({}, "by --port")
        .argParser(parsePeer),
    )
    .addOption(new Option("--order <order>", "of what you say").choices(LEVELS).default("causal"))
    .addOption(
      new Option("--total <way>", "how total order comes about; the same at all")
        .choices(["sequencer", "agreed"])
        .default("sequencer"),
    )
    .addOption(
      new Option("--delay <name=time>", "send to that member so much later, as in b=800ms")
        .default({}, "none")
        .argParser(parseDelay),
    )
    .addOption(
      new Option(
        "--ask-after <time>",
        "wait so long for what others have before asking them for it",
      )
        .default(10_000, "10s")
        .argParser(parseTimeout),
    )
    .addOption(directoryOption())
    .addOption(keyOption())
    .addOption(tlsOption())
    .addOption(jsonOption("print a line of JSON for everything that happens"))
    .addHelpText("after", HELP)
    .action(async (options: ChatOptions) => {
      process.exitCode = await chat(options);
    });
}

/** Gives the exit status. */
async function chat(options: ChatOptions): Promise<number> {
  const { members, listen, peers } = placesOf(options);
  const { id, order, total, delay, dir, json, tls } = options;
  checkTlsFiles(options, [id]);
  const stop = stopSignal();
  const screen = new ChatScreen(process.stdin, process.stdout, json === true);
  const paint = painter(process.stdout);
  const show = (event: ChatEvent): void =>
    screen.print(json ? [JSON.stringify(event)] : chatLines(event, paint));
  const store = openStore(dir, options);
  try {
    const session = await ChatSession.start({
      ...{ id, members, peers, order, total, delay, store, directory: resolve(dir), show },
      askAfterMs: Math.round(options.askAfter),
      transport: tcpTransport({
        ...listen,
        peers,
        ...(tls !== undefined && { tls: tlsFiles(tls, id) }),
      }),
      onOrder: (now) => {
        screen.prompt = `${id} ${now}> `;
      },
    });
    const end = (): void => screen.end();
    stop.addEventListener("abort", end);
    void session.stopped.then(end);
    if (stop.aborted) end();
    for await (const line of screen.lines()) {
      if (!(await session.take(line, !screen.live))) break;
    }
    screen.end();
    return await session.end(stop);
  } finally {
    screen.end();
    await store.close();
  }
}

/** Who is where. */
function placesOf(options: ChatOptions): {
  readonly members: readonly ProcessId[];
  readonly listen: Address;
  readonly peers: Readonly<Record<ProcessId, string>>;
} {
  const { members, host, port, listen, peer } = options;
  const id = checkProcessId(options.id);
  const known = Object.keys(peer);
  const bad = (reason: string): TidemarkError => new TidemarkError("BAD_OPTION", reason);
  if (listen || known.length > 0) {
    if (!listen) throw bad("with --peer, say also where you listen: --listen 127.0.0.1:7000");
    if (known.includes(id)) throw bad(`--peer names ${id}, who is you: it is for the others`);
    const all = [...new Set([id, ...known])].sort();
    if (members && String([...members].sort()) !== String(all))
      throw bad(`--members has ${members.join()}, but by --id and --peer they are ${all.join()}`);
    return { members: all, listen, peers: peer };
  }
  const all = [...(members ?? MEMBERS)].sort();
  if (!all.includes(id))
    throw bad(`${id} is not among the members ${all.join()}: name all with --members ${id},…`);
  if (port + all.length - 1 > PORT_MAX)
    throw bad(`there are no ${all.length} ports from ${port} on`);
  const named = host.includes(":") ? `[${host}]` : host;
  const places = all.map((member, i) => [member, `${named}:${port + i}`] as const);
  const others = places.filter(([member]) => member !== id);
  const own = { host, port: port + all.indexOf(id) };
  return { members: all, listen: own, peers: Object.fromEntries(others) };
}

function parseMembers(text: string): readonly ProcessId[] {
  const names = text.split(",").map((name) => name.trim());
  const wrong = names.find((name) => !isProcessId(name));
  if (wrong !== undefined || new Set(names).size < names.length)
    throw new InvalidArgumentError("Use different names of letters, digits, ., _ and -: a,b,c.");
  return names;
}

/** `b=800ms`, beside those that there are. */
function parseDelay(
  text: string,
  others: Readonly<Record<ProcessId, number>>,
): Readonly<Record<ProcessId, number>> {
  const [name, time] = pair(text);
  if (isProcessId(name)) return { ...others, [name]: Math.round(parseDuration(time)) };
  throw new InvalidArgumentError("Use name=time, as in b=800ms.");
}
