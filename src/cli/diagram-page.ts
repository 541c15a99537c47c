/**
 * A layout as a page: one file that needs nothing else, to be opened from a disk or attached to an issue. What it does there is in
 * diagram-viewer.js, which is put into it as it is; a policy forbids the page to load anything.
 */

import { readFileSync } from "node:fs";
import { embeddedJson } from "../core/embedded-json.ts";
import { cutCaption, type Layout, type MarkKind, notShownText } from "../trace/layout.ts";
import { colourStyle, escapeXml } from "../trace/svg-diagram.ts";
import { drawText, wordsOf } from "../trace/text-diagram.ts";

/** The package has the sources, too: it is found from what is built as from what is not. */
const VIEWER = new URL("../../src/cli/diagram-viewer.js", import.meta.url);
/** A picture of up to so many marks is also there as text, for those who do not see it. */
const TEXT_MARKS_MAX = 600;

const STYLE = `${colourStyle(":root")}
:root{color-scheme:light dark}
*{box-sizing:border-box}
body{margin:0;height:100vh;display:flex;flex-direction:column;background:var(--paper);color:var(--ink);
font:14px/1.4 system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,sans-serif}
header,footer{padding:.5rem .9rem;display:flex;gap:.5rem;flex-wrap:wrap;align-items:center}
header{border-bottom:1px solid var(--line)}
footer{border-top:1px solid var(--line);align-items:baseline;min-height:3.6rem;align-content:flex-start}
h1{font-size:1rem;margin:0 auto 0 0;font-weight:600;overflow-wrap:anywhere}
button{font:inherit;color:inherit;background:var(--grid);border:1px solid var(--line);border-radius:6px;padding:.2rem .6rem;cursor:pointer}
button:hover:not(:disabled){border-color:var(--faint)}button:disabled{opacity:.45;cursor:default}
button:focus-visible,canvas:focus-visible{outline:2px solid var(--message);outline-offset:-2px}
canvas{flex:1;min-height:0;width:100%;display:block;touch-action:none;cursor:grab}
#verdict{font-weight:600;color:var(--cut)}#verdict.wrong{color:var(--orphan)}
#event{flex-basis:100%;margin:0;min-height:1.4em;color:var(--faint)}#more{margin:0;color:var(--faint);flex-basis:100%}
details{padding:.3rem .9rem;max-height:40vh;overflow:auto;color:var(--faint)}
pre{margin:.3rem 0;color:var(--ink);font-size:12px;line-height:1.25}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.3rem 0}dt{font-weight:600}dd{margin:0}`;

const KEYS: readonly (readonly [key: string, what: string])[] = [
  ["drag, wheel", "move; with Ctrl zoom, with Shift the height of the lines"],
  ["← → ↑ ↓", "go from event to event"],
  [
    "Shift ← →",
    "move the cut at the process of that event; with the mouse, drag the line of the cut",
  ],
  ["C", "the least consistent cut that has the event inside"],
  ["I, O", "the greatest consistent cut inside the cut, the least one around it"],
  ["X", "no cut"],
  ["+ − 0", "zoom in, zoom out, all"],
  ["Escape", "no event"],
];

/** The page, as HTML. */
export function drawPage(layout: Layout, title: string): string {
  const said = notShownText(layout);
  const text =
    layout.marks.length > TEXT_MARKS_MAX
      ? ""
      : `<details><summary>As text</summary><pre>${escapeXml(drawText(layout, { columns: 120 }))}</pre></details>`;
  const keys = KEYS.map(([key, what]) => `<dt>${key}</dt><dd>${what}</dd>`).join("");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escapeXml(title)}</title>
<style>${STYLE}</style>
<header><h1>${escapeXml(title)}</h1>
<button id="here" title="C">Cut at the event</button>
<button id="inside" title="I">Consistent inside</button>
<button id="around" title="O">Consistent around</button>
<button id="none" title="X">No cut</button>
<button id="out" title="−" aria-label="zoom out">−</button>
<button id="in" title="+" aria-label="zoom in">+</button>
<button id="all" title="0">All</button></header>
<canvas id="picture" tabindex="0" role="application"
 aria-label="Space-time diagram. Arrow keys go from event to event; Shift and arrow keys move the cut."></canvas>
<footer aria-live="polite"><span id="verdict">${escapeXml(cutCaption(layout))}</span><p id="event"></p>
${said.length > 0 ? `<p id="more">${escapeXml(said.join(" · "))}</p>` : ""}</footer>
<details><summary>Keys</summary><dl>${keys}</dl></details>
${text}<noscript><p>The picture needs JavaScript; with --svg it does not.</p></noscript>
<script type="application/json" id="data">${embeddedJson(dataOf(layout))}</script>
<script type="module">
${readFileSync(VIEWER, "utf8")}</script>
</html>
`;
}

/** As the viewer numbers them. */
const KINDS: readonly MarkKind[] = ["internal", "send", "receive", "record", "crash"];

/** In columns, which are a third as long as objects. */
function dataOf(layout: Layout): unknown {
  const { marks, arrows, stubs, rows, cut, width, axis, notShown } = layout;
  const tenths = (value: number): number => Math.round(value * 10) / 10;
  return {
    ...{ width, axis, rows: rows.map(({ process: _, ...row }) => row) },
    ...{ counts: cut?.counts ?? null, isWhole: notShown.cutOff + notShown.messages === 0 },
    marks: {
      row: marks.map(({ row }) => row),
      x: marks.map(({ x }) => tenths(x)),
      kind: marks.map(({ kind }) => KINDS.indexOf(kind)),
      first: marks.map(({ first }) => first),
      count: marks.map(({ count }) => count),
      label: marks.map(({ label }) => label),
      below: marks.map(({ isBelow }) => Number(isBelow)),
      words: marks.map((mark) => wordsOf(layout, mark, [])),
    },
    arrows: {
      from: arrows.map(({ from }) => from),
      to: arrows.map(({ to }) => to),
      count: arrows.map(({ count }) => count),
      flags: arrows.map(({ isMarker, isBent }) => Number(isMarker) + 2 * Number(isBent)),
      held: arrows.map(({ heldLength }) => tenths(heldLength)),
    },
    stubs: stubs.map(({ mark, isOutgoing, isDown, end }) => [
      mark,
      Number(isOutgoing) + 2 * Number(isDown) + 4 * Number(end === "nowhere"),
    ]),
  };
}
