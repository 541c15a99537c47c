/** Which world a seed stands for. */

import type { ProcessId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { type Channel, Topology } from "../../src/core/topology.ts";
import { type Faults, NO_FAULTS, type WorldOptions } from "./world.ts";

/** A topology of `size` processes in which at least one process reaches all. */
export function topologyOf(random: Random, size: number): Topology {
  const ids: ProcessId[] = Array.from({ length: size }, (_, i) => `p${i + 1}`);
  const ring = ids
    .map((from, i) => ({ from, to: ids[(i + 1) % size] as ProcessId }))
    .filter(({ from, to }) => from !== to);
  switch (random.below(4)) {
    case 0:
      return new Topology(ids);
    case 1:
      return new Topology(ids, ring);
    case 2:
      return new Topology(ids, [...ring, ...ring.map(({ from, to }) => ({ from: to, to: from }))]);
    default: {
      // A tree from one of them, and more channels at random.
      const order = [...ids];
      for (let i = size - 1; i > 0; i -= 1) {
        const j = random.below(i + 1);
        [order[i], order[j]] = [order[j] as ProcessId, order[i] as ProcessId];
      }
      const channels: Channel[] = order
        .slice(1)
        .map((to, i) => ({ from: order[random.below(i + 1)] as ProcessId, to }));
      const density = random.fraction();
      for (const from of ids)
        for (const to of ids)
          if (from !== to && random.chance(density)) channels.push({ from, to });
      return new Topology(ids, channels);
    }
  }
}

/** A quiet world: nothing fails, so every snapshot must complete. */
export function quietWorld(seed: number): WorldOptions {
  const random = new Random(seed);
  return {
    seed,
    topology: topologyOf(random, random.between(2, 5)),
    reliable: true,
    delayMs: random.between(1, 20),
    faults: NO_FAULTS,
    quiet: true,
    healAtMs: 150,
    snapshots: random.between(1, 4),
    timeoutMs: 10_000,
    lostAfterMs: 5000,
    windowBytes: 4096,
    budget: 30,
    manual: 0,
    frozen: 0.3,
  };
}

/** A world with everything in it that can go wrong, some of it, or nothing. */
export function worldOf(seed: number): WorldOptions {
  const random = new Random(`world ${seed}`);
  const reliable = random.chance(0.4);
  const some = (most: number): number => (random.chance(0.5) ? 0 : random.fraction() * most);
  const faults: Faults = {
    loss: reliable ? 0 : some(0.4),
    repeat: 0.05 + some(0.4),
    refuse: some(0.1),
    cuts: random.chance(0.5) ? 0 : random.below(6),
    restarts: random.chance(0.7) ? 0 : random.between(1, 2),
    cutMs: random.pick([30, 300, 3000]) as number,
    storeFails: some(0.1),
    captureThrows: some(0.1),
    givesUp: some(0.3),
  };
  const size = random.pick([2, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8]) as number;
  const joins = random.chance(0.1) ? { joins: "q9" } : {};
  return {
    seed,
    topology: topologyOf(random, size),
    reliable,
    delayMs: random.pick([1, 5, 20, 100]) as number,
    faults,
    healAtMs: random.between(50, 400),
    snapshots: random.between(1, 5),
    timeoutMs: random.pick([50, 500, 5000]) as number,
    lostAfterMs: random.pick([100, 1000, 5000]) as number,
    windowBytes: random.pick([1, 100, 1000, 100_000]) as number,
    budget: Math.ceil(random.between(5, 80) / Math.sqrt(size)),
    manual: random.chance(0.25) ? 0.5 : 0,
    frozen: random.chance(0.5) ? 0.5 : 0,
    ...joins,
  };
}
