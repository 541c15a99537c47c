/** `tidemark watch`: what becomes true of the whole system while it runs. */

import { Command, Option } from "commander";
import { TidemarkError } from "../core/error.ts";
import type { Detector } from "../detect/detection.ts";
import { ControlClient } from "../runtime/control-socket.ts";
import { type WatchEvent, watchSystem } from "../runtime/watch-system.ts";
import type { SystemMethods } from "../serve/system-methods.ts";
import { inspectedBy, markOf, mustBeBank, parseDetectors } from "./detect.ts";
import { directoryOption, jsonOption, parseDuration } from "./options.ts";
import { stopSignal } from "./stop-signal.ts";
import { type KeyOptions, keyOption, openSnapshot, openStore } from "./store.ts";
import { painter, printable } from "./terminal.ts";

interface WatchCommandOptions extends KeyOptions {
  readonly dir: string;
  readonly interval: number;
  readonly module?: string;
  readonly first?: true;
  readonly json?: true;
}

const paint = painter(process.stdout);

const HELP = `
Every so often a snapshot of the running system is taken, and looked at; what a
detector finds is told at first, and whenever it changes, until Ctrl-C. Detectors
are those of tidemark detect: deadlock, termination, garbage, sum=NAME:AMOUNT,
token=NAME. Without an amount a sum should be what it was at the first look. It
works also when everybody waits for everybody: snapshots pass below applications.

The snapshots are kept like all others (--keep of the system). What they mean is
declared by the application: that of the bank, or of the file that tidemark up
runs, named by --module.

Exit status: 0 if nothing is detected at the end; 1 if something is, or no
system is running; 2 for a mistake in the command.

Examples:
  tidemark watch sum=money
  tidemark watch deadlock,termination --interval 500ms --module system.ts
  tidemark watch deadlock --first --json --module system.ts`;

export function watchCommand(): Command {
  return new Command("watch")
    .description("watch the running system, and say what becomes true of it")
    .argument("<what>", "what to detect, with commas between", parseDetectors)
    .addOption(directoryOption())
    .addOption(
      new Option("--interval <time>", "from one look to the next")
        .default(2_000, "2s")
        .argParser(parseDuration),
    )
    .option("--module <file>", "defines the system (default: it is a bank)")
    .option("--first", "end when something is detected")
    .addOption(keyOption())
    .addOption(jsonOption("print a line of JSON for each change"))
    .addHelpText("after", HELP)
    .action(async (detectors: readonly Detector[], options: WatchCommandOptions) => {
      const { dir, interval, module, first, json } = options;
      const inspected = await inspectedBy(module);
      const stop = stopSignal();
      const client = await ControlClient.connect<SystemMethods>(dir);
      let application: ReturnType<typeof inspected.application> | undefined;
      const running = {
        async snapshot() {
          const { snapshot } = await client.call("snapshot", {});
          const opened = await openSnapshot(
            openStore(dir, options),
            snapshot,
            dir,
            inspected.codecs,
          );
          if (module === undefined) await mustBeBank(opened);
          application ??= inspected.application(opened);
          return opened;
        },
      };
      const width = Math.max(...detectors.map(({ name }) => name.length));
      const found = new Map<string, boolean>();
      try {
        const events = watchSystem(running, {
          ...{ detectors, everyMs: interval, signal: stop },
          application: (id) => {
            if (!application) throw new TidemarkError("NOT_RUNNING", "no snapshot was taken yet");
            return application(id);
          },
        });
        for await (const event of events) {
          if (event.type === "verdict")
            found.set(event.detection.detector, event.detection.detected === true);
          if (json) console.log(JSON.stringify(event));
          else console.log(lineOf(event, width));
          if (first && [...found.values()].some(Boolean)) break;
        }
      } finally {
        client.close();
      }
      process.exitCode = [...found.values()].some(Boolean) ? 1 : 0;
    });
}

function lineOf(event: WatchEvent, width: number): string {
  const at = new Date().toTimeString().slice(0, 8);
  if (event.type === "failed")
    return `${at}  ${paint("red", "✗")} no look was possible: ${printable(event.problem.message)}`;
  const { snapshot, detection } = event;
  const name = printable(detection.detector.padEnd(width));
  return `${at}  ${markOf(detection, paint)} ${name}  ${printable(detection.sentence)}  ${paint("dim", snapshot)}`;
}
