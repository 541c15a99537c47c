import { describe, expect, test } from "vitest";
import {
  detectPredicate,
  detectSum,
  detectTermination,
  detectToken,
  type GlobalState,
  globalState,
  parseDetector,
} from "../../src/detect.ts";
import { stateOf } from "./support/states.ts";

describe("sums", () => {
  const state = stateOf({ p1: { goods: { money: 3, lock: 1 } }, p2: { goods: { money: 0 } } }, [
    { from: "p1", to: "p2", goods: { money: 4 } },
    { from: "p1", to: "p2", goods: { money: 2 } },
  ]);

  test("add up at processes and on channels", () => {
    expect(detectSum(state, "money", 9)).toMatchObject({
      detected: false,
      sentence: "all 9 are there",
      evidence: {
        sum: 9,
        places: [
          { process: "p1", amount: 3 },
          { from: "p1", to: "p2", amount: 6 },
        ],
      },
    });
    expect(detectSum(state, "money", 10).sentence).toBe("there are 9 and not 10: 1 is lost");
    expect(detectSum(state, "money", 7).sentence).toBe("there are 9 and not 7: 2 are too many");
    expect(detectSum(state, "money").sentence).toBe(
      "unknown: there are 9, and nothing says how many there should be",
    );
    expect(detectSum(state, "toString", 0).detected).toBe(false);
  });

  test("of tokens say where they are", () => {
    expect(detectToken(state, "lock").sentence).toBe("it is at p1");
    expect(detectToken(state, "key").sentence).toBe("lost: there are 0 and not 1; nobody has it");
    expect(detectToken(state, "money", 8).sentence).toBe(
      "doubled: there are 9 and not 8; they are at p1, p1 → p2",
    );
  });

  test("are unknown if somebody does not say, or too large to be exact", () => {
    expect(detectSum(stateOf({ p1: {} }), "money", 0).sentence).toBe(
      "unknown: the application of p1 does not declare goods",
    );
    const silent = stateOf({ p1: { goods: {} }, p2: { goods: {} } }, [{ from: "p1", to: "p2" }]);
    expect(detectSum(silent, "money", 0).sentence).toBe(
      "unknown: the goods of the application of p2 takes no message, and one from p1 is in flight",
    );
    const large = { goods: { money: Number.MAX_SAFE_INTEGER } };
    expect(detectSum(stateOf({ p1: large, p2: large }), "money", 0).detected).toBe(null);
  });
});

describe("termination", () => {
  const passive = { isPassive: true };

  test("is that all are passive and no work is in flight", () => {
    expect(detectTermination(stateOf({ p1: passive, p2: passive })).sentence).toBe(
      "all of 2 processes are passive, and no work is in flight",
    );
    const busy = stateOf({ p1: { isPassive: false }, p2: passive }, [
      { from: "p1", to: "p2" },
      { from: "p1", to: "p2", isPassive: true },
    ]);
    expect(detectTermination(busy)).toMatchObject({
      detected: false,
      sentence: "p1 is active; 1 message of work is in flight, p1 → p2",
      evidence: { active: ["p1"], work: [{ from: "p1", to: "p2", messages: 1 }] },
    });
  });

  test("is unknown only if nobody is known to be active", () => {
    expect(detectTermination(stateOf({ p1: passive, p2: {} })).detected).toBe(null);
    expect(detectTermination(stateOf({ p1: { isPassive: false }, p2: {} })).detected).toBe(false);
  });
});

test("a predicate of one's own may be true, false, or wrong", () => {
  const state = stateOf({ p1: {} });
  const given = (predicate: (state: GlobalState) => boolean) =>
    detectPredicate(state, "mine", predicate);
  expect(given(({ processes }) => processes.length === 1).detected).toBe(true);
  expect(given(({ messages }) => messages.length > 0).detected).toBe(false);
  const thrown = given(() => {
    throw new Error("no idea");
  });
  expect(thrown).toMatchObject({ detected: null, reason: "it threw: no idea" });
  const promise = given((async () => true) as unknown as () => boolean);
  expect(promise).toMatchObject({ detected: null, reason: "it gave neither true nor false" });
});

describe("what applications say", () => {
  const saying = (said: object, messages: readonly unknown[] = []): GlobalState =>
    globalState({
      application: () => ({ restore: () => {}, ...said }),
      states: { p1: 1, p2: 2 },
      inFlight: [{ from: "p1", to: "p2", messages }],
    });
  const say = (value: unknown) => (_message?: unknown) => value;

  const wrong: readonly [what: string, said: object, detector: string, reason: string][] = [
    [
      "goods",
      { goods: say({ money: 0.1 }) },
      "sum=money:1",
      "p1: goods gives 0.1 of money, which is no whole number: count in the smallest unit",
    ],
    ["goods", { goods: say(null) }, "token=lock", "p1: goods gives no object of amounts"],
    [
      "isPassive",
      { isPassive: say("yes") },
      "termination",
      "p1: isPassive gives something that is neither true nor false",
    ],
    ["waits", { waits: say("p2") }, "deadlock", "p1: waits gives no list of waits"],
    [
      "waits",
      { waits: say([{}]) },
      "deadlock",
      "p1: waits gives a wait without for, a list of names",
    ],
    [
      "waits",
      { waits: say([{ for: ["p1", "p1"], need: 2 }]) },
      "deadlock",
      "p1: waits gives a wait that needs 2 of 1",
    ],
    [
      "waits",
      { waits: say([{ for: [], who: 7 }]) },
      "deadlock",
      "p1: waits gives a wait whose who or request is no text",
    ],
    [
      "references",
      { references: say({ roots: "a" }) },
      "garbage",
      "p1: references gives roots that are no list of names",
    ],
    [
      "references",
      { references: say({ objects: { a: [1] } }) },
      "garbage",
      "p1: references gives for a no list of names",
    ],
    [
      "references",
      { references: say({ objects: [] }) },
      "garbage",
      "p1: references gives objects that are not by their names",
    ],
  ];
  test.each(wrong)(
    "%s of a wrong form makes what depends on it unknown",
    (_, said, name, reason) => {
      const verdict = parseDetector(name).detect(saying(said));
      expect(verdict).toMatchObject({ detected: null, reason });
    },
  );

  test("and grants, and what they throw", () => {
    const waits = () => [];
    const state = saying({ waits, grants: say([{ to: 1 }]) }, [1]);
    expect(parseDetector("deadlock").detect(state).sentence).toBe(
      "unknown: of a message from p1, p2: grants gives neither a boolean nor grants",
    );
    const goods = () => {
      throw new Error("broken");
    };
    const other = saying({ goods, isPassive: say(true) });
    expect(parseDetector("sum=money:1").detect(other).sentence).toBe(
      "unknown: p1: goods threw: broken",
    );
    expect(parseDetector("termination").detect(other).detected).toBe(true);
  });

  test("of messages counts only if the method takes one", () => {
    const goods = () => ({ money: 5 });
    expect(detectSum(saying({ goods }, [1]), "money", 15).detected).toBe(null);
    expect(detectSum(saying({ goods }), "money", 10).detected).toBe(false);
    const isPassive = () => true;
    expect(detectTermination(saying({ isPassive }, [1])).detected).toBe(false);
  });

  test("is asked for only as far as it is wanted", () => {
    let asked = 0;
    const application = () => ({
      restore: () => {},
      goods: (_message?: unknown) => ({ money: 1 }),
      references: (_message?: unknown) => {
        asked += 1;
        return {};
      },
    });
    const options = { application, states: { p1: 1 }, inFlight: [] };
    globalState({ ...options, only: ["goods"] });
    expect(asked).toBe(0);
    globalState(options);
    expect(asked).toBe(1);
  });

  test("comes from an application that can be restored, or not at all", () => {
    const application = () => ({
      restore: () => {
        throw new Error("too old");
      },
    });
    const made = () => globalState({ application, states: { p1: 1 }, inFlight: [] });
    expect(made).toThrow(
      expect.objectContaining({
        code: "BAD_MESSAGE",
        message: expect.stringContaining(
          "of p1 cannot be restored from what was recorded: too old",
        ),
      }),
    );
  });
});

describe("detectors by name", () => {
  test("are what they say", () => {
    for (const name of ["deadlock", "termination", "garbage", "sum=a", "token=a"])
      expect(parseDetector(name).name).toBe(name);
    expect(parseDetector("sum=a:b:-5").name).toBe("sum=a:b");
    const state = stateOf({ p1: { goods: { a: 2 } } });
    expect(
      parseDetector("sum=a").detect(state, stateOf({ p1: { goods: { a: 3 } } })).sentence,
    ).toBe("there are 2 and not 3: 1 is lost");
    expect(parseDetector("token=a:2").detect(state).detected).toBe(false);
  });

  test("a sum of what nobody has ever called so is not found to be there", () => {
    const state = stateOf({ p1: { goods: { money: 2 } }, p2: { goods: { lock: 1 } } });
    expect(parseDetector("sum=mony").detect(state, state)).toMatchObject({
      detected: null,
      reason: "nobody declares goods of that name, only of lock, money",
    });
    // Gone is not unknown, nor is what somebody asks for with the amount.
    const none = stateOf({ p1: { goods: {} } });
    expect(parseDetector("sum=lock").detect(none, state).detected).toBe(true);
    expect(parseDetector("sum=mony:0").detect(state, state).detected).toBe(false);
  });

  test.each(["", "sum", "sum=", "sum=:1", "peace", "sum=a:99999999999999999"])(
    "%j is none",
    (text) => {
      expect(() => parseDetector(text)).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
    },
  );
});
