/** One member's chat, from its start to its end: takes lines, does what they say, and shows what happens. */

import { setTimeout as pause } from "node:timers/promises";
import { type ErrorCode, isTidemarkError, TidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import { ORDER_LEVELS, type OrderLevel } from "../core/order-level.ts";
import { encodeUtf8 } from "../core/utf8.ts";
import { describeGroup } from "../multicast/explanation.ts";
import { decodePacket, MEMBERS_MAX } from "../multicast/packet.ts";
import { Grouped, type GroupedState, groupedCodecs } from "../process/grouped.ts";
import { DelayedTransport } from "../runtime/delayed-transport.ts";
import type { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import { msgpackCodec } from "../runtime/msgpack-codec.ts";
import { type RunningProcess, startProcess } from "../runtime/running-process.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import type { Transport } from "../runtime/transport.ts";
import type { ChatEvent, Presence } from "./chat-event.ts";
import { ChatMember, GROUP, type Heard, type Said, type Saying } from "./chat-member.ts";
import { parseDuration } from "./options.ts";

/** What a session is started with. */
export interface ChatSetup {
  readonly id: ProcessId;
  /** In ascending order. */
  readonly members: readonly ProcessId[];
  readonly peers: Readonly<Record<ProcessId, string>>;
  readonly order: OrderLevel;
  readonly total: "sequencer" | "agreed";
  /** How much later what is sent leaves, by peer, in milliseconds. */
  readonly delay: Readonly<Record<ProcessId, number>>;
  /** How long to wait for a line that others have before asking them for it, in milliseconds. */
  readonly askAfterMs: number;
  readonly transport: Transport;
  readonly store: SnapshotStore;
  /** Of the store, as it is told. */
  readonly directory: string;
  readonly show: (event: ChatEvent) => void;
  /** Hears at once, and whenever it changes, with which order lines are sent. */
  readonly onOrder: (order: OrderLevel) => void;
}

type Running = RunningProcess<Uint8Array, GroupedState<readonly Heard[]>, Saying, Said>;

/** Of a line that is said. */
const LINE_BYTES = 4_096;
const HISTORY_LINES = 20;
/** How often is looked who is there. */
const LOOK_MS = 100;
/** So long an end waits until the others have all that was said. */
const FAREWELL_MS = 5_000;
const WAIT_MS = 10;
/** Told otherwise. */
const SILENT: readonly ErrorCode[] = ["PEER_UNREACHABLE", "PEER_RESTARTED"];
const LEVELS = Object.keys(ORDER_LEVELS);

const HELP = `/history [N]      the last lines: order, packet, what happened before, how long held
/why              what waits here, and for what
/who              who is there
/order [ORDER]    of what you say from now on: ${LEVELS.join(", ")}
/delay [b=800ms]  send to b so much later, from now on; b=0 for at once
/snapshot         records the whole chat while it goes on, with what is on its way
/quit             ends this member; the chat goes on without it
//text            says "/text"`;

export class ChatSession {
  /** Settles when the process has stopped by itself. */
  readonly stopped: Promise<unknown>;
  readonly #setup: ChatSetup;
  readonly #running: Running;
  readonly #grouped: Grouped<string, readonly Heard[], Saying, Said>;
  readonly #member: ChatMember;
  readonly #transport: DelayedTransport;
  readonly #presence: Map<ProcessId, Presence>;
  readonly #looking: NodeJS.Timeout;
  #order: OrderLevel;
  /** Under way. */
  #snapshots = 0;

  static async start(setup: ChatSetup): Promise<ChatSession> {
    const { id, members, total, delay, show } = setup;
    const presence = new Map<ProcessId, Presence>(
      members.filter((one) => one !== id).map((one) => [one, "awaited"]),
    );
    const transport = new DelayedTransport(setup.transport);
    for (const [peer, ms] of Object.entries(delay)) delayTo(transport, presence, peer, ms);
    const member = new ChatMember(
      members,
      (heard) => show({ event: "message", ...heard }),
      (peer, change) => {
        const was = presence.get(peer);
        // Who has not come yet is not lost, and who is none of the chat stays so.
        if (was === "stranger" || change === "back") return;
        if (was === "awaited" && change === "lost") return;
        const now = change === "lost" ? "lost" : "stranger";
        presence.set(peer, now);
        show({ event: "member", member: peer, presence: now });
      },
    );
    const messageCodec = msgpackCodec<string>();
    const stateCodec = msgpackCodec<unknown>();
    const problem = (code: ErrorCode, message: string): void =>
      show({ event: "error", code, message });
    const grouped = new Grouped<string, readonly Heard[], Saying, Said>({
      ...{ self: id, application: member, messageCodec, askAfterMs: setup.askAfterMs },
      groups: { [GROUP]: { members, total } },
      onIrregular: (reason) => problem("UNREADABLE_MESSAGE", reason),
      onStalled: ({ over, members: waitedFor, problem: { message } }) =>
        show({ event: "stalled", over, members: waitedFor, message }),
    });
    const running = await startProcess({
      ...{ id, processes: members, application: grouped, transport, store: setup.store },
      // Whoever means another chat is told so when they meet.
      system: `chat of ${members.join()} by ${total}`.slice(0, 256),
      ...groupedCodecs<string, readonly Heard[]>({ messageCodec, stateCodec }),
      onProblem: ({ code, message }) => {
        if (!SILENT.includes(code)) problem(code, message);
      },
    });
    return new ChatSession(setup, { running, grouped, member, transport, presence });
  }

  private constructor(
    setup: ChatSetup,
    parts: {
      readonly running: Running;
      readonly grouped: Grouped<string, readonly Heard[], Saying, Said>;
      readonly member: ChatMember;
      readonly transport: DelayedTransport;
      readonly presence: Map<ProcessId, Presence>;
    },
  ) {
    this.#setup = setup;
    this.#running = parts.running;
    this.#grouped = parts.grouped;
    this.#member = parts.member;
    this.#transport = parts.transport;
    this.#presence = parts.presence;
    this.stopped = parts.running.stopped;
    this.#order = setup.order;
    const { id: member, members, show, onOrder } = setup;
    show({ event: "started", member, members, address: this.#running.address, order: this.#order });
    onOrder(this.#order);
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  /**
   * Does what a line says; false if that was to end.
   * @param patient whether to wait for room, if there is none
   */
  async take(line: string, patient: boolean): Promise<boolean> {
    const text = line.trimEnd();
    try {
      const [, command, rest = ""] = /^\s*\/([^/\s]*)\s*(.*)$/.exec(text) ?? [];
      if (command !== undefined && !text.startsWith("//")) return this.#command(command, rest);
      if (text !== "") await this.#say(text.replace(/^\/\//, "/"), patient);
    } catch (error) {
      const code = isTidemarkError(error) ? error.code : "BAD_OPTION";
      this.#setup.show({ event: "error", code, message: textOf(error) });
    }
    return true;
  }

  /** Waits a while until the others have what was said here, and know what came here, if nobody is in a hurry; gives the exit status. */
  async end(hurry: AbortSignal): Promise<number> {
    const untilMs = performance.now() + FAREWELL_MS;
    const waits = (): boolean => !hurry.aborted && performance.now() < untilMs;
    const isOwing = (): boolean =>
      this.#unacknowledged(false).length > 0 || this.#grouped.explain(GROUP)?.isUntold === true;
    while (waits() && isOwing()) await pause(WAIT_MS);
    const unacknowledged = this.#unacknowledged(true);
    while (!hurry.aborted && this.#snapshots > 0) await pause(WAIT_MS);
    clearInterval(this.#looking);
    await this.#running.stop();
    const problem = await this.#running.stopped;
    if (problem) throw problem;
    this.#setup.show({ event: "ended", unacknowledged });
    return unacknowledged.length === 0 || hurry.aborted ? 0 : 1;
  }

  /** @param gone whether to count those that will not do so any more */
  #unacknowledged(gone: boolean): readonly ProcessId[] {
    const by = this.#grouped.explain(GROUP)?.unstable?.by ?? [];
    return by
      .map(({ member }) => member)
      .filter((id) => gone || !["lost", "stranger"].includes(this.#presence.get(id) ?? ""));
  }

  async #say(text: string, patient: boolean): Promise<void> {
    const bytes = encodeUtf8(text).length;
    if (bytes > LINE_BYTES)
      throw new TidemarkError(
        "MESSAGE_TOO_LARGE",
        `that line has ${bytes} bytes, and ${LINE_BYTES} are the most: it was not said`,
      );
    const said = await this.#running.request({ text, order: this.#order });
    if ("code" in said) throw new TidemarkError(said.code, said.message);
    if (said.room || !patient) return;
    while (this.#grouped.explain(GROUP)?.unstable?.room === false) await pause(WAIT_MS);
  }

  #command(name: string, rest: string): boolean {
    const { show, onOrder } = this.#setup;
    switch (name) {
      case "quit":
        return false;
      case "help":
        show({ event: "help", text: HELP });
        break;
      case "history": {
        const most = rest === "" ? HISTORY_LINES : Number(rest);
        if (!/^[0-9]*$/.test(rest) || most < 1)
          throw new TidemarkError("BAD_OPTION", "use /history, or /history 50 for the last 50");
        show({ event: "history", messages: this.#member.history.slice(-most) });
        break;
      }
      case "why": {
        const explanation = this.#grouped.explain(GROUP);
        const nowMs = performance.timeOrigin + performance.now();
        show({ event: "why", sentences: explanation ? describeGroup(explanation, nowMs) : [] });
        break;
      }
      case "who":
        this.#look();
        this.#who();
        break;
      case "order":
        if (rest !== "" && !LEVELS.includes(rest))
          throw new TidemarkError(
            "BAD_OPTION",
            `there is no order ${rest}: use ${LEVELS.join(", ")}`,
          );
        if (rest !== "") this.#order = rest as OrderLevel;
        show({ event: "order", order: this.#order });
        onOrder(this.#order);
        break;
      case "delay":
        for (const one of rest.split(/[\s,]+/).filter((word) => word !== "")) {
          const [peer = "", time = "", ...more] = one.split("=");
          if (time === "" || more.length > 0)
            throw new TidemarkError("BAD_OPTION", "use /delay b=800ms, or /delay b=0");
          delayTo(this.#transport, this.#presence, peer, parseDuration(time));
        }
        show({ event: "delays", delays: this.#transport.delays });
        break;
      case "snapshot":
        void this.#snapshot();
        break;
      default:
        throw new TidemarkError(
          "BAD_OPTION",
          `there is no command /${name}: /help lists them; //${name} says /${name}`,
        );
    }
    return true;
  }

  /** Never rejects. */
  async #snapshot(): Promise<void> {
    const { show, directory, members } = this.#setup;
    this.#snapshots += 1;
    try {
      const snapshot = await this.#running.snapshot();
      const { consistent } = await snapshot.verify();
      show({
        ...{ event: "snapshot", snapshot: snapshot.id, consistent, processes: members.length },
        ...{ messagesInFlight: await linesInFlight(snapshot), directory },
      });
    } catch (error) {
      const code = isTidemarkError(error) ? error.code : "STORE_FAILED";
      show({ event: "error", code, message: `no snapshot was taken: ${textOf(error)}` });
    } finally {
      this.#snapshots -= 1;
    }
  }

  #who(): void {
    const { id, members, peers, show } = this.#setup;
    show({
      event: "who",
      members: members.map((member) => ({
        member,
        presence: member === id ? "you" : (this.#presence.get(member) ?? "awaited"),
        address: (member === id ? this.#running.address : peers[member]) ?? "",
      })),
    });
  }

  /** Tells who has come and who has gone. */
  #look(): void {
    const down = new Set(
      this.#running.explain().channels.flatMap(({ to, up }) => (up ? [] : [to])),
    );
    for (const [member, was] of this.#presence) {
      let now: Presence = was;
      if (was === "stranger") continue;
      if (!down.has(member)) now = "here";
      else if (was === "here") now = "away";
      if (now === was) continue;
      this.#presence.set(member, now);
      this.#setup.show({ event: "member", member, presence: now });
    }
  }
}

/** Of members that there are. */
function delayTo(
  transport: DelayedTransport,
  others: ReadonlyMap<ProcessId, unknown>,
  peer: ProcessId,
  ms: number,
): void {
  if (!others.has(peer))
    throw new TidemarkError(
      "UNKNOWN_PROCESS",
      `nothing is sent to ${peer}: the others are ${[...others.keys()].join(", ")}`,
    );
  transport.delay(peer, Math.round(ms));
}

/** How many lines of the chat are on their way, beside what else members tell each other. */
async function linesInFlight(snapshot: GlobalSnapshot<unknown, Uint8Array>): Promise<number> {
  let lines = 0;
  for (const { process: to, incoming } of snapshot.manifest.pieces)
    for (const { from } of incoming)
      for (const bytes of await snapshot.inFlight(from, to)) {
        const packet = decodePacket(bytes, MEMBERS_MAX);
        if (typeof packet === "object" && "number" in packet) lines += packet.count;
      }
  return lines;
}
