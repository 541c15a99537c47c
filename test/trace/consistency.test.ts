/** What clients have seen: judged as by trying every order, of all small histories and many larger ones. */

import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import {
  type Consistency,
  type ConsistencyVerdict,
  checkClients,
  drawOperations,
  type Operation,
  type Reply,
  storeModel,
} from "../../src/trace.ts";
import { cases, seeds } from "../support/soak.ts";

const LEVELS: readonly Consistency[] = ["linearizable", "sequential"];

/** Two keys that are set, counted and read: written anew, so that a mistake of the model shows. */
function replyOf(keys: Map<string, number>, [name, key = "", value]: readonly string[]): Reply {
  const before = keys.get(key);
  if (name === "GET") return before === undefined ? null : `${before}`;
  const after = name === "INCR" ? (before ?? 0) + 1 : Number(value);
  keys.set(key, after);
  return name === "INCR" ? after : "OK";
}

/** Tries every order of every choice of what was done. */
function explains(operations: readonly Operation[], consistency: Consistency): boolean {
  const goesBefore = (a: Operation, b: Operation): boolean => {
    if (a.returnedAt === undefined) return false;
    if (a.client === b.client && operations.indexOf(a) < operations.indexOf(b)) return true;
    return consistency === "linearizable" && a.returnedAt < b.calledAt;
  };
  const goOn = (done: readonly Operation[]): boolean => {
    const keys = new Map<string, number>();
    for (const { command, reply, returnedAt } of done) {
      const is = replyOf(keys, command);
      if (returnedAt !== undefined && is !== reply) return false;
    }
    const rest = operations.filter((one) => !done.includes(one));
    if (rest.every(({ returnedAt }) => returnedAt === undefined)) return true;
    return rest.some(
      (one) => !rest.some((other) => goesBefore(other, one)) && goOn([...done, one]),
    );
  };
  return goOn([]);
}

/** Judges; what does not hold must have a witness of which nothing can be left out, and which is right. */
function judged(operations: readonly Operation[], consistency: Consistency): boolean {
  const verdict = checkClients(operations, { consistency });
  if (verdict.holds !== false) return verdict.holds === true;
  const { witness } = verdict;
  const without = (missing?: Operation): readonly Operation[] =>
    operations.flatMap((one) => {
      const shown = witness.operations.some((other) => isSameOperation(one, other));
      if (shown && !(missing && isSameOperation(one, missing))) return [one];
      const { returnedAt: _, reply: __, ...unknown } = one;
      return one.command[0] === "GET" ? [] : [unknown];
    });
  expect(explains(without(), consistency), drawOperations(witness)).toBe(false);
  for (const one of witness.operations)
    expect(explains(without(one), consistency), drawOperations(witness)).toBe(true);
  return false;
}

const isSameOperation = (a: Operation, b: Operation): boolean =>
  a.client === b.client && a.calledAt === b.calledAt;

const COMMANDS: readonly (readonly [string, readonly Reply[]])[] = [
  ["SET x 1", ["OK"]],
  ["SET x 2", ["OK"]],
  ["INCR x", [1, 2, 3]],
  ["GET x", [null, "1", "2"]],
];
const ANSWERS = COMMANDS.flatMap(([command, replies]) =>
  replies.map((reply) => ({ command: command.split(" "), reply })),
);

/** When operations are asked and answered: one after another, side by side, or one within the other. */
const LAYOUTS: readonly (readonly (readonly [number, number])[])[] = [
  [
    [0, 1],
    [2, 3],
    [4, 5],
  ],
  [
    [0, 3],
    [1, 2],
    [4, 5],
  ],
  [
    [0, 2],
    [1, 4],
    [3, 5],
  ],
  [
    [0, 5],
    [1, 2],
    [3, 4],
  ],
];
const CLIENTS = ["aab", "aba", "abb", "abc"];

function* smallHistories(): Generator<Operation[]> {
  for (const layout of LAYOUTS)
    for (const clients of CLIENTS)
      for (const first of ANSWERS)
        for (const second of ANSWERS)
          for (const third of ANSWERS)
            for (let lost = 0; lost < 4; lost += 1)
              yield [first, second, third].map(({ command, reply }, i) => {
                const [calledAt = 0, returnedAt = 0] = layout[i] ?? [];
                const called = { client: clients[i] as string, command, calledAt };
                return i === lost ? called : { ...called, reply, returnedAt };
              });
}

/** Clients of a store that is right, sometimes late, and sometimes wrong. */
function drawHistory(random: Random): Operation[] {
  const size = random.between(4, 7);
  const free = new Map<string, number>();
  const keys = new Map<string, number>();
  return Array.from({ length: size }, (_, i) => {
    const client = random.pick(["a", "b", "c"]) as string;
    const calledAt = Math.max(free.get(client) ?? 0, i) + random.fraction();
    const returnedAt = calledAt + random.fraction() * (random.pick([1, 1, 4]) as number);
    free.set(client, returnedAt);
    const key = random.pick(["x", "x", "y"]) as string;
    const command = (random.pick([`SET ${key} ${i}`, `GET ${key}`, `INCR ${key}`]) as string).split(
      " ",
    );
    const right = replyOf(keys, command);
    const wrong = command[0] === "INCR" ? random.between(1, 3) : random.pick([null, "0", "1", "3"]);
    const reply = command[0] !== "SET" && random.chance(0.15) ? (wrong as Reply) : right;
    const called = { client, command, calledAt };
    return random.chance(0.15) ? called : { ...called, returnedAt, reply };
  }).sort((a, b) => a.calledAt - b.calledAt);
}

const holds = (verdict: ConsistencyVerdict): boolean | null => verdict.holds;

describe("judged as by trying every order", () => {
  test.each(LEVELS)("%s: all histories of three", (consistency) => {
    let [right, wrong] = [0, 0];
    let at = 0;
    const stride = cases("client-histories-small", 10, 1);
    for (const operations of smallHistories()) {
      at += 1;
      if (at % stride !== 0) continue;
      const is = judged(operations, consistency);
      expect(is, JSON.stringify(operations)).toBe(explains(operations, consistency));
      if (is) right += 1;
      else wrong += 1;
    }
    expect(Math.min(right, wrong)).toBeGreaterThan(500);
  });

  test.each(LEVELS)("%s: larger ones", { timeout: 7_200_000 }, (consistency) => {
    let [right, wrong] = [0, 0];
    for (const seed of seeds("client-histories", 1_000, 100_000)) {
      const operations = drawHistory(new Random(`clients ${seed}`));
      const is = judged(operations, consistency);
      expect(is, `seed ${seed}`).toBe(explains(operations, consistency));
      if (is) right += 1;
      else wrong += 1;
    }
    expect(Math.min(right, wrong)).toBeGreaterThan(100);
  });
});

const history = (...lines: readonly string[]): Operation[] =>
  lines.map((line) => {
    const [client = "", called, returned, position, asked = "", reply] =
      /^(\w) (\S+) (\S+)(?: @(\S+))? ([^→]+?)(?: → (.+))?$/.exec(line)?.slice(1) ?? [];
    return {
      ...{ client, command: asked.split(" "), calledAt: Number(called) },
      ...(position === undefined ? {} : { position: Number(position) }),
      ...(reply === undefined
        ? {}
        : { returnedAt: Number(returned), reply: JSON.parse(reply) as Reply }),
    };
  });

const drawn = (operations: readonly Operation[], consistency: Consistency): string => {
  const verdict = checkClients(operations, { consistency });
  return verdict.holds === false
    ? `${verdict.reason}\n${drawOperations(verdict.witness)}`
    : "holds";
};

describe("what is known to be wrong", () => {
  const noise = ["n 0 9 INCR n → 1", 'm 1 2 SET x 5 → "OK"', 'n 10 11 GET n → "1"'];

  test("a read that is late", () => {
    const late = history(
      ...noise,
      'a 3 4 SET x 6 → "OK"',
      'b 5 6 GET x → "5"',
      'c 7 8 GET x → "6"',
    );
    expect(drawn(late, "sequential")).toBe("holds");
    expect(drawn(late, "linearizable")).toBe(
      [
        "no order explains GET x of b gave 5 in time",
        "m  ├───┤                SET x 5 → OK",
        "a        ├───┤          SET x 6 → OK",
        "b              ✗───┤    GET x → 5",
      ].join("\n"),
    );
  });

  test("a write that is lost", () => {
    const lost = history(...noise, "a 3 4 INCR c → 1", "b 5 6 INCR c → 1", "a 7 8 INCR c → 2");
    for (const consistency of LEVELS) expect(drawn(lost, consistency)).toContain("INCR c → 1");
  });

  test("writes that two see in two orders: whatever was written when", () => {
    const turned = history(
      ...['a 0 1 SET x 1 → "OK"', 'b 0 1 SET x 2 → "OK"'],
      ...['c 2 3 GET x → "1"', 'c 4 5 GET x → "2"', 'd 2 3 GET x → "2"', 'd 4 5 GET x → "1"'],
    );
    const shown = (consistency: Consistency): readonly Operation[] => {
      const verdict = checkClients(turned, { consistency });
      return verdict.holds === false ? verdict.witness.operations : [];
    };
    expect(new Set(shown("sequential"))).toEqual(new Set(turned.slice(2)));
    // In time, it is wrong as soon as two read at once what had all been written before.
    const [one, other, early, , late] = turned;
    expect(shown("linearizable")).toEqual([one, other, early, late]);
  });

  test("a transaction that did not see a change, and one of which half was done", () => {
    const watch = history('a 1 2 WATCH x → "OK"', 'b 3 4 SET x 1 → "OK"', 'a 5 6 EXEC → ["OK"]');
    const exec = watch.map((one) =>
      one.command[0] === "EXEC" ? { ...one, transaction: [["SET", "y", "2"]] } : one,
    );
    expect(drawn(exec, "linearizable")).toContain("EXEC { SET y 2 } → [OK]");
    expect(drawn(exec, "sequential")).toBe("holds");
    const half = history("a 1 2 EXEC → [1,1]", 'b 3 4 GET p → "1"', "b 5 6 GET q → null").map(
      (one) =>
        one.command[0] === "EXEC"
          ? {
              ...one,
              transaction: [
                ["INCR", "p"],
                ["INCR", "q"],
              ],
            }
          : one,
    );
    for (const consistency of LEVELS) expect(drawn(half, consistency)).toContain("GET q → nothing");
  });
});

describe("by the order that the store tells", () => {
  const told = (...lines: readonly string[]): Operation[] => history(...lines);

  test("what is right is right, also what was never answered", () => {
    const right = told(
      'a 1 9 @2 SET x 2 → "OK"',
      'b 1 9 @1 SET x 1 → "OK"',
      "c 1 9 @3 INCR x",
      'd 10 11 @3.5 GET x → "3"',
      'e 10 12 @1.5 GET x → "1"',
    );
    expect(holds(checkClients(right, { consistency: "sequential" }))).toBe(true);
    expect(drawn(right, "linearizable")).toContain("was done before");
  });

  test("a wrong reply is shown with what led to another one, and no more", () => {
    const lines = Array.from(
      { length: 200 },
      (_, i) => `a ${i} ${i + 0.5} @${i} SET k${i % 7} ${i} → "OK"`,
    );
    const wrong = told(...lines, 'b 300 301 @150.5 GET k3 → "3"');
    expect(drawn(wrong, "sequential")).toBe(
      [
        "GET k3 of b gave 3, and by then it was 150",
        "a  ├───┤          SET k3 150 → OK",
        "b        ✗───┤    GET k3 → 3",
      ].join("\n"),
    );
  });

  test("a client whose own order is another one", () => {
    const turned = told('a 1 2 @2 SET x 1 → "OK"', 'a 3 4 @1 SET x 2 → "OK"');
    expect(drawn(turned, "sequential")).toContain("which the same client had asked before");
  });
});

describe("larger histories", () => {
  test("an order that there is is found, and told or not it is the same", {
    timeout: 7_200_000,
  }, () => {
    for (const seed of seeds("client-orders", 60, 5_000)) {
      const operations = drawRight(new Random(`right ${seed}`));
      const untold = operations.map(({ position: _, ...one }) => one);
      for (const consistency of LEVELS) {
        expect(checkClients(operations, { consistency }), `seed ${seed}`).toMatchObject({
          holds: true,
        });
        expect(checkClients(untold, { consistency }), `seed ${seed}`).toMatchObject({
          holds: true,
        });
      }
    }
  });

  test("one reply that nothing explains is found among them", { timeout: 7_200_000 }, () => {
    const toldSizes: number[] = [];
    const untoldSizes: number[] = [];
    for (const seed of seeds("client-lies", 20, 2_000)) {
      const random = new Random(`lie ${seed}`);
      const operations = drawRight(random);
      const reads = operations.filter(
        ({ command: [name], returnedAt }) => name === "GET" && returnedAt !== undefined,
      );
      const read = random.pick(reads);
      if (!read) continue;
      const wrong = operations.map((one) => (one === read ? { ...one, reply: "never" } : one));
      const untold = wrong.map(({ position: _, ...one }) => one);
      for (const history of [wrong, untold]) {
        const verdict = checkClients(history, { consistency: "linearizable" });
        const { command, calledAt } = read;
        if (verdict.holds !== false) throw new Error(`seed ${seed}: ${JSON.stringify(verdict)}`);
        const { operations: shown, wrong: at = -1 } = verdict.witness;
        expect(shown[at]).toMatchObject({ command, calledAt });
        if (history === wrong) toldSizes.push(shown.length);
        else untoldSizes.push(shown.length);
      }
    }
    const mean = (sizes: readonly number[]): number =>
      sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
    // Told, it is shown with what led to the right one; else it is enough that it was never written.
    expect(mean(toldSizes)).toBeLessThan(3);
    expect(mean(untoldSizes)).toBeLessThan(1.5);
  });
});

/** Many operations of clients of one machine, each done at some moment between its call and its return. */
function drawRight(random: Random): Operation[] {
  const free = new Map<string, number>();
  const drawn = Array.from({ length: random.between(20, 60) }, (_, i) => {
    const client = random.pick(["a", "b", "c", "d"]) as string;
    const calledAt = (free.get(client) ?? 0) + random.fraction();
    const returnedAt = calledAt + random.fraction() * 2;
    free.set(client, returnedAt);
    const key = random.pick(["x", "y"]) as string;
    const text = random.pick([
      `SET ${key} ${i}`,
      `GET ${key}`,
      `INCR ${key}`,
      `APPEND ${key} 1`,
      `DEL ${key}`,
      `RPUSH l ${i}`,
      "LPOP l",
      "LRANGE l 0 -1",
      `SADD u ${i % 3}`,
      `MSET x ${i} z ${i}`,
    ]) as string;
    const command = text.split(" ");
    const position = calledAt + random.fraction() * (returnedAt - calledAt);
    return { client, command, calledAt, returnedAt, position, isLost: random.chance(0.05) };
  });
  let { start: state } = storeModel;
  return drawn
    .sort((a, b) => a.position - b.position)
    .map(({ returnedAt, isLost, ...one }): Operation => {
      const next = storeModel.apply(state, one);
      state = next.state;
      return isLost ? one : { ...one, returnedAt, reply: next.reply };
    });
}

test("much at once has a bound, and says so", () => {
  const many = Array.from("abcdefghijklmn", (client) => `${client} 0 9 SADD x ${client} → 1`);
  const operations = history(...many, "z 10 11 SCARD x → 3");
  const verdict = checkClients(operations, { consistency: "linearizable", statesMax: 500 });
  expect(verdict).toMatchObject({ holds: null, reason: expect.stringContaining("500") });
});

test("what cannot be is refused", () => {
  const bad = history('a 5 4 SET x 1 → "OK"');
  expect(() => checkClients(bad, { consistency: "linearizable" })).toThrow("answered before");
  const unknown = history('a 1 4 FLY x 1 → "OK"');
  expect(() => checkClients(unknown, { consistency: "linearizable" })).toThrow('no "FLY"');
});

test("the model knows when keys are over, and who watched them", () => {
  const run = (...asked: readonly [client: string, atMs: number, command: string][]): Reply[] => {
    let { start: state } = storeModel;
    return asked.map(([client, atMs, text]) => {
      const step = storeModel.apply(state, { client, atMs, command: text.split(" ") });
      state = step.state;
      return step.reply;
    });
  };
  expect(
    run(["a", 5, "SET x 1 PX 10"], ["a", 15, "GET x"], ["a", 16, "GET x"], ["a", 17, "INCR x"]),
  ).toEqual(["OK", "1", null, 1]);
  expect(
    run(["a", 0, "SET x 1 PX 5"], ["a", 6, "WATCH x"], ["b", 7, "SWEEP x y"], ["a", 8, "EXISTS x"]),
  ).toEqual(["OK", "OK", "OK", 0]);
  for (const [watchedAtMs, isVoid] of [
    [5, true],
    [6, false],
  ] as const) {
    const { state } = [
      ["a", 0, "SET x 1 PX 5"],
      ["a", watchedAtMs, "WATCH x"],
      ["b", 7, "SWEEP x"],
    ].reduce(
      ({ state: before }, [client, atMs, text]) =>
        storeModel.apply(before, {
          ...{ client: String(client), atMs: Number(atMs), command: String(text).split(" ") },
        }),
      { state: storeModel.start, reply: null as Reply },
    );
    const exec = { client: "a", atMs: 8, command: ["EXEC"], transaction: [["INCR", "x"]] };
    expect(storeModel.apply(state, exec).reply).toEqual(isVoid ? null : [1]);
  }
  expect(
    run(
      ["a", 0, "RPUSH l 1 2"],
      ["a", 0, "BLPOP k l 0"],
      ["a", 0, "GET l"],
      ["a", 0, "LRANGE l 0 -1"],
    ),
  ).toEqual([2, ["l", "1"], { error: expect.stringContaining("WRONGTYPE") }, ["2"]]);
});
