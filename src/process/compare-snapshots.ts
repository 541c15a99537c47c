/**
 * What changed from one global snapshot to another: in states, and in what was in flight.
 *
 * Theory of operation. States are compared as values (snapshot/diff.ts). Of a frozen state the slices are: those that have the same SHA-256
 * are equal and are not even read, and of the others there is one of each side in memory at a time.
 *
 * On a channel with an order, messages have numbers: in flight are those after what had been received, up to what had been sent. So
 * it is known which message is which, however alike they are. That holds within one epoch of one system; and not if the channel began
 * again, with a process that had lost its state, which shows when a message is not what it was. Then, and on channels without an order,
 * messages that are equal are taken for the same.
 */

import type { ProcessId } from "../core/id.ts";
import type { Channel } from "../core/topology.ts";
import {
  Comparison,
  type Differences,
  gapsBetween,
  Numbers,
  placesIn,
  unmatched,
} from "../snapshot/diff.ts";
import type { IncomingRecord, Manifest, PieceRecord } from "../snapshot/manifest.ts";
import { type Found, formatPath, type PathExpression } from "../snapshot/value-path.ts";
import type { ReadableSnapshot } from "./readable-snapshot.ts";

/** What of two snapshots is compared, and how much is told. */
export interface CompareOptions {
  /** Only these processes, and the channels from and to them. @default all */
  readonly processes?: readonly ProcessId[];
  /** Only what this selects in states, and no channels. What stands at the same path is compared. @default everything */
  readonly path?: PathExpression;
  /** So many differences of a state, and messages of each kind of a channel, are kept. All are counted. @default all */
  readonly limit?: number;
  /** Hears how far it is: slices of states, and channels. */
  readonly onProgress?: (done: number, of: number) => void;
}

/** Whether something is in both snapshots, or in one. */
export type Presence = "both" | "before" | "after";

/** What changed in the state of a process. If it is in one snapshot only there are no differences: all is one. */
export interface ProcessComparison extends Differences {
  readonly type: "process";
  readonly process: ProcessId;
  readonly presence: Presence;
  /** From the one recording to the other by the clock of that process, in milliseconds; if it is in both. */
  readonly apartMs?: number;
}

/** What one snapshot says of a channel. */
export interface ChannelCounts {
  readonly sent: number;
  readonly received: number;
  readonly inFlight: number;
}

/** A message in flight. */
export interface NumberedMessage {
  /** Among all that were sent on the channel, from 1. Absent if the channel has no order. */
  readonly number?: number;
  readonly message: unknown;
}

/** What changed on a channel. */
export interface ChannelComparison extends Channel {
  readonly type: "channel";
  readonly presence: Presence;
  readonly before?: ChannelCounts;
  readonly after?: ChannelCounts;
  /** Whether numbers of the one snapshot are those of the other: the same system and epoch, and a channel that did not begin again. */
  readonly comparable: boolean;
  /** How many messages were in flight before and are not after; are now and were not; are still. */
  readonly gone: number;
  readonly come: number;
  readonly still: number;
  readonly goneMessages: readonly NumberedMessage[];
  readonly comeMessages: readonly NumberedMessage[];
}

/** True if it tells of something that is not the same in both snapshots. */
export function isDifferent(one: ProcessComparison | ChannelComparison): boolean {
  if (one.presence !== "both") return true;
  if (one.type === "process") return one.added + one.removed + one.changed > 0;
  const { before, after, gone, come } = one;
  return gone + come > 0 || before?.sent !== after?.sent || before?.received !== after?.received;
}

/**
 * Compares two snapshots, which may lie in different stores: first the state of each process, ascending, then each channel, by source
 * and destination. What it holds in memory is two states, or one slice of each if they are sliced.
 *
 * @throws TidemarkError `UNKNOWN_PROCESS` if a process of `options` is in neither; else as `ReadableSnapshot.state`
 *
 * @example
 * ```ts
 * import { compareSnapshots, MemoryNetwork, memoryStore, startProcess, type Turn } from "tidemark";
 *
 * let count = 0;
 * const counter = await startProcess({
 *   ...{ id: "solo", processes: ["solo"], store: memoryStore(), transport: new MemoryNetwork().transport() },
 *   application: {
 *     request: (id: number, by: number, turn: Turn<never, number>) => turn.reply(id, (count += by)),
 *     capture: () => ({ count }),
 *     restore: (state: { count: number }) => void ({ count } = state),
 *   },
 * });
 * const before = await counter.snapshot();
 * await counter.request(7);
 * for await (const one of compareSnapshots(before, await counter.snapshot()))
 *   if (one.type === "process" && one.changed !== 1) throw new Error("the count has changed");
 * await counter.stop();
 * ```
 */
export async function* compareSnapshots(
  before: ReadableSnapshot,
  after: ReadableSnapshot,
  options: CompareOptions = {},
): AsyncGenerator<ProcessComparison | ChannelComparison> {
  const { path, limit = Number.POSITIVE_INFINITY } = options;
  const processes = union(before.manifest.processes, after.manifest.processes, (id) => id);
  const wanted = new Set(options.processes ?? processes);
  for (const id of wanted) if (!processes.includes(id)) after.piece(id);
  const channels = path
    ? []
    : union(before.manifest.channels, after.manifest.channels, ({ from, to }) => `${from} ${to}`);
  const told = channels.filter(({ from, to }) => wanted.has(from) || wanted.has(to));
  const steps = processes
    .filter((id) => wanted.has(id))
    .reduce((sum, id) => sum + slicesOf(before, after, id), told.length);
  let done = 0;
  const advance = (by: number): void => {
    done += by;
    options.onProgress?.(done, steps);
  };
  for (const process of processes)
    if (wanted.has(process))
      yield await compareStates(before, after, process, new Comparison(limit), path, advance);
  for (const { from, to } of told) {
    yield await compareChannels(before, after, { from, to }, limit);
    advance(1);
  }
}

/** What is in one or the other, in ascending order of its key. */
function union<T>(before: readonly T[], after: readonly T[], key: (one: T) => string): T[] {
  const all = new Map([...before, ...after].map((one) => [key(one), one]));
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
}

const pieceOf = ({ pieces }: Manifest, id: ProcessId): PieceRecord | undefined =>
  pieces.find(({ process }) => process === id);

const slicesOf = (before: ReadableSnapshot, after: ReadableSnapshot, id: ProcessId): number =>
  Math.max(
    pieceOf(before.manifest, id)?.state.parts.length ?? 0,
    pieceOf(after.manifest, id)?.state.parts.length ?? 0,
  );

async function compareStates(
  before: ReadableSnapshot,
  after: ReadableSnapshot,
  process: ProcessId,
  comparison: Comparison,
  path: PathExpression | undefined,
  advance: (by: number) => void,
): Promise<ProcessComparison> {
  const [old, now] = [pieceOf(before.manifest, process), pieceOf(after.manifest, process)];
  const presence = presenceOf(old, now);
  const slices = slicesOf(before, after, process);
  let told = 0;
  const compared = (upTo: number): void => {
    advance(upTo - told);
    told = upTo;
  };
  if (old && now && !isSameState(old, now)) {
    if (path && !path.isWhole) await compareSelected(before, after, process, path, comparison);
    else if (old.state.sliced && now.state.sliced)
      await compareSlices(before, after, old, now, comparison, compared);
    else comparison.compare(await before.state(process), await after.state(process));
  }
  compared(slices);
  const { added, removed, changed, differences } = comparison;
  return {
    ...{ type: "process", process, presence, added, removed, changed, differences },
    ...(old && now ? { apartMs: now.timing.recordedAtMs - old.timing.recordedAtMs } : {}),
  };
}

const presenceOf = (before: unknown, after: unknown): Presence =>
  before === undefined ? "after" : after === undefined ? "before" : "both";

/** By what the manifests say, without a look at the bytes. */
function isSameState(before: PieceRecord, after: PieceRecord): boolean {
  const [old, now] = [before.state, after.state];
  return (
    old.encoding === now.encoding &&
    before.messageEncoding === after.messageEncoding &&
    old.sliced === now.sliced &&
    old.parts.length === now.parts.length &&
    old.parts.every(({ sha256 }, i) => sha256 === now.parts[i]?.sha256)
  );
}

async function compareSlices(
  before: ReadableSnapshot,
  after: ReadableSnapshot,
  old: PieceRecord,
  now: PieceRecord,
  comparison: Comparison,
  compared: (upTo: number) => void,
): Promise<void> {
  const { process } = old;
  // Bytes mean the same by the same codec only.
  const key = (piece: PieceRecord, i: number): string =>
    `${piece.state.encoding} ${piece.messageEncoding} ${piece.state.parts[i]?.sha256}`;
  const keysOf = (piece: PieceRecord): string[] => piece.state.parts.map((_, i) => key(piece, i));
  const [keys, keysNow] = [keysOf(old), keysOf(now)];
  const gaps = gapsBetween(
    keys,
    keysNow,
    (i, j) => keys[i] === keysNow[j],
    (one) => one,
  );
  for (const gap of gaps)
    for (const [i, j] of placesIn(gap)) {
      const isKept = !comparison.isFull;
      if (i === undefined) {
        const at = j as number;
        comparison.addAdded([at], isKept ? await after.slice(process, at) : undefined);
      } else if (j === undefined)
        comparison.addRemoved([i], isKept ? await before.slice(process, i) : undefined);
      else
        comparison.compare(await before.slice(process, i), await after.slice(process, j), [i], [j]);
      compared(Math.max(i ?? 0, j ?? 0) + 1);
    }
}

/** What a path selects before and after belongs together if it stands at the same place. */
async function compareSelected(
  before: ReadableSnapshot,
  after: ReadableSnapshot,
  process: ProcessId,
  path: PathExpression,
  comparison: Comparison,
): Promise<void> {
  // Several only if keys of a Map are neither texts nor whole numbers: these belong together by their order.
  const found = new Map<string, Found[]>();
  for await (const one of outermost(selectInState(before, process, path))) {
    const place = formatPath(one.path);
    found.set(place, [...(found.get(place) ?? []), one]);
  }
  for await (const { path: at, value } of outermost(selectInState(after, process, path))) {
    const old = found.get(formatPath(at))?.shift();
    if (old) comparison.compare(old.value, value, at);
    else comparison.addAdded(at, value);
  }
  for (const one of [...found.values()].flat()) comparison.addRemoved(one.path, one.value);
}

/** What an expression selects in a state, in its order; of a sliced one only those slices are read that it can reach. */
export async function* selectInState(
  snapshot: ReadableSnapshot,
  process: ProcessId,
  path: PathExpression,
): AsyncGenerator<Found> {
  const { sliced, parts } = snapshot.piece(process).state;
  if (path.isWhole || !sliced) yield* path.select(await snapshot.state(process));
  else
    for (const i of parts.keys())
      if (path.reaches(i, parts.length))
        yield* path.selectItem(await snapshot.slice(process, i), i, parts.length);
}

/** Without what lies in something that was there already. */
export async function* outermost(
  all: AsyncIterable<Found> | Iterable<Found>,
): AsyncGenerator<Found> {
  let last: Found | undefined;
  for await (const one of all) {
    // What lies in a value comes right after it.
    if (last?.path.every((step, i) => step === one.path[i])) continue;
    last = one;
    yield one;
  }
}

async function compareChannels(
  before: ReadableSnapshot,
  after: ReadableSnapshot,
  { from, to }: Channel,
  limit: number,
): Promise<ChannelComparison> {
  const [old, now] = [endsOf(before, { from, to }), endsOf(after, { from, to })];
  const messages = async (
    snapshot: ReadableSnapshot,
    ends: Ends | undefined,
  ): Promise<unknown[]> => (ends ? await snapshot.inFlight(from, to) : []);
  const [were, are] = [await messages(before, old), await messages(after, now)];
  const numbers = new Numbers();
  const { system, epoch } = before.manifest;
  const sameSystem = system === after.manifest.system && epoch === after.manifest.epoch;
  const isOrdered = old?.isOrdered === true && now?.isOrdered === true;
  const byNumber =
    sameSystem && isOrdered ? overlap(were, are, now.received - old.received, numbers) : undefined;
  const { gone, come, partners } = byNumber ?? unmatched(were, are, numbers);
  const listed = (
    places: readonly number[],
    all: readonly unknown[],
    ends: Ends | undefined,
  ): NumberedMessage[] =>
    places.slice(0, limit).map((i) => ({
      ...(ends?.isOrdered ? { number: ends.received + i + 1 } : {}),
      message: all[i],
    }));
  return {
    ...{ type: "channel", from, to, presence: presenceOf(old, now) },
    ...(old ? { before: countsOf(old) } : {}),
    ...(now ? { after: countsOf(now) } : {}),
    comparable:
      sameSystem && (byNumber !== undefined || (old !== undefined && now?.isOrdered === false)),
    ...{ gone: gone.length, come: come.length, still: partners.length },
    goneMessages: listed(gone, were, old),
    comeMessages: listed(come, are, now),
  };
}

/** What both ends of a channel say of it. */
interface Ends extends ChannelCounts {
  readonly isOrdered: boolean;
}

const countsOf = ({ sent, received, inFlight }: Ends): ChannelCounts => ({
  sent,
  received,
  inFlight,
});

function endsOf({ manifest }: ReadableSnapshot, { from, to }: Channel): Ends | undefined {
  const incoming: IncomingRecord | undefined = pieceOf(manifest, to)?.incoming.find(
    (one) => one.from === from,
  );
  const outgoing = pieceOf(manifest, from)?.outgoing.find((one) => one.to === to);
  if (!incoming || !outgoing) return undefined;
  const { received, inFlight, hash } = incoming;
  // A set hash ends with that letter: docs/internals/snapshot-format.md.
  return { sent: outgoing.sent, received, inFlight, isOrdered: !hash.endsWith("s") };
}

/**
 * The number of the first message in flight: among all that were sent on the channel, as in `NumberedMessage`; on a channel without
 * an order, which has no such numbers, 1.
 */
export function firstInFlight(snapshot: ReadableSnapshot, channel: Channel): number {
  const ends = endsOf(snapshot, channel);
  return ends?.isOrdered ? ends.received + 1 : 1;
}

/** Which messages are which by their numbers; `undefined` if one has the number of another. */
function overlap(
  before: readonly unknown[],
  after: readonly unknown[],
  shift: number,
  numbers: Numbers,
): ReturnType<typeof unmatched> | undefined {
  const partners: (readonly [number, number])[] = [];
  const gone: number[] = [];
  for (const [i, message] of before.entries()) {
    const j = i - shift;
    if (j < 0 || j >= after.length) gone.push(i);
    else if (numbers.areEqual(message, after[j])) partners.push([i, j]);
    else return undefined;
  }
  const come = [...after.keys()].filter((j) => j + shift < 0 || j + shift >= before.length);
  return { partners, gone, come };
}
