// What `npm run scale` writes: docs/internals/scale.md, and its plot.
import { type Counted, MESSAGE_BYTES, OUTGOING } from "./scale-network.ts";

/** What differs from one computer to the other. */
export interface Measured {
  readonly family: string;
  readonly processes: number;
  readonly channels: number;
  /** Held by the recordings of one snapshot, of all processes together. */
  readonly bytes: number;
  readonly wallMs: number;
}

const whole = (value: number): string => value.toLocaleString("en");
/** Three digits that count. */
const short = (value: number): string =>
  value.toLocaleString("en", { maximumSignificantDigits: 3, useGrouping: true });

const row = (...cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

function countedLine(counted: Counted): string {
  const { family, processes, channels, markers, hops, messages, inFlight } = counted;
  return row(family, ...[processes, channels, markers, hops, messages, inFlight].map(whole));
}

function largest<T extends { readonly family: string }>(runs: readonly T[], name: string): T {
  const run = runs.findLast(({ family }) => family === name);
  if (!run) throw new Error(`no ${name} was run`);
  return run;
}

/** Where a mesh of so many processes needs more markers than the largest random graph. */
function crossing(counted: readonly Counted[]): { readonly graph: Counted; readonly mesh: number } {
  const graph = largest(counted, "random graph");
  let mesh = 2;
  while (mesh * (mesh - 1) <= graph.markers) mesh += 1;
  return { graph, mesh };
}

/** All of the page that is the same on every computer. */
export function countedPart(counted: readonly Counted[]): string {
  const { graph, mesh } = crossing(counted);
  const most = largest(counted, "full mesh");
  const ring = largest(counted, "ring");
  return `# Scale, simulated

What one snapshot takes, by the shape of the channels. \`npm run scale\` writes this page and the plot: it runs the shipping machine
([chandy-lamport.ts](../../src/snapshot/chandy-lamport.ts)) of every process in one thread, on channels on which everything takes
one hop. There is no link and no application state, and the few words that each process has with the initiator, on links of their
own, are not counted.

![Markers of one snapshot against processes, both on logarithmic scales](scale.svg)

## Where n(n − 1) markers stop being sensible

**At ${mesh} processes.** A full mesh has its snapshot after ${most.hops} hops, whatever its size, and pays with n(n − 1) markers. From
${mesh} processes on these are more than the ${whole(graph.markers)} of a random graph of ${whole(graph.processes)}, in which each process has ${OUTGOING} outgoing channels, and
which needs ${graph.hops} hops. A mesh of ${most.processes} sends ${whole(most.markers)}: each process ${whole(most.processes - 1)}, all together ${short(most.markers / graph.markers)} times as many as that graph, and
${short(most.markers / most.messages)} for each message that its processes send meanwhile at one message a hop. So beyond ${mesh} processes, give each
some ${OUTGOING} channels, over which it reaches all the others, and pass messages on. A ring is the other end: ${whole(ring.markers)} markers for
${whole(ring.processes)} processes, and ${whole(ring.hops)} hops.

## Counted

The same on every computer; a test compares it. *Markers*: one on every channel. *Hops*: from the first recording until the last
piece is complete. *Messages*: what the processes send in that time, each one message of ${MESSAGE_BYTES} bytes in every hop, on one of its
channels at random; they do not change the other figures. *In flight*: messages that were recorded in some channel.

Ring: one way. Binary tree: both ways; the snapshot begins at its root. Random graph: ${OUTGOING} outgoing channels from every process, one of
them along a ring through all. Full mesh: a channel each way between any two.

${row("channels form a", "processes", "channels", "markers", "hops", "messages", "in flight")}
| --- |${" --: |".repeat(6)}
${counted.map(countedLine).join("\n")}
`;
}

/** What was measured on this computer. */
export function measuredPart(measured: readonly Measured[]): string {
  const held = (family: string): string => {
    const { processes, bytes } = largest(measured, family);
    return `${whole(processes)} hold ${short(bytes / 1e6)} MB, ${short(bytes / processes / 1e3)} KB a process`;
  };
  return `## Measured

On one computer with Node ${process.versions.node}; elsewhere other figures. *Memory*: the heap, after a full collection, less what it was
before the snapshot, when the last process has recorded and nothing is stored yet; of an idle system, whose channels are empty. A
channel is held at both ends: how much was sent, how much received, and the hash over it. *Wall time*: from the first recording to
the last piece, all processes in one thread.

The recordings of a full mesh of ${held("full mesh")}; those of a random graph of ${held("random graph")}.

${row("channels form a", "processes", "memory, KB", "bytes a channel", "wall time, ms", "µs a marker")}
| --- |${" --: |".repeat(5)}
${measured
  .map(({ family, processes, channels, bytes, wallMs }) =>
    row(
      family,
      whole(processes),
      short(bytes / 1e3),
      short(bytes / channels),
      short(wallMs),
      short((wallMs * 1e3) / channels),
    ),
  )
  .join("\n")}
`;
}

// The plot, in units of its own.
const WIDTH = 760;
const HEIGHT = 500;
const LEFT = 84;
const RIGHT = 620;
const TOP = 24;
const BOTTOM = 436;
const INK = "#1a1a1a";
const COLOURS = ["#0b6e4f", "#8a4b08", "#1f4fa3", "#a3155b"];

/** Decades of markers, and of processes. */
const [LOW_Y, HIGH_Y, LOW_X, HIGH_X] = [1, 5, 1, 3];

const at = (value: number): string => value.toFixed(1);
const xOf = (processes: number): number =>
  LEFT + ((Math.log10(processes) - LOW_X) / (HIGH_X - LOW_X)) * (RIGHT - LEFT);
const yOf = (markers: number): number =>
  BOTTOM - ((Math.log10(markers) - LOW_Y) / (HIGH_Y - LOW_Y)) * (BOTTOM - TOP);

/** Markers against processes, on logarithmic scales, one line for each family. */
export function plot(counted: readonly Counted[]): string {
  const parts: string[] = [];
  const text = (x: number, y: number, words: string, more = ""): void => {
    parts.push(`<text x="${at(x)}" y="${at(y)}"${more}>${words}</text>`);
  };
  const line = (x1: number, y1: number, x2: number, y2: number, more: string): void => {
    parts.push(`<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" ${more}/>`);
  };
  for (const processes of [10, 20, 50, 100, 200, 500, 1000]) {
    line(xOf(processes), TOP, xOf(processes), BOTTOM, 'stroke="#d9d9d9"');
    text(xOf(processes), BOTTOM + 20, whole(processes), ' text-anchor="middle"');
  }
  for (const markers of [10, 100, 1000, 10_000, 100_000]) {
    line(LEFT, yOf(markers), RIGHT, yOf(markers), 'stroke="#d9d9d9"');
    text(LEFT - 10, yOf(markers) + 5, whole(markers), ' text-anchor="end"');
  }
  line(LEFT, BOTTOM, RIGHT, BOTTOM, `stroke="${INK}"`);
  line(LEFT, TOP, LEFT, BOTTOM, `stroke="${INK}"`);
  text((LEFT + RIGHT) / 2, BOTTOM + 46, "processes", ' text-anchor="middle"');
  const middle = (TOP + BOTTOM) / 2;
  text(20, middle, "markers", ` text-anchor="middle" transform="rotate(-90 20 ${at(middle)})"`);

  const { graph, mesh } = crossing(counted);
  const level = yOf(graph.markers);
  line(xOf(mesh), level, xOf(graph.processes), level, `stroke="${INK}" stroke-dasharray="4 4"`);
  const words = `as many as a mesh of ${mesh}`;
  // The grid is not to run through it.
  text(
    xOf(mesh) + 14,
    level + 18,
    words,
    ' stroke="#ffffff" stroke-width="4" paint-order="stroke"',
  );

  const families = [...new Set(counted.map(({ family }) => family))];
  for (const [i, name] of families.entries()) {
    const points = counted
      .filter(({ family }) => family === name)
      .map(({ processes, markers }) => [xOf(processes), yOf(markers)] as const);
    const colour = COLOURS[i] ?? INK;
    const path = points.map(([x, y]) => `${at(x)},${at(y)}`).join(" ");
    parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const [x, y] of points)
      parts.push(`<circle cx="${at(x)}" cy="${at(y)}" r="3.5" fill="${colour}"/>`);
    const [x, y] = points.at(-1) ?? [0, 0];
    text(x + 12, y + 5, name, ` fill="${colour}" font-weight="600"`);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img"
  font-family="system-ui, sans-serif" font-size="14" fill="${INK}">
<title>Markers of one snapshot against processes</title>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>
${parts.join("\n")}
</svg>
`;
}
