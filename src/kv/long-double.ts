/**
 * Sums as C's `long double` of 80 bits gives them, which is what `INCRBYFLOAT` and `HINCRBYFLOAT` are specified by: 64 bits of
 * significand, rounded to even, written with 17 digits behind the point and without zeros at the end.
 */

import { NOT_FLOAT, Refusal } from "./command.ts";

const BITS = 64;
const DIGITS = 17;
/** The largest power of ten that is looked at: beyond it a long double has no number. */
const EXPONENT_MAX = 4950;
const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i;

/** significand · 2^exponent, the significand of 64 bits at the most. */
interface LongDouble {
  readonly significand: bigint;
  readonly exponent: number;
}

/**
 * The sum of two numbers.
 * @param problem of the first one, if it is none
 * @param infinite of a sum that has no end
 * @throws Refusal if one is none, or the sum is infinite
 */
export function addLongDouble(
  one: string,
  other: string,
  problem: string = NOT_FLOAT,
  infinite: string = "ERR increment would produce NaN or Infinity",
): string {
  const a = parse(one, problem);
  const b = parse(other, NOT_FLOAT);
  if (a === undefined || b === undefined) throw new Refusal(infinite);
  const exponent = Math.min(a.exponent, b.exponent);
  const sum = shifted(a, exponent) + shifted(b, exponent);
  return format(rounded(sum, 1n, exponent));
}

function shifted({ significand, exponent }: LongDouble, to: number): bigint {
  return significand << BigInt(exponent - to);
}

/** `undefined`: infinite. @throws Refusal if it is no number */
function parse(text: string, problem: string): LongDouble | undefined {
  if (/^[+-]?inf(inity)?$/i.test(text)) return undefined;
  const [, sign, whole = "", part = "", power = "0"] = DECIMAL.exec(text) ?? [];
  if (sign === undefined || whole + part === "") throw new Refusal(problem);
  const digits = BigInt(whole + part) * (sign === "-" ? -1n : 1n);
  const scale = Number(power) - part.length;
  if (Math.abs(Number(power)) > EXPONENT_MAX) throw new Refusal(problem);
  return scale >= 0
    ? rounded(digits * 10n ** BigInt(scale), 1n, 0)
    : rounded(digits, 10n ** BigInt(-scale), 0);
}

const bitsOf = (value: bigint): number => value.toString(2).length;

/** The nearest one to numerator / denominator · 2^exponent; of two, the even one. */
function rounded(numerator: bigint, denominator: bigint, exponent: number): LongDouble {
  if (numerator === 0n) return { significand: 0n, exponent: 0 };
  const size = numerator < 0n ? -numerator : numerator;
  let shift = BITS + 1 - (bitsOf(size) - bitsOf(denominator));
  let [quotient, twice, d] = [0n, 0n, 1n];
  do {
    shift -= 1;
    const n = shift >= 0 ? size << BigInt(shift) : size;
    d = shift >= 0 ? denominator : denominator << BigInt(-shift);
    quotient = n / d;
    twice = 2n * (n % d);
  } while (bitsOf(quotient) > BITS);
  if (twice > d || (twice === d && (quotient & 1n) === 1n)) quotient += 1n;
  return { significand: numerator < 0n ? -quotient : quotient, exponent: exponent - shift };
}

/** With 17 digits behind the point, rounded to even, without zeros at the end. */
function format({ significand, exponent }: LongDouble): string {
  const size = significand < 0n ? -significand : significand;
  const unit = 10n ** BigInt(DIGITS);
  let scaled: bigint;
  if (exponent >= 0) scaled = (size << BigInt(exponent)) * unit;
  else {
    const divisor = 1n << BigInt(-exponent);
    const product = size * unit;
    scaled = product / divisor;
    const twice = 2n * (product % divisor);
    if (twice > divisor || (twice === divisor && (scaled & 1n) === 1n)) scaled += 1n;
  }
  const digits = scaled.toString().padStart(DIGITS + 1, "0");
  const part = digits.slice(-DIGITS).replace(/0+$/, "");
  const text = digits.slice(0, -DIGITS) + (part === "" ? "" : `.${part}`);
  return significand < 0n && /[1-9]/.test(text) ? `-${text}` : text;
}
