/** Files that the page shows without asking anybody: traces, snapshots that were exported, and labs. */

import { parseTrace, type Trace } from "../src/trace/trace.ts";
import { isLab, type Lab, readLab } from "./ordering-lab/lab.ts";

export interface OpenedTrace {
  readonly kind: "trace";
  readonly name: string;
  readonly trace: Trace;
}

export interface OpenedSnapshot {
  readonly kind: "snapshot";
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface OpenedLab {
  readonly kind: "lab";
  readonly name: string;
  readonly lab: Lab;
}

export type OpenedFile = OpenedTrace | OpenedSnapshot;

const GZIP = [0x1f, 0x8b];
/** Where a tar archive says that it is one. */
const TAR_MAGIC = 257;
const FILE_BYTES_MAX = 1 << 30;

/** @throws Error that says what is wrong with it */
export async function openFile(file: File): Promise<OpenedFile | OpenedLab> {
  if (file.size > FILE_BYTES_MAX) throw new Error("it has more than a gigabyte");
  let bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes.length === 0) throw new Error("it is empty");
  if (GZIP.every((byte, i) => bytes[i] === byte)) {
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    bytes = new Uint8Array(await new Response(plain).arrayBuffer());
  }
  const magic = new TextDecoder().decode(bytes.subarray(TAR_MAGIC, TAR_MAGIC + 5));
  if (magic === "ustar") return { kind: "snapshot", name: file.name, bytes };
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  if (isLab(text)) return { kind: "lab", name: file.name, lab: readLab(text) };
  return { kind: "trace", name: file.name, trace: parseTrace(text) };
}
