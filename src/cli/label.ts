/** `tidemark label`: gives a snapshot a label, or takes it away. */

import { Command } from "commander";
import { TidemarkError } from "../core/error.ts";
import { addNatsStoreOptions } from "./nats-options.ts";
import { directoryOption, jsonOption } from "./options.ts";
import { checkLabel, keyOption, type StoreOptions, snapshotNamed, withStore } from "./store.ts";
import { printable } from "./terminal.ts";

interface LabelOptions extends StoreOptions {
  readonly remove?: true;
  readonly json?: true;
}

const HELP = `
A snapshot with a label is yours: neither --keep of tidemark up nor tidemark
prune removes it. Works whether a system is running or not.

Exit status: 0; 1 if there is no such snapshot, or it is damaged.

Examples:
  tidemark label p2/7 "before the upgrade"
  tidemark label latest good
  tidemark label good --remove`;

export function labelCommand(): Command {
  const command = new Command("label")
    .description("give a snapshot a label, or take it away")
    .argument("<snapshot>", "its id, as in p2/7; its label; or latest")
    .argument("[label]", "what it is called from now on")
    .option("--remove", "take the label away")
    .addOption(directoryOption())
    .addOption(keyOption())
    .addOption(jsonOption("print what it has now as one line of JSON"))
    .addHelpText("after", HELP)
    .action(async (name: string, label: string | undefined, options: LabelOptions) => {
      const { remove, json } = options;
      if ((label === undefined) !== (remove === true))
        throw new TidemarkError("BAD_OPTION", "give a label, or --remove");
      await withStore(options, async (store, where) => {
        const snapshot = await snapshotNamed(store, name, where);
        if (!(await store.label(snapshot, label === undefined ? label : checkLabel(label))))
          throw new TidemarkError("NOT_FOUND", `there is no snapshot ${snapshot} in ${where}`);
        if (json) console.log(JSON.stringify({ snapshot, label: label ?? null }));
        else if (label === undefined) console.log(`${snapshot} has no label any more`);
        else console.log(`${snapshot} is ${printable(label)}`);
      });
    });
  return addNatsStoreOptions(command);
}
