/**
 * A process that appends to an input log until somebody kills it, and tells how many of its records are settled. Record number N holds N, and
 * bytes that follow from it; a capture holds how many records it stands for.
 *
 * usage: node input-log-child.ts DIRECTORY POLICY [RECORD_BYTES]
 */
import { isTidemarkError } from "../../src/core/error.ts";
import { type LogPolicy, openInputLog } from "../../src/runtime/input-log.ts";

/** What the child tells. */
export interface Told {
  /** So many records came back when it began. */
  readonly back?: number;
  readonly settled?: number;
  /** The code of a problem. */
  readonly problem?: string;
}

/** The bytes of a record. */
export function recordOf(index: number, bytes: number): Uint8Array {
  const record = new Uint8Array(4 + (index % bytes)).fill(index);
  new DataView(record.buffer).setUint32(0, index);
  return record;
}

const [directory = "", policy = "", recordBytes = "300"] = process.argv.slice(2);
if (directory !== "") await append();

async function append(): Promise<void> {
  const tell = (told: Told): void => void process.send?.(told);
  // The parent is gone.
  process.on("disconnect", () => process.exit(1));
  const ends: number[] = [];
  let settled = 0;
  let index = 0;
  const log = await openInputLog(directory, {
    policy: policy as LogPolicy,
    segmentBytes: 200_000,
    onProblem: ({ code }) => tell({ problem: code }),
    onSettled: (position) => {
      while ((ends[0] ?? Number.POSITIVE_INFINITY) <= position) {
        ends.shift();
        settled += 1;
      }
      tell({ settled });
    },
  });
  if (log.capture) index = new DataView(log.capture.image.buffer).getUint32(0);
  for await (const records of log.records()) index += records.length;
  settled = index;
  tell({ back: index });
  for (let round = 1; ; round += 1) {
    for (let many = round % 50; many >= 0 && !log.stalled; many -= 1) {
      index += 1;
      ends.push(log.append(recordOf(index, Number(recordBytes))));
    }
    if (round % 100 === 0 && !log.stalled) {
      try {
        const writer = log.beginCapture(recordOf(index, 4));
        for (let slice = 0; slice < 20; slice += 1)
          await writer.add(new Uint8Array(30_000).fill(slice));
        await writer.commit();
      } catch (error) {
        if (!isTidemarkError(error, "LOG_FAILED")) throw error;
      }
    }
    await new Promise((resolve) => void setImmediate(resolve));
  }
}
