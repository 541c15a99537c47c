/** What took long at a server: the latest of them, for `SLOWLOG`. */

/** One request. */
interface SlowRequest {
  /** Never used twice by a server. */
  readonly id: number;
  readonly atMs: number;
  readonly microseconds: number;
  /** Its words, of many and of long ones the beginning. */
  readonly words: readonly string[];
  readonly address: string;
  readonly clientName: string;
}

const WORDS_MAX = 32;
const CHARACTERS_MAX = 128;

/** See the head of the file. */
export class SlowLog {
  /** The latest first. */
  readonly requests: SlowRequest[] = [];
  #lastId = -1;

  /** @param limit as many are kept */
  add(request: Omit<SlowRequest, "id">, limit: number): void {
    this.#lastId += 1;
    this.requests.unshift({ ...request, id: this.#lastId, words: shortened(request.words) });
    this.requests.length = Math.min(this.requests.length, limit);
  }

  clear(): void {
    this.requests.length = 0;
  }
}

function shortened(words: readonly string[]): readonly string[] {
  const shown = words.length > WORDS_MAX ? words.slice(0, WORDS_MAX - 1) : words;
  const short = shown.map((word) =>
    word.length > CHARACTERS_MAX
      ? // Another text, which does not keep the long one.
        `${[...word.slice(0, CHARACTERS_MAX)].join("")}... (${word.length - CHARACTERS_MAX} more bytes)`
      : word,
  );
  const left = words.length - shown.length;
  return left > 0 ? [...short, `... (${left} more arguments)`] : short;
}
