/**
 * The token-passing simulator of a university course: servers that send each other tokens over one-way links, while global
 * snapshots are taken of them. A `.top` file says which servers and links there are, an `.events` file what happens, and a
 * `.snap` block what a snapshot holds. Each server runs the snapshot machine that ships; here are only its links and its time.
 * The course calls a process a server and a channel a link, and so does whatever its users read.
 *
 * Theory of operation. Time goes in ticks. A message that is sent at time t is due at t + 1 + d, where d is drawn when it is sent. In a
 * tick each server, ascending, delivers at most one message: from the first of its links, ascending by destination, whose
 * head is due. The head holds back what is behind it, so links are FIFO, as the machine needs them.
 *
 * Nothing that is sent in a tick is due in it. So it is settled at its beginning which servers deliver: those in `#ready`, each with
 * the links that it may choose from. Every other link with something in it waits in `#calendar` for the time at which its head is due.
 * A tick costs what it delivers, and ticks that deliver nothing cost nothing, however large the system.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import { isProcessId, type ProcessId, type SnapshotId, snapshotId } from "../core/id.ts";
import { Random } from "../core/random.ts";
import { readRecords, writeRecords } from "../core/record.ts";
import { type Channel, Topology } from "../core/topology.ts";
import { ChandyLamport } from "../snapshot/chandy-lamport.ts";
import type { Marker, RecordedChannels, SnapshotInput } from "../snapshot/recordings.ts";

/** What a topology file says. */
export interface TokenSystem {
  readonly topology: Topology;
  /** What each server has at the start. */
  readonly tokens: ReadonlyMap<ProcessId, number>;
}

/** What an events file says; `place` is its file and line. */
export type TokenEvent =
  | ({
      readonly type: "send";
      readonly tokens: number;
      readonly place: string;
    } & Channel)
  | { readonly type: "snapshot"; readonly server: ProcessId; readonly place: string }
  | { readonly type: "tick"; readonly ticks: number };

/** Tokens on a link. */
export interface TokenMessage extends Channel {
  readonly tokens: number;
}

/** A global state: what each server has, ascending; what is on the links, by source, then destination, then in order. */
export interface TokenState {
  readonly tokens: ReadonlyMap<ProcessId, number>;
  readonly messages: readonly TokenMessage[];
}

/** What became of a run. */
export interface TokenOutcome {
  /** The state that each snapshot recorded; the snapshot's id is its place in the list. */
  readonly snapshots: readonly TokenState[];
  /** When it ended. */
  readonly time: number;
  readonly end: TokenState;
}

/** Gives a whole number from 0 to 4 for each message, in the order in which they are sent. */
export type Draws = () => number;

const DRAW_MAX = 4;
/** So it goes on after the last event, once every snapshot is complete. */
const LAST_TICKS = 6;
const TICKS_MAX = 1_000_000_000;
/** The largest number up to which all are exact: no balance or sum goes beyond. */
const TOKENS_MAX = Number.MAX_SAFE_INTEGER;

/**
 * Reads a topology: the number of servers, a line `SERVER TOKENS` for each, then a line `FROM TO` for each link.
 *
 * @param file what the text is called in messages
 * @throws TidemarkError `BAD_OPTION`: file, line and reason
 */
export function parseTopology(text: string, file: string): TokenSystem {
  const [head, ...rest] = linesOf(text, file);
  if (!head) return fail(`${file}:1`, "there is no line with the number of servers");
  const [word = "", ...more] = head.words;
  if (more.length > 0) fail(head.place, "the number of servers comes first, alone on its line");
  const count = wholeNumber(word, "the number of servers", 1, TOKENS_MAX, head.place);

  const tokens = new Map<ProcessId, number>();
  let sum = 0;
  for (const { place, words } of rest.slice(0, count)) {
    const [id = "", amount = "", ...others] = words;
    if (amount === "" || others.length > 0)
      fail(place, `server ${tokens.size + 1} of ${count} should be here, as SERVER TOKENS`);
    if (!isProcessId(id))
      fail(
        place,
        `${quote(id)} cannot be a server: use 1 to 64 letters, digits, ".", "_" or "-", beginning with a letter or digit`,
      );
    if (tokens.has(id)) fail(place, `server ${id} is listed twice`);
    const has = wholeNumber(amount, `what ${id} has`, 0, TOKENS_MAX, place);
    sum += has;
    if (sum > TOKENS_MAX) fail(place, `there are more than ${TOKENS_MAX} tokens in all`);
    tokens.set(id, has);
  }
  if (tokens.size < count)
    fail((rest.at(-1) ?? head).place, `only ${tokens.size} of ${count} servers are listed`);

  const channels = new Map<string, Channel>();
  for (const { place, words } of rest.slice(count)) {
    const [from = "", to = "", ...others] = words;
    if (to === "" || others.length > 0) fail(place, "a link should be here, as FROM TO");
    for (const id of [from, to])
      if (!tokens.has(id)) fail(place, `${quote(id)} is none of the ${count} servers listed above`);
    if (from === to) fail(place, `${from} cannot have a link to itself`);
    const name = `${from} ${to}`;
    if (channels.has(name)) fail(place, `the link from ${from} to ${to} is listed twice`);
    channels.set(name, { from, to });
  }
  return { topology: new Topology([...tokens.keys()], [...channels.values()]), tokens };
}

/** The parameters of each event; one that ends in "]" may be left out. */
const PARAMETERS: ReadonlyMap<string, readonly string[]> = new Map([
  ["send", ["FROM", "TO", "TOKENS"]],
  ["snapshot", ["SERVER"]],
  ["tick", ["[TICKS]"]],
]);

/**
 * Reads the events that are to happen in a system, one a line. Whether a server has as much as it is to send only the run shows.
 *
 * @param file what the text is called in messages
 * @throws TidemarkError `BAD_OPTION`: file, line and reason
 */
export function parseEvents(text: string, { topology }: TokenSystem, file: string): TokenEvent[] {
  const links = new Set(topology.channels().map(({ from, to }) => `${from} ${to}`));
  const completing = new Set<ProcessId>();
  return linesOf(text, file).map(({ place, words: [name = "", ...words] }): TokenEvent => {
    const parameters = PARAMETERS.get(name);
    if (!parameters)
      return fail(
        place,
        `unknown event ${quote(name)}: the events are ${[...PARAMETERS.keys()].join(", ")}`,
      );
    const needed = parameters.filter((parameter) => !parameter.endsWith("]"));
    if (words.length < needed.length || words.length > parameters.length)
      fail(place, `an event is written: ${[name, ...parameters].join(" ")}`);
    const [first = "", second = "", third = ""] = words;
    if (name === "tick") {
      const ticks =
        first === "" ? 1 : wholeNumber(first, "the number of ticks", 0, TICKS_MAX, place);
      return { type: "tick", ticks };
    }
    for (const id of name === "send" ? [first, second] : [first])
      if (!topology.has(id)) fail(place, `there is no server ${quote(id)}`);
    if (name === "send") {
      if (!links.has(`${first} ${second}`))
        fail(place, `there is no link from ${first} to ${second}`);
      const tokens = wholeNumber(third, "the number of tokens", 0, TOKENS_MAX, place);
      return { type: "send", from: first, to: second, tokens, place };
    }
    if (!completing.has(first)) {
      const [missed] = topology.unreachableFrom(first);
      if (missed !== undefined)
        fail(
          place,
          `a snapshot from ${first} can never be complete: no links lead from there to ${missed}`,
        );
      completing.add(first);
    }
    return { type: "snapshot", server: first, place };
  });
}

/** Draws that a seed decides. */
export function seededDraws(seed: number): Draws {
  const random = new Random(seed);
  return () => random.below(DRAW_MAX + 1);
}

/**
 * Draws from a list in a JSON text: an array, or an object with the array under `name`. The run fails when it needs more.
 *
 * @param file what the text is called in messages
 * @throws TidemarkError `BAD_OPTION`: file and reason
 */
export function parseDraws(text: string, name: string, file: string): Draws {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    fail(file, `not JSON: ${textOf(error)}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    value = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
  if (!Array.isArray(value))
    return fail(file, `neither a list of draws nor an object with such a list as ${quote(name)}`);
  const list: readonly unknown[] = value;
  const draws = list.map((draw, i) =>
    typeof draw === "number" && Number.isInteger(draw) && draw >= 0 && draw <= DRAW_MAX
      ? draw
      : fail(file, `draw ${i + 1} is not a whole number from 0 to ${DRAW_MAX}`),
  );
  let used = 0;
  return () => {
    const draw = draws[used];
    if (draw === undefined)
      return fail(file, `all ${draws.length} draws are used up, and more messages are sent`);
    used += 1;
    return draw;
  };
}

/**
 * Lets everything happen, and goes on until every snapshot is complete.
 *
 * @param trace takes each line that tells what happens, without its end
 * @throws TidemarkError `BAD_OPTION` if a server has less than it is to send, or what `draws` throws;
 *   `SNAPSHOT_ABANDONED` if more snapshots overlap than the machine takes
 */
export function passTokens(
  system: TokenSystem,
  events: readonly TokenEvent[],
  draws: Draws,
  trace?: (line: string) => void,
): TokenOutcome {
  const run = new Run(system, draws, trace);
  for (const event of events) run.perform(event);
  return run.finish();
}

/** The block of a snapshot: its id, `SERVER TOKENS` for each server, `FROM TO token(N)` for each message. */
export function formatSnapshot(id: number, { tokens, messages }: TokenState): string {
  const lines = [
    String(id),
    ...[...tokens].map(([server, has]) => `${server} ${has}`),
    ...messages.map((message) => `${message.from} ${message.to} token(${message.tokens})`),
  ];
  return `${lines.join("\n")}\n`;
}

interface Line {
  /** File and line. */
  readonly place: string;
  readonly words: readonly string[];
}

/** The lines that say something. */
function linesOf(text: string, file: string): Line[] {
  const lines: Line[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    const trimmed = line.trim();
    if (trimmed !== "" && !trimmed.startsWith("#"))
      lines.push({ place: `${file}:${i + 1}`, words: trimmed.split(/\s+/) });
  }
  return lines;
}

function wholeNumber(
  word: string,
  what: string,
  least: number,
  most: number,
  place: string,
): number {
  const value = /^[0-9]+$/.test(word) ? Number(word) : Number.NaN;
  if (value >= least && value <= most) return value;
  return fail(
    place,
    `${quote(word)} cannot be ${what}: use a whole number from ${least} to ${most}`,
  );
}

function fail(place: string, reason: string): never {
  throw new TidemarkError("BAD_OPTION", `${place}: ${reason}`);
}

/** What a file says may be long. */
function quote(text: string): string {
  return `"${text.length > 40 ? `${text.slice(0, 40)}…` : text}"`;
}

interface Message {
  readonly due: number;
  readonly content: number | Marker;
  behind: Message | undefined;
}

interface Link {
  readonly from: Server;
  readonly to: Server;
  /** Of all links of its source, ascending by destination. */
  readonly order: number;
  head: Message | undefined;
  tail: Message | undefined;
}

interface Server {
  readonly id: ProcessId;
  /** Of all servers, ascending. */
  readonly order: number;
  readonly machine: ChandyLamport;
  readonly links: Map<ProcessId, Link>;
  /** Links whose head is due; the first to be chosen comes last. */
  readonly due: Link[];
  tokens: number;
}

interface Recorded {
  readonly id: number;
  readonly place: string;
  readonly tokens: Map<ProcessId, number>;
  readonly messages: TokenMessage[];
  /** Servers that have not received all their markers. */
  open: number;
}

/** See the head of the file. */
class Run {
  readonly #view: number;
  readonly #servers: ReadonlyMap<ProcessId, Server>;
  readonly #draws: Draws;
  readonly #note: ((text: string) => void) | undefined;
  readonly #calendar = new Map<number, Link[]>();
  readonly #ready = new Set<Server>();
  readonly #snapshots = new Map<SnapshotId, Recorded>();
  /** Snapshots that are not complete. */
  #open = 0;
  #time = 0;

  constructor(
    { topology, tokens }: TokenSystem,
    draws: Draws,
    trace: ((line: string) => void) | undefined,
  ) {
    this.#view = topology.fingerprint;
    this.#draws = draws;
    const servers = new Map<ProcessId, Server>();
    for (const [order, id] of topology.processes.entries())
      servers.set(id, {
        id,
        order,
        machine: new ChandyLamport(this.#view, topology.incoming(id), topology.outgoing(id)),
        links: new Map(),
        due: [],
        tokens: tokens.get(id) ?? 0,
      });
    this.#servers = servers;
    for (const from of servers.values())
      for (const [order, id] of topology.outgoing(from.id).entries())
        from.links.set(id, { from, to: this.#server(id), order, head: undefined, tail: undefined });
    let told = -1;
    this.#note =
      trace &&
      ((text) => {
        if (told !== this.#time) trace(`Time ${this.#time}:`);
        told = this.#time;
        trace(`\t${text}`);
      });
  }

  perform(event: TokenEvent): void {
    switch (event.type) {
      case "send":
        this.#send(event);
        break;
      case "snapshot":
        this.#begin(this.#server(event.server), event.place);
        break;
      case "tick":
        this.#advance(this.#time + event.ticks);
        break;
    }
  }

  finish(): TokenOutcome {
    while (this.#open > 0) {
      const next = this.#next();
      if (next === Number.POSITIVE_INFINITY) throw new Error("markers of a snapshot are missing");
      this.#advance(next);
    }
    this.#advance(this.#time + LAST_TICKS);
    return {
      snapshots: [...this.#snapshots.values()].map((recorded) => this.#state(recorded)),
      time: this.#time,
      end: this.#now(),
    };
  }

  #send({ from, to, tokens, place }: Extract<TokenEvent, { type: "send" }>): void {
    const server = this.#server(from);
    if (server.tokens < tokens)
      fail(place, `${from} has ${server.tokens} token(s) at time ${this.#time}, not ${tokens}`);
    this.#note?.(`${from} has ${server.tokens} token(s)`);
    this.#note?.(`${from} sent ${tokens} tokens to ${to}`);
    server.tokens -= tokens;
    this.#step(server, { type: "sent", to, count: 1, body: encode(tokens) });
    this.#put(server, to, tokens);
  }

  #begin(server: Server, place: string): void {
    const id = this.#snapshots.size;
    // The machine counts from 1, and keeps apart what different servers begin.
    const snapshot = snapshotId(server.id, id + 1);
    const open = this.#servers.size;
    this.#snapshots.set(snapshot, { id, place, tokens: new Map(), messages: [], open });
    this.#open += 1;
    this.#note?.(`${server.id} has ${server.tokens} token(s)`);
    this.#note?.(`${server.id} startSnapshot(${id})`);
    const marker: Marker = {
      snapshot,
      incarnation: 1,
      view: this.#view,
      live: 1,
      timeoutMs: Number.POSITIVE_INFINITY,
    };
    this.#step(server, { type: "initiate", marker, nowMs: this.#time });
  }

  #advance(to: number): void {
    for (let next = this.#next(); next <= to; next = this.#next()) {
      this.#time = next;
      for (const link of this.#calendar.get(next) ?? []) this.#becomeDue(link);
      this.#calendar.delete(next);
      for (const server of [...this.#ready].sort((a, b) => a.order - b.order))
        this.#deliver(server);
    }
    this.#time = to;
  }

  /** When something can be delivered next; Infinity if nothing is on any link. */
  #next(): number {
    return this.#ready.size > 0 ? this.#time + 1 : Math.min(...this.#calendar.keys());
  }

  #deliver(from: Server): void {
    const link = from.due.pop() as Link;
    if (from.due.length === 0) this.#ready.delete(from);
    const { content, behind } = link.head as Message;
    link.head = behind;
    if (behind) this.#wait(link, behind);
    else link.tail = undefined;

    const { to } = link;
    if (typeof content === "number") {
      this.#note?.(`${to.id} has ${to.tokens} token(s)`);
      this.#note?.(`${to.id} received ${content} tokens from ${from.id}`);
      // The machine sees a message before the application does.
      const body = encode(content);
      this.#step(to, { type: "received", from: from.id, count: 1, body, nowMs: this.#time });
      to.tokens += content;
    } else {
      this.#note?.(
        `${to.id} received marker(${this.#recorded(content.snapshot).id}) from ${from.id}`,
      );
      this.#step(to, { type: "marker", from: from.id, marker: content, nowMs: this.#time });
    }
  }

  #put(from: Server, to: ProcessId, content: number | Marker): void {
    const link = from.links.get(to) as Link;
    const message: Message = { due: this.#time + 1 + this.#draws(), content, behind: undefined };
    if (link.tail) link.tail.behind = message;
    else {
      link.head = message;
      this.#wait(link, message);
    }
    link.tail = message;
  }

  #wait(link: Link, { due }: Message): void {
    if (due <= this.#time) {
      this.#becomeDue(link);
      return;
    }
    const others = this.#calendar.get(due);
    if (others) others.push(link);
    else this.#calendar.set(due, [link]);
  }

  #becomeDue(link: Link): void {
    const { due } = link.from;
    let low = 0;
    for (let high = due.length; low < high; ) {
      const middle = (low + high) >> 1;
      if ((due[middle] as Link).order > link.order) low = middle + 1;
      else high = middle;
    }
    due.splice(low, 0, link);
    this.#ready.add(link.from);
  }

  /** Gives the machine an input, and performs its effects. */
  #step(server: Server, input: SnapshotInput): void {
    for (const effect of server.machine.step(input)) {
      switch (effect.type) {
        case "record":
          this.#recorded(effect.marker.snapshot).tokens.set(server.id, server.tokens);
          break;
        case "marker": {
          const { id } = this.#recorded(effect.marker.snapshot);
          this.#note?.(`${server.id} sent marker(${id}) to ${effect.to}`);
          this.#put(server, effect.to, effect.marker);
          break;
        }
        case "complete":
          this.#complete(server, this.#recorded(effect.snapshot), effect.recorded);
          break;
        case "refuse":
          this.#abandon(effect.marker.snapshot, effect.reason);
          break;
        case "abandoned":
          this.#abandon(effect.snapshot, effect.reason);
          break;
        case "irregular":
          throw new Error(effect.reason);
      }
    }
  }

  #complete(server: Server, recorded: Recorded, { incoming, tape }: RecordedChannels): void {
    for (const { from, messages } of incoming)
      for (const content of messages.flatMap(readRecords))
        recorded.messages.push({ from, to: server.id, tokens: decode(content) });
    tape.erase();
    recorded.open -= 1;
    if (recorded.open === 0) this.#open -= 1;
    this.#note?.(`${server.id} endSnapshot(${recorded.id})`);
  }

  #abandon(snapshot: SnapshotId, reason: string): void {
    const { id, place } = this.#recorded(snapshot);
    throw new TidemarkError("SNAPSHOT_ABANDONED", `${place}: snapshot ${id}: ${reason}`);
  }

  #state({ tokens, messages }: Recorded): TokenState {
    return {
      tokens: new Map([...this.#servers.keys()].map((id) => [id, tokens.get(id) ?? 0])),
      // Those of one link came together and in order, and stay so.
      messages: messages.sort(
        (a, b) =>
          this.#server(a.from).order - this.#server(b.from).order ||
          this.#server(a.to).order - this.#server(b.to).order,
      ),
    };
  }

  #now(): TokenState {
    const messages: TokenMessage[] = [];
    for (const { id: from, links } of this.#servers.values())
      for (const { head, to } of links.values())
        for (let message = head; message; message = message.behind)
          if (typeof message.content === "number")
            messages.push({ from, to: to.id, tokens: message.content });
    return {
      tokens: new Map([...this.#servers].map(([id, { tokens }]) => [id, tokens])),
      messages,
    };
  }

  #server(id: ProcessId): Server {
    return this.#servers.get(id) as Server;
  }

  #recorded(snapshot: SnapshotId): Recorded {
    return this.#snapshots.get(snapshot) as Recorded;
  }
}

/** Eight bytes hold every number up to `TOKENS_MAX`. */
function encode(tokens: number): Uint8Array {
  const content = new Uint8Array(8);
  new DataView(content.buffer).setFloat64(0, tokens, true);
  return writeRecords([content]);
}

function decode(content: Uint8Array): number {
  return new DataView(content.buffer, content.byteOffset, 8).getFloat64(0, true);
}
