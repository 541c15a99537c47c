/**
 * Proves a global snapshot consistent from its files alone. It is the second opinion: it depends on nothing, and
 * shares no line with the code that it judges. docs/internals/snapshot-format.md describes what it reads.
 *
 * Theory of operation. Every process counts and hashes all that it sends and receives on each channel, and a piece says how
 * far both had come when the process recorded its state. For a channel p → q the files hold p's count and hash of what it had
 * sent, q's of what it had received, and the bytes of the messages in flight. The proof, for every channel: received ≤ sent; the
 * bytes are sent − received whole messages; and taking them into q's hash gives p's. With running hashes q had so received the
 * beginning of what p had sent (no receive without its send: the cut is consistent), and the messages in flight are the whole rest,
 * in order (the channel state is complete). With set hashes, where channels have no order: a part of it, and the whole rest.
 *
 * What is not proved:
 * - A state is only compared with its SHA-256. That it is what the process held, that its slices are all there, and whose it
 *   is, is the word of the manifest; so are label, system, times and codecs.
 * - Of the counters, zero and the differences are proved. If both ends of a channel number its messages higher or lower by the
 *   same amount, that is not seen; it says nothing else about the cut.
 * - This is no signature. Hashes find mistakes, damage and careless edits; whoever rewrites a whole snapshot can make it fit
 *   again. Against that, keep the SHA-256 of the manifest's file elsewhere, or sign it.
 */

/** Gives the bytes of one part, plain, and no others (in a pack they are from `offset` on), or `undefined`. It need not check them. */
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
const CHANNEL_HASH = /^[0-9a-f]{32}[0-3s]$/;
/** The running hash of a channel that no message went through, digits of pi and no words taken; and the set hash. */
const UNTOUCHED = ["243f6a8885a308d313198a2e037073440", `${"0".repeat(32)}s`];

/**
 * Proves from the manifest, as `JSON.parse` gave it, and the parts that the cut is consistent and the channels
 * are complete, or names the first place found where it is not. Never throws. Holds one part at a time.
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
  const all = begun.endsWith("s") ? add(begun, bytes) : fold(begun, bytes);
  must(all === whole, channel, "received and in flight are not all that was sent");
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
  must(count > 0 !== UNTOUCHED.includes(hash), `${place}.hash`, `is not of ${count} message(s)`);
  return [count, hash];
}

function readPart(value: unknown, place: string, part: PartReader): Uint8Array {
  const { pack, offset, ...reference } = fields(value, place);
  const sha256 = text(reference["sha256"], SHA256, `${place}.sha256`);
  const bytes = counter(reference["bytes"], `${place}.bytes`);
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
  must(sha256Of(content) === sha256, name, `is not what was written; it is ${place}`);
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
    const end = at + 4 + view.getUint32(at, true);
    at = end + (-end & 3);
    if (at > bytes.length || bytes.subarray(end, at).some(Boolean)) return -1;
  }
  return count;
}

const FACTORS = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f];
const lanesOf = (hash: string): number[] =>
  [0, 8, 16, 24].map((at) => Number.parseInt(hash.slice(at, at + 8), 16));

function take(lanes: number[], lane: number, word: number): void {
  const mixed = Math.imul(Number(lanes[lane]) ^ word, Number(FACTORS[lane]));
  lanes[lane] = (mixed << 13) | (mixed >>> 19);
}

/** The running hash after these bytes too: word number i of a channel goes to lane i modulo 4. */
function fold(hash: string, bytes: Uint8Array): string {
  const [lanes, view] = [lanesOf(hash), viewOf(bytes)];
  let lane = Number(hash[32]);
  for (let at = 0; at < bytes.length; at += 4, lane = (lane + 1) % 4)
    take(lanes, lane, view.getInt32(at, true));
  return hex(lanes) + lane;
}

/** The set hash after these records too: the sums of their own hashes, in which each lane has taken the one before it. */
function add(hash: string, bytes: Uint8Array): string {
  const [sums, view] = [lanesOf(hash), viewOf(bytes)];
  for (let at = 0, end = 0; at < bytes.length; at = end) {
    end = at + 4 * (1 + Math.ceil(view.getUint32(at, true) / 4));
    const own = lanesOf(fold(String(UNTOUCHED[0]), bytes.subarray(at, end)));
    for (let i = 0; i < 16; i++) take(own, i % 4, Number(own[(i + 3) % 4]));
    for (const [i, word] of own.entries()) sums[i] = (Number(sums[i]) + word) | 0;
  }
  return `${hex(sums)}s`;
}

const hex = (words: readonly number[]): string =>
  words.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");

// SHA-256 (FIPS 180-4) begins with the first 32 bits of the fractions of roots of primes: square roots, 8, and cube roots, 64.
const fraction = (root: number): number => (root - Math.floor(root)) * 2 ** 32;
const PRIMES = Array.from({ length: 312 }, (_, n) => n).filter(
  (n, _, all) => n > 1 && all.slice(2, n).every((divisor) => n % divisor > 0),
);
const ROUNDS = Int32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)));
const rotr = (x: number, by: number): number => (x >>> by) | (x << (32 - by));

/** The SHA-256 of bytes, as 64 hexadecimal digits. */
export function sha256Of(bytes: Uint8Array): string {
  const state = Int32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
  const whole = bytes.length - (bytes.length % 64);
  // What is left beyond whole blocks, a one bit, zeros, and the length in bits.
  const last = new Uint8Array(bytes.length - whole < 56 ? 64 : 128);
  last.set(bytes.subarray(whole));
  last[bytes.length - whole] = 0x80;
  viewOf(last).setBigUint64(last.length - 8, 8n * BigInt(bytes.length));
  for (const blocks of [bytes.subarray(0, whole), last]) compress(state, viewOf(blocks));
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
    state.set([a, b, c, d, e, f, g, h].map((word, i) => Number(state[i]) + word));
  }
}
