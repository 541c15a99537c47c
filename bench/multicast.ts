/** Groups: three processes, everyone multicasts to all, by each order; beside it plain sockets doing the least that the order needs. */

import type { OrderLevel } from "tidemark";
import { type RemoteMember, throughput, withMesh } from "./member.ts";
import { median, quantile, type Result } from "./result.ts";
import { flood, RAW_MEMBER } from "./tcp.ts";

const GROUP_MEMBER = new URL("./group-member.ts", import.meta.url);

const ROUNDS = 5;
const SECONDS = 2;
const PER_SECOND = 2000;
const WARM_UP_SECONDS = 4;

/** What is measured, and the least that does the same. */
interface Contest {
  readonly name: string;
  readonly words: readonly [OrderLevel, "sequencer" | "agreed"];
  readonly raw: "mesh" | "stamps" | "relay";
}

const CONTESTS: readonly Contest[] = [
  { name: "fifo", words: ["fifo", "sequencer"], raw: "mesh" },
  { name: "causal", words: ["causal", "sequencer"], raw: "stamps" },
  { name: "total, sequencer", words: ["total", "sequencer"], raw: "relay" },
  { name: "total, agreed", words: ["total", "agreed"], raw: "relay" },
  { name: "causal-total, sequencer", words: ["causal-total", "sequencer"], raw: "relay" },
];

const inMesh = <T>(
  contest: Contest,
  kind: "own" | "raw",
  use: (members: readonly RemoteMember[]) => Promise<T>,
  count = 3,
): Promise<T> =>
  kind === "own"
    ? withMesh(GROUP_MEMBER, count, use, false, contest.words)
    : withMesh(RAW_MEMBER, count, use, false, [contest.raw]);

async function rates(contest: Contest, bytes: number): Promise<readonly [number[], number[]]> {
  const [own, raw]: [number[], number[]] = [[], []];
  const measure = async (members: readonly RemoteMember[]): Promise<number> => {
    await flood(members, bytes);
    return throughput(members, SECONDS);
  };
  // In turn, so that a machine that changes its speed changes both.
  for (let round = 0; round < ROUNDS; round += 1) {
    raw.push(await inMesh(contest, "raw", measure));
    own.push(await inMesh(contest, "own", measure));
  }
  return [own, raw];
}

const ratios = (own: readonly number[], raw: readonly number[]): number =>
  median(own.map((value, i) => value / (raw[i] as number)));

export async function* multicast(): AsyncGenerator<Result> {
  for (const bytes of [100, 1024])
    for (const contest of CONTESTS) {
      const [own, raw] = await rates(contest, bytes);
      yield {
        ...{ bench: "multicast", case: `${contest.name}, ${bytes} B`, unit: "deliveries/s/member" },
        ...{ value: median(own), limit: median(raw), ratio: ratios(own, raw) },
      };
    }
  for (const contest of CONTESTS) {
    const samples = async (kind: "own" | "raw"): Promise<number[]> =>
      inMesh(contest, kind, async (members) => {
        const load = { call: "latency", perSecond: PER_SECOND, bytes: 100 } as const;
        const all = (seconds: number): Promise<number[][]> =>
          Promise.all(members.map((member) => member.ask<number[]>({ ...load, seconds })));
        await all(WARM_UP_SECONDS);
        return (await all(SECONDS)).flat();
      });
    const [own, raw]: [number[][], number[][]] = [[], []];
    for (let round = 0; round < 3; round += 1) {
      raw.push(await samples("raw"));
      own.push(await samples("own"));
    }
    for (const [name, share] of [
      ["p50", 0.5],
      ["p99", 0.99],
    ] as const) {
      const of = (rounds: readonly number[][]): number[] =>
        rounds.map((round) => quantile(round, share) * 1000);
      yield {
        ...{
          bench: "multicast",
          case: `${contest.name}: ${name} one way, ${PER_SECOND}/s`,
          unit: "µs",
        },
        ...{ value: median(of(own)), limit: median(of(raw)), ratio: ratios(of(own), of(raw)) },
      };
    }
  }
  for (const count of [2, 4, 8, 16])
    for (const contest of CONTESTS.slice(0, 3)) {
      const own: number[] = [];
      for (let round = 0; round < 3; round += 1)
        own.push(
          await inMesh(
            contest,
            "own",
            async (members) => {
              await flood(members, 100);
              return throughput(members, SECONDS);
            },
            count,
          ),
        );
      yield {
        ...{
          bench: "multicast",
          case: `${contest.name}, 100 B, ${count} members`,
          unit: "deliveries/s/member",
        },
        value: median(own),
      };
    }
}
