/**
 * Lets in only what has the right form, be it from a file or from a peer.
 *
 * Theory of operation. A form takes an unknown value and its path; it gives a clean copy, or ends the
 * check with the path and what should be there. A copy holds the fields that are known and no others. Paths cost more than all
 * else, and what is right needs none: they are put together only when something has been found to be wrong.
 */

import { textOf } from "./error.ts";
import { isProcessId, isSnapshotId, type ProcessId, type SnapshotId } from "./id.ts";

/** Gives a clean copy of the value at that path, or throws; without a path nobody reads what it throws. */
export type Form<T> = (value: unknown, path: string | undefined) => T;

/** A field that may be absent. */
export interface Optional<T> {
  readonly optional: Form<T>;
}

type Forms<T> = {
  readonly [K in keyof T]-?: Partial<Pick<T, K>> extends Pick<T, K>
    ? Optional<Exclude<T[K], undefined>>
    : Form<T[K]>;
};

function misfit(path: string | undefined, rule: string): never {
  throw new Error(`${path || "it"} must ${rule}`);
}

export function leaf<T>(wanted: string, fits: (value: unknown) => value is T): Form<T> {
  return (value, path) => (fits(value) ? value : misfit(path, `be ${wanted}`));
}

export function record<T extends object>(forms: Forms<T>): Form<T> {
  const fields = Object.entries(forms) as [string, Form<unknown> | Optional<unknown>][];
  return (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return misfit(path, "be an object");
    const copy: Record<string, unknown> = {};
    for (const [name, form] of fields) {
      const field = (value as Record<string, unknown>)[name];
      const at = path === "" ? name : path && `${path}.${name}`;
      if (typeof form === "function") copy[name] = form(field, at);
      else if (field !== undefined) copy[name] = form.optional(field, at);
    }
    return copy as T;
  };
}

/** @param order if given, what the items ascend by, no two alike */
export function list<T>(
  most: number,
  item: Form<T>,
  order?: (item: T) => string,
): Form<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value) || value.length > most)
      return misfit(path, `be a list of at most ${most}`);
    let previous = "";
    return Array.from(value, (one: unknown, index) => {
      const at = path === undefined ? undefined : `${path}[#${index}]`;
      const copy = item(one, at);
      const key = order?.(copy);
      if (key !== undefined) {
        if (key <= previous) misfit(at, "come after the one before it in ascending order");
        previous = key;
      }
      return copy;
    });
  };
}

export function where<T>(form: Form<T>, rule: string, fits: (copy: T) => boolean): Form<T> {
  return (value, path) => {
    const copy = form(value, path);
    return fits(copy) ? copy : misfit(path, rule);
  };
}

export function text(wanted: string, pattern: RegExp): Form<string> {
  return leaf(wanted, (value): value is string => typeof value === "string" && pattern.test(value));
}

/** Any number that JSON can hold: clocks may be set back, and no harm is done. */
export const ms: Form<number> = leaf("a number", (value): value is number =>
  Number.isFinite(value),
);
export const duration: Form<number> = leaf(
  "a number, 0 or more",
  (value): value is number => Number.isFinite(value) && (value as number) >= 0,
);
export const count: Form<number> = leaf(
  "a whole number, 0 or more",
  (value): value is number => Number.isSafeInteger(value) && (value as number) >= 0,
);
export const truth: Form<boolean> = leaf("true or false", (value) => typeof value === "boolean");
export const processId: Form<ProcessId> = leaf("a process id", isProcessId);
export const snapshotId: Form<SnapshotId> = leaf("a snapshot id", isSnapshotId);

/** Checks a value by a form. Never throws. */
export function checkForm<T>(
  form: Form<T>,
  value: unknown,
): { readonly copy: T } | { readonly problem: string } {
  try {
    return { copy: form(value, undefined) };
  } catch {
    // Said below, with its path.
  }
  try {
    return { copy: form(value, "") };
  } catch (thrown) {
    return { problem: textOf(thrown) };
  }
}
