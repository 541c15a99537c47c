/**
 * Conditions of the global state, taken apart into what each process contributes: the form in which it is decided whether they are
 * possible.
 *
 * Theory of operation. What a condition has of one process is a column: a value for each number of events of that process. A formula is
 * made of `and` and `or` over atoms, without negation, which is pushed down into the atoms. So it can be seen from its form what it is:
 * one column of booleans is a condition of one process, a sum of columns of numbers with a bound is one of several, and of anything else
 * nothing is known.
 */

import type { Column, CutLattice, StepCut } from "./cut-lattice.ts";

export type Comparison = "<" | "<=" | ">" | ">=" | "==";

/** Of several processes, and nothing is known of how it comes about. It is given the value of each column. */
export interface OpenAtom {
  readonly type: "open";
  readonly columns: readonly Column[];
  readonly holds: (values: readonly unknown[]) => boolean;
}

/** A sum of numbers, one of each of some processes, compared with a number. */
export interface SumAtom {
  readonly type: "sum";
  readonly columns: readonly Column<number>[];
  readonly comparison: Comparison;
  readonly bound: number;
  /** False if numbers may have been rounded: the sum may then be a little off. */
  readonly isExact: boolean;
}

export type Atom =
  | { readonly type: "local"; readonly columns: readonly [Column<boolean>] }
  | SumAtom
  | OpenAtom
  | {
      /** A user's: which process of the trace must go on before it can hold; nothing if it holds. */
      readonly type: "linear";
      readonly columns: readonly Column[];
      readonly forbidden: (values: readonly unknown[]) => number | undefined;
    };

export type Formula = { readonly type: "and" | "or"; readonly parts: readonly Formula[] } | Atom;

/** `and` of nothing, `or` of nothing. */
export const ALWAYS: Formula = { type: "and", parts: [] };
export const NEVER: Formula = { type: "or", parts: [] };

export function columnsOf(formula: Formula): readonly Column[] {
  return "parts" in formula ? formula.parts.flatMap(columnsOf) : formula.columns;
}

const CLAUSES_MAX = 64;

/** The formula as alternatives of atoms that hold together; nothing if that would be very many. */
export function clausesOf(formula: Formula): readonly (readonly Atom[])[] | undefined {
  if (!("parts" in formula)) return [[formula]];
  if (formula.type === "or") {
    const all: (readonly Atom[])[] = [];
    // Alternatives of one process are one condition of that process.
    for (const part of merged(formula.parts, (a, b) => a || b)) {
      const some = clausesOf(part);
      if (some === undefined || all.length + some.length > CLAUSES_MAX) return undefined;
      all.push(...some);
    }
    return all;
  }
  let all: (readonly Atom[])[] = [[]];
  for (const part of merged(formula.parts, (a, b) => a && b)) {
    const some = clausesOf(part);
    if (some === undefined || all.length * some.length > CLAUSES_MAX) return undefined;
    all = all.flatMap((one) => some.map((other) => [...one, ...other]));
  }
  // Alternatives may have brought some of a process that has one already.
  return all.map((clause) => merged(clause, (a, b) => a && b));
}

/** Conditions of the same process made into one; all others as they are. */
export function merged<F extends Formula>(
  parts: readonly F[],
  join: (a: boolean, b: boolean) => boolean,
): readonly F[] {
  const locals = new Map<number, Column<boolean>>();
  const others: F[] = [];
  for (const part of parts) {
    if (part.type !== "local") {
      others.push(part);
      continue;
    }
    const [{ process, values }] = part.columns;
    const known = locals.get(process)?.values;
    const joined = known ? values.map((value, i) => join(value, known[i] as boolean)) : values;
    locals.set(process, { process, values: joined });
  }
  return [
    ...[...locals.values()].map((column) => ({ type: "local", columns: [column] }) as unknown as F),
    ...others,
  ];
}

/** Whether a formula holds at each cut of a lattice that has all its columns. */
export function evaluator(lattice: CutLattice, formula: Formula): (cut: StepCut) => boolean {
  if (!("parts" in formula)) return atomEvaluator(lattice, formula);
  const parts = formula.parts.map((part) => evaluator(lattice, part));
  return formula.type === "and"
    ? (cut) => parts.every((part) => part(cut))
    : (cut) => parts.some((part) => part(cut));
}

function atomEvaluator(lattice: CutLattice, atom: Atom): (cut: StepCut) => boolean {
  const columns = atom.columns.map((column) => ({
    own: lattice.processes.indexOf(column.process),
    values: lattice.bySteps<unknown>(column),
  }));
  const valuesAt = (cut: StepCut): unknown[] =>
    columns.map(({ own, values }) => values[cut[own] as number]);
  switch (atom.type) {
    case "local": {
      const [{ own, values }] = columns as [(typeof columns)[number]];
      return (cut) => values[cut[own] as number] === true;
    }
    case "sum": {
      const { comparison, bound } = atom;
      return (cut) => {
        let sum = 0;
        for (const { own, values } of columns) sum += values[cut[own] as number] as number;
        return compare(sum, comparison, bound);
      };
    }
    case "open":
      return (cut) => atom.holds(valuesAt(cut));
    case "linear":
      return (cut) => atom.forbidden(valuesAt(cut)) === undefined;
  }
}

export function compare(a: number, comparison: Comparison, b: number): boolean {
  switch (comparison) {
    case "<":
      return a < b;
    case "<=":
      return a <= b;
    case ">":
      return a > b;
    case ">=":
      return a >= b;
    case "==":
      return a === b;
  }
}

/** A sum that is at most so much. */
export interface Bound {
  readonly columns: readonly Column<number>[];
  readonly most: number;
}

/** What a comparison of whole numbers says, as bounds that hold together. */
export function boundsOf({ columns, comparison, bound }: SumAtom): readonly Bound[] {
  const least = (of: number): Bound => ({
    columns: columns.map(({ process, values }) => ({
      process,
      values: values.map((value) => -value),
    })),
    most: -of,
  });
  switch (comparison) {
    case "<":
      return [{ columns, most: Math.ceil(bound) - 1 }];
    case "<=":
      return [{ columns, most: Math.floor(bound) }];
    case ">":
      return [least(Math.floor(bound) + 1)];
    case ">=":
      return [least(Math.ceil(bound))];
    case "==":
      return [{ columns, most: Math.floor(bound) }, least(Math.ceil(bound))];
  }
}

/** Whether the numbers of a column ever get less, and ever get more. */
export function movesOf({ values }: Column<number>): {
  readonly falls: boolean;
  readonly rises: boolean;
} {
  let [falls, rises] = [false, false];
  for (let i = 1; i < values.length; i += 1) {
    if ((values[i] as number) < (values[i - 1] as number)) falls = true;
    if ((values[i] as number) > (values[i - 1] as number)) rises = true;
  }
  return { falls, rises };
}

/** A sum compared with a number. */
export function sumAtom(
  columns: readonly Column<number>[],
  comparison: Comparison,
  bound: number,
): SumAtom {
  let largest = Math.abs(bound);
  let isExact = true;
  for (const { values } of columns) {
    let most = 0;
    for (const value of values) {
      if (!Number.isInteger(value)) isExact = false;
      most = Math.max(most, Math.abs(value));
    }
    largest += most;
  }
  if (largest > Number.MAX_SAFE_INTEGER) isExact = false;
  return { type: "sum", columns, comparison, bound, isExact };
}
