/** Why a group does not go on: as data, and as sentences for people. */

import type { ProcessId } from "../core/id.ts";
import type { OrderLevel } from "../core/order-level.ts";
import { byteSize, duration } from "../core/quantity.ts";

/** All that waits at one member of a group, and for what. */
export interface GroupExplanation {
  /** Where that is so. */
  readonly self: ProcessId;
  /** Whose word gives total order; absent if it is agreed. */
  readonly sequencer?: ProcessId;
  /** Members that are taken for lost; and those among them that came back without their state, and are none any more. */
  readonly lost: readonly ProcessId[];
  readonly replaced: readonly ProcessId[];
  /** Packets that are here, and are not delivered. */
  readonly held: readonly HeldPacket[];
  /** Packets that there are, and are not here. */
  readonly gaps: readonly Gap[];
  /** Own packets that not all members have; absent if there are none. */
  readonly unstable?: Unstable;
  /** Whether it has packets that it has not told the others of: they may take them for unstable if it leaves now. */
  readonly isUntold: boolean;
}

/** Why a packet is not delivered yet. */
export interface HeldPacket {
  readonly from: ProcessId;
  readonly number: number;
  readonly kind: OrderLevel | "orders" | "finals";
  readonly messages: number;
  /** When it came here. */
  readonly sinceMs: number;
  /** What it waits for: that a majority has it, for a word about its place in the total order, or only for packets. */
  readonly waitsFor: "majority" | "word" | "packets";
  /** Packets that must be delivered first; `here` if they have come. */
  readonly packets: readonly {
    readonly from: ProcessId;
    readonly number: number;
    readonly here: boolean;
  }[];
  /** Members who have not said what they must. */
  readonly members: readonly ProcessId[];
}

/** Packets of one origin that have not come, although others have them or later ones are here. */
export interface Gap {
  readonly from: ProcessId;
  /** The first and the last that is missing, as far as is known. */
  readonly first: number;
  readonly last: number;
  /** Of that origin, packets that have come and stand behind the first that is missing. */
  readonly early: number;
  readonly sinceMs: number;
  /** How often it was asked for. */
  readonly asked: number;
  /** Others that are known to have the first. */
  readonly at: readonly ProcessId[];
}

/** Own packets that not all members have said to have. */
export interface Unstable {
  readonly bytes: number;
  /** Whether there is room for more. */
  readonly room: boolean;
  /** Since when none has become stable. */
  readonly sinceMs: number;
  /** Who has not said so: of which packet on, and how much that is. */
  readonly by: readonly {
    readonly member: ProcessId;
    readonly first: number;
    readonly bytes: number;
  }[];
}

/** What keeps a group from going on, of all that does for the longest time. */
export interface Stall {
  readonly sinceMs: number;
  /** The members that it comes down to. */
  readonly members: readonly ProcessId[];
  /** That alone. */
  readonly explanation: GroupExplanation;
}

/**
 * What waits at a member of a group, and for what: a sentence for each packet that is held back, for each gap, and for own packets that
 * others have not acknowledged. No sentences if nothing waits.
 *
 * @param nowMs on the clock of the process, as its turns have it
 * @example
 * ```ts
 * import { describeGroup } from "tidemark";
 *
 * const sentences = describeGroup(
 *   {
 *     ...{ self: "p3", sequencer: "p1", lost: ["p1"], replaced: [], gaps: [], isUntold: false },
 *     held: [
 *       {
 *         ...{ from: "p2", number: 17, kind: "causal", messages: 3, sinceMs: 1000, waitsFor: "packets" },
 *         ...{ packets: [{ from: "p1", number: 5, here: false }], members: [] },
 *       },
 *     ],
 *   },
 *   1120,
 * );
 * const expected =
 *   "packet 17 of p2 (causal, 3 messages) is held at p3 for 120 ms: it waits for packet 5 of p1, which has not come here; p1 is lost";
 * if (sentences.join() !== expected) throw new Error(sentences.join("\n"));
 * ```
 */
export function describeGroup(explanation: GroupExplanation, nowMs: number): readonly string[] {
  const { self, held, gaps, unstable } = explanation;
  const since = (ms: number): string => duration(Math.max(0, nowMs - ms));
  const sentences = held.map((one) => {
    const { from, number, kind, messages, sinceMs } = one;
    const what = messages > 0 ? `${kind}, ${many(messages, "message")}` : kind;
    const reasons = waitingFor(one, explanation);
    const known = reasons.length > 0 ? `: it waits ${reasons.join(", and ")}` : "";
    const named = [...one.members, ...one.packets.map((packet) => packet.from), self];
    return `packet ${number} of ${from} (${what}) is held at ${self} for ${since(sinceMs)}${known}${gone(named, explanation)}`;
  });
  for (const { from, first, last, early, sinceMs, asked, at } of gaps) {
    const which =
      first === last
        ? `packet ${first} of ${from} has`
        : `packets ${first} to ${last} of ${from} have`;
    const behind =
      early > 0
        ? [`${many(early, "packet")} behind ${first === last ? "it" : "them"} came early`]
        : [];
    const owners =
      at.length > 0
        ? [`${listed(at)} ${at.length > 1 ? "have" : "has"} ${first === last ? "it" : "some"}`]
        : [];
    const times =
      asked > 0 ? [`asked for ${["once", "twice"][asked - 1] ?? `${asked} times`}`] : [];
    const known = [...behind, ...owners, ...times].join(", ");
    sentences.push(
      `${which} not come to ${self} for ${since(sinceMs)}${known && `: ${known}`}${gone([from, ...at, self], explanation)}`,
    );
  }
  const room = unstable?.room ? "" : "no room: ";
  // Only of the oldest it is known since when.
  const oldest = Math.min(...(unstable?.by ?? []).map(({ first }) => first));
  for (const { member, first, bytes } of unstable?.by ?? []) {
    const late = first === oldest ? `, for ${since(unstable?.sinceMs ?? nowMs)}` : "";
    const what = `${room}${member} has not acknowledged ${byteSize(bytes)} of own packets`;
    sentences.push(`${what}, from packet ${first} on${late}${gone([member, self], explanation)}`);
  }
  return sentences;
}

/** What stalls a group, in a sentence. */
export function describeStall({ members, explanation }: Stall, nowMs: number): string {
  const whom = members.length > 0 ? `it waits for ${listed(members)}` : "it waits";
  const sentences = describeGroup(explanation, nowMs).map(
    (sentence) => `. ${sentence.slice(0, 1).toUpperCase()}${sentence.slice(1)}`,
  );
  return whom + sentences.join("");
}

function waitingFor(
  { waitsFor, packets, members }: HeldPacket,
  { sequencer }: GroupExplanation,
): readonly string[] {
  const reasons: string[] = [];
  if (waitsFor === "majority")
    reasons.push(
      `until a majority has it; ${listed(members)} ${members.length > 1 ? "have" : "has"} not said so`,
    );
  else if (members.length > 0) {
    const [first] = members;
    const who =
      members.length === 1 && first === sequencer ? `${first}, the sequencer` : listed(members);
    reasons.push(`for the word of ${who}`);
  }
  const later = new Map<string, number>();
  for (const { from, number, here } of packets) {
    // Of several of one origin the last says it all.
    const key = `${here ? "+" : "-"}${from}`;
    later.set(key, Math.max(number, later.get(key) ?? 0));
  }
  for (const [key, number] of later)
    reasons.push(
      `for packet ${number} of ${key.slice(1)}, which ${key.startsWith("+") ? "is held here too" : "has not come here"}`,
    );
  return reasons;
}

/** Which of those are gone. */
function gone(named: readonly ProcessId[], { lost, replaced }: GroupExplanation): string {
  return [...new Set(named)]
    .filter((id) => lost.includes(id))
    .map((id) =>
      replaced.includes(id)
        ? `; ${id} began again without its state, and is no member any more`
        : `; ${id} is lost`,
    )
    .join("");
}

const many = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

const listed = (ids: readonly ProcessId[]): string =>
  ids.length < 2 ? ids.join() : `${ids.slice(0, -1).join(", ")} and ${ids.at(-1)}`;
