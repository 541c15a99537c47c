/**
 * What `tidemark up` does again and again: ask every process of the bank for its balance, one after another, as one would
 * without Tidemark; take a snapshot; prove it from the store's files, and add it up if it is of the bank.
 *
 * A round is not begun before the last one is over, so rounds that take longer than the interval follow each
 * other at once and never pile up. Proving goes on beside the next round.
 */

import { setTimeout as pause } from "node:timers/promises";
import type { AccountReply } from "../bank/account.ts";
import { textOf } from "../core/error.ts";
import type { ProcessId, SnapshotId } from "../core/id.ts";
import type { Random } from "../core/random.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import { type Audit, audit, type Proof, prove as proofOf } from "./audit.ts";
import type { Tell } from "./event-log.ts";
import { whatIsLate } from "./late.ts";
import type { HostedSystem } from "./system.ts";

/** How a round went: what there is of the snapshot, and why there is not more. */
export interface Round {
  readonly snapshot?: SnapshotId;
  /** What each process said when it was asked. */
  readonly naive?: ReadonlyMap<ProcessId, AccountReply>;
  readonly naiveSum?: number;
  readonly audit?: Audit;
  /** The same of a system that is no bank. */
  readonly proof?: Proof;
  /** Why the snapshot is not there or not proven. */
  readonly problem?: string;
}

/** What all rounds come to. */
export interface Totals {
  snapshots: number;
  consistent: number;
  naiveWrong: number;
  transfers: number;
}

/** When and how rounds are made. */
export interface RoundOptions {
  /** From the beginning of one round to that of the next; 0: as soon as it is over. */
  readonly intervalMs: number;
  /** How many. */
  readonly count: number;
  /** How long a round may take. */
  readonly timeoutMs: number;
  /** Chooses the initiators. */
  readonly random: Random;
  /** Whether it is the bank: who is no bank is not asked, and not added up. @default true */
  readonly bank?: boolean;
}

/** Who hears how it goes. */
export interface RoundListener {
  round(round: Round): void;
  /** Something that people should know. */
  readonly note: Tell;
}

/** What is recorded. */
export type RoundSystem = Pick<
  HostedSystem,
  "processes" | "lost" | "poll" | "snapshot" | "status"
> &
  Partial<Pick<HostedSystem, "whole" | "restores">>;

/** A round that takes longer says what it waits for. */
const LATE_MS = 2_000;
/** A round that is under way when it is time to stop may still take so long. */
const GRACE_MS = 1_000;

/** Makes rounds until there are enough, the signal comes or a process is lost. Never throws. */
export async function makeRounds(
  system: RoundSystem,
  store: SnapshotStore,
  options: RoundOptions,
  listener: RoundListener,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const lost = system.lost.then((error): Round => {
    over.abort();
    return { problem: error.message };
  });
  const stopped = new Promise<undefined>((settle) => {
    signal.addEventListener("abort", () => {
      over.abort();
      setTimeout(() => settle(undefined), GRACE_MS).unref();
    });
  });
  let proving = Promise.resolve();
  let dueMs = performance.now();
  for (let made = 0; made < options.count && !signal.aborted; made += 1) {
    const waitMs = Math.max(0, dueMs - performance.now());
    await pause(waitMs, undefined, { signal: over.signal }).catch(() => {});
    // While a process is started again, or all are restored, nothing can be recorded.
    await Promise.race([system.whole?.(over.signal), lost]);
    if (over.signal.aborted) break;
    const { restores } = system;
    dueMs = Math.max(dueMs + options.intervalMs, performance.now());
    const round = await Promise.race([takeRound(system, options, listener), lost, stopped]);
    if (!round) break;
    if (round.problem !== undefined && system.restores !== restores) {
      // That a restore ended it is no failure.
      made -= 1;
      continue;
    }
    await proving;
    proving = prove(round, store, options).then((proven) => listener.round(proven));
  }
  await proving;
}

/** Counts a round. True if it went as it should: proven, and no money is missing. */
export function tally(
  totals: Totals,
  { audit, proof = audit, naiveSum, problem }: Round,
  expected: number,
): boolean {
  const consistent = proof !== undefined && problem === undefined;
  totals.snapshots += 1;
  if (consistent) totals.consistent += 1;
  if (audit && naiveSum !== expected) totals.naiveWrong += 1;
  return consistent && (audit === undefined || audit.sum === expected);
}

async function takeRound(
  system: RoundSystem,
  { random, timeoutMs, bank = true }: RoundOptions,
  { note }: RoundListener,
): Promise<Round> {
  const initiator = random.pick(system.processes) as ProcessId;
  const late = setTimeout(() => void noteLate(system, note), LATE_MS);
  let round: Round = {};
  try {
    if (!bank) return await system.snapshot(initiator, { timeoutMs });
    const naive = await system.poll(timeoutMs);
    const balances = [...naive.values()].map(({ balance }) => balance);
    round = { naive, naiveSum: balances.reduce((sum, balance) => sum + balance, 0) };
    return { ...round, ...(await system.snapshot(initiator, { timeoutMs })) };
  } catch (error) {
    return { ...round, problem: textOf(error) };
  } finally {
    clearTimeout(late);
  }
}

async function prove(
  round: Round,
  store: SnapshotStore,
  { bank = true }: RoundOptions,
): Promise<Round> {
  if (round.snapshot === undefined || round.problem !== undefined) return round;
  try {
    if (!bank) {
      const proof = await proofOf(store, round.snapshot);
      return { ...round, proof, ...(proof.problem && { problem: proof.problem }) };
    }
    const proof = await audit(store, round.snapshot);
    return { ...round, audit: proof, ...(proof.problem && { problem: proof.problem }) };
  } catch (error) {
    return { ...round, problem: textOf(error) };
  }
}

async function noteLate(system: RoundSystem, note: Tell): Promise<void> {
  for (const text of whatIsLate(await system.status(), Date.now()))
    note(text, { event: "something_late" });
}
