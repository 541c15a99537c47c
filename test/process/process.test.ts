// A process as its application and its driver see it: turns, messages, back-pressure, requests, timers, manual receiving.
import { describe, expect, test } from "vitest";
import { readRecords } from "../../src/core/record.ts";
import { Topology } from "../../src/core/topology.ts";
import { BATCH_HEADER_BYTES, parseFrame } from "../../src/link/frame.ts";
import { FrozenState, type Turn } from "../../src/process/application.ts";
import { jsonCodec } from "../../src/process/codec.ts";
import { KIND_MARKER, KIND_MESSAGES } from "../../src/process/wire.ts";
import { HandDriven, plainOf } from "../support/hand-driven.ts";

const request = (system: HandDriven, id: string, text: string) =>
  system.step(id, { type: "request", id: 1, request: text });

const frames = (effects: ReturnType<HandDriven["step"]>) =>
  effects.flatMap((effect) => (effect.type === "frame" ? [effect.frame] : []));

describe("a turn", () => {
  test("sends one frame to each peer, whatever it sends, in order", () => {
    const system = new HandDriven(["a", "b", "c"]);
    system.probe("a").on.request = (_id, _request, turn) => {
      for (const text of ["one", "two", "three"]) {
        turn.send("b", text);
        turn.send("c", text.toUpperCase());
      }
    };
    expect(frames(request(system, "a", ""))).toHaveLength(2);
    system.run();
    expect(system.probe("b").log).toEqual(["a: one", "a: two", "a: three"]);
    expect(system.probe("c").log).toEqual(["a: ONE", "a: TWO", "a: THREE"]);
    expect(system.process("a").counters).toMatchObject({
      ...{ sent: 6, received: 0, peers: { b: { sent: 3, received: 0 } } },
    });
    expect(system.process("b").counters).toMatchObject({
      ...{ sent: 0, received: 3, peers: { a: { sent: 0, received: 3 } } },
    });
  });

  test("encodes a message once for all its receivers", () => {
    let encoded = 0;
    const codec = jsonCodec<string>();
    const messageCodec = {
      ...codec,
      encode: (value: string) => {
        encoded += 1;
        return codec.encode(value);
      },
    };
    const system = new HandDriven(["a", "b", "c", "d"], { messageCodec });
    request(system, "a", "b c d: hello");
    system.run();
    expect(encoded).toBe(1);
    for (const id of ["b", "c", "d"]) expect(system.probe(id).log).toEqual(["a: hello"]);
  });

  test("knows the time, its peers, and the same random numbers for the same seed", () => {
    const seen = [1, 1, 2].map((seed) => {
      const system = new HandDriven(new Topology(["a", "b", "c"], [{ from: "a", to: "c" }]), {
        seed,
      });
      let what: unknown;
      system.probe("a").on.request = (_id, _request, turn) => {
        what = [turn.self, turn.nowMs, turn.peers, turn.random.bits()];
      };
      request(system, "a", "");
      return JSON.stringify(what);
    });
    expect(seen[0]).toMatch(/^\["a",1000,\["c"\],\d+\]$/);
    expect(seen[1]).toBe(seen[0]);
    expect(seen[2]).not.toBe(seen[0]);
  });

  test("answers requests and sets timers, in this turn or a later one", () => {
    const system = new HandDriven(["a"]);
    const { on } = system.probe("a");
    on.request = (_id, _request, turn) => turn.setTimer("later", 50);
    on.timer = (_name, turn) => turn.reply(7, "done");
    expect(system.step("a", { type: "request", id: 7, request: "now?" })).toEqual([
      { type: "timer", name: "later", afterMs: 50 },
    ]);
    expect(system.step("a", { type: "timer", name: "later" })).toEqual([
      { type: "reply", id: 7, reply: "done" },
    ]);
  });

  test("puts no more into a frame than the transport carries", () => {
    const system = new HandDriven(["a", "b"], {
      maxFrameBytes: 16_384,
      windowBytes: 1_000_000,
      limitBytes: 1e6,
    });
    system.probe("a").on.request = (_id, _request, turn) => {
      for (let i = 0; i < 500; i += 1) turn.send("b", `${i}`.padEnd(i, "x"));
    };
    const sent = frames(request(system, "a", ""));
    expect(Math.max(...sent.map(({ length }) => length))).toBeLessThanOrEqual(16_384);
    expect(sent.length).toBeLessThan(30);
    system.run();
    expect(system.probe("b").log).toHaveLength(500);
  });
});

describe("an application that throws", () => {
  const methods = ["start", "receive", "request", "timer", "writable"] as const;

  test.each(methods)(
    "in %s ends the process: nothing of that turn leaves, and no input is taken",
    (method) => {
      const system = new HandDriven(["a", "b"], { windowBytes: 20 });
      const fails = (turn: Turn<string, string>): void => {
        turn.setTimer("t", 1);
        turn.reply(1, "never");
        turn.send("a", "never");
        throw new RangeError("no more");
      };
      system.probe("b").on[method] = (...args: unknown[]) =>
        fails(args.at(-1) as Turn<string, string>);
      const before = [...(system.effects.get("b") ?? [])];
      if (method === "start") system.step("b", { type: "start" });
      if (method === "request") request(system, "b", "");
      if (method === "timer") system.step("b", { type: "timer", name: "t" });
      if (method === "receive") {
        request(system, "a", "b: hello");
        system.run();
      }
      if (method === "writable") {
        system.probe("b").on.request = (_id, _request, turn) => {
          turn.send("a", "x".repeat(50));
        };
        request(system, "b", "");
        system.pass(10);
        system.run();
        system.pass(10);
        system.run();
      }
      const error = expect.objectContaining({
        code: "APPLICATION_THREW",
        message: "the application of b threw: no more",
      });
      expect(system.effects.get("b")).toEqual([...before, { type: "failed", error }]);
      expect(system.process("b").state.failed).toBe(true);
      const log = [...system.probe("a").log];
      expect(request(system, "b", "a: hello")).toEqual([]);
      system.run();
      expect(system.probe("a").log.filter((line) => line.includes("never"))).toEqual([]);
      expect(system.probe("a").log).toEqual(log);
    },
  );

  test("lets go of frozen states, of those too whose piece is not handed out any more", () => {
    const topology = new Topology(["a", "b"]);
    const system = new HandDriven(topology);
    let released = 0;
    system.storing = false;
    const { on } = system.probe("b");
    on.capture = () =>
      new FrozenState(
        () => undefined,
        () => (released += 1),
      );
    // Recorded, and waiting for a marker that does not come.
    system.cut("a", "b");
    system.snapshot("b");
    on.request = () => {
      throw new Error("no more");
    };
    request(system, "b", "");
    expect(released).toBe(1);

    // The last marker and the message that it cannot bear come in one turn.
    const other = new HandDriven(topology, { reliable: false });
    other.storing = false;
    const probe = other.probe("b");
    probe.on.capture = on.capture;
    probe.on.receive = () => {
      throw new Error("no more");
    };
    other.snapshot("a");
    request(other, "a", "b: too much");
    const [marker, message] = [KIND_MARKER, KIND_MESSAGES].map(
      (kind) => other.batches("a", "b", kind)[0] as Uint8Array,
    );
    other.step("b", { type: "frame", from: "a", frame: message as Uint8Array });
    expect(
      other.step("b", { type: "frame", from: "a", frame: marker as Uint8Array }),
    ).toMatchObject([{ type: "failed" }]);
    expect(released).toBe(2);
  });
});

describe("back-pressure", () => {
  /** Sends so many messages of 1,000 bytes to b; gives what `send` gave or threw. */
  const flood = (system: HandDriven, count: number): unknown[] => {
    const given: unknown[] = [];
    system.probe("a").on.request = (_id, _request, turn) => {
      for (let i = 0; i < count; i += 1)
        try {
          given.push(turn.send("b", "x".repeat(994)));
        } catch (thrown) {
          given.push((thrown as { readonly code: string }).code);
        }
    };
    request(system, "a", "");
    return given;
  };

  test("send gives false when the window is full, and throws at the limit; what was sent arrives", () => {
    const system = new HandDriven(["a", "b"]);
    const given = flood(system, 30);
    expect(given.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => true));
    expect(given.slice(10, 20)).toEqual(Array.from({ length: 10 }, () => false));
    expect(given.slice(20)).toEqual(Array.from({ length: 10 }, () => "CHANNEL_FULL"));
    expect(system.process("a").congested).toBe(true);
    system.run();
    expect(system.probe("b").log).toHaveLength(20);
  });

  test("writable is called once, when half of the window is free again", () => {
    const system = new HandDriven(["a", "b", "c"]);
    flood(system, 15);
    expect(system.probe("a").log).toEqual([]);
    system.run();
    system.pass(10);
    system.run();
    expect(system.probe("a").log).toEqual(["writable b"]);
    expect(system.process("a").congested).toBe(false);
    flood(system, 1);
    system.run();
    expect(system.probe("a").log).toEqual(["writable b"]);
  });

  test("counts what waits for a peer that is down, and says so", () => {
    const system = new HandDriven(["a", "b"]);
    system.cut("a", "b");
    const given = flood(system, 25);
    expect(given.filter((one) => one === "CHANNEL_FULL")).toHaveLength(5);
    let message = "";
    system.probe("a").on.request = (_id, _request, turn) => {
      try {
        turn.send("b", "x".repeat(994));
      } catch (thrown) {
        message = (thrown as Error).message;
      }
    };
    request(system, "a", "");
    expect(message).toContain("to b, which is down (the cable was cut); its limit is 20000");
    expect(system.process("a").explain().channels).toEqual([
      {
        from: "a",
        to: "b",
        waiting: { messages: 20, bytes: 20_000 },
        up: false,
        reason: "the cable was cut",
        downSinceMs: 1_000,
      },
    ]);
    system.connect("a", "b");
    system.run();
    expect(system.probe("b").log).toHaveLength(20);
  });

  test("is over for a peer that came back without its state", () => {
    const system = new HandDriven(["a", "b"]);
    system.cut("a", "b");
    flood(system, 15);
    system.restart("b", ["a"]);
    expect(system.probe("a").log).toEqual(["writable b"]);
    expect(system.process("a").congested).toBe(false);
    expect(system.problems("a")).toEqual([
      "PEER_RESTARTED: b came back without its state: its channels start afresh; 15 messages and markers to it were lost",
    ]);
  });
});

test("an earlier life of a peer that comes back after a later one is not let in, and is named", () => {
  const system = new HandDriven(["a", "b"]);
  system.connect("a", "b");
  system.run();
  const before = system.process("a").state.links[0]?.channel.peerIncarnation as number;
  system.restart("b", ["a"]);
  system.run();
  const frames = system.process("a").state.links[0]?.channel.next;
  system.step("a", { type: "peer-down", peer: "b", reason: "the cable was cut" });
  system.step("a", { type: "peer-up", peer: "b", incarnation: before });
  expect(system.problems("a").at(-1)).toMatch(/^DUPLICATE_ID: b is not let in: an earlier life/);
  expect(system.process("a").explain().channels).toMatchObject([
    { to: "b", up: false, reason: "an earlier life of it has come back after a later one" },
  ]);
  expect(system.process("a").state.links[0]?.channel.next).toBe(frames);
  const later = system.process("a").state.links[0]?.channel.peerIncarnation as number;
  expect(later).not.toBe(before);
  system.step("a", { type: "peer-up", peer: "b", incarnation: later });
  expect(system.process("a").explain().channels).toEqual([]);
});

test("what an application waits for is explained, also if it cannot say it", () => {
  const system = new HandDriven(["a", "b"]);
  const explained = (waits?: () => never) => {
    Object.assign(system.probe("a"), { waits });
    const { waits: told, waitsUnknown } = system.process("a").explain();
    return told ?? waitsUnknown;
  };
  const giving = (said: unknown) => explained(() => said as never);
  expect(explained()).toBeUndefined();
  expect(giving([{ for: ["b"], request: "lock" }])).toEqual([{ for: ["b"], request: "lock" }]);
  expect(giving(Array.from({ length: 1_000 }, () => ({ for: ["b"] })))).toHaveLength(256);
  expect(giving([null])).toBe("its method waits gave a wait without for, a list of names");
  expect(giving("b")).toBe("its method waits gave no list of waits");
  expect(
    explained(() => {
      throw new Error("not now");
    }),
  ).toBe("its method waits threw: not now");
});

test("a message to several goes to all of them or to none, and a timer needs a time", () => {
  const system = new HandDriven(["a", "b"]);
  system.connect("a", "b");
  const codes: unknown[] = [];
  system.probe("a").on.request = (_id, _request, turn) => {
    for (const act of [
      () => turn.send(["b", "nobody"], "x"),
      () => turn.setTimer("never", Number.NaN),
      () => turn.setTimer("never", -1),
    ])
      try {
        act();
      } catch (thrown) {
        codes.push((thrown as { code?: unknown }).code);
      }
  };
  request(system, "a", "");
  system.run();
  expect(codes).toEqual(["NO_CHANNEL", "BAD_OPTION", "BAD_OPTION"]);
  expect(system.probe("b").log).toEqual([]);
});

describe("a message", () => {
  /** What `send` throws for this message to that process. */
  const thrown = (
    system: HandDriven,
    to: string,
    message: unknown,
  ): { code?: string; message?: string } => {
    let error = {};
    system.probe("a").on.request = (_id, _request, turn) => {
      try {
        turn.send(to, message as string);
      } catch (caught) {
        error = caught as Error;
      }
    };
    request(system, "a", "");
    return error;
  };

  test("may be as large as a frame, and not a byte larger", () => {
    const maxFrameBytes = 16_384;
    const system = new HandDriven(["a", "b"], { maxFrameBytes, limitBytes: 1e6 });
    // With the header of the batch, the length of the record and the quotes of JSON.
    const most = maxFrameBytes - BATCH_HEADER_BYTES - 4 - 2;
    expect(thrown(system, "b", "x".repeat(most))).toEqual({});
    expect(system.batches("a", "b", KIND_MESSAGES)[0]).toHaveLength(maxFrameBytes);
    system.run();
    expect(system.probe("b").log).toHaveLength(1);
    expect(thrown(system, "b", "x".repeat(most + 1)).code).toBe("MESSAGE_TOO_LARGE");
  });

  test("goes only where there is a channel", () => {
    const system = new HandDriven(new Topology(["a", "b", "c"], [{ from: "a", to: "b" }]));
    for (const to of ["c", "a", "nobody"]) {
      expect(thrown(system, to, "hello")).toMatchObject({
        code: "NO_CHANNEL",
        message: `there is no channel from a to ${to}`,
      });
    }
  });

  test("that its codec cannot encode is refused, and the turn goes on", () => {
    const system = new HandDriven(["a", "b"]);
    const { code, message } = thrown(system, "b", undefined);
    expect(code).toBe("BAD_MESSAGE");
    expect(message).toContain("json cannot encode it");
    request(system, "a", "");
    expect(system.process("a").state.failed).toBe(false);
  });

  test("that its receiver cannot decode is reported and left out, and the others are not", () => {
    const codec = jsonCodec<string>();
    const messageCodec = {
      ...codec,
      decode: (bytes: Uint8Array) => {
        const text = codec.decode(bytes);
        if (text === "poison") throw new TypeError("it tastes bitter");
        return text;
      },
    };
    const system = new HandDriven(["a", "b"], { messageCodec });
    system.probe("a").on.request = (_id, _request, turn) => {
      for (const text of ["one", "poison", "two"]) turn.send("b", text);
    };
    request(system, "a", "");
    system.run();
    expect(system.probe("b").log).toEqual(["a: one", "a: two"]);
    expect(system.problems("b")).toEqual([
      "UNREADABLE_MESSAGE: dropped a message of a: json cannot decode it: it tastes bitter",
    ]);
    // It was received all the same: both ends count the same, and the proof holds.
    const snapshot = system.snapshot("a");
    system.run();
    expect(system.ending("a", snapshot)).toBe("complete");
    expect(system.all("b", "piece")[0]?.recorded.incoming).toMatchObject([{ received: 3 }]);
  });
});

describe("manual receiving", () => {
  const manual = (): HandDriven => new HandDriven(["a", "b"], { receive: "manual" });
  const take = (system: HandDriven, id: string, from: string) =>
    system.step(id, { type: "receive", from }).find((effect) => effect.type === "received")
      ?.received;

  test("takes the head of a channel, one at a time, and nothing if there is none", () => {
    const system = manual();
    request(system, "a", "b: one");
    request(system, "a", "b: two");
    system.run();
    expect(system.process("b").waiting("a")).toBe(2);
    expect(system.probe("b").log).toEqual([]);
    expect(take(system, "b", "a")).toEqual({ kind: "message", from: "a", message: "one" });
    expect(system.probe("b").log).toEqual(["a: one"]);
    expect(take(system, "b", "a")).toMatchObject({ message: "two" });
    expect(take(system, "b", "a")).toBeUndefined();
    expect(take(system, "b", "nobody")).toBeUndefined();
  });

  test("what waits is channel state, and a marker that waits closes nothing yet", () => {
    const system = manual();
    request(system, "a", "b: one");
    system.run();
    system.probe("b").state = "before one";
    const snapshot = system.snapshot("b");
    system.run();
    expect(system.all("b", "recorded")).toHaveLength(1);
    expect(take(system, "a", "b")).toEqual({ kind: "marker", from: "b", snapshot });
    system.run();
    expect(system.process("b").waiting("a")).toBe(2);
    expect(system.process("b").recorded(snapshot)?.incoming).toEqual([
      { from: "a", closed: false, messages: [] },
    ]);
    expect(take(system, "b", "a")).toMatchObject({ message: "one" });
    expect(take(system, "b", "a")).toEqual({ kind: "marker", from: "a", snapshot });
    system.run();
    expect(system.ending("b", snapshot)).toBe("complete");
    const piece = system.all("b", "piece")[0];
    expect(plainOf(piece?.state)).toBe("before one");
    expect(piece?.recorded.incoming).toMatchObject([{ received: 0, inFlight: 1 }]);
    const texts = (piece?.recorded.incoming[0]?.messages ?? []).flatMap((run) =>
      readRecords(run).map((content) => jsonCodec().decode(content)),
    );
    expect(texts).toEqual(["one"]);
  });

  test("a sender is held up by what is not taken, and hears when it is", () => {
    const system = new HandDriven(["a", "b"], {
      receive: "manual",
      windowBytes: 100,
      limitBytes: 1e6,
    });
    for (let i = 0; i < 50; i += 1) request(system, "a", `b: ${"x".repeat(30)}`);
    system.run();
    expect(system.process("b").waiting("a")).toBeLessThan(5);
    expect(system.process("a").congested).toBe(true);
    for (let taken = 0; taken < 50; ) {
      if (take(system, "b", "a")) taken += 1;
      else system.pass(100);
      system.run();
    }
    system.pass(1_000);
    system.run();
    expect(system.process("a").congested).toBe(false);
    expect(system.process("a").explain().channels).toEqual([]);
  });

  test("a message that cannot be decoded is taken, and told of", () => {
    const system = new HandDriven(["a", "b"], {
      receive: "manual",
      messageCodec: {
        ...jsonCodec<string>(),
        decode: () => {
          throw new TypeError("no");
        },
      },
    });
    request(system, "a", "b: one");
    system.run();
    expect(take(system, "b", "a")).toBeUndefined();
    expect(system.problems("b")[0]).toContain("UNREADABLE_MESSAGE");
    expect(system.process("b").waiting("a")).toBe(0);
  });
});

describe("options", () => {
  test.each([
    { maxFrameBytes: 16_383 },
    { windowBytes: 0 },
    { windowBytes: 1.5 },
    { windowBytes: 2 ** 53 },
    { epoch: -1 },
    { epoch: 2 ** 32 },
  ])("%o cannot be used", (options) => {
    expect(() => new HandDriven(["a"], options)).toThrow(
      expect.objectContaining({ code: "BAD_OPTION" }),
    );
  });
});

test("frames of strangers and frames that are not frames are reported and dropped", () => {
  const system = new HandDriven(["a", "b"]);
  const good = (): Uint8Array => {
    request(system, "a", "b: hello");
    return system.wire("a", "b").pop() as Uint8Array;
  };
  const changed = (at: number, value: number): Uint8Array => {
    const frame = good().slice();
    frame[at] = value;
    return frame;
  };
  system.step("b", { type: "frame", from: "nobody", frame: good() });
  system.step("b", { type: "frame", from: "a", frame: new Uint8Array(5) });
  system.step("b", { type: "frame", from: "a", frame: changed(1, 9) });
  expect(system.problems("b")).toEqual([
    "MALFORMED_FRAME: dropped a frame of nobody: it is not a peer",
    "MALFORMED_FRAME: dropped a frame of a: a frame of 5 bytes is too short",
    "MALFORMED_FRAME: dropped a frame of a: unknown stream 9",
  ]);
  expect(system.probe("b").log).toEqual([]);
});

test("a batch of an unknown kind is reported and dropped, and what comes behind it is received", () => {
  for (const receive of ["auto", "manual"] as const) {
    const system = new HandDriven(["a", "b"], { receive });
    request(system, "a", "b: one");
    request(system, "a", "b: two");
    for (const [i, frame] of system.wire("a", "b").splice(0).entries()) {
      const altered = frame.slice();
      if (i === 0) altered[2] = 9;
      system.step("b", { type: "frame", from: "a", frame: altered });
    }
    const taken = [1, 2].map(() => system.step("b", { type: "receive", from: "a" }));
    expect(system.problems("b")).toEqual([
      "MALFORMED_FRAME: dropped a batch of a of the unknown kind 9",
    ]);
    expect(system.probe("b").log).toEqual(["a: two"]);
    if (receive === "manual")
      expect(taken.flat().filter(({ type }) => type === "received")).toEqual([
        { type: "received", received: undefined },
        { type: "received", received: { kind: "message", from: "a", message: "two" } },
      ]);
  }
});

test("who has no channel to here is not heard, however it numbers its frames", () => {
  // As a sees it there is a channel; as b sees it there is not.
  const system = new HandDriven(new Topology(["a", "b"], [{ from: "a", to: "b" }]));
  const deaf = new Topology(["a", "b"], [{ from: "b", to: "a" }]);
  system.step("b", { type: "topology", topology: deaf });
  request(system, "a", "b: hello");
  system.run();
  expect(system.probe("b").log).toEqual([]);
  expect(system.problems("b")).toEqual([
    "MALFORMED_FRAME: dropped a message of a: it has no channel to here",
  ]);
});

test("a process asks to be woken for what is due first, and again for what is left", () => {
  const system = new HandDriven(["a", "b"]);
  system.cut("a", "b");
  const wakes = (): number[] =>
    system
      .step("a", { type: "tick" })
      .flatMap((effect) => (effect.type === "wake" ? [effect.atMs] : []));
  // The peer is lost after five seconds.
  expect(wakes()).toEqual([6_000]);
  system.nowMs = 6_000;
  expect(wakes()).toEqual([]);
});

test("an answer of the application to an early batch belongs to the cut that comes behind it in the same turn", () => {
  // Messages and marker of a come at once, for the first frame was late: what b sends in answer is sent before it records.
  const system = new HandDriven(["a", "b", "c"], { reliable: false });
  system.probe("b").on.receive = (_from, _message, turn) => {
    turn.send("c", "answer");
  };
  request(system, "a", "b: question");
  const snapshot = system.snapshot("a");
  const late = system.wire("a", "b").splice(0);
  for (const frame of late.toReversed()) system.step("b", { type: "frame", from: "a", frame });
  const kinds = system.wire("b", "c").map((frame) => {
    const parsed = parseFrame(frame);
    return typeof parsed === "string" ? parsed : parsed.batch?.kind;
  });
  expect(kinds.filter((kind) => kind !== undefined)).toEqual([KIND_MESSAGES, KIND_MARKER]);
  system.run();
  expect(system.ending("a", snapshot)).toBe("complete");
  expect(system.all("b", "piece")[0]?.recorded.outgoing).toMatchObject([
    { to: "a", sent: 0 },
    { to: "c", sent: 1 },
  ]);
});
