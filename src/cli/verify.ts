/** `tidemark verify`: proves snapshots consistent from the files alone. */

import { existsSync } from "node:fs";
import { Command } from "commander";
import { isTidemarkError, TidemarkError } from "../core/error.ts";
import { isSnapshotId, type SnapshotId } from "../core/id.ts";
import { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import type { Verdict } from "../snapshot/verify.ts";
import { addNatsStoreOptions } from "./nats-options.ts";
import { directoryOption, jsonOption } from "./options.ts";
import { checkDirectory } from "./snapshots.ts";
import { keyOption, type StoreOptions, snapshotNamed, withStore } from "./store.ts";
import { grouped, isLive, painter, printable } from "./terminal.ts";

interface VerifyOptions extends StoreOptions {
  readonly json?: true;
}

/** What was found of one snapshot. */
type Finding = { readonly snapshot: SnapshotId | null } & Verdict;

/** The place of a finding that names the file. */
const FILES = "files";

const paint = painter(process.stdout);

const HELP = `
For every channel p → q the files say what p had sent and what q had received
when they recorded, and hold the messages in flight; the proof is that the
three fit together, byte for byte. No system need be running.

Exit status: 0 if everything is proven; 1 if something is not, or there is
nothing to prove.

Examples:
  tidemark verify p2/7
  tidemark verify               # all snapshots in .tidemark
  tidemark verify backups/bank --json`;

export function verifyCommand(): Command {
  const command = new Command("verify")
    .description("prove a snapshot, or all of a directory, consistent from the files alone")
    .argument(
      "[what]",
      "a snapshot: its id, as in p2/7, label or latest; or a directory (default: the one of --dir)",
    )
    .addOption(directoryOption())
    .addOption(keyOption())
    .addOption(jsonOption("print a line of JSON for each snapshot, and one for all of a directory"))
    .addHelpText("after", HELP)
    .action(async (what: string | undefined, options: VerifyOptions) => {
      const proven = await verify(what, options, options.json ? tellJson : tellPeople());
      process.exitCode = proven ? 0 : 1;
    });
  return addNatsStoreOptions(command);
}

/** Gives true if everything is proven. */
async function verify(
  what: string | undefined,
  options: VerifyOptions,
  tell: Teller,
): Promise<boolean> {
  const { dir, nats } = options;
  const isThere = (place: string): boolean => nats === undefined && existsSync(place);
  // What there is by that name: an id before a directory, and that before a label.
  if (what !== undefined && (isSnapshotId(what) || !isThere(what))) {
    if (!isSnapshotId(what) && nats === undefined && !existsSync(dir))
      throw new TidemarkError("NOT_FOUND", `there is no directory ${what}`);
    const [finding, place] = await withStore(
      options,
      async (named, where) =>
        [await proveOne(named, await snapshotNamed(named, what, where)), where] as const,
    );
    if (finding) {
      tell.one(finding);
      return finding.consistent;
    }
    if (!isThere(what)) throw new TidemarkError("NOT_FOUND", `there is no ${what} in ${place}`);
  }
  const other = what === undefined ? options : { ...options, dir: what };
  checkDirectory(other);
  return await withStore(other, (store, where) => verifyAll(store, where, tell));
}

async function verifyAll(store: SnapshotStore, where: string, tell: Teller): Promise<boolean> {
  const snapshots: SnapshotId[] = [];
  let proven = 0;
  let failed = 0;
  const damaged = ({ message }: Error): void => {
    failed += 1;
    tell.oneOfMany({ snapshot: null, consistent: false, place: FILES, reason: message });
  };
  for await (const { id } of store.list(damaged)) snapshots.push(id);
  for (const snapshot of snapshots) {
    const finding = await proveOne(store, snapshot);
    // The running system has removed it since.
    if (!finding) continue;
    if (finding.consistent) proven += 1;
    else failed += 1;
    tell.oneOfMany(finding);
    tell.progress(proven + failed, snapshots.length);
  }
  if (proven + failed === 0)
    throw new TidemarkError("NOT_FOUND", `there are no snapshots in ${where}`);
  tell.all(proven + failed, proven);
  return failed === 0;
}

/** Undefined if there is no such snapshot. */
async function proveOne(store: SnapshotStore, snapshot: SnapshotId): Promise<Finding | undefined> {
  try {
    const stored = await store.get(snapshot);
    if (!stored) return undefined;
    return { snapshot, ...(await new GlobalSnapshot(stored).verify()) };
  } catch (error) {
    if (!isTidemarkError(error, "DAMAGED")) throw error;
    // It may have been removed while it was read.
    const gone = await store.get(snapshot).then(
      (stored) => !stored,
      () => false,
    );
    if (gone) return undefined;
    return { snapshot, consistent: false, place: FILES, reason: error.message };
  }
}

/** Says what was found. */
interface Teller {
  one(finding: Finding): void;
  oneOfMany(finding: Finding): void;
  progress(done: number, of: number): void;
  all(snapshots: number, proven: number): void;
}

const printJson = (value: unknown): void => console.log(JSON.stringify(value));
const tellJson: Teller = {
  one: printJson,
  oneOfMany: printJson,
  progress() {},
  all: (snapshots, proven) => printJson({ snapshots, proven }),
};

/** Of many, only those that are not proven are told. */
function tellPeople(): Teller {
  const live = isLive(process.stderr);
  const clear = (): void => {
    if (live) process.stderr.write("\r\u001b[K");
  };
  const wrong = (finding: Extract<Finding, { consistent: false }>): void => {
    clear();
    const { snapshot, place, reason } = finding;
    const name = snapshot ?? "a snapshot";
    const why = place === FILES ? reason : `${place}: ${reason}`;
    console.log(`${paint("red", "✗")} ${name} is not proven: ${printable(why)}`);
  };
  return {
    one(finding) {
      if (!finding.consistent) wrong(finding);
      else
        console.log(
          `${paint("green", "✓")} ${finding.snapshot} is consistent: ${finding.processes} processes, ` +
            `${finding.channels} channels, ${grouped(finding.inFlight)} messages in flight, proven from the files`,
        );
    },
    oneOfMany(finding) {
      if (!finding.consistent) wrong(finding);
    },
    progress(done, of) {
      if (live && done % 10 === 0) process.stderr.write(`\r${grouped(done)} of ${grouped(of)}`);
    },
    all(snapshots, proven) {
      clear();
      const right = proven === snapshots;
      const mark = right ? paint("green", "✓") : paint("red", "✗");
      const many = snapshots === 1 ? "1 snapshot" : `${grouped(snapshots)} snapshots`;
      console.log(
        right
          ? `${mark} ${many} proven consistent from the files`
          : `${mark} ${grouped(proven)} of ${many} proven consistent from the files`,
      );
    },
  };
}
