/** The messages in flight: how many on each channel, and each of them. */

import { useState } from "react";
import { firstInFlight } from "../../src/process/compare-snapshots.ts";
import type { IncomingRecord, Manifest } from "../../src/snapshot/manifest.ts";
import { hrefOf } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { childrenOf, shortText } from "../parts/literal.ts";
import { ScrollX } from "../parts/scroll-x.tsx";
import { Tree } from "../parts/tree.tsx";
import { counted, grouped } from "../parts/words.ts";
import { useLoaded } from "./loaded.ts";
import type { Source } from "./source.ts";

/** A larger matrix is a list of those channels that have any. */
const MATRIX_MAX = 16;
const CHANNELS_SHOWN = 200;
const MESSAGES_SHOWN = 50;
const COLUMNS_MAX = 6;

interface ChannelCount {
  readonly from: string;
  readonly to: string;
  readonly record: IncomingRecord;
}

function channelsOf({ pieces }: Manifest): ChannelCount[] {
  return pieces.flatMap(({ process: to, incoming }) =>
    incoming.map((record) => ({ from: record.from, to, record })),
  );
}

export function FlightPanel({
  source,
  channel: [from, to],
}: {
  readonly source: Source;
  readonly channel: readonly string[];
}) {
  const all = channelsOf(source.manifest);
  const total = all.reduce((sum, { record }) => sum + record.inFlight, 0);
  const busy = all.filter(({ record }) => record.inFlight > 0);
  const chosen =
    all.find((one) => one.from === from && one.to === to) ??
    busy.toSorted((a, b) => b.record.inFlight - a.record.inFlight)[0];
  return (
    <>
      <p className="dim">
        {counted(total, "message")} on {grouped(busy.length)} of {counted(all.length, "channel")}:
        sent, and not received, at the cut.
      </p>
      {source.manifest.processes.length <= MATRIX_MAX ? (
        <Matrix source={source} all={all} chosen={chosen} />
      ) : (
        <ul className="plain channels">
          {busy.slice(0, CHANNELS_SHOWN).map((one) => (
            <li key={`${one.from} ${one.to}`}>
              <a href={hrefOf("snapshots", ...source.name, "in-flight", one.from, one.to)}>
                {one.from} → {one.to}
              </a>{" "}
              {grouped(one.record.inFlight)}
            </li>
          ))}
          {busy.length > CHANNELS_SHOWN && (
            <li className="dim">{grouped(busy.length - CHANNELS_SHOWN)} more</li>
          )}
        </ul>
      )}
      {chosen && <Messages key={`${chosen.from} ${chosen.to}`} source={source} channel={chosen} />}
    </>
  );
}

function Matrix({
  source,
  all,
  chosen,
}: {
  readonly source: Source;
  readonly all: readonly ChannelCount[];
  readonly chosen: ChannelCount | undefined;
}) {
  const { processes } = source.manifest;
  const most = Math.max(1, ...all.map(({ record }) => record.inFlight));
  return (
    <ScrollX label="Counts">
      <table className="matrix" aria-label="Messages in flight from each process to each other">
        <thead>
          <tr>
            <th scope="col">from ↓ to →</th>
            {processes.map((to) => (
              <th key={to} scope="col" className="number">
                {to}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {processes.map((from) => (
            <tr key={from}>
              <th scope="row">{from}</th>
              {processes.map((to) => {
                const one = all.find((channel) => channel.from === from && channel.to === to);
                if (!one) return <td key={to} className="number dim none" />;
                const { inFlight } = one.record;
                const share = Math.round((100 * inFlight) / most);
                return (
                  <td key={to} className={one === chosen ? "number chosen" : "number"}>
                    <a
                      href={hrefOf("snapshots", ...source.name, "in-flight", from, to)}
                      aria-label={`${counted(inFlight, "message")} from ${from} to ${to}`}
                      className={inFlight === 0 ? "zero" : undefined}
                      style={{ "--share": `${share}%` } as React.CSSProperties}
                    >
                      {grouped(inFlight)}
                    </a>
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollX>
  );
}

function Messages({
  source,
  channel,
}: {
  readonly source: Source;
  readonly channel: ChannelCount;
}) {
  const { from, to, record } = channel;
  const [at, setAt] = useState(0);
  const { value: messages, problem } = useLoaded(`${source.name} ${from} ${to}`, () =>
    source.snapshot.inFlight(from, to),
  );
  const first = firstInFlight(source.snapshot, { from, to });
  const shown = (messages?.slice(at, at + MESSAGES_SHOWN) ?? []).map((message, i) => ({
    number: first + at + i,
    message,
  }));
  const columns = columnsOf(shown.map(({ message }) => message));
  return (
    <section className="messages" aria-label={`Messages from ${from} to ${to}`}>
      <div className="bar">
        <h3>
          {from} → {to}
        </h3>
        <span className="dim">
          {grouped(record.received)} received, {counted(record.inFlight, "message")} in flight
        </span>
        <span className="grow" />
        {record.inFlight > MESSAGES_SHOWN && (
          <>
            <span className="dim">
              {grouped(at + 1)} to {grouped(at + shown.length)}
            </span>
            <Button
              label="Messages before"
              isDisabled={at === 0}
              onClick={() => setAt(Math.max(0, at - MESSAGES_SHOWN))}
            >
              ‹
            </Button>
            <Button
              label="Messages behind"
              isDisabled={at + MESSAGES_SHOWN >= record.inFlight}
              onClick={() => setAt(at + MESSAGES_SHOWN)}
            >
              ›
            </Button>
          </>
        )}
      </div>
      {problem !== undefined && (
        <p className="bad" role="alert">
          {problem}
        </p>
      )}
      {messages?.length === 0 && <p className="dim">Nothing is in flight on this channel.</p>}
      {shown.length > 0 && (
        <ScrollX label="Messages">
          <table>
            <thead>
              <tr>
                <th scope="col" className="number">
                  Message
                </th>
                {columns ? columns.map((name) => <th key={name}>{name}</th>) : <th>Content</th>}
              </tr>
            </thead>
            <tbody>
              {shown.map(({ number, message }) => (
                <tr key={number}>
                  <th scope="row" className="number">
                    {grouped(number)}
                  </th>
                  {columns ? (
                    columns.map((name) => (
                      <td key={name} className="mono">
                        <Cell value={(message as Record<string, unknown>)[name]} />
                      </td>
                    ))
                  ) : (
                    <td className="mono">
                      <Cell value={message} />
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollX>
      )}
    </section>
  );
}

function Cell({ value }: { readonly value: unknown }) {
  if (childrenOf(value).length > 0)
    return (
      <Tree value={value} openLevels={0} name={<span className="short">{shortText(value)}</span>} />
    );
  return shortText(value);
}

/** The fields that all have, if they are plain objects of the same few; then each is a column. */
function columnsOf(messages: readonly unknown[]): readonly string[] | undefined {
  const [first] = messages;
  if (typeof first !== "object" || first === null || Array.isArray(first)) return undefined;
  const names = Object.keys(first);
  const key = names.join("\n");
  if (names.length === 0 || names.length > COLUMNS_MAX || first instanceof Uint8Array)
    return undefined;
  const areAlike = messages.every(
    (one) => typeof one === "object" && one !== null && Object.keys(one).join("\n") === key,
  );
  return areAlike ? names : undefined;
}
