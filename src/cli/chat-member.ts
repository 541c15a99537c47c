/** What a member of a chat does: says lines to the group, and remembers what it has heard. */

import { type ErrorCode, isTidemarkError, textOf } from "../core/error.ts";
import type { ProcessId } from "../core/id.ts";
import type { OrderLevel } from "../core/order-level.ts";
import type { PeerChange } from "../process/application.ts";
import type { Delivery, GroupApplication, GroupTurn } from "../process/grouped.ts";

/** A line that was said, as it was heard here. */
export interface Heard {
  readonly from: ProcessId;
  readonly text: string;
  readonly order: OrderLevel;
  /** Which packet of that member brought it. */
  readonly packet: number;
  /** For each member its last causal packet that happened before; for who said it, the packet itself. */
  readonly stamp: Readonly<Record<ProcessId, number>>;
  readonly atMs: number;
  /** How long it was held back here. */
  readonly heldMs: number;
}

/** What is to be said. */
export interface Saying {
  readonly text: string;
  readonly order: OrderLevel;
}

/** What came of it. */
export type Said =
  | { readonly room: boolean }
  | { readonly code: ErrorCode; readonly message: string };

/** The one group of a chat. */
export const GROUP = "chat";

/** So many lines are remembered. */
const REMEMBERED = 1_000;

export class ChatMember implements GroupApplication<string, readonly Heard[], Saying, Said> {
  #history: Heard[] = [];
  readonly #members: readonly ProcessId[];
  readonly #onHeard: (heard: Heard) => void;
  readonly #onPeer: (id: ProcessId, change: PeerChange) => void;

  /** @param members in ascending order, as they stand in stamps */
  constructor(
    members: readonly ProcessId[],
    onHeard: (heard: Heard) => void,
    onPeer: (id: ProcessId, change: PeerChange) => void,
  ) {
    this.#members = members;
    this.#onHeard = onHeard;
    this.#onPeer = onPeer;
  }

  get history(): readonly Heard[] {
    return this.#history;
  }

  request(id: number, { text, order }: Saying, turn: GroupTurn<string, Said>): void {
    try {
      turn.reply(id, { room: turn.multicast(GROUP, text, { order }) });
    } catch (error) {
      // The chat goes on; whoever typed it is told.
      const code = isTidemarkError(error) ? error.code : "APPLICATION_THREW";
      turn.reply(id, { code, message: textOf(error) });
    }
  }

  deliver(_group: string, delivery: Delivery<string>, { nowMs }: GroupTurn<string, Said>): void {
    const { from, message, order, packet } = delivery;
    const heard = {
      from,
      // A peer may send anything.
      text: String(message),
      order,
      packet: packet.number,
      stamp: Object.fromEntries(
        this.#members.map((id, i) => [id, id === from ? packet.number : (packet.stamp[i] ?? 0)]),
      ),
      atMs: nowMs,
      heldMs: Math.max(0, nowMs - packet.sinceMs),
    };
    this.#history.push(heard);
    if (this.#history.length > REMEMBERED) this.#history.shift();
    this.#onHeard(heard);
  }

  peer(id: ProcessId, change: PeerChange): void {
    this.#onPeer(id, change);
  }

  capture(): readonly Heard[] {
    return this.#history;
  }

  restore(history: readonly Heard[]): void {
    this.#history = [...history];
  }
}
