/**
 * Sums as C's `long double` of 80 bits gives them, which is what `INCRBYFLOAT` and `HINCRBYFLOAT` are specified by: 64 bits of
 * significand, rounded to even, written with 17 digits behind the point and without zeros at the end.
 */

import { NOT_FLOAT, Refusal } from "./command.ts";

const BITS = 64;
const DIGITS = 17;
/** The least power of two that is too large. */
const EXPONENT_MAX = 16_384;
/** The power of two of the last bit that there is. */
const EXPONENT_MIN = -16_445;
/** Beyond these powers of ten there is no number. */
const [TEN_MAX, TEN_MIN] = [4_933, -4_952];
/** Redis reads no longer text. */
const TEXT_MAX = 5 * 1024 - 1;
const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i;
const HEXADECIMAL = /^([+-]?)0x([\da-f]*)(?:\.([\da-f]*))?(?:p([+-]?\d+))?$/i;

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
  const sum = rounded(shifted(a, exponent) + shifted(b, exponent), 1n, exponent);
  if (isInfinite(sum)) throw new Refusal(infinite);
  return format(sum);
}

function shifted({ significand, exponent }: LongDouble, to: number): bigint {
  return significand << BigInt(exponent - to);
}

/** `undefined`: infinite. @throws Refusal if it is no number, or one that is too large or too small */
function parse(text: string, problem: string): LongDouble | undefined {
  if (text.length > TEXT_MAX) throw new Refusal(problem);
  if (/^[+-]?inf(inity)?$/i.test(text)) return undefined;
  const isHexadecimal = /^[+-]?0x/i.test(text);
  const match = (isHexadecimal ? HEXADECIMAL : DECIMAL).exec(text);
  const [, sign, whole = "", part = "", power = "0"] = match ?? [];
  if (sign === undefined || whole + part === "") throw new Refusal(problem);
  const digits = BigInt((isHexadecimal ? "0x" : "") + whole + part) * (sign === "-" ? -1n : 1n);
  if (digits === 0n) return { significand: 0n, exponent: 0 };
  const value = isHexadecimal
    ? hexadecimal(digits, Number(power) - 4 * part.length)
    : decimal(digits, Number(power) - part.length);
  if (value === undefined || isInfinite(value) || value.significand === 0n)
    throw new Refusal(problem);
  return value;
}

/** `undefined`: there is no such number. */
function decimal(digits: bigint, scale: number): LongDouble | undefined {
  const most = String(digits < 0n ? -digits : digits).length + scale;
  if (most > TEN_MAX || most < TEN_MIN) return undefined;
  return scale >= 0
    ? rounded(digits * 10n ** BigInt(scale), 1n, 0)
    : rounded(digits, 10n ** BigInt(-scale), 0);
}

function hexadecimal(digits: bigint, scale: number): LongDouble | undefined {
  const most = bitsOf(digits < 0n ? -digits : digits) + scale;
  return most > EXPONENT_MAX || most < EXPONENT_MIN ? undefined : rounded(digits, 1n, scale);
}

function isInfinite({ significand, exponent }: LongDouble): boolean {
  return bitsOf(significand < 0n ? -significand : significand) + exponent > EXPONENT_MAX;
}

const bitsOf = (value: bigint): number => value.toString(2).length;

/** The nearest one to numerator / denominator · 2^exponent; of two, the even one. */
function rounded(numerator: bigint, denominator: bigint, exponent: number): LongDouble {
  if (numerator === 0n) return { significand: 0n, exponent: 0 };
  const size = numerator < 0n ? -numerator : numerator;
  // Enough bits, or one too many; the smallest numbers have less.
  let shift = Math.min(BITS - (bitsOf(size) - bitsOf(denominator)), exponent - EXPONENT_MIN);
  let [quotient, rest, d] = divided(size, denominator, shift);
  if (bitsOf(quotient) > BITS) {
    shift -= 1;
    [quotient, rest, d] = divided(size, denominator, shift);
  }
  const twice = 2n * rest;
  if (twice > d || (twice === d && (quotient & 1n) === 1n)) quotient += 1n;
  return { significand: numerator < 0n ? -quotient : quotient, exponent: exponent - shift };
}

/** size · 2^shift / denominator: the quotient, the rest, and what was divided by. */
function divided(size: bigint, denominator: bigint, shift: number): [bigint, bigint, bigint] {
  const n = shift >= 0 ? size << BigInt(shift) : size;
  const d = shift >= 0 ? denominator : denominator << BigInt(-shift);
  return [n / d, n % d, d];
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
