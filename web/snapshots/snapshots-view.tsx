/** Snapshots: all of a directory, each of them taken apart, and what changed from one to another. */

import "./snapshots.css";
import { useEffect } from "react";
import { goTo, usePage, useRoute } from "../page.tsx";
import { DiffView } from "./diff-view.tsx";
import { SnapshotDetail } from "./snapshot-detail.tsx";
import { SnapshotList } from "./snapshot-list.tsx";
import { keepOpened, type SnapshotName } from "./source.ts";

/** What was opened last and has been gone to: who comes back to the list wants the list. */
let shown: unknown;

export function SnapshotsView() {
  const { opened, say } = usePage();
  const [, first, second, what, ...rest] = useRoute();
  useEffect(() => {
    if (opened?.kind !== "snapshot" || opened === shown) return;
    shown = opened;
    try {
      const name = keepOpened(opened);
      // What is around this view goes to it first.
      queueMicrotask(() => goTo("snapshots", ...name));
    } catch (error) {
      say((error as Error).message, "bad");
    }
  }, [opened, say]);
  if (first === undefined || second === undefined) return <SnapshotList />;
  const name: SnapshotName = [first, second];
  const [otherFirst, otherSecond] = rest;
  if (what === "diff" && otherFirst !== undefined && otherSecond !== undefined)
    return <DiffView before={name} after={[otherFirst, otherSecond]} />;
  return <SnapshotDetail key={`${first}/${second}`} name={name} tab={what} rest={rest} />;
}
