/** Processes and channels as tables, with all that is known of each. */

import type { ChaosStatus } from "../../src/serve/system-methods.ts";
import { hrefOf } from "../page.tsx";
import { grouped } from "../parts/words.ts";
import { ChannelChaos, ProcessChaos } from "./chaos.tsx";
import type { ChannelFlow, Flow, ProcessFlow } from "./flow.ts";
import { Sparkline } from "./sparkline.tsx";
import { CONDITIONS, lagText } from "./words.ts";

interface TableProps {
  readonly flow: Flow;
  readonly chaos: ChaosStatus | undefined;
}

const numberOf = (value: number | undefined): string =>
  value === undefined ? "–" : grouped(value);

export function ProcessTable({ flow: { processes }, chaos }: TableProps) {
  return (
    <section className="card" aria-labelledby="processes">
      <h2 id="processes">Processes</h2>
      <div className="scroll-x">
        <table>
          <thead>
            <tr>
              <th scope="col">process</th>
              <th scope="col">state</th>
              <th scope="col" className="number">
                sent/s
              </th>
              <th scope="col" className="number">
                received/s
              </th>
              <th scope="col" className="number">
                sent
              </th>
              <th scope="col" className="number">
                received
              </th>
              <th scope="col" className="number">
                held
              </th>
              <th scope="col" className="number">
                epoch
              </th>
              <th scope="col" className="number">
                restarts
              </th>
              <th scope="col">last end</th>
              <th scope="col" className="number">
                pid
              </th>
              <th scope="col">address</th>
              {chaos && <th scope="col">disturb</th>}
            </tr>
          </thead>
          <tbody>
            {processes.map((one) => (
              <ProcessRow key={one.id} process={one} chaos={chaos} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function ProcessRow({
  process,
  chaos,
}: {
  readonly process: ProcessFlow;
  readonly chaos: ChaosStatus | undefined;
}) {
  const { id, pid, address, condition, epoch, restarts, lastEnd, held } = process;
  return (
    <tr>
      <th scope="row">
        <a href={hrefOf("system", "process", id)}>{id}</a>
      </th>
      <td className={condition === "up" ? "good" : condition === "down" ? "bad" : "warn"}>
        {condition === "up" ? "●" : "▲"} {CONDITIONS[condition]}
      </td>
      <td className="number rate">
        <Sparkline values={process.sentRates} /> {numberOf(process.sentRate)}
      </td>
      <td className="number rate">
        <Sparkline values={process.receivedRates} /> {numberOf(process.receivedRate)}
      </td>
      <td className="number">{numberOf(process.sent)}</td>
      <td className="number">{numberOf(process.received)}</td>
      <td className={held ? "number warn" : "number"}>{numberOf(held)}</td>
      <td className="number">{epoch}</td>
      <td className="number">{restarts}</td>
      <td>{lastEnd ?? "–"}</td>
      <td className="number">{pid}</td>
      <td className="mono">{address}</td>
      {chaos && (
        <td>
          <ProcessChaos process={process} chaos={chaos} />
        </td>
      )}
    </tr>
  );
}

/** So many channels are shown one by one; the busiest come first then. */
const CHANNELS_MAX = 64;

export function ChannelTable({ flow: { channels }, chaos }: TableProps) {
  const isMuch = channels.length > CHANNELS_MAX;
  const shown = isMuch
    ? channels.toSorted((a, b) => weightOf(b) - weightOf(a)).slice(0, CHANNELS_MAX)
    : channels;
  return (
    <section className="card" aria-labelledby="channels">
      <h2 id="channels">Channels</h2>
      {isMuch && (
        <p className="dim">
          The {CHANNELS_MAX} of {grouped(channels.length)} on which most is in flight. The matrix
          has all.
        </p>
      )}
      {channels.length === 0 ? (
        <p className="dim">One process alone has no channels.</p>
      ) : (
        <div className="scroll-x">
          <table>
            <thead>
              <tr>
                <th scope="col">channel</th>
                <th scope="col">state</th>
                <th scope="col" className="number">
                  in flight
                </th>
                <th scope="col" className="number">
                  taken/s
                </th>
                <th scope="col" className="number">
                  lag
                </th>
                <th scope="col" className="number">
                  sent
                </th>
                <th scope="col">reason</th>
                {chaos && <th scope="col">disturb</th>}
              </tr>
            </thead>
            <tbody>
              {shown.map((one) => (
                <ChannelRow key={`${one.from} ${one.to}`} channel={one} chaos={chaos} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

const weightOf = ({ isUp, isCut, inFlight = 0 }: ChannelFlow): number =>
  isUp && !isCut ? inFlight : Number.POSITIVE_INFINITY;

function ChannelRow({
  channel,
  chaos,
}: {
  readonly channel: ChannelFlow;
  readonly chaos: ChaosStatus | undefined;
}) {
  const { from, to, sent, rate, inFlight, lagMs, isUp, isCut, reason } = channel;
  const isWell = isUp && !isCut;
  return (
    <tr>
      <th scope="row">
        <a href={hrefOf("system", "channel", from, to)}>
          {from} → {to}
        </a>
      </th>
      <td className={isWell ? "good" : "bad"}>{isCut ? "✕ cut" : isUp ? "● up" : "▲ down"}</td>
      <td className="number">{numberOf(inFlight)}</td>
      <td className="number">{numberOf(rate)}</td>
      <td className={lagMs === undefined || lagMs < 1_000 ? "number" : "number warn"}>
        {lagText(lagMs)}
      </td>
      <td className="number">{numberOf(sent)}</td>
      <td>{isCut ? "somebody has cut it" : (reason ?? "–")}</td>
      {chaos && (
        <td>
          <ChannelChaos channel={channel} />
        </td>
      )}
    </tr>
  );
}
