/**
 * One process that a hostile peer sends frames to for a long time, while it goes on talking to an honest one. Prints what came
 * of it as one line of JSON. Run with --expose-gc; arguments: how many frames, and the seed.
 */

import { Random } from "../../src/core/random.ts";
import { type Codec, jsonCodec } from "../../src/process/codec.ts";
import { beyondBounds } from "../support/bounded.ts";
import { Forger, type Victim } from "../support/forger.ts";
import { HandDriven } from "../support/hand-driven.ts";

const [frames = 0, seed = 0] = process.argv.slice(2).map(Number);
const SAMPLES = 20;
const windowBytes = 20_000;
const limitBytes = 50_000;
const maxFrameBytes = 200_000;

const json = jsonCodec<unknown>();
/** Lets in texts only: whoever sends something else is not to harm the application. */
const messageCodec: Codec<string> = {
  ...json,
  decode: (bytes) => {
    const message = json.decode(bytes);
    if (typeof message === "string") return message;
    throw new TypeError("it is not a text");
  },
};

const ids = ["a", "b", "h"];
const system = new HandDriven(ids, {
  windowBytes,
  limitBytes,
  maxFrameBytes,
  reliable: seed % 2 === 0,
  receive: seed % 3 === 0 ? "manual" : "auto",
  order: seed % 3 === 1 ? "none" : "fifo",
  lostAfterMs: 1e9,
  messageCodec,
});
const random = new Random(seed);
const lives = new Map([
  ["h", 101],
  ["a", 101],
  ["b", 101],
]);
let forger = new Forger(seed, { lives }, maxFrameBytes);
let life = 101;

const victim = (): Victim => {
  const { channel, control } =
    system.process("a").state.links.find(({ peer }) => peer === "h") ?? {};
  if (!channel || !control) throw new Error("a knows h");
  return { incarnation: 101, view: system.topology.fingerprint, channel, control };
};

/** Numbers both ways between the honest ones, each as it must be. */
const sent = { a: 0, b: 0 };
const received = { a: 0, b: 0 };
const honest = (): void => {
  if (system.process("a").state.failed) throw new Error("a has failed");
  for (const [from, to] of [
    ["a", "b"],
    ["b", "a"],
  ] as const) {
    sent[from] += 1;
    system.step(from, { type: "request", id: 1, request: `${to}: ${sent[from]}` });
  }
  settle();
  for (const [from, to] of [
    ["a", "b"],
    ["b", "a"],
  ] as const) {
    for (const line of system.probe(to).log) {
      if (!line.startsWith(`${from}: `)) continue;
      received[to] += 1;
      if (line !== `${from}: ${received[to]}`) throw new Error(`${to} got ${line} too early`);
    }
    if (received[to] !== sent[from]) throw new Error(`${to} has not got ${sent[from]}`);
  }
};

/** Everything between the honest ones arrives and is taken; what goes to h goes nowhere. */
const settle = (): void => {
  for (let round = 0; round < 50; round += 1) {
    for (const id of ["a", "b"]) system.wire(id, "h").length = 0;
    system.run(["h a", "h b"]);
    for (const [id, from] of [
      ["a", "b"],
      ["b", "a"],
      ["a", "h"],
    ] as const)
      while (system.process(id).waiting(from) > 0) system.step(id, { type: "receive", from });
    system.pass(5);
    if ([...system.wires.values()].every((wire) => wire.length === 0)) return;
  }
};

const forget = (): void => {
  for (const id of ids) {
    system.probe(id).log.length = 0;
    system.effects.get(id)?.splice(0);
  }
};

const heap: number[] = [];
const problems = new Map<string, number>();
const startedMs = performance.now();
let slowestMs = 0;
let accepted = 0;
for (let i = 0; i < frames; i += 1) {
  const { channel, control } = victim();
  const before = channel.expected + control.expected;
  const frame = forger.forge(victim(), false);
  const atMs = performance.now();
  system.step("a", { type: "frame", from: "h", frame });
  slowestMs = Math.max(slowestMs, performance.now() - atMs);
  if (channel.expected + control.expected > before) accepted += 1;
  if (random.chance(0.01)) {
    const beyond = beyondBounds(system.process("a").state, {
      processes: 3,
      windowBytes,
      limitBytes,
      maxFrameBytes,
    });
    if (beyond) throw new Error(beyond);
    for (const { error } of system.all("a", "problem"))
      problems.set(error.code, (problems.get(error.code) ?? 0) + 1);
    honest();
    forget();
  }
  if (random.chance(0.002)) system.pass(random.below(2_000));
  if (random.chance(0.001)) {
    system.snapshot("b", 500);
    system.snapshot("a", 500);
  }
  if (random.chance(0.000_2)) {
    // It comes back, as the same or as another.
    if (random.chance(0.5)) life += 1;
    lives.set("h", life);
    system.step("a", { type: "peer-down", peer: "h", reason: "it hung up" });
    system.step("a", { type: "peer-up", peer: "h", incarnation: life });
    if (random.chance(0.5)) forger = new Forger(`${seed} ${i}`, { lives }, maxFrameBytes);
  }
  if (i % Math.ceil(frames / SAMPLES) === 0) {
    forget();
    globalThis.gc?.();
    heap.push(process.memoryUsage().heapUsed);
  }
}
process.stdout.write(
  `${JSON.stringify({
    frames,
    accepted,
    ms: Math.round(performance.now() - startedMs),
    slowestMs,
    heap,
    honest: received.a + received.b,
    problems: Object.fromEntries(problems),
    counters: system.process("a").counters,
    failed: system.process("a").state.failed,
  })}\n`,
);
