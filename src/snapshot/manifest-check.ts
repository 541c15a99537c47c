/**
 * Lets in only what has the form of a manifest, be it from a file or from a peer. It looks at each record
 * and at the order of each list; what records say about each other is for the verifier to prove.
 *
 * What a later version adds to a record is passed over (core/form.ts) as long as the `format` stays; another `format` is refused.
 */

import { TidemarkError } from "../core/error.ts";
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
  truth,
  where,
} from "../core/form.ts";
import type { Channel } from "../core/topology.ts";
import {
  type IncomingRecord,
  MANIFEST_FORMAT,
  type Manifest,
  type OutgoingRecord,
  type PartReference,
  type PieceRecord,
  type PieceTiming,
  type Renaming,
  type TimerRecord,
} from "./manifest.ts";

/** A clean copy, or what is wrong. */
export type CheckedManifest = { readonly manifest: Manifest } | { readonly problem: string };

/** So many parts are looked at, or written, before others have their turn. */
export const PARTS_AT_ONCE = 100;

/**
 * Gives a clean copy of a manifest, or says which value first has not the right form. Never throws.
 *
 * @param value what `JSON.parse` gave
 */
export function checkManifest(value: unknown): CheckedManifest {
  const checked = checkForm(manifestForm, value);
  return "problem" in checked ? checked : { manifest: checked.copy };
}

/**
 * The same in steps, none of which takes long, however many parts the states have: so others need not wait for the last one.
 * What changes in between is of no account where it was looked at already, for that is copied.
 */
export function* checkManifestInSteps(value: unknown): Generator<void, CheckedManifest> {
  const checked = checkForm(manifestBeforeParts, value);
  // If anything is wrong, the whole check says what, and where it comes first.
  if ("problem" in checked) return checkManifest(value);
  const pieces: PieceRecord[] = [];
  let sinceTurn = 0;
  for (const piece of checked.copy.pieces) {
    const parts: PartReference[] = [];
    for (let at = 0; at < piece.state.parts.length; at += PARTS_AT_ONCE) {
      const some = checkForm(someParts, piece.state.parts.slice(at, at + PARTS_AT_ONCE));
      if ("problem" in some) return checkManifest(value);
      parts.push(...some.copy);
      sinceTurn += some.copy.length;
      if (sinceTurn < PARTS_AT_ONCE) continue;
      sinceTurn = 0;
      yield;
    }
    pieces.push({ ...piece, state: { ...piece.state, parts } });
  }
  return { manifest: { ...checked.copy, pieces } };
}

/** The same for the piece of one process. */
export function checkPiece(
  value: unknown,
): { readonly piece: PieceRecord } | { readonly problem: string } {
  const checked = checkForm(pieceForm, value);
  return "problem" in checked ? checked : { piece: checked.copy };
}

/**
 * The manifest with another label, or with none.
 * @throws TidemarkError `BAD_OPTION` if the label has not 1 to 256 characters
 */
export function labelled(manifest: Manifest, label: string | undefined): Manifest {
  const { label: _, ...rest } = manifest;
  if (label === undefined) return rest;
  if (typeof label !== "string" || !NAME.test(label))
    throw new TidemarkError("BAD_OPTION", "a label has 1 to 256 characters");
  // In the order in which it is written.
  const { format, id, ...others } = rest;
  return { format, id, label, ...others };
}

/** True for the text of a channel hash. */
export function isChannelHash(value: unknown): value is string {
  return typeof value === "string" && CHANNEL_HASH.test(value);
}

// Limits far beyond any system, which a peer or a file cannot make this process go beyond.
const PROCESSES_MAX = 100_000;
const CHANNELS_MAX = 10_000_000;
const PARTS_MAX = 10_000_000;
const TIMERS_MAX = 1_000_000;

const format: Form<typeof MANIFEST_FORMAT> = leaf(
  `"${MANIFEST_FORMAT}", the format that this version reads`,
  (value) => value === MANIFEST_FORMAT,
);
const timerName = text("a text of up to 256 characters", /^.{0,256}$/s);
const NAME = /^.{1,256}$/s;
const name = text("a text of 1 to 256 characters", NAME);
const sha256 = text("64 hexadecimal digits in lower case", /^[0-9a-f]{64}$/);
const CHANNEL_HASH = /^[0-9a-f]{32}[0-3s]$/;
const channelHash = text("33 hexadecimal digits in lower case, the last 0 to 3 or s", CHANNEL_HASH);

const partForm = where(
  record<PartReference>({
    sha256,
    bytes: count,
    pack: { optional: sha256 },
    offset: { optional: count },
    zstd: { optional: count },
    sealed: { optional: leaf("true", (value) => value === true) },
  }),
  "have both pack and offset, or neither; and both with zstd or sealed",
  ({ pack, offset, zstd, sealed }) =>
    (pack === undefined) === (offset === undefined) &&
    (pack !== undefined || (zstd === undefined && sealed === undefined)),
);

const allParts = list(PARTS_MAX, partForm);
const someParts = list(PARTS_AT_ONCE, partForm);
/** A list that is not too long, as it is: what is in it comes later. */
const partsUnseen: Form<readonly PartReference[]> = leaf(
  "a list of parts",
  (value): value is readonly PartReference[] => Array.isArray(value) && value.length <= PARTS_MAX,
);

const incomingForm = where(
  record<IncomingRecord>({
    from: processId,
    received: count,
    hash: channelHash,
    inFlight: count,
    part: { optional: partForm },
  }),
  "have a part if messages are in flight, and only then",
  ({ inFlight, part }) => inFlight > 0 === (part !== undefined),
);

function pieceOf(parts: Form<readonly PartReference[]>): Form<PieceRecord> {
  return record<PieceRecord>({
    snapshot: snapshotId,
    process: processId,
    epoch: count,
    state: where(
      record<PieceRecord["state"]>({
        encoding: name,
        sliced: truth,
        parts,
      }),
      "have exactly one part, unless it is sliced",
      ({ sliced, parts }) => sliced || parts.length === 1,
    ),
    messageEncoding: name,
    incoming: list(PROCESSES_MAX, incomingForm, ({ from }) => from),
    outgoing: list(
      PROCESSES_MAX,
      record<OutgoingRecord>({ to: processId, sent: count, hash: channelHash }),
      ({ to }) => to,
    ),
    timers: {
      optional: list(
        TIMERS_MAX,
        record<TimerRecord>({ name: timerName, afterMs: duration }),
        ({ name }) => `\u0000${name}`,
      ),
    },
    timing: record<PieceTiming>({
      recordedAtMs: ms,
      recordingMs: ms,
      captureMs: ms,
      storedMs: { optional: ms },
    }),
  });
}

const pieceForm = pieceOf(allParts);

function manifestOf(piece: Form<PieceRecord>): Form<Manifest> {
  return record<Manifest>({
    format,
    id: snapshotId,
    label: { optional: name },
    system: name,
    epoch: count,
    initiator: processId,
    startedAtMs: ms,
    cutMs: ms,
    processes: list(PROCESSES_MAX, processId, (id) => id),
    // A space comes before everything that an id may hold: by source, then by destination.
    channels: list(
      CHANNELS_MAX,
      record<Channel>({ from: processId, to: processId }),
      ({ from, to }) => `${from} ${to}`,
    ),
    pieces: list(PROCESSES_MAX, piece, ({ process }) => process),
    renamed: {
      optional: list(
        PROCESSES_MAX,
        record<Renaming>({ was: processId, is: processId }),
        ({ is }) => is,
      ),
    },
  });
}

const manifestForm = manifestOf(pieceForm);
/** Also that a state which is not sliced has one part, but nothing that is in the parts. */
const manifestBeforeParts = manifestOf(pieceOf(partsUnseen));
