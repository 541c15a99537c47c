/**
 * Proves a snapshot here, from its manifest and its parts: by the verifier that is one file and depends on nothing (snapshot/verify.ts).
 *
 * Theory of operation. The verifier is given the messages in flight, and states that are one part. Slices of sliced states, of which
 * there may be more than fits into memory, are compared with their SHA-256 as they come, which is all that there is to prove of them.
 */

import type { Manifest, PartReference } from "../../src/snapshot/manifest.ts";
import { partsOf } from "../../src/snapshot/manifest.ts";
import { sha256Of, type Verdict, verifySnapshot } from "../../src/snapshot/verify.ts";
import type { Source } from "./source.ts";

/** The page draws what is new so often. */
const DRAW_MS = 50;

/** How many bytes a proof reads. */
export function bytesToProve(manifest: Manifest): number {
  return wantedOf(manifest).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** @throws Error if the parts cannot be had, or `signal` says so */
export async function prove(
  { manifest, manifestValue, rawParts }: Source,
  signal: AbortSignal,
  told: (bytes: number) => void,
): Promise<Verdict> {
  const slices = new Map<string, string>();
  for (const { process, state } of manifest.pieces)
    if (state.sliced)
      for (const [i, { sha256 }] of state.parts.entries())
        if (!slices.has(sha256)) slices.set(sha256, `pieces[${process}].state.parts[#${i}]`);
  const held = new Map<string, Uint8Array>();
  const problems = new Map<string, string>();
  const heldToo = heldParts(manifest);
  let done = 0;
  let drawnMs = performance.now();
  for await (const { reference, bytes, problem } of rawParts(wantedOf(manifest))) {
    signal.throwIfAborted();
    const { sha256 } = reference;
    const place = slices.get(sha256);
    if (bytes && heldToo.has(sha256)) held.set(sha256, bytes);
    if (problem !== undefined) problems.set(sha256, problem);
    if (place !== undefined) {
      const reason = !bytes
        ? `cannot be read; it is ${place}`
        : bytes.length !== reference.bytes
          ? `has ${bytes.length} bytes, not ${reference.bytes}; it is ${place}`
          : sha256Of(bytes) === sha256
            ? undefined
            : `is not what was written; it is ${place}`;
      if (reason !== undefined)
        return withWords({ consistent: false, place: `part ${sha256}`, reason }, problems);
    }
    done += reference.bytes;
    if (performance.now() - drawnMs < DRAW_MS) continue;
    told(done);
    await new Promise((settle) => setTimeout(settle));
    drawnMs = performance.now();
  }
  return withWords(
    verifySnapshot(withoutSlices(manifestValue), ({ sha256 }) => held.get(sha256)),
    problems,
  );
}

function wantedOf(manifest: Manifest): PartReference[] {
  const all = new Map<string, PartReference>();
  for (const part of partsOf(manifest)) all.set(part.sha256, part);
  return [...all.values()];
}

/** What the verifier looks at by itself. */
function heldParts({ pieces }: Manifest): ReadonlySet<string> {
  return new Set(
    pieces.flatMap(({ state, incoming }) => [
      ...(state.sliced ? [] : state.parts.map(({ sha256 }) => sha256)),
      ...incoming.flatMap(({ part }) => (part ? [part.sha256] : [])),
    ]),
  );
}

/** The manifest as it was, but that states have no slices. */
function withoutSlices(value: unknown): unknown {
  const { pieces, ...rest } = value as { pieces: { state: { sliced: boolean } }[] };
  return {
    ...rest,
    pieces: pieces.map((piece) =>
      piece.state.sliced ? { ...piece, state: { ...piece.state, parts: [] } } : piece,
    ),
  };
}

/** With what the server says of the part that is wrong: it knows the file. */
function withWords(verdict: Verdict, problems: ReadonlyMap<string, string>): Verdict {
  if (verdict.consistent) return verdict;
  const words = problems.get(verdict.place.replace(/^part /, ""));
  return words === undefined ? verdict : { ...verdict, reason: `${verdict.reason}: ${words}` };
}
