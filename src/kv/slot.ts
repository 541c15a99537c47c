/** Which of 16,384 slots a key is in: the hash of Redis Cluster, so that its tools agree. */

export const SLOTS = 16_384;

/** CRC-16/XMODEM: polynomial 0x1021, from 0. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc;
});
const OPEN = 123;

/**
 * The slot of a key. Of a key with something in braces only that counts, so that keys can be made to share a slot: Redis Cluster
 * Specification, "Hash tags".
 *
 * @example
 * ```ts
 * import { slotOf } from "tidemark/kv";
 * if (slotOf("{user1000}.following") !== slotOf("{user1000}.followers")) throw new Error("the same tag, the same slot");
 * ```
 */
export function slotOf(key: string): number {
  let from = 0;
  let to = key.length;
  let crc = 0;
  for (let i = from; i < to; i += 1) {
    const code = key.charCodeAt(i);
    if (code === OPEN && from === 0) {
      const close = key.indexOf("}", i + 1);
      if (close > i + 1) {
        from = i + 1;
        to = close;
        break;
      }
      // Only the first brace can open a tag.
      from = -1;
    }
    crc = ((crc << 8) & 0xffff) ^ (TABLE[(crc >> 8) ^ (code & 255)] as number);
  }
  if (from <= 0) return crc & (SLOTS - 1);
  crc = 0;
  for (let i = from; i < to; i += 1)
    crc = ((crc << 8) & 0xffff) ^ (TABLE[(crc >> 8) ^ (key.charCodeAt(i) & 255)] as number);
  return crc & (SLOTS - 1);
}
