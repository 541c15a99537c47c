/** The cut: what there is to say of it, what is in flight across it, and all that can be done with it. */

import { useMemo, useState } from "react";
import { textOf } from "../../src/core/error.ts";
import type { SnapshotId } from "../../src/core/id.ts";
import type { Arrow } from "../../src/trace/trace.ts";
import { Button } from "../parts/button.tsx";
import { Tree } from "../parts/tree.tsx";
import { counted, grouped } from "../parts/words.ts";
import { cutText, withCount } from "./cuts.ts";
import { EventLink } from "./event-panel.tsx";
import { Pages } from "./pages.tsx";
import type { LookedCut, Session } from "./session.ts";
import { useLooked } from "./use-looked.ts";

const MESSAGES_SHOWN = 10;
const PROCESSES_SHOWN = 24;

interface CutPanelProps {
  readonly session: Session;
  readonly onStraightCut: () => void;
}

export function CutPanel({ session, onStraightCut }: CutPanelProps) {
  const { cut, canUndo } = useLooked(session);
  const snapshots = useMemo(() => snapshotsOf(session), [session]);
  const [problem, setProblem] = useState<string | undefined>(undefined);
  const takeSnapshot = (id: string): void => {
    try {
      session.setCut(session.order.cutOf(id as SnapshotId));
      setProblem(undefined);
    } catch (error) {
      setProblem(textOf(error));
    }
  };
  const at = cut && cutText(cut.counts);
  const isConsistent = cut?.verdict.orphans.length === 0;
  return (
    <section className="card st-panel" aria-label="Cut">
      <h2>Cut</h2>
      <p className="st-verdict" role="status">
        {cut ? <Verdict cut={cut} /> : <span className="dim">No cut.</span>}
      </p>
      <div className="bar">
        <Button onClick={onStraightCut}>{cut ? "Straight" : "New cut"}</Button>
        <Button
          isDisabled={!cut || isConsistent}
          {...(cut && !isConsistent && { tone: "main" })}
          label="Snap to the nearest consistent cut (N)"
          onClick={() => session.snap("nearest")}
        >
          Snap
        </Button>
        <Button
          isDisabled={!cut || isConsistent}
          label="Inside: the greatest consistent cut in it (I)"
          onClick={() => session.snap("inside")}
        >
          Inside
        </Button>
        <Button
          isDisabled={!cut || isConsistent}
          label="Around: the least consistent cut with all of it (O)"
          onClick={() => session.snap("around")}
        >
          Around
        </Button>
      </div>
      <div className="bar">
        <Button
          label="Step back: take the last event out of the cut ([)"
          onClick={() => session.step(false)}
        >
          Step back
        </Button>
        <Button
          label="Step: take the next event into the cut (])"
          onClick={() => session.step(true)}
        >
          Step
        </Button>
        <Button isDisabled={!canUndo} label="Undo (Ctrl+Z)" onClick={() => session.undo()}>
          Undo
        </Button>
        <Button
          isDisabled={!cut}
          label="Clear the cut (X)"
          onClick={() => session.setCut(undefined)}
        >
          Clear
        </Button>
      </div>
      {snapshots.length > 0 && (
        <label className="bar">
          <span>Snapshot</span>
          <select
            className="grow"
            value={snapshots.find(({ text }) => text === at)?.id ?? ""}
            onChange={({ target }) => target.value !== "" && takeSnapshot(target.value)}
          >
            <option value="">choose its cut…</option>
            {snapshots.map(({ id }) => (
              <option key={id}>{id}</option>
            ))}
          </select>
        </label>
      )}
      {problem !== undefined && (
        <p className="bad" role="alert">
          {problem}
        </p>
      )}
      {cut && (
        <>
          <Messages session={session} title="Orphans" arrows={cut.verdict.orphans} />
          <Messages session={session} title="In flight" arrows={cut.verdict.inFlight} />
          <Handles session={session} cut={cut} />
          <States session={session} cut={cut} />
        </>
      )}
    </section>
  );
}

function Verdict({ cut }: { readonly cut: LookedCut }) {
  const { orphans, inFlight, markers, unreceived } = cut.verdict;
  return (
    <>
      {orphans.length === 0 ? (
        <b className="good">Consistent</b>
      ) : (
        <b className="bad">Not consistent: {counted(orphans.length, "orphan")}</b>
      )}
      <span>
        , {counted(inFlight.length - markers, "message")}
        {markers > 0 && ` and ${counted(markers, "marker")}`} in flight
      </span>
      {unreceived > 0 && (
        <span className="dim">, {grouped(unreceived)} more of which the trace has no receipt</span>
      )}
    </>
  );
}

/** Snapshots of the trace, and the cuts of those that have one. */
function snapshotsOf({ trace, order }: Session): readonly {
  readonly id: SnapshotId;
  readonly text: string | undefined;
}[] {
  const ids = new Set<SnapshotId>();
  for (const { type, snapshot } of trace.events)
    if (type === "record" && snapshot !== undefined) ids.add(snapshot);
  return [...ids].map((id) => {
    try {
      return { id, text: cutText(order.cutOf(id)) };
    } catch {
      // Why it has none is said when somebody wants it.
      return { id, text: undefined };
    }
  });
}

interface MessagesProps {
  readonly session: Session;
  readonly title: string;
  readonly arrows: readonly Arrow[];
}

function Messages({ session, title, arrows }: MessagesProps) {
  if (arrows.length === 0) return null;
  return (
    <details className="st-details" open>
      <summary>
        {title} <span className="dim">{grouped(arrows.length)}</span>
      </summary>
      <Pages all={arrows} size={MESSAGES_SHOWN} label={`Pages of ${title.toLowerCase()}`}>
        {(some) => (
          <table>
            <thead>
              <tr>
                <th scope="col">sent</th>
                <th scope="col">received</th>
              </tr>
            </thead>
            <tbody>
              {some.map(({ from, to }) => (
                <tr key={`${from} ${to}`}>
                  <td>
                    <EventLink session={session} event={from} />
                  </td>
                  <td>
                    <EventLink session={session} event={to} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Pages>
    </details>
  );
}

/** A handle for each process, for keyboards and screen readers. */
function Handles({ session, cut }: { readonly session: Session; readonly cut: LookedCut }) {
  const { trace } = session;
  return (
    <details className="st-details">
      <summary>Events inside, by process</summary>
      <Pages
        all={[...trace.processes.keys()]}
        size={PROCESSES_SHOWN}
        label="Pages of processes of the cut"
      >
        {(some) => (
          <div className="st-handles">
            {some.map((process) => {
              const count = cut.counts[process] as number;
              const most = trace.timelines[process]?.length ?? 0;
              return (
                <label key={process}>
                  <span>{trace.processes[process]}</span>
                  <input
                    type="range"
                    min={0}
                    max={most}
                    value={count}
                    onChange={({ target }) =>
                      session.setCut(withCount(trace, cut.counts, process, Number(target.value)))
                    }
                  />
                  <small>
                    {grouped(count)} of {grouped(most)}
                  </small>
                </label>
              );
            })}
          </div>
        )}
      </Pages>
    </details>
  );
}

/** What values processes have at the cut, if the trace says. */
function States({ session, cut }: { readonly session: Session; readonly cut: LookedCut }) {
  const { states, trace } = session;
  const having = [...trace.processes.keys()].filter((p) => states.names(p).length > 0);
  if (having.length === 0) return null;
  return (
    <details className="st-details">
      <summary>States at the cut</summary>
      <Pages all={having} size={PROCESSES_SHOWN} label="Pages of states">
        {(some) =>
          some.map((process) => (
            <Tree
              key={process}
              name={trace.processes[process]}
              value={states.processValues(process, cut.counts[process] as number)}
            />
          ))
        }
      </Pages>
    </details>
  );
}
