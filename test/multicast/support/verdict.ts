/** What is wrong with what a group did: by checkers that know nothing of the machines, and by what is left in them. */

import type { OrderLevel } from "../../../src/core/order-level.ts";
import { checkHistory, drawSpaceTime, History, type HistoryLine } from "../../../src/trace.ts";
import { type GroupWorld, runGroup } from "./members.ts";

/**
 * What is not promised to happen once a member is gone whose word total order needs: without the sequencer, that what asks for it is
 * delivered; in an agreed order, also that one delivers what another does.
 */
function mayWait(
  { levels, total }: GroupWorld,
  history: readonly HistoryLine[],
): "nothing" | "messages" | "one for another" {
  const dead = history.flatMap((line) => (line.type === "crash" ? [line.process] : []));
  if (dead.length === 0 || !levels.some((level) => level.includes("total"))) return "nothing";
  if (total === "agreed") return "one for another";
  return dead.includes("p1") ? "messages" : "nothing";
}

/** What does not hold; `undefined` if all does. */
export function broken(world: GroupWorld, lines: readonly HistoryLine[]): string | undefined {
  const history = new History(`seed ${world.seed}`);
  const waits = mayWait(world, lines);
  const complete = waits !== "one for another";
  const members = Array.from({ length: world.members }, (_, i) => `p${i + 1}`);
  history.add({ type: "history", complete });
  history.add({ type: "group", group: "g", members });
  for (const line of lines) history.add(line);
  for (const uniform of world.uniform && complete ? [false, true] : [false])
    for (const verdict of checkHistory(history, { uniform }))
      if (verdict.holds === false && (verdict.promise !== "validity" || waits === "nothing"))
        return `${JSON.stringify(world)}\n${verdict.promise}: ${verdict.reason}\n${drawSpaceTime(verdict.witness)}`;
  return undefined;
}

/** Runs a group; gives what is wrong, `undefined` if nothing is. */
export function wrongIn(world: GroupWorld): string | undefined {
  const { history, alive, irregular } = runGroup(world);
  const wrong = broken(world, history) ?? irregular[0];
  if (wrong !== undefined || mayWait(world, history) !== "nothing") return wrong;
  const dead = history.some(({ type }) => type === "crash");
  for (const group of alive) {
    const [held] = group.explain().held;
    if (held) return `${JSON.stringify(world)}\nheld: ${JSON.stringify(held)}`;
    for (const { kept, early } of group.state.origins)
      if (!dead && kept.length + early.size > 0)
        return `${JSON.stringify(world)}\n${kept.length} packets are kept, ${early.size} wait for a gap`;
  }
  return undefined;
}

/** The promises that some end of all schedules does not keep, judged by that level. */
export function brokenBy(ends: ReadonlySet<string>, level: OrderLevel): readonly string[] {
  const broken = new Set<string>();
  for (const end of ends) {
    const history = new History();
    const logs = JSON.parse(end) as string[][];
    const members = logs.map((_, i) => `p${i + 1}`);
    history.add({ type: "group", group: "g", members });
    for (const [at, log] of logs.entries())
      for (const word of log) {
        const common = { process: members[at] as string, group: "g" } as const;
        if (word.startsWith("+"))
          history.add({ ...common, type: "multicast", message: word.slice(1) });
        else history.add({ ...common, type: "deliver", message: word });
      }
    for (const verdict of checkHistory(history, { order: level }))
      if (verdict.holds === false) broken.add(verdict.promise);
  }
  return [...broken].sort();
}
