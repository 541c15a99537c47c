/**
 * A history: what each process did with the messages of groups and channels, in its own order. Nothing is assumed about how the
 * events of different processes lie between each other; so a history can be put together from one log per process.
 *
 * Theory of operation. Histories have millions of events, so they are kept in columns of numbers: an event is one word (its
 * message, and what was done with it), a message is a row. A message gets its row when it is first named, whether that is by its
 * multicast or by a delivery; a row whose `position` is still -1 at the end is of a message that nobody has multicast or sent.
 */

import { TidemarkError, textOf } from "../core/error.ts";
import { isProcessId, type ProcessId } from "../core/id.ts";
import { ORDER_LEVELS, type OrderLevel } from "../core/order-level.ts";
import type { ChannelEvent, MessageId } from "./permute.ts";

/** Something that a process did: with a message of a group, with a message of a channel, or for the last time. */
export type HistoryEvent =
  | ChannelEvent
  | {
      readonly type: "multicast";
      readonly process: ProcessId;
      readonly group: string;
      /** No other message of the group has the same. */
      readonly message: MessageId;
      /** What order it asks for. @default "reliable" */
      readonly order?: OrderLevel;
      /** The one member that it is for. @default all */
      readonly to?: ProcessId;
    }
  | {
      readonly type: "deliver";
      readonly process: ProcessId;
      readonly group: string;
      readonly message: MessageId;
      /** Whom the process holds to be the sender. */
      readonly from?: ProcessId;
    }
  /** It is not correct, and does nothing after that. */
  | { readonly type: "crash"; readonly process: ProcessId };

/** One line of a history: an event, or what is known beside the events. */
export type HistoryLine =
  | HistoryEvent
  /** May be the first line. */
  | {
      readonly type: "history";
      readonly format?: typeof HISTORY_FORMAT;
      /** False if it was cut off: what is missing may still have come. @default true */
      readonly complete?: boolean;
      /** True if it does not go back to the beginning everywhere: what is missing may have come before. @default false */
      readonly late?: boolean;
    }
  /** A process is what another one was before it crashed. */
  | { readonly type: "process"; readonly process: ProcessId; readonly was: string }
  /** Who is in a group; without it, who multicasts to it or delivers from it, and whom a message is for. */
  | { readonly type: "group"; readonly group: string; readonly members: readonly ProcessId[] };

/** An event, and which line of the history it is. */
export type NumberedEvent = HistoryEvent & { readonly line: number };

/** The place of an event: the `position`-th of a process, both from 0. */
export interface EventPlace {
  readonly process: number;
  readonly position: number;
}

export const HISTORY_FORMAT = "tidemark-history/1";
const LINE_LENGTH_MAX = 1 << 20;
/** The types of lines. */
export const TYPES =
  "multicast, deliver, send, receive, internal, record, crash, process, group or history";
const NAME_LENGTH_MAX = 256;
const PROCESSES_MAX = 1 << 12;
const GROUPS_MAX = 1 << 16;
const EVENTS_MAX = 1 << 27;
const COUNT_MAX = 2 ** 32;
/** V8's maps hold no more. */
const MESSAGES_MAX = 16_000_000;

/** What was done with a message; it is the two low bits of an event's word. */
const MULTICAST = 0;
const DELIVER = 1;
const SEND = 2;
const RECEIVE = 3;

/** Numbers in a column, four bytes each. */
class Column {
  #values = new Int32Array(16);
  length = 0;

  push(value: number): void {
    if (this.length === this.#values.length) {
      const values = new Int32Array(this.length * 2);
      values.set(this.#values);
      this.#values = values;
    }
    this.#values[this.length++] = value;
  }

  at(index: number): number {
    return this.#values[index] as number;
  }

  set(index: number, value: number): void {
    this.#values[index] = value;
  }
}

/** The events of one process, by their position. Internal ones are not kept: they order nothing. */
class Timeline {
  readonly words: Column = new Column();
  readonly lines: Column = new Column();
  /** Whom a delivery holds to be the sender; -1 if it does not say. */
  readonly claims: Column = new Column();
  /** The line of its crash; 0 if it is correct. */
  crashLine = 0;

  get length(): number {
    return this.words.length;
  }

  message(position: number): number {
    return this.words.at(position) >>> 2;
  }

  kind(position: number): number {
    return this.words.at(position) & 3;
  }

  isMulticast(position: number): boolean {
    return this.kind(position) === MULTICAST;
  }

  isDelivery(position: number): boolean {
    return this.kind(position) === DELIVER;
  }

  /** True of a delivery and of a receive: something has come from another event. */
  isArrival(position: number): boolean {
    return (this.words.at(position) & 1) === 1;
  }
}

/** The messages of groups and channels, in the order in which they were first named. */
class Messages {
  readonly names: MessageId[] = [];
  /** Its group; -1 of a message of a channel. */
  readonly groups: Column = new Column();
  /** Its sender; -1 as long as nobody has multicast it. */
  readonly senders: Column = new Column();
  /** Who is to receive it; -1 of a message for all of a group. */
  readonly receivers: Column = new Column();
  /** Which event of its sender it is; -1 as long as nobody has multicast or sent it. */
  readonly positions: Column = new Column();
  readonly levels: OrderLevel[] = [];

  get length(): number {
    return this.names.length;
  }

  add(name: MessageId, group: number, sender: number, receiver: number): number {
    this.names.push(name);
    this.groups.push(group);
    this.senders.push(sender);
    this.receivers.push(receiver);
    this.positions.push(-1);
    this.levels.push("reliable");
    return this.length - 1;
  }
}

/**
 * A history that grows line by line, from a file or from a program that watches processes.
 *
 * @example
 * ```ts
 * import { checkHistory, drawSpaceTime, History } from "tidemark/trace";
 * const history = new History();
 * history.add({ process: "ann", type: "multicast", group: "chat", message: "question", order: "causal" });
 * history.add({ process: "ann", type: "deliver", group: "chat", message: "question" });
 * history.add({ process: "bob", type: "deliver", group: "chat", message: "question" });
 * history.add({ process: "bob", type: "multicast", group: "chat", message: "answer", order: "causal" });
 * history.addText('{"process":"bob","type":"deliver","group":"chat","message":"answer"}');
 * history.add({ process: "eve", type: "deliver", group: "chat", message: "answer" });
 * history.add({ process: "eve", type: "deliver", group: "chat", message: "question" });
 * history.add({ process: "ann", type: "deliver", group: "chat", message: "answer" });
 * const broken = checkHistory(history).filter((verdict) => verdict.holds === false);
 * if (`${broken.map(({ promise }) => promise)}` !== "causal order") throw new Error("the answer overtakes the question");
 * for (const { witness } of broken) if (!drawSpaceTime(witness).includes("✗ delivers answer")) throw new Error("it is marked");
 * ```
 */
export class History {
  /** @internal */
  readonly processes: ProcessId[] = [];
  /** @internal */
  readonly timelines: Timeline[] = [];
  /** @internal */
  readonly groups: string[] = [];
  /** @internal */
  readonly messages: Messages = new Messages();
  readonly #name: string;
  readonly #processIndex = new Map<ProcessId, number>();
  readonly #groupIndex = new Map<string, number>();
  /** For each group, and for each channel as the product of its ends. */
  readonly #groupMessages: Map<string, number>[] = [];
  readonly #channelMessages = new Map<number, Map<string, number>>();
  /** How many messages a row of a channel stands for, if not one; and the channels that have such rows, if arrivals are not looked for. */
  readonly #counts = new Map<number, number>();
  readonly #parted = new Set<number>();
  readonly #declared: (ReadonlySet<number> | undefined)[] = [];
  readonly #appeared: Set<number>[] = [];
  #line = 0;
  #events = 0;
  #multicasts = 0;
  #deliveries = 0;
  #complete: boolean = true;
  #late: boolean = false;
  #addressed: boolean = false;

  /** @param name what errors call it: the file, if it is one */
  constructor(name = "history") {
    this.#name = name;
  }

  /** How large it is. */
  get counts(): HistoryCounts {
    const [messages, deliveries] = [this.#multicasts, this.#deliveries];
    return { processes: this.processes.length, groups: this.groups.length, messages, deliveries };
  }

  /** False if it was cut off. */
  get complete(): boolean {
    return this.#complete;
  }

  /**
   * Adds one line.
   * @throws TidemarkError `BAD_OPTION` as `NAME:LINE: reason` for what is no line of a history or cannot come after the others
   */
  add(line: HistoryLine): void {
    this.#line += 1;
    this.#take(line);
  }

  /**
   * Adds a line of JSON; a blank one says nothing.
   * @throws TidemarkError as `add` does
   */
  addText(text: string): void {
    this.#line += 1;
    if (text.length > LINE_LENGTH_MAX)
      this.#refuse(`a line has up to ${LINE_LENGTH_MAX} characters, and this one ${text.length}`);
    const json = text.trim();
    if (json === "") return;
    let value: unknown;
    try {
      value = JSON.parse(json);
    } catch (error) {
      this.#refuse(`this is no JSON: ${textOf(error)}`);
    }
    this.#take(value);
  }

  /** True if it does not go back to the beginning. */
  get late(): boolean {
    return this.#late;
  }

  /** Whether some message of a group is for one member alone. @internal */
  get addressed(): boolean {
    return this.#addressed;
  }

  /** Whether that process is to deliver that message of a group it is in. @internal */
  isFor(message: number, process: number): boolean {
    const receiver = this.messages.receivers.at(message);
    return receiver < 0 || receiver === process;
  }

  /** @internal */
  members(group: number): ReadonlySet<number> {
    return this.#declared[group] ?? (this.#appeared[group] as Set<number>);
  }

  /** @internal */
  timeline(process: number): Timeline {
    return this.timelines[process] as Timeline;
  }

  /** @internal */
  isCorrect(process: number): boolean {
    return this.timeline(process).crashLine === 0;
  }

  /** @internal */
  event({ process, position }: EventPlace): NumberedEvent {
    const timeline = this.timeline(process);
    const m = timeline.message(position);
    const name = (index: number): string => this.processes[index] as string;
    const common = { process: name(process), message: this.messages.names[m] as MessageId };
    const line = timeline.lines.at(position);
    const group = this.groups[this.messages.groups.at(m)] as string;
    switch (timeline.kind(position)) {
      case MULTICAST: {
        const order = this.messages.levels[m] as OrderLevel;
        const receiver = this.messages.receivers.at(m);
        const to = receiver < 0 ? {} : { to: name(receiver) };
        return { ...common, type: "multicast", group, order, ...to, line };
      }
      case DELIVER: {
        const claim = timeline.claims.at(position);
        const from = claim < 0 ? {} : { from: name(claim) };
        return { ...common, type: "deliver", group, ...from, line };
      }
      case SEND:
        return { ...common, type: "send", to: name(this.messages.receivers.at(m)), line };
      default:
        return { ...common, type: "receive", from: name(this.messages.senders.at(m)), line };
    }
  }

  /** @internal */
  crash(process: number): NumberedEvent {
    const line = this.timeline(process).crashLine;
    return { type: "crash", process: this.processes[process] as string, line };
  }

  /**
   * Finds the sends of what was sent in other runs than those in which it was received. A receive comes after the send that has its last
   * message; that comes after those of the others, for a sender's numbers ascend.
   * @throws TidemarkError `BAD_OPTION` if they do not
   * @internal
   */
  settle(): void {
    if (this.#parted.size === 0) return;
    const { positions, names, senders } = this.messages;
    const moved = new Map<number, number>();
    for (const channel of this.#parted) {
      const rows = [...(this.#channelMessages.get(channel)?.values() ?? [])];
      const first = (m: number): number => Number(names[m]);
      const end = (m: number): number => first(m) + (this.#counts.get(m) ?? 1);
      const sends = rows.filter((m) => positions.at(m) >= 0 && Number.isSafeInteger(first(m)));
      sends.sort((a, b) => positions.at(a) - positions.at(b));
      for (const [i, m] of sends.entries()) {
        const before = sends[i - 1];
        if (before === undefined || end(before) <= first(m)) continue;
        this.#line = this.timeline(senders.at(m)).lines.at(positions.at(m));
        this.#refuse(
          "where messages of a channel are counted, their numbers ascend: this one was sent after a later one, or was sent already",
        );
      }
      for (const m of rows) {
        if (positions.at(m) >= 0 || !Number.isSafeInteger(first(m))) continue;
        let [low, high] = [0, sends.length];
        while (low < high) {
          const middle = (low + high) >>> 1;
          if (first(sends[middle] as number) < end(m)) low = middle + 1;
          else high = middle;
        }
        const send = sends[low - 1];
        if (send !== undefined && end(send) > first(m)) moved.set(m, send);
      }
    }
    for (const { words } of this.timelines)
      for (let i = 0; i < words.length; i += 1) {
        const word = words.at(i);
        const send = (word & 3) === RECEIVE ? moved.get(word >>> 2) : undefined;
        if (send !== undefined) words.set(i, (send << 2) | RECEIVE);
      }
    this.#parted.clear();
  }

  #take(value: unknown): void {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      this.#refuse("a line is a JSON object, with a type");
    const line = value as Readonly<Record<string, unknown>>;
    switch (line["type"]) {
      case "multicast":
        this.#multicast(line);
        return;
      case "deliver":
        this.#deliver(line);
        return;
      case "send":
      case "receive":
        this.#pass(line, line["type"]);
        return;
      case "internal":
      case "record":
        this.#actor(line);
        return;
      case "crash":
        this.#actor(line).timeline.crashLine = this.#line;
        return;
      case "group":
        this.#declare(line);
        return;
      case "process":
        // What it was before is another process, which has crashed.
        this.#process(line, "process");
        return;
      case "history":
        this.#head(line);
        return;
      default:
        this.#refuse(`a line has the type ${TYPES}, not ${show(line["type"])}`);
    }
  }

  #multicast(line: Readonly<Record<string, unknown>>): void {
    const { process, timeline } = this.#actor(line);
    const m = this.#groupMessage(line, process);
    const { senders, positions, receivers, levels, names } = this.messages;
    if (positions.at(m) >= 0)
      this.#refuse(
        `${this.processes[senders.at(m)]} has multicast ${names[m]} to ${line["group"]} already; each message of a group has its own name`,
      );
    const order = line["order"] ?? "reliable";
    if (typeof order !== "string" || !Object.hasOwn(ORDER_LEVELS, order))
      this.#refuse(`order is one of ${Object.keys(ORDER_LEVELS).join(", ")}, not ${show(order)}`);
    if (line["to"] !== undefined) {
      const receiver = this.#process(line, "to");
      receivers.set(m, receiver);
      this.#appeared[this.messages.groups.at(m)]?.add(receiver);
      this.#addressed = true;
    }
    senders.set(m, process);
    positions.set(m, timeline.length);
    levels[m] = order as OrderLevel;
    this.#multicasts += 1;
    this.#happen(timeline, m, MULTICAST, -1);
  }

  #deliver(line: Readonly<Record<string, unknown>>): void {
    const { process, timeline } = this.#actor(line);
    const claim = line["from"] === undefined ? -1 : this.#process(line, "from");
    this.#deliveries += 1;
    this.#happen(timeline, this.#groupMessage(line, process), DELIVER, claim);
  }

  #pass(line: Readonly<Record<string, unknown>>, type: "send" | "receive"): void {
    const { process, timeline } = this.#actor(line);
    const other = this.#process(line, type === "send" ? "to" : "from");
    const [sender, receiver] = type === "send" ? [process, other] : [other, process];
    const channel = sender * PROCESSES_MAX + receiver;
    // What is below groups orders nothing that they promise: a packet may be held back where it has come, and a marker passes it.
    if (line["carries"] === "packets" || line["snapshot"] !== undefined) return;
    let known = this.#channelMessages.get(channel);
    if (!known) {
      known = new Map();
      this.#channelMessages.set(channel, known);
    }
    const name = this.#messageName(line);
    const count = this.#count(line, name);
    const key = count === 1 ? String(name) : `${name} and ${count - 1} more`;
    let m = known.get(key);
    if (m === undefined) {
      m = this.#newMessage(name, -1, sender, receiver);
      known.set(key, m);
      if (count > 1) {
        this.#counts.set(m, count);
        this.#parted.add(channel);
      }
    }
    if (type === "send") {
      if (this.messages.positions.at(m) >= 0)
        this.#refuse(
          `${line["process"]} has sent ${name} to ${line["to"]} already; each message of a channel has its own name`,
        );
      this.messages.positions.set(m, timeline.length);
    }
    this.#happen(timeline, m, type === "send" ? SEND : RECEIVE, -1);
  }

  #happen(timeline: Timeline, message: number, kind: number, claim: number): void {
    this.#events += 1;
    if (this.#events > EVENTS_MAX)
      this.#refuse(`a history has up to ${EVENTS_MAX} events; check it in parts`);
    timeline.words.push((message << 2) | kind);
    timeline.lines.push(this.#line);
    timeline.claims.push(claim);
  }

  #declare(line: Readonly<Record<string, unknown>>): void {
    const group = this.#group(line);
    const { members } = line;
    if (this.#declared[group])
      this.#refuse(`the members of ${this.groups[group]} have been told already`);
    if (!Array.isArray(members) || members.length === 0)
      this.#refuse("members is a list of processes, at least one");
    this.#declared[group] = new Set(
      members.map((member: unknown) => this.#process({ member }, "member")),
    );
  }

  #head({ format, complete, late }: Readonly<Record<string, unknown>>): void {
    if (this.#line > 1) this.#refuse("only the first line is of type history");
    if (format !== undefined && format !== HISTORY_FORMAT)
      this.#refuse(`the format is ${show(format)}; this program reads ${HISTORY_FORMAT}`);
    if (complete !== undefined && typeof complete !== "boolean")
      this.#refuse(`complete is true or false, not ${show(complete)}`);
    if (late !== undefined && typeof late !== "boolean")
      this.#refuse(`late is true or false, not ${show(late)}`);
    this.#complete = complete ?? true;
    this.#late = late ?? false;
  }

  /** Whose event it is. */
  #actor(line: Readonly<Record<string, unknown>>): { process: number; timeline: Timeline } {
    const process = this.#process(line, "process");
    const timeline = this.timeline(process);
    if (line["after"] !== undefined)
      this.#refuse(
        "of a trace that was imported (after) no promises are judged: what its messages are is not known",
      );
    if (timeline.crashLine > 0)
      this.#refuse(
        `${line["process"]} has crashed, by line ${timeline.crashLine}; one that comes back takes part under a new name`,
      );
    return { process, timeline };
  }

  #process(line: Readonly<Record<string, unknown>>, field: string): number {
    const id = line[field];
    const known = this.#processIndex.get(id as ProcessId);
    if (known !== undefined) return known;
    if (!isProcessId(id))
      this.#refuse(
        `${field} is a process id, of 1 to 64 letters, digits, ".", "_" or "-", not ${show(id)}`,
      );
    if (this.processes.length === PROCESSES_MAX)
      this.#refuse(`a history has up to ${PROCESSES_MAX} processes`);
    const index = this.processes.push(id) - 1;
    this.#processIndex.set(id, index);
    this.timelines.push(new Timeline());
    return index;
  }

  #group({ group }: Readonly<Record<string, unknown>>): number {
    const known = this.#groupIndex.get(group as string);
    if (known !== undefined) return known;
    if (typeof group !== "string" || group === "" || group.length > NAME_LENGTH_MAX)
      this.#refuse(`group is a text of 1 to ${NAME_LENGTH_MAX} characters, not ${show(group)}`);
    if (this.groups.length === GROUPS_MAX) this.#refuse(`a history has up to ${GROUPS_MAX} groups`);
    const index = this.groups.push(group) - 1;
    this.#groupIndex.set(group, index);
    this.#groupMessages.push(new Map());
    this.#appeared.push(new Set());
    return index;
  }

  #groupMessage(line: Readonly<Record<string, unknown>>, process: number): number {
    const group = this.#group(line);
    const name = this.#messageName(line);
    this.#appeared[group]?.add(process);
    const known = this.#groupMessages[group] as Map<string, number>;
    let m = known.get(String(name));
    if (m === undefined) {
      m = this.#newMessage(name, group, -1, -1);
      known.set(String(name), m);
    }
    return m;
  }

  #newMessage(name: MessageId, group: number, sender: number, receiver: number): number {
    if (this.messages.length === MESSAGES_MAX)
      this.#refuse(`a history has up to ${MESSAGES_MAX} messages; check it in parts`);
    return this.messages.add(name, group, sender, receiver);
  }

  /** How many messages a line of a channel is about. */
  #count({ count = 1 }: Readonly<Record<string, unknown>>, name: MessageId): number {
    if (!Number.isSafeInteger(count) || (count as number) < 1 || (count as number) > COUNT_MAX)
      this.#refuse(`count is a whole number from 1 to ${COUNT_MAX}, not ${show(count)}`);
    // Of what has no number it says nothing that matters.
    return Number.isSafeInteger(Number(name)) ? (count as number) : 1;
  }

  #messageName({ message }: Readonly<Record<string, unknown>>): MessageId {
    if (typeof message === "string" && message !== "" && message.length <= NAME_LENGTH_MAX)
      return message;
    if (Number.isSafeInteger(message)) return message as number;
    return this.#refuse(
      `message is a text of 1 to ${NAME_LENGTH_MAX} characters or a whole number, not ${show(message)}`,
    );
  }

  #refuse(reason: string): never {
    throw new TidemarkError("BAD_OPTION", `${this.#name}:${this.#line}: ${reason}`);
  }
}

/** How large a history is. */
export interface HistoryCounts {
  readonly processes: number;
  readonly groups: number;
  /** That were multicast. */
  readonly messages: number;
  readonly deliveries: number;
}

/**
 * A history from a text of JSON lines.
 * @param name what errors call it
 * @throws TidemarkError `BAD_OPTION` as `NAME:LINE: reason`
 */
export function parseHistory(text: string, name = "history"): History {
  const history = new History(name);
  for (const line of text.split("\n")) history.addText(line);
  return history;
}

/** Whatever it is, as short text. */
function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value !== "string")
    return typeof value === "number" ? `${value}` : `a ${typeof value}`;
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 79)}…` : value);
}
