/** `--join`: which process of a system on several machines this one is, and who and where the others are, by options or a file. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { TidemarkError, textOf } from "../core/error.ts";
import { isProcessId, type ProcessId } from "../core/id.ts";
import { checkKeys, refuse, told } from "../sim/check.ts";
import type { NatsPlace } from "./nats-options.ts";
import { type Address, parseAddress, parsePeer } from "./options.ts";
import { PROCESSES_MAX } from "./system-file.ts";
import { readText } from "./text-file.ts";

/** What `addJoinOptions` gives. */
export interface JoinOptions {
  readonly join?: ProcessId;
  readonly listen?: Address;
  readonly peer: Named;
  readonly config?: string;
}

/** Where each listens, if that was said. */
type Named = Readonly<Record<ProcessId, string | undefined>>;

/** Who is in the system, and how they reach each other. */
export interface Members {
  readonly processes: readonly ProcessId[];
  /** Where this one listens, and the others; absent over NATS, where that follows from their names. */
  readonly listen?: Address;
  readonly peers: Readonly<Record<ProcessId, string>>;
}

/** @param what for help: what `--join` runs one process of */
export function addJoinOptions(command: Command, what: string): Command {
  return command
    .addOption(
      new Option("--join <name>", `run this one process of ${what} on several machines`).argParser(
        parseProcess,
      ),
    )
    .addOption(
      new Option(
        "--listen <host:port>",
        "with --join: the other processes reach it there",
      ).argParser(parseAddress),
    )
    .addOption(
      new Option("--peer <name[=host:port]>", "with --join: another process, and where it listens")
        .default({}, "none")
        .argParser(parseNamedPeer),
    )
    .option("--config <file>", "with --join: all processes and where they listen, as JSON");
}

/** @throws TidemarkError `BAD_OPTION` if there is something that goes with `--join` alone */
export function refuseJoinOptions({ listen, peer, config }: JoinOptions): void {
  if (config !== undefined) throw bad("--config is for --join: it says who the others are");
  if (listen || Object.keys(peer).length > 0) throw bad("--listen and --peer are for --join");
}

/**
 * Checks what was said of the members against itself, and against what the system says.
 *
 * @param options.nats present if NATS carries what processes say where nobody listens
 * @param options.system the processes that a file says the system has, and that file
 * @throws TidemarkError `BAD_OPTION`
 */
export function membersOf(
  id: ProcessId,
  options: JoinOptions & { readonly tls?: string },
  {
    nats,
    system,
  }: {
    readonly nats: NatsPlace | undefined;
    readonly system?: { readonly file: string; readonly processes: readonly ProcessId[] };
  },
): Members {
  const { config, tls } = options;
  const all = config === undefined ? undefined : readMembers(config);
  if (all && Object.keys(options.peer).length > 0)
    throw bad("--config says who the others are: leave --peer out");
  if (all && !Object.hasOwn(all, id))
    throw bad(`${config} has no process ${id}, only ${Object.keys(all).join(", ")}`);
  if (Object.hasOwn(options.peer, id)) throw bad(`--peer names ${id}, which is this process`);
  const others = all ? without(all, id) : options.peer;
  const peer = system ? completed(id, others, system, config ?? "--peer") : others;
  const own = all?.[id];
  const listen = options.listen ?? (own === undefined ? undefined : parseAddress(own));
  const [unsaid] = Object.keys(peer).filter((name) => peer[name] === undefined);
  const [said] = Object.keys(peer).filter((name) => peer[name] !== undefined);
  if (!listen && !nats)
    throw bad(
      "with --join, say where the others reach it: --listen 10.0.0.1:7400; or --nats, and they find each other there",
    );
  if (listen && unsaid !== undefined)
    throw bad(
      all
        ? `with --listen, ${config} has to say where ${unsaid} listens: {"processes": {"${unsaid}": "10.0.0.2:7400", …}}`
        : `with --listen, say where ${unsaid} listens: --peer ${unsaid}=10.0.0.2:7400`,
    );
  if (!listen && said !== undefined)
    throw bad(
      `--peer says where ${said} listens, and --listen is missing: give both and it is TCP, neither (--peer ${said}) and it is NATS`,
    );
  if (!listen && tls !== undefined)
    throw bad("--tls is for processes that --listen: to the servers of NATS, --nats-tls is");
  const processes = [id, ...Object.keys(peer)].sort();
  if (processes.length > PROCESSES_MAX) throw bad(`there are at most ${PROCESSES_MAX} processes`);
  return {
    // A file has them in its own order, which every process has to have alike.
    processes: system?.processes ?? processes,
    ...(listen && { listen }),
    peers: listen ? (peer as Readonly<Record<ProcessId, string>>) : {},
  };
}

/** With those that only the system names; they are found over NATS. */
function completed(
  id: ProcessId,
  others: Named,
  { file, processes }: { readonly file: string; readonly processes: readonly ProcessId[] },
  where: string,
): Named {
  for (const name of [id, ...Object.keys(others)])
    if (!processes.includes(name))
      throw bad(`${file} has no process ${name}, only ${processes.join(", ")}`);
  const missing = processes.filter((name) => name !== id && !Object.hasOwn(others, name));
  if (missing[0] !== undefined && Object.keys(others).length > 0)
    throw bad(`${file} has ${missing.join(", ")} as well, and ${where} does not name all of them`);
  return { ...Object.fromEntries(missing.map((name) => [name, undefined])), ...others };
}

/**
 * Reads `{"processes": {"a": "10.0.0.1:7400", …}}`, or the names alone, as in `{"processes": ["a", …]}`.
 * @throws TidemarkError `BAD_OPTION` naming the file and the field
 */
export function readMembers(file: string): Named {
  const text = readText(file);
  try {
    return checkMembers(JSON.parse(text));
  } catch (error) {
    throw new TidemarkError("BAD_OPTION", `${file}: ${textOf(error)}`, { cause: error });
  }
}

function checkMembers(value: unknown): Named {
  checkKeys("the file", value, ["processes"]);
  const { processes } = value as { readonly processes?: unknown };
  if (typeof processes !== "object" || processes === null)
    refuse(
      `processes must be an object, as in {"a": "10.0.0.1:7400"}, or a list of names, not ${told(processes)}`,
    );
  const isList = Array.isArray(processes);
  const named = isList
    ? processes.map((name: unknown) => [name, undefined] as const)
    : Object.entries(processes as object);
  if (named.length === 0 || named.length > PROCESSES_MAX)
    refuse(`processes must be 1 to ${PROCESSES_MAX}, not ${named.length}`);
  const places = new Map<string, ProcessId>();
  const members = new Map<ProcessId, string | undefined>();
  for (const [i, [name, given]] of named.entries()) {
    if (typeof name !== "string" || !isProcessId(name))
      refuse(
        `${isList ? `processes[${i}]` : "processes"}: ${told(name)} is no name of a process: one has letters, digits, ., _ and -`,
      );
    const id = name as ProcessId;
    if (members.has(id)) refuse(`processes[${i}]: ${id} is there already`);
    const place = isList ? undefined : placeOf(id, given);
    members.set(id, place);
    if (place === undefined) continue;
    const first = places.get(place);
    if (first !== undefined)
      refuse(`processes.${id} is ${told(given)}, and so is processes.${first}`);
    places.set(place, id);
  }
  return Object.fromEntries(members);
}

function placeOf(id: ProcessId, place: unknown): string {
  try {
    if (typeof place === "string" && parseAddress(place).port > 0)
      // As `--peer` has it.
      return parsePeer(`${id}=${place}`, {})[id] as string;
  } catch {
    // It is told below what it must be.
  }
  refuse(`processes.${id} must be a host and a port, as in "10.0.0.1:7400", not ${told(place)}`);
}

function without(all: Named, id: ProcessId): Named {
  return Object.fromEntries(Object.entries(all).filter(([name]) => name !== id));
}

function parseProcess(text: string): ProcessId {
  if (isProcessId(text)) return text;
  throw new InvalidArgumentError("A name has letters, digits, ., _ and -.");
}

/** A peer with its address, or its name alone. */
function parseNamedPeer(text: string, others: Named): Named {
  return isProcessId(text)
    ? { ...others, [text]: undefined }
    : { ...others, ...parsePeer(text, {}) };
}

function bad(reason: string): TidemarkError {
  return new TidemarkError("BAD_OPTION", reason);
}
