/** Snapshots. */

import { Empty } from "../parts/empty.tsx";

export function SnapshotsView() {
  return <Empty title="Snapshots" />;
}
