/** What a snapshot takes and what it costs: idle, under full load, and for 2 to 16 processes. */

import { type RemoteMember, type SnapshotTimes, throughput, withMesh } from "./member.ts";
import { median, quantile, type Result } from "./result.ts";
import { flood, TIDEMARK_MEMBER } from "./tcp.ts";

const IDLE_SNAPSHOTS = 200;
const WARM_UP_SNAPSHOTS = 50;
const LOADED_ROUNDS = 9;
const SECONDS = 1;
const BYTES = 100;

const take = (member: RemoteMember): Promise<SnapshotTimes> =>
  member.ask<SnapshotTimes>({ call: "snapshot" });

/** Snapshots one after another, each begun by the next process. */
async function takeMany(members: readonly RemoteMember[], count: number): Promise<SnapshotTimes[]> {
  const times: SnapshotTimes[] = [];
  for (let i = 0; i < count; i += 1)
    times.push(await take(members[i % members.length] as RemoteMember));
  return times;
}

export async function* snapshot(): AsyncGenerator<Result> {
  for (const processes of [2, 3, 4, 8, 16]) {
    const times = await withMesh(TIDEMARK_MEMBER, processes, async (members) => {
      await takeMany(members, WARM_UP_SNAPSHOTS);
      return takeMany(members, IDLE_SNAPSHOTS);
    });
    const cuts = times.map(({ cutMs }) => cutMs);
    const stored = times.map(({ storedMs }) => storedMs);
    const of = (name: string, value: number): Result => ({
      bench: "snapshot",
      case: `idle, ${processes} processes, ${name}`,
      value,
      unit: "ms",
    });
    yield of("cut p50", median(cuts));
    yield of("cut p99", quantile(cuts, 0.99));
    yield of("stored p50", median(stored));
  }
  yield* underLoad(false);
  yield* underLoad(true);
}

/** Three processes flood each other; every other round, snapshots are taken back to back. */
async function* underLoad(keep: boolean): AsyncGenerator<Result> {
  const without: number[] = [];
  const during: number[] = [];
  const times: SnapshotTimes[] = [];
  const use = async (members: readonly RemoteMember[]): Promise<void> => {
    await flood(members, BYTES);
    await takeMany(members, WARM_UP_SNAPSHOTS);
    for (let round = 0; round < LOADED_ROUNDS; round += 1) {
      without.push(await throughput(members, SECONDS));
      const taking = new AbortController();
      const taken = (async () => {
        while (!taking.signal.aborted) times.push(...(await takeMany(members, 1)));
      })();
      during.push(await throughput(members, SECONDS));
      taking.abort();
      await taken;
    }
  };
  await withMesh(TIDEMARK_MEMBER, 3, use, keep);
  const name = `full load, ${keep ? "kept in a directory" : "not kept"}`;
  yield {
    bench: "snapshot",
    case: `${name}, cut p50`,
    value: median(times.map(({ cutMs }) => cutMs)),
    unit: "ms",
  };
  yield {
    bench: "snapshot",
    case: `${name}, taken`,
    value: times.length / (LOADED_ROUNDS * SECONDS),
    unit: "snapshots/s",
  };
  yield {
    bench: "snapshot",
    case: `${name}, throughput`,
    value: median(during),
    unit: "deliveries/s/member",
    limit: median(without),
    ratio: median(during.map((value, i) => value / (without[i] as number))),
  };
}
