/** The lab that is worked on, what it was before, and where it is kept: in the address, so that a link shows it, and for this tab. */

import { useCallback, useEffect, useMemo, useState } from "react";
import { goTo, hrefOf, usePage, useRoute } from "../page.tsx";
import { type Lab, labOfLink, linkOf, readLab, writeLab } from "./lab.ts";
import { PRESETS } from "./presets.ts";

/** See the head of the file. */
export interface LabHistory {
  readonly lab: Lab;
  readonly canUndo: boolean;
  readonly canRedo: boolean;
  change(lab: Lab): void;
  undo(): void;
  redo(): void;
}

interface Steps {
  readonly before: readonly Lab[];
  readonly lab: Lab;
  readonly after: readonly Lab[];
}

/** The file that was opened last and is shown: who comes back to the view wants what is worked on. */
let shown: unknown;

const VIEW = "ordering-lab";
const KEPT = "tidemark lab";
const STEPS_MAX = 200;
/** What is seen first: something that is held back. */
const FIRST = (PRESETS.find(({ id }) => id === "reply-waits") ?? PRESETS[0])?.lab as Lab;

/** How a lab stands in the address: by its name if everybody has it. Undefined if it is too large. */
export function routeOf(lab: Lab): string | undefined {
  return PRESETS.find((preset) => preset.lab === lab)?.id ?? linkOf(lab);
}

/** @throws Error that says what is wrong with it */
function labOfRoute(route: string): Lab {
  return PRESETS.find(({ id }) => id === route)?.lab ?? labOfLink(route);
}

function keptLab(): Lab {
  try {
    const kept = sessionStorage.getItem(KEPT);
    if (kept === null) return FIRST;
    const lab = readLab(kept);
    return PRESETS.find((preset) => writeLab(preset.lab) === kept)?.lab ?? lab;
  } catch {
    // Of another version, or there is no room for it here.
    return FIRST;
  }
}

export function useLabHistory(): LabHistory {
  const { say, lab: opened } = usePage();
  const [view, route] = useRoute();
  const [steps, setSteps] = useState<Steps>(() => ({ before: [], lab: keptLab(), after: [] }));
  const [asked, setAsked] = useState<string | undefined>(undefined);

  const change = useCallback((next: Lab) => {
    setSteps((now) =>
      next === now.lab
        ? now
        : { before: [...now.before.slice(1 - STEPS_MAX), now.lab], lab: next, after: [] },
    );
  }, []);

  useEffect(() => {
    if (!opened || opened === shown) return;
    shown = opened;
    change(opened.lab);
  }, [opened, change]);

  // Somebody came by a link.
  useEffect(() => {
    if (view !== VIEW || route === undefined || route === asked) return;
    setAsked(route);
    try {
      change(labOfRoute(route));
    } catch (thrown) {
      say(`This lab cannot be shown: ${(thrown as Error).message}.`, "bad");
    }
  }, [view, route, asked, change, say]);

  // What is shown is in the address, without a step of the browser for each change.
  useEffect(() => {
    const { lab } = steps;
    // Somebody goes elsewhere.
    if (view !== undefined && view !== VIEW) return;
    // What the address asks for comes first.
    if (view === VIEW && route !== undefined && route !== asked) return;
    const own = routeOf(lab);
    const href = own === undefined ? hrefOf(VIEW) : hrefOf(VIEW, own);
    if (location.hash !== href) history.replaceState(null, "", href);
    setAsked(own);
    try {
      sessionStorage.setItem(KEPT, writeLab(lab));
    } catch {
      // There is no room: it is in the address, and can be saved.
    }
  }, [steps, view, route, asked]);

  return useMemo(
    () => ({
      lab: steps.lab,
      canUndo: steps.before.length > 0,
      canRedo: steps.after.length > 0,
      change,
      undo: () =>
        setSteps((now) => {
          const lab = now.before.at(-1);
          return lab
            ? { before: now.before.slice(0, -1), lab, after: [now.lab, ...now.after] }
            : now;
        }),
      redo: () =>
        setSteps((now) => {
          const [lab, ...after] = now.after;
          return lab ? { before: [...now.before, now.lab], lab, after } : now;
        }),
    }),
    [steps, change],
  );
}

/** Shows a preset. */
export function goToPreset(id: string): void {
  goTo(VIEW, id);
}
