/**
 * Seeded random numbers: xoshiro128** (Blackman and Vigna, "Scrambled Linear Pseudorandom Number
 * Generators", 2018), seeded through splitmix32 so that neighbouring seeds give unrelated streams.
 * The state is four 32-bit words of plain data, so it can be part of a process' state.
 */

/** The whole state of a `Random`. */
export type RandomState = [number, number, number, number];

const rotateLeft = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

/**
 * A stream of random numbers that its seed decides.
 *
 * @example
 * ```ts
 * import { Random } from "tidemark";
 * const dice = new Random(7);
 * const again = new Random(7);
 * if (dice.below(6) !== again.below(6)) throw new Error("the same seed gives the same numbers");
 * ```
 */
export class Random {
  readonly state: RandomState;

  /** @param seed any number or text; or the state of another `Random`, which is copied */
  constructor(seed: number | string | Readonly<RandomState>) {
    if (typeof seed === "object") {
      this.state = [...seed];
      return;
    }
    // All of a large or negative number counts, and every character of a text.
    const words =
      typeof seed === "string"
        ? [...seed].map((c) => c.codePointAt(0) ?? 0)
        : seed >= 0 && seed < 2 ** 32
          ? [seed]
          : [seed, Math.floor(seed / 2 ** 32)];
    let x = 0;
    const next = (): number => {
      x = (x + 0x9e3779b9) | 0;
      let z = x ^ (x >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a2d97);
      return z ^ (z >>> 15);
    };
    for (const word of words) {
      x ^= word;
      x = next();
    }
    this.state = [next(), next(), next(), next() | 1];
  }

  /** 32 random bits, as an unsigned number. */
  bits(): number {
    const s = this.state;
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotateLeft(s[3], 11);
    return result;
  }

  /** A whole number from 0 to `limit - 1`; `limit` from 1 to 2^32. The bias is below 2^-20 for limits up to 4096. */
  below(limit: number): number {
    return Math.floor((this.bits() / 2 ** 32) * limit);
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** A number from 0 to below 1. */
  fraction(): number {
    return this.bits() / 2 ** 32;
  }

  /** True with that probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** One of the items; `undefined` of none. */
  pick<T>(items: readonly T[]): T | undefined {
    return items[this.below(Math.max(1, items.length))];
  }
}
