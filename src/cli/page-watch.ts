/** How the page watches a system: snapshots that are removed again, and applications that are asked what they declare. */

import { TidemarkError } from "../core/error.ts";
import type { SnapshotId } from "../core/id.ts";
import type { Declarations } from "../process/declarations.ts";
import { Grouped } from "../process/grouped.ts";
import { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import type { InspectOptions } from "../runtime/inspect-snapshot.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import type { SystemCaller } from "../serve/web/backend.ts";
import type { WatchSource } from "../serve/web/watching.ts";
import { inspectedIn, mustBeBank } from "./detect.ts";
import { applicationOf, loadSystem, type SystemSource } from "./system-file.ts";

/** What is watched. */
interface Watched {
  readonly system: SystemCaller;
  readonly store: Pick<SnapshotStore, "get" | "delete">;
  /** What the processes are; undefined: it is not known, so only a bank can be watched. */
  readonly source: SystemSource | undefined;
}

export function watchSource({ system, store, source }: Watched): WatchSource {
  let application: InspectOptions["application"] | undefined;
  return {
    async offers() {
      const { kind, expected, processes } = await system("status", null);
      if (kind === "bank") return [`sum=money${expected === undefined ? "" : `:${expected}`}`];
      if (!source)
        throw new TidemarkError(
          "BAD_OPTION",
          `what the states of this ${kind} mean is known to what defines it: open the page that its own command serves, or ` +
            "tidemark ui --module FILE with the file that tidemark up runs",
        );
      const ids = processes.map(({ process }) => process);
      const definition = await loadSystem(source);
      return offersOf(ids.map((id) => applicationOf(source, definition, id, ids)));
    },
    async snapshot() {
      const inspected = await inspectedIn(source);
      const { snapshot: id, problem } = await system("snapshot", { passing: true });
      if (problem !== undefined)
        throw new TidemarkError(
          "DAMAGED",
          `${id} is not proven, so nothing follows from it: ${problem}`,
        );
      const stored = await store.get(id);
      if (!stored) throw new TidemarkError("NOT_FOUND", `somebody has removed ${id} meanwhile`);
      const snapshot = new GlobalSnapshot(stored, inspected.codecs);
      if (!source) await mustBeBank(snapshot);
      application = inspected.application(snapshot);
      return snapshot;
    },
    discard: (id: SnapshotId) => store.delete(id, true),
    application(id) {
      if (!application) throw new TidemarkError("NOT_RUNNING", "no snapshot was taken yet");
      return application(id);
    },
  };
}

/** What can be asked of these: whoever declares goods says which there are. */
function offersOf(applications: readonly object[]): readonly string[] {
  const offers = new Set<string>();
  const goods = new Map<string, number>();
  for (const one of applications) {
    const said: Partial<Declarations<unknown>> =
      one instanceof Grouped ? Object(one.application) : one;
    if (said.waits) offers.add("deadlock");
    if (said.isPassive) offers.add("termination");
    if (said.references) offers.add("garbage");
    try {
      for (const [name, amount] of Object.entries(said.goods?.() ?? {}))
        goods.set(name, (goods.get(name) ?? 0) + Number(amount));
    } catch {
      // Before it has started it may have nothing to say; it is asked for by name then.
    }
  }
  for (const [name, amount] of goods) {
    offers.add(`sum=${name}`);
    if (amount === 1) offers.add(`token=${name}`);
  }
  return [...offers];
}
