/** The events as a table: for those who do not see the picture, and those who would rather read. */

import { useMemo, useState } from "react";
import { valuesText } from "../../src/trace/layout.ts";
import type { TraceEvent } from "../../src/trace/trace.ts";
import { grouped } from "../parts/words.ts";
import { timeText } from "./event-panel.tsx";
import { eventWords, kindOf } from "./events.ts";
import { Pages } from "./pages.tsx";
import type { Session } from "./session.ts";
import { useLooked } from "./use-looked.ts";

const EVENTS_SHOWN = 25;

export function EventTable({ session }: { readonly session: Session }) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <details
      className="card st-table"
      open={isOpen}
      onToggle={({ currentTarget }) => setIsOpen(currentTarget.open)}
    >
      <summary>Events as a table</summary>
      {isOpen && <Events session={session} />}
    </details>
  );
}

function Events({ session }: { readonly session: Session }) {
  const { selected, matches, query, hiddenKinds, hiddenProcesses, cut } = useLooked(session);
  const { trace, order } = session;
  const shown = useMemo(() => {
    const all = query.trim() === "" ? order.linear : matches;
    if (hiddenKinds.size + hiddenProcesses.size === 0) return all;
    return all.filter((e) => {
      const event = trace.events[e] as TraceEvent;
      return !hiddenKinds.has(kindOf(event)) && !hiddenProcesses.has(event.process);
    });
  }, [trace, order, matches, query, hiddenKinds, hiddenProcesses]);
  const at = selected ? shown.indexOf(selected.event) : -1;
  return (
    <Pages all={shown} size={EVENTS_SHOWN} label="Pages of events" at={at}>
      {(some) => (
        <div className="scroll-x">
          <table>
            <caption className="hidden">Events in an order in which they can have happened</caption>
            <thead>
              <tr>
                <th scope="col">process</th>
                <th scope="col" className="number">
                  event
                </th>
                <th scope="col">what</th>
                <th scope="col">values</th>
                <th scope="col">time</th>
                {cut && <th scope="col">cut</th>}
              </tr>
            </thead>
            <tbody>
              {some.map((e) => {
                const event = trace.events[e] as TraceEvent;
                const { process, position, atMs } = event;
                const isInside = cut !== undefined && position < (cut.counts[process] as number);
                return (
                  <tr key={e} aria-selected={e === selected?.event}>
                    <th scope="row">{trace.processes[process]}</th>
                    <td className="number">{grouped(position + 1)}</td>
                    <td>
                      <button type="button" className="st-link" onClick={() => session.select(e)}>
                        {eventWords(trace, e)}
                      </button>
                    </td>
                    <td className="mono">{valuesText(event)}</td>
                    <td className="mono">{atMs === undefined ? "" : timeText(atMs)}</td>
                    {cut && <td>{isInside ? "inside" : ""}</td>}
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </Pages>
  );
}
