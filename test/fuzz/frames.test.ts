// Whatever a peer sends, a process goes on: it throws nothing, hangs nowhere, keeps no more than it should, and its traffic
// with the others goes on unharmed.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.ts";
import { Topology } from "../../src/core/topology.ts";
import { beyondBounds } from "../support/bounded.ts";
import { Forger } from "../support/forger.ts";
import { HandDriven } from "../support/hand-driven.ts";
import { cases, fuzzed } from "../support/soak.ts";
import { LIMIT_BYTES, MAX_FRAME_BYTES, World, type WorldOptions } from "../support/world.ts";
import { worldOf } from "../support/worlds.ts";

const MINUTE_MS = 60_000;

/** A world in which one of four processes has its frames forged; gives how many, and how many snapshots completed. */
function hostileWorld(seed: number): { readonly forged: number; readonly complete: number } {
  const random = new Random(`hostile ${seed}`);
  const usual = worldOf(seed);
  const { joins: _, ...options } = usual;
  const hostile = "h";
  const clumsy = random.chance(0.5);
  let forged = 0;
  const meddle = (from: string, to: string, frame: Uint8Array): Uint8Array[] => {
    forger.remember(frame);
    const life = world.lives.get(to);
    const links = life?.process.state.links.find(({ peer }) => peer === from);
    if (from !== hostile || !life || !links) return [frame];
    const beyond = beyondBounds(life.process.state, {
      processes: 4,
      windowBytes: options.windowBytes,
      limitBytes: LIMIT_BYTES,
      maxFrameBytes: MAX_FRAME_BYTES,
    });
    if (beyond !== undefined) throw new Error(`${to} keeps too much: ${beyond}`);
    const victim = {
      incarnation: life.life,
      view: life.process.topology.fingerprint,
      channel: links.channel,
      control: links.control,
    };
    const more = Array.from({ length: random.below(5) }, () => forger.forge(victim, clumsy));
    forged += more.length;
    return clumsy || random.chance(0.5) ? [frame, ...more] : more;
  };
  const settings: WorldOptions = {
    ...options,
    ...([{}, { algorithm: "lai-yang" }, { order: "none" }] as const)[seed % 3],
    topology: new Topology(["p1", "p2", "p3", hostile]),
    budget: 40,
    hostile,
    meddle,
  };
  const world = new World(settings);
  const lives = new Map([...world.lives].reverse().map(([id, { life }]) => [id, life]));
  const forger = new Forger(`hostile ${seed}`, { lives }, MAX_FRAME_BYTES);
  try {
    const { complete } = world.run();
    return { forged, complete };
  } catch (thrown) {
    throw new Error(`SEED=${seed}: ${(thrown as Error).message}`, { cause: thrown });
  }
}

const SEEDS_LEAST = 16;

test(
  "in a whole system the others' messages arrive once, in order if there is one, and their cuts are consistent",
  () => {
    const only = process.env["SEED"];
    if (only !== undefined) {
      hostileWorld(Number(only));
      return;
    }
    const most = cases("fuzz-frames", 4_000, 500_000);
    const sum = { forged: 0, complete: 0, seeds: 0 };
    // A few worlds may have most of them.
    while (sum.forged < most || sum.seeds < SEEDS_LEAST) {
      sum.seeds += 1;
      const { forged, complete } = hostileWorld(sum.seeds);
      sum.forged += forged;
      sum.complete += complete;
    }
    fuzzed("frames", sum.forged);
    // Where the forger is clumsy.
    expect(sum.complete).toBeGreaterThan(sum.seeds / 4);
  },
  cases("fuzz-frames", 2, 30) * MINUTE_MS,
);

test(
  "a process that lives long keeps as little at the end as at the beginning",
  async () => {
    const child = fileURLToPath(new URL("./frames-child.ts", import.meta.url));
    const frames = cases("fuzz-frames", 4_000, 500_000);
    for (const seed of [1, 2, 3]) {
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ["--expose-gc", child, `${frames}`, `${seed}`],
        { timeout: cases("fuzz-frames", 1, 30) * MINUTE_MS },
      );
      const outcome: {
        readonly accepted: number;
        readonly slowestMs: number;
        readonly honest: number;
        readonly heap: readonly number[];
        readonly failed: boolean;
        readonly problems: Readonly<Record<string, number>>;
      } = JSON.parse(stdout);
      expect(outcome.failed).toBe(false);
      fuzzed("frames", frames);
      // Much of it got past the link, and much was reported.
      expect(outcome.accepted).toBeGreaterThan(frames / 5);
      expect(outcome.problems["MALFORMED_FRAME"]).toBeGreaterThan(frames / 5);
      expect(outcome.honest).toBeGreaterThan(frames / 100);
      expect(outcome.slowestMs).toBeLessThan(1_000);
      // When the code is warm and what is bounded has filled.
      const warm = outcome.heap[Math.floor(outcome.heap.length / 4)] ?? 0;
      expect(outcome.heap.at(-1) ?? 0).toBeLessThan(warm + 4_000_000);
    }
  },
  3 * cases("fuzz-frames", 1, 30) * MINUTE_MS,
);

describe("the checks can fail", () => {
  test("what is beyond its bound is named", () => {
    const system = new HandDriven(["a", "b"]);
    const bounds = { processes: 2, windowBytes: 1, limitBytes: 1, maxFrameBytes: 1 };
    expect(beyondBounds(system.process("a").state, bounds)).toBeUndefined();
    system.step("a", { type: "request", id: 1, request: "b: hello" });
    expect(beyondBounds(system.process("a").state, bounds)).toBe(
      "bytes for b's channel: 12, at the most 2 are right",
    );
  });
});
