/** `tidemark detect`: what is true of the whole system at a snapshot. */

import { Command } from "commander";
import { Account } from "../bank/account.ts";
import { TidemarkError } from "../core/error.ts";
import { type Detector, parseDetector } from "../detect/detection.ts";
import type { GlobalState } from "../detect/global-state.ts";
import type { Detection } from "../detect/verdict.ts";
import type { Codec } from "../process/codec.ts";
import type { GlobalSnapshot } from "../runtime/global-snapshot.ts";
import { type InspectOptions, inspectSnapshot } from "../runtime/inspect-snapshot.ts";
import type { SnapshotStore } from "../runtime/snapshot-store.ts";
import { summarise } from "../snapshot/manifest.ts";
import { addNatsStoreOptions } from "./nats-options.ts";
import { directoryOption, jsonOption } from "./options.ts";
import { keyOption, openSnapshot, SNAPSHOT_NAME, type StoreOptions, withStore } from "./store.ts";
import { applicationOf, loadSystem, type SystemSource } from "./system-file.ts";
import { grouped, type Paint, painter, printable } from "./terminal.ts";

interface DetectOptions extends StoreOptions {
  readonly module?: string;
  readonly since?: string;
  readonly json?: true;
}

/** How snapshots of a system are read and asked. */
interface Inspected {
  readonly codecs: readonly Codec<unknown>[];
  application(snapshot: GlobalSnapshot): InspectOptions["application"];
}

const paint = painter(process.stdout);

const UNKNOWN_STATUS = 3;

const HELP = `
What can be detected, several with commas between them:
  deadlock           some wait for each other for ever
  termination        everybody is passive, and no work is in flight
  garbage            objects that nobody can reach
  sum=NAME:AMOUNT    goods of that name do not add up to that amount; without the
                     amount, to what there was at --since
  token=NAME         a token is lost, or there more than once; token=NAME:COUNT

Messages in flight count as states do. The snapshot is proven first. What it
means is declared by the application, by methods such as goods and waits
(docs/use/detect.md): that of the bank, or of the file that tidemark up runs,
named by --module. The file is loaded, and applications are restored; none runs.

Exit status: 0 if nothing is detected; 1 if something is, or the snapshot cannot
be read; 3 if nothing is and something is unknown; 2 for a mistake in the command.

Examples:
  tidemark detect latest sum=money:4000
  tidemark detect p2/7 sum=money --since p1/1
  tidemark detect latest deadlock,termination,garbage --module system.ts`;

export function detectCommand(): Command {
  const command = new Command("detect")
    .description("find out what is true of the whole system at a snapshot")
    .argument("<snapshot>", SNAPSHOT_NAME)
    .argument("<what>", "what to detect: see below", parseDetectors)
    .addOption(directoryOption())
    .option("--module <file>", "defines the system (default: it is a bank)")
    .option("--since <snapshot>", "an earlier snapshot: sums should be as there")
    .addOption(keyOption())
    .addOption(jsonOption("print a line of JSON for each verdict"))
    .addHelpText("after", HELP)
    .action(async (name: string, detectors: readonly Detector[], options: DetectOptions) => {
      const { module, since, json } = options;
      const inspected = await inspectedBy(module);
      const needs = detectors.flatMap((one) => one.needs);
      const inspect = async (
        store: SnapshotStore,
        named: string,
        where: string,
      ): Promise<[GlobalSnapshot, GlobalState]> => {
        const snapshot = await openSnapshot(store, named, where, inspected.codecs);
        const verdict = await snapshot.verify();
        if (!verdict.consistent)
          throw new TidemarkError(
            "DAMAGED",
            `${snapshot.id} is not proven, so nothing follows from it: ${verdict.place} ${verdict.reason}`,
          );
        if (module === undefined) await mustBeBank(snapshot);
        const application = inspected.application(snapshot);
        return [snapshot, await inspectSnapshot(snapshot, { application, only: needs })];
      };
      const [before, [snapshot, state]] = await withStore(
        options,
        async (store, where) =>
          [
            since === undefined ? undefined : (await inspect(store, since, where))[1],
            await inspect(store, name, where),
          ] as const,
      );
      const verdicts = detectors.map((one) => one.detect(state, before));
      if (json)
        for (const verdict of verdicts)
          console.log(JSON.stringify({ snapshot: snapshot.id, ...verdict }));
      else tell(snapshot, verdicts);
      if (verdicts.some(({ detected }) => detected === true)) process.exitCode = 1;
      else if (verdicts.some(({ detected }) => detected === null))
        process.exitCode = UNKNOWN_STATUS;
    });
  return addNatsStoreOptions(command);
}

export const parseDetectors = (text: string): readonly Detector[] =>
  text.split(",").map((one) => parseDetector(one.trim()));

const BANK: Inspected = {
  codecs: [],
  application: () => () => new Account({ money: 0 }),
};

/** @throws TidemarkError `BAD_OPTION` if a state is not that of an account */
export async function mustBeBank(snapshot: GlobalSnapshot): Promise<void> {
  const [first = ""] = snapshot.manifest.processes;
  const encoding = snapshot.piece(first).state.encoding;
  const state = encoding === "msgpack" ? await snapshot.state(first) : undefined;
  const { balance, transfers } = Object(state) as Record<string, unknown>;
  if (typeof balance === "number" && typeof transfers === "number") return;
  throw new TidemarkError(
    "BAD_OPTION",
    `${snapshot.id} is not of a bank, but of ${printable(snapshot.manifest.system)}: name the file that defines it with --module`,
  );
}

/** @param file defines the system; without one it is a bank */
export const inspectedBy = (file: string | undefined): Promise<Inspected> =>
  inspectedIn(file === undefined ? undefined : { file });

/** @param source what the processes are; without one it is a bank */
export async function inspectedIn(source: SystemSource | undefined): Promise<Inspected> {
  if (source === undefined || "bank" in source) return BANK;
  const system = await loadSystem(source);
  const { messageCodec, stateCodec } = system;
  return {
    codecs: [messageCodec, stateCodec].filter((one) => one !== undefined),
    application: (snapshot) => (id) =>
      applicationOf(source, system, id, snapshot.manifest.processes),
  };
}

function tell({ manifest }: GlobalSnapshot, verdicts: readonly Detection[]): void {
  const { id, system, processes } = manifest;
  const many = grouped(summarise(manifest).inFlight);
  console.log(
    `${id}  system ${printable(system)}, ${processes.length} processes, ${many} messages in flight, proven`,
  );
  const width = Math.max(...verdicts.map(({ detector }) => detector.length));
  for (const verdict of verdicts) {
    const { detector, sentence } = verdict;
    const mark = markOf(verdict, paint);
    console.log(`${mark} ${printable(detector.padEnd(width))}  ${printable(sentence)}`);
  }
}

/** One character for a verdict. */
export function markOf({ detected }: Detection, styled: Paint): string {
  if (detected === null) return styled("dim", "?");
  return detected ? styled("red", "!") : styled("green", "·");
}
