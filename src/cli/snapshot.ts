/** `tidemark snapshot`: one snapshot of the running system, now. */

import { Command } from "commander";
import { duration } from "../core/quantity.ts";
import { ControlClient } from "../runtime/control-socket.ts";
import type { SystemMethods } from "../serve/system-methods.ts";
import { directoryOption, jsonOption } from "./options.ts";
import { checkLabel } from "./store.ts";
import { grouped } from "./terminal.ts";

interface SnapshotCommandOptions {
  readonly dir: string;
  readonly label?: string;
  readonly json?: true;
}

const HELP = `
The snapshot is read back from the directory and proven before it is told of.
One with a label is kept, whatever --keep the system was started with.

Exit status: 0 if it is consistent and adds up; 1 if not, if it was abandoned,
or if no system is running.

Examples:
  tidemark snapshot
  tidemark snapshot --label "before the upgrade"`;

export function snapshotCommand(): Command {
  return new Command("snapshot")
    .description("take a snapshot of the running system now")
    .addOption(directoryOption())
    .option("--label <text>", "kept with the snapshot and shown in lists")
    .addOption(jsonOption("print what came of it as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async ({ dir, label, json }: SnapshotCommandOptions) => {
      const client = await ControlClient.connect<SystemMethods>(dir);
      try {
        // The system gives up by itself when it takes too long.
        const taken = await client.call(
          "snapshot",
          label === undefined ? {} : { label: checkLabel(label) },
        );
        const { snapshot, processes, messagesInFlight, consistent, sum, expected } = taken;
        const right = consistent && sum === expected;
        const money = sum === undefined ? "" : `, ${grouped(sum)} of ${grouped(Number(expected))}`;
        if (json) console.log(JSON.stringify(taken));
        else
          console.log(
            `${snapshot} is ${consistent ? "consistent" : `not consistent: ${taken.problem}`}: ${processes} processes, ` +
              `${grouped(messagesInFlight)} messages in flight${money}, ${duration(taken.durationMs)}`,
          );
        process.exitCode = right ? 0 : 1;
      } finally {
        client.close();
      }
    });
}
