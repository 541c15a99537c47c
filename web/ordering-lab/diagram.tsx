/**
 * A lab as a space-time diagram that is drawn on: an arrow is dragged from a line to another one, its head, its start, markers and the
 * time that is looked at are dragged along the lines; each of these is a slider for who has no mouse.
 */

import {
  type KeyboardEvent,
  type PointerEvent,
  type ReactNode,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import type { ProcessId } from "../../src/core/id.ts";
import { DOT, type Dot, dotsOf, hueOf, labelsOf, spanOf, ticksOf } from "./drawing.ts";
import {
  freshName,
  type Lab,
  type LabOrder,
  markerDelay,
  TIME_MAX,
  withDelay,
  withMarkerDelay,
  withMessage,
  withMessageChanged,
  withoutMessage,
  withoutSnapshot,
  withSnapshot,
  withSnapshotChanged,
} from "./lab.ts";
import type { Run, RunFrame } from "./lab-run.ts";

/** What is selected. */
export type Selected =
  | { readonly kind: "message"; readonly name: string }
  | { readonly kind: "snapshot"; readonly index: number };

/** What a drag on an empty line makes. */
export interface Pen {
  readonly makes: "message" | "snapshot";
  readonly toAll: boolean;
  readonly order: LabOrder;
}

interface DiagramProps {
  readonly lab: Lab;
  readonly run: Run;
  readonly cursorMs: number;
  readonly pen: Pen;
  /** Messages that break an order. */
  readonly wrong: ReadonlySet<string>;
  readonly selected: Selected | undefined;
  readonly showsProtocol: boolean;
  readonly showsWords: boolean;
  onSelect(selected: Selected | undefined): void;
  /** The lab while something is dragged; undefined: as it was. */
  onDraft(lab: Lab | undefined): void;
  onChange(lab: Lab): void;
  onCursor(ms: number): void;
}

type Drag =
  | { readonly kind: "draw"; readonly from: ProcessId; readonly startMs: number }
  | { readonly kind: "send"; readonly name: string }
  | {
      readonly kind: "delay";
      readonly name: string;
      readonly to: ProcessId;
      readonly sentMs: number;
    }
  | { readonly kind: "cut"; readonly index: number }
  | {
      readonly kind: "marker";
      readonly index: number;
      readonly from: ProcessId;
      readonly to: ProcessId;
      readonly sentMs: number;
    }
  | { readonly kind: "cursor" };

const TOP = 30;
const BOTTOM = 18;
const SNAP_MS = 5;
const KEY_MS = 10;
/** A drag on one line that is shorter is a click. */
const CLICK_PX = 4;
const NARROW_PX = 600;

export function Diagram(props: DiagramProps) {
  const { lab, run, cursorMs, pen, wrong, selected, showsProtocol, showsWords } = props;
  const svg = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(900);
  const [drag, setDrag] = useState<(Drag & { readonly base: Lab; readonly x: number }) | undefined>(
    undefined,
  );
  const [heldSpan, setHeldSpan] = useState<number | undefined>(undefined);

  useEffect(() => {
    const element = svg.current?.parentElement;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setWidth(Math.max(280, Math.floor(entry.contentRect.width)));
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  // Escape lets go of what is dragged, as if it had not been.
  const { onDraft } = props;
  useEffect(() => {
    if (!drag) return;
    const press = (event: globalThis.KeyboardEvent): void => {
      if (event.key !== "Escape") return;
      setDrag(undefined);
      setHeldSpan(undefined);
      onDraft(undefined);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [drag, onDraft]);

  const isNarrow = width < NARROW_PX;
  const left = isNarrow ? 16 : 84;
  const right = 26;
  const rowHeight = isNarrow ? 92 : 100;
  const span = heldSpan ?? spanOf(run);
  const inner = width - left - right;
  const height = TOP + rowHeight * lab.processes.length + BOTTOM;
  const xOf = (ms: number): number => left + (ms / span) * inner;
  const rowOf = (id: ProcessId): number => lab.processes.indexOf(id);
  const yOf = (id: ProcessId): number => TOP + rowHeight * (rowOf(id) + 0.5);
  const cursorX = xOf(Math.min(cursorMs, span));
  const place = (event: PointerEvent): { readonly ms: number; readonly id: ProcessId } => {
    const box = svg.current?.getBoundingClientRect();
    const ms = ((event.clientX - (box?.left ?? 0) - left) / inner) * span;
    const row = Math.floor((event.clientY - (box?.top ?? 0) - TOP) / rowHeight);
    const snapped = Math.round(ms / SNAP_MS) * SNAP_MS;
    return {
      ms: Math.min(TIME_MAX, Math.max(0, snapped)),
      id: lab.processes[Math.min(lab.processes.length - 1, Math.max(0, row))] as ProcessId,
    };
  };

  // Dragging.

  const begin = (event: PointerEvent, what: Drag): void => {
    if (event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation();
    // What is dragged has the keyboard too, as what is clicked has.
    if (event.currentTarget instanceof SVGElement) event.currentTarget.focus();
    svg.current?.setPointerCapture(event.pointerId);
    setHeldSpan(span);
    setDrag({ ...what, base: lab, x: event.clientX });
    if (what.kind === "send" || what.kind === "delay")
      props.onSelect({ kind: "message", name: what.name });
    if (what.kind === "cut" || what.kind === "marker")
      props.onSelect({ kind: "snapshot", index: what.index });
    if (what.kind === "cursor") props.onCursor(place(event).ms);
  };

  const dragged = (event: PointerEvent): Lab | undefined => {
    if (!drag) return undefined;
    const { base } = drag;
    const { ms, id } = place(event);
    switch (drag.kind) {
      case "draw": {
        if (pen.makes === "snapshot" || id === drag.from) return undefined;
        const delay = Math.max(SNAP_MS, ms - drag.startMs);
        return withMessage(base, {
          ...{ name: freshName(base), from: drag.from, atMs: drag.startMs, order: pen.order },
          ...(pen.toAll ? {} : { to: id }),
          delays: (pen.toAll ? base.processes.filter((one) => one !== drag.from) : [id]).map(
            (to) => ({ to, ms: delay }),
          ),
        });
      }
      case "send":
        return withMessageChanged(base, drag.name, { atMs: ms });
      case "delay":
        return withDelay(base, drag.name, drag.to, ms - drag.sentMs);
      case "cut":
        return withSnapshotChanged(base, drag.index, { atMs: ms });
      case "marker":
        return withMarkerDelay(base, drag.index, drag.from, drag.to, ms - drag.sentMs);
      case "cursor":
        return undefined;
    }
  };

  const move = (event: PointerEvent): void => {
    if (!drag) return;
    if (drag.kind === "cursor") {
      props.onCursor(Math.min(span, place(event).ms));
      return;
    }
    props.onDraft(dragged(event));
  };

  const finish = (event: PointerEvent): void => {
    if (!drag) return;
    const next =
      Math.abs(event.clientX - drag.x) < CLICK_PX && drag.kind !== "draw"
        ? undefined
        : dragged(event);
    cancel();
    if (next) {
      props.onChange(next);
      if (drag.kind === "draw") props.onSelect({ kind: "message", name: freshName(drag.base) });
    } else if (drag.kind === "draw" && pen.makes === "snapshot") {
      props.onChange(withSnapshot(drag.base, drag.from, drag.startMs));
      props.onSelect({ kind: "snapshot", index: drag.base.snapshots.length });
    } else if (drag.kind === "draw" && Math.abs(event.clientX - drag.x) < CLICK_PX) {
      props.onSelect(undefined);
      props.onCursor(Math.min(span, drag.startMs));
    }
  };

  const cancel = (): void => {
    setDrag(undefined);
    setHeldSpan(undefined);
    props.onDraft(undefined);
  };

  const keys =
    (shift: (by: number) => void, remove?: () => void) =>
    (event: KeyboardEvent): void => {
      const by = event.shiftKey ? 5 * KEY_MS : KEY_MS;
      if (event.key === "ArrowRight") shift(by);
      else if (event.key === "ArrowLeft") shift(-by);
      else if ((event.key === "Delete" || event.key === "Backspace") && remove) remove();
      else return;
      event.preventDefault();
    };

  // What is drawn.

  const frames = run.frames.filter(
    ({ kind }) =>
      kind === "message" ||
      kind === "marker" ||
      (showsProtocol && (kind === "order" || kind === "proposal")) ||
      (showsWords && (kind === "word" || kind === "control")),
  );
  const ofMessage = (name: string): string =>
    [
      `hue-${hueOf(lab, name)}`,
      wrong.has(name) ? "is-wrong" : wrong.size > 0 ? "is-right" : "",
      selected?.kind === "message" && selected.name === name ? "is-selected" : "",
    ].join(" ");
  const dots = useMemo(
    () => lab.processes.map((id) => dotsOf(lab, run, id, (ms) => left + (ms / span) * inner)),
    [lab, run, left, span, inner],
  );

  return (
    <svg
      ref={svg}
      className={drag ? "lab-diagram is-dragging" : "lab-diagram"}
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      role="application"
      aria-label={`Space-time diagram of ${lab.processes.join(", ")}. The table of messages says the same.`}
      onPointerMove={move}
      onPointerUp={finish}
      onPointerCancel={cancel}
    >
      <g className="lab-axis">
        {ticksOf(span, isNarrow ? 5 : 12).map((ms) => (
          <g key={ms}>
            <line x1={xOf(ms)} x2={xOf(ms)} y1={TOP - 6} y2={height - BOTTOM} />
            <text x={xOf(ms)} y={height - 4}>
              {ms === 0 ? "0 ms" : ms}
            </text>
          </g>
        ))}
      </g>

      {lab.processes.map((id) => (
        <g key={id} className="lab-process">
          <line x1={left} x2={width - right + 12} y1={yOf(id)} y2={yOf(id)} />
          <text
            x={isNarrow ? 4 : left - 12}
            y={isNarrow ? yOf(id) - rowHeight / 2 + 14 : yOf(id) + 4}
            textAnchor={isNarrow ? "start" : "end"}
          >
            {id.length > 11 ? `${id.slice(0, 10)}…` : id}
          </text>
          <rect
            className="lab-line-hit"
            data-process={id}
            x={left}
            y={yOf(id) - 20}
            width={inner + right - 4}
            height={40}
            onPointerDown={(event) =>
              begin(event, { kind: "draw", from: id, startMs: place(event).ms })
            }
          />
        </g>
      ))}

      {run.snapshots.map((one, index) => (
        <Cut
          // biome-ignore lint/suspicious/noArrayIndexKey: a snapshot is known by its place in the lab
          key={index}
          lab={lab}
          run={run}
          index={index}
          cursorMs={cursorMs}
          points={lab.processes.flatMap((id) => {
            const ms = one.recorded.get(id);
            return ms === undefined ? [] : [{ id, ms, x: xOf(ms), y: yOf(id) }];
          })}
          xOf={xOf}
        />
      ))}

      <g>
        {frames.map((frame, i) => (
          <Arrow
            // biome-ignore lint/suspicious/noArrayIndexKey: a frame has no name
            key={i}
            frame={frame}
            className={
              frame.message !== undefined ? ofMessage(frame.message) : `kind-${frame.kind}`
            }
            x1={xOf(frame.sentMs)}
            x2={xOf(frame.arrivesMs)}
            y1={yOf(frame.from)}
            y2={yOf(frame.to)}
            xWanted={xOf(frame.wantedMs)}
            cursorMs={cursorMs}
          />
        ))}
      </g>

      {lab.processes.map((id, row) => (
        <Deliveries
          key={id}
          at={id}
          y={yOf(id)}
          dots={dots[row] ?? []}
          sends={lab.messages
            .filter(({ from }) => from === id)
            .map(({ name, atMs }) => ({ text: name, x: xOf(atMs) }))}
          {...{ cursorMs, xOf, ofMessage }}
        />
      ))}

      {lab.messages.map(({ name, from, atMs, order }) => (
        <Handle
          key={name}
          className={`lab-send ${ofMessage(name)}`}
          x={xOf(atMs)}
          y={yOf(from)}
          shape="square"
          number={
            dots[rowOf(from)]?.find(({ isOwn, delivery }) => isOwn && delivery.message === name)
              ?.place
          }
          label={`${name}: ${from} sends it, ${order === "none" ? "without order" : order}`}
          ms={atMs}
          text={`at ${atMs} ms`}
          onPointerDown={(event) => begin(event, { kind: "send", name })}
          onFocus={() => props.onSelect({ kind: "message", name })}
          onKeyDown={keys(
            (by) => props.onChange(withMessageChanged(lab, name, { atMs: atMs + by })),
            () => props.onChange(withoutMessage(lab, name)),
          )}
        />
      ))}
      {frames.map((frame) => {
        const { message, to, from, sentMs, arrivesMs, kind, snapshot } = frame;
        if (message !== undefined)
          return (
            <Handle
              key={`${message} ${to}`}
              className={`lab-head ${ofMessage(message)}`}
              x={xOf(arrivesMs)}
              y={yOf(to)}
              shape="circle"
              label={`${message}: it comes to ${to}`}
              ms={arrivesMs}
              text={`at ${arrivesMs} ms, after ${arrivesMs - sentMs} ms`}
              onPointerDown={(event) => begin(event, { kind: "delay", name: message, to, sentMs })}
              onFocus={() => props.onSelect({ kind: "message", name: message })}
              onKeyDown={keys(
                (by) => props.onChange(withDelay(lab, message, to, arrivesMs - sentMs + by)),
                () => props.onChange(withoutMessage(lab, message)),
              )}
            />
          );
        if (kind !== "marker" || snapshot === undefined) return undefined;
        const cut = lab.snapshots[snapshot];
        return (
          <Handle
            key={`marker ${snapshot} ${from} ${to}`}
            className="lab-head kind-marker"
            x={xOf(arrivesMs)}
            y={yOf(to)}
            shape="circle"
            label={`the marker of snapshot ${snapshot + 1} from ${from} comes to ${to}`}
            ms={arrivesMs}
            text={`at ${arrivesMs} ms, after ${arrivesMs - sentMs} ms`}
            onPointerDown={(event) =>
              begin(event, { kind: "marker", index: snapshot, from, to, sentMs })
            }
            onFocus={() => props.onSelect({ kind: "snapshot", index: snapshot })}
            onKeyDown={keys((by) => {
              const ms = cut ? markerDelay(lab, cut, from, to) : 0;
              props.onChange(withMarkerDelay(lab, snapshot, from, to, ms + by));
            })}
          />
        );
      })}
      {lab.snapshots.map(({ at, atMs }, index) => (
        <Handle
          // biome-ignore lint/suspicious/noArrayIndexKey: a snapshot is known by its place in the lab
          key={index}
          className={`lab-begin kind-marker${selected?.kind === "snapshot" && selected.index === index ? " is-selected" : ""}`}
          x={xOf(atMs)}
          y={yOf(at)}
          shape="diamond"
          label={`snapshot ${index + 1}: ${at} begins it`}
          ms={atMs}
          text={`at ${atMs} ms`}
          onPointerDown={(event) => begin(event, { kind: "cut", index })}
          onFocus={() => props.onSelect({ kind: "snapshot", index })}
          onKeyDown={keys(
            (by) => props.onChange(withSnapshotChanged(lab, index, { atMs: atMs + by })),
            () => props.onChange(withoutSnapshot(lab, index)),
          )}
        />
      ))}

      <g className="lab-cursor" onPointerDown={(event) => begin(event, { kind: "cursor" })}>
        <rect x={cursorX - 8} y={0} width={16} height={TOP} />
        <line x1={cursorX} x2={cursorX} y1={10} y2={height - BOTTOM} />
        <path d={`M${cursorX - 7} 2h14v9l-7 7l-7 -7z`} />
      </g>
    </svg>
  );
}

interface HandleProps {
  readonly className: string;
  readonly x: number;
  readonly y: number;
  readonly shape: "circle" | "square" | "diamond";
  /** Which of its deliveries stands there. */
  readonly number?: number | undefined;
  readonly label: string;
  readonly ms: number;
  readonly text: string;
  onPointerDown(event: PointerEvent): void;
  onKeyDown(event: KeyboardEvent): void;
  onFocus(): void;
}

/** Something that is dragged along a line: a slider. */
function Handle({ className, x, y, shape, number, label, ms, text, ...handlers }: HandleProps) {
  const shapes: Readonly<Record<HandleProps["shape"], ReactNode>> = {
    circle: <circle className="lab-shape" cx={x} cy={y} r={5} />,
    square:
      number === undefined ? (
        <rect className="lab-shape" x={x - 5} y={y - 5} width={10} height={10} rx={2} />
      ) : (
        <rect
          className="lab-shape"
          x={x - DOT}
          y={y - DOT}
          width={2 * DOT}
          height={2 * DOT}
          rx={3}
        />
      ),
    diamond: <path className="lab-shape" d={`M${x} ${y - 9}l9 9l-9 9l-9 -9z`} />,
  };
  return (
    <g
      className={`lab-handle ${className}`}
      role="slider"
      tabIndex={0}
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={2 * TIME_MAX}
      aria-valuenow={ms}
      aria-valuetext={text}
      {...handlers}
    >
      <title>{`${label}, ${text}`}</title>
      <circle className="lab-grip" cx={x} cy={y} r={11} />
      {shapes[shape]}
      {number !== undefined && (
        <text className="lab-place" x={x} y={y + 3.5}>
          {number}
        </text>
      )}
    </g>
  );
}

interface DeliveriesProps {
  readonly at: ProcessId;
  readonly y: number;
  readonly dots: readonly Dot[];
  readonly sends: readonly { readonly text: string; readonly x: number }[];
  readonly cursorMs: number;
  xOf(ms: number): number;
  /** Classes. */
  ofMessage(name: string): string;
}

/** What one process delivers, how long it held it back, and what it sends. */
function Deliveries({ at, y, dots, sends, cursorMs, xOf, ofMessage }: DeliveriesProps) {
  const later = (name: string): string => {
    const dot = dots.find(({ delivery }) => delivery.message === name);
    return dot && dot.delivery.deliveredMs > cursorMs ? " is-later" : "";
  };
  const others = dots.filter(({ isOwn }) => !isOwn);
  return (
    <g>
      {others.map(({ delivery: { message, receivedMs, deliveredMs }, lane }) => {
        const end = Math.min(deliveredMs, cursorMs);
        if (end <= receivedMs) return undefined;
        return (
          <rect
            key={message}
            className={`lab-held ${ofMessage(message)}`}
            x={xOf(receivedMs)}
            y={y - 4 - 9 * lane}
            width={xOf(end) - xOf(receivedMs)}
            height={8}
            rx={4}
          >
            <title>{`${message} is held back at ${at} for ${deliveredMs - receivedMs} ms`}</title>
          </rect>
        );
      })}
      {others.map(({ delivery: { message, deliveredMs }, place, x }) => (
        <g key={message} className={`lab-dot ${ofMessage(message)}${later(message)}`}>
          <circle cx={x} cy={y} r={DOT}>
            <title>{`${at} delivers ${message} at ${deliveredMs} ms`}</title>
          </circle>
          <text className="lab-place" x={x} y={y + 3.5}>
            {place}
          </text>
        </g>
      ))}
      {labelsOf(others.map(({ delivery: { message }, x }) => ({ text: message, x }))).map(
        ({ text, x, line }) => (
          <text
            key={text}
            className={`lab-label ${ofMessage(text)}${later(text)}`}
            x={x}
            y={y + 23 + 12 * line}
          >
            {text}
          </text>
        ),
      )}
      {labelsOf(sends).map(({ text, x, line }) => (
        <text
          key={text}
          className={`lab-label is-send ${ofMessage(text)}`}
          x={x}
          y={y - 15 - 12 * line}
        >
          {text}
        </text>
      ))}
    </g>
  );
}

interface ArrowProps {
  readonly frame: RunFrame;
  readonly className: string;
  readonly x1: number;
  readonly x2: number;
  readonly y1: number;
  readonly y2: number;
  /** Where it would come to if nothing were before it on its channel. */
  readonly xWanted: number;
  readonly cursorMs: number;
}

/** A frame on its way: what has not been sent yet is pale, and what is under way has a point where it is. */
function Arrow({ frame, className, x1, x2, y1, y2, xWanted, cursorMs }: ArrowProps) {
  const { sentMs, arrivesMs, says, mark, from, to } = frame;
  const way = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [dx, dy] = [(x2 - x1) / way, (y2 - y1) / way];
  // It ends before the line, so that heads of several can be told apart.
  const [tipX, tipY] = [x2 - dx * 6, y2 - dy * 6];
  const [baseX, baseY] = [tipX - dx * 9, tipY - dy * 9];
  const head = `M${tipX} ${tipY}L${baseX - dy * 4} ${baseY + dx * 4}L${baseX + dy * 4} ${baseY - dx * 4}z`;
  const isUnderWay = sentMs <= cursorMs && cursorMs < arrivesMs;
  const part = (cursorMs - sentMs) / (arrivesMs - sentMs || 1);
  return (
    <g className={`lab-arrow ${className}${sentMs > cursorMs ? " is-later" : ""}`}>
      <title>{`${from} → ${to}: ${says.join("; ")}`}</title>
      <line x1={x1} y1={y1} x2={baseX} y2={baseY} />
      <path d={head} />
      {xWanted < x2 && (
        <circle className="lab-wanted" cx={xWanted} cy={y2} r={3}>
          <title>It waits behind another one on the channel</title>
        </circle>
      )}
      {mark !== undefined && (
        <text x={x1 + (x2 - x1) * 0.28} y={y1 + (y2 - y1) * 0.28 + 3}>
          {mark}
        </text>
      )}
      {isUnderWay && <circle cx={x1 + (x2 - x1) * part} cy={y1 + (y2 - y1) * part} r={4.5} />}
    </g>
  );
}

interface CutProps {
  readonly lab: Lab;
  readonly run: Run;
  readonly index: number;
  readonly cursorMs: number;
  readonly points: readonly {
    readonly id: ProcessId;
    readonly ms: number;
    readonly x: number;
    readonly y: number;
  }[];
  xOf(ms: number): number;
}

/** Where all recorded their states, and how long each recorded its channels. */
function Cut({ lab, run, index, cursorMs, points, xOf }: CutProps) {
  const seen = points.filter(({ ms }) => ms <= cursorMs);
  const path = (some: CutProps["points"]): string =>
    some.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${x} ${y}`).join("");
  const [first] = points;
  return (
    <g className="lab-cut">
      {points.flatMap(({ id, ms, y }) =>
        lab.processes
          .filter((from) => from !== id)
          .map((from, i) => {
            const marker = run.frames.find(
              (frame) =>
                frame.kind === "marker" &&
                frame.snapshot === index &&
                frame.from === from &&
                frame.to === id,
            );
            const end = Math.min(marker?.arrivesMs ?? ms, cursorMs);
            if (end <= ms) return undefined;
            return (
              <rect
                key={`${from} ${id}`}
                className="lab-recording"
                x={xOf(ms)}
                y={y + 9 + 4 * i}
                width={xOf(end) - xOf(ms)}
                height={3}
                rx={1.5}
              >
                <title>{`${id} records the channel from ${from}`}</title>
              </rect>
            );
          }),
      )}
      <path className="is-later" d={path(points)} />
      <path d={path(seen)} />
      {points.map(({ id, ms, x, y }) => (
        <circle key={id} className={ms > cursorMs ? "is-later" : ""} cx={x} cy={y} r={4}>
          <title>{`${id} records its state at ${ms} ms`}</title>
        </circle>
      ))}
      {first && (
        <text x={first.x} y={first.y - 36} className={first.ms > cursorMs ? "is-later" : ""}>
          {run.snapshots[index]?.id ?? ""}
        </text>
      )}
    </g>
  );
}
