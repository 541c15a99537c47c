/** What is in flight, from the process of the row to that of the column. */

import { hrefOf } from "../page.tsx";
import { grouped } from "../parts/words.ts";
import type { ChannelFlow, Flow } from "./flow.ts";
import { toneOf } from "./picture.tsx";
import { inFlightText, rateText } from "./words.ts";

export function Matrix({ flow: { processes, channels } }: { readonly flow: Flow }) {
  const by = new Map(channels.map((one) => [`${one.from} ${one.to}`, one]));
  const most = Math.max(1, ...channels.map(({ inFlight = 0 }) => inFlight));
  return (
    <div className="scroll-x">
      <table className="matrix">
        <caption>
          Messages in flight, and below them how many are taken a second: from the process of the
          row to that of the column.
        </caption>
        <thead>
          <tr>
            <th scope="col">from</th>
            {processes.map(({ id }) => (
              <th key={id} scope="col" className="number">
                → {id}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {processes.map(({ id: from }) => (
            <tr key={from}>
              <th scope="row">{from}</th>
              {processes.map(({ id: to }) => (
                <Cell key={to} channel={by.get(`${from} ${to}`)} most={most} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell({
  channel,
  most,
}: {
  readonly channel: ChannelFlow | undefined;
  readonly most: number;
}) {
  if (!channel) return <td className="number self">·</td>;
  const { from, to, inFlight, rate, isCut, isUp } = channel;
  const share = Math.round((100 * (inFlight ?? 0)) / most);
  const state = isCut ? "cut, " : isUp ? "" : "down, ";
  return (
    <td
      className={`number ${toneOf(channel)}`}
      style={{
        background: `color-mix(in srgb, var(--main) ${Math.round(share * 0.22)}%, transparent)`,
      }}
    >
      <a
        href={hrefOf("system", "channel", from, to)}
        aria-label={`${from} → ${to}: ${state}${inFlightText(inFlight)}, ${rateText(rate)}`}
      >
        {isCut && "✕ "}
        {inFlight === undefined ? "?" : grouped(inFlight)}
        <small>{rate === undefined ? "–" : `${grouped(rate)}/s`}</small>
      </a>
    </td>
  );
}
