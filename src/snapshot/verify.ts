/**
 * Proves a global snapshot consistent from its files alone. This file depends on nothing, not even on
 * the rest of Tidemark: it is the second opinion, so it shares no line with the code that it judges.
 * docs/internals/snapshot-format.md describes the format that it reads.
 *
 * Theory of operation. Every process counts and hashes all that it sends and receives on each channel;
 * a piece says how far both had come when the process recorded its state. For a channel p → q the files
 * hold p's count and hash of what it had sent, q's count and hash of what it had received, and the bytes
 * of the messages in flight. The proof: received ≤ sent; the bytes are sent − received whole messages;
 * and folding them into q's hash gives p's. So what q had received is the beginning of what p had sent
 * (no receive without its send: the cut is consistent) and the messages in flight are the whole rest, in
 * order (the channel state is complete). It is asked of every channel, and one piece of every process.
 *
 * What is not proved:
 * - A state is only compared with its SHA-256. That it is what the process held, that its list of parts
 *   is whole, and whose it is, is the word of the manifest; so are label, system, times and codecs.
 * - Of the counters, the differences are proved, and zero. Numbering the messages of a channel higher or
 *   lower at both ends alike says nothing else about the cut or the channel, and is not seen.
 * - This is no signature. Hashes find mistakes, damage and careless edits; whoever rewrites a whole
 *   snapshot can make it fit again. Against that, keep the manifest's own SHA-256 elsewhere, or sign it.
 */

/** Where the bytes of a part are: alone under `sha256`, or in the pack `pack` from `offset` on. */
export interface VerifiedReference {
  readonly sha256: string;
  readonly bytes: number;
  readonly pack?: string;
  readonly offset?: number;
}

/**
 * Gives the bytes of that one part (of one in a pack, the `bytes` bytes from `offset` on, not the pack),
 * or `undefined` if there are none. What it gives is compared with the reference, so it need not check.
 */
export type PartReader = (reference: VerifiedReference) => Uint8Array | undefined;

/** What was found. `place` is a path in the manifest, `channel p → q` or `part` with its SHA-256. */
export type Verdict =
  | {
      readonly consistent: true;
      readonly id: string;
      readonly processes: number;
      readonly channels: number;
      /** Messages in flight over all channels. */
      readonly inFlight: number;
      /** How many parts were read, and the bytes of all. */
      readonly parts: number;
      readonly bytes: number;
    }
  | { readonly consistent: false; readonly place: string; readonly reason: string };

const FORMAT = "tidemark-snapshot/1";
const PROCESS_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const SNAPSHOT_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\/[1-9][0-9]{0,14}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const CHANNEL_HASH = /^[0-9a-f]{32}[0-3]$/;
/** The hash of a channel that no message went through: digits of pi, and no words taken. */
const UNTOUCHED = "243f6a8885a308d313198a2e037073440";

type Fields = Readonly<Record<string, unknown>>;

/**
 * Proves that the cut of a snapshot is consistent and its channels are complete, or names the first place
 * found where it is not. Never throws. It reads each part once and holds one at a time.
 *
 * @param value the manifest as `JSON.parse` gave it
 */
export function verifySnapshot(value: unknown, part: PartReader): Verdict {
  try {
    return prove(fields(value, "manifest"), part);
  } catch (thrown) {
    if (thrown instanceof Finding)
      return { consistent: false, place: thrown.place, reason: thrown.message };
    // An accessor threw, or the value is too large for this machine: no JSON of a snapshot does that.
    return { consistent: false, place: "manifest", reason: "cannot be read" };
  }
}

function prove(manifest: Fields, part: PartReader): Verdict {
  const { format, initiator, epoch } = manifest;
  must(format === FORMAT, "format", `is not ${FORMAT}`);
  const id = text(manifest["id"], SNAPSHOT_ID, "id");
  must(id.startsWith(`${initiator}/`), "initiator", "is not the one that the id names");
  counter(epoch, "epoch");
  const processes = list(manifest["processes"], "processes");
  const targets = new Map<string, string[]>();
  const sources = new Map<string, string[]>();
  let previous = "";
  for (const [i, value] of processes.entries()) {
    const process = text(value, PROCESS_ID, `processes[#${i}]`);
    must(process > previous, `processes[${process}]`, "is doubled or out of order");
    previous = process;
    targets.set(process, []);
    sources.set(process, []);
  }
  must(targets.has(initiator as string), "initiator", "is not one of the processes");

  const channels = list(manifest["channels"], "channels");
  previous = "";
  for (const [i, value] of channels.entries()) {
    const { from, to } = fields(value, `channels[#${i}]`) as { from: string; to: string };
    const [out, into] = [targets.get(from), sources.get(to)];
    must(out && into && from !== to, `channels[#${i}]`, "does not join two of the processes");
    // A space sorts before all that an id may hold, so this is the order by source, then destination.
    const channel = `channel ${from} → ${to}`;
    must(channel > previous, channel, "is doubled or out of order");
    previous = channel;
    out.push(to);
    into.push(from);
  }

  const total = { inFlight: 0, parts: 0, bytes: 0 };
  const read = (reference: unknown, place: string): Uint8Array => {
    const bytes = checkedPart(reference, place, part);
    total.parts += 1;
    total.bytes += bytes.length;
    return bytes;
  };
  const pieces = matched(manifest["pieces"], "process", [...targets.keys()], "pieces");
  const sends = new Map<string, End>();
  for (const [process, piece] of pieces) {
    const place = `pieces[${process}]`;
    must(piece["snapshot"] === id, `${place}.snapshot`, "is not the id of this snapshot");
    must(piece["epoch"] === epoch, `${place}.epoch`, "is not the epoch of this snapshot");
    const outgoing = matched(piece["outgoing"], "to", targets.get(process), `${place}.outgoing`);
    for (const [to, record] of outgoing)
      sends.set(`channel ${process} → ${to}`, endOf(record, "sent", `${place}.outgoing[${to}]`));
    const { parts } = fields(piece["state"], `${place}.state`);
    for (const [i, reference] of list(parts, `${place}.state.parts`).entries())
      read(reference, `${place}.state.parts[#${i}]`);
  }
  for (const [process, piece] of pieces) {
    const from = sources.get(process);
    const incoming = matched(piece["incoming"], "from", from, `pieces[${process}].incoming`);
    for (const [from, record] of incoming) {
      const place = `pieces[${process}].incoming[${from}]`;
      const channel = `channel ${from} → ${process}`;
      const sent = sends.get(channel) as End;
      const received = endOf(record, "received", place);
      const inFlight = counter(record["inFlight"], `${place}.inFlight`);
      const difference = sent.count - received.count;
      must(difference >= 0, channel, `has ${received.count} received, but only ${sent.count} sent`);
      must(inFlight === difference, `${place}.inFlight`, `is not sent − received, ${difference}`);
      let hash = received.hash;
      if (inFlight === 0) {
        must(
          record["part"] === undefined,
          `${place}.part`,
          "holds messages where none is in flight",
        );
      } else {
        const bytes = read(record["part"], `${place}.part`);
        const held = countRecords(bytes, channel);
        must(held === inFlight, channel, `holds ${held} messages in flight, not ${inFlight}`);
        hash = fold(hash, bytes);
      }
      must(hash === sent.hash, channel, "received and in flight do not add up to what was sent");
      total.inFlight += inFlight;
    }
  }
  return { consistent: true, id, processes: targets.size, channels: channels.length, ...total };
}

class Finding extends Error {
  readonly place: string;
  constructor(place: string, reason: string) {
    super(reason);
    this.place = place;
  }
}

function must(condition: unknown, place: string, otherwise: string): asserts condition {
  if (!condition) throw new Finding(place, otherwise);
}

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
  must(
    Number.isSafeInteger(value) && Number(value) >= 0,
    place,
    "is not a whole number, 0 or more",
  );
  return Number(value);
}

/** The records by the name in `field`: one for each of `names`, in that order, and no other. */
function matched(
  value: unknown,
  field: string,
  names: readonly string[] = [],
  place: string,
): Map<string, Fields> {
  const records = list(value, place).map((record, i) => fields(record, `${place}[#${i}]`));
  for (let i = 0; i < Math.max(records.length, names.length); i++) {
    const expected = names[i] ?? "~";
    const given =
      i < records.length ? text(records[i]?.[field], PROCESS_ID, `${place}[#${i}].${field}`) : "~";
    must(given <= expected, `${place}[${expected}]`, "is missing");
    must(
      given === expected,
      `${place}[${given}]`,
      "is doubled, out of order or of no such process",
    );
  }
  return new Map(names.map((name, i) => [name, records[i] as Fields]));
}

/** How far one end of a channel had come: how many messages, and the hash of their bytes. */
interface End {
  readonly count: number;
  readonly hash: string;
}

function endOf(record: Fields, field: "sent" | "received", place: string): End {
  const count = counter(record[field], `${place}.${field}`);
  const hash = text(record["hash"], CHANNEL_HASH, `${place}.hash`);
  const fits = (count === 0) === (hash === UNTOUCHED);
  must(fits, `${place}.hash`, `is not that of a channel with ${count} messages ${field}`);
  return { count, hash };
}

function checkedPart(value: unknown, place: string, part: PartReader): Uint8Array {
  const { sha256, bytes, pack, offset } = fields(value, place);
  const reference = {
    sha256: text(sha256, SHA256, `${place}.sha256`),
    bytes: counter(bytes, `${place}.bytes`),
  };
  const packed = pack !== undefined || offset !== undefined;
  const inPack = packed && {
    pack: text(pack, SHA256, `${place}.pack`),
    offset: counter(offset, `${place}.offset`),
  };
  const name = `part ${sha256}`;
  let given: Uint8Array | undefined;
  try {
    given = part({ ...reference, ...inPack });
  } catch {
    // A reader that throws has no such part either.
  }
  must(ArrayBuffer.isView(given), name, `cannot be read; it is ${place}`);
  // Whatever kind of view it is, and of whichever realm: its bytes.
  const content = new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
  must(content.length === bytes, name, `has ${content.length} bytes, not ${bytes}; it is ${place}`);
  must(digest(content) === sha256, name, `holds other bytes than were written; it is ${place}`);
  return content;
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Each message is a record: a little-endian 32-bit length, so many bytes, zeros to a multiple of 4. */
function countRecords(bytes: Uint8Array, place: string): number {
  const view = viewOf(bytes);
  let count = 0;
  for (let at = 0; at < bytes.length; ) {
    count += 1;
    const length = at + 4 > bytes.length ? Number.POSITIVE_INFINITY : view.getUint32(at, true);
    let end = at + 4 + length;
    at = end + (-length & 3);
    must(at <= bytes.length, place, `breaks off in message ${count} of those in flight`);
    for (; end < at; end++)
      must(
        bytes[end] === 0,
        place,
        `has more than zeros behind message ${count} of those in flight`,
      );
  }
  return count;
}

/** The channel hash goes on over these bytes: word number i, modulo 4, goes to that lane. */
function fold(hash: string, bytes: Uint8Array): string {
  const factors = new Int32Array([0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f]);
  const lanes = [0, 8, 16, 24].map((at) => Number.parseInt(hash.slice(at, at + 8), 16));
  const view = viewOf(bytes);
  let lane = Number(hash[32]);
  for (let at = 0; at < bytes.length; at += 4) {
    const word = Number(lanes[lane]) ^ view.getInt32(at, true);
    const product = Math.imul(word, Number(factors[lane]));
    lanes[lane] = (product << 13) | (product >>> 19);
    lane = (lane + 1) % 4;
  }
  return hex(lanes) + lane;
}

const hex = (words: readonly number[]): string =>
  words.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");

// SHA-256 (FIPS 180-4): the first 32 bits of the fractions of cube roots of the first 64 primes …
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
  const rest = bytes.length % 64;
  compress(state, viewOf(bytes), bytes.length - rest);
  // The rest, a one bit, zeros, and the length in bits.
  const last = new Uint8Array(rest < 56 ? 64 : 128);
  last.set(bytes.subarray(bytes.length - rest));
  last[rest] = 0x80;
  const view = viewOf(last);
  view.setUint32(last.length - 8, bytes.length / 2 ** 29);
  view.setUint32(last.length - 4, bytes.length << 3);
  compress(state, view, last.length);
  return hex([...state]);
}

/** Takes in the blocks before `end`. Each sum of few is cut to 32 bits: long ones become doubles, half as fast. */
function compress(state: Int32Array, view: DataView, end: number): void {
  const w = new Int32Array(64);
  for (let at = 0; at < end; at += 64) {
    let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
    for (let i = 0; i < 64; i++) {
      if (i < 16) w[i] = view.getInt32(at + 4 * i);
      else {
        const x = w[i - 15] as number;
        const y = w[i - 2] as number;
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
    for (const [i, word] of [a, b, c, d, e, f, g, h].entries()) state[i] = Number(state[i]) + word;
  }
}
