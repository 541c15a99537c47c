/** Throughput: three processes, full mesh, everyone sends to all, beside plain sockets doing the same; and in threads. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { WorkerNetwork } from "tidemark";
import { Authority } from "../test/support/certificates.ts";
import { throughput, withMesh } from "./member.ts";
import { median, type Result } from "./result.ts";

export const RAW_MEMBER: URL = new URL("./raw-member.ts", import.meta.url);
export const TIDEMARK_MEMBER: URL = new URL("./tidemark-member.ts", import.meta.url);

const ROUNDS = 5;
/** For each process: until its code is compiled, and there are fewer processors than processes. */
const WARM_UP_MS = 350;
const SECONDS = 2;

/** Lets a mesh flood, and waits until it is warm. */
export async function flood(
  members: Parameters<Parameters<typeof withMesh>[2]>[0],
  bytes: number,
): Promise<void> {
  for (const member of members) await member.ask({ call: "flood", bytes });
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS * members.length));
}

const rate = (
  module: URL,
  bytes: number,
  network?: WorkerNetwork,
  words: readonly string[] = [],
): Promise<number> =>
  withMesh(
    module,
    3,
    async (members) => {
      await flood(members, bytes);
      return throughput(members, SECONDS);
    },
    true,
    words,
    network,
  );

export async function* tcp(): AsyncGenerator<Result> {
  for (const bytes of [100, 1024]) {
    const raw: number[] = [];
    const own: number[] = [];
    const traced: number[] = [];
    // In turn, so that a machine that changes its speed changes both.
    for (let round = 0; round < ROUNDS; round += 1) {
      raw.push(await rate(RAW_MEMBER, bytes));
      own.push(await rate(TIDEMARK_MEMBER, bytes));
      traced.push(await rate(TIDEMARK_MEMBER, bytes, undefined, ["trace"]));
    }
    const unit = "deliveries/s/member";
    yield {
      ...{ bench: "tcp", case: `3 processes, mesh, ${bytes} B`, unit },
      ...{ value: median(own), limit: median(raw) },
      ratio: median(own.map((value, i) => value / (raw[i] as number))),
    };
    yield {
      ...{ bench: "tcp", case: `the same, ${bytes} B, with recording; limit: without`, unit },
      ...{ value: median(traced), limit: median(own) },
      ratio: median(traced.map((value, i) => value / (own[i] as number))),
    };
  }
}

/** The same with TLS, each side with a certificate; beside plain sockets of TLS that do the same, and Tidemark without. */
export async function* tls(): AsyncGenerator<Result> {
  const authority = new Authority();
  const { folder } = authority;
  try {
    writeFileSync(join(folder, "ca.pem"), authority.ca);
    for (const id of ["p1", "p2", "p3"]) {
      const { cert, key } = authority.sign(id);
      writeFileSync(join(folder, `${id}.pem`), cert);
      writeFileSync(join(folder, `${id}.key`), key);
    }
    for (const bytes of [100, 1024]) {
      const raw: number[] = [];
      const own: number[] = [];
      const plain: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        raw.push(await rate(RAW_MEMBER, bytes, undefined, ["tls", folder]));
        own.push(await rate(TIDEMARK_MEMBER, bytes, undefined, ["tls", folder]));
        plain.push(await rate(TIDEMARK_MEMBER, bytes));
      }
      const unit = "deliveries/s/member";
      for (const [what, limit] of [
        ["limit: sockets of TLS", raw],
        ["limit: without TLS", plain],
      ] as const)
        yield {
          ...{ bench: "tls", case: `3 processes, mesh, ${bytes} B; ${what}`, unit },
          ...{ value: median(own), limit: median(limit) },
          ratio: median(own.map((value, i) => value / (limit[i] as number))),
        };
    }
  } finally {
    authority.close();
  }
}

/** The same in three threads of one operating-system process, beside TCP between three processes. */
export async function* workers(): AsyncGenerator<Result> {
  for (const bytes of [100, 1024]) {
    const overTcp: number[] = [];
    const own: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      overTcp.push(await rate(TIDEMARK_MEMBER, bytes));
      own.push(await rate(TIDEMARK_MEMBER, bytes, new WorkerNetwork()));
    }
    yield {
      bench: "workers",
      case: `3 threads, mesh, ${bytes} B; limit: over TCP`,
      value: median(own),
      unit: "deliveries/s/member",
      limit: median(overTcp),
      ratio: median(own.map((value, i) => value / (overTcp[i] as number))),
    };
  }
}
