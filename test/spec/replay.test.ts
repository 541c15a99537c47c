// What the models of spec/ do in random runs, done again by the shipping machines and compared after every step. Then the same
// with a machine that is wrong, and with a model that is: each must be found.
import { describe, expect, test } from "vitest";
import { Link, type LinkEffect, type LinkInput } from "../../src/link/link.ts";
import { ChandyLamport } from "../../src/snapshot/chandy-lamport.ts";
import type {
  SnapshotEffect,
  SnapshotInput,
  SnapshotMachine,
} from "../../src/snapshot/recordings.ts";
import { specs } from "../../tools/quint.ts";
import { cases } from "../support/soak.ts";
import { LinkReplica, type Seen as LinkSeen } from "./support/link-replica.ts";
import {
  type Planted,
  replayAll,
  replayWhole,
  sampleOf,
  testPlanted,
  timeout,
} from "./support/models.ts";
import { SnapshotReplica, type Seen as SnapshotSeen } from "./support/snapshot-replica.ts";

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
  testPlanted(
    cases("spec", planted.slice(0, 1), planted),
    spec,
    steps,
    (first) => new SnapshotReplica(first, nothing()),
    /step .*: at \/processes\//,
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
  testPlanted(
    cases("spec", planted.slice(0, 1), planted),
    spec,
    steps,
    () => new LinkReplica(nothing()),
    /step .*: at \//,
  );
});
