/** One-way times between processes that send 2,000 messages a second each to all, beside plain sockets. */

import { withMesh } from "./member.ts";
import { median, quantile, type Result } from "./result.ts";
import { RAW_MEMBER, TIDEMARK_MEMBER } from "./tcp.ts";

const ROUNDS = 5;
const PER_SECOND = 2000;
const BYTES = 100;
/** For the compilers: at 2,000 messages a second it takes so long until all of the path has been compiled. */
const WARM_UP_SECONDS = 4;

const samples = (module: URL): Promise<number[]> =>
  withMesh(module, 3, async (members) => {
    const load = { call: "latency", perSecond: PER_SECOND, bytes: BYTES } as const;
    await Promise.all(members.map((member) => member.ask({ ...load, seconds: WARM_UP_SECONDS })));
    const each = await Promise.all(
      members.map((member) => member.ask<number[]>({ ...load, seconds: 2 })),
    );
    return each.flat();
  });

export async function* latency(): AsyncGenerator<Result> {
  const raw: number[][] = [];
  const own: number[][] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    raw.push(await samples(RAW_MEMBER));
    own.push(await samples(TIDEMARK_MEMBER));
  }
  for (const [name, share] of [
    ["p50", 0.5],
    ["p99", 0.99],
  ] as const) {
    const of = (rounds: readonly number[][]): number[] =>
      rounds.map((round) => quantile(round, share) * 1000);
    const limits = of(raw);
    yield {
      bench: "latency",
      case: `${name} one way, ${PER_SECOND}/s, ${BYTES} B`,
      value: median(of(own)),
      unit: "µs",
      limit: median(limits),
      ratio: median(of(own).map((value, i) => value / (limits[i] as number))),
    };
  }
}
