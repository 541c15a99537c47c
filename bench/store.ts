/**
 * What a directory store writes of a large state: a million entries in 16,384 slices, at first and when one in a
 * hundred has changed, all in a few slices or spread over all.
 */

import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type DirectoryStoreOptions,
  directoryStore,
  type Manifest,
  msgpackCodec,
  Random,
} from "tidemark";
import type { Result } from "./result.ts";

const SLICES = 16_384;
const ENTRIES = 61;
const CHANGED = 0.01;
const MIB = 1_048_576;

type Slice = Map<string, string>;

const value = (number: number): string => `value ${number} of the entry, as it was`;
const key = (slice: number, entry: number): string => `user:${slice * ENTRIES + entry}`;

/** How many bytes the files below have. */
function bytesIn(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

export async function* store(): AsyncGenerator<Result> {
  yield* written("plain", {});
  yield* written("compressed", { compressLevel: 3 });
  yield* written("compressed and encrypted", { compressLevel: 3, key: new Uint8Array(32) });
}

async function* written(what: string, options: DirectoryStoreOptions): AsyncGenerator<Result> {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-bench-"));
  const kept = directoryStore(directory, options);
  const random = new Random(1);
  const codec = msgpackCodec<unknown>();
  const slices: Slice[] = Array.from(
    { length: SLICES },
    (_, slice) =>
      new Map(
        Array.from({ length: ENTRIES }, (_, entry) => [
          key(slice, entry),
          value(random.below(1e6)),
        ]),
      ),
  );
  const change = (slice: number, entry: number): void => {
    slices[slice]?.set(key(slice, entry), value(random.below(1e6)));
  };
  let count = 0;
  const take = async (name: string): Promise<Result[]> => {
    const state = slices.map((slice) => codec.encode([...slice]).slice());
    const plain = state.reduce((sum, { length }) => sum + length, 0);
    const before = bytesIn(directory);
    const startMs = performance.now();
    count += 1;
    const id = `p1/${count}` as const;
    const pieces = await kept.writePiece({
      snapshot: id,
      process: "p1",
      state,
      channels: new Map(),
    });
    await kept.writeManifest(manifestOf(id, pieces.state));
    const ms = performance.now() - startMs;
    const bytes = bytesIn(directory) - before;
    const of = (measure: string, value: number, unit: string): Result => ({
      ...{ bench: "store", case: `${what}, ${name}, ${measure}`, value, unit },
    });
    return [
      of("written", bytes / MIB, "MiB"),
      of("of the state", (100 * bytes) / plain, "%"),
      of("time", ms, "ms"),
    ];
  };
  try {
    yield* await take("first");
    for (let n = 0; n < SLICES * CHANGED; n += 1) {
      const slice = random.below(SLICES);
      for (let entry = 0; entry < ENTRIES; entry += 1) change(slice, entry);
    }
    yield* await take("1 % of the slices changed");
    for (let n = 0; n < SLICES * ENTRIES * CHANGED; n += 1)
      change(random.below(SLICES), random.below(ENTRIES));
    yield* await take("1 % of the entries changed, spread");
  } finally {
    await kept.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function manifestOf(id: Manifest["id"], parts: Manifest["pieces"][0]["state"]["parts"]): Manifest {
  return {
    format: "tidemark-snapshot/1",
    ...{ id, system: "bench", epoch: 1, initiator: "p1", startedAtMs: 0, cutMs: 0 },
    ...{ processes: ["p1"], channels: [] },
    pieces: [
      {
        ...{ snapshot: id, process: "p1", epoch: 1, messageEncoding: "msgpack" },
        state: { encoding: "msgpack", sliced: true, parts },
        ...{ incoming: [], outgoing: [] },
        timing: { recordedAtMs: 0, recordingMs: 0, captureMs: 0 },
      },
    ],
  };
}
