/** CRC-64 of Redis' files: Jones' polynomial 0xad93d23594c935a9, bits from the lowest on, from 0. In two halves of 32 bits. */

const [POLYNOMIAL_LOW, POLYNOMIAL_HIGH] = [0xac4bc9b5, 0x95ac9329];
const LOW = new Uint32Array(256);
const HIGH = new Uint32Array(256);
for (let byte = 0; byte < 256; byte += 1) {
  let [low, high] = [byte, 0];
  for (let bit = 0; bit < 8; bit += 1) {
    const isOdd = (low & 1) === 1;
    low = (low >>> 1) | (high << 31);
    high >>>= 1;
    if (isOdd) {
      low ^= POLYNOMIAL_LOW;
      high ^= POLYNOMIAL_HIGH;
    }
  }
  LOW[byte] = low;
  HIGH[byte] = high;
}

/** The checksum of all that was added. */
export class Crc64 {
  #low = 0;
  #high = 0;

  add(bytes: Uint8Array, from: number, to: number): void {
    let low = this.#low;
    let high = this.#high;
    for (let i = from; i < to; i += 1) {
      const at = (low ^ (bytes[i] as number)) & 255;
      low = ((low >>> 8) | (high << 24)) ^ (LOW[at] as number);
      high = (high >>> 8) ^ (HIGH[at] as number);
    }
    this.#low = low;
    this.#high = high;
  }

  /** True if the eight bytes there say it, or are 0: then whoever wrote them made none. */
  matches(bytes: Uint8Array, at: number): boolean {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const low = view.getUint32(at, true);
    const high = view.getUint32(at + 4, true);
    return (low === 0 && high === 0) || (low === this.#low >>> 0 && high === this.#high >>> 0);
  }
}
