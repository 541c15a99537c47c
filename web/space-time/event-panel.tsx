/** All that is known of one event, and where its messages come from and lead to. */

import { useMemo } from "react";
import type { TraceEvent } from "../../src/trace/trace.ts";
import { Button } from "../parts/button.tsx";
import { Tree } from "../parts/tree.tsx";
import { counted, grouped } from "../parts/words.ts";
import { otherEnds } from "./cuts.ts";
import { eventWords } from "./events.ts";
import type { Session } from "./session.ts";
import { useLooked } from "./use-looked.ts";

const ENDS_MAX = 12;

export function EventPanel({ session }: { readonly session: Session }) {
  const { selected, isConeShown } = useLooked(session);
  const event = selected?.event;
  const ends = useMemo(
    () => (event === undefined ? undefined : otherEnds(session.order, event)),
    [session, event],
  );
  if (!selected || event === undefined)
    return (
      <section className="card st-panel" aria-label="Event">
        <h2>Event</h2>
        <p className="dim">
          Click an event, or press an arrow key in the picture: its message, its values, and what
          led to it stand here.
        </p>
      </section>
    );
  const { trace } = session;
  const { process, position, type, text, values, fields, line, atMs, heldMs, carries } = trace
    .events[event] as TraceEvent;
  const sum = (counts: Int32Array): number => counts.reduce((all, one) => all + one, 0);
  const before = sum(selected.past) - 1;
  const after = trace.events.length - sum(selected.beforeFuture) - 1;
  const facts: (readonly [string, string | undefined])[] = [
    ["event", `${grouped(position + 1)} of ${grouped(trace.timelines[process]?.length ?? 0)}`],
    ["type", type],
    ["text", text],
    ["carries", carries],
    ["time", atMs === undefined ? undefined : timeText(atMs)],
    ["held back", heldMs === undefined || heldMs === 0 ? undefined : `${heldMs} ms`],
    ["line of the file", line === undefined ? undefined : grouped(line)],
    ["happened before it", counted(before, "event")],
    ["it happened before", counted(after, "event")],
    ["concurrent", counted(trace.events.length - before - after - 1, "event")],
  ];
  return (
    <section className="card st-panel" aria-label="Event">
      <h2>
        {trace.processes[process]} <small>{eventWords(trace, event)}</small>
      </h2>
      <div className="bar">
        <Button isPressed={isConeShown} onClick={() => session.set({ isConeShown: !isConeShown })}>
          Past and future
        </Button>
        <Button
          label="Cut here: after it and all that happened before it (C)"
          onClick={() => session.setCut(selected.past)}
        >
          Cut here
        </Button>
      </div>
      <dl className="st-facts">
        {facts.map(
          ([name, value]) =>
            value !== undefined && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
      <Ends session={session} title="Comes from" events={ends?.causes ?? []} />
      <Ends session={session} title="Leads to" events={ends?.effects ?? []} />
      {values && <Tree key={`values ${event}`} name="values" value={values} />}
      {fields && <Tree key={`fields ${event}`} name="fields" value={fields} />}
    </section>
  );
}

function Ends({
  session,
  title,
  events,
}: {
  readonly session: Session;
  readonly title: string;
  readonly events: readonly number[];
}) {
  if (events.length === 0) return null;
  return (
    <div className="st-ends">
      <h3>{title}</h3>
      {events.slice(0, ENDS_MAX).map((e) => (
        <EventLink key={e} session={session} event={e} />
      ))}
      {events.length > ENDS_MAX && (
        <p className="dim">and {grouped(events.length - ENDS_MAX)} more</p>
      )}
    </div>
  );
}

/** Leads to an event. */
export function EventLink({
  session,
  event,
}: {
  readonly session: Session;
  readonly event: number;
}) {
  const { trace } = session;
  const { process, position } = trace.events[event] as TraceEvent;
  return (
    <button type="button" className="st-link" onClick={() => session.select(event)}>
      {trace.processes[process]} {grouped(position + 1)}
      <span className="dim"> {eventWords(trace, event)}</span>
    </button>
  );
}

/** By the clock of its process. */
export function timeText(atMs: number): string {
  const at = new Date(atMs);
  const isDate = atMs > 1e11 && !Number.isNaN(at.getTime());
  if (!isDate) return `${atMs} ms`;
  const micros = String(Math.round((atMs % 1) * 1000)).padStart(3, "0");
  return `${at.toISOString().slice(11, 23)}${micros === "000" ? "" : micros}`;
}
