/** How values are written on the command line, and the options that several commands share. */

import { InvalidArgumentError, Option } from "commander";
import { isProcessId, type ProcessId } from "../core/id.ts";

/** The last port there is. */
export const PORT_MAX = 65_535;

/** Where something listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export function directoryOption(): Option {
  return new Option("--dir <directory>", "where the system keeps its snapshots")
    .default(".tidemark")
    .argParser(directoryName);
}

export function directoryName(text: string): string {
  if (text === "") throw new InvalidArgumentError("A directory has a name.");
  return text;
}

export function jsonOption(what: string): Option {
  return new Option("--json", what);
}

/** @param byDefault Infinity: all */
export function limitOption(byDefault: number): Option {
  return new Option("--limit <number>", "list no more than so many")
    .default(byDefault, byDefault === Number.POSITIVE_INFINITY ? "all" : undefined)
    .argParser(wholeNumber(1, Number.MAX_SAFE_INTEGER));
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** The longest delay that timers take. */
const DURATION_MS_MAX = 2 ** 31 - 1;

/** `500ms`, `1.5s`, `2m`, `1h` or `0`, in milliseconds. */
export function parseDuration(text: string): number {
  const [, digits, unit] = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  const value = Number(digits);
  const unitMs = UNITS_MS[unit ?? ""] ?? (value === 0 ? 1 : Number.NaN);
  const ms = value * unitMs;
  if (ms <= DURATION_MS_MAX) return ms;
  throw new InvalidArgumentError(
    Number.isNaN(ms)
      ? "Use a number with its unit: 500ms, 1s, 2m or 1h; or 0."
      : "That is longer than 24 days.",
  );
}

const LONG_UNITS_MS: Readonly<Record<string, number>> = {
  ...UNITS_MS,
  d: 86_400_000,
  w: 604_800_000,
};

/** An age, however long: as a duration, or `7d`, `2w`. In milliseconds. */
export function parseAge(text: string): number {
  const [, digits, unit] = /^([0-9]+(?:\.[0-9]+)?)([a-z]+)?$/.exec(text) ?? [];
  const value = Number(digits);
  const ms = value * (LONG_UNITS_MS[unit ?? ""] ?? (value === 0 ? 1 : Number.NaN));
  if (Number.isFinite(ms)) return ms;
  throw new InvalidArgumentError("Use a number with its unit: 90m, 12h, 7d or 2w; or 0.");
}

const SIZES: Readonly<Record<string, number>> = {
  B: 1,
  ...{ kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 },
  ...{ KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 },
};

/** `500MB`, `10GiB` or `0`, in bytes. */
export function parseSize(text: string): number {
  const [, digits, unit] = /^([0-9]+(?:\.[0-9]+)?)([A-Za-z]+)?$/.exec(text) ?? [];
  const value = Number(digits);
  const bytes = Math.floor(value * (SIZES[unit ?? ""] ?? (value === 0 ? 1 : Number.NaN)));
  if (Number.isFinite(bytes)) return bytes;
  throw new InvalidArgumentError("Use a number with its unit: 500MB, 1.5GiB; or 0.");
}

/** A duration that is not 0. */
export function parseTimeout(text: string): number {
  const ms = parseDuration(text);
  if (ms >= 1) return ms;
  throw new InvalidArgumentError("Use 1ms or more.");
}

/** `0..50ms`, `10ms..1s` or one duration for both, in whole milliseconds. */
export function parseRange(text: string): readonly [least: number, most: number] {
  const [first = "", second = first, ...more] = text.split("..");
  const unit = /[a-z]*$/.exec(second)?.[0] ?? "";
  const least = Math.round(parseDuration(/[0-9]$/.test(first) ? first + unit : first));
  const most = Math.round(parseDuration(second));
  if (more.length === 0 && least <= most) return [least, most];
  throw new InvalidArgumentError("Use the least and the most: 0..50ms.");
}

/** A whole number between the two. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^[0-9]+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Use a whole number from ${least} to ${most}.`);
  };
}

/** `max`, or a number of transfers in a second. */
export function parseRate(text: string): number | "max" {
  if (text === "max") return text;
  const value = Number(text);
  if (/^[0-9]+(\.[0-9]+)?$/.test(text) && value <= 1e9) return value;
  throw new InvalidArgumentError('Use a number of transfers per second, or "max".');
}

/** A number from 0 to 1, or to below 1. */
export function probability(certain: boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^[0-9]*\.?[0-9]+$/.test(text) && (certain ? value <= 1 : value < 1)) return value;
    throw new InvalidArgumentError(`Use a number from 0 to ${certain ? "1" : "below 1"}: 0.2.`);
  };
}

/** Two processes, as in `p1,p2`; or with an arrow or a space between, as channels are printed. */
export function parseChannel(text: string): readonly [from: string, to: string] {
  const [from, to, ...more] = text.trim().split(/\s*(?:,|→|->)\s*|\s+/);
  if (from && to && more.length === 0) return [from, to];
  throw new InvalidArgumentError("Use the sender and the receiver: p1,p2.");
}

/** An option that may be given several times: all its values. */
export function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/** `127.0.0.1:7000`, `[::1]:7000`. */
export function parseAddress(text: string): Address {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:\s]+)):([0-9]{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host !== undefined && port <= PORT_MAX) return { host, port };
  throw new InvalidArgumentError("Use host:port, as in 127.0.0.1:7000.");
}

/** `b=127.0.0.1:7001`, beside those that there are. */
export function parsePeer(
  text: string,
  others: Readonly<Record<ProcessId, string>>,
): Readonly<Record<ProcessId, string>> {
  const [name, address] = pair(text);
  if (isProcessId(name)) {
    const { host, port } = parseAddress(address);
    return { ...others, [name]: `${host.includes(":") ? `[${host}]` : host}:${port}` };
  }
  throw new InvalidArgumentError("Use name=host:port, as in b=127.0.0.1:7001.");
}

/** What stands before and behind the first `=`; without one, all and nothing. */
export function pair(text: string): readonly [name: string, value: string] {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
