/** Another execution below the first one, and where the two part. */

import { useEffect, useMemo, useState } from "react";
import { compareTraces, type TraceDifference } from "../../src/trace/difference.ts";
import { Button } from "../parts/button.tsx";
import { grouped } from "../parts/words.ts";
import { Diagram } from "./diagram.tsx";
import { EventLink } from "./event-panel.tsx";
import { Pages } from "./pages.tsx";
import { MOVED, ONLY_HERE, type Session } from "./session.ts";
import { useLooked } from "./use-looked.ts";

interface ComparePanelProps {
  readonly session: Session;
  readonly other: Session;
  readonly onClose: () => void;
}

const DIFFERENCES_SHOWN = 10;

export function ComparePanel({ session, other, onClose }: ComparePanelProps) {
  const difference = useMemo(() => compareTraces(session.trace, other.trace), [session, other]);
  useTints(session, other, difference);
  usePartners(session, other, difference);
  const { isSame, onlyBefore, onlyAfter, moved, first, processes, minimal } = difference;
  const differing = processes.filter(({ onlyBefore: a, onlyAfter: b }) => a + b > 0);
  return (
    <section className="card st-compare" aria-label="Comparison">
      <div className="bar">
        <h2>
          Compared with <span className="mono">{other.name}</span>
        </h2>
        <span className="grow" />
        <Button onClick={onClose}>End comparison</Button>
      </div>
      <Diagram session={other} label={`Space-time diagram of ${other.name}`} onSearch={() => {}} />
      <p role="status">
        {isSame ? (
          <b className="good">No difference</b>
        ) : (
          <>
            <b>{grouped(onlyBefore.length)}</b> only in {session.name},{" "}
            <b>{grouped(onlyAfter.length)}</b> only in {other.name}, <b>{grouped(moved.length)}</b>{" "}
            in both that follow others
            {!minimal && "; there may be an alignment with fewer differences"}
          </>
        )}
      </p>
      {!isSame && (
        <div className="columns">
          <div>
            <h3>First difference</h3>
            {first.before !== undefined && (
              <p>
                <EventLink session={session} event={first.before} />
              </p>
            )}
            {first.after !== undefined && (
              <p>
                <EventLink session={other} event={first.after} />
              </p>
            )}
            <table>
              <thead>
                <tr>
                  <th scope="col">process</th>
                  <th scope="col" className="number">
                    same
                  </th>
                  <th scope="col" className="number">
                    only first
                  </th>
                  <th scope="col" className="number">
                    only second
                  </th>
                </tr>
              </thead>
              <tbody>
                {differing.slice(0, DIFFERENCES_SHOWN).map((one) => (
                  <tr key={one.process}>
                    <th scope="row">{one.process}</th>
                    <td className="number">{grouped(one.same)}</td>
                    <td className="number">{grouped(one.onlyBefore)}</td>
                    <td className="number">{grouped(one.onlyAfter)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
            {differing.length > DIFFERENCES_SHOWN && (
              <p className="dim">
                and {grouped(differing.length - DIFFERENCES_SHOWN)} more processes
              </p>
            )}
          </div>
          <Differing session={session} title={`Only in ${session.name}`} events={onlyBefore} />
          <Differing session={other} title={`Only in ${other.name}`} events={onlyAfter} />
          <Differing session={session} title="Follow others" events={moved} />
        </div>
      )}
    </section>
  );
}

function Differing({
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
      <Pages all={events} size={DIFFERENCES_SHOWN} label={`Pages of: ${title}`}>
        {(some) => some.map((e) => <EventLink key={e} session={session} event={e} />)}
      </Pages>
    </div>
  );
}

/** Both pictures show what differs, as long as they are compared. */
function useTints(session: Session, other: Session, difference: TraceDifference): void {
  useEffect(() => {
    const { onlyBefore, onlyAfter, moved, partners } = difference;
    const [tints, otherTints] = [session, other].map(
      ({ trace }) => new Uint8Array(trace.events.length),
    ) as [Uint8Array, Uint8Array];
    for (const e of onlyBefore) tints[e] = ONLY_HERE;
    for (const e of onlyAfter) otherTints[e] = ONLY_HERE;
    for (const e of moved) tints[e] = otherTints[partners[e] as number] = MOVED;
    session.setTints(tints);
    other.setTints(otherTints);
    return () => {
      session.setTints(undefined);
      other.setTints(undefined);
    };
  }, [session, other, difference]);
}

/** Who looks at an event of one sees the same event of the other. */
function usePartners(session: Session, other: Session, { partners }: TraceDifference): void {
  const mine = useLooked(session).selected?.event;
  const theirs = useLooked(other).selected?.event;
  const [last, setLast] = useState({ mine, theirs });
  useEffect(() => {
    if (mine !== last.mine) {
      const partner = mine === undefined ? -1 : (partners[mine] as number);
      if (partner >= 0) other.select(partner);
    } else if (theirs !== last.theirs) {
      const partner = theirs === undefined ? -1 : partners.indexOf(theirs);
      if (partner >= 0) session.select(partner);
    } else return;
    setLast({ mine: session.looked.selected?.event, theirs: other.looked.selected?.event });
  }, [session, other, partners, mine, theirs, last]);
}
