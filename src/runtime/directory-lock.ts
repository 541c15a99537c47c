/**
 * Who of several OS processes may change a directory: a lock that needs no server, and that the dead do not keep.
 *
 * Whoever wants it puts a file with its own name, that of an *opener*, into a folder, and then looks: it has the lock if nobody
 * else is there. Of two who come at once at least one sees the other, so never both have it; who sees another takes its own file
 * out, waits a little and comes again. The file of a dead owner is removed by its name, so two who do that at once cannot remove
 * anything of a third.
 *
 * Assumptions: all processes run on one machine and see each other's process numbers. The system may give the number of a dead
 * process to another one, so an opener also says when its process started. Where a thread has no number of its own, as
 * on systems without /proc, the lock of a worker thread that was terminated while it had it is free only when its OS process ends.
 */

import { randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { TidemarkError } from "../core/error.ts";

/** The number of its OS process, or thread on Linux, when that started, a random number; and, after a dot, what it belongs to. */
export const OPENER: RegExp = /^(([1-9][0-9]*)\.([0-9]+)\.[0-9a-f]{8})(\.[0-9]+)?$/;
/** No attempt at the lock is later than that after the one before, give or take a half. */
export const LOCK_PAUSE_MAX_MS = 20;

/** A name for one user of a directory. */
export function newOpener(): string {
  const number = numberOfThread();
  return `${number}.${startOf(number)}.${randomBytes(4).toString("hex")}`;
}

/**
 * Of the thread that calls, if the system has such numbers; they are not those of OS processes, but of the same kind, and that of
 * the first thread is that of its OS process. A thread ends only after all that it has asked of the file system.
 */
function numberOfThread(): number {
  try {
    const [, number] = /\/task\/([0-9]+)$/.exec(readlinkSync("/proc/thread-self")) ?? [];
    return Number(number ?? process.pid);
  } catch {
    return process.pid;
  }
}

/** True for what was left by an opener, not `own`, that does not live any more. */
export function isOfDeadOpener(name: string, own: string): boolean {
  const [, opener, pid, started] = OPENER.exec(name) ?? [];
  if (opener === undefined || opener === own) return false;
  const running = startOf(Number(pid));
  return running === undefined || (running !== started && running !== "0" && started !== "0");
}

/** How what goes wrong with a file is told. */
export type Failed = (what: string, path: string, cause: unknown) => TidemarkError;

/** See the head of the file. The folder must be there before it is acquired. */
export class DirectoryLock {
  readonly folder: string;
  readonly #opener: string;
  readonly #failed: Failed;

  constructor(folder: string, opener: string, failed: Failed) {
    this.folder = folder;
    this.#opener = opener;
    this.#failed = failed;
  }

  /** Waits for so long while others have it; 0 tries once. Throws what `failed` makes of it. */
  async acquire(timeoutMs: number): Promise<void> {
    const own = join(this.folder, this.#opener);
    const deadlineMs = performance.now() + timeoutMs;
    for (let pauseMs = 1; ; pauseMs = Math.min(2 * pauseMs, LOCK_PAUSE_MAX_MS)) {
      let other = await this.#other();
      if (other === undefined) {
        try {
          await this.#attempt("write", own, create(own));
          other = await this.#other();
        } catch (error) {
          await this.release();
          throw error;
        }
        if (other === undefined) return;
        await this.release();
      }
      if (performance.now() >= deadlineMs)
        throw this.#failed(
          "lock",
          this.folder,
          `${join(this.folder, other)} was in the way for ${timeoutMs} ms`,
        );
      await pause(pauseMs * (0.5 + Math.random()));
    }
  }

  /** Never throws: if it fails, the lock is free when this OS process has ended. */
  async release(): Promise<void> {
    await fs.unlink(join(this.folder, this.#opener)).catch(() => {});
  }

  /** Someone else who lives and has the lock or wants it. */
  async #other(): Promise<string | undefined> {
    for (const name of await this.#attempt("read", this.folder, fs.readdir(this.folder))) {
      if (name === this.#opener || !OPENER.test(name)) continue;
      if (!isOfDeadOpener(name, this.#opener)) return name;
      const path = join(this.folder, name);
      await this.#attempt("remove", path, fs.rm(path, { force: true }));
    }
    return undefined;
  }

  async #attempt<T>(what: string, path: string, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw this.#failed(what, path, error);
    }
  }
}

/** Makes an empty file, if there is none. */
async function create(path: string): Promise<void> {
  const handle = await fs.open(path, "a", 0o600);
  await handle.close();
}

/** When an OS process started, in the system's own unit, "0" if it does not say; `undefined` if none runs. */
function startOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    // It has ended, or it is another user's and hidden, or the system has no /proc.
    try {
      process.kill(pid, 0);
      return "0";
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "EPERM" ? "0" : undefined;
    }
  }
  // The second field, a name in brackets, may hold anything. The third is a state, of which Z is dead; the
  // 22nd is the start.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" ? undefined : fields[19];
}
