/** Processes that use a store of snapshots at once, seen by their parent, for tests. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { isTidemarkError } from "../../src/core/error.ts";
import type { SnapshotId } from "../../src/core/id.ts";
import type { SnapshotStore } from "../../src/runtime/snapshot-store.ts";
import { partsOf } from "../../src/snapshot/manifest.ts";
import type { Place, Task, Told } from "./store-child.ts";

const CHILD = fileURLToPath(new URL("./store-child.ts", import.meta.url));

/** See the head of the file. */
export class StoreChild {
  readonly told: Told[] = [];
  /** What it has written to its standard error. */
  errors = "";
  readonly #child: ChildProcess;

  constructor(place: Place, task: Task, name: string) {
    this.#child = fork(CHILD, [JSON.stringify(place), task, name], { execArgv: [], stdio: "pipe" });
    onTestFinished(() => {
      this.#child.kill("SIGKILL");
    });
    this.#child.stderr?.on("data", (text) => {
      this.errors += text;
    });
    this.#child.on("message", (message) => {
      this.told.push(message as Told);
    });
  }

  /** How it stands: its exit code, `null` while it runs, and what went wrong. */
  get standing(): readonly [exitCode: number | null, errors: string] {
    return [this.#child.exitCode, this.errors];
  }

  /** When it has told that many things. */
  async toldMany(count: number): Promise<void> {
    while (this.told.length < count) {
      await Promise.race([once(this.#child, "message"), once(this.#child, "exit")]);
      if (this.#child.exitCode !== null) throw new Error(`the child ended:\n${this.errors}`);
    }
  }

  /** Has it end what it does. */
  async end(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.send("end");
    await ended;
  }

  async kill(): Promise<void> {
    const ended = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await ended;
  }
}

/** The snapshots of which children told something. */
export const toldOf = (children: readonly StoreChild[], what: Told["what"]): SnapshotId[] =>
  children.flatMap(({ told }) => told.filter((one) => one.what === what).map(({ id }) => id));

/** Reads every byte of every snapshot that is listed; gives their ids. */
export async function readAll(store: SnapshotStore): Promise<Set<SnapshotId>> {
  const ids = new Set<SnapshotId>();
  const fail = (error: Error): void => {
    throw error;
  };
  for await (const { id } of store.list(fail)) {
    try {
      const stored = await store.get(id);
      for (const reference of stored ? partsOf(stored.manifest) : []) await stored?.part(reference);
      if (stored) ids.add(id);
    } catch (error) {
      // It was deleted while it was read.
      if (!isTidemarkError(error, "NOT_FOUND")) throw error;
    }
  }
  return ids;
}

/** The epochs that children began, in order: which child each, and from which snapshot. */
export function begunBy(
  children: readonly StoreChild[],
): { readonly epoch: number; readonly id: SnapshotId; readonly child: number }[] {
  const begun = children.flatMap(({ told }, child) =>
    told.flatMap(({ epoch, id }) => (epoch === undefined ? [] : [{ epoch, id, child }])),
  );
  return begun.sort((a, b) => a.epoch - b.epoch);
}
