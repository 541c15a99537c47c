/** What clients of replicas that converge have seen: judged as by trying every order and every past. */

import { expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import {
  type ConvergenceOptions,
  checkConvergence,
  drawOperations,
  type Operation,
} from "../../src/trace.ts";
import { seeds } from "../support/soak.ts";

type Order = ConvergenceOptions["order"];
const ORDERS: readonly Order[] = ["causal", "fifo"];

interface History {
  readonly operations: readonly Operation[];
  readonly end: readonly Operation[];
}

const isAnswered = ({ returnedAt }: Operation): boolean => returnedAt !== undefined;
const isWrite = ({ command: [name] }: Operation): boolean => name === "SET" || name === "SADD";

/** What somebody with that past sees, the last in an order being the one that is left. */
function sees(past: ReadonlySet<Operation>, order: readonly Operation[], key: string): unknown {
  const written = order.filter((one) => past.has(one) && one.command[1] === key && isWrite(one));
  const values = written.map(({ command }) => command[2] as string);
  return key === "u" ? values.toSorted() : (values.at(-1) ?? null);
}

const isRight = (
  past: ReadonlySet<Operation>,
  order: readonly Operation[],
  one: Operation,
): boolean =>
  isWrite(one) ||
  JSON.stringify(sees(past, order, one.command[1] as string)) ===
    JSON.stringify(Array.isArray(one.reply) ? one.reply.toSorted() : one.reply);

/** Tries every order of all that may have been done, and for each that comes next every past that it may have. */
function explains({ operations, end }: History, order: Order): boolean {
  const before = (one: Operation): readonly Operation[] =>
    operations
      .slice(0, operations.indexOf(one))
      .filter((other) => other.client === one.client && isAnswered(other));
  const pasts = new Map<Operation, ReadonlySet<Operation>>();
  /** Whoever has one in its past has these, too. */
  const withIt = (one: Operation): Iterable<Operation> =>
    order === "causal" ? (pasts.get(one) as ReadonlySet<Operation>) : before(one);
  const isPast = (past: ReadonlySet<Operation>): boolean =>
    [...past].every((one) => [...withIt(one)].every((other) => past.has(other)));
  const goOn = (done: readonly Operation[]): boolean => {
    const rest = operations.filter(
      (one) => !done.includes(one) && (isAnswered(one) || isWrite(one)),
    );
    if (!rest.some(isAnswered) && endsRight(done)) return true;
    return rest.some((one) => {
      const own = before(one);
      if (!own.every((other) => done.includes(other))) return false;
      const least = new Set(own.flatMap((other) => [other, ...(pasts.get(other) ?? [])]));
      const others = done.filter((other) => !least.has(other));
      return subsetsOf(others).some((more) => {
        const past = new Set([...least, ...more]);
        if (!isPast(past) || (isAnswered(one) && !isRight(past, done, one))) return false;
        pasts.set(one, past);
        return goOn([...done, one]);
      });
    });
  };
  /** All have the same in the end: all that was answered, and some of the rest. */
  const endsRight = (done: readonly Operation[]): boolean => {
    const answered = done.filter((one) => isAnswered(one) && isWrite(one));
    return subsetsOf(done.filter((one) => !isAnswered(one) || !isWrite(one))).some((more) => {
      const past = new Set([...answered, ...more]);
      return isPast(past) && end.every((one) => isRight(past, done, one));
    });
  };
  return goOn([]);
}

function subsetsOf<T>(all: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: 1 << all.length }, (_, bits) =>
    all.filter((__, i) => (bits >> i) & 1),
  );
}

/** Clients that see something or other, more often than not what was written. */
function drawHistory(random: Random): History {
  const values = new Map<string, string[]>();
  const known = (key: string): readonly string[] => values.get(key) ?? [];
  const read = (key: string): Pick<Operation, "command" | "reply"> =>
    key === "u"
      ? { command: ["SMEMBERS", key], reply: known(key).filter(() => random.chance(0.7)) }
      : { command: ["GET", key], reply: random.pick([...known(key), ...known(key), null]) ?? null };
  const operations = Array.from({ length: random.between(3, 6) }, (_, i): Operation => {
    const client = random.pick(["a", "b", "c"]) as string;
    const key = random.pick(["x", "x", "y", "u"]) as string;
    const asked = { client, calledAt: 2 * i, returnedAt: 2 * i + 1 };
    if (random.chance(0.5)) return { ...asked, ...read(key) };
    values.set(key, [...known(key), `${i}`]);
    const command = [key === "u" ? "SADD" : "SET", key, `${i}`];
    return random.chance(0.15)
      ? { client, calledAt: 2 * i, command }
      : { ...asked, command, reply: key === "u" ? 1 : "OK" };
  });
  // A write may be read before it is written down.
  const turned = random.chance(0.2) ? operations.toReversed() : operations;
  const many = random.pick([0, 0, 1, 2]) as number;
  const end = Array.from({ length: many }, (_, i) => ({
    ...read(random.pick(["x", "u"]) as string),
    ...{ client: `p${i}`, calledAt: 99, returnedAt: 99 },
  }));
  return {
    operations: turned.map((one, i) => ({
      ...one,
      calledAt: 2 * i,
      ...(isAnswered(one) ? { returnedAt: 2 * i + 1 } : {}),
    })),
    end,
  };
}

/** Judges; what does not hold must have a witness that is wrong, and of which nothing can be left out. */
function judged({ operations, end }: History, order: Order): boolean {
  const verdict = checkConvergence(operations, { order, end });
  if (verdict.holds !== false) return verdict.holds === true;
  const shown = new Set(verdict.witness.operations);
  // Of what is added each is for itself: what is not shown was not seen.
  const ever = new Set(operations.filter(isWrite).map(({ command }) => command[2]));
  const among = (some: ReadonlySet<Operation>): History => {
    const there = new Set([...some].filter(isWrite).map(({ command }) => command[2]));
    const less = (all: readonly Operation[]): Operation[] =>
      all
        .filter((one) => some.has(one))
        .map((one) => {
          if (!Array.isArray(one.reply)) return one;
          const reply = one.reply.filter(
            (value) => there.has(value as string) || !ever.has(value as string),
          );
          return { ...one, reply };
        });
    return { operations: less(operations), end: less(end) };
  };
  const drawn = `${verdict.reason}\n${drawOperations(verdict.witness)}`;
  expect(explains(among(shown), order), drawn).toBe(false);
  for (const missing of shown) {
    const rest = new Set([...shown].filter((one) => one !== missing));
    const [name, , value = ""] = missing.command;
    const wasSeen = name === "SET" && [...rest].some(({ reply }) => reply === value);
    if (!wasSeen) expect(explains(among(rest), order), drawn).toBe(true);
  }
  return false;
}

test.each(ORDERS)("%s: judged as by trying everything", { timeout: 7_200_000 }, (order) => {
  let [right, wrong] = [0, 0];
  for (const seed of seeds("client-convergence", 300, 30_000)) {
    const history = drawHistory(new Random(`converging ${seed}`));
    const is = judged(history, order);
    expect(is, `seed ${seed}: ${JSON.stringify(history)}`).toBe(explains(history, order));
    if (is) right += 1;
    else wrong += 1;
  }
  expect(Math.min(right, wrong)).toBeGreaterThan(30);
});

const history = (...lines: readonly string[]): Operation[] =>
  lines.map((line, i) => {
    const [client = "", asked = "", reply] =
      /^(\w+) ([^→]+?)(?: → (.+))?$/.exec(line)?.slice(1) ?? [];
    const called = { client, command: asked.split(" "), calledAt: 2 * i };
    return reply === undefined
      ? called
      : { ...called, returnedAt: 2 * i + 1, reply: JSON.parse(reply) };
  });

const drawn = (lines: readonly string[], order: Order, end: readonly string[] = []): string => {
  const verdict = checkConvergence(history(...lines), { order, end: history(...end) });
  return verdict.holds === false
    ? `${verdict.reason}\n${drawOperations(verdict.witness)}`
    : "holds";
};

const NOISE = ['n SET z 8 → "OK"', 'n GET z → "8"', "m GET z → null", "m SADD v q → 1"];

/** By the names of Bouajjani, Enea, Guerraoui and Hamza 2017, table 1. */
const PATTERNS = {
  "CyclicCO: two that saw each other before they wrote": {
    lines: ['a GET y → "2"', 'a SET x 1 → "OK"', 'b GET x → "1"', 'b SET y 2 → "OK"'],
    shown: {
      causal: "these depend on each other in a circle",
      fifo: "these depend on each other in a circle",
    },
  },
  "ThinAirRead: what nobody wrote": {
    lines: ['a SET x 1 → "OK"', 'b GET x → "2"'],
    shown: {
      causal: "GET x of b gave 2, and nobody had written 2",
      fifo: "GET x of b gave 2, and nobody had written 2",
    },
  },
  "WriteCOInitRead: nothing, though it came before what was seen": {
    lines: [
      'a SET x 1 → "OK"',
      'b GET x → "1"',
      'b SET y 2 → "OK"',
      'c GET y → "2"',
      "c GET x → null",
    ],
    shown: { causal: "GET x of c gave nothing, and SET x 1 of a is in its past", fifo: "holds" },
  },
  "WriteCOInitRead of one writer": {
    lines: ['a SET x 1 → "OK"', 'a SET y 2 → "OK"', 'c GET y → "2"', "c GET x → null"],
    shown: {
      causal: "GET x of c gave nothing, and SET x 1 of a is in its past",
      fifo: "GET x of c gave nothing, and SET x 1 of a is in its past",
    },
  },
  "WriteCORead: what had been written over": {
    lines: ['a SET x 1 → "OK"', 'a SET x 2 → "OK"', 'b GET x → "2"', 'b GET x → "1"'],
    shown: {
      causal: "GET x of b gave 1, which SET x 2 of a had written over",
      fifo: "GET x of b gave 1, which SET x 2 of a had written over",
    },
  },
  "CyclicCF: two that end with each other's": {
    lines: ['a SET x 1 → "OK"', 'b SET x 2 → "OK"', 'a GET x → "2"', 'b GET x → "1"'],
    shown: {
      causal: "no order of what was written explains these",
      fifo: "no order of what was written explains these",
    },
  },
  "CyclicCF: three": {
    lines: [
      ...['a SET x 1 → "OK"', 'b SET x 2 → "OK"', 'c SET x 3 → "OK"'],
      ...['a GET x → "2"', 'b GET x → "3"', 'c GET x → "1"'],
    ],
    shown: {
      causal: "no order of what was written explains these",
      fifo: "no order of what was written explains these",
    },
  },
  "something added is missed": {
    lines: ["a SADD u 1 → 1", "a SADD u 2 → 1", 'b SMEMBERS u → ["2"]'],
    shown: {
      causal: "SMEMBERS u of b gave [2], and SADD u 1 of a is in its past",
      fifo: "SMEMBERS u of b gave [2], and SADD u 1 of a is in its past",
    },
  },
} satisfies Readonly<
  Record<
    string,
    { readonly lines: readonly string[]; readonly shown: Readonly<Record<Order, string>> }
  >
>;

test.each(Object.entries(PATTERNS))("%s", (_, { lines, shown }) => {
  for (const order of ORDERS) {
    const [reason, ...rows] = drawn([...NOISE, ...lines], order).split("\n");
    expect(reason).toBe(shown[order]);
    // All of it, and none of the rest.
    if (reason !== "holds")
      expect(rows).toHaveLength(lines.length - (reason?.includes("nobody had") ? 1 : 0));
  }
});

test("a witness is drawn", () => {
  expect(drawn([...NOISE, ...PATTERNS["WriteCOInitRead of one writer"].lines], "fifo")).toBe(
    [
      "GET x of c gave nothing, and SET x 1 of a is in its past",
      "a  ├───┤                      SET x 1 → OK",
      "a        ├───┤                SET y 2 → OK",
      "c              ├───┤          GET y → 2",
      "c                    ✗───┤    GET x → nothing",
    ].join("\n"),
  );
});

test.each(ORDERS)("%s: in the end all have all that was answered, and the same", (order) => {
  const lines = ['a SET x 1 → "OK"', "b SET y 2", 'c SET x 3 → "OK"'];
  expect(drawn(lines, order, ['p1 GET x → "3"', 'p2 GET x → "3"'])).toBe("holds");
  expect(drawn(lines, order, ['p1 MGET x y → ["3","2"]', 'p2 MGET x y → ["3","2"]'])).toBe("holds");
  expect(drawn(lines, order, ["p1 GET x → null"])).toContain(
    "gave nothing in the end, and SET x 1 of a is missing",
  );
  expect(drawn(lines, order, ['p1 GET x → "1"', 'p2 GET x → "3"'])).toContain(
    "no order of what was written",
  );
  expect(drawn(lines, order, ['p1 GET y → "2"', "p2 GET y → null"])).toContain(
    "SET y 2 of b is missing",
  );
});

test("what cannot be judged is refused", () => {
  const judge =
    (...lines: readonly string[]) =>
    () =>
      checkConvergence(history(...lines), { order: "causal" });
  expect(judge('a SET x 1 → "OK"', 'b SET x 1 → "OK"')).toThrow("1 is written to x twice");
  expect(judge('a SET x 1 → "OK"', "b SADD x 2 → 1")).toThrow("x is put as well as added to");
  expect(judge('a FLY x → "OK"')).toThrow('no "FLY"');
  expect(judge('a SET x 1 → {"error":"TRYAGAIN"}', 'b SET x 1 → "OK"')).not.toThrow();
});

/** How replicas go wrong. */
type Mistake =
  | "no order"
  | "fifo"
  | "what comes last wins"
  | "a message is lost"
  | "a client changes its replica";

/** A write as replicas are told of it. */
interface Told {
  readonly from: number;
  readonly key: string;
  readonly value: string;
  readonly stamp: number;
  /** By replica, so many of its writes its own had been told. */
  readonly seen: readonly number[];
}

/** Clients of three replicas that tell each other what is written, each in its own time. */
function drawReplicas(random: Random, order: Order, mistake?: Mistake): History {
  const replicas = Array.from({ length: 3 }, () => ({
    seen: [0, 0, 0],
    last: 0,
    stamps: new Map<string, number>(),
    texts: new Map<string, string>(),
    members: new Set<string>(),
  }));
  type Replica = (typeof replicas)[number];
  const told: Told[][] = [[], [], []];
  const waiting: Told[][] = [[], [], []];
  const take = (replica: Replica, { key, value, stamp }: Told): void => {
    replica.last = Math.max(replica.last, Math.floor(stamp));
    if (key === "u") replica.members.add(value);
    else if (mistake === "what comes last wins" || stamp > (replica.stamps.get(key) ?? 0)) {
      replica.stamps.set(key, stamp);
      replica.texts.set(key, value);
    }
  };
  const isDue = (to: number, { from, seen }: Told): boolean => {
    const has = (replicas[to] as Replica).seen;
    if (mistake === "no order") return true;
    if (has[from] !== seen[from]) return false;
    return (
      mistake === "fifo" ||
      order === "fifo" ||
      seen.every((count, i) => count <= (has[i] as number))
    );
  };
  const deliver = (to: number): boolean => {
    const queue = waiting[to] as Told[];
    const due = queue.filter((one) => isDue(to, one));
    // What is told by one of them is often late.
    const late = (to + 1) % 3;
    const early = random.chance(0.8) ? due.filter(({ from }) => from !== late) : due;
    const one = random.pick(early);
    if (!one) return false;
    queue.splice(queue.indexOf(one), 1);
    const replica = replicas[to] as Replica;
    replica.seen[one.from] = (replica.seen[one.from] as number) + 1;
    take(replica, one);
    return true;
  };
  const read = (replica: Replica, key: string): Pick<Operation, "command" | "reply"> =>
    key === "u"
      ? { command: ["SMEMBERS", key], reply: [...replica.members].sort() }
      : { command: ["GET", key], reply: replica.texts.get(key) ?? null };
  const operations: Operation[] = [];
  for (let i = 0, many = random.between(40, 120); i < many; i += 1) {
    while (random.chance(0.6)) deliver(random.below(3));
    const number = random.below(6);
    const at = mistake === "a client changes its replica" ? random.below(3) : number % 3;
    const replica = replicas[at] as Replica;
    const key = random.pick(["x", "y", "u"]) as string;
    const asked = { client: `c${number}`, calledAt: 2 * i, returnedAt: 2 * i + 1 };
    if (random.chance(0.5)) {
      operations.push({ ...asked, ...read(replica, key) });
      continue;
    }
    const value = `${i}`;
    // No two stamps are the same.
    const one: Told = {
      from: at,
      key,
      value,
      stamp: replica.last + 1 + at / 10,
      seen: [...replica.seen],
    };
    replica.seen[at] = (replica.seen[at] as number) + 1;
    take(replica, one);
    told[at]?.push(one);
    for (const to of [0, 1, 2])
      if (to !== at && !(mistake === "a message is lost" && random.chance(0.02)))
        waiting[to]?.push(one);
    const command = [key === "u" ? "SADD" : "SET", key, value];
    operations.push({ ...asked, command, reply: key === "u" ? 1 : "OK" });
  }
  for (const to of [0, 1, 2])
    while ((waiting[to] as Told[]).some((one) => isDue(to, one))) deliver(to);
  const end = replicas.flatMap((replica, i) =>
    ["x", "y", "u"].map((key) => ({
      ...read(replica, key),
      client: `p${i}`,
      calledAt: 999,
      returnedAt: 999,
    })),
  );
  return { operations, end };
}

test.each(ORDERS)(
  "%s: replicas that are right are found so, and whoever is causal is fifo",
  (order) => {
    for (const seed of seeds("client-converging-replicas", 60, 10_000)) {
      const { operations, end } = drawReplicas(new Random(`replicas ${seed}`), order);
      const verdict = checkConvergence(operations, { order, end });
      expect(verdict, `seed ${seed}`).toMatchObject({ holds: true });
      expect(checkConvergence(operations, { order: "fifo", end })).toMatchObject({ holds: true });
    }
  },
);

const MISTAKES: readonly (readonly [Mistake, Order])[] = [
  ["fifo", "causal"],
  ...ORDERS.flatMap((order) =>
    (
      [
        "no order",
        "what comes last wins",
        "a message is lost",
        "a client changes its replica",
      ] as const
    ).map((mistake) => [mistake, order] as const),
  ),
];

test.each(MISTAKES)(
  "replicas with a mistake (%s) are not %s, and few operations show it",
  (mistake, order) => {
    const sizes: number[] = [];
    for (let seed = 1; seed <= 40; seed += 1) {
      const { operations, end } = drawReplicas(new Random(`${mistake} ${seed}`), order, mistake);
      const verdict = checkConvergence(operations, { order, end });
      if (verdict.holds === false) sizes.push(verdict.witness.operations.length);
    }
    expect(sizes.length).toBeGreaterThan(10);
    expect(sizes.toSorted((a, b) => a - b)[sizes.length >> 1]).toBeLessThan(8);
  },
);
