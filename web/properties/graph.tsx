/** Names with arrows between them, on a circle. */

import { arrow, onCircle, type Point } from "../parts/circle.ts";

export interface GraphNode {
  readonly name: string;
  readonly tone: "plain" | "bad";
  /** Where it is, below it. */
  readonly place?: string;
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  readonly tone: "plain" | "bad";
}

/** More cannot be told apart: they are listed only. */
const NODES_MAX = 16;
const SIZE = { x: 420, y: 300 };
const RADIUS = 24;
const NAME_CHARACTERS = 7;

export function Graph({
  nodes,
  edges,
  label,
}: {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
  readonly label: string;
}) {
  if (nodes.length > NODES_MAX) return undefined;
  const points = onCircle(nodes.length, { x: SIZE.x / 2, y: SIZE.y / 2 }, { x: 150, y: 105 });
  const at = new Map<string, Point>(nodes.map(({ name }, i) => [name, points[i] as Point]));
  return (
    <svg className="graph" viewBox={`0 0 ${SIZE.x} ${SIZE.y}`} role="img" aria-label={label}>
      <defs>
        {["plain", "bad"].map((tone) => (
          <marker
            key={tone}
            id={`graph-${tone}`}
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerWidth="9"
            markerHeight="9"
            markerUnits="userSpaceOnUse"
            orient="auto"
          >
            <path className={tone} d="M0,0L8,4L0,8Z" />
          </marker>
        ))}
      </defs>
      {edges.map(({ from, to, tone }) => (
        <path
          key={`${from} ${to}`}
          className={`line ${tone}`}
          d={
            from === to
              ? loopAt(at.get(from) as Point)
              : arrow(at.get(from) as Point, at.get(to) as Point, RADIUS).path
          }
          markerEnd={`url(#graph-${tone})`}
        />
      ))}
      {nodes.map(({ name, tone, place }) => {
        const { x, y } = at.get(name) as Point;
        return (
          <g key={name} className={tone}>
            <title>{name}</title>
            <circle cx={x} cy={y} r={RADIUS} />
            <text x={x} y={y + 4}>
              {name.length > NAME_CHARACTERS ? `${name.slice(0, NAME_CHARACTERS - 1)}…` : name}
            </text>
            {place !== undefined && (
              <text className="place" x={x} y={y + RADIUS + 13}>
                {place}
              </text>
            )}
          </g>
        );
      })}
    </svg>
  );
}

/** Above it, back to itself. */
const loopAt = ({ x, y }: Point): string =>
  `M${x - 9},${y - RADIUS + 2}C${x - 28},${y - RADIUS - 34} ${x + 28},${y - RADIUS - 34} ${x + 10},${y - RADIUS - 3}`;
