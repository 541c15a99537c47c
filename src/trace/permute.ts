/**
 * What makes a global snapshot worth something although the system may never have been in its state: Chandy and Lamport
 * 1985, "Distributed Snapshots: Determining Global States of Distributed Systems", §4, Theorem 1. The events
 * of a trace can be put in another order, in which all that happened before its process recorded comes first. That is a
 * trace too: the system could have gone that way, to the same end. On that way it passes the recorded state.
 *
 * Assumptions. Channels are FIFO. A trace has its events in an order in which they happened, from the time when
 * every channel was empty.
 *
 * Theory of operation. The proof swaps an event outside the cut and an event inside that comes right after it, until there is
 * none. Two events of one process are never swapped, nor two on the same side of the cut; so what comes out is a
 * stable partition. A swap changes what can happen only if the second event receives what the first one sends: an orphan.
 */

import { TidemarkError } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";

/** Names a message; no other message of its channel has the same. */
export type MessageId = string | number;

/** One step of one process. What else is known of it may stand beside. */
export type ChannelEvent =
  | { readonly type: "internal"; readonly process: ProcessId }
  | {
      readonly type: "send";
      readonly process: ProcessId;
      readonly to: ProcessId;
      readonly message: MessageId;
    }
  | {
      readonly type: "receive";
      readonly process: ProcessId;
      readonly from: ProcessId;
      readonly message: MessageId;
    };

/** How many of its first events each process has inside the cut; one that is absent has none. */
export type Cut = ReadonlyMap<ProcessId, number>;

/** The messages in flight on one channel, in order. */
export interface ChannelState extends Channel {
  readonly messages: readonly MessageId[];
}

/** The first event of a trace that cannot happen where it stands. */
export interface Flaw<E> {
  readonly index: number;
  readonly event: E;
  readonly reason: string;
}

/** A trace in another order. */
export interface Permutation<E> {
  /** The events inside the cut, in the order in which they happened. They lead to the state of the cut. */
  readonly before: readonly E[];
  /** The others. */
  readonly after: readonly E[];
  /** The orphan that makes the new order impossible; there is one exactly if the cut is not consistent. */
  readonly flaw: Flaw<E> | undefined;
}

/**
 * Puts all events inside the cut before all others.
 *
 * @param trace one without a flaw
 * @throws TidemarkError `BAD_OPTION` when the cut has more events of a process than the trace
 *
 * @example
 * ```ts
 * import { inFlight, permute, type ChannelEvent } from "tidemark/trace";
 * const trace: ChannelEvent[] = [
 *   { type: "send", process: "p", to: "q", message: "M" },
 *   { type: "send", process: "q", to: "p", message: "N" },
 *   { type: "receive", process: "p", from: "q", message: "N" },
 * ];
 * // p recorded before it did anything, q after it had sent N. At no time was N alone in flight, but it could have been:
 * const { before, after, flaw } = permute(trace, new Map([["q", 1]]));
 * if (flaw) throw new Error(flaw.reason);
 * const messages = inFlight(before).map(({ from, to, messages }) => `${from} → ${to}: ${messages}`);
 * if (`${messages}` !== "q → p: N" || after.length !== 2) throw new Error("N is in flight at the cut");
 * ```
 */
export function permute<E extends ChannelEvent>(trace: readonly E[], cut: Cut): Permutation<E> {
  const counts = new Map<ProcessId, number>();
  const before: E[] = [];
  const after: E[] = [];
  for (const event of trace) {
    const count = (counts.get(event.process) ?? 0) + 1;
    counts.set(event.process, count);
    if (count <= (cut.get(event.process) ?? 0)) before.push(event);
    else after.push(event);
  }
  for (const [process, count] of cut) {
    const most = counts.get(process) ?? 0;
    if (!Number.isInteger(count) || count < 0 || count > most)
      throw new TidemarkError(
        "BAD_OPTION",
        `the cut has ${count} events of ${process}; it must be a whole number from 0 to ${most}`,
      );
  }
  return { before, after, flaw: findFlaw([...before, ...after]) };
}

/** The first event that cannot happen where it stands; `undefined` of a trace that can have happened. */
export function findFlaw<E extends ChannelEvent>(trace: readonly E[]): Flaw<E> | undefined {
  return new Channels().follow(trace);
}

/**
 * What is in flight at the end of a trace: the channels that are not empty, in the order in which they were first used.
 * @throws TidemarkError `BAD_OPTION` when the trace has a flaw
 */
export function inFlight(trace: readonly ChannelEvent[]): ChannelState[] {
  const channels = new Channels();
  const flaw = channels.follow(trace);
  if (flaw)
    throw new TidemarkError("BAD_OPTION", `event ${flaw.index} cannot happen: ${flaw.reason}`);
  return channels.state();
}

/** What went through one channel. */
interface Passage extends Channel {
  readonly sent: MessageId[];
  received: number;
}

/** All channels, empty at first. */
class Channels {
  readonly #passages = new Map<string, Passage>();

  /** Lets the events happen, up to the first that cannot. */
  follow<E extends ChannelEvent>(trace: readonly E[]): Flaw<E> | undefined {
    for (const [index, event] of trace.entries()) {
      const reason = this.#happen(event);
      if (reason !== undefined) return { index, event, reason };
    }
    return undefined;
  }

  state(): ChannelState[] {
    return [...this.#passages.values()]
      .filter(({ sent, received }) => received < sent.length)
      .map(({ from, to, sent, received }) => ({ from, to, messages: sent.slice(received) }));
  }

  /** Says why it cannot. */
  #happen(event: ChannelEvent): string | undefined {
    if (event.type === "send") {
      this.#passage(event.process, event.to).sent.push(event.message);
    } else if (event.type === "receive") {
      const { process, from, message } = event;
      const passage = this.#passage(from, process);
      const { sent, received } = passage;
      if (sent[received] !== message) {
        const ahead = sent.includes(message, received)
          ? `${sent[received]} is ahead of it`
          : "it is not in the channel";
        return `${process} receives ${message} from ${from}, but ${ahead}`;
      }
      passage.received += 1;
    }
    return undefined;
  }

  #passage(from: ProcessId, to: ProcessId): Passage {
    const channel = `${from} ${to}`;
    let passage = this.#passages.get(channel);
    if (!passage) {
      passage = { from, to, sent: [], received: 0 };
      this.#passages.set(channel, passage);
    }
    return passage;
  }
}
