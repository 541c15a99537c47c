/**
 * What came of every attempt at a global snapshot, also of those that left no snapshot, and where the time went.
 *
 * Theory of operation. Each process notes what it knows, when it knows it: the initiator that an attempt began and what came of it, every
 * participant how far it had come with one that was abandoned, and for what it waited. A note is never changed. Put
 * together, the notes of all processes say what happened even when some of them died and noted nothing. Notes are told by the clocks of
 * those who made them.
 */

import {
  checkForm,
  count,
  duration,
  type Form,
  leaf,
  list,
  ms,
  processId,
  record,
  snapshotId,
  text,
  where,
} from "../core/form.ts";
import { type ProcessId, parseSnapshotId, type SnapshotId } from "../core/id.ts";
import type { Manifest, PieceRecord } from "./manifest.ts";

/** How far one process came with a snapshot, and how long that took, in milliseconds of its own clock. */
export interface AttemptShare {
  readonly process: ProcessId;
  /** When it recorded its state, in milliseconds since 1970. */
  readonly recordedAtMs: number;
  /** What the application's `capture` and the encoding of a plain state took: the pause. */
  readonly captureMs: number;
  /** From recording until the last channel was closed; absent if one was not. */
  readonly recordingMs?: number;
  /** Messages in flight, over all incoming channels, and their size; once all are closed. */
  readonly inFlight?: number;
  readonly inFlightBytes?: number;
  /** From then until the piece was durable; absent if it was not, or if that is not known. */
  readonly storedMs?: number;
  /** The size of its state; once it is stored. */
  readonly stateBytes?: number;
}

interface NoteHead {
  /** Who notes. */
  readonly by: ProcessId;
  /** When, in milliseconds since 1970. */
  readonly atMs: number;
}

/** Its initiator began an attempt. */
export interface BegunNote extends NoteHead {
  readonly note: "begun";
  readonly snapshot: SnapshotId;
  readonly label?: string;
  readonly epoch: number;
  /** How many take part. */
  readonly processes: number;
  /** When the initiator gives up. */
  readonly timeoutMs?: number;
}

/** A process was asked for a snapshot and began none. */
export interface RefusedNote extends NoteHead {
  readonly note: "refused";
  readonly label?: string;
  readonly reason: string;
}

/** The snapshot is complete: its manifest is written. By its initiator. */
export interface CompleteNote extends NoteHead {
  readonly note: "complete";
  readonly snapshot: SnapshotId;
  readonly startedAtMs: number;
  /** From initiation until every piece was complete. */
  readonly cutMs: number;
  /** At most 256: those that were done last. */
  readonly shares: readonly AttemptShare[];
}

/** The attempt is over for this process, and there is no snapshot. */
export interface AbandonedNote extends NoteHead {
  readonly note: "abandoned";
  readonly snapshot: SnapshotId;
  readonly reason: string;
  /** Absent if it had not recorded, or does not know any more. */
  readonly share?: AttemptShare;
  /** What it waited for, e.g. "the marker of p3"; at most 256. */
  readonly waitsFor: readonly string[];
  /** At the initiator: whose channels were not all closed, as far as it knew; at most 256. */
  readonly unclosed?: readonly ProcessId[];
  /** At the initiator: whose pieces were not stored, of the others. */
  readonly unstored?: readonly ProcessId[];
}

/** What one process knows of one attempt. */
export type AttemptNote = BegunNote | RefusedNote | CompleteNote | AbandonedNote;

/** What came of an attempt, put together from all notes. */
export interface Attempt {
  /** Absent if it was refused: then none began. */
  readonly snapshot?: SnapshotId;
  readonly initiator: ProcessId;
  readonly label?: string;
  readonly epoch?: number;
  readonly processes?: number;
  readonly timeoutMs?: number;
  /** By the initiator's clock, milliseconds since 1970; if it noted nothing, by that of who noted first. */
  readonly startedAtMs: number;
  /** Open: nobody has noted an end. It is under way, or its initiator died. */
  readonly outcome: "complete" | "abandoned" | "refused" | "open";
  /** Until it was over. */
  readonly tookMs?: number;
  readonly cutMs?: number;
  /** Why it was abandoned or refused: what the initiator says, or else the first who says something. */
  readonly reason?: string;
  /** Ascending by process. */
  readonly shares: readonly AttemptShare[];
  /** What processes waited for when it was abandoned. Ascending by process. */
  readonly waits: readonly { readonly process: ProcessId; readonly waitsFor: readonly string[] }[];
  readonly unclosed: readonly ProcessId[];
  readonly unstored: readonly ProcessId[];
}

/** In the largest systems a note names so many processes. */
const NAMED_MAX = 256;
/** So many characters of a reason are kept: it may quote what somebody threw. */
const REASON_MAX = 1024;

/**
 * The note of a snapshot that is complete.
 * @param atMs when its manifest was written. @default when the last process was done
 */
export function completeNote(
  { id, initiator, startedAtMs, cutMs, pieces }: Manifest,
  atMs: number = Math.max(...pieces.map((piece) => doneAtMs(shareOf(piece)))),
): CompleteNote {
  const shares = pieces.map(shareOf).sort((a, b) => doneAtMs(b) - doneAtMs(a));
  return {
    ...{ note: "complete", snapshot: id, by: initiator, atMs, startedAtMs, cutMs },
    shares: shares.slice(0, NAMED_MAX),
  };
}

function shareOf({ process, state, incoming, timing }: PieceRecord): AttemptShare {
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
  return {
    process,
    ...timing,
    inFlight: sum(incoming.map(({ inFlight }) => inFlight)),
    inFlightBytes: sum(incoming.map(({ part }) => part?.bytes ?? 0)),
    stateBytes: sum(state.parts.map(({ bytes }) => bytes)),
  };
}

/** When a process was done with its share, as far as it is known. */
export function doneAtMs({ recordedAtMs, recordingMs = 0, storedMs = 0 }: AttemptShare): number {
  return recordedAtMs + recordingMs + storedMs;
}

/** Gives a clean copy of a note, with reasons and lists cut to their bounds, or says what is wrong with it. Never throws. */
export function checkNote(
  value: unknown,
): { readonly note: AttemptNote } | { readonly problem: string } {
  const checked = checkForm(noteForm, value);
  return "problem" in checked ? checked : { note: checked.copy };
}

/** Put together from the notes of all processes, in any order: newest first. */
export function attemptsOf(notes: Iterable<AttemptNote>): Attempt[] {
  const ordered = [...notes].sort((a, b) => a.atMs - b.atMs || rank(a) - rank(b));
  const attempts: Drafted[] = [];
  /** The latest that has that id: one that was never stored may be used again by the initiator's next life. */
  const latest = new Map<SnapshotId, Drafted>();
  for (const note of ordered) {
    if (note.note === "refused") {
      const { by, atMs, note: outcome, ...said } = note;
      attempts.push({ ...draft(by, atMs), outcome, ...said });
      continue;
    }
    const { snapshot } = note;
    let attempt = latest.get(snapshot);
    if (!attempt || (note.note === "begun" && attempt.begun)) {
      attempt = { ...draft(parseSnapshotId(snapshot).initiator, note.atMs), snapshot };
      latest.set(snapshot, attempt);
      attempts.push(attempt);
    }
    add(attempt, note);
  }
  return attempts
    .map(({ begun: _, ...attempt }) => ({
      ...attempt,
      shares: [...attempt.shares.values()].sort(byProcess),
      waits: [...attempt.waits]
        .map(([process, waitsFor]) => ({ process, waitsFor }))
        .sort(byProcess),
    }))
    .sort((a, b) => b.startedAtMs - a.startedAtMs);
}

type Drafted = { -readonly [K in keyof Attempt as Exclude<K, "shares" | "waits">]: Attempt[K] } & {
  begun: boolean;
  readonly shares: Map<ProcessId, AttemptShare>;
  readonly waits: Map<ProcessId, readonly string[]>;
};

const draft = (initiator: ProcessId, startedAtMs: number): Drafted => ({
  ...{ initiator, startedAtMs, outcome: "open", begun: false },
  ...{ shares: new Map(), waits: new Map(), unclosed: [], unstored: [] },
});

function add(attempt: Drafted, note: Exclude<AttemptNote, RefusedNote>): void {
  if (note.note === "begun") {
    const { note: _, by: __, atMs, snapshot: ___, ...said } = note;
    Object.assign(attempt, said, { startedAtMs: atMs, begun: true });
  } else if (note.note === "complete") {
    const { atMs, startedAtMs, cutMs, shares } = note;
    const tookMs = atMs - startedAtMs;
    // Whoever stopped before may have taken it for abandoned.
    delete attempt.reason;
    Object.assign(attempt, { outcome: "complete", startedAtMs, cutMs, tookMs });
    Object.assign(attempt, { unclosed: [], unstored: [] });
    attempt.shares.clear();
    for (const share of shares) attempt.shares.set(share.process, share);
    attempt.waits.clear();
  } else if (attempt.outcome !== "complete") {
    const { by, atMs, reason, share, waitsFor, unclosed = [], unstored = [] } = note;
    if (by === attempt.initiator)
      Object.assign(attempt, { reason, unclosed, unstored, tookMs: atMs - attempt.startedAtMs });
    else if (attempt.outcome === "open") attempt.reason = reason;
    attempt.outcome = "abandoned";
    // Whoever died before its log had it notes it again.
    if (share) attempt.shares.set(by, share);
    if (waitsFor.length > 0) attempt.waits.set(by, waitsFor);
  }
}

/** What one millisecond holds, in the order in which it can have happened. */
const rank = ({ note }: AttemptNote): number => (note === "begun" ? 0 : 1);

const byProcess = (
  a: { readonly process: ProcessId },
  b: { readonly process: ProcessId },
): number => (a.process < b.process ? -1 : 1);

const cut = (form: Form<string>, most: number): Form<string> => {
  return (value, path) => form(value, path).slice(0, most);
};
const short = cut(text("a text", /^/), REASON_MAX);
const names = <T>(form: Form<T>): Form<readonly T[]> => {
  const all = list(Number.POSITIVE_INFINITY, form);
  return (value, path) => all(Array.isArray(value) ? value.slice(0, NAMED_MAX) : value, path);
};

/** The last millisecond that a date can be, and as many before 1970. */
const TIME_MS_MAX = 8.64e15;
/** Clocks may be set back; but everybody must be able to show it as a date. */
const time = where(ms, "be a time", (value) => Math.abs(value) <= TIME_MS_MAX);

const shareForm = record<AttemptShare>({
  process: processId,
  recordedAtMs: time,
  captureMs: ms,
  recordingMs: { optional: ms },
  inFlight: { optional: count },
  inFlightBytes: { optional: count },
  storedMs: { optional: ms },
  stateBytes: { optional: count },
});

const kind = <K extends AttemptNote["note"]>(is: K): Form<K> =>
  leaf(JSON.stringify(is), (value): value is K => value === is);

const forms: { readonly [K in AttemptNote["note"]]: Form<Extract<AttemptNote, { note: K }>> } = {
  begun: record<BegunNote>({
    note: kind("begun"),
    snapshot: snapshotId,
    by: processId,
    atMs: time,
    label: { optional: short },
    epoch: count,
    processes: count,
    timeoutMs: { optional: duration },
  }),
  refused: record<RefusedNote>({
    note: kind("refused"),
    by: processId,
    atMs: time,
    label: { optional: short },
    reason: short,
  }),
  complete: record<CompleteNote>({
    note: kind("complete"),
    snapshot: snapshotId,
    by: processId,
    atMs: time,
    startedAtMs: time,
    cutMs: ms,
    shares: names(shareForm),
  }),
  abandoned: record<AbandonedNote>({
    note: kind("abandoned"),
    snapshot: snapshotId,
    by: processId,
    atMs: time,
    reason: short,
    share: { optional: shareForm },
    waitsFor: names(short),
    unclosed: { optional: names(processId) },
    unstored: { optional: names(processId) },
  }),
};

const noteForm: Form<AttemptNote> = (value, path) => {
  const { note } = (value ?? {}) as { readonly note?: unknown };
  const form = typeof note === "string" && Object.hasOwn(forms, note) ? note : undefined;
  if (!form) throw new Error(`note must be one of ${Object.keys(forms).join(", ")}`);
  return forms[form as AttemptNote["note"]](value, path);
};
