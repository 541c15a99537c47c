/** Which part of a picture is seen, and how large: `left` is the x of the picture at the left edge, `scale` how many pixels one of its units is. */

export interface Viewport {
  readonly left: number;
  readonly scale: number;
}

const SCALE_MAX = 4;
/** A picture may be moved so far beyond its end, in pixels. */
const BEYOND = 60;

/** All of a picture, or its beginning if it would be too small to see anything. */
export function fitted(pictureWidth: number, width: number): Viewport {
  return { left: 0, scale: Math.min(SCALE_MAX, (width - BEYOND) / pictureWidth) };
}

/** The nearest one that shows something. */
export function clamp({ left, scale }: Viewport, pictureWidth: number, width: number): Viewport {
  const least = Math.min(1, width / pictureWidth / 1.05);
  const right = Math.max(least, Math.min(SCALE_MAX, scale));
  const most = Math.max(0, pictureWidth - (width - BEYOND) / right);
  return { left: Math.max(0, Math.min(most, left)), scale: right };
}

/** So many times as large; what is at a pixel stays there. */
export function zoomAt({ left, scale }: Viewport, factor: number, pixel: number): Viewport {
  const at = left + pixel / scale;
  return { left: at - pixel / (scale * factor), scale: scale * factor };
}

/** With x in the middle, unless it is seen well already. */
export function reveal(view: Viewport, x: number, width: number): Viewport {
  const pixel = (x - view.left) * view.scale;
  const margin = Math.min(80, width / 4);
  if (pixel >= margin && pixel <= width - margin) return view;
  return { ...view, left: x - width / 2 / view.scale };
}

/** Where rows begin, from the top, and at last where they end. */
export function rowTops(heights: readonly number[]): Float64Array {
  const tops = new Float64Array(heights.length + 1);
  for (const [row, height] of heights.entries()) tops[row + 1] = (tops[row] as number) + height;
  return tops;
}

/** The row that a height from the top is in; the nearest one if it is in none. */
export function rowAt(tops: Float64Array, y: number): number {
  let [low, high] = [0, Math.max(0, tops.length - 2)];
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((tops[middle] as number) <= y) low = middle;
    else high = middle - 1;
  }
  return low;
}
