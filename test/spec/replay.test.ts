// What the models of spec/ do in random runs, done again by the shipping machines and compared after every step. Then the same
// with a machine that is wrong, and with a model that is: each must be found.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, type TestContext, test } from "vitest";
import { Link, type LinkEffect, type LinkInput } from "../../src/link/link.ts";
import { ChandyLamport } from "../../src/snapshot/chandy-lamport.ts";
import type {
  SnapshotEffect,
  SnapshotInput,
  SnapshotMachine,
} from "../../src/snapshot/recordings.ts";
import { type Spec, specs } from "../../tools/quint.ts";
import { cases } from "../support/soak.ts";
import { type Step, type Trace, traces } from "./support/itf.ts";
import { LinkReplica, type Seen as LinkSeen } from "./support/link-replica.ts";
import { type Replica, replay } from "./support/replay.ts";
import { SnapshotReplica, type Seen as SnapshotSeen } from "./support/snapshot-replica.ts";

const MINUTE_MS = 60_000;
const SAMPLE = 40;
/** Traces more than the sample. */
const more = cases("spec", 0, 1_000);
const timeout = cases("spec", 2, 60) * MINUTE_MS;

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tidemark-replay-"));
});
afterAll(() => rm(folder, { recursive: true }));

const pathOf = ({ file }: Spec): string => fileURLToPath(new URL(`../../${file}`, import.meta.url));

/** The sample of a spec's traces. */
function sampleOf(spec: Spec, steps: number): readonly Trace[] {
  const sample: Trace[] = [];
  beforeAll(async () => {
    const options = { step: "step", steps, count: SAMPLE, seed: 1 };
    for await (const trace of traces(pathOf(spec), options)) sample.push(trace);
  }, timeout);
  return sample;
}

/** A mistake in a model: one text, which it has once, is another one. */
interface Planted {
  readonly what: string;
  readonly before: string;
  readonly after: string;
  /** What it breaks. */
  readonly invariant: string;
}

/** Traces of the model with that mistake, until the invariant is broken. */
async function tracesWith(
  { before, after, invariant }: Planted,
  spec: Spec,
  steps: number,
): Promise<readonly Trace[]> {
  const parts = (await readFile(pathOf(spec), "utf8")).split(before);
  expect(parts).toHaveLength(2);
  const file = join(folder, `${spec.name}.qnt`);
  await writeFile(file, parts.join(after));
  const found: Trace[] = [];
  const options = { step: "step", steps, count: SAMPLE, seed: 1, invariants: [invariant] };
  for await (const trace of traces(file, options)) found.push(trace);
  return found;
}

function replayAll(some: readonly Trace[], start: (first: Step) => Replica): void {
  for (const trace of some) replay(trace, start);
}

/** The sample, and when it is soaked more. */
async function replayWhole(
  { annotate }: TestContext,
  spec: Spec,
  sample: readonly Trace[],
  seen: SnapshotSeen | LinkSeen,
  start: (first: Step) => Replica,
): Promise<void> {
  const steps = (sample[0]?.steps.length ?? 0) - 1;
  const [runs, compared] = [SAMPLE + more, { runs: 0, steps: 0 }];
  const one = (trace: Trace): void => {
    compared.steps += replay(trace, start);
    compared.runs += 1;
  };
  sample.forEach(one);
  if (more > 0) {
    const options = { step: "step", steps, count: more, seed: 1_001 };
    for await (const trace of traces(pathOf(spec), options)) one(trace);
  }
  await annotate(JSON.stringify({ compared, seen }));
  expect(compared.runs).toBe(runs);
  // A run ends early where nothing can happen any more.
  expect(compared.steps).toBeGreaterThan(0.95 * runs * steps);
  for (const often of Object.values(seen)) expect(often).toBeGreaterThan(0);
}

describe("snapshots", () => {
  const spec = specs.chandyLamport;
  const steps = 40;
  const sample = sampleOf(spec, steps);
  const nothing = (): SnapshotSeen => ({ complete: 0, inFlight: 0, late: 0, settled: 0 });

  test("the machine does what the model does", { timeout }, async (context) => {
    const seen = nothing();
    await replayWhole(context, spec, sample, seen, (first) => new SnapshotReplica(first, seen));
  });

  test("a machine that closes a channel too early is found", () => {
    class Hasty extends ChandyLamport {
      /** The first message on a channel closes it, as its marker should. */
      override step(input: SnapshotInput): readonly SnapshotEffect[] {
        const effects = super.step(input);
        if (input.type !== "received") return effects;
        for (const recording of this.state.recordings.values()) {
          const channel = recording.incoming.get(input.from);
          if (!channel?.open || recording.open === 1) continue;
          channel.open = false;
          recording.open -= 1;
        }
        return effects;
      }
    }
    const hasty = ({ state }: SnapshotMachine): SnapshotMachine =>
      new Hasty(state.view, [...state.incoming.keys()], [...state.outgoing.keys()]);
    expect(() =>
      replayAll(sample, (first) => new SnapshotReplica(first, nothing(), hasty)),
    ).toThrow(/anyReceive .*: at \/processes\/.*\/recordings\/.*\/open\//);
  });

  const planted: readonly Planted[] = [
    {
      what: "a channel is never closed",
      before: "if (from.in(recording.open))",
      after: "if (true)",
      invariant: "channelStateExact",
    },
    {
      what: "another channel is closed too",
      before: ".open.exclude(Set(from))",
      after: '.open.exclude(Set(from, "p2"))',
      invariant: "noSecondClosing",
    },
    {
      what: "an ended snapshot begins again",
      before: "not(isOpen(noted, snapshot) or isOver(noted, snapshot))",
      after: "not(isOpen(noted, snapshot))",
      invariant: "oneMarker",
    },
    {
      what: "what was sent before is not counted",
      before: "sent: local.sent,",
      after: "sent: local.sent.keys().mapBy(_ => 0),",
      invariant: "consistency",
    },
    {
      what: "another state is recorded",
      before: "state: local.balance,",
      after: "state: MONEY,",
      invariant: "recordedConservation",
    },
    {
      what: "money is lost",
      before: "balance: local.balance + amount,",
      after: "balance: local.balance + 1,",
      invariant: "conservation",
    },
    {
      what: "what is received is not counted",
      before: "received: local.received.setBy(from, count => count + 1),",
      after: "received: local.received,",
      invariant: "counters",
    },
  ];
  test.each(cases("spec", planted.slice(0, 1), planted))(
    "a model in which $what is found",
    { timeout },
    async (one) => {
      const wrong = await tracesWith(one, spec, steps);
      expect(wrong.some(({ breaks }) => breaks)).toBe(true);
      expect(() => replayAll(wrong, (first) => new SnapshotReplica(first, nothing()))).toThrow(
        /step .*: at \/processes\//,
      );
    },
  );
});

describe("the link", () => {
  const spec = specs.link;
  const steps = 150;
  const sample = sampleOf(spec, steps);
  const nothing = (): LinkSeen => ({ repeats: 0, early: 0, resumed: 0, whole: 0 });

  test("the machines do what the model does", { timeout }, async (context) => {
    const seen = nothing();
    await replayWhole(context, spec, sample, seen, () => new LinkReplica(seen));
  });

  test("a machine that resumes before it knows where is found", () => {
    class Hasty extends Link {
      override step(input: LinkInput): readonly LinkEffect[] {
        const effects = super.step(input);
        this.state.resuming = false;
        return effects;
      }
    }
    expect(() =>
      replayAll(sample, () => new LinkReplica(nothing(), (options) => new Hasty(options))),
    ).toThrow(/up(Sender|Receiver) .*: at .*\/resuming the model has true, the machine false/);
  });

  const planted: readonly Planted[] = [
    {
      what: "a batch goes beyond the credit",
      before: "batch.first < end.credit",
      after: "batch.first <= end.credit",
      invariant: "credit",
    },
    {
      what: "a repetition is handed up",
      before: "if (endOf(batch) <= end.expected)",
      after: "if (false)",
      invariant: "prefix",
    },
    {
      what: "credit is given for what is not taken",
      before: "credit: end.taken + WINDOW",
      after: "credit: end.expected + WINDOW",
      invariant: "window",
    },
    {
      what: "a batch is forgotten that is only expected",
      before: "endOf(batch) > word.acknowledged",
      after: "batch.first > word.acknowledged",
      invariant: "nothingForgotten",
    },
    {
      what: "a batch has the number after its own",
      before: "first: end.next,",
      after: "first: end.next + 1,",
      invariant: "wellFormed",
    },
  ];
  test.each(cases("spec", planted.slice(0, 1), planted))(
    "a model in which $what is found",
    { timeout },
    async (one) => {
      const wrong = await tracesWith(one, spec, steps);
      expect(wrong.some(({ breaks }) => breaks)).toBe(true);
      expect(() => replayAll(wrong, () => new LinkReplica(nothing()))).toThrow(/step .*: at \//);
    },
  );
});
