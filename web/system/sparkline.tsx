/** A small picture of the last values; whoever does not see it has the number beside it. */

const WIDTH = 60;
const HEIGHT = 16;

export function Sparkline({ values }: { readonly values: readonly (number | undefined)[] }) {
  const most = Math.max(1, ...values.map((value) => value ?? 0));
  const step = WIDTH / Math.max(1, values.length - 1);
  let isDrawing = false;
  let path = "";
  for (const [i, value] of values.entries()) {
    if (value !== undefined)
      path += `${isDrawing ? "L" : "M"}${(i * step).toFixed(1)},${(HEIGHT - 1 - (value / most) * (HEIGHT - 2)).toFixed(1)}`;
    isDrawing = value !== undefined;
  }
  return (
    <svg
      className="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width={WIDTH}
      height={HEIGHT}
      aria-hidden="true"
    >
      <path d={path} />
    </svg>
  );
}
