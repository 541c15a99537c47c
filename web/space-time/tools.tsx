/** What stands above the picture: searching, choosing what is shown, sharing, and which keys there are. */

import { type Ref, type RefObject, useDeferredValue, useEffect, useRef, useState } from "react";
import { usePage } from "../page.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { byteSize, grouped } from "../parts/words.ts";
import { KINDS, type Kind } from "./events.ts";
import type { Session } from "./session.ts";
import { asPage, asSvg, asTrace, type Saved, save } from "./share.ts";
import type { Stage } from "./stage.ts";
import { useLooked } from "./use-looked.ts";

interface ToolProps {
  readonly session: Session;
}

/** A search waits until nobody types any more. */
const TYPING_MS = 200;

export function SearchBar({ session, ref }: ToolProps & { readonly ref: Ref<HTMLInputElement> }) {
  const { query, matches, selected } = useLooked(session);
  const [text, setText] = useState(query);
  const wanted = useDeferredValue(text);
  useEffect(() => {
    if (wanted === session.looked.query) return;
    const timer = setTimeout(() => session.search(wanted), TYPING_MS);
    return () => clearTimeout(timer);
  }, [session, wanted]);
  const at = selected ? matches.indexOf(selected.event) + 1 : 0;
  const go = (isForward: boolean): void => {
    if (text !== session.looked.query) session.search(text);
    session.findNext(isForward);
  };
  return (
    <search className="st-search">
      <input
        ref={ref}
        type="search"
        aria-label="Search events"
        placeholder="Search events"
        value={text}
        onChange={({ target }) => setText(target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          go(!event.shiftKey);
        }}
      />
      <Button isQuiet label="Previous match" isDisabled={text === ""} onClick={() => go(false)}>
        ↑
      </Button>
      <Button isQuiet label="Next match" isDisabled={text === ""} onClick={() => go(true)}>
        ↓
      </Button>
      <output className="dim">
        {query.trim() === ""
          ? ""
          : at > 0
            ? `${grouped(at)} of ${grouped(matches.length)}`
            : `${grouped(matches.length)} found`}
      </output>
    </search>
  );
}

const KIND_NAMES: Readonly<Record<Kind, string>> = {
  ...{ messages: "messages", groups: "multicasts and deliveries", markers: "markers" },
  ...{ records: "recordings of snapshots", internal: "internal events", crashes: "crashes" },
};

export function FilterMenu({ session }: ToolProps) {
  const { hiddenKinds, hiddenProcesses, collapsed } = useLooked(session);
  const { processes } = session.trace;
  const hidden = hiddenKinds.size + hiddenProcesses.size;
  const toggled = <T,>(set: ReadonlySet<T>, one: T): ReadonlySet<T> => {
    const next = new Set(set);
    if (!next.delete(one)) next.add(one);
    return next;
  };
  return (
    <Menu name={hidden > 0 ? `Filter · ${grouped(hidden)} hidden` : "Filter"}>
      <fieldset>
        <legend>Shown</legend>
        {KINDS.map((kind) => (
          <label key={kind} className="st-check">
            <input
              type="checkbox"
              checked={!hiddenKinds.has(kind)}
              onChange={() => session.hideKinds(toggled(hiddenKinds, kind))}
            />
            {KIND_NAMES[kind]}
          </label>
        ))}
      </fieldset>
      <fieldset>
        <legend>Processes</legend>
        {processes.map((name, process) => (
          <label key={name} className="st-check">
            <input
              type="checkbox"
              checked={!hiddenProcesses.has(process)}
              // One is left: a picture of nobody says nothing.
              disabled={
                !hiddenProcesses.has(process) && hiddenProcesses.size === processes.length - 1
              }
              onChange={() =>
                void session.arrange({ hiddenProcesses: toggled(hiddenProcesses, process) })
              }
            />
            {name}
          </label>
        ))}
      </fieldset>
      <div className="bar">
        <Button
          isDisabled={hidden === 0}
          onClick={() => {
            session.hideKinds(new Set());
            if (hiddenProcesses.size > 0) void session.arrange({ hiddenProcesses: new Set() });
          }}
        >
          Show all
        </Button>
        <Button
          onClick={() =>
            session.set({
              collapsed: collapsed.size === 0 ? new Set(processes.keys()) : new Set(),
            })
          }
        >
          {collapsed.size === 0 ? "Collapse all" : "Expand all"}
        </Button>
      </div>
    </Menu>
  );
}

export function ShareMenu({
  session,
  stage,
}: ToolProps & { readonly stage: RefObject<Stage | undefined> }) {
  const { say } = usePage();
  const give = (make: () => Saved): void => {
    try {
      const saved = make();
      save(saved);
      const size = byteSize(new Blob([saved.text]).size);
      say(`${saved.name}, ${size}: ${saved.said}`, "good");
    } catch (error) {
      say(`it cannot be saved: ${(error as Error).message}`, "bad");
    }
  };
  return (
    <Menu name="Share">
      <Button onClick={() => give(() => asPage(session))}>This page with the trace (HTML)</Button>
      <Button onClick={() => give(() => asSvg(session, stage.current?.edges ?? [0, 0]))}>
        What is seen, as a picture (SVG)
      </Button>
      <Button onClick={() => give(() => asTrace(session))}>The trace (JSON lines)</Button>
    </Menu>
  );
}

/** What opens below its name, until somebody does something else. */
function Menu({ name, children }: { readonly name: string; readonly children: React.ReactNode }) {
  const ref = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event): void => {
      const menu = ref.current;
      if (!menu?.open) return;
      if (event instanceof KeyboardEvent) {
        if (event.key !== "Escape") return;
        menu.open = false;
        menu.querySelector("summary")?.focus();
      } else if (!menu.contains(event.target as Node)) menu.open = false;
    };
    // What was chosen is done.
    const chosen = ({ target }: Event): void => {
      if (ref.current && target instanceof Element && target.closest(".st-menu-body button"))
        ref.current.open = false;
    };
    const menu = ref.current;
    menu?.addEventListener("click", chosen);
    addEventListener("pointerdown", close);
    addEventListener("keydown", close);
    return () => {
      menu?.removeEventListener("click", chosen);
      removeEventListener("pointerdown", close);
      removeEventListener("keydown", close);
    };
  }, []);
  return (
    <details ref={ref} className="st-menu">
      <summary className="button">{name}</summary>
      <div className="st-menu-body">{children}</div>
    </details>
  );
}

const KEYS: readonly (readonly [key: string, what: string])[] = [
  ["← →", "the next event of the process, or the one before"],
  ["↑ ↓", "the nearest event of the next process"],
  ["M", "the other end of its message"],
  ["Shift ← →", "move the cut at the process of the event"],
  ["C", "cut after the event and all that happened before it"],
  ["N, I, O", "to the nearest consistent cut, the one inside, the one around"],
  ["[ ]", "step: one event out of the cut, or into it"],
  ["X, Ctrl Z", "no cut; undo"],
  ["+ − 0", "zoom in, zoom out, all"],
  ["Page Up, Page Down, Home, End", "move along"],
  ["/", "search"],
  ["Escape", "no event"],
];

const SIGNS: readonly (readonly [sign: string, what: string])[] = [
  ["● ○", "sends or multicasts; receives or delivers"],
  ["◆ ✕", "records for a snapshot; crashes"],
  ["dashed", "a marker of a snapshot"],
  ["dotted", "the other end is not shown, or, with a cross, not told"],
  ["orange, red", "in flight across the cut; an orphan"],
  ["ochre, blue lines", "what led to the event; what it led to"],
];

export function HelpDialog({ onClose }: { readonly onClose: () => void }) {
  return (
    <Dialog title="In the picture" onClose={onClose}>
      <dl className="st-facts st-keys">
        {[...KEYS, ...SIGNS].map(([key, what]) => (
          <div key={key}>
            <dt>{key}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p className="dim">
        Drag the line of the cut, or its top for all of it. A double click cuts straight through.
        The wheel moves, with Ctrl it zooms. A click on a name collapses a process.
      </p>
    </Dialog>
  );
}
