/**
 * Bytes as the store has them, in texts with a character for each byte, and as people read and write them: what is UTF-8 is shown as the
 * text that it is, and every other byte as an escape, so that nothing is lost on the way there and back.
 */

import { decodeUtf8, encodeUtf8 } from "../../src/core/utf8.ts";
import { latin1Bytes, readLatin1 } from "../../src/kv/latin1.ts";

/** One character in UTF-8 (Unicode 15, table 3-7). */
const SEQUENCE =
  /[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|./gs;
const SHORT: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};
const MEANT: Readonly<Record<string, string>> = { "\\": "\\", n: "\n", r: "\r", t: "\t" };

/** The bytes of a text in UTF-8. */
export function bytesOf(text: string): string {
  const bytes = encodeUtf8(text);
  return readLatin1(bytes, 0, bytes.length);
}

/** The text that bytes are in UTF-8; undefined if they are none. */
export function textOf(bytes: string): string | undefined {
  return decodeUtf8(latin1Bytes(bytes));
}

const hexOf = (byte: string): string => byte.charCodeAt(0).toString(16).padStart(2, "0");
const escapes = (bytes: string): string => [...bytes].map((byte) => `\\x${hexOf(byte)}`).join("");

/** Bytes for people, with escapes for what has no form. */
export function shown(bytes: string): string {
  return bytes.replace(SEQUENCE, (sequence) => {
    const short = SHORT[sequence];
    if (short !== undefined) return short;
    const text = sequence.length === 1 && sequence < "\x80" ? sequence : textOf(sequence);
    // What has no shape, or changes that of others, is not there to be seen.
    return text === undefined || /[\p{C}\p{Zl}\p{Zp}]/u.test(text) ? escapes(sequence) : text;
  });
}

/** As a word of a command line: in quotes, if it needs them. */
export function shownWord(bytes: string): string {
  const text = shown(bytes);
  return /^[^\s"'\\]+$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`;
}

/** The bytes that `shown` shows so. @throws Error that says what is wrong */
export function bytesIn(text: string): string {
  return bytesOf(text).replace(/\\(x[0-9a-fA-F]{2}|.?)/gs, (_, sign: string) => {
    if (sign.length === 3) return String.fromCharCode(Number.parseInt(sign.slice(1), 16));
    const meant = MEANT[sign];
    if (meant !== undefined) return meant;
    throw new Error(
      sign === "x"
        ? "after \\x there are two hexadecimal digits"
        : "behind a \\ stands x with two digits, n, r, t, or another \\",
    );
  });
}

/** Sixteen bytes a line: where they are, what they are, and as text. */
export function hexLines(bytes: string): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const some = bytes.slice(at, at + 16);
    const hex = [...some].map(hexOf).join(" ");
    const text = some.replace(/[^ -~]/g, ".");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}
