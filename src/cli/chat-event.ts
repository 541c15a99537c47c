/** What happens in a chat and is shown: as values, which `--json` prints, and as lines for people. */

import { resolve } from "node:path";
import type { ErrorCode } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { OrderLevel } from "../core/order-level.ts";
import { duration } from "../core/quantity.ts";
import { shellWord } from "../core/shell-word.ts";
import type { Heard } from "./chat-member.ts";
import { type Paint, printable, table } from "./terminal.ts";

/**
 * Where another member is: not there yet, there, not there just now, for so long that it is taken for lost; or there without what it
 * knew, and so none of the chat.
 */
export type Presence = "awaited" | "here" | "away" | "lost" | "stranger";

/** One member, as `/who` has it. */
export interface Present {
  readonly member: ProcessId;
  readonly presence: Presence | "you";
  readonly address: string;
}

export type ChatEvent =
  | {
      readonly event: "started";
      readonly member: ProcessId;
      readonly members: readonly ProcessId[];
      readonly address: string;
      readonly order: OrderLevel;
    }
  | ({ readonly event: "message" } & Heard)
  | { readonly event: "member"; readonly member: ProcessId; readonly presence: Presence }
  | {
      readonly event: "stalled";
      readonly over: boolean;
      readonly members: readonly ProcessId[];
      readonly message: string;
    }
  | { readonly event: "why"; readonly sentences: readonly string[] }
  | { readonly event: "history"; readonly messages: readonly Heard[] }
  | { readonly event: "who"; readonly members: readonly Present[] }
  | {
      readonly event: "snapshot";
      readonly snapshot: SnapshotId;
      readonly consistent: boolean;
      readonly processes: number;
      /** Lines of the chat that were on their way, to each member for itself. */
      readonly messagesInFlight: number;
      readonly directory: string;
    }
  | { readonly event: "order"; readonly order: OrderLevel }
  | { readonly event: "delays"; readonly delays: Readonly<Record<ProcessId, number>> }
  | { readonly event: "help"; readonly text: string }
  | { readonly event: "error"; readonly code: ErrorCode; readonly message: string }
  | {
      readonly event: "ended";
      /** Who has not said to have all that was said here. */
      readonly unacknowledged: readonly ProcessId[];
    };

const PRESENCE: Readonly<Record<Presence, string>> = {
  awaited: "is not here yet",
  here: "is here",
  away: "is not there",
  lost: "is lost: nothing was heard of it for too long",
  stranger: "began again without what it knew, and is none of this chat: end all and begin anew",
};

/** For people; nothing in it drives a terminal but the paint. */
export function chatLines(event: ChatEvent, paint: Paint): readonly string[] {
  const note = (text: string): readonly string[] => [paint("dim", `* ${printable(text)}`)];
  switch (event.event) {
    case "started":
      return [
        paint("bold", `${event.member} in a chat of ${event.members.join(", ")}`),
        ...note(
          `listening on ${event.address}; order: ${event.order}; /help lists what else there is`,
        ),
      ];
    case "message":
      return [`${paint("dim", clock(event.atMs))} ${said(event, paint)}`];
    case "member":
      return note(`${event.member} ${PRESENCE[event.presence]}`);
    case "stalled":
      return event.over ? note("the chat goes on") : bad(event.message, paint);
    case "why":
      return event.sentences.length === 0 ? note("nothing waits") : event.sentences.flatMap(note);
    case "history":
      return event.messages.length === 0 ? note("nothing yet") : history(event.messages, paint);
    case "who":
      return table(
        event.members.map(({ member, presence, address }) => [
          `* ${member}`,
          presence === "you" ? "is you" : PRESENCE[presence],
          address,
        ]),
        "<<<",
      ).map((line) => paint("dim", line));
    case "snapshot": {
      const { snapshot, consistent, processes, messagesInFlight, directory } = event;
      const proven = consistent ? "is consistent" : "is NOT consistent";
      const many = messagesInFlight === 1 ? "1 message" : `${messagesInFlight} messages`;
      const where = directory === resolve(".tidemark") ? "" : ` --dir ${shellWord(directory)}`;
      return note(
        `snapshot ${snapshot} ${proven}: ${processes} members, ${many} in flight; tidemark show ${snapshot}${where}`,
      );
    }
    case "order":
      return note(`what you say is sent with order: ${event.order}`);
    case "delays": {
      const all = Object.entries(event.delays).map(([id, ms]) => `to ${id} ${duration(ms)}`);
      return note(all.length === 0 ? "nothing is delayed" : `delayed: ${all.join(", ")}`);
    }
    case "help":
      return event.text.split("\n").map((line) => paint("dim", line));
    case "error":
      return bad(event.message, paint);
    case "ended":
      return event.unacknowledged.length === 0
        ? []
        : bad(
            `not acknowledged by ${event.unacknowledged.join(", ")}: what you said may not reach all`,
            paint,
          );
  }
}

const bad = (message: string, paint: Paint): readonly string[] => [
  paint("red", `! ${printable(message)}`),
];

const said = ({ from, text }: Heard, paint: Paint): string =>
  `${paint("bold", `${from}>`)} ${printable(text)}`;

function history(messages: readonly Heard[], paint: Paint): readonly string[] {
  return messages.flatMap((one) => {
    const stamp = Object.entries(one.stamp).map(([id, number]) => `${id}:${number}`);
    const held = one.heldMs >= 1 ? `, held for ${duration(one.heldMs)}` : "";
    return [
      `${paint("dim", clock(one.atMs))} ${said(one, paint)}`,
      paint(
        "dim",
        `         ${one.order}, packet ${one.packet}, after [${stamp.join(" ")}]${held}`,
      ),
    ];
  });
}

/** 10:03:12, where this computer is. */
function clock(atMs: number): string {
  return new Date(atMs).toTimeString().slice(0, 8);
}
