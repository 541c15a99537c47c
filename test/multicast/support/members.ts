/** A group under seeded faults, without processes and links: packets are late, repeated, overtaken or held; members die in mid-step. */

import { ORDER_LEVELS, type OrderLevel } from "../../../src/core/order-level.ts";
import { Random } from "../../../src/core/random.ts";
import { readRecords } from "../../../src/core/record.ts";
import { decodeUtf8 } from "../../../src/core/utf8.ts";
import { Group, type GroupEffect, type GroupInput } from "../../../src/multicast/group.ts";
import type { HistoryLine } from "../../../src/trace.ts";
import { draftOf } from "./drafts.ts";

export interface GroupWorld {
  readonly seed: number;
  readonly members: number;
  readonly total: "sequencer" | "agreed";
  readonly uniform: boolean;
  /** Of the messages, drawn from these. */
  readonly levels: readonly OrderLevel[];
  readonly multicasts: number;
  /** Whether a channel keeps its order. */
  readonly fifo: boolean;
  /** How many die. */
  readonly crashes: number;
  /** Small ones fill up; who sends heeds that. */
  readonly windowBytes: number;
  /** Whether one member hears nothing of one other until all is healed. */
  readonly mute: boolean;
}

export const LEVELS = Object.keys(ORDER_LEVELS) as OrderLevel[];

/** A world of that seed. */
export function drawGroup(seed: number, fixed: Partial<GroupWorld> = {}): GroupWorld {
  const random = new Random(`group ${seed}`);
  const all = random.chance(0.5);
  return {
    seed,
    members: random.between(1, 5),
    total: random.pick(["sequencer", "agreed"]) as "sequencer" | "agreed",
    uniform: random.chance(0.3),
    levels: all ? LEVELS : LEVELS.filter(() => random.chance(0.4)),
    multicasts: random.between(1, 25),
    fifo: random.chance(0.5),
    crashes: random.chance(0.5) ? 1 : 0,
    windowBytes: random.pick([100, 4096, 4096]) as number,
    mute: random.chance(0.3),
    ...fixed,
  };
}

interface Member {
  readonly id: string;
  readonly group: Group;
  alive: boolean;
  readonly lost: Set<string>;
}

/** What came of it. */
export interface GroupRun {
  readonly history: readonly HistoryLine[];
  readonly alive: readonly Group[];
  readonly irregular: readonly string[];
}

/** Runs it until nothing more happens. */
export function runGroup(world: GroupWorld): GroupRun {
  const random = new Random(`run ${world.seed}`);
  const ids = Array.from({ length: world.members }, (_, i) => `p${i + 1}`);
  const history: HistoryLine[] = [];
  const irregular: string[] = [];
  const ways = new Map<string, Uint8Array[]>();
  const members = ids.map((self): Member => {
    const options = { self, members: ids, total: world.total, uniform: world.uniform };
    const bounds = {
      windowBytes: world.windowBytes,
      tellAfterMs: 20,
      askAfterMs: 50,
      life: 1,
      group: 0,
    };
    return { id: self, group: new Group({ ...options, ...bounds }), alive: true, lost: new Set() };
  });
  const levels = world.levels.length > 0 ? world.levels : (["reliable"] as const);
  const livesOn = (): Member[] => members.filter(({ alive }) => alive);
  // Not all at once dies: a majority stays.
  let crashes = Math.min(world.crashes, Math.ceil(world.members / 2) - 1);
  let nowMs = 0;
  let multicasts = 0;
  let mute = world.mute ? `${random.pick(ids)} ${random.pick(ids)}` : "";

  const step = (member: Member, input: GroupInput, dies = false): void => {
    const effects = member.group.step(input);
    const until = dies ? random.below(effects.length + 1) : effects.length;
    for (const [i, effect] of effects.entries()) {
      if (i === until) break;
      // The last one of all it sends may reach some and not others.
      perform(member, effect, dies && i === until - 1);
    }
    if (!dies) return;
    member.alive = false;
    // What had not left its machine does not come.
    for (const [way, queue] of ways)
      if (way.startsWith(`${member.id} `)) queue.length = random.below(queue.length + 1);
    history.push({ type: "crash", process: member.id });
  };
  const perform = (member: Member, effect: GroupEffect, partly: boolean): void => {
    const process = member.id;
    if (effect.type === "irregular") irregular.push(effect.reason);
    else if (effect.type === "send") {
      for (const to of effect.to)
        if (!partly || random.chance(0.5)) {
          const way = `${process} ${to}`;
          ways.set(way, [...(ways.get(way) ?? []), effect.bytes]);
        }
    } else if (effect.type === "deliver")
      for (const record of readRecords(effect.body)) {
        const message = decodeUtf8(record) as string;
        history.push({ type: "deliver", process, group: "g", message, from: effect.from });
        // An answer: what happened before goes on.
        if (random.chance(0.15) && multicasts < world.multicasts) answers.push(member);
      }
  };
  let answers: Member[] = [];
  let idle = 0;
  const multicast = (member: Member): void => {
    const count = random.pick([1, 1, 1, 2, 3]) as number;
    idle = 0;
    const level = random.pick(levels) as OrderLevel;
    const messages = Array.from({ length: count }, () => `m${++multicasts}`);
    const to = random.chance(0.25) ? random.below(world.members) : undefined;
    for (const message of messages)
      history.push({
        ...{ type: "multicast", process: member.id, group: "g", message, order: level },
        ...(to === undefined ? {} : { to: ids[to] as string }),
      });
    const draft = draftOf(level, world.members, messages, to);
    const dies = crashes > 0 && random.chance(0.15);
    if (dies) crashes -= 1;
    step(member, { type: "multicast", draft, nowMs }, dies);
  };
  const receive = (): boolean => {
    const open = [...ways].filter(([way, queue]) => queue.length > 0 && way !== mute);
    const [way, queue] = random.pick(open) ?? [];
    if (!way || !queue) return false;
    const [from = "", to = ""] = way.split(" ");
    const at = world.fifo ? 0 : random.below(queue.length);
    const bytes = queue[at] as Uint8Array;
    if (!random.chance(0.15)) queue.splice(at, 1);
    const member = members[ids.indexOf(to)] as Member;
    if (!member.alive) {
      queue.length = 0;
      return true;
    }
    const dies = crashes > 0 && random.chance(0.02);
    if (dies) crashes -= 1;
    // What is lent is written over.
    const lent = bytes.slice();
    step(member, { type: "packet", from, bytes: lent, nowMs }, dies);
    lent.fill(0xee);
    return true;
  };
  const tick = (): void => {
    for (const member of livesOn())
      if (member.group.deadlineMs <= nowMs) step(member, { type: "tick", nowMs });
  };
  const suspect = (member: Member, other: Member): void => {
    const type = member.lost.delete(other.id) ? "back" : "lost";
    if (type === "lost") member.lost.add(other.id);
    step(member, { type, member: other.id, nowMs });
  };

  // Where somebody is dead nothing becomes stable, and there may be no more room.
  for (; multicasts < world.multicasts && idle < 1_000; idle += 1) {
    const alive = livesOn();
    const sender = random.pick(alive) as Member;
    const [answering] = answers;
    answers = [];
    const what = random.fraction();
    if (answering?.alive && answering.group.room) multicast(answering);
    else if (what < 0.3 && sender.group.room) multicast(sender);
    else if (what < 0.35) suspect(random.pick(alive) as Member, random.pick(members) as Member);
    else if (what < 0.4) {
      nowMs += random.below(40);
      tick();
    } else receive();
  }
  mute = "";
  // Healing: the dead are noticed, and all that was sent arrives.
  for (let calm = 0; calm < 20; calm += 1) {
    for (const member of livesOn())
      for (const other of members)
        if (member.lost.has(other.id) === other.alive) suspect(member, other);
    while (receive());
    nowMs += 100;
    tick();
    if (livesOn().some(({ group }) => group.deadlineMs < Number.POSITIVE_INFINITY)) calm = 0;
    if (nowMs > 100_000) throw new Error("it does not come to rest");
  }
  return { history, alive: livesOn().map(({ group }) => group), irregular };
}
