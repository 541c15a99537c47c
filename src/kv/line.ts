/** Requests as lines of words, as people write and read them: Redis' inline commands, and what `MONITOR` shows. */

const MEANT: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };
const isSpace = (char: string): boolean => " \n\r\t\v\f".includes(char);
/** Not all spaces end a word, as in Redis. */
const endsWord = (char: string): boolean => " \n\r\t\0".includes(char);

/** The words of a line; in double quotes with escapes, in single quotes as they are. `undefined` if a quote is not closed as it must be. */
export function splitWords(line: string): string[] | undefined {
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (at < line.length && isSpace(line[at] as string)) at += 1;
    if (at >= line.length) return words;
    let word = "";
    let quote = "";
    for (;;) {
      const char = line[at];
      if (char === undefined) {
        if (quote) return undefined;
        break;
      }
      at += 1;
      if (quote === '"' && char === "\\") {
        const hex = /^x([0-9a-f]{2})/i.exec(line.slice(at, at + 3));
        const next = line[at];
        if (hex) {
          word += String.fromCharCode(Number.parseInt(hex[1] as string, 16));
          at += 3;
        } else if (next !== undefined) {
          word += MEANT[next] ?? next;
          at += 1;
        }
      } else if (quote === "'" && char === "\\" && line[at] === "'") {
        word += "'";
        at += 1;
      } else if (quote && char === quote) {
        const next = line[at];
        if (next !== undefined && !isSpace(next)) return undefined;
        break;
      } else if (quote) word += char;
      else if (endsWord(char)) break;
      else if (char === '"' || char === "'") quote = char;
      else word += char;
    }
    words.push(word);
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ "\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t" },
  ...{ "\x07": "\\a", "\b": "\\b" },
};

/** A word with quotes, and all that is no plain character in it as an escape. */
export function quoted(word: string): string {
  const text = word.replace(
    /[^ !#-[\]-~]/g,
    (char) => ESCAPES[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `"${text}"`;
}
