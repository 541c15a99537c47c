/** Records what all processes of a running system do for a while: for `tidemark trace record`, and for the page. */

import { setTimeout as pause } from "node:timers/promises";
import { isTidemarkError } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import type { RecordedEvent, RecorderOptions, Recording } from "../trace/recorder.ts";
import type { RecordingHead } from "./system-methods.ts";
import type { SystemCaller } from "./web/backend.ts";

/** For how long, and what. */
export interface RecordingRequest {
  readonly options: RecorderOptions;
  readonly forMs: number;
  /** Whether a snapshot is taken in the middle of it. */
  readonly snapshot: boolean;
}

/** What came of it. */
export interface Recorded {
  readonly recordings: readonly Recording[];
  readonly tookMs: number;
  readonly snapshot?: SnapshotId;
}

/**
 * Switches recording on, waits, switches it off and fetches what there is; it is off at last, whatever goes wrong.
 * @param stop ends it early
 * @throws TidemarkError `BUSY` if somebody else is recording
 */
export async function recordSystem(
  call: SystemCaller,
  { options, forMs, snapshot: wanted }: RecordingRequest,
  stop: AbortSignal,
): Promise<Recorded> {
  await call("startTrace", { options, forMs });
  const startedMs = performance.now();
  const recordings: Recording[] = [];
  let snapshot: SnapshotId | undefined;
  try {
    if (wanted) {
      await rest(forMs / 2, stop);
      if (!stop.aborted) ({ snapshot } = await call("snapshot", {}));
    }
    await rest(forMs - (performance.now() - startedMs), stop);
  } finally {
    const { recordings: heads } = await call("stopTrace", null);
    for (const head of heads) {
      const read = async (from: number): Promise<readonly RecordedEvent[]> =>
        (await call("readTrace", { process: head.process, from })).events;
      recordings.push(await wholeRecording(head, read));
    }
  }
  const tookMs = performance.now() - startedMs;
  return { recordings, tookMs, ...(snapshot !== undefined && { snapshot }) };
}

/** All of it. What somebody else has fetched meanwhile counts as lost. */
export async function wholeRecording(
  { count, ...head }: RecordingHead,
  read: (from: number) => Promise<readonly RecordedEvent[]>,
): Promise<Recording> {
  const events: RecordedEvent[] = [];
  while (events.length < count) {
    const page = await read(events.length);
    if (page.length === 0) break;
    for (const event of page) events.push(event);
  }
  return { ...head, lost: head.lost + count - events.length, events };
}

/** For so long, unless it is to stop. */
async function rest(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await pause(Math.max(0, ms), undefined, { signal });
  } catch (error) {
    if (isTidemarkError(error) || !signal.aborted) throw error;
  }
}
