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

/** The SHA-256 of the bytes, as 64 hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  const hash = START.slice();
  const words = new Int32Array(64);
  const whole = bytes.length - (bytes.length % 64);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < whole; at += 64) mix(hash, words, view, at);
  // The rest, a one bit, zeros, and the length in bits, in one block or two.
  const rest = new Uint8Array(bytes.length - whole < 56 ? 64 : 128);
  rest.set(bytes.subarray(whole));
  rest[bytes.length - whole] = 0x80;
  const tail = new DataView(rest.buffer);
  tail.setUint32(rest.length - 8, bytes.length / 2 ** 29);
  tail.setUint32(rest.length - 4, bytes.length << 3);
  for (let at = 0; at < rest.length; at += 64) mix(hash, words, tail, at);
  let text = "";
  for (const word of hash) text += (word >>> 0).toString(16).padStart(8, "0");
  return text;
}

const turn = (word: number, by: number): number => (word >>> by) | (word << (32 - by));

function mix(hash: Int32Array, words: Int32Array, view: DataView, at: number): void {
  for (let i = 0; i < 16; i += 1) words[i] = view.getInt32(at + 4 * i);
  for (let i = 16; i < 64; i += 1) {
    const early = words[i - 15] as number;
    const late = words[i - 2] as number;
    const s0 = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3);
    const s1 = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10);
    words[i] = ((words[i - 16] as number) + s0 + (words[i - 7] as number) + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = hash as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
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
  const sums = [a, b, c, d, e, f, g, h];
  for (let i = 0; i < 8; i += 1) hash[i] = (hash[i] as number) + (sums[i] as number);
}
