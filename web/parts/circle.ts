/** Things on a circle with arrows between them: where they stand, and how an arrow goes. */

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** The first stands at the top, and the others follow clockwise; one alone in the middle. */
export function onCircle(
  count: number,
  centre: Point,
  radius: { readonly x: number; readonly y: number },
): readonly Point[] {
  if (count === 1) return [centre];
  // Two stand side by side, where there is more room between them.
  const first = count === 2 ? Math.PI : -Math.PI / 2;
  return Array.from({ length: count }, (_, i) => {
    const angle = first + (2 * Math.PI * i) / count;
    return { x: centre.x + radius.x * Math.cos(angle), y: centre.y + radius.y * Math.sin(angle) };
  });
}

/** An arrow from the edge of one to the edge of another, bent to its own side, so that one in each direction can be seen. */
export function arrow(
  from: Point,
  to: Point,
  gap: number,
): { readonly path: string; readonly label: Point } {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [dx / length, dy / length];
  const bend = Math.min(length * 0.14, 34);
  const control = {
    x: (from.x + to.x) / 2 - uy * bend,
    y: (from.y + to.y) / 2 + ux * bend,
  };
  const start = towards(from, control, gap);
  const end = towards(to, control, gap + 4);
  const on = (a: number, b: number, c: number): number =>
    (1 - LABEL) ** 2 * a + 2 * LABEL * (1 - LABEL) * b + LABEL ** 2 * c;
  const label = { x: on(start.x, control.x, end.x), y: on(start.y, control.y, end.y) };
  return { path: `M${place(start)}Q${place(control)} ${place(end)}`, label };
}

/** What is written on an arrow stands nearer to its beginning: in the middle others cross it. */
const LABEL = 0.34;

function towards(from: Point, to: Point, by: number): Point {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  return {
    x: from.x + ((to.x - from.x) * by) / length,
    y: from.y + ((to.y - from.y) * by) / length,
  };
}

const place = ({ x, y }: Point): string => `${x.toFixed(1)},${y.toFixed(1)}`;
