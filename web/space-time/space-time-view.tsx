/** Space-time: what happened, event by event, and any cut through it. */

import { useEffect, useRef, useState } from "react";
import { textOf } from "../../src/core/error.ts";
import { parseTrace } from "../../src/trace/trace.ts";
import "./space-time.css";
import { type OpenedTrace, openFile } from "../open-file.ts";
import { hrefOf, usePage, useRoute } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { CommandLine, Empty } from "../parts/empty.tsx";
import { counted, grouped } from "../parts/words.ts";
import { ComparePanel } from "./compare-panel.tsx";
import { CutPanel } from "./cut-panel.tsx";
import { cutText, parseCut } from "./cuts.ts";
import { Diagram } from "./diagram.tsx";
import { EventPanel } from "./event-panel.tsx";
import { EventTable } from "./event-table.tsx";
import { EXAMPLES } from "./examples.ts";
import { RecordBar } from "./record-bar.tsx";
import { Session } from "./session.ts";
import type { Stage } from "./stage.ts";
import { FilterMenu, HelpDialog, SearchBar, ShareMenu } from "./tools.tsx";
import { useLooked } from "./use-looked.ts";

/** What was made of a trace is kept as long as the trace: who comes back finds it as it was. */
const sessions = new WeakMap<OpenedTrace, Session>();

const ZOOM = 1.5;

export function SpaceTimeView() {
  const { opened, about } = usePage();
  const isLive = about !== undefined && about.kind !== "file";
  const trace = opened?.kind === "trace" ? opened : undefined;
  return (
    <>
      {isLive && (
        <section className="card bar" aria-label="The running system">
          <b>Running system</b>
          <RecordBar />
        </section>
      )}
      {trace ? <Opened opened={trace} /> : <Nothing isLive={isLive} />}
    </>
  );
}

function Nothing({ isLive }: { readonly isLive: boolean }) {
  const { show } = usePage();
  return (
    <Empty title="Nothing is open">
      <p>
        {isLive ? "Record the running system, drop" : "Drop"} a trace onto this page, or open one.
        These commands make one:
      </p>
      <CommandLine>tidemark trace record --out run.jsonl</CommandLine>
      <br />
      <CommandLine>tidemark trace import app.log --out run.jsonl</CommandLine>
      <p>Or look at an example:</p>
      <ul className="st-examples">
        {EXAMPLES.map(({ name, about, text }) => (
          <li key={name}>
            <Button onClick={() => show({ kind: "trace", name, trace: parseTrace(text, name) })}>
              {about}
            </Button>
          </li>
        ))}
      </ul>
    </Empty>
  );
}

/** A trace is ordered and laid out before it is shown; meanwhile the last one stays. */
function Opened({ opened }: { readonly opened: OpenedTrace }) {
  const [session, setSession] = useState(() => sessions.get(opened));
  const shown = useRef(session);
  const [doing, setDoing] = useState("");
  const [problem, setProblem] = useState<string | undefined>(undefined);
  useEffect(() => {
    let isOver = false;
    setProblem(undefined);
    const prepare = async (): Promise<void> => {
      const known = sessions.get(opened);
      const tell = (text: string): void => {
        if (!isOver) setDoing(text);
      };
      const made = known ?? (await Session.prepare(opened.name, opened.trace, tell));
      sessions.set(opened, made);
      if (isOver) return;
      if (shown.current && shown.current !== made) {
        // What the address names is of the trace before it.
        history.replaceState(null, "", hrefOf("space-time"));
        made.likeBefore(shown.current);
      }
      shown.current = made;
      setSession(made);
    };
    prepare().catch((error: unknown) => !isOver && setProblem(textOf(error)));
    return () => {
      isOver = true;
    };
  }, [opened]);
  if (problem !== undefined)
    return (
      <Empty title={`${opened.name} cannot be shown`}>
        <p role="alert">{problem}</p>
      </Empty>
    );
  if (!session)
    return (
      <Empty title={`${grouped(opened.trace.events.length)} events`}>
        <p role="status">{doing}…</p>
      </Empty>
    );
  if (session.trace.events.length === 0)
    return (
      <Empty title={`${opened.name} has no event`}>
        <p>Nothing happened in it. A trace has a line for each event.</p>
      </Empty>
    );
  return <Shown session={session} />;
}

function Shown({ session }: { readonly session: Session }) {
  const { say } = usePage();
  const looked = useLooked(session);
  const stage = useRef<Stage>(undefined);
  const search = useRef<HTMLInputElement>(null);
  const [other, setOther] = useState<Session | undefined>(undefined);
  const [isHelpShown, setIsHelpShown] = useState(false);
  useAddress(session);

  const compare = async (file: File): Promise<void> => {
    try {
      const found = await openFile(file);
      if (found.kind !== "trace") throw new Error(`it is a ${found.kind}, and a trace is wanted`);
      setOther(await Session.prepare(found.name, found.trace, () => {}));
    } catch (error) {
      say(`${file.name} cannot be compared: ${textOf(error)}`, "bad");
    }
  };
  const { trace } = session;
  const isSparse = !trace.complete || trace.late;
  return (
    <>
      <section className="card st-card" aria-label="Space-time diagram">
        <div className="bar st-tools">
          <p className="st-sum">
            <b>{counted(trace.events.length, "event")}</b> of{" "}
            {counted(trace.processes.length, "process", "processes")},{" "}
            {counted(trace.arrows.length, "arrow")}
            {isSparse && <span className="dim"> · a part of what happened</span>}
          </p>
          <SearchBar session={session} ref={search} />
          <span className="grow" />
          <FilterMenu session={session} />
          <Button
            isPressed={looked.time === "clock"}
            isDisabled={!session.hasClocks}
            label="Clock: time by the clocks of the processes, instead of by order"
            onClick={() =>
              void session.arrange({ time: looked.time === "clock" ? "order" : "clock" })
            }
          >
            Clock
          </Button>
          <label className="button">
            Compare…
            <input
              type="file"
              className="hidden"
              accept=".jsonl,.json,.gz,.log"
              onChange={({ target }) => {
                const [file] = target.files ?? [];
                if (file) void compare(file);
                target.value = "";
              }}
            />
          </label>
          <ShareMenu session={session} stage={stage} />
          <span className="st-zoom">
            <Button label="Zoom out (−)" onClick={() => stage.current?.zoom(1 / ZOOM)}>
              −
            </Button>
            <Button label="All (0)" onClick={() => stage.current?.showAll()}>
              All
            </Button>
            <Button label="Zoom in (+)" onClick={() => stage.current?.zoom(ZOOM)}>
              +
            </Button>
          </span>
          <Button isQuiet label="Keys" onClick={() => setIsHelpShown(true)}>
            ?
          </Button>
        </div>
        <Diagram
          session={session}
          label={`Space-time diagram of ${session.name}`}
          onSearch={() => search.current?.focus()}
          ref={stage}
        />
      </section>
      {other && (
        <ComparePanel session={session} other={other} onClose={() => setOther(undefined)} />
      )}
      <div className="st-columns">
        <CutPanel session={session} onStraightCut={() => stage.current?.cutInTheMiddle()} />
        <EventPanel session={session} />
      </div>
      <EventTable session={session} />
      {isHelpShown && <HelpDialog onClose={() => setIsHelpShown(false)} />}
    </>
  );
}

const ADDRESS_MS = 150;

/** The event and the cut are in the address: `#/space-time/event/PROCESS/NUMBER/cut/COUNTS`. */
function useAddress(session: Session): void {
  const { say } = usePage();
  const route = useRoute();
  const { selected, cut } = useLooked(session);
  const written = useRef<string>(undefined);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a route is followed once, when it is another one
  useEffect(() => {
    // What was written here leads nowhere else.
    if (location.hash === written.current) return;
    try {
      follow(session, route);
    } catch (error) {
      say(`the link does not fit this trace: ${textOf(error)}`, "bad");
    }
  }, [session, route]);
  useEffect(() => {
    const timer = setTimeout(() => {
      const parts = ["space-time"];
      if (selected) {
        const { process, position } = session.trace.events[selected.event] ?? {};
        parts.push("event", session.trace.processes[process ?? 0] ?? "", `${(position ?? 0) + 1}`);
      }
      if (cut) parts.push("cut", cutText(cut.counts));
      written.current = hrefOf(...parts);
      history.replaceState(null, "", written.current);
    }, ADDRESS_MS);
    return () => clearTimeout(timer);
  }, [session, selected, cut]);
}

/** @throws Error in words if there is nothing of that in the trace */
function follow(session: Session, [, ...parts]: readonly string[]): void {
  const { trace } = session;
  for (let i = 0; i < parts.length; i += 1) {
    const [what, first = "", second = ""] = parts.slice(i);
    if (what === "event") {
      const event = trace.timelines[trace.processes.indexOf(first)]?.[Number(second) - 1];
      if (event === undefined) throw new Error(`there is no event ${second} of ${first}`);
      session.select(event);
      i += 2;
    } else if (what === "cut") {
      session.setCut(parseCut(trace, first));
      i += 1;
    } else throw new Error(`it names ${what}, which is nothing to look at`);
  }
}
