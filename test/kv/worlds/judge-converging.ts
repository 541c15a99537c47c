/**
 * Judges a run of a store whose keys converge: what clients saw is causal, or of each writer in its order, and, where nobody deletes, has
 * all that it must; who was cut off was answered; each snapshot, and what all have in the end, is what was told there means; in
 * the end all have the same, and nothing that was answered is missing, unless the system went back to before it.
 */

import type { ConvergingLevel } from "../../../src/kv/namespaces.ts";
import type { ReplicaState } from "../../../src/kv/replica.ts";
import { checkConvergence, drawOperations, type Operation } from "../../../src/trace.ts";
import { accessesOf, isInNamespace, isJudged, READS } from "./converging.ts";
import type { Call, Door } from "./door.ts";
import { type StoreReport, type Story, sameOf } from "./story.ts";
import { commonText, contentsIn, meaningOf, seenIn, type Tellings } from "./told.ts";

/** @throws Error with what is wrong */
export function judgeConverging(story: Story, level: ConvergingLevel): StoreReport {
  const { calls } = story;
  const late = calls.find(
    ({ level = 0, askedMs, answeredMs = askedMs }) =>
      level > 0 && answeredMs - askedMs > story.promptMs,
  );
  if (late)
    throw new Error(
      `${late.command} was asked at ${late.askedMs} ms and answered at ${late.answeredMs} ms, though nobody has to be waited for`,
    );
  const known = new Map<number, Tellings>();
  for (let epoch = 1; epoch <= story.epoch; epoch += 1) {
    known.set(epoch, tellingsOf(story, epoch, known));
    if (!story.isWild) judgeClients(story, epoch, level);
  }
  for (const { epoch, states } of story.snapshots)
    for (const [process, state] of Object.entries(states))
      mustMean(`${process} in a snapshot`, state, known.get(epoch) as Tellings, level);
  const first = sameOf(story, commonText);
  mustMean("in the end", first.state, known.get(story.epoch) as Tellings, level);
  const last = seenIn(first.state, level);
  const answered = calls.filter(({ returnedAt }) => returnedAt !== undefined);
  const kept = answered.filter((call) => isIn(story, call, story.epoch));
  const missing = kept.find(({ read, seen = [] }) => !read && !isWithin(seen, last));
  if (missing)
    throw new Error(`${missing.command} of ${missing.client} was answered, and is missing`);
  return {
    answered: answered.length,
    reads: answered.filter(({ read }) => read).length,
    unsafe: 0,
    undone: answered.length - kept.length,
    restores: story.restores.length,
    snapshots: story.snapshots.length,
    alone: answered.filter((call) => !call.read && story.isAlone(call)).length,
  };
}

const isWithin = (seen: readonly number[], limit: readonly number[]): boolean =>
  seen.every((at, i) => at <= (limit[i] ?? 0));

/** It is a part of what led to that epoch. */
function isIn(story: Story, call: Call, epoch: number): boolean {
  if (call.epoch === epoch) return true;
  const restored = story.restores.find((one) => one.epoch === epoch);
  if (!restored || !isIn(story, call, restored.of)) return false;
  const base = story.seenBefore.get(epoch)?.get(call.process);
  return call.seen !== undefined && base !== undefined && isWithin(call.seen, base);
}

/** What was told in an epoch, with what the epochs before it left. */
function tellingsOf(story: Story, epoch: number, known: ReadonlyMap<number, Tellings>): Tellings {
  const own = story.told.get(epoch) ?? [];
  const restored = story.restores.find((one) => one.epoch === epoch);
  const bases = story.seenBefore.get(epoch);
  return [...story.replicas.keys()].sort().map((id, i) => {
    const before = restored ? (known.get(restored.of)?.[i] ?? []) : [];
    const base = bases?.get(id)?.[i] ?? 0;
    return new Map([...[...before].filter(([last]) => last <= base), ...(own[i] ?? [])]);
  });
}

/** All that is in this epoch, also from before it; and, of the last one, what everybody has in the end. */
function judgeClients(story: Story, epoch: number, order: ConvergingLevel): void {
  const operations = story.calls.flatMap((call): Operation[] => {
    const { client, command, calledAt, returnedAt, reply = null } = call;
    if (!isJudged(command)) return [];
    const asked = { client, command, calledAt };
    // What nobody was told of may have been, or not.
    if (returnedAt === undefined) return call.epoch <= epoch ? [asked] : [];
    return isIn(story, call, epoch) ? [{ ...asked, returnedAt, reply }] : [];
  });
  const end = epoch === story.epoch ? [...story.doors.values()].flatMap(readsOf) : [];
  const verdict = checkConvergence(operations, { order, end, accesses: accessesOf });
  if (verdict.holds === false)
    throw new Error(`epoch ${epoch}: ${verdict.reason}\n${drawOperations(verdict.witness)}`);
}

const readsOf = (door: Door): readonly Operation[] =>
  READS.map((command) => ({
    ...{ client: door.process, command, reply: door.read(command).reply },
    ...{ calledAt: Number.MAX_SAFE_INTEGER, returnedAt: Number.MAX_SAFE_INTEGER },
  }));

/** It has what all that it was told means. */
function mustMean(who: string, state: ReplicaState, known: Tellings, level: ConvergingLevel): void {
  const seen = seenIn(state, level);
  const right = meaningOf(known, seen);
  const held = contentsIn(state, isInNamespace);
  for (const key of new Set([...right.keys(), ...held.keys()])) {
    const [is, means] = [held, right].map((one) => JSON.stringify(one.get(key)));
    if (is !== means)
      throw new Error(`${who}, told up to ${seen}: ${key} is ${is}, and not ${means}`);
  }
}
