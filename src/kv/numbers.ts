/** Numbers as Redis reads and writes them. */

/** The range of a signed 64-bit number. */
export const INT64_MAX: bigint = 2n ** 63n - 1n;
export const INT64_MIN: bigint = -(2n ** 63n);

/** Up to so many characters it is exact as a number. */
const SAFE_DIGITS = 15;
const MINUS = 45;
const ZERO = 48;

/**
 * A whole number of 64 bits in its only form: digits, a minus before them, no other zero in front. A number where that is exact, else a
 * bigint; `undefined` for anything else.
 */
export function parseInteger(text: string): number | bigint | undefined {
  const { length } = text;
  if (length === 0 || length > 20) return undefined;
  const isNegative = text.charCodeAt(0) === MINUS;
  const first = text.charCodeAt(isNegative ? 1 : 0) - ZERO;
  if (!(first >= 0 && first <= 9)) return undefined;
  if (first === 0) return length === 1 ? 0 : undefined;
  let value = 0;
  for (let i = isNegative ? 1 : 0; i < length; i += 1) {
    const digit = text.charCodeAt(i) - ZERO;
    if (!(digit >= 0 && digit <= 9)) return undefined;
    value = value * 10 + digit;
  }
  if (length <= SAFE_DIGITS) return isNegative ? -value : value;
  const big = BigInt(text);
  if (big > INT64_MAX || big < INT64_MIN) return undefined;
  return Number.isSafeInteger(Number(big)) ? Number(big) : big;
}

const FLOAT = /^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?)$/i;
const HEXADECIMAL = /^([+-]?)0x([0-9a-f]*)(?:\.([0-9a-f]*))?(?:p([+-]?[0-9]+))?$/i;

/**
 * A number as C's `strtod` takes it, without spaces around it and without NaN; `undefined` for anything else. What is too large is
 * infinite, and what is too small is 0.
 */
export function parseAnyFloat64(text: string): number | undefined {
  if (FLOAT.test(text)) {
    if (!/inf/i.test(text)) return Number(text);
    return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  const [, sign, whole = "", part = "", power = "0"] = HEXADECIMAL.exec(text) ?? [];
  if (sign === undefined || whole + part === "") return undefined;
  let value = 0;
  for (const digit of whole + part) value = value * 16 + Number.parseInt(digit, 16);
  if (value !== 0) value *= 2 ** (Number(power) - 4 * part.length);
  return sign === "-" ? -value : value;
}

/** The same, but neither too large nor, without being 0, too small. */
export function parseFloat64(text: string): number | undefined {
  const value = parseAnyFloat64(text);
  if (value === undefined || /inf/i.test(text)) return value;
  if (!Number.isFinite(value)) return undefined;
  if (value !== 0) return value;
  const digits = /0x/i.test(text) ? text.replace(/^.*x|p.*$/gi, "") : text.replace(/e.*$/i, "");
  return /[1-9a-f]/i.test(digits) ? undefined : value;
}

const DIGITS = 17;

/** As C's `printf("%.17g")` does: enough digits that the same number is read back. */
export function formatFloat64(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15)
    return Object.is(value, -0) ? "-0" : String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const [mantissa = "", exponent = ""] = toDigits(Math.abs(value)).split("e");
  const power = Number(exponent);
  const sign = value < 0 ? "-" : "";
  if (power >= DIGITS || power < -4) {
    const size = Math.abs(power);
    return `${sign}${trimmed(mantissa)}e${power < 0 ? "-" : "+"}${size < 10 ? "0" : ""}${size}`;
  }
  const digits = mantissa.replace(".", "");
  return power < 0
    ? trimmed(`${sign}0.${"0".repeat(-power - 1)}${digits}`)
    : sign + trimmed(`${digits.slice(0, power + 1)}.${digits.slice(power + 1)}`);
}

/** `toExponential`, which rounds up what lies in the middle of two; C gives the even one. */
function toDigits(value: number): string {
  const rounded = value.toExponential(DIGITS - 1);
  const [mantissa = "", exponent = ""] = value.toExponential(DIGITS).split("e");
  if (!/[02468]5$/.test(mantissa)) return rounded;
  const isMiddle = value.toExponential(2 * DIGITS).startsWith(mantissa + "0".repeat(DIGITS));
  return isMiddle ? `${mantissa.slice(0, -1)}e${exponent}` : rounded;
}

/** Without zeros at the end of a fraction. */
function trimmed(text: string): string {
  return text.includes(".") ? text.replace(/\.?0*$/, "") : text;
}
