// Groups in whole processes, over links, under the simulator's faults; and whoever goes on from a snapshot taken meanwhile.
import { describe, expect, test } from "vitest";
import type { ProcessId } from "../../src/core/id.ts";
import { Random } from "../../src/core/random.ts";
import { globalState } from "../../src/detect.ts";
import type { Turn } from "../../src/process/application.ts";
import type { GroupedState } from "../../src/process/grouped.ts";
import { drawFaults, runWorld, type SeenSnapshot, type View } from "../../src/sim.ts";
import { checkHistory, drawSpaceTime, History } from "../../src/trace.ts";
import { seeds } from "../support/soak.ts";
import { historyOf, type Seen, type TalkWorld, talker, talkWorld } from "./support/world.ts";

/** The promises that do not hold. */
function broken(members: readonly ProcessId[], seen: ReadonlyMap<ProcessId, Seen>): string[] {
  const history = new History();
  history.add({ type: "group", group: "g", members });
  for (const line of historyOf(seen)) history.add(line);
  return checkHistory(history).flatMap((verdict) =>
    verdict.holds === false ? [`${verdict.reason}\n${drawSpaceTime(verdict.witness)}`] : [],
  );
}

const seenIn = (states: Readonly<Record<ProcessId, GroupedState<Seen>>>) =>
  new Map(
    Object.entries(states).map(([id, state]) => [id, (state as { readonly state: Seen }).state]),
  );

interface GoneOn {
  readonly seen: ReadonlyMap<ProcessId, Seen>;
  /** Packets that were held back in the snapshot. */
  readonly held: number;
}

/** All members as they were recorded; they get what was in flight, and go on until nothing is left to do. */
function goOn(
  { setup, levels }: TalkWorld,
  snapshot: SeenSnapshot<Uint8Array, GroupedState<Seen>>,
  loses: "nothing" | "messages in flight" = "nothing",
): GoneOn {
  const random = new Random(snapshot.id);
  const ways = new Map<string, Uint8Array[]>();
  const dueMs = new Map<ProcessId, number>();
  let nowMs = 2_000_000_000_000;
  const texts: string[] = [];
  const read = new Map<ProcessId, number>();
  const turnOf = (self: ProcessId): Turn<Uint8Array> => ({
    ...{ self, nowMs, random, replays: false, peers: setup.members.filter((id) => id !== self) },
    send: (to, bytes) => {
      for (const one of [to].flat())
        ways.set(`${self} ${one}`, [...(ways.get(`${self} ${one}`) ?? []), bytes.slice()]);
      return true;
    },
    reply: () => {},
    writeOrderLog: (_log, text) => void texts.push(text),
    setTimer: (name, afterMs) => void (name === "talk" || dueMs.set(self, nowMs + afterMs)),
  });
  if (loses === "nothing")
    for (const { from, to, messages } of snapshot.inFlight)
      ways.set(`${from} ${to}`, [...messages]);
  const members = new Map(
    setup.members.map((id) => {
      const member = talker(id, setup, levels);
      member.restore(snapshot.states[id] as GroupedState<Seen>);
      return [id, member] as const;
    }),
  );
  for (const [id, member] of members) member.start(turnOf(id));
  if (setup.total === "log")
    for (const [id, member] of members) member.orderLogOpen("g", 1_000, turnOf(id));
  const held = [...members.values()].reduce(
    (sum, one) => sum + (one.explain("g")?.held.length ?? 0),
    0,
  );
  for (let rounds = 0; rounds < 10_000; rounds += 1) {
    const [late] = setup.members.filter((id) => (read.get(id) ?? 0) < texts.length);
    if (late && random.chance(0.3)) {
      const position = (read.get(late) ?? 0) + 1;
      read.set(late, position);
      const text = texts[position - 1] as string;
      members.get(late)?.orderLogRead("g", position, text, turnOf(late));
      continue;
    }
    const [way, queue] = random.pick([...ways].filter(([, waiting]) => waiting.length > 0)) ?? [];
    if (way && queue) {
      const [from = "", to = ""] = way.split(" ");
      members.get(to)?.receive(from, queue.shift() as Uint8Array, turnOf(to));
      continue;
    }
    if (late) continue;
    const [next] = [...dueMs].sort(([, one], [, other]) => one - other);
    if (!next) break;
    nowMs = Math.max(nowMs, next[1]);
    dueMs.delete(next[0]);
    members.get(next[0])?.timer("\u0000groups", turnOf(next[0]));
  }
  const seen = [...members].map(
    ([id, member]) => [id, (member.capture() as { state: Seen }).state] as const,
  );
  return { seen: new Map(seen), held };
}

/** What each has yet to deliver by the states of a snapshot, as it will see it; `undefined` if that is not known. */
function undelivered(
  { world }: TalkWorld,
  snapshot: SeenSnapshot<Uint8Array, GroupedState<Seen>>,
): ReadonlyMap<ProcessId, Seen> | undefined {
  const { messages, problems } = globalState({ ...snapshot, application: world.application });
  if (problems.length > 0) return undefined;
  return new Map(
    world.processes.map((id) => [
      id,
      messages.flatMap(({ to, from, message }) => (to === id ? [`${message} ${from}`] : [])).sort(),
    ]),
  );
}

/** What each has seen after a snapshot. */
const seenSince = (
  snapshot: SeenSnapshot<Uint8Array, GroupedState<Seen>>,
  { seen }: GoneOn,
): ReadonlyMap<ProcessId, Seen> =>
  new Map(
    [...seenIn(snapshot.states)].map(([id, before]) => [
      id,
      (seen.get(id) ?? []).slice(before.length).sort(),
    ]),
  );

describe("groups in processes", () => {
  test.each([
    ["by their members", undefined, () => seeds("grouped", 100, 20_000)],
    ["by a log", "log", () => seeds("grouped-log", 100, 100_000)],
  ] as const)(
    "keep every promise, also across a snapshot, in order %s",
    { timeout: 7_200_000 },
    (_, total, all) => {
      let [snapshots, held, lost] = [0, 0, 0];
      for (const seed of all()) {
        const talk = talkWorld(seed, "is quiet", total);
        const { members } = talk.setup;
        let last: View<Uint8Array, GroupedState<Seen>, never> | undefined;
        const world = {
          ...talk.world,
          eventually: {
            "all is delivered": (view: View<Uint8Array, GroupedState<Seen>, never>) => {
              last = view;
              const states = members.map((id) => [id, view.state(id)] as const);
              return broken(members, seenIn(Object.fromEntries(states) as never))[0] ?? true;
            },
          },
        };
        runWorld(world, { seed, faults: { ...drawFaults(seed), crashes: 0 } });
        for (const snapshot of last?.snapshots ?? []) {
          snapshots += 1;
          const gone = goOn(talk, snapshot);
          for (const [id, seen] of seenIn(snapshot.states))
            expect(gone.seen.get(id)?.slice(0, seen.length)).toEqual(seen);
          expect(broken(members, gone.seen), `${seed} ${snapshot.id}`).toEqual([]);
          expect(undelivered(talk, snapshot), `${seed} ${snapshot.id}`).toEqual(
            seenSince(snapshot, gone),
          );
          if (gone.held > 0) held += 1;
          if (broken(members, goOn(talk, snapshot, "messages in flight").seen).length > 0)
            lost += 1;
        }
      }
      // Packets were held back in some; and in some, messages in flight are missed if they are not there.
      expect(snapshots).toBeGreaterThan(300);
      expect(held).toBeGreaterThan(30);
      // By a log, whatever is missing is kept by whoever sent it, and there are no words that are said once.
      if (total === undefined) expect(lost).toBeGreaterThan(30);
    },
  );

  test("tell what is yet to be delivered, or that it is not known", { timeout: 7_200_000 }, () => {
    let [known, unknown] = [0, 0];
    for (const seed of seeds("grouped-lives", 40, 20_000)) {
      const talk = talkWorld(seed);
      let last: View<Uint8Array, GroupedState<Seen>, never> | undefined;
      const eventually = {
        seen: (view: View<Uint8Array, GroupedState<Seen>, never>) => {
          last = view;
          return true;
        },
      };
      const faults = { ...drawFaults(seed), crashes: 1, fromSnapshot: 0 };
      runWorld({ ...talk.world, eventually }, { seed, faults });
      for (const snapshot of last?.snapshots ?? []) {
        const expected = undelivered(talk, snapshot);
        if (!expected) unknown += 1;
        else {
          known += 1;
          const since = seenSince(snapshot, goOn(talk, snapshot));
          expect(since, `${seed} ${snapshot.id}`).toEqual(expected);
        }
      }
    }
    expect(known).toBeGreaterThan(20);
    expect(unknown).toBeGreaterThan(20);
  });

  test("in a snapshot of which a member was recorded in one life, and again in the next", () => {
    const faults = { ...drawFaults(3057), crashes: 2 };
    expect(() => runWorld(talkWorld(3057).world, { seed: 3057, faults })).not.toThrow();
  });
});
