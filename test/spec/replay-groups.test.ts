// What the models of multicast do in random runs, done again by shipping groups and compared after every step. Then the same with
// a group that is wrong, and with a model that is: each must be found.
import { describe, expect, test } from "vitest";
import { Group, type GroupEffect, type GroupInput } from "../../src/multicast/group.ts";
import type { AgreementState } from "../../src/multicast/total-order.ts";
import { specs } from "../../tools/quint.ts";
import { cases } from "../support/soak.ts";
import { AgreedReplica, type Seen as AgreedSeen } from "./support/agreed-replica.ts";
import { CausalReplica, type Seen as CausalSeen } from "./support/causal-replica.ts";
import type { Step } from "./support/itf.ts";
import {
  type Planted,
  replayAll,
  replayWhole,
  sampleOf,
  testPlanted,
  timeout,
} from "./support/models.ts";

describe("causal multicast", () => {
  const spec = specs.causalMulticast;
  const steps = 36;
  const sample = sampleOf(spec, steps);
  const nothing = (): CausalSeen => ({ held: 0, overtaken: 0, early: 0, whole: 0 });

  test("the groups do what the model does", { timeout }, async (context) => {
    const seen = nothing();
    await replayWhole(context, spec, sample, seen, (first) => new CausalReplica(first, seen));
  });

  test("a group that takes the past from causal messages only is found", () => {
    class Forgetful extends Group {
      override step(input: GroupInput): readonly GroupEffect[] {
        const before = [...this.state.stamp];
        const effects = super.step(input);
        const causal = effects.some((one) => one.type === "deliver" && one.level === "causal");
        if (input.type === "packet" && !causal)
          this.state.stamp.splice(0, before.length, ...before);
        return effects;
      }
    }
    expect(() =>
      replayAll(
        sample,
        (first) => new CausalReplica(first, nothing(), (options) => new Forgetful(options)),
      ),
    ).toThrow(/any(Receive|Repeat) .*: at \/locals\/.\/stamp\//);
  });

  const planted: readonly Planted[] = [
    {
      what: "nobody waits for the past",
      before: 'held.level != "causal",',
      after: "true,",
      invariant: "causalOrder",
    },
    {
      what: "what asks for FIFO order does not wait for its turn",
      before: 'if (packet.level == "reliable") deliver(',
      after: 'if (packet.level != "causal") deliver(',
      invariant: "fifoOrder",
    },
    {
      what: "the last one is delivered again when it comes again",
      before:
        "(packet.number <= known.received or packet.number.in(known.early.keys())) local\n    else if (packet.number ==",
      after: "(packet.number < known.received) local\n    else if (packet.number <=",
      invariant: "integrity",
    },
    {
      what: "the past comes through causal messages only",
      before: "stamp: latest(local.stamp, held.stamp),",
      after: 'stamp: if (held.level == "causal") latest(local.stamp, held.stamp) else local.stamp,',
      invariant: "stampExact",
    },
  ];
  testPlanted(
    cases("spec", planted.slice(0, 1), planted),
    spec,
    steps,
    (first) => new CausalReplica(first, nothing()),
    /step .*: at \/locals\//,
  );
});

describe("agreed order", () => {
  const spec = specs.agreedOrder;
  const steps = 44;
  const sample = sampleOf(spec, steps);
  const nothing = (): AgreedSeen => ({ ties: 0, overtaken: 0, waits: 0, early: 0, whole: 0 });
  const totalOnly = (first: Step): AgreedReplica => new AgreedReplica(first, nothing(), "total");

  test("the groups do what the model does, with FIFO order and without", {
    timeout,
  }, async (context) => {
    const seen = nothing();
    await replayWhole(
      context,
      spec,
      sample,
      seen,
      (first) => new AgreedReplica(first, seen, "total"),
      (first) => new AgreedReplica(first, seen, "fifo-total"),
    );
  });

  test("a group that proposes places before one that was agreed is found", () => {
    class Hasty extends Group {
      /** As if its clock counted only what it proposes itself. */
      override step(input: GroupInput): readonly GroupEffect[] {
        const order = this.state.order as AgreementState;
        const [before, proposed] = [order.clock, order.line.length];
        const effects = super.step(input);
        if (input.type === "packet" && order.line.length <= proposed) order.clock = before;
        return effects;
      }
    }
    expect(() =>
      replayAll(
        sample,
        (first) => new AgreedReplica(first, nothing(), "total", (options) => new Hasty(options)),
      ),
    ).toThrow(/any(Receive|Repeat) .*: at \/locals\/.\/clock /);
  });

  const planted: readonly Planted[] = [
    {
      what: "the last proposal is agreed",
      before: "val place = if (entry.place > one.place) entry.place else one.place",
      after: "val place = entry.place",
      invariant: "finalIsMaximum",
    },
    {
      what: "what is only proposed is delivered",
      before: "sum.line != [] and sum.line.head().agreed",
      after: "sum.line != []",
      invariant: "agreedOnly",
    },
    {
      what: "two of the same place stand as they came",
      before: "    a.place == b.place and a.id._1 < b.id._1,\n",
      after: "    a.place == b.place and a.agreed and not(b.agreed),\n",
      invariant: "totalOrder",
    },
    {
      what: "places are proposed before one that was agreed",
      before: "clock: if (place > local.clock) place else local.clock,",
      after: "clock: local.clock,",
      invariant: "inPlace",
    },
    {
      what: "what is delivered stays in the line",
      before: "line: sum.line.tail(),",
      after: "line: sum.line,",
      invariant: "integrity",
    },
    {
      what: "later messages get earlier places",
      before: "val messages = came.select(",
      after: "val messages = came.foldl([], (sum, number) => [number].concat(sum)).select(",
      invariant: "fifoOrder",
    },
  ];
  testPlanted(
    cases("spec", planted.slice(0, 1), planted),
    spec,
    steps,
    totalOnly,
    /step .*: at \/locals\//,
  );
});
