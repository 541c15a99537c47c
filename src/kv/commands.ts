/** The table of all commands: what there is, and what `COMMAND` tells of it. */

import { CommandTable } from "./command.ts";
import { connectionCommands } from "./commands/connection.ts";
import { keyCommands } from "./commands/keys.ts";
import { pubsubCommands } from "./commands/pubsub.ts";
import { stringCommands } from "./commands/strings.ts";

export const commandTable: CommandTable = new CommandTable([
  ...stringCommands,
  ...keyCommands,
  ...connectionCommands,
  ...pubsubCommands,
]);
