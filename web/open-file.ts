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
/** No browser has room for a longer text. */
const TEXT_BYTES_MAX = (1 << 29) - 32;

/** @throws Error that says what is wrong with it */
export async function openFile(file: File): Promise<OpenedFile | OpenedLab> {
  if (file.size > FILE_BYTES_MAX) throw new Error("it has more than a gigabyte");
  let bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes.length === 0) throw new Error("it is empty");
  if (GZIP.every((byte, i) => bytes[i] === byte)) bytes = await unpacked(bytes);
  const magic = new TextDecoder().decode(bytes.subarray(TAR_MAGIC, TAR_MAGIC + 5));
  if (magic === "ustar") return { kind: "snapshot", name: file.name, bytes };
  const text = textIn(bytes);
  if (isLab(text)) return { kind: "lab", name: file.name, lab: readLab(text) };
  return { kind: "trace", name: file.name, trace: parseTrace(text) };
}

/** What was packed with gzip; how much that is shows only while it is unpacked. */
async function unpacked(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const reader = plain.getReader();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Error("it is packed by gzip, and cut off or damaged");
    });
    if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
    size += value.length;
    parts.push(value);
    if (size <= FILE_BYTES_MAX) continue;
    await reader.cancel();
    throw new Error("it has more than a gigabyte when it is unpacked");
  }
}

/** What a trace or a lab may be. */
function textIn(bytes: Uint8Array): string {
  const none = "it is no trace, no exported snapshot and no lab";
  if (bytes.length > TEXT_BYTES_MAX)
    throw new Error("it has more than half a gigabyte of text: look at it in parts");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${none}: it is no text in UTF-8`);
  }
  if (/^\s*[^\s{]/.test(text))
    throw new Error(`${none}; of a log, tidemark trace import makes a trace`);
  return text;
}
