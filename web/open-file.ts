/** Files that the page shows without asking anybody: traces, and snapshots that were exported. */

import { parseTrace, type Trace } from "../src/trace/trace.ts";

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

export type OpenedFile = OpenedTrace | OpenedSnapshot;

const GZIP = [0x1f, 0x8b];
/** Where a tar archive says that it is one. */
const TAR_MAGIC = 257;
const FILE_BYTES_MAX = 1 << 30;

/** @throws Error that says what is wrong with it */
export async function openFile(file: File): Promise<OpenedFile> {
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
  return { kind: "trace", name: file.name, trace: parseTrace(text) };
}
