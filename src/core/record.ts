/**
 * How messages lie in a batch: one *record* each, a little-endian 32-bit length, that many bytes, and
 * zeros up to a multiple of 4. A batch is a plain sequence of records, so it can be hashed, kept or
 * passed on as one range of bytes, and records of two batches can be put one behind the other.
 */

/** The bytes that a record of `length` content bytes takes. */
export function recordBytes(length: number): number {
  return 4 + length + (-length & 3);
}

/**
 * Counts the records from `start` to `end`; -1 if the bytes are not a whole number of well-formed ones.
 * What a peer sent is checked with this before anything of it is used.
 */
export function countRecords(view: DataView, start: number, end: number): number {
  let at = start;
  let count = 0;
  while (at + 4 <= end) {
    const length = view.getUint32(at, true);
    const padding = -length & 3;
    at += 4 + length + padding;
    if (at > end) return -1;
    // Hidden bytes would be in the channel hash, and a certificate with them is refused.
    if (padding > 0 && view.getUint32(at - 4, true) >>> (8 * (4 - padding)) !== 0) return -1;
    count += 1;
  }
  return at === end ? count : -1;
}

/** Calls `use` with the content of every record, as a view into `bytes`, which must be well formed. */
export function forEachRecord(bytes: Uint8Array, use: (content: Uint8Array) => void): void {
  const { buffer, byteOffset, byteLength } = bytes;
  const view = new DataView(buffer, byteOffset, byteLength);
  for (let at = 0; at < byteLength; ) {
    const length = view.getUint32(at, true);
    // Not `subarray`, which costs twice as much: of a subclass it would make another one.
    use(new Uint8Array(buffer, byteOffset + at + 4, length));
    at += recordBytes(length);
  }
}

/** The contents of every record, as `forEachRecord` gives them. */
export function readRecords(bytes: Uint8Array): Uint8Array[] {
  const contents: Uint8Array[] = [];
  forEachRecord(bytes, (content) => void contents.push(content));
  return contents;
}

/** A copy. Not `bytes.slice()`, which of a `Buffer` makes a view. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** All of them, one behind the other. */
export function joinBytes(runs: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(runs.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const run of runs) {
    bytes.set(run, at);
    at += run.length;
  }
  return bytes;
}

/** The contents as one run of records. */
export function writeRecords(contents: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(contents.reduce((sum, { length }) => sum + recordBytes(length), 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const content of contents) {
    view.setUint32(at, content.length, true);
    bytes.set(content, at + 4);
    at += recordBytes(content.length);
  }
  return bytes;
}
