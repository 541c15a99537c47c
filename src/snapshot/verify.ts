/**
 * Proves a global snapshot consistent from its files alone. It is the second opinion: it depends on nothing, and
 * shares no line with the code that it judges. docs/internals/snapshot-format.md describes what it reads.
 *
 * Theory of operation. Every process counts and hashes all that it sends and receives on each channel, and a
 * piece says how far both had come when the process recorded its state. For a channel p → q the files hold p's
 * count and hash of what it had sent, q's of what it had received, and the bytes of the messages in flight. The
 * proof: received ≤ sent; the bytes are sent − received whole messages; and folding them into q's hash gives p's.
 * So q had received the beginning of what p had sent (no receive without its send: the cut is consistent), and
 * the messages in flight are the whole rest, in order (the channel state is complete). That is asked of every
 * channel, and one piece of every process.
 *
 * What is not proved:
 * - A state is only compared with its SHA-256. That it is what the process held, that its slices are all there,
 *   and whose it is, is the word of the manifest; so are label, system, times and codecs.
 * - Of the counters, zero and the differences are proved. If both ends of a channel number its messages higher
 *   or lower by the same amount, that is not seen; it says nothing else about the cut.
 * - This is no signature. Hashes find mistakes, damage and careless edits; whoever rewrites a whole snapshot can
 *   make it fit again. Against that, keep the SHA-256 of the manifest's file elsewhere, or sign it.
 */

/**
 * Gives the bytes of one part and no others (of a part in a pack, the `bytes` bytes from `offset` on), or
 * `undefined` if there are none. They are compared with the reference here, so it need not check them.
 */
export type PartReader = (
  reference: Readonly<{ sha256: string; bytes: number; pack?: string; offset?: number }>,
) => Uint8Array | undefined;

/** What was found. `place` is a path in the manifest, `channel p → q` or `part` with its SHA-256. */
export type Verdict =
  | Readonly<{ consistent: true; processes: number; channels: number; inFlight: number }>
  | Readonly<{ consistent: false; place: string; reason: string }>;

const FORMAT = "tidemark-snapshot/1";
const PROCESS_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const SNAPSHOT_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\/[1-9][0-9]{0,14}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const CHANNEL_HASH = /^[0-9a-f]{32}[0-3]$/;
/** The hash of a channel that no message went through: digits of pi, and no words taken. */
const UNTOUCHED = "243f6a8885a308d313198a2e037073440";

/**
 * Proves from the manifest, as `JSON.parse` gave it, and the parts that the cut is consistent and the channels
 * are complete, or names the first place found where it is not. Never throws. Holds one part at a time.
 *
 * @example
 * ```ts
 * import { verifySnapshot } from "tidemark";
 * const verdict = verifySnapshot({ format: "tidemark-snapshot/0" }, () => undefined);
 * if (verdict.consistent || verdict.place !== "format") throw new Error("an unknown format is no proof");
 * ```
 */
export function verifySnapshot(manifest: unknown, part: PartReader): Verdict {
  try {
    return prove(fields(manifest, "manifest"), part);
  } catch (thrown) {
    // Anything but a finding came out of an accessor or for want of memory, not out of parsed JSON.
    return thrown instanceof Finding
      ? { consistent: false, place: String(thrown.cause), reason: thrown.message }
      : { consistent: false, place: "manifest", reason: "cannot be read" };
  }
}

function prove(manifest: Fields, part: PartReader): Verdict {
  must(manifest["format"] === FORMAT, "format", `is not ${FORMAT}`);
  const id = text(manifest["id"], SNAPSHOT_ID, "id");
  const epoch = counter(manifest["epoch"], "epoch");
  /** Every process, with the other ends of its channels. */
  const peers = new Map<string, { from: string[]; to: string[] }>();
  let previous = "";
  for (const [i, value] of list(manifest["processes"], "processes").entries()) {
    const process = text(value, PROCESS_ID, `processes[#${i}]`);
    must(process > previous, `processes[${process}]`, "is doubled or out of order");
    previous = process;
    peers.set(process, { from: [], to: [] });
  }
  const initiator = text(manifest["initiator"], PROCESS_ID, "initiator");
  must(peers.has(initiator), "initiator", "is not one of the processes");
  must(id.startsWith(`${initiator}/`), "initiator", "is not the one that the id names");
  const channels = list(manifest["channels"], "channels");
  previous = "";
  for (const [i, value] of channels.entries()) {
    const { from, to } = fields(value, `channels[#${i}]`) as { from: string; to: string };
    const [source, target] = [peers.get(from), peers.get(to)];
    must(source && target && from !== to, `channels[#${i}]`, "does not join two of the processes");
    // A space sorts before all that an id may hold, so this is the order by source, then destination.
    const channel = `channel ${from} → ${to}`;
    must(channel > previous, channel, "is doubled or out of order");
    previous = channel;
    source.to.push(to);
    target.from.push(from);
  }
  const records: Records = new Map();
  matched(records, manifest["pieces"], "process", [...peers.keys()], "pieces");
  for (const [process, { from, to }] of peers) {
    const place = `pieces[${process}]`;
    const { snapshot, epoch: own, state, incoming, outgoing } = records.get(place) as Fields;
    must(snapshot === id, `${place}.snapshot`, "is not the id of this snapshot");
    must(own === epoch, `${place}.epoch`, "is not the epoch of this snapshot");
    matched(records, incoming, "from", from, `${place}.incoming`);
    matched(records, outgoing, "to", to, `${place}.outgoing`);
    const { sliced, parts } = fields(state, `${place}.state`);
    const slices = list(parts, `${place}.state.parts`);
    must(sliced || slices.length === 1, `${place}.state`, "is not sliced, and not one part");
    for (const [i, one] of slices.entries()) readPart(one, `${place}.state.parts[#${i}]`, part);
  }
  let inFlight = 0;
  for (const [to, { from: sources }] of peers)
    for (const from of sources) inFlight += proveChannel(from, to, records, part);
  return { consistent: true, processes: peers.size, channels: channels.length, inFlight };
}

/** The number of messages in flight, once that is proved. */
function proveChannel(from: string, to: string, records: Records, part: PartReader): number {
  const channel = `channel ${from} → ${to}`;
  const place = `pieces[${to}].incoming[${from}]`;
  const [sent, whole] = progress(records, `pieces[${from}].outgoing[${to}]`, "sent");
  const [received, begun] = progress(records, place, "received");
  const record = records.get(place) as Fields;
  const inFlight = counter(record["inFlight"], `${place}.inFlight`);
  must(received <= sent, channel, `has ${received} messages received, but only ${sent} sent`);
  must(inFlight === sent - received, `${place}.inFlight`, `is not ${sent} − ${received}`);
  must(inFlight > 0 || record["part"] === undefined, `${place}.part`, "is there for no message");
  const bytes = inFlight > 0 ? readPart(record["part"], `${place}.part`, part) : new Uint8Array();
  must(countRecords(bytes) === inFlight, channel, `does not hold ${inFlight} whole message(s)`);
  must(fold(begun, bytes) === whole, channel, "received and in flight are not all that was sent");
  return inFlight;
}

/** Ends a proof. The message is the reason, the cause is the place. */
class Finding extends Error {}

function must(condition: unknown, place: string, otherwise: string): asserts condition {
  if (!condition) throw new Finding(otherwise, { cause: place });
}

type Fields = Readonly<Record<string, unknown>>;
type Records = Map<string, Fields>;

function fields(value: unknown, place: string): Fields {
  must(typeof value === "object" && value && !Array.isArray(value), place, "is not an object");
  return value as Fields;
}

function list(value: unknown, place: string): readonly unknown[] {
  must(Array.isArray(value), place, "is not a list");
  return value;
}

function text(value: unknown, pattern: RegExp, place: string): string {
  must(typeof value === "string" && pattern.test(value), place, "is not well formed");
  return value;
}

function counter(value: unknown, place: string): number {
  must(Number.isSafeInteger(value) && Number(value) >= 0, place, "is not a count");
  return Number(value);
}

/** Notes the records of a list, if there is one for each name, in order, and no other ("~" sorts after all). */
function matched(into: Records, value: unknown, key: string, names: string[], place: string) {
  const records = list(value, place);
  for (let i = 0; i < records.length || i < names.length; i++) {
    const record = i < records.length ? fields(records[i], `${place}[#${i}]`) : undefined;
    const given = record ? text(record[key], PROCESS_ID, `${place}[#${i}].${key}`) : "~";
    const expected = names[i] ?? "~";
    must(record && given <= expected, `${place}[${expected}]`, "is missing");
    must(given === expected, `${place}[${given}]`, "is doubled, or does not belong here");
    into.set(`${place}[${given}]`, record);
  }
}

/** How many messages had gone through one end of a channel, and the hash of their bytes. */
function progress(records: Records, place: string, field: "sent" | "received"): [number, string] {
  const end = records.get(place) as Fields;
  const count = counter(end[field], `${place}.${field}`);
  const hash = text(end["hash"], CHANNEL_HASH, `${place}.hash`);
  must((count === 0) === (hash === UNTOUCHED), `${place}.hash`, `is not of ${count} message(s)`);
  return [count, hash];
}

function readPart(value: unknown, place: string, part: PartReader): Uint8Array {
  const reference = fields(value, place);
  const sha256 = text(reference["sha256"], SHA256, `${place}.sha256`);
  const bytes = counter(reference["bytes"], `${place}.bytes`);
  const { pack, offset } = reference;
  const packed = (pack !== undefined || offset !== undefined) && {
    pack: text(pack, SHA256, `${place}.pack`),
    offset: counter(offset, `${place}.offset`),
  };
  let given: Uint8Array | undefined;
  try {
    given = part({ sha256, bytes, ...packed });
  } catch {
    // A reader that throws has no such part either.
  }
  const name = `part ${sha256}`;
  must(ArrayBuffer.isView(given), name, `cannot be read; it is ${place}`);
  // Whatever kind of view it is, and of whichever realm: its bytes.
  const content = new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
  must(content.length === bytes, name, `has ${content.length} bytes, not ${bytes}; it is ${place}`);
  must(digest(content) === sha256, name, `is not what was written; it is ${place}`);
  return content;
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A message is a record: a little-endian 32-bit length, so many bytes, zeros up to a multiple of 4. */
function countRecords(bytes: Uint8Array): number {
  const view = viewOf(bytes);
  let count = 0;
  if (bytes.length % 4 !== 0) return -1;
  for (let at = 0; at < bytes.length; count++) {
    const length = view.getUint32(at, true);
    const end = at + 4 + length;
    at = end + (-length & 3);
    if (at > bytes.length || bytes.subarray(end, at).some(Boolean)) return -1;
  }
  return count;
}

/** The channel hash after these bytes too: word number i of a channel goes to lane i modulo 4. */
function fold(hash: string, bytes: Uint8Array): string {
  const factors = new Int32Array([0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f]);
  const lanes = [0, 8, 16, 24].map((at) => Number.parseInt(hash.slice(at, at + 8), 16));
  const view = viewOf(bytes);
  let lane = Number(hash[32]);
  for (let at = 0; at < bytes.length; at += 4, lane = (lane + 1) % 4) {
    const mixed = Math.imul(Number(lanes[lane]) ^ view.getInt32(at, true), Number(factors[lane]));
    lanes[lane] = (mixed << 13) | (mixed >>> 19);
  }
  return hex(lanes) + lane;
}

const hex = (words: readonly number[]): string =>
  words.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");

// SHA-256 (FIPS 180-4): the first 32 bits of the fractions of the cube roots of the first 64 primes …
const ROUNDS = new Int32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);

const rotr = (x: number, by: number): number => (x >>> by) | (x << (32 - by));

function digest(bytes: Uint8Array): string {
  // … and of the square roots of the first 8.
  const state = new Int32Array([
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
  ]);
  const whole = bytes.length - (bytes.length % 64);
  // What is left beyond whole blocks, a one bit, zeros, and the length in bits.
  const last = new Uint8Array(bytes.length - whole < 56 ? 64 : 128);
  last.set(bytes.subarray(whole));
  last[bytes.length - whole] = 0x80;
  viewOf(last).setBigUint64(last.length - 8, 8n * BigInt(bytes.length));
  compress(state, viewOf(bytes.subarray(0, whole)));
  compress(state, viewOf(last));
  return hex([...state]);
}

function compress(state: Int32Array, blocks: DataView): void {
  const w = new Int32Array(64);
  for (let at = 0; at < blocks.byteLength; at += 64) {
    let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
    for (let i = 0; i < 64; i++) {
      // Every sum of two or three is cut to 32 bits at once: longer ones become doubles, half as fast.
      if (i < 16) w[i] = blocks.getInt32(at + 4 * i);
      else {
        const [x, y] = [w[i - 15] as number, w[i - 2] as number];
        const low = (rotr(x, 7) ^ rotr(x, 18) ^ (x >>> 3)) + (w[i - 16] as number);
        const high = (rotr(y, 17) ^ rotr(y, 19) ^ (y >>> 10)) + (w[i - 7] as number);
        w[i] = (low | 0) + (high | 0);
      }
      const input = (h + (ROUNDS[i] as number) + (w[i] as number)) | 0;
      const choice = (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g));
      const majority = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      const sum = (input + (choice | 0)) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + sum) | 0;
      d = c;
      c = b;
      b = a;
      a = (sum + (majority | 0)) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => {
      state[i] = Number(state[i]) + word;
    });
  }
}
