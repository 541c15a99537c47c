/**
 * Expressions of the global state, as people write them on the command line: `a.balance + b.balance < 100`.
 *
 * Theory of operation. The text becomes a tree, in which each name is looked up at once: what is not there is told with its place. Then
 * whatever depends on one process is worked out for each number of events of that process, and becomes a column; what is left of the tree
 * joins columns, and is read off as a formula: sums with bounds where they are recognised, and else as what it is.
 *
 * A value that is not there yet, or is no number where one is needed, makes a comparison false, whichever it is. So what nobody knows is
 * never a reason for something to hold; `a.x == null` asks for it.
 */

import { TidemarkError } from "../core/error.ts";
import type { Column } from "./cut-lattice.ts";
import { ALWAYS, type Comparison, compare, type Formula, NEVER, sumAtom } from "./formula.ts";
import { gone, type StateIndex, type Tally } from "./state-index.ts";

type Operator = Comparison | "!=";

/** The tree. `local` is what depends on a process and on nothing else: a value for each number of its events. */
type Node =
  | { readonly type: "constant"; readonly value: unknown }
  | { readonly type: "local"; readonly column: Column }
  | { readonly type: "not" | "negative" | "number"; readonly of: Node }
  | { readonly type: "and" | "or" | "plus"; readonly parts: readonly Node[] }
  | { readonly type: "times" | "over"; readonly left: Node; readonly right: Node }
  | {
      readonly type: "compare";
      readonly operator: Operator;
      readonly left: Node;
      readonly right: Node;
      /** One side is `null`: whether the other is there is what is asked. */
      readonly asksForNull: boolean;
    };

/** What something can be. */
type Kind = "number" | "text" | "boolean" | "null" | "other";

/** A part of the tree, with where it stands and what it can be. */
interface Part {
  readonly node: Node;
  readonly start: number;
  readonly end: number;
  readonly kinds: ReadonlySet<Kind>;
  /** All messages in flight: a comparison with 0 asks it of each channel. */
  readonly isAllInFlight?: true;
}

interface Token {
  readonly type: "number" | "text" | "name" | "quoted" | "sign" | "end";
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const LENGTH_MAX = 65_536;
const DEPTH_MAX = 100;
const NAMES_SHOWN_MAX = 10;

const TOKEN = new RegExp(
  `\\s*(?:${[
    /(?<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)/,
    /(?<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')/,
    /`(?<quoted>[^`]+)`/,
    /(?<name>[\p{L}_$][\p{L}\p{N}_$]*)/u,
    /(?<sign>&&|\|\||[=!<>]=|[-+*/()<>!.,])/,
  ]
    .map(({ source }) => source)
    .join("|")})`,
  "uy",
);

/**
 * The formula of an expression.
 * @throws TidemarkError `BAD_OPTION` with the place of what is wrong
 */
export function parseExpression(text: string, states: StateIndex): Formula {
  if (text.length > LENGTH_MAX)
    throw new TidemarkError("BAD_OPTION", `an expression has up to ${LENGTH_MAX} characters`);
  return formulaOf(fold(new Parser(text, states).parse()), false);
}

class Parser {
  readonly #text: string;
  readonly #states: StateIndex;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;
  /** The process that names without one are of, in `sum` and the like. */
  #each: number | undefined;

  constructor(text: string, states: StateIndex) {
    this.#text = text;
    this.#states = states;
    this.#tokens = this.#cut();
  }

  parse(): Node {
    const whole = this.#or();
    if (this.#token.type !== "end") {
      const hint = /^[<>=!]/.test(this.#token.text)
        ? "comparisons do not follow each other: write a < b && b < c"
        : "something is missing before it, as && or +";
      this.#refuse(this.#token, hint);
    }
    return this.#condition(whole);
  }

  #cut(): Token[] {
    const tokens: Token[] = [];
    const end = this.#text.trimEnd().length;
    TOKEN.lastIndex = 0;
    for (let at = 0; at < end; at = TOKEN.lastIndex) {
      TOKEN.lastIndex = at;
      const groups = TOKEN.exec(this.#text)?.groups;
      if (groups === undefined) {
        const start = at + (/^\s*/.exec(this.#text.slice(at))?.[0].length ?? 0);
        const character = this.#text[start] ?? "";
        this.#refuse(
          { start, end: start + 1 },
          /["'`]/.test(character)
            ? "the quotes are not closed"
            : character === "="
              ? "write == to compare"
              : character === "&" || character === "|"
                ? "write && for and, || for or"
                : "this is no part of an expression; names with such characters go in `backquotes`",
        );
      }
      const [type, found] = Object.entries(groups).find(([, value]) => value !== undefined) as [
        Exclude<Token["type"], "end">,
        string,
      ];
      const length = type === "quoted" ? found.length + 2 : found.length;
      tokens.push({ type, text: found, start: TOKEN.lastIndex - length, end: TOKEN.lastIndex });
    }
    return [...tokens, { type: "end", text: "", start: end, end }];
  }

  get #token(): Token {
    return this.#tokens[this.#at] as Token;
  }

  /** Takes the next token if it is one of these signs. */
  #take(...signs: readonly string[]): Token | undefined {
    const token = this.#token;
    if (token.type !== "sign" || !signs.includes(token.text)) return undefined;
    this.#at += 1;
    return token;
  }

  #expect(sign: string): Token {
    return this.#take(sign) ?? this.#refuse(this.#token, `${sign} is missing`);
  }

  #or(): Part {
    return this.#chain("or", "||", () => this.#chain("and", "&&", () => this.#comparison()));
  }

  #chain(type: "and" | "or", sign: string, next: () => Part): Part {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) this.#refuse(this.#token, "it is nested too deeply");
    const parts = [next()];
    while (this.#take(sign)) parts.push(next());
    this.#depth -= 1;
    const [first, last] = [parts[0] as Part, parts.at(-1) as Part];
    if (parts.length === 1) return first;
    const nodes = parts.map((part) => this.#condition(part));
    return { node: { type, parts: nodes }, start: first.start, end: last.end, kinds: BOOLEAN };
  }

  #comparison(): Part {
    const left = this.#sum();
    const operator = this.#take("==", "!=", "<=", ">=", "<", ">")?.text as Operator | undefined;
    if (operator === undefined) return left;
    const right = this.#sum();
    const place = { start: left.start, end: right.end };
    const asksForNull = isNull(left.node) || isNull(right.node);
    const isOrder = operator !== "==" && operator !== "!=";
    const both = [...left.kinds].filter((kind) => right.kinds.has(kind));
    const fits = isOrder ? ["number", "text"] : ["number", "text", "boolean"];
    if (!(asksForNull && !isOrder) && !both.some((kind) => fits.includes(kind)))
      this.#refuse(
        place,
        `it never holds: ${this.#said(left)} is ${kindsText(left)}, and ${this.#said(right)} is ${kindsText(right)}`,
      );
    return {
      ...{ ...place, kinds: BOOLEAN },
      node:
        this.#emptyChannels(left, operator, right) ??
        ({ type: "compare", operator, left: left.node, right: right.node, asksForNull } as const),
    };
  }

  /** That nothing at all is in flight is that each channel is empty, which is easier to decide. */
  #emptyChannels(left: Part, operator: Operator, { node }: Part): Node | undefined {
    if (!left.isAllInFlight || node.type !== "constant") return undefined;
    const asksForNone =
      ((operator === "==" || operator === "<=") && node.value === 0) ||
      (operator === "<" && node.value === 1);
    if (!asksForNone) return undefined;
    const right: Node = { type: "constant", value: 0 };
    const parts = [...this.#states.passages.values()].map(({ from, to }): Node => {
      const messages = this.#inFlight(from, to);
      return { type: "compare", operator: "<=", left: messages, right, asksForNull: false };
    });
    return { type: "and", parts };
  }

  #sum(): Part {
    const parts = [this.#product()];
    const nodes = [(parts[0] as Part).node];
    for (let sign = this.#take("+", "-"); sign; sign = this.#take("+", "-")) {
      const part = this.#product();
      parts.push(part);
      nodes.push(sign.text === "+" ? part.node : { type: "negative", of: part.node });
    }
    const [first, last] = [parts[0] as Part, parts.at(-1) as Part];
    if (parts.length === 1) return first;
    for (const part of parts) this.#number(part);
    return {
      ...{ node: { type: "plus", parts: nodes }, kinds: NUMBER },
      ...{ start: first.start, end: last.end },
    };
  }

  #product(): Part {
    let left = this.#single();
    for (let sign = this.#take("*", "/"); sign; sign = this.#take("*", "/")) {
      const right = this.#single();
      const type = sign.text === "*" ? "times" : "over";
      left = {
        node: { type, left: this.#number(left), right: this.#number(right) },
        ...{ start: left.start, end: right.end, kinds: NUMBER },
      };
    }
    return left;
  }

  #single(): Part {
    const sign = this.#take("-", "!");
    if (sign === undefined) return this.#operand();
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) this.#refuse(sign, "it is nested too deeply");
    const part = this.#single();
    this.#depth -= 1;
    const { start } = sign;
    return sign.text === "!"
      ? { node: { type: "not", of: this.#condition(part) }, start, end: part.end, kinds: BOOLEAN }
      : { node: { type: "negative", of: this.#number(part) }, start, end: part.end, kinds: NUMBER };
  }

  #operand(): Part {
    const token = this.#token;
    const { start, end } = token;
    const constant = (value: unknown): Part => {
      this.#at += 1;
      return { node: { type: "constant", value }, start, end, kinds: new Set([kindOf(value)]) };
    };
    switch (token.type) {
      case "number":
        return constant(Number(token.text));
      case "text":
        return constant(token.text.slice(1, -1).replaceAll(/\\(.)/gs, "$1"));
      case "sign": {
        this.#expect("(");
        const part = this.#or();
        return { ...part, start, end: this.#expect(")").end };
      }
      case "name":
      case "quoted": {
        const next = this.#tokens[this.#at + 1];
        const isWord = token.type === "name" && next?.text !== ".";
        if (isWord && Object.hasOwn(WORDS, token.text)) return constant(WORDS[token.text]);
        return isWord && next?.type === "sign" && next.text === "("
          ? this.#call(token)
          : this.#value();
      }
      case "end":
        return this.#refuse(token, "the expression ends too early");
    }
  }

  /** `process.name`, or, where all processes are meant, `name`; further names lead into what it is. */
  #value(): Part {
    const names = [this.#name("a value is written as process.name")];
    while (this.#take(".")) names.push(this.#name("the name of a value is missing"));
    const [first, second] = names as [Token, Token | undefined];
    const place = { start: first.start, end: (names.at(-1) as Token).end };
    const { processes } = this.#states.trace;
    const process = second === undefined ? -1 : processes.indexOf(first.text);
    if (process < 0 && this.#each === undefined)
      this.#refuse(
        first,
        second === undefined
          ? "a value is written as process.name, odd names in `backquotes`; sum, count, all and any are over all processes"
          : `there is no process ${first.text}; the trace has ${listed(processes)}`,
      );
    const own = process < 0 ? (this.#each as number) : process;
    const [name, ...path] = (process < 0 ? names : names.slice(1)) as [Token, ...Token[]];
    const known = this.#states.names(own);
    if (!known.includes(name.text) && process >= 0)
      this.#refuse(name, `${processes[own]} has no value ${name.text}; it has ${listed(known)}`);
    const values = this.#states.column(own, name.text).map((value) => follow(value, path));
    return {
      ...{ ...place, kinds: new Set(values.map(kindOf)) },
      node: { type: "local", column: { process: own, values } },
    };
  }

  #name(missing: string): Token {
    const token = this.#token;
    if (token.type !== "name" && token.type !== "quoted") this.#refuse(token, missing);
    this.#at += 1;
    return token;
  }

  #call(name: Token): Part {
    this.#at += 2;
    const { start } = name;
    switch (name.text) {
      case "inflight": {
        if (this.#take(")")) {
          const node = this.#allInFlight();
          const { end } = this.#tokens[this.#at - 1] as Token;
          return { node, start, end, kinds: NUMBER, isAllInFlight: true };
        }
        const from = this.#process();
        this.#expect(",");
        const to = this.#process();
        return { node: this.#inFlight(from, to), start, end: this.#expect(")").end, kinds: NUMBER };
      }
      case "sum":
      case "count":
      case "all":
      case "any": {
        const parts = this.#ofEach(name);
        const { end } = this.#expect(")");
        if (name.text === "sum") {
          const nodes = parts.map((part) => this.#number(part));
          return { node: { type: "plus", parts: nodes }, start, end, kinds: NUMBER };
        }
        const nodes = parts.map((part) => this.#condition(part));
        if (name.text !== "count") {
          const type = name.text === "all" ? "and" : "or";
          return { node: { type, parts: nodes }, start, end, kinds: BOOLEAN };
        }
        const numbers = nodes.map((of) => ({ type: "number", of }) as const);
        return { node: { type: "plus", parts: numbers }, start, end, kinds: NUMBER };
      }
      default:
        return this.#refuse(
          name,
          "there are inflight(p, q), sum(x), count(...), all(...), any(...)",
        );
    }
  }

  /** What stands in the brackets, once for each process that has all the values which it names without one. */
  #ofEach(name: Token): Part[] {
    if (this.#each !== undefined) this.#refuse(name, "one of these does not go into another");
    const first = this.#at;
    const own = this.#ownNames(first);
    const { processes } = this.#states.trace;
    const parts: Part[] = [];
    for (const process of processes.keys()) {
      const known = this.#states.names(process);
      if (own.length > 0 && !own.every(({ text }) => known.includes(text))) continue;
      this.#at = first;
      this.#each = process;
      parts.push(this.#or());
    }
    this.#each = undefined;
    const [one = name] = own;
    if (parts.length === 0) {
      const names = own.map(({ text }) => text).join(" and ");
      this.#refuse(one, `no process has a value ${names}`);
    }
    return this.#alike(parts);
  }

  /** The names up to the closing bracket that stand for a value of each process. */
  #ownNames(first: number): Token[] {
    const own: Token[] = [];
    const { processes } = this.#states.trace;
    for (let at = first, depth = 1; depth > 0; at += 1) {
      const token = this.#tokens[at] as Token;
      if (token.type === "end") break;
      const [before, after] = [this.#tokens[at - 1]?.text, this.#tokens[at + 1]?.text];
      if (token.type === "sign") depth += token.text === "(" ? 1 : token.text === ")" ? -1 : 0;
      else if ((token.type === "name" || token.type === "quoted") && before !== ".") {
        const isWord = token.type === "name" && (Object.hasOwn(WORDS, token.text) || after === "(");
        const isOfOne = after === "." && processes.includes(token.text);
        if (after === "." ? !isOfOne : !isWord) own.push(token);
      }
    }
    return own;
  }

  /** Of which kind the parts are is asked of all together: some process may never have had a value that is there. */
  #alike(parts: readonly Part[]): Part[] {
    const kinds = new Set(parts.flatMap((part) => [...part.kinds]));
    return parts.map((part) => ({ ...part, kinds }));
  }

  #process(): number {
    const token = this.#name("the name of a process is missing");
    const { processes } = this.#states.trace;
    const process = processes.indexOf(token.text);
    if (process >= 0) return process;
    return this.#refuse(
      token,
      `there is no process ${token.text}; the trace has ${listed(processes)}`,
    );
  }

  #inFlight(from: number, to: number): Node {
    const { sent, received } = this.#states.passage(from, to) ?? {};
    const parts = [
      this.#gone(from, sent ? [sent] : [], 1),
      this.#gone(to, received ? [received] : [], -1),
    ];
    return { type: "plus", parts };
  }

  #allInFlight(): Node {
    const all = [...this.#states.passages.values()];
    const parts = this.#states.trace.processes.flatMap((_, process) => {
      const sent = all.flatMap((one) => (one.from === process ? [one.sent] : []));
      const received = all.flatMap((one) => (one.to === process ? [one.received] : []));
      if (sent.length + received.length === 0) return [];
      return [this.#gone(process, sent, 1), this.#gone(process, received, -1)];
    });
    return { type: "plus", parts };
  }

  /** How many messages have gone past a process on some channels. */
  #gone(process: number, tallies: readonly Tally[], sign: 1 | -1): Node {
    const length = (this.#states.trace.timelines[process]?.length ?? 0) + 1;
    const values: number[] = new Array(length).fill(0);
    for (const tally of tallies)
      for (let count = tally.counts[0] ?? length; count < length; count += 1)
        values[count] = (values[count] as number) + sign * gone(tally, count);
    return { type: "local", column: { process, values } };
  }

  #condition(part: Part): Node {
    if (!part.kinds.has("boolean"))
      this.#refuse(part, `this is to be true or false, and is ${kindsText(part)}`);
    return part.node;
  }

  #number(part: Part): Node {
    if (!part.kinds.has("number"))
      this.#refuse(part, `this is to be a number, and is ${kindsText(part)}`);
    return part.node;
  }

  #said({ start, end }: { readonly start: number; readonly end: number }): string {
    return shortened(this.#text.slice(start, end));
  }

  #refuse(place: { readonly start: number; readonly end: number }, reason: string): never {
    const said = this.#said(place);
    const what = said === "" ? "" : `, ${said}`;
    throw new TidemarkError(
      "BAD_OPTION",
      `the expression is wrong at character ${place.start + 1}${what}: ${reason}`,
    );
  }
}

const NUMBER: ReadonlySet<Kind> = new Set(["number"]);
const BOOLEAN: ReadonlySet<Kind> = new Set(["boolean"]);
const WORDS: Readonly<Record<string, unknown>> = { true: true, false: false, null: null };

function kindOf(value: unknown): Kind {
  if (value === undefined || value === null) return "null";
  if (typeof value === "string") return "text";
  return typeof value === "number" || typeof value === "boolean"
    ? (typeof value as "number" | "boolean")
    : "other";
}

const KIND_TEXTS: Readonly<Record<Kind, string>> = {
  ...{ number: "a number", text: "a text", boolean: "true or false", null: "nothing" },
  other: "a list or an object",
};

function kindsText({ kinds }: Part): string {
  const said = [...kinds].filter((kind) => kind !== "null" || kinds.size === 1);
  return said.map((kind) => KIND_TEXTS[kind]).join(" or ");
}

function follow(value: unknown, path: readonly Token[]): unknown {
  let at = value;
  for (const { text } of path)
    at =
      typeof at === "object" && at !== null && Object.hasOwn(at, text)
        ? (at as Readonly<Record<string, unknown>>)[text]
        : undefined;
  return at;
}

const isNull = (node: Node): boolean => node.type === "constant" && node.value === null;

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return "none";
  const shown = names.slice(0, NAMES_SHOWN_MAX).map(shortened).join(", ");
  return names.length > NAMES_SHOWN_MAX
    ? `${shown} and ${names.length - NAMES_SHOWN_MAX} more`
    : shown;
}

/** The value of a tree; what is local in it is as `read` says. */
function evaluate(node: Node, read: (column: Column) => unknown): unknown {
  switch (node.type) {
    case "constant":
      return node.value;
    case "local":
      return read(node.column);
    case "not":
      return evaluate(node.of, read) !== true;
    case "number":
      return evaluate(node.of, read) === true ? 1 : 0;
    case "negative": {
      const value = number(evaluate(node.of, read));
      return value === null ? null : 0 - value;
    }
    case "and":
      return node.parts.every((part) => evaluate(part, read) === true);
    case "or":
      return node.parts.some((part) => evaluate(part, read) === true);
    case "plus": {
      let sum = 0;
      for (const part of node.parts) {
        const value = number(evaluate(part, read));
        if (value === null) return null;
        sum += value;
      }
      return number(sum);
    }
    case "times":
    case "over": {
      const [left, right] = [number(evaluate(node.left, read)), number(evaluate(node.right, read))];
      if (left === null || right === null) return null;
      return number(node.type === "times" ? left * right : left / right);
    }
    case "compare": {
      const [left, right] = [evaluate(node.left, read) ?? null, evaluate(node.right, read) ?? null];
      const { operator, asksForNull } = node;
      if (asksForNull) return (operator === "==") === (left === right);
      if (left === null || right === null) return false;
      if (operator === "!=") return left !== right;
      if (operator === "==") return left === right;
      if (typeof left === "number" && typeof right === "number")
        return compare(left, operator, right);
      if (typeof left !== "string" || typeof right !== "string") return false;
      return compare(left < right ? -1 : left > right ? 1 : 0, operator, 0);
    }
  }
}

const number = (value: unknown): number | null =>
  typeof value === "number" && Number.isFinite(value) ? value : null;

/** The tree with whatever depends on one process, or on none, worked out. */
function fold(node: Node): Node {
  switch (node.type) {
    case "constant":
    case "local":
      return node;
    case "not":
    case "negative":
    case "number":
      return workedOut({ type: node.type, of: fold(node.of) });
    case "times":
    case "over":
      return workedOut({ type: node.type, left: fold(node.left), right: fold(node.right) });
    case "compare":
      return workedOut({ ...node, left: fold(node.left), right: fold(node.right) });
    case "and":
    case "or":
    case "plus": {
      // Parts of one process are put together, also if others stand between them.
      const groups = new Map<number | undefined, Node[]>();
      for (const part of node.parts.map(fold)) {
        const process = part.type === "local" ? part.column.process : undefined;
        groups.set(process, [...(groups.get(process) ?? []), part]);
      }
      const parts = [...groups].flatMap(([process, group]) =>
        process === undefined || group.length === 1
          ? group
          : [workedOut({ type: node.type, parts: group })],
      );
      return workedOut({ type: node.type, parts });
    }
  }
}

/** A node whose parts are worked out, as a constant or a column if it can be. */
function workedOut(node: Node): Node {
  const leaves = leavesOf(node);
  const [first] = leaves;
  if (first === undefined) return { type: "constant", value: evaluate(node, () => undefined) };
  const { process } = first;
  if (leaves.some((leaf) => leaf.process !== process)) return node;
  const values = first.values.map((_, count) =>
    evaluate(node, (column) => column.values[count] as unknown),
  );
  return { type: "local", column: { process, values } };
}

function leavesOf(node: Node): readonly Column[] {
  switch (node.type) {
    case "constant":
      return [];
    case "local":
      return [node.column];
    case "not":
    case "negative":
    case "number":
      return leavesOf(node.of);
    case "times":
    case "over":
    case "compare":
      return [...leavesOf(node.left), ...leavesOf(node.right)];
    default:
      return node.parts.flatMap(leavesOf);
  }
}

/** What a tree of conditions is as a formula; its contrary, if it is negated. */
function formulaOf(node: Node, negated: boolean): Formula {
  switch (node.type) {
    case "constant":
      return (node.value === true) === negated ? NEVER : ALWAYS;
    case "local": {
      const { process, values } = node.column;
      const holds = values.map((value) => (value === true) !== negated);
      return { type: "local", columns: [{ process, values: holds }] };
    }
    case "not":
      return formulaOf(node.of, !negated);
    case "and":
    case "or": {
      const parts = node.parts.map((part) => formulaOf(part, negated));
      return { type: (node.type === "and") === negated ? "or" : "and", parts };
    }
    case "compare": {
      const sum = sumOf(node);
      if (sum) return negated ? contrary(sum) : sum;
      break;
    }
    default:
      break;
  }
  const columns = leavesOf(node);
  const places = new Map(columns.map((column, i) => [column, i]));
  return {
    ...{ type: "open", columns },
    holds: (values) =>
      (evaluate(node, (column) => values[places.get(column) as number]) === true) !== negated,
  };
}

function contrary(formula: Formula): Formula {
  switch (formula.type) {
    case "and":
    case "or":
      return { type: formula.type === "and" ? "or" : "and", parts: formula.parts.map(contrary) };
    case "local": {
      const [{ process, values }] = formula.columns;
      return { type: "local", columns: [{ process, values: values.map((value) => !value) }] };
    }
    case "sum": {
      const { columns, comparison, bound } = formula;
      return sumFormula(columns, CONTRARIES[comparison], bound);
    }
    default:
      throw new TypeError(
        `a sum is made of sums and conditions of processes, not of ${formula.type}`,
      );
  }
}

const CONTRARIES: Readonly<Record<Comparison, Operator>> = {
  ...{ "<": ">=", "<=": ">", ">": "<=", ">=": "<" },
  "==": "!=",
};

function sumFormula(
  columns: readonly Column<number>[],
  operator: Operator,
  bound: number,
): Formula {
  if (operator !== "!=") return sumAtom(columns, operator, bound);
  const parts = (["<", ">"] as const).map((one) => sumAtom(columns, one, bound));
  return { type: "or", parts };
}

/** A comparison of sums of numbers of processes, as a sum with a bound; it also needs all numbers to be there. Nothing if it is none. */
function sumOf({
  operator,
  left,
  right,
  asksForNull,
}: Node & { type: "compare" }): Formula | undefined {
  if (asksForNull) return undefined;
  const sum = new LinearSum();
  if (!sum.add(left, 1) || !sum.add(right, -1)) return undefined;
  const { columns, known } = sum.end();
  return { type: "and", parts: [...known, sumFormula(columns, operator, 0 - sum.constant)] };
}

/** A sum of columns times constants, put together process by process. */
class LinearSum {
  constant = 0;
  readonly #terms = new Map<number, { readonly column: Column; readonly factor: number }[]>();

  /** False if it is no such sum. */
  add(node: Node, factor: number): boolean {
    switch (node.type) {
      case "constant": {
        if (typeof node.value !== "number") return false;
        this.constant += factor * node.value;
        return true;
      }
      case "local": {
        const { column } = node;
        const isNumber = (value: unknown): boolean =>
          value === undefined || value === null || typeof value === "number";
        if (!column.values.every(isNumber)) return false;
        const terms = this.#terms.get(column.process) ?? [];
        this.#terms.set(column.process, [...terms, { column, factor }]);
        return true;
      }
      case "negative":
        return this.add(node.of, -factor);
      case "plus":
        return node.parts.every((part) => this.add(part, factor));
      case "times":
      case "over": {
        const { left, right } = node;
        if (right.type === "constant" && typeof right.value === "number") {
          const more = node.type === "times" ? factor * right.value : factor / right.value;
          return Number.isFinite(more) && this.add(left, more);
        }
        if (node.type === "over" || left.type !== "constant") return false;
        return typeof left.value === "number" && this.add(right, factor * left.value);
      }
      default:
        // A condition that counts as a number was made a column if it is of one process.
        return false;
    }
  }

  /** The columns, and where they have no number: what must hold for the sum to be one. */
  end(): { readonly columns: readonly Column<number>[]; readonly known: readonly Formula[] } {
    const known: Formula[] = [];
    const columns = [...this.#terms].map(([process, terms]) => {
      const isKnown: boolean[] = [];
      let before = 0;
      const length = terms[0]?.column.values.length ?? 0;
      const values = Array.from({ length }, (_, count) => {
        let value: number | null = 0;
        for (const { column, factor } of terms) {
          const one = number(column.values[count]);
          value = one === null || value === null ? null : value + factor * one;
        }
        isKnown.push(value !== null);
        // Where there is none it is as it was, so that nothing seems to change.
        before = value ?? before;
        return before;
      });
      if (!isKnown.every(Boolean))
        known.push({ type: "local", columns: [{ process, values: isKnown }] });
      return { process, values };
    });
    return { columns, known };
  }
}
