/**
 * SHA-256 (FIPS 180-4) for pure rooms, which have no `node:crypto`: simulated stores name their parts by it, as real ones
 * do. Some hundred megabytes a second; where there is Node, its own is faster.
 */

// The first 32 bits of the fractions of the cube roots of the first 64 primes.
const K = new Int32Array(64);
// Of the square roots of the first eight.
const START = new Int32Array(8);
{
  let found = 0;
  for (let n = 2; found < 64; n += 1) {
    let prime = true;
    for (let d = 2; d * d <= n; d += 1) if (n % d === 0) prime = false;
    if (!prime) continue;
    K[found] = (Math.cbrt(n) % 1) * 2 ** 32;
    if (found < 8) START[found] = (Math.sqrt(n) % 1) * 2 ** 32;
    found += 1;
  }
}

// Used again by every call: to make them would cost more than to hash a short text.
const words = new Int32Array(64);
const rest = new Uint8Array(128);
const tail = new DataView(rest.buffer);

/** The SHA-256 of the bytes, as 64 hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  const hash = START.slice();
  const whole = bytes.length - (bytes.length % 64);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < whole; at += 64) mix(hash, view, at);
  // The rest, a one bit, zeros, and the length in bits, in one block or two.
  const end = bytes.length - whole < 56 ? 64 : 128;
  rest.fill(0);
  for (let i = whole; i < bytes.length; i += 1) rest[i - whole] = bytes[i] as number;
  rest[bytes.length - whole] = 0x80;
  tail.setUint32(end - 8, bytes.length / 2 ** 29);
  tail.setUint32(end - 4, bytes.length << 3);
  for (let at = 0; at < end; at += 64) mix(hash, tail, at);
  let text = "";
  for (const word of hash) text += (word >>> 0).toString(16).padStart(8, "0");
  return text;
}

const turn = (word: number, by: number): number => (word >>> by) | (word << (32 - by));

function mix(hash: Int32Array, view: DataView, at: number): void {
  for (let i = 0; i < 16; i += 1) words[i] = view.getInt32(at + 4 * i);
  for (let i = 16; i < 64; i += 1) {
    const early = words[i - 15] as number;
    const late = words[i - 2] as number;
    const s0 = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3);
    const s1 = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10);
    words[i] = ((words[i - 16] as number) + s0 + (words[i - 7] as number) + s1) | 0;
  }
  // One by one: taking a list apart asks for an iterator, which costs as much as all the rest.
  let a = hash[0] as number;
  let b = hash[1] as number;
  let c = hash[2] as number;
  let d = hash[3] as number;
  let e = hash[4] as number;
  let f = hash[5] as number;
  let g = hash[6] as number;
  let h = hash[7] as number;
  for (let i = 0; i < 64; i += 1) {
    const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (K[i] as number) + (words[i] as number)) | 0;
    const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  hash[0] = (hash[0] as number) + a;
  hash[1] = (hash[1] as number) + b;
  hash[2] = (hash[2] as number) + c;
  hash[3] = (hash[3] as number) + d;
  hash[4] = (hash[4] as number) + e;
  hash[5] = (hash[5] as number) + f;
  hash[6] = (hash[6] as number) + g;
  hash[7] = (hash[7] as number) + h;
}
