/** Random traces with values and messages, random predicates of them, and what is possible and definite by a look at all cuts. */

import type { Random } from "../../../src/core/random.ts";
import { type EventDetails, type Trace, TraceBuilder } from "../../../src/trace/trace.ts";
import { allCuts } from "./random-trace.ts";

/** How large. */
interface Size {
  readonly processes: number;
  readonly events: number;
}

const NAMES = ["p", "q", "r", "s", "odd-1"];

/** Messages that come, late, in parts, never or to their sender; markers, packets. `x` jumps, `n` goes by one, `c` only grows, `up` and `state` come and go. */
export function drawTrace(random: Random, { processes, events }: Size): Trace {
  const builder = new TraceBuilder();
  const names = NAMES.slice(-processes);
  for (const name of names) builder.process(name);
  const sent: { to: string; from: string; event: number; details: EventDetails }[] = [];
  const internal: number[] = [];
  const counters = new Map<string, number>();
  for (let i = 0; i < events; i += 1) {
    const process = random.pick(names) as string;
    const values: Record<string, unknown> = {};
    if (random.chance(0.5)) values["x"] = random.between(-2, 3);
    if (random.chance(0.5)) {
      const n = (counters.get(process) ?? 0) + random.between(-1, 1);
      counters.set(process, n);
      values["n"] = n;
    }
    if (random.chance(0.3)) {
      const c = (counters.get(`c ${process}`) ?? 0) + random.between(0, 2);
      counters.set(`c ${process}`, c);
      values["c"] = c;
    }
    if (random.chance(0.4)) values["up"] = random.chance(0.6);
    if (random.chance(0.2)) values["state"] = random.pick(["a", "b", { deep: "a" }, null]);
    const said = Object.keys(values).length > 0 ? { values } : {};
    const due = sent.findIndex(({ to }) => to === process);
    if (due >= 0 && random.chance(0.7)) {
      const { event, from, details } = sent[due] as (typeof sent)[number];
      const { message, count = 1 } = details;
      // Of what was sent at once a part may come, and the rest later.
      const come = random.chance(0.5) ? random.between(1, count) : count;
      const rest = { ...details, message: Number(message) + come, count: count - come };
      if (come < count) sent[due] = { to: process, from, event, details: rest };
      else sent.splice(due, 1);
      const part = { ...details, ...said, type: "receive", peer: from, count: come } as const;
      builder.arrow(event, builder.event(process, part));
    } else if (random.chance(0.5)) {
      const to = random.pick(names) as string;
      const details: EventDetails = {
        ...{ type: "send", message: 10 * i, peer: to, count: random.between(1, 2) },
        ...(random.chance(0.1) ? { snapshot: "p/1" as const } : {}),
        ...(random.chance(0.1) ? { carries: "packets" } : {}),
      };
      const event = builder.event(process, { ...details, ...said });
      sent.push({ to, from: process, event, details: { ...details } });
    } else {
      const event = builder.event(process, { type: "internal", ...said });
      if (random.chance(0.2) && internal.length > 0)
        builder.arrow(random.pick(internal) as number, event);
      internal.push(event);
    }
  }
  return builder.end();
}

/** Consistent by the definition: no arrow comes from outside. */
export function consistentCuts(trace: Trace): Int32Array[] {
  const { events, arrows } = trace;
  return [...allCuts(trace)].filter((cut) =>
    arrows.every(({ from, to }) => {
      const [a, b] = [events[from], events[to]];
      const isIn = (e: typeof a): boolean => (e?.position ?? 0) < (cut[e?.process ?? 0] ?? 0);
      return !isIn(b) || isIn(a);
    }),
  );
}

/** What a predicate looks at. */
export interface Seen {
  readonly values: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  inFlight(from: string, to: string): number;
  /** How many messages are in flight altogether. */
  readonly all: number;
}

/** The state at a cut, worked out from the first event on. */
export class State implements Seen {
  readonly values: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  readonly #inFlight: ReadonlyMap<string, number>;

  constructor({ events, timelines, arrows, processes }: Trace, cut: Int32Array) {
    const has = (e: number): boolean =>
      (events[e]?.position ?? 0) < (cut[events[e]?.process ?? 0] ?? 0);
    this.values = new Map(
      processes.map((name, p) => [
        name,
        Object.assign(
          {},
          ...[...(timelines[p] ?? [])].filter(has).map((e) => events[e]?.values ?? {}),
        ) as Record<string, unknown>,
      ]),
    );
    const inFlight = new Map<string, number>();
    const count = (from = "", to = "", by = 1): void => {
      inFlight.set(`${from} ${to}`, (inFlight.get(`${from} ${to}`) ?? 0) + by);
    };
    const nameOf = (e: number): string => processes[events[e]?.process ?? 0] ?? "";
    for (const [e, { type, peer, snapshot, carries, count: many = 1 }] of events.entries()) {
      if (!has(e) || snapshot !== undefined || carries !== undefined) continue;
      if (type === "send") count(nameOf(e), peer, many);
      if (type === "receive") count(peer, nameOf(e), -many);
    }
    for (const { from, to } of arrows)
      if (events[from]?.type === "internal" && has(from) && !has(to))
        count(nameOf(from), nameOf(to));
    this.#inFlight = inFlight;
  }

  inFlight(from: string, to: string): number {
    return this.#inFlight.get(`${from} ${to}`) ?? 0;
  }

  get all(): number {
    return [...this.#inFlight.values()].reduce((sum, one) => sum + one, 0);
  }
}

/** Whether something holds at some cut, and whether it does on each way from the first to the last. */
export function lookAtAll(
  trace: Trace,
  holds: (state: State) => boolean,
): { readonly possibly: boolean; readonly definitely: boolean; readonly cuts: number } {
  const cuts = consistentCuts(trace).map((cut) => ({ cut, is: holds(new State(trace, cut)) }));
  const size = (cut: Int32Array): number => cut.reduce((sum, count) => sum + count, 0);
  cuts.sort((a, b) => size(a.cut) - size(b.cut));
  /** The cuts that one can come to while it does not hold. */
  const free = new Set<string>();
  for (const { cut, is } of cuts) {
    const comes =
      size(cut) === 0 || cut.some((count, p) => count > 0 && free.has(`${cut.with(p, count - 1)}`));
    if (!is && comes) free.add(`${cut}`);
  }
  const end = `${trace.timelines.map(({ length }) => length)}`;
  return { possibly: cuts.some(({ is }) => is), definitely: !free.has(end), cuts: cuts.length };
}

/** An expression, and what it means, written anew. */
export interface Drawn<T> {
  readonly text: string;
  readonly of: (state: Seen) => T;
}

type Draw<T> = (random: Random) => Drawn<T>;

const COMPARISONS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};

/** Predicates of a trace; each kind has what the special ways are for. */
export class Predicates {
  readonly #trace: Trace;
  readonly #names: ReadonlyMap<string, readonly string[]>;

  constructor(trace: Trace) {
    this.#trace = trace;
    const end = new State(
      trace,
      Int32Array.from(trace.timelines, ({ length }) => length),
    );
    this.#names = new Map([...end.values].map(([name, values]) => [name, Object.keys(values)]));
  }

  draw(random: Random): Drawn<boolean> {
    const kinds: readonly Draw<boolean>[] = [
      (r) => this.#joined(r, " && ", r.between(2, 4), (one) => this.#local(one)),
      (r) => this.#joined(r, " || ", r.between(2, 3), (one) => this.#local(one)),
      (r) => this.#sum(r),
      (r) => this.#bound(r),
      (r) =>
        this.#joined(r, " && ", 3, (one) =>
          one.chance(0.5) ? this.#bound(one) : this.#local(one),
        ),
      (r) =>
        this.#joined(r, " && ", 2, (one) => (one.chance(0.5) ? this.#sum(one) : this.#local(one))),
      (r) => this.#any(r, 3),
      (r) => this.#open(r),
      (r) =>
        this.#joined(r, " && ", 2, (one) =>
          one.chance(0.5) ? this.#growing(one) : this.#sum(one),
        ),
      (r) =>
        this.#joined(r, " && ", 2, (one) =>
          one.chance(0.5) ? this.#open(one) : this.#any(one, 1),
        ),
    ];
    // What holds at the first or last cut is decided too soon.
    const [first, last] = [
      new Int32Array(this.#trace.processes.length),
      Int32Array.from(this.#trace.timelines, ({ length }) => length),
    ];
    const ends = [first, last].map((cut) => new State(this.#trace, cut));
    for (let tries = 0; ; tries += 1) {
      const drawn = (random.pick(kinds) as Draw<boolean>)(random);
      if (tries === 5 || !ends.some(drawn.of) || random.chance(0.05)) return drawn;
    }
  }

  /** Of two processes, in ways that are not taken apart. */
  #open(random: Random): Drawn<boolean> {
    const [a, b] = [this.#number(random), this.#number(random)];
    return compared(random, {
      text: `${a.text} * ${b.text}`,
      of: (state) => {
        const [left, right] = [a.of(state), b.of(state)];
        return left === null || right === null ? null : left * right;
      },
    });
  }

  /** Conditions of single processes, and bounds that only one process can help to keep: each has a least cut. */
  drawRegular(random: Random): Drawn<boolean> {
    return this.#joined(random, " && ", random.between(1, 3), (one) =>
      one.chance(0.4) ? this.#channel(one) : this.#local(one),
    );
  }

  #any(random: Random, depth: number): Drawn<boolean> {
    if (depth === 0 || random.chance(0.3))
      return random.pick([
        this.#local(random),
        this.#bound(random),
        this.#sum(random),
      ]) as Drawn<boolean>;
    if (random.chance(0.2)) {
      const { text, of } = this.#any(random, depth - 1);
      return { text: `!(${text})`, of: (state) => !of(state) };
    }
    const sign = random.chance(0.5) ? " && " : " || ";
    return this.#joined(random, sign, 2, (one) => this.#any(one, depth - 1));
  }

  #joined(random: Random, sign: string, count: number, draw: Draw<boolean>): Drawn<boolean> {
    const parts = Array.from({ length: count }, () => draw(random));
    return {
      text: parts.map(({ text }) => `(${text})`).join(sign),
      of: (state) =>
        sign === " && " ? parts.every(({ of }) => of(state)) : parts.some(({ of }) => of(state)),
    };
  }

  /** Of one process; `true` if that one says nothing. */
  #local(random: Random): Drawn<boolean> {
    const process = random.pick(this.#trace.processes) as string;
    const name = random.pick(this.#names.get(process) ?? []);
    if (name === undefined) return { text: "true", of: () => true };
    const text = `${nameText(process)}.${name}`;
    const value = (state: Seen): unknown => state.values.get(process)?.[name] ?? null;
    if (random.chance(0.15))
      return { text: `${text} == null`, of: (state) => value(state) === null };
    if (name === "up") return { text, of: (state) => value(state) === true };
    if (name === "state") {
      const [deep, all] = [
        (state: Seen) => value(state) as { deep?: unknown } | null,
        this.#says(process),
      ];
      if (all.has("deep") && random.chance(0.5))
        return { text: `${text}.deep == "a"`, of: (state) => deep(state)?.deep === "a" };
      if (!all.has("text"))
        return { text: `${text} != null`, of: (state) => value(state) !== null };
      const other = random.pick(["a", "b"]);
      return random.chance(0.5)
        ? { text: `${text} == "${other}"`, of: (state) => value(state) === other }
        : {
            text: `'${other}' != ${text}`,
            of: (state) => value(state) !== null && value(state) !== other,
          };
    }
    return compared(random, { text, of: value as Drawn<number | null>["of"] });
  }

  /** Whether a process ever says its state as a text, and as an object. */
  #says(process: string): ReadonlySet<string> {
    const p = this.#trace.processes.indexOf(process);
    const said = new Set<string>();
    for (const e of this.#trace.timelines[p] ?? []) {
      const state = this.#trace.events[e]?.values?.["state"];
      if (typeof state === "string") said.add("text");
      else if (state) said.add("deep");
    }
    return said;
  }

  #channel(random: Random): Drawn<boolean> {
    const [from, to] = [random.pick(this.#trace.processes), random.pick(this.#trace.processes)] as [
      string,
      string,
    ];
    const messages = {
      text: `inflight(${nameText(from)}, ${nameText(to)})`,
      of: (state: Seen) => state.inFlight(from, to),
    };
    return compared(random, messages, ["<=", ">=", "<", ">", "=="], [0, 2]);
  }

  /** What is about channels, or numbers that may only grow. */
  #bound(random: Random): Drawn<boolean> {
    if (random.chance(0.6)) return this.#channel(random);
    return compared(random, { text: "inflight()", of: (state) => state.all }, undefined, [0, 2]);
  }

  #sum(random: Random): Drawn<boolean> {
    const parts = Array.from({ length: random.between(1, 3) }, () => this.#number(random));
    const factors = parts.map(() => random.pick([1, 1, 1, -1, 2]) as number);
    const text = parts.map((part, i) => `${factors[i]} * ${part.text}`).join(" + ");
    const of = (state: Seen): number | null => {
      let sum = 0;
      for (const [i, part] of parts.entries()) {
        const value = part.of(state);
        if (value === null) return null;
        sum += (factors[i] as number) * value;
      }
      return sum;
    };
    return compared(random, { text, of });
  }

  /** What only grows, of two processes: there is a least cut at which that is little, and there are others with more of either. */
  #growing(random: Random): Drawn<boolean> {
    const [a, b] = [this.#number(random, "c"), this.#number(random, "c")];
    return compared(random, {
      text: `${a.text} + ${b.text}`,
      of: (state) => {
        const [left, right] = [a.of(state), b.of(state)];
        return left === null || right === null ? null : left + right;
      },
    });
  }

  #number(random: Random, name = random.pick(["x", "n", "c"]) as string): Drawn<number | null> {
    const having = (value: string): string[] =>
      this.#trace.processes.filter((process) => this.#names.get(process)?.includes(value));
    const owners = having(name);
    const kind = random.below(4);
    if (kind === 0 && owners.length > 0)
      return {
        text: `sum(${name})`,
        of: (state) => {
          const values = owners.map((owner) => state.values.get(owner)?.[name] ?? null);
          return values.includes(null) ? null : (values as number[]).reduce((a, b) => a + b, 0);
        },
      };
    const ups = having("up");
    if (kind === 1 && ups.length > 0)
      return {
        text: "count(up)",
        of: (state) => ups.filter((owner) => state.values.get(owner)?.["up"] === true).length,
      };
    const owner = random.pick(owners);
    if (owner === undefined) return { text: "1", of: () => 1 };
    return {
      text: `${nameText(owner)}.${name}`,
      of: (state) => (state.values.get(owner)?.[name] ?? null) as number | null,
    };
  }
}

const nameText = (name: string): string => (/^\w+$/.test(name) ? name : `\`${name}\``);

function compared(
  random: Random,
  { text, of }: Drawn<number | null>,
  comparisons: readonly string[] = Object.keys(COMPARISONS),
  [low, high]: readonly [number, number] = [-2, 4],
): Drawn<boolean> {
  const sign = random.pick(comparisons) as string;
  const bound = random.between(low, high);
  return {
    text: `${text} ${sign} ${bound}`,
    of: (state) => {
      const value = of(state);
      return value !== null && COMPARISONS[sign]?.(value, bound) === true;
    },
  };
}
