/**
 * Why something does not go on, of a whole system: for each thing that is late or held back what it waits for, and what that waits for,
 * down to the process or the channel that holds it.
 *
 * Theory of operation. Each process explains itself (`Explanation`): which markers have not come, which packets it holds back and for
 * which others, which peers are not there. Each such sentence names somebody else; so the chain goes on with what that one says
 * of the same snapshot or packet, until somebody is reached who says nothing more: who does not answer, is not connected, has not taken
 * what came, or is at it. What was reached already on the way is not followed again, so circles end.
 *
 * What applications declare to wait for (`waits`) is followed in the same way. Processes are not asked at one moment, so a circle may be
 * of waits that were never there together: whether it is a deadlock is decided by a snapshot (door `tidemark/detect`). And there is no time
 * in such a wait: it is late if it was there a while ago.
 */

import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";
import type { GroupExplanation, HeldPacket } from "../multicast/explanation.ts";
import type { Wait } from "./declarations.ts";
import type { Explanation } from "./process.ts";

/** What can hold something up. Codes are stable; docs/operate/causes.md says of each what to do. */
export const CAUSES = {
  PROCESS_SILENT: "A process does not answer.",
  CHANNEL_DOWN: "Two processes are not connected.",
  CHANNEL_NOT_TAKEN: "Messages have come to a process, which has not taken them.",
  CHANNEL_WAITS: "Messages were sent, and the other process has not acknowledged them.",
  EPOCH_BEHIND: "The system was restored, and a process has not followed.",
  SNAPSHOT_OPEN: "A snapshot is not complete.",
  MARKER_MISSING: "What closes a channel for a snapshot has not come: a marker, a count, messages.",
  CHANNELS_OPEN:
    "The initiator of a snapshot has not heard that the channels of a process are closed.",
  STATE_NOT_RECORDED: "A process has not recorded its state for a snapshot.",
  PIECE_NOT_STORED: "The piece of a process is not in the store.",
  MANIFEST_NOT_WRITTEN: "All pieces are stored, and the manifest is not written.",
  PACKET_HELD: "A message of a group is here and is not delivered.",
  PACKET_MISSING: "A message of a group has not come here.",
  WORD_MISSING: "A member of a group has not said what others need for its order.",
  NOT_ACKNOWLEDGED:
    "A member of a group has not acknowledged messages, and there is no room for more.",
  PROCESS_WAITS: "An application says that it waits for others.",
  WAIT_CIRCLE: "Some wait for each other, in a circle.",
  WAITS_UNKNOWN: "What an application waits for is not known.",
} as const;

export type CauseCode = keyof typeof CAUSES;

/** Something that does not go on, and why. */
export interface Cause {
  readonly code: CauseCode;
  /** Where: at a process, or on a channel. */
  readonly at: ProcessId | Channel;
  /** In words, for people. */
  readonly text: string;
  /** Since when, by the clock of the process that says it. */
  readonly sinceMs?: number;
  /** What it comes from; nothing, if nobody knows more. */
  readonly because: readonly Cause[];
}

/** What a process says of itself. */
export interface ProcessReport {
  readonly process: ProcessId;
  /** Absent if it is not known. */
  readonly epoch?: number;
  /** Absent if it does not answer. */
  readonly explanation?: Explanation;
}

/** Why a system does not go on. */
export interface SystemExplanation {
  /** All that is late or held back; each with the chain of what it waits for. */
  readonly late: readonly Cause[];
  /** What they come down to: the ends of the chains, with how many of `late` each holds up; those that hold up most come first. */
  readonly heldBy: readonly (Cause & { readonly holds: number })[];
}

/** When, and how late, `explainSystem` is asked. */
export interface ExplainOptions {
  /** Since 1970, in milliseconds. */
  readonly nowMs: number;
  /** What is younger is not late, in milliseconds. @default 1000 */
  readonly lateMs?: number;
  /** What the processes reported when the waits of now would be late: those that were there are. @default no wait is late */
  readonly earlier?: { readonly atMs: number; readonly reports: readonly ProcessReport[] };
}

/**
 * @param reports of all processes of which something is known; of one that is not in it nothing is said
 * @example
 * ```ts
 * import { explainSystem } from "tidemark";
 *
 * const explanation = { process: "p1", channels: [], groups: {} };
 * const waits = { snapshot: "p1/7", sinceMs: 1_000, waitsFor: ["the marker of p2"], unheard: ["p2"] } as const;
 * const { late, heldBy } = explainSystem(
 *   [{ process: "p1", explanation: { ...explanation, snapshots: [waits] } }, { process: "p2" }],
 *   { nowMs: 9_000 },
 * );
 * if (late[0]?.code !== "SNAPSHOT_OPEN" || heldBy[0]?.code !== "PROCESS_SILENT") throw new Error("p2 holds it up");
 * ```
 */
export function explainSystem(
  reports: readonly ProcessReport[],
  { nowMs, lateMs = LATE_MS, earlier }: ExplainOptions,
): SystemExplanation {
  return new Explainer(reports, nowMs - lateMs, earlier).explain();
}

const LATE_MS = 1_000;
/** Of one thing no more is said than that many others that hold it up. */
const BECAUSE_MAX = 16;

/** What a cause comes from: followed when it is told itself, for it may lead back to it. */
type Because = () => readonly (Cause | undefined)[];

class Explainer {
  readonly #reports = new Map<ProcessId, ProcessReport>();
  readonly #untilMs: number;
  /** Those that are told of already, and those whose chain is being followed. */
  readonly #told = new Map<string, Cause>();
  readonly #following = new Set<string>();
  /** By who waits, a process or something within it: its waits, and where it is. */
  readonly #waiting = new Map<string, { readonly process: ProcessId; readonly wait: Wait }[]>();
  /** Those whose waits are being followed. */
  readonly #chain: string[] = [];
  readonly #earlier: ExplainOptions["earlier"];

  constructor(
    reports: readonly ProcessReport[],
    untilMs: number,
    earlier: ExplainOptions["earlier"],
  ) {
    for (const report of reports) this.#reports.set(report.process, report);
    this.#untilMs = untilMs;
    this.#earlier = earlier;
    for (const { process, explanation } of reports)
      for (const wait of explanation?.waits ?? []) {
        const who = wait.who ?? process;
        this.#waiting.set(who, [...(this.#waiting.get(who) ?? []), { process, wait }]);
      }
  }

  explain(): SystemExplanation {
    const late: Cause[] = [];
    const add = (cause: Cause | undefined): void => {
      if (cause) late.push(cause);
    };
    for (const [process, { explanation }] of this.#reports) {
      for (const { snapshot, sinceMs, waitsFor } of explanation?.snapshots ?? [])
        if (sinceMs <= this.#untilMs && waitsFor.length > 0) add(this.#snapshot(process, snapshot));
      for (const [group, { held, gaps, unstable }] of Object.entries(explanation?.groups ?? {})) {
        for (const one of held)
          if (one.sinceMs <= this.#untilMs) add(this.#held(process, group, one));
        // What a packet is held back for has been told with it.
        for (const { from, first, sinceMs } of gaps)
          if (sinceMs <= this.#untilMs && !held.some(waitsForPacket(from, first)))
            add(this.#missing(process, group, from, first));
        if (unstable && !unstable.room && unstable.sinceMs <= this.#untilMs)
          add(this.#full(process, group));
      }
      for (const { who = process } of this.#lateWaits(process))
        for (const cause of this.#waitsOf(who)) if (!late.includes(cause)) late.push(cause);
      const unknown = explanation?.waitsUnknown;
      if (unknown !== undefined)
        add(
          this.#cause(
            "WAITS_UNKNOWN",
            process,
            `what ${process} waits for is not known: ${unknown}`,
          ),
        );
    }
    const epoch = Math.max(...[...this.#reports.values()].map((one) => one.epoch ?? 0));
    for (const [process, report] of this.#reports)
      if (report.explanation && report.epoch !== undefined && report.epoch < epoch)
        add(this.#behind(process, report.epoch, epoch));

    const ends = new Map<string, Cause & { holds: number }>();
    for (const cause of late)
      for (const [key, end] of endsOf(cause)) {
        const known = ends.get(key);
        if (known) known.holds += 1;
        else ends.set(key, { ...end, holds: 1 });
      }
    // Who is not there is to be told also if nothing is held up by it yet.
    for (const cause of this.#absences()) {
      const key = keyOf(cause);
      if (!ends.has(key)) ends.set(key, { ...cause, holds: 0 });
    }
    return { late, heldBy: [...ends.values()].sort((a, b) => b.holds - a.holds) };
  }

  #cause(
    code: CauseCode,
    at: ProcessId | Channel,
    text: string,
    because: Because = () => [],
    sinceMs?: number,
  ): Cause | undefined {
    const head = { code, at, text, ...(sinceMs !== undefined && { sinceMs }) };
    const key = `${keyOf(head)} ${text}`;
    const told = this.#told.get(key);
    if (told || this.#following.has(key)) return told;
    this.#following.add(key);
    const found = because().flatMap((one) => one ?? []);
    this.#following.delete(key);
    const cause = { ...head, because: [...new Set(found)].slice(0, BECAUSE_MAX) };
    this.#told.set(key, cause);
    return cause;
  }

  /** Why nothing is heard of one process by another: it does not answer at all, or they are not connected. */
  #absence(from: ProcessId, to: ProcessId): Cause | undefined {
    const report = this.#reports.get(from);
    if (report && !report.explanation)
      return this.#cause("PROCESS_SILENT", from, `${from} does not answer`);
    return this.#down(from, to);
  }

  #down(from: ProcessId, to: ProcessId): Cause | undefined {
    for (const id of [to, from])
      for (const channel of this.#reports.get(id)?.explanation?.channels ?? []) {
        const ends = [channel.from, channel.to];
        if (channel.up || !ends.includes(from) || !ends.includes(to)) continue;
        const why = channel.reason === undefined ? "" : `: ${channel.reason}`;
        const text = `${from} and ${to} are not connected${why}`;
        // Both ends say it; it is one thing.
        const [a = from, b = to] = [from, to].sort();
        return this.#cause(
          "CHANNEL_DOWN",
          { from: a, to: b },
          text,
          undefined,
          channel.downSinceMs,
        );
      }
    return undefined;
  }

  #absences(): Cause[] {
    return [...this.#reports].flatMap(([process, { explanation }]) => {
      if (!explanation) return this.#absence(process, process) ?? [];
      return explanation.channels.flatMap(({ from, to, up }) => {
        const report = this.#reports.get(from === process ? to : from);
        // Who does not answer is not connected either.
        return up || (report && !report.explanation) ? [] : (this.#down(from, to) ?? []);
      });
    });
  }

  /** A snapshot that is open at a process. */
  #snapshot(process: ProcessId, snapshot: SnapshotId): Cause | undefined {
    const open = this.#openAt(process, snapshot);
    if (!open) return undefined;
    const { unheard, late, sinceMs } = open;
    const text = `${snapshot} is not complete at ${process}`;
    const because: Because = () => [
      ...unheard.map((from) => this.#unheard(from, process, snapshot)),
      // What it waits for itself has been said.
      ...(late?.unclosed ?? []).map((id) =>
        id === process ? undefined : this.#unclosed(id, process, snapshot),
      ),
      ...(late?.unclosed.length === 0 ? late.unstored : []).map((id) =>
        this.#cause(
          "PIECE_NOT_STORED",
          id,
          `the piece of ${id} is not in the store, as far as ${process} has heard`,
          () => (id === process ? [] : [this.#absence(id, process)]),
        ),
      ),
      late?.unclosed.length === 0 && late.unstored.length === 0
        ? this.#cause("MANIFEST_NOT_WRITTEN", process, `the manifest of ${snapshot} is not written`)
        : undefined,
    ];
    return this.#cause("SNAPSHOT_OPEN", process, text, because, sinceMs);
  }

  #openAt(process: ProcessId, snapshot: SnapshotId): Explanation["snapshots"][number] | undefined {
    const { explanation } = this.#reports.get(process) ?? {};
    return explanation?.snapshots.find((one) => one.snapshot === snapshot);
  }

  /** Nothing has come on a channel that would close it. */
  #unheard(from: ProcessId, to: ProcessId, snapshot: SnapshotId): Cause | undefined {
    const text = `what closes ${from} → ${to} for ${snapshot} has not come to ${to}`;
    return this.#cause("MARKER_MISSING", { from, to }, text, () => {
      const absent = this.#absence(from, to);
      if (absent) return [absent];
      const { explanation } = this.#reports.get(from) ?? {};
      if (explanation && !explanation.snapshots.some((one) => one.snapshot === snapshot))
        return [this.#unrecorded(from, snapshot)];
      return [this.#onTheWay(from, to)];
    });
  }

  /** A process has not heard of a snapshot. Whoever told it of that, it may not have taken. */
  #unrecorded(process: ProcessId, snapshot: SnapshotId): Cause | undefined {
    const text = `${process} has not recorded for ${snapshot}`;
    return this.#cause("STATE_NOT_RECORDED", process, text, () =>
      [...this.#reports.keys()]
        .filter((from) => from !== process)
        .map((from) =>
          this.#openAt(from, snapshot)
            ? (this.#absence(from, process) ?? this.#onTheWay(from, process))
            : undefined,
        ),
    );
  }

  /** Something was sent, and has not been taken. */
  #onTheWay(from: ProcessId, to: ProcessId): Cause | undefined {
    const find = (id: ProcessId): Explanation["channels"][number] | undefined =>
      this.#reports
        .get(id)
        ?.explanation?.channels.find((one) => one.from === from && one.to === to);
    const [inbox, outbox] = [find(to), find(from)];
    const many = (count: number): string => `${count} ${count === 1 ? "message" : "messages"}`;
    if (inbox && inbox.waiting.messages > 0)
      return this.#cause(
        "CHANNEL_NOT_TAKEN",
        { from, to },
        `${to} has not taken ${many(inbox.waiting.messages)} of ${from}`,
      );
    if (outbox && outbox.waiting.messages > 0)
      return this.#cause(
        "CHANNEL_WAITS",
        { from, to },
        `${to} has not acknowledged ${many(outbox.waiting.messages)} of ${from}`,
      );
    return undefined;
  }

  /** The initiator has not heard that channels of a process are closed. */
  #unclosed(process: ProcessId, initiator: ProcessId, snapshot: SnapshotId): Cause | undefined {
    const text = `${initiator} has not heard that the channels of ${process} are closed for ${snapshot}`;
    return this.#cause("CHANNELS_OPEN", process, text, () => {
      const absent = this.#absence(process, initiator);
      if (absent) return [absent];
      if (!this.#reports.get(process)) return [];
      return [this.#snapshot(process, snapshot) ?? this.#unrecorded(process, snapshot)];
    });
  }

  /** A packet that a member holds back. */
  #held(process: ProcessId, group: string, one: HeldPacket): Cause | undefined {
    const { from, number, kind, packets, members, sinceMs, waitsFor } = one;
    const text = `packet ${number} of ${from} (${kind}) is held back at ${process}, in group ${group}`;
    const because: Because = () => [
      ...packets.map((packet) => {
        if (!packet.here) return this.#missing(process, group, packet.from, packet.number);
        const held = this.#group(process, group)?.held.find(
          (other) => other.from === packet.from && other.number === packet.number,
        );
        return held && this.#held(process, group, held);
      }),
      ...members.map((member) => {
        const what = waitsFor === "majority" ? "that it has it" : "its place";
        const asked = `${member} has not said ${what}, to ${process}`;
        return this.#cause("WORD_MISSING", member, asked, () => {
          if (member === process) return [];
          const absent = this.#absence(member, process);
          if (absent) return [absent];
          // It may not have it itself.
          const gap = this.#group(member, group)?.gaps.find(
            ({ from: origin, first, last }) => origin === from && first <= number && number <= last,
          );
          return gap ? [this.#missing(member, group, from, number)] : [];
        });
      }),
    ];
    return this.#cause("PACKET_HELD", process, text, because, sinceMs);
  }

  /** A packet that has not come to a member. Others may have it, but from its origin it comes first. */
  #missing(process: ProcessId, group: string, from: ProcessId, number: number): Cause | undefined {
    const gap = this.#group(process, group)?.gaps.find(
      ({ from: origin, first }) => origin === from && first <= number,
    );
    const text = `packet ${gap?.first ?? number} of ${from} has not come to ${process}, in group ${group}`;
    const because: Because = () => {
      const absent = this.#absence(from, process);
      if (!absent) return [this.#onTheWay(from, process)];
      const others = (gap?.at ?? []).filter((id) => id !== from && id !== process);
      return [absent, ...others.map((id) => this.#absence(id, process))];
    };
    return this.#cause("PACKET_MISSING", { from, to: process }, text, because, gap?.sinceMs);
  }

  /** A group without room: its members have not acknowledged what they were sent. */
  #full(process: ProcessId, group: string): Cause | undefined {
    const unstable = this.#group(process, group)?.unstable;
    const who = (unstable?.by ?? []).map(({ member }) => member).filter((id) => id !== process);
    const have = who.length > 1 ? "have" : "has";
    const text = `there is no room for more of ${process} in group ${group}: ${who.join(", ")} ${have} not acknowledged`;
    return this.#cause(
      "NOT_ACKNOWLEDGED",
      process,
      text,
      () => who.map((id) => this.#absence(id, process) ?? this.#onTheWay(process, id)),
      unstable?.sinceMs,
    );
  }

  /** Those that it declares now and has declared before. */
  #lateWaits(process: ProcessId): readonly Wait[] {
    const before = this.#earlier?.reports.find((one) => one.process === process)?.explanation;
    const known = new Set((before?.waits ?? []).map((wait) => JSON.stringify(wait)));
    const { waits = [] } = this.#reports.get(process)?.explanation ?? {};
    return waits.filter((wait) => wait.for.length > 0 && known.has(JSON.stringify(wait)));
  }

  /** What somebody waits for; of whoever is come back to on the way, that it is a circle. */
  #waitsOf(who: string): Cause[] {
    const from = this.#chain.indexOf(who);
    if (from >= 0) return this.#circle(this.#chain.slice(from));
    this.#chain.push(who);
    const causes = (this.#waiting.get(who) ?? []).flatMap(
      ({ process, wait }) => this.#wait(who, process, wait) ?? [],
    );
    this.#chain.pop();
    return causes;
  }

  #wait(who: string, process: ProcessId, wait: Wait): Cause | undefined {
    const { for: names, need = names.length, request } = wait;
    if (names.length === 0) return undefined;
    const where = who === process ? "" : ` at ${process}`;
    const many = need < names.length ? `${need} of ` : "";
    const asked = request === undefined ? "" : `: ${request}`;
    const text = `${who}${where} waits for ${many}${names.join(", ")}${asked}`;
    return this.#cause(
      "PROCESS_WAITS",
      process,
      text,
      () => names.flatMap((name) => this.#waitedFor(process, name)),
      this.#lateWaits(process).includes(wait) ? this.#earlier?.atMs : undefined,
    );
  }

  /** Why somebody who is waited for does not do it, as far as that is known. */
  #waitedFor(by: ProcessId, name: string): (Cause | undefined)[] {
    const at = this.#reports.has(name) ? name : this.#waiting.get(name)?.[0]?.process;
    if (at === undefined || at === by) return this.#waitsOf(name);
    const absent = this.#absence(at, by);
    return absent
      ? [absent]
      : [this.#onTheWay(by, at), this.#onTheWay(at, by), ...this.#waitsOf(name)];
  }

  /** The same, wherever in it one begins. */
  #circle(names: readonly string[]): Cause[] {
    const least = names.indexOf([...names].sort()[0] as string);
    const round = [...names.slice(least), ...names.slice(0, least)];
    const [first = ""] = round;
    const at = this.#reports.has(first) ? first : this.#waiting.get(first)?.[0]?.process;
    const text = `${[...round, first].join(" → ")} wait for each other`;
    return [this.#cause("WAIT_CIRCLE", at ?? first, text) ?? []].flat();
  }

  #behind(process: ProcessId, epoch: number, present: number): Cause | undefined {
    const text = `${process} is in epoch ${epoch}, and others are in ${present}`;
    return this.#cause("EPOCH_BEHIND", process, text, () =>
      [...this.#reports.keys()]
        .filter((id) => id !== process && this.#reports.get(id)?.epoch === present)
        .map((id) => this.#absence(id, process)),
    );
  }

  #group(process: ProcessId, group: string): GroupExplanation | undefined {
    return this.#reports.get(process)?.explanation?.groups[group];
  }
}

const waitsForPacket =
  (from: ProcessId, first: number) =>
  ({ packets }: HeldPacket): boolean =>
    packets.some((packet) => !packet.here && packet.from === from && packet.number >= first);

function keyOf({ code, at }: Pick<Cause, "code" | "at">): string {
  return `${code} ${typeof at === "string" ? at : `${at.from} → ${at.to}`}`;
}

/** The ends of its chains, each once. */
function endsOf(cause: Cause): Map<string, Cause> {
  const ends = new Map<string, Cause>();
  const seen = new Set<Cause>();
  const visit = (one: Cause): void => {
    if (seen.has(one)) return;
    seen.add(one);
    if (one.because.length === 0) ends.set(keyOf(one), one);
    for (const deeper of one.because) visit(deeper);
  };
  visit(cause);
  return ends;
}
