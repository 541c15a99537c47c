/** The picture of a trace: names of processes, the canvas, and the whole in small below it. */

import {
  type Ref,
  type RefObject,
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
} from "react";
import { counted } from "../parts/words.ts";
import { eventWords } from "./events.ts";
import type { Session } from "./session.ts";
import { rowHeights, Stage, type StageElements } from "./stage.ts";
import { useLooked } from "./use-looked.ts";

interface DiagramProps {
  readonly session: Session;
  readonly label: string;
  readonly onSearch: () => void;
  readonly ref?: Ref<Stage | undefined>;
}

type StageRefs = { readonly [K in keyof StageElements]: RefObject<StageElements[K] | null> };

const ROW_ROOM = 84;

/**
 * The stage of this component, for all traces that it shows. A stage for each would be kept with its trace: what a component has made
 * holds on to what it had before, which does so as well.
 */
function useStage(
  latest: RefObject<Pick<DiagramProps, "session" | "onSearch">>,
  { frame, canvas, overview, probe }: StageRefs,
  hover: (event: number | undefined) => void,
  farness: (isFar: boolean) => void,
): Stage | undefined {
  const [stage, setStage] = useState<Stage | undefined>(undefined);
  useLayoutEffect(() => {
    if (!frame.current || !canvas.current || !overview.current || !probe.current) return;
    const made = new Stage(
      latest.current.session,
      {
        ...{ frame: frame.current, canvas: canvas.current },
        ...{ overview: overview.current, probe: probe.current },
      },
      { hover, farness, search: () => latest.current.onSearch() },
    );
    setStage(made);
    return () => made.dispose();
  }, [latest, frame, canvas, overview, probe, hover, farness]);
  return stage;
}

export function Diagram({ session, label, onSearch, ref }: DiagramProps) {
  const looked = useLooked(session);
  const { scene, collapsed, selected } = looked;
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const overview = useRef<HTMLCanvasElement>(null);
  const probe = useRef<HTMLSpanElement>(null);
  const [heights, setHeights] = useState<readonly number[]>([]);
  const [hovered, setHovered] = useState<number | undefined>(undefined);
  const [isFar, setIsFar] = useState(false);
  const latest = useRef({ session, onSearch });
  latest.current = { session, onSearch };
  const stage = useStage(latest, { frame, canvas, overview, probe }, setHovered, setIsFar);
  useLayoutEffect(() => stage?.show(session), [stage, session]);
  useImperativeHandle(ref, () => stage, [stage]);

  const measure = useCallback(() => {
    if (frame.current) setHeights(rowHeights(scene, collapsed, frame.current.clientHeight - 4));
  }, [scene, collapsed]);
  useLayoutEffect(measure, [measure]);
  useEffect(() => {
    addEventListener("resize", measure);
    return () => removeEventListener("resize", measure);
  }, [measure]);
  useLayoutEffect(() => stage?.setTops(heights), [stage, heights]);
  useEffect(() => {
    if (selected) stage?.reveal(selected.event);
  }, [stage, selected]);

  const { trace } = session;
  const seen = hovered ?? selected?.event;
  const toggle = (process: number): void => {
    const next = new Set(collapsed);
    if (!next.delete(process)) next.add(process);
    session.set({ collapsed: next });
  };
  return (
    <div className="st-diagram">
      <div
        ref={frame}
        className="st-frame"
        style={{ height: `min(56vh, ${Math.max(190, scene.rows.length * ROW_ROOM)}px)` }}
      >
        <div className="st-body" style={{ height: heights.reduce((sum, one) => sum + one, 0) }}>
          <ul className="st-names" aria-label="Processes">
            {scene.rows.map(({ process, name }, row) => (
              <li key={process} style={{ height: heights[row] }}>
                <button
                  type="button"
                  aria-pressed={collapsed.has(process)}
                  title={`${name}: ${counted(trace.timelines[process]?.length ?? 0, "event")}; ${collapsed.has(process) ? "expand" : "collapse"}`}
                  onClick={() => toggle(process)}
                >
                  <span>{name}</span>
                </button>
              </li>
            ))}
          </ul>
          {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: keys do all that the pointer does, and the table says it */}
          <canvas
            ref={canvas}
            className="st-canvas"
            tabIndex={0}
            role="application"
            aria-label={`${label}. Arrow keys go from event to event, Shift and arrow keys move the cut; the table below has the same as text.`}
          />
        </div>
      </div>
      <canvas ref={overview} className="st-overview" />
      <p className="st-hover" aria-live="off">
        <span>
          {seen === undefined ? (
            <span className="dim">
              Drag to move, turn the wheel with Ctrl to zoom, double-click for a cut.
            </span>
          ) : (
            <>
              <b>{trace.processes[trace.events[seen]?.process ?? 0]}</b> {eventWords(trace, seen)}
            </>
          )}
        </span>
        <span className="dim">
          {looked.doing ?? (isFar ? "drawn as how much there is; zoom in for single events" : "")}
        </span>
      </p>
      <span ref={probe} hidden />
    </div>
  );
}
