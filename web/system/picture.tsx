/** Processes on a circle, and the channels between them with what flows there. */

import { hrefOf } from "../page.tsx";
import { arrow, onCircle, type Point } from "../parts/circle.ts";
import { grouped } from "../parts/words.ts";
import type { ChannelFlow, Condition, Flow, ProcessFlow } from "./flow.ts";
import type { Picked } from "./system-view.tsx";
import { CONDITIONS, inFlightText, rateText } from "./words.ts";

/** More have no room; for them there are tables. */
export const PICTURE_MAX = 8;
/** Of so many every channel has room for its numbers. */
const NUMBERS_MAX = 4;
const WIDE = { width: 720, height: 460, radius: { x: 280, y: 172 } };
const NARROW = { width: 400, height: 420, radius: { x: 150, y: 160 } };
const NARROW_QUERY = "(max-width: 720px)";
const RADIUS = 34;
/** What waits for so long is worth a look. */
const SLOW_MS = 1_000;

export function Picture({
  flow,
  picked,
}: {
  readonly flow: Flow;
  readonly picked: Picked | undefined;
}) {
  const { processes, channels } = flow;
  const { width, height, radius } = matchMedia(NARROW_QUERY).matches ? NARROW : WIDE;
  const points = onCircle(processes.length, { x: width / 2, y: height / 2 }, radius);
  const at = new Map<string, Point>(processes.map(({ id }, i) => [id, points[i] as Point]));
  const most = Math.max(1, ...channels.map(({ rate = 0 }) => rate));
  const isPicked = ({ from, to }: ChannelFlow): boolean =>
    picked?.process === from ||
    picked?.process === to ||
    (picked?.channel?.from === from && picked.channel.to === to);
  const arrowOf = ({ from, to }: ChannelFlow): ReturnType<typeof arrow> =>
    arrow(at.get(from) as Point, at.get(to) as Point, RADIUS);
  // What is picked lies above what is not.
  const sorted = channels.toSorted((a, b) => Number(isPicked(a)) - Number(isPicked(b)));
  return (
    // biome-ignore lint/a11y/useSemanticElements: a picture of links is a group of them
    <svg
      className={picked ? "picture has-picked" : "picture"}
      viewBox={`0 0 ${width} ${height}`}
      role="group"
      aria-label="Processes, and the channels between them"
    >
      <defs>
        {["idle", "flows", "slow", "broken"].map((tone) => (
          <marker
            key={tone}
            id={`head-${tone}`}
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerWidth="9"
            markerHeight="9"
            markerUnits="userSpaceOnUse"
            orient="auto"
          >
            <path className={`head ${tone}`} d="M0,0L8,4L0,8Z" />
          </marker>
        ))}
      </defs>
      {sorted.map((channel) => (
        <Channel
          key={`${channel.from} ${channel.to}`}
          channel={channel}
          path={arrowOf(channel).path}
          share={(channel.rate ?? 0) / most}
          isPicked={isPicked(channel)}
        />
      ))}
      {processes.map((process) => (
        <Node
          key={process.id}
          process={process}
          at={at.get(process.id) as Point}
          isPicked={picked?.process === process.id}
        />
      ))}
      {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: none of it can have the focus; the links say the same in words */}
      <g className="words" aria-hidden="true">
        {sorted.map((channel) => (
          <ChannelWords
            key={`${channel.from} ${channel.to}`}
            channel={channel}
            at={arrowOf(channel).label}
            hasNumbers={
              isPicked(channel) || (processes.length <= NUMBERS_MAX && picked === undefined)
            }
          />
        ))}
        {processes.map((process) => (
          <NodeWords key={process.id} process={process} at={at.get(process.id) as Point} />
        ))}
      </g>
    </svg>
  );
}

export function toneOf({ isUp, isCut, rate = 0, lagMs = 0 }: ChannelFlow): string {
  if (!isUp || isCut) return "broken";
  if (lagMs > SLOW_MS) return "slow";
  return rate > 0 ? "flows" : "idle";
}

function Channel({
  channel,
  path,
  share,
  isPicked,
}: {
  readonly channel: ChannelFlow;
  readonly path: string;
  readonly share: number;
  readonly isPicked: boolean;
}) {
  const tone = toneOf(channel);
  const { from, to, rate, inFlight, isCut, isUp } = channel;
  const state = isCut ? ", cut" : isUp ? "" : ", down";
  const label = `${from} → ${to}${state}: ${rateText(rate)}, ${inFlightText(inFlight)}`;
  return (
    <a
      href={isPicked ? hrefOf("system") : hrefOf("system", "channel", from, to)}
      aria-label={label}
      className={isPicked ? `edge ${tone} is-picked` : `edge ${tone}`}
    >
      <title>{label}</title>
      <path className="reach" d={path} />
      <path
        className="line"
        d={path}
        strokeWidth={(1.2 + 3 * Math.sqrt(share)).toFixed(1)}
        markerEnd={`url(#head-${tone})`}
      />
    </a>
  );
}

function ChannelWords({
  channel,
  at,
  hasNumbers,
}: {
  readonly channel: ChannelFlow;
  readonly at: Point;
  readonly hasNumbers: boolean;
}) {
  const { rate, inFlight, isCut } = channel;
  return (
    <g className={toneOf(channel)}>
      {isCut && (
        <text className="cross" x={at.x} y={hasNumbers ? at.y - 14 : at.y + 6}>
          ✕
        </text>
      )}
      {hasNumbers && (
        <>
          <rect className="plate" x={at.x - 33} y={at.y - 9} width="66" height="18" rx="9" />
          <text className="numbers" x={at.x} y={at.y + 4}>
            {rate === undefined ? "–" : grouped(rate)}/s ·{" "}
            {inFlight === undefined ? "?" : grouped(inFlight)}
          </text>
        </>
      )}
    </g>
  );
}

const SIGNS: Readonly<Record<Condition, string>> = { up: "", down: "✕", silent: "?", halted: "❚❚" };

function Node({
  process,
  at,
  isPicked,
}: {
  readonly process: ProcessFlow;
  readonly at: Point;
  readonly isPicked: boolean;
}) {
  const { id, condition, sentRate, receivedRate } = process;
  const label = `${id}, ${CONDITIONS[condition]}: sends ${rateText(sentRate)}, receives ${rateText(receivedRate)}`;
  return (
    <a
      href={isPicked ? hrefOf("system") : hrefOf("system", "process", id)}
      aria-label={label}
      className={`node ${condition}${isPicked ? " is-picked" : ""}`}
    >
      <title>{label}</title>
      <circle cx={at.x} cy={at.y} r={RADIUS} />
    </a>
  );
}

const NAME_CHARACTERS = 8;

function NodeWords({ process, at }: { readonly process: ProcessFlow; readonly at: Point }) {
  const { id, condition, sentRate, restarts } = process;
  const name = id.length > NAME_CHARACTERS ? `${id.slice(0, NAME_CHARACTERS - 1)}…` : id;
  return (
    <g className={condition}>
      <text className="name" x={at.x} y={at.y - 4}>
        {SIGNS[condition]} {name}
      </text>
      <text className="rate" x={at.x} y={at.y + 13}>
        {condition === "up"
          ? `${sentRate === undefined ? "–" : grouped(sentRate)}/s`
          : CONDITIONS[condition]}
      </text>
      {restarts > 0 && (
        <text className="rate" x={at.x} y={at.y + 25}>
          ↻{restarts}
        </text>
      )}
    </g>
  );
}
