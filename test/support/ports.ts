/**
 * Ports for servers that have to be told one. They lie below those that the system gives to whoever asks for any, and to each connection
 * that begins: such a one would be taken again between being found free and being used. Test files that run at once have ranges of their own.
 */

import { createServer } from "node:net";

const LOWEST = 10_000;
const PER_WORKER = 2_750;
const WORKERS = 8;

const worker = Number(process.env["VITEST_POOL_ID"] ?? 0) % WORKERS;

/** The first of some ports that are free, one behind the other. */
export async function freePorts(count: number): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const first =
      LOWEST + worker * PER_WORKER + Math.floor(Math.random() * (PER_WORKER - count + 1));
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(first + i)));
    if (free.every(Boolean)) return first;
  }
  throw new Error(`there are no ${count} free ports`);
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
