/** Patterns of keys and channels: `*`, `?`, `[a-z]`, `[^…]`, and a backslash before what is meant as it is. */

/** Steps that one comparison may take: patterns of many stars would need more than anyone waits for. */
const STEPS_MAX = 1_000_000;

/** Whether a text is as a pattern says. */
export function matches(pattern: string, text: string, ignoreCase: boolean = false): boolean {
  return new Matcher(ignoreCase).matches(pattern, 0, text, 0);
}

class Matcher {
  readonly #ignoreCase: boolean;
  #steps = 0;

  constructor(ignoreCase: boolean) {
    this.#ignoreCase = ignoreCase;
  }

  matches(pattern: string, patternFrom: number, text: string, textFrom: number): boolean {
    let p = patternFrom;
    let t = textFrom;
    /** Where to go on when what follows the latest star does not fit: only that one need give way. */
    let star = -1;
    let starText = 0;
    for (;;) {
      this.#steps += 1;
      if (this.#steps > STEPS_MAX) return false;
      if (p < pattern.length && pattern[p] === "*") {
        while (pattern[p + 1] === "*") p += 1;
        p += 1;
        if (p === pattern.length) return true;
        star = p;
        starText = t;
        continue;
      }
      if (t === text.length) return p === pattern.length;
      const next = p < pattern.length ? this.#one(pattern, p, text[t] as string) : -1;
      if (next >= 0) {
        p = next;
        t += 1;
      } else if (star >= 0) {
        p = star;
        starText += 1;
        t = starText;
      } else return false;
    }
  }

  /** Gives where the pattern goes on if the character fits, else -1. */
  #one(pattern: string, at: number, char: string): number {
    const sign = pattern[at] as string;
    if (sign === "?") return at + 1;
    if (sign === "[") return this.#class(pattern, at + 1, char);
    if (sign === "\\" && at + 1 < pattern.length)
      return this.#same(pattern[at + 1] as string, char) ? at + 2 : -1;
    return this.#same(sign, char) ? at + 1 : -1;
  }

  #class(pattern: string, from: number, char: string): number {
    let at = from;
    const isNot = pattern[at] === "^";
    if (isNot) at += 1;
    let isIn = false;
    for (; at < pattern.length && pattern[at] !== "]"; at += 1) {
      let low = pattern[at] as string;
      if (low === "\\" && at + 1 < pattern.length) {
        at += 1;
        low = pattern[at] as string;
        isIn ||= this.#same(low, char);
      } else if (pattern[at + 1] === "-" && at + 2 < pattern.length) {
        at += 2;
        isIn ||= this.#isBetween(low, pattern[at] as string, char);
      } else isIn ||= this.#same(low, char);
    }
    // One that is not closed is closed by the end.
    if (isIn === isNot) return -1;
    return Math.min(at + 1, pattern.length);
  }

  #isBetween(one: string, other: string, char: string): boolean {
    const [a, b, c] = [this.#fold(one), this.#fold(other), this.#fold(char)];
    return a <= b ? c >= a && c <= b : c >= b && c <= a;
  }

  #same(one: string, other: string): boolean {
    return this.#fold(one) === this.#fold(other);
  }

  #fold(char: string): string {
    return this.#ignoreCase ? char.toLowerCase() : char;
  }
}
