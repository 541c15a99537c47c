/** Every schedule of a small group: each order in which members multicast and packets arrive, channels being FIFO. */

import type { OrderLevel } from "../../../src/core/order-level.ts";
import { readRecords } from "../../../src/core/record.ts";
import { decodeUtf8 } from "../../../src/core/utf8.ts";
import { Group, type GroupInput, type GroupState } from "../../../src/multicast/group.ts";
import { draftOf } from "./drafts.ts";

/** What one member saw, in its order: `+m` it multicast, `m` it delivered. */
export type Log = readonly string[];

export interface AllSchedules {
  readonly states: number;
  readonly transitions: number;
  /** All that can come of it in the end: the log of each member. */
  readonly ends: ReadonlySet<string>;
}

interface Local {
  readonly state: GroupState;
  readonly log: Log;
  readonly steps: Map<number, { readonly to: number; readonly sends: readonly Send[] }>;
}

interface Send {
  readonly to: number;
  readonly packet: number;
}

const BOUNDS = {
  windowBytes: 2 ** 40,
  tellAfterMs: Number.POSITIVE_INFINITY,
  askAfterMs: 2 ** 40,
  life: 1,
  group: 0,
};

/** The levels of what each member multicasts, in turn; one list a member. */
export function allSchedules(
  levels: readonly (readonly OrderLevel[])[],
  total: "sequencer" | "agreed",
): AllSchedules {
  const members = levels.map((_, i) => `p${i + 1}`);
  const packets: Uint8Array[] = [];
  const packetNumbers = new Map<string, number>();
  const locals: Local[][] = members.map(() => []);
  const localNumbers: Map<string, number>[] = members.map(() => new Map());
  const optionsOf = (at: number) => ({
    ...{ self: members[at] as string, members, total, uniform: false },
    ...BOUNDS,
  });

  const noteLocal = (at: number, state: GroupState, log: Log): number => {
    const key = JSON.stringify([state, log], plain);
    const known = localNumbers[at]?.get(key);
    if (known !== undefined) return known;
    const number = (locals[at] as Local[]).push({ state, log, steps: new Map() }) - 1;
    localNumbers[at]?.set(key, number);
    return number;
  };
  const notePacket = (bytes: Uint8Array): number => {
    const key = String.fromCharCode(...bytes);
    const known = packetNumbers.get(key);
    if (known !== undefined) return known;
    packetNumbers.set(key, packets.length);
    return packets.push(bytes) - 1;
  };

  /** Of a member: -1 multicasts its next message; from 0 on, receives that packet of that member. */
  const step = (at: number, number: number, from: number, packet: number) => {
    const local = (locals[at] as Local[])[number] as Local;
    const key = packet < 0 ? -1 : packet * members.length + from;
    const known = local.steps.get(key);
    if (known) return known;
    // A state is plain data: a copy of it goes on as the member would have.
    const state = structuredClone(local.state);
    const group = new Group(optionsOf(at), state);
    const log = [...local.log];
    let input: GroupInput;
    if (packet < 0) {
      const sent = log.filter((word) => word.startsWith("+")).length;
      const message = `${members[at]}.${sent + 1}`;
      log.push(`+${message}`);
      const level = levels[at]?.[sent] as OrderLevel;
      const draft = draftOf(level, members.length, [message]);
      input = { type: "multicast", draft, nowMs: 0 };
    } else {
      const bytes = (packets[packet] as Uint8Array).slice();
      input = { type: "packet", from: members[from] as string, bytes, nowMs: 0 };
    }
    const sends: Send[] = [];
    for (const effect of group.step(input)) {
      if (effect.type === "irregular") throw new Error(effect.reason);
      if (effect.type === "deliver")
        for (const record of readRecords(effect.body)) log.push(decodeUtf8(record) as string);
      else if (effect.type === "send")
        for (const to of effect.to)
          sends.push({ to: members.indexOf(to), packet: notePacket(effect.bytes) });
    }
    const found = { to: noteLocal(at, state, log), sends };
    local.steps.set(key, found);
    return found;
  };

  // A state: the local states, and then the packets under way, by sender and receiver.
  const count = members.length;
  const first = members.map((_, at) => noteLocal(at, new Group(optionsOf(at)).state, []));
  const open: (readonly (readonly number[])[])[] = [
    [first, ...Array.from({ length: count * count }, () => [])],
  ];
  const seen = new Set<string>([JSON.stringify(open[0])]);
  const ends = new Set<string>();
  let transitions = 0;
  for (let state = open.pop(); state; state = open.pop()) {
    const [now, ...ways] = state as readonly [readonly number[], ...(readonly number[])[]];
    let stuck = true;
    const take = (at: number, from: number, packet: number): void => {
      stuck = false;
      transitions += 1;
      const { to, sends } = step(at, now[at] as number, from, packet);
      const next = [now.with(at, to), ...ways.map((way) => [...way])];
      if (packet >= 0) next[1 + from * count + at]?.shift();
      for (const send of sends) next[1 + at * count + send.to]?.push(send.packet);
      const key = JSON.stringify(next);
      if (seen.has(key)) return;
      seen.add(key);
      open.push(next);
    };
    for (let at = 0; at < count; at += 1) {
      const { log } = (locals[at] as Local[])[now[at] as number] as Local;
      const sent = log.filter((word) => word.startsWith("+")).length;
      if (sent < (levels[at]?.length ?? 0)) take(at, at, -1);
      for (let from = 0; from < count; from += 1) {
        const [packet] = ways[from * count + at] ?? [];
        if (packet !== undefined) take(at, from, packet);
      }
    }
    if (!stuck) continue;
    const logs = now.map((number, at) => (locals[at] as Local[])[number]?.log);
    ends.add(JSON.stringify(logs));
  }
  return { states: seen.size, transitions, ends };
}

function plain(_key: string, value: unknown): unknown {
  if (value instanceof Map) return [...value];
  if (value instanceof Uint8Array) return String.fromCharCode(...value);
  return value === Number.POSITIVE_INFINITY ? "never" : value;
}
