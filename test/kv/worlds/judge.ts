/**
 * Judges a run of the store in total order: all replicas have taken the same, and are the same; what clients were answered is what one
 * machine would have answered that did it in that order; each snapshot is that machine at one moment of each replica; and nothing that was
 * answered is missing, unless the system went back to before it.
 *
 * That machine is `storeModel`, and what waits for keys beside it: src/kv has no part in it.
 */

import type { ProcessId } from "../../../src/core/id.ts";
import { KIND } from "../../../src/kv/record.ts";
import type { ReplicaState } from "../../../src/kv/replica.ts";
import {
  type Asked,
  checkClients,
  drawOperations,
  type Operation,
  type Reply,
  type StoreState,
  storeModel,
} from "../../../src/trace.ts";
import { ACCOUNTS, isModelled } from "./callers.ts";
import type { Call, Taken } from "./door.ts";
import {
  type Held,
  heldIn,
  type Places,
  type StoreReport,
  type Story,
  sameOf,
  textOf,
} from "./story.ts";

/** One after another, all that was taken in an epoch, with what the epochs before it left. */
interface Order {
  /** From place 1. */
  readonly records: readonly Taken[];
  /** Of an earlier epoch: up to which place that is this one as well. */
  readonly shared: ReadonlyMap<number, number>;
}

/** What the model makes of an order. */
interface Played {
  /** By how many records had been done. */
  readonly states: readonly StoreState[];
  /** In their places. */
  readonly done: readonly {
    readonly call: Call;
    readonly asked: Asked;
    readonly position: number;
  }[];
}

/** @throws Error with what is wrong */
export function judgeTotal(story: Story): StoreReport {
  const orders = new Map<number, Order>();
  const played = new Map<number, Played>();
  for (let epoch = 1; epoch <= story.epoch; epoch += 1) {
    const order = orderOf(story, epoch, orders);
    orders.set(epoch, order);
    const play = playOf(story, order);
    played.set(epoch, play);
    judgeClients(story, epoch, order, play);
  }
  for (const { epoch, states } of story.snapshots)
    for (const [process, state] of Object.entries(states))
      mustBe(`${process} in a snapshot`, state, played.get(epoch) as Played);
  const first = sameOf(story, textOf);
  const last = orders.get(story.epoch) as Order;
  const [{ applied }] = first.state;
  if (applied !== last.records.length)
    throw new Error(`${first.id} has taken ${applied} of ${last.records.length}`);
  mustBe("in the end", first.state, played.get(story.epoch) as Played);
  const answered = story.calls.filter(({ returnedAt }) => returnedAt !== undefined);
  const done = new Set((played.get(story.epoch) as Played).done.map(({ call }) => call));
  return {
    answered: answered.length,
    reads: answered.filter(({ read }) => read).length,
    unsafe: answered.filter((call) => isUnsafe(call, orders.get(call.epoch) as Order)).length,
    undone: answered.filter((call) => !call.read && !done.has(call) && isModelled(call.command))
      .length,
    restores: story.restores.length,
    snapshots: story.snapshots.length,
    alone: 0,
  };
}

/** The same at all processes that were there. */
function orderOf(story: Story, epoch: number, orders: ReadonlyMap<number, Order>): Order {
  const restored = story.restores.find((one) => one.epoch === epoch);
  const before = restored && (orders.get(restored.of) as Order);
  const places: Places = story.taken.get(epoch) ?? new Map();
  const base = Math.max(0, ...(story.bases.get(epoch)?.values() ?? []));
  const records = before ? before.records.slice(0, base) : [];
  for (const place of [...places.keys()].sort((a, b) => a - b)) {
    const by = places.get(place) as ReadonlyMap<ProcessId, Taken>;
    if (place > records.length + 1)
      throw new Error(`epoch ${epoch}: nobody has taken record ${records.length + 1}`);
    for (const [process, record] of by) {
      const known = records[place - 1];
      if (known && JSON.stringify(known) !== JSON.stringify(record))
        throw new Error(
          `epoch ${epoch}: record ${place} is ${shown(record)} at ${process} and was ${shown(known)}`,
        );
      records[place - 1] = record;
    }
  }
  const shared = new Map<number, number>([[epoch, records.length]]);
  if (restored) {
    shared.set(restored.of, base);
    for (const [earlier, upTo] of before?.shared ?? [])
      if (earlier !== restored.of) shared.set(earlier, Math.min(upTo, base));
  }
  return { records, shared };
}

/** Without what is long in it. */
const shown = (record: Taken): string =>
  JSON.stringify({ ...record, requests: record.requests.slice(0, 80) });

/** A client that waits for keys. */
interface Waiting {
  readonly call: Call;
  readonly session: string;
  readonly keys: readonly string[];
}

/** Does it all once more, with the model. */
function playOf(story: Story, { records }: Order): Played {
  let state = storeModel.start;
  const states = [state];
  const done: { call: Call; asked: Asked; position: number }[] = [];
  const counts = new Map<string, number>();
  const streams = new Map<ProcessId, number>();
  let waiting: Waiting[] = [];
  const forget = (gone: (session: string) => boolean): void => {
    waiting = waiting.filter(({ session }) => !gone(session));
  };
  for (const [i, record] of records.entries()) {
    const { from, stream, session: number, kind, atMs } = record;
    const position = i + 1;
    const session = `${from}.${stream}.${number}`;
    const apply = (call: Call, command: readonly string[], at: number): Reply => {
      const { client, transaction } = call;
      const asked = { client, command, atMs, ...(transaction && { transaction }) };
      const next = storeModel.apply(state, asked);
      state = next.state;
      done.push({ call, asked, position: at });
      return next.reply;
    };
    if (streams.get(from) !== stream) {
      streams.set(from, stream);
      forget((one) => one.startsWith(`${from}.`));
    }
    if (kind === KIND.sweep) {
      const words = wordsOf(record.requests).filter((_, at) => at % 2 === 1);
      const nobody = { process: from, epoch: 0, calledAt: 0, askedMs: 0 };
      apply({ client: "sweep", command: [], ...nobody }, ["SWEEP", ...words], position);
    } else if (kind === KIND.forget) forget((one) => one === session);
    else if (kind === KIND.timeout) {
      const one = waiting.find((other) => other.session === session);
      forget((other) => other === session);
      if (one) apply(one.call, one.call.command, position);
    } else if (kind === KIND.command || kind === KIND.transaction) {
      const count = counts.get(session) ?? 0;
      counts.set(session, count + 1);
      const call = story.connections.get(session)?.records[count];
      if (!call) throw new Error(`nobody has asked record ${position}: ${shown(record)}`);
      const { command, transaction = [] } = call;
      const isBlocking = command[0] === "BLPOP" || command[0] === "BRPOP";
      const keys = command.slice(1, -1);
      const isEmpty = (key: string): boolean =>
        storeModel.apply(state, { client: "judge", command: ["LLEN", key], atMs }).reply === 0;
      if (isBlocking && keys.every(isEmpty)) waiting.push({ call, session, keys });
      else if (transaction.every(isModelled) && isModelled(command)) {
        const reply = apply(call, command, position);
        // Who waits is served after all of it, by the keys in the order in which they came to have something.
        const pushed =
          reply === null
            ? []
            : [command, ...transaction].filter(([name = ""]) => /^[LR]PUSH$/.test(name));
        let served = 0;
        for (const key of new Set(pushed.map(([, one = ""]) => one)))
          for (const one of [...waiting]) {
            if (!one.keys.includes(key) || isEmpty(key)) continue;
            waiting = waiting.filter((other) => other !== one);
            served += 1;
            apply(one.call, [one.call.command[0] as string, key, "0"], position + served / 1_000);
          }
      }
    }
    states.push(state);
  }
  return { states, done };
}

/** Of a request without lines' ends in its words. */
function wordsOf(request: string): readonly string[] {
  return request.split("\r\n").filter((line, at) => at > 0 && at % 2 === 0 && line !== "");
}

/** All that is in this epoch, also from before it. */
function judgeClients(story: Story, epoch: number, order: Order, { done }: Played): void {
  const isIn = (call: Call, place: number): boolean =>
    place <= (order.shared.get(call.epoch) ?? -1);
  const operations: Operation[] = done.map(({ call, asked, position }) => {
    const { calledAt, returnedAt, reply } = call;
    const isAnswered = returnedAt !== undefined && isIn(call, Math.floor(position));
    return {
      ...asked,
      ...{ calledAt, position },
      ...(isAnswered && reply !== undefined ? { returnedAt, reply } : {}),
    };
  });
  const ordered = operations.length;
  const known = new Set(done.map(({ call }) => call));
  for (const call of story.calls) {
    const { client, command, read, calledAt, returnedAt = calledAt, reply = null } = call;
    if (read) {
      if (!isIn(call, read.applied) || isUnsafe(call, order)) continue;
      const position = read.applied + 0.5;
      const asked = { client, command, atMs: read.atMs };
      operations.push({ ...asked, calledAt, returnedAt, reply, position });
    } else if (call.epoch === epoch && call.returnedAt !== undefined && !known.has(call)) {
      if (isModelled(command) && (call.transaction ?? []).every(isModelled))
        throw new Error(`${client} was answered, but it was not done: ${command.join(" ")}`);
    }
  }
  mustHold(checkClients(operations, { consistency: "sequential" }));
  // What goes through the order is more than that.
  mustHold(checkClients(operations.slice(0, ordered), { consistency: "linearizable" }));
}

/**
 * Whoever reads beside the order may see what is not safe yet. If the replica dies before it is, that never was; and whoever has read it
 * has lost its connection.
 */
function isUnsafe({ read }: Call, { records }: Order): boolean {
  if (!read?.last || read.door.isOpen) return false;
  return JSON.stringify(read.last) !== JSON.stringify(records[read.applied - 1]);
}

function mustHold(verdict: ReturnType<typeof checkClients>): void {
  if (verdict.holds === false)
    throw new Error(`${verdict.reason}\n${drawOperations(verdict.witness)}`);
  if (verdict.holds === null) throw new Error(verdict.reason);
}

/** It has what the model has after as many records; and no money was made. */
function mustBe(who: string, state: ReplicaState, { states }: Played): void {
  const [{ applied, nowMs }] = state;
  const model = states[applied];
  if (!model) throw new Error(`${who}: ${applied} records of ${states.length - 1}`);
  const held = heldIn(state).filter(({ key }) => isModelled(["", key]));
  const right: Held[] = [];
  for (const [key, { value, deadline = null }] of model.entries)
    if (!(deadline !== null && deadline < nowMs))
      right.push({ key, value: typeof value === "string" ? value : value.elements, deadline });
  right.sort((a, b) => (a.key < b.key ? -1 : 1));
  if (JSON.stringify(held) !== JSON.stringify(right))
    throw new Error(
      `${who}, after ${applied} records: ${JSON.stringify(held)}, and not ${JSON.stringify(right)}`,
    );
  const money = held.filter(({ key }) => ACCOUNTS.includes(key));
  const sum = money.reduce((total, { value }) => total + Number(value), 0);
  if (sum !== 0) throw new Error(`${who}: the accounts make ${sum}`);
}
