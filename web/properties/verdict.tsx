/** What one detector says, and what that rests on, as a picture and in words. */

import type { Blocked, DeadlockEvidence } from "../../src/detect/deadlock.ts";
import type { TerminationEvidence } from "../../src/detect/detection.ts";
import type { GarbageEvidence } from "../../src/detect/garbage.ts";
import type { SumEvidence } from "../../src/detect/sums.ts";
import { type Detection, textOfPlace } from "../../src/detect/verdict.ts";
import type { SumPoint } from "../../src/serve/web/api.ts";
import { clockTime, counted, grouped } from "../parts/words.ts";
import { Graph, type GraphEdge, type GraphNode } from "./graph.tsx";
import { SumChart } from "./sum-chart.tsx";

interface VerdictProps {
  readonly detection: Detection;
  readonly snapshot: string;
  readonly atMs: number;
  readonly points: readonly SumPoint[];
}

export function Verdict({ detection, snapshot, atMs, points }: VerdictProps) {
  const { detector, detected, sentence } = detection;
  const { sign, tone } = lookOf(detector, detected);
  return (
    <article className="card verdict" aria-labelledby={`verdict-${detector}`}>
      <h3 id={`verdict-${detector}`}>
        <span className={tone}>{sign}</span> <code>{detector}</code>
      </h3>
      <p className={detected === false ? "" : tone}>{sentence}</p>
      <Evidence detection={detection} points={points} />
      <p className="dim">
        looked at {clockTime(atMs)}, in {snapshot}
      </p>
    </article>
  );
}

/** That all is done is neither good nor bad. */
export function lookOf(
  detector: string | undefined,
  detected: boolean | null | undefined,
): { readonly sign: string; readonly tone: string } {
  if (detected === null) return { sign: "?", tone: "warn" };
  if (!detected) return { sign: "●", tone: "good" };
  return detector === "termination"
    ? { sign: "◆", tone: "main-colour" }
    : { sign: "▲", tone: "bad" };
}

function Evidence({
  detection,
  points,
}: {
  readonly detection: Detection;
  readonly points: readonly SumPoint[];
}) {
  if (detection.detected === null) {
    // Without an amount to compare it with, a sum is told all the same.
    return points.length > 0 ? <SumChart points={points} /> : undefined;
  }
  const { detector, evidence } = detection;
  switch (detector.split("=")[0]) {
    case "deadlock":
      return <Deadlock evidence={evidence as DeadlockEvidence} />;
    case "garbage":
      return <Garbage evidence={evidence as GarbageEvidence} />;
    case "termination":
      return <Termination evidence={evidence as TerminationEvidence} />;
    case "sum":
    case "token":
      return <Sum evidence={evidence as SumEvidence} points={points} />;
    default:
      return undefined;
  }
}

function Deadlock({ evidence: { knots, behind } }: { readonly evidence: DeadlockEvidence }) {
  if (knots.length === 0) return undefined;
  const inKnots = new Set(knots.flat().map(({ who }) => who));
  const all = [...knots.flat(), ...behind];
  const waiters = new Set(all.map(({ who }) => who));
  const nodes: GraphNode[] = all.map(({ who, at }) => ({
    name: who,
    tone: inKnots.has(who) ? "bad" : "plain",
    ...(at.join() !== who && { place: `at ${at.join(", ")}` }),
  }));
  const edges: GraphEdge[] = all.flatMap(({ who, waits }) =>
    waits.flatMap((wait) =>
      wait.for.map((name) => ({
        from: who,
        to: name,
        tone: inKnots.has(who) && inKnots.has(name) ? ("bad" as const) : ("plain" as const),
      })),
    ),
  );
  for (const { to } of edges) {
    if (waiters.has(to)) continue;
    waiters.add(to);
    nodes.push({ name: to, tone: "plain" });
  }
  return (
    <>
      <Graph nodes={nodes} edges={edges} label="Who waits for whom; the knot is red" />
      <details open={nodes.length > 12}>
        <summary>Who waits for whom</summary>
        <ul>
          {all.map((one) => (
            <li key={one.who} className={inKnots.has(one.who) ? "bad" : undefined}>
              {waitText(one)}
            </li>
          ))}
        </ul>
      </details>
    </>
  );
}

function waitText({ who, at, waits }: Blocked): string {
  const where = at.join() === who ? "" : ` at ${at.join(", ")}`;
  const what = waits.map(({ for: names, need, request }) => {
    const many = need < names.length ? `${need} of ` : "";
    return `${many}${names.join(", ")}${request === undefined ? "" : `: ${request}`}`;
  });
  return `${who}${where} waits for ${what.join("; and for ")}`;
}

function Garbage({
  evidence: { objects, cycles, missing },
}: {
  readonly evidence: GarbageEvidence;
}) {
  if (objects.length === 0 && missing.length === 0) return undefined;
  const inCycles = new Map<string, number>();
  for (const [i, cycle] of cycles.entries()) for (const name of cycle) inCycles.set(name, i);
  const names = new Set(objects.map(({ object }) => object));
  const nodes: GraphNode[] = objects.map((one) => ({
    ...{
      name: one.object,
      tone: inCycles.has(one.object) ? "bad" : "plain",
      place: textOfPlace(one),
    },
  }));
  const edges: GraphEdge[] = objects.flatMap(({ object, refersTo }) =>
    refersTo
      .filter((to) => names.has(to))
      .map((to) => {
        const isOfCycle = inCycles.has(object) && inCycles.get(object) === inCycles.get(to);
        return { from: object, to, tone: isOfCycle ? ("bad" as const) : ("plain" as const) };
      }),
  );
  return (
    <>
      <Graph nodes={nodes} edges={edges} label="Objects that nobody can reach; cycles are red" />
      <details open={nodes.length > 12}>
        <summary>{counted(objects.length, "object")}</summary>
        <ul>
          {objects.map((one) => (
            <li key={one.object}>
              <code>{one.object}</code> at {textOfPlace(one)}
              {one.refersTo.length > 0 && ` → ${one.refersTo.join(", ")}`}
            </li>
          ))}
        </ul>
      </details>
      {missing.length > 0 && (
        <p className="dim">Referred to, and not there: {missing.join(", ")}</p>
      )}
    </>
  );
}

function Termination({ evidence: { active, work } }: { readonly evidence: TerminationEvidence }) {
  if (active.length === 0 && work.length === 0) return undefined;
  return (
    <ul className="work">
      {active.map((id) => (
        <li key={id}>{id} is active</li>
      ))}
      {work.map(({ from, to, messages }) => (
        <li key={`${from} ${to}`}>
          {from} → {to}: {counted(messages, "message")}
        </li>
      ))}
    </ul>
  );
}

function Sum({
  evidence: { places, expected },
  points,
}: {
  readonly evidence: SumEvidence;
  readonly points: readonly SumPoint[];
}) {
  const most = Math.max(1, ...places.map(({ amount }) => Math.abs(amount)));
  return (
    <>
      <SumChart points={points} />
      <table className="places">
        <caption className="hidden">Where it is, of {grouped(expected)}</caption>
        <tbody>
          {places.map((place) => (
            <tr key={textOfPlace(place)}>
              <th scope="row">{textOfPlace(place)}</th>
              <td className="share">
                <span
                  className={"process" in place ? "" : "in-flight"}
                  style={{ width: `${(100 * Math.abs(place.amount)) / most}%` }}
                />
              </td>
              <td className="number">{grouped(place.amount)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
