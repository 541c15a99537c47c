/** What goods add up to over the last looks: all of them, what they should be, and how much of them was in flight. */

import type { SumPoint } from "../../src/serve/web/api.ts";
import { clockTime, counted, grouped } from "../parts/words.ts";

const WIDTH = 420;
const HEIGHT = 110;
const EDGE = 8;

export function SumChart({ points }: { readonly points: readonly SumPoint[] }) {
  const [first] = points;
  const last = points.at(-1);
  if (!first || !last) return undefined;
  const most = Math.max(1, ...points.map(({ sum, expected }) => Math.max(sum, expected))) * 1.08;
  const least = Math.min(0, ...points.map(({ sum }) => sum));
  const spanMs = Math.max(1, last.atMs - first.atMs);
  const x = (atMs: number): number => ((atMs - first.atMs) / spanMs) * WIDTH;
  const y = (amount: number): number =>
    HEIGHT - EDGE - ((amount - least) / (most - least)) * (HEIGHT - 2 * EDGE);
  const along = (of: (point: SumPoint) => number): string => {
    const places = points.map((point) => `${x(point.atMs).toFixed(1)},${y(of(point)).toFixed(1)}`);
    // One look alone is a line all the same.
    if (points.length === 1) places.push(`${WIDTH},${y(of(last)).toFixed(1)}`);
    return places.join("L");
  };
  const wrong = points.filter(({ sum, expected }) => sum !== expected);
  const summary =
    wrong.length === 0
      ? `all ${grouped(last.expected)} at each of ${counted(points.length, "look")}`
      : `not ${grouped(last.expected)} at ${grouped(wrong.length)} of ${counted(points.length, "look")}`;
  return (
    <figure className="sum-chart">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`The sum over time: ${summary}`}
      >
        <path
          className="flight"
          d={`M0,${y(0).toFixed(1)}L${along(({ inFlight }) => inFlight)}L${WIDTH},${y(0).toFixed(1)}Z`}
        />
        <path className="expected" d={`M${along(({ expected }) => expected)}`} />
        <path
          className={last.sum === last.expected ? "sum" : "sum is-wrong"}
          d={`M${along(({ sum }) => sum)}`}
        />
      </svg>
      <figcaption className="dim">
        <span>
          <b className="sum">━</b> {grouped(last.sum)} of {grouped(last.expected)}
        </span>
        <span>
          <b className="flight">▆</b> {grouped(last.inFlight)} of it in flight
        </span>
        <span>
          {clockTime(first.atMs)} – {clockTime(last.atMs)}
        </span>
      </figcaption>
    </figure>
  );
}
