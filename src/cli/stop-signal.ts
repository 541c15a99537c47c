/** Ctrl-C, and what else ends a command that runs until it is told to stop. */

import { constants } from "node:os";

/** Ctrl-C again so much later is meant: npm passes the first one on a second time. */
const FORCE_AFTER_MS = 1_000;

/** Comes when somebody wants the command to end, or nobody reads any more what it prints. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  let firstMs: number | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      firstMs ??= performance.now();
      if (performance.now() - firstMs >= FORCE_AFTER_MS)
        process.exit(128 + constants.signals[signal]);
      stop.abort();
    });
  process.stdout.on("error", () => stop.abort());
  return stop.signal;
}
