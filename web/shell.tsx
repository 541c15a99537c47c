/** What is around every view: the name of what is shown, the way to the others, files that are dropped, and what is said. */

import { type ComponentType, type DragEvent, useEffect, useLayoutEffect, useState } from "react";
import type { PageAbout } from "../src/serve/web/api.ts";
import type { OpenedFile, OpenedLab } from "./open-file.ts";
import { OrderingLab } from "./ordering-lab/ordering-lab.tsx";
import { goTo, hrefOf, usePage, useRoute } from "./page.tsx";
import { Boundary } from "./parts/boundary.tsx";
import { Button } from "./parts/button.tsx";
import { Tabs } from "./parts/tabs.tsx";
import { PropertiesView } from "./properties/properties-view.tsx";
import { SnapshotsView } from "./snapshots/snapshots-view.tsx";
import { SpaceTimeView } from "./space-time/space-time-view.tsx";
import { StoreView } from "./store/store-view.tsx";
import { SystemView } from "./system/system-view.tsx";

interface View {
  readonly path: string;
  readonly name: string;
  readonly View: ComponentType;
}

const VIEWS: readonly View[] = [
  { path: "system", name: "System", View: SystemView },
  { path: "snapshots", name: "Snapshots", View: SnapshotsView },
  { path: "space-time", name: "Space-time", View: SpaceTimeView },
  { path: "ordering-lab", name: "Ordering lab", View: OrderingLab },
  { path: "properties", name: "Properties", View: PropertiesView },
  { path: "store", name: "Store", View: StoreView },
];

const THEME = "tidemark theme";

export function Shell() {
  const { server, about, opened, lab, problem, notices, dismiss, open } = usePage();
  // What is first depends on what is served; until that is known there is nothing.
  const isAsking = server !== undefined && !about && !problem && !opened && !lab;
  const first = isAsking ? undefined : firstView(about?.kind, opened?.kind ?? lab?.kind);
  const [asked] = useRoute();
  const name = asked ?? first;
  const view = VIEWS.find(({ path }) => path === name);
  const [isOver, setIsOver] = useState(false);
  const [theme, setTheme] = useState(() => localStorage.getItem(THEME) ?? "");

  useEffect(() => {
    document.documentElement.dataset["theme"] = theme;
    localStorage.setItem(THEME, theme);
  }, [theme]);
  // Once chosen it stays, also when a system ends and something else would be first now.
  useLayoutEffect(() => {
    if (asked === undefined && first !== undefined) location.replace(hrefOf(first));
  }, [asked, first]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what is opened leads somewhere, and not away from what is looked at of it
  useEffect(() => {
    if (!opened) return;
    const shows = opened.kind === "trace" ? ["space-time", "properties"] : ["snapshots"];
    if (name === undefined || !shows.includes(name)) goTo(shows[0] as string);
  }, [opened]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only a lab that is opened leads there, and nobody is held there by it
  useEffect(() => {
    if (lab && name !== "ordering-lab") goTo("ordering-lab");
  }, [lab]);

  const drop = (event: DragEvent) => {
    event.preventDefault();
    setIsOver(false);
    const [file] = event.dataTransfer.files;
    if (file) void open(file);
  };
  const isDark =
    theme === "" ? matchMedia("(prefers-color-scheme: dark)").matches : theme === "dark";
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: a file can be chosen by a button as well
    <div
      className={isOver ? "shell is-over" : "shell"}
      onDragOver={(event) => {
        event.preventDefault();
        if (event.dataTransfer.types.includes("Files")) setIsOver(true);
      }}
      onDragLeave={({ currentTarget, relatedTarget }) => {
        // It is told of every part of the page that is left; what is entered instead may be none of it.
        if (!(relatedTarget instanceof Node && currentTarget.contains(relatedTarget)))
          setIsOver(false);
      }}
      onDrop={drop}
    >
      <button
        type="button"
        className="skip button"
        onClick={() => document.getElementById("main")?.focus()}
      >
        Skip to the view
      </button>
      <header className="top">
        <a className="brand" href={hrefOf()}>
          Tidemark
        </a>
        <Tabs
          label="Views"
          tabs={VIEWS.map((one) => ({
            name: one.name,
            href: hrefOf(one.path),
            isCurrent: one === view,
          }))}
        />
        {/* Behind the views: it is known later, and what somebody is about to press stays where it is. */}
        <span className="title" title={about?.title}>
          {opened?.name ?? about?.title ?? ""}
        </span>
        <label className="button quiet">
          Open…
          <input
            type="file"
            className="hidden"
            accept=".jsonl,.json,.tar,.gz,.log"
            onChange={({ target }) => {
              const [file] = target.files ?? [];
              if (file) void open(file);
              target.value = "";
            }}
          />
        </label>
        <Button
          isQuiet
          label={isDark ? "Light colours" : "Dark colours"}
          onClick={() => setTheme(isDark ? "light" : "dark")}
        >
          {isDark ? "☀" : "☾"}
        </Button>
      </header>
      {problem && (
        <p className="banner bad" role="alert">
          {problem.message}
        </p>
      )}
      <main id="main" tabIndex={-1}>
        {view && (
          <Boundary key={view.path} name={view.name}>
            <view.View />
          </Boundary>
        )}
        {!view && name !== undefined && <p className="empty">There is no view of that name.</p>}
      </main>
      <div className="notices" role="status">
        {notices.map((notice) => (
          <p key={notice.number} className={`notice ${notice.tone}`}>
            <span>{notice.text}</span>
            {notice.undo && (
              <Button
                onClick={() => {
                  notice.undo?.();
                  dismiss(notice);
                }}
              >
                Undo
              </Button>
            )}
            <Button isQuiet label="Dismiss" onClick={() => dismiss(notice)}>
              ×
            </Button>
          </p>
        ))}
      </div>
      {isOver && <p className="drop-hint">Drop a trace, a snapshot or a lab</p>}
    </div>
  );
}

/** What somebody who asked for nothing sees. */
function firstView(
  served: PageAbout["kind"] | undefined,
  opened: (OpenedFile | OpenedLab)["kind"] | undefined,
): string {
  switch (opened ?? served) {
    case "trace":
    // It could not be opened.
    case "file":
      return "space-time";
    case "snapshot":
    case "directory":
      return "snapshots";
    case "lab":
    case undefined:
      return "ordering-lab";
    default:
      return "system";
  }
}
