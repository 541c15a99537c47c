/**
 * Total order by a stream of NATS, on one server and on three, in a group of three processes; beside it a plain client in three processes
 * that publishes to a stream and reads it: message by message, and in batches as large as the packets of a group.
 */

import { NatsCluster, NatsServer } from "../test/nats/support.ts";
import { type RemoteMember, throughput, withMesh } from "./member.ts";
import { median, quantile, type Result } from "./result.ts";
import { flood } from "./tcp.ts";

const GROUP_MEMBER = new URL("./group-member.ts", import.meta.url);
const NATS_MEMBER = new URL("./nats-member.ts", import.meta.url);

const ROUNDS = 5;
const SECONDS = 3;
const PER_SECOND = 200;
const BYTES = 100;

type Kind = "own" | "each" | "batched";

interface Place {
  readonly name: string;
  readonly servers: string;
  readonly replicas: number;
}

let streams = 0;

const inMesh = <T>(
  { servers, replicas }: Place,
  kind: Kind,
  use: (members: readonly RemoteMember[]) => Promise<T>,
): Promise<T> => {
  streams += 1;
  const where = [servers, String(replicas), `bench${streams}`];
  return kind === "own"
    ? withMesh(GROUP_MEMBER, 3, use, false, ["total", "log", ...where])
    : withMesh(NATS_MEMBER, 3, use, false, [kind, ...where]);
};

const ratio = (own: readonly number[], limit: readonly number[]): number =>
  median(own.map((value, i) => value / (limit[i] as number)));

async function* rates(place: Place): AsyncGenerator<Result> {
  const measured: Record<Kind, number[]> = { own: [], each: [], batched: [] };
  // In turn, so that a machine that changes its speed changes all.
  for (let round = 0; round < ROUNDS; round += 1)
    for (const kind of ["each", "batched", "own"] as const)
      measured[kind].push(
        await inMesh(place, kind, async (members) => {
          await flood(members, BYTES);
          return throughput(members, SECONDS);
        }),
      );
  const { own, each, batched } = measured;
  for (const [beside, limit] of [
    ["messages one by one", each],
    ["in batches", batched],
  ] as const)
    yield {
      ...{ bench: "nats", unit: "deliveries/s/member" },
      case: `${place.name}, ${BYTES} B; limit: plain client, ${beside}`,
      ...{ value: median(own), limit: median(limit), ratio: ratio(own, limit) },
    };
}

async function* times(place: Place): AsyncGenerator<Result> {
  const samples = (kind: Kind): Promise<number[]> =>
    inMesh(place, kind, async (members) => {
      const load = { call: "latency", perSecond: PER_SECOND, bytes: BYTES } as const;
      const all = (seconds: number): Promise<number[][]> =>
        Promise.all(members.map((member) => member.ask<number[]>({ ...load, seconds })));
      await all(1);
      return (await all(SECONDS)).flat();
    });
  const [own, plain]: [number[][], number[][]] = [[], []];
  for (let round = 0; round < 3; round += 1) {
    plain.push(await samples("each"));
    own.push(await samples("own"));
  }
  for (const [name, share] of [
    ["p50", 0.5],
    ["p99", 0.99],
  ] as const) {
    const of = (rounds: readonly number[][]): number[] =>
      rounds.map((round) => quantile(round, share) * 1000);
    yield {
      ...{ bench: "nats", unit: "µs", value: median(of(own)), limit: median(of(plain)) },
      case: `${place.name}, ${name} at ${PER_SECOND}/s each; limit: plain client`,
      ratio: ratio(of(own), of(plain)),
    };
  }
}

export async function* nats(): AsyncGenerator<Result> {
  const server = await NatsServer.start();
  try {
    const place = { name: "1 server", servers: server.url, replicas: 1 };
    yield* rates(place);
    yield* times(place);
  } finally {
    await server.stop();
  }
  const cluster = await NatsCluster.start();
  try {
    const place = { name: "3 servers", servers: cluster.urls.join(","), replicas: 3 };
    yield* rates(place);
    yield* times(place);
  } finally {
    await cluster.stop();
  }
}
